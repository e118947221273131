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
import fcntl
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from apscheduler.executors.pool import ThreadPoolExecutor as JobExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from renewal_watch.alerts import service_texts
from renewal_watch.channels import senders
from renewal_watch.channels.senders import channel_faults, sender_of
from renewal_watch.clock import Clock, utc_now
from renewal_watch.config.directory import LOOK_S, Directory
from renewal_watch.config.loading import load
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.daemon.membership import Presence
from renewal_watch.daemon.systemd import Systemd
from renewal_watch.database.sqlite import lock_of
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import hints
from renewal_watch.errors import AlreadyRunning, ConfigError, PutOff, Stopped, StoreAway, StoreError
from renewal_watch.inventory.file import inventory_of
from renewal_watch.model.alerts import Message, Severity
from renewal_watch.model.daemons import Lease
from renewal_watch.notify import wording
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import account_poll, dispatch, poll, turn
from renewal_watch.operations.heartbeat import Heartbeats
from renewal_watch.operations.turn import Task, Turn
from renewal_watch.provider.talkover.client import Client
from renewal_watch.schedule.poll_slots import Due, to_begin
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import MOST_AT_ONCE
from renewal_watch.settings.values import readable
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import Schedule, environment_states, schedule_of
from renewal_watch.store.outbox.waiting import next_due
from renewal_watch.store.rate_limit import Rates
from renewal_watch.text import REDACTOR

log = logging.getLogger(__name__)

TICK_S = 1.0
SEEN_EVERY_S = 15.0  # a daemon that was not seen for ``leases.MISSED`` is missed
CLOCK_STEP_S = 2.0  # a difference between wall and monotonic clock that is no adjustment by NTP
REFRESH_S = 30.0  # how often the schedule is read anew: other processes may have polled
IDLE_S = 10.0  # how long a channel waits at most before it looks for messages of other processes
SHARED_IDLE_S = 2.0  # the same where other daemons find messages as well
STATUS_NAMES = 10  # environments named in the line that systemctl status shows
STUCK_S = 300.0  # no progress of a thread for so long is a hang: three times its longest deadline
STOP_SENDS_S = 6.0  # a send under way may end by itself this long after SIGTERM
STOP_PINGS_S = 1.0  # and what a dead-man's switch is being told so long
ACCOUNT_THREADS = 4
BLIND_AFTER_S = 600.0  # an unwritable database for so long is told without it
HUNG_AFTER_S = BLIND_AFTER_S + 2 * REFRESH_S  # and one that says nothing at all, not even a fault
STOOD_S = 30.0  # between two turns of the main thread: the process was paused, or its machine
AWAY_S = 5.0  # between two tries to reach a server at the start
LATELY = timedelta(days=7)  # what was polled since then and is not configured any more is missed
REPEAT_S = 60.0  # how often the log says that the database fails: a thousand environments may each meet it


@contextlib.contextmanager
def only_one(database: Path) -> Iterator[None]:
    """Hold the lock of this database's daemon. Raises AlreadyRunning."""
    path = lock_of(database)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.geteuid() == 0:  # the service's user must be able to lock what root made
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError as error:
        msg = f"{path} cannot be opened ({error.strerror}); give the directory to the user of the service"
        raise StoreError(msg) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            msg = f"another daemon (process {holder}) watches with {database}; stop it first"
            raise AlreadyRunning(msg) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


