"""What would be told over the coming days: the real rules, routing and outbox, on a copy of the database. Sends nothing.

The fleet is today's: numbers with auto-renewal renew when their day is over, the others do not, nothing else changes and
every message is taken. Polls are made up where something can change: when a day begins, here or at the provider.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from renewal_watch.database.store import Store
from renewal_watch.errors import ServerTrouble
from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import DAY_S, Entry, Listing, PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known
from renewal_watch.notify import flaps as notify_flaps
from renewal_watch.notify import incidents
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll, turn
from renewal_watch.operations.turn import Turn
from renewal_watch.provider.simulator import next_month
from renewal_watch.reports.silences import Told
from renewal_watch.schedule import calendar as schedule_times
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Canary
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.incidents import flaps_of
from renewal_watch.store.incidents.situation import situation_of
from renewal_watch.store.outbox.alerts import alerts_since, list_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_sent
from renewal_watch.store.outbox.waiting import next_due

_MOMENT = timedelta(seconds=1)  # after a day began, and between two events that would be one
MOST_TURNS = 24  # of the day in a fleet; more are taken as one each hour
_IDLE = timedelta(hours=6)  # the longest step: flapping and fallbacks have no time of their own


def look_ahead(
    settings: Settings,
    store: Store,
    way: Routing,
    now: datetime,
    until: datetime,
    *,
    inventory_faults: Sequence[str] = (),
) -> Iterator[Told]:
    """Everything that would be told from ``now`` to ``until``, in the order of time."""
    made_up = logging.getLogger("renewal_watch.operations.poll")
    made_up.setLevel(logging.CRITICAL)  # its polls are no news for the log
    with store.copied() as copy:
        yield from _Ahead(settings, copy, way, now, inventory_faults).run(until)


class _Ahead:
    """The copy, and a clock that jumps from event to event."""

    def __init__(
        self, settings: Settings, store: Store, way: Routing, now: datetime, inventory_faults: Sequence[str]
    ) -> None:
        self.settings = settings
        self.store = store
        self.way = way
        self.now = now
        self._due = Turn(
            store=store,
            settings=settings,
            routing=replace(way, canary=Canary()),  # none is sent meanwhile, so none is missed
            clock=lambda: self.now,
            pause=lambda _: None,
            inventory_faults=inventory_faults,
        )
        self._polled_at = dict.fromkeys((one.name for one in settings.environments), now)
        self.policies = self._due.policies
        self.sources: dict[str, _Today] = {}
        with store.transaction() as tx:
            for _, watch, _ in environment_states(tx):
                if watch.name in self.policies:
                    present = dict(_present(fleet.every(tx, [watch.name])))
                    self.sources[watch.name] = _Today(present, self.policies[watch.name], watch.last_error)
            self._last_alert = next((one["id"] for one in list_alerts(tx, most=1)), 0)

    def run(self, until: datetime) -> Iterator[Told]:
        """Event by event."""
        polls = self._next_poll()
        while self.now <= until:
            is_turn = self.now >= polls
            for environment in self.settings.environments:
                if is_turn or self.now >= self._polled_at[environment.name] + environment.interval:
                    self._poll(environment)
            if is_turn:
                polls = self._next_poll()
            turn.at_once(self._due)
            yield from self._hidden()
            yield from self._sent()
            self.now = max(self.now + _MOMENT, min(polls, self._next_event()))

    def _poll(self, environment: Environment) -> None:
        source = self.sources.get(environment.name)
        if source is not None:
            self._polled_at[environment.name] = source.now = self.now
            policy = self.policies[environment.name]
            poll.run_once(self.store, environment, source, policy, self.way, lambda: self.now)

    def _next_poll(self) -> datetime:
        """The next beginning of a day, in the configured zone or at a provider."""
        zone = ZoneInfo(self.settings.timezone)
        here = self.now.astimezone(zone).date() + timedelta(days=1)
        starts = [datetime(here.year, here.month, here.day, tzinfo=zone).astimezone(UTC)]
        turns = {turn for source in self.sources.values() for turn in source.turns}
        if len(turns) > MOST_TURNS:  # numbers that were corrected one by one
            turns = set(range(0, DAY_S, 3600))
        now_s = int(self.now.timestamp())
        starts += [datetime.fromtimestamp(now_s + DAY_S - (now_s - turn) % DAY_S, UTC) for turn in turns]
        return min(starts) + _MOMENT

    def _next_event(self) -> datetime:
        """When the next reminder, escalation, end of a silence, digest, or end of quiet hours comes."""
        times = [self.now + _IDLE]
        with self.store.transaction() as tx:
            known, flaps = situation_of(tx, self.now), flaps_of(tx)
            for channel in self.way.channels:
                due = next_due(tx, channel, self.way.zone, self.now)
                times += [due] if due else []
                if channel.digest is not None:
                    times.append(schedule_times.next_fire(self.now, channel.digest, channel.timezone or self.way.zone))
        for incident in known.incidents.values():
            times += filter(
                None, (incidents.reminds_at(incident, self.way), incidents.escalates_at(incident, self.way))
            )
        times += [flap.times[-1] + notify_flaps.settles_after(self.way) for flap in flaps.values()]
        times += [silence.ends_at for silence in known.silences]
        times += [silence.ends_at - incidents.SILENCE_WARNING for silence in known.silences]
        return min((at for at in times if at > self.now), default=self.now + _IDLE)

    def _hidden(self) -> Iterator[Told]:
        """What was found since the last event and nobody is told."""
        with self.store.transaction() as tx:
            fresh = alerts_since(tx, self._last_alert)
        for alert_id, alert, hidden in fresh:
            self._last_alert = max(self._last_alert, alert_id)
            if hidden:
                yield Told(at=self.now, channel=None, alerts=(alert,), hidden=hidden)

    def _sent(self) -> Iterator[Told]:
        """What every channel would be sent now."""
        for channel in self.way.channels:
            while True:
                with self.store.transaction() as tx:
                    delivery = claim(tx, channel, self.way.zone, self.now)
                    if delivery is None:
                        break
                    settle_sent(tx, delivery, self.way, self.now)
                yield Told(at=self.now, channel=channel.name, alerts=delivery.alerts, note=delivery.note)


def _present(listed: Iterator[fleet.Listed]) -> Iterator[tuple[str, tuple[Known, PhoneNumber]]]:
    for _, known, number in listed:
        if known.absence is None:
            yield known.provider_id, (known, number)


class _Today:
    """The list as it is now, at a later day."""

    def __init__(
        self, numbers: Mapping[str, tuple[Known, PhoneNumber]], policy: Policy, error: str | None = None
    ) -> None:
        self.turns = {known.zero_at % DAY_S for known, _ in numbers.values() if known.zero_at is not None}
        self._error = error  # an environment that cannot be read stays so
        self._anchors = {name: _anchor(known, number, policy.zone) for name, (known, number) in numbers.items()}
        failed = (name for name, (known, _) in numbers.items() if known.cycle is not None and known.cycle.overdue_told)
        self._failed = frozenset(failed)  # what did not renew by itself will not
        self.now = datetime.fromtimestamp(0, UTC)
        self._policy = policy
        self._numbers = {name: (number, known.zero_at) for name, (known, number) in numbers.items()}
        self._raw = {name: msgspec.json.encode(number) for name, (number, _) in self._numbers.items()}

    def fetch(self) -> Listing:
        """The complete list; numbers whose day has passed and that renew by themselves have renewed."""
        if self._error is not None:
            raise ServerTrouble(self._error)
        now_s = int(self.now.timestamp())
        zone = self._policy.zone
        on_day = renewal_day.today(self.now, zone)
        entries = {}
        for name, (number, zero_at) in self._numbers.items():
            shown, zero = number, zero_at
            while shown.auto_renewal and name not in self._failed and _is_past(shown, zero, now_s, on_day, zone):
                shown, zero = _renewed(shown, zero, on_day, self._anchors[name], zone)
                self._numbers[name] = shown, zero
                self._raw[name] = msgspec.json.encode(shown)
            if zero is not None:
                countdown = float(renewal_day.countdown_at(zero, now_s))
                shown = msgspec.structs.replace(shown, days_until_monthly_renewal=countdown)
            entries[name] = Entry(shown, self._raw[name])
        return Listing(entries=entries)


def _is_past(number: PhoneNumber, zero_at: int | None, now_s: int, on_day: int, zone: str) -> bool:
    if zero_at is not None:
        return renewal_day.countdown_at(zero_at, now_s) < 0
    on = renewal_day.stated(number, zone)
    return on is not None and on < on_day


def _anchor(known: Known, number: PhoneNumber, zone: str) -> int | None:
    """The day of the month that a number renews on, where the month has one."""
    on = number.renewal_on(zone) or (None if known.renews_on is None else date.fromordinal(known.renews_on))
    return None if on is None else on.day


def _renewed(
    number: PhoneNumber, zero_at: int | None, on_day: int, anchor: int | None, zone: str
) -> tuple[PhoneNumber, int | None]:
    before = number.renewal_on(zone) or date.fromordinal(on_day - 1)
    after = next_month(before, anchor or before.day)
    moved = (after - before).days
    on = None if number.renewal_date is None else after.isoformat()
    shown = msgspec.structs.replace(number, renewal_date=on, is_due_for_monthly_renewal=False)
    return shown, None if zero_at is None else zero_at + moved * DAY_S
