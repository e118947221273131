"""What stopped to change to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from renewal_watch.alerts import around
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.alerts import Alert, Incident, Key, Severity, Suppressor
from renewal_watch.model.policy import Policy
from renewal_watch.model.selectors import Effective
from renewal_watch.notify import flaps, suppression
from renewal_watch.notify import incidents as notify_incidents
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.incidents import flaps_of, keep_flaps, keep_incidents
from renewal_watch.store.incidents.situation import situation_of
from renewal_watch.store.outbox.alerts import record_alerts, told_of_alert
from renewal_watch.timed.reminders import as_found, is_left, named, number_of


def settle_flaps(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    """What went to and fro has settled: told once, with what holds now."""
    settled = {
        key: flap
        for key, flap in flaps_of(tx, until=now - flaps.settles_after(way)).items()
        if flaps.has_settled(flap, way, now)
        and (not key.environment or key.environment in policies or is_left(tx, key.environment, now))
    }
    if not settled:
        return 0
    known = situation_of(tx, now, {key.environment for key in settled})
    keep_flaps(tx, dict.fromkeys(settled))
    alerts = []
    kept: dict[Key, Incident | None] = {}
    for key, flap in settled.items():
        if flap.since is None or (key.environment and key.environment not in policies):
            continue
        place = key._replace(topic="renewal") if key.topic == "auto_renewal" else key
        incident = known.incidents.get(place)
        state = None if incident is None else as_found(tx, incident.alert_id)
        severity = Severity.info if incident is None else incident.severity
        if incident is not None and incident.suppressor != Suppressor.of("flapping"):
            incident = None  # told by itself
        number = number_of(tx, key)
        one = way.seen(key.environment, number)
        said = way.said(one)
        hidden = suppression.suppressed("flapping.ended", one, said, known, mark=way.mark)
        if incident is not None and hidden is not None:
            kept[place] = notify_incidents.hide(incident, hidden)
        who = named(number) or key.environment or key.topic
        what = key.topic.replace("_", "-")
        facts = around.Settled(who, key.environment if number else "", what, flaps.settles_after(way), state)
        alerts.append(
            Alert(
                key=f"{'/'.join(filter(None, (key.environment, 'flapping.ended', key.number_id)))}/{now.isoformat()} {what}",
                kind="flapping.ended",
                severity=severity,
                environment=key.environment,
                facts=facts,
                number_id=key.number_id or None,
                number=named(number),
                topic=place.topic if incident and not hidden else "",
                channels=_who_learns(tx, way, said, key, flap.since, incident, severity),
                nature="release" if incident and not hidden else "new",
                about=number,
            )
        )
    keep_incidents(tx, kept, now)
    return record_alerts(tx, alerts, way, now)


def _who_learns(
    tx: Transaction,
    way: Routing,
    said: Effective,
    key: Key,
    since: datetime,
    incident: Incident | None,
    severity: Severity,
) -> tuple[str, ...] | None:
    """The channels of what settled: those that take what holds now, and those that were told that it went to and fro."""
    kind = "flapping.ended" if incident is None else incident.kind
    takes = suppression.taking(kind, severity, key.environment, said, way)
    told = told_of_alert(tx, "flapping.started", key, since)
    return tuple(one.name for one in way.channels if one.name in takes or one.name in told) or None
