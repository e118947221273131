"""What an alert says when it is told again, by what is known now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from renewal_watch.alerts.facts import number_facts, renewal_facts
from renewal_watch.alerts.notes import Note, Unlisted
from renewal_watch.detect.failures import BLIND, blind_turn
from renewal_watch.detect.turn import FLAW_KINDS, Turn, is_watched
from renewal_watch.model.alerts import Incident, Key
from renewal_watch.model.facts import Around, Facts, Number, Written
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known, Watch

AS_FOUND = Written("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """An incident as it stands now; ``facts`` are ``AS_FOUND`` where those that were found are all that is known."""

    facts: Facts = AS_FOUND
    around: tuple[Around, ...] = ()
    days_left: int | None = None
    renews_on: int | None = None
    number: PhoneNumber | None = None


def facts_now(
    key: Key,
    incident: Incident,
    number: PhoneNumber | None,
    known: Known | None,
    watch: Watch,
    policy: Policy,
    now: datetime,
) -> Current | None:
    """What an incident of an environment is now, None when it does not hold any more."""
    if known is None or number is None:
        holds = {
            "api": bool(watch.told & BLIND),
            "list": watch.shrunk_at is not None,
            "data": any(kind not in FLAW_KINDS for kind in watch.flaws),
            **{topic: topic in watch.flaws for topic in FLAW_KINDS},
        }
        return Current() if holds.get(key.topic, False) else None
    if not is_watched(known, policy):
        return None
    turn = blind_turn(watch, policy, now)
    left, on = turn.left(number, known), known.renews_on
    as_it_was = Current(days_left=left, renews_on=on, number=number)
    if key.topic == "presence":
        return as_it_was if known.missing_at is not None else None
    if known.missing_at is not None:
        return None
    turn.note = turn.note if watch.last_error else Unlisted() if known.absence else None
    note = turn.note_on(number, known)
    if key.topic == "renewal":
        if left is None or on is None:
            return None
        return _current_renewal(turn, incident, number, known, left, on, note)
    if key.topic == "status":
        if number.status == "active":
            return None
        facts = number_facts.StatusChanged(Number.of(number), turn.at, None, left, on, still=True)
        return Current(facts=facts, days_left=left, number=number)
    if key.topic in ("lapse", "last chance") and known.lapse is None:
        return None
    if key.topic == "last chance":
        if left is None or on is None or left < 0:
            return None
        return Current(
            facts=renewal_facts.LastChance(Number.of(number), turn.at, left, on, note), days_left=left, number=number
        )
    return as_it_was


def _current_renewal(
    turn: Turn, incident: Incident, number: PhoneNumber, known: Known, left: int, on: int, note: Note | None
) -> Current | None:
    if left < 0:
        if known.cycle is None or not known.cycle.overdue_told:  # that it failed is for the next good list to say
            return Current(number=number, days_left=left, renews_on=on)
        return Current(
            facts=renewal_facts.Overdue(Number.of(number), turn.at, -left, on, note), days_left=left, number=number
        )
    if known.cycle is None and (incident.kind != "auto_renewal.off" or number.auto_renewal):
        return None
    coming = renewal_facts.Due if left == 0 else renewal_facts.Upcoming
    return Current(facts=coming(Number.of(number), turn.at, left, on, note), days_left=left, number=number)
