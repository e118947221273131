"""Messages that wait on a real SQLite file: quiet hours, the cap of a channel, and what becomes one message.

``World.offers`` is what the outbox gives a channel and takes as sent; where the words of a message incident it goes through
the real sender to a receiver on loopback.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import T0
from databases import BOTH, opened, path_of
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from made_up import emptied
from receivers import Answer, HttpReceiver, http_receiver
from rounds import few
from sqlalchemy import update

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.database.schema import deliveries
from renewal_watch.database.store import Store
from renewal_watch.model.alerts import Alert, Delivery, Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.retry import GIVE_UP_AFTER
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch
from renewal_watch.reports import alerts
from renewal_watch.settings.channel import Channel
from renewal_watch.store.maintenance import integrity
from renewal_watch.store.outbox.alerts import list_alerts, record_alerts
from renewal_watch.store.outbox.deliveries import LEASE, claim
from renewal_watch.store.outbox.settling import release_claim, retry_deliveries, settle_failed, settle_sent
from renewal_watch.store.outbox.waiting import held_deliveries, next_due, outbox_counts, overdue_deliveries

pytestmark = BOTH

NOW = "at once"
OPS = Channel(name="ops", routine=NOW)
QUIET = Channel(name="ops", routine=NOW, quiet_hours=("22:00-07:00",))
INFO, WARNING, CRITICAL = Severity


def at(hour: int, minute: int = 0, second: int = 0, *, day: int = 23) -> datetime:
    """A time in November 2026; the 23rd is a Monday."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


class Undone(Exception):
    """Ends a transaction so that nothing of it happened."""


class World:
    """An outbox, emptied for each test, and a clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        emptied(store)
        self.now = T0
        self.channel = QUIET
        self.zone = "UTC"

    @property
    def way(self) -> Routing:
        return Routing(channels=(self.channel,), zone=self.zone)

    def tell(
        self, *texts: str, severity: Severity = WARNING, when: datetime | None = None, kind: str = "number.added"
    ) -> None:
        """What a poll does: one message of these alerts."""
        self.now = when or self.now
        found = [
            Alert(
                key=f"production/{kind}/{text}",
                kind=kind,
                severity=severity,
                environment="production",
                facts=Written(f"{text} happened", f"{text} happened."),
            )
            for text in texts
        ]
        with self.store.transaction() as tx:
            record_alerts(tx, found, self.way, self.now)

    def claim(self, store: Store | None = None) -> Delivery | None:
        with (store or self.store).transaction() as tx:
            return claim(tx, self.channel, self.zone, self.now)

    def fail(self, delivery: Delivery, error: str = "down") -> None:
        with self.store.transaction() as tx:
            assert settle_failed(tx, delivery, error, self.way, self.now, 0.5)

    def sent(self, delivery: Delivery, store: Store | None = None) -> None:
        with (store or self.store).transaction() as tx:
            assert settle_sent(tx, delivery, self.way, self.now)

    def offers(self, when: datetime | None = None) -> list[tuple[list[str], str]]:
        """All that may go now, taken as sent: the words of each message, and its note."""
        self.now = when or self.now
        found = []
        while (one := self.claim()) is not None:
            self.sent(one)
            found.append((words(one), one.note))
        return found

    def would_go(self, when: datetime) -> bool:
        """Whether a message would be given out then; nothing is changed."""
        found = False
        with contextlib.suppress(Undone), self.store.transaction() as tx:
            found = claim(tx, self.channel, self.zone, when) is not None
            raise Undone
        return found

    def due(self) -> datetime | None:
        with self.store.transaction() as tx:
            return next_due(tx, self.channel, self.zone, self.now)

    def held(self) -> dict[str, str]:
        """Why messages wait, by the words of their alerts."""
        with self.store.transaction() as tx:
            why = held_deliveries(tx, self.channel, self.zone, self.now)
            shown = list_alerts(tx)
        return {
            one["text"].partition(" ")[0]: f"{why[to['message_id']].until:%d %H:%M} {why[to['message_id']].why}"
            for one in shown
            for to in one["deliveries"]
            if to["message_id"] in why
        }

    def fates(self) -> dict[str, str]:
        """The state of each alert's delivery, as ``alerts`` shows it."""
        with self.store.transaction() as tx:
            return {one["text"].partition(" ")[0]: to["state"] for one in list_alerts(tx) for to in one["deliveries"]}

    def column(self, name: str) -> list[Any]:
        with self.store.transaction() as tx:
            rows = tx.connection.exec_driver_sql(f"SELECT {name} FROM deliveries ORDER BY id").all()
        return [row[0] for row in rows]


