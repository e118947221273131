"""What people decide on the command line: silences, acknowledgements, lapses; and how it is all explained.

The clock of the command line is set by hand, so that days pass in a test; the provider and the channel are real ones on
loopback. The first poll is done once for all tests: each starts from a copy of its database, with every alert of it told.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import commands
import pytest
from click.testing import Result
from commands import Run
from conftest import T0, Clock
from databases import BOTH, EITHER, SQLITE_ONLY, age, asked, content, copied, impatient, opened, remove
from made_up import entry
from world import TOKEN, World, serving, write_config

from renewal_watch.database.revision import HEAD
from renewal_watch.database.transaction import Transaction
from renewal_watch.store import fleet

pytestmark = EITHER

H = timedelta(hours=1)
D = timedelta(days=1)
CHANNEL_SECRET = "hook-0"
BELL = "\x07"  # what a terminal obeys; click takes colours out of what is piped, but not this
PLAIN, COSTLY, CHEAP, SUSPENDED, LOST = range(5)  # the numbers of the world
OPEN = "+15550000003"  # suspended, which was told
ENDING = "+15550000004"  # will be lost in two days, which was told
QUIET = "+15550000000"  # of which nothing was told


def numbers() -> list[dict[str, Any]]:
    """Two numbers in Berlin and three in the States, as they are listed at T0."""
    berlin = {"country_code": "DE", "type": "mobile", "currency": "EUR"}
    return [
        entry("phone-0"),
        entry("phone-1", number="+4930111111", has_fax=True, monthly_renewal_cost=25.5, **berlin)
        | {"auto_renewal": False, "renewal_date": "2026-12-13", "days_until_monthly_renewal": 20},
        entry("phone-2", number="+4930222222", has_whatsapp=True, monthly_renewal_cost=5, **berlin),
        entry("phone-3", current_status="suspended"),
        entry("phone-4", auto_renewal=False, renewal_date="2026-11-25", days_until_monthly_renewal=2),
    ]


class Made(NamedTuple):
    """The world, its address, and the database after the first poll."""

    world: World
    address: str
    database: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("first-poll")
    world = World(numbers=0, restless=False)
    world.entries = numbers()
    with serving(world) as address:
        commands.call(write_config(folder, address), "poll")
        yield Made(world, address, folder / "renewal-watch.db")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(made: Made) -> World:
    made.world.entries = numbers()
    made.world.fault, made.world.refuse = None, False
    made.world.messages.clear()
    return made.world


@pytest.fixture
def database(tmp_path: Path, made: Made) -> Path:
    target = tmp_path / "renewal-watch.db"
    return copied(made.database, target)


@pytest.fixture
def path(tmp_path: Path, made: Made, world: World, database: Path) -> Path:
    assert world.entries
    assert asked(database, "SELECT count(*) FROM polls")
    return write_config(tmp_path, made.address)


@pytest.fixture
def run(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with the test's configuration, called by dana."""
    assert clock.now == T0
    monkeypatch.setenv("LOGNAME", "dana")
    monkeypatch.delenv("SUDO_USER", raising=False)

    def call(*words: str, code: int = 0) -> Result:
        result = commands.call(path, *words, clock=clock, code=code, secrets=(TOKEN, CHANNEL_SECRET))
        assert BELL not in result.output
        return result

    return call


@pytest.fixture
def configure(path: Path) -> Callable[..., None]:
    """Add to the configuration: settings before the environment, tables after it, lines for the channel."""

    def change(tables: str = "", *, channel: str = "", top: str = "") -> None:
        path.write_text(f"{top}\n{path.read_text()}\n{channel}\n{tables}\n")

    return change


@pytest.fixture
def held(configure: Callable[..., None]) -> None:
    """Nothing leaves the house before next Monday, so that `send` only follows up; that saves a second each time."""
    configure(channel='digest = "weekly mon 08:00"\ncritical_at_once = false')


def refused(run: Run, *words: str) -> str:
    """The one sentence on standard error."""
    result = run(*words, code=2)
    assert result.stdout == "", words
    (line,) = result.stderr.splitlines()
    assert line.startswith("renewal-watch: "), words
    return line.removeprefix("renewal-watch: ")


def found(run: Run, number: str | None = None, kind: str = "") -> list[dict[str, Any]]:
    """The alerts on record, oldest first."""
    those = json.loads(run("alerts", "--json").output)[::-1]
    return [one for one in those if one["kind"].startswith(kind) and (number is None or one["number"] == number)]


