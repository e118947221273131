"""Numbers that cost money and that no agent uses, as far as that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from renewal_watch.database.schema import entries, numbers, polls
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.model.account import MENTIONED, SILENT
from renewal_watch.model.selectors import digits
from renewal_watch.settings.whole import Settings
from renewal_watch.store.fleet import ids_of, money
from renewal_watch.store.incidents.account import agents_in, readings_of
from renewal_watch.store.selections import LAPSING, MISSING

SETTLED = timedelta(days=7)  # a number that was just added may still be given to an agent


class Idle(NamedTuple):
    """How many numbers nobody uses, the first of them by cost, and what they cost a month by currency."""

    numbers: int
    names: tuple[str, ...]
    sums: Mapping[str, Decimal]


def idle_numbers(tx: Transaction, environment_id: int, now: datetime, *, sandbox: bool = False) -> Idle | None:
    """The numbers that no agent uses; None where that is not known, as where an agent does not say its numbers.

    A number's own entry goes before the agents; one that an agent's text names is used. What costs nothing, is meant to expire
    or was added within ``SETTLED`` is left out.
    """
    kept = readings_of(tx, environment_id, "agents").get("agents")
    users: Mapping[str, tuple[str, ...]] = kept.content if kept is not None and kept.content is not None else {}
    is_known = kept is not None and kept.content is not None and kept.outcome == "ok" and SILENT not in users
    query = (
        select(numbers.c.id, numbers.c.provider_id, numbers.c.number, numbers.c.cost, numbers.c.currency)
        .join(polls, polls.c.id == numbers.c.first_poll_id)
        .where(numbers.c.environment_id == environment_id, ~MISSING, ~LAPSING, numbers.c.cost.is_not(None))
        .where(polls.c.started_at <= now - SETTLED, *([] if sandbox else [~numbers.c.is_sandbox]))
    )
    rows = [row for row in tx.connection.execute(query) if (cost := money(row.cost)) is not None and cost > 0]
    rows = [
        row for row in rows if not (users.get(row.provider_id) or users.get(row.number) or _named(users, row.number))
    ]
    own: dict[int, tuple[str, ...] | None] = {}
    for chunk in chunks([row.id for row in rows]):
        of_own = select(entries.c.number_id, entries.c.entry).where(
            entries.c.number_id.in_(chunk), entries.c.entry.like('%"agents"%')
        )
        own |= {number_id: agents_in(entry) for number_id, entry in tx.connection.execute(of_own)}
    found = [row for row in rows if (is_known if own.get(row.id) is None else not own[row.id])]
    if not found and not is_known and not own:
        return None
    sums: dict[str, Decimal] = {}
    for row in found:
        sums[row.currency or ""] = sums.get(row.currency or "", Decimal(0)) + (money(row.cost) or Decimal(0))
    found.sort(key=lambda row: (-(money(row.cost) or Decimal(0)), row.number))
    return Idle(len(found), tuple(row.number or row.provider_id for row in found[:10]), sums)


def idle_of(tx: Transaction, settings: Settings, names: Sequence[str], now: datetime) -> Idle | None:
    """The same of several environments together; None where it is known of none of them."""
    ids = ids_of(tx, names)
    return together([idle_numbers(tx, pk, now, sandbox=name in settings.with_sandbox) for name, pk in ids.items()])


def together(those: Sequence[Idle | None]) -> Idle | None:
    """Those of several environments; None where it is known of none of them."""
    found = [one for one in those if one is not None]
    if not found:
        return None
    sums: dict[str, Decimal] = {}
    for one in found:
        for currency, amount in one.sums.items():
            sums[currency] = sums.get(currency, Decimal(0)) + amount
    return Idle(sum(one.numbers for one in found), tuple(name for one in found for name in one.names), sums)


def _named(users: Mapping[str, tuple[str, ...]], number: str) -> bool:
    """Whether an agent's text names a number."""
    called = digits(number)
    return bool(called) and f"{MENTIONED}{called}" in users
