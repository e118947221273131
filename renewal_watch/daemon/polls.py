"""Polls: which environments are due, each in a thread of its own, and what is read of their accounts after it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from renewal_watch.daemon.running import Running
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import PutOff, Stopped, StoreError
from renewal_watch.operations import account_poll, poll
from renewal_watch.provider.base import Provider
from renewal_watch.provider.opening import open_provider
from renewal_watch.schedule.poll_slots import Due, to_begin
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import MOST_AT_ONCE
from renewal_watch.store.environments import Schedule, schedule_of
from renewal_watch.store.rate_limit import Rates

log = logging.getLogger(__name__)

ACCOUNT_THREADS = 4


class Polls:
    """All polls of a daemon; ``schedules`` are those that were read last."""

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon
        self._rates = Rates(daemon.store, daemon.clock)
        self.schedules: dict[str, Schedule] = {}
        self._under_way: dict[str, float] = {}  # monotonic time of their beginning
        self.pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="poll")  # to_begin sets the limit
        self.account_pool = ThreadPoolExecutor(ACCOUNT_THREADS, thread_name_prefix="account")

    def start_due(self) -> None:
        """Begin what is due."""
        for environment in self._due():
            self._daemon.busy.add(environment.name)
            self._under_way[environment.name] = time.monotonic()
            try:
                self.pool.submit(self.poll, environment)
            except RuntimeError:  # the daemon was stopped meanwhile, and begins nothing more; or no thread is to be had
                self._daemon.busy.discard(environment.name)
                self._under_way.pop(environment.name, None)
                if not self._daemon.stopping.is_set():
                    raise
                return

    def drop(self) -> None:
        """Begin no more; what is under way is not waited for, and nothing of it is written."""
        for pool in (self.pool, self.account_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def _due(self) -> list[Environment]:
        """The environments that are polled now, within the limit."""
        settings, now = self._daemon.settings, self._daemon.clock()
        waiting: dict[str, Environment] = {}
        due: list[Due] = []
        for one in settings.environments:
            schedule = self.schedules.get(one.name, Schedule())
            if one.name not in self._daemon.busy and poll.is_due(one, schedule, settings.timezone, now):
                waiting[one.name] = one
                due.append(Due(one.name, schedule.next_poll_at, schedule.took_s))
        under_way = [
            max(time.monotonic() - began, self.schedules.get(name, Schedule()).took_s or 0)
            for name, began in list(self._under_way.items())
        ]
        return [waiting[name] for name in to_begin(due, under_way, settings.polls.at_once)]

    def poll(self, environment: Environment) -> None:
        """Poll one environment, whatever becomes of it."""
        name = f"poll of {environment.name}"
        schedule = Schedule(next_poll_at=self._daemon.clock() + timedelta(minutes=1))  # after a fault of our own
        lease = None
        try:
            self._daemon.alive(name)
            if self._daemon.presence:
                lease = self._daemon.presence.take(f"environment {environment.name}", self._is_due(environment))
                if lease is None:
                    with self._daemon.store.reading() as tx:
                        schedule = schedule_of(tx, environment.name)
                    return
            self._daemon.heartbeats.begin(environment)
            source = self._source(environment, name)
            account_poll.learn_users(
                self._daemon.store, environment, self._daemon.settings.account, source, self._daemon.clock
            )
            routing = self._daemon.routing()
            policy = self._daemon.settings.policy(environment, routing.inventory)
            is_spread = len(self._daemon.settings.environments) > 1
            polled = poll.run_once(
                self._daemon.store,
                environment,
                source,
                policy,
                routing,
                self._daemon.clock,
                lease=lease,
                is_spread=is_spread,
            )
            lease = None
            self._daemon.heartbeats.end(environment, polled, self._daemon.settings)
            with self._daemon.store.reading() as tx:
                schedule = schedule_of(tx, environment.name)
            if self._daemon.presence:
                self._daemon.presence.polled += polled.skipped is None
            self._daemon.trouble.can_write()
            if polled.error is None and polled.skipped is None:
                self._begin_account(environment, absent=polled.absent > 0)
        except Stopped:
            pass
        except PutOff as error:
            before = self.schedules.get(environment.name, Schedule())
            schedule = replace(before, next_poll_at=self._daemon.clock() + error.wait)
            log.debug("environment=%s not polled yet: %s", environment.name, error)
        except StoreError as error:
            self._daemon.trouble.cannot_write(error)
            self._daemon.heartbeats.broke(environment, error)
        except Exception as error:
            log.exception("environment=%s the poll broke; it is repeated in a minute", environment.name)
            self._daemon.heartbeats.broke(environment, error)
        finally:
            self._daemon.give_back(lease)
            self.schedules[environment.name] = schedule
            self._daemon.progress.pop(name, None)
            self._under_way.pop(environment.name, None)
            self._daemon.busy.discard(environment.name)
            self._daemon.workers.wake()

    def _is_due(self, environment: Environment) -> Callable[[Transaction, datetime], bool]:
        """Whether an environment is due, asked of the database: another daemon may have polled it since the last look."""

        def asked(tx: Transaction, at: datetime) -> bool:
            return poll.is_due(environment, schedule_of(tx, environment.name), self._daemon.settings.timezone, at)

        return asked

    def _source(self, environment: Environment, name: str) -> Provider:
        """What a thread called ``name`` asks the provider with."""
        pace = self._rates.pace(environment, self._daemon.settings.environments)
        return open_provider(environment, self._daemon.pause, lambda: self._daemon.alive(name), pace=pace)

    def _begin_account(self, environment: Environment, *, absent: bool) -> None:
        name = _account_of(environment.name)
        if name in self._daemon.busy:
            return
        self._daemon.busy.add(name)
        try:
            self.account_pool.submit(self._ask_account, environment, absent=absent)
        except RuntimeError:  # the daemon stops, and begins nothing more
            self._daemon.busy.discard(name)

    def _ask_account(self, environment: Environment, *, absent: bool) -> None:
        """What is read beside the list, in a turn of its own: the next poll does not wait for it."""
        name = _account_of(environment.name)
        with self._daemon.job(
            name, f"environment={environment.name} reading the account broke; it is tried after the next poll"
        ):
            self._daemon.alive(name)
            source = self._source(environment, name)
            routing = self._daemon.routing()
            policy = self._daemon.settings.policy(environment, routing.inventory)
            settings = self._daemon.settings.account
            account_poll.run_once(
                self._daemon.store, environment, settings, source, policy, routing, self._daemon.clock, absent=absent
            )


def _account_of(environment: str) -> str:
    """The name of a thread that reads an account; no environment is called so."""
    return f"account of {environment}"
