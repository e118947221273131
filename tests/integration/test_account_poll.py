"""The account beside the list, the whole way: a simulated provider over HTTP, the real client, the rules, a real SQLite file.

The time is moved by hand. ``World.poll`` is a poll and the account's turn after it, ``World.turn`` the daemon's turn of time.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import commands
import msgspec
import pytest
from click.testing import CliRunner
from conftest import T0, Clock
from databases import BOTH, SQLITE_ONLY, asked, content, opened, section
from made_up import emptied

from renewal_watch.alerts.phrases import used_by
from renewal_watch.cli import cli
from renewal_watch.database.schema import readings
from renewal_watch.database.store import Store
from renewal_watch.errors import ServerTrouble
from renewal_watch.model.alerts import Incident, Key
from renewal_watch.model.policy import Match, Policy, Rule
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import account_poll, digests, poll
from renewal_watch.provider.simulator import (
    TOKEN,
    USER_TOKEN,
    Account,
    Provider,
    Rented,
    Server,
    charge,
    made_up_account,
    release_request,
)
from renewal_watch.provider.talkover import account
from renewal_watch.provider.talkover import client as talkover_client
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Account as Settings
from renewal_watch.settings.sections import Reminders
from renewal_watch.store.environments import environment_state
from renewal_watch.store.incidents.account import readings_of, users_of
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.timed import follow_up

pytestmark = BOTH

H = timedelta(hours=1)
D = timedelta(days=1)
CHAT = Channel(name="chat", url="json://127.0.0.1:1")
FIRST = Key("production", "phone-1", "release")


def rented(place: int, left: int = 12, **changes: Any) -> Rented:
    given: dict[str, Any] = {
        "id": f"phone-{place}",
        "number": f"+1555000000{place}",
        "country": "US",
        "renews_on": T0.date() + left * D,
        "auto_renewal": True,
        "price": "42.00",
        "created_on": date(2024, 1, 15),
        "anchor": 5,
    }
    return Rented(**(given | changes))


@dataclass(frozen=True)
class Told:
    """An alert as it was written."""

    id: int
    kind: str
    severity: str
    number: str | None
    text: str
    hidden: str | None

    def __str__(self) -> str:
        return f"{self.kind} {self.severity}"


class World:
    """A provider, the database, a clock, and what was written since one last looked."""

    def __init__(self, store: Store, server: Server) -> None:
        self.store = store
        self.now = T0
        self.provider = server.provider
        self.provider.now = lambda: self.now
        self.provider.fleet = [rented(1), rented(2, 20)]
        self.provider.fault = None
        self.provider.account = self.account = made_up_account([], T0)
        assert self.account.history is not None
        self.account.history = self.account.history[1:]  # no failed one
        self.account.balance = {"balance": 500, "currency": "USD"}
        self.account.agents = [
            {"id": "a-1", "name": "Front desk", "phone_numbers": [{"id": "phone-1"}]},
            {"id": "a-2", "name": "Night line", "phone_numbers": [{"id": "phone-1"}]},
        ]
        self.environment = Environment(
            name="production", base_url=server.base_url, token=TOKEN, user_token=USER_TOKEN, poll_jitter="0s"
        )
        self.settings = Settings()
        self.policy = Policy()
        self.way = Routing(channels=(CHAT,))
        self.asked: list[str] = []

    def poll(self, hours: float = 1) -> list[Told]:
        """A poll some hours later and what the account says; what is new."""
        self.now += hours * H
        source = _Counted(talkover_client.Client.of(self.environment, lambda _: None), self.asked)
        polled = poll.run_once(self.store, self.environment, source, self.policy, self.way, lambda: self.now)
        assert polled.error is None
        account_poll.run_once(
            self.store,
            self.environment,
            self.settings,
            source,
            self.policy,
            self.way,
            lambda: self.now,
            absent=polled.absent > 0,
        )
        return self.new()

    def turn(self, hours: float = 0) -> list[Told]:
        self.now += hours * H
        follow_up.run_once(self.store, self.way, {"production": self.policy}, self.now)
        digests.send_digests(self.store, self.way, {"production": self.policy}, lambda: self.now)
        return self.new()

    def new(self) -> list[Told]:
        with self.store.transaction() as tx:
            found = [
                Told(one["id"], one["kind"], one["severity"], one["number"], one["text"], one["hidden"])
                for one in reversed(list_alerts(tx))
            ]
        seen = getattr(self, "_seen", 0)
        self._seen = max((one.id for one in found), default=0)
        return [one for one in found if one.id > seen]

    def of_account(self, hours: float = 1) -> list[str]:
        """What a poll tells of the account."""
        return [str(one) for one in self.poll(hours) if one.kind.startswith(("release.", "funds."))]

    def incidents(self) -> dict[Key, Incident]:
        with self.store.transaction() as tx:
            return incidents_of(tx)

    def outcome(self, name: str) -> str | None:
        with self.store.transaction() as tx:
            kept = readings_of(tx, environment_state(tx, "production")[0], name).get(name)
        return None if kept is None else kept.outcome


class _Counted:
    """The real client; notes what is asked."""

    def __init__(self, client: talkover_client.Client, asked: list[str]) -> None:
        self._client, self._asked = client, asked

    def fetch(self) -> Any:
        return self._client.fetch()

    def ask(self, name: str) -> Any:
        self._asked.append(name)
        return self._client.ask(name)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(Provider(now=lambda: T0, fleet=[])) as one:
        one.start()
        yield one
        one.shutdown()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    one = opened(tmp_path_factory.mktemp("account") / "watch.db")
    one.upgrade()
    yield one
    one.close()


@pytest.fixture
def world(store: Store, server: Server) -> World:
    emptied(store)
    return World(store, server)


ALL = ["releases", "topup", "charges", "cards", "balance", "agents"]


# --- when what is asked -----------------------------------------------------------------------------------------------


def test_all_is_asked_after_the_first_poll_and_then_every_hour(world: World) -> None:
    world.poll()
    assert world.asked == ALL
    world.poll(0.5)
    assert world.asked == ALL
    world.poll(0.42)  # a little early, as polls come
    assert sorted(world.asked) == sorted(ALL * 2)


@pytest.mark.parametrize(
    ("switch", "left"),
    [
        ("releases", ["topup", "charges", "cards", "balance", "agents"]),
        ("topup", ["releases", "balance", "agents"]),
        ("balance", ["releases", "topup", "charges", "cards", "agents"]),
        ("agents", ["releases", "topup", "charges", "cards", "balance"]),
    ],
)
def test_each_switch_can_be_off(world: World, switch: str, left: list[str]) -> None:
    world.settings = Settings(**{switch: False})
    world.poll()
    assert world.asked == left


def test_without_a_user_token_the_balance_is_not_asked_for(world: World) -> None:
    world.environment = Environment(name="production", base_url=world.environment.base_url, token=TOKEN)
    world.poll()
    assert "balance" not in world.asked


def test_what_is_switched_off_is_forgotten_and_ends(world: World) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    assert world.of_account() == ["release.requested critical"]
    world.settings = Settings(releases=False)
    world.poll()
    assert world.outcome("releases") is None
    assert FIRST not in world.incidents()


def test_what_is_switched_on_again_is_told_anew(world: World) -> None:
    """What still holds would be told by nobody else."""
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    assert world.account.history is not None
    world.account.history.insert(0, charge("topup-9", T0 - H, "card_declined"))
    found = ["funds.topup_failed critical", "release.requested critical"]
    assert sorted(world.of_account()) == found
    world.settings = Settings(releases=False, topup=False)
    world.poll()
    world.settings = Settings()
    assert sorted(world.of_account()) == found
    assert FIRST in world.incidents()


def test_readings_of_another_release_begin_anew_without_telling_twice(world: World) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    world.poll()
    with world.store.transaction() as tx:
        tx.connection.execute(readings.update().values(content='{"content": [{"of": "another"}]}'))
    again = [one for one in world.poll() if one.kind == "release.requested"]
    assert [one.hidden for one in again if not one.hidden] == []
    assert world.incidents()[FIRST].notified_at == T0 + H


def test_what_is_not_offered_is_noted_once_asked_for_daily_and_disturbs_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "renewal_watch")
    world.provider.account = Account(releases=None, settings=None, history=None, cards=None, balance=None, agents=None)
    for _ in range(12):
        assert world.of_account() == []
    assert sorted(world.asked) == sorted(ALL), "once a day"
    assert sum("does not offer" in line for line in caplog.messages) == len(ALL)
    world.poll(12)
    assert sorted(world.asked) == sorted(ALL * 2)
    assert sum("does not offer" in line for line in caplog.messages) == len(ALL)
    world.provider.account = world.account
    world.poll(24)
    assert world.outcome("releases") == "ok"
    assert sum("it can be read" in line for line in caplog.messages) == len(ALL)


def with_user_token(world: World, **given: str) -> None:
    world.environment = Environment(
        name="production", base_url=world.environment.base_url, token=TOKEN, poll_jitter="0s", **given
    )


def test_a_user_token_that_is_rejected_is_told_once_and_when_it_works_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing else would show that nobody looks at the balance."""
    world.account.balance = {"balance": 1, "currency": "USD"}
    world.account.settings = {"is_enabled": False, "scheduled_payment_enabled": True}
    assert world.of_account() == ["funds.short warning"]
    with_user_token(world, user_token="revoked")
    (told,) = world.poll()
    assert str(told) == "watch.token_rejected warning"
    assert told.text == (
        "production: the balance is not held against the renewals due, for the user token does not work: the provider "
        "rejects the token (HTTP 401: Unauthenticated.). All else is watched. Put a new user token in place; it is used at "
        "the next reading."
    )
    assert world.poll() == []
    assert sum("rejects the token" in line for line in caplog.messages) == 1
    assert {key.topic for key in world.incidents()} == {"balance", "user token"}
    world.way = Routing(channels=(CHAT,), reminders=Reminders(warning_every="1h"))
    again = world.turn(2)
    assert [str(one) for one in again] == ["funds.short warning", "watch.token_rejected warning"]
    assert "(as last read at" in again[0].text
    with_user_token(world, user_token=USER_TOKEN)
    assert [str(one) for one in world.poll()] == ["watch.recovered info"]
    assert world.outcome("balance") == "ok"
    assert {key.topic for key in world.incidents()} == {"balance"}


