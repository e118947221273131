"""What every metric stands on: the numbers that are watched, gauges and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import ColumnElement, Select, and_, exists, false, func, or_, select

from renewal_watch.database.schema import incidents, numbers
from renewal_watch.database.transaction import Transaction
from renewal_watch.model import renewal_day
from renewal_watch.model.tracking import Watch
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.selections import OPEN
from renewal_watch.text import plain

PREFIX = "renewal_watch_"
MOST = 30  # values of a label that the provider chooses; what goes beyond is put together
Row = tuple[Sequence[str], float]  # values of the labels, value


def gauge(name: str, said: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """A gauge with these samples."""
    family = GaugeMetricFamily(PREFIX + name, said, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def counter(name: str, said: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """A counter with these samples."""
    family = CounterMetricFamily(PREFIX + name, said, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


class Watched:
    """What one request looks at: the environments that are configured, as they are kept."""

    def __init__(self, tx: Transaction, settings: Settings, now: datetime) -> None:
        self.tx = tx
        self.settings = settings
        self.now = now
        self.today = renewal_day.today(now, settings.timezone)
        self.names = [one.name for one in settings.environments]
        known = {watch.name: (pk, watch) for pk, watch, _ in environment_states(tx)}
        self.ids = {name: known[name][0] for name in self.names if name in known}
        self.watches = {name: known[name][1] if name in known else Watch(name=name) for name in self.names}


def watched_numbers(watched: Watched) -> ColumnElement[bool]:
    """Numbers of the configured environments that alerts speak of."""
    with_sandbox = [watched.ids[name] for name in watched.settings.with_sandbox if name in watched.ids]
    return and_(
        numbers.c.environment_id.in_(watched.ids.values()),
        or_(~numbers.c.is_sandbox, numbers.c.environment_id.in_(with_sandbox) if with_sandbox else false()),
    )


def by_environment(watched: Watched, said: str, name: str, *conditions: ColumnElement[bool]) -> Metric:
    """A gauge of how many watched numbers are like that."""
    query = select(numbers.c.environment_id, func.count().label("count")).where(watched_numbers(watched), *conditions)
    found = {row.environment_id: row.count for row in rows_of(watched, query.group_by(numbers.c.environment_id))}
    rows = (((one,), float(found.get(watched.ids.get(one), 0))) for one in watched.names)
    return gauge(name, said, ("environment",), rows)


def by_state(watched: Watched, said: str, name: str, topic: str, *conditions: ColumnElement[bool]) -> Metric:
    """The same, apart by whether somebody acknowledged the incident."""
    acked = exists().where(
        incidents.c.environment_id == numbers.c.environment_id,
        incidents.c.number_id == numbers.c.id,
        incidents.c.topic == topic,
        incidents.c.acked_at.is_not(None),
        OPEN,
        OPEN,
    )
    columns = (numbers.c.environment_id, acked.label("is_acked"))
    query = (
        select(*columns, func.count().label("count")).where(watched_numbers(watched), *conditions).group_by(*columns)
    )
    found = {(row.environment_id, bool(row.is_acked)): row.count for row in rows_of(watched, query)}
    states = {"open": False, "acknowledged": True}
    return gauge(
        name,
        said,
        ("environment", "state"),
        (
            ((one, state), found.get((watched.ids.get(one), is_acked), 0))
            for one in watched.names
            for state, is_acked in states.items()
        ),
    )


def rows_of(watched: Watched, query: Select[Any]) -> Any:
    """The rows of a query."""
    return watched.tx.connection.execute(query)


def few(counts: Counter[str]) -> dict[str, int]:
    """The most frequent values; the rest as ``other``: a label must not grow with what a provider writes."""
    chosen = dict(counts.most_common(MOST))
    rest = sum(counts.values()) - sum(chosen.values())
    return chosen | ({"other": chosen.get("other", 0) + rest} if rest else {})


def currency_label(stated: str | None) -> str:
    """A currency as the value of a label."""
    return plain((stated or "").strip().upper(), 12)


def label_value(stated: str) -> str:
    """Text of the provider as the value of a label: one line without a backslash, as ``plain`` leaves it."""
    return plain(stated).replace('"', r"\"")


def midnights(zone: str) -> Callable[[int], int]:
    """The epoch second at which a day (an ordinal) begins, looked up once for each day."""
    there = ZoneInfo(zone)
    return cache(lambda day: int(datetime.combine(date.fromordinal(day), time(), there).timestamp()))
