"""The dead-man's switch with its real parts: a service on loopback, the outbox on disk, the daemon and the command."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import T0
from databases import BOTH, EITHER, away, close, copied, opened
from receivers import Answer, HttpReceiver, Request, closed_port, http_receiver
from world import TOKEN, World, write_config

from renewal_watch.config.loading import load
from renewal_watch.daemon import daemon, polls, ticker
from renewal_watch.database.store import Store
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import heartbeat
from renewal_watch.operations.heartbeat import Heartbeats, calendar
from renewal_watch.operations.poll import Polled
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.timers import fired_at
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent
from renewal_watch.store.outbox.waiting import OVERDUE_AFTER

pytestmark = EITHER

PATIENCE_S = 90.0
GOOD = Polled(environment="production", numbers=3, changed=1, alerts=0)
BEAT = "/0e1f2d3c-secret"


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it never came"
        threading.Event().wait(0.01)


@pytest.fixture
def service() -> Iterator[HttpReceiver]:
    """What listens for pings."""
    with http_receiver() as made:
        yield made


def pings(service: HttpReceiver) -> list[str]:
    """What was pinged, ``start``, ``success`` or ``fail``, in its order."""
    return [one.path.removeprefix(BEAT).removeprefix("/") or "success" for one in service.requests]


class House:
    """A database, a clock, and the switch of one environment."""

    def __init__(self, path: Path, url: str, since: datetime | None = None) -> None:
        self.now = T0
        self.store = opened(path)
        self.environment = Environment(name="production", base_url="http://127.0.0.1", token="x", heartbeat=url)
        self.channels: tuple[Channel, ...] = (Channel(name="ops", url="json://127.0.0.1"),)
        self.beats = Heartbeats(self.store, lambda: self.now, since)

    @property
    def settings(self) -> Settings:
        given: Any = dict.fromkeys(field for field in Settings.__struct_fields__)
        return Settings(**given | {"channels": self.channels, "timezone": "UTC", "environments": (self.environment,)})

    def tell(self, channel: str = "ops", severity: Severity = Severity.warning) -> None:
        """A message for ``channel`` goes into the outbox."""
        alert = Alert(
            key=f"{channel}/{self.now.isoformat()}",
            kind="renewal.due",
            severity=severity,
            environment="production",
            facts=Written("h", "t"),
            channels=(channel,),
        )
        with self.store.transaction() as tx:
            record_alerts(
                tx, [alert], Routing(channels=(*self.channels, Channel(name=channel, url="json://x"))), self.now
            )

    def poll(self, polled: Polled = GOOD) -> None:
        self.beats.begin(self.environment)
        self.beats.end(self.environment, polled, self.settings)

    def outcome(self, service: HttpReceiver) -> Request:
        """The ping that a poll of now ends with."""
        self.beats.end(self.environment, GOOD, self.settings)
        return service.wait()


@pytest.fixture
def house(tmp_path: Path, empty: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(url: str, **given: Any) -> House:
        path = tmp_path / f"{len(made)}.db"
        copied(empty, path)
        made.append(House(path, url, **given))
        return made[-1]

    yield build
    for one in made:
        one.beats.close(5)
        one.store.close()


def at(service: HttpReceiver) -> str:
    return f"http://127.0.0.1:{service.port}{BEAT}"


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_good_poll_is_a_start_and_a_success_with_counts(house: Callable[..., House], service: HttpReceiver) -> None:
    one = house(at(service))
    one.poll()
    start, success = service.wait(), service.wait()
    assert (start.method, start.path, start.body) == ("POST", f"{BEAT}/start", b"")
    assert (success.method, success.path) == ("POST", BEAT)
    assert success.body == b"3 numbers, 1 changed, 0 new alerts, 0 messages wait"


def test_a_failed_poll_is_a_failure_with_its_reason(house: Callable[..., House], service: HttpReceiver) -> None:
    one = house(at(service))
    one.poll(Polled(environment="production", error="the provider has trouble (HTTP 503)"))
    assert service.wait().path == f"{BEAT}/start"
    failed = service.wait()
    assert failed.path == f"{BEAT}/fail"
    assert failed.body == b"the poll failed: the provider has trouble (HTTP 503)"


def test_what_was_just_found_and_is_not_sent_yet_is_no_failure(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    one = house(at(service))
    one.tell()
    success = one.outcome(service)
    assert success.path == BEAT
    assert success.body.endswith(b"1 messages wait")


def test_what_waits_for_long_is_a_failure_that_names_the_channel(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    one = house(at(service))
    one.tell()
    one.now += OVERDUE_AFTER - timedelta(seconds=1)
    assert one.outcome(service).path == BEAT
    one.now += timedelta(seconds=1)
    failed = one.outcome(service)
    assert failed.path == f"{BEAT}/fail"
    assert failed.body == b"the poll is good, but messages wait since more than 15 min: 1 for ops"


def test_back_off_does_not_make_a_message_young_again(house: Callable[..., House], service: HttpReceiver) -> None:
    """It is offered again and again, each time a little later; all the same nobody got it."""
    one = house(at(service))
    one.tell()
    for _ in range(3):
        with one.store.transaction() as tx:
            delivery = claim(tx, one.channels[0], "UTC", one.now)
            assert delivery is not None
            settle_failed(tx, delivery, "no", Routing(channels=one.channels), one.now, 0.5)
        one.now += timedelta(minutes=8)
    assert one.outcome(service).path == f"{BEAT}/fail"


def test_what_is_held_back_on_purpose_is_not_overdue_and_has_its_time_when_let_out(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    one = house(at(service))
    quiet = Channel(name="ops", url="json://x", quiet_hours=("11:00-13:00",))
    digest = Channel(name="office", url="json://x", digest="daily 18:00")
    one.channels = (quiet, digest)
    one.tell()
    one.tell("office")
    for length, path in (
        (timedelta(minutes=59), BEAT),
        (timedelta(minutes=2), BEAT),  # a minute after quiet hours
        (timedelta(minutes=15), f"{BEAT}/fail"),
    ):
        one.now += length
        assert one.outcome(service).path == path, one.now
    assert b"1 for ops" in service.requests[-1].body
    assert b"office" not in service.requests[-1].body


def test_what_waits_for_its_turn_under_the_cap_is_not_overdue(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    one = house(at(service))
    one.channels = (Channel(name="ops", url="json://x", max_per_hour=1),)
    one.tell()
    with one.store.transaction() as tx:
        delivery = claim(tx, one.channels[0], "UTC", one.now)
        assert delivery is not None
        settle_sent(tx, delivery, Routing(channels=one.channels), one.now)
    one.now += timedelta(seconds=1)
    one.tell()
    one.now += timedelta(minutes=50)
    assert one.outcome(service).path == BEAT


def test_messages_for_a_channel_that_is_no_more_are_overdue(house: Callable[..., House], service: HttpReceiver) -> None:
    one = house(at(service))
    one.tell("renamed")
    one.now += timedelta(hours=1)
    assert b"1 for renamed" in one.outcome(service).body


def test_a_watch_that_just_started_has_time_to_send_what_it_finds_waiting(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    """The machine was off for a night: its first poll must not be called a failure while the outbox is emptied."""
    one = house(at(service), since=T0 + timedelta(hours=9))
    one.tell()
    one.now += timedelta(hours=9, minutes=1)
    assert one.outcome(service).path == BEAT
    one.now += OVERDUE_AFTER
    assert one.outcome(service).path == f"{BEAT}/fail"


@BOTH
def test_a_database_that_cannot_be_read_is_a_failure(
    house: Callable[..., House], service: HttpReceiver, tmp_path: Path
) -> None:
    one = house(at(service))
    with away(tmp_path / "0.db"):
        failed = one.outcome(service)
    assert failed.path == f"{BEAT}/fail"
    assert b"damaged" in failed.body or b"database" in failed.body


# --- the service misbehaves -------------------------------------------------------------------------------------------


def test_a_ping_that_is_lost_is_told_again_a_refused_one_is_not(
    house: Callable[..., House], service: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "PAUSES_S", (0.01, 0.02))
    answers = iter([Answer(503), Answer(how="reset"), Answer(200, b"OK"), Answer(404, b"not found")])
    service.answer = lambda _: next(answers)
    one = house(at(service))
    for _ in range(3):
        if not service.requests:
            one.beats.end(one.environment, GOOD, one.settings)
        assert service.wait().path == BEAT
    until(lambda: kept(one.store))
    assert kept(one.store)["fault"] is None
    one.beats.end(one.environment, GOOD, one.settings)
    service.wait()
    until(lambda: kept(one.store)["fault"])
    assert kept(one.store)["fault"] == f"127.0.0.1:{service.port} answered HTTP 404: not found"
    assert len(service.requests) == 4


def kept(store: Store) -> dict[str, Any]:
    """What the doctor is shown."""
    with store.transaction() as tx:
        found = fired_at(tx, calendar("production"))
    return dict(json.loads(found[1])) if found and found[1] else {}


def test_a_service_that_cannot_be_reached_is_one_line_in_the_log_and_one_when_it_can(
    house: Callable[..., House],
    service: HttpReceiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "renewal_watch")
    monkeypatch.setattr(heartbeat, "PAUSES_S", ())
    one = house(f"http://127.0.0.1:{closed_port()}{BEAT}")
    for count in range(3):
        one.now = T0 + timedelta(hours=count)
        one.poll()
        until(lambda: pinged_at(one) == one.now)
    one.environment = Environment(name="production", base_url="x", token="x", heartbeat=at(service))  # a reload
    one.poll()
    service.wait()
    service.wait()
    until(lambda: kept(one.store)["fault"] is None)
    lines = [record.getMessage() for record in caplog.records if "heartbeat" in record.getMessage()]
    assert len(lines) == 2
    assert "environment=production heartbeat not told: 127.0.0.1:" in lines[0]
    assert lines[0].endswith("Connection refused")
    assert lines[1] == "environment=production heartbeat told again"
    assert BEAT not in "".join(lines)


def pinged_at(one: House) -> datetime | None:
    with one.store.transaction() as tx:
        found = fired_at(tx, calendar("production"))
    return None if found is None else found[0]


def test_a_service_that_hangs_delays_nobody_and_an_old_ping_holds_up_no_new_poll(
    house: Callable[..., House], service: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "DEADLINE", timedelta(seconds=0.5))
    monkeypatch.setattr(heartbeat, "PAUSES_S", ())
    service.answers(Answer(how="hang"))
    one = house(at(service))
    began = time.monotonic()
    for _ in range(20):
        one.poll()
    assert time.monotonic() - began < 5, "the pings alone would take ten"
    until(lambda: len(service.requests) >= 2)
    until(lambda: kept(one.store))
    assert len(service.requests) <= 4, "of twenty polls only the newest is still told"
    assert "did not answer whole within 0.5 s" in kept(one.store)["fault"]


def test_a_service_that_knows_no_start_is_told_none_any_more(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    service.answer = lambda request: Answer(404 if request.path.endswith("/start") else 200)
    one = house(at(service))
    for _ in range(2):
        one.poll()
        until(lambda: kept(one.store))
    until(lambda: pings(service).count("success") == 2)
    assert pings(service).count("start") == 1


def test_a_thread_that_has_nothing_to_tell_ends_and_the_next_one_knows_what_it_learned(
    house: Callable[..., House], service: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand environments with a switch each are no thousand threads."""
    monkeypatch.setattr(heartbeat, "IDLE_S", 0.05)
    service.answer = lambda request: Answer(404 if request.path.endswith("/start") else 200)
    one = house(at(service))
    for _ in range(3):
        one.poll()
        until(lambda: not any(pulse.is_alive() for pulse in one.beats._pulses.values()))
    assert [request.path for request in service.requests] == [f"{BEAT}/start", *[BEAT] * 3]


