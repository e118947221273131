"""Reminders and escalation of what still holds, by what is known now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from renewal_watch.account import judge
from renewal_watch.account import turn as account_turn
from renewal_watch.account.current import facts_now as account_facts_now
from renewal_watch.alerts import around, phrases, reasons
from renewal_watch.alerts.facts import facts_json, quoting_facts
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect.current import AS_FOUND, Current, facts_now
from renewal_watch.model.alerts import Alert, Incident, Key, Severity
from renewal_watch.model.facts import Around, Facts
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.notify import incidents as notify_incidents
from renewal_watch.notify import suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
from renewal_watch.store.environments import environment_state
from renewal_watch.store.incidents.account import account_background, readings_of
from renewal_watch.store.incidents.incidents import due_incidents, facts_of_alerts, incidents_of, keep_incidents
from renewal_watch.store.incidents.lapses import list_lapsing
from renewal_watch.store.incidents.silences import list_silences
from renewal_watch.store.leases import are_several_daemons, list_instances
from renewal_watch.store.numbers import fleet_of, number_ids, numbers_by_id, parsed_of
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.waiting import failing_channels
from renewal_watch.timed.service_alerts import LEFT_AFTER

Again = tuple[Key, Incident, Current | None]  # an incident as it stands now, None for one that does not hold any more


def remind(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    """Reminders, escalations, and what was hidden and is not any more."""
    with phrases.in_zone(way.zone):
        return _remind(tx, way, policies, now)


def _remind(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    active = [silence for silence in list_silences(tx) if silence.is_active(now)]
    found = due_incidents(tx, active, way, now)
    if not found:
        return 0
    places = sorted({key.environment for key in found})
    known = Situation(silences=active, lapses=list_lapsing(tx, of=places))
    due = [
        (key, incident) for key, incident in found.items() if notify_incidents.is_due(key, incident, known, way, now)
    ]
    alerts: list[Alert] = []
    kept: dict[Key, Incident | None] = {}
    for environment in places:
        those = [(key, incident) for key, incident in due if key.environment == environment]
        policy = policies.get(environment)
        for key, incident, current in current_incidents(tx, way, environment, policy, those, now):
            if current is None:
                kept[key] = None
            else:
                _tell_again(way, known, key, incident, current, alerts, kept, now)
    keep_incidents(tx, kept, now)
    return record_alerts(tx, alerts, way, now)


def current_incidents(
    tx: Transaction,
    way: Routing,
    environment: str,
    policy: Policy | None,
    those: Sequence[tuple[Key, Incident]],
    now: datetime,
) -> list[Again]:
    """Each incident as it stands now, None for one that does not hold any more."""
    if not environment:
        judged = [(key, incident, _holds(tx, way, key, now)) for key, incident in those]
        return _whole(
            tx,
            [(key, incident, Current() if holds else None) for key, incident, holds in judged if holds is not None],
        )
    environment_id, watch, _ = environment_state(tx, environment)
    if policy is None:
        return [(key, incident, None) for key, incident in those] if is_left(tx, environment, now) else []
    of_account = {key.topic for key, _ in those if judge.reading_of(key.topic)}
    readings = readings_of(tx, environment_id) if of_account else {}
    background = (
        account_background(tx, environment, readings, of_account, now) if of_account else account_turn.Background()
    )
    fleet = fleet_of(tx, environment_id, {key.number_id for key, _ in those if key.number_id})
    parsed = parsed_of(tx, (fleet[key.number_id] for key, _ in those if key.number_id in fleet))
    gone = {name for name, known in fleet.items() if known.missing_at is not None}
    return _whole(
        tx,
        [
            (
                key,
                incident,
                account_facts_now(key, readings, background, policy, now)
                if key.topic in of_account
                else facts_now(key, incident, parsed.get(key.number_id), fleet.get(key.number_id), watch, policy, now),
            )
            for key, incident in those
            if key.topic == "presence" or key.number_id not in gone  # what else is about it goes on should it return
        ],
    )


def _whole(tx: Transaction, those: Sequence[Again]) -> list[Again]:
    """With the facts that were found, where nothing newer is known; those that count days with the days of today."""
    old = {incident.alert_id for _, incident, one in those if one is not None and one.facts is AS_FOUND}
    found = facts_of_alerts(tx, old)

    def whole(key: Key, incident: Incident, current: Current | None) -> Current | None:
        if current is None or current.facts is not AS_FOUND:
            return current
        facts, at = found[incident.alert_id]
        today = facts_json.today(facts, current.number, key.environment, current.days_left, current.renews_on)
        return replace(current, facts=today or facts, around=() if today else (around.AsFound(at),))

    return [(key, incident, whole(key, incident, current)) for key, incident, current in those]


def is_left(tx: Transaction, environment: str, now: datetime) -> bool:
    """Whether an environment that this daemon does not have was taken out; else only its file may be broken here."""
    polled_at = environment_state(tx, environment)[1].last_poll_at
    return polled_at is None or now - polled_at >= LEFT_AFTER


def _holds(tx: Transaction, way: Routing, key: Key, now: datetime) -> bool | None:
    """Whether an incident of the service itself still holds; None where another daemon has to say that."""
    what, _, name = key.topic.partition(" ")
    if what == "channel" and way.named(name) is not None:
        return name in failing_channels(tx)
    if what == "canary" and way.canary.channel:
        return True
    if what in ("channel", "canary"):
        return None if are_several_daemons(tx, now) else False
    if what in ("inventory", "environments") and " on " in key.topic:
        machines = {one.host for one in list_instances(tx, now)}
        return not machines or key.topic.rpartition(" on ")[2] in machines
    if what == "daemon":  # unless it was given up just now
        return key in incidents_of(tx, of=[""])
    return what in ("inventory", "environments", "backup")  # their ends are told


def _tell_again(
    way: Routing,
    known: Situation,
    key: Key,
    incident: Incident,
    current: Current,
    alerts: list[Alert],
    kept: dict[Key, Incident | None],
    now: datetime,
) -> None:
    """Add what is due of one incident, in the words of today; or note what hides it now."""
    one = way.seen(key.environment, current.number)
    said = way.said(one)
    hidden = suppression.suppressed(incident.kind, one, said, known, mark=way.mark)
    if hidden is not None:
        kept[key] = notify_incidents.hide(incident, hidden)
        return
    ack = incident.ack
    if incident.suppressor is not None and ack is not None and ack.holds(now):  # somebody knows already
        kept[key] = notify_incidents.show(incident)
        return
    if incident.suppressor is not None or incident.notified_at is None or ack is not None:
        ran_out = reasons.Acknowledged(ack.by, until=ack.until) if ack else reasons.Acknowledged("")
        hidden_by = incident.suppressed or ran_out
        why = around.Released(hidden_by, incident.opened_at, incident.notified_at)
        alerts.append(_again("release", key, incident, current, why, now))
        return
    if notify_incidents.is_escalation_due(incident, way, now) and incident.urgent_at is not None:
        channels = notify_incidents.escalates_to(said, way)
        if channels:
            urgent = around.Escalation(incident.urgent_at, now, incident.alert_id)
            alerts.append(_again("escalation", key, incident, current, urgent, now, channels))
    if notify_incidents.is_reminder_due(incident, way, now) and incident.notified_at is not None:
        count, most = incident.reminded + 1, way.reminders.max_times
        is_critical = incident.severity == Severity.critical
        reminder = around.Reminder(count, most, incident.notified_at, incident.alert_id, is_critical)
        alerts.append(_again("reminder", key, incident, current, reminder, now))


def named(number: PhoneNumber | None) -> str | None:
    """A number as messages name it; None for none."""
    return None if number is None else phrases.who(number)


def as_found(tx: Transaction, alert_id: int) -> tuple[Facts, datetime]:
    """The facts of an alert, to be quoted, and when they were found."""
    facts, at = facts_of_alerts(tx, [alert_id])[alert_id]
    return quoting_facts.as_kept(facts), at


def _again(
    nature: Literal["reminder", "release", "escalation"],
    key: Key,
    incident: Incident,
    current: Current,
    why: Around,
    now: datetime,
    channels: tuple[str, ...] | None = None,
) -> Alert:
    place = "/".join(filter(None, (key.environment, incident.kind, key.number_id)))
    return Alert(
        key=f"{place}/{nature} of {key.topic}/{now.isoformat()}",
        kind=incident.kind,
        severity=incident.severity,
        environment=key.environment,
        facts=current.facts,
        around=(*current.around, why),
        number_id=key.number_id or None,
        number=named(current.number),
        days_left=current.days_left,
        topic=key.topic,
        nature=nature,
        channels=channels,
        about=current.number,
    )


def number_of(tx: Transaction, key: Key) -> PhoneNumber | None:
    """The number of a key as last listed; None where it has none."""
    if not key.number_id:
        return None
    ids = number_ids(tx, {(key.environment, key.number_id)})
    return next(iter(numbers_by_id(tx, ids.values()).values()), None)
