"""Works through many rows in short transactions, and rests between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import update

from renewal_watch.database.schema import polls
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction, chunks

PAGE = 1000  # rows that are read at once
FEWEST, FIRST, MOST = 100, 200, 1000  # rows that one transaction changes: as many as the disk does in good time
QUICK_S, SLOW_S = 0.03, 0.08  # one that took less is followed by a larger one, one that took more by a smaller one
NUMBERS = 200  # whose changes are merged in one transaction
REST_S = 0.02  # between two transactions, and at least as long as the last one took
Pause = Callable[[float], None]


@dataclass(slots=True, kw_only=True)
class Pruned:
    """How many rows are gone; ``changes`` counts those that went into another one as well. ``freed`` in bytes."""

    changes: int = 0
    poll_lines: int = 0
    deliveries: int = 0
    alerts: int = 0
    silences: int = 0
    actions: int = 0
    freed: int = 0

    def rows(self) -> dict[str, int]:
        """The counts of rows by table."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "freed"}

    def __str__(self) -> str:
        """In words."""
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.rows().items())
        return f"{counts}; {self.freed / 1e6:.1f} MB given back" if self.freed else counts


@dataclass(slots=True)
class Turn:
    """One run: transactions with a rest after each, and what was done so far."""

    store: Store
    now: datetime
    pause: Pause
    heard: Callable[[str], None] | None
    done: Pruned = field(default_factory=Pruned)
    rows: int = field(default_factory=lambda: FIRST)  # that the next transaction may change

    @contextmanager
    def step(self, of: str | None = None) -> Iterator[Transaction]:
        """A transaction of its own; then others get their turn for as long as it took."""
        with self.store.transaction(of) as tx:
            began = time.monotonic()  # what it waited for others is no work
            yield tx
        took = time.monotonic() - began
        if took > SLOW_S:
            self.rows = max(FEWEST, self.rows // 2)
        elif took < QUICK_S:
            self.rows = min(MOST, self.rows * 2)
        self.pause(max(REST_S, took))

    def say(self, doing: str, place: Place | None = None) -> None:
        """Tell what is done, and how far it is."""
        if self.heard is not None:
            self.heard(f"{place.name}: {doing}" if place else doing)


class Place(NamedTuple):
    """An environment."""

    pk: int
    name: str

    @property
    def of(self) -> str:
        """What its transactions are of."""
        return f"environment {self.name}"


def mark(turn: Turn, place: Place, ids: Iterable[int]) -> int:
    """Mark polls as pruned, in batches; how many there were."""
    count = 0
    for chunk in in_batches(turn, ids):
        with turn.step(place.of) as tx:
            for part in chunks(chunk):
                tx.connection.execute(update(polls).where(polls.c.id.in_(part)).values(outcome="pruned"))
        count += len(chunk)
    return count


def in_batches(turn: Turn, ids: Iterable[int]) -> Iterator[list[int]]:
    """For a transaction each."""
    batch: list[int] = []
    for one in ids:
        batch.append(one)
        if len(batch) >= turn.rows:
            yield batch
            batch = []
    if batch:
        yield batch
