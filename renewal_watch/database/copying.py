"""Makes a database hold what another one does: its rows, on whichever engine each is; or the whole file, on SQLite.

Rows go table by table, the referred to before those that refer, in the order of their primary keys: both sides are read
in pages and put side by side, so that what is missing is inserted, what differs is updated and what is surplus is deleted.
A copy that broke off is therefore run again and goes on where it was. Then both sides are read once more and compared row
by row. Memory holds some pages, whatever the size.

While a copy is under way the target says so of itself (``about``, "copying"), and every command refuses it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import Connection, Table, delete, func, insert, select

from renewal_watch.database import shape
from renewal_watch.database.comparing import aligned, appearing, compare, nothing
from renewal_watch.database.schema import about
from renewal_watch.database.shape import COPYING, TABLES, Row, Shape, Side, cause
from renewal_watch.database.sqlite import BUSY_TIMEOUT_S, holding, take_turn
from renewal_watch.errors import StoreError

PIECE = 20_000  # rows written in one transaction
STEP = 16_384  # pages of a SQLite file copied at a time: 64 MiB; writers may come between
PAUSE_S = 0.05  # between two of them
RESTARTS = 3  # of a file's copy because somebody wrote meanwhile; then it is copied in one go


@dataclass(kw_only=True, slots=True)
class Copied:
    """What a copy did."""

    tables: int = 0
    rows: int = 0  # that source and target hold
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


class Progress(Protocol):
    """Hears how far a copy is."""

    def begin(self, rows: int) -> None:
        """So many rows will be passed, each twice: when it is copied, and when it is compared."""

    def passed(self, rows: int) -> None:
        """So many more were."""


def is_unfinished(connection: Connection) -> bool:
    """Whether the database is a copy that was not finished; one with tables of ours."""
    query = select(func.count()).select_from(about).where(about.c.name == COPYING)
    return bool(connection.execute(query).scalar_one())


def holds_data(connection: Connection) -> bool:
    """Whether there is anything in the tables that a copy writes; one with tables of ours."""
    return any(
        connection.execute(select(func.count()).select_from(select(table).limit(1).subquery())).scalar_one()
        for table in TABLES
        if table is not about
    )


def count(source: Connection) -> int:
    """How many rows a copy of it has."""
    side = Side.of(source)
    return sum(Shape(table, side).count() for table in TABLES)


def unhurried(connection: Connection) -> None:
    """Let the open transaction last, though it may be idle for a while; a server would end it."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def copy(source: Connection, target: Connection, *, at_once: bool = False, progress: Progress | None = None) -> Copied:
    """Make the rows of ``target`` those of ``source``, and compare them. Both have the tables of this release.

    ``source`` is in a transaction that sees one state, ``target`` in none. The copy is written in pieces that each are on
    the disk, and the target refuses to be used until it is finished. With ``at_once`` it is one transaction instead: others
    see nothing of it before it is whole. Raises StoreError, which says where it failed; the pieces that were written stay.
    """
    if progress is not None:
        progress.begin(2 * count(source))
    writer = _Writer(source, target, at_once=at_once, step=progress.passed if progress is not None else nothing)
    with writer.into.told(f"{writer.into.name} cannot be written"), _alone(target):
        try:
            return writer.write()
        except _Clash as clash:  # a row that is to go, or to change, has what must be the only one of its kind
            target.rollback()
            if writer.was_empty:
                raise StoreError(str(clash)) from None
            writer.clear()
            try:
                return writer.write()
            except _Clash as again:
                raise StoreError(str(again)) from None
        finally:
            target.rollback()


class _Clash(Exception):
    """A row cannot be written because of others."""


@contextlib.contextmanager
def _alone(target: Connection) -> Iterator[None]:
    """Refuse to be a second copy into the same server's database; a file is kept to one process by a lock of its own."""
    if target.dialect.name != "postgresql":
        yield
        return
    with holding(target, "copy", waits=False) as is_ours:
        if not is_ours:
            msg = f"another copy into {Side.of(target).name} is under way; wait for its end"
            raise StoreError(msg)
        yield


