"""The seam: all that the service knows of a provider.

A provider is a folder here with a module that has ``open_provider``, and a line in ``settings.environment.PROVIDERS``. What it
reads it gives as the service's own values: ``Listing`` with entries as ``entries.read`` makes them, and the values of
``model.account``. Its addresses, envelopes and field names stay in its folder. The JSON that is kept of an entry has the field
names of the list that was first, Talkover's: another provider writes its entries with them (``entries.encode``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from renewal_watch.model.numbers import Listing

PATIENCE = timedelta(seconds=5)  # a turn is waited for so long before anything was read
SOON = timedelta(seconds=60)  # a turn later than this is a pause that the provider asked for
CLOCK_OFF = timedelta(minutes=5)  # days are counted, so minutes do no harm; more is a clock that nobody sets


class Pace(Protocol):
    """How fast the provider may be asked; ``store.rate_limit`` shares it with all who use the same token."""

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


class Answered(NamedTuple):
    """What was read beside the list: a value of ``model.account``, None where it says nothing, and what cannot be read."""

    content: Any
    faults: tuple[str, ...] = ()


class Provider(Protocol):
    """One environment of a provider. ``endpoints`` names what can be asked beside the list.

    ``server_time`` is when the last answer was made, ``clock_off`` how far that was from this machine's clock, where it
    was more than ``CLOCK_OFF``; None where the provider does not say.
    """

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """What can be asked, by name."""

    @property
    def server_time(self) -> datetime | None:
        """The time of the last answer."""

    @property
    def clock_off(self) -> timedelta | None:
        """How far it was off."""

    def fetch(self) -> Listing:
        """The complete list as it is now. Raises ApiError, and PutOff before the first request; never gives half a list."""

    def ask(self, name: str) -> Answered:
        """What one of ``endpoints`` says now. Raises ApiError, NotOffered where the account does not have it, PutOff."""

    def last_call(self, number: str, since: date) -> datetime | None:
        """When a number last called or was called, None where it was not ``since`` then. Raises like ``ask``."""
