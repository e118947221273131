"""Judges what of a list cannot be read or believed, and the clock. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from renewal_watch.alerts.facts import api_facts, list_facts
from renewal_watch.alerts.notes import Believed
from renewal_watch.alerts.phrases import FEW, who
from renewal_watch.alerts.unreadable import EntriesSkipped, FieldUnreadable, Unreadable
from renewal_watch.detect.turn import CLOCK, DAYS, EMPTY, FLAW_KINDS, SIGNS, Turn, is_watched
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.numbers import Listing, PhoneNumber
from renewal_watch.model.tracking import Flaw, Known, Watch

FLAWS = 10  # of many kinds of faults, so many are named
CLOCK_FAR_OFF = timedelta(hours=1)  # a day more or less is near
CLOCK_LASTS = timedelta(days=1)  # a difference that lasts so long is no passing fault: the provider's days count


def judge_flaws(turn: Turn, fleet: Mapping[str, Known], listing: Listing, watch: Watch) -> Watch:
    """Tell what cannot be read, once for each kind of fault; numbers without a day, and contradictions, as they come."""
    found = unreadable(listing)
    flaws = {kind: Flaw(fault.count, fault.words()) for kind, fault in found.items()}
    if fresh := [fault for kind, fault in found.items() if kind not in watch.flaws]:
        turn.tell(
            "data.invalid",
            Severity.warning,
            turn.once("list"),
            list_facts.Invalid(turn.at, sum(one.count for one in fresh), len(fresh), tuple(fresh[:FLAWS])),
        )
    elif not flaws and any(kind not in FLAW_KINDS for kind in watch.flaws):
        turn.end("", "data")
    lost = [one for one in turn.unstated if not _was(fleet, one[1], is_unstated=True)]
    if lost:
        days = tuple((who(number), known.renews_on) for number, known in lost[:FEW] if known.renews_on is not None)
        turn.tell("data.unknown", Severity.warning, turn.once("days"), list_facts.DaysUnknown(turn.at, len(lost), days))
    elif DAYS in watch.flaws and not turn.unstated:
        turn.tell("watch.recovered", Severity.info, turn.once("days"), list_facts.DaysKnown(turn.at), topic=DAYS)
    odd = [one for one in turn.doubtful if not _was(fleet, one[1], is_unstated=False)]
    if odd:
        believed = tuple(
            (who(number), Believed.of(number, known.renews_on, turn.moment))
            for number, known in odd[:FEW]
            if known.renews_on is not None
        )
        turn.tell(
            "data.contradiction",
            Severity.warning,
            turn.once("signs"),
            list_facts.Contradiction(turn.at, len(odd), believed),
        )
    elif SIGNS in watch.flaws and not turn.doubtful:
        turn.tell("watch.recovered", Severity.info, turn.once("signs"), list_facts.SignsAgree(turn.at), topic=SIGNS)
    if turn.unstated:
        flaws[DAYS] = Flaw(len(turn.unstated), list_facts.days_unknown(len(turn.unstated)))
    if turn.doubtful:
        flaws[SIGNS] = Flaw(len(turn.doubtful), list_facts.signs_contradict(len(turn.doubtful)))
    _judge_emptiness(turn, listing, watch, flaws)
    if turn.context.clock_off is not None:
        flaws[CLOCK] = Flaw(0, api_facts.clock_differs(turn.context.clock_off))
    return replace(watch, flaws=flaws)


def _judge_emptiness(turn: Turn, listing: Listing, watch: Watch, flaws: dict[str, Flaw]) -> None:
    """Tell once that there is nothing to watch, and numbers that are not watched any more."""
    if turn.unwatched:
        some = tuple(who(number) for number in turn.unwatched[:FEW])
        turn.tell(
            "number.unwatched",
            Severity.warning,
            turn.once("sandbox"),
            list_facts.Unwatched(turn.at, len(turn.unwatched), some),
        )
    sandbox = len(listing.entries)
    is_watching = turn.policy.include_sandbox or any(not one.parsed.is_sandbox for one in listing.entries.values())
    if (is_watching and listing.entries) or watch.shrunk_at is not None or listing.invalid:
        if EMPTY in watch.flaws and is_watching and listing.entries:
            turn.tell(
                "watch.recovered",
                Severity.info,
                turn.once(EMPTY),
                list_facts.NotEmpty(turn.at, len(listing.entries)),
                topic=EMPTY,
            )
        return
    if EMPTY not in watch.flaws:
        turn.tell(
            "watch.list_empty",
            Severity.warning,
            turn.once(EMPTY),
            list_facts.ListEmpty(turn.at, sandbox, turn.context.filters),
        )
    flaws[EMPTY] = Flaw(0, list_facts.nothing_watched(sandbox, turn.context.filters))


def judge_dayless(turn: Turn, listing: Listing, fleet: Sequence[Known]) -> None:
    """Tell once that the first list has numbers without a renewal day: a warning where all of them are without."""
    watched = [known for known in fleet if is_watched(known, turn.policy)]
    those = [listing.entries[k.provider_id].parsed for k in watched if k.renews_on is None and k.cycle is None]
    if those:
        severity = Severity.warning if len(those) == len(watched) else Severity.info
        some = tuple(who(number) for number in those[:FEW])
        turn.tell(
            "data.unknown",
            severity,
            turn.once("first"),
            list_facts.Dayless(turn.at, len(those), len(watched), some),
            topic="",
        )


def unreadable(listing: Listing) -> dict[str, Unreadable]:
    """What of the list cannot be read, by the kind of fault."""
    found: dict[str, Unreadable] = {}
    by_kind: dict[tuple[str, str], list[tuple[PhoneNumber, str]]] = {}
    for entry in listing.entries.values():
        for fault in entry.faults:
            by_kind.setdefault((fault.field, fault.form), []).append((entry.parsed, fault.shown))
    for (name, form), those in by_kind.items():
        found[f"{name}: {form}"] = FieldUnreadable.of(name, form, those)
    if listing.invalid:
        found["entry"] = EntriesSkipped.of(listing.invalid)
    return found


def _was(fleet: Mapping[str, Known], known: Known, *, is_unstated: bool) -> bool:
    """Whether the same was in doubt at the list before."""
    old = fleet.get(known.provider_id)
    if old is None or old.doubt is None:
        return False
    return old.doubt.is_unstated if is_unstated else old.doubt.lists >= renewal_day.LISTS_IN_DOUBT


def judge_clock(turn: Turn, watch: Watch) -> Watch:
    """Tell that two clocks differ, and that they agree again. Until that has lasted neither is believed alone."""
    off = turn.context.clock_off
    if off is None:
        if watch.clock_off_at is not None:
            turn.tell("watch.recovered", Severity.info, turn.once(CLOCK), api_facts.ClockRight(turn.at), topic=CLOCK)
        confirmed_at = turn.now if turn.context.is_dated else watch.confirmed_at
        return replace(watch, clock_off_at=None, confirmed_at=confirmed_at)
    if watch.clock_off_at is None:
        severity = Severity.critical if abs(off) >= CLOCK_FAR_OFF else Severity.warning
        turn.tell("watch.clock_off", severity, turn.once(CLOCK), api_facts.ClockOff(turn.at, off))
        watch = replace(watch, clock_off_at=turn.now)
    since = watch.clock_off_at
    turn.is_unclear = since is not None and turn.now - since < CLOCK_LASTS
    return watch
