"""Several daemons on one database: what only one of them does, whatever becomes of the others. The time is moved by hand."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, asked, impatient, lock, opened, path_of, section, unwritable
from made_up import emptied, entry, listing
from receivers import HttpReceiver
from sqlalchemy import select
from world import TOKEN, serving
from world import World as Around

from renewal_watch.channels import apprise
from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.channels.limits import Limits
from renewal_watch.config.loading import load
from renewal_watch.daemon import membership
from renewal_watch.daemon.daemon import Daemon
from renewal_watch.daemon.membership import Presence
from renewal_watch.database import engine
from renewal_watch.database.schema import environments, instances, leases, rates
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import StoreError
from renewal_watch.model.alerts import Alert, Delivery, Flap, Key, Message, Severity
from renewal_watch.model.daemons import Lease
from renewal_watch.model.facts import Written
from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Policy
from renewal_watch.notify.retry import CHANNEL_FAILING_AFTER
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import canary, digests, dispatch, poll, turn
from renewal_watch.operations.dispatch import Outlet, Sent
from renewal_watch.operations.poll import Polled
from renewal_watch.reports import status
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Canary, Escalation, Flapping, Reminders
from renewal_watch.store.environments import environment_state, schedule_of
from renewal_watch.store.incidents.incidents import incidents_of, keep_flaps
from renewal_watch.store.incidents.timers import set_fired
from renewal_watch.store.leases import (
    ALIVE,
    deregister,
    give_back_lease,
    list_instances,
    record_beat,
    register,
    still_has_lease,
    take_lease,
)
from renewal_watch.store.outbox.alerts import list_alerts, record_alerts
from renewal_watch.store.outbox.deliveries import LEASE, claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent
from renewal_watch.store.outbox.waiting import failing_channels, outbox_counts
from renewal_watch.timed import follow_up

pytestmark = [BOTH, POSTGRESQL_ONLY]

SECOND = timedelta(seconds=1)
OPS = Channel(name="ops", url="json://127.0.0.1:1/")
DESK = Channel(name="desk", url="json://127.0.0.1:1/")
BOSS = Channel(name="boss", url="json://127.0.0.1:1/", by_rule_only=True)
DIGEST = Channel(name="digest", url="json://127.0.0.1:1/", digest="daily 14:00", digest_when_empty=True)
X = "environment x"


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends, "it never came"
        threading.Event().wait(0.01)


class World:
    """A database that several share, and the time of its server."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = T0
        self.way = Routing(channels=(OPS,))

    def clock(self) -> datetime:
        return self.now

    def join(self, *names: str) -> None:
        with self.store.transaction() as tx:
            for name in names:
                register(tx, name, f"host-{name}", 1, "1.0", self.now)

    def beat(self, *names: str) -> None:
        with self.store.transaction() as tx:
            for name in names:
                assert record_beat(tx, name, 0, 0, self.now), f"{name} was forgotten"

    def goes_on(self, length: timedelta, *alive: str) -> None:
        """Time passes; the daemons that live say so now and then, at least in the end."""
        ends = self.now + length
        self.now = max(self.now, ends - timedelta(minutes=2))
        while self.now < ends:
            self.now = min(ends, self.now + 10 * SECOND)
            if alive:
                self.beat(*alive)

    def take(self, by: str, name: str = X) -> Lease | None:
        with self.store.transaction(name) as tx:
            return take_lease(tx, name, by, self.now)

    def claim(self, by: str | None, channel: Channel = OPS) -> Delivery | None:
        with self.store.transaction(f"channel {channel.name}") as tx:
            return claim(tx, channel, "UTC", self.now, by)

    def has(self, lease: Lease) -> bool:
        with self.store.reading() as tx:
            return still_has_lease(tx, lease)

    def tell(self, *keys: str) -> None:
        with self.store.transaction() as tx:
            found = [
                Alert(
                    key=f"status.changed/{key}",
                    kind="status.changed",
                    severity=Severity.warning,
                    environment="",
                    facts=Written(key, key),
                )
                for key in keys
            ]
            for one in found:
                record_alerts(tx, [one], self.way, self.now)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return opened(tmp_path_factory.mktemp("leases") / "watch.db")


@pytest.fixture
def world(shared: Store) -> World:
    emptied(shared)
    return World(shared)


# --- who has what -----------------------------------------------------------------------------------------------------


def test_what_one_has_no_other_gets(world: World) -> None:
    world.join("a", "b")
    lease = world.take("a")
    assert lease
    assert world.take("b") is None
    assert world.take("b", "environment y"), "another thing is free"
    with world.store.transaction(X) as tx:
        give_back_lease(tx, lease)
    assert world.take("b")


def test_what_is_given_back_late_is_not_taken_from_another(world: World) -> None:
    world.join("a", "b")
    was = world.take("a")
    assert was
    world.goes_on(ALIVE, "b")
    lease = world.take("b")
    assert lease
    with world.store.transaction(X) as tx:
        give_back_lease(tx, was)
    assert world.has(lease)
    assert not world.has(was)


def test_what_a_dead_one_had_is_free_when_it_is_not_heard_of_any_more(world: World) -> None:
    world.join("a", "b")
    assert world.take("a")
    world.goes_on(ALIVE - SECOND, "b")
    assert world.take("b") is None, "it may live"
    world.goes_on(SECOND, "b")
    assert world.take("b")


