"""Thins the changes of past months: which of a number's versions are superfluous, and how the rest is merged."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby, zip_longest
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import exists, func, or_, select

from renewal_watch.database.schema import changes, numbers, polls
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.store.history import COUNTDOWN, difference, ticked
from renewal_watch.store.maintenance import batches
from renewal_watch.store.maintenance.batches import Place, Turn, in_batches, mark

REACH = timedelta(days=2)  # a poll a day, and its jitter
HAS_CHANGES = exists().where(changes.c.poll_id == polls.c.id)


class Line(NamedTuple):
    """A line of the poll log."""

    id: int
    started_at: datetime
    outcome: str


def month_of(at: datetime) -> datetime:
    """The first instant of the month, in UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def superfluous(lines: Iterable[Line]) -> Iterator[int]:
    """The polls of each month but for the last good one. ``lines`` are in the order of time."""
    for _, month in groupby(lines, key=lambda line: month_of(line.started_at)):
        stays = 0
        for line in month:
            if line.outcome == "ok" and line.id > stays:
                if stays:
                    yield stays
                stays = line.id
            else:
                yield line.id


def choose(turn: Turn, place: Place, limit: datetime) -> int:
    """Mark what goes of the months before the limit; how many polls."""
    turn.say("choosing the last polls of months", place)
    return mark(turn, place, superfluous(_lines(turn, place, month_of(limit))))


def _lines(turn: Turn, place: Place, limit: datetime) -> Iterator[Line]:
    """The polls before ``limit`` that are not marked, in the order of time.

    A poll with a higher id than one that is known to be later has its time from a clock that was wrong: it is no old one.
    """
    later = select(polls.c.id).where(
        polls.c.environment_id == place.pk, polls.c.started_at >= limit, polls.c.started_at <= turn.now
    )
    with turn.store.reading() as tx:
        first_later = tx.connection.execute(later.order_by(polls.c.started_at).limit(1)).scalar_one_or_none()
    conditions = [polls.c.started_at < limit, polls.c.outcome != "pruned"]
    if first_later is not None:
        conditions.append(polls.c.id < first_later)
    return read(turn, place, *conditions)


def read(turn: Turn, place: Place, *conditions: Any) -> Iterator[Line]:
    """Lines of the poll log in the order of time, in pages: whoever reads long holds up the commits of a SQLite file."""
    query = select(polls.c.id, polls.c.started_at, polls.c.outcome).where(
        polls.c.environment_id == place.pk, *conditions
    )
    query = query.order_by(polls.c.started_at, polls.c.id).limit(batches.PAGE)
    following = query
    while True:
        with turn.store.reading() as tx:
            page = [Line(*row) for row in tx.connection.execute(following)]
        yield from page
        if len(page) < batches.PAGE:
            return
        last = page[-1]
        following = query.where(
            polls.c.started_at >= last.started_at,  # says nothing new, but SQLite goes by an index with it
            or_(polls.c.started_at > last.started_at, polls.c.id > last.id),
        )


def forget(turn: Turn, place: Place, limit: datetime) -> int:
    """Let every list before the limit go, but for the last good one: it is what was known at the limit.

    How many polls were marked.
    """
    turn.say("forgetting", place)
    stays = max((line.id for line in _lines(turn, place, limit) if line.outcome == "ok"), default=None)
    marked = mark(turn, place, (line.id for line in _lines(turn, place, limit) if line.id != stays))
    if stays is None:
        return marked
    rest = read(turn, place, polls.c.id < stays, polls.c.outcome != "pruned")
    marked += mark(turn, place, (line.id for line in rest))  # it cannot be given any more, whatever its time
    query = select(changes.c.number_id, changes.c.poll_id)
    for chunk in in_batches(turn, (line.id for line in read(turn, place, polls.c.id <= stays, HAS_CHANGES))):
        is_left = True
        while is_left:
            with turn.step(place.of) as tx:
                rows = tx.connection.execute(query.where(changes.c.poll_id.in_(chunk)).limit(turn.rows)).all()
                tx.drop(changes, ("number_id", "poll_id"), rows)
                is_left = len(rows) == turn.rows
            turn.done.changes += len(rows)
    return marked


