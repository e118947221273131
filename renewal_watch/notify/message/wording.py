"""From alerts to what one channel is shown of them: the user's templates, and numbers masked.

A template that fails leaves the built-in words, and the message says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product

from renewal_watch.alerts.links import path_of
from renewal_watch.alerts.phrases import money
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Alert, Message, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.kinds import ROWS
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.notify.message.render import Own
from renewal_watch.notify.message.subject import brief
from renewal_watch.notify.message.templates import Job, Words, faults_of, render
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Template
from renewal_watch.settings.whole import Settings
from renewal_watch.text import masked

Value = str | int | bool | list[str] | None
Said = Value | dict[str, str]  # of an event
_NO_NUMBERS = frozenset(
    {"message_id", "url", "key", "number_id", "created_at", "renews_on", "cost"}
)  # their digits are none


def own_words(
    alerts: Sequence[Alert],
    channel: Channel,
    routing: Routing,
    found_at: datetime,
) -> tuple[dict[str, Own], str | None]:
    """The user's words by the keys of the alerts, and the first fault of a template. ``about`` gives the number."""
    jobs: list[Job] = []
    keys: list[str] = []
    for alert in alerts:
        values = _values(alert, routing, found_at)
        if channel.mask_numbers:
            values = {name: _masked(value, alert.number) for name, value in values.items()}
        job = _job(alert, channel.name, channel.format, routing.templates, values)
        if job is not None:
            jobs.append(job)
            keys.append(alert.key)
    words = render(jobs) if jobs else []
    fault = next((said.fault for said in words if said.fault), None)
    return {key: Own(said.subject, said.body) for key, said in zip(keys, words, strict=True) if _is_of_use(said)}, fault


def _is_of_use(said: Words) -> bool:
    return said.fault is None


def _job(alert: Alert, channel: str, form: str, templates: Iterable[Template], values: dict[str, Value]) -> Job | None:
    """The templates for an alert: of those that are for it, the last one with a subject, and with a body."""
    subject = body = None
    for template in templates:
        if template.is_for(alert.kind, channel):
            subject = template.subject if template.subject is not None else subject
            body = template.body if template.body is not None else body
    if subject is None and body is None:
        return None
    return Job(subject=subject, body=body, format=form, values=values)


def _values(alert: Alert, routing: Routing, found_at: datetime) -> dict[str, Value]:
    """What a template is given; every name is always there, None where nothing is known."""
    number = alert.about
    one = routing.subject(alert)
    record = routing.record(one)
    owner = routing.said(one).owner or record.owner
    renews_on = None if number is None else number.renewal_on(routing.zone)
    return {
        "kind": alert.kind,
        "severity": alert.severity.name,
        "environment": alert.environment or None,
        "number": alert.number,
        "id": alert.number_id,
        "days_left": alert.days_left,
        "renews_on": None if renews_on is None else renews_on.isoformat(),
        "headline": alert.headline,
        "text": alert.text,
        "found_at": f"{found_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "status": None if number is None else number.status,
        "country": None if number is None else number.country_code,
        "type": None if number is None else number.type,
        "auto_renewal": None if number is None else number.auto_renewal,
        "cost": None if number is None else money(number.cost, number.currency),
        "owner": owner or None,
        "labels": list(record.labels),
        "note": record.note or None,
    }


def _masked(value: Value, number: str | None) -> Value:
    if isinstance(value, list):
        return [masked(one, number) for one in value]
    return masked(value, number) if isinstance(value, str) else value


def _hidden(name: str, value: Said, number: str | None) -> Said:
    """``value`` of an event without its number; an id or key stays whole unless it is made of the number."""
    if isinstance(value, dict):
        return {key: str(_hidden(key, inner, number)) if key == "key" else inner for key, inner in value.items()}
    digits = selectors.digits(number)
    return (
        value if name in _NO_NUMBERS and not (digits and digits in selectors.digits(value)) else _masked(value, number)
    )


def mask(alert: Alert) -> Alert:
    """The built-in words as a channel is shown them that must not know whole numbers."""
    headline, text = alert.words
    said = (masked(one, alert.number) for one in (headline, text, brief(alert)))
    number = alert.number and masked(alert.number, alert.number)
    course, shown = alert.course, alert.number_id
    if shown is not None and masked(shown, alert.number) != shown:  # an id that is the number would stand in the link
        course, shown = course and course._replace(name=""), None
    return replace(alert, facts=Written(*said), around=(), kept=None, number=number, number_id=shown, course=course)


