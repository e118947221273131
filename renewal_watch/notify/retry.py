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


def again_at(
    attempts: int, give_up_at: datetime, now: datetime, chance: float, wait: timedelta = timedelta(0)
) -> datetime | None:
    """When a delivery that failed is tried again, None where it is given up.

    ``wait`` is how long the receiver asked to be left alone; no longer than the longest back-off is waited.
    """
    if now >= give_up_at:
        return None
    return max(now + min(wait, BACKOFF_LONGEST), next_attempt(attempts, now, chance))


def jitter(longest: timedelta) -> timedelta:
    """A random part of ``longest``: polls of many installations must not meet at the full hour."""
    return longest * random.random()  # noqa: S311 (no secret hangs on it)
