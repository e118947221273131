"""One incident on on-call services: opened, acknowledged, open again by getting worse, resolved; whatever breaks on the way."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import databases
import pytest
from commands import call
from conftest import T0, Clock
from databases import BOTH, copied, opened, section
from oncall_services import BASIC, KEY, StandIn, alertmanager, stand_in
from receivers import Answer, http_receiver
from watched import Watched, one

from renewal_watch.channels.direct import message_of
from renewal_watch.channels.pager import Pager
from renewal_watch.channels.senders import sender_of
from renewal_watch.daemon.trouble import Trouble
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.message.render import test_alert as trial
from renewal_watch.notify.retry import BACKOFF_LONGEST
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch, oncall
from renewal_watch.operations.dispatch import Outlet, Sent
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.web import Web
from renewal_watch.store.incidents.incidents import (
    acknowledge_incidents,
    close_incidents,
    incidents_of,
    take_back_acknowledgements,
)
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.deliveries import LEASE
from renewal_watch.store.outbox.settling import stand_in as tell_fallback
from renewal_watch.store.outbox.waiting import failing_channels
from renewal_watch.timed import follow_up

pytestmark = BOTH

MINUTE = timedelta(minutes=1)
STAND_INS = ("pagerduty", "opsgenie", "jira", "goalert")
WARNS = {"pagerduty": "warning", "opsgenie": "P3", "jira": "P3", "goalert": ""}
ALARMS = {"pagerduty": "critical", "opsgenie": "P1", "jira": "P3", "goalert": ""}  # Jira keeps the first
ACKNOWLEDGED = {"goalert": "open"}  # it takes none
REOPENED = {"opsgenie": "open", "goalert": "open"}  # the others add to what is acknowledged


class House:
    """A database, a clock, and an on-call service among the channels."""

    def __init__(self, path: Path, *channels: Channel, now: datetime = T0) -> None:
        self.path = path
        self.now = now
        self.store = opened(path)
        self.routing = Routing(channels=channels, web=Web(public_url="https://watch.example.org"))
        self.outlets = {one.name: Outlet(channel=one, sender=sender_of(one, self.clock)) for one in channels}
        self.count = 0

    def clock(self) -> datetime:
        return self.now

    def tell(self, severity: Severity = Severity.warning, *, ends: bool = False, **more: Any) -> None:
        """What a poll found."""
        self.count += 1
        alert = Alert(
            key=f"production/renewal.upcoming/phone-1/{self.count}",
            kind="renewal.renewed" if ends else "renewal.upcoming",
            severity=Severity.info if ends else severity,
            environment="production",
            facts=Written(f"headline {self.count}", f"Sentence {self.count}."),
            topic="renewal",
            ends=ends,
        )
        with self.store.transaction() as tx:
            record_alerts(tx, [replace(alert, **more)], self.routing, self.now)

    def run(self, name: str = "pager") -> Sent:
        return dispatch.run_once(self.store, self.outlets[name], self.routing, self.clock, pause=lambda _: None)

    def turn(self, length: timedelta = MINUTE, name: str = "pager") -> Sent:
        """Time passes: what it made due, and what the channel sends then."""
        self.now += length
        follow_up.run_once(self.store, self.routing, {}, self.now)
        return self.run(name)

    def change(self, how: Callable[..., object], *more: Any) -> None:
        """What a person does to all that is open."""
        with self.store.transaction() as tx:
            how(tx, incidents_of(tx), *more)

    def acknowledge(self) -> None:
        self.change(acknowledge_incidents, "ann", self.now)

    def take_back(self) -> None:
        self.change(take_back_acknowledgements, self.now)

    def rows(self) -> list[dict[str, Any]]:
        return databases.rows(self.path, "SELECT * FROM oncall_states ORDER BY incident_id")

    def states(self) -> list[str]:
        return [row["state"] for row in databases.rows(self.path, "SELECT state FROM deliveries ORDER BY id")]

    def forget_incidents(self) -> None:
        databases.changed(self.path, "DELETE FROM incidents")


def pager(address: str, service: str, **more: Any) -> Channel:
    given: dict[str, Any] = {"key": KEY} | more
    return Channel(name="pager", service=service, address=address, **given)  # type: ignore[arg-type]


@pytest.fixture
def house(tmp_path: Path, empty: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(*channels: Channel, **more: Any) -> House:
        path = tmp_path / "renewal-watch.db"
        copied(empty, path)
        made.append(House(path, *channels, **more))
        return made[-1]

    yield build
    for built in made:
        for outlet in built.outlets.values():
            outlet.sender.close()  # type: ignore[attr-defined]
        built.store.close()


@pytest.fixture(params=STAND_INS)
def there(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    with stand_in(request.param) as service:
        yield service


@pytest.fixture
def pagerduty() -> Iterator[StandIn]:
    with stand_in("pagerduty") as service:
        yield service


# --- the whole life ---------------------------------------------------------------------------------------------------


def test_one_incident_from_trigger_to_resolve(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    watch.tell()
    assert watch.run().sent == 1
    assert (there.only.state, there.only.urgency) == ("open", WARNS[there.service])
    watch.acknowledge()
    watch.turn()
    assert there.only.state == ACKNOWLEDGED.get(there.service, "acknowledged")
    watch.now += MINUTE
    watch.tell(Severity.critical)
    assert watch.run().sent == 1
    assert there.only.state == REOPENED.get(there.service, "acknowledged")
    assert there.only.urgency == ALARMS[there.service]
    assert there.only.summary == "headline 2"
    watch.now += MINUTE
    watch.tell(ends=True)
    watch.run()
    assert there.only.state == "resolved"
    assert there.refused == []
    assert watch.rows() == [], "nothing is kept of what is over"
    assert watch.states() == ["sent"] * 3
    before = len(there.web.requests)
    watch.turn()
    assert len(there.web.requests) == before, "and nothing is told any more"


def test_the_real_alertmanager_sees_the_same(tmp_path: Path, house: Callable[..., House]) -> None:
    with alertmanager(tmp_path) as there:
        watch = house(pager(there.address, "alertmanager", key=BASIC), now=datetime.now(UTC))
        watch.tell()
        watch.run()
        (alert,) = there.alerts()
        assert alert["labels"] == {
            "alertname": "RenewalWatchRenewal",
            "environment": "production",
            "incident": "production/renewal.upcoming/phone-1/1",
            "severity": "warning",
            "source": "renewal-watch",
        }
        assert alert["annotations"]["summary"] == "headline 1"
        assert alert["annotations"]["description"] == "Sentence 1."
        assert alert["generatorURL"].startswith("https://watch.example.org/incidents?incident=production")
        watch.acknowledge()
        watch.run()
        assert there.states() == [("warning", "suppressed")]
        (silence,) = there.silences()
        assert silence["createdBy"] == "ann"
        watch.tell(Severity.critical)
        watch.run()
        assert there.states() == [("critical", "active")], "under its new severity, and as one"
        assert there.silences() == []
        watch.tell(ends=True)
        watch.run()
        assert there.states() == []
        assert watch.rows() == []


def test_what_holds_is_kept_fresh_in_alertmanager(tmp_path: Path, house: Callable[..., House]) -> None:
    with alertmanager(tmp_path, prefix="") as there:
        watch = house(pager(there.address, "alertmanager", key=None), now=datetime.now(UTC))
        watch.tell()
        watch.run()
        (first,) = there.alerts()
        assert datetime.fromisoformat(first["endsAt"]) - watch.now == pytest.approx(30 * MINUTE, abs=MINUTE)
        watch.acknowledge()
        watch.run()
        (silence,) = there.silences()
        assert watch.turn(MINUTE) == Sent(), "it is fresh"
        assert [one["endsAt"] for one in there.silences()] == [silence["endsAt"]]
        watch.turn(5 * MINUTE)
        (later,), (longer,) = there.alerts(), there.silences()
        assert later["endsAt"] > first["endsAt"]
        assert later["fingerprint"] == first["fingerprint"]
        assert longer["endsAt"] > silence["endsAt"]
        assert longer["id"] == silence["id"], "one silence, made longer"


def test_told_again_after_a_lost_answer_alertmanager_has_one(tmp_path: Path, house: Callable[..., House]) -> None:
    """Nobody knows whether it was taken: the alert is the same by its labels, the silence is found again."""
    with alertmanager(tmp_path) as there:
        watch = house(pager(there.address, "alertmanager"), now=datetime.now(UTC))
        watch.tell()
        watch.acknowledge()
        watch.run()
        (silence,) = there.silences()
        databases.changed(watch.path, "UPDATE oncall_states SET told_at = NULL, state = 'open'")
        assert watch.run().sent == 1
        assert there.states() == [("warning", "suppressed")]
        assert [one["id"] for one in there.silences()] == [silence["id"]]
        databases.changed(watch.path, "UPDATE oncall_states SET told_at = NULL, state = 'open'")
        watch.take_back()
        watch.run()
        assert (there.states(), there.silences()) == ([("warning", "active")], [])


def test_a_silence_that_people_made_is_theirs(tmp_path: Path, house: Callable[..., House]) -> None:
    with alertmanager(tmp_path) as there:
        watch = house(pager(there.address, "alertmanager"), now=datetime.now(UTC))
        watch.tell()
        watch.run()
        there.amtool_says(
            "silence", "add", "--author=bob", "--comment=mine", 'incident="production/renewal.upcoming/phone-1/1"'
        )
        watch.acknowledge()
        watch.run()
        assert sorted(one["createdBy"] for one in there.silences()) == ["ann", "bob"]
        watch.tell(ends=True)
        watch.run()
        assert [one["createdBy"] for one in there.silences()] == ["bob"]


# --- what breaks on the way -------------------------------------------------------------------------------------------


def test_an_answer_that_is_lost_makes_no_second_incident(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    there.loses = 1
    watch.tell()
    assert watch.run().failed == 1
    assert there.only.state == "open", "it was taken"
    assert watch.turn().sent == 1
    assert there.only.times == 2, "told again, of the same"
    there.loses = 1
    watch.acknowledge()
    watch.turn()
    watch.turn(2 * MINUTE)
    assert there.only.state == ACKNOWLEDGED.get(there.service, "acknowledged")
    there.loses = 1
    watch.tell(ends=True)
    watch.run()
    watch.turn(2 * MINUTE)
    assert there.only.state == "resolved"
    assert watch.rows() == []


def test_a_late_retry_opens_nothing_that_is_over(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    there.loses = 1
    watch.tell()
    watch.run()
    watch.now += timedelta(seconds=5)  # the first waits in back-off, the second does not
    watch.tell(ends=True)
    assert watch.run().sent == 1
    assert there.only.state == "resolved"
    watch.turn(2 * MINUTE)
    assert watch.states() == ["sent", "sent"]
    assert there.only.acts == ["open", "resolved"], "the old alert says what is so now: nothing"


def test_what_was_over_before_the_service_heard_of_it_is_not_told(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    watch.tell()
    watch.tell(ends=True)
    assert watch.run().sent == 2
    assert there.web.requests == []
    targets = {row["target"] for row in databases.rows(watch.path, "SELECT target FROM deliveries")}
    assert targets == {oncall.NO_REQUEST}, "the audit log does not say that anybody was notified there"


def test_what_was_told_has_the_host_of_the_service(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    watch.tell()
    watch.run()
    (row,) = databases.rows(watch.path, "SELECT target FROM deliveries")
    assert row["target"] == f"http://127.0.0.1:{there.web.port}"


@pytest.mark.parametrize("status", [429, 500])
def test_trouble_is_retried_when_the_service_says(there: StandIn, house: Callable[..., House], status: int) -> None:
    watch = house(pager(there.address, there.service))
    there.answers = [Answer(status, b"later", {"Retry-After": "600"})]
    watch.tell()
    assert watch.run().failed == 1
    assert watch.turn(9 * MINUTE) == Sent(), "it waits as long as it was asked to"
    assert watch.turn(2 * MINUTE).sent == 1
    assert there.only.times == 1
    there.answers = [Answer(status, b"later", {"Retry-After": "600"})]
    watch.now += MINUTE
    watch.change(lambda tx, those: close_incidents(tx, list(those), watch.now))
    assert watch.run().failed == 1
    (row,) = watch.rows()
    assert f"HTTP {status}: later" in row["last_error"]
    assert watch.turn(9 * MINUTE) == Sent()
    watch.turn(2 * MINUTE)
    assert there.only.state == "resolved"


def test_who_asks_to_be_left_alone_is_asked_no_more_in_this_turn(
    pagerduty: StandIn, house: Callable[..., House]
) -> None:
    watch = house(pager(pagerduty.address, "pagerduty"))
    for topic in ("renewal", "status", "price"):
        watch.tell(topic=topic)
    pagerduty.answers = [Answer(429, b"later", {"Retry-After": "600"})]
    assert watch.run() == Sent(failed=1)
    assert len(pagerduty.web.requests) == 1


def test_what_changed_without_a_message_waits_for_no_long_queue(
    pagerduty: StandIn, house: Callable[..., House]
) -> None:
    watch = house(pager(pagerduty.address, "pagerduty"))
    watch.tell()
    watch.run()
    watch.acknowledge()
    for topic in ("status", "price", "presence", "capability", "auto_renewal", "release"):
        watch.tell(topic=topic)
    seconds = itertools.count(0, 15)  # from each look at the clock to the next
    outlet = watch.outlets["pager"]
    dispatch.run_once(watch.store, outlet, watch.routing, watch.clock, monotonic=lambda: float(next(seconds)))
    acts = [one.json["event_action"] for one in pagerduty.web.requests]
    assert acts.count("trigger") == len(watch.rows()) > 5
    assert "trigger" in acts[acts.index("acknowledge") :], "and not after them all"


def test_what_the_service_refuses_is_said_without_the_key(pagerduty: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(pagerduty.address, "pagerduty", key="AnotherKeyThatIsNotTheRightOne12"))
    watch.tell()
    pagerduty.answers = [Answer(400, b'{"message": "no such key: AnotherKeyThatIsNotTheRightOne12"}')]
    watch.run()
    (row,) = databases.rows(watch.path, "SELECT last_error FROM deliveries")
    assert "answered HTTP 400" in row["last_error"]
    assert "no such key: ∗∗∗" in row["last_error"]
    assert "AnotherKey" not in str(databases.rows(watch.path, "SELECT * FROM oncall_states"))


def test_what_cannot_be_told_without_a_message_makes_the_channel_fail(
    pagerduty: StandIn, house: Callable[..., House]
) -> None:
    other = Channel(name="ops", command=("/bin/true",))
    watch = house(pager(pagerduty.address, "pagerduty"), other)
    watch.tell()
    watch.run()
    watch.acknowledge()
    pagerduty.answers = [Answer(500)] * 20
    for _ in range(8):
        watch.turn(10 * MINUTE)
    with watch.store.reading() as tx:
        assert "HTTP 500" in failing_channels(tx)["pager"][1]
    told = databases.rows(watch.path, "SELECT kind FROM alerts ORDER BY id")
    assert [row["kind"] for row in told].count("channel.failing") == 1
    pagerduty.answers = []
    watch.turn(2 * BACKOFF_LONGEST)
    assert pagerduty.open("production/renewal.upcoming/phone-1/1").state == "acknowledged"  # type: ignore[union-attr]
    with watch.store.reading() as tx:
        assert failing_channels(tx) == {}


def test_killed_between_send_and_mark_there_is_no_second_incident(
    there: StandIn, house: Callable[..., House], tmp_path: Path
) -> None:
    """What the next life finds is a row that says that the service may know."""
    watch = house(pager(there.address, there.service), now=datetime.now(UTC))
    watch.tell()
    config = tmp_path / "config.toml"
    config.touch(mode=0o600)
    environment = 'name = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_made_up"\n'
    channel = f'name = "pager"\nservice = "{there.service}"\naddress = "{there.address}"\nkey = "{KEY}"\n'
    config.write_text(
        f'state_dir = "{tmp_path}"\n{section(watch.path)}[[environments]]\n{environment}[[channels]]\n{channel}'
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "renewal_watch", "--config", str(config), "send"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    there.after = child.kill
    assert child.wait(timeout=60) == -signal.SIGKILL
    assert there.only.state == "open"
    (row,) = watch.rows()
    assert row["told_at"] is None
    watch.tell(ends=True)  # before the lease of the first message is over
    watch.run()
    assert there.only.state == "resolved"
    watch.turn(LEASE + MINUTE)
    assert there.only.acts == ["open", "resolved"]
    assert (watch.rows(), watch.states()) == ([], ["sent", "sent"])


def test_killed_again_and_again_it_stays_one(
    there: StandIn, house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = house(pager(there.address, there.service))
    watch.tell()

    class Killed(BaseException):
        pass

    def dies(*_: object) -> None:
        raise Killed

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(oncall.oncall, "note_told", dies)
            with pytest.raises(Killed):
                watch.run()
        watch.now += LEASE + MINUTE
    watch.run()
    assert there.only.state == "open"
    assert there.only.times == 4
    watch.acknowledge()
    with monkeypatch.context() as patch:
        patch.setattr(oncall.oncall, "note_told", dies)
        with pytest.raises(Killed):
            watch.run()
    watch.turn(LEASE + MINUTE)
    watch.tell(ends=True)
    watch.run()
    assert there.only.state == "resolved"


# --- what changes without a message -----------------------------------------------------------------------------------


def test_taken_back_is_open_again(pagerduty: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(pagerduty.address, "pagerduty"))
    watch.tell()
    watch.run()
    watch.acknowledge()
    watch.turn()
    watch.take_back()
    assert watch.turn().sent == 1
    assert pagerduty.only.acts == ["open", "acknowledged", "open"]


def test_in_quiet_hours_nobody_is_called_again(pagerduty: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(pagerduty.address, "pagerduty", quiet_hours=("13:00-15:00",)))  # it is noon
    watch.tell()
    watch.run()
    watch.acknowledge()
    watch.turn(65 * MINUTE)
    assert pagerduty.only.acts == ["open", "acknowledged"], "to be told that somebody cares disturbs nobody"
    watch.take_back()
    watch.turn()
    assert len(pagerduty.only.acts) == 2
    watch.turn(timedelta(hours=2))
    assert pagerduty.only.acts == ["open", "acknowledged", "open"]


def test_what_is_silenced_bothers_nobody_and_comes_back(pagerduty: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(pagerduty.address, "pagerduty"))
    watch.tell()
    watch.run()
    databases.changed(watch.path, "UPDATE incidents SET suppressor = 'silence:1', suppressed = 'silenced'")
    watch.run()
    assert pagerduty.only.state == "acknowledged"
    databases.changed(watch.path, "UPDATE incidents SET suppressor = NULL, suppressed = NULL")
    watch.run()
    assert pagerduty.only.acts == ["open", "acknowledged", "open"]


def test_resolved_without_a_word_is_resolved(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    watch.tell()
    watch.run()
    watch.change(lambda tx, those: close_incidents(tx, list(those), watch.now))
    watch.turn()
    assert (there.only.state, watch.rows(), there.refused) == ("resolved", [], [])


def test_an_incident_that_was_deleted_is_over(there: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(there.address, there.service))
    watch.tell()
    watch.run()
    watch.forget_incidents()
    watch.run()
    assert (there.only.state, watch.rows(), there.refused) == ("resolved", [], [])


def test_one_that_was_deleted_is_over_in_alertmanager_as_well(tmp_path: Path, house: Callable[..., House]) -> None:
    with alertmanager(tmp_path) as there:
        watch = house(pager(there.address, "alertmanager"), now=datetime.now(UTC))
        watch.tell()
        watch.acknowledge()
        watch.run()
        assert there.states() == [("warning", "suppressed")], "silenced before it could be heard"
        watch.forget_incidents()
        watch.run()
        assert (there.states(), there.silences(), watch.rows()) == ([], [], [])


def test_another_service_in_the_same_channel_is_told_what_is_open(house: Callable[..., House]) -> None:
    with stand_in("pagerduty") as old, stand_in("opsgenie") as new:
        watch = house(pager(old.address, "pagerduty"))
        watch.tell()
        watch.run()
        other = pager(new.address, "opsgenie")
        watch.routing = replace(watch.routing, channels=(other,))
        watch.outlets["pager"] = Outlet(channel=other, sender=sender_of(other, watch.clock))
        watch.turn()
        assert new.only.state == "open"
        assert new.refused == []


def test_a_reminder_opens_again_what_was_closed_there(pagerduty: StandIn, house: Callable[..., House]) -> None:
    watch = house(pager(pagerduty.address, "pagerduty"))
    watch.tell(Severity.critical)
    watch.run()
    pagerduty.only.state = "resolved"  # by hand, while it still holds
    watch.tell(Severity.critical, nature="reminder")
    watch.run()
    assert [one.state for _, one in pagerduty.incidents] == ["resolved", "open"]


# --- who is told of what ----------------------------------------------------------------------------------------------


def test_what_would_never_end_is_not_told(pagerduty: StandIn, house: Callable[..., House]) -> None:
    """An event that opens no incident: the other channels have it; where there is none, it says that nobody has."""
    other = Channel(name="ops", command=("/bin/true",))
    watch = house(pager(pagerduty.address, "pagerduty"), other)
    watch.tell(Severity.info, kind="number.added", topic="")
    told = databases.rows(watch.path, "SELECT channel FROM deliveries")
    assert [row["channel"] for row in told] == ["ops"]
    watch.routing = replace(watch.routing, channels=(watch.routing.channels[0],))
    watch.tell(Severity.info, kind="number.added", topic="")
    hidden = databases.rows(watch.path, "SELECT hidden FROM alerts ORDER BY id")
    assert [row["hidden"] for row in hidden] == [None, "no channel takes it"]


def test_as_a_fallback_it_is_given_incidents_only(pagerduty: StandIn, house: Callable[..., House]) -> None:
    broken = Channel(name="ops", command=("/bin/false",), fallback="pager", fallback_after="1m")
    watch = house(pager(pagerduty.address, "pagerduty", by_rule_only=True), broken)
    watch.tell(Severity.info, kind="number.added", topic="")
    watch.tell()
    watch.run("ops")
    watch.now += 2 * MINUTE
    with watch.store.transaction() as tx:
        assert tell_fallback(tx, broken, watch.routing, watch.now) == 2
    watch.run()
    assert [key for key, _ in pagerduty.incidents] == ["production/renewal.upcoming/phone-1/2"]


def of_channel(service: StandIn, more: str = "") -> str:
    return f'[[channels]]\nname = "pager"\nservice = "{service.service}"\naddress = "{service.address}"\nkey = "{KEY}"\n{more}'


def send(watched: Watched, at: datetime) -> Sent:
    (channel,) = watched.settings.channels
    outlet = Outlet(channel=channel, sender=sender_of(channel, lambda: at))
    try:
        return dispatch.run_once(watched.store, outlet, Routing.of(watched.settings), lambda: at)
    finally:
        outlet.sender.close()  # type: ignore[attr-defined]


def test_what_a_poll_finds_says_what_it_is_about(pagerduty: StandIn, tmp_path: Path) -> None:
    watched = Watched(tmp_path, of_channel(pagerduty) + '[web]\npublic_url = "https://watch.example.org"\n')
    watched.poll(one(1, 2))
    send(watched, T0)
    said = pagerduty.web.requests[0].json
    assert said["dedup_key"] == "production/renewal.upcoming/phone-1/2026-11-25/3"
    assert said["links"] == [{"href": "https://watch.example.org/numbers/production/phone-1", "text": "renewal-watch"}]
    payload = said["payload"]
    assert (payload["source"], payload["group"]) == ("production", "production")
    assert (payload["component"], payload["class"]) == ("+15550000001", "renewal.upcoming")
    assert payload["summary"].startswith("+15550000001 will be lost in 2 days")
    assert payload["custom_details"]["what to do"] == "switch auto-renewal on, or renew it"
    watched.poll(one(1, 30, renewal_date="2026-12-25"), at=T0 + timedelta(days=2))
    send(watched, T0 + timedelta(days=2))
    assert pagerduty.only.state == "resolved"


@pytest.mark.parametrize(
    ("provider_id", "written"),
    [("+15550001234", "+15550001234"), ("15550001234", "+1 (555) 000-1234"), ("tel-1-555-000-1234", "+15550001234")],
)
def test_masked_numbers_are_in_nothing_that_is_sent(
    there: StandIn, tmp_path: Path, provider_id: str, written: str
) -> None:
    """The id of the number is the number, so that the key would tell it, however either is written."""
    watched = Watched(tmp_path, of_channel(there, "mask_numbers = true\n"))
    number = {"id": provider_id, "number": written}
    watched.poll(one(1, 2) | number)
    send(watched, T0)
    watched.poll(one(1, 30, renewal_date="2026-12-25") | number, at=T0 + timedelta(days=2))
    send(watched, T0 + timedelta(days=2))
    assert there.only.state == "resolved"
    sent = b"".join(unquote_plus(f"{one.body.decode()}{one.path}").encode() for one in there.web.requests)
    for shown in (provider_id, written, "15550001234", "5550001234"):
        assert shown.encode() not in sent
    assert "•••" in there.only.summary


def test_a_test_is_over_at_once(there: StandIn) -> None:
    channel = pager(there.address, there.service)
    sender = Pager(channel, lambda: T0)
    sender.send(lambda limits: message_of(trial("pager", T0), channel, "rw-1", T0, limits, is_test=True))
    sender.close()
    assert (there.only.state, there.only.acts, there.refused) == ("resolved", ["open", "resolved"], [])


def test_the_last_resort_opens_one_and_ends_it(there: StandIn) -> None:
    channel = pager(there.address, there.service)
    alert = replace(trial("pager", T0), severity=Severity.critical)
    sender = Pager(channel, lambda: T0)
    sender.send(lambda limits: message_of(alert, channel, "rw-1", T0, limits))
    assert there.only.state == "open"
    sender.end(lambda limits: message_of(alert, channel, "rw-1", T0, limits))
    sender.close()
    assert there.only.state == "resolved"


def test_the_daemon_s_last_resort_is_over_when_the_database_is_back(there: StandIn) -> None:
    trouble = Trouble(lambda: [pager(there.address, there.service)], lambda: T0)
    trouble.tell_directly("disk full")
    assert there.only.state == "open"
    trouble.tell_over()
    assert (there.only.state, there.refused) == ("resolved", [])
    trouble.tell_over()
    assert there.only.acts == ["open", "resolved"]


def test_what_is_kept_of_a_channel_that_is_no_more_goes_with_the_incident(
    pagerduty: StandIn, house: Callable[..., House]
) -> None:
    watch = house(pager(pagerduty.address, "pagerduty"))
    watch.tell()
    watch.run()
    for limit, is_kept in ((T0 + MINUTE, True), (T0 - MINUTE, True)):
        with watch.store.transaction() as tx:
            oncall.oncall.forget_gone(tx, limit)
        assert bool(watch.rows()) == is_kept
    watch.forget_incidents()
    for limit, is_kept in ((T0 - MINUTE, True), (T0 + MINUTE, False)):
        with watch.store.transaction() as tx:
            oncall.oncall.forget_gone(tx, limit)
        assert bool(watch.rows()) == is_kept


def test_an_address_that_is_another_program_is_said(house: Callable[..., House]) -> None:
    with stand_in("goalert") as other:
        other.answers = [Answer(200, b"<html>hello</html>")] * 2
        channel = pager(other.address, "alertmanager")
        watch = house(channel)
        watch.tell()
        watch.acknowledge()
        watch.run()
        (row,) = databases.rows(watch.path, "SELECT last_error FROM deliveries")
        assert row["last_error"].endswith("answered with what alertmanager does not say; look at address")


# --- the commands -----------------------------------------------------------------------------------------------------


def test_send_tells_what_changed_without_a_message(pagerduty: StandIn, tmp_path: Path) -> None:
    watched = Watched(tmp_path, of_channel(pagerduty))
    watched.poll(one(1, 2))
    clock = Clock()
    said = call(watched.path, "send", clock=clock, secrets=(KEY,)).output
    assert "pager: 1 sent" in said
    assert pagerduty.only.state == "open"
    call(watched.path, "ack", "phone-1", clock=clock)
    assert "pager: 1 sent" in call(watched.path, "send", clock=clock).output
    assert pagerduty.only.state == "acknowledged"
    requests = len(pagerduty.web.requests)
    assert "pager" not in call(watched.path, "send", clock=clock).output
    assert len(pagerduty.web.requests) == requests


def test_what_could_not_be_told_fails_the_command_and_shows_in_doctor(pagerduty: StandIn, tmp_path: Path) -> None:
    watched = Watched(tmp_path, of_channel(pagerduty))
    watched.poll(one(1, 2))
    clock = Clock()
    call(watched.path, "send", clock=clock)
    call(watched.path, "ack", "phone-1", clock=clock)
    pagerduty.answers = [Answer(400, f'{{"message": "no {KEY}"}}'.encode())]
    failed = call(watched.path, "send", clock=clock, code=1, secrets=(KEY,)).output
    assert "pager: 0 sent, 1 not delivered, tried again later" in failed
    said = call(watched.path, "doctor", clock=clock, code=1, secrets=(KEY,)).output
    assert "channel pager: how 1 incident stands could not be told" in said
    assert "HTTP 400" in said
    assert f"channel pager: tells pagerduty at 127.0.0.1:{pagerduty.web.port} how each incident stands" in said


def test_the_command_that_tries_a_channel(there: StandIn, tmp_path: Path) -> None:
    watched = Watched(tmp_path, of_channel(there))
    assert "pager: sent" in call(watched.path, "test-channel", "pager", secrets=(KEY,)).output
    assert (there.only.state, there.refused) == ("resolved", [])
    there.answers = [Answer(500, b"down")]
    assert "HTTP 500: down" in call(watched.path, "test-channel", "pager", code=1, secrets=(KEY,)).output
    assert "***" in call(watched.path, "config", "show", secrets=(KEY,)).output


# --- hooks are told the incident as well ------------------------------------------------------------------------------


def test_a_hook_is_told_how_the_incident_stands_when_it_is_sent(tmp_path: Path) -> None:
    with http_receiver() as web:
        watched = Watched(tmp_path, f'[[channels]]\nname = "hook"\nwebhook = "http://127.0.0.1:{web.port}/in"\n')
        watched.poll(one(1, 2))
        watched.poll(one(1, 30, renewal_date="2026-12-25"), at=T0 + timedelta(days=2))
        watched.poll(one(1, 29, renewal_date="2026-12-25"), one(2, 30), at=T0 + timedelta(days=3))
        send(watched, T0 + timedelta(days=3))
        said = [request.json for request in web.requests]
    incident = {
        "key": "production/renewal.upcoming/phone-1/2026-11-25/3",
        "state": "resolved",
        "opened_at": "2026-11-23T12:00:00Z",
    }
    told = {one["kind"]: one["incident"] for one in said}
    assert told == {"renewal.upcoming": incident, "renewal.renewed": incident, "number.added": None}
