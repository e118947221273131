"""What each page shows: from an open transaction to plain values, which a template only lays out.

Every page is a handful of bounded questions; nothing is kept between two requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from renewal_watch.alerts.phrases import money, who
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import failures
from renewal_watch.diagnostics import health
from renewal_watch.errors import UsageError
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.numbers import CAPABILITIES
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import alerts as reports_alerts
from renewal_watch.reports import explain, rows
from renewal_watch.reports.rows import Row
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_state, environment_states, polls_of
from renewal_watch.store.fleet import Due, Listed, Query
from renewal_watch.store.history import history_of
from renewal_watch.store.incidents.account import readings_of
from renewal_watch.store.incidents.matters import unanswered
from renewal_watch.store.incidents.silences import list_silences
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.waiting import failing_channels, orphaned_deliveries, outbox_counts
from renewal_watch.text import plain, printable
from renewal_watch.web import charts
from renewal_watch.web.words import Words, amounts, link, number_path

AHEAD = 60  # days of the calendar, after today
ALERTS_PER_PAGE = 50
ALERTS_OF_NUMBER = 15  # on its own page
EVENTS = 200  # of one number's history, the newest
STRIP = 60  # polls of an environment on the health page
LENGTHS = {"4h": "4 hours", "1d": "1 day", "3d": "3 days", "7d": "7 days", "30d": "30 days"}  # of a silence

Params = Mapping[str, str]


# --- every page -------------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """What stands around every page: ``trouble`` is what is wrong with the watch, ``waiting`` what nobody answered yet."""

    trouble: Sequence[str]
    waiting: int
    critical: int


def frame(tx: Transaction, settings: Settings, now: datetime) -> Frame:
    """The surroundings of a page."""
    open_now = unanswered(tx)
    urgent = {severity: count for severity, count in open_now.items() if severity >= Severity.warning}
    return Frame(
        trouble=health.examine(tx, settings, now).reasons,
        waiting=sum(urgent.values()),
        critical=urgent.get(Severity.critical, 0),
    )


# --- the fleet --------------------------------------------------------------------------------------------------------

SHOWS = {  # what a person asks for, as the query says it
    "": "in the list",
    "overdue": "overdue",
    "missing": "missing",
    "lapsing": "meant to lapse",
    "sandbox": "sandbox",
    "all": "all ever seen",
}
WITHIN = {"": "any day", "0": "today", "1": "1 day", "3": "3 days", "7": "7 days", "14": "14 days", "30": "30 days"}
AUTO = {"": "on or off", "on": "on", "off": "off"}
COLUMNS = {"number": "Number", "environment": "Environment", "status": "Status", "renewal": "Renews", "cost": "Cost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number as a row of a table."""

    path: str
    number: str
    environment: str
    status: str
    status_tone: str
    left: str
    left_tone: str
    renews_on: date | None
    auto: str
    cost: str
    notes: Sequence[str]


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
    statuses: Sequence[str]
    counts: Sequence[tuple[str, int, str, str]]  # what, how many, link, tone
    is_filtered: bool
    is_empty: bool  # no number was ever seen
    day: date | None


def asked(params: Params) -> Query:
    """The query of a page's address. Raises UsageError for what no page has."""
    show = params.get("show", "")
    page = _whole(params, "page")
    given: dict[str, Any] = {
        "search": params.get("search", "")[:100],
        **{name: params.get(name, "") for name in ("environment", "status", "country", "type", "currency")},
        "auto_renewal": {"on": True, "off": False}.get(params.get("auto", "")),
        "within": _whole(params, "within"),
        "renews_on": _day(params.get("day", "")),
        "overdue": show == "overdue",
        "show": "present" if show in ("", "overdue") else show,
        "order": params.get("sort") or "renewal",
        "descending": params.get("way") == "down",
        "page": 1 if page is None else page,
    }
    return Query(**given)


