"""Makes a database hold what another one does: its rows, on whichever engine each is; or the whole file, on SQLite.

Rows go table by table, the referred to before those that refer, in the order of their primary keys: both sides are read
in pages and put side by side, so that what is missing is inserted, what differs is updated and what is surplus is deleted.
A copy that broke off is therefore run again and goes on where it was. Then both sides are read once more and compared row
by row. Memory holds some pages, whatever the size.

While a copy is under way the target says so of itself (``about``, "copying"), and every command refuses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from sqlalchemy import JSON, Boolean, Connection, Integer, LargeBinary, Table, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from renewal_watch.engine import BUSY_TIMEOUT_S, holding, shown, take_turn
from renewal_watch.errors import StoreError
from renewal_watch.schema import Instant, about, metadata

COPYING = "copying"  # the row of ``about`` in an unfinished copy; its value says where it is from
_INSTANT = 27  # characters of an instant
PAGE = 1000  # rows read at a time
BATCH = 5000  # rows written at a time
PIECE = 20_000  # rows written in one transaction
STEP = 16_384  # pages of a SQLite file copied at a time: 64 MiB; writers may come between
PAUSE_S = 0.05  # between two of them
RESTARTS = 3  # of a file's copy because somebody wrote meanwhile; then it is copied in one go
_OF_DAEMONS = ("instances", "leases")  # what running daemons hold is nobody's history
TABLES = tuple(table for table in metadata.sorted_tables if table.name not in _OF_DAEMONS)

Row = tuple[Any, ...]


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


class Side:
    """One of the two databases, in an open transaction: its driver, without an object of SQLAlchemy for each row."""

    def __init__(
        self, driver: Any, errors: tuple[type[Exception], ...], name: str, *, is_postgresql: bool = False
    ) -> None:
        self.driver = driver
        self.errors = errors
        self.name = name  # as people name the database
        self.is_postgresql = is_postgresql

    @classmethod
    def of(cls, connection: Connection) -> Side:
        """The side that a connection is to."""
        raw: Any = connection.connection.dbapi_connection
        errors: tuple[type[Exception], ...] = (connection.dialect.loaded_dbapi.Error, SQLAlchemyError)
        name = shown(connection.engine.url.render_as_string(hide_password=False))
        return cls(raw, errors, name, is_postgresql=connection.dialect.name == "postgresql")

    @contextlib.contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Errors of the driver within the block, as StoreError that says ``what`` failed."""
        try:
            yield
        except self.errors as error:
            msg = f"{what} ({cause(error)})"
            raise StoreError(msg) from None


