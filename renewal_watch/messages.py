"""Every word that people are told: the sentence of each alert, and the message that carries them. Pure.

A sentence gives number, environment, days, date, cost, auto-renewal and what to do, so that it can be acted on alone.
Provider text goes through ``plain`` on its way in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from html import escape
from itertools import accumulate
from typing import NamedTuple

from renewal_watch import signs
from renewal_watch.model import (
    Alert,
    Card,
    Charge,
    Flaw,
    InvalidEntry,
    Known,
    Message,
    PhoneNumber,
    Release,
    Severity,
    TopUp,
)
from renewal_watch.signs import Moment
from renewal_watch.text import plain, unmarked

DASHBOARD = "the provider's dashboard"
_OLD_NEWS = timedelta(seconds=20)  # less than the first back-off: what a younger message may have overtaken says so
_BRIEF = 72  # characters of a headline in a subject
_DIGITS = 30  # an amount with more before or after the point is no price and is not written out
_CENTS = {  # decimals of currencies that have other than two (ISO 4217)
    **dict.fromkeys(["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"], 0),
    **dict.fromkeys(["RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}
_TITLE = 250  # bytes of a title that stands above the body
_ESCAPES = "&<>\"'"
_AGENTS = 5  # that are named; the others are counted
_GROUPS = {
    "renewal.upcoming": "up for renewal",
    "renewal.due": "due",
    "renewal.overdue": "overdue",
    "renewal.renewed": "renewed",
    "renewal.postponed": "that renew later than told",
    "status.changed": "with another status",
    "number.added": "added",
    "number.missing": "missing",
    "number.returned": "returned",
    "number.moved": "moved",
    "number.renumbered": "with another number",
    "number.unwatched": "on numbers that are not watched any more",
    "auto_renewal.off": "with auto-renewal off",
    "auto_renewal.on": "with auto-renewal on",
    "price.changed": "with another price",
    "capability.lost": "with a lost capability",
    "capability.gained": "with a new capability",
    "data.unknown": "on renewal days that are not known",
    "data.contradiction": "on lists that contradict themselves",
    "flapping.started": "to and fro",
    "flapping.ended": "settled",
    "lapse.last_chance": "about to lapse",
    "lapse.renewed": "renewed that were to lapse",
    "release.requested": "asked to be released",
    "release.approved": "released",
    "release.closed": "not released after all",
    "funds.topup_off": "on top-up switched off",
    "funds.topup_failed": "on failed top-ups",
    "funds.card_expiring": "on expiring cards",
    "funds.short": "on the balance",
    "funds.recovered": "on funds that are well again",
}


# --- words ------------------------------------------------------------------------------------------------------------


def days(count: int) -> str:
    """``1 day``, ``3 days``."""
    return f"{count} day" if count == 1 else f"{count} days"


def numbers(count: int) -> str:
    """``1 number``, ``3 numbers``."""
    return f"{count} number" if count == 1 else f"{count} numbers"


@lru_cache(maxsize=1024)
def day(ordinal: int) -> str:
    """``Thu 26 Nov 2026`` of a ``date.toordinal``."""
    return f"{date.fromordinal(ordinal):%a %d %b %Y}"


def instant(at: datetime) -> str:
    """``2026-11-26 10:00 UTC``, or ``never`` said by the caller."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def span(length: timedelta) -> str:
    """A length of time in its two largest units: ``2 d 3 h``, ``45 min``."""
    minutes = int(length.total_seconds()) // 60
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    said = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(said) or "less than a minute"


@lru_cache(maxsize=1024)
def money(amount: Decimal | None, currency: str | None) -> str:
    """``1.00 USD``, ``1500 JPY``, ``1.234 KWD``: at least as many decimals as the currency has, never rounded."""
    if amount is None or not amount.is_finite():
        return "an unknown amount"
    name = plain(currency or "")
    if abs(amount.adjusted()) > _DIGITS:  # written out it could fill the memory
        return f"{amount} {name}".rstrip()
    whole, _, cents = f"{amount:f}".partition(".")
    cents = cents.rstrip("0").ljust(_CENTS.get(name.upper(), 2), "0")
    return f"{whole}{'.' * bool(cents)}{cents} {name}".rstrip()


def who(number: PhoneNumber) -> str:
    """The number as dialled, else its id."""
    return plain(number.number or "") or plain(number.id)


def _auto(number: PhoneNumber) -> str:
    if number.auto_renewal is None:
        return "auto-renewal is not stated"
    return f"auto-renewal is {'on' if number.auto_renewal else 'off'}"


def _cost(number: PhoneNumber) -> str:
    return money(number.cost, number.currency)


def when(left: int, on: int) -> str:
    """``in 3 days, on Thu 26 Nov 2026``; ``today, …`` on the day itself; ``3 days ago, on …`` after it."""
    if left == 0:
        return f"today, {day(on)}"
    return f"in {days(left)}, on {day(on)}" if left > 0 else f"{days(-left)} ago, on {day(on)}"


def _next(number: PhoneNumber, left: int | None, on: int | None) -> str:
    """What the renewal day brings: ``it renews in 3 days, on …``, ``it will be lost …``, ``it is overdue by …``."""
    if left is None or on is None:
        return "no renewal day is known"
    if left < 0:
        return f"it is overdue by {days(-left)}, since {day(on)}"
    return f"it {'renews' if number.auto_renewal else 'will be lost'} {when(left, on)}"


def _facts(number: PhoneNumber, left: int | None, on: int | None) -> str:
    """The end of a sentence on anything but renewal: days, date, auto-renewal and cost."""
    said = _next(number, left, on)
    return f"{said[0].upper()}{said[1:]}: {_auto(number)}, a renewal costs {_cost(number)}."


def unread(as_of: datetime | None) -> str:
    """What an alert says while the API cannot be read."""
    return f" (as last known at {instant(as_of)}; the list could not be read since)" if as_of else ""


UNLISTED = " (as last known; it is not in the list now)"
UNREADABLE = " (as last known; its entry in the list may be one that cannot be read now)"
UNSTATED = " (as last known; the list does not state its renewal day any more)"


