"""The real daemon as a process: signals, reload, one at a time, systemd's words, faults it must outlive."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from world import TOKEN, World, write_config

PATIENCE_S = 90.0


class Process:
    """A running ``renewal-watch run`` with its log."""

    def __init__(self, config: Path, folder: Path, **environment: str) -> None:
        self.log = folder / f"daemon-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "renewal_watch", "--config", str(config), "run"],
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Until ``condition`` holds; fails with the log when the process ends or patience does."""
        ends = time.monotonic() + PATIENCE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > ends:
                pytest.fail(f"never came: {what}; exit {self.process.poll()}; log:\n{self.text()}")
            threading.Event().wait(0.02)

    def stop(self) -> float:
        """SIGTERM; the seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - began


@contextmanager
def daemon(config: Path, folder: Path, **environment: str) -> Iterator[Process]:
    one = Process(config, folder, **environment)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def world() -> World:
    return World(restless=False)


def cli(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "renewal_watch", "--config", str(config), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def suspend(world: World, index: int) -> None:
    world.entries[index]["current_status"] = "suspended"


def test_it_polls_at_once_tells_and_ends_cleanly(tmp_path: Path, world: World, address: str) -> None:
    suspend(world, 0)
    with daemon(write_config(tmp_path, address), tmp_path) as one:
        one.wait_for(lambda: world.messages, "the baseline's message")
        assert one.stop() < 10
        assert one.process.returncode == 0
    assert "+15550000 is suspended" in str(world.messages[0]["title"]) or "suspended" in str(
        world.messages[0]["message"]
    )
    assert TOKEN not in one.text()


def test_signals_in_any_number_and_moment_hang_nothing(tmp_path: Path, address: str) -> None:
    """A handler that took a lock of the main thread's would, in the wrong moment, wait for itself."""
    with daemon(write_config(tmp_path, address), tmp_path) as one:
        one.wait_for(lambda: "watching" in one.text(), "that it watches")
        for _ in range(3000):
            one.process.send_signal(signal.SIGHUP)
        assert one.stop() < 12
        assert one.process.returncode == 0


def test_a_daemon_that_was_stopped_is_missed_by_everybody_who_looks(tmp_path: Path, world: World, address: str) -> None:
    config = write_config(tmp_path, address)
    with daemon(config, tmp_path) as one:
        one.wait_for(lambda: world.requests, "the first poll")
        one.wait_for(lambda: json.loads(cli(config, "status", "--json").stdout)["daemon"]["running"], "it shows itself")
        assert "no daemon" not in cli(config, "status").stdout
        one.process.kill()
        one.process.wait()
    (lock,) = tmp_path.rglob("*.db.lock")
    ago = time.time() - 60
    os.utime(lock, (ago, ago))  # a minute passes
    (file,) = tmp_path.rglob("*.db")
    with sqlite3.connect(file) as database:
        database.execute(
            "UPDATE environments SET last_poll_at = strftime('%Y-%m-%dT%H:%M:%S.000000Z', 'now', '-2 minutes')"
        )
    database.close()
    assert "no daemon is running, one was last seen at" in cli(config, "status").stdout
    assert "no daemon is running" in cli(config, "check").stdout
    assert "no daemon is running" in cli(config, "doctor").stdout
    assert "\nrenewal_watch_daemon_up 0" in cli(config, "metrics").stdout


def test_a_restart_repeats_nothing_and_a_kill_loses_nothing(tmp_path: Path, world: World, address: str) -> None:
    suspend(world, 0)
    config = write_config(tmp_path, address, more='poll_every = "10s"')
    with daemon(config, tmp_path) as one:
        one.wait_for(lambda: world.messages, "the first message")
        one.process.kill()
        one.process.wait()
    suspend(world, 1)
    assert cli(config, "poll", "--no-send").returncode == 0
    with daemon(config, tmp_path) as one:
        one.wait_for(lambda: len(world.messages) == 2, "what was found while it was down")
        one.stop()
    assert max(world.got.values()) == 1


