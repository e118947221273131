"""Which alerts a list deserves: each rule as a table, and stories over many days told poll by poll.

``World`` is the store's part without a database: it remembers what a verdict says is to be remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from conftest import T0
from made_up import entry, listing

from renewal_watch.detect import compare, failures, identity, lists, turn
from renewal_watch.model import renewal_day
from renewal_watch.model.account import Release
from renewal_watch.model.alerts import Alert
from renewal_watch.model.numbers import Entry, Listing, PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Absence, Cycle, Known, Verdict, Watch
from renewal_watch.notify import retry

H = timedelta(hours=1)
D = timedelta(days=1)
JANUARY = date(2027, 1, 10)  # far away from T0


class World:
    """One environment between polls; ``told`` are all alerts with new keys, as the database would keep them."""

    def __init__(self, policy: Policy | None = None, *, baseline: bool = True) -> None:
        self.policy = policy or Policy()
        self.fleet: dict[str, Known] = {}
        self.watch = Watch(name="prod", has_baseline=baseline)
        self.parsed: dict[str, PhoneNumber] = {}  # as last listed, by provider id
        self.told: list[Alert] = []
        self.keys: set[str] = set()
        self.versions = 0
        self.corrections = 0

    def poll(self, now: datetime, *entries: object) -> list[str]:
        """A complete list at ``now``; the new alerts as ``kind severity [days left]``."""
        return self.take(now, listing(*entries))

    def take(self, now: datetime, found: Listing, **context: Any) -> list[str]:
        settled = identity.settle(self.fleet, found.entries)
        was = dict(self.parsed)
        for name, old in settled.renamed.items():
            self.parsed[name] = msgspec.structs.replace(was[old], id=name)
        self.fleet = dict(settled.numbers)
        self.context = turn.Context(renumbered=settled.renumbered, **context)
        compared = compare.compare(self.fleet, found, self.policy, now)
        asked = [self.fleet[name] for name in (*compared.changed, *compared.absent)]
        before = {known.provider_id: self.parsed[known.provider_id] for known in asked}
        return self._apply(lists.judge(self.fleet, before, found, compared, self.watch, self.policy, now, self.context))

    def fail(self, now: datetime, reason: str = "server_trouble") -> list[str]:
        near = failures.near_without_list(self.fleet.values(), self.policy, now)
        before = {name: self.parsed[name] for name in near}
        error = f"it failed with {reason}"
        return self._apply(
            failures.judge_failure(self.fleet, before, self.watch, self.policy, now, reason=reason, error=error)
        )

    def wait(self, now: datetime) -> list[str]:
        return self._apply(failures.judge_time(self.fleet, self.watch, self.policy, now))

    def _apply(self, verdict: Verdict) -> list[str]:
        names = [known.provider_id for known in verdict.updates]
        assert len(names) == len(set(names)), "a number is written once"
        assert set(verdict.versions) <= set(names)
        assert set(verdict.countdowns) <= set(names)
        assert not set(verdict.countdowns) & set(verdict.versions)
        self.corrections += len(verdict.countdowns)
        for known in verdict.updates:
            name, kept = known.provider_id, known
            assert (known.pk == 0) == (name not in self.fleet)
            if name in verdict.versions:
                self.versions += 1
                seen = verdict.versions[name]
                if seen is not None:
                    kept = known._replace(pk=known.pk or len(self.fleet) + 1)
                    self.parsed[name] = seen.parsed
            self.fleet[name] = kept
        self.watch = verdict.watch
        fresh = [alert for alert in {a.key: a for a in verdict.alerts}.values() if alert.key not in self.keys]
        given = {alert.key for alert in fresh}
        fresh = [alert for alert in fresh if alert.said_by not in given]  # said to all who take the other
        self.keys.update(alert.key for alert in fresh)
        self.told += fresh
        return said(fresh)

    @property
    def text(self) -> str:
        """The sentence told last."""
        return self.told[-1].text


def said(alerts: Iterable[Alert]) -> list[str]:
    return [
        f"{a.kind} {a.severity.name}" + ("" if a.days_left is None else f" {a.days_left}")
        for a in sorted(alerts, key=lambda a: (a.number_id or "", a.kind))
    ]


def phone(now: datetime, on: date | None, name: str = "phone-1", *, turn_h: int = 0, **changes: Any) -> dict[str, Any]:
    """A number that renews on ``on`` as a provider whose day turns at ``turn_h`` UTC shows it at ``now``."""
    today = (now - turn_h * H).date()
    dated = {
        "renewal_date": on.isoformat() if on else None,
        "days_until_monthly_renewal": (on - today).days if on else None,
    }
    return entry(name, **(dated | changes))


def number(**changes: Any) -> PhoneNumber:
    return next(iter(listing(entry(**changes)).entries.values())).parsed


def on(days: int) -> date:
    """The day that is ``days`` after the day of T0."""
    return T0.date() + days * D


TODAY = T0.toordinal()


# --- thresholds reached -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "reached"), [(15, None), (14, 14), (8, 14), (7, 7), (4, 7), (3, 3), (2, 3), (1, 1), (0, 0), (-5, 0)]
)
def test_only_the_tightest_threshold_counts(left: int, reached: int | None) -> None:
    assert turn.tightest(left, (14, 7, 3, 1, 0)) == reached
    assert turn.tightest(left, (0, 7, 14, 1, 3)) == reached


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("UTC", "2026-11-23T23:59:59Z", "2026-11-23"),
        ("Pacific/Kiritimati", "2026-11-23T10:00:00Z", "2026-11-24"),
        ("Pacific/Kiritimati", "2026-11-23T09:59:59Z", "2026-11-23"),
        ("America/Los_Angeles", "2026-11-24T07:59:59Z", "2026-11-23"),
        ("America/Los_Angeles", "2026-11-24T08:00:00Z", "2026-11-24"),
        ("Europe/Berlin", "2027-03-27T22:59:59Z", "2027-03-27"),  # the clock goes forward on the 28th
        ("Europe/Berlin", "2027-03-27T23:00:00Z", "2027-03-28"),
        ("Europe/Berlin", "2027-03-28T22:00:00Z", "2027-03-29"),
        ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25"),  # and back on the 25th
        ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"),
    ],
)
def test_a_day_is_a_day_of_the_configured_zone(zone: str, at: str, day: str) -> None:
    assert renewal_day.today(datetime.fromisoformat(at), zone) == date.fromisoformat(day).toordinal()


# --- the countdown ticks as the calendar does -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "turn_h"),
    [
        *(("UTC", hour) for hour in range(24)),
        *(("Pacific/Kiritimati", hour) for hour in (0, 10, 11)),
        *(("America/Los_Angeles", hour) for hour in (0, 7, 8, 9)),
    ],
)
def test_a_ticking_countdown_is_no_change_at_whatever_hour_the_provider_turns_its_day(zone: str, turn_h: int) -> None:
    world = World(Policy(zone=zone))
    start = T0 + timedelta(minutes=7)
    for hours in range(4 * 24):
        now = start + hours * H
        shown = phone(now, JANUARY, turn_h=turn_h)
        world.poll(now, shown)
        known = world.fleet["phone-1"]
        assert known.zero_at is not None
        assert renewal_day.countdown_at(known.zero_at, int(now.timestamp())) == shown["days_until_monthly_renewal"]
    assert world.versions == 1
    assert world.corrections <= 3
    assert [alert.kind for alert in world.told] == ["number.added"]


@pytest.mark.parametrize(("month", "day"), [(3, 28), (10, 31)])
def test_a_provider_that_turns_its_day_with_daylight_saving_is_followed(month: int, day: int) -> None:
    world = World()
    start = datetime(2027, month, day, tzinfo=UTC) - 10 * D
    renews = start.date() + 29 * D
    for hours in range(20 * 24):
        now = start + hours * H
        shown = (renews - now.astimezone(ZoneInfo("Europe/Berlin")).date()).days
        world.poll(now, entry(renewal_date=renews.isoformat(), days_until_monthly_renewal=shown))
        assert renewal_day.countdown_at(world.fleet["phone-1"].zero_at or 0, int(now.timestamp())) == shown
    assert world.versions == 1
    assert world.corrections <= 5


def test_the_hour_learned_from_most_numbers_is_used_for_new_ones_and_not_that_of_a_stuck_one() -> None:
    world = World()
    fleet = ("a", "b", "c")
    for hours in range(72):
        now = T0 + hours * H
        stuck = entry("stuck", renewal_date=None, days_until_monthly_renewal=40)
        world.poll(now, *(phone(now, JANUARY, name, turn_h=5) for name in fleet), stuck)
    assert world.watch.turn_s is not None
    assert abs(world.watch.turn_s - 5 * 3600) <= 3600
    before = world.corrections
    for hours in range(72, 120):
        now = T0 + hours * H
        world.poll(now, *(phone(now, JANUARY, name, turn_h=5) for name in (*fleet, "new")))
    assert world.corrections == before


@pytest.mark.parametrize("gap_h", [1, 5, 12, 23, 24, 25, 47, 48, 49, 71, 96, 200, 400])
@pytest.mark.parametrize("turn_h", [0, 1, 7, 12, 13, 23])
def test_the_countdown_is_as_the_provider_said_after_any_pause(gap_h: int, turn_h: int) -> None:
    world = World()
    for hours in (0, gap_h, gap_h + 1, 2 * gap_h + 1):
        now = T0 + hours * H
        shown = phone(now, JANUARY, turn_h=turn_h)
        world.poll(now, shown)
        left = renewal_day.countdown_at(world.fleet["phone-1"].zero_at or 0, int(now.timestamp()))
        assert left == shown["days_until_monthly_renewal"], hours
    assert world.versions == 1


def test_a_renewal_day_known_only_by_its_countdown_stays_where_a_countdown_that_stands_still_said_it_first() -> None:
    world = World()
    found = [world.poll(T0 + days * D, entry(renewal_date=None, days_until_monthly_renewal=30)) for days in range(28)]
    assert world.fleet["phone-1"].renews_on == (T0 + 30 * D).toordinal()
    assert found[4] == ["data.contradiction warning"]
    assert found[27] == ["renewal.upcoming info 3"]
    assert "as first read; its countdown stands at 30 days" in world.text
    assert "; 1 of them renews within 7 days" in failing(world, T0 + 28 * D)


def failing(world: World, now: datetime) -> str:
    for polls in range(3):
        world.fail(now + polls * H)
    return next(a.text for a in reversed(world.told) if a.kind == "watch.api_failing")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"id":1,"days_until_monthly_renewal":9,"a":1}', '{"id":1,"days_until_monthly_renewal":8,"a":1}', True),
        ('{"id":1,"days_until_monthly_renewal":9}', '{"id":1,"days_until_monthly_renewal":8}', True),
        ('{"id":1,"days_until_monthly_renewal":9,"a":1}', '{"id":1,"days_until_monthly_renewal":9,"a":2}', False),
        ('{"id":1,"a":1}', '{"id":1,"a":2}', False),
        ('{"id":1,"a":{"days_until_monthly_renewal":1},"days_until_monthly_renewal":9}',
         '{"id":1,"a":{"days_until_monthly_renewal":1},"days_until_monthly_renewal":8}', False),
    ],
)  # fmt: skip
def test_the_fingerprint_leaves_out_nothing_but_the_countdown(one: str, other: str, *, same: bool) -> None:
    parsed = number()
    prints = {compare.fingerprint(Entry(parsed, text.encode())) for text in (one, other)}
    assert (len(prints) == 1) is same


# --- thresholds -------------------------------------------------------------------------------------------------------

OFF: dict[str, Any] = {"auto_renewal": False}
ON: dict[str, Any] = {"auto_renewal": True}
UNSAID: dict[str, Any] = {"auto_renewal": None}


@pytest.mark.parametrize(
    ("changes", "by_day"),
    [
        # what is told on the way down, by days left; nothing on all other days
        (
            OFF,
            {
                14: ["renewal.upcoming warning 14"],
                7: ["renewal.upcoming warning 7"],
                3: ["renewal.upcoming critical 3"],
                1: ["renewal.upcoming critical 1"],
                0: ["renewal.due critical 0"],
                -1: ["renewal.overdue critical -1"],
                -2: ["renewal.overdue critical -2"],
                -3: ["renewal.overdue critical -3"],
                -5: ["renewal.overdue critical -5"],
                -8: ["renewal.overdue critical -8"],
                -15: ["renewal.overdue critical -15"],
                -22: ["renewal.overdue critical -22"],
            },
        ),
        (
            ON,
            {
                3: ["renewal.upcoming info 3"],
                0: ["renewal.due info 0"],
                -1: ["renewal.overdue critical -1"],  # at noon: the grace of 12 h is over
                -2: ["renewal.overdue critical -2"],
                -3: ["renewal.overdue critical -3"],
                -5: ["renewal.overdue critical -5"],
                -8: ["renewal.overdue critical -8"],
                -15: ["renewal.overdue critical -15"],
                -22: ["renewal.overdue critical -22"],
            },
        ),
    ],
    ids=["auto-renewal off", "auto-renewal on"],
)
@pytest.mark.parametrize(
    "shown",
    ["as documented", "date only", "countdown only", "float", "stuck at 0", "stuck at -1", "stuck at -1 without date"],
)
def test_each_threshold_is_told_once_on_the_way_down(
    changes: dict[str, Any], by_day: dict[int, list[str]], shown: str
) -> None:
    world = World()
    day = on(20)
    clamped = {"stuck at 0": 0, "stuck at -1": -1, "stuck at -1 without date": -1}.get(shown, -1000)
    for hours in range(0, 45 * 24, 12):
        now = T0 + hours * H
        left = (day - now.date()).days
        extra: dict[str, Any] = {"days_until_monthly_renewal": max(left, clamped)}
        if shown == "date only":
            extra = {"days_until_monthly_renewal": None}
        elif shown == "float":
            extra = {"days_until_monthly_renewal": left - 0.4 if left < 0 else left + 0.4}
        if shown in ("countdown only", "stuck at -1 without date"):
            extra["renewal_date"] = None
        is_told = now.hour == (12 if not hours or (left < 0 and changes is ON and shown != "stuck at 0") else 0)
        expected = by_day.get(left, []) if is_told else []
        if hours == 0:
            expected = ["number.added info 20"]
        found = world.poll(now, phone(now, day, **changes, **extra))
        found = [words for words in found if not words.startswith("data.")]
        if shown == "stuck at 0" and left < 0:  # one day may be another time zone, so it starts a day later
            early: dict[int, list[str]] = {-2: [], -3: [], -5: [], -8: []}
            late = {-d: [f"renewal.overdue critical {-d}"] for d in (2, 3, 4, 6, 9, 16, 23)}
            expected = (early | late).get(left, []) if now.hour == 0 else []
        assert found == expected, (now, left)


@pytest.mark.parametrize("polled_at", [[20, 13, 6, 2, 0], [20, 5, 2], [20, 0], [20, -4]])
def test_after_missed_polls_only_the_tightest_threshold_is_told(polled_at: list[int]) -> None:
    world = World()
    tightest = {13: 14, 6: 7, 5: 7, 2: 3}
    for left in polled_at[:1]:
        world.poll(T0, phone(T0, on(left), **OFF))
    for left in polled_at[1:]:
        now = T0 + (20 - left) * D
        kind = "renewal.due" if left == 0 else "renewal.overdue" if left < 0 else "renewal.upcoming"
        severity = "critical" if left <= 3 else "warning"
        assert world.poll(now, phone(now, on(20), **OFF)) == [f"{kind} {severity} {left}"]
        if left > 0:
            assert world.told[-1].key.endswith(f"/{tightest[left]}")


@pytest.mark.parametrize("seed", range(6))
def test_a_renewal_day_that_wobbles_by_one_for_weeks_tells_each_threshold_once(seed: int) -> None:
    world = World()
    keys = []
    for hours in range(0, 19 * 24, 3):
        now = T0 + hours * H
        wobble = (-1, 0, 1, 0, 1, -1, 1)[(hours // 3 * (seed + 1)) % 7]
        shown = on(20) + wobble * D
        world.poll(now, phone(now, shown, **OFF) if seed % 2 else phone(now, shown, renewal_date=None, **OFF))
        keys = [a.key.rpartition("/")[2] for a in world.told if a.kind.startswith("renewal.")]
    assert keys in (["14", "7", "3", "1"], ["14", "7", "3", "1", "0"])


@pytest.mark.parametrize(
    ("before", "after", "left", "expected"),
    [
        ((7,), (7, 5), 5, ["renewal.upcoming warning 5"]),
        ((7,), (7, 6, 5), 4, ["renewal.upcoming warning 4"]),
        ((7,), (14, 7), 5, []),  # a wider one than was told is no news
        ((7, 3), (14,), 2, []),
        ((), (14,), 6, ["renewal.upcoming warning 6"]),
        ((7,), (), 6, []),
    ],
)
def test_thresholds_added_later_count_from_the_next_poll_on(
    before: tuple[int, ...], after: tuple[int, ...], left: int, expected: list[str]
) -> None:
    world = World(Policy(warn_days=before))
    world.poll(T0, phone(T0, on(left), **OFF))
    world.policy = Policy(warn_days=after)
    now = T0 + 10 * timedelta(minutes=1)
    assert world.poll(now, phone(now, on(left), **OFF)) == expected
    assert world.poll(now + H, phone(now + H, on(left), **OFF)) == []


@pytest.mark.parametrize(
    ("left", "changes", "first", "later"),
    [
        (20, OFF, ["renewal.due warning 20"], {}),
        (5, OFF, ["renewal.due warning 5"], {3: ["renewal.upcoming critical 3"], 1: ["renewal.upcoming critical 1"]}),
        (2, ON, ["renewal.due info 2"], {}),
        (0, ON, ["renewal.due info 0"], {}),
    ],
)
def test_the_due_flag_is_told_once_and_thresholds_after_it_as_ever(
    left: int, changes: dict[str, Any], first: list[str], later: dict[int, list[str]]
) -> None:
    world = World(baseline=False)
    assert world.poll(T0, phone(T0, on(left), is_due_for_monthly_renewal=True, **changes)) == first
    assert ("flags it as due" in world.text) == (left > 0)
    for days in range(1, min(left, 5)):
        now = T0 + days * D
        found = world.poll(now, phone(now, on(left), is_due_for_monthly_renewal=True, **changes))
        assert found == later.get(left - days, [])


def test_a_policy_without_thresholds_still_tells_the_day_itself_and_what_comes_after() -> None:
    world = World(Policy(warn_days=(), auto_renewal_warn_days=()))
    found = [world.poll(T0 + d * D, phone(T0 + d * D, on(2), **OFF)) for d in range(4)]
    assert found == [
        ["number.added info 2"],
        [],
        ["renewal.due critical 0"],
        ["renewal.overdue critical -1"],
    ]


def test_a_zone_in_which_it_is_still_yesterday_does_not_miss_the_first_threshold() -> None:
    world = World(Policy(zone="America/Los_Angeles"), baseline=False)
    now = datetime(2026, 11, 24, 4, tzinfo=UTC)  # the 23rd in Los Angeles
    assert world.poll(now, phone(now, date(2026, 12, 8), **OFF)) == ["renewal.upcoming warning 14"]


# --- overdue and renewed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("polled_after", "told_at"),
    [
        # hours after the number was first seen overdue at which it is polled, and those at which it is told
        (range(0, 40 * 24, 6), [0, 24, 48, 96, 168, 336, 504, 672, 840]),
        ([0, 1, 30, 31, 60], [0, 30, 60]),
        ([0, 24 * 9, 24 * 9 + 1, 24 * 14 - 1, 24 * 14], [0, 24 * 9, 24 * 14]),  # nothing ran for days: told once
    ],
)
def test_overdue_is_repeated_after_1_2_4_7_days_and_weekly(polled_after: Sequence[int], told_at: list[int]) -> None:
    world = World(baseline=False)
    found = [h for h in polled_after if world.poll(T0 + h * H, phone(T0 + h * H, on(-1), **ON))]
    assert found == told_at


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # days left when told, days left after the cycle moved on
        (3, 33, ["renewal.renewed info 33"]),
        (0, 30, ["renewal.renewed info 30"]),
        (-5, 25, ["renewal.renewed info 25"]),
        (2, 9, ["renewal.renewed info 9"]),
        (2, 7, ["renewal.postponed info 7"]),  # less than a week is no renewal
        (2, 3, []),  # a wobble
        (0, 3, ["renewal.upcoming info 3"]),  # postponed, and as near as before: the warning goes on
        (20, 50, []),  # of this one nothing was told
        (3, 4, []),  # a wobble
        (3, 1, []),  # a wobble
    ],
)
@pytest.mark.parametrize("with_date", [True, False])
def test_renewed_is_told_for_numbers_that_had_been_told_about(
    before: int, after: int, expected: list[str], *, with_date: bool
) -> None:
    world = World(baseline=False)
    without: dict[str, Any] = {} if with_date else {"renewal_date": None}
    world.poll(T0, phone(T0, on(before), **ON, **without))
    now = T0 + H
    assert world.poll(now, phone(now, on(after), **ON, **without)) == expected
    assert world.poll(now + H, phone(now + H, on(after), **ON, **without)) == []


def test_what_was_told_of_a_countdown_that_never_moves_has_an_end_when_the_date_counts() -> None:
    """No renewal, but whoever was told "tomorrow" is told that it is not so."""
    world = World(baseline=False)
    stands = [phone(T0, on(20), days_until_monthly_renewal=1, **OFF) for _ in range(4)]
    assert [world.poll(T0 + days * D, one) for days, one in enumerate(stands)] == [
        ["renewal.upcoming critical 1"],
        ["renewal.due critical 0"],
        ["data.contradiction warning", "renewal.postponed info 18"],
        [],
    ]
    (told,) = [one for one in world.told if one.kind == "renewal.postponed"]
    assert "and not on Tue 24 Nov 2026 as told" in told.text


def test_renewed_names_the_price_that_was_paid_and_the_new_day() -> None:
    world = World(baseline=False)
    world.poll(T0, phone(T0, on(0)))
    assert world.poll(T0 + H, phone(T0, on(30), monthly_renewal_cost=1.5)) == [
        "price.changed warning 30",
        "renewal.renewed info 30",
    ]
    assert world.text.startswith("+15550000001 (prod) renewed: 1.00 USD paid, the next renewal is in 30 days")
    assert "Wed 23 Dec 2026" in world.text


def test_a_renewal_during_an_outage_is_told_when_the_list_is_back() -> None:
    world = World(baseline=False)
    world.poll(T0, phone(T0, on(3)))
    for hours in range(1, 5 * 24):
        world.fail(T0 + hours * H)
    now = T0 + 5 * D
    assert world.poll(now, phone(now, on(33))) == ["watch.recovered info", "renewal.renewed info 28"]


def test_a_cycle_that_passed_unseen_and_is_overdue_again_is_a_cycle_of_its_own() -> None:
    world = World(baseline=False)
    assert world.poll(T0, phone(T0, on(-1))) == ["renewal.overdue critical -1"]
    now = T0 + 40 * D
    assert world.poll(now, phone(now, on(30))) == ["renewal.overdue critical -10"]


# --- changes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"current_status": "active"}, {"current_status": "suspended"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "inactive"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "pending"}, ["status.changed warning 30"]),
        ({"current_status": "active"}, {"current_status": "ported"}, ["status.changed warning 30"]),
        ({"current_status": "active"}, {"current_status": "Porting Out"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "reclaimed"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "decommissioned"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "not_released"}, ["status.changed warning 30"]),
        ({"current_status": "active"}, {"current_status": "extended"}, ["status.changed warning 30"]),
        ({"current_status": "active"}, {"current_status": "Ported-Out"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "released"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "EXPIRED"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": "cancelled_by_carrier"}, ["status.changed critical 30"]),
        ({"current_status": "active"}, {"current_status": None}, ["status.changed warning 30"]),
        ({"current_status": "suspended"}, {"current_status": "active"}, ["status.changed info 30"]),
        ({"current_status": "active"}, {"current_status": " Active "}, []),
        ({"auto_renewal": True}, {"auto_renewal": False}, ["auto_renewal.off warning 30"]),
        ({"auto_renewal": True}, {"auto_renewal": None}, ["auto_renewal.off warning 30"]),
        ({"auto_renewal": None}, {"auto_renewal": False}, []),
        ({"auto_renewal": None}, {"auto_renewal": True}, ["auto_renewal.on info 30"]),
        ({"auto_renewal": False}, {"auto_renewal": True}, ["auto_renewal.on info 30"]),
        ({}, {"monthly_renewal_cost": 1.01}, ["price.changed warning 30"]),
        ({}, {"monthly_renewal_cost": 0.99}, ["price.changed info 30"]),
        ({}, {"monthly_renewal_cost": "1.000"}, []),
        ({}, {"current_price": 2}, ["price.changed warning 30"]),  # whichever price rises
        ({}, {"current_price": 0.5}, ["price.changed info 30"]),
        ({}, {"current_price": 9, "monthly_renewal_cost": 0.5}, ["price.changed warning 30"]),
        ({"monthly_renewal_cost": 1.15}, {"monthly_renewal_cost": 1.1499999999999999}, []),  # noise is no price
        ({}, {"currency": " usd"}, []),
        ({}, {"currency": "EUR"}, ["price.changed warning 30"]),
        ({"monthly_renewal_cost": None, "current_price": None}, {}, ["price.changed warning 30"]),
        ({}, {"monthly_renewal_cost": None}, ["price.changed info 30"]),
        ({}, {"has_voice": False}, ["capability.lost warning 30"]),
        ({}, {"has_voice": None}, ["capability.lost warning 30"]),
        ({"has_mms": None}, {"has_mms": False}, []),
        ({"has_mms": None}, {"has_mms": True}, ["capability.gained info 30"]),
        ({}, {"has_sms": False, "has_fax": True}, ["capability.gained info 30", "capability.lost warning 30"]),
        ({}, {"note": "an unknown field"}, []),
    ],
)
def test_a_difference_between_two_polls_is_told_once(
    before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    world = World()
    world.poll(T0, phone(T0, on(30), **before))
    unchanged = {name: entry()[name] for name in before}
    assert world.poll(T0 + H, phone(T0, on(30), **(unchanged | after))) == expected
    assert world.poll(T0 + 2 * H, phone(T0, on(30), **(unchanged | after))) == []


@pytest.mark.parametrize(
    ("left", "before", "after", "expected", "tomorrow"),
    [
        # outside, inside and past the thresholds; what the next day brings
        (15, ON, OFF, ["auto_renewal.off warning 15"], ["renewal.upcoming warning 14"]),
        (10, ON, OFF, ["auto_renewal.off critical 10"], []),
        (8, ON, OFF, ["auto_renewal.off critical 8"], ["renewal.upcoming warning 7"]),
        (3, ON, OFF, ["auto_renewal.off critical 3"], []),
        (2, ON, OFF, ["auto_renewal.off critical 2"], ["renewal.upcoming critical 1"]),
        (1, ON, OFF, ["auto_renewal.off critical 1"], ["renewal.due critical 0"]),
        (0, ON, OFF, ["auto_renewal.off critical 0"], ["renewal.overdue critical -1"]),
        (-1, ON, OFF, ["auto_renewal.off critical -1"], ["renewal.overdue critical -2"]),
        (10, OFF, ON, ["auto_renewal.on info 10"], []),
        (4, OFF, ON, ["auto_renewal.on info 4"], ["renewal.upcoming info 3"]),
        (3, OFF, ON, ["auto_renewal.on info 3"], []),
        (2, OFF, ON, ["auto_renewal.on info 2"], []),
        (1, OFF, ON, ["auto_renewal.on info 1"], ["renewal.due info 0"]),
        (10, UNSAID, ON, ["auto_renewal.on info 10"], []),
    ],
)
def test_switching_auto_renewal_is_told_once_also_where_a_threshold_is_reached(
    left: int, before: dict[str, Any], after: dict[str, Any], expected: list[str], tomorrow: list[str]
) -> None:
    world = World()
    world.poll(T0, phone(T0, on(left), **before))
    assert world.poll(T0 + H, phone(T0, on(left), **after)) == expected
    assert world.poll(T0 + 2 * H, phone(T0, on(left), **after)) == []
    now = T0 + D
    assert world.poll(now, phone(now, on(left), **after)) == tomorrow


def test_switching_auto_renewal_on_at_a_threshold_of_its_own_is_told_once() -> None:
    world = World(Policy(warn_days=(), auto_renewal_warn_days=(5,)))
    world.poll(T0, phone(T0, on(5), **OFF))
    assert world.poll(T0 + H, phone(T0, on(5), **ON)) == ["auto_renewal.on info 5"]
    assert world.poll(T0 + 2 * H, phone(T0, on(5), **ON)) == []


def test_a_renewal_seen_together_with_the_switch_is_told_and_the_new_threshold_is_not_told_twice() -> None:
    world = World()
    world.poll(T0, phone(T0, on(0), **ON))
    assert world.poll(T0 + H, phone(T0, on(10), **OFF)) == ["auto_renewal.off critical 10", "renewal.renewed info 10"]
    assert world.poll(T0 + 2 * H, phone(T0, on(10), **OFF)) == []


def test_a_number_without_countdown_and_date_is_watched_for_everything_else() -> None:
    world = World(baseline=False)
    assert world.poll(T0, phone(T0, None)) == ["data.unknown warning"]
    assert world.poll(T0 + H, phone(T0, None, auto_renewal=False)) == ["auto_renewal.off warning"]
    assert "no renewal day is known" in world.text
    assert world.poll(T0 + 2 * H, phone(T0, on(2), auto_renewal=False)) == ["renewal.upcoming critical 2"]
    assert world.poll(T0 + 3 * H, phone(T0, None, auto_renewal=False)) == ["data.unknown warning"]
    assert world.poll(T0 + 4 * H, phone(T0, on(2), auto_renewal=False)) == ["watch.recovered info"]


# --- baseline, added, sandbox -----------------------------------------------------------------------------------------


def test_the_first_poll_tells_what_is_urgent_and_nothing_is_added() -> None:
    world = World(baseline=False)
    found = world.poll(
        T0,
        phone(T0, on(60), "far"),
        phone(T0, on(5), "lost", **OFF),
        phone(T0, on(5), "renews", **ON),
        phone(T0, on(-40), "overdue"),
        phone(T0, on(60), "suspended", current_status="suspended"),
        phone(T0, on(1), "sandbox", is_sandbox=True, **OFF),
    )
    assert found == ["renewal.upcoming warning 5", "renewal.overdue critical -40", "status.changed critical 60"]
    assert world.watch.has_baseline
    assert world.poll(T0 + H, *(phone(T0, on(60), name) for name in ("far", "new")))[-1:] == ["number.added info 60"]


def test_an_empty_first_list_is_a_baseline_too() -> None:
    world = World(baseline=False)
    assert world.poll(T0) == ["watch.list_empty warning"]
    assert "perhaps the token is that of another environment" in world.text
    assert world.poll(T0 + H) == []
    assert world.poll(T0 + 2 * H, phone(T0, on(60))) == ["watch.recovered info", "number.added info 60"]
    filtered = World(baseline=False)
    assert filtered.take(T0, listing(), filters={"type": "fax"}) == ["watch.list_empty warning"]
    assert "perhaps nothing fits its filters (type=fax)" in filtered.text


def test_numbers_that_become_sandbox_numbers_are_told_once_and_a_list_of_nothing_else() -> None:
    world = World()
    names = ("a", "b", "c", "d", "e")
    world.poll(T0, *(phone(T0, on(5), name, **OFF) for name in names))
    some = [phone(T0, on(5), name, is_sandbox=name < "c", **OFF) for name in names]
    assert world.poll(T0 + H, *some) == ["number.unwatched warning"]
    assert "2 numbers are sandbox numbers now and are not watched any more: +1555000000a, +1555000000b." in world.text
    assert world.poll(T0 + 2 * H, *some) == []
    all_ = [phone(T0, on(5), name, is_sandbox=True, **OFF) for name in names]
    assert world.poll(T0 + 3 * H, *all_) == ["number.unwatched warning", "watch.list_empty warning"]
    assert "no number is watched: the list has 5 numbers, for the sandbox only (include_sandbox)" in world.text
    assert world.poll(T0 + 4 * H, *all_) == []


def test_a_new_number_is_added_and_judged_at_once() -> None:
    world = World()
    assert world.poll(T0, phone(T0, on(0), current_status="pending", **OFF)) == [
        "number.added info 0",
        "renewal.due critical 0",
        "status.changed warning 0",
    ]


def test_sandbox_numbers_are_kept_and_left_out_of_alerts() -> None:
    world = World()
    sandbox: dict[str, Any] = {"is_sandbox": True}
    story: list[tuple[dict[str, Any] | None, list[str]]] = [
        (phone(T0, on(0), **sandbox), []),
        (phone(T0, on(-1), **sandbox, current_status="suspended", **OFF), []),
        (None, []),
        (None, []),
        (None, []),
        (None, []),
        (phone(T0, on(1), **sandbox), []),
    ]
    for hours, (shown, expected) in enumerate(story):
        assert world.poll(T0 + hours * H, phone(T0, on(60), "other"), *([shown] if shown else [])) == (
            expected if hours else ["number.added info 60"]
        )
    assert world.versions == 5
    included = World(Policy(include_sandbox=True), baseline=False)
    assert included.poll(T0, phone(T0, on(0), **sandbox)) == ["renewal.due info 0"]


def test_a_renewal_while_it_was_a_sandbox_number_is_no_news_later() -> None:
    """What was told of the cycle before belongs to another story: an unchanged list says nothing of it."""
    world = World()
    assert world.poll(T0, phone(T0, on(0))) == ["number.added info 0", "renewal.due info 0"]
    assert world.poll(T0, phone(T0, on(0), is_sandbox=True)) == ["number.unwatched warning", "watch.list_empty warning"]
    later = T0 + timedelta(days=20)
    assert world.poll(later, phone(later, on(40))) == ["watch.recovered info"]
    assert world.poll(later, phone(later, on(40))) == []


def test_a_number_that_is_no_sandbox_any_more_is_judged_as_if_first_seen() -> None:
    world = World()
    state: dict[str, Any] = {"current_status": "suspended", "auto_renewal": False}
    assert world.poll(T0, phone(T0, on(2), is_sandbox=True, **state)) == ["watch.list_empty warning"]
    assert world.poll(T0 + H, phone(T0, on(2), is_sandbox=False, **state)) == [
        "watch.recovered info",
        "renewal.upcoming critical 2",
        "status.changed critical 2",
    ]
    world.poll(T0 + 2 * H, phone(T0, on(2), is_sandbox=True, **state))
    assert world.poll(T0 + 3 * H, phone(T0, on(2), is_sandbox=False, **state | {"current_status": "active"})) == [
        "watch.recovered info"
    ]


# --- absent numbers ---------------------------------------------------------------------------------------------------

REST = ("b", "c", "d", "e", "f", "g", "h", "i", "j")


def fleet_of(now: datetime, *names: str) -> list[dict[str, Any]]:
    return [phone(now, on(60), name) for name in names]


def test_a_number_is_missing_after_so_many_complete_lists_without_it_and_returns() -> None:
    world = World(Policy(missing_after_polls=3))
    world.poll(T0, *fleet_of(T0, "a", *REST))
    story: list[tuple[str, list[str]]] = [
        ("without", []),
        ("without", []),
        ("fails", []),  # no complete list: does not count, does not begin anew
        ("without", ["number.missing critical 60"]),
        ("without", []),
        ("with", ["number.returned info 60"]),
        ("with", []),
        ("without", []),
        ("with", []),  # a single list without it is nothing
        ("without", []),
        ("without", []),
        ("without", ["number.missing critical 60"]),
    ]
    for minutes, (what, expected) in enumerate(story, 1):
        now = T0 + timedelta(minutes=minutes)
        if what == "fails":
            assert world.fail(now) == expected
        else:
            assert world.poll(now, *fleet_of(T0, *(("a",) if what == "with" else ()), *REST)) == expected, minutes
    assert world.watch.numbers == 9
    assert "3 complete lists in a row came without it" in world.text


def test_a_missing_number_that_returns_with_other_traits_tells_them_too() -> None:
    world = World(Policy(missing_after_polls=1))
    world.poll(T0, phone(T0, on(1), "a"), *fleet_of(T0, *REST))
    assert world.poll(T0 + H, *fleet_of(T0, *REST)) == ["number.missing critical 1"]
    assert world.poll(T0 + 2 * D, *fleet_of(T0 + 2 * D, *REST)) == []  # neither due nor overdue: it is not watched
    back = phone(T0 + 3 * D, on(31), "a", current_status="suspended")
    assert world.poll(T0 + 3 * D, back, *fleet_of(T0 + 3 * D, *REST)) == [
        "number.returned info 28",
        "renewal.renewed info 28",
        "status.changed critical 28",
    ]


def test_the_countdown_of_an_absent_number_goes_on_until_it_counts_as_missing() -> None:
    world = World(Policy(missing_after_polls=5))
    world.poll(T0, phone(T0, on(4), "a", **OFF), *fleet_of(T0, *REST))
    assert world.poll(T0 + D, *fleet_of(T0 + D, *REST)) == ["renewal.upcoming critical 3"]
    assert world.text.endswith("(as last known; it is not in the list now)")
    assert world.poll(T0 + 3 * D, *fleet_of(T0 + 3 * D, *REST)) == ["renewal.upcoming critical 1"]
    assert world.poll(T0 + 4 * D, *fleet_of(T0 + 4 * D, *REST)) == ["renewal.due critical 0"]
    assert world.poll(T0 + 5 * D, *fleet_of(T0 + 5 * D, *REST)) == []  # it may have renewed, nobody can see
    assert world.poll(T0 + 6 * D, *fleet_of(T0 + 6 * D, *REST)) == ["number.missing critical -2"]


@pytest.mark.parametrize(
    "form",
    ["1,50", "", "$1.00", "-", {"amount": 1}, [1], True, "NaN", "1" * 5000, -(10**20)],
    ids=str,
)
def test_a_price_that_cannot_be_read_leaves_the_rest_of_the_entry_judged_and_is_told_once(form: object) -> None:
    world = World()
    world.poll(T0, phone(T0, on(2), "a", **OFF), *fleet_of(T0, "b"))
    odd: dict[str, Any] = {"monthly_renewal_cost": form, "current_price": form, **OFF}
    now = T0 + D
    found = world.poll(now, phone(now, on(2), "a", **odd), *fleet_of(now, "b"))
    assert found == ["data.invalid warning", "price.changed info 1", "renewal.upcoming critical 1"]
    text = next(alert.text for alert in world.told if alert.kind == "data.invalid")
    assert "current_price of 1 number cannot be read" in text
    assert "monthly_renewal_cost of 1 number cannot be read" in text
    assert world.poll(now + H, phone(now, on(2), "a", **odd), *fleet_of(now, "b")) == []
    later = [phone(now, on(2), name, **odd, current_status="suspended") for name in ("a", "b")]
    assert "status.changed critical 1" in world.poll(now + 2 * H, *later)  # the same kind of fault, in more numbers
    assert "current_price of 2 numbers" in world.watch.flaws[next(iter(world.watch.flaws))].text
    assert world.poll(now + 3 * H, phone(now, on(2), "a", **OFF), phone(now, on(2), "b", **OFF))[-1:] != []
    assert not world.watch.flaws
    assert "data.invalid warning" in world.poll(now + 4 * H, *later)  # it is news again


def test_only_an_entry_without_id_and_number_is_skipped_and_then_nobody_is_missing() -> None:
    world = World(Policy(missing_after_polls=2))
    rest = fleet_of(T0, *REST)
    world.poll(T0, phone(T0, on(60), "a"), *rest)
    for hours, skipped in enumerate((None, [], 7, {"renewal_date": "soon"}, {"id": {}, "number": []}, {"id": ""}), 1):
        found = world.poll(T0 + hours * H, *rest, skipped)
        assert found == (["data.invalid warning"] if hours == 1 else [])
        assert world.watch.flaws["entry"].entries == 1
    assert world.poll(T0 + 7 * H, *rest, None, 7)[:1] == []
    assert [world.poll(T0 + hours * H, *rest) for hours in (8, 9)] == [[], ["number.missing critical 60"]]


def test_an_entry_without_an_id_is_known_by_its_number_and_one_without_a_number_by_its_id() -> None:
    world = World(baseline=False)
    assert world.poll(T0, phone(T0, on(1), "a", number=None, **OFF)) == ["renewal.upcoming critical 1"]
    nameless = phone(T0, on(1), "b", **OFF)
    del nameless["id"]
    found = world.poll(T0 + H, nameless, phone(T0, on(1), "a", number=None, **OFF))
    assert found == ["data.invalid warning", "number.added info 1", "renewal.upcoming critical 1"]


@pytest.mark.parametrize(
    "gone",
    [
        {"renewal_date": None, "days_until_monthly_renewal": None},
        {"renewal_date": "", "days_until_monthly_renewal": ""},
        {"renewal_date": "0000-00-00", "days_until_monthly_renewal": {"days": 9}},
        {"renewal_date": "12/05/2026", "days_until_monthly_renewal": "soon"},
        {"renewal_date": 1796083200, "days_until_monthly_renewal": [9]},
        {"renewal_date": {"date": "2026-12-05"}, "days_until_monthly_renewal": "9 days"},
    ],
    ids=str,
)
def test_a_renewal_day_that_is_known_no_more_is_told_and_its_countdown_goes_on(gone: dict[str, Any]) -> None:
    world = World()
    names = ("a", "b", "c", "d", "e")
    world.poll(T0, *(phone(T0, on(5), name, **OFF) for name in names))
    entries = [phone(T0, on(5), name, **OFF, **gone) for name in names]
    found = world.poll(T0 + H, *entries)
    assert [words for words in found if words != "data.invalid warning"] == ["data.unknown warning"]
    assert "the renewal day of 5 numbers is not known any more" in world.text
    assert "(last known Sat 28 Nov 2026)" in world.text
    assert "renewal days" in world.watch.flaws
    assert world.poll(T0 + 2 * H, *entries) == []
    assert world.poll(T0 + 2 * D, *entries) == ["renewal.upcoming critical 3"] * 5
    assert world.text.endswith("(as last known; the list does not state its renewal day any more)")
    assert world.poll(T0 + 5 * D, *entries) == ["renewal.due critical 0"] * 5
    assert world.poll(T0 + 6 * D, *entries) == []  # nobody can see whether they renewed
    now = T0 + 7 * D
    assert world.poll(now, *(phone(now, on(5), name, **OFF) for name in names)) == [
        "watch.recovered info",
        *["renewal.overdue critical -2"] * 5,
    ]
    assert not world.watch.flaws


def test_a_first_list_without_any_renewal_day_is_told() -> None:
    world = World(baseline=False)
    bare: dict[str, Any] = {"renewal_date": None, "days_until_monthly_renewal": None}
    assert world.poll(T0, phone(T0, None, "a", **bare), phone(T0, None, "b", **bare)) == ["data.unknown warning"]
    assert "no renewal day is known of any number" in world.text
    other = World(baseline=False)
    assert other.poll(T0, phone(T0, None, "a", **bare), *fleet_of(T0, "b")) == ["data.unknown info"]


@pytest.mark.parametrize(
    ("fleet", "gone", "shrunk"),
    [
        (9, 3, True),
        (10, 3, False),  # 30 % is not over 30 %
        (10, 4, True),
        (4, 2, False),  # two are single losses
        (3, 3, True),
        (2, 2, True),  # an empty list is one whatever the size
        (1, 1, True),
        (100, 30, False),
        (100, 31, True),
    ],
)
def test_a_list_that_is_suddenly_empty_or_lost_many_is_one_alert(fleet: int, gone: int, *, shrunk: bool) -> None:
    world = World(Policy(missing_after_polls=1))
    names = [f"n-{i}" for i in range(fleet)]
    sandbox = phone(T0, on(60), "sandbox", is_sandbox=True)
    world.poll(T0, *fleet_of(T0, *names), *([sandbox] if gone < fleet else []))
    found = world.poll(T0 + H, *fleet_of(T0, *names[gone:]), *([sandbox] if gone < fleet else []))
    assert found == (["watch.list_shrunk critical"] if shrunk else ["number.missing critical 60"] * gone)
    assert not shrunk or f"{gone} of {fleet} number" in world.text


def test_a_shrunk_list_that_becomes_whole_again_is_told_and_nothing_was_missing() -> None:
    world = World()
    everybody = ("a", *REST)
    world.poll(T0, *fleet_of(T0, *everybody))
    story: list[tuple[int, Sequence[str], list[str]]] = [
        (1, (), ["watch.list_shrunk critical"]),
        (2, (), []),
        (5, (), []),
        (20, ("a", "b"), []),
        (23, everybody, ["watch.recovered info"]),
        (24, everybody, []),
        (30, everybody[5:], ["watch.list_shrunk critical"]),
        (40, everybody[2:], ["watch.recovered info"]),
    ]
    for hours, names, expected in story:
        assert world.poll(T0 + hours * H, *fleet_of(T0, *names)) == expected, hours
    assert "2 numbers are still not in it and will be reported as missing" in world.text
    assert world.poll(T0 + 41 * H, *fleet_of(T0, *everybody[2:])) == ["number.missing critical 58"] * 2


@pytest.mark.parametrize("left_over", [0, 4])
def test_a_list_that_stays_shrunk_for_24_hours_is_believed(left_over: int) -> None:
    world = World()
    everybody = ("a", *REST)
    rest = everybody[10 - left_over :]
    world.poll(T0, *fleet_of(T0, *everybody))
    for minutes in range(0, 24 * 60, 30):
        expected = [] if minutes else ["watch.list_shrunk critical"]
        assert world.poll(T0 + H + timedelta(minutes=minutes), *fleet_of(T0, *rest)) == expected
    assert world.poll(T0 + 25 * H, *fleet_of(T0, *rest)) == ["number.missing critical 59"] * (10 - left_over)
    assert world.poll(T0 + 26 * H, *fleet_of(T0, *rest)) == ([] if left_over else ["watch.list_empty warning"])
    assert world.watch.shrunk_at is None
    found = world.poll(T0 + 27 * H, *fleet_of(T0, *everybody))
    assert found[-10 + left_over :] == ["number.returned info 59"] * (10 - left_over)


def test_rare_polls_believe_a_shrunk_list_after_enough_of_them() -> None:
    world = World(Policy(missing_after_polls=3))
    everybody = ("a", *REST)
    world.poll(T0, *fleet_of(T0, *everybody))
    found = [world.poll(T0 + days * D, phone(T0, on(60), "z")) for days in range(1, 6)]
    assert [len(alerts) for alerts in found] == [2, 0, 10, 1, 0]  # the fourth: the countdown of z stands still


def test_the_countdown_goes_on_while_the_list_is_shrunk() -> None:
    world = World()
    names = ("a", "b", "c")
    world.poll(T0, *(phone(T0, on(4), name, **OFF) for name in names))
    assert world.poll(T0 + H) == ["watch.list_shrunk critical"]
    assert world.poll(T0 + 13 * H) == ["renewal.upcoming critical 3"] * 3


# --- which rental it is -----------------------------------------------------------------------------------------------


def test_a_number_under_another_id_is_the_same_rental_and_nothing_is_told_anew() -> None:
    world = World(Policy(missing_after_polls=1))
    world.poll(T0, phone(T0, on(3), "a", **OFF), *fleet_of(T0, *REST))
    pk = world.fleet["a"].pk
    again = phone(T0, on(3), "z", number="+1555000000a", **OFF)
    assert world.poll(T0 + H, again, *fleet_of(T0, *REST)) == []
    assert world.fleet["z"].pk == pk
    assert "a" not in world.fleet
    spaced = again | {"number": "+1 555 000 000a", "id": "y"}
    assert world.poll(T0 + 2 * H, spaced, *fleet_of(T0, *REST)) == []
    assert world.fleet["y"].pk == pk
    now = T0 + 2 * D
    later = phone(now, on(3), "y", number="+1555000000a", **OFF)
    assert "renewal.upcoming critical 1" in world.poll(now, later, *fleet_of(now, *REST))


def test_two_numbers_that_change_their_ids_stay_the_rentals_that_they_are() -> None:
    world = World()
    world.poll(T0, phone(T0, on(1), "a", **OFF), phone(T0, on(30), "b"))
    was = {known.number: known.pk for known in world.fleet.values()}
    swapped = [
        phone(T0, on(1), "b", number="+1555000000a", **OFF),
        phone(T0, on(30), "a", number="+1555000000b"),
    ]
    assert world.poll(T0 + H, *swapped) == []
    assert {known.number: known.pk for known in world.fleet.values()} == was


def test_an_id_that_has_another_number_is_told_and_so_is_a_second_number_under_an_id() -> None:
    world = World()
    world.poll(T0, phone(T0, on(30), "a"), *fleet_of(T0, "b"))
    found = world.poll(T0 + H, phone(T0, on(30), "a", number="+1999"), *fleet_of(T0, "b"))
    assert found == ["number.renumbered critical"]
    assert "+1555000000a (prod) is +1999 now" in world.text
    both = world.poll(
        T0 + 2 * H,
        phone(T0, on(30), "a", number="+1999"),
        phone(T0, on(1), "a", number="+2", **OFF),
        *fleet_of(T0, "b"),
    )
    assert both == ["number.added info 1", "renewal.upcoming critical 1"]
    assert world.poll(T0 + 3 * H, phone(T0, on(1), "a", number="+2", **OFF), *fleet_of(T0, "b")) == []
    assert world.fleet["a"].number == "+2"


def test_a_rental_that_comes_back_under_another_id_is_the_one_that_was_missing() -> None:
    world = World(Policy(missing_after_polls=1))
    world.poll(T0, phone(T0, on(60), "a"), *fleet_of(T0, *REST))
    assert world.poll(T0 + H, *fleet_of(T0, *REST)) == ["number.missing critical 60"]
    back = phone(T0, on(60), "z", number="+1555000000a")
    assert world.poll(T0 + 2 * H, back, *fleet_of(T0, *REST)) == ["number.returned info 60"]


def test_a_number_that_another_environment_lists_moved_there_and_is_not_missing() -> None:
    world = World(Policy(missing_after_polls=2))
    world.poll(T0, phone(T0, on(3), "a", **OFF), *fleet_of(T0, *REST))
    rest = listing(*fleet_of(T0, *REST))
    assert world.take(T0 + H, rest, elsewhere={"a": "sub"}) == ["number.moved warning"]
    assert "+1555000000a (prod) moved to sub" in world.text
    assert not turn.may_be_elsewhere(world.fleet["a"], T0 + H)
    assert [world.take(T0 + hours * H, rest) for hours in (2, 3, 4)] == [[], [], []]


def test_a_shrunken_list_is_judged_without_what_is_explained_and_names_the_first_few() -> None:
    names = [f"n-{i}" for i in range(9)]
    approved = Release(id="r", status="approved")
    world = World(Policy(missing_after_polls=1))
    world.poll(T0, *fleet_of(T0, *names))
    rest = listing(*fleet_of(T0, *names[3:]))
    found = world.take(T0 + H, rest, requests={"n-0": approved}, elsewhere={"n-1": "sub"})
    assert found == ["number.missing info 60", "number.moved warning", "number.missing critical 60"]
    other = World(Policy(missing_after_polls=1))
    other.poll(T0, *fleet_of(T0, *names))
    assert other.take(T0 + H, rest) == ["watch.list_shrunk critical"]
    assert "3 of 9 numbers left the list at once: +15550000000, +15550000001, +15550000002." in other.text


def test_a_missing_number_says_that_a_filter_may_be_why() -> None:
    world = World(Policy(missing_after_polls=1))
    world.poll(T0, phone(T0, on(60), "a"), *fleet_of(T0, *REST))
    world.take(T0 + H, listing(*fleet_of(T0, *REST)), filters={"has_voice": "true"})
    assert "fits the filters of this environment no more (has_voice=true)" in world.text


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [{}, {"renewal_date": None}, {"days_until_monthly_renewal": None}])
@pytest.mark.parametrize("off", [40 * D, -40 * D, 9 * H])
def test_by_two_clocks_that_differ_nothing_is_renewed_or_overdue(off: timedelta, shown: dict[str, Any]) -> None:
    world = World()
    world.poll(T0, *(phone(T0, on(2), name, **OFF | shown) for name in ("a", "b")))
    wrong = T0 + H + off  # the provider's clock, by which is judged, may be the wrong one
    same = listing(*(phone(T0, on(2), name, **OFF | shown) for name in ("a", "b")))
    found = world.take(wrong, same, clock_off=off)
    assert "watch.clock_off critical" in found
    assert not any("renewed" in words or "overdue" in words for words in found)
    found = world.take(T0 + 2 * H, same)
    assert "watch.recovered info" in found
    assert not any("renewed" in words or "overdue" in words for words in found)
    later = T0 + 4 * D
    assert "renewal.overdue critical -2" in world.poll(
        later, *(phone(later, on(2), name, **OFF) for name in ("a", "b"))
    )


def test_a_clock_that_stays_off_keeps_nobody_from_being_told_that_a_number_is_overdue() -> None:
    world = World()
    world.take(T0, listing(phone(T0, on(0), days_until_monthly_renewal=None, **OFF)), clock_off=D)
    found = []
    for days in (1, 2):
        now = T0 + days * D
        found += world.take(now, listing(phone(now, on(0), days_until_monthly_renewal=None, **OFF)), clock_off=D)
    assert found == ["renewal.overdue critical -1", "renewal.overdue critical -2"]


# --- the watch itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "story",
    [
        [  # a rejected token is told at once, and once
            (0, "token_rejected", ["watch.token_rejected critical"]),
            (1, "token_rejected", []),
            (2, "token_rejected", []),
            (5, "token_rejected", ["watch.stale critical"]),
            (20, "token_rejected", []),
            (21, "ok", ["watch.recovered info"]),
            (22, "ok", []),
            (23, "token_rejected", ["watch.token_rejected critical"]),
        ],
        [  # anything else after three polls in a row
            (0, "server_trouble", []),
            (1, "server_trouble", []),
            (1.5, "ok", []),
            (2, "server_trouble", []),
            (3, "not_the_api", []),
            (4, "rate_limited", ["watch.api_failing critical"]),
            (5, "server_trouble", []),
            (7.4, "server_trouble", []),
            (7.5, "server_trouble", ["watch.stale critical"]),
            (8, "server_trouble", []),
            (9, "ok", ["watch.recovered info"]),
        ],
        [  # it becomes stale between two polls
            (0, "server_trouble", []),
            (4.9, "wait", []),
            (5, "wait", ["watch.stale critical"]),
            (5.1, "wait", []),
            (6, "server_trouble", []),
            (7, "server_trouble", ["watch.api_failing critical"]),
            (8, "ok", ["watch.recovered info"]),
        ],
        [  # the first good list after a pause of the service itself: nobody was told that it was blind
            (100, "wait", []),
            (101, "ok", []),
        ],
    ],
    ids=["token", "failing", "stale", "pause"],
)
def test_the_watch_tells_once_that_it_is_blind_and_once_that_it_sees(story: list[tuple[float, str, list[str]]]) -> None:
    world = World()
    world.poll(T0 - H, *fleet_of(T0, "a"))
    for hours, what, expected in story:
        now = T0 + hours * H
        if what == "ok":
            assert world.poll(now, *fleet_of(now, "a")) == expected, hours
        elif what == "wait":
            assert world.wait(now) == expected, hours
        else:
            assert world.fail(now, what) == expected, hours


def test_an_environment_that_was_never_read_is_stale_from_its_first_try_on() -> None:
    world = World(baseline=False)
    assert [world.fail(T0 + hours * 2 * H) for hours in range(4)] == [
        [],
        [],
        ["watch.api_failing critical"],
        ["watch.stale critical"],
    ]
    assert "no list could be read ever" in world.text
    assert world.poll(T0 + 9 * H, phone(T0, on(60))) == ["watch.recovered info"]


def test_alerts_on_blindness_say_what_it_means() -> None:
    world = World()
    days = [60] * 14 + [7, 3, 1]
    numbers = [phone(T0, on(left), f"n-{i}") for i, left in enumerate(days)]
    world.poll(T0, *numbers, phone(T0, on(1), "sandbox", is_sandbox=True))
    consequence = "17 numbers are not being watched; 3 of them renew within 7 days"
    for hours, reason in enumerate(("token_rejected", "x", "x", "x", "x", "token_rejected"), 1):
        world.fail(T0 + hours * H, reason)
    blind = [alert for alert in world.told if alert.kind.startswith("watch.")]
    assert [alert.kind for alert in blind] == ["watch.token_rejected", "watch.api_failing", "watch.stale"]
    assert all(consequence in alert.text for alert in blind)
    assert all("it failed with " in alert.text for alert in blind)
    assert "at most hourly" in blind[0].text


def test_the_countdown_goes_on_while_the_api_cannot_be_read_and_alerts_say_since_when() -> None:
    world = World()
    world.poll(T0, phone(T0, on(4), "lost", **OFF), phone(T0, on(4), "renews", **ON), phone(T0, on(40), "far"))
    said_blind: dict[int, list[str]] = {}
    for hours in range(12, 8 * 24, 12):
        world.fail(T0 + hours * H)
    for alert in world.told:
        if alert.kind.startswith("renewal.") and alert.days_left != 4:
            said_blind.setdefault(alert.days_left or 0, []).append(f"{alert.kind} {alert.severity.name}")
            assert alert.text.endswith("(as last known at 2026-11-23 12:00 UTC; the list could not be read since)")
    assert said_blind == {
        3: ["renewal.upcoming critical", "renewal.upcoming info"],
        1: ["renewal.upcoming critical"],
        0: ["renewal.due critical", "renewal.due info"],
    }


def test_what_was_overdue_is_repeated_while_the_api_cannot_be_read_and_nothing_new_becomes_overdue() -> None:
    world = World(baseline=False)
    world.poll(T0, phone(T0, on(-1), "late"), phone(T0, on(0), "due"))
    world.fail(T0 + D)
    world.fail(T0 + 2 * D)
    world.fail(T0 + 3 * D)
    repeated = [alert for alert in world.told if alert.kind == "renewal.overdue"]
    assert [(alert.number_id, alert.days_left) for alert in repeated] == [("late", -1), ("late", -2), ("late", -3)]


def test_a_threshold_told_while_blind_is_not_told_again_with_the_list() -> None:
    world = World()
    world.poll(T0, phone(T0, on(4), **OFF))
    assert world.fail(T0 + D)[-1:] == ["renewal.upcoming critical 3"]
    now = T0 + D + H
    assert "renewal.upcoming critical 3" not in world.poll(now, phone(now, on(4), **OFF))


def test_a_zone_that_is_a_day_behind_does_not_miss_a_threshold_while_blind() -> None:
    world = World(Policy(zone="America/Los_Angeles"))
    start = datetime(2026, 11, 23, 4, tzinfo=UTC)
    world.poll(start, phone(start, date(2026, 12, 8), **OFF))
    assert world.fail(start + D)[-1:] == ["renewal.upcoming warning 14"]


def test_a_missing_number_is_neither_counted_nor_judged_while_blind() -> None:
    world = World(Policy(missing_after_polls=1))
    world.poll(T0, phone(T0, on(4), "a", **OFF), *fleet_of(T0, *REST))
    world.poll(T0 + H, *fleet_of(T0, *REST))
    assert "9 numbers are not being watched; 0 of them" in failing(world, T0 + 2 * D)
    assert world.told[-1].kind == "watch.api_failing" or world.told[-1].kind == "watch.stale"


# --- when to try again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (9, 3600), (1000, 3600)]
)
def test_a_failed_delivery_is_tried_again_ever_later_up_to_an_hour(attempts: int, seconds: int) -> None:
    early, middle, late = (retry.next_attempt(attempts, T0, chance) - T0 for chance in (0.0, 0.5, 1.0))
    assert middle == timedelta(seconds=seconds)
    assert (early, late) == (middle * 0.8, middle * 1.2)


@pytest.mark.parametrize(
    ("reason", "retry_after", "expected"),
    [
        ("token_rejected", None, H),
        ("token_rejected", timedelta(minutes=1), H),
        ("token_rejected", 2 * H, 2 * H),
        ("rate_limited", timedelta(minutes=1), timedelta(minutes=1)),
        ("server_trouble", None, None),
    ],
)
def test_a_rejected_token_is_tried_at_most_hourly(
    reason: str, retry_after: timedelta | None, expected: timedelta | None
) -> None:
    assert failures.next_poll_hold(reason, retry_after) == expected


def test_jitter_stays_within_its_bound() -> None:
    assert all(timedelta(0) <= retry.jitter(H) < H for _ in range(100))
    assert retry.jitter(timedelta(0)) == timedelta(0)


def test_an_error_of_any_length_fits_an_alert() -> None:
    assert len(failures.error_text("x" * 10_000)) <= 500


# --- every sentence ---------------------------------------------------------------------------------------------------


def test_each_line_names_number_environment_days_date_cost_auto_renewal_and_what_to_do() -> None:
    world = World(Policy(missing_after_polls=1))
    base: dict[str, Any] = {"monthly_renewal_cost": 2.5, "currency": "EUR"}
    changed: dict[str, Any] = {
        "current_status": "suspended",
        "auto_renewal": False,
        "has_voice": False,
        "has_fax": True,
        "current_price": 9,
    }
    rest = fleet_of(T0, *REST)
    world.poll(T0, phone(T0, on(3), **base), *rest)
    world.poll(T0 + H, phone(T0, on(3), **base, **changed), *rest)
    world.poll(T0 + 2 * H, phone(T0, on(3), **base), *rest)
    world.poll(T0 + 4 * H, *rest)
    world.poll(T0 + 5 * H, phone(T0, on(3), **base), *rest)
    world.poll(T0 + 3 * D, phone(T0 + 3 * D, on(3), **base), *rest)
    world.poll(T0 + 4 * D, phone(T0 + 4 * D, on(3), **base), *rest)
    world.poll(T0 + 5 * D, phone(T0 + 5 * D, on(33), **base), *rest)
    mine = [alert for alert in world.told if alert.number_id == "phone-1"]
    kinds = {alert.kind for alert in mine}
    assert kinds == {
        "renewal.upcoming", "renewal.due", "renewal.overdue", "renewal.renewed", "status.changed", "number.added",
        "number.missing", "number.returned", "auto_renewal.off", "auto_renewal.on", "price.changed", "capability.lost",
        "capability.gained",
    }  # fmt: skip
    advice = ("Nothing to do", "nothing to do", "the provider's dashboard", "balance", "ask the provider")
    for alert in mine:
        assert "+15550000001 (prod)" in alert.text
        assert any(f"{n} day" in alert.text for n in (3, 2, 1, 28)) or "today" in alert.text, alert.text
        assert "Nov 2026" in alert.text or "Dec 2026" in alert.text, alert.text
        assert "2.50 EUR" in alert.text, alert.text
        assert "uto-renewal is o" in alert.text, alert.text
        assert any(words in alert.text for words in advice), alert.text
        assert alert.headline.startswith("+15550000001")
        assert alert.days_left is not None
        assert not re.search(r"\s-\d", alert.text), "no negative days"


def test_hostile_text_of_the_provider_stays_text() -> None:
    world = World(baseline=False)
    shown = phone(T0, on(0), number="<@channel> *x*\n\x1b[31m", current_status="<b>`x`", currency="[a](http://b)")
    world.poll(T0, shown)
    for alert in world.told:
        assert not set("<>*`[]\n\x1b@&") & set(alert.text + alert.headline)


def test_keys_name_an_alert_for_ever() -> None:
    world = World(baseline=False)
    world.poll(T0, phone(T0, on(2), **OFF), phone(T0, on(-2), "phone-2"))
    assert [alert.key for alert in world.told] == [
        "prod/renewal.upcoming/phone-1/2026-11-25/3",
        "prod/renewal.overdue/phone-2/2026-11-21/1",
    ]


def test_what_is_remembered_of_a_number_is_what_was_told() -> None:
    world = World(baseline=False)
    world.poll(T0, phone(T0, on(2), **OFF))
    assert world.fleet["phone-1"].cycle == Cycle(renews_on=on(2).toordinal(), told_threshold=3)
    world.poll(T0 + H)
    assert world.fleet["phone-1"].absence == Absence(polls=1)
    assert number(monthly_renewal_cost="1.10").cost == Decimal("1.10")
