"""What waits: how much, since when, and when the next is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, or_, select

from renewal_watch.database.schema import channels, deliveries
from renewal_watch.database.transaction import Transaction
from renewal_watch.notify import retry
from renewal_watch.notify.hold import Hold, hold
from renewal_watch.settings.channel import Channel
from renewal_watch.store.outbox.deliveries import sent_of_late, still_waits

OVERDUE_AFTER = timedelta(minutes=15)  # several tries, and a service that restarts, take no longer


def next_due(tx: Transaction, channel: Channel, zone: str, now: datetime) -> datetime | None:
    """When the next message of ``channel`` may go, None if none waits."""
    rows = _soonest(tx, channel) if channel.is_hook else _pending(tx, channel)
    if not rows:
        return None
    sent = sent_of_late(tx, channel, now)
    leases = [] if channel.is_hook else [row.leased_until for row in rows if row.leased_until is not None]
    due: list[datetime] = []
    for row in rows:
        at = max(row.next_attempt_at, row.leased_until or row.next_attempt_at, now)
        found = hold(channel, still_waits(row), zone, sent, at)
        busy = [until for until in leases if until > at]  # what others are sending counts as sent, for so long
        if found is None and busy and hold(channel, still_waits(row), zone, [*sent, *[at] * len(busy)], at):
            due.append(min(busy))
        else:
            due.append(at if found is None else found.until)
    return min(due)


def held_deliveries(tx: Transaction, channel: Channel, zone: str, now: datetime) -> dict[str, Hold]:
    """The messages that wait and why, by their ids."""
    sent = sent_of_late(tx, channel, now)
    found = {row.message_id: hold(channel, still_waits(row), zone, sent, now) for row in _pending(tx, channel)}
    return {message_id: why for message_id, why in found.items() if why is not None}


def _soonest(tx: Transaction, channel: Channel) -> Any:
    """Of the messages that wait for a hook, and are held back alike, the one that may go first."""
    may_go = deliveries.c.next_attempt_at
    at = case((deliveries.c.leased_until > may_go, deliveries.c.leased_until), else_=may_go)
    alike = (deliveries.c.severity, deliveries.c.at_once)
    place = func.row_number().over(partition_by=alike, order_by=(at, deliveries.c.id)).label("place")
    waiting = select(deliveries, place).where(deliveries.c.state == "pending", deliveries.c.channel == channel.name)
    first = waiting.subquery()
    return tx.connection.execute(select(first).where(first.c.place == 1)).all()


def _pending(tx: Transaction, channel: Channel) -> Any:
    """The messages that wait for a channel."""
    query = select(deliveries).where(deliveries.c.state == "pending", deliveries.c.channel == channel.name)
    return tx.connection.execute(query).all()


def outbox_counts(tx: Transaction) -> dict[str, Any]:
    """How many messages wait and failed, and since when the oldest waits."""
    unsent = deliveries.c.state.in_(("pending", "failed"))  # by the index: nearly all were sent
    rows = tx.connection.execute(select(deliveries.c.state, func.count()).where(unsent).group_by(deliveries.c.state))
    counts = {state: int(count) for state, count in rows}
    oldest = tx.connection.execute(
        select(func.min(deliveries.c.created_at)).where(deliveries.c.state == "pending")
    ).scalar_one()
    return {"pending": counts.get("pending", 0), "failed": counts.get("failed", 0), "oldest_pending_at": oldest}


def overdue_deliveries(
    tx: Transaction, channels_now: Sequence[Channel], zone: str, now: datetime, since: datetime | None
) -> dict[str, int]:
    """How many messages of each channel should have been delivered ``OVERDUE_AFTER`` ago; those held back are none.

    The time of a message runs from when it was found, from when it was last let out, or from ``since`` where nobody
    tried it yet: a process that just started is given as long. Messages for a channel that is no more are overdue.
    """
    limit = now - OVERDUE_AFTER
    known = {channel.name: channel for channel in channels_now}
    sent = {name: sent_of_late(tx, channel, now) for name, channel in known.items()}
    alike = (  # thousands may wait for a hook: those that are held back alike are looked at as one
        deliveries.c.channel,
        deliveries.c.severity,
        deliveries.c.at_once,
        deliveries.c.routine,
        case((deliveries.c.routine, deliveries.c.created_at)).label(
            "found_at"
        ),  # its time follows from when it was found
        (deliveries.c.attempts > 0).label("attempts"),
        func.min(deliveries.c.give_up_at, type_=deliveries.c.give_up_at.type).label("give_up_at"),
        func.min(deliveries.c.last_error).label("last_error"),
        func.max(deliveries.c.created_at, type_=deliveries.c.created_at.type).label("created_at"),
        func.max(deliveries.c.id).label("id"),
    )
    query = (
        select(*alike, func.count().label("many"))
        .where(deliveries.c.state == "pending", deliveries.c.give_up_at <= limit + retry.GIVE_UP_AFTER)
        .group_by(*alike[:6], deliveries.c.last_error.is_(None))
    )
    found: dict[str, int] = {}
    for row in tx.connection.execute(query):
        channel = known.get(row.channel)
        if channel is not None:
            if not row.attempts and since is not None and since > limit:
                continue
            message = still_waits(row)
            if any(hold(channel, message, zone, sent[row.channel], at) for at in (now, limit)):
                continue
        found[row.channel] = found.get(row.channel, 0) + int(row.many)
    return found


def orphaned_deliveries(tx: Transaction, channels_now: Sequence[str]) -> dict[str, int]:
    """How many messages wait for channels that the configuration does not have."""
    query = select(deliveries.c.channel, func.count()).where(
        deliveries.c.state == "pending", deliveries.c.channel.not_in(channels_now)
    )
    query = query.group_by(deliveries.c.channel).order_by(deliveries.c.channel)
    return {name: int(count) for name, count in tx.connection.execute(query)}


def failing_channels(tx: Transaction) -> dict[str, tuple[datetime, str]]:
    """The channels that fail now: since when, and the last error."""
    failing = select(channels).where(channels.c.failing_since.is_not(None)).order_by(channels.c.name)
    rows = tx.connection.execute(failing)
    return {row.name: (row.failing_since, row.last_error) for row in rows}


def due_at(tx: Transaction, channel: str, then: datetime) -> set[str]:
    """The messages of a channel that could have been sent at that time and that nobody is sending."""
    query = select(deliveries.c.message_id).where(
        deliveries.c.state == "pending",
        deliveries.c.channel == channel,
        deliveries.c.next_attempt_at <= then,
        or_(deliveries.c.leased_until.is_(None), deliveries.c.leased_until <= then),
    )
    return set(tx.connection.execute(query).scalars())


def pending_of(tx: Transaction, channels: Sequence[str]) -> int:
    """How many messages wait for these channels."""
    query = select(func.count()).select_from(deliveries)
    query = query.where(deliveries.c.state == "pending", deliveries.c.channel.in_(channels))
    return int(tx.connection.execute(query).scalar_one())


def delivery_counts(tx: Transaction) -> list[tuple[str, str, int]]:
    """Channel, state, and how many messages have it."""
    columns = (deliveries.c.channel, deliveries.c.state)
    rows = tx.connection.execute(select(*columns, func.count()).group_by(*columns))
    return [(channel, state, count) for channel, state, count in rows]


def oldest_waiting(tx: Transaction) -> dict[str, datetime]:
    """By channel, when the oldest message that waits was written."""
    query = select(deliveries.c.channel, func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type))
    query = query.where(deliveries.c.state == "pending").group_by(deliveries.c.channel)
    found = tx.connection.execute(query).all()
    return {str(channel): at for channel, at in found}


def channel_times(tx: Transaction) -> dict[str, tuple[datetime | None, datetime | None]]:
    """By channel, since when it fails and when it was last sent to; only of those that failed, or were sent to."""
    return {row.name: (row.failing_since, row.last_sent_at) for row in tx.connection.execute(select(channels))}
