"""Words that several texts share: days, money, a number's facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from renewal_watch import language
from renewal_watch.language import N_, _, ngettext, pgettext
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Number
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.tracking import Known
from renewal_watch.text import plain

_SEVERITIES = {Severity.critical: N_("critical"), Severity.warning: N_("warning"), Severity.info: N_("info")}
FEW = 5  # of many numbers, so many are named; the others are counted
_DIGITS = 30  # an amount with more before or after the point is no price and is not written out


def days(count: int) -> str:
    """``1 day``, ``3 days``."""
    return ngettext("{count} day", "{count} days", count)


def numbers(count: int) -> str:
    """``1 number``, ``3 numbers``."""
    return ngettext("{count} number", "{count} numbers", count)


def day(ordinal: int) -> str:
    """``Thu 26 Nov 2026`` of a ``date.toordinal``."""
    return _day(language.language(), ordinal)


@lru_cache(maxsize=1024)  # many alerts are about few days
def _day(_language: str, ordinal: int) -> str:
    return language.day(date.fromordinal(ordinal))


_ZONE: ContextVar[str] = ContextVar("zone", default="UTC")  # of the times that people read


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """Say times in this zone; the machine's own is nobody's, and JSON is in UTC."""
    before = _ZONE.set(name)
    try:
        yield
    finally:
        _ZONE.reset(before)


def instant(at: datetime | None) -> str:
    """``2026-11-26 10:00 UTC``, in the zone that is spoken in; ``never`` for None."""
    if at is None:
        return _("never")
    local = at.astimezone(zone_of(_ZONE.get()))
    return f"{language.minute(local)} {local.tzname()}"


@lru_cache(maxsize=16)
def zone_of(name: str) -> ZoneInfo:
    """The zone of a name."""
    return ZoneInfo(name)


def span(length: timedelta) -> str:
    """A length of time in its two largest units: ``2 d 3 h``, ``45 min``."""
    minutes = int(length.total_seconds()) // 60
    parts = [(minutes // 1440, _("d")), (minutes // 60 % 24, _("h")), (minutes % 60, _("min"))]
    said = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(said) or _("less than a minute")


def money(amount: Decimal | None, currency: str | None) -> str:
    """``1.00 USD``, ``1,500 JPY``, ``1.234 KWD``: with the currency's code in every language, for many have a ``$``."""
    if amount is None or not amount.is_finite():
        return _("an unknown amount")
    return _money(language.language(), amount, currency or "")


@lru_cache(maxsize=1024)  # … and about few prices
def _money(_language: str, amount: Decimal, currency: str) -> str:
    return f"{figure(amount, currency)} {plain(currency)}".rstrip()


def figure(amount: Decimal, currency: str | None) -> str:
    """``1.00``, ``1,500``: a finite amount without the name of its currency, which stands above it; never rounded."""
    if abs(amount.adjusted()) > _DIGITS:  # written out it could fill the memory
        return str(amount)
    return language.amount(amount, plain(currency or "").upper())


def sums(amounts: Iterable[tuple[str, Decimal]]) -> str:
    """Amounts by their currency: ``12.00 EUR + 3.00 USD``."""
    return " + ".join(money(amount, currency) for currency, amount in sorted(amounts))


def who(number: PhoneNumber | Number) -> str:
    """The number as dialled, else its id."""
    return plain(number.number or "") or plain(number.id)


def auto(number: PhoneNumber | Number) -> str:
    """``auto-renewal is on``."""
    if number.auto_renewal is None:
        return _("auto-renewal is not stated")
    return _("auto-renewal is on") if number.auto_renewal else _("auto-renewal is off")


def cost(number: PhoneNumber | Number) -> str:
    """What a renewal costs: ``1.00 USD``."""
    return money(number.cost, number.currency)


def when(left: int, on: int) -> str:
    """``in 3 days, on Thu 26 Nov 2026``; ``today, …`` on the day itself; ``3 days ago, on …`` after it."""
    if left == 0:
        return _("today, {day}", day=day(on))
    if left > 0:
        return ngettext("in {count} day, on {day}", "in {count} days, on {day}", left, day=day(on))
    return ngettext("{count} day ago, on {day}", "{count} days ago, on {day}", -left, day=day(on))


def what_comes(number: PhoneNumber | Number, left: int | None, on: int | None) -> str:
    """What the renewal day brings: ``it renews in 3 days, on …``, ``it will be lost …``, ``it is overdue by …``."""
    if left is None or on is None:
        return _("no renewal day is known")
    if left < 0:
        return ngettext(
            "it is overdue by {count} day, since {day}",
            "it is overdue by {count} days, since {day}",
            -left,
            day=day(on),
        )
    if number.auto_renewal:
        return _("it renews {when}", when=when(left, on))
    return _("it will be lost {when}", when=when(left, on))


def facts(number: PhoneNumber | Number, left: int | None, on: int | None) -> str:
    """The end of what is said on anything but renewal: days, date, auto-renewal and cost."""
    return capital(state(number, left, on))