class _Writer:
    """One copy under way."""

    def __init__(self, source: Connection, target: Connection, *, at_once: bool, step: Callable[[int], None]) -> None:
        self.target = target
        self.origin = Side.of(source)
        self.into = Side.of(target)
        self.at_once = at_once
        self.step = step
        self.was_empty = False
        self.done = Copied()
        self._unfinished = 0  # rows written since the last commit

    def write(self) -> Copied:
        """Everything, compared and committed."""
        self.done = Copied(tables=len(TABLES))
        self._begin()
        self.was_empty = not holds_data(self.target)
        self.target.execute(delete(about).where(about.c.name == COPYING))
        self.target.execute(insert(about).values(name=COPYING, value=self.origin.name))
        self._commit()
        if not self.was_empty:
            for table in reversed(TABLES):
                self._take_away(table)
        for table in TABLES:
            self._bring(table)
        self._commit()
        self.done.rows = compare(self.origin, self.into, self.step)
        if self.target.dialect.name == "postgresql":
            self._settle()
        self.target.execute(delete(about).where(about.c.name == COPYING))
        self.target.commit()
        return self.done

    def clear(self) -> None:
        """Take away what is there, so that everything is brought anew. What was told of the steps stays told."""
        self.step = nothing
        self._begin()
        for table in reversed(TABLES):
            if table is not about:
                self.target.execute(delete(table))
        self._commit()

    def _take_away(self, table: Table) -> None:
        """What the source does not have, those that refer before the referred to."""
        mine, others = Shape(table, self.origin), Shape(table, self.into)
        surplus: list[Row] = []
        for key, other in aligned(mine.rows(only_keys=True), others.rows(only_keys=True), mine.width):
            if key is None and other is not None:
                surplus.append(other)
            if len(surplus) == shape.BATCH:
                self.done.deleted += self._flush(others, others.delete, surplus)
        self.done.deleted += self._flush(others, others.delete, surplus)

    def _bring(self, table: Table) -> None:
        """What the target does not have, or has otherwise."""
        mine, others = Shape(table, self.origin), Shape(table, self.into)
        fresh: list[Row] = []
        changed: list[Row] = []
        passed = 0
        rows = mine.fit_rows() if self.into.is_postgresql else mine.rows()
        for row, other in aligned(rows, others.rows(), mine.width):
            if row is None:
                continue
            if other is None:
                fresh.append(row)
            elif row != other:
                changed.append(row)
            passed += 1
            if passed % shape.BATCH == 0:
                self.step(shape.BATCH)
                self._bring_those(others, fresh, changed)
        self.step(passed % shape.BATCH)
        self._bring_those(others, fresh, changed)

    def _bring_those(self, table: Shape, fresh: list[Row], changed: list[Row]) -> None:
        self.done.updated += self._flush(table, table.update, changed)  # first: they may leave what a new one takes
        self.done.inserted += self._flush(table, table.insert, fresh)
        if self._unfinished >= PIECE:
            self._commit()

    def _flush(self, table: Shape, write: Callable[[list[Row]], None], rows: list[Row]) -> int:
        """Write the rows and forget them; how many they were."""
        if not rows:
            return 0
        driver: Any = self.target.dialect.loaded_dbapi
        try:
            write(rows)
        except (driver.IntegrityError, driver.DataError) as error:
            if fault := next(filter(None, map(table.misfit, rows)), None):
                raise StoreError(fault) from None
            msg = f"table {table.name}, one of the rows from {table.key_of(rows[0])} on: {cause(error)}"
            raise (_Clash if isinstance(error, driver.IntegrityError) else StoreError)(msg) from None
        count = len(rows)
        self._unfinished += count
        rows.clear()
        return count

    def _settle(self) -> None:
        """New ids come behind those that are there; the planner learns what the tables hold."""
        for table in TABLES:
            for column in table.primary_key:
                numbered = func.pg_get_serial_sequence(table.name, column.name)
                sequence = self.target.execute(select(numbered)).scalar_one()
                if sequence is not None:
                    last = self.target.execute(select(func.max(column))).scalar_one()
                    self.target.execute(select(func.setval(sequence, last or 1, last is not None)))
            self.target.exec_driver_sql(f'ANALYZE "{table.name}"')

    def _begin(self) -> None:
        if not self.target.in_transaction():
            self.target.begin()
        take_turn(self.target, None)
        unhurried(self.target)

    def _commit(self) -> None:
        """What was written so far is on the disk, unless all is to be one transaction."""
        self._unfinished = 0
        if not self.at_once:
            self.target.commit()
            self._begin()


def copy_file(source: Path, target: Path) -> None:
    """A verified copy of a SQLite database, as one file, while it is in use. Raises StoreError."""
    with appearing(target) as part:
        fill(part, source, target)


def fill(part: Path, source: Path, target: Path) -> None:
    """Copy a SQLite database, whoever uses it, into the file ``part`` of what will be ``target``. Raises StoreError."""
    try:
        with contextlib.closing(_connected(source)) as original, contextlib.closing(sqlite3.connect(part)) as copied:
            _by_steps(original, copied)
        fault = seal(part)
    except sqlite3.Error as error:
        if not error.sqlite_errorname.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            msg = f"{target} cannot be written: {error}"
            raise StoreError(msg) from None
        fault = str(error)
    if fault:
        msg = f"the database {source} is damaged ({fault}), so it was not copied; see: renewal-watch db check"
        raise StoreError(msg)


def seal(part: Path) -> str | None:
    """Make a SQLite file one that needs no other beside it; what is damaged in it, None if nothing is."""
    with contextlib.closing(sqlite3.connect(part)) as made:
        found = integrity(made, "1")
        made.execute("PRAGMA journal_mode = DELETE")
    return found[0] if found else None


def integrity(driver: sqlite3.Connection, only: str) -> list[str]:
    """What SQLite finds damaged, a line each; ``only`` is the table to look at, or how much to find at most."""
    found = driver.execute(f"PRAGMA integrity_check({only})").fetchall()
    lines = [line for (text,) in found for line in str(text).splitlines()]
    return [line for line in lines if line != "ok" and not line.startswith("***")]


def _connected(path: Path) -> sqlite3.Connection:
    """A connection of its own: the store has one, and others want it."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


class _Restarted(Exception):
    """Somebody wrote while a file was copied step by step."""


def _by_steps(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copy a file and let writers come between; all in one go if they come too often, or disturb nothing."""
    left = restarts = 0

    def watch(status: int, remaining: int, total: int) -> None:
        nonlocal left, restarts
        del total
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            msg = "another process keeps the database locked; try again"
            raise StoreError(msg)
        restarts += 0 < left <= remaining  # each write by others makes it begin anew
        left = remaining
        if restarts > RESTARTS:
            raise _Restarted

    if source.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with contextlib.suppress(_Restarted):
            source.backup(target, pages=STEP, progress=watch, sleep=PAUSE_S)
            return
    restarts = -1
    source.backup(target, progress=watch)