def silences(run: Run, *words: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(run("silence", "list", "--json", *words).output)
    return listed


def reasons(run: Run, number: str) -> str:
    return "\n".join(json.loads(run("explain", number, "--json").output)["reasons"])


def of_open(run: Run, number: str) -> list[str]:
    """What is open about a number, as explained."""
    return [line for line in reasons(run, number).splitlines() if line.startswith("Open since")]


def pass_days(world: World, clock: Clock, days: int) -> None:
    """Time passes, and the countdowns of all numbers with it."""
    clock.on(days * D)
    for one in world.entries:
        left = (date.fromisoformat(one["renewal_date"]) - clock.now.date()).days
        one["days_until_monthly_renewal"] = left


# --- silence add: what --------------------------------------------------------------------------------------------------

INVENTORY = 'number,owner,labels,note\n"+49 30 111111",Sales Team,Vertrieb;vip,keep it\n+15550000000,Lab,test,\n'


MATCHERS: list[tuple[str, int, dict[str, Any]]] = [
    ("--number +4930111111", 1, {"numbers": ["+4930111111"]}),
    ("--number 004930111111", 1, {"numbers": ["004930111111"]}),
    ("--number +4930*", 2, {"numbers": ["+4930*"]}),
    ("--number +1555* --number +49301*", 4, {"numbers": ["+1555*", "+49301*"]}),
    ("--number +4930", 0, {"numbers": ["+4930"]}),  # whole numbers only, without a star
    ("--id phone-1", 1, {"ids": ["phone-1"]}),
    ("--id phone", 0, {"ids": ["phone"]}),
    ("--environment production", 5, {"environments": ["production"]}),
    ("--country DE", 2, {"countries": ["DE"]}),
    ("--country de --country us", 5, {"countries": ["de", "us"]}),
    ("--type Mobile", 2, {"types": ["Mobile"]}),
    ("--capability fax", 1, {"capabilities": ["fax"]}),
    ("--capability fax --capability whatsapp", 2, {"capabilities": ["fax", "whatsapp"]}),
    ("--label vertrieb", 1, {"labels": ["vertrieb"]}),
    ("--label test --label vip", 2, {"labels": ["test", "vip"]}),
    ("--owner lab", 1, {"owners": ["lab"]}),
    ("--auto-renewal off", 2, {"auto_renewal": False}),
    ("--auto-renewal on", 3, {"auto_renewal": True}),
    ("--cost-at-least 5", 2, {"cost_at_least": "5"}),
    ("--cost-at-least 5.01", 1, {"cost_at_least": "5.01"}),
    ("--cost-at-most 1", 3, {"cost_at_most": "1"}),
    ("--cost-at-least 2 --cost-at-most 10", 1, {"cost_at_least": "2", "cost_at_most": "10"}),
    ("--currency eur", 2, {"currencies": ["eur"]}),
    ("--country DE --capability fax", 1, {"countries": ["DE"], "capabilities": ["fax"]}),
    ("--country US --currency EUR", 0, {"countries": ["US"], "currencies": ["EUR"]}),
    ("--all", 5, {}),
    ("--all --country DE", 2, {"countries": ["DE"]}),
]


def test_a_silence_says_how_many_numbers_it_is_about_now(
    run: Run, configure: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "numbers.csv").write_text(INVENTORY)
    configure(f'[inventory]\nfile = "{tmp_path}/numbers.csv"')
    for pk, (words, count, _) in enumerate(MATCHERS, 1):
        assert run("silence", "add", *words.split(), "--for", "4h").output == (
            f"silence {pk}: alerts about {count} of the present numbers are hidden until 2026-11-23 16:00 UTC; end it with: "
            f"renewal-watch silence end {pk}\n"
        ), words
    kept = {one["id"]: one["match"] for one in silences(run)}
    assert kept == {pk: match for pk, (_, _, match) in enumerate(MATCHERS, 1)}


@BOTH
def test_nobody_waits_while_the_numbers_of_a_silence_are_counted(
    run: Run, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened(database)
    impatient(other)
    real = fleet.every
    begun: list[str] = []

    def beside(tx: Transaction, those: Sequence[str]) -> Iterator[fleet.Listed]:
        with other.transaction():  # as a poll takes its turn
            begun.extend(those)
        yield from real(tx, those)

    monkeypatch.setattr(fleet, "every", beside)
    run("silence", "add", "--all", "--for", "1h")
    other.close()
    assert begun


def test_a_missing_number_is_not_counted(run: Run, world: World, clock: Clock) -> None:
    world.entries.pop(COSTLY)
    for _ in range(3):
        clock.on(H)
        run("poll", "--no-send")
    assert [one["kind"] for one in found(run, "+4930111111")] == ["number.missing"]
    assert "alerts about 1 of the present" in run("silence", "add", "--country", "DE", "--for", "1d").output


def test_a_silence_may_be_about_some_kinds_only(run: Run) -> None:
    said = run(
        "silence", "add", "--country", "US", "--kind", "renewal.*", "--kind", "status.changed", "--for", "1d"
    ).output
    assert "alerts of kinds renewal.*, status.changed about 3 of the present numbers" in said
    assert silences(run)[0]["kinds"] == ["renewal.*", "status.changed"]
    assert "countries US; kinds renewal.*, status.changed" in run("silence", "list").output


def test_a_silence_about_nothing_sensible_is_refused(run: Run) -> None:
    not_understood = "what to silence is not understood"
    table = {
        (): "say what to silence, such as --number +4930* or --environment test; everything is --all",
        ("--number", "abc"): "--number: 'abc' is not a number; write it like +493012345 or +4930*",
        ("--number", "*"): "--number: '*' is not a number",
        ("--number", "00*"): "--number: '00*' is not a number",
        ("--number", ""): "--number: '' is not a number",
        ("--environment", "x"): "no environment called x",
        ("--kind", "renewals"): "--kind: 'renewals' matches no kind of alert; such as: renewal.*, status.changed",
        ("--kind", ""): "--kind: '' matches no kind of alert",
        ("--id", ""): "--id: it is empty",
        ("--label", ""): "--label: it is empty",
        ("--cost-at-least", "much"): not_understood,
        ("--cost-at-least", ""): not_understood,
        ("--cost-at-most", "1,50"): not_understood,
    }
    for words, sentence in table.items():
        assert sentence in refused(run, "silence", "add", *words, "--for", "1d"), words
    assert silences(run, "--all") == []


def test_a_silence_of_the_watch_s_own_kinds_cannot_be_about_numbers(run: Run) -> None:
    said = refused(run, "silence", "add", "--number", "+1555*", "--kind", "watch.*", "--for", "1d")
    assert "is about the service itself, not about numbers" in said
    assert "present numbers" not in run("silence", "add", "--kind", "watch.*", "--for", "1d").output


def test_what_is_no_text_is_refused(run: Run) -> None:
    """A terminal of another encoding sends bytes that are no UTF-8."""
    for words in (("--comment", "b\udcfcro"), ("--author", "\udcff"), ("--label", "\udcff")):
        assert "no text in UTF-8" in refused(run, "silence", "add", "--all", "--for", "1d", *words)


def test_all_numbers_are_silenced_only_if_asked(run: Run) -> None:
    assert "everything is --all" in refused(run, "silence", "add", "--kind", "*", "--for", "1d")
    assert "ten years" in refused(run, "silence", "add", "--all", "--until", "9999-12-31")


def test_what_looks_like_a_number_and_is_none_is_refused(run: Run) -> None:
    for number in ("+49*30", "+4930∗", "+49x30", "49 or 50", "4.93E+10"):
        assert "is not a number" in refused(run, "silence", "add", "--number", number, "--for", "1d"), number


@pytest.mark.parametrize("amount", ["nan", "snan"])
@pytest.mark.parametrize("option", ["--cost-at-least", "--cost-at-most"])
def test_an_amount_that_compares_with_nothing_is_refused(run: Run, option: str, amount: str) -> None:
    assert "what to silence is not understood" in refused(run, "silence", "add", option, amount, "--for", "1d")


def test_no_silence_keeps_the_watch_from_its_work(run: Run, world: World) -> None:
    """A number that it could be about comes later."""
    refused(run, "silence", "add", "--country", "FR", "--cost-at-least", "nan", "--for", "1d")
    world.entries[PLAIN] |= {"country_code": "FR", "current_status": "suspended"}
    run("poll", "--no-send")
    assert found(run, QUIET)


def test_options_that_are_not_there_are_named(run: Run) -> None:
    table = {
        "silence": "Usage",
        "silence add --capability pigeon --for 1d": "'pigeon' is not one of",
        "silence add --auto-renewal maybe --for 1d": "'maybe' is not one of",
        "silence add --nosuch --for 1d": "No such option",
        "silence add --all --for": "requires an argument",
        "silence end": "Missing argument 'ID'",
        "silence end one": "'one' is not a valid integer",
        "silence end 0": "0 is not in the range",
        "silence end 99999999999999999999": "is not in the range",
        "ack --alert 0": "0 is not in the range",
        "ack --alert all": "is not a valid integer",
        "lapse": "Missing argument 'NUMBER'",
        "explain": "Missing argument 'NUMBER'",
    }
    for words, sentence in table.items():
        assert sentence in run(*words.split(), code=2).stderr, words


# --- silence add: how long ------------------------------------------------------------------------------------------------


ENDS = [
    ("UTC", "--for 90s", "2026-11-23T12:01:30Z"),
    ("UTC", "--for 45m", "2026-11-23T12:45:00Z"),
    ("UTC", "--for 4h", "2026-11-23T16:00:00Z"),
    ("UTC", "--for 2d", "2026-11-25T12:00:00Z"),
    ("UTC", "--for 3000d", "2035-02-09T12:00:00Z"),
    ("UTC", "--until 2026-11-30", "2026-11-30T23:59:59Z"),  # the end of that day
    ("UTC", "--until 2026-11-23", "2026-11-23T23:59:59Z"),
    ("Europe/Berlin", "--until 2026-11-30", "2026-11-30T22:59:59Z"),
    ("Europe/Berlin", "--until 2027-03-28", "2027-03-28T21:59:59Z"),  # an hour shorter than others
    ("Europe/Berlin", "--until 2026-11-30T18:00", "2026-11-30T17:00:00Z"),
    ("Europe/Berlin", "--until 2026-11-30T18:00Z", "2026-11-30T18:00:00Z"),
    ("Europe/Berlin", "--until 2026-11-30T18:00-05:00", "2026-11-30T23:00:00Z"),
    ("Pacific/Kiritimati", "--until 2026-11-24", "2026-11-24T09:59:59Z"),
    ("America/Los_Angeles", "--until 2026-11-23", "2026-11-24T07:59:59Z"),
]


def test_the_end_of_a_silence_is_meant_in_the_configured_zone(run: Run, path: Path) -> None:
    plain = path.read_text()
    for zone, words, ends_at in ENDS:
        path.write_text(f'timezone = "{zone}"\n{plain}')
        local = datetime.fromisoformat(ends_at).astimezone(ZoneInfo(zone))
        said = run("silence", "add", "--all", *words.split()).output
        assert f"hidden until {local:%Y-%m-%d %H:%M %Z};" in said, (zone, words)
    kept = {one["id"]: (one["starts_at"], one["ends_at"], one["active"]) for one in silences(run)}
    assert kept == {pk: ("2026-11-23T12:00:00Z", ends_at, True) for pk, (_, _, ends_at) in enumerate(ENDS, 1)}


def test_a_silence_without_a_sensible_end_is_refused(run: Run) -> None:
    no_length = "--for: {!r} is not a length of time; write it like 45m, 4h or 2d"
    no_time = "--until: {!r} is not a time; write it like 2026-11-23 or 2026-11-23T10:00"
    lengths = ("0h", "4", "h", "4w", "-4h", "1.5h", "4h30m", " 4h", "4 h", "٤h", "99999d", "")
    times = ("tomorrow", "", "2026-13-01", "2026-02-30", "18:00", "30.11.2026")
    table = {
        (): "say how long: either --for 4h or --until 2026-11-30",
        ("--for", "4h", "--until", "2026-11-30"): "say how long: either --for 4h or --until 2026-11-30",
        **{("--for", length): no_length.format(length) for length in lengths},
        **{("--until", text): no_time.format(text) for text in times},
        ("--until", "2026-11-22"): "--until: 2026-11-22 is past",
        ("--until", "2026-11-23T12:00"): "--until: 2026-11-23T12:00 is past",  # this very minute
        ("--until", "0001-01-01"): "--until: 0001-01-01 is past",
        ("--until", "9999-12-31T23:59:59-23:59"): "lies outside the calendar",
    }
    for words, sentence in table.items():
        assert sentence in refused(run, "silence", "add", "--all", *words), words
    assert silences(run, "--all") == []


# --- silence add: who, and the list ---------------------------------------------------------------------------------------


def test_the_author_is_given_or_who_called_sudo_or_the_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    add = ("silence", "add", "--all", "--for", "1d")
    run(*add)
    monkeypatch.setenv("SUDO_USER", "sam")
    run(*add)
    run(*add, "--author", "the night shift")
    assert [one["author"] for one in silences(run)] == ["dana", "sam", "the night shift"]


def test_a_user_without_a_name_is_one_by_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import pwd

    def nobody(_: int) -> None:
        raise KeyError

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    run("silence", "add", "--all", "--for", "1d")
    assert silences(run)[0]["author"] == f"user {os.getuid()}"


def test_the_list_has_these_keys_and_columns(run: Run) -> None:
    assert run("silence", "list").output == "no silence\n"
    assert silences(run) == []
    run("silence", "add", "--country", "DE", "--kind", "renewal.*", "--for", "4h", "--comment", "moving house")
    assert silences(run) == [
        {
            "id": 1,
            "match": {"countries": ["DE"]},
            "kinds": ["renewal.*"],
            "starts_at": "2026-11-23T12:00:00Z",
            "ends_at": "2026-11-23T16:00:00Z",
            "author": "dana",
            "comment": "moving house",
            "active": True,
            "ended_by": None,
            "hides": 0,
        }
    ]
    head, line = run("silence", "list").output.splitlines()
    assert head.split() == ["ID", "STATE", "BY", "MATCHES", "HIDES", "COMMENT"]
    cells = [cell.strip() for cell in line.split("  ") if cell]
    assert cells == ["1", "4 h left", "dana", "countries DE; kinds renewal.*", "0", "moving house"]


def test_the_list_shows_what_holds_and_with_all_what_ended_of_late(run: Run, clock: Clock) -> None:
    run("silence", "add", "--all", "--for", "1h")
    run("silence", "add", "--country", "DE", "--for", "9d")
    run("silence", "add", "--country", "US", "--for", "10d")
    run("silence", "end", "2", "--author", "eve")
    clock.on(2 * H)  # nothing ran since the first one's time came
    assert [one["id"] for one in silences(run)] == [3]
    assert len(run("silence", "list").output.splitlines()) == 2
    everything = {one["id"]: (one["active"], one["ended_by"]) for one in silences(run, "--all")}
    assert everything == {1: (False, None), 2: (False, "eve"), 3: (True, None)}
    lines = run("silence", "list", "--all").output
    assert "ended by its time" in lines
    assert "ended by eve" in lines
    run("send")
    assert {one["id"]: one["ended_by"] for one in silences(run, "--all")} == {1: "its time", 2: "eve", 3: None}
    clock.on(29 * D)
    assert [one["id"] for one in silences(run)] == []
    clock.on(2 * D)
    assert 1 not in [one["id"] for one in silences(run, "--all")]


def test_it_counts_what_is_hidden_and_holds(run: Run, world: World) -> None:
    run("silence", "add", "--country", "DE", "--for", "4h")
    run("silence", "add", "--all", "--for", "5h")
    for one in world.entries[:3]:
        one["current_status"] = "suspended"
    run("poll", "--no-send")
    assert {one["id"]: one["hides"] for one in silences(run)} == {1: 2, 2: 1}


def test_only_a_silence_that_holds_can_be_ended(run: Run) -> None:
    sentence = "there is no silence {} that holds; see: renewal-watch silence list --all"
    assert refused(run, "silence", "end", "1") == sentence.format(1)
    run("silence", "add", "--all", "--for", "1h")
    assert run("silence", "end", "1").output == (
        "silence 1 is over; the daemon tells what it hid and still holds, or: renewal-watch send\n"
    )
    assert refused(run, "silence", "end", "1") == sentence.format(1)
    assert refused(run, "silence", "end", "9223372036854775807") == sentence.format(9223372036854775807)


def test_names_and_comments_reach_no_terminal_as_codes(run: Run, world: World) -> None:
    """The fixture looks for the bell in all output."""
    eve = ("--author", f"Eve{BELL}", "--comment", f"why{BELL}\nnot")
    run("silence", "add", "--id", "phone-0", "--for", "1d", *eve)
    world.entries[PLAIN] |= {"current_status": "suspended"}
    world.entries[COSTLY] |= {"renewal_date": "2026-11-24", "days_until_monthly_renewal": 1}
    run("lapse", "+4930111111", *eve)
    run("poll", "--no-send")
    run("ack", OPEN, *eve)
    for words in (["silence", "list"], ["alerts"], ["explain", QUIET], ["explain", OPEN], ["explain", "+4930111111"]):
        assert "why" in run(*words).output or words == ["alerts"]


# --- what a silence hides -------------------------------------------------------------------------------------------------


def test_what_is_hidden_is_on_record_with_the_reason(run: Run, world: World) -> None:
    run("silence", "add", "--number", "+1555*", "--for", "4h", "--comment", "the cellar is flooded")
    world.entries[PLAIN] |= {"current_status": "suspended"}
    assert "1 new alert" in run("poll").output
    assert world.messages == []
    (alert,) = found(run, QUIET)
    assert (alert["kind"], alert["severity"], alert["deliveries"]) == ("status.changed", "critical", [])
    assert alert["hidden"] == "silence 1 of dana until 2026-11-23 16:00 UTC"
    shown = run("alerts").output.split(OPEN)[0]
    assert "    nobody was told: silence 1 of dana until 2026-11-23 16:00 UTC\n" in shown
    assert "no channel takes this alert" not in shown
    explained = run("explain", QUIET).output
    assert "Silence 1 of dana until 2026-11-23 16:00 UTC: the cellar is flooded." in explained
    assert (
        "Open since 2026-11-23 12:00 UTC: status (status.changed, critical); hidden: silence 1 of dana until 2026-11-23 "
        "16:00 UTC." in explained
    )
    assert "nobody was told: silence 1" in explained
    assert all(one["hidden"] is None for one in found(run, OPEN))  # what was told before stays as it was


def test_what_still_holds_when_it_ends_is_told_with_the_reason(run: Run, world: World, clock: Clock) -> None:
    run("silence", "add", "--number", QUIET, "--number", "+4930*", "--for", "4h")
    world.entries[PLAIN] |= {"current_status": "suspended"}
    world.entries[CHEAP] |= {"current_status": "suspended"}
    run("poll")
    clock.on(H)
    world.entries[CHEAP] |= {"current_status": "active"}  # it came and went while nobody was to know
    run("poll")
    assert world.messages == []
    run("silence", "end", "1")
    assert "ops-0: 1 sent" in run("send").output
    (message,) = world.messages
    assert message["title"] == f"[critical] production: {QUIET} is still suspended"
    assert (
        "(It was found 2026-11-23 12:00 UTC, suppressed until now: silence 1 of dana until 2026-11-23 16:00 UTC.)"
        in (message["message"])
    )
    assert "+4930222222" not in message["message"]
    assert run("send").output == ""  # once
    first, second = found(run, QUIET)
    assert first["hidden"]
    assert (second["hidden"], second["deliveries"][0]["state"]) == (None, "sent")
    assert "last notified at" in of_open(run, QUIET)[0]


@pytest.mark.usefixtures("held")
def test_what_still_holds_when_its_time_comes_is_told_as_well(run: Run, world: World, clock: Clock) -> None:
    run("silence", "add", "--number", QUIET, "--for", "4h")
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll")
    clock.on(4 * H - timedelta(seconds=1))
    run("send")
    assert len(found(run, QUIET)) == 1
    clock.on(timedelta(seconds=1))
    run("send")
    assert "suppressed until now: silence 1 of dana" in found(run, QUIET)[-1]["text"]


@pytest.mark.usefixtures("held")
def test_it_stays_hidden_while_another_silence_is_about_it(run: Run, world: World) -> None:
    run("silence", "add", "--number", QUIET, "--for", "4h")
    run("silence", "add", "--all", "--for", "8h")
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll")
    run("silence", "end", "1")
    run("send")
    assert len(found(run, QUIET)) == 1
    assert "hidden: silence 2 of dana" in of_open(run, QUIET)[0]
    assert silences(run)[0]["hides"] == 1
    run("silence", "end", "2")
    run("send")
    assert [one["hidden"] is None for one in found(run, QUIET)] == [False, True]


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        ("--all", False),
        ("--environment production", False),
        ("--all --kind *", False),
        ("--kind watch.*", True),
        ("--kind watch.token_rejected", True),
        ("--environment production --kind watch.*", True),
        ("--kind watch.stale", False),
    ],
)
def test_that_the_watch_is_blind_is_hidden_only_by_name(run: Run, world: World, words: str, *, hidden: bool) -> None:
    run("silence", "add", *words.split(), "--for", "1d")
    world.fault = 401
    run("poll", "--no-send", code=1)
    (alert,) = found(run, kind="watch.")
    assert bool(alert["hidden"]) == hidden
    assert bool(alert["deliveries"]) != hidden


