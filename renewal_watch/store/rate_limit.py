"""How fast the provider is asked: one turn after another for each token, shared by all who use the same database.

A turn is reserved in one short transaction before each request, by the generic cell rate algorithm (ITU-T I.371): the
table keeps the instant from which on a whole burst is free again. Daemons, commands and environments with the same token
thus stay within its limit together. A pause that the provider asks one of them for holds back them all.

The database is asked for its permission, not for its leave: where it cannot be written, turns go by what this process
knows, so that a list is still read, and the next transaction says what is the incident.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from renewal_watch.database.schema import rates
from renewal_watch.database.store import Store
from renewal_watch.errors import ConfigError, StoreError
from renewal_watch.settings.environment import Environment

log = logging.getLogger(__name__)

MINUTE = timedelta(minutes=1)
BURST = 5  # a fifth of a minute's requests may come at once
FARTHEST = timedelta(minutes=5)  # no turn is ever reserved so far ahead: it was reserved by a clock that was put back
LONGEST_HOLD = timedelta(hours=7)  # and so was a pause longer than any that is believed
FORGOTTEN_AFTER = timedelta(days=1)
_KEPT = (rates.c.next_at, rates.c.held_until)


class Kept(NamedTuple):
    """What is known of a token: from when on a whole burst is free, and until when the provider wants to be left alone."""

    free_at: datetime
    held_until: datetime | None = None


class Turn(NamedTuple):
    """When a request may go, and from when on a whole burst is free again once it went."""

    at: datetime
    free_at: datetime


def gap(per_minute: int) -> timedelta:
    """The time between two requests in the long run: with a burst before, no minute has more than ``per_minute``."""
    return MINUTE / max(1, per_minute - burst(per_minute))


def burst(per_minute: int) -> int:
    """How many requests may come at once."""
    return max(1, per_minute // BURST)


def turn(kept: Kept | None, per_minute: int, now: datetime) -> Turn:
    """The next turn. After a pause there is one at its end, then one after another: no burst."""
    every = gap(per_minute)
    ahead = every * (burst(per_minute) - 1)
    free_at = now if kept is None or kept.free_at - now > FARTHEST else max(now, kept.free_at)
    if kept is not None and kept.held_until is not None and kept.held_until - now <= LONGEST_HOLD:
        free_at = max(free_at, kept.held_until + ahead)
    return Turn(max(now, free_at - ahead), free_at + every)


def held(kept: Kept | None, wait: timedelta, now: datetime) -> Kept:
    """After the provider asked for a pause. A longer one that it asked for before stays."""
    until = now + wait
    if kept is None:
        return Kept(now, until)
    before = kept.held_until
    return kept if before is not None and until <= before <= now + LONGEST_HOLD else Kept(kept.free_at, until)


def limit(environment: Environment, those: Iterable[Environment]) -> int:
    """Requests a minute with the environment's token: the smallest that any environment with the same one gives it.

    Raises ConfigError when the token cannot be read; that of another environment is then not compared.
    """
    smaller = [
        one
        for one in those
        if one.requests_per_minute < environment.requests_per_minute and _place(one) == _place(environment)
    ]
    if not smaller:
        return environment.requests_per_minute
    token = environment.read_token()
    return min([environment.requests_per_minute, *(one.requests_per_minute for one in smaller if _token(one) == token)])


def _token(environment: Environment) -> str | None:
    try:
        return environment.read_token()
    except ConfigError:
        return None


def _place(environment: Environment) -> str:
    return environment.base_url.rstrip("/").lower()


Change = Callable[[Kept | None, datetime], tuple[Kept | None, timedelta]]


@dataclass(frozen=True, slots=True)
class Pace:
    """What a client is given: turns at one place. The token is only ever kept as a keyed digest of eight bytes."""

    shared: Rates
    place: str
    per_minute: int

    def reserve(self, token: str, longest: timedelta) -> timedelta:
        """How long to wait before the next request; its turn is taken unless that is longer than ``longest``."""
        return self.shared.reserve(self._digest(token), self.per_minute, longest)

    def hold(self, token: str, wait: timedelta) -> None:
        """Let nobody with this token ask for so long."""
        self.shared.hold(self._digest(token), wait)

    def _digest(self, token: str) -> str:
        key = blake2b(self.place.encode(), digest_size=32).digest()
        return blake2b(token.encode(), digest_size=8, key=key).hexdigest()


@dataclass(slots=True)
class Rates:
    """The turns in one database. Safe to use from several threads."""

    store: Store
    clock: Callable[[], datetime]
    _known: dict[str, Kept] = field(default_factory=dict)  # by digest: what this process knew last

    def pace(self, environment: Environment, those: Iterable[Environment]) -> Pace:
        """The pace of an environment among ``those`` that are configured."""
        try:
            per_minute = limit(environment, those)
        except ConfigError:  # the request itself will say so
            per_minute = environment.requests_per_minute
        return Pace(self, _place(environment), per_minute)

    def reserve(self, digest: str, per_minute: int, longest: timedelta) -> timedelta:
        """See ``Pace.reserve``."""

        def reserved(kept: Kept | None, now: datetime) -> tuple[Kept | None, timedelta]:
            at, free_at = turn(kept, per_minute, now)
            wait = at - now
            return (Kept(free_at, kept.held_until if kept else None) if wait <= longest else None), wait

        return self._change(digest, reserved)

    def hold(self, digest: str, wait: timedelta) -> None:
        """See ``Pace.hold``."""
        self._change(digest, lambda kept, now: (held(kept, wait, now), wait))

    def _change(self, digest: str, change: Change) -> timedelta:
        """Put what ``change`` makes of what is kept in its place, unless that is None; what else it gives."""
        try:
            with self.store.transaction(of=f"rate {digest}") as tx:
                now = tx.clock(self.clock())
                row = tx.connection.execute(select(*_KEPT).where(rates.c.token == digest)).one_or_none()
                after, wait = change(None if row is None else Kept(*row), now)
                if after is not None:
                    _write(tx.connection, digest, after, now, is_new=row is None)
        except StoreError as error:
            log.debug("turns go by this process alone: %s", error)
            after, wait = change(self._known.get(digest), self.clock())
        if after is not None:
            self._known[digest] = after
        return wait


def _write(connection: Connection, digest: str, kept: Kept, now: datetime, *, is_new: bool) -> None:
    values = {"next_at": kept.free_at, "held_until": kept.held_until}
    if is_new:  # nobody else makes the row: it is this transaction's turn
        connection.execute(delete(rates).where(rates.c.next_at < now - FORGOTTEN_AFTER))
        connection.execute(insert(rates).values(token=digest, **values))
    else:
        connection.execute(update(rates).where(rates.c.token == digest).values(**values))