def test_where_the_system_has_no_more_threads_the_poll_goes_on(
    house: Callable[..., House],
    service: HttpReceiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuses(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one = house(at(service))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        one.beats.begin(one.environment)
    assert "heartbeat not told: too many threads" in caplog.text
    one.poll()
    assert service.wait().path == f"{BEAT}/start"


def test_a_push_monitor_is_told_up_and_down(house: Callable[..., House], service: HttpReceiver) -> None:
    one = house(f"http://127.0.0.1:{service.port}/api/push/abc123?status=up&msg=OK&ping=")
    one.poll()
    up = service.wait()
    assert up.path.startswith("/api/push/abc123?status=up&msg=3+numbers")
    assert (up.method, up.body) == ("GET", b""), "before its version 2 it answers 404 to a POST"
    one.poll(Polled(environment="production", error="no"))
    assert service.wait().path == "/api/push/abc123?status=down&msg=the+poll+failed%3A+no&ping="
    assert len(service.requests) == 2


# --- the daemon and the command ---------------------------------------------------------------------------------------


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], daemon.Daemon]]:
    """A real daemon in a thread; signals are called by hand."""
    monkeypatch.setattr(daemon.signal, "signal", lambda *_: None)
    monkeypatch.setattr(ticker, "TICK_S", 0.05)
    monkeypatch.setattr("renewal_watch.daemon.membership.BEAT_S", 0.05)
    made: list[tuple[daemon.Daemon, threading.Thread, Store]] = []

    def start(path: Path, clock: Callable[[], datetime] = daemon.utc_now) -> daemon.Daemon:
        settings = load(path)
        store = Store(settings.database_url, is_simulated=True)
        store.upgrade()
        one = daemon.Daemon(settings, store, clock)
        thread = threading.Thread(target=one.run)
        thread.start()
        made.append((one, thread, store))
        return one

    yield start
    for one, thread, store in made:
        one.stopping.set()
        thread.join()
        one.polls.pool.shutdown(wait=True)
        one.polls.account_pool.shutdown(wait=True)
        close(store)


