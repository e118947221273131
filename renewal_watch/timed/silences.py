"""Silences that end, and what they hid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from renewal_watch.alerts.facts import quoting_facts, service_facts
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.alerts import Incident, Key, Severity, Suppressor
from renewal_watch.model.facts import Facts
from renewal_watch.model.policy import Silence
from renewal_watch.notify import incidents as notify_incidents
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.incidents import facts_of_alerts, incidents_of
from renewal_watch.store.incidents.silences import list_silences, note_silence_warned
from renewal_watch.store.outbox.alerts import record_alerts

BY_TIME = "its time"  # who ended a silence that nobody ended


def end_silences(tx: Transaction, way: Routing, now: datetime) -> int:
    """That a silence will end while it hides something critical."""
    ending = [silence for silence in list_silences(tx) if notify_incidents.warns_of_end(silence, now)]
    if not ending:
        return 0
    alerts = []
    known = incidents_of(tx)
    for silence in ending:
        hides, count = _hidden_by(tx, silence, known)
        if hides:
            about = (silence.pk, silence.author, silence.comment, silence.ends_at)
            facts = quoting_facts.SilenceEnding(*about, hides, count - len(hides))
            alerts.append(service_facts.of_the_watch("silence.ending", Severity.warning, str(silence.pk), facts))
            note_silence_warned(tx, silence.pk, now)
    return record_alerts(tx, alerts, way, now)


def _hidden_by(tx: Transaction, silence: Silence, known: Mapping[Key, Incident]) -> tuple[tuple[Facts, ...], int]:
    """The first of what is critical and hidden by a silence, and how much it is."""
    ids = [
        incident.alert_id
        for incident in known.values()
        if incident.severity == Severity.critical and incident.suppressor == Suppressor.of("silence", silence.pk)
    ]
    first = ids[: quoting_facts.SHOWN]
    found = facts_of_alerts(tx, first)
    return tuple(quoting_facts.as_kept(found[one][0]) for one in first), len(ids)
