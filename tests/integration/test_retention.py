"""The past goes by age and detail, and everything that is still answered is answered as before."""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import commands
import pytest
from conftest import T0
from databases import BOTH, SQLITE_ONLY, copied, opened
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from made_up import emptied, entry, listing
from rounds import few
from sqlalchemy import exists, func, insert, select, update

from renewal_watch.config.loading import load
from renewal_watch.database.schema import (
    actions,
    alerts,
    changes,
    deliveries,
    delivery_alerts,
    environments,
    incidents,
    lapses,
    metadata,
    polls,
    revoked_links,
    silences,
)
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import ServerTrouble
from renewal_watch.model.actor import Actor
from renewal_watch.model.alerts import Key
from renewal_watch.model.policy import Match, Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.web import LONGEST_LINK
from renewal_watch.settings.whole import Settings
from renewal_watch.store.access.links import revoke_links
from renewal_watch.store.access.tokens import create_token, list_tokens, revoke_token
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import COUNTDOWN, difference, history_of, snapshot_at
from renewal_watch.store.incidents.audit import note_action
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.incidents.silences import add_silence, close_silence
from renewal_watch.store.maintenance import batches, daily, retention
from renewal_watch.store.maintenance.batches import Pruned
from renewal_watch.store.maintenance.retention import Limits
from renewal_watch.store.numbers import find_number, fleet_of

pytestmark = BOTH

DAY = timedelta(days=1)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("phone-1", "phone-2", "phone-3")
ROUTING = Routing(channels=(Channel(name="chat", url="json://127.0.0.1:1"),))


class Stopped(Exception):
    """The process ends here."""


