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
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from renewal_watch import matching, messages, signs
from renewal_watch.identity import bare
from renewal_watch.matching import Fitting
from renewal_watch.messages import who
from renewal_watch.model import (
    DAY_S,
    STATUSES,
    Absence,
    Alert,
    Cycle,
    Entry,
    Flaw,
    Key,
    Known,
    Lapse,
    Listing,
    Matter,
    PhoneNumber,
    Policy,
    Release,
    Rule,
    Severity,
    Verdict,
    Watch,
)
from renewal_watch.signs import Moment
from renewal_watch.text import plain

WOBBLE_DAYS = 2  # one day either way is no other renewal day, and both ways are two apart
RENEWED_DAYS = signs.MOVED_DAYS
CRITICAL_DAYS = 3  # a number that will be lost is critical from here on
DAYS, SIGNS = "renewal days", "contradictions"  # kinds of flaws: days that are not known, signs that disagree
EMPTY, CLOCK = "empty", "clock"  # nothing to watch; two clocks that differ
FLAW_KINDS = {  # the alert and the topic of a kind of flaw; of any other data.invalid
    DAYS: ("data.unknown", DAYS),
    SIGNS: ("data.contradiction", SIGNS),
    EMPTY: ("watch.list_empty", EMPTY),
    CLOCK: ("watch.clock_off", CLOCK),
}
OVERDUE_REPEATS_DAYS = (1, 2, 4, 7)  # after the first telling; weekly from there
SHRUNK_NUMBERS = 3  # fewer gone at once are single losses, not a fault of the list
SHRUNK_SHARE = 0.3
SHRUNK_PATIENCE = timedelta(hours=24)
LOOKED_FOR_DAYS = 7  # a missing number is looked for in other environments
CLOCK_FAR_OFF = timedelta(hours=1)  # a day more or less is near
CLOCK_LASTS = timedelta(days=1)  # a difference that lasts so long is no passing fault: the provider's days count
FAILING_POLLS = 3
SOON_DAYS = 7  # the horizon of the consequence in watch.* alerts
HOLD_REJECTED = timedelta(hours=1)
RETRY_FAILED = timedelta(hours=1)  # a failed poll is repeated at least this soon, however long the interval
BACKOFF_FIRST = timedelta(seconds=30)
BACKOFF_LONGEST = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
CHANNEL_FAILING_AFTER = timedelta(minutes=30)
GONE = re.compile(  # words that plainly mean that a number is gone or dead, in a status that is not documented
    r"(?<!un)(?<!not[ _-])(releas|expir|cancel|terminat|delet|clos|disconnect|deactivat|remov|revok|lapsed|gone|lost"
    r"|port(ed|ing)?[ _-]*out|transferred|reclaim|recycl|withdrawn|forfeit|decommission|deprovision"
    r"|destroy|dropped|(?<![a-z])ended|unassigned|unsubscribed|returned|archived|churned|disabled|blocked|banned)",
    re.IGNORECASE,
)
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
    {"renewal.renewed", "renewal.postponed", "number.returned", "capability.gained", "watch.recovered"}
)  # kinds that are always the end of something
# topics that end with a number
_OF_NUMBERS = ("renewal", "status", "price", "capability", "lapse", "last chance", "release")
_BLIND = frozenset({"watch.token_rejected", "watch.api_failing", "watch.stale"})


