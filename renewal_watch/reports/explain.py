"""Why one number did or did not alert, and what comes next and when: gathered from the database for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.language import _
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Incident, Key
from renewal_watch.model.policy import Record, Silence
from renewal_watch.notify import hold, suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
from renewal_watch.reports import alerts as reports_alerts
from renewal_watch.reports import explanation, rows
from renewal_watch.reports.rows import Row
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_state
from renewal_watch.store.fleet import Listed
from renewal_watch.store.incidents.account import explained_absences, users_of
from renewal_watch.store.incidents.audit import actions_on
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.lapses import list_lapsing
from renewal_watch.store.incidents.silences import list_silences
from renewal_watch.store.numbers import faults_of_number
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.waiting import held_deliveries
from renewal_watch.text import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """What is known of a number now, and why.

    ``alerts`` are the newest first, each delivery with until when it is held back and why.
    """

    row: Row
    lines: Sequence[str]
    alerts: Sequence[Mapping[str, Any]]
    incidents: Mapping[Key, Incident]
    silences: Sequence[Silence]  # that are about it, active now
    actions: Sequence[Mapping[str, Any]]
    record: Record

    def as_json(self) -> dict[str, Any]:
        """The keys of ``explain --json``."""
        return {**self.row.as_json(), "reasons": self.lines, "alerts": self.alerts}


def explain(
    tx: Transaction, settings: Settings, way: Routing, one: Listed, now: datetime, *, most: int | None = None
) -> Reasons:
    """Everything about a number, with its ``most`` newest alerts. Raises UsageError for one of an environment that is gone."""
    name, known, number = one
    if all(environment.name != name for environment in settings.environments):
        msg = _(
            "{number} was in the environment {environment}, which the configuration does not have any more; see: history",
            number=plain(known.number or known.provider_id),
            environment=name,
        )
        raise UsageError(msg)
    environment_id, watch, _schedule = environment_state(tx, name)
    policy = settings.policy(settings.environment(name), way.inventory)
    subject = way.seen(name, number)
    said = way.said(subject)
    row = rows.row(name, known, number, policy, now)
    silences = [silence for silence in list_silences(tx) if silence.is_active(now)]
    incidents = incidents_of(tx, known)
    situation = Situation(silences=silences, incidents=incidents, lapses=list_lapsing(tx))
    hides = {
        key: hidden.why.words()
        for key, incident in incidents.items()
        if (hidden := suppression.suppressed(incident.kind, subject, said, situation, mark=way.mark))
    }
    telling = explanation.Telling(
        said=said,
        silences=[silence for silence in silences if selectors.fits(silence.match, subject)],
        lapse=situation.lapses.get((name, known.provider_id)),
        incidents=incidents,
        hides=hides,
        actions=actions_on(tx, known),
        channels=suppression.channels_of(said, name, way),
        record=way.record(subject),
        users=users_of(tx, [(name, known.provider_id)]).get((name, known.provider_id)),
        request=explained_absences(tx, environment_id, [known], now).get(known.provider_id),
    )
    alerts = list_alerts(tx, number=known, most=most)
    reports_alerts.note_held(alerts, held(tx, settings, now))
    return Reasons(
        row=row,
        lines=[
            *explanation.explain(row, watch, policy, said, faults_of_number(tx, known)),
            *explanation.explain_telling(telling, way),
        ],
        alerts=alerts,
        incidents=incidents,
        silences=telling.silences,
        actions=telling.actions,
        record=telling.record,
    )


def held(tx: Transaction, settings: Settings, now: datetime) -> dict[str, hold.Hold]:
    """The messages that wait for their time, by their ids."""
    return {
        key: why for one in settings.channels for key, why in held_deliveries(tx, one, settings.timezone, now).items()
    }