def test_what_one_that_ended_had_is_free_at_once(world: World) -> None:
    world.join("a", "b")
    world.tell("one")
    assert world.take("a")
    assert world.claim("a")
    with world.store.transaction("instance a") as tx:
        deregister(tx, "a")
    assert world.take("b")
    assert world.claim("b")


def test_what_one_takes_while_it_ends_is_not_left_over(world: World) -> None:
    """A poll of the daemon begins in the moment in which its last word is said."""
    world.join("a")

    def leave() -> None:
        with world.store.unlocked() as tx:
            deregister(tx, "a", world.now)

    leaving = threading.Thread(target=leave)
    with world.store.transaction(X) as tx:
        assert take_lease(tx, X, "a", world.now)
        leaving.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        until(lambda: asked(path_of(world.store), waits) or not leaving.is_alive())
    leaving.join()
    with world.store.reading() as tx:
        assert tx.connection.execute(select(leases)).all() == []
        assert tx.connection.execute(select(instances)).all() == []


def test_who_has_just_come_judges_nobody(world: World) -> None:
    """All may have been away, with the database; who lives has had no chance to say so."""
    world.join("a")
    assert world.take("a")
    world.goes_on(2 * ALIVE)
    world.join("b")
    assert world.take("b") is None
    world.goes_on(ALIVE, "b")
    assert world.take("b")


def test_after_an_outage_nobody_takes_over_before_all_had_the_chance_to_say_that_they_live(world: World) -> None:
    world.tell("one")
    world.join("a", "b")
    lease, message = world.take("a"), world.claim("a")
    assert lease
    assert message
    world.goes_on(2 * ALIVE)  # the server was away: nobody could say anything
    assert world.take("b") is None, "before its first word it is as dead as the others"
    assert world.claim("b") is None
    world.beat("b")
    assert world.take("b") is None
    assert world.claim("b") is None
    world.goes_on(ALIVE - SECOND, "b")
    assert world.take("b") is None
    world.beat("a")
    world.goes_on(ALIVE, "a", "b")
    assert world.take("b") is None, "a lives"
    assert world.claim("b") is None
    assert world.has(lease)


def test_after_an_outage_what_a_dead_one_had_is_free_in_time(world: World) -> None:
    world.tell("one")
    world.join("a", "b")
    assert world.take("a")
    assert world.claim("a")
    world.goes_on(2 * ALIVE)
    world.beat("b")
    world.goes_on(ALIVE, "b")
    assert world.take("b")
    assert world.claim("b")


def test_who_is_not_heard_of_takes_nothing(world: World) -> None:
    """What it took would be free to the others: they would do it as well."""
    world.join("a", "b")
    world.tell("one")
    world.goes_on(ALIVE, "b")
    assert world.take("a") is None, "it woke, and its first beat is still to come"
    assert world.claim("a") is None
    world.beat("a")
    assert world.take("a")
    assert world.claim("a")


def test_who_was_forgotten_takes_nothing_until_it_joins_again(world: World) -> None:
    world.join("a", "b")
    world.tell("one")
    with world.store.transaction() as tx:
        deregister(tx, "a")
    with world.store.transaction() as tx:
        assert record_beat(tx, "a", 0, 0, world.now) is None
    assert world.take("a") is None
    assert world.claim("a") is None
    world.join("a")
    assert world.take("a")
    assert world.claim("a")


def test_a_command_by_hand_takes_a_message_that_nobody_has(world: World) -> None:
    world.join("a")
    world.tell("one", "two")
    assert world.claim("a")
    assert world.claim(None)
    assert world.claim(None) is None
    world.goes_on(ALIVE)
    assert world.claim(None) is None, "it has not been there for so long that it could judge"
    world.goes_on(LEASE)
    assert world.claim(None)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_what_a_dead_one_was_sending_counts_for_the_cap_until_it_is_sent_again(world: World) -> None:
    """Else its own message would wait for itself."""
    one = Channel(name="ops", url=OPS.url, max_per_hour=1)
    world.join("a", "b")
    world.tell("one")
    assert world.claim("a", one)
    world.tell("two")
    world.goes_on(ALIVE - SECOND, "b")
    assert world.claim("b", one) is None
    world.goes_on(SECOND, "b")
    again = world.claim("b", one)
    assert again
    assert again.attempts == 2
    assert [alert.headline for alert in again.alerts] == ["one"]
    assert world.claim("b", one) is None, "the second one waits for an hour"


# --- what time makes due, and each daemon looks for -------------------------------------------------------------------


class Machine:
    """A daemon's turn of time, with a configuration of its own."""

    def __init__(self, world: World, name: str, way: Routing | None = None, *environments: str) -> None:
        self.world = world
        self.name = name
        self.way = way or world.way
        self.policies = dict.fromkeys(environments or ("production",), Policy())

    def turn(self, faults: Sequence[str] = ()) -> list[str]:
        """The kinds of what is new."""
        with self.world.store.reading() as tx:
            before = max([0, *(one["id"] for one in list_alerts(tx))])
        follow_up.run_once(
            self.world.store,
            self.way,
            self.policies,
            self.world.now,
            inventory_faults=faults,
            host=f"host-{self.name}",
            instance=self.name,
        )
        digests.send_digests(self.world.store, self.way, self.policies, lambda: self.world.now)
        with self.world.store.reading() as tx:
            return [one["kind"] for one in reversed(list_alerts(tx)) if one["id"] > before]


