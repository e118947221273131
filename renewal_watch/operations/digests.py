"""The digests of the channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime

from renewal_watch.account import judge
from renewal_watch.alerts.facts import service_facts
from renewal_watch.alerts.phrases import in_zone
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import turn
from renewal_watch.language import in_language
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Incident, Key, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.notify import suppression
from renewal_watch.notify.message.fold import fold
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import digest, rows
from renewal_watch.schedule import calendar as schedule_times
from renewal_watch.settings.channel import Channel
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states, id_of_environment
from renewal_watch.store.incidents.idle import Idle, idle_numbers, together
from renewal_watch.store.incidents.situation import situation_of
from renewal_watch.store.incidents.timers import fired_at, set_fired
from renewal_watch.store.outbox.digests import put_digest, waiting_alerts, waits_for
from renewal_watch.store.outbox.waiting import failing_channels, outbox_counts
from renewal_watch.timed.reminders import current_incidents


def due_digests(store: Store, way: Routing, clock: Callable[[], datetime]) -> list[Channel]:
    """The channels whose digest's time came. The first one comes at its time; those missed while nothing ran are one.

    The clock is read when nobody else can send one any more: a process that was paused for hours has no old time in hand.
    """
    those = [channel for channel in way.channels if channel.digest is not None]
    if not those:
        return []
    with store.transaction() as tx:
        now = clock()
        for channel in those:
            fired = fired_at(tx, _calendar(channel))
            if fired is None or schedule_times.was_put_back(fired[0], now):
                set_fired(tx, _calendar(channel), now)
        return [channel for channel in those if _since(tx, channel, way, now) is not None]


def send_digests(
    store: Store,
    way: Routing,
    policies: Mapping[str, Policy],
    clock: Callable[[], datetime],
    still: Callable[[Channel], bool] = lambda _: True,
) -> int:
    """Put the digests whose time came, each once; how many. Looks at every number, and keeps nobody waiting for that.

    ``still`` says whether a channel is as it was: a configuration may be read anew meanwhile.
    """
    due = due_digests(store, way, clock)
    if not due:
        return 0
    with closing(store.sibling()) as beside:
        return sum(_send_digest(store, beside, way, channel, policies, clock, still) for channel in due)


def _send_digest(
    store: Store,
    beside: Store,
    way: Routing,
    channel: Channel,
    policies: Mapping[str, Policy],
    clock: Callable[[], datetime],
    still: Callable[[Channel], bool],
) -> int:
    calendar = _calendar(channel)
    with store.reading() as tx:
        fired = fired_at(tx, calendar)
        is_wanted = channel.digest_when_empty or waits_for(tx, channel.name) > 0
    with in_zone(way.zone), in_language(channel.language):
        state = _state(beside, channel, way, policies, clock()) if is_wanted else None
    with store.transaction() as tx, in_zone(way.zone), in_language(channel.language):
        now = clock()
        times = _since(tx, channel, way, now)
        if times is None or fired_at(tx, calendar) != fired or not still(channel):  # another process was quicker
            return 0
        since, at = times
        set_fired(tx, calendar, now)
        if state is None or not (channel.digest_when_empty or waits_for(tx, channel.name)):
            return 0
        changes = fold(waiting_alerts(tx, channel.name), in_digest=True).news
        key = f"{channel.name}/{at.isoformat()} at {now.isoformat()}"
        report = Written(*digest.compose(state, changes, since))
        alert = service_facts.of_the_watch("digest.sent", Severity.info, key, report, channels=(channel.name,))
        put_digest(tx, channel.name, alert, way, now)
    return 1


def _calendar(channel: Channel) -> str:
    return f"digest {channel.name}"


def _since(tx: Transaction, channel: Channel, way: Routing, now: datetime) -> tuple[datetime, datetime] | None:
    """When the last digest was and when this one is due; None where it is not."""
    fired = fired_at(tx, _calendar(channel))
    if fired is None or channel.digest is None:
        return None
    at = schedule_times.last_fire(fired[0], now, channel.digest, channel.timezone or way.zone)
    return None if at is None else (fired[0], at)


def _is_for(channel: Channel, environment: str, number: PhoneNumber, way: Routing) -> bool:
    """Whether the rules send alerts about a number to the channel."""
    said = way.said(way.seen(environment, number)) if way.rules else selectors.NOTHING
    return channel.name in suppression.channels_of(said, environment, way)


def _open_beside(
    tx: Transaction,
    channel: Channel,
    way: Routing,
    those: Sequence[tuple[Key, Incident]],
    environment: str,
    policy: Policy,
    now: datetime,
) -> list[str]:
    """The headlines of today of what the account says, which are ``those``, as far as the channel is told of them."""
    lines = []
    for key, incident, current in current_incidents(tx, way, environment, policy, those, now):
        if current is None:
            continue
        said = way.said(way.seen(environment, current.number))
        if channel.name in suppression.taking(incident.kind, incident.severity, environment, said, way):
            headline = current.facts.words()[0]
            lines.append(f"{headline} ({environment})" if judge.is_release(key.topic) else headline)
    return lines


def _beside(incidents: Mapping[Key, Incident]) -> dict[str, list[tuple[Key, Incident]]]:
    """What the account says and nobody hid or acknowledged, by environment, the most urgent first."""
    found: dict[str, list[tuple[Key, Incident]]] = {}
    for key, incident in sorted(incidents.items(), key=lambda one: (-one[1].severity, one[1].opened_at, one[0])):
        is_open = incident.suppressor is None and incident.ack is None
        is_missing = key._replace(topic="presence") in incidents  # it is told as missing
        if is_open and judge.reading_of(key.topic) and not is_missing:
            found.setdefault(key.environment, []).append((key, incident))
    return found


def _state(store: Store, channel: Channel, way: Routing, policies: Mapping[str, Policy], now: datetime) -> digest.State:
    """What the digest of ``channel`` is made of. Each environment is read by itself: a poll that ends waits for no other."""
    with store.reading() as tx:
        watches = [
            (watch, policies[watch.name])
            for _, watch, _ in environment_states(tx)
            if watch.name in policies and (channel.environments is None or watch.name in channel.environments)
        ]
        known = situation_of(tx, now, ["", *(watch.name for watch, _ in watches)])
        outbox, faults = outbox_counts(tx), failing_channels(tx)
    by_environment = _beside(known.incidents)
    unused: list[Idle | None] = []
    beside: list[str] = []
    summary = digest.Summary(now)
    for watch, policy in watches:
        with store.reading() as tx:
            if those := by_environment.get(watch.name):
                beside += _open_beside(tx, channel, way, those, watch.name, policy, now)
            for one in fleet.every(tx, [watch.name]):
                if turn.is_watched(one.known, policy) and _is_for(channel, watch.name, one.number, way):
                    summary.add(rows.row(watch.name, one.known, one.number, policy, now))
            unused.append(idle_numbers(tx, id_of_environment(tx, watch.name), now, sandbox=policy.include_sandbox))
    idle = together(unused)
    return digest.State(
        summary=summary,
        watches=watches,
        open_beside=beside,
        incidents=known.incidents,
        silences=known.silences,
        lapses=known.lapses,
        outbox=outbox,
        faults=faults,
        idle=idle.numbers if idle else 0,
        idle_sums=idle.sums if idle else {},
    )
