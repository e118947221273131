"""Judges top-ups and cards. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Sequence
from datetime import date

from renewal_watch.account.turn import AUTO, CARD, EARLIEST, LONG_AGO, PAYMENT, SCHEDULED, Turn
from renewal_watch.alerts.facts import account_facts, topup_facts
from renewal_watch.model.account import Card, Charge, TopUp
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Facts


def judge_topup(turn: Turn, before: TopUp | None, after: TopUp, told: dict[str, int]) -> None:
    """Told when a switch goes off, and at first when no switch is on; whoever pays otherwise wants no warning of it."""
    was = before or TopUp()
    switches = ((AUTO, was.by_threshold, after.by_threshold), (SCHEDULED, was.by_schedule, after.by_schedule))
    for topic, before_on, on in switches:
        never = before_on is None and topic == AUTO and not after.by_schedule
        if on is False and topic not in told and (before_on or never):
            turn.tell(
                "funds.topup_off",
                Severity.warning,
                turn.once(topic),
                topup_facts.TopupOff(turn.at, topic, after),
                topic=topic,
                repeats=before is None,
            )
            told[topic] = 1
        elif on and topic in told:
            turn.end(topic, topup_facts.TopupOn(turn.at, topic))
            del told[topic]
    if AUTO in told and after.by_schedule and not was.by_schedule:
        turn.end(AUTO, topup_facts.TopupOn(turn.at, AUTO, by_other=True))
        del told[AUTO]


def is_failing(charges: Sequence[Charge]) -> bool:
    """Whether the newest top-up that ended failed."""
    return next((one.status == "failed" for one in reversed(charges) if one.status in ("failed", "succeeded")), False)


def judge_charges(turn: Turn, before: Sequence[Charge] | None, after: Sequence[Charge], told: dict[str, int]) -> None:
    """Tell top-ups that failed, and that they work again. ``before`` is None for the first reading."""
    fails = is_failing(after)
    failed = [one for one in after if one.status == "failed"]
    if before is None:
        fresh = [one for one in failed[-1:] if fails and one.at is not None and turn.now - one.at <= LONG_AGO]
    else:
        known = {one.id for one in before if one.status == "failed"}
        oldest = next((one.at for one in before if one.at is not None), None) or EARLIEST
        fresh = [one for one in failed if one.id not in known and (one.at or turn.now) >= oldest]
    if fresh and fails:
        facts: Facts = topup_facts.TopupFailed(turn.at, fresh[-1], len(fresh) - 1)
        repeats = PAYMENT in told or before is None
        key = turn.once(fresh[-1].id)
        turn.tell("funds.topup_failed", Severity.critical, key, facts, topic=PAYMENT, repeats=repeats)
        told[PAYMENT] = 1
    elif fresh:
        turn.tell(
            "funds.topup_failed",
            Severity.info,
            turn.once(fresh[-1].id),
            topup_facts.TopupFailedOnce(turn.at, fresh[-1], len(fresh) - 1),
        )
    if not fails and told.pop(PAYMENT, 0):
        turn.end(PAYMENT, topup_facts.TopupWorks(turn.at))


def _in_use(cards: Sequence[Card], settings: TopUp | None) -> Sequence[Card]:
    """The cards that top-ups are charged to: the one in the settings, else the default, else any of them."""
    named = [one for one in cards if settings is not None and one.id == settings.card_id]
    return named or [one for one in cards if one.is_default] or cards


def last_day(card: Card) -> int:
    """The last day of a card, an ordinal."""
    return date(card.year, card.month, monthrange(card.year, card.month)[1]).toordinal()


def judge_cards(turn: Turn, cards: Sequence[Card], settings: TopUp | None, told: dict[str, int]) -> None:
    """Tell cards in use that expire soon or have expired."""
    ending = {}
    is_charged = settings is None or settings.by_threshold is not False or settings.by_schedule is not False
    for card in _in_use(cards, settings):
        on = last_day(card)
        left = on - turn.on_day
        if left > turn.policy.card_warn_days:
            continue
        topic = f"{CARD}{card.id}"
        stage = on * 2 + (left < 0)  # another month, or over: worth another alert
        ending[topic] = stage
        if told.get(topic) != stage:
            severity = Severity.critical if left < 0 and is_charged else Severity.warning
            facts: Facts = account_facts.CardExpiring(turn.at, card, left, on)
            turn.tell("funds.card_expiring", severity, turn.once(card.id), facts, topic=topic, left=left)
    known = {topic for topic in told if topic.startswith(CARD)}
    for topic in known - ending.keys():
        if cards:
            turn.end(topic, account_facts.CardReplaced(turn.at, well=not ending))
        else:
            turn.tell(
                "funds.card_expiring",
                Severity.warning,
                turn.once(topic),
                account_facts.CardGone(turn.at),
                topic=topic,
                ends=True,
            )
    for topic in known:
        del told[topic]
    told.update(ending)