def _whole(params: Params, name: str) -> int | None:
    text = params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 (digits)
        msg = f"{name}: {printable(text, 40)!r} is not a whole number"
        raise UsageError(msg)
    return int(text)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        msg = f"day: {printable(text, 40)!r} is not a day; write it like 2026-11-23"
        raise UsageError(msg) from None


def fleet_page(tx: Transaction, settings: Settings, params: Params, now: datetime) -> FleetPage:
    """The numbers that are asked for. Raises UsageError for a query that no page has."""
    query = asked(params)
    names = [one.name for one in settings.environments]
    today = renewal_day.today(now, settings.timezone)
    found = fleet.page(tx, query, names, today, sandbox=settings.with_sandbox)
    policies = {one.name: settings.policy(one) for one in settings.environments}
    lines = [
        _line(rows.row(one.environment, one.known, one.number, policies[one.environment], now)) for one in found.rows
    ]
    kept = {key: value for key, value in params.items() if value and key in _KEYS}
    counts = fleet.counts(tx, names, today, sandbox=settings.with_sandbox)
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
        heads=[(name, title, _aria_sort(name, query)) for name, title in COLUMNS.items()],
        sort_links={name: _sort_link(name, query, kept) for name in COLUMNS},
        environments=names if len(names) > 1 else [],
        statuses=fleet.statuses(tx),
        counts=[_count(what, count) for what, count in counts.items() if count],
        is_filtered=bool(kept.keys() - {"sort", "way", "page"}),
        is_empty=not lines and not any(watch.has_baseline for _, watch, _ in environment_states(tx)),
        day=query.renews_on,
    )


_KEYS = frozenset(
    {
        *("search", "environment", "status", "country", "type", "currency", "auto", "within", "day"),
        *("show", "sort", "way", "page"),
    }
)


def _aria_sort(name: str, query: Query) -> str:
    if name != query.order:
        return "none"
    return "descending" if query.descending else "ascending"


def _sort_link(name: str, query: Query, kept: Mapping[str, str]) -> str:
    turns = name == query.order and not query.descending
    return link("/", kept, sort=None if name == "renewal" else name, way="down" if turns else None, page=None)


def _count(what: str, count: int) -> tuple[str, int, str, str]:
    if what in ("overdue", "missing"):
        return what, count, link("/", {}, show=what), "bad"
    return what, count, link("/", {}, status=what), "mind"


def _line(row: Row) -> Line:
    number = row.number
    lost = not number.auto_renewal
    status = plain(number.status or "not stated", 40)
    return Line(
        path=number_path(row.environment, row.known.provider_id),
        number=plain(who(number), 40),
        environment=row.environment,
        status=status,
        status_tone="ok" if status == "active" else "mind",
        left=Words.left(row.days_left),
        left_tone=_left_tone(row.days_left, is_lost=lost),
        renews_on=row.renews_on,
        auto={True: "on", False: "off", None: "not stated"}[number.auto_renewal],
        cost="" if number.cost is None else money(number.cost, number.currency),
        notes=[note for note in rows.notes(row) if note != "OVERDUE"],
    )


def _left_tone(left: int | None, *, is_lost: bool) -> str:
    if left is None:
        return "calm"
    if left < 0:
        return "bad"
    return "mind" if is_lost and left <= 7 else "calm"  # noqa: PLR2004 (days: a week to act)


