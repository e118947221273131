"""The tools that read: each asks what the API or a command asks, and says how much it left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from renewal_watch.diagnostics import overview
from renewal_watch.mcp import schemas
from renewal_watch.operations import silencing, times
from renewal_watch.operations.preview import look_ahead
from renewal_watch.reports import explain, silences
from renewal_watch.store.history import history_of
from renewal_watch.web.api import schemas as api
from renewal_watch.web.api.answers import ANSWERS
from renewal_watch.web.api.operations import operations
from renewal_watch.web.api.shapes import Parameter, integer, text_parameter
from renewal_watch.web.api.tools import NUMBER, Call, Tool, environment_parameter, found

_ALERTS = 50  # of one message of a preview
_ROWS = 400  # of a forecast
_BOUNDS = {("numbers", "per_page"): (200, 50), ("incidents", "limit"): (200, 50), ("alerts", "limit"): (100, 20)}


def tools(environments: Sequence[str]) -> list[Tool]:
    """All of them, for the environments of a configuration."""
    environment = environment_parameter(environments)
    where = environment_parameter(environments, "Where the number is; needed if several environments have it")
    asked = {one.name: _parameters(one.name, one.parameters, environment) for one in operations(environments)}
    return [
        Tool(
            name="status",
            title="How the watch does",
            about="How everything stands: whether the service runs and its lists are fresh, what is open, what is lost or "
            "renews soon, what waits in the outbox. Begin here.",
            output=schemas.WatchStatus,
            run=_status,
            parameters=[integer("limit", 1, 200, "Environments at most, those with trouble first", 30)],
        ),
        Tool(
            name="numbers",
            title="Numbers of the fleet",
            about="A page of the rented phone numbers, searched and filtered: status, renewal day, days left, cost, owner. "
            "total says how many fit.",
            output=api.Numbers,
            run=lambda call: _answer(call, "numbers"),
            parameters=asked["numbers"],
        ),
        Tool(
            name="number",
            title="One number",
            about="One phone number as it stands now.",
            output=api.Number,
            run=_number,
            parameters=[NUMBER, where],
            required=["number"],
        ),
        Tool(
            name="history",
            title="History of a number",
            about="What changed of one phone number and when it was seen, with the values before and after.",
            output=schemas.NumberHistory,
            run=_history,
            parameters=[NUMBER, where, integer("limit", 1, 200, "Changes at most, the newest", 20)],
            required=["number"],
        ),
        Tool(
            name="incidents",
            title="What needs somebody",
            about="What was found and still holds, most urgent first: since when, who was notified and who acknowledged it. "
            "With the state resolved also what is over.",
            output=api.Incidents,
            run=lambda call: _answer(call, "incidents"),
            parameters=asked["incidents"],
        ),
        Tool(
            name="explain",
            title="Why a number did or did not alert",
            about="Why one phone number did or did not alert, who is told of it, and what comes next and when, in sentences; "
            "with its newest alerts and what became of each message.",
            output=schemas.Explanation,
            run=_explain,
            parameters=[NUMBER, where, integer("limit", 1, 100, "Alerts at most, the newest", 10)],
            required=["number"],
        ),
        Tool(
            name="preview",
            title="What will be told",
            about="Who would be told what and when over the coming days, by the real rules on a copy of the database, if "
            "nothing but the calendar changes. Sends nothing. It may take a while for many numbers.",
            output=schemas.Preview,
            run=_preview,
            parameters=[
                text_parameter("at", "The first day, such as 2026-12-24; today unless it is given"),
                integer("days", 1, 92, "How many days; 7, or 1 with at"),
                integer("limit", 1, 200, "Messages at most", 50),
            ],
        ),
        Tool(
            name="forecast",
            title="What renewals will cost",
            about="What renewals will cost by month, environment and currency, and the change against the month before. "
            "Currencies are never added up.",
            output=schemas.BoundedForecast,
            run=_forecast,
            parameters=asked["forecast"],
        ),
        Tool(
            name="alerts",
            title="What was found and told",
            about="Every alert, newest first, and the fate of each message: sent, waiting or failed, and why nobody was told.",
            output=api.Alerts,
            run=lambda call: _answer(call, "alerts"),
            parameters=asked["alerts"],
        ),
        Tool(
            name="silences",
            title="What is hidden",
            about="The silences that hold now: what each hides, until when, by whom and why.",
            output=schemas.Silences,
            run=_silences,
            parameters=[integer("limit", 1, 200, "How many at most", 50)],
        ),
    ]


def _parameters(name: str, those: Sequence[Parameter], environment: Parameter) -> list[Parameter]:
    """Those of the API, with less at once: an assistant reads all that it is given."""
    found = []
    for one in those:
        bounds = _BOUNDS.get((name, one.name))
        schema = {**one.schema, "maximum": bounds[0], "default": bounds[1]} if bounds else one.schema
        found.append(environment if one.name == "environment" else replace(one, schema=schema))
    return found


def _answer(call: Call, name: str) -> Any:
    if "environment" in call.values:
        call.settings.environment(call.values["environment"])  # refused unless it is configured
    with call.store.reading() as tx:
        return ANSWERS[name](call.asked(tx))


def _bounded(those: Sequence[Any], most: int) -> tuple[list[Any], int]:
    """The first of them, and how many more there are."""
    return list(those[:most]), max(len(those) - most, 0)


def _status(call: Call) -> Any:
    most = call.values["limit"]
    with call.store.reading() as tx:
        asked = call.asked(tx)
        said = ANSWERS["status"](asked)
        health = ANSWERS["health"](asked)
        seen = overview.overview_json(overview.overview(tx, call.settings, call.now))
    trouble, more_trouble = _bounded([one["reason"] for one in health["checks"] if not one["ok"]], most)
    environments, more = _bounded(sorted(said["environments"], key=_is_well), most)
    balances, more_balances = _bounded(seen["balances"], most)
    return {
        **said,
        "environments": environments,
        "more_environments": more,
        "overview": {**seen, "balances": balances},
        "more_balances": more_balances,
        "health": health["status"],
        "trouble": trouble,
        "more_trouble": more_trouble,
    }


def _is_well(one: Mapping[str, Any]) -> bool:
    return not (one["stale"] or one["last_error"] or one["flaws"])


def _number(call: Call) -> Any:
    with call.store.reading() as tx:
        one, _ = found(call, tx)
        return ANSWERS["number"](call.asked(tx, environment=one.environment, id=one.known.provider_id))


def _history(call: Call) -> Any:
    most = call.values["limit"]
    with call.store.reading() as tx:
        one, key = found(call, tx)
        changes = history_of(tx, one.known, key, most=most + 1)
    return {
        "environment": one.environment,
        "id": one.known.provider_id,
        "number": one.known.number or None,
        "changes": changes[-most:],
        "is_more": len(changes) > most,
    }


def _explain(call: Call) -> Any:
    most = call.values["limit"]
    with call.store.reading() as tx:
        one, _ = found(call, tx)
        said = explain.explain(tx, call.settings, call.routing, one, call.now, most=most + 1).as_json()
    return {**said, "alerts": said["alerts"][:most], "is_more": len(said["alerts"]) > most}


def _preview(call: Call) -> Any:
    values, settings = call.values, call.settings
    first, until = times.ahead(values.get("at"), values.get("days"), settings.timezone, call.now, dashes="")
    way, faults = call.routing, call.inventory.faults
    ahead = look_ahead(settings, call.store, way, call.now, until, inventory_faults=faults)
    told = (one for one in ahead if one.at >= first)
    messages = [silences.told_json(one) for one in islice(told, values["limit"])]
    for one in messages:
        one["alerts"], one["more_alerts"] = _bounded(one["alerts"], _ALERTS)
    return {"first": first, "until": until, "messages": messages, "more_messages": sum(1 for _ in told)}


def _forecast(call: Call) -> Any:
    said = _answer(call, "forecast")
    months, more_months = _bounded(said["months"], _ROWS)
    environments, more = _bounded(said["environments"], _ROWS)
    return {
        **said,
        "months": months,
        "more_months": more_months,
        "environments": environments,
        "more_environments": more,
    }


def _silences(call: Call) -> Any:
    with call.store.reading() as tx:
        those = silencing.silences(tx, call.now)
    shown, more = _bounded([silences.silence_json(one, hides, call.now) for one, hides in those], call.values["limit"])
    return {"silences": shown, "more_silences": more}
