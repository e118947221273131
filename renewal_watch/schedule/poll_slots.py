"""When an environment is polled next, and which are begun now. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import NamedTuple
from zoneinfo import ZoneInfo

from renewal_watch.schedule.cron import times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEPS = 10  # of an interval: a poll moves by no more towards its place

SLOW_S = 5  # a poll of a hundred numbers takes well under a second
_QUICK_SHARE = 4  # a quarter of the places is for quick polls only


def next_poll(after: datetime, *, every: timedelta, cron: str | None, zone: str) -> datetime:
    """The next poll after ``after``, without jitter."""
    if cron is None:
        return after + every
    fires = (fire.astimezone(UTC) for fire in times(cron, after.astimezone(ZoneInfo(zone))))
    at = next((fire for fire in fires if fire > after), None)
    if at is None:  # config refuses such a line
        msg = f"the cron line {cron!r} never comes"
        raise ValueError(msg)
    return at


def spread(at: datetime, *, every: timedelta, name: str) -> datetime:
    """``at``, moved by a tenth of the interval at most towards the place within it that is the environment's own.

    Many environments that began together are thus spread over the interval within five polls, and none ever waits longer
    than a tenth more than ``every``. The place comes from the name: the same in every process, whoever else there is.
    """
    place = every * (int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") / 2**32)
    ahead = (place - (at - EPOCH)) % every
    shift = ahead if ahead <= every / 2 else ahead - every
    return at + min(max(shift, -every / STEPS), every / STEPS)


class Due(NamedTuple):
    """An environment that is to be polled: since when (None: it never was), and how long it took the last time."""

    name: str
    since: datetime | None
    took_s: float | None


def to_begin(due: Iterable[Due], under_way: Iterable[float], at_once: int) -> list[str]:
    """Which of those that are due are polled now, the longest due first.

    ``under_way`` says how many seconds each poll that goes on takes: so far, or the last time, whichever is longer. Some
    places are only for those known to be quick: however many others are slow, or not known yet, they hold up none of them.
    """
    taken = list(under_way)
    free = at_once - len(taken)
    for_slow = at_once - (at_once + _QUICK_SHARE - 1) // _QUICK_SHARE if at_once > 1 else 1
    for_slow -= sum(_is_slow(seconds) for seconds in taken)
    begun: list[str] = []
    for one in sorted(due, key=lambda one: (one.since is not None, one.since or EPOCH, one.name)):
        if len(begun) >= free:
            break
        if _is_slow(one.took_s):
            if for_slow <= 0:
                continue
            for_slow -= 1
        begun.append(one.name)
    return begun


def _is_slow(seconds: float | None) -> bool:
    return seconds is None or seconds >= SLOW_S
