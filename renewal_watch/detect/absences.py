"""Judges numbers that left the list. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from renewal_watch.alerts.facts import list_facts, number_facts
from renewal_watch.alerts.notes import Unlisted, Unreadable
from renewal_watch.alerts.phrases import FEW
from renewal_watch.detect.compare import Comparison
from renewal_watch.detect.renewals import judge_renewal
from renewal_watch.detect.turn import OF_NUMBERS, Turn, is_watched
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Facts, Number
from renewal_watch.model.numbers import Listing, PhoneNumber
from renewal_watch.model.tracking import Absence, Known, Verdict, Watch
from renewal_watch.text import plain

SHRUNK_NUMBERS = 3  # fewer gone at once are single losses, not a fault of the list
SHRUNK_SHARE = 0.3
SHRUNK_PATIENCE = timedelta(hours=24)


def judge_absent(
    turn: Turn,
    fleet: Mapping[str, Known],
    before: Mapping[str, PhoneNumber],
    listing: Listing,
    found: Comparison,
    watch: Watch,
    verdict: Verdict,
) -> Watch:
    """Numbers that are not among the readable entries: unreadable, gone, or the list itself is at fault."""
    policy = turn.policy
    absent = [fleet[name] for name in found.absent if fleet[name].missing_at is None]
    if not absent and watch.shrunk_at is None and not turn.context.elsewhere:
        return watch
    nameless = len(listing.invalid)  # each may be any of the absent
    lost = [k for k in absent if is_watched(k, policy) and not _is_explained(k, turn)]
    watched = sum(1 for k in fleet.values() if k.missing_at is None and is_watched(k, policy))
    doubtful = len(lost) - nameless
    is_empty = bool(lost) and not listing.entries and not listing.invalid
    explained = len(absent) - len(lost)
    is_shrunk = is_empty or (doubtful >= SHRUNK_NUMBERS and doubtful > SHRUNK_SHARE * max(watched - explained, 0))
    watch = _judge_shrunk(turn, fleet, watch, lost, watched, is_shrunk=is_shrunk)
    is_believed = watch.shrunk_at is None or turn.now - watch.shrunk_at >= SHRUNK_PATIENCE
    for known in (fleet[name] for name in found.absent):
        there = turn.context.elsewhere.get(known.provider_id)
        if there is not None:
            verdict.updates.append(_judge_moved(turn, before[known.provider_id], known, there, verdict))
            continue
        if known.missing_at is not None:
            continue
        kept = (
            known if nameless else _judge_gone(turn, before[known.provider_id], known, verdict, is_believed=is_believed)
        )
        if kept.missing_at is None and is_watched(known, policy):
            turn.note = Unreadable() if nameless else Unlisted()
            kept = judge_blind(turn, before.get(known.provider_id), kept)
            turn.note = None
        if kept is not known:
            verdict.updates.append(kept)
    return watch


def _is_explained(known: Known, turn: Turn) -> bool:
    """Whether it is known why a number is not in the list: it moved, was released, or its day came and it was to go."""
    request = turn.context.requests.get(known.provider_id)
    is_released = request is not None and request.status == "approved"
    is_over = known.lapse is not None and known.renews_on is not None and known.renews_on <= turn.on_day
    return is_released or is_over or known.provider_id in turn.context.elsewhere


def _judge_moved(turn: Turn, number: PhoneNumber, known: Known, there: str, verdict: Verdict) -> Known:
    """A number that another environment lists: it is not missing, and it is watched there."""
    if known.absence is None:
        verdict.versions[known.provider_id] = None
    if is_watched(known, turn.policy):
        turn.tell(
            "number.moved",
            Severity.warning,
            turn.once(known.provider_id),
            number_facts.Moved(Number.of(number), turn.at, there, is_missing=known.missing_at is not None),
            number,
            ends=True,
        )
    return known._replace(absence=Absence(1, int(turn.now.timestamp()), there))


def _judge_gone(turn: Turn, number: PhoneNumber, known: Known, verdict: Verdict, *, is_believed: bool) -> Known:
    """A number that is not in the list: it counts as missing after so many lists without it."""
    name = known.provider_id
    polls = 0 if known.absence is None else known.absence.polls
    if polls == 0:
        verdict.versions[name] = None
    polls += 1
    is_missing = (is_believed or _is_explained(known, turn)) and polls >= turn.policy.missing_after_polls
    if is_missing and is_watched(known, turn.policy):
        left, on = turn.left(number, known), known.renews_on
        is_meant = known.lapse is not None
        request = turn.context.requests.get(name)
        is_asked = request is not None and request.status == "approved"  # the approval was told
        facts = number_facts.Missing(
            Number.of(number),
            turn.at,
            polls,
            left,
            on,
            is_meant=is_meant,
            request=request,
            filters=turn.context.filters,
        )
        severity = Severity.critical
        if is_asked:
            severity = Severity.info
        elif is_meant:  # that it went early may cost calls, but it was to go
            severity = Severity.info if left is not None and left <= 0 else Severity.warning
        turn.tell("number.missing", severity, turn.once(name), facts, number, left)
        for topic in OF_NUMBERS if is_meant or is_asked else ():  # else they go on should it return
            turn.end(name, topic)
    return known._replace(absence=Absence(polls, int(turn.now.timestamp()) if is_missing else None))


def _judge_shrunk(
    turn: Turn, fleet: Mapping[str, Known], watch: Watch, lost: Sequence[Known], watched: int, *, is_shrunk: bool
) -> Watch:
    """Tell once that too many numbers left the list at once, and once that they came back."""
    if is_shrunk and watch.shrunk_at is None:
        some = tuple(plain(known.number or known.provider_id) for known in lost[:FEW])
        facts: Facts = list_facts.ListShrunk(turn.at, len(lost), watched, some, turn.context.filters)
        turn.tell("watch.list_shrunk", Severity.critical, turn.once("list"), facts)
        return replace(watch, shrunk_at=turn.now)
    if not is_shrunk and watch.shrunk_at is not None:
        since = int(watch.shrunk_at.timestamp())
        if not any(k.missing_at is not None and k.missing_at >= since for k in fleet.values()):  # else it was believed
            turn.tell(
                "watch.recovered",
                Severity.info,
                turn.once("list"),
                list_facts.ListWhole(turn.at, watch.shrunk_at, turn.now, len(lost)),
                topic="list",
            )
        else:
            turn.end("", "list")
        return replace(watch, shrunk_at=None)
    return watch


def judge_blind(turn: Turn, number: PhoneNumber | None, known: Known) -> Known:
    """The countdown of a number that could not be read goes on from what was last known."""
    if number is None:
        return known
    return judge_renewal(turn, number, known, number, is_blind=True)
