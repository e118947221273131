"""Links to acknowledge that were called back before their time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, insert, or_, select

from renewal_watch.database.schema import revoked_links
from renewal_watch.database.transaction import Transaction
from renewal_watch.settings.web import LONGEST_LINK


def revoke_links(tx: Transaction, channel: str | None, incident: str | None, now: datetime) -> None:
    """Those that were made until now count no more: of a channel, about an incident (by its key), or all."""
    tx.connection.execute(insert(revoked_links).values(before=now, channel=channel, incident=incident))


def forget_revocations(tx: Transaction, limit: datetime) -> None:
    """Let go those from before, as no link counts any more that they are about."""
    tx.connection.execute(delete(revoked_links).where(revoked_links.c.before < limit - LONGEST_LINK))


def is_revoked(tx: Transaction, channel: str, incidents: Iterable[str], made_at: datetime) -> bool:
    """Whether a link counts no more; ``incidents`` are the keys of those that it is about."""
    query = select(revoked_links.c.id).where(
        revoked_links.c.before >= made_at,
        or_(revoked_links.c.channel.is_(None), revoked_links.c.channel == channel),
        or_(revoked_links.c.incident.is_(None), revoked_links.c.incident.in_(list(incidents))),
    )
    return tx.connection.execute(query.limit(1)).first() is not None
