"""Instants in the database: text in UTC on either engine, compared as text."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import String
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class Instant(TypeDecorator[datetime]):
    """An aware datetime as ``2026-11-23T10:00:00.000000Z``."""

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """In the order of its bytes, which is that of time."""
        return dialect.type_descriptor(String(27, collation="C" if dialect.name == "postgresql" else None))

    def process_bind_param(self, value: datetime | None, dialect: object) -> str | None:
        """Refuse naive times: they would be read back as another instant."""
        del dialect
        return None if value is None else write_instant(value)

    def process_result_value(self, value: str | None, dialect: object) -> datetime | None:
        """The same instant, aware."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


@lru_cache(maxsize=256)  # a poll writes the same instant thousands of times
def write_instant(value: datetime) -> str:
    """The text form of an aware instant. Raises ValueError for a naive one."""
    if value.tzinfo is None:
        msg = "an instant needs a time zone"
        raise ValueError(msg)
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