def event(
    alert: Alert,
    channel: Channel,
    routing: Routing,
    *,
    message_id: str,
    alert_id: int | None,
    found_at: datetime,
    note: str = "",
    agents: Sequence[str] | None = None,
    incident: tuple[str, str, datetime] | None = None,
    is_test: bool = False,
) -> Message:
    """One alert as a hook is told it: a JSON object in one line, whose keys docs/hooks.md promises.

    ``about`` gives the number, ``incident`` its key, its state at the time of sending, and when it was opened.
    Every key is always there, null where nothing is known.
    """
    number = alert.about
    values = _values(alert, routing, found_at)
    said: dict[str, Said] = {
        "message_id": message_id,
        "channel": channel.name,
        "test": is_test or alert.kind == "canary.sent",
        "id": alert_id,
        "key": alert.key,
        "kind": alert.kind,
        "severity": alert.severity.name,
        "environment": values["environment"],
        "created_at": _at(found_at),
        "headline": alert.headline,
        "text": alert.text,
        "delivery_note": note or None,
        "incident": None if incident is None else _standing(*incident),
        "url": routing.pages + path_of(mask(alert) if channel.mask_numbers else alert) if routing.pages else None,
        "number_id": alert.number_id,
        "number": alert.number,
        **{name: values[name] for name in ("days_left", "renews_on", "status", "country", "type", "auto_renewal")},
        "cost": None if number is None or number.cost is None else f"{number.cost:f}",
        "currency": None if number is None else number.currency,
        "agents": None if agents is None else list(agents),
        **{name: values[name] for name in ("owner", "labels", "note")},
    }
    if channel.mask_numbers:
        said = {name: _hidden(name, value, alert.number) for name, value in said.items()}
    body = json.dumps(said, separators=(",", ":"))  # in ASCII, whatever a script takes its input for
    return Message(message_id=message_id, title=alert.headline, body=body, severity=alert.severity, format="json")


def _standing(key: str, state: str, opened_at: datetime) -> dict[str, str]:
    return {"key": key, "state": state, "opened_at": _at(opened_at)}


def _at(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def template_faults(settings: Settings) -> list[str]:
    """What is wrong with the templates, tried with a made-up alert of every kind, once in each format that is asked of them."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = [(alert, _values(alert, Routing(), at)) for alert in _made_up()]
    seen: dict[str, str] = {}
    for count, template in enumerate(settings.templates, 1):
        tried: dict[str, list[tuple[str, Job]]] = {}  # by format
        for channel in settings.channels:
            if tried.get(channel.format):
                continue
            told = ((alert, _job(alert, channel.name, channel.format, [template], values)) for alert, values in made)
            tried[channel.format] = [
                (f"templates.{count} ({alert.kind} on {channel.name})", job) for alert, job in told if job is not None
            ]
        for fault in faults_of([one for jobs in tried.values() for one in jobs]):  # one kind that shows it is enough
            place, _, what = fault.partition(": ")
            seen.setdefault(f"{place.partition(' ')[0]}: {what}", fault)
    return list(seen.values())


def _made_up() -> list[Alert]:
    """Alerts of every kind: with all that the kind may have, and with no more than it must."""
    number = PhoneNumber(
        id="phone-1",
        number="+15550001234",
        country_code="US",
        type="local",
        has_voice=True,
        current_status="active",
        currency="USD",
        monthly_renewal_cost=Decimal("1.00"),
        renewal_date=date(2026, 1, 4).isoformat(),
        auto_renewal=False,
        days_until_monthly_renewal=3.0,
    )
    bare = PhoneNumber(id="phone-1", number="+15550001234")
    alerts = []
    for kind, about in product(ROWS, (number, bare, None)):
        row = ROWS[kind]
        if row.about != "any" and (about is None) == (row.about == "number"):
            continue
        counts = about is number or (about is bare and row.has_days)
        alerts.append(
            Alert(
                key=kind,
                kind=kind,
                severity=Severity.critical,
                environment="" if kind.startswith(("channel.", "silence.", "digest.")) else "production",
                facts=Written(f"a made-up alert of the kind {kind}", f"A made-up alert of the kind {kind}."),
                number_id=None if about is None else str(about.id),
                number=None if about is None else str(about.number),
                days_left=3 if counts else None,
                about=about,
            )
        )
    return alerts
