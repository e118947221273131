"""The renewals of a month, day by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from renewal_watch.database.transaction import Transaction
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet_sums
from renewal_watch.store.fleet_sums import Due
from renewal_watch.store.owned import has_owners, owned_ids
from renewal_watch.web.pages import charts
from renewal_watch.web.pages.fleet import AHEAD
from renewal_watch.web.pages.frame import Params
from renewal_watch.web.pages.words import Words, amounts, link


@dataclass(slots=True)
class Day:
    """What falls on one day: ``renewing`` by themselves, ``ending`` unless somebody acts, ``again`` a month after that."""

    on: date
    renewing: int = 0
    ending: int = 0
    lapsing: int = 0
    again: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)
    sums_again: dict[str, Decimal] = field(default_factory=dict)
    unpriced: int = 0

    @property
    def numbers(self) -> int:
        """Those whose renewal day is known to be this one."""
        return self.renewing + self.ending + self.lapsing

    @property
    def path(self) -> str:
        """The fleet of this day."""
        return link("/", {}, day=self.on.isoformat())

    @property
    def costs(self) -> list[str]:
        """What it costs in each currency if everything of it is renewed."""
        return amounts(self.sums)

    @property
    def costs_again(self) -> list[str]:
        """The same of those that come again."""
        return amounts(self.sums_again)

    @property
    def is_weekend(self) -> bool:
        """Saturday or Sunday."""
        return self.on.weekday() > 4  # noqa: PLR2004 (Friday)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarPage:
    """Sixty days as weeks, with what is overdue now."""

    days: Sequence[Day]
    weeks: Sequence[Sequence[Day | None]]  # with what the last list says
    later_weeks: Sequence[Sequence[Day | None]]  # in which there are repeats only
    overdue: int
    passed: int  # whose day has passed and that are not overdue: meant to expire, or no list since shows them
    undated: int
    later: int
    totals: Sequence[tuple[int, int, int, int, list[str]]]  # within days, numbers, of them ending, again, costs
    chart: str
    environments: Sequence[str]
    with_owners: bool
    query: Mapping[str, str]


def calendar_page(tx: Transaction, settings: Settings, way: Routing, params: Params, now: datetime) -> CalendarPage:
    """The coming days with what renews and what it costs. Raises UsageError for an environment that is not configured."""
    names = [one.name for one in settings.environments]
    chosen = params.get("environment", "")
    today = Words.of(now, settings.timezone).today
    those = [settings.environment(chosen).name] if chosen else names
    query = {name: params.get(name, "")[:100] for name in ("environment", "owner", "label") if params.get(name)}
    ids = owned_ids(tx, way, those, query.get("owner", ""), query.get("label", ""))
    groups = fleet_sums.due(tx, those, sandbox=settings.with_sandbox, ids=ids)
    days = {today + timedelta(days=step): Day(today + timedelta(days=step)) for step in range(AHEAD + 1)}
    outside: Counter[str] = Counter()
    for one in groups:
        if one.renews_on is None:
            outside["undated"] += one.numbers
            continue
        on = date.fromordinal(one.renews_on)
        if on in days:
            _put(days[on], one)
        else:
            outside["past" if on < today else "later"] += one.numbers
        if one.auto_renewal and not one.is_lapsing and on >= today:
            _put_again(days, on, one)
    overdue = fleet_sums.overdue_of(tx, those, today.toordinal(), sandbox=settings.with_sandbox, ids=ids)
    listed = list(days.values())
    padded: list[Day | None] = [None] * today.weekday() + [*listed]
    padded += [None] * (-len(padded) % 7)
    weeks = [padded[start : start + 7] for start in range(0, len(padded), 7)]
    known = 1 + max((place for place, week in enumerate(weeks) if any(d and d.numbers for d in week)), default=0)
    return CalendarPage(
        days=listed,
        weeks=weeks[:known],
        later_weeks=weeks[known:],
        overdue=overdue,
        passed=outside["past"] - overdue,
        undated=outside["undated"],
        later=outside["later"],
        totals=[_total(length, listed[: length + 1]) for length in (7, 30, AHEAD)],
        chart=charts.days([charts.Bar(d.on, d.renewing, d.ending + d.lapsing, d.again, d.path) for d in listed]),
        environments=names if len(names) > 1 else [],
        with_owners=has_owners(way),
        query=query,
    )


def _put(day: Day, one: Due) -> None:
    if one.is_lapsing:
        day.lapsing += one.numbers
        return
    if one.auto_renewal:
        day.renewing += one.numbers
    else:
        day.ending += one.numbers
    if one.cost is None:
        day.unpriced += one.numbers
    else:
        _add(day.sums, one.currency, one.amount)


def _put_again(days: Mapping[date, Day], first: date, one: Due) -> None:
    """What renews by itself comes again, month after month, on the same day of the month or its last."""
    last = max(days)
    if first > last:  # far days have none after them: 9999-12-31 stands for "never" in many a system
        return
    on = _month_after(first, first.day)
    while on <= last:
        if on in days:
            days[on].again += one.numbers
            if one.cost is not None:
                _add(days[on].sums_again, one.currency, one.amount)
        on = _month_after(on, first.day)


def _month_after(on: date, anchor: int) -> date:
    first = (on.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = ((first + timedelta(days=32)).replace(day=1) - timedelta(days=1)).day
    return first.replace(day=min(anchor, last))


def _add(sums: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    sums[currency] = sums.get(currency, Decimal(0)) + amount


def _total(within: int, days: Sequence[Day]) -> tuple[int, int, int, int, list[str]]:
    sums: dict[str, Decimal] = {}
    for day in days:
        for currency, amount in (*day.sums.items(), *day.sums_again.items()):
            _add(sums, currency, amount)
    ending = sum(day.ending for day in days)
    return within, sum(day.numbers for day in days), ending, sum(day.again for day in days), amounts(sums)
