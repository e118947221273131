"""Writes one poll with all that follows from it, in one transaction."""

from __future__ import annotations

from datetime import datetime

from renewal_watch.database.transaction import Transaction
from renewal_watch.model.tracking import Verdict
from renewal_watch.notify.routing import Routing
from renewal_watch.store.environments import PollRecord, Schedule
from renewal_watch.store.incidents.incidents import close_incidents, review_incidents
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.recording import write_poll


def record_poll(
    tx: Transaction,
    environment_id: int,
    verdict: Verdict,
    poll: PollRecord | None,
    schedule: Schedule | None,
    routing: Routing,
    now: datetime,
) -> int:
    """Write one poll: its line, the changes, what is kept of numbers and environment, alerts and deliveries.

    Returns how many alerts are new.
    """
    write_poll(tx, environment_id, verdict, poll, schedule, now)
    close_incidents(tx, verdict.ended, now)
    review_incidents(
        tx, environment_id, [known.pk for known in verdict.updates if known.provider_id in verdict.versions]
    )
    return record_alerts(tx, verdict.alerts, routing, now)
