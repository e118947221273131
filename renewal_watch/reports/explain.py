"""Why one number did or did not alert, and what comes next and when: gathered from the database for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.errors import UsageError
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Key, Matter
from renewal_watch.model.policy import Record, Silence
from renewal_watch.notify import hold, suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
from renewal_watch.reports import alerts as reports_alerts
from renewal_watch.reports import explanation, rows
from renewal_watch.reports.rows import Row
from renewal_watch.settings.whole import Settings
from renewal_watch.store.fleet import Listed
from renewal_watch.store.store import Transaction
from renewal_watch.text import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """What is known of a number now, and why.

    ``alerts`` are the newest first, each delivery with until when it is held back and why.
    """

    row: Row
    lines: Sequence[str]
    alerts: Sequence[Mapping[str, Any]]
    matters: Mapping[Key, Matter]
    silences: Sequence[Silence]  # that are about it, active now
    actions: Sequence[Mapping[str, Any]]
    record: Record


def explain(
    tx: Transaction, settings: Settings, way: Routing, one: Listed, now: datetime, *, most: int | None = None
) -> Reasons:
    """Everything about a number, with its ``most`` newest alerts. Raises UsageError for one of an environment that is gone."""
    name, known, number = one
    if all(environment.name != name for environment in settings.environments):
        msg = (
            f"{plain(known.number or known.provider_id)} was in the environment {name}, which the configuration does not "
            f"have any more; see: history"
        )
        raise UsageError(msg)
    environment_id, watch, _ = tx.watch(name)
    policy = settings.policy(settings.environment(name), way.inventory)
    subject = way.seen(name, number)
    said = way.said(subject)
    row = rows.row(name, known, number, policy, now)
    silences = [silence for silence in tx.silences() if silence.is_active(now)]
    matters = tx.matters(known)
    situation = Situation(silences=silences, matters=matters, lapses=tx.lapsing())
    hides = {
        key: hidden.why
        for key, matter in matters.items()
        if (hidden := suppression.suppressed(matter.kind, subject, said, situation, mark=way.mark))
    }
    telling = explanation.Telling(
        said=said,
        silences=[silence for silence in silences if selectors.fits(silence.match, subject)],
        lapse=situation.lapses.get((name, known.provider_id)),
        matters=matters,
        hides=hides,
        actions=tx.actions_on(known),
        channels=suppression.channels_of(said, name, way),
        record=way.record(subject),
        users=tx.users_of([(name, known.provider_id)]).get((name, known.provider_id)),
        request=tx.explained(environment_id, [known], now).get(known.provider_id),
    )
    alerts = tx.alerts(number=known, most=most)
    reports_alerts.note_held(alerts, held(tx, settings, now))
    return Reasons(
        row=row,
        lines=[
            *explanation.explain(row, watch, policy, said, tx.faults_of(known)),
            *explanation.explain_telling(telling, way),
        ],
        alerts=alerts,
        matters=matters,
        silences=telling.silences,
        actions=telling.actions,
        record=telling.record,
    )


def held(tx: Transaction, settings: Settings, now: datetime) -> dict[str, hold.Hold]:
    """The messages that wait for their time, by their ids."""
    return {key: why for one in settings.channels for key, why in tx.held(one, settings.timezone, now).items()}
