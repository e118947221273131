"""The texts of alerts about one number. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from renewal_watch.alerts.phrases import (
    DASHBOARD,
    auto,
    cost,
    day,
    days,
    facts,
    in_days,
    instant,
    money,
    pairs,
    what_comes,
    who,
)
from renewal_watch.alerts.release_texts import asked
from renewal_watch.model.account import Release
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.text import plain


# Each gives (headline, sentence). ``at`` is the environment's name, ``left`` the days left, ``on`` the renewal day as an
# ordinal; ``note`` says where the number could not be read now: ``unread``, ``UNLISTED``, ``UNREADABLE`` or nothing.
def upcoming(number: PhoneNumber, at: str, left: int, on: int, note: str = "") -> tuple[str, str]:
    """Renewal comes near: a charge to expect, or a number that will be lost."""
    if number.auto_renewal:
        headline = f"{who(number)} renews in {days(left)}"
        todo = f"{cost(number)} will be charged. Make sure that the balance covers it"
    else:
        headline = f"{who(number)} will be lost in {days(left)}"
        todo = f"renewing costs {cost(number)}. Switch auto-renewal on or renew it in {DASHBOARD}"
    verb = headline.removeprefix(who(number))
    return headline, f"{who(number)} ({at}){verb}, on {day(on)}: {auto(number)}, {todo}.{note}"


def due(number: PhoneNumber, at: str, left: int, on: int, note: str = "") -> tuple[str, str]:
    """The renewal day itself, or the provider's due flag before it."""
    when = "today" if left == 0 else f"in {days(left)}"
    if number.auto_renewal:
        headline = f"{who(number)} is due for renewal {when}"
        todo = f"{cost(number)} will be charged. Make sure that the balance covers it"
    else:
        headline = f"{who(number)} will be lost {when}"
        todo = f"renewing costs {cost(number)}. Renew it in {DASHBOARD} now"
    verb = headline.removeprefix(who(number))
    flag = "" if left == 0 else "; the provider flags it as due"
    return headline, f"{who(number)} ({at}){verb}, {day(on)}{flag}: {auto(number)}, {todo}.{note}"


def due_by_flag(number: PhoneNumber, at: str) -> tuple[str, str]:
    """The provider flags as due a number of which it states no day."""
    todo = (
        f"{cost(number)} will be charged" if number.auto_renewal else f"Renew it in {DASHBOARD} now, or it may be lost"
    )
    return f"{who(number)} is due for renewal", (
        f"{who(number)} ({at}) is due for renewal; the provider flags it so and states no day: {auto(number)}, a renewal "
        f"costs {cost(number)}. {todo}."
    )


def not_due(number: PhoneNumber, at: str) -> tuple[str, str]:
    """The end of ``due_by_flag``."""
    return f"{who(number)} is not due any more", (
        f"{who(number)} ({at}) is not flagged as due any more. If it was not renewed, ask in {DASHBOARD} why."
    )


def overdue(number: PhoneNumber, at: str, late: int, on: int, note: str = "") -> tuple[str, str]:
    """The renewal day passed and nothing moved: the sign of a failed renewal."""
    headline = f"{who(number)} is overdue by {days(late)}"
    return headline, (
        f"{who(number)} ({at}) is overdue by {days(late)}: it should have renewed on {day(on)} and did not. "
        f"{auto(number).capitalize()}, it costs {cost(number)}. Check the balance and the card and renew it in "
        f"{DASHBOARD} now: an unpaid number is usually lost for good.{note}"
    )


def renewed(number: PhoneNumber, paid: PhoneNumber, at: str, left: int, on: int) -> tuple[str, str]:
    """Good news; ``paid`` is the number as it was before, whose price was charged."""
    headline = f"{who(number)} renewed"
    return headline, (
        f"{who(number)} ({at}) renewed: {cost(paid)} paid, the next renewal is in {days(left)}, on {day(on)}; "
        f"{auto(number)}. Nothing to do."
    )


def postponed(number: PhoneNumber, at: str, left: int, on: int, was_on: int) -> tuple[str, str]:
    """The end of what was told of a renewal day that is a later one now, without a renewal."""
    return f"{who(number)} renews later than told", (
        f"{who(number)} ({at}) renews in {days(left)}, on {day(on)}, and not on {day(was_on)} as told: the provider moved the "
        f"day, or one of its signs had stood still. That is no renewal; {auto(number)}. Nothing to do now."
    )


