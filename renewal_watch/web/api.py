"""``/api/v1/…``: what the commands show with ``--json``, for programs, over HTTP; to be read only.

``openapi`` says what there is and which parameters are taken. What is refused is told as RFC 9457 says
(``application/problem+json``), with the name of the parameter. A transaction that cannot write is open while an answer is
put together, never while it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import health
from renewal_watch.errors import StoreError
from renewal_watch.model import renewal_day
from renewal_watch.model.policy import Record
from renewal_watch.model.selectors import NOBODY, digits
from renewal_watch.model.tracking import Watch
from renewal_watch.reports import alerts, explain, export, forecast, tables
from renewal_watch.reports import status as reports_status
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import history_of
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.waiting import outbox_counts
from renewal_watch.text import REDACTOR
from renewal_watch.web.openapi import LONGEST_TEXT, PREFIX, PROBLEM, Operation, Parameter, Schema, document, operations
from renewal_watch.web.state import State

METHODS = "GET, HEAD"
Values = Mapping[str, Any]
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Refused(Exception):
    """The answer is a problem; raised and handled in this module."""

    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = more


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an operation is given."""

    tx: Transaction
    settings: Settings
    now: datetime
    values: Values
    inventory: Callable[[], Mapping[str, Record]]

    @property
    def names(self) -> list[str]:
        """The environments that are asked for."""
        wanted = self.values.get("environment")
        return [one.name for one in self.settings.environments if wanted in (None, one.name)]

    @property
    def today(self) -> int:
        """The ordinal of the day in the configured zone."""
        return renewal_day.today(self.now, self.settings.timezone)


# --- parameters -------------------------------------------------------------------------------------------------------


def _read(operation: Operation, request: Request) -> dict[str, Any]:
    """The parameters of a request, those of the path included. Raises Refused."""
    known = {one.name: one for one in operation.parameters}
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    for name in given:
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise Refused(400, f"There is no such parameter here; {has}.", parameter=name)
    return {**request.path_params, **{name: _value(known[name], values) for name, values in given.items()}}


def _value(one: Parameter, given: Sequence[str]) -> Any:
    """What was given for one parameter. Raises Refused."""
    if one.schema["type"] == "array":
        faults = [f"is given more than {one.schema['maxItems']} times"] * (len(given) > one.schema["maxItems"])
        faults += [fault for text in given if (fault := _fault(text, one.schema["items"]))]
    else:
        faults = ["is given more than once"] * (len(given) > 1)
        faults += [fault for text in given[:1] if (fault := _fault(text, one.schema))]
    if faults:
        raise Refused(400, f"The parameter {one.name} {faults[0]}.", parameter=one.name)
    if one.schema["type"] == "array":
        return list(given)
    converted: dict[str, Callable[[str], Any]] = {"integer": int, "boolean": "true".__eq__, "string": str}
    return converted[one.schema["type"]](given[0])


def _fault(text: str, schema: Schema) -> str | None:
    """Why a schema does not take it."""
    if schema["type"] == "boolean":
        return None if text in ("true", "false") else "is neither true nor false"
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        is_good = _INTEGER.fullmatch(text) and low <= int(text) <= high
        return None if is_good else f"is not a whole number from {low} to {high}"
    if "enum" in schema:
        return None if text in schema["enum"] else f"is none of: {', '.join(schema['enum'])}"
    return None if 1 <= len(text) <= LONGEST_TEXT else f"is empty or longer than {LONGEST_TEXT} characters"


# --- what is answered -------------------------------------------------------------------------------------------------


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
        "counts": fleet.counts(
            tx, asked.names, renewal_day.today(asked.now, settings.timezone), sandbox=settings.with_sandbox
        ),
    }


def _numbers(asked: Asked) -> Any:
    query = fleet.Query(**asked.values)
    page = fleet.page(asked.tx, query, asked.names, asked.today, sandbox=asked.settings.with_sandbox)
    return {
        "numbers": _numbers_json(asked, page.rows),
        "total": page.total,
        "is_more": page.is_more,
        "page": query.page,
        "per_page": query.per_page,
    }


def _numbers_json(asked: Asked, those: Sequence[fleet.Listed]) -> list[Any]:
    inventory = asked.inventory()
    policies = {one.name: asked.settings.policy(one) for one in asked.settings.environments}
    return [
        export.number_json(one, policies[one.environment], inventory.get(digits(one.number.number), NOBODY), asked.now)
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
    for due in fleet.due(asked.tx, asked.names, sandbox=asked.settings.with_sandbox):
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
    return forecast.look(asked.tx, asked.settings, asked.now, months, environment=environment).as_json()


def _health(asked: Asked) -> Any:
    return health.examine(asked.tx, asked.settings, asked.now).as_json()


ANSWERS: Mapping[str, Callable[[Asked], Any]] = {
    "status": _status,
    "numbers": _numbers,
    "number": _number,
    "history": _history,
    "alerts": _alerts,
    "calendar": _calendar,
    "forecast": _forecast,
    "health": _health,
}


# --- HTTP -------------------------------------------------------------------------------------------------------------


def routes(state: State) -> list[Route]:
    """The addresses below ``/api/v1``; of what is none of them a problem is the answer."""
    named = [Route(one.route, _Endpoint(state, one.name)) for one in operations(())]
    return [*named, Route(f"{PREFIX}/{{rest:path}}", _Endpoint(state, ""))]


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """What is wrong, as RFC 9457 says it."""
    titles = {400: "Bad request", 401: "Login needed", 404: "Not found", 405: "Method not allowed", 503: "Unavailable"}
    said = {"type": "about:blank", "title": titles.get(status, "Error"), "status": status, "detail": detail, **more}
    return Response(_encoded(said), status, headers, PROBLEM)


def _encoded(value: Any) -> bytes:
    return tables.dumps(value).encode("utf-8", "backslashreplace")  # half a pair, as JSON escapes it


class _Endpoint:
    """One address; the settings may be others at every request, and the environments with them."""

    def __init__(self, state: State, name: str) -> None:
        self.state = state
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        answer = await run_in_threadpool(self.answered, request)
        await answer(scope, receive, send)

    def answered(self, request: Request) -> Response:
        """The answer to one request, whatever it is."""
        names = [one.name for one in self.state.settings.environments]
        operation = next((one for one in operations(names) if one.name == self.name), None)
        if operation is None:
            return problem(404, f"There is nothing at this address; see {PREFIX}/openapi.json.")
        if request.method not in ("GET", "HEAD"):
            return problem(405, "It can only be read.", {"Allow": METHODS})
        try:
            values = _read(operation, request)
            if operation.name == "openapi":
                said: Any = document(names, needs_login=self.state.needs_login_to_read)
            else:
                with self.state.reading() as tx:
                    asked = Asked(
                        tx=tx,
                        settings=self.state.settings,
                        now=self.state.clock(),
                        values=values,
                        inventory=lambda: self.state.routing().inventory,
                    )
                    said = ANSWERS[operation.name](asked)
        except Refused as refused:
            return problem(refused.status, refused.detail, **refused.more)
        except StoreError as error:
            return problem(503, REDACTOR.clean(str(error)), {"Retry-After": "10"})
        return Response(_encoded(said), media_type="application/json")
