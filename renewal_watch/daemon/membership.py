"""One daemon among those that share a database: it says that it is there, takes what is free, and reads their clock.

A thread of its own beats every ``leases.BEAT_S`` on a connection of its own, whatever polls and channels are at: neither a
long transaction of another nor many of its own make it look dead. A daemon that hangs does not beat, so that the others do
its work. While the database is out of reach it takes nothing; what it had is checked before it is used.

Time is that of the database: between two beats it goes on by a clock of this machine that nobody sets, so that a wrong time
here, or a step of it, makes nothing come early or twice.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from renewal_watch import __version__
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import StoreError
from renewal_watch.model.daemons import Lease
from renewal_watch.store.leases import BEAT_S, deregister, give_back_lease, record_beat, register, take_lease

log = logging.getLogger(__name__)

LEAVE_S = 3.0  # saying that one ends may take so long; else the others miss this daemon in a while
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first goes on while the machine sleeps


def _steady() -> float:
    return time.clock_gettime(_STEADY)


class Presence:
    """One daemon. ``polled`` and ``sent`` are what it did, for ``status``; ``is_heard`` is whether its last beat arrived."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        *,
        steady: Callable[[], float] = _steady,
        is_well: Callable[[], bool] = lambda: True,
    ) -> None:
        """``clock`` is the time of this machine, for a database whose time is made up."""
        self.id = secrets.token_hex(8)
        self.host = socket.gethostname()
        self.polled = 0
        self.sent = 0
        self.is_heard = False
        self._store = store
        self._beats = store.sibling()
        self._clock = clock
        self._steady = steady
        self._is_well = is_well
        self._read: tuple[datetime, float] | None = None  # the database's time, and the steady clock's at that time
        self._owed: list[Lease] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="presence", daemon=True)

    def now(self) -> datetime:
        """The time of the database: what all daemons count by. Raises StoreError before it could be read once."""
        if self._read is None:
            before = self._steady()
            with self._beats.unlocked() as tx:
                at = tx.clock(self._clock())
            self._heard(before, at)
        assert self._read is not None  # noqa: S101 (it was read just now)
        at, then = self._read
        return at + timedelta(seconds=self._steady() - then)

    def start(self) -> None:
        """Be there from now on. Raises StoreError."""
        self.join()
        self._thread.start()

    def join(self) -> None:
        """Begin to be there. Raises StoreError."""
        before = self._steady()
        with self._beats.unlocked() as tx:
            at = register(tx, self.id, self.host, os.getpid(), __version__, self._clock())
        self._heard(before, at)

    def beat(self) -> None:
        """Say once that it is there. Raises StoreError."""
        before = self._steady()
        with self._beats.unlocked() as tx:
            at = record_beat(tx, self.id, self.polled, self.sent, self._clock())
        if at is not None:
            self._heard(before, at)
        elif not self._ending.is_set():
            log.warning("the other daemons took this one for dead; it joins again")
            self.join()
        for lease in self._owed[:]:
            with self._beats.unlocked() as tx:
                give_back_lease(tx, lease)
            self._owed.remove(lease)

    def close(self) -> None:
        """Be gone: what this daemon held is free at once, instead of when it is missed."""
        self._ending.set()
        leaving = threading.Thread(target=self._leave, name="leaving", daemon=True)
        leaving.start()
        leaving.join(LEAVE_S)

    def take(self, name: str, is_due: Callable[[Transaction, datetime], bool]) -> Lease | None:
        """What only one may do, if it is still to be done by the database's clock and nobody is at it. Raises StoreError."""
        with self._store.transaction(name) as tx:
            return take_lease(tx, name, self.id, self._clock()) if is_due(tx, tx.clock(self._clock())) else None

    def give_back(self, lease: Lease) -> None:
        """It is done. Raises StoreError; then it is given back with a later beat."""
        try:
            with self._store.transaction(lease.name) as tx:
                give_back_lease(tx, lease)
        except StoreError:
            self._owed.append(lease)
            raise

    def _go_on(self) -> None:
        said = ""
        while not self._ending.wait(BEAT_S):
            try:
                if not self._is_well():
                    self.is_heard = False
                    fault = "something hangs here; the other daemons take over"
                else:
                    self.beat()
                    fault = ""
            except StoreError as error:
                self.is_heard = False
                fault = f"the other daemons cannot hear this one: {error}"
            except Exception:
                log.exception("a beat broke; the next one comes all the same")
                continue
            if bool(fault) != bool(said):
                log.log(
                    logging.ERROR if fault else logging.INFO, "%s", fault or "the other daemons hear this one again"
                )
            said = fault

    def _leave(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()
        try:
            with self._beats.unlocked() as tx:
                deregister(tx, self.id, self._clock())
        except StoreError as error:
            log.warning("the others will miss this daemon in a while: %s", error)
        self._beats.close()

    def _heard(self, before: float, at: datetime) -> None:
        """The database's time was ``at`` between ``before`` and now: what is thought of it moves no more than it must."""
        after = self._steady()
        least, most = at, at + timedelta(seconds=after - before)
        thought = least + (most - least) / 2
        if self._read is not None:
            kept, then = self._read
            thought = kept + timedelta(seconds=after - then)
        self._read = (min(max(thought, least), most), after)
        self.is_heard = True
