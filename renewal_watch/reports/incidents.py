"""Incidents for people and scripts: one row each, in the words of today."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from renewal_watch.model.alerts import Severity
from renewal_watch.reports.tables import Tone, table, toned
from renewal_watch.store.incidents.listing import STATES, Listed, State
from renewal_watch.text import plain

Counts = Counter[tuple[State, Severity]]
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


def incident_lines(found: Sequence[Listed], counts: Counts, zone: str) -> list[str]:
    """A table of the most urgent ones, and a line that counts all; times are in ``zone``."""
    if not found:
        return ["no incidents"]
    more = counts.total() - len(found)
    left_out = [f"… and {more} more, less urgent; narrow it, or see --json"] if more > 0 else []
    return [*_table(found, zone), *left_out, "", _counted(counts)]


def _table(found: Sequence[Listed], zone: str) -> list[str]:
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
    return [head, *map(toned, lines, tones)]


def open_lines(found: Sequence[Listed], counts: Counts, zone: str) -> list[str]:
    """The part of ``status``: the most urgent ones, and how many there are."""
    if not found:
        return ["no open incidents"]
    more = counts.total() - len(found)
    left_out = [f"… and {more} more: renewal-watch incidents"] if more > 0 else []
    return [f"incidents: {_counted(counts)}", "", *_table(found, zone), *left_out]


def _state(one: Listed, at: Callable[[datetime | None], str]) -> str:
    """The state, with who acknowledged it or what suppresses it."""
    if one.state == "acknowledged":
        return f"acknowledged by {plain(one.acknowledged_by or '', 40)} at {at(one.acknowledged_at)}"
    if one.state == "suppressed":
        return f"suppressed: {plain(one.suppressed or '', 60)}"
    return f"resolved {at(one.resolved_at)}" if one.state == "resolved" else "open"


def _counted(counts: Counts) -> str:
    """``2 open (1 critical, 1 warning), 1 acknowledged``."""
    by_state = {state: sum(count for (one, _), count in counts.items() if one == state) for state in STATES}
    urgent = [(counts["open", severity], severity.name) for severity in reversed(Severity)]
    by_severity = ", ".join(f"{count} {name}" for count, name in urgent if count)
    others = [f"{count} {state}" for state, count in by_state.items() if count and state != "open"]
    return ", ".join([f"{by_state['open']} open{f' ({by_severity})' if by_severity else ''}", *others])
