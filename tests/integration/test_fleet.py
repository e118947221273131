"""Pages and sums of the fleet against a real database, compared with looking at every number in Python."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from databases import BOTH, SQLITE_ONLY, age, asked, opened
from hypothesis import given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few

from renewal_watch.database.revision import HEAD
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.reports import rows as reports_rows
from renewal_watch.settings.environment import Environment
from renewal_watch.store import fleet, fleet_sums
from renewal_watch.store.environments import environment_state, environment_states
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.maintenance import integrity
from renewal_watch.store.numbers import find_number, fleet_of, parsed_of

pytestmark = BOTH

TODAY = T0.date().toordinal()
NAMES = ("one", "two")


class Source:
    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = entries

    def fetch(self) -> Any:
        return listing(*self.entries)


def polled(store: Store, name: str, at: datetime, *entries: dict[str, Any]) -> None:
    environment = Environment(name=name, base_url="http://127.0.0.1/api/v1")
    done = poll.run_once(store, environment, Source(*entries), Policy(missing_after_polls=1), Routing(), lambda: at)
    assert done.error is None


def one(index: int, days: int | None, **changes: Any) -> dict[str, Any]:
    day = None if days is None else (T0.date() + timedelta(days=days)).isoformat()
    return entry(f"phone-{index}", renewal_date=day, days_until_monthly_renewal=days, **changes)


def made_fleet(name: str) -> list[dict[str, Any]]:
    """130 numbers of every kind: overdue, undated, suspended, sandbox, in several currencies and countries."""
    numbers = []
    for index in range(130):
        days = None if index % 17 == 0 else index % 40 - 5
        numbers.append(
            one(
                index,
                days,
                number=f"+49301{index:05d}" if name == "one" else f"+1555{index:06d}",
                country_code="DE" if index % 3 else "US",
                current_status=("active", "Active", "suspended", "pending", None)[index % 5],
                auto_renewal=bool(index % 4),
                is_sandbox=index % 13 == 0,
                monthly_renewal_cost=(1.1, 2.25, None)[index % 3],
                current_price=None if index % 6 == 2 else 3,
                currency="EUR" if index % 2 else "USD",
            )
        )
    return numbers


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = tmp_path_factory.mktemp("fleet") / "watch.db"
    writer = opened(path)
    writer.upgrade()
    for name in (*NAMES, "elsewhere"):
        polled(writer, name, T0 - timedelta(hours=2), *made_fleet(name))
    polled(writer, "one", T0 - timedelta(hours=1), *made_fleet("one")[5:])  # the first five are missing
    with writer.transaction() as tx:
        _, _, known = find_number(tx, "phone-20", "one")
        put_lapse(tx, known, "ann", "", T0)
    writer.close()
    reader = opened(path, reads_only=True)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def everything(store: Store) -> list[fleet.Listed]:
    with store.transaction() as tx:
        ids = {watch.name: key for key, watch, _ in environment_states(tx)}
        known = {name: fleet_of(tx, ids[name]) for name in NAMES}
        parsed = {name: parsed_of(tx, known[name].values()) for name in NAMES}
        return [
            fleet.Listed(name, one, parsed[name][one.provider_id]) for name in NAMES for one in known[name].values()
        ]


@SQLITE_ONLY
def test_one_of_many_environments_costs_no_more_than_one_of_a_few(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine, which are the same on every computer."""
    steps: dict[str, list[int]] = {}
    for count in (12, 120):
        store = opened(tmp_path / f"{count}.db")
        store.upgrade()
        for place in range(count):
            polled(store, f"customer-{place}", T0, *(one(index, index % 40) for index in range(100)))
        with store.reading() as tx:
            driver: Any = tx.connection.connection.dbapi_connection
            asked: dict[str, Callable[[], object]] = {
                "due": lambda: fleet_sums.due(tx, ["customer-7"]),
                "page": lambda: fleet.page(tx, fleet.Query(environment="customer-7"), ["customer-7"], TODAY),
                "by cost": lambda: fleet.page(tx, fleet.Query(order="cost"), ["customer-7"], TODAY),
            }
            for name, ask in asked.items():
                took = itertools.count()
                driver.set_progress_handler(lambda took=took: next(took) < 0, 100)
                ask()
                driver.set_progress_handler(None, 0)
                steps.setdefault(name, []).append(next(took))
        store.close()
    for name, (small, many) in steps.items():
        assert many < 2 * small, (name, steps)


def all_pages(store: Store, query: fleet.Query) -> list[fleet.Listed]:
    with store.transaction() as tx:
        pages = (
            fleet.page(tx, fleet.Query(**{**query.given(), "page": page, "per_page": 7}), NAMES, TODAY).rows
            for page in itertools.count(1)
        )
        return list(itertools.chain.from_iterable(itertools.takewhile(bool, pages)))


