"""What holds whatever happens: nothing critical is lost, hidden without a reason, told too often, or forgotten.

``World`` is the watch with its real parts (SQLite on disk, polls, turns of time, claims) around a simulated provider, and
people who silence, acknowledge and change their minds. It looks after every step whether the promises are kept.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import T0
from databases import BOTH, copied, opened
from hypothesis import HealthCheck, given, note
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few
from sqlalchemy import select

from renewal_watch.database.schema import alerts, deliveries, delivery_alerts, environments, numbers
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import ApiError, ServerTrouble, TokenRejected
from renewal_watch.model import renewal_day, selectors
from renewal_watch.model.alerts import Incident, Key, Severity
from renewal_watch.model.numbers import Listing, PhoneNumber
from renewal_watch.model.policy import Match, Policy, Rule
from renewal_watch.model.tracking import Known
from renewal_watch.notify.incidents import is_reminder_due
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import digests, poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Escalation, Reminders
from renewal_watch.store.environments import environment_state
from renewal_watch.store.incidents.incidents import (
    acknowledge_incidents,
    flaps_of,
    incidents_of,
    take_back_acknowledgements,
)
from renewal_watch.store.incidents.lapses import drop_lapse, list_lapsing, put_lapse
from renewal_watch.store.incidents.silences import add_silence, close_silence, list_silences
from renewal_watch.store.incidents.situation import situation_of
from renewal_watch.store.maintenance import integrity
from renewal_watch.store.numbers import fleet_of, parsed_of
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import retry_deliveries, settle_failed, settle_sent
from renewal_watch.timed import follow_up

pytestmark = BOTH

M = timedelta(minutes=1)
H = timedelta(hours=1)
D = timedelta(days=1)
ENVIRONMENT = Environment(name="prod", base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")
CHAT = Channel(name="chat", quiet_hours=("22:00-07:00",), max_per_hour=3, fallback="desk")
PAGER = Channel(name="pager", min_severity="critical", fallback="chat")
DESK = Channel(name="desk", digest="daily 08:00")
BOSS = Channel(name="boss", by_rule_only=True)
WAY = Routing(
    channels=(CHAT, PAGER, DESK, BOSS),
    reminders=Reminders(critical_every="1d", warning_every="2d", max_times=3),
    escalation=Escalation(after="4h", channels=("boss",)),
)
MUTING = replace(WAY, rules=(Rule(name="renews", match=Match(auto_renewal=True), mute=("status.*",)),))
NARROW = replace(WAY, channels=(Channel(name="chat", kinds=("renewal.*", "number.*")), DESK, BOSS))
PLAIN = Routing(channels=(Channel(name="chat"),))
AGAIN = ("reminder", "repeat")


@dataclass
class Phone:
    """A number at the provider."""

    renews_on: date
    status: str = "active"
    auto_renewal: bool = False
    is_listed: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)


class Telling(NamedTuple):
    """An alert as it stands in the database; ``opened_at`` names the incident that it belongs to, if it is one."""

    pk: int
    key: str
    kind: str
    severity: Severity
    place: Key
    nature: str
    rank: int
    text: str
    hidden: str | None
    channels: tuple[str, ...]
    at: datetime
    opened_at: datetime | None


class Source:
    """Gives what the provider has, as a provider would."""

    def __init__(self) -> None:
        self.next: Listing | ApiError = listing()

    def fetch(self) -> Listing:
        if isinstance(self.next, ApiError):
            raise self.next
        return self.next


ASTRAY = """SELECT a.id FROM alerts a LEFT JOIN incidents i ON i.id = a.incident_id
    WHERE a.incident_id IS NOT NULL AND (i.id IS NULL OR i.number_id <> a.number_id OR i.topic <> a.topic)"""
UNLED = """SELECT i.id FROM incidents i LEFT JOIN alerts a ON a.id = i.alert_id
    WHERE i.resolved_at IS NULL AND (a.incident_id IS NULL OR a.incident_id <> i.id)"""


class World:
    def __init__(
        self, path: Path, way: Routing, phones: Mapping[str, Phone], say: Callable[[str], object] = print
    ) -> None:
        self.path = path
        self.say = say
        self.way = way
        self.policy = Policy(missing_after_polls=2)
        self.now = T0
        self.phones = phones
        self.store = self._opened()
        self.source = Source()
        self.told: list[Telling] = []
        self.taken: Counter[tuple[str, str]] = Counter()  # by channel and key

    def _opened(self) -> Store:
        store = opened(self.path)
        store.require_current()
        return store

    # --- what happens ---

    def restart(self, way: Routing | None = None) -> None:
        """As a process that ended and began anew, perhaps with another configuration."""
        self.store.close()
        self.store = self._opened()
        self.way = replace(way or self.way)

    def poll(self, error: ApiError | None = None) -> None:
        on_day = self.now.date()
        shown = [
            entry(
                name,
                current_status=one.status,
                auto_renewal=one.auto_renewal,
                renewal_date=one.renews_on.isoformat(),
                days_until_monthly_renewal=(one.renews_on - on_day).days,
                is_due_for_monthly_renewal=one.renews_on == on_day,
                **one.more,
            )
            for name, one in self.phones.items()
            if one.is_listed
        ]
        self.source.next = error or listing(*shown)
        with self._watched():
            poll.run_once(self.store, ENVIRONMENT, self.source, self.policy, self.way, lambda: self.now)

    def turn(self) -> None:
        with self._watched():
            follow_up.run_once(self.store, self.way, {"prod": self.policy}, self.now)
            digests.send_digests(self.store, self.way, {"prod": self.policy}, lambda: self.now)
        self._looked_after()

    def deliver(self, outcome: str) -> None:
        """Every channel takes what is due, fails, or the process dies before it could say."""
        for channel in self.way.channels:
            while True:
                with self.store.transaction() as tx:
                    delivery = claim(tx, channel, self.way.zone, self.now)
                if delivery is None:
                    break
                if outcome == "dies":
                    return
                with self._watched(), self.store.transaction() as tx:
                    if outcome == "taken":
                        self.taken.update((channel.name, one.key) for one in delivery.alerts)
                        assert settle_sent(tx, delivery, self.way, self.now)
                    else:
                        assert settle_failed(tx, delivery, "it is down", self.way, self.now, 0.5)

    def silence(self, match: Match, length: timedelta, *kinds: str) -> int:
        with self.store.transaction() as tx:
            return add_silence(tx, match, kinds, self.now + length, "ada", "works", self.now)

    def unsilence(self) -> None:
        """The silence that would end next is ended by hand."""
        with self.store.transaction() as tx:
            for one in list_silences(tx)[:1]:
                close_silence(tx, one.pk, "ada", self.now)

    def ack(self, name: str, *, withdraw: bool = False) -> None:
        """As the command does it."""
        with self.store.transaction() as tx:
            mine = {key: one for key, one in incidents_of(tx).items() if key.number_id == name}
            if withdraw:
                take_back_acknowledgements(tx, mine, self.now)
            else:
                acknowledge_incidents(tx, mine, "ada", self.now)

    def lapse(self, name: str, *, withdraw: bool = False) -> None:
        with self.store.transaction() as tx:
            known = fleet_of(tx, environment_state(tx, "prod")[0]).get(name)
            if known is not None:
                if withdraw:
                    drop_lapse(tx, "prod", known, self.now)
                else:
                    put_lapse(tx, known, "ada", "", self.now)

    # --- what is looked at ---

    @property
    def incidents(self) -> dict[Key, Incident]:
        with self.store.transaction() as tx:
            return incidents_of(tx)

    def kinds(self, *, told: bool = True) -> list[str]:
        """The kinds that were told, or hidden, in their order."""
        return [one.kind for one in self.told if (one.hidden is None) == told]

    def _watched(self) -> _Watched:
        return _Watched(self)

    def notice(self, before: dict[Key, Incident]) -> None:
        """Look at the alerts and incidents that a step left behind."""
        with self.store.transaction() as tx:
            after = incidents_of(tx)
            fresh = list(_tellings(tx, self.told[-1].pk if self.told else 0, after))
            assert tx.rows(ASTRAY).fetchall() == [], "an alert leads to an incident of something else"
            assert tx.rows(UNLED).fetchall() == [], "no alert leads to an open incident"
        self.told += fresh
        for one in fresh:
            self.say(f"{one.at:%d %H:%M} {one.nature} {one.severity.name} {one.key} {one.hidden or one.channels}")
            assert bool(one.channels) != bool(one.hidden), "told, or hidden with a reason"
            assert not (one.nature in AGAIN and one.severity == Severity.info), "nobody is reminded of good news"
            self._known(one, before.get(one.place))
        for key, incident in after.items():
            assert (incident.suppressed is None) == (incident.suppressor is None), key
            assert incident.suppressed != "", key
            if incident.severity == Severity.critical and incident.notified_at is None and incident.ack is None:
                assert incident.suppressed, f"{key} is neither told nor hidden"
        self._told_in_time(fresh)

    def _known(self, one: Telling, before: Incident | None) -> None:
        """What somebody looks after is told again only if it is worse, or another fact."""
        if before is None or before.ack is None or one.hidden or one.opened_at != before.opened_at:
            return
        is_same = one.place.topic == "renewal" or one.nature in (*AGAIN, "release", "escalation")
        assert not is_same or one.rank > before.ack.rank, f"{one.key} is told although it is acknowledged"

    def _told_in_time(self, fresh: Sequence[Telling]) -> None:
        """Nothing is repeated before its time."""
        for one in fresh:
            interval = self.way.reminders.interval(one.severity)
            if one.nature not in AGAIN or one.hidden or interval is None:
                continue
            for other in self.told:
                is_other = other.pk < one.pk and other.place == one.place and other.opened_at == one.opened_at
                if is_other and not other.hidden and other.rank == one.rank and other.nature != "escalation":
                    assert one.at - other.at >= interval, f"{one.key} comes too soon after {other.key}"

    def _looked_after(self) -> None:
        """After a turn: whatever is critical was told, or something that still holds hides it, or somebody knows."""
        with self.store.transaction() as tx:
            known, flaps = situation_of(tx, self.now), flaps_of(tx)
            fleet = fleet_of(tx, environment_state(tx, "prod")[0])
            parsed = parsed_of(tx, fleet.values())
        for key, incident in known.incidents.items():
            if incident.ack is not None or key.environment != "prod":
                continue
            if key.topic != "presence" and key.number_id and fleet[key.number_id].missing_at is not None:
                continue  # a missing number is told as missing; the rest goes on should it return
            assert not is_reminder_due(incident, self.way, self.now), f"{key} is due"
            if incident.suppressor is None:
                assert incident.notified_at or incident.severity < Severity.critical, f"{key} is not told"
                continue
            by, what = incident.suppressor.by, incident.suppressor.ref
            number = parsed.get(key.number_id)
            one = selectors.subject("prod", number, self.way.inventory)
            holds = {
                "silence": any(
                    str(s.pk) == what and selectors.fits(s.match, one) and selectors.is_silenced(s.kinds, incident.kind)
                    for s in known.silences
                ),
                "lapse": (key.environment, key.number_id) in known.lapses,
                "flapping": any(flap.since and place[:2] == key[:2] for place, flap in flaps.items()),
                "rule": self.way.said(one).muted_by(incident.kind) is not None,
                "nobody": not any(
                    channel.takes(incident.kind, incident.severity, "prod") and not channel.by_rule_only
                    for channel in self.way.channels
                ),
            }
            assert holds[by], f"{key} is hidden by {incident.suppressed!r}, which does not hold any more"
        for name, one in fleet.items():
            for topic, severity in _bad(one, parsed[name], self.now):
                key = Key("prod", name, topic)
                newest = next((told for told in reversed(self.told) if told.place == key), None)
                assert newest, f"nothing was ever written of {key}"
                is_mild = newest.severity < severity and newest.opened_at is None  # as a lapse makes it
                assert key in known.incidents or is_mild, f"{key} holds and is forgotten"
        for told in self.told:
            if told.kind == "flapping.ended" and told.at == self.now and "All is well" in told.text:
                topic = told.key.rpartition(" ")[2].replace("auto-renewal", "renewal")
                place = Key(told.place.environment, told.place.number_id, topic)
                assert place not in known.incidents, f"{place} is not well"

    def end(self) -> None:
        """In the end every message was delivered, and none twice."""
        self.restart(WAY)
        with self.store.transaction() as tx:
            retry_deliveries(tx, (), self.now)  # what was given up
        noon = self.now.replace(hour=12, minute=0) + D
        for hours in (0, 2, 4, 6, 24, 26):
            self.now = noon + hours * H
            self.turn()
            self.deliver("taken")
        with self.store.transaction() as tx:
            left = tx.connection.execute(select(deliveries.c.channel, deliveries.c.state)).all()
        assert set(left) <= {(channel.name, "sent") for channel in self.way.channels} | {
            (channel.name, "pending") for channel in self.way.channels if channel.digest
        }, "in the end all was delivered, but what waits for the next digest"
        assert max(self.taken.values(), default=0) <= 1, self.taken.most_common(3)
        # a digest that was not sent in time gives way to the next one
        given = {(name, one.key) for one in self.told for name in one.channels if one.kind != "digest.sent"}
        late = {(name, key) for name, key in given - self.taken.keys() if (name, "pending") not in left}
        assert not late, f"every alert is taken by each channel that it is for, but {sorted(late)[:5]} are not"
        assert integrity.look(self.store) == []
        self.store.close()


class _Watched:
    """A step: what is found after it is looked at."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __enter__(self) -> None:
        self.before = self.world.incidents

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.world.notice(self.before)


