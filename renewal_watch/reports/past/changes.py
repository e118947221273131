"""What changed in the fleet between two instants: the net effect, one row a number, in the most urgent of its groups.

``net`` decides, ``look`` reads; ``changes_text`` says it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from renewal_watch.database.transaction import Transaction
from renewal_watch.model import renewal_day
from renewal_watch.model.notation import bare
from renewal_watch.model.numbers import CAPABILITIES, PhoneNumber
from renewal_watch.notify.routing import Routing
from renewal_watch.provider.entries import encode, read
from renewal_watch.reports.past.span import Span
from renewal_watch.settings.whole import Settings
from renewal_watch.store.differences import Difference, Lists, differences, first_list, lists_between
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import COUNTDOWN, difference
from renewal_watch.store.maintenance.thinning import month_of
from renewal_watch.store.owned import owned_ids, record_of

GROUPS = (  # the most urgent first
    *("gone", "moved", "status", "renumbered", "dearer", "cheaper", "repriced", "auto_renewal_off", "auto_renewal_on"),
    *(
        "capability_lost",
        "renewal_day",
        "renewed",
        "returned",
        "added",
        "came_and_went",
        "capability_gained",
        "sandbox",
    ),
)
WOBBLE_DAYS = 2  # a day that moved less is the same day, told at another hour
_PRICES = {"monthly_renewal_cost", "current_price", "currency"}
_ABLE = {f"has_{name}" for name in CAPABILITIES}
_DAYS = {"renewal_date", COUNTDOWN}
_JUDGED = {"current_status", "number", "auto_renewal", "is_sandbox", *_PRICES, *_ABLE, *_DAYS}


class Change(NamedTuple):
    """One thing that is not as it was; money has its currency beside it. ``seen_at`` is when a list first showed it."""

    what: str  # of GROUPS
    seen_at: datetime | None
    before: str | None = None
    now: str | None = None
    currency_before: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A number with what changed of it, the most urgent first; the rest is as the second list has it."""

    environment: str
    id: str
    number: str | None
    status: str
    owner: str = ""
    changes: Sequence[Change]

    @property
    def group(self) -> str:
        """The most urgent of its changes."""
        return self.changes[0].what


class Compared(NamedTuple):
    """Which lists of an environment were compared; None where there was none by then.

    ``since`` is how far back its history goes. With ``is_short`` that is not far enough; with ``is_far`` the first list is much
    older than was asked for, because one list a month is all that is kept where it ``is_thinned``; with ``is_stale`` the second
    is old: between it and the end nobody knows.
    """

    name: str
    first: datetime | None
    last: datetime | None
    since: datetime | None
    is_short: bool = False
    is_far: bool = False
    is_thinned: bool = False
    is_stale: bool = False


@dataclass(slots=True, kw_only=True)
class Found:
    """All that changed. ``others`` counts numbers of which only fields that mean nothing to the service changed, and these."""

    span: Span
    environments: Sequence[Compared] = ()
    numbers: list[Changed] = field(default_factory=list)
    others: int = 0
    other_fields: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> dict[str, int]:
        """How many numbers stand in each group."""
        found = Counter(one.group for one in self.numbers)
        return {group: found[group] for group in GROUPS}

    def groups(self) -> Iterator[tuple[str, list[Changed]]]:
        """The groups that have any, with their numbers."""
        by_group: dict[str, list[Changed]] = {group: [] for group in GROUPS}
        for one in self.numbers:
            by_group[one.group].append(one)
        return ((group, those) for group, those in by_group.items() if those)


# --- what changed of one number ---------------------------------------------------------------------------------------


def net(one: Difference, lists: Lists, zone: str) -> list[Change]:
    """What is another at the second list than at the first, the most urgent first; empty where nothing that matters is."""
    if one.is_new:
        return [Change("added" if one.is_listed else "came_and_went", one.times.get(""))]
    found = list(_listing(one))
    if _JUDGED & one.times.keys():
        before, now = _parsed(one.before), _parsed(one.now)
        found += [*_facts(before, now, one.times), *_able(before, now, one.times), *_day(before, now, one, lists, zone)]
    return sorted(found, key=lambda change: GROUPS.index(change.what))


