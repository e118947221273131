"""Deliveries: put in, and claimed to be sent."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, insert, not_, or_, select, update

from renewal_watch.alerts import reasons
from renewal_watch.alerts.facts import facts_json
from renewal_watch.database.instants import write_instant
from renewal_watch.database.schema import alerts, deliveries, delivery_alerts, environments, incidents, numbers
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.language import _, language
from renewal_watch.model import kinds
from renewal_watch.model.alerts import Alert, Course, Delivery, Severity
from renewal_watch.model.facts import Around, Facts, Written
from renewal_watch.notify import retry
from renewal_watch.notify.hold import Waiting, gathers, hold, is_away
from renewal_watch.notify.routing import CAP_WINDOW
from renewal_watch.notify.suppression import Decision
from renewal_watch.settings.channel import Channel
from renewal_watch.store.leases import is_heard, is_orphaned

LEASE = timedelta(seconds=90)  # longer than a send may take (channels.SEND_DEADLINE) with room for a slow disk
_IDS = 5  # of messages that went into another
_ID = re.compile(r"\brw-[0-9a-f]{10}\b")
AT_ONCE = kinds.names(at_once=True)
_DELIVERY = (
    "id",
    "message_id",
    "channel",
    "state",
    "created_at",
    "attempts",
    "next_attempt_at",
    "give_up_at",
    "severity",
    "at_once",
)


def put_in_outbox(
    tx: Transaction,
    channel: str,
    alert_ids: Sequence[int],
    severity: Severity,
    now: datetime,
    *,
    at_once: bool = False,
    routine: bool = False,
    note: str | None = None,
) -> int:
    """Put one delivery of several alerts in; its id. ``routine``: none of them needs anybody."""
    made = tx.connection.execute(
        insert(deliveries).values(
            message_id=f"rw-{secrets.token_hex(5)}",
            channel=channel,
            state="pending",
            created_at=now,
            next_attempt_at=now,
            give_up_at=now + retry.GIVE_UP_AFTER,
            severity=int(severity),
            at_once=at_once,
            routine=routine,
            note=note,
        )
    )
    key = made.inserted_primary_key
    assert key is not None  # noqa: S101 (an insert of one row)
    tx.put(delivery_alerts, ("delivery_id", "alert_id"), ((key[0], alert_id) for alert_id in alert_ids))
    return int(key[0])


def put_each_in_outbox(tx: Transaction, channel: str, those: Sequence[Decision], now: datetime) -> None:
    """A message for each alert: a hook that fails at the third is not run again for the first two."""
    ids = tx.new_ids(deliveries, len(those))
    at, give_up = write_instant(now), write_instant(now + retry.GIVE_UP_AFTER)
    tx.put(
        deliveries,
        _DELIVERY,
        (
            (
                *(pk, f"rw-{secrets.token_hex(5)}", channel, "pending", at, 0, at, give_up),
                *(int(one.alert.severity), one.alert.kind in AT_ONCE),
            )
            for pk, one in zip(ids, those, strict=True)
        ),
    )
    told = ((pk, one.alert_id) for pk, one in zip(ids, those, strict=True))
    tx.put(delivery_alerts, ("delivery_id", "alert_id"), told)


def claim(tx: Transaction, channel: Channel, zone: str, now: datetime, instance: str | None = None) -> Delivery | None:
    """Take the oldest message of ``channel`` that may go, for ``LEASE``; it must be settled. None if there is none.

    Messages that were held back become one. A time further ahead than it can have been set is a clock that was put
    back: such a message is due. ``instance`` is the daemon, where several share the database: what it claimed is free
    again as soon as it is taken for dead.
    """
    at = tx.clock(now)
    if instance is not None and not is_heard(tx, instance, at):
        return None
    soonest_set = now + retry.BACKOFF_LONGEST * 1.2
    free = or_(
        deliveries.c.lease.is_(None),
        deliveries.c.leased_until <= at,
        deliveries.c.leased_until > at + LEASE,
        is_orphaned(tx, instance, at),
    )
    due = select(deliveries).where(
        deliveries.c.state == "pending",
        deliveries.c.channel == channel.name,
        or_(deliveries.c.next_attempt_at <= now, deliveries.c.next_attempt_at > soonest_set),
        free,
    )
    chosen = (
        _alone(tx, due, channel, zone, now) if channel.is_hook else _together(tx, due, not_(free), channel, zone, now)
    )
    if chosen is None:
        return None
    row, why, is_held = chosen
    lease = secrets.token_hex(8)
    until = at + LEASE
    values = {"lease": lease, "leased_until": until, "leased_by": instance, "attempts": row.attempts + 1}
    if row.attempts == 0:  # the days of trying begin when it is first let out
        values["give_up_at"] = now + retry.GIVE_UP_AFTER
    tx.connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**values))
    told = tx.connection.execute(DELIVERED.where(delivery_alerts.c.delivery_id == row.id).order_by(alerts.c.id)).all()
    return Delivery(
        pk=row.id,
        message_id=row.message_id,
        channel=row.channel,
        lease=lease,
        leased_until=until,
        attempts=row.attempts + 1,
        created_at=row.created_at,
        alerts=tuple(in_course(one) for one in told),
        note="; ".join(filter(None, (row.note, why))),
        is_held=is_held,
        alert_ids=tuple(one.id for one in told),
    )


def in_course(row: Any) -> Alert:
    """The alert of a row, with what became of its incident."""
    alert = alert_of(row)
    if row.opened_at is None:
        return alert
    return replace(alert, course=Course(row.created_at, row.opened_at, row.resolved_at, row.incident, row.incident_id))


def _together(
    tx: Transaction, due: Any, taken: ColumnElement[bool], channel: Channel, zone: str, now: datetime
) -> tuple[Any, str, bool] | None:
    """The message that goes first, with all that go with it; the words that say why they do, and whether it was held back."""
    rows = tx.connection.execute(due.order_by(deliveries.c.created_at, deliveries.c.id)).all()
    if not rows:
        return None
    sent = [*sent_of_late(tx, channel, now), *_under_way(tx, channel, taken, now)]
    waiting = [still_waits(row) for row in rows]
    start = next((place for place, one in enumerate(waiting) if hold(channel, one, zone, sent, now) is None), None)
    if start is None:
        return None
    first = rows[start]
    was_away = is_away(channel, waiting[start], now)
    if was_away:  # what is in back-off goes with it
        rows = [first, *_others(tx, channel, taken, first)]
        waiting, start = [still_waits(row) for row in rows], 0
    together, why = gathers(channel, waiting[start:], zone, sent, now)
    others = {one.pk: one for one in together[1:]}
    if others:
        tried = [row.message_id for row in rows if row.id in others and not others[row.id].is_fresh]
        gather(tx, rows[start].id, list(others), now, tried)
        rows = tx.connection.execute(select(deliveries).where(deliveries.c.id == rows[start].id)).all()
        return rows[0], why, bool(why) and not was_away
    return rows[start], why, bool(why) and not was_away


def _others(tx: Transaction, channel: Channel, taken: ColumnElement[bool], first: Any) -> list[Any]:
    """What else waits for a channel, also what is in back-off; what a fallback has of it is alike."""
    has_fallback = deliveries.c.fallback_at.is_not(None)
    query = select(deliveries).where(
        deliveries.c.state == "pending",
        deliveries.c.channel == channel.name,
        deliveries.c.id != first.id,
        ~taken,
        has_fallback if first.fallback_at is not None else ~has_fallback,
    )
    return list(tx.connection.execute(query.order_by(deliveries.c.created_at, deliveries.c.id)).all())


def _alone(tx: Transaction, due: Any, channel: Channel, zone: str, now: datetime) -> tuple[Any, str, bool] | None:
    """The first message that may go, with one alert: a hook may have thousands of them waiting, so no more are read."""
    rows = tx.connection.execute(due.order_by(deliveries.c.next_attempt_at, deliveries.c.id))
    row = next((one for one in rows if hold(channel, still_waits(one), zone, (), now) is None), None)
    rows.close()
    if row is None:
        return None
    _split(tx, row, now)
    why = gathers(channel, [still_waits(row)], zone, (), now)[1]
    return row, why, bool(why)


def _split(tx: Transaction, row: Any, now: datetime) -> None:
    """Leave one alert in a message that was put together before its channel became a hook."""
    query = select(alerts.c.id, alerts.c.severity).join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
    query = query.where(delivery_alerts.c.delivery_id == row.id).order_by(alerts.c.id)
    own, *others = tx.connection.execute(query)
    for one in others:
        tx.connection.execute(
            delivery_alerts.delete().where(
                delivery_alerts.c.delivery_id == row.id, delivery_alerts.c.alert_id == one.id
            )
        )
        put_in_outbox(tx, row.channel, [one.id], Severity(one.severity), now, at_once=bool(row.at_once), note=row.note)
    if others:
        values = {"severity": own.severity}
        tx.connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**values))


def sent_of_late(tx: Transaction, channel: Channel, now: datetime) -> list[datetime]:
    """When the newest messages of a channel were sent, as many as its cap looks at, ascending."""
    rows = tx.connection.execute(
        select(deliveries.c.sent_at)
        .where(
            deliveries.c.state == "sent",
            deliveries.c.channel == channel.name,
            deliveries.c.next_attempt_at > now - CAP_WINDOW,  # by the index: set to the time of sending
            deliveries.c.sent_at <= now,
        )
        .order_by(deliveries.c.next_attempt_at.desc())
        .limit(channel.max_per_hour)
    )
    return sorted(rows.scalars())


def _under_way(tx: Transaction, channel: Channel, taken: ColumnElement[bool], now: datetime) -> list[datetime]:
    """A time for each message that another process is sending: it counts as sent."""
    query = select(func.count()).where(deliveries.c.state == "pending", deliveries.c.channel == channel.name, taken)
    return [now] * tx.connection.execute(query).scalar_one()


def gather(tx: Transaction, into: int, others: Sequence[int], now: datetime, tried: Sequence[str] = ()) -> None:
    """Put the alerts of messages that nobody has into one of them; it is tried as long as the youngest would be.

    ``tried`` are the ids of those that were: should one have arrived after all, the message says that it holds it.
    """
    found: list[Any] = []
    for chunk in chunks([into, *others]):
        query = select(deliveries.c.severity, deliveries.c.note, deliveries.c.give_up_at, deliveries.c.attempts).where(
            deliveries.c.id.in_(chunk)
        )
        found += tx.connection.execute(query.order_by(deliveries.c.id))
    old = [one.note for one in found if one.note is not None]
    names = list(dict.fromkeys([*(name for note in old for name in _ID.findall(note)), *tried]))
    more = " …" if len(names) > _IDS else ""
    held = [_("with what was {messages}", messages=f"{', '.join(names[:_IDS])}{more}")] if names else []
    notes = ",".join(dict.fromkeys([*(note for note in old if not _ID.search(note)), *held])) or None
    severity = max(one.severity for one in found)
    give_up = max(one.give_up_at if one.attempts else now + retry.GIVE_UP_AFTER for one in found)
    values = {"severity": severity, "note": notes, "give_up_at": give_up}
    tx.connection.execute(update(deliveries).where(deliveries.c.id == into).values(**values))
    for chunk in chunks(others):
        told = select(delivery_alerts.c.alert_id).where(delivery_alerts.c.delivery_id.in_(chunk)).distinct()
        ids = tx.connection.execute(told).scalars().all()
        tx.put(delivery_alerts, ("delivery_id", "alert_id"), ((into, pk) for pk in ids), clash="keep")
        tx.connection.execute(delivery_alerts.delete().where(delivery_alerts.c.delivery_id.in_(chunk)))
        tx.connection.execute(deliveries.delete().where(deliveries.c.id.in_(chunk)))


ALERTS = (
    select(
        alerts,
        environments.c.name.label("environment"),
        numbers.c.provider_id.label("provider_id"),
        numbers.c.number.label("number"),
    )
    .select_from(alerts)
    .outerjoin(environments, environments.c.id == alerts.c.environment_id)
    .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
)


DELIVERED = (  # the alerts of deliveries, with what became of their incidents
    ALERTS.join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
    .outerjoin(incidents, incidents.c.id == alerts.c.incident_id)
    .add_columns(incidents.c.opened_at, incidents.c.resolved_at)
    .add_columns(incidents.c.name.label("incident"), alerts.c.incident_id)
)


def still_waits(row: Any) -> Waiting:
    """What decides on how long a pending delivery waits."""
    is_fresh = row.attempts == 0 and row.last_error is None
    return Waiting(
        row.id,
        Severity(row.severity),
        bool(row.at_once),
        row.created_at,
        is_fresh,
        is_routine=bool(row.routine),
        tried_at=None if is_fresh else row.give_up_at - retry.GIVE_UP_AFTER,
    )


def _said(row: Any) -> tuple[Facts, tuple[Around, ...]]:
    if language() != "en":
        facts, around = facts_json.decode(row.facts), facts_json.decode_around(row.around)
        if facts is not None and around is not None:
            return facts, around
    return Written(row.headline, row.text), ()


def reason_of(row: Any) -> str | None:
    """Why nobody was told of the alert of such a row."""
    why = reasons.read(row.hidden, row.reason)
    return None if why is None else why.words()


def place_of(kind: str, environment: str, provider_id: str | None) -> str:
    """What the key of an alert begins with; the rest is its mark."""
    return "".join(f"{part}/" for part in (environment, kind, provider_id) if part)


def alert_of(row: Any) -> Alert:
    """The alert of a row of ``ALERTS``, in the words that were written; of what is known of it in another language."""
    environment = row.environment or ""
    facts, around = _said(row)
    return Alert(
        key=place_of(row.kind, environment, row.provider_id) + row.mark,
        kind=row.kind,
        severity=Severity(row.severity),
        environment=environment,
        facts=facts,
        around=around,
        number_id=row.provider_id,
        number=row.number or row.provider_id,
        days_left=row.days_left,
        topic=row.topic or "",
        kept=row.facts,
    )
