"""The calendar: its bytes against the rules that Google, Outlook and Apple are known to have, read back with vobject."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import vobject
from conftest import T0
from databases import EITHER
from hypothesis import given
from hypothesis import strategies as st
from made_up import emptied, entry, listing
from rounds import few
from world import write_config

from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.errors import UsageError
from renewal_watch.model.actor import Actor
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.reports import calendar
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.audit import note_action
from renewal_watch.store.incidents.lapses import drop_lapse, put_lapse
from renewal_watch.store.numbers import find_number

pytestmark = EITHER

HOUR = timedelta(hours=1)


class Watched:
    """A database, and polls of made-up lists into it."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings

    def polls(self, at: datetime, *entries: dict[str, Any], environment: str = "production") -> None:
        one = self.settings.environment(environment)
        source = type("Source", (), {"fetch": lambda _: listing(*entries)})()
        done = poll.run_once(
            self.store, one, source, self.settings.policy(one), Routing.of(self.settings, {}), lambda: at
        )
        assert done.error is None

    def text(self, now: datetime = T0 + timedelta(minutes=5), **how: Any) -> bytes:
        with self.store.transaction() as tx:
            return calendar.calendar(tx, self.settings, now, **how)

    def events(self, now: datetime = T0 + timedelta(minutes=5), **how: Any) -> list[Any]:
        """As vobject reads them."""
        read = vobject.readOne(self.text(now, **how).decode())
        return list(read.vevent_list)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("ics")
    more = '[[environments]]\nname = "staging"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_other_made_up"\n'
    path = write_config(folder, "http://127.0.0.1:1", more=more)
    path.write_text(path.read_text() + f'\n[inventory]\nfile = "{folder}/inventory.csv"\n')
    (folder / "inventory.csv").write_text("number,owner,labels,note\n+15550000001,support,hotline|de,ring first\n")
    settings = load(path)
    store = Store(settings.database_url, is_simulated=True)
    store.upgrade()
    yield Watched(store, settings)
    store.close()


@pytest.fixture
def watched(made: Watched) -> Watched:
    emptied(made.store)
    return made


def one(index: int, days: int | None, at: datetime = T0, **changes: Any) -> dict[str, Any]:
    day = None if days is None else (at.date() + timedelta(days=days)).isoformat()
    return entry(f"phone-{index}", renewal_date=day, days_until_monthly_renewal=days, **changes)


def summaries(events: list[Any]) -> list[str]:
    return [event.summary.value for event in events]


# --- the format -------------------------------------------------------------------------------------------------------

ODD = 'Müller; Söhne, \\ and "Co" ' + "ß" * 80


def lines(text: bytes) -> list[bytes]:
    return text.split(b"\r\n")


RULES: dict[str, Callable[[bytes], bool]] = {
    "every line ends with CRLF and no other line end is in it": lambda text: (
        text.endswith(b"END:VCALENDAR\r\n") and not re.search(rb"(?<!\r)\n|\r(?!\n)", text)
    ),
    "no line is longer than 75 octets": lambda text: max(map(len, lines(text))) <= 75,
    "a fold is at the border of a character": lambda text: all(
        line.decode("utf-8") is not None for line in lines(text)
    ),
    "some line is folded": lambda text: any(line.startswith(b" ") for line in lines(text)),
    "version 2.0 comes with a product": lambda text: b"\r\nVERSION:2.0\r\n" in text and b"\r\nPRODID:-//" in text,
    "it is published": lambda text: b"\r\nMETHOD:PUBLISH\r\n" in text,
    "it has a name and says how often to ask": lambda text: all(
        name in text
        for name in (
            b"\r\nX-WR-CALNAME:",
            b"\r\nNAME:",
            b"\r\nREFRESH-INTERVAL;VALUE=DURATION:PT6H\r\n",
            b"\r\nX-PUBLISHED-TTL:PT6H",
        )
    ),
    "days are dates, so that no zone is needed": lambda text: (
        b"VTIMEZONE" not in text
        and b"TZID" not in text
        and text.count(b"DTSTART;VALUE=DATE:") == text.count(b"BEGIN:VEVENT")
    ),
    "every event has what RFC 5545 and readers ask for": lambda text: all(
        text.count(b"\r\n" + name) == text.count(b"BEGIN:VEVENT")
        for name in (b"UID:", b"DTSTAMP:", b"SEQUENCE:", b"DTSTART;", b"DTEND;", b"SUMMARY:", b"TRANSP:TRANSPARENT")
    ),
    "instants are in UTC": lambda text: (
        len(re.findall(rb"\r\n(?:DTSTAMP|LAST-MODIFIED):\d{8}T\d{6}Z\r\n", text)) == 2 * text.count(b"BEGIN:VEVENT")
    ),
    "no event rings": lambda text: b"VALARM" not in text,
    "no control character is in it": lambda text: not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", text),
}


