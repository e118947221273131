"""A backup of either engine, whole and checked; and what a database must be to be copied into."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, func, select

from renewal_watch.database.comparing import appearing
from renewal_watch.database.copying import Progress, copy, copy_file, holds_data, is_unfinished, seal, unhurried
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import instances
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError, UsageError

BESIDE = ("-journal", "-wal", "-shm")  # what SQLite keeps beside a file


def save(store: Store, target: Path, progress: Progress | None = None) -> None:
    """Write a verified backup of the database to ``target``, while it is in use; it appears whole or not at all.

    Raises StoreError, UsageError where it would replace what it is of.
    """
    if store.path is None:
        _save_rows(store, target, progress)
        return
    if target.resolve() in {store.path.with_name(store.path.name + end).resolve() for end in ("", ".lock", *BESIDE)}:
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
