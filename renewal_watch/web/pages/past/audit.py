"""The audit log: who did what, and who was notified of what, page by page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.alerts.links import number_path
from renewal_watch.alerts.phrases import days
from renewal_watch.database.instants import write_instant
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.language import _
from renewal_watch.reports.past import audit
from renewal_watch.reports.past.span import asked
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.audit import Asked, Place, list_audit
from renewal_watch.text import printable
from renewal_watch.web.pages.frame import Params
from renewal_watch.web.pages.words import link

PER_PAGE = 100
MONTH = "30d"
_PLACE = re.compile(r"(20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]{15}Z)-(action|notification)-([0-9]{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Entries, newest first; ``since`` is the choice of the form."""

    entries: Sequence[Mapping[str, Any]]
    since: str
    query: Mapping[str, str]
    following: str
    is_first: bool
    kept_days: int


def lengths() -> dict[str, str]:
    """How far back, by what the address says."""
    return {f"{count}d": days(count) for count in (7, 30, 365)}


def audit_page(tx: Transaction, settings: Settings, params: Params, now: datetime) -> AuditPage:
    """What was done. Raises UsageError for a time or place that is none."""
    query = {name: params.get(name, "")[:100] for name in ("since", "day", "until", "who") if params.get(name)}
    since = query.get("day") or query.get("since") or MONTH
    span = asked(since, query.get("until", ""), now, settings.timezone)
    before = _place(params.get("before", ""))
    found = list(list_audit(tx, Asked(*span, query.get("who", "").strip(), before), PER_PAGE + 1))
    shown = found[:PER_PAGE]
    return AuditPage(
        entries=[_entry(one) for _place, one in shown],
        since="" if query.get("day") else since,
        query=query,
        following=link("/audit", query, before=_written(shown[-1][0])) if len(found) > PER_PAGE else "",
        is_first=before is None,
        kept_days=settings.retention.alerts_days,
    )


def _place(text: str) -> Place | None:
    if not text:
        return None
    found = _PLACE.fullmatch(text)
    try:
        return Place(datetime.fromisoformat(found[1]), found[2], int(found[3])) if found else _no_place(text)
    except ValueError:
        return _no_place(text)


def _no_place(text: str) -> Place:
    msg = _("before: {value} is no place in the audit log", value=repr(printable(text, 40)))
    raise UsageError(msg)


def _written(place: Place) -> str:
    return f"{write_instant(place.at)}-{place.what}-{place.id}"


def _entry(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": one["at"],
        "is_act": one["what"] == "action",
        "who": audit.who(one),
        "origin": audit.origin(one),
        "what": audit.what(one),
        "about": audit.about(one),
        "path": one["number_id"] and number_path(one["environment"], one["number_id"]),
        "message_id": one["message_id"],
    }
