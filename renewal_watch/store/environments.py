"""Environments: what is kept of each, their schedules and polls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select

from renewal_watch.database.schema import environments, polls
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.tracking import Flaw, Watch

CANARY = "(canary)"  # the environment of the simulated number; no configured one can be called so


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When an environment may be polled next, and how long the last poll took in whole seconds, None before the first."""

    next_poll_at: datetime | None = None
    hold_until: datetime | None = None
    hold_token: str | None = None
    took_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRecord:
    """One line of the poll log. ``outcome`` is ``ok`` or the reason of the ``ApiError``."""

    started_at: datetime
    finished_at: datetime
    outcome: str
    error: str | None = None
    numbers: int | None = None
    invalid: int | None = None


def _kept(row: Row[Any]) -> tuple[int, Watch, Schedule]:
    """A row of the table environments."""
    return (
        int(row.id),
        Watch(
            name=row.name,
            numbers=row.numbers,
            has_baseline=row.has_baseline,
            last_poll_at=row.last_poll_at,
            last_success_at=row.last_success_at,
            last_error=row.last_error,
            failures=row.failures,
            failing_since=row.failing_since,
            told=frozenset(row.told),
            shrunk_at=row.shrunk_at,
            flaws=_flaws(row.invalid),
            turn_s=row.turn_s,
            clock_off_at=row.clock_off_at,
            confirmed_at=row.confirmed_at,
        ),
        Schedule(
            next_poll_at=row.next_poll_at, hold_until=row.hold_until, hold_token=row.hold_token, took_s=row.took_s
        ),
    )


def _flaws(kept: Mapping[str, tuple[int, str]] | Sequence[str]) -> dict[str, Flaw]:
    """What could not be read of the last list; up to schema 4 a list of the entries' names was kept."""
    if not isinstance(kept, Mapping):
        return {name: Flaw(1, f"the entry {name} cannot be read") for name in kept}
    return {kind: Flaw(*flaw) for kind, flaw in kept.items()}


def id_of_environment(tx: Transaction, name: str) -> int:
    """The environment's id, asked for once in a transaction; made on first sight."""
    if name not in tx.environment_ids:
        tx.environment_ids[name] = environment_state(tx, name)[0]
    return tx.environment_ids[name]


def environment_state(tx: Transaction, name: str) -> tuple[int, Watch, Schedule]:
    """The environment's id and what is kept of it; made on first sight."""
    row = tx.connection.execute(select(environments).where(environments.c.name == name)).one_or_none()
    if row is None:
        made = tx.connection.execute(insert(environments).values(name=name, told=[], invalid={}))
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (an insert of one row)
        return int(key[0]), Watch(name=name), Schedule()
    return _kept(row)


def schedule_of(tx: Transaction, name: str) -> Schedule:
    """When the environment may be polled next."""
    columns = (
        environments.c.next_poll_at,
        environments.c.hold_until,
        environments.c.hold_token,
        environments.c.took_s,
    )
    row = tx.connection.execute(select(*columns).where(environments.c.name == name)).one_or_none()
    return Schedule() if row is None else Schedule(**row._mapping)  # noqa: SLF001 (so named to keep clear of columns)


def last_poll_id(tx: Transaction, environment_id: int) -> int | None:
    """The newest line of the environment's poll log."""
    newest: int | None = tx.connection.execute(
        select(func.max(polls.c.id)).where(polls.c.environment_id == environment_id)
    ).scalar_one()
    return newest


def environment_states(tx: Transaction) -> list[tuple[int, Watch, Schedule]]:
    """Every environment that was ever polled, by name; not the canary's."""
    query = select(environments).where(environments.c.name != CANARY).order_by(environments.c.name)
    return [_kept(row) for row in tx.connection.execute(query)]


def polls_of(tx: Transaction, environment_id: int, most: int) -> list[dict[str, Any]]:
    """The newest lines of an environment's poll log, the newest first."""
    query = select(polls).where(polls.c.environment_id == environment_id, polls.c.outcome != "pruned")
    rows = tx.connection.execute(query.order_by(polls.c.started_at.desc(), polls.c.id.desc()).limit(most))
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 (so named to keep clear of columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """From when on the history of an environment is known, and until when; None before its first list."""

    name: str
    since: datetime | None
    until: datetime | None

    def covers(self, first: datetime, last: datetime) -> bool:
        """Whether nothing can have happened unseen between two instants."""
        return self.since is not None and self.until is not None and self.since <= first and self.until >= last


def seen_of(tx: Transaction, names: Sequence[str]) -> dict[str, Seen]:
    """What of each environment's past the history holds; what was pruned is not in it."""
    query = (
        select(
            environments.c.name,
            environments.c.last_success_at,
            func.min(polls.c.started_at, type_=polls.c.started_at.type),
        )
        .join(polls, polls.c.environment_id == environments.c.id)
        .where(environments.c.name.in_(names), polls.c.outcome == "ok")
        .group_by(environments.c.id)
    )
    found = {name: Seen(name=name, since=since, until=until) for name, until, since in tx.connection.execute(query)}
    return {name: found.get(name, Seen(name=name, since=None, until=None)) for name in names}


def poll_times(tx: Transaction, ids: Collection[int]) -> list[tuple[int, datetime, datetime]]:
    """Environment, beginning and end of each one's last poll."""
    newest = select(func.max(polls.c.id)).where(polls.c.environment_id.in_(ids)).group_by(polls.c.environment_id)
    query = select(polls.c.environment_id, polls.c.started_at, polls.c.finished_at).where(polls.c.id.in_(newest))
    return [(pk, began, ended) for pk, began, ended in tx.connection.execute(query)]


def poll_outcomes(tx: Transaction, ids: Collection[int]) -> list[tuple[int, str, int]]:
    """Environment, outcome, and how many lines of the poll log have it."""
    columns = (polls.c.environment_id, polls.c.outcome)
    query = select(*columns, func.count()).where(polls.c.environment_id.in_(ids), polls.c.outcome != "pruned")
    return [(pk, outcome, count) for pk, outcome, count in tx.connection.execute(query.group_by(*columns))]