@pytest.mark.parametrize("by_day", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_the_bytes_are_as_readers_want_them(watched: Watched, rule: str, by_day: bool) -> None:
    watched.polls(T0, one(1, 3), one(2, 3, number=None, id=ODD), one(3, 9, current_status=f"odd\x07\r\n {ODD}"))
    watched.polls(T0, one(4, 1), environment="staging")
    assert RULES[rule](watched.text(by_day=by_day))


def test_an_empty_calendar_is_none(watched: Watched) -> None:
    """RFC 5545, 3.6 wants at least one component; Google refuses a calendar without."""
    watched.polls(T0, one(1, None), environment="production")
    watched.polls(T0, environment="staging")
    assert summaries(watched.events()) == ["renewal-watch: No renewal day is known"]
    assert watched.text(T0 + timedelta(minutes=5)) == watched.text(T0 + timedelta(minutes=50))


@given(st.text(max_size=300), st.text(max_size=60))
@few(25)
def test_whatever_the_inventory_says_the_calendar_can_be_read(made: Watched, note: str, status: str) -> None:
    emptied(made.store)
    inventory = made.settings.inventory_path
    assert inventory is not None
    before = inventory.read_text()
    made.polls(T0, one(1, 3, current_status=status.encode("utf-8", "replace").decode()))
    made.polls(T0, environment="staging")
    with inventory.open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows([("number", "note"), ("+15550000001", note)])
    text = made.text()
    inventory.write_text(before)
    assert all(len(line) <= 75 for line in lines(text))
    (event,) = made.events()
    assert event.dtstart.value == date(2026, 11, 26)


# --- one event a number -----------------------------------------------------------------------------------------------


def test_an_event_says_what_somebody_wants_to_know_of_the_day(watched: Watched) -> None:
    watched.polls(T0, one(1, 3))
    watched.polls(T0, environment="staging")
    (event,) = watched.events()
    assert event.summary.value == "+15550000001 renews: 1.00 USD"
    assert (event.dtstart.value, event.dtend.value) == (date(2026, 11, 26), date(2026, 11, 27))
    assert event.description.value.splitlines() == [
        "Environment: production",
        "Status: active",
        "Cost of a renewal: 1.00 USD",
        "Auto-renewal: on",
        "Owner: support",
        "Labels: hotline, de",
        "Note: ring first",
        "Id: phone-1",
        "Change it in: the provider's dashboard",
        "Look it up: renewal-watch explain +15550000001",
    ]
    assert event.categories.value == ["renewal-watch", "production"]


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({"auto_renewal": False}, "+15550000001 ends unless renewed: 1.00 USD"),
        ({"auto_renewal": None}, "+15550000001 ends unless renewed: 1.00 USD"),
        ({"current_status": "Suspended"}, "+15550000001 renews: 1.00 USD (suspended)"),
        ({"current_status": None}, "+15550000001 renews: 1.00 USD (no status)"),
        ({"monthly_renewal_cost": None, "current_price": None}, "+15550000001 renews"),
        ({"monthly_renewal_cost": 2.5, "currency": "EUR"}, "+15550000001 renews: 2.50 EUR"),
        ({"number": None}, "phone-1 renews: 1.00 USD"),
    ],
)
def test_the_summary_tells_what_will_be(watched: Watched, changes: dict[str, Any], summary: str) -> None:
    watched.polls(T0, one(1, 3, **changes))
    watched.polls(T0, environment="staging")
    assert summaries(watched.events()) == [summary]


def test_its_name_may_hold_what_has_a_meaning_in_the_format(watched: Watched) -> None:
    """The library writes NAME as it stands; a line break in an owner's name was an AssertionError."""
    text = watched.text(owner="a\nb", label="Söhne; Co, \\")
    for key in (b"NAME", b"X-WR-CALNAME"):
        assert key + ":Renewals: a\\nb\\, Söhne\\; Co\\, \\\\".encode() in lines(text)


def test_what_does_not_renew_is_not_there(watched: Watched) -> None:
    watched.polls(
        T0, one(1, 3), one(2, None), one(3, 4, is_sandbox=True), one(4, 5), *(one(i, 30) for i in range(5, 12))
    )
    watched.polls(T0, environment="staging")
    for hour in range(1, 4):
        at = T0 + hour * HOUR
        watched.polls(at, one(1, 3), one(2, None), one(3, 4, is_sandbox=True), *(one(i, 30) for i in range(5, 12)))
    found = summaries(watched.events(T0 + 4 * HOUR))
    assert found[0].startswith("+15550000001")
    assert len(found) == 8
    assert not any(name in text for text in found for name in ("0002", "0003", "0004"))


