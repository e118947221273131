"""What a monitoring system is told by ``check``: a state, one line, performance data. The Nagios convention.

Exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; ``TEXT | 'label'=value;warn;crit;min;max``; thresholds as the guidelines of the
Monitoring Plugins have them (monitoring-plugins.org/doc/guidelines.html), but that a bare number means so many days *or
less*, as every check of a certificate takes it.

    judge, of_lists   what numbers and lists demand, each with its state
    outcome           the worst of it in one line; what somebody knows of is set aside, and counted
    examine           both, from the database

CRITICAL goes before UNKNOWN, and UNKNOWN before WARNING: what is known to be lost is said whatever else is not known,
and not to know weighs more than a warning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from math import inf, isfinite
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from renewal_watch import health, routing, rules, signs
from renewal_watch.config import Settings
from renewal_watch.errors import UsageError
from renewal_watch.health import Finding
from renewal_watch.messages import days, span
from renewal_watch.messages import numbers as counted
from renewal_watch.model import Key, PhoneNumber, Severity, Watch
from renewal_watch.routing import Routing, Situation
from renewal_watch.schema import absences, cycles, environments, lapses, numbers
from renewal_watch.selections import MISSING
from renewal_watch.store import Transaction
from renewal_watch.text import plain

SERVICE = "RENEWAL"
NAMED = 2  # numbers named in the line for each group
LISTED = 200  # numbers listed with -v
LONGEST = 700  # characters of the line before the performance data; NRPE of old cuts the whole at 1,024
LAPSING = "meant to lapse"
SOON = "without auto-renewal"  # the group of numbers that are lost on their day
WARNING, CRITICAL = 14, 3  # days, by default
BETWEEN = " - "  # parts of the line
_MARKS = str.maketrans({"|": "¦", ";": ","})  # the bar begins the performance data, and Nagios shows ";" as ":"
_BARE = re.compile(r"[-+]?\d+(\.\d+)?")
_RANGE = re.compile(r"(@?)(?:(~|[-+]?\d+(?:\.\d+)?):)?([-+]?\d+(?:\.\d+)?)?")


class State(IntEnum):
    """What a plugin exits with."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3

    @property
    def rank(self) -> int:
        """How much it weighs against others."""
        return (State.OK, State.WARNING, State.UNKNOWN, State.CRITICAL).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Days left that are too few: ``14`` (14 or less), or a range of the guidelines: ``14:`` (outside), ``@0:14`` (inside)."""

    low: float
    high: float
    is_inside: bool
    is_bare: bool = False

    @classmethod
    def parse(cls, text: str, option: str) -> Threshold:
        """What ``option`` says. Raises UsageError."""
        wanted = text.strip()
        found = _RANGE.fullmatch(wanted)
        if found is None or not wanted.strip("@:~"):
            msg = f"{option}: {text!r} is no number of days; write it like 14 (14 days or less), or as a range like 14: or @0:14"
            raise UsageError(msg)
        if _BARE.fullmatch(wanted):
            return cls.days(float(wanted))
        low = -inf if found[2] == "~" else float(found[2] or 0)
        high = inf if found[3] is None else float(found[3])
        if low > high:
            msg = f"{option}: the range {text!r} begins after its end"
            raise UsageError(msg)
        return cls(low=low, high=high, is_inside=bool(found[1]))

    @classmethod
    def days(cls, most: float) -> Threshold:
        """So many days, or less."""
        return cls(low=-inf, high=most, is_inside=True, is_bare=True)

    @property
    def edge(self) -> str:
        """The days at which it begins, for the performance data: Icinga 2 drops a range there (lib/base/perfdatavalue.cpp).

        What alerts inside of a range is for numbers that come nearer: it begins at the upper end.
        """
        first, other = (self.high, self.low) if self.is_inside else (self.low, self.high)
        return f"{first if isfinite(first) else other:g}"

    def is_hit(self, left: int) -> bool:
        """Whether so many days are too few."""
        return (self.low <= left <= self.high) == self.is_inside


def thresholds(warning: str | None, critical: str | None) -> tuple[Threshold, Threshold]:
    """Both, if they make sense together; what is not given is 14 and 3 days, or the other one if that goes further.

    Raises UsageError.
    """
    soon = None if warning is None else Threshold.parse(warning, "-w")
    urgent = None if critical is None else Threshold.parse(critical, "-c")
    if urgent is None:
        urgent = Threshold.days(min(CRITICAL, soon.high) if soon is not None and soon.is_bare else CRITICAL)
    if soon is None:
        soon = Threshold.days(max(WARNING, urgent.high) if urgent.is_bare else WARNING)
    if soon.is_bare and urgent.is_bare and urgent.high > soon.high:
        msg = f"-c: {critical} days are more than the {warning} of -w, so that nothing would ever be a warning; exchange them"
        raise UsageError(msg)
    return soon, urgent


class Number(NamedTuple):
    """A number that may demand something. ``renews_on`` is an ordinal."""

    environment: str
    provider_id: str
    number: str
    renews_on: int | None
    auto_renewal: bool
    status: str
    is_overdue: bool
    is_missing: bool
    is_lapsing: bool


class Concern(NamedTuple):
    """What is the matter with a number or, without an id, with a list.

    ``kind`` and ``topic`` are those of the alerts about it; ``aside`` says who knows of it, or what hides it.
    """

    state: State
    group: str
    environment: str
    provider_id: str
    kind: str
    topic: str
    name: str
    detail: str = ""
    aside: str = ""

    def line(self) -> str:
        """It by itself."""
        said = " ".join(filter(None, (self.name, self.group, self.detail)))
        return f"set aside: {said}: {self.aside}" if self.aside else f"{self.state.name}: {said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is printed, and the state to exit with."""

    state: State
    text: str
    performance: str = ""
    more: tuple[str, ...] = ()

    def lines(self, *, is_verbose: bool = False) -> list[str]:
        """The line, and what is behind it."""
        line = f"{SERVICE} {self.state.name} - {self.text.translate(_MARKS)}"
        more = [one.translate(_MARKS) for one in self.more] if is_verbose else []
        return [f"{line} | {self.performance}" if self.performance else line, *more]


