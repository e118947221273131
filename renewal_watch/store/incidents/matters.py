"""Matters: what was found and still holds, and what hides or answers it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import and_, exists, func, literal_column, or_, select

from renewal_watch.alerts import facts_json
from renewal_watch.database.instants import write_instant
from renewal_watch.database.schema import alerts, environments, flaps, lapses, matters, numbers
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.model.alerts import Acknowledgement, Flap, Key, Matter, Severity, Suppressor
from renewal_watch.model.facts import Facts, Written
from renewal_watch.model.policy import Silence
from renewal_watch.model.tracking import Known
from renewal_watch.notify import matters as notify_matters
from renewal_watch.notify import routing, suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.values import duration
from renewal_watch.store.environments import environment_state
from renewal_watch.store.numbers import number_ids

_MATTER = (  # the columns of a matter, in the order in which they are written
    "environment_id",
    "number_id",
    "topic",
    "alert_id",
    "kind",
    "severity",
    "rank",
    "opened_at",
    "told_at",
    "reminded",
    "hidden",
    "hider",
    "acked_at",
    "acked_by",
    "acked_rank",
    "urgent_at",
    "escalated_at",
)


def matters_of(tx: Transaction, number: Known | None = None, of: Collection[str] | None = None) -> dict[Key, Matter]:
    """Everything that was found and still holds, or what of it is about one number, or some environments."""
    return _matters(tx, *([] if number is None else [matters.c.number_id == number.pk]), of=of)


def due_matters(tx: Transaction, active: Sequence[Silence], way: Routing, now: datetime) -> dict[Key, Matter]:
    """The few of all matters that time may have made due, or that nothing hides any more; see ``routing``.

    A number that is missing is told as missing: what else is about it waits.
    """
    gone = matters.alias()
    is_waiting = exists().where(
        matters.c.topic != "presence",
        gone.c.topic == "presence",
        gone.c.environment_id == matters.c.environment_id,
        gone.c.number_id == matters.c.number_id,
    )
    lapses_still = and_(
        matters.c.hider == suppression.LAPSE,
        matters.c.kind.in_(suppression.LAPSING),
        exists().where(lapses.c.number_id == matters.c.number_id),
    )
    hiders = tx.connection.execute(select(matters.c.hider).where(matters.c.hider.is_not(None)).distinct())
    ended = [hider for hider in hiders.scalars() if not notify_matters.still_hides(Suppressor(hider), active, way.mark)]
    is_open = and_(matters.c.hider.is_(None), matters.c.acked_at.is_(None))
    ways = [and_(is_open, matters.c.told_at.is_(None)), and_(matters.c.hider.in_(ended), ~lapses_still)]
    for severity in Severity:
        interval = way.reminders.interval(severity)
        if interval is not None:
            is_old = and_(matters.c.told_at <= now - interval, matters.c.reminded < way.reminders.max_times)
            if severity == Severity.critical:
                is_old = or_(is_old, matters.c.told_at <= now - max(interval, routing.WEEKLY))
            ways.append(and_(is_open, matters.c.severity == int(severity), is_old))
    if way.escalates:
        is_old = matters.c.urgent_at <= now - duration(way.escalation.after)
        ways.append(and_(is_open, matters.c.escalated_at.is_(None), is_old))
    return _matters(tx, or_(*ways), ~is_waiting)


def _matters(tx: Transaction, *conditions: Any, of: Collection[str] | None = None) -> dict[Key, Matter]:
    found = {}
    for row in _by_key(tx, matters, *conditions, of=of, first=(matters.c.opened_at, matters.c.alert_id)):
        ack = None
        if row.acked_at is not None:
            ack = Acknowledgement(at=row.acked_at, by=row.acked_by, rank=row.acked_rank)
        found[_key(row)] = Matter(
            alert_id=row.alert_id,
            kind=row.kind,
            severity=Severity(row.severity),
            rank=row.rank,
            opened_at=row.opened_at,
            told_at=row.told_at,
            reminded=row.reminded,
            hidden=row.hidden,
            hider=None if row.hider is None else Suppressor(row.hider),
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
    """How many matters are neither acknowledged nor hidden, by severity."""
    query = (
        select(matters.c.severity, func.count())
        .where(matters.c.acked_at.is_(None), matters.c.hidden.is_(None))
        .group_by(matters.c.severity)
    )
    return {Severity(severity): count for severity, count in tx.connection.execute(query)}


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


def keep_matters(tx: Transaction, those: Mapping[Key, Matter | None]) -> None:
    """Write matters as they are now; None for those that are over."""
    ids = _ids(tx, those)
    over = ((*ids[key], key.topic) for key, matter in those.items() if matter is None and key in ids)
    tx.drop(matters, ("environment_id", "number_id", "topic"), over)
    rows = []
    for key, one in those.items():
        if one is None or key not in ids:
            continue
        ack = one.ack
        rows.append(
            (
                *ids[key],
                key.topic,
                one.alert_id,
                one.kind,
                int(one.severity),
                one.rank,
                _text(one.opened_at),
                _text(one.told_at),
                one.reminded,
                one.hidden,
                one.hider,
                _text(ack.at if ack else None),
                ack.by if ack else None,
                ack.rank if ack else None,
                _text(one.urgent_at),
                _text(one.escalated_at),
            )
        )
    tx.put(matters, _MATTER, rows, clash="replace")


def close_matters(tx: Transaction, those: Sequence[Key]) -> None:
    """These are over, and no alert says so."""
    if those:
        keep_matters(tx, dict.fromkeys(those))


def review_matters(tx: Transaction, environment_id: int, changed: Sequence[int]) -> None:
    """Numbers that changed may not be what a silence or rule is about any more: the next turn looks at them anew."""
    query = "SELECT number_id FROM matters WHERE environment_id = ? AND hider IS NOT NULL AND hider <> 'flapping'"
    hidden = {row[0] for row in tx.rows(query, (environment_id,)).fetchall()}
    tx.many(
        "UPDATE matters SET hider = 'changed' WHERE number_id = ? AND hider IS NOT NULL AND hider <> 'flapping'",
        ((pk,) for pk in hidden.intersection(changed)),
    )


def keep_flaps(tx: Transaction, those: Mapping[Key, Flap | None]) -> None:
    """Write what changed of late; None for what has settled."""
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
    environment_ids = {
        name: environment_state(tx, name)[0] if name else 0 for name in {key.environment for key in keys}
    }
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
        msg = f"alert {alert_id} is not in the database any more"
        found[alert_id] = (Written(msg, msg), datetime.fromtimestamp(0, UTC))
    return found


def key_of_alert(tx: Transaction, alert_id: int) -> tuple[Key, Matter] | None:
    """The open matter that an alert is about, None when it is over or there is no such alert."""
    row = tx.connection.execute(
        select(alerts.c.topic, environments.c.name.label("environment"), numbers.c.provider_id)
        .outerjoin(environments, environments.c.id == alerts.c.environment_id)
        .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
        .where(alerts.c.id == alert_id)
    ).one_or_none()
    if row is None:
        return None
    key = Key(row.environment or "", row.provider_id or "", row.topic or "")
    matter = matters_of(tx, of=[key.environment]).get(key)
    return None if matter is None else (key, matter)


def acknowledge_matters(tx: Transaction, those: Mapping[Key, Matter], by: str, now: datetime) -> None:
    """Somebody looks after these matters: no reminders until they get worse, or end."""
    keep_matters(tx, {key: replace(one, ack=Acknowledgement(now, by, one.rank)) for key, one in those.items()})


def take_back_acknowledgements(tx: Transaction, those: Mapping[Key, Matter], now: datetime) -> None:
    """Nobody looks after them after all: the times until they are told again, and to others, begin anew."""
    keep_matters(
        tx,
        {
            key: replace(one, ack=None, told_at=one.told_at and now, urgent_at=one.urgent_at and now)
            for key, one in those.items()
        },
    )


def _key(row: Any) -> Key:
    return Key(row.environment or "", row.provider_id or "", row.topic)


def _times(flap: Flap) -> str:
    return msgspec.json.encode([write_instant(at) for at in flap.times]).decode()


def _text(at: datetime | None) -> str | None:
    return None if at is None else write_instant(at)
