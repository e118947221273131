"""When something that is done by a calendar was last done."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, insert, select

from renewal_watch.database.schema import calendars
from renewal_watch.database.transaction import Transaction


def fired_at(tx: Transaction, name: str) -> tuple[datetime, str | None] | None:
    """When a calendar was last followed, and what is kept of that; None before the first time."""
    row = tx.connection.execute(select(calendars).where(calendars.c.name == name)).one_or_none()
    return None if row is None else (row.fired_at, row.state)


def set_fired(tx: Transaction, name: str, at: datetime, state: str | None = None) -> None:
    """A calendar was followed."""
    tx.connection.execute(delete(calendars).where(calendars.c.name == name))
    tx.connection.execute(insert(calendars).values(name=name, fired_at=at, state=state))
