"""What the service tells of itself as time passes: stale lists, files, backups, daemons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from renewal_watch.alerts.facts import service_facts
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import failures
from renewal_watch.model.alerts import Incident, Key, Severity
from renewal_watch.model.facts import Facts
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.incidents import close_incidents
from renewal_watch.store.incidents.timers import fired_at
from renewal_watch.store.leases import deregister, judges, list_instances
from renewal_watch.store.maintenance import backups
from renewal_watch.store.numbers import fleet_of
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.record import record_poll

_FILE = "environments "  # the topic of a file of an environment begins so
_DAEMON = "daemon "  # and that of a machine whose daemon is gone
_MISSED_FOR = timedelta(seconds=60)  # a daemon that comes back so soon was started anew
LEFT_AFTER = timedelta(days=1)  # an environment that nobody polled, a machine without a daemon, was taken out


def tell_stale(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    """Environments that became stale between two polls."""
    told = 0
    for environment_id, watch, _ in environment_states(tx):
        policy = policies.get(watch.name)
        if policy is None or watch.last_error is None or "watch.stale" in watch.told:
            continue
        if failures.is_stale(watch, policy, now):
            verdict = failures.judge_time(fleet_of(tx, environment_id), watch, policy, now)
            told += record_poll(tx, environment_id, verdict, None, None, way, now)
    return told


def tell_inventory(
    tx: Transaction, way: Routing, known: Mapping[Key, Incident], faults: Sequence[str], host: str, now: datetime
) -> int:
    """That the inventory of a machine cannot be read whole, once, and its end; those of others are theirs to end."""
    here = f"inventory on {host}" if host else "inventory"
    told = {topic for topic in ("inventory", here) if Key("", "", topic) in known}
    if here in told if faults else not told:
        return 0
    facts = service_facts.InventoryInvalid(faults[0], host) if faults else service_facts.InventoryMended(host)
    severity = Severity.warning if faults else Severity.info
    alerts = [
        service_facts.of_the_watch(
            "inventory.invalid", severity, f"{host} {now.isoformat()}".strip(), facts, topic=topic, ends=not faults
        )
        for topic in ({here} if faults else told)
    ]
    return record_alerts(tx, alerts, way, now)


def tell_backup(tx: Transaction, way: Routing, known: Mapping[Key, Incident], now: datetime) -> int:
    """That the database is not backed up, again when it becomes urgent, and its end."""
    place = Key("", "", "backup")
    incident = known.get(place)
    if not way.backup.directory:
        if incident is not None and not tx.is_postgresql:  # another daemon may be the one that makes them
            close_incidents(tx, [place], now)
        return 0
    state = backups.State.of(fired_at(tx, backups.CALENDAR))
    if state.fault is None:
        if incident is None:
            return 0
        facts: Facts = service_facts.BackupMade(state.file)
        kind, severity = "watch.recovered", Severity.info
    else:
        severity = Severity.critical if state.missed >= backups.URGENT_AFTER else Severity.warning
        if incident is not None and incident.severity >= severity:
            return 0
        kind, facts = "backup.failed", service_facts.BackupFailed(way.backup.directory, state.fault, state.good_at)
    key = f"backup/{now.isoformat()}"
    alert = service_facts.of_the_watch(kind, severity, key, facts, topic=place.topic, ends=state.fault is None)
    return record_alerts(tx, [alert], way, now)


def tell_files(
    tx: Transaction, way: Routing, known: Mapping[Key, Incident], found: Mapping[str, str], where: str, now: datetime
) -> int:
    """Files of environments that cannot be used, each once, and their ends; those of other machines are theirs to end."""
    topics = (key.topic.removeprefix(_FILE) for key in known if key.topic.startswith(_FILE))
    told = {file for file in topics if not where or " on " not in file or file.endswith(where)}
    faults = {f"{file}{where}": fault for file, fault in found.items()}
    alerts = []
    for file in sorted(faults.keys() ^ told):
        is_broken = file in faults
        facts = (
            service_facts.EnvironmentsInvalid(file, faults[file])
            if is_broken
            else service_facts.EnvironmentsMended(file)
        )
        severity = Severity.warning if is_broken else Severity.info
        key = f"{now.isoformat()} {file}"
        alerts.append(
            service_facts.of_the_watch(
                "environments.invalid", severity, key, facts, topic=f"{_FILE}{file}", ends=not is_broken
            )
        )
    return record_alerts(tx, alerts, way, now) if alerts else 0


def tell_daemons(
    tx: Transaction, way: Routing, known: Mapping[Key, Incident], instance: str | None, now: datetime
) -> int:
    """Daemons that are gone without a word: told once, unless one on the same machine has come after it; and its end."""
    at = tx.clock(now)
    if not judges(tx, instance, at):
        return 0
    alerts = []
    found = list_instances(tx, now)
    living = [one for one in found if one.is_alive]

    def has_come(host: str, since: datetime) -> bool:
        return any(one.host == host and one.started_at > since for one in living)

    for gone in found:
        if gone.is_alive:
            continue
        if has_come(gone.host, gone.seen_at):
            deregister(tx, gone.id)
        elif gone.seen_at + _MISSED_FOR <= at:
            deregister(tx, gone.id)
            facts: Facts = service_facts.DaemonLost(
                gone.host, gone.pid, gone.seen_at, tuple({one.host for one in living})
            )
            mark, topic = f"{gone.id} {gone.seen_at.isoformat()}", f"{_DAEMON}{gone.host}"
            alerts.append(service_facts.of_the_watch("watch.daemon_lost", Severity.warning, mark, facts, topic=topic))
    for key, incident in known.items():
        if not key.topic.startswith(_DAEMON):
            continue
        host = key.topic.removeprefix(_DAEMON)
        if has_come(host, incident.opened_at):
            mark, facts = f"{host} {now.isoformat()}", service_facts.DaemonBack(host)
            alerts.append(
                service_facts.of_the_watch("watch.recovered", Severity.info, mark, facts, topic=key.topic, ends=True)
            )
        elif now - incident.opened_at > LEFT_AFTER:
            close_incidents(tx, [key], now)
    return record_alerts(tx, alerts, way, now)
