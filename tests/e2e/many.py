"""Environments whose numbers change at each request, receivers that note all that comes, and daemons as processes."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import quick
from made_up import entry
from world import Answers

from renewal_watch.database.store import Store
from renewal_watch.store.outbox.alerts import list_alerts

ENVIRONMENTS = 12
STOP_S = 20.0  # TimeoutStopSec of the unit
PATIENCE_S = 90.0
TOKEN = "talq_of_many_daemons"
CHANNELS = ("chat", "hook")


@dataclass
class World:
    """Environments by name, and the messages of each channel; all that comes is noted."""

    latency_s: float = 0.0
    is_restless: bool = True
    renews_on: date = field(default_factory=lambda: datetime.now(UTC).date() + timedelta(days=30))
    fleets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    messages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def listed(self, environment: str) -> dict[str, Any]:
        with self.lock:
            fleet = self.fleets.setdefault(environment, [entry(f"{environment}-{i}") for i in range(3)])
            asked = self.requests[environment]
            asked.append(datetime.now(UTC))
            if self.is_restless:
                one = fleet[len(asked) % len(fleet)]
                one["current_status"] = "suspended" if one["current_status"] == "active" else "active"
            left = (self.renews_on - asked[-1].date()).days
            dated = {"renewal_date": self.renews_on.isoformat(), "days_until_monthly_renewal": left}
            copy = [one | dated for one in fleet]
        threading.Event().wait(random.uniform(0, self.latency_s))
        return {"success": True, "data": copy, "meta": {"total": len(copy), "last_page": 1}}

    def told(self, channel: str, said: dict[str, Any]) -> None:
        message_id = said.get("message_id") or str(said["message"]).rsplit("message ", 1)[-1].strip()
        threading.Event().wait(random.uniform(0, self.latency_s))
        with self.lock:
            self.messages[channel].append(message_id)

    def got(self) -> dict[str, Counter[str]]:
        """How often each message arrived, by channel."""
        with self.lock:
            return {channel: Counter(self.messages[channel]) for channel in CHANNELS}


class Handler(Answers):
    world: World

    def do_GET(self) -> None:
        place = self.path.partition("?")[0].split("/")
        if place[-1] == "phone-numbers":
            self.reply(200, self.world.listed(place[1]))
        else:
            self.reply(404, {"success": False, "message": "Not found."})

    def do_POST(self) -> None:
        self.world.told(self.path.strip("/"), json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.reply(200, {})


def write_config(
    folder: Path, url: str, address: str, environments: int = ENVIRONMENTS, name: str = "config", more: str = ""
) -> Path:
    path = folder / f"{name}.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'state_dir = "{folder}"\n[database]\nurl = "{url}"\n[flapping]\nchanges = 1000\n'
        + "".join(
            f'[[environments]]\nname = "e{i}"\nbase_url = "{address}/e{i}/api/v1"\ntoken = "{TOKEN}{i}"\n'
            f'poll_every = "{quick.INTERVAL.total_seconds():g}s"\npoll_jitter = "0s"\n'
            for i in range(environments)
        )
        + f'[[channels]]\nname = "chat"\nmax_per_hour = 10000\nurl = "json://{address.removeprefix("http://")}/chat"\n'
        + f'[[channels]]\nname = "hook"\nwebhook = "{address}/hook"\n{more}'
    )
    return path


class Daemon:
    """One place where a daemon runs, again and again; its log goes on."""

    def __init__(self, config: Path, name: str, wire: Any = None, **environment: str) -> None:
        self.config = config
        self.name = name
        self.wire = wire
        self.log = config.parent / f"{name}.log"
        self.environment = {**os.environ, "PGAPPNAME": name, **environment}
        self.process: subprocess.Popen[bytes] | None = None
        self.continues_at: float | None = None  # paused until then
        self.heals_at: float | None = None  # cut off from the server until then
        self.began = 0  # where the log of this one begins

    def start(self) -> None:
        self.began = len(self.text()) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, quick.__file__, "--config", str(self.config), "run"],
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
        self.continues_at = None

    def send(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def ends(self) -> float:
        """SIGTERM; the seconds until it ended, cleanly."""
        assert self.process
        began = time.monotonic()
        self.send(signal.SIGTERM)
        assert self.process.wait(STOP_S) == 0, self.text()[-3000:]
        return time.monotonic() - began

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    ends = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < ends, f"it never came: {what}"
        threading.Event().wait(0.1)


@contextmanager
def running(those: Sequence[Daemon]) -> Iterator[None]:
    """All of them, until the end of the block."""
    for one in those:
        one.start()
    try:
        yield
    finally:
        for one in those:
            one.kill()
            if one.wire:
                one.wire.close()


def assert_all_told_once(url: str, world: World) -> tuple[int, int]:
    """Every change was found once and is told on every channel; how many there were, and messages that came again."""
    with closing(Store(url)) as store, store.reading() as tx:
        found = list_alerts(tx)
    assert {one["kind"] for one in found} == {"status.changed"}
    arrived = world.got()
    attempts: dict[str, int] = {}
    for alert in found:
        assert sorted(one["channel"] for one in alert["deliveries"]) == sorted(CHANNELS), alert
        for one in alert["deliveries"]:
            assert one["state"] == "sent"
            assert arrived[one["channel"]][one["message_id"]], f"lost: {alert}"
            attempts[one["message_id"]] = one["attempts"]
    told: dict[str, list[str]] = defaultdict(list)
    for alert in reversed(found):
        told[alert["number_id"]].append(
            "suspended" if re.search(r"\) (?:is|was) suspended", alert["text"]) else "active"
        )
    for number, states in told.items():
        assert all(one != other for one, other in itertools.pairwise(states)), f"{number}: a change lost or told twice"
    now = {one["id"]: one["current_status"] for fleet in world.fleets.values() for one in fleet}
    assert {number: states[-1] for number, states in told.items()} == {number: now[number] for number in told}
    for counts in arrived.values():
        for message_id, count in counts.items():
            assert count <= attempts[message_id], "each attempt sends once at most"
    return len(found), sum(count - 1 for counts in arrived.values() for count in counts.values())