def disagreement(known: Known, number: PhoneNumber, countdown: int | None, on_day: int, zone: str) -> str | None:
    """What is in doubt of a number's renewal day, None where nothing is; ``countdown`` went on since it was listed."""
    if known.doubt is not None and known.doubt.is_unstated and known.renews_on is not None:
        return f"its renewal day is not stated any more; last known {day(known.renews_on)}"
    stated = signs.stated(number, zone)
    if countdown is None or stated is None or abs(stated - on_day - countdown) <= signs.WOBBLE_DAYS:
        if known.doubt is None or known.renews_on is None:
            return None
        return f"its countdown stands still, so that {day(known.renews_on)} is believed, as first read"
    left = stated - on_day
    when_said = "today" if left == 0 else f"in {days(left)}" if left > 0 else f"{days(-left)} ago"
    counts = f"{days(countdown)} until" if countdown >= 0 else f"{days(-countdown)} since"
    said = f"the provider counts {counts} renewal, but its renewal_date is {date.fromordinal(stated)}, {when_said}"
    return said if known.renews_on is None else f"{said}; {day(known.renews_on)} is believed"


def which_day(number: PhoneNumber, on: int, at: Moment) -> str:
    """Which sign of a number's renewal day counts, where they contradict each other or what was believed before."""
    stated, counted = signs.stated(number, at.zone), signs.counted(number, at)
    date_said = "" if stated is None else f"its renewal_date is {day(stated)}"
    count_said = "" if counted is None else f"its countdown stands at {days(number.countdown or 0)}"
    if stated is not None and abs(stated - on) <= signs.WOBBLE_DAYS:
        return f"by its renewal_date; {count_said}" if count_said else "by its renewal_date"
    if counted is not None and abs(counted - on) <= signs.WOBBLE_DAYS:
        return f"by its countdown; {date_said}" if date_said else "by its countdown"
    said = " and ".join(filter(None, (count_said, date_said)))
    return f"as first read; {said}, which moved on without a sign of a renewal"


# --- numbers ----------------------------------------------------------------------------------------------------------
# Each gives (headline, sentence). ``at`` is the environment's name, ``left`` the days left, ``on`` the renewal day as an
# ordinal; ``note`` says where the number could not be read now: ``unread``, ``UNLISTED``, ``UNREADABLE`` or nothing.


def upcoming(number: PhoneNumber, at: str, left: int, on: int, note: str = "") -> tuple[str, str]:
    """Renewal comes near: a charge to expect, or a number that will be lost."""
    if number.auto_renewal:
        headline = f"{who(number)} renews in {days(left)}"
        todo = f"{_cost(number)} will be charged. Make sure that the balance covers it"
    else:
        headline = f"{who(number)} will be lost in {days(left)}"
        todo = f"renewing costs {_cost(number)}. Switch auto-renewal on or renew it in {DASHBOARD}"
    verb = headline.removeprefix(who(number))
    return headline, f"{who(number)} ({at}){verb}, on {day(on)}: {_auto(number)}, {todo}.{note}"


def due(number: PhoneNumber, at: str, left: int, on: int, note: str = "") -> tuple[str, str]:
    """The renewal day itself, or the provider's due flag before it."""
    when = "today" if left == 0 else f"in {days(left)}"
    if number.auto_renewal:
        headline = f"{who(number)} is due for renewal {when}"
        todo = f"{_cost(number)} will be charged. Make sure that the balance covers it"
    else:
        headline = f"{who(number)} will be lost {when}"
        todo = f"renewing costs {_cost(number)}. Renew it in {DASHBOARD} now"
    verb = headline.removeprefix(who(number))
    flag = "" if left == 0 else "; the provider flags it as due"
    return headline, f"{who(number)} ({at}){verb}, {day(on)}{flag}: {_auto(number)}, {todo}.{note}"


def due_by_flag(number: PhoneNumber, at: str) -> tuple[str, str]:
    """The provider flags as due a number of which it states no day."""
    todo = (
        f"{_cost(number)} will be charged" if number.auto_renewal else f"Renew it in {DASHBOARD} now, or it may be lost"
    )
    return f"{who(number)} is due for renewal", (
        f"{who(number)} ({at}) is due for renewal; the provider flags it so and states no day: {_auto(number)}, a renewal "
        f"costs {_cost(number)}. {todo}."
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
        f"{_auto(number).capitalize()}, it costs {_cost(number)}. Check the balance and the card and renew it in "
        f"{DASHBOARD} now: an unpaid number is usually lost for good.{note}"
    )


def renewed(number: PhoneNumber, paid: PhoneNumber, at: str, left: int, on: int) -> tuple[str, str]:
    """Good news; ``paid`` is the number as it was before, whose price was charged."""
    headline = f"{who(number)} renewed"
    return headline, (
        f"{who(number)} ({at}) renewed: {_cost(paid)} paid, the next renewal is in {days(left)}, on {day(on)}; "
        f"{_auto(number)}. Nothing to do."
    )


def postponed(number: PhoneNumber, at: str, left: int, on: int, was_on: int) -> tuple[str, str]:
    """The end of what was told of a renewal day that is a later one now, without a renewal."""
    return f"{who(number)} renews later than told", (
        f"{who(number)} ({at}) renews in {days(left)}, on {day(on)}, and not on {day(was_on)} as told: the provider moved the "
        f"day, or one of its signs had stood still. That is no renewal; {_auto(number)}. Nothing to do now."
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
    return headline, f"{who(number)} ({at}) is {said}. {todo} {_facts(number, left, on)}"


def added(number: PhoneNumber, at: str, left: int | None, on: int | None) -> tuple[str, str]:
    """A number that was not in the list before."""
    return f"{who(number)} was added", (
        f"{who(number)} ({at}) was added and is watched from now. If nobody ordered it, ask in {DASHBOARD}. "
        f"{_facts(number, left, on)}"
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
            f"cannot be taken back. It is not watched any more. As last known: {_facts(number, left, on)}"
        )
    if is_meant:
        early = " before its day" if left is None or left > 0 else ""
        todo = "if nobody released it, ask the provider" if early else "there is nothing to do"
        return f"{who(number)} is gone{early}, as meant", (
            f"{who(number)} ({at}) is gone{early}: {without} came without it. It was meant to lapse: {todo}. "
            f"It is not watched any more. As last known: {_facts(number, left, on)}"
        )
    return f"{who(number)} is missing", (
        f"{who(number)} ({at}) is missing: {without} came without it. {_by_filters(filters)}{_why_missing(request)}, "
        f"ask the provider at once; a released number is soon given to others. It is not watched any more. "
        f"As last known: {_facts(number, left, on)}"
    )


def _by_filters(filters: Mapping[str, str] | None) -> str:
    """What the filters of an environment may have to do with a number that is not in its list."""
    if not filters:
        return ""
    return f"Perhaps it is there and fits the filters of this environment no more ({_pairs(filters)}). "


def _pairs(filters: Mapping[str, str]) -> str:
    return ", ".join(f"{plain(key)}={plain(value)}" for key, value in filters.items())


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
        f"does not get through: ask the provider at once. {_facts(number, left, on)}"
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
        f"nothing to do. {_facts(number, left, on)}"
    )


