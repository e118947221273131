"""What renewals cost by month: counted ahead from the list, read behind from the history, against a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from conftest import T0
from databases import BOTH, opened
from hypothesis import given
from hypothesis import strategies as st
from made_up import emptied, entry, listing
from rounds import few
from world import write_config

from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.errors import UsageError
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.reports import forecast
from renewal_watch.reports.forecast import Forecast, Month, Sum
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.maintenance import retention
from renewal_watch.store.numbers import find_number
from renewal_watch.store.renewals import past_renewals
from renewal_watch.store.renewals.past_renewals import Place

pytestmark = BOTH

DAY = timedelta(days=1)
AUGUST = datetime(2026, 8, 1, 12, tzinfo=UTC)


class Watched:
    """A database, and polls of made-up lists into it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    def polls(self, at: datetime, *entries: dict[str, Any], environment: str = "production") -> None:
        one = self.settings.environment(environment)
        source = type("Source", (), {"fetch": lambda _: listing(*entries)})()
        done = poll.run_once(
            self.store, one, source, self.settings.policy(one), Routing.of(self.settings, {}), lambda: at
        )
        assert done.error is None

    def look(self, now: datetime = T0, months: int = 3, **how: Any) -> Forecast:
        with self.store.transaction() as tx:
            return forecast.look(tx, self.settings, now, months, **how)

    def month(self, month: str, now: datetime = T0, currency: str = "USD", environment: str = "production") -> Month:
        (found,) = [
            one
            for one in self.look(now, 6).months
            if f"{one.month:%Y-%m}" == month and one.place == Place(environment, currency)
        ]
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    more = '[[environments]]\nname = "staging"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_other_made_up"\n'
    folder = tmp_path_factory.mktemp("forecast")
    settings = load(write_config(folder, "http://127.0.0.1:1", more=more))
    store = opened(folder / "renewal-watch.db")
    store.upgrade()
    yield Watched(store, settings)
    store.close()


@pytest.fixture
def watched(made: Watched) -> Watched:
    emptied(made.store)
    return made


def one(index: int, on: date | str | None, at: datetime = T0, **changes: Any) -> dict[str, Any]:
    """A number that renews on a day, with the countdown that stands beside it."""
    day = date.fromisoformat(on) if isinstance(on, str) else on
    days = None if day is None else (day - at.date()).days
    return entry(f"phone-{index}", renewal_date=day and day.isoformat(), days_until_monthly_renewal=days) | changes


def told(found: Forecast) -> dict[tuple[str, str, str], tuple[int, str]]:
    """What is to come, by month, environment and currency."""
    return {
        (f"{one.month:%Y-%m}", *one.place): (one.ahead.numbers, str(one.ahead.amount))
        for one in found.months
        if one.ahead.numbers
    }


# --- ahead ------------------------------------------------------------------------------------------------------------


def test_each_month_environment_and_currency_has_a_sum_of_its_own(watched: Watched) -> None:
    euro = {"currency": "EUR", "monthly_renewal_cost": 0.1}
    watched.polls(T0, one(1, "2026-11-30"), one(2, "2026-12-02"), *(one(i, "2026-12-05", **euro) for i in (3, 4, 5)))
    watched.polls(T0, one(1, "2026-12-01", monthly_renewal_cost=7), environment="staging")
    assert told(watched.look()) == {
        ("2026-11", "production", "USD"): (1, "1.0"),
        ("2026-12", "production", "EUR"): (3, "0.3"),
        ("2026-12", "production", "USD"): (2, "2.0"),
        ("2026-12", "staging", "USD"): (1, "7"),
        ("2027-01", "production", "EUR"): (3, "0.3"),
        ("2027-01", "production", "USD"): (2, "2.0"),
        ("2027-01", "staging", "USD"): (1, "7"),
    }


def test_one_environment_alone(watched: Watched) -> None:
    watched.polls(T0, one(1, "2026-11-30"))
    watched.polls(T0, one(1, "2026-11-30"), environment="staging")
    assert {one.place.environment for one in watched.look(environment="staging").months} == {"staging"}
    with pytest.raises(UsageError, match="elsewhere"):
        watched.look(environment="elsewhere")


def test_the_31st_is_the_last_of_shorter_months(watched: Watched) -> None:
    """Once a month: no month is left out, none counts twice, as thirty days from the 31st of January would."""
    at = datetime(2027, 1, 15, 12, tzinfo=UTC)
    watched.polls(at, one(1, "2027-01-31", at))
    assert [one.ahead.numbers for one in watched.look(at, 14).months] == [0, *[1] * 14]


