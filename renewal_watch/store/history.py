"""Changes of numbers, and lists of the past: the present with changes undone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, func, literal, null, select, text, union_all

from renewal_watch.database.schema import changes, entries, environments, numbers, polls
from renewal_watch.database.transaction import Transaction
from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import DAY_S, Entry
from renewal_watch.model.tracking import Known
from renewal_watch.provider.entries import decode

COUNTDOWN = "days_until_monthly_renewal"
FACTS = ("status", "cost", "currency", "country", "type")  # columns that are asked for and take no part in judging


def snapshot_at(tx: Transaction, environment_id: int, at: datetime) -> tuple[datetime, list[dict[str, Any]]] | None:
    """The list as it was at the last good poll up to ``at``, with that poll's time; None before the first."""
    poll = tx.connection.execute(
        select(polls.c.id, polls.c.started_at)
        .where(polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.started_at <= at)
        .order_by(polls.c.id.desc())
        .limit(1)
    ).one_or_none()
    if poll is None:
        return None
    query = text(
        """
        SELECT n.id, t.entry, p.started_at, n.zero_at, a.number_id IS NULL FROM numbers n
          JOIN entries t ON t.number_id = n.id JOIN polls p ON p.id = t.poll_id
          LEFT JOIN absences a ON a.number_id = n.id
        WHERE n.environment_id = :environment AND n.first_poll_id <= :poll ORDER BY n.id"""
    )
    undo: dict[int, list[Any]] = {}
    for change in _changes(tx, changes.c.poll_id > poll.id, numbers.c.environment_id == environment_id):
        undo.setdefault(change.number_id, []).append(change)
    found = []
    for pk, entry, seen_at, zero_at, is_listed in tx.connection.execute(
        query, {"environment": environment_id, "poll": poll.id}
    ):
        state = State(entry_of(entry), datetime.fromisoformat(seen_at), zero_at, bool(is_listed))
        for change in undo.get(pk, ()):
            state = state.before(change)
        if state.is_listed:
            found.append(moved_countdown(state.entry, state.seen_at, state.zero_at, poll.started_at))
    return poll.started_at, found


def _changes(tx: Transaction, *conditions: Any) -> Any:
    """Changes with the time of their poll, the newest first."""
    return tx.connection.execute(
        select(changes, polls.c.started_at)
        .join(polls, polls.c.id == changes.c.poll_id)
        .join(numbers, numbers.c.id == changes.c.number_id)
        .where(*conditions)
        .order_by(changes.c.poll_id.desc())
    )


def history_of(tx: Transaction, known: Known, environment_id: int, *, most: int | None = None) -> list[dict[str, Any]]:
    """Each change of one number, oldest first: the polls between which it happened, and the fields that differ.

    ``most`` leaves the older ones of more than so many out.

    ``not_yet_at`` is the last good poll that did not have it, None for the first poll of all; ``entry`` is the number
    as it was from ``seen_at`` on, None where it was not listed.
    """
    entry, entry_at = tx.connection.execute(
        select(entries.c.entry, polls.c.started_at)
        .join(polls, polls.c.id == entries.c.poll_id)
        .where(entries.c.number_id == known.pk)
    ).one()
    first_poll_id = tx.connection.execute(select(numbers.c.first_poll_id).where(numbers.c.id == known.pk)).scalar_one()
    state = State(entry_of(entry), entry_at, known.zero_at, known.absence is None)
    found: list[dict[str, Any]] = []
    for change in _changes(tx, changes.c.number_id == known.pk):
        if most is not None and len(found) == most:
            return found[::-1]
        if change.fields is not None or change.is_listed != change.was_listed:
            back = change.is_listed and not change.was_listed
            what = "listed again" if back else "changed" if change.is_listed else "unlisted"
            fields = msgspec.json.decode(change.fields) if change.fields else {}
            found.append(_event(tx, environment_id, change.poll_id, change.started_at, what, fields, state))
        state = state.before(change)
    first_at = tx.connection.execute(select(polls.c.started_at).where(polls.c.id == first_poll_id)).scalar_one()
    found.append(_event(tx, environment_id, first_poll_id, first_at, "listed", {}, state))
    return found[::-1]


def _event(
    tx: Transaction,
    environment_id: int,
    poll_id: int,
    seen_at: datetime,
    what: str,
    fields: dict[str, Any],
    state: State,
) -> dict[str, Any]:
    not_yet_at = tx.connection.execute(
        select(func.max(polls.c.started_at, type_=polls.c.started_at.type)).where(
            polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.id < poll_id
        )
    ).scalar_one()
    entry = moved_countdown(state.entry, state.seen_at, state.zero_at, seen_at) if state.is_listed else None
    return {"seen_at": seen_at, "not_yet_at": not_yet_at, "what": what, "fields": fields, "entry": entry}


