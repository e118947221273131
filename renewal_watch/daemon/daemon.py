"""Keeps the two turns going for months: when to poll and to send, signals, systemd, and a watch over itself.

    main thread   signals, clock steps, watchdog: alive only while everything below moves
    scheduler     APScheduler; ticks every second and says which environments are due, no more
    poll threads  poll.run_once, one at a time for each environment
    account threads  account_poll.run_once after a good poll; threads of their own, so that no poll waits for them
    channel threads  dispatch.run_once, one for each channel, so that a hung one delays nobody
    heartbeat threads  one for each environment with a dead-man's switch
    task threads  one for each of ``turn.TASKS`` that is due: the canary, digests, the daily upkeep
    presence thread  says to the other daemons on a shared database that this one is there

What is due next lives in the database. The scheduler's own job store is in memory: a persistent one would pickle jobs
and may drop them. Its waits are guarded here, for its thread can die unseen and a clock that is put back stops it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from types import FrameType

from renewal_watch.channels.senders import channel_faults
from renewal_watch.clock import Clock, utc_now
from renewal_watch.config.directory import LOOK_S, Directory
from renewal_watch.config.loading import load
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.daemon import trouble
from renewal_watch.daemon.polls import Polls
from renewal_watch.daemon.running import Running
from renewal_watch.daemon.ticker import Ticker
from renewal_watch.daemon.turns import REFRESH_S, Turns
from renewal_watch.database.sqlite import lock_of
from renewal_watch.database.store import Store
from renewal_watch.diagnostics import hints
from renewal_watch.errors import ConfigError, StoreAway, StoreError
from renewal_watch.inventory.file import inventory_of
from renewal_watch.notify.message import wording
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import Schedule
from renewal_watch.systemd import Systemd
from renewal_watch.text import REDACTOR

log = logging.getLogger(__name__)

SEEN_EVERY_S = 15.0  # a daemon that was not seen for ``leases.MISSED`` is missed
CLOCK_STEP_S = 2.0  # a difference between wall and monotonic clock that is no adjustment by NTP
STATUS_NAMES = 10  # environments named in the line that systemctl status shows
STOP_SENDS_S = 6.0  # a send under way may end by itself this long after SIGTERM
STOP_PINGS_S = 1.0  # and what a dead-man's switch is being told so long
HUNG_AFTER_S = trouble.BLIND_AFTER_S + 2 * REFRESH_S  # and one that says nothing at all, not even a fault
STOOD_S = 30.0  # between two turns of the main thread: the process was paused, or its machine
LOOK_EVERY_S = 0.5  # how often the main thread looks at everything, when no signal comes
AWAY_S = 5.0  # between two tries to reach a server at the start


class Daemon(Running):
    """The running watch. ``run`` returns the exit code when it was asked to stop."""

    def __init__(self, settings: Settings, store: Store, clock: Clock = utc_now) -> None:
        super().__init__(settings, store, clock, Ticker(self._tick))
        self.systemd = Systemd()
        self.reloading = threading.Event()
        self.polls = Polls(self)
        self.turns = Turns(self, self.polls)
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._directory = Directory()
        self._looked_at = -LOOK_S
        self._seen_at = -SEEN_EVERY_S
        self._said = ""
        self._refused = ""

    # --- main thread ---

    def run(self) -> int:
        """Watch until SIGTERM or SIGINT."""
        self._catch_signals()
        if not self._await_database():
            return 0
        self.heartbeats.since = self.clock()
        if self.presence:
            self.presence.start()
        self.workers.start(self.settings.channels)
        self.ticker.start()
        self.systemd.say("READY=1", "STATUS=watching")
        log.info("watching %d environments, %d channels", len(self.settings.environments), len(self.settings.channels))
        self._look_at_settings()
        wall, mono = utc_now().timestamp(), time.monotonic()
        while not self._wait(LOOK_EVERY_S):
            step = (utc_now().timestamp() - wall) - (time.monotonic() - mono)
            if time.monotonic() - mono > STOOD_S:  # it is this process that did nothing
                self.answered_at = time.monotonic()
            wall, mono = utc_now().timestamp(), time.monotonic()
            if abs(step) > CLOCK_STEP_S:
                log.warning(
                    "the clock was put %s by %.0f s; the schedule is set anew", "on" if step > 0 else "back", abs(step)
                )
                self._begin_anew()
            elif not self.ticker.lives():
                log.error("the scheduler stood still; it is started again")
                self._begin_anew()
            if mono - self.answered_at > HUNG_AFTER_S and not self.trouble.is_told:
                self.trouble.cannot_write(
                    StoreError(f"the database {self.store.place} does not answer"), self.answered_at
                )
            if self.reloading.is_set():
                self.reloading.clear()
                self._reload()
            elif time.monotonic() - self._looked_at >= LOOK_S:
                self._look_at_directory()
            if self.systemd.watchdog_s and not self.stuck():
                self.systemd.say("WATCHDOG=1")
            self._be_seen()
            self._say_status()
        self._stop()
        return 0

    def _be_seen(self) -> None:
        """Say beside the database's file that a daemon is there: ``leases.daemon_seen`` looks. On a server the beats do."""
        if self.store.path is None or time.monotonic() - self._seen_at < SEEN_EVERY_S or self.stuck():
            return
        self._seen_at = time.monotonic()
        now = self.clock().timestamp()
        with contextlib.suppress(OSError):  # a directory that is gone is told by the polls
            os.utime(lock_of(self.store.path), (now, now))

    def _await_database(self) -> bool:
        """Bring the database up to date; False when asked to stop before. Raises StoreError.

        A server that is away is waited for: who ended instead, and was started again, would never tell that it is blind.
        """
        while True:
            try:
                self.store.upgrade()
            except StoreAway as error:
                if not self.store.is_shared:
                    raise
                if self.trouble.since is None:
                    self.systemd.say("READY=1")
                self.trouble.cannot_write(error)
            else:
                self.trouble.can_write()
                self.answered_at = time.monotonic()
                return True
            if self.systemd.watchdog_s:
                self.systemd.say("WATCHDOG=1")
            self._say_status()
            if any(self._wait(min(AWAY_S, LOOK_EVERY_S)) for _ in range(max(1, int(AWAY_S / LOOK_EVERY_S)))):
                self.systemd.say("STOPPING=1")
                return False

    def _catch_signals(self) -> None:
        def note(number: int, frame: FrameType | None) -> None:
            del frame
            self._signals.put(number)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, note)

    def _wait(self, seconds: float) -> bool:
        """Wait for a signal, or so long; whether the daemon is to stop.

        A handler runs in the midst of whatever the main thread does, so it may take no lock that the main thread holds: an
        ``Event`` has one, and a signal in the wrong moment would wait for ever. ``SimpleQueue.put`` is made for handlers.
        """
        with contextlib.suppress(queue.Empty):
            number = self._signals.get(timeout=seconds)
            while True:  # all that came meanwhile
                (self.reloading if number == signal.SIGHUP else self.stopping).set()
                number = self._signals.get_nowait()
        return self.stopping.is_set()

    def _say_status(self) -> None:
        hung = self.stuck()
        if hung:
            said = f"{hung} hangs"
        elif self.trouble.since is not None:
            said = "the database cannot be written"
        else:
            names = [one.name for one in self.settings.environments]
            failing = [name for name in names if self.polls.schedules.get(name, Schedule()).hold_until is not None]
            some = ", ".join(sorted(failing)[:STATUS_NAMES])
            some += f" and {len(failing) - STATUS_NAMES} more" if len(failing) > STATUS_NAMES else ""
            said = f"watching {len(names)} environments"
            said += f"; waiting to be let in again: {some}" if failing else ""
        broken = len(self.settings.broken)
        said += f"; {broken} of the environments' files cannot be used, see the log" if broken else ""
        said += self._refused
        if said != self._said:
            self._said = said
            self.systemd.say(f"STATUS={said}")

    def _reload(self) -> None:
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.systemd.say("RELOADING=1", f"MONOTONIC_USEC={usec}")
        try:
            fresh = load(self.settings.path)
            faults = secret_faults(fresh, with_files=False) or channel_faults(fresh)
            if fresh.database_url != self.settings.database_url:
                faults.append("database.url: another database needs a restart of the service")
            if faults:
                raise ConfigError(faults)
        except ConfigError as error:
            for fault in error.faults:
                log.error("reload refused, the old settings stay: %s", REDACTOR.clean(fault))  # noqa: TRY400
            self._refused = f"; reload refused, the old settings stay: {REDACTOR.clean(error.faults[0])}"
            self.systemd.say("READY=1")
            return
        self.workers.stop(STOP_SENDS_S, keep=fresh.channels)
        if fresh.inventory_path != self.settings.inventory_path:
            self.inventory = inventory_of(fresh)
        fresh = self._directory.look(fresh, self.clock(), before=self.settings, is_meant=True)
        self._looked_at = time.monotonic()
        self.settings = fresh
        self.turns.refreshed_at = -REFRESH_S
        self.workers.start(self.settings.channels)
        self._look_at_settings()
        log.info("reloaded: %d environments, %d channels", len(fresh.environments), len(fresh.channels))
        self._refused = self._said = ""
        self.systemd.say("READY=1", "STATUS=reloaded")

    def _look_at_directory(self) -> None:
        """Take over what was added, changed or removed; no thread is stopped, a poll under way ends as it began."""
        self._looked_at = time.monotonic()
        fresh = self._directory.look(self.settings, self.clock())
        if fresh is not self.settings:
            self.settings = fresh
            self.turns.refreshed_at = -REFRESH_S

    def _look_at_settings(self) -> None:
        """A fault in a template costs its words, not the watch: it is logged, and stands in each message."""
        settings = self.settings
        for hint in hints.hints(settings, self.inventory.current()):
            log.warning("%s", REDACTOR.clean(hint))

        def look() -> None:
            for fault in wording.template_faults(settings):
                log.warning("%s; the built-in words are used", REDACTOR.clean(fault))

        if settings.templates:  # many take longer to try than the watchdog of systemd waits
            threading.Thread(target=look, name="templates", daemon=True).start()

    def _stop(self) -> None:
        """End within 10 s: polls are dropped (nothing of them is written), sends may end, then their children die."""
        log.info("stopping")
        self.systemd.say("STOPPING=1", "STATUS=stopping")
        self.ticker.stop()
        self.polls.drop()
        self.workers.stop(STOP_SENDS_S)
        self.heartbeats.close(STOP_PINGS_S)
        if self.presence:
            self.presence.close()

    # --- scheduler ---

    def _begin_anew(self) -> None:
        """Read the schedules anew, with a scheduler that ticks."""
        self.turns.refreshed_at = -REFRESH_S
        self.ticker.restart()

    def _tick(self) -> None:
        """Start what is due. Runs in the scheduler's only worker."""
        if self.stopping.is_set():
            return
        try:
            self.turns.refresh()
        except StoreError as error:
            self.trouble.cannot_write(error)
        self.polls.start_due()
