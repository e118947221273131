"""What is foretold is what happens: the preview of some days beside those days, lived for real.

The time is moved by hand. ``House.foretold`` asks the preview; ``House.live`` then lives the same days on the same database
with real polls of a list that moves on with the calendar, the daemon's turn of time, and messages that are all taken.
"""

from __future__ import annotations

import json
import re
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import commands
import msgspec
import pytest
from click.testing import Result
from commands import Run
from conftest import T0
from databases import EITHER, Chosen, content, opened, path_of, section, url_of
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from made_up import emptied, entry, listing
from receivers import HttpReceiver, http_receiver
from rounds import few

from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.errors import ApiError, ServerTrouble, StoreError, TokenRejected
from renewal_watch.inventory.file import Inventory
from renewal_watch.model.numbers import Listing, PhoneNumber
from renewal_watch.model.policy import Match, Policy
from renewal_watch.model.tracking import Known
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import digests, poll
from renewal_watch.operations.preview import _Today, look_ahead
from renewal_watch.provider.simulator import next_month
from renewal_watch.reports.silences import Told
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.alerts import alerts_since, list_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent
from renewal_watch.store.outbox.waiting import next_due
from renewal_watch.timed import follow_up

pytestmark = EITHER

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KEPT = ("on", "anchor", "dated", "counted", "unpaid")  # by the provider, and not listed
CHAT = '[[channels]]\nname = "chat"\nurl = "json://127.0.0.1:1/"\n'


def channel(name: str, more: str = "", port: int = 1) -> str:
    return f'[[channels]]\nname = "{name}"\nurl = "json://127.0.0.1:{port}/"\n{more}\n'


def midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


