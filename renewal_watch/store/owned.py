"""Whose the numbers are: by the inventory, and by the rules that give an owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import select

from renewal_watch.database.schema import environments, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Record
from renewal_watch.model.selectors import NOBODY, digits
from renewal_watch.notify.routing import Routing
from renewal_watch.store import fleet


def has_owners(way: Routing) -> bool:
    """Whether any number may have an owner."""
    return _rules_give(way) or any(one.owner for one in way.inventory.values())


def record_of(way: Routing, environment: str, number: PhoneNumber) -> Record:
    """What is known of a number beside the list; the owner that a rule gives goes before the inventory's."""
    if not _rules_give(way):
        return way.inventory.get(digits(number.number), NOBODY)
    subject = way.seen(environment, number)
    record, owner = way.record(subject), way.said(subject).owner
    return record if owner is None else replace(record, owner=owner)


def owned_ids(
    tx: Transaction, way: Routing, names: Sequence[str], owner: str = "", label: str = ""
) -> list[int] | None:
    """The ids of the numbers of these environments that somebody owns and that have a label; None where neither is asked for."""
    if not owner and not label:
        return None
    wanted, labelled = owner.strip().casefold(), label.strip().casefold()
    return [
        pk
        for pk, whose, labels in _all(tx, way, names)
        if wanted in ("", whose.casefold()) and (not labelled or labelled in map(str.casefold, labels))
    ]


def _all(tx: Transaction, way: Routing, names: Sequence[str]) -> Iterator[tuple[int, str, Sequence[str]]]:
    """Id, owner and labels of every number; what rules say of one needs all that is known of it."""
    if _rules_give(way):
        for one in fleet.every(tx, names):
            record = record_of(way, one.environment, one.number)
            yield one.known.pk, record.owner, record.labels
        return
    query = select(numbers.c.id, numbers.c.number).join(environments, environments.c.id == numbers.c.environment_id)
    for pk, number in tx.connection.execute(
        query.where(environments.c.name.in_(names)).execution_options(yield_per=5000)
    ):
        record = way.inventory.get(digits(number), NOBODY)
        yield pk, record.owner, record.labels


def _rules_give(way: Routing) -> bool:
    return any(rule.owner is not None for rule in way.rules)
