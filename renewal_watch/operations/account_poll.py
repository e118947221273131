"""One turn of one environment's account: ask what is due beside the list, judge, record; the record is one transaction.

source.ask ─► account.judge ─► store: readings, alerts, deliveries

It comes after a good poll and holds nothing up; only the agents are asked for before the very first one. Whatever fails
here is an outcome that is kept with the reading, noted in the log once and shown by ``doctor``, and asked again later.
Nothing is ever written to the provider.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from renewal_watch.account import judge
from renewal_watch.account.turn import Background, Subject
from renewal_watch.alerts import phrases
from renewal_watch.alerts.facts import account_facts
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import (
    ApiError,
    ConfigError,
    NotOffered,
    NotTheApi,
    PutOff,
    RateLimited,
    RenewalWatchError,
    TokenRejected,
    Unforeseen,
)
from renewal_watch.model.account import Reading, Release
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.provider.base import Answered
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.secrets import has_secret
from renewal_watch.settings.sections import Account
from renewal_watch.settings.values import duration
from renewal_watch.store.environments import id_of_environment
from renewal_watch.store.incidents.account import (
    drop_readings,
    keep_reading,
    readings_of,
    subjects_of,
    to_be_paid,
    told_elsewhere_of,
)
from renewal_watch.store.incidents.idle import idle_numbers
from renewal_watch.store.incidents.incidents import close_incidents
from renewal_watch.store.outbox.alerts import has_alert, record_alerts

log = logging.getLogger(__name__)

NOT_OFFERED_AGAIN = timedelta(days=1)  # what the provider does not offer is asked for so seldom
LONGEST_TURN = timedelta(seconds=60)  # what is not asked by then is asked after the next poll
SLACK = 0.1  # of ``every``: polls come a little early or late, and the second one must not be waited for
_SWITCHES = {  # of [account]: the endpoints behind each
    "releases": ("releases",),
    "topup": ("topup", "charges", "cards"),
    "balance": ("balance",),
    "agents": ("agents",),
}


class Source(Protocol):
    """What a provider is to this module."""

    def ask(self, name: str) -> Answered:
        """What an endpoint says, or ApiError."""

    def last_call(self, number: str, since: date) -> datetime | None:
        """When a number last called or was called since then, or ApiError."""


def wanted(settings: Account, environment: Environment) -> tuple[str, ...]:
    """The endpoints that are read of an environment; the balance only with a user's token."""
    return tuple(
        name
        for switch, names in _SWITCHES.items()
        if getattr(settings, switch) and (switch != "balance" or has_secret(environment, "user_token"))
        for name in names
    )


def is_due(reading: Reading | None, settings: Account, now: datetime, *, urgent: bool = False) -> bool:
    """Whether an endpoint is asked now; a time ahead of ``now`` shows a clock that was put back."""
    if reading is None or reading.read_at > now:
        return True
    if reading.held_until is not None and now < reading.held_until:
        return False
    if reading.outcome == NotOffered.reason:
        return now - reading.read_at >= NOT_OFFERED_AGAIN * (1 - SLACK)
    return urgent or now - reading.read_at >= duration(settings.every) * (1 - SLACK)