def is_overdue(row: fleet.Listed) -> bool:
    """As an alert told it: by the provider's days, once a list showed it."""
    return row.known.is_overdue(None if row.known.renews_on is None else row.known.renews_on - TODAY)


def fits(query: fleet.Query, row: fleet.Listed) -> bool:
    """The same question, asked of one number."""
    known, number = row.known, row.number
    missing = known.missing_at is not None
    shown = {
        "present": not missing and not known.is_sandbox,
        "missing": missing,
        "sandbox": known.is_sandbox and not missing,
        "lapsing": known.lapse is not None and not missing,
        "all": True,
    }
    return (
        shown[query.show]
        and query.environment in ("", row.environment)
        and query.status.lower() in ("", number.status)
        and query.country in ("", number.country_code)
        and query.currency in ("", number.currency)
        and query.auto_renewal in (None, known.auto_renewal)
        and (query.within is None or (known.renews_on is not None and known.renews_on <= TODAY + query.within))
        and (not query.overdue or is_overdue(row))
        and (query.search in known.number or query.search in known.provider_id)
    )


QUERIES = st.builds(
    fleet.Query,
    search=st.sampled_from(["", "+4930", "555", "phone-1", "nothing", "12"]),
    environment=st.sampled_from(["", "one", "two", "elsewhere"]),
    status=st.sampled_from(["", "active", "Suspended", "gone"]),
    country=st.sampled_from(["", "DE", "FR"]),
    currency=st.sampled_from(["", "EUR"]),
    auto_renewal=st.sampled_from([None, True, False]),
    within=st.sampled_from([None, 0, 7, 30]),
    overdue=st.booleans(),
    show=st.sampled_from(["present", "missing", "sandbox", "lapsing", "all"]),
    order=st.sampled_from(["renewal", "number", "status", "cost", "environment"]),
    descending=st.booleans(),
)


@few(60)
@given(query=QUERIES)
def test_pages_together_show_each_number_that_fits_once_and_no_other(
    query: fleet.Query, store: Store, everything: list[fleet.Listed]
) -> None:
    wanted = {(row.environment, row.known.provider_id) for row in everything if fits(query, row)}
    rows = all_pages(store, query)
    assert sorted((row.environment, row.known.provider_id) for row in rows) == sorted(wanted)
    with store.transaction() as tx:
        page = fleet.page(tx, query, NAMES, TODAY)
    assert (page.total, page.is_more) == (len(wanted), False)


@pytest.mark.parametrize("descending", [False, True])
def test_by_renewal_day_with_the_undated_last(store: Store, descending: bool) -> None:
    days = [row.known.renews_on for row in all_pages(store, fleet.Query(show="all", descending=descending))]
    dated = [day for day in days if day is not None]
    assert dated == sorted(dated, reverse=descending)
    assert days == dated + [None] * (len(days) - len(dated))
    assert len(dated) < len(days)


@pytest.mark.parametrize(
    ("order", "value"),
    [
        ("number", lambda row: row.known.number),
        ("status", lambda row: row.number.status),
        ("cost", lambda row: row.number.cost),
        ("environment", lambda row: row.environment),
    ],
)
@pytest.mark.parametrize("descending", [False, True])
def test_every_order_there_is(store: Store, order: Any, value: Any, descending: bool) -> None:
    found = [value(row) for row in all_pages(store, fleet.Query(order=order, show="all", descending=descending))]
    known = [one for one in found if one is not None]
    assert known == sorted(known, reverse=descending)
    assert found == known + [None] * (len(found) - len(known))


def test_a_row_of_a_page_is_what_the_fleet_has(store: Store, everything: list[fleet.Listed]) -> None:
    """Cycle, absence and lapse included."""
    rows = {(row.environment, row.known.pk): row for row in all_pages(store, fleet.Query(show="all"))}
    assert rows == {(row.environment, row.known.pk): row for row in everything}
    assert any(row.known.cycle for row in rows.values())
    assert any(row.known.lapse for row in rows.values())


def test_a_number_is_found_however_it_is_written(store: Store) -> None:
    with store.transaction() as tx:
        for written in ("+4930100042", "+49 30 1-00042", "  4930100042 ", "(49) 30/100042"):
            (row,) = fleet.page(tx, fleet.Query(search=written), NAMES, TODAY).rows
            assert row.known.number == "+4930100042"
        assert fleet.page(tx, fleet.Query(search="%"), NAMES, TODAY).rows == ()
        assert fleet.page(tx, fleet.Query(search="phone_1"), NAMES, TODAY).rows == ()


