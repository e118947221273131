"""Whether the rows of a database are what they should be, value by value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, Boolean, Text

from renewal_watch.database.instants import Instant
from renewal_watch.database.schema import entries
from renewal_watch.database.shape import Shape, misfit
from renewal_watch.errors import StoreError
from renewal_watch.provider.entries import decode, read
from renewal_watch.store.maintenance.integrity_schema import BY_HAND, RESTORE, Fault, many

_JSON = {  # kept as text
    *(("changes", "fields"), ("silences", "match"), ("readings", "content")),
    *(("alerts", "facts"), ("alerts", "around"), ("alerts", "reason"), ("incidents", "reason")),
}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def of_rows(shape: Shape) -> list[Fault]:
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
            f"the table {shape.name}: {many(count)} in which {name} {what}, such as {examples[name, what]}",
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