def test_a_daemon_that_is_gone_without_a_word_is_told_once_by_one_of_the_others(world: World) -> None:
    world.join("a", "b", "c")
    b, c = Machine(world, "b"), Machine(world, "c")
    world.goes_on(timedelta(seconds=59), "b", "c")
    assert b.turn() == []
    assert c.turn() == []
    world.goes_on(SECOND, "b", "c")
    assert b.turn() == ["watch.daemon_lost"]
    assert c.turn() == []
    with world.store.reading() as tx:
        (lost,) = list_alerts(tx)
        assert [one.id for one in list_instances(tx, world.now)] == ["b", "c"]
    assert lost["severity"] == "warning"
    assert "host-a (process 1) was last heard of at 2026-11-23 12:00 UTC" in lost["text"]
    assert "runs on host-b, host-c" in lost["text"]


def test_that_a_lost_daemon_is_back_is_told(world: World) -> None:
    """It was paused, or cut off: it was forgotten, and joins again."""
    world.join("a", "b")
    b = Machine(world, "b")
    for _ in range(2):
        world.goes_on(timedelta(minutes=2), "b")
        assert b.turn() == ["watch.daemon_lost"], "the second time as well"
        assert b.turn() == []
        world.goes_on(SECOND, "b")
        world.join("a")
        assert b.turn() == ["watch.recovered"]
        assert b.turn() == []
        assert b.way.reminders.interval(Severity.warning) is None
    with world.store.reading() as tx:
        assert incidents_of(tx) == {}
        assert "host-a is back" in list_alerts(tx)[0]["text"]


def test_what_ends_is_not_reminded_of_in_the_same_turn(world: World) -> None:
    world.join("a", "b")
    b = Machine(world, "b", replace(world.way, reminders=Reminders(warning_every="1d")))
    world.goes_on(timedelta(minutes=2), "b")
    assert b.turn(["line 3: no number"]) == ["inventory.invalid", "watch.daemon_lost"]
    world.goes_on(timedelta(days=1), "b")
    world.join("a")
    assert sorted(b.turn()) == ["inventory.invalid", "watch.recovered"]
    with world.store.reading() as tx:
        assert incidents_of(tx) == {}


def test_a_machine_that_stays_away_is_not_thought_of_for_ever(world: World) -> None:
    world.join("a", "b")
    b = Machine(world, "b", replace(world.way, reminders=Reminders(warning_every="1d")))
    world.goes_on(timedelta(minutes=2), "b")
    assert b.turn() == ["watch.daemon_lost"]
    world.now += timedelta(days=1)
    world.beat("b")
    world.goes_on(ALIVE, "b")
    assert b.turn() == []
    with world.store.reading() as tx:
        assert incidents_of(tx) == {}


def test_a_daemon_that_was_started_anew_on_its_machine_is_not_told(world: World) -> None:
    world.join("a", "b")
    world.goes_on(10 * SECOND, "b")
    with world.store.transaction() as tx:
        register(tx, "a2", "host-a", 2, "1.0", world.now)
    world.goes_on(ALIVE, "a2", "b")
    assert Machine(world, "b").turn() == []
    with world.store.reading() as tx:
        assert [one.id for one in list_instances(tx, world.now)] == ["b", "a2"], "and its row is not left over"
    world.goes_on(timedelta(minutes=2), "a2", "b")
    assert Machine(world, "b").turn() == []


def test_another_daemon_on_the_same_machine_does_not_hide_its_death(world: World) -> None:
    world.join("a", "b")
    with world.store.transaction() as tx:
        register(tx, "a2", "host-a", 2, "1.0", world.now)
    world.goes_on(timedelta(minutes=1), "a2", "b")
    assert Machine(world, "b").turn() == ["watch.daemon_lost"]
    assert Machine(world, "b").turn() == [], "the other one was there before"


def test_a_daemon_that_ended_is_not_told(world: World) -> None:
    world.join("a", "b")
    with world.store.transaction() as tx:
        deregister(tx, "a")
    world.goes_on(timedelta(minutes=2), "b")
    assert Machine(world, "b").turn() == []


def test_nobody_is_lost_because_the_database_was_away(world: World) -> None:
    world.join("a", "b", "c")
    world.now += timedelta(minutes=10)
    assert Machine(world, "b").turn() == [], "before its first beat"
    world.beat("b")
    world.goes_on(ALIVE - SECOND, "b")
    assert Machine(world, "b").turn() == []
    world.goes_on(SECOND, "b", "c")
    assert Machine(world, "b").turn() == ["watch.daemon_lost"], "a did not come back"


def test_an_inventory_that_one_machine_cannot_read_is_told_once(world: World) -> None:
    """The others, who can read theirs, neither end it nor tell it again."""
    world.join("a", "b")
    a, b = Machine(world, "a"), Machine(world, "b")
    assert a.turn(["line 3: no number"]) == ["inventory.invalid"]
    for _ in range(2):
        assert b.turn() == []
        assert a.turn(["line 3: no number"]) == []
    assert b.turn(["line 3: no number"]) == ["inventory.invalid"], "of its own machine"
    world.goes_on(SECOND, "a", "b")
    assert a.turn() == ["inventory.invalid"], "its end"
    assert a.turn() == []
    assert b.turn(["line 3: no number"]) == []
    with world.store.reading() as tx:
        assert [key.topic for key in incidents_of(tx)] == ["inventory on host-b"]


