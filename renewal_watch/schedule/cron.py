"""Cron lines, with cron's own weekday numbers. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron's numbers from 0; 7 is Sunday again
_FIELDS = ("minute", "hour", "day", "month", "day_of_week")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ITEM = re.compile(r"^(?:(\*)|(\w+)(?:-(\w+))?)(?:/([1-9][0-9]*))?$")
_BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "day_of_week": (0, 7)}
_LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month
SHORTCUTS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEPS = 10  # of an interval: a poll moves by no more towards its place


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
    names = {"month": (None, *_MONTHS), "day_of_week": WEEKDAYS}.get(field, ())
    if text in names:
        return names.index(text)
    if not (text.isascii() and text.isdigit()):
        msg = f"{text!r} is not a cron value for {field.replace('_', ' ')}"
        raise ValueError(msg)
    return int(text)


def _fields(line: str) -> tuple[dict[str, list[int]], bool]:
    """The numbers of each field, and whether the day or the weekday will do. Raises ValueError with a sentence."""
    parts = SHORTCUTS.get(line.strip().lower(), line).split()
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
    written["day_of_week"] = ",".join(WEEKDAYS[value] for value in numbers["day_of_week"])
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
