"""Backups: one SQLite file each, whole and verified; on a schedule, with rotation; and the way back from one.

Of a SQLite database it is the file itself, copied while it is in use. Of a server it is the rows, as they were at one
instant; they go back into a server, or are a database of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import secrets
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, func, insert, select

from renewal_watch.database.comparing import appearing, sweep
from renewal_watch.database.copying import (
    Progress,
    copy,
    copy_file,
    fill,
    holds_data,
    integrity,
    is_unfinished,
    seal,
    unhurried,
)
from renewal_watch.database.engine import sqlite_path
from renewal_watch.database.schema import HEAD, about, instances, is_usable
from renewal_watch.database.shape import COPYING
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.schedule import times
from renewal_watch.settings.sections import Backup
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.timers import fired_at, set_fired

log = logging.getLogger(__name__)

CALENDAR = "backup"
SETTLE_S = 5  # a command that uses the database may end by itself
RETRY = timedelta(hours=1)  # after one that failed
URGENT_AFTER = 2  # times of the schedule in a row at which none was made
_STAMP = "%Y%m%dT%H%M%SZ"
_IDENTITY = "identity"  # the row of ``about`` that tells one database from another; copies have it too
_BESIDE = ("-journal", "-wal", "-shm")  # what SQLite keeps beside a file


# --- making one -------------------------------------------------------------------------------------------------------


def save(store: Store, target: Path, progress: Progress | None = None) -> None:
    """Write a verified backup of the database to ``target``, while it is in use; it appears whole or not at all.

    Raises StoreError, UsageError where it would replace what it is of.
    """
    if store.path is None:
        _save_rows(store, target, progress)
        return
    if target.resolve() in {store.path.with_name(store.path.name + end).resolve() for end in ("", ".lock", *_BESIDE)}:
        msg = f"{target} is the database itself; name another file"
        raise UsageError(msg)
    copy_file(store.path, target)


def _save_rows(store: Store, target: Path, progress: Progress | None) -> None:
    require_own_schema(store)
    with appearing(target) as part:
        into = Store(f"sqlite:///{quote(str(part))}")
        try:
            into.upgrade()
            into.hurry()  # what counts is that the whole is on the disk before it appears
            with store.reading() as tx, into.engine.connect() as connection:
                unhurried(tx.connection)
                copy(tx.connection, connection, at_once=True, progress=progress)
        except StoreError as error:
            if str(part) not in str(error):
                raise
            why = re.search(r"\((.*?)\)", str(error))
            msg = f"{target} cannot be written: {why[1] if why else error}"
            raise StoreError(msg) from None
        finally:
            into.close()
        if fault := seal(part):
            msg = f"{target} was damaged while it was written ({fault}); see whether the disk is sound"
            raise StoreError(msg)


def make_ready(store: Store) -> None:
    """Give an empty database its tables; one that holds data and is no unfinished copy is refused. Raises StoreError."""
    revision = store.revision()
    if revision is None:
        store.upgrade()
        return
    if revision != HEAD:
        msg = f"{store.place} is a database of another release (schema {revision}); name an empty one"
        raise StoreError(msg)
    refuse_daemons(store)
    with store.reading() as tx:
        is_free = is_unfinished(tx.connection) or not holds_data(tx.connection)
    if not is_free:
        msg = f"{store.place} holds data already and is no unfinished copy; name an empty database"
        raise StoreError(msg)


@contextlib.contextmanager
def standing_still(store: Store) -> Iterator[Connection]:
    """The database while nobody can write it, in one state. Raises StoreError, also for daemons on a server."""
    if store.path is not None:
        with store.transaction() as tx:
            yield tx.connection
            tx.connection.rollback()  # nothing was written; a commit looks at indexes, of which one may be damaged
        return
    refuse_daemons(store)
    with store.transaction() as lock:
        unhurried(lock.connection)
        with store.reading() as tx:
            unhurried(tx.connection)
            yield tx.connection


def require_own_schema(store: Store) -> None:
    """Refuse to copy rows of another release's schema: some columns would be lost. Raises StoreError."""
    store.require_current()
    revision = store.revision()
    if revision != HEAD:
        msg = f"the database {store.place} has schema {revision} of a newer release; do this with that release"
        raise StoreError(msg)


