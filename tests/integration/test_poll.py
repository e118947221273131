"""One poll after another on a real database: what is kept, given back, told, and survived."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, SQLITE_ONLY, Chosen, asked, changed, impatient, lock, opened
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few
from sqlalchemy import event

from renewal_watch.database import engine, transaction
from renewal_watch.errors import ApiError, RateLimited, ServerTrouble, StoreError, TokenRejected
from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Verdict
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.store.environments import environment_state
from renewal_watch.store.history import history_of, snapshot_at
from renewal_watch.store.maintenance import integrity, saving
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.timed import follow_up

pytestmark = BOTH

ENVIRONMENT = Environment(name="production", base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")
CHAT = Channel(name="chat", url="json://127.0.0.1:1")
PAGER = Channel(name="pager", url="json://127.0.0.1:1", min_severity="critical")


class Source:
    """Gives what the test says, as a provider would."""

    def __init__(self) -> None:
        self.next: Listing | ApiError = listing()
        self.before_return: Callable[[], None] = lambda: None

    def fetch(self) -> Listing:
        self.before_return()
        if isinstance(self.next, ApiError):
            raise self.next
        return self.next


class Bench:
    """A store, a source and a clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "renewal-watch.db"
        self.store = opened(self.path)
        self.store.upgrade()
        self.source = Source()
        self.now = T0
        self.policy = Policy()
        self.channels: list[Channel] = [CHAT, PAGER]

    def poll(self, *entries: object, error: ApiError | None = None, at: datetime | None = None) -> poll.Polled:
        self.now = at or self.now + timedelta(hours=1)
        self.source.next = error or listing(*entries)
        return poll.run_once(
            self.store, ENVIRONMENT, self.source, self.policy, Routing(channels=tuple(self.channels)), lambda: self.now
        )

    def kinds(self) -> list[str]:
        """The kinds of all alerts, oldest first."""
        with self.store.transaction() as tx:
            return [alert["kind"] for alert in reversed(list_alerts(tx))]

    def snapshot(self, at: datetime) -> list[dict[str, Any]]:
        with self.store.transaction() as tx:
            found = snapshot_at(tx, 1, at)
        assert found
        return found[1]

    def count(self, table: str) -> int:
        with self.store.transaction() as tx:
            return int(tx.connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.store.close()


@POSTGRESQL_ONLY
def test_very_many_numbers_are_judged_for_longer_than_a_server_lets_others_be_idle(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine._SESSION, "idle_in_transaction_session_timeout", "1s")
    bench.source.next = listing(entry("phone-1"), entry("phone-2"), entry("phone-3"))

    def polled() -> poll.Polled:
        store = opened(bench.path)

        def judged_slowly(verdict: Verdict) -> Verdict:
            asked(bench.path, "SELECT 1 FROM pg_sleep(1.2)")
            return verdict

        return poll.run_once(
            store, ENVIRONMENT, bench.source, bench.policy, Routing(), lambda: bench.now, mark=judged_slowly
        )

    with pytest.raises(StoreError, match="this process stood still in the middle of it"):
        polled()
    assert bench.count("numbers") == 0
    monkeypatch.setattr(transaction, "_MANY", 2)
    assert polled().numbers == bench.count("numbers") == 3


# --- keeping snapshots ------------------------------------------------------------------------------------------------


def test_the_list_of_any_past_time_is_given_back_as_it_was(bench: Bench) -> None:
    """Unknown fields, nulls, number formats and the countdown included."""
    lists = [
        [entry("phone-1", odd={"nested": [1, None]}), entry("phone-2", renewal_date=None)],
        [entry("phone-1", odd={"nested": [1, 2]}), entry("phone-2", renewal_date=None)],
        [entry("phone-2", renewal_date=None, current_price="1.00")],
        [entry("phone-2", renewal_date=None, current_price="1.00"), entry("phone-3"), entry("phone-1")],
    ]
    times = []
    for one in lists:
        bench.poll(*one)
        times.append(bench.now)
    for at, one in zip(times, lists, strict=True):
        given_back = {number["id"]: number for number in bench.snapshot(at)}
        assert given_back == {number["id"]: number for number in one}
        assert bench.snapshot(at + timedelta(minutes=59)) == bench.snapshot(at), "between two polls the older one holds"


@pytest.mark.parametrize(("turn", "form"), [(0, int), (5, str), (17, int)])
def test_a_countdown_that_ticks_like_the_calendar_is_no_change_at_whatever_hour(
    bench: Bench, turn: int, form: type
) -> None:
    """Ten days of hourly polls: one version, a handful of corrected ticks, and every countdown given back exactly."""
    served: dict[datetime, list[dict[str, Any]]] = {}
    for hour in range(10 * 24):
        at = T0 + timedelta(hours=hour, seconds=hour % 7)
        day = (at - timedelta(hours=turn)).toordinal()
        left = T0.toordinal() + 60 - day
        served[at] = [entry("phone-1", renewal_date=None, days_until_monthly_renewal=form(left))]
        bench.poll(*served[at], at=at)
    assert bench.count("changes WHERE fields IS NOT NULL") == 0
    assert bench.count("changes") <= 8, "ticks at an hour that was not foretold"
    for at, one in served.items():
        assert bench.snapshot(at) == one


def test_a_countdown_as_a_fraction_is_no_change_either(bench: Bench) -> None:
    for hour in range(72):
        left = round(20 - hour / 24, 6)
        bench.poll(entry("phone-1", renewal_date=None, days_until_monthly_renewal=left))
        assert bench.snapshot(bench.now)[0]["days_until_monthly_renewal"] == pytest.approx(left, abs=1e-5)
    assert bench.count("changes WHERE fields IS NOT NULL") == 0


def test_storage_grows_with_changes_not_with_polls(bench: Bench) -> None:
    fleet = [entry(f"phone-{i}") for i in range(50)]
    bench.poll(*fleet)
    for _ in range(30):
        bench.poll(*fleet, at=bench.now + timedelta(minutes=10))
    assert bench.count("entries") == 50
    assert bench.count("changes") == 0
    fleet[7] = entry("phone-7", current_price=2.00)
    assert bench.poll(*fleet).changed == 1
    assert bench.count("entries") == 50
    assert bench.count("changes") == 1


def test_the_history_of_a_number_names_the_polls_between_which_it_changed(bench: Bench) -> None:
    bench.poll(entry())
    first = bench.now
    bench.poll(entry())
    unchanged = bench.now
    bench.poll(entry(current_status="suspended"))
    changed = bench.now
    bench.poll()
    with bench.store.transaction() as tx:
        _, key, known = find_number(tx, "+15550000001")
        history = history_of(tx, known, key)
    assert [(one["what"], one["not_yet_at"], one["seen_at"]) for one in history] == [
        ("listed", None, first),
        ("changed", unchanged, changed),
        ("unlisted", changed, bench.now),
    ]
    assert history[1]["fields"] == {"current_status": {"before": "active", "now": "suspended"}}


def test_a_nul_breaks_no_poll_and_hides_no_number(bench: Bench) -> None:
    """PostgreSQL keeps none, so that U+FFFD stands in its place, on either engine."""
    fields = ("id", "number", "country_code", "type", "current_status", "currency", "odd\0", "formatted_number")
    odd = [entry(f"phone-{place}", **{name: f"\0{place}\0"}) for place, name in enumerate(fields)]
    odd.append(entry("phone-9", odd="no NUL: \\u0000, one: \\\0"))
    shown = [{_shown(key): _shown(value) for key, value in one.items()} for one in odd]
    for _ in range(2):
        polled = bench.poll(*odd)
        assert (polled.error, polled.numbers) == (None, len(odd))
        assert bench.snapshot(bench.now) == shown
    assert polled.changed == 0
    bench.poll(*odd[:-1], entry("phone-9", odd="\0"))
    with bench.store.transaction() as tx:
        _, environment_id, known = find_number(tx, "phone-9")
        (*_, last) = history_of(tx, known, environment_id)
    assert last["fields"] == {"odd": {"before": shown[-1]["odd"], "now": "\ufffd"}}
    assert len(asked(bench.path, "SELECT * FROM fleet")) == len(odd)


def test_key_order_and_blanks_are_kept_or_harmless(bench: Bench) -> None:
    """A provider that prints its JSON over several lines costs no more storage."""
    pretty = json.dumps(entry(), indent=4)
    bench.poll(json.loads(pretty))
    assert "\n" not in str(bench.snapshot(bench.now))


def test_views_read_well_in_a_shell(bench: Bench) -> None:
    bench.poll(entry())
    bench.poll(entry(current_status="suspended"))
    fleet = asked(bench.path, "SELECT environment, number, status, renews_on FROM fleet")
    now = "fields -> 'current_status' ->> 'now'"
    history = asked(bench.path, f"SELECT what, {now} FROM history ORDER BY seen_at")
    polls = asked(bench.path, "SELECT environment, outcome, numbers FROM poll_log")
    outbox = asked(bench.path, "SELECT channel, state, kind, severity FROM outbox ORDER BY channel")
    assert fleet == [("production", "+15550000001", "suspended", "2026-12-23")]
    assert history == [("listed", None), ("changed", "suspended")]
    assert polls == [("production", "ok", 1), ("production", "ok", 1)]
    assert outbox == [
        ("chat", "pending", "status.changed", "critical"),
        ("pager", "pending", "status.changed", "critical"),
    ]


def test_amounts_and_days_of_the_fleet_are_numbers_in_a_shell(bench: Bench) -> None:
    """A provider that writes prices as texts; of an unreadable date the day is counted to what was known."""
    prices = {
        "phone-1": "9.00",
        "phone-2": "12.50",
        "phone-3": "1,250.00",
        "phone-4": "150",
        "phone-5": "-",
        "phone-6": 7,
    }
    bench.poll(*(entry(one, monthly_renewal_cost=price, current_price=price) for one, price in prices.items()))
    cheap = asked(
        bench.path, "SELECT id FROM fleet WHERE monthly_renewal_cost > 100 OR current_price > 100 ORDER BY id"
    )
    assert cheap == [("phone-4",)]
    (total,) = asked(bench.path, "SELECT SUM(monthly_renewal_cost) FROM fleet WHERE id IN ('phone-1', 'phone-2')")
    assert float(total[0]) == 21.5
    days = asked(bench.path, "SELECT DISTINCT days_left IS NULL, renews_on FROM fleet")
    assert days in ([(False, "2026-12-23")], [(0, "2026-12-23")])


def _shown(value: Any) -> Any:
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


@few(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["phone-1", "phone-2", "phone-3", "phone-4"]),
            st.fixed_dictionaries(
                {
                    "current_status": st.sampled_from(["active", "suspended", "frozen", None]),
                    "extra": st.one_of(st.none(), st.integers(0, 3), st.text(max_size=3)),
                    "days_until_monthly_renewal": st.sampled_from([30, 29, 5, 0, -1, None]),
                }
            ),
        ),
        max_size=6,
    )
)
def test_snapshots_are_the_fold_of_all_polls(
    tmp_path_factory: pytest.TempPathFactory, lists: list[dict[str, dict[str, Any]]]
) -> None:
    """Whatever comes and goes, each list is given back and nothing about telling breaks."""
    bench = Bench(tmp_path_factory.mktemp("fold"))
    served = []
    for one in lists:
        numbers = [entry(name, **changes) for name, changes in one.items()]
        bench.poll(*numbers)
        numbers = [{key: _shown(value) for key, value in number.items()} for number in numbers]
        served.append((bench.now, {number["id"]: number for number in numbers}))
    for at, numbers_by_id in served:
        assert {number["id"]: number for number in bench.snapshot(at)} == numbers_by_id
    assert integrity.look(bench.store) == []
    bench.store.close()


