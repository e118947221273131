"""What a database wants once a day, at hours of its own: to be backed up, and that the past is deleted after its retention.

Where both are due the backup comes first: it has what is let go then. ``backups`` has the calendar of the one; of the
other a calendar of the database says when it was last done: it was "begun" until it ended well: what a stop or a fault broke off
is due again at once, and goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from renewal_watch.database.store import Store
from renewal_watch.schedule import calendar
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.timers import fired_at, set_fired
from renewal_watch.store.maintenance import backups, batches, retention
from renewal_watch.store.maintenance.backups import Done

log = logging.getLogger(__name__)

PRUNES = "daily 03:40"  # when few read, and no digest or report is usual; in the zone of the configuration
_PRUNING = "pruning"  # the calendar
_BEGUN = "begun"


def is_due(store: Store, settings: Settings, now: datetime) -> bool:
    """Whether there is anything to do; those times missed while nothing ran are one."""
    with store.reading() as tx:
        kept = fired_at(tx, backups.CALENDAR)
    return backups.is_due(kept, settings.backup, settings.timezone, now) or _is_prune_due(store, settings, now)


def _is_prune_due(store: Store, settings: Settings, now: datetime) -> bool:
    """The first time comes at its hour."""
    with store.reading() as tx:
        kept = fired_at(tx, _PRUNING)
    if kept is not None and kept[1] == _BEGUN:
        return True
    if kept is None or calendar.was_put_back(kept[0], now):
        with store.transaction() as tx:
            set_fired(tx, _PRUNING, now)
        return False
    return calendar.last_fire(kept[0], now, PRUNES, settings.timezone) is not None


def run_once(
    store: Store, settings: Settings, clock: Callable[[], datetime], pause: Callable[[float], None]
) -> list[Done]:
    """Do what is due; nothing where another process is at it. Of what was deleted nothing is said if nothing was old enough.

    ``pause`` is given the seconds between two of many short transactions, and may end it all by raising.
    Raises StoreError.
    """
    with store.alone("upkeep") as is_alone:
        if not is_alone:
            return []
        saved = backups.keep_up(store, settings, clock)
        done = [saved] if saved else []
        return [*done, *_prune(store, settings, clock, pause)] if _is_prune_due(store, settings, clock()) else done


def _prune(
    store: Store, settings: Settings, clock: Callable[[], datetime], pause: Callable[[float], None]
) -> list[Done]:
    now = clock()
    with store.transaction() as tx:
        kept = fired_at(tx, _PRUNING)
        set_fired(tx, _PRUNING, now, _BEGUN)
    was_broken_off = kept is not None and kept[1] == _BEGUN
    with store.reading() as tx:
        counted_from = retention.lasting(tx, now)
    if counted_from is None:  # nothing is a day old
        done = batches.Pruned()
    else:
        limits = retention.Limits.of(settings.retention, counted_from)
        done = retention.prune(store, limits, now, pause, is_thorough=was_broken_off)
    with store.transaction() as tx:
        set_fired(tx, _PRUNING, now)
    log.info("deleted after its retention: %s", done)
    return [Done(f"deleted after its retention: {done}")] if any(done.rows().values()) else []
