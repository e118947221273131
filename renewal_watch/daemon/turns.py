"""What time has made due, looked at again and again: reminders at once, what takes minutes in threads of its own."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from datetime import timedelta

from renewal_watch.daemon.polls import Polls
from renewal_watch.daemon.running import Running
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import turn
from renewal_watch.operations.turn import Task, Turn
from renewal_watch.settings.values import readable
from renewal_watch.store.environments import environment_states

log = logging.getLogger(__name__)

REFRESH_S = 30.0  # how often the schedule is read anew: other processes may have polled
LATELY = timedelta(days=7)  # what was polled since then and is not configured any more is missed


class Turns:
    """The turns of a daemon beside its polls and sends."""

    def __init__(self, daemon: Running, polls: Polls) -> None:
        self._daemon = daemon
        self._polls = polls
        self.refreshed_at = -REFRESH_S
        self._inventory_faults: list[str] = []

    def refresh(self) -> None:
        """Read the schedules anew, and tell what time has made due."""
        is_heard = self._daemon.presence is not None and self._daemon.presence.is_heard
        is_back = is_heard and self._daemon.trouble.since is not None  # the server: what waits is not kept waiting
        if time.monotonic() - self.refreshed_at < REFRESH_S and not is_back:
            return
        with self._daemon.store.reading() as tx:
            watches = environment_states(tx)
        self._polls.schedules = {watch.name: schedule for _, watch, schedule in watches}
        routing = self._daemon.routing()
        faults = self._daemon.inventory.faults
        if faults != self._inventory_faults:
            self._inventory_faults = faults
            log.warning("inventory: %s", faults[0] if faults else "it can be read whole again")
        now = self._daemon.clock()
        file_faults = self._daemon.settings.file_faults(now)
        lately = [one.name for _, one, _ in watches if one.last_poll_at is not None and now - one.last_poll_at < LATELY]
        directory = self._daemon.settings.environments_dir
        if lately and directory and not self._daemon.settings.environments:  # its disk may be missing since the start
            some = "1 environment was" if len(lately) == 1 else f"{len(lately)} environments were"
            fault = f"it is empty, so nothing is watched; {some} polled in the last days"
            file_faults = {readable(directory.name): fault, **file_faults}
        due = self._turn(routing)
        host = self._daemon.presence.host if self._daemon.presence else ""
        if turn.follow(
            due, file_faults, host=host, instance=self._daemon.presence.id if self._daemon.presence else None
        ):
            self._daemon.workers.wake()
        for task in turn.TASKS:
            if task.name not in self._daemon.busy and task.is_due(due):
                self._daemon.busy.add(task.name)
                try:
                    threading.Thread(target=self.do, args=(task,), name=task.name, daemon=True).start()
                except RuntimeError:  # no thread is to be had
                    self._daemon.busy.discard(task.name)
                    raise
        if is_heard:  # it may be that the others are quicker at every poll
            self._daemon.trouble.can_write()
        self.refreshed_at = self._daemon.answered_at = time.monotonic()

    def _turn(self, routing: Routing) -> Turn:
        """What is due goes by the settings of now; a channel that a reload takes out meanwhile is noticed."""
        return Turn(
            store=self._daemon.store,
            settings=self._daemon.settings,
            routing=routing,
            clock=self._daemon.clock,
            pause=self._daemon.pause,
            inventory_faults=self._daemon.inventory.faults,
            still=lambda channel: channel in self._daemon.settings.channels,
        )

    def do(self, task: Task) -> None:
        """Do what may take minutes, which is no hang; where several daemons share the database, one does it."""
        with self._daemon.job(task.name, f"{task.name} broke; it is tried again"), contextlib.ExitStack() as given_back:
            due = self._turn(self._daemon.routing())
            if self._daemon.presence:
                lease = self._daemon.presence.take(task.name, lambda _tx, _at: True)
                given_back.callback(self._daemon.give_back, lease)
                if lease is None or not task.is_due(due):
                    return
            task.run(due)
