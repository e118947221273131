"""Audit log: what people did, and of what whom was notified, with the targets as they then were."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, func, insert, or_, select

from renewal_watch.database.schema import actions, alerts, deliveries, delivery_alerts, environments, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.actor import Actor
from renewal_watch.model.alerts import Severity
from renewal_watch.model.tracking import Known

PAGE = 100  # entries that are read together
NAMED = 20  # alerts of a message that are named; the others are counted


def note_action(
    tx: Transaction,
    verb: str,
    actor: Actor,
    comment: str,
    known: Known | None,
    environment_id: int,
    now: datetime,
    subject: str = "",
) -> None:
    """Keep who did what: an acknowledgement ends with its incident, its record stays.

    ``subject`` is what it was done to where environment and number do not say it: keys of incidents, a silence, alerts.
    """
    tx.connection.execute(
        insert(actions).values(
            at=now,
            author=actor.name,
            origin=actor.origin or None,
            subject=subject or None,
            verb=verb,
            environment_id=environment_id,
            number_id=known.pk if known else 0,
            comment=comment,
        )
    )


def note_act(tx: Transaction, verb: str, actor: Actor, subject: str, now: datetime, comment: str = "") -> None:
    """Keep who did what to the service itself: to its database, a token, a link, a silence, messages. ``subject`` holds nothing secret."""
    note_action(tx, verb, actor, comment, None, 0, now, subject)


def actions_on(tx: Transaction, known: Known) -> list[dict[str, Any]]:
    """Audit log about a number, newest first."""
    rows = tx.connection.execute(select(actions).where(actions.c.number_id == known.pk).order_by(actions.c.id.desc()))
    return [{"at": row.at, "author": row.author, "verb": row.verb, "comment": row.comment} for row in rows]


# --- all of it --------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where an entry stands among all, the later one being greater."""

    at: datetime
    what: str  # action or notification
    id: int


class Asked(NamedTuple):
    """Which entries are wanted; ``who`` is a part of who did it or of whom was notified, ``before`` leaves newer ones out."""

    since: datetime
    until: datetime
    who: str = ""
    before: Place | None = None


