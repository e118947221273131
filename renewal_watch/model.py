"""The frozen values that every other module speaks of; no behaviour but their own.

Instants are aware UTC datetimes, money is Decimal, days are whole numbers.
``PhoneNumber`` is what the API's decoder builds directly: one type from the wire to the rules saves
100,000 conversions a poll. It is a frozen ``msgspec.Struct``; everything else is a dataclass or a named tuple.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

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

KINDS = (
    "renewal.upcoming",
    "renewal.due",
    "renewal.overdue",
    "renewal.renewed",
    "renewal.postponed",
    "status.changed",
    "number.added",
    "number.missing",
    "number.returned",
    "number.moved",
    "number.renumbered",
    "number.unwatched",
    "auto_renewal.off",
    "auto_renewal.on",
    "price.changed",
    "capability.lost",
    "capability.gained",
    "data.invalid",
    "data.unknown",
    "data.contradiction",
    "watch.token_rejected",
    "watch.api_failing",
    "watch.list_shrunk",
    "watch.stale",
    "watch.recovered",
    "watch.daemon_lost",
    "watch.clock_off",
    "watch.list_empty",
    "channel.failing",
    "inventory.invalid",
    "environments.invalid",
    "backup.failed",
    "flapping.started",
    "flapping.ended",
    "silence.ending",
    "lapse.last_chance",
    "lapse.renewed",
    "release.requested",
    "release.approved",
    "release.closed",
    "funds.topup_off",
    "funds.topup_failed",
    "funds.card_expiring",
    "funds.short",
    "funds.recovered",
    "canary.sent",
    "canary.failed",
    "digest.sent",
)
OWN = frozenset(
    {"watch", "channel", "inventory", "environments", "backup", "silence", "canary", "digest"}
)  # first words of the kinds about the watch itself


class Severity(IntEnum):
    """How soon somebody must act; compares as its urgency."""

    info = 0
    warning = 1
    critical = 2


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


Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
Days = Annotated[int, Meta(ge=0, le=365)]
Texts = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]


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


class Cycle(NamedTuple):
    """What was told of a number in its present cycle; a number of which nothing was told has none.

    ``renews_on`` is the renewal day when it was first told, an ordinal; ``overdue_at`` an epoch second. ``course`` is the epoch
    second at which the day went back to an earlier one, 0 where it did not: what is told of it then is told anew.
    """

    renews_on: int
    told_threshold: int | None = None
    told_due_flag: bool = False
    overdue_at: int | None = None
    overdue_told: int = 0
    course: int = 0


class Absence(NamedTuple):
    """A number that is not in the list: for how many complete lists in a row, and since when it counts as missing.

    ``moved_to`` is the environment that lists it instead.
    """

    polls: int
    missing_at: int | None = None
    moved_to: str | None = None


class Lapse(NamedTuple):
    """A number that is meant to go. Days are ordinals.

    ``renews_on`` is the renewal day it was last seen with, None until one is known; ``reminded_on`` the renewal day
    before which the last chance to change one's mind was told.
    """

    renews_on: int | None = None
    reminded_on: int | None = None


class Doubt(NamedTuple):
    """What is in doubt of a number's renewal day; ``signs.believe`` says which day is believed meanwhile.

    ``lists`` counts the complete lists in a row, up to the third, that contradict themselves or what was believed, ``since``
    the epoch second of the first. ``old_date`` (an ordinal) and ``old_countdown`` are answers taken for old while they stay.
    ``counted`` is the later day that a countdown means without having moved on to it, ``counted_at`` since when it is that
    day. ``is_unstated``: the list states no day any more.
    """

    lists: int = 0
    since: int = 0
    old_date: int | None = None
    old_countdown: int | None = None
    counted: int | None = None
    counted_at: int | None = None
    is_unstated: bool = False


class Known(NamedTuple):
    """What is kept of a number between two polls; up to ``is_sandbox`` the columns of the table ``numbers``.

    ``zero_at``: the epoch second at which the countdown becomes 0, None without a countdown.
    ``renews_on``: the renewal day that is believed, an ordinal (``date.toordinal``), None where none was ever known.
    """

    pk: int
    provider_id: str
    number: str
    digest: bytes
    zero_at: int | None
    renews_on: int | None
    auto_renewal: bool
    is_sandbox: bool
    cycle: Cycle | None = None
    absence: Absence | None = None
    lapse: Lapse | None = None
    doubt: Doubt | None = None

    @property
    def missing_at(self) -> int | None:
        """Since when it counts as missing, an epoch second."""
        return None if self.absence is None else self.absence.missing_at

    def is_overdue(self, days_left: int | None) -> bool:
        """Whether its renewal day passed without a renewal, of a listed number that is not meant to lapse.

        A list that was read after the day showed it, in the provider's days: our calendar alone is no evidence.
        """
        is_shown = self.cycle is not None and self.cycle.overdue_told > 0
        return is_shown and days_left is not None and days_left < 0 and self.missing_at is None and self.lapse is None


class Flaw(NamedTuple):
    """What cannot be read in how many entries of the list, in a sentence."""

    entries: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is kept of an environment between two polls: how well the watch itself does.

    ``told`` holds the kinds of ``watch.*`` alerts that were told and have not ended.
    ``turn_s`` is the second of the UTC day at which the provider turns its day, as far as it was seen.
    ``clock_off_at`` is since when this machine's clock and that of the answers differ by more than minutes, ``confirmed_at``
    when an answer last said the time that this machine had.
    ``flaws`` holds what cannot be read or believed in the last list, by the kind of fault; all of it was told.
    """

    name: str
    numbers: int = 0
    has_baseline: bool = False
    last_poll_at: datetime | None = None
    last_success_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0
    failing_since: datetime | None = None
    told: frozenset[str] = frozenset()
    shrunk_at: datetime | None = None
    flaws: Mapping[str, Flaw] = field(default_factory=dict)
    turn_s: int | None = None
    clock_off_at: datetime | None = None
    confirmed_at: datetime | None = None


