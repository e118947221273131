"""Numbers that are meant to expire."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, delete, exists, insert, select, update

from renewal_watch.alerts.phrases import instant
from renewal_watch.database.schema import environments, incidents, lapses, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.alerts import Key
from renewal_watch.model.tracking import Known
from renewal_watch.store.incidents.incidents import close_incidents
from renewal_watch.store.selections import OPEN
from renewal_watch.text import plain


def list_lapsing(tx: Transaction, of: Collection[str] | None = None) -> dict[tuple[str, str], str]:
    """The numbers that are meant to go, by environment and provider id, and who said so when."""
    query = (
        select(environments.c.name, numbers.c.provider_id, lapses.c.author, lapses.c.set_at)
        .join(numbers, numbers.c.id == lapses.c.number_id)
        .join(environments, environments.c.id == numbers.c.environment_id)
    )
    if of is not None:
        query = query.where(environments.c.name.in_(of))
    return {
        (row.name, row.provider_id): f"{plain(row.author)}, {instant(row.set_at)}"
        for row in tx.connection.execute(query)
    }


def put_lapse(tx: Transaction, known: Known, author: str, comment: str, now: datetime) -> None:
    """The number is meant to go."""
    tx.connection.execute(delete(lapses).where(lapses.c.number_id == known.pk))
    tx.connection.execute(
        insert(lapses).values(number_id=known.pk, renews_on=known.renews_on, set_at=now, author=author, comment=comment)
    )


def hand_over_lapses(tx: Transaction, environment_id: int, pk: int, there_id: int, there: int, now: datetime) -> None:
    """What people said of a number, and what is open of it, goes on in the environment that lists it now."""
    run = tx.connection.execute
    is_marked = exists(select(lapses.c.number_id).where(lapses.c.number_id == there))
    run(update(lapses).where(lapses.c.number_id == pk, ~is_marked).values(number_id=there))
    acks = select(incidents.c.topic, incidents.c.acked_at, incidents.c.acked_by, incidents.c.acked_rank)
    for row in run(acks.where(OPEN, incidents.c.number_id == pk, incidents.c.acked_at.is_not(None))).all():
        same = and_(
            OPEN, incidents.c.number_id == there, incidents.c.topic == row.topic, incidents.c.acked_at.is_(None)
        )
        said = {"acked_at": row.acked_at, "acked_by": row.acked_by, "acked_rank": row.acked_rank}
        run(update(incidents).where(same).values(**said))
    kept = select(incidents.c.topic).where(OPEN, incidents.c.number_id == there)
    moves = and_(OPEN, incidents.c.number_id == pk, incidents.c.topic != "presence", incidents.c.topic.not_in(kept))
    run(update(incidents).where(moves).values(number_id=there, environment_id=there_id))
    tx.connection.execute(delete(lapses).where(lapses.c.number_id == pk))
    left = and_(OPEN, incidents.c.number_id == pk, incidents.c.environment_id == environment_id)
    run(update(incidents).where(left).values(resolved_at=now))


def drop_lapse(tx: Transaction, environment: str, known: Known, now: datetime) -> bool:
    """The number is to stay after all; False if nobody had said that it is to go."""
    close_incidents(tx, [Key(environment, known.provider_id, topic) for topic in ("lapse", "last chance")], now)
    return tx.connection.execute(delete(lapses).where(lapses.c.number_id == known.pk)).rowcount == 1