class Past:
    """A database, and polls of made-up lists into it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def polls(self, at: datetime, *entries: dict[str, Any] | None, environment: str = "production") -> None:
        """A poll that gave this list, or with None no list."""
        of = Environment(name=environment, base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")
        failed = entries == (None,)

        class Source:
            def fetch(self) -> Any:
                if failed:
                    msg = "the provider has trouble (HTTP 500)"
                    raise ServerTrouble(msg)
                return listing(*entries)

        poll.run_once(self.store, of, Source(), Policy(), ROUTING, lambda: at)

    def prune(
        self,
        limit: datetime,
        now: datetime,
        *,
        alerts: datetime | None = None,
        pause: Callable[[float], None] = lambda _: None,
    ) -> Pruned:
        return retention.prune(self.store, Limits(changes=limit, alerts=alerts or limit), now, pause)

    def confirm(self, at: datetime) -> None:
        """An answer of a provider said this time."""
        with self.store.transaction() as tx:
            tx.connection.execute(environments.update().values(confirmed_at=at))

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self.store.reading() as tx:
            yield tx

    def good(self, environment_id: int | None = None) -> list[tuple[int, datetime]]:
        """The polls whose lists can be given back, in the order of their ids."""
        query = select(polls.c.id, polls.c.started_at).where(polls.c.outcome == "ok").order_by(polls.c.id)
        if environment_id is not None:
            query = query.where(polls.c.environment_id == environment_id)
        with self.reading() as tx:
            return [(row.id, row.started_at) for row in tx.connection.execute(query)]

    def list_at(self, at: datetime) -> dict[str, Any] | None:
        """The list of the only environment at a time, by id."""
        with self.reading() as tx:
            ((environment_id, _, _),) = environment_states(tx)
            found = snapshot_at(tx, environment_id, at)
        return None if found is None else {one["id"]: one for one in found[1]}

    def broken(self) -> dict[str, int]:
        """How many rows refer to rows that are gone, by table."""
        found = {}
        for table in metadata.sorted_tables:
            for key in table.foreign_keys:
                missing = ~exists().where(key.column == key.parent)
                if count := self.count(table, key.parent.is_not(None), missing):
                    found[table.name] = count
        return found

    def count(self, table: Any, *conditions: Any) -> int:
        with self.reading() as tx:
            return int(tx.connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())


@pytest.fixture(scope="module")
def made(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    store = opened(copied(empty, tmp_path_factory.mktemp("retention") / "past.db"))
    if store.path is not None:
        store.hurry()
    yield Past(store)
    store.close()


@pytest.fixture
def past(made: Past) -> Past:
    emptied(made.store)
    return made


def one(name: str, at: datetime, renews_on: datetime, **changed: Any) -> dict[str, Any]:
    """A number with a countdown that ticks at midnight."""
    days = (renews_on.date() - at.date()).days
    return entry(name, **({"renewal_date": renews_on.date().isoformat(), COUNTDOWN: days} | changed))


# --- what is answered stays right -------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[datetime, list[dict[str, Any]] | None]]:
    """Polls over months: numbers come and go, change to and fro, and count down in any form or none."""
    at, found = JANUARY, []
    for _ in range(draw(st.integers(4, 14))):
        at += timedelta(hours=draw(st.sampled_from([1, 7, 24, 60, 200, 400, 800])), seconds=draw(st.integers(0, 3600)))
        if draw(st.integers(0, 9)) == 0:
            found.append((at, None))
            continue
        those = []
        for name in NAMES:
            if draw(st.integers(0, 5)) == 0:
                continue
            renews_on = JANUARY + draw(st.sampled_from([20, 50, 100, 300])) * DAY
            ahead = (renews_on - at) / DAY
            form = draw(st.sampled_from(["days", "days", "days", "words", "late", "exact", "rounded", "said", "none"]))
            days: Any = {
                "days": (renews_on.date() - at.date()).days,
                "words": str((renews_on.date() - at.date()).days),
                "late": (renews_on.date() - at.date()).days + 1,
                "exact": round(ahead, 6) + 0.0,
                "rounded": round(ahead, 1) + 0.0,
                "said": f"{ahead:.3f}",
                "none": None,
            }[form]
            more = draw(st.sampled_from([{}, {}, {"odd": [1, {"x": None}]}, {"odd": "ü"}, {"odd": None}]))
            status = draw(st.sampled_from(["active", "active", "pending"]))
            those.append(one(name, at, renews_on, **{COUNTDOWN: days, "current_status": status}, **more))
        found.append((at, those))
    return found


def assert_alike(found: dict[str, Any] | None, wanted: dict[str, Any] | None) -> None:
    """The same lists; a fraction may differ in its last digit, for it was rounded at another time."""
    assert (found is None) == (wanted is None)
    if found is None or wanted is None:
        return
    assert found.keys() == wanted.keys()
    for name, given_now in found.items():
        assert _steady(given_now) == _steady(wanted[name])
        value, was = given_now[COUNTDOWN], wanted[name][COUNTDOWN]
        assert type(value) is type(was)
        if isinstance(was, float) or "." in str(was):
            assert float(value) == pytest.approx(float(was), abs=2e-6)
        else:
            assert value == was


class Expected:
    """What each good poll's list was, and which of them must still be there."""

    def __init__(self, past: Past) -> None:
        self.past = past
        self.lists: dict[int, dict[str, Any] | None] = {}
        self.times: dict[int, datetime] = {}
        self._turn = 0

    def learn(self) -> None:
        """Keep the lists of all good polls that are not known yet."""
        for pk, at in self.past.good():
            if pk not in self.lists:
                self.lists[pk], self.times[pk] = self.past.list_at(at), at

    def hold(self) -> None:
        """Every list that is given is the one that it was; a number's history tells of the same."""
        for pk, at in self.past.good():
            assert_alike(self.past.list_at(at), self.lists[pk])

    def look(self) -> None:
        """As ``hold``, for one of the lists: each time another one."""
        good = self.past.good()
        if good:
            self._turn += 1
            pk, at = good[self._turn % len(good)]
            assert_alike(self.past.list_at(at), self.lists[pk])

    def kept(self, limit: datetime) -> list[int]:
        """The last of each month that lies before the limit, and all from then on."""
        first = limit.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        last_of = {(at.year, at.month): pk for pk, at in self.times.items() if at < first}
        return sorted({*last_of.values(), *(pk for pk, at in self.times.items() if at >= first)})

    def assert_history(self) -> None:
        """Between two polls that stayed, a number's history says what differs between their lists."""
        good = self.past.good()
        if not good:
            return
        with self.past.reading() as tx:
            ((environment_id, _, _),) = environment_states(tx)
            told = {name: history_of(tx, known, environment_id) for name, known in fleet_of(tx, environment_id).items()}
        for (_, before_at), (pk, at) in pairwise(good):
            before, now = self.past.list_at(before_at), self.past.list_at(at)
            assert before is not None
            assert now is not None
            for name, events in told.items():
                those = [event for event in events if event["not_yet_at"] == before_at and event["seen_at"] == at]
                is_new = any(before_at < event["seen_at"] <= at for event in events if event["what"] == "listed")
                if name in before and name in now:
                    wanted = difference(_steady(before[name]), _steady(now[name]))
                    (event,) = those or [{"what": "changed", "fields": {}, "entry": now[name]}]
                    assert event["what"] == "changed", pk
                    assert _steady(event["fields"]) == wanted
                    assert _steady(event["entry"]) == _steady(now[name])
                elif name in before:
                    assert [event["what"] for event in those] == ["unlisted"]
                elif name in now and not is_new:
                    assert [event["what"] for event in those] == ["listed again"]


