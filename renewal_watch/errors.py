"""The one tree of errors: who raises them, who handles them, what the operator does.

    RenewalWatchError
    ├── UsageError          cli; exit 2; the operator corrects the command
    ├── ConfigError         config, channels; exit 78; the operator corrects the file (all faults at once)
    ├── StoreError          database, store; exit 1; the daemon tries again, the operator frees disk or lock
    │   └── StoreAway       database; the same, and a daemon that begins waits for its end
    ├── AlreadyRunning      daemon; exit 1; the operator stops the other daemon
    ├── PutOff              provider; the poll is begun again a little later, and nothing of it is recorded
    ├── CannotServe         web, mcp, cli; exit 1; the operator frees the address, or installs what the pages or assistants need
    ├── ChannelError        channels; dispatch keeps the delivery pending and tries again
    │   └── HeldUp          channels, dispatch; the claim is given back unsent
    └── ApiError            provider; poll records the failed poll, detect decides whether to tell
        ├── TokenRejected   401, 403: the operator replaces the token
        ├── RequestRefused  422 and its like: the operator corrects a filter
        ├── NotOffered      403, 404 of what is read beside the list: noted once; nothing to do, or switch it off
        ├── RateLimited     429: it waits as long as it is told
        ├── ServerTrouble   5xx, timeout, reset, cut body: it waits
        └── NotTheApi       HTML, redirect, empty body, no JSON: the operator checks base_url

Every message is one sentence for a person and holds no secret.
An ``ApiError`` is never an empty list.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path


class RenewalWatchError(Exception):
    """Anything this program says to its operator instead of a traceback."""

    exit_code = 1


class UsageError(RenewalWatchError):
    """The command was called wrongly."""

    exit_code = 2


class ConfigError(RenewalWatchError):
    """The configuration is wrong; ``faults`` are sentences that name the key."""

    exit_code = 78  # EX_CONFIG of sysexits.h; the systemd unit does not restart on it

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class StoreError(RenewalWatchError):
    """The database cannot be read or written now."""


class StoreAway(StoreError):
    """The database cannot be reached, or is kept by others, for the moment."""


class AlreadyRunning(RenewalWatchError):
    """Another daemon holds the lock of this database."""


class PutOff(RenewalWatchError):
    """Others with the same token use up what the provider allows; ``wait`` is how long until there is room."""

    def __init__(self, message: str, wait: timedelta) -> None:
        super().__init__(message)
        self.wait = wait


class Stopped(RenewalWatchError):
    """The daemon stops: what waits for a provider is dropped."""


class CannotServe(RenewalWatchError):
    """The pages cannot be served where they should be, or no assistant be answered."""


class ChannelError(RenewalWatchError):
    """A message was not delivered, or nobody can say that it was.

    ``retry_after`` is how long the receiver asked to be left alone, if it did.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class HeldUp(ChannelError):
    """The process was held up before the send: somebody else may send the message by now, so it was not sent."""


class ApiError(RenewalWatchError):
    """The list could not be read whole.

    ``retry_after`` is how long the provider asked to be left alone, if it did.
    """

    reason = "api"  # the word kept in the database and shown by status

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TokenRejected(ApiError):
    """The provider does not accept the token."""

    reason = "token_rejected"


class RequestRefused(ApiError):
    """The provider does not accept the request, most often a filter."""

    reason = "request_refused"


class NotOffered(ApiError):
    """The provider does not have it, or not for this token; only of what is read beside the list."""

    reason = "not_offered"


class RateLimited(ApiError):
    """The provider asks for a pause."""

    reason = "rate_limited"


class ServerTrouble(ApiError):
    """The provider or the way to it does not work now."""

    reason = "server_trouble"


class NotTheApi(ApiError):
    """Something answered, but not the list that the API documents."""

    reason = "not_the_api"


class Unforeseen(ApiError):
    """Reading or judging the list met a fault of our own; told like an outage, for nobody watches meanwhile."""

    reason = "unforeseen"

    @classmethod
    def of(cls, error: Exception) -> Unforeseen:
        """What is said of an exception: its type and its place, never its words, which may hold anything."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        return cls(f"a fault of renewal-watch ({type(error).__name__} at {place}); its log has more, please report it")