@pytest.mark.parametrize(("kind", "hidden"), [("status.*", True), ("*.changed", True), ("renewal.*", False)])
def test_a_silence_of_kinds_hides_no_others(run: Run, world: World, kind: str, *, hidden: bool) -> None:
    run("silence", "add", "--number", QUIET, "--kind", kind, "--for", "1d")
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll", "--no-send")
    (alert,) = found(run, QUIET)
    assert bool(alert["hidden"]) == hidden


def test_a_silence_may_come_before_the_first_poll(run: Run, database: Path) -> None:
    remove(database)
    assert "alerts about 0 of the present numbers" in run("silence", "add", "--all", "--for", "1d").output
    run("poll", "--no-send")
    assert {one["hidden"] for one in found(run)} == {"silence 1 of dana until 2026-11-24 12:00 UTC"}


@pytest.mark.usefixtures("held")
def test_that_it_will_end_is_told_a_day_before_if_it_hides_what_is_critical(
    run: Run, world: World, clock: Clock
) -> None:
    run("silence", "add", "--number", QUIET, "--for", "3d", "--comment", "on leave")
    run("silence", "add", "--country", "DE", "--for", "3d")  # hides nothing
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll")
    clock.on(D)
    run("send")
    assert found(run, kind="silence.") == []
    clock.on(D + H)
    run("send")
    run("send")
    (alert,) = found(run, kind="silence.")
    assert alert["text"].startswith(
        f"Silence 1 of dana (on leave) ends at 2026-11-26 12:00 UTC and hides what is critical: {QUIET} is suspended."
    )


