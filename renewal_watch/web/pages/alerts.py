"""What was found, and the fate of each message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.alerts.links import number_path
from renewal_watch.alerts.phrases import who
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.language import _, ngettext, pgettext
from renewal_watch.model.alerts import Severity
from renewal_watch.reports import alerts as reports_alerts
from renewal_watch.reports import explain
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet
from renewal_watch.store.incidents.silences import list_silences
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.waiting import outbox_counts
from renewal_watch.text import plain, printable
from renewal_watch.web.pages.fleet import choose, whole
from renewal_watch.web.pages.frame import Params
from renewal_watch.web.pages.lines import silence_of
from renewal_watch.web.pages.words import link

ALERTS_PER_PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsPage:
    """Alerts with the fate of every delivery, newest first."""

    alerts: Sequence[Mapping[str, Any]]
    environments: Sequence[str]
    with_owners: bool
    about: tuple[str, str] | None  # the number, and its page
    query: Mapping[str, str]
    following: str
    is_first: bool
    outbox: Mapping[str, Any]
    silences: Sequence[Mapping[str, Any]]
    is_filtered: bool


def states() -> dict[str, str]:
    """Fates of messages that may be asked for."""
    return {
        "": pgettext("delivery", "any"),
        "pending": _("waiting for a channel"),
        "failed": _("never delivered somewhere"),
    }


def severities() -> dict[str, str]:
    """Severities that may be asked for."""
    return {"": pgettext("severity", "any"), "warning": _("warning or worse"), "critical": _("critical")}


def alerts_page(tx: Transaction, settings: Settings, params: Params, now: datetime) -> AlertsPage:
    """What was found. Raises UsageError for a filter that is none."""
    state, severity = params.get("state", ""), params.get("severity", "")
    choose("state", state, states())
    choose("severity", severity, severities())
    before = whole(params, "before")
    environment, provider_id = params.get("environment", ""), params.get("id", "")
    about = fleet.one(tx, environment, provider_id) if provider_id else None
    if provider_id and about is None:
        msg = _(
            "id: no number of {environment} is known by {id}",
            environment=repr(printable(environment, 40)),
            id=repr(printable(provider_id, 60)),
        )
        raise UsageError(msg)
    kind, search = params.get("kind", "")[:60], params.get("search", "").strip()[:60]
    found = list_alerts(
        tx,
        number=about and about.known,
        kinds=[kind] if kind else [],
        environment="" if about else environment,
        search=search,
        states=[state] if state else [],
        severity=Severity[severity or "info"],
        before=before,
        most=ALERTS_PER_PAGE + 1,
    )
    shown = found[:ALERTS_PER_PAGE]
    reports_alerts.note_held(shown, explain.held(tx, settings, now))
    given = {"state": state, "severity": severity, "kind": kind, "search": search, "environment": environment}
    if about is not None:
        given |= {"id": provider_id}
    kept = {key: value for key, value in given.items() if value}
    return AlertsPage(
        alerts=alerts_of(shown),
        environments=[one.name for one in settings.environments] if len(settings.environments) > 1 else [],
        with_owners=False,  # an alert is what was found then, whoever it belongs to now
        about=about and (plain(who(about.number), 60), number_path(environment, provider_id)),
        query=kept,
        following=link("/alerts", kept, before=shown[-1]["id"]) if len(found) > ALERTS_PER_PAGE else "",
        is_first=before is None,
        outbox=outbox_counts(tx),
        silences=[silence_of(one) for one in list_silences(tx) if one.is_active(now)],
        is_filtered=bool(kept),
    )


def alerts_of(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Alerts as a template lays them out: every delivery with the word for its fate."""
    return [
        {
            **one,
            "headline": plain(one["headline"], 200),
            "fate": _fate(one),
            "lines": [printable(line, 2000) for line in one["text"].splitlines() if line.strip()],
            "number": one["number"] and plain(one["number"], 60),
            "path": one["number_id"] and number_path(one["environment"], one["number_id"]),
            "hidden": one["hidden"] and printable(one["hidden"], 300),
            "deliveries": [_delivery(delivery) for delivery in one["deliveries"]],
            "can_retry": any(delivery["state"] in ("failed", "pending") for delivery in one["deliveries"]),
        }
        for one in found
    ]


def _fate(one: Mapping[str, Any]) -> tuple[str, str]:
    """What became of all deliveries together: a tone, and a few words."""
    by_state: dict[str, list[str]] = {}
    for delivery in one["deliveries"]:
        by_state.setdefault(delivery["state"], []).append(delivery["channel"])
    if one["hidden"]:
        return "calm", pgettext("alert", "suppressed")
    if not by_state:
        return "calm", _("no channel takes it")
    parts = [_fate_at(state, names) for state in ("sent", "pending", "failed") if (names := by_state.get(state))]
    return "bad" if "failed" in by_state else "calm", ", ".join(parts)


def _fate_at(state: str, names: Sequence[str]) -> str:
    """``sent to ops``, ``failed for 2 channels``."""
    if len(names) == 1:
        by_state = {
            "sent": _("sent to {channel}", channel=names[0]),
            "pending": _("waits for {channel}", channel=names[0]),
            "failed": _("failed for {channel}", channel=names[0]),
        }
        return by_state[state]
    if state == "sent":
        return ngettext("sent to {count} channel", "sent to {count} channels", len(names))
    if state == "pending":
        return ngettext("waits for {count} channel", "waits for {count} channels", len(names))
    return ngettext("failed for {count} channel", "failed for {count} channels", len(names))


def _delivery(one: Mapping[str, Any]) -> dict[str, Any]:
    state = one["state"]
    if state == "pending":
        state = (
            "sending"
            if one["leased_until"]
            else "held"
            if one.get("held_until")
            else "retrying"
            if one["attempts"]
            else "waiting"
        )
    return {**one, "fate": state, "last_error": one["last_error"] and plain(one["last_error"], 500)}
