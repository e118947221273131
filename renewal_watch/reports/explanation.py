"""``explain``: what is known of a number, what comes next, and who is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from renewal_watch.alerts import account_facts, phrases, release_facts
from renewal_watch.alerts.phrases import instant
from renewal_watch.detect import renewals
from renewal_watch.model.account import Release
from renewal_watch.model.alerts import Incident, Key
from renewal_watch.model.numbers import Fault, PhoneNumber
from renewal_watch.model.policy import Policy, Record, Silence
from renewal_watch.model.selectors import Effective
from renewal_watch.model.tracking import Known, Watch
from renewal_watch.notify.incidents import escalates_at, reminds_at
from renewal_watch.notify.routing import Routing
from renewal_watch.reports.rows import Row
from renewal_watch.reports.tables import JSON, missing_since
from renewal_watch.text import plain


def explain(one: Row, watch: Watch, policy: Policy, said: Effective, faults: Sequence[Fault] = ()) -> list[str]:
    """Why this number did or did not alert, and what comes next and when; ``said`` is what the rules give it.

    ``faults`` are the fields of its entry that cannot be read.
    """
    known, number = one.known, one.number
    who = phrases.who(number)
    on = number.auto_renewal
    lines = [
        (
            f"{who} ({one.environment}, id {plain(known.provider_id)}): status {plain(number.status or 'not stated')}, "
            f"auto-renewal {'on' if on else 'off' if on is False else 'not stated'}, "
            f"{phrases.money(number.cost, number.currency)} a month."
        )
    ]
    lines += [
        f"Its {fault.field} cannot be read and counts as unknown: it is {fault.form}, {plain(fault.shown)}."
        for fault in faults
    ]
    if watch.last_error:
        lines.append(
            f"The last poll failed: {plain(watch.last_error, 500)}. Everything here is as last known at {instant(watch.last_success_at)}."
        )
    if known.is_sandbox and not policy.include_sandbox:
        return [*lines, "It is a sandbox number: kept in the history, left out of alerts (include_sandbox = false)."]
    if known.absence is not None and known.absence.moved_to:
        there = known.absence.moved_to
        return [*lines, f"It moved to {there}, which lists it; see: renewal-watch explain {who} --environment {there}"]
    if known.missing_at is not None:
        return [
            *lines,
            f"It is missing since {instant(missing_since(known))} and not watched until it returns to the list.",
        ]
    if known.absence is not None:
        lines.append(
            f"It was not in the last list ({known.absence.polls} of {policy.missing_after_polls} polls until it counts as missing); "
            "its countdown goes on."
        )
    if one.days_left is None or one.renews_on is None:
        return [
            *lines,
            "It has neither a countdown nor a renewal date, so no renewal alert can come; other changes are told.",
        ]
    is_dated = number.renewal_on(policy.zone) == one.renews_on and (known.zero_at is None or one.disagreement)
    source = "its renewal_date" if is_dated else "the provider's countdown"
    left = f"{phrases.days(one.days_left)} left" if one.days_left >= 0 else f"{phrases.days(-one.days_left)} overdue"
    lines.append(f"{left}, by {source}; renewal day {phrases.day(one.renews_on.toordinal())}.")
    if one.disagreement:
        lines.append(f"Note: {one.disagreement}.")
    if one.days_left < 0:
        lines.append(_next_overdue(known))
        return lines
    return [*lines, *_ahead(one.known, one.renews_on.toordinal(), one.days_left, number, policy, said)]


def _ahead(
    known: Known, renews_on: int, days_left: int, number: PhoneNumber, policy: Policy, said: Effective
) -> list[str]:
    """Which thresholds a number has, what of them was told in this cycle, and what comes next."""
    if known.lapse is not None:
        last = phrases.day(renews_on - policy.lapse_days)
        fate = "was told" if known.lapse.reminded_on is not None else f"is told on {last}"
        return [f"It is meant to expire: no threshold is notified; the final warning {fate}."]
    key = "auto_renewal_warn_days" if number.auto_renewal else "warn_days"
    own = getattr(said, key)
    thresholds = getattr(policy, key) if own is None else own
    key = key if own is None else f"{key} of the rule {dict(said.given)[key]}"
    lines = [
        f"Thresholds ({key}): {', '.join(map(str, sorted(thresholds, reverse=True))) or 'none'}, and the day itself."
    ]
    cycle = known.cycle
    threshold = None if cycle is None else cycle.told_threshold
    if cycle is None:
        lines.append("Nothing has been told in this cycle: no threshold is reached yet.")
    elif threshold is not None:
        lines.append(f"Told in this cycle: the threshold of {phrases.days(threshold)}.")
    elif cycle.overdue_told:
        lines.append(f"Told in this cycle: overdue, {cycle.overdue_told} times.")
    told = 10_000 if threshold is None else threshold
    ahead = [t for t in {*thresholds, 0} if t < min(told, days_left + 1)]
    if ahead:
        nearest = max(ahead)
        day = phrases.day(renews_on - nearest)
        lines.append(f"Next: the threshold of {phrases.days(nearest)}, on {day}, at the first poll of that day.")
    elif days_left == 0:
        lines.append(f"Next: overdue, if it did not renew, on {phrases.day(renews_on + 1)}.")
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What decides whether alerts about a number are told."""

    said: Effective
    silences: Sequence[Silence]  # that are about it, active now
    lapse: str | None
    incidents: Mapping[Key, Incident]  # that are open
    hides: Mapping[Key, str]  # what would hide their reminders now
    actions: Sequence[Mapping[str, JSON]]
    channels: Sequence[str]
    record: Record
    users: Sequence[str] | None = None  # agents, None where nothing is known of them
    request: Release | None = None  # to release it


