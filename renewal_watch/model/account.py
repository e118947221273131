"""What the account says beside the list: releases, top-ups, cards, balance. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec


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


Users = dict[str, tuple[str, ...]]  # names of agents by provider id, and by the number itself; and by these:
SILENT = "an agent that does not say its numbers"
MENTIONED = "in a text: "  # and the digits of a number
CONTENTS: dict[str, Any] = {
    "releases": tuple[Release, ...],
    "topup": TopUp,
    "charges": tuple[Charge, ...],
    "cards": tuple[Card, ...],
    "balance": Balance,
    "agents": Users,
}  # what was read beside the list, by its name
