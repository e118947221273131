"""Everything about one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from renewal_watch.alerts.phrases import who
from renewal_watch.database.transaction import Transaction
from renewal_watch.language import _, pgettext
from renewal_watch.model.numbers import CAPABILITIES
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import alerts as reports_alerts
from renewal_watch.reports import explain, rows
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import id_of_environment
from renewal_watch.store.fleet import Listed
from renewal_watch.store.history import history_of
from renewal_watch.store.incidents.listing import Wanted, list_incidents, marks_of
from renewal_watch.text import plain, printable
from renewal_watch.web.pages import charts
from renewal_watch.web.pages.alerts import alerts_of
from renewal_watch.web.pages.incidents import incidents_of
from renewal_watch.web.pages.lines import Line, line_of, silence_of
from renewal_watch.web.pages.words import Words

ALERTS_OF_NUMBER = 15  # on its own page
EVENTS = 200  # of one number's history, the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberPage:
    """Everything about one number."""

    number: str
    environment: str
    provider_id: str
    line: Line
    facts: Sequence[tuple[str, str]]
    reasons: Sequence[str]
    incidents: Sequence[Mapping[str, Any]]
    is_missing: bool
    is_acknowledged: bool
    is_lapsing: bool
    silences: Sequence[Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    more_alerts: bool
    events: Sequence[Mapping[str, Any]]
    more_events: bool
    actions: Sequence[Mapping[str, Any]]
    chart: str
    chart_text: str


def number_page(tx: Transaction, settings: Settings, way: Routing, one: Listed, now: datetime) -> NumberPage:
    """One number, why it did or did not alert, and what comes next. Raises UsageError for one of a lost environment."""
    found = explain.explain(tx, settings, way, one, now, most=ALERTS_OF_NUMBER + 1)
    environment_id = id_of_environment(tx, one.environment)
    history = history_of(tx, one.known, environment_id, most=EVENTS + 1)
    words = Words.of(now, settings.timezone)
    number = found.row.number
    facts = {
        _("Id"): plain(one.known.provider_id, 100),
        _("Country"): plain(number.country_code or ""),
        _("Type"): plain(number.type or ""),
        _("Capabilities"): ", ".join(name for name in CAPABILITIES if name in number.capabilities)
        or pgettext("capabilities", "nothing"),
        _("Owner"): plain(found.record.owner),
        _("Labels"): plain(", ".join(found.record.labels)),
        _("Note"): plain(found.record.note),
    }
    mine = Wanted(ids=[incident.id for incident in found.incidents.values()])
    drawn = charts.lifeline(charts.stretches(history, now), now, words.zone)
    return NumberPage(
        number=plain(who(number), 60),
        environment=one.environment,
        provider_id=one.known.provider_id,
        line=line_of(replace(found.row, mark=marks_of(tx, [one.known.pk]).get(one.known.pk))),
        facts=[(name, value) for name, value in facts.items() if value],
        reasons=found.lines[1:],  # the first says what the facts say
        incidents=incidents_of(list_incidents(tx, words.today.toordinal(), mine)) if found.incidents else [],
        is_missing=one.known.missing_at is not None,
        is_acknowledged=bool(found.incidents)
        and all(incident.ack is not None for incident in found.incidents.values()),
        is_lapsing=one.known.lapse is not None,
        silences=[silence_of(silence) for silence in found.silences],
        alerts=alerts_of(found.alerts[:ALERTS_OF_NUMBER]),
        more_alerts=len(found.alerts) > ALERTS_OF_NUMBER,
        events=[_event(event) for event in history[::-1][:EVENTS]],
        more_events=len(history) > EVENTS,
        actions=[
            {
                "at": action["at"],
                "verb": rows.verb(action["verb"]),
                "author": printable(action["author"], 80),
                "comment": printable(action["comment"], 300),
            }
            for action in found.actions[:20]
        ],
        chart=drawn.svg,
        chart_text=drawn.text,
    )


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """A change in words; a value of the provider is shown as JSON, so that nothing of it is hidden."""
    fields = [
        (plain(name, 60), reports_alerts.changed_value(field, "before"), reports_alerts.changed_value(field, "now"))
        for name, field in event["fields"].items()
    ]
    what = {
        "listed": pgettext("history", "listed"),
        "listed again": pgettext("history", "listed again"),
        "changed": pgettext("history", "changed"),
        "unlisted": pgettext("history", "unlisted"),
    }[event["what"]]
    return {"seen_at": event["seen_at"], "not_yet_at": event["not_yet_at"], "what": what, "fields": fields}
