"""Numbers as they are known, and finding one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import or_, select

from renewal_watch.database.schema import absences, changes, cycles, entries, environments, numbers
from renewal_watch.database.transaction import Transaction, chunks
from renewal_watch.errors import UsageError
from renewal_watch.model.notation import bare
from renewal_watch.model.numbers import Fault, PhoneNumber
from renewal_watch.model.tracking import Absence, Cycle, Doubt, Known, Lapse
from renewal_watch.provider.entries import read
from renewal_watch.store.environments import CANARY, environment_states, id_of_environment
from renewal_watch.text import plain

CORE = Known._fields[: Known._fields.index("cycle")]  # the columns of the table numbers
COLUMNS = tuple("id" if name == "pk" else name for name in CORE)
_KNOWN = ", ".join(COLUMNS)
FIRST_OF_CYCLE = len(CORE)


def fleet_of(tx: Transaction, environment_id: int, only: Collection[str] | None = None) -> dict[str, Known]:
    """Every number that was ever listed, by provider id, in the order in which they were first seen.

    With ``only`` those with these provider ids, in any order.
    """
    if only is None:
        return _fleet(tx, "environment_id = ?", environment_id)
    found: dict[str, Known] = {}
    for chunk in chunks(sorted(only)):
        places = ", ".join("?" * len(chunk))
        found |= _fleet(tx, f"environment_id = ? AND provider_id IN ({places})", environment_id, *chunk)
    return found


def _fleet(tx: Transaction, where: str, *values: object) -> dict[str, Known]:
    """The numbers that a condition holds for, by provider id."""
    query = f"SELECT {_KNOWN}, NULL, NULL, NULL, NULL FROM numbers WHERE {where} ORDER BY id"  # noqa: S608 (own words)
    fleet = {known[1]: known for known in map(Known._make, tx.rows(query, values))}
    told = _of_numbers(tx, "cycles", Cycle, where, values)
    gone = _of_numbers(tx, "absences", Absence, where, values)
    lapsing = _of_numbers(tx, "lapses", Lapse, where, values)
    doubtful = _of_numbers(tx, "doubts", Doubt, where, values)
    names = {known.pk: name for name, known in fleet.items()} if told or gone or lapsing or doubtful else {}
    for pk, *cycle in told:
        fleet[names[pk]] = fleet[names[pk]]._replace(cycle=Cycle(*cycle))
    for pk, *absence in gone:
        fleet[names[pk]] = fleet[names[pk]]._replace(absence=Absence(*absence))
    for pk, *lapse in lapsing:
        fleet[names[pk]] = fleet[names[pk]]._replace(lapse=Lapse(*lapse))
    for pk, *doubt in doubtful:
        fleet[names[pk]] = fleet[names[pk]]._replace(doubt=Doubt(*doubt))
    return fleet


def _of_numbers(tx: Transaction, table: str, kind: type[NamedTuple], where: str, values: Sequence[object]) -> list[Any]:
    """The rows of one of the tables that few numbers have a row in."""
    query = f"SELECT number_id, {', '.join(kind._fields)} FROM {table}"  # noqa: S608 (own column names)
    query += f" WHERE number_id IN (SELECT id FROM numbers WHERE {where})"  # noqa: S608 (own words)
    found: list[Any] = tx.rows(query, values).fetchall()
    return found


def parsed_of(tx: Transaction, those: Iterable[Known]) -> dict[str, PhoneNumber]:
    """The numbers as last listed, by provider id."""
    names = {known.pk: known.provider_id for known in those}
    found: dict[str, PhoneNumber] = {}
    for chunk in chunks(list(names)):
        query = select(entries.c.number_id, entries.c.entry).where(entries.c.number_id.in_(chunk))
        for number_id, entry in tx.connection.execute(query):
            found[names[number_id]] = _named(read(entry.encode()).parsed, names[number_id])
    return found


def rename_numbers(tx: Transaction, those: Mapping[int, str]) -> None:
    """Give numbers the ids that the list gives them now; two may have changed places."""
    tx.known_ids.clear()
    tx.change(numbers, ("provider_id",), "id", ((f"{pk} ~", pk) for pk in those))
    tx.change(numbers, ("provider_id",), "id", ((name, pk) for pk, name in those.items()))


def listed_elsewhere(tx: Transaction, environment_id: int, those: Iterable[Known]) -> dict[str, tuple[str, int]]:
    """The other environments that list numbers that they call the same, by provider id: name, and the number's id there."""
    names = {bare(known.number): known.provider_id for known in those if bare(known.number)}
    if not names:
        return {}
    query = (
        select(numbers.c.id, numbers.c.number, environments.c.name)
        .join(environments, environments.c.id == numbers.c.environment_id)
        .where(
            numbers.c.environment_id != environment_id,
            environments.c.name != CANARY,
            numbers.c.id.not_in(select(absences.c.number_id)),
        )
    )
    found = ((names.get(bare(row.number)), row) for row in tx.connection.execute(query))
    return {name: (row.name, row.id) for name, row in found if name is not None}


def cycles_elsewhere(tx: Transaction, environment_id: int) -> dict[str, Cycle]:
    """What was told of numbers that other environments list no more, by their bare numbers."""
    query = (
        select(numbers.c.number, *(cycles.c[name] for name in Cycle._fields))
        .join(numbers, numbers.c.id == cycles.c.number_id)
        .join(absences, absences.c.number_id == cycles.c.number_id)
        .where(numbers.c.environment_id != environment_id)
    )
    return {bare(number): Cycle(*cycle) for number, *cycle in tx.connection.execute(query)}