def words(delivery: Delivery) -> list[str]:
    """The first word of each alert of a message."""
    return sorted(alert.text.partition(" ")[0] for alert in delivery.alerts)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = opened(tmp_path_factory.mktemp("holding") / "watch.db")
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def world(files: Store) -> World:
    return World(files)


# --- quiet hours ------------------------------------------------------------------------------------------------------


def test_what_is_found_in_quiet_hours_comes_as_one_message_when_they_end(world: World) -> None:
    world.tell("before", when=at(21, 59))
    assert world.offers() == [(["before"], "")]
    world.tell("one", "two", when=at(22))
    world.tell("three", severity=INFO, when=at(23, 30))
    assert world.offers(at(23, 30)) == []
    world.tell("four", when=at(6, 59, day=24))
    assert world.offers(at(6, 59, 59, day=24)) == []
    assert world.offers(at(7, day=24)) == [(["four", "one", "three", "two"], "held back: quiet hours 22:00-07:00 UTC")]
    assert world.offers(at(23, day=24)) == []


def test_what_comes_after_the_quiet_hours_is_a_message_of_its_own(world: World) -> None:
    world.tell("night", when=at(3))
    world.tell("morning", when=at(7))
    assert world.offers() == [(["night"], "held back: quiet hours 22:00-07:00 UTC"), (["morning"], "")]


def test_what_was_found_before_the_quiet_hours_and_did_not_get_out_is_not_called_held(world: World) -> None:
    """Nothing ran between finding and sending."""
    world.tell("evening", when=at(21))
    world.tell("night", when=at(23))
    world.tell("later", when=at(23, 30))
    found = world.offers(at(9, day=24))
    assert found == [(["evening"], ""), (["later", "night"], "held back: quiet hours 22:00-07:00 UTC")]


@pytest.mark.parametrize(
    ("at_once", "severity", "goes"),
    [
        (True, CRITICAL, True),
        (True, WARNING, False),
        (True, INFO, False),
        (False, CRITICAL, False),
        (False, INFO, False),
    ],
)
def test_what_is_critical_passes_the_quiet_hours_unless_it_is_not_to(
    world: World, at_once: bool, severity: Severity, goes: bool
) -> None:
    world.channel = Channel(name="ops", routine=NOW, quiet_hours=("22:00-07:00",), critical_at_once=at_once)
    world.tell("held", when=at(22, 30))
    world.tell("urgent", severity=severity, when=at(23))
    assert world.offers() == ([(["urgent"], "")] if goes else [])
    rest = ["held"] if goes else ["held", "urgent"]
    assert world.offers(at(7, day=24)) == [(rest, "held back: quiet hours 22:00-07:00 UTC")]


def test_what_needs_nobody_comes_once_a_day_as_one_message(world: World) -> None:
    world.channel = Channel(name="ops", quiet_hours=("22:00-07:00",))
    world.tell("one", severity=INFO, when=at(10))
    assert world.offers(at(21)) == []
    world.tell("two", severity=INFO, when=at(23))
    world.tell("urgent", severity=CRITICAL, when=at(23, 30))
    assert world.offers() == [(["urgent"], "")]
    world.tell("three", severity=WARNING, when=at(8, day=24))
    assert world.offers() == [(["three"], "")]
    assert world.offers(at(8, 59, day=24)) == []
    assert world.offers(at(9, day=24)) == [(["one", "two"], "held back: what needs nobody comes once a day")]
    world.tell("four", severity=INFO, when=at(9, day=24))
    assert world.due() == at(9, day=25)


def test_what_needs_nobody_comes_when_the_channel_says(world: World) -> None:
    world.channel = Channel(name="ops", routine="weekly mon 08:00", timezone="Europe/Berlin")
    world.tell("one", severity=INFO, when=at(10))
    assert world.due() == at(7, day=30)
    world.channel = OPS
    assert world.due() == at(10)


def test_the_end_of_what_somebody_was_told_of_is_no_routine(world: World) -> None:
    world.channel = Channel(name="ops")

    def about(key: str, severity: Severity, *, ends: bool = False) -> Alert:
        return Alert(
            key=key,
            kind="status.changed",
            severity=severity,
            environment="production",
            facts=Written(f"{key} happened", f"{key} happened."),
            topic="status",
            ends=ends,
        )

    for hour, alert, told in (
        (13, about("began", CRITICAL), [(["began"], "")]),
        (14, about("over", INFO, ends=True), [(["over"], "")]),
        (15, about("over again", INFO, ends=True), []),  # of which nobody knew
    ):
        with world.store.transaction() as tx:
            record_alerts(tx, [alert], world.way, at(hour))
        assert world.offers(at(hour)) == told


