"""The daemon's watch over itself, in one process: its scheduler, clock, hangs and the way past a dead database."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, away, close
from receivers import Answer, http_receiver
from world import TOKEN, World, write_config

from renewal_watch.config.loading import load
from renewal_watch.daemon import daemon, polls, running, ticker, trouble
from renewal_watch.daemon.daemon import Daemon
from renewal_watch.daemon.lock import only_one
from renewal_watch.database.store import Store
from renewal_watch.errors import AlreadyRunning, StoreError
from renewal_watch.operations import digests
from renewal_watch.settings.sections import Polls
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.timed import follow_up

pytestmark = BOTH

PATIENCE_S = 90.0


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it never came"
        threading.Event().wait(0.01)


class Running:
    """A daemon in a thread, without its signal handlers."""

    def __init__(self, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch, more: str = "") -> None:
        monkeypatch.setattr(daemon.signal, "signal", lambda *_: None)
        monkeypatch.setattr(ticker, "TICK_S", 0.05)
        monkeypatch.setattr("renewal_watch.daemon.membership.BEAT_S", 0.05)
        monkeypatch.setattr("renewal_watch.daemon.turns.REFRESH_S", 0.1)
        self.settings = load(write_config(folder, address, more=more))
        self.store = Store(self.settings.database_url, is_simulated=True)
        self.store.upgrade()
        self.offset = timedelta()
        self.begin_anew()

    def begin_anew(self) -> None:
        """A daemon that has nothing of the database yet."""
        self.store.engine.dispose()
        self.daemon = Daemon(self.settings, self.store, lambda: daemon.utc_now() + self.offset)
        self.thread = threading.Thread(target=self.daemon.run)

    def __enter__(self) -> Daemon:
        self.thread.start()
        until(lambda: self.daemon.ticker.scheduler)
        return self.daemon

    def __exit__(self, *_: object) -> None:
        self.daemon.stopping.set()
        self.thread.join()
        self.daemon.polls.pool.shutdown(wait=True)
        self.daemon.polls.account_pool.shutdown(wait=True)
        close(self.store)


def alone(one: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tick but those that the test itself makes, and no poll under way.

    The scheduler's own thread would otherwise meet what a test puts in the place of a part.
    """
    monkeypatch.setattr(one.ticker, "lives", lambda: True)
    ended, one.ticker.scheduler = one.ticker.scheduler, None
    assert ended is not None
    ended.shutdown(wait=True)  # its last tick has ended
    until(lambda: not one.busy)


