"""Numbers that are meant to go: the last chance, the alarm if they renew all the same; and what still holds, in words of today.

That the renewal alerts of such numbers are hidden is for the routing to say; here is what the rules say of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from conftest import T0
from made_up import entry, listing
from test_rules import OFF, ON, D, H, World, on, phone

from renewal_watch.detect.current import Current, facts_now
from renewal_watch.model.alerts import Alert, Incident, Key, Severity
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Lapse, Verdict

NAME = "phone-1"


class Meant(World):
    """A world that can mark numbers, and that remembers what its last verdict ended without an alert."""

    ended: list[Key]

    def _apply(self, verdict: Verdict) -> list[str]:
        self.ended = list(verdict.ended)
        return super()._apply(verdict)

    def lapse(self, name: str = NAME, *, known: bool = True) -> None:
        """As the command does: with the renewal day last known."""
        old = self.fleet[name]
        self.fleet[name] = old._replace(lapse=Lapse(old.renews_on if known else None))

    def about_lapse(self) -> list[Alert]:
        return [alert for alert in self.told if alert.kind.startswith("lapse.")]


def marked(left: int, policy: Policy | None = None, **changes: Any) -> Meant:
    """A world at T0 with one number that renews in ``left`` days and is meant to go, beside one that stays."""
    world = Meant(policy)
    world.poll(T0, phone(T0, on(left), **changes), entry("phone-2"))
    world.lapse()
    return world


def polled(world: World, now: datetime, day: date | None, **changes: Any) -> list[str]:
    """What a poll says of the marked number."""
    return world.poll(now, phone(now, day, **changes), phone(now, on(60), "phone-2"))


def of_lapse(said: list[str]) -> list[str]:
    return [one for one in said if one.startswith("lapse.")]


# --- the last chance --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [OFF, ON], ids=["auto-renewal off", "auto-renewal on"])
@pytest.mark.parametrize("shown", ["as documented", "date only", "countdown only"])
@pytest.mark.parametrize("lapse_days", [0, 1, 2, 5, 14, 20])
def test_the_last_chance_is_told_once_on_its_day(lapse_days: int, changes: dict[str, Any], shown: str) -> None:
    missing = {"date only": "days_until_monthly_renewal", "countdown only": "renewal_date"}.get(shown)
    extra = changes | ({missing: None} if missing else {})
    world = marked(25, Policy(lapse_days=lapse_days), **extra)
    told = {}
    for hours in range(0, 30 * 24, 8):
        now = T0 + hours * H
        if said := of_lapse(polled(world, now, on(25), **extra)):
            told[now.date()] = said
    assert told == {on(25 - lapse_days): [f"lapse.last_chance warning {lapse_days}"]}


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (3, []),
        (2, ["lapse.last_chance warning 2"]),
        (1, ["lapse.last_chance warning 1"]),
        (0, ["lapse.last_chance warning 0"]),
        (-1, []),  # too late to change one's mind
        (-9, []),
    ],
)
def test_a_last_chance_that_was_missed_is_told_as_long_as_there_is_one(left: int, expected: list[str]) -> None:
    world = marked(10, **OFF)
    now = T0 + (10 - left) * D
    assert of_lapse(polled(world, now, on(10), **OFF)) == expected
    assert of_lapse(polled(world, now + H, on(10), **OFF)) == []


@pytest.mark.parametrize("left", [2, 1, 0])
def test_a_number_marked_at_the_last_moment_still_has_its_last_chance(left: int) -> None:
    world = marked(left, **OFF)
    assert of_lapse(polled(world, T0 + H, on(left), **OFF)) == [f"lapse.last_chance warning {left}"]


@pytest.mark.parametrize(
    ("zone", "hour", "told"),
    [
        # a number with a date only: the day begins where the watch lives
        ("UTC", "2026-12-01T23:59:59+00:00", False),
        ("UTC", "2026-12-02T00:00:00+00:00", True),
        ("Pacific/Kiritimati", "2026-12-01T09:59:59+00:00", False),
        ("Pacific/Kiritimati", "2026-12-01T10:00:00+00:00", True),
        ("America/Los_Angeles", "2026-12-02T07:59:59+00:00", False),
        ("America/Los_Angeles", "2026-12-02T08:00:00+00:00", True),
        ("Europe/Berlin", "2026-12-01T22:59:59+00:00", False),
        ("Europe/Berlin", "2026-12-01T23:00:00+00:00", True),
    ],
)
def test_the_day_of_the_last_chance_is_a_day_of_the_configured_zone(zone: str, hour: str, *, told: bool) -> None:
    world = Meant(Policy(zone=zone))
    dated = {"renewal_date": "2026-12-04", "days_until_monthly_renewal": None, **OFF}
    world.poll(T0, entry(**dated))
    world.lapse()
    said = world.poll(datetime.fromisoformat(hour), entry(**dated))
    assert of_lapse(said) == (["lapse.last_chance warning 2"] if told else [])


@pytest.mark.parametrize(
    ("changes", "left", "headline", "sentence"),
    [
        (
            OFF,
            2,
            "+15550000001 lapses in 2 days, as meant",
            (
                "+15550000001 (prod) lapses in 2 days, as meant, on Wed 25 Nov 2026: auto-renewal is off, to keep it, renew "
                "it in the provider's dashboard for 1.00 USD now; else there is nothing to do."
            ),
        ),
        (
            ON,
            1,
            "+15550000001 is meant to expire, but renews in 1 day",
            (
                "+15550000001 (prod) is meant to expire, but renews in 1 day, on Tue 24 Nov 2026: auto-renewal is on, 1.00 USD "
                "will be charged. Switch auto-renewal off in the provider's dashboard now."
            ),
        ),
        (
            {"auto_renewal": None},
            0,
            "+15550000001 lapses today, as meant",
            (
                "+15550000001 (prod) lapses today, as meant, on Mon 23 Nov 2026: auto-renewal is not stated, to keep it, renew "
                "it in the provider's dashboard for 1.00 USD now; else there is nothing to do."
            ),
        ),
    ],
)
def test_the_last_chance_says_what_to_do_either_way(
    changes: dict[str, Any], left: int, headline: str, sentence: str
) -> None:
    world = marked(left, **changes)
    polled(world, T0 + H, on(left), **changes)
    (alert,) = world.about_lapse()
    assert (alert.headline, alert.text) == (headline, sentence)
    assert (alert.topic, alert.ends) == ("last chance", False)


def test_a_number_that_nobody_marked_has_no_last_chance() -> None:
    world = Meant()
    for days in range(12):
        now = T0 + days * D
        polled(world, now, on(10), **OFF)
    assert world.about_lapse() == []


def test_a_mark_taken_back_leaves_nothing_of_it() -> None:
    world = marked(3, **OFF)
    assert of_lapse(polled(world, T0 + D, on(3), **OFF)) == ["lapse.last_chance warning 2"]
    world.fleet[NAME] = world.fleet[NAME]._replace(lapse=None)
    now = T0 + 3 * D
    polled(world, now, on(3), **OFF)
    assert polled(world, now + H, on(33), **OFF) == ["renewal.renewed info 30"]


@pytest.mark.parametrize("again", [0, 1])
def test_a_mark_set_anew_in_the_same_cycle_tells_the_last_chance_no_second_time(again: int) -> None:
    world = marked(2, **OFF)
    polled(world, T0 + H, on(2), **OFF)
    world.lapse()
    assert of_lapse(polled(world, T0 + again * D + 2 * H, on(2), **OFF)) == []


# --- it renews all the same -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [OFF, ON], ids=["auto-renewal off", "auto-renewal on"])
@pytest.mark.parametrize("moved", [7, 28, 30, 31, 365])
@pytest.mark.parametrize("left", [14, 2, 1, 0, -1, -3])
def test_a_renewal_all_the_same_is_critical_and_no_good_news(left: int, moved: int, changes: dict[str, Any]) -> None:
    world = marked(15, **changes)
    now = T0 + (15 - left) * D
    polled(world, now, on(15), **changes)
    said = polled(world, now + H, on(15 + moved), **changes)
    rest = left + moved
    assert f"lapse.renewed critical {rest}" in said
    assert not [one for one in said if one.startswith("renewal.renewed")]
    assert of_lapse(polled(world, now + 2 * H, on(15 + moved), **changes)) == []


def test_the_alarm_says_what_was_paid_and_both_ways_out() -> None:
    world = marked(1, **ON)
    polled(world, T0 + D, on(1), **ON)
    polled(world, T0 + 2 * D, on(31), monthly_renewal_cost=3.5, **ON)
    alert = next(one for one in world.told if one.kind == "lapse.renewed")
    assert alert.headline == "+15550000001 renewed, but was meant to expire"
    assert alert.text == (
        "+15550000001 (prod) renewed, but was meant to expire: 1.00 USD paid, the next renewal is in 29 days, on "
        "Thu 24 Dec 2026; auto-renewal is on. Release it in the provider's dashboard, or keep it: renewal-watch lapse "
        "--withdraw +15550000001"
    )
    assert (alert.topic, alert.ends) == ("lapse", False)  # told again until somebody acts


@pytest.mark.parametrize("shown", ["as documented", "date only", "countdown only"])
def test_each_cycle_has_its_last_chance_and_its_alarm(shown: str) -> None:
    missing = {"date only": "days_until_monthly_renewal", "countdown only": "renewal_date"}.get(shown)
    extra = ON | ({missing: None} if missing else {})
    world = marked(10, **extra)
    told = []
    for hours in range(0, 80 * 24, 12):
        now = T0 + hours * H
        cycle = max(0, ((now.date() - on(10)).days - 1) // 30 + 1)  # renewed the day after
        told += of_lapse(polled(world, now, on(10 + 30 * cycle), **extra))
    assert told == [
        "lapse.last_chance warning 2",
        "lapse.renewed critical 29",
        "lapse.last_chance warning 2",
        "lapse.renewed critical 29",
        "lapse.last_chance warning 2",
        "lapse.renewed critical 29",
    ]
    assert not [one for one in world.told if one.kind == "renewal.renewed"]


def test_a_number_that_no_threshold_reached_is_found_renewed_as_well() -> None:
    world = marked(20, Policy(warn_days=(0,), auto_renewal_warn_days=(), lapse_days=0), **ON)
    assert world.fleet[NAME].cycle is None
    assert polled(world, T0 + D, on(50), **ON) == ["lapse.renewed critical 49"]


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        (1, []),  # a wobble
        (-1, []),
        (2, []),
        (3, ["lapse.last_chance warning 2"]),  # postponed: the last chance is another one
        (6, ["lapse.last_chance warning 2"]),
    ],
)
def test_a_renewal_day_that_is_put_off_is_no_renewal(moved: int, expected: list[str]) -> None:
    world = marked(4, **OFF)
    assert of_lapse(polled(world, T0 + 2 * D, on(4), **OFF)) == ["lapse.last_chance warning 2"]
    now = T0 + 3 * D
    said = of_lapse(polled(world, now, on(4 + moved), **OFF))
    while now.date() < on(4 + moved):
        now += 12 * H
        said += of_lapse(polled(world, now, on(4 + moved), **OFF))
    assert said == expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("extra", [{}, {"renewal_date": None}, {"days_until_monthly_renewal": None}])
def test_a_day_that_wobbles_for_weeks_has_one_last_chance_and_no_alarm(seed: int, extra: dict[str, Any]) -> None:
    world = marked(20, **OFF, **extra)
    for hours in range(0, 22 * 24, 5):
        now = T0 + hours * H
        wobble = (-1, 0, 1, 0, 1, -1, 1)[(hours // 5 * (seed + 1)) % 7]
        polled(world, now, on(20) + wobble * D, **OFF, **extra)
    assert [alert.kind for alert in world.about_lapse()] == ["lapse.last_chance"]


@pytest.mark.parametrize("left", [20, 2, 0])
def test_a_number_without_a_known_day_is_told_once_it_has_one(left: int) -> None:
    world = Meant()
    world.poll(T0, phone(T0, None, **OFF))
    world.lapse()
    assert world.fleet[NAME].lapse == Lapse(None)
    assert of_lapse(world.poll(T0 + H, phone(T0 + H, None, **OFF))) == []
    said = of_lapse(world.poll(T0 + 2 * H, phone(T0 + 2 * H, on(left), **OFF)))
    assert said == ([f"lapse.last_chance warning {left}"] if left <= 2 else [])
    assert world.fleet[NAME].lapse == Lapse(on(left).toordinal(), on(left).toordinal() if left <= 2 else None)
    now = T0 + max(left, 1) * D
    assert of_lapse(world.poll(now, phone(now, on(left + 30), **OFF))) == [
        f"lapse.renewed critical {left + 30 - max(left, 1)}"
    ]


def test_a_day_that_was_unknown_for_a_while_is_compared_with_the_one_before() -> None:
    world = marked(5, **OFF)
    for hours in (1, 2):
        assert of_lapse(polled(world, T0 + hours * H, None, **OFF)) == []
    assert of_lapse(polled(world, T0 + 3 * H, on(35), **OFF)) == ["lapse.renewed critical 35"]


# --- it goes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["as documented", "date only", "countdown only"])
@pytest.mark.parametrize("after_polls", [1, 3])
@pytest.mark.parametrize(
    ("left", "severity", "words"),
    [
        (20, "warning", "gone before its day, as meant"),
        (3, "warning", "gone before its day, as meant"),
        (1, "warning", "gone before its day, as meant"),
        (0, "info", "gone, as meant"),
        (-1, "info", "gone, as meant"),
        (-9, "info", "gone, as meant"),
    ],
)
def test_a_number_that_goes_on_its_day_or_after_is_gone_as_meant(
    left: int, severity: str, words: str, after_polls: int, shown: str
) -> None:
    missing = {"date only": "days_until_monthly_renewal", "countdown only": "renewal_date"}.get(shown)
    extra = OFF | ({missing: None} if missing else {})
    world = marked(25, Policy(missing_after_polls=after_polls), **extra)
    now = T0 + (25 - left) * D - 2 * H
    polled(world, now, on(25), **extra)
    said = []
    for poll in range(after_polls):
        said = world.poll(now + poll * H, phone(now, on(60), "phone-2"))
    assert said == [f"number.missing {severity} {left}"]
    assert world.told[-1].headline == f"+15550000001 is {words}"
    assert ("nothing to do" in world.text) == (severity == "info")
    assert ("ask the provider" in world.text) == (severity == "warning")


def test_a_number_that_goes_with_its_mark_leaves_no_incident_behind() -> None:
    world = marked(1, **ON)
    polled(world, T0 + 2 * D, on(31), **ON)
    assert world.told[-1].kind == "lapse.renewed"
    for hours in range(3):
        world.poll(T0 + 3 * D + hours * H, phone(T0, on(60), "phone-2"))
    assert "number.missing" in {alert.kind for alert in world.told}
    topics = {key.topic for key in world.ended if key.number_id == NAME}
    assert topics >= {"renewal", "status", "price", "capability", "lapse"}


def test_a_number_that_comes_back_is_still_meant_to_go() -> None:
    world = marked(1, **OFF)
    now = T0 + 2 * D
    for hours in range(3):
        world.poll(now + hours * H, phone(now, on(60), "phone-2"))
    assert world.told[-1].headline == "+15550000001 is gone, as meant"
    said = polled(world, now + 4 * H, on(31), **OFF)
    assert said == ["lapse.renewed critical 29", "number.returned info 29"]
    assert world.fleet[NAME].lapse is not None


@pytest.mark.parametrize(
    ("left", "status", "severity"),
    [
        (5, "suspended", "critical"),
        (1, "inactive", "critical"),
        (1, "pending", "warning"),
        (0, "suspended", "info"),
        (0, "pending", "info"),
        (-1, "suspended", "info"),
        (-1, "inactive", "info"),
        (-3, "released", "info"),  # not documented
        (-3, None, "info"),
    ],
)
def test_a_number_that_stops_working_on_its_day_or_after_does_as_meant(
    left: int, status: str | None, severity: str
) -> None:
    world = marked(10, **OFF)
    now = T0 + (10 - left) * D - H
    polled(world, now, on(10), **OFF)
    said = polled(world, now + H, on(10), current_status=status, **OFF)
    assert said == [f"status.changed {severity} {left}"]


def test_without_the_mark_going_and_stopping_are_critical_whatever_the_day() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(1), **OFF), entry("phone-2"))
    now = T0 + 2 * D
    said = polled(world, now, on(1), current_status="suspended", **OFF)
    assert "status.changed critical -1" in said
    for hours in range(1, 4):
        said = world.poll(now + hours * H, phone(now, on(60), "phone-2"))
    assert said == ["number.missing critical -1"]


# --- auto-renewal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [20, 5, 1, 0, -2])
def test_auto_renewal_switched_on_contradicts_the_mark(left: int) -> None:
    world = marked(25, **OFF)
    now = T0 + (25 - left) * D - H
    polled(world, now, on(25), **OFF)
    said = polled(world, now + H, on(25), **ON)
    assert said[0] == f"auto_renewal.on warning {left}"
    alert = next(one for one in world.told if one.kind == "auto_renewal.on")
    assert alert.headline == "+15550000001 is meant to expire, but auto-renewal is on"
    assert "Switch it off in the provider's dashboard" in alert.text
    assert alert.text.endswith("renewal-watch lapse --withdraw +15550000001")


def test_auto_renewal_switched_on_for_a_number_that_is_to_stay_is_good_news() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20), **OFF))
    assert world.poll(T0 + H, phone(T0 + H, on(20), **ON)) == ["auto_renewal.on info 20"]


# --- nothing can be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lapse_days", [0, 2, 14])
def test_the_last_chance_is_told_while_blind_and_says_since_when(lapse_days: int) -> None:
    world = marked(20, Policy(lapse_days=lapse_days), **OFF)
    polled(world, T0 + D, on(20), **OFF)
    told = {}
    for hours in range(25, 24 * 24, 7):
        now = T0 + hours * H
        if said := of_lapse(world.fail(now)):
            told[now.date()] = said
    assert told == {on(20 - lapse_days): [f"lapse.last_chance warning {lapse_days}"]}
    (alert,) = world.about_lapse()
    assert alert.text.endswith("(as last known at 2026-11-24 12:00 UTC; the list could not be read since)")


def test_the_last_chance_is_told_while_blind_however_narrow_the_thresholds_are() -> None:
    world = marked(20, Policy(warn_days=(1,), auto_renewal_warn_days=(), lapse_days=7), **OFF)
    said = {left: of_lapse(world.fail(T0 + (20 - left) * D)) for left in (9, 8, 7, 6, 5)}
    assert said == {9: [], 8: [], 7: ["lapse.last_chance warning 7"], 6: [], 5: []}


@pytest.mark.parametrize("broken", [[], [{"renewal_date": "no date"}], [entry(renewal_date="no date", **OFF)]])
def test_the_last_chance_is_told_of_a_number_that_is_not_in_the_list_now(broken: list[dict[str, Any]]) -> None:
    world = marked(3, Policy(missing_after_polls=10), **OFF)
    now = T0 + D
    for one in broken:
        if "id" in one:
            one["days_until_monthly_renewal"] = "soon"
    said = world.take(now, listing(phone(now, on(60), "phone-2"), *broken))
    assert of_lapse(said) == ["lapse.last_chance warning 2"]
    (alert,) = world.about_lapse()
    assert "(as last known; " in alert.text


def test_that_it_renewed_is_not_concluded_while_blind_and_told_at_the_next_list() -> None:
    world = marked(2, **ON)
    for days in range(1, 6):
        assert "lapse.renewed" not in " ".join(world.fail(T0 + days * D))
    now = T0 + 6 * D
    assert "lapse.renewed critical 26" in polled(world, now, on(32), **ON)


def test_failed_polls_between_forget_nothing_of_the_mark() -> None:
    world = marked(4, **OFF)
    world.fail(T0 + D)
    assert of_lapse(polled(world, T0 + 2 * D, on(4), **OFF)) == ["lapse.last_chance warning 2"]
    assert of_lapse(world.fail(T0 + 2 * D + H)) == []
    assert of_lapse(world.fail(T0 + 3 * D)) == []
    assert of_lapse(polled(world, T0 + 3 * D + H, on(4), **OFF)) == []


# --- what still holds -------------------------------------------------------------------------------------------------

READ = " (as last known at 2026-11-23 12:00 UTC; the list could not be read since)"
LOST = (
    "+15550000001 (prod) will be lost in {}, on {}: auto-renewal is off, renewing costs 1.00 USD. Switch auto-renewal on or "
    "renew it in the provider's dashboard."
)


def incident(kind: str, severity: Severity = Severity.critical) -> Incident:
    return Incident(id=1, name="k", alert_id=1, kind=kind, severity=severity, rank=20, opened_at=T0, notified_at=T0)


def current(world: World, topic: str, kind: str, now: datetime, name: str = NAME) -> Current | None:
    return facts_now(
        Key("prod", name, topic),
        incident(kind),
        world.parsed.get(name),
        world.fleet.get(name),
        world.watch,
        world.policy,
        now,
    )


def sentence(found: Current | None) -> str | None:
    """What is said today; an empty string where what was said before still says it, None where it is over."""
    return None if found is None else found.facts.words()[1]


@pytest.mark.parametrize(
    ("kind", "changes", "left", "expected"),
    [
        # told at 2 days left or before; what a reminder says when so many days are left
        ("renewal.upcoming", OFF, 2, LOST.format("2 days", "Wed 25 Nov 2026")),
        ("renewal.upcoming", OFF, 1, LOST.format("1 day", "Wed 25 Nov 2026")),
        (
            "renewal.upcoming",
            OFF,
            0,
            (
                "+15550000001 (prod) will be lost today, Wed 25 Nov 2026: auto-renewal is off, renewing costs 1.00 USD. Renew it "
                "in the provider's dashboard now."
            ),
        ),
        (
            "renewal.upcoming",
            ON,
            1,
            (
                "+15550000001 (prod) renews in 1 day, on Wed 25 Nov 2026: auto-renewal is on, 1.00 USD will be charged. Make "
                "sure that the balance covers it."
            ),
        ),
        ("renewal.due", OFF, 1, LOST.format("1 day", "Wed 25 Nov 2026")),  # flagged early: the day is what matters
        ("auto_renewal.off", OFF, 1, LOST.format("1 day", "Wed 25 Nov 2026")),
        ("renewal.upcoming", OFF, -1, ""),  # that it failed is for a list to say
        ("renewal.due", ON, -4, ""),
    ],
)
def test_a_renewal_that_was_told_is_repeated_with_the_days_of_today(
    kind: str, changes: dict[str, Any], left: int, expected: str
) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(2), **changes))
    found = current(world, "renewal", kind, T0 + (2 - left) * D)
    assert sentence(found) == expected
    assert found is not None
    assert (found.days_left, found.number) == (left, world.parsed[NAME])


def test_what_is_overdue_is_repeated_with_the_days_of_today() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(0), **OFF))
    world.poll(T0 + D, phone(T0 + D, on(0), **OFF))
    for days in (1, 2, 5, 30):
        found = current(world, "renewal", "renewal.overdue", T0 + days * D)
        assert found is not None
        assert found.facts.words()[0] == f"+15550000001 is overdue by {'1 day' if days == 1 else f'{days} days'}"
        assert "it should have renewed on Mon 23 Nov 2026 and did not" in found.facts.words()[1]
        assert found.days_left == -days


def renewed(world: World) -> None:
    world.poll(T0 + H, phone(T0 + H, on(32), **OFF))


def gone(world: World) -> None:
    for hours in range(1, 4):
        world.poll(T0 + hours * H, phone(T0, on(60), "phone-2"))


def sandboxed(world: World) -> None:
    world.poll(T0 + H, phone(T0 + H, on(2), is_sandbox=True, current_status="suspended", **OFF))


def never_seen(world: World) -> None:
    del world.fleet[NAME], world.parsed[NAME]


@pytest.mark.parametrize("then", [renewed, gone, sandboxed, never_seen])
def test_a_renewal_that_is_over_is_not_repeated(then: Callable[[World], None]) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(2), **OFF), entry("phone-2"))
    assert current(world, "renewal", "renewal.upcoming", T0) is not None
    then(world)
    assert current(world, "renewal", "renewal.upcoming", T0 + 3 * H) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [(OFF, LOST.format("20 days", "Sun 13 Dec 2026")), ({"auto_renewal": None}, "…"), (ON, None)],
)
def test_auto_renewal_that_is_off_holds_far_from_the_day_and_until_it_is_on(
    changes: dict[str, Any], expected: str | None
) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20), **changes))
    found = current(world, "renewal", "auto_renewal.off", T0)
    assert (sentence(found) is None) == (expected is None)
    if changes is OFF:
        assert sentence(found) == expected


@pytest.mark.parametrize("status", ["suspended", "inactive", "pending", "released", None])
def test_a_status_holds_as_long_as_it_is_not_active(status: str | None) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20), current_status=status, **OFF))
    found = current(world, "status", "status.changed", T0 + 3 * D)
    assert found is not None
    assert found.days_left == 17
    assert f"+15550000001 (prod) is still {status or 'without a status'}. " in (sentence(found) or "")
    assert "It will be lost in 17 days, on Sun 13 Dec 2026" in (sentence(found) or "")
    world.poll(T0 + 3 * D, phone(T0 + 3 * D, on(20), **OFF))
    assert current(world, "status", "status.changed", T0 + 4 * D) is None


def test_a_status_holds_without_a_renewal_day() -> None:
    world = Meant()
    world.poll(T0, phone(T0, None, current_status="suspended"))
    found = current(world, "status", "status.changed", T0 + D)
    assert "no renewal day is known" in (sentence(found) or "").lower()


@pytest.mark.parametrize(
    ("topic", "kind"), [("status", "status.changed"), ("price", "price.changed"), ("capability", "capability.lost")]
)
def test_nothing_of_a_missing_number_holds_but_that_it_is_missing(topic: str, kind: str) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20), current_status="suspended"), entry("phone-2"))
    assert current(world, topic, kind, T0) is not None
    assert current(world, "presence", "number.missing", T0) is None
    gone(world)
    assert current(world, topic, kind, T0 + 3 * H) is None
    found = current(world, "presence", "number.missing", T0 + 3 * D)
    assert sentence(found) == ""
    assert found is not None
    assert found.number == world.parsed[NAME]
    world.poll(T0 + 4 * D, phone(T0 + 4 * D, on(20)), entry("phone-2"))
    assert current(world, "presence", "number.missing", T0 + 4 * D) is None


@pytest.mark.parametrize(("topic", "kind"), [("price", "price.changed"), ("capability", "capability.lost")])
def test_a_price_and_a_lost_capability_are_said_as_they_were(topic: str, kind: str) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20)))
    found = current(world, topic, kind, T0 + 3 * D)
    assert sentence(found) == ""
    assert found is not None
    assert (found.days_left, found.number) == (17, world.parsed[NAME])


def test_a_renewal_that_was_not_meant_holds_as_long_as_the_mark_does() -> None:
    world = marked(1, **ON)
    polled(world, T0 + 2 * D, on(31), **ON)
    found = current(world, "lapse", "lapse.renewed", T0 + 3 * D)
    assert sentence(found) == ""
    assert found is not None
    assert found.days_left == 28
    world.fleet[NAME] = world.fleet[NAME]._replace(lapse=None)
    assert current(world, "lapse", "lapse.renewed", T0 + 3 * D) is None


def test_the_words_say_when_they_are_of_yesterday() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(2), **OFF))
    assert READ not in (sentence(current(world, "renewal", "renewal.upcoming", T0 + D)) or "")
    world.fail(T0 + H)
    assert sentence(current(world, "renewal", "renewal.upcoming", T0 + D)) == (
        LOST.format("1 day", "Wed 25 Nov 2026") + READ
    )


def test_the_words_say_when_the_number_is_not_in_the_list_now() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(2), **OFF), entry("phone-2"))
    world.poll(T0 + H, phone(T0, on(60), "phone-2"))
    assert (sentence(current(world, "renewal", "renewal.upcoming", T0 + D)) or "").endswith(
        "(as last known; it is not in the list now)"
    )


@pytest.mark.parametrize(
    ("zone", "at", "left"),
    [
        ("UTC", "2026-11-24T23:59:00+00:00", 1),
        ("UTC", "2026-11-25T00:00:00+00:00", 0),
        ("Pacific/Kiritimati", "2026-11-24T10:00:00+00:00", 0),
        ("America/Los_Angeles", "2026-11-25T07:59:00+00:00", 1),
    ],
)
def test_the_days_of_today_are_those_of_the_configured_zone(zone: str, at: str, left: int) -> None:
    world = Meant(Policy(zone=zone))
    world.poll(T0, phone(T0, on(2), days_until_monthly_renewal=None, **OFF))
    found = current(world, "renewal", "renewal.upcoming", datetime.fromisoformat(at))
    assert found is not None
    assert found.days_left == left


def test_trouble_with_the_api_holds_until_a_list_comes() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20)))
    assert current(world, "api", "watch.api_failing", T0, "") is None
    for hours in range(1, 4):
        assert current(world, "api", "watch.api_failing", T0, "") is None  # so far nothing was told
        world.fail(T0 + hours * H)
    assert current(world, "api", "watch.api_failing", T0 + 4 * H, "") == Current()
    world.poll(T0 + 5 * H, phone(T0 + 5 * H, on(20)))
    assert current(world, "api", "watch.api_failing", T0 + 6 * H, "") is None


@pytest.mark.parametrize(
    ("reason", "kind"), [("token_rejected", "watch.token_rejected"), ("server_trouble", "watch.stale")]
)
def test_a_rejected_token_and_a_stale_list_hold_as_well(reason: str, kind: str) -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20)))
    world.fail(T0 + 7 * H, reason)
    assert world.told[-1].kind in (kind, "watch.stale")
    assert current(world, "api", kind, T0 + 8 * H, "") == Current()
    world.poll(T0 + 9 * H, phone(T0 + 9 * H, on(20)))
    assert current(world, "api", kind, T0 + 9 * H, "") is None


def test_a_list_that_shrank_holds_until_it_is_whole() -> None:
    world = Meant()
    those = [f"phone-{n}" for n in range(1, 7)]
    world.poll(T0, *(phone(T0, on(20), name) for name in those))
    assert current(world, "list", "watch.list_shrunk", T0, "") is None
    world.poll(T0 + H, phone(T0, on(20)))
    assert current(world, "list", "watch.list_shrunk", T0 + H, "") == Current()
    assert current(world, "api", "watch.api_failing", T0 + H, "") is None
    world.poll(T0 + 2 * H, *(phone(T0, on(20), name) for name in those))
    assert current(world, "list", "watch.list_shrunk", T0 + 2 * H, "") is None


def test_entries_that_cannot_be_read_hold_until_all_can() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20)), entry("phone-2", renewal_date="no date"))
    assert current(world, "data", "data.invalid", T0, "") == Current()
    world.poll(T0 + H, phone(T0, on(20)), entry("phone-2"))
    assert current(world, "data", "data.invalid", T0 + H, "") is None


def test_what_nobody_knows_does_not_hold() -> None:
    world = Meant()
    world.poll(T0, phone(T0, on(20)))
    assert current(world, "renewal", "renewal.upcoming", T0, "") is None
    assert current(world, "status", "status.changed", T0, "phone-9") is None
    assert current(world, "", "number.added", T0, "") is None


def test_sandbox_numbers_hold_where_they_are_watched() -> None:
    world = Meant(Policy(include_sandbox=True))
    world.poll(T0, phone(T0, on(2), is_sandbox=True, **OFF))
    assert current(world, "renewal", "renewal.upcoming", T0) is not None
    world.policy = replace(world.policy, include_sandbox=False)
    assert current(world, "renewal", "renewal.upcoming", T0) is None


def test_restating_knows_no_clock_of_its_own() -> None:
    world = Meant()
    long_ago = datetime(2001, 1, 1, 12, tzinfo=UTC)
    world.poll(long_ago, phone(long_ago, long_ago.date() + timedelta(days=2), **OFF))
    found = current(world, "renewal", "renewal.upcoming", long_ago + D)
    assert found is not None
    assert found.days_left == 1