def test_messages_that_wait_for_their_time_are_not_overdue_and_those_after_it_are(world: World) -> None:
    world.channel = Channel(name="ops")
    world.tell("one", severity=INFO, when=at(10))
    world.tell("two", severity=INFO, when=at(8, day=25))
    with world.store.transaction() as tx:
        for now, late in ((at(8, 59, day=24), {}), (at(9, 10, day=24), {}), (at(9, 30, day=24), {"ops": 1})):
            assert overdue_deliveries(tx, [world.channel], "UTC", now, None) == late


def test_a_critical_alert_takes_the_others_of_its_poll_with_it(world: World) -> None:
    with world.store.transaction() as tx:
        world.now = at(23)
        found = [
            Alert(key=name, kind="x.y", severity=severity, environment="", facts=Written(name, f"{name} happened."))
            for name, severity in (("calm", INFO), ("urgent", CRITICAL))
        ]
        record_alerts(tx, found, world.way, world.now)
    assert world.offers() == [(["calm", "urgent"], "")], "they are one message"


def test_a_canary_and_a_digest_come_when_their_calendar_says(world: World) -> None:
    world.tell("bird", kind="canary.sent", when=at(23))
    world.tell("paper", kind="digest.sent")
    world.tell("other")
    assert world.offers() == [(["bird"], ""), (["paper"], "")]


@pytest.mark.parametrize(
    ("windows", "zone", "found", "until"),
    [
        (("22:00-07:00",), "UTC", at(22), at(7, day=24)),
        (("12:00-13:30",), "UTC", at(12), at(13, 30)),
        (("22:00-07:00",), "America/New_York", at(4), at(12)),  # five hours behind
        (("sat,sun 00:00-24:00",), "UTC", at(12, day=28), at(0, day=30)),
        (("22:00-07:00", "sat,sun 00:00-24:00"), "UTC", at(23, day=27), at(7, day=30)),  # Friday night to Monday
        (("mon-fri 09:00-17:00",), "Europe/Berlin", at(8), at(16)),
    ],
)
def test_a_message_goes_in_the_second_in_which_its_quiet_hours_end(
    world: World, windows: tuple[str, ...], zone: str, found: datetime, until: datetime
) -> None:
    world.channel = Channel(name="ops", quiet_hours=windows, timezone=zone)
    world.zone = "Asia/Tokyo"
    world.tell("one", when=found)
    assert world.due() == until
    assert not world.would_go(until - timedelta(seconds=1))
    assert world.would_go(until)
    assert world.held() == {"one": f"{until:%d %H:%M} quiet hours {', '.join(windows)} {zone}"}


def test_a_restart_within_the_quiet_hours_changes_nothing(world: World) -> None:
    world.tell("one", when=at(22, 30))
    with contextlib.closing(opened(path_of(world.store))) as again:
        world.now = at(23)
        assert world.claim(again) is None
        world.tell("two", when=at(23, 30))
        world.now = at(7, day=24)
        message = world.claim(again)
        assert message is not None
        assert words(message) == ["one", "two"]
        world.sent(message, again)
    assert world.offers() == []


def test_a_machine_that_was_off_when_the_quiet_hours_ended_sends_when_it_is_back(world: World) -> None:
    world.tell("one", when=at(22, 30))
    world.tell("two", when=at(22, 45))
    assert world.offers(at(15, day=25)) == [(["one", "two"], "held back: quiet hours 22:00-07:00 UTC")]


def test_nights_that_were_missed_are_one_message(world: World) -> None:
    world.tell("monday", when=at(23))
    world.tell("tuesday", when=at(23, day=24))
    assert [found for found, _ in world.offers(at(8, day=25))] == [["monday", "tuesday"]]


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(hours=5), timedelta(days=400)])
def test_a_clock_put_back_keeps_no_message_longer_than_the_quiet_hours_it_leads_to(
    world: World, back: timedelta
) -> None:
    world.tell("one", when=at(23, day=24))
    world.tell("two")
    world.now -= back
    came: list[str] = []
    for _ in range(30):
        came += [word for found, _ in world.offers() for word in found]
        world.now += timedelta(hours=1)
    assert sorted(came) == ["one", "two"]


def test_quiet_hours_taken_out_of_the_configuration_let_go_at_once(world: World) -> None:
    world.tell("one", when=at(23))
    assert world.offers() == []
    world.channel = OPS
    assert [found for found, _ in world.offers()] == [["one"]]


