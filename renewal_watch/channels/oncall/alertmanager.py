"""Alertmanager's API v2: an alert is what its labels say, holds until ``endsAt``, and is told again before that.

Who is called follows there from the labels, the severity among them: when they change, the one request ends what was and
begins what is. An acknowledgement is a silence on the incident's label. Alertmanager's lasts no longer than ours: whoever
tells no more, because nobody runs any more, is believed to be resolved after ``LASTS``.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from renewal_watch.channels.oncall.talk import SOURCE, By, Call, Report, Talk, Told, instant, post
from renewal_watch.model import kinds

REFRESH = timedelta(minutes=5)
LASTS = timedelta(minutes=30)  # after it was last told: several tries that fail change nothing
_TOPICS = kinds.topics()
_MARK = f"{SOURCE}:"  # a silence of ours begins its comment so; those that people made are left alone


class Matcher(msgspec.Struct, frozen=True):
    """What a silence is about."""

    name: str
    value: str


class Status(msgspec.Struct, frozen=True):
    """Whether a silence holds: pending, active or expired."""

    state: str


class Silence(msgspec.Struct, frozen=True, rename="camel"):
    """A silence as Alertmanager lists it."""

    id: str
    status: Status
    comment: str
    matchers: list[Matcher]
    starts_at: str


def talk(report: Report, told: Told | None, by: By) -> Talk:
    """Fire, end, silence, let be heard."""
    key, labels, now = by.remote.key, by.remote.labels, by.now
    ended = [_alert(report, told.remote.labels, now)] if told and told.remote.labels not in ({}, labels) else []
    if report.state == "resolved":
        yield post("/api/v2/alerts", [_alert(report, labels, now), *ended])
        yield from _unsilence(told, key)
        return
    if report.state == "acknowledged":
        yield from _silence(report, by)
    yield post("/api/v2/alerts", [_alert(report, labels, now + LASTS), *ended])
    if report.state == "open":
        yield from _unsilence(told, key)


def headers(key: str | None) -> dict[str, str]:
    """What lets in, where anything does: ``user:password``, or a token."""
    if not key:
        return {}
    return {"Authorization": f"Basic {b64encode(key.encode()).decode()}" if ":" in key else f"Bearer {key}"}


def labels_of(report: Report, key: str) -> dict[str, str]:
    """The identity of an alert; what may change without being another one stands in the annotations."""
    topic = report.topic if report.topic in _TOPICS else report.topic.split(" ")[0]
    said = {
        "alertname": "RenewalWatch" + re.sub("[^A-Za-z0-9]", "", topic.title()),
        "incident": key,
        "environment": report.environment,
        "number": report.number or "",
        "severity": report.severity.name,
        "owner": report.owner,
        "source": SOURCE,
    }
    return {name: value for name, value in said.items() if value}


def _alert(report: Report, labels: dict[str, str], ends: datetime) -> dict[str, Any]:
    said = {"summary": report.headline, "description": report.text, "todo": report.todo, "kind": report.kind}
    return {
        "labels": labels,
        "annotations": {name: value for name, value in said.items() if value},
        "startsAt": instant(min(report.opened_at, ends)),
        "endsAt": instant(ends),
        **({"generatorURL": report.url} if report.url else {}),
    }


def _silence(report: Report, by: By) -> Generator[Call, bytes, None]:
    """Begin the silence of an incident, or make it longer; one that was begun and whose answer was lost is found."""
    ours = yield from _silences(by.remote.key)
    said: dict[str, Any] = {
        "matchers": [{"name": "incident", "value": by.remote.key, "isRegex": False, "isEqual": True}],
        "startsAt": instant(by.now),
        "endsAt": instant(by.now + LASTS),
        "createdBy": report.who or SOURCE,
        "comment": f"{_MARK} {report.why or 'acknowledged'}",
    }
    if ours:  # it stays the same one as long as it begins when it began
        said |= {"id": ours[0].id, "startsAt": ours[0].starts_at}
    yield post("/api/v2/silences", said)


def _unsilence(told: Told | None, key: str) -> Generator[Call, bytes, None]:
    """End the silence of an incident, where there may be one."""
    if told is None or (told.is_sure and told.state == "open"):
        return
    for one in (yield from _silences(key)):
        yield Call(method="DELETE", path=f"/api/v2/silence/{quote(one.id, safe='')}", fine=(404,))


def _silences(key: str) -> Generator[Call, bytes, list[Silence]]:
    """Our silences of one incident that hold now."""
    sign = key.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    matcher = f'incident="{sign}"'
    answer = yield Call(method="GET", path=f"/api/v2/silences?filter={quote(matcher, safe='')}", wants=True)
    return [
        one
        for one in msgspec.json.decode(answer, type=list[Silence])
        if one.status.state == "active" and one.comment.startswith(_MARK) and one.matchers == [Matcher("incident", key)]
    ]
