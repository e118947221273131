"""What the account said beside the list: the last answer of each endpoint, and what of it is asked for elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select

from renewal_watch.account import judge, turn
from renewal_watch.account.turn import Background, Renews, Subject
from renewal_watch.database.schema import environments, readings
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.model.account import CONTENTS, SILENT, Balance, Reading, Release
from renewal_watch.model.tracking import Known
from renewal_watch.provider import users as provider_users
from renewal_watch.store import fleet_sums
from renewal_watch.store.environments import environment_states, id_of_environment
from renewal_watch.store.incidents.incidents import close_incidents, incidents_of
from renewal_watch.store.numbers import fleet_of, number_ids, parsed_of

Place = tuple[str, str]  # environment and provider id


_STILL_READ = timedelta(days=1)  # an environment whose requests were not read for so long tells of none


class _Kept(msgspec.Struct):
    """The column ``content``."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    good_at: datetime | None = None
    held_until: datetime | None = None
    told: dict[str, int] = {}


class _Entry(msgspec.Struct, gc=False):
    agents: Any = None


_KEPT = msgspec.json.Decoder(_Kept)
_ENTRY = msgspec.json.Decoder(_Entry)


def readings_of(tx: Transaction, environment_id: int, *names: str) -> dict[str, Reading]:
    """The last answers, by name; all of them without ``names``."""
    query = select(readings).where(readings.c.environment_id == environment_id)
    if names:
        query = query.where(readings.c.name.in_(names))
    return {row.name: _reading(row) for row in tx.connection.execute(query)}


def balances_of(tx: Transaction, names: Collection[str]) -> dict[str, Balance]:
    """What each of these environments was last read to have, by name."""
    query = (
        select(readings, environments.c.name.label("environment"))
        .join(environments, environments.c.id == readings.c.environment_id)
        .where(readings.c.name == "balance", environments.c.name.in_(names))
        .order_by(environments.c.name)
    )
    found = {row.environment: _reading(row).content for row in tx.connection.execute(query)}
    return {name: balance for name, balance in found.items() if isinstance(balance, Balance)}


def keep_reading(tx: Transaction, environment_id: int, one: Reading) -> None:
    """Put it in place of the answer before."""
    kept = _Kept(msgspec.Raw(msgspec.json.encode(one.content)), one.good_at, one.held_until, dict(one.told))
    _drop(tx, environment_id, [one.name])
    tx.connection.execute(
        insert(readings).values(
            environment_id=environment_id,
            name=one.name,
            read_at=one.read_at,
            outcome=one.outcome,
            error=one.error,
            content=msgspec.json.encode(kept).decode(),
        )
    )


def drop_readings(tx: Transaction, environment: str, wanted: Iterable[str], now: datetime) -> None:
    """Forget what is not read any more, and what was found in it: should it be read again, it begins anew."""
    environment_id = id_of_environment(tx, environment)
    names = tx.connection.execute(select(readings.c.name).where(readings.c.environment_id == environment_id))
    gone = set(names.scalars()) - set(wanted)
    if gone:
        _drop(tx, environment_id, gone)
        mine = incidents_of(tx, of=[environment])
        close_incidents(tx, [key for key in mine if judge.reading_of(key.topic) in gone], now)


def _drop(tx: Transaction, environment_id: int, names: Iterable[str]) -> None:
    here = readings.c.environment_id == environment_id
    if those := list(names):
        tx.connection.execute(delete(readings).where(here, readings.c.name.in_(those)))


# --- release requests ---


def release_requests(tx: Transaction, environment_id: int) -> Sequence[Release]:
    """The release requests as last read."""
    kept = readings_of(tx, environment_id, "releases").get("releases")
    return () if kept is None else kept.content or ()


def subjects_of(tx: Transaction, environment_id: int, requests: Sequence[Release]) -> dict[str, Subject]:
    """The numbers that requests are about, by the requests' ids; those that were never listed are left out.

    A request names its number by id; where it does not, the number itself will do.
    """
    if not requests:
        return {}
    tracked = fleet_of(tx, environment_id)
    by_number = {known.number: known for known in tracked.values() if known.number}
    found = {
        one.id: known
        for one in requests
        if (known := tracked.get(one.number_id) if one.number_id else by_number.get(one.number))
    }
    parsed = parsed_of(tx, found.values())
    return {name: Subject(known, parsed[known.provider_id]) for name, known in found.items()}


def told_elsewhere_of(tx: Transaction, environment_id: int, requests: Sequence[Release], now: datetime) -> set[str]:
    """Of requests about numbers that are not known here, the ids of those that another environment will tell of.

    It knows the number, and reads the requests itself: environments of one account are shown the same.
    """
    mine = subjects_of(tx, environment_id, requests)
    found: set[str] = set()
    if unknown := [one for one in requests if one.id not in mine]:
        for other_id, _, _ in environment_states(tx):
            kept = None if other_id == environment_id else readings_of(tx, other_id, "releases").get("releases")
            if kept is not None and kept.outcome == "ok" and now - kept.read_at < _STILL_READ:
                found.update(subjects_of(tx, other_id, unknown))
    return found