# --- ack ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [(OPEN,), ("+1 555-000 0003",), ("phone-3",), ("0003",), ("--alert", "1"), (OPEN, "--environment", "production")],
)
def test_what_is_open_can_be_acknowledged_by_any_name(run: Run, words: tuple[str, ...]) -> None:
    assert found(run, OPEN)[0]["id"] == 1
    assert run("ack", *words, "--comment", "on it").output == (
        "acknowledged: status (status.changed); no reminder before its next cycle, unless it gets worse\n"
    )
    explained = reasons(run, OPEN)
    assert "acknowledged by dana at 2026-11-23 12:00 UTC; told again if it gets worse." in explained
    assert "2026-11-23 12:00 UTC dana did: ack: on it." in explained


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name a NUMBER, --alert ID, --incident KEY, or what all is to fit"),
        (("+493*x*",), "NUMBER: '+493*x*' is not the beginning of a number and a star"),
        (("+15559*",), "nothing is open about number +15559*"),
        (("--kind", "funds.*"), "nothing is open about that"),
        ((OPEN, "--for", "soon"), "--for: 'soon' is not a length of time"),
        ((OPEN, "--for", "3d", "--withdraw"), "--for belongs to an acknowledgement"),
        ((" ",), "NUMBER is empty"),
        (("nobody",), "no number is known by 'nobody'; see them all with: renewal-watch status"),
        (("phone",), "'phone' fits 5 numbers: "),
        (
            ("+15550",),
            f"'+15550' fits 3 numbers: {QUIET} (phone-0, production), {OPEN} (phone-3, production), {ENDING}",
        ),
        ((OPEN, "--environment", "x"), "there is no environment called x that was polled"),
        (("--alert", "4711"), "nothing is open about alert 4711, so there is nothing to acknowledge."),
        (
            (QUIET,),
            (
                f"nothing is open about number {QUIET}, so there is nothing to acknowledge. To hide alerts ahead: "
                "renewal-watch silence add; for a number that is meant to go: renewal-watch lapse"
            ),
        ),
        ((QUIET, "--withdraw"), f"nothing is open about number {QUIET}"),
    ],
)
def test_what_cannot_be_acknowledged_is_said(run: Run, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(run, "ack", *words)


@pytest.mark.parametrize(
    ("words", "numbers", "said"),
    [
        ((OPEN, ENDING), {OPEN, ENDING}, ""),
        (("+1555*",), {OPEN, ENDING}, ""),
        (("--severity", "critical"), {OPEN, ENDING}, ""),
        (("--kind", "status.*"), {OPEN}, ""),
        (("--kind", "status.changed", "+1555*"), {OPEN}, ""),
        ((OPEN, "--alert", "2"), {OPEN, ENDING}, ""),
        (("--environment", "production"), {OPEN, ENDING}, ""),
        ((OPEN, QUIET), {OPEN}, f"nothing is open about number {QUIET}"),
    ],
)
def test_several_are_acknowledged_at_once(run: Run, words: tuple[str, ...], numbers: set[str], said: str) -> None:
    lines = run("ack", *words, "--comment", "all of it").output.splitlines()
    listed = json.loads(run("incidents", "--acknowledged", "--json").output)
    assert {one["number"] for one in listed} == numbers
    assert lines[0].startswith("acknowledged: 2 incidents;" if len(numbers) > 1 else "acknowledged: status (")
    assert lines[1:] == ([said] if said else [])
    for number in numbers:
        assert "dana did: ack: all of it." in reasons(run, number)
    run("ack", *words, "--withdraw")
    assert json.loads(run("incidents", "--acknowledged", "--json").output) == []


def test_one_is_acknowledged_by_its_key(run: Run) -> None:
    (key,) = [one["key"] for one in json.loads(run("incidents", "--json").output) if one["number"] == OPEN]
    run("ack", "--incident", key)
    assert [one["key"] for one in json.loads(run("incidents", "--acknowledged", "--json").output)] == [key]


def test_an_acknowledgement_runs_out(run: Run, world: World, clock: Clock) -> None:
    run("send")
    world.messages.clear()
    assert (
        "before its next cycle or 2026-11-26 12:00 UTC, unless it gets worse"
        in run("ack", OPEN, ENDING, "--for", "3d").output
    )
    assert "until 26 Nov 12:00" in run("incidents", "--acknowledged").output
    assert "told again if it gets worse or at 2026-11-26 12:00 UTC." in reasons(run, OPEN)
    clock.on(3 * D - H)
    assert run("send").output == ""
    clock.on(H)
    run("send")
    (message,) = [one["message"] for one in world.messages]
    assert message.count("then suppressed: acknowledged by dana until 2026-11-26 12:00 UTC") == 2
    assert OPEN in message
    assert json.loads(run("incidents", "--acknowledged", "--json").output) == []
    clock.on(H)
    assert run("send").output == "", "and told once"


def test_a_number_of_two_environments_is_asked_for(run: Run, made: Made, configure: Callable[..., None]) -> None:
    configure(f'[[environments]]\nname = "test"\nbase_url = "{made.address}/api/v1"\ntoken = "{TOKEN}"')
    run("poll", "--no-send", "--environment", "test")
    assert f"{OPEN} (phone-3, production), {OPEN} (phone-3, test)" in refused(run, "ack", OPEN)
    run("ack", OPEN, "--environment", "test")
    (line,) = json.loads(run("explain", OPEN, "--environment", "test", "--json").output)["reasons"][-3:-2]
    assert "acknowledged by dana" in line
    assert "acknowledged" not in run("explain", OPEN, "--environment", "production").output


def test_without_an_acknowledgement_it_is_told_again_and_with_it_not(run: Run, world: World, clock: Clock) -> None:
    run("ack", ENDING)
    clock.on(D + H)
    assert "ops-0: 1 sent" in run("send").output
    (message,) = world.messages
    assert "(reminder 1 of 7; last notified at 2026-11-23 12:00 UTC.)" in message["message"]
    assert "To stop the reminders: renewal-watch ack --alert 1" in message["message"]
    assert OPEN in message["message"]
    assert ENDING not in message["message"]
    run("ack", "--alert", "1")
    clock.on(D + H)
    assert run("send").output == ""


@pytest.mark.usefixtures("held")
def test_an_acknowledgement_ends_when_it_gets_worse(run: Run, world: World, clock: Clock) -> None:
    run("ack", ENDING)
    pass_days(world, clock, 1)
    run("poll")
    (_, hidden) = found(run, ENDING)
    assert (hidden["kind"], hidden["hidden"]) == ("renewal.upcoming", "acknowledged by dana at 2026-11-23 12:00 UTC")
    assert "acknowledged by dana" in of_open(run, ENDING)[0]
    pass_days(world, clock, 1)
    run("poll")
    (*_, due) = found(run, ENDING)
    assert (due["kind"], due["hidden"]) == ("renewal.due", None)
    assert "acknowledged" not in of_open(run, ENDING)[0]
    run("ack", ENDING)
    pass_days(world, clock, 1)
    run("poll")
    assert (found(run, ENDING)[-1]["kind"], found(run, ENDING)[-1]["hidden"]) == ("renewal.overdue", None)


@pytest.mark.usefixtures("held")
def test_an_acknowledgement_ends_with_its_cycle(run: Run, world: World, clock: Clock) -> None:
    run("ack", ENDING)
    world.entries[LOST] |= {"renewal_date": "2026-12-25"}
    pass_days(world, clock, 1)
    run("poll")
    assert found(run, ENDING)[-1]["kind"] == "renewal.renewed"
    assert of_open(run, ENDING) == []
    pass_days(world, clock, 29)
    run("poll")
    assert (found(run, ENDING)[-1]["kind"], found(run, ENDING)[-1]["hidden"]) == ("renewal.upcoming", None)


@pytest.mark.usefixtures("held")
def test_taken_back_the_reminders_go_on_from_then(run: Run, clock: Clock) -> None:
    run("ack", OPEN)
    clock.on(3 * D)
    said = run("ack", OPEN, "--withdraw", "--author", "eve").output
    assert said == "taken back: status (status.changed); reminders go on from now\n"
    assert "eve did: ack withdrawn." in reasons(run, OPEN)
    run("send")
    assert len(found(run, OPEN)) == 1
    clock.on(D + H)
    run("send")
    assert found(run, OPEN)[-1]["text"].count("(reminder 1 of 7; last notified at 2026-11-26 12:00 UTC.)") == 1


def test_nothing_is_taken_back_that_nobody_acknowledged(run: Run) -> None:
    before = of_open(run, OPEN)
    assert "acknowledged" in refused(run, "ack", OPEN, "--withdraw")
    assert of_open(run, OPEN) == before


@pytest.mark.usefixtures("held")
def test_what_is_acknowledged_while_it_is_hidden_is_not_told_when_the_silence_ends(run: Run, world: World) -> None:
    run("silence", "add", "--number", QUIET, "--for", "4h")
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll")
    run("ack", QUIET)
    run("silence", "end", "1")
    run("send")
    assert len(found(run, QUIET)) == 1
    assert "acknowledged by dana" in of_open(run, QUIET)[0]


@pytest.mark.usefixtures("held")
def test_a_rejected_token_can_be_acknowledged(run: Run, world: World, clock: Clock) -> None:
    world.fault = 401
    run("poll", code=1)
    (alert,) = found(run, kind="watch.token_rejected")
    said = run("ack", "--alert", str(alert["id"])).output
    assert said.startswith("acknowledged: api (watch.token_rejected); ")
    clock.on(D + H)
    run("send")
    assert [(one["kind"], bool(one["hidden"])) for one in found(run, kind="watch.")] == [
        ("watch.token_rejected", False),
        ("watch.stale", False),  # no reminder: news
    ]
    run("ack", "--alert", str(alert["id"]))
    clock.on(D + H)
    run("send")
    assert len(found(run, kind="watch.")) == 2
    run("ack", "--alert", str(alert["id"]), "--withdraw")
    clock.on(D + H)
    run("send")
    reminder = found(run, kind="watch.")[-1]
    assert "(reminder 1 of 7; last notified at " in reminder["text"]
    run("ack", "--alert", str(reminder["id"]))  # by whichever of its alerts is at hand
    world.fault = None
    run("poll", "--force")
    assert "nothing is open" in refused(run, "ack", "--alert", str(alert["id"]))


@pytest.mark.usefixtures("held")
def test_a_list_that_shrank_can_be_acknowledged_by_its_reminder(run: Run, world: World, clock: Clock) -> None:
    del world.entries[1:]
    run("poll")
    clock.on(D + H)
    run("send")
    first, reminder = found(run, kind="watch.list_shrunk")
    assert "(reminder 1 of 7; last notified at " in reminder["text"]
    for one in (first, reminder):
        assert run("ack", "--alert", str(one["id"])).output.startswith("acknowledged: list (watch.list_shrunk); ")


@pytest.mark.usefixtures("held")
def test_a_number_that_renewed_against_its_mark_can_be_acknowledged_by_its_reminder(
    run: Run, world: World, clock: Clock
) -> None:
    run("lapse", ENDING)
    world.entries[LOST] |= {"renewal_date": "2026-12-25"}
    pass_days(world, clock, 3)
    run("poll")
    clock.on(D + H)
    run("send")
    first, reminder = found(run, kind="lapse.renewed")
    assert "(reminder 1 of 7; last notified at " in reminder["text"]
    for one in (first, reminder):
        assert run("ack", "--alert", str(one["id"])).output.startswith("acknowledged: lapse (lapse.renewed); ")


def test_a_failing_channel_can_be_acknowledged_by_any_of_its_alerts(
    run: Run, world: World, clock: Clock, configure: Callable[..., None]
) -> None:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    configure(
        channel='digest = "weekly mon 08:00"\ncritical_at_once = false',
        tables=f'[[channels]]\nname = "dead"\nurl = "json://127.0.0.1:{port}/x"\nkinds = ["status.*"]',
    )
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll", code=1)
    clock.on(timedelta(minutes=31))
    run("send", code=1)
    (alert,) = found(run, kind="channel.failing")
    clock.on(D + H)
    run("send", code=1)
    (_, reminder) = found(run, kind="channel.failing")
    assert "(reminder 1 of 7; last notified at " in reminder["text"]
    for one in (alert, reminder):
        said = run("ack", "--alert", str(one["id"])).output
        assert said.startswith("acknowledged: channel dead (channel.failing); ")


# --- lapse ----------------------------------------------------------------------------------------------------------------


def test_a_number_can_be_marked_to_go_and_the_mark_taken_back(run: Run) -> None:
    assert run("lapse", ENDING, "--comment", "no longer used").output == (
        f"{ENDING} is meant to expire on 2026-11-25\n"
    )
    explained = reasons(run, ENDING)
    assert (
        "It is meant to expire (dana, 2026-11-23 12:00 UTC): renewal alerts are hidden, the final warning is sent."
        in explained
    )
    assert "2026-11-23 12:00 UTC dana did: lapse: no longer used." in explained
    assert run("lapse", "0004", "--withdraw", "--author", "eve").output == (
        f"{ENDING} is to stay; what of its renewal was hidden and still holds is told\n"
    )
    explained = reasons(run, ENDING)
    assert "meant to expire" not in explained
    assert "eve did: lapse withdrawn." in explained


def test_that_its_auto_renewal_is_on_is_minded(run: Run) -> None:
    assert run("lapse", QUIET).output == (
        f"{QUIET} is meant to expire on 2026-12-23\n"
        "warning: its auto-renewal is on, so it will renew; switch it off in the provider's dashboard\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((" ",), "NUMBER is empty"),
        (("nobody",), "no number is known by 'nobody'"),
        (("phone",), "'phone' fits 5 numbers: "),
        ((ENDING, "--withdraw"), f"{ENDING} is not meant to expire, so there is nothing to take back"),
        ((ENDING, "--environment", "x"), "there is no environment called x that was polled"),
    ],
)
def test_what_cannot_be_marked_is_said(run: Run, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(run, "lapse", *words)


def test_a_number_of_an_environment_that_is_not_watched_any_more_is_not_marked(run: Run, path: Path) -> None:
    path.write_text(path.read_text().replace('"production"', '"other"'))
    assert "production" in refused(run, "lapse", ENDING)
    path.write_text(path.read_text().replace('"other"', '"production"'))
    assert "lapse" not in reasons(run, ENDING)


@pytest.mark.usefixtures("held")
def test_marked_twice_it_is_marked_by_the_last(run: Run, world: World, clock: Clock) -> None:
    run("lapse", ENDING)
    run("poll")
    run("lapse", ENDING, "--author", "eve")
    clock.on(H)
    run("poll")
    assert [one["kind"] for one in found(run, ENDING, "lapse.")] == ["lapse.last_chance"]
    assert "meant to expire (eve" in reasons(run, ENDING)
    run("lapse", ENDING, "--withdraw")
    assert world.entries
    refused(run, "lapse", ENDING, "--withdraw")


@pytest.mark.usefixtures("held")
def test_its_renewal_is_hidden_its_last_chance_told_and_all_of_it_when_taken_back(
    run: Run, world: World, clock: Clock
) -> None:
    run("lapse", "+4930111111")
    for days in (6, 7, 4, 1, 1):  # 14, 7, 3, 2 and 1 days left
        pass_days(world, clock, days)
        run("poll", "--no-send")
    those = [(one["kind"], one["hidden"]) for one in found(run, "+4930111111")]
    assert those == [
        ("renewal.upcoming", "it is meant to expire (dana, 2026-11-23 12:00 UTC)"),
        ("renewal.upcoming", "it is meant to expire (dana, 2026-11-23 12:00 UTC)"),
        ("renewal.upcoming", "it is meant to expire (dana, 2026-11-23 12:00 UTC)"),
        ("lapse.last_chance", None),
        ("renewal.upcoming", "it is meant to expire (dana, 2026-11-23 12:00 UTC)"),
    ]
    assert found(run, "+4930111111", "lapse.")[0]["deliveries"]
    assert any("hidden: it is meant to expire" in one for one in of_open(run, "+4930111111"))
    run("lapse", "+4930111111", "--withdraw")
    run("send")
    told = found(run, "+4930111111")[-1]
    assert (told["kind"], told["severity"], told["hidden"]) == ("renewal.upcoming", "critical", None)
    assert "+4930111111 (production) will be lost in 1 day, on Sun 13 Dec 2026" in told["text"]
    assert "suppressed until now: it is meant to expire (dana, 2026-11-23 12:00 UTC)" in told["text"]


@pytest.mark.usefixtures("held")
def test_no_reminder_comes_of_what_was_told_before_it_was_marked(run: Run, clock: Clock) -> None:
    run("lapse", ENDING)
    clock.on(D + H)
    run("send")
    assert [one["kind"] for one in found(run, ENDING)] == ["renewal.upcoming"]
    assert "hidden: it is meant to expire" in of_open(run, ENDING)[0]


@pytest.mark.usefixtures("held")
def test_gone_on_its_day_it_is_gone_as_meant(run: Run, world: World, clock: Clock) -> None:
    run("lapse", ENDING)
    pass_days(world, clock, 2)
    world.entries.pop(LOST)
    for _ in range(3):
        clock.on(H)
        run("poll", "--no-send")
    gone = found(run, ENDING)[-1]
    assert (gone["kind"], gone["severity"], gone["hidden"]) == ("number.missing", "info", None)
    assert f"{ENDING} (production) is gone: 3 complete lists in a row came without it." in gone["text"]


@pytest.mark.usefixtures("held")
def test_a_mark_taken_back_ends_the_alarm_that_it_renewed(run: Run, world: World, clock: Clock) -> None:
    run("lapse", ENDING)
    world.entries[LOST] |= {"renewal_date": "2026-12-25"}
    pass_days(world, clock, 3)
    run("poll")
    assert "lapse (lapse.renewed, critical)" in of_open(run, ENDING)[0]
    run("ack", ENDING)
    run("lapse", ENDING, "--withdraw")
    run("send")
    assert of_open(run, ENDING) == []


# --- explain --------------------------------------------------------------------------------------------------------------

RULES = """
[[rules]]
name = "berlin"
match = { countries = ["DE"] }
warn_days = [30, 10]
severities = { "price.*" = "critical" }
mute = ["capability.*"]
channels = ["ops-0"]
owner = "the Berlin office"

[[rules]]
name = "fax"
match = { capabilities = ["fax"] }
warn_days = [21]
escalate_to = ["boss"]
add_channels = ["boss"]

[[channels]]
name = "boss"
url = "json://127.0.0.1:9/boss"
by_rule_only = true
"""


def test_explain_says_which_rule_gave_what(run: Run, configure: Callable[..., None]) -> None:
    configure(RULES)
    explained = reasons(run, "+4930111111")
    assert "Thresholds (warn_days of the rule fax): 21, and the day itself." in explained
    assert "Rule fax gives: warn_days = 21; escalate_to = boss; add_channels boss." in explained
    assert (
        "Rule berlin gives: channels = ops-0; owner = the Berlin office; severities price.* is critical; "
        "mute = capability.*." in explained
    )
    assert "Channels for it: ops-0, boss." in explained
    explained = reasons(run, "+4930222222")
    assert "Rule berlin gives: warn_days = 30, 10;" in explained
    assert "Rule fax" not in explained
    assert "Channels for it: ops-0." in explained
    assert "No rule matches it." in reasons(run, QUIET)


def test_explain_says_when_no_channel_takes_it(run: Run, path: Path) -> None:
    path.write_text(path.read_text().partition("[[channels]]")[0])
    assert "Channels for it: none; nobody is told." in reasons(run, QUIET)


def test_explain_says_whose_it_is(run: Run, configure: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text(INVENTORY)
    configure(f'[inventory]\nfile = "{tmp_path}/numbers.csv"')
    assert "Inventory: owner: Sales Team; note: keep it; labels: Vertrieb, vip." in reasons(run, "+4930111111")
    assert "Inventory" not in reasons(run, "+4930222222")


def test_explain_says_what_is_open_and_when_it_is_told_again(run: Run, configure: Callable[..., None]) -> None:
    (line,) = of_open(run, OPEN)
    assert line == (
        "Open since 2026-11-23 12:00 UTC: status (status.changed, critical); last notified at 2026-11-23 12:00 UTC, told again "
        "at 2026-11-24 12:00 UTC."
    )
    configure('[escalation]\nafter = "2h"\nchannels = ["ops-0"]\n[reminders]\ncritical_every = "6h"')
    assert of_open(run, OPEN)[0].endswith(
        "told again at 2026-11-23 18:00 UTC, escalated at 2026-11-23 14:00 UTC if nobody acts."
    )


@pytest.mark.usefixtures("held")
def test_explain_says_that_it_was_escalated_and_that_reminders_are_over(
    run: Run, clock: Clock, configure: Callable[..., None]
) -> None:
    configure('[escalation]\nafter = "2h"\nchannels = ["ops-0"]\n[reminders]\ncritical_every = "6h"\nmax_times = 1')
    clock.on(3 * H)
    run("send")
    assert "escalated at 2026-11-23 15:00 UTC" in of_open(run, OPEN)[0]
    assert "if nobody acts" not in of_open(run, OPEN)[0]
    clock.on(4 * H)
    run("send")
    assert "last notified at 2026-11-23 19:00 UTC, told again at 2026-11-30 19:00 UTC" in of_open(run, OPEN)[0]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("lapse", ENDING), "it is meant to expire"),
        (("silence", "add", "--number", ENDING, "--for", "9d"), "silence 1 of dana"),
        (("silence", "add", "--number", ENDING, "--kind", "renewal.*", "--for", "9d"), "silence 1 of dana"),
    ],
)
def test_explain_promises_no_reminder_that_will_not_come(run: Run, words: tuple[str, ...], why: str) -> None:
    assert "told again at" in of_open(run, ENDING)[0]
    run(*words)
    (line,) = of_open(run, ENDING)
    assert "told again at" not in line
    assert why in line


