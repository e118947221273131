"""What all threads of the daemon share: settings, database, time, and what each says of itself."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

from renewal_watch.clock import Clock
from renewal_watch.daemon.membership import Presence
from renewal_watch.daemon.ticker import Ticker
from renewal_watch.daemon.trouble import Trouble
from renewal_watch.daemon.workers import Workers
from renewal_watch.database.store import Store
from renewal_watch.errors import Stopped, StoreError
from renewal_watch.inventory.file import inventory_of
from renewal_watch.model.daemons import Lease
from renewal_watch.notify.routing import Routing
from renewal_watch.operations.heartbeat import Heartbeats
from renewal_watch.settings.whole import Settings

log = logging.getLogger(__name__)

STUCK_S = 300.0  # no progress of a thread for so long is a hang: three times its longest deadline


class Running:
    """A daemon as its threads see it. ``busy`` names what is under way, ``progress`` when each thread last moved."""

    def __init__(self, settings: Settings, store: Store, clock: Clock, ticker: Ticker) -> None:
        self.settings = settings
        self.inventory = inventory_of(settings)
        self.store = store
        store.repeats = True
        self.ticker = ticker
        self.presence = Presence(store, clock, is_well=lambda: not self.stuck()) if store.is_shared else None
        self.clock = self.presence.now if self.presence else clock
        self.heartbeats = Heartbeats(store, self.clock)
        self.stopping = threading.Event()
        self.progress: dict[str, float] = {}  # name of a busy thread: monotonic time of its last sign of life
        self.busy: set[str] = set()
        self.answered_at = time.monotonic()  # when the database last did all that it was asked
        self.trouble = Trouble(lambda: self.settings.channels, self.clock)
        self.workers = Workers(self)
        self._routing: tuple[Settings, Routing] | None = None

    def stuck(self) -> str | None:
        """The thread that shows no sign of life, None while all move. A provider or channel that is down is no hang."""
        now = time.monotonic()
        if now - self.ticker.ticked_at > STUCK_S:
            return "scheduler"
        return next((name for name, seen in list(self.progress.items()) if now - seen > STUCK_S), None)

    def routing(self) -> Routing:
        """Who is told, by the settings and the inventory of now."""
        records = self.inventory.current()
        kept = self._routing
        if kept is None or kept[0] is not self.settings or kept[1].inventory is not records:
            kept = self._routing = (self.settings, Routing.of(self.settings, records))
        return kept[1]

    def alive(self, name: str) -> None:
        """A thread shows that it lives."""
        self.progress[name] = time.monotonic()

    def pause(self, seconds: float) -> None:
        """Wait, unless the daemon is to stop. Raises Stopped."""
        if self.stopping.wait(seconds):
            raise Stopped

    def give_back(self, lease: Lease | None) -> None:
        """A lease of something that was not done after all; one that was done ended with it."""
        if self.presence and lease:
            try:
                self.presence.give_back(lease)
            except StoreError as error:
                log.debug("%s is given back with a later beat: %s", lease.name, error)

    @contextlib.contextmanager
    def job(self, name: str, broke: str) -> Iterator[None]:
        """Work in a thread of its own: a fault ends the work, not the daemon, and the next turn may begin it again."""
        try:
            yield
        except Stopped:
            pass
        except StoreError as error:
            self.trouble.cannot_write(error)
        except Exception:
            log.exception("%s", broke)
        finally:
            self.progress.pop(name, None)
            self.busy.discard(name)
            self.workers.wake()
