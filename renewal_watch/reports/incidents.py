"""Incidents for people and scripts: one row each, in the words of today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from renewal_watch.model.alerts import Severity
from renewal_watch.reports.tables import Tone, table, toned
from renewal_watch.store.incidents.listing import Listed
from renewal_watch.text import plain

_TONES: dict[Severity, Tone] = {Severity.critical: "bad", Severity.warning: "mind"}


def incident_json(one: Listed) -> dict[str, Any]:
    """What ``incidents --json`` and the API give of one."""
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "kind": one.kind,
        "severity": one.severity.name,
        "environment": one.environment,
        "number_id": one.number_id,
        "number": one.number,
        "topic": one.topic,
        "headline": one.words[0],
        "text": one.words[1],
        "opened_at": one.opened_at,
        "resolved_at": one.resolved_at,
        "notified_at": one.notified_at,
        "reminders": one.reminders,
        "acknowledged_at": one.acknowledged_at,
        "acknowledged_by": one.acknowledged_by,
        "suppressed": one.suppressed,
        "alert_id": one.alert_id,
    }


def incident_lines(found: Sequence[Listed], zone: str) -> list[str]:
    """A table, and a line that counts; times are in ``zone``."""
    if not found:
        return ["no incidents"]
    there = ZoneInfo(zone)

    def at(instant: datetime | None) -> str:
        return "" if instant is None else f"{instant.astimezone(there):%Y-%m-%d %H:%M}"

    rows = [
        (
            at(one.opened_at),
            one.severity.name,
            plain(one.environment or "the service", 30),
            plain(one.words[0], 90),
            at(one.notified_at) or "never",
            _state(one, at),
            one.alert_id,
        )
        for one in found
    ]
    head, *lines = table(("SINCE", "SEVERITY", "WHERE", "WHAT", "NOTIFIED", "STATE", "ALERT"), rows)
    tones = [_TONES.get(one.severity) if one.state == "open" else None for one in found]
    return [head, *map(toned, lines, tones), "", _counted(found)]


def open_lines(found: Sequence[Listed], zone: str, most: int) -> list[str]:
    """The part of ``status``: the ``most`` most urgent ones, and how many more there are."""
    if not found:
        return ["no open incidents"]
    table, count = incident_lines(found[:most], zone)[:-2], _counted(found)
    more = [f"… and {len(found) - most} more: renewal-watch incidents"] if len(found) > most else []
    return [f"incidents: {count}", "", *table, *more]


def _state(one: Listed, at: Callable[[datetime | None], str]) -> str:
    """The state, with who acknowledged it or what suppresses it."""
    if one.state == "acknowledged":
        return f"acknowledged by {plain(one.acknowledged_by or '', 40)} at {at(one.acknowledged_at)}"
    if one.state == "suppressed":
        return f"suppressed: {plain(one.suppressed or '', 60)}"
    return f"resolved {at(one.resolved_at)}" if one.state == "resolved" else "open"


def _counted(found: Sequence[Listed]) -> str:
    """``2 open (1 critical, 1 warning), 1 acknowledged``."""
    urgent = [one.severity for one in found if one.state == "open"]
    by_severity = ", ".join(f"{urgent.count(one)} {one.name}" for one in reversed(Severity) if one in urgent)
    parts = [f"{len(urgent)} open{f' ({by_severity})' if urgent else ''}"]
    for state in ("acknowledged", "suppressed", "resolved"):
        count = sum(one.state == state for one in found)
        parts += [f"{count} {state}"] if count else []
    return ", ".join(parts)
