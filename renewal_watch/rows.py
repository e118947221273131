"""What every part of a transaction stands on: the open connection, and statements for many rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

_CHUNK = 500  # values in one IN list, below SQLite's oldest limit of 999


class Rows:
    """An open transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._known_ids: dict[tuple[str, str], int] = {}  # of numbers, by environment and provider id

    def _driver(self) -> Any:
        """A cursor of the driver in this transaction: rows of 100,000 numbers without an object of SQLAlchemy each."""
        return self.connection.connection.cursor()

    def _many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """One statement for many rows, made one by one as the driver takes them: a list of them all would cost memory."""
        self._driver().executemany(statement, rows)

    def _last_id(self, table: Any) -> int:
        return int(self.connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``values`` in parts that fit into one IN list."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
