"""The facts and the words of alerts about one number. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from renewal_watch.alerts.facts.release_facts import asked
from renewal_watch.alerts.phrases import cost, facts, instant, money, pairs, state, status_word, what_comes, who
from renewal_watch.language import _, ngettext
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
        now = status_word(self.number.status)
        if self.still:
            headline = _("{name} is still {status}", name=self.name, status=now)
            said = _("{place} is still {status}.", place=self.place, status=now)
        else:
            headline = _("{name} is {status}", name=self.name, status=now)
            said = _("{place} was {status} when first seen.", place=self.place, status=now)
        if self.before is not None and not self.still:
            was = status_word(self.before)
            said = _("{place} is {status}; it was {before} before.", place=self.place, status=now, before=was)
        return headline, f"{said} {self._todo()} {facts(self.number, self.left, self.on)}"

    def _todo(self) -> str:
        match self.number.status:
            case "active":
                return _("Nothing to do.")
            case "suspended" | "inactive":
                return _(
                    "It may not take calls and may be lost: check payment and status in the provider's dashboard now."
                )
            case "pending":
                return _("If that was not expected, ask in the provider's dashboard.")
            case "":
                return _(
                    "Whether it works is not known until the list says so again: look in the provider's dashboard."
                )
        return _("This status is not documented: look in the provider's dashboard what it means.")

    def brief(self) -> str:
        return status_word(self.number.status)


class Added(OfNumber, frozen=True):
    """A number that was not in the list before."""

    left: int | None
    on: int | None

    def words(self) -> Words:
        return _("{name} was added", name=self.name), _(
            "{place} was added and is watched from now. If nobody ordered it, ask in the provider's dashboard. {facts}",
            place=self.place,
            facts=facts(self.number, self.left, self.on),
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
        known = _("As last known: {facts}", facts=state(self.number, self.left, self.on))
        unwatched = _("It is not watched any more.")
        if self.request is not None and self.request.status == "approved":
            gone = _("{place} is gone, as asked: {lists}.", place=self.place, lists=self._lists())
            never = _("A released number cannot be taken back.")
            said = (gone, f"{asked(self.request)}.", never, unwatched, known)
            return _("{name} is gone, as asked", name=self.name), " ".join(said)
        if self.is_meant and (self.left is None or self.left > 0):
            gone = _("{place} is gone before its day: {lists}.", place=self.place, lists=self._lists())
            meant = _("It was meant to expire: if nobody released it, ask the provider.")
            return _("{name} is gone before its day, as meant", name=self.name), f"{gone} {meant} {unwatched} {known}"
        if self.is_meant:
            gone = _("{place} is gone: {lists}.", place=self.place, lists=self._lists())
            meant = _("It was meant to expire: there is nothing to do.")
            return _("{name} is gone, as meant", name=self.name), f"{gone} {meant} {unwatched} {known}"
        missing = _("{place} is missing: {lists}.", place=self.place, lists=self._lists())
        why = (*_by_filters(self.filters), *_why_missing(self.request))
        return _("{name} is missing", name=self.name), " ".join((missing, *why, unwatched, known))

    def _lists(self) -> str:
        return ngettext(
            "the last complete list came without it", "{count} complete lists in a row came without it", self.polls
        )


def _by_filters(filters: Mapping[str, str] | None) -> Iterator[str]:
    """What the filters of an environment may have to do with a number that is not in its list."""
    if filters:
        yield _(
            "Perhaps it is there and fits the filters of this environment no more ({filters}).", filters=pairs(filters)
        )


def _why_missing(request: Release | None) -> Iterator[str]:
    """What to do about it, and the request to release it, where there was one."""
    if request is None:
        yield _("If nobody released it, ask the provider at once; a released number is soon given to others.")
    else:
        yield f"{asked(request)}."
        yield _("If nobody meant it, ask the provider at once; a released number is soon given to others.")


class Moved(OfNumber, frozen=True):
    """A number that another environment lists; ``is_missing``: it was told as missing."""

    there: str
    is_missing: bool

    def words(self) -> Words:
        found = [_("It was told as missing and is found:")] * self.is_missing
        said = _(
            "{there} lists it, and it is watched there, with what was said and acknowledged of it. If nobody meant it, look "
            "in the provider's dashboard who moved it.",
            there=self.there,
        )
        moved = _("{place} moved to {there}.", place=self.place, there=self.there)
        return _("{name} moved to {there}", name=self.name, there=self.there), " ".join((moved, *found, said))


class Renumbered(OfNumber, frozen=True):
    """The rental has another number: whoever calls the old one reaches somebody else, or nobody."""

    was: str
    left: int | None
    on: int | None

    def words(self) -> Words:
        return _("{old} is {new} now", old=plain(self.was), new=self.name), _(
            "{old} ({environment}) is {new} now: its id {id} has another number. Whoever calls the old one does not get "
            "through: ask the provider at once. {facts}",
            old=plain(self.was),
            environment=self.at,
            new=self.name,
            id=plain(self.number.id),
            facts=facts(self.number, self.left, self.on),
        )


class Returned(OfNumber, frozen=True):
    """A number that was missing, or listed by another environment, is in the list again."""

    since: datetime
    left: int | None
    on: int | None
    was_at: str | None = None

    def words(self) -> Words:
        since = instant(self.since)
        if self.was_at:
            said = _(
                "{place} is in the list again; it had been listed by {there} since {at}.",
                place=self.place,
                there=self.was_at,
                at=since,
            )
        else:
            said = _("{place} is in the list again; it had been missing since {at}.", place=self.place, at=since)
        watched = _("It is watched again, nothing to do.")
        return _("{name} returned", name=self.name), f"{said} {watched} {facts(self.number, self.left, self.on)}"


class AutoRenewalOff(OfNumber, frozen=True):
    """Auto-renewal was switched off: the number ends with its cycle."""

    left: int | None
    on: int | None

    def words(self) -> Words:
        values = {"place": self.place, "comes": what_comes(self.number, self.left, self.on)}
        if self.number.auto_renewal is False:
            headline = _("{name}: auto-renewal is off", name=self.name)
            said = _("{place}: auto-renewal is off, it was on before; {comes}.", **values)
        else:
            headline = _("{name}: auto-renewal is no longer stated", name=self.name)
            said = _("{place}: auto-renewal is no longer stated, it was on before; {comes}.", **values)
        costs = _("A renewal costs {cost}.", cost=cost(self.number))
        todo = _("If nobody meant it, switch auto-renewal on in the provider's dashboard.")
        return headline, f"{said} {costs} {todo}"

    def brief(self) -> str:
        return _("auto-renewal off")


class AutoRenewalOn(OfNumber, frozen=True):
    """Auto-renewal was switched on; ``lapses``: the number is meant to go."""

    left: int | None
    on: int | None
    lapses: bool = False

    def words(self) -> Words:
        values = {"place": self.place, "comes": what_comes(self.number, self.left, self.on), "cost": cost(self.number)}
        if self.lapses:
            said = _(
                "{place} is meant to expire, but auto-renewal was switched on; {comes} for {cost}. Switch it off in the "
                "provider's dashboard, or take the mark back: renewal-watch lapse --withdraw {name}",
                **values,
                name=self.name,
            )
            return _("{name} is meant to expire, but auto-renewal is on", name=self.name), said
        if self.left is not None and self.left < 0:
            todo = _("Check in the provider's dashboard that it renews now.")
        else:
            todo = _("Make sure that the balance covers it.")
        said = _("{place}: auto-renewal is on, it was off before; {comes} for {cost}.", **values)
        return _("{name}: auto-renewal is on", name=self.name), f"{said} {todo}"

    def brief(self) -> str:
        return _("auto-renewal on")


class PriceChanged(OfNumber, frozen=True):
    """The monthly cost, the price or the currency is another one."""

    before: Number
    left: int | None
    on: int | None

    def words(self) -> Words:
        said = []
        now, old = self.number, self.before
        if (now.monthly_renewal_cost, now.currency) != (old.monthly_renewal_cost, old.currency):
            cost_now, cost_old = (money(one.monthly_renewal_cost, one.currency) for one in (now, old))
            said.append(_("a renewal costs {now}, it was {before}", now=cost_now, before=cost_old))
        if (now.current_price, now.currency) != (old.current_price, old.currency):
            price_now, price_old = (money(one.current_price, one.currency) for one in (now, old))
            said.append(_("the current price is {now}, it was {before}", now=price_now, before=price_old))
        todo = _("Make sure that the balance covers it.")
        return (
            _("{name} costs {cost}", name=self.name, cost=cost(now)),
            f"{self.place}: {'; '.join(said)}. {todo} {facts(now, self.left, self.on)}",
        )

    def brief(self) -> str:
        return _("costs {cost}", cost=cost(self.number))


class Capabilities(OfNumber, frozen=True):
    """Voice, SMS or the like came or went."""

    names: tuple[str, ...]
    left: int | None
    on: int | None
    lost: bool

    def brief(self) -> str:
        names = {"voice": _("voice"), "sms": "SMS", "mms": "MMS", "whatsapp": "WhatsApp", "fax": "fax"}
        what = ", ".join(names.get(name, name) for name in self.names)
        return (
            _("lost {capabilities}", capabilities=what) if self.lost else _("gained {capabilities}", capabilities=what)
        )

    def words(self) -> Words:
        todo = _("Callers may be affected: ask in the provider's dashboard.") if self.lost else _("Nothing to do.")
        return (
            f"{self.name} {self.brief()}",
            f"{self.place} {self.brief()}. {todo} {facts(self.number, self.left, self.on)}",
        )
