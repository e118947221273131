"""When an environment is polled next, when a digest is due, and when quiet hours end. Pure: no clock, no I/O.

Polls come every so often, each environment at a place of its own within the interval, or by a cron line as cron reads it.
APScheduler's own ``from_crontab`` takes weekday 0 for Monday and wants day and weekday both to match; cron takes 0 and 7
for Sunday and is content with either when both are restricted.

Digests and quiet hours are meant for people, who read a clock on a wall. Both ask ``_instant`` when that clock shows a
time: the first time of two where it goes back an hour, and the first instant after the gap where it goes forward over
it. Later on the wall is never earlier in truth, and that is what keeps both simple:

- a digest comes once a day on every day, also for a time that is shown twice or not at all; the repeat of an hour is
  passed over, for an hourly cron line too. (A poll by cron is APScheduler's: 02:30 in the gap is 03:30 there, and the
  repeated hour is polled.)
- quiet hours that end in the repeated hour end when their end is first shown, and the repeat is not quiet; those that
  begin in it begin when their start is first shown, and the repeat is. Quiet hours within the gap vanish.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron's numbers from 0; 7 is Sunday again
_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ITEM = re.compile(r"^(?:(\*)|(\w+)(?:-(\w+))?)(?:/([1-9][0-9]*))?$")
_BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "day_of_week": (0, 7)}
_LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month
_SHORTCUTS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
PUT_BACK = timedelta(hours=1)  # by so much two machines do not differ
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = 10  # of an interval: a poll moves by no more towards its place
SLOW_S = 5  # a poll of a hundred numbers takes well under a second
_QUICK_SHARE = 4  # a quarter of the places is for quick polls only
_DAY = 24 * 60  # minutes
_WEEK = 7 * _DAY  # minutes
# A change of the clocks can skip this many minutes: an hour nearly everywhere, 120 at Antarctica/Troll every March and
# 180 at Antarctica/Casey in 2016-2020 (tzdata 2026.6, every zone from 2015 on).
_SKIPPED = 180
# Longer than any accepted quiet hours last, which is eight days, or fifteen where a zone skips the only open day.
_NEVER_ENDS = timedelta(weeks=4)
_TIME = re.compile(r"^([0-9]{1,2}):([0-9]{2})$")
_WINDOW = re.compile(r"^(?:([^0-9:]+) )?([0-9]+:[0-9]+)-([0-9]+:[0-9]+)$")
_CALENDAR = re.compile(r"^(?:daily|weekly ([^0-9:]+)) ([0-9]+:[0-9]+)$")


def _values(field: str, text: str) -> list[int]:
    """The numbers a cron field stands for. Raises ValueError with a sentence."""
    low, high = _BOUNDS[field]
    values: set[int] = set()
    for item in text.lower().split(","):
        match = _ITEM.match(item)
        if not match:
            msg = f"{item!r} in {text!r} is not a cron value"
            raise ValueError(msg)
        star, first, last, step = match.groups()
        start = low if star else _number(field, first)
        end = high - (field == "day_of_week") if star else _number(field, last) if last else high if step else start
        if low <= end < start <= high:
            msg = f"{item!r} runs backwards for {field.replace('_', ' ')}"
            raise ValueError(msg)
        if not low <= start <= end <= high:
            msg = f"{item!r} is outside {low}-{high} for {field.replace('_', ' ')}"
            raise ValueError(msg)
        values.update(range(start, end + 1, int(step or 1)))
    return sorted({value % 7 for value in values}) if field == "day_of_week" else sorted(values)


def _number(field: str, text: str) -> int:
    names = {"month": (None, *_MONTHS), "day_of_week": _WEEKDAYS}.get(field, ())
    if text in names:
        return names.index(text)
    if not (text.isascii() and text.isdigit()):
        msg = f"{text!r} is not a cron value for {field.replace('_', ' ')}"
        raise ValueError(msg)
    return int(text)


def _fields(line: str) -> tuple[dict[str, list[int]], bool]:
    """The numbers of each field, and whether the day or the weekday will do. Raises ValueError with a sentence."""
    parts = _SHORTCUTS.get(line.strip().lower(), line).split()
    if len(parts) != len(_FIELDS):
        msg = f"{line!r} has {len(parts)} {'field' if len(parts) == 1 else 'fields'}; cron has five: minute hour day month weekday"
        raise ValueError(msg)
    texts = dict(zip(_FIELDS, parts, strict=True))
    either = not texts["day"].startswith("*") and not texts["day_of_week"].startswith("*")
    return {field: _values(field, text) for field, text in texts.items()}, either


def _has_day(numbers: dict[str, list[int]]) -> bool:
    """Whether any of the months has any of the days; CronTrigger searches to the year 9999, which takes a second."""
    return min(numbers["day"]) <= max(_LONGEST[month] for month in numbers["month"])


@lru_cache(maxsize=2048)  # the daemon asks every second
def cron_trigger(line: str, zone: str) -> Any:
    """APScheduler's trigger for a cron line in ``zone``. Raises ValueError with a sentence."""
    numbers, either = _fields(line)
    written = {field: ",".join(map(str, values)) for field, values in numbers.items()}
    written["day_of_week"] = ",".join(_WEEKDAYS[value] for value in numbers["day_of_week"])
    from apscheduler.triggers.combining import OrTrigger  # noqa: PLC0415 (a tenth of a second that intervals do not need)
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415

    timezone = ZoneInfo(zone)
    if not either:
        return CronTrigger(**written, timezone=timezone)
    by_weekday = CronTrigger(**(written | {"day": "*"}), timezone=timezone)
    if not _has_day(numbers):
        return by_weekday
    by_day = CronTrigger(**(written | {"day_of_week": "*"}), timezone=timezone)
    return OrTrigger([by_day, by_weekday])