def state(number: PhoneNumber | Number, left: int | None, on: int | None) -> str:
    """The same within a sentence."""
    return _(
        "{what_comes}: {auto_renewal}, a renewal costs {cost}.",
        what_comes=what_comes(number, left, on),
        auto_renewal=auto(number),
        cost=cost(number),
    )


def disagreement(known: Known, number: PhoneNumber, countdown: int | None, on_day: int, zone: str) -> str | None:
    """What is in doubt of a number's renewal day, None where nothing is; ``countdown`` went on since it was listed."""
    if known.doubt is not None and known.doubt.is_unstated and known.renews_on is not None:
        return _("its renewal day is not stated any more; last known {day}", day=day(known.renews_on))
    stated = renewal_day.stated(number, zone)
    if countdown is None or stated is None or abs(stated - on_day - countdown) <= renewal_day.WOBBLE_DAYS:
        if known.doubt is None or known.renews_on is None:
            return None
        return _("its countdown stands still, so that {day} is believed, as first read", day=day(known.renews_on))
    if countdown >= 0:
        said = ngettext(
            "the provider counts {count} day until renewal, but its renewal_date is {stated}",
            "the provider counts {count} days until renewal, but its renewal_date is {stated}",
            countdown,
            stated=when(stated - on_day, stated),
        )
    else:
        said = ngettext(
            "the provider counts {count} day since renewal, but its renewal_date is {stated}",
            "the provider counts {count} days since renewal, but its renewal_date is {stated}",
            -countdown,
            stated=when(stated - on_day, stated),
        )
    return (
        said
        if known.renews_on is None
        else _("{contradiction}; {day} is believed", contradiction=said, day=day(known.renews_on))
    )


def status_name(status: str, longest: int = 200) -> str:
    """A documented status in the language that is spoken, any other as the provider says it; empty for none."""
    known = {
        "active": pgettext("status", "active"),
        "inactive": pgettext("status", "inactive"),
        "pending": pgettext("status", "pending"),
        "suspended": pgettext("status", "suspended"),
    }
    return known.get(status) or plain(status, longest)


def status_word(status: str) -> str:
    """The same within a sentence."""
    return status_name(status) or _("without a status")


def severity_word(severity: Severity) -> str:
    """``critical``, in the language that is spoken."""
    return _(_SEVERITIES[severity])


def severities(severity: Severity, count: int) -> str:
    """``2 critical``: how many are as severe."""
    match severity:
        case Severity.critical:
            return ngettext("{count} critical", "{count} critical", count)
        case Severity.warning:
            return ngettext("{count} warning", "{count} warning", count)
        case _severity:
            return ngettext("{count} info", "{count} info", count)


def pairs(filters: Mapping[str, str]) -> str:
    """Filters as ``key=value, key=value``."""
    return ", ".join(f"{plain(key)}={plain(value)}" for key, value in filters.items())


def in_days(left: int) -> str:
    """``today``, ``in 3 days``."""
    return _("today") if left == 0 else ngettext("in {count} day", "in {count} days", left)


def a_few(names: Sequence[str], count: int | None = None, most: int = FEW) -> str:
    """The first few names, and how many more there are of ``count``; without it, of those that are given."""
    more = (len(names) if count is None else count) - len(names[:most])
    named = ", ".join(names[:most])
    return ngettext("{names} and {count} more", "{names} and {count} more", more, names=named) if more > 0 else named


def both(parts: Sequence[str]) -> str:
    """``overdue and suspended``, ``overdue, suspended and missing``."""
    if len(parts) < 2:  # noqa: PLR2004
        return "".join(parts)
    return _("{first} and {last}", first=", ".join(parts[:-1]), last=parts[-1])


def used_by(names: Sequence[str], most: int = FEW) -> str:
    """`` Used by: Front desk, Night line (2 agents).``, an empty string for nobody."""
    if not names:
        return ""
    named = a_few([plain(name, 60) for name in names], most=most)
    said = ngettext("Used by: {names} ({count} agent).", "Used by: {names} ({count} agents).", len(names), names=named)
    return f" {said}"


def consequence(fleet: int, soon: int) -> str:
    """What blindness means: ``17 numbers are not being watched; 3 of them renew within 7 days``."""
    if not fleet:
        return _("No list was read yet, so no number is being watched")
    renew = ngettext("{count} of them renews within 7 days", "{count} of them renew within 7 days", soon)
    return ngettext(
        "{count} number is not being watched; {renew}",
        "{count} numbers are not being watched; {renew}",
        fleet,
        renew=renew,
    )


def capital(sentence: str) -> str:
    """The sentence with a capital at its beginning."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def orphaned(channel: str, count: int) -> str:
    """Messages that wait for a channel that was renamed or taken out."""
    return ngettext(
        "{count} message waits for the channel {channel}, which the configuration has no more: give a channel that name, and it is sent",
        "{count} messages wait for the channel {channel}, which the configuration has no more: give a channel that name, and they are sent",
        count,
        channel=channel,
    )
