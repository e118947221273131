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

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from renewal_watch.alerts.phrases import days
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import numbers as detect_numbers
from renewal_watch.detect import turn
from renewal_watch.diagnostics.health import Finding
from renewal_watch.diagnostics.nagios_thresholds import BETWEEN, Threshold, when
from renewal_watch.model.alerts import Key, Severity
from renewal_watch.model.kinds import ROWS
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.tracking import Watch
from renewal_watch.notify import suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
from renewal_watch.store.numbers import number_ids, numbers_by_id
from renewal_watch.store.watched import Number
from renewal_watch.text import plain

SERVICE = "RENEWAL"
NAMED = 2  # numbers named in the line for each group
LISTED = 200  # numbers listed with -v
LONGEST = 700  # characters of the line before the performance data; NRPE of old cuts the whole at 1,024
LAPSING = "meant to expire"
SOON = "without auto-renewal"  # the group of numbers that are lost on their day
_MARKS = str.maketrans({"|": "¦", ";": ","})  # the bar begins the performance data, and Nagios shows ";" as ":"


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
        return f"acknowledged: {said}: {self.aside}" if self.aside else f"{self.state.name}: {said}"


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


def judge(
    those: Iterable[Number],
    severities: Mapping[Key, Severity],
    on_day: int,
    soon: Threshold,
    urgent: Threshold,
    name: Callable[[Number], str],
) -> Iterator[Concern]:
    """What numbers demand. ``severities`` are those of the open incidents, which say how bad it is that one is missing."""
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
            is_lost = detect_numbers.status_severity(one.status) == Severity.critical
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
            yield Concern(state, SOON, *about, kind, "renewal", name(one), when(left), meant)


def of_lists(watches: Iterable[Watch]) -> Iterator[Concern]:
    """What is the matter with lists as a whole: what is not in them is not judged."""
    for one in watches:
        if one.shrunk_at is not None:
            detail = "lost so many numbers at once that the list is in doubt"
            yield Concern(State.CRITICAL, "", one.name, "", "watch.list_shrunk", "list", one.name, detail)
        for kind, flaw in one.flaws.items():
            alert = turn.FLAW_KINDS.get(kind, "data.invalid")
            yield Concern(State.WARNING, "", one.name, "", alert, ROWS[alert].topic, f"{one.name}:", flaw.text)


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
    said += [f"acknowledged: {', '.join(f'{count} {word}' for word, count in sorted(aside.items()))}"] if aside else []
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


def set_aside(found: Sequence[Concern], tx: Transaction, way: Routing, situation: Situation) -> list[Concern]:
    """The concerns with who knows of each, or what hides it."""
    about: Mapping[tuple[str, str], PhoneNumber] = {}
    if situation.silences or any(rule.mute for rule in way.rules):
        ids = number_ids(tx, {(one.environment, one.provider_id) for one in found if one.provider_id})
        parsed = numbers_by_id(tx, ids.values())
        about = {place: parsed[pk] for place, pk in ids.items() if pk in parsed}
    return [
        one
        if one.aside
        else one._replace(aside=_known(one, about.get((one.environment, one.provider_id)), way, situation))
        for one in found
    ]


def _known(one: Concern, number: PhoneNumber | None, way: Routing, situation: Situation) -> str:
    """Who acknowledged it, or what hides alerts about it; empty if nobody knows."""
    incident = situation.incidents.get(Key(one.environment, one.provider_id, one.topic))
    if incident is not None and incident.ack is not None:
        return f"acknowledged by {plain(incident.ack.by)}"
    if one.provider_id and number is None:  # nothing could hide it
        return ""
    seen = way.seen(one.environment, number)
    hidden = suppression.suppressed(one.kind, seen, way.said(seen), situation, mark=way.mark)
    return plain(hidden.why.words()) if hidden else ""
