"""One turn of time: what is to be told because time passed, not because a list came.

One transaction, cheap when idle; the digests, which look at every number, are a turn of their own:

environments that became stale       reminders of what still holds       incidents that nobody acknowledged: escalation
what a silence hid when it ends      silences about to end               what stopped flapping
messages of failing channels, for their fallback                         backups that fail
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from renewal_watch.database.store import Store
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.silences import close_silence, list_silences
from renewal_watch.store.outbox.settling import stand_in
from renewal_watch.timed.flaps import settle_flaps
from renewal_watch.timed.reminders import remind
from renewal_watch.timed.service_alerts import tell_backup, tell_daemons, tell_files, tell_inventory, tell_stale
from renewal_watch.timed.silences import BY_TIME, end_silences


def run_once(
    store: Store,
    way: Routing,
    policies: Mapping[str, Policy],
    now: datetime,
    *,
    inventory_faults: Sequence[str] = (),
    file_faults: Mapping[str, str] | None = None,
    host: str = "",
    instance: str | None = None,
) -> int:
    """Tell what time has made due; how many alerts are new. ``policies`` are those of the configured environments.

    ``file_faults`` say by file what is wrong with the environments' directory, None who has not looked; ``host`` is the
    machine that has it, and ``instance`` this daemon, where several share the database.
    """
    with store.transaction() as tx:
        told = tell_stale(tx, way, policies, now)
        for silence in list_silences(tx):
            if now >= silence.ends_at:
                close_silence(tx, silence.pk, BY_TIME, now)
        known = incidents_of(tx, of=[""])
        told += tell_inventory(tx, way, known, inventory_faults, host, now)
        told += tell_backup(tx, way, known, now)
        if file_faults is not None:
            told += tell_files(tx, way, known, file_faults, f" on {host}" if host else "", now)
        told += tell_daemons(tx, way, known, instance, now)
        told += remind(tx, way, policies, now)
        told += end_silences(tx, way, now)
        told += settle_flaps(tx, way, policies, now)
        for channel in way.channels:
            stand_in(tx, channel, way, now)
        return told
