"""Decides who is told of an alert, and what hides it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from renewal_watch.alerts import reasons
from renewal_watch.alerts.around import OwnedBy, has_been_said
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Alert, Incident, Suppressor
from renewal_watch.model.policy import Record
from renewal_watch.model.selectors import Effective
from renewal_watch.notify.flaps import flap_of
from renewal_watch.notify.incidents import incident_of
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import (
    CHANGES,
    Decision,
    Hidden,
    Plan,
    Situation,
    channels_for,
    what_hides,
    with_those_told,
)


def plan(
    found: Sequence[tuple[int, Alert]],
    routing: Routing,
    situation: Situation,
    now: datetime,
    ids: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """Decide on alerts in the order in which they were found; ``found`` has them with their ids.

    ``ids`` gives by an alert's key the id of an incident that it may open.
    """
    made = Plan()
    told: dict[str, tuple[str, ...]] = {}
    is_simple = not routing.rules and not routing.inventory
    for alert_id, judged in found:
        said, alert = selectors.NOTHING, judged
        if not is_simple:
            one = routing.subject(judged)
            said = routing.said(one)
            alert = _worded(judged, said, routing.record(one))
        key = alert.place
        incident = made.incidents[key] if key in made.incidents else situation.incidents.get(key)
        hidden = what_hides(alert, said, routing, situation, incident, now)
        if alert.nature == "new" and alert.kind in CHANGES and alert.topic:
            hidden = flap_of(alert, said, routing, situation, made, hidden, now)
        channels = () if hidden else channels_for(alert, said, routing)
        if alert.ends and not hidden:
            channels = with_those_told(channels, situation.told.get(key, frozenset()), routing)
        if not hidden and not channels:
            hidden = Hidden(reasons.Unrouted(), Suppressor.of("nobody", routing.mark))
        told[alert.key] = channels
        if alert.said_by in told:  # those who are told of the one know the other
            channels = tuple(name for name in channels if name not in told[alert.said_by])
        why = hidden.why if hidden else None if channels else reasons.SaidByAnother()
        after = None
        if alert.topic:
            after = incident_of(alert_id, alert, incident, hidden, routing, now, ids.get(alert.key, 0))
            if after is not None or incident is not None:
                made.incidents[key] = after
            if after is None and incident is not None and not _is_known(incident, situation.incidents.get(key)):
                made.brief.append((key, incident))
        about = (after or incident) if alert.topic else None
        if about is None and channels:  # whoever is called by such a service would have nothing that ever ends
            channels = tuple(name for name in channels if not routing.is_oncall(name))
            why = None if channels else reasons.Unrouted()
        made.decisions.append(Decision(alert_id, alert, why, channels, about.id if about else 0))
    return made


def _is_known(incident: Incident, before: Incident | None) -> bool:
    """Whether it was open before the batch."""
    return before is not None and incident.id == before.id


def _worded(alert: Alert, said: Effective, record: Record) -> Alert:
    """The alert with the severity the rules give it, and with whose it is."""
    severity = said.severity(alert.kind, alert.severity)
    owner = said.owner or record.owner
    if not (owner or record.labels or record.note) or has_been_said(alert, OwnedBy):
        return alert if severity == alert.severity else replace(alert, severity=severity)
    of = OwnedBy(owner, tuple(record.labels), record.note)
    return replace(alert, severity=severity, around=(of, *alert.around))