def _parsed(entry: Mapping[str, Any]) -> PhoneNumber:
    try:
        return msgspec.convert(entry, PhoneNumber, strict=False)
    except msgspec.ValidationError:
        return read(encode(entry)).parsed


def _seen(times: Mapping[str, datetime], fields: set[str]) -> datetime | None:
    return max((times[name] for name in fields & times.keys()), default=None)


def _listing(one: Difference) -> Iterator[Change]:
    at = one.times.get("")
    if one.was_listed and not one.is_listed:
        yield Change("moved", at, now=one.moved_to) if one.moved_to else Change("gone", at)
    elif one.is_listed and not one.was_listed:
        yield Change("returned", at)


def _facts(before: PhoneNumber, now: PhoneNumber, times: Mapping[str, datetime]) -> Iterator[Change]:
    """Status, number, price, auto-renewal."""
    if before.status != now.status:
        yield Change("status", _seen(times, {"current_status"}), before.status or None, now.status or None)
    if before.number and now.number and bare(before.number) != bare(now.number):
        yield Change("renumbered", _seen(times, {"number"}), str(before.number), str(now.number))
    yield from _price(before, now, _seen(times, _PRICES))
    if bool(before.auto_renewal) != bool(now.auto_renewal):
        what = "auto_renewal_on" if now.auto_renewal else "auto_renewal_off"
        yield Change(what, _seen(times, {"auto_renewal"}), *map(_switch, (before.auto_renewal, now.auto_renewal)))
    if bool(before.is_sandbox) != bool(now.is_sandbox):
        states = map(_switch, (bool(before.is_sandbox), bool(now.is_sandbox)))
        yield Change("sandbox", _seen(times, {"is_sandbox"}), *states)


def _switch(state: bool | None) -> str | None:  # noqa: FBT001 (what the provider says)
    return None if state is None else "on" if state else "off"


def _price(before: PhoneNumber, now: PhoneNumber, at: datetime | None) -> Iterator[Change]:
    """What a renewal costs, else the current price; of two currencies nobody can say which is more."""
    pairs = ((before.cost, now.cost), (before.current_price, now.current_price))
    currencies = before.currency or None, now.currency or None
    old, new = next((pair for pair in pairs if pair[0] != pair[1]), pairs[0])
    if old == new and (currencies[0] == currencies[1] or old is None):
        return
    is_alike = currencies[0] == currencies[1] and old is not None and new is not None
    what = "repriced" if not is_alike else "dearer" if _amount(new) > _amount(old) else "cheaper"
    yield Change(what, at, _written(old), _written(new), *currencies)


def _amount(value: Decimal | None) -> Decimal:
    return Decimal(0) if value is None else value


