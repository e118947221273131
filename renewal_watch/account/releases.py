"""Judges release requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from renewal_watch.account.turn import EARLIEST, RELEASE, Subject, Turn, is_recent
from renewal_watch.alerts.facts import release_facts
from renewal_watch.alerts.notes import Note
from renewal_watch.detect import turn as detect_turn
from renewal_watch.model import renewal_day
from renewal_watch.model.account import Release
from renewal_watch.model.alerts import Key, Severity
from renewal_watch.model.facts import Facts, Number
from renewal_watch.model.policy import Policy


def judge_releases(
    turn: Turn,
    before: Sequence[Release] | None,
    after: Sequence[Release],
    subjects: Mapping[str, Subject],
    told: dict[str, int],
) -> None:
    """``told`` are the requests that were told as meant, for their numbers were to lapse: that may be taken back."""
    statuses = {one.id: one.status for one in before or ()}
    listed = {one.id for one in after}
    gone = [one for one in before or () if one.status == "pending" and one.id not in listed]
    ordered = sorted(after, key=lambda one: (one.status in ("pending", "approved"), one.requested_at or EARLIEST))
    for one in (*gone, *ordered):  # ends first: another request for the same number opens the incident anew
        subject = subjects.get(one.id)
        if subject is not None and not detect_turn.is_watched(subject.known, turn.policy):
            continue
        was = statuses.get(one.id)
        if one.id not in listed or (was in ("pending", "approved") and one.status in ("rejected", "cancelled")):
            number = None if subject is None else Number.of(subject.number)
            facts = release_facts.ReleaseClosed(number, one, turn.at, is_listed=one.id in listed)
            topic = _topic(one, subject)
            turn.tell(
                "release.closed", Severity.info, turn.once(one.id), facts, topic=topic, ends=True, subject=subject
            )
        elif one.status in ("pending", "approved"):
            is_meant = subject is not None and subject.known.lapse is not None
            if one.status != was or (one.id in told and not is_meant):
                _judge_release(turn, one, subject, is_first=before is None)
                told.pop(one.id, None)
            if is_meant:
                told[one.id] = 1
    for name in told.keys() - listed:
        del told[name]


def _judge_release(turn: Turn, request: Release, subject: Subject | None, *, is_first: bool) -> None:
    is_gone = subject is None or subject.known.missing_at is not None
    if is_first and request.status == "approved" and (is_gone or not is_recent(request, turn.now)):
        return
    kind = "release.requested" if request.status == "pending" else "release.approved"
    if subject is not None and subject.known.lapse is not None:
        facts: Facts = release_facts.ReleaseMeant(Number.of(subject.number), request, turn.at)
        turn.tell(kind, Severity.info, turn.once(request.id), facts, subject=subject)
        return
    was_told = (
        subject is not None and is_gone and request.status == "approved"
    )  # as missing, until now without a reason
    facts, left = release_asked(request, subject, turn.at, turn.policy, turn.now, is_gone=was_told)
    topic = "presence" if was_told else _topic(request, subject)
    ends = request.status == "approved" and is_gone  # nothing is left to be reminded of
    if was_told and subject is not None:
        turn.ended.append(Key(turn.at, subject.known.provider_id, RELEASE))
    key = turn.once(request.id)
    turn.tell(kind, Severity.critical, key, facts, topic=topic, ends=ends, repeats=is_first, subject=subject, left=left)


def release_asked(
    request: Release,
    subject: Subject | None,
    at: str,
    policy: Policy,
    now: datetime,
    note: Note | None = None,
    *,
    is_gone: bool = False,
) -> tuple[Facts, int | None]:
    """The facts, and the days left of the number."""
    left, on, number = None, None, None
    if subject is not None:
        known, number = subject.known, Number.of(subject.number)
        on = known.renews_on
        left = renewal_day.days_left(subject.number, known, renewal_day.today(now, policy.zone), int(now.timestamp()))
    if request.status == "pending":
        return release_facts.ReleaseRequested(number, request, at, left, on, note), left
    return release_facts.ReleaseApproved(number, request, at, left, on, note, is_gone=is_gone), left


def _topic(request: Release, subject: Subject | None) -> str:
    return f"{RELEASE} {request.id}" if subject is None else RELEASE