def fingerprint(entry: Entry) -> bytes:
    """Eight bytes that stay the same as long as nothing but the countdown changes in the entry's text."""
    raw = bytes(entry.raw)
    parts = raw.split(_COUNTDOWN_KEY)
    if len(parts) == 2:  # noqa: PLR2004 (once: anything else is no countdown that could be left out safely)
        head, tail = parts
        end = tail.find(b",")
        raw = head + (tail[end:] if end >= 0 else b"")
    return sha256(raw).digest()[:8]


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
    on_day = signs.today(now, policy.zone)
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
            or (known.renews_on is not None and known.renews_on - on_day <= horizon)
            or entry.parsed.is_due_for_monthly_renewal
            or known.doubt is not None
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
    before_s: int  # of the complete list before this one
    policy: Policy
    on_day: int = 0
    horizons: tuple[int, int] = (0, 0)  # of the policy
    fitting: Fitting[Rule] | None = None  # the rules of the policy, sorted when the first is asked for
    context: Context
    is_unclear: bool = False  # two clocks disagree on what day it is
    note: str = ""  # what alerts say when the number could not be read now
    alerts: list[Alert] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)
    unstated: list[tuple[PhoneNumber, Known]] = field(default_factory=list)  # numbers whose day is not stated any more
    unwatched: list[PhoneNumber] = field(default_factory=list)  # numbers that became sandbox numbers
    doubtful: list[tuple[PhoneNumber, Known]] = field(default_factory=list)  # numbers whose signs contradict each other

    def __post_init__(self) -> None:
        """Count the days once."""
        self.on_day = signs.today(self.now, self.policy.zone)
        self.horizons = self.policy.horizons

    @property
    def moment(self) -> Moment:
        """When the list was read."""
        return Moment(self.now, self.before_s, self.on_day, self.policy.zone, self.is_unclear)

    def left(self, number: PhoneNumber, known: Known) -> int | None:
        """Days left of a number, None without a renewal day."""
        return signs.days_left(number, known, self.on_day, int(self.now.timestamp()))

    def note_on(self, number: PhoneNumber, known: Known) -> str:
        """What a sentence on a renewal day must add: how far the day can be trusted."""
        if self.note or known.doubt is None or known.renews_on is None:
            return self.note
        if known.doubt.is_unstated:
            return messages.UNSTATED
        return f" ({messages.which_day(number, known.renews_on, self.moment)})"

    def thresholds(self, number: PhoneNumber, *, auto_renewal: bool) -> tuple[int, ...]:
        """The thresholds of this number: those of the rules that match it, else of the policy."""
        policy = self.policy
        own = None
        if policy.rules:
            self.fitting = self.fitting or Fitting(policy.rules)
            found = matching.effective(self.fitting, matching.subject(self.at, number, policy.inventory))
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
        said_by: str | None = None,
    ) -> str:
        """Add an alert and give its key; ``topic`` and ``ends`` are given where the kind alone does not tell."""
        headline, text = words
        whole = f"{self.at}/{kind}/{key}"
        self.alerts.append(
            Alert(
                key=whole,
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
                said_by=said_by,
            )
        )
        return whole

    def once(self, name: str) -> str:
        """A key for what is told because it happened in this very poll."""
        return f"{name}/{self.now.isoformat()}"


def _judge_renewal(
    turn: _Turn,
    number: PhoneNumber,
    known: Known,
    before: PhoneNumber,
    *,
    was_on: int | None = None,
    said_by: str | None = None,
    is_blind: bool = False,
) -> Known:
    """Tell what the renewal day demands and remember it. ``before`` is the number as it was at the last poll.

    ``was_on`` is the renewal day that was believed until now. ``said_by`` is the key of an alert of this poll that says as
    well how near renewal is. ``is_blind``: the number was not read, so its cycle is the one it had: only what is read begins
    another.
    """
    left, on = turn.left(number, known), known.renews_on
    if left is None or on is None:
        return _judge_flag(turn, number, known)
    cycle = known.cycle
    if cycle is not None and not is_blind and abs(on - cycle.renews_on) > WOBBLE_DAYS:
        is_renewed = (
            on - cycle.renews_on >= RENEWED_DAYS and left > 0 and not _is_corrected(turn, number, known, before)
        )
        if is_renewed and known.lapse is None:
            words = messages.renewed(number, before, turn.at, left, on)
            turn.tell("renewal.renewed", Severity.info, _key(known, on, cycle.course), words, number, left)
        elif on > cycle.renews_on and known.lapse is None and _is_far(turn, number, left):
            words = messages.postponed(number, turn.at, left, on, cycle.renews_on)
            turn.tell("renewal.postponed", Severity.info, _key(known, on, cycle.course), words, number, left)
        else:  # what is open goes on under the other day
            turn.end(known.provider_id, "renewal")
        cycle = None
        known = known._replace(cycle=None)
    is_back = was_on is not None and on < was_on - WOBBLE_DAYS
    course = int(turn.now.timestamp()) if is_back else 0
    known = _judge_lapse(turn, number, known, before, left, on, course)
    cycle = cycle or Cycle(on, course=course)
    if left < 0:
        return _judge_overdue(turn, number, known, cycle, left, on, is_blind=is_blind)
    auto = bool(number.auto_renewal)
    reached = tightest(left, turn.thresholds(number, auto_renewal=auto))
    flag = bool(number.is_due_for_monthly_renewal) and not cycle.told_due_flag
    if left == 0:
        reached = 0
    is_tighter = reached is not None and (cycle.told_threshold is None or reached < cycle.told_threshold)
    if not is_tighter and not flag:
        return known
    key = _key(known, cycle.renews_on, cycle.course, reached if is_tighter else "flag")
    urgent = Severity.critical if left <= CRITICAL_DAYS else Severity.warning
    severity = Severity.info if auto else urgent
    note = turn.note_on(number, known)
    if left == 0 or flag:
        turn.tell("renewal.due", severity, key, messages.due(number, turn.at, left, on, note), number, left)
    else:
        words = messages.upcoming(number, turn.at, left, on, note)
        turn.tell("renewal.upcoming", severity, key, words, number, left, said_by=said_by)
    return known._replace(
        cycle=cycle._replace(
            told_threshold=reached if is_tighter else cycle.told_threshold,
            told_due_flag=cycle.told_due_flag or flag or left == 0,
        )
    )