def auto_renewal_off(number: PhoneNumber, at: str, left: int | None, on: int | None) -> tuple[str, str]:
    """Auto-renewal was switched off: the number ends with its cycle."""
    now = "off" if number.auto_renewal is False else "no longer stated"
    return f"{who(number)}: auto-renewal is {now}", (
        f"{who(number)} ({at}): auto-renewal is {now}, it was on before; {_next(number, left, on)}. A renewal costs "
        f"{_cost(number)}. "
        f"If nobody meant it, switch auto-renewal on in {DASHBOARD}."
    )


def auto_renewal_on(
    number: PhoneNumber, at: str, left: int | None, on: int | None, *, lapses: bool = False
) -> tuple[str, str]:
    """Auto-renewal was switched on; ``lapses``: the number is meant to go."""
    late = left is not None and left < 0
    if lapses:
        return f"{who(number)} is meant to lapse, but auto-renewal is on", (
            f"{who(number)} ({at}) is meant to lapse, but auto-renewal was switched on; {_next(number, left, on)} for "
            f"{_cost(number)}. Switch it off in {DASHBOARD}, or take the mark back: renewal-watch lapse --withdraw "
            f"{who(number)}"
        )
    todo = f"Check in {DASHBOARD} that it renews now" if late else "Make sure that the balance covers it"
    return f"{who(number)}: auto-renewal is on", (
        f"{who(number)} ({at}): auto-renewal is on, it was off before; {_next(number, left, on)} for {_cost(number)}. {todo}."
    )


def last_chance(number: PhoneNumber, at: str, left: int, on: int, note: str = "") -> tuple[str, str]:
    """A number that is meant to go will be gone soon; the last time to want it otherwise."""
    if number.auto_renewal:
        headline = f"{who(number)} is meant to lapse, but renews {_in(left)}"
        todo = f"{_cost(number)} will be charged. Switch auto-renewal off in {DASHBOARD} now"
    else:
        headline = f"{who(number)} lapses {_in(left)}, as meant"
        todo = f"to keep it, renew it in {DASHBOARD} for {_cost(number)} now; else there is nothing to do"
    verb = headline.removeprefix(who(number))
    return headline, f"{who(number)} ({at}){verb}, on {day(on)}: {_auto(number)}, {todo}.{note}"


def lapse_renewed(number: PhoneNumber, paid: PhoneNumber, at: str, left: int, on: int) -> tuple[str, str]:
    """A number that was meant to go renewed; ``paid`` is the number as it was before."""
    headline = f"{who(number)} renewed, but was meant to lapse"
    return headline, (
        f"{who(number)} ({at}) renewed, but was meant to lapse: {_cost(paid)} paid, the next renewal is in {days(left)}, "
        f"on {day(on)}; {_auto(number)}. Release it in {DASHBOARD}, or keep it: renewal-watch lapse --withdraw "
        f"{who(number)}"
    )


def _in(left: int) -> str:
    return "today" if left == 0 else f"in {days(left)}"


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
        f"{who(number)} costs {_cost(number)}",
        f"{who(number)} ({at}): {'; '.join(said)}. Make sure that the balance covers it. {_facts(number, left, on)}",
    )


def capabilities(
    number: PhoneNumber, at: str, names: Sequence[str], left: int | None, on: int | None, *, lost: bool
) -> tuple[str, str]:
    """Voice, SMS or the like came or went."""
    what = ", ".join({"sms": "SMS", "mms": "MMS", "whatsapp": "WhatsApp"}.get(name, name) for name in names)
    verb = "lost" if lost else "gained"
    todo = f"Callers may be affected: ask in {DASHBOARD}." if lost else "Nothing to do."
    return f"{who(number)} {verb} {what}", f"{who(number)} ({at}) {verb} {what}. {todo} {_facts(number, left, on)}"


# --- the account ------------------------------------------------------------------------------------------------------


def asked(request: Release) -> str:
    """``Its release was requested at … (reason: …) and approved at …``."""
    when = f" at {instant(request.requested_at)}" if request.requested_at else ""
    why = f" (reason: {plain(request.reason).rstrip('.')})" if request.reason else ""
    said = f"Its release was requested{when}{why}"
    if request.status == "pending":
        return f"{said} and is not decided yet"
    done = f" at {instant(request.resolved_at)}" if request.resolved_at else ""
    answer = f" ({plain(request.rejection).rstrip('.')})" if request.rejection and request.status == "rejected" else ""
    return f"{said} and {request.status}{done}{answer}"


def _released(number: PhoneNumber | None, request: Release) -> str:
    return (
        who(number) if number else plain(request.number) or plain(request.number_id) or f"request {plain(request.id)}"
    )


def _end_of_release(number: PhoneNumber | None, left: int | None, on: int | None, note: str) -> str:
    if number is None:
        return f"It is not in the list that is watched.{note}"
    return f"{_facts(number, left, on)}{note}"


def release_requested(
    number: PhoneNumber | None, request: Release, at: str, left: int | None, on: int | None, note: str = ""
) -> tuple[str, str]:
    """Somebody asked to give a number back: the last moment to save it."""
    name = _released(number, request)
    return f"{name} is to be released", (
        f"{name} ({at}) is to be released. {asked(request)}. Once it is approved the number is gone for good: if nobody "
        f"meant it, cancel the request in {DASHBOARD} now. {_end_of_release(number, left, on, note)}"
    )


