"""Judges a list against what is known: which alerts, what to remember. Pure: no clock, no database, no network.

    compare    which entries are new, changed, gone or ticked otherwise than the calendar; the only loop over all numbers
    judge      the verdict of a complete list
    judge_failure, judge_time    the verdict when there is no list: the countdown goes on, the watch says that it is blind
    next_attempt, next_poll_hold    when to try again

Once per number, cycle and threshold holds by what ``Known`` remembers of a cycle, and again by the keys of the alerts,
which the database keeps unique.

Days are counted as ordinals (``date.toordinal``) in the policy's zone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import count
from zoneinfo import ZoneInfo

from renewal_watch import matching, messages
from renewal_watch.messages import who
from renewal_watch.model import (
    DAY_S,
    STATUSES,
    Absence,
    Alert,
    Cycle,
    Entry,
    InvalidEntry,
    Key,
    Known,
    Lapse,
    Listing,
    Matter,
    PhoneNumber,
    Policy,
    Release,
    Severity,
    Verdict,
    Watch,
)
from renewal_watch.text import plain

WOBBLE_DAYS = 2  # one day either way is no other renewal day, and both ways are two apart
RENEWED_DAYS = 7  # the shortest move of a renewal day that is a renewal; less is a postponement
CRITICAL_DAYS = 3  # a number that will be lost is critical from here on
CLAMPED_DAYS = 2  # a countdown that stays at 0 is believed against the date for one day of another time zone
OVERDUE_REPEATS_DAYS = (1, 2, 4, 7)  # after the first telling; weekly from there
SHRUNK_NUMBERS = 3  # fewer gone at once are single losses, not a fault of the list
SHRUNK_SHARE = 0.3
SHRUNK_PATIENCE = timedelta(hours=24)
FAILING_POLLS = 3
SOON_DAYS = 7  # the horizon of the consequence in watch.* alerts
HOLD_REJECTED = timedelta(hours=1)
RETRY_FAILED = timedelta(hours=1)  # a failed poll is repeated at least this soon, however long the interval
BACKOFF_FIRST = timedelta(seconds=30)
BACKOFF_LONGEST = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
CHANNEL_FAILING_AFTER = timedelta(minutes=30)
_COUNTDOWN_KEY = b'"days_until_monthly_renewal"'
TOPICS = {  # what a kind of alert is about, where the caller does not say: a matter lasts until its end is told
    "renewal": "renewal",
    "auto_renewal": "renewal",
    "status": "status",
    "number": "presence",
    "price": "price",
    "capability": "capability",
    "data": "data",
    "watch": "api",
}
ENDS = frozenset(
    {"renewal.renewed", "number.returned", "capability.gained", "watch.recovered"}
)  # kinds that are always the end of something
# topics that end with a number
_OF_NUMBERS = ("renewal", "status", "price", "capability", "lapse", "last chance", "release")
_BLIND = frozenset({"watch.token_rejected", "watch.api_failing", "watch.stale"})


# --- time and countdown -----------------------------------------------------------------------------------------------


def today(now: datetime, zone: str) -> int:
    """The ordinal of the calendar day of ``now`` in ``zone``."""
    return now.astimezone(ZoneInfo(zone)).toordinal()


def turn_of_day(now: datetime, zone: str) -> int:
    """The second of the UTC day at which the zone's day begins: the first guess of when the provider turns its day."""
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp()) % DAY_S