def test_a_held_message_says_that_it_was_held_and_all_that_is_in_it(
    world: World, web: HttpReceiver, sender: AppriseChannel
) -> None:
    world.tell("one", "two", when=at(23))
    world.tell("three", when=at(23, 30))
    outlet = dispatch.Outlet(channel=QUIET, sender=sender)
    assert dispatch.run_once(world.store, outlet, world.way, lambda: world.now).sent == 0
    world.now = at(7, day=24)
    assert dispatch.run_once(world.store, outlet, world.way, lambda: world.now).sent == 1
    (request,) = web.requests
    body = request.json["message"]
    assert all(f"• {word} happened." in body for word in ("one", "two", "three"))
    assert "held back: quiet hours 22:00-07:00 UTC" in body
    assert "delivered late" not in body, "it was meant"


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        yield made


@pytest.fixture
def web(receiver: HttpReceiver) -> HttpReceiver:
    receiver.answers(HttpReceiver.ok)
    return receiver


@pytest.fixture(scope="module")
def sender(receiver: HttpReceiver) -> Iterator[AppriseChannel]:
    made = AppriseChannel("ops", lambda: f"json://127.0.0.1:{receiver.port}/ops")
    yield made
    made.close()


# --- trouble and quiet hours ------------------------------------------------------------------------------------------


def test_a_message_in_back_off_when_quiet_hours_begin_waits_for_their_end_under_its_own_id(world: World) -> None:
    world.tell("early", when=at(21, 59, 50))
    first = world.claim()
    assert first is not None
    world.fail(first)
    world.tell("night", when=at(23))
    assert world.offers() == []
    assert world.due() == at(7, day=24)
    world.now = at(7, day=24)
    again = world.claim()
    assert again is not None
    assert (again.message_id, words(again), again.attempts) == (first.message_id, ["early", "night"], 2)


def test_a_critical_message_in_back_off_is_tried_again_in_quiet_hours(world: World) -> None:
    world.tell("urgent", severity=CRITICAL, when=at(23))
    first = world.claim()
    assert first is not None
    world.fail(first)
    assert world.offers(at(23, 1)) == [(["urgent"], "")]


def test_a_held_message_that_failed_for_long_takes_what_waits_and_names_what_was_tried(world: World) -> None:
    world.tell("one", when=at(23))
    world.tell("two", when=at(23, 30))
    world.now = at(7, day=24)
    first = world.claim()
    assert first is not None
    world.fail(first)
    world.tell("three", when=at(22, day=24))
    world.tell("four", when=at(23, day=24))
    ((found, why),) = world.offers(at(7, day=25))
    assert (found, why) == (["four", "one", "three", "two"], "in one, for ops was away")


def test_what_waited_while_a_channel_was_away_is_one_message_that_says_what_it_holds(world: World) -> None:
    world.channel = OPS
    tried = []
    for hour, name in enumerate(["one", "two", "three"]):
        world.tell(name, when=at(10 + hour))
        if hour < 2:
            claimed = world.claim()
            assert claimed is not None
            world.fail(claimed)
            tried.append(claimed.message_id)
    world.now = at(13)
    last = world.claim()
    assert last is not None
    assert (last.message_id, words(last)) == (tried[0], ["one", "three", "two"])
    assert world.claim() is None
    assert last.note == "in one, for ops was away" if tried[0] == tried[1] else tried[1] in last.note
    world.fail(last)
    assert datetime.fromisoformat(world.column("give_up_at")[0]) >= at(12) + GIVE_UP_AFTER, "as long as the youngest"


def test_the_days_of_trying_begin_with_the_first_try_however_long_a_message_was_held(world: World) -> None:
    world.channel = Channel(name="ops", quiet_hours=("tue,wed,thu,fri,sat,sun 00:00-24:00",))
    world.tell("one", when=at(0, day=24))
    until = at(0, day=30)
    assert world.due() == until
    world.now = until + timedelta(minutes=1)
    first = world.claim()
    assert first is not None
    world.fail(first)
    assert world.fates() == {"one": "pending"}, "it waited six days, but was tried only now"
    assert datetime.fromisoformat(world.column("give_up_at")[0]) == world.now + GIVE_UP_AFTER
    world.channel = OPS
    world.now += GIVE_UP_AFTER
    last = world.claim()
    assert last is not None
    world.fail(last)
    assert world.fates()["one"] == "failed"


