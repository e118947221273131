"""Which numbers are missing, meant to expire, overdue, which incidents are open or folded: one definition for every query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, and_, cast, exists, func, literal, or_, select

from renewal_watch.database.schema import absences, cycles, incidents, lapses, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.model import kinds
from renewal_watch.model.alerts import Severity

MISSING = numbers.c.id.in_(select(absences.c.number_id).where(absences.c.missing_at.is_not(None)))
_GONE = incidents.alias()
OPEN = incidents.c.resolved_at.is_(None)
LAPSING = numbers.c.id.in_(select(lapses.c.number_id))

FOLDED = exists().where(  # a number that is missing is one incident: what else was about it waits for its return
    incidents.c.topic != "presence",
    _GONE.c.topic == "presence",
    _GONE.c.resolved_at.is_(None),
    _GONE.c.suppressor.is_(None),  # what nobody is told stands for nothing
    _GONE.c.environment_id == incidents.c.environment_id,
    _GONE.c.number_id == incidents.c.number_id,
)

LAPSED = and_(  # what is meant so
    incidents.c.kind.in_(kinds.names(hidden_by_lapse=True)),
    incidents.c.number_id.in_(select(lapses.c.number_id)),
)
AT_RISK = and_(  # incidents for which a number stands out of the fleet: more than information, and not meant so
    OPEN,
    incidents.c.number_id != 0,
    incidents.c.severity > int(Severity.info),
    ~LAPSED,
)


def fits_kind(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """The rows whose kind is this one, or begins so where the pattern ends with a star."""
    return column.startswith(pattern[:-1], autoescape=True) if pattern.endswith("*") else column == pattern


def called(search: str) -> ColumnElement[bool]:
    """The numbers that have this in their number, however its digits are set apart, or in their id."""
    digits = "".join(c for c in search if c not in " -()./")
    by_id = numbers.c.provider_id.icontains(search, autoescape=True)
    return or_(numbers.c.number.contains(digits, autoescape=True), by_id) if digits else by_id


def overdue(today: int) -> ColumnElement[bool]:
    """The numbers of which ``Known.is_overdue`` is true; ``today`` is an ordinal."""
    shown = select(cycles.c.number_id).where(cycles.c.overdue_told > 0)
    return and_(numbers.c.id.in_(shown), numbers.c.renews_on < today, ~LAPSING, ~MISSING)


def among(tx: Transaction, column: ColumnElement[Any], ids: Sequence[int] | None) -> list[ColumnElement[bool]]:
    """The condition that a column is one of many ids, more than a statement takes parameters; none for None."""
    if ids is None:
        return []
    text = json.dumps(list(ids))
    if tx.is_postgresql:
        return [column.in_(select(cast(func.json_array_elements_text(cast(literal(text), JSON)), BigInteger)))]
    return [column.in_(select(func.json_each(text).table_valued("value").c.value))]