def _bad(known: Known, number: PhoneNumber, now: datetime) -> Iterator[tuple[str, Severity]]:
    """What the database says of a number that somebody must look after: topics and how urgent they are."""
    if known.missing_at is not None:
        yield "presence", Severity.critical
        return
    if number.status in ("suspended", "inactive"):
        yield "status", Severity.critical
    if known.is_overdue(renewal_day.days_left(number, known, now.toordinal(), int(now.timestamp()))):
        yield "renewal", Severity.critical


def _tellings(tx: Transaction, after: int, incidents: dict[Key, Incident]) -> Iterator[Telling]:
    """The alerts that were written after one."""
    channels: dict[int, list[str]] = {}
    joined = select(delivery_alerts.c.alert_id, deliveries.c.channel).join(
        deliveries, deliveries.c.id == delivery_alerts.c.delivery_id
    )
    for alert_id, channel in tx.connection.execute(joined.where(delivery_alerts.c.alert_id > after)):
        channels.setdefault(alert_id, []).append(channel)
    named = select(alerts, environments.c.name.label("environment"), numbers.c.provider_id)
    named = named.outerjoin(environments, environments.c.id == alerts.c.environment_id)
    named = named.outerjoin(numbers, numbers.c.id == alerts.c.number_id)
    for row in tx.connection.execute(named.where(alerts.c.id > after).order_by(alerts.c.id)):
        nature = next((word for word in ("reminder", "release", "escalation") if f"{word} of " in row.mark), "new")
        if row.kind == "renewal.overdue" and nature == "new" and int(row.mark.rpartition("/")[2]) > 1:
            nature = "repeat"
        severity = Severity(row.severity)
        stage = 2 if row.kind == "renewal.overdue" else int(row.kind == "renewal.due" and row.days_left == 0)
        place = Key(row.environment or "", row.provider_id or "", row.topic or "")
        incident = incidents.get(place)
        yield Telling(
            pk=row.id,
            key="/".join((*filter(None, (place.environment, row.kind, place.number_id)), row.mark)),
            kind=row.kind,
            severity=severity,
            place=place,
            nature=nature,
            rank=10 * severity + stage,
            text=row.text,
            hidden=row.hidden,
            channels=tuple(channels.get(row.id, ())),
            at=row.created_at,
            opened_at=incident.opened_at if incident else None,
        )