def test_a_gathered_message_that_was_given_up_is_retried_whole(world: World) -> None:
    world.tell("one", when=at(23))
    world.tell("two", when=at(23, 30))
    world.now = at(7, day=24)
    first = world.claim()
    assert first is not None
    world.fail(first)
    world.now += GIVE_UP_AFTER
    last = world.claim()
    assert last is not None
    world.fail(last)
    assert (world.fates()["one"], world.fates()["two"]) == ("failed", "failed")
    with world.store.transaction() as tx:
        (one,) = [alert["id"] for alert in list_alerts(tx) if alert["text"].startswith("two")]
        assert retry_deliveries(tx, [one], world.now) == 1
    assert world.column("attempts")[0] == 0
    assert [found for found, _ in world.offers() if "one" in found] == [["one", "two"]]


def test_a_message_that_is_retried_in_quiet_hours_waits_for_their_end(world: World) -> None:
    world.tell("one", when=at(12))
    message = world.claim()
    assert message is not None
    world.fail(message)
    world.now = at(23)
    with world.store.transaction() as tx:
        ids = [alert["id"] for alert in list_alerts(tx)]
        assert retry_deliveries(tx, ids, world.now) == 1
    assert world.offers() == []
    assert world.due() == at(7, day=24)
    assert world.offers(at(7, day=24)) == [(["one"], "")]


def test_a_gathered_message_whose_sender_died_is_sent_again_whole(world: World) -> None:
    world.tell("one", when=at(23))
    world.tell("two", when=at(23, 30))
    world.now = at(7, day=24)
    assert world.claim() is not None
    assert world.claim() is None
    assert world.due() == world.now + LEASE
    assert [found for found, _ in world.offers(world.now + LEASE)] == [["one", "two"]]


def test_a_gathered_message_that_was_given_back_unsent_may_gather_more(world: World) -> None:
    world.tell("one", when=at(23))
    world.tell("two", when=at(23, 30))
    world.now = at(7, day=24)
    message = world.claim()
    assert message is not None
    with world.store.transaction() as tx:
        assert release_claim(tx, message)
    assert world.offers() == [(["one", "two"], "held back: quiet hours 22:00-07:00 UTC")]


def test_a_critical_alert_gathered_with_others_is_not_held_as_they_are(world: World) -> None:
    """Its message failed once; at night it is still the message of something critical."""
    world.channel = Channel(name="ops", quiet_hours=("22:00-07:00",), max_per_hour=1)
    world.tell("calm", when=at(21, 58))
    world.tell("urgent", severity=CRITICAL)
    message = world.claim()
    assert message is not None
    assert words(message) == ["calm", "urgent"]
    world.fail(message)
    assert [found for found, _ in world.offers(at(22, 30))] == [["calm", "urgent"]]


# --- the cap of a channel ---------------------------------------------------------------------------------------------


def capped(most: int, **more: Any) -> Channel:
    return Channel(name="ops", max_per_hour=most, **more)


def test_the_last_message_of_the_hour_takes_all_that_waits(world: World) -> None:
    world.channel = capped(3)
    for count in range(10):
        world.tell(f"n{count}", when=at(12, 0, count))
    why = "gathered, for ops takes 3 messages an hour"
    assert world.offers() == [(["n0"], ""), (["n1"], ""), ([f"n{count}" for count in range(2, 10)], why)]
    world.tell("later", when=at(12, 30))
    assert world.offers() == []
    assert world.held() == {"later": "23 13:00 ops takes 3 messages an hour"}


@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_hour_has_more_messages_than_the_cap_and_each_alert_comes_once(world: World, most: int) -> None:
    world.channel = capped(most)
    sent: list[datetime] = []
    came: list[str] = []
    for minute in range(0, 180, 9):
        world.tell(f"n{minute}", when=T0 + timedelta(minutes=minute))
        for found, _ in world.offers():
            sent.append(world.now)
            came += found
    world.now += timedelta(hours=1)
    came += [word for found, _ in world.offers() for word in found]
    assert Counter(came) == Counter(f"n{minute}" for minute in range(0, 180, 9))
    assert all(sum(1 for other in sent if one <= other < one + timedelta(hours=1)) <= most for one in sent)


def test_a_capped_channel_is_woken_when_its_hour_is_over(world: World) -> None:
    world.channel = capped(2)
    for minute in (0, 10):
        world.tell(f"n{minute}", when=at(12, minute))
        assert len(world.offers()) == 1
    world.tell("waits", when=at(12, 20))
    world.tell("too")
    assert world.due() == at(13)
    assert not world.would_go(at(12, 59, 59))
    assert world.would_go(at(13))
    assert world.offers(at(13)) == [(["too", "waits"], "gathered, for ops takes 2 messages an hour")]