# --- telling ----------------------------------------------------------------------------------------------------------


def test_alerts_and_deliveries_are_written_with_the_poll_or_not_at_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.poll(entry())

    def fails(*_: object) -> None:
        raise RuntimeError("the last step of the record")

    with monkeypatch.context() as patch:
        patch.setattr("renewal_watch.store.outbox.record.record_alerts", fails)
        with pytest.raises(RuntimeError):
            bench.poll(entry(current_status="suspended"))
    assert bench.count("changes") == 0
    assert bench.count("polls") == 1
    bench.poll(entry(current_status="suspended"))
    assert bench.kinds() == ["status.changed"]
    assert bench.count("deliveries") == 2


def test_all_alerts_of_one_poll_for_one_channel_are_one_message(bench: Bench) -> None:
    bench.poll(*(entry(f"phone-{i}", current_status="suspended") for i in range(9)))
    assert bench.kinds() == ["status.changed"] * 9, "a baseline adds nothing"
    assert bench.count("deliveries") == 2
    assert bench.count("delivery_alerts") == 18


def test_channels_take_what_they_are_for(bench: Bench) -> None:
    only_renewals = Channel(name="money", url="json://x", kinds=("renewal.*",), environments=("elsewhere",))
    bench.channels = [CHAT, PAGER, only_renewals]
    bench.poll(entry(days_until_monthly_renewal=2, renewal_date="2026-11-25"))
    with bench.store.transaction() as tx:
        (alert,) = list_alerts(tx)
    assert [one["channel"] for one in alert["deliveries"]] == ["chat"], "info is below the pager, elsewhere is not here"