# --- whatever happens -------------------------------------------------------------------------------------------------

PHONES = st.builds(
    Phone,
    renews_on=st.sampled_from([-1, 0, 1, 2, 4, 8, 40]).map(lambda days: T0.date() + days * D),
    status=st.sampled_from(["active", "active", "suspended"]),
    auto_renewal=st.sampled_from([False, False, True]),
)
MATCHES = st.sampled_from([Match(), Match(ids=("phone-1",)), Match(auto_renewal=False)])
LENGTHS = st.sampled_from([20 * M, 5 * H, 30 * H, 3 * D])
DEEDS = ["status", "status", "listed", "listed", "flaps", "renews", "auto-renewal", "ack", "ack", "lapse", "lapse"]
ABOUT_NUMBERS = st.tuples(st.sampled_from(DEEDS), st.sampled_from(["phone-1", "phone-1", "phone-2"]))
SILENCES = st.tuples(
    st.just("silence"), MATCHES, LENGTHS, st.sampled_from([(), ("status.*", "number.*"), ("renewal.*",), ("watch.*",)])
)
OTHERS = st.sampled_from([("unsilence",), ("restart", WAY), ("restart", MUTING), ("restart", NARROW), ("nothing",)])
ACTIONS = st.one_of(ABOUT_NUMBERS, ABOUT_NUMBERS, ABOUT_NUMBERS, SILENCES, OTHERS)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([M, 10 * M, H, 5 * H, 24 * H, 25 * H, 3 * D]),
        ACTIONS,
        st.sampled_from(["list", "list", "list", "trouble", "rejected", "none"]),
        st.sampled_from([True, True, False]),
        st.sampled_from(["taken", "taken", "fails", "dies", "none"]),
    ),
    min_size=3,
    max_size=8,
)