# --- putting one back -------------------------------------------------------------------------------------------------


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
        for ending in _BESIDE:  # of the old one; SQLite would play them back into the new one
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
        msg = f"what the database holds now cannot be kept, so it stays: {error}; to put the backup back all the same, "
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


def refuse_daemons(store: Store) -> None:
    """Refuse a server's database that daemons use; a file is kept to one by its lock. Raises StoreError."""
    if store.path is not None:
        return
    with store.reading() as tx:
        now = tx.connection.execute(select(func.clock_timestamp())).scalar_one().astimezone(UTC)
        query = select(instances.c.host, instances.c.pid).where(instances.c.alive_until > now)
        alive = [f"{host} (process {pid})" for host, pid in tx.connection.execute(query.order_by(instances.c.host))]
    if alive:
        msg = f"{store.place} is used by the daemon on {', on '.join(alive)}; stop it first"
        raise StoreError(msg)


# --- on a schedule ----------------------------------------------------------------------------------------------------


class State(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How backups do, as the calendar keeps it. ``missed`` counts the times of the schedule in a row without a good one."""

    good_at: datetime | None = None
    next_at: datetime | None = None  # when the schedule wants the one after the last good one
    file: str = ""  # the last good one
    size: int = 0  # of it, in bytes
    fault: str | None = None  # of the last try
    missed: int = 0

    @classmethod
    def of(cls, kept: tuple[datetime, str | None] | None) -> State:
        """What ``Transaction.fired_at`` of the calendar says."""
        return msgspec.json.decode(kept[1], type=cls) if kept and kept[1] else cls()


def is_due(kept: tuple[datetime, str | None] | None, settings: Backup, zone: str, now: datetime) -> bool:
    """Whether a backup is to be made: the first at once, then when the schedule says, and an hour after one that failed."""
    if not settings.directory:
        return False
    if kept is None or times.was_put_back(kept[0], now):
        return True
    has_failed = State.of(kept).fault is not None and now - kept[0] >= RETRY
    return has_failed or times.last_fire(kept[0], now, settings.schedule, zone) is not None


class Done(NamedTuple):
    """What came of a daily task, in a sentence."""

    said: str
    is_good: bool = True


def keep_up(store: Store, settings: Settings, clock: Callable[[], datetime]) -> Done | None:
    """Make the backup that is due and take away those that need not stay; None where none is due.

    That one failed is written into the calendar, from which ``follow_up`` and ``health`` tell it; it raises StoreError only
    where that cannot be written. A database of a newer release is left to the daemons of that release.
    """
    plan, now = settings.backup, clock()
    with store.reading() as tx:
        kept = fired_at(tx, CALENDAR)
    if not is_due(kept, plan, settings.timezone, now) or store.revision() != HEAD:
        return None
    state = State.of(kept)
    try:
        made, size, gone = _make(store, plan, settings.timezone, now)
    except StoreError as error:
        is_retry = state.fault is not None and kept is not None and not _fires(kept[0], now, plan, settings.timezone)
        state = msgspec.structs.replace(state, fault=str(error), missed=state.missed + (not is_retry))
        done = Done(f"the backup failed: {error}", is_good=False)
        log.error("%s", done.said)  # noqa: TRY400 (a sentence says it all)
    else:
        next_at = times.next_fire(now, plan.schedule, settings.timezone)
        state = State(good_at=clock(), next_at=next_at, file=str(made), size=size)
        done = Done(f"backup {made}, {size} bytes, checked" + (f"; {gone} older ones deleted" if gone else ""))
        log.info("%s", done.said)
    with store.transaction() as tx:
        set_fired(tx, CALENDAR, now, msgspec.json.encode(state).decode())
    return done


def _fires(since: datetime, until: datetime, plan: Backup, zone: str) -> bool:
    return since <= until and times.last_fire(since, until, plan.schedule, zone) is not None


def _make(store: Store, plan: Backup, zone: str, now: datetime) -> tuple[Path, int, int]:
    """A new backup in the directory, its bytes, and how many others were deleted. Raises StoreError."""
    folder = plan.path
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)  # not its parents: a disk that is not mounted must not become a folder of another
            _give(folder, folder.parent)
    except FileNotFoundError:
        msg = f"backup.directory: {folder.parent} does not exist; make it, or mount what it is on"
        raise StoreError(msg) from None
    except OSError as error:
        msg = (
            f"backup.directory: {folder} cannot be made: {error.strerror}; make it, and let the service's user write it"
        )
        raise StoreError(msg) from None
    of = _of(store)
    try:
        made = _free_name(folder, of, now)
        sweep(folder, f"{of}-")
        save(store, made)
        _give(made, folder)
        size = made.stat().st_size
        names = [path.name for path in folder.iterdir()]
        gone = sorted(set(_ours(names, of)) - staying(_ours(names, of), plan, zone) - {made.name})
        for name in gone:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        msg = f"backup.directory: {folder} cannot be kept in order: {error.strerror or error}"
        raise StoreError(msg) from None
    return made, size, len(gone)


def _give(made: Path, like: Path) -> None:
    """What root makes by hand belongs to whom the folder is: the service's user must be able to write and delete it."""
    if os.geteuid() != 0:
        return
    owner = like.stat()
    descriptor = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:  # what is open, and has this one name: the user may put another thing into the folder meanwhile
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _of(store: Store) -> str:
    """How the names of the backups of this database begin: another one may have its own in the same directory.

    It goes by what the database has in it, for two machines may have it in the same place, and one may be moved.
    """
    with store.transaction() as tx:
        found = tx.connection.execute(select(about.c.value).where(about.c.name == _IDENTITY)).scalar()
        if found is None:
            found = secrets.token_hex(4)
            tx.connection.execute(insert(about).values(name=_IDENTITY, value=found))
    return f"renewal-watch-{found}"


def _free_name(folder: Path, of: str, now: datetime) -> Path:
    """A name that no file has; a second one within a second is counted."""
    stem = f"{of}-{now.astimezone(UTC):{_STAMP}}"
    names = (f"{stem}{more}.db" for more in ("", *(f"-{count}" for count in range(2, 1000))))
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def _ours(names: Iterable[str], of: str) -> dict[str, datetime]:
    """Those of the names that are backups of this database, with when they were made."""
    form = re.compile(rf"{re.escape(of)}-(\d{{8}}T\d{{6}}Z)(?:-\d+)?\.db")
    found = {}
    for name in names:
        match = form.fullmatch(name)
        with contextlib.suppress(ValueError):  # a name like one of ours with a time that is none
            if match:
                found[name] = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
    return found


def staying(made: Mapping[str, datetime], plan: Backup, zone: str) -> set[str]:
    """Which of the backups stay: the newest of all, and of each of the last days, weeks and months that have one. Pure."""
    where = ZoneInfo(zone)
    newest_first = sorted(made, key=lambda name: (made[name], name), reverse=True)
    stay = set(newest_first[:1])
    spans: tuple[tuple[int, Callable[[datetime], object]], ...] = (
        (plan.keep_daily, lambda at: at.date()),
        (plan.keep_weekly, lambda at: at.isocalendar()[:2]),
        (plan.keep_monthly, lambda at: (at.year, at.month)),
    )
    for count, span in spans:
        seen: dict[object, str] = {}
        for name in newest_first:
            seen.setdefault(span(made[name].astimezone(where)), name)
        stay |= set(list(seen.values())[:count])
    return stay