def test_sums_are_exact_and_each_currency_s_own(store: Store, everything: list[fleet.Listed]) -> None:
    wanted: dict[tuple[str, str], Decimal] = {}
    count = 0
    for row in everything:
        if row.known.is_sandbox or row.known.missing_at is not None:
            continue
        count += 1
        place = (row.environment, row.number.currency or "")
        wanted[place] = wanted.get(place, Decimal(0)) + (row.number.cost or Decimal(0))
    sums: dict[tuple[str, str], Decimal] = {}
    with store.transaction() as tx:
        groups = fleet_sums.due(tx, NAMES)
    for group in groups:
        place = (group.environment, group.currency)
        sums[place] = sums.get(place, Decimal(0)) + group.amount
    assert sums == wanted
    assert sum(group.numbers for group in groups) == count
    assert sum(group.numbers for group in groups if group.is_lapsing) == 1
    unpriced = sum(group.numbers for group in groups if group.cost is None)
    assert unpriced == sum(
        row.number.cost is None and not row.known.is_sandbox and row.known.missing_at is None for row in everything
    )
    assert [group.renews_on for group in groups] == sorted(
        (group.renews_on for group in groups), key=lambda day: (day is not None, day or 0)
    )


def test_a_feed_has_every_number_with_its_state(store: Store, everything: list[fleet.Listed]) -> None:
    with store.transaction() as tx:
        lines = list(fleet_sums.facts(tx, NAMES))
    assert len(lines) == len(everything) == 260
    by_place = {(line.environment, line.provider_id): line for line in lines}
    for row in everything:
        line = by_place[row.environment, row.known.provider_id]
        assert (line.number, line.renews_on, line.auto_renewal) == (
            row.known.number,
            row.known.renews_on,
            row.known.auto_renewal,
        )
        assert (line.status, line.cost, line.currency) == (row.number.status, row.number.cost, row.number.currency)
        assert line.is_missing == (row.known.missing_at is not None)
        assert line.is_lapsing == (row.known.lapse is not None)


def test_what_needs_somebody_is_counted(store: Store, everything: list[fleet.Listed]) -> None:
    watched = [row for row in everything if not row.known.is_sandbox]
    present = [row for row in watched if row.known.missing_at is None]
    with store.transaction() as tx:
        found = fleet_sums.counts(tx, NAMES, TODAY)
        assert fleet_sums.statuses(tx) == ["", "active", "pending", "suspended"]
    statuses = Counter(row.number.status or "none stated" for row in present if row.number.status != "active")
    assert found == {
        "overdue": sum(map(is_overdue, present)),
        "missing": sum(row.known.missing_at is not None for row in watched),
        **statuses,
    }


def test_sandbox_numbers_count_where_they_are_watched(tmp_path: Path) -> None:
    """With include_sandbox they are numbers like all others: overdue ones must not hide."""
    store = opened(tmp_path / "watch.db")
    store.upgrade()
    for name, included in (("one", True), ("two", False)):
        environment = Environment(name=name, base_url="http://127.0.0.1/api/v1", include_sandbox=included)
        policy = Policy(include_sandbox=included)
        source = Source(one(1, -3, is_sandbox=True, auto_renewal=False), one(2, 30))
        poll.run_once(store, environment, source, policy, Routing(), lambda: T0)
    with store.transaction() as tx:
        for query in (fleet.Query(), fleet.Query(overdue=True)):
            rows = fleet.page(tx, query, NAMES, TODAY, sandbox=["one"]).rows
            found = [(row.environment, row.known.provider_id) for row in rows if row.known.provider_id == "phone-1"]
            assert found == [("one", "phone-1")]
        assert fleet_sums.counts(tx, NAMES, TODAY, sandbox=["one"])["overdue"] == 1
        assert fleet_sums.counts(tx, NAMES, TODAY)["overdue"] == 0
        assert sum(group.numbers for group in fleet_sums.due(tx, NAMES, sandbox=["one"])) == 3
        assert sum(group.numbers for group in fleet_sums.due(tx, NAMES)) == 2
    store.close()


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"show": "some"}, "show"),
        ({"order": "colour"}, "order"),
        ({"page": 0}, "page"),
        ({"per_page": 1001}, "per_page"),
        ({"within": -1}, "within"),
    ],
)
def test_a_page_that_cannot_be_is_refused_with_its_key(given: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=f"^{key}: "):
        fleet.Query(**given)


