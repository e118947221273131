"""How everything stands in a few figures: the service, what is open, what will be lost, what renews and costs, the balance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from renewal_watch.alerts.phrases import a_few, money, numbers, span
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import health
from renewal_watch.language import _, minute, ngettext
from renewal_watch.model import renewal_day
from renewal_watch.model.account import Balance
from renewal_watch.model.alerts import Severity
from renewal_watch.model.tracking import Watch
from renewal_watch.reports.incidents import Counts, counted
from renewal_watch.reports.tables import Tone, toned, when
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet_sums
from renewal_watch.store.environments import Schedule, environment_states
from renewal_watch.store.incidents.account import balances_of
from renewal_watch.store.incidents.listing import Wanted, count_incidents
from renewal_watch.store.leases import daemon_seen
from renewal_watch.text import plain

LOST = (1, 7, 14)  # days ahead in which numbers are lost, each counted with what comes before
AHEAD = 30  # days of renewals and their costs
_NAMED = 3  # balances, currencies; what is more is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Whether somebody polls. ``runs`` is None where no daemon ever did; then a timer may."""

    runs: bool | None = None
    since: datetime | None = None
    seen_at: datetime | None = None
    last_poll_at: datetime | None = None
    next_poll_at: datetime | None = None
    failing: Sequence[str] = ()  # environments whose last poll failed
    unwell: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Figures of all environments, or of one. ``lost`` is by days: numbers that end within them unless somebody acts."""

    service: Service
    incidents: Counts
    overdue: int
    lost: Mapping[int, int]
    renewing: int = 0  # within ``AHEAD`` days, by themselves
    costs: Mapping[str, Decimal] = field(default_factory=dict)  # of those, by currency
    unpriced: int = 0
    balances: Mapping[str, Balance] = field(default_factory=dict)  # by environment
    numbers: int = 0


def overview(tx: Transaction, settings: Settings, now: datetime, environment: str = "") -> Overview:
    """How everything stands now."""
    names = [environment] if environment else [one.name for one in settings.environments]
    states = _states(tx, names)
    today = renewal_day.today(now, settings.timezone)
    lost = dict.fromkeys(LOST, 0)
    renewing, unpriced, costs = 0, 0, dict[str, Decimal]()
    for group in fleet_sums.due(tx, names, sandbox=settings.with_sandbox, until=today + AHEAD):
        if group.renews_on is None or group.renews_on < today or group.is_lapsing:
            continue
        if not group.auto_renewal:
            for within in LOST:
                lost[within] += group.numbers * (group.renews_on - today <= within)
            continue
        renewing += group.numbers
        if group.cost is None:
            unpriced += group.numbers
        else:
            costs[group.currency] = costs.get(group.currency, Decimal(0)) + group.amount
    return Overview(
        service=_service(tx, settings, now, states),
        incidents=count_incidents(tx, Wanted(environment=environment)),
        overdue=fleet_sums.overdue_of(tx, names, today, sandbox=settings.with_sandbox),
        lost=lost,
        renewing=renewing,
        costs=costs,
        unpriced=unpriced,
        balances=balances_of(tx, names),
        numbers=sum(watch.numbers for watch, _ in states),
    )


def service_of(tx: Transaction, settings: Settings, now: datetime) -> Service:
    """Whether somebody polls all environments."""
    return _service(tx, settings, now, _states(tx, [one.name for one in settings.environments]))


def _states(tx: Transaction, names: Sequence[str]) -> list[tuple[Watch, Schedule]]:
    wanted = frozenset(names)
    return [(watch, schedule) for _, watch, schedule in environment_states(tx) if watch.name in wanted]


def _service(tx: Transaction, settings: Settings, now: datetime, states: Sequence[tuple[Watch, Schedule]]) -> Service:
    seen = daemon_seen(tx, now)
    return Service(
        runs=None if seen is None else seen.is_there,
        since=seen.since if seen and seen.is_there else None,
        seen_at=seen and seen.at,
        last_poll_at=max((watch.last_poll_at for watch, _ in states if watch.last_poll_at), default=None),
        next_poll_at=min((at for _, schedule in states if (at := schedule.next_poll_at)), default=None),
        failing=[watch.name for watch, _ in states if watch.last_error],
        unwell=[one.reason for one in health.daemon(tx, settings, now) if not one.ok],
    )


def overview_json(one: Overview) -> dict[str, Any]:
    """What ``status --json`` has under ``overview``."""
    return {
        "running": one.service.runs,
        "running_since": when(one.service.since),
        "last_poll_at": when(one.service.last_poll_at),
        "next_poll_at": when(one.service.next_poll_at),
        "open": by_severity(one.incidents),
        "acknowledged": sum(count for (state, _), count in one.incidents.items() if state == "acknowledged"),
        "overdue": one.overdue,
        "lost_within": [{"days": days, "numbers": count} for days, count in one.lost.items()],
        "renewing": {"days": AHEAD, "numbers": one.renewing, "unpriced": one.unpriced},
        "costs": [{"amount": f"{amount:f}", "currency": currency} for currency, amount in sorted(one.costs.items())],
        "balances": [
            {"environment": name, "amount": f"{balance.amount:f}", "currency": balance.currency}
            for name, balance in one.balances.items()
        ],
    }


def overview_lines(one: Overview, now: datetime, zone: str) -> list[str]:
    """The first lines of ``status``."""
    tone: Tone | None = "bad" if one.lost[1] or one.overdue else "mind" if one.lost[LOST[-1]] else None
    lines = [
        toned(
            f"service    {service_said(one.service, now, zone)}",
            "bad" if one.service.unwell or one.service.failing else None,
        )
    ]
    urgent = one.incidents.get(("open", Severity.critical), 0)
    waiting = urgent or one.incidents.get(("open", Severity.warning), 0)
    lines.append(toned(f"incidents  {counted(one.incidents)}", "bad" if urgent else "mind" if waiting else None))
    lines.append(toned(f"expiring   {lost_said(one)}", tone))
    lines.append(f"renewing   {renewing_said(one)}")
    lines += [f"balance    {said}" for said in balances_said(one)]
    return lines


def service_said(one: Service, now: datetime, zone: str) -> str:
    """``running for 3 d 2 h; last poll 12:00 (5 min ago), next in 55 min``, or why that is not so."""
    parts = list(one.unwell)
    if not parts and one.runs:
        parts.append(_("running for {span}", span=span(now - one.since)) if one.since else _("running"))
    elif not parts:
        parts.append(_("no daemon runs here; it is polled by a timer or by hand"))
    polled = _("never polled")
    if one.last_poll_at:
        at = minute(one.last_poll_at.astimezone(ZoneInfo(zone)))
        polled = _("last poll {at} ({span} ago)", at=at, span=span(max(now - one.last_poll_at, now - now)))
    if one.runs and one.next_poll_at:
        is_ahead = one.next_poll_at > now
        following = _("next in {span}", span=span(one.next_poll_at - now)) if is_ahead else _("the next one is due now")
        polled = f"{polled}, {following}"
    failing = a_few([plain(name, 40) for name in one.failing])
    failed = [_("the last poll failed of {environments}", environments=failing)] if one.failing else []
    return "; ".join([*parts, polled, *failed])


def lost_said(one: Overview) -> str:
    """``3 within 1 day, 5 within 7 days, 5 within 14 days; 2 overdue``."""
    if not one.lost[LOST[-1]]:
        said = f"no number will be lost within {LOST[-1]} days"
    else:
        said = "lost " + ", ".join(f"within {days} day{'s' * (days > 1)}: {count}" for days, count in one.lost.items())
    return f"{said}; overdue: {one.overdue}" if one.overdue else said


def by_severity(counts: Counts) -> dict[str, int]:
    """How many are open of each severity, the worst first."""
    return {severity.name: counts.get(("open", severity), 0) for severity in reversed(Severity)}


def costs_said(one: Overview) -> list[str]:
    """``57.90 USD``, one a currency; the first few, then how many more, and of how many numbers no price is known."""
    sums = [money(amount, currency) for currency, amount in sorted(one.costs.items())]
    left = len(sums) - _NAMED
    more = [ngettext("{count} more currency", "{count} more currencies", left)] if left > 0 else []
    unpriced = ngettext("{count} number without a price", "{count} numbers without a price", one.unpriced)
    return [*sums[:_NAMED], *more, *([unpriced] if one.unpriced else [])]


def renewing_said(one: Overview) -> str:
    """``24 numbers within 30 days: 57.90 USD``."""
    costs = ", ".join(costs_said(one))
    return f"{numbers(one.renewing)} within {AHEAD} days{f': {costs}' if costs else ''}"


def balances_said(one: Overview) -> list[str]:
    """``21.20 USD (production)``, one an account; the first few, then how many more."""
    named, more = first_balances(one)
    return [*(f"{figure} ({name})" for figure, name in named), *more]


def first_balances(one: Overview) -> tuple[list[tuple[str, str]], list[str]]:
    """The first few balances, each with its environment; a sentence that says how many more there are, if there are."""
    found = [(money(balance.amount, balance.currency), plain(name, 60)) for name, balance in one.balances.items()]
    left = len(found) - _NAMED
    more = [ngettext("and {count} more account", "and {count} more accounts", left)] if left > 0 else []
    return found[:_NAMED], more
