"""When the next poll is due: intervals, and cron lines as cron itself reads them; when digests come and quiet hours end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from conftest import T0
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.schedule.calendar import calendar_fault, last_fire, next_fire
from renewal_watch.schedule.cron import cron_fault
from renewal_watch.schedule.poll_slots import next_poll
from renewal_watch.schedule.quiet_hours import quiet_until, window_fault

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOT_HOURS = "is not understood; write 22:00-07:00, mon-fri 12:00-13:30 or sat,sun 00:00-24:00"
TOO_LITTLE = (
    "of the week open, which a change of the clocks can skip; leave open more than three hours or times on several days"
)
NOT_CALENDAR = "is not understood; write daily 08:00, weekly mon 08:00 or a cron line such as 0 8 * * 1"
ZONES = [
    "UTC",
    "Pacific/Kiritimati",  # +14:00
    "Pacific/Pago_Pago",  # -11:00
    "America/St_Johns",  # -03:30 and -02:30
    "America/New_York",
    "America/Santiago",  # its clock changes at midnight
    "Europe/Berlin",
    "Africa/Casablanca",  # back for Ramadan, twice a year
    "Antarctica/Troll",  # two hours of summer time
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # half an hour of summer time
]


def polls(cron: str | None, after: str, count: int, zone: str = "UTC", every: timedelta = HOUR) -> list[str]:
    """The next polls after ``after`` (UTC), as ``Mon 11-23 12:00`` in UTC."""
    at = datetime.fromisoformat(after).replace(tzinfo=UTC)
    said = []
    for _ in range(count):
        at = next_poll(at, every=every, cron=cron, zone=zone)
        assert at.tzinfo is UTC
        said.append(f"{at:%a %m-%d %H:%M}")
    return said


@pytest.mark.parametrize("every", [timedelta(minutes=1), HOUR, timedelta(days=2)])
def test_an_interval_counts_from_the_poll_before(every: timedelta) -> None:
    assert next_poll(T0, every=every, cron=None, zone="UTC") == T0 + every


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # 2026-11-01 is a Sunday
        ("0 * * * *", ["Sun 11-01 01:00", "Sun 11-01 02:00", "Sun 11-01 03:00"]),
        ("@hourly", ["Sun 11-01 01:00", "Sun 11-01 02:00", "Sun 11-01 03:00"]),
        ("@daily", ["Mon 11-02 00:00", "Tue 11-03 00:00", "Wed 11-04 00:00"]),
        ("@weekly", ["Sun 11-08 00:00", "Sun 11-15 00:00", "Sun 11-22 00:00"]),
        ("@monthly", ["Tue 12-01 00:00", "Fri 01-01 00:00", "Mon 02-01 00:00"]),
        ("*/20 9 * * *", ["Sun 11-01 09:00", "Sun 11-01 09:20", "Sun 11-01 09:40"]),
        ("10/25 9 * * *", ["Sun 11-01 09:10", "Sun 11-01 09:35", "Mon 11-02 09:10"]),
        ("0 8-10/2,12 * * *", ["Sun 11-01 08:00", "Sun 11-01 10:00", "Sun 11-01 12:00"]),
        # weekdays: 0 and 7 are Sunday, 1 is Monday
        ("0 9 * * 0", ["Sun 11-01 09:00", "Sun 11-08 09:00", "Sun 11-15 09:00"]),
        ("0 9 * * 7", ["Sun 11-01 09:00", "Sun 11-08 09:00", "Sun 11-15 09:00"]),
        ("0 9 * * 1", ["Mon 11-02 09:00", "Mon 11-09 09:00", "Mon 11-16 09:00"]),
        ("0 9 * * mon", ["Mon 11-02 09:00", "Mon 11-09 09:00", "Mon 11-16 09:00"]),
        ("0 9 * * MON,Wed", ["Mon 11-02 09:00", "Wed 11-04 09:00", "Mon 11-09 09:00"]),
        ("0 9 * * 1-5", ["Mon 11-02 09:00", "Tue 11-03 09:00", "Wed 11-04 09:00"]),
        ("0 9 * * 5-7", ["Sun 11-01 09:00", "Fri 11-06 09:00", "Sat 11-07 09:00"]),
        ("0 9 * * */2", ["Sun 11-01 09:00", "Tue 11-03 09:00", "Thu 11-05 09:00"]),
        ("0 9 * dec,jan *", ["Tue 12-01 09:00", "Wed 12-02 09:00", "Thu 12-03 09:00"]),
        # day and weekday both restricted: either will do
        ("0 9 10 * 1", ["Mon 11-02 09:00", "Mon 11-09 09:00", "Tue 11-10 09:00"]),
        ("0 9 13 * 5", ["Fri 11-06 09:00", "Fri 11-13 09:00", "Fri 11-20 09:00"]),
        # a day that starts with a star is no restriction: both must match
        ("0 9 L * *", ["Mon 11-30 09:00", "Thu 12-31 09:00", "Sun 01-31 09:00"]),  # as cronsim reads it: the last day
        ("0 9 */10 * 1", ["Mon 12-21 09:00", "Mon 01-11 09:00", "Mon 02-01 09:00"]),
        ("0 0 29 2 *", ["Tue 02-29 00:00", "Sun 02-29 00:00", "Fri 02-29 00:00"]),
        ("0 0 31 2,3 *", ["Wed 03-31 00:00", "Fri 03-31 00:00", "Sat 03-31 00:00"]),
    ],
)  # fmt: skip
def test_a_cron_line_means_what_it_means_to_cron(cron: str, expected: list[str]) -> None:
    assert polls(cron, "2026-11-01T00:00:00", 3) == expected
    assert cron_fault(cron) is None


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        # Berlin goes forward on 2027-03-28 at 01:00 UTC and back on 2026-10-25 at 01:00 UTC
        ("0 * * * *", "Europe/Berlin", "2027-03-27T23:30", ["00:00", "01:00", "02:00", "03:00"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-24T23:30", ["00:00", "01:00", "02:00", "03:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00", ["00:30", "01:00", "01:30", "02:00"]),
        # half an hour of summer time
        ("*/15 * * * *", "Australia/Lord_Howe", "2027-04-03T14:30", ["14:45", "15:00", "15:15", "15:30"]),
        # half past two does not exist on one day and comes twice on the other
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2027-03-27T00:30",
            ["01:30", "01:00", "00:30", "00:30"],
        ),  # right after the hour that is left out
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T00:30", ["00:30", "01:30", "01:30", "01:30"]),
        ("0 9 * * *", "Europe/Berlin", "2027-03-27T00:00", ["08:00", "07:00", "07:00", "07:00"]),
        ("0 9 * * *", "America/Los_Angeles", "2026-10-31T00:00", ["16:00", "17:00", "17:00", "17:00"]),
        ("0 0 * * *", "Pacific/Kiritimati", "2026-11-23T09:00", ["10:00", "10:00", "10:00", "10:00"]),
    ],
)
def test_a_cron_line_is_read_in_the_configured_zone_also_when_its_clock_changes(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert [said[-5:] for said in polls(cron, after, 4, zone)] == expected


@pytest.mark.parametrize(
    "line", ["30 2 * * *", "55 2 * * *", "0,30 1-5 * * *", "*/20 * * * *", "5 */2 * * *", "* 2 * * sun"]
)
@pytest.mark.parametrize(
    ("zone", "changes"), [("Europe/Berlin", ["2026-10-25", "2027-03-28"]), ("Australia/Lord_Howe", ["2027-04-04"])]
)
def test_the_next_poll_comes_after_the_last_one_also_in_an_hour_that_comes_twice(
    line: str, zone: str, changes: list[str]
) -> None:
    """Else it would be due at once, and again, for as long as the hour lasts."""
    for day in changes:
        start = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=12)
        found = [
            next_poll(start + step * timedelta(minutes=1), every=HOUR, cron=line, zone=zone) for step in range(24 * 60)
        ]
        for step, at in enumerate(found):
            assert at > start + step * timedelta(minutes=1)
        if zone != "Australia/Lord_Howe":  # cronsim 2.8 leaves times out where a clock is put back by half an hour
            assert found == sorted(found), "the later one looks, the later it comes"


def test_the_next_poll_is_never_the_instant_itself() -> None:
    noon = next_poll(T0 - timedelta(seconds=1), every=HOUR, cron="0 12 * * *", zone="UTC")
    assert noon == T0
    assert next_poll(noon, every=HOUR, cron="0 12 * * *", zone="UTC") == T0 + timedelta(days=1)
    late = T0 + timedelta(microseconds=1)
    assert next_poll(late, every=HOUR, cron="0 12 * * *", zone="UTC") == T0 + timedelta(days=1)


@pytest.mark.parametrize(
    ("cron", "fault"),
    [
        ("* * * *", "'* * * *' has 4 fields; cron has five: minute hour day month weekday"),
        ("0 * * * * *", "'0 * * * * *' has 6 fields; cron has five: minute hour day month weekday"),
        ("", "'' has 0 fields; cron has five: minute hour day month weekday"),
        ("@reboot", "'@reboot' has 1 field; cron has five: minute hour day month weekday"),
        ("60 * * * *", "the minute of '60 * * * *' is not one that cron takes"),
        ("* 24 * * *", "the hour of '* 24 * * *' is not one that cron takes"),
        ("* * 0 * *", "the day-of-month of '* * 0 * *' is not one that cron takes"),
        ("* * * 13 *", "the month of '* * * 13 *' is not one that cron takes"),
        ("* * * * 8", "the day-of-week of '* * * * 8' is not one that cron takes"),
        ("30-10 * * * *", "the minute of '30-10 * * * *' is not one that cron takes"),
        ("* * * * fri-sun", "the day-of-week of '* * * * fri-sun' is not one that cron takes"),
        ("*/0 * * * *", "the minute of '*/0 * * * *' is not one that cron takes"),
        ("0,, * * * *", "the minute of '0,, * * * *' is not one that cron takes"),
        ("-5 * * * *", "the minute of '-5 * * * *' is not one that cron takes"),
        ("* * X * *", "the day-of-month of '* * X * *' is not one that cron takes"),
        ("* * * * mon#9", "the day-of-week of '* * * * mon#9' is not one that cron takes"),
        ("* * * * jan", "the day-of-week of '* * * * jan' is not one that cron takes"),
        ("² * * * *", "the minute of '² * * * *' is not one that cron takes"),
        ("0 0 30 2 *", "'0 0 30 2 *' never comes"),
        ("0 0 */30 2 mon#5", "'0 0 */30 2 mon#5' never comes"),
        (
            "0 0 */" + "9" * 5000 + " * *",
            "the day-of-month of '0 0 */" + "9" * 5000 + " * *' is not one that cron takes",
        ),
        ("0 0 31 2,4,jun *", "'0 0 31 2,4,jun *' never comes"),
    ],
)
def test_a_wrong_cron_line_is_refused_with_what_is_wrong(cron: str, fault: str) -> None:
    assert cron_fault(cron) == fault


def test_a_day_that_never_comes_with_a_weekday_that_does_comes_on_the_weekday() -> None:
    assert cron_fault("0 0 30 2 1") is None
    assert polls("0 0 30 2 1", "2026-11-23T00:00", 2) == ["Mon 02-01 00:00", "Mon 02-08 00:00"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def instants() -> st.SearchStrategy[datetime]:
    """Any instant of some years, and often one near a change of the clocks of a zone in the tables."""
    changes = [
        "2026-10-25T01:00", "2027-03-28T01:00",  # Berlin, Troll
        "2026-11-01T06:00", "2027-03-14T07:00",  # New York
        "2026-10-03T15:30", "2027-04-03T15:00",  # Lord Howe
        "2026-04-05T03:00", "2026-09-06T04:00",  # Santiago
        "2026-02-15T02:00", "2026-03-22T02:00",  # Casablanca
    ]  # fmt: skip
    near = st.builds(
        lambda change, minutes, rest: utc(change) + minutes * MINUTE + rest,
        st.sampled_from(changes),
        st.integers(-3 * 24 * 60, 24 * 60),
        st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(seconds=59, microseconds=999_999)]),
    )
    return near | st.datetimes(datetime(2015, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))


def times() -> st.SearchStrategy[str]:
    """Times of day, mostly those at which clocks change."""
    often = ["00:00", "00:30", "01:00", "01:30", "01:45", "02:00", "02:15", "02:30", "03:00", "03:30"]
    return st.sampled_from(often) | st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))


def days() -> st.SearchStrategy[str]:
    names = st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
    return st.lists(names | st.builds("{}-{}".format, names, names), min_size=1, max_size=3).map(",".join)


WINDOWS = st.lists(
    st.builds(
        lambda on, start, end: f"{on} {start}-{end}".strip(),
        days() | st.just(""),
        times(),
        times() | st.just("24:00"),
    ),
    max_size=4,
).filter(lambda windows: window_fault(windows) is None)
CRONS = st.sampled_from(
    ["@hourly", "@monthly", "*/7 * * * *", "30 */2 * * *", "* 2 * * sun", "0 9 13 * 5", "59 1 29 2 *", "0 0 31 * *"]
)
LINES = st.builds("daily {}".format, times()) | st.builds("weekly {} {}".format, days(), times()) | CRONS


def quiet(windows: list[str], zone: str, since: str, hours: int = 24) -> list[str]:
    """The quiet stretches within some hours, as ``11:30-13:00`` in UTC; one that reaches over the edge has no edge there."""
    first = utc(since)
    assert window_fault(windows) is None
    looks = [first + 5 * MINUTE * step for step in range(hours * 12)]
    said, start = [], ""
    for at in looks:
        until = quiet_until(at, windows, zone)
        if until is None:
            assert not start, f"the quiet stopped at {at} without having said so"
            continue
        assert until.tzinfo is UTC
        start = start or ("" if at == first else f"{at:%H:%M}") + "-"
        if until - at <= 5 * MINUTE:
            said.append(start + f"{until:%H:%M}")
            start = ""
    return [*said, start] if start else said


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        # from Monday, 2026-11-23
        ([], []),
        (["22:00-07:00"], ["-07:00", "22:00-"]),
        (["12:00-13:30"], ["12:00-13:30"]),
        (["22:00-24:00"], ["22:00-00:00"]),
        (["22:00-00:00"], ["22:00-00:00"]),
        (["22:00-24:00", "00:00-07:00"], ["-07:00", "22:00-"]),
        (["mon 22:00-07:00"], ["22:00-"]),
        (["sun 22:00-07:00"], ["-07:00"]),
        (["tue-sat 22:00-07:00"], []),
        (["fri-mon 12:00-13:00"], ["12:00-13:00"]),
        (["tue-sun 12:00-13:00"], []),
        (["mon-mon 12:00-13:00"], ["12:00-13:00"]),
        (["sat,sun 00:00-24:00"], []),
        (["sat,sun,mon 00:00-24:00"], ["-00:00"]),
        (["sun,wed-thu,mon 9:00-9:30"], ["09:00-09:30"]),
        ([" MON , thu  22:00 - 23:00 "], ["22:00-23:00"]),
        (["12:00-13:00", "13:00-14:00", "13:30-15:00", "16:00-17:00"], ["12:00-15:00", "16:00-17:00"]),
        (["12:00-18:00", "mon 13:00-14:00"], ["12:00-18:00"]),
    ],
)
def test_quiet_hours_are_windows_of_the_week(windows: list[str], expected: list[str]) -> None:
    assert quiet(windows, "UTC", "2026-11-23T00:00") == expected


def test_quiet_hours_that_touch_are_one_quiet_time() -> None:
    windows = ["fri 18:00-24:00", "sat,sun 00:00-24:00", "22:00-07:00"]
    friday, monday = utc("2026-11-27T18:00"), utc("2026-11-30T07:00")
    assert quiet_until(friday - timedelta(microseconds=1), windows, "UTC") is None
    assert quiet_until(friday, windows, "UTC") == monday
    assert quiet_until(monday - timedelta(microseconds=1), windows, "UTC") == monday
    assert quiet_until(monday, windows, "UTC") is None


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        # a weekday is the one on the wall: the 23rd is a Monday
        ("Pacific/Kiritimati", ("2026-11-22T10:00", "2026-11-22T19:00")),
        ("Asia/Kathmandu", ("2026-11-22T18:15", "2026-11-23T03:15")),
        ("Europe/Berlin", ("2026-11-22T23:00", "2026-11-23T08:00")),
        ("UTC", ("2026-11-23T00:00", "2026-11-23T09:00")),
        ("America/St_Johns", ("2026-11-23T03:30", "2026-11-23T12:30")),
        ("Pacific/Pago_Pago", ("2026-11-23T11:00", "2026-11-23T20:00")),
    ],
)
def test_quiet_hours_are_those_of_the_zone(zone: str, expected: tuple[str, str]) -> None:
    start, end = map(utc, expected)
    assert quiet_until(start - timedelta(microseconds=1), ["mon 00:00-09:00"], zone) is None
    assert quiet_until(start, ["mon 00:00-09:00"], zone) == end
    assert quiet_until(end, ["mon 00:00-09:00"], zone) is None


@pytest.mark.parametrize(
    ("zone", "since", "windows", "expected"),
    [
        # Berlin, Sunday 2027-03-28: 01:59 CET is followed by 03:00 CEST, at 01:00 UTC
        ("Europe/Berlin", "2027-03-27T18:00", ["22:00-07:00"], ["21:00-05:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["01:00-02:30"], ["00:00-01:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["01:00-02:00"], ["00:00-01:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["01:00-03:00"], ["00:00-01:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["02:30-04:00"], ["01:00-02:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["02:15-02:45"], []),
        ("Europe/Berlin", "2027-03-27T23:00", ["02:00-03:00"], []),
        ("Europe/Berlin", "2027-03-27T23:00", ["01:00-02:15", "02:45-04:00"], ["00:00-02:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["sat 22:00-02:30"], ["-01:00"]),
        ("Europe/Berlin", "2027-03-27T23:00", ["sun 22:00-02:30"], ["20:00-"]),
        # Berlin, Sunday 2026-10-25: 02:59 CEST is followed by 02:00 CET, at 01:00 UTC
        ("Europe/Berlin", "2026-10-24T18:00", ["22:00-07:00"], ["20:00-06:00"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["01:00-02:00"], ["23:00-00:00"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["01:00-02:30"], ["23:00-00:30"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["01:00-03:00"], ["23:00-02:00"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["02:00-03:00"], ["00:00-02:00"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["02:15-02:45"], ["00:15-00:45"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["02:30-04:00"], ["00:30-03:00"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["03:00-04:00"], ["02:00-03:00"]),
        ("Europe/Berlin", "2026-10-24T22:00", ["01:00-02:15", "02:45-04:00"], ["23:00-00:15", "00:45-03:00"]),
        # New York, Sunday 2027-03-14: 01:59 EST, 03:00 EDT, at 07:00 UTC
        ("America/New_York", "2027-03-14T00:00", ["22:00-07:00"], ["03:00-11:00"]),
        ("America/New_York", "2027-03-14T05:00", ["01:00-02:30"], ["06:00-07:00"]),
        ("America/New_York", "2027-03-14T05:00", ["02:30-04:00"], ["07:00-08:00"]),
        ("America/New_York", "2027-03-14T05:00", ["02:00-02:59"], []),
        # New York, Sunday 2026-11-01: 01:59 EDT, 01:00 EST, at 06:00 UTC
        ("America/New_York", "2026-11-01T00:00", ["22:00-07:00"], ["02:00-12:00"]),
        ("America/New_York", "2026-11-01T04:00", ["00:00-01:30"], ["-05:30"]),
        ("America/New_York", "2026-11-01T04:00", ["01:30-02:30"], ["05:30-07:30"]),
        ("America/New_York", "2026-11-01T04:00", ["01:15-01:45"], ["05:15-05:45"]),
        # Lord Howe, Sunday 2026-10-04: 01:59 is followed by 02:30, at 15:30 UTC of the Saturday
        ("Australia/Lord_Howe", "2026-10-03T08:00", ["22:00-07:00"], ["11:30-20:00"]),
        ("Australia/Lord_Howe", "2026-10-03T14:00", ["01:00-02:15"], ["14:30-15:30"]),
        ("Australia/Lord_Howe", "2026-10-03T14:00", ["02:15-03:00"], ["15:30-16:00"]),
        ("Australia/Lord_Howe", "2026-10-03T14:00", ["02:10-02:20"], []),
        # Lord Howe, Sunday 2027-04-04: 01:59 is followed by 01:30, at 15:00 UTC of the Saturday
        ("Australia/Lord_Howe", "2027-04-03T08:00", ["22:00-07:00"], ["11:00-20:30"]),
        ("Australia/Lord_Howe", "2027-04-03T13:00", ["00:00-01:45"], ["-14:45"]),
        ("Australia/Lord_Howe", "2027-04-03T13:00", ["01:45-02:00"], ["14:45-15:30"]),
        ("Australia/Lord_Howe", "2027-04-03T13:00", ["01:30-01:45"], ["14:30-14:45"]),
        # Santiago, Sunday 2026-09-06: 23:59 is followed by 01:00, at 04:00 UTC
        ("America/Santiago", "2026-09-05T20:00", ["sat 22:00-24:00"], ["02:00-04:00"]),
        ("America/Santiago", "2026-09-05T20:00", ["sun 00:00-02:00"], ["04:00-05:00"]),
        # Santiago, Saturday 2026-04-04: 23:59 is followed by 23:00, at 03:00 UTC of the Sunday
        ("America/Santiago", "2026-04-04T20:00", ["sat 22:00-24:00"], ["01:00-04:00"]),
        ("America/Santiago", "2026-04-04T20:00", ["sun 00:00-02:00"], ["04:00-06:00"]),
    ],
)  # fmt: skip
def test_quiet_hours_begin_and_end_once_when_the_clock_changes(
    zone: str, since: str, windows: list[str], expected: list[str]
) -> None:
    assert quiet(windows, zone, since, hours=22) == expected


def test_quiet_hours_on_a_day_that_a_zone_skips_are_those_that_reach_beyond_it() -> None:
    # in Apia, Thursday 2011-12-29 was followed by Saturday the 31st, at 10:00 UTC of the 30th
    assert quiet_until(utc("2011-12-30T09:59"), ["thu 22:00-07:00"], "Pacific/Apia") == utc("2011-12-30T10:00")
    assert quiet_until(utc("2011-12-30T10:00"), ["fri 00:00-24:00"], "Pacific/Apia") is None
    assert quiet_until(utc("2011-12-30T10:00"), ["fri 22:00-07:00"], "Pacific/Apia") == utc("2011-12-30T17:00")


@pytest.mark.parametrize(
    ("windows", "fault"),
    [
        ([""], f"'' {NOT_HOURS}"),
        (["22-07"], f"'22-07' {NOT_HOURS}"),
        (["10pm-7am"], f"'10pm-7am' {NOT_HOURS}"),
        (["sat"], f"'sat' {NOT_HOURS}"),
        (["٢٢:00-07:00"], f"'٢٢:00-07:00' {NOT_HOURS}"),
        (["25:00-07:00"], "'25:00' in '25:00-07:00' is not a time of day; write 00:00 to 23:59"),
        (["22:00-07:60"], "'07:60' in '22:00-07:60' is not a time of day; write 00:00 to 23:59"),
        (["22:00-24:01"], "'24:01' in '22:00-24:01' is not a time of day; write 00:00 to 23:59"),
        (["22:00-7:0"], "'7:0' in '22:00-7:0' is not a time of day; write 00:00 to 23:59"),
        (["22:00-007:00"], "'007:00' in '22:00-007:00' is not a time of day; write 00:00 to 23:59"),
        (["saturday 00:00-24:00"], "'saturday' in 'saturday 00:00-24:00' is not a weekday; write mon, mon,thu or mon-fri"),
        (["sat sun 00:00-24:00"], "'sat sun' in 'sat sun 00:00-24:00' is not a weekday; write mon, mon,thu or mon-fri"),
        (["sat, 00:00-24:00"], f"'sat, 00:00-24:00' {NOT_HOURS}"),
        (["sat,,sun 00:00-24:00"], "'' in 'sat,,sun 00:00-24:00' is not a weekday; write mon, mon,thu or mon-fri"),
        (["mon-wed-fri 9:00-10:00"], "'mon-wed-fri' in 'mon-wed-fri 9:00-10:00' is not a weekday; write mon, mon,thu or mon-fri"),
        (["daily 9:00-10:00"], "'daily' in 'daily 9:00-10:00' is not a weekday; write mon, mon,thu or mon-fri"),
        (["24:00-07:00"], "'24:00-07:00' starts at 24:00, which is only an end; write 00:00"),
        (["24:00-24:00"], "'24:00-24:00' starts at 24:00, which is only an end; write 00:00"),
        (["22:00-22:00"], "'22:00-22:00' starts when it ends; write 00:00-24:00 for a whole day"),
        (["00:00-0:00"], "'00:00-0:00' starts when it ends; write 00:00-24:00 for a whole day"),
        (["22:00-07:00", "x"], f"'x' {NOT_HOURS}"),
        (["00:00-24:00"], "the quiet hours never end"),
        (["07:00-22:00", "22:00-07:00"], "the quiet hours never end"),
        (["mon-fri 00:00-24:00", "fri,sat 12:00-06:00", "sat-sun 05:00-24:00"], "the quiet hours never end"),
        # open only once a week: 02:00-02:01 on a Sunday, and all that is open must not vanish when the clock goes forward
        (
            ["mon-sat 00:00-24:00", "sun 00:00-02:00", "sun 02:01-24:00"],
            f"the quiet hours leave only 1 minute {TOO_LITTLE}",
        ),
        (
            ["mon-sat 00:00-24:00", "sun 00:00-01:00", "sun 04:00-24:00"],
            f"the quiet hours leave only 180 minutes {TOO_LITTLE}",
        ),
        (
            ["sun-fri 01:00-22:59", "sun-thu 22:59-01:00", "sat 01:00-24:00", "sun 00:00-01:00", "fri 23:00-23:30"],
            f"the quiet hours leave only 91 minutes {TOO_LITTLE}",
        ),
    ],
)  # fmt: skip
def test_wrong_quiet_hours_are_refused_with_what_is_wrong(windows: list[str], fault: str) -> None:
    assert window_fault(windows) == fault


@pytest.mark.parametrize(
    "windows",
    [
        [],
        ["sat,sun 00:00-24:00", "mon-fri 18:00-09:00"],
        ["09:10-09:00"],  # ten minutes a day
        ["mon-sat 00:00-24:00", "sun 00:00-01:00", "sun 04:01-24:00"],  # three hours and a minute a week
        ["mon-tue,thu-sat 00:00-24:00", "wed 02:31-02:30", "sun 02:31-02:30", "thu,mon 00:00-03:00"],
    ],
)
def test_quiet_hours_that_leave_some_time_open_are_accepted(windows: list[str]) -> None:
    assert window_fault(windows) is None


@pytest.mark.parametrize(
    ("windows", "fault"), [(["00:00-24:00"], "the quiet hours never end"), (["22:00"], "'22:00' is not understood; .*")]
)
def test_quiet_hours_that_were_not_checked_raise_what_is_wrong(windows: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        quiet_until(T0, windows, "Europe/Berlin")


@few(60)
@example(utc("2027-03-21T00:00"), ["mon-sat 00:00-24:00", "sun 04:00-00:59"], "Europe/Berlin", 0.5)
@given(instants(), WINDOWS, st.sampled_from(ZONES), st.floats(0, 1, exclude_max=True))
def test_quiet_time_ends_once_and_for_all_within_it(now: datetime, windows: list[str], zone: str, part: float) -> None:
    end = quiet_until(now, windows, zone)
    if end is None:
        return
    assert now < end <= now + 8 * DAY
    assert quiet_until(end, windows, zone) is None
    for within in (now + (end - now) * part, end - timedelta(microseconds=1)):
        assert quiet_until(min(within, end - timedelta(microseconds=1)), windows, zone) == end


def lies_in(window: str, wall: datetime) -> bool:
    """Whether a wall time lies in a window; said again, in another way, for days without a change of the clocks."""
    on, hours = window.split() if " " in window else ("mon-sun", window)
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    begins: set[str] = set()
    for item in on.split(","):
        first, last = week.index(item[:3]), week.index(item[-3:])
        begins.update(week[first : last + 1] if first <= last else week[first:] + week[: last + 1])
    start, end = hours.split("-")
    today, yesterday, now = week[wall.weekday()], week[wall.weekday() - 1], f"{wall:%H:%M}"
    if start < end:
        return today in begins and start <= now < end
    return (today in begins and now >= start) or (yesterday in begins and now < end)


@few(60)
@given(instants(), WINDOWS, st.sampled_from(ZONES))
def test_it_is_quiet_if_and_only_if_the_wall_clock_is_in_a_window(now: datetime, windows: list[str], zone: str) -> None:
    wall = now.astimezone(ZoneInfo(zone))
    assume(len({(now + day * DAY).astimezone(ZoneInfo(zone)).utcoffset() for day in (-2, -1, 0, 1)}) == 1)
    assert (quiet_until(now, windows, zone) is not None) == any(lies_in(window, wall) for window in windows)


def fires(line: str, after: str, count: int, zone: str = "UTC") -> list[str]:
    """The next fires after ``after`` (UTC), as ``Mon 11-23 12:00`` in UTC."""
    at = utc(after)
    said = []
    for _ in range(count):
        at = next_fire(at, line, zone)
        assert at.tzinfo is UTC
        said.append(f"{at:%a %m-%d %H:%M}")
    return said


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # 2026-11-01 is a Sunday
        ("daily 08:00", ["Sun 11-01 08:00", "Mon 11-02 08:00", "Tue 11-03 08:00"]),
        ("daily 00:00", ["Mon 11-02 00:00", "Tue 11-03 00:00", "Wed 11-04 00:00"]),
        ("Daily  8:05 ", ["Sun 11-01 08:05", "Mon 11-02 08:05", "Tue 11-03 08:05"]),
        ("weekly mon 08:00", ["Mon 11-02 08:00", "Mon 11-09 08:00", "Mon 11-16 08:00"]),
        ("weekly sun 00:00", ["Sun 11-08 00:00", "Sun 11-15 00:00", "Sun 11-22 00:00"]),
        ("weekly mon,thu 23:59", ["Mon 11-02 23:59", "Thu 11-05 23:59", "Mon 11-09 23:59"]),
        ("weekly Mon, Thu 08:00", ["Mon 11-02 08:00", "Thu 11-05 08:00", "Mon 11-09 08:00"]),
        ("weekly fri-mon 08:00", ["Sun 11-01 08:00", "Mon 11-02 08:00", "Fri 11-06 08:00"]),
        ("0 8 * * 1", ["Mon 11-02 08:00", "Mon 11-09 08:00", "Mon 11-16 08:00"]),
        ("*/20 9 * * *", ["Sun 11-01 09:00", "Sun 11-01 09:20", "Sun 11-01 09:40"]),
        ("0 9 13 * 5", ["Fri 11-06 09:00", "Fri 11-13 09:00", "Fri 11-20 09:00"]),
        ("@daily", ["Mon 11-02 00:00", "Tue 11-03 00:00", "Wed 11-04 00:00"]),
        ("@Monthly", ["Tue 12-01 00:00", "Fri 01-01 00:00", "Mon 02-01 00:00"]),
    ],
)
def test_a_digest_comes_daily_weekly_or_by_a_cron_line(line: str, expected: list[str]) -> None:
    assert fires(line, "2026-11-01T00:00", 3) == expected
    assert calendar_fault(line) is None


@pytest.mark.parametrize(
    ("line", "zone", "after", "expected"),
    [
        ("weekly mon 08:00", "Pacific/Kiritimati", "2026-11-22T00:00", ["Sun 11-22 18:00", "Sun 11-29 18:00"]),
        ("weekly mon 08:00", "Asia/Kathmandu", "2026-11-22T00:00", ["Mon 11-23 02:15", "Mon 11-30 02:15"]),
        ("weekly mon 08:00", "America/St_Johns", "2026-11-22T00:00", ["Mon 11-23 11:30", "Mon 11-30 11:30"]),
        ("weekly mon 20:00", "Pacific/Pago_Pago", "2026-11-22T00:00", ["Tue 11-24 07:00", "Tue 12-01 07:00"]),
        # Berlin goes forward from 02:00 to 03:00 on 2027-03-28 at 01:00 UTC
        ("daily 08:00", "Europe/Berlin", "2027-03-26T12:00", ["Sat 03-27 07:00", "Sun 03-28 06:00", "Mon 03-29 06:00"]),
        ("daily 02:30", "Europe/Berlin", "2027-03-26T12:00", ["Sat 03-27 01:30", "Sun 03-28 01:00", "Mon 03-29 00:30"]),
        ("daily 02:00", "Europe/Berlin", "2027-03-26T12:00", ["Sat 03-27 01:00", "Sun 03-28 01:00", "Mon 03-29 00:00"]),
        ("daily 03:00", "Europe/Berlin", "2027-03-26T12:00", ["Sat 03-27 02:00", "Sun 03-28 01:00", "Mon 03-29 01:00"]),
        ("weekly sun 02:59", "Europe/Berlin", "2027-03-26T12:00", ["Sun 03-28 01:00", "Sun 04-04 00:59"]),
        ("@hourly", "Europe/Berlin", "2027-03-27T23:30", ["Sun 03-28 00:00", "Sun 03-28 01:00", "Sun 03-28 02:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2027-03-28T00:15", ["Sun 03-28 00:30", "Sun 03-28 01:00", "Sun 03-28 01:30"]),
        ("5 2,3 * * *", "Europe/Berlin", "2027-03-28T00:00", ["Sun 03-28 01:00", "Sun 03-28 01:05", "Mon 03-29 00:05"]),
        # and back from 03:00 to 02:00 on 2026-10-25 at 01:00 UTC
        ("daily 08:00", "Europe/Berlin", "2026-10-23T12:00", ["Sat 10-24 06:00", "Sun 10-25 07:00", "Mon 10-26 07:00"]),
        ("daily 02:30", "Europe/Berlin", "2026-10-23T12:00", ["Sat 10-24 00:30", "Sun 10-25 00:30", "Mon 10-26 01:30"]),
        ("daily 02:30", "Europe/Berlin", "2026-10-25T01:00", ["Mon 10-26 01:30"]),
        ("daily 02:30", "Europe/Berlin", "2026-10-25T01:29", ["Mon 10-26 01:30"]),
        ("daily 02:00", "Europe/Berlin", "2026-10-25T00:00", ["Mon 10-26 01:00"]),
        ("daily 03:00", "Europe/Berlin", "2026-10-25T00:00", ["Sun 10-25 02:00", "Mon 10-26 02:00"]),
        ("@hourly", "Europe/Berlin", "2026-10-24T23:30", ["Sun 10-25 00:00", "Sun 10-25 02:00", "Sun 10-25 03:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:15", ["Sun 10-25 00:30", "Sun 10-25 02:00", "Sun 10-25 02:30"]),
        # New York: forward on 2027-03-14 at 07:00 UTC, back on 2026-11-01 at 06:00 UTC
        ("daily 08:00", "America/New_York", "2027-03-13T00:00", ["Sat 03-13 13:00", "Sun 03-14 12:00", "Mon 03-15 12:00"]),
        ("daily 02:30", "America/New_York", "2027-03-13T00:00", ["Sat 03-13 07:30", "Sun 03-14 07:00", "Mon 03-15 06:30"]),
        ("daily 08:00", "America/New_York", "2026-10-31T00:00", ["Sat 10-31 12:00", "Sun 11-01 13:00", "Mon 11-02 13:00"]),
        ("daily 01:30", "America/New_York", "2026-10-31T00:00", ["Sat 10-31 05:30", "Sun 11-01 05:30", "Mon 11-02 06:30"]),
        # Lord Howe: forward by half an hour on 2026-10-03 at 15:30 UTC, back on 2027-04-03 at 15:00 UTC
        ("daily 02:15", "Australia/Lord_Howe", "2026-10-02T00:00", ["Fri 10-02 15:45", "Sat 10-03 15:30", "Sun 10-04 15:15"]),
        ("daily 01:45", "Australia/Lord_Howe", "2027-04-02T00:00", ["Fri 04-02 14:45", "Sat 04-03 14:45", "Sun 04-04 15:15"]),
        ("*/15 * * * *", "Australia/Lord_Howe", "2027-04-03T14:15", ["Sat 04-03 14:30", "Sat 04-03 14:45", "Sat 04-03 15:30"]),
        # Santiago: midnight is skipped on 2026-09-06 at 04:00 UTC
        ("daily 00:00", "America/Santiago", "2026-09-05T00:00", ["Sat 09-05 04:00", "Sun 09-06 04:00", "Mon 09-07 03:00"]),
    ],
)  # fmt: skip
def test_a_digest_comes_by_the_clock_of_the_zone_and_once_a_day_when_it_changes(
    line: str, zone: str, after: str, expected: list[str]
) -> None:
    assert fires(line, after, len(expected), zone) == expected


@pytest.mark.parametrize(
    ("line", "after", "until", "expected"),
    [
        ("daily 08:00", "2026-11-01T08:00", "2026-11-02T07:59", None),
        ("daily 08:00", "2026-11-01T08:00", "2026-11-02T08:00", "2026-11-02T08:00"),
        ("daily 08:00", "2026-11-01T07:59", "2026-11-01T08:00", "2026-11-01T08:00"),
        ("daily 08:00", "2026-11-01T08:00", "2026-11-01T08:00", None),
        ("daily 08:00", "2026-11-02T00:00", "2026-11-01T00:00", None),
        ("daily 08:00", "1970-01-01T00:00", "2026-11-01T07:00", "2026-10-31T08:00"),
        ("* * * * *", "1970-01-01T00:00", "2026-11-01T07:00", "2026-11-01T07:00"),
        ("59 23 31 12 *", "1970-01-01T00:00", "2026-11-01T07:00", "2025-12-31T23:59"),
        ("0 0 29 2 *", "1970-01-01T00:00", "2026-11-01T07:00", "2024-02-29T00:00"),
        ("0 0 29 2 *", "2024-02-29T00:00", "2026-11-01T07:00", None),
        ("* * 1 1 *", "1970-01-01T00:00", "2026-11-01T07:00", "2026-01-01T23:59"),
        ("@weekly", "2026-11-01T12:00", "2126-11-01T12:00", "2126-10-27T00:00"),
    ],
)
def test_the_last_digest_that_was_due_is_found_in_minutes_and_in_years(
    line: str, after: str, until: str, expected: str | None
) -> None:
    assert last_fire(utc(after), utc(until), line, "UTC") == (expected and utc(expected))


def test_the_last_digest_is_not_in_the_repeat_of_its_hour() -> None:
    first, repeat = utc("2026-10-25T00:30"), utc("2026-10-25T01:30")
    assert last_fire(first - DAY, repeat + HOUR, "daily 02:30", "Europe/Berlin") == first
    assert last_fire(first, repeat + HOUR, "daily 02:30", "Europe/Berlin") is None
    within = utc("2026-10-25T01:10")  # ten past two for the second time
    assert last_fire(first - DAY, within, "daily 02:30", "Europe/Berlin") == first
    assert last_fire(utc("2026-10-25T00:00"), within, "30 2 * * *", "Europe/Berlin") == first
    assert last_fire(first - DAY, within, "*/20 * * * *", "Europe/Berlin") == utc("2026-10-25T00:40")


@few(60)
@given(instants(), LINES, st.sampled_from(ZONES), st.floats(0, 1, exclude_max=True))
def test_every_instant_before_a_digest_knows_the_same_next_one(
    after: datetime, line: str, zone: str, part: float
) -> None:
    assert calendar_fault(line) is None
    fire = next_fire(after, line, zone)
    assert fire > after
    for before in (after + (fire - after) * part, fire - timedelta(microseconds=1)):
        assert next_fire(min(before, fire - timedelta(microseconds=1)), line, zone) == fire


@few(60)
@given(instants(), st.timedeltas(-DAY, 40 * DAY) | st.timedeltas(-DAY, 10_000 * DAY), LINES, st.sampled_from(ZONES))
def test_after_the_last_digest_there_is_none(after: datetime, span: timedelta, line: str, zone: str) -> None:
    until = after + span
    last = last_fire(after, until, line, zone)
    if last is None:
        assert next_fire(after, line, zone) > until
    else:
        assert after < last <= until
        assert next_fire(last - timedelta(microseconds=1), line, zone) == last
        assert next_fire(last, line, zone) > until


@few(60)
@given(instants(), CRONS, st.sampled_from(ZONES))
def test_on_other_days_a_digest_comes_when_a_poll_by_the_same_line_would(after: datetime, line: str, zone: str) -> None:
    poll = next_poll(after, every=HOUR, cron=line, zone=zone)
    around = (after + step * DAY for step in range(-1, (poll - after) // DAY + 3))
    assume(len({at.astimezone(ZoneInfo(zone)).utcoffset() for at in around}) == 1)
    assert next_fire(after, line, zone) == poll


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", f"'' {NOT_CALENDAR}"),
        ("daily", f"'daily' {NOT_CALENDAR}"),
        ("weekly 08:00", f"'weekly 08:00' {NOT_CALENDAR}"),
        ("daily mon 08:00", f"'daily mon 08:00' {NOT_CALENDAR}"),
        ("mon 08:00", f"'mon 08:00' {NOT_CALENDAR}"),
        ("daily at 08:00", f"'daily at 08:00' {NOT_CALENDAR}"),
        ("08:00", f"'08:00' {NOT_CALENDAR}"),
        ("08:00 daily", f"'08:00 daily' {NOT_CALENDAR}"),
        ("@reboot", f"'@reboot' {NOT_CALENDAR}"),
        ("daily 24:00", "'24:00' in 'daily 24:00' is not a time of day; write 00:00 to 23:59"),
        ("daily 25:00", "'25:00' in 'daily 25:00' is not a time of day; write 00:00 to 23:59"),
        ("daily 8:5", "'8:5' in 'daily 8:5' is not a time of day; write 00:00 to 23:59"),
        ("weekly monday 08:00", "'monday' in 'weekly monday 08:00' is not a weekday; write mon, mon,thu or mon-fri"),
        ("weekly mon;thu 08:00", "'mon;thu' in 'weekly mon;thu 08:00' is not a weekday; write mon, mon,thu or mon-fri"),
        ("0 8 * *", "'0 8 * *' has 4 fields; cron has five: minute hour day month weekday"),
        ("60 8 * * *", "the minute of '60 8 * * *' is not one that cron takes"),
        ("0 8 30 2 *", "'0 8 30 2 *' never comes"),
    ],
)  # fmt: skip
def test_a_wrong_schedule_of_a_digest_is_refused_with_what_is_wrong(line: str, fault: str) -> None:
    assert calendar_fault(line) == fault


@pytest.mark.parametrize(
    ("line", "fault"), [("daily", "'daily' is not understood; .*"), ("0 8 30 2 *", ".*never comes")]
)
def test_a_schedule_that_was_not_checked_raises_what_is_wrong(line: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        next_fire(T0, line, "UTC")
