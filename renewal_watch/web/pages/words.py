"""Values as a page shows them: times in the configured zone, days, money, words for states. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup

from renewal_watch.alerts.phrases import money, span
from renewal_watch.text import printable

STATES = {  # of an alert's delivery: the mark beside the word, so that colour is never alone
    "sent": ("ok", "Sent"),
    "failed": ("bad", "Failed"),
    "sending": ("busy", "Being sent"),
    "held": ("wait", "Queued"),
    "retrying": ("mind", "Trying again"),
    "waiting": ("wait", "Waiting"),
}
READINGS = {  # what is read beside the list
    "agents": "Agents",
    "balance": "Balance",
    "cards": "Cards",
    "charges": "Top-up charges",
    "releases": "Release requests",
    "topup": "Automatic top-up",
}
TONES = {"critical": "bad", "warning": "mind", "info": "calm"}  # by severity
_SOON = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Words:
    """How one page says times: ``now`` and the zone of its calendar."""

    now: datetime
    zone: tzinfo

    @classmethod
    def of(cls, now: datetime, zone: str) -> Words:
        """For the configured zone."""
        return cls(now, ZoneInfo(zone))

    @property
    def today(self) -> date:
        """The calendar's day."""
        return self.now.astimezone(self.zone).date()

    def at(self, at: datetime | str | None) -> Markup:
        """``23 Nov 2026, 12:00`` with the exact instant for machines; ``never`` for None."""
        if at is None:
            return Markup("never")
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        exact = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return Markup('<time datetime="{}">{:%d %b %Y, %H:%M}</time>').format(exact, at.astimezone(self.zone))

    def brief(self, at: datetime) -> Markup:
        """``12:00`` of today, ``23 Nov`` of this year, ``23 Nov 2025`` of another; with the exact time as a title."""
        local = at.astimezone(self.zone)
        exact = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        is_today, is_this_year = local.date() == self.today, local.year == self.today.year
        said = f"{local:%H:%M}" if is_today else f"{local:%d %b}" if is_this_year else f"{local:%d %b %Y}"
        return Markup('<time datetime="{}" title="{:%d %b %Y, %H:%M}">{}</time>').format(exact, local, said)

    def ago(self, at: datetime | str | None) -> Markup:
        """``3 h 2 min ago``, ``in 5 min``; with the exact time as a title."""
        if at is None:
            return Markup("never")
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        length = self.now - at
        said = f"{span(length)} ago" if length >= timedelta(0) else f"in {span(-length)}"
        exact = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        shown = f"{at.astimezone(self.zone):%d %b %Y, %H:%M}"
        return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, shown, said)

    def day(self, on: date | None) -> Markup:
        """``Mon 23 Nov 2026``."""
        if on is None:
            return Markup("")
        return Markup('<time datetime="{}">{:%a %d %b %Y}</time>').format(on.isoformat(), on)

    @staticmethod
    def left(days: int | None) -> str:
        """``in 3 days``, ``today``, ``2 days overdue``."""
        if days is None:
            return "not known"
        if days < 0:
            return f"{_days(-days)} overdue"
        return ("today", "tomorrow")[days] if days < _SOON.days else f"in {_days(days)}"


def _days(count: int) -> str:
    return f"{count:,} day{'s' * (count != 1)}"


def count(number: int) -> str:
    """``12,345``."""
    return f"{number:,}"


def many(number: int, one: str, more: str = "") -> str:
    """``1 number``, ``2,000 numbers``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def shown(value: object, longest: int = 500) -> str:
    """Text from elsewhere as one line."""
    return printable(value, longest)


def number_path(environment: str, provider_id: str) -> str:
    """The page of a number; an id of dots alone would be taken for a step up."""
    return f"/numbers/{quote(environment, safe='')}/{quote(provider_id, safe='')}"


def link(path: str, query: Mapping[str, Any], **changes: Any) -> str:
    """A path with its query; None and empty values are left out."""
    merged = {**query, **changes}
    kept = {key: value for key, value in merged.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(kept)}" if kept else path


def amounts(sums: Mapping[str, Decimal]) -> list[str]:
    """Each currency for itself, in the order of their names."""
    return [grouped(money(amount, currency)) for currency, amount in sorted(sums.items())]


def grouped(amount: str) -> str:
    """``19,304.10 USD`` of ``19304.10 USD``."""
    whole = re.match(r"-?\d+", amount)
    return amount if whole is None else f"{int(whole[0]):,}{amount[whole.end() :]}"