def test_explain_shows_only_the_silences_that_hold_and_are_about_it(run: Run, clock: Clock) -> None:
    run("silence", "add", "--country", "DE", "--for", "1d")
    run("silence", "add", "--country", "US", "--kind", "renewal.*", "--for", "2h")
    assert "Silence" not in reasons(run, "+4930222222").replace("Silence 1", "")
    assert "Silence 2 of dana until 2026-11-23 14:00 UTC (kinds renewal.*)." in reasons(run, QUIET)
    clock.on(3 * H)
    assert "Silence" not in reasons(run, QUIET)


def test_explain_says_until_when_a_message_is_held_and_why(
    run: Run, world: World, configure: Callable[..., None]
) -> None:
    configure(channel='quiet_hours = ["mon 08:00-20:00"]\ncritical_at_once = false')
    world.entries[PLAIN] |= {"current_status": "suspended"}
    run("poll")
    assert world.messages == []
    explained = run("explain", QUIET).output
    assert "2026-11-23 20:00 UTC: quiet hours mon 08:00-20:00 UTC" in explained
    assert "waits until" in explained
    assert "waits until" not in run("explain", ENDING).output


def test_explain_json_has_the_documented_keys(run: Run) -> None:
    run("lapse", ENDING)
    run("silence", "add", "--all", "--for", "1d")
    said = json.loads(run("explain", ENDING, "--json").output)
    documented = (
        "environment id number status days_left renews_on auto_renewal monthly_renewal_cost currency missing_since "
        "is_sandbox disagreement reasons alerts"
    )
    assert set(documented.split()) <= set(said)
    assert all(isinstance(line, str) for line in said["reasons"])
    (alert,) = said["alerts"]
    assert set(found(run, ENDING)[0]) == set(alert)
    assert (alert["hidden"], alert["deliveries"][0]["state"]) == (None, "sent")