# --- the calendar -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Day:
    """What falls on one day: ``renewing`` by themselves, ``ending`` unless somebody acts, ``again`` a month after that."""

    on: date
    renewing: int = 0
    ending: int = 0
    lapsing: int = 0
    again: int = 0
    sums: dict[str, Decimal] = field(default_factory=dict)
    sums_again: dict[str, Decimal] = field(default_factory=dict)
    unpriced: int = 0

    @property
    def numbers(self) -> int:
        """Those whose renewal day is known to be this one."""
        return self.renewing + self.ending + self.lapsing

    @property
    def path(self) -> str:
        """The fleet of this day."""
        return link("/", {}, day=self.on.isoformat())

    @property
    def costs(self) -> list[str]:
        """What it costs in each currency if everything of it is renewed."""
        return amounts(self.sums)

    @property
    def costs_again(self) -> list[str]:
        """The same of those that come again."""
        return amounts(self.sums_again)

    @property
    def is_weekend(self) -> bool:
        """Saturday or Sunday."""
        return self.on.weekday() > 4  # noqa: PLR2004 (Friday)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarPage:
    """Sixty days as weeks, with what is overdue now."""

    days: Sequence[Day]
    weeks: Sequence[Sequence[Day | None]]
    overdue: int
    passed: int  # whose day has passed and that are not overdue: meant to lapse, or no list since shows them
    undated: int
    later: int
    totals: Sequence[tuple[str, int, int, int, list[str]]]  # span, numbers, of them ending, again, costs
    chart: str
    environments: Sequence[str]
    environment: str


def calendar_page(tx: Transaction, settings: Settings, params: Params, now: datetime) -> CalendarPage:
    """The coming days with what renews and what it costs. Raises UsageError for an environment that is not configured."""
    names = [one.name for one in settings.environments]
    chosen = params.get("environment", "")
    today = Words.of(now, settings.timezone).today
    those = [settings.environment(chosen).name] if chosen else names
    groups = fleet.due(tx, those, sandbox=settings.with_sandbox)
    days = {today + timedelta(days=step): Day(today + timedelta(days=step)) for step in range(AHEAD + 1)}
    outside: Counter[str] = Counter()
    for one in groups:
        if one.renews_on is None:
            outside["undated"] += one.numbers
            continue
        on = date.fromordinal(one.renews_on)
        if on in days:
            _put(days[on], one)
        else:
            outside["past" if on < today else "later"] += one.numbers
        if one.auto_renewal and not one.is_lapsing and on >= today:
            _put_again(days, on, one)
    overdue = fleet.overdue_of(tx, those, today.toordinal(), sandbox=settings.with_sandbox)
    listed = list(days.values())
    padded: list[Day | None] = [None] * today.weekday() + [*listed]
    padded += [None] * (-len(padded) % 7)
    return CalendarPage(
        days=listed,
        weeks=[padded[start : start + 7] for start in range(0, len(padded), 7)],
        overdue=overdue,
        passed=outside["past"] - overdue,
        undated=outside["undated"],
        later=outside["later"],
        totals=[_total(f"{length} days", listed[: length + 1]) for length in (7, 30, AHEAD)],
        chart=charts.days([charts.Bar(d.on, d.renewing, d.ending + d.lapsing, d.again, d.path) for d in listed]),
        environments=names if len(names) > 1 else [],
        environment=chosen,
    )


def _put(day: Day, one: Due) -> None:
    if one.is_lapsing:
        day.lapsing += one.numbers
        return
    if one.auto_renewal:
        day.renewing += one.numbers
    else:
        day.ending += one.numbers
    if one.cost is None:
        day.unpriced += one.numbers
    else:
        _add(day.sums, one.currency, one.amount)


def _put_again(days: Mapping[date, Day], first: date, one: Due) -> None:
    """What renews by itself comes again, month after month, on the same day of the month or its last."""
    last = max(days)
    if first > last:  # far days have none after them: 9999-12-31 stands for "never" in many a system
        return
    on = _month_after(first, first.day)
    while on <= last:
        if on in days:
            days[on].again += one.numbers
            if one.cost is not None:
                _add(days[on].sums_again, one.currency, one.amount)
        on = _month_after(on, first.day)


