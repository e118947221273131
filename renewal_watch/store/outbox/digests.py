"""Digests: made at most once for each time of the calendar."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update

from renewal_watch.alerts import reasons
from renewal_watch.database.schema import alerts, deliveries, delivery_alerts
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.model.alerts import Alert
from renewal_watch.notify.routing import Routing
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.deliveries import DELIVERED, gather, in_course


def put_digest(tx: Transaction, channel: str, alert: Alert, routing: Routing, now: datetime) -> None:
    """Send a digest: with it goes all that waited for it."""
    waiting = _unseen(tx, channel)
    if record_alerts(tx, [alert], routing, now):
        pk = tx.connection.execute(
            select(func.max(deliveries.c.id)).where(deliveries.c.channel == channel, deliveries.c.at_once)
        ).scalar_one()
        gather(tx, pk, waiting, now)
        _drop_older_digests(tx, pk)


def _drop_older_digests(tx: Transaction, delivery_id: int) -> None:
    """A digest that was never sent before the next one came says nothing any more."""
    query = (
        select(alerts.c.id)
        .join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
        .where(delivery_alerts.c.delivery_id == delivery_id, alerts.c.kind == "digest.sent")
    )
    ids = sorted(tx.connection.execute(query).scalars())[:-1]
    tx.connection.execute(
        delivery_alerts.delete().where(
            delivery_alerts.c.delivery_id == delivery_id, delivery_alerts.c.alert_id.in_(ids)
        )
    )
    hidden = dict(zip(("hidden", "reason"), reasons.kept(reasons.Replaced()), strict=True))
    tx.connection.execute(update(alerts).where(alerts.c.id.in_(ids)).values(**hidden))


def _unseen(tx: Transaction, channel: str) -> list[int]:
    """The messages of a channel that were never offered to it."""
    return list(
        tx.connection.execute(
            select(deliveries.c.id)
            .where(
                deliveries.c.state == "pending",
                deliveries.c.channel == channel,
                deliveries.c.attempts == 0,
                deliveries.c.last_error.is_(None),
                deliveries.c.lease.is_(None),
            )
            .order_by(deliveries.c.id)
        ).scalars()
    )


def waiting_alerts(tx: Transaction, channel: str) -> list[Alert]:
    """The alerts that were never offered to a channel, in the order in which they were found."""
    found: dict[int, Alert] = {}
    for chunk in chunks(_unseen(tx, channel)):
        for row in tx.connection.execute(DELIVERED.where(delivery_alerts.c.delivery_id.in_(chunk))):
            found[row.id] = in_course(row)
    return [found[pk] for pk in sorted(found)]


def waits_for(tx: Transaction, channel: str) -> int:
    """How many alerts were never offered to a channel, older digests apart."""
    found = 0
    for chunk in chunks(_unseen(tx, channel)):
        query = select(func.count()).select_from(delivery_alerts)
        query = query.join(alerts, alerts.c.id == delivery_alerts.c.alert_id)
        query = query.where(delivery_alerts.c.delivery_id.in_(chunk), alerts.c.kind != "digest.sent")
        found += tx.connection.execute(query).scalar_one()
    return found
