"""When the next poll is due: intervals, and cron lines as cron itself reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from conftest import T0

from renewal_watch.schedule import cron_fault, next_poll

HOUR = timedelta(hours=1)


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
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T00:30", ["01:30", "01:30", "00:30", "00:30"]),
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
        ("60 * * * *", "'60' is outside 0-59 for minute"),
        ("* 24 * * *", "'24' is outside 0-23 for hour"),
        ("* * 0 * *", "'0' is outside 1-31 for day"),
        ("* * * 13 *", "'13' is outside 1-12 for month"),
        ("* * * * 8", "'8' is outside 0-7 for day of week"),
        ("30-10 * * * *", "'30-10' runs backwards for minute"),
        ("* * * * fri-sun", "'fri-sun' runs backwards for day of week"),
        ("*/0 * * * *", "'*/0' in '*/0' is not a cron value"),
        ("0,, * * * *", "'' in '0,,' is not a cron value"),
        ("-5 * * * *", "'-5' in '-5' is not a cron value"),
        ("* * L * *", "'l' is not a cron value for day"),
        ("* * * * mon#1", "'mon#1' in 'mon#1' is not a cron value"),
        ("* * * * jan", "'jan' is not a cron value for day of week"),
        ("² * * * *", "'²' is not a cron value for minute"),
        ("0 0 30 2 *", "'0 0 30 2 *' never comes"),
        ("0 0 31 2,4,jun *", "'0 0 31 2,4,jun *' never comes"),
    ],
)
def test_a_wrong_cron_line_is_refused_with_what_is_wrong(cron: str, fault: str) -> None:
    assert cron_fault(cron) == fault


def test_a_day_that_never_comes_with_a_weekday_that_does_comes_on_the_weekday() -> None:
    assert cron_fault("0 0 30 2 1") is None
    assert polls("0 0 30 2 1", "2026-11-23T00:00", 2) == ["Mon 02-01 00:00", "Mon 02-08 00:00"]