def release_meant(number: PhoneNumber, request: Release, at: str) -> tuple[str, str]:
    """A request, or its approval, for a number that is meant to lapse."""
    now = "is to be released" if request.status == "pending" else "is released or will be"
    return f"{who(number)} {now}, as meant", (
        f"{who(number)} ({at}) {now}. {asked(request)}. It is meant to lapse: there is nothing to do."
    )


def release_approved(
    number: PhoneNumber | None,
    request: Release,
    at: str,
    left: int | None,
    on: int | None,
    note: str = "",
    *,
    is_gone: bool = False,
) -> tuple[str, str]:
    """The request was approved: the number is gone or will be; ``is_gone``: it was told as missing before."""
    name = _released(number, request)
    headline = f"{name} is gone, for it was released" if is_gone else f"{name} is released"
    what = "is gone, for it was released" if is_gone else "is released: it is gone or will be"
    todo = f"If nobody meant it, ask the provider at once, and look in {DASHBOARD} who asked for it"
    return headline, (
        f"{name} ({at}) {what}. {asked(request)}. That cannot be undone. {todo}. "
        f"{_end_of_release(number, left, on, note)}"
    )


def release_closed(number: PhoneNumber | None, request: Release, at: str, *, is_listed: bool) -> tuple[str, str]:
    """The request came to nothing, or is not listed any more."""
    name = _released(number, request)
    if not is_listed:
        return f"{name}: the request to release it is not listed any more", (
            f"{name} ({at}): the request to release it is not listed any more, and nothing says what became of it. Look in "
            f"{DASHBOARD} whether the number stays."
        )
    return f"{name} stays: the request to release it was {request.status}", (
        f"{name} ({at}) stays. {asked(request)}. Nothing to do."
    )


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
    when = f"expires {_in(left)}" if left >= 0 else "has expired"
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
    why = f"it has {_some(list(faults), 3)}" if faults else plain(error or "")
    return f"{at}: the {what} cannot be read{' whole' if faults else ''}", (
        f"{at}: the {what} cannot be read{' whole' if faults else ''}: {why}. What cannot be read is not watched; all else is. "
        f"Ask the provider, and look in {DASHBOARD} meanwhile."
    )


def when_short(left: int, on: int) -> str:
    """``from Thu 14 May 2026 on, in 3 days``."""
    return f"from {day(on)} on, {_in(left)}"


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


# --- the watch itself -------------------------------------------------------------------------------------------------


def consequence(fleet: int, soon: int) -> str:
    """What blindness means: ``17 numbers are not being watched; 3 of them renew within 7 days``."""
    if not fleet:
        return "No list was read yet, so no number is being watched"
    verb = "is" if fleet == 1 else "are"
    renew = f"{soon} of them {'renews' if soon == 1 else 'renew'} within 7 days"
    return f"{numbers(fleet)} {verb} not being watched; {renew}"


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def _of(count: int, whole: str = "") -> str:
    """``of 5 numbers``, ``of 1 number``."""
    return f"of {numbers(count)}{whole}"


def field_unreadable(field: str, form: str, those: Sequence[tuple[PhoneNumber, str]]) -> str:
    """A field that cannot be read: what it is, of how many numbers, and one as it came."""
    number, shown = min(those, key=lambda one: (who(one[0]), one[1]))  # the same one, however the list is ordered
    return f"{field} {_of(len(those))} cannot be read: it is {plain(form)}, {plain(shown)} for {who(number)}"


def entries_skipped(entries: Sequence[InvalidEntry]) -> str:
    """Entries that nobody can tell the number of."""
    count = f"{len(entries)} {'entry has' if len(entries) == 1 else 'entries have'}"
    return f"{count} neither id nor number and cannot be watched: {plain(entries[0].reason)}"


def empty_why(filters: Mapping[str, str]) -> str:
    """What a list without any number may mean."""
    if filters:
        return f"the list is empty; perhaps nothing fits its filters ({_pairs(filters)})"
    return "the list is empty; perhaps the token is that of another environment or account"


def nothing_watched(sandbox: int, filters: Mapping[str, str]) -> str:
    """Why an environment has no number that is watched; ``sandbox`` numbers are in its list."""
    if sandbox:
        return f"no number is watched: the list has {numbers(sandbox)}, for the sandbox only (include_sandbox)"
    return f"no number is watched: {empty_why(filters)}"


def list_empty(at: str, sandbox: int, filters: Mapping[str, str]) -> tuple[str, str]:
    """A list without any number that is watched."""
    return f"{at}: no number is watched", f"{at}: {nothing_watched(sandbox, filters)}. If that is not meant, mend it."


def not_empty(at: str, count: int) -> tuple[str, str]:
    """The end of ``list_empty``."""
    return f"{at}: numbers are watched again", f"{at}: the list has {numbers(count)}, which are watched. Nothing to do."


def unwatched(those: Sequence[PhoneNumber], at: str) -> tuple[str, str]:
    """Numbers that the list calls sandbox numbers from now on."""
    are = "is a sandbox number now and is" if len(those) == 1 else "are sandbox numbers now and are"
    return f"{at}: {numbers(len(those))} {are} not watched any more", (
        f"{at}: {numbers(len(those))} {are} not watched any more: {_some([who(number) for number in those])}. If nobody meant "
        f"it, ask the provider; to watch them all the same, set include_sandbox = true."
    )


def invalid(flaws: Sequence[Flaw], at: str) -> tuple[str, str]:
    """Fields that cannot be read, and entries that are skipped."""
    said = "; ".join(flaw.text for flaw in flaws[:10])
    more = f"; and {len(flaws) - 10} more kinds of faults" if len(flaws) > 10 else ""  # noqa: PLR2004
    count = sum(flaw.entries for flaw in flaws)
    return f"{count} {'entry' if count == 1 else 'entries'} of the list cannot be read whole ({at})", (
        f"The list of {at}: {said}{more}. A field that cannot be read counts as unknown, all else is judged as ever. Ask the "
        f"provider."
    )


def days_unknown(count: int) -> str:
    """How many numbers have lost their renewal day."""
    return f"the renewal day {_of(count)} is not known any more"