def test_a_user_token_that_cannot_be_read_or_never_worked_is_told_as_well(world: World) -> None:
    with_user_token(world, user_token_file="/nowhere/user-token")
    (told,) = world.poll()
    assert str(told) == "watch.token_rejected warning"
    assert "user_token_file: /nowhere/user-token cannot be read: No such file or directory. All else" in told.text
    assert world.outcome("agents") == "ok"
    with_user_token(world)  # given up
    assert world.poll() == []
    assert world.incidents() == {}


def test_a_pause_that_the_provider_asks_for_is_kept_for_all(world: World) -> None:
    class Limited:
        asked = 0

        def ask(self, _name: str) -> Any:
            self.asked += 1
            msg = "the provider's rate limit is reached"
            raise talkover_client.RateLimited(msg, retry_after=3 * H)

    world.poll()
    source = Limited()

    def turn(hours: float) -> None:
        world.now += hours * H
        args = (world.store, world.environment, world.settings, source, world.policy, world.way, lambda: world.now)
        account_poll.run_once(*args, absent=True)

    turn(2)
    turn(1)
    turn(1.5)
    assert source.asked == 1
    turn(1)
    assert source.asked == 2


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("balance", {"balance": "1,00", "currency": "USD"}, "the balance cannot be read"),
        ("balance", {"balance": {"amount": 1}, "currency": "USD"}, "the balance cannot be read"),
        ("history", [{"id": "x", "status": "on_hold", "amount": "5"}], 'it has status "on_hold"'),
        ("cards", [{"id": "x", "brand": "visa", "exp_month": "soon", "exp_year": 2030}], "exp_month soon"),
        ("settings", {"is_enabled": "perhaps"}, 'is_enabled "perhaps"'),
    ],
)
def test_what_cannot_be_read_of_the_account_is_told_once_and_the_rest_is_watched(
    world: World, name: str, said: Any, words: str
) -> None:
    well = getattr(world.account, name)
    world.poll()
    setattr(world.account, name, said)
    (told,) = [one for one in world.poll() if one.kind == "data.invalid"]
    assert words in told.text
    assert [one.kind for one in world.poll() if one.kind == "data.invalid"] == []
    (key,) = [key for key in world.incidents() if key.topic.startswith("unreadable ")]
    setattr(world.account, name, well)
    world.poll()
    assert key not in world.incidents()