def _month_after(on: date, anchor: int) -> date:
    first = (on.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = ((first + timedelta(days=32)).replace(day=1) - timedelta(days=1)).day
    return first.replace(day=min(anchor, last))


def _add(sums: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    sums[currency] = sums.get(currency, Decimal(0)) + amount


def _total(span: str, days: Sequence[Day]) -> tuple[str, int, int, int, list[str]]:
    sums: dict[str, Decimal] = {}
    for day in days:
        for currency, amount in (*day.sums.items(), *day.sums_again.items()):
            _add(sums, currency, amount)
    ending = sum(day.ending for day in days)
    return span, sum(day.numbers for day in days), ending, sum(day.again for day in days), amounts(sums)


# --- one number -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberPage:
    """Everything about one number."""

    number: str
    environment: str
    provider_id: str
    line: Line
    facts: Sequence[tuple[str, str]]
    reasons: Sequence[str]
    matters: Sequence[Mapping[str, Any]]
    is_acknowledged: bool
    is_lapsing: bool
    silences: Sequence[Mapping[str, Any]]
    alerts: Sequence[Mapping[str, Any]]
    more_alerts: bool
    events: Sequence[Mapping[str, Any]]
    more_events: bool
    actions: Sequence[Mapping[str, Any]]
    chart: str
    chart_text: str


def number_page(tx: Transaction, settings: Settings, way: Routing, one: Listed, now: datetime) -> NumberPage:
    """One number, why it did or did not alert, and what comes next. Raises UsageError for one of a lost environment."""
    found = explain.explain(tx, settings, way, one, now, most=ALERTS_OF_NUMBER + 1)
    environment_id = environment_state(tx, one.environment)[0]
    history = history_of(tx, one.known, environment_id, most=EVENTS + 1)
    words = Words.of(now, settings.timezone)
    number = found.row.number
    facts = {
        "Id": plain(one.known.provider_id, 100),
        "Country": plain(number.country_code or ""),
        "Type": plain(number.type or ""),
        "Can do": ", ".join(name for name in CAPABILITIES if name in number.capabilities) or "nothing",
        "Owner": plain(found.record.owner),
        "Labels": plain(", ".join(found.record.labels)),
        "Note": plain(found.record.note),
    }
    drawn = charts.lifeline(charts.stretches(history, now), now, words.zone)
    return NumberPage(
        number=plain(who(number), 60),
        environment=one.environment,
        provider_id=one.known.provider_id,
        line=_line(found.row),
        facts=[(name, value) for name, value in facts.items() if value],
        reasons=found.lines,
        matters=[
            {
                "topic": key.topic,
                "kind": matter.kind,
                "severity": matter.severity.name,
                "opened_at": matter.opened_at,
                "alert_id": matter.alert_id,
                "ack": matter.ack and {"by": printable(matter.ack.by, 80), "at": matter.ack.at},
                "hidden": matter.hidden and printable(matter.hidden, 300),
            }
            for key, matter in found.matters.items()
        ],
        is_acknowledged=bool(found.matters) and all(matter.ack is not None for matter in found.matters.values()),
        is_lapsing=one.known.lapse is not None,
        silences=[_silence(silence) for silence in found.silences],
        alerts=_alerts(found.alerts[:ALERTS_OF_NUMBER]),
        more_alerts=len(found.alerts) > ALERTS_OF_NUMBER,
        events=[_event(event) for event in history[::-1][:EVENTS]],
        more_events=len(history) > EVENTS,
        actions=[
            {**action, "author": printable(action["author"], 80), "comment": printable(action["comment"], 300)}
            for action in found.actions[:20]
        ],
        chart=drawn.svg,
        chart_text=drawn.text,
    )


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    """A change in words; a value of the provider is shown as JSON, so that nothing of it is hidden."""
    fields = [
        (plain(name, 60), reports_alerts.changed_value(field, "before"), reports_alerts.changed_value(field, "now"))
        for name, field in event["fields"].items()
    ]
    return {"seen_at": event["seen_at"], "not_yet_at": event["not_yet_at"], "what": event["what"], "fields": fields}


def _silence(one: Any) -> dict[str, Any]:
    return {
        "pk": one.pk,
        "about": rows.matched(one.match, one.kinds),
        "ends_at": one.ends_at,
        "author": printable(one.author, 80),
        "comment": printable(one.comment, 300),
    }


# --- alerts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsPage:
    """Alerts with the fate of every delivery, newest first."""

    alerts: Sequence[Mapping[str, Any]]
    about: tuple[str, str] | None  # the number, and its page
    query: Mapping[str, str]
    following: str
    is_first: bool
    outbox: Mapping[str, Any]
    silences: Sequence[Mapping[str, Any]]
    is_filtered: bool


STATES = {"": "any", "pending": "waiting for a channel", "failed": "never delivered somewhere"}
SEVERITIES = {"": "any", "warning": "warning or worse", "critical": "critical"}


def alerts_page(tx: Transaction, settings: Settings, params: Params, now: datetime) -> AlertsPage:
    """What was found. Raises UsageError for a filter that is none."""
    state, severity = params.get("state", ""), params.get("severity", "")
    for name, value, known in (("state", state, STATES), ("severity", severity, SEVERITIES)):
        if value not in known:
            msg = f"{name}: {printable(value, 40)!r} is not known; it is one of: {', '.join(filter(None, known))}"
            raise UsageError(msg)
    before = _whole(params, "before")
    environment, provider_id = params.get("environment", ""), params.get("id", "")
    about = fleet.one(tx, environment, provider_id) if provider_id else None
    if provider_id and about is None:
        msg = f"id: no number of {printable(environment, 40)!r} is known by {printable(provider_id, 60)!r}"
        raise UsageError(msg)
    found = list_alerts(
        tx,
        number=about and about.known,
        states=[state] if state else [],
        severity=Severity[severity or "info"],
        before=before,
        most=ALERTS_PER_PAGE + 1,
    )
    shown = found[:ALERTS_PER_PAGE]
    reports_alerts.note_held(shown, explain.held(tx, settings, now))
    given = {"state": state, "severity": severity}
    if about is not None:
        given |= {"environment": environment, "id": provider_id}
    kept = {key: value for key, value in given.items() if value}
    return AlertsPage(
        alerts=_alerts(shown),
        about=about and (plain(who(about.number), 60), number_path(environment, provider_id)),
        query=kept,
        following=link("/alerts", kept, before=shown[-1]["id"]) if len(found) > ALERTS_PER_PAGE else "",
        is_first=before is None,
        outbox=outbox_counts(tx),
        silences=[_silence(one) for one in list_silences(tx) if one.is_active(now)],
        is_filtered=bool(kept),
    )


def _alerts(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Alerts as a template lays them out: every delivery with the word for its fate."""
    return [
        {
            **one,
            "lines": [printable(line, 2000) for line in one["text"].splitlines() if line.strip()],
            "number": one["number"] and plain(one["number"], 60),
            "path": one["number_id"] and number_path(one["environment"], one["number_id"]),
            "hidden": one["hidden"] and printable(one["hidden"], 300),
            "deliveries": [_delivery(delivery) for delivery in one["deliveries"]],
            "can_retry": any(delivery["state"] in ("failed", "pending") for delivery in one["deliveries"]),
        }
        for one in found
    ]


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


# --- the watch itself -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage:
    """How the watch does."""

    checks: Sequence[Any]
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


def _takes(severity: str, kinds: Sequence[str], environments: Sequence[str] | None) -> str:
    said = [] if severity == "info" else [f"{severity} or worse" if severity == "warning" else severity]
    said += [] if tuple(kinds) == ("*",) else [", ".join(kinds)]
    said += [] if environments is None else [f"of {', '.join(environments)}"]
    return "; ".join(said) or "everything"


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
        "next_poll_at": schedule.next_poll_at,
        "polls": lately[::-1],
        "strip": charts.polls([charts.Poll(p["started_at"], p["outcome"] == "ok", p["took_s"]) for p in lately[::-1]]),
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
