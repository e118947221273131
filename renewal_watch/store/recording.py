"""Writes a poll: its line, the numbers, what changed in them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, update

from renewal_watch.database.schema import (
    absences,
    changes,
    cycles,
    doubts,
    entries,
    environments,
    lapses,
    numbers,
    polls,
)
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.model.numbers import Entry
from renewal_watch.model.tracking import Absence, Cycle, Doubt, Known, Lapse, Verdict
from renewal_watch.store.environments import PollRecord, Schedule
from renewal_watch.store.history import FACTS, difference, entry_of, facts_of, moved_countdown
from renewal_watch.store.numbers import COLUMNS, CORE, FIRST_OF_CYCLE


def write_poll(
    tx: Transaction,
    environment_id: int,
    verdict: Verdict,
    poll: PollRecord | None,
    schedule: Schedule | None,
    now: datetime,
) -> None:
    """Write one poll but its alerts: its line, the changes, what is kept of numbers and environment."""
    poll_id = _record_poll(tx, environment_id, verdict, poll) if poll else None
    if poll_id is not None:
        _record_numbers(tx, environment_id, verdict, poll_id, now)
    else:
        _update_numbers(tx, verdict.updates)
    watch = verdict.watch
    values: dict[str, Any] = {
        "numbers": watch.numbers,
        "has_baseline": watch.has_baseline,
        "last_poll_at": watch.last_poll_at,
        "last_success_at": watch.last_success_at,
        "last_error": watch.last_error,
        "failures": watch.failures,
        "failing_since": watch.failing_since,
        "told": sorted(watch.told),
        "shrunk_at": watch.shrunk_at,
        "invalid": watch.flaws,
        "turn_s": watch.turn_s,
        "clock_off_at": watch.clock_off_at,
        "confirmed_at": watch.confirmed_at,
    }
    if schedule is not None:
        values |= {
            "next_poll_at": schedule.next_poll_at,
            "hold_until": schedule.hold_until,
            "hold_token": schedule.hold_token,
            "took_s": schedule.took_s,
        }
    tx.connection.execute(update(environments).where(environments.c.id == environment_id).values(**values))


def _record_poll(tx: Transaction, environment_id: int, verdict: Verdict, poll: PollRecord) -> int:
    made = tx.connection.execute(
        insert(polls).values(
            environment_id=environment_id,
            started_at=poll.started_at,
            finished_at=poll.finished_at,
            outcome=poll.outcome,
            error=poll.error,
            numbers=poll.numbers,
            invalid=poll.invalid,
            changed=len(verdict.versions),
        )
    )
    key = made.inserted_primary_key
    assert key is not None  # noqa: S101 (an insert of one row)
    return int(key[0])


def _record_numbers(tx: Transaction, environment_id: int, verdict: Verdict, poll_id: int, now: datetime) -> None:
    unknown = [known for known in verdict.updates if known.pk == 0]
    kept = [known for known in verdict.updates if known.pk != 0]
    ids = tx.new_ids(numbers, len(unknown)) if unknown else ()
    fresh = [Known(pk, *known[1:]) for pk, known in zip(ids, unknown, strict=True)]
    _record_changes(tx, kept, verdict, poll_id, now)
    place = (environment_id, poll_id)
    tx.put(
        numbers,
        (*COLUMNS, *FACTS, "environment_id", "first_poll_id"),
        (known[:FIRST_OF_CYCLE] + facts_of(verdict.versions[known.provider_id]) + place for known in fresh),
    )
    tx.put(
        entries,
        ("number_id", "poll_id", "entry"),
        ((known.pk, poll_id, _compact(verdict.versions[known.provider_id])) for known in fresh),
    )
    _remember(tx, fresh)
    _update_numbers(tx, kept)


def _record_changes(tx: Transaction, kept: Sequence[Known], verdict: Verdict, poll_id: int, now: datetime) -> None:
    """Write the way back from the present entries to the ones before this poll."""
    corrected = set(verdict.countdowns)
    touched = {k.pk: k for k in kept if k.provider_id in verdict.versions or k.provider_id in corrected}
    rows: list[tuple[int, int, bool, bool, str | None, int | None]] = []
    replaced: list[tuple[int, str, int]] = []
    facts: list[tuple[str | int | None, ...]] = []
    query = """SELECT n.id, n.zero_at, a.number_id IS NULL, t.entry, p.started_at FROM numbers n
        JOIN entries t ON t.number_id = n.id JOIN polls p ON p.id = t.poll_id
        LEFT JOIN absences a ON a.number_id = n.id WHERE n.id IN ({})"""
    for chunk in chunks(list(touched)):
        found = tx.rows(query.format(", ".join("?" * len(chunk))), chunk)
        for pk, zero_before, was_listed, text_before, seen_at in found.fetchall():
            known = touched[pk]
            entry = verdict.versions.get(known.provider_id)
            if entry is None:  # it left the list, or its countdown alone ticked otherwise
                rows.append((pk, poll_id, True, known.provider_id in corrected, None, zero_before))
                continue
            text_now = _compact(entry)
            before = moved_countdown(entry_of(text_before), datetime.fromisoformat(seen_at), zero_before, now)
            fields = difference(before, entry_of(text_now))
            if fields or not was_listed or zero_before != known.zero_at:
                said = msgspec.json.encode(fields).decode() if fields else None
                rows.append((pk, poll_id, bool(was_listed), True, said, zero_before))
                replaced.append((poll_id, text_now, pk))
                facts.append((*facts_of(entry), pk))
    tx.put(changes, ("number_id", "poll_id", "was_listed", "is_listed", "fields", "zero_before"), rows)
    tx.change(entries, ("poll_id", "entry"), "number_id", replaced)
    tx.change(numbers, FACTS, "id", facts)


def _update_numbers(tx: Transaction, those: Sequence[Known]) -> None:
    tx.change(numbers, CORE[1:], "id", ((*known[1:FIRST_OF_CYCLE], known.pk) for known in those))
    tx.drop(cycles, ("number_id",), ((known.pk,) for known in those if known.cycle is None))
    tx.drop(absences, ("number_id",), ((known.pk,) for known in those if known.absence is None))
    tx.drop(doubts, ("number_id",), ((known.pk,) for known in those if known.doubt is None))
    _remember(tx, those)


def _remember(tx: Transaction, those: Sequence[Known]) -> None:
    """Write what was told in the present cycle, and absences, of the few numbers that have them."""
    told = ((known.pk, *known.cycle) for known in those if known.cycle is not None)
    tx.put(cycles, ("number_id", *Cycle._fields), told, clash="replace")
    gone = ((known.pk, *known.absence) for known in those if known.absence is not None)
    tx.put(absences, ("number_id", *Absence._fields), gone, clash="replace")
    doubtful = ((known.pk, *known.doubt) for known in those if known.doubt is not None)
    tx.put(doubts, ("number_id", *Doubt._fields), doubtful, clash="replace")
    lapsing = ((*known.lapse, known.pk) for known in those if known.lapse is not None)
    tx.change(lapses, Lapse._fields, "number_id", lapsing)


def _compact(listed: Entry | None) -> str:
    """The entry's JSON as it came; where it was printed over several lines, without the blanks between its parts."""
    assert listed is not None  # noqa: S101 (a number is new or changed because it is listed)
    entry = bytes(listed.raw)
    if b"\n" in entry:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            entry = msgspec.json.format(entry, indent=-1)
    return entry.decode("utf-8", "replace")
