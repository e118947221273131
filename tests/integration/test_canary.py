"""The canary: a simulated number that goes the whole way, comes when it should, and sings only of itself.

The poll goes over HTTP to a simulated provider on loopback as it always does. Where a message matters it goes through the
real Apprise to a receiver on loopback; elsewhere it is taken from the outbox, as ``dispatch`` would. The time is moved by hand.
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import commands
import msgspec
import pytest
from click.testing import Result
from commands import Run
from conftest import T0
from databases import EITHER, opened, path_of, section
from made_up import emptied, entry, listing
from receivers import Answer, HttpReceiver, http_receiver

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.errors import ConfigError, UsageError
from renewal_watch.model.alerts import Delivery, Key
from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Match, Policy, Rule
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import canary, digests, dispatch, poll
from renewal_watch.operations.preview import look_ahead
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Canary
from renewal_watch.store.environments import CANARY, environment_states
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.incidents.timers import fired_at
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_sent
from renewal_watch.timed import follow_up

pytestmark = EITHER

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
HERE = "json://127.0.0.1:1/"
OPS = Channel(name="ops", url=HERE)
OTHER = Channel(name="other", url=HERE)
MATTER = Key("", "", "canary")
PRODUCTION = Environment(name="production", base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")


class Mine:
    """A database, a routing with a canary, a clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        emptied(store)
        self.now = T0
        self.way = Routing(channels=(OPS, OTHER), canary=Canary(channel="ops", schedule="weekly mon 09:00"))

    def with_channel(self, channel: Channel) -> None:
        self.way = replace(self.way, channels=(channel, OTHER))

    def clock(self) -> datetime:
        return self.now

    def send(self, clock: Callable[[], datetime] | None = None) -> str | None:
        return canary.send(self.store, self.way, clock or self.clock, lambda _: None)

    def is_due(self) -> bool:
        return canary.is_due(self.store, self.way.canary, self.way.zone, self.clock)

    def follow(self, **length: float) -> None:
        self.now += timedelta(**length)
        canary.follow(self.store, self.way, self.now)

    def take(self, name: str = "ops") -> list[Delivery]:
        """All messages of a channel that may go now, as sent."""
        channel, found = self.way.named(name), []
        assert channel
        while True:
            with self.store.transaction() as tx:
                one = claim(tx, channel, self.way.zone, self.now)
                if one is None:
                    return found
                assert settle_sent(tx, one, self.way, self.now)
            found.append(one)

    def kinds(self, name: str = "ops") -> list[str]:
        return [alert.kind for one in self.take(name) for alert in one.alerts]

    def has(self, *entries: dict[str, Any]) -> None:
        """A real list was read."""
        source = _Source(listing(*entries))
        poll.run_once(self.store, PRODUCTION, source, Policy(), self.way, self.clock)

    def rows(self, table: str) -> int:
        with self.store.transaction() as tx:
            return int(tx.connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


class _Source:
    def __init__(self, said: Listing) -> None:
        self.said = said

    def fetch(self) -> Listing:
        return self.said


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One file for all tests, emptied for each."""
    made = opened(tmp_path_factory.mktemp("mine") / "renewal-watch.db")
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def mine(store: Store) -> Mine:
    return Mine(store)


@pytest.fixture(scope="module")
def post() -> Iterator[HttpReceiver]:
    with http_receiver() as server:
        yield server


@pytest.fixture(scope="module")
def sender(post: HttpReceiver) -> Iterator[AppriseChannel]:
    """The real one; its child is started once."""
    made = AppriseChannel("ops", lambda: f"json://127.0.0.1:{post.port}/hook")
    yield made
    made.close()


# --- the whole way ----------------------------------------------------------------------------------------------------


def test_it_arrives_marked_as_what_it_is(mine: Mine, post: HttpReceiver, sender: AppriseChannel) -> None:
    post.answers(Answer())
    assert mine.send() is None
    done = dispatch.run_once(mine.store, dispatch.Outlet(channel=OPS, sender=sender), mine.way, mine.clock)
    assert (done.sent, done.failed) == (1, 0)
    (request,) = post.requests
    assert "CANARY: channel ops works" in request.json["title"]
    assert "CANARY, nothing to do: the simulated number +15555550100 went the whole way" in request.json["message"]
    assert "2026-11-23 12:00 UTC" in request.json["message"]
    assert request.json["type"] == "info"
    assert mine.take("other") == []


def test_a_channel_that_fails_does_not_count_as_reached(mine: Mine, post: HttpReceiver, sender: AppriseChannel) -> None:
    post.answers(Answer(status=503))
    assert mine.send() is None
    outlet = dispatch.Outlet(channel=OPS, sender=sender)
    assert dispatch.run_once(mine.store, outlet, mine.way, mine.clock).failed == 1
    mine.follow(minutes=29, seconds=59)
    assert mine.take("other") == []
    mine.follow(seconds=1)
    (told,) = mine.take("other")
    assert [(alert.kind, alert.severity.name) for alert in told.alerts] == [("canary.failed", "critical")]
    assert "it was not delivered within 30m" in told.alerts[0].text


HELD = {
    "quiet hours": {"quiet_hours": ("00:00-23:00",), "critical_at_once": False},
    "a digest": {"digest": "weekly sun 08:00"},
    "a digest for everything": {"digest": "weekly sun 08:00", "critical_at_once": False},
    "a severity": {"min_severity": "critical"},
    "kinds": {"kinds": ("renewal.overdue",)},
    "rules only": {"by_rule_only": True},
    "environments": {"environments": ("production",)},
}


@pytest.mark.parametrize("how", HELD)
def test_nothing_that_a_channel_may_hold_back_or_leave_out_stops_it(mine: Mine, how: str) -> None:
    mine.with_channel(msgspec.structs.replace(OPS, **HELD[how]))
    assert mine.send() is None
    assert mine.kinds() == ["canary.sent"]
    assert mine.take("other") == []


def test_no_cap_stops_it(mine: Mine) -> None:
    mine.with_channel(msgspec.structs.replace(OPS, max_per_hour=1))
    mine.has(entry(current_status="suspended"))
    assert mine.kinds() == ["status.changed"]
    mine.now += MINUTE
    mine.has(entry(current_status="pending"))
    assert mine.kinds() == [], "it waits for the cap"
    mine.send()
    assert mine.kinds() == ["canary.sent"]
    mine.now += timedelta(hours=1)
    assert mine.kinds() == ["status.changed"], "the canary took nothing with it that was held"


def test_no_silence_and_no_rule_stops_it(mine: Mine) -> None:
    mine.way = replace(
        mine.way,
        rules=(Rule(name="mute", mute=("*", "canary.*"), channels=("other",), severities={"canary.*": "critical"}),),
    )
    with mine.store.transaction() as tx:
        for match, kinds in ((Match(), ()), (Match(), ("canary.*",)), (Match(numbers=("+1555*",)), ())):
            add_silence(tx, match, kinds, mine.now + DAY, "ann", "", mine.now)
    assert mine.send() is None
    (told,) = mine.take()
    assert [(one.kind, one.severity.name) for one in told.alerts] == [("canary.sent", "info")]
    assert mine.take("other") == []


# --- when it comes --------------------------------------------------------------------------------------------------------


def test_without_a_channel_there_is_no_canary(mine: Mine) -> None:
    mine.way = replace(mine.way, canary=Canary())
    for _ in range(3):
        assert not mine.is_due()
        mine.follow(days=7)
    assert mine.rows("calendars") == 0
    assert mine.rows("alerts") == 0


def test_the_first_one_comes_at_its_time(mine: Mine) -> None:
    assert mine.now == T0, "Monday noon: the time of this week has passed"
    assert not mine.is_due()
    mine.now = datetime(2026, 11, 30, 8, 59, 59, tzinfo=UTC)
    assert not mine.is_due()
    mine.now += timedelta(seconds=1)
    assert mine.is_due()
    assert mine.is_due(), "asking does not send it"
    mine.send()
    assert not mine.is_due()
    mine.now += 7 * DAY - timedelta(seconds=1)
    assert not mine.is_due()
    mine.now += timedelta(seconds=1)
    assert mine.is_due()


def test_missed_ones_are_one(mine: Mine) -> None:
    assert not mine.is_due()
    mine.now += timedelta(weeks=5)
    assert mine.is_due()
    mine.send()
    assert not mine.is_due()
    assert mine.kinds() == ["canary.sent"]


def test_one_that_is_sent_by_hand_does_not_count_for_the_next(mine: Mine) -> None:
    mine.is_due()
    mine.now = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
    mine.send()
    mine.now += timedelta(hours=1)
    assert mine.is_due()


def test_a_clock_put_back_sends_no_flood_and_loses_none(mine: Mine) -> None:
    mine.is_due()
    mine.now = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    mine.send()
    mine.now -= timedelta(days=10)
    assert not mine.is_due()
    mine.now = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert mine.is_due()
    mine.send()
    assert not mine.is_due()


def test_who_read_the_time_a_little_before_another_sent_it_sends_none_and_its_fate_is_not_forgotten(mine: Mine) -> None:
    mine.is_due()
    mine.now = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    mine.send()
    mine.now -= timedelta(seconds=1)
    assert not mine.is_due()
    mine.now += timedelta(seconds=2)
    assert not mine.is_due()
    with mine.store.reading() as tx:
        kept = fired_at(tx, "canary")
    assert kept is not None
    assert kept[1] is not None
    assert '"waits": true' in kept[1]


@pytest.mark.parametrize(
    ("zone", "at"),
    [("UTC", "09:00"), ("Europe/Berlin", "08:00"), ("America/New_York", "14:00"), ("Asia/Tokyo", "00:00")],
)
def test_its_time_is_of_the_configured_zone(mine: Mine, zone: str, at: str) -> None:
    mine.way = replace(mine.way, zone=zone)
    mine.now += DAY
    mine.is_due()
    mine.now = datetime.fromisoformat(f"2026-11-30T{at}:00+00:00")
    assert mine.is_due()
    mine.now -= timedelta(seconds=1)
    assert not mine.is_due()


# --- many times -------------------------------------------------------------------------------------------------------------


def test_it_arrives_as_often_as_it_is_sent_and_leaves_nothing_behind(mine: Mine) -> None:
    """Twice a minute, twice a day, across the ends of months and of the year, weekly, after a long rest."""
    steps = [timedelta(seconds=30), timedelta(hours=11), *[DAY] * 4, *[7 * DAY] * 3, 40 * DAY, 366 * DAY, timedelta(0)]
    for count, step in enumerate(steps, 1):
        mine.now += step
        mine.now += timedelta(seconds=1)  # two at one instant cannot be told apart
        assert mine.send() is None, mine.now
        assert mine.kinds() == ["canary.sent"], mine.now
        mine.follow(minutes=1)
        assert mine.rows("alerts") == count
    for table in ("incidents", "absences", "flaps", "lapses"):
        assert mine.rows(table) == 0, table
    assert mine.rows("numbers") == 1
    mine.follow(days=30)
    follow_up.run_once(mine.store, mine.way, {}, mine.now)
    assert mine.take() == mine.take("other") == []


def test_two_that_wait_are_both_there(mine: Mine) -> None:
    mine.send()
    mine.now += MINUTE
    mine.send()
    assert mine.kinds() == ["canary.sent", "canary.sent"]
    mine.follow(hours=1)
    assert mine.kinds("other") == []


def test_two_processes_that_send_it_at_once_are_no_failure(mine: Mine) -> None:
    """As the daemon and a `send` by cron at its hour: the second one finds that the first has polled."""
    asked: list[int] = []

    def clock() -> datetime:
        asked.append(1)
        if len(asked) == 3:  # the poll of the first is under way
            assert mine.send() is None
        return mine.now

    mine.send(clock)
    assert len(asked) > 3
    assert "canary.sent" in mine.kinds()
    mine.follow(hours=1)
    assert mine.kinds("other") == []


# --- when it does not arrive ------------------------------------------------------------------------------------------------


def _arrives(mine: Mine) -> None:
    assert mine.send() is None
    assert "canary.sent" in mine.kinds()
    mine.follow(minutes=1)


def test_that_it_did_not_arrive_is_told_once_on_all_channels_and_ended_by_the_next_arrival(mine: Mine) -> None:
    mine.send()
    for _ in range(5):
        mine.follow(minutes=10)
    assert mine.kinds("other") == ["canary.failed"]
    assert "canary.failed" in mine.kinds(), "its channel as well: it may work again"
    mine.now += 7 * DAY
    _arrives(mine)
    (told,) = mine.take("other")
    assert [(one.kind, one.headline) for one in told.alerts] == [("watch.recovered", "the canary arrives again")]
    with mine.store.transaction() as tx:
        assert MATTER not in incidents_of(tx)
    mine.now += 7 * DAY
    _arrives(mine)
    assert mine.take("other") == [], "that it arrives is told when it did not before"


def test_how_long_it_may_take_is_configured(mine: Mine) -> None:
    mine.way = replace(mine.way, canary=Canary(channel="ops", within="2h"))
    mine.send()
    mine.follow(minutes=119)
    assert mine.kinds("other") == []
    mine.follow(minutes=1)
    assert mine.kinds("other") == ["canary.failed"]


def test_one_that_arrived_in_time_but_was_looked_for_late_did_arrive(mine: Mine) -> None:
    mine.send()
    mine.now += 29 * MINUTE
    mine.take()
    mine.follow(days=3)
    assert mine.take("other") == []


def test_one_that_arrives_late_ends_what_was_told(mine: Mine) -> None:
    """Nobody should be reminded for a week that it did not arrive when it did."""
    mine.send()
    mine.follow(minutes=31)
    assert mine.kinds("other") == ["canary.failed"]
    mine.now += 5 * MINUTE
    assert "canary.sent" in mine.kinds(), "the channel works again"
    mine.follow(minutes=1)
    assert mine.kinds("other") == ["watch.recovered"]
    mine.now += 2 * DAY
    follow_up.run_once(mine.store, mine.way, {}, mine.now)
    assert mine.kinds("other") == []


def test_it_is_an_incident_like_others_reminded_of_until_somebody_knows(mine: Mine) -> None:
    mine.send()
    mine.follow(minutes=30)
    assert mine.kinds("other") == ["canary.failed"]
    mine.now += DAY
    follow_up.run_once(mine.store, mine.way, {}, mine.now)
    (reminder,) = mine.take("other")
    assert "(reminder 1 of 7; last notified" in reminder.alerts[0].text
    with mine.store.transaction() as tx:
        known = incidents_of(tx)[MATTER]
        acknowledge_incidents(tx, {MATTER: known}, "ann", mine.now)
    mine.now += 3 * DAY
    follow_up.run_once(mine.store, mine.way, {}, mine.now)
    assert mine.take("other") == []


def test_a_poll_that_finds_nothing_is_told_at_once(mine: Mine) -> None:
    """The clock jumps by a month while it is on its way, so that the number is not ahead of its day any more."""
    times = iter([mine.now, mine.now])
    fault = mine.send(lambda: next(times, mine.now + 31 * DAY))
    assert fault == "the poll did not find that the simulated number renews"
    assert mine.rows("deliveries") == 2
    for name in ("ops", "other"):
        (told,) = mine.take(name)
        assert [(one.kind, one.severity.name) for one in told.alerts] == [("canary.failed", "critical")]
        assert fault in told.alerts[0].text
    mine.now += 31 * DAY
    _arrives(mine)
    assert mine.kinds("other") == ["watch.recovered"]
    assert mine.rows("absences") == 0
    with mine.store.transaction() as tx:
        assert incidents_of(tx) == {}


def test_a_provider_that_cannot_listen_is_told_at_once_and_the_next_time_counts(
    mine: Mine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_: object) -> None:
        raise OSError(99, "Cannot assign requested address")

    mine.is_due()
    mine.now = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    with monkeypatch.context() as patch:
        patch.setattr(socketserver.TCPServer, "server_bind", refuses)
        fault = mine.send()
    assert fault
    assert "Cannot assign requested address" in fault
    assert mine.kinds("other") == ["canary.failed"]
    assert not mine.is_due(), "it is not tried every half a minute"
    mine.follow(hours=2)
    assert mine.take("other") == [], "told once"
    mine.now = datetime(2026, 12, 7, 9, 0, tzinfo=UTC)
    assert mine.is_due()


def test_a_poll_that_cannot_read_the_provider_is_told_at_once(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another program had taken its port: it does not know the token."""
    monkeypatch.setattr(canary, "TOKEN", "talq_of_somebody_else")
    fault = mine.send()
    assert fault
    assert "rejects the token" in fault
    assert mine.kinds("other") == ["canary.failed"]
    monkeypatch.undo()
    mine.now += MINUTE
    assert mine.send() is None, "a rejected token bars no further one"
    assert "canary.sent" in mine.kinds()


def test_one_that_the_configuration_does_not_want_any_more_is_not_missed(mine: Mine) -> None:
    mine.send()
    mine.now += MINUTE
    mine.way = replace(mine.way, canary=Canary())
    mine.follow(hours=1)
    assert mine.take("other") == []


def test_one_that_was_sent_to_another_channel_is_not_looked_for_on_the_new_one(mine: Mine) -> None:
    mine.send()
    mine.way = replace(mine.way, canary=Canary(channel="other"))
    mine.take()
    mine.follow(hours=1)
    assert mine.take("other") == []


# --- it sings only of itself --------------------------------------------------------------------------------------------------


def test_no_environment_can_be_called_like_it(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'[[environments]]\nname = "{CANARY}"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_x"\n'
        f'[[channels]]\nname = "ops"\nurl = "{HERE}"\n'
    )
    with pytest.raises(ConfigError, match="a name has up to 64 letters"):
        load(path)


def test_it_is_no_environment_and_no_number_of_the_watch(mine: Mine) -> None:
    mine.has(entry())
    mine.send()
    with mine.store.transaction() as tx:
        assert [watch.name for _, watch, _ in environment_states(tx)] == ["production"]
        for wanted, environment in ((canary.NUMBER, None), ("canary", None), ("phone", CANARY)):
            with pytest.raises(UsageError):
                find_number(tx, wanted, environment)


def test_a_real_number_like_it_is_found(mine: Mine) -> None:
    mine.has(entry("canary", number=canary.NUMBER))
    mine.send()
    with mine.store.transaction() as tx:
        assert find_number(tx, canary.NUMBER)[0] == find_number(tx, "canary")[0] == "production"


def test_a_digest_does_not_speak_of_it(mine: Mine) -> None:
    mail = Channel(name="mail", url=HERE, digest="daily 13:00", digest_when_empty=True)
    mine.way = replace(mine.way, channels=(OPS, mail))
    mine.has(entry())
    policies = {"production": Policy()}
    digests.send_digests(mine.store, mine.way, policies, lambda: mine.now)
    mine.send()
    mine.take()
    mine.now += timedelta(hours=1)
    digests.send_digests(mine.store, mine.way, policies, lambda: mine.now)
    (digest,) = mine.take("mail")
    assert [one.kind for one in digest.alerts] == ["digest.sent"]
    text = digest.alerts[0].headline + digest.alerts[0].text
    assert "canary" not in text.lower()
    assert canary.NUMBER not in text


def test_its_own_digest_channel_gets_it_alone_and_the_digest_without_it(mine: Mine) -> None:
    mine.with_channel(msgspec.structs.replace(OPS, digest="daily 13:00"))
    mine.has(entry(current_status="pending"))
    mine.send()
    (told,) = mine.take()
    assert [one.kind for one in told.alerts] == ["canary.sent"]


# --- the commands -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(mine: Mine, post: HttpReceiver) -> Run:
    """The commands, on the database of ``mine``; they send through the real Apprise."""
    post.answers(Answer())
    path = path_of(mine.store).with_name("config.toml")
    path.touch(mode=0o600)
    path.write_text(
        f'state_dir = "{path.parent}"\n{section(path_of(mine.store))}'
        f'[[environments]]\nname = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_x"\n'
        f'[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:{post.port}/hook-ops"\n'
        f'[canary]\nchannel = "ops"\n'
    )

    def call(*words: str, code: int = 0, without: str = "") -> Result:
        if without:
            path.write_text(path.read_text().partition(without)[0])
        return commands.call(path, *words, clock=mine.clock, code=code)

    return call


def test_the_command_sends_one_now_and_says_whether_it_arrived(run: Run, mine: Mine, post: HttpReceiver) -> None:
    assert run("canary").stdout.endswith("the canary reached ops; look whether it arrived\n")
    (request,) = post.requests
    assert "CANARY" in request.json["title"]
    post.answers(Answer(status=500))
    mine.now += MINUTE
    result = run("canary", code=1)
    assert "the canary did not arrive: its message waits; see: renewal-watch alerts" in result.stderr
    assert "reached" not in result.output


def test_the_command_without_a_canary_says_what_is_missing(run: Run, mine: Mine) -> None:
    result = run("canary", code=2, without="[canary]")
    assert 'the configuration has no [canary]; add it with channel = "NAME"' in result.stderr
    assert mine.rows("alerts") == 0


def test_no_command_but_alerts_speaks_of_it(run: Run, mine: Mine) -> None:
    mine.has(entry(renewal_date="2027-01-23", days_until_monthly_renewal=61))
    mine.send()
    mine.take()
    for words in (
        ("status",),
        ("status", "--json"),
        ("snapshot",),
        ("snapshot", "--json"),
        ("preview", "--days", "2"),
        ("preview", "--json", "--days", "2"),
        ("silence", "list"),
        ("silence", "add", "--all", "--for", "1h"),
    ):
        said = run(*words).stdout
        assert "canary" not in said.lower(), words
        assert canary.NUMBER not in said, words
    assert "about 1 of the present numbers" in run("silence", "add", "--number", "+1555*", "--for", "1h").stdout
    for command in ("history", "explain", "ack", "lapse"):
        assert "no number is known by" in run(command, canary.NUMBER, code=2).stderr
    assert run("status", "--environment", CANARY, code=2).stdout == ""
    assert "canary.sent" in run("alerts").stdout


def test_the_preview_neither_sends_nor_moves_it(mine: Mine, run: Run) -> None:
    settings = load(path_of(mine.store).with_name("config.toml"))
    run("status")
    mine.has(entry())
    mine.is_due()
    with mine.store.transaction() as tx:
        before = fired_at(tx, "canary")
    list(look_ahead(settings, mine.store, mine.way, mine.now, mine.now + 8 * DAY))
    with mine.store.transaction() as tx:
        assert fired_at(tx, "canary") == before
    assert mine.take() == []
