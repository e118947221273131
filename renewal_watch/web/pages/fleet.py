"""The fleet: searched, sorted, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from renewal_watch.alerts.phrases import days
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.language import N_, _, pgettext
from renewal_watch.model import renewal_day
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import rows
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet, fleet_sums
from renewal_watch.store.environments import environment_states
from renewal_watch.store.fleet import Query
from renewal_watch.store.incidents.listing import marks_of
from renewal_watch.store.owned import has_owners, owned_ids, record_of
from renewal_watch.text import printable
from renewal_watch.web.pages.frame import Params
from renewal_watch.web.pages.lines import Line, line_of
from renewal_watch.web.pages.words import link

AHEAD = 60  # days of the calendar, after today
COLUMNS = {
    "number": N_("Number"),
    "environment": N_("Environment"),
    "status": N_("Status"),
    "renewal": N_("Renews"),
    "cost": N_("Cost"),
}


def shows() -> dict[str, str]:
    """What a person asks for, by what the query says."""
    return {
        "": pgettext("numbers", "in the list"),
        "overdue": pgettext("numbers", "overdue"),
        "missing": pgettext("numbers", "missing"),
        "lapsing": pgettext("numbers", "meant to expire"),
        "sandbox": pgettext("numbers", "sandbox"),
        "all": pgettext("numbers", "all ever seen"),
    }


def within() -> dict[str, str]:
    """The days within which a number renews."""
    return {"": _("any day"), "0": _("today")} | {str(one): days(one) for one in (1, 3, 7, 14, 30)}


def autos() -> dict[str, str]:
    """The states of auto-renewal."""
    return {
        "": _("on or off"),
        "on": pgettext("auto-renewal", "on"),
        "off": pgettext("auto-renewal", "off"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPage:
    """One page of numbers, with the way to the others."""

    lines: Sequence[Line]
    query: Mapping[str, str]  # what is not as by default, as it stands in the address
    total: int
    is_more: bool
    first: int
    page: int
    previous: str
    following: str
    heads: Sequence[tuple[str, str, str]]  # column, title, aria-sort
    sort_links: Mapping[str, str]
    environments: Sequence[str]
    with_owners: bool
    statuses: Sequence[str]
    is_filtered: bool
    is_empty: bool  # no number was ever seen
    day: date | None


def asked(params: Params) -> Query:
    """The query of a page's address. Raises UsageError for what no page has."""
    show = params.get("show", "")
    page = whole(params, "page")
    given: dict[str, Any] = {
        "search": params.get("search", "")[:100],
        **{name: params.get(name, "") for name in ("environment", "status", "country", "type", "currency")},
        "auto_renewal": {"on": True, "off": False}.get(params.get("auto", "")),
        "within": whole(params, "within"),
        "renews_on": _day(params.get("day", "")),
        "overdue": show == "overdue",
        "show": "present" if show in ("", "overdue") else show,
        "order": params.get("sort") or "risk",
        "descending": params.get("way") == "down",
        "page": 1 if page is None else page,
    }
    return Query(**given)


def whole(params: Params, name: str) -> int | None:
    """A parameter as a whole number, None for an empty one. Raises UsageError."""
    text = params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 (digits)
        msg = _("{field}: {value} is not a whole number", field=name, value=repr(printable(text, 40)))
        raise UsageError(msg)
    return int(text)


def choose(name: str, value: str, known: Mapping[str, str]) -> str:
    """The value of a parameter, as it is. Raises UsageError for one that is not among those known."""
    if value not in known:
        msg = _(
            "{field}: {value} is not known; it is one of: {known}",
            field=name,
            value=repr(printable(value, 40)),
            known=", ".join(filter(None, known)),
        )
        raise UsageError(msg)
    return value


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = _("day: {value} is not a day; write it like 2026-11-23", value=repr(printable(text, 40)))
        raise UsageError(msg) from None


def fleet_page(tx: Transaction, settings: Settings, way: Routing, params: Params, now: datetime) -> FleetPage:
    """The numbers that are asked for. Raises UsageError for a query that no page has."""
    query = asked(params)
    names = [one.name for one in settings.environments]
    today = renewal_day.today(now, settings.timezone)
    ids = owned_ids(tx, way, names, params.get("owner", "")[:100], params.get("label", "")[:100])
    found = fleet.page(tx, query, names, today, sandbox=settings.with_sandbox, ids=ids)
    policies = {one.name: settings.policy(one) for one in settings.environments}
    marks = marks_of(tx, [one.known.pk for one in found.rows])
    lines = [
        line_of(
            rows.row(one.environment, one.known, one.number, policies[one.environment], now, marks.get(one.known.pk)),
            record_of(way, one.environment, one.number).owner,
        )
        for one in found.rows
    ]
    kept = {key: value for key, value in params.items() if value and key in _KEYS}
    first = (query.page - 1) * query.per_page
    is_last = first + len(lines) >= found.total and not found.is_more
    return FleetPage(
        lines=lines,
        query=kept,
        total=found.total,
        is_more=found.is_more,
        first=first + 1,
        page=query.page,
        previous=link("/", kept, page=query.page - 1 if query.page > 2 else None) if query.page > 1 else "",  # noqa: PLR2004
        following="" if is_last or not lines else link("/", kept, page=query.page + 1),
        heads=[(name, _(title), _aria_sort(name, query)) for name, title in COLUMNS.items()],
        sort_links={name: _sort_link(name, query, kept) for name in COLUMNS},
        environments=names if len(names) > 1 else [],
        with_owners=has_owners(way),
        statuses=fleet_sums.statuses(tx),
        is_filtered=bool(kept.keys() - {"sort", "way", "page"}),
        is_empty=not lines and not any(watch.has_baseline for _, watch, _ in environment_states(tx)),
        day=query.renews_on,
    )


_KEYS = frozenset(
    {
        *("search", "environment", "status", "country", "type", "currency", "auto", "within", "day"),
        *("owner", "label", "show", "sort", "way", "page"),
    }
)


def _aria_sort(name: str, query: Query) -> str:
    if name != query.order:
        return "none"
    return "descending" if query.descending else "ascending"


def _sort_link(name: str, query: Query, kept: Mapping[str, str]) -> str:
    turns = name == query.order and not query.descending
    return link("/", kept, sort=name, way="down" if turns else None, page=None)