@given(st.dates(date(2026, 1, 1), date(2028, 12, 31)), st.integers(0, 40))
def test_a_day_of_another_month_is_that_day_or_its_month_s_last(day: date, count: int) -> None:
    found = past_renewals.add_months(day, count)
    assert (found.year * 12 + found.month) - (day.year * 12 + day.month) == count
    assert found.day == day.day or (found + DAY).day == 1
    assert found.day <= day.day


def test_what_does_not_renew_by_itself_is_apart(watched: Watched) -> None:
    watched.polls(
        T0, one(1, "2026-12-01"), one(2, "2026-12-02", auto_renewal=False), one(3, "2026-12-02", auto_renewal=None)
    )
    december = watched.month("2026-12")
    assert (december.ahead, december.if_renewed) == (Sum(1, Decimal(1), 0), Sum(2, Decimal(2), 0))


def test_what_is_gone_or_meant_to_go_is_not_counted(watched: Watched) -> None:
    everyone = [one(i, "2026-12-20") for i in range(1, 12)]
    everyone[1]["is_sandbox"] = True
    watched.polls(T0 - timedelta(hours=4), *everyone, one(12, None))
    for hour in (3, 2, 1):
        watched.polls(T0 - timedelta(hours=hour), *everyone[:2], *everyone[3:], one(12, None))
    with watched.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "phone-5")[2], "me", "", T0)
    found = watched.look()
    assert (watched.month("2026-12").ahead.numbers, found.lapsing, found.undated) == (8, 1, 1)


def test_a_price_that_is_not_known_is_counted_apart(watched: Watched) -> None:
    unknown = {"monthly_renewal_cost": None, "current_price": None}
    watched.polls(
        T0, one(1, "2026-12-01"), one(2, "2026-12-01", **unknown), one(3, "2026-12-01", currency=None, **unknown)
    )
    assert watched.month("2026-12").ahead == Sum(2, Decimal(1), 1)
    assert watched.month("2026-12", currency="").ahead == Sum(1, Decimal(0), 1)


def test_the_current_price_stands_in_for_the_monthly_one(watched: Watched) -> None:
    watched.polls(T0, one(1, "2026-12-01", monthly_renewal_cost=None, current_price=4.25))
    assert watched.month("2026-12").ahead.amount == Decimal("4.25")


@pytest.mark.parametrize("on", ["2026-11-20", "2026-10-02"])
def test_an_overdue_number_counts_once_in_the_present_month(watched: Watched, on: str) -> None:
    watched.polls(T0, one(1, on), one(2, "2026-11-28"))
    november, december = watched.month("2026-11"), watched.month("2026-12")
    assert (november.ahead.numbers, november.overdue) == (2, 1)
    assert (december.ahead.numbers, december.overdue) == (2, 0)


# --- behind -----------------------------------------------------------------------------------------------------------


def lived(
    watched: Watched, numbers: dict[int, date], until: datetime = T0, since: datetime = AUGUST, **more: Any
) -> None:
    """A poll each noon; every number renews at the end of its day."""
    at = since
    days = dict(numbers)
    while at <= until:
        for index, day in days.items():
            if day < at.date():
                days[index] = past_renewals.add_months(
                    numbers[index], (day.year - numbers[index].year) * 12 + day.month - numbers[index].month + 1
                )
        watched.polls(at, *(one(index, day, at, **more) for index, day in days.items()))
        at += DAY


FORMS: dict[str, dict[str, Any]] = {
    "date and countdown": {},
    "date alone": {"days_until_monthly_renewal": None},
    "countdown alone": {"renewal_date": None},
}


@pytest.mark.parametrize("form", FORMS)
def test_last_month_is_what_renewed_in_it(watched: Watched, form: str) -> None:
    """Whatever tells the provider's renewal days; the 31st of October is seen to have renewed in November only."""
    lived(
        watched,
        {1: date(2026, 10, 3), 2: date(2026, 10, 31), 3: date(2026, 11, 5), 4: date(2026, 11, 25)},
        since=AUGUST + 58 * DAY,
        **FORMS[form],
    )
    october, november, december = (watched.month(month) for month in ("2026-10", "2026-11", "2026-12"))
    assert october.renewed == Sum(2, Decimal(2), 0)
    assert october.amount == Decimal(2)
    assert november.renewed.numbers == 2  # the third, and the first again
    assert november.ahead.numbers == 2
    assert (november.amount, november.change, november.percent) == (Decimal(4), Decimal(2), Decimal(100))
    assert (december.amount, december.change, december.percent) == (Decimal(4), Decimal(0), Decimal(0))