def run_once(
    store: Store,
    environment: Environment,
    settings: Account,
    source: Source,
    policy: Policy,
    routing: Routing,
    clock: Callable[[], datetime],
    *,
    absent: bool = False,
) -> int:
    """Ask what is due; how many alerts are new. ``absent``: a number is not in the list, so that release requests are asked for now.

    Raises StoreError when the outcome cannot be written; then nothing of it happened.
    """
    names = wanted(settings, environment)
    turn = f"environment {environment.name}"
    with store.transaction(turn) as tx:
        environment_id = id_of_environment(tx, environment.name)
        drop_readings(tx, environment.name, names, clock())
        before = readings_of(tx, environment_id)
    now = clock()
    due = [name for name in names if is_due(before.get(name), settings, now, urgent=absent and name == "releases")]
    if not due:
        return 0
    due.sort(key=lambda name: before[name].read_at.timestamp() if name in before else 0.0)
    readings, unread = _ask(source, due, before, clock)
    with store.transaction(turn) as tx:
        was, before = before, readings_of(tx, environment_id)
        readings = {  # unless another process asked meanwhile, and told
            name: one for name, one in readings.items() if _read_at(before, name) == _read_at(was, name)
        }
        readings = _without_others(tx, environment_id, before, readings, now)
        fresh = {name: one.content for name, one in readings.items() if one.outcome == "ok"}
        facts = _facts(tx, environment_id, environment.name, before, fresh, now)
        found = judge.judge(environment.name, before, fresh, facts, policy, now)
        alerts = found.alerts
        for name, asked in readings.items():
            one = msgspec.structs.replace(asked, told=found.told.get(name, asked.told))
            unreadable, ended, told = judge.judge_unreadable(environment.name, one, unread.get(name, ()), policy, now)
            alerts, one = [*alerts, *unreadable], msgspec.structs.replace(one, told=told)
            found.ended.extend(ended)
            if name == "balance":
                of_token, told = judge.judge_token(environment.name, one, policy, now)
                alerts, one = [*alerts, *of_token], msgspec.structs.replace(one, told=told)
            keep_reading(tx, environment_id, one)
        close_incidents(tx, found.ended, now)
        count = record_alerts(tx, alerts, routing, now)
    if "agents" in fresh:
        count += _tell_idle(store, environment, settings, source, policy, routing, clock)
    _log(environment.name, before, readings, count)
    return count


def learn_users(
    store: Store, environment: Environment, settings: Account, source: Source, clock: Callable[[], datetime]
) -> None:
    """Ask who uses the numbers before the very first poll, so that its alerts say so; that it fails holds up nothing.

    Raises StoreError when the answer cannot be written.
    """
    turn = f"environment {environment.name}"
    with store.transaction(turn) as tx:
        environment_id = id_of_environment(tx, environment.name)
        before = readings_of(tx, environment_id, "agents")
    if before or "agents" not in wanted(settings, environment):
        return
    readings, _ = _ask(source, ["agents"], before, clock)
    with store.transaction(turn) as tx:
        if not readings_of(tx, environment_id, "agents"):  # unless another process asked meanwhile
            for one in readings.values():
                keep_reading(tx, environment_id, one)
    _log(environment.name, before, readings, 0)


def _tell_idle(
    store: Store,
    environment: Environment,
    settings: Account,
    source: Source,
    policy: Policy,
    routing: Routing,
    clock: Callable[[], datetime],
) -> int:
    """Once a month, which numbers nobody uses and when they were last called; how many alerts are new."""
    now = clock()
    month = f"{now.astimezone(ZoneInfo(policy.zone)):%Y-%m}"
    with store.reading() as tx:
        environment_id = id_of_environment(tx, environment.name)
        if has_alert(tx, environment_id, "number.idle", month):
            return 0
        found = idle_numbers(tx, environment_id, now, sandbox=policy.include_sandbox)
    if found is None or not found.numbers:
        return 0
    calls = _last_calls(source, found.names[: phrases.FEW], now) if settings.calls else {}
    sums = tuple((amount, currency) for currency, amount in sorted(found.sums.items()))
    alert = Alert(
        key=f"{environment.name}/number.idle/{month}",  # the same is never told twice
        kind="number.idle",
        severity=Severity.info,
        environment=environment.name,
        facts=account_facts.Idle(environment.name, found.numbers, found.names, sums, calls),
    )
    with store.transaction(f"environment {environment.name}") as tx:
        return record_alerts(tx, [alert], routing, now)


def _last_calls(source: Source, names: Sequence[str], now: datetime) -> dict[str, datetime | None]:
    """When each of the numbers was last called, as far as the provider says it: nothing waits for the others."""
    since = (now - timedelta(days=account_facts.CALLED_DAYS)).date()
    found: dict[str, datetime | None] = {}
    for name in names:
        if not name.startswith("+"):
            continue  # an id, which no call has
        try:
            found[name] = source.last_call(name, since)
        except (ApiError, PutOff, ConfigError) as error:
            log.info("the last calls of idle numbers are not known: %s", error)
            break
    return found


