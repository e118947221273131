"""What Prometheus reads, in its text format, all of it from the database at the moment of asking.

A renewal is the instant at which its day begins, never a count of days: a count is wrong from the next midnight on, and
in a file that nobody writes any more it is wrong for ever, while an instant minus ``time()`` stays right. What is not
known has no sample. A number that will not renew by itself has a second one, when it is lost; the sample is gone as
soon as auto-renewal is on, so that no alert needs a join.

Counters count lines of the database. Pruning takes lines away, which Prometheus takes for a restart of the counter.

Names: prometheus.io/docs/practices/naming. The lines of single numbers are written here, a thousand at a time: the
library takes ten times as long for each, which is seconds for 100,000 of them, and keeps them all as objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import InfoMetricFamily, Metric

from renewal_watch import __version__
from renewal_watch.database.revision import HEAD
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics.metrics_base import PREFIX, Watched
from renewal_watch.diagnostics.metrics_fleet import account_metrics, fleet_metrics, number_lines, renewals_ahead
from renewal_watch.diagnostics.metrics_service import (
    daemon_metrics,
    incident_metrics,
    list_metrics,
    outbox_metrics,
    poll_metrics,
)
from renewal_watch.settings.whole import Settings

__all__ = ["CONTENT_TYPE", "exposition"]


def exposition(tx: Transaction, settings: Settings, now: datetime) -> bytes:
    """Every metric in the text format of version 0.0.4; ``CONTENT_TYPE`` names it."""
    collector = Collector(Watched(tx, settings, now))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return b"".join((generate_latest(registry), *collector.lines()))


class Collector:
    """The collector of one request."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        """Everything, what is about the service itself first."""
        build = InfoMetricFamily(f"{PREFIX}build", "The release that reads the database, and the schema it needs.")
        build.add_metric((), {"version": __version__, "schema": HEAD})
        yield build
        yield from daemon_metrics(self._watched)
        yield from list_metrics(self._watched)
        yield from poll_metrics(self._watched)
        yield from outbox_metrics(self._watched)
        yield from incident_metrics(self._watched)
        yield from fleet_metrics(self._watched)
        yield from renewals_ahead(self._watched)
        yield from account_metrics(self._watched)

    def lines(self) -> Iterator[bytes]:
        """The samples of single numbers, as text, a thousand at a time."""
        if self._watched.settings.metrics.labels == "none":
            return
        yield from number_lines(
            self._watched,
            "number_renewal_timestamp_seconds",
            "When the renewal day of a number begins, in the configured time zone; no sample while it is not known.",
        )
        yield from number_lines(
            self._watched,
            "number_loss_timestamp_seconds",
            "The same, for numbers that will not renew by themselves and are not meant to expire.",
            only_lost=True,
        )
