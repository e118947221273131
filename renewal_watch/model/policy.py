"""What the administrator decided: thresholds, rules, owners, silences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from renewal_watch.model.numbers import LONGEST_PRICE

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
Days = Annotated[int, Meta(ge=0, le=365)]
Texts = Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(min_length=1)]


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