def _steady(entry_of: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry_of.items() if name != COUNTDOWN}


@given(
    histories(),
    histories(),
    st.integers(0, 200),
    st.integers(0, 60),
    st.lists(st.integers(0, 6), max_size=3),
    st.integers(2, 5),
)
@few(8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_lists_of_polls_that_stay_are_what_they_were(
    made: Past,
    monkeypatch: pytest.MonkeyPatch,
    first: list[Any],
    second: list[Any],
    days: int,
    more_days: int,
    kills: list[int],
    batch: int,
) -> None:
    """At any moment in between, after a kill between any two transactions, and when it is done again later."""
    for name in ("PAGE", "FEWEST", "FIRST", "MOST"):  # so that every history is done in parts
        monkeypatch.setattr(batches, name, batch)
    monkeypatch.setattr(batches, "NUMBERS", 2)
    emptied(made.store)
    expected = Expected(made)
    limit = JANUARY + days * DAY
    shift = timedelta(0)
    for history in (first, second):
        for at, those in history:
            made.polls(at + shift, *([None] if those is None else those))
            expected.learn()
        shift += history[-1][0] - JANUARY
        now = JANUARY + shift + DAY
        for steps in kills:
            left = iter(range(steps))

            def pause(_: float, left: Iterator[int] = left) -> None:
                expected.look()
                if next(left, None) is None:
                    raise Stopped

            with contextlib.suppress(Stopped):
                made.prune(limit, now, alerts=JANUARY, pause=pause)
        made.prune(limit, now, alerts=JANUARY, pause=lambda _: expected.look())
        expected.hold()
        expected.assert_history()
        assert [pk for pk, _ in made.good()] == expected.kept(limit)
        assert made.broken() == {}
        marked = polls.c.outcome == "pruned"
        has_target = polls.c.id < (made.good() or [(0, T0)])[-1][0]
        moved = select(changes.c.poll_id)
        assert made.count(polls, marked, has_target, polls.c.id.in_(moved)) == 0
        assert made.prune(limit, now, alerts=JANUARY) == Pruned(), "there is no more to do"
        limit += more_days * DAY


def test_between_two_polls_that_stayed_the_earlier_list_is_given(past: Past) -> None:
    for day in range(0, 90, 3):
        at = JANUARY + day * DAY
        past.polls(at, one("phone-1", at, JANUARY + 300 * DAY, current_price=day))
    march = datetime(2026, 3, 1, tzinfo=UTC)
    past.prune(march, march + 40 * DAY)
    assert [f"{at:%m-%d}" for _, at in past.good()][:3] == ["01-31", "02-27", "03-02"]
    prices = {}
    for day in ("2026-01-30", "2026-01-31", "2026-02-20", "2026-02-27", "2026-03-01", "2026-03-02"):
        found = past.list_at(datetime.fromisoformat(f"{day}T23:59:00+00:00"))
        prices[day[5:]] = None if found is None else found["phone-1"]["current_price"]
    assert prices == {"01-30": None, "01-31": 30, "02-20": 30, "02-27": 57, "03-01": 57, "03-02": 60}


def test_what_changed_back_within_a_month_is_no_change(past: Past) -> None:
    for day, status in ((0, "active"), (3, "pending"), (6, "active"), (40, "active")):
        at = JANUARY + day * DAY
        past.polls(at, one("phone-1", at, JANUARY + 300 * DAY, current_status=status))
    assert past.count(changes) == 2
    done = past.prune(JANUARY + 31 * DAY, JANUARY + 400 * DAY)
    assert (done.changes, past.count(changes)) == (2, 0)
    assert past.count(polls) == 4 - done.poll_lines == 3, "the first list has the line of its time"


def test_a_fraction_is_told_as_it_read_however_many_changes_came_after(past: Past) -> None:
    """It ticks as foretold, so that no change says what it was."""
    ahead = {day: 100 - day * 0.25 for day in range(5)}
    for day, days in ahead.items():
        at = JANUARY + day * timedelta(hours=6)
        past.polls(at, one("phone-1", at, JANUARY + 100 * DAY, current_price=day, **{COUNTDOWN: days}))
    found = {day: past.list_at(JANUARY + day * timedelta(hours=6)) for day in ahead}
    assert {day: one and one["phone-1"][COUNTDOWN] for day, one in found.items()} == ahead


def test_a_poll_whose_clock_was_dead_takes_nothing_with_it(past: Past) -> None:
    """Right after it the clock is set; what was seen in the wrong time is still of yesterday."""
    march = datetime(2026, 3, 20, tzinfo=UTC)
    price = iter(range(100))
    for at in (march, datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 1, tzinfo=UTC), march + DAY):
        past.polls(at, one("phone-1", at, march + 100 * DAY, current_price=next(price)))
    past.prune(march - 10 * DAY, march + 2 * DAY)
    assert len(past.good()) == 4


