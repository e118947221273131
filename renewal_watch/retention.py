"""Lets the past go by age and detail: single changes first, then alerts, the last list of each month last or never.

In months (UTC) that lie wholly before the limit only the last good poll stays. What changed between two such polls becomes
one change, as if nobody had polled between them: the list at a poll that stays is what it was before, exactly, and the
history of a number tells of the same states at the distance of a month.

    choose   the polls that go are marked 'pruned': from here on no list of theirs is given
    merge    a change at such a poll moves to the next good one, into one with those it meets there; what cancels out goes
    sweep    the lines of marked polls that nothing refers to any more are deleted

This order keeps every answer right at any moment in between, so the work is cut into transactions of some milliseconds
that let polls through, may break off anywhere, and is taken up again by looking at what is marked. That a change may move
to the next good poll is true of any order of ids and times: a clock that was put back does not matter. Only a poll that is
older by its id as well as by its time is let go, so that one of a dead clock takes nothing with it.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, zip_longest
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, exists, func, or_, select, update

from renewal_watch.config import Retention
from renewal_watch.rows import chunks
from renewal_watch.schema import (
    actions,
    alerts,
    changes,
    deliveries,
    delivery_alerts,
    entries,
    environments,
    matters,
    numbers,
    polls,
    silences,
)
from renewal_watch.snapshots import COUNTDOWN, difference, ticked
from renewal_watch.store import Store, Transaction

PAGE = 1000  # rows that are read at once
FEWEST, FIRST, MOST = 100, 200, 1000  # rows that one transaction changes: as many as the disk does in good time
QUICK_S, SLOW_S = 0.03, 0.08  # one that took less is followed by a larger one, one that took more by a smaller one
NUMBERS = 200  # whose changes are merged in one transaction
VACUUM = 500  # free pages that are given back in one transaction: 2 MB
REST_S = 0.02  # between two transactions, and at least as long as the last one took

LASTING = timedelta(days=1)  # a time that was not passed so long ago may be that of a clock that ran ahead
_REACH = timedelta(days=2)  # a poll a day, and its jitter

_HAS_CHANGES = exists().where(changes.c.poll_id == polls.c.id)

Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is older goes: detail, alerts, and the lists of months, which stay for good if None."""

    changes: datetime
    alerts: datetime
    months: datetime | None = None

    @classmethod
    def of(cls, kept: Retention, now: datetime) -> Limits:
        """Those of the configuration."""
        return cls(
            changes=now - timedelta(days=kept.changes_days),
            alerts=now - timedelta(days=kept.alerts_days),
            months=None if kept.months_days is None else now - timedelta(days=kept.months_days),
        )

    @classmethod
    def all_before(cls, limit: datetime) -> Limits:
        """Everything that ended before ``limit``: no list from before it can be given any more."""
        return cls(changes=limit, alerts=limit, months=limit)


def lasting(tx: Transaction, now: datetime) -> datetime | None:
    """The time to count ages from: ``now`` where it was confirmed or has lasted, else as far as it has; None before that.

    A clock that is ahead for a moment must delete nothing. Confirmed is a time near which an answer of a provider, whose
    ``Date`` agreed, was read; else only what is old by a time that was reached a day ago is old.
    """
    confirmed: datetime | None = tx.connection.execute(
        select(func.max(environments.c.confirmed_at, type_=environments.c.confirmed_at.type)).where(
            environments.c.confirmed_at <= now, environments.c.clock_off_at.is_(None)
        )
    ).scalar_one()
    if confirmed is not None and now - confirmed <= LASTING:
        return now
    newest: datetime | None = tx.connection.execute(
        select(func.max(polls.c.started_at, type_=polls.c.started_at.type)).where(polls.c.started_at <= now - LASTING)
    ).scalar_one()
    return None if newest is None else min(now, newest + _REACH)


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


def prune(
    store: Store,
    limits: Limits,
    now: datetime,
    pause: Pause,
    *,
    is_thorough: bool = True,
    heard: Callable[[str], None] | None = None,
) -> Pruned:
    """Let go what is older than ``limits``; may be repeated at will, and after it broke off.

    ``pause`` is given the seconds between two transactions and may end it all by raising. ``heard`` is told what goes on.
    Unless ``is_thorough``, lines that an earlier run marked and left are looked for only where this one marks some.
    """
    turn = _Turn(store, now, pause, heard)
    with store.reading() as tx:
        places = [(row.id, row.name) for row in tx.connection.execute(select(environments.c.id, environments.c.name))]
    for environment_id, name in places:
        place = _Place(environment_id, name)
        changed = turn.done.changes
        marked = _choose(turn, place, limits.changes)
        marked += _forget(turn, place, limits.months) if limits.months is not None else 0
        _merge(turn, place, limits.changes)
        if is_thorough or marked or turn.done.changes > changed:
            _sweep(turn, place)
    _alerts(turn, limits.alerts)
    _give_back(turn)
    return turn.done


@dataclass(slots=True)
class _Turn:
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

    def say(self, doing: str, place: _Place | None = None) -> None:
        """Tell what is done, and how far it is."""
        if self.heard is not None:
            self.heard(f"{place.name}: {doing}" if place else doing)