def _is_far(turn: _Turn, number: PhoneNumber, left: int) -> bool:
    """Whether nothing demands to be told of a renewal day yet."""
    reached = tightest(left, turn.thresholds(number, auto_renewal=bool(number.auto_renewal)))
    return left > 0 and reached is None and not number.is_due_for_monthly_renewal


def _is_corrected(turn: _Turn, number: PhoneNumber, known: Known, before: PhoneNumber) -> bool:
    """Whether another day is believed of an entry that stayed as it was, because its countdown never moved: no renewal."""
    if known.doubt is None or known.doubt.old_countdown is None:
        return False
    zone = turn.policy.zone
    return signs.stated(number, zone) == signs.stated(before, zone)


def _key(known: Known, on: int, course: int, *parts: object) -> str:
    """The name of what is told of one course of one cycle."""
    day = f"{date.fromordinal(on)}@{course}" if course else f"{date.fromordinal(on)}"
    return "/".join(map(str, (known.provider_id, day, *parts)))


def _judge_flag(turn: _Turn, number: PhoneNumber, known: Known) -> Known:
    """The due flag of a number of which no day was ever stated: it suffices alone."""
    is_told = known.cycle is not None and known.cycle.told_due_flag
    if bool(number.is_due_for_monthly_renewal) == is_told:
        return known
    if is_told:
        turn.tell(
            "renewal.renewed", Severity.info, turn.once(known.provider_id), messages.not_due(number, turn.at), number
        )
        return known._replace(cycle=None)
    severity = Severity.info if number.auto_renewal else Severity.critical
    turn.tell("renewal.due", severity, turn.once(known.provider_id), messages.due_by_flag(number, turn.at), number)
    return known._replace(cycle=Cycle(turn.on_day, told_due_flag=True))


def _judge_lapse(
    turn: _Turn, number: PhoneNumber, known: Known, before: PhoneNumber, left: int, on: int, course: int
) -> Known:
    """A number that is meant to go: the last chance to change one's mind, and the alarm if it renews all the same."""
    lapse = known.lapse
    if lapse is None:
        return known
    name = known.provider_id
    key = _key(known, on, course)
    is_renewed = lapse.renews_on is not None and on - lapse.renews_on >= RENEWED_DAYS and left > 0
    if is_renewed and not _is_corrected(turn, number, known, before):
        words = messages.lapse_renewed(number, before, turn.at, left, on)
        turn.tell("lapse.renewed", Severity.critical, key, words, number, left, topic="lapse", ends=False)
    if lapse.renews_on is None or abs(on - lapse.renews_on) > WOBBLE_DAYS:
        lapse = Lapse(on)
        turn.end(name, "last chance")
    if 0 <= left <= turn.policy.lapse_days and lapse.reminded_on is None:
        words = messages.last_chance(number, turn.at, left, on, turn.note_on(number, known))
        turn.tell("lapse.last_chance", Severity.warning, key, words, number, left, topic="last chance", ends=False)
        lapse = lapse._replace(reminded_on=on)
    return known if lapse == known.lapse else known._replace(lapse=lapse)


def _judge_overdue(
    turn: _Turn, number: PhoneNumber, known: Known, cycle: Cycle, left: int, on: int, *, is_blind: bool
) -> Known:
    """The day passed. A number that cannot be read may have renewed unseen: only what was told before is repeated.

    An automatic renewal is charged some time after its day began; it has failed when the grace is over as well.
    """
    is_unseen = is_blind or (known.doubt is not None and known.doubt.is_unstated)
    is_unseen |= turn.is_unclear and (number.countdown is None or number.countdown >= 0)
    is_early = bool(number.auto_renewal) and turn.now < signs.end_of_day(on, turn.policy.zone) + turn.policy.grace
    if not cycle.overdue_told and (is_unseen or is_early):
        return known
    now_s = int(turn.now.timestamp())
    since = now_s if cycle.overdue_at is None else cycle.overdue_at
    told = cycle.overdue_told
    if told and now_s < overdue_repeat_at(since, told):
        return known
    told += 1
    while now_s >= overdue_repeat_at(since, told):  # what was missed while nothing ran is told once
        told += 1
    key = _key(known, cycle.renews_on, cycle.course, told)
    words = messages.overdue(number, turn.at, -left, on, turn.note_on(number, known))
    turn.tell("renewal.overdue", Severity.critical, key, words, number, left, repeats=told > 1)
    return known._replace(cycle=cycle._replace(overdue_at=since, overdue_told=told))