def test_environments_are_let_go_each_by_itself(past: Past) -> None:
    for environment in ("production", "staging"):
        for day in (1, 2, 3, 50):
            at = JANUARY + day * DAY
            past.polls(at, one("phone-1", at, JANUARY + 90 * DAY, current_price=day), environment=environment)
    past.prune(JANUARY + 31 * DAY, JANUARY + 60 * DAY)
    with past.reading() as tx:
        ids = [pk for pk, _, _ in environment_states(tx)]
    assert [[at.day for _, at in past.good(pk)] for pk in ids] == [[4, 20], [4, 20]]
    assert past.count(changes) == 4


def test_lists_of_months_go_too_where_that_is_asked(past: Past) -> None:
    for day in range(1, 120, 5):
        at = JANUARY + day * DAY
        past.polls(at, one("phone-1", at, JANUARY + 300 * DAY, current_price=day))
    now = JANUARY + 130 * DAY
    whole = past.list_at(now)
    limits = Limits(changes=now - 20 * DAY, alerts=now - 60 * DAY, months=now - 60 * DAY)
    retention.prune(past.store, limits, now, lambda _: None)
    first_id, first_at = past.good()[0]
    assert [f"{at:%m-%d}" for _, at in past.good()][:4] == ["02-26", "03-28", "04-02", "04-07"]
    assert past.count(changes, changes.c.poll_id <= first_id) == 0
    assert past.list_at(first_at - timedelta(seconds=1)) is None
    assert past.list_at(now) == whole


@pytest.mark.parametrize("limit", [JANUARY, JANUARY + 45 * DAY, JANUARY + 200 * DAY])
def test_all_before_a_day_leaves_the_lists_from_then_on(past: Past, limit: datetime) -> None:
    for day in range(0, 60, 2):
        at = JANUARY + day * DAY
        past.polls(at, one("phone-1", at, JANUARY + 300 * DAY, current_price=day))
    wanted = {at: past.list_at(at) for _, at in past.good() if at >= limit}
    known = past.list_at(limit)
    now = max(limit, JANUARY + 60 * DAY)
    retention.prune(past.store, Limits.all_before(limit), now, lambda _: None)
    assert {at: past.list_at(at) for _, at in past.good() if at >= limit} == wanted
    assert len(past.good()) == len(wanted) + (limit > JANUARY)
    assert past.list_at(limit) == known
    assert past.broken() == {}


# --- alerts -----------------------------------------------------------------------------------------------------------


def old_alert(tx: Transaction, pk: int, at: datetime, *states: str, of: int = 0) -> None:
    """An alert with a message for each state."""
    tx.connection.execute(
        insert(alerts).values(
            id=pk, environment_id=1, number_id=of, kind="status.changed", mark=str(pk), severity=1, headline="h",
            text="t", created_at=at,
        )
    )  # fmt: skip
    for place, state in enumerate(states):
        delivery = pk * 10 + place
        tx.connection.execute(
            insert(deliveries).values(
                id=delivery, message_id=f"rw-{delivery}", channel="chat", state=state, created_at=at,
                next_attempt_at=at, give_up_at=at,
            )
        )  # fmt: skip
        tx.connection.execute(insert(delivery_alerts).values(delivery_id=delivery, alert_id=pk))


