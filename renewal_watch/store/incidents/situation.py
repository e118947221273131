"""All that decides on who is told: incidents, silences, numbers that are meant to expire."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from renewal_watch.database.transaction import Transaction
from renewal_watch.notify.suppression import Situation
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.lapses import list_lapsing
from renewal_watch.store.incidents.silences import list_silences


def situation_of(tx: Transaction, now: datetime, of: Collection[str] | None = None) -> Situation:
    """What decides on alerts, or on those of some environments only; "" is the watch itself. Flaps are not in it."""
    return Situation(
        silences=[one for one in list_silences(tx) if one.is_active(now)],
        incidents=incidents_of(tx, of=of),
        lapses=list_lapsing(tx, of=of),
    )