def status_changed(
    number: PhoneNumber, at: str, before: str | None, left: int | None, on: int | None, *, still: bool = False
) -> tuple[str, str]:
    """A status that is not as it was, or that was not ``active`` when first seen (``before`` None) or is ``still`` so."""
    now = plain(number.status) or "without a status"
    if still:
        now = f"still {now}"
    headline = f"{who(number)} is {now}"
    was = "when first seen" if before is None else f"it was {plain(before) or 'without a status'} before"
    if number.status == "active":
        todo = "Nothing to do."
    elif number.status in ("suspended", "inactive"):
        todo = f"It may not take calls and may be lost: check payment and status in {DASHBOARD} now."
    elif number.status == "pending":
        todo = f"If that was not expected, ask in {DASHBOARD}."
    elif not number.status:
        todo = f"Whether it works is not known until the list says so again: look in {DASHBOARD}."
    else:
        todo = f"This status is not documented: look in {DASHBOARD} what it means."
    said = now if still else f"{now}; {was}"
    return headline, f"{who(number)} ({at}) is {said}. {todo} {facts(number, left, on)}"


def added(number: PhoneNumber, at: str, left: int | None, on: int | None) -> tuple[str, str]:
    """A number that was not in the list before."""
    return f"{who(number)} was added", (
        f"{who(number)} ({at}) was added and is watched from now. If nobody ordered it, ask in {DASHBOARD}. "
        f"{facts(number, left, on)}"
    )


def missing(
    number: PhoneNumber,
    at: str,
    polls: int,
    left: int | None,
    on: int | None,
    *,
    is_meant: bool = False,
    request: Release | None = None,
    filters: Mapping[str, str] | None = None,
) -> tuple[str, str]:
    """A number that left the list; ``is_meant``: it was to lapse; ``request``: to release it, and what became of that."""
    without = "the last complete list" if polls == 1 else f"{polls} complete lists in a row"
    if request is not None and request.status == "approved":
        return f"{who(number)} is gone, as asked", (
            f"{who(number)} ({at}) is gone, as asked: {without} came without it. {asked(request)}. A released number "
            f"cannot be taken back. It is not watched any more. As last known: {facts(number, left, on)}"
        )
    if is_meant:
        early = " before its day" if left is None or left > 0 else ""
        todo = "if nobody released it, ask the provider" if early else "there is nothing to do"
        return f"{who(number)} is gone{early}, as meant", (
            f"{who(number)} ({at}) is gone{early}: {without} came without it. It was meant to lapse: {todo}. "
            f"It is not watched any more. As last known: {facts(number, left, on)}"
        )
    return f"{who(number)} is missing", (
        f"{who(number)} ({at}) is missing: {without} came without it. {_by_filters(filters)}{_why_missing(request)}, "
        f"ask the provider at once; a released number is soon given to others. It is not watched any more. "
        f"As last known: {facts(number, left, on)}"
    )


def _by_filters(filters: Mapping[str, str] | None) -> str:
    """What the filters of an environment may have to do with a number that is not in its list."""
    if not filters:
        return ""
    return f"Perhaps it is there and fits the filters of this environment no more ({pairs(filters)}). "


def moved(number: PhoneNumber, at: str, there: str, *, is_missing: bool) -> tuple[str, str]:
    """A number that another environment lists; ``is_missing``: it was told as missing."""
    found = "It was told as missing and is found: " if is_missing else ""
    return f"{who(number)} moved to {there}", (
        f"{who(number)} ({at}) moved to {there}. {found}{there} lists it, and it is watched there, with what was said and "
        f"acknowledged of it. If nobody meant it, look in {DASHBOARD} who moved it."
    )


def renumbered(number: PhoneNumber, at: str, was: str, left: int | None, on: int | None) -> tuple[str, str]:
    """The rental has another number: whoever calls the old one reaches somebody else, or nobody."""
    return f"{plain(was)} is {who(number)} now", (
        f"{plain(was)} ({at}) is {who(number)} now: its id {plain(number.id)} has another number. Whoever calls the old one "
        f"does not get through: ask the provider at once. {facts(number, left, on)}"
    )


def _why_missing(request: Release | None) -> str:
    return "If nobody released it" if request is None else f"{asked(request)}. If nobody meant it"


def returned(
    number: PhoneNumber, at: str, since: datetime, left: int | None, on: int | None, was_at: str | None = None
) -> tuple[str, str]:
    """A number that was missing, or listed by another environment, is in the list again."""
    where = f"listed by {was_at}" if was_at else "missing"
    return f"{who(number)} returned", (
        f"{who(number)} ({at}) is in the list again; it had been {where} since {instant(since)}. It is watched again, "
        f"nothing to do. {facts(number, left, on)}"
    )


