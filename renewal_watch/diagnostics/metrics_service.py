"""The metrics of the service itself: daemons, lists, polls, the outbox, what was found."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from renewal_watch import errors
from renewal_watch.diagnostics import health
from renewal_watch.diagnostics.metrics_base import Watched, counter, gauge
from renewal_watch.store.environments import poll_outcomes, poll_times
from renewal_watch.store.incidents.incidents import incident_counts
from renewal_watch.store.leases import daemon_seen
from renewal_watch.store.outbox.waiting import channel_times, delivery_counts, oldest_waiting

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


def daemon_metrics(watched: Watched) -> Iterator[Metric]:
    """Whether a daemon is there."""
    seen = daemon_seen(watched.tx, watched.now)
    checks = [*health.daemon(watched.tx, watched.settings, watched.now)]
    yield gauge(
        "daemon_up",
        "1 while a daemon is there and polls in time, or something else does; no sample where none ever was.",
        (),
        [((), float(one.ok)) for one in checks],
    )
    yield gauge(
        "daemon_seen_timestamp_seconds",
        "When a daemon was last there; no sample where none ever was.",
        (),
        [] if seen is None else [((), seen.at.timestamp())],
    )


def list_metrics(watched: Watched) -> Iterator[Metric]:
    """How fresh and how whole the lists are."""
    label = ("environment",)
    all_of_them = watched.watches.values()
    yield gauge(
        "last_success_timestamp_seconds",
        "When the list was last read whole; no sample before the first time.",
        label,
        (((w.name,), w.last_success_at.timestamp()) for w in all_of_them if w.last_success_at),
    )
    yield gauge(
        "last_poll_timestamp_seconds",
        "When reading the list was last tried; no sample before the first time.",
        label,
        (((w.name,), w.last_poll_at.timestamp()) for w in all_of_them if w.last_poll_at),
    )
    yield gauge(
        "stale_after_seconds",
        "The age from which the list is stale.",
        label,
        (
            ((one.name,), watched.settings.policy(one).stale_after.total_seconds())
            for one in watched.settings.environments
        ),
    )
    blind = {one.environment for one in health.lists(watched.tx, watched.settings, watched.now) if one.is_blind}
    yield gauge(
        "stale",
        "1 if the list is stale or was never read: nothing here about its numbers can be relied on.",
        label,
        (((name,), float(name in blind)) for name in watched.names),
    )
    yield gauge(
        "poll_failures",
        "Polls that failed in a row; 0 after a good one.",
        label,
        (((w.name,), w.failures) for w in all_of_them),
    )
    yield gauge(
        "list_shrunk",
        "1 while so many numbers are gone at once that the list itself is in doubt.",
        label,
        (((w.name,), float(w.shrunk_at is not None)) for w in all_of_them),
    )
    yield gauge(
        "invalid_entries",
        "Entries of the last list of which something cannot be read or believed, counted once for each kind of fault.",
        label,
        (((w.name,), sum(flaw.entries for flaw in w.flaws.values())) for w in all_of_them),
    )


def poll_metrics(watched: Watched) -> Iterator[Metric]:
    """How polls went."""
    names = {pk: name for name, pk in watched.ids.items()}
    yield gauge(
        "poll_duration_seconds",
        "How long the last poll took, good or not.",
        ("environment",),
        (
            ((names[pk],), max(0.0, (ended - began).total_seconds()))
            for pk, began, ended in poll_times(watched.tx, watched.ids.values())
        ),
    )
    found = {(name, outcome): 0 for name in watched.names for outcome in OUTCOMES}
    for pk, outcome, count in poll_outcomes(watched.tx, watched.ids.values()):
        found[names[pk], outcome] = count
    yield counter(
        "polls",
        "Polls in the poll log, by outcome: ok, or why the list could not be read.",
        ("environment", "outcome"),
        found.items(),
    )


def outbox_metrics(watched: Watched) -> Iterator[Metric]:
    """What waits, and the channels that fail."""
    configured = [one.name for one in watched.settings.channels]
    label = ("channel",)
    found = {(name, state): 0 for name in configured for state in ("pending", "sent", "failed")}
    for channel, state, count in delivery_counts(watched.tx):
        found[channel, state] = count
    yield counter(
        "deliveries",
        "Messages in the database whose fate is known, by channel: sent, or failed for good after three days.",
        ("channel", "outcome"),
        ((key, count) for key, count in found.items() if key[1] != "pending"),
    )
    yield gauge(
        "outbox_pending",
        "Messages that wait to be sent, those that wait for quiet hours, a digest or the next attempt included.",
        label,
        (((name,), count) for (name, state), count in found.items() if state == "pending"),
    )
    yield gauge(
        "outbox_oldest_pending_timestamp_seconds",
        "When the oldest message that waits was written; no sample while none waits.",
        label,
        (((name,), at.timestamp()) for name, at in oldest_waiting(watched.tx).items()),
    )
    yield gauge(
        "outbox_late",
        "Messages that could have been sent long ago: nothing sends.",
        (),
        [((), health.late(watched.tx, watched.settings, watched.now))],
    )
    states = channel_times(watched.tx)
    times = {name: states.get(name, (None, None)) for name in configured}
    yield gauge(
        "channel_failing",
        "1 while the last attempt on a channel failed.",
        label,
        (((name,), float(since is not None)) for name, (since, _) in times.items()),
    )
    yield gauge(
        "channel_failing_since_timestamp_seconds",
        "Since when a channel fails; no sample while it works.",
        label,
        (((name,), since.timestamp()) for name, (since, _) in times.items() if since),
    )
    yield gauge(
        "channel_last_sent_timestamp_seconds",
        "When a message was last delivered on a channel; no sample before the first time.",
        label,
        (((name,), sent_at.timestamp()) for name, (_, sent_at) in times.items() if sent_at),
    )


def incident_metrics(watched: Watched) -> Iterator[Metric]:
    """What was found and holds."""
    counts = [
        ((name, kind, severity.name, state), float(count))
        for name, kind, severity, state, count in incident_counts(watched.tx, watched.names)
    ]
    labels = ("environment", "kind", "severity", "state")
    yield gauge(
        "incidents",
        "What was found and still holds, by the kind of its last alert; open, acknowledged, or hidden by a silence, "
        "a rule or a lapse.",
        labels,
        counts,
    )
    yield gauge("matters", "The old name of renewal_watch_incidents.", labels, counts)