class _Tick(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires ``TICK_S`` after now, whatever the clock did: the built-in interval would catch up or wait for years."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        del previous_fire_time
        return now + timedelta(seconds=TICK_S)


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
        self.progress: dict[str, float] = {}  # name of a busy thread: monotonic time of its last sign of life
        self.ticked_at = time.monotonic()
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
        self._workers: list[_ChannelWorker] = []
        self.places = threading.BoundedSemaphore(senders.AT_ONCE)
        self._scheduler: BackgroundScheduler | None = None
        self._unwritable_since: float | None = None
        self._unwritable_told = False
        self._seen_at = -SEEN_EVERY_S
        self._complained_at = -REPEAT_S
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
        self._start_workers()
        self._start_scheduler()
        self.systemd.say("READY=1", "STATUS=watching")
        log.info("watching %d environments, %d channels", len(self.settings.environments), len(self.settings.channels))
        self._look_at_settings()
        wall, mono = utc_now().timestamp(), time.monotonic()
        while not self.stopping.wait(0.5):
            step = (utc_now().timestamp() - wall) - (time.monotonic() - mono)
            if time.monotonic() - mono > STOOD_S:  # it is this process that did nothing
                self._answered_at = time.monotonic()
            wall, mono = utc_now().timestamp(), time.monotonic()
            if abs(step) > CLOCK_STEP_S:
                log.warning(
                    "the clock was put %s by %.0f s; the schedule is set anew", "on" if step > 0 else "back", abs(step)
                )
                self._restart_scheduler()
            elif not self._scheduler_lives():
                log.error("the scheduler stood still; it is started again")
                self._restart_scheduler()
            if mono - self._answered_at > HUNG_AFTER_S and not self._unwritable_told:
                self._cannot_write(StoreError(f"the database {self.store.place} does not answer"), self._answered_at)
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
                if self._unwritable_since is None:
                    self.systemd.say("READY=1")
                self._cannot_write(error)
            else:
                self._can_write()
                self._answered_at = time.monotonic()
                return True
            if self.systemd.watchdog_s:
                self.systemd.say("WATCHDOG=1")
            self._say_status()
            if self.stopping.wait(AWAY_S):
                self.systemd.say("STOPPING=1")
                return False

    def stuck(self) -> str | None:
        """The thread that shows no sign of life, None while all move. A provider or channel that is down is no hang."""
        now = time.monotonic()
        if now - self.ticked_at > STUCK_S:
            return "scheduler"
        return next((name for name, seen in list(self.progress.items()) if now - seen > STUCK_S), None)

    def _catch_signals(self) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.stopping.set()

        def reload(number: int, frame: FrameType | None) -> None:
            del number, frame
            self.reloading.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)

    def _say_status(self) -> None:
        hung = self.stuck()
        if hung:
            said = f"{hung} hangs"
        elif self._unwritable_since is not None:
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
        self._stop_workers(STOP_SENDS_S, keep=fresh.channels)
        if fresh.inventory_path != self.settings.inventory_path:
            self.inventory = inventory_of(fresh)
        fresh = self._directory.look(fresh, self.clock(), before=self.settings, is_meant=True)
        self._looked_at = time.monotonic()
        self.settings = fresh
        self._refreshed_at = -REFRESH_S
        self._start_workers()
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
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        for pool in (self._pool, self._account_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self._stop_workers(STOP_SENDS_S)
        self.heartbeats.close(STOP_PINGS_S)
        if self.presence:
            self.presence.close()

    # --- scheduler ---

    def _start_scheduler(self) -> None:
        self.ticked_at = time.monotonic()
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a tick is left out while one waits is no news
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": JobExecutor(1)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        scheduler.add_job(self._tick, _Tick(), id="tick")
        scheduler.start()
        self._scheduler = scheduler

    def _restart_scheduler(self) -> None:
        if self._scheduler is not None:
            with contextlib.suppress(Exception):  # a scheduler whose thread died may fail to end
                self._scheduler.shutdown(wait=False)
        self._refreshed_at = -REFRESH_S
        self._start_scheduler()

    def _scheduler_lives(self) -> bool:
        return time.monotonic() - self.ticked_at < 30 * TICK_S

    def _tick(self) -> None:
        """Start what is due. Runs in the scheduler's only worker."""
        self.ticked_at = time.monotonic()
        if self.stopping.is_set():
            return
        try:
            self._refresh()
        except StoreError as error:
            self._cannot_write(error)
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
        is_back = is_heard and self._unwritable_since is not None  # the server: what waits is not kept waiting
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
            self._wake_workers()
        for task in turn.TASKS:
            if task.name not in self._busy and task.is_due(due):
                self._busy.add(task.name)
                try:
                    threading.Thread(target=self._do, args=(task,), name=task.name, daemon=True).start()
                except RuntimeError:  # no thread is to be had
                    self._busy.discard(task.name)
                    raise
        if is_heard:  # it may be that the others are quicker at every poll
            self._can_write()
        self._refreshed_at = self._answered_at = time.monotonic()

    # --- poll threads ---

    def _poll(self, environment: Environment) -> None:
        name = f"poll of {environment.name}"
        schedule = Schedule(next_poll_at=self.clock() + timedelta(minutes=1))  # after a fault of our own
        lease = None
        try:
            self._alive(name)
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
            self._can_write()
            if polled.error is None and polled.skipped is None:
                self._begin_account(environment, absent=polled.absent > 0)
        except Stopped:
            pass
        except PutOff as error:
            before = self._schedules.get(environment.name, Schedule())
            schedule = replace(before, next_poll_at=self.clock() + error.wait)
            log.debug("environment=%s not polled yet: %s", environment.name, error)
        except StoreError as error:
            self._cannot_write(error)
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
            self._wake_workers()

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

    def _source(self, environment: Environment, name: str) -> Client:
        """What a thread called ``name`` asks the provider with."""
        pace = self._rates.pace(environment, self.settings.environments)
        return Client.of(environment, self._pause, lambda: self._alive(name), pace=pace)

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
        try:
            self._alive(name)
            source = self._source(environment, name)
            routing = self.routing()
            policy = self.settings.policy(environment, routing.inventory)
            settings = self.settings.account
            account_poll.run_once(self.store, environment, settings, source, policy, routing, self.clock, absent=absent)
        except Stopped:
            pass
        except StoreError as error:
            self._cannot_write(error)
        except Exception:
            log.exception("environment=%s reading the account broke; it is tried after the next poll", environment.name)
        finally:
            self.progress.pop(name, None)
            self._busy.discard(name)
            self._wake_workers()

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
        lease = None
        try:
            due = self._turn(self.routing())
            if self.presence:
                lease = self.presence.take(task.name, lambda _tx, _at: True)
                if lease is None or not task.is_due(due):
                    return
            task.run(due)
        except Stopped:
            pass
        except StoreError as error:
            self._cannot_write(error)
        except Exception:
            log.exception("%s broke; it is tried again", task.name)
        finally:
            self._give_back(lease)
            self._busy.discard(task.name)
            self._wake_workers()

    def _alive(self, name: str) -> None:
        self.progress[name] = time.monotonic()

    def _pause(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise Stopped

    def _cannot_write(self, error: StoreError, since: float | None = None) -> None:
        """The outbox is out of reach, so after a while people are told past it, once."""
        self.complain(error)
        now = time.monotonic()
        if self._unwritable_since is None:
            self._unwritable_since = now if since is None else since
        if now - self._unwritable_since >= BLIND_AFTER_S and not self._unwritable_told:
            self._unwritable_told = True
            text = f"renewal-watch on {socket.gethostname()} watches nothing: {error}"
            threading.Thread(target=self._tell_directly, args=(text,), name="direct", daemon=True).start()

    def _can_write(self) -> None:
        if self._unwritable_since is not None:
            log.info("the database can be used again")
        self._unwritable_since = None
        self._unwritable_told = False
        self._complained_at = -REPEAT_S

    def complain(self, error: StoreError) -> None:
        """Say in the log what the database says, but not for each of those that wait for it."""
        now = time.monotonic()
        is_new = now - self._complained_at >= REPEAT_S
        if is_new:
            self._complained_at = now
        log.log(logging.ERROR if is_new else logging.DEBUG, "%s", error)

    def _tell_directly(self, text: str) -> None:
        message_id = f"rw-{secrets.token_hex(5)}"
        try:
            now = self.clock()
        except StoreError:  # whose time it never read
            now = utc_now()
        headline = "renewal-watch cannot write its database"
        alert = service_texts.of_the_watch("watch.stale", Severity.critical, now.isoformat(), (headline, text))
        for channel in self.settings.channels:
            sender = sender_of(channel, lambda: now)
            message = Message(
                message_id=message_id,
                title=f"[critical] {headline}",
                body=f"CRITICAL\n• {text}\n\nmessage {message_id}",
                severity=Severity.critical,
            )
            if channel.is_hook:
                message = wording.event(alert, channel, Routing(), message_id=message_id, alert_id=None, found_at=now)
            try:
                sender.send(lambda _, message=message: message)  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 (the last resort must try every channel)
                log.error("channel=%s could not be told directly: %s", channel.name, error)  # noqa: TRY400
            finally:
                sender.close()

    # --- channel threads ---

    def _start_workers(self) -> None:
        """One for each channel; those that go on since before a reload are left as they are."""
        going_on = {worker.outlet.channel.name: worker for worker in self._workers if not worker.ending.is_set()}
        unmarked = {worker.outlet.channel.name: worker.outlet.unmarked for worker in self._workers}
        fresh = [_ChannelWorker(self, one) for one in self.settings.channels if one.name not in going_on]
        self._workers = [*going_on.values(), *fresh]
        for worker in fresh:  # what was sent but could not be marked is not sent again after a reload
            worker.outlet.unmarked |= unmarked.get(worker.outlet.channel.name, set())
            worker.start()

    def _wake_workers(self) -> None:
        for worker in self._workers:
            worker.wake.set()

    def _stop_workers(self, patience_s: float, keep: Sequence[Channel] = ()) -> None:
        """End all workers but those of the channels in ``keep``, whose settings are the same: a hook is not cut short."""
        those = [worker for worker in self._workers if worker.outlet.channel not in keep]
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


def _account_of(environment: str) -> str:
    """The name of a thread that reads an account; no environment is called so."""
    return f"account of {environment}"


class _ChannelWorker(threading.Thread):
    """The thread of one channel."""

    def __init__(self, daemon: Daemon, channel: Channel) -> None:
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
                daemon._alive(name)  # noqa: SLF001 (one unit in two classes)
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
            has_one = self._daemon.places.acquire(timeout=1.0)
        try:
            yield
        finally:
            if has_one:
                self._daemon.places.release()

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
                daemon._wake_workers()  # noqa: SLF001 (a channel that fails is told through the others)
            with daemon.store.reading() as tx:
                due = next_due(tx, channel, routing.zone, daemon.clock())
        except StoreError as error:
            daemon.complain(error)
            return IDLE_S
        except Exception:
            log.exception("channel=%s the turn broke; it is repeated", channel.name)
            return IDLE_S
        idle = SHARED_IDLE_S if daemon.presence else IDLE_S
        if due is None:
            return idle
        return min(idle, max(0.2, (due - daemon.clock()).total_seconds()))

    def _should_stop(self) -> bool:
        self._daemon._alive(self.name)  # noqa: SLF001 (one unit in two classes)
        return self.ending.is_set()
