"""What every part of a transaction stands on: the open connection, its clock, and statements for many rows at once.

Rows by the hundred thousand go straight to the driver, without an object of SQLAlchemy each. Both engines are given what
suits them: SQLite one statement for many rows, as the driver takes them one by one; PostgreSQL a COPY, or arrays of some
rows at a time, for each row of its own would be a message over the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Literal

from sqlalchemy import Connection, Table, func, select

from renewal_watch.database.engine import IDLE_S

_CHUNK = 500  # values in one IN list, below SQLite's oldest limit of 999
_MANY = 50_000  # numbers that even a slow machine judges within the time that a server lets a transaction be idle
_ARRAY = 2000  # rows that PostgreSQL is given at once
_ARRAY_TYPES = {bool: "boolean[]", int: "bigint[]", bytes: "bytea[]", object: "json[]"}  # any other: text[]

Clash = Literal["fail", "keep", "replace"]


class Transaction:
    """An open transaction. With ``is_simulated`` time is made up, and leases go by the caller's clock."""

    def __init__(self, connection: Connection, *, is_simulated: bool = False) -> None:
        self.connection = connection
        self.is_postgresql = connection.dialect.name == "postgresql"
        self._is_simulated = is_simulated
        self.environment_ids: dict[str, int] = {}
        self.known_ids: dict[tuple[str, str], int] = {}  # of numbers, by environment and provider id

    def clock(self, now: datetime) -> datetime:
        """The time that leases go by: of the database, which all its daemons share. SQLite has no other than ``now``."""
        if not self.is_postgresql or self._is_simulated:
            return now
        at: datetime = self.connection.execute(select(func.clock_timestamp())).scalar_one()
        return at.astimezone(UTC)  # now() would stand still for the length of the transaction

    def expect(self, count: int) -> None:
        """Say that work on so many numbers follows: for many, a server lets it think longer between two statements."""
        if self.is_postgresql and count > _MANY:
            self.rows(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S + count * IDLE_S // _MANY}s'")

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Any:
        """What a statement of our own gives, as tuples; ``?`` stands for a value on either engine."""
        return self._driver().execute(self._spelled(statement), tuple(values))

    def many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement of our own for some rows; for many of them see ``put``, ``change`` and ``drop``."""
        self._driver().executemany(self._spelled(statement), rows)

    def put(self, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]], clash: Clash = "fail") -> None:
        """Insert rows. ``clash`` says what becomes of one whose primary key, or other unique columns, are there."""
        some = _some(rows)
        if some is None:
            return
        names = ", ".join(columns)
        ending = {"fail": "", "keep": " ON CONFLICT DO NOTHING"}.get(clash)
        if ending is None:
            ending = _replacing(table, columns)
        if not self.is_postgresql:
            places = ", ".join("?" * len(columns))
            self.many(f"INSERT INTO {table.name} ({names}) VALUES ({places}){ending}", some)  # noqa: S608 (own names)
        elif clash == "fail":
            with self._driver().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in some:
                    copy.write_row(row)
        else:
            given = f"SELECT * FROM unnest({_arrays(table, columns)})"  # noqa: S608 (own names)
            self._by_arrays(f"INSERT INTO {table.name} ({names}) {given}{ending}", some)

    def change(self, table: Table, columns: Sequence[str], key: str, rows: Iterable[Sequence[Any]]) -> None:
        """Update rows: each the new values of ``columns``, then the value of ``key`` that says which row it is."""
        some = _some(rows)
        if some is None:
            return
        if not self.is_postgresql:
            sets = ", ".join(f"{name} = ?" for name in columns)
            self.many(f"UPDATE {table.name} SET {sets} WHERE {key} = ?", some)  # noqa: S608 (own names)
            return
        sets = ", ".join(f"{name} = given.{name}" for name in columns)
        names = ", ".join((*columns, key))
        given = f"unnest({_arrays(table, (*columns, key))}) AS given ({names})"
        self._by_arrays(f"UPDATE {table.name} SET {sets} FROM {given} WHERE {table.name}.{key} = given.{key}", some)  # noqa: S608

    def drop(self, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Delete the rows with these values in ``columns``."""
        some = _some(rows)
        if some is None:
            return
        if not self.is_postgresql:
            where = " AND ".join(f"{name} = ?" for name in columns)
            self.many(f"DELETE FROM {table.name} WHERE {where}", some)  # noqa: S608 (own names)
            return
        where = " AND ".join(f"{table.name}.{name} = given.{name}" for name in columns)
        given = f"unnest({_arrays(table, columns)}) AS given ({', '.join(columns)})"
        self._by_arrays(f"DELETE FROM {table.name} USING {given} WHERE {where}", some)  # noqa: S608 (own names)

    def new_ids(self, table: Table, count: int) -> Sequence[int]:
        """Ids that no row of the table has, ascending. On PostgreSQL others may take ids between them meanwhile."""
        if not self.is_postgresql:
            first = self.last_id(table) + 1
            return range(first, first + count)
        query = "SELECT nextval(pg_get_serial_sequence(?, 'id')) FROM generate_series(1, ?)"
        return sorted(row[0] for row in self.rows(query, (table.name, count)))

    def last_id(self, table: Table) -> int:
        """The highest id of a table, 0 for an empty one."""
        return int(self.connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())

    def _driver(self) -> Any:
        return self.connection.connection.cursor()

    def _spelled(self, statement: str) -> str:
        return statement.replace("%", "%%").replace("?", "%s") if self.is_postgresql else statement

    def _by_arrays(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        left = iter(rows)
        while some := list(islice(left, _ARRAY)):
            # As binary values: as text, each would be escaped by Python code, ten times as slow.
            self._driver().execute(statement.replace("?", "%b"), [list(column) for column in zip(*some, strict=True)])


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``values`` in parts that fit into one IN list."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _arrays(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"?::{_ARRAY_TYPES.get(_python_type(table, name), 'text[]')}" for name in columns)


def _python_type(table: Table, name: str) -> type:
    kind = table.c[name].type
    found: type = getattr(kind, "impl", kind).python_type
    return found


def _some(rows: Iterable[Sequence[Any]]) -> Iterable[Sequence[Any]] | None:
    """The same rows, None for none: a statement without rows is a way to the server for nothing."""
    left = iter(rows)
    first = next(left, None)
    return None if first is None else chain((first,), left)


def _replacing(table: Table, columns: Sequence[str]) -> str:
    keys = [column.name for column in table.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    return f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
