"""The numbers that alerts speak of: how many there are, and which may demand something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from renewal_watch.database.schema import absences, cycles, environments, lapses, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.settings.whole import Settings
from renewal_watch.store.selections import MISSING


def watched_of(settings: Settings, names: Sequence[str]) -> ColumnElement[bool]:
    """Numbers of these environments that alerts speak of."""
    of = {
        is_all: select(environments.c.id).where(
            environments.c.name.in_([name for name in names if settings.environment(name).include_sandbox == is_all])
        )
        for is_all in (True, False)
    }
    return or_(
        numbers.c.environment_id.in_(of[True]), and_(numbers.c.environment_id.in_(of[False]), ~numbers.c.is_sandbox)
    )


class Number(NamedTuple):
    """A number that may demand something. ``renews_on`` is an ordinal."""

    environment: str
    provider_id: str
    number: str
    renews_on: int | None
    auto_renewal: bool
    status: str
    is_overdue: bool
    is_missing: bool
    is_lapsing: bool


class Size(NamedTuple):
    """How many numbers of an environment are watched and in its list, have a renewal day, and renew by themselves on one."""

    environment: str
    total: int
    dated: int
    renewing: int


def sizes_of(tx: Transaction, watched: ColumnElement[bool]) -> list[Size]:
    """The sizes of the environments that have a number."""
    query = (
        select(
            environments.c.name,
            func.count(),
            func.count(numbers.c.renews_on),
            func.count(case((numbers.c.auto_renewal, numbers.c.renews_on))),
        )
        .join(numbers, numbers.c.environment_id == environments.c.id)
        .where(watched, ~MISSING)
        .group_by(environments.c.name)
    )
    return [Size(*row) for row in tx.connection.execute(query)]


def candidates_of(tx: Transaction, watched: ColumnElement[bool]) -> Iterator[Number]:
    """The numbers that may demand something, the first to renew first."""
    is_overdue = and_(cycles.c.overdue_told.is_not(None), cycles.c.overdue_told > 0)
    is_missing = absences.c.missing_at.is_not(None)
    query = (
        select(
            environments.c.name,
            numbers.c.provider_id,
            numbers.c.number,
            numbers.c.renews_on,
            numbers.c.auto_renewal,
            numbers.c.status,
            is_overdue,
            is_missing,
            lapses.c.number_id.is_not(None),
        )
        .join(environments, environments.c.id == numbers.c.environment_id)
        .outerjoin(cycles, cycles.c.number_id == numbers.c.id)
        .outerjoin(absences, absences.c.number_id == numbers.c.id)
        .outerjoin(lapses, lapses.c.number_id == numbers.c.id)
        .where(watched, or_(numbers.c.status != "active", is_missing, is_overdue, ~numbers.c.auto_renewal))
        .order_by(numbers.c.renews_on, numbers.c.id)
    )
    for row in tx.connection.execute(query):
        yield Number(*row[:6], *map(bool, row[6:]))
