"""Since when and until when lists are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from renewal_watch.database.schema import environments, polls
from renewal_watch.database.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """From when on the history of an environment is known, and until when; None before its first list."""

    name: str
    since: datetime | None
    until: datetime | None

    def covers(self, first: datetime, last: datetime) -> bool:
        """Whether nothing can have happened unseen between two instants."""
        return self.since is not None and self.until is not None and self.since <= first and self.until >= last


def seen_of(tx: Transaction, names: Sequence[str]) -> dict[str, Seen]:
    """What of each environment's past the history holds; what was pruned is not in it."""
    query = (
        select(
            environments.c.name,
            environments.c.last_success_at,
            func.min(polls.c.started_at, type_=polls.c.started_at.type),
        )
        .join(polls, polls.c.environment_id == environments.c.id)
        .where(environments.c.name.in_(names), polls.c.outcome == "ok")
        .group_by(environments.c.id)
    )
    found = {name: Seen(name=name, since=since, until=until) for name, until, since in tx.connection.execute(query)}
    return {name: found.get(name, Seen(name=name, since=None, until=None)) for name in names}