def test_a_channel_that_only_one_has_is_reminded_of_by_that_one(world: World) -> None:
    """Another, whose configuration does not have it, does not take it for mended."""
    both = Routing(channels=(OPS, DESK), reminders=Reminders(critical_every="1h"))
    world.join("a", "b")
    a, b = Machine(world, "a", both), Machine(world, "b", replace(both, channels=(OPS,)))
    world.way = both
    world.tell("one")
    message = world.claim(None, DESK)
    assert message
    with world.store.transaction() as tx:
        settle_failed(tx, message, "no", both, world.now, 0.5)
    world.goes_on(CHANNEL_FAILING_AFTER, "a", "b")
    message = world.claim(None, DESK)
    assert message
    with world.store.transaction() as tx:
        settle_failed(tx, message, "no", both, world.now, 0.5)
    with world.store.reading() as tx:
        assert [key.topic for key in incidents_of(tx)] == ["channel desk"]
    world.goes_on(timedelta(hours=1), "a", "b")
    assert b.turn() == []
    assert a.turn() == ["channel.failing"]
    with world.store.transaction() as tx:
        deregister(tx, "a")
    world.goes_on(timedelta(hours=1), "b")
    assert b.turn() == []
    with world.store.reading() as tx:
        assert incidents_of(tx) == {}, "nobody has it any more"


def test_a_canary_that_only_one_has_is_followed_by_that_one(world: World) -> None:
    sings = Routing(channels=(OPS,), canary=Canary(channel="ops", within="30m"))
    world.join("a", "b")
    with world.store.transaction() as tx:
        set_fired(tx, "canary", world.now, json.dumps({"waits": True, "channel": "ops"}))
    world.goes_on(timedelta(minutes=31), "a", "b")
    canary.follow(world.store, world.way, world.now)
    canary.follow(world.store, sings, world.now)
    with world.store.reading() as tx:
        assert [one["kind"] for one in list_alerts(tx)] == ["canary.failed"]


def test_what_flaps_where_only_one_looks_is_ended_by_that_one(world: World) -> None:
    world.join("a", "b")
    a, b = Machine(world, "a", None, "production"), Machine(world, "b", None, "staging")
    key = Key("production", "", "status")
    with world.store.transaction() as tx:
        environment_state(tx, "production")
        keep_flaps(tx, {key: Flap((world.now,), world.now, Severity.warning)})
        tx.connection.execute(environments.update().values(last_poll_at=world.now))
    world.now += timedelta(hours=23)
    way = replace(world.way, flapping=Flapping(within="22h"))
    a.way = b.way = way
    assert b.turn() == []
    assert a.turn() == ["flapping.ended"]
    assert a.turn() == []


# --- a daemon among others --------------------------------------------------------------------------------------------


