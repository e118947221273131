"""Incidents as a list: what needs somebody, with who looks after it; several are acknowledged at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.alerts.links import number_path
from renewal_watch.database.transaction import Transaction
from renewal_watch.language import _, pgettext
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.notify.routing import Routing
from renewal_watch.reports.incidents import before, counted, todo
from renewal_watch.reports.rows import severity
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.listing import (
    STATES,
    UNRESOLVED,
    Listed,
    Wanted,
    count_incidents,
    list_incidents,
)
from renewal_watch.store.owned import has_owners, owned_ids
from renewal_watch.text import plain, printable
from renewal_watch.web.pages.fleet import choose, whole
from renewal_watch.web.pages.frame import Params
from renewal_watch.web.pages.words import link

PER_PAGE = 50
FIRST = 15  # on the overview


def shown_states() -> dict[str, str]:
    """States that may be asked for."""
    return {
        "": _("not resolved"),
        "open": pgettext("incidents", "open"),
        "acknowledged": pgettext("incidents", "acknowledged"),
        "suppressed": pgettext("incidents", "suppressed"),
        "resolved": pgettext("incidents", "resolved"),
    }


def shown_severities() -> dict[str, str]:
    """Severities that may be asked for."""
    return {"": pgettext("severity", "any")} | {one.name: severity(one.name) for one in reversed(Severity)}


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsPage:
    """One page of incidents, most urgent first. ``said`` counts all that fit by state and severity."""

    incidents: Sequence[Mapping[str, Any]]
    said: str
    total: int
    query: Mapping[str, str]
    environments: Sequence[str]
    with_owners: bool
    page: int
    previous: str
    following: str


def wanted(tx: Transaction, settings: Settings, way: Routing, params: Mapping[str, str]) -> Wanted:
    """The incidents that an address or form asks for. Raises UsageError for a state or severity that is none."""
    state = choose("state", params.get("state", ""), shown_states())
    urgency = choose("severity", params.get("severity", ""), shown_severities())
    kind = params.get("kind", "")[:60]
    name = params.get("incident", "")[:300]
    return Wanted(
        states=[one for one in STATES if one == state] or (STATES if name else UNRESOLVED),
        names=[name] if name else (),
        severities=[Severity[urgency]] if urgency else (),
        kinds=[kind] if kind else (),
        environment=params.get("environment", ""),
        numbers=owned_ids(
            tx,
            way,
            [one.name for one in settings.environments],
            params.get("owner", "")[:100],
            params.get("label", "")[:100],
        ),
    )


def incidents_page(tx: Transaction, settings: Settings, way: Routing, params: Params, now: datetime) -> IncidentsPage:
    """The incidents that are asked for. Raises UsageError."""
    asked = wanted(tx, settings, way, params)
    page = whole(params, "page") or 1
    today = renewal_day.today(now, settings.timezone)
    found = list_incidents(tx, today, asked, most=PER_PAGE + 1, skip=(page - 1) * PER_PAGE)
    counts = count_incidents(tx, asked)
    kept = {
        key: params[key]
        for key in ("incident", "state", "severity", "kind", "environment", "owner", "label")
        if params.get(key)
    }
    names = [one.name for one in settings.environments]
    return IncidentsPage(
        incidents=incidents_of(found[:PER_PAGE]),
        said=counted(counts),
        total=sum(count for (state, _), count in counts.items() if state == (params.get("state") or "open")),
        query=kept,
        environments=names if len(names) > 1 else [],
        with_owners=bool(way.inventory) or has_owners(way),
        page=page,
        previous=link("/incidents", kept, page=page - 1 if page > 2 else None) if page > 1 else "",  # noqa: PLR2004
        following=link("/incidents", kept, page=page + 1) if len(found) > PER_PAGE else "",
    )


def incidents_of(found: Sequence[Listed]) -> list[dict[str, Any]]:
    """Incidents as a template lays them out."""
    return [
        {
            "id": one.id,
            "severity": one.severity.name,
            "state": one.state,
            "headline": plain(one.words[0], 200),
            "was": plain(before(one), 200),
            "path": one.number_id and number_path(one.environment, one.number_id),
            "environment": one.environment,
            "kind": one.kind,
            "todo": todo(one),
            "text": printable(one.words[1], 2000),
            "opened_at": one.opened_at,
            "notified_at": one.notified_at,
            "notifications": one.notifications,
            "by": printable(one.acknowledged_by or "", 80),
            "acknowledged_at": one.acknowledged_at,
            "until": one.acknowledged_until,
            "suppressed": printable(one.suppressed or "", 300),
            "resolved_at": one.resolved_at,
            "alert_id": one.alert_id,
        }
        for one in found
    ]
