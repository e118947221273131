"""Which renewal day is believed: tables of single lists, and of lists that follow each other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from conftest import T0
from made_up import entry, listing

from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.renewal_day import Moment
from renewal_watch.model.tracking import Doubt, Known

H = timedelta(hours=1)
D = timedelta(days=1)
TODAY = T0.toordinal()


def number(**changes: Any) -> PhoneNumber:
    return next(iter(listing(entry(**changes)).entries.values())).parsed


def said(countdown: object, stated: int | None, now: datetime = T0, **changes: Any) -> PhoneNumber:
    """A list's word at ``now``; ``stated`` counts the days from T0."""
    on = None if stated is None else (T0.date() + stated * D).isoformat()
    del now
    return number(days_until_monthly_renewal=countdown, renewal_date=on, **changes)


class Told:
    """The lists of one number, one after the other; times in days after T0, days as days after T0."""

    def __init__(self) -> None:
        self.known: Known | None = None
        self.shown: PhoneNumber | None = None
        self.read_s = int(T0.timestamp())

    def list(self, days: float, countdown: object, stated: int | None, **changes: Any) -> tuple[int | None, int | None]:
        """The day that is believed, and the days left."""
        now = T0 + days * D
        one = said(countdown, stated, **changes)
        at = Moment(now, self.read_s, now.toordinal(), "UTC")
        on, doubt = renewal_day.believe(one, self.shown or one, self.known, at)
        zero = None if one.countdown is None else renewal_day.zero_of(one.countdown, at.now_s, 0)
        self.known = Known(1, "a", "+1", b"", zero, on, auto_renewal=False, is_sandbox=False, doubt=doubt)
        self.shown, self.read_s = one, at.now_s
        left = renewal_day.days_left(one, self.known, at.on_day, at.now_s)
        return None if on is None else on - TODAY, left

    @property
    def doubt(self) -> Doubt | None:
        assert self.known is not None
        return self.known.doubt


@pytest.mark.parametrize(
    ("countdown", "stated", "left", "renews"),
    [
        # one list alone, at noon; days are counted from it
        (10, 10, 10, 10),
        (10, 11, 10, 11),  # a day apart: the date names the day, the earlier one counts
        (10, 9, 9, 9),
        (10, 12, 10, 10),  # more than a day apart: the earlier one
        (10, 7, 7, 7),
        (10, None, 10, 10),
        (None, 10, 10, 10),
        (None, -2, -2, -2),
        (None, None, None, None),
        (0, 0, 0, 0),
        (0, 1, 1, 1),  # "today" is said today
        (1, 0, 0, 0),
        (-1, 0, 0, 0),  # on the renewal day nothing is overdue
        (0, -1, 0, -1),  # nor on that of a provider whose day turns later
        (0, -2, -2, -2),
        (0, None, 0, 0),
        (0, 30, 0, 0),
        (-3, -3, -3, -3),
        (-3, None, -3, -3),
        (-3, 30, -3, -3),
        (20, -1, -1, -1),
        (20, -2, 20, 20),  # a date long past may be that of the last renewal
        ("7", 7, 7, 7),
        ("+7", None, 7, 7),
        ("", 7, 7, 7),
        (7.9, 7, 7, 7),
        (3.87, 4, 4, 4),  # noon and 3.87 days: the morning of the fourth day
        (0.5, 1, 1, 1),
        (0.5, None, 1, 1),
        (0.3, None, 0, 0),
        ("0.3", None, 0, 0),
        (-0.4, 0, 0, 0),
        (-0.9, None, 0, 0),  # not overdue before a whole day has passed
        (-1.4, -1, -1, -1),
    ],
)
def test_the_day_that_one_list_alone_says(
    countdown: object, stated: int | None, left: int | None, renews: int | None
) -> None:
    assert Told().list(0, countdown, stated) == (renews, left)