def configured(folder: Path, address: str, service: HttpReceiver, more: str = "") -> Path:
    return write_config(folder, address, more=f'heartbeat = "{at(service)}"\n{more}', channels=0)


def test_the_daemon_pings_around_each_poll(
    tmp_path: Path, address: str, service: HttpReceiver, running: Callable[..., daemon.Daemon]
) -> None:
    ahead = timedelta()
    running(configured(tmp_path, address, service), lambda: daemon.utc_now() + ahead)
    until(lambda: pings(service) == ["start", "success"])
    assert TOKEN.encode() not in b"".join(one.body for one in service.requests)
    ahead = timedelta(hours=2)
    until(lambda: pings(service) == ["start", "success"] * 2)


def test_a_rejected_token_is_a_failure_and_the_pause_after_it_is_silent(
    tmp_path: Path, world: World, address: str, service: HttpReceiver, running: Callable[..., daemon.Daemon]
) -> None:
    world.fault = 401
    one = running(configured(tmp_path, address, service))
    until(lambda: pings(service) == ["start", "fail"])
    ticked = one.ticker.ticked_at
    until(lambda: one.ticker.ticked_at > ticked + 0.3)
    assert pings(service) == ["start", "fail"]
    assert b"rejects the token" in service.requests[1].body


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_a_stop_or_a_reload_in_the_middle_of_a_poll_is_no_failure(
    tmp_path: Path, service: HttpReceiver, running: Callable[..., daemon.Daemon], how: str
) -> None:
    with http_receiver() as provider:
        provider.answers(Answer(429, b"{}", {"Retry-After": "60"}))
        first = json.dumps(
            {"success": True, "data": [{"id": f"phone-{i}"} for i in range(100)], "meta": {"last_page": 2}}
        )
        provider.answer = lambda request: (
            Answer(429, b"{}", {"Retry-After": "60"}) if "page=2" in request.path else Answer(200, first.encode())
        )
        one = running(configured(tmp_path, f"http://127.0.0.1:{provider.port}", service))
        until(lambda: any("page=2" in request.path for request in provider.requests))
        until(lambda: pings(service) == ["start"])
        if how == "stop":
            one.stopping.set()
            until(lambda: not one.busy)
            one.heartbeats.close(5)
        else:
            one.reloading.set()
            until(lambda: not one.reloading.is_set())
            ticked = one.ticker.ticked_at
            until(lambda: one.ticker.ticked_at > ticked + 0.2)
        assert pings(service) == ["start"]


