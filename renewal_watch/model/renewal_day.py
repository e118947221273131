"""What a list says of a renewal day, and which day is believed. Pure.

A number shows its day by two signs, the countdown and the date; either suffices. Where they contradict each other, or what
was believed before, the day that loses nobody's number counts: the earlier one. A later day is believed when a sign moved on
to it. A countdown that stands still while the calendar moves is an old answer, and so is a sign that stayed where it was
when the other moved on after the day.

Days are ordinals (``date.toordinal``) in a zone, instants epoch seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import UNSET

from renewal_watch.model.numbers import DAY_S, PhoneNumber
from renewal_watch.model.tracking import Doubt, Known

WOBBLE_DAYS = 1  # two signs this far apart say the same: days turn at different hours in different zones
MOVED_DAYS = 7  # the shortest move of a renewal day that is a renewal; less is a postponement
LISTS_IN_DOUBT = 3  # so many lists in a row that contradict themselves are told
_STEADY_S = 3 * DAY_S  # a countdown that moved with the calendar for so long does not stand still
_UNREAD_S = 2 * DAY_S  # after a longer pause nobody saw whether a countdown stood still


def today(now: datetime, zone: str) -> int:
    """The ordinal of the calendar day of ``now`` in ``zone``."""
    return now.astimezone(ZoneInfo(zone)).toordinal()


def end_of_day(on: int, zone: str) -> datetime:
    """The instant at which a day is over in ``zone``."""
    return datetime.combine(datetime.fromordinal(on + 1), datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)


def turn_of_day(now: datetime, zone: str) -> int:
    """The second of the UTC day at which the zone's day begins: the first guess of when the provider turns its day."""
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(midnight.timestamp()) % DAY_S


