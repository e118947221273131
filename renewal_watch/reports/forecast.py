"""What renewals cost, month by month, from the stored prices; never a sum across currencies.

Ahead: every present number that is no sandbox number renews once in each calendar month, from the month of its renewal
day on (a day that a month does not have is its last one, so that no month is left out and none counts twice), at the
price last listed. Numbers without auto-renewal are told apart: what they would cost if somebody renewed them. Numbers
that are meant to expire are not counted. One whose day has passed without a renewal counts once, in the present month.

Behind: what renewed is read from the history, wherever a renewal day moved on by a week or more although it was near or
past; at the price listed before it moved, in the month of the day that it moved away from. Where renewal-watch did not see a
month from its beginning to its end, its amount is unknown: no data, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, localcontext
from itertools import groupby
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from renewal_watch.alerts import phrases
from renewal_watch.alerts.phrases import instant
from renewal_watch.database.transaction import Transaction
from renewal_watch.reports.tables import Line, toned, when
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet_sums
from renewal_watch.store.environments import Seen, seen_of
from renewal_watch.store.fleet_sums import Due
from renewal_watch.store.incidents.idle import idle_of
from renewal_watch.store.renewals.past_renewals import Place, add_months, midnight, renewals_of
from renewal_watch.text import plain

_BAR = 24  # characters of the longest


class Sum(NamedTuple):
    """Renewals and what they cost together; of ``unpriced`` ones no price is known."""

    numbers: int = 0
    amount: Decimal = Decimal(0)
    unpriced: int = 0

    def plus(self, count: int, cost: Decimal | None) -> Sum:
        """With ``count`` more at ``cost`` each."""
        if cost is None:
            return Sum(self.numbers + count, self.amount, self.unpriced + count)
        return Sum(self.numbers + count, self.amount + cost * count, self.unpriced)

    def and_(self, other: Sum) -> Sum:
        """Both together."""
        return Sum(self.numbers + other.numbers, self.amount + other.amount, self.unpriced + other.unpriced)


NOTHING = Sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month of one environment and currency.

    ``renewed`` is what renewed already, ``ahead`` what will; ``overdue`` of ``ahead`` should have. ``if_renewed`` are
    numbers without auto-renewal. ``before`` is the total of the month before, None where it is not known.
    With ``is_known`` False renewal-watch did not see all of the part of the month that is over.
    """

    month: date  # its first day
    place: Place
    renewed: Sum = NOTHING
    ahead: Sum = NOTHING
    overdue: int = 0
    if_renewed: Sum = NOTHING
    is_known: bool = True
    before: Decimal | None = None

    @property
    def total(self) -> Sum:
        """What renewed and what will."""
        return self.renewed.and_(self.ahead)

    @property
    def amount(self) -> Decimal | None:
        """What it costs in all, None where that is not known."""
        return self.total.amount if self.is_known else None

    @property
    def shown(self) -> Decimal | None:
        """The amount, or as much of it as is known."""
        return self.amount if self.is_known else self.ahead.amount if self.ahead.numbers else None

    @property
    def change(self) -> Decimal | None:
        """More than in the month before, or less; None where one of them is not known."""
        return None if self.before is None or self.amount is None else self.amount - self.before

    @property
    def percent(self) -> Decimal | None:
        """The change in percent of the month before, with one decimal; None where that was nothing."""
        if self.change is None or not self.before:
            return None
        with localcontext(prec=100):  # prices may be far apart
            return (100 * self.change / self.before).quantize(Decimal("0.1"))

    def as_json(self) -> dict[str, Any]:
        """The keys of ``forecast --json``."""
        return {
            "month": f"{self.month:%Y-%m}",
            "environment": self.place.environment,
            "currency": self.place.currency or None,
            "numbers": self.total.numbers if self.is_known else None,
            "amount": _text(self.amount),
            "renewed": _sum_json(self.renewed) if self.is_known else None,
            "ahead": _sum_json(self.ahead),
            "overdue": self.overdue,
            "if_renewed": _sum_json(self.if_renewed),
            "month_before": _text(self.before),
            "change": _text(self.change),
            "change_percent": _text(self.percent),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """``months`` are in order, the first is last month; within one by currency and environment.

    ``undated`` numbers have no renewal day, ``lapsing`` ones are meant to go: neither is counted.
    """

    as_of: datetime
    timezone: str
    last_month: date
    environments: tuple[Seen, ...]
    months: tuple[Month, ...]
    undated: int = 0
    lapsing: int = 0
    idle: int | None = None  # numbers that no agent uses; None where that is not known
    idle_sums: tuple[tuple[str, Decimal], ...] = ()  # by currency, what they cost a month

    def as_json(self) -> dict[str, Any]:
        """The document of ``forecast --json``."""
        return {
            "as_of": when(self.as_of),
            "timezone": self.timezone,
            "last_month": f"{self.last_month:%Y-%m}",
            "environments": [
                {"name": one.name, "seen_since": when(one.since), "seen_until": when(one.until)}
                for one in self.environments
            ],
            "months": [one.as_json() for one in self.months],
            "undated": self.undated,
            "lapsing": self.lapsing,
            "idle": self.idle,
            "idle_costs": [{"currency": one, "amount": f"{amount:f}"} for one, amount in self.idle_sums],
        }

    def lines(self, *, is_ascii: bool = False) -> list[str]:
        """For a terminal; ``is_ascii`` where it cannot show blocks. Each currency has a scale of its own."""
        local = self.as_of.astimezone(ZoneInfo(self.timezone))
        told = [f"Renewals by month at the prices last listed, as of {local:%Y-%m-%d %H:%M} {self.timezone}."]
        unread = [one.name for one in self.environments if one.until is None]
        told += [Line(f"{name}: its list was never read, its renewals are not known.", "bad") for name in unread]
        currencies = sorted({one.place.currency for one in self.months})
        for currency in currencies:
            those = [one for one in self.months if one.place.currency == currency]
            told += [
                "",
                Line(plain(currency, 40) or "No currency stated", "head"),
                *self._block(those, is_ascii=is_ascii),
            ]
        if not currencies:
            told += ["", "No number has a coming renewal."]
        for one in self.environments:
            if one.since is not None and any(not m.is_known for m in self.months if m.place.environment == one.name):
                seen = f"from {instant(one.since)} to {instant(one.until)}"
                told += ["", f"{one.name}: what renewed was seen {seen} only."]
        if self.idle:
            cost = phrases.sums(self.idle_sums)
            told += ["", f"In it: {phrases.numbers(self.idle)} used by no agent, {cost} a month."]
        apart = [f"{phrases.numbers(self.undated)} without a renewal day"] * bool(self.undated)
        apart += [f"{phrases.numbers(self.lapsing)} meant to expire"] * bool(self.lapsing)
        return told + ["", f"Not counted: {', '.join(apart)}."] * bool(apart)

    def _block(self, those: Sequence[Month], *, is_ascii: bool) -> Iterator[str]:
        """The months of one currency, environment by environment."""
        longest = max(one.shown or Decimal(0) for one in those)
        wide = max(len(_shown(one)) for one in those)
        wide_change = max(len(_change(one)) for one in those)
        wide_count = max(len(str(one.total.numbers)) for one in those)
        for name, months in groupby(sorted(those, key=lambda one: one.place), lambda one: one.place.environment):
            yield f"  {name}"
            for one in months:
                is_past = one.month == self.last_month
                count = str(one.total.numbers if one.is_known else one.ahead.numbers or "")
                line = f"    {one.month:%b %Y}  {_shown(one):>{wide}}  {_change(one):>{wide_change}}  {count:>{wide_count}}"
                line += f"  {_bar(one.shown, longest, is_ascii=is_ascii)}"
                yield toned(f"{line}{_note(one)}".rstrip(), "faint" if is_past else None)


def look(
    tx: Transaction,
    settings: Settings,
    now: datetime,
    months: int,
    *,
    environment: str = "",
    ids: Sequence[int] | None = None,
) -> Forecast:
    """The present month and those after it, ``months`` in all, and last month to compare with; of ``ids`` if given.

    Raises UsageError for an environment that is not configured.
    """
    those = [settings.environment(environment)] if environment else list(settings.environments)
    names = [one.name for one in those]
    zone = ZoneInfo(settings.timezone)
    today = now.astimezone(zone).date()
    last_month = add_months(today.replace(day=1), -1)
    firsts = [add_months(last_month, step) for step in range(months + 1)]
    seen = seen_of(tx, names)
    table = _Table()
    for (place, month, cost), count in renewals_of(tx, names, last_month, zone, ids).items():
        cell = table.at(month, place)
        cell.renewed = cell.renewed.plus(count, cost)
    undated = lapsing = 0
    for due in fleet_sums.due(tx, names, ids=ids):
        undated += 0 if due.renews_on or due.is_lapsing else due.numbers
        lapsing += due.numbers if due.is_lapsing else 0
        if due.renews_on and not due.is_lapsing:
            table.add(due, firsts[1:], today.toordinal())
    found = [_months(table, place, firsts, seen[place.environment], now, zone) for place in sorted(table.places)]
    idle = idle_of(tx, settings, names, now) if ids is None else None
    return Forecast(
        as_of=now,
        timezone=settings.timezone,
        last_month=last_month,
        environments=tuple(seen[name] for name in names),
        months=tuple(sorted((one for row in found for one in row), key=lambda one: (one.month, one.place[::-1]))),
        undated=undated,
        lapsing=lapsing,
        idle=None if idle is None else idle.numbers,
        idle_sums=() if idle is None else tuple(sorted(idle.sums.items())),
    )


@dataclass(slots=True)
class _Cell:
    renewed: Sum = NOTHING
    ahead: Sum = NOTHING
    overdue: int = 0
    if_renewed: Sum = NOTHING


@dataclass(slots=True)
class _Table:
    """Sums by month and place."""

    cells: dict[tuple[date, Place], _Cell] = field(default_factory=dict)
    places: set[Place] = field(default_factory=set)

    def at(self, month: date, place: Place) -> _Cell:
        """The sums of a month."""
        self.places.add(place)
        return self.cells.setdefault((month, place), _Cell())

    def add(self, due: Due, firsts: Sequence[date], today: int) -> None:
        """Equal numbers, in each month from that of their renewal day on; those overdue from the present one on."""
        assert due.renews_on is not None  # noqa: S101 (the caller leaves out numbers without a renewal day)
        begins = date.fromordinal(max(due.renews_on, today)).replace(day=1)
        place = Place(due.environment, due.currency)
        self.places.add(place)
        for month in firsts:
            if month < begins:
                continue
            cell = self.at(month, place)
            if not due.auto_renewal:
                cell.if_renewed = cell.if_renewed.plus(due.numbers, due.cost)
                continue
            cell.ahead = cell.ahead.plus(due.numbers, due.cost)
            if due.renews_on < today and month == firsts[0]:
                cell.overdue += due.numbers


def _months(
    table: _Table, place: Place, firsts: Sequence[date], seen: Seen, now: datetime, zone: ZoneInfo
) -> Iterator[Month]:
    """One place's months, each with the amount of the one before."""
    before: Decimal | None = None
    for month in firsts:
        cell = table.cells.get((month, place), _Cell())
        begins, ends = (midnight(first, zone) for first in (month, add_months(month, 1)))
        is_known = begins > now or seen.covers(begins, ends if ends <= now else begins)
        one = Month(
            month=month,
            place=place,
            renewed=cell.renewed,
            ahead=cell.ahead,
            overdue=cell.overdue,
            if_renewed=cell.if_renewed,
            is_known=is_known,
        )
        yield replace(one, before=before)
        before = one.amount


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"


def _sum_json(one: Sum) -> dict[str, Any]:
    return {"numbers": one.numbers, "amount": _text(one.amount), "unpriced": one.unpriced}


def _shown(one: Month) -> str:
    return "no data" if one.shown is None else phrases.figure(one.shown, one.place.currency)


def _change(one: Month) -> str:
    if one.change is None:
        return ""
    percent = "" if one.percent is None else f" ({one.percent:+}%)"
    sign = "+" if one.change >= 0 else "-"
    return f"{sign}{phrases.figure(abs(one.change), one.place.currency)}{percent}"


def _bar(amount: Decimal | None, longest: Decimal, *, is_ascii: bool) -> str:
    """A bar as long as the amount is large, to an eighth of a character where there are blocks for it."""
    if not amount or amount < 0 or longest <= 0:
        return " " * _BAR
    eighths = max(1, round(amount / longest * _BAR * 8))
    if is_ascii:
        return ("#" * max(1, round(eighths / 8))).ljust(_BAR)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")).ljust(_BAR)


def _note(one: Month) -> str:
    """What is apart, or makes up the amount."""
    told = [f"{one.renewed.numbers} renewed, {one.ahead.numbers} to come"] * bool(
        one.is_known and one.renewed.numbers and one.ahead.numbers
    )
    told += ["to come only"] * (not one.is_known and one.ahead.numbers > 0)
    told += [f"{one.overdue} overdue"] * bool(one.overdue)
    unpriced = one.total.unpriced if one.is_known else one.ahead.unpriced
    told += [f"{unpriced} without a price"] * bool(unpriced)
    if one.if_renewed.numbers:
        told.append(
            f"{phrases.figure(one.if_renewed.amount, one.place.currency)} more if "
            f"{phrases.numbers(one.if_renewed.numbers)} without auto-renewal {'is' if one.if_renewed.numbers == 1 else 'are'} renewed"
        )
    return f"  {'; '.join(told)}" if told else ""
