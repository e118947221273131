"""Alerts: written once by their key, with their deliveries; and read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select

from renewal_watch.alerts import reasons
from renewal_watch.alerts.around import UsedBy, has_been_said
from renewal_watch.alerts.facts import facts_json
from renewal_watch.alerts.phrases import in_zone
from renewal_watch.database.instants import write_instant
from renewal_watch.database.schema import alerts, deliveries, delivery_alerts, environments, incidents
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.language import in_language
from renewal_watch.model.alerts import Alert, Incident, Key, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.tracking import Known
from renewal_watch.notify.incidents import is_kept
from renewal_watch.notify.plan import plan
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Decision
from renewal_watch.store.environments import id_of_environment
from renewal_watch.store.incidents.account import users_of
from renewal_watch.store.incidents.incidents import flaps_of, keep_flaps, keep_incidents
from renewal_watch.store.incidents.situation import situation_of
from renewal_watch.store.numbers import number_ids, numbers_by_id
from renewal_watch.store.outbox.deliveries import (
    ALERTS,
    AT_ONCE,
    alert_of,
    place_of,
    put_each_in_outbox,
    put_in_outbox,
    reason_of,
)
from renewal_watch.store.selections import called, fits_kind

_ALERT = (  # the columns of a new alert, in the order in which they are written
    "id",
    "environment_id",
    "number_id",
    "kind",
    "mark",
    "severity",
    "days_left",
    "headline",
    "text",
    "created_at",
    "topic",
    "incident_id",
    "facts",
    "around",
)


def record_alerts(tx: Transaction, found: Sequence[Alert], routing: Routing, now: datetime) -> int:
    """Write alerts, and one delivery for each channel that is told of any of them; a known key is left out.

    Returns how many alerts are new.
    """
    with in_zone(routing.zone), in_language("en"):
        return _record(tx, found, routing, now)


def _record(tx: Transaction, found: Sequence[Alert], routing: Routing, now: datetime) -> int:
    if not found:
        return 0
    of = {alert.environment for alert in found}
    situation = situation_of(tx, now, of)
    new_ids = _new_incident_ids(tx, found)
    about = _about(found, situation.incidents, new_ids, routing)
    fresh = _write_alerts(tx, found, about, now)
    if not fresh:
        return 0
    situation = replace(situation, flaps=flaps_of(tx, of))
    ending = {alert.place for _, alert in fresh if alert.ends and alert.place in situation.incidents}
    if ending and any(channel.is_choosy for channel in routing.channels):
        situation = replace(situation, told=_told(tx, {key: situation.incidents[key] for key in ending}))
    made = plan(fresh, routing, situation, now, new_ids)
    made.decisions = _with_users(tx, made.decisions)
    judged = dict(fresh)
    tx.change(
        alerts,
        ("severity", "text", "around", "hidden", "reason", "incident_id"),
        "id",
        (
            (
                *(int(one.alert.severity), one.alert.text, facts_json.encode_around(one.alert.around)),
                *(*reasons.kept(one.hidden), one.incident_id or None, one.alert_id),
            )
            for one in made.decisions
            if one.hidden or one.alert is not judged[one.alert_id] or one.incident_id != about.get(one.alert.key, 0)
        ),
    )
    told: dict[str, list[Decision]] = {}
    for one in made.decisions:
        for name in one.channels:
            told.setdefault(name, []).append(one)
    for name, those in told.items():
        channel = routing.named(name)
        if channel is not None and channel.is_hook:
            put_each_in_outbox(tx, name, those, now)
            continue
        put_in_outbox(
            tx,
            name,
            [one.alert_id for one in those],
            max(one.alert.severity for one in those),
            now,
            at_once=any(one.alert.kind in AT_ONCE for one in those),
            routine=all(_is_routine(one) for one in those),
        )
    keep_incidents(tx, made.incidents, now, situation.incidents, made.brief)
    keep_flaps(tx, made.flaps)
    return len(fresh) + _record(tx, made.more, routing, now)


def _is_routine(one: Decision) -> bool:
    """Whether an alert needs nobody and ends nothing that somebody was told of."""
    is_end = one.alert.ends and one.incident_id != 0
    return one.alert.severity == Severity.info and not is_end and one.alert.channels is None


def _new_incident_ids(tx: Transaction, found: Sequence[Alert]) -> dict[str, int]:
    """By the keys of alerts, an id for the incident that each may open."""
    may_open = [alert.key for alert in found if alert.topic and not alert.ends]
    return dict(zip(may_open, tx.new_ids(incidents, len(may_open)), strict=True))


def _about(
    found: Sequence[Alert], known: Mapping[Key, Incident], fresh: Mapping[str, int], routing: Routing
) -> dict[str, int]:
    """By the keys of alerts, the incident that each is about, as far as can be foretold: few rows are corrected then."""
    about: dict[str, int] = {}
    open_now: dict[Key, int] = {}
    for alert in found:
        if not alert.topic:
            continue
        place = alert.place
        old = known.get(place)
        pk = open_now.get(place, old.id if old else 0)
        if alert.ends:
            open_now[place] = 0
        elif not pk and is_kept(alert, None, None, routing):
            pk = open_now[place] = fresh[alert.key]
        if pk:
            about[alert.key] = pk
    return about


def told_of_alert(tx: Transaction, kind: str, key: Key, since: datetime) -> frozenset[str]:
    """The channels that were told of a kind of alert about a number, or an environment, since then."""
    number_id = number_ids(tx, {(key.environment, key.number_id)}).get((key.environment, key.number_id), 0)
    query = (
        select(deliveries.c.channel)
        .join(delivery_alerts, delivery_alerts.c.delivery_id == deliveries.c.id)
        .join(alerts, alerts.c.id == delivery_alerts.c.alert_id)
        .where(
            alerts.c.environment_id == (id_of_environment(tx, key.environment) if key.environment else 0),
            alerts.c.number_id == number_id,
            alerts.c.kind == kind,
            alerts.c.created_at >= since,
        )
    )
    return frozenset(tx.connection.execute(query).scalars())


def _told(tx: Transaction, those: Mapping[Key, Incident]) -> dict[Key, frozenset[str]]:
    """The channels that were notified of these incidents."""
    found: dict[Key, set[str]] = {}
    keys = {one.id: key for key, one in those.items()}
    numbered = number_ids(tx, {(key.environment, key.number_id) for key in those if key.number_id})
    for chunk in chunks(sorted({numbered.get((key.environment, key.number_id), 0) for key in those})):
        query = (
            select(alerts.c.incident_id, deliveries.c.channel)
            .join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
            .join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
            .where(
                alerts.c.number_id.in_(chunk), alerts.c.incident_id.is_not(None)
            )  # by the number, which has an index
            .distinct()
        )
        for pk, channel in tx.connection.execute(query):
            if pk in keys:
                found.setdefault(keys[pk], set()).add(channel)
    return {key: frozenset(channels) for key, channels in found.items()}


def _with_users(tx: Transaction, decisions: list[Decision]) -> list[Decision]:
    """The same, what is not mere information with the agents that use the number."""
    urgent = {
        (one.alert.environment, one.alert.number_id)
        for one in decisions
        if one.alert.number_id and one.alert.severity >= Severity.warning
    }
    users = users_of(tx, urgent) if urgent else {}
    return [
        one._replace(alert=replace(one.alert, around=(UsedBy(tuple(names)), *one.alert.around)))
        if one.alert.severity >= Severity.warning
        and not has_been_said(one.alert, UsedBy)
        and (names := users.get((one.alert.environment, one.alert.number_id or ""), ()))
        else one
        for one in decisions
    ]


def _write_alerts(
    tx: Transaction, found: Sequence[Alert], about: Mapping[str, int], now: datetime
) -> list[tuple[int, Alert]]:
    """The alerts whose keys are new, with their ids."""
    environment_ids = {
        name: id_of_environment(tx, name) if name else 0 for name in {alert.environment for alert in found}
    }
    numbered = number_ids(tx, {(one.environment, one.number_id) for one in found if one.number_id is not None})
    ids = tx.new_ids(alerts, len(found))
    at = write_instant(now)

    def row(alert_id: int, alert: Alert) -> tuple[Any, ...]:
        number_id = numbered.get((alert.environment, alert.number_id or ""), 0)
        place = (environment_ids[alert.environment], number_id, alert.kind, _mark(alert, known=number_id > 0))
        facts = None if isinstance(alert.facts, Written) else facts_json.encode(alert.facts)
        around = None if facts is None else facts_json.encode_around(alert.around)
        words = (*alert.words, at, alert.topic or None, about.get(alert.key), facts, around)
        return (alert_id, *place, int(alert.severity), alert.days_left, *words)

    tx.put(alerts, _ALERT, map(row, ids, found), clash="keep")
    query = select(alerts.c.id).where(alerts.c.id >= ids[0], alerts.c.id <= ids[-1])
    written = set(tx.connection.execute(query).scalars())
    return [(alert_id, alert) for alert_id, alert in zip(ids, found, strict=True) if alert_id in written]


def has_alert(tx: Transaction, environment_id: int, kind: str, mark: str) -> bool:
    """Whether an alert about no number was written, by the end of its key."""
    query = select(alerts.c.id).where(
        alerts.c.number_id == 0, alerts.c.kind == kind, alerts.c.mark == mark, alerts.c.environment_id == environment_id
    )
    return tx.connection.execute(query).first() is not None


def sent_at_of(tx: Transaction, kind: str, channel: str, since: datetime) -> datetime | None:
    """When an alert of ``kind`` found since then was delivered on ``channel``, None if it was not."""
    query = (
        select(func.max(deliveries.c.sent_at, type_=deliveries.c.sent_at.type))
        .join(delivery_alerts, delivery_alerts.c.delivery_id == deliveries.c.id)
        .join(alerts, alerts.c.id == delivery_alerts.c.alert_id)
        .where(alerts.c.kind == kind, alerts.c.created_at >= since, deliveries.c.channel == channel)
    )
    found: datetime | None = tx.connection.execute(query).scalar_one()
    return found


def alerts_since(tx: Transaction, alert_id: int) -> list[tuple[int, Alert, str | None]]:
    """The alerts found after one, with what hides them."""
    rows = tx.connection.execute(ALERTS.where(alerts.c.id > alert_id).order_by(alerts.c.id))
    return [(row.id, alert_of(row), reason_of(row)) for row in rows]


def with_numbers(tx: Transaction, those: Sequence[Alert]) -> tuple[Alert, ...]:
    """The alerts with the numbers that they are about, as last listed, and with the renewal day they go by."""
    ids = number_ids(tx, {(one.environment, one.number_id) for one in those if one.environment and one.number_id})
    about = numbers_by_id(tx, ids.values())
    return tuple(replace(one, about=about.get(ids.get((one.environment, one.number_id or ""), 0))) for one in those)


def list_alerts(
    tx: Transaction,
    *,
    states: Sequence[str] = (),
    kinds: Sequence[str] = (),
    environment: str = "",
    search: str = "",
    number: Known | None = None,
    severity: Severity = Severity.info,
    before: int | None = None,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """Alerts with the fate of their deliveries, newest first, as ``alerts --json`` prints them.

    ``before`` is the id of an alert: only older ones. ``severity`` is the least that is wanted, ``search`` a part of a
    number or id; a kind may end with a star.
    """
    query = ALERTS.order_by(alerts.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(alerts.c.id < before)
    if kinds:
        query = query.where(or_(*(fits_kind(alerts.c.kind, kind) for kind in kinds)))
    if search:
        query = query.where(called(search))
    if environment:
        query = query.where(environments.c.name == environment)
    if severity > Severity.info:
        query = query.where(alerts.c.severity >= int(severity))
    if number is not None:
        query = query.where(alerts.c.number_id == number.pk)
    wanted = select(delivery_alerts.c.alert_id).join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
    if states:
        query = query.where(alerts.c.id.in_(wanted.where(deliveries.c.state.in_(states))))
    rows = tx.connection.execute(query).all()
    fates: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
    joined = select(delivery_alerts.c.alert_id, deliveries).join(
        deliveries, deliveries.c.id == delivery_alerts.c.delivery_id
    )
    if number is not None or most is not None:
        joined = joined.where(delivery_alerts.c.alert_id.in_(list(fates)))
    for one in tx.connection.execute(joined.order_by(deliveries.c.id)):
        if one.alert_id in fates:
            fates[one.alert_id].append(
                {
                    "channel": one.channel,
                    "state": one.state,
                    "message_id": one.message_id,
                    "attempts": one.attempts,
                    "last_error": one.last_error,
                    "sent_at": one.sent_at,
                    "next_attempt_at": one.next_attempt_at if one.state == "pending" else None,
                    "leased_until": one.leased_until,
                }
            )
    found = []
    for row in rows:
        alert = alert_of(row)
        found.append(
            {
                "id": row.id,
                "key": alert.key,
                "kind": alert.kind,
                "severity": alert.severity.name,
                "environment": alert.environment,
                "number_id": alert.number_id,
                "number": alert.number,
                "headline": alert.headline,
                "text": alert.text,
                "hidden": reason_of(row),
                "created_at": row.created_at,
                "deliveries": fates[row.id],
            }
        )
    return found


def _mark(alert: Alert, *, known: bool) -> str:
    return alert.key.removeprefix(place_of(alert.kind, alert.environment, alert.number_id if known else None))
