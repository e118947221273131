"""The fleet as it is looked at: pages of it by search, filter and order.

A page reads no more than it shows, whatever the size of the fleet, as long as it goes by renewal day; a search, another
order look at every row of the table ``numbers``, and keep none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from itertools import islice
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, Float, Row, Select, cast, func, or_, select

from renewal_watch.database.schema import (
    NOT_ACTIVE,
    absences,
    cycles,
    doubts,
    entries,
    environments,
    incidents,
    lapses,
    numbers,
)
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.errors import UsageError
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.tracking import Absence, Cycle, Doubt, Known, Lapse
from renewal_watch.provider.entries import read
from renewal_watch.store.selections import AT_RISK, LAPSING, MISSING, among, called, overdue

COUNTED = 10_000  # more rows than this that fit are "more than": counting them all would be a wait
PER_PAGE = 50
Order = Literal["risk", "renewal", "number", "status", "cost", "environment"]
Show = Literal["present", "missing", "sandbox", "lapsing", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What of the fleet is asked for; empty means whatever.

    ``search`` is a part of the number or of the id. ``within`` is days until the renewal day; what is overdue is within
    any. ``renews_on`` leaves only numbers of that renewal day, ``overdue`` those whose renewal day has passed. Raises
    UsageError for what no page has.
    """

    search: str = ""
    environment: str = ""
    status: str = ""
    country: str = ""
    type: str = ""
    currency: str = ""
    auto_renewal: bool | None = None
    within: int | None = None
    renews_on: date | None = None
    overdue: bool = False
    show: Show = "present"
    order: Order = "renewal"
    descending: bool = False
    page: int = 1
    per_page: int = PER_PAGE

    def __post_init__(self) -> None:
        """Refuse what no page has."""
        for name, known in (("show", get_args(Show)), ("order", get_args(Order))):
            if getattr(self, name) not in known:
                msg = f"{name}: {getattr(self, name)!r} is not known; it is one of: {', '.join(known)}"
                raise UsageError(msg)
        for name, low, high in (("page", 1, 1_000_000), ("per_page", 1, 1000), ("within", 0, 36_500)):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                msg = f"{name}: {value} is not within {low} and {high}"
                raise UsageError(msg)

    def given(self) -> dict[str, Any]:
        """The fields that are not as they are by default."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default}


class Listed(NamedTuple):
    """One number of a page."""

    environment: str
    known: Known
    number: PhoneNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``total`` is how many fit the query; with ``is_more`` there are more than that."""

    rows: tuple[Listed, ...]
    total: int
    is_more: bool


# Not the bare column: its index would be taken for a condition that nearly all rows fit, and their order lost.
_PLACE = numbers.c.environment_id + 0
_SMALL = 10  # environments with less than this part of all numbers are found by that index after all
_COST = cast(numbers.c.cost, Float)  # near enough to sort by
_CORE = [numbers.c["id" if name == "pk" else name] for name in Known._fields[: Known._fields.index("cycle")]]
_LISTED = (  # in the order of ``_listed``
    select(environments.c.name, entries.c.entry, *_CORE, *cycles.c, *absences.c)
    .add_columns(lapses.c.number_id, lapses.c.renews_on, lapses.c.reminded_on, *doubts.c)
    .select_from(numbers)
    .join(environments, environments.c.id == numbers.c.environment_id)
    .join(entries, entries.c.number_id == numbers.c.id)
    .outerjoin(cycles, cycles.c.number_id == numbers.c.id)
    .outerjoin(absences, absences.c.number_id == numbers.c.id)
    .outerjoin(lapses, lapses.c.number_id == numbers.c.id)
    .outerjoin(doubts, doubts.c.number_id == numbers.c.id)
)