def test_a_fault_of_our_own_is_a_reading_that_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: the rest is read, and the next poll tries again."""
    world.poll()
    real = account.content

    def broken(name: str, said: Any) -> Any:
        return {}[name] if name == "balance" else real(name, said)

    monkeypatch.setattr(account, "content", broken)
    world.poll(2)
    with world.store.transaction() as tx:
        kept = readings_of(tx, environment_state(tx, "production")[0])
    assert {name for name, one in kept.items() if one.outcome != "ok"} == {"balance"}
    assert kept["balance"].outcome == "unforeseen"
    assert "a fault of renewal-watch (KeyError at test_account_poll.py:" in (kept["balance"].error or "")


@pytest.mark.parametrize(
    "said", ["payment_failed", "insufficient_funds", "Chargeback", "requires_payment_method", "expired"]
)
def test_words_that_plainly_say_that_no_money_came_are_a_failure(said: str) -> None:
    (charge_,) = account.content("charges", [{"id": "t", "status": said}])
    assert charge_.status == "failed"
    assert not account.faults("charges", [{"id": "t", "status": said}])


def test_a_top_up_that_was_declined_failed(world: World) -> None:
    world.poll()
    assert world.account.history is not None
    declined = {**world.account.history[0], "id": "new", "status": "Declined", "created_at": world.now.isoformat()}
    world.account.history = [declined, *world.account.history]
    assert "funds.topup_failed critical" in world.of_account()


def test_a_turn_that_takes_too_long_leaves_the_rest_for_the_next_poll(world: World) -> None:
    class Slow:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def ask(self, name: str) -> Any:
            self.asked.append(name)
            world.now += timedelta(seconds=40)
            msg = "the provider did not answer whole within 30 s"
            raise ServerTrouble(msg)

    source = Slow()
    args = (world.store, world.environment, world.settings, source, world.policy, world.way, lambda: world.now)
    with world.store.transaction() as tx:
        environment_state(tx, "production")
    account_poll.run_once(*args)
    account_poll.run_once(*args)
    account_poll.run_once(*args)
    assert source.asked == ALL, "each has its turn"


def test_another_process_that_asked_meanwhile_tells_alone(world: World) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    client = talkover_client.Client.of(world.environment, lambda _: None)

    class Meanwhile:
        def ask(self, name: str) -> Any:
            said = client.ask(name)
            if name == "agents":
                world.poll(0)
            return said

    world.settings = Settings(balance=False, topup=False)
    world.now += H
    with world.store.transaction() as tx:
        environment_state(tx, "production")
    args = (world.store, world.environment, world.settings, Meanwhile(), world.policy, world.way, lambda: world.now)
    assert account_poll.run_once(*args) == 0
    with world.store.transaction() as tx:
        assert len([one for one in list_alerts(tx) if one["kind"] == "release.requested"]) == 1


def test_a_clock_that_was_put_back_stops_nothing(world: World) -> None:
    world.poll(100)
    world.now = T0
    world.asked.clear()
    world.poll()
    assert sorted(world.asked) == sorted(ALL)
    world.asked.clear()
    world.poll(0.1)
    assert world.asked == []


# --- release requests -------------------------------------------------------------------------------------------------


def test_a_request_is_told_with_who_uses_the_number_reminded_of_and_over_when_cancelled(world: World) -> None:
    world.poll()
    world.account.releases = [release_request(world.provider.fleet[0], world.now)]
    (told,) = world.poll()
    assert str(told) == "release.requested critical"
    assert told.number == "+15550000001"
    assert told.text.endswith(" Used by: Front desk, Night line (2 agents).")
    assert FIRST in world.incidents()
    (again,) = world.turn(25)
    assert "Used by: Front desk, Night line (2 agents). (reminder 1 of 7;" in again.text
    assert "It renews in 11 days" in again.text, "with the days of today"
    world.account.releases[0] |= {"status": "cancelled", "resolved_at": "2026-11-24T14:00:00Z"}
    assert world.of_account() == ["release.closed info"]
    assert FIRST not in world.incidents()


def test_a_number_whose_release_was_approved_is_gone_as_asked(world: World) -> None:
    world.poll()
    world.account.releases = [release_request(world.provider.fleet[0], world.now)]
    world.poll()
    world.account.releases[0] |= {"status": "approved", "resolved_at": "2026-11-23T15:00:00Z"}
    assert world.of_account() == ["release.approved critical"]
    del world.provider.fleet[0]
    said = [one for _ in range(4) for one in world.poll()]
    assert [str(one) for one in said] == ["number.missing info"]
    assert "is gone, as asked: 3 complete lists in a row came without it. Its release was requested at" in said[0].text
    assert world.incidents() == {}, "nothing is left to be reminded of"
    assert [str(one) for one in world.turn(48)] == []


def test_a_number_that_vanishes_under_an_open_request_is_an_alarm_that_names_it(world: World) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    world.poll()
    del world.provider.fleet[0]
    (missing,) = [one for _ in range(4) for one in world.poll() if one.kind == "number.missing"]
    assert missing.severity == "critical"
    assert "is not decided yet. If nobody meant it, ask the provider at once" in missing.text
    world.account.releases[0]["status"] = "approved"
    assert world.of_account() == ["release.approved critical"]
    assert world.incidents() == {}


def test_a_number_that_left_the_list_makes_the_requests_be_read_at_once(world: World) -> None:
    world.settings = Settings(every="12h")
    world.poll()
    world.asked.clear()
    gone = world.provider.fleet.pop(0)
    world.account.releases = [release_request(gone, T0) | {"status": "approved"}]
    assert world.of_account() == ["release.approved critical"]
    assert world.asked == ["releases"]
    said = [one for _ in range(4) for one in world.poll()]
    assert [str(one) for one in said] == ["number.missing info"]


def test_an_approval_that_comes_after_the_alarm_is_its_reason_and_ends_it(world: World) -> None:
    world.poll()
    gone = world.provider.fleet.pop(0)
    missing = [one for _ in range(4) for one in world.poll()]
    assert [str(one) for one in missing] == ["number.missing critical"]
    world.account.releases = [release_request(gone, T0) | {"status": "approved"}]
    (told,) = world.poll()
    assert str(told) == "release.approved critical"
    assert "is gone, for it was released" in told.text
    assert world.incidents() == {}


def test_a_lapsing_number_is_released_as_meant(world: World) -> None:
    world.poll()
    with world.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "phone-1")[2], "anna", "", world.now)
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    assert world.of_account() == ["release.requested info"]
    assert FIRST not in world.incidents()


def test_a_request_by_the_number_alone_finds_it(world: World) -> None:
    world.poll()
    world.account.releases = [release_request(world.provider.fleet[0], T0) | {"phone_number_id": None}]
    (told,) = world.poll()
    assert told.number == "+15550000001"


def test_a_request_is_told_where_its_number_is_watched_and_never_lost(world: World) -> None:
    """Two environments of one account are shown the same requests."""
    whole = world.environment
    part = msgspec.structs.replace(whole, name="part", filters={"has_whatsapp": True})
    world.provider.fleet[1].has_whatsapp = True
    releases = world.account.releases = []

    def told_by(environment: Environment, hours: float = 1) -> list[str | None]:
        world.environment = environment
        return [one.number for one in world.poll(hours) if one.kind.startswith("release.")]

    assert told_by(whole) == told_by(part) == []
    releases.append(release_request(world.provider.fleet[0], world.now))
    assert told_by(part) == []
    assert told_by(whole) == ["+15550000001"]
    releases.append(release_request(world.provider.fleet[1], world.now))
    assert told_by(part) == ["+15550000002"]
    releases.append(release_request(rented(9), world.now))  # nobody knows it
    assert told_by(part) == [None]
    releases.append(release_request(world.provider.fleet[0], world.now) | {"id": "another"})
    assert told_by(part) == []
    assert told_by(part, 48) == [None, None], "the other environment is not read any more"


def test_restarts_and_prunes_tell_nothing_twice(world: World) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    world.account.history = [charge("b", T0 - H, "card_declined"), *(world.account.history or [])]
    world.account.settings = {"is_enabled": False, "scheduled_payment_enabled": False}
    world.account.balance = {"balance": 1, "currency": "USD"}
    world.account.cards = [{"id": "pm", "card": {"exp_month": 12, "exp_year": 2026}, "is_default": True}]
    assert sorted(world.of_account()) == [
        "funds.short warning",
        "funds.topup_failed critical",
        "funds.topup_off warning",
        "release.requested critical",
    ]
    with world.store.transaction() as tx:  # as if it were long ago
        for table in ("delivery_alerts", "deliveries", "alerts"):
            tx.connection.exec_driver_sql(f"DELETE FROM {table}")
    world._seen = 0
    assert world.of_account() == []


# --- funds ------------------------------------------------------------------------------------------------------------


def test_only_what_will_be_charged_is_held_against_the_balance(world: World) -> None:
    world.account.settings = {"is_enabled": False, "scheduled_payment_enabled": True}
    world.account.balance = {"balance": 84, "currency": "USD"}  # for the two numbers of the world
    lapsing, released = rented(6, 6), rented(7, 7)
    world.provider.fleet += [rented(3, 5, auto_renewal=False), rented(4, 5, is_sandbox=True), rented(5, 40)]
    world.provider.fleet += [lapsing, released]
    (told,) = [one for one in world.poll() if one.kind.startswith("funds.")]
    assert "need 168.00 USD, the balance is 84.00 USD" in told.text
    with world.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "phone-6")[2], "anna", "", world.now)
    world.account.releases = [release_request(released, T0) | {"status": "approved"}]
    assert world.of_account() == ["release.approved critical", "funds.recovered info"]


def test_a_sandbox_number_that_is_released_takes_no_other_s_renewal_away(world: World) -> None:
    """Equal numbers are counted together, and a released one is taken off again."""
    sandbox = rented(3, is_sandbox=True)
    world.provider.fleet.append(sandbox)
    world.account.releases = [release_request(sandbox, T0) | {"status": "approved"}]
    world.account.balance = {"balance": 50, "currency": "USD"}
    (told,) = [one for one in world.poll() if one.kind.startswith("funds.")]
    assert "need 84.00 USD" in told.text


def test_what_is_short_is_told_reminded_of_in_today_s_figures_and_ends(world: World) -> None:
    world.way = Routing(channels=(CHAT,), reminders=Reminders(warning_every="1d"))
    world.account.settings = {"is_enabled": False, "scheduled_payment_enabled": True}
    world.account.balance = {"balance": 61.20, "currency": "USD"}
    (told,) = world.poll()
    assert str(told) == "funds.short warning"
    assert "renewals to Sun 13 Dec 2026 need 84.00 USD, the balance is 61.20 USD." in told.text
    assert Key("production", "", "balance") in world.incidents()
    (reminder,) = world.turn(25)
    assert "(reminder 1 of 7; last notified" in reminder.text
    assert "in 19 days" in reminder.text
    world.account.balance["balance"] = 84
    assert world.of_account() == ["funds.recovered info"]
    assert world.incidents() == {}


def test_reminders_of_a_reading_that_fails_say_when_it_was_read(world: World) -> None:
    world.account.history = [charge("b", T0 - H, "card_declined")]
    world.poll()
    world.account.history = None
    assert world.of_account() == []
    (reminder,) = world.turn(25)
    assert "(as last read at 2026-11-23 13:00 UTC)" in reminder.text


def test_a_digest_says_what_still_needs_somebody(world: World) -> None:
    world.way = Routing(channels=(Channel(name="chat", url="json://x", digest="daily 08:00", digest_when_empty=True),))
    world.turn()
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    world.account.balance = {"balance": 50, "currency": "USD"}
    world.account.settings = {"is_enabled": False, "scheduled_payment_enabled": False}
    world.account.cards = [{"id": "pm", "card": {"exp_month": 11, "exp_year": 2026, "last4": "4242"}}]
    world.now += 2 * D
    world.poll()
    with world.store.transaction() as tx:
        acked = Key("production", "", "auto top-up")
        acknowledge_incidents(tx, {acked: incidents_of(tx)[acked]}, "anna", world.now)
    (digest,) = [one for one in world.turn(24) if one.kind == "digest.sent"]
    lines = digest.text.partition("NEEDS ATTENTION\n")[2].partition("\n\n")[0].split("\n")
    assert lines == [
        "• +15550000001: release requested (production)",
        "• production: renewals to Sun 13 Dec 2026 need 84.00 USD, the balance is 50.00 USD",
        "• production: the card ending 4242 expires in 4 days",
    ]
    (channel,) = world.way.channels
    world.way = Routing(channels=(msgspec.structs.replace(channel, kinds=("digest.*",)),))
    (digest,) = [one for one in world.turn(24) if one.kind == "digest.sent"]
    assert "NEEDS ATTENTION" not in digest.text


def test_rules_and_silences_know_the_new_kinds(world: World) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    world.account.history = [charge("b", T0 - H, "card_declined")]
    world.way = Routing(
        channels=(CHAT,),
        rules=(
            Rule(name="calm", match=Match(numbers=("+1555*",)), severities={"release.*": "warning"}),
            Rule(name="quiet", mute=("funds.topup_*",)),
        ),
    )
    told = [one for one in world.poll() if one.kind.startswith(("release.", "funds."))]
    assert [(str(one), one.hidden) for one in told] == [
        ("release.requested warning", None),
        ("funds.topup_failed critical", "the rule quiet mutes it"),
    ]


# --- who uses a number ------------------------------------------------------------------------------------------------


def test_a_number_s_own_entry_goes_before_the_agents(world: World) -> None:
    world.poll()
    names = {"phone-1": ("Reception",), "phone-2": ()}
    with world.store.transaction() as tx:
        tx.connection.exec_driver_sql(
            """UPDATE entries SET entry = '{"id": "phone-1", "agents": [{"id": 1, "name": "Reception"}]}'
            WHERE number_id = (SELECT id FROM numbers WHERE provider_id = 'phone-1')"""
        )
        found = users_of(tx, {("production", name) for name in (*names, "phone-9")})
    assert {place[1]: users for place, users in found.items()} == names


def test_only_what_needs_somebody_names_the_agents(world: World) -> None:
    world.poll()
    world.provider.fleet[0].status = "suspended"
    (told,) = world.poll()
    assert told.severity == "critical"
    assert told.text.endswith(used_by(("Front desk", "Night line")))
    world.provider.fleet[0].status = "active"
    (told,) = world.poll()
    assert told.severity == "info"
    assert "Used by" not in told.text


@SQLITE_ONLY  # by what its driver shows; the statements are the same
def test_agents_are_not_read_where_nothing_is_told(world: World) -> None:
    world.poll()
    statements: list[str] = []
    with world.store.transaction() as tx:
        raw = tx.connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_trace_callback(statements.append)
    source = talkover_client.Client.of(world.environment, lambda _: None)
    world.now += H
    poll.run_once(world.store, world.environment, source, world.policy, world.way, lambda: world.now)
    raw.set_trace_callback(None)
    assert statements
    assert not [one for one in statements if "readings" in one or "entries" in one]


# --- on the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, server: Server, world: World) -> Any:
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f"""
state_dir = "{tmp_path}"
{section(tmp_path / "renewal-watch.db")}
[[environments]]
name = "production"
base_url = "{server.base_url}"
token = "{TOKEN}"
user_token = "{USER_TOKEN}"
"""
    )
    return partial(commands.call, path, clock=lambda: world.now, code=None)


def test_the_first_alerts_of_all_name_the_agents_already(run: Any, world: World, tmp_path: Path) -> None:
    world.provider.fleet = [rented(1, 2, auto_renewal=False)]
    assert run("poll", "--no-send").exit_code == 0
    found = asked(tmp_path / "renewal-watch.db", "SELECT text FROM alerts WHERE kind LIKE 'renewal.%'")
    assert "Used by: Front desk, Night line (2 agents)." in found[0][0]


def test_poll_explain_and_doctor(run: Any, world: World, tmp_path: Path) -> None:
    world.account.releases = [release_request(world.provider.fleet[0], T0)]
    polled = run("poll")
    assert (polled.exit_code, polled.stdout) == (0, "production: 2 numbers, 2 changed, 1 new alert\n")
    said = run("explain", "phone-1").stdout
    assert "\nUsed by: Front desk, Night line (2 agents).\n" in said
    assert "\nIts release was requested at 2026-11-23 12:00 UTC (reason: No longer in use after the move)" in said
    assert "\nOpen since 2026-11-23 12:00 UTC: release (release.requested, critical)" in said
    assert "\nNo agent uses it.\n" in run("explain", "phone-2").stdout
    said = run("doctor").stdout
    assert (
        "read beside the list: release requests, auto top-up settings, top-up history, cards, balance, agents" in said
    )
    world.account.agents = None
    world.account.balance = None
    said = run("doctor").stdout
    assert "ok    production: left out, for the provider does not offer the agents (HTTP 404: Not found.)" in said
    shown = run("config", "show").stdout
    assert "made_up_user_token" not in shown
    kept = "\n".join(content(tmp_path / "renewal-watch.db"))
    assert "phone-1" in kept
    assert "made_up_user_token" not in kept


def test_a_fault_in_what_is_read_beside_the_list_stops_no_other_environment(
    run: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world
    monkeypatch.setattr(account_poll.judge, "judge", lambda *_: {}["nothing"])
    said = CliRunner().invoke(cli, ["--config", str(run.args[0]), "poll"], prog_name="renewal-watch", obj=Clock())
    assert said.exit_code == 1
    assert "a fault of renewal-watch (KeyError at" in said.output
    assert "Traceback" not in said.stdout, "it stands in the log"


def test_what_fails_beside_the_list_fails_no_poll(run: Any, world: World) -> None:
    world.provider.account = None
    polled = run("poll")
    assert (polled.exit_code, polled.stdout) == (0, "production: 2 numbers, 2 changed, 0 new alerts\n")


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('[account]\nevery = "soon"', "account.every: write a whole number and a unit"),
        ("[account]\nhorizon_days = 60", "account.horizon_days"),
        ("[account]\nrelease = true", "account.release: unknown key; did you mean releases?"),
    ],
)
def test_faults_of_the_configuration(run: Any, tmp_path: Path, lines: str, fault: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"{path.read_text()}\n{lines}\n")
    checked = run("config", "check")
    assert checked.exit_code == 78
    assert fault in checked.stderr


def test_two_forms_of_the_user_token_are_a_fault(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'{path.read_text()}user_token_env = "X"\n')
    checked = run("config", "check")
    assert checked.exit_code == 78
    assert "environments.production.user_token: only one may be given of user_token, user_token_file" in checked.stderr


def test_a_user_token_that_is_not_there_is_a_fault(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace(f'user_token = "{USER_TOKEN}"', 'user_token_file = "/nowhere/token"'))
    checked = run("config", "check")
    assert checked.exit_code == 78
    assert "environments.production.user_token_file: /nowhere/token cannot be read" in checked.stderr
