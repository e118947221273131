"""The promise under SIGKILL: nothing is lost, nothing is sent twice but for a crash, the database stays sound."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import many
import pytest
import zygote
from rounds import Chosen, note, rounds
from world import World, serving, write_config

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch
from renewal_watch.store.maintenance import integrity
from renewal_watch.store.outbox.alerts import list_alerts


class Zygote:
    """The forking process and its pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, zygote.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, config: Path, step: str = "-") -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{config} {step}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def ended(self) -> int:
        """The wait status of the child."""
        assert self._process.stdout
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def forker() -> Iterator[Zygote]:
    one = Zygote()
    yield one
    one.close()


def settle(config: Path) -> Store:
    """Send what the killed processes left, after their leases ran out."""
    settings = load(config)
    store = Store(settings.database_url)
    store.upgrade()
    for channel in settings.channels:
        sender = AppriseChannel(channel.name, channel.read_url)
        outlet = dispatch.Outlet(channel=channel, sender=sender)
        dispatch.run_once(store, outlet, Routing.of(settings), lambda: datetime.now(UTC) + timedelta(hours=2))
        sender.close()
    return store


def assert_promise(store: Store, world: World, kills: int) -> int:
    """Lost 0, duplicates at most one a kill, sound; every change told once. Returns the duplicates."""
    with store.transaction() as tx:
        found = list_alerts(tx)
    assert integrity.look(store) == []
    fates = [one for alert in found for one in alert["deliveries"]]
    assert fates, "the campaign found nothing to tell"
    assert {one["state"] for one in fates} == {"sent"}
    got = world.got
    lost = {one["message_id"] for one in fates} - set(got)
    assert lost == set()
    duplicates = sum(count - 1 for count in got.values())
    assert duplicates <= kills
    for number in {alert["number_id"] for alert in found if alert["kind"] == "status.changed"}:
        told = [a["text"] for a in reversed(found) if a["number_id"] == number and a["kind"] == "status.changed"]
        states = ["suspended" if re.search(r"\) (?:is|was) suspended", text) else "active" for text in told]
        assert all(one != other for one, other in itertools.pairwise(states)), "a change lost or told twice"
    return duplicates


def test_polls_killed_at_random_lose_nothing(tmp_path: Path, forker: Zygote) -> None:
    """SIGKILL between 0 and 1 s after the start, again and again, on one database and two channels."""
    count = rounds(8)
    world = World()
    chance = random.Random(Chosen.seed)
    with serving(world) as address:
        config = write_config(tmp_path, address, channels=2)
        for _ in range(count):
            pid = forker.start(config)
            timer = threading.Timer(chance.uniform(0.0, 1.0), os.kill, (pid, signal.SIGKILL))
            timer.start()
            assert os.WTERMSIG(forker.ended()) == signal.SIGKILL
            timer.join()
        store = settle(config)
        duplicates = assert_promise(store, world, count)
        with store.transaction() as tx:
            alerts = len(list_alerts(tx))
        store.close()
    note("kills of a poll", count, f"{world.requests} polls, {alerts} alerts on 2 channels, {duplicates} duplicates")


def test_a_daemon_killed_at_random_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL up to two seconds after it watches, or after its start, again and again; then it comes to rest."""
    count = rounds(4)
    world = many.World(latency_s=0.2)
    chance = random.Random(Chosen.seed)
    url = f"sqlite:///{tmp_path}/renewal-watch.db"
    with serving(world, many.Handler) as address:
        daemon = many.Daemon(many.write_config(tmp_path, url, address), "daemon")
        with many.running([daemon]):
            many.until(lambda: len(world.requests) == many.ENVIRONMENTS, "a first poll of each")
            for _ in range(count):
                if chance.random() < 0.8:  # the others die while they start
                    many.until(lambda: "watching" in daemon.text()[daemon.began :], "that it watches")
                threading.Event().wait(chance.uniform(0, 2))
                daemon.kill()
                daemon.start()
            world.is_restless = False
            asked = {name: len(times) for name, times in world.requests.items()}
            many.until(lambda: all(len(world.requests[name]) >= asked[name] + 2 for name in asked), "that all was read")
            pending = "SELECT count(*) FROM deliveries WHERE state = 'pending'"
            many.until(lambda: databases.asked(tmp_path / "renewal-watch.db", pending) == [(0,)], "that all was told")
            daemon.ends()
        assert "Traceback" not in daemon.text(), daemon.text()
        found, duplicates = many.assert_all_told_once(url, world)
        store = Store(url)
        assert integrity.look(store) == []
        store.close()
    assert duplicates <= count * len(many.CHANNELS), "what was sent and not marked when a channel died, one each"
    polls = sum(map(len, world.requests.values()))
    note(
        "kills of the daemon",
        count,
        f"{polls} polls, {found} alerts on {len(many.CHANNELS)} channels, {duplicates} duplicates",
    )


@pytest.mark.parametrize("step", list(zygote.STEPS))
def test_a_kill_at_every_step_loses_nothing(step: str, tmp_path: Path, forker: Zygote) -> None:
    """Three times at each step between the poll and the sent mark; only between send and mark may a message repeat."""
    world = World()
    with serving(world) as address:
        config = write_config(tmp_path, address)
        times = 1 if step.startswith("migrated") else 3
        for _ in range(times):
            forker.start(config, step)
            assert os.WTERMSIG(forker.ended()) == signal.SIGKILL
        store = settle(config)
        if step.startswith("migrated"):
            assert integrity.look(store) == []
            assert store.revision() is not None
        elif step != "before the request":
            allowed = times if step in ("sent", "sent mark written, not committed") else 0
            assert_promise(store, world, allowed)
        store.close()
