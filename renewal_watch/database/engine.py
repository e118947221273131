"""Opens the database behind a URL: a SQLite file, or a PostgreSQL server that several daemons share.

Both give transactions that hold what they read: on SQLite a writer takes the only write lock at its start; on PostgreSQL
``take_turn`` takes locks by name, so that what is about one environment goes on beside what is about another. The locks
end with their transaction, whatever becomes of the process.
"""

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
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from renewal_watch.errors import ConfigError, StoreError

log = logging.getLogger(__name__)
BUSY_TIMEOUT_S = 15  # a writer waits this long for another one; the longest transaction is a first poll
INCREMENTAL = 2  # auto_vacuum: free pages can be given back to the disk, when that is asked for
READERS = 4  # transactions that only read and are open at once, of one SQLite file
_POOL = 5  # connections to a server that stay open
_POOL_MORE = 25  # and those beyond, as long as they are needed: one for each thread that polls or sends
_READS = "renewal_watch_reads"  # the option of a connection whose next transaction only reads
OLDEST_SERVER = 14  # major release of PostgreSQL
MOST_CONNECTIONS = _POOL + _POOL_MORE + 1  # that one daemon has with a server; one is for saying that it is there
_AGAIN = "; nothing was lost, try again"
_REPEATED = "; nothing was lost, the step is repeated"  # by who goes on
_EMPTY = (
    "was it emptied, put a backup back: renewal-watch db restore FILE; is it a new one, make its tables with: "
    "renewal-watch db upgrade"
)
_BY_CODE = {  # of PostgreSQL (postgresql.org/docs/current/errcodes-appendix.html): what to do
    "53100": f"free some space on the server's disk{_AGAIN}",
    "53300": f"raise max_connections of the server, or see what else is connected{_AGAIN}",
    "55P03": f"another process keeps it locked{_AGAIN}",
    "40P01": f"another process was in the way{_AGAIN}",
    "25006": f"the server takes no changes: it is a standby, or was set to read only{_AGAIN}",
    "25P03": f"this process stood still in the middle of it{_AGAIN}",
    "42P01": _EMPTY,
    "42501": "give this user the right to it, see docs/database.md",
    "28000": "correct the user in database.url, or let it in (pg_hba.conf)",
    "28P01": "correct the password",
    "3D000": "make the database, see docs/database.md",
    "57P0": f"see whether the server runs{_AGAIN}",
    "08": f"see whether the server runs and can be reached{_AGAIN}",
    "53": f"give the server more memory or space{_AGAIN}",
}
_BY_WORD = {  # of SQLite, and of a server that lets nobody in: what to do
    "full": f"free some space{_AGAIN}",
    "locked": f"another process keeps it locked{_AGAIN}",
    "readonly": "let the service's user write the file and its directory",
    "no such table": _EMPTY,
    "no such column": "bring it up to date with: renewal-watch db upgrade",
    "password authentication failed": "correct the user or the password",
    "no password supplied": "give the password in database.url, or in the file that PGPASSFILE names",
    "no pg_hba.conf entry": "let this user and machine in (pg_hba.conf of the server)",
    "Peer authentication": "the user of the server must be called as the system's user, see pg_hba.conf",
    "certificate": "see sslmode and sslrootcert in database.url, docs/database.md",
    "too many clients": f"raise max_connections of the server, or see what else is connected{_AGAIN}",
    "remaining connection slots": f"raise max_connections of the server, or see what else is connected{_AGAIN}",
    "does not exist": "make it, see docs/database.md",
    "invalid connection option": "correct the options in database.url",
    "connection": f"see whether the server runs and can be reached{_AGAIN}",
    "could not translate host name": f"correct the host in database.url, or see to the name service{_AGAIN}",
}
IDLE_S = 30
_SESSION = {  # of PostgreSQL
    "lock_timeout": "60s",  # the longest transaction is a first poll of very many numbers
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",  # a daemon that was paused must not hold up the others
    "client_min_messages": "warning",
    "tcp_user_timeout": "25s",  # and one whose machine lost its network in the middle of an answer neither
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
}
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
_PATIENCE = {  # of the connection: a server or a way to it that is gone is noticed within half a minute
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


def open_engine(url: str, *, reads_only: bool = False) -> Engine:
    """An engine for ``url``. Bound values never enter an exception. Raises ConfigError for a URL that cannot be used.

    With ``reads_only`` several transactions may be open at once, none of them can write or waits for one that does: each
    sees the database as it was at its first question. The database must be there; StoreError says if it is not.
    """
    try:
        kind = make_url(url).get_backend_name()
    except ArgumentError:
        kind = ""
    if kind == "sqlite":
        return _sqlite(url, reads_only=reads_only)
    if kind == "postgresql":
        return _postgresql(url, reads_only=reads_only)
    msg = "database.url: write it as sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
    raise ConfigError([msg])


def shown(url: str) -> str:
    """The database as people name it: the file, or user, server and name, without password and options."""
    path = sqlite_path(url)
    return str(path) if path is not None else make_url(url).set(query={}).render_as_string(hide_password=True)


def explained(error: Exception) -> tuple[str, str]:
    """What an engine says that went wrong, in one line, and what to do about it. A server may speak any language."""
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlstate", None) or ""
    said = " ".join((getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)).split())
    for beginning, todo in _BY_CODE.items():
        if code.startswith(beginning):
            return said, todo
    if code:
        return said, "check it with: renewal-watch db check"
    found = (todo for word, todo in _BY_WORD.items() if word in said)
    return said, next(found, "check it with: renewal-watch db check")


def repeated(todo: str) -> str:
    """What to do, said by a process that tries again itself."""
    return todo.removesuffix(_AGAIN) + _REPEATED if will_pass(todo) else todo


def will_pass(todo: str) -> bool:
    """Whether what ``explained`` says to do is about something that ends by itself, or that others end."""
    return todo.endswith(_AGAIN)


def only_reads(connection: Connection) -> Connection:
    """The connection, whose next transaction waits for nobody and sees one state of the database."""
    if connection.dialect.name == "sqlite":
        return connection.execution_options(**{_READS: True})
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


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


def _postgresql(url: str, *, reads_only: bool) -> Engine:
    """Transactions are on the server's disk when they commit, whatever is set for the user; each waits its ``take_turn``."""
    given = make_url(url)
    if given.drivername != "postgresql+psycopg":
        msg = f"database.url: begin it with postgresql+psycopg:// instead of {given.drivername}://"
        raise ConfigError([msg])
    try:
        engine = create_engine(
            given,
            hide_parameters=True,
            pool_size=READERS if reads_only else _POOL,
            max_overflow=_POOL_MORE,
            pool_timeout=60,
            pool_pre_ping=True,  # a server that was restarted costs no step
            connect_args={name: value for name, value in _PATIENCE.items() if name not in given.query},
        )
    except (ArgumentError, TypeError, ValueError):
        msg = "database.url: its options after ? cannot be used; correct them"
        raise ConfigError([msg]) from None
    except ModuleNotFoundError:
        msg = "database.url: PostgreSQL needs a library that is not installed; install renewal-watch[postgres]"
        raise ConfigError([msg]) from None

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, record: object) -> None:
        del record
        raw: Any = connection
        raw.autocommit = True
        for name, value in _SESSION.items():
            raw.execute("SELECT set_config(%s, %s, false)", (name, value))
        raw.execute(_DURABLE)
        raw.autocommit = False

    return engine


def _sqlite(url: str, *, reads_only: bool) -> Engine:
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
        only_looks = reads_only or connection.get_execution_options().get(_READS)
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
