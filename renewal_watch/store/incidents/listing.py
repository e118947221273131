"""Incidents as they are looked at: open ones, and those that were resolved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, and_, func, or_, select

from renewal_watch.alerts import reasons
from renewal_watch.alerts.facts import facts_json
from renewal_watch.alerts.facts.renewal_facts import Ahead
from renewal_watch.database.schema import alerts, environments, incidents, numbers
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.language import _, ngettext
from renewal_watch.model.alerts import Incident, Key, Mark, Severity
from renewal_watch.model.facts import Words, Written
from renewal_watch.model.kinds import ROWS, UNKNOWN
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.store.incidents.incidents import open_incidents
from renewal_watch.store.numbers import numbers_by_id
from renewal_watch.store.selections import AT_RISK, FOLDED, LAPSED, OPEN, among, fits_kind

State = Literal["open", "acknowledged", "suppressed", "resolved"]
STATES: tuple[State, ...] = get_args(State)
UNRESOLVED: tuple[State, ...] = ("open", "acknowledged", "suppressed")
MOST = 1000  # that are shown at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which incidents are asked for; empty means whatever.

    ``with_folded``: also what else is about a number that is missing, which its own incident stands for. ``kinds`` may end
    with a star, ``names`` are those of incidents, ``numbers`` the ids of numbers.
    """

    states: Sequence[State] = UNRESOLVED
    severities: Sequence[Severity] = ()
    kinds: Sequence[str] = ()
    environment: str = ""
    ids: Sequence[int] = ()
    names: Sequence[str] = ()
    numbers: Sequence[int] | None = None
    with_folded: bool = False