def overdue_repeat_at(since_s: int, told: int) -> int:
    """The epoch second at which an overdue number told ``told`` times (from 1) is told again."""
    fixed = len(OVERDUE_REPEATS_DAYS)
    day = OVERDUE_REPEATS_DAYS[told - 1] if told <= fixed else OVERDUE_REPEATS_DAYS[-1] + 7 * (told - fixed)
    return since_s + day * DAY_S


def status_severity(status: str) -> Severity:
    """How urgent a status is; critical where a number does not work, or is plainly gone."""
    if status == "active":
        return Severity.info
    if status in STATUSES:
        return Severity.warning if status == "pending" else Severity.critical
    return Severity.critical if GONE.search(status) else Severity.warning


def _judge_changed(turn: _Turn, number: PhoneNumber, before: PhoneNumber, known: Known, old: Known) -> Known:
    """A number whose entry is another one, or that is in the list again; ``old`` is what was kept of it."""
    if not is_watched(known, turn.policy):
        if is_watched(old, turn.policy) and old.missing_at is None:
            turn.unwatched.append(number)
        return known
    if not is_watched(old, turn.policy):  # no sandbox number any more; what was told of it before is another story
        return _judge_new(turn, number, known._replace(cycle=None), is_baseline=True)
    if old.missing_at is not None:
        since = datetime.fromtimestamp(old.missing_at, UTC)
        left = turn.left(number, known)
        was_at = None if old.absence is None else old.absence.moved_to
        words = messages.returned(number, turn.at, since, left, known.renews_on, was_at)
        turn.tell("number.returned", Severity.info, turn.once(known.provider_id), words, number, left)
    if known.provider_id in turn.context.renumbered:
        was = turn.context.renumbered[known.provider_id]
        words = messages.renumbered(number, turn.at, was, turn.left(number, known), known.renews_on)
        turn.tell("number.renumbered", Severity.critical, turn.once(known.provider_id), words, number, topic="")
    return _judge_change(turn, number, before, known, old.renews_on)


def _judge_change(turn: _Turn, number: PhoneNumber, before: PhoneNumber, known: Known, was_on: int | None) -> Known:
    """Tell what differs between two readings of one number, and what its renewal day demands."""
    name = known.provider_id
    left, on = turn.left(number, known), known.renews_on
    if number.status != before.status:
        words = messages.status_changed(number, turn.at, before.status, left, on)
        severity = status_severity(number.status)
        if known.lapse is not None and left is not None and left <= 0:
            severity = Severity.info  # as it was meant
        is_active = number.status == "active"
        turn.tell("status.changed", severity, turn.once(name), words, number, left, ends=is_active)
    said_by = None
    if bool(number.auto_renewal) != bool(before.auto_renewal):
        said_by = _tell_auto_renewal(turn, number, known, left, on)
    _judge_price(turn, number, before, known, left)
    now_can, could = number.capabilities, before.capabilities
    if lost := sorted(could - now_can):
        words = messages.capabilities(number, turn.at, lost, left, on, lost=True)
        turn.tell("capability.lost", Severity.warning, turn.once(name), words, number, left)
    if gained := sorted(now_can - could):
        words = messages.capabilities(number, turn.at, gained, left, on, lost=False)
        turn.tell("capability.gained", Severity.info, turn.once(name), words, number, left)
    return _judge_renewal(turn, number, known, before, was_on=was_on, said_by=said_by)


def _judge_price(turn: _Turn, number: PhoneNumber, before: PhoneNumber, known: Known, left: int | None) -> None:
    """Tell another price; a warning where either price rises or is stated first, or the currency is another one."""
    pairs = (
        (before.monthly_renewal_cost, number.monthly_renewal_cost),
        (before.current_price, number.current_price),
    )
    if number.currency == before.currency and all(old == new for old, new in pairs):
        return
    is_dearer = number.currency != before.currency or any(
        new is not None and (old is None or new > old) for old, new in pairs
    )
    severity = Severity.warning if is_dearer else Severity.info
    words = messages.price_changed(number, before, turn.at, left, known.renews_on)
    turn.tell("price.changed", severity, turn.once(known.provider_id), words, number, left)


