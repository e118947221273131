"""Renewals of the past, read from the history."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select

from renewal_watch.database.schema import changes, entries, environments, numbers, polls
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import turn
from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.store.selections import among

LONGEST = 36  # months
EARLY = timedelta(days=turn.RENEWED_DAYS)  # a renewal may be seen so long before its day


class Place(NamedTuple):
    """What has an amount of its own. ``currency`` is empty where none is stated."""

    environment: str
    currency: str


def add_months(day: date, count: int) -> date:
    """The same day of another month, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins in a zone."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


class _Kept(msgspec.Struct, gc=False):
    """What of an entry decides on a renewal."""

    monthly_renewal_cost: Decimal | None = None
    current_price: Decimal | None = None
    currency: str | None = None
    renewal_date: str | None = None
    days_until_monthly_renewal: float | str | None = None

    @property
    def cost(self) -> Decimal | None:
        """As of ``PhoneNumber``."""
        return self.current_price if self.monthly_renewal_cost is None else self.monthly_renewal_cost


class _Price(msgspec.Struct, gc=False):
    before: Decimal | None = None


class _Word(msgspec.Struct, gc=False):
    before: str | None = None
    now: str | None = None


class _Count(msgspec.Struct, gc=False):
    before: float | str | None = None
    now: float | str | None = None


class _Fields(msgspec.Struct, gc=False):
    """The same of a change; None where a field did not change."""

    monthly_renewal_cost: _Price | None = None
    current_price: _Price | None = None
    currency: _Word | None = None
    renewal_date: _Word | None = None
    days_until_monthly_renewal: _Count | None = None


_KEPT = msgspec.json.Decoder(_Kept, strict=False)
_FIELDS = msgspec.json.Decoder(_Fields, strict=False)


@lru_cache(maxsize=4096)  # what renews on the same day changes in the same words
def _fields(text: str) -> _Fields:
    return _FIELDS.decode(text)


def renewals_of(
    tx: Transaction, names: Sequence[str], since: date, zone: ZoneInfo, ids: Sequence[int] | None = None
) -> Counter[tuple[Place, date, Decimal | None]]:
    """How many renewals had their day in the month ``since`` or later, by place, first day of the month, and cost.

    Of the numbers ``ids``, where they are given.
    """
    first = midnight(since, zone) - EARLY
    at = tx.connection.execute(select(polls.c.id, polls.c.started_at).where(polls.c.started_at >= first)).all()
    days = {poll_id: started_at.astimezone(zone).toordinal() for poll_id, started_at in at}
    query = (
        select(environments.c.name, numbers.c.id, entries.c.entry, changes.c.fields, changes.c.poll_id)
        .join_from(changes, numbers, numbers.c.id == changes.c.number_id)
        .join(environments, environments.c.id == numbers.c.environment_id)
        .join(entries, entries.c.number_id == numbers.c.id)
        .where(
            environments.c.name.in_(names),
            ~numbers.c.is_sandbox,
            changes.c.fields.is_not(None),
            changes.c.poll_id >= min(days, default=0),
            *among(tx, numbers.c.id, ids),
        )
        .order_by(changes.c.number_id, changes.c.poll_id.desc())
        .execution_options(yield_per=1000)
    )
    found: Counter[tuple[Place, date, Decimal | None]] = Counter()
    pk, kept = 0, _Kept()
    for name, number_id, entry, text, poll_id in tx.connection.execute(query):
        if number_id != pk:
            pk, kept = number_id, _KEPT.decode(entry)
        fields = _fields(text)
        moved = _moved(kept, fields, days[poll_id]) if poll_id in days else ()
        _undo(kept, fields)
        for month in moved:
            if month >= since:
                found[Place(name, kept.currency or ""), month, kept.cost] += 1
    return found


def _undo(kept: _Kept, fields: _Fields) -> None:
    """Make of the entry what it was before a change."""
    for name in _Kept.__struct_fields__:
        change = getattr(fields, name)
        if change is not None:
            setattr(kept, name, change.before)


def _moved(kept: _Kept, fields: _Fields, on: int) -> tuple[date, ...]:
    """The months of the renewals that a change tells of; ``kept`` is the entry after it, ``on`` the day it was seen.

    A countdown that is not among the fields went on with the calendar, and by a countdown the days are told.
    """
    stated, count = fields.renewal_date, fields.days_until_monthly_renewal
    if stated is None and count is None:
        return ()
    if count is None and kept.days_until_monthly_renewal is not None:
        return ()
    stated = stated or _Word(kept.renewal_date, kept.renewal_date)
    count = count or _Count()
    return _months_between(stated.before, count.before, stated.now, count.now, on)


@lru_cache(maxsize=4096)
def _months_between(
    stated: str | None, count: float | str | None, stated_now: str | None, count_now: float | str | None, on: int
) -> tuple[date, ...]:
    """The first days of the months of the renewal days between two states: one for each month that lies between them."""
    before, now = (
        PhoneNumber(id="-", renewal_date=one, days_until_monthly_renewal=days)
        for one, days in ((stated, count), (stated_now, count_now))
    )
    old, new = (renewal_day.plainly(one, on) for one in (before, now))
    if old is None or new is None or old - on > EARLY.days:
        return ()
    days = (add_months(date.fromordinal(old), step) for step in range(LONGEST))
    passed = takewhile(lambda day: new - day.toordinal() >= turn.RENEWED_DAYS, days)
    return tuple(day.replace(day=1) for day in passed)
