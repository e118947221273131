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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, or_, select

from renewal_watch.database.schema import (
    actions,
    alerts,
    deliveries,
    delivery_alerts,
    entries,
    environments,
    incidents,
    numbers,
    polls,
    silences,
)
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.settings.sections import Retention
from renewal_watch.store.access.links import forget_revocations
from renewal_watch.store.access.tokens import forget_tokens
from renewal_watch.store.incidents.oncall import forget_gone
from renewal_watch.store.maintenance import batches
from renewal_watch.store.maintenance.batches import REST_S, Pause, Place, Pruned, Turn, in_batches
from renewal_watch.store.maintenance.thinning import HAS_CHANGES, REACH, choose, forget, merge, read
from renewal_watch.store.selections import OPEN

VACUUM = 500  # free pages that are given back in one transaction: 2 MB
LASTING = timedelta(days=1)  # a time that was not passed so long ago may be that of a clock that ran ahead


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
    return None if newest is None else min(now, newest + REACH)


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
    turn = Turn(store, now, pause, heard)
    with store.reading() as tx:
        places = [(row.id, row.name) for row in tx.connection.execute(select(environments.c.id, environments.c.name))]
    for environment_id, name in places:
        place = Place(environment_id, name)
        changed = turn.done.changes
        marked = choose(turn, place, limits.changes)
        marked += forget(turn, place, limits.months) if limits.months is not None else 0
        merge(turn, place, limits.changes)
        if is_thorough or marked or turn.done.changes > changed:
            _sweep(turn, place)
    _alerts(turn, limits.alerts)
    _give_back(turn)
    return turn.done


def _sweep(turn: Turn, place: Place) -> None:
    """Delete the lines of marked polls that nothing refers to: the others keep the times of what refers to them."""
    turn.say("deleting poll lines", place)
    marked = (polls.c.outcome == "pruned", ~HAS_CHANGES)
    ids = {line.id for line in read(turn, place, *marked)}
    if not ids:
        return
    query = (
        select(numbers.c.id, numbers.c.first_poll_id, entries.c.poll_id)
        .join(entries, entries.c.number_id == numbers.c.id)
        .where(numbers.c.environment_id == place.pk)
        .order_by(numbers.c.id)
        .limit(batches.PAGE)
    )
    number_id = 0
    while True:
        with turn.store.reading() as tx:
            page = tx.connection.execute(query.where(numbers.c.id > number_id)).all()
        for row in page:
            ids -= {row.first_poll_id, row.poll_id}
        if len(page) < batches.PAGE:
            break
        number_id = page[-1].id
    for chunk in in_batches(turn, sorted(ids)):
        with turn.step(place.of) as tx:
            for part in chunks(chunk):
                done = tx.connection.execute(delete(polls).where(polls.c.id.in_(part), *marked))
                turn.done.poll_lines += done.rowcount


def _alerts(turn: Turn, limit: datetime) -> None:
    """Let go what was delivered or given up, ended silences, and who did what; never what waits or still holds."""
    turn.say("deleting alerts")
    with turn.store.reading() as tx:
        query = select(incidents.c.alert_id).join(alerts, alerts.c.id == incidents.c.alert_id)
        open_ids = set(tx.connection.execute(query.where(OPEN, alerts.c.created_at < limit)).scalars())
        last = tx.last_id(alerts)
    _deliveries(turn, limit)
    columns = (alerts.c.id, alerts.c.created_at)
    for ids in _old(turn, alerts, columns, limit):
        with turn.step() as tx:
            told = select(delivery_alerts.c.alert_id).where(delivery_alerts.c.alert_id.in_(ids))
            kept = {*open_ids, *tx.connection.execute(told).scalars(), last}  # or the next one gets an id that was told
            over = [pk for pk in ids if pk not in kept]
            turn.done.alerts += tx.connection.execute(delete(alerts).where(alerts.c.id.in_(over))).rowcount
    _incidents(turn, limit)
    with turn.step() as tx:
        forget_gone(tx, limit)
        forget_tokens(tx, limit)
        forget_revocations(tx, limit)
    for ids in _old(turn, actions, (actions.c.id, actions.c.at), limit):
        with turn.step() as tx:
            turn.done.actions += tx.connection.execute(delete(actions).where(actions.c.id.in_(ids))).rowcount
    with turn.step() as tx:
        turn.done.silences += tx.connection.execute(delete(silences).where(silences.c.ended_at < limit)).rowcount


def _incidents(turn: Turn, limit: datetime) -> None:
    """Let go resolved incidents that no alert leads to any more; the newest one stays, for its id was told."""
    with turn.store.reading() as tx:
        newest = select(func.max(incidents.c.id)).where(
            incidents.c.resolved_at < limit
        )  # whatever clocks said of alerts
        led = select(alerts.c.incident_id).where(alerts.c.incident_id <= newest.scalar_subquery())
        kept = {*tx.connection.execute(led.distinct()).scalars(), tx.last_id(incidents)}
    last = 0
    while True:
        query = select(incidents.c.id).where(incidents.c.id > last, incidents.c.resolved_at < limit)
        with turn.store.reading() as tx:
            ids = list(tx.connection.execute(query.order_by(incidents.c.id).limit(turn.rows)).scalars())
        if not ids:
            return
        over = [pk for pk in ids if pk not in kept]
        with turn.step() as tx:
            tx.connection.execute(delete(incidents).where(incidents.c.id.in_(over)))
        last = ids[-1]


def _old(turn: Turn, table: Any, columns: Sequence[Any], limit: datetime) -> Iterator[Sequence[int]]:
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


def _deliveries(turn: Turn, limit: datetime) -> None:
    """Let go what ended messages said of what is over, once the newest alert of one is old; what is open stays in it."""
    still = exists().where(incidents.c.alert_id == delivery_alerts.c.alert_id, OPEN)
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


def _give_back(turn: Turn) -> None:
    """Give free pages of a file back to the disk."""
    turn.say("giving space back")
    while True:
        began = time.monotonic()
        given = turn.store.give_back(VACUUM)
        turn.done.freed += given
        if not given:
            return
        turn.pause(max(REST_S, time.monotonic() - began))