def test_a_moved_renewal_moves_its_event(watched: Watched) -> None:
    """The same UID with a greater SEQUENCE; with the date in the UID a reader would show both days."""
    watched.polls(T0 - 2 * HOUR, one(1, 3))
    watched.polls(T0, environment="staging")
    (before,) = watched.events()
    watched.polls(T0, one(1, 12))
    (now,) = watched.events()
    assert (before.dtstart.value, now.dtstart.value) == (date(2026, 11, 26), date(2026, 12, 5))
    assert before.uid.value == now.uid.value
    assert int(now.sequence.value) > int(before.sequence.value)
    assert now.last_modified.value == T0


def test_a_uid_is_the_number_s_own(watched: Watched) -> None:
    """Of the environment and the provider's id, whatever the database was before: kept for good."""
    watched.polls(T0, one(1, 3), one(2, 3))
    watched.polls(T0, one(1, 3), environment="staging")
    found = [event.uid.value for event in watched.events()]
    assert len(set(found)) == 3
    assert found[0] == "0058c380-e15d-5afa-a6d5-e9c46319dbd6"


def test_an_unchanged_fleet_gives_the_same_bytes(watched: Watched) -> None:
    for hour in range(4):
        at = T0 + hour * HOUR
        watched.polls(at, one(1, 3), one(2, 9))
        watched.polls(at, one(1, 3), environment="staging")
    first, by_day = watched.text(), watched.text(by_day=True)
    tomorrow = T0 + timedelta(days=1)
    watched.polls(tomorrow, one(1, 2, tomorrow), one(2, 8, tomorrow))
    watched.polls(tomorrow, one(1, 2, tomorrow), environment="staging")
    assert watched.text(tomorrow + HOUR) == first
    assert watched.text(tomorrow + HOUR, by_day=True) == by_day


@given(st.lists(st.sampled_from(["move", "price", "gone", "back", "lapse", "keep", "nothing"]), min_size=3, max_size=8))
@few(15)
def test_a_sequence_never_falls_and_grows_with_every_change(made: Watched, steps: list[str]) -> None:
    """Of the number's own event as of its day's, whatever happens."""
    emptied(made.store)
    made.polls(T0, environment="staging")
    state: dict[str, Any] = {"days": 40, "cost": 1, "listed": True}
    seen: dict[tuple[bool, str], tuple[int, bytes]] = {}
    others = [one(i, 60) for i in range(2, 12)]
    for count, step in enumerate(["nothing", *steps]):
        at = T0 + count * HOUR
        state["days"] += 9 * (step == "move")
        state["cost"] += step == "price"
        state["listed"] = step == "back" or (state["listed"] and step != "gone")
        mine = [one(1, state["days"], monthly_renewal_cost=state["cost"])] * state["listed"]
        made.polls(at, *others, *mine)
        if step in ("lapse", "keep"):
            with made.store.transaction() as tx:
                _, key, known = find_number(tx, "phone-1")
                (put_lapse(tx, known, "me", "", at) if step == "lapse" else drop_lapse(tx, "production", known, at))
                note_action(tx, "lapse" if step == "lapse" else "lapse withdrawn", Actor("me"), "", known, key, at)
        for by_day in (False, True):
            for event in made.events(at + timedelta(minutes=1), by_day=by_day):
                sequence, text = int(event.sequence.value), event.serialize().encode()
                before = seen.get((by_day, event.uid.value))
                assert 0 <= sequence < 2**31
                if before is not None:
                    assert sequence >= before[0]
                    assert text == before[1] or sequence > before[0]
                seen[by_day, event.uid.value] = (sequence, text)


def test_a_number_meant_to_lapse_says_so(watched: Watched) -> None:
    watched.polls(T0, one(1, 3), one(2, 4, auto_renewal=False))
    watched.polls(T0, environment="staging")
    with watched.store.transaction() as tx:
        for name in ("phone-1", "phone-2"):
            _, key, known = find_number(tx, name)
            put_lapse(tx, known, "me", "", T0)
            note_action(tx, "lapse", Actor("me"), "", known, key, T0 + HOUR)
    first, second = watched.events()
    assert first.summary.value == "+15550000001 is meant to expire"
    assert "Auto-renewal: on, so it would renew anyway; it is meant to expire" in first.description.value
    assert "Auto-renewal: off; it is meant to expire" in second.description.value
    assert first.last_modified.value == T0 + HOUR


# --- one event a day --------------------------------------------------------------------------------------------------