def test_what_was_done_is_explained_newest_first_and_not_without_end(run: Run, clock: Clock) -> None:
    for hour in range(1, 12):
        clock.now = T0 + hour * H
        run("ack", OPEN, "--comment", f"time {hour}")
    did = [line for line in reasons(run, OPEN).splitlines() if " did: " in line]
    assert did[0] == "2026-11-23 23:00 UTC dana did: ack: time 11."
    assert len(did) == 10


# --- the database -----------------------------------------------------------------------------------------------------------

ASKING = (["silence", "list"], ["status"], ["alerts"], ["explain", ENDING], ["history", ENDING], ["snapshot"])
DECIDING = (
    ["silence", "add", "--all", "--for", "1d"],
    ["silence", "end", "1"],
    ["ack", ENDING],
    ["lapse", ENDING],
    ["lapse", ENDING, "--withdraw"],
)


@pytest.fixture
def former(database: Path) -> Path:
    """The database as the first release left it: its schema, with what this one's first poll found."""
    age(database, "0001")
    return database


def schema_of(path: Path) -> str:
    return str(asked(path, "SELECT version_num FROM alembic_version")[0][0])


@SQLITE_ONLY
def test_questions_to_a_database_of_the_former_release_say_what_to_do(run: Run, former: Path) -> None:
    for words in ASKING:
        result = run(*words, code=1)
        assert result.stdout == ""
        assert result.stderr == (
            f"renewal-watch: the database {former} has schema 0001, this release needs {HEAD}; run: renewal-watch db upgrade\n"
        )
    assert schema_of(former) == "0001"