def test_failed_tries_do_not_count_against_the_cap(world: World) -> None:
    world.channel = capped(1)
    world.tell("one")
    for _ in range(3):
        message = world.claim()
        assert message is not None
        world.fail(message)
        world.now += timedelta(minutes=10)
    assert len(world.offers()) == 1


def test_a_cap_is_counted_for_each_channel_and_survives_a_restart(world: World) -> None:
    world.channel = capped(1)
    world.tell("one")
    assert len(world.offers()) == 1
    world.tell("two", when=at(12, 5))
    with contextlib.closing(opened(path_of(world.store))) as again:
        assert world.claim(again) is None
    world.channel = Channel(name="desk", max_per_hour=1)
    world.tell("three")
    assert [found for found, _ in world.offers()] == [["three"]]


def test_a_canary_and_a_digest_pass_a_full_cap(world: World) -> None:
    world.channel = capped(1)
    world.tell("one")
    assert len(world.offers()) == 1
    world.tell("bird", kind="canary.sent", when=at(12, 5))
    world.tell("other")
    assert world.offers() == [(["bird"], "")]


def test_a_clock_put_back_does_not_fill_the_cap_with_messages_of_the_future(world: World) -> None:
    world.channel = capped(1)
    world.tell("one", when=at(12, day=25))
    assert len(world.offers()) == 1
    world.tell("two", when=at(12))
    assert [found for found, _ in world.offers()] == [["two"]]


def test_what_quiet_hours_held_counts_as_one_against_the_cap(world: World) -> None:
    world.channel = capped(2, quiet_hours=("22:00-07:00",))
    for minute in range(5):
        world.tell(f"n{minute}", when=at(23, minute))
    assert [found for found, _ in world.offers(at(7, day=24))] == [[f"n{minute}" for minute in range(5)]]
    world.tell("morning", when=at(7, 1, day=24))
    assert [found for found, _ in world.offers()] == [["morning"]]


# --- what is shown of what waits --------------------------------------------------------------------------------------


def test_a_held_message_is_shown_as_pending_and_why(world: World) -> None:
    world.tell("one", when=at(23))
    world.tell("urgent", severity=CRITICAL, when=at(23, 10))
    assert world.fates() == {"one": "pending", "urgent": "pending"}
    assert world.held() == {"one": "24 07:00 quiet hours 22:00-07:00 UTC"}
    with world.store.transaction() as tx:
        found = list_alerts(tx)
        alerts.note_held(found, held_deliveries(tx, world.channel, world.zone, world.now))
        assert outbox_counts(tx)["pending"] == 2
    urgent, held = "\n".join(alerts.alert_lines(found)).split("number.added\n")[1:]
    assert "ops: waiting for its first attempt" in urgent
    assert "ops: waits until 2026-11-24 07:00 UTC: quiet hours 22:00-07:00 UTC" in held
    world.offers(at(7, day=24))
    assert world.fates() == {"one": "sent", "urgent": "sent"}
    assert world.held() == {}


def test_a_message_in_back_off_that_is_held_is_shown_with_the_time_at_which_it_goes(world: World) -> None:
    world.tell("early", when=at(21, 59, 50))
    message = world.claim()
    assert message is not None
    world.fail(message)
    world.now = at(23)
    with world.store.transaction() as tx:
        found = list_alerts(tx)
        alerts.note_held(found, held_deliveries(tx, world.channel, world.zone, world.now))
    shown = "\n".join(alerts.alert_lines(found))
    assert "2026-11-24 07:00 UTC" in shown
    assert "next 2026-11-23T22:00" not in shown


def test_the_alerts_of_a_gathered_message_are_shown_with_its_one_fate(world: World) -> None:
    world.tell("one", when=at(23))
    world.tell("two", when=at(23, 30))
    world.offers(at(7, day=24))
    with world.store.transaction() as tx:
        fates = [to for alert in list_alerts(tx) for to in alert["deliveries"]]
        assert outbox_counts(tx) == {"pending": 0, "failed": 0, "oldest_pending_at": None}
    assert len(fates) == 2
    assert len({to["message_id"] for to in fates}) == 1
    assert world.column("state") == ["sent"]
    assert integrity.look(world.store) == []