def test_two_processes_that_poll_at_once_tell_once(bench: Bench) -> None:
    bench.poll(entry())
    other = opened(bench.path)

    def meanwhile() -> None:
        bench.source.before_return = lambda: None
        second = Source()
        second.next = listing(entry(current_status="suspended"))
        poll.run_once(
            other, ENVIRONMENT, second, bench.policy, Routing(channels=tuple(bench.channels)), lambda: bench.now
        )

    bench.source.before_return = meanwhile
    polled = bench.poll(entry(current_status="suspended"))
    other.close()
    assert polled.skipped
    assert bench.kinds() == ["status.changed"]


def test_a_story_from_outage_to_recovery(bench: Bench) -> None:
    trouble = ServerTrouble("the provider has trouble (HTTP 500)")
    bench.poll(entry(days_until_monthly_renewal=20, renewal_date="2026-12-13"))
    for _ in range(8):
        bench.poll(error=trouble)
    assert bench.kinds() == ["watch.api_failing", "watch.stale"]
    with bench.store.transaction() as tx:
        text = list_alerts(tx)[0]["text"]
    assert "1 number is not being watched; 0 of them renew within 7 days" in text
    bench.poll(entry(days_until_monthly_renewal=20, renewal_date="2026-12-13"))
    assert bench.kinds()[2:] == ["watch.recovered"]