class Change(NamedTuple):
    """A row of ``changes``; ``at`` is the time of its poll, ``fields`` is decoded."""

    number_id: int
    poll_id: int
    at: datetime
    was_listed: bool
    is_listed: bool
    fields: dict[str, dict[str, Any]]
    zero_before: int | None

    def row(self) -> tuple[int, int, bool, bool, str | None, int | None]:
        """As it is kept."""
        said = msgspec.json.encode(self.fields).decode() if self.fields else None
        return self.number_id, self.poll_id, self.was_listed, self.is_listed, said, self.zero_before


class Zero(NamedTuple):
    """The instant at which a countdown reached 0 as it was known after a change; None without a countdown."""

    at: int | None


def merged(those: Sequence[Change], poll_id: int, at: datetime, after: Zero | None) -> Change | None:
    """One change of a number, at the poll ``poll_id``, in the place of several, oldest first; None if they cancel out.

    ``after`` is what the number's ``zero_at`` was after the last of them, None where that is not looked up: then they stay
    at the poll of the last one, and do not cancel out. A countdown is said as it would have read at the poll: without
    rounding before it, for from that every earlier list is told.
    """
    first, last = those[0], those[-1]
    now: dict[str, tuple[Any, datetime]] = {}
    before: dict[str, tuple[Any, datetime]] = {}
    for change in those:
        for name, values in change.fields.items():
            before.setdefault(name, (values.get("before", msgspec.UNSET), change.at))
            now[name] = (values.get("now", msgspec.UNSET), change.at)
    zero_now = last.zero_before if poll_id == last.poll_id or after is None else after.at
    for side, zero_at in ((before, first.zero_before), (now, zero_now)):
        value, seen_at = side.get(COUNTDOWN, (None, at))
        if value not in (None, "", msgspec.UNSET) and zero_at is not None and seen_at != at:
            side[COUNTDOWN] = (ticked(value, seen_at, zero_at, at, digits=None), at)
    there = [{name: one for name, (one, _) in side.items() if one is not msgspec.UNSET} for side in (before, now)]
    fields = difference(*there)
    if not fields and first.was_listed == last.is_listed and after == Zero(first.zero_before):
        return None
    return Change(first.number_id, poll_id, at, first.was_listed, last.is_listed, fields, first.zero_before)


def merge(turn: Turn, place: Place, limit: datetime) -> None:
    """Move every change at a marked poll to the next good one, number by number."""
    span = _span(turn, place, limit)
    if span is None:
        return
    start = _Start(0, 0)
    while True:
        with turn.step(place.of) as tx:
            query = select(numbers.c.id).where(numbers.c.environment_id == place.pk, numbers.c.id >= start.number_id)
            ids = tx.connection.execute(query.order_by(numbers.c.id).limit(batches.NUMBERS)).scalars().all()
            if not ids:
                return
            count, start = _merge_some(tx, ids, start, span, turn.rows)
        turn.done.changes += count
        turn.say(f"merging changes, {turn.done.changes} are gone", place)


class _Start(NamedTuple):
    """Where the merging goes on: at this number, and of its changes at the one of this poll."""

    number_id: int
    poll_id: int


class _Span(NamedTuple):
    """The polls whose changes are looked at, from ``first`` on, to the last of ``targets``: where they may move to."""

    first: int
    targets: list[int]

    def target(self, poll_id: int) -> int:
        """The good poll that gives the list after a change at ``poll_id``."""
        return self.targets[bisect_left(self.targets, poll_id)]


def _span(turn: Turn, place: Place, limit: datetime) -> _Span | None:
    """None if no marked poll has changes that can move."""
    lines = read(turn, place, polls.c.started_at < limit, polls.c.outcome == "pruned", HAS_CHANGES)
    first = last = 0
    for line in lines:
        first, last = min(line.id, first or line.id), max(line.id, last)
    if not first:
        return None
    targets = sorted(line.id for line in read(turn, place, polls.c.id.between(first, last), polls.c.outcome == "ok"))
    good = select(func.min(polls.c.id)).where(polls.c.environment_id == place.pk, polls.c.outcome == "ok")
    with turn.store.reading() as tx:
        beyond = tx.connection.execute(good.where(polls.c.id > last)).scalar_one()
    targets += [] if beyond is None else [beyond]
    return _Span(first, targets) if targets else None


