"""The answers of the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from renewal_watch.diagnostics import health
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.tracking import Watch
from renewal_watch.reports import alerts, explain, export, forecast
from renewal_watch.reports import status as reports_status
from renewal_watch.reports.incidents import incident_json
from renewal_watch.reports.past import changes
from renewal_watch.reports.past.span import within
from renewal_watch.store import fleet, fleet_sums
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import history_of
from renewal_watch.store.incidents.listing import MOST, UNRESOLVED, Wanted, count_incidents, list_incidents
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.waiting import outbox_counts
from renewal_watch.store.owned import record_of
from renewal_watch.web.api.asked import Asked, Refused
from renewal_watch.web.api.operations import CHANGES


def _status(asked: Asked) -> Any:
    tx, settings = asked.tx, asked.settings
    watches = {watch.name: watch for _, watch, _ in environment_states(tx)}
    return {
        "environments": [
            reports_status.environment_json(
                watches.get(one.name, Watch(name=one.name)), settings.policy(one), asked.now
            )
            for one in settings.environments
        ],
        "outbox": outbox_counts(tx),
        "counts": fleet_sums.counts(
            tx, asked.names, renewal_day.today(asked.now, settings.timezone), sandbox=settings.with_sandbox
        ),
    }


def _numbers(asked: Asked) -> Any:
    query = fleet.Query(**{name: value for name, value in asked.values.items() if name not in ("owner", "label")})
    page = fleet.page(asked.tx, query, asked.names, asked.today, sandbox=asked.settings.with_sandbox, ids=asked.owned)
    return {
        "numbers": _numbers_json(asked, page.rows),
        "total": page.total,
        "is_more": page.is_more,
        "page": query.page,
        "per_page": query.per_page,
    }


def _numbers_json(asked: Asked, those: Sequence[fleet.Listed]) -> list[Any]:
    way = asked.routing()
    policies = {one.name: asked.settings.policy(one) for one in asked.settings.environments}
    return [
        export.number_json(one, policies[one.environment], record_of(way, one.environment, one.number), asked.now)
        for one in those
    ]


def _one(asked: Asked) -> fleet.Listed:
    """The number that the path names. Raises Refused."""
    environment, provider_id = asked.values["environment"], asked.values["id"]
    found = fleet.one(asked.tx, environment, provider_id) if environment in asked.names else None
    if found is None:
        raise Refused(404, "There is no number with this id in this environment.")
    return found


def _number(asked: Asked) -> Any:
    return _numbers_json(asked, [_one(asked)])[0]


def _history(asked: Asked) -> Any:
    one = _one(asked)
    ids = {watch.name: pk for pk, watch, _ in environment_states(asked.tx)}
    return {"changes": history_of(asked.tx, one.known, ids[one.environment])}


def _changes(asked: Asked) -> Any:
    values = asked.values
    span = within(values.get("since", "yesterday"), values.get("until", ""), asked.now, asked.settings.timezone)
    given = {name: values.get(name, "") for name in ("environment", "owner", "label")}
    found = changes.look(asked.tx, asked.settings, asked.routing(), span, **given)
    return changes.changes_json(found, most=values.get("limit", CHANGES))


def _incidents(asked: Asked) -> Any:
    values = asked.values
    wanted = Wanted(
        states=values.get("state", UNRESOLVED),
        severities=[Severity[name] for name in values.get("severity", ())],
        kinds=values.get("kind", ()),
        environment=values.get("environment", ""),
        numbers=asked.owned,
    )
    found = list_incidents(asked.tx, asked.today, wanted, most=values.get("limit", MOST))
    total = count_incidents(asked.tx, wanted).total()
    return {"incidents": [incident_json(one, asked.settings.web.base) for one in found], "total": total}


def _alerts(asked: Asked) -> Any:
    values = asked.values
    most = values.get("limit", 100)
    found = list_alerts(
        asked.tx,
        states=values.get("state", ()),
        kinds=values.get("kind", ()),
        environment=values.get("environment", ""),
        before=values.get("before"),
        most=most,
    )
    alerts.note_held(found, explain.held(asked.tx, asked.settings, asked.now))
    return {"alerts": found, "next_before": found[-1]["id"] if len(found) == most else None}


def _calendar(asked: Asked) -> Any:
    """Sums by day, environment and currency; what is overdue stands on its day, so none of it is left out."""
    until = asked.today + asked.values.get("days", 62)
    days: dict[tuple[int, str, str], dict[str, Any]] = {}
    undated = 0
    for due in fleet_sums.due(asked.tx, asked.names, sandbox=asked.settings.with_sandbox, ids=asked.owned):
        if due.renews_on is None:
            undated += due.numbers
            continue
        if due.renews_on > until:
            continue
        nothing = {"numbers": 0, "amount": Decimal(0), "unpriced": 0, "without_auto_renewal": 0, "lapsing": 0}
        one = days.setdefault((due.renews_on, due.environment, due.currency), nothing)
        one["numbers"] += due.numbers
        one["amount"] += due.amount
        one["unpriced"] += due.numbers if due.cost is None else 0
        one["without_auto_renewal"] += 0 if due.auto_renewal else due.numbers
        one["lapsing"] += due.numbers if due.is_lapsing else 0
    return {
        "today": date.fromordinal(asked.today).isoformat(),
        "days": [
            {"on": date.fromordinal(on).isoformat(), "environment": name, "currency": currency or None, **one}
            for (on, name, currency), one in sorted(days.items())
        ],
        "undated": undated,
    }


def _forecast(asked: Asked) -> Any:
    months = asked.values.get("months", 6)
    environment = asked.values.get("environment", "")
    return forecast.look(
        asked.tx, asked.settings, asked.now, months, environment=environment, ids=asked.owned
    ).as_json()


def _health(asked: Asked) -> Any:
    return health.examine(asked.tx, asked.settings, asked.now).as_json()


ANSWERS: Mapping[str, Callable[[Asked], Any]] = {
    "status": _status,
    "numbers": _numbers,
    "number": _number,
    "history": _history,
    "changes": _changes,
    "incidents": _incidents,
    "alerts": _alerts,
    "calendar": _calendar,
    "forecast": _forecast,
    "health": _health,
}
