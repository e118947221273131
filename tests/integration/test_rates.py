"""How fast the provider is asked: turns of a token that all who use the database share, and pauses that hold back them all."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from databases import BOTH, SQLITE_ONLY, opened
from hypothesis import given
from hypothesis import strategies as st
from receivers import Answer, HttpReceiver, http_receiver
from rounds import few

from renewal_watch.database import sqlite
from renewal_watch.errors import PutOff, RateLimited
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import account_poll, poll
from renewal_watch.provider.base import PATIENCE
from renewal_watch.provider.talkover.client import PAGE_WAIT, Client
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Account
from renewal_watch.store.environments import environment_state, last_poll_id
from renewal_watch.store.incidents.account import readings_of
from renewal_watch.store.rate_limit import FARTHEST, LONGEST_HOLD, Kept, Pace, Rates, held, limit, turn

pytestmark = BOTH

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
TOKEN = "talq_shared_by_many"
ANY = timedelta(days=1)


def environment(name: str = "production", **changes: Any) -> Environment:
    given = {"base_url": "http://127.0.0.1:1/api/v1", "token": TOKEN, "poll_jitter": "0s"}
    return Environment(name=name, **(given | changes))


class Bench:
    """A database, a clock that pauses put on, and what was waited for."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "renewal-watch.db"
        self.store = opened(self.path)
        self.store.upgrade()
        self.now = T0
        self.waited: list[float] = []
        self.rates = Rates(self.store, lambda: self.now)

    def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += timedelta(seconds=seconds)

    def pace(self, one: Environment | None = None, *others: Environment, rates: Rates | None = None) -> Pace:
        one = one or environment()
        return (rates or self.rates).pace(one, [one, *others])

    def client(self, one: Environment, *others: Environment, patience: timedelta = PATIENCE) -> Client:
        return Client.of(one, self.pause, pace=self.pace(one, *others), patience=patience)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.store.close()


# --- the rule, pure ---------------------------------------------------------------------------------------------------