def _merge_some(tx: Transaction, ids: Sequence[int], start: _Start, span: _Span, most: int) -> tuple[int, _Start]:
    """Merge some changes of these numbers, ``most`` at a time: how many rows are gone, and where it goes on.

    Where there are more than fit into one transaction those at its end become one at the poll of the last of them.
    """
    query = (
        select(changes, polls.c.started_at)
        .select_from(changes)
        .join(polls, polls.c.id == changes.c.poll_id)
        .where(
            changes.c.number_id.in_(ids),
            changes.c.poll_id.between(span.first, span.targets[-1]),
            or_(changes.c.number_id > start.number_id, changes.c.poll_id >= start.poll_id),
        )
        .order_by(changes.c.number_id, changes.c.poll_id)
        .limit(most)
    )
    rows = [
        Change(
            *(row.number_id, row.poll_id, row.started_at, row.was_listed, row.is_listed),
            msgspec.json.decode(row.fields) if row.fields else {},
            row.zero_before,
        )
        for row in tx.connection.execute(query)
    ]
    unfinished = rows[-1].number_id if len(rows) == most else None
    groups = [list(those) for _, those in groupby(rows, key=lambda one: (one.number_id, span.target(one.poll_id)))]
    zeros = _zeros(tx, sorted({one.number_id for one in rows} - {unfinished}), span.targets[-1])
    times = _times(tx, {span.target(those[-1].poll_id) for those in groups})
    gone: list[tuple[int, int]] = []
    fresh: list[Change] = []
    count = 0
    for those, following in zip_longest(groups, groups[1:]):
        last = those[-1]
        target = span.target(last.poll_id)
        if following is not None and following[0].number_id == last.number_id:
            after: Zero | None = Zero(following[0].zero_before)
        else:
            after = zeros.get(last.number_id)
        if after is None or target not in times:  # or somebody else let that poll go meanwhile
            poll_id, at = last.poll_id, last.at
        else:
            poll_id, at = target, times[target]
        one = merged(those, poll_id, at, after)
        if those == [one]:
            continue
        gone += [(old.number_id, old.poll_id) for old in those if one is None or old.poll_id != poll_id]
        fresh += [] if one is None else [one]
        count += len(those) - (one is not None)
    tx.drop(changes, ("number_id", "poll_id"), gone)
    tx.put(changes, tuple(changes.c.keys()), [one.row() for one in fresh], clash="replace")
    return count, _Start(ids[-1] + 1, 0) if unfinished is None else _Start(unfinished, poll_id)


def _zeros(tx: Transaction, ids: Sequence[int], last: int) -> dict[int, Zero]:
    """What each number's ``zero_at`` was after the poll ``last``: before its next change, or what it is now."""
    later = changes.alias()
    following = select(func.min(later.c.poll_id)).where(later.c.number_id == numbers.c.id, later.c.poll_id > last)
    query = select(numbers.c.id, numbers.c.zero_at, changes.c.poll_id, changes.c.zero_before).outerjoin_from(
        numbers, changes, (changes.c.number_id == numbers.c.id) & (changes.c.poll_id == following.scalar_subquery())
    )
    rows = tx.connection.execute(query.where(numbers.c.id.in_(ids)))
    return {row.id: Zero(row.zero_at if row.poll_id is None else row.zero_before) for row in rows}


def _times(tx: Transaction, ids: set[int]) -> dict[int, datetime]:
    found: dict[int, datetime] = {}
    for chunk in chunks(sorted(ids)):
        rows = tx.connection.execute(select(polls.c.id, polls.c.started_at).where(polls.c.id.in_(chunk)))
        found |= {row.id: row.started_at for row in rows}
    return found
