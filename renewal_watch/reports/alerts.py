"""``history`` and ``alerts``. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from renewal_watch.alerts.phrases import instant
from renewal_watch.language import _
from renewal_watch.notify.hold import Hold
from renewal_watch.reports.tables import JSON, TONES, toned
from renewal_watch.text import plain


def history_lines(changes: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Each change of one number with the polls between which it happened."""
    lines = []
    for change in changes:
        between = f"between {instant(change['not_yet_at'])} and {instant(change['seen_at'])}"
        lines.append(f"{between if change['not_yet_at'] else instant(change['seen_at'])}: {change['what']}")
        lines.extend(
            f"    {plain(name)}: {changed_value(field, 'before')} → {changed_value(field, 'now')}"
            for name, field in change["fields"].items()
        )
    return lines


def changed_value(field: Mapping[str, JSON], word: str) -> str:
    """What a field was ``before`` or is ``now``, as JSON, so that text and numbers can be told apart."""
    return plain(json.dumps(field[word], ensure_ascii=False)) if word in field else _("(not there)")


def note_held(found: Sequence[Mapping[str, JSON]], held: Mapping[str, Hold]) -> None:
    """Add to each delivery until when it is held back, and why; null where it is not."""
    for alert in found:
        for one in alert["deliveries"]:
            hold = held.get(one["message_id"])
            one["held_until"], one["held_why"] = (hold.until, hold.why) if hold else (None, None)


def alert_lines(found: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Alerts with the fate of each delivery, newest first."""
    lines = []
    for alert in found:
        tone = TONES.get(alert["severity"])
        lines.append(
            toned(f"{alert['id']}  {instant(alert['created_at'])}  {alert['severity']}  {alert['kind']}", tone)
        )
        lines.append(f"    {alert['text']}")
        for one in alert["deliveries"]:
            if one["state"] == "sent":
                fate = f"sent {instant(one['sent_at'])}"
            elif one["state"] == "failed":
                fate = f"FAILED after {one['attempts']} attempts: {plain(one['last_error'])}"
            elif one["leased_until"]:
                fate = f"being sent; if its sender died it is tried again after {instant(one['leased_until'])}"
            elif one["held_until"]:
                fate = f"waits until {instant(one['held_until'])}: {one['held_why']}"
            elif one["attempts"]:
                fate = f"waiting, {one['attempts']} attempts, next {instant(one['next_attempt_at'])}: {plain(one['last_error'] or '')}"
            else:
                fate = "waiting for its first attempt"
            line = f"    {one['channel']}: {fate} ({one['message_id']})"
            lines.append(toned(line, "bad" if one["state"] == "failed" else None))
        if alert["hidden"]:
            lines.append(f"    nobody was told: {plain(alert['hidden'], 300)}")
        elif not alert["deliveries"]:
            lines.append("    no channel takes this alert")
    return lines
