"""The metrics of the numbers: how many, what is ahead, what the account has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from prometheus_client.metrics_core import Metric
from sqlalchemy import ColumnElement, exists, func, select

from renewal_watch.database.schema import incidents, numbers
from renewal_watch.diagnostics.metrics_base import (
    MOST,
    PREFIX,
    Row,
    Watched,
    by_environment,
    by_state,
    currency_label,
    few,
    gauge,
    label_value,
    midnights,
    rows_of,
    watched_numbers,
)
from renewal_watch.model.numbers import STATUSES
from renewal_watch.store.incidents.account import readings_of, release_requests, to_be_paid
from renewal_watch.store.selections import LAPSING, MISSING, OPEN, overdue
from renewal_watch.text import plain

AHEAD = (1, 3, 7, 14, 30)  # days in which renewals are counted and summed


def fleet_metrics(watched: Watched) -> Iterator[Metric]:
    """How many numbers there are, by what they need."""
    query = select(numbers.c.environment_id, numbers.c.status, func.count().label("count"))
    query = query.where(watched_numbers(watched), ~MISSING).group_by(numbers.c.environment_id, numbers.c.status)
    found: dict[str, Counter[str]] = {name: Counter(dict.fromkeys(sorted(STATUSES), 0)) for name in watched.names}
    names = {pk: name for name, pk in watched.ids.items()}
    for row in rows_of(watched, query):
        found[names[row.environment_id]][plain(row.status, 40) or "none stated"] += row.count
    yield gauge(
        "numbers",
        "Numbers in the list, by status.",
        ("environment", "status"),
        (((name, status), count) for name in watched.names for status, count in few(found[name]).items()),
    )
    yield by_state(
        watched,
        "Numbers whose renewal day passed without a renewal, as a good list showed; those meant to lapse are not.",
        "numbers_overdue",
        "renewal",
        overdue(watched.today),
    )
    yield by_state(
        watched,
        "Numbers that are gone from the list and nothing explains it: no approved release, not meant to lapse.",
        "numbers_missing",
        "presence",
        MISSING,
        exists().where(
            incidents.c.environment_id == numbers.c.environment_id,
            incidents.c.number_id == numbers.c.id,
            incidents.c.topic == "presence",
            OPEN,
        ),
    )
    yield by_environment(watched, "Numbers in the list that are meant to lapse.", "numbers_lapsing", ~MISSING, LAPSING)
    yield by_environment(
        watched,
        "Numbers in the list without a known renewal day: nothing can be said about when they renew.",
        "numbers_undated",
        ~MISSING,
        numbers.c.renews_on.is_(None),
    )


def renewals_ahead(watched: Watched) -> Iterator[Metric]:
    """Renewals of the coming days. What will be charged is what the balance is held against (``to_be_paid``)."""
    counted = {(name, auto, days): 0 for name in watched.names for auto in ("true", "false") for days in AHEAD}
    columns = (numbers.c.environment_id, numbers.c.renews_on, numbers.c.auto_renewal)
    query = select(*columns, func.count()).where(
        watched_numbers(watched),
        ~MISSING,
        ~LAPSING,
        numbers.c.renews_on.between(watched.today, watched.today + max(AHEAD)),
    )
    names = {pk: name for name, pk in watched.ids.items()}
    for pk, renews_on, auto_renewal, count in rows_of(watched, query.group_by(*columns)):
        for days in AHEAD:
            if renews_on - watched.today <= days:
                counted[names[pk], str(bool(auto_renewal)).lower(), days] += count
    yield gauge(
        "numbers_due",
        "Numbers that renew, or are lost without auto-renewal, within so many days; those meant to lapse are not "
        "counted.",
        ("environment", "auto_renewal", "within"),
        (((name, auto, f"{days}d"), count) for (name, auto, days), count in counted.items()),
    )
    amounts: dict[tuple[str, str, int], Decimal] = {}
    unpriced: Counter[tuple[str, int]] = Counter({(name, days): 0 for name in watched.names for days in AHEAD})
    for name, pk in watched.ids.items():
        groups = to_be_paid(watched.tx, name, release_requests(watched.tx, pk), watched.now)
        sizes: Counter[str] = Counter()
        for group in groups:
            sizes[currency_label(group.currency)] += group.numbers
        chosen = {currency for currency, _ in sizes.most_common(MOST)} - {""}
        amounts.update({(name, currency, days): Decimal(0) for currency in chosen for days in AHEAD})
        for group in groups:
            currency = currency_label(group.currency)
            for days in AHEAD:
                if group.on - watched.today > days:
                    continue
                if group.cost is None or currency not in chosen:
                    unpriced[name, days] += group.numbers
                else:
                    amounts[name, currency, days] += group.cost * group.numbers
    yield gauge(
        "cost_due",
        "What will be charged within so many days, in each currency by itself; what is overdue is charged today.",
        ("environment", "currency", "within"),
        (((name, currency, f"{days}d"), float(sum_)) for (name, currency, days), sum_ in amounts.items()),
    )
    yield gauge(
        "cost_due_unpriced_numbers",
        "Numbers that will be charged within so many days and whose price or currency is not known; no sum has them.",
        ("environment", "within"),
        (((name, f"{days}d"), count) for (name, days), count in unpriced.items()),
    )


def account_metrics(watched: Watched) -> Iterator[Metric]:
    """The balance, and the renewals that it must cover."""
    read: list[Row] = []
    balances: list[Row] = []
    for name, pk in watched.ids.items():
        kept = readings_of(watched.tx, pk)
        read += [((name, one.name), one.good_at.timestamp()) for one in kept.values() if one.good_at]
        balance = kept["balance"].content if "balance" in kept else None
        if balance is not None:
            balances.append(((name, currency_label(balance.currency)), float(balance.amount)))
    yield gauge(
        "account_last_success_timestamp_seconds",
        "When what stands beside the list (balance, top-up, release requests …) was last read well.",
        ("environment", "reading"),
        read,
    )
    yield gauge(
        "account_balance",
        "The prepaid credit, as last read.",
        ("environment", "currency"),
        balances,
    )


def number_lines(watched: Watched, name: str, said: str, *conditions: ColumnElement[bool]) -> Iterator[bytes]:
    """A sample for each number, as text: a hundred thousand of them need no objects."""
    names = {pk: one for one, pk in watched.ids.items()}
    is_called = watched.settings.metrics.labels == "number"
    full = PREFIX + name
    called = ',number="{}"' if is_called else ""
    form = full + '{{environment="{}",id="{}"' + called + "}} {}\n"
    begins = midnights(watched.settings.timezone)
    query = select(numbers.c.environment_id, numbers.c.provider_id, numbers.c.number, numbers.c.renews_on)
    query = query.where(*conditions).order_by(numbers.c.id).execution_options(yield_per=1000)
    yield f"# HELP {full} {said}\n# TYPE {full} gauge\n".encode()
    for part in watched.tx.connection.execute(query).partitions():
        lines = (
            (names[pk], label_value(provider_id), *((label_value(number),) * is_called), begins(renews_on))
            for pk, provider_id, number, renews_on in part
        )
        yield "".join(form.format(*line) for line in lines).encode()