def act(world: World, what: str, *given: Any) -> None:
    """Do one thing; what can be done and undone is done by turns."""
    if what == "silence":
        match, length, kinds = given
        world.silence(match, length, *kinds)
    elif what == "unsilence":
        world.unsilence()
    elif what == "restart":
        world.restart(*given)
    elif what != "nothing":
        (name,) = given
        phone = world.phones[name]
        if what == "status":
            phone.status = "active" if phone.status == "suspended" else "suspended"
        elif what == "listed":
            phone.is_listed = not phone.is_listed
            for _ in range(0 if phone.is_listed else world.policy.missing_after_polls):
                world.now += 10 * M
                world.poll()
        elif what == "flaps":
            for status in ("suspended", "active") * 2:
                phone.status = status
                world.now += 10 * M
                world.poll()
        elif what == "renews":
            phone.renews_on = max(phone.renews_on, world.now.date()) + 30 * D
        elif what == "auto-renewal":
            phone.auto_renewal = not phone.auto_renewal
        elif what == "ack":
            world.ack(name, withdraw=any(one.ack for key, one in world.incidents.items() if key.number_id == name))
        elif what == "lapse":
            with world.store.transaction() as tx:
                lapses = list_lapsing(tx)
            world.lapse(name, withdraw=("prod", name) in lapses)


