"""One turn of one environment: fetch, judge, record; the record is one transaction.

source.fetch ─► compare ─► lists.judge ────────┐
    └─ ApiError ─► failures.judge_failure ─────┴─► record_poll    poll line, versions, alerts, deliveries
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import compare, failures, flaws, identity, lists
from renewal_watch.detect import turn as detect_turn
from renewal_watch.errors import ApiError, ConfigError, RenewalWatchError, TokenRejected, Unforeseen
from renewal_watch.model.daemons import Lease
from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known, Verdict, Watch
from renewal_watch.notify import retry
from renewal_watch.notify.routing import Routing
from renewal_watch.schedule.poll_slots import next_poll, spread
from renewal_watch.settings.environment import Environment
from renewal_watch.store.environments import PollRecord, Schedule, environment_state, id_of_environment, last_poll_id
from renewal_watch.store.incidents.account import explained_absences
from renewal_watch.store.incidents.lapses import hand_over_lapses
from renewal_watch.store.leases import give_back_lease, still_has_lease
from renewal_watch.store.numbers import cycles_elsewhere, fleet_of, listed_elsewhere, parsed_of, rename_numbers
from renewal_watch.store.outbox.record import record_poll

log = logging.getLogger(__name__)

_TAKEN_OVER = "another daemon took it over meanwhile"
LONGEST_HOLD = timedelta(hours=7)  # a hold further ahead than this was set by a clock that was put back since


class Source(Protocol):
    """What a provider is to this module."""

    def fetch(self) -> Listing:
        """The complete list, or ApiError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a turn found. ``error`` is None after a good poll; ``alerts`` counts the new ones."""

    environment: str
    error: str | None = None
    numbers: int = 0
    changed: int = 0
    alerts: int = 0
    absent: int = 0  # numbers that are not in the list and do not count as missing yet
    skipped: str | None = None


def token_mark(environment: Environment) -> str | None:
    """Four bytes that change when the token is replaced; None when it cannot be read."""
    try:
        token = environment.read_token()
    except ConfigError:
        return None
    return blake2b(token.encode(), digest_size=4, key=environment.name.encode()[:64]).hexdigest()


def why_not_now(environment: Environment, schedule: Schedule, now: datetime) -> str | None:
    """Why the provider must not be asked now: it said so, or the token it rejected is still in place."""
    until = schedule.hold_until
    if until is None or until <= now or until > now + LONGEST_HOLD:
        return None
    if schedule.hold_token is not None:
        if schedule.hold_token != token_mark(environment):
            return None
        return f"the token was rejected and is still the same; the next try is at {until:%H:%M} UTC"
    return f"the provider asked for a pause until {until:%H:%M} UTC"


def is_due(environment: Environment, schedule: Schedule, zone: str, now: datetime) -> bool:
    """Whether the daemon polls now. A next poll later than the schedule can mean shows a clock that was put back."""
    if why_not_now(environment, schedule, now):
        return False
    at = schedule.next_poll_at
    if at is None or at <= now:
        return True
    if schedule.hold_token is not None and schedule.hold_until is not None and schedule.hold_until > now:
        return True  # the rejected token was replaced
    if at <= now + timedelta(minutes=5):
        return False
    slack = timedelta(minutes=5) + environment.jitter + environment.interval / 10  # for ``spread``
    minute = now.replace(second=0, microsecond=0)  # a cron line's fires are whole minutes: searched once in each
    return at > _next(environment, zone, minute if environment.poll_cron else now) + slack


def _next(environment: Environment, zone: str, now: datetime) -> datetime:
    if environment.poll_cron is None:
        return now + environment.interval
    return _next_fire(now, environment.interval, environment.poll_cron, zone)


@lru_cache(maxsize=4096)
def _next_fire(now: datetime, every: timedelta, cron: str, zone: str) -> datetime:
    return next_poll(now, every=every, cron=cron, zone=zone)


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """A list of 100,000 numbers has no reference cycles, and looking for them costs a quarter of the poll."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_without_gc()
def run_once(
    store: Store,
    environment: Environment,
    source: Source,
    policy: Policy,
    routing: Routing,
    clock: Callable[[], datetime],
    *,
    lease: Lease | None = None,
    is_spread: bool = False,
    mark: Callable[[Verdict], Verdict] = lambda verdict: verdict,
) -> Polled:
    """Poll ``environment`` once. Raises StoreError when the outcome cannot be written; then nothing of it happened.

    ``lease`` is what lets this daemon poll it where several share the database: it ends with the poll, and where another
    has taken it over meanwhile, what was read is not written. With ``is_spread`` the next poll moves towards the
    environment's own place within the interval. ``mark`` may change what is found before it is written: the canary's alert
    says that it is one.
    """
    began = time.monotonic()
    turn = f"environment {environment.name}"
    with store.transaction(turn) as tx:
        if lease is not None and not still_has_lease(tx, lease):
            return Polled(environment=environment.name, skipped=_TAKEN_OVER)
        environment_id, _, _ = environment_state(tx, environment.name)
        last_poll = last_poll_id(tx, environment_id)
    started = clock()
    read = _read(source)
    record = _Record(
        store=store,
        environment=environment,
        environment_id=environment_id,
        last_poll=last_poll,
        policy=policy,
        routing=routing,
        started=started,
        clock=clock,
        lease=lease,
        is_spread=is_spread,
        mark=mark,
        clock_off=getattr(source, "clock_off", None),  # a list that is made up has none
    )
    try:
        polled, poll = record.write(read)
    except RenewalWatchError:
        raise
    except Exception as error:
        log.exception("environment=%s judging the list broke; it counts as a failed poll", environment.name)
        polled, poll = record.write(Unforeseen.of(error))
    if poll is not None:
        _log(polled, poll, began)
    return polled


