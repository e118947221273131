"""Judges what an account says beside the list. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from renewal_watch.account.handlers import HANDLERS, Case
from renewal_watch.account.turn import CARD, RELEASE, TOPICS, UNREADABLE, USER_TOKEN, Background, Found, Turn, is_recent
from renewal_watch.alerts.facts import account_facts, api_facts
from renewal_watch.errors import NotTheApi, TokenRejected
from renewal_watch.model.account import Reading, Release
from renewal_watch.model.alerts import Alert, Key, Severity
from renewal_watch.model.facts import Facts
from renewal_watch.model.policy import Policy


def judge(
    at: str,
    before: Mapping[str, Reading],
    fresh: Mapping[str, Any],
    background: Background,
    policy: Policy,
    now: datetime,
) -> Found:
    """What the answers that were read just now mean.

    ``before`` are the readings as they were kept, ``fresh`` the contents that were read well.
    """
    turn = Turn(at=at, now=now, policy=policy)
    latest = {**{name: one.content for name, one in before.items()}, **fresh}
    told = {name: dict(before[name].told) if name in before else {} for name in fresh}
    for name, handler in HANDLERS.items():
        if name in fresh:
            was = before[name].content if name in before else None
            handler.judge(
                turn, Case(content=fresh[name], was=was, latest=latest, background=background, told=told[name])
            )
    return Found(turn.alerts, turn.ended, told)


def may_be_told(requests: Iterable[Release], before: Sequence[Release] | None, now: datetime) -> list[Release]:
    """The requests whose numbers must be looked up: pending, approved of late, or not as they were."""
    statuses = {one.id: one.status for one in before or ()}
    return [
        one
        for one in requests
        if one.status == "pending"
        or (one.status == "approved" and is_recent(one, now))
        or (before is not None and one.status != statuses.get(one.id))
    ]


def judge_token(at: str, reading: Reading, policy: Policy, now: datetime) -> tuple[list[Alert], dict[str, int]]:
    """That the user's token is rejected, once, and its end; with what is told of the reading after it.

    It is given for the balance alone, so nothing else would show that nobody looks at the balance.
    """
    turn = Turn(at=at, now=now, policy=policy)
    told = dict(reading.told)
    if reading.outcome == TokenRejected.reason and USER_TOKEN not in told:
        facts: Facts = api_facts.UserTokenRejected(at, reading.error or "")
        turn.tell("watch.token_rejected", Severity.warning, turn.once(USER_TOKEN), facts, topic=USER_TOKEN)
        told[USER_TOKEN] = 1
    elif reading.outcome == "ok" and told.pop(USER_TOKEN, 0):
        facts = api_facts.UserTokenWorks(at)
        key = turn.once(USER_TOKEN)
        turn.tell("watch.recovered", Severity.info, key, facts, topic=USER_TOKEN, ends=True)
    return turn.alerts, told


def judge_unreadable(
    at: str, reading: Reading, faults: Sequence[str], policy: Policy, now: datetime
) -> tuple[list[Alert], list[Key], dict[str, int]]:
    """That an answer, or a part of it, cannot be read and is not watched; once, with the incidents that end, and what is told."""
    turn = Turn(at=at, now=now, policy=policy)
    told, topic = dict(reading.told), f"{UNREADABLE}{reading.name}"
    is_unreadable = bool(faults) or reading.outcome == NotTheApi.reason
    if is_unreadable and topic not in told:
        turn.tell(
            "data.invalid",
            Severity.warning,
            turn.once(topic),
            account_facts.AccountUnreadable(at, reading.name, tuple(faults), reading.error),
            topic=topic,
        )
        told[topic] = 1
    elif not is_unreadable and reading.outcome == "ok" and told.pop(topic, 0):
        turn.ended.append(Key(at, "", topic))
    return turn.alerts, turn.ended, told


def is_release(topic: str) -> bool:
    """Whether an incident of this topic is about a release request."""
    return topic == RELEASE or topic.startswith(f"{RELEASE} ")


def reading_of(topic: str) -> str | None:
    """The reading that an incident of this topic was found in, None where it is not the account's."""
    if topic.startswith(UNREADABLE):
        return topic.removeprefix(UNREADABLE)
    if topic.startswith(CARD):
        return "cards"
    return "releases" if is_release(topic) else TOPICS.get(topic)
