"""The facts and the words of alerts about one number. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from renewal_watch.alerts.phrases import (
    DASHBOARD,
    cost,
    facts,
    instant,
    money,
    pairs,
    what_comes,
    who,
)
from renewal_watch.alerts.release_facts import asked
from renewal_watch.model.account import Release
from renewal_watch.model.facts import Facts, Number, Words
from renewal_watch.text import plain


class OfNumber(Facts, frozen=True):
    """Facts of one number; ``at`` is the environment's name.

    In all of them ``left`` are the days left and ``on`` is the renewal day, an ordinal; ``note`` says how far that day can be
    trusted.
    """

    number: Number
    at: str

    @property
    def name(self) -> str:
        """The number as dialled, else its id."""
        return who(self.number)

    @property
    def place(self) -> str:
        """``+15550001234 (production)``."""
        return f"{self.name} ({self.at})"


class StatusChanged(OfNumber, frozen=True):
    """A status that is not as it was, or that was not ``active`` when first seen (``before`` None) or is ``still`` so."""

    before: str | None
    left: int | None
    on: int | None
    still: bool = False

    def words(self) -> Words:
        now = plain(self.number.status) or "without a status"
        if self.still:
            now = f"still {now}"
        headline = f"{self.name} is {now}"
        was = "when first seen" if self.before is None else f"it was {plain(self.before) or 'without a status'} before"
        if self.number.status == "active":
            todo = "Nothing to do."
        elif self.number.status in ("suspended", "inactive"):
            todo = f"It may not take calls and may be lost: check payment and status in {DASHBOARD} now."
        elif self.number.status == "pending":
            todo = f"If that was not expected, ask in {DASHBOARD}."
        elif not self.number.status:
            todo = f"Whether it works is not known until the list says so again: look in {DASHBOARD}."
        else:
            todo = f"This status is not documented: look in {DASHBOARD} what it means."
        said = now if self.still else f"{now}; {was}"
        return headline, f"{self.place} is {said}. {todo} {facts(self.number, self.left, self.on)}"

    def brief(self) -> str:
        return plain(self.number.status) or "without a status"


class Added(OfNumber, frozen=True):
    """A number that was not in the list before."""

    left: int | None
    on: int | None

    def words(self) -> Words:
        return f"{self.name} was added", (
            f"{self.place} was added and is watched from now. If nobody ordered it, ask in {DASHBOARD}. "
            f"{facts(self.number, self.left, self.on)}"
        )


class Missing(OfNumber, frozen=True):
    """A number that left the list; ``is_meant``: it was to lapse; ``request``: to release it, and what became of that."""

    polls: int
    left: int | None
    on: int | None
    is_meant: bool = False
    request: Release | None = None
    filters: Mapping[str, str] | None = None

    def words(self) -> Words:
        without = "the last complete list" if self.polls == 1 else f"{self.polls} complete lists in a row"
        if self.request is not None and self.request.status == "approved":
            return f"{self.name} is gone, as asked", (
                f"{self.place} is gone, as asked: {without} came without it. {asked(self.request)}. A released number "
                f"cannot be taken back. It is not watched any more. As last known: {facts(self.number, self.left, self.on)}"
            )
        if self.is_meant:
            early = " before its day" if self.left is None or self.left > 0 else ""
            todo = "if nobody released it, ask the provider" if early else "there is nothing to do"
            return f"{self.name} is gone{early}, as meant", (
                f"{self.place} is gone{early}: {without} came without it. It was meant to expire: {todo}. "
                f"It is not watched any more. As last known: {facts(self.number, self.left, self.on)}"
            )
        return f"{self.name} is missing", (
            f"{self.place} is missing: {without} came without it. {_by_filters(self.filters)}{_why_missing(self.request)}, "
            f"ask the provider at once; a released number is soon given to others. It is not watched any more. "
            f"As last known: {facts(self.number, self.left, self.on)}"
        )


def _by_filters(filters: Mapping[str, str] | None) -> str:
    """What the filters of an environment may have to do with a number that is not in its list."""
    if not filters:
        return ""
    return f"Perhaps it is there and fits the filters of this environment no more ({pairs(filters)}). "


class Moved(OfNumber, frozen=True):
    """A number that another environment lists; ``is_missing``: it was told as missing."""

    there: str
    is_missing: bool

    def words(self) -> Words:
        found = "It was told as missing and is found: " if self.is_missing else ""
        return f"{self.name} moved to {self.there}", (
            f"{self.place} moved to {self.there}. {found}{self.there} lists it, and it is watched there, with what was "
            f"said and "
            f"acknowledged of it. If nobody meant it, look in {DASHBOARD} who moved it."
        )


class Renumbered(OfNumber, frozen=True):
    """The rental has another number: whoever calls the old one reaches somebody else, or nobody."""

    was: str
    left: int | None
    on: int | None

    def words(self) -> Words:
        return f"{plain(self.was)} is {self.name} now", (
            f"{plain(self.was)} ({self.at}) is {self.name} now: its id {plain(self.number.id)} has another number. "
            f"Whoever calls the old one "
            f"does not get through: ask the provider at once. {facts(self.number, self.left, self.on)}"
        )


def _why_missing(request: Release | None) -> str:
    return "If nobody released it" if request is None else f"{asked(request)}. If nobody meant it"


class Returned(OfNumber, frozen=True):
    """A number that was missing, or listed by another environment, is in the list again."""

    since: datetime
    left: int | None
    on: int | None
    was_at: str | None = None

    def words(self) -> Words:
        where = f"listed by {self.was_at}" if self.was_at else "missing"
        return f"{self.name} returned", (
            f"{self.place} is in the list again; it had been {where} since {instant(self.since)}. It is watched again, "
            f"nothing to do. {facts(self.number, self.left, self.on)}"
        )


class AutoRenewalOff(OfNumber, frozen=True):
    """Auto-renewal was switched off: the number ends with its cycle."""

    left: int | None
    on: int | None

    def words(self) -> Words:
        now = "off" if self.number.auto_renewal is False else "no longer stated"
        return f"{self.name}: auto-renewal is {now}", (
            f"{self.place}: auto-renewal is {now}, it was on before; {what_comes(self.number, self.left, self.on)}. A "
            f"renewal costs "
            f"{cost(self.number)}. "
            f"If nobody meant it, switch auto-renewal on in {DASHBOARD}."
        )

    def brief(self) -> str:
        return "auto-renewal off"


class AutoRenewalOn(OfNumber, frozen=True):
    """Auto-renewal was switched on; ``lapses``: the number is meant to go."""

    left: int | None
    on: int | None
    lapses: bool = False

    def words(self) -> Words:
        late = self.left is not None and self.left < 0
        if self.lapses:
            return f"{self.name} is meant to expire, but auto-renewal is on", (
                f"{self.place} is meant to expire, but auto-renewal was switched on; "
                f"{what_comes(self.number, self.left, self.on)} for "
                f"{cost(self.number)}. Switch it off in {DASHBOARD}, or take the mark back: renewal-watch lapse --withdraw "
                f"{self.name}"
            )
        todo = f"Check in {DASHBOARD} that it renews now" if late else "Make sure that the balance covers it"
        return f"{self.name}: auto-renewal is on", (
            f"{self.place}: auto-renewal is on, it was off before; {what_comes(self.number, self.left, self.on)} for "
            f"{cost(self.number)}. {todo}."
        )

    def brief(self) -> str:
        return "auto-renewal on"


class PriceChanged(OfNumber, frozen=True):
    """The monthly cost, the price or the currency is another one."""

    before: Number
    left: int | None
    on: int | None

    def words(self) -> Words:
        said = []
        if (self.number.monthly_renewal_cost, self.number.currency) != (
            self.before.monthly_renewal_cost,
            self.before.currency,
        ):
            old = money(self.before.monthly_renewal_cost, self.before.currency)
            said.append(
                f"a renewal costs {money(self.number.monthly_renewal_cost, self.number.currency)}, it was {old}"
            )
        if (self.number.current_price, self.number.currency) != (self.before.current_price, self.before.currency):
            old = money(self.before.current_price, self.before.currency)
            said.append(f"the current price is {money(self.number.current_price, self.number.currency)}, it was {old}")
        return (
            f"{self.name} costs {cost(self.number)}",
            f"{self.place}: {'; '.join(said)}. Make sure that the balance covers it. {facts(self.number, self.left, self.on)}",
        )

    def brief(self) -> str:
        return f"costs {cost(self.number)}"


class Capabilities(OfNumber, frozen=True):
    """Voice, SMS or the like came or went."""

    names: tuple[str, ...]
    left: int | None
    on: int | None
    lost: bool

    def brief(self) -> str:
        what = ", ".join({"sms": "SMS", "mms": "MMS", "whatsapp": "WhatsApp"}.get(name, name) for name in self.names)
        return f"{'lost' if self.lost else 'gained'} {what}"

    def words(self) -> Words:
        todo = f"Callers may be affected: ask in {DASHBOARD}." if self.lost else "Nothing to do."
        return (
            f"{self.name} {self.brief()}",
            f"{self.place} {self.brief()}. {todo} {facts(self.number, self.left, self.on)}",
        )