def _read(source: Source) -> Listing | ApiError:
    """The list, or why there is none; whatever happens, a poll has an outcome."""
    try:
        return source.fetch()
    except ApiError as error:
        return error
    except ConfigError as error:
        return TokenRejected(str(error))
    except RenewalWatchError:
        raise
    except Exception as error:
        log.exception("reading the list broke; it counts as a failed poll")
        return Unforeseen.of(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """Writes the outcome of a poll: one transaction."""

    store: Store
    environment: Environment
    environment_id: int
    last_poll: int | None
    policy: Policy
    routing: Routing
    started: datetime
    clock: Callable[[], datetime]
    lease: Lease | None
    is_spread: bool
    mark: Callable[[Verdict], Verdict]
    clock_off: timedelta | None

    def write(self, read: Listing | ApiError) -> tuple[Polled, PollRecord | None]:
        """What the poll found, and its line; without a line nothing was written. Raises StoreError."""
        name = self.environment.name
        with self.store.transaction(f"environment {name}") as tx:
            if self.lease is not None:
                if not still_has_lease(tx, self.lease):
                    return Polled(environment=name, skipped=_TAKEN_OVER), None
                give_back_lease(tx, self.lease)
            if last_poll_id(tx, self.environment_id) != self.last_poll:
                return Polled(environment=name, skipped="another process polled it meanwhile"), None
            _, watch, _ = environment_state(tx, name)
            tx.expect(watch.numbers if isinstance(read, ApiError) else len(read.entries))
            fleet = fleet_of(tx, self.environment_id)
            if isinstance(read, ApiError):
                verdict, poll, schedule = self._failed(tx, fleet, watch, read)
                absent = 0
            else:
                verdict, poll, absent = self._listed(tx, fleet, watch, read)
                schedule = Schedule(next_poll_at=self._next_at())
            schedule = replace(schedule, took_s=max(0, (poll.finished_at - self.started) // timedelta(seconds=1)))
            found = self.mark(verdict)
            alerts = record_poll(tx, self.environment_id, found, poll, schedule, self.routing, self.started)
        polled = Polled(
            environment=name,
            error=poll.error,
            numbers=poll.numbers or 0,
            changed=len(verdict.versions),
            alerts=alerts,
            absent=absent,
        )
        return polled, poll

    @property
    def _now(self) -> datetime:
        """The time to judge by. Where the clocks differ, that of the provider, whose days they are."""
        return self.started if self.clock_off is None else self.started + self.clock_off

    def _next_at(self) -> datetime:
        at = _next(self.environment, self.policy.zone, self.started)
        if self.is_spread and self.environment.poll_cron is None:
            at = spread(at, every=self.environment.interval, name=self.environment.name)
        return at + retry.jitter(self.environment.jitter)

    def _failed(
        self, tx: Transaction, fleet: Mapping[str, Known], watch: Watch, failure: ApiError
    ) -> tuple[Verdict, PollRecord, Schedule]:
        said = failures.error_text(failure)
        near = parsed_of(
            tx, (fleet[name] for name in failures.near_without_list(fleet.values(), self.policy, self._now))
        )
        verdict = failures.judge_failure(fleet, near, watch, self.policy, self._now, reason=failure.reason, error=said)
        poll = PollRecord(started_at=self.started, finished_at=self.clock(), outcome=failure.reason, error=said)
        return verdict, poll, _after_failure(self.environment, failure, self._next_at(), self.started)

    def _listed(
        self, tx: Transaction, kept: Mapping[str, Known], watch: Watch, listing: Listing
    ) -> tuple[Verdict, PollRecord, int]:
        """The verdict, the poll's line, and how many numbers are absent and not missing yet."""
        settled = identity.settle(kept, listing.entries)
        fleet, now = settled.numbers, self._now
        if settled.renamed:
            rename_numbers(tx, {fleet[name].pk: name for name in settled.renamed})
        found = compare.compare(fleet, listing, self.policy, now)
        absent = [fleet[name] for name in found.absent if fleet[name].missing_at is None]
        of_late = [fleet[name] for name in found.absent if detect_turn.may_be_elsewhere(fleet[name], now)]
        moved = listed_elsewhere(tx, self.environment_id, of_late) if of_late else {}
        context = detect_turn.Context(
            requests=explained_absences(tx, self.environment_id, absent, now) if absent else {},
            elsewhere={name: there for name, (there, _) in moved.items()},
            renumbered=settled.renumbered,
            told_elsewhere=cycles_elsewhere(tx, self.environment_id) if found.new else {},
            filters=self.environment.query,
            clock_off=self.clock_off,
            is_dated=listing.is_dated,
        )
        asked = parsed_of(tx, (fleet[name] for name in (*found.changed, *found.absent)))
        verdict = lists.judge(fleet, asked, listing, found, watch, self.policy, now, context)
        for name, (there, pk) in moved.items():
            hand_over_lapses(tx, self.environment_id, fleet[name].pk, id_of_environment(tx, there), pk, now)
        poll = PollRecord(
            started_at=self.started,
            finished_at=self.clock(),
            outcome="ok",
            numbers=len(listing.entries),
            invalid=sum(one.count for one in flaws.unreadable(listing).values()),
        )
        return verdict, poll, len(absent)


def _after_failure(environment: Environment, failure: ApiError, at: datetime, now: datetime) -> Schedule:
    hold = failures.next_poll_hold(failure.reason, failure.retry_after)
    at = min(at, now + failures.RETRY_FAILED)
    if hold is None:
        return Schedule(next_poll_at=at)
    mark = token_mark(environment) or "unreadable" if isinstance(failure, TokenRejected) else None
    return Schedule(
        next_poll_at=max(at, now + hold) if mark is None else now + hold, hold_until=now + hold, hold_token=mark
    )


def _log(polled: Polled, poll: PollRecord, began: float) -> None:
    seconds = time.monotonic() - began
    if polled.error is None:
        log.info(
            "environment=%s numbers=%d changed=%d invalid=%d alerts=%d seconds=%.1f polled",
            polled.environment,
            polled.numbers,
            polled.changed,
            poll.invalid or 0,
            polled.alerts,
            seconds,
        )
    else:
        log.warning(
            "environment=%s reason=%s alerts=%d seconds=%.1f poll failed: %s",
            polled.environment,
            poll.outcome,
            polled.alerts,
            seconds,
            polled.error,
        )
