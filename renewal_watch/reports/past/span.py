"""The span of time that somebody asks for, as people write it. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from renewal_watch.errors import UsageError
from renewal_watch.language import _
from renewal_watch.settings.values import duration
from renewal_watch.text import printable

_DATE = len("2026-11-23")
_AGO = re.compile("[1-9][0-9]{0,4}[smhd]")
_DAYS_BACK = {"today": 0, "yesterday": 1}


class Span(NamedTuple):
    """From ``since`` to ``until``, in UTC."""

    since: datetime
    until: datetime


def written(text: str, zone: str, *, ends: bool) -> datetime:
    """The instant that a date or time means in ``zone``; a bare date is its beginning, or with ``ends`` its end.

    Raises ValueError for what is none, OverflowError for one outside the calendar.
    """
    at = datetime.fromisoformat(text)
    if len(text) <= _DATE and ends:
        at += timedelta(days=1, microseconds=-1)
    return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def past(text: str, now: datetime, zone: str, *, ends: bool) -> datetime:
    """The same, or ``today``, ``yesterday``, or so long before now: ``3d``, ``12h``. Raises ValueError, OverflowError."""
    if _AGO.fullmatch(text):
        return now - duration(text)
    if text in _DAYS_BACK:
        on = now.astimezone(ZoneInfo(zone)).date() - timedelta(days=_DAYS_BACK[text])
        text = on.isoformat()
    return written(text, zone, ends=ends)


def within(since: str, until: str, now: datetime, zone: str) -> Span:
    """The same of two times that can be read, and of any order: where nothing lies between them, nothing happened.

    Raises ValueError, OverflowError.
    """
    ends = min(past(until, now, zone, ends=True), now) if until else now
    return Span(min(past(since, now, zone, ends=False), ends), ends)


def asked(since: str, until: str, now: datetime, zone: str, *, prefix: str = "") -> Span:
    """The span between two times as they are written; empty is up to now. Raises UsageError, naming the place by ``prefix``.

    What lies ahead has not happened: the span ends now at the latest.
    """
    begins = _instant(since, now, zone, f"{prefix}since", ends=False)
    ends = min(_instant(until, now, zone, f"{prefix}until", ends=True), now) if until else now
    if begins >= now:
        msg = _("{field}: {value} is not past", field=f"{prefix}since", value=repr(printable(since, 40)))
        raise UsageError(msg)
    if begins >= ends:
        msg = _("{field}: {value} is not after the beginning", field=f"{prefix}until", value=repr(printable(until, 40)))
        raise UsageError(msg)
    return Span(begins, ends)


def _instant(text: str, now: datetime, zone: str, field: str, *, ends: bool) -> datetime:
    try:
        return past(text, now, zone, ends=ends)
    except ValueError:
        msg = _(
            "{field}: {value} is not a time; write it like 2026-11-23, 2026-11-23T10:00, yesterday, 3d or 12h",
            field=field,
            value=repr(printable(text, 40)),
        )
        raise UsageError(msg) from None
    except OverflowError:
        msg = _("{field}: {value} lies outside the calendar", field=field, value=repr(printable(text, 40)))
        raise UsageError(msg) from None
