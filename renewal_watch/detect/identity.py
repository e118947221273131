"""Which rental an entry of the list is about. Pure.

A rental is known by its id and its number. Either may change while the other stays: the number is what people call, so an
entry whose number is known is that rental, under whatever id; else the id says which it is, and the number was changed.
What is kept of a rental, and of everything that hangs on it, goes with it to its new name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from renewal_watch.model.notation import bare
from renewal_watch.model.numbers import Entry
from renewal_watch.model.tracking import Known


class Fleet(NamedTuple):
    """What is kept of the rentals, by the ids that the list gives them now; ``renamed`` are their ids until then."""

    numbers: Mapping[str, Known]
    renamed: Mapping[str, str] = {}  # by the present id
    renumbered: Mapping[str, str] = {}  # the number until then, by the present id


def settle(fleet: Mapping[str, Known], entries: Mapping[str, Entry]) -> Fleet:
    """The fleet under the ids of a list; the same one where every entry is known by both, which costs next to nothing."""
    odd = {}
    for name, entry in entries.items():  # every name here counts 100,000 times
        known = fleet.get(name)
        if known is None or (known.number != entry.parsed.number and not _is_same(known, entry)):
            odd[name] = entry
    if not odd or (len(entries) - len(odd) == len(fleet)):
        return Fleet(fleet)  # what is odd is new, and nobody is missed
    free = {name: known for name, known in fleet.items() if name not in entries or name in odd}
    is_now = dict(_by_number(free, odd))
    renumbered = {}
    taken = set(is_now.values())
    for name, entry in odd.items():
        known = free.get(name)
        if name not in is_now and known is not None and name not in taken:
            is_now[name] = name
            if known.number and entry.parsed.number:
                renumbered[name] = known.number
    return _renamed(fleet, {name: old for name, old in is_now.items() if name != old}, renumbered)


def _is_same(known: Known, entry: Entry) -> bool:
    number = entry.parsed.number
    return not number or not known.number or bare(known.number) == bare(number)


def _by_number(free: Mapping[str, Known], odd: Mapping[str, Entry]) -> Iterable[tuple[str, str]]:
    """The rentals that entries are about by their numbers: the present id and the one until now."""
    by_number: dict[str, str] = {}
    for name, known in sorted(
        free.items(), key=lambda one: one[1].absence is None
    ):  # a listed one rather than a gone one
        if called := bare(known.number):
            by_number[called] = name
    for name, entry in odd.items():
        old = by_number.pop(bare(entry.parsed.number), None)
        if old is not None:
            yield name, old


def _renamed(fleet: Mapping[str, Known], was: Mapping[str, str], renumbered: Mapping[str, str]) -> Fleet:
    """The fleet with the rentals under their present ids; one that is gone and had such an id gives it up."""
    if not was:
        return Fleet(fleet, renumbered=renumbered)
    left = set(was.values())
    now = dict(fleet)
    renamed = {}
    for old in left:
        del now[old]
    for name, old in was.items():
        if name in now:  # another rental, which the list has no more
            gone = now.pop(name)
            other = f"{name} {gone.number or gone.pk}"
            now[other] = gone._replace(provider_id=other)
            renamed[other] = name
        now[name] = fleet[old]._replace(provider_id=name)
        renamed[name] = old
    return Fleet(now, renamed, renumbered)
