"""What every test starts from: no configuration of the machine, no proxy, a known instant; and what several stand on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from receivers import HttpReceiver, http_receiver

from renewal_watch.channels import AppriseChannel
from renewal_watch.store import Store

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # a Monday noon


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
    for name in ("renewal_watch", "renewal_watch.poll"):
        logging.getLogger(name).setLevel(logging.NOTSET)  # a fixture of a whole module may have run a command
    REDACTOR.masks_numbers = False
    yield
    REDACTOR.masks_numbers = False


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
    path = tmp_path_factory.mktemp("empty") / "watch.db"
    store = Store(f"sqlite:///{path}")
    store.upgrade()
    store.close()
    return path
