"""The texts of alerts about an account's money and its answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from renewal_watch.alerts.phrases import DASHBOARD, a_few, day, in_days, instant, money, numbers
from renewal_watch.model.account import Card, Charge, TopUp
from renewal_watch.text import plain

_AGENTS = 5  # that are named; the others are counted
_SWITCHES = {"auto top-up": "auto top-up", "scheduled top-up": "the scheduled top-up"}


def topup_off(at: str, topic: str, settings: TopUp, note: str = "", *, still: bool = False) -> tuple[str, str]:
    """Nothing fills up the balance by itself any more, or one way less does."""
    what = _SWITCHES[topic]
    other = settings.by_schedule if topic == "auto top-up" else settings.by_threshold
    left = "Nothing fills up the balance by itself: a renewal may fail for want of money"
    if other:
        left = "The scheduled top-up is on" if topic == "auto top-up" else "Auto top-up is on"
    return f"{at}: {what} is {'still ' * still}off", (
        f"{at}: {what} is {'still ' * still}off. {left}. If nobody meant it, switch it on in {DASHBOARD}; else make sure that "
        f"the balance covers the renewals.{note}"
    )


def topup_on(at: str, topic: str, *, by_other: bool = False) -> tuple[str, str]:
    """The end of ``topup_off``; ``by_other``: the balance is filled up in the other way."""
    what = "the scheduled top-up" if by_other else _SWITCHES[topic]
    again = "" if by_other else " again"
    return f"{at}: {what} is on{again}", f"{at}: {what} is on{again}. Nothing to do."


def _charge(charge: Charge) -> str:
    amount = f" of {money(charge.amount, charge.currency)}" if charge.amount is not None else ""
    when = f" at {instant(charge.at)}" if charge.at else ""
    why = f": {plain(charge.why).replace('_', ' ')}" if charge.why else ""
    return f"{amount}{when} failed{why}"


def topup_failed(at: str, charge: Charge, more: int, note: str = "") -> tuple[str, str]:
    """The newest top-up failed; ``more`` others failed since one last looked."""
    others = f" {more} more failed as well." if more else ""
    what = "a test charge" if charge.trigger == "test" else "the top-up"
    return f"{at}: {what} failed", (
        f"{at}: {what}{_charge(charge)}.{others} The balance is not filled up: a renewal may fail for want of money. "
        f"Check the card in {DASHBOARD} now, or pay in by hand.{note}"
    )


def topup_failed_once(at: str, charge: Charge, more: int) -> tuple[str, str]:
    """A top-up failed and a later one did not."""
    others = f", and {more} more," if more else ""
    return f"{at}: a top-up failed, a later one succeeded", (
        f"{at}: a top-up{_charge(charge)}{others} but a later one succeeded. Nothing to do, if the card is well."
    )


def topup_works(at: str) -> tuple[str, str]:
    """The end of ``topup_failed``."""
    return f"{at}: the top-up works again", f"{at}: the newest top-up succeeded. Nothing to do."


def card_name(card: Card) -> str:
    """``the visa card ending 4242``."""
    return " ".join(filter(None, ("the", plain(card.brand), "card", f"ending {plain(card.last4)}" * bool(card.last4))))


def card_expiring(at: str, card: Card, left: int, on: int, note: str = "") -> tuple[str, str]:
    """The card that top-ups are charged to cannot be used for much longer; ``on`` is its last day."""
    name = card_name(card)
    when = f"expires {in_days(left)}" if left >= 0 else "has expired"
    last = f"its last day {'is' if left >= 0 else 'was'} {day(on)}"
    then = "After it" if left >= 0 else "With it"
    return f"{at}: {name} {when}", (
        f"{at}: {name} {when}; {last}. {then} no top-up can be charged, and a renewal may fail for want of money. "
        f"Put another card in place in {DASHBOARD}.{note}"
    )


def card_replaced(at: str, *, well: bool) -> tuple[str, str]:
    """The end of ``card_expiring``; ``well``: the other card does not expire soon."""
    if well:
        said = "top-ups are charged to a card that does not expire soon. Nothing to do."
        return f"{at}: the card was replaced", f"{at}: {said}"
    said = "top-ups are charged to another card now. That one expires soon as well, which is told by itself."
    return f"{at}: the card was replaced, by one that expires soon", f"{at}: {said}"


def card_gone(at: str) -> tuple[str, str]:
    """The end of ``card_expiring`` where nothing is said to be in its place."""
    return f"{at}: no card is listed any more", (
        f"{at}: the card that expires is not listed any more, and no other one is. Look in {DASHBOARD} whether top-ups can "
        f"be charged."
    )


def short(
    at: str,
    *,
    needs: Decimal,
    balance: Decimal,
    currency: str,
    until: int,
    first: tuple[int, int, int],
    note: str,
) -> tuple[str, str]:
    """The balance does not cover what renews; ``first``: days left and day of the first that it does not, how many then."""
    left, on, count = first
    renew = f"{numbers(count)} {'renews' if count == 1 else 'renew'}"
    when = f"now ({numbers(count)} due)" if left <= 0 else f"{when_short(left, on)} ({renew})"
    return f"{at}: renewals to {day(until)} need {money(needs, currency)}, the balance is {money(balance, currency)}", (
        f"{at}: renewals to {day(until)} need {money(needs, currency)}, the balance is {money(balance, currency)}. It is too "
        f"little {when}. Pay in {money(needs - balance, currency)} or more in {DASHBOARD}.{note}"
    )


_READINGS = {  # what an endpoint beside the list is read for
    "releases": "release requests",
    "topup": "auto top-up settings",
    "charges": "top-ups",
    "cards": "cards",
    "balance": "balance",
    "agents": "agents",
}


def account_unreadable(at: str, name: str, faults: Sequence[str], error: str | None) -> tuple[str, str]:
    """An answer beside the list, or a part of it, that cannot be read."""
    what = _READINGS[name]
    why = f"it has {a_few(list(faults), 3)}" if faults else plain(error or "")
    return f"{at}: the {what} cannot be read{' whole' if faults else ''}", (
        f"{at}: the {what} cannot be read{' whole' if faults else ''}: {why}. What cannot be read is not watched; all else is. "
        f"Ask the provider, and look in {DASHBOARD} meanwhile."
    )


def when_short(left: int, on: int) -> str:
    """``from Thu 14 May 2026 on, in 3 days``."""
    return f"from {day(on)} on, {in_days(left)}"


def not_comparable(at: str, *, needs: Decimal, currency: str, balance: str, until: int) -> tuple[str, str]:
    """Renewals in another currency than the balance; ``balance`` is written out."""
    return f"{at}: renewals in {plain(currency)} cannot be compared with the balance", (
        f"{at}: renewals to {day(until)} need {money(needs, currency)}, but the balance is {balance}: nothing is converted, so "
        f"whether it is enough is not watched. Look in {DASHBOARD} what they are paid from."
    )


def enough(at: str, balance: str, needs: str) -> tuple[str, str]:
    """The end of ``short``; both are written out."""
    return f"{at}: the balance covers the renewals again", (
        f"{at}: the balance is {balance} and the renewals ahead need {needs}. Nothing to do."
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
