"""Operations and their parameters, as the OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from renewal_watch.web.api.schemas import Schema

PREFIX = "/api/v1"
NO_NUL = r"^[^\u0000]*$"  # PostgreSQL keeps none, so that nothing has a name with one
LONGEST_TEXT = 200  # characters of a parameter
PROBLEM = "application/problem+json"


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


def text_parameter(name: str, about: str, example: str | None = None) -> Parameter:
    """A parameter that is text."""
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT, "pattern": NO_NUL}
    return Parameter(name=name, schema=schema, about=about, example=example)


_DAY = (  # of this century, each in its month
    r"20[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"|20([02468][048]|[13579][26])-02-29"
)
MOMENT = rf"^(today|yesterday|[1-9][0-9]{{0,3}}[hd]|({_DAY})(T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?Z?)?)$"


def moment(name: str, about: str, example: str) -> Parameter:
    """A parameter that is a time as people write it: a day, a time of a day, so long ago."""
    return Parameter(name=name, schema={"type": "string", "pattern": MOMENT}, about=about, example=example)


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