def test_a_second_daemon_on_the_same_database_is_refused(tmp_path: Path, world: World, address: str) -> None:
    config = write_config(tmp_path, address)
    with daemon(config, tmp_path) as one:
        one.wait_for(lambda: world.requests, "the first poll")
        second = cli(config, "run")
    assert second.returncode == 1
    assert "another daemon" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_hung_channel_delays_neither_the_other_nor_the_end(tmp_path: Path, world: World, address: str) -> None:
    suspend(world, 0)
    with socket.create_server(("127.0.0.1", 0)) as hung:  # takes connections and never answers
        port = hung.getsockname()[1]
        config = write_config(tmp_path, address)
        config.write_text(config.read_text() + f'[[channels]]\nname = "hung"\nurl = "json://127.0.0.1:{port}/"\n')
        with daemon(config, tmp_path) as one:
            one.wait_for(lambda: world.messages, "the message on the healthy channel")
            assert one.stop() < 10
            assert one.process.returncode == 0


def test_a_provider_that_never_answers_does_not_delay_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = write_config(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with daemon(config, tmp_path) as one:
            one.wait_for(lambda: "watching 1 environments" in one.text(), "the start")
            assert one.stop() < 10
            assert one.process.returncode == 0


def test_reload_takes_a_good_file_and_refuses_a_bad_one(tmp_path: Path, world: World, address: str) -> None:
    config = write_config(tmp_path, address)
    good = config.read_text()
    with daemon(config, tmp_path) as one:
        one.wait_for(lambda: "watching 1 environments" in one.text(), "the start")
        config.write_text(good.replace("poll_jitter", "poll_jiter"))
        one.process.send_signal(signal.SIGHUP)
        one.wait_for(lambda: "reload refused" in one.text(), "the refusal")
        assert "did you mean poll_jitter?" in one.text()
        config.write_text(
            good + f'[[channels]]\nname = "more"\nurl = "json://{address.removeprefix("http://")}/more"\n'
        )
        one.process.send_signal(signal.SIGHUP)
        one.wait_for(lambda: "reloaded: 1 environments, 2 channels" in one.text(), "the reload")
        suspend(world, 3)
        assert cli(config, "poll", "--no-send").returncode == 0
        one.wait_for(lambda: len(world.messages) == 2, "a message on each of the two channels")
        assert one.stop() < 10


def test_a_rejected_token_is_told_at_once_and_not_tried_again_until_replaced(
    tmp_path: Path, world: World, address: str
) -> None:
    token = tmp_path / "token"
    token.write_text("talq_the_old_one")
    config = write_config(tmp_path, address, more='poll_every = "10s"')
    config.write_text(config.read_text().replace(f'token = "{TOKEN}"', f'token_file = "{token}"'))
    world.fault = 401
    with daemon(config, tmp_path) as one:
        one.wait_for(lambda: world.messages, "the alert")
        assert "token is rejected" in str(world.messages[0]["title"])
        asked = world.requests
        assert cli(config, "poll").returncode == 1, "polling by hand is held back as well"
        assert world.requests == asked
        world.fault = None
        token.write_text("talq_the_new_one")
        one.wait_for(lambda: len(world.messages) == 2, "the recovery, at once")
        assert "can be read again" in str(world.messages[1]["title"])
        one.stop()
    assert "talq_the" not in one.text()
    assert b"talq_the" not in (tmp_path / "renewal-watch.db").read_bytes()


def test_systemd_hears_ready_status_watchdog_reload_and_stopping(tmp_path: Path, world: World, address: str) -> None:
    path = tmp_path / "notify"
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.setblocking(False)

        def hear(wanted: str) -> bool:
            while True:
                try:
                    said.append(notify.recv(4096).decode())
                except BlockingIOError:
                    return any(wanted in one for one in said)

        config = write_config(tmp_path, address)
        with daemon(config, tmp_path, NOTIFY_SOCKET=str(path), WATCHDOG_USEC="2000000") as one:
            one.wait_for(lambda: hear("READY=1"), "READY")
            one.wait_for(lambda: hear("WATCHDOG=1"), "WATCHDOG")
            one.wait_for(lambda: world.requests, "the first poll")
            one.process.send_signal(signal.SIGHUP)
            one.wait_for(lambda: hear("RELOADING=1"), "RELOADING")
            one.wait_for(lambda: hear("READY=1") and sum("READY=1" in s for s in said) == 2, "READY again")
            one.stop()
            assert hear("STOPPING=1")


def test_a_log_line_is_json_when_asked_for(tmp_path: Path, address: str) -> None:
    config = write_config(tmp_path, address)
    command = [sys.executable, "-m", "renewal_watch", "--config", str(config), "--log-format", "json", "run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = json.loads(process.stderr.readline())
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert line["message"] == "watching 1 environments, 1 channels"
    assert process.returncode == 0
