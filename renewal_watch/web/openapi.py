"""What ``/api/v1/…`` promises: every operation with its parameters and answers, and the OpenAPI 3.1 document of it all.

The parameters are checked by the schemas that stand here, so that the document cannot say anything else than ``api`` does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from renewal_watch import __version__
from renewal_watch.model.kinds import KINDS
from renewal_watch.reports import renewals
from renewal_watch.store import fleet

PREFIX = "/api/v1"
LONGEST_TEXT = 200  # characters of a parameter
PROBLEM = "application/problem+json"
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of the query; ``schema`` may be an array, of which the parameter is repeated."""

    name: str
    schema: Schema
    about: str
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One address and what it answers: the name of a schema, and an example of it."""

    path: str  # as OpenAPI writes it
    name: str
    about: str
    schema: str
    example: Any
    parameters: Sequence[Parameter] = ()

    @property
    def route(self) -> str:
        """The path as the router takes it; an id may hold anything."""
        return self.path.replace("{id}", "{id:path}")


# --- schemas ----------------------------------------------------------------------------------------------------------


def _object(about: str, required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "description": about,
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT = {"type": "string"}
FLAG = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
INSTANT = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}
DAY = {"type": "string", "format": "date"}
MONEY = {
    "type": "string",
    "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
    "description": "An exact decimal; its currency stands beside it",
}
MONTH = {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}$"}
CURRENCY = {**TEXT, "description": "As the provider states it"}

SCHEMAS: dict[str, Schema] = {
    "Problem": _object(
        "RFC 9457: what is wrong with the request, or with the server",
        {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT},
        {"parameter": {**TEXT, "description": "The parameter that is refused"}},
    ),
    "Environment": _object(
        "One token's list, and how reading it goes",
        {
            "name": TEXT,
            "last_poll_at": _or_null(INSTANT),
            "last_success_at": _or_null(INSTANT),
            "last_error": _or_null(TEXT),
            "stale": {**FLAG, "description": "The list is too old to be relied on"},
            "numbers": COUNT,
            "flaws": {**_list(TEXT), "description": "What of the last list cannot be read or believed"},
        },
    ),
    "Outbox": _object(
        "Messages on their way", {"pending": COUNT, "failed": COUNT, "oldest_pending_at": _or_null(INSTANT)}
    ),
    "Status": _object(
        "How the watch does",
        {
            "environments": _list(_ref("Environment")),
            "outbox": _ref("Outbox"),
            "counts": {
                "type": "object",
                "description": "Numbers that need somebody: overdue, missing, and each status but active",
                "additionalProperties": COUNT,
            },
        },
    ),
    "Number": _object(
        "One number as it stands now",
        {
            "environment": TEXT,
            "id": TEXT,
            "number": _or_null(TEXT),
            "status": _or_null(TEXT),
            "days_left": {"type": ["integer", "null"], "description": "Negative when overdue"},
            "renews_on": _or_null(DAY),
            "auto_renewal": _or_null(FLAG),
            "monthly_renewal_cost": _or_null(MONEY),
            "cost": _or_null({**MONEY, "description": "The monthly cost, else the current price"}),
            "currency": _or_null(CURRENCY),
            "missing_since": _or_null(INSTANT),
            "is_sandbox": FLAG,
            "disagreement": _or_null({**TEXT, "description": "Where countdown and renewal day differ"}),
            "country": _or_null(TEXT),
            "type": _or_null(TEXT),
            "capabilities": _list(TEXT),
            "lapsing": {**FLAG, "description": "It is meant to go"},
            "owner": {**TEXT, "description": "Of the inventory"},
            "labels": _list(TEXT),
            "note": TEXT,
        },
    ),
    "Numbers": _object(
        "One page",
        {
            "numbers": _list(_ref("Number")),
            "total": {**COUNT, "description": "How many fit; with is_more, more than that"},
            "is_more": FLAG,
            "page": COUNT,
            "per_page": COUNT,
        },
    ),
    "Change": _object(
        "Something that differs between two lists",
        {
            "seen_at": INSTANT,
            "not_yet_at": _or_null({**INSTANT, "description": "The last good poll that did not have it"}),
            "what": {"type": "string", "enum": ["listed", "changed", "unlisted", "listed again"]},
            "fields": {
                "type": "object",
                "description": "By field: before and now, as the provider sent them",
                "additionalProperties": {"type": "object"},
            },
            "entry": {"type": ["object", "null"], "description": "The number as it was listed from then on"},
        },
    ),
    "History": _object("Every change of one number, the oldest first", {"changes": _list(_ref("Change"))}),
    "Delivery": _object(
        "One message's fate on one channel",
        {
            "channel": TEXT,
            "state": {"type": "string", "enum": ["pending", "sent", "failed"]},
            "message_id": TEXT,
            "attempts": COUNT,
            "last_error": _or_null(TEXT),
            "sent_at": _or_null(INSTANT),
            "next_attempt_at": _or_null(INSTANT),
            "leased_until": _or_null(INSTANT),
            "held_until": _or_null(INSTANT),
            "held_why": _or_null(TEXT),
        },
    ),
    "Alert": _object(
        "Something worth telling",
        {
            "id": COUNT,
            "key": TEXT,
            "kind": TEXT,
            "severity": {"type": "string", "enum": ["info", "warning", "critical"]},
            "environment": TEXT,
            "number_id": _or_null(TEXT),
            "number": _or_null(TEXT),
            "text": TEXT,
            "hidden": _or_null({**TEXT, "description": "Why nobody was told"}),
            "created_at": INSTANT,
            "deliveries": _list(_ref("Delivery")),
        },
    ),
    "Alerts": _object(
        "Newest first",
        {
            "alerts": _list(_ref("Alert")),
            "next_before": {"type": ["integer", "null"], "description": "before of the next page; null at the end"},
        },
    ),
    "Day": _object(
        "What renews or ends on a day in one environment and currency",
        {
            "on": DAY,
            "environment": TEXT,
            "currency": _or_null(CURRENCY),
            "numbers": COUNT,
            "amount": MONEY,
            "unpriced": COUNT,
            "without_auto_renewal": COUNT,
            "lapsing": COUNT,
        },
    ),
    "Calendar": _object("From what is overdue on", {"today": DAY, "days": _list(_ref("Day")), "undated": COUNT}),
    "Sum": _object("Renewals together", {"numbers": COUNT, "amount": MONEY, "unpriced": COUNT}),
    "Month": _object(
        "One month of one environment and currency. Null is what is not known",
        {
            "month": MONTH,
            "environment": TEXT,
            "currency": _or_null(CURRENCY),
            "numbers": _or_null(COUNT),
            "amount": _or_null(MONEY),
            "renewed": {"oneOf": [_ref("Sum"), {"type": "null"}]},
            "ahead": _ref("Sum"),
            "overdue": COUNT,
            "if_renewed": _ref("Sum"),
            "month_before": _or_null(MONEY),
            "change": _or_null(MONEY),
            "change_percent": _or_null(MONEY),
        },
    ),
    "Seen": _object(
        "How far the history goes", {"name": TEXT, "seen_since": _or_null(INSTANT), "seen_until": _or_null(INSTANT)}
    ),
    "Forecast": _object(
        "What renewals cost by month, last month first",
        {
            "as_of": INSTANT,
            "timezone": TEXT,
            "last_month": MONTH,
            "environments": _list(_ref("Seen")),
            "months": _list(_ref("Month")),
            "undated": COUNT,
            "lapsing": COUNT,
        },
    ),
    "Check": _object("One thing that was looked at", {"name": TEXT, "ok": FLAG, "reason": TEXT}, {"environment": TEXT}),
    "Health": _object(
        "Whether the watch can be relied on",
        {"status": {"type": "string", "enum": ["ok", "failing"]}, "checks": _list(_ref("Check"))},
    ),
    "Document": {"type": "object", "description": "This document", "required": ["openapi", "info", "paths"]},
}


# --- operations -------------------------------------------------------------------------------------------------------


def _text_parameter(name: str, about: str, example: str | None = None) -> Parameter:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
    return Parameter(name=name, schema=schema, about=about, example=example)


def _choice(name: str, values: Sequence[str], about: str, default: str | None = None) -> Parameter:
    schema: Schema = {"type": "string", "enum": list(values)}
    return Parameter(name=name, schema=schema | ({"default": default} if default else {}), about=about)


def _integer(name: str, low: int, high: int, about: str, default: int | None = None) -> Parameter:
    schema: Schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name=name, schema=schema | ({"default": default} if default else {}), about=about)


def _flag(name: str, about: str) -> Parameter:
    return Parameter(name=name, schema={"type": "boolean"}, about=about)


def _choices(name: str, values: Sequence[str], about: str) -> Parameter:
    schema = {
        "type": "array",
        "items": {"type": "string", "enum": list(values)},
        "minItems": 1,
        "maxItems": len(values),
    }
    return Parameter(name=name, schema=schema, about=about)


def operations(environments: Sequence[str]) -> list[Operation]:
    """All of them, for the environments of a configuration."""
    environment = _choice("environment", environments, "Only this environment")
    return [
        Operation(
            path=f"{PREFIX}/status",
            name="status",
            about="How the watch does, without the numbers.",
            schema="Status",
            example={
                "environments": [EXAMPLES["Environment"]],
                "outbox": EXAMPLES["Outbox"],
                "counts": {"overdue": 1, "missing": 0},
            },
        ),
        Operation(
            path=f"{PREFIX}/numbers",
            name="numbers",
            about="A page of the fleet.",
            schema="Numbers",
            example={"numbers": [EXAMPLES["Number"]], "total": 1, "is_more": False, "page": 1, "per_page": 50},
            parameters=[
                _text_parameter("search", "A part of the number or of the id", "15550001"),
                environment,
                _text_parameter("status", "Only numbers with this status, such as active", "active"),
                _text_parameter("country", "Only numbers of this country, as the provider states it", "US"),
                _text_parameter("type", "Only numbers of this type", "voice"),
                _text_parameter("currency", "Only numbers with this currency", "USD"),
                _flag("auto_renewal", "Only numbers that renew by themselves, or only those that do not"),
                _integer("within", 0, 36_500, "Only numbers with so many days left or less"),
                _flag("overdue", "Only numbers whose renewal day has passed"),
                _choice(
                    "show", ["present", "missing", "sandbox", "lapsing", "all"], "Which part of the fleet", "present"
                ),
                _choice("order", ["renewal", "number", "status", "cost", "environment"], "What comes first", "renewal"),
                _flag("descending", "The other way round"),
                _integer("page", 1, 1_000_000, "Which page", 1),
                _integer("per_page", 1, 1000, "Numbers on a page", fleet.PER_PAGE),
            ],
        ),
        Operation(
            path=f"{PREFIX}/numbers/{{environment}}/{{id}}/history",
            name="history",
            about="Every change of one number and when it was seen.",
            schema="History",
            example={"changes": [EXAMPLES["Change"]]},
        ),
        Operation(
            path=f"{PREFIX}/numbers/{{environment}}/{{id}}",
            name="number",
            about="One number.",
            schema="Number",
            example=EXAMPLES["Number"],
        ),
        Operation(
            path=f"{PREFIX}/alerts",
            name="alerts",
            about="What was found, and the fate of each delivery.",
            schema="Alerts",
            example={"alerts": [EXAMPLES["Alert"]], "next_before": None},
            parameters=[
                _choices("state", ["pending", "sent", "failed"], "Only alerts with a delivery in one of these states"),
                _choices("kind", KINDS, "Only alerts of one of these kinds"),
                environment,
                _integer("before", 1, 2**53, "Only alerts with a lower id: next_before of the page before"),
                _integer("limit", 1, 500, "Alerts on a page", 100),
            ],
        ),
        Operation(
            path=f"{PREFIX}/calendar",
            name="calendar",
            about="The renewal days with their counts and costs; what is overdue stands on its day.",
            schema="Calendar",
            example={"today": "2026-11-23", "days": [EXAMPLES["Day"]], "undated": 0},
            parameters=[environment, _integer("days", 1, 3660, "How far ahead", 62)],
        ),
        Operation(
            path=f"{PREFIX}/forecast",
            name="forecast",
            about="What renewals will cost by month, environment and currency, and the change against the month before.",
            schema="Forecast",
            example=EXAMPLES["Forecast"],
            parameters=[environment, _integer("months", 1, renewals.LONGEST, "How many, with the present one", 6)],
        ),
        Operation(
            path=f"{PREFIX}/health",
            name="health",
            about="Whether the watch can be relied on, each reason in a sentence. See /readyz for an answer by status.",
            schema="Health",
            example={
                "status": "ok",
                "checks": [{"name": "database", "ok": True, "reason": "the database can be read"}],
            },
        ),
        Operation(
            path=f"{PREFIX}/openapi.json",
            name="openapi",
            about="This document.",
            schema="Document",
            example={"openapi": "3.1.0", "info": {"title": "renewal-watch", "version": "1.0"}, "paths": {}},
        ),
    ]


EXAMPLES: dict[str, Any] = {
    "Environment": {
        "name": "production",
        "last_poll_at": "2026-11-23T12:00:00Z",
        "last_success_at": "2026-11-23T12:00:00Z",
        "last_error": None,
        "stale": False,
        "numbers": 120,
        "flaws": [],
    },
    "Outbox": {"pending": 0, "failed": 0, "oldest_pending_at": None},
    "Number": {
        "environment": "production",
        "id": "phone-1",
        "number": "+15550000001",
        "status": "active",
        "days_left": 30,
        "renews_on": "2026-12-23",
        "auto_renewal": True,
        "monthly_renewal_cost": "1.00",
        "cost": "1.00",
        "currency": "USD",
        "missing_since": None,
        "is_sandbox": False,
        "disagreement": None,
        "country": "US",
        "type": "voice",
        "capabilities": ["sms", "voice"],
        "lapsing": False,
        "owner": "support",
        "labels": ["hotline"],
        "note": "",
    },
    "Change": {
        "seen_at": "2026-11-23T12:00:00Z",
        "not_yet_at": "2026-11-23T11:00:00Z",
        "what": "changed",
        "fields": {"current_status": {"before": "active", "now": "suspended"}},
        "entry": {"id": "phone-1", "number": "+15550000001", "current_status": "suspended"},
    },
    "Alert": {
        "id": 7,
        "key": "production/renewal.upcoming/phone-1/2026-12-23/3",
        "kind": "renewal.upcoming",
        "severity": "info",
        "environment": "production",
        "number_id": "phone-1",
        "number": "+15550000001",
        "text": "+15550000001 (production) renews in 3 days.",
        "hidden": None,
        "created_at": "2026-12-20T00:10:00Z",
        "deliveries": [
            {
                "channel": "ops",
                "state": "sent",
                "message_id": "rw-0123456789",
                "attempts": 1,
                "last_error": None,
                "sent_at": "2026-12-20T00:10:02Z",
                "next_attempt_at": None,
                "leased_until": None,
                "held_until": None,
                "held_why": None,
            }
        ],
    },
    "Day": {
        "on": "2026-12-23",
        "environment": "production",
        "currency": "USD",
        "numbers": 12,
        "amount": "12.00",
        "unpriced": 0,
        "without_auto_renewal": 2,
        "lapsing": 0,
    },
    "Forecast": {
        "as_of": "2026-11-23T12:00:00Z",
        "timezone": "UTC",
        "last_month": "2026-10",
        "environments": [
            {"name": "production", "seen_since": "2026-09-01T00:00:00Z", "seen_until": "2026-11-23T12:00:00Z"}
        ],
        "months": [
            {
                "month": "2026-12",
                "environment": "production",
                "currency": "USD",
                "numbers": 12,
                "amount": "12.00",
                "renewed": {"numbers": 0, "amount": "0", "unpriced": 0},
                "ahead": {"numbers": 12, "amount": "12.00", "unpriced": 0},
                "overdue": 0,
                "if_renewed": {"numbers": 2, "amount": "2.00", "unpriced": 0},
                "month_before": "11.00",
                "change": "1.00",
                "change_percent": "9.1",
            }
        ],
        "undated": 0,
        "lapsing": 0,
    },
}


# --- the document -----------------------------------------------------------------------------------------------------


def document(environments: Sequence[str], *, needs_login: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every operation."""
    told: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "renewal-watch",
            "version": __version__,
            "summary": "Rented phone numbers, what was found about them, and what they will cost",
            "description": "To be read only. Instants are RFC 3339 in UTC, days whole numbers, money a decimal in text "
            "with its currency beside it. Keys are added over time.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {one.path: {"get": _described(one, needs_login=needs_login)} for one in operations(environments)},
        "components": {"schemas": SCHEMAS, "responses": _RESPONSES},
    }
    if needs_login:
        told["components"]["securitySchemes"] = {
            "password": {"type": "http", "scheme": "basic", "description": "The password of the pages, with any name"}
        }
        told["security"] = [{"password": []}]
    return told


