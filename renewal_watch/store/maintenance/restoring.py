"""Puts a backup in the place of the database; what was there is kept beside it."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from renewal_watch.database.comparing import appearing
from renewal_watch.database.copying import Progress, copy, copy_file, fill, holds_data, integrity, is_unfinished
from renewal_watch.database.revision import HEAD, is_usable
from renewal_watch.database.shape import COPYING
from renewal_watch.database.sqlite import sqlite_path
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.store.maintenance.saving import BESIDE, refuse_daemons, require_own_schema, save

SETTLE_S = 5  # a command that uses the database may end by itself


def restore(source: Path, url: str, kept_in: Path, *, progress: Progress | None = None) -> Path | None:
    """Put the backup ``source`` in place of the database; where the old one is kept, None if there was none.

    Nobody may use the database meanwhile: the caller holds the lock of a file, and of a server every daemon is asked for.
    What was in a server is first backed up into the folder ``kept_in``, then replaced in one transaction.
    Raises StoreError for a damaged file, one that is no database of ours, an unfinished copy and one of a newer release;
    then the database is as it was.
    """
    revision = _examined(source)
    path = sqlite_path(url)
    if path is not None:
        path = path.resolve()  # what a link stands for is replaced, not the link
        if path.exists() and source.samefile(path):
            msg = f"{source} is the database itself; name a backup"
            raise UsageError(msg)
        if revision >= HEAD:
            return _into_file(source, path)
        with _as_own_schema(source, revision, path.parent) as newer:
            return _into_file(newer, path)
    store = Store(url)
    try:
        return _into_server(source, revision, store, _next_name(kept_in / "renewal-watch.db"), progress)
    finally:
        store.close()


def _examined(source: Path) -> str:
    """The schema of a backup. Raises StoreError for a file that is none that can be put back."""
    left = "the database was left as it is"
    if source.exists() and not source.is_file():
        msg = f"{source} is no file; {left}"
        raise StoreError(msg)
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as backup:
            found = integrity(backup, "1")
            revision = str(backup.execute("SELECT version_num FROM alembic_version").fetchone()[0])
            has_about = backup.execute("SELECT count(*) FROM sqlite_master WHERE name = 'about'").fetchone()[0]
            told = dict(backup.execute("SELECT name, value FROM about").fetchall()) if has_about else {}
    except (sqlite3.Error, TypeError) as error:
        is_damaged = getattr(error, "sqlite_errorname", "").startswith("SQLITE_CORRUPT")
        what = "is damaged" if is_damaged else "is not a database of renewal-watch"
        msg = f"{source} {what} ({error}); {left}"
        raise StoreError(msg) from None
    if found:
        msg = f"{source} is damaged ({found[0]}); {left}"
        raise StoreError(msg)
    if COPYING in told:
        msg = f"{source} is a copy of {told[COPYING]} that was not finished; {left}"
        raise StoreError(msg)
    if revision > HEAD and not is_usable(revision, told.get("least")):
        msg = f"{source} was written by a newer release (schema {revision}); install that release first; {left}"
        raise StoreError(msg)
    return revision


def _into_file(source: Path, path: Path) -> Path | None:
    kept = None
    with appearing(path) as part:
        fill(part, source, path)
        owner = (path if path.exists() else path.parent).stat()
        if os.geteuid() == 0:  # the service's user must be able to write what root restored
            os.chown(part, owner.st_uid, owner.st_gid, follow_symlinks=False)
        if path.exists():
            _settle(path)
            kept = _keep(path)
        for ending in BESIDE:  # of the old one; SQLite would play them back into the new one
            beside = path.with_name(path.name + ending)
            if beside.exists() and kept is not None:
                beside.replace(kept.with_name(kept.name + ending))
            beside.unlink(missing_ok=True)
    return kept


def _settle(path: Path) -> None:
    """Let the old database take in what stands beside it, so that it is whole where it is kept. Refuse one in use."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=SETTLE_S, isolation_level=None)) as old:
            old.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            msg = f"another process uses the database {path}; stop it first"
            raise StoreError(msg) from None
    except sqlite3.DatabaseError:
        pass  # it is damaged, and kept as it is


def _keep(path: Path) -> Path:
    """Another name for the old database; the one it has is given to the new one in a single step."""
    kept = _next_name(path)
    try:
        kept.hardlink_to(path)
    except OSError:  # a file system without links
        path.replace(kept)
    return kept


def _next_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.replaced-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _into_server(source: Path, revision: str, store: Store, kept: Path, progress: Progress | None) -> Path | None:
    is_worthless = store.revision() == HEAD and _is_unfinished_copy(store)
    if not is_worthless:
        store.upgrade()
        require_own_schema(store)
        with store.reading() as tx:
            is_worthless = not holds_data(tx.connection)
    with _as_own_schema(source, revision) as path, store.standing_still() as connection:
        refuse_daemons(store)
        if not is_worthless:
            _save_present(store, kept)
        origin = Store(f"sqlite:///{quote(str(path))}", reads_only=True)
        try:
            with origin.reading() as tx:
                copy(tx.connection, connection, at_once=True, progress=progress)
        finally:
            origin.close()
    return None if is_worthless else kept


def _save_present(store: Store, kept: Path) -> None:
    try:
        save(store, kept)
    except StoreError as error:
        msg = f"what the database holds now cannot be kept, so it stays: {error}; to put the backup back anyway, "
        msg += "make a new database, name it in database.url, and restore into that"
        raise StoreError(msg) from None


def _is_unfinished_copy(store: Store) -> bool:
    with store.reading() as tx:
        return is_unfinished(tx.connection)


@contextlib.contextmanager
def _as_own_schema(source: Path, revision: str, beside: Path | None = None) -> Iterator[Path]:
    """The backup with the tables of this release; one of an older release is brought up to date in a folder ``beside``."""
    if revision == HEAD:
        yield source
        return
    if revision > HEAD:
        msg = f"{source} has schema {revision} of a newer release; put it into a server with that release"
        raise StoreError(msg)
    with tempfile.TemporaryDirectory(prefix="renewal-watch-", dir=beside) as folder:
        path = Path(folder) / "backup.db"
        copy_file(source, path)
        newer = Store(f"sqlite:///{path}")
        try:
            newer.upgrade()
        finally:
            newer.close()
        yield path