def unknown(reason: str) -> Outcome:
    """The plugin itself failed."""
    return Outcome(state=State.UNKNOWN, text=_cut(" ".join(reason.split())))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(
    those: Iterable[Number],
    severities: Mapping[Key, Severity],
    on_day: int,
    soon: Threshold,
    urgent: Threshold,
    name: Callable[[Number], str],
) -> Iterator[Concern]:
    """What numbers demand. ``severities`` are those of the open matters, which say how bad it is that one is missing."""
    for one in those:
        about = (one.environment, one.provider_id)
        left = None if one.renews_on is None else one.renews_on - on_day
        meant = LAPSING if one.is_lapsing else ""
        if one.is_missing:
            severity = severities.get(Key(*about, "presence"), Severity.info)  # without one something explains it
            if severity > Severity.info:
                state = State.CRITICAL if severity == Severity.critical else State.WARNING
                yield Concern(state, "missing", *about, "number.missing", "presence", name(one))
            continue
        if one.status != "active":
            is_lost = rules.status_severity(one.status) == Severity.critical
            state = State.CRITICAL if is_lost else State.WARNING
            aside = meant if left is not None and left <= 0 else ""
            group = plain(one.status, 40) or "without a status"
            yield Concern(state, group, *about, "status.changed", "status", name(one), aside=aside)
        if left is None:
            continue
        kind = "renewal.overdue" if left < 0 else "renewal.due" if left == 0 else "renewal.upcoming"
        if one.is_overdue and left < 0:
            detail = f"by {days(-left)}"
            yield Concern(State.CRITICAL, "overdue", *about, kind, "renewal", name(one), detail, meant)
        elif not one.auto_renewal and (urgent.is_hit(left) or soon.is_hit(left)):
            state = State.CRITICAL if urgent.is_hit(left) else State.WARNING
            yield Concern(state, SOON, *about, kind, "renewal", name(one), _when(left), meant)


