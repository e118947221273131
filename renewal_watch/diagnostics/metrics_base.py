"""What every metric stands on: the numbers that are watched, gauges and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from zoneinfo import ZoneInfo

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from renewal_watch.database.transaction import Transaction
from renewal_watch.model import renewal_day
from renewal_watch.model.tracking import Watch
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.fleet_sums import Within
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
        self.numbers = Within(self.ids.values(), [self.ids[name] for name in settings.with_sandbox if name in self.ids])
        self.watches = {name: known[name][1] if name in known else Watch(name=name) for name in self.names}


def by_environment(watched: Watched, name: str, said: str, counts: Mapping[int, int]) -> Metric:
    """A gauge of how many numbers of each environment are like that."""
    rows = (((one,), float(counts.get(watched.ids.get(one, 0), 0))) for one in watched.names)
    return gauge(name, said, ("environment",), rows)


def by_state(watched: Watched, name: str, said: str, counts: Mapping[tuple[int, bool], int]) -> Metric:
    """The same, apart by whether somebody acknowledged the incident."""
    rows = (
        ((one, state), float(counts.get((watched.ids.get(one, 0), is_known), 0)))
        for one in watched.names
        for state, is_known in (("open", False), ("acknowledged", True))
    )
    return gauge(name, said, ("environment", "state"), rows)


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