def test_a_dead_scheduler_is_started_again(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread dies unseen when a trigger raises; the main thread sees that nothing ticks."""
    running = Running(tmp_path, address, monkeypatch)
    with running as one:
        until(lambda: world.requests == 1)
        dead = one.ticker.scheduler
        assert dead is not None

        def dies(*_: object) -> Any:
            raise SystemExit

        job = dead.get_job("tick")
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        monkeypatch.setattr(job.trigger, "get_next_fire_time", dies, raising=False)
        until(lambda: not dead._thread.is_alive())
        until(lambda: one.ticker.scheduler is not dead)
        ticked = one.ticker.ticked_at
        until(lambda: one.ticker.ticked_at > ticked)


def test_the_daemon_goes_on_after_a_clock_step(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back by five hours or on by ten years: the next poll comes at once, and nothing is told twice."""
    world.entries[0]["current_status"] = "suspended"
    running = Running(tmp_path, address, monkeypatch)
    with running:
        until(lambda: world.messages)
        asked = world.requests
        running.offset = -timedelta(hours=5)
        until(lambda: world.requests > asked)
        asked = world.requests
        running.offset = timedelta(days=3650)
        until(lambda: world.requests > asked)
        until(lambda: not running.daemon.busy)
    titles = [str(one["title"]) for one in world.messages if "suspended" in str(one["title"])]
    assert len([title for title in titles if "reminder" not in title]) == 1, "after ten years a reminder may be due"


def test_no_poll_waits_for_what_is_read_beside_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More environments than threads, and a provider that answers nothing but the list."""
    names = [f"env-{place}" for place in range(Polls().at_once + 1)]
    said = json.dumps({"success": True, "data": [{"id": "phone-1"}], "meta": {"last_page": 1}}).encode()
    with http_receiver() as provider:
        is_list = re.compile(r"/phone-numbers\?").search
        provider.answer = lambda request: (
            Answer(200, said)
            if is_list(request.path)
            else Answer(how="hang" if "agents" not in request.path else "whole")
        )
        base = f"http://127.0.0.1:{provider.port}"
        more = "".join(
            f'[[environments]]\nname = "{name}"\nbase_url = "{base}/{name}"\ntoken = "{TOKEN}"\npoll_jitter = "0s"\n'
            for name in names
        )
        running = Running(tmp_path, base, monkeypatch, more)
        with running:
            for rounds in (1, 2):
                ends = time.monotonic() + 10
                while sum(is_list(one.path) is not None for one in provider.requests) < rounds * (len(names) + 1):
                    assert time.monotonic() < ends, "a poll waits"
                    threading.Event().wait(0.01)
                running.offset += timedelta(hours=2)
            provider.closing.set()


OFFICE = """
[[channels]]
name = "office"
url = "json://{}/office"
digest = "daily 00:00"
digest_when_empty = true
"""


def held_up(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> tuple[threading.Event, threading.Event]:
    """``(begun, may_end)`` of a part of the follow-up that takes, once begun, until it may end."""
    begun, may_end = threading.Event(), threading.Event()
    real = getattr(module, name)

    def slow(*words: Any) -> Any:
        begun.set()
        may_end.wait(PATIENCE_S)
        return real(*words)

    monkeypatch.setattr(module, name, slow)
    return begun, may_end


def test_a_channel_that_a_reload_removed_meanwhile_gets_no_digest(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = held_up(monkeypatch, digests, "_state")
    running = Running(tmp_path, address, monkeypatch, OFFICE.format(address.removeprefix("http://")))
    with running as one:
        until(lambda: world.requests and not one.busy)
        running.offset = timedelta(days=1, hours=1)
        until(begun.is_set)
        write_config(tmp_path, address)
        one.reloading.set()
        until(lambda: "office" not in [channel.name for channel in one.settings.channels])
        may_end.set()
        until(lambda: not one.busy)
        with running.store.reading() as tx:
            assert "digest.sent" not in [alert["kind"] for alert in list_alerts(tx)]


def test_polls_go_on_and_nothing_hangs_while_a_digest_looks_at_a_large_fleet(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = held_up(monkeypatch, digests, "send_digests")
    running = Running(tmp_path, address, monkeypatch, OFFICE.format(address.removeprefix("http://")))
    with running as one:
        until(lambda: world.requests and not one.busy)
        assert not begun.is_set()
        asked = world.requests
        running.offset = timedelta(days=1, hours=1)
        until(begun.is_set)
        until(lambda: world.requests > asked)
        asked = world.requests
        running.offset += timedelta(hours=2)
        until(lambda: world.requests > asked)
        assert one.stuck() is None
        assert not [said for said in world.messages if "digest" in str(said["title"])]
        may_end.set()
        until(lambda: [said for said in world.messages if "digest" in str(said["title"])])
    assert len([said for said in world.messages if "digest" in str(said["title"])]) == 1


def test_a_hang_is_named_and_withholds_the_watchdog(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(tmp_path, address, monkeypatch) as one:
        until(lambda: not one.busy)
        assert one.stuck() is None
        one.progress["poll of production"] = time.monotonic() - running.STUCK_S - 1
        assert one.stuck() == "poll of production"
        del one.progress["poll of production"]
        assert one.stuck() is None


def test_an_unwritable_database_is_told_past_it_once(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "BLIND_AFTER_S", 0.0)
    with Running(tmp_path, address, monkeypatch) as one:
        until(lambda: world.requests)
        error = StoreError("the database /x cannot be used (database or disk is full): free some space")
        one.trouble.cannot_write(error)
        one.trouble.cannot_write(error)
        until(lambda: world.messages)
        (message,) = world.messages
        assert "cannot write its database" in str(message["title"])
        assert "disk is full" in str(message["message"])


def test_a_database_that_answers_nothing_is_told_past_it_once(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(tmp_path, address, monkeypatch)
    with running as one:
        until(lambda: world.requests and not one.busy)
        may_end = threading.Event()
        real = follow_up.run_once

        def hangs(*words: Any, **named: Any) -> int:
            may_end.wait(PATIENCE_S)
            return real(*words, **named)

        monkeypatch.setattr(follow_up, "run_once", hangs)
        monkeypatch.setattr(trouble, "BLIND_AFTER_S", 0.0)
        monkeypatch.setattr(daemon, "HUNG_AFTER_S", 0.5)
        until(lambda: world.messages)
        may_end.set()
        (message,) = world.messages
        assert "does not answer" in str(message["message"])
        running.offset = timedelta(hours=2)  # a poll is written
        until(lambda: one.trouble.since is None)


@POSTGRESQL_ONLY
def test_a_daemon_that_starts_while_the_server_is_away_waits_and_tells(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "AWAY_S", 0.05)
    running = Running(tmp_path, address, monkeypatch)
    monkeypatch.setattr(trouble, "BLIND_AFTER_S", 0.0)
    with away(tmp_path / "renewal-watch.db"):
        running.begin_anew()
        running.thread.start()
        until(lambda: world.messages)
        assert "watches nothing: the database" in str(world.messages[0]["message"])
        assert world.requests == 0
    until(lambda: world.requests)
    assert len(world.messages) == 1
    running.__exit__()


@POSTGRESQL_ONLY
def test_a_daemon_that_waits_for_its_server_can_be_stopped(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(tmp_path, address, monkeypatch)
    with away(tmp_path / "renewal-watch.db"):
        running.begin_anew()
        running.thread.start()
        until(lambda: running.daemon.trouble.since)
        running.__exit__()


def test_a_poll_that_breaks_is_repeated_and_takes_nothing_down(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def breaks(*_: object, **__: object) -> None:
        calls.append(1)
        raise RuntimeError("a fault of our own")

    monkeypatch.setattr(polls.poll, "run_once", breaks)
    with Running(tmp_path, address, monkeypatch) as one:
        until(lambda: calls)
        until(lambda: not one.busy)
        ticked = one.ticker.ticked_at
        until(lambda: one.ticker.ticked_at > ticked)
    assert world.requests == 0


def test_a_stop_in_the_middle_of_a_tick_is_no_fault(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool of the polls may be shut while the scheduler's thread is about to fill it."""
    with Running(tmp_path, address, monkeypatch) as one:
        alone(one, monkeypatch)
        due = one.settings.environments[0]

        def stops() -> list[Any]:
            one.stopping.set()
            one.polls.pool.shutdown(wait=True)
            return [due]

        monkeypatch.setattr(one.polls, "_due", stops)
        one._tick()
        assert one.stopping.is_set()
        assert not one.busy


def test_a_machine_without_threads_is_no_end_of_the_polls(
    tmp_path: Path, world: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be begun is begun with a later tick, and the log says what was missing."""
    with Running(tmp_path, address, monkeypatch) as one:
        until(lambda: world.requests)
        alone(one, monkeypatch)
        due, asked = one.settings.environments[0], world.requests
        with monkeypatch.context() as bare:
            bare.setattr(one.polls, "_due", lambda: [due])
            bare.setattr(one.polls.pool, "submit", _no_thread)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                one._tick()
        assert due.name not in one.busy
        assert world.requests == asked


def _no_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    database = tmp_path / "renewal-watch.db"
    with only_one(database), pytest.raises(AlreadyRunning, match="another daemon"), only_one(database):
        pass
    with only_one(database):
        pass


def test_the_tick_never_waits_longer_than_itself() -> None:
    """Whatever the clock did: the built-in interval would catch up on years of missed slots or wait for them."""
    tick = ticker._Tick()
    for previous in (T0 - timedelta(days=3650), T0, T0 + timedelta(days=3650)):
        assert tick.get_next_fire_time(previous, T0) == T0 + timedelta(seconds=ticker.TICK_S)
