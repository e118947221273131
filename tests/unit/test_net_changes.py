"""The net effect of two lists on one number: what is another now, in which group, and since when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from made_up import entry

from renewal_watch.alerts.phrases import in_zone
from renewal_watch.errors import UsageError
from renewal_watch.reports.past.changes import GROUPS, Change, Changed, Compared, Found, changes_json, net
from renewal_watch.reports.past.changes_text import also, change_words, group_name, head, lines, notes
from renewal_watch.reports.past.span import Span, asked
from renewal_watch.store.differences import Difference, Lists
from renewal_watch.store.history import difference

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LISTS = Lists(1, T0, 9, T0 + DAY)
SEEN = T0 + DAY / 2


def between(before: dict[str, Any], now: dict[str, Any], **more: Any) -> Difference:
    """A number that was listed so, and is now otherwise."""
    times = dict.fromkeys(difference(before, now), SEEN)
    given = {"is_new": False, "was_listed": True, "is_listed": True, "moved_to": None, "times": times} | more
    return Difference(environment_id=1, number_id=1, provider_id="phone-1", before=before, now=now, **given)


def found(before: dict[str, Any], now: dict[str, Any], zone: str = "UTC") -> list[tuple[str, str | None, str | None]]:
    return [(one.what, one.before, one.now) for one in net(between(entry(**before), entry(**now)), LISTS, zone)]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, {"current_status": "suspended"}, [("status", "active", "suspended")]),
        ({}, {"current_status": "ACTIVE "}, []),
        ({}, {"current_status": None}, [("status", "active", None)]),
        ({}, {"monthly_renewal_cost": 1.25}, [("dearer", "1.0", "1.25")]),
        ({}, {"monthly_renewal_cost": "0.5"}, [("cheaper", "1.0", "0.5")]),
        ({}, {"monthly_renewal_cost": "1.00"}, []),
        ({}, {"currency": "EUR"}, [("repriced", "1.0", "1.0")]),
        ({}, {"monthly_renewal_cost": None, "current_price": None}, [("repriced", "1.0", None)]),
        ({}, {"current_price": 2}, [("dearer", "1.0", "2")]),
        ({}, {"auto_renewal": False}, [("auto_renewal_off", "on", "off")]),
        ({"auto_renewal": False}, {"auto_renewal": None}, []),
        ({"auto_renewal": None}, {}, [("auto_renewal_on", None, "on")]),
        (
            {},
            {"has_sms": False, "has_fax": True},
            [("capability_lost", "sms", None), ("capability_gained", None, "fax")],
        ),
        ({}, {"number": "+1 (555) 000-0001"}, []),
        ({}, {"number": "+15550000099"}, [("renumbered", "+15550000001", "+15550000099")]),
        ({}, {"is_sandbox": True}, [("sandbox", "off", "on")]),
        ({}, {"updated_at": "2026-11-23T00:00:00Z"}, []),
    ],
)
def test_what_is_another_is_said_with_both_values(
    before: dict[str, Any], now: dict[str, Any], expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert found(before, now) == expected


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((1, "2026-11-24"), (30, "2026-12-24"), "renewed"),
        ((-3, "2026-11-20"), (26, "2026-12-20"), "renewed"),
        ((30, "2026-12-23"), (60, "2027-01-23"), "renewal_day"),
        ((10, "2026-12-03"), (4, "2026-11-28"), "renewal_day"),
        ((10, "2026-12-03"), (12, "2026-12-06"), "renewal_day"),
        ((10, "2026-12-03"), (10, "2026-12-04"), ""),
        ((10, "2026-12-03"), (None, None), "renewal_day"),
        ((None, None), (5, "2026-11-29"), "renewal_day"),
    ],
)
def test_a_renewal_is_a_day_that_moved_on_when_it_was_near(
    before: tuple[int | None, str | None], now: tuple[int | None, str | None], expected: str
) -> None:
    given = [{"days_until_monthly_renewal": one[0], "renewal_date": one[1]} for one in (before, now)]
    assert [one[0] for one in found(*given)] == ([expected] if expected else [])


def test_a_countdown_that_ticked_is_no_change() -> None:
    before, now = entry(days_until_monthly_renewal=30), entry(days_until_monthly_renewal=29)
    assert net(between(before, now, times={"updated_at": SEEN}), LISTS, "UTC") == []


def test_what_cannot_be_read_counts_as_unknown() -> None:
    said = net(between(entry(), entry(monthly_renewal_cost="much", current_status="suspended")), LISTS, "UTC")
    assert [one.what for one in said] == ["status"], "the current price stands in for the cost"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"was_listed": True, "is_listed": False}, [("gone", None)]),
        ({"was_listed": True, "is_listed": False, "moved_to": "test"}, [("moved", "test")]),
        ({"was_listed": False, "is_listed": True}, [("returned", None)]),
        ({"was_listed": False, "is_listed": True, "is_new": True}, [("added", None)]),
        ({"was_listed": False, "is_listed": False, "is_new": True}, [("came_and_went", None)]),
        ({"was_listed": True, "is_listed": True}, []),
        ({"was_listed": False, "is_listed": False}, []),
    ],
)
def test_coming_and_going_is_said_once(state: dict[str, Any], expected: list[tuple[str, str | None]]) -> None:
    said = net(between(entry(), entry(), times={"": SEEN}, **state), LISTS, "UTC")
    assert [(one.what, one.now) for one in said] == expected
    assert {one.seen_at for one in said} <= {SEEN}


def test_the_most_urgent_comes_first_and_carries_its_time() -> None:
    before, now = entry(), entry(has_fax=True, monthly_renewal_cost=2, current_status="suspended")
    later = {"has_fax": SEEN, "monthly_renewal_cost": SEEN + DAY / 4, "current_status": SEEN + DAY / 8, "": T0}
    said = net(between(before, now, times=later, is_listed=False), LISTS, "UTC")
    assert [one.what for one in said] == ["gone", "status", "dearer", "capability_gained"]
    assert [one.seen_at for one in said] == [T0, SEEN + DAY / 8, SEEN + DAY / 4, SEEN]


# --- words ------------------------------------------------------------------------------------------------------------


def changed(number: str, *changes: Change, environment: str = "production") -> Changed:
    return Changed(environment=environment, id="phone-1", number=number, status="active", changes=changes)


def test_every_group_has_a_name_and_every_change_words() -> None:
    values = {"renewed": ("2026-11-24", "2026-12-24"), "renewal_day": ("2026-11-24", None), "dearer": ("1", "2.5")}
    for group in GROUPS:
        before, now = values.get(group, ("1", "2"))
        assert group_name(group)
        said = change_words(Change(group, SEEN, before, now, "USD", "USD"))
        assert said
        assert "None" not in said
    assert change_words(Change("dearer", SEEN, "1", "1500", "JPY", "JPY")) == "1 JPY → 1,500 JPY"
    assert change_words(Change("renewed", SEEN, "2026-11-24", "2026-12-24")) == "Tue 24 Nov 2026 → Thu 24 Dec 2026"
    assert change_words(Change("status", SEEN, None, "suspended")) == "not stated → suspended"


def test_lines_count_first_and_say_all_of_a_number() -> None:
    made = Found(span=Span(T0, T0 + DAY))
    made.numbers = [
        changed("+15550000001", Change("gone", SEEN), Change("status", SEEN, "active", "*odd*")),
        changed("+15550000002", Change("dearer", SEEN, "1", "2", "USD", "USD")),
    ]
    made.others, made.other_fields["updated_at"] = 2, 2
    with in_zone("America/Sao_Paulo"):
        said = list(lines(made))
    assert said == [
        "2 numbers changed between 2026-11-23 09:00 -03 and 2026-11-24 09:00 -03: 1 gone, 1 dearer",
        "",
        "Gone (1)",
        "  +15550000001  production  not listed since 2026-11-23 21:00 -03  with another status: active → ∗odd∗",
        "",
        "Dearer (1)",
        "  +15550000002  production  1.00 USD → 2.00 USD",
        "",
        "2 numbers changed in other fields only: updated_at",
    ]
    assert changes_json(made, most=1)["total"] == 2
    assert len(changes_json(made, most=1)["numbers"]) == 1
    assert changes_json(made)["counts"] | {"gone": 1, "dearer": 1} == changes_json(made)["counts"]


def test_the_same_kind_twice_is_named_once() -> None:
    one = changed("+1", Change("capability_lost", SEEN, "sms"), Change("capability_lost", SEEN, "mms"))
    assert also(one) == "mms"


def test_nothing_is_a_sentence_and_what_nobody_knows_is_said() -> None:
    made = Found(span=Span(T0, T0 + DAY))
    assert head(made) == "Nothing changed between 2026-11-23 12:00 UTC and 2026-11-24 12:00 UTC."
    made.environments = [
        Compared("whole", T0, T0 + DAY, T0),
        Compared("none", None, None, None),
        Compared("short", T0 + DAY / 2, T0 + DAY, T0 + DAY / 2, is_short=True),
        Compared("far", T0 - DAY, T0, T0 - 9 * DAY, is_far=True, is_stale=True),
        Compared("thinned", T0 - 20 * DAY, T0 + DAY, T0 - 99 * DAY, is_far=True, is_thinned=True),
    ]
    assert notes(made) == [
        "none: no list was read by then",
        "short: its history begins 2026-11-24 00:00 UTC; what was before is not known",
        (
            "far: the list before that is of 2026-11-22 12:00 UTC; what changed since then is told as well;"
            " no list was read after 2026-11-23 12:00 UTC; what changed since then is not known"
        ),
        (
            "thinned: of so long ago one list a month is kept, the one before that is of 2026-11-03 12:00 UTC; what changed"
            " since then is told as well"
        ),
    ]
    made.environments = [Compared(f"e{place}", None, None, None) for place in range(12)]
    assert notes(made)[-1] == "and 2 more environments"


# --- spans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("yesterday", "", ("2026-11-22T03:00:00", "2026-11-23T12:00:00")),
        ("yesterday", "yesterday", ("2026-11-22T03:00:00", "2026-11-23T02:59:59")),
        ("today", "today", ("2026-11-23T03:00:00", "2026-11-23T12:00:00")),
        ("3d", "12h", ("2026-11-20T12:00:00", "2026-11-23T00:00:00")),
        ("2026-11-01", "2026-11-02", ("2026-11-01T03:00:00", "2026-11-03T02:59:59")),
        ("2026-11-01T10:00Z", "2026-11-01T10:00", ("2026-11-01T10:00:00", "2026-11-01T13:00:00")),
    ],
)
def test_a_span_is_asked_for_as_people_write_it(since: str, until: str, expected: tuple[str, str]) -> None:
    span = asked(since, until, T0, "America/Sao_Paulo")
    assert tuple(at.isoformat()[:19] for at in span) == expected


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("soon", "", "--since: 'soon' is not a time; write it like 2026-11-23, 2026-11-23T10:00, yesterday, 3d or 12h"),
        ("2026-12-01", "", "--since: '2026-12-01' is not past"),
        ("yesterday", "2026-01-01", "--until: '2026-01-01' is not after the beginning"),
        ("yesterday", "9999-12-31", None),
        ("0001-01-01", "", None),
        ("0001-01-01T00:00+14:00", "", "--since: '0001-01-01T00:00+14:00' lies outside the calendar"),
        ("99999d", "", None),
    ],
)
def test_what_is_no_span_is_refused_in_a_sentence(since: str, until: str, said: str | None) -> None:
    if said is None:
        assert asked(since, until, T0, "UTC", prefix="--").until <= T0
        return
    with pytest.raises(UsageError) as error:
        asked(since, until, T0, "UTC", prefix="--")
    assert str(error.value) == said


def test_days_in_a_zone_are_those_of_the_zone() -> None:
    before = {"days_until_monthly_renewal": None, "renewal_date": "2026-11-24T23:30:00-05:00"}
    now = {"days_until_monthly_renewal": None, "renewal_date": "2026-12-24T23:30:00-05:00"}
    assert found(before, now, "America/New_York") == [("renewed", "2026-11-24", "2026-12-24")]
    assert found(before, now, "UTC") == [("renewed", "2026-11-25", date(2026, 12, 25).isoformat())]
