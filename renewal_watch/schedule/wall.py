"""A clock on a wall: times and days as people write them, also where the clock is put on or back. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from renewal_watch.schedule.cron import WEEKDAYS

DAY = 24 * 60  # minutes
WEEK = 7 * DAY  # minutes
# A change of the clocks can skip this many minutes: an hour nearly everywhere, 120 at Antarctica/Troll every March and
# 180 at Antarctica/Casey in 2016-2020 (tzdata 2026.6, every zone from 2015 on).
SKIPPED = 180
_TIME = re.compile(r"^([0-9]{1,2}):([0-9]{2})$")


def minutes_of(text: str, whole: str) -> int:
    """The minutes from midnight to a time of day, 24:00 included. Raises ValueError with a sentence."""
    match = _TIME.match(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else DAY + 1  # noqa: PLR2004 (minutes)
    if minutes > DAY:
        msg = f"{text!r} in {whole!r} is not a time of day; write 00:00 to 23:59"
        raise ValueError(msg)
    return minutes


def days_of(text: str, whole: str) -> list[int]:
    """The weekdays, by cron's numbers, of a list such as mon,thu or fri-mon. Raises ValueError with a sentence."""
    days: set[int] = set()
    for item in text.split(","):
        ends = item.split("-")
        if len(ends) > 2 or not set(ends) <= set(WEEKDAYS):  # noqa: PLR2004 (a range has two ends)
            msg = f"{item!r} in {whole!r} is not a weekday; write mon, mon,thu or mon-fri"
            raise ValueError(msg)
        first, last = WEEKDAYS.index(ends[0]), WEEKDAYS.index(ends[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return sorted(days)


def spelled_out(text: str) -> str:
    """The text in small letters, with one space between words and none beside a comma or a dash."""
    return re.sub(r" ?([-,]) ?", r"\1", " ".join(text.lower().split()))


def instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which a clock in ``zone`` shows ``wall`` (naive, whole seconds) or, where it skips it, more."""
    at = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == wall.replace(fold=0):
        return at
    # Within a gap, fold 0 counts by the offset before it and lands after it; fold 1 is the other way round (PEP 495).
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = at.astimezone(zone).utcoffset()
    low, high = 0, int((at - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return before + timedelta(seconds=high)
