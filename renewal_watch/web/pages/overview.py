"""The first page: how everything stands, what needs somebody, then the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.alerts.phrases import a_few, severities, span
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import overview as figures
from renewal_watch.diagnostics.overview import Overview
from renewal_watch.language import _, ngettext, number, pgettext
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.listing import Wanted, list_incidents
from renewal_watch.text import plain
from renewal_watch.web.pages.fleet import FleetPage, fleet_page
from renewal_watch.web.pages.frame import Params
from renewal_watch.web.pages.incidents import FIRST, incidents_of
from renewal_watch.web.pages.words import link


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure with its word and what stands under it."""

    name: str
    figure: str
    about: Sequence[str]
    tone: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPage:
    """The tiles, the first incidents and the fleet; of a fleet that is searched only itself."""

    tiles: Sequence[Tile]
    incidents: Sequence[Mapping[str, Any]]
    more_incidents: int
    fleet: FleetPage


def overview_page(tx: Transaction, settings: Settings, way: Routing, params: Params, now: datetime) -> OverviewPage:
    """How everything stands. Raises UsageError for a query that no page of the fleet has."""
    fleet = fleet_page(tx, settings, way, params, now)
    if fleet.query or fleet.is_empty:
        return OverviewPage(tiles=[], incidents=[], more_incidents=0, fleet=fleet)
    seen = figures.overview(tx, settings, now)
    found = list_incidents(tx, renewal_day.today(now, settings.timezone), Wanted(), most=FIRST)
    more = seen.incidents.total() - len(found)
    return OverviewPage(tiles=_tiles(seen, now), incidents=incidents_of(found), more_incidents=more, fleet=fleet)


def _tiles(seen: Overview, now: datetime) -> list[Tile]:
    return [_service(seen, now), _incidents(seen), _lost(seen), _renewing(seen), *_balance(seen)]


def _service(seen: Overview, now: datetime) -> Tile:
    one = seen.service
    figure, tone = pgettext("service", "running"), "ok"
    about = [_("never polled")]
    if one.last_poll_at:
        about = [_("last poll {span} ago", span=span(max(now - one.last_poll_at, now - now)))]
    if one.runs and one.next_poll_at and one.next_poll_at > now:
        about.append(_("next in {span}", span=span(one.next_poll_at - now)))
    if one.runs and one.since and not one.unwell:
        about.insert(0, pgettext("running", "for {span}", span=span(now - one.since)))
    if one.unwell:
        figure, tone = pgettext("service", "failing"), "bad"
    elif one.failing:
        about.append(_("failed: {environments}", environments=a_few([plain(name, 40) for name in one.failing])))
        figure, tone = _("polls failing"), "mind"
    elif one.runs is None:
        about.append(_("by a timer or by hand"))
        figure, tone = _("no daemon"), "calm"
    return Tile(name=_("Service"), figure=figure, about=about, tone=tone, path="/health")


def _incidents(seen: Overview) -> Tile:
    by_state = {
        state: sum(n for (one, _), n in seen.incidents.items() if one == state) for state in ("open", "acknowledged")
    }
    by_severity = figures.by_severity(seen.incidents)
    about = [severities(Severity[name], count) for name, count in by_severity.items() if count]
    known = ngettext("{count} acknowledged", "{count} acknowledged", by_state["acknowledged"])
    about += [known] if by_state["acknowledged"] else []
    worst = next((name for name, count in by_severity.items() if count), "")
    tone = {"critical": "bad", "warning": "mind"}.get(worst, "ok")
    return Tile(name=_("Open incidents"), figure=number(by_state["open"]), about=about, tone=tone, path="/incidents")


def _lost(seen: Overview) -> Tile:
    soon, week, longest = figures.LOST
    about = [
        ngettext("{numbers} within {count} day", "{numbers} within {count} days", days, numbers=number(seen.lost[days]))
        for days in (soon, longest)
    ]
    about += [ngettext("{count} overdue", "{count} overdue", seen.overdue)] if seen.overdue else []
    tone = "bad" if seen.lost[soon] or seen.overdue else "mind" if seen.lost[longest] else "ok"
    path = link("/", {}, within=longest, auto="off")
    name = ngettext("Lost within {count} day", "Lost within {count} days", week)
    return Tile(name=name, figure=number(seen.lost[week]), about=about, tone=tone, path=path)


def _renewing(seen: Overview) -> Tile:
    costs = figures.costs_said(seen)
    about = [ngettext("within {count} day", "within {count} days", figures.AHEAD), *costs]
    return Tile(name=_("Renewing"), figure=number(seen.renewing), about=about, tone="calm", path="/calendar")


def _balance(seen: Overview) -> list[Tile]:
    named, more = figures.first_balances(seen)
    if not named:
        return []
    (figure, place), *others = named
    about = [place, *(f"{amount} ({environment})" for amount, environment in others), *more]
    return [Tile(name=_("Balance"), figure=figure, about=about, tone="calm")]
