"""What an alert about an account says when it is told again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from renewal_watch.account.handlers import HANDLERS, Again, Case
from renewal_watch.account.judge import reading_of
from renewal_watch.account.turn import UNREADABLE, USER_TOKEN, Background
from renewal_watch.alerts.facts import api_facts
from renewal_watch.alerts.notes import AsRead
from renewal_watch.detect.current import Current
from renewal_watch.errors import TokenRejected
from renewal_watch.model.account import Reading
from renewal_watch.model.alerts import Key
from renewal_watch.model.policy import Policy


def facts_now(
    key: Key, readings: Mapping[str, Reading], background: Background, policy: Policy, now: datetime
) -> Current | None:
    """What an incident of the account is now, by what was last read; None when it does not hold or is not read any more."""
    name = reading_of(key.topic)
    reading = readings.get(name) if name else None
    if name is None or reading is None:
        return None
    if key.topic == USER_TOKEN:
        facts = api_facts.UserTokenRejected(key.environment, reading.error or "")
        return Current(facts=facts) if reading.outcome == TokenRejected.reason else None
    if key.topic.startswith(UNREADABLE):
        return Current() if key.topic in reading.told else None
    handler = HANDLERS[name]
    if reading.content is None or not (handler.is_asked or key.topic in reading.told):
        return None
    latest = {other: one.content for other, one in readings.items()}
    note = AsRead(reading.good_at or reading.read_at) if reading.error else None
    case = Case(content=reading.content, latest=latest, background=background, told=dict(reading.told))
    return handler.again(Again(key=key, policy=policy, now=now, note=note), case)