@pytest.mark.parametrize(
    "story",
    [
        # (days after T0, countdown, date) -> (day believed, days left)
        [  # an answer that stays the same for two weeks
            ((0, 9, 3), (3, 3)),
            ((1, 9, 3), (3, 2)),
            ((3, 9, 3), (3, 0)),
            ((4, 9, 3), (3, -1)),
            ((13, 9, 3), (3, -10)),
        ],
        [((0, 9, 3), (3, 3)), ((9, 9, 3), (3, -6))],  # … and for nine days without a list
        [((0, 5, 6), (6, 5)), ((2, 5, 6), (6, 4)), ((3, 5, 6), (6, 3)), ((7, 5, 6), (6, -1))],
        [
            ((0, 5, 20), (5, 5)),
            ((1, 5, 20), (5, 4)),
            ((2, 5, 20), (20, 18)),
            ((9, 5, 20), (20, 11)),
        ],  # one that never moved
        [((0, 6, 20), (6, 6)), ((1, 5, 20), (6, 5)), ((3, 5, 20), (6, 3)), ((7, 5, 20), (6, -1))],  # one that did, once
        [((0, 20, 8), (8, 8)), ((9, 20, 8), (8, -1)), ((15, 20, 8), (8, -7))],
        [((0, 20, None), (20, 20)), ((1, 20, None), (20, 19)), ((5, 20, None), (20, 15)), ((21, 20, None), (20, -1))],
        [
            ((0, 20, None), (20, 20)),
            ((5, 20, None), (20, 15)),
            ((6, 9, None), (15, 9)),
        ],  # it moves again, to an earlier day
        [((0, 3, None), (3, 3)), ((1, 33, None), (34, 33))],  # renewed
        [((0, 0, 0), (0, 0)), ((1, 29, 30), (30, 29))],
        [((0, 0, None), (0, 0)), ((1, 0, None), (0, 0)), ((2, 0, None), (0, -2))],  # a counter that stops at 0
        [((0, -1, None), (-1, -1)), ((4, -1, None), (-1, -5))],
        [((0, 3, None), (3, 3)), ((1, 6, None), (7, 6))],  # put off
        [((0, 14, 3), (3, 3)), ((1, 13, 33), (14, 13))],  # only the date moved on: the earlier one, still
        [
            ((0, 0, 0), (0, 0)),
            ((0.1, 0, 30), (30, 30)),
            ((1, 0, 30), (30, 29)),
            ((1.1, 29, 30), (30, 29)),
        ],  # counted at night
        [
            ((0, 0, 0), (0, 0)),
            ((1, 30, 0), (31, 30)),
            ((2, 29, 0), (31, 29)),
            ((29, 2, 0), (31, 2)),
        ],  # a date that never moves
        [((0, 20, -5), (20, 20)), ((19, 1, -5), (20, 1)), ((21, -1, -5), (20, -1))],
        [((0, 10, None), (10, 10)), ((40, 10, None), (10, -30)), ((41, 9, None), (10, -31)), ((44, 6, None), (50, 6))],
        [((0, 10, None), (10, 10)), ((40, 2, None), (42, 2))],  # it is another number after forty days
        [((0, None, 5), (5, 5)), ((4, None, None), (5, 1)), ((6, None, 35), (35, 29))],
        [((0, 5, 5), (5, 5)), ((1, None, None), (5, 4)), ((3, None, None), (5, 2)), ((4, 31, 35), (35, 31))],
    ],
)
def test_the_day_that_lists_say_one_after_the_other(story: list[tuple[tuple[float, Any, int | None], Any]]) -> None:
    told = Told()
    for (days, countdown, stated), expected in story:
        assert told.list(days, countdown, stated) == expected, days


def test_an_answer_of_after_the_day_with_another_time_of_change_is_no_old_one() -> None:
    told = Told()
    told.list(0, 10, None)
    assert told.list(40, 10, None, updated_at="2026-12-30T00:00:00Z") == (50, 10)


def test_lists_that_contradict_themselves_are_counted_up_to_the_third() -> None:
    told = Told()
    counts = []
    for days in range(5):
        told.list(days, 20 - days, 8)
        counts.append(told.doubt and told.doubt.lists)
    assert counts == [1, 2, 3, 3, 3]
    told.list(5, 3, 8)
    assert told.doubt is None


@pytest.mark.parametrize(
    ("text", "zone", "day"),
    [
        ("2026-11-30", "Europe/Berlin", "2026-11-30"),
        ("2026-11-30T23:30:00", "Europe/Berlin", "2026-11-30"),
        ("2026-11-30T23:00:00Z", "Europe/Berlin", "2026-12-01"),
        ("2026-11-30T23:00:00 UTC", "Europe/Berlin", "2026-12-01"),
        ("2026-11-30 23:00 GMT", "Europe/Berlin", "2026-12-01"),
        ("2026-11-30T23:00:00.000000Z", "Europe/Berlin", "2026-12-01"),
        ("2026-11-30T22:59:59Z", "Europe/Berlin", "2026-11-30"),
        ("2026-11-30T23:00:00Z[UTC]", "Europe/Berlin", "2026-12-01"),
        ("2026-12-01T00:30+02:00[Africa/Cairo]", "UTC", "2026-11-30"),
        ("2026-11-30T23:00:00+00:00 (UTC)", "Europe/Berlin", "2026-12-01"),
        ("2026-12-01T00:30:00+02:00", "UTC", "2026-11-30"),
        ("2026-12-01 00:30:00+02:00", "America/Sao_Paulo", "2026-11-30"),
    ],
)
def test_an_instant_is_turned_into_the_zone_before_it_is_a_day(text: str, zone: str, day: str) -> None:
    assert number(renewal_date=text).renewal_on(zone) == date.fromisoformat(day)


def test_a_fraction_is_the_day_of_its_instant_in_the_zone() -> None:
    at = Moment(datetime(2026, 11, 30, 20, tzinfo=UTC), 0, date(2026, 11, 30).toordinal(), "Europe/Berlin")
    assert renewal_day.counted(number(days_until_monthly_renewal=0.1), at) == date(2026, 11, 30).toordinal()
    assert renewal_day.counted(number(days_until_monthly_renewal=0.2), at) == date(2026, 12, 1).toordinal()


@pytest.mark.parametrize(
    ("zone", "ends"),
    [("UTC", "2026-11-24T00:00Z"), ("Europe/Berlin", "2026-11-23T23:00Z"), ("America/Sao_Paulo", "2026-11-24T03:00Z")],
)
def test_a_day_ends_in_the_zone(zone: str, ends: str) -> None:
    assert renewal_day.end_of_day(TODAY, zone) == datetime.fromisoformat(ends)


def test_a_number_of_which_nothing_is_odd_has_no_doubt() -> None:
    told = Told()
    for hours in range(0, 24 * 10, 5):
        now = T0 + hours * H
        told.list(hours / 24, 20 - (now.date() - T0.date()).days, 20)
        assert told.doubt is None
