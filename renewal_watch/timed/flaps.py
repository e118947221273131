"""What stopped to change to and fro."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from renewal_watch.alerts.facts import quoting_facts
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.alerts import Alert, Incident, Key, Severity, Suppressor
from renewal_watch.model.policy import Policy
from renewal_watch.model.selectors import Effective
from renewal_watch.notify import flaps, suppression
from renewal_watch.notify import incidents as notify_incidents
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
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
        if flap.since is not None and (not key.environment or key.environment in policies):
            alerts.append(_settled(tx, way, known, key, flap.since, kept, now))
    keep_incidents(tx, kept, now)
    return record_alerts(tx, alerts, way, now)


def _settled(
    tx: Transaction,
    way: Routing,
    known: Situation,
    key: Key,
    since: datetime,
    kept: dict[Key, Incident | None],
    now: datetime,
) -> Alert:
    """That something has settled which went to and fro ``since``, with what holds; hidden or not, it is open no other way."""
    place = key._replace(topic="renewal") if key.topic == "auto_renewal" else key
    found = known.incidents.get(place)
    incident = found if found and found.suppressor == Suppressor.of("flapping") else None  # else it is told by itself
    severity = found.severity if found else Severity.info
    number = number_of(tx, key)
    said = way.said(way.seen(key.environment, number))
    hidden = suppression.suppressed("flapping.ended", way.seen(key.environment, number), said, known, mark=way.mark)
    if incident is not None and hidden is not None:
        kept[place] = notify_incidents.hide(incident, hidden)
    goes_on = incident is not None and hidden is None
    what = key.topic.replace("_", "-")
    return Alert(
        key=f"{'/'.join(filter(None, (key.environment, 'flapping.ended', key.number_id)))}/{now.isoformat()} {what}",
        kind="flapping.ended",
        severity=severity,
        environment=key.environment,
        facts=quoting_facts.Settled(
            who=named(number) or key.environment or key.topic,
            at=key.environment if number else "",
            what=what,
            within=flaps.settles_after(way),
            found=as_found(tx, found.alert_id) if found else None,
        ),
        number_id=key.number_id or None,
        number=named(number),
        topic=place.topic if goes_on else "",
        channels=_who_learns(tx, way, said, key, since, incident, severity),
        nature="release" if goes_on else "new",
        about=number,
    )


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
