"""Two lists side by side: what of an environment's numbers differs between them, whatever happened meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Row, literal, null, select, union, union_all

from renewal_watch.database.schema import absences, changes, entries, numbers, polls
from renewal_watch.database.transaction import Transaction
from renewal_watch.store.history import State, entry_of, fields_of, moved_countdown
from renewal_watch.store.selections import among


class Lists(NamedTuple):
    """Two good polls of an environment whose lists are compared; one and the same where there is but one."""

    first_id: int
    first_at: datetime
    last_id: int
    last_at: datetime


def lists_between(tx: Transaction, environment_id: int, since: datetime, until: datetime) -> Lists | None:
    """The lists as they were known at two instants; the oldest that is kept where ``since`` is before it.

    None where none was read by ``until``.
    """
    good = select(polls.c.id, polls.c.started_at).where(
        polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.started_at <= until
    )
    newest = good.order_by(polls.c.started_at.desc(), polls.c.id.desc()).limit(1)
    last = tx.connection.execute(newest).one_or_none()
    if last is None:
        return None
    first = tx.connection.execute(newest.where(polls.c.started_at <= since)).one_or_none()
    if first is None:
        first = tx.connection.execute(good.order_by(polls.c.started_at, polls.c.id).limit(1)).one()
    return Lists(*(first if first.id < last.id else last), *last)  # ids may go another way than a clock that was wrong


def first_list(tx: Transaction, environment_id: int) -> datetime | None:
    """When the oldest list that is kept was read; None before the first."""
    at: datetime | None = tx.connection.execute(
        select(polls.c.started_at)
        .where(polls.c.environment_id == environment_id, polls.c.outcome == "ok")
        .order_by(polls.c.started_at)
        .limit(1)
    ).scalar_one_or_none()
    return at


class Difference(NamedTuple):
    """A number that something happened to between two lists, as either has it.

    ``before`` and ``now`` are its entry as it was listed last by then; ``times`` when each field changed last, "" when it came or
    went last. ``is_new``: the first list did not know it, and ``before`` is what it was when it came.
    """

    environment_id: int
    number_id: int
    provider_id: str
    is_new: bool
    was_listed: bool
    is_listed: bool
    before: dict[str, Any]
    now: dict[str, Any]
    times: Mapping[str, datetime]
    moved_to: str | None


def differences(tx: Transaction, lists: Mapping[int, Lists], ids: Sequence[int] | None = None) -> Iterator[Difference]:
    """What happened between the two lists of each environment, by its id; of the numbers ``ids``, where they are given.

    Only numbers with a change between them are read, and of their changes those since the first list.
    """
    if not lists:
        return
    for _, rows in groupby(_events_since(tx, lists, ids), key=lambda row: int(row.number_id)):
        found = _difference(list(rows), lists)
        if found is not None:
            yield found


def _events_since(tx: Transaction, lists: Mapping[int, Lists], ids: Sequence[int] | None) -> Iterator[Row[Any]]:
    """The events of each number that has one between the lists, number by number, the newest first."""
    low, high = min(one.first_id for one in lists.values()), max(one.last_id for one in lists.values())
    here = numbers.c.environment_id.in_(lists)
    listed = select(
        numbers.c.id.label("number_id"),
        numbers.c.first_poll_id.label("poll_id"),
        literal(value=False).label("was_listed"),
        literal(value=True).label("is_listed"),
        null().label("fields"),
        null().label("zero_before"),
        literal(1).label("is_first"),
    ).where(here, numbers.c.first_poll_id > low)
    changed = select(
        *(changes.c.number_id, changes.c.poll_id, changes.c.was_listed, changes.c.is_listed, changes.c.fields),
        changes.c.zero_before,
        literal(0),
    ).where(changes.c.poll_id > low)
    events = union_all(listed, changed).subquery()
    seen = polls.alias()
    query = (
        select(
            *(events, polls.c.started_at, numbers.c.environment_id, numbers.c.provider_id, numbers.c.zero_at),
            *(entries.c.entry, seen.c.started_at.label("seen_at")),
            *(absences.c.number_id.is_(None).label("is_there"), absences.c.moved_to),
        )
        .join_from(events, polls, polls.c.id == events.c.poll_id)
        .join(numbers, numbers.c.id == events.c.number_id)
        .join(entries, entries.c.number_id == numbers.c.id)
        .join(seen, seen.c.id == entries.c.poll_id)
        .outerjoin(absences, absences.c.number_id == numbers.c.id)
        .where(here, *among(tx, numbers.c.id, ids))
        .order_by(events.c.number_id, events.c.poll_id.desc())
        .execution_options(yield_per=1000)
    )
    if tx.last_id(polls) > high:  # what came later is undone as well, of the numbers in question alone
        between = changes.c.poll_id.between(low + 1, high), numbers.c.first_poll_id.between(low + 1, high)
        touched = union(select(changes.c.number_id).where(between[0]), select(numbers.c.id).where(here, between[1]))
        query = query.where(events.c.number_id.in_(touched))
    yield from tx.connection.execute(query)


def _difference(events: Sequence[Row[Any]], lists: Mapping[int, Lists]) -> Difference | None:
    """One number by its events, the newest first; None where nothing happened between the two lists."""
    number = events[0]
    between = lists[number.environment_id]
    state = State(entry_of(number.entry), number.seen_at, number.zero_at, bool(number.is_there))
    now: State | None = None
    times: dict[str, datetime] = {}
    is_new = False
    for event in events:
        if event.poll_id <= between.first_id:
            break
        if event.poll_id <= between.last_id:
            now = now or state
            _note_times(times, event)
            is_new = is_new or bool(event.is_first)
        state = state.before(event)
    if now is None or not times:
        return None
    return Difference(
        environment_id=number.environment_id,
        number_id=number.number_id,
        provider_id=number.provider_id,
        is_new=is_new,
        was_listed=state.is_listed,
        is_listed=now.is_listed,
        before=moved_countdown(state.entry, state.seen_at, state.zero_at, between.first_at),
        now=moved_countdown(now.entry, now.seen_at, now.zero_at, between.last_at),
        times=times,
        moved_to=number.moved_to,
    )


def _note_times(times: dict[str, datetime], event: Row[Any]) -> None:
    """When each field changed last, of events that come newest first."""
    if event.is_listed != event.was_listed:
        times.setdefault("", event.started_at)
    for name in fields_of(event.fields) if event.fields else ():
        times.setdefault(name, event.started_at)