def _when(left: int) -> str:
    return f"in {days(left)}" if left > 0 else "today" if left == 0 else f"{days(-left)} ago"


def of_lists(watches: Iterable[Watch]) -> Iterator[Concern]:
    """What is the matter with lists as a whole: what is not in them is not judged."""
    for one in watches:
        if one.shrunk_at is not None:
            detail = "lost so many numbers at once that the list is in doubt"
            yield Concern(State.CRITICAL, "", one.name, "", "watch.list_shrunk", "list", one.name, detail)
        for kind, flaw in one.flaws.items():
            alert, topic = rules.FLAW_KINDS.get(kind, ("data.invalid", "data"))
            yield Concern(State.WARNING, "", one.name, "", alert, topic, f"{one.name}:", flaw.text)


def outcome(
    concerns: Sequence[Concern],
    findings: Sequence[Finding],
    performance: str,
    fine: str,
) -> Outcome:
    """The worst of it in one line, the worst first; ``fine`` is said when there is nothing of the kind."""
    parts: list[tuple[State, str]] = []
    groups: dict[tuple[State, str, str], list[Concern]] = {}
    for one in concerns:
        if not one.aside:
            groups.setdefault((one.state, one.topic, one.group), []).append(one)
    for (state, _, group), those in groups.items():
        parts.append((state, _grouped(group, those)))
    parts += [(State.UNKNOWN if one.is_blind else State.WARNING, one.reason) for one in findings if not one.ok]
    parts.sort(key=lambda part: -part[0].rank)  # stable: within a state as they came
    state = parts[0][0] if parts else State.OK
    said = [text for _, text in parts] or [fine]
    aside = Counter(LAPSING if one.aside == LAPSING else "acknowledged or hidden" for one in concerns if one.aside)
    said += [f"set aside: {', '.join(f'{count} {word}' for word, count in sorted(aside.items()))}"] if aside else []
    listed = sorted(concerns, key=lambda one: (bool(one.aside), -one.state.rank))
    more = [one.line() for one in listed[:LISTED]]
    more += [f"and {len(listed) - LISTED} more"] if len(listed) > LISTED else []
    more += [one.reason for one in findings]
    return Outcome(state=state, text=_cut(BETWEEN.join(said)), performance=performance, more=tuple(more))


def _grouped(group: str, those: Sequence[Concern]) -> str:
    if not group:
        return BETWEEN.join(f"{one.name} {one.detail}" for one in those)
    named = [" ".join(filter(None, (one.name, one.detail))) for one in those[:NAMED]]
    shown = list(filter(None, named))
    if not shown:
        return f"{len(those)} {group}"
    more = [f"and {len(those) - NAMED} more"] if len(those) > NAMED else []
    return f"{len(those)} {group}: {', '.join(shown + more)}"


# --- reading ----------------------------------------------------------------------------------------------------------