class _Place(NamedTuple):
    """An environment."""

    pk: int
    name: str

    @property
    def of(self) -> str:
        """What its transactions are of."""
        return f"environment {self.name}"


# --- which polls stay -------------------------------------------------------------------------------------------------


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


def _choose(turn: _Turn, place: _Place, limit: datetime) -> int:
    """Mark what goes of the months before the limit; how many polls."""
    turn.say("choosing the last polls of months", place)
    return _mark(turn, place, superfluous(_lines(turn, place, month_of(limit))))


def _mark(turn: _Turn, place: _Place, ids: Iterable[int]) -> int:
    count = 0
    for chunk in _batches(turn, ids):
        with turn.step(place.of) as tx:
            for part in chunks(chunk):
                tx.connection.execute(update(polls).where(polls.c.id.in_(part)).values(outcome="pruned"))
        count += len(chunk)
    return count


def _batches(turn: _Turn, ids: Iterable[int]) -> Iterator[list[int]]:
    """For a transaction each."""
    batch: list[int] = []
    for one in ids:
        batch.append(one)
        if len(batch) >= turn.rows:
            yield batch
            batch = []
    if batch:
        yield batch


def _lines(turn: _Turn, place: _Place, limit: datetime) -> Iterator[Line]:
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
    return _read(turn, place, *conditions)


def _read(turn: _Turn, place: _Place, *conditions: Any) -> Iterator[Line]:
    """Lines of the poll log in the order of time, in pages: whoever reads long holds up the commits of a SQLite file."""
    query = select(polls.c.id, polls.c.started_at, polls.c.outcome).where(
        polls.c.environment_id == place.pk, *conditions
    )
    query = query.order_by(polls.c.started_at, polls.c.id).limit(PAGE)
    following = query
    while True:
        with turn.store.reading() as tx:
            page = [Line(*row) for row in tx.connection.execute(following)]
        yield from page
        if len(page) < PAGE:
            return
        last = page[-1]
        following = query.where(
            polls.c.started_at >= last.started_at,  # says nothing new, but SQLite goes by an index with it
            or_(polls.c.started_at > last.started_at, polls.c.id > last.id),
        )


# --- what is forgotten ------------------------------------------------------------------------------------------------


def _forget(turn: _Turn, place: _Place, limit: datetime) -> int:
    """Let every list before the limit go, but for the last good one: it is what was known at the limit.

    How many polls were marked.
    """
    turn.say("forgetting", place)
    stays = max((line.id for line in _lines(turn, place, limit) if line.outcome == "ok"), default=None)
    marked = _mark(turn, place, (line.id for line in _lines(turn, place, limit) if line.id != stays))
    if stays is None:
        return marked
    rest = _read(turn, place, polls.c.id < stays, polls.c.outcome != "pruned")
    marked += _mark(turn, place, (line.id for line in rest))  # it cannot be given any more, whatever its time
    query = select(changes.c.number_id, changes.c.poll_id)
    for chunk in _batches(turn, (line.id for line in _read(turn, place, polls.c.id <= stays, _HAS_CHANGES))):
        is_left = True
        while is_left:
            with turn.step(place.of) as tx:
                rows = tx.connection.execute(query.where(changes.c.poll_id.in_(chunk)).limit(turn.rows)).all()
                tx.drop(changes, ("number_id", "poll_id"), rows)
                is_left = len(rows) == turn.rows
            turn.done.changes += len(rows)
    return marked


# --- how changes become one -------------------------------------------------------------------------------------------


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


def _merge(turn: _Turn, place: _Place, limit: datetime) -> None:
    """Move every change at a marked poll to the next good one, number by number."""
    span = _span(turn, place, limit)
    if span is None:
        return
    start = _Start(0, 0)
    while True:
        with turn.step(place.of) as tx:
            query = select(numbers.c.id).where(numbers.c.environment_id == place.pk, numbers.c.id >= start.number_id)
            ids = tx.connection.execute(query.order_by(numbers.c.id).limit(NUMBERS)).scalars().all()
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


def _span(turn: _Turn, place: _Place, limit: datetime) -> _Span | None:
    """None if no marked poll has changes that can move."""
    lines = _read(turn, place, polls.c.started_at < limit, polls.c.outcome == "pruned", _HAS_CHANGES)
    first = last = 0
    for line in lines:
        first, last = min(line.id, first or line.id), max(line.id, last)
    if not first:
        return None
    targets = sorted(line.id for line in _read(turn, place, polls.c.id.between(first, last), polls.c.outcome == "ok"))
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


# --- lines of the poll log --------------------------------------------------------------------------------------------


