"""The real daemon as a process, with its environments in a directory: one is added, breaks, is mended, and is removed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
from made_up import entry
from receivers import Answer, HttpReceiver, http_receiver

PATIENCE_S = 90.0
TOKEN = "talq_of_one_customer"


class Daemon:
    """``renewal-watch run`` with a directory, a provider and a channel that notes what it was told."""

    def __init__(self, folder: Path, receiver: HttpReceiver) -> None:
        self.directory = folder / "environments.d"
        self.directory.mkdir()
        self.receiver = receiver
        self.log = folder / "daemon.log"
        self.config = folder / "config.toml"
        self.config.write_text(
            f'state_dir = "{folder}"\nenvironments_dir = "{self.directory}"\n'
            f"{databases.section(folder / 'renewal-watch.db')}"
            f'[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:{receiver.port}/hook"\nmax_per_hour = 10000\n'
        )
        self.config.chmod(0o600)
        self.process: subprocess.Popen[bytes] | None = None

    def file(self, name: str, more: str = "") -> Path:
        path = self.directory / f"{name}.toml"
        part = path.with_suffix(".part")
        part.write_text(f'base_url = "http://127.0.0.1:{self.receiver.port}/{name}"\ntoken = "{TOKEN}"\n{more}')
        part.chmod(0o600)
        return part.replace(path)

    def start(self) -> None:
        command = [sys.executable, "-m", "renewal_watch", "--config", str(self.config), "run"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))

    def reload(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGHUP)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        assert self.process
        ends = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > ends:
                pytest.fail(f"never came: {what}; exit {self.process.poll()}; log:\n{self.log.read_text()}")
            threading.Event().wait(0.02)

    def polls(self) -> Counter[str]:
        """How often each environment's list was read."""
        found = (re.match(r"/([\w-]+)/phone-numbers\?", one.path) for one in self.receiver.requests)
        return Counter(one[1] for one in found if one)

    def told(self) -> list[str]:
        return [str(json.loads(one.body)["message"]) for one in self.receiver.requests if one.path == "/hook"]

    def says(self, *words: str) -> Any:
        command = [sys.executable, "-m", "renewal_watch", "--config", str(self.config), *words]
        return json.loads(subprocess.run(command, capture_output=True, check=False, timeout=60).stdout)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    numbers = {"success": True, "data": [entry("phone-1", renewal_date=None)], "meta": {"last_page": 1, "total": 1}}
    with http_receiver() as receiver:

        def answer(request: Any) -> Answer:
            if request.path == "/hook":
                return Answer(200, b"{}")
            is_list = re.search(r"/phone-numbers\?", request.path)
            return Answer(200, json.dumps(numbers).encode()) if is_list else Answer(404, b"{}")

        receiver.answer = answer
        one = Daemon(tmp_path, receiver)
        yield one
        if one.process:
            one.process.kill()
            one.process.wait()


def test_environments_come_break_and_go_without_a_restart(daemon: Daemon) -> None:
    daemon.file("acme", 'poll_every = "10s"\npoll_jitter = "0s"\n')
    daemon.start()
    daemon.wait_for(lambda: daemon.polls()["acme"], "the first poll")

    globex = daemon.file("globex")
    daemon.reload()
    daemon.wait_for(lambda: daemon.polls()["globex"] == 1, "the poll of what was added")

    daemon.file("globex", 'poll_evry = "1h"\n')
    daemon.reload()
    daemon.wait_for(lambda: len(daemon.told()) == 1, "the alert")
    assert "globex.toml (environments_dir) cannot be used as it is: poll_evry: unknown key" in daemon.told()[0]
    assert [one["name"] for one in daemon.says("status", "--json")["environments"]] == ["acme"], "for who starts anew"

    daemon.file("globex", 'poll_every = "2h"\n')
    daemon.reload()
    daemon.wait_for(lambda: len(daemon.told()) == 2, "its end")
    assert "globex.toml (environments_dir) is valid again" in daemon.told()[1]

    globex.unlink()
    daemon.reload()
    daemon.wait_for(lambda: "environments removed: globex" in daemon.log.read_text(), "the removal")
    before = daemon.polls()["acme"]
    daemon.wait_for(lambda: daemon.polls()["acme"] > before, "the next poll of the other one")
    assert daemon.polls()["globex"] == 1
    assert len(daemon.told()) == 2, "nothing is missing and nothing stale"
    kinds = [one["kind"] for one in daemon.says("alerts", "--json")]
    assert sorted(kinds) == ["environments.invalid", "environments.invalid"]

    assert daemon.process
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(15) == 0
    log = daemon.log.read_text()
    assert TOKEN not in log
    assert "Traceback" not in log
