"""The threads of the channels: each sends what is due on its channel, and waits for more."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from renewal_watch.channels import senders
from renewal_watch.channels.senders import sender_of
from renewal_watch.daemon.membership import Presence
from renewal_watch.daemon.trouble import Trouble
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch
from renewal_watch.settings.channel import Channel
from renewal_watch.store.outbox.waiting import next_due

log = logging.getLogger(__name__)

IDLE_S = 10.0  # how long a channel waits at most before it looks for messages of other processes
SHARED_IDLE_S = 2.0  # the same where other daemons find messages as well


class Watch(Protocol):
    """What a worker needs of the daemon that it is a part of."""

    store: Store
    presence: Presence | None
    trouble: Trouble
    workers: Workers
    progress: dict[str, float]
    clock: Callable[[], datetime]

    def routing(self) -> Routing:
        """Who is told, by the settings and the inventory of now."""

    def alive(self, name: str) -> None:
        """A thread shows that it lives."""


class Workers:
    """All of them; ``running`` are those that were started last. So many send side by side as there are ``places``."""

    def __init__(self, daemon: Watch) -> None:
        self._daemon = daemon
        self.running: list[ChannelWorker] = []
        self.places = threading.BoundedSemaphore(senders.AT_ONCE)

    def start(self, channels: Sequence[Channel]) -> None:
        """One for each channel; those that go on since before a reload are left as they are."""
        going_on = {worker.outlet.channel.name: worker for worker in self.running if not worker.ending.is_set()}
        unmarked = {worker.outlet.channel.name: worker.outlet.unmarked for worker in self.running}
        fresh = [ChannelWorker(self._daemon, one) for one in channels if one.name not in going_on]
        self.running = [*going_on.values(), *fresh]
        for worker in fresh:  # what was sent but could not be marked is not sent again after a reload
            worker.outlet.unmarked |= unmarked.get(worker.outlet.channel.name, set())
            worker.start()

    def wake(self) -> None:
        """There is something to send."""
        for worker in self.running:
            worker.wake.set()

    def stop(self, patience_s: float, keep: Sequence[Channel] = ()) -> None:
        """End all workers but those of the channels in ``keep``, whose settings are the same: a hook is not cut short."""
        those = [worker for worker in self.running if worker.outlet.channel not in keep]
        for worker in those:
            worker.ending.set()
            worker.wake.set()
        ends = time.monotonic() + patience_s
        for worker in those:
            worker.join(max(0.0, ends - time.monotonic()))
        slow = [worker for worker in those if worker.is_alive()]
        for worker in slow:
            worker.sender.stop()
        for worker in slow:
            worker.join(2.0)


class ChannelWorker(threading.Thread):
    """The thread of one channel."""

    def __init__(self, daemon: Watch, channel: Channel) -> None:
        super().__init__(name=f"channel {channel.name}", daemon=True)
        self._daemon = daemon
        self.wake = threading.Event()
        self.ending = threading.Event()
        self.sender = sender_of(channel, daemon.clock)
        instance = daemon.presence.id if daemon.presence else None
        self.outlet = dispatch.Outlet(channel=channel, sender=self.sender, instance=instance)

    def run(self) -> None:
        """Send what is due, wait for more, until told to end."""
        daemon, name = self._daemon, self.name
        try:
            while not self.ending.is_set():
                self.wake.clear()
                daemon.alive(name)
                self.wake.wait(self._turn())
            if self.outlet.unmarked or self.outlet.unsent:  # else others would send again what was sent
                self._turn()
        finally:
            daemon.progress.pop(name, None)
            self.sender.close()

    def _turn(self) -> float:
        """One turn; the seconds until the next one."""
        with self._place():
            try:
                return self._send()
            finally:
                self.sender.close()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of those that send side by side, for a turn. Who is to end sends nothing, and waits for no place."""
        has_one = False
        while not (self._should_stop() or has_one):
            has_one = self._daemon.workers.places.acquire(timeout=1.0)
        try:
            yield
        finally:
            if has_one:
                self._daemon.workers.places.release()

    def _send(self) -> float:
        daemon, channel = self._daemon, self.outlet.channel
        try:
            routing = daemon.routing()
            done = dispatch.run_once(
                daemon.store,
                self.outlet,
                routing,
                daemon.clock,
                should_stop=self._should_stop,
            )
            if daemon.presence:
                daemon.presence.sent += done.sent
            if done.sent or done.failed:
                daemon.workers.wake()  # a channel that fails is told through the others
            with daemon.store.reading() as tx:
                due = next_due(tx, channel, routing.zone, daemon.clock())
        except StoreError as error:
            daemon.trouble.complain(error)
            return IDLE_S
        except Exception:
            log.exception("channel=%s the turn broke; it is repeated", channel.name)
            return IDLE_S
        idle = SHARED_IDLE_S if daemon.presence else IDLE_S
        if due is None:
            return idle
        return min(idle, max(0.2, (due - daemon.clock()).total_seconds()))

    def _should_stop(self) -> bool:
        self._daemon.alive(self.name)
        return self.ending.is_set()
