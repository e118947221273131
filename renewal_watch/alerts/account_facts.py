"""The facts and the words of alerts about an account's money and its answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.phrases import DASHBOARD, a_few, day, in_days, instant, money, numbers, sums
from renewal_watch.model.account import Balance, Card, Charge, TopUp
from renewal_watch.model.facts import Facts, Words
from renewal_watch.text import plain

_AGENTS = 5  # that are named; the others are counted
_SWITCHES = {"auto top-up": "auto top-up", "scheduled top-up": "the scheduled top-up"}


class TopupOff(Facts, frozen=True):
    """Nothing fills up the balance by itself any more, or one way less does."""

    at: str
    topic: str
    settings: TopUp
    note: Note | None = None
    still: bool = False

    def words(self) -> Words:
        what = _SWITCHES[self.topic]
        other = self.settings.by_schedule if self.topic == "auto top-up" else self.settings.by_threshold
        left = "Nothing fills up the balance by itself: a renewal may fail because the balance is insufficient"
        if other:
            left = "The scheduled top-up is on" if self.topic == "auto top-up" else "Auto top-up is on"
        return f"{self.at}: {what} is {'still ' * self.still}off", (
            f"{self.at}: {what} is {'still ' * self.still}off. {left}. If nobody meant it, switch it on in {DASHBOARD}; "
            f"else make sure that "
            f"the balance covers the renewals.{noted(self.note)}"
        )


class TopupOn(Facts, frozen=True):
    """The end of ``topup_off``; ``by_other``: the balance is filled up in the other way."""

    at: str
    topic: str
    by_other: bool = False

    def words(self) -> Words:
        what = "the scheduled top-up" if self.by_other else _SWITCHES[self.topic]
        again = "" if self.by_other else " again"
        return f"{self.at}: {what} is on{again}", f"{self.at}: {what} is on{again}. Nothing to do."


def _charge(charge: Charge) -> str:
    amount = f" of {money(charge.amount, charge.currency)}" if charge.amount is not None else ""
    when = f" at {instant(charge.at)}" if charge.at else ""
    why = f": {plain(charge.why).replace('_', ' ')}" if charge.why else ""
    return f"{amount}{when} failed{why}"


class TopupFailed(Facts, frozen=True):
    """The newest top-up failed; ``more`` others failed since one last looked."""

    at: str
    charge: Charge
    more: int
    note: Note | None = None

    def words(self) -> Words:
        others = f" {self.more} more failed as well." if self.more else ""
        what = "a test charge" if self.charge.trigger == "test" else "the top-up"
        return f"{self.at}: {what} failed", (
            f"{self.at}: {what}{_charge(self.charge)}.{others} The balance is not filled up: a renewal may fail "
            f"because the balance is insufficient. Check the card in {DASHBOARD} now, or pay in by hand.{noted(self.note)}"
        )


class TopupFailedOnce(Facts, frozen=True):
    """A top-up failed and a later one did not."""

    at: str
    charge: Charge
    more: int

    def words(self) -> Words:
        others = f", and {self.more} more," if self.more else ""
        return f"{self.at}: a top-up failed, a later one succeeded", (
            f"{self.at}: a top-up{_charge(self.charge)}{others} but a later one succeeded. Nothing to do, if the card is well."
        )


class TopupWorks(Facts, frozen=True):
    """The end of ``topup_failed``."""

    at: str

    def words(self) -> Words:
        return f"{self.at}: the top-up works again", f"{self.at}: the newest top-up succeeded. Nothing to do."


def card_name(card: Card) -> str:
    """``the visa card ending 4242``."""
    return " ".join(filter(None, ("the", plain(card.brand), "card", f"ending {plain(card.last4)}" * bool(card.last4))))


class CardExpiring(Facts, frozen=True):
    """The card that top-ups are charged to cannot be used for much longer; ``on`` is its last day."""

    at: str
    card: Card
    left: int
    on: int
    note: Note | None = None

    def words(self) -> Words:
        name = card_name(self.card)
        when = f"expires {in_days(self.left)}" if self.left >= 0 else "has expired"
        last = f"its last day {'is' if self.left >= 0 else 'was'} {day(self.on)}"
        then = "After it" if self.left >= 0 else "With it"
        return f"{self.at}: {name} {when}", (
            f"{self.at}: {name} {when}; {last}. {then} no top-up can be charged, and a renewal may fail because the "
            f"balance is insufficient. "
            f"Put another card in place in {DASHBOARD}.{noted(self.note)}"
        )


class CardReplaced(Facts, frozen=True):
    """The end of ``card_expiring``; ``well``: the other card does not expire soon."""

    at: str
    well: bool

    def words(self) -> Words:
        if self.well:
            said = "top-ups are charged to a card that does not expire soon. Nothing to do."
            return f"{self.at}: the card was replaced", f"{self.at}: {said}"
        said = "top-ups are charged to another card now. That one expires soon as well, which is told by itself."
        return f"{self.at}: the card was replaced, by one that expires soon", f"{self.at}: {said}"


class CardGone(Facts, frozen=True):
    """The end of ``card_expiring`` where nothing is said to be in its place."""

    at: str

    def words(self) -> Words:
        return f"{self.at}: no card is listed any more", (
            f"{self.at}: the card that expires is not listed any more, and no other one is. Look in {DASHBOARD} whether "
            f"top-ups can "
            f"be charged."
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
        renew = f"{numbers(count)} {'renews' if count == 1 else 'renew'}"
        when = f"now ({numbers(count)} due)" if left <= 0 else f"{when_short(left, on)} ({renew})"
        need, has = money(self.needs, self.currency), money(self.balance, self.currency)
        headline = f"{self.at}: renewals to {day(self.until)} need {need}, the balance is {has}"
        apart = f" {numbers(self.unpriced)} without a stated price not counted." if self.unpriced else ""
        return headline, (
            f"{headline}. It is too little {when}. Pay in {money(self.needs - self.balance, self.currency)} or more in "
            f"{DASHBOARD}.{topup_helps(self.top_up, failed=self.fails)}{apart}{noted(self.note)}"
        )


_READINGS = {  # what an endpoint beside the list is read for
    "releases": "release requests",
    "topup": "auto top-up settings",
    "charges": "top-ups",
    "cards": "cards",
    "balance": "balance",
    "agents": "agents",
}


class AccountUnreadable(Facts, frozen=True):
    """An answer beside the list, or a part of it, that cannot be read."""

    at: str
    name: str
    faults: tuple[str, ...]
    error: str | None

    def words(self) -> Words:
        what = _READINGS[self.name]
        why = f"it has {a_few(self.faults, most=3)}" if self.faults else plain(self.error or "")
        return f"{self.at}: the {what} cannot be read{' whole' if self.faults else ''}", (
            f"{self.at}: the {what} cannot be read{' whole' if self.faults else ''}: {why}. What cannot be read is not "
            f"watched; all else is. "
            f"Ask the provider, and look in {DASHBOARD} meanwhile."
        )


def when_short(left: int, on: int) -> str:
    """``from Thu 14 May 2026 on, in 3 days``."""
    return f"from {day(on)} on, {in_days(left)}"


class NotComparable(Facts, frozen=True):
    """Renewals in another currency than the balance."""

    at: str
    needs: Decimal
    currency: str
    balance: Balance
    until: int

    def words(self) -> Words:
        currency = plain(self.currency) or "no stated currency"
        has = money(self.balance.amount, self.balance.currency or "of no stated currency")
        return f"{self.at}: renewals in {currency} cannot be compared with the balance", (
            f"{self.at}: renewals to {day(self.until)} need {money(self.needs, self.currency or 'no stated currency')}, "
            f"but the "
            f"balance is {has}: nothing is converted, so whether it is enough is not watched. Look in {DASHBOARD} what "
            f"they are "
            f"paid from."
        )


class Enough(Facts, frozen=True):
    """The end of ``Short``."""

    at: str
    balance: Balance
    needs: Decimal

    def words(self) -> Words:
        has, need = (money(amount, self.balance.currency) for amount in (self.balance.amount, self.needs))
        return f"{self.at}: the balance covers the renewals again", (
            f"{self.at}: the balance is {has} and the renewals ahead need {need}. Nothing to do."
        )


def topup_helps(settings: TopUp | None, *, failed: bool) -> str:
    """What auto top-up means for a balance that is too small."""
    if settings is None or not settings.by_threshold:
        return ""
    if failed:
        return " Auto top-up is on, but its last charge failed."
    adds = f"adds {money(settings.amount, settings.currency)}" if settings.amount is not None else "fills it up"
    under = (
        f" when it falls under {money(settings.threshold, settings.currency)}" if settings.threshold is not None else ""
    )
    return f" Auto top-up is on and {adds}{under}."


def used_by(names: Sequence[str], most: int = _AGENTS) -> str:
    """`` Used by: Front desk, Night line (2 agents).``, an empty string for nobody."""
    if not names:
        return ""
    count = f"{len(names)} agent{'s' * (len(names) != 1)}"
    said = ", ".join(plain(name, 60) for name in names[:most])
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f" Used by: {said}{more} ({count})."


def consequence(fleet: int, soon: int) -> str:
    """What blindness means: ``17 numbers are not being watched; 3 of them renew within 7 days``."""
    if not fleet:
        return "No list was read yet, so no number is being watched"
    verb = "is" if fleet == 1 else "are"
    renew = f"{soon} of them {'renews' if soon == 1 else 'renew'} within 7 days"
    return f"{numbers(fleet)} {verb} not being watched; {renew}"


class Idle(Facts, frozen=True):
    """Numbers that no agent uses and that cost money each month; ``names`` are the dearest."""

    at: str
    count: int
    names: tuple[str, ...]
    sums: tuple[tuple[Decimal, str], ...]

    def words(self) -> Words:
        cost = sums((currency, amount) for amount, currency in self.sums)
        verb = "is" if self.count == 1 else "are"
        named = [plain(one) for one in self.names]
        return f"{self.at}: {numbers(self.count)} {verb} used by no agent", (
            f"{self.at}: {numbers(self.count)} {verb} used by no agent and cost{'s' * (self.count == 1)} {cost} a month: "
            f"{a_few(named, self.count)}. Release what is not needed in {DASHBOARD}, or say that it is meant to expire: "
            f"renewal-watch lapse NUMBER. An agent whose text names a number counts as using it."
        )
