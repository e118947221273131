"""The outbox with its real parts: the database, Apprise in its child process, a receiver on loopback."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
from conftest import T0, Clock
from databases import BOTH, Lock, copied, impatient, lock, opened, unwritable
from receivers import Answer, HttpReceiver, Request

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.message.render import MOST
from renewal_watch.notify.retry import CHANNEL_FAILING_AFTER, GIVE_UP_AFTER
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch
from renewal_watch.operations.dispatch import CLAIM_IS_OLD, MARK_TRIES, Outlet, Sent
from renewal_watch.settings.channel import Channel
from renewal_watch.store.outbox.alerts import list_alerts, record_alerts
from renewal_watch.store.outbox.deliveries import LEASE, claim
from renewal_watch.store.outbox.settling import release_claim, retry_deliveries, settle_failed, settle_sent
from renewal_watch.store.outbox.waiting import failing_channels, next_due, outbox_counts

pytestmark = BOTH

OPS = Channel(name="ops")
DESK = Channel(name="desk")
CHANNELS = (OPS, DESK)


class World:
    """A database, a clock and the means to look at both from outside."""

    def __init__(self, path: Path, web: HttpReceiver, sender: AppriseChannel) -> None:
        self.path = path
        self.web = web
        self.clock = Clock()
        self.stores: list[Store] = []
        self.store = self.opened()
        self.outlet = Outlet(channel=OPS, sender=sender)
        self.pauses: list[float] = []
        self._told = 0

    def opened(self) -> Store:
        """One more connection of the product's own."""
        self.stores.append(opened(self.path))
        return self.stores[-1]

    def rows(self, channel: str = "ops") -> list[dict[str, Any]]:
        """The outbox of a channel, as another process reads it."""
        return databases.rows(self.path, "SELECT * FROM deliveries WHERE channel = ? ORDER BY id", (channel,))

    def tell(self, *texts: str, channels: Sequence[Channel] = CHANNELS[:1], count: int = 1) -> None:
        """What a poll does: each of ``texts`` is one poll's message of ``count`` alerts."""
        for text in texts:
            with self.store.transaction() as tx:
                found = []
                for _ in range(count):
                    self._told += 1
                    found.append(
                        Alert(
                            key=f"key-{self._told}",
                            kind="renewal.upcoming",
                            severity=Severity.warning,
                            environment="production",
                            facts=Written(
                                f"{text} {self._told} renews in 3 days", f"{text} {self._told} renews in 3 days."
                            ),
                        )
                    )
                record_alerts(tx, found, Routing(channels=tuple(channels)), self.clock.now)

    def run(self, **more: Any) -> Sent:
        """One turn of the channel ``ops``."""
        return dispatch.run_once(
            more.pop("store", self.store),
            more.pop("outlet", self.outlet),
            Routing(channels=CHANNELS),
            self.clock,
            pause=self.pauses.append,
            **more,
        )

    def run_desk(self) -> Sent:
        return self.run(outlet=Outlet(channel=DESK, sender=self.outlet.sender))

    def sent(self) -> list[str]:
        """The first words of each message that arrived."""
        return [request.json["message"].partition("• ")[2].split(" renews")[0] for request in self.web.requests]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The alerts of one kind, with the channels they are for."""
        with self.store.transaction() as tx:
            return [one for one in list_alerts(tx) if one["kind"] == kind]


@pytest.fixture
def world(tmp_path: Path, empty: Path, web: HttpReceiver, senders: Callable[[str], AppriseChannel]) -> Iterator[World]:
    path = tmp_path / "watch.db"
    copied(empty, path)
    web.answers(HttpReceiver.ok)
    made = World(path, web, senders("ops"))
    yield made
    for store in made.stores:
        store.close()


def instant(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


# --- what is sent, and when it is marked ------------------------------------------------------------------------------


def test_messages_are_sent_oldest_first_and_once(world: World) -> None:
    world.tell("one", "two", "three")
    assert world.run() == Sent(sent=3, failed=0)
    assert world.sent() == ["one 1", "two 2", "three 3"]
    assert world.run() == Sent()
    assert [row["state"] for row in world.rows()] == ["sent"] * 3
    assert len(world.web.requests) == 3


def test_all_alerts_of_a_poll_are_one_message_that_carries_its_id(world: World) -> None:
    world.tell("many", count=40)
    world.run()
    (request,) = world.web.requests
    (row,) = world.rows()
    assert request.json["message"].count("• ") == MOST
    assert "… and 30 more: 30 expiring; see renewal-watch alerts" in request.json["message"]
    assert request.json["message"].endswith(f"message {row['message_id']}")
    assert request.json["title"] == (
        "[warning] production: 40 need action: many 1 renews in 3 days; many 10 renews in 3 days; "
        "many 11 renews in 3 days and 37 more"
    )


def test_each_channel_gets_a_message_of_its_own(world: World) -> None:
    world.tell("one", channels=CHANNELS)
    assert world.run().sent == 1
    assert [row["state"] for row in world.rows("desk")] == ["pending"]
    assert world.run_desk().sent == 1
    assert world.rows("ops")[0]["message_id"] != world.rows("desk")[0]["message_id"]


def test_the_claim_is_on_the_disk_before_the_message_goes_out_and_the_mark_only_after(world: World) -> None:
    seen: list[dict[str, Any]] = []

    def look(_: Request) -> Answer:
        seen.extend(world.rows())
        return Answer()

    world.web.answer = look
    world.tell("one")
    world.run()
    (during,) = seen
    (after,) = world.rows()
    assert (during["state"], during["attempts"], during["sent_at"]) == ("pending", 1, None)
    assert during["lease"]
    assert instant(during["leased_until"]) == T0 + LEASE
    assert (after["state"], after["lease"], after["leased_until"]) == ("sent", None, None)
    assert instant(after["sent_at"]) == T0


def test_a_failed_message_stays_pending_with_its_error(world: World) -> None:
    world.web.answers(Answer(500))
    world.tell("one")
    assert world.run() == Sent(sent=0, failed=1)
    (row,) = world.rows()
    assert (row["state"], row["attempts"], row["lease"], row["sent_at"]) == ("pending", 1, None, None)
    assert "500" in row["last_error"]
    assert world.run() == Sent(), "it is not due yet"


def test_a_message_that_fails_holds_up_none_behind_it(world: World) -> None:
    world.web.answer = lambda request: Answer(400 if "bad" in request.json["message"] else 200)
    world.tell("bad", "good")
    assert world.run() == Sent(sent=1, failed=1)
    assert [row["state"] for row in world.rows()] == ["pending", "sent"]


def test_a_message_delivered_late_says_when_its_alerts_were_found(world: World) -> None:
    world.tell("one")
    world.clock.on(timedelta(hours=5))
    world.run()
    assert "found 2026-11-23 12:00 UTC, delivered late" in world.web.requests[0].json["message"]


# --- back-off, giving up ----------------------------------------------------------------------------------------------


def test_the_waits_double_from_half_a_minute_to_an_hour_give_or_take_a_fifth(world: World) -> None:
    world.web.answers(Answer(503))
    world.tell("one")
    waits = []
    for _ in range(10):
        assert world.run().failed == 1
        due = instant(world.rows()[0]["next_attempt_at"])
        waits.append((due - world.clock.now).total_seconds())
        world.clock.now = due - timedelta(seconds=1)
        assert world.run() == Sent(), "not before its time"
        world.clock.now = due
    expected = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert all(0.8 * wait <= waited <= 1.2 * wait for waited, wait in zip(waits, expected, strict=True))
    assert len({waited / wait for waited, wait in zip(waits, expected, strict=True)}) > 1, "with jitter"


def test_after_three_days_a_message_is_given_up_visibly_and_told_to_the_others(world: World) -> None:
    world.web.answers(Answer(500))
    world.tell("one")
    world.run()
    world.clock.now = T0 + GIVE_UP_AFTER - timedelta(minutes=1)
    world.run()
    assert world.rows()[0]["state"] == "pending"
    world.clock.on(timedelta(hours=2))
    world.run()
    assert [row["state"] for row in world.rows()] == ["failed"]
    with world.store.transaction() as tx:
        assert outbox_counts(tx)["failed"] == 1
        assert set(failing_channels(tx)) == {"ops"}
    given_up = [one for one in world.told("channel.failing") if "given up" in one["key"]]
    assert [[to["channel"] for to in one["deliveries"]] for one in given_up] == [["desk"]]
    assert "never delivered on channel ops in 3 days" in given_up[0]["text"]
    assert "500" in given_up[0]["text"]
    assert world.run() == Sent(), "it is not tried any more"


def test_many_messages_given_up_on_one_day_are_told_once_a_day(world: World) -> None:
    world.web.answers(Answer(500))
    world.tell(*(f"n{i}" for i in range(5)))
    assert world.run().failed == 5, "the days of trying begin with the first one"
    world.clock.on(timedelta(days=3))
    assert world.run().failed == 1, "what waited for so long goes as one"
    world.tell("late")
    world.run()
    world.clock.on(timedelta(days=3))
    world.run()
    given_up = [one for one in world.told("channel.failing") if "given up" in one["key"]]
    assert [one["created_at"].date().isoformat() for one in given_up] == ["2026-11-29", "2026-11-26"]
    assert all(to["channel"] == "desk" for one in given_up for to in one["deliveries"])
    assert all(row["state"] == "failed" for row in world.rows())


def test_a_failed_message_is_delivered_when_it_is_retried_on_demand(world: World) -> None:
    world.web.answers(Answer(500))
    world.tell("one")
    world.run()
    world.clock.on(timedelta(days=3))
    world.run()
    world.web.answers(HttpReceiver.ok)
    with world.store.transaction() as tx:
        assert retry_deliveries(tx, [], world.clock.now) == 1
    assert world.run().sent == 1
    assert world.rows()[0]["state"] == "sent"


# --- a channel that fails ---------------------------------------------------------------------------------------------


def test_half_an_hour_of_failing_is_told_once_and_only_through_the_other_channels(world: World) -> None:
    world.web.answer = lambda request: Answer(500 if request.path == "/ops" else 200)
    world.tell("one", "two")
    world.run()
    world.clock.now = T0 + CHANNEL_FAILING_AFTER - timedelta(seconds=1)
    world.run()
    assert world.told("channel.failing") == []
    for _ in range(4):
        world.clock.on(timedelta(hours=1.3))
        assert world.run().failed == 1
    (alert,) = world.told("channel.failing")
    assert [to["channel"] for to in alert["deliveries"]] == ["desk"]
    assert alert["severity"] == "critical"
    assert "1 message waits" in alert["text"]


def test_a_channel_that_takes_messages_again_is_told_once(world: World) -> None:
    world.web.answers(Answer(500))
    world.tell("one")
    world.run()
    world.clock.on(timedelta(hours=1))
    world.run()
    world.web.answers(HttpReceiver.ok)
    world.clock.on(timedelta(hours=2))
    assert world.run().sent == 1
    world.tell("two")
    world.run()
    (alert,) = world.told("watch.recovered")
    assert [to["channel"] for to in alert["deliveries"]] == ["desk"]
    assert "delivers again after 3 h" in alert["text"]
    with world.store.transaction() as tx:
        assert failing_channels(tx) == {}


def test_a_short_failure_is_not_told_and_begins_anew_after_a_success(world: World) -> None:
    world.tell("one")
    for status in (500, 200) * 4:
        world.web.answers(Answer(status))
        world.clock.on(timedelta(minutes=20))
        world.run()
        if status == 200:
            world.tell("more")
    assert world.told("channel.failing") == world.told("watch.recovered") == []


def test_no_secret_and_no_markup_of_an_error_gets_into_what_the_others_are_told(
    world: World, senders: Callable[[str], AppriseChannel]
) -> None:
    del senders
    hostile = AppriseChannel("ops", lambda: "nosuch://h.test/CanarySecret42")
    world.outlet = Outlet(channel=OPS, sender=hostile)
    world.tell("one")
    world.run()
    world.clock.on(timedelta(hours=1))
    world.run()
    (alert,) = world.told("channel.failing")
    said = json.dumps(world.rows()) + str(alert)
    assert "CanarySecret42" not in said
    assert "nosuch" in alert["text"]
    assert "://" not in alert["text"]
    assert hostile._child is None


def test_a_message_that_breaks_the_sending_itself_fails_visibly(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.tell("bad", "good")
    databases.changed(world.path, "DELETE FROM delivery_alerts WHERE delivery_id = 1")
    assert world.run() == Sent(sent=1, failed=1)
    bad, good = world.rows()
    assert good["state"] == "sent"
    assert (bad["state"], bad["lease"]) == ("pending", None)
    assert "a fault of renewal-watch (IndexError)" in bad["last_error"]
    assert "Traceback" in caplog.text
    world.clock.on(timedelta(days=3))
    world.run()
    assert world.rows()[0]["state"] == "failed"


# --- leases -----------------------------------------------------------------------------------------------------------


def test_a_claim_whose_holder_died_is_sent_again_when_its_lease_ran_out(world: World) -> None:
    world.tell("one")
    with world.opened().transaction() as tx:
        assert claim(tx, OPS, "UTC", world.clock.now) is not None
    world.clock.now = T0 + LEASE - timedelta(seconds=1)
    assert world.run() == Sent()
    world.clock.now = T0 + LEASE
    assert world.run() == Sent(sent=1)
    assert (world.rows()[0]["state"], world.rows()[0]["attempts"]) == ("sent", 2)


def test_who_lost_a_lease_neither_marks_nor_delays_the_message_of_the_new_holder(world: World) -> None:
    world.tell("one")
    with world.store.transaction() as tx:
        late = claim(tx, OPS, "UTC", world.clock.now)
    world.clock.on(timedelta(minutes=5))
    with world.store.transaction() as tx:
        holder = claim(tx, OPS, "UTC", world.clock.now)
    assert late is not None
    assert holder is not None
    with world.store.transaction() as tx:
        assert not settle_sent(tx, late, Routing(channels=CHANNELS), world.clock.now)
        assert not settle_failed(tx, late, "no", Routing(channels=CHANNELS), world.clock.now, 0.5)
        assert not release_claim(tx, late)
    (row,) = world.rows()
    assert (row["state"], row["lease"], row["last_error"]) == ("pending", holder.lease, None)


def test_two_dispatchers_send_no_message_twice(world: World, senders: Callable[[str], AppriseChannel]) -> None:
    world.tell(*(f"n{i}" for i in range(12)))
    other = Outlet(channel=OPS, sender=senders("second"))
    done: list[Sent] = []
    threads = [
        threading.Thread(target=lambda: done.append(world.run())),
        threading.Thread(target=lambda: done.append(world.run(store=world.opened(), outlet=other))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.sent for one in done) == 12
    assert Counter(world.sent()) == Counter(f"n{i} {i + 1}" for i in range(12))
    assert {row["attempts"] for row in world.rows()} == {1}


def test_a_claim_that_grew_old_before_the_send_is_given_back_and_taken_anew(world: World) -> None:
    world.tell("one")
    stopped = CLAIM_IS_OLD.total_seconds() + 1
    times = iter([0.0, *[stopped] * 4])  # claimed; asked before the send: the process had been stopped
    assert world.run(monotonic=lambda: next(times)) == Sent(sent=1)
    assert len(world.web.requests) == 1
    (row,) = world.rows()
    assert (row["state"], row["attempts"], row["last_error"]) == ("sent", 1, None)
    with world.store.transaction() as tx:
        assert failing_channels(tx) == {}, "the channel did nothing wrong"


def test_a_claim_whose_lease_ran_out_while_the_machine_slept_is_not_used(world: World) -> None:
    world.tell("one")
    asked = 0

    def clock() -> datetime:
        nonlocal asked
        asked += 1
        return T0 if asked == 1 else T0 + LEASE

    sent_by: list[int] = []
    world.web.answer = lambda _: sent_by.append(world.rows()[0]["attempts"]) or Answer()  # type: ignore[func-returns-value]
    assert dispatch.run_once(world.store, world.outlet, Routing(channels=CHANNELS), clock) == Sent(sent=1)
    assert sent_by == [1]
    assert asked > 3, "it was claimed again"


def test_a_claim_is_given_back_when_the_daemon_stops(world: World) -> None:
    world.tell("one")
    answers = iter([False, True])
    assert world.run(should_stop=lambda: next(answers)) == Sent()
    (row,) = world.rows()
    assert (row["state"], row["attempts"], row["lease"], row["leased_until"]) == ("pending", 0, None, None)
    assert world.web.requests == []
    assert world.run(should_stop=lambda: True) == Sent()
    assert world.run() == Sent(sent=1), "the next process sends it at once"


def test_a_clock_put_back_holds_up_a_message_for_little_more_than_an_hour(world: World) -> None:
    world.clock.on(timedelta(days=400))
    world.web.answers(Answer(500))
    world.tell("one")
    world.run()
    with world.store.transaction() as tx:
        claim(tx, OPS, "UTC", world.clock.now + timedelta(hours=1))  # and its holder dies
    world.web.answers(HttpReceiver.ok)
    world.clock.now = T0
    assert world.run() == Sent(sent=1)


def test_a_clock_put_on_by_years_gives_nothing_up_that_can_be_delivered(world: World) -> None:
    world.tell("one")
    world.clock.on(timedelta(days=4000))
    assert world.run() == Sent(sent=1)


def locking(other: Lock) -> Callable[[Request], Answer]:
    """An answer that comes with the database locked by somebody else."""

    def answer(_: Request) -> Answer:
        other.take()
        return Answer()

    return answer


# --- a database that cannot be written --------------------------------------------------------------------------------


def test_nothing_is_sent_when_the_claim_cannot_be_written(world: World) -> None:
    world.tell("one")
    impatient(world.store)
    with lock(world.path) as other:
        other.take()
        with pytest.raises(StoreError, match="locked"):
            world.run()
    assert world.web.requests == []
    assert world.run() == Sent(sent=1)


def test_a_message_whose_mark_cannot_be_written_is_not_sent_again_by_this_process(world: World) -> None:
    world.tell("one")
    impatient(world.store)
    with lock(world.path) as other:
        world.web.answer = locking(other)
        with pytest.raises(StoreError, match="locked"):
            world.run()
        assert len(world.pauses) == MARK_TRIES - 1
        other.release()
    (row,) = world.rows()
    assert (row["state"], row["target"]) == ("pending", None)
    world.web.answers(HttpReceiver.ok)
    assert world.run() == Sent(sent=1), "before its lease runs out and somebody else sends it again"
    assert world.web.requests == [], "it had been sent"
    assert (world.rows()[0]["state"], world.rows()[0]["target"]) == ("sent", "json://127.0.0.1")
    assert world.outlet.unmarked == {}


def test_a_mark_that_can_be_written_a_moment_later_is(world: World) -> None:
    world.tell("one")
    impatient(world.store)
    with lock(world.path) as other:
        world.web.answer = locking(other)

        def pause(seconds: float) -> None:
            world.pauses.append(seconds)
            if len(world.pauses) == 2:
                other.release()

        assert dispatch.run_once(
            world.store, world.outlet, Routing(channels=CHANNELS), world.clock, pause=pause
        ) == Sent(sent=1)
    assert world.pauses == [0.25, 0.5]
    assert world.rows()[0]["state"] == "sent"


def test_nothing_is_sent_from_a_database_that_may_only_be_read(world: World) -> None:
    world.tell("one")
    unwritable(world.store)
    with pytest.raises(StoreError):
        world.run()
    assert world.web.requests == []


# --- channels that come and go ----------------------------------------------------------------------------------------


def test_what_waits_for_a_channel_that_is_not_configured_any_more_stays_and_is_seen(world: World) -> None:
    gone = Channel(name="gone")
    world.tell("one", channels=(gone, OPS))
    assert world.run() == Sent(sent=1)
    assert [row["state"] for row in world.rows("gone")] == ["pending"]
    with world.store.transaction() as tx:
        assert outbox_counts(tx)["pending"] == 1
    world.clock.on(timedelta(days=30))
    back = Outlet(channel=gone, sender=world.outlet.sender)
    assert world.run(outlet=back) == Sent(sent=1), "and is delivered when it is configured again"


def test_the_next_message_is_known_to_be_due(world: World) -> None:
    with world.store.transaction() as tx:
        assert next_due(tx, OPS, "UTC", world.clock.now) is None
    world.tell("one")
    world.web.answers(Answer(500))
    world.run()
    with world.store.transaction() as tx:
        assert next_due(tx, OPS, "UTC", world.clock.now) == instant(world.rows()[0]["next_attempt_at"]).astimezone(UTC)