def countdown_at(zero_at: int, now_s: int) -> int:
    """The countdown at ``now_s``: 0 for the day that begins at ``zero_at``, 1 for the day before it."""
    return -((now_s - zero_at) // DAY_S)


def zero_of(countdown: int, now_s: int, turn_s: int) -> int:
    """When a countdown that stands at ``countdown`` now becomes 0, if it ticks at ``turn_s`` of each UTC day."""
    return now_s - (now_s - turn_s) % DAY_S + countdown * DAY_S


def corrected_zero(countdown: int, known: Known, now_s: int, before_s: int) -> int:
    """The instant of 0 for a countdown that ticked a day earlier or later than ``known`` foretold.

    An early tick came between the poll before and this one: its middle is the best guess. A late one comes after now.
    """
    if countdown < countdown_at(known.zero_at or 0, now_s):
        tick = (max(before_s, now_s - DAY_S + 1) + now_s) // 2  # the last tick is never more than a day ago
        return tick + countdown * DAY_S
    return now_s + DAY_S // 2 + (countdown - 1) * DAY_S


def went_on(known: Known, now_s: int) -> int | None:
    """The countdown as the calendar moved it on since it was listed."""
    return None if known.zero_at is None else countdown_at(known.zero_at, now_s)


def days_left(number: PhoneNumber, known: Known, on_day: int, now_s: int) -> int | None:
    """Days until the believed day, negative after it; None without one. ``number`` is as it was listed last.

    A countdown that is one day ahead of the date counts, but for the last day: "today" is said today. One whose day turns
    later than ours still says 0 for a while: on the provider's renewal day nothing is overdue.
    """
    if known.renews_on is None:
        return None
    left, countdown = known.renews_on - on_day, went_on(known, now_s)
    if not _is_whole(number):
        return 0 if left == -1 and number.countdown == 0 else left  # no whole day has passed
    if countdown is None:
        return left
    if left == -1 and countdown == 0:
        return 0
    return countdown if left > 1 and countdown == left - 1 else left


def _is_whole(number: PhoneNumber) -> bool:
    """Whether the countdown is in whole days; a fraction says more exactly when."""
    value = number.days_until_monthly_renewal
    return value is None or value is UNSET or float(value or 0).is_integer()


class Moment(NamedTuple):
    """When a list was read: now, the complete list before it, and the calendar day in the zone that days are counted in.

    With ``is_unclear`` a day stays as it was, unless the list states an earlier one: by a wrong clock every countdown moved.
    """

    now: datetime
    before_s: int
    on_day: int
    zone: str
    is_unclear: bool = False  # two clocks disagree on what day it is

    @property
    def now_s(self) -> int:
        """Now, as an epoch second."""
        return int(self.now.timestamp())


def counted(number: PhoneNumber, at: Moment) -> int | None:
    """The day that the countdown means. A fraction is an instant: half a day before midnight is the day after."""
    whole = number.countdown
    if whole is None:
        return None
    if _is_whole(number):
        return at.on_day + whole
    length = float(number.days_until_monthly_renewal)  # type: ignore[arg-type]  # it is stated
    if length > 0:
        return max(today(at.now + timedelta(days=length), at.zone), at.on_day)
    return min(today(at.now + timedelta(days=length + 1), at.zone), at.on_day)  # over a whole day after it


def stated(number: PhoneNumber, zone: str) -> int | None:
    """The day of the date."""
    on = number.renewal_on(zone)
    return None if on is None else on.toordinal()


def plainly(number: PhoneNumber, on_day: int, zone: str = "UTC") -> int | None:
    """The day that one list alone says, of a number as it was on ``on_day``; None where it says none."""
    date, whole = stated(number, zone), number.countdown
    count = None if whole is None else on_day + whole
    return None if date is None and count is None else _earlier(date, count)


def believe(
    number: PhoneNumber, before: PhoneNumber, known: Known | None, at: Moment
) -> tuple[int | None, Doubt | None]:
    """The renewal day to go by, and what of the list is in doubt.

    ``before`` is the number as the list before said it, ``known`` what is kept of it; None for one that is new.
    """
    signs = _Signs(number, before, known, at)
    last = None if known is None else known.renews_on
    kept = (None if known is None else known.doubt) or Doubt()
    if signs.date is None and signs.count is None:
        since = kept.since if kept.is_unstated else at.now_s
        doubt = Doubt(since=since, old_date=kept.old_date, old_countdown=kept.old_countdown, is_unstated=True)
        return last, None if last is None else doubt
    if at.is_unclear and last is not None:
        date = signs.date if signs.date_moved < 0 else None
        return last if date is None else min(date, last), None if known is None else known.doubt
    counted_from = signs.counted_from(kept)
    old_date, old_countdown = signs.old(last, kept, counted_from)
    is_past = old_date is not None and old_date < at.on_day  # until then it may be the day all the same
    day = _earlier(None if is_past else signs.date, None if old_countdown is not None else signs.count)
    is_steady = not signs.disagree and at.now_s - counted_from[1] >= _STEADY_S
    is_news = signs.is_news or is_steady or (old_countdown is not None and kept.old_countdown is None)
    if is_past and last is not None and old_date is not None and last <= old_date + WOBBLE_DAYS:
        is_news = True  # the countdown had moved on, and is read after the day
    is_kept = last is not None and day > last + WOBBLE_DAYS and not is_news
    is_by_count = (
        day == signs.count and day != signs.date
    )  # which wobbles by the hour at which the provider turns its day
    if last is not None and (is_kept or (is_by_count and last <= day <= last + WOBBLE_DAYS)):
        day = last
    if not is_kept and not signs.disagree and old_countdown is None:
        return day, None
    return day, Doubt(
        lists=min(kept.lists + 1, LISTS_IN_DOUBT),
        since=kept.since if kept.lists else at.now_s,
        old_date=old_date,
        old_countdown=old_countdown,
        counted=counted_from[0],
        counted_at=counted_from[1],
    )


def _earlier(date: int | None, count: int | None) -> int:
    if date is None or count is None:
        found = count if date is None else date
        assert found is not None  # noqa: S101 (of two signs at most one is old)
        return found
    return date if abs(date - count) <= WOBBLE_DAYS else min(date, count)


class _Signs:
    """What a list says of one number's day, and what of it is other than in the list before."""

    def __init__(self, number: PhoneNumber, before: PhoneNumber, known: Known | None, at: Moment) -> None:
        self.at = at
        self.date, self.count, self.countdown = stated(number, at.zone), counted(number, at), number.countdown
        self.is_new = known is None
        date_before = stated(before, at.zone)
        shown = None if known is None or known.zero_at is None else countdown_at(known.zero_at, at.before_s)
        if date_before is None and known is not None:  # one that is stated anew moved since it was last believed
            date_before = known.renews_on
        self.date_moved = 0 if self.date is None or date_before is None else self.date - date_before
        self._is_higher = self.countdown is not None and (shown is None or self.countdown > shown)
        expected = None if known is None else went_on(known, at.now_s)
        if expected is None and known is not None and known.renews_on is not None:  # it is stated anew
            expected = known.renews_on - at.on_day
        is_ahead = self.countdown is not None and expected is not None and self.countdown - expected >= MOVED_DAYS
        self._is_same = self.countdown == shown
        self._count_moved_on = is_ahead and not self._is_same
        self._is_updated = number.updated_at != before.updated_at and at.now_s - at.before_s > _UNREAD_S

    @property
    def disagree(self) -> bool:
        """Whether countdown and date mean different days."""
        return self.date is not None and self.count is not None and abs(self.date - self.count) > WOBBLE_DAYS

    @property
    def is_news(self) -> bool:
        """Whether a sign moved to a later day; an answer that stayed as it was is none."""
        return self.date_moved > 0 or self._is_higher or self._count_moved_on or self._is_updated

    def counted_from(self, kept: Doubt) -> tuple[int | None, int]:
        """The day that the countdown meant, and since when: since it means that day or, beside a date, shows that count."""
        if kept.counted_at is not None and (kept.counted == self.count if self.date is None else self._is_same):
            return kept.counted, kept.counted_at
        return self.count, self.at.now_s

    def old(self, last: int | None, kept: Doubt, counted_from: tuple[int | None, int]) -> tuple[int | None, int | None]:
        """The date and the countdown that are old answers, each None where it is none; never both.

        Old is the sign that stays where it is while the other moves on, for as long as it stays: a date from the day after
        it on, for until then nobody knows; a countdown that is over or at its end. Old is as well a
        countdown that never moved for days since it was first seen to contradict the date. Of a number that is new nobody
        knows which one moves: a date that is over is taken for old, as it may be the last renewal.
        """
        if self.date is None or self.count is None:
            return None, None
        counted, counted_at = counted_from
        if counted is not None and self.count - counted > WOBBLE_DAYS and kept.lists and counted_at == kept.since:
            return None, self.countdown
        if kept.old_countdown is not None and kept.old_countdown == self.countdown:
            return None, self.countdown
        if not self.disagree:
            return None, None
        if kept.old_date == self.date:
            return self.date, None
        is_passed = last is None and self.date < self.at.on_day - WOBBLE_DAYS
        if self.countdown is not None and self.countdown > 0:
            is_left_behind = self._count_moved_on and self.date_moved == 0
            return (self.date, None) if is_passed or is_left_behind else (None, None)
        if self.date > self.at.on_day and self.date_moved >= MOVED_DAYS and not self._is_higher:
            return None, self.countdown
        return None, None
