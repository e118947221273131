"""Finds and names what is damaged in a database: its file, its tables, what refers to what, and what no engine looks at.

``look`` reads everything, in short steps, so that a daemon can go on; ``of_file`` does the part that a daemon begins with.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Connection,
    StaticPool,
    Table,
    Text,
    create_engine,
    exists,
    func,
    inspect,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex

from renewal_watch.database.copying import integrity, unhurried
from renewal_watch.database.engine import BUSY_TIMEOUT_S
from renewal_watch.database.schema import (
    HEAD,
    Instant,
    about,
    alerts,
    deliveries,
    delivery_alerts,
    entries,
    environments,
    flaps,
    instances,
    leases,
    matters,
    metadata,
    numbers,
)
from renewal_watch.database.shape import COPYING, Shape, Side, cause, misfit
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError
from renewal_watch.provider.talkover.entries import decode, read

RESTORE = "put a backup back: renewal-watch db restore FILE"
BY_HAND = "put a backup back (renewal-watch db restore FILE) or correct these rows by hand"
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes; sqlite.org/fileformat.html
_VIEWS = ("fleet", "history", "poll_log", "outbox")
_JSON = {("changes", "fields"), ("silences", "match"), ("readings", "content")}  # kept as text
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Fault(NamedTuple):
    """Something that is damaged: in which table, if in one; what; and what to do."""

    table: str | None
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.what}; {self.todo}"


def look(store: Store) -> list[Fault]:
    """Everything that is damaged; an empty list for a sound database. Raises StoreError if it cannot be reached."""
    if store.path is None:
        with store.reading() as tx:
            unhurried(tx.connection)
            return _look(tx.connection, Side.of(tx.connection), set())
    return of_file(store.path, is_thorough=True)


def _look(connection: Connection, side: Side, broken: set[str]) -> list[Fault]:
    """What SQL can find, but for the tables that are known to be ``broken``."""
    faults = [fault for fault in _of_schema(connection) if fault.table not in broken]
    if any(fault.table is None for fault in faults):
        return faults
    absent = broken | {fault.table for fault in faults}
    there = [table for table in metadata.sorted_tables if table.name not in absent]
    if side.is_postgresql:
        faults += _of_server(connection, there)
    faults += _of_references(connection, there)
    for table in there:
        faults += _of_rows(Shape(table, side))
    return faults


# --- the file ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that holds no lock between two statements, whatever is in the file."""
    uri = f"file:{quote(str(path))}?mode=rw"
    driver = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    with contextlib.closing(driver):
        yield driver


def of_file(path: Path, *, is_thorough: bool = False) -> list[Fault]:
    """What SQLite finds damaged in a file, table by table, and rows that refer to what is gone; nothing of no file.

    With ``is_thorough`` everything is read as well, which takes some ten times as long. Raises StoreError.
    """
    try:
        header, size = _header(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"the database {path} cannot be read: {error.strerror}"
        raise StoreError(msg) from None
    if size and not header.startswith(_MAGIC):
        what = f"{path} is no SQLite database: its beginning is damaged, or it is another kind of file"
        return [Fault(None, what, RESTORE)]
    if missing := _cut_off(path, header, size):
        what = f"{path} was cut off: the last {missing} of its {size + missing} bytes are missing"
        return [Fault(None, what, RESTORE)]
    side = Side(None, (sqlite3.Error, SQLAlchemyError), str(path))
    with side.told(f"the database {path} cannot be read"), _opened(path) as driver:
        side.driver = driver
        faults = _of_pages(driver, path)
        if any(fault.table is None for fault in faults):
            return faults
        broken = {fault.table for fault in faults if fault.table is not None}
        # Each statement is a transaction of its own: one over all would hold up the daemon's commits.
        engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool)
        with engine.connect() as connection:
            if is_thorough:
                return faults + _look(connection, side, broken)
            there = set(inspect(connection).get_table_names()) - broken
            return faults + list(
                _of_references(connection, [one for one in metadata.sorted_tables if one.name in there])
            )


