"""What time makes due, on a real SQLite file: reminders, escalations, ends of silences, fallbacks, digests.

The time is moved by hand. ``World.poll`` is a real poll of a made-up list, ``World.turn`` the daemon's turn of time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from typing import Any

import pytest
from conftest import T0
from databases import EITHER, opened, path_of
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from made_up import emptied, entry, listing
from receivers import Answer, HttpReceiver, http_receiver
from rounds import few

from renewal_watch.alerts import reasons
from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import ApiError, ServerTrouble, TokenRejected
from renewal_watch.model.alerts import Acknowledgement, Delivery, Flap, Incident, Key, Severity, Suppressor
from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Match, Policy, Record, Rule, Silence
from renewal_watch.notify import flaps, incidents, suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
from renewal_watch.operations import digests, dispatch, poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Escalation, Flapping, Reminders
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_state, environment_states
from renewal_watch.store.incidents.incidents import (
    acknowledge_incidents,
    due_incidents,
    flaps_of,
    incidents_of,
    keep_flaps,
    keep_incidents,
)
from renewal_watch.store.incidents.lapses import drop_lapse, list_lapsing, put_lapse
from renewal_watch.store.incidents.silences import add_silence, close_silence, list_silences
from renewal_watch.store.numbers import find_number, fleet_of
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent
from renewal_watch.timed import follow_up, silences

pytestmark = EITHER

ENVIRONMENT = Environment(name="production", base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")
CHAT = Channel(name="chat", url="json://127.0.0.1:1")
BOSS = Channel(name="boss", url="json://127.0.0.1:1", by_rule_only=True)
RENEWAL = Key("production", "phone-1", "renewal")
STATUS = Key("production", "phone-1", "status")
DAY = timedelta(days=1)
H = timedelta(hours=1)
ONE = Match(numbers=("+15550000001",))


class Source:
    """Gives what the test says, as a provider would."""

    def __init__(self) -> None:
        self.next: Listing | ApiError = listing()

    def fetch(self) -> Listing:
        if isinstance(self.next, ApiError):
            raise self.next
        return self.next


@dataclass(frozen=True)
class Told:
    """An alert as it was written."""

    id: int
    kind: str
    severity: str
    nature: str
    channels: tuple[str, ...]
    hidden: str | None
    text: str
    at: datetime


class World:
    """A store, a list, a clock, and what was written since one last looked."""

    def __init__(self, store: Store) -> None:
        self.path = path_of(store)
        self.store = store
        emptied(store)
        self.source = Source()
        self.now = T0
        self.policy = Policy()
        self.policies: dict[str, Policy] | None = None
        self.way = Routing(channels=(CHAT,))
        self.fleet: dict[str, dict[str, Any]] = {}
        self._seen = 0

    def reopen(self) -> None:
        """The process ends, and another one begins."""
        self.store.close()
        self.store = opened(self.path)

    def has(self, name: str = "phone-1", *, left: int = 60, **changes: Any) -> None:
        """A number of the list, whose day comes ``left`` days from today."""
        on = (self.now + left * DAY).date()
        self.fleet[name] = entry(name, renewal_date=on.isoformat(), **changes)

    def poll(self, error: ApiError | None = None, *, invalid: Sequence[object] = ()) -> list[Told]:
        """Read the list, or fail; what is new."""
        today = self.now.date()
        served = []
        for one in self.fleet.values():
            left = (date.fromisoformat(one["renewal_date"]) - today).days
            served.append(one | {"days_until_monthly_renewal": left})
        self.source.next = error or listing(*served, *invalid)
        poll.run_once(self.store, ENVIRONMENT, self.source, self.policy, self.way, lambda: self.now)
        return self.new()

    def turn(self, faults: Sequence[str] = ()) -> list[Told]:
        """The turn of time; what is new."""
        policies = {"production": self.policy} if self.policies is None else self.policies
        before = self._last()
        told = follow_up.run_once(self.store, self.way, policies, self.now, inventory_faults=faults)
        told += digests.send_digests(self.store, self.way, policies, lambda: self.now)
        assert told == self._last() - before, "it says how many alerts are new, so that channels are woken"
        return self.new()

    def _last(self) -> int:
        with self.store.transaction() as tx:
            return int(tx.connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM alerts").scalar_one())

    def after(self, **length: float) -> list[Told]:
        """Time passes, then its turn."""
        self.now += timedelta(**length)
        return self.turn()

    def new(self) -> list[Told]:
        """What was written since this was last asked, oldest first."""
        with self.store.transaction() as tx:
            found = [one for one in reversed(list_alerts(tx)) if one["id"] > self._seen]
        self._seen = max([self._seen, *(one["id"] for one in found)])
        return [
            Told(
                id=one["id"],
                kind=one["kind"],
                severity=one["severity"],
                nature=next((n for n in ("reminder", "release", "escalation") if f"/{n} of " in one["key"]), "new"),
                channels=tuple(to["channel"] for to in one["deliveries"]),
                hidden=one["hidden"],
                text=one["text"],
                at=one["created_at"],
            )
            for one in found
        ]

    def incident(self, key: Key) -> Incident | None:
        with self.store.transaction() as tx:
            return incidents_of(tx).get(key)

    def acknowledge(self, *keys: Key, by: str = "ann") -> None:
        """As ``renewal-watch ack`` does; without keys all that is open."""
        with self.store.transaction() as tx:
            known = incidents_of(tx)
            acknowledge_incidents(tx, {key: known[key] for key in keys or tuple(known)}, by, self.now)

    def silence(self, match: Match = ONE, *kinds: str, **length: float) -> int:
        with self.store.transaction() as tx:
            return add_silence(tx, match, kinds, self.now + timedelta(**length), "ann", "moving", self.now)

    def silences(self) -> list[Silence]:
        with self.store.transaction() as tx:
            return list_silences(tx, since=datetime(2000, 1, 1, tzinfo=UTC))

    def take(self, channel: Channel, zone: str = "UTC") -> list[Delivery]:
        """All messages that may go now, as sent."""
        found = []
        while True:
            with self.store.transaction() as tx:
                one = claim(tx, channel, zone, self.now)
                if one is None:
                    return found
                assert settle_sent(tx, one, self.way, self.now)
            found.append(one)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """One file for all tests, emptied for each: a new connection would learn all its statements anew."""
    store = opened(tmp_path_factory.mktemp("world") / "watch.db")
    store.upgrade()
    kept = [store]
    yield kept
    kept[0].close()


@pytest.fixture
def world(files: list[Store]) -> Iterator[World]:
    made = World(files[0])
    yield made
    files[0] = made.store


def kinds(found: Sequence[Told]) -> list[str]:
    return [one.kind for one in found]


def natures(found: Sequence[Told]) -> list[str]:
    return [one.nature for one in found]


# --- reminders --------------------------------------------------------------------------------------------------------


def test_what_is_critical_is_told_again_each_day_with_the_days_left_of_that_day(world: World) -> None:
    world.policy = Policy(warn_days=(3,))
    world.has(left=3, auto_renewal=False)
    (first,) = world.poll()
    assert world.after(hours=23, minutes=59) == []
    (second,) = world.after(minutes=1)
    (third,) = world.after(days=1)
    (fourth,) = world.after(days=1)
    assert [one.kind for one in (first, second, third, fourth)] == ["renewal.upcoming"] * 4
    assert natures([second, third, fourth]) == ["reminder"] * 3
    assert "will be lost in 2 days, on Thu 26 Nov 2026" in second.text
    assert "(reminder 1 of 7; last notified at 2026-11-23 12:00 UTC.)" in second.text
    assert f"renewal-watch ack --alert {first.id}" in second.text
    assert "will be lost in 1 day, on Thu 26 Nov 2026" in third.text
    assert "(reminder 2 of 7; last notified at 2026-11-24 12:00 UTC.)" in third.text
    assert "will be lost today, Thu 26 Nov 2026" in fourth.text
    assert all(one.channels == ("chat",) and one.severity == "critical" for one in (second, third, fourth))


def test_a_reminder_of_a_list_that_cannot_be_read_says_as_of_when_it_speaks(world: World) -> None:
    world.policy = Policy(warn_days=(3,))
    world.has(left=3, auto_renewal=False)
    world.poll()
    world.now += timedelta(hours=12)
    world.poll(error=ServerTrouble("down"))
    found = [one for one in world.after(hours=12) if one.nature == "reminder"]
    assert "will be lost in 2 days" in found[0].text
    assert "as last known at 2026-11-23 12:00 UTC" in found[0].text


@pytest.mark.parametrize("most", [0, 1, 3])
def test_reminders_become_weekly_after_so_many_and_the_last_one_says_so(world: World, most: int) -> None:
    world.way = Routing(channels=(CHAT,), reminders=Reminders(max_times=most))
    world.has(current_status="suspended")
    world.poll()
    found = [one for _ in range(most + 22) for one in world.after(days=1)]
    assert natures(found) == ["reminder"] * (most + 3)
    assert [(one.at - T0).days for one in found] == [*range(1, most + 1), most + 7, most + 14, most + 21]
    assert [one.text.partition("; last notified")[0].rpartition("(")[2] for one in found] == [
        *(f"reminder {count} of {most}" for count in range(1, most)),
        *([f"reminder {most} of {most}, then weekly while it holds"] if most else []),
        *(f"reminder {count}, weekly while it holds" for count in range(most + 1, most + 4)),
    ]


def test_the_end_reaches_who_was_told_of_the_beginning_whatever_else_they_take(world: World) -> None:
    urgent = Channel(name="urgent", min_severity="critical")
    kinds = Channel(name="kinds", kinds=("status.changed",))
    late = Channel(name="late", min_severity="warning")
    world.way = Routing(channels=(CHAT, urgent, kinds))
    world.has(current_status="suspended")
    world.has("phone-2", left=2, auto_renewal=False)
    world.poll()
    world.way = Routing(channels=(CHAT, urgent, kinds, late))  # was told of nothing
    world.has(current_status="active")
    world.has("phone-2", left=32, auto_renewal=False)
    world.now += timedelta(hours=1)
    ends = {one.kind: one for one in world.poll()}
    assert {one.severity for one in ends.values()} == {"info"}
    assert set(ends["status.changed"].channels) == {"chat", "kinds", "urgent"}
    assert set(ends["renewal.renewed"].channels) == {"chat", "urgent"}


def test_what_one_alert_says_also_for_another_counts_for_who_was_told_of_it_only(world: World) -> None:
    renewals = Channel(name="renewals", kinds=("renewal.*",))
    world.way = Routing(channels=(CHAT, renewals), flapping=Flapping(changes=3))
    world.has(left=10, auto_renewal=True)
    world.poll()
    world.has(left=10, auto_renewal=False)
    told = {one.kind: one for one in world.poll()}
    assert told["auto_renewal.off"].channels == ("chat",)
    assert told["renewal.upcoming"].channels == ("renewals",)
    for minutes, auto in ((1, True), (2, False), (3, True)):
        world.now += timedelta(minutes=minutes)
        world.has(left=10, auto_renewal=auto)
        world.poll()
    world.now += timedelta(days=3, minutes=-6)  # it flaps still, and the threshold of seven days is told all the same
    world.has(left=7, auto_renewal=False)
    (threshold,) = [one for one in world.poll() if one.kind == "renewal.upcoming"]
    assert set(threshold.channels) >= {"renewals"}


def test_an_overdue_number_stays_overdue_for_reminders_whatever_else_changes(world: World) -> None:
    world.has(left=0, auto_renewal=False)
    world.poll()
    world.now += DAY
    assert kinds(world.poll()) == ["renewal.overdue"]
    world.fleet["phone-1"]["auto_renewal"] = True
    world.now += timedelta(hours=1)
    assert kinds(world.poll()) == ["auto_renewal.on"]
    world.fleet["phone-1"]["monthly_renewal_cost"] = 2
    world.now += timedelta(hours=1)
    world.poll()
    found = [one for _ in range(3) for one in world.after(days=1)]
    assert natures(found) == ["reminder"] * 3
    assert all("is overdue by" in one.text for one in found)


def test_a_reminder_of_a_status_does_not_say_that_it_was_so_when_first_seen(world: World) -> None:
    world.has()
    world.poll()
    world.fleet["phone-1"]["current_status"] = "suspended"
    world.now += timedelta(hours=1)
    assert "it was active before" in world.poll()[0].text
    (reminder,) = world.after(days=1)
    assert "suspended" in reminder.text
    assert "when first seen" not in reminder.text


def test_a_reminder_of_facts_that_are_not_read_anew_says_when_they_were_found(world: World) -> None:
    """What an error said is known of that time alone."""
    world.policy = Policy(stale_after=timedelta(days=9))
    world.has()
    world.poll()
    world.now += timedelta(hours=1)
    world.poll(error=TokenRejected("the token is rejected (HTTP 401)"))
    (reminder,) = world.after(days=1)
    assert "(as found at 2026-11-23 13:00 UTC)" in reminder.text


def test_reminders_go_on_after_a_restart(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    for count in range(1, 4):
        world.reopen()
        assert world.after(hours=23) == []
        world.reopen()
        (one,) = world.after(hours=1)
        assert f"(reminder {count} of 7" in one.text
        world.reopen()
        assert world.turn() == [], "it was told"


def test_reminders_missed_while_nothing_ran_are_one(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    (one,) = world.after(days=5)
    assert "(reminder 1 of 7; last notified at 2026-11-23" in one.text
    assert world.turn() == []
    assert len(world.after(days=1)) == 1


def test_a_clock_put_back_tells_no_reminder_twice(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    assert len(world.after(days=1)) == 1
    world.now -= timedelta(hours=3)
    assert world.turn() == []
    assert world.after(hours=3) == []
    assert len(world.after(days=1)) == 1


def _renewed(world: World) -> None:
    world.fleet["phone-1"]["renewal_date"] = (world.now + 32 * DAY).date().isoformat()


def _with(**changes: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.fleet["phone-1"].update(changes)

    return change


def _gone(world: World) -> None:
    world.fleet.pop("phone-1", None)


def _back(world: World) -> None:
    world.has()


def _left_in(days: int, **changes: Any) -> Callable[[World], None]:
    return lambda world: world.has(left=days, **changes)


def _unconfigured(world: World) -> None:
    world.policies = {}


ALL_EVERY_DAY = Reminders(critical_every="1d", warning_every="1d", max_times=100)


@pytest.mark.parametrize(
    ("before", "trouble", "kind", "end"),
    [
        pytest.param(_left_in(3, auto_renewal=False), None, "renewal.upcoming", _renewed, id="renewed"),
        pytest.param(
            _left_in(10, auto_renewal=False), None, "renewal.upcoming", _with(auto_renewal=True), id="auto on"
        ),
        pytest.param(_left_in(0, auto_renewal=False), None, "renewal.due", _renewed, id="renewed on its day"),
        pytest.param(_left_in(-1), None, "renewal.overdue", _renewed, id="renewed late"),
        pytest.param(
            _back, _with(current_status="suspended"), "status.changed", _with(current_status="active"), id="active"
        ),
        pytest.param(
            _back, _with(auto_renewal=False), "auto_renewal.off", _with(auto_renewal=True), id="auto off and on"
        ),
        pytest.param(_back, _with(has_sms=False), "capability.lost", _with(has_sms=True), id="capability"),
        pytest.param(_back, _gone, "number.missing", _back, id="returned"),
        pytest.param(_back, _with(current_status="suspended"), "status.changed", _with(is_sandbox=True), id="sandbox"),
        pytest.param(_back, _with(current_status="suspended"), "status.changed", _unconfigured, id="not configured"),
    ],
)
def test_reminders_end_with_their_incident(
    world: World,
    before: Callable[[World], None],
    trouble: Callable[[World], None] | None,
    kind: str,
    end: Callable[[World], None],
) -> None:
    world.way = Routing(channels=(CHAT,), reminders=ALL_EVERY_DAY)
    world.policy = Policy(missing_after_polls=1, warn_days=(14,), auto_renewal_warn_days=())
    for other in range(2, 5):
        world.has(f"phone-{other}", left=300)
    before(world)
    found = world.poll()
    if trouble:
        trouble(world)
        world.now += timedelta(hours=1)
        found = world.poll()
    assert kind in kinds(found)
    (reminder,) = world.after(days=1)
    assert (reminder.kind, reminder.nature) == (kind, "reminder")
    end(world)
    if world.policies is None:
        world.poll()
    later = [one for _ in range(4) for one in world.after(days=1)]
    assert [one for one in later if one.kind == kind] == []
    with world.store.transaction() as tx:
        assert [incident.kind for incident in incidents_of(tx).values() if incident.kind == kind] == []


def test_a_missing_number_is_reminded_of_as_missing_and_nothing_else(world: World) -> None:
    world.policy = Policy(missing_after_polls=1)
    world.has(left=2, auto_renewal=False, current_status="suspended")
    assert sorted(kinds(world.poll())) == ["renewal.upcoming", "status.changed"]
    world.fleet.clear()
    world.fleet["phone-2"] = entry("phone-2", renewal_date="2027-03-01")
    world.now += timedelta(hours=1)
    world.poll()
    assert [(one.kind, one.nature) for one in world.after(days=1)] == [("number.missing", "reminder")]


@pytest.mark.parametrize("error", [TokenRejected("no"), ServerTrouble("down")])
def test_a_blind_watch_is_reminded_of_until_the_list_can_be_read_again(world: World, error: ApiError) -> None:
    world.has()
    world.poll()
    found: list[Told] = []
    for _ in range(3):
        world.now += timedelta(hours=1)
        found += world.poll(error=error)
    assert len(found) == 1
    world.now += timedelta(hours=20)
    assert kinds(world.turn()) == ["watch.stale"]
    assert natures(world.after(days=1)) == ["reminder"]
    assert kinds(world.poll()) == ["watch.recovered"]
    assert [one for _ in range(3) for one in world.after(days=1)] == []


def test_a_shrunk_list_is_reminded_of_until_it_is_whole_again(world: World) -> None:
    for count in range(1, 9):
        world.has(f"phone-{count}")
    world.poll()
    kept = dict(world.fleet)
    world.fleet = {"phone-1": kept["phone-1"]}
    world.now += timedelta(hours=1)
    assert kinds(world.poll()) == ["watch.list_shrunk"]
    assert kinds(world.after(days=1)) == ["watch.list_shrunk"]
    world.fleet = kept
    assert kinds(world.poll()) == ["watch.recovered"]
    assert [one for _ in range(3) for one in world.after(days=1)] == []


def test_unreadable_entries_are_reminded_of_until_they_can_be_read(world: World) -> None:
    world.way = Routing(channels=(CHAT,), reminders=ALL_EVERY_DAY)
    world.has()
    bad = entry("phone-2", days_until_monthly_renewal="soon")
    assert kinds(world.poll(invalid=[bad])) == ["data.invalid"]
    (reminder,) = world.after(days=1)
    assert "(as found at 2026-11-23 12:00 UTC)" in reminder.text
    world.poll()
    assert [one for _ in range(3) for one in world.after(days=1)] == []


@pytest.mark.parametrize(
    ("reminders", "told"),
    [
        (Reminders(), []),
        (Reminders(warning_every="12h"), ["renewal.upcoming"]),
        (Reminders(warning_every="12h", critical_every="off"), ["renewal.upcoming"]),
        (Reminders(info_every="12h"), ["renewal.upcoming"]),
        (Reminders(warning_every="1d", info_every="1d"), []),
    ],
)
def test_what_is_less_than_critical_is_told_again_where_it_is_wanted(
    world: World, reminders: Reminders, told: list[str]
) -> None:
    world.way = Routing(channels=(CHAT,), reminders=reminders)
    is_info = reminders.info_every != "off" and reminders.warning_every == "off"
    world.policy = Policy(warn_days=(14,), auto_renewal_warn_days=(14,))
    world.has(left=10, auto_renewal=is_info)
    (first,) = world.poll()
    assert first.severity == ("info" if is_info else "warning")
    assert world.after(hours=11) == []
    assert kinds(world.after(hours=1)) == told


def test_what_nobody_wants_again_costs_no_incident(world: World) -> None:
    world.has(left=3)
    assert kinds(world.poll()) == ["renewal.upcoming"]
    assert world.incident(RENEWAL) is None


def test_nobody_is_reminded_of_what_is_acknowledged_until_it_gets_worse(world: World) -> None:
    world.has(left=3, auto_renewal=False)
    world.poll()
    world.acknowledge(RENEWAL)
    assert [one for _ in range(2) for one in world.after(days=1)] == []
    (hidden,) = world.poll()
    assert (hidden.kind, hidden.channels) == ("renewal.upcoming", ()), "one day left is no worse: critical as before"
    assert "acknowledged by ann" in str(hidden.hidden)
    world.now += DAY
    (due,) = world.poll()
    assert (due.kind, due.hidden, due.channels) == ("renewal.due", None, ("chat",))
    assert natures(world.after(days=1)) == ["reminder"], "reminders go on"


def test_an_incident_that_ended_and_came_again_counts_from_the_start(world: World) -> None:
    world.way = Routing(channels=(CHAT,), reminders=Reminders(max_times=2))
    world.has(current_status="suspended")
    world.poll()
    assert len([one for _ in range(5) for one in world.after(days=1)]) == 2
    world.acknowledge(STATUS)
    for status in ("active", "suspended"):
        world.fleet["phone-1"]["current_status"] = status
        world.now += timedelta(hours=1)
        assert kinds(world.poll()) == ["status.changed"]
    said = [
        one.text.partition("; last notified")[0].rpartition("(")[2] for _ in range(3) for one in world.after(days=1)
    ]
    assert said == ["reminder 1 of 2", "reminder 2 of 2, then weekly while it holds"]


def test_an_acknowledged_price_does_not_hide_the_next_rise(world: World) -> None:
    world.has()
    world.poll()
    world.fleet["phone-1"]["monthly_renewal_cost"] = 2
    world.now += timedelta(hours=1)
    world.poll()
    world.acknowledge()
    world.fleet["phone-1"]["monthly_renewal_cost"] = 20
    world.now += timedelta(days=50)
    (rise,) = [one for one in world.poll() if one.kind == "price.changed"]
    assert rise.hidden is None


def test_what_got_worse_is_reminded_of_as_often_as_anew(world: World) -> None:
    world.way = Routing(channels=(CHAT,), reminders=Reminders(warning_every="1d", max_times=2))
    world.policy = Policy(warn_days=(7, 3, 0))
    world.has(left=7, auto_renewal=False)
    world.poll()
    assert natures([one for _ in range(3) for one in world.after(days=1)]) == ["reminder"] * 2
    world.now += DAY
    assert world.poll()[0].severity == "critical"
    assert natures([one for _ in range(2) for one in world.after(days=1)]) == ["reminder"] * 2


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(name="calm", match=ONE, severities={"status.*": "warning"}), 0),
        (Rule(name="loud", match=ONE, severities={"renewal.*": "critical"}), 1),
        (Rule(name="others", match=Match(numbers=("+49*",)), severities={"status.*": "warning"}), 1),
    ],
)
def test_reminders_go_by_the_severity_that_the_rules_give(world: World, rule: Rule, expected: int) -> None:
    world.way = Routing(channels=(CHAT,), rules=(rule,))
    world.policy = Policy(rules=(rule,), warn_days=(14,))
    if rule.name == "loud":
        world.has(left=10, auto_renewal=False)
    else:
        world.has(current_status="suspended")
    world.poll()
    assert len(world.after(days=1)) == expected


def test_a_reminder_goes_where_the_rules_send_it(world: World) -> None:
    rule = Rule(name="boss", match=ONE, add_channels=("boss",))
    world.way = Routing(channels=(CHAT, BOSS), rules=(rule,))
    world.has(current_status="suspended")
    world.poll()
    assert world.after(days=1)[0].channels == ("chat", "boss")
    world.way = Routing(channels=(CHAT, BOSS))
    assert world.after(days=1)[0].channels == ("chat",), "the rule was taken out"


# --- the overdue ladder and reminders ---------------------------------------------------------------------------------


def days_told(world: World, reminders: Reminders, days: int, *, poll_every: int, turn_every: int) -> list[float]:
    """The days after the first telling on which somebody was told that ``phone-1`` is overdue; steps are hours."""
    world.way = Routing(channels=(CHAT,), reminders=reminders)
    world.has(left=-1)
    world.poll()
    told = []
    for hour in range(1, 24 * days + 1):
        world.now = T0 + timedelta(hours=hour)
        found = world.poll() if hour % poll_every == 0 else []
        found += world.turn() if hour % turn_every == 0 else []
        told += [hour / 24 for one in found if one.kind == "renewal.overdue" and one.hidden is None]
    return told


@pytest.mark.parametrize(
    ("reminders", "expected"),
    [
        (Reminders(), [1, 2, 3, 4, 5, 6, 7, 14]),
        (Reminders(critical_every="off"), [1, 2, 4, 7, 14]),
        (Reminders(max_times=0), [1, 2, 4, 7, 14]),
        (Reminders(max_times=2), [1, 2, 4, 7, 14]),
        (Reminders(critical_every="3d"), [3, 6, 9, 12, 15]),
        (Reminders(critical_every="2d", max_times=3), [2, 4, 6, 13]),
    ],
)
def test_an_overdue_number_is_told_by_its_ladder_and_by_reminders_but_never_twice_in_an_interval(
    world: World, reminders: Reminders, expected: list[int]
) -> None:
    assert days_told(world, reminders, 15, poll_every=24, turn_every=12) == expected


@few(6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    every=st.sampled_from([24, 36]),
    poll_every=st.integers(9, 30),
    turn_every=st.integers(7, 30),
    most=st.integers(0, 9),
)
def test_an_overdue_number_is_never_told_twice_in_an_interval_however_polls_and_turns_meet(
    files: list[Store], every: int, poll_every: int, turn_every: int, most: int
) -> None:
    world = World(files[0])
    reminders = Reminders(critical_every=f"{every}h", max_times=most)
    told = [0, *days_told(world, reminders, 4, poll_every=poll_every, turn_every=turn_every)]
    assert all(later - one >= every / 24 - 1e-9 for one, later in pairwise(told))
    assert len(told) > 1


def test_a_step_of_the_ladder_that_is_not_told_says_why(world: World) -> None:
    world.has(left=-1)
    world.poll()
    assert natures(world.after(days=1)) == ["reminder"]
    world.now += timedelta(minutes=30)
    (step,) = world.poll()
    assert (step.kind, step.channels) == ("renewal.overdue", ())
    assert step.hidden == "told at 2026-11-24 12:00 UTC already; it is repeated every 1 d"
    (reminder,) = world.after(hours=23, minutes=30)
    assert "is overdue by 3 days" in reminder.text


# --- escalation -------------------------------------------------------------------------------------------------------

TO_BOSS = Routing(channels=(CHAT, BOSS), escalation=Escalation(channels=("boss",)))


def test_what_nobody_answers_for_four_hours_is_told_to_others_once(world: World) -> None:
    world.way = TO_BOSS
    world.has(left=3, auto_renewal=False)
    (first,) = world.poll()
    assert first.channels == ("chat",)
    assert world.after(hours=3, minutes=59) == []
    (escalation,) = world.after(minutes=1)
    assert (escalation.nature, escalation.channels, escalation.severity) == ("escalation", ("boss",), "critical")
    assert escalation.text.startswith("+15550000001 (production) will be lost in 3 days")
    assert "(Notified at 2026-11-23 12:00 UTC and neither acknowledged nor resolved for 4 h.)" in escalation.text
    assert f"renewal-watch ack --alert {first.id}" in escalation.text
    world.reopen()
    assert world.after(hours=19, minutes=59) == []
    (reminder,) = world.after(minutes=1)
    assert (reminder.nature, reminder.channels) == ("reminder", ("chat",)), (
        "the first telling counts, not the escalation"
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(World.new, 1, id="nobody"),
        pytest.param(lambda world: world.acknowledge(), 0, id="acknowledged"),
        pytest.param(lambda world: (_with(current_status="active")(world), world.poll()), 0, id="resolved"),
        pytest.param(lambda world: (_gone(world), world.has("phone-2"), world.poll()), 0, id="missing"),
        pytest.param(lambda world: world.silence(days=2), 0, id="silenced"),
        pytest.param(_unconfigured, 0, id="environment not configured"),
    ],
)
def test_what_was_answered_is_not_escalated(world: World, answer: Callable[[World], object], told: int) -> None:
    world.way = TO_BOSS
    world.policy = Policy(missing_after_polls=1)
    world.has(current_status="suspended")
    world.poll()
    world.now += timedelta(hours=3)
    answer(world)
    world.new()
    found = [one for _ in range(8) for one in world.after(hours=2)]
    assert len([one for one in found if one.nature == "escalation" and one.kind == "status.changed"]) == told


@pytest.mark.parametrize(
    ("rules", "channels", "expected"),
    [
        ((Rule(name="desk", match=ONE, escalate_to=("desk",)),), ("boss",), ("desk",)),
        ((Rule(name="desk", match=ONE, escalate_to=("desk", "boss")),), (), ("desk", "boss")),
        ((Rule(name="none", match=ONE, escalate_to=()),), ("boss",), None),
        ((Rule(name="other", match=Match(numbers=("+49*",)), escalate_to=("desk",)),), ("boss",), ("boss",)),
        ((Rule(name="other", match=Match(numbers=("+49*",)), escalate_to=("desk",)),), (), None),
        ((), ("boss", "chat"), ("boss", "chat")),
        ((), (), None),
    ],
)
def test_a_rule_says_to_whom_its_numbers_are_escalated(
    world: World, rules: tuple[Rule, ...], channels: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    desk = Channel(name="desk", by_rule_only=True, min_severity="critical", kinds=("nothing.*",))
    world.way = Routing(channels=(CHAT, BOSS, desk), rules=rules, escalation=Escalation(channels=channels))
    world.has(current_status="suspended")
    world.poll()
    found = [one for _ in range(5) for one in world.after(hours=4)]
    if expected is None:
        assert found == []
    else:
        (escalation,) = found
        assert set(escalation.channels) == set(expected), "whatever these channels usually take"


def test_an_escalation_comes_after_as_long_as_is_configured(world: World) -> None:
    world.way = replace(TO_BOSS, escalation=Escalation(after="30m", channels=("boss",)))
    world.has(current_status="suspended")
    world.poll()
    assert world.after(minutes=29) == []
    assert natures(world.after(minutes=1)) == ["escalation"]


def test_an_escalation_due_with_a_reminder_keeps_both(world: World) -> None:
    world.way = replace(TO_BOSS, escalation=Escalation(after="1d", channels=("boss",)))
    world.has(current_status="suspended")
    world.poll()
    found = world.after(days=1)
    assert {one.nature: one.channels for one in found} == {"escalation": ("boss",), "reminder": ("chat",)}
    assert world.turn() == []
    assert natures(world.after(days=1)) == ["reminder"]


def test_warnings_are_not_escalated_before_they_are_critical(world: World) -> None:
    world.way = TO_BOSS
    world.policy = Policy(warn_days=(7, 3))
    world.has(left=7, auto_renewal=False)
    world.poll()
    assert [one for _ in range(4) for one in world.after(days=1)] == []
    (critical,) = world.poll()
    assert critical.severity == "critical"
    assert world.after(hours=3, minutes=59) == []
    (escalation,) = world.after(minutes=1)
    assert "Notified at 2026-11-27 12:00 UTC and neither" in escalation.text


def test_what_got_worse_is_escalated_once_more(world: World) -> None:
    world.way = TO_BOSS
    world.policy = Policy(warn_days=(1,))
    world.has(left=1, auto_renewal=False)
    world.poll()
    assert natures(world.after(hours=4)) == ["escalation"]
    world.now = T0 + DAY
    assert kinds(world.poll()) == ["renewal.due"]
    found = [one for _ in range(10) for one in world.after(hours=2) if one.nature == "escalation"]
    assert len(found) == 1
    assert "will be lost today" in found[0].text


def test_what_was_acknowledged_and_got_worse_gets_its_hours_before_others_are_told(world: World) -> None:
    """Somebody looked after it; that nobody did for a day would be untrue."""
    world.way = TO_BOSS
    world.policy = Policy(warn_days=(1,))
    world.has(left=1, auto_renewal=False)
    world.poll()
    world.now += timedelta(hours=1)
    world.acknowledge(RENEWAL)
    world.now = T0 + DAY
    (due,) = world.poll()
    assert due.channels == ("chat",)
    assert world.after(minutes=30) == []
    assert world.after(hours=3, minutes=29) == []
    (escalation,) = world.after(minutes=1)
    assert "(Notified at 2026-11-24 12:00 UTC and neither acknowledged nor resolved for 4 h.)" in escalation.text


def test_a_channel_that_is_not_configured_any_more_is_escalated_to_in_vain_but_once(world: World) -> None:
    world.way = TO_BOSS
    world.has(current_status="suspended")
    world.poll()
    world.way = Routing(channels=(CHAT,), escalation=Escalation(channels=("boss",)))
    (escalation,) = world.after(hours=4)
    assert (escalation.channels, escalation.hidden) == ((), "no channel takes it")
    assert world.after(hours=4) == []


# --- silences ---------------------------------------------------------------------------------------------------------


def test_what_a_silence_hides_is_written_with_the_reason_and_told_to_nobody(world: World) -> None:
    world.has()
    world.has("phone-2")
    world.poll()
    pk = world.silence(hours=6)
    for name in ("phone-1", "phone-2"):
        world.fleet[name]["current_status"] = "suspended"
    world.now += timedelta(hours=1)
    hidden, told = sorted(world.poll(), key=lambda one: one.text)
    assert (hidden.channels, hidden.hidden) == ((), f"silence {pk} of ann until 2026-11-23 18:00 UTC")
    assert (told.channels, told.hidden) == (("chat",), None), "the other number is not silenced"
    incident = world.incident(STATUS)
    assert incident is not None
    assert (incident.notified_at, incident.suppressor) == (None, f"silence:{pk}")
    assert world.after(hours=4, minutes=59) == []


def test_the_end_of_a_silence_tells_what_still_holds_once_and_why_it_comes_now(world: World) -> None:
    world.has()
    world.poll()
    pk = world.silence(hours=6)
    world.fleet["phone-1"]["current_status"] = "suspended"
    world.now += timedelta(hours=1)
    world.poll()
    assert world.after(hours=4, minutes=59) == []
    (told,) = world.after(minutes=1)
    assert (told.nature, told.kind, told.severity, told.channels) == (
        "release",
        "status.changed",
        "critical",
        ("chat",),
    )
    assert "suspended" in told.text
    assert told.text.endswith(
        f"(It was found 2026-11-23 13:00 UTC, suppressed until now: silence {pk} of ann until 2026-11-23 18:00 UTC.)"
    )
    (over,) = world.silences()
    assert (over.ended_at, over.ended_by) == (world.now, silences.BY_TIME)
    world.reopen()
    assert world.turn() == []
    assert world.after(hours=23, minutes=59) == []
    assert natures(world.after(minutes=1)) == ["reminder"], "from here on it is an incident like any other"


def test_what_a_silence_hid_is_told_with_the_days_left_of_that_day(world: World) -> None:
    world.policy = Policy(warn_days=(3,))
    world.has(left=4, auto_renewal=False)
    world.poll()
    world.silence(days=2)
    world.now += DAY
    assert [one.channels for one in world.poll()] == [()]
    found = [one for one in world.after(days=1) if one.kind == "renewal.upcoming"]
    assert "will be lost in 2 days, on Fri 27 Nov 2026" in found[0].text


@pytest.mark.parametrize(
    "end", [_with(current_status="active"), _gone, _with(is_sandbox=True), _unconfigured], ids=lambda one: one.__name__
)
def test_what_ended_within_a_silence_is_not_told_at_its_end(world: World, end: Callable[[World], None]) -> None:
    world.policy = Policy(missing_after_polls=1)
    world.has()
    world.has("phone-2")
    world.poll()
    world.silence(hours=6)
    world.fleet["phone-1"]["current_status"] = "suspended"
    world.now += timedelta(hours=1)
    world.poll()
    world.now += timedelta(hours=1)
    end(world)
    if world.policies is None:
        assert all(one.hidden for one in world.poll() if one.kind != "number.unwatched")
    assert [one for one in world.after(hours=5) if one.kind == "status.changed"] == []


def test_what_ended_and_came_again_within_a_silence_is_told_once(world: World) -> None:
    world.has()
    world.poll()
    world.silence(hours=6)
    for status in ("suspended", "active", "inactive"):
        world.fleet["phone-1"]["current_status"] = status
        world.now += timedelta(hours=1)
        world.poll()
    (told,) = world.after(hours=3)
    assert "inactive" in told.text


def test_a_silence_ended_by_hand_tells_at_the_next_turn(world: World) -> None:
    world.has(current_status="suspended")
    pk = world.silence(days=30)
    assert world.poll()[0].hidden
    assert world.after(hours=1) == []
    with world.store.transaction() as tx:
        assert close_silence(tx, pk, "ben", world.now)
        assert not close_silence(tx, pk, "ben", world.now), "it is over"
    (told,) = world.turn()
    assert (told.nature, told.channels) == ("release", ("chat",))
    assert [(one.ended_by, one.ended_at) for one in world.silences()] == [("ben", world.now)]


def test_where_two_silences_overlap_the_longer_one_hides(world: World) -> None:
    world.has(current_status="suspended")
    world.silence(hours=2)
    longer = world.silence(Match(environments=("production",)), hours=5)
    world.poll()
    assert world.after(hours=2) == []
    incident = world.incident(STATUS)
    assert incident is not None
    assert incident.suppressor == f"silence:{longer}"
    (told,) = world.after(hours=3)
    assert f"silence {longer} of ann" in told.text


def test_a_silence_of_some_kinds_hides_no_others(world: World) -> None:
    world.silence(Match(), "renewal.*", hours=5)
    world.has(left=2, auto_renewal=False, current_status="suspended")
    assert {one.kind: one.hidden is None for one in world.poll()} == {"status.changed": True, "renewal.upcoming": False}
    assert kinds(world.after(hours=5)) == ["renewal.upcoming"]


def test_a_silence_of_everything_hides_nothing_about_the_watch_itself(world: World) -> None:
    world.has()
    world.poll()
    world.silence(Match(), hours=5)
    world.now += timedelta(hours=1)
    (told,) = world.poll(error=TokenRejected("no"))
    assert (told.kind, told.hidden) == ("watch.token_rejected", None)
    assert [one.hidden for one in world.turn(["line 3: no number"])] == [None]


def test_a_silence_of_the_watchs_own_kind_hides_it_until_it_ends(world: World) -> None:
    world.policy = Policy(stale_after=timedelta(days=9))
    world.has()
    world.poll()
    world.silence(Match(), "watch.*", hours=5)
    world.now += timedelta(hours=1)
    (hidden,) = world.poll(error=TokenRejected("no"))
    assert "silence 1 of ann" in str(hidden.hidden)
    (told,) = world.after(hours=4)
    assert (told.kind, told.nature, told.channels) == ("watch.token_rejected", "release", ("chat",))


def test_a_reminder_that_comes_due_within_a_silence_waits_for_its_end(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    world.now += timedelta(hours=20)
    pk = world.silence(hours=10)
    assert world.after(hours=4) == []
    incident = world.incident(STATUS)
    assert incident is not None
    assert incident.suppressor == f"silence:{pk}"
    assert world.after(hours=5, minutes=59) == []
    (told,) = world.after(minutes=1)
    assert told.nature == "release"
    assert "(It was last notified at 2026-11-23 12:00 UTC, then suppressed: silence " in told.text
    assert natures(world.after(days=1)) == ["reminder"]


def test_a_silence_that_no_reminder_came_due_in_costs_none(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    world.silence(hours=10)
    assert world.after(hours=10) == []
    assert natures(world.after(hours=14)) == ["reminder"]


def test_what_is_acknowledged_within_a_silence_stays_quiet_after_it(world: World) -> None:
    world.has(current_status="suspended")
    world.silence(hours=5)
    world.poll()
    world.acknowledge(STATUS)
    assert world.after(hours=5) == []
    assert world.after(days=1) == []


def test_what_was_acknowledged_before_a_silence_stays_quiet_after_it(world: World) -> None:
    world.policy = Policy(warn_days=(3, 1))
    world.has(left=3, auto_renewal=False)
    world.poll()
    world.acknowledge(RENEWAL)
    world.now += timedelta(days=2)
    world.silence(hours=5)
    assert world.poll()[0].hidden
    assert world.after(hours=5) == [], "it is no worse than when it was acknowledged"


def test_what_got_worse_within_a_silence_than_it_was_acknowledged_is_told_at_its_end(world: World) -> None:
    world.has(left=3, auto_renewal=False)
    world.poll()
    world.acknowledge(RENEWAL)
    world.now += timedelta(days=3)
    world.silence(hours=5)
    assert kinds(world.poll()) == ["renewal.due"]
    assert kinds(world.after(hours=5)) == ["renewal.due"]


def test_what_is_silenced_is_escalated_only_after_it_is_told_again(world: World) -> None:
    world.way = TO_BOSS
    world.has(current_status="suspended")
    world.poll()
    world.now += timedelta(hours=1)
    world.silence(days=3)
    assert [one for _ in range(11) for one in world.after(hours=6) if one.kind == "status.changed"] == []
    found = [one for _ in range(8) for one in world.after(hours=2) if one.kind == "status.changed"]
    assert natures(found) == ["release", "escalation"]


def test_a_number_that_is_to_stay_after_all_is_told_as_it_is_now(world: World) -> None:
    world.policy = Policy(warn_days=(3,))
    world.has(left=4, auto_renewal=False)
    world.poll()
    with world.store.transaction() as tx:
        known = find_number(tx, "phone-1")[2]
        put_lapse(tx, known, "ann", "", world.now)
    world.now += DAY
    hidden = next(one for one in world.poll() if one.kind == "renewal.upcoming")
    assert hidden.hidden == "it is meant to expire (ann, 2026-11-23 12:00 UTC)"
    assert world.after(hours=23) == []
    with world.store.transaction() as tx:
        assert drop_lapse(tx, "production", known, world.now)
    (told,) = world.after(hours=1)
    assert (told.nature, told.kind) == ("release", "renewal.upcoming")
    assert "will be lost in 2 days" in told.text


# --- silences about to end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "changes", "is_told"),
    [
        pytest.param(timedelta(days=3), {"current_status": "suspended"}, True, id="critical"),
        pytest.param(timedelta(days=1, hours=1), {"current_status": "suspended"}, True, id="little longer than a day"),
        pytest.param(timedelta(days=1), {"current_status": "suspended"}, False, id="a day"),
        pytest.param(timedelta(hours=5), {"current_status": "suspended"}, False, id="hours"),
        pytest.param(timedelta(days=3), {"current_status": "pending"}, False, id="warning"),
        pytest.param(timedelta(days=3), {}, False, id="nothing"),
    ],
)
def test_the_end_of_a_silence_is_told_a_day_before_where_it_hides_something_critical(
    world: World, length: timedelta, changes: dict[str, Any], is_told: bool
) -> None:
    world.has(**changes)
    ends = world.now + length
    pk = world.silence(days=length.total_seconds() / 86400)
    world.poll()
    before = world.after(hours=0)
    world.now = max(ends - DAY - timedelta(minutes=1), world.now)
    if length > DAY:
        assert [*before, *world.turn()] == []
    world.now = max(ends - DAY, world.now)
    found = world.turn()
    assert kinds(found) == ["silence.ending"] * is_told
    if is_told:
        assert (found[0].severity, found[0].channels) == ("warning", ("chat",))
        assert f"Silence {pk} of ann (moving) ends at " in found[0].text
        assert "+15550000001 is suspended" in found[0].text
    world.reopen()
    assert world.turn() == [], "once"
    world.now = ends - timedelta(minutes=1)
    assert world.turn() == []
    assert kinds(world.after(minutes=1)) == (["status.changed"] if changes else [])


def test_something_critical_that_is_found_in_the_last_day_of_a_silence_is_in_its_warning(world: World) -> None:
    world.has()
    world.poll()
    world.silence(days=3)
    assert world.after(days=2, hours=6) == []
    world.fleet["phone-1"]["current_status"] = "suspended"
    world.poll()
    assert kinds(world.turn()) == ["silence.ending"]


def test_a_reminder_that_a_silence_holds_back_is_in_its_warning(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    world.silence(days=3)
    assert world.after(days=1) == []
    assert kinds(world.after(days=1)) == ["silence.ending"]


def test_a_silence_that_was_ended_by_hand_is_not_about_to_end(world: World) -> None:
    world.has(current_status="suspended")
    pk = world.silence(days=3)
    world.poll()
    world.now += DAY
    with world.store.transaction() as tx:
        close_silence(tx, pk, "ann", world.now)
    assert kinds(world.turn()) == ["status.changed"]
    assert "silence.ending" not in kinds(world.after(days=1))


# --- rules that hide --------------------------------------------------------------------------------------------------

MUTED = Rule(name="quiet", match=ONE, mute=("status.*",))


def test_what_a_rule_mutes_is_told_when_the_rule_is_taken_out(world: World) -> None:
    world.way = Routing(channels=(CHAT,), rules=(MUTED,))
    world.has(current_status="suspended")
    (hidden,) = world.poll()
    assert (hidden.channels, hidden.hidden) == ((), "the rule quiet mutes it")
    world.reopen()
    assert [one for _ in range(3) for one in world.after(days=1)] == []
    world.way = Routing(channels=(CHAT,))
    (told,) = world.after(hours=1)
    assert (told.nature, told.channels) == ("release", ("chat",))
    assert "suppressed until now: the rule quiet mutes it" in told.text
    assert world.turn() == []
    assert natures(world.after(days=1)) == ["reminder"]


@pytest.mark.parametrize(
    "rules",
    [
        (MUTED, Rule(name="more", match=Match(numbers=("+49*",)), mute=("price.*",))),
        (Rule(name="renamed", match=Match(countries=("us",)), mute=("*",)),),
    ],
)
def test_what_is_muted_by_other_rules_as_well_is_not_told_when_the_rules_change(
    world: World, rules: tuple[Rule, ...]
) -> None:
    world.way = Routing(channels=(CHAT,), rules=(MUTED,))
    world.has(current_status="suspended")
    world.poll()
    world.way = Routing(channels=(CHAT,), rules=rules)
    assert world.after(hours=1) == []
    incident = world.incident(STATUS)
    assert incident is not None
    assert incident.suppressor == f"rule:{world.way.mark}", "it is not looked at again at each turn"
    assert incident.suppressed == reasons.Muted(rules[0].name)


def test_a_rule_that_mutes_what_was_told_ends_its_reminders(world: World) -> None:
    world.has(current_status="suspended")
    world.poll()
    world.way = Routing(channels=(CHAT,), rules=(MUTED,))
    assert [one for _ in range(3) for one in world.after(days=1)] == []
    world.way = Routing(channels=(CHAT,))
    (told,) = world.after(hours=1)
    assert "last notified at 2026-11-23 12:00 UTC, then suppressed" in told.text


def test_a_label_given_to_a_number_takes_it_out_of_a_mute(world: World) -> None:
    rule = Rule(name="spare", match=Match(labels=("spare",)), mute=("*",))
    world.way = Routing(channels=(CHAT,), rules=(rule,), inventory={"15550000001": Record(labels=("spare",))})
    world.has(current_status="suspended")
    assert world.poll()[0].hidden
    assert world.after(hours=1) == []
    world.way = Routing(channels=(CHAT,), rules=(rule,), inventory={"15550000001": Record(labels=("hotline",))})
    (told,) = world.after(hours=1)
    assert told.nature == "release"


def test_what_no_channel_took_is_told_to_one_that_takes_it_now(world: World) -> None:
    pager = Channel(name="pager", min_severity="critical")
    world.way = Routing(channels=(pager,))
    world.policy = Policy(warn_days=(14,))
    world.has(left=10, auto_renewal=False)
    (hidden,) = world.poll()
    assert hidden.hidden == "no channel takes it"
    assert world.after(hours=1) == []
    world.way = Routing(channels=(pager, CHAT))
    (told,) = world.after(hours=1)
    assert (told.channels, told.hidden) == (("chat",), None)


def test_what_changes_nothing_about_hiding_tells_nothing(world: World) -> None:
    world.way = Routing(channels=(CHAT,), rules=(MUTED,))
    world.has(current_status="suspended")
    world.poll()
    world.way = Routing(
        channels=(replace_channel(CHAT, quiet_hours=("22:00-07:00",)),), rules=(MUTED,), reminders=ALL_EVERY_DAY
    )
    assert [one for _ in range(3) for one in world.after(days=1)] == []


def replace_channel(channel: Channel, **changes: Any) -> Channel:
    return Channel(**{name: getattr(channel, name) for name in channel.__struct_fields__} | changes)


# --- flapping ---------------------------------------------------------------------------------------------------------


def goes_to_and_fro(world: World, *statuses: str, hours: float = 1) -> list[Told]:
    """One poll for each status; all that comes of it."""
    found = []
    for status in statuses:
        world.fleet["phone-1"]["current_status"] = status
        world.now += timedelta(hours=hours)
        found += world.poll()
    return found


def test_what_goes_to_and_fro_is_told_once_as_that_and_again_when_it_has_settled(world: World) -> None:
    world.has()
    world.poll()
    found = goes_to_and_fro(world, *("suspended", "active") * 3)
    assert [(one.kind, one.hidden) for one in found if one.hidden is None] == [
        ("status.changed", None),
        ("status.changed", None),
        ("status.changed", None),
        ("flapping.started", None),
    ]
    assert [one.hidden for one in found if one.hidden] == ["flapping since 2026-11-23 16:00 UTC"] * 3
    started = next(one for one in found if one.kind == "flapping.started")
    assert "+15550000001 (production): status changed 4 times within 3 h" in started.text
    assert world.after(hours=23, minutes=59) == []
    (settled,) = world.after(minutes=1)
    assert (settled.kind, settled.severity, settled.channels) == ("flapping.ended", "info", ("chat",))
    assert "status has not changed for 1 d. Nothing about it is open." in settled.text
    assert world.incident(STATUS) is None
    assert world.turn() == []
    (anew,) = goes_to_and_fro(world, "suspended")
    assert anew.hidden is None, "it counts from the start"


def test_what_settles_in_trouble_says_so_and_is_an_incident_from_there_on(world: World) -> None:
    world.has()
    world.poll()
    goes_to_and_fro(world, *("suspended", "active") * 2, "suspended")
    assert world.after(hours=23, minutes=59) == [], "no reminder while it flaps"
    world.reopen()
    (settled,) = world.after(minutes=1)
    assert (settled.kind, settled.severity) == ("flapping.ended", "critical")
    assert "What holds now: " in settled.text
    assert "suspended" in settled.text
    incident = world.incident(STATUS)
    assert incident is not None
    assert (incident.notified_at, incident.suppressor) == (world.now, None)
    (reminder,) = world.after(days=1)
    assert (reminder.nature, reminder.severity) == ("reminder", "critical")
    world.fleet["phone-1"]["current_status"] = "active"
    (over,) = world.poll()
    assert over.hidden is None


def test_changes_far_apart_are_told_each(world: World) -> None:
    world.has()
    world.poll()
    found = goes_to_and_fro(world, *("suspended", "active") * 3, hours=9)
    assert all(one.hidden is None for one in found)
    assert "flapping.started" not in kinds(found)


def test_flapping_is_counted_as_configured(world: World) -> None:
    world.way = Routing(channels=(CHAT,), flapping=Flapping(changes=2, within="2h"))
    world.has()
    world.poll()
    found = goes_to_and_fro(world, "suspended", "active")
    assert kinds([one for one in found if not one.hidden]) == ["status.changed", "flapping.started"]
    assert kinds(world.after(hours=2)) == ["flapping.ended"]


def test_other_topics_of_a_number_that_flaps_are_told(world: World) -> None:
    world.has(left=3, auto_renewal=True)
    world.poll()
    goes_to_and_fro(world, *("suspended", "active") * 2)
    world.fleet["phone-1"]["has_sms"] = False
    world.now += timedelta(hours=1)
    (lost,) = world.poll()
    assert (lost.kind, lost.hidden) == ("capability.lost", None)


def test_what_settled_says_what_is_open_though_it_was_told_meanwhile(world: World) -> None:
    """Auto-renewal is counted apart from the renewal that it is about, but ends in the same incident."""
    world.has(left=1)
    world.poll()
    for count in range(5):
        world.fleet["phone-1"]["auto_renewal"] = bool(count % 2)
        world.now += timedelta(hours=1)
        world.poll()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    assert [(one.kind, one.hidden, one.severity) for one in world.poll()] == [("renewal.due", None, "critical")]
    found = [one for one in world.after(hours=9) if one.kind == "flapping.ended"]
    assert len(found) == 1
    assert "will be lost today" in found[0].text


def test_what_settled_says_what_is_open_though_a_silence_let_it_go_meanwhile(world: World) -> None:
    world.has()
    world.poll()
    world.silence(hours=12)
    goes_to_and_fro(world, *("suspended", "active") * 2, "suspended")
    assert kinds(world.after(hours=7)) == ["status.changed"]
    assert all("suspended" in one.text for one in world.after(hours=17))


def test_what_flaps_when_a_silence_ends_is_told_as_flapping_or_change_by_change(world: World) -> None:
    """Nothing may be left out as flapping of which nobody was told that it flaps."""
    world.has()
    world.poll()
    world.silence(hours=5)
    goes_to_and_fro(world, *("suspended", "active") * 2)
    world.after(hours=2)
    found = goes_to_and_fro(world, *("suspended", "active") * 2)
    assert [one.kind for one in found if one.hidden is None] != []


def test_a_watch_that_goes_to_and_fro_is_told_as_flapping(world: World) -> None:
    world.has()
    world.poll()
    found: list[Told] = []
    for _ in range(3):
        for error in (ServerTrouble("down"),) * 3 + (None,):
            world.now += timedelta(minutes=30)
            found += world.poll(error=error)
    assert kinds([one for one in found if not one.hidden]) == [
        *("watch.api_failing", "watch.recovered", "watch.api_failing"),
        "flapping.started",
    ]
    (settled,) = world.after(days=1)
    assert (settled.kind, settled.severity) == ("flapping.ended", "info")


# --- the inventory ----------------------------------------------------------------------------------------------------


def test_an_inventory_that_cannot_be_read_is_told_once_and_so_is_its_end(world: World) -> None:
    (told,) = world.turn(["line 3: it has no number", "line 9: it has no number"])
    assert (told.kind, told.severity, told.channels) == ("inventory.invalid", "warning", ("chat",))
    assert "line 3: it has no number" in told.text
    world.reopen()
    world.now += timedelta(hours=1)
    assert world.turn(["line 3: it has no number"]) == []
    assert world.turn(["line 5: something else"]) == [], "it cannot be read whole, as before"
    world.now += timedelta(minutes=1)
    (over,) = world.turn()
    assert (over.kind, over.severity) == ("inventory.invalid", "info")
    assert "whole again" in over.text
    assert world.after(minutes=1) == []
    world.now += timedelta(minutes=1)
    assert kinds(world.turn(["line 3: it has no number"])) == ["inventory.invalid"]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(name="calm", severities={"inventory.*": "info"}),
        Rule(name="loud", severities={"inventory.*": "critical"}),
        Rule(name="quiet", mute=("inventory.*",)),
    ],
    ids=lambda rule: rule.name,
)
def test_an_inventory_fault_is_told_once_whatever_the_rules_make_of_it(world: World, rule: Rule) -> None:
    world.way = Routing(channels=(CHAT,), rules=(rule,))
    first = world.turn(["line 3"])
    assert len(first) == 1
    assert (first[0].hidden is None) == (rule.mute is None)
    again = []
    for _ in range(3):
        world.now += timedelta(minutes=1)
        again += world.turn(["line 3"])
    assert again == []


def test_an_inventory_fault_is_reminded_of_where_warnings_are(world: World) -> None:
    world.way = Routing(channels=(CHAT,), reminders=ALL_EVERY_DAY)
    world.turn(["line 3"])
    world.now += DAY
    (reminder,) = world.turn(["line 3"])
    assert reminder.nature == "reminder"
    assert "(as found at 2026-11-23 12:00 UTC)" in reminder.text


# --- fallback ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def web() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def outlets(web: HttpReceiver) -> Iterator[dict[str, AppriseChannel]]:
    """Real senders, whose children serve all the tests."""
    made = {
        name: AppriseChannel(name, lambda name=name: f"json://127.0.0.1:{web.port}/{name}")  # type: ignore[misc]
        for name in ("chat", "phone")
    }
    yield made
    for one in made.values():
        one.close()


PHONE = Channel(name="phone", by_rule_only=True)
CHAT_OR_PHONE = replace_channel(CHAT, fallback="phone")


class Wire:
    """Channels that are real as far as the receiver; ``down`` refuses everything."""

    def __init__(self, world: World, web: HttpReceiver, outlets: dict[str, AppriseChannel]) -> None:
        self.world = world
        self.web = web
        self.outlets = outlets
        self.down: set[str] = set()
        web.answers(HttpReceiver.ok)
        web.answer = lambda request: Answer(500 if request.path.strip("/") in self.down else 200)
        world.way = Routing(channels=(CHAT_OR_PHONE, PHONE))

    def runs(self, **length: float) -> dict[str, list[str]]:
        """Time passes, its turn comes, all channels send; what arrived where (what was refused does not count)."""
        self.world.now += timedelta(**length)
        self.world.turn()
        self.web.requests.clear()
        for channel in self.world.way.channels:
            if channel.name in self.outlets:
                outlet = dispatch.Outlet(channel=channel, sender=self.outlets[channel.name])
                dispatch.run_once(self.world.store, outlet, self.world.way, lambda: self.world.now)
        arrived: dict[str, list[str]] = {}
        for request in self.web.requests:
            if (name := request.path.strip("/")) not in self.down:
                arrived.setdefault(name, []).append(request.json["message"])
        return arrived

    def status(self, status: str) -> None:
        self.world.fleet["phone-1"]["current_status"] = status
        self.world.poll()


@pytest.fixture
def wire(world: World, web: HttpReceiver, outlets: dict[str, AppriseChannel]) -> Wire:
    made = Wire(world, web, outlets)
    world.has()
    world.poll()
    return made


def test_after_half_an_hour_of_failing_each_alert_goes_to_the_fallback_once(wire: Wire) -> None:
    wire.down = {"chat"}
    wire.status("suspended")
    assert wire.runs() == {}
    assert wire.runs(minutes=29) == {}
    (told,) = wire.runs(minutes=1)["phone"]
    assert "+15550000001 (production) is suspended" in told
    assert "in place of channel chat, which fails since 2026-11-23 12:00 UTC" in told
    assert wire.runs(minutes=30) == {}
    assert wire.runs(hours=5) == {}
    wire.world.reopen()
    assert wire.runs(hours=5) == {}


def test_what_is_found_while_the_channel_fails_goes_to_the_fallback_as_well(wire: Wire) -> None:
    wire.down = {"chat"}
    wire.status("suspended")
    wire.runs()
    wire.world.now += timedelta(minutes=10)
    wire.status("inactive")
    told = wire.runs(minutes=20)["phone"]
    assert len(told) == 2
    wire.world.now += timedelta(minutes=10)
    wire.status("pending")
    (later,) = wire.runs()["phone"]
    assert "is pending" in later
    assert "in place of channel chat" in later


def test_after_recovery_nothing_more_goes_to_the_fallback(wire: Wire) -> None:
    wire.down = {"chat"}
    wire.status("suspended")
    wire.runs()
    assert "phone" in wire.runs(minutes=40)
    wire.down = set()
    assert "is suspended" in wire.runs(hours=2)["chat"][0], "late, but in the place where one looks for it"
    wire.status("inactive")
    arrived = wire.runs(minutes=1)
    assert list(arrived) == ["chat"]
    assert len(arrived["chat"]) == 1


def test_a_short_failure_gives_the_fallback_nothing(wire: Wire) -> None:
    wire.down = {"chat"}
    wire.status("suspended")
    wire.runs()
    wire.runs(minutes=20)
    wire.down = set()
    assert list(wire.runs(minutes=9)) == ["chat"]
    assert wire.runs(hours=1) == {}


def test_the_fallback_is_not_given_what_it_has_already(wire: Wire) -> None:
    wire.world.way = Routing(
        channels=(CHAT_OR_PHONE, replace_channel(PHONE, by_rule_only=False, min_severity="critical"))
    )
    wire.down = {"chat"}
    wire.status("suspended")
    assert list(wire.runs()) == ["phone"]
    wire.world.fleet["phone-1"]["has_sms"] = False
    wire.world.poll()
    arrived = " ".join(wire.runs(minutes=40)["phone"])
    assert "lost SMS" in arrived
    assert "is suspended" not in arrived


def test_a_failing_channel_without_fallback_only_says_so(wire: Wire) -> None:
    wire.world.way = Routing(channels=(CHAT, replace_channel(PHONE, by_rule_only=False, kinds=("channel.*",))))
    wire.down = {"chat"}
    wire.status("suspended")
    wire.runs()
    (told,) = [*wire.runs(minutes=40).get("phone", ()), *wire.runs(minutes=40).get("phone", ())]
    assert "Channel chat has not taken a message for 40 min" in told


def test_the_fallback_waits_as_long_as_is_configured(wire: Wire) -> None:
    wire.world.way = Routing(channels=(replace_channel(CHAT_OR_PHONE, fallback_after="3h"), PHONE))
    wire.down = {"chat"}
    wire.status("suspended")
    wire.runs()
    assert wire.runs(hours=2, minutes=59) == {}
    assert list(wire.runs(minutes=1)) == ["phone"]


def test_a_reminder_that_a_channel_fails_does_not_wait_for_that_channel(wire: Wire) -> None:
    """As its first telling: it goes through the others."""
    wire.world.way = Routing(channels=(CHAT, replace_channel(PHONE, by_rule_only=False)))
    wire.down = {"chat"}
    wire.status("suspended")
    wire.runs()
    wire.runs(minutes=40)
    wire.world.new()
    found = [one for one in wire.world.after(days=1) if one.kind == "channel.failing"]
    assert [(one.nature, one.channels) for one in found] == [("reminder", ("phone",))]


def test_a_critical_alert_among_others_stays_urgent_on_the_fallback(wire: Wire) -> None:
    """Gathered into one message with what is less urgent, it passes the quiet hours of the fallback all the same."""
    world = wire.world
    quiet = replace_channel(PHONE, quiet_hours=("00:00-23:00",))
    world.way = Routing(channels=(replace_channel(CHAT_OR_PHONE, max_per_hour=1), quiet))
    world.fleet["phone-1"]["has_sms"] = False
    world.poll()
    world.fleet["phone-1"]["current_status"] = "suspended"
    world.now += timedelta(minutes=1)
    world.poll()
    wire.down = {"chat"}
    wire.runs()
    arrived = wire.runs(minutes=40)
    assert "is suspended" in arrived["phone"][0]


# --- digests ----------------------------------------------------------------------------------------------------------

MORNING = replace_channel(CHAT, digest="daily 08:00")


def test_the_first_digest_comes_at_its_time_and_brings_what_waited(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.policy = Policy(warn_days=(14,))
    world.has(left=10, auto_renewal=False)
    world.turn()
    world.poll()
    world.has("phone-2")
    world.now += timedelta(hours=1)
    world.poll()
    assert world.take(MORNING) == []
    world.now = datetime(2026, 11, 24, 7, 59, tzinfo=UTC)
    assert (world.turn(), world.take(MORNING)) == ([], [])
    (alert,) = world.after(minutes=1)
    assert (alert.kind, alert.severity, alert.channels) == ("digest.sent", "info", ("chat",))
    (message,) = world.take(MORNING)
    assert sorted(one.kind for one in message.alerts) == ["digest.sent", "number.added", "renewal.upcoming"]
    assert alert.text.startswith("RENEWS NEXT\n")
    assert "FOUND SINCE 2026-11-23 12:00 UTC" in alert.text
    assert (world.turn(), world.take(MORNING)) == ([], []), "once"
    world.reopen()
    assert (world.after(hours=23, minutes=59), world.take(MORNING)) == ([], [])


def test_a_digest_of_a_poll_just_before_its_time_has_what_the_poll_found(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.turn()
    world.has()
    world.poll()
    world.now = datetime(2026, 11, 24, 7, 59, 59, tzinfo=UTC)
    world.has("phone-2")
    world.poll()
    world.after(seconds=1)
    (message,) = world.take(MORNING)
    assert {one.kind for one in message.alerts} == {"digest.sent", "number.added"}
    (digest,) = [one for one in message.alerts if one.kind == "digest.sent"]
    assert digest.headline.startswith("digest: 1 new")


def test_digests_that_were_missed_are_one(world: World) -> None:
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.has()
    world.turn()
    world.poll()
    world.has("phone-2")
    world.now += timedelta(hours=1)
    world.poll()
    world.reopen()
    (alert,) = [one for one in world.after(days=9) if one.kind == "digest.sent"]
    assert "FOUND SINCE 2026-11-23 12:00 UTC" in alert.text
    (message,) = world.take(MORNING)
    assert len(message.alerts) == 2
    assert world.turn() == []
    world.now = datetime(2026, 12, 3, 8, 0, tzinfo=UTC)
    assert kinds(world.turn()) == ["digest.sent"], "the next one comes at its own time"


@pytest.mark.parametrize(("when_empty", "expected"), [(False, []), (True, ["digest.sent"])])
def test_a_digest_of_nothing_new_comes_only_where_it_is_wanted(
    world: World, when_empty: bool, expected: list[str]
) -> None:
    channel = replace_channel(MORNING, digest_when_empty=when_empty)
    world.way = Routing(channels=(channel,))
    world.has()
    world.turn()
    world.poll()
    found = world.after(days=1)
    assert kinds(found) == expected
    assert len(world.take(channel)) == len(expected)
    if expected:
        assert found[0].text.endswith("• nothing")


def test_a_digest_says_what_it_comes_after_even_where_days_without_one_lie_between(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.has()
    world.turn()
    world.poll()
    assert [one for _ in range(3) for one in world.after(days=1)] == []
    world.fleet["phone-1"]["has_sms"] = False
    world.poll()
    (digest,) = world.after(days=1)
    assert "FOUND SINCE 2026-11-26 12:00 UTC" in digest.text


def test_what_is_critical_does_not_wait_for_the_digest(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.turn()
    world.has(current_status="suspended")
    world.has("phone-2", current_status="pending")
    world.poll()
    (now,) = world.take(MORNING)
    assert {one.kind for one in now.alerts} == {"status.changed"}
    world.fleet["phone-2"]["has_sms"] = False
    world.now += timedelta(hours=1)
    world.poll()
    assert world.take(MORNING) == []
    world.after(days=1)
    assert {one.kind for message in world.take(MORNING) for one in message.alerts if one.severity < 2} == {
        "capability.lost",
        "digest.sent",
    }


def test_what_is_critical_waits_for_the_digest_where_that_is_wanted(world: World) -> None:
    channel = replace_channel(MORNING, critical_at_once=False)
    world.way = Routing(channels=(channel,), reminders=Reminders(critical_every="off"))
    world.turn()
    world.has(current_status="suspended")
    world.poll()
    assert world.take(channel) == []
    world.after(hours=20)
    (message,) = world.take(channel)
    assert [one.kind for one in message.alerts] == ["status.changed", "digest.sent"]


def test_a_digest_says_what_it_is_made_of(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.policies = {"production": world.policy}
    world.turn()
    world.has(left=5, auto_renewal=False)
    world.has("phone-2", left=6, monthly_renewal_cost=2.5)
    world.has("phone-3", left=25, monthly_renewal_cost=4, currency="EUR")
    world.has("phone-4", current_status="suspended")
    world.has("phone-5", left=3, is_sandbox=True)
    world.poll()
    world.silence(Match(numbers=("+15550000009",)), days=5)
    world.acknowledge(Key("production", "phone-4", "status"))
    with world.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "+15550000002")[2], "ann", "", world.now)
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    world.poll()
    world.new()
    (digest,) = [one for one in world.turn() if one.kind == "digest.sent"]
    assert digest.text.split("\n") == [
        "NEEDS ATTENTION",
        "• +15550000004 (production) is suspended",
        "",
        "RENEWS NEXT",
        "• +15550000001 (production) will be lost in 4 days, on Sat 28 Nov 2026: 1.00 USD",
        "• +15550000002 (production) renews in 5 days, on Sun 29 Nov 2026: 2.50 USD",
        "",
        "COST AHEAD",
        "• within 7 days 2.50 USD for 1 number with auto-renewal",
        "• within 30 days 4.00 EUR + 2.50 USD for 2 numbers with auto-renewal",
        "",
        "SILENCED",
        "• 1 acknowledged and not ended",
        "• 1 number meant to expire",
        "• silence 1 of ann (moving), numbers +15550000009, for 4 d 4 h more: hides 0 that still hold",
        "",
        "MONITORING",
        "• production: 5 numbers, read less than a minute ago",
        "",
        "FOUND SINCE 2026-11-23 12:00 UTC",
    ]


def test_a_digest_speaks_of_the_environments_of_its_channel(world: World) -> None:
    channel = replace_channel(MORNING, environments=("elsewhere",), digest_when_empty=True)
    world.way = Routing(channels=(channel,))
    world.turn()
    world.has(left=3)
    world.poll()
    (digest,) = world.after(hours=20)
    assert "production" not in digest.text
    assert "no number within 7 days" in digest.text


def test_a_digest_says_that_the_watch_is_blind(world: World) -> None:
    channel = replace_channel(MORNING, digest_when_empty=True)
    world.way = Routing(channels=(channel,))
    world.turn()
    world.has()
    world.poll()
    world.now += timedelta(hours=1)
    world.poll(error=ServerTrouble("the provider has trouble (HTTP 500)"))
    found = [one for one in world.after(hours=20) if one.kind == "digest.sent"]
    assert (
        "BLIND, nothing read since 2026-11-23 12:00 UTC; the last poll failed: the provider has trouble"
        in found[0].text
    )


def test_a_digest_whose_sending_fails_keeps_what_it_brought(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.turn()
    world.has()
    world.poll()
    world.fleet["phone-1"]["has_sms"] = False
    world.now += timedelta(hours=1)
    world.poll()
    world.after(hours=20)
    with world.store.transaction() as tx:
        one = claim(tx, MORNING, "UTC", world.now)
        assert one is not None
        settle_failed(tx, one, "down", world.way, world.now, 0.5)
    world.now += timedelta(minutes=5)
    (again,) = world.take(MORNING)
    assert again.message_id == one.message_id
    assert {alert.kind for alert in again.alerts} == {"capability.lost", "digest.sent"}


def test_two_digests_of_one_channel_that_was_held_up_lose_nothing(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.turn()
    world.has()
    world.poll()
    for count, change in enumerate(({"has_sms": False}, {"has_voice": False}), 24):
        world.fleet["phone-1"].update(change)
        world.now = datetime(2026, 11, count, 7, 0, tzinfo=UTC)
        world.poll()
        world.after(hours=2)
    found = [one.kind for message in world.take(MORNING) for one in message.alerts]
    assert sorted(found) == ["capability.lost"] * 2 + ["digest.sent"], "the newer digest takes the older one's place"


@pytest.mark.parametrize(
    ("line", "zone", "expected"),
    [
        # Berlin puts the clock on at 02:00 on 28 March 2027 (01:00 UTC), and back at 03:00 on 31 October 2027
        ("daily 02:30", "2027-03", ["2027-03-27T01:30", "2027-03-28T01:00", "2027-03-29T00:30"]),
        ("daily 08:00", "2027-03", ["2027-03-27T07:00", "2027-03-28T06:00", "2027-03-29T06:00"]),
        ("daily 02:30", "2027-10", ["2027-10-30T00:30", "2027-10-31T00:30", "2027-11-01T01:30"]),
        ("daily 08:00", "2027-10", ["2027-10-30T06:00", "2027-10-31T07:00", "2027-11-01T07:00"]),
        ("weekly sun 02:30", "2027-10", ["2027-10-31T00:30"]),
    ],
)
def test_a_digest_comes_once_a_day_on_days_of_23_and_25_hours(
    world: World, line: str, zone: str, expected: list[str]
) -> None:
    channel = replace_channel(CHAT, digest=line, digest_when_empty=True, timezone="Europe/Berlin")
    world.way = Routing(channels=(channel,))
    world.now = datetime.fromisoformat(expected[0]).replace(tzinfo=UTC) - timedelta(hours=5)
    assert zone in expected[0]
    came = []
    for one in expected:
        for minutes in (-90, -60, -30, -1, 0, 1, 30, 60, 90, 240):
            world.now = datetime.fromisoformat(one).replace(tzinfo=UTC) + timedelta(minutes=minutes)
            came += [f"{told.at:%Y-%m-%dT%H:%M}" for told in world.turn()]
    assert came == expected


def test_a_clock_put_back_delays_no_digest_and_repeats_none(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.has()
    world.poll()
    world.now = datetime(2027, 6, 1, 7, 0, tzinfo=UTC)
    world.turn()
    world.now = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    assert world.turn() == []
    world.fleet["phone-1"]["has_sms"] = False
    world.poll()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    assert kinds(world.turn()) == ["digest.sent"]
    world.take(MORNING)
    world.now -= timedelta(minutes=30)
    assert world.turn() == []
    world.fleet["phone-1"]["has_voice"] = False
    world.poll()
    world.now += timedelta(hours=24, minutes=30)
    world.turn()
    assert {one.kind for message in world.take(MORNING) for one in message.alerts} == {"capability.lost", "digest.sent"}


def test_who_read_the_time_a_little_before_the_digest_that_another_sent_sends_none(world: World) -> None:
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.turn()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    assert kinds(world.turn()) == ["digest.sent"]
    world.now -= timedelta(seconds=1)
    assert world.turn() == []
    world.now += timedelta(seconds=2)
    assert world.turn() == []


def test_a_digest_that_was_sent_by_a_clock_put_on_does_not_hold_up_the_one_of_the_true_day(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.has()
    world.turn()
    world.poll()
    world.fleet["phone-1"]["has_sms"] = False
    world.poll()
    world.now = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)  # two days too early
    assert kinds(world.turn()) == ["digest.sent"]
    world.take(MORNING)
    world.now = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    world.turn()
    world.fleet["phone-1"]["has_voice"] = False
    world.poll()
    world.now = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
    world.turn()
    found = [one.kind for message in world.take(MORNING) for one in message.alerts]
    assert "capability.lost" in found


def test_what_waited_for_a_digest_that_is_not_wanted_any_more_is_sent(world: World) -> None:
    world.way = Routing(channels=(MORNING,))
    world.turn()
    world.has()
    world.poll()
    world.fleet["phone-1"]["has_sms"] = False
    world.poll()
    assert world.take(MORNING) == []
    assert [one.kind for message in world.take(CHAT) for one in message.alerts] == ["capability.lost"]


def test_a_message_in_back_off_is_not_left_behind_when_its_channel_gets_a_digest(world: World) -> None:
    world.has()
    world.poll()
    world.fleet["phone-1"]["has_sms"] = False
    world.poll()
    with world.store.transaction() as tx:
        one = claim(tx, CHAT, "UTC", world.now)
        assert one is not None
        settle_failed(tx, one, "down", world.way, world.now, 0.5)
    world.way = Routing(channels=(MORNING,))
    world.turn()
    found = []
    for hours in (1, 19, 24, 24):
        world.after(hours=hours)
        found += [alert.kind for message in world.take(MORNING) for alert in message.alerts]
    assert "capability.lost" in found


def test_two_processes_make_one_digest(world: World) -> None:
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.turn()
    other = opened(world.path)
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    told = [digests.send_digests(store, world.way, {}, lambda: world.now) for store in (world.store, other)]
    other.close()
    assert told == [1, 0]


def between_readings(monkeypatch: pytest.MonkeyPatch, done: Callable[[], object]) -> None:
    """While a digest is made, ``done`` is called once after each of its looks at the database."""
    real = Store.reading

    @contextmanager
    def reading(store: Store) -> Iterator[Transaction]:
        with real(store) as tx:
            yield tx
        monkeypatch.setattr(Store, "reading", real)
        done()
        monkeypatch.setattr(Store, "reading", reading)

    monkeypatch.setattr(Store, "reading", reading)


def test_no_thread_waits_for_a_connection_while_a_digest_looks_at_every_number(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file has one connection for all threads of a daemon."""
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.has()
    world.poll()
    world.turn()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    real, seen = fleet.every, []

    def look() -> None:
        with world.store.reading() as tx:
            seen.append(len(environment_states(tx)))

    def meanwhile(tx: Any, those: Sequence[str]) -> Iterator[fleet.Listed]:
        for one in real(tx, those):
            thread = threading.Thread(target=look)
            thread.start()
            thread.join(20)
            assert not thread.is_alive(), "it waits"
            yield one

    monkeypatch.setattr(fleet, "every", meanwhile)
    policies = {"production": world.policy}
    assert digests.send_digests(world.store, world.way, policies, lambda: world.now) == 1
    assert seen == [1]


