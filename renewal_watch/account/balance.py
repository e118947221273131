"""Judges whether the balance covers the renewals ahead. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from renewal_watch.account.turn import BALANCE, Renews, Turn
from renewal_watch.alerts.facts import account_facts
from renewal_watch.alerts.notes import Note
from renewal_watch.detect.turn import CRITICAL_DAYS
from renewal_watch.model.account import Balance, TopUp
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Facts


class TopUpState(NamedTuple):
    """What fills up the balance by itself."""

    settings: TopUp | None
    fails: bool

    @property
    def helps(self) -> bool:
        """Whether automatic top-ups will refill the balance."""
        return self.settings is not None and bool(self.settings.by_threshold) and not self.fails


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """What the renewals of one currency cost up to the day ``until``; ``unpriced`` state no price."""

    amount: Decimal
    until: int
    by_day: tuple[tuple[int, Decimal, int], ...]  # (day, cost, numbers)
    unpriced: int

    def first_uncovered(self, balance: Decimal) -> tuple[int, int] | None:
        """The first day that the balance does not last for, and how many numbers renew then; None if it covers all."""
        for on, cost, count in self.by_day:
            balance -= cost
            if balance < 0 and cost:
                return on, count
        return None


def needs(renews: Iterable[Renews], on_day: int, horizon: int) -> dict[str, _Need]:
    """What is to be paid within ``horizon`` days, by currency; what is overdue is to be paid today."""
    days: dict[str, dict[int, tuple[Decimal, int]]] = {}
    unpriced: dict[str, int] = {}
    for one in renews:
        currency = one.currency.strip().upper()
        if one.on > on_day + horizon:
            continue
        if one.cost is None:
            unpriced[currency] = unpriced.get(currency, 0) + one.numbers
            continue
        on = max(one.on, on_day)
        cost, count = days.setdefault(currency, {}).get(on, (Decimal(0), 0))
        days[currency][on] = (cost + one.cost * one.numbers, count + one.numbers)
    return {
        currency: _Need(
            amount=sum((cost for cost, _ in those.values()), Decimal(0)),
            until=max(those),
            by_day=tuple((on, *those[on]) for on in sorted(those)),
            unpriced=unpriced.get(currency, 0),
        )
        for currency, those in days.items()
    }


def judge_balance(
    turn: Turn, balance: Balance, renews: Sequence[Renews], top_up: TopUpState, told: dict[str, int]
) -> None:
    """Tell whether the balance covers the renewals of ``horizon_days``, and once it does again."""
    ahead = needs(renews, turn.on_day, turn.policy.horizon_days)
    mine = ahead.pop(balance.currency, None)
    found = short(turn.at, balance, mine, top_up, turn.on_day)
    if found is None:
        if told.pop(BALANCE, None) is not None:
            turn.end(BALANCE, account_facts.Enough(turn.at, balance, mine.amount if mine else Decimal(0)))
    else:
        severity, facts, left = found
        if severity > told.get(BALANCE, -1):
            turn.tell("funds.short", severity, turn.once(balance.currency), facts, topic=BALANCE, left=left)
        told[BALANCE] = max(severity, told.get(BALANCE, -1))
    for currency, need in ahead.items():
        if need.amount:
            turn.tell(
                "funds.short",
                Severity.info,
                f"{currency} against {balance.currency}",
                account_facts.NotComparable(turn.at, need.amount, currency, balance, need.until),
            )  # once for good


def short(
    at: str, balance: Balance, need: _Need | None, top_up: TopUpState, on_day: int, note: Note | None = None
) -> tuple[Severity, Facts, int] | None:
    """How bad it is, the facts, and the days left, None where the balance covers what renews.

    Where auto top-up is on and works it may well fill the balance up in time: one step less.
    """
    first = None if need is None else need.first_uncovered(balance.amount)
    if need is None or first is None:
        return None
    on, count = first
    left = on - on_day
    severity = Severity.critical if left <= CRITICAL_DAYS else Severity.warning
    if top_up.helps:
        severity = Severity(severity - 1)
    return (
        severity,
        account_facts.Short(
            at,
            needs=need.amount,
            balance=balance.amount,
            currency=balance.currency,
            until=need.until,
            first=(left, on, count),
            unpriced=need.unpriced,
            top_up=top_up.settings,
            fails=top_up.fails,
            note=note,
        ),
        left,
    )