def examine(
    tx: Transaction,
    settings: Settings,
    way: Routing,
    now: datetime,
    *,
    soon: Threshold,
    urgent: Threshold,
    environment: str | None = None,
) -> Outcome:
    """The outcome for all environments, or for one. Raises UsageError for one that is not configured.

    Nothing is judged of an environment whose list is stale.
    """
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    names = [one.name for one in chosen]
    findings = [one for one in health.examine(tx, settings, now).checks if one.environment in ("", *names)]
    if any(one.is_blind and not one.environment for one in findings):
        return outcome([], findings, "", "")
    watches = {watch.name: watch for _, watch, _ in tx.watches() if watch.name in names}
    blind = {one.environment for one in findings if one.is_blind}
    fresh = [name for name in names if name not in blind]
    situation = tx.situation(now)
    on_day = signs.today(now, settings.timezone)

    def called(one: Number) -> str:
        name = {"number": plain(one.number) or plain(one.provider_id), "id": plain(one.provider_id), "none": ""}
        place = f" ({one.environment})" if len(settings.environments) > 1 else ""
        return f"{shown}{place}" if (shown := name[settings.metrics.labels]) else ""

    watched = _watched(settings, fresh)
    those = [*_candidates(tx, watched)]
    sizes = _sizes(tx, watched) if fresh else []
    severities = {key: one.severity for key, one in situation.matters.items()}
    found = [
        *of_lists(watches[name] for name in fresh),
        *_dayless(sizes),
        *judge(those, severities, on_day, soon, urgent, called),
    ]
    concerns = _set_aside(found, tx, way, situation)
    known = {(one.environment, one.provider_id) for one in concerns if one.aside and one.topic == "renewal"}
    next_lost = min(
        (
            (one.renews_on - on_day, called(one))
            for one in those
            if one.renews_on is not None and not (one.auto_renewal or one.is_missing or one.is_lapsing)
            if (one.environment, one.provider_id) not in known
        ),
        default=None,
    )
    total = sum(one.total for one in sizes) if fresh else None
    ages = [(now - at).total_seconds() for one in watches.values() if (at := one.last_success_at)]
    age = int(max([0.0, *ages])) if len(ages) == len(names) else None
    return outcome(
        concerns,
        findings,
        _performance(concerns, next_lost, total, age, soon, urgent),
        _fine(total or 0, sum(one.renewing for one in sizes), next_lost, age),
    )


def _watched(settings: Settings, names: Sequence[str]) -> ColumnElement[bool]:
    """Numbers of these environments that alerts speak of."""
    of = {
        is_all: select(environments.c.id).where(
            environments.c.name.in_([name for name in names if settings.environment(name).include_sandbox == is_all])
        )
        for is_all in (True, False)
    }
    return or_(
        numbers.c.environment_id.in_(of[True]), and_(numbers.c.environment_id.in_(of[False]), ~numbers.c.is_sandbox)
    )


class Size(NamedTuple):
    """How many numbers of an environment are watched and in its list, have a renewal day, and renew by themselves on one."""

    environment: str
    total: int
    dated: int
    renewing: int


def _sizes(tx: Transaction, watched: ColumnElement[bool]) -> list[Size]:
    query = (
        select(
            environments.c.name,
            func.count(),
            func.count(numbers.c.renews_on),
            func.count(case((numbers.c.auto_renewal, numbers.c.renews_on))),
        )
        .join(numbers, numbers.c.environment_id == environments.c.id)
        .where(watched, ~MISSING)
        .group_by(environments.c.name)
    )
    return [Size(*row) for row in tx.connection.execute(query)]


def _dayless(sizes: Iterable[Size]) -> Iterator[Concern]:
    """The environments of which no number ever had a renewal day: nobody knows what will be lost."""
    alert, topic = rules.FLAW_KINDS[rules.DAYS]
    for name, _, dated, _ in sizes:
        if not dated:
            yield Concern(State.WARNING, "", name, "", alert, topic, f"{name}:", "no number has a renewal day")


def _candidates(tx: Transaction, watched: ColumnElement[bool]) -> Iterator[Number]:
    """The numbers that may demand something, the first to renew first."""
    is_overdue = and_(cycles.c.overdue_told.is_not(None), cycles.c.overdue_told > 0)
    is_missing = absences.c.missing_at.is_not(None)
    query = (
        select(
            environments.c.name,
            numbers.c.provider_id,
            numbers.c.number,
            numbers.c.renews_on,
            numbers.c.auto_renewal,
            numbers.c.status,
            is_overdue,
            is_missing,
            lapses.c.number_id.is_not(None),
        )
        .join(environments, environments.c.id == numbers.c.environment_id)
        .outerjoin(cycles, cycles.c.number_id == numbers.c.id)
        .outerjoin(absences, absences.c.number_id == numbers.c.id)
        .outerjoin(lapses, lapses.c.number_id == numbers.c.id)
        .where(watched, or_(numbers.c.status != "active", is_missing, is_overdue, ~numbers.c.auto_renewal))
        .order_by(numbers.c.renews_on, numbers.c.id)
    )
    for row in tx.connection.execute(query):
        yield Number(*row[:6], *map(bool, row[6:]))