class Folded(NamedTuple):
    """What a missing number's incident stands for: its kind, and what it is in two or three words."""

    kind: str
    brief: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One incident, in the words of today. ``number`` is as dialled, else its id; None where it is about none."""

    id: int
    name: str
    state: State
    kind: str
    severity: Severity
    environment: str
    number_id: str | None
    number: str | None
    topic: str
    words: Words
    opened_at: datetime
    resolved_at: datetime | None
    notified_at: datetime | None
    notifications: int  # the reminders included
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledged_until: datetime | None
    suppressed: str | None
    alert_id: int
    folded: Sequence[Folded] = ()  # what else was found about a number that is missing


def list_incidents(tx: Transaction, today: int, wanted: Wanted, most: int | None = MOST, skip: int = 0) -> list[Listed]:
    """Incidents, most urgent first: what nobody has acknowledged, then by severity and age; resolved ones last, newest first.

    ``today`` is an ordinal; days in the words are counted from it. No more than ``most`` are given, after ``skip``.
    """
    query = (
        select(incidents, environments.c.name.label("environment"), numbers.c.provider_id, numbers.c.renews_on)
        .add_columns(numbers.c.number, alerts.c.headline, alerts.c.text, alerts.c.facts, LAPSED.label("is_lapsed"))
        .outerjoin(environments, environments.c.id == incidents.c.environment_id)
        .outerjoin(numbers, numbers.c.id == incidents.c.number_id)
        .outerjoin(alerts, alerts.c.id == incidents.c.alert_id)
        .where(*_conditions(tx, wanted))
        .order_by(incidents.c.resolved_at.desc().nulls_first())
        .order_by(incidents.c.acked_at.is_not(None), or_(incidents.c.suppressor.is_not(None), LAPSED))
        .order_by(incidents.c.severity.desc())
        .order_by(incidents.c.rank.desc(), incidents.c.opened_at, incidents.c.id)
        .limit(most)
        .offset(skip)
    )
    rows = tx.connection.execute(query).all()
    seen = numbers_by_id(tx, {row.number_id for row in rows if row.number_id and row.resolved_at is None})
    folded = _folded(tx, [row.number_id for row in rows if row.topic == "presence" and row.resolved_at is None])
    return [
        Listed(
            id=row.id,
            name=row.name,
            state=_state(row.resolved_at, row.acked_at, row.suppressor or ("lapse" if row.is_lapsed else None)),
            kind=row.kind,
            severity=Severity(row.severity),
            environment=row.environment or "",
            number_id=row.provider_id,
            number=row.number or row.provider_id,
            topic=row.topic,
            words=_words(row, seen.get(row.number_id), today),
            opened_at=row.opened_at,
            resolved_at=row.resolved_at,
            notified_at=row.notified_at,
            notifications=row.reminded + (row.notified_at is not None),
            acknowledged_at=row.acked_at,
            acknowledged_by=row.acked_by,
            acknowledged_until=row.acked_until,
            suppressed=_suppressed(row),
            alert_id=row.alert_id,
            folded=folded.get(row.number_id, ()) if row.topic == "presence" else (),
        )
        for row in rows
    ]


def _folded(tx: Transaction, ids: Sequence[int]) -> dict[int, list[Folded]]:
    """What else is open about these numbers, which are missing; by their ids."""
    found: dict[int, list[Folded]] = {}
    columns = (incidents.c.number_id, incidents.c.kind, alerts.c.facts)
    query = select(*columns).outerjoin(alerts, alerts.c.id == incidents.c.alert_id).where(OPEN, FOLDED)
    for chunk in chunks(ids):
        those = query.where(incidents.c.number_id.in_(chunk)).order_by(incidents.c.opened_at, incidents.c.id)
        for number_id, kind, text in tx.connection.execute(those):
            facts = facts_json.decode(text)
            brief = (facts and facts.brief()) or _(ROWS.get(kind, UNKNOWN).group)
            found.setdefault(number_id, []).append(Folded(kind, brief))
    return found


def marks_of(tx: Transaction, ids: Sequence[int] | None = None) -> dict[int, Mark]:
    """The numbers that need somebody, by their ids: what is open about them and more than information; of these, or all."""
    query = select(incidents.c.number_id, incidents.c.severity, incidents.c.kind).where(AT_RISK)
    found: dict[int, Mark] = {}
    for chunk in [None] if ids is None else chunks(ids):
        those = query if chunk is None else query.where(incidents.c.number_id.in_(chunk))
        for number_id, severity, kind in tx.connection.execute(those.order_by(incidents.c.opened_at, incidents.c.id)):
            before = found.get(number_id, Mark(Severity.info, ()))
            found[number_id] = Mark(max(before.severity, Severity(severity)), (*before.kinds, kind))
    return found


def wanted_incidents(tx: Transaction, wanted: Wanted) -> dict[Key, Incident]:
    """The same as they are acted on; resolved ones are never among them."""
    return open_incidents(tx, *_conditions(tx, wanted))


def count_incidents(tx: Transaction, wanted: Wanted) -> Counter[tuple[State, Severity]]:
    """How many of these incidents there are, by state and severity."""
    columns = (*(condition.label(state) for state, condition in _IN.items()), incidents.c.severity)
    query = select(*columns, func.count()).outerjoin(environments, environments.c.id == incidents.c.environment_id)
    found: Counter[tuple[State, Severity]] = Counter()
    for *flags, severity, count in tx.connection.execute(query.where(*_conditions(tx, wanted)).group_by(*columns)):
        found[STATES[[bool(flag) for flag in flags].index(True)], Severity(severity)] += count
    return found


def _conditions(tx: Transaction, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    yield or_(*(_IN[state] for state in wanted.states))
    if wanted.severities:
        yield incidents.c.severity.in_([int(one) for one in wanted.severities])
    if not wanted.with_folded:
        yield or_(incidents.c.resolved_at.is_not(None), ~FOLDED)
    if wanted.kinds:
        yield or_(*(fits_kind(incidents.c.kind, kind) for kind in wanted.kinds))
    for column, values in ((incidents.c.id, wanted.ids), (incidents.c.name, wanted.names)):
        if values:
            yield column.in_(values)
    yield from among(tx, incidents.c.number_id, wanted.numbers)
    if wanted.environment:
        yield environments.c.name == wanted.environment


_IN: dict[State, ColumnElement[bool]] = {  # in the order of ``STATES``
    "open": and_(OPEN, incidents.c.acked_at.is_(None), incidents.c.suppressor.is_(None), ~LAPSED),
    "acknowledged": and_(OPEN, incidents.c.acked_at.is_not(None)),
    "suppressed": and_(OPEN, incidents.c.acked_at.is_(None), or_(incidents.c.suppressor.is_not(None), LAPSED)),
    "resolved": incidents.c.resolved_at.is_not(None),
}


def _state(resolved_at: datetime | None, acked_at: datetime | None, suppressor: str | None) -> State:
    if resolved_at is not None:
        return "resolved"
    if acked_at is not None:
        return "acknowledged"
    return "open" if suppressor is None else "suppressed"


def _suppressed(row: Any) -> str | None:
    """Why nobody is notified now."""
    is_lapsing = row.is_lapsed and row.resolved_at is None
    why = reasons.read(row.suppressed, row.reason) or (reasons.MeantToExpire() if is_lapsing else None)
    return None if why is None else why.words()


def _words(row: Any, number: PhoneNumber | None, today: int) -> Words:
    """What is said of it: while it is open of its facts as they are today, else as they were; in old words without facts."""
    facts = facts_json.decode(row.facts) or Written(row.headline or "", row.text or row.headline or "")
    if row.resolved_at is not None:
        return facts.words()
    left = None if row.renews_on is None else row.renews_on - today
    if left is not None and left < 0 and isinstance(facts, Ahead):
        return (
            ngettext(
                "{name} had its renewal day {count} day ago",
                "{name} had its renewal day {count} days ago",
                -left,
                name=facts.name,
            ),
            ngettext(
                "{place} had its renewal day {count} day ago; no list since shows what came of it.",
                "{place} had its renewal day {count} days ago; no list since shows what came of it.",
                -left,
                place=facts.place,
            ),
        )
    return (facts_json.today(facts, number, row.environment or "", left, row.renews_on) or facts).words()
