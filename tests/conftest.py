"""What every test starts from: no configuration of the machine, no proxy, a known instant; and what several stand on."""

from __future__ import annotations

import functools
import gc
import logging
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
import rounds
from databases import Chosen
from receivers import HttpReceiver, http_receiver
from world import World, serving

from renewal_watch.channels.apprise import AppriseChannel

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday noon


# Files that take longest: they begin first, so that no worker is alone with one at the end.
LONG = (
    *("test_systemd.py", "test_many_daemons.py", "test_browser.py", "test_killed.py", "test_daemon.py", "test_cli.py"),
    *("test_told_always.py", "test_follow_up.py", "test_web_serving.py", "test_channels.py", "test_shell.py"),
    *("test_daemon_parts.py", "test_environments.py", "test_rolling.py", "test_poll.py", "test_retention.py"),
)


class Clock:
    """The time, moved by hand."""

    def __init__(self, now: datetime = T0) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def on(self, length: timedelta) -> None:
        self.now += length


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgresql", action="store_true", help="run on PostgreSQL the tests in which the engine matters"
    )
    parser.addoption(
        "--whole", action="store_true", help="with --postgresql: also those that do the same on either engine"
    )
    rounds.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    rounds.choose(config)
    Chosen.is_postgresql = bool(config.getoption("--postgresql"))
    mine = getattr(config, "workerinput", None)
    Chosen.worker = mine["workerid"] if mine else "alone"
    config.addinivalue_line("markers", "both_engines: the engine matters, so it runs on SQLite and on PostgreSQL")
    config.addinivalue_line("markers", "either_engine: does the same on SQLite and on PostgreSQL")
    config.addinivalue_line("markers", "lengthy: only in a campaign")
    config.addinivalue_line("markers", "sqlite_only: is about a file")
    config.addinivalue_line("markers", "postgresql_only: is about a server")


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait for processes and servers more than they compute."""
    return 2 * (os.cpu_count() or 1)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """On the server most files have nothing to run, and reading them takes longer than running the others."""
    if not Chosen.is_postgresql or not collection_path.name.startswith("test_"):
        return None
    return None if re.search(r"\b(BOTH|EITHER|POSTGRESQL_ONLY)\b", collection_path.read_text()) else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    other = "sqlite_only" if Chosen.is_postgresql else "postgresql_only"
    wanted = {"both_engines", "postgresql_only"} | ({"either_engine"} if config.getoption("--whole") else set())
    leaves_out = "lengthy" if rounds.Chosen.report is None and not rounds.Chosen.rounds else ""
    chosen, left = [], []
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        is_mine = not marks & {other, leaves_out} and (not Chosen.is_postgresql or bool(marks & wanted))
        (chosen if is_mine else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = sorted(chosen, key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """Some thousand tests with all that they import are never garbage: nobody looks at them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Those who run tests side by side are given one server."""
    if Chosen.is_postgresql:
        node.workerinput["server"] = _started()


@functools.cache
def _started() -> str:
    """Where the server of this run is, or why there is none; where every test must run, that is an error."""
    try:
        return databases.start()
    except databases.NoServer as error:
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            raise
        return f"!{error}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """How many examples a property is tried with goes into the report of a campaign."""
    tried = getattr(getattr(item, "function", None), "_hypothesis_internal_use_settings", None)
    if tried is not None:
        item.user_properties.append(("examples", tried.max_examples))


@pytest.fixture(scope="session", autouse=True)
def _server(request: pytest.FixtureRequest) -> Iterator[None]:
    if Chosen.is_postgresql:
        given = getattr(request.config, "workerinput", None)
        where = given["server"] if given else _started()
        if where.startswith("!"):
            pytest.skip(where[1:])
        databases.use(where)
    yield
    databases.tidy(set())


@pytest.fixture(autouse=True)
def _tidied() -> Iterator[None]:
    """What a test opened is closed and dropped after it; what it shares with its module stays."""
    before = databases.made()
    yield
    databases.tidy(before)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "RENEWAL_WATCH_CONFIG",
        "CONFIGURATION_DIRECTORY",
        "STATE_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "JOURNAL_STREAM",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _forgotten_secrets() -> Iterator[None]:
    """A secret learned by one test blots out no text of the next."""
    from renewal_watch.text import REDACTOR

    before = set(REDACTOR._secrets)
    yield
    REDACTOR._secrets.clear()
    REDACTOR._secrets.update(before)


@pytest.fixture(autouse=True)
def _forgotten_loudness() -> Iterator[None]:
    """What one command sets for its process, how much is logged and whether numbers are masked, is no other test's."""
    from renewal_watch.text import REDACTOR

    logging.disable(logging.NOTSET)  # completion keeps its whole process quiet
    for name in ("renewal_watch", "renewal_watch.operations.poll"):
        logging.getLogger(name).setLevel(logging.NOTSET)  # a fixture of a whole module may have run a command
    REDACTOR.masks_numbers = False
    yield
    REDACTOR.masks_numbers = False


@pytest.fixture
def world() -> World:
    """A provider of three numbers and a channel that notes what it was told; see ``address``."""
    return World(numbers=3, restless=False)


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """Where the world is served."""
    with serving(world) as where:
        yield where


@pytest.fixture(scope="module")
def web() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def senders(web: HttpReceiver) -> Iterator[Callable[[str], AppriseChannel]]:
    """Real channels by name, whose children serve all the tests."""
    made: dict[str, AppriseChannel] = {}

    def sender(name: str) -> AppriseChannel:
        return made.setdefault(name, AppriseChannel(name, lambda: f"json://127.0.0.1:{web.port}/{name}"))

    yield sender
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return databases.made_empty(tmp_path_factory.mktemp("empty") / "watch.db")
