"""Rentals whose id, number or environment changes: what hangs on them goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from databases import BOTH, opened
from made_up import entry, listing

from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.store.history import history_of
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.maintenance import integrity
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.alerts import list_alerts

pytestmark = BOTH

WAY = Routing(channels=(Channel(name="chat", url="json://127.0.0.1:1"),))
REST = tuple(entry(f"rest-{i}", number=f"+1999000{i}") for i in range(9))


class Account:
    """Two environments on one database."""

    def __init__(self, folder: Path) -> None:
        self.store = opened(folder / "renewal-watch.db")
        self.store.upgrade()
        self.now = T0
        self.policy = Policy(missing_after_polls=2)

    def poll(self, at: str, *entries: object) -> list[str]:
        """An hour later; the kinds of what is new."""
        self.now += timedelta(hours=1)
        with self.store.transaction() as tx:
            last = max((alert["id"] for alert in list_alerts(tx)), default=0)
        environment = Environment(name=at, base_url="http://127.0.0.1:1", token="talq_x", poll_jitter="0s")
        poll.run_once(self.store, environment, _Source(listing(*entries)), self.policy, WAY, lambda: self.now)
        with self.store.transaction() as tx:
            return [alert["kind"] for alert in reversed(list_alerts(tx)) if alert["id"] > last]

    def find(self, wanted: str) -> tuple[str, str]:
        with self.store.transaction() as tx:
            at, _, known = find_number(tx, wanted)
        return at, known.provider_id


class _Source:
    def __init__(self, found: Listing) -> None:
        self.found = found

    def fetch(self) -> Listing:
        return self.found


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    one = Account(tmp_path)
    yield one
    assert integrity.look(one.store) == []
    one.store.close()


def lost(name: str, number: str, **changes: Any) -> dict[str, Any]:
    """A number that is suspended, and without auto-renewal."""
    return entry(name, number=number, auto_renewal=False, current_status="suspended", **changes)


def test_marks_and_history_follow_a_number_to_its_new_id_also_where_two_change_places(account: Account) -> None:
    one, two = "+15550001", "+15550002"
    account.poll("main", lost("a", one), lost("b", two), *REST)
    with account.store.transaction() as tx:
        put_lapse(tx, find_number(tx, one)[2], "anna", "", T0)
        acknowledge_incidents(tx, incidents_of(tx, find_number(tx, two)[2]), "bert", T0)
    assert account.poll("main", lost("b", one), lost("a", two), *REST) == []
    assert account.poll("main", lost("x", one), lost("a", two), *REST) == []
    for wanted in (one, "x"):
        assert account.find(wanted) == ("main", "x"), wanted
    with account.store.transaction() as tx:
        assert find_number(tx, one)[2].lapse is not None
        assert [incident.ack is not None for incident in incidents_of(tx, find_number(tx, two)[2]).values()] == [True]
        assert [change["what"] for change in history_of(tx, find_number(tx, one)[2], 1)] == [
            "listed",
            "changed",
            "changed",
        ]


def test_a_number_that_moves_to_another_environment_is_not_missing_and_its_marks_go_along(account: Account) -> None:
    number = "+15550001"
    account.poll("main", lost("a", number), *REST)
    account.poll("sub", *(entry(f"sub-{i}", number=f"+1888000{i}") for i in range(3)))
    with account.store.transaction() as tx:
        put_lapse(tx, find_number(tx, number)[2], "anna", "", T0)
        acknowledge_incidents(tx, incidents_of(tx, find_number(tx, number)[2]), "bert", T0)
    there = (lost("s", number), *(entry(f"sub-{i}", number=f"+1888000{i}") for i in range(3)))
    assert account.poll("sub", *there) == ["number.added", "status.changed"]
    assert account.poll("main", *REST) == ["number.moved"]
    assert [account.poll("main", *REST) for _ in range(3)] == [[], [], []]
    assert account.find(number) == ("sub", "s")
    with account.store.transaction() as tx:
        known = find_number(tx, number)[2]
        assert known.lapse is not None
        assert [incident.ack.by for incident in incidents_of(tx, known).values() if incident.ack] == ["bert"]
        assert {key.environment for key in incidents_of(tx)} == {"sub"}
    assert account.poll("main", lost("a", number), *REST) == ["number.returned"]


def test_a_number_that_was_missing_before_the_other_environment_was_read_is_found(account: Account) -> None:
    number = "+15550001"
    account.poll("main", entry("a", number=number, days_until_monthly_renewal=2, renewal_date=None), *REST)
    assert account.poll("main", *REST) == []
    assert account.poll("main", *REST) == ["number.missing"]
    moved = entry("s", number=number, days_until_monthly_renewal=2, renewal_date=None)
    assert "renewal.upcoming" not in account.poll("sub", moved)  # it was told where it was before
    assert account.poll("main", *REST) == ["number.moved"]
    with account.store.transaction() as tx:
        assert incidents_of(tx) == {}


def test_an_id_that_is_taken_over_by_another_number_leaves_the_old_rental_its_history(account: Account) -> None:
    account.poll("main", entry("a", number="+1"), entry("z", number="+2"), *REST)
    account.poll("main", entry("a", number="+1"), *REST)
    assert account.poll("main", entry("z", number="+1"), *REST) == ["number.missing"]  # of +2, for the second list
    assert account.find("+1") == ("main", "z")
    assert account.find("+2") == ("main", "z +2")