@SQLITE_ONLY
@pytest.mark.parametrize("words", DECIDING, ids=" ".join)
def test_decisions_bring_a_database_of_the_former_release_up_to_date(run: Run, former: Path, words: list[str]) -> None:
    fails = words in (["silence", "end", "1"], ["lapse", ENDING, "--withdraw"], ["ack", ENDING])
    run(*words, code=2 if fails else 0)  # nothing was decided before
    assert schema_of(former) == HEAD
    kept = former.with_name(f"renewal-watch.db.before-{HEAD}")
    assert schema_of(kept) == "0001"
    assert len(found(run)) == 2
    assert reasons(run, ENDING)


@SQLITE_ONLY
@pytest.mark.usefixtures("former", "held")
def test_what_was_found_before_the_upgrade_is_hidden_and_told_as_ever(run: Run, world: World, clock: Clock) -> None:
    run("silence", "add", "--number", ENDING, "--for", "4h")
    pass_days(world, clock, 1)
    clock.now = T0 + H
    run("poll")
    world.entries[LOST] |= {"current_status": "suspended"}
    run("poll")
    assert found(run, ENDING)[-1]["hidden"]
    run("silence", "end", "1")
    run("send")
    assert [one["hidden"] is None for one in found(run, ENDING, "status.")] == [False, True]