def facts_of(listed: Entry | None) -> tuple[str | None, ...]:
    """The columns ``FACTS`` of a listed number."""
    assert listed is not None  # noqa: S101 (a number is new or changed because it is listed)
    number = listed.parsed
    cost = None if number.cost is None else f"{number.cost:f}"
    return number.status, cost, number.currency or None, number.country_code or None, number.type or None


class State(NamedTuple):
    """A number on the way back through its changes."""

    entry: dict[str, Any]
    seen_at: datetime  # the time that a fraction in the countdown belongs to
    zero_at: int | None
    is_listed: bool

    def before(self, change: Any) -> State:
        """The number as it was before ``change``."""
        entry, seen_at = self.entry, self.seen_at
        if change.fields is not None:
            entry = dict(entry)
            for name, values in fields_of(change.fields).items():
                if "before" in values:
                    entry[name] = values["before"]
                else:
                    entry.pop(name, None)
                if name == COUNTDOWN:  # otherwise it is still the one of the later time
                    seen_at = change.started_at
        return State(entry, seen_at, change.zero_before, change.was_listed)


@lru_cache(maxsize=4096)  # what renews on the same day changes in the same words
def fields_of(text: str) -> Mapping[str, Mapping[str, Any]]:
    """What a change says of each field that differs; not to be written to."""
    decoded: dict[str, dict[str, Any]] = msgspec.json.decode(text)
    return decoded


def entry_of(entry: str) -> dict[str, Any]:
    """A stored entry as Python values."""
    decoded: dict[str, Any] = decode(entry.encode())
    return decoded


def difference(before: dict[str, Any], now: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every field that differs; a field that came or went has no ``before`` or no ``now``."""
    return {
        name: {word: entry[name] for word, entry in (("before", before), ("now", now)) if name in entry}
        for name in {**before, **now}
        if name not in before
        or name not in now
        or before[name] != now[name]
        or type(before[name]) is not type(now[name])
    }


def moved_countdown(entry: dict[str, Any], seen_at: datetime, zero_at: int | None, at: datetime) -> dict[str, Any]:
    """The entry as it read at ``at``: its countdown went on with the calendar since ``seen_at``, in the form it had."""
    value = entry.get(COUNTDOWN)
    if value is None or zero_at is None or value == "":
        return entry
    return entry | {COUNTDOWN: ticked(value, seen_at, zero_at, at)}


def ticked(value: float | str, seen_at: datetime, zero_at: int, at: datetime, digits: int | None = 6) -> float | str:
    """A countdown as it read at ``at``, in the form that it had at ``seen_at``; a fraction with so many digits."""
    if not isinstance(value, float) and "." not in str(value):
        return type(value)(renewal_day.countdown_at(zero_at, int(at.timestamp())))
    passed = float(value) - (at - seen_at).total_seconds() / DAY_S  # a fraction ticks with every second, not once a day
    if digits is not None:
        passed = round(passed, digits)
    return f"{Decimal(repr(passed)):f}" if isinstance(value, str) else passed


def events_of(tx: Transaction, environment_ids: Collection[int]) -> Iterator[Row[Any]]:
    """Every change of every number of these environments, number by number, the oldest first."""
    listed = select(
        numbers.c.id.label("number_id"),
        numbers.c.first_poll_id.label("poll_id"),
        literal(value=False).label("was_listed"),
        literal(value=True).label("is_listed"),
        null().label("fields"),
        literal(1).label("is_first"),
    ).where(numbers.c.environment_id.in_(environment_ids))
    changed = (
        select(
            *(changes.c.number_id, changes.c.poll_id, changes.c.was_listed, changes.c.is_listed, changes.c.fields),
            literal(0),
        )
        .join(numbers, numbers.c.id == changes.c.number_id)
        .where(
            numbers.c.environment_id.in_(environment_ids),
            changes.c.fields.is_not(None) | (changes.c.was_listed != changes.c.is_listed),
        )
    )
    events = union_all(listed, changed).subquery()
    query = (
        select(environments.c.id, environments.c.name, numbers.c.provider_id, numbers.c.number, *events.c)
        .join_from(events, numbers, numbers.c.id == events.c.number_id)
        .join(environments, environments.c.id == numbers.c.environment_id)
        .order_by(events.c.number_id, events.c.poll_id)
        .execution_options(yield_per=1000)
    )
    yield from tx.connection.execute(query)


def poll_times(tx: Transaction, environment_id: int) -> dict[int, tuple[datetime, datetime | None]]:
    """When each poll was, and the last good one before it."""
    query = select(polls.c.id, polls.c.started_at, polls.c.outcome).where(polls.c.environment_id == environment_id)
    found: dict[int, tuple[datetime, datetime | None]] = {}
    before: datetime | None = None
    for poll_id, started_at, outcome in tx.connection.execute(query.order_by(polls.c.id)):
        found[poll_id] = (started_at, before)
        before = started_at if outcome == "ok" else before
    return found
