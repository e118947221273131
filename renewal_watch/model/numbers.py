"""A number as the provider's list states it, and what of an entry cannot be read. Pure.

Days are ordinals (``date.toordinal``) or dates, money is Decimal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

DAY_S = 86_400  # seconds
CAPABILITIES = ("voice", "sms", "mms", "fax", "whatsapp")  # has_… fields of the list, in the page's order
STATUSES = frozenset({"active", "inactive", "pending", "suspended"})  # documented on the list page
LONGEST_COUNTDOWN = 36_500  # days; a hundred years are no renewal
LONGEST_PRICE = 15  # digits before the point, or zeros after it; longer is no sum of money
FIRST_YEAR = 2000  # an earlier renewal day is a placeholder, such as 0001-01-01
_ZONE_WORD = re.compile(r"\s*(utc|gmt|z)$", re.IGNORECASE)
_ZONE_NAME = re.compile(r"\s*[\[(][^])]*[])]$")  # after the offset, by RFC 9557 or as a remark
_DATE = len("2026-11-23")
_CODE = re.compile(r"\s*[A-Za-z]{3}\s*")  # of a currency, ISO 4217
_DECIMALS = 6  # of a price; more are a binary fraction that was written out, 1.1499999999999999


@lru_cache(maxsize=4096)  # a fleet of any size renews on some thirty days
def day_of(text: str, zone: str = "UTC") -> date | None:
    """The calendar day in ``zone`` of a date, or of a time: one with an offset is that instant, one without a day as it is.

    None for an empty text. Raises ValueError for what is no date, or one of no renewal (0000-00-00, 0001-01-01).
    """
    text = text.strip()
    if not text:
        return None
    day = date.fromisoformat(text[:_DATE])
    if len(text) > _DATE:
        at = _instant(text)
        if at is not None:
            day = at.astimezone(ZoneInfo(zone)).date()
    if day.year < FIRST_YEAR:
        raise ValueError(text)
    return day


def _instant(text: str) -> datetime | None:
    """The instant that a time with an offset stands for; None where there is no offset, or nothing that can be read."""
    text = _ZONE_WORD.sub("+00:00", _ZONE_NAME.sub("", text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def is_countdown(value: float | str | msgspec.UnsetType | None) -> bool:
    """Whether it is a number of days that a renewal may be away, or nothing."""
    if value is None or value is msgspec.UNSET or value == "":
        return True
    try:
        return -LONGEST_COUNTDOWN <= float(value) <= LONGEST_COUNTDOWN
    except (ValueError, OverflowError):
        return False


def is_price(amount: Decimal | None) -> bool:
    """Whether it is a sum of money, or nothing."""
    return amount is None or (amount.is_finite() and (amount == 0 or abs(amount.adjusted()) < LONGEST_PRICE))


def is_day(text: str | None) -> bool:
    """Whether it is a day that a renewal may be on, or nothing."""
    try:
        day_of(text or "")
    except ValueError:
        return False
    return True


class PhoneNumber(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the list, as documented on the list page; anything but ``id`` may be null.

    Fields that it does not name are not here: they live on in the stored entry. ``entries.read`` makes one of any entry.
    Raises ValueError (msgspec: ValidationError) for a price, day or countdown that cannot be read.
    """

    id: str | int
    number: str | int | None = None
    country_code: str | None = None
    type: str | None = None
    has_voice: bool | None = None
    has_sms: bool | None = None
    has_mms: bool | None = None
    has_fax: bool | None = None
    has_whatsapp: bool | None = None
    current_status: str | None = None
    is_sandbox: bool | None = None
    current_price: Decimal | None = None
    currency: str | None = None
    renewal_date: str | None = None
    auto_renewal: bool | None = None
    monthly_renewal_cost: Decimal | None = None
    days_until_monthly_renewal: float | str | msgspec.UnsetType | None = msgspec.UNSET
    is_due_for_monthly_renewal: bool | None = None
    updated_at: str | None = None

    def __post_init__(self) -> None:
        """Refuse now what would fail later, so that the entry is read field by field."""
        days = self.days_until_monthly_renewal
        if self.id == "" or not (
            (type(days) is float and -LONGEST_COUNTDOWN <= days <= LONGEST_COUNTDOWN)
            or (type(days) is not float and is_countdown(days))
        ):
            msg = "the id is empty, or the countdown is no number of days"
            raise ValueError(msg)
        if not (is_price(self.current_price) and is_price(self.monthly_renewal_cost) and is_day(self.renewal_date)):
            msg = "a price is no sum of money, or the renewal day no day"
            raise ValueError(msg)
        for name, price in (("current_price", self.current_price), ("monthly_renewal_cost", self.monthly_renewal_cost)):
            if price is not None and -price.as_tuple().exponent > _DECIMALS:  # type: ignore[operator]  # finite: an int
                msgspec.structs.force_setattr(self, name, round(price, _DECIMALS).normalize())
        if self.currency and not self.currency.isupper() and _CODE.fullmatch(self.currency):
            msgspec.structs.force_setattr(self, "currency", self.currency.strip().upper())

    @property
    def countdown(self) -> int | None:
        """The provider's whole days until renewal, or None.

        A fraction is cut towards zero: a Laravel backend may send signed floats (Carbon 3 ``diffInDays``), and -0.4 is
        said on the renewal day itself, while -1.4 is said a day after it.
        """
        value = self.days_until_monthly_renewal
        if type(value) is float:  # the common case first: msgspec gives every JSON number as a float
            return math.trunc(value)
        if value is None or value is msgspec.UNSET:
            return None
        text = str(value).strip()
        return math.trunc(float(text)) if text else None

    def renewal_on(self, zone: str) -> date | None:
        """The day of ``renewal_date`` in ``zone``; see ``day_of``."""
        text = self.renewal_date
        return None if text is None else day_of(text, zone)

    @property
    def status(self) -> str:
        """The status in lower case; an empty string when the provider states none."""
        text = self.current_status
        return "active" if text == "active" else text.strip().lower() if text else ""

    @property
    def capabilities(self) -> frozenset[str]:
        """What the number can do; null counts as cannot, for a lost capability must not hide behind a null."""
        return frozenset(name for name in CAPABILITIES if getattr(self, "has_" + name))

    @property
    def cost(self) -> Decimal | None:
        """What a renewal costs: the monthly cost, else the current price."""
        return self.current_price if self.monthly_renewal_cost is None else self.monthly_renewal_cost


class Fault(NamedTuple):
    """A field of an entry that cannot be read and counts as unknown: what it is instead, and as it came."""

    field: str
    form: str
    shown: str


class Entry(NamedTuple):
    """An entry of the list: the parsed number, its JSON text as the provider sent it, and what of it cannot be read."""

    parsed: PhoneNumber
    raw: bytes | msgspec.Raw
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidEntry:
    """An entry that has neither id nor number, so that nobody can say which number it is about."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The complete list at one instant, by provider id; what is skipped stands in ``invalid``."""

    entries: Mapping[str, Entry]
    invalid: tuple[InvalidEntry, ...] = ()
    tolerant: bool = False  # the strict parser refused the body and the tolerant one read it
    is_dated: bool = False  # the answer said the time at all