@few(60)
@given(st.integers(1, 1000), st.lists(st.sampled_from([0.0, 0.01, 0.3, 2.0, 61.0]), min_size=20, max_size=300))
def test_no_minute_ever_has_more_requests_than_the_limit(per_minute: int, pauses: list[float]) -> None:
    kept, now, went = None, T0, []
    for pause in pauses * (per_minute // 100 + 1):
        at, free_at = turn(kept, per_minute, now)
        assert at >= now
        kept = Kept(free_at)
        went.append(at)
        now = at + timedelta(seconds=pause)
    for place, at in enumerate(went):
        assert sum(later - at < MINUTE for later in went[place : place + per_minute + 2]) <= max(per_minute, 1)


def test_a_fifth_of_the_limit_goes_at_once_then_one_after_another() -> None:
    kept, waits = None, []
    for _ in range(24):
        at, free_at = turn(kept, 100, T0)
        kept = Kept(free_at)
        waits.append((at - T0).total_seconds())
    assert waits == [0.0] * 20 + [0.75, 1.5, 2.25, 3.0]
    assert turn(kept, 100, T0 + MINUTE).at == T0 + MINUTE, "after a while all of it is free again"


@pytest.mark.parametrize(
    ("kept", "at"),
    [
        (None, T0),
        (Kept(T0 - 99 * MINUTE), T0),
        (Kept(T0, T0 + 10 * MINUTE), T0 + 10 * MINUTE),
        (Kept(T0, T0 - 10 * MINUTE), T0),
        (Kept(T0 + FARTHEST + SECOND), T0),
        (Kept(T0 + 3650 * ANY), T0),
        (Kept(T0, T0 + LONGEST_HOLD + SECOND), T0),
        (Kept(T0 + 5 * timedelta(hours=1), T0 + 3650 * ANY), T0),
    ],
)
def test_a_pause_is_kept_and_a_clock_that_was_put_back_stops_nobody(kept: Kept | None, at: datetime) -> None:
    assert turn(kept, 100, T0).at == at


def test_after_a_pause_there_is_no_burst() -> None:
    kept, went = held(None, MINUTE, T0), []
    for _ in range(4):
        at, free_at = turn(kept, 100, T0 + MINUTE)
        kept = Kept(free_at, kept.held_until)
        went.append((at - T0 - MINUTE).total_seconds())
    assert went == [0.0, 0.75, 1.5, 2.25]


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    kept = held(held(None, 10 * MINUTE, T0), MINUTE, T0)
    assert turn(kept, 100, T0).at == T0 + 10 * MINUTE
    assert turn(held(kept, 20 * MINUTE, T0), 100, T0).at == T0 + 20 * MINUTE


# --- who shares it ----------------------------------------------------------------------------------------------------


def test_the_smallest_of_several_limits_for_one_token_counts(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    fast = environment("fast", requests_per_minute=1000)
    same = environment("same", token=None, token_file=str(file), requests_per_minute=50)
    other_token = environment("other", token="talq_another", requests_per_minute=10)
    elsewhere = environment("elsewhere", base_url="http://127.0.0.1:2/api/v1", requests_per_minute=5)
    gone = environment("gone", token=None, token_file=str(tmp_path / "none"), requests_per_minute=1)
    those = [fast, same, other_token, elsewhere, gone]
    assert [limit(one, those) for one in those[:4]] == [50, 50, 10, 5]
    assert limit(fast, [fast]) == 1000
    assert limit(environment("slash", base_url=fast.base_url + "/", requests_per_minute=60), those) == 50


def test_processes_on_one_database_share_the_turns(bench: Bench) -> None:
    other_store = opened(bench.path)
    other = Rates(other_store, lambda: bench.now)
    paces = [bench.pace(), bench.pace(environment("staging")), bench.pace(rates=other)]
    waits = [paces[n % 3].reserve(TOKEN, ANY).total_seconds() for n in range(24)]
    assert waits == [0.0] * 20 + [0.75, 1.5, 2.25, 3.0]
    assert bench.pace().reserve("talq_another", ANY) == timedelta(0)
    assert bench.pace(environment(base_url="http://127.0.0.1:2")).reserve(TOKEN, ANY) == timedelta(0)
    other_store.close()


def test_a_turn_that_is_too_far_off_is_not_taken(bench: Bench) -> None:
    pace = bench.pace(environment(requests_per_minute=1))
    assert pace.reserve(TOKEN, PATIENCE) == timedelta(0)
    for _ in range(3):
        assert pace.reserve(TOKEN, PATIENCE) == MINUTE, "nobody takes it, so it stays where it is"


def test_threads_reserve_each_turn_once(bench: Bench) -> None:
    waits: list[float] = []
    faults: list[BaseException] = []

    def reserve() -> None:
        try:
            waits.extend(bench.pace().reserve(TOKEN, ANY).total_seconds() for _ in range(10))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert faults == []
    assert sorted(waits) == [0.0] * 20 + [0.75 * n for n in range(1, 21)]


def test_the_token_is_nowhere_in_the_database(bench: Bench) -> None:
    bench.pace().reserve(TOKEN, ANY)
    bench.pace().hold(TOKEN, MINUTE)
    with bench.store.transaction() as tx:
        ((kept, *_),) = tx.rows("SELECT token, next_at, held_until FROM rates").fetchall()
    assert re.fullmatch("[0-9a-f]{16}", kept)
    assert kept != bench.pace(environment(base_url="http://127.0.0.1:2"))._digest(TOKEN), "the same token elsewhere"


def test_tokens_that_nobody_uses_any_more_are_forgotten(bench: Bench) -> None:
    bench.pace().reserve("talq_of_last_week", ANY)
    bench.now += timedelta(days=7)
    bench.pace().reserve(TOKEN, ANY)
    with bench.store.transaction() as tx:
        assert len(tx.rows("SELECT token FROM rates").fetchall()) == 1


@SQLITE_ONLY
def test_a_database_that_cannot_be_written_leaves_the_turns_to_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    bench = Bench(tmp_path)
    assert bench.pace(environment(requests_per_minute=1)).reserve(TOKEN, ANY) == timedelta(0)
    holder = sqlite3.connect(bench.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    pace = bench.pace(environment(requests_per_minute=1))
    assert [pace.reserve(TOKEN, ANY) for _ in range(2)] == [MINUTE, 2 * MINUTE]
    pace.hold(TOKEN, timedelta(hours=1))
    assert pace.reserve(TOKEN, PATIENCE) == timedelta(hours=1)
    holder.execute("ROLLBACK")
    holder.close()
    bench.store.close()


# --- with a provider --------------------------------------------------------------------------------------------------


def page(number: int, pages: int) -> bytes:
    data = [{"id": f"phone-{number}-{n}"} for n in range(100)]
    return json.dumps({"success": True, "data": data, "meta": {"last_page": pages, "total": 100 * pages}}).encode()


@pytest.fixture
def provider() -> Iterator[HttpReceiver]:
    """Thirty pages of a hundred numbers, and nothing beside the list."""
    with http_receiver() as one:

        def answer(request: Any) -> Answer:
            if not re.search(r"/phone-numbers\?", request.path):
                return Answer(404, b"{}")
            found = re.search(r"[?&]page=(\d+)", request.path)
            return Answer(200, page(int(found[1]) if found else 1, 30))

        one.answer = answer
        yield one


def at(provider: HttpReceiver, name: str = "production", **changes: Any) -> Environment:
    return environment(name, base_url=f"http://127.0.0.1:{provider.port}/api/v1", **changes)


def test_a_list_of_many_pages_is_read_whole_at_the_pace_of_its_limit(bench: Bench, provider: HttpReceiver) -> None:
    one = at(provider)
    assert len(bench.client(one).fetch().entries) == 3000
    assert len(provider.requests) == 30
    assert bench.waited == pytest.approx([0.75] * 10), "twenty at once, the others one after another"


def test_what_is_read_beside_the_list_counts_as_well(bench: Bench, provider: HttpReceiver) -> None:
    """All requests of a poll go by one pace: here the list's thirty, then two of the account."""
    one = at(provider)
    way, account = Routing(), Account(releases=False, topup=True, balance=False, agents=False)
    source = bench.client(one)
    poll.run_once(bench.store, one, source, Policy(), way, lambda: bench.now)
    account_poll.run_once(bench.store, one, account, source, Policy(), way, lambda: bench.now)
    assert len(provider.requests) == 33
    assert len(bench.waited) == 13


def test_a_pause_asked_of_one_environment_holds_back_all_with_its_token(bench: Bench, provider: HttpReceiver) -> None:
    """The second one is not asked for at all: its poll is a failed one at once, and it is not due until then."""
    provider.answer = lambda _: Answer(429, b"{}", {"Retry-After": "600"})
    first, second, stranger = at(provider), at(provider, "staging"), at(provider, "stranger", token="talq_own")
    way = Routing()

    def polled(one: Environment) -> poll.Polled:
        source = bench.client(one, first, second, stranger)
        return poll.run_once(bench.store, one, source, Policy(), way, lambda: bench.now)

    assert "rate limit is reached" in str(polled(first).error)
    bench.now += MINUTE
    assert "asked for a pause of all who use this token" in str(polled(second).error)
    assert len(provider.requests) == 1
    assert bench.waited == [], "and no thread waits for it"
    polled(stranger)
    assert len(provider.requests) == 2, "another token is another incident"
    with bench.store.transaction() as tx:
        kept = environment_state(tx, "staging")[2]
    assert kept.hold_until == T0 + 10 * MINUTE
    assert not poll.is_due(second, kept, "UTC", T0 + 9 * MINUTE)
    assert poll.is_due(second, kept, "UTC", kept.next_poll_at or T0)


def test_a_poll_is_put_off_while_others_use_up_the_limit(bench: Bench, provider: HttpReceiver) -> None:
    """Nothing of it is recorded, for nothing failed: it is begun again when there is a turn."""
    one = at(provider, requests_per_minute=1)
    bench.pace(one).reserve(TOKEN, ANY)
    with pytest.raises(PutOff) as caught:
        poll.run_once(bench.store, one, bench.client(one), Policy(), Routing(), lambda: bench.now)
    assert caught.value.wait == MINUTE
    assert provider.requests == []
    with bench.store.transaction() as tx:
        assert last_poll_id(tx, environment_state(tx, one.name)[0]) is None
    account = Account(releases=True, topup=False, balance=False, agents=False)
    source = bench.client(one)
    assert account_poll.run_once(bench.store, one, account, source, Policy(), Routing(), lambda: bench.now) == 0
    with bench.store.transaction() as tx:
        assert readings_of(tx, environment_state(tx, one.name)[0]) == {}, (
            "what is beside the list waits for the next poll"
        )


def test_who_is_more_patient_waits(bench: Bench, provider: HttpReceiver) -> None:
    """A command by hand polls one after the other and has nothing better to do."""
    provider.answer = lambda _: Answer(
        200, json.dumps({"success": True, "data": [], "meta": {"last_page": 1}}).encode()
    )
    one = at(provider, requests_per_minute=1)
    for _ in range(3):
        bench.client(one, patience=MINUTE).fetch()
    assert bench.waited == [60.0, 60.0]


def test_a_pause_in_the_middle_of_a_list_is_not_waited_out_for_hours(bench: Bench, provider: HttpReceiver) -> None:
    one = at(provider)
    usual = provider.answer

    def answer(request: Any) -> Answer:
        if len(provider.requests) == 3:
            bench.pace(one).hold(TOKEN, timedelta(hours=2))  # another daemon was told so
        return usual(request)

    provider.answer = answer
    with pytest.raises(RateLimited) as caught:
        bench.client(one).fetch()
    assert caught.value.retry_after == timedelta(hours=2)
    assert len(provider.requests) == 3


def test_a_pause_between_two_pages_is_everybody_s_and_its_turn_is_not_waited_for_twice(
    bench: Bench, provider: HttpReceiver
) -> None:
    one = at(provider)
    usual = provider.answer
    said = iter([True])

    def answer(request: Any) -> Answer:
        if "page=3" in request.path and next(said, False):
            return Answer(429, b"{}", {"Retry-After": "30"})
        return usual(request)

    provider.answer = answer
    assert len(bench.client(one).fetch().entries) == 3000
    assert bench.waited[0] == 30.0
    assert bench.waited[1:] == pytest.approx([0.75] * 27), "after a pause there is no burst"
    assert bench.pace(one).reserve(TOKEN, PAGE_WAIT) > timedelta(0)


def test_a_stop_ends_the_wait_for_a_turn(bench: Bench, provider: HttpReceiver) -> None:
    class Stopped(Exception):
        pass

    def stops(_: float) -> None:
        raise Stopped

    one = at(provider)
    client = Client.of(one, stops, pace=bench.pace(one))
    with pytest.raises(Stopped):
        client.fetch()
    assert len(provider.requests) == 20


def test_waits_are_signs_of_life(bench: Bench, provider: HttpReceiver) -> None:
    signs: list[datetime] = []
    one = at(provider, requests_per_minute=1)
    provider.answer = lambda request: Answer(200, page(2 if "page=2" in request.path else 1, 2))
    Client.of(one, bench.pause, lambda: signs.append(bench.now), pace=bench.pace(one)).fetch()
    assert max(later - sooner for sooner, later in pairwise(signs)) <= MINUTE
    assert len(signs) == 3