class Steady:
    """A clock of the machine that nobody sets, moved by hand."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def presences(world: World) -> Iterator[Callable[..., Presence]]:
    """Daemons of a test, on stores of their own."""
    made: list[Presence] = []

    def one(clock: Callable[[], datetime] | None = None, store: Store | None = None, **more: Any) -> Presence:
        made.append(Presence(store or world.store, clock or world.clock, **more))
        return made[-1]

    yield one
    for each in made:
        each.close()


def always(_tx: Transaction, _at: datetime) -> bool:
    return True


def test_it_counts_by_the_time_of_the_database_whatever_its_machine_says(
    world: World, presences: Callable[..., Presence]
) -> None:
    steady = Steady()
    one = presences(steady=steady)
    world.now = T0
    one.join()
    assert one.now() == T0
    steady.s += 3
    assert one.now() == T0 + 3 * SECOND, "between two beats it goes on by itself"
    world.now = T0 + 4 * SECOND
    steady.s += 1
    one.beat()
    assert one.now() == T0 + 4 * SECOND


def test_its_time_is_known_before_it_is_there(world: World, presences: Callable[..., Presence]) -> None:
    assert presences(steady=Steady()).now() == T0
    with world.store.reading() as tx:
        assert list_instances(tx, world.now) == []


def test_an_answer_that_took_long_moves_its_time_no_more_than_it_must(
    world: World, presences: Callable[..., Presence]
) -> None:
    """It was paused while it asked: the answer is of a time between the question and now."""
    steady = Steady()
    asked: list[float] = []

    def clock() -> datetime:  # the database's, as the question reaches it; then the answer takes 30 s
        at = world.now
        for length in asked:
            steady.s += length
            world.now += length * SECOND
        asked.clear()
        return at

    one = presences(clock, steady=steady)
    one.join()
    asked.append(30)
    one.beat()
    assert one.now() == T0 + 30 * SECOND == world.now, "what it thought may be right, so it stays"
    asked.append(30)
    world.now += 10 * SECOND  # the server's clock was put on meanwhile
    one.beat()
    assert one.now() == T0 + 60 * SECOND < world.now, "still within what the answer allows"
    one.beat()
    assert one.now() == world.now, "a quick answer says it exactly"


def test_one_that_hangs_is_not_heard_of_and_the_others_do_its_work(
    world: World, presences: Callable[..., Presence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "BEAT_S", 0.01)
    is_well = True
    one, other = presences(is_well=lambda: is_well), presences()
    one.start()
    other.join()
    beats = lambda: seen(world, one)  # noqa: E731 (what is looked at)
    first = beats()
    world.now += SECOND
    until(lambda: beats() > first)
    assert one.take(X, always)
    is_well = False
    until(lambda: not one.is_heard)
    for _ in range(int(ALIVE / SECOND) + 1):
        world.now += SECOND
        other.beat()
    assert other.take(X, always)
    is_well = True
    until(lambda: one.is_heard)
    assert one.take(X, always) is None


def seen(world: World, one: Presence) -> datetime:
    with world.store.reading() as tx:
        return next(found.seen_at for found in list_instances(tx, world.now) if found.id == one.id)


def test_many_that_wait_here_do_not_make_it_look_dead(world: World, presences: Callable[..., Presence]) -> None:
    """Polls and channels may use up every connection while another has its turn; the beat has one of its own."""
    one = presences()
    one.join()
    with contextlib.ExitStack() as stack:
        stack.enter_context(world.store.transaction())
        for _ in range(29):
            stack.enter_context(world.store.reading())
        world.now += SECOND
        one.beat()
    assert seen(world, one) == world.now


def test_a_forgotten_one_joins_again_with_what_it_did(world: World, presences: Callable[..., Presence]) -> None:
    one = presences()
    one.join()
    one.polled, one.sent = 3, 5
    assert one.take(X, always)
    with world.store.transaction() as tx:
        deregister(tx, one.id)
    assert one.take(X, always) is None
    one.beat()
    assert one.take(X, always)
    one.beat()
    with world.store.reading() as tx:
        (found,) = list_instances(tx, world.now)
    assert (found.polled, found.sent, found.is_alive) == (3, 5, True)


def test_what_could_not_be_given_back_is_given_back_with_a_later_beat(
    world: World, presences: Callable[..., Presence]
) -> None:
    """Else nobody could take it as long as this daemon lives, though it may not want it any more."""
    store = opened(path_of(world.store))
    one, other = presences(store=store), presences()
    one.join()
    other.join()
    lease = one.take(X, always)
    assert lease
    impatient(store)
    with lock(path_of(world.store)) as somebody:
        somebody.take()
        with pytest.raises(StoreError):
            one.give_back(lease)
    assert other.take(X, always) is None
    one.beat()
    assert other.take(X, always)


def test_who_ends_is_gone_at_once_and_does_not_come_back(world: World, presences: Callable[..., Presence]) -> None:
    one, other = presences(), presences()
    one.start()
    other.join()
    assert one.take(X, always)
    one.close()
    with world.store.reading() as tx:
        assert [found.id for found in list_instances(tx, world.now)] == [other.id]
    assert other.take(X, always)
    assert one.take("environment y", always) is None, "what is still under way takes nothing more"


def test_who_ends_while_the_database_is_away_does_not_wait_for_it(
    world: World, presences: Callable[..., Presence], caplog: pytest.LogCaptureFixture
) -> None:
    one = presences()
    one.start()
    impatient(one._beats)
    with lock(path_of(world.store)) as somebody:
        somebody.take()
        began = time.monotonic()
        one.close()
        assert time.monotonic() - began < membership.LEAVE_S + 1
    assert "the others will miss this daemon in a while" in caplog.text


def test_two_that_ask_at_the_same_time_get_it_once(world: World) -> None:
    """Real threads on real connections."""
    names = [f"daemon-{i}" for i in range(6)]
    world.join(*names)
    got: list[tuple[int, str]] = []
    start = threading.Barrier(len(names), timeout=60)

    def asks(by: str) -> None:
        for count in range(20):
            start.wait()
            if world.take(by, f"environment {count}"):
                got.append((count, by))

    threads = [threading.Thread(target=asks, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(count for count, _ in got) == list(range(20))


# --- a process that was paused ----------------------------------------------------------------------------------------

PRODUCTION = Environment(name="production", base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")


class Paused:
    """A channel whose process is held up right before it looks for the last time whether the message is still its own."""

    def __init__(self, sender: AppriseChannel, meanwhile: Callable[[], object]) -> None:
        self.sender = sender
        self.meanwhile: Callable[[], object] | None = meanwhile

    def send(self, render: Callable[[Limits], Message]) -> None:
        def late(limits: Limits) -> Message:
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile:
                meanwhile()
            return render(limits)

        self.sender.send(late)


def send_due(world: World, by: str, sender: Any, channel: Channel = OPS) -> Sent:
    outlet = Outlet(channel=channel, sender=sender, instance=by)
    return dispatch.run_once(world.store, outlet, world.way, world.clock, monotonic=lambda: 0.0, pause=lambda _: None)


def texts(web: HttpReceiver) -> list[str]:
    return [request.json["message"].partition("• ")[2].split("\n")[0] for request in web.requests]


def test_who_is_paused_between_claim_and_send_does_not_send_what_another_took(
    world: World, web: HttpReceiver, senders: Callable[[str], AppriseChannel]
) -> None:
    web.answers(HttpReceiver.ok)
    world.join("a", "b")
    world.tell("one")

    def meanwhile() -> None:
        world.goes_on(ALIVE, "b")
        assert send_due(world, "b", senders("b")) == Sent(sent=1)
        world.beat("a")

    assert send_due(world, "a", Paused(senders("a"), meanwhile)) == Sent()
    assert texts(web) == ["one"]


def test_who_is_paused_between_claim_and_send_does_not_send_what_another_is_sending(
    world: World, web: HttpReceiver, senders: Callable[[str], AppriseChannel]
) -> None:
    web.answers(HttpReceiver.ok)
    world.join("a", "b")
    world.tell("one")
    taken: list[Delivery | None] = []

    def meanwhile() -> None:
        world.goes_on(ALIVE, "b")
        taken.append(world.claim("b"))
        world.beat("a", "b")

    assert send_due(world, "a", Paused(senders("a"), meanwhile)) == Sent()
    assert texts(web) == []
    (message,) = taken
    assert message
    with world.store.transaction("channel ops") as tx:
        assert settle_sent(tx, message, world.way, world.now), "it is still the other's"


def test_who_is_paused_for_a_moment_sends_what_nobody_took(
    world: World, web: HttpReceiver, senders: Callable[[str], AppriseChannel]
) -> None:
    web.answers(HttpReceiver.ok)
    world.join("a", "b")
    world.tell("one")
    assert send_due(world, "a", Paused(senders("a"), lambda: world.goes_on(ALIVE, "b"))) == Sent(sent=1)
    assert texts(web) == ["one"]


def test_a_message_that_reaches_the_sending_process_too_late_is_given_back(
    world: World, web: HttpReceiver, senders: Callable[[str], AppriseChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause was after the last look: its child knows how long ago that was."""
    web.answers(HttpReceiver.ok)
    world.join("a")
    world.tell("one")
    monkeypatch.setattr(apprise, "BEGIN_S", -0.001)
    tries = iter([False, False, True])
    outlet = Outlet(channel=OPS, sender=senders("a"), instance="a")
    done = dispatch.run_once(world.store, outlet, world.way, world.clock, should_stop=lambda: next(tries))
    assert done == Sent()
    assert texts(web) == []
    monkeypatch.undo()
    with world.store.reading() as tx:
        assert failing_channels(tx) == {}, "the channel did nothing wrong"
    assert send_due(world, "a", senders("a")) == Sent(sent=1)
    with world.store.reading() as tx:
        ((fate,),) = [one["deliveries"] for one in list_alerts(tx)]
    assert (fate["state"], fate["attempts"]) == ("sent", 1)


