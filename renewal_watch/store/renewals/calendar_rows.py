"""The renewals that a calendar shows, and when they last changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import case, func, select

from renewal_watch.database.schema import absences, actions, changes, entries, environments, lapses, numbers, polls
from renewal_watch.database.transaction import Transaction
from renewal_watch.store.selections import MISSING, among
from renewal_watch.text import plain

FIRST = datetime(2020, 1, 1, tzinfo=UTC)  # SEQUENCE counts seconds from here: 32 bits with a sign last until 2088


class Renewal(NamedTuple):
    """A number with its coming renewal day, an ordinal."""

    environment: str
    renews_on: int
    pk: int
    provider_id: str
    number: str
    auto_renewal: bool
    status: str
    cost: Decimal | None
    currency: str
    changed_at: datetime
    lapse_at: datetime | None

    @property
    def who(self) -> str:
        """The number as dialled, else its id."""
        return plain(self.number) or plain(self.provider_id)

    @property
    def renews(self) -> bool:
        """Whether it will by itself, and nobody wants it gone."""
        return self.auto_renewal and self.lapse_at is None


_PRESENT = (
    ~numbers.c.is_sandbox,
    numbers.c.renews_on < date.max.toordinal(),  # no day comes after that one, and an event ends on the day after
    ~MISSING,
)


def counted(tx: Transaction, names: Sequence[str], ids: Sequence[int] | None = None) -> int:
    """How many numbers of these environments a calendar may show, of the numbers ``ids`` where they are given."""
    query = select(func.count()).select_from(numbers).join(environments, environments.c.id == numbers.c.environment_id)
    query = query.where(environments.c.name.in_(names), *_PRESENT, *among(tx, numbers.c.id, ids))
    return int(tx.connection.execute(query).scalar_one())


def renewals(tx: Transaction, names: Sequence[str], ids: Sequence[int] | None = None) -> Iterator[Renewal]:
    """By day and environment, those that end first, in the order in which they were first seen; of ``ids`` if given."""
    latest = select(func.max(changes.c.poll_id)).where(changes.c.number_id == numbers.c.id).scalar_subquery()
    newest = case((latest > entries.c.poll_id, latest), else_=entries.c.poll_id)
    query = (
        select(
            environments.c.name,
            numbers.c.renews_on,
            numbers.c.id,
            numbers.c.provider_id,
            numbers.c.number,
            numbers.c.auto_renewal,
            numbers.c.status,
            numbers.c.cost,
            func.coalesce(numbers.c.currency, ""),
            polls.c.started_at,
            lapses.c.set_at,
        )
        .join(environments, environments.c.id == numbers.c.environment_id)
        .join(entries, entries.c.number_id == numbers.c.id)
        .join(polls, polls.c.id == newest)
        .outerjoin(lapses, lapses.c.number_id == numbers.c.id)
        .where(environments.c.name.in_(names), *_PRESENT, *among(tx, numbers.c.id, ids))
        .order_by(numbers.c.renews_on, environments.c.name, numbers.c.auto_renewal, numbers.c.id)
        .execution_options(yield_per=1000)
    )
    for row in tx.connection.execute(query):
        one = Renewal._make(row)
        yield one._replace(cost=None if one.cost is None else Decimal(one.cost))


def lapse_changes_by(tx: Transaction, column: Any) -> dict[Any, datetime]:
    """When somebody last said that a number is to go, or is to stay after all, by ``column`` of the actions."""
    query = select(column, func.max(actions.c.at, type_=actions.c.at.type)).where(
        actions.c.verb.in_(("lapse", "lapse withdrawn"))
    )
    return {row[0]: row[1] for row in tx.connection.execute(query.group_by(column))}


def last_change_of(tx: Transaction, environment_id: int) -> datetime:
    """When anything about the environment's numbers was last seen to change: never earlier than it was before."""
    here = numbers.c.environment_id == environment_id
    first = select(func.max(numbers.c.first_poll_id)).where(here)
    later = select(func.max(changes.c.poll_id)).join(numbers, numbers.c.id == changes.c.number_id).where(here)
    ids = [tx.connection.execute(query).scalar_one() or 0 for query in (first, later)]
    gone = select(func.max(absences.c.missing_at)).join(numbers, numbers.c.id == absences.c.number_id).where(here)
    at = tx.connection.execute(select(polls.c.started_at).where(polls.c.id == max(ids))).scalar_one_or_none() or FIRST
    missing_at = tx.connection.execute(gone).scalar_one()
    return at if missing_at is None else max(at, datetime.fromtimestamp(missing_at, UTC))