def _problem_response(about: str) -> Schema:
    return {"description": about, "content": {PROBLEM: {"schema": _ref("Problem")}}}


_RESPONSES = {
    "BadParameter": _problem_response("A parameter is refused; the problem names it"),
    "LoginNeeded": _problem_response("The password of the pages is needed"),
    "NotFound": _problem_response("There is no such number"),
    "WrongMethod": _problem_response("It can only be read")
    | {"headers": {"Allow": {"description": "The methods that it takes", "schema": TEXT}}},
    "Unavailable": _problem_response("The database cannot be read now"),
}


def _described(one: Operation, *, needs_login: bool) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", one.path)
    responses = {
        "200": {
            "description": SCHEMAS[one.schema]["description"],
            "content": {"application/json": {"schema": _ref(one.schema), "example": one.example}},
        },
        "400": {"$ref": "#/components/responses/BadParameter"},
        **({"401": {"$ref": "#/components/responses/LoginNeeded"}} if needs_login else {}),
        **({"404": {"$ref": "#/components/responses/NotFound"}} if names else {}),
        "405": {"$ref": "#/components/responses/WrongMethod"},
        "503": {"$ref": "#/components/responses/Unavailable"},
    }
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": {"environment": "An environment's name", "id": "The provider's id of a number"}[name],
            "schema": {"type": "string", "minLength": 1},
            "example": EXAMPLES["Number"][name],
        }
        for name in names
    ]
    in_query = [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.about,
            "schema": parameter.schema,
            **({} if parameter.example is None else {"example": parameter.example}),
        }
        for parameter in one.parameters
    ]
    return {"operationId": one.name, "summary": one.about, "parameters": in_path + in_query, "responses": responses}