def unstated(those: Sequence[tuple[PhoneNumber, Known]], at: str) -> tuple[str, str]:
    """Numbers of which the list states no renewal day any more; the last known days go on."""
    named = [
        f"{who(number)} (last known {day(known.renews_on)})" for number, known in those if known.renews_on is not None
    ]
    said = days_unknown(len(those))
    return f"{at}: {said}", (
        f"{at}: {said}. The list states neither countdown nor date of {_some(named)}. Their countdown goes on from what was "
        f"last known, but nobody can see whether they renew. Ask the provider, and look in {DASHBOARD} until it is back."
    )


def days_known(at: str) -> tuple[str, str]:
    """The end of ``unstated``."""
    return f"{at}: the renewal days are known again", f"{at}: the renewal days are stated again. Nothing to do."


def signs_agree(at: str) -> tuple[str, str]:
    """The end of ``contradiction``."""
    return f"{at}: the signs of the renewal days agree again", (
        f"{at}: countdown and date of every number agree again, and the countdowns move. Nothing to do."
    )


def dayless(those: Sequence[PhoneNumber], fleet: int, at: str) -> tuple[str, str]:
    """Numbers of the first list that have no renewal day."""
    whole = "any number" if len(those) == fleet else numbers(len(those))
    return f"{at}: no renewal day is known of {whole}", (
        f"{at}: no renewal day is known of {whole}: the list states neither days_until_monthly_renewal nor renewal_date of "
        f"{_some([who(number) for number in those])}. No renewal of theirs can be told ahead, all else is watched."
    )


def signs_contradict(count: int) -> str:
    """How many numbers have signs that contradict each other."""
    return f"the signs of the renewal day {_of(count)} contradict each other"


def contradiction(those: Sequence[tuple[PhoneNumber, Known]], at: str, moment: Moment) -> tuple[str, str]:
    """Numbers whose signs contradict each other, or stand still, for three lists in a row."""
    named = [
        f"{who(number)} renews on {day(known.renews_on)} ({which_day(number, known.renews_on, moment)})"
        for number, known in those
        if known.renews_on is not None
    ]
    said = signs_contradict(len(those))
    return f"{at}: {said}", (
        f"{at}: {said} for three lists in a row. The day that loses no number is believed: {'; '.join(named[:5])}"
        f"{f'; and {len(named) - 5} more' if len(named) > 5 else ''}. The list may be an old one: ask the provider, and look "  # noqa: PLR2004
        f"in {DASHBOARD} when they renew."
    )


def token_rejected(at: str, error: str, fleet: int, soon: int) -> tuple[str, str]:
    """The token does not work."""
    return f"{at}: the API token is rejected", (
        f"{at}: {error}. {consequence(fleet, soon)}. Put a new token in place; it is used at once, "
        f"until then the old one is tried at most hourly."
    )


def user_token_rejected(at: str, error: str) -> tuple[str, str]:
    """The token that only the balance is read with does not work."""
    return f"{at}: the user token is rejected, so the balance is not watched", (
        f"{at}: the balance is not held against the renewals due, for the user token does not work: {error}. All else is "
        f"watched. Put a new user token in place; it is used at the next reading."
    )


def user_token_works(at: str) -> tuple[str, str]:
    """The end of ``user_token_rejected``."""
    return f"{at}: the user token works again", f"{at}: the balance is read and watched again. Nothing to do."


def api_failing(at: str, error: str, failures: int, since: datetime, fleet: int, soon: int) -> tuple[str, str]:
    """Several polls in a row gave no list."""
    return f"{at}: the API cannot be read", (
        f"{at}: {failures} polls in a row failed, since {instant(since)}; the last one: {error}. "
        f"{consequence(fleet, soon)}. The countdown goes on from what was last known."
    )


def stale(at: str, last: datetime | None, now: datetime, error: str, fleet: int, soon: int) -> tuple[str, str]:
    """No good list for too long."""
    since = f"since {instant(last)} ({span(now - last)})" if last else "ever"
    return f"{at}: nothing known since {instant(last)}" if last else f"{at}: the list was never read", (
        f"{at}: no list could be read {since}; the last poll: {error}. {consequence(fleet, soon)}."
    )


def recovered(at: str, since: datetime | None, now: datetime) -> tuple[str, str]:
    """The list can be read again."""
    blind = f" after {span(now - since)}" if since else ""
    return (
        f"{at}: the API can be read again",
        f"{at}: the list is read again{blind}. All its numbers are watched again. Nothing to do.",
    )


def list_shrunk(at: str, lost: Sequence[str], fleet: int, filters: Mapping[str, str]) -> tuple[str, str]:
    """Too many numbers are gone at once to be believed; ``lost`` are their names."""
    said = f"{len(lost)} of {numbers(fleet)} left the list at once"
    asked = f" ({_pairs(filters)})" if filters else ""
    return f"{at}: {said}", (
        f"{at}: {said}: {_some([plain(name) for name in lost])}. That looks like a fault of the provider, the token or "
        f"the filters{asked}; if it stays so for 24 hours each of them is reported as missing. Look in {DASHBOARD} now."
    )


def list_whole(at: str, since: datetime, now: datetime, gone: int) -> tuple[str, str]:
    """The end of ``list_shrunk``; ``gone`` numbers are still not in the list, too few to doubt it."""
    after = f"after {span(now - since)}"
    if gone:
        still = f"{numbers(gone)} {'is' if gone == 1 else 'are'} still not in it and will be reported as missing"
        return f"{at}: the list is almost whole again", f"{at}: most numbers are back in the list {after}; {still}."
    return f"{at}: the list is whole again", f"{at}: the numbers are back in the list {after}. Nothing to do."


def clock_off(at: str, off: timedelta) -> tuple[str, str]:
    """Tell that our clock and that of the provider's answers differ; ``off`` is how far the latter is ahead."""
    how = f"{span(abs(off))} {'behind' if off > timedelta(0) else 'ahead of'}"
    return f"{at}: this machine's clock is {how} the provider's", (
        f"{at}: this machine's clock is {how} the provider's. Days are counted by the provider's until they agree; for a day "
        f"nothing is called renewed or overdue by either alone. Set the clock (timedatectl); if it is right, ask the provider."
    )


