"""What every test starts from: no configuration of the machine, no proxy, a known instant."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

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

    for name in ("renewal_watch", "renewal_watch.poll"):
        logging.getLogger(name).setLevel(logging.NOTSET)  # a fixture of a whole module may have run a command
    REDACTOR.masks_numbers = False
    yield
    REDACTOR.masks_numbers = False
