"""What is due now, composed once: for the daemon, the commands `poll` and `send`, the demo and the preview.

``follow`` is short and comes first: what time made due, in one transaction. ``TASKS`` may take long; the daemon gives each
a thread, a command does them one after the other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from renewal_watch.clock import Clock
from renewal_watch.database.store import Store
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import canary, digests
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import CANARY
from renewal_watch.store.maintenance import daily
from renewal_watch.store.maintenance.backups import Done
from renewal_watch.timed import follow_up

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn goes by. ``pause`` waits so many seconds and may end the turn by raising.

    ``still`` says whether a channel is as it was, for a configuration that may be read anew meanwhile.
    """

    store: Store
    settings: Settings
    routing: Routing
    clock: Clock
    pause: Callable[[float], None]
    inventory_faults: Sequence[str] = ()
    still: Callable[[Channel], bool] = lambda _: True

    @cached_property
    def policies(self) -> dict[str, Policy]:
        """How the numbers of each configured environment are judged."""
        return {one.name: self.settings.policy(one, self.routing.inventory) for one in self.settings.environments}


@dataclass(frozen=True, slots=True)
class Task:
    """Something that its calendar makes due. ``run`` says what came of it; what fails becomes an alert as well.

    Both raise StoreError.
    """

    name: str
    is_due: Callable[[Turn], bool]
    run: Callable[[Turn], list[Done]]


def follow(
    turn: Turn, file_faults: Mapping[str, str] | None = None, *, host: str = "", instance: str | None = None
) -> int:
    """Tell what time has made due; how many alerts are new. See ``follow_up.run_once``. Raises StoreError."""
    canary.follow(turn.store, turn.routing, turn.clock())
    return follow_up.run_once(
        turn.store,
        turn.routing,
        turn.policies,
        turn.clock(),
        inventory_faults=turn.inventory_faults,
        file_faults=file_faults or {},
        host=host,
        instance=instance,
    )


def _send_canary(turn: Turn) -> list[Done]:
    if fault := canary.send(turn.store, turn.routing, turn.clock, turn.pause):
        log.error("the canary failed: %s", fault)
    return []


def _send_digests(turn: Turn) -> list[Done]:
    digests.send_digests(turn.store, turn.routing, turn.policies, turn.clock, turn.still)
    return []


def _keep_up(turn: Turn) -> list[Done]:
    return daily.run_once(turn.store, turn.settings, turn.clock, turn.pause)


def at_once(turn: Turn) -> None:
    """All that is due at one instant of a made-up calendar: ``follow``, then the digests. Raises StoreError."""
    follow(turn)
    if DIGESTS.is_due(turn):
        DIGESTS.run(turn)


DIGESTS = Task("digests", lambda turn: bool(digests.due_digests(turn.store, turn.routing, turn.clock)), _send_digests)
SENDING = (
    Task(
        CANARY, lambda turn: canary.is_due(turn.store, turn.routing.canary, turn.routing.zone, turn.clock), _send_canary
    ),
    DIGESTS,
)
UPKEEP = Task("upkeep", lambda turn: daily.is_due(turn.store, turn.settings, turn.clock()), _keep_up)
TASKS = (*SENDING, UPKEEP)