def clock_right(at: str) -> tuple[str, str]:
    """The end of ``clock_off``."""
    return f"{at}: the clocks agree again", f"{at}: this machine's clock and the provider's agree again. Nothing to do."


def channel_failing(channel: str, since: datetime, now: datetime, waiting: int, error: str) -> tuple[str, str]:
    """A channel does not take its messages; told through the others."""
    many = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
    return f"channel {channel} is failing", (
        f"Channel {channel} has not taken a message for {span(now - since)}: {plain(error).rstrip('.')}. {many} for it. "
        f"Check it with: renewal-watch test-channel {channel}"
    )


def channel_gave_up(channel: str, given_up: int, error: str) -> tuple[str, str]:
    """Messages that a channel will not be offered again by itself."""
    many = "1 message was" if given_up == 1 else f"{given_up} messages were"
    return f"channel {channel}: {many} given up", (
        f"{many} never delivered on channel {channel} in 3 days of trying: {plain(error).rstrip('.')}. See them with: renewal-watch "
        f"alerts --failed; send them again with: renewal-watch alerts retry"
    )


def channel_recovered(channel: str, since: datetime, now: datetime) -> tuple[str, str]:
    """A failing channel takes messages again."""
    return f"channel {channel} delivers again", f"Channel {channel} delivers again after {span(now - since)}."


# --- what people decided ----------------------------------------------------------------------------------------------


def of_the_watch(
    kind: str,
    severity: Severity,
    key: str,
    words: tuple[str, str],
    *,
    topic: str = "",
    ends: bool = False,
    channels: tuple[str, ...] | None = None,
) -> Alert:
    """An alert about no number and no environment."""
    return Alert(
        key=f"{kind}/{key}",
        kind=kind,
        severity=severity,
        environment="",
        headline=words[0],
        text=words[1],
        topic=topic,
        ends=ends,
        channels=channels,
    )


def with_owner(text: str, owner: str, labels: Sequence[str], note: str) -> str:
    """``text`` and whose the number is, by the inventory or a rule."""
    said = [f"owner: {plain(owner)}"] * bool(owner)
    said += [f"labels: {plain(', '.join(labels))}"] * bool(labels)
    said += [f"note: {plain(note)}"] * bool(note)
    end = f" [{'; '.join(said)}]" if said else ""
    return text if end in text else f"{text}{end}"  # what is told again in its old words has it already


def flapping(alert: Alert, times: int, length: timedelta, within: timedelta) -> tuple[str, str]:
    """Something goes to and fro; ``alert`` is the change that was one too many."""
    what = alert.kind.partition(".")[0].replace("_", "-")
    who = alert.number or alert.environment or alert.topic
    headline = f"{who}: {what} keeps changing"
    return headline, (
        f"{who}{f' ({alert.environment})' * bool(alert.number)}: {what} changed {times} times within {span(length)}. Now: "
        f"{alert.text} Further changes are kept in the history and not told until it has stayed as it is for {span(within)}."
    )


def settled(who: str, at: str, what: str, within: timedelta, now: str | None) -> tuple[str, str]:
    """The end of ``flapping``; ``now`` is the sentence of what still holds, None where all is well."""
    state = f"What holds now: {now}" if now else "Nothing about it is open."
    return f"{who}: {what} has settled", (
        f"{who}{f' ({at})' * bool(at and at != who)}: {what} has not changed for {span(within)}. {state}"
    )


def quoted(text: str, at: datetime) -> str:
    """A sentence as it was told before, whose days belong to that time."""
    return f"(as told at {instant(at)}) {text}"


def reminder(
    count: int, most: int, told_at: datetime, words: tuple[str, str], todo: str, *, is_critical: bool = False
) -> tuple[str, str]:
    """A matter told again; what ``is_critical`` goes on weekly after the last of ``most``."""
    last = ""
    if count == most:
        last = " (the last one, then weekly while it holds)" if is_critical else " (the last one)"
    elif count > most:
        last = " (weekly while it holds)"
    return f"reminder: {words[0]}", f"Reminder {count}{last}, told last at {instant(told_at)}: {_ended(words[1])}{todo}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "]", ")")) else f"{sentence}."


def released(hidden: str, since: datetime, told_at: datetime | None, words: tuple[str, str]) -> tuple[str, str]:
    """What was hidden and still holds when that ends."""
    when = f"told last at {instant(told_at)}, then hidden" if told_at else f"found {instant(since)}, not told until now"
    return words[0], f"{words[1]} (It was {when}: {hidden}.)"


def escalated(since: datetime, now: datetime, words: tuple[str, str], todo: str) -> tuple[str, str]:
    """Nobody acknowledged or resolved it."""
    return f"nobody acted: {words[0]}", (
        f"Told at {instant(since)} and neither acknowledged nor resolved for {span(now - since)}: {_ended(words[1])}{todo}"
    )


def how_to_acknowledge(alert_id: int) -> str:
    """The end of a sentence that is told until somebody acts; it names no number, for those may be masked."""
    return f" To stop the reminders: renewal-watch ack --alert {alert_id}"


def silence_ending(pk: int, author: str, comment: str, ends_at: datetime, hides: Sequence[str]) -> tuple[str, str]:
    """A silence that will end while it hides something critical."""
    why = f" ({plain(comment)})" if comment else ""
    some = "; ".join(hides[:5]) + (f"; and {len(hides) - 5} more" if len(hides) > 5 else "")  # noqa: PLR2004
    return f"silence {pk} ends at {instant(ends_at)}", (
        f"Silence {pk} of {plain(author)}{why} ends at {instant(ends_at)} and hides what is critical: {some}. What still "
        f"holds then is told. Look after it, or silence it anew: renewal-watch silence add"
    )


def inventory_invalid(fault: str, host: str = "") -> tuple[str, str]:
    """The inventory cannot be used as it is; ``host`` is the machine that has it, where several watch."""
    name = f"inventory on {plain(host)}" if host else "inventory"
    return f"the {name} cannot be read whole", (
        f"The {name} cannot be read whole: {plain(fault, 400)}. What could be read of it, and what was known before, "
        f"holds. Check it with: renewal-watch config check"
    )


