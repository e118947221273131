"""The right to acknowledge that a message brings with it: signed, bound to its incidents and its channel, and it runs out. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from itsdangerous import BadSignature, URLSafeSerializer

from renewal_watch.model.alerts import Alert

MOST = 20  # incidents of a message that can be answered at once; of more the page of incidents has a list


class Answer(NamedTuple):
    """What may be answered in the name of a channel: incidents, by the ids of their rows, each with the mark of its key.

    An id alone would be another incident's in another database, or after a backup was put back.
    """

    incidents: Mapping[int, str]
    channel: str
    made_at: datetime
    ends_at: datetime


def answer_to(alerts: Iterable[Alert], channel: str, now: datetime, length: timedelta) -> Answer | None:
    """The answer to a message; None where nothing of it is open, or too much."""
    courses = (alert.course for alert in alerts if alert.course and alert.course.pk and not alert.course.resolved_at)
    open_ones = {course.pk: mark_of(course.name) for course in courses}
    return Answer(open_ones, channel, now, now + length) if 0 < len(open_ones) <= MOST else None


def mark_of(key: str) -> str:
    """Tells the key of one incident from another's, in few characters."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def sealed(answer: Answer, key: bytes) -> str:
    """As it stands in a link: letters, digits, ``-``, ``_`` and ``.``."""
    at, until = (int(one.timestamp()) for one in (answer.made_at, answer.ends_at))
    return str(_serializer(key).dumps([answer.channel, at, until, *answer.incidents.items()]))


def opened(text: str, key: bytes) -> Answer | None:
    """What stands in a link, whether or not it still counts; None for what was not signed with this key."""
    try:
        channel, at, until, *incidents = _serializer(key).loads(text)
        times = (datetime.fromtimestamp(one, UTC) for one in (at, until))
        return Answer({int(pk): str(mark) for pk, mark in incidents}, str(channel), *times)
    except (BadSignature, ValueError, TypeError, OverflowError):
        return None


def _serializer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="answer", signer_kwargs={"digest_method": hashlib.sha256})
