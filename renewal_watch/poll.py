"""One turn of one environment: fetch, judge, record; the record is one transaction.

source.fetch ─► rules.compare ─► rules.judge ──┐
    └─ ApiError ─► rules.judge_failure ────────┴─► store.record    poll line, versions, alerts, deliveries
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol

from renewal_watch import rules
from renewal_watch.config import Environment
from renewal_watch.errors import ApiError, ConfigError, TokenRejected
from renewal_watch.model import Known, Lease, Listing, Policy, Verdict
from renewal_watch.routing import Routing
from renewal_watch.schedule import next_poll, spread
from renewal_watch.snapshots import PollRecord, Schedule
from renewal_watch.store import Store

log = logging.getLogger(__name__)

_TAKEN_OVER = "another daemon took it over meanwhile"
LONGEST_HOLD = timedelta(hours=7)  # a hold further ahead than this was set by a clock that was put back since


class Source(Protocol):
    """What ``talkover.Client`` is to this module."""

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
        if lease is not None and not tx.still_has(lease):
            return Polled(environment=environment.name, skipped=_TAKEN_OVER)
        environment_id, _, _ = tx.watch(environment.name)
        last_poll = tx.last_poll_id(environment_id)
    started = clock()
    failure: ApiError | None = None
    listing: Listing | None = None
    absent: list[Known] = []
    try:
        listing = source.fetch()
    except ApiError as error:
        failure = error
    except ConfigError as error:
        failure = TokenRejected(str(error))
    with store.transaction(turn) as tx:
        if lease is not None and not tx.still_has(lease):
            return Polled(environment=environment.name, skipped=_TAKEN_OVER)
        if lease is not None:
            tx.give_back(lease)
        if tx.last_poll_id(environment_id) != last_poll:
            return Polled(environment=environment.name, skipped="another process polled it meanwhile")
        _, watch, _ = tx.watch(environment.name)
        tx.expect(len(listing.entries) if listing is not None else watch.numbers)
        fleet = tx.fleet(environment_id)
        at = _next(environment, policy.zone, started)
        if is_spread and environment.poll_cron is None:
            at = spread(at, every=environment.interval, name=environment.name)
        at += rules.jitter(environment.jitter)
        if listing is not None:
            found = rules.compare(fleet, listing, policy, started)
            asked = [fleet[name] for name in (*found.changed, *found.absent)]
            absent = [fleet[name] for name in found.absent if fleet[name].missing_at is None]
            requests = tx.explained(environment_id, absent, started) if absent else {}
            verdict = rules.judge(fleet, tx.parsed(asked), listing, found, watch, policy, started, requests)
            poll = PollRecord(
                started_at=started,
                finished_at=clock(),
                outcome="ok",
                numbers=len(listing.entries),
                invalid=len(listing.invalid),
            )
            schedule = Schedule(next_poll_at=at)
        else:
            assert failure is not None  # noqa: S101 (one of the two is there)
            said = rules.error_text(failure)
            near = tx.parsed(fleet[name] for name in rules.near_without_list(fleet.values(), policy, started))
            verdict = rules.judge_failure(fleet, near, watch, policy, started, reason=failure.reason, error=said)
            poll = PollRecord(started_at=started, finished_at=clock(), outcome=failure.reason, error=said)
            schedule = _after_failure(environment, failure, at, started)
        schedule = replace(schedule, took_s=max(0, (poll.finished_at - started) // timedelta(seconds=1)))
        alerts = tx.record(environment_id, mark(verdict), poll, schedule, routing, started)
    polled = Polled(
        environment=environment.name,
        error=poll.error,
        numbers=poll.numbers or 0,
        changed=len(verdict.versions),
        alerts=alerts,
        absent=len(absent),
    )
    _log(polled, poll, began)
    return polled


def _after_failure(environment: Environment, failure: ApiError, at: datetime, now: datetime) -> Schedule:
    hold = rules.next_poll_hold(failure.reason, failure.retry_after)
    at = min(at, now + rules.RETRY_FAILED)
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
