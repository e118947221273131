"""What is read beside the list, each with what a new answer means and what is said of it again: one row a reading. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from renewal_watch.account.balance import TopUpState, judge_balance, needs, short
from renewal_watch.account.funds import is_failing, judge_cards, judge_charges, judge_topup, last_day
from renewal_watch.account.releases import judge_releases, release_asked
from renewal_watch.account.turn import CARD, RELEASE, Background, Turn, explains
from renewal_watch.alerts.facts import account_facts, topup_facts
from renewal_watch.alerts.notes import Note
from renewal_watch.detect import turn as detect_turn
from renewal_watch.detect.current import Current
from renewal_watch.model import renewal_day
from renewal_watch.model.account import Card, Charge, Release
from renewal_watch.model.alerts import Key
from renewal_watch.model.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One reading: as it is, as it was (None before the first), and what else was last read of the account.

    ``told`` is what of it was told and holds; a judgement changes it.
    """

    content: Any
    was: Any = None
    latest: Mapping[str, Any]
    background: Background
    told: dict[str, int]

    @property
    def top_up(self) -> TopUpState:
        """Whether top-ups help."""
        return TopUpState(self.latest.get("topup"), is_failing(self.latest.get("charges") or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """An incident that is told again: its key, today, and how old the answer is."""

    key: Key
    policy: Policy
    now: datetime
    note: Note | None

    @property
    def on_day(self) -> int:
        """Today in the configured zone, an ordinal."""
        return renewal_day.today(self.now, self.policy.zone)


class Handler(NamedTuple):
    """``judge`` tells what a new answer means; ``again`` says what an incident of it is now, None when it does not hold.

    An incident holds only while ``told`` has its topic, unless ``is_asked``: then ``again`` looks for itself.
    """

    judge: Callable[[Turn, Case], None]
    again: Callable[[Again, Case], Current | None]
    is_asked: bool = False


def _releases(turn: Turn, case: Case) -> None:
    judge_releases(turn, case.was, case.content, case.background.subjects, case.told)


def _release_again(again: Again, case: Case) -> Current | None:
    key, subjects = again.key, case.background.subjects
    requests: Sequence[Release] = case.content
    if key.number_id:
        mine = [one for one in requests if one.id in subjects and subjects[one.id].known.provider_id == key.number_id]
    else:
        mine = [one for one in requests if key.topic == f"{RELEASE} {one.id}" and one.status == "pending"]
    request = explains(mine, again.now)
    if request is None:
        return None
    subject = subjects.get(request.id)
    is_watched = subject is None or (
        subject.known.lapse is None and detect_turn.is_watched(subject.known, again.policy)
    )
    if not is_watched:
        return None
    facts, left = release_asked(request, subject, key.environment, again.policy, again.now, again.note)
    return Current(facts=facts, days_left=left, number=None if subject is None else subject.number)


def _topup(turn: Turn, case: Case) -> None:
    judge_topup(turn, case.was, case.content, case.told)


def _topup_again(again: Again, case: Case) -> Current:
    key = again.key
    return Current(facts=topup_facts.TopupOff(key.environment, key.topic, case.content, again.note, still=True))


def _charges(turn: Turn, case: Case) -> None:
    judge_charges(turn, case.was, case.content, case.told)


def _charge_again(again: Again, case: Case) -> Current:
    charges: Sequence[Charge] = case.content
    charge = next((one for one in reversed(charges) if one.status == "failed"), None)
    if charge is None:
        return Current()
    return Current(facts=topup_facts.TopupFailed(again.key.environment, charge, 0, again.note))


def _cards(turn: Turn, case: Case) -> None:
    judge_cards(turn, case.content, case.latest.get("topup"), case.told)


def _card_again(again: Again, case: Case) -> Current | None:
    cards: Sequence[Card] = case.content
    card = next((one for one in cards if again.key.topic == f"{CARD}{one.id}"), None)
    if card is None:
        return None
    on = last_day(card)
    left = on - again.on_day
    return Current(facts=account_facts.CardExpiring(again.key.environment, card, left, on, again.note), days_left=left)


def _balance(turn: Turn, case: Case) -> None:
    judge_balance(turn, case.content, case.background.renews, case.top_up, case.told)


def _balance_again(again: Again, case: Case) -> Current:
    need = needs(case.background.renews, again.on_day, again.policy.horizon_days).get(case.content.currency)
    found = short(again.key.environment, case.content, need, case.top_up, again.on_day, again.note)
    return Current() if found is None else Current(facts=found[1], days_left=found[2])


HANDLERS: dict[str, Handler] = {  # by reading; of the others nothing is told
    "releases": Handler(_releases, _release_again, is_asked=True),
    "topup": Handler(_topup, _topup_again),
    "charges": Handler(_charges, _charge_again),
    "cards": Handler(_cards, _card_again),
    "balance": Handler(_balance, _balance_again),
}