def test_stale_is_told_although_nothing_is_polled(bench: Bench) -> None:
    """A provider that asks for a long pause leaves the watch blind; the clock alone tells it."""
    bench.poll(entry())
    bench.poll(error=RateLimited("slow down", retry_after=timedelta(hours=6)))
    policies = {"production": bench.policy}
    later = bench.now + timedelta(hours=5, minutes=30)
    way = Routing(channels=tuple(bench.channels))
    assert follow_up.run_once(bench.store, way, policies, later - timedelta(hours=2)) == 0
    assert follow_up.run_once(bench.store, way, policies, later) == 1
    assert follow_up.run_once(bench.store, way, policies, later + timedelta(hours=1)) == 0
    assert bench.kinds() == ["watch.stale"]


# --- when to poll -----------------------------------------------------------------------------------------------------


def schedule_of(bench: Bench) -> Any:
    with bench.store.transaction() as tx:
        return environment_state(tx, "production")[2]


def test_a_rate_limit_is_kept_over_a_restart(bench: Bench) -> None:
    bench.poll(error=RateLimited("slow down", retry_after=timedelta(hours=3)))
    bench.store.close()
    again = opened(bench.path)
    with again.transaction() as tx:
        kept = environment_state(tx, "production")[2]
    again.close()
    assert kept.hold_until == bench.now + timedelta(hours=3)
    assert not poll.is_due(ENVIRONMENT, kept, "UTC", bench.now + timedelta(hours=2))
    assert "asked for a pause" in str(poll.why_not_now(ENVIRONMENT, kept, bench.now))
    assert poll.is_due(ENVIRONMENT, kept, "UTC", bench.now + timedelta(hours=3))


