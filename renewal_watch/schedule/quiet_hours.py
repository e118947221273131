"""Quiet hours: until when they last. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

from renewal_watch.schedule.wall import DAY, SKIPPED, WEEK, days_of, instant, minutes_of, spelled_out

# Longer than any accepted quiet hours last, which is eight days, or fifteen where a zone skips the only open day.
_NEVER_ENDS = timedelta(weeks=4)
_WINDOW = re.compile(r"^(?:([^0-9:]+) )?([0-9]+:[0-9]+)-([0-9]+:[0-9]+)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """Quiet hours that begin on some weekdays: ``days`` by cron's numbers, ``start`` and ``end`` in minutes from midnight.

    ``end`` is always after ``start``; past midnight it is more than a day.
    """

    days: frozenset[int]
    start: int
    end: int


def _window(text: str) -> _Window:
    """The window a text stands for. Raises ValueError with a sentence."""
    match = _WINDOW.match(spelled_out(text))
    if not match:
        msg = f"{text!r} is not understood; write 22:00-07:00, mon-fri 12:00-13:30 or sat,sun 00:00-24:00"
        raise ValueError(msg)
    days, start, end = match[1], minutes_of(match[2], text), minutes_of(match[3], text)
    if start == DAY:
        msg = f"{text!r} starts at 24:00, which is only an end; write 00:00"
        raise ValueError(msg)
    if start == end:
        msg = f"{text!r} starts when it ends; write 00:00-24:00 for a whole day"
        raise ValueError(msg)
    return _Window(
        days=frozenset(days_of(days, text) if days else range(7)), start=start, end=end if end > start else end + DAY
    )


def window_fault(windows: Sequence[str]) -> str | None:
    """What is wrong with quiet hours, None if nothing is.

    Refuses, beside what it does not understand, windows that leave the week open only within three hours: a change of
    the clocks could skip them, and the quiet would last a fortnight.
    """
    quiet = bytearray(WEEK)
    for text in windows:
        try:
            window = _window(text)
        except ValueError as error:
            return str(error)
        for day in window.days:
            for minute in range(day * DAY + window.start, day * DAY + window.end):
                quiet[minute % WEEK] = 1
    openings = quiet.count(0)
    if not openings:
        return "the quiet hours never end"
    longest = max(map(len, (quiet * 2).split(b"\0")))  # twice round, since quiet may go on from Saturday to Sunday
    if longest >= WEEK - SKIPPED:
        return (
            f"the quiet hours leave only {openings} {'minute' if openings == 1 else 'minutes'} of the week open, which a "
            "change of the clocks can skip; leave open more than three hours or times on several days"
        )
    return None


def _quiet_near(at: datetime, windows: Sequence[_Window], zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of quiet, from and until which instant, that may hold ``at``."""
    today = at.astimezone(zone).date()
    for back in range(3):  # a window reaches one day on, and over a day that the zone skips (Pacific/Apia, 2011-12-30)
        date = today - timedelta(days=back)
        midnight = datetime.combine(date, time_of_day())
        for window in windows:
            if date.isoweekday() % 7 in window.days:
                yield (
                    instant(midnight + timedelta(minutes=window.start), zone),
                    instant(midnight + timedelta(minutes=window.end), zone),
                )


def quiet_until(now: datetime, windows: Sequence[str], zone: str) -> datetime | None:
    """When the quiet time that ``now`` lies in ends, None if it is not quiet; both in UTC.

    Windows that touch or overlap are one quiet time. It never lasts longer than eight days if ``window_fault`` accepts
    the windows, short of a zone that skips a day. Raises ValueError for windows that are not understood or never end.
    """
    parsed, where = [_window(text) for text in windows], ZoneInfo(zone)
    end = now.astimezone(UTC)
    while later := max(
        (until for since, until in _quiet_near(end, parsed, where) if since <= end < until), default=None
    ):
        end = later
        if end - now > _NEVER_ENDS:  # window_fault refuses such windows
            raise ValueError("the quiet hours never end")
    return end if end > now else None
