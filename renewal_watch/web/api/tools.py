"""A tool of an assistant, or an act of the API: what it takes and gives, and the call in which it does its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.inventory.file import Inventory, inventory_of
from renewal_watch.model.actor import Actor
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings
from renewal_watch.store.fleet import Listed
from renewal_watch.store.numbers import find_number, parsed_of
from renewal_watch.text import printable
from renewal_watch.web.api.asked import Asked
from renewal_watch.web.api.schemas import Schema
from renewal_watch.web.api.shapes import Parameter, choice, text_parameter

_LONGEST_FAULT = 300  # characters
MOST_NAMED = 50  # environments that a schema names; of more it takes any text


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a tool: what it was given, and the database, opened for it."""

    settings: Settings
    store: Store
    values: Mapping[str, Any]
    now: datetime
    actor: Actor

    @cached_property
    def inventory(self) -> Inventory:
        """Owners, labels and notes."""
        return inventory_of(self.settings)

    @cached_property
    def routing(self) -> Routing:
        """Who is told of what, with the inventory as its file is now."""
        return Routing.of(self.settings, self.inventory.current())

    def asked(self, tx: Transaction, **more: Any) -> Asked:
        """The same question as the API has it; ``more`` are values beside those of the call."""
        return Asked(
            tx=tx,
            settings=self.settings,
            now=self.now,
            values={**self.values, **more},
            routing=lambda: self.routing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What an assistant may call. ``hides`` says that somebody may not be told of something for it."""

    name: str
    title: str
    about: str
    output: type[msgspec.Struct]
    run: Callable[[Call], Any]
    parameters: Sequence[Parameter] = ()
    required: Sequence[str] = ()
    acts: bool = False
    hides: bool = False
    sends: bool = False

    @property
    def takes(self) -> Schema:
        """The JSON Schema of its arguments."""
        return {
            "type": "object",
            "properties": {one.name: {**one.schema, "description": one.about} for one in self.parameters},
            "required": list(self.required),
            "additionalProperties": False,
        }

    @property
    def gives(self) -> Schema:
        """The JSON Schema of its answer."""
        _, found = msgspec.json.schema_components([self.output], ref_template="#/$defs/{name}")
        whole = found.pop(self.output.__name__)
        return {**whole, "$defs": found} if found else whole


def environment_parameter(names: Sequence[str], about: str = "Only this environment") -> Parameter:
    """A parameter that is an environment of the configuration."""
    return choice("environment", names, about) if len(names) <= MOST_NAMED else text_parameter("environment", about)


def texts_parameter(name: str, about: str, most: int = 100) -> Parameter:
    """A parameter that is one text or several."""
    item = text_parameter(name, about).schema
    return Parameter(name=name, schema={"type": "array", "items": item, "minItems": 1, "maxItems": most}, about=about)


NUMBER = text_parameter(
    "number", "A phone number such as +15550001, its id at the provider, or a part of either that fits no other number"
)


def found(call: Call, tx: Transaction) -> tuple[Listed, int]:
    """The number that is meant, and the id of its environment. Raises UsageError."""
    name, key, known = find_number(tx, call.values["number"], call.values.get("environment"))
    return Listed(name, known, parsed_of(tx, [known])[known.provider_id]), key


def checked(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with what a tool takes where nothing is given. Raises UsageError."""
    takes = tool.takes
    for name, value in arguments.items():
        for one in value if isinstance(value, list) else [value]:
            if name in takes["properties"] and isinstance(one, str) and not _is_text(one):
                msg = f"{name}: it is empty, or holds a character that is no text"
                raise UsageError(msg)
    faults = sorted(Draft202012Validator(takes).iter_errors(arguments), key=lambda one: list(map(str, one.path)))
    for fault in faults:
        place = f"{fault.path[0]}: " if fault.path else ""
        raise UsageError(printable(f"{place}{fault.message}", _LONGEST_FAULT))
    usual = {name: one["default"] for name, one in takes["properties"].items() if "default" in one}
    return {**usual, **{name: _whole(value, takes["properties"][name]) for name, value in arguments.items()}}


def _is_text(one: str) -> bool:
    """Whether it says anything, in characters that any database takes: no NUL, no half of a pair as JSON can escape it."""
    try:
        one.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in one and one.strip() != ""


def _whole(value: Any, schema: Mapping[str, Any]) -> Any:
    """``5.0`` is the whole number 5 for JSON Schema."""
    if schema["type"] == "array":
        return [_whole(one, schema["items"]) for one in value]
    return int(value) if schema["type"] == "integer" else value