def test_a_rejected_token_is_tried_hourly_but_a_new_one_at_once(bench: Bench) -> None:
    bench.poll(error=TokenRejected("no"))
    kept = schedule_of(bench)
    soon = bench.now + timedelta(minutes=5)
    assert not poll.is_due(ENVIRONMENT, kept, "UTC", soon)
    assert poll.is_due(ENVIRONMENT, kept, "UTC", bench.now + timedelta(hours=1))
    replaced = Environment(name="production", base_url=ENVIRONMENT.base_url, token="talq_new")
    assert poll.is_due(replaced, kept, "UTC", soon)


def test_a_failed_poll_of_a_long_interval_is_repeated_within_the_hour(bench: Bench) -> None:
    daily = Environment(name="production", base_url=ENVIRONMENT.base_url, token="x", poll_every="1d", poll_jitter="0s")
    bench.source.next = ServerTrouble("down")
    poll.run_once(bench.store, daily, bench.source, bench.policy, Routing(), lambda: T0)
    assert schedule_of(bench).next_poll_at == T0 + timedelta(hours=1)


def test_a_clock_that_is_put_back_stops_no_poll(bench: Bench) -> None:
    bench.poll(entry())
    kept = schedule_of(bench)
    assert not poll.is_due(ENVIRONMENT, kept, "UTC", bench.now + timedelta(minutes=30))
    assert poll.is_due(ENVIRONMENT, kept, "UTC", bench.now - timedelta(hours=5))
    assert poll.is_due(ENVIRONMENT, kept, "UTC", bench.now + timedelta(days=3650))


def test_a_hold_set_by_a_wrong_clock_does_not_last_for_years(bench: Bench) -> None:
    bench.poll(error=RateLimited("slow down", retry_after=timedelta(hours=3)), at=T0 + timedelta(days=3650))
    assert poll.is_due(ENVIRONMENT, schedule_of(bench), "UTC", T0)


@pytest.mark.parametrize(
    ("countdown", "day", "auto"),
    [(2, "2026-12-13", False), (5, "2026-12-13", False), (0, "2026-12-23", True), (2, "2026-12-13", True)],
)
def test_an_entry_that_stays_as_it_was_is_never_renewed(bench: Bench, countdown: int, day: str, auto: bool) -> None:
    """A countdown that never moves is set aside in the end; that another day is believed then is no renewal."""
    for _ in range(40):
        bench.poll(
            entry(days_until_monthly_renewal=countdown, renewal_date=day, auto_renewal=auto),
            at=bench.now + timedelta(hours=12),
        )
        if bench.now.date().isoformat() >= day:
            break
    assert "renewal.renewed" not in bench.kinds()
    assert "data.contradiction" in bench.kinds()


@pytest.mark.parametrize("first", [0.6, 0.1, -0.1, -0.45, -0.9])
def test_a_fraction_is_overdue_when_a_whole_day_has_passed_and_names_one_day(bench: Bench, first: float) -> None:
    began, days = T0.replace(hour=10), set[int]()
    for hours in range(0, 60, 3):
        left = first - hours / 24
        bench.poll(entry(days_until_monthly_renewal=left, renewal_date=None), at=began + timedelta(hours=hours))
        if left > -1:
            assert "renewal.overdue" not in bench.kinds(), left
        days.add(asked(bench.path, "SELECT renews_on FROM numbers")[0][0])
    assert len(days) == 1
    assert "renewal.overdue" in bench.kinds()


