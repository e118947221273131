"""Cron lines, with cron's own weekday numbers and its ways when the clock is put on or back (cronsim). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron's numbers from 0; 7 is Sunday again
_FIELDS = 5  # cronsim would take a sixth, for seconds
_LONGEST = 1000  # signs of a field; a list of every minute has 169
_NAMES = ("minute", "hour", "day-of-month", "month", "day-of-week")
SHORTCUTS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


def times(line: str, at: datetime, *, is_back: bool = False) -> Iterator[datetime]:
    """The times that a line says, from ``at`` on or back, without ``at`` itself; in the zone of ``at``, or without one.

    In an hour that comes twice cronsim 2.8 gives times of the first pass, even from within the second one: who asks for what
    comes after an instant must look whether it does. Raises ValueError for a line that ``cron_fault`` refuses.
    """
    try:
        yield from CronSim(_plain(line), at, reverse=is_back)
    except CronSimError as error:
        raise ValueError(cron_fault(line) or str(error)) from error


def cron_fault(line: str) -> str | None:
    """What is wrong with a cron line, None if nothing is."""
    fields = _plain(line).split()
    if len(fields) != _FIELDS:
        many = f"{len(fields)} {'field' if len(fields) == 1 else 'fields'}"
        return f"{line!r} has {many}; cron has five: minute hour day month weekday"
    wrong = _wrong(fields)
    if wrong == "day-of-month" and not _wrong([*fields[:3], "*", fields[4]]):  # it is a day, but of no such month
        return f"{line!r} never comes"
    if wrong:
        return f"the {wrong} of {line!r} is not one that cron takes"
    return None if next(times(line, datetime(2000, 1, 1, tzinfo=UTC)), None) else f"{line!r} never comes"


def _plain(line: str) -> str:
    return SHORTCUTS.get(line.strip().lower(), line)


def _wrong(fields: list[str]) -> str:
    """The name of the field that cron does not take; empty where it takes them all."""
    if max(map(len, fields)) > _LONGEST:
        return _NAMES[max(range(_FIELDS), key=lambda place: len(fields[place]))]
    try:
        CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return str(error).removeprefix("Bad ")
    return ""