def auto_renewal_off(number: PhoneNumber, at: str, left: int | None, on: int | None) -> tuple[str, str]:
    """Auto-renewal was switched off: the number ends with its cycle."""
    now = "off" if number.auto_renewal is False else "no longer stated"
    return f"{who(number)}: auto-renewal is {now}", (
        f"{who(number)} ({at}): auto-renewal is {now}, it was on before; {what_comes(number, left, on)}. A renewal costs "
        f"{cost(number)}. "
        f"If nobody meant it, switch auto-renewal on in {DASHBOARD}."
    )


def auto_renewal_on(
    number: PhoneNumber, at: str, left: int | None, on: int | None, *, lapses: bool = False
) -> tuple[str, str]:
    """Auto-renewal was switched on; ``lapses``: the number is meant to go."""
    late = left is not None and left < 0
    if lapses:
        return f"{who(number)} is meant to lapse, but auto-renewal is on", (
            f"{who(number)} ({at}) is meant to lapse, but auto-renewal was switched on; {what_comes(number, left, on)} for "
            f"{cost(number)}. Switch it off in {DASHBOARD}, or take the mark back: renewal-watch lapse --withdraw "
            f"{who(number)}"
        )
    todo = f"Check in {DASHBOARD} that it renews now" if late else "Make sure that the balance covers it"
    return f"{who(number)}: auto-renewal is on", (
        f"{who(number)} ({at}): auto-renewal is on, it was off before; {what_comes(number, left, on)} for {cost(number)}. {todo}."
    )


def last_chance(number: PhoneNumber, at: str, left: int, on: int, note: str = "") -> tuple[str, str]:
    """A number that is meant to go will be gone soon; the last time to want it otherwise."""
    if number.auto_renewal:
        headline = f"{who(number)} is meant to lapse, but renews {in_days(left)}"
        todo = f"{cost(number)} will be charged. Switch auto-renewal off in {DASHBOARD} now"
    else:
        headline = f"{who(number)} lapses {in_days(left)}, as meant"
        todo = f"to keep it, renew it in {DASHBOARD} for {cost(number)} now; else there is nothing to do"
    verb = headline.removeprefix(who(number))
    return headline, f"{who(number)} ({at}){verb}, on {day(on)}: {auto(number)}, {todo}.{note}"


def lapse_renewed(number: PhoneNumber, paid: PhoneNumber, at: str, left: int, on: int) -> tuple[str, str]:
    """A number that was meant to go renewed; ``paid`` is the number as it was before."""
    headline = f"{who(number)} renewed, but was meant to lapse"
    return headline, (
        f"{who(number)} ({at}) renewed, but was meant to lapse: {cost(paid)} paid, the next renewal is in {days(left)}, "
        f"on {day(on)}; {auto(number)}. Release it in {DASHBOARD}, or keep it: renewal-watch lapse --withdraw "
        f"{who(number)}"
    )


def price_changed(
    number: PhoneNumber, before: PhoneNumber, at: str, left: int | None, on: int | None
) -> tuple[str, str]:
    """The monthly cost, the price or the currency is another one."""
    said = []
    if (number.monthly_renewal_cost, number.currency) != (before.monthly_renewal_cost, before.currency):
        old = money(before.monthly_renewal_cost, before.currency)
        said.append(f"a renewal costs {money(number.monthly_renewal_cost, number.currency)}, it was {old}")
    if (number.current_price, number.currency) != (before.current_price, before.currency):
        old = money(before.current_price, before.currency)
        said.append(f"the current price is {money(number.current_price, number.currency)}, it was {old}")
    return (
        f"{who(number)} costs {cost(number)}",
        f"{who(number)} ({at}): {'; '.join(said)}. Make sure that the balance covers it. {facts(number, left, on)}",
    )


def capabilities(
    number: PhoneNumber, at: str, names: Sequence[str], left: int | None, on: int | None, *, lost: bool
) -> tuple[str, str]:
    """Voice, SMS or the like came or went."""
    what = ", ".join({"sms": "SMS", "mms": "MMS", "whatsapp": "WhatsApp"}.get(name, name) for name in names)
    verb = "lost" if lost else "gained"
    todo = f"Callers may be affected: ask in {DASHBOARD}." if lost else "Nothing to do."
    return f"{who(number)} {verb} {what}", f"{who(number)} ({at}) {verb} {what}. {todo} {facts(number, left, on)}"
