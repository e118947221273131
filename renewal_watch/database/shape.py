"""What a table is made of on either engine, and what of a row does not fit. Pure."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import JSON, Boolean, Connection, Integer, LargeBinary, Table
from sqlalchemy.exc import SQLAlchemyError

from renewal_watch.database.engine import shown
from renewal_watch.database.instants import Instant
from renewal_watch.database.schema import about, metadata
from renewal_watch.errors import StoreError

COPYING = "copying"  # the row of ``about`` in an unfinished copy; its value says where it is from
_INSTANT = 27  # characters of an instant
PAGE = 1000  # rows read at a time
BATCH = 5000  # rows written at a time
_OF_DAEMONS = ("instances", "leases")  # what running daemons hold is nobody's history
TABLES = tuple(table for table in metadata.sorted_tables if table.name not in _OF_DAEMONS)
Row = tuple[Any, ...]


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
