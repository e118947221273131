"""What a digest says beside what was found: what renews next, what it costs, what is not told, how the watch does. Pure.

Lines are those of a message: a heading in capitals, an item after ``• ``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from renewal_watch import messages, rules
from renewal_watch.messages import instant, money, numbers, span
from renewal_watch.model import DAY_S, Key, Matter, Policy, Silence, Watch
from renewal_watch.report import Row, matched
from renewal_watch.report import since as missing_since
from renewal_watch.text import plain

SOON_DAYS = 7
MONTH_DAYS = 30
MISSED_DAYS = 30  # a missing number is looked for no longer
LONGEST = 20  # items of a list; what does not fit is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that a digest is made of: the numbers that are watched and that its channel is told of.

    ``open_beside`` are the headlines of what still holds beside the list: releases and funds.
    """

    rows: Sequence[Row]
    watches: Sequence[tuple[Watch, Policy]]
    open_beside: Sequence[str] = ()
    matters: Mapping[Key, Matter] = field(default_factory=dict)
    silences: Sequence[Silence] = ()
    lapses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    outbox: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, tuple[datetime, str]] = field(default_factory=dict)


def compose(state: State, changes: int, since: datetime, now: datetime) -> tuple[str, str]:
    """``(headline, text)`` of a digest; ``changes`` alerts since ``since`` come after it."""
    soon = _upcoming(state.rows, SOON_DAYS)
    blind = [watch.name for watch, policy in state.watches if _is_blind(watch, policy, now)]
    overdue = sum(1 for row in state.rows if _is_watched(row) and row.days_left is not None and row.days_left < 0)
    headline = ", ".join(
        [
            f"digest: {changes or 'nothing'} new",
            f"{numbers(len(soon))} {'renews' if len(soon) == 1 else 'renew'} within {SOON_DAYS} days",
            *[f"{overdue} overdue"] * bool(overdue),
            *[f"blind on {', '.join(blind)}"] * bool(blind),
        ]
    )
    trouble = _trouble(state, now)
    lines = [
        *(["NEEDS SOMEBODY", *trouble, ""] if trouble else []),
        "RENEWS NEXT",
        *_next(soon),
        "",
        "COST AHEAD",
        *_costs(state.rows),
        "",
        "NOT TOLD",
        *_not_told(state, now),
        "",
        "THE WATCH",
        *_health(state, now),
        "",
        f"FOUND SINCE {instant(since)}",
        *["• nothing"] * (not changes),
    ]
    return headline, "\n".join(lines)


def _is_watched(row: Row) -> bool:
    return row.known.missing_at is None


def _upcoming(rows: Iterable[Row], within: int) -> list[Row]:
    found = [row for row in rows if _is_watched(row) and row.days_left is not None and 0 <= row.days_left <= within]
    return sorted(found, key=lambda row: (row.days_left or 0, bool(row.number.auto_renewal), row.known.number))


def _trouble(state: State, now: datetime) -> list[str]:
    """What is not as it should be, as it is now."""
    lines = [f"• {headline}" for headline in state.open_beside]
    for row in sorted(state.rows, key=Row.urgency):
        who = f"• {messages.who(row.number)} ({row.environment})"
        if row.known.lapse is not None:
            continue
        if row.known.missing_at is not None and now.timestamp() - row.known.missing_at > MISSED_DAYS * DAY_S:
            continue
        if row.known.missing_at is not None:
            lines.append(f"{who} is missing since {missing_since(row.known)}")
        elif row.days_left is not None and row.days_left < 0:
            lines.append(f"{who} is overdue by {messages.days(-row.days_left)}")
        elif row.number.status != "active":
            lines.append(f"{who} is {plain(row.number.status) or 'without a status'}")
    return _cut(lines)


def _next(soon: Sequence[Row]) -> list[str]:
    if not soon:
        return [f"• no number within {SOON_DAYS} days"]
    return _cut([f"• {_renews(row)}" for row in soon])


def _renews(row: Row) -> str:
    assert row.days_left is not None  # noqa: S101 (_upcoming)
    assert row.renews_on is not None  # noqa: S101
    verb = "renews" if row.number.auto_renewal else "will be lost"
    when = messages.when(row.days_left, row.renews_on.toordinal())
    return (
        f"{messages.who(row.number)} ({row.environment}) {verb} {when}: {money(row.number.cost, row.number.currency)}"
    )


def _costs(rows: Sequence[Row]) -> list[str]:
    """Sums by currency of what will be charged; nothing is converted."""
    lines = []
    for days in (SOON_DAYS, MONTH_DAYS):
        sums: dict[str, Decimal] = {}
        unknown = 0
        those = [row for row in _upcoming(rows, days) if row.number.auto_renewal]
        for row in those:
            cost = row.number.cost
            if cost is None:
                unknown += 1
            else:
                currency = plain(row.number.currency or "", 10) or "of no stated currency"
                sums[currency] = sums.get(currency, Decimal(0)) + cost
        said = [money(amount, currency) for currency, amount in sorted(sums.items())] or ["nothing"]
        more = f"; {unknown} without a stated cost" if unknown else ""
        lines.append(f"• within {days} days {' + '.join(said)} for {numbers(len(those))} with auto-renewal{more}")
    return lines


def _not_told(state: State, now: datetime) -> list[str]:
    muted = sum(1 for matter in state.matters.values() if (matter.hider or "").startswith("rule:"))
    acked = sum(1 for matter in state.matters.values() if matter.ack is not None)
    lines = [f"• rules mute {muted} that still hold"] * bool(muted)
    lines += [f"• {acked} acknowledged and not ended"] * bool(acked)
    lines += [f"• {numbers(len(state.lapses))} meant to lapse"] * bool(state.lapses)
    for silence in state.silences:
        hidden = sum(1 for matter in state.matters.values() if matter.hider == f"silence:{silence.pk}")
        why = f" ({plain(silence.comment)})" if silence.comment else ""
        lines.append(
            f"• silence {silence.pk} of {plain(silence.author)}{why}, {plain(matched(silence.match, silence.kinds), 300)}, for "
            f"{span(silence.ends_at - now)} more: hides {hidden} that still hold"
        )
    return _cut(lines) or ["• nothing is silenced"]


def _health(state: State, now: datetime) -> list[str]:
    """How the watch does, its faults first."""
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
    return watch.last_success_at is None or rules.is_stale(watch, policy, now)


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= LONGEST else [*lines[:LONGEST], f"• and {len(lines) - LONGEST} more"]