class Shape:
    """How the rows of one table are read and written on one side, as plain values: int, str, bytes, None.

    A truth value is 0 or 1, JSON its text. The columns of the primary key come first, ``width`` of them.
    """

    def __init__(self, table: Table, side: Side) -> None:
        self.name = table.name
        self.side = side
        keys = list(table.primary_key)
        self.columns = [*keys, *(column for column in table.c if not column.primary_key)]
        self.names = [column.name for column in self.columns]
        self.width = len(keys)
        self._place = "%s" if side.is_postgresql else "?"
        self._sound: set[tuple[type, ...]] = set()
        quoted = [f'"{name}"' for name in self.names]
        self._names = ", ".join(quoted)
        self._key = ", ".join(quoted[: self.width])
        self._where_key = " AND ".join(f"{name} = {self._place}" for name in quoted[: self.width])
        # What says that it is a copy is no part of what is copied.
        self._only = f"\"name\" <> '{COPYING}'" if table is about else "true"

    def key_of(self, row: Row) -> str:
        """The primary key of a row, for people."""
        return ", ".join(f"{name} {value!r}" for name, value in zip(self.names[: self.width], row, strict=False))

    def pages(self, *, only_keys: bool = False) -> Iterator[list[Row]]:
        """All rows in the order of the primary key, some at a time. Raises StoreError."""
        wanted = self._key if only_keys else ", ".join(map(self._read, self.columns))
        after = f"({self._key}) > ({', '.join([self._place] * self.width)})"
        last: Row = ()
        while True:
            where = f"{self._only} AND {after}" if last else self._only
            found = self._fetch(f"SELECT {wanted} FROM", f"WHERE {where} ORDER BY {self._key} LIMIT {PAGE}", last)
            if found:
                yield found
            if len(found) < PAGE:
                return
            last = found[-1][: self.width]

    def rows(self, *, only_keys: bool = False) -> Iterator[Row]:
        """The same, row by row."""
        for page in self.pages(only_keys=only_keys):
            yield from page

    def fit_rows(self) -> Iterator[Row]:
        """The same. Raises StoreError also for a value that PostgreSQL would not take."""
        for page in self.pages():
            for row in page:
                kinds = tuple(map(type, row))
                if kinds not in self._sound:
                    if fault := self.misfit(row):
                        raise StoreError(fault)
                    self._sound.add(kinds)
            yield from page

    def count(self) -> int:
        """How many rows there are. Raises StoreError."""
        return int(self._fetch("SELECT count(*) FROM", f"WHERE {self._only}", ())[0][0])

    def insert(self, rows: Sequence[Row]) -> None:
        """Write rows that are not there."""
        if self.side.is_postgresql:
            with self.side.driver.cursor().copy(f'COPY "{self.name}" ({self._names}) FROM STDIN') as copy:
                for row in rows:
                    copy.write_row(row)
            return
        places = ", ".join("?" * len(self.names))
        self._many(f'INSERT INTO "{self.name}" ({self._names}) VALUES ({places})', rows)  # noqa: S608 (own names)

    def update(self, rows: Sequence[Row]) -> None:
        """Write rows whose keys are there."""
        sets = ", ".join(f'"{name}" = {self._place}' for name in self.names[self.width :])
        values = [(*row[self.width :], *row[: self.width]) for row in map(self._native, rows)]
        self._many(f'UPDATE "{self.name}" SET {sets} WHERE {self._where_key}', values)  # noqa: S608 (own names)

    def delete(self, keys: Sequence[Row]) -> None:
        """Take rows away by their keys."""
        self._many(f'DELETE FROM "{self.name}" WHERE {self._where_key}', keys)  # noqa: S608 (own names)

    def misfit(self, row: Row) -> str | None:
        """The value that its column would not take on PostgreSQL, in words; None for a row, or key, that fits."""
        for column, value in zip(self.columns, row, strict=False):
            if said := misfit(column, value):
                return f"table {self.name}, {self.key_of(row)}: {column.name} {said}"
        return None

    def _read(self, column: Any) -> str:
        name = f'"{column.name}"'
        if not self.side.is_postgresql:
            return name
        return name + ("::int" if isinstance(column.type, Boolean) else "::text" * isinstance(column.type, JSON))

    def _native(self, row: Row) -> Row:
        if not self.side.is_postgresql:
            return row
        return tuple(
            bool(value) if isinstance(column.type, Boolean) and value is not None else value
            for column, value in zip(self.columns, row, strict=True)
        )

    def _fetch(self, start: str, end: str, values: Row) -> list[Row]:
        """What a question about the table gives."""
        with self.side.told(f"the table {self.name} of {self.side.name} cannot be read"):
            found: list[Row]
            try:
                found = self.side.driver.execute(f'{start} "{self.name}" {end}', values).fetchall()
            except sqlite3.DatabaseError:  # an index may be damaged where the rows are not
                found = self.side.driver.execute(f'{start} "{self.name}" NOT INDEXED {end}', values).fetchall()
        return found

    def _many(self, statement: str, rows: Sequence[Row]) -> None:
        self.side.driver.cursor().executemany(statement, rows)


_KINDS: dict[type, str] = {int: "a whole number", float: "a fraction", str: "text", bytes: "bytes"}


def misfit(column: Any, value: Any) -> str | None:
    """Why a column of PostgreSQL would not take a value, as the end of a sentence."""
    if value is None:
        return None if column.nullable else "is missing"
    wanted: type = str
    if isinstance(column.type, Boolean | Integer):
        wanted = int
    elif isinstance(column.type, LargeBinary):
        wanted = bytes
    if type(value) is not wanted:
        return f"is {_KINDS.get(type(value), 'something')} instead of {_KINDS[wanted]}"
    if isinstance(column.type, Boolean) and value not in (0, 1):
        return "is neither true nor false"
    if isinstance(value, str):
        if "\0" in value:
            return "holds the character NUL, which PostgreSQL cannot keep"
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            return "holds bytes that are no text"
        if isinstance(column.type, Instant) and len(value) > _INSTANT:
            return "is longer than an instant"
    return None


def cause(error: Exception) -> str:
    """What a driver says, on one line; of what PostgreSQL adds, which row it is about."""
    error = getattr(error, "orig", None) or error
    diagnosis = getattr(error, "diag", None)
    said = (getattr(diagnosis, "message_primary", None), getattr(diagnosis, "message_detail", None))
    return " ".join(": ".join(filter(None, said)).split()) or " ".join(str(error).split())


# --- rows -------------------------------------------------------------------------------------------------------------


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
    writer = _Writer(source, target, at_once=at_once, step=progress.passed if progress is not None else _nothing)
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


