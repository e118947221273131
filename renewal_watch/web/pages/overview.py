"""The first page: how everything stands, what needs somebody, then the fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.alerts.phrases import a_few, span
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import overview as figures
from renewal_watch.diagnostics.overview import Overview
from renewal_watch.model import renewal_day
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
    about = [f"last poll {span(max(now - one.last_poll_at, now - now))} ago"] if one.last_poll_at else ["never polled"]
    if one.runs and one.next_poll_at and one.next_poll_at > now:
        about.append(f"next in {span(one.next_poll_at - now)}")
    if one.unwell:
        return Tile(name="Service", figure="failing", about=about, tone="bad", path="/health")
    if one.runs and one.since:
        about.insert(0, f"for {span(now - one.since)}")
    if one.failing:
        about.append(f"failed: {a_few([plain(name, 40) for name in one.failing])}")
        return Tile(name="Service", figure="polls failing", about=about, tone="mind", path="/health")
    if one.runs is None:
        about.append("by a timer or by hand")
        return Tile(name="Service", figure="no daemon", about=about, tone="calm", path="/health")
    return Tile(name="Service", figure="running", about=about, tone="ok", path="/health")


def _incidents(seen: Overview) -> Tile:
    by_state = {
        state: sum(n for (one, _), n in seen.incidents.items() if one == state) for state in ("open", "acknowledged")
    }
    about = [f"{count} {name}" for name, count in figures.by_severity(seen.incidents).items() if count]
    about += [f"{by_state['acknowledged']} acknowledged"] if by_state["acknowledged"] else []
    worst = next((name for name, count in figures.by_severity(seen.incidents).items() if count), "")
    tone = {"critical": "bad", "warning": "mind"}.get(worst, "ok")
    return Tile(name="Open incidents", figure=f"{by_state['open']:,}", about=about, tone=tone, path="/incidents")


def _lost(seen: Overview) -> Tile:
    soon, week, longest = figures.LOST
    about = [f"{seen.lost[days]:,} within {days} day{'s' * (days > 1)}" for days in (soon, longest)]
    about += [f"{seen.overdue:,} overdue"] if seen.overdue else []
    tone = "bad" if seen.lost[soon] or seen.overdue else "mind" if seen.lost[longest] else "ok"
    path = link("/", {}, within=longest, auto="off")
    return Tile(name=f"Lost within {week} days", figure=f"{seen.lost[week]:,}", about=about, tone=tone, path=path)


def _renewing(seen: Overview) -> Tile:
    costs = figures.costs_said(seen)
    about = [f"within {figures.AHEAD} days", *costs]
    return Tile(name="Renewing", figure=f"{seen.renewing:,}", about=about, tone="calm", path="/calendar")


def _balance(seen: Overview) -> list[Tile]:
    said = figures.balances_said(seen)
    if not said:
        return []
    first, *others = said
    figure, _, place = first.rpartition(" (")
    return [Tile(name="Balance", figure=figure, about=[place.rstrip(")"), *others], tone="calm")]
