"""Whether a file is a whole SQLite database, page by page."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, StaticPool, Table, create_engine, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from renewal_watch.database.copying import integrity
from renewal_watch.database.schema import metadata
from renewal_watch.database.shape import Shape, Side, cause
from renewal_watch.database.sqlite import BUSY_TIMEOUT_S
from renewal_watch.errors import StoreError
from renewal_watch.store.maintenance.integrity_rows import of_rows
from renewal_watch.store.maintenance.integrity_schema import BY_HAND, RESTORE, Fault, of_references, of_schema

_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes; sqlite.org/fileformat.html


def look_at(connection: Connection, side: Side, broken: set[str]) -> list[Fault]:
    """What SQL can find, but for the tables that are known to be ``broken``."""
    faults = [fault for fault in of_schema(connection) if fault.table not in broken]
    if any(fault.table is None for fault in faults):
        return faults
    absent = broken | {fault.table for fault in faults}
    there = [table for table in metadata.sorted_tables if table.name not in absent]
    if side.is_postgresql:
        faults += _of_server(connection, there)
    faults += of_references(connection, there)
    for table in there:
        faults += of_rows(Shape(table, side))
    return faults


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
                return faults + look_at(connection, side, broken)
            there = set(inspect(connection).get_table_names()) - broken
            return faults + list(
                of_references(connection, [one for one in metadata.sorted_tables if one.name in there])
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