@few(
    15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(first=PHONES, second=PHONES, steps=STEPS)
def test_nothing_critical_is_lost_hidden_without_a_reason_told_too_often_or_forgotten(
    empty: Path, tmp_path_factory: pytest.TempPathFactory, first: Phone, second: Phone, steps: list[tuple[Any, ...]]
) -> None:
    path = tmp_path_factory.mktemp("always") / "renewal-watch.db"
    copied(empty, path)
    world = World(path, WAY, {"phone-1": replace(first), "phone-2": replace(second)}, note)
    try:
        world.poll()
        for pause, action, polled, turns, delivered in steps:
            world.now += pause
            note(f"--- {world.now:%d %H:%M} {str(action)[:90]} poll={polled} turn={turns} delivery={delivered}")
            act(world, *action)
            if polled != "none":
                errors = {"trouble": ServerTrouble("it is down"), "rejected": TokenRejected("no")}
                world.poll(errors.get(polled))
            if turns:
                world.turn()
            if delivered != "none":
                world.deliver(delivered)
        world.end()
    finally:
        world.store.close()
        shutil.rmtree(path.parent)


# --- stories ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(empty: Path, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """A world with a number to tell of, another one, and one channel, after its first poll."""
    made: list[World] = []

    def make(way: Routing = PLAIN, days: int = 60, **phone: Any) -> World:
        path = tmp_path / "renewal-watch.db"
        copied(empty, path)
        phones = {"phone-1": Phone(T0.date() + days * D, **phone), "phone-2": Phone(T0.date() + 60 * D)}
        made.append(World(path, way, phones))
        made[0].poll()
        return made[0]

    yield make
    for one in made:
        one.store.close()


def sees(world: World, after: timedelta = H, **changes: Any) -> list[str]:
    """The number changes and is polled, time takes its turn; the kinds told."""
    for name, value in changes.items():
        setattr(world.phones["phone-1"], name, value)
    count = len(world.told)
    world.now += after
    world.poll()
    world.turn()
    return [one.kind for one in world.told[count:] if not one.hidden]


STATUS = Key("prod", "phone-1", "status")
RENEWAL = Key("prod", "phone-1", "renewal")


@pytest.mark.parametrize(
    ("phone", "days", "place"),
    [
        ({"status": "suspended"}, 60, STATUS),
        ({}, -2, RENEWAL),
        ({}, 2, RENEWAL),
    ],
)
def test_a_number_that_returns_in_no_better_state_is_not_forgotten(
    watched: Callable[..., World], phone: dict[str, Any], days: int, place: Key
) -> None:
    """What was told before it went missing still holds: somebody is reminded."""
    world = watched(days=days, **phone)
    assert place in world.incidents
    for _ in range(2):
        world.now += H
        world.phones["phone-1"].is_listed = False
        world.poll()
    assert place._replace(topic="presence") in world.incidents, "and nothing else is told of while it is missing"
    world.now += H
    world.phones["phone-1"].is_listed = True
    world.poll()
    world.turn()
    assert place in world.incidents
    assert world.incidents[place].suppressed is None
    assert world.incidents[place].notified_at


def test_a_number_that_returns_is_not_forgotten_though_a_rule_made_its_absence_mild(
    watched: Callable[..., World],
) -> None:
    """No incident of its absence is open meanwhile; the suspension comes due, and is neither told nor over."""
    world = watched(
        replace(PLAIN, rules=(Rule(name="mild", severities={"number.missing": "info"}),)), status="suspended"
    )
    for after in (H, H, 26 * H):
        sees(world, after, is_listed=False)
    sees(world, is_listed=True)
    assert STATUS in world.incidents


def test_an_acknowledgement_taken_back_after_a_silence_leaves_nothing_untold(watched: Callable[..., World]) -> None:
    world = watched()
    world.silence(Match(), H * 5)
    assert sees(world, status="suspended") == []
    world.ack("phone-1")
    assert sees(world, 5 * H) == [], "somebody knows"
    world.ack("phone-1", withdraw=True)
    world.now += M
    world.turn()
    world.now += D
    world.turn()
    assert "status.changed" in world.kinds()


@pytest.mark.parametrize("matches", [{"auto_renewal": False}, {"cost_at_most": Decimal(5)}, {"types": ("voice",)}])
def test_a_silence_that_is_not_about_a_number_any_more_hides_it_no_more(
    watched: Callable[..., World], matches: dict[str, Any]
) -> None:
    world = watched()
    world.silence(Match(**matches), 30 * D)
    assert sees(world, status="suspended") == []
    assert "status.changed" in sees(world, auto_renewal=True, more={"monthly_renewal_cost": 9, "type": "mobile"})


def test_a_rule_that_is_not_about_a_number_any_more_mutes_it_no_more(watched: Callable[..., World]) -> None:
    world = watched(replace(PLAIN, rules=MUTING.rules), auto_renewal=True)
    assert sees(world, status="suspended") == []
    assert sees(world, auto_renewal=False) == ["auto_renewal.off", "status.changed"]


def test_a_rule_that_sends_it_to_a_channel_from_now_on_does_so(watched: Callable[..., World]) -> None:
    """Nobody takes it until it is expiring: then the rule has a channel for it."""
    by_rule = (Rule(name="lost", match=Match(auto_renewal=False), add_channels=("boss",)),)
    world = watched(Routing(channels=(BOSS,), rules=by_rule), auto_renewal=True)
    assert sees(world, status="suspended") == []
    assert "status.changed" in sees(world, auto_renewal=False)


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(PLAIN, id="all kinds"),
        pytest.param(Routing(channels=(Channel(name="chat", kinds=("status.*",)),)), id="no flapping"),
        pytest.param(Routing(channels=(Channel(name="chat", min_severity="critical"),)), id="critical only"),
        pytest.param(replace(PLAIN, rules=(Rule(name="calm", mute=("flapping.*",)),)), id="flapping muted"),
    ],
)
def test_what_flapped_and_stays_suspended_is_told_when_it_has_settled(
    watched: Callable[..., World], way: Routing
) -> None:
    world = watched(way)
    for status in ("suspended", "active", "suspended", "active", "suspended"):
        sees(world, status=status)
    assert world.incidents[STATUS].suppressor == (None if way.rules else "flapping"), "or each change is told"
    world.now += 25 * H
    world.turn()
    world.now += M
    world.turn()
    assert world.incidents[STATUS].suppressed is None
    assert world.incidents[STATUS].notified_at
    assert world.told[-1].channels == ("chat",)
    assert "suspended" in world.told[-1].text