def list_audit(tx: Transaction, asked: Asked, most: int | None = None) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The entries with their places, newest first, as ``audit --json`` prints them; no more is read than is taken."""
    streams = [_acts(tx, asked), *(_sent(tx, asked, channel) for channel in _channels(tx))]
    merged = heapq.merge(*streams, key=lambda one: one[0], reverse=True)
    wanted = islice((one for one in merged if asked.before is None or one[0] < asked.before), most)
    while page := list(islice(wanted, PAGE)):
        told = _told(tx, [place.id for place, _row in page if place.what == "notification"])
        for place, row in page:
            yield place, _act_json(row) if place.what == "action" else _sent_json(row, told.get(row.id, ()))


def _until(asked: Asked) -> datetime:
    return asked.until if asked.before is None else min(asked.until, asked.before.at)


def _acts(tx: Transaction, asked: Asked) -> Iterator[tuple[Place, Row[Any]]]:
    query = (
        select(
            *(actions, environments.c.name.label("environment"), numbers.c.number),
            numbers.c.provider_id.label("provider_id"),
        )
        .outerjoin_from(actions, environments, environments.c.id == actions.c.environment_id)
        .outerjoin(numbers, numbers.c.id == actions.c.number_id)
        .where(actions.c.at >= asked.since, actions.c.at <= _until(asked))
    )
    if asked.who:
        query = query.where(
            or_(*(column.icontains(asked.who, autoescape=True) for column in (actions.c.author, actions.c.origin)))
        )
    for row in _paged(tx, query, actions.c.at, actions.c.id):
        yield Place(row.at, "action", row.id), row


def _channels(tx: Transaction) -> Sequence[str]:
    return tx.connection.execute(select(deliveries.c.channel).distinct()).scalars().all()


def _sent(tx: Transaction, asked: Asked, channel: str) -> Iterator[tuple[Place, Row[Any]]]:
    """What was sent on a channel, by the index: the next attempt of a sent message is when it was sent."""
    at = deliveries.c.next_attempt_at
    query = select(at.label("at"), *(deliveries.c[name] for name in ("id", "channel", "target", "message_id"))).where(
        deliveries.c.state == "sent", deliveries.c.channel == channel, at >= asked.since, at <= _until(asked)
    )
    if asked.who:
        query = query.where(
            or_(
                *(
                    column.icontains(asked.who, autoescape=True)
                    for column in (deliveries.c.channel, deliveries.c.target)
                )
            )
        )
    for row in _paged(tx, query, at, deliveries.c.id):
        yield Place(row.at, "notification", row.id), row


def _paged(tx: Transaction, query: Any, at: ColumnElement[datetime], pk: ColumnElement[int]) -> Iterator[Row[Any]]:
    """The rows of a query, newest first, a page at a time: who takes no more leaves no cursor open."""
    ordered = query.order_by(at.desc(), pk.desc()).limit(PAGE)
    following = ordered
    while True:
        rows = tx.connection.execute(following).all()
        yield from rows
        if len(rows) < PAGE:
            return
        last = rows[-1]
        following = ordered.where(at <= last.at, or_(at < last.at, pk < last.id))


def _told(tx: Transaction, ids: Sequence[int]) -> Mapping[int, Sequence[Row[Any]]]:
    """The most urgent alerts of each of these messages, each with how many there are."""
    if not ids:
        return {}
    message = delivery_alerts.c.delivery_id
    urgency = (alerts.c.severity.desc(), alerts.c.id)
    ranked = (
        select(
            *(delivery_alerts.c.delivery_id, alerts.c.id, alerts.c.kind, alerts.c.severity, alerts.c.headline),
            *(environments.c.name.label("environment"), numbers.c.provider_id, numbers.c.number),
            func.row_number().over(partition_by=message, order_by=urgency).label("place"),
            func.count().over(partition_by=message).label("total"),
        )
        .join_from(delivery_alerts, alerts, alerts.c.id == delivery_alerts.c.alert_id)
        .outerjoin(environments, environments.c.id == alerts.c.environment_id)
        .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
        .where(delivery_alerts.c.delivery_id.in_(ids))
        .subquery()
    )
    query = select(ranked).where(ranked.c.place <= NAMED).order_by(ranked.c.delivery_id, ranked.c.place)
    found: dict[int, list[Row[Any]]] = {}
    for row in tx.connection.execute(query):
        found.setdefault(row.delivery_id, []).append(row)
    return found


_EMPTY: Mapping[str, Any] = dict.fromkeys(
    ("at", "what", "who", "origin", "verb", "environment", "number_id", "number", "subject", "comment")
) | dict.fromkeys(("channel", "target", "message_id"))


def _act_json(row: Row[Any]) -> dict[str, Any]:
    return {
        **_EMPTY,
        "at": row.at,
        "what": "action",
        "who": row.author,
        "origin": row.origin,
        "verb": row.verb,
        "environment": row.environment,
        "number_id": row.provider_id,
        "number": row.number or None,
        "subject": row.subject,
        "comment": row.comment,
        "alerts": [],
        "alerts_total": 0,
    }


def _sent_json(row: Row[Any], told: Sequence[Row[Any]]) -> dict[str, Any]:
    return {
        **_EMPTY,
        "at": row.at,
        "what": "notification",
        "channel": row.channel,
        "target": row.target,
        "message_id": row.message_id,
        "alerts": [
            {
                "id": one.id,
                "kind": one.kind,
                "severity": Severity(one.severity).name,
                "environment": one.environment or "",
                "number_id": one.provider_id,
                "number": one.number or None,
                "headline": one.headline,
            }
            for one in told
        ],
        "alerts_total": told[0].total if told else 0,
    }