# --- when the next one is due -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "found", "severity", "due"),
    [
        (OPS, at(12), INFO, at(12)),
        (QUIET, at(12), INFO, at(12)),
        (QUIET, at(22), INFO, at(7, day=24)),
        (QUIET, at(6, 59, 59), WARNING, at(7)),
        (QUIET, at(23), CRITICAL, at(23)),
        (Channel(name="ops", quiet_hours=("22:00-07:00",), critical_at_once=False), at(23), CRITICAL, at(7, day=24)),
        (Channel(name="ops", digest="daily 08:00"), at(12), CRITICAL, at(12)),
    ],
)
def test_a_fresh_message_is_due_when_it_may_go(
    world: World, channel: Channel, found: datetime, severity: Severity, due: datetime
) -> None:
    world.channel = channel
    assert world.due() is None
    world.tell("one", severity=severity, when=found)
    assert world.due() == due
    assert world.would_go(due)
    assert due == found or not world.would_go(due - timedelta(seconds=1))


def test_what_waits_for_a_digest_is_looked_at_again_when_the_digest_is_due(world: World) -> None:
    world.channel = Channel(name="ops", digest="daily 08:00", timezone="Europe/Berlin")
    world.tell("one", when=at(12))
    assert world.due() == at(7, day=24)
    assert world.held() == {"one": "24 07:00 it comes with the digest"}
    assert not world.would_go(at(6, 59, 59, day=24))


def test_the_soonest_of_several_is_due(world: World) -> None:
    world.tell("held", when=at(23))
    world.tell("urgent", severity=CRITICAL, when=at(23, 1))
    message = world.claim()
    assert message is not None
    world.fail(message)
    due = world.due()
    assert due is not None
    assert at(23, 1) < due < at(23, 2), "the back-off of the urgent one, not the end of the night"
    assert not world.would_go(due - timedelta(seconds=1))
    assert world.would_go(due)


@few(15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 47 * 60),
            st.sampled_from(list(Severity)),
            st.sampled_from(["waits", "fails", "sent", "leased"]),
        ),
        max_size=6,
    ),
    st.sampled_from([(), ("22:00-07:00",), ("22:00-07:00", "12:00-13:30"), ("sat,sun 00:00-24:00", "08:00-09:00")]),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 50 * 60),
)
def test_no_message_could_go_before_the_time_at_which_the_daemon_looks_and_it_goes_soon_after(
    files: Store,
    made: list[tuple[int, Severity, str]],
    windows: tuple[str, ...],
    most: int,
    at_once: bool,
    now: int,
) -> None:
    world = World(files)
    world.channel = Channel(name="ops", quiet_hours=windows, max_per_hour=most, critical_at_once=at_once)
    for count, (minute, severity, fate) in enumerate(sorted(made)):
        world.tell(f"n{count}", severity=severity, when=T0 + timedelta(minutes=minute))
        message = None if fate == "waits" else world.claim()
        if message is not None and fate == "fails":
            world.fail(message)
        elif message is not None and fate == "sent":
            world.sent(message)
    last = T0 + timedelta(minutes=max([0, *(minute for minute, _, _ in made)]))
    world.now = max(last, T0 + timedelta(minutes=now))
    for _ in range(4):  # the cap may end within quiet hours: then it looks once more
        due = world.due()
        if due is None:
            assert not world.would_go(world.now + timedelta(days=30))
            return
        assert due >= world.now
        if due > world.now:
            assert not world.would_go(world.now)
            assert not world.would_go(due - timedelta(seconds=1))
        if world.would_go(due):
            return
        assert due > world.now, "it would look again and again"
        world.now = due
    pytest.fail("it is never sent")


def test_what_waits_for_a_message_that_another_is_sending_is_not_looked_at_again_and_again(world: World) -> None:
    world.channel = capped(1)
    world.tell("one")
    world.tell("two")
    taken = world.claim()
    assert taken is not None
    assert world.claim() is None
    assert world.due() == taken.leased_until


def test_a_daemon_that_sleeps_until_the_next_is_due_sends_everything_once(world: World) -> None:
    """A night, a cap and a failing hour, with no more turns than there is something to do in."""
    world.channel = capped(2, quiet_hours=("22:00-07:00",))
    for count in range(12):
        world.tell(f"n{count}", when=at(20, 0) + timedelta(minutes=15 * count))
    came: list[str] = []
    turns = 0
    while (due := world.due()) is not None:
        turns += 1
        assert turns < 20
        world.now = due
        message = world.claim()
        if message is None:
            continue
        if turns == 2:
            world.fail(message)
            continue
        world.sent(message)
        came += words(message)
    assert Counter(came) == Counter(f"n{count}" for count in range(12))


