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

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from sqlalchemy import ColumnElement, Select, and_, case, exists, false, func, or_, select

from renewal_watch import __version__, errors
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import channels as channel_states
from renewal_watch.database.schema import deliveries, environments, matters, numbers, polls
from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import health
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.numbers import STATUSES
from renewal_watch.model.tracking import Watch
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.account import readings_of, release_requests, to_be_paid
from renewal_watch.store.leases import daemon_seen
from renewal_watch.store.selections import LAPSING, MISSING, overdue
from renewal_watch.text import plain

__all__ = ["CONTENT_TYPE", "exposition"]

PREFIX = "renewal_watch_"
AHEAD = (1, 3, 7, 14, 30)  # days in which renewals are counted and summed
MOST = 30  # values of a label that the provider chooses; what goes beyond is put together
OUTCOMES = (
    "ok",
    *(
        one.reason
        for one in (
            errors.TokenRejected,
            errors.RequestRefused,
            errors.RateLimited,
            errors.ServerTrouble,
            errors.NotTheApi,
            errors.Unforeseen,
        )
    ),
)

Row = tuple[Sequence[str], float]  # values of the labels, value


def exposition(tx: Transaction, settings: Settings, now: datetime) -> bytes:
    """Every metric in the text format of version 0.0.4; ``CONTENT_TYPE`` names it."""
    watched = _Watched(tx, settings, now)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(watched)
    return b"".join((generate_latest(registry), *watched.lines()))


