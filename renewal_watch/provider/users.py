"""Who uses a number, as its entry says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 300  # characters of a text that is kept


def names_of(agents: Any) -> tuple[str, ...] | None:
    """The agents in a number's own entry; None where it does not say who uses it."""
    if isinstance(agents, dict):  # PHP writes a filtered array as an object
        agents = list(agents.values())
    if not isinstance(agents, list):
        return None
    said = (name_of(one) if isinstance(one, dict) else text_of(one) for one in agents)
    return tuple(dict.fromkeys(filter(None, said)))


def name_of(agent: Mapping[str, Any]) -> str:
    """What an agent is called."""
    said = (text_of(agent.get(key)) for key in ("name", "label", "id"))
    return next(filter(None, said), "an agent without a name")


def text_of(value: object) -> str:
    """Text as the database can keep it; empty for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return str(value).strip()[:LONGEST].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
