"""Silences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import insert, or_, select, update

from renewal_watch.database.schema import silences
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.policy import Match, Silence


def list_silences(tx: Transaction, *, since: datetime | None = None) -> list[Silence]:
    """The silences that have not ended, or all that ended after ``since`` as well; the one that ends next first."""
    query = select(silences).order_by(silences.c.ends_at, silences.c.id)
    if since is None:
        query = query.where(silences.c.ended_at.is_(None))
    else:
        query = query.where(or_(silences.c.ended_at.is_(None), silences.c.ended_at >= since))
    return [
        Silence(
            pk=row.id,
            match=msgspec.json.decode(row.match, type=Match),
            kinds=tuple(row.kinds),
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            author=row.author,
            comment=row.comment,
            ended_at=row.ended_at,
            ended_by=row.ended_by,
            warned_at=row.warned_at,
        )
        for row in tx.connection.execute(query)
    ]


def add_silence(
    tx: Transaction, match: Match, kinds: Sequence[str], ends_at: datetime, author: str, comment: str, now: datetime
) -> int:
    """Hide what matches until ``ends_at``; the silence's number."""
    made = tx.connection.execute(
        insert(silences).values(
            match=msgspec.json.encode(match).decode(),
            kinds=list(kinds),
            starts_at=now,
            ends_at=ends_at,
            author=author,
            comment=comment,
        )
    )
    key = made.inserted_primary_key
    assert key is not None  # noqa: S101 (an insert of one row)
    return int(key[0])


def close_silence(tx: Transaction, pk: int, author: str, now: datetime) -> bool:
    """End a silence before its time, or note that its time came; False if it has ended already."""
    done = tx.connection.execute(
        update(silences).where(silences.c.id == pk, silences.c.ended_at.is_(None)).values(ended_at=now, ended_by=author)
    )
    return done.rowcount == 1


def note_silence_warned(tx: Transaction, pk: int, now: datetime) -> None:
    """The coming end of a silence was told."""
    tx.connection.execute(update(silences).where(silences.c.id == pk).values(warned_at=now))
