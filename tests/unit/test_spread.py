"""Many environments: their polls are spread over the interval, and those that are slow hold up no others."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.operations import poll
from renewal_watch.schedule.poll_slots import SLOW_S, Due, spread, to_begin
from renewal_watch.settings.environment import Environment
from renewal_watch.store.environments import Schedule

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NAMES = [f"customer-{number}" for number in range(1000)]
names = st.text("abcdefghij0123456789.-", min_size=1, max_size=20)
intervals = st.sampled_from([timedelta(seconds=10), timedelta(minutes=7), HOUR, timedelta(days=1)])
instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


# --- places within the interval ---------------------------------------------------------------------------------------


@few(200)
@given(instants, intervals, names)
def test_no_environment_waits_a_tenth_longer_or_less_than_its_interval(
    began: datetime, every: timedelta, name: str
) -> None:
    at = began
    for _ in range(8):
        after = spread(at + every, every=every, name=name)
        assert 0.9 * every <= after - at <= 1.1 * every
        at = after


@few(100)
@given(instants, intervals, names)
def test_after_five_polls_it_is_at_its_place_and_stays_there(began: datetime, every: timedelta, name: str) -> None:
    at = began
    for _ in range(6):
        at = spread(at + every, every=every, name=name)
    after = spread(at + every, every=every, name=name)
    assert abs(after - at - every) <= timedelta(microseconds=1)


@pytest.mark.parametrize("every", [HOUR, timedelta(minutes=10), timedelta(days=1)])
def test_a_thousand_that_began_at_once_are_spread_evenly_after_some_polls(every: timedelta) -> None:
    polled = dict.fromkeys(NAMES, T0)
    for _ in range(6):
        polled = {name: spread(at + every, every=every, name=name) for name, at in polled.items()}
    first = min(polled.values())
    slots = Counter(int((at - first) / every * 20) % 20 for at in polled.values())
    assert len(slots) == 20
    assert all(25 <= count <= 80 for count in slots.values()), (
        "fifty in each twentieth of the interval, as chance has it"
    )


def test_the_place_is_the_same_in_every_process() -> None:
    """It comes from the name alone: two daemons that share the work agree, and nobody moves when another is added."""
    at = T0
    for _ in range(6):
        at = spread(at + HOUR, every=HOUR, name="customer-7")
    assert (at - datetime(1970, 1, 1, tzinfo=UTC)) % HOUR == timedelta(minutes=26, seconds=31, microseconds=511124)


def test_a_poll_that_was_late_goes_back_to_its_place() -> None:
    at = T0
    for _ in range(6):
        at = spread(at + HOUR, every=HOUR, name="customer-7")
    late = spread(at + 4 * MINUTE + HOUR, every=HOUR, name="customer-7")
    assert abs(late - (at + HOUR)) <= timedelta(microseconds=1)


@pytest.mark.parametrize("every", ["10s", "1h", "2d"])
def test_the_longest_spread_is_not_taken_for_a_clock_that_was_put_back(every: str) -> None:
    one = Environment(name="a", base_url="x", token="t", poll_every=every)
    at = T0 + one.interval * 1.1 + one.jitter
    kept = Schedule(next_poll_at=at)
    assert not poll.is_due(one, kept, "UTC", T0)
    assert poll.is_due(one, kept, "UTC", at)
    assert poll.is_due(one, kept, "UTC", T0 - 10 * one.interval - 10 * MINUTE), "that is one"


def test_a_cron_line_is_not_searched_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Environment(name="a", base_url="x", token="t", poll_cron="17 3 * * 2")
    kept = Schedule(next_poll_at=T0 + timedelta(hours=15, minutes=17))
    searched: list[datetime] = []
    search = poll.next_poll
    monkeypatch.setattr(poll, "next_poll", lambda after, **how: searched.append(after) or search(after, **how))
    for second in range(600):
        assert not poll.is_due(one, kept, "UTC", T0 + timedelta(seconds=second))
    assert len(searched) <= 10
    assert poll.is_due(one, Schedule(next_poll_at=T0 + timedelta(days=30)), "UTC", T0), "the clock was put back"


# --- places side by side ----------------------------------------------------------------------------------------------


def due(count: int, took_s: float | None = 0, *, first: datetime | None = T0, name: str = "quick") -> list[Due]:
    return [Due(f"{name}-{n:03}", first and first + timedelta(seconds=n), took_s) for n in range(count)]


def test_no_more_are_polled_at_once_than_the_limit() -> None:
    assert len(to_begin(due(1000), [], 16)) == 16
    assert len(to_begin(due(1000), [0.1] * 10, 16)) == 6
    assert to_begin(due(1000), [0.1] * 16, 16) == []
    assert to_begin(due(1000), [0.1] * 40, 16) == [], "the limit was made smaller meanwhile"
    assert len(to_begin(due(3), [], 16)) == 3


def test_the_one_that_is_due_the_longest_is_polled_first() -> None:
    late, later = Due("late", T0, 0), Due("later", T0 - MINUTE, 0)
    assert to_begin([late, later], [], 1) == ["later"]
    assert to_begin([late, later, Due("new", None, 0)], [], 2) == ["new", "later"]


@pytest.mark.parametrize(("at_once", "slow"), [(1, 1), (2, 1), (4, 3), (16, 12), (256, 192)])
def test_what_was_slow_the_last_time_leaves_a_quarter_of_the_places_to_the_others(at_once: int, slow: int) -> None:
    crowd = due(1000, 30, first=T0 - HOUR, name="slow")
    assert len(to_begin(crowd, [], at_once)) == slow
    assert to_begin(crowd, [30.0] * slow, at_once) == []
    begun = to_begin([*crowd, *due(5)], [30.0] * slow, at_once)
    assert [one.rpartition("-")[0] for one in begun] == ["quick"] * min(5, at_once - slow)


def test_one_whose_speed_nobody_knows_takes_no_place_of_the_quick_ones() -> None:
    assert len(to_begin(due(1000, None, first=None, name="new"), [], 16)) == 12
    begun = to_begin([*due(1000, None, first=None, name="new"), *due(10)], [], 16)
    assert sum(one.startswith("quick") for one in begun) == 4


def test_a_poll_that_takes_long_for_the_first_time_counts_as_slow() -> None:
    """Twelve that were quick hang by now: no known slow one joins them, the quick ones have what is left."""
    assert to_begin(due(9, 30, name="slow"), [SLOW_S + 1.0] * 12, 16) == []
    assert len(to_begin(due(9), [SLOW_S + 1.0] * 12, 16)) == 4


@few(100)
@given(
    st.integers(1, 40),
    st.lists(st.sampled_from([0.0, 30.0, None]), max_size=60),
    st.lists(st.sampled_from([0.1, 30.0])),
)
def test_places_are_never_idle_while_somebody_may_have_them(
    at_once: int, waiting: list[float | None], under_way: list[float]
) -> None:
    those = [Due(str(n), T0, took) for n, took in enumerate(waiting)]
    begun = to_begin(those, under_way, at_once)
    assert len(set(begun)) == len(begun) <= max(0, at_once - len(under_way))
    quick = {one.name for one in those if one.took_s == 0}
    if quick - set(begun):
        assert len(begun) == max(0, at_once - len(under_way)), "a quick one waits only where all places are taken"


def test_forty_slow_ones_among_a_thousand_hold_up_nobody_for_long() -> None:
    """Played through: quick polls take half a second, slow ones half a minute; all were polled before, all are due now."""
    slow = {f"customer-{number}" for number in range(0, 1000, 25)}
    waiting = {name: Due(name, T0, 30 if name in slow else 0) for name in NAMES}
    under_way: dict[str, tuple[float, float]] = {}  # until when, and how long
    clock, ended = 0.0, {}
    while waiting or under_way:
        for name in [name for name, (until, _) in under_way.items() if until <= clock]:
            ended[name] = clock
            del under_way[name]
        for name in to_begin(waiting.values(), [took for _, took in under_way.values()], 16):
            took = 30.0 if name in slow else 0.5
            under_way[name] = (clock + took, took)
            del waiting[name]
        clock += 0.5
    assert max(at for name, at in ended.items() if name not in slow) <= 130, "four places, two a second each"
    assert max(ended.values()) <= 140, "and the slow ones twelve at a time"