# --- a database in trouble --------------------------------------------------------------------------------------------


def test_a_locked_database_loses_nothing(bench: Bench) -> None:
    impatient(bench.store)
    bench.poll(entry())
    with lock(bench.path) as holder:
        holder.take()
        with pytest.raises(StoreError, match="another process keeps it locked"):
            bench.poll(entry(current_status="suspended"))
        holder.release()
    bench.poll(entry(current_status="suspended"))
    assert bench.kinds() == ["status.changed"]


@pytest.mark.parametrize(("goes_on", "todo"), [(False, "nothing was lost, try again"), (True, "the step is repeated")])
def test_only_who_tries_again_itself_says_so(bench: Bench, goes_on: bool, todo: str) -> None:
    """Nobody repeats a command; the daemon repeats its step."""
    bench.poll(entry())
    bench.store.repeats = goes_on
    impatient(bench.store)
    with lock(bench.path) as holder:
        holder.take()
        with pytest.raises(StoreError, match=todo):
            bench.poll(entry(current_status="suspended"))


@SQLITE_ONLY
def test_a_file_that_was_replaced_is_opened_anew(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Another file under the same name, as a person or a tool puts it there; the old one would be written to nowhere."""
    bench.poll(entry("phone-1"))
    kept = bench.path.with_name("kept.db")
    saving.save(bench.store, kept)
    bench.poll(entry("phone-1"), entry("phone-2"))
    kept.replace(bench.path)
    bench.poll(entry("phone-1"), entry("phone-3"))
    assert f"the database {bench.path} was replaced; it is opened anew" in caplog.text
    assert asked(bench.path, "SELECT provider_id FROM numbers ORDER BY 1") == [("phone-1",), ("phone-3",)]


@SQLITE_ONLY
def test_a_file_that_was_deleted_is_named_and_never_begun_anew(bench: Bench) -> None:
    bench.poll(entry())
    aside = bench.path.with_name("aside.db")
    bench.path.replace(aside)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is not there any more; stop the service, put the file back"):
            bench.poll(entry(current_status="suspended"))
        assert not bench.path.exists()
    aside.replace(bench.path)
    bench.poll(entry(current_status="suspended"))
    assert bench.kinds() == ["status.changed"]


def fill(bench: Bench) -> None:
    """The very error of a full disk: on SQLite by ``max_page_count`` (SQLITE_FULL), on PostgreSQL with its code, 53100."""
    if Chosen.is_postgresql:
        said = 'could not extend file "base/1/2": No space left on device'
        code = f"BEGIN RAISE EXCEPTION '{said}' USING ERRCODE = '53100', HINT = 'Check free disk space.'; END"
        changed(bench.path, f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ {code} $$")
        changed(bench.path, "CREATE TRIGGER full_disk BEFORE INSERT ON alerts EXECUTE FUNCTION full_disk()")
        return
    with bench.store.transaction() as tx:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def make_room(bench: Bench) -> None:
    if Chosen.is_postgresql:
        changed(bench.path, "DROP TRIGGER full_disk ON alerts")
        return
    with bench.store.transaction() as tx:
        tx.connection.exec_driver_sql("PRAGMA max_page_count = 1000000")


def test_a_full_database_loses_nothing_and_says_what_to_do(bench: Bench) -> None:
    bench.poll(entry())
    fill(bench)
    many = [entry(f"phone-{i}", current_status="suspended") for i in range(300)]
    with pytest.raises(StoreError, match="free some space"):
        bench.poll(*many)
    assert integrity.look(bench.store) == []
    assert bench.kinds() == []
    make_room(bench)
    bench.poll(*many)
    assert bench.kinds().count("status.changed") == 300
    assert bench.kinds().count("number.added") == 299


def test_whatever_was_stored_can_be_read_again_and_no_poll_ends_on_it(bench: Bench) -> None:
    odd: list[dict[str, Any]] = [
        {"x": 10**4000},
        {"x": float("nan")},
        {"x": "\ud800"},
        {"x": "\0"},
        {"current_price": {"a": [[[1]]]}, "renewal_date": 1e300},
    ]
    for changes in (*odd, *odd):
        for name in ("active", "suspended"):
            bench.poll(entry(current_status=name, **changes), entry("phone-2"))
    assert bench.snapshot(bench.now)[0]["current_status"] == "suspended"
    with bench.store.transaction() as tx:
        assert len(history_of(tx, find_number(tx, "phone-1")[2], 1)) == 20
    assert integrity.look(bench.store) == []


@pytest.mark.parametrize("where", ["reading", "judging"])
def test_what_nobody_foresaw_is_a_failed_poll_like_any_other(bench: Bench, where: str) -> None:
    bench.poll(entry(days_until_monthly_renewal=4, renewal_date=None, auto_renewal=False))

    def broken(*_: object) -> Any:
        secret = "talq_x"
        raise KeyError(secret)

    if where == "reading":
        bench.source.before_return = broken
        polled = [bench.poll() for _ in range(3)]
    else:
        polled = []
        for _ in range(3):
            bench.now += timedelta(hours=1)
            bench.source.next = listing(entry())
            way = Routing(channels=tuple(bench.channels))
            failing: dict[str, Any] = {"mark": lambda verdict: verdict if verdict.watch.failures else broken()}
            polled.append(
                poll.run_once(bench.store, ENVIRONMENT, bench.source, bench.policy, way, lambda: bench.now, **failing)
            )
    for one in polled:
        assert one.error is not None
        assert one.error.startswith("a fault of renewal-watch (KeyError at test_poll.py:")
        assert "talq_x" not in one.error
    assert bench.kinds() == ["renewal.upcoming", "watch.api_failing"]
    bench.source.before_return = lambda: None
    bench.poll(entry(days_until_monthly_renewal=4, renewal_date=None, auto_renewal=False))
    assert bench.kinds()[-1] == "watch.recovered"


def test_threads_share_the_database(bench: Bench) -> None:
    """Claims of channel threads and polls wait for each other, none fails."""
    faults: list[BaseException] = []

    def claims() -> None:
        try:
            for _ in range(30):
                with bench.store.transaction() as tx:
                    claim(tx, CHAT, "UTC", bench.now)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=claims) for _ in range(4)]
    for one in threads:
        one.start()
    for i in range(10):
        bench.poll(entry(current_status="suspended" if i % 2 else "active"))
    for one in threads:
        one.join()
    assert faults == []


# --- what it costs ----------------------------------------------------------------------------------------------------


@SQLITE_ONLY
def test_the_questions_of_one_poll_do_not_grow_with_what_changed(bench: Bench) -> None:
    """A question for each number, in the write transaction, would keep others waiting for seconds in a large fleet."""

    def questions(numbers: int) -> int:
        names = [f"phone-{numbers}-{place}" for place in range(numbers)]
        bench.poll(*(entry(name, auto_renewal=True) for name in names))
        asked_: list[str] = []

        def note(connection: Any, *_: object) -> None:
            connection.set_trace_callback(lambda said: asked_.append(said.lstrip()[:6].upper()))

        event.listen(bench.store.engine, "checkout", note)
        changes = {"current_status": "suspended", "auto_renewal": False, "monthly_renewal_cost": 9, "has_sms": False}
        soon = {"days_until_monthly_renewal": 1, "renewal_date": (bench.now.date() + timedelta(days=1)).isoformat()}
        polled = bench.poll(*(entry(name, **changes, **soon) for name in names))
        event.remove(bench.store.engine, "checkout", note)
        bench.store.engine.dispose()
        assert polled.alerts >= 4 * numbers
        return asked_.count("SELECT")

    few, many = questions(20), questions(200)
    assert few > 0
    assert many <= few + 5
