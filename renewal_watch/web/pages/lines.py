"""One number in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from renewal_watch.alerts.links import number_path
from renewal_watch.alerts.phrases import money, status_name, who
from renewal_watch.language import _, pgettext
from renewal_watch.model.alerts import Severity
from renewal_watch.reports import rows
from renewal_watch.reports.rows import Row
from renewal_watch.text import plain, printable
from renewal_watch.web.pages.words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number as a row of a table."""

    path: str
    number: str
    environment: str
    owner: str
    status: str
    status_tone: str
    left: str
    left_tone: str
    tone: str  # of the whole line: what is open about the number
    renews_on: date | None
    auto: str
    auto_state: str  # on, off or unstated, in every language
    cost: str
    notes: Sequence[str]


_TONES = {Severity.critical: "bad", Severity.warning: "mind"}


def line_of(row: Row, owner: str = "") -> Line:
    """A number as a line of a table; ``owner`` is whose it is."""
    number = row.number
    lost = not number.auto_renewal
    status = status_name(number.status, 40) or _("not stated")
    return Line(
        path=number_path(row.environment, row.known.provider_id),
        number=plain(who(number), 40),
        environment=row.environment,
        owner=plain(owner, 60),
        status=status,
        status_tone="ok" if number.status == "active" else "mind",
        left=Words.left(row.days_left),
        left_tone=_left_tone(row.days_left, is_lost=lost),
        tone=_TONES.get(row.severity, ""),
        renews_on=row.renews_on,
        auto=_auto(number.auto_renewal),
        auto_state={True: "on", False: "off", None: "unstated"}[number.auto_renewal],
        cost="" if number.cost is None else money(number.cost, number.currency),
        notes=rows.notes(row, with_overdue=False),
    )


def _auto(state: bool | None) -> str:  # noqa: FBT001 (what the provider says)
    if state is None:
        return _("not stated")
    return pgettext("auto-renewal", "on") if state else pgettext("auto-renewal", "off")


def _left_tone(left: int | None, *, is_lost: bool) -> str:
    if left is None:
        return "calm"
    if left < 0:
        return "bad"
    return "mind" if is_lost and left <= 7 else "calm"  # noqa: PLR2004 (days: a week to act)


def silence_of(one: Any) -> dict[str, Any]:
    """A silence as a page shows it."""
    return {
        "pk": one.pk,
        "about": rows.matched(one.match, one.kinds),
        "ends_at": one.ends_at,
        "author": printable(one.author, 80),
        "comment": printable(one.comment, 300),
    }
