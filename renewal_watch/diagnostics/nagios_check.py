"""``check``: looks at the database and says what the monitoring is to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import turn
from renewal_watch.diagnostics import health
from renewal_watch.diagnostics.nagios import Concern, Outcome, State, judge, of_lists, outcome, set_aside
from renewal_watch.diagnostics.nagios_thresholds import Threshold, as_performance
from renewal_watch.model import renewal_day
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.situation import situation_of
from renewal_watch.store.watched import Number, Size, candidates_of, sizes_of, watched_of
from renewal_watch.text import plain


def examine(
    tx: Transaction,
    settings: Settings,
    way: Routing,
    now: datetime,
    *,
    soon: Threshold,
    urgent: Threshold,
    environment: str | None = None,
) -> Outcome:
    """The outcome for all environments, or for one. Raises UsageError for one that is not configured.

    Nothing is judged of an environment whose list is stale.
    """
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    names = [one.name for one in chosen]
    findings = [one for one in health.examine(tx, settings, now).checks if one.environment in ("", *names)]
    if any(one.is_blind and not one.environment for one in findings):
        return outcome([], findings, "", "")
    watches = {watch.name: watch for _, watch, _ in environment_states(tx) if watch.name in names}
    blind = {one.environment for one in findings if one.is_blind}
    fresh = [name for name in names if name not in blind]
    situation = situation_of(tx, now)
    on_day = renewal_day.today(now, settings.timezone)

    def called(one: Number) -> str:
        name = {"number": plain(one.number) or plain(one.provider_id), "id": plain(one.provider_id), "none": ""}
        place = f" ({one.environment})" if len(settings.environments) > 1 else ""
        return f"{shown}{place}" if (shown := name[settings.metrics.labels]) else ""

    watched = watched_of(settings, fresh)
    those = [*candidates_of(tx, watched)]
    sizes = sizes_of(tx, watched) if fresh else []
    severities = {key: one.severity for key, one in situation.incidents.items()}
    found = [
        *of_lists(watches[name] for name in fresh),
        *_dayless(sizes),
        *judge(those, severities, on_day, soon, urgent, called),
    ]
    concerns = set_aside(found, tx, way, situation)
    known = {(one.environment, one.provider_id) for one in concerns if one.aside and one.topic == "renewal"}
    next_lost = min(
        (
            (one.renews_on - on_day, called(one))
            for one in those
            if one.renews_on is not None and not (one.auto_renewal or one.is_missing or one.is_lapsing)
            if (one.environment, one.provider_id) not in known
        ),
        default=None,
    )
    total = sum(one.total for one in sizes) if fresh else None
    ages = [(now - at).total_seconds() for one in watches.values() if (at := one.last_success_at)]
    age = int(max([0.0, *ages])) if len(ages) == len(names) else None
    return outcome(
        concerns,
        findings,
        _performance(concerns, next_lost, total, age, soon, urgent),
        as_performance(total or 0, sum(one.renewing for one in sizes), next_lost, age),
    )


def _dayless(sizes: Iterable[Size]) -> Iterator[Concern]:
    """The environments of which no number ever had a renewal day: nobody knows what will be lost."""
    alert = turn.FLAW_KINDS[turn.DAYS]
    for name, _, dated, _ in sizes:
        if not dated:
            yield Concern(State.WARNING, "", name, "", alert, turn.DAYS, f"{name}:", "no number has a renewal day")


def _performance(
    concerns: Sequence[Concern],
    next_lost: tuple[int, str] | None,
    total: int | None,
    age: int | None,
    soon: Threshold,
    urgent: Threshold,
) -> str:
    """Always the same order; what is not known is left out, for Icinga 2 refuses the ``U`` of Nagios (perfdatavalue.cpp).

    ``total`` is None where no list is fresh.
    """
    at_large = [one for one in concerns if not one.aside]
    of_status = [one for one in at_large if one.topic == "status"]
    counts: dict[str, tuple[int, str]] = {
        "overdue": (sum(one.topic == "renewal" and one.group == "overdue" for one in at_large), ";0;0"),
        "suspended": (sum(one.state == State.CRITICAL for one in of_status), ";0;0"),
        "other_status": (sum(one.state == State.WARNING for one in of_status), "0;;0"),
        "missing": (sum(one.topic == "presence" for one in at_large), ";0;0"),
        "set_aside": (len(concerns) - len(at_large), ";;0"),
        "numbers": (total or 0, ";;0"),
    }
    parts = [] if next_lost is None else [f"'days'={next_lost[0]};{soon.edge};{urgent.edge}"]
    if total is not None:
        parts += [f"'{name}'={count};{limits}" for name, (count, limits) in counts.items()]
    if age is not None:
        parts.append(f"'age'={age}s;;;0")
    return " ".join(parts)
