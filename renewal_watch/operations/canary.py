"""A simulated number that goes the whole way on a schedule: a poll over HTTP, the rules, the outbox, a real channel.

It proves that an alert would arrive. That it did not arrive in time, or was not even found, is an alert on every channel.
Its message comes when the schedule says: no quiet hours, digest or cap hold it back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from renewal_watch.alerts.facts import service_facts
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import RenewalWatchError
from renewal_watch.model.alerts import Alert, Key, Severity
from renewal_watch.model.facts import Facts
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Verdict
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.provider.opening import open_provider
from renewal_watch.provider.simulator import TOKEN, Provider, Rented, Server
from renewal_watch.schedule import calendar
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Canary
from renewal_watch.settings.values import duration
from renewal_watch.store.environments import CANARY
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.timers import fired_at, set_fired
from renewal_watch.store.leases import are_several_daemons
from renewal_watch.store.numbers import forget_cycles
from renewal_watch.store.outbox.alerts import record_alerts, sent_at_of

NUMBER = "+15555550100"  # of a range that is kept for fiction
_CALENDAR = "canary"


class _Meanwhile(Exception):
    """Another process sent one at the same time; that one is looked for."""


def is_due(store: Store, settings: Canary, zone: str, clock: Callable[[], datetime]) -> bool:
    """Whether its time came. The first one comes at its time; those missed while nothing ran are one.

    The clock is read when nobody else can note one any more, so that none comes twice after a pause.
    """
    if not settings.channel:
        return False
    with store.transaction() as tx:
        now = clock()
        kept = fired_at(tx, _CALENDAR)
        if kept is None or calendar.was_put_back(kept[0], now):
            set_fired(tx, _CALENDAR, now, kept[1] if kept else None)
            return False
    return calendar.last_fire(kept[0], now, settings.schedule, zone) is not None


def send(store: Store, way: Routing, clock: Callable[[], datetime], pause: Callable[[float], None]) -> str | None:
    """Let it go from a poll into the outbox; why it did not get there, None if it did. That it failed is told."""
    now = clock()
    channel = way.named(way.canary.channel)
    if channel is None:
        return f"there is no channel called {way.canary.channel}"
    try:
        fault = _poll(store, channel, clock, pause)
    except _Meanwhile:
        return None
    except (RenewalWatchError, OSError) as error:
        fault = str(error)
    with store.transaction() as tx:
        set_fired(tx, _CALENDAR, now, json.dumps({"waits": fault is None, "channel": channel.name}))
        if fault is not None:
            _tell_failed(tx, way, now, service_facts.CanaryFailed(channel.name, now, fault))
    return fault


def _poll(store: Store, channel: Channel, clock: Callable[[], datetime], pause: Callable[[float], None]) -> str | None:
    """Poll the simulated provider over HTTP as any other; the one alert of it goes to ``channel``, whatever that takes."""
    now = clock()
    renews_on = now.date() + timedelta(days=1)
    number = Rented(
        id="canary",
        number=NUMBER,
        country="US",
        renews_on=renews_on,
        auto_renewal=False,
        price="1.00",
        created_on=now.date(),
        anchor=renews_on.day,
    )
    found: list[Alert] = []

    def mark(verdict: Verdict) -> Verdict:
        facts = service_facts.Canary(NUMBER, channel.name, now)
        found.extend(
            replace(
                alert,
                key=f"{CANARY}/canary.sent/{alert.number_id}/{now.isoformat()}",
                kind="canary.sent",
                severity=Severity.info,
                facts=facts,
                topic="",
                channels=(channel.name,),
            )
            for alert in verdict.alerts
            if alert.kind == "renewal.upcoming"
        )
        return replace(verdict, alerts=found)

    with store.transaction() as tx:
        forget_cycles(tx, CANARY)
    with Server(Provider(now=clock, fleet=[number])) as server:
        server.start()
        try:
            environment = Environment(name=CANARY, base_url=server.base_url, token=TOKEN)
            source = open_provider(environment, pause)
            polled = poll.run_once(store, environment, source, Policy(), Routing(channels=(channel,)), clock, mark=mark)
        finally:
            server.shutdown()
    if polled.skipped:
        raise _Meanwhile
    if polled.error:
        return polled.error
    return None if found else "the poll did not find that the simulated number renews"


def follow(store: Store, way: Routing, now: datetime) -> None:
    """Look whether the last one arrived; tell if it did not in time, and when it does, late or the next one."""
    with store.transaction() as tx:
        kept = fired_at(tx, _CALENDAR)
        state = json.loads(kept[1]) if kept and kept[1] else {}
        if kept is None or not state.get("waits"):
            return
        channel = state["channel"]
        if channel != way.canary.channel:  # the configuration does not ask for it any more
            if not are_several_daemons(tx, now):  # or it is another daemon's
                set_fired(tx, _CALENDAR, kept[0])
            return
        sent_at = sent_at_of(tx, "canary.sent", channel, kept[0])
        if sent_at is not None:
            set_fired(tx, _CALENDAR, kept[0])
            if Key("", "", "canary") in incidents_of(tx, of=[""]):
                facts = service_facts.CanaryArrived(channel, sent_at)
                key = f"canary/{now.isoformat()}"
                arrived = service_facts.of_the_watch(
                    "watch.recovered", Severity.info, key, facts, topic="canary", ends=True
                )
                record_alerts(tx, [arrived], way, now)
        elif not state.get("missed") and now - kept[0] >= duration(way.canary.within):
            set_fired(tx, _CALENDAR, kept[0], json.dumps(state | {"missed": True}))
            reason = f"it was not delivered within {way.canary.within}"
            _tell_failed(tx, way, now, service_facts.CanaryFailed(channel, kept[0], reason))


def _tell_failed(tx: Transaction, way: Routing, now: datetime, facts: Facts) -> None:
    failed = service_facts.of_the_watch("canary.failed", Severity.critical, now.isoformat(), facts, topic="canary")
    record_alerts(tx, [failed], way, now)