def cron_fault(line: str) -> str | None:
    """What is wrong with a cron line, None if nothing is."""
    try:
        numbers, either = _fields(line)
    except ValueError as error:
        return str(error)
    if not either and not _has_day(numbers):
        return f"{line!r} never comes"
    trigger = cron_trigger(line, "UTC")
    if trigger.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        return f"{line!r} never comes"
    return None


def next_poll(after: datetime, *, every: timedelta, cron: str | None, zone: str) -> datetime:
    """The next poll after ``after``, without jitter."""
    if cron is None:
        return after + every
    fire = cron_trigger(cron, zone).get_next_fire_time(None, after + timedelta(microseconds=1))
    if fire is None:  # config refuses such a line
        msg = f"the cron line {cron!r} never comes"
        raise ValueError(msg)
    at: datetime = fire.astimezone(UTC)
    return at


def spread(at: datetime, *, every: timedelta, name: str) -> datetime:
    """``at``, moved by a tenth of the interval at most towards the place within it that is the environment's own.

    Many environments that began together are thus spread over the interval within five polls, and none ever waits longer
    than a tenth more than ``every``. The place comes from the name: the same in every process, whoever else there is.
    """
    place = every * (int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") / 2**32)
    ahead = (place - (at - _EPOCH)) % every
    shift = ahead if ahead <= every / 2 else ahead - every
    return at + min(max(shift, -every / _STEPS), every / _STEPS)


class Due(NamedTuple):
    """An environment that is to be polled: since when (None: it never was), and how long it took the last time."""

    name: str
    since: datetime | None
    took_s: float | None


def to_begin(due: Iterable[Due], under_way: Iterable[float], at_once: int) -> list[str]:
    """Which of those that are due are polled now, the longest due first.

    ``under_way`` says how many seconds each poll that goes on takes: so far, or the last time, whichever is longer. Some
    places are only for those known to be quick: however many others are slow, or not known yet, they hold up none of them.
    """
    taken = list(under_way)
    free = at_once - len(taken)
    for_slow = at_once - (at_once + _QUICK_SHARE - 1) // _QUICK_SHARE if at_once > 1 else 1
    for_slow -= sum(_is_slow(seconds) for seconds in taken)
    begun: list[str] = []
    for one in sorted(due, key=lambda one: (one.since is not None, one.since or _EPOCH, one.name)):
        if len(begun) >= free:
            break
        if _is_slow(one.took_s):
            if for_slow <= 0:
                continue
            for_slow -= 1
        begun.append(one.name)
    return begun


def _is_slow(seconds: float | None) -> bool:
    return seconds is None or seconds >= SLOW_S


def _minutes(text: str, whole: str) -> int:
    """The minutes from midnight to a time of day, 24:00 included. Raises ValueError with a sentence."""
    match = _TIME.match(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else _DAY + 1  # noqa: PLR2004 (minutes)
    if minutes > _DAY:
        msg = f"{text!r} in {whole!r} is not a time of day; write 00:00 to 23:59"
        raise ValueError(msg)
    return minutes


def _days(text: str, whole: str) -> list[int]:
    """The weekdays, by cron's numbers, of a list such as mon,thu or fri-mon. Raises ValueError with a sentence."""
    days: set[int] = set()
    for item in text.split(","):
        ends = item.split("-")
        if len(ends) > 2 or not set(ends) <= set(_WEEKDAYS):  # noqa: PLR2004 (a range has two ends)
            msg = f"{item!r} in {whole!r} is not a weekday; write mon, mon,thu or mon-fri"
            raise ValueError(msg)
        first, last = _WEEKDAYS.index(ends[0]), _WEEKDAYS.index(ends[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return sorted(days)


def _plain(text: str) -> str:
    """The text in small letters, with one space between words and none beside a comma or a dash."""
    return re.sub(r" ?([-,]) ?", r"\1", " ".join(text.lower().split()))


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
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
    match = _WINDOW.match(_plain(text))
    if not match:
        msg = f"{text!r} is not understood; write 22:00-07:00, mon-fri 12:00-13:30 or sat,sun 00:00-24:00"
        raise ValueError(msg)
    days, start, end = match[1], _minutes(match[2], text), _minutes(match[3], text)
    if start == _DAY:
        msg = f"{text!r} starts at 24:00, which is only an end; write 00:00"
        raise ValueError(msg)
    if start == end:
        msg = f"{text!r} starts when it ends; write 00:00-24:00 for a whole day"
        raise ValueError(msg)
    return _Window(
        days=frozenset(_days(days, text) if days else range(7)), start=start, end=end if end > start else end + _DAY
    )


def window_fault(windows: Sequence[str]) -> str | None:
    """What is wrong with quiet hours, None if nothing is.

    Refuses, beside what it does not understand, windows that leave the week open only within three hours: a change of
    the clocks could skip them, and the quiet would last a fortnight.
    """
    quiet = bytearray(_WEEK)
    for text in windows:
        try:
            window = _window(text)
        except ValueError as error:
            return str(error)
        for day in window.days:
            for minute in range(day * _DAY + window.start, day * _DAY + window.end):
                quiet[minute % _WEEK] = 1
    openings = quiet.count(0)
    if not openings:
        return "the quiet hours never end"
    longest = max(map(len, (quiet * 2).split(b"\0")))  # twice round, since quiet may go on from Saturday to Sunday
    if longest >= _WEEK - _SKIPPED:
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
                    _instant(midnight + timedelta(minutes=window.start), zone),
                    _instant(midnight + timedelta(minutes=window.end), zone),
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


def _cron_line(line: str) -> str:
    """The cron line that a digest's schedule stands for. Raises ValueError with a sentence."""
    plain = _plain(line)
    if match := _CALENDAR.match(plain):
        days = ",".join(_WEEKDAYS[day] for day in _days(match[1], line)) if match[1] else "*"
        minutes = _minutes(match[2], line)
        if minutes == _DAY:
            msg = f"'24:00' in {line!r} is not a time of day; write 00:00 to 23:59"
            raise ValueError(msg)
        return f"{minutes % 60} {minutes // 60} * * {days}"
    words = plain.split()
    if plain in _SHORTCUTS or (len(words) > 2 and not words[0][0].isalpha()):  # noqa: PLR2004 (09:00 mon is no cron line)
        return line
    msg = f"{line!r} is not understood; write daily 08:00, weekly mon 08:00 or a cron line such as 0 8 * * 1"
    raise ValueError(msg)


def calendar_fault(line: str) -> str | None:
    """What is wrong with a digest's schedule, None if nothing is."""
    try:
        return cron_fault(_cron_line(line))
    except ValueError as error:
        return str(error)


def _fire_after(after: datetime, trigger: Any, zone: ZoneInfo) -> datetime | None:
    """The first instant after ``after`` at which a trigger of wall times (it takes them for UTC) fires in ``zone``."""
    wall = after.astimezone(zone).replace(tzinfo=UTC, fold=0)
    while fire := trigger.get_next_fire_time(None, wall):
        at = _instant(fire.replace(tzinfo=None), zone)
        if at > after:
            return at
        wall = fire + timedelta(minutes=1)  # in the repeat of an hour: what it shows has fired the first time
    return None


def next_fire(after: datetime, line: str, zone: str) -> datetime:
    """The first instant after ``after`` at which a digest's schedule fires, in UTC.

    Raises ValueError for a line that ``calendar_fault`` refuses.
    """
    fire = _fire_after(after.astimezone(UTC), cron_trigger(_cron_line(line), "UTC"), ZoneInfo(zone))
    if fire is None:
        msg = f"{line!r} never comes"
        raise ValueError(msg)
    return fire


def was_put_back(last: datetime, now: datetime) -> bool:
    """Whether the clock was put back since ``last``; what is less is another process, which read it a little later."""
    return last - now > PUT_BACK


def last_fire(after: datetime, until: datetime, line: str, zone: str) -> datetime | None:
    """The latest instant in (after, until] at which a digest's schedule fires, None if there is none; in UTC.

    Halves the stretch until one fire is left, so years take some thirty searches and not one for every fire. Raises
    ValueError for a line that ``calendar_fault`` refuses, unless it just never comes.
    """
    trigger, where = cron_trigger(_cron_line(line), "UTC"), ZoneInfo(zone)
    low, high = after.astimezone(UTC), until.astimezone(UTC)
    last = None
    while (fire := _fire_after(low, trigger, where)) and fire <= until:  # the latest one lies in [fire, high]
        last = low = fire
        later = _fire_after(middle := low + (high - low) / 2, trigger, where)
        if later and later <= until:
            last = low = later
        else:
            high = middle
    return last