@given(st.dictionaries(st.integers(1, 20), st.integers(0, 30), min_size=1, max_size=5), st.sampled_from(sorted(FORMS)))
@few(10)
def test_every_renewal_is_found_and_none_twice(made: Watched, days: dict[int, int], form: str) -> None:
    emptied(made.store)
    numbers = {index: date(2026, 10, 1) + offset * DAY for index, offset in days.items()}
    lived(
        made,
        numbers,
        until=datetime(2026, 12, 5, 12, tzinfo=UTC),
        since=datetime(2026, 9, 28, 12, tzinfo=UTC),
        **FORMS[form],
    )
    now = datetime(2026, 12, 5, 13, tzinfo=UTC)
    for month in ("2026-11", "2026-12"):
        assert made.month(month, now).total.numbers == len(numbers)


def test_the_price_is_the_one_before_the_renewal(watched: Watched) -> None:
    """What was paid, not what is listed since."""
    at = AUGUST + 60 * DAY
    watched.polls(at, one(1, "2026-10-05", at, monthly_renewal_cost=3.10))
    at = datetime(2026, 10, 6, 12, tzinfo=UTC)
    watched.polls(at, one(1, "2026-11-05", at, monthly_renewal_cost=4))
    at = datetime(2026, 10, 20, 12, tzinfo=UTC)
    watched.polls(at, one(1, "2026-11-05", at, monthly_renewal_cost=5, currency="EUR"))
    watched.polls(T0, one(1, "2026-12-05", monthly_renewal_cost=6, currency="EUR"))
    assert watched.month("2026-10").renewed == Sum(1, Decimal("3.1"), 0)
    assert watched.month("2026-11", currency="EUR").renewed == Sum(1, Decimal(5), 0)
    assert watched.month("2026-12", currency="EUR").ahead == Sum(1, Decimal(6), 0)


def test_nothing_renewed_is_nothing_and_not_seen_is_no_data(watched: Watched) -> None:
    watched.polls(AUGUST, one(1, "2026-12-05", AUGUST))
    watched.polls(T0, one(1, "2026-12-05"))
    watched.polls(T0 - 40 * DAY, one(1, "2026-12-05", T0 - 40 * DAY), environment="staging")
    watched.polls(T0, one(1, "2026-12-05"), environment="staging")
    assert (watched.month("2026-10").amount, watched.month("2026-12").percent) == (Decimal(0), None)
    october, november = (watched.month(month, environment="staging") for month in ("2026-10", "2026-11"))
    assert (october.amount, november.before, november.change) == (None, None, None)
    assert october.as_json()["amount"] is None
    assert october.as_json()["numbers"] is None
    assert (november.amount, watched.month("2026-12", environment="staging").change) == (Decimal(0), Decimal(1))


def test_a_month_that_the_watch_joined_late_has_no_total(watched: Watched) -> None:
    watched.polls(T0 - 2 * DAY, one(1, "2026-11-28", T0 - 2 * DAY))
    november, december = watched.month("2026-11"), watched.month("2026-12")
    assert (november.amount, november.ahead.amount) == (None, Decimal(1))
    assert (december.amount, december.before) == (Decimal(1), None)


def test_a_month_whose_end_nobody_saw_has_no_total(watched: Watched) -> None:
    watched.polls(AUGUST, one(1, "2026-12-05", AUGUST))
    watched.polls(T0 - 40 * DAY, one(1, "2026-12-05", T0 - 40 * DAY))
    assert watched.month("2026-10").amount is None


def test_what_was_pruned_is_no_data(watched: Watched) -> None:
    lived(watched, {1: date(2026, 10, 3)}, since=AUGUST + 50 * DAY)
    assert watched.month("2026-10").amount == Decimal(1)
    retention.prune(watched.store, retention.Limits.all_before(T0 - 30 * DAY), T0, lambda _: None)
    assert watched.month("2026-10").amount is None
    assert watched.month("2026-11").amount == Decimal(1)


def test_a_watch_that_was_away_finds_every_renewal_meanwhile(watched: Watched) -> None:
    watched.polls(AUGUST, one(1, "2026-09-10", AUGUST))
    watched.polls(T0, one(1, "2026-12-10"))
    assert [watched.month(month).total.numbers for month in ("2026-10", "2026-11", "2026-12")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("before", "now", "renewed"),
    [
        ("2026-11-23", "2026-12-23", 1),
        ("2026-11-20", "2026-12-20", 1),  # it was overdue
        ("2026-11-28", "2026-12-28", 1),  # paid ahead of its day
        ("2026-11-24", "2026-11-27", 0),  # put off
        ("2026-11-24", "2026-11-23", 0),
        ("2026-12-20", "2027-01-15", 0),  # a day far ahead was moved; nothing was paid
    ],
)
def test_what_is_a_renewal(watched: Watched, before: str, now: str, renewed: int) -> None:
    watched.polls(AUGUST, one(2, "2026-12-30", AUGUST))
    watched.polls(T0 - timedelta(hours=1), one(2, "2026-12-30"), one(1, before))
    watched.polls(T0, one(2, "2026-12-30"), one(1, now))
    assert watched.month("2026-11").renewed.numbers == renewed


