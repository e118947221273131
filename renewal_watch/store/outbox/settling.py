"""What became of a delivery: sent, failed, let go; a channel that fails, and what stands in for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, func, insert, or_, select, update

from renewal_watch.alerts import phrases
from renewal_watch.alerts.facts import service_facts
from renewal_watch.database.schema import alerts, channels, deliveries, delivery_alerts
from renewal_watch.database.transaction import Transaction
from renewal_watch.language import _, in_language
from renewal_watch.model.alerts import Delivery, Severity
from renewal_watch.model.facts import Facts
from renewal_watch.notify import retry
from renewal_watch.notify.hold import hold
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.values import duration
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.deliveries import put_in_outbox, still_waits
from renewal_watch.store.outbox.waiting import failing_channels


def stand_in(tx: Transaction, channel: Channel, routing: Routing, now: datetime) -> int:
    """Give what waits for a failing channel to its fallback as well, each message once; how many."""
    other = channel.fallback and routing.named(channel.fallback)
    if not other:
        return 0
    fallback, zone = other.name, routing.zone
    failing = failing_channels(tx).get(channel.name)
    if failing is None or now - failing[0] < duration(channel.fallback_after):
        return 0
    rows = tx.connection.execute(
        select(deliveries)
        .where(
            or_(
                deliveries.c.state == "pending",
                and_(deliveries.c.state == "failed", deliveries.c.created_at >= failing[0]),
            ),
            deliveries.c.channel == channel.name,
            deliveries.c.fallback_at.is_(None),
        )
        .order_by(deliveries.c.created_at, deliveries.c.id)
    ).all()
    known = select(delivery_alerts.c.alert_id).join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
    known = known.where(deliveries.c.channel == fallback)
    given = 0
    for row in rows:
        if row.attempts == 0 and hold(channel, still_waits(row), zone, [], now):
            continue  # it does not wait because the channel fails
        given += 1
        unknown = select(delivery_alerts.c.alert_id).where(
            delivery_alerts.c.delivery_id == row.id, delivery_alerts.c.alert_id.not_in(known)
        )
        if other.is_oncall:
            unknown = unknown.where(
                delivery_alerts.c.alert_id.in_(select(alerts.c.id).where(alerts.c.incident_id.is_not(None)))
            )
        alert_ids = list(tx.connection.execute(unknown).scalars())
        if alert_ids:
            with in_language(other.language):
                since = phrases.instant(failing[0])
                note = _("in place of channel {channel}, which fails since {at}", channel=channel.name, at=since)
            put_in_outbox(tx, fallback, alert_ids, Severity(row.severity), now, note=note)
        tx.connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(fallback_at=now))
    return given


def settle_sent(tx: Transaction, delivery: Delivery, routing: Routing, now: datetime) -> bool:
    """Mark as sent; False when the lease was lost meanwhile and somebody else answers for the message."""
    if not _settle(
        tx, delivery, state="sent", sent_at=now, next_attempt_at=now, last_error=None, target=delivery.target
    ):
        return False
    channel_works(tx, delivery.channel, routing, now)
    return True


def channel_works(tx: Transaction, name: str, routing: Routing, now: datetime) -> None:
    """Something was sent on a channel: if it was told to fail, that is over."""
    row = tx.connection.execute(select(channels).where(channels.c.name == name)).one_or_none()
    if row is None:
        tx.connection.execute(insert(channels).values(name=name, last_sent_at=now))
        return
    if row.told_at is not None:
        facts = service_facts.ChannelRecovered(name, row.failing_since, now)
        _tell_of_channel(tx, name, "watch.recovered", Severity.info, facts, routing, now)
        tx.connection.execute(  # what waits in back-off need not wait any longer
            update(deliveries)
            .where(
                deliveries.c.channel == name,
                deliveries.c.state == "pending",
                deliveries.c.lease.is_(None),
                deliveries.c.next_attempt_at > now,
            )
            .values(next_attempt_at=now)
        )
    values = {"failing_since": None, "told_at": None, "last_error": None, "last_sent_at": now}
    tx.connection.execute(update(channels).where(channels.c.name == name).values(**values))


def settle_failed(
    tx: Transaction,
    delivery: Delivery,
    error: str,
    routing: Routing,
    now: datetime,
    chance: float,
    wait: timedelta = timedelta(0),
) -> bool:
    """Keep for another attempt, or give up: ``retry.again_at`` says which. Tell the other channels when it lasts."""
    limit = select(deliveries.c.give_up_at).where(deliveries.c.id == delivery.pk)
    again_at = retry.again_at(delivery.attempts, tx.connection.execute(limit).scalar_one(), now, chance, wait)
    fate: dict[str, Any] = {"state": "failed"} if again_at is None else {"next_attempt_at": again_at}
    if not _settle(tx, delivery, last_error=error, **fate):
        return False
    channel_fails(tx, delivery.channel, error, routing, now, gave_up=again_at is None)
    return True


def channel_fails(
    tx: Transaction, name: str, error: str, routing: Routing, now: datetime, *, gave_up: bool = False
) -> None:
    """Something could not be sent on a channel: the others are told when it lasts, and when a message is given up."""
    row = tx.connection.execute(select(channels).where(channels.c.name == name)).one_or_none()
    since = (row.failing_since if row else None) or now
    told_at = row.told_at if row else None
    if now - since >= retry.CHANNEL_FAILING_AFTER and told_at is None:
        waiting = tx.connection.execute(
            select(func.count()).where(deliveries.c.channel == name, deliveries.c.state == "pending")
        ).scalar_one()
        facts: Facts = service_facts.ChannelFailing(name, since, now, waiting, error)
        _tell_of_channel(tx, name, "channel.failing", Severity.critical, facts, routing, now)
        told_at = now
    if gave_up:
        failed = tx.connection.execute(
            select(func.count()).where(deliveries.c.channel == name, deliveries.c.state == "failed")
        ).scalar_one()
        facts = service_facts.ChannelGaveUp(name, failed, error)
        key = f"{name}/given up/{now:%Y-%m-%d}"  # messages of one outage are given up one by one: told once a day
        _tell_of_channel(tx, name, "channel.failing", Severity.critical, facts, routing, now, key)
        told_at = told_at or now
    values = {"failing_since": since, "told_at": told_at, "last_error": error}
    if row is None:
        tx.connection.execute(insert(channels).values(name=name, **values))
    else:
        tx.connection.execute(update(channels).where(channels.c.name == name).values(**values))


def release_claim(tx: Transaction, delivery: Delivery) -> bool:
    """Give a claim back unsent, as if it had never been taken."""
    return _settle(tx, delivery, attempts=delivery.attempts - 1)


def still_claims(tx: Transaction, delivery: Delivery, now: datetime) -> bool:
    """Whether the claim is still in force: who was paused may have lost it to another."""
    query = select(deliveries.c.leased_until).where(
        deliveries.c.id == delivery.pk, deliveries.c.lease == delivery.lease, deliveries.c.state == "pending"
    )
    until: datetime | None = tx.connection.execute(query).scalar_one_or_none()
    return until is not None and until > tx.clock(now)


def _settle(tx: Transaction, delivery: Delivery, **values: object) -> bool:
    done = tx.connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery.pk, deliveries.c.lease == delivery.lease, deliveries.c.state == "pending")
        .values(lease=None, leased_until=None, leased_by=None, **values)
    )
    return done.rowcount == 1


def _tell_of_channel(
    tx: Transaction,
    name: str,
    kind: str,
    severity: Severity,
    facts: Facts,
    routing: Routing,
    now: datetime,
    key: str | None = None,
) -> None:
    """Through the other channels: the one it is about is not asked."""
    alert = service_facts.of_the_watch(
        kind,
        severity,
        key or f"{name}/{now.isoformat()}",
        facts,
        topic=f"channel {name}",
        ends=kind == "watch.recovered",
    )
    record_alerts(tx, [alert], routing, now)


def retry_deliveries(tx: Transaction, alert_ids: Sequence[int], now: datetime) -> int:
    """Offer the failed and waiting deliveries of these alerts again at once; how many. Empty means all failed."""
    query = select(delivery_alerts.c.delivery_id)
    if alert_ids:
        query = query.where(delivery_alerts.c.alert_id.in_(alert_ids))
    states = ("failed", "pending") if alert_ids else ("failed",)
    done = tx.connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(query), deliveries.c.state.in_(states))
        .values(state="pending", attempts=0, next_attempt_at=now, give_up_at=now + retry.GIVE_UP_AFTER)
    )
    return done.rowcount
