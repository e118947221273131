"""What holds for any fleet and any sequence of polls, failures and pauses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from conftest import T0
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few
from test_rules import World

from renewal_watch.detect import turn
from renewal_watch.model import renewal_day
from renewal_watch.model.policy import Policy

QUICK = few(20, suppress_health_check=[HealthCheck.too_slow])
NAMES = ("a", "b", "c", "d")
THRESHOLDS = st.lists(st.integers(0, 30), max_size=4, unique=True).map(tuple)
POLICIES = st.builds(
    Policy,
    zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"]),
    warn_days=THRESHOLDS,
    auto_renewal_warn_days=THRESHOLDS,
    missing_after_polls=st.integers(1, 4),
    include_sandbox=st.booleans(),
)


@st.composite
def any_entries(draw: st.DrawFn) -> dict[str, Any]:
    """An entry whose fields have nothing to do with each other, as a provider in trouble sends it."""
    one: dict[str, Any] = entry(draw(st.sampled_from(NAMES)))
    if draw(st.integers(0, 9)) == 0:
        return one | {"renewal_date": "soon"}
    days = draw(st.one_of(st.none(), st.integers(-40, 60)))
    return one | {
        "days_until_monthly_renewal": draw(
            st.one_of(st.none(), st.integers(-40, 60), st.floats(-40, 60), st.integers(-40, 60).map(str))
        ),
        "renewal_date": None if days is None else (T0.date() + timedelta(days=days)).isoformat(),
        "is_due_for_monthly_renewal": draw(st.sampled_from([True, False, None])),
        "auto_renewal": draw(st.sampled_from([True, False, None])),
        "is_sandbox": draw(st.sampled_from([False, False, None, True])),
        "current_status": draw(st.sampled_from(["active", "suspended", "pending", "ported", None])),
        "monthly_renewal_cost": draw(st.sampled_from([None, 1, "2.50", 0])),
        "has_voice": draw(st.sampled_from([True, None])),
    }


LISTS = st.lists(any_entries(), max_size=5)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 80),  # hours since the step before
        st.one_of(LISTS, st.sampled_from(["again", "again", "token_rejected", "server_trouble", "wait"])),
    ),
    max_size=12,
)


def play(world: World, steps: list[tuple[int, Any]]) -> None:
    now = T0
    last: list[dict[str, Any]] = []
    for hours, what in steps:
        now += timedelta(hours=hours, seconds=1)
        if what == "wait":
            world.wait(now)
        elif what == "again":
            world.poll(now, *last)
        elif isinstance(what, str):
            world.fail(now, what)
        else:
            last = what
            world.poll(now, *last)
        for known in world.fleet.values():
            assert known.cycle is None or known.cycle.overdue_told == 0 or known.cycle.overdue_at is not None


@QUICK
@given(policy=POLICIES, baseline=st.booleans(), steps=STEPS)
def test_no_sequence_of_polls_breaks_the_rules_or_tells_a_key_twice(
    policy: Policy, steps: list[tuple[int, Any]], *, baseline: bool
) -> None:
    world = World(policy, baseline=baseline)
    play(world, steps)
    assert max(Counter(alert.key for alert in world.told).values(), default=1) == 1
    assert all(alert.text and alert.headline and "\n" not in alert.text for alert in world.told)


@QUICK
@given(policy=POLICIES, steps=STEPS, shown=LISTS)
def test_an_unchanged_list_gives_nothing_new(
    policy: Policy, steps: list[tuple[int, Any]], shown: list[dict[str, Any]]
) -> None:
    world = World(replace(policy, missing_after_polls=1000))
    play(world, steps)
    now = T0 + timedelta(days=100)
    for _ in range(3):  # the third in a row tells what contradicts itself
        world.poll(now, *shown)
    fleet, watch, versions = dict(world.fleet), world.watch, world.versions
    assert world.poll(now, *shown) == []
    assert world.versions == versions
    absent = {name for name, known in world.fleet.items() if known.absence is not None}
    assert {name: known for name, known in world.fleet.items() if name not in absent} == {
        name: known for name, known in fleet.items() if name not in absent
    }
    assert world.watch == watch


@QUICK
@given(policy=POLICIES, steps=STEPS, shown=LISTS, other=st.randoms(use_true_random=False))
def test_the_order_of_the_entries_is_irrelevant(
    policy: Policy, steps: list[tuple[int, Any]], shown: list[dict[str, Any]], other: Any
) -> None:
    unique = list({one["id"]: one for one in shown}.values())
    shuffled = list(unique)
    other.shuffle(shuffled)
    told = []
    for order in (unique, shuffled):
        world = World(policy)
        play(world, steps)
        told.append((sorted(world.poll(T0 + timedelta(days=100), *order)), set(world.fleet), world.watch))
    assert told[0] == told[1]


@QUICK
@example(  # a failed poll, by a countdown that came a day later than before, is no other cycle
    thresholds=(2,),
    left=9,
    turn_h=2,
    wobble=[0, 0, 1],
    pauses=[(hours, "ok") for hours in (1, 1, 1, 35, 35, 60, 60, 12, 23)] + [(1, "fails")],
    auto=False,
)
@given(
    thresholds=st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True).map(tuple),
    left=st.integers(1, 45),
    turn_h=st.integers(0, 23),
    wobble=st.lists(st.integers(-1, 1), min_size=1, max_size=5),
    pauses=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["ok", "ok", "ok", "fails"])), min_size=1, max_size=60
    ),
    auto=st.booleans(),
)
def test_the_tightest_threshold_is_never_missed_and_none_is_told_twice(
    thresholds: tuple[int, ...],
    left: int,
    turn_h: int,
    wobble: list[int],
    pauses: list[tuple[int, str]],
    *,
    auto: bool,
) -> None:
    """One cycle of one number up to its day, over good polls, failed polls and pauses of any length."""
    world = World(Policy(warn_days=thresholds, auto_renewal_warn_days=thresholds))
    start = T0.date()
    now = T0
    tightest: int | None = None  # of all that the provider said so far
    for count, (hours, what) in enumerate(pauses):
        here = (now - timedelta(hours=turn_h)).date()
        renews: date = start + timedelta(days=left + wobble[count % len(wobble)])
        days = (renews - here).days
        if days < 0:
            break
        if what == "ok":
            shown = entry(renewal_date=renews.isoformat(), days_until_monthly_renewal=days, auto_renewal=auto)
            world.poll(now, shown)
            reached = turn.tightest(days, (*thresholds, 0) if days == 0 else thresholds)
            if reached is not None:
                tightest = reached if tightest is None else min(reached, tightest)
            if tightest is not None:
                cycle = world.fleet["phone-1"].cycle
                assert cycle is not None
                assert cycle.told_threshold is not None
                assert cycle.told_threshold <= tightest
        elif world.fleet:
            world.fail(now)
        now += timedelta(hours=hours)
    keys = [alert.key.split("/")[-2:] for alert in world.told if alert.kind in ("renewal.upcoming", "renewal.due")]
    assert len({day for day, _ in keys}) <= 1, "one cycle, however its day wobbles"
    told = [int(threshold) for _, threshold in keys]
    assert told == sorted(set(told), reverse=True), "each once, ever tighter"


@QUICK
@given(zero_h=st.integers(-2000, 2000), now_h=st.integers(-2000, 2000), turn_h=st.integers(0, 23))
def test_a_countdown_and_the_instant_of_its_zero_say_the_same(zero_h: int, now_h: int, turn_h: int) -> None:
    now_s = int((T0 + timedelta(hours=now_h)).timestamp())
    countdown = renewal_day.countdown_at(now_s + zero_h * 3600, now_s)
    zero_at = renewal_day.zero_of(countdown, now_s, turn_h * 3600)
    assert renewal_day.countdown_at(zero_at, now_s) == countdown
    assert (zero_at - turn_h * 3600) % 86_400 == 0
    assert renewal_day.countdown_at(zero_at, now_s + 86_400) == countdown - 1


@QUICK
@given(
    countdown=st.integers(-50, 50),
    off=st.sampled_from([-1, 1]),
    ago_h=st.integers(0, 500),
    phase=st.integers(0, 86_399),
)
def test_a_corrected_countdown_is_what_the_provider_says_now(countdown: int, off: int, ago_h: int, phase: int) -> None:
    now_s = int(T0.timestamp())
    world = World()
    world.poll(T0, entry())
    known = world.fleet["phone-1"]._replace(zero_at=now_s - phase + (countdown + off) * 86_400)
    assert renewal_day.countdown_at(known.zero_at or 0, now_s) == countdown + off
    zero_at = renewal_day.corrected_zero(countdown, known, now_s, now_s - ago_h * 3600)
    assert renewal_day.countdown_at(zero_at, now_s) == countdown


@QUICK
@given(shown=LISTS, steps=STEPS)
def test_what_a_verdict_writes_is_every_number_once_and_every_new_one(
    shown: list[dict[str, Any]], steps: list[tuple[int, Any]]
) -> None:
    world = World()
    play(world, steps)  # World checks each verdict
    world.poll(T0 + timedelta(days=100), *shown)
    readable = listing(*shown).entries
    assert set(readable) <= set(world.fleet)
    assert world.watch.numbers == len(readable)
    assert all(known.pk > 0 for known in world.fleet.values())
