"""Values as a page shows them: times in the configured zone, days, money, words for states. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from renewal_watch import language
from renewal_watch.alerts.phrases import days, in_days, money, span
from renewal_watch.language import N_, _, date_of, date_of_this_year, ngettext, pgettext
from renewal_watch.text import printable

STATES = {  # of an alert's delivery: the mark beside the word, so that colour is never alone
    "sent": ("ok", N_("Sent")),
    "failed": ("bad", N_("Failed")),
    "sending": ("busy", N_("Being sent")),
    "held": ("wait", N_("Queued")),
    "retrying": ("mind", N_("Trying again")),
    "waiting": ("wait", N_("Waiting")),
}
READINGS = {  # what is read beside the list
    "agents": N_("Agents"),
    "balance": N_("Balance"),
    "cards": N_("Cards"),
    "charges": N_("Top-up charges"),
    "releases": N_("Release requests"),
    "topup": N_("Automatic top-up"),
}
OUTCOMES = {  # of a poll, by the word that is kept of it
    "api": N_("api"),
    "token_rejected": N_("token rejected"),
    "request_refused": N_("request refused"),
    "not_offered": N_("not offered"),
    "rate_limited": N_("rate limited"),
    "server_trouble": N_("server trouble"),
    "not_the_api": N_("not the api"),
    "unforeseen": N_("unforeseen"),
}
LENGTHS = ("4h", "1d", "3d", "7d", "30d")  # of a silence or an acknowledgement
TONES = {"critical": "bad", "warning": "mind", "info": "calm"}  # by severity


# --- what templates translate by --------------------------------------------------------------------------------------


def translated(message: str, /, **values: object) -> Markup:
    """``_`` of the templates: the message may have tags, its values are text unless they are markup themselves."""
    return Markup(_(message, **_harmless(values)))  # noqa: S704 (messages are ours, values are escaped)


def translated_by_count(one: str, more: str, count: int, /, **values: object) -> Markup:
    """``ngettext`` of the templates."""
    return Markup(ngettext(one, more, count, **_harmless(values)))  # noqa: S704 (as above)


def translated_in(context: str, message: str, /, **values: object) -> Markup:
    """``pgettext`` of the templates."""
    return Markup(pgettext(context, message, **_harmless(values)))  # noqa: S704 (as above)


def _harmless(values: Mapping[str, object]) -> dict[str, object]:
    return {name: escape(value) for name, value in values.items()}


# --- values -----------------------------------------------------------------------------------------------------------


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
            return escape(_("never"))
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        return Markup('<time datetime="{}">{}</time>').format(_exact(at), whole_time(at.astimezone(self.zone)))

    def brief(self, at: datetime) -> Markup:
        """``12:00`` of today, ``23 Nov`` of this year, ``23 Nov 2025`` of another; with the exact time as a title."""
        local = at.astimezone(self.zone)
        on, today = local.date(), self.today
        said = f"{local:%H:%M}" if on == today else date_of_this_year(on) if on.year == today.year else date_of(on)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(_exact(at), whole_time(local), said)

    def ago(self, at: datetime | str | None) -> Markup:
        """``3 h 2 min ago``, ``in 5 min``; with the exact time as a title."""
        if at is None:
            return escape(_("never"))
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        length = self.now - at
        is_past = length >= timedelta(0)
        said = _("{span} ago", span=span(length)) if is_past else _("in {span}", span=span(-length))
        local = at.astimezone(self.zone)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(_exact(at), whole_time(local), said)

    def day(self, on: date | None) -> Markup:
        """``Mon 23 Nov 2026``."""
        if on is None:
            return Markup("")
        return Markup('<time datetime="{}">{}</time>').format(on.isoformat(), language.day(on))

    @staticmethod
    def left(days: int | None) -> str:
        """``in 3 days``, ``today``, ``2 days overdue``."""
        if days is None:
            return _("not known")
        if days < 0:
            return ngettext("{count} day overdue", "{count} days overdue", -days)
        return _("tomorrow") if days == 1 else in_days(days)


def _exact(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def whole_time(local: datetime) -> str:
    """``23 Nov 2026, 12:00``."""
    return f"{date_of(local.date())}, {local:%H:%M}"


def day_of_month(on: date) -> str:
    """``3 Nov``, as in a calendar."""
    return f"{on.day} {on:%b}" if language.language() == "en" else date_of_this_year(on)


def weekdays() -> list[str]:
    """``Mon`` to ``Sun``."""
    return [language.weekday(date(2024, 1, day)) for day in range(1, 8)]


def lengths() -> dict[str, str]:
    """How long something may be silenced or acknowledged for, by the value of the form."""
    return {
        one: ngettext("{count} hour", "{count} hours", int(one[:-1])) if one[-1] == "h" else days(int(one[:-1]))
        for one in LENGTHS
    }


def outcome(word: str) -> str:
    """What came of a poll: ``ok``, ``server trouble``."""
    if word == "ok":
        return pgettext("outcome of a poll", "ok")
    return _(OUTCOMES[word]) if word in OUTCOMES else word.replace("_", " ")


def shown(value: object, longest: int = 500) -> str:
    """Text from elsewhere as one line."""
    return printable(value, longest)


def link(path: str, query: Mapping[str, Any], **changes: Any) -> str:
    """A path with its query; None and empty values are left out."""
    merged = {**query, **changes}
    kept = {key: value for key, value in merged.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(kept)}" if kept else path


def amounts(sums: Mapping[str, Decimal]) -> list[str]:
    """Each currency for itself, in the order of their names."""
    return [money(amount, currency) for currency, amount in sorted(sums.items())]