def test_whom_flapping_hides_something_critical_from_is_told_that_it_flaps(watched: Callable[..., World]) -> None:
    world = watched(Routing(channels=(PAGER, DESK)))
    for status in ("suspended", "active", "suspended", "active", "suspended"):
        sees(world, status=status)
    (started,) = (one for one in world.told if one.kind == "flapping.started")
    assert set(started.channels) == {"pager", "desk"}


def test_the_end_of_flapping_does_not_say_that_all_is_well_where_it_is_not(watched: Callable[..., World]) -> None:
    """Auto-renewal went to and fro and is off; its day was told meanwhile by itself."""
    world = watched(days=8)
    for is_on in (True, False) * 3:
        sees(world, auto_renewal=is_on)
    sees(world, 18 * H)  # seven days left
    world.now += 20 * H
    world.turn()
    ended = [one for one in world.told if one.kind == "flapping.ended"]
    assert ended
    assert RENEWAL in world.incidents
    assert "All is well" not in ended[-1].text


@pytest.mark.parametrize("what", ["price", "capability", "renewed against its mark"])
def test_an_acknowledgement_does_not_cover_the_next_one_of_its_kind(watched: Callable[..., World], what: str) -> None:
    world = watched(days=5)
    if what == "renewed against its mark":
        world.lapse("phone-1")
    for count in (1, 2):
        told = sees(
            world,
            2 * D,
            renews_on=T0.date() + (20 + 30 * count) * D,
            more={
                "price": {"monthly_renewal_cost": 2 * count},
                "capability": {"has_sms": False, "has_voice": count == 1},
            }.get(what, {}),
        )
        expected = {"price": "price.changed", "capability": "capability.lost"}.get(what, "lapse.renewed")
        assert expected in told, f"time {count}"
        world.ack("phone-1")