class House:
    """A configuration, a database, a provider whose numbers live by the calendar of ``zone``, and a clock."""

    def __init__(
        self,
        store: Store,
        *,
        zone: str = "UTC",
        channels: str = CHAT,
        more: str = "",
        environments: Sequence[str] = ("production",),
        now: datetime = T0,
    ) -> None:
        self.store = store
        self.database = path_of(store)
        self.folder = self.database.parent
        self.zone = zone
        self.now = now
        self.began = self.today
        self.dawn = midnight(self.began, zone)
        self.lists: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in environments}
        self.faults: dict[str, ApiError] = {}
        self.path = self.folder / "config.toml"
        self.configure(channels, more)

    def configure(self, channels: str, more: str = "") -> None:
        places = "".join(
            f'[[environments]]\nname = "{name}"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_x"\n'
            f'poll_jitter = "0s"\n'
            for name in self.lists
        )
        self.path.touch(mode=0o600)
        top = f'timezone = "{self.zone}"\nstate_dir = "{self.folder}"\n{section(self.database)}'
        self.path.write_text(f"{top}{places}{channels}\n{more}")
        self.settings = load(self.path)
        self.inventory = Inventory(self.settings.inventory_path)
        self.way = Routing.of(self.settings, self.inventory.current())

    @property
    def today(self) -> date:
        return self.now.astimezone(ZoneInfo(self.zone)).date()

    def has(
        self,
        name: str = "phone-1",
        left: int = 60,
        *,
        at: str = "production",
        dated: bool = True,
        counted: bool = True,
        **changes: Any,
    ) -> None:
        """A number of the list, whose day comes ``left`` days from today."""
        on = self.today + left * DAY
        one = entry(name, **({"auto_renewal": False} | changes))
        self.lists[at][name] = {"unpaid": False} | one | dict(zip(KEPT, (on, on.day, dated, counted), strict=False))

    @property
    def day_there(self) -> date:
        """The provider's day: it turns at the same second of each day of UTC, summer and winter."""
        return self.began + timedelta(days=(self.now - self.dawn) // DAY)

    def fetch_from(self, name: str) -> Listing:
        """The list of an environment now: what renews by itself did so the day after its day."""
        if name in self.faults:
            raise self.faults[name]
        served = []
        for one in self.lists[name].values():
            day = self.day_there if one["counted"] else self.today
            while one["auto_renewal"] and one["on"] < day and not one["unpaid"]:
                one["on"] = next_month(one["on"], one["anchor"])
            shown = {key: value for key, value in one.items() if key not in KEPT}
            shown["renewal_date"] = one["on"].isoformat() if one["dated"] else None
            shown["days_until_monthly_renewal"] = (one["on"] - day).days if one["counted"] else None
            served.append(shown)
        return listing(*served)

    def poll(self) -> None:
        for environment in self.settings.environments:
            source = _Source(self, environment.name)
            policy = self.settings.policy(environment, self.way.inventory)
            poll.run_once(self.store, environment, source, policy, self.way, lambda: self.now)

    def turn(self) -> None:
        policies = {one.name: self.settings.policy(one, self.way.inventory) for one in self.settings.environments}
        self.inventory.current()
        follow_up.run_once(self.store, self.way, policies, self.now, inventory_faults=self.inventory.faults)
        digests.send_digests(self.store, self.way, policies, lambda: self.now)

    def take(self, *only: str) -> list[Told]:
        """What every channel is sent now."""
        found = []
        for one in self.way.channels:
            while not only or one.name in only:
                with self.store.transaction() as tx:
                    got = claim(tx, one, self.way.zone, self.now)
                    if got is None:
                        break
                    assert settle_sent(tx, got, self.way, self.now)
                found.append(Told(at=self.now, channel=one.name, alerts=got.alerts, note=got.note))
        return found

    def settle(self) -> None:
        """One whole turn, as the daemon makes it."""
        self.poll()
        self.turn()
        self.take()

    def foretold(self, *, days: int = 7, until: datetime | None = None) -> list[Told]:
        ends = until or midnight(self.today + days * DAY, self.zone) - timedelta(seconds=1)
        return list(
            look_ahead(self.settings, self.store, self.way, self.now, ends, inventory_faults=self.inventory.faults)
        )

    def live(self, *, days: int = 7) -> list[Told]:
        """Live on as the daemon does, every two hours and as each day begins; what was told, and what was not and why."""
        ends = midnight(self.today + days * DAY, self.zone) - timedelta(seconds=1)
        found: list[Told] = []
        with self.store.transaction() as tx:
            seen = max((one["id"] for one in list_alerts(tx)), default=0)
        while self.now <= ends:
            self.poll()
            self.turn()
            with self.store.transaction() as tx:
                for pk, alert, hidden in alerts_since(tx, seen):
                    seen = pk
                    if hidden:
                        found.append(Told(at=self.now, channel=None, alerts=(alert,), hidden=hidden))
            found += self.take()
            step = self.now.replace(minute=0, second=1) + 2 * HOUR
            self.now = min([step, *(at for at in self.dawns() if at > self.now)])
        return found

    def dawns(self) -> list[datetime]:
        """A moment after the next days begin, here and at the provider."""
        there = self.dawn + ((self.now - self.dawn) // DAY + 1) * DAY
        return [at + timedelta(seconds=1) for at in (midnight(self.today + DAY, self.zone), there)]

    def silence(self, match: Match, length: timedelta, *kinds: str) -> int:
        with self.store.transaction() as tx:
            return add_silence(tx, match, kinds, self.now + length, "ann", "moving", self.now)

    def acknowledge(self, *names: str) -> None:
        with self.store.transaction() as tx:
            those = {key: one for key, one in incidents_of(tx).items() if key.number_id in names}
            assert those
            acknowledge_incidents(tx, those, "ann", self.now)

    def lapse(self, name: str) -> None:
        with self.store.transaction() as tx:
            put_lapse(tx, find_number(tx, name)[2], "ann", "", self.now)

    def content(self) -> list[str]:
        """All rows of all tables."""
        return content(self.database)


@dataclass
class _Source:
    house: House
    name: str

    def fetch(self) -> Listing:
        return self.house.fetch_from(self.name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One file for all tests, emptied for each: a new connection would learn all its statements anew."""
    made = opened(tmp_path_factory.mktemp("house") / "renewal-watch.db")
    made.upgrade()
    yield made
    made.close()


Build = Callable[..., House]


@pytest.fixture
def build(store: Store) -> Build:
    def new(**given: Any) -> House:
        emptied(store)
        return House(store, **given)

    return new


def facts(found: Sequence[Told], zone: str) -> list[tuple[str, ...]]:
    """Who is told what on which day, or nobody and why."""
    where = ZoneInfo(zone)
    return sorted(
        (
            f"{one.at.astimezone(where).date()}",
            one.channel or f"nobody: {one.hidden}",
            alert.kind,
            alert.environment,
            alert.number_id or "",
            alert.severity.name,
            f"{alert.days_left}",
        )
        for one in found
        for alert in one.alerts
    )


def of(found: Sequence[Told], kind: str = "", channel: str | None = "chat") -> list[Told]:
    """The messages on a channel that hold a kind, or what nobody is told."""
    return [one for one in found if one.channel == channel and any(a.kind.startswith(kind) for a in one.alerts)]


def times(found: Sequence[Told]) -> list[str]:
    return [f"{one.at:%d %H:%M:%S}" for one in found]


def kinds(found: Sequence[Told]) -> list[str]:
    return [alert.kind for one in found for alert in one.alerts]


# --- what is foretold is what happens ---------------------------------------------------------------------------------

RICH_CHANNELS = (
    channel("chat")
    + channel("office", 'quiet_hours = ["19:00-07:00"]\ntimezone = "Europe/Berlin"\ncritical_at_once = false')
    + channel("mail", 'digest = "daily 08:00"')
    + channel("boss", "by_rule_only = true")
)
RICH = """
[reminders]
warning_every = "2d"
max_times = 3
[escalation]
channels = ["boss"]
[[rules]]
name = "cheap"
match = { cost_at_most = 0.5 }
mute = ["renewal.upcoming"]
[[rules]]
name = "german"
match = { countries = ["DE"] }
warn_days = [4, 2]
severities = { "renewal.upcoming" = "info" }
channels = ["mail", "boss"]
"""


def rich(house: House) -> None:
    """One number for each thing that can become of one, and every decision that people take."""
    house.has("phone-1", 2)
    house.has("phone-2", 1, auto_renewal=True)
    house.has("phone-3", -1)
    house.has("phone-4", 8, dated=False)
    house.has("phone-5", 1, counted=False)
    house.has("phone-6", 0, auto_renewal=True, counted=False)
    house.has("phone-7", 2, monthly_renewal_cost=0.2)
    house.has("phone-8", 3, country_code="DE")
    house.has("phone-9", 14, current_status="suspended")
    house.has("phone-10", 2)
    house.has("phone-11", 3)
    house.has("phone-12", 1, auto_renewal=True, dated=False)
    house.has("phone-13", 2)
    house.has("phone-14", 7, counted=False, dated=False)
    house.has("phone-15", 3, is_sandbox=True)
    house.settle()
    house.acknowledge("phone-10")
    house.lapse("phone-11")
    house.lapse("phone-12")
    house.silence(Match(ids=("phone-13",)), timedelta(days=1, hours=4))
    house.silence(Match(ids=("phone-1",)), timedelta(days=30))


@pytest.mark.parametrize(
    ("zone", "now", "days"),
    [
        pytest.param("America/Los_Angeles", T0, 2, id="west"),
        pytest.param("Pacific/Auckland", T0, 2, id="a day ahead"),
    ],
)
def test_what_is_foretold_is_what_happens(build: Build, zone: str, now: datetime, days: int) -> None:
    """Alerts, channels and days; and what nobody is told, and why."""
    house = build(zone=zone, now=now, channels=RICH_CHANNELS, more=RICH)
    rich(house)
    before = house.content()
    foretold = house.foretold(days=days)
    assert house.content() == before
    lived = house.live(days=days)
    assert _distinct(facts(foretold, zone)) == _distinct(facts(lived, zone))
    assert len(facts(foretold, zone)) > 30, "there was something to foretell"


def _distinct(those: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without the repeats that were told already by a reminder: which of the two comes first is a race."""
    return [one for one in those if not one[1].startswith("nobody: told at")]


@pytest.mark.parametrize(
    ("zone", "now"),
    [
        pytest.param("Europe/Berlin", datetime(2027, 3, 27, 15, tzinfo=UTC), id="forward"),
        pytest.param("America/New_York", datetime(2027, 11, 6, 15, tzinfo=UTC), id="back"),
    ],
)
def test_the_change_of_the_clocks_moves_no_day_of_a_lonely_number(build: Build, zone: str, now: datetime) -> None:
    """The provider turns its day an hour earlier or later on the clock from then on; that is seen as soon as it does."""
    house = build(zone=zone, now=now, more='[reminders]\ncritical_every = "off"')
    house.has("phone-1", 3)
    house.settle()
    foretold, lived = house.foretold(days=3), house.live(days=3)
    assert [(one.at, kinds([one])) for one in foretold] == [(one.at, kinds([one])) for one in lived]
    assert kinds(lived)


@few(3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(["UTC", "America/Los_Angeles", "Asia/Kolkata"]),
    fleet=st.lists(
        st.fixed_dictionaries(
            {
                "left": st.integers(-3, 9),
                "auto_renewal": st.booleans(),
                "dated": st.booleans(),
                "counted": st.booleans(),
                "current_status": st.sampled_from(["active", "active", "pending", "suspended"]),
            }
        ).filter(lambda one: not (one["auto_renewal"] and one["left"] < 0)),
        min_size=1,
        max_size=6,
    ),
)
def test_any_fleet_is_told_of_as_foretold(build: Build, zone: str, fleet: list[dict[str, Any]]) -> None:
    house = build(zone=zone)
    for place, one in enumerate(fleet):
        house.has(f"phone-{place}", **one)
    house.settle()
    foretold, lived = house.foretold(days=2), house.live(days=2)
    assert _distinct(facts(foretold, zone)) == _distinct(facts(lived, zone))


def test_each_environment_is_foretold_as_if_it_were_alone(build: Build) -> None:
    house = build(environments=("production", "test"))
    for name in ("production", "test"):
        house.has("phone-1", -1, at=name)
        house.has("phone-2", 2, at=name)
    house.settle()
    foretold = facts(house.foretold(days=3), "UTC")
    alone = {name: sorted((*one[:3], *one[4:]) for one in foretold if one[3] == name) for name in house.lists}
    assert alone["test"] == alone["production"]


def test_nothing_is_polled_between_two_days_of_one_environment_only(build: Build) -> None:
    """Overdue numbers have hours of their own, without reminders too."""
    house = build(environments=("production", "test"), more='[reminders]\ncritical_every = "off"')
    for name in ("production", "test"):
        house.has("phone-1", -1, at=name)
    house.settle()
    told = [(f"{one.at:%d}", alert.environment) for one in house.foretold(days=3) for alert in one.alerts]
    assert sorted(told) == [(day, name) for day in ("24", "25") for name in ("production", "test")]


# --- who is told when -------------------------------------------------------------------------------------------------


def test_reminders_and_the_escalation_come_at_their_instants(build: Build) -> None:
    house = build(
        channels=channel("chat") + channel("boss", "by_rule_only = true"),
        more='[escalation]\nafter = "90m"\nchannels = ["boss"]\n[reminders]\nmax_times = 2\n',
        now=T0 + timedelta(minutes=7, seconds=30),
    )
    house.has(current_status="suspended")
    house.settle()
    found = house.foretold(days=4)
    assert times(of(found, "status.changed")) == ["24 12:07:30", "25 12:07:30"]
    assert times(of(found, channel="boss")) == ["23 13:37:30"]
    assert "(reminder 2 of 2, then weekly while it holds;" in of(found)[-1].alerts[0].text


def test_what_is_hidden_is_shown_with_its_reason(build: Build) -> None:
    house = build(more='[[rules]]\nname = "quiet"\nmatch = { ids = ["phone-2"] }\nmute = ["renewal.*"]\n')
    for name in ("phone-1", "phone-2", "phone-3", "phone-4"):
        house.has(name, 2)
    house.has("phone-5", 20)
    house.settle()
    house.silence(Match(ids=("phone-1",)), 30 * DAY)
    house.lapse("phone-3")
    house.acknowledge("phone-4")
    found = house.foretold(days=2)
    assert {alert.number_id: one.hidden for one in found if one.channel is None for alert in one.alerts} == {
        "phone-1": "silence 1 of ann until 2026-12-23 12:00 UTC",
        "phone-2": "the rule quiet mutes it",
        "phone-3": "it is meant to expire (ann, 2026-11-23 12:00 UTC)",
        "phone-4": "acknowledged by ann at 2026-11-23 12:00 UTC",
    }
    assert kinds(of(found)) == ["lapse.last_chance"], "that it may go is told once more"


def test_what_no_channel_takes_is_shown_as_told_to_nobody(build: Build) -> None:
    house = build(channels=channel("chat", 'kinds = ["status.*"]'))
    house.has(left=15)
    house.settle()
    (one,) = house.foretold(days=2)
    assert (one.channel, one.hidden, kinds([one])) == (None, "no channel takes it", ["renewal.upcoming"])


def test_a_silence_that_ends_within_the_days_lets_out_what_it_hid_at_its_end(build: Build) -> None:
    house = build()
    house.has(left=4)
    house.settle()
    house.silence(Match(ids=("phone-1",)), timedelta(hours=50, minutes=20))
    found = house.foretold(days=4)
    assert times(of(found, "silence.ending")) == ["24 14:20:00"]
    (let_out, *later) = of(found, "renewal.")
    assert times([let_out]) == ["25 14:20:00"]
    assert "2 days" in let_out.alerts[0].text
    assert times(later) == ["26 00:00:01"]
    assert kinds(of(found, channel=None)) == ["renewal.upcoming"], "three days left: hidden"


def test_an_ended_silence_of_what_ended_meanwhile_lets_nothing_out(build: Build) -> None:
    house = build(more="[renewals]\nauto_renewal_warn_days = [1]\n")
    house.has(left=1, auto_renewal=True)
    house.silence(Match(ids=("phone-1",)), timedelta(days=3))
    house.settle()
    assert kinds(of(house.foretold(days=5))) == []


def test_quiet_hours_hold_what_is_found_in_them_until_they_end(build: Build) -> None:
    quiet = channel("chat", 'quiet_hours = ["22:00-06:30"]')
    house = build(zone="Europe/Berlin", channels=quiet, now=T0.replace(hour=21, minute=30))
    house.has("phone-1", 8)
    house.has("phone-2", 15)
    house.has("phone-3", current_status="suspended")
    house.settle()
    found = house.foretold(days=2)
    assert times(of(found)) == ["24 05:30:00", "24 21:30:00"], "what is critical comes at once"
    assert [sorted(str(alert.number_id) for alert in one.alerts) for one in found] == [
        ["phone-1", "phone-2"],
        ["phone-3"],
    ]
    assert found[0].note.startswith("held back: quiet hours 22:00-06:30")


def test_a_digest_is_foretold_for_its_time_and_with_what_waits_for_it(build: Build) -> None:
    house = build(channels=channel("chat", 'digest = "weekly tue,thu,fri 09:15"\ndigest_when_empty = true'))
    house.has("phone-1", 15)
    house.has("phone-2", 17)
    house.settle()
    found = house.foretold(days=5)
    assert times(found) == ["24 09:15:00", "26 09:15:00", "27 09:15:00"]
    assert [kinds([one]) for one in found] == [
        ["renewal.upcoming", "digest.sent"],
        ["renewal.upcoming", "digest.sent"],
        ["digest.sent"],
    ]


def test_a_cap_is_foretold_with_the_message_that_takes_the_rest(build: Build) -> None:
    """Four changes, one after the other; two messages an hour are taken."""
    house = build(channels=channel("chat", "max_per_hour = 2"))
    names = [f"phone-{place}" for place in range(4)]
    for name in names:
        house.has(name)
    house.settle()
    for name in names:
        house.lists["production"][name]["current_status"] = "pending"
        house.settle()
        house.now += 5 * MINUTE
    (one,) = house.foretold(days=2)
    assert one.at == T0 + HOUR
    assert sorted(str(alert.number_id) for alert in one.alerts) == names[2:]
    assert "2 messages an hour" in one.note


def test_messages_that_wait_in_the_outbox_are_foretold_for_now_or_for_their_next_try(build: Build) -> None:
    house = build(channels=channel("chat") + channel("late"))
    house.has(current_status="pending")
    house.poll()
    with house.store.transaction() as tx:
        late = house.way.channels[1]
        claimed = claim(tx, late, "UTC", house.now)
        assert claimed
        settle_failed(tx, claimed, "down", house.way, house.now, 0.5)
        due = next_due(tx, late, "UTC", house.now)
    found = house.foretold(days=1)
    assert [(one.at, one.channel, kinds([one])) for one in found] == [
        (house.now, "chat", ["status.changed"]),
        (due, "late", ["status.changed"]),
    ]


def test_what_settled_is_foretold_for_the_hour_it_settles(build: Build) -> None:
    """The last of five changes comes an hour before midnight: a day later it is still that day."""
    house = build(more='[reminders]\ncritical_every = "off"')
    house.has()
    for hour in range(18, 24):
        house.now = T0.replace(hour=hour)
        house.lists["production"]["phone-1"]["current_status"] = "suspended" if hour % 2 else "active"
        house.settle()
    assert times(of(house.foretold(days=3), "flapping.ended")) == ["24 23:00:00"]


# --- the fleet of today -------------------------------------------------------------------------------------------------


FORMS = {"both": {}, "dated": {"counted": False}, "counted": {"dated": False}}


def test_numbers_with_auto_renewal_renew_on_their_day_with_date_or_countdown_or_both(build: Build) -> None:
    house = build(more="[renewals]\nauto_renewal_warn_days = [5]\n", channels=f'{CHAT}routine = "at once"\n')
    for name, form in FORMS.items():
        house.has(name, 1, auto_renewal=True, **form)
    house.settle()
    found = house.foretold(days=3)
    for name in FORMS:
        told = [(f"{one.at:%d}", a.kind, a.days_left) for one in found for a in one.alerts if a.number_id == name]
        assert told == [("24", "renewal.due", 0), ("25", "renewal.renewed", 29)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("2026-11-28", "2026-12-28 2027-01-28 2027-02-28 2027-03-28"),
        ("2026-11-30", "2026-12-30 2027-01-30 2027-02-28 2027-03-30"),
        ("2026-12-31", "2027-01-31 2027-02-28 2027-03-31 2027-04-30 2027-05-31"),
        ("2027-12-29", "2028-01-29 2028-02-29 2028-03-29"),
        ("2028-01-30", "2028-02-29 2028-03-30"),
        ("2028-02-29", "2028-03-29 2028-04-29"),
    ],
)
def test_a_shorter_month_moves_a_renewal_day_for_that_month_only(first: str, then: str) -> None:
    """The last day of such a month stands in for the 29th, 30th and 31st; the next month has them again."""
    for form in FORMS:
        on = date.fromisoformat(first)
        zero = None if form == "dated" else int(midnight(on, "UTC").timestamp())
        listed = {"renewal_date": None if form == "counted" else first, "days_until_monthly_renewal": None}
        number = msgspec.convert(entry(auto_renewal=True, **listed), PhoneNumber, strict=False)
        known = Known(1, "phone-1", "", b"", zero, on.toordinal(), auto_renewal=True, is_sandbox=False)
        today = _Today({"phone-1": (known, number)}, Policy())
        for expected in map(date.fromisoformat, then.split()):
            today.now = midnight(on + DAY, "UTC")
            shown = today.fetch().entries["phone-1"].parsed
            if form != "dated":
                assert shown.countdown == (expected - on).days - 1, (form, expected)
            if form != "counted":
                assert shown.renewal_on("UTC") == expected, (form, expected)
            on = expected


def test_numbers_without_auto_renewal_go_overdue_and_stay_so(build: Build) -> None:
    house = build(more='[reminders]\ncritical_every = "off"\n')
    house.has("phone-1", 1)
    house.has("phone-2", 1, counted=False)
    house.has("phone-3", 1, dated=False)
    house.settle()
    found = of(house.foretold(days=6), "renewal.overdue")
    told = {alert.number_id: [] for one in found for alert in one.alerts}
    for one in found:
        for alert in one.alerts:
            told[alert.number_id].append((f"{one.at:%d}", alert.days_left))
    assert told == {f"phone-{number}": [("25", -1), ("26", -2), ("27", -3)] for number in (1, 2, 3)}


def test_a_number_that_is_overdue_although_it_should_renew_is_not_foretold_to_renew(build: Build) -> None:
    """Its payment failed; nothing says that it will not again."""
    house = build()
    house.has(left=-2, auto_renewal=True, unpaid=True)
    house.settle()
    found = house.foretold(days=3)
    assert set(kinds(of(found))) == {"renewal.overdue"}
    assert facts(of(found), "UTC") == facts([one for one in house.live(days=3) if one.channel], "UTC")


@pytest.mark.parametrize("form", [{"dated": False, "counted": False}])
def test_a_number_without_renewal_is_told_of_nothing(build: Build, form: dict[str, bool]) -> None:
    house = build()
    house.has(**form)
    house.has("phone-2", **form, auto_renewal=True)
    house.settle()
    assert house.foretold(days=3) == []


def test_a_missing_number_is_foretold_to_stay_away(build: Build) -> None:
    house = build(more="[renewals]\nmissing_after_polls = 1\n")
    house.has("phone-1", 2)
    house.has("phone-2", 60)
    house.settle()
    del house.lists["production"]["phone-1"]
    house.now += HOUR
    house.settle()
    found = house.foretold(days=3)
    assert set(kinds(found)) == {"number.missing"}
    assert times(found) == ["24 13:00:00", "25 13:00:00"]


@pytest.mark.parametrize("error", [TokenRejected("the token is rejected"), ServerTrouble("down")])
def test_a_list_that_cannot_be_read_now_is_not_foretold_to_be_read_again(build: Build, error: ApiError) -> None:
    """Nothing else changes: who asks must not be told that all will be well."""
    house = build()
    house.has(left=2)
    house.settle()
    house.faults["production"] = error
    for _ in range(3):
        house.now += HOUR
        house.settle()
    foretold = house.foretold(days=2)
    assert "watch.recovered" not in kinds(foretold)
    assert "renewal.upcoming" in kinds(foretold), "the countdown goes on without a list"
    assert "watch.stale" in kinds(foretold)


def test_an_environment_that_was_never_polled_takes_nothing_from_the_others(build: Build) -> None:
    house = build()
    house.has(left=2)
    house.settle()
    alone = house.foretold(days=2)
    house.lists["new"] = {}
    house.configure(CHAT)
    assert [(one.at, kinds([one])) for one in house.foretold(days=2)] == [(one.at, kinds([one])) for one in alone]
    assert alone


def test_an_environment_that_the_configuration_lost_is_not_foretold(build: Build) -> None:
    house = build(environments=("production", "old"))
    house.has(left=2, at="old")
    house.has(left=60)
    house.settle()
    del house.lists["old"]
    house.configure(CHAT)
    assert house.foretold(days=3) == []


def test_a_fault_of_the_inventory_is_not_foretold_to_mend(build: Build) -> None:
    house = build()
    file = house.folder / "inventory.csv"
    file.write_text("number,owner\n+15550000001,Ann\nnobody knows,Bob\n")
    house.configure(CHAT, f'[inventory]\nfile = "{file}"\n')
    house.has(left=60)
    house.settle()
    assert house.inventory.faults
    assert house.foretold(days=2) == []


def test_rules_and_thresholds_are_those_of_the_file_as_it_is_now(build: Build) -> None:
    house = build()
    house.has(left=12)
    house.settle()
    house.configure(
        channel("chat") + channel("other"), '[[rules]]\nname = "a"\nwarn_days = [11]\nchannels = ["other"]\n'
    )
    (one,) = house.foretold(days=2)
    assert (one.channel, one.alerts[0].days_left) == ("other", 11)


# --- it leaves nothing behind ---------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_copy_is_gone_afterwards_also_when_nobody_wants_the_rest(build: Build, temporary: Path) -> None:
    house = build()
    house.has(left=3)
    house.poll()
    ahead = look_ahead(house.settings, house.store, house.way, house.now, house.now + 7 * DAY)
    next(ahead)
    (copy,) = temporary.iterdir()
    assert copy.stat().st_mode & 0o077 == 0, "others cannot read the numbers"
    ahead.close()  # type: ignore[attr-defined]
    assert list(temporary.iterdir()) == []
    assert house.foretold(days=1)
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_no_copy(build: Build, temporary: Path) -> None:
    house = build()
    for place in range(40):
        house.has(f"phone-{place}", 4)
    house.settle()
    before = house.content()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_960, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot be (used|written)"):
            house.foretold()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(temporary.iterdir()) == []
    assert house.content() == before


# --- the command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def post() -> Iterator[HttpReceiver]:
    with http_receiver() as server:
        yield server


@pytest.fixture
def house(build: Build, post: HttpReceiver) -> House:
    """In Berlin, with three numbers and a channel that would take what is sent."""
    made = build(zone="Europe/Berlin", channels=channel("chat", port=post.port))
    made.has("phone-1", 3)
    made.has("phone-2", 5, auto_renewal=True)
    made.has("phone-3", 40, current_status="suspended")
    made.settle()
    return made


@pytest.fixture
def run(house: House) -> Run:
    return partial(commands.call, house.path, "preview", clock=lambda: house.now)


def told(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_seven_days_are_shown_and_nothing_is_sent_or_written(
    run: Run, house: House, post: HttpReceiver, temporary: Path
) -> None:
    house.has("phone-4", current_status="pending")
    house.poll()
    before = house.content()
    lines = run().stdout.splitlines()
    assert house.content() == before
    assert post.requests == []
    assert list(temporary.iterdir()) == []
    assert lines[2] == "From Mon 23 Nov 2026 13:00 to Sun 29 Nov 2026 23:59 (Europe/Berlin)."
    days = [line for line in lines[3:] if line and not line.startswith(" ")]
    assert days == [f"{date(2026, 11, day):%a %d %b %Y}" for day in range(23, 30)]
    first = lines.index("Mon 23 Nov 2026")
    assert lines[first + 1] == "  13:00  chat"
    assert lines[first + 2].split()[:2] == ["warning", "status.changed"]


def test_json_has_the_documented_keys(run: Run, house: House) -> None:
    house.silence(Match(ids=("phone-1",)), 30 * DAY)
    found = told(run("--json", "--days", "3"))
    for one in found:
        assert set(one) == {"at", "channel", "hidden", "note", "alerts"}
        assert (one["channel"] is None) == (one["hidden"] is not None)
        assert datetime.fromisoformat(one["at"]).utcoffset() == timedelta()
        for alert in one["alerts"]:
            assert set(alert) == {
                "kind", "severity", "environment", "number_id", "number", "days_left", "text",
            }  # fmt: skip
    assert [one["at"] for one in found] == sorted(one["at"] for one in found)
    assert {one["channel"] for one in found} == {None, "chat"}


def test_a_day_shows_that_day_and_days_shows_more_of_them(run: Run) -> None:
    whole = told(run("--json", "--days", "3"))
    for words, first, last in (
        (("--at", "2026-11-23"), "2026-11-22T23:00", "2026-11-23T23:00"),
        (("--at", "2026-11-25"), "2026-11-24T23:00", "2026-11-25T23:00"),
        (("--at", "20261124", "--days", "2"), "2026-11-23T23:00", "2026-11-25T23:00"),
    ):
        assert told(run("--json", *words)) == [one for one in whole if first <= one["at"] < last], words


def test_a_quiet_day_says_so(run: Run, house: House) -> None:
    house.acknowledge("phone-3", "phone-1")
    said = run("--days", "1").stdout
    assert said.endswith("\n\nNobody would be told of anything.\n")
    assert told(run("--days", "1", "--json")) == []


def refused(run: Run, at: str) -> str:
    result = run("--at", at, code=2)
    assert result.stdout == "", at
    (line,) = result.stderr.splitlines()
    assert line.startswith("renewal-watch: --at: "), at
    return line.removeprefix("renewal-watch: --at: ")


def test_a_day_that_is_none_is_one_sentence(run: Run) -> None:
    assert refused(run, "2026-11-22") == "2026-11-22 is past; see what was told with: renewal-watch alerts"
    assert refused(run, "1970-01-01").startswith("1970-01-01 is past")
    assert refused(run, "9999-12-30").startswith("9999-12-30 is too far ahead")
    assert refused(run, "2029-12-24") == "2029-12-24 is too far ahead to say anything about it"
    for at in ("", "2026-13-01", "2026-02-30", "24.12.2026", "tomorrow"):
        assert refused(run, at).startswith(f"'{at}' is not a time"), at


def test_the_first_day_of_the_calendar_is_past(run: Run) -> None:
    refused(run, "0001-01-01")


@pytest.mark.parametrize("at", ["next tuesday morning", "2026-11-24, a Tuesday", "2026-11-24T25:00", "2026-11-244"])
def test_nothing_that_is_written_after_a_day_is_left_unread(run: Run, at: str) -> None:
    assert refused(run, at).startswith(f"'{at}' is not a time")


def test_days_out_of_range_are_refused(run: Run) -> None:
    for days in ("0", "-1", "367", "many", "1.5"):
        assert "--days" in run("--days", days, code=2).stderr


def test_before_the_first_poll_it_says_what_to_do(run: Run, house: House, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    house.path.write_text(house.path.read_text().replace(str(house.folder), str(empty)))
    if Chosen.is_postgresql:
        nothing = url_of(empty / "renewal-watch.db", is_empty=True)
        house.path.write_text(house.path.read_text().replace(url_of(house.database), nothing))
    assert re.search("the first poll makes (it|them): renewal-watch poll", run(code=1).stderr)
    assert list(empty.iterdir()) == []
