"""``silence`` and ``preview``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

import msgspec

from renewal_watch.alerts import phrases
from renewal_watch.model.alerts import Alert
from renewal_watch.model.policy import Silence
from renewal_watch.reports.rows import matched
from renewal_watch.reports.tables import JSON, Line, table, when
from renewal_watch.text import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one channel would be told at once; with ``hidden``, what nobody would."""

    at: datetime
    channel: str | None
    alerts: tuple[Alert, ...]
    note: str = ""
    hidden: str = ""


def silence_json(one: Silence, hides: int, now: datetime) -> dict[str, JSON]:
    """The keys of ``silence list --json``."""
    return {
        "id": one.pk,
        "match": msgspec.to_builtins(one.match, str_keys=True, enc_hook=str),
        "kinds": list(one.kinds),
        "starts_at": when(one.starts_at),
        "ends_at": when(one.ends_at),
        "author": one.author,
        "comment": one.comment,
        "active": one.is_active(now),
        "ended_by": one.ended_by,
        "hides": hides,
    }


def silence_lines(found: Sequence[tuple[Silence, int]], now: datetime) -> list[str]:
    """Silences for a terminal."""
    rows = []
    for one, hides in found:
        state = (
            f"{phrases.span(one.ends_at - now)} left"
            if one.is_active(now)
            else f"ended by {plain(one.ended_by or 'its time')}"
        )
        rows.append((one.pk, state, plain(one.author, 30), matched(one.match, one.kinds), hides, plain(one.comment)))
    return table(("ID", "STATE", "BY", "MATCHES", "HIDES", "COMMENT"), rows) if rows else ["no silence"]


def told_json(one: Told) -> dict[str, JSON]:
    """The keys of ``preview --json``."""
    return {
        "at": when(one.at),
        "channel": one.channel,
        "hidden": one.hidden or None,
        "note": one.note or None,
        "alerts": [
            {
                "kind": alert.kind,
                "severity": alert.severity.name,
                "environment": alert.environment,
                "number_id": alert.number_id,
                "number": alert.number,
                "days_left": alert.days_left,
                "text": alert.text,
            }
            for alert in one.alerts
        ],
    }


def told_lines(found: Sequence[Told], zone: tzinfo, first: datetime, until: datetime) -> list[str]:
    """What would be told, day by day."""
    lines = [
        "With today's fleet: numbers with auto-renewal renew when their day is over, the others do not. Nothing else",
        "changes, what is sent arrives, a poll comes whenever a day begins.",
        f"From {first.astimezone(zone):%a %d %b %Y %H:%M} to {until.astimezone(zone):%a %d %b %Y %H:%M} ({zone}).",
    ]
    day = None
    for one in found:
        at = one.at.astimezone(zone)
        if at.date() != day:
            day = at.date()
            lines += ["", Line(f"{at:%a %d %b %Y}", "head")]
        who = one.channel or "nobody"
        note = f" ({one.hidden or one.note})" if one.hidden or one.note else ""
        lines.append(f"  {at:%H:%M}  {who}{note}")
        lines += [
            f"         {alert.severity.name:8}  {alert.kind:18}  {plain(alert.headline, 120)}"
            for alert in sorted(one.alerts, key=lambda alert: -alert.severity)
        ]
    return lines if found else [*lines, "", "Nobody would be told of anything."]
