"""What a provider is asked through: how fast, and what an account may say beside the list."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, Protocol

PATIENCE = timedelta(seconds=5)  # a turn is waited for so long before anything was read


class Pace(Protocol):
    """How fast the provider may be asked; ``rates.Pace`` shares it with all who use the same token."""

    def reserve(self, token: str, longest: timedelta) -> timedelta:
        """How long to wait before the next request; it is reserved unless that is longer than ``longest``."""

    def hold(self, token: str, wait: timedelta) -> None:
        """The provider asked to be left alone for so long."""


class Unpaced:
    """Asks as fast as it can."""

    def reserve(self, token: str, longest: timedelta) -> timedelta:
        """No wait."""
        del token, longest
        return timedelta(0)

    def hold(self, token: str, wait: timedelta) -> None:
        """Nobody else is told."""


class Endpoint(NamedTuple):
    """What is read beside the list: ``pages`` at most, 0 for one that gives a single object."""

    title: str
    path: str
    pages: int = 0
    is_for_users: bool = False  # takes the token of a user, not that of the environment
