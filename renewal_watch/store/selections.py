"""Which numbers are missing, meant to expire, overdue, and which incidents are open: one definition each, for every query."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, select

from renewal_watch.database.schema import absences, cycles, incidents, lapses, numbers

MISSING = numbers.c.id.in_(select(absences.c.number_id).where(absences.c.missing_at.is_not(None)))
OPEN = incidents.c.resolved_at.is_(None)
LAPSING = numbers.c.id.in_(select(lapses.c.number_id))


def overdue(today: int) -> ColumnElement[bool]:
    """The numbers of which ``Known.is_overdue`` is true; ``today`` is an ordinal."""
    shown = select(cycles.c.number_id).where(cycles.c.overdue_told > 0)
    return and_(numbers.c.id.in_(shown), numbers.c.renews_on < today, ~LAPSING, ~MISSING)
