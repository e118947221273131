"""Who does something, and from where: what the audit log keeps of a person or a program; and the tokens of programs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, get_args

Scope = Literal["read", "act"]
BEGINNING = "rw_"  # of every token, so that scanners of secrets, and people, know what it is
SCOPES: tuple[Scope, ...] = get_args(Scope)


class Actor(NamedTuple):
    """``name`` stands beside what is done, such as ``web: Anna``; ``origin`` is where it was asked from: a machine, an address."""

    name: str
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of the API: what a program may do until it expires or is revoked. The token itself is kept nowhere."""

    name: str
    scope: Scope
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def may_act(self) -> bool:
        """Whether it is good for more than reading."""
        return self.scope == "act"

    def is_good(self, now: datetime) -> bool:
        """Whether it still counts."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