def _sweep(turn: _Turn, place: _Place) -> None:
    """Delete the lines of marked polls that nothing refers to: the others keep the times of what refers to them."""
    turn.say("deleting poll lines", place)
    marked = (polls.c.outcome == "pruned", ~_HAS_CHANGES)
    ids = {line.id for line in _read(turn, place, *marked)}
    if not ids:
        return
    query = (
        select(numbers.c.id, numbers.c.first_poll_id, entries.c.poll_id)
        .join(entries, entries.c.number_id == numbers.c.id)
        .where(numbers.c.environment_id == place.pk)
        .order_by(numbers.c.id)
        .limit(PAGE)
    )
    number_id = 0
    while True:
        with turn.store.reading() as tx:
            page = tx.connection.execute(query.where(numbers.c.id > number_id)).all()
        for row in page:
            ids -= {row.first_poll_id, row.poll_id}
        if len(page) < PAGE:
            break
        number_id = page[-1].id
    for chunk in _batches(turn, sorted(ids)):
        with turn.step(place.of) as tx:
            for part in chunks(chunk):
                done = tx.connection.execute(delete(polls).where(polls.c.id.in_(part), *marked))
                turn.done.poll_lines += done.rowcount


# --- alerts -----------------------------------------------------------------------------------------------------------


def _alerts(turn: _Turn, limit: datetime) -> None:
    """Let go what was delivered or given up, ended silences, and who did what; never what waits or still holds."""
    turn.say("deleting alerts")
    with turn.store.reading() as tx:
        query = select(matters.c.alert_id).join(alerts, alerts.c.id == matters.c.alert_id)
        open_ids = set(tx.connection.execute(query.where(alerts.c.created_at < limit)).scalars())
        last = tx.last_id(alerts)
    _deliveries(turn, limit)
    columns = (alerts.c.id, alerts.c.created_at)
    for ids in _old(turn, alerts, columns, limit):
        with turn.step() as tx:
            told = select(delivery_alerts.c.alert_id).where(delivery_alerts.c.alert_id.in_(ids))
            kept = {*open_ids, *tx.connection.execute(told).scalars(), last}  # or the next one gets an id that was told
            over = [pk for pk in ids if pk not in kept]
            turn.done.alerts += tx.connection.execute(delete(alerts).where(alerts.c.id.in_(over))).rowcount
    for ids in _old(turn, actions, (actions.c.id, actions.c.at), limit):
        with turn.step() as tx:
            turn.done.actions += tx.connection.execute(delete(actions).where(actions.c.id.in_(ids))).rowcount
    with turn.step() as tx:
        turn.done.silences += tx.connection.execute(delete(silences).where(silences.c.ended_at < limit)).rowcount


def _old(turn: _Turn, table: Any, columns: Sequence[Any], limit: datetime) -> Iterator[Sequence[int]]:
    """The ids of rows from before the limit, in pages; it ends at the first page of younger ones, for ids go with time.

    Those from after now are of a clock that was wrong, and say nothing of those behind them.
    """
    pk, at = columns
    last = 0
    while True:
        query = select(pk, at.label("at")).select_from(table).where(pk > last).order_by(pk).limit(turn.rows)
        with turn.store.reading() as tx:
            page = tx.connection.execute(query).all()
        ids = [row.id for row in page if row.at < limit]
        if not ids and not any(row.at > turn.now for row in page):
            return
        yield ids
        last = page[-1].id


def _deliveries(turn: _Turn, limit: datetime) -> None:
    """Let go what ended messages said of what is over, once the newest alert of one is old; what is open stays in it."""
    still = exists().where(matters.c.alert_id == delivery_alerts.c.alert_id)
    over = select(delivery_alerts.c.delivery_id, delivery_alerts.c.alert_id).where(~still)
    is_empty = ~exists().where(delivery_alerts.c.delivery_id == deliveries.c.id)
    newest = (
        select(func.max(delivery_alerts.c.alert_id))
        .where(delivery_alerts.c.delivery_id == deliveries.c.id)
        .correlate(deliveries)
    )
    ended = (
        select(deliveries.c.id)
        .select_from(deliveries)
        .outerjoin(alerts, alerts.c.id == newest.scalar_subquery())
        .where(deliveries.c.state != "pending", or_(alerts.c.id.is_(None), alerts.c.created_at < limit))
    )
    for ids in _old(turn, deliveries, (deliveries.c.id, deliveries.c.created_at), limit):
        left = list(ids)
        while left:  # a message may be of thousands of alerts
            with turn.step() as tx:
                left = list(tx.connection.execute(ended.where(deliveries.c.id.in_(left))).scalars())
                rows = tx.connection.execute(over.where(delivery_alerts.c.delivery_id.in_(left)).limit(turn.rows)).all()
                tx.drop(delivery_alerts, ("delivery_id", "alert_id"), rows)
                if len(rows) < turn.rows:
                    done = tx.connection.execute(delete(deliveries).where(deliveries.c.id.in_(left), is_empty))
                    turn.done.deliveries += done.rowcount
                    left = []


# --- the file ---------------------------------------------------------------------------------------------------------


def _give_back(turn: _Turn) -> None:
    """Give free pages of a file back to the disk."""
    turn.say("giving space back")
    while True:
        began = time.monotonic()
        given = turn.store.give_back(VACUUM)
        turn.done.freed += given
        if not given:
            return
        turn.pause(max(REST_S, time.monotonic() - began))
