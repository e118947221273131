"""Calendars of digests, backups and the canary: when they fire next, and fired last. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from renewal_watch.schedule.cron import SHORTCUTS, WEEKDAYS, cron_fault, times
from renewal_watch.schedule.wall import DAY, days_of, instant, minutes_of, spelled_out

PUT_BACK = timedelta(hours=1)  # by so much two machines do not differ
_TWICE = timedelta(hours=2, minutes=1)  # no clock is put back by more (Antarctica/Troll)
_CALENDAR = re.compile(r"^(?:daily|weekly ([^0-9:]+)) ([0-9]+:[0-9]+)$")


def _cron_line(line: str) -> str:
    """The cron line that a digest's schedule stands for. Raises ValueError with a sentence."""
    plain = spelled_out(line)
    if match := _CALENDAR.match(plain):
        days = ",".join(WEEKDAYS[day] for day in days_of(match[1], line)) if match[1] else "*"
        minutes = minutes_of(match[2], line)
        if minutes == DAY:
            msg = f"'24:00' in {line!r} is not a time of day; write 00:00 to 23:59"
            raise ValueError(msg)
        return f"{minutes % 60} {minutes // 60} * * {days}"
    words = plain.split()
    if plain in SHORTCUTS or (len(words) > 2 and not words[0][0].isalpha()):  # noqa: PLR2004 (09:00 mon is no cron line)
        return line
    msg = f"{line!r} is not understood; write daily 08:00, weekly mon 08:00 or a cron line such as 0 8 * * 1"
    raise ValueError(msg)


def calendar_fault(line: str) -> str | None:
    """What is wrong with a digest's schedule, None if nothing is."""
    try:
        return cron_fault(_cron_line(line))
    except ValueError as error:
        return str(error)


def next_fire(after: datetime, line: str, zone: str) -> datetime:
    """The first instant after ``after`` at which a digest's schedule fires, in UTC.

    Raises ValueError for a line that ``calendar_fault`` refuses.
    """
    where = ZoneInfo(zone)
    fires = (instant(fire, where) for fire in times(_cron_line(line), after.astimezone(where).replace(tzinfo=None)))
    fire = next((at for at in fires if at > after), None)  # in the repeat of an hour: what it shows has fired before
    if fire is None:
        msg = f"{line!r} never comes"
        raise ValueError(msg)
    return fire


def was_put_back(last: datetime, now: datetime) -> bool:
    """Whether the clock was put back since ``last``; what is less is another process, which read it a little later."""
    return last - now > PUT_BACK


def last_fire(after: datetime, until: datetime, line: str, zone: str) -> datetime | None:
    """The latest instant in (after, until] at which a digest's schedule fires, None if there is none; in UTC.

    Raises ValueError for a line that ``calendar_fault`` refuses.
    """
    where = ZoneInfo(zone)
    wall = until.astimezone(where).replace(tzinfo=None) + _TWICE  # in the repeat of an hour later ones have fired
    fires = (instant(fire, where) for fire in times(_cron_line(line), wall, is_back=True))
    last = next((at for at in fires if at <= until), None)
    return last if last is not None and last > after else None
