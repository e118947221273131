"""Cron lines, with cron's own weekday numbers and its ways when the clock is put on or back (cronsim). Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron's numbers from 0; 7 is Sunday again
_FIELDS = 5  # cronsim would take a sixth, for seconds
SHORTCUTS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


def _plain(line: str) -> str:
    return SHORTCUTS.get(line.strip().lower(), line)


def next_time(line: str, after: datetime) -> datetime | None:
    """The first time after ``after`` that the line says, in the same zone or without one; None where none comes.

    Raises ValueError for a line that ``cron_fault`` refuses.
    """
    return _first(line, after, is_back=False)


def last_time(line: str, before: datetime) -> datetime | None:
    """The last time before ``before`` that the line says; otherwise as ``next_time``."""
    return _first(line, before, is_back=True)


def _first(line: str, at: datetime, *, is_back: bool) -> datetime | None:
    try:
        found: datetime | None = next(CronSim(_plain(line), at, reverse=is_back), None)
    except CronSimError as error:
        raise ValueError(str(error)) from error
    return found


def cron_fault(line: str) -> str | None:
    """What is wrong with a cron line, None if nothing is."""
    fields = _plain(line).split()
    if len(fields) != _FIELDS:
        many = f"{len(fields)} {'field' if len(fields) == 1 else 'fields'}"
        return f"{line!r} has {many}; cron has five: minute hour day month weekday"
    wrong = _wrong(fields)
    if wrong == "day-of-month" and not _wrong([*fields[:3], "*", fields[4]]):  # it is a day, but of no such month
        return f"{line!r} never comes"
    return f"the {wrong} of {line!r} is not one that cron takes" if wrong else None


def _wrong(fields: list[str]) -> str:
    """The name of the field that cron does not take; empty where it takes them all."""
    try:
        CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return str(error).removeprefix("Bad ")
    return ""