def test_a_day_tells_how_many_and_what_they_cost(watched: Watched) -> None:
    euro = {"currency": "EUR", "monthly_renewal_cost": 0.1}
    watched.polls(
        T0,
        *(one(i, 3) for i in range(1, 4)),
        *(one(i, 3, **euro) for i in range(4, 7)),
        one(7, 3, monthly_renewal_cost=None, current_price=None),
        one(8, 3, auto_renewal=False),
        one(9, 3, auto_renewal=False),
        one(10, 5, auto_renewal=False),
    )
    watched.polls(T0, one(1, 3), environment="staging")
    first, second, third = watched.events(by_day=True)
    assert first.summary.value == "7 numbers renew: 0.30 EUR + 3.00 USD; 2 end unless renewed (production)"
    assert second.summary.value == "1 number renews: 1.00 USD (staging)"
    assert third.summary.value == "1 number ends unless renewed (production)"
    told = first.description.value.splitlines()
    assert told[:2] == ["Environment: production", "Without a price: 1"]
    assert told[2:4] == ["+15550000008 ends unless renewed: 1.00 USD", "+15550000009 ends unless renewed: 1.00 USD"]
    assert len(told) == 11
    assert len({event.uid.value for event in (first, second, third)}) == 3
    (only,) = watched.events(by_day=True, environment="staging")
    assert only.summary.value == "1 number renews: 1.00 USD"
    assert only.uid.value == second.uid.value


def test_a_day_names_the_first_and_counts_the_rest(watched: Watched) -> None:
    watched.polls(T0, *(one(i, 3) for i in range(1, 31)))
    watched.polls(T0, environment="staging")
    (event,) = watched.events(by_day=True)
    told = event.description.value.splitlines()
    assert len(told) == 1 + calendar.NAMED + 1
    assert told[-1] == "and 10 more"


def test_a_large_fleet_is_shown_by_day(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.polls(T0, *(one(i, i) for i in range(1, 6)))
    watched.polls(T0, environment="staging")
    monkeypatch.setattr(calendar, "MOST", 5)
    assert watched.events()[0].summary.value.startswith("+1555")
    monkeypatch.setattr(calendar, "MOST", 4)
    assert watched.text().replace(b"\r\n ", b"").count(b"One event a day for there are more than 4 numbers.") == 2
    assert [text.startswith("1 number renews") for text in summaries(watched.events())] == [True] * 5


# --- what a reader must know ------------------------------------------------------------------------------------------


def test_a_calendar_says_that_nobody_looked(watched: Watched) -> None:
    """It must not look quiet because the watch is blind."""
    watched.polls(T0, one(1, 30))
    later = T0 + timedelta(days=2)
    found = watched.events(later)
    assert summaries(found)[1:] == [
        "renewal-watch: production: the list was not read since 2026-11-23 12:00 UTC",
        "renewal-watch: staging: the list was never read, its renewals are not known",
    ]
    assert found[1].dtstart.value == later.date()
    (again, _) = [event for event in watched.events(later + timedelta(days=1)) if "watch" in event.summary.value]
    assert again.uid.value == found[1].uid.value
    assert int(again.sequence.value) > int(found[1].sequence.value)


def test_one_environment_alone(watched: Watched) -> None:
    watched.polls(T0, one(1, 3))
    watched.polls(T0, one(2, 4), environment="staging")
    assert summaries(watched.events(environment="staging")) == ["+15550000002 renews: 1.00 USD"]
    assert b"\r\nX-WR-CALNAME:Renewals: staging\r\n" in watched.text(environment="staging")
    with pytest.raises(UsageError, match="there is no environment called elsewhere"):
        watched.text(environment="elsewhere")


def test_a_placeholder_at_the_end_of_time_is_no_event(watched: Watched) -> None:
    watched.polls(T0, entry("phone-1", renewal_date="9999-12-31", days_until_monthly_renewal=None), one(2, 3))
    watched.polls(T0, environment="staging")
    assert summaries(watched.events()) == ["+15550000002 renews: 1.00 USD"]


def test_the_command_writes_the_same_bytes(watched: Watched, tmp_path: Path) -> None:
    watched.polls(T0, one(1, 3, T0))
    watched.polls(T0, environment="staging")
    run = partial(commands.call, watched.settings.path, "export", "calendar")
    assert run().stdout_bytes == watched.text(T0)
    assert run("--by-day", "--output", str(tmp_path / "renewals.ics")).output == ""
    assert (tmp_path / "renewals.ics").read_bytes() == watched.text(T0, by_day=True)
    assert (tmp_path / "renewals.ics").stat().st_mode & 0o777 == 0o644
    assert "there is no environment called elsewhere" in run("--environment", "elsewhere", code=2).output
