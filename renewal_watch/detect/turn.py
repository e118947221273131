"""One judgement of one list: its time, its policy, and the alerts that it gives. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from renewal_watch.alerts.notes import Believed, Note, Unstated
from renewal_watch.alerts.phrases import who
from renewal_watch.model import kinds, renewal_day, selectors
from renewal_watch.model.account import Release
from renewal_watch.model.alerts import Alert, Key, Severity
from renewal_watch.model.facts import Facts
from renewal_watch.model.numbers import DAY_S, PhoneNumber
from renewal_watch.model.policy import Policy, Rule
from renewal_watch.model.renewal_day import Moment
from renewal_watch.model.selectors import Fitting
from renewal_watch.model.tracking import Cycle, Known

WOBBLE_DAYS = 2  # one day either way is no other renewal day, and both ways are two apart
RENEWED_DAYS = renewal_day.MOVED_DAYS
CRITICAL_DAYS = 3  # a number that will be lost is critical from here on
FLAW_KINDS = {  # a kind of flaw is called like the topic of the alert that tells it; any other is told by data.invalid
    kinds.ROWS[name].topic: name
    for name in ("data.unknown", "data.contradiction", "watch.list_empty", "watch.clock_off")
}
DAYS, SIGNS, EMPTY, CLOCK = (
    FLAW_KINDS  # days that are not known, signs that disagree, nothing to watch, two clocks that differ
)
LOOKED_FOR_DAYS = 7  # a missing number is looked for in other environments
OF_NUMBERS = kinds.topics(ends_with_number=True)


def tightest(left: int, thresholds: Iterable[int]) -> int | None:
    """The smallest threshold that is reached, None if none is."""
    return min((t for t in thresholds if left <= t), default=None)


@dataclass(slots=True, kw_only=True)
class Turn:
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
    note: Note | None = None  # the number could not be read now
    alerts: list[Alert] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)
    unstated: list[tuple[PhoneNumber, Known]] = field(default_factory=list)  # numbers whose day is not stated any more
    unwatched: list[PhoneNumber] = field(default_factory=list)  # numbers that became sandbox numbers
    doubtful: list[tuple[PhoneNumber, Known]] = field(default_factory=list)  # numbers whose signs contradict each other

    def __post_init__(self) -> None:
        """Count the days once."""
        self.on_day = renewal_day.today(self.now, self.policy.zone)
        self.horizons = self.policy.horizons

    @property
    def moment(self) -> Moment:
        """When the list was read."""
        return Moment(self.now, self.before_s, self.on_day, self.policy.zone, self.is_unclear)

    def left(self, number: PhoneNumber, known: Known) -> int | None:
        """Days left of a number, None without a renewal day."""
        return renewal_day.days_left(number, known, self.on_day, int(self.now.timestamp()))

    def note_on(self, number: PhoneNumber, known: Known) -> Note | None:
        """How far a renewal day can be trusted."""
        if self.note or known.doubt is None or known.renews_on is None:
            return self.note
        if known.doubt.is_unstated:
            return Unstated()
        return Believed.of(number, known.renews_on, self.moment)

    def thresholds(self, number: PhoneNumber, *, auto_renewal: bool) -> tuple[int, ...]:
        """The thresholds of this number: those of the rules that match it, else of the policy."""
        policy = self.policy
        own = None
        if policy.rules:
            self.fitting = self.fitting or Fitting(policy.rules)
            found = selectors.effective(self.fitting, selectors.subject(self.at, number, policy.inventory))
            own = found.auto_renewal_warn_days if auto_renewal else found.warn_days
        if own is not None:
            return own
        return policy.auto_renewal_warn_days if auto_renewal else policy.warn_days

    def end(self, name: str, topic: str) -> None:
        """The incident is over, and no alert says so."""
        self.ended.append(Key(self.at, name, topic))

    def tell(
        self,
        kind: str,
        severity: Severity,
        key: str,
        facts: Facts,
        number: PhoneNumber | None = None,
        left: int | None = None,
        *,
        topic: str | None = None,
        ends: bool | None = None,
        repeats: bool = False,
        said_by: str | None = None,
    ) -> str:
        """Add an alert and give its key; ``topic`` and ``ends`` are given where the kind alone does not tell."""
        row = kinds.ROWS[kind]
        whole = f"{self.at}/{kind}/{key}"
        self.alerts.append(
            Alert(
                key=whole,
                kind=kind,
                severity=severity,
                environment=self.at,
                facts=facts,
                number_id=None if number is None else str(number.id),
                number=None if number is None else who(number),
                days_left=left,
                topic=row.topic if topic is None else topic,
                ends=row.ends if ends is None else ends,
                nature="repeat" if repeats else "new",
                about=number,
                said_by=said_by,
            )
        )
        return whole

    def once(self, name: str) -> str:
        """A key for what is told because it happened in this very poll."""
        return f"{name}/{self.now.isoformat()}"


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