def explained_absences(
    tx: Transaction, environment_id: int, those: Iterable[Known], now: datetime
) -> dict[str, Release]:
    """The request that says why a number left the list, or will, by provider id."""
    requests = release_requests(tx, environment_id)
    if not requests:
        return {}
    found = {}
    for known in those:
        mine = [one for one in requests if (one.number_id or one.number) in (known.provider_id, known.number)]
        request = turn.explains(mine, now)
        if request is not None:
            found[known.provider_id] = request
    return found


def account_background(
    tx: Transaction, environment: str, readings: Mapping[str, Reading], topics: Iterable[str], now: datetime
) -> Background:
    """What incidents of these topics are current by; nothing is looked up that none of them asks for."""
    kept = readings.get("releases")
    requests: Sequence[Release] = () if kept is None else kept.content or ()
    subjects: dict[str, Subject] = {}
    if any(judge.is_release(topic) for topic in topics):
        subjects = subjects_of(tx, id_of_environment(tx, environment), judge.may_be_told(requests, None, now))
    return Background(
        subjects=subjects,
        renews=to_be_paid(tx, environment, requests, now) if turn.BALANCE in topics else [],
    )


def to_be_paid(tx: Transaction, environment: str, requests: Sequence[Release], now: datetime) -> list[Renews]:
    """Every number that will be charged, in groups: listed, with auto-renewal, neither to lapse nor released."""
    groups: dict[tuple[int, str, Decimal | None], int] = {}
    for one in fleet_sums.due(tx, [environment]):
        if one.auto_renewal and not one.is_lapsing and one.renews_on is not None:
            key = (one.renews_on, one.currency, one.cost)
            groups[key] = groups.get(key, 0) + one.numbers
    released = [one for one in judge.may_be_told(requests, (), now) if one.status == "approved"]
    subjects = subjects_of(tx, id_of_environment(tx, environment), released).values()
    for known, number in {one.known.pk: one for one in subjects}.values():
        is_counted = known.lapse is None and known.missing_at is None and not number.is_sandbox
        if is_counted and number.auto_renewal and known.renews_on is not None:
            key = (known.renews_on, number.currency or "", number.cost)
            groups[key] = groups.get(key, 0) - 1
    return [Renews(*key, count) for key, count in groups.items() if count > 0]


# --- who uses a number ---


def users_of(tx: Transaction, those: Iterable[Place]) -> dict[Place, tuple[str, ...]]:
    """The agents that use numbers: by a number's own entry, else by the agents as last read.

    A number of which nothing is known is left out; one that nobody uses is there with no name.
    """
    ids = number_ids(tx, set(those))
    own: dict[int, tuple[str, ...] | None] = {}
    for chunk in chunks(list(ids.values())):
        places = ", ".join("?" * len(chunk))
        query = f"SELECT number_id, entry FROM entries WHERE number_id IN ({places}) AND entry LIKE '%\"agents\"%'"  # noqa: S608
        own |= {number_id: agents_in(entry) for number_id, entry in tx.rows(query, chunk)}
    found: dict[Place, tuple[str, ...]] = {}
    by_environment: dict[str, Mapping[str, tuple[str, ...]] | None] = {}
    for place, pk in ids.items():
        names = own.get(pk)
        if names is None:
            environment, provider_id = place
            if environment not in by_environment:
                kept = readings_of(tx, id_of_environment(tx, environment), "agents").get("agents")
                by_environment[environment] = None if kept is None else kept.content
            users = by_environment[environment]
            if users is None:
                continue
            if provider_id not in users and SILENT in users:
                continue
            names = users.get(provider_id, ())
        found[place] = names
    return found


def agents_in(entry: str) -> tuple[str, ...] | None:
    """The agents that a number's own entry names; None where it does not say."""
    try:
        return provider_users.names_of(_ENTRY.decode(entry).agents)
    except msgspec.DecodeError:  # a number too large for it, somewhere in the entry
        return None


def _reading(row: Any) -> Reading:
    kept, content = _Kept(), None
    try:
        kept = _KEPT.decode(row.content or "{}")
        content = msgspec.json.decode(kept.content, type=CONTENTS[row.name] | None)
    except (msgspec.DecodeError, KeyError):  # of another release: it is read anew
        kept = _Kept()
    return Reading(
        name=row.name,
        read_at=row.read_at,
        outcome=row.outcome,
        error=row.error,
        good_at=kept.good_at,
        held_until=kept.held_until,
        content=content,
        told=kept.told,
    )