def _of_pages(driver: sqlite3.Connection, path: Path) -> list[Fault]:
    """What is damaged in the tables and indexes as such."""
    try:
        said = _integrity(driver)
        if not said:
            return []
        tables = [name for (name,) in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    except sqlite3.OperationalError:
        raise  # it is locked, or cannot be opened
    except sqlite3.DatabaseError as error:
        return [Fault(None, f"the list of tables in {path} cannot be read ({cause(error)})", RESTORE)]
    found = [fault for name in tables for fault in _of_table(driver, path, name)]
    return found or [Fault(None, f"{path} is damaged ({said[0]})", RESTORE)]


def _header(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        header = file.read(_HEADER)
        return header, file.seek(0, 2)


def _cut_off(path: Path, header: bytes, size: int) -> int:
    """How many bytes are missing at the end, by what the header says; a write-ahead log may hold them."""
    log = path.with_name(path.name + "-wal")
    if len(header) < _HEADER or (log.exists() and log.stat().st_size):
        return _HEADER - len(header) if 0 < len(header) < _HEADER else 0
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    is_told = header[24:28] == header[92:96]  # else an old release wrote last, and the count of pages is stale
    return max(0, (65_536 if page == 1 else page) * pages - size) if is_told else 0


def _integrity(driver: sqlite3.Connection, table: str = "") -> list[str]:
    """What SQLite finds, of one table or of all; nothing if all is well."""
    try:
        return integrity(driver, f"'{table}'" if table else "100")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return [str(error)]


def _of_table(driver: sqlite3.Connection, path: Path, table: str) -> Iterator[Fault]:
    said = _integrity(driver, table)
    if not said:
        return
    name = f'"{table}"'
    columns = [row[1] for row in driver.execute(f"PRAGMA table_info({name})")]
    lengths = ", ".join(f'max(length("{column}"))' for column in columns)
    try:
        driver.execute(f"SELECT {lengths} FROM {name} NOT INDEXED").fetchall()  # noqa: S608 (names of its own schema)
    except sqlite3.DatabaseError as error:
        why = "; ".join(dict.fromkeys((str(error), said[0])))
        yield Fault(table, f"the table {table} is damaged and cannot be read whole ({why})", RESTORE)
        return
    inner = re.compile("NULL value in|CHECK constraint|NUMERIC value in|non-.* value in")
    odd = [line for line in said if inner.match(line)]
    if odd:
        yield Fault(table, f"the table {table} holds values that it must not ({odd[0]})", BY_HAND)
    if len(odd) == len(said):
        return
    broken = _broken_indexes(driver, table, said)
    which = f"the index {', '.join(broken)} of the table {table}" if broken else f"an index of the table {table}"
    todo = (
        f"stop the service and copy the rows into a new file: renewal-watch db copy --to sqlite:///{path}.new, then put "
        f"that in place: renewal-watch db restore {path}.new"
    )
    yield Fault(table, f"{which} is damaged, its rows are whole ({said[0]})", todo)


def _broken_indexes(driver: sqlite3.Connection, table: str, said: Sequence[str]) -> list[str]:
    """The indexes that are damaged, as far as it can be told."""
    query = "SELECT name, rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
    broken = []
    for index, root in driver.execute(query, (table,)).fetchall():
        if any(re.search(rf"\bindex {re.escape(index)}\b", line) or f"Page {root}:" in line for line in said):
            broken.append(index)
            continue
        first = driver.execute(f'PRAGMA index_info("{index}")').fetchone()
        try:
            driver.execute(
                f'SELECT max("{first[2]}") FROM (SELECT "{first[2]}" FROM "{table}" INDEXED BY "{index}")'  # noqa: S608
            ).fetchall()
        except sqlite3.OperationalError:
            continue  # one over some of the rows, which such a question cannot use
        except sqlite3.DatabaseError:
            broken.append(index)
    return broken


# --- the schema -------------------------------------------------------------------------------------------------------


def _of_schema(connection: Connection) -> Iterator[Fault]:
    """Tables, columns and indexes that are missing; what is there beside them does no harm."""
    try:
        known = inspect(connection)
        there = set(known.get_table_names())
        if "alembic_version" not in there:
            yield Fault(None, "the database has no tables of renewal-watch", "make them: renewal-watch db upgrade")
            return
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
        if revision is None or revision < HEAD:
            what = f"the database has the schema {revision or 'of no release'}, and this release needs {HEAD}"
            yield Fault(None, what, "bring it up to date: renewal-watch db upgrade" if revision else RESTORE)
            return
        if about.name in there:
            query = select(about.c.value).where(about.c.name == COPYING)
            if origin := connection.execute(query).scalar_one_or_none():
                yield Fault(None, f"a copy of {origin} into it was not finished", "run renewal-watch db copy again")
                return
        yield from _missing(connection, known, there)
        for name in sorted(set(_VIEWS) - set(known.get_view_names())):
            yield Fault(name, f"the view {name} is missing", RESTORE)
    except SQLAlchemyError as error:
        yield Fault(None, f"the list of tables cannot be read ({cause(error)})", RESTORE)


def _missing(connection: Connection, known: Any, there: set[str]) -> Iterator[Fault]:
    for table in metadata.sorted_tables:
        if table.name not in there:
            yield Fault(table.name, f"the table {table.name} is missing", RESTORE)
            continue
        columns = {column["name"] for column in known.get_columns(table.name)}
        for column in table.c:
            if column.name not in columns:
                yield Fault(table.name, f"the column {column.name} of the table {table.name} is missing", RESTORE)
        indexes = {index["name"] for index in known.get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in indexes:
                sql = " ".join(str(CreateIndex(index).compile(dialect=connection.dialect)).split())
                yield Fault(
                    table.name,
                    f"the index {index.name} of the table {table.name} is missing",
                    f"make it anew in the database: {sql};",
                )
        if known.get_pk_constraint(table.name)["constrained_columns"] != [key.name for key in table.primary_key]:
            yield Fault(table.name, f"the primary key of the table {table.name} is missing", RESTORE)


def _of_server(connection: Connection, there: Sequence[Table]) -> Iterator[Fault]:
    """Indexes, references and sequences of a server that do not do their work."""
    names = [table.name for table in there]
    query = (
        "SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text FROM pg_index i"
        " WHERE NOT i.indisvalid AND i.indrelid = ANY (CAST(%s AS regclass[]))"
    )
    for index, table in connection.exec_driver_sql(query, (names,)):
        todo = f"make it anew in the database: REINDEX INDEX {index};"
        yield Fault(table, f"the index {index} of the table {table} is invalid", todo)
    query = (
        "SELECT conname, conrelid::regclass::text FROM pg_constraint"
        " WHERE NOT convalidated AND conrelid = ANY (CAST(%s AS regclass[]))"
    )
    for name, table in connection.exec_driver_sql(query, (names,)):
        todo = f"let the database check them: ALTER TABLE {table} VALIDATE CONSTRAINT {name};"
        yield Fault(table, f"the references {name} of the table {table} were never checked", todo)
    for table in there:
        for column in table.primary_key:
            numbered = func.pg_get_serial_sequence(table.name, column.name)
            sequence = connection.execute(select(numbered)).scalar_one()
            if sequence is None:
                continue
            last = connection.execute(select(func.max(column))).scalar_one() or 0
            given, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()  # noqa: S608
            if given + is_called <= last:
                what = f"the next {column.name} of the table {table.name} is one that a row has already"
                todo = f"set it behind them in the database: SELECT setval('{sequence}', {last});"
                yield Fault(table.name, what, todo)


# --- what refers to what ----------------------------------------------------------------------------------------------


def _of_references(connection: Connection, there: Sequence[Table]) -> Iterator[Fault]:
    """Rows that refer to rows that are gone."""
    for table, other, where, what, todo in _wanted():
        if table not in there or other not in there:
            continue
        keys = list(table.primary_key)
        try:
            count = connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()
            if not count:
                continue
            first = connection.execute(select(*keys).where(where).order_by(*keys).limit(1)).one()
        except SQLAlchemyError as error:
            yield _unreadable(table.name, cause(error))
            continue
        named = ", ".join(f"{key.name} {value!r}" for key, value in zip(keys, first, strict=True))
        yield Fault(table.name, f"the table {table.name}: {_many(count)} {what}, such as {named}", todo)


def _wanted() -> Iterator[tuple[Table, Table, ColumnElement[bool], str, str]]:
    """Each table and another, which rows of the first are at fault, what is said of them, and what to do."""
    for table in metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            yield table, key.column.table, *_gone(key.parent, key.column), BY_HAND
    for table in (matters, flaps):
        for name, parent in (("environment_id", environments), ("number_id", numbers)):
            where, what = _gone(table.c[name], parent.c.id)
            yield table, parent, where & (table.c[name] != 0), what, BY_HAND
    yield matters, alerts, *_gone(matters.c.alert_id, alerts.c.id), BY_HAND
    yield numbers, entries, ~_has(entries.c.number_id, numbers.c.id), "without an entry", BY_HAND
    waits = (deliveries.c.state == "pending") & ~_has(delivery_alerts.c.delivery_id, deliveries.c.id)
    yield deliveries, delivery_alerts, waits, "that wait without an alert", BY_HAND
    held = ~_has(instances.c.id, leases.c.instance)
    yield (
        leases,
        instances,
        held,
        "held by a daemon that is not in the table instances",
        "delete them: nobody holds them",
    )


def _has(there: Any, column: Any) -> Any:
    """Whether ``there`` has the value of ``column``."""
    return exists(select(1).where(there == column).correlate(column.table))


def _gone(column: Any, parent: Any) -> tuple[Any, str]:
    return column.is_not(None) & ~_has(parent, column), f"whose {column.name} is not in the table {parent.table.name}"


def _many(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _unreadable(table: str, why: str) -> Fault:
    return Fault(table, f"the table {table} cannot be read whole ({why})", RESTORE)


# --- what stands in the rows ------------------------------------------------------------------------------------------


def _of_rows(shape: Shape) -> list[Fault]:
    """Values that are not what their column is for."""
    try:
        return _odd_values(shape)
    except StoreError as error:
        driver = shape.side.driver
        if shape.side.is_postgresql or "decode" not in str(error):
            return [Fault(shape.name, str(error), RESTORE)]
        driver.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")  # slower, but the rows can be named
        try:
            return _odd_values(shape)
        except StoreError as again:
            return [Fault(shape.name, str(again), RESTORE)]
        finally:
            driver.text_factory = str


def _odd_values(shape: Shape) -> list[Fault]:
    known: set[tuple[type, ...]] = set()
    checks = [
        (place, column, check)
        for place, column in enumerate(shape.columns)
        if (check := _check(shape.name, column)) is not None
    ]
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for row in shape.rows():
        kinds = tuple(map(type, row))
        said = {}
        if kinds not in known:
            said = {column.name: misfit(column, value) for column, value in zip(shape.columns, row, strict=True)}
            if not any(said.values()):
                known.add(kinds)
        for place, column, check in checks:
            if row[place] is not None and not said.get(column.name):
                said[column.name] = check(row[place])
        for name, what in said.items():
            if what is not None:
                counts[name, what] += 1
                examples.setdefault((name, what), shape.key_of(row))
    return [
        Fault(
            shape.name,
            f"the table {shape.name}: {_many(count)} in which {name} {what}, such as {examples[name, what]}",
            BY_HAND,
        )
        for (name, what), count in counts.items()
    ]


def _check(table: str, column: Any) -> Callable[[Any], str | None] | None:
    """What looks at a value of a column that has the right type, None where any will do."""
    if isinstance(column.type, Instant):
        return _not_an_instant
    if column is entries.c.entry:
        return _no_entry
    if isinstance(column.type, JSON) or (table, column.name) in _JSON:
        return _not_json
    if isinstance(column.type, Boolean | Text):
        return lambda value: misfit(column, value)
    return None


@lru_cache(maxsize=16_384)  # a poll writes the same instant thousands of times
def _not_an_instant(text: Any) -> str | None:
    try:
        if isinstance(text, str) and _INSTANT.fullmatch(text):
            datetime.fromisoformat(text)
            return None
    except ValueError:
        pass
    return "is no instant"


def _no_entry(text: Any) -> str | None:
    try:
        read(text.encode())
    except (ValueError, RecursionError, AttributeError):
        return _not_json(text) or "is no entry of a number"
    return None


def _not_json(text: Any) -> str | None:
    try:
        decode(text.encode())
    except (ValueError, RecursionError, AttributeError):
        return "is no JSON"
    return None