def inventory_mended(host: str = "") -> tuple[str, str]:
    """The end of ``inventory_invalid``."""
    name = f"inventory on {plain(host)}" if host else "inventory"
    return f"the {name} is whole again", f"The {name} can be read whole again. Nothing to do."


def backup_failed(directory: str, fault: str, good_at: datetime | None) -> tuple[str, str]:
    """A backup that was due could not be made."""
    last = f"The last good one is of {instant(good_at)}" if good_at else "There is none yet"
    return "the database is not backed up", (
        f"The backup into {plain(directory)} failed: {plain(fault, 400)}. {last}. It is tried again every hour. Make one by "
        f"hand with: renewal-watch db backup FILE"
    )


def backup_made(file: str) -> tuple[str, str]:
    """The end of ``backup_failed``."""
    return "the database is backed up again", f"A backup was made and checked: {plain(file)}. Nothing to do."


def daemon_lost(host: str, pid: int, seen_at: datetime, others: Iterable[str]) -> tuple[str, str]:
    """A daemon that shares the database is gone; ``others`` are the machines whose daemons live."""
    name = f"{plain(host)} (process {pid})"
    left = ", ".join(sorted(map(plain, others)))
    return f"the daemon on {plain(host)} is gone", (
        f"The daemon on {name} was last heard of at {instant(seen_at)} and did not say that it ends. "
        f"Its work is done by what runs on {left}. See on {plain(host)}: journalctl -u renewal-watch"
    )


def daemon_back(host: str) -> tuple[str, str]:
    """The end of ``daemon_lost``."""
    name = f"the daemon on {plain(host)}"
    return f"{name} is back", f"{name[0].upper()}{name[1:]} is back and shares the work again. Nothing to do."


def environments_invalid(file: str, fault: str) -> tuple[str, str]:
    """A file of an environment, or their directory, cannot be used as it is."""
    name = plain(file)
    return f"{name} cannot be used as it is", (
        f"{name} (environments_dir) cannot be used as it is: {plain(fault, 400)}. What was read of it before goes on until "
        f"the watch is started again; what was never read is not watched. See: renewal-watch config check"
    )


def environments_mended(file: str) -> tuple[str, str]:
    """The end of ``environments_invalid``."""
    name = plain(file)
    return f"{name} is right again", f"{name} (environments_dir) is right again, or was removed. Nothing to do."


def canary(number: str, channel: str, now: datetime) -> tuple[str, str]:
    """The made-up number's message."""
    return f"CANARY: channel {channel} works", (
        f"CANARY, nothing to do: the made-up number {number} went the whole way from a poll at {instant(now)} to channel "
        f"{channel}. As long as this comes on its schedule, an alert would come as well."
    )


def canary_failed(channel: str, at: datetime, reason: str) -> tuple[str, str]:
    """The made-up number did not arrive: alerts might not either."""
    return f"the canary did not reach channel {channel}", (
        f"The canary of {instant(at)} did not reach channel {channel}: {plain(reason, 400)}. An alert might not have "
        f"reached it either. Look at: renewal-watch alerts, renewal-watch doctor"
    )


def canary_arrived(channel: str, at: datetime) -> tuple[str, str]:
    """The end of ``canary_failed``."""
    return "the canary arrives again", f"The canary reached channel {channel} at {instant(at)}. Nothing to do."


# --- the message ------------------------------------------------------------------------------------------------------


class Own(NamedTuple):
    """An alert in the user's words: a subject, and a body that is markup already. None leaves the built-in words."""

    subject: str | None = None
    body: str | None = None