def test_a_digest_that_is_not_wanted_any_more_when_it_is_made_is_not_sent(world: World) -> None:
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.turn()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    for still, expected in ((lambda _: False, 0), (lambda _: True, 1)):
        assert digests.send_digests(world.store, world.way, {}, lambda: world.now, still) == expected


def test_polls_go_on_while_a_digest_looks_at_every_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.way = Routing(channels=(MORNING,))
    policies = dict.fromkeys(("elsewhere", "production"), Policy())
    with world.store.transaction() as tx:
        environment_state(tx, "elsewhere")
    world.has()
    world.poll()
    world.turn()
    world.take(MORNING)
    world.now = datetime(2026, 11, 24, 7, 59, tzinfo=UTC)
    world.has("phone-2")
    world.poll()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    looks = []

    def poll_on() -> None:
        looks.append(len(looks) + 3)
        world.has(f"phone-{looks[-1]}")
        world.poll()

    between_readings(monkeypatch, poll_on)
    assert digests.send_digests(world.store, world.way, policies, lambda: world.now) == 1
    assert len(looks) == 4, "once for its time, once for what is beside the numbers, once for each environment"
    (message,) = world.take(MORNING)
    (digest,) = [one for one in message.alerts if one.kind == "digest.sent"]
    assert digest.headline.startswith("digest: 5 new")
    assert [one.kind for one in message.alerts].count("number.added") == 5, "and all that it counts came with it"


