"""Sums over the whole fleet: what renews when and for how much, how many there are of each.

They look at every row of the table ``numbers`` and keep none; amounts are put together from groups of equal prices, exactly,
and never across currencies.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select

from renewal_watch.database.schema import NOT_ACTIVE, environments, incidents, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.store.fleet import ids_of, is_watched, is_within, money
from renewal_watch.store.selections import LAPSING, MISSING, OPEN, among, overdue


class Due(NamedTuple):
    """Numbers that are alike: one renewal day (an ordinal, None without one), one price (None where none is stated)."""

    environment: str
    renews_on: int | None
    status: str
    auto_renewal: bool
    is_lapsing: bool
    currency: str
    cost: Decimal | None
    numbers: int

    @property
    def amount(self) -> Decimal:
        """What they cost together; 0 where no price is known."""
        return (self.cost or Decimal(0)) * self.numbers


class Fact(NamedTuple):
    """A number as a line of a feed."""

    environment: str
    provider_id: str
    number: str
    renews_on: int | None
    auto_renewal: bool
    is_sandbox: bool
    is_missing: bool
    is_lapsing: bool
    status: str
    cost: Decimal | None
    currency: str


def due(
    tx: Transaction,
    those: Sequence[str],
    *,
    sandbox: Sequence[str] = (),
    until: int | None = None,
    ids: Sequence[int] | None = None,
) -> list[Due]:
    """Every present number that is watched, in groups of equal ones, the first to renew first.

    Up to the day ``until`` (an ordinal), of the numbers ``ids``, where they are given.
    """
    names = {pk: name for name, pk in ids_of(tx, those).items()}
    columns = (
        numbers.c.environment_id,
        numbers.c.renews_on,
        numbers.c.status,
        numbers.c.auto_renewal,
        LAPSING,
        func.coalesce(numbers.c.currency, ""),
        numbers.c.cost,
    )
    query = (
        select(*columns, func.count())
        .where(is_within(tx, those), ~MISSING, is_watched(tx, sandbox))
        .where(*([] if until is None else [numbers.c.renews_on <= until]), *among(tx, numbers.c.id, ids))
        .group_by(*columns)
        .order_by(numbers.c.renews_on.asc().nulls_first(), numbers.c.environment_id)
    )
    return [
        Due(names[place], on, status, auto, bool(lapsing), currency, money(cost), count)
        for place, on, status, auto, lapsing, currency, cost, count in tx.connection.execute(query)
    ]


def facts(tx: Transaction, those: Sequence[str]) -> Iterator[Fact]:
    """Every known number, in the order in which they were first seen, one at a time."""
    query = (
        select(
            environments.c.name,
            numbers.c.provider_id,
            numbers.c.number,
            numbers.c.renews_on,
            numbers.c.auto_renewal,
            numbers.c.is_sandbox,
            MISSING.label("is_missing"),
            LAPSING.label("is_lapsing"),
            numbers.c.status,
            numbers.c.cost,
            func.coalesce(numbers.c.currency, ""),
        )
        .join(environments, environments.c.id == numbers.c.environment_id)
        .where(numbers.c.environment_id.in_(ids_of(tx, those).values()))
        .order_by(numbers.c.id)
        .execution_options(yield_per=1000)
    )
    for row in tx.connection.execute(query):
        fact = Fact._make(tuple(row))
        yield fact._replace(is_missing=bool(row.is_missing), is_lapsing=bool(row.is_lapsing), cost=money(row.cost))


def overdue_of(
    tx: Transaction,
    those: Sequence[str],
    today: int,
    *,
    sandbox: Sequence[str] = (),
    ids: Sequence[int] | None = None,
) -> int:
    """How many numbers are overdue, of ``ids`` where they are given. ``today`` is an ordinal."""
    where = [is_within(tx, those), is_watched(tx, sandbox), overdue(today), *among(tx, numbers.c.id, ids)]
    return int(tx.connection.execute(select(func.count()).select_from(numbers).where(*where)).scalar_one())


def counts(tx: Transaction, those: Sequence[str], today: int, *, sandbox: Sequence[str] = ()) -> dict[str, int]:
    """How many numbers need somebody: ``overdue``, ``missing``, and each status but active, by name.

    ``today`` is an ordinal.
    """
    where = [is_within(tx, those), is_watched(tx, sandbox)]
    asked: dict[str, list[ColumnElement[bool]]] = {
        "overdue": [overdue(today)],
        "missing": [MISSING],
    }
    asked |= {
        status or "none stated": [NOT_ACTIVE, numbers.c.status == status, ~MISSING]
        for status in statuses(tx)
        if status != "active"
    }
    return {
        name: tx.connection.execute(select(func.count()).select_from(numbers).where(*where, *more)).scalar_one()
        for name, more in asked.items()
    }


def statuses(tx: Transaction) -> list[str]:
    """``active``, and every other status that any number has, in alphabetical order; found by leaps through the index."""
    found: list[str] = []
    while True:
        beyond = [numbers.c.status > found[-1]] if found else []
        query = select(func.min(numbers.c.status)).where(NOT_ACTIVE, *beyond)
        following = tx.connection.execute(query).scalar_one()
        if following is None:
            return sorted([*found, "active"])
        found.append(following)


# --- by environment ---------------------------------------------------------------------------------------------------


class Within(NamedTuple):
    """Environments by their ids, and those of them whose sandbox numbers are watched."""

    ids: Collection[int]
    sandbox: Collection[int]

    @property
    def watched(self) -> ColumnElement[bool]:
        """Their numbers that alerts speak of."""
        with_sandbox = numbers.c.environment_id.in_(self.sandbox) if self.sandbox else false()
        return and_(numbers.c.environment_id.in_(self.ids), or_(~numbers.c.is_sandbox, with_sandbox))


def by_status(tx: Transaction, within: Within) -> list[tuple[int, str, int]]:
    """Environment, status, and how many listed numbers have it."""
    columns = (numbers.c.environment_id, numbers.c.status)
    query = select(*columns, func.count()).where(within.watched, ~MISSING).group_by(*columns)
    return [(pk, status, count) for pk, status, count in tx.connection.execute(query)]


def how_many(tx: Transaction, within: Within, which: Literal["lapsing", "undated"]) -> dict[int, int]:
    """By environment, how many listed numbers are meant to expire, or have no renewal day that is known."""
    wanted = LAPSING if which == "lapsing" else numbers.c.renews_on.is_(None)
    query = select(numbers.c.environment_id, func.count()).where(within.watched, ~MISSING, wanted)
    counts = tx.connection.execute(query.group_by(numbers.c.environment_id))
    return {int(pk): int(count) for pk, count in counts}


def by_acknowledgement(
    tx: Transaction, within: Within, which: Literal["overdue", "missing"], today: int
) -> dict[tuple[int, bool], int]:
    """How many numbers are overdue, or are gone and nothing explains it; by environment, and whether somebody knows."""
    its = and_(
        incidents.c.environment_id == numbers.c.environment_id,
        incidents.c.number_id == numbers.c.id,
        incidents.c.topic == ("renewal" if which == "overdue" else "presence"),
        OPEN,
    )
    wanted = overdue(today) if which == "overdue" else and_(MISSING, exists().where(its))
    columns = (numbers.c.environment_id, exists().where(its, incidents.c.acked_at.is_not(None)).label("is_known"))
    query = select(*columns, func.count()).where(within.watched, wanted).group_by(*columns)
    return {(pk, bool(is_known)): count for pk, is_known, count in tx.connection.execute(query)}


def renewing(tx: Transaction, within: Within, first: int, last: int) -> list[tuple[int, int, bool, int]]:
    """Environment, renewal day, auto-renewal, and how many numbers renew or end so, from one day to another (ordinals)."""
    columns = (numbers.c.environment_id, numbers.c.renews_on, numbers.c.auto_renewal)
    query = select(*columns, func.count()).where(
        within.watched, ~MISSING, ~LAPSING, numbers.c.renews_on.between(first, last)
    )
    return [(pk, on, bool(auto), count) for pk, on, auto, count in tx.connection.execute(query.group_by(*columns))]


def renewal_days(
    tx: Transaction, within: Within, *, only_lost: bool = False
) -> Iterator[Sequence[tuple[int, str, str, int]]]:
    """Environment, id, number and renewal day of the listed numbers that have one, a thousand at a time.

    ``only_lost``: of those that end unless somebody renews them, and are not meant to.
    """
    query = select(numbers.c.environment_id, numbers.c.provider_id, numbers.c.number, numbers.c.renews_on)
    query = query.where(within.watched, ~MISSING, numbers.c.renews_on.is_not(None))
    if only_lost:
        query = query.where(~numbers.c.auto_renewal, ~LAPSING)
    rows = tx.connection.execute(query.order_by(numbers.c.id).execution_options(yield_per=1000))
    for part in rows.partitions():
        yield [tuple(row) for row in part]
