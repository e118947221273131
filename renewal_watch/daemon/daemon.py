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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType

from renewal_watch.channels.senders import channel_faults
from renewal_watch.clock import Clock, utc_now
from renewal_watch.config.directory import LOOK_S, Directory
from renewal_watch.config.loading import load
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.daemon import trouble
from renewal_watch.daemon.membership import Presence
from renewal_watch.daemon.systemd import Systemd
from renewal_watch.daemon.ticker import Ticker
from renewal_watch.daemon.trouble import Trouble
from renewal_watch.daemon.workers import Workers
from renewal_watch.database.sqlite import lock_of
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import hints
from renewal_watch.errors import ConfigError, PutOff, Stopped, StoreAway, StoreError
from renewal_watch.inventory.file import inventory_of
from renewal_watch.model.daemons import Lease
from renewal_watch.notify import wording
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import account_poll, poll, turn
from renewal_watch.operations.heartbeat import Heartbeats
from renewal_watch.operations.turn import Task, Turn
from renewal_watch.provider.base import Provider
from renewal_watch.provider.opening import open_provider
from renewal_watch.schedule.poll_slots import Due, to_begin
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import MOST_AT_ONCE
from renewal_watch.settings.values import readable
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import Schedule, environment_states, schedule_of
from renewal_watch.store.rate_limit import Rates
from renewal_watch.text import REDACTOR

log = logging.getLogger(__name__)

SEEN_EVERY_S = 15.0  # a daemon that was not seen for ``leases.MISSED`` is missed
CLOCK_STEP_S = 2.0  # a difference between wall and monotonic clock that is no adjustment by NTP
REFRESH_S = 30.0  # how often the schedule is read anew: other processes may have polled
STATUS_NAMES = 10  # environments named in the line that systemctl status shows
STUCK_S = 300.0  # no progress of a thread for so long is a hang: three times its longest deadline
STOP_SENDS_S = 6.0  # a send under way may end by itself this long after SIGTERM
STOP_PINGS_S = 1.0  # and what a dead-man's switch is being told so long
ACCOUNT_THREADS = 4
HUNG_AFTER_S = trouble.BLIND_AFTER_S + 2 * REFRESH_S  # and one that says nothing at all, not even a fault
STOOD_S = 30.0  # between two turns of the main thread: the process was paused, or its machine
LOOK_EVERY_S = 0.5  # how often the main thread looks at everything, when no signal comes
AWAY_S = 5.0  # between two tries to reach a server at the start
LATELY = timedelta(days=7)  # what was polled since then and is not configured any more is missed