def _ask(
    source: Source, due: Sequence[str], before: Mapping[str, Reading], clock: Callable[[], datetime]
) -> tuple[dict[str, Reading], dict[str, tuple[str, ...]]]:
    """The new readings, and what of each cannot be read. A pause that the provider asks for is for all of them."""
    found: dict[str, Reading] = {}
    unread: dict[str, tuple[str, ...]] = {}
    pause: RateLimited | None = None
    now = clock()
    for name in due:
        kept = before.get(name) or Reading(name=name, read_at=now)
        if clock() - now > LONGEST_TURN:
            break
        try:
            if pause is not None:
                raise pause
            content, unread[name] = source.ask(name)
            if content is None:
                raise NotTheApi("the answer does not say what it is asked for")
        except PutOff:
            break  # what was not asked is asked after the next poll
        except RateLimited as error:
            pause = error
            held_until = None if error.retry_after is None else now + error.retry_after
            found[name] = _failed(kept, now, error.reason, str(error), held_until)
        except ApiError as error:
            found[name] = _failed(kept, now, error.reason, str(error))
        except ConfigError as error:  # its token cannot be read
            found[name] = _failed(kept, now, TokenRejected.reason, str(error))
        except RenewalWatchError:
            raise
        except Exception as error:
            log.exception("reading %s broke; it counts as failed", name)
            found[name] = _failed(kept, now, Unforeseen.reason, str(Unforeseen.of(error)))
        else:
            found[name] = Reading(name=name, read_at=now, good_at=now, content=content, told=kept.told)
    return found, unread


def _without_others(
    tx: Transaction,
    environment_id: int,
    before: Mapping[str, Reading],
    readings: dict[str, Reading],
    now: datetime,
) -> dict[str, Reading]:
    """Release requests without those that another environment tells of, as long as it does: they are not even kept."""
    reading = readings.get("releases")
    if reading is None or reading.outcome != "ok":
        return readings
    kept = before["releases"].content if "releases" in before else None
    known = {one.id for one in kept or ()}
    others = told_elsewhere_of(tx, environment_id, [one for one in reading.content if one.id not in known], now)
    content = tuple(one for one in reading.content if one.id not in others)
    return {**readings, "releases": msgspec.structs.replace(reading, content=content)}


def _read_at(readings: Mapping[str, Reading], name: str) -> datetime | None:
    return readings[name].read_at if name in readings else None


def _failed(kept: Reading, now: datetime, reason: str, error: str, held_until: datetime | None = None) -> Reading:
    """What was read before, with the outcome of now."""
    return msgspec.structs.replace(kept, read_at=now, outcome=reason, error=error, held_until=held_until)


def _facts(
    tx: Transaction,
    environment_id: int,
    name: str,
    before: Mapping[str, Reading],
    fresh: Mapping[str, Any],
    now: datetime,
) -> Background:
    """What the watch knows that the readings are judged against; nothing is looked up that no reading asks for."""
    subjects: dict[str, Subject] = {}
    if "releases" in fresh:
        was = before["releases"].content if "releases" in before else None
        listed = {one.id for one in fresh["releases"]}
        gone = [one for one in was or () if one.id not in listed and one.status == "pending"]
        subjects = subjects_of(tx, environment_id, [*judge.may_be_told(fresh["releases"], was, now), *gone])
    kept = before["releases"].content if "releases" in before else None
    requests: Sequence[Release] = fresh.get("releases", kept) or ()
    renews = to_be_paid(tx, name, requests, now) if "balance" in fresh else []
    return Background(subjects=subjects, renews=renews)


def _log(name: str, before: Mapping[str, Reading], readings: Mapping[str, Reading], alerts: int) -> None:
    """Note an outcome when it is another one than before."""
    for reading in readings.values():
        was = before[reading.name].outcome if reading.name in before else "ok"
        if reading.outcome == was:
            continue
        if reading.error is None:
            log.info("environment=%s %s: it can be read", name, reading.name)
        else:
            level = logging.INFO if reading.outcome == NotOffered.reason else logging.WARNING
            log.log(level, "environment=%s reason=%s %s", name, reading.outcome, reading.error)
    if alerts:
        log.info("environment=%s alerts=%d from the account", name, alerts)
