"""The scheduler: it only ticks, and is started anew where its thread died or the clock was put on or back."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor as JobExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

TICK_S = 1.0


class _Tick(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires ``TICK_S`` after now, whatever the clock did: the built-in interval would catch up or wait for years."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        del previous_fire_time
        return now + timedelta(seconds=TICK_S)


class Ticker:
    """Calls ``tick`` each second, in a thread of its own, until it is stopped."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self.ticked_at = time.monotonic()
        self.scheduler: BackgroundScheduler | None = None

    def start(self) -> None:
        """Begin to tick."""
        self.ticked_at = time.monotonic()
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # that a tick is left out while one waits is no news
        scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": JobExecutor(1)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        scheduler.add_job(self._ticked, _Tick(), id="tick")
        scheduler.start()
        self.scheduler = scheduler

    def restart(self) -> None:
        """Begin anew, whatever became of the old thread."""
        with contextlib.suppress(Exception):  # a scheduler whose thread died may fail to end
            self.stop()
        self.start()

    def stop(self) -> None:
        """End; a tick under way ends by itself."""
        if self.scheduler is not None:
            self.scheduler.shutdown(wait=False)

    def lives(self) -> bool:
        """Whether it ticked lately."""
        return time.monotonic() - self.ticked_at < 30 * TICK_S

    def _ticked(self) -> None:
        self.ticked_at = time.monotonic()
        self._tick()
