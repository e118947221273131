"""The facts and the words of alerts about an account's money and its answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from renewal_watch.alerts.facts.topup_facts import no_money, topup_helps
from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.phrases import a_few, day, in_days, instant, money, sums
from renewal_watch.language import N_, _, ngettext
from renewal_watch.model.account import Balance, Card, TopUp
from renewal_watch.model.facts import Facts, Words
from renewal_watch.text import plain


def card_name(card: Card) -> str:
    """``the visa card ending 4242``."""
    brand, last4 = plain(card.brand), plain(card.last4)
    if brand and last4:
        return _("the {brand} card ending {last4}", brand=brand, last4=last4)
    if last4:
        return _("the card ending {last4}", last4=last4)
    return _("the {brand} card", brand=brand) if brand else _("the card")


class CardExpiring(Facts, frozen=True):
    """The card that top-ups are charged to cannot be used for much longer; ``on`` is its last day."""

    at: str
    card: Card
    left: int
    on: int
    note: Note | None = None

    def words(self) -> Words:
        name = card_name(self.card)
        values = {"environment": self.at, "card": name, "when": in_days(self.left), "day": day(self.on)}
        if self.left >= 0:
            headline = _("{environment}: {card} expires {when}", **values)
            said = _(
                "{environment}: {card} expires {when}; its last day is {day}. After it no top-up can be charged.",
                **values,
            )
        else:
            headline = _("{environment}: {card} has expired", **values)
            said = _(
                "{environment}: {card} has expired; its last day was {day}. With it no top-up can be charged.", **values
            )
        todo = _("Then {consequence}. Put another card in place in the provider's dashboard.", consequence=no_money())
        return headline, f"{said} {todo}{noted(self.note)}"


class CardReplaced(Facts, frozen=True):
    """The end of ``card_expiring``; ``well``: the other card does not expire soon."""

    at: str
    well: bool

    def words(self) -> Words:
        if self.well:
            return _("{environment}: the card was replaced", environment=self.at), _(
                "{environment}: top-ups are charged to a card that does not expire soon. Nothing to do.",
                environment=self.at,
            )
        return _("{environment}: the card was replaced, by one that expires soon", environment=self.at), _(
            "{environment}: top-ups are charged to another card now. That one expires soon as well, which is told by itself.",
            environment=self.at,
        )


class CardGone(Facts, frozen=True):
    """The end of ``card_expiring`` where nothing is said to be in its place."""

    at: str

    def words(self) -> Words:
        return _("{environment}: no card is listed any more", environment=self.at), _(
            "{environment}: the card that expires is not listed any more, and no other one is. Look in the provider's "
            "dashboard whether top-ups can be charged.",
            environment=self.at,
        )


class Short(Facts, frozen=True):
    """The balance does not cover what renews; ``first``: days left and day of the first that it does not, how many then.

    ``unpriced`` numbers state no price and are not counted; ``top_up`` is how the balance is filled up, if it ``fails``.
    """

    at: str
    needs: Decimal
    balance: Decimal
    currency: str
    until: int
    first: tuple[int, int, int]
    unpriced: int = 0
    top_up: TopUp | None = None
    fails: bool = False
    note: Note | None = None

    def words(self) -> Words:
        left, on, count = self.first
        headline = _(
            "{environment}: renewals to {day} need {need}, the balance is {balance}",
            environment=self.at,
            day=day(self.until),
            need=money(self.needs, self.currency),
            balance=money(self.balance, self.currency),
        )
        if left <= 0:
            little = ngettext(
                "It is too little now ({count} number due).", "It is too little now ({count} numbers due).", count
            )
        else:
            little = ngettext(
                "It is too little {when} ({count} number renews).",
                "It is too little {when} ({count} numbers renew).",
                count,
                when=when_short(left, on),
            )
        todo = _(
            "Pay in {amount} or more in the provider's dashboard.",
            amount=money(self.needs - self.balance, self.currency),
        )
        unpriced = ngettext(
            "{count} number without a stated price not counted.",
            "{count} numbers without a stated price not counted.",
            self.unpriced,
        )
        apart = f" {unpriced}" if self.unpriced else ""
        helps = topup_helps(self.top_up, failed=self.fails)
        return headline, f"{headline}. {little} {todo}{helps}{apart}{noted(self.note)}"


CALLED_DAYS = 90  # calls of an idle number are looked for so far back

_UNREADABLE = {  # by what an endpoint beside the list is read for
    "releases": N_("{environment}: the release requests cannot be read"),
    "topup": N_("{environment}: the auto top-up settings cannot be read"),
    "charges": N_("{environment}: the top-ups cannot be read"),
    "cards": N_("{environment}: the cards cannot be read"),
    "balance": N_("{environment}: the balance cannot be read"),
    "agents": N_("{environment}: the agents cannot be read"),
}


class AccountUnreadable(Facts, frozen=True):
    """An answer beside the list, or a part of it, that cannot be read."""

    at: str
    name: str
    faults: tuple[str, ...]
    error: str | None

    def words(self) -> Words:
        headline = _(_UNREADABLE[self.name], environment=self.at)
        if self.faults:
            headline = _("{cannot_be_read} whole", cannot_be_read=headline)
            why = _("it has {faults}", faults=a_few(self.faults, most=3))
        else:
            why = plain(self.error or "")
        todo = _(
            "What cannot be read is not watched; all else is. Ask the provider, and look in the provider's dashboard meanwhile."
        )
        return headline, f"{headline}: {why}. {todo}"


def when_short(left: int, on: int) -> str:
    """``from Thu 14 May 2026 on, in 3 days``."""
    return _("from {day} on, {in_days}", day=day(on), in_days=in_days(left))


class NotComparable(Facts, frozen=True):
    """Renewals in another currency than the balance."""

    at: str
    needs: Decimal
    currency: str
    balance: Balance
    until: int

    def words(self) -> Words:
        unstated = _("no stated currency")
        values = {"environment": self.at, "currency": plain(self.currency) or unstated}
        return _("{environment}: renewals in {currency} cannot be compared with the balance", **values), _(
            "{environment}: renewals to {day} need {need}, but the balance is {balance}: nothing is converted, so whether it is "
            "enough is not watched. Look in the provider's dashboard what they are paid from.",
            environment=self.at,
            day=day(self.until),
            need=money(self.needs, self.currency or unstated),
            balance=money(self.balance.amount, self.balance.currency or _("of no stated currency")),
        )


class Enough(Facts, frozen=True):
    """The end of ``Short``."""

    at: str
    balance: Balance
    needs: Decimal

    def words(self) -> Words:
        has, need = (money(amount, self.balance.currency) for amount in (self.balance.amount, self.needs))
        return _("{environment}: the balance covers the renewals again", environment=self.at), _(
            "{environment}: the balance is {balance} and the renewals ahead need {need}. Nothing to do.",
            environment=self.at,
            balance=has,
            need=need,
        )


class Idle(Facts, frozen=True):
    """Numbers that no agent uses and that cost money each month; ``names`` are the dearest.

    ``calls`` is when each of the names last called or was called, None where it was not within ``CALLED_DAYS``; a name that
    it does not have was not asked for.
    """

    at: str
    count: int
    names: tuple[str, ...]
    sums: tuple[tuple[Decimal, str], ...]
    calls: Mapping[str, datetime | None] = {}

    def words(self) -> Words:
        cost = sums((currency, amount) for amount, currency in self.sums)
        headline = ngettext(
            "{environment}: {count} number is used by no agent",
            "{environment}: {count} numbers are used by no agent",
            self.count,
            environment=self.at,
        )
        said = ngettext(
            "{environment}: {count} number is used by no agent and costs {cost} a month: {names}.",
            "{environment}: {count} numbers are used by no agent and cost {cost} a month: {names}.",
            self.count,
            environment=self.at,
            cost=cost,
            names=a_few([self._named(one) for one in self.names], self.count),
        )
        todo = _(
            "Release what is not needed in the provider's dashboard, or say that it is meant to expire: renewal-watch lapse "
            "NUMBER. An agent whose text names a number counts as using it."
        )
        return headline, f"{said} {todo}"

    def _named(self, name: str) -> str:
        if name not in self.calls:
            return plain(name)
        at = self.calls[name]
        if at is None:
            return _("{name} (no call in {days} days)", name=plain(name), days=CALLED_DAYS)
        return _("{name} (last call {at})", name=plain(name), at=instant(at))
