"""What an alert about an account says when it is told again. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from renewal_watch.account.balance import TopUpState, needs, short
from renewal_watch.account.funds import is_failing, last_day
from renewal_watch.account.judge import explains, reading_of
from renewal_watch.account.releases import release_words
from renewal_watch.account.turn import CARD, RELEASE, UNREADABLE, USER_TOKEN, Facts, Subject
from renewal_watch.alerts import account_texts, list_texts, phrases
from renewal_watch.detect import turn as detect_turn
from renewal_watch.detect.restate import Restated
from renewal_watch.errors import TokenRejected
from renewal_watch.model import renewal_day
from renewal_watch.model.account import Reading, Release
from renewal_watch.model.alerts import Key
from renewal_watch.model.policy import Policy


def restate(key: Key, readings: Mapping[str, Reading], facts: Facts, policy: Policy, now: datetime) -> Restated | None:
    """What a matter of the account is now, by what was last read; None when it does not hold or is not read any more."""
    name = reading_of(key.topic)
    reading = readings.get(name) if name else None
    if reading is not None and key.topic == USER_TOKEN:
        words = list_texts.user_token_rejected(key.environment, reading.error or "")
        return Restated(words=words) if reading.outcome == TokenRejected.reason else None
    if reading is not None and key.topic.startswith(UNREADABLE):
        return Restated() if key.topic in reading.told else None
    if reading is None or reading.content is None:
        return None
    note = f" (as last read at {phrases.instant(reading.good_at or reading.read_at)})" if reading.error else ""
    if name == "releases":
        return _restate_release(key, reading.content, facts.subjects, policy, now, note)
    if key.topic not in reading.told:
        return None
    settings = readings["topup"].content if "topup" in readings else None
    on_day = renewal_day.today(now, policy.zone)
    if name == "topup":
        return Restated(words=account_texts.topup_off(key.environment, key.topic, reading.content, note, still=True))
    if name == "charges":
        charge = next((one for one in reversed(reading.content) if one.status == "failed"), None)
        return Restated(words=None if charge is None else account_texts.topup_failed(key.environment, charge, 0, note))
    if name == "cards":
        card = next((one for one in reading.content if key.topic == f"{CARD}{one.id}"), None)
        if card is None:
            return None
        on = last_day(card)
        words = account_texts.card_expiring(key.environment, card, on - on_day, on, note)
        return Restated(words=words, days_left=on - on_day)
    charges = readings["charges"].content if "charges" in readings else None
    top_up = TopUpState(settings, is_failing(charges or ()))
    need = needs(facts.renews, on_day, policy.horizon_days).get(reading.content.currency)
    found = short(key.environment, reading.content, need, top_up, on_day, note)
    return Restated() if found is None else Restated(words=found[1], days_left=found[2])


def _restate_release(
    key: Key,
    requests: Sequence[Release],
    subjects: Mapping[str, Subject],
    policy: Policy,
    now: datetime,
    note: str,
) -> Restated | None:
    if key.number_id:
        mine = [one for one in requests if one.id in subjects and subjects[one.id].known.provider_id == key.number_id]
    else:
        mine = [one for one in requests if key.topic == f"{RELEASE} {one.id}" and one.status == "pending"]
    request = explains(mine, now)
    if request is None:
        return None
    subject = subjects.get(request.id)
    if subject is not None and (subject.known.lapse is not None or not detect_turn.is_watched(subject.known, policy)):
        return None
    words, left = release_words(request, subject, key.environment, policy, now, note)
    return Restated(words=words, days_left=left, number=None if subject is None else subject.number)