def test_a_poll_that_ends_well_while_the_daemon_stops_is_no_failure(
    tmp_path: Path, service: HttpReceiver, running: Callable[..., daemon.Daemon], caplog: pytest.LogCaptureFixture
) -> None:
    may_go = threading.Event()
    with http_receiver() as provider:
        said = json.dumps({"success": True, "data": [{"id": "phone-1"}], "meta": {"last_page": 1}}).encode()
        asked: list[str] = []

        def answer(request: Request) -> Answer:
            if "/phone-numbers?" not in request.path:
                return Answer(404, b"{}")
            asked.append(request.path)
            return Answer(200 if may_go.wait(PATIENCE_S) else 500, said)

        provider.answer = answer
        one = running(configured(tmp_path, f"http://127.0.0.1:{provider.port}", service))
        until(lambda: asked)
        one.stopping.set()
        until(lambda: one.polls.pool._shutdown)
        may_go.set()
        until(lambda: not one.busy)
        one.heartbeats.close(5)
        assert len(provider.requests) == 2, "the agents and the list: nothing more is asked"
    assert "fail" not in pings(service)
    assert "broke" not in caplog.text


def test_a_poll_that_breaks_is_a_failure(
    tmp_path: Path,
    address: str,
    service: HttpReceiver,
    running: Callable[..., daemon.Daemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("talq_secret")

    monkeypatch.setattr(polls.poll, "run_once", breaks)
    running(configured(tmp_path, address, service))
    until(lambda: pings(service) == ["start", "fail"])
    assert service.requests[1].body == b"a fault of renewal-watch: RuntimeError"


def test_a_switch_that_cannot_be_reached_breaks_no_poll(
    tmp_path: Path, world: World, address: str, running: Callable[..., daemon.Daemon]
) -> None:
    path = write_config(tmp_path, address, more=f'heartbeat = "http://127.0.0.1:{closed_port()}/x"\n', channels=0)
    one = running(path)
    until(lambda: world.requests and not one.busy)
    with one.store.transaction() as tx:
        assert [watch.last_error for _, watch, _ in environment_states(tx)] == [None]


def typed(path: Path, *words: str, code: int = 0) -> str:
    return commands.call(path, *words, code=code, secrets=(BEAT,)).output


def test_the_command_pings_too_and_the_doctor_shows_what_was_told(
    tmp_path: Path, world: World, address: str, service: HttpReceiver
) -> None:
    path = configured(tmp_path, address, service)
    assert "heartbeat of production: not told anything yet" in typed(path, "doctor", code=1)
    typed(path, "poll")
    assert pings(service) == ["start", "success"]
    assert "heartbeat of production: told success at" in typed(path, "doctor", code=1)
    world.fault = 401
    typed(path, "poll", code=1)
    assert pings(service) == ["start", "success", "start", "fail"]
    typed(path, "poll", code=1)
    assert len(pings(service)) == 4, "the provider was not asked: nothing to tell"
    told = typed(path, "doctor", code=1)
    assert "FAIL  heartbeat of production: told fail at" in told
    assert "rejects the token" in told
    service.answers(Answer(404, b"not found"))
    world.fault = None
    typed(path, "poll", "--force")
    assert "FAIL  heartbeat of production: not reached at" in typed(path, "doctor", code=1)


def test_the_doctor_looks_at_all_else_where_a_further_secret_cannot_be_read(tmp_path: Path, address: str) -> None:
    more = 'heartbeat_file = "/nowhere/heartbeat"\nuser_token_file = "/nowhere/user-token"\n'
    path = write_config(tmp_path, address, more=more)
    path.write_text(path.read_text().replace('"ops-0"', '"production"'))
    said = typed(path, "doctor", code=1)
    assert "production: token accepted, 3 numbers" in said
    assert "channel production: understood by Apprise" in said
    assert said.count("/nowhere/user-token") == 1
    assert said.count("/nowhere/heartbeat") == 1


def test_a_command_that_breaks_off_tells_a_failure_and_one_that_is_ended_does_not(
    house: Callable[..., House], service: HttpReceiver
) -> None:
    def broken_off_by(error: BaseException) -> None:
        one = house(at(service))
        with one.beats:
            one.beats.begin(one.environment)
            raise error

    with pytest.raises(RuntimeError):
        broken_off_by(RuntimeError())
    assert pings(service) == ["start", "fail"]
    with pytest.raises(KeyboardInterrupt):
        broken_off_by(KeyboardInterrupt())
    assert pings(service) == ["start", "fail", "start"]
