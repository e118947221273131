"""Opens a file of SQLite: its journal, its safety, its turns."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from renewal_watch.errors import ConfigError, StoreError

log = logging.getLogger(__name__)
BUSY_TIMEOUT_S = 15  # a writer waits this long for another one; the longest transaction is a first poll
INCREMENTAL = 2  # auto_vacuum: free pages can be given back to the disk, when that is asked for
READERS = 4  # transactions that only read and are open at once, of one SQLite file
READS = "renewal_watch_reads"  # the option of a connection whose next transaction only reads
DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
PATIENCE = {  # of the connection: a server or a way to it that is gone is noticed within half a minute
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}


def wal_is_safe(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite may keep a write-ahead log.

    Releases from 3.7.0 to 3.51.2 can corrupt a database in WAL mode when two connections write and checkpoint at once;
    fixed in 3.51.3, 3.50.7 and 3.44.6 (sqlite.org/wal.html#walresetbug).
    """
    if version[:2] == (3, 44):
        return version >= (3, 44, 6)
    if version[:2] == (3, 50):
        return version >= (3, 50, 7)
    return version >= (3, 51, 3)


def sqlite_path(url: str | URL) -> Path | None:
    """The file of a SQLite URL, None for another engine."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def lock_of(database: Path) -> Path:
    """The file beside a database's that its daemon holds locked, and whose time says when it was last there."""
    return database.with_name(database.name + ".lock")


def _must_be_there(path: Path) -> None:
    try:
        is_there = path.exists()
    except PermissionError:
        msg = f"{path} cannot be reached by this user; run it with sudo, or as the user of the service"
        raise StoreError(msg) from None
    if not is_there:
        raise StoreError(absent(path, "the first poll makes it: renewal-watch poll"))


def absent(path: Path, todo: str) -> str:
    """What is said of a database that is not there: ``todo`` where no daemon ever used it, else where it may be had again."""
    if lock_of(path).exists():
        return (
            f"the database {path} is not there any more; put it back with: renewal-watch db restore BACKUP. "
            f"A poll, or the start of the service, would begin a new one"
        )
    return f"there is no database at {path} yet; {todo}"


def take_turn(connection: Connection, of: str | None) -> None:
    """Wait until nobody else writes, or with ``of``, until nobody else writes what has this name.

    Held to the end of the transaction. Without ``of`` it is alone in the whole database, as every writer of a SQLite file
    is. These are the first locks of a transaction and taken in this order, so that none waits for another in a circle.
    """
    if connection.dialect.name == "sqlite":
        return
    whole = _lock("")
    if of is None:
        connection.execute(select(func.pg_advisory_xact_lock(whole)))
        return
    connection.execute(select(func.pg_advisory_xact_lock_shared(whole)))
    connection.execute(select(func.pg_advisory_xact_lock(_lock(of))))


@contextmanager
def holding(connection: Connection, name: str, *, waits: bool) -> Iterator[bool]:
    """Hold a lock by name over several transactions of a server's connection; whether it was free, unless it ``waits``.

    The empty name is what ``take_turn`` without one takes. The connection is in no transaction before and after.
    """
    take = func.pg_advisory_lock if waits else func.pg_try_advisory_lock
    is_ours = connection.execute(select(take(_lock(name)))).scalar_one() is not False
    connection.commit()
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(SQLAlchemyError):  # where the connection broke, the lock ended with it
                connection.rollback()
                connection.execute(select(func.pg_advisory_unlock(_lock(name))))
                connection.commit()