def explain_telling(one: Telling, way: Routing) -> list[str]:
    """Which rules, silences and acknowledgements decide on its alerts, and what still holds."""
    lines = []
    told = [f"{name}: {value}" for name, value in (("owner", one.record.owner), ("note", one.record.note)) if value]
    told += [f"labels: {', '.join(one.record.labels)}"] * bool(one.record.labels)
    if told:
        lines.append(f"Inventory: {plain('; '.join(told), 500)}.")
    if one.users is not None:
        lines.append(account_facts.used_by(one.users, most=len(one.users)).strip() or "No agent uses it.")
    if one.request is not None:
        lines.append(f"{release_facts.asked(one.request)}.")
    if one.said.given:
        given: dict[str, list[str]] = {}
        for name, rule in one.said.given:
            given.setdefault(rule, []).append(f"{name}{_given(one.said, name)}")
        lines += [f"Rule {rule} gives: {'; '.join(keys)}." for rule, keys in given.items()]
    elif way.rules:
        lines.append("No rule matches it.")
    if one.lapse:
        lines.append(f"It is meant to expire ({one.lapse}): renewal alerts are hidden, the final warning is sent.")
    for silence in one.silences:
        why = f": {plain(silence.comment)}" if silence.comment else ""
        kinds = f" (kinds {', '.join(silence.kinds)})" if silence.kinds else ""
        lines.append(f"Silence {silence.pk} of {plain(silence.author)} until {instant(silence.ends_at)}{kinds}{why}.")
    for key, incident in one.incidents.items():
        is_folded = key.topic != "presence" and key._replace(topic="presence") in one.incidents
        state = "waits, for it is told as missing" if is_folded else _state(incident, way, one.hides.get(key))
        lines.append(
            f"Open since {instant(incident.opened_at)}: {key.topic} ({incident.kind}, {incident.severity.name}); {state}."
        )
    for action in list(one.actions)[:10]:
        comment = f": {plain(action['comment'])}" if action["comment"] else ""
        lines.append(f"{instant(action['at'])} {plain(action['author'])} did: {action['verb']}{comment}.")
    lines.append(f"Channels for it: {', '.join(one.channels) or 'none; nobody is told'}.")
    return lines


def _given(said: Effective, key: str) -> str:
    name, _, pattern = key.partition(" ")
    if name == "severities":
        return f" is {next(severity.name for kind, severity, _ in reversed(said.severities) if kind == pattern)}"
    if name == "add_channels":
        return ""
    value = getattr(said, name)
    shown = [one[0] for one in value] if name == "mute" else value
    return f" = {', '.join(map(str, shown)) or 'none' if isinstance(shown, list | tuple) else shown}"


def _state(incident: Incident, way: Routing, hidden: str | None) -> str:
    """What was and will be told of an incident."""
    if incident.suppressed is not None:
        return f"hidden: {plain(incident.suppressed, 300)}"
    if incident.ack is not None:
        until = f" or at {instant(incident.ack.until)}" if incident.ack.until else ""
        return f"acknowledged by {plain(incident.ack.by)} at {instant(incident.ack.at)}; told again if it gets worse{until}"
    said = [f"last notified at {instant(incident.notified_at)}"]
    at = reminds_at(incident, way)
    if hidden is not None:
        return f"{said[0]}; hidden now: {plain(hidden, 300)}"
    said.append(f"told again at {instant(at)}" if at else "no further reminder")
    at = escalates_at(incident, way)
    said += [f"escalated at {instant(at)} if nobody acts"] * bool(at)
    said += [f"escalated at {instant(incident.escalated_at)}"] * bool(incident.escalated_at)
    return ", ".join(said)


def _next_overdue(known: Known) -> str:
    cycle = known.cycle
    if cycle is None or cycle.overdue_at is None:
        return "It is overdue; the next poll tells it."
    at = datetime.fromtimestamp(renewals.overdue_repeat_at(cycle.overdue_at, cycle.overdue_told), UTC)
    return f"It is overdue and was told {cycle.overdue_told} times; told again at {instant(at)} unless it renews."