# --- what the account says beside the list ----------------------------------------------------------------------------


class Release(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A request to give a number back. Listed after it was resolved as well; an approved one cannot be undone."""

    id: str
    status: Literal["pending", "approved", "rejected", "cancelled"]
    number_id: str = ""
    number: str = ""
    reason: str = ""
    requested_at: datetime | None = None
    resolved_at: datetime | None = None
    rejection: str = ""


class TopUp(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How the balance is filled up: when it falls under ``threshold``, on a day of the month, or not; None: not stated."""

    by_threshold: bool | None = None
    by_schedule: bool | None = None
    threshold: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""
    card_id: str = ""


class Charge(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One try to fill up the balance."""

    id: str
    status: str  # pending, succeeded or failed
    at: datetime | None = None
    amount: Decimal | None = None
    currency: str = ""
    trigger: str = ""
    why: str = ""  # it failed


class Card(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A card that top-ups may be charged to; it can be used up to the end of its month."""

    id: str
    year: int
    month: int
    brand: str = ""
    last4: str = ""
    is_default: bool = False


class Balance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The prepaid credit of the account."""

    amount: Decimal
    currency: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The last answer of one further endpoint.

    ``outcome`` is ``ok`` or the reason of the ``ApiError``; ``content`` is what it last said well, at ``good_at``, and
    None before the first time. ``told`` is what was told of it and still holds, where no alert's key can say so.
    """

    name: str
    read_at: datetime
    outcome: str = "ok"
    error: str | None = None
    good_at: datetime | None = None
    held_until: datetime | None = None  # the provider asked not to be asked before
    content: Any = None
    told: Mapping[str, int] = {}


# --- what users decide about numbers ----------------------------------------------------------------------------------


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Which numbers a rule or a silence is about: every key that is given must fit; of a list one value is enough."""

    numbers: Texts | None = None  # whole, or the first digits and a star
    ids: Texts | None = None
    environments: Texts | None = None
    countries: Texts | None = None
    types: Texts | None = None
    capabilities: (
        Annotated[tuple[Literal["voice", "sms", "mms", "fax", "whatsapp"], ...], Meta(min_length=1)] | None
    ) = None
    labels: Texts | None = None  # of the inventory
    owners: Texts | None = None  # of the inventory
    auto_renewal: bool | None = None
    cost_at_least: Decimal | None = None  # of a renewal, in whatever currency
    cost_at_most: Decimal | None = None
    currencies: Texts | None = None

    def __post_init__(self) -> None:
        """Refuse amounts that nothing can be compared with."""
        for name in ("cost_at_least", "cost_at_most"):
            amount = getattr(self, name)
            if amount is not None and not (amount.is_finite() and 0 <= amount < 10**LONGEST_PRICE):
                msg = f"{name} is not an amount of money"
                raise ValueError(msg)
        if self.cost_at_least is not None and self.cost_at_most is not None and self.cost_at_least > self.cost_at_most:
            msg = "cost_at_least is more than cost_at_most, which no number fits"
            raise ValueError(msg)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[rules]]``: what holds for the numbers it matches. A key that is not given changes nothing."""

    name: Name
    match: Match = Match()
    warn_days: Annotated[tuple[Days, ...], Meta(min_length=1)] | None = None
    auto_renewal_warn_days: tuple[Days, ...] | None = None
    severities: dict[str, Literal["info", "warning", "critical"]] = {}  # by kind or pattern of kinds
    mute: tuple[str, ...] | None = None  # kinds or patterns of kinds; [] mutes nothing any more
    channels: Texts | None = None
    add_channels: tuple[str, ...] = ()
    escalate_to: tuple[str, ...] | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the inventory says of a number."""

    owner: str = ""
    labels: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that are not to be told until ``ends_at``, by whom and why."""

    pk: int
    match: Match
    kinds: tuple[str, ...]  # empty for all about numbers
    starts_at: datetime
    ends_at: datetime
    author: str
    comment: str
    ended_at: datetime | None = None
    ended_by: str | None = None
    warned_at: datetime | None = None  # when its coming end was told

    def is_active(self, now: datetime) -> bool:
        """Whether it hides alerts now."""
        return self.ended_at is None and self.starts_at <= now < self.ends_at


class Key(NamedTuple):
    """What a matter is about: environment and number ("" where it is about none), and its topic."""

    environment: str
    number_id: str
    topic: str


class Acknowledgement(NamedTuple):
    """Somebody knows; ``rank`` is how bad it was then."""

    at: datetime
    by: str
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """Something that was found and still holds. It ends with the alert that says so, or when the state is gone.

    ``alert_id`` is the newest alert about it. ``told_at`` is None while nobody was told; ``hidden`` says why it is not
    told now, and ``hider`` by what, in a form that can be asked whether it still holds.
    """

    alert_id: int
    kind: str
    severity: Severity
    rank: int
    opened_at: datetime
    told_at: datetime | None = None
    reminded: int = 0
    hidden: str | None = None
    hider: str | None = None
    ack: Acknowledgement | None = None
    urgent_at: datetime | None = None  # since when it is told as critical
    escalated_at: datetime | None = None


class Flap(NamedTuple):
    """How often something changed of late, and since when that counts as flapping."""

    times: tuple[datetime, ...]
    since: datetime | None = None
    worst: Severity = Severity.info  # of these changes


# --- what is judged, and what comes of it -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that the rules know: thresholds in days, the zone, how patient to be.

    ``rules`` and ``inventory`` (by the digits of the number) may give single numbers other thresholds.
    """

    zone: str = "UTC"
    warn_days: tuple[int, ...] = (14, 7, 3, 1, 0)
    auto_renewal_warn_days: tuple[int, ...] = (3,)
    grace: timedelta = timedelta(hours=12)
    missing_after_polls: int = 3
    stale_after: timedelta = timedelta(hours=6)
    include_sandbox: bool = False
    lapse_days: int = 2
    card_warn_days: int = 30
    horizon_days: int = 30
    rules: tuple[Rule, ...] = ()
    inventory: Mapping[str, Record] = field(default_factory=dict)

    @property
    def horizons(self) -> tuple[int, int]:
        """The largest threshold that any number may have: without auto-renewal, and with it."""
        off = [days for rule in self.rules for days in rule.warn_days or ()]
        on = [days for rule in self.rules for days in rule.auto_renewal_warn_days or ()]
        return max((*self.warn_days, *off, 0)), max((*self.auto_renewal_warn_days, *on, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A fact worth telling. ``key`` names it for ever: the same key is never written twice.

    ``headline`` is the few words for a subject; ``text`` the whole line with what to do. ``topic`` names the matter that
    the alert opens or, with ``ends``, closes; an alert without topic is about nothing that lasts. ``nature`` says why it
    is told now. ``channels`` are given where it is for these and no others, whatever they usually take. ``about`` is the
    number as it was judged, and ``said_by`` the key of an alert of the same batch that says the same to those who are told
    of it; they are not kept.
    """

    key: str
    kind: str
    severity: Severity
    environment: str
    text: str
    headline: str
    number_id: str | None = None
    number: str | None = None
    days_left: int | None = None
    topic: str = ""
    ends: bool = False
    nature: Literal["new", "repeat", "reminder", "release", "escalation"] = "new"
    channels: tuple[str, ...] | None = None
    about: PhoneNumber | None = field(default=None, repr=False)
    said_by: str | None = None

    @property
    def place(self) -> Key:
        """The matter it is about."""
        return Key(self.environment, self.number_id or "", self.topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one poll means.

    ``updates`` are the numbers whose kept state changed; ``versions`` the present entry of each number that changed, by
    provider id, None for one that left the list; ``countdowns`` the provider ids whose countdown moved otherwise than
    the calendar without anything else changing; ``ended`` the matters that are over without an alert that says so.
    """

    alerts: list[Alert]
    watch: Watch
    updates: list[Known] = field(default_factory=list)
    versions: dict[str, Entry | None] = field(default_factory=dict)
    countdowns: list[str] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one channel is told at once."""

    message_id: str
    title: str
    body: str
    severity: Severity
    format: str = "text"
    about: Key | None = None  # its gravest matter: mails about the same one stand in one thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message's fate on one channel, as claimed: the right to send it until ``leased_until``."""

    pk: int
    message_id: str
    channel: str
    lease: str
    leased_until: datetime
    attempts: int
    created_at: datetime
    alerts: tuple[Alert, ...]
    note: str = ""  # why it comes now, where it was held back or comes in another channel's place
    alert_ids: tuple[int, ...] = ()  # of ``alerts``, in their order


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A daemon that shares its database with others, ``seen_at`` the last time.

    ``polled`` and ``sent`` count what it did since its start; ``holds`` and ``messages`` are what it is at.
    """

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    polled: int
    sent: int
    is_alive: bool
    holds: tuple[str, ...] = ()
    messages: int = 0


class Seen(NamedTuple):
    """When a daemon of this database was last there, and whether it is there now."""

    at: datetime
    is_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What one instance may do and no other."""

    name: str
    token: str
