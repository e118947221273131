"""Incidents: what was found and still holds, and what hides or answers it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, case, exists, func, literal_column, or_, select

from renewal_watch.alerts import reasons
from renewal_watch.alerts.facts import facts_json
from renewal_watch.alerts.facts.service_facts import Forgotten
from renewal_watch.database.instants import write_instant
from renewal_watch.database.schema import alerts, environments, flaps, incidents, lapses, numbers
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.model.alerts import Acknowledgement, Flap, Incident, Key, Severity, Suppressor
from renewal_watch.model.facts import Facts, Written
from renewal_watch.model.policy import Silence
from renewal_watch.model.tracking import Known
from renewal_watch.notify import incidents as notify_incidents
from renewal_watch.notify import routing, suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.values import duration
from renewal_watch.store.environments import id_of_environment
from renewal_watch.store.numbers import number_ids
from renewal_watch.store.selections import FOLDED, LAPSED, OPEN

_INCIDENT = (  # the columns of an incident, in the order in which they are written
    *("id", "name", "environment_id", "number_id", "topic", "alert_id", "kind", "severity", "rank", "opened_at"),
    *(
        "resolved_at",
        "notified_at",
        "reminded",
        "suppressed",
        "reason",
        "suppressor",
        "acked_at",
        "acked_by",
        "acked_rank",
    ),
    *("acked_until", "urgent_at", "escalated_at"),
)


def incidents_of(
    tx: Transaction, number: Known | None = None, of: Collection[str] | None = None
) -> dict[Key, Incident]:
    """Everything that was found and still holds, or what of it is about one number, or some environments."""
    return open_incidents(tx, *([] if number is None else [incidents.c.number_id == number.pk]), of=of)


def due_incidents(tx: Transaction, active: Sequence[Silence], way: Routing, now: datetime) -> dict[Key, Incident]:
    """The few of all incidents that time may have made due, or that nothing hides any more; see ``routing``.

    What is folded into a missing number waits.
    """
    lapses_still = and_(
        incidents.c.suppressor == suppression.LAPSE,
        incidents.c.kind.in_(suppression.LAPSING),
        exists().where(lapses.c.number_id == incidents.c.number_id),
    )
    suppressors = tx.connection.execute(
        select(incidents.c.suppressor).where(OPEN, incidents.c.suppressor.is_not(None)).distinct()
    )
    ended = [
        one for one in suppressors.scalars() if not notify_incidents.still_hides(Suppressor(one), active, way.mark)
    ]
    is_open = and_(incidents.c.suppressor.is_(None), incidents.c.acked_at.is_(None))
    ways = [and_(is_open, incidents.c.notified_at.is_(None)), and_(incidents.c.suppressor.in_(ended), ~lapses_still)]
    ways.append(and_(incidents.c.acked_until <= now, incidents.c.acked_until > incidents.c.acked_at))
    for severity in Severity:
        interval = way.reminders.interval(severity)
        if interval is not None:
            is_old = and_(incidents.c.notified_at <= now - interval, incidents.c.reminded < way.reminders.max_times)
            if severity == Severity.critical:
                is_old = or_(is_old, incidents.c.notified_at <= now - max(interval, routing.WEEKLY))
            ways.append(and_(is_open, incidents.c.severity == int(severity), is_old))
    if way.escalates:
        is_old = incidents.c.urgent_at <= now - duration(way.escalation.after)
        ways.append(and_(is_open, incidents.c.escalated_at.is_(None), is_old))
    return open_incidents(tx, or_(*ways), ~FOLDED)


def open_incidents(
    tx: Transaction, *conditions: ColumnElement[bool], of: Collection[str] | None = None
) -> dict[Key, Incident]:
    """What holds and fits all conditions, on the tables of incidents, environments and numbers; the oldest first."""
    found = {}
    for row in _by_key(tx, incidents, OPEN, *conditions, of=of, first=(incidents.c.opened_at, incidents.c.alert_id)):
        ack = None
        if row.acked_at is not None:
            until = (
                row.acked_until if row.acked_until and row.acked_until > row.acked_at else None
            )  # of another release
            ack = Acknowledgement(at=row.acked_at, by=row.acked_by, rank=row.acked_rank, until=until)
        found[_key(row)] = Incident(
            id=row.id,
            name=row.name,
            alert_id=row.alert_id,
            kind=row.kind,
            severity=Severity(row.severity),
            rank=row.rank,
            opened_at=row.opened_at,
            notified_at=row.notified_at,
            reminded=row.reminded,
            suppressed=reasons.read(row.suppressed, row.reason),
            suppressor=None if row.suppressor is None else Suppressor(row.suppressor),
            ack=ack,
            urgent_at=row.urgent_at,
            escalated_at=row.escalated_at,
        )
    return found


def flaps_of(tx: Transaction, of: Collection[str] | None = None, until: datetime | None = None) -> dict[Key, Flap]:
    """What changed of late, or of it what is about some environments, or did not change after ``until``."""
    last = "times ->> -1" if tx.is_postgresql else "json_extract(times, '$[' || (json_array_length(times) - 1) || ']')"
    is_quiet = [] if until is None else [literal_column(last) <= write_instant(until)]
    return {
        _key(row): Flap(tuple(datetime.fromisoformat(at) for at in row.times), row.since, Severity(row.worst))
        for row in _by_key(tx, flaps, *is_quiet, of=of)
    }


def unanswered(tx: Transaction) -> dict[Severity, int]:
    """How many incidents are neither acknowledged nor hidden, by severity."""
    query = (
        select(incidents.c.severity, func.count())
        .where(OPEN, ~FOLDED, incidents.c.acked_at.is_(None), incidents.c.suppressed.is_(None), ~LAPSED)
        .group_by(incidents.c.severity)
    )
    return {Severity(severity): count for severity, count in tx.connection.execute(query)}


def incident_counts(tx: Transaction, names: Collection[str]) -> list[tuple[str, str, Severity, str, int]]:
    """Environment ("" for none), kind, severity, ``open``, ``acknowledged`` or ``hidden``, and how many are so."""
    by_people = or_(*(incidents.c.suppressor.like(f"{by}%") for by in ("lapse", "silence:", "rule:")))
    state = case((incidents.c.acked_at.is_not(None), "acknowledged"), (by_people, "hidden"), else_="open")
    columns = (environments.c.name, incidents.c.kind, incidents.c.severity, state)
    query = select(*columns, func.count()).outerjoin(environments, environments.c.id == incidents.c.environment_id)
    query = query.where(OPEN, ~FOLDED, or_(incidents.c.environment_id == 0, environments.c.name.in_(names))).group_by(
        *columns
    )
    return [(name or "", kind, Severity(worst), said, n) for name, kind, worst, said, n in tx.connection.execute(query)]


def _by_key(
    tx: Transaction, table: Any, *conditions: Any, of: Collection[str] | None = None, first: Sequence[Any] = ()
) -> Any:
    """The rows of a table by model.Key, with the names that its ids stand for; in the order of ``first``, then of ids."""
    query = (
        select(table, environments.c.name.label("environment"), numbers.c.provider_id)
        .outerjoin(environments, environments.c.id == table.c.environment_id)
        .outerjoin(numbers, numbers.c.id == table.c.number_id)
        .where(*conditions)
        .order_by(*first, table.c.environment_id, table.c.number_id, table.c.topic)
    )
    if of is not None:
        query = query.where(table.c.environment_id.in_(_places(tx, of)))
    return tx.connection.execute(query).all()


def _places(tx: Transaction, names: Collection[str]) -> list[int]:
    """The ids of environments; 0 for the watch itself."""
    query = select(environments.c.id).where(environments.c.name.in_(names))
    return [*([0] if "" in names else []), *tx.connection.execute(query).scalars()]


def keep_incidents(
    tx: Transaction,
    those: Mapping[Key, Incident | None],
    now: datetime,
    before: Mapping[Key, Incident] | None = None,
    brief: Sequence[tuple[Key, Incident]] = (),
) -> None:
    """Write incidents as they are now; None for those that are resolved.

    ``before`` are the open ones that another may have taken the place of in the same batch, ``brief`` those that opened and
    ended in it.
    """
    ids = _ids(tx, [*those, *(key for key, _ in brief)])
    resolved = [(write_instant(now), *ids[key], key.topic) for key, one in those.items() if one is None and key in ids]
    if before:
        again = ((key, one) for key, one in those.items() if one is not None and key in before)
        resolved += [(write_instant(now), *ids[key], key.topic) for key, one in again if one.id != before[key].id]
    if resolved:
        tx.many(_RESOLVE, resolved)
    standing = ((key, one, None) for key, one in those.items() if one is not None)
    ended = ((key, one, now) for key, one in brief)
    rows = [_row(ids[key], key, one, resolved_at) for key, one, resolved_at in chain(standing, ended) if key in ids]
    tx.put(incidents, _INCIDENT, rows, clash="replace")


def _row(ids: tuple[int, int], key: Key, one: Incident, resolved_at: datetime | None) -> tuple[Any, ...]:
    """An incident in the order of ``_INCIDENT``."""
    ack = one.ack
    return (
        one.id,
        one.name,
        *ids,
        key.topic,
        one.alert_id,
        one.kind,
        int(one.severity),
        one.rank,
        _text(one.opened_at),
        _text(resolved_at),
        _text(one.notified_at),
        one.reminded,
        *reasons.kept(one.suppressed),
        one.suppressor,
        *((_text(ack.at), ack.by, ack.rank, _text(ack.until)) if ack else (None, None, None, None)),
        _text(one.urgent_at),
        _text(one.escalated_at),
    )


_RESOLVE = """UPDATE incidents SET resolved_at = ?
    WHERE environment_id = ? AND number_id = ? AND topic = ? AND resolved_at IS NULL"""


def close_incidents(tx: Transaction, those: Sequence[Key], now: datetime) -> None:
    """These are resolved, and no alert says so."""
    if those:
        keep_incidents(tx, dict.fromkeys(those), now)


def review_incidents(tx: Transaction, environment_id: int, changed: Sequence[int]) -> None:
    """Numbers that changed may not be what a silence or rule is about any more: the next turn looks at them anew."""
    query = f"SELECT number_id FROM incidents WHERE environment_id = ? AND {_DOUBTFUL}"  # noqa: S608 (own words)
    suppressed = {row[0] for row in tx.rows(query, (environment_id,)).fetchall()}
    tx.many(
        f"UPDATE incidents SET suppressor = 'changed' WHERE number_id = ? AND {_DOUBTFUL}",  # noqa: S608
        ((pk,) for pk in suppressed.intersection(changed)),
    )


_DOUBTFUL = "resolved_at IS NULL AND suppressor IS NOT NULL AND suppressor <> 'flapping'"


def keep_flaps(tx: Transaction, those: Mapping[Key, Flap | None]) -> None:
    """Write what changed of late; None for what has settled."""
    if not those:
        return
    ids = _ids(tx, those)
    over = ((*ids[key], key.topic) for key, flap in those.items() if flap is None)
    tx.drop(flaps, ("environment_id", "number_id", "topic"), over)
    kept = (
        (*ids[key], key.topic, _times(flap), _text(flap.since), int(flap.worst))
        for key, flap in those.items()
        if flap is not None
    )
    tx.put(flaps, ("environment_id", "number_id", "topic", "times", "since", "worst"), kept, clash="replace")


def _ids(tx: Transaction, keys: Iterable[Key]) -> dict[Key, tuple[int, int]]:
    """Environment and number of each key as the ids that stand for them; 0 for none, nothing for one unknown."""
    keys = list(keys)
    environment_ids = {name: id_of_environment(tx, name) if name else 0 for name in {key.environment for key in keys}}
    numbered = number_ids(tx, {(key.environment, key.number_id) for key in keys if key.number_id})
    return {
        key: (environment_ids[key.environment], numbered[key.environment, key.number_id] if key.number_id else 0)
        for key in keys
        if not key.number_id or (key.environment, key.number_id) in numbered
    }


def facts_of_alerts(tx: Transaction, ids: Iterable[int]) -> dict[int, tuple[Facts, datetime]]:
    """Facts and time of alerts: the words of one that an older release found; that it is gone, of one that was pruned."""
    ids = list(ids)
    found: dict[int, tuple[Facts, datetime]] = {}
    for chunk in chunks(ids):
        query = select(alerts.c.id, alerts.c.headline, alerts.c.text, alerts.c.created_at, alerts.c.facts)
        for row in tx.connection.execute(query.where(alerts.c.id.in_(chunk))):
            found[row.id] = (facts_json.decode(row.facts) or Written(row.headline, row.text), row.created_at)
    for alert_id in set(ids) - found.keys():
        found[alert_id] = (Forgotten(alert_id), datetime.fromtimestamp(0, UTC))
    return found


def key_of_alert(tx: Transaction, alert_id: int) -> tuple[Key, Incident] | None:
    """The open incident that an alert is about, None when it is resolved or there is no such alert."""
    is_its = incidents.c.id.in_(select(alerts.c.incident_id).where(alerts.c.id == alert_id))
    return next(iter(open_incidents(tx, is_its).items()), None)


def acknowledge_incidents(
    tx: Transaction, those: Mapping[Key, Incident], by: str, now: datetime, until: datetime | None = None
) -> None:
    """Somebody looks after these incidents: no reminders until they get worse, end, or until then."""
    acked = {key: replace(one, ack=Acknowledgement(now, by, one.rank, until)) for key, one in those.items()}
    keep_incidents(tx, acked, now)


def take_back_acknowledgements(tx: Transaction, those: Mapping[Key, Incident], now: datetime) -> None:
    """Nobody looks after them after all: the times until they are told again, and to others, begin anew."""
    keep_incidents(
        tx,
        {
            key: replace(one, ack=None, notified_at=one.notified_at and now, urgent_at=one.urgent_at and now)
            for key, one in those.items()
        },
        now,
    )


def _key(row: Any) -> Key:
    return Key(row.environment or "", row.provider_id or "", row.topic)


def _times(flap: Flap) -> str:
    return msgspec.json.encode([write_instant(at) for at in flap.times]).decode()


def _text(at: datetime | None) -> str | None:
    return None if at is None else write_instant(at)
