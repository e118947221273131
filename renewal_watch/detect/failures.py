"""Judges polls that gave no list, and the time since the last one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from renewal_watch.alerts.facts import api_facts
from renewal_watch.alerts.notes import Unread
from renewal_watch.detect.absences import judge_blind
from renewal_watch.detect.turn import Context, Turn, is_watched
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Facts
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known, Verdict, Watch
from renewal_watch.text import plain

FAILING_POLLS = 3
SOON_DAYS = 7  # the horizon of the consequence in watch.* alerts
HOLD_REJECTED = timedelta(hours=1)
RETRY_FAILED = timedelta(hours=1)  # a failed poll is repeated at least this soon, however long the interval
BLIND = frozenset({"watch.token_rejected", "watch.api_failing", "watch.stale"})


def recover(turn: Turn, watch: Watch) -> Watch:
    """Tell that the list is read again, if it was told that it was not."""
    if watch.told & BLIND:
        facts = api_facts.Recovered(turn.at, watch.last_success_at or watch.failing_since, turn.now)
        turn.tell("watch.recovered", Severity.info, turn.once("api"), facts)
    return replace(watch, told=watch.told - BLIND)


def near_without_list(fleet: Iterable[Known], policy: Policy, now: datetime) -> list[str]:
    """Provider ids whose renewal is near enough to be judged by what was last known."""
    latest = (
        renewal_day.today(now, policy.zone) + max(policy.horizons) + 1
    )  # the countdown may be one day ahead of the day
    return [
        k.provider_id
        for k in fleet
        if k.missing_at is None
        and is_watched(k, policy)
        and (k.cycle is not None or k.lapse is not None or (k.renews_on is not None and k.renews_on <= latest))
    ]


def blind_turn(watch: Watch, policy: Policy, now: datetime) -> Turn:
    """A judgement by what was last known."""
    before_s = int(watch.last_success_at.timestamp()) if watch.last_success_at else int(now.timestamp())
    note = Unread(watch.last_success_at) if watch.last_success_at else None
    return Turn(at=watch.name, now=now, before_s=before_s, policy=policy, context=Context(), note=note)


def judge_failure(
    fleet: Mapping[str, Known],
    before: Mapping[str, PhoneNumber],
    watch: Watch,
    policy: Policy,
    now: datetime,
    *,
    reason: str,
    error: str,
) -> Verdict:
    """The verdict of a poll that gave no list. ``before`` holds the numbers of ``near_without_list``."""
    turn = blind_turn(watch, policy, now)
    verdict = Verdict(alerts=turn.alerts, watch=watch, ended=turn.ended)
    watch = replace(
        watch,
        last_poll_at=now,
        last_error=error,
        failures=watch.failures + 1,
        failing_since=watch.failing_since or now,
    )
    counts = _at_stake(fleet.values(), turn)
    if reason == "token_rejected":
        watch = _tell_once(turn, watch, "watch.token_rejected", api_facts.TokenRejected(turn.at, error, *counts))
    elif watch.failures >= FAILING_POLLS:
        since = watch.failing_since or now
        facts = api_facts.ApiFailing(turn.at, error, watch.failures, since, *counts)
        watch = _tell_once(turn, watch, "watch.api_failing", facts)
    watch = _judge_stale(turn, watch, counts)
    for name, number in before.items():
        known = judge_blind(turn, number, fleet[name])
        if known is not fleet[name]:
            verdict.updates.append(known)
    return replace(verdict, watch=watch)


def judge_time(fleet: Mapping[str, Known], watch: Watch, policy: Policy, now: datetime) -> Verdict:
    """Whether the environment became stale while it waits to be let in again (rate limit, rejected token)."""
    turn = blind_turn(watch, policy, now)
    watch = _judge_stale(turn, watch, _at_stake(fleet.values(), turn))
    return Verdict(alerts=turn.alerts, watch=watch)


def is_stale(watch: Watch, policy: Policy, now: datetime) -> bool:
    """Whether the last good list is older than ``stale_after``; before the first list, counted from the first try."""
    since = watch.last_success_at or watch.failing_since
    return since is not None and now - since >= policy.stale_after


def _judge_stale(turn: Turn, watch: Watch, counts: tuple[int, int]) -> Watch:
    if watch.last_error is None or not is_stale(watch, turn.policy, turn.now):
        return watch
    facts = api_facts.Stale(turn.at, watch.last_success_at, turn.now, watch.last_error, *counts)
    return _tell_once(turn, watch, "watch.stale", facts)


def _tell_once(turn: Turn, watch: Watch, kind: str, facts: Facts) -> Watch:
    if kind in watch.told:
        return watch
    turn.tell(kind, Severity.critical, turn.once("api"), facts)
    return replace(watch, told=watch.told | {kind})


def _at_stake(fleet: Iterable[Known], turn: Turn) -> tuple[int, int]:
    """How many numbers are not being watched, and how many of them renew soon."""
    watched = [k for k in fleet if k.missing_at is None and is_watched(k, turn.policy)]
    soon = [k for k in watched if k.renews_on is not None and k.renews_on - turn.on_day <= SOON_DAYS]
    return len(watched), len(soon)


def next_poll_hold(reason: str, retry_after: timedelta | None) -> timedelta | None:
    """How long a failed poll bars the next one, None for no longer than the schedule says."""
    if reason == "token_rejected":
        return max(HOLD_REJECTED, retry_after or HOLD_REJECTED)
    return retry_after


def error_text(error: object) -> str:
    """An error as it may stand in an alert and in the database."""
    return plain(error, 500)