def test_a_database_that_goes_away_right_before_the_send_is_no_fault_of_the_channel(
    world: World, web: HttpReceiver, senders: Callable[[str], AppriseChannel]
) -> None:
    """Nobody knows whose the message is, so it is not sent; and it does not wait for its lease to run out."""
    web.answers(HttpReceiver.ok)
    world.join("a")
    world.tell("one")
    store = opened(path_of(world.store))
    with lock(path_of(world.store)) as somebody:
        impatient(store)
        outlet = Outlet(channel=OPS, sender=Paused(senders("a"), somebody.take), instance="a")
        with pytest.raises(StoreError):
            dispatch.run_once(store, outlet, world.way, world.clock)
    assert texts(web) == []
    assert dispatch.run_once(store, outlet, world.way, world.clock) == Sent(sent=1)
    with world.store.reading() as tx:
        assert failing_channels(tx) == {}
        ((fate,),) = [one["deliveries"] for one in list_alerts(tx)]
    assert (fate["state"], fate["attempts"]) == ("sent", 1)
    assert texts(web) == ["one"]


class Source:
    """A provider that notes who asks; ``meanwhile`` happens before it answers."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.asked = 0
        self.meanwhile = meanwhile

    def fetch(self) -> Listing:
        self.asked += 1
        self.meanwhile()
        return listing(entry("phone-1"))


def polled(world: World, source: Source, lease: Lease | None) -> Polled:
    return poll.run_once(world.store, PRODUCTION, source, Policy(), world.way, world.clock, lease=lease)


def test_who_is_paused_before_the_request_does_not_ask_the_provider(world: World) -> None:
    world.join("a", "b")
    lease = world.take("a")
    world.goes_on(ALIVE, "b")
    assert polled(world, Source(), world.take("b")).skipped is None
    world.beat("a")
    source = Source()
    assert polled(world, source, lease).skipped == "another daemon took it over meanwhile"
    assert source.asked == 0


def test_who_is_paused_after_the_request_writes_nothing_of_it(world: World) -> None:
    world.join("a", "b")
    taken: list[Lease | None] = []

    def meanwhile() -> None:
        world.goes_on(ALIVE, "b")
        taken.append(world.take("b"))

    lease = world.take("a")
    assert polled(world, Source(meanwhile), lease).skipped == "another daemon took it over meanwhile"
    assert asked(path_of(world.store), "SELECT id FROM polls") == []
    assert polled(world, Source(), *taken).skipped is None
    assert len(asked(path_of(world.store), "SELECT id FROM polls")) == 1
    with world.store.reading() as tx:
        assert list_instances(tx, world.now)[1].holds == (), "a lease ends with its poll"


def test_a_slot_that_another_polled_meanwhile_is_not_taken(world: World, presences: Callable[..., Presence]) -> None:
    one, other = presences(), presences()
    one.join()
    other.join()

    def is_due(tx: Transaction, at: datetime) -> bool:
        return poll.is_due(PRODUCTION, schedule_of(tx, "production"), "UTC", at)

    lease = one.take("environment production", is_due)
    assert lease
    assert polled(world, Source(), lease).skipped is None
    assert other.take("environment production", is_due) is None
    world.now += timedelta(hours=1)
    other.beat()
    assert other.take("environment production", is_due)


def test_the_cap_of_a_channel_holds_for_all_of_them_together(
    world: World, web: HttpReceiver, senders: Callable[[str], AppriseChannel]
) -> None:
    web.answers(HttpReceiver.ok)
    three = Channel(name="ops", url=OPS.url, max_per_hour=3)
    world.way = Routing(channels=(three,))
    world.join("a", "b")
    start = threading.Barrier(2, timeout=60)
    senders("a"), senders("b")
    done: list[Sent] = []
    for count in range(8):
        world.tell(f"n{count}")

    def sends(by: str) -> None:
        start.wait()
        done.append(send_due(world, by, senders(by), three))

    threads = [threading.Thread(target=sends, args=(by,)) for by in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.sent for one in done) == 3, "the last of them with all that wait"
    assert len(web.requests) == 3
    told = "".join(request.json["message"] for request in web.requests)
    assert all(told.count(f"• n{count}") == 1 for count in range(8))


# --- what is seen of them ---------------------------------------------------------------------------------------------


def test_status_shows_the_daemons_and_what_each_is_at(world: World) -> None:
    world.join("a", "b")
    world.tell("one", "two")
    assert world.take("a", "environment production")
    assert world.claim("a")
    world.goes_on(ALIVE)
    with world.store.transaction() as tx:
        record_beat(tx, "b", 7, 9, world.now)
        found = list_instances(tx, world.now)
    assert [one.is_alive for one in found] == [False, True]
    gone, living = status.instance_lines(found)
    noon = "2026-11-23 12:00 UTC"
    assert gone.startswith(
        f"daemon on host-a (process 1, 1.0): NOT HEARD OF since {noon}; 0 polls and 0 messages since"
    )
    assert gone.endswith("; at work on environment production, 1 message")
    assert living == f"daemon on host-b (process 1, 1.0): 7 polls and 9 messages since {noon}"
    assert status.instance_json(found[0]) == {
        "host": "host-a",
        "pid": 1,
        "version": "1.0",
        "started_at": "2026-11-23T12:00:00Z",
        "last_seen_at": "2026-11-23T12:00:00Z",
        "alive": False,
        "polled": 0,
        "sent": 0,
        "holds": ["environment production"],
        "messages": 1,
    }


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_turn_that_somebody_else_has_for_too_long_is_given_up_in_a_sentence(world: World) -> None:
    store = opened(path_of(world.store))
    impatient(store)
    with (
        world.store.transaction(X),
        pytest.raises(StoreError, match="another process keeps it locked"),
        store.transaction(X),
    ):
        pass
    with world.store.transaction(X), store.transaction("environment y"):
        pass
    with world.store.transaction(X), store.reading(), store.unlocked():
        pass
    with world.store.transaction(), pytest.raises(StoreError), store.transaction(X):
        pass
    with world.store.transaction(X), pytest.raises(StoreError), store.transaction():
        pass


def test_who_is_paused_within_a_transaction_holds_up_the_others_for_a_while_only(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a transaction in which nothing happens; nothing of it is written."""
    monkeypatch.setitem(engine._SESSION, "idle_in_transaction_session_timeout", "1s")
    store = opened(path_of(world.store))
    world.join("a", "b")

    def is_paused() -> None:
        with store.transaction() as tx:
            assert take_lease(tx, X, "a", world.now)
            assert world.take("b"), "it waited until the server ended the other"
            take_lease(tx, "environment y", "a", world.now)

    with pytest.raises(StoreError, match="this process stood still in the middle of it"):
        is_paused()
    assert asked(path_of(world.store), "SELECT name, instance FROM leases") == [(X, "b")]