def _lock(name: str) -> int:
    digest = blake2b(f"renewal-watch {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def sqlite(url: str, *, reads_only: bool) -> Engine:
    """One connection; every transaction takes the write lock at its start (a later upgrade would fail at once under load).

    Every commit is on the disk before it returns. Foreign keys are not enforced while writing (a first poll would be a
    tenth slower): ``db check`` looks for broken ones. The file is made if it is not there, readable by its owner only.
    """
    path = sqlite_path(url)
    if path is None:
        msg = "database.url: write it as sqlite:///PATH, with the path of a file"
        raise ConfigError([msg])
    if reads_only:
        _must_be_there(path)
    elif not path.parent.is_dir():
        msg = f"database.url: the directory {path.parent} does not exist; make it or correct the path"
        raise ConfigError([msg])
    if not reads_only and not path.exists():
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            if os.geteuid() == 0:  # the service's user must be able to write what root made
                owner = path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.close(descriptor)
        except FileExistsError:
            pass  # another process was quicker
        except OSError as error:
            msg = f"database.url: {path} cannot be made: {error.strerror}"
            raise ConfigError([msg]) from None
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=READERS if reads_only else 1,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    _look_at(path, engine)

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, record: object) -> None:
        del record
        raw: Any = connection
        raw.isolation_level = None  # the driver would otherwise begin transactions of its own, too late
        raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        if reads_only:
            raw.execute("PRAGMA query_only = ON")
        else:
            is_new = not raw.execute("PRAGMA page_count").fetchone()[0]
            if is_new:
                raw.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")  # before anything is in it, or it takes a VACUUM
            _choose_journal(raw, path, is_new=is_new)
        raw.execute("PRAGMA cache_size = -16384")  # 16 MiB: a first poll fills an index in random order

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        only_looks = reads_only or connection.get_execution_options().get(READS)
        connection.exec_driver_sql("BEGIN" if only_looks else "BEGIN IMMEDIATE")
        if only_looks or wal_is_safe():
            return
        raw = connection.connection.dbapi_connection
        if _journal(raw) == "wal":  # a process with another SQLite put it into that mode meanwhile
            raw.execute("ROLLBACK")
            _choose_journal(raw, path)
            raw.execute("BEGIN IMMEDIATE")

    return engine


def _look_at(path: Path, engine: Engine) -> None:
    """Notice at each use whether the file is still the one that was opened: what is written to another is lost in silence."""

    @event.listens_for(engine, "do_connect")
    def _opening(*given: object) -> None:
        del given
        _file(path)  # SQLite itself would begin a new one

    @event.listens_for(engine, "connect")
    def _opened(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        del connection
        record.info["file"] = _file(path)

    @event.listens_for(engine, "checkout")
    def _taken(connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: object) -> None:
        del connection, proxy
        if _file(path) != record.info["file"]:
            log.warning("the database %s was replaced; it is opened anew", path)
            raise DisconnectionError


def _file(path: Path) -> tuple[int, int] | None:
    """Which file stands there now; None where nobody may look. Raises StoreError where none does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        msg = (
            f"the database {path} is not there any more; stop the service, put the file back "
            f"(renewal-watch db restore BACKUP), and start it again. Started without it, it begins a new one"
        )
        raise StoreError(msg) from None
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _journal(raw: Any) -> str:
    return str(raw.execute("PRAGMA journal_mode").fetchone()[0])


def _choose_journal(raw: Any, path: Path, *, is_new: bool = False) -> None:
    """Write-ahead logging in a new file where it is safe; the rollback journal wherever it is not.

    A file that has a rollback journal keeps it: a switch would take along every process that has the file open, and the
    SQLite of one may be another, whose log can corrupt it. Out of a log that is not safe here it is switched, which SQLite
    does only while nobody else has the file open. Raises StoreError where somebody has.
    """
    mode = _journal(raw)
    if wal_is_safe() and (is_new or mode == "wal"):
        mode = str(raw.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    else:
        try:
            mode = str(raw.execute("PRAGMA journal_mode = TRUNCATE").fetchone()[0])
        except sqlite3.OperationalError as error:
            if mode != "wal" or "locked" not in str(error):
                raise
            msg = (
                f"the database {path} has a write-ahead log, which SQLite {sqlite3.sqlite_version} of this process can "
                f"corrupt, and another process has it open; stop that one, or use its Python for both"
            )
            raise StoreError(msg) from None
    raw.execute("PRAGMA synchronous = FULL" if mode == "wal" else "PRAGMA synchronous = EXTRA")