def _gauge(name: str, said: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, said, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, said: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, said, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


class _Watched:
    """The collector of one request."""

    def __init__(self, tx: Transaction, settings: Settings, now: datetime) -> None:
        self.tx = tx
        self.settings = settings
        self.now = now
        self.today = renewal_day.today(now, settings.timezone)
        self.names = [one.name for one in settings.environments]
        known = {watch.name: (pk, watch) for pk, watch, _ in environment_states(tx)}
        self.ids = {name: known[name][0] for name in self.names if name in known}
        self.watches = {name: known[name][1] if name in known else Watch(name=name) for name in self.names}

    def collect(self) -> Iterator[Metric]:
        """Everything, what is about the watch itself first."""
        build = InfoMetricFamily(f"{PREFIX}build", "The release that reads the database, and the schema it needs.")
        build.add_metric((), {"version": __version__, "schema": HEAD})
        yield build
        yield from self._daemon()
        yield from self._lists()
        yield from self._polls()
        yield from self._outbox()
        yield from self._matters()
        yield from self._fleet()
        yield from self._ahead()
        yield from self._account()

    # --- the watch itself ---

    def _daemon(self) -> Iterator[Metric]:
        seen = daemon_seen(self.tx, self.now)
        checks = [*health.daemon(self.tx, self.settings, self.now)]
        yield _gauge(
            "daemon_up",
            "1 while a daemon is there and polls in time, or something else does; no sample where none ever was.",
            (),
            [((), float(one.ok)) for one in checks],
        )
        yield _gauge(
            "daemon_seen_timestamp_seconds",
            "When a daemon was last there; no sample where none ever was.",
            (),
            [] if seen is None else [((), seen.at.timestamp())],
        )

    def _lists(self) -> Iterator[Metric]:
        label = ("environment",)
        all_of_them = self.watches.values()
        yield _gauge(
            "last_success_timestamp_seconds",
            "When the list was last read whole; no sample before the first time.",
            label,
            (((w.name,), w.last_success_at.timestamp()) for w in all_of_them if w.last_success_at),
        )
        yield _gauge(
            "last_poll_timestamp_seconds",
            "When reading the list was last tried; no sample before the first time.",
            label,
            (((w.name,), w.last_poll_at.timestamp()) for w in all_of_them if w.last_poll_at),
        )
        yield _gauge(
            "stale_after_seconds",
            "The age from which the list is stale.",
            label,
            (
                ((one.name,), self.settings.policy(one).stale_after.total_seconds())
                for one in self.settings.environments
            ),
        )
        blind = {one.environment for one in health.lists(self.tx, self.settings, self.now) if one.is_blind}
        yield _gauge(
            "stale",
            "1 if the list is stale or was never read: nothing here about its numbers can be relied on.",
            label,
            (((name,), float(name in blind)) for name in self.names),
        )
        yield _gauge(
            "poll_failures",
            "Polls that failed in a row; 0 after a good one.",
            label,
            (((w.name,), w.failures) for w in all_of_them),
        )
        yield _gauge(
            "list_shrunk",
            "1 while so many numbers are gone at once that the list itself is in doubt.",
            label,
            (((w.name,), float(w.shrunk_at is not None)) for w in all_of_them),
        )
        yield _gauge(
            "invalid_entries",
            "Entries of the last list of which something cannot be read or believed, counted once for each kind of fault.",
            label,
            (((w.name,), sum(flaw.entries for flaw in w.flaws.values())) for w in all_of_them),
        )

    def _polls(self) -> Iterator[Metric]:
        newest = select(func.max(polls.c.id)).where(polls.c.environment_id.in_(self.ids.values()))
        times = select(polls.c.environment_id, polls.c.started_at, polls.c.finished_at)
        names = {pk: name for name, pk in self.ids.items()}
        yield _gauge(
            "poll_duration_seconds",
            "How long the last poll took, good or not.",
            ("environment",),
            (
                ((names[row.environment_id],), max(0.0, (row.finished_at - row.started_at).total_seconds()))
                for row in self._rows(times.where(polls.c.id.in_(newest.group_by(polls.c.environment_id))))
            ),
        )
        found = {(name, outcome): 0 for name in self.names for outcome in OUTCOMES}
        counted = select(polls.c.environment_id, polls.c.outcome, func.count().label("count"))
        counted = counted.where(polls.c.environment_id.in_(self.ids.values()), polls.c.outcome != "pruned")
        for row in self._rows(counted.group_by(polls.c.environment_id, polls.c.outcome)):
            found[names[row.environment_id], row.outcome] = row.count
        yield _counter(
            "polls",
            "Polls in the poll log, by outcome: ok, or why the list could not be read.",
            ("environment", "outcome"),
            found.items(),
        )

    def _outbox(self) -> Iterator[Metric]:
        configured = [one.name for one in self.settings.channels]
        label = ("channel",)
        found = {(name, state): 0 for name in configured for state in ("pending", "sent", "failed")}
        counted = select(deliveries.c.channel, deliveries.c.state, func.count().label("count"))
        for row in self._rows(counted.group_by(deliveries.c.channel, deliveries.c.state)):
            found[row.channel, row.state] = row.count
        yield _counter(
            "deliveries",
            "Messages in the database whose fate is known, by channel: sent, or failed for good after three days.",
            ("channel", "outcome"),
            ((key, count) for key, count in found.items() if key[1] != "pending"),
        )
        yield _gauge(
            "outbox_pending",
            "Messages that wait to be sent, those that wait for quiet hours, a digest or the next attempt included.",
            label,
            (((name,), count) for (name, state), count in found.items() if state == "pending"),
        )
        oldest = select(deliveries.c.channel, func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type))
        oldest = oldest.where(deliveries.c.state == "pending").group_by(deliveries.c.channel)
        yield _gauge(
            "outbox_oldest_pending_timestamp_seconds",
            "When the oldest message that waits was written; no sample while none waits.",
            label,
            (((name,), at.timestamp()) for name, at in self._rows(oldest)),
        )
        yield _gauge(
            "outbox_late",
            "Messages that could have been sent long ago: nothing sends.",
            (),
            [((), health.late(self.tx, self.settings, self.now))],
        )
        states = {row.name: row for row in self._rows(select(channel_states))}
        known = {name: states.get(name) for name in configured}
        yield _gauge(
            "channel_failing",
            "1 while the last attempt on a channel failed.",
            label,
            (((name,), float(row is not None and row.failing_since is not None)) for name, row in known.items()),
        )
        yield _gauge(
            "channel_failing_since_timestamp_seconds",
            "Since when a channel fails; no sample while it works.",
            label,
            (((name,), row.failing_since.timestamp()) for name, row in known.items() if row and row.failing_since),
        )
        yield _gauge(
            "channel_last_sent_timestamp_seconds",
            "When a message was last delivered on a channel; no sample before the first time.",
            label,
            (((name,), row.last_sent_at.timestamp()) for name, row in known.items() if row and row.last_sent_at),
        )

    def _matters(self) -> Iterator[Metric]:
        columns = (environments.c.name, matters.c.kind, matters.c.severity, _STATE)
        query = select(*columns, func.count()).outerjoin(environments, environments.c.id == matters.c.environment_id)
        query = query.where(or_(matters.c.environment_id == 0, environments.c.name.in_(self.names)))
        yield _gauge(
            "matters",
            "What was found and still holds, by the kind of its last alert; open, acknowledged, or hidden by a silence, "
            "a rule or a lapse.",
            ("environment", "kind", "severity", "state"),
            (
                ((name or "", kind, Severity(severity).name, state), count)
                for name, kind, severity, state, count in self._rows(query.group_by(*columns))
            ),
        )

    # --- the fleet ---

    def _watched(self) -> ColumnElement[bool]:
        """Numbers of the configured environments that alerts speak of."""
        with_sandbox = [self.ids[name] for name in self.settings.with_sandbox if name in self.ids]
        return and_(
            numbers.c.environment_id.in_(self.ids.values()),
            or_(~numbers.c.is_sandbox, numbers.c.environment_id.in_(with_sandbox) if with_sandbox else false()),
        )

    def _by_environment(self, said: str, name: str, *conditions: ColumnElement[bool]) -> Metric:
        """A gauge of how many watched numbers are like that."""
        query = select(numbers.c.environment_id, func.count().label("count")).where(self._watched(), *conditions)
        found = {row.environment_id: row.count for row in self._rows(query.group_by(numbers.c.environment_id))}
        rows = (((one,), float(found.get(self.ids.get(one), 0))) for one in self.names)
        return _gauge(name, said, ("environment",), rows)

    def _by_state(self, said: str, name: str, topic: str, *conditions: ColumnElement[bool]) -> Metric:
        """The same, apart by whether somebody acknowledged the matter."""
        acked = exists().where(
            matters.c.environment_id == numbers.c.environment_id,
            matters.c.number_id == numbers.c.id,
            matters.c.topic == topic,
            matters.c.acked_at.is_not(None),
        )
        columns = (numbers.c.environment_id, acked.label("is_acked"))
        query = select(*columns, func.count().label("count")).where(self._watched(), *conditions).group_by(*columns)
        found = {(row.environment_id, bool(row.is_acked)): row.count for row in self._rows(query)}
        states = {"open": False, "acknowledged": True}
        return _gauge(
            name,
            said,
            ("environment", "state"),
            (
                ((one, state), found.get((self.ids.get(one), is_acked), 0))
                for one in self.names
                for state, is_acked in states.items()
            ),
        )

    def _fleet(self) -> Iterator[Metric]:
        query = select(numbers.c.environment_id, numbers.c.status, func.count().label("count"))
        query = query.where(self._watched(), ~MISSING).group_by(numbers.c.environment_id, numbers.c.status)
        found: dict[str, Counter[str]] = {name: Counter(dict.fromkeys(sorted(STATUSES), 0)) for name in self.names}
        names = {pk: name for name, pk in self.ids.items()}
        for row in self._rows(query):
            found[names[row.environment_id]][plain(row.status, 40) or "none stated"] += row.count
        yield _gauge(
            "numbers",
            "Numbers in the list, by status.",
            ("environment", "status"),
            (((name, status), count) for name in self.names for status, count in _few(found[name]).items()),
        )
        yield self._by_state(
            "Numbers whose renewal day passed without a renewal, as a good list showed; those meant to lapse are not.",
            "numbers_overdue",
            "renewal",
            overdue(self.today),
        )
        yield self._by_state(
            "Numbers that are gone from the list and nothing explains it: no approved release, not meant to lapse.",
            "numbers_missing",
            "presence",
            MISSING,
            exists().where(
                matters.c.environment_id == numbers.c.environment_id,
                matters.c.number_id == numbers.c.id,
                matters.c.topic == "presence",
            ),
        )
        yield self._by_environment("Numbers in the list that are meant to lapse.", "numbers_lapsing", ~MISSING, LAPSING)
        yield self._by_environment(
            "Numbers in the list without a known renewal day: nothing can be said about when they renew.",
            "numbers_undated",
            ~MISSING,
            numbers.c.renews_on.is_(None),
        )

    def _ahead(self) -> Iterator[Metric]:
        """Renewals of the coming days. What will be charged is what the balance is held against (``to_be_paid``)."""
        counted = {(name, auto, days): 0 for name in self.names for auto in ("true", "false") for days in AHEAD}
        columns = (numbers.c.environment_id, numbers.c.renews_on, numbers.c.auto_renewal)
        query = select(*columns, func.count()).where(
            self._watched(),
            ~MISSING,
            ~LAPSING,
            numbers.c.renews_on.between(self.today, self.today + max(AHEAD)),
        )
        names = {pk: name for name, pk in self.ids.items()}
        for pk, renews_on, auto_renewal, count in self._rows(query.group_by(*columns)):
            for days in AHEAD:
                if renews_on - self.today <= days:
                    counted[names[pk], str(bool(auto_renewal)).lower(), days] += count
        yield _gauge(
            "numbers_due",
            "Numbers that renew, or are lost without auto-renewal, within so many days; those meant to lapse are not "
            "counted.",
            ("environment", "auto_renewal", "within"),
            (((name, auto, f"{days}d"), count) for (name, auto, days), count in counted.items()),
        )
        amounts: dict[tuple[str, str, int], Decimal] = {}
        unpriced: Counter[tuple[str, int]] = Counter({(name, days): 0 for name in self.names for days in AHEAD})
        for name, pk in self.ids.items():
            groups = to_be_paid(self.tx, name, release_requests(self.tx, pk), self.now)
            sizes: Counter[str] = Counter()
            for group in groups:
                sizes[_currency(group.currency)] += group.numbers
            chosen = {currency for currency, _ in sizes.most_common(MOST)} - {""}
            amounts.update({(name, currency, days): Decimal(0) for currency in chosen for days in AHEAD})
            for group in groups:
                currency = _currency(group.currency)
                for days in AHEAD:
                    if group.on - self.today > days:
                        continue
                    if group.cost is None or currency not in chosen:
                        unpriced[name, days] += group.numbers
                    else:
                        amounts[name, currency, days] += group.cost * group.numbers
        yield _gauge(
            "cost_due",
            "What will be charged within so many days, in each currency by itself; what is overdue is charged today.",
            ("environment", "currency", "within"),
            (((name, currency, f"{days}d"), float(sum_)) for (name, currency, days), sum_ in amounts.items()),
        )
        yield _gauge(
            "cost_due_unpriced_numbers",
            "Numbers that will be charged within so many days and whose price or currency is not known; no sum has them.",
            ("environment", "within"),
            (((name, f"{days}d"), count) for (name, days), count in unpriced.items()),
        )

    def _account(self) -> Iterator[Metric]:
        read: list[Row] = []
        balances: list[Row] = []
        for name, pk in self.ids.items():
            kept = readings_of(self.tx, pk)
            read += [((name, one.name), one.good_at.timestamp()) for one in kept.values() if one.good_at]
            balance = kept["balance"].content if "balance" in kept else None
            if balance is not None:
                balances.append(((name, _currency(balance.currency)), float(balance.amount)))
        yield _gauge(
            "account_last_success_timestamp_seconds",
            "When what stands beside the list (balance, top-up, release requests …) was last read well.",
            ("environment", "reading"),
            read,
        )
        yield _gauge(
            "account_balance",
            "The prepaid credit, as last read.",
            ("environment", "currency"),
            balances,
        )

    # --- single numbers ---

    def lines(self) -> Iterator[bytes]:
        """The samples of single numbers, as text, a thousand at a time."""
        if self.settings.metrics.labels == "none":
            return
        dated = self._watched(), ~MISSING, numbers.c.renews_on.is_not(None)
        yield from self._lines(
            "number_renewal_timestamp_seconds",
            "When the renewal day of a number begins, in the configured time zone; no sample while it is not known.",
            *dated,
        )
        yield from self._lines(
            "number_loss_timestamp_seconds",
            "The same, for numbers that will not renew by themselves and are not meant to lapse.",
            *dated,
            ~numbers.c.auto_renewal,
            ~LAPSING,
        )

    def _lines(self, name: str, said: str, *conditions: ColumnElement[bool]) -> Iterator[bytes]:
        names = {pk: one for one, pk in self.ids.items()}
        is_called = self.settings.metrics.labels == "number"
        full = PREFIX + name
        called = ',number="{}"' if is_called else ""
        form = full + '{{environment="{}",id="{}"' + called + "}} {}\n"
        begins = _midnights(self.settings.timezone)
        query = select(numbers.c.environment_id, numbers.c.provider_id, numbers.c.number, numbers.c.renews_on)
        query = query.where(*conditions).order_by(numbers.c.id).execution_options(yield_per=1000)
        yield f"# HELP {full} {said}\n# TYPE {full} gauge\n".encode()
        for part in self.tx.connection.execute(query).partitions():
            lines = (
                (names[pk], _value(provider_id), *((_value(number),) * is_called), begins(renews_on))
                for pk, provider_id, number, renews_on in part
            )
            yield "".join(form.format(*line) for line in lines).encode()

    def _rows(self, query: Select[Any]) -> Any:
        return self.tx.connection.execute(query)


_HIDDEN = or_(matters.c.hider == "lapse", matters.c.hider.like("silence:%"), matters.c.hider.like("rule:%"))
_STATE = case((matters.c.acked_at.is_not(None), "acknowledged"), (_HIDDEN, "hidden"), else_="open")


def _few(counts: Counter[str]) -> dict[str, int]:
    """The most frequent values; the rest as ``other``: a label must not grow with what a provider writes."""
    chosen = dict(counts.most_common(MOST))
    rest = sum(counts.values()) - sum(chosen.values())
    return chosen | ({"other": chosen.get("other", 0) + rest} if rest else {})


def _currency(stated: str | None) -> str:
    return plain((stated or "").strip().upper(), 12)


def _value(stated: str) -> str:
    """Text of the provider as the value of a label: one line without a backslash, as ``plain`` leaves it."""
    return plain(stated).replace('"', r"\"")


def _midnights(zone: str) -> Callable[[int], int]:
    """The epoch second at which a day (an ordinal) begins, looked up once for each day."""
    there = ZoneInfo(zone)
    return cache(lambda day: int(datetime.combine(date.fromordinal(day), time(), there).timestamp()))