def test_a_daemon_whose_row_cannot_be_written_does_not_begin(presences: Callable[..., Presence]) -> None:
    one = presences()
    unwritable(one._beats)
    with pytest.raises(StoreError, match="cannot execute INSERT in a read-only transaction"):
        one.start()
    assert not one._thread.is_alive()


def test_a_daemon_that_cannot_be_heard_any_more_says_so_once_and_takes_nothing(
    world: World,
    presences: Callable[..., Presence],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(membership, "BEAT_S", 0.01)
    caplog.set_level("INFO")
    one = presences()
    one.start()
    until(lambda: one.is_heard)
    with lock(path_of(world.store)) as somebody:
        impatient(one._beats)
        somebody.take()
        until(lambda: not one.is_heard)
        until(lambda: "cannot hear this one" in caplog.text)
    until(lambda: one.is_heard)
    until(lambda: "hear this one again" in caplog.text)
    assert caplog.text.count("cannot hear this one") == 1


@pytest.mark.parametrize("how", ["many rows", "one row", "a copy", "a question"])
def test_a_connection_that_is_cut_in_the_middle_costs_the_step_and_nothing_else(
    how: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(path_of(world.store))
    deeds: dict[str, Callable[[Transaction], object]] = {
        "many rows": lambda tx: tx.many(
            "UPDATE incidents SET suppressor = ? WHERE number_id = ?", [("x", 1), ("y", 2)]
        ),
        "one row": lambda tx: tx.rows("UPDATE incidents SET suppressor = ? WHERE number_id = ?", ("x", 1)),
        "a copy": lambda tx: tx.put(rates, ("token", "next_at"), [("x", "y"), ("z", "y")]),
        "a question": outbox_counts,
    }

    def is_cut() -> None:
        with store.transaction() as tx:
            pid = tx.rows("SELECT pg_backend_pid()").fetchone()[0]
            assert asked(path_of(world.store), "SELECT pg_terminate_backend(?, 5000)", (pid,)) == [(True,)]
            deeds[how](tx)

    for _ in range(3):
        with pytest.raises(StoreError, match="see whether the server runs"):
            is_cut()
    with store.transaction() as tx:
        deeds[how](tx)
    assert "ERROR" not in caplog.text


def test_a_connection_that_the_driver_left_in_the_middle_is_not_used_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut among many statements it may be left in a state in which it cannot even be rolled back."""
    store = opened(path_of(world.store))

    def is_cut() -> None:
        with store.transaction() as tx:
            raw: Any = tx.connection.connection.dbapi_connection
            raw.pgconn.enter_pipeline_mode()
            raw.pgconn.send_query_params(b"SELECT 1", [])
            try:
                raise psycopg.errors.AdminShutdown("terminating connection due to administrator command")
            except psycopg.Error:
                raise psycopg.OperationalError("cannot exit pipeline mode while busy")  # noqa: B904 (as psycopg does)

    for _ in range(3):
        with pytest.raises(StoreError, match="terminating connection"):
            is_cut()
    with store.transaction() as tx:
        assert outbox_counts(tx)["pending"] == 0
    assert "ERROR" not in caplog.text


# --- whole daemons ----------------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[tuple[Around, str]]:
    around = Around(numbers=3, restless=False)
    with serving(around) as address:
        yield around, address


@pytest.fixture
def pair(world: World, provider: tuple[Around, str], web: HttpReceiver, tmp_path: Path) -> Iterator[list[Daemon]]:
    """Two daemons with the same configuration that are there, and do what the test asks them."""
    web.answers(HttpReceiver.ok)
    where = f"http://127.0.0.1:{web.port}"
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'state_dir = "{tmp_path}"\n{section(path_of(world.store))}[[environments]]\nname = "production"\n'
        f'base_url = "{provider[1]}/api/v1"\ntoken = "{TOKEN}"\npoll_jitter = "0s"\nheartbeat = "{where}/beats"\n'
        f"[account]\nreleases = false\ntopup = false\nagents = false\n"
        f'[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:{web.port}/ops"\n'
        f'[canary]\nchannel = "ops"\nschedule = "daily 13:00"\n'
    )
    settings = load(path)
    made = [Daemon(settings, opened(path_of(world.store)), world.clock) for _ in range(2)]
    for one in made:
        assert one.presence
        one.presence.join()
    yield made
    for one in made:
        assert one.presence
        one.stopping.set()
        one.polls.pool.shutdown()
        one.polls.account_pool.shutdown()
        one.heartbeats.close(1)
        one.presence.close()


def together(*deeds: Callable[[], object]) -> None:
    """All at the same moment."""
    start = threading.Barrier(len(deeds), timeout=60)

    def does(deed: Callable[[], object]) -> None:
        start.wait()
        deed()

    threads = [threading.Thread(target=does, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_daemons_that_find_the_same_slot_due_poll_it_once(
    pair: list[Daemon], provider: tuple[Around, str], web: HttpReceiver
) -> None:
    (environment,) = pair[0].settings.environments
    for _ in range(3):
        together(*(lambda one=one: one.polls.poll(environment) for one in pair))  # type: ignore[misc]
    assert provider[0].requests == 1
    assert sorted(one.presence.polled for one in pair if one.presence) == [0, 1]
    until(lambda: len(web.requests) >= 2)
    for one in pair:
        one.heartbeats.close(5)
    assert [request.path for request in web.requests] == ["/beats/start", "/beats"]
    slots = {one.polls.schedules["production"].next_poll_at for one in pair}
    assert len(slots) == 1, "both know when the next one is"


def test_two_daemons_send_one_canary(pair: list[Daemon], world: World) -> None:
    for one in pair:
        one.turns.refresh()  # the first look only begins the calendar
    world.now += timedelta(hours=1, minutes=5)
    for one in pair:
        assert one.presence
        one.presence.beat()
    for _ in range(2):
        together(*(lambda one=one: one.turns.do(turn.SENDING[0]) for one in pair))
    with world.store.reading() as tx:
        assert [one["kind"] for one in list_alerts(tx)] == ["canary.sent"]


def test_a_daemon_to_which_the_others_leave_no_poll_is_not_blind_for_that(pair: list[Daemon]) -> None:
    """It met one fault, and nothing since: a second one much later is no ten minutes without a database."""
    one = pair[0]
    one.turns.refresh()
    one.trouble.cannot_write(StoreError("the database cannot be used (it was restarted)"))
    one.turns.refresh()
    assert one.trouble.since is None, "it looked at once, for what waits is not kept waiting"


def test_a_database_that_is_away_does_not_fill_the_log(pair: list[Daemon], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for _ in range(100):
        pair[0].trouble.cannot_write(StoreError("the database is away"))
    assert caplog.text.count("the database is away") == 1
    pair[0].trouble.can_write()
    assert "the database can be used again" in caplog.text
    pair[0].trouble.cannot_write(StoreError("the database is away"))
    assert caplog.text.count("the database is away") == 2


def test_reminders_escalations_and_digests_come_once_though_each_daemon_looks_for_them(world: World) -> None:
    way = Routing(
        channels=(OPS, BOSS, DIGEST),
        reminders=Reminders(critical_every="1h"),
        escalation=Escalation(after="2h", channels=("boss",)),
    )
    world.join("a", "b")
    machines = [Machine(world, name, way) for name in ("a", "b")]
    together(*(one.turn for one in machines))
    polled_by(world, way, listing(entry("phone-1", current_status="suspended")))
    for _ in range(4):
        world.goes_on(timedelta(hours=1), "a", "b")
        together(*(one.turn for one in machines))
    with world.store.reading() as tx:
        found = Counter(
            next((nature for nature in ("reminder", "escalation") if f"/{nature} of " in one["key"]), one["kind"])
            for one in list_alerts(tx)
        )
    assert found == {"status.changed": 1, "reminder": 4, "escalation": 1, "digest.sent": 1}


def polled_by(world: World, way: Routing, said: Listing) -> None:
    class One:
        def fetch(self) -> Listing:
            return said

    poll.run_once(world.store, PRODUCTION, One(), Policy(), way, world.clock)
