"""Forks real watching processes quickly: everything is imported once, each child polls and sends until it is killed.

Reads lines ``CONFIG STEP`` and answers with the pid of a new child, then with its wait status once it ended.
STEP names the place where the child kills itself (``-`` for none); see ``STEPS``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alembic import command

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch, poll
from renewal_watch.provider.talkover.client import Client
from renewal_watch.store import recording


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(owner: Any, name: str, nth: int) -> None:
    """Let ``owner.name`` happen, then die, at its ``nth`` call."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        calls[0] += 1
        if calls[0] == nth:
            _die()
        return result

    setattr(owner, name, wrapped)


def _before(owner: Any, name: str, nth: int) -> None:
    """Die instead of the ``nth`` call of ``owner.name``."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth:
            _die()
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


STEPS: dict[str, Callable[[], None]] = {
    "migrated, not committed": lambda: _after(command, "upgrade", 1),
    "before the request": lambda: _before(Client, "fetch", 2),
    "list read": lambda: _after(Client, "fetch", 2),
    "poll line written, not committed": lambda: _after(recording, "_record_poll", 2),
    "changes written, not committed": lambda: _after(recording, "_record_numbers", 2),
    "alerts written, not committed": lambda: _after(poll, "record_poll", 2),
    "poll committed": lambda: _after(poll, "run_once", 2),
    "claimed, not committed": lambda: _after(dispatch, "claim", 1),
    "claim committed": lambda: _before(AppriseChannel, "send", 1),
    "second claim committed": lambda: _before(AppriseChannel, "send", 2),
    "sent": lambda: _after(AppriseChannel, "send", 1),
    "sent mark written, not committed": lambda: _after(dispatch, "settle_sent", 1),
    "sent mark committed": lambda: _after(dispatch, "_mark_sent", 1),
}


def watch(config: str) -> None:
    """Poll and send without end."""
    settings = load(Path(config))
    store = Store(settings.database_url)
    store.upgrade()
    environment = settings.environments[0]
    source = Client.of(environment, time.sleep)
    outlets = [dispatch.Outlet(channel=one, sender=AppriseChannel(one.name, one.read_url)) for one in settings.channels]
    routing = Routing.of(settings)
    while True:
        poll.run_once(store, environment, source, settings.policy(environment), routing, _now)
        for outlet in outlets:
            dispatch.run_once(store, outlet, routing, _now)


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> None:
    """Serve the test until its end of the pipe closes."""
    for line in sys.stdin:
        config, _, step = line.strip().partition(" ")
        pid = os.fork()
        if pid == 0:
            try:
                if step != "-":
                    STEPS[step]()
                watch(config)
            finally:
                os._exit(1)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
