"""What a digest says beside what was found: what renews next, what it costs, what is not told, how the service does. Pure.

The numbers are added one at a time and no more of them is kept than is shown: a fleet may have a million.

Lines are those of a message: a heading in capitals, an item after ``• ``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from renewal_watch.alerts import phrases
from renewal_watch.alerts.phrases import instant, money, numbers, span, sums
from renewal_watch.detect import failures
from renewal_watch.model.alerts import Incident, Key, Suppressor
from renewal_watch.model.numbers import DAY_S, PhoneNumber
from renewal_watch.model.policy import Policy, Silence
from renewal_watch.model.tracking import Watch
from renewal_watch.reports.rows import Row, matched
from renewal_watch.reports.tables import missing_since
from renewal_watch.text import plain

SOON_DAYS = 7
MONTH_DAYS = 30
MISSED_DAYS = 30  # a missing number is looked for no longer
LONG_ACKNOWLEDGED = timedelta(days=14)  # somebody said that they look after it, and it still holds
LONGEST = 20  # items of a list; what does not fit is counted
_ROOM = 1000  # rows that are kept before they are sorted


class Shortlist:
    """The first ``LONGEST`` of many in the order of their keys, and how many there were."""

    def __init__(self, key: Callable[[Row], Any]) -> None:
        self._key = key
        self._kept: list[Row] = []
        self.count = 0

    def add(self, row: Row) -> None:
        """One more."""
        self.count += 1
        self._kept.append(row)
        if len(self._kept) > _ROOM:
            self._kept = self.rows()

    def rows(self) -> list[Row]:
        """The first of them, in order."""
        return sorted(self._kept, key=self._key)[:LONGEST]


@dataclass(slots=True)
class Cost:
    """What numbers with auto-renewal cost: sums by currency, how many they are, and of how many no price is known."""

    sums: dict[str, Decimal] = field(default_factory=dict)
    numbers: int = 0
    unknown: int = 0

    def add(self, number: PhoneNumber) -> None:
        """One more; nothing is converted."""
        self.numbers += 1
        if number.cost is None:
            self.unknown += 1
        else:
            currency = plain(number.currency or "", 10) or "of no stated currency"
            self.sums[currency] = self.sums.get(currency, Decimal(0)) + number.cost


class Summary:
    """What a digest says of the numbers that are watched and that its channel is told of."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.overdue = 0
        self.soon = Shortlist(lambda row: (row.days_left or 0, bool(row.number.auto_renewal), row.known.number))
        self.trouble = Shortlist(Row.urgency)
        self.costs = {days: Cost() for days in (SOON_DAYS, MONTH_DAYS)}

    def add(self, row: Row) -> None:
        """One more number, as it is at ``now``."""
        left, missing_at = row.days_left, row.known.missing_at
        self.overdue += row.known.is_overdue(left)
        if missing_at is None and left is not None and left >= 0:
            if left <= SOON_DAYS:
                self.soon.add(row)
            if row.number.auto_renewal:
                for days, cost in self.costs.items():
                    if left <= days:
                        cost.add(row.number)
        if row.known.lapse is not None or (row.known.absence is not None and row.known.absence.moved_to):
            return
        if missing_at is not None:
            is_trouble = self.now.timestamp() - missing_at <= MISSED_DAYS * DAY_S
        else:
            is_trouble = (left is not None and left < 0) or row.number.status != "active"
        if is_trouble:
            self.trouble.add(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that a digest is made of. ``open_beside`` are the headlines of what still holds beside the list."""

    summary: Summary
    watches: Sequence[tuple[Watch, Policy]]
    open_beside: Sequence[str] = ()
    incidents: Mapping[Key, Incident] = field(default_factory=dict)
    silences: Sequence[Silence] = ()
    lapses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    outbox: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, tuple[datetime, str]] = field(default_factory=dict)
    idle: int = 0  # numbers that no agent uses
    idle_sums: Mapping[str, Decimal] = field(default_factory=dict)  # what they cost a month


def compose(state: State, changes: int, since: datetime) -> tuple[str, str]:
    """``(headline, text)`` of a digest; ``changes`` alerts since ``since`` come after it."""
    now, summary = state.summary.now, state.summary
    soon = summary.soon.count
    blind = [watch.name for watch, policy in state.watches if _is_blind(watch, policy, now)]
    headline = ", ".join(
        [
            f"digest: {changes or 'nothing'} new",
            f"{numbers(soon)} {'renews' if soon == 1 else 'renew'} within {SOON_DAYS} days",
            *[f"{summary.overdue} overdue"] * bool(summary.overdue),
            *[f"no current list of {', '.join(blind)}"] * bool(blind),
        ]
    )
    trouble = _trouble(state)
    lines = [
        *(["NEEDS ATTENTION", *trouble, ""] if trouble else []),
        "RENEWS NEXT",
        *_next(summary.soon),
        "",
        "COST AHEAD",
        *_costs(summary.costs),
        *_idle(state),
        "",
        "SILENCED",
        *_not_told(state, now),
        "",
        "MONITORING",
        *_health(state, now),
        "",
        f"FOUND SINCE {instant(since)}",
        *["• nothing"] * (not changes),
    ]
    return headline, "\n".join(lines)


def _trouble(state: State) -> list[str]:
    """What is not as it should be, as it is now."""
    found = state.summary.trouble
    lines = [*state.open_beside, *map(_needs, found.rows())]
    return _cut([f"• {line}" for line in lines], len(state.open_beside) + found.count)


def _needs(row: Row) -> str:
    who = f"{phrases.who(row.number)} ({row.environment})"
    if row.known.missing_at is not None:
        return f"{who} is missing since {instant(missing_since(row.known))}"
    if row.days_left is not None and row.days_left < 0:
        ago = phrases.days(-row.days_left)
        if row.known.is_overdue(row.days_left):
            return f"{who} is overdue by {ago}"
        return f"{who} had its renewal day {ago} ago; no list since shows whether it renewed"
    return f"{who} is {plain(row.number.status) or 'without a status'}"


def _next(soon: Shortlist) -> list[str]:
    if not soon.count:
        return [f"• no number within {SOON_DAYS} days"]
    return _cut([f"• {_renews(row)}" for row in soon.rows()], soon.count)


def _renews(row: Row) -> str:
    assert row.days_left is not None  # noqa: S101 (_upcoming)
    assert row.renews_on is not None  # noqa: S101
    verb = "renews" if row.number.auto_renewal else "will be lost"
    when = phrases.when(row.days_left, row.renews_on.toordinal())
    return f"{phrases.who(row.number)} ({row.environment}) {verb} {when}: {money(row.number.cost, row.number.currency)}"


def _costs(costs: Mapping[int, Cost]) -> list[str]:
    """What will be charged within so many days."""
    lines = []
    for days, cost in costs.items():
        said = [money(amount, currency) for currency, amount in sorted(cost.sums.items())] or ["nothing"]
        more = f"; {cost.unknown} without a stated cost" if cost.unknown else ""
        lines.append(f"• within {days} days {' + '.join(said)} for {numbers(cost.numbers)} with auto-renewal{more}")
    return lines


def _idle(state: State) -> list[str]:
    if not state.idle:
        return []
    return [f"• {numbers(state.idle)} used by no agent: {sums(state.idle_sums.items())} a month"]


def _not_told(state: State, now: datetime) -> list[str]:
    muted = sum(
        1
        for incident in state.incidents.values()
        if incident.suppressor is not None and incident.suppressor.by == "rule"
    )
    acked = sum(1 for incident in state.incidents.values() if incident.ack is not None)
    long = sum(1 for one in state.incidents.values() if one.ack is not None and now - one.ack.at >= LONG_ACKNOWLEDGED)
    lines = [f"• rules mute {muted} that still hold"] * bool(muted)
    of_long = f", {long} of them for more than {span(LONG_ACKNOWLEDGED)}: renewal-watch incidents --acknowledged"
    lines += [f"• {acked} acknowledged and not ended{of_long if long else ''}"] * bool(acked)
    lines += [f"• {numbers(len(state.lapses))} meant to expire"] * bool(state.lapses)
    for silence in state.silences:
        hidden = sum(
            1 for incident in state.incidents.values() if incident.suppressor == Suppressor.of("silence", silence.pk)
        )
        why = f" ({plain(silence.comment)})" if silence.comment else ""
        lines.append(
            f"• silence {silence.pk} of {plain(silence.author)}{why}, {plain(matched(silence.match, silence.kinds), 300)}, for "
            f"{span(silence.ends_at - now)} more: hides {hidden} that still hold"
        )
    return _cut(lines) or ["• nothing is silenced"]


def _health(state: State, now: datetime) -> list[str]:
    """How the service does, its faults first."""
    faults: list[str] = []
    fine: list[str] = []
    for watch, policy in state.watches:
        failed = f"; the last poll failed: {plain(watch.last_error)}" if watch.last_error else ""
        if watch.last_success_at is None:
            faults.append(f"• {watch.name}: never read; no number of it is watched{failed}")
        elif _is_blind(watch, policy, now):
            since = instant(watch.last_success_at)
            faults.append(f"• {watch.name}: {numbers(watch.numbers)}, BLIND, nothing read since {since}{failed}")
        else:
            read = f"read {span(now - watch.last_success_at)} ago"
            (faults if failed else fine).append(f"• {watch.name}: {numbers(watch.numbers)}, {read}{failed}")
    for name, (failing_since, error) in state.faults.items():
        faults.append(f"• channel {name} fails for {span(now - failing_since)}: {plain(error)}")
    if given_up := state.outbox.get("failed", 0):
        many = "1 message was" if given_up == 1 else f"{given_up} messages were"
        faults.append(f"• {many} given up: renewal-watch alerts --failed")
    return [*_cut(faults), *_cut(fine)]


def _is_blind(watch: Watch, policy: Policy, now: datetime) -> bool:
    return watch.last_success_at is None or failures.is_stale(watch, policy, now)


def _cut(lines: Sequence[str], count: int | None = None) -> list[str]:
    """The first lines of ``count``, of which those behind may not be there any more."""
    count = len(lines) if count is None else count
    return [*lines[:LONGEST], *[f"• and {count - LONGEST} more"] * (count > LONGEST)]