# --- two processes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [QUIET, capped(5), capped(1), capped(3, quiet_hours=("22:00-07:00",))])
def test_two_processes_that_gather_at_once_send_no_alert_twice_and_lose_none(world: World, channel: Channel) -> None:
    world.channel = channel
    for count in range(20):
        world.tell(f"n{count}", when=at(23) + timedelta(seconds=count))
    world.now = at(7, day=24)
    came: list[str] = []
    faults: list[BaseException] = []
    start = threading.Barrier(3)

    def sends(store: Store) -> None:
        try:
            start.wait()
            idle = 0
            while idle < 5:
                message = world.claim(store)
                if message is None:
                    idle += 1
                    continue
                came.extend(words(message))
                world.sent(message, store)
        except BaseException as error:
            faults.append(error)

    stores = [opened(path_of(world.store)) for _ in range(2)]
    threads = [threading.Thread(target=sends, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    start.wait()
    for count in range(20, 26):  # while they send, polls go on
        world.tell(f"n{count}")
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert faults == []
    world.now += timedelta(hours=1)
    came += [word for found, _ in world.offers() for word in found]
    assert Counter(came) == Counter(f"n{count}" for count in range(26))
    assert integrity.look(world.store) == []


def test_a_message_that_is_being_sent_is_not_gathered_into_another(world: World) -> None:
    world.tell("one", when=at(12))
    first = world.claim()
    assert first is not None
    world.tell("two", when=at(12, 0, 30))
    world.channel = capped(1)
    assert world.claim() is None, "what is being sent counts as sent"
    world.channel = capped(2)
    second = world.claim()
    assert second is not None
    assert (words(first), words(second)) == (["one"], ["two"])
    world.sent(second)
    world.sent(first)


def test_two_dispatchers_let_out_a_night_as_one_message(
    world: World, web: HttpReceiver, sender: AppriseChannel
) -> None:
    for count in range(8):
        world.tell(f"n{count}", when=at(23) + timedelta(seconds=count))
    world.now = at(7, day=24)
    web.answer = lambda _: Answer(200)
    other = AppriseChannel("second", lambda: f"json://127.0.0.1:{web.port}/ops")
    stores = [opened(path_of(world.store)) for _ in range(2)]
    threads = [
        threading.Thread(
            target=dispatch.run_once,
            args=(store, dispatch.Outlet(channel=QUIET, sender=one), world.way, lambda: world.now),
        )
        for store, one in zip(stores, (sender, other), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    for store in stores:
        store.close()
    assert len(web.requests) == 1
    assert all(f"n{count} happened" in web.requests[0].json["message"] for count in range(8))


# --- what waited while a channel was away: what an attack found -------------------------------------------------------


def test_what_is_gathered_is_tried_for_three_days_from_when_it_was_let_out(world: World) -> None:
    world.channel = OPS
    world.tell("old", when=at(10))
    first = world.claim()
    assert first is not None
    world.fail(first)
    world.tell("young", when=at(9, day=26))  # near the end of the old one's days
    world.now = at(9, 30, day=26)
    again = world.claim()
    assert again is not None
    assert words(again) == ["old", "young"]
    assert datetime.fromisoformat(world.column("give_up_at")[0]) == world.now + GIVE_UP_AFTER


def test_what_is_in_back_off_goes_with_it(world: World) -> None:
    world.channel = OPS
    world.tell("one", when=at(10))
    first = world.claim()
    assert first is not None
    world.fail(first)
    world.tell("two", when=at(10, 11))
    with world.store.transaction() as tx:
        later = update(deliveries).where(deliveries.c.id != first.pk)
        tx.connection.execute(later.values(attempts=3, last_error="down", next_attempt_at=at(10, 40)))
    gathered = world.claim()
    assert gathered is not None
    assert words(gathered) == ["one", "two"]
    assert "in one, for ops was away" in gathered.note


def test_the_ids_of_what_was_tried_are_few_and_stand_once(world: World) -> None:
    world.channel = OPS
    tried = []
    for hour in range(8):
        world.tell(f"alert {hour}", when=at(10 + hour))
        claimed = world.claim()
        assert claimed is not None
        world.fail(claimed)
        tried.append(claimed.message_id)
        while (more := world.claim()) is not None:
            world.fail(more)
    assert len(set(tried)) == 1, "always in the first"
    assert all((note or "").count("with what was") <= 1 for note in world.column("note"))


def test_what_a_fallback_has_is_not_gathered_with_what_it_has_not(world: World) -> None:
    world.channel = Channel(name="ops", routine=NOW, fallback="alt")
    world.tell("one", when=at(10))
    first = world.claim()
    assert first is not None
    world.fail(first)
    with world.store.transaction() as tx:
        tx.connection.execute(update(deliveries).values(fallback_at=at(10, 31)))
    world.tell("two", when=at(11))
    world.now = at(11, 5)
    offered = [found for found, _ in world.offers()]
    assert sorted(offered) == [["one"], ["two"]]