def page(
    tx: Transaction,
    query: Query,
    those: Sequence[str],
    today: int,
    *,
    sandbox: Sequence[str] = (),
    ids: Sequence[int] | None = None,
) -> Page:
    """The rows of one page of the environments ``those``; ``sandbox`` are those whose sandbox numbers are watched.

    ``today`` is an ordinal; ``ids`` leaves only these numbers.

    While the fleet stays as it is, its pages together show each number that fits exactly once.
    """
    where = _conditions(query, is_within(tx, _asked(query, those)), today, is_watched(tx, sandbox))
    where += among(tx, numbers.c.id, ids)
    bounded = select(numbers.c.id).where(*where).limit(COUNTED + 1).subquery()
    total: int = tx.connection.execute(select(func.count()).select_from(bounded)).scalar_one()
    rows = _rows(tx, query, where) if total else []
    return Page(rows=tuple(rows), total=min(total, COUNTED), is_more=total > COUNTED)


def one(tx: Transaction, environment: str, provider_id: str) -> Listed | None:
    """The number with exactly this id, None where there is none."""
    query = _LISTED.where(environments.c.name == environment, numbers.c.provider_id == provider_id)
    row = tx.connection.execute(query).one_or_none()
    return None if row is None else _listed(row)


def every(tx: Transaction, those: Sequence[str]) -> Iterator[Listed]:
    """Every known number, in the order in which they were first seen, one at a time."""
    query = _LISTED.where(numbers.c.environment_id.in_(ids_of(tx, those).values())).order_by(numbers.c.id)
    yield from map(_listed, tx.connection.execute(query.execution_options(yield_per=500)))


def ids_of(tx: Transaction, those: Sequence[str]) -> dict[str, int]:
    """The ids of environments, by name."""
    query = select(environments.c.name, environments.c.id).where(environments.c.name.in_(those))
    return {row.name: row.id for row in tx.connection.execute(query)}


def _asked(query: Query, those: Sequence[str]) -> Sequence[str]:
    return [name for name in those if query.environment in ("", name)]


def is_within(tx: Transaction, those: Sequence[str]) -> ColumnElement[bool]:
    """In these environments: found by their index, where that leaves nearly all of the fleet out."""
    pks = ids_of(tx, those).values()
    listed = func.coalesce(func.sum(environments.c.numbers), 0)
    here = tx.connection.execute(select(listed).where(environments.c.id.in_(pks))).scalar_one()
    is_part = here * _SMALL < tx.connection.execute(select(listed)).scalar_one()
    return (numbers.c.environment_id if is_part else _PLACE).in_(pks)


def is_watched(tx: Transaction, sandbox: Sequence[str]) -> ColumnElement[bool]:
    """Sandbox numbers are watched only in the environments that say so, which are ``sandbox``."""
    pks = ids_of(tx, sandbox).values() if sandbox else ()
    return or_(~numbers.c.is_sandbox, _PLACE.in_(pks)) if pks else ~numbers.c.is_sandbox


def _conditions(
    query: Query, place: ColumnElement[bool], today: int, watched: ColumnElement[bool]
) -> list[ColumnElement[bool]]:
    where = [place, *_SHOWN[query.show]]
    if query.show == "present":
        where.append(watched)
    equal = {
        numbers.c.status: query.status.lower(),
        numbers.c.country: query.country,
        numbers.c.type: query.type,
        numbers.c.currency: query.currency,
    }
    where += [column == value for column, value in equal.items() if value]
    if query.status and query.status.lower() != "active":
        where.append(NOT_ACTIVE)  # says nothing new, but lets the index be used, which has no others
    if query.auto_renewal is not None:
        where.append(numbers.c.auto_renewal.is_(query.auto_renewal))
    if query.within is not None:
        where.append(numbers.c.renews_on <= today + query.within)
    if query.renews_on is not None:
        where.append(numbers.c.renews_on == query.renews_on.toordinal())
    if query.overdue:
        where.append(overdue(today))
    if search := query.search.strip():
        where.append(called(search))
    return where


_SHOWN: dict[Show, list[ColumnElement[bool]]] = {
    "present": [~MISSING],
    "missing": [MISSING],
    "sandbox": [numbers.c.is_sandbox, ~MISSING],
    "lapsing": [LAPSING, ~MISSING],
    "all": [],
}
_ORDERS: dict[Order, ColumnElement[Any]] = {
    "number": numbers.c.number,
    "status": numbers.c.status,
    "cost": _COST,
    "environment": select(environments.c.name).where(environments.c.id == numbers.c.environment_id).scalar_subquery(),
}