def test_days_are_those_of_the_configured_zone(made: Watched) -> None:
    """At 23:30 UTC on the 31st it is November in Berlin."""
    emptied(made.store)
    at = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    made.polls(at, one(1, "2026-11-01", at))
    berlin = Watched(made.store, msgspec.structs.replace(made.settings, timezone="Europe/Berlin"))
    assert f"{made.look(at).last_month:%Y-%m} {berlin.look(at).last_month:%Y-%m}" == "2026-09 2026-10"


def test_a_change_of_prices_that_are_far_apart_is_no_fault() -> None:
    month = Month(
        month=date(2026, 11, 1), place=Place("x", "USD"), ahead=Sum(1, Decimal(10) ** 20, 0), before=Decimal("1E-15")
    )
    assert month.percent is not None


# --- for a terminal ---------------------------------------------------------------------------------------------------


def test_a_terminal_shows_bars_to_the_scale_of_their_currency(watched: Watched) -> None:
    watched.polls(AUGUST, environment="staging")
    watched.polls(AUGUST, one(9, "2026-12-30", AUGUST))
    euro = {"currency": "EUR", "monthly_renewal_cost": 1000}
    watched.polls(
        T0,
        one(9, "2026-12-30"),
        one(1, "2026-11-28"),
        one(2, "2026-12-28", **euro),
        one(3, "2026-12-01", auto_renewal=False),
    )
    assert watched.look(months=2).lines() == [
        "Renewals by month at the prices last listed, as of 2026-11-23 12:00 UTC.",
        "",
        "EUR",
        "  production",
        "    Oct 2026      0.00             0",
        "    Nov 2026      0.00      +0.00  0",
        "    Dec 2026  1,000.00  +1,000.00  1  ████████████████████████",
        "",
        "USD",
        "  production",
        "    Oct 2026  0.00                   0",
        "    Nov 2026  1.00            +1.00  1  ████████████",
        "    Dec 2026  2.00  +1.00 (+100.0%)  2  ████████████████████████  1.00 more if 1 number without auto-renewal is renewed",
    ]


def test_an_amount_has_the_decimals_of_its_currency(watched: Watched) -> None:
    yen = {"currency": "JPY", "monthly_renewal_cost": 150}
    watched.polls(T0, one(1, "2026-12-28", **yen), one(2, "2026-12-28", auto_renewal=False, **yen))
    line = next(line for line in watched.look(months=2).lines() if "Dec 2026" in line)
    assert line.split() == [
        *("Dec", "2026", "150", "1", "█" * 24, "150", "more", "if", "1", "number", "without", "auto-renewal"),
        *("is", "renewed"),
    ]


def test_a_terminal_without_blocks_shows_signs(watched: Watched) -> None:
    watched.polls(T0, one(1, "2026-12-01"))
    text = "\n".join(watched.look().lines(is_ascii=True))
    assert text.isascii()
    assert "#" * 24 in text


def test_a_terminal_tells_what_is_apart_and_what_is_not_known(watched: Watched) -> None:
    watched.polls(
        T0 - DAY,
        one(1, "2026-11-20", T0 - DAY),
        one(2, "2026-11-30", T0 - DAY, monthly_renewal_cost=None, current_price=None),
        one(3, None, T0 - DAY),
    )
    text = "\n".join(watched.look(months=1).lines())
    assert "Oct 2026  no data" in text
    assert "to come only; 1 overdue; 1 without a price" in text
    assert "production: what renewed was seen from 2026-11-22 12:00 UTC to 2026-11-22 12:00 UTC only." in text
    assert "staging: its list was never read, its renewals are not known." in text
    assert "Not counted: 1 number without a renewal day." in text


def test_a_terminal_is_given_no_control_code_of_the_provider(watched: Watched) -> None:
    watched.polls(T0, one(1, "2026-11-30", currency="U\x1b[2JSD\n"))
    assert all(line.isprintable() for line in watched.look().lines())


def test_an_empty_fleet_has_no_months(watched: Watched) -> None:
    watched.polls(T0)
    assert watched.look().months == ()
    assert "No number has a coming renewal." in watched.look().lines()


def test_the_document_has_the_documented_keys(watched: Watched) -> None:
    watched.polls(T0, one(1, "2026-12-01"))
    said = watched.look(months=1).as_json()
    assert set(said) == {
        "as_of",
        "timezone",
        "last_month",
        "environments",
        "months",
        "undated",
        "lapsing",
        "idle",
        "idle_costs",
    }
    keys = (
        "month environment currency numbers amount renewed ahead overdue if_renewed month_before change change_percent"
    )
    assert set(said["months"][0]) == set(keys.split())
    assert said["months"][1]["ahead"] == {"numbers": 0, "amount": "0", "unpriced": 0}
