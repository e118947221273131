"""The real time, read in one place: everything else is given an instant, or a clock to ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]  # gives the present instant, in UTC


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)