def _rows(tx: Transaction, query: Query, where: Sequence[ColumnElement[bool]]) -> list[Listed]:
    skip = (query.page - 1) * query.per_page
    if query.order == "risk":
        return _riskiest(tx, query, where)
    if query.order != "renewal":
        column = _ORDERS[query.order]
        way = column.desc() if query.descending else column.asc()
        return _read(tx, where, (column.is_(None), way, numbers.c.id), query.per_page, skip)
    return _by_day(tx, query, where, skip)


def _riskiest(tx: Transaction, query: Query, where: Sequence[ColumnElement[bool]]) -> list[Listed]:
    """What needs somebody first, by severity and day; then the others by day."""
    worst = select(incidents.c.number_id, func.max(incidents.c.severity).label("severity")).where(AT_RISK)
    risky = worst.group_by(incidents.c.number_id).subquery()
    skip = (query.page - 1) * query.per_page
    urgency = select(risky.c.severity).where(risky.c.number_id == numbers.c.id).scalar_subquery()
    is_risky = numbers.c.id.in_(select(risky.c.number_id))
    order = (urgency.desc(), numbers.c.renews_on.is_(None), numbers.c.renews_on, numbers.c.id)
    found = _read(tx, [*where, is_risky], order, query.per_page, skip)
    if len(found) < query.per_page:
        count = select(func.count()).select_from(numbers).where(*where, is_risky)
        ahead: int = tx.connection.execute(count).scalar_one()
        rest = replace(query, per_page=query.per_page - len(found))
        found += _by_day(tx, rest, [*where, ~is_risky], max(0, skip - ahead))
    return found


def _by_day(tx: Transaction, query: Query, where: Sequence[ColumnElement[bool]], skip: int) -> list[Listed]:
    # Numbers without a renewal day come last. They are a question of their own: one order for both could use no index.
    dated = [*where, numbers.c.renews_on.is_not(None)]
    way = numbers.c.renews_on.desc() if query.descending else numbers.c.renews_on.asc()
    found = _read(tx, dated, (way, numbers.c.id), query.per_page, skip)
    left = query.per_page - len(found)
    if left:
        ahead: int = tx.connection.execute(select(func.count()).select_from(numbers).where(*dated)).scalar_one()
        undated = [*where, numbers.c.renews_on.is_(None)]
        found += _read(tx, undated, (numbers.c.id,), left, max(0, skip - ahead))
    return found


def _read(
    tx: Transaction, where: Sequence[ColumnElement[bool]], order: Sequence[Any], limit: int, skip: int
) -> list[Listed]:
    """So many rows: first which, then all that is kept of them, so that what is skipped is never read."""
    query: Select[Any] = select(numbers.c.id).where(*where).order_by(*order).limit(limit).offset(skip)
    ids: Sequence[int] = tx.connection.execute(query).scalars().all()
    found: dict[int, Listed] = {}
    for chunk in chunks(ids):
        for row in tx.connection.execute(_LISTED.where(numbers.c.id.in_(chunk))):
            listed = _listed(row)
            found[listed.known.pk] = listed
    return [found[pk] for pk in ids]


def _listed(row: Row[Any]) -> Listed:
    values: Iterator[Any] = iter(row)
    name, entry = next(values), next(values)
    known = Known(*islice(values, len(_CORE)))
    rare = (list(islice(values, len(kind._fields) + 1)) for kind in (Cycle, Absence, Lapse, Doubt))
    cycle, absence, lapse, doubt = rare
    known = known._replace(
        cycle=None if cycle[0] is None else Cycle(*cycle[1:]),
        absence=None if absence[0] is None else Absence(*absence[1:]),
        lapse=None if lapse[0] is None else Lapse(*lapse[1:]),
        doubt=None if doubt[0] is None else Doubt(*doubt[1:]),
    )
    return Listed(name, known, read(entry.encode()).parsed)


def money(text: str | None) -> Decimal | None:
    """An amount as it is kept."""
    return None if text is None else Decimal(text)
