"""When a delivery is tried again, and given up. Pure."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

BACKOFF_FIRST = timedelta(seconds=30)
BACKOFF_LONGEST = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)
CHANNEL_FAILING_AFTER = timedelta(minutes=30)


def next_attempt(attempts: int, now: datetime, chance: float) -> datetime:
    """When a delivery that failed ``attempts`` times is tried again: 30 s doubled up to 1 h, give or take a fifth.

    ``chance`` is a random number from 0 to 1, so that many deliveries do not come back at the same second.
    """
    wait = min(BACKOFF_FIRST * 2 ** min(attempts - 1, 20), BACKOFF_LONGEST)
    spread: timedelta = wait * (0.8 + 0.4 * chance)
    return now + spread


def jitter(longest: timedelta) -> timedelta:
    """A random part of ``longest``: polls of many installations must not meet at the full hour."""
    return longest * random.random()  # noqa: S311 (no secret hangs on it)