def countdown_at(zero_at: int, now_s: int) -> int:
    """The countdown at ``now_s``: 0 for the day that begins at ``zero_at``, 1 for the day before it."""
    return -((now_s - zero_at) // DAY_S)


def zero_of(countdown: int, now_s: int, turn_s: int) -> int:
    """When a countdown that stands at ``countdown`` now becomes 0, if it ticks at ``turn_s`` of each UTC day."""
    return now_s - (now_s - turn_s) % DAY_S + countdown * DAY_S


def corrected_zero(countdown: int, known: Known, now_s: int, before_s: int) -> int:
    """The instant of 0 for a countdown that ticked a day earlier or later than ``known`` foretold.

    An early tick came between the poll before and this one: its middle is the best guess. A late one comes after now.
    """
    if countdown < countdown_at(known.zero_at or 0, now_s):
        tick = (max(before_s, now_s - DAY_S + 1) + now_s) // 2  # the last tick is never more than a day ago
        return tick + countdown * DAY_S
    return now_s + DAY_S // 2 + (countdown - 1) * DAY_S


def fingerprint(entry: Entry) -> bytes:
    """Eight bytes that stay the same as long as nothing but the countdown changes in the entry's text."""
    raw = bytes(entry.raw)
    parts = raw.split(_COUNTDOWN_KEY)
    if len(parts) == 2:  # noqa: PLR2004 (once: anything else is no countdown that could be left out safely)
        head, tail = parts
        end = tail.find(b",")
        raw = head + (tail[end:] if end >= 0 else b"")
    return sha256(raw).digest()[:8]


def renewal(number: PhoneNumber, on_day: int, countdown: int | None, cycle_on: int | None) -> tuple[int, int] | None:
    """``(days left, renewal day)``; None for a number without renewal.

    The provider's countdown goes first, the date where there is none. Where both agree within a day the date is the
    steadier name of the day. A countdown that stops at 0 is overruled by a day that has clearly passed, the stated one or
    the one that was told (``cycle_on``); one that stops below 0 by the one that was told.
    """
    renewal_on = number.renewal_on
    stated = renewal_on.toordinal() if renewal_on else None
    if countdown is None:
        return None if stated is None else (stated - on_day, stated)
    counted = on_day + countdown
    if stated is not None and abs(stated - counted) <= 1:
        return countdown, stated
    if countdown <= 0:
        for passed in (None if countdown else stated, cycle_on):
            if passed is not None and passed <= on_day - CLAMPED_DAYS and passed < counted:
                return passed - on_day, passed
    return countdown, counted


def disagreement(number: PhoneNumber, on_day: int, countdown: int | None) -> str | None:
    """A sentence when countdown and date differ by more than a day."""
    stated = number.renewal_on
    if countdown is None or stated is None or abs(stated.toordinal() - on_day - countdown) <= 1:
        return None
    left = stated.toordinal() - on_day
    when = "today" if left == 0 else f"in {messages.days(left)}" if left > 0 else f"{messages.days(-left)} ago"
    counts = f"{messages.days(countdown)} until" if countdown >= 0 else f"{messages.days(-countdown)} since"
    return f"the provider counts {counts} renewal, but its renewal_date is {stated.isoformat()}, {when}"


def tightest(left: int, thresholds: Iterable[int]) -> int | None:
    """The smallest threshold that is reached, None if none is."""
    return min((t for t in thresholds if left <= t), default=None)


# --- comparing --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Comparison:
    """What differs between the list and what is known.

    ``present`` are the numbers to be judged: new, changed, or near enough to renewal. All others are quiet.
    """

    now_s: int
    digests: dict[str, bytes] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    near: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def compare(fleet: Mapping[str, Known], listing: Listing, policy: Policy, now: datetime) -> Comparison:
    """One pass over the list; costs a digest and a few comparisons for a number that nothing happened to."""
    now_s = int(now.timestamp())
    found = Comparison(now_s=now_s)
    off, on = policy.horizons
    on_day = today(now, policy.zone)
    for name, entry in listing.entries.items():  # every name here counts 100,000 times: no call that can be spared
        known = fleet.get(name)
        digest = fingerprint(entry)
        if known is None:
            found.new.append(name)
            found.digests[name] = digest
            continue
        value = entry.parsed.days_until_monthly_renewal
        countdown = int(value) if type(value) is float else entry.parsed.countdown
        zero_at = known.zero_at
        if digest != known.digest or known.absence is not None or (countdown is None) != (zero_at is None):
            found.changed.append(name)
            found.digests[name] = digest
            continue
        if zero_at is not None:
            assert countdown is not None  # noqa: S101 (the comparison above)
            expected = -((now_s - zero_at) // DAY_S)
            if countdown != expected:
                if abs(countdown - expected) > 1:
                    found.changed.append(name)
                    found.digests[name] = digest
                    continue
                found.corrected.append(name)
        horizon = on if entry.parsed.auto_renewal else off
        if (
            known.cycle is not None
            or (countdown is not None and countdown <= horizon)
            or (countdown is None and known.renews_on is not None and known.renews_on - on_day <= horizon)
            or entry.parsed.is_due_for_monthly_renewal
            or known.lapse is not None
        ):
            found.near.append(name)
    if len(listing.entries) - len(found.new) < len(fleet):
        found.absent = [name for name in fleet if name not in listing.entries]
    return found


# --- judging one number -----------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Turn:
    """What one judgement carries along: the place, the time, and the alerts so far."""

    at: str
    now: datetime
    on_day: int
    policy: Policy
    horizons: tuple[int, int] = (0, 0)  # of the policy
    note: str = ""  # what alerts say when the number could not be read now
    alerts: list[Alert] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)

    def thresholds(self, number: PhoneNumber, *, auto_renewal: bool) -> tuple[int, ...]:
        """The thresholds of this number: those of the rules that match it, else of the policy."""
        policy = self.policy
        own = None
        if policy.rules:
            found = matching.effective(policy.rules, matching.subject(self.at, number, policy.inventory))
            own = found.auto_renewal_warn_days if auto_renewal else found.warn_days
        if own is not None:
            return own
        return policy.auto_renewal_warn_days if auto_renewal else policy.warn_days

    def end(self, name: str, topic: str) -> None:
        """The matter is over, and no alert says so."""
        self.ended.append(Key(self.at, name, topic))

    def tell(
        self,
        kind: str,
        severity: Severity,
        key: str,
        words: tuple[str, str],
        number: PhoneNumber | None = None,
        left: int | None = None,
        *,
        topic: str | None = None,
        ends: bool | None = None,
        repeats: bool = False,
    ) -> None:
        """Add an alert; ``topic`` and ``ends`` are given where the kind alone does not tell."""
        headline, text = words
        self.alerts.append(
            Alert(
                key=f"{self.at}/{kind}/{key}",
                kind=kind,
                severity=severity,
                environment=self.at,
                headline=headline,
                text=text,
                number_id=None if number is None else str(number.id),
                number=None if number is None else who(number),
                days_left=left,
                topic=TOPICS.get(kind.partition(".")[0], "") if topic is None else topic,
                ends=kind in ENDS if ends is None else ends,
                nature="repeat" if repeats else "new",
                about=number,
            )
        )

    def once(self, name: str) -> str:
        """A key for what is told because it happened in this very poll."""
        return f"{name}/{self.now.isoformat()}"


def _judge_renewal(
    turn: _Turn,
    number: PhoneNumber,
    known: Known,
    countdown: int | None,
    before: PhoneNumber,
    *,
    is_said: bool = False,
    is_blind: bool = False,
) -> Known:
    """Tell what the renewal day demands and remember it. ``before`` is the number as it was at the last poll.

    ``is_said``: another alert of this poll says how near renewal is, so that a threshold is only remembered.
    ``is_blind``: the number was not read, so its cycle is the one it had: only what is read begins another.
    """
    cycle = known.cycle
    found = renewal(number, turn.on_day, countdown, None if cycle is None else cycle.renews_on)
    if found is None:
        return known
    left, on = found
    if cycle is not None and not is_blind and abs(on - cycle.renews_on) > WOBBLE_DAYS:
        if on - cycle.renews_on >= RENEWED_DAYS and left > 0:
            words = messages.renewed(number, before, turn.at, left, on)
            key = f"{known.provider_id}/{date.fromordinal(on)}"
            if known.lapse is None:
                turn.tell("renewal.renewed", Severity.info, key, words, number, left)
        turn.end(known.provider_id, "renewal")
        cycle = None
        known = known._replace(cycle=None)
    known = _judge_lapse(turn, number, known, before, left, on)
    if left < 0:
        return _judge_overdue(turn, number, known, left, on)
    cycle = cycle or Cycle(on)
    auto = bool(number.auto_renewal)
    reached = tightest(left, turn.thresholds(number, auto_renewal=auto))
    flag = bool(number.is_due_for_monthly_renewal) and not cycle.told_due_flag
    if left == 0:
        reached = 0
    is_tighter = reached is not None and (cycle.told_threshold is None or reached < cycle.told_threshold)
    if not is_tighter and not flag:
        return known
    key = f"{known.provider_id}/{date.fromordinal(cycle.renews_on)}/{reached if is_tighter else 'flag'}"
    urgent = Severity.critical if left <= CRITICAL_DAYS else Severity.warning
    severity = Severity.info if auto else urgent
    if left == 0 or flag:
        words = messages.due(number, turn.at, left, on, turn.note)
        turn.tell("renewal.due", severity, key, words, number, left)
    elif not is_said:
        words = messages.upcoming(number, turn.at, left, on, turn.note)
        turn.tell("renewal.upcoming", severity, key, words, number, left)
    return known._replace(
        cycle=cycle._replace(
            told_threshold=reached if is_tighter else cycle.told_threshold,
            told_due_flag=cycle.told_due_flag or flag or left == 0,
        )
    )


def _judge_lapse(turn: _Turn, number: PhoneNumber, known: Known, before: PhoneNumber, left: int, on: int) -> Known:
    """A number that is meant to go: the last chance to change one's mind, and the alarm if it renews all the same."""
    lapse = known.lapse
    if lapse is None:
        return known
    name = known.provider_id
    if lapse.renews_on is not None and on - lapse.renews_on >= RENEWED_DAYS and left > 0:
        words = messages.lapse_renewed(number, before, turn.at, left, on)
        key = f"{name}/{date.fromordinal(on)}"
        turn.tell("lapse.renewed", Severity.critical, key, words, number, left, topic="lapse", ends=False)
    if lapse.renews_on is None or abs(on - lapse.renews_on) > WOBBLE_DAYS:
        lapse = Lapse(on)
        turn.end(name, "last chance")
    if 0 <= left <= turn.policy.lapse_days and lapse.reminded_on is None:
        words = messages.last_chance(number, turn.at, left, on, turn.note)
        key = f"{name}/{date.fromordinal(on)}"
        turn.tell("lapse.last_chance", Severity.warning, key, words, number, left, topic="last chance", ends=False)
        lapse = lapse._replace(reminded_on=on)
    return known if lapse == known.lapse else known._replace(lapse=lapse)


def _judge_overdue(turn: _Turn, number: PhoneNumber, known: Known, left: int, on: int) -> Known:
    """The day passed. A number that cannot be read may have renewed unseen: only what was told before is repeated."""
    cycle = known.cycle or Cycle(on)
    if turn.note and not cycle.overdue_told:
        return known
    now_s = int(turn.now.timestamp())
    since = now_s if cycle.overdue_at is None else cycle.overdue_at
    told = cycle.overdue_told
    if told and now_s < overdue_repeat_at(since, told):
        return known
    told += 1
    while now_s >= overdue_repeat_at(since, told):  # what was missed while nothing ran is told once
        told += 1
    key = f"{known.provider_id}/{date.fromordinal(cycle.renews_on)}/{told}"
    words = messages.overdue(number, turn.at, -left, on, turn.note)
    turn.tell("renewal.overdue", Severity.critical, key, words, number, left, repeats=told > 1)
    return known._replace(cycle=cycle._replace(overdue_at=since, overdue_told=told))


def overdue_repeat_at(since_s: int, told: int) -> int:
    """The epoch second at which an overdue number told ``told`` times (from 1) is told again."""
    fixed = len(OVERDUE_REPEATS_DAYS)
    day = OVERDUE_REPEATS_DAYS[told - 1] if told <= fixed else OVERDUE_REPEATS_DAYS[-1] + 7 * (told - fixed)
    return since_s + day * DAY_S


def _status_severity(status: str) -> Severity:
    if status == "active":
        return Severity.info
    if status == "pending" or status not in STATUSES:
        return Severity.warning
    return Severity.critical


def _judge_change(turn: _Turn, number: PhoneNumber, before: PhoneNumber, known: Known, countdown: int | None) -> Known:
    """Tell what differs between two readings of one number, and what its renewal day demands."""
    name = known.provider_id
    left, on = _left(turn, number, known, countdown)
    if number.status != before.status:
        words = messages.status_changed(number, turn.at, before.status, left, on)
        severity = _status_severity(number.status)
        if known.lapse is not None and left is not None and left <= 0:
            severity = Severity.info  # as it was meant
        is_active = number.status == "active"
        turn.tell("status.changed", severity, turn.once(name), words, number, left, ends=is_active)
    is_switched = bool(number.auto_renewal) != bool(before.auto_renewal)
    if is_switched:
        _tell_auto_renewal(turn, number, known, left, on)
    prices = ("monthly_renewal_cost", "current_price", "currency")
    if any(getattr(number, one) != getattr(before, one) for one in prices):
        dearer = number.currency != before.currency or (
            number.cost is not None and before.cost is not None and number.cost > before.cost
        )
        severity = Severity.warning if dearer else Severity.info
        words = messages.price_changed(number, before, turn.at, left, on)
        turn.tell("price.changed", severity, turn.once(name), words, number, left)
    now_can, could = number.capabilities, before.capabilities
    if lost := sorted(could - now_can):
        words = messages.capabilities(number, turn.at, lost, left, on, lost=True)
        turn.tell("capability.lost", Severity.warning, turn.once(name), words, number, left)
    if gained := sorted(now_can - could):
        words = messages.capabilities(number, turn.at, gained, left, on, lost=False)
        turn.tell("capability.gained", Severity.info, turn.once(name), words, number, left)
    return _judge_renewal(turn, number, known, countdown, before, is_said=is_switched)


def _left(turn: _Turn, number: PhoneNumber, known: Known, countdown: int | None) -> tuple[int, int] | tuple[None, None]:
    """Days left and renewal day for a sentence that names them."""
    return renewal(number, turn.on_day, countdown, None if known.cycle is None else known.cycle.renews_on) or (
        None,
        None,
    )


def _tell_auto_renewal(turn: _Turn, number: PhoneNumber, known: Known, left: int | None, on: int | None) -> None:
    """Auto-renewal was switched; inside a threshold this alert is the telling of that threshold."""
    key = turn.once(known.provider_id)
    if number.auto_renewal:
        words = messages.auto_renewal_on(number, turn.at, left, on, lapses=known.lapse is not None)
        severity = Severity.info if known.lapse is None else Severity.warning
        is_overdue = left is not None and left < 0
        turn.tell("auto_renewal.on", severity, key, words, number, left, ends=not is_overdue)
        return
    is_near = left is not None and left <= max((*turn.thresholds(number, auto_renewal=False), 0))
    severity = Severity.critical if is_near else Severity.warning
    words = messages.auto_renewal_off(number, turn.at, left, on)
    turn.tell("auto_renewal.off", severity, key, words, number, left)


# --- judging a list ---------------------------------------------------------------------------------------------------


def is_watched(known: Known, policy: Policy) -> bool:
    """Whether alerts speak of this number: sandbox numbers are kept in the history only."""
    return policy.include_sandbox or not known.is_sandbox


def judge(
    fleet: Mapping[str, Known],
    before: Mapping[str, PhoneNumber],
    listing: Listing,
    found: Comparison,
    watch: Watch,
    policy: Policy,
    now: datetime,
    requests: Mapping[str, Release] | None = None,
) -> Verdict:
    """The verdict of a complete list.

    ``before`` holds the numbers in ``found.changed``, ``found.near`` and ``found.absent`` as last known; for
    ``found.near`` the listing itself will do. New numbers get ``pk`` 0, the store numbers them. ``requests`` say of absent
    numbers, by provider id, that their release was asked for.
    """
    on_day = today(now, policy.zone)
    turn = _Turn(at=watch.name, now=now, on_day=on_day, policy=policy, horizons=policy.horizons)
    verdict = Verdict(alerts=turn.alerts, watch=watch, ended=turn.ended)
    watch = _recover(turn, watch)
    turn_s = watch.turn_s if watch.turn_s is not None else turn_of_day(now, policy.zone)

    for name in found.new:
        entry = listing.entries[name]
        fresh = _seen(None, name, entry.parsed, found, turn, turn_s)
        if policy.include_sandbox or not fresh.is_sandbox:
            fresh = _judge_new(turn, entry.parsed, fresh, is_baseline=not watch.has_baseline)
        verdict.updates.append(fresh)
        verdict.versions[name] = entry

    for name in found.changed:
        parsed, old = listing.entries[name].parsed, fleet[name]
        known = _seen(old, name, parsed, found, turn, turn_s)
        is_first = is_watched(known, policy) and not is_watched(old, policy)
        if is_first:  # no sandbox number any more; what was told of it before it was one is another story
            known = _judge_new(turn, parsed, known._replace(cycle=None), is_baseline=True)
        elif is_watched(known, policy):
            if old.missing_at is not None:
                since = datetime.fromtimestamp(old.missing_at, UTC)
                left, on = _left(turn, parsed, known, parsed.countdown)
                words = messages.returned(parsed, turn.at, since, left, on)
                turn.tell("number.returned", Severity.info, turn.once(name), words, parsed, left)
            known = _judge_change(turn, parsed, before[name], known, parsed.countdown)
        verdict.updates.append(known)
        verdict.versions[name] = listing.entries[name]

    before_s = int(watch.last_success_at.timestamp()) if watch.last_success_at else found.now_s
    corrections: dict[str, Known] = {}
    for name in found.corrected:
        parsed, known = listing.entries[name].parsed, fleet[name]
        countdown = parsed.countdown
        assert countdown is not None  # noqa: S101 (compare puts only counted numbers here)
        zero_at = corrected_zero(countdown, known, found.now_s, before_s)
        _, renews_on = _left(turn, parsed, known, countdown)
        corrections[name] = known._replace(zero_at=zero_at, renews_on=renews_on)
        verdict.countdowns.append(name)
    for name in found.near:
        parsed, known = listing.entries[name].parsed, corrections.pop(name, fleet[name])
        judged = known
        if is_watched(known, policy):
            judged = _judge_renewal(turn, parsed, known, parsed.countdown, parsed)
        if judged is not fleet[name]:
            verdict.updates.append(judged)
    verdict.updates.extend(corrections.values())

    watch = _judge_absent(turn, fleet, before, listing, found, watch, verdict, requests or {})
    watch = _judge_invalid(turn, listing.invalid, watch)
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


def _seen(known: Known | None, name: str, parsed: PhoneNumber, found: Comparison, turn: _Turn, turn_s: int) -> Known:
    """What is remembered of a number that is in the list with a new entry; ``known`` is None for a new number."""
    countdown = parsed.countdown
    zero_at = None if known is None else known.zero_at
    if countdown is None:
        zero_at = None
    elif zero_at is None or countdown_at(zero_at, found.now_s) != countdown:
        zero_at = zero_of(countdown, found.now_s, turn_s)
    cycle = None if known is None else known.cycle  # an absence ends here
    judged = renewal(parsed, turn.on_day, countdown, None if cycle is None else cycle.renews_on)
    return Known(
        0 if known is None else known.pk,
        name,
        str(parsed.number or ""),
        found.digests[name],
        zero_at,
        None if judged is None else judged[1],
        bool(parsed.auto_renewal),
        bool(parsed.is_sandbox),
        cycle,
        lapse=None if known is None else known.lapse,
    )


def _judge_new(turn: _Turn, parsed: PhoneNumber, known: Known, *, is_baseline: bool) -> Known:
    countdown = parsed.countdown
    name = known.provider_id
    if not is_baseline:
        left, on = _left(turn, parsed, known, countdown)
        words = messages.added(parsed, turn.at, left, on)
        turn.tell("number.added", Severity.info, turn.once(name), words, parsed, left, topic="")
    if parsed.status != "active":
        left, on = _left(turn, parsed, known, countdown)
        words = messages.status_changed(parsed, turn.at, None, left, on)
        turn.tell("status.changed", _status_severity(parsed.status), turn.once(name), words, parsed, left)
    latest = turn.on_day + turn.horizons[bool(parsed.auto_renewal)] + 1  # the day may lie one day off the countdown
    if known.renews_on is None or (known.renews_on > latest and not parsed.is_due_for_monthly_renewal):
        return known
    return _judge_renewal(turn, parsed, known, countdown, parsed)


def _judge_absent(
    turn: _Turn,
    fleet: Mapping[str, Known],
    before: Mapping[str, PhoneNumber],
    listing: Listing,
    found: Comparison,
    watch: Watch,
    verdict: Verdict,
    requests: Mapping[str, Release],
) -> Watch:
    """Numbers that are not among the readable entries: unreadable, gone, or the list itself is at fault."""
    policy = turn.policy
    absent = [fleet[name] for name in found.absent if fleet[name].missing_at is None]
    if not absent and watch.shrunk_at is None:
        return watch
    unreadable = {e.id for e in listing.invalid if e.id} | {e.number for e in listing.invalid if e.number}
    nameless = sum(1 for e in listing.invalid if e.id is None and e.number is None)  # each may be any of the absent
    gone = {k.provider_id: k for k in absent if k.provider_id not in unreadable and k.number not in unreadable}
    lost = sum(1 for k in gone.values() if is_watched(k, policy))
    watched = sum(1 for k in fleet.values() if k.missing_at is None and is_watched(k, policy))
    is_empty = lost > 0 and not listing.entries and not listing.invalid
    is_shrunk = is_empty or (lost - nameless >= SHRUNK_NUMBERS and lost - nameless > SHRUNK_SHARE * watched)
    watch = _judge_shrunk(turn, fleet, watch, lost, watched, is_shrunk=is_shrunk)
    is_believed = watch.shrunk_at is None or turn.now - watch.shrunk_at >= SHRUNK_PATIENCE

    for known in absent:
        kept = known
        name = known.provider_id
        if name in gone and not nameless:
            polls = 0 if known.absence is None else known.absence.polls
            if polls == 0:
                verdict.versions[name] = None
            polls += 1
            is_missing = is_believed and polls >= policy.missing_after_polls
            kept = known._replace(absence=Absence(polls, int(turn.now.timestamp()) if is_missing else None))
            if is_missing and is_watched(known, policy):
                countdown = _went_on(known, found.now_s)
                left, on = _left(turn, before[name], known, countdown)
                is_meant = known.lapse is not None
                request = requests.get(name)
                is_asked = request is not None and request.status == "approved"  # the approval was told
                words = messages.missing(before[name], turn.at, polls, left, on, is_meant=is_meant, request=request)
                severity = Severity.critical
                if is_asked:
                    severity = Severity.info
                elif is_meant:  # that it went early may cost calls, but it was to go
                    severity = Severity.info if left is not None and left <= 0 else Severity.warning
                turn.tell("number.missing", severity, turn.once(name), words, before[name], left)
                for topic in _OF_NUMBERS if is_meant or is_asked else ():  # else they go on should it return
                    turn.end(name, topic)
        if kept.missing_at is None and is_watched(known, policy):
            note = messages.UNLISTED if name in gone else messages.UNREADABLE
            kept = _judge_blind(replace(turn, note=note), before.get(name), kept, found.now_s)
        if kept is not known:
            verdict.updates.append(kept)
    return watch


def _judge_shrunk(
    turn: _Turn, fleet: Mapping[str, Known], watch: Watch, lost: int, watched: int, *, is_shrunk: bool
) -> Watch:
    """Tell once that too many numbers left the list at once, and once that they came back."""
    if is_shrunk and watch.shrunk_at is None:
        words = messages.list_shrunk(turn.at, lost, watched)
        turn.tell("watch.list_shrunk", Severity.critical, turn.once("list"), words, topic="list")
        return replace(watch, shrunk_at=turn.now)
    if not is_shrunk and watch.shrunk_at is not None:
        since = int(watch.shrunk_at.timestamp())
        if not any(k.missing_at is not None and k.missing_at >= since for k in fleet.values()):  # else it was believed
            words = messages.list_whole(turn.at, watch.shrunk_at, turn.now, lost)
            turn.tell("watch.recovered", Severity.info, turn.once("list"), words, topic="list")
        else:
            turn.end("", "list")
        return replace(watch, shrunk_at=None)
    return watch


def _went_on(known: Known, now_s: int) -> int | None:
    """The countdown of a number that could not be read, as the calendar moved it on."""
    return None if known.zero_at is None else countdown_at(known.zero_at, now_s)


def _judge_blind(turn: _Turn, number: PhoneNumber | None, known: Known, now_s: int) -> Known:
    """The countdown of a number that could not be read goes on from what was last known."""
    if number is None:
        return known
    return _judge_renewal(turn, number, known, _went_on(known, now_s), number, is_blind=True)


def _judge_invalid(turn: _Turn, invalid: Sequence[InvalidEntry], watch: Watch) -> Watch:
    """Unreadable entries are told when they appear, not at every poll that still has them."""
    names: dict[str, InvalidEntry] = {}
    nameless = count(1)
    for entry in invalid:
        names.setdefault(entry.id or entry.number or f"nameless entry {next(nameless)}", entry)
    fresh = [entry for name, entry in names.items() if name not in watch.invalid]
    if fresh:
        turn.tell("data.invalid", Severity.warning, turn.once("list"), messages.invalid(fresh, turn.at))
    elif watch.invalid and not names:
        turn.end("", "data")
    return replace(watch, invalid=frozenset(names))


def _recover(turn: _Turn, watch: Watch) -> Watch:
    if watch.told & _BLIND:
        words = messages.recovered(turn.at, watch.last_success_at or watch.failing_since, turn.now)
        turn.tell("watch.recovered", Severity.info, turn.once("api"), words)
    return replace(watch, told=watch.told - _BLIND)


# --- judging without a list -------------------------------------------------------------------------------------------


def near_without_list(fleet: Iterable[Known], policy: Policy, now: datetime) -> list[str]:
    """Provider ids whose renewal is near enough to be judged by what was last known."""
    latest = today(now, policy.zone) + max(policy.horizons) + 1  # the renewal day may lie one day off the countdown
    return [
        k.provider_id
        for k in fleet
        if k.missing_at is None
        and is_watched(k, policy)
        and (k.cycle is not None or k.lapse is not None or (k.renews_on is not None and k.renews_on <= latest))
    ]


def _blind_turn(watch: Watch, policy: Policy, now: datetime) -> _Turn:
    """A judgement by what was last known."""
    note = messages.unread(watch.last_success_at)
    return _Turn(at=watch.name, now=now, on_day=today(now, policy.zone), policy=policy, note=note)


def judge_failure(
    fleet: Mapping[str, Known],
    before: Mapping[str, PhoneNumber],
    watch: Watch,
    policy: Policy,
    now: datetime,
    *,
    reason: str,
    error: str,
) -> Verdict:
    """The verdict of a poll that gave no list. ``before`` holds the numbers of ``near_without_list``."""
    turn = _blind_turn(watch, policy, now)
    verdict = Verdict(alerts=turn.alerts, watch=watch, ended=turn.ended)
    watch = replace(
        watch,
        last_poll_at=now,
        last_error=error,
        failures=watch.failures + 1,
        failing_since=watch.failing_since or now,
    )
    counts = _at_stake(fleet.values(), turn)
    if reason == "token_rejected":
        watch = _tell_once(turn, watch, "watch.token_rejected", messages.token_rejected(turn.at, error, *counts))
    elif watch.failures >= FAILING_POLLS:
        since = watch.failing_since or now
        words = messages.api_failing(turn.at, error, watch.failures, since, *counts)
        watch = _tell_once(turn, watch, "watch.api_failing", words)
    watch = _judge_stale(turn, watch, counts)
    for name, number in before.items():
        known = _judge_blind(turn, number, fleet[name], int(now.timestamp()))
        if known is not fleet[name]:
            verdict.updates.append(known)
    return replace(verdict, watch=watch)


def judge_time(fleet: Mapping[str, Known], watch: Watch, policy: Policy, now: datetime) -> Verdict:
    """Whether the environment became stale while the watch waits to be let in again (rate limit, rejected token)."""
    turn = _blind_turn(watch, policy, now)
    watch = _judge_stale(turn, watch, _at_stake(fleet.values(), turn))
    return Verdict(alerts=turn.alerts, watch=watch)


def is_stale(watch: Watch, policy: Policy, now: datetime) -> bool:
    """Whether the last good list is older than ``stale_after``; before the first list, counted from the first try."""
    since = watch.last_success_at or watch.failing_since
    return since is not None and now - since >= policy.stale_after


def _judge_stale(turn: _Turn, watch: Watch, counts: tuple[int, int]) -> Watch:
    if watch.last_error is None or not is_stale(watch, turn.policy, turn.now):
        return watch
    words = messages.stale(turn.at, watch.last_success_at, turn.now, watch.last_error, *counts)
    return _tell_once(turn, watch, "watch.stale", words)


def _tell_once(turn: _Turn, watch: Watch, kind: str, words: tuple[str, str]) -> Watch:
    if kind in watch.told:
        return watch
    turn.tell(kind, Severity.critical, turn.once("api"), words)
    return replace(watch, told=watch.told | {kind})


def _at_stake(fleet: Iterable[Known], turn: _Turn) -> tuple[int, int]:
    """How many numbers are not being watched, and how many of them renew soon."""
    watched = [k for k in fleet if k.missing_at is None and is_watched(k, turn.policy)]
    soon = [k for k in watched if k.renews_on is not None and k.renews_on - turn.on_day <= SOON_DAYS]
    return len(watched), len(soon)


# --- what still holds -------------------------------------------------------------------------------------------------


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
        holds = {"api": bool(watch.told & _BLIND), "list": watch.shrunk_at is not None, "data": bool(watch.invalid)}
        return Restated() if holds.get(key.topic, False) else None
    if not is_watched(known, policy):
        return None
    if key.topic == "presence":
        return Restated(number=number) if known.missing_at is not None else None
    if known.missing_at is not None:
        return None
    turn = _blind_turn(watch, policy, now)
    note = turn.note if watch.last_error else messages.UNLISTED if known.absence else ""
    left, on = _left(turn, number, known, _went_on(known, int(now.timestamp())))
    if key.topic == "renewal":
        if left is None or on is None:
            return None
        return _restate_renewal(turn, matter, number, known, left, on, note)
    if key.topic == "status":
        if number.status == "active":
            return None
        words = messages.status_changed(number, turn.at, None, left, on, still=True)
        return Restated(words=words, days_left=left, number=number)
    if key.topic in ("lapse", "last chance") and known.lapse is None:
        return None
    if key.topic == "last chance":
        if left is None or on is None or left < 0:
            return None
        return Restated(words=messages.last_chance(number, turn.at, left, on, note), days_left=left, number=number)
    return Restated(number=number, days_left=left)


def _restate_renewal(
    turn: _Turn, matter: Matter, number: PhoneNumber, known: Known, left: int, on: int, note: str
) -> Restated | None:
    if left < 0:
        if known.cycle is None or not known.cycle.overdue_told:  # that it failed is for the next good list to say
            return Restated(number=number, days_left=left)
        return Restated(words=messages.overdue(number, turn.at, -left, on, note), days_left=left, number=number)
    if known.cycle is None and (matter.kind != "auto_renewal.off" or number.auto_renewal):
        return None
    words = messages.due if left == 0 else messages.upcoming
    return Restated(words=words(number, turn.at, left, on, note), days_left=left, number=number)


# --- when to try again ------------------------------------------------------------------------------------------------


def next_attempt(attempts: int, now: datetime, chance: float) -> datetime:
    """When a delivery that failed ``attempts`` times is tried again: 30 s doubled up to 1 h, give or take a fifth.

    ``chance`` is a random number from 0 to 1, so that many deliveries do not come back at the same second.
    """
    wait = min(BACKOFF_FIRST * 2 ** min(attempts - 1, 20), BACKOFF_LONGEST)
    spread: timedelta = wait * (0.8 + 0.4 * chance)
    return now + spread


def jitter(longest: timedelta) -> timedelta:
    """A random part of ``longest``: polls of many installations must not meet at the full hour."""
    return longest * random.random()  # noqa: S311 (no secret hangs on it)


def next_poll_hold(reason: str, retry_after: timedelta | None) -> timedelta | None:
    """How long a failed poll bars the next one, None for no longer than the schedule says."""
    if reason == "token_rejected":
        return max(HOLD_REJECTED, retry_after or HOLD_REJECTED)
    return retry_after


def error_text(error: object) -> str:
    """An error as it may stand in an alert and in the database."""
    return plain(error, 500)
