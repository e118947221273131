"""Judges a complete list. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from renewal_watch.detect.absences import judge_absent
from renewal_watch.detect.compare import Comparison
from renewal_watch.detect.failures import recover
from renewal_watch.detect.flaws import judge_clock, judge_dayless, judge_flaws
from renewal_watch.detect.numbers import as_told, judge_changed, judge_new
from renewal_watch.detect.renewals import judge_renewal
from renewal_watch.detect.turn import Context, Turn, is_watched
from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import DAY_S, Listing, PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known, Verdict, Watch


def judge(
    fleet: Mapping[str, Known],
    before: Mapping[str, PhoneNumber],
    listing: Listing,
    found: Comparison,
    watch: Watch,
    policy: Policy,
    now: datetime,
    context: Context | None = None,
) -> Verdict:
    """The verdict of a complete list.

    ``before`` holds the numbers in ``found.changed`` and ``found.absent`` as last known. New numbers get ``pk`` 0, the store
    numbers them.
    """
    before_s = int(watch.last_success_at.timestamp()) if watch.last_success_at else found.now_s
    turn = Turn(at=watch.name, now=now, before_s=before_s, policy=policy, context=context or Context())
    verdict = Verdict(alerts=turn.alerts, watch=watch, ended=turn.ended)
    watch = recover(turn, judge_clock(turn, watch))
    turn_s = watch.turn_s if watch.turn_s is not None else renewal_day.turn_of_day(now, policy.zone)

    for name in found.new:
        entry = listing.entries[name]
        fresh = _seen(None, name, entry.parsed, entry.parsed, found, turn, turn_s)
        if policy.include_sandbox or not fresh.is_sandbox:
            fresh = judge_new(turn, entry.parsed, as_told(turn, fresh), is_baseline=not watch.has_baseline)
        verdict.updates.append(fresh)
        verdict.versions[name] = entry

    for name in found.changed:
        parsed, old = listing.entries[name].parsed, fleet[name]
        known = _seen(old, name, parsed, before[name], found, turn, turn_s)
        known = judge_changed(turn, parsed, before[name], known, old)
        verdict.updates.append(known)
        verdict.versions[name] = listing.entries[name]
        _note_doubts(turn, parsed, known)

    corrections: dict[str, Known] = {}
    for name in found.corrected:
        parsed, known = listing.entries[name].parsed, fleet[name]
        countdown = parsed.countdown
        assert countdown is not None  # noqa: S101 (compare puts only counted numbers here)
        zero_at = renewal_day.corrected_zero(countdown, known, found.now_s, before_s)
        renews_on, doubt = renewal_day.believe(parsed, parsed, known, turn.moment)
        corrections[name] = known._replace(zero_at=zero_at, renews_on=renews_on, doubt=doubt)
        verdict.countdowns.append(name)
    for name in found.near:
        parsed, known = listing.entries[name].parsed, corrections.pop(name, fleet[name])
        if known.doubt is not None and known is fleet[name]:
            renews_on, doubt = renewal_day.believe(parsed, parsed, known, turn.moment)
            known = known._replace(renews_on=renews_on, doubt=doubt)
        judged = known
        if is_watched(known, policy):
            judged = judge_renewal(turn, parsed, known, parsed, was_on=fleet[name].renews_on)
            _note_doubts(turn, parsed, judged)
        if judged != fleet[name]:
            verdict.updates.append(judged)
    verdict.updates.extend(corrections.values())

    watch = judge_absent(turn, fleet, before, listing, found, watch, verdict)
    watch = judge_flaws(turn, fleet, listing, watch)
    if not watch.has_baseline:
        judge_dayless(turn, listing, verdict.updates)
    watch = replace(
        watch,
        numbers=len(listing.entries),
        has_baseline=True,
        last_poll_at=now,
        last_success_at=now,
        last_error=None,
        failures=0,
        failing_since=None,
        turn_s=_learned_turn(found, verdict, len(listing.entries), watch.turn_s),
    )
    return replace(verdict, watch=watch)


def _learned_turn(found: Comparison, verdict: Verdict, size: int, turn_s: int | None) -> int | None:
    """When most countdowns ticked otherwise than foretold, the provider turns its day at another hour."""
    if 2 * len(found.corrected) <= size:  # single ones are stuck or were moved
        return turn_s
    zero_at = next(known.zero_at for known in verdict.updates if known.provider_id == found.corrected[0])
    return None if zero_at is None else zero_at % DAY_S


def _note_doubts(turn: Turn, parsed: PhoneNumber, known: Known) -> None:
    """Keep count of the numbers whose renewal day is in doubt."""
    doubt = known.doubt
    if doubt is None or not is_watched(known, turn.policy):
        return
    if doubt.is_unstated:
        turn.unstated.append((parsed, known))
    elif doubt.lists >= renewal_day.LISTS_IN_DOUBT:
        turn.doubtful.append((parsed, known))


def _seen(
    known: Known | None,
    name: str,
    parsed: PhoneNumber,
    before: PhoneNumber,
    found: Comparison,
    turn: Turn,
    turn_s: int,
) -> Known:
    """What is remembered of a number that is in the list with a new entry; ``known`` is None for a new number."""
    countdown = parsed.countdown
    zero_at = None if known is None else known.zero_at
    if countdown is None:
        zero_at = None
    elif zero_at is None or renewal_day.countdown_at(zero_at, found.now_s) != countdown:
        zero_at = renewal_day.zero_of(countdown, found.now_s, turn_s)
    renews_on, doubt = renewal_day.believe(parsed, before, known, turn.moment)
    return Known(
        0 if known is None else known.pk,
        name,
        str(parsed.number or ""),
        found.digests[name],
        zero_at,
        renews_on,
        bool(parsed.auto_renewal),
        bool(parsed.is_sandbox),
        None if known is None else known.cycle,  # an absence ends here
        lapse=None if known is None else known.lapse,
        doubt=doubt,
    )
