"""A simulated account with an odd provider, and the truth of it: what happened to each number, whatever the list says.

``Account`` lives: numbers renew, fail to, are paid late, are suspended, given up, lost, change their ids and prices.
``Lens`` is the list that shows it, as one of many kinds of odd provider writes it. ``Oracle`` knows from the account
alone, and not from any rule, what people must have been told, and what they must not.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

H = timedelta(hours=1)
D = timedelta(days=1)
STEP = 8 * H  # between two polls
CHARGED_WITHIN = 4 * H  # after the end of the day; a cache of ``LAG`` more is within the grace of 12 h
LAG = 6 * H


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def next_month(day: date, anchor: int) -> date:
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return date(year, month, min(anchor, monthrange(year, month)[1]))


class Event(NamedTuple):
    """What happened to a number: ``renewed``, ``lost`` or ``failed`` (of the cycle that ends on ``day``), ``suspended``, ``gone``."""

    at: datetime
    what: str
    number: str
    day: date | None = None


@dataclass(slots=True, kw_only=True)
class Number:
    """A rented number, as it truly is."""

    id: str
    number: str
    day: date
    anchor: int
    auto: bool
    status: str = "active"
    price: float = 1.0
    is_listed: bool = True
    pays_at: datetime | None = None  # the present cycle
    leaves_at: datetime | None = None
    renewed_at: datetime | None = None


@dataclass(slots=True)
class Account:
    """The truth."""

    chance: Random
    now: datetime
    numbers: list[Number] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def open(self, count: int) -> None:
        for index in range(count):
            day = self.now.date() + timedelta(days=self.chance.randint(4, 40))
            one = Number(
                id=f"id-{index}", number=f"+4930{index:06}", day=day, anchor=day.day, auto=self.chance.random() < 0.6
            )
            self.numbers.append(one)
            self._plan(one)

    def _plan(self, one: Number) -> None:
        """What will become of the cycle that ends on its day."""
        fate, begins = self.chance.random(), midnight(one.day)
        one.leaves_at = None
        if one.auto:
            one.pays_at = begins + self.chance.random() * (D + CHARGED_WITHIN)
            if fate < 0.08:  # the charge fails; it is paid some days later, or lost
                one.pays_at = begins + D + timedelta(days=self.chance.randint(2, 5))
            if fate < 0.03:
                one.pays_at, one.leaves_at = None, begins + timedelta(days=self.chance.randint(4, 9))
        else:
            one.pays_at = begins - timedelta(days=self.chance.randint(1, 12))
            if fate < 0.25:  # nobody renews it
                one.pays_at, one.leaves_at = None, begins + D + timedelta(hours=self.chance.randint(1, 90))

    def live(self, until: datetime) -> None:
        """Go on to a time."""
        while self.now < until:
            self.now += H
            for one in self.numbers:
                if one.is_listed:
                    self._hour(one)

    def _hour(self, one: Number) -> None:
        ends = midnight(one.day) + D
        if one.pays_at is not None and self.now >= one.pays_at:
            self._say("renewed", one, one.day)
            one.day, one.renewed_at = next_month(one.day, one.anchor), self.now
            self._plan(one)
        elif ends <= self.now < ends + H:
            self._say("failed" if one.auto else "lost", one, one.day)
        if one.leaves_at is not None and self.now >= one.leaves_at:
            one.is_listed = False
            self._say("gone", one, one.day)
            return
        chance = self.chance.random()
        if chance < 0.0002 and one.status == "active":
            one.status = self.chance.choice(["suspended", "inactive", "released"])
            self._say("suspended", one)
        elif chance < 0.02 and one.status != "active":
            one.status = "active"
        elif 0.02 < chance < 0.0203:
            one.price += 1
        elif 0.03 < chance < 0.0301:
            one.is_listed = False
            self._say("gone", one, one.day)

    def _say(self, what: str, one: Number, day: date | None = None) -> None:
        self.events.append(Event(self.now, what, one.number, day))


SIGNS = ("both", "date", "countdown", "fraction", "text", "instant", "frozen countdown", "date that never moves")


@dataclass(slots=True)
class Lens:
    """One odd provider. Its oddities come in spells; each list says when it is as old as ``LAG``."""

    chance: Random
    signs: str
    spells: dict[str, datetime] = field(default_factory=dict)
    seen_first: dict[str, date] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[dict[str, Any]] = field(default_factory=list)

    def shown(self, account: Account) -> list[dict[str, Any]] | None:
        """The list of now, None where it cannot be read."""
        now = account.now
        for name, odds, longest in (
            ("down", 0.01, 20),
            ("old", 0.03, LAG / H),
            ("odd", 0.05, 60),
            ("dayless", 0.004, 50),
            ("renamed", 0.004, 90),
            ("twice", 0.02, 20),
        ):
            if name not in self.spells and self.chance.random() < odds:
                self.spells[name] = now + self.chance.random() * longest * H
            elif name in self.spells and now >= self.spells[name]:
                del self.spells[name]
        self.counts.update(self.spells.keys())
        self.counts["list"] += 1
        if "down" in self.spells:
            return None
        if "old" in self.spells and self.kept:
            return self.kept
        entries = [self.entry(one, now) for one in account.numbers if one.is_listed]
        if "twice" in self.spells:
            entries += entries[:3]
        self.chance.shuffle(entries)
        self.kept = entries
        return entries

    def entry(self, one: Number, now: datetime) -> dict[str, Any]:
        first = self.seen_first.setdefault(one.number, one.day)
        left = (one.day - now.date()).days
        shown: dict[str, Any] = {"renewal_date": one.day.isoformat(), "days_until_monthly_renewal": left}
        if self.signs == "date":
            del shown["days_until_monthly_renewal"]
        elif self.signs == "countdown":
            del shown["renewal_date"]
        elif self.signs == "fraction":
            shown["days_until_monthly_renewal"] = (midnight(one.day) - now) / D
        elif self.signs == "text":
            shown = {key: str(value) for key, value in shown.items()}
        elif self.signs == "instant":
            shown = {"renewal_date": f"{one.day}T00:00:00.000000Z", "days_until_monthly_renewal": None}
        elif self.signs == "frozen countdown":
            shown["days_until_monthly_renewal"] = 25
        elif self.signs == "date that never moves":
            shown["renewal_date"] = first.isoformat()
        if "dayless" in self.spells:
            shown = {"renewal_date": None}
        entry = {
            "id": f"new-{one.id}" if "renamed" in self.spells else one.id,
            "number": one.number,
            "type": "voice",
            "has_voice": True,
            "current_status": one.status,
            "is_sandbox": False,
            "current_price": one.price,
            "monthly_renewal_cost": one.price,
            "currency": "EUR",
            "auto_renewal": one.auto,
            "is_due_for_monthly_renewal": False,
        } | shown
        if "odd" in self.spells and one.number[-1] in "0369":
            name, value = self.chance.choice(
                [("has_fax", "n/a"), ("type", ["voice"]), ("country_code", {"code": "DE"}), ("x", "9" * 5000)]
            )
            entry[name] = value
        return entry


class Telling(NamedTuple):
    """An alert that reached a channel."""

    at: datetime
    kind: str
    severity: str
    number: str
    days_left: int | None


class List(NamedTuple):
    """A list that was read: when, and which numbers were in it, with which status."""

    at: datetime
    statuses: dict[str, str]
    has_days: bool


@dataclass(slots=True)
class Oracle:
    """What must have been told of an account, and what must not."""

    account: Account
    lists: list[List]
    tellings: list[Telling]
    must: int = 0
    faults: list[str] = field(default_factory=list)

    def judge(self) -> list[str]:
        """The faults: what was not told, told wrongly, or told twice."""
        for event in self.account.events:
            getattr(self, f"_{event.what}")(event)
        self._false()
        self._twice()
        return self.faults

    def _of(self, number: str, since: datetime, until: datetime, *kinds: str) -> list[Telling]:
        return [
            one
            for one in self.tellings
            if one.number == number and since <= one.at <= until and (not kinds or one.kind.startswith(kinds))
        ]

    def _read(self, number: str, since: datetime, until: datetime, *, with_days: bool = False) -> list[List]:
        return [
            one
            for one in self.lists
            if since <= one.at <= until and number in one.statuses and (one.has_days or not with_days)
        ]

    def _want(self, found: list[Telling], event: Event, words: str) -> None:
        self.must += 1
        if not found:
            self.faults.append(f"not told: {event.number} {words} ({event.day or event.at:%Y-%m-%d})")

    def _lost(self, event: Event) -> None:
        """Nobody renewed it: somebody must have known, as soon as a list was read in the last three days."""
        assert event.day is not None
        begins = midnight(event.day)
        if self._read(event.number, begins - 3 * D, begins + D - LAG, with_days=True):
            found = self._of(event.number, begins - 14 * D, begins + D, "renewal.upcoming", "renewal.due")
            self._want([one for one in found if one.severity == "critical"], event, "will be lost")

    def _failed(self, event: Event) -> None:
        """The automatic renewal failed: told when the grace is over, if it is not paid or gone by then."""
        assert event.day is not None
        over = midnight(event.day) + D + 12 * H
        until = over + 2 * STEP + LAG
        is_mended = any(
            other.number == event.number and other.what in ("renewed", "gone") and event.at <= other.at <= until
            for other in self.account.events
        )
        known = self._read(event.number, midnight(event.day) - 20 * D, midnight(event.day), with_days=True)
        if not is_mended and known and len(self._read(event.number, over, until, with_days=True)) > 1:
            self._want(self._of(event.number, over, until, "renewal.overdue"), event, "did not renew")

    def _renewed(self, event: Event) -> None:
        """The end of what was told of the cycle is told once, at the latest when its day is over."""
        assert event.day is not None
        until = max(event.at, midnight(event.day) + D) + 3 * D
        told = self._of(
            event.number, midnight(event.day) - 20 * D, event.at, "renewal.upcoming", "renewal.due", "renewal.overdue"
        )
        is_gone = any(
            other.number == event.number and other.what == "gone" and event.at <= other.at <= until
            for other in self.account.events
        )
        seen = self._read(event.number, event.at + LAG + H, until, with_days=True)
        if told and seen and not is_gone and self.lists[-1].at > until:
            self._want(self._of(event.number, event.at, until, "renewal.renewed"), event, "renewed")

    def _suspended(self, event: Event) -> None:
        seen = [
            one
            for one in self._read(event.number, event.at, event.at + 2 * D)
            if one.statuses[event.number] in ("suspended", "inactive", "released")
        ]
        if seen:
            found = self._of(event.number, event.at, seen[0].at, "status.changed")
            self._want([one for one in found if one.severity == "critical"], event, "is suspended")

    def _gone(self, event: Event) -> None:
        """Told from the third list without it on; where three went at once, the list itself is doubted for a day."""
        without = [one for one in self.lists if one.at > event.at + LAG and event.number not in one.statuses]
        others = sum(one.what == "gone" and abs(one.at - event.at) <= 2 * D for one in self.account.events)
        needed = 4 if others < 3 else 4 + 2 * D // STEP
        if len(without) >= needed:
            until = without[needed - 1].at
            self._want(self._of(event.number, event.at, until, "number.missing"), event, "is missing")

    def _false(self) -> None:
        """What was told and is not so."""
        events = self.account.events
        for one in self.tellings:
            mine = [event for event in events if event.number == one.number and event.at <= one.at]
            if one.kind == "renewal.overdue":
                last = max(
                    (event.day for event in mine if event.what in ("failed", "lost") and event.day), default=None
                )
                paid = max((event.day for event in mine if event.what == "renewed" and event.day), default=date.min)
                is_so = last is not None and last > paid
                is_so = is_so or any(  # the list was older than the payment, or none was read since it
                    event.what == "renewed"
                    and event.day == last
                    and (one.at - event.at <= LAG or not self._read(one.number, event.at, one.at))
                    for event in mine
                )
            elif one.kind == "renewal.renewed":
                is_so = any(event.what == "renewed" and one.at - event.at <= 14 * D for event in mine)
            elif one.kind == "number.missing":
                is_so = any(event.what == "gone" for event in mine)
            elif one.kind in ("number.returned", "number.added", "number.moved", "number.renumbered"):
                is_so = False
            else:
                continue
            if not is_so:
                self.faults.append(f"told falsely: {one}")

    def _twice(self) -> None:
        """What was told again. A threshold is one day of one cycle."""
        seen: Counter[tuple[Any, ...]] = Counter()
        for one in self.tellings:
            if one.kind in ("renewal.upcoming", "renewal.due", "renewal.overdue") and one.days_left is not None:
                seen[one.kind, one.number, one.at.date() + timedelta(days=one.days_left), one.days_left] += 1
            elif one.kind == "renewal.renewed":
                seen[one.kind, one.number, one.at.date()] += 1
        self.faults += [f"told {count} times: {what}" for what, count in seen.items() if count > 1]
        for number in {event.number for event in self.account.events}:
            renewals = sum(event.number == number and event.what == "renewed" for event in self.account.events)
            told = sum(one.number == number and one.kind == "renewal.renewed" for one in self.tellings)
            if told > renewals:
                self.faults.append(f"renewed {told} times instead of {renewals}: {number}")


def accounts(seed: int) -> Iterator[tuple[Random, str]]:
    """Accounts with each kind of provider in turn, for ever."""
    index = 0
    while True:
        yield Random(f"{seed} {index}"), SIGNS[index % len(SIGNS)]
        index += 1
