"""Numbers that cost money and that no agent uses: told once a month, as far as it is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import T0, Clock
from databases import BOTH
from watched import CHANNEL, Watched, one

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
    """A provider that offers agents and nothing else beside the list."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)

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