def _tell_auto_renewal(turn: _Turn, number: PhoneNumber, known: Known, left: int | None, on: int | None) -> str:
    """Auto-renewal was switched. Gives the key of that alert: inside a threshold it is the telling of that threshold.

    A number that is overdue stays so, whatever is switched: its matter goes on.
    """
    key = turn.once(known.provider_id)
    topic = "" if known.is_overdue(left) else None
    if number.auto_renewal:
        words = messages.auto_renewal_on(number, turn.at, left, on, lapses=known.lapse is not None)
        severity = Severity.info if known.lapse is None else Severity.warning
        is_end = topic is None and (left is None or left >= 0)
        return turn.tell("auto_renewal.on", severity, key, words, number, left, topic=topic, ends=is_end)
    is_near = left is not None and left <= max((*turn.thresholds(number, auto_renewal=False), 0))
    severity = Severity.critical if is_near else Severity.warning
    words = messages.auto_renewal_off(number, turn.at, left, on)
    return turn.tell("auto_renewal.off", severity, key, words, number, left, topic=topic)


# --- judging a list ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known of numbers beside the list and the fleet; by provider id, but ``told_elsewhere`` by bare number.

    ``requests`` say of absent numbers that their release was asked for; ``elsewhere`` which environment lists them;
    ``renumbered`` what the number under an id was until now; ``told_elsewhere`` what was told of numbers in environments
    that list them no more. ``filters`` are those that the list was asked with, ``clock_off`` how far our clock is off the
    answer's, if it ``is_dated``.
    """

    requests: Mapping[str, Release] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    renumbered: Mapping[str, str] = field(default_factory=dict)
    told_elsewhere: Mapping[str, Cycle] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    clock_off: timedelta | None = None
    is_dated: bool = False


def may_be_elsewhere(known: Known, now: datetime) -> bool:
    """Whether an absent number is to be looked for in the lists of other environments."""
    absence = known.absence
    if absence is None or absence.missing_at is None:
        return True
    return absence.moved_to is None and now.timestamp() - absence.missing_at <= LOOKED_FOR_DAYS * DAY_S


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
    context: Context | None = None,
) -> Verdict:
    """The verdict of a complete list.

    ``before`` holds the numbers in ``found.changed`` and ``found.absent`` as last known. New numbers get ``pk`` 0, the store
    numbers them.
    """
    before_s = int(watch.last_success_at.timestamp()) if watch.last_success_at else found.now_s
    turn = _Turn(at=watch.name, now=now, before_s=before_s, policy=policy, context=context or Context())
    verdict = Verdict(alerts=turn.alerts, watch=watch, ended=turn.ended)
    watch = _recover(turn, _judge_clock(turn, watch))
    turn_s = watch.turn_s if watch.turn_s is not None else signs.turn_of_day(now, policy.zone)

    for name in found.new:
        entry = listing.entries[name]
        fresh = _seen(None, name, entry.parsed, entry.parsed, found, turn, turn_s)
        if policy.include_sandbox or not fresh.is_sandbox:
            fresh = _judge_new(turn, entry.parsed, _as_told(turn, fresh), is_baseline=not watch.has_baseline)
        verdict.updates.append(fresh)
        verdict.versions[name] = entry

    for name in found.changed:
        parsed, old = listing.entries[name].parsed, fleet[name]
        known = _seen(old, name, parsed, before[name], found, turn, turn_s)
        known = _judge_changed(turn, parsed, before[name], known, old)
        verdict.updates.append(known)
        verdict.versions[name] = listing.entries[name]
        _note_doubts(turn, parsed, known)

    corrections: dict[str, Known] = {}
    for name in found.corrected:
        parsed, known = listing.entries[name].parsed, fleet[name]
        countdown = parsed.countdown
        assert countdown is not None  # noqa: S101 (compare puts only counted numbers here)
        zero_at = signs.corrected_zero(countdown, known, found.now_s, before_s)
        renews_on, doubt = signs.believe(parsed, parsed, known, turn.moment)
        corrections[name] = known._replace(zero_at=zero_at, renews_on=renews_on, doubt=doubt)
        verdict.countdowns.append(name)
    for name in found.near:
        parsed, known = listing.entries[name].parsed, corrections.pop(name, fleet[name])
        if known.doubt is not None and known is fleet[name]:
            renews_on, doubt = signs.believe(parsed, parsed, known, turn.moment)
            known = known._replace(renews_on=renews_on, doubt=doubt)
        judged = known
        if is_watched(known, policy):
            judged = _judge_renewal(turn, parsed, known, parsed, was_on=fleet[name].renews_on)
            _note_doubts(turn, parsed, judged)
        if judged != fleet[name]:
            verdict.updates.append(judged)
    verdict.updates.extend(corrections.values())

    watch = _judge_absent(turn, fleet, before, listing, found, watch, verdict)
    watch = _judge_flaws(turn, fleet, listing, watch)
    if not watch.has_baseline:
        _judge_dayless(turn, listing, verdict.updates)
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


def _note_doubts(turn: _Turn, parsed: PhoneNumber, known: Known) -> None:
    """Keep count of the numbers whose renewal day is in doubt."""
    doubt = known.doubt
    if doubt is None or not is_watched(known, turn.policy):
        return
    if doubt.is_unstated:
        turn.unstated.append((parsed, known))
    elif doubt.lists >= signs.LISTS_IN_DOUBT:
        turn.doubtful.append((parsed, known))


def _seen(
    known: Known | None,
    name: str,
    parsed: PhoneNumber,
    before: PhoneNumber,
    found: Comparison,
    turn: _Turn,
    turn_s: int,
) -> Known:
    """What is remembered of a number that is in the list with a new entry; ``known`` is None for a new number."""
    countdown = parsed.countdown
    zero_at = None if known is None else known.zero_at
    if countdown is None:
        zero_at = None
    elif zero_at is None or signs.countdown_at(zero_at, found.now_s) != countdown:
        zero_at = signs.zero_of(countdown, found.now_s, turn_s)
    renews_on, doubt = signs.believe(parsed, before, known, turn.moment)
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


def _as_told(turn: _Turn, fresh: Known) -> Known:
    """A new number with what was told of its cycle where it was before."""
    cycle = turn.context.told_elsewhere.get(bare(fresh.number)) if turn.context.told_elsewhere else None
    if cycle is None or fresh.renews_on is None or abs(fresh.renews_on - cycle.renews_on) > WOBBLE_DAYS:
        return fresh
    return fresh._replace(cycle=cycle)


def _judge_new(turn: _Turn, parsed: PhoneNumber, known: Known, *, is_baseline: bool) -> Known:
    name = known.provider_id
    left, on = turn.left(parsed, known), known.renews_on
    if not is_baseline:
        words = messages.added(parsed, turn.at, left, on)
        turn.tell("number.added", Severity.info, turn.once(name), words, parsed, left, topic="")
    if parsed.status != "active":
        words = messages.status_changed(parsed, turn.at, None, left, on)
        turn.tell("status.changed", status_severity(parsed.status), turn.once(name), words, parsed, left)
    latest = turn.on_day + turn.horizons[bool(parsed.auto_renewal)] + 1  # the countdown may be one day ahead of the day
    if on is not None and on > latest and not parsed.is_due_for_monthly_renewal:
        return known
    return _judge_renewal(turn, parsed, known, parsed)


def _judge_absent(
    turn: _Turn,
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
            turn.note = messages.UNREADABLE if nameless else messages.UNLISTED
            kept = _judge_blind(turn, before.get(known.provider_id), kept)
            turn.note = ""
        if kept is not known:
            verdict.updates.append(kept)
    return watch


def _is_explained(known: Known, turn: _Turn) -> bool:
    """Whether it is known why a number is not in the list: it moved, was released, or its day came and it was to go."""
    request = turn.context.requests.get(known.provider_id)
    is_released = request is not None and request.status == "approved"
    is_over = known.lapse is not None and known.renews_on is not None and known.renews_on <= turn.on_day
    return is_released or is_over or known.provider_id in turn.context.elsewhere


def _judge_moved(turn: _Turn, number: PhoneNumber, known: Known, there: str, verdict: Verdict) -> Known:
    """A number that another environment lists: it is not missing, and it is watched there."""
    if known.absence is None:
        verdict.versions[known.provider_id] = None
    if is_watched(known, turn.policy):
        words = messages.moved(number, turn.at, there, is_missing=known.missing_at is not None)
        turn.tell("number.moved", Severity.warning, turn.once(known.provider_id), words, number, ends=True)
    return known._replace(absence=Absence(1, int(turn.now.timestamp()), there))


def _judge_gone(turn: _Turn, number: PhoneNumber, known: Known, verdict: Verdict, *, is_believed: bool) -> Known:
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
        words = messages.missing(
            number, turn.at, polls, left, on, is_meant=is_meant, request=request, filters=turn.context.filters
        )
        severity = Severity.critical
        if is_asked:
            severity = Severity.info
        elif is_meant:  # that it went early may cost calls, but it was to go
            severity = Severity.info if left is not None and left <= 0 else Severity.warning
        turn.tell("number.missing", severity, turn.once(name), words, number, left)
        for topic in _OF_NUMBERS if is_meant or is_asked else ():  # else they go on should it return
            turn.end(name, topic)
    return known._replace(absence=Absence(polls, int(turn.now.timestamp()) if is_missing else None))


def _judge_shrunk(
    turn: _Turn, fleet: Mapping[str, Known], watch: Watch, lost: Sequence[Known], watched: int, *, is_shrunk: bool
) -> Watch:
    """Tell once that too many numbers left the list at once, and once that they came back."""
    if is_shrunk and watch.shrunk_at is None:
        names = [known.number or known.provider_id for known in lost]
        words = messages.list_shrunk(turn.at, names, watched, turn.context.filters)
        turn.tell("watch.list_shrunk", Severity.critical, turn.once("list"), words, topic="list")
        return replace(watch, shrunk_at=turn.now)
    if not is_shrunk and watch.shrunk_at is not None:
        since = int(watch.shrunk_at.timestamp())
        if not any(k.missing_at is not None and k.missing_at >= since for k in fleet.values()):  # else it was believed
            words = messages.list_whole(turn.at, watch.shrunk_at, turn.now, len(lost))
            turn.tell("watch.recovered", Severity.info, turn.once("list"), words, topic="list")
        else:
            turn.end("", "list")
        return replace(watch, shrunk_at=None)
    return watch


def _judge_blind(turn: _Turn, number: PhoneNumber | None, known: Known) -> Known:
    """The countdown of a number that could not be read goes on from what was last known."""
    if number is None:
        return known
    return _judge_renewal(turn, number, known, number, is_blind=True)


# --- what cannot be read or believed ----------------------------------------------------------------------------------


def _judge_flaws(turn: _Turn, fleet: Mapping[str, Known], listing: Listing, watch: Watch) -> Watch:
    """Tell what cannot be read, once for each kind of fault; numbers without a day, and contradictions, as they come."""
    flaws = unreadable(listing)
    if fresh := [flaw for kind, flaw in flaws.items() if kind not in watch.flaws]:
        turn.tell("data.invalid", Severity.warning, turn.once("list"), messages.invalid(fresh, turn.at))
    elif not flaws and any(kind not in FLAW_KINDS for kind in watch.flaws):
        turn.end("", "data")
    lost = [one for one in turn.unstated if not _was(fleet, one[1], is_unstated=True)]
    if lost:
        words = messages.unstated(lost, turn.at)
        turn.tell("data.unknown", Severity.warning, turn.once("days"), words, topic=DAYS)
    elif DAYS in watch.flaws and not turn.unstated:
        turn.tell("watch.recovered", Severity.info, turn.once("days"), messages.days_known(turn.at), topic=DAYS)
    odd = [one for one in turn.doubtful if not _was(fleet, one[1], is_unstated=False)]
    if odd:
        words = messages.contradiction(odd, turn.at, turn.moment)
        turn.tell("data.contradiction", Severity.warning, turn.once("signs"), words, topic=SIGNS)
    elif SIGNS in watch.flaws and not turn.doubtful:
        turn.tell("watch.recovered", Severity.info, turn.once("signs"), messages.signs_agree(turn.at), topic=SIGNS)
    if turn.unstated:
        flaws[DAYS] = Flaw(len(turn.unstated), messages.days_unknown(len(turn.unstated)))
    if turn.doubtful:
        flaws[SIGNS] = Flaw(len(turn.doubtful), messages.signs_contradict(len(turn.doubtful)))
    _judge_emptiness(turn, listing, watch, flaws)
    if turn.context.clock_off is not None:
        flaws[CLOCK] = Flaw(0, messages.clock_off(turn.at, turn.context.clock_off)[0].partition(": ")[2])
    return replace(watch, flaws=flaws)


def _judge_emptiness(turn: _Turn, listing: Listing, watch: Watch, flaws: dict[str, Flaw]) -> None:
    """Tell once that there is nothing to watch, and numbers that are not watched any more."""
    if turn.unwatched:
        words = messages.unwatched(turn.unwatched, turn.at)
        turn.tell("number.unwatched", Severity.warning, turn.once("sandbox"), words, topic="")
    sandbox = len(listing.entries)
    is_watching = turn.policy.include_sandbox or any(not one.parsed.is_sandbox for one in listing.entries.values())
    if (is_watching and listing.entries) or watch.shrunk_at is not None or listing.invalid:
        if EMPTY in watch.flaws and is_watching and listing.entries:
            words = messages.not_empty(turn.at, len(listing.entries))
            turn.tell("watch.recovered", Severity.info, turn.once(EMPTY), words, topic=EMPTY)
        return
    if EMPTY not in watch.flaws:
        words = messages.list_empty(turn.at, sandbox, turn.context.filters)
        turn.tell("watch.list_empty", Severity.warning, turn.once(EMPTY), words, topic=EMPTY)
    flaws[EMPTY] = Flaw(0, messages.nothing_watched(sandbox, turn.context.filters))


def _judge_dayless(turn: _Turn, listing: Listing, fleet: Sequence[Known]) -> None:
    """Tell once that the first list has numbers without a renewal day: a warning where all of them are without."""
    watched = [known for known in fleet if is_watched(known, turn.policy)]
    those = [listing.entries[k.provider_id].parsed for k in watched if k.renews_on is None and k.cycle is None]
    if those:
        severity = Severity.warning if len(those) == len(watched) else Severity.info
        words = messages.dayless(those, len(watched), turn.at)
        turn.tell("data.unknown", severity, turn.once("first"), words, topic="")


def unreadable(listing: Listing) -> dict[str, Flaw]:
    """What of the list cannot be read, by the kind of fault."""
    found = {}
    by_kind: dict[tuple[str, str], list[tuple[PhoneNumber, str]]] = {}
    for entry in listing.entries.values():
        for fault in entry.faults:
            by_kind.setdefault((fault.field, fault.form), []).append((entry.parsed, fault.shown))
    for (name, form), those in by_kind.items():
        found[f"{name}: {form}"] = Flaw(len(those), messages.field_unreadable(name, form, those))
    if listing.invalid:
        found["entry"] = Flaw(len(listing.invalid), messages.entries_skipped(listing.invalid))
    return found


def _was(fleet: Mapping[str, Known], known: Known, *, is_unstated: bool) -> bool:
    """Whether the same was in doubt at the list before."""
    old = fleet.get(known.provider_id)
    if old is None or old.doubt is None:
        return False
    return old.doubt.is_unstated if is_unstated else old.doubt.lists >= signs.LISTS_IN_DOUBT


def _judge_clock(turn: _Turn, watch: Watch) -> Watch:
    """Tell that two clocks differ, and that they agree again. Until that has lasted neither is believed alone."""
    off = turn.context.clock_off
    if off is None:
        if watch.clock_off_at is not None:
            turn.tell("watch.recovered", Severity.info, turn.once(CLOCK), messages.clock_right(turn.at), topic=CLOCK)
        confirmed_at = turn.now if turn.context.is_dated else watch.confirmed_at
        return replace(watch, clock_off_at=None, confirmed_at=confirmed_at)
    if watch.clock_off_at is None:
        severity = Severity.critical if abs(off) >= CLOCK_FAR_OFF else Severity.warning
        turn.tell("watch.clock_off", severity, turn.once(CLOCK), messages.clock_off(turn.at, off), topic=CLOCK)
        watch = replace(watch, clock_off_at=turn.now)
    since = watch.clock_off_at
    turn.is_unclear = since is not None and turn.now - since < CLOCK_LASTS
    return watch


def _recover(turn: _Turn, watch: Watch) -> Watch:
    if watch.told & _BLIND:
        words = messages.recovered(turn.at, watch.last_success_at or watch.failing_since, turn.now)
        turn.tell("watch.recovered", Severity.info, turn.once("api"), words)
    return replace(watch, told=watch.told - _BLIND)


# --- judging without a list -------------------------------------------------------------------------------------------


def near_without_list(fleet: Iterable[Known], policy: Policy, now: datetime) -> list[str]:
    """Provider ids whose renewal is near enough to be judged by what was last known."""
    latest = signs.today(now, policy.zone) + max(policy.horizons) + 1  # the countdown may be one day ahead of the day
    return [
        k.provider_id
        for k in fleet
        if k.missing_at is None
        and is_watched(k, policy)
        and (k.cycle is not None or k.lapse is not None or (k.renews_on is not None and k.renews_on <= latest))
    ]


def _blind_turn(watch: Watch, policy: Policy, now: datetime) -> _Turn:
    """A judgement by what was last known."""
    before_s = int(watch.last_success_at.timestamp()) if watch.last_success_at else int(now.timestamp())
    note = messages.unread(watch.last_success_at)
    return _Turn(at=watch.name, now=now, before_s=before_s, policy=policy, context=Context(), note=note)


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
        known = _judge_blind(turn, number, fleet[name])
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
        holds = {
            "api": bool(watch.told & _BLIND),
            "list": watch.shrunk_at is not None,
            "data": any(kind not in FLAW_KINDS for kind in watch.flaws),
            **{topic: kind in watch.flaws for kind, (_, topic) in FLAW_KINDS.items()},
        }
        return Restated() if holds.get(key.topic, False) else None
    if not is_watched(known, policy):
        return None
    if key.topic == "presence":
        return Restated(number=number) if known.missing_at is not None else None
    if known.missing_at is not None:
        return None
    turn = _blind_turn(watch, policy, now)
    turn.note = turn.note if watch.last_error else messages.UNLISTED if known.absence else ""
    note = turn.note_on(number, known)
    left, on = turn.left(number, known), known.renews_on
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