def test_what_is_given_of_a_query_makes_the_same_query() -> None:
    query = fleet.Query(search="+49", within=3, order="cost", descending=True)
    assert query.given() == {"search": "+49", "within": 3, "order": "cost", "descending": True}
    assert fleet.Query(**query.given()) == query


# --- reading beside a writer --------------------------------------------------------------------------------------------


def test_a_reader_waits_for_no_writer_and_sees_one_state(tmp_path: Path) -> None:
    writer = opened(tmp_path / "watch.db")
    writer.upgrade()
    polled(writer, "one", T0, one(1, 30))
    reader = opened(tmp_path / "watch.db", reads_only=True)
    with writer.transaction() as tx:
        environment_state(tx, "new")
        with reader.transaction() as other:
            assert [watch.name for _, watch, _ in environment_states(other)] == ["one"]
    with reader.transaction() as first, reader.transaction() as second:  # several at once
        assert len(list(fleet_sums.facts(first, ["one"]))) == len(list(fleet_sums.facts(second, ["one"]))) == 1
    reader.close()
    writer.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    writer = opened(tmp_path / "watch.db")
    writer.upgrade()
    reader = opened(tmp_path / "watch.db", reads_only=True)
    with pytest.raises(StoreError, match=r"attempt to write|read-only transaction"), reader.transaction() as tx:
        environment_state(tx, "new")
    reader.close()
    writer.close()


@SQLITE_ONLY
def test_a_reader_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no database at .* yet; the first poll makes it"):
        opened(tmp_path / "watch.db", reads_only=True)
    assert list(tmp_path.iterdir()) == []


@SQLITE_ONLY
def test_a_reader_of_a_file_that_is_gone_is_told_so(tmp_path: Path) -> None:
    """A daemon used it: its lock file lies there still."""
    (tmp_path / "watch.db.lock").touch()
    with pytest.raises(StoreError, match=r"is not there any more; put it back with: renewal-watch db restore"):
        opened(tmp_path / "watch.db", reads_only=True)


def test_readers_in_threads_share_the_store(store: Store) -> None:
    found: list[int] = []

    def read() -> None:
        with store.transaction() as tx:
            found.append(len(fleet.page(tx, fleet.Query(), NAMES, TODAY).rows))

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [fleet.PER_PAGE] * 12


# --- facts are kept up to date, and the migration finds them ---------------------------------------------------------------


def columns(path: Path) -> list[tuple[Any, ...]]:
    return asked(path, "SELECT provider_id, status, cost, currency, country, type FROM numbers ORDER BY id")


def test_a_change_of_the_entry_changes_the_facts(tmp_path: Path) -> None:
    store = opened(tmp_path / "watch.db")
    store.upgrade()
    polled(store, "one", T0, one(1, 30), one(2, 30))
    changed = one(1, 30, current_status="SUSPENDED", monthly_renewal_cost="12.30", currency="EUR", type=None)
    polled(store, "one", T0 + timedelta(hours=1), changed, one(2, 30))
    store.close()
    assert columns(tmp_path / "watch.db") == [
        ("phone-1", "suspended", "12.30", "EUR", "US", None),
        ("phone-2", "active", "1.0", "USD", "US", "voice"),
    ]


@SQLITE_ONLY  # a server never had those
def test_the_migration_gives_older_databases_the_same_facts(tmp_path: Path) -> None:
    """The entries are all that the migration has."""
    path = tmp_path / "watch.db"
    store = opened(path)
    store.upgrade()
    odd = one(1000, 5, monthly_renewal_cost="7.50", current_status=" Active ", currency=None, type="")
    polled(store, "one", T0, *made_fleet("one"), odd)
    store.close()
    wanted = columns(path)
    age(path, "0002")
    store = opened(path)
    assert store.upgrade()
    assert integrity.look(store) == []
    store.close()
    assert [(name, status, Decimal(cost) if cost else None, *rest) for name, status, cost, *rest in columns(path)] == [
        (name, status, Decimal(cost) if cost else None, *rest) for name, status, cost, *rest in wanted
    ]
    assert (tmp_path / f"watch.db.before-{HEAD}").exists()


def test_a_page_says_the_days_that_status_says(store: Store) -> None:
    """The order goes by the day that was last judged; what is shown is judged at the time of looking."""
    with store.transaction() as tx:
        rows = fleet.page(tx, fleet.Query(), NAMES, TODAY).rows
    shown = [reports_rows.row(row.environment, row.known, row.number, Policy(), T0) for row in rows]
    assert all(
        one.renews_on == date.fromordinal(row.known.renews_on or 0) for one, row in zip(shown, rows, strict=True)
    )
    assert [one.days_left for one in shown] == sorted(one.days_left for one in shown if one.days_left is not None)