def render(
    message_id: str,
    alerts: Sequence[Alert],
    *,
    created_at: datetime,
    now: datetime,
    body_limit: int,
    title_limit: int,
    form: str = "text",
    note: str = "",
    own: Mapping[str, Own] | None = None,
) -> Message:
    """One message, most urgent first, within the channel's limits; what does not fit is counted.

    Limits are in bytes of UTF-8 with room for HTML escapes, the strictest way that a service may count.
    A ``title_limit`` of 0 means that the service puts the title above the body. ``form`` is text, markdown or html;
    ``own`` holds the user's words for some alerts, by their keys. A digest stands above the alerts that came with it.
    """
    own = own or {}
    sheets = [alert for alert in alerts if alert.kind == "digest.sent"]
    digest = max(sheets, key=lambda alert: alert.key, default=None)
    ordered = sorted((alert for alert in alerts if alert not in sheets), key=urgency)
    dress = _DRESS[form]
    is_late = now - created_at >= _OLD_NEWS and not any(word in note for word in ("held back", "gathered"))
    late = f"found {instant(created_at)}, delivered late" if is_late else ""
    said = _cut("; ".join(filter(None, (late, note))), 300)
    footer = dress("text", f"message {message_id}")
    if said:
        long = "".join((dress("text", said), "" if form == "html" else "\n", footer))
        footer = long if _size(long) <= body_limit // 3 else footer
    room = body_limit - _size(footer) - 2
    title = _title([digest] if digest else ordered, own)
    if title_limit:
        title = _fit(title, title_limit)
    else:  # in a short message the title says most; the body must keep room to count the rest
        if form == "markdown":  # which surrounds it with stars
            title = unmarked(title).replace("*", "∗")
        title = _fit(title, min(_TITLE, max(room - 2, 0) // 2))
        room -= _size(title) + 2
    if digest is None:
        body = _body(ordered, room, form, own)
    else:
        words = own.get(digest.key, _BUILT_IN).body
        above = _sheet(digest.text, room, dress) if words is None else words
        below = _body(ordered, max(room - _size(above) - 1, room // 2), form, own)
        if words is None or _size(above) + _size(below) + 1 > room:
            above = _sheet(digest.text, room - _size(below) - 1, dress)
        body = "\n".join(filter(None, (above, below)))
    body = body.removeprefix("<br/>")  # a heading stands apart from what is above it, and nothing is
    gap = "" if form == "html" else "\n\n"
    return Message(
        message_id=message_id,
        title=title,
        body=f"{body}{gap}{footer}" if body else footer,
        severity=max(alert.severity for alert in alerts),
        format=form,
        about=([digest] if digest else ordered)[0].place,
    )


def _text(role: str, text: str) -> str:
    return f"• {text}" if role == "item" else text


def _markdown(role: str, text: str) -> str:
    line = unmarked(text)
    return f"**{line}**" if role == "heading" else f"- {line}" if role == "item" else line


def _html(role: str, text: str) -> str:
    line = escape(text)
    if role == "heading":
        return f"<br/><b>{line}</b><br/>"
    return f"{'• ' if role == 'item' else ''}{line}<br/>"


# How a line looks in each format. Few tags: chats that take HTML know hardly more than these.
_DRESS: dict[str, Callable[[str, str], str]] = {"text": _text, "markdown": _markdown, "html": _html}


def _sheet(text: str, room: int, dress: Callable[[str, str], str]) -> str:
    """The lines of a digest, as many as fit."""
    lines = []
    for line in text.split("\n"):
        role = "item" if line.startswith("• ") else "heading" if line.isupper() or line.startswith("FOUND ") else "text"
        lines.append(dress(role, line.removeprefix("• ")) if line else "")
    whole = "\n".join(lines)
    if _size(whole) <= room:
        return whole
    cut = dress("text", "… (cut: renewal-watch status shows all)")
    sums = list(accumulate(_size(line) + 1 for line in lines))
    fitting = bisect_right(sums, room - _size(cut))
    return "\n".join((*lines[:fitting], cut)) if _size(cut) <= room else ""


def urgency(alert: Alert) -> tuple[int, int, str, str, str]:
    """Sorts the most urgent first."""
    left = 10_000 if alert.days_left is None else alert.days_left
    return (-alert.severity, left, alert.kind, alert.number or "", alert.key)


def _group(alert: Alert) -> str:
    if alert.kind in ("renewal.upcoming", "renewal.due") and alert.severity > Severity.info:
        return "about to be lost"
    return _GROUPS.get(alert.kind, "on the watch itself")


def _title(ordered: Sequence[Alert], own: Mapping[str, Own]) -> str:
    first = ordered[0]
    subject = own.get(first.key, _BUILT_IN).subject
    place = f"{first.environment}: "
    if not first.environment or first.headline.startswith(first.environment) or first.kind == "canary.sent":
        place = ""
    head = subject or f"[{first.severity.name}] {place}{_cut(first.headline, _BRIEF)}"
    if first.kind == "digest.sent":
        return subject or f"[{first.headline.partition(':')[0]}] {first.headline.partition(': ')[2]}"
    rest = Counter(_group(alert) for alert in ordered[1:])
    if not rest:
        return head
    return f"{head}; and {', '.join(f'{count} {group}' for group, count in rest.most_common())}"


_BUILT_IN = Own()


def _body(ordered: Sequence[Alert], room: int, form: str, own: Mapping[str, Own]) -> str:
    """As many alerts as fit, under the name of their severity; the first one is cut rather than left out.

    Where the user's words leave no room for all that is critical, the built-in ones are used if they hold more.
    """
    body, told = _fitting(ordered, room, form, own)
    if own and told < sum(alert.severity == Severity.critical for alert in ordered):
        plainly, more = _fitting(ordered, room, form, {})
        return plainly if more > told else body
    return body


def _fitting(ordered: Sequence[Alert], room: int, form: str, own: Mapping[str, Own]) -> tuple[str, int]:
    """The lines that fit, and how many alerts they tell."""
    dress = _DRESS[form]
    lines: list[str] = []
    sums: list[int] = []
    used = 0
    heading: Severity | None = None
    for alert in ordered:
        written = own.get(alert.key, _BUILT_IN).body
        line = dress("item", alert.text) if written is None else f"{written}<br/>" if form == "html" else written
        if alert.severity != heading:
            heading = alert.severity
            line = f"{chr(10) if lines else ''}{dress('heading', heading.name.upper())}\n{line}"
        used += _size(line) + 1
        if used > room + 1:
            break
        lines.append(line)
        sums.append(used)
    else:
        return "\n".join(lines), len(lines)
    is_brief = 3 * _size(dress("text", _rest(ordered))) > room
    reserve = _size(dress("text", _rest(ordered, is_brief=is_brief))) + 1  # no part of them has a longer line
    fitting = bisect_right(sums, room - reserve + 1)
    rest = dress("text", _rest(ordered[fitting:], is_brief=is_brief))
    if fitting:
        return "\n".join((*lines[:fitting], rest)), fitting
    first = ordered[0]
    top = f"{dress('heading', first.severity.name.upper())}\n"
    text = unmarked(first.text) if form == "markdown" else first.text
    start = _fit(text, room - (reserve if len(ordered) > 1 else 0) - _size(top) - _size(dress("item", "")))
    if len(start) < _BRIEF:
        return (rest if _size(rest) <= room else ""), 0
    lines = [f"{top}{dress('item', start)}"]
    lines += [dress("text", _rest(ordered[1:], is_brief=is_brief))] * (len(ordered) > 1)
    return "\n".join(lines), 1


def _rest(alerts: Sequence[Alert], *, is_brief: bool = False) -> str:
    """How many more there are, in few words where there is little room."""
    if is_brief:
        return f"… and {len(alerts)} more"
    counts = Counter(alert.severity.name for alert in alerts)
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"… and {len(alerts)} more ({said}): renewal-watch alerts"


def _size(text: str) -> int:
    """Bytes of ``text``, each character that HTML escapes counted as its longest escape."""
    return len(text.encode()) + 5 * sum(text.count(c) for c in _ESCAPES)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _fit(text: str, room: int) -> str:
    """``text`` cut to at most ``room`` as counted by ``_size``; nothing where not even an ellipsis has room."""
    if _size(text) <= room:
        return text
    left = room - _size("…")
    for end, character in enumerate(text):
        left -= _size(character)
        if left < 0:
            return text[:end] + "…" if room >= _size("…") else ""
    return text  # not reached: the whole of it was too long


def test_alert(channel: str, now: datetime) -> Alert:
    """The marked alert that ``test-channel`` sends."""
    return Alert(
        key=f"test/{channel}/{now.isoformat()}",
        kind="watch.recovered",
        severity=Severity.info,
        environment="",
        headline=f"TEST of channel {channel}",
        text=f"TEST: this is a made-up message of renewal-watch. If you can read it, channel {channel} works.",
    )
