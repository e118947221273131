"""The metrics of the numbers: how many, what is ahead, what the account has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from prometheus_client.metrics_core import Metric

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
)
from renewal_watch.model.numbers import STATUSES
from renewal_watch.store import fleet_sums
from renewal_watch.store.incidents.account import readings_of, release_requests, to_be_paid
from renewal_watch.text import plain

AHEAD = (1, 3, 7, 14, 30)  # days in which renewals are counted and summed


def fleet_metrics(watched: Watched) -> Iterator[Metric]:
    """How many numbers there are, by what they need."""
    found: dict[str, Counter[str]] = {name: Counter(dict.fromkeys(sorted(STATUSES), 0)) for name in watched.names}
    names = {pk: name for name, pk in watched.ids.items()}
    for pk, status, count in fleet_sums.by_status(watched.tx, watched.numbers):
        found[names[pk]][plain(status, 40) or "none stated"] += count
    yield gauge(
        "numbers",
        "Numbers in the list, by status.",
        ("environment", "status"),
        (((name, status), count) for name in watched.names for status, count in few(found[name]).items()),
    )
    within, today = watched.numbers, watched.today
    yield by_state(
        watched,
        "numbers_overdue",
        "Numbers whose renewal day passed without a renewal, as a good list showed; those meant to expire are not.",
        fleet_sums.by_acknowledgement(watched.tx, within, "overdue", today),
    )
    yield by_state(
        watched,
        "numbers_missing",
        "Numbers that are gone from the list and nothing explains it: no approved release, not meant to expire.",
        fleet_sums.by_acknowledgement(watched.tx, within, "missing", today),
    )
    yield by_environment(
        watched,
        "numbers_lapsing",
        "Numbers in the list that are meant to expire.",
        fleet_sums.how_many(watched.tx, within, "lapsing"),
    )
    yield by_environment(
        watched,
        "numbers_undated",
        "Numbers in the list without a known renewal day: nothing can be said about when they renew.",
        fleet_sums.how_many(watched.tx, within, "undated"),
    )


def renewals_ahead(watched: Watched) -> Iterator[Metric]:
    """Renewals of the coming days. What will be charged is what the balance is held against (``to_be_paid``)."""
    counted = {(name, auto, days): 0 for name in watched.names for auto in ("true", "false") for days in AHEAD}
    names = {pk: name for name, pk in watched.ids.items()}
    last = watched.today + max(AHEAD)
    for pk, renews_on, auto_renewal, count in fleet_sums.renewing(watched.tx, watched.numbers, watched.today, last):
        for days in AHEAD:
            if renews_on - watched.today <= days:
                counted[names[pk], str(auto_renewal).lower(), days] += count
    yield gauge(
        "numbers_due",
        "Numbers that renew, or are lost without auto-renewal, within so many days; those meant to expire are not "
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


def number_lines(watched: Watched, name: str, said: str, *, only_lost: bool = False) -> Iterator[bytes]:
    """A sample for each number, as text: a hundred thousand of them need no objects."""
    names = {pk: one for one, pk in watched.ids.items()}
    is_called = watched.settings.metrics.labels == "number"
    full = PREFIX + name
    called = ',number="{}"' if is_called else ""
    form = full + '{{environment="{}",id="{}"' + called + "}} {}\n"
    begins = midnights(watched.settings.timezone)
    yield f"# HELP {full} {said}\n# TYPE {full} gauge\n".encode()
    for part in fleet_sums.renewal_days(watched.tx, watched.numbers, only_lost=only_lost):
        lines = (
            (names[pk], label_value(provider_id), *((label_value(number),) * is_called), begins(renews_on))
            for pk, provider_id, number, renews_on in part
        )
        yield "".join(form.format(*line) for line in lines).encode()
