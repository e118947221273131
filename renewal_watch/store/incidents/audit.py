"""Audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from renewal_watch.database.schema import actions
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.actor import Actor
from renewal_watch.model.tracking import Known


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


def actions_on(tx: Transaction, known: Known) -> list[dict[str, Any]]:
    """Audit log about a number, newest first."""
    rows = tx.connection.execute(select(actions).where(actions.c.number_id == known.pk).order_by(actions.c.id.desc()))
    return [{"at": row.at, "author": row.author, "verb": row.verb, "comment": row.comment} for row in rows]
