"""Incidents for people and scripts: one row each, in the words of today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from renewal_watch.alerts.links import incident_path
from renewal_watch.alerts.phrases import both, severities, span
from renewal_watch.language import _, ngettext
from renewal_watch.model.alerts import Severity
from renewal_watch.model.kinds import ROWS, UNKNOWN
from renewal_watch.reports.tables import Tone, toned
from renewal_watch.store.incidents.listing import Listed, State
from renewal_watch.text import plain

Counts = Counter[tuple[State, Severity]]
_TONES: dict[Severity, Tone] = {Severity.critical: "bad", Severity.warning: "mind"}


def incident_json(one: Listed, pages: str) -> dict[str, Any]:
    """What ``incidents --json`` and the API give of one; ``pages`` is where they are, empty where nobody said."""
    return {
        "id": one.id,
        "key": one.name,
        "state": one.state,
        "kind": one.kind,
        "severity": one.severity.name,
        "environment": one.environment,
        "number_id": one.number_id,
        "number": one.number,
        "topic": one.topic,
        "headline": one.words[0],
        "text": one.words[1],
        "url": pages + incident_path(one.name) if pages else None,
        "todo": todo(one),
        "opened_at": one.opened_at,
        "resolved_at": one.resolved_at,
        "last_notified_at": one.notified_at,
        "notifications": one.notifications,
        "acknowledged_at": one.acknowledged_at,
        "acknowledged_by": one.acknowledged_by,
        "acknowledged_until": one.acknowledged_until,
        "suppressed": one.suppressed,
        "alert_id": one.alert_id,
        "folded": [each.kind for each in one.folded],
    }


def todo(one: Listed) -> str:
    """What to do about it, in a few words; nothing where it is over or only for information."""
    is_needed = one.resolved_at is None and one.severity > Severity.info
    words = ROWS.get(one.kind, UNKNOWN).todo
    return _(words) if is_needed and words else ""


def headline(one: Listed) -> str:
    """What it is, with what else is open about a number that is missing."""
    return f"{one.words[0]}{f', {was}' if (was := before(one)) else ''}"


def before(one: Listed) -> str:
    """``was overdue and suspended``: what else is open about a number that is missing."""
    also = both(list(dict.fromkeys(each.brief for each in one.folded)))
    return _("was {states}", states=also) if also else ""


def incident_lines(found: Sequence[Listed], counts: Counts, now: datetime, zone: str) -> list[str]:
    """The most urgent ones, two lines each, and a line that counts all; times are in ``zone``."""
    if not found:
        return ["no incidents"]
    more = counts.total() - len(found)
    left_out = [f"… and {more} more, less urgent; narrow it, or see --json"] if more > 0 else []
    return [*_lines(found, now, zone), *left_out, "", counted(counts)]


def open_lines(found: Sequence[Listed], counts: Counts, now: datetime, zone: str) -> list[str]:
    """The part of ``status``: the most urgent ones, and how many more there are."""
    if not found:
        return []
    more = counts.total() - len(found)
    left_out = [f"… and {more} more: renewal-watch incidents"] if more > 0 else []
    return ["", *_lines(found, now, zone), *left_out]


def _lines(found: Sequence[Listed], now: datetime, zone: str) -> Iterator[str]:
    """What it is; then what to do, since when, when last notified, who looks after it."""
    there = ZoneInfo(zone)

    def at(instant: datetime) -> str:
        local = instant.astimezone(there)
        return f"{local:%d %b %H:%M}" if local.year == now.astimezone(there).year else f"{local:%d %b %Y}"

    several = len({one.environment for one in found} - {""}) > 1
    for one in found:
        is_named = one.environment in ("", *one.words[0].split(":")[:1])
        place = f" ({plain(one.environment, 30)})" if several and not is_named else ""
        tone = _TONES.get(one.severity) if one.state == "open" else "faint"
        yield toned(f"{one.severity.name.upper():<9} {plain(headline(one), 160)}{place}", tone)
        notified = f"notified {at(one.notified_at)}" if one.notified_at else "nobody notified"
        often = f" ({one.notifications} times)" if one.notifications > 1 else ""
        parts = [todo(one), f"since {at(one.opened_at)}", f"{notified}{often}", state_said(one, now, at)]
        yield f"{'':<9} {'; '.join(filter(None, parts))}; alert {one.alert_id}"


def state_said(one: Listed, now: datetime, at: Callable[[datetime], str]) -> str:
    """Who acknowledged it and for how long, what suppresses it, when it was resolved; nothing for an open one."""
    if one.state == "acknowledged" and one.acknowledged_at:
        until = f", until {at(one.acknowledged_until)}" if one.acknowledged_until else ""
        length = now - one.acknowledged_at
        return f"acknowledged by {plain(one.acknowledged_by or '', 40)} {span(max(length, timedelta(0)))} ago{until}"
    if one.state == "suppressed":
        return f"suppressed: {plain(one.suppressed or '', 60)}"
    return f"resolved {at(one.resolved_at)}" if one.resolved_at else ""


def counted(counts: Counts) -> str:
    """``2 open (1 critical, 1 warning), 1 acknowledged``."""
    if not counts.total():
        return _("none open")
    by_state: Counter[State] = Counter()
    for (state, _severity), count in counts.items():
        by_state[state] += count
    by_severity = [severities(one, count) for one in reversed(Severity) if (count := counts["open", one])]
    said = ngettext("{count} open", "{count} open", by_state["open"])
    parts = [f"{said} ({', '.join(by_severity)})" if by_severity else said]
    if count := by_state["acknowledged"]:
        parts.append(ngettext("{count} acknowledged", "{count} acknowledged", count))
    if count := by_state["suppressed"]:
        parts.append(ngettext("{count} suppressed", "{count} suppressed", count))
    if count := by_state["resolved"]:
        parts.append(ngettext("{count} resolved", "{count} resolved", count))
    return ", ".join(parts)
