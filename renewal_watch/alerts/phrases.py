"""Words that several texts share: days, money, a number's facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from renewal_watch.model import renewal_day
from renewal_watch.model.facts import Number
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.tracking import Known
from renewal_watch.text import plain

DASHBOARD = "the provider's dashboard"
FEW = 5  # of many numbers, so many are named; the others are counted
_DIGITS = 30  # an amount with more before or after the point is no price and is not written out
_CENTS = {  # decimals of currencies that have other than two (ISO 4217)
    **dict.fromkeys(["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"], 0),
    **dict.fromkeys(["RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


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
        return "never"
    local = at.astimezone(zone_of(_ZONE.get()))
    return f"{local:%Y-%m-%d %H:%M} {local.tzname()}"


@lru_cache(maxsize=16)
def zone_of(name: str) -> ZoneInfo:
    """The zone of a name."""
    return ZoneInfo(name)


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
    return f"{figure(amount, currency)} {plain(currency or '')}".rstrip()


def figure(amount: Decimal, currency: str | None) -> str:
    """``1.00``, ``1500``: a finite amount without the name of its currency, which stands above it."""
    if abs(amount.adjusted()) > _DIGITS:  # written out it could fill the memory
        return str(amount)
    whole, _, cents = f"{amount:f}".partition(".")
    cents = cents.rstrip("0").ljust(_CENTS.get(plain(currency or "").upper(), 2), "0")
    return f"{whole}{'.' * bool(cents)}{cents}"


def sums(amounts: Iterable[tuple[str, Decimal]]) -> str:
    """Amounts by their currency: ``12.00 EUR + 3.00 USD``."""
    return " + ".join(money(amount, currency) for currency, amount in sorted(amounts))


def who(number: PhoneNumber | Number) -> str:
    """The number as dialled, else its id."""
    return plain(number.number or "") or plain(number.id)


def auto(number: PhoneNumber | Number) -> str:
    """``auto-renewal is on``."""
    if number.auto_renewal is None:
        return "auto-renewal is not stated"
    return f"auto-renewal is {'on' if number.auto_renewal else 'off'}"


def cost(number: PhoneNumber | Number) -> str:
    """What a renewal costs: ``1.00 USD``."""
    return money(number.cost, number.currency)


def when(left: int, on: int) -> str:
    """``in 3 days, on Thu 26 Nov 2026``; ``today, …`` on the day itself; ``3 days ago, on …`` after it."""
    if left == 0:
        return f"today, {day(on)}"
    return f"in {days(left)}, on {day(on)}" if left > 0 else f"{days(-left)} ago, on {day(on)}"


def what_comes(number: PhoneNumber | Number, left: int | None, on: int | None) -> str:
    """What the renewal day brings: ``it renews in 3 days, on …``, ``it will be lost …``, ``it is overdue by …``."""
    if left is None or on is None:
        return "no renewal day is known"
    if left < 0:
        return f"it is overdue by {days(-left)}, since {day(on)}"
    return f"it {'renews' if number.auto_renewal else 'will be lost'} {when(left, on)}"


def facts(number: PhoneNumber | Number, left: int | None, on: int | None) -> str:
    """The end of a sentence on anything but renewal: days, date, auto-renewal and cost."""
    said = what_comes(number, left, on)
    return f"{said[0].upper()}{said[1:]}: {auto(number)}, a renewal costs {cost(number)}."


def disagreement(known: Known, number: PhoneNumber, countdown: int | None, on_day: int, zone: str) -> str | None:
    """What is in doubt of a number's renewal day, None where nothing is; ``countdown`` went on since it was listed."""
    if known.doubt is not None and known.doubt.is_unstated and known.renews_on is not None:
        return f"its renewal day is not stated any more; last known {day(known.renews_on)}"
    stated = renewal_day.stated(number, zone)
    if countdown is None or stated is None or abs(stated - on_day - countdown) <= renewal_day.WOBBLE_DAYS:
        if known.doubt is None or known.renews_on is None:
            return None
        return f"its countdown stands still, so that {day(known.renews_on)} is believed, as first read"
    left = stated - on_day
    when_said = "today" if left == 0 else f"in {days(left)}" if left > 0 else f"{days(-left)} ago"
    counts = f"{days(countdown)} until" if countdown >= 0 else f"{days(-countdown)} since"
    said = f"the provider counts {counts} renewal, but its renewal_date is {date.fromordinal(stated)}, {when_said}"
    return said if known.renews_on is None else f"{said}; {day(known.renews_on)} is believed"


def pairs(filters: Mapping[str, str]) -> str:
    """Filters as ``key=value, key=value``."""
    return ", ".join(f"{plain(key)}={plain(value)}" for key, value in filters.items())


def in_days(left: int) -> str:
    """``today``, ``in 3 days``."""
    return "today" if left == 0 else f"in {days(left)}"


def a_few(names: Sequence[str], count: int | None = None, most: int = FEW) -> str:
    """The first few names, and how many more there are of ``count``; without it, of those that are given."""
    more = (len(names) if count is None else count) - len(names[:most])
    return f"{', '.join(names[:most])}{f' and {more} more' if more > 0 else ''}"


def of_numbers(count: int, whole: str = "") -> str:
    """``of 5 numbers``, ``of 1 number``."""
    return f"of {numbers(count)}{whole}"


def orphaned(channel: str, count: int) -> str:
    """Messages that wait for a channel that was renamed or taken out."""
    many = "1 message waits" if count == 1 else f"{count} messages wait"
    return f"{many} for the channel {channel}, which the configuration has no more: give a channel that name, and it is sent"
