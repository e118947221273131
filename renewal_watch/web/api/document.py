"""The OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from renewal_watch import __version__
from renewal_watch.web.api.acts import acts
from renewal_watch.web.api.examples import ACTS, EXAMPLES
from renewal_watch.web.api.operations import operations
from renewal_watch.web.api.schemas import Schema, schemas
from renewal_watch.web.api.shapes import PREFIX, PROBLEM, Operation
from renewal_watch.web.api.tools import Tool


def document(environments: Sequence[str], *, needs_login: bool, under: str = "") -> dict[str, Any]:
    """The OpenAPI 3.1 document of every operation."""
    made = schemas(one.output for one in acts(environments))
    told: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "renewal-watch",
            "version": __version__,
            "summary": "Rented phone numbers, what was found about them, and what they will cost",
            "description": "What acts needs a token that may. Instants are RFC 3339 in UTC, days whole numbers, money a decimal in text "
            "with its currency beside it. Keys are added over time.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": f"{under}/"}],
        "paths": {
            **{one.path: {"get": _described(one, made, needs_login=needs_login)} for one in operations(environments)},
            **{f"{PREFIX}/{one.name}": {"post": _acting(one)} for one in acts(environments)},
        },
        "components": {"schemas": made, "responses": _RESPONSES},
    }
    told["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "renewal-watch web token create NAME"}
    }
    if needs_login:
        about = "The password of the pages, with any name; for reading"
        told["components"]["securitySchemes"]["password"] = {"type": "http", "scheme": "basic", "description": about}
        told["security"] = [{"token": []}, {"password": []}]
    return told


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _problem_response(about: str) -> Schema:
    return {"description": about, "content": {PROBLEM: {"schema": _ref("Problem")}}}


_RESPONSES = {
    "BadParameter": _problem_response("A parameter is refused; the problem names it"),
    "LoginNeeded": _problem_response("The password of the pages is needed"),
    "TokenNeeded": _problem_response("A token is needed, or this one counts no more"),
    "NotAllowed": _problem_response("The token is good for reading only"),
    "TooLarge": _problem_response("The body is too large"),
    "NoJson": _problem_response("The body is no JSON"),
    "NotFound": _problem_response("There is no such number"),
    "WrongMethod": _problem_response("It takes another method")
    | {"headers": {"Allow": {"description": "The methods that it takes", "schema": {"type": "string"}}}},
    "Unavailable": _problem_response("The database cannot be read now"),
}


def _acting(act: Tool) -> dict[str, Any]:
    responses = {
        "200": {
            "description": (act.output.__doc__ or "").strip(),
            "content": {"application/json": {"schema": _ref(act.output.__name__), "example": ACTS[act.name]["answer"]}},
        },
        "400": {"$ref": "#/components/responses/BadParameter"},
        "401": {"$ref": "#/components/responses/TokenNeeded"},
        "403": {"$ref": "#/components/responses/NotAllowed"},
        "405": {"$ref": "#/components/responses/WrongMethod"},
        "413": {"$ref": "#/components/responses/TooLarge"},
        "415": {"$ref": "#/components/responses/NoJson"},
        "503": {"$ref": "#/components/responses/Unavailable"},
    }
    body = {"schema": act.takes, "example": ACTS[act.name]["body"]}
    return {
        "operationId": act.name,
        "summary": act.about,
        "parameters": [],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": responses,
        "security": [{"token": []}],
    }


def _described(one: Operation, made: Mapping[str, Schema], *, needs_login: bool) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", one.path)
    responses = {
        "200": {
            "description": made[one.schema]["description"],
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