class Daemon:
    """The running watch. ``run`` returns the exit code when it was asked to stop."""

    def __init__(self, settings: Settings, store: Store, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.inventory = inventory_of(settings)
        self.store = store
        store.repeats = True
        self.presence = Presence(store, clock, is_well=lambda: not self.stuck()) if store.is_shared else None
        self.clock = self.presence.now if self.presence else clock
        self.systemd = Systemd()
        self.heartbeats = Heartbeats(store, self.clock)
        self.stopping = threading.Event()
        self.reloading = threading.Event()
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.progress: dict[str, float] = {}  # name of a busy thread: monotonic time of its last sign of life
        self.ticker = Ticker(self._tick)
        self._schedules: dict[str, Schedule] = {}
        self._refreshed_at = -REFRESH_S
        self._answered_at = time.monotonic()  # when the database last did all that it was asked
        self._directory = Directory()
        self._looked_at = -LOOK_S
        self._rates = Rates(store, self.clock)
        self._busy: set[str] = set()
        self._polling: dict[str, float] = {}  # the polls under way: monotonic time of their beginning
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="poll")  # to_begin sets the limit
        self._account_pool = ThreadPoolExecutor(ACCOUNT_THREADS, thread_name_prefix="account")
        self.trouble = Trouble(lambda: self.settings.channels, self.clock)
        self.workers = Workers(self)
        self._seen_at = -SEEN_EVERY_S
        self._said = ""
        self._refused = ""
        self._inventory_faults: list[str] = []
        self._routing: tuple[Settings, Routing] | None = None

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
                self._answered_at = time.monotonic()
            wall, mono = utc_now().timestamp(), time.monotonic()
            if abs(step) > CLOCK_STEP_S:
                log.warning(
                    "the clock was put %s by %.0f s; the schedule is set anew", "on" if step > 0 else "back", abs(step)
                )
                self._begin_anew()
            elif not self.ticker.lives():
                log.error("the scheduler stood still; it is started again")
                self._begin_anew()
            if mono - self._answered_at > HUNG_AFTER_S and not self.trouble.is_told:
                self.trouble.cannot_write(
                    StoreError(f"the database {self.store.place} does not answer"), self._answered_at
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
                self._answered_at = time.monotonic()
                return True
            if self.systemd.watchdog_s:
                self.systemd.say("WATCHDOG=1")
            self._say_status()
            if any(self._wait(min(AWAY_S, LOOK_EVERY_S)) for _ in range(max(1, int(AWAY_S / LOOK_EVERY_S)))):
                self.systemd.say("STOPPING=1")
                return False

    def stuck(self) -> str | None:
        """The thread that shows no sign of life, None while all move. A provider or channel that is down is no hang."""
        now = time.monotonic()
        if now - self.ticker.ticked_at > STUCK_S:
            return "scheduler"
        return next((name for name, seen in list(self.progress.items()) if now - seen > STUCK_S), None)

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
            failing = [name for name in names if self._schedules.get(name, Schedule()).hold_until is not None]
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
        self._refreshed_at = -REFRESH_S
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
            self._refreshed_at = -REFRESH_S

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
        for pool in (self._pool, self._account_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self.workers.stop(STOP_SENDS_S)
        self.heartbeats.close(STOP_PINGS_S)
        if self.presence:
            self.presence.close()

    # --- scheduler ---

    def _begin_anew(self) -> None:
        """Read the schedules anew, with a scheduler that ticks."""
        self._refreshed_at = -REFRESH_S
        self.ticker.restart()

    def _tick(self) -> None:
        """Start what is due. Runs in the scheduler's only worker."""
        if self.stopping.is_set():
            return
        try:
            self._refresh()
        except StoreError as error:
            self.trouble.cannot_write(error)
        for environment in self._due():
            self._busy.add(environment.name)
            self._polling[environment.name] = time.monotonic()
            try:
                self._pool.submit(self._poll, environment)
            except RuntimeError:  # the daemon was stopped meanwhile, and begins nothing more; or no thread is to be had
                self._busy.discard(environment.name)
                self._polling.pop(environment.name, None)
                if not self.stopping.is_set():
                    raise
                return

    def _due(self) -> list[Environment]:
        """The environments that are polled now, within the limit."""
        settings, now = self.settings, self.clock()
        waiting: dict[str, Environment] = {}
        due: list[Due] = []
        for one in settings.environments:
            schedule = self._schedules.get(one.name, Schedule())
            if one.name not in self._busy and poll.is_due(one, schedule, settings.timezone, now):
                waiting[one.name] = one
                due.append(Due(one.name, schedule.next_poll_at, schedule.took_s))
        under_way = [
            max(time.monotonic() - began, self._schedules.get(name, Schedule()).took_s or 0)
            for name, began in list(self._polling.items())
        ]
        return [waiting[name] for name in to_begin(due, under_way, settings.polls.at_once)]

    def routing(self) -> Routing:
        """Who is told, by the settings and the inventory of now."""
        records = self.inventory.current()
        kept = self._routing
        if kept is None or kept[0] is not self.settings or kept[1].inventory is not records:
            kept = self._routing = (self.settings, Routing.of(self.settings, records))
        return kept[1]

    def _refresh(self) -> None:
        """Read the schedules anew, and tell what time has made due."""
        is_heard = self.presence is not None and self.presence.is_heard
        is_back = is_heard and self.trouble.since is not None  # the server: what waits is not kept waiting
        if time.monotonic() - self._refreshed_at < REFRESH_S and not is_back:
            return
        with self.store.reading() as tx:
            watches = environment_states(tx)
        self._schedules = {watch.name: schedule for _, watch, schedule in watches}
        routing = self.routing()
        faults = self.inventory.faults
        if faults != self._inventory_faults:
            self._inventory_faults = faults
            log.warning("inventory: %s", faults[0] if faults else "it can be read whole again")
        now = self.clock()
        file_faults = self.settings.file_faults(now)
        lately = [one.name for _, one, _ in watches if one.last_poll_at is not None and now - one.last_poll_at < LATELY]
        directory = self.settings.environments_dir
        if lately and directory and not self.settings.environments:  # its disk may be missing since the start
            some = "1 environment was" if len(lately) == 1 else f"{len(lately)} environments were"
            fault = f"it is empty, so nothing is watched; {some} polled in the last days"
            file_faults = {readable(directory.name): fault, **file_faults}
        due = self._turn(routing)
        host = self.presence.host if self.presence else ""
        if turn.follow(due, file_faults, host=host, instance=self.presence.id if self.presence else None):
            self.workers.wake()
        for task in turn.TASKS:
            if task.name not in self._busy and task.is_due(due):
                self._busy.add(task.name)
                try:
                    threading.Thread(target=self._do, args=(task,), name=task.name, daemon=True).start()
                except RuntimeError:  # no thread is to be had
                    self._busy.discard(task.name)
                    raise
        if is_heard:  # it may be that the others are quicker at every poll
            self.trouble.can_write()
        self._refreshed_at = self._answered_at = time.monotonic()

    # --- poll threads ---

    def _poll(self, environment: Environment) -> None:
        name = f"poll of {environment.name}"
        schedule = Schedule(next_poll_at=self.clock() + timedelta(minutes=1))  # after a fault of our own
        lease = None
        try:
            self.alive(name)
            if self.presence:
                lease = self.presence.take(f"environment {environment.name}", self._is_due(environment))
                if lease is None:
                    with self.store.reading() as tx:
                        schedule = schedule_of(tx, environment.name)
                    return
            self.heartbeats.begin(environment)
            source = self._source(environment, name)
            account_poll.learn_users(self.store, environment, self.settings.account, source, self.clock)
            routing = self.routing()
            policy = self.settings.policy(environment, routing.inventory)
            is_spread = len(self.settings.environments) > 1
            polled = poll.run_once(
                self.store, environment, source, policy, routing, self.clock, lease=lease, is_spread=is_spread
            )
            lease = None
            self.heartbeats.end(environment, polled, self.settings)
            with self.store.reading() as tx:
                schedule = schedule_of(tx, environment.name)
            if self.presence:
                self.presence.polled += polled.skipped is None
            self.trouble.can_write()
            if polled.error is None and polled.skipped is None:
                self._begin_account(environment, absent=polled.absent > 0)
        except Stopped:
            pass
        except PutOff as error:
            before = self._schedules.get(environment.name, Schedule())
            schedule = replace(before, next_poll_at=self.clock() + error.wait)
            log.debug("environment=%s not polled yet: %s", environment.name, error)
        except StoreError as error:
            self.trouble.cannot_write(error)
            self.heartbeats.broke(environment, error)
        except Exception as error:
            log.exception("environment=%s the poll broke; it is repeated in a minute", environment.name)
            self.heartbeats.broke(environment, error)
        finally:
            self._give_back(lease)
            self._schedules[environment.name] = schedule
            self.progress.pop(name, None)
            self._polling.pop(environment.name, None)
            self._busy.discard(environment.name)
            self.workers.wake()

    def _is_due(self, environment: Environment) -> Callable[[Transaction, datetime], bool]:
        """Whether an environment is due, asked of the database: another daemon may have polled it since the last look."""

        def asked(tx: Transaction, at: datetime) -> bool:
            return poll.is_due(environment, schedule_of(tx, environment.name), self.settings.timezone, at)

        return asked

    def _give_back(self, lease: Lease | None) -> None:
        """A lease of something that was not done after all; one that was done ended with it."""
        if self.presence and lease:
            try:
                self.presence.give_back(lease)
            except StoreError as error:
                log.debug("%s is given back with a later beat: %s", lease.name, error)

    def _source(self, environment: Environment, name: str) -> Provider:
        """What a thread called ``name`` asks the provider with."""
        pace = self._rates.pace(environment, self.settings.environments)
        return open_provider(environment, self._pause, lambda: self.alive(name), pace=pace)

    def _begin_account(self, environment: Environment, *, absent: bool) -> None:
        name = _account_of(environment.name)
        if name in self._busy:
            return
        self._busy.add(name)
        try:
            self._account_pool.submit(self._ask_account, environment, absent=absent)
        except RuntimeError:  # the daemon stops, and begins nothing more
            self._busy.discard(name)

    def _ask_account(self, environment: Environment, *, absent: bool) -> None:
        """What is read beside the list, in a turn of its own: the next poll does not wait for it."""
        name = _account_of(environment.name)
        with self._job(
            name, f"environment={environment.name} reading the account broke; it is tried after the next poll"
        ):
            self.alive(name)
            source = self._source(environment, name)
            routing = self.routing()
            policy = self.settings.policy(environment, routing.inventory)
            settings = self.settings.account
            account_poll.run_once(self.store, environment, settings, source, policy, routing, self.clock, absent=absent)

    def _turn(self, routing: Routing) -> Turn:
        """What is due goes by the settings of now; a channel that a reload takes out meanwhile is noticed."""
        return Turn(
            store=self.store,
            settings=self.settings,
            routing=routing,
            clock=self.clock,
            pause=self._pause,
            inventory_faults=self.inventory.faults,
            still=lambda channel: channel in self.settings.channels,
        )

    def _do(self, task: Task) -> None:
        """Do what may take minutes, which is no hang; where several daemons share the database, one does it."""
        with self._job(task.name, f"{task.name} broke; it is tried again"), contextlib.ExitStack() as given_back:
            due = self._turn(self.routing())
            if self.presence:
                lease = self.presence.take(task.name, lambda _tx, _at: True)
                given_back.callback(self._give_back, lease)
                if lease is None or not task.is_due(due):
                    return
            task.run(due)

    @contextlib.contextmanager
    def _job(self, name: str, broke: str) -> Iterator[None]:
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
            self._busy.discard(name)
            self.workers.wake()

    def alive(self, name: str) -> None:
        """A thread shows that it lives."""
        self.progress[name] = time.monotonic()

    def _pause(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise Stopped


def _account_of(environment: str) -> str:
    """The name of a thread that reads an account; no environment is called so."""
    return f"account of {environment}"
