"""``renewal-watch`` with shorter intervals than it lets anybody configure: what would be waited for comes at once.

Called like the program itself. Nothing else is another than in the program; how its parts of time relate stays as it is.
"""

from __future__ import annotations

from datetime import timedelta

from renewal_watch.settings import values
from renewal_watch.store import leases
from renewal_watch.store.outbox import deliveries

INTERVAL = timedelta(seconds=2)  # between two polls; 10 s are the least that a configuration may say
ALIVE = timedelta(seconds=4)  # instead of 20: an instance that is not heard of for so long is taken for dead
REFRESH_S = 3.0  # instead of 30: how often a daemon looks what others did
LEASE = timedelta(seconds=10)  # instead of 90: who claimed a message and died leaves it to others after so long


def main() -> None:
    values.SHORTEST_POLL_S = int(INTERVAL.total_seconds())
    leases.BEAT_S, leases.ALIVE = ALIVE.total_seconds() / 4, ALIVE
    deliveries.LEASE = LEASE
    from renewal_watch.cli import main as called
    from renewal_watch.daemon import daemon  # after what it takes over from others

    daemon.REFRESH_S = REFRESH_S
    called()


if __name__ == "__main__":
    main()