def _nothing(rows: int) -> None:
    del rows


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
        self.step = _nothing
        self._begin()
        for table in reversed(TABLES):
            if table is not about:
                self.target.execute(delete(table))
        self._commit()

    def _take_away(self, table: Table) -> None:
        """What the source does not have, those that refer before the referred to."""
        mine, others = Shape(table, self.origin), Shape(table, self.into)
        surplus: list[Row] = []
        for key, other in _aligned(mine.rows(only_keys=True), others.rows(only_keys=True), mine.width):
            if key is None and other is not None:
                surplus.append(other)
            if len(surplus) == BATCH:
                self.done.deleted += self._flush(others, others.delete, surplus)
        self.done.deleted += self._flush(others, others.delete, surplus)

    def _bring(self, table: Table) -> None:
        """What the target does not have, or has otherwise."""
        mine, others = Shape(table, self.origin), Shape(table, self.into)
        fresh: list[Row] = []
        changed: list[Row] = []
        passed = 0
        rows = mine.fit_rows() if self.into.is_postgresql else mine.rows()
        for row, other in _aligned(rows, others.rows(), mine.width):
            if row is None:
                continue
            if other is None:
                fresh.append(row)
            elif row != other:
                changed.append(row)
            passed += 1
            if passed % BATCH == 0:
                self.step(BATCH)
                self._bring_those(others, fresh, changed)
        self.step(passed % BATCH)
        self._bring_those(others, fresh, changed)

    def _bring_those(self, shape: Shape, fresh: list[Row], changed: list[Row]) -> None:
        self.done.updated += self._flush(shape, shape.update, changed)  # first: they may leave what a new one takes
        self.done.inserted += self._flush(shape, shape.insert, fresh)
        if self._unfinished >= PIECE:
            self._commit()

    def _flush(self, shape: Shape, write: Callable[[list[Row]], None], rows: list[Row]) -> int:
        """Write the rows and forget them; how many they were."""
        if not rows:
            return 0
        driver: Any = self.target.dialect.loaded_dbapi
        try:
            write(rows)
        except (driver.IntegrityError, driver.DataError) as error:
            if fault := next(filter(None, map(shape.misfit, rows)), None):
                raise StoreError(fault) from None
            msg = f"table {shape.name}, one of the rows from {shape.key_of(rows[0])} on: {cause(error)}"
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


def compare(origin: Side, into: Side, step: Callable[[int], None] = _nothing) -> int:
    """Read both whole, row by row; how many rows each has. Raises StoreError for the first that differs."""
    compared = 0
    for table in TABLES:
        mine, others = Shape(table, origin), Shape(table, into)
        passed = 0
        for row, other in _aligned(mine.rows(), others.rows(), mine.width):
            if row != other:
                where = f"table {table.name}, {mine.key_of(row or other or ())}"
                what = "is not in" if other is None else "is surplus in" if row is None else "differs in"
                msg = f"{where}: it {what} {into.name} after it was copied; run the command again"
                raise StoreError(msg)
            passed += 1
            if passed % BATCH == 0:
                step(BATCH)
        step(passed % BATCH)
        compared += passed
    return compared


def _aligned(left: Iterator[Row], right: Iterator[Row], width: int) -> Iterator[tuple[Row | None, Row | None]]:
    """Two streams in the order of their keys side by side, None where one lacks the other's key."""
    mine, other = next(left, None), next(right, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and mine[:width] < other[:width]):
            yield mine, None
            mine = next(left, None)
        elif mine is None or other[:width] < mine[:width]:
            yield None, other
            other = next(right, None)
        else:
            yield mine, other
            mine, other = next(left, None), next(right, None)


# --- files ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A new file to write into, which stands as ``target``, on the disk, when the block ended well; else nothing does.

    It is readable by its owner only. A file that was called so before is replaced. Raises StoreError when it cannot be
    written, and for a name that a device or another thing has: root would put a file in the place of /dev/null.
    """
    part: Path | None = None
    try:
        if target.exists() and not target.is_file():
            msg = f"{target} is there and is no file; name another one"
            raise StoreError(msg)
        sweep(target.parent, f"{target.name}.")
        descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
        part = Path(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells it from one whose process died
            yield part
            os.fsync(descriptor)
            part.replace(target)
            sync(target.parent)
        finally:
            os.close(descriptor)
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror or error}"
        raise StoreError(msg) from None
    finally:
        if part is not None:
            for ending in ("", "-journal", "-wal", "-shm"):
                part.with_name(part.name + ending).unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, beginning: str) -> None:
    """Take away what processes that died left of writing files whose names begin like this. Raises OSError."""
    for path in folder.iterdir():
        if not (path.name.startswith(beginning) and path.name.endswith(".part")):
            continue
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for ending in ("", "-journal", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError:
            pass  # it is being written
        finally:
            os.close(descriptor)


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