def left(past: Past, table: Any) -> list[int]:
    with past.reading() as tx:
        return sorted(tx.connection.execute(select(table.c.id)).scalars())


def test_alerts_go_when_their_messages_ended_and_nothing_is_open(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE", "FEWEST", "FIRST", "MOST"):
        monkeypatch.setattr(batches, name, 2)
    limit, young = JANUARY, JANUARY + DAY
    old = limit - DAY
    with past.store.transaction() as tx:
        old_alert(tx, 1, old, "sent", "failed")
        old_alert(tx, 2, old)  # nobody was told
        old_alert(tx, 3, old, "sent", "pending")
        old_alert(tx, 4, old, "sent")  # still open
        tx.connection.execute(
            insert(incidents).values(
                name="k", environment_id=1, number_id=0, topic="status", alert_id=4, kind="status.changed", severity=1, rank=0,
                opened_at=old, reminded=0,
            )
        )  # fmt: skip
        old_alert(tx, 5, old, "sent")
        old_alert(tx, 6, young, "sent")
        tx.connection.execute(
            insert(delivery_alerts).values(delivery_id=50, alert_id=6)
        )  # an old message of a young alert
        for pk in range(10, 30):
            old_alert(tx, pk, old, "sent")
        old_alert(tx, 30, young, "sent")
        for pk in (10, 11, 12, 13, 14, 15):
            tx.connection.execute(insert(delivery_alerts).values(delivery_id=200, alert_id=pk))  # of very many alerts
    done = past.prune(limit, young + DAY)
    assert left(past, alerts) == [3, 4, 5, 6, 30]
    assert left(past, deliveries) == [31, 40, 50, 60, 300]
    assert past.count(delivery_alerts) == 6
    assert (done.alerts, done.deliveries) == (22, 23)
    assert past.broken() == {}


def test_one_open_alert_does_not_keep_all_that_was_told_with_it(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty price changes and a suspended number in one message: what is over goes, what is open stays told."""
    for name in ("PAGE", "FEWEST", "FIRST", "MOST"):
        monkeypatch.setattr(batches, name, 7)
    with past.store.transaction() as tx:
        old_alert(tx, 1, JANUARY, "sent")
        for pk in range(2, 42):
            old_alert(tx, pk, JANUARY)
            tx.connection.execute(insert(delivery_alerts).values(delivery_id=10, alert_id=pk))
        tx.connection.execute(
            insert(incidents).values(
                name="k", environment_id=1, number_id=0, topic="status", alert_id=20, kind="status.changed", severity=1, rank=0,
                opened_at=JANUARY, reminded=0,
            )
        )  # fmt: skip
    past.prune(JANUARY + 30 * DAY, JANUARY + 60 * DAY)
    assert left(past, alerts) == [20, 41], "the newest one stays for its id"
    assert (left(past, deliveries), past.count(delivery_alerts)) == ([10], 1)
    assert past.broken() == {}


def test_the_newest_alert_stays_for_its_id_was_told(past: Past) -> None:
    with past.store.transaction() as tx:
        for pk in range(1, 4):
            old_alert(tx, pk, JANUARY, "sent")
    past.prune(JANUARY + 30 * DAY, JANUARY + 60 * DAY)
    assert left(past, alerts) == [3]


def test_alerts_of_a_clock_that_was_ahead_keep_no_older_ones(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE", "FEWEST", "FIRST", "MOST"):
        monkeypatch.setattr(batches, name, 2)
    with past.store.transaction() as tx:
        for pk in range(1, 6):
            old_alert(tx, pk, JANUARY + 3000 * DAY, "sent")
        for pk in range(6, 10):
            old_alert(tx, pk, JANUARY, "sent")
        old_alert(tx, 10, JANUARY + 59 * DAY, "sent")
    past.prune(JANUARY + 30 * DAY, JANUARY + 60 * DAY)
    assert left(past, alerts) == [1, 2, 3, 4, 5, 10]


def test_silences_and_deeds_go_by_age_and_lapses_never(past: Past) -> None:
    past.polls(JANUARY, one("phone-1", JANUARY, JANUARY + 300 * DAY))
    with past.store.transaction() as tx:
        known = find_number(tx, "phone-1")[2]
        ended, open_one = (add_silence(tx, Match(), (), JANUARY + 3 * DAY, "anna", "", JANUARY) for _ in range(2))
        close_silence(tx, ended, "anna", JANUARY + DAY)
        put_lapse(tx, known, "anna", "", JANUARY)
        note_action(tx, "lapse", Actor("anna"), "", known, 1, JANUARY)
        note_action(tx, "lapse", Actor("anna"), "", known, 1, JANUARY + 50 * DAY)
    done = past.prune(JANUARY + 40 * DAY, JANUARY + 60 * DAY)
    assert left(past, silences) == [open_one]
    assert (done.silences, done.actions, past.count(actions), past.count(lapses)) == (1, 1, 1, 1)


def test_tokens_and_links_that_count_no_more_go_by_age(past: Past) -> None:
    anna = Actor("anna")
    with past.store.transaction() as tx:
        for name, ends_at in (("old", JANUARY + DAY), ("revoked", None), ("good", None), ("late", JANUARY + 50 * DAY)):
            create_token(tx, name, "read", ends_at, anna, JANUARY)
        revoke_token(tx, "revoked", JANUARY + DAY)
        for at in (JANUARY, JANUARY + 50 * DAY):
            revoke_links(tx, None, None, at)
    past.prune(JANUARY + 40 * DAY, JANUARY + 60 * DAY)
    with past.reading() as tx:
        assert [found.name for found in list_tokens(tx)] == ["good", "late"]
    assert past.count(revoked_links) == 2, "a link may count for ninety days"
    past.prune(JANUARY + 40 * DAY + LONGEST_LINK, JANUARY + 200 * DAY)
    assert past.count(revoked_links) == 1


def test_what_is_let_go_is_not_told_again(past: Past) -> None:
    at = JANUARY
    entries = [one("phone-1", at, JANUARY + 2 * DAY, auto_renewal=False, current_status="suspended")]
    past.polls(at, *entries)
    with past.store.transaction() as tx:
        assert incidents_of(tx)
        tx.connection.execute(update(deliveries).values(state="sent"))
    told = past.count(alerts)
    retention.prune(past.store, Limits.all_before(at + timedelta(hours=2)), at + timedelta(hours=3), lambda _: None)
    assert 0 < past.count(alerts) <= told, "what is open stays"
    before = past.count(alerts)
    past.polls(at + timedelta(hours=4), *entries)
    assert past.count(alerts) == before
    with past.reading() as tx:
        assert Key("production", "phone-1", "renewal") in incidents_of(tx)


# --- once a day -------------------------------------------------------------------------------------------------------


@pytest.fixture
def watch(tmp_path: Path, past: Past) -> Settings:
    del past
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'timezone = "Europe/Berlin"\nstate_dir = "{tmp_path}"\n[retention]\nchanges_days = 30\n[[environments]]\n'
        'name = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_x"\n'
        '[[channels]]\nname = "chat"\nurl = "json://127.0.0.1:1"\n'
    )
    return load(path)


def two_months(past: Past) -> None:
    for day in range(60):
        at = JANUARY + day * DAY
        past.polls(at, one("phone-1", at, JANUARY + 300 * DAY, current_price=day))


def test_it_is_due_once_a_day_at_its_hour(past: Past, watch: Settings) -> None:
    at = datetime(2026, 11, 23, 10, tzinfo=UTC)
    times = {
        "the first time comes at its hour": (at, False),
        "the night before its hour": (datetime(2026, 11, 24, 2, 30, tzinfo=UTC), False),
        "its hour, 03:40 in Berlin": (datetime(2026, 11, 24, 2, 40, tzinfo=UTC), True),
        "done": (datetime(2026, 11, 24, 2, 41, tzinfo=UTC), False),
        "two nights without a daemon are one": (datetime(2026, 11, 26, 12, tzinfo=UTC), True),
        "and done": (datetime(2026, 11, 26, 12, 1, tzinfo=UTC), False),
        "the clock was put back": (datetime(2026, 11, 20, 12, tzinfo=UTC), False),
        "and goes on from there": (datetime(2026, 11, 21, 12, tzinfo=UTC), True),
    }
    done = {}
    for words, (now, _) in times.items():
        done[words] = daily.is_due(past.store, watch, now)
        assert daily.run_once(past.store, watch, lambda now=now: now, lambda _: None) == [], "nothing is so old"
        assert not daily.is_due(past.store, watch, now)
    assert done == {words: due for words, (_, due) in times.items()}


def test_it_says_what_was_let_go(past: Past, watch: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    two_months(past)
    now = JANUARY + 95 * DAY
    past.confirm(now)
    daily.is_due(past.store, watch, now)
    ((said, _),) = daily.run_once(past.store, watch, lambda: now + DAY, lambda _: None)
    assert said.startswith("deleted after its retention: 56 changes, 56 poll lines, 0 deliveries")
    assert [record.getMessage() for record in caplog.records if record.name == daily.__name__] == [said]


def test_what_a_stop_broke_off_is_taken_up_again(past: Past, watch: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE", "FEWEST", "FIRST", "MOST"):
        monkeypatch.setattr(batches, name, 10)
    two_months(past)
    now = JANUARY + 95 * DAY
    daily.is_due(past.store, watch, now)
    now += DAY
    past.confirm(now)

    def stop(seconds: float) -> None:
        assert seconds > 0
        if past.count(changes) < 40:
            raise Stopped

    with pytest.raises(Stopped):
        daily.run_once(past.store, watch, lambda: now, stop)
    assert past.count(polls) == 60, "no line was deleted yet"
    now += timedelta(minutes=5)
    assert daily.is_due(past.store, watch, now)
    assert daily.run_once(past.store, watch, lambda: now, lambda _: None)
    assert past.count(polls, polls.c.outcome == "pruned") == 1, "the first list has the line of its time"
    assert past.count(polls) == 4
    assert not daily.is_due(past.store, watch, now)


@pytest.mark.parametrize("confirmed", ["never", "before", "by another clock"])
def test_by_a_clock_that_is_ahead_for_a_moment_nothing_is_deleted(past: Past, watch: Settings, confirmed: str) -> None:
    two_months(past)
    last = past.good()[-1][1] + 2 * DAY
    daily.is_due(past.store, watch, last - DAY)
    daily.run_once(past.store, watch, lambda: last, lambda _: None)
    if confirmed != "never":
        past.confirm(last)
    before = past.count(polls), past.count(changes)
    ahead = last + 3650 * DAY
    past.polls(ahead, one("phone-1", ahead, JANUARY + 300 * DAY))
    if confirmed == "by another clock":
        with past.store.transaction() as tx:
            tx.connection.execute(environments.update().values(confirmed_at=ahead, clock_off_at=ahead))
    daily.run_once(past.store, watch, lambda: ahead + timedelta(seconds=8), lambda _: None)
    assert past.count(polls) == before[0] + 1
    assert past.count(changes) >= before[1]
    past.polls(ahead + DAY, one("phone-1", ahead, JANUARY + 300 * DAY))  # … but by one that stays it is
    daily.is_due(past.store, watch, ahead + 3 * DAY)
    daily.run_once(past.store, watch, lambda: ahead + 3 * DAY, lambda _: None)
    assert past.count(polls) < before[0]


# --- the file ---------------------------------------------------------------------------------------------------------

LONG = "x" * 2000


def grown(path: Path) -> Store:
    """A database in which most is old."""
    store = opened(path)
    store.upgrade()
    store.hurry()
    past = Past(store)
    for day in range(60):
        at = JANUARY + day * DAY
        past.polls(at, *(one(f"phone-{n}", at, JANUARY + 300 * DAY, odd=f"{day}{LONG}") for n in range(20)))
    return store


@SQLITE_ONLY
def test_the_file_gives_space_back_in_short_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "VACUUM", 50)
    path = tmp_path / "watch.db"
    store = grown(path)
    before = path.stat().st_size
    sizes: list[int] = []
    pause = lambda _: sizes.append(path.stat().st_size)  # noqa: E731 (what follows looks at each step)
    done = Past(store).prune(JANUARY + 60 * DAY, JANUARY + 70 * DAY, pause=pause)
    store.close()
    after = path.stat().st_size
    assert after < before / 5
    assert done.freed == pytest.approx(before - after, rel=0.01)
    steps = [was - now for was, now in pairwise(sizes) if was > now]
    assert max(steps) <= 51 * 4096
    assert sorted(steps)[1] > 45 * 4096, "all but the last one"
    assert f"{done.freed / 1e6:.1f} MB given back" in str(done)


@SQLITE_ONLY
def test_a_file_of_an_older_release_is_written_anew_once(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    grown(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = 0")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    store = opened(path)
    limit, now = JANUARY + 60 * DAY, JANUARY + 70 * DAY
    before = path.stat().st_size
    assert Past(store).prune(limit, now).freed == 0, "it can not"
    assert path.stat().st_size == before
    assert store.make_shrinkable()
    assert path.stat().st_size < before / 5, "that leaves out what is free"
    assert store.make_shrinkable()
    assert Past(store).broken() == {}
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


@SQLITE_ONLY
@pytest.mark.parametrize("fault", ["no room", "a full disk"])
def test_that_a_file_cannot_be_written_anew_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    path = tmp_path / "watch.db"
    grown(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = 0")
        connection.execute("VACUUM")
    store = opened(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if fault == "no room":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 10**5, 10**5))
        assert not store.make_shrinkable()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            assert not store.make_shrinkable()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said.startswith(f"{path} can not give space back")
    assert said.endswith("renewal-watch db upgrade")
    assert Past(store).count(changes) == 59 * 20
    assert Past(store).broken() == {}
    store.close()


# --- by hand ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, watch: Settings) -> Callable[..., Any]:
    """The command on a database of two months that ended half a year ago; the configuration keeps changes for 30 days."""
    store = opened(tmp_path / "renewal-watch.db")
    store.upgrade()
    store.hurry()
    begin = T0 - 240 * DAY
    for day in range(60):
        at = begin + day * DAY
        Past(store).polls(at, one("phone-1", at, begin + 300 * DAY, current_price=day))
    store.close()

    def run(*words: str, code: int = 0) -> Any:
        found = commands.call(watch.path, "db", "prune", *words, code=code)
        return json.loads(found.stdout) if "--json" in words and code == 0 else found.output

    return run


@SQLITE_ONLY
def test_prune_goes_by_the_configuration(command: Callable[..., Any], tmp_path: Path) -> None:
    before = (tmp_path / "renewal-watch.db").read_bytes()
    tried = command("--dry-run", "--json")
    assert (tmp_path / "renewal-watch.db").read_bytes() == before
    done = command("--json")
    assert (tried.pop("dry_run"), done.pop("dry_run")) == (True, False)
    assert done == tried, "a dry run says what will be done"
    assert done["deleted"]["changes"] > 50
    assert done["deleted"].keys() == {"changes", "poll_lines", "deliveries", "alerts", "silences", "actions"}
    assert command("--dry-run").startswith("would delete 0 changes, 0 poll lines")
    assert command().startswith("deleted 0 changes")


@SQLITE_ONLY
def test_prune_with_an_age_leaves_nothing_older(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command("--older-than", "200", "--json")
    assert 38 <= done["deleted"]["changes"] <= 41
    store = opened(tmp_path / "renewal-watch.db")
    assert 20 <= len(Past(store).good()) <= 22
    store.close()
    assert command("--older-than", "1", "--json")["deleted"]["changes"] >= 19
    command("--older-than", "0", code=2)


# --- in short transactions --------------------------------------------------------------------------------------------


@SQLITE_ONLY
def test_a_poll_goes_on_while_the_past_is_let_go(tmp_path: Path) -> None:
    """Between any two transactions the file is free for another process."""
    path = tmp_path / "watch.db"
    store, other = grown(path), opened(path)
    other.hurry()
    polled = count()

    def pause(_: float) -> None:
        at = JANUARY + 70 * DAY + next(polled) * timedelta(hours=1)
        Past(other).polls(at, *(one(f"phone-{n}", at, JANUARY + 300 * DAY) for n in range(20)))

    done = Past(store).prune(JANUARY + 60 * DAY, JANUARY + 75 * DAY, pause=pause)
    assert done.changes > 1000
    assert next(polled) > 5
    assert Past(store).broken() == {}
    store.close()
    other.close()
