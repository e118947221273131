"""The parts that the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def object_of(about: str, required: Schema, optional: Schema | None = None) -> Schema:
    """The schema of an object; every property is there unless it says otherwise."""
    return {
        "type": "object",
        "description": about,
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def list_of(item: Schema) -> Schema:
    """The schema of a list."""
    return {"type": "array", "items": item}


def ref(name: str) -> Schema:
    """A reference to a schema by its name."""
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


def text_parameter(name: str, about: str, example: str | None = None) -> Parameter:
    """A parameter that is text."""
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}
    return Parameter(name=name, schema=schema, about=about, example=example)


def choice(name: str, values: Sequence[str], about: str, default: str | None = None) -> Parameter:
    """A parameter that is one of some words."""
    schema: Schema = {"type": "string", "enum": list(values)}
    return Parameter(name=name, schema=schema | ({"default": default} if default else {}), about=about)


def integer(name: str, low: int, high: int, about: str, default: int | None = None) -> Parameter:
    """A parameter that is a whole number within bounds."""
    schema: Schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name=name, schema=schema | ({"default": default} if default else {}), about=about)


def flag(name: str, about: str) -> Parameter:
    """A parameter that is true or false."""
    return Parameter(name=name, schema={"type": "boolean"}, about=about)


def choices(name: str, values: Sequence[str], about: str) -> Parameter:
    """A parameter that is several of some words."""
    schema = {
        "type": "array",
        "items": {"type": "string", "enum": list(values)},
        "minItems": 1,
        "maxItems": len(values),
    }
    return Parameter(name=name, schema=schema, about=about)