def forget_cycles(tx: Transaction, environment: str) -> None:
    """What was told of this environment's numbers is told anew."""
    query = "DELETE FROM cycles WHERE number_id IN (SELECT id FROM numbers WHERE environment_id = ?)"
    tx.rows(query, (id_of_environment(tx, environment),))


def number_ids(tx: Transaction, those: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The ids of numbers by environment and provider id; those asked for once are known for the transaction."""
    unknown = those - tx.known_ids.keys()
    for environment in {environment for environment, _ in unknown}:
        environment_id = id_of_environment(tx, environment)
        for chunk in chunks([name for at, name in unknown if at == environment]):
            places = ", ".join("?" * len(chunk))
            query = f"SELECT provider_id, id FROM numbers WHERE environment_id = ? AND provider_id IN ({places})"  # noqa: S608
            rows = tx.rows(query, (environment_id, *chunk)).fetchall()
            tx.known_ids |= {(environment, name): pk for name, pk in rows}
    return {place: tx.known_ids[place] for place in those if place in tx.known_ids}


def faults_of_number(tx: Transaction, known: Known) -> tuple[Fault, ...]:
    """What cannot be read in the entry of a number, as last listed."""
    query = select(entries.c.entry).where(entries.c.number_id == known.pk)
    return read(tx.connection.execute(query).scalar_one().encode()).faults


def numbers_by_id(tx: Transaction, ids: Iterable[int]) -> dict[int, PhoneNumber]:
    """Numbers as last listed, by id, with the renewal day that is believed."""
    found: dict[int, PhoneNumber] = {}
    for chunk in chunks(list(ids)):
        query = (
            select(entries.c.number_id, entries.c.entry, numbers.c.renews_on)
            .join(numbers, numbers.c.id == entries.c.number_id)
            .where(entries.c.number_id.in_(chunk))
        )
        for number_id, entry, renews_on in tx.connection.execute(query):
            number = read(entry.encode()).parsed
            if renews_on is not None:
                number = msgspec.structs.replace(number, renewal_date=date.fromordinal(renews_on).isoformat())
            found[number_id] = number
    return found


def find_number(tx: Transaction, wanted: str, environment: str | None = None) -> tuple[str, int, Known]:
    """``(environment, its id, number)`` by number, provider id, or a unique part of either. Raises UsageError."""
    if not wanted.strip():
        msg = "NUMBER is empty; write a number, an id, or a part of either"
        raise UsageError(msg)
    if environment is not None and all(watch.name != environment for _, watch, _ in environment_states(tx)):
        msg = f"there is no environment called {environment} that was polled; see: renewal-watch status"
        raise UsageError(msg)
    called = wanted.replace(" ", "").replace("-", "").replace("(", "").replace(")", "")
    has_it = [numbers.c.provider_id.contains(wanted, autoescape=True)]
    if called:
        has_it.append(numbers.c.number.contains(called, autoescape=True))
    query = select(numbers.c.id, numbers.c.provider_id, numbers.c.number, environments.c.name)
    query = query.join(environments, environments.c.id == numbers.c.environment_id).where(or_(*has_it))
    query = query.where(environments.c.name != CANARY if environment is None else environments.c.name == environment)
    partial = [  # SQLite looks for letters of either case
        one
        for one in tx.connection.execute(query.order_by(environments.c.id, numbers.c.id))
        if wanted in one.provider_id or (called and called in one.number)
    ]
    exact = [one for one in partial if wanted == one.provider_id or called == one.number]
    found = exact or partial or [*_once_called(tx, wanted, environment)]
    if len(found) > 1:  # the one that is there, of several that were called so
        gone = set(tx.connection.execute(select(absences.c.number_id)).scalars())
        found = [one for one in found if one.id not in gone] or found
    if not found:
        msg = f"no number is known by {wanted!r}; see them all with: renewal-watch status"
        raise UsageError(msg)
    if len(found) > 1:
        some = ", ".join(
            f"{plain(one.number or one.provider_id)} ({plain(one.provider_id)}, {one.name})" for one in found[:5]
        )
        msg = f"{wanted!r} fits {len(found)} numbers: {some}{', …' if len(found) > 5 else ''}; write more of it"  # noqa: PLR2004
        raise UsageError(msg)
    (known,) = _fleet(tx, "id = ?", found[0].id).values()
    return found[0].name, id_of_environment(tx, found[0].name), known


def _once_called(tx: Transaction, wanted: str, environment: str | None) -> Iterator[Any]:
    """The numbers that had exactly this id or number before it was changed."""
    said = msgspec.json.encode(wanted).decode()
    query = (
        select(numbers.c.id, numbers.c.provider_id, numbers.c.number, environments.c.name)
        .join(environments, environments.c.id == numbers.c.environment_id)
        .join(changes, changes.c.number_id == numbers.c.id)
        .where(
            or_(
                *(
                    changes.c.fields.contains(f'"{field}":{{"before":{said}', autoescape=True)
                    for field in ("id", "number")
                )
            ),
            environments.c.name != CANARY if environment is None else environments.c.name == environment,
        )
        .distinct()
    )
    yield from tx.connection.execute(query)


def _named(number: PhoneNumber, name: str) -> PhoneNumber:
    """The number under the id that it is known by, which need not be the one in its entry."""
    return number if str(number.id) == name else msgspec.structs.replace(number, id=name)
