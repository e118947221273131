"""Numbers that cost money and that no agent uses: told once a month, as far as it is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import T0, Clock
from databases import BOTH
from watched import CHANNEL, Watched, one

from renewal_watch.config.loading import load
from renewal_watch.errors import NotOffered, StoreError
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import account_poll, digests
from renewal_watch.provider.base import Answered
from renewal_watch.provider.talkover import account as talkover_account
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.alerts import list_alerts

pytestmark = BOTH
D = timedelta(days=1)
FRONT = {"id": "a-1", "name": "Front desk", "phone_numbers": [{"id": "phone-1", "number": "+15550000001"}]}


class Agents:
    """A provider that offers agents, and calls if it is given any, and nothing else beside the list."""

    def __init__(self, *rows: dict[str, Any], calls: dict[str, datetime | None] | None = None) -> None:
        self.rows = list(rows)
        self.calls = calls
        self.asked: list[tuple[str, date]] = []

    def last_call(self, number: str, since: date) -> datetime | None:
        self.asked.append((number, since))
        if self.calls is None or number not in self.calls:
            msg = "the provider does not let this token read the calls (HTTP 403)"
            raise NotOffered(msg)
        return self.calls[number]

    def ask(self, name: str) -> Answered:
        assert name == "agents"
        return Answered(talkover_account.content("agents", self.rows), ())


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Watched]:
    """Four numbers that were listed ten days ago, and one that is new."""
    off = "[account]\nreleases = false\ntopup = false\nbalance = false\n"
    found = Watched(tmp_path, CHANNEL + off)
    old = [one(index, 40, auto_renewal=True, monthly_renewal_cost=f"{index}.00") for index in range(1, 5)]
    found.poll(*old, at=T0 - 10 * D)
    found.poll(*old, one(5, 30, auto_renewal=True), at=T0)
    yield found
    found.store.close()


def ask(made: Watched, source: Agents, at: datetime = T0) -> list[str]:
    """The alerts about idle numbers after the agents were read."""
    (environment,) = made.settings.environments
    policy, way = made.settings.policy(environment), Routing.of(made.settings)
    account_poll.run_once(made.store, environment, made.settings.account, source, policy, way, lambda: at)
    with made.store.transaction() as tx:
        return [alert["text"] for alert in list_alerts(tx, kinds=["number.idle"])]


def test_what_no_agent_uses_is_told_once_a_month(made: Watched) -> None:
    named = FRONT | {"prompt": "If nobody answers, transfer the call to +1 555 000 0002."}
    (told,) = ask(made, Agents(named))
    assert told.startswith(
        "production: 2 numbers are used by no agent and cost 7.00 USD a month: +15550000004, +15550000003. Release"
    )
    assert len(ask(made, Agents(FRONT), T0 + 2 * D)) == 1
    assert len(ask(made, Agents(FRONT), T0 + 10 * D)) == 2, "in the next month"


def test_the_dearest_are_told_with_their_last_call(made: Watched) -> None:
    calls = {"+15550000004": datetime(2026, 10, 1, 9, 30, tzinfo=UTC), "+15550000003": None, "+15550000002": None}
    source = Agents(FRONT, calls=calls)
    (told,) = ask(made, source)
    assert "+15550000004 (last call 2026-10-01 09:30 UTC), +15550000003 (no call in 90 days), +15550000002 (no" in told
    assert source.asked == [(number, (T0 - 90 * D).date()) for number in calls]
    ask(made, source, T0 + 2 * D)
    assert len(source.asked) == 3, "once a month"


def test_calls_that_the_token_may_not_read_are_asked_for_once_and_not_spoken_of(made: Watched) -> None:
    source = Agents(FRONT)
    (told,) = ask(made, source)
    assert "a month: +15550000004, +15550000003, +15550000002. Release" in told
    assert len(source.asked) == 1


def test_calls_are_not_asked_for_where_they_are_switched_off(made: Watched) -> None:
    made.path.write_text(made.path.read_text().replace("[account]\n", "[account]\ncalls = false\n"))
    made.settings = load(made.path)
    source = Agents(FRONT, calls={})
    assert len(ask(made, source)) == 1
    assert source.asked == []


def test_an_alert_that_could_not_be_written_comes_with_the_next_reading(made: Watched) -> None:
    """The readings are kept by then: what is told once a month is looked for by itself."""
    with made.store.transaction() as tx:
        before = list_alerts(tx, kinds=["number.idle"])
    assert before == []
    (environment,) = made.settings.environments
    policy, way = made.settings.policy(environment), Routing.of(made.settings)
    source = Agents(FRONT, calls=dict.fromkeys(("+15550000004", "+15550000003", "+15550000002")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(account_poll, "_last_calls", refuse)
        with pytest.raises(StoreError):
            account_poll.run_once(made.store, environment, made.settings.account, source, policy, way, lambda: T0)
    assert len(ask(made, source, T0 + D)) == 1


def refuse(*_asked: object) -> dict[str, datetime | None]:
    msg = "the disk is full"
    raise StoreError(msg)


def test_an_agent_that_does_not_say_its_numbers_leaves_it_unknown(made: Watched) -> None:
    assert ask(made, Agents(FRONT, {"id": "a-2", "name": "Night line"})) == []
    document = json.loads(commands.call(made.path, "forecast", "--json", clock=Clock(T0)).output)
    assert (document["idle"], document["idle_costs"]) == (None, [])


def test_what_its_own_entry_says_goes_before_the_agents(made: Watched) -> None:
    entries = [one(index, 30, auto_renewal=True, monthly_renewal_cost=f"{index}.00") for index in range(1, 5)]
    entries[2] |= {"agents": [{"name": "Sales"}]}
    entries[3] |= {"agents": []}
    made.poll(*entries, at=T0)
    (told,) = ask(made, Agents(FRONT, {"id": "a-2", "name": "Night line"}))
    assert "1 number is used by no agent and costs 4.00 USD a month: +15550000004" in told


def test_what_is_meant_to_expire_or_costs_nothing_is_not_idle(made: Watched) -> None:
    with made.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "phone-4")[2], "ann", "", T0)
    (told,) = ask(made, Agents(FRONT))
    assert "2 numbers are used by no agent and cost 5.00 USD a month" in told


def test_the_forecast_and_the_digest_count_them(made: Watched) -> None:
    ask(made, Agents(FRONT))
    document = json.loads(commands.call(made.path, "forecast", "--json", clock=Clock(T0)).output)
    assert (document["idle"], document["idle_costs"]) == (3, [{"currency": "USD", "amount": "9.00"}])
    text = commands.call(made.path, "forecast", clock=Clock(T0)).output
    assert "In it: 3 numbers used by no agent, 9.00 USD a month." in text
    made.configure(f'{CHANNEL}digest = "daily 12:00"\n')
    way = Routing.of(made.settings)
    policies = {one.name: made.settings.policy(one) for one in made.settings.environments}
    digests.send_digests(made.store, way, policies, lambda: T0)
    digests.send_digests(made.store, way, policies, lambda: T0 + D)
    with made.store.transaction() as tx:
        (digest,) = list_alerts(tx, kinds=["digest.sent"])
    assert "• 3 numbers used by no agent: 9.00 USD a month" in digest["text"]