def test_who_was_still_looking_when_another_sent_the_digest_sends_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.turn()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    other = opened(world.path)
    told: list[int] = []
    between_readings(monkeypatch, lambda: told.append(digests.send_digests(other, world.way, {}, lambda: world.now)))
    assert digests.send_digests(world.store, world.way, {}, lambda: world.now) == 0
    other.close()
    assert told == [1, 0]
    assert kinds(world.new()) == ["digest.sent"]


def test_who_was_paused_for_hours_before_its_turn_sends_no_second_digest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.way = Routing(channels=(replace_channel(MORNING, digest_when_empty=True),))
    world.turn()
    world.now = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
    other = opened(world.path)
    real = world.store.transaction

    @contextmanager
    def after_a_pause() -> Iterator[Transaction]:
        monkeypatch.setattr(world.store, "transaction", real)
        assert digests.send_digests(other, world.way, {}, lambda: world.now) == 1
        world.now += timedelta(hours=3)
        with real() as tx:
            yield tx

    monkeypatch.setattr(world.store, "transaction", after_a_pause)
    assert digests.send_digests(world.store, world.way, {}, lambda: world.now) == 0
    other.close()
    assert kinds(world.new()) == ["digest.sent"]
    assert world.after(minutes=1) == []


def test_of_all_incidents_and_flaps_only_those_are_read_that_time_made_due(world: World) -> None:
    """What the database leaves out is what the rules would: with many thousands open, each turn reads a few."""
    now, escalation = T0, Escalation(after="4h", channels=("boss",))
    reminders = Reminders(critical_every="1d", warning_every="2d", max_times=3)
    way = Routing(channels=(CHAT, BOSS), reminders=reminders, escalation=escalation)
    suppressors = (None, "silence:1", "silence:2", "lapse", "flapping", f"nobody:{way.mark}", "rule:of another time")
    active = [Silence(pk=2, match=ONE, kinds=(), starts_at=now - DAY, ends_at=now + DAY, author="ops", comment="works")]
    told = (None, now - DAY + H / 3600, now - DAY, now - 2 * DAY)
    made = {
        Key(place, "", f"incident {count}"): Incident(
            id=count + 10,
            name=f"i{count}",
            alert_id=count,
            kind="number.suspended",
            severity=severity,
            rank=0,
            opened_at=now - 3 * DAY,
            notified_at=told_at,
            reminded=reminded,
            suppressed=suppressor and reasons.AsWritten(suppressor),
            suppressor=suppressor and Suppressor(suppressor),
            ack=ack,
            urgent_at=urgent_at,
            escalated_at=escalated_at,
        )
        for count, (place, severity, told_at, reminded, suppressor, ack, urgent_at, escalated_at) in enumerate(
            product(
                ("here", "gone"),
                Severity,
                told,
                (0, 3),
                suppressors,
                (None, Acknowledgement(at=now, by="ops", rank=0)),
                (None, now - 4 * H + H / 3600, now - 4 * H),
                (None, now),
            )
        )
    }
    of_lapsing = Incident(
        id=1,
        name="l",
        alert_id=1,
        kind="renewal.upcoming",
        severity=Severity.warning,
        rank=0,
        opened_at=now,
        suppressor=suppression.LAPSE,
    )
    made |= {
        Key("production", number, kind): replace(of_lapsing, id=pk, kind=kind)
        for pk, (number, kind) in enumerate(
            product(("phone-1", "phone-2"), ("renewal.upcoming", "number.suspended")), start=2
        )
    }
    world.has("phone-1")
    world.has("phone-2")
    world.poll()
    absence = Incident(
        id=9,
        name="a",
        alert_id=1,
        kind="number.missing",
        severity=Severity.critical,
        rank=0,
        opened_at=T0,
        notified_at=now,
    )
    quiet = {Key("here", "", str(ago)): Flap((now - 3 * DAY, now - ago)) for ago in (H, DAY - H / 3600, DAY, 2 * DAY)}
    with world.store.transaction() as tx:
        for name in ("here", "gone"):
            environment_state(tx, name)
        put_lapse(tx, fleet_of(tx, environment_state(tx, "production")[0])["phone-1"], "ops", "goes", now)
        keep_incidents(tx, {**made, Key("gone", "", "presence"): absence}, now)
        keep_flaps(tx, quiet)
        known = Situation(silences=active, lapses=list_lapsing(tx))
        found = due_incidents(tx, active, way, now)
        assert found == {key: made[key] for key in found}
        assert found.keys() == {
            key
            for key, one in made.items()
            if key.environment != "gone" and incidents.is_due(key, one, known, way, now)
        }
        assert [key[1:] for key in found if key.environment == "production"] == [
            ("phone-1", "number.suspended"),
            ("phone-2", "number.suspended"),
            ("phone-2", "renewal.upcoming"),
        ]
        assert 0 < len(found) < len(made) / 2
        assert flaps_of(tx, until=now - flaps.settles_after(way)).keys() == {
            key for key, flap in quiet.items() if flaps.has_settled(flap, way, now)
        }
