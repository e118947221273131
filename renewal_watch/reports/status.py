"""``status``: environments, daemons and numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from renewal_watch.alerts import phrases
from renewal_watch.alerts.phrases import instant, orphaned
from renewal_watch.detect import failures
from renewal_watch.language import _, ngettext
from renewal_watch.model.daemons import Instance
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Watch
from renewal_watch.reports.tables import JSON, Line, toned, when
from renewal_watch.text import plain


def environment_json(watch: Watch, policy: Policy, now: datetime) -> dict[str, JSON]:
    """The documented keys of ``status --json``."""
    return {
        "name": watch.name,
        "last_poll_at": when(watch.last_poll_at),
        "last_success_at": when(watch.last_success_at),
        "last_error": watch.last_error,
        "stale": failures.is_stale(watch, policy, now) or watch.last_success_at is None,
        "numbers": watch.numbers,
        "flaws": [flaw.text for flaw in watch.flaws.values()],
    }


def instance_json(one: Instance) -> dict[str, JSON]:
    """A daemon that shares the database, and what it is at."""
    return {
        "host": one.host,
        "pid": one.pid,
        "version": one.version,
        "started_at": when(one.started_at),
        "last_seen_at": when(one.seen_at),
        "alive": one.is_alive,
        "polled": one.polled,
        "sent": one.sent,
        "holds": list(one.holds),
        "messages": one.messages,
    }


def instance_lines(found: Sequence[Instance]) -> list[str]:
    """The daemons that share the database, one a line."""
    lines = []
    for one in found:
        holds = [*one.holds, *([ngettext("{count} message", "{count} messages", one.messages)] if one.messages else [])]
        some = f"{', '.join(holds[:5])}{', …' if len(holds) > 5 else ''}"  # noqa: PLR2004
        name = _("daemon on {host} (process {pid}, {version})", host=plain(one.host), pid=one.pid, version=one.version)
        parts = [] if one.is_alive else [_("NOT HEARD OF since {at}", at=instant(one.seen_at))]
        parts.append(
            _(
                "{polls} polls and {messages} messages since {at}",
                polls=one.polled,
                messages=one.sent,
                at=instant(one.started_at),
            )
        )
        parts += [_("at work on {what}", what=some)] * bool(holds)
        lines.append(toned(f"{name}: {'; '.join(parts)}", None if one.is_alive else "bad"))
    return lines


def _said(at: str | None) -> str:
    """An instant of JSON, for people."""
    return instant(None if at is None else datetime.fromisoformat(at))


def status_lines(
    environments: Sequence[Mapping[str, JSON]],
    outbox: Mapping[str, JSON],
    orphans: Mapping[str, int],
    faults: Mapping[str, tuple[datetime, str]],
    now: datetime,
) -> list[str]:
    """The watch's own health for a terminal."""
    lines = []
    for one in environments:
        polled = f"last good poll {_said(one['last_success_at'])}" if one["last_success_at"] else "never read"
        mark = "STALE, " if one["stale"] else ""
        lines.append(
            toned(f"{one['name']}: {phrases.numbers(one['numbers'])}, {mark}{polled}", "bad" if mark else None)
        )
        if one["last_error"]:
            failed = f"  the last poll ({_said(one['last_poll_at'])}) failed: {plain(one['last_error'], 500)}"
            lines.append(Line(failed, "bad"))
        lines += [Line(f"  {flaw}", "mind") for flaw in one["flaws"]]
    if outbox["pending"] or outbox["failed"]:
        waiting = f", the oldest since {instant(outbox['oldest_pending_at'])}" if outbox["pending"] else ""
        text = (
            f"outbox: {outbox['pending']} waiting{waiting}; {outbox['failed']} failed (renewal-watch alerts --failed)"
        )
        lines.append(toned(text, "bad" if outbox["failed"] else None))
    lines += [Line(orphaned(name, count), "mind") for name, count in orphans.items()]
    for name, (failing_since, error) in faults.items():
        lines.append(Line(f"channel {name}: failing for {phrases.span(now - failing_since)}: {plain(error)}", "bad"))
    return lines
