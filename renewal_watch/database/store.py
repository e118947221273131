"""The database behind one URL: brought up to date, and opened for one transaction at a time.

All that is done with one ``Transaction`` belongs to one ``Store.transaction()``: it commits as a whole at the end of the block, or
nothing of it happened. On SQLite a transaction holds the write lock from its start, so that what it read stays true.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from renewal_watch.database import copying, shape
from renewal_watch.database.engine import OLDEST_SERVER, only_reads, open_engine, shown
from renewal_watch.database.revision import HEAD, LEAST, is_usable
from renewal_watch.database.schema import about, metadata
from renewal_watch.database.sqlite import INCREMENTAL, holding, sqlite_path, take_turn
from renewal_watch.database.transaction import Transaction
from renewal_watch.database.trouble import explained, repeated, will_pass
from renewal_watch.database.views import FOR_PSQL
from renewal_watch.errors import StoreAway, StoreError

log = logging.getLogger(__name__)


class Store:
    """The database behind one URL."""

    def __init__(self, url: str, *, reads_only: bool = False, is_simulated: bool = False) -> None:
        """With ``is_simulated`` time is made up, so that leases go by it instead of the clock of a server."""
        self._url = url
        self.engine: Engine = open_engine(url, reads_only=reads_only)
        self.path = sqlite_path(url)
        self.place = shown(url)
        self._reads_only = reads_only
        self._is_simulated = is_simulated
        self.repeats = False  # whoever uses it tries again by itself what failed because the database was away

    @property
    def is_shared(self) -> bool:
        """Whether several daemons may use it: it is a server, no file."""
        return self.path is None

    def close(self) -> None:
        """Give the connections back; the store can not be used afterwards."""
        self.engine.dispose()

    def sibling(self) -> Store:
        """The same database by connections of its own: what waits for one of these holds up nothing there."""
        other = Store(self._url, is_simulated=self._is_simulated)
        other.repeats = self.repeats
        return other

    @contextmanager
    def copied(self) -> Iterator[Store]:
        """A copy for the length of the block, for what takes long: whoever reads a file holds up its writers' commits."""
        with tempfile.TemporaryDirectory(prefix="renewal-watch-") as folder:
            path = Path(folder) / "copy.db"
            if self.path is not None:
                copying.copy_file(self.path, path)
            copy = Store(f"sqlite:///{path}")
            copy.hurry()
            try:
                if self.path is None:
                    copy.upgrade()
                    with self.reading() as tx, copy.engine.connect() as connection:
                        copying.copy(tx.connection, connection, at_once=True)
                yield copy
            finally:
                copy.close()

    @contextmanager
    def lasting(self) -> Iterator[Transaction]:
        """One state of the database, for who may take any time to read it. Raises StoreError."""
        if self.is_shared:
            with self.reading() as tx:
                tx.rows("SET LOCAL idle_in_transaction_session_timeout = 0")
                yield tx
        else:
            with self.copied() as copy, copy.transaction() as tx:
                yield tx

    def hurry(self) -> None:
        """Do not wait for the disk: for a copy that nobody needs after a crash."""
        connection = self.engine.raw_connection()  # the only one; a transaction would be too late
        connection.cursor().execute("PRAGMA synchronous = OFF")
        connection.close()

    @contextmanager
    def transaction(self, of: str | None = None) -> Iterator[Transaction]:
        """All or nothing. Raises StoreError when the database is locked, full, damaged or out of reach.

        ``of`` names the one thing that it is about, "environment NAME" or "channel NAME": on a server it goes on beside
        those about others. Without it, it is alone.
        """
        with self._connected() as connection:
            if self._reads_only:
                only_reads(connection)
            with self._begun(connection):
                if not self._reads_only:
                    take_turn(connection, of)
                yield Transaction(connection, is_simulated=self._is_simulated)

    @contextmanager
    def unlocked(self) -> Iterator[Transaction]:
        """A transaction that waits for nobody on a server: for rows that only one process writes. Raises StoreError."""
        with self._connected() as connection, self._begun(connection):
            yield Transaction(connection, is_simulated=self._is_simulated)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that writes nothing, waits for nobody and sees one state of the database. Raises StoreError."""
        with self._connected() as connection, self._begun(only_reads(connection)):
            yield Transaction(connection, is_simulated=self._is_simulated)

    @contextmanager
    def standing_still(self) -> Iterator[Connection]:
        """On a server: a connection that is in no transaction, beside which nobody begins one that writes. Raises StoreError.

        What ``unlocked`` says is let through: that a daemon is there.
        """
        with self._connected() as connection, holding(connection, "", waits=True):
            yield connection

    @contextmanager
    def alone(self, what: str) -> Iterator[bool]:
        """Whether no other process does ``what`` with this database; none begins it until the end of the block.

        Raises StoreError.
        """
        if self.path is None:
            with self._connected() as connection, holding(connection, what, waits=False) as is_ours:
                yield is_ours
            return
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # no file that somebody owns
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except OSError:
            is_ours = False
        try:
            yield is_ours
        finally:
            os.close(folder)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        driver: Any = self.engine.dialect.dbapi  # its errors come bare from statements for many rows
        try:
            with self.engine.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeout, driver.Error) as error:
            cause = error.__context__  # psycopg says what became of a statement after what became of the connection
            raise self._said(cause if isinstance(cause, driver.Error) else error) from None

    @contextmanager
    def _begun(self, connection: Connection) -> Iterator[None]:
        """An open transaction. A connection that broke without SQLAlchemy's knowledge is not used any more."""
        driver: Any = self.engine.dialect.dbapi
        with connection.begin():
            try:
                yield
            except driver.Error:
                if self.is_shared:
                    connection.invalidate()
                raise

    def _said(self, error: Exception) -> StoreError:
        cause, todo = explained(error)
        msg = f"the database {self.place} cannot be used ({cause}): {repeated(todo) if self.repeats else todo}"
        return StoreAway(msg) if will_pass(todo) else StoreError(msg)

    # --- schema ---

    def revision(self) -> str | None:
        """The schema the database has, None for an empty one."""
        with self.reading() as tx:
            return _revision(tx.connection)

    def upgrade(self) -> bool:
        """Bring the schema to ``HEAD``; whether anything was done. A database with content is copied beside first.

        Raises StoreError for a database of a newer release.
        """
        with self.reading() as tx:
            revision, fault = _revision(tx.connection), schema_fault(tx, f"the database {self.place}")
        if fault is None:
            return False
        if revision is not None and revision >= HEAD:
            raise StoreError(fault)
        if revision is not None and self.path is not None:
            copying.copy_file(self.path, self.path.with_name(f"{self.path.name}.before-{HEAD}"))
        with self.transaction() as tx:
            if _revision(tx.connection) == revision:  # unless another process was quicker
                self._migrate(tx.connection, revision)
        if revision is not None:
            self.make_shrinkable()
        return True

    def _migrate(self, connection: Connection, revision: str | None) -> None:
        """SQLite goes through every migration; a new database on a server is made as the tables are now."""
        from alembic import command  # noqa: PLC0415 (half a second that only a migration needs)
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(_migrations()))
        config.attributes["connection"] = connection
        if revision is None and self.is_shared:
            self._require_fit(connection)
            metadata.create_all(connection)
            for name, query in FOR_PSQL.items():
                connection.exec_driver_sql(f"CREATE VIEW {name} AS {query}")
            connection.execute(insert(about).values(name="least", value=LEAST))
            command.stamp(config, "head")
            return
        command.upgrade(config, "head")
        broken = [] if self.is_shared else connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            msg = f"the migration of {self.place} would break {len(broken)} references; it was undone"
            raise StoreError(msg)

    def _require_fit(self, connection: Connection) -> None:
        """Refuse a server that could not keep what comes. Raises StoreError."""
        release, encoding = connection.exec_driver_sql(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding')"
        ).one()
        if release < OLDEST_SERVER:
            msg = f"the server of {self.place} is PostgreSQL {release}; it must be {OLDEST_SERVER} or newer"
            raise StoreError(msg)
        if encoding != "UTF8":
            msg = f"the database {self.place} keeps text as {encoding}; make one with: createdb --encoding UTF8 --template template0"
            raise StoreError(msg)

    def require_current(self) -> None:
        """Refuse a database that this release cannot use. Raises StoreError."""
        with self.reading() as tx:
            fault = schema_fault(tx, f"the database {self.place}")
        if fault is not None:
            raise StoreError(fault)

    # --- the file ---

    def give_back(self, pages: int) -> int:
        """Give up to so many free pages of the file back to the disk; how many bytes it was. A server does that itself."""
        if self.is_shared:
            return 0
        connection = self.engine.raw_connection()  # the driver runs a script to its end, but in no open transaction
        try:
            cursor: Any = connection.cursor()

            def free() -> int:
                return int(cursor.execute("PRAGMA freelist_count").fetchone()[0])

            before = free()
            if before:
                cursor.executescript(f"PRAGMA incremental_vacuum({pages:d})")  # execute() would free one page
            return (before - free()) * int(cursor.execute("PRAGMA page_size").fetchone()[0])
        except sqlite3.Error as error:
            raise self._said(error) from None
        finally:
            connection.close()

    def make_shrinkable(self) -> bool:
        """Write a file of an older release anew, so that it can give space back; whether it can now. It needs as much again.

        That it cannot be done is no fault: what is deleted makes room for what comes.
        """
        if self.path is None:
            return True
        connection = self.engine.raw_connection()  # a transaction would be too late
        try:
            cursor = connection.cursor()
            if cursor.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL:
                return True
            size = self.path.stat().st_size
            if shutil.disk_usage(self.path.parent).free < 2 * size:
                log.warning(
                    "%s can not give space back: writing it anew needs %d MB free; then run: renewal-watch db upgrade",
                    self.path,
                    2 * size / 1e6 + 1,
                )
                return False
            cursor.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
            cursor.execute("VACUUM")
        except (OSError, sqlite3.Error) as error:
            log.warning(
                "%s can not give space back, writing it anew failed (%s); try again with: renewal-watch db upgrade",
                self.path,
                error,
            )
            return False
        finally:
            connection.close()
        return True


def _migrations() -> Path:
    """The folder of migrations: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    inside = here / "migrations"
    return inside if inside.is_dir() else here.parent / "migrations"


def _revision(connection: Connection) -> str | None:
    """The schema that the database says it has, None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())


def schema_fault(tx: Transaction, name: str = "the database") -> str | None:
    """Why this release cannot use the tables as they are, a sentence about ``name``; None if it can."""
    revision = _revision(tx.connection)
    is_newer = revision is not None and revision >= HEAD
    kept = {row.name: row.value for row in tx.connection.execute(select(about))} if is_newer else {}
    if shape.COPYING in kept:
        return f"{name} is a copy of {kept[shape.COPYING]} that was not finished; run renewal-watch db copy again"
    if is_usable(revision, kept.get("least")):
        return None
    if revision is None:
        return f"{name} has no tables; the first poll makes them: renewal-watch poll (if it had some: db restore FILE)"
    todo = "install the release that wrote it" if is_newer else "run: renewal-watch db upgrade"
    return f"{name} has schema {revision}, this release needs {HEAD}; {todo}"