def test_decisions_before_the_first_poll_make_the_database(run: Run, database: Path) -> None:
    for words in (["ack", ENDING], ["ack", "--alert", "1"], ["lapse", ENDING]):
        remove(database)
        refused(run, *words)
        assert schema_of(database) == HEAD
    remove(database)
    for words in (["silence", "list"], ["explain", ENDING]):
        assert re.search("the first poll makes (it|them): renewal-watch poll", run(*words, code=1).stderr)


def test_nothing_decided_names_a_secret(run: Run, path: Path, database: Path) -> None:
    """The fixture looks for them in all output; here in what is stored."""
    run("silence", "add", "--all", "--for", "1d", "--comment", "quiet")
    run("ack", OPEN)
    run("lapse", ENDING)
    for words in (["silence", "list", "--json"], ["explain", OPEN], ["alerts", "--json"], ["config", "show"]):
        run(*words)
    assert TOKEN in path.read_text()
    stored = "\n".join(content(database))
    assert OPEN in stored
    assert TOKEN not in stored
    assert CHANNEL_SECRET not in stored


# --- what needs somebody ----------------------------------------------------------------------------------------------


def test_incidents_are_listed_most_urgent_first_with_who_knows(run: Run, clock: Clock) -> None:
    run("ack", OPEN, "--comment", "card renewed")
    clock.on(D)
    lines = run("incidents").output.splitlines()
    assert lines[0] == "CRITICAL  +15550000004 will be lost in 1 day"
    assert (
        lines[1].strip().startswith("switch auto-renewal on, or renew it; since 23 Nov 12:00; notified 23 Nov 12:00;")
    )
    assert lines[2] == "CRITICAL  +15550000003 is suspended"
    assert "; acknowledged by dana 1 d ago; alert " in lines[3]
    assert lines[-1] == "1 open (1 critical), 1 acknowledged"
    assert "suspended" not in run("incidents", "--open").output
    assert "will be lost" not in run("incidents", "--acknowledged").output
    assert run("incidents", "--severity", "info").output == "no incidents\n"
    assert run("incidents", "--kind", "number.missing").output == "no incidents\n"
    assert [one["state"] for one in json.loads(run("incidents", "--json").output)] == ["open", "acknowledged"]


def test_incidents_that_were_resolved_are_listed_when_asked_for(run: Run, world: World, clock: Clock) -> None:
    world.entries[SUSPENDED] |= {"current_status": "active"}
    clock.on(H)
    run("poll", "--no-send")
    assert "suspended" not in run("incidents").output
    (resolved,) = [one for one in json.loads(run("incidents", "--all", "--json").output) if one["state"] == "resolved"]
    assert (resolved["number"], resolved["resolved_at"]) == (OPEN, "2026-11-23T13:00:00Z")
    assert "resolved 23 Nov 13:00" in run("incidents", "--all").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "number.mising"), "--kind: number.mising is no kind of alert"),
        (("--environment", "nowhere"), "nowhere"),
        (("--severity", "urgent"), "urgent"),
    ],
)
def test_what_no_incident_has_is_refused(run: Run, words: tuple[str, ...], said: str) -> None:
    assert said in run("incidents", *words, code=2).output


def test_status_shows_open_incidents_before_the_fleet(run: Run) -> None:
    lines = run("status").output.splitlines()
    where = lines.index("incidents  2 open (2 critical)")
    assert lines[where + 4] == "CRITICAL  +15550000003 is suspended"
    assert lines[where + 6] == "CRITICAL  +15550000004 will be lost in 2 days"
    assert lines.index(next(line for line in lines if line.startswith("NUMBER"))) > where
    assert "incidents" not in run("status", "--within", "7").output, "who asks for a part of the fleet is given that"


def test_status_ends_after_the_most_urgent_numbers_and_counts_the_others(run: Run, world: World, clock: Clock) -> None:
    more = [entry(f"more-{i}", number=f"+1777000{i:03}") for i in range(40)]
    world.entries = [*numbers(), *more]
    clock.on(H)
    run("poll", "--no-send")
    lines = run("status").output.splitlines()
    assert lines[-1] == "… and 15 more, less urgent: renewal-watch status --all"
    assert sum(line.startswith("+") for line in lines) == 30
    everything = run("status", "--all").output.splitlines()
    assert sum(line.startswith("+") for line in everything) == 45
    assert len(json.loads(run("status", "--json").output)["numbers"]) == 45


def test_times_are_in_the_configured_zone_for_people_and_in_utc_in_json(
    run: Run, world: World, clock: Clock, path: Path
) -> None:
    path.write_text(f'timezone = "Asia/Tokyo"\n{path.read_text()}')
    run("ack", OPEN)
    clock.on(D + H)
    run("send")
    told = "\n".join(one["message"] for one in world.messages)
    assert "last notified at 2026-11-23 21:00 JST" in told
    for words in (["explain", OPEN], ["alerts"], ["status"], ["history", OPEN], ["incidents"]):
        said = run(*words).output
        assert "21:00" in said, words
        assert words == ["alerts"] or "UTC" not in said, (
            words
        )  # what was found before the zone was changed stays as it was
        assert "Z " not in said, words
    assert json.loads(run("incidents", "--json").output)[0]["opened_at"] == "2026-11-23T12:00:00Z"


def test_of_what_is_not_named_only_what_is_open_is_acknowledged(run: Run, clock: Clock) -> None:
    run("ack", OPEN, "--comment", "mine")
    clock.on(H)
    assert run("ack", "--environment", "production", "--for", "1h").output.startswith("acknowledged: renewal (")
    (kept,) = [it for it in json.loads(run("incidents", "--json").output) if it["number"] == OPEN]
    assert (kept["acknowledged_at"], kept["acknowledged_until"]) == ("2026-11-23T12:00:00Z", None)


@pytest.mark.parametrize("words", [("--alert", "1", "--severity", "info"), ("--alert", "1", "--kind", "watch.*")])
def test_an_alert_is_narrowed_like_others(run: Run, words: tuple[str, ...]) -> None:
    assert "nothing is open about alert 1" in refused(run, "ack", *words)


def test_a_number_that_is_meant_to_expire_needs_nobody(run: Run) -> None:
    run("lapse", ENDING)
    listed = json.loads(run("incidents", "--json").output)
    (it,) = [it for it in listed if it["number"] == ENDING]
    assert (it["state"], it["suppressed"]) == ("suppressed", "it is meant to expire")
    assert "incidents  1 open (1 critical), 1 suppressed" in run("status").output.splitlines()


def test_a_label_or_owner_that_fits_nobody_is_warned_of(run: Run) -> None:
    for words in (("incidents", "--label", "suport"), ("status", "--owner", "Ana"), ("forecast", "--label", "x")):
        assert "fits nobody; no number of the inventory has it" in run(*words).stderr