def _written(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _able(before: PhoneNumber, now: PhoneNumber, times: Mapping[str, datetime]) -> Iterator[Change]:
    could, can = before.capabilities, now.capabilities
    for name in (one for one in CAPABILITIES if (one in could) != (one in can)):
        at = _seen(times, {f"has_{name}"})
        yield Change("capability_lost", at, before=name) if name in could else Change("capability_gained", at, now=name)


def _day(before: PhoneNumber, now: PhoneNumber, one: Difference, lists: Lists, zone: str) -> Iterator[Change]:
    """The renewal day that either list says by itself. A renewal moves it on when it is near or past."""
    if not _DAYS & one.times.keys():
        return
    on_day = renewal_day.today(lists.last_at, zone)
    old = renewal_day.plainly(before, renewal_day.today(lists.first_at, zone), zone)
    new = renewal_day.plainly(now, on_day, zone)
    if old == new or (old is not None and new is not None and abs(new - old) < WOBBLE_DAYS):
        return
    is_renewed = (
        old is not None
        and new is not None
        and new - old >= renewal_day.MOVED_DAYS
        and old - on_day <= renewal_day.MOVED_DAYS
    )
    what = "renewed" if is_renewed else "renewal_day"
    yield Change(
        what,
        _seen(one.times, _DAYS),
        *(None if day is None else date.fromordinal(day).isoformat() for day in (old, new)),
    )


# --- what changed of all ----------------------------------------------------------------------------------------------


def look(
    tx: Transaction,
    settings: Settings,
    way: Routing,
    span: Span,
    *,
    environment: str = "",
    owner: str = "",
    label: str = "",
) -> Found:
    """What changed of the numbers that are asked for. Raises UsageError for an environment that is not configured.

    Sandbox numbers count in the environments that watch theirs.
    """
    those = [settings.environment(environment)] if environment else list(settings.environments)
    names = [one.name for one in those]
    keys = {watch.name: pk for pk, watch, _ in environment_states(tx) if watch.name in names}
    found = {name: lists_between(tx, pk, *span) for name, pk in keys.items()}
    lists = {keys[name]: one for name, one in found.items() if one is not None}
    by_key = {pk: name for name, pk in keys.items()}
    made = Found(
        span=span, environments=[_compared(tx, settings, name, keys.get(name), found.get(name), span) for name in names]
    )
    for one in differences(tx, lists, owned_ids(tx, way, names, owner, label)):
        name = by_key[one.environment_id]
        is_sandbox = one.before.get("is_sandbox") is True and one.now.get("is_sandbox") is True
        if not is_sandbox or name in settings.with_sandbox:
            _put(made, name, one, net(one, lists[one.environment_id], settings.timezone), way)
    made.numbers.sort(key=lambda it: (GROUPS.index(it.group), it.environment, it.number or "", it.id))
    return made


def _put(made: Found, name: str, one: Difference, changes: Sequence[Change], way: Routing) -> None:
    if not changes:
        others = difference(one.before, one.now).keys() - {COUNTDOWN}
        made.others += bool(others)
        made.other_fields.update(others)
        return
    number = _parsed(one.now)
    made.numbers.append(
        Changed(
            environment=name,
            id=one.provider_id,
            number=None if number.number is None else str(number.number),
            status=number.status,
            owner=record_of(way, name, number).owner,
            changes=changes,
        )
    )


def _compared(
    tx: Transaction, settings: Settings, name: str, pk: int | None, lists: Lists | None, span: Span
) -> Compared:
    since = None if pk is None else first_list(tx, pk)
    if lists is None:
        return Compared(name, None, None, since)
    patience = settings.policy(settings.environment(name)).stale_after
    return Compared(
        name=name,
        first=lists.first_at,
        last=lists.last_at,
        since=since,
        is_short=lists.first_at > span.since,
        is_far=span.since - lists.first_at > patience,
        is_thinned=lists.first_at < month_of(span.until - timedelta(days=settings.retention.changes_days)),
        is_stale=span.until - lists.last_at > patience,
    )


# --- for programs -----------------------------------------------------------------------------------------------------


def changes_json(found: Found, most: int | None = None) -> dict[str, Any]:
    """The documented keys; ``most`` leaves later numbers out, which the counts still count."""
    return {
        "since": found.span.since,
        "until": found.span.until,
        "environments": [
            {"name": one.name, "compared_from": one.first, "compared_to": one.last, "history_since": one.since}
            for one in found.environments
        ],
        "total": len(found.numbers),
        "counts": found.counts,
        "numbers": [number_json(one) for one in found.numbers[:most]],
        "other": {"numbers": found.others, "fields": dict(sorted(found.other_fields.items()))},
    }


def number_json(one: Changed) -> dict[str, Any]:
    """One number."""
    return {
        "environment": one.environment,
        "id": one.id,
        "number": one.number,
        "status": one.status or None,
        "owner": one.owner,
        "group": one.group,
        "changes": [change._asdict() for change in one.changes],
    }
