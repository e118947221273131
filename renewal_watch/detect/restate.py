"""What an alert says when it is told again, by what is known now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from renewal_watch.alerts import number_texts, phrases
from renewal_watch.detect.failures import BLIND, blind_turn
from renewal_watch.detect.turn import FLAW_KINDS, Turn, is_watched
from renewal_watch.model.alerts import Key, Matter
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known, Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Restated:
    """A matter as it stands now; ``words`` are None where what was said before still says it."""

    words: tuple[str, str] | None = None
    days_left: int | None = None
    number: PhoneNumber | None = None


def restate(
    key: Key,
    matter: Matter,
    number: PhoneNumber | None,
    known: Known | None,
    watch: Watch,
    policy: Policy,
    now: datetime,
) -> Restated | None:
    """What a matter of an environment is now, None when it does not hold any more."""
    if known is None or number is None:
        holds = {
            "api": bool(watch.told & BLIND),
            "list": watch.shrunk_at is not None,
            "data": any(kind not in FLAW_KINDS for kind in watch.flaws),
            **{topic: topic in watch.flaws for topic in FLAW_KINDS},
        }
        return Restated() if holds.get(key.topic, False) else None
    if not is_watched(known, policy):
        return None
    if key.topic == "presence":
        return Restated(number=number) if known.missing_at is not None else None
    if known.missing_at is not None:
        return None
    turn = blind_turn(watch, policy, now)
    turn.note = turn.note if watch.last_error else phrases.UNLISTED if known.absence else ""
    note = turn.note_on(number, known)
    left, on = turn.left(number, known), known.renews_on
    if key.topic == "renewal":
        if left is None or on is None:
            return None
        return _restate_renewal(turn, matter, number, known, left, on, note)
    if key.topic == "status":
        if number.status == "active":
            return None
        words = number_texts.status_changed(number, turn.at, None, left, on, still=True)
        return Restated(words=words, days_left=left, number=number)
    if key.topic in ("lapse", "last chance") and known.lapse is None:
        return None
    if key.topic == "last chance":
        if left is None or on is None or left < 0:
            return None
        return Restated(words=number_texts.last_chance(number, turn.at, left, on, note), days_left=left, number=number)
    return Restated(number=number, days_left=left)


def _restate_renewal(
    turn: Turn, matter: Matter, number: PhoneNumber, known: Known, left: int, on: int, note: str
) -> Restated | None:
    if left < 0:
        if known.cycle is None or not known.cycle.overdue_told:  # that it failed is for the next good list to say
            return Restated(number=number, days_left=left)
        return Restated(words=number_texts.overdue(number, turn.at, -left, on, note), days_left=left, number=number)
    if known.cycle is None and (matter.kind != "auto_renewal.off" or number.auto_renewal):
        return None
    words = number_texts.due if left == 0 else number_texts.upcoming
    return Restated(words=words(number, turn.at, left, on, note), days_left=left, number=number)
