"""The times that people write: an instant, how long something holds, which days are ahead. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from renewal_watch.errors import UsageError
from renewal_watch.reports.past.span import written
from renewal_watch.settings.values import duration

_LONGEST = timedelta(days=3660)
_FARTHEST = timedelta(days=800)


def instant(text: str, zone: str, called: str) -> datetime:
    """The instant that a text means in ``zone``; a bare date means the end of that day. Raises UsageError."""
    try:
        return written(text, zone, ends=True)
    except ValueError:
        msg = f"{called}: {text!r} is not a time; write it like 2026-11-23 or 2026-11-23T10:00"
        raise UsageError(msg) from None
    except OverflowError:
        msg = f"{called}: {text!r} lies outside the calendar"
        raise UsageError(msg) from None


def end_of(length: str | None, until: str | None, zone: str, now: datetime, dashes: str = "--") -> datetime:
    """When a silence ends; ``dashes`` stand before the names of options. Raises UsageError."""
    if (length is None) == (until is None):
        msg = f"say how long: either {dashes}for 4h or {dashes}until 2026-11-30"
        raise UsageError(msg)
    if until is not None:
        ends_at = instant(until, zone, f"{dashes}until")
    elif length is not None and re.fullmatch("[1-9][0-9]{0,3}[smhd]", length):
        ends_at = now + duration(length)
    else:
        msg = f"{dashes}for: {length!r} is not a length of time; write it like 45m, 4h or 2d"
        raise UsageError(msg)
    if ends_at > now + _LONGEST:
        msg = "a silence lasts ten years at most; for numbers that are never to be told of, mute them with a rule"
        raise UsageError(msg)
    if ends_at <= now:
        msg = f"{dashes}until: {until} is past"
        raise UsageError(msg)
    return ends_at


def ahead(at: str | None, days: int | None, zone: str, now: datetime, dashes: str = "--") -> tuple[datetime, datetime]:
    """From when to when so many days are: from now, or from the day ``at``. Raises UsageError for one that is past."""
    there = ZoneInfo(zone)
    first = now
    if at is not None:
        end = instant(at, zone, f"{dashes}at")
        if end <= now:
            msg = f"{dashes}at: {at} is past; see what was told with: renewal-watch alerts"
            raise UsageError(msg)
        first = datetime.combine(end.astimezone(there).date(), datetime.min.time(), there).astimezone(UTC)
        if end - now > _FARTHEST:
            msg = f"{dashes}at: {at} is too far ahead to say anything about it"
            raise UsageError(msg)
    last = first.astimezone(there).date() + timedelta(days=days or (7 if at is None else 1))
    return first, datetime.combine(last, datetime.min.time(), there).astimezone(UTC) - timedelta(seconds=1)
