"""How the service itself does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from renewal_watch.database.sqlite import sqlite_path
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import failures
from renewal_watch.diagnostics import health
from renewal_watch.diagnostics.overview import service_of, service_said
from renewal_watch.language import _, pgettext, tenths
from renewal_watch.model.policy import Policy
from renewal_watch.reports import status
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states, polls_of
from renewal_watch.store.incidents.account import readings_of
from renewal_watch.store.leases import daemon_seen, list_instances
from renewal_watch.store.outbox.waiting import failing_channels, orphaned_deliveries, outbox_counts
from renewal_watch.text import plain
from renewal_watch.web.pages import charts

STRIP = 60  # polls of an environment on the health page


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """How the service does."""

    checks: Sequence[Any]
    service: Sequence[str]
    daemons: Sequence[str]  # that share a server
    database: str
    environments: Sequence[Mapping[str, Any]]
    channels: Sequence[Mapping[str, Any]]
    orphans: Mapping[str, int]
    outbox: Mapping[str, Any]


def health_page(tx: Transaction, settings: Settings, now: datetime) -> HealthPage:
    """Lists, channels and outbox, each with what is wrong with it."""
    watches = {watch.name: (key, watch, schedule) for key, watch, schedule in environment_states(tx)}
    faults = failing_channels(tx)
    return HealthPage(
        checks=health.examine(tx, settings, now).checks,
        service=[service_said(service_of(tx, settings, now), now, settings.timezone)],
        daemons=status.instance_lines(list_instances(tx, now)),
        database=_database(tx, settings),
        environments=[_environment(tx, settings, one, watches.get(one.name), now) for one in settings.environments],
        channels=[
            {
                "name": one.name,
                "failing_since": faults[one.name][0] if one.name in faults else None,
                "error": plain(faults[one.name][1] or "", 500) if one.name in faults else "",
                "takes": _takes(one.min_severity, one.kinds, one.environments),
            }
            for one in settings.channels
        ],
        orphans=orphaned_deliveries(tx, [one.name for one in settings.channels]),
        outbox=outbox_counts(tx),
    )


def _database(tx: Transaction, settings: Settings) -> str:
    """Which engine, and how large a file is."""
    if tx.is_postgresql:
        return "PostgreSQL"
    path = sqlite_path(settings.database_url)
    size = path.stat().st_size if path is not None and path.exists() else 0
    return f"SQLite, {tenths(size / 2**20)} MiB"


def _takes(severity: str, kinds: Sequence[str], environments: Sequence[str] | None) -> str:
    said = [] if severity == "info" else [_("warning or worse") if severity == "warning" else _("critical")]
    said += [] if tuple(kinds) == ("*",) else [", ".join(kinds)]
    said += (
        [] if environments is None else [pgettext("alerts", "of {environments}", environments=", ".join(environments))]
    )
    return "; ".join(said) or pgettext("alerts", "everything")


def _environment(
    tx: Transaction, settings: Settings, one: Environment, known: tuple[int, Any, Any] | None, now: datetime
) -> dict[str, Any]:
    if known is None:
        return {"name": one.name, "watch": None}
    key, watch, schedule = known
    policy: Policy = settings.policy(one)
    lately = _polls(tx, key)
    return {
        "name": one.name,
        "watch": watch,
        "is_stale": failures.is_stale(watch, policy, now) or watch.last_success_at is None,
        "last_error": watch.last_error and plain(watch.last_error, 500),
        "next_poll_at": schedule.next_poll_at if daemon_seen(tx, now) else None,
        "polls": lately[::-1],
        "strip": charts.polls(
            [charts.Poll(p["started_at"], p["outcome"] == "ok", p["took_s"]) for p in lately[::-1]],
            ZoneInfo(settings.timezone),
        ),
        "readings": _readings(tx, key),
    }


def _polls(tx: Transaction, environment_id: int) -> list[dict[str, Any]]:
    return [
        {
            "started_at": one["started_at"],
            "took_s": (one["finished_at"] - one["started_at"]).total_seconds(),
            "outcome": one["outcome"],
            "error": one["error"] and plain(one["error"], 300),
            "numbers": one["numbers"],
            "changed": one["changed"],
        }
        for one in polls_of(tx, environment_id, STRIP)
    ]


def _readings(tx: Transaction, environment_id: int) -> list[dict[str, Any]]:
    """The further endpoints of an environment, as last read."""
    return [
        {"name": name, "read_at": one.read_at, "outcome": one.outcome, "error": one.error and plain(one.error, 300)}
        for name, one in sorted(readings_of(tx, environment_id).items())
    ]