def _set_aside(found: Sequence[Concern], tx: Transaction, way: Routing, situation: Situation) -> list[Concern]:
    """The concerns with who knows of each, or what hides it."""
    about: Mapping[tuple[str, str], PhoneNumber] = {}
    if situation.silences or any(rule.mute for rule in way.rules):
        ids = tx.number_ids({(one.environment, one.provider_id) for one in found if one.provider_id})
        parsed = tx.numbered(ids.values())
        about = {place: parsed[pk] for place, pk in ids.items() if pk in parsed}
    return [
        one
        if one.aside
        else one._replace(aside=_known(one, about.get((one.environment, one.provider_id)), way, situation))
        for one in found
    ]


def _known(one: Concern, number: PhoneNumber | None, way: Routing, situation: Situation) -> str:
    """Who acknowledged it, or what hides alerts about it; empty if nobody knows."""
    matter = situation.matters.get(Key(one.environment, one.provider_id, one.topic))
    if matter is not None and matter.ack is not None:
        return f"acknowledged by {plain(matter.ack.by)}"
    if one.provider_id and number is None:  # nothing could hide it
        return ""
    seen = way.seen(one.environment, number)
    hidden = routing.suppressed(one.kind, seen, way.said(seen), situation, mark=way.mark)
    return plain(hidden.why) if hidden else ""


def _performance(
    concerns: Sequence[Concern],
    next_lost: tuple[int, str] | None,
    total: int | None,
    age: int | None,
    soon: Threshold,
    urgent: Threshold,
) -> str:
    """Always the same order; what is not known is left out, for Icinga 2 refuses the ``U`` of Nagios (perfdatavalue.cpp).

    ``total`` is None where no list is fresh.
    """
    at_large = [one for one in concerns if not one.aside]
    of_status = [one for one in at_large if one.topic == "status"]
    counts: dict[str, tuple[int, str]] = {
        "overdue": (sum(one.topic == "renewal" and one.group == "overdue" for one in at_large), ";0;0"),
        "suspended": (sum(one.state == State.CRITICAL for one in of_status), ";0;0"),
        "other_status": (sum(one.state == State.WARNING for one in of_status), "0;;0"),
        "missing": (sum(one.topic == "presence" for one in at_large), ";0;0"),
        "set_aside": (len(concerns) - len(at_large), ";;0"),
        "numbers": (total or 0, ";;0"),
    }
    parts = [] if next_lost is None else [f"'days'={next_lost[0]};{soon.edge};{urgent.edge}"]
    if total is not None:
        parts += [f"'{name}'={count};{limits}" for name, (count, limits) in counts.items()]
    if age is not None:
        parts.append(f"'age'={age}s;;;0")
    return " ".join(parts)


def _fine(total: int, renewing: int, next_lost: tuple[int, str] | None, age: int | None) -> str:
    """What is said when all is well; so many of all numbers have auto-renewal and a known day."""
    lost = "all renew by themselves"
    if renewing < total:
        verb = "renews by itself" if renewing == 1 else "renew by themselves"
        lost = f"{renewing} of them {verb}, the others are meant to go, acknowledged, or without a renewal day"
    if next_lost is not None:
        lost = " ".join(filter(None, ("the next without auto-renewal:", next_lost[1], _when(next_lost[0]))))
    return BETWEEN.join((counted(total), lost, f"list read {span(timedelta(seconds=age or 0))} ago"))
