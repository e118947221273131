"""The audit log in words: a line an entry, for a terminal and for the page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from renewal_watch.alerts.phrases import a_few, instant
from renewal_watch.language import _, pgettext
from renewal_watch.reports.past.span import Span
from renewal_watch.reports.rows import verb
from renewal_watch.reports.tables import Line, table
from renewal_watch.text import plain, printable

HEAD = ("AT", "WHO", "FROM", "WHAT", "ABOUT")
_NAMED = 3  # headlines of a message; the others are counted
_LONGEST = 300


def who(one: Mapping[str, Any]) -> str:
    """Who did it; what nobody asked for the service did."""
    return printable(one["who"], 80) if one["what"] == "action" else pgettext("audit log", "the service")


def origin(one: Mapping[str, Any]) -> str:
    """From where it was asked for; empty where that is not kept."""
    return printable(one["origin"] or "", 120)


def what(one: Mapping[str, Any]) -> str:
    """What was done, or who was notified: ``notified ops-mail (anna@example.org)``."""
    if one["what"] == "action":
        return printable(verb(one["verb"]), 60)
    if one["target"]:
        return _("notified {channel} ({target})", channel=one["channel"], target=printable(one["target"], _LONGEST))
    return _("notified {channel}", channel=one["channel"])


def about(one: Mapping[str, Any]) -> str:
    """The number or environment, what else it was done to, why; of a message the headlines of its alerts."""
    if one["what"] == "notification":
        named = [plain(alert["headline"], _LONGEST) for alert in one["alerts"]]
        return a_few(named, one["alerts_total"], _NAMED)
    place = one["environment"] or ""
    number = plain(one["number"] or one["number_id"] or "", 60)
    parts = [f"{number} ({place})" if number and place else number or place, one["subject"] or "", one["comment"] or ""]
    return printable("; ".join(part for part in parts if part), 2 * _LONGEST)


def lines(found: Iterable[Mapping[str, Any]], span: Span) -> Iterator[str]:
    """A table of the entries, newest first."""
    rows = [(instant(one["at"]), who(one), origin(one), what(one), about(one)) for one in found]
    since, until = instant(span.since), instant(span.until)
    if not rows:
        yield f"Nobody did anything and nobody was notified between {since} and {until}."
        return
    yield Line(f"From {since} to {until}, newest first:", "head")
    yield from table(HEAD, rows)
