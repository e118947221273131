"""What was asked of the API, read by the operation's parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.database.transaction import Transaction
from renewal_watch.model import renewal_day
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings
from renewal_watch.store.owned import owned_ids
from renewal_watch.web.api.schemas import Schema
from renewal_watch.web.api.shapes import LONGEST_TEXT, Operation, Parameter

Values = Mapping[str, Any]
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Refused(Exception):
    """The answer is a problem; ``endpoint`` handles it."""

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
    routing: Callable[[], Routing]

    @property
    def names(self) -> list[str]:
        """The environments that are asked for."""
        wanted = self.values.get("environment")
        return [one.name for one in self.settings.environments if wanted in (None, one.name)]

    @property
    def owned(self) -> list[int] | None:
        """The numbers of the owner and with the label that are asked for; None where neither is."""
        owner, label = self.values.get("owner", ""), self.values.get("label", "")
        return owned_ids(self.tx, self.routing(), self.names, owner, label) if owner or label else None

    @property
    def today(self) -> int:
        """The ordinal of the day in the configured zone."""
        return renewal_day.today(self.now, self.settings.timezone)


def read(operation: Operation, path: Values, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The parameters of a request, those of the path included. Raises Refused."""
    known = {one.name: one for one in operation.parameters}
    given: dict[str, list[str]] = {}
    for name, value in query:
        given.setdefault(name, []).append(value)
    for name in given:
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise Refused(400, f"There is no such parameter here; {has}.", parameter=name)
    return {**path, **{name: _value(known[name], values) for name, values in given.items()}}


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
    if "pattern" in schema and "maxLength" not in schema:
        is_good = re.fullmatch(schema["pattern"], text)
        return None if is_good else "is no time such as 2026-11-23, 2026-11-23T10:00Z, yesterday, 3d or 12h"
    return None if 1 <= len(text) <= LONGEST_TEXT else f"is empty or longer than {LONGEST_TEXT} characters"
