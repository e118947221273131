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
from renewal_watch.alerts.phrases import instant, money, span, status_word, sums
from renewal_watch.detect import failures
from renewal_watch.language import _, ngettext
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
            currency = plain(number.currency or "", 10) or _("of no stated currency")
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
    new = ngettext("{count} new", "{count} new", changes) if changes else _("nothing new")
    parts = [
        new,
        ngettext(
            "{count} number renews within {days} days", "{count} numbers renew within {days} days", soon, days=SOON_DAYS
        ),
        *[ngettext("{count} overdue", "{count} overdue", summary.overdue)] * bool(summary.overdue),
        *[_("no current list of {environments}", environments=", ".join(blind))] * bool(blind),
    ]
    headline = _("digest: {summary}", summary=", ".join(parts))
    trouble = _trouble(state)
    lines = [
        *([_("NEEDS ATTENTION"), *trouble, ""] if trouble else []),
        _("RENEWS NEXT"),
        *_next(summary.soon),
        "",
        _("COST AHEAD"),
        *_costs(summary.costs),
        *_idle(state),
        "",
        _("SILENCED"),
        *_not_told(state, now),
        "",
        _("MONITORING"),
        *_health(state, now),
        "",
        _("FOUND SINCE {at}", at=instant(since)),
        *["• " + _("nothing")] * (not changes),
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
        return _("{who} is missing since {at}", who=who, at=instant(missing_since(row.known)))
    if row.days_left is not None and row.days_left < 0:
        if row.known.is_overdue(row.days_left):
            return ngettext(
                "{who} is overdue by {count} day", "{who} is overdue by {count} days", -row.days_left, who=who
            )
        return ngettext(
            "{who} had its renewal day {count} day ago; no list since shows whether it renewed",
            "{who} had its renewal day {count} days ago; no list since shows whether it renewed",
            -row.days_left,
            who=who,
        )
    return _("{who} is {status}", who=who, status=status_word(row.number.status))


def _next(soon: Shortlist) -> list[str]:
    if not soon.count:
        return ["• " + _("no number within {days} days", days=SOON_DAYS)]
    return _cut([f"• {_renews(row)}" for row in soon.rows()], soon.count)


def _renews(row: Row) -> str:
    assert row.days_left is not None  # noqa: S101 (_upcoming)
    assert row.renews_on is not None  # noqa: S101
    values = {
        "who": f"{phrases.who(row.number)} ({row.environment})",
        "when": phrases.when(row.days_left, row.renews_on.toordinal()),
        "cost": money(row.number.cost, row.number.currency),
    }
    if row.number.auto_renewal:
        return _("{who} renews {when}: {cost}", **values)
    return _("{who} will be lost {when}: {cost}", **values)


def _costs(costs: Mapping[int, Cost]) -> list[str]:
    """What will be charged within so many days."""
    lines = []
    for days, cost in costs.items():
        said = [money(amount, currency) for currency, amount in sorted(cost.sums.items())] or [_("nothing")]
        line = ngettext(
            "within {days} days {amounts} for {count} number with auto-renewal",
            "within {days} days {amounts} for {count} numbers with auto-renewal",
            cost.numbers,
            days=days,
            amounts=" + ".join(said),
        )
        if cost.unknown:
            unknown = ngettext("{count} without a stated cost", "{count} without a stated cost", cost.unknown)
            line = f"{line}; {unknown}"
        lines.append(f"• {line}")
    return lines


def _idle(state: State) -> list[str]:
    if not state.idle:
        return []
    said = ngettext(
        "{count} number used by no agent: {cost} a month",
        "{count} numbers used by no agent: {cost} a month",
        state.idle,
        cost=sums(state.idle_sums.items()),
    )
    return [f"• {said}"]


def _not_told(state: State, now: datetime) -> list[str]:
    muted = sum(
        1
        for incident in state.incidents.values()
        if incident.suppressor is not None and incident.suppressor.by == "rule"
    )
    acked = sum(1 for incident in state.incidents.values() if incident.ack is not None)
    long = sum(1 for one in state.incidents.values() if one.ack is not None and now - one.ack.at >= LONG_ACKNOWLEDGED)
    lines = []
    if muted:
        lines.append(ngettext("rules mute {count} that still holds", "rules mute {count} that still hold", muted))
    if acked:
        said = ngettext("{count} acknowledged and not ended", "{count} acknowledged and not ended", acked)
        if long:
            length = span(LONG_ACKNOWLEDGED)
            of_long = ngettext(
                "{count} of them for more than {length}", "{count} of them for more than {length}", long, length=length
            )
            said += f", {of_long}: renewal-watch incidents --acknowledged"
        lines.append(said)
    if meant := len(state.lapses):
        lines.append(ngettext("{count} number meant to expire", "{count} numbers meant to expire", meant))
    lines += [_silence(state, one, now) for one in state.silences]
    return _cut([f"• {line}" for line in lines]) or ["• " + _("nothing is silenced")]


def _silence(state: State, silence: Silence, now: datetime) -> str:
    """What a silence hides, and for how long."""
    suppressor = Suppressor.of("silence", silence.pk)
    return ngettext(
        "silence {id} of {author}{comment}, {about}, for {length} more: hides {count} that still holds",
        "silence {id} of {author}{comment}, {about}, for {length} more: hides {count} that still hold",
        sum(1 for incident in state.incidents.values() if incident.suppressor == suppressor),
        id=silence.pk,
        author=plain(silence.author),
        comment=f" ({plain(silence.comment)})" if silence.comment else "",
        about=plain(matched(silence.match, silence.kinds), 300),
        length=span(silence.ends_at - now),
    )


def _health(state: State, now: datetime) -> list[str]:
    """How the service does, its faults first."""
    faults: list[str] = []
    fine: list[str] = []
    for watch, policy in state.watches:
        error = watch.last_error
        failed = "; " + _("the last poll failed: {error}", error=plain(error)) if error else ""
        if watch.last_success_at is None:
            faults.append(_("{environment}: never read; no number of it is watched", environment=watch.name) + failed)
        elif _is_blind(watch, policy, now):
            said = ngettext(
                "{environment}: {count} number, BLIND, nothing read since {at}",
                "{environment}: {count} numbers, BLIND, nothing read since {at}",
                watch.numbers,
                environment=watch.name,
                at=instant(watch.last_success_at),
            )
            faults.append(said + failed)
        else:
            said = ngettext(
                "{environment}: {count} number, read {length} ago",
                "{environment}: {count} numbers, read {length} ago",
                watch.numbers,
                environment=watch.name,
                length=span(now - watch.last_success_at),
            )
            (faults if failed else fine).append(said + failed)
    for name, (failing_since, error) in state.faults.items():
        length = span(now - failing_since)
        faults.append(
            _("channel {channel} fails for {length}: {error}", channel=name, length=length, error=plain(error))
        )
    if given_up := state.outbox.get("failed", 0):
        many = ngettext("{count} message was given up", "{count} messages were given up", given_up)
        faults.append(f"{many}: renewal-watch alerts --failed")
    faults, fine = [f"• {line}" for line in faults], [f"• {line}" for line in fine]
    return [*_cut(faults), *_cut(fine)]


def _is_blind(watch: Watch, policy: Policy, now: datetime) -> bool:
    return watch.last_success_at is None or failures.is_stale(watch, policy, now)


def _cut(lines: Sequence[str], count: int | None = None) -> list[str]:
    """The first lines of ``count``, of which those behind may not be there any more."""
    count = len(lines) if count is None else count
    more = ngettext("and {count} more", "and {count} more", count - LONGEST)
    return [*lines[:LONGEST], *[f"• {more}"] * (count > LONGEST)]
