"""The commands as a user types them: what they print, their exit codes, one sentence for every mistake."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import commands
import msgspec
import pytest
import requests
from click.testing import Result
from commands import Run
from conftest import T0
from databases import BOTH, EITHER, SQLITE_ONLY, content, opened, remove
from made_up import entry
from world import TOKEN, World, serving, write_config

from renewal_watch.channels import apprise
from renewal_watch.cli import cli, contents
from renewal_watch.config.loading import load
from renewal_watch.settings.whole import File
from renewal_watch.store.numbers import find_number

pytestmark = EITHER

CHANNEL_SECRET = "hook-0"


@pytest.fixture
def world() -> World:
    """Five numbers: one suspended, one overdue, one to be lost in two days."""
    made = World(numbers=5, restless=False)
    made.entries[0] |= {"current_status": "suspended"}
    made.entries[1] |= {"days_until_monthly_renewal": -2}
    made.entries[2] |= {"days_until_monthly_renewal": 2, "auto_renewal": False}
    return made


@pytest.fixture
def path(tmp_path: Path, world: World) -> Iterator[Path]:
    with serving(world) as address:
        yield write_config(tmp_path, address)


@pytest.fixture
def run(path: Path) -> Run:
    """The command with the test's configuration."""
    return partial(commands.call, path, secrets=(TOKEN,))


def test_a_poll_finds_tells_and_exits_0(run: Run, world: World) -> None:
    printed = run("poll").output
    assert "production: 5 numbers, 5 changed, 3 new alerts" in printed
    assert "ops-0: 1 sent" in printed
    (message,) = world.messages
    assert message["title"] == (
        "[critical] production: 3 numbers need action: "
        "+15550000001 overdue, +15550000002 will be lost in 2 days, +15550000000 suspended"
    )


def test_poll_without_send_leaves_it_to_send(run: Run, world: World) -> None:
    run("poll", "--no-send")
    assert world.messages == []
    assert json.loads(run("status", "--json").output)["outbox"]["pending"] == 1
    assert "ops-0: 1 sent" in run("send").output
    assert run("send").output == ""
    assert len(world.messages) == 1


def test_a_failed_poll_exits_1_and_says_why(run: Run, world: World) -> None:
    world.fault = 500
    assert "the provider has trouble (HTTP 500: Unauthorized)" in run("poll", code=1).output


def test_a_channel_that_is_down_exits_1_and_is_tried_again(run: Run, world: World) -> None:
    world.refuse = True
    assert "1 not delivered, tried again later" in run("poll", code=1).output
    (alert, *_) = json.loads(run("alerts", "--json", "--pending").output)
    assert alert["deliveries"][0]["attempts"] == 1
    assert alert["deliveries"][0]["last_error"]
    assert CHANNEL_SECRET not in str(alert)
    world.refuse = False
    assert "1 delivery is due again" in run("alerts", "retry", str(alert["id"])).output
    run("send")
    assert len(world.messages) == 1


def test_status_json_has_the_documented_keys(run: Run) -> None:
    run("poll")
    said = json.loads(run("status", "--json").output)
    (environment,) = said["environments"]
    assert {"name", "last_poll_at", "last_success_at", "last_error", "stale", "numbers"} <= set(environment)
    assert (environment["stale"], environment["numbers"]) == (False, 5)
    number = said["numbers"][0]
    documented = (
        "environment id number status days_left renews_on auto_renewal monthly_renewal_cost currency missing_since"
    )
    assert set(documented.split()) <= set(number)
    assert number["days_left"] == -2
    assert number["monthly_renewal_cost"] == "1.0"
    assert set(said["outbox"]) == {"pending", "failed", "oldest_pending_at"}


def test_alerts_json_has_the_documented_keys(run: Run) -> None:
    run("poll")
    (alert, *_) = json.loads(run("alerts", "--json").output)
    assert set(alert) == {
        "id",
        "key",
        "kind",
        "severity",
        "environment",
        "number_id",
        "number",
        "headline",
        "text",
        "hidden",
        "created_at",
        "deliveries",
    }
    documented = {"channel", "state", "message_id", "attempts", "last_error", "sent_at"}
    assert documented <= set(alert["deliveries"][0])
    assert alert["deliveries"][0]["state"] == "sent"
    assert alert["created_at"].endswith("Z")


def rows_of(output: str) -> list[str]:
    """The lines of the fleet."""
    lines = output.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("NUMBER")) + 1 :]


def test_status_shows_the_most_urgent_first_and_filters(run: Run, world: World) -> None:
    run("poll")
    lines = run("status").output.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("NUMBER"))
    assert "OVERDUE" in lines[head + 1]
    assert "will be lost" in lines[head + 2]
    assert "suspended" in lines[head + 3]
    within = rows_of(run("status", "--within", "2").output)
    assert len(within) == 2
    world.entries[4] |= {"days_until_monthly_renewal": 1, "is_sandbox": True}
    run("poll")
    assert len(rows_of(run("status", "--within", "2").output)) == len(within), "as in the fleet"
    assert len(rows_of(run("status", "--status", "suspended").output)) == 1
    assert "no environment called x" in run("status", "--environment", "x", code=2).output


def test_status_is_calm_where_nothing_is_open(run: Run, world: World) -> None:
    world.entries = [entry("phone-9")]
    run("poll")
    lines = run("status").output.splitlines()
    assert lines[1:4] == [
        "incidents  none open",
        "expiring   no number will be lost within 14 days",
        "renewing   1 number within 30 days: 1.00 USD",
    ]


def test_status_and_explain_say_where_countdown_and_date_disagree(run: Run, world: World) -> None:
    world.entries[4] |= {"days_until_monthly_renewal": 15, "renewal_date": "2024-02-15"}
    run("poll")
    sentence = "the provider counts 15 days until renewal, but its renewal_date is 1,012 days ago, on Thu 15 Feb 2024"
    assert sentence in run("status").output
    assert sentence in run("explain", "+15550000004").output


def test_explain_says_why_and_what_comes_next(run: Run) -> None:
    run("poll")
    lost = run("explain", "phone-2").output
    assert "2 days left, by the provider's countdown" in lost
    assert "Told in this cycle: the threshold of 3 days." in lost
    assert "Next: the threshold of 1 day, on" in lost
    assert "ops-0: sent" in lost
    assert "It is overdue and was told 1 time; told again at" in run("explain", "phone-1").output
    assert "no threshold is reached yet" in run("explain", "phone-3").output
    assert json.loads(run("explain", "phone-3", "--json").output)["reasons"]


def test_a_number_is_found_by_part_of_it_or_the_choice_is_named(run: Run) -> None:
    run("poll")
    assert "+15550000003" in run("explain", "0003").output
    assert "fits 5 numbers" in run("explain", "phone", code=2).output
    assert "no number is known by 'nobody'" in run("history", "nobody", code=2).output


def test_strange_words_are_one_sentence(run: Run) -> None:
    run("poll")
    assert "NUMBER is empty" in run("explain", " ", code=2).output
    assert "outside the calendar" in run("snapshot", "--at", "9999-12-31T23:59:59-23:59", code=2).output
    assert "is not a time" in run("snapshot", "--at", "", code=2).output
    run("alerts", "retry", "99999999999999999999", code=2)
    run("db", "prune", "--older-than", "999999999", code=2)
    assert "no delivery failed" in run("alerts", "retry").output
    assert "no numbers match" in run("status", "--status", "bogus").output


def test_terminal_codes_of_the_provider_reach_no_terminal(run: Run, world: World, tmp_path: Path) -> None:
    """Also where a sentence on standard error names several numbers; click hides that from a pipe."""
    from renewal_watch.errors import UsageError

    world.entries[0] |= {"number": "+1\x1b[31mRED\x07", "id": "esc\x1b[2Jid"}
    world.entries[1] |= {"number": "+1\x1b[31mBLUE"}
    run("poll", "--no-send")
    for words in (["status"], ["alerts"], ["snapshot"]):
        assert "\x07" not in run(*words).output
    store = opened(tmp_path / "renewal-watch.db")
    with pytest.raises(UsageError) as caught, store.transaction() as tx:
        find_number(tx, "+1")
    store.close()
    assert "\x1b" not in str(caught.value)
    assert "\x07" not in str(caught.value)


def test_history_and_snapshot_give_the_past_back(run: Run, world: World) -> None:
    run("poll")
    world.entries[3] |= {"current_status": "pending", "odd": [1]}
    run("poll")
    assert 'current_status: "active" → "pending"' in run("history", "phone-3").output
    (change,) = [one for one in json.loads(run("history", "phone-3", "--json").output) if one["what"] == "changed"]
    assert change["fields"]["odd"] == {"now": [1]}
    (taken,) = json.loads(run("snapshot", "--json").output)
    assert {number["id"]: number for number in taken["numbers"]} == {e["id"]: e for e in world.entries}
    assert "was not polled yet" in run("snapshot", "--at", "2020-01-01").output
    assert "is not a time" in run("snapshot", "--at", "yesterday", code=2).output


def test_questions_before_the_first_poll_say_what_to_do(run: Run, tmp_path: Path) -> None:
    remove(tmp_path / "renewal-watch.db")
    for words in (["status"], ["alerts"], ["history", "x"], ["db", "check"], ["explain", "x"]):
        said = run(*words, code=1).output
        assert re.search("the first poll makes (it|them): renewal-watch poll|make them: renewal-watch db upgrade", said)


@SQLITE_ONLY
def test_the_database_commands(run: Run, tmp_path: Path) -> None:
    run("poll")
    assert "schema is" in run("db", "upgrade").output
    assert "sound" in run("db", "check").output
    copy = tmp_path / "copy.db"
    assert "checked" in run("db", "backup", str(copy)).output
    assert copy.stat().st_mode & 0o077 == 0
    assert "restored" in run("db", "restore", str(copy)).output
    assert len(json.loads(run("alerts", "--json").output)) == 3
    assert "deleted 0 changes" in run("db", "prune").output
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    assert "is not a database of renewal-watch" in run("db", "restore", str(tmp_path / "noise"), code=1).output


def test_alerts_are_read_some_at_a_time_and_each_is_there_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("poll")
    shown = {words: run("alerts", *words).output for words in ((), ("--json",), ("--failed", "--json"))}
    assert len(json.loads(shown["--json",])) > 2
    for at_once in (1, 2, 3):
        monkeypatch.setattr("renewal_watch.cli.asking._PAGE", at_once)
        for words, whole in shown.items():
            assert run("alerts", *words).output == whole


@SQLITE_ONLY
def test_a_damaged_database_is_named_and_refused(run: Run, tmp_path: Path) -> None:
    run("poll")
    database = tmp_path / "renewal-watch.db"
    body = bytearray(database.read_bytes())
    body[4096 * 3 : 4096 * 6] = b"\xff" * (4096 * 3)
    database.write_bytes(body)
    assert "renewal-watch db restore" in run("db", "check", code=1).output
    assert "renewal-watch db" in run("run", code=1).output


def test_prune_keeps_the_snapshots_from_its_day_on(run: Run, world: World, tmp_path: Path) -> None:
    from renewal_watch.store.maintenance import retention

    run("poll")
    world.entries[3] |= {"current_status": "pending"}
    run("poll")
    before = run("snapshot", "--json").output
    store = opened(tmp_path / "renewal-watch.db")
    later = T0 + timedelta(hours=1)
    done = retention.prune(store, retention.Limits.all_before(later), later, lambda _: None)
    store.close()
    assert (done.changes, done.alerts) == (1, 0), "what the alerts are about is still open"
    assert json.loads(run("snapshot", "--json").output)[0]["numbers"] == json.loads(before)[0]["numbers"]


def test_test_channel_sends_a_marked_message(run: Run, world: World) -> None:
    assert "sent, message rw-test-" in run("test-channel").output
    assert "TEST" in str(world.messages[0]["title"])
    assert "TEST" in str(world.messages[0]["message"])
    world.refuse = True
    assert "not delivered" in run("test-channel", "ops-0", code=1).output
    assert "no channel called x" in run("test-channel", "x", code=2).output


def test_doctor_says_what_works_and_what_does_not(run: Run, world: World) -> None:
    assert "FAIL" not in run("doctor").output
    world.fault = 401
    printed = run("doctor", code=1).output
    assert "FAIL  production: the provider rejects the token" in printed
    assert "ok    channel ops-0" in printed


def test_config_check_names_a_channel_that_apprise_does_not_know(run: Run, path: Path) -> None:
    assert "is valid" in run("config", "check").output
    good = path.read_text()
    path.write_text(good + '[[channels]]\nname = "odd"\nurl = "nosuch://secret-word"\n')
    printed = run("config", "check", code=78).output
    assert "channels.odd.url: Apprise does not understand this nosuch:// URL" in printed
    assert "secret-word" not in printed
    assert "channels.odd.url" in run("run", code=78).output


def test_wrong_configuration_exits_78_and_wrong_usage_2(run: Run, path: Path) -> None:
    run("nosuch", code=2)
    run("poll", "--environment", "x", code=2)
    path.write_text(path.read_text() + "speed = 3\n")
    assert run("status", code=78).output.startswith(f"renewal-watch: {path}: ")


def test_config_show_hides_secrets_and_schema_is_json(run: Run) -> None:
    assert CHANNEL_SECRET not in run("config", "show").output
    schema = json.loads(run("config", "schema").output)
    assert "$defs" in schema


def test_init_writes_once_for_its_owner_only(tmp_path: Path) -> None:
    target = tmp_path / "new.toml"
    commands.call(None, "init", str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    load(target)
    assert "is there already" in commands.call(None, "init", str(target), code=2).output


def test_the_demo_tells_its_story_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "renewal_watch", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for word in ("renewal.overdue", "watch.stale", "channel.failing", "number.missing", ": 0 lost, 0 sent twice"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_demo_is_as_wide_as_the_terminal_and_tells_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    told = commands.call(None, "demo", "--numbers", "12").output
    assert max(map(len, told.splitlines())) <= 72
    whole = re.sub(r"\s+", " ", told)
    assert "(somebody acknowledges +" in whole
    assert len(re.findall(r"pager ◂ \[critical\] production: \+\d+ is missing", whole)) > 1
    assert whole.count("complete lists in a row came without it") == 1, "by the chat, and no reminder repeats it"


def test_the_demo_serves_the_pages_of_its_last_day() -> None:
    command = [sys.executable, "-m", "renewal_watch", "demo", "--web", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "the pages are at" in line)
            page = requests.get(line.split()[4], timeout=10).text
        finally:
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read() if process.stdout else ""
    assert process.wait(10) == 0, rest
    assert "What needs somebody" in page
    assert "15 Apr 2026" in page


def test_no_secret_reaches_a_child_s_arguments_or_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    original = apprise.subprocess.Popen

    def watched(*words: Any, **how: Any) -> Any:
        started.append((words, how.get("env")))
        return original(*words, **how)

    monkeypatch.setattr(apprise.subprocess, "Popen", watched)
    run("poll")
    assert started
    assert CHANNEL_SECRET not in str(started)


def test_the_stored_database_holds_no_secret(run: Run, tmp_path: Path, world: World) -> None:
    world.refuse = True
    run("poll", code=1)
    stored = "\n".join(content(tmp_path / "renewal-watch.db"))
    assert "phone-1" in stored
    assert TOKEN not in stored
    assert CHANNEL_SECRET not in stored


def test_help_is_there_for_every_command() -> None:
    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        yield name, command
        for child, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {child}")

    for name, command in walk(cli, "renewal-watch"):
        assert command.help, name


def test_the_schema_accepts_the_example() -> None:
    import tomllib

    example = Path(__file__).parents[2] / "config.example.toml"
    assert msgspec.convert(tomllib.loads(example.read_text()), File).environments


# --- for scripts ------------------------------------------------------------------------------------------------------

COMMANDS_PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
FREE = {"entry", "fields", "match"}  # keys whose value is the provider's, or a matcher: no documented keys within


def said(result: Result) -> Any:
    """The one document on standard output."""
    return json.loads(result.stdout)


def paths(value: Any, at: str = "") -> set[str]:
    """Every key in a document, written as in docs/commands.md: ``numbers[].id``."""
    if isinstance(value, dict) and at.rpartition(".")[2] not in FREE:
        return {found for key, inner in value.items() for found in paths(inner, f"{at}.{key}".lstrip("."))}
    if isinstance(value, list) and at != "[].numbers":
        return {found for inner in value for found in paths(inner, f"{at}[]")} or {at}
    return {at}


def documented(command: str) -> set[str]:
    """The keys that the page names for a command, those that it borrows from another one included."""
    called = re.compile(rf"\| `{command}(`| [A-Z\[…-])")
    (row,) = [line for line in COMMANDS_PAGE.splitlines() if called.match(line)]
    cell = row.rsplit("|", 2)[1]
    found = set(re.findall(r"`([\w.\[\]]+)`", cell))
    for name, other in re.findall(r"`(\w+\[\])` as `(\w+)`", cell):
        found |= {f"{name}{path.split('[]', 1)[1]}" for path in documented(other) if "[]" in path}
    return found


def undocumented(document: Any, command: str) -> set[str]:
    keys = documented(command) | {"ok", "errors"}
    return {path for path in paths(document) if path and not any(f"{key}[".startswith(f"{path}[") for key in keys)}


SHOWING = (
    "status",
    "incidents --all",
    "explain phone-1",
    "history phone-3",
    "snapshot",
    "alerts",
    "preview --days 40",
    "silence list",
)
DOING = (
    "poll --no-send",
    "send",
    "canary",
    "alerts retry",
    "ack phone-1",
    "lapse phone-4",
    "silence add --all --for 2h",
    "config check",
    "test-channel",
    "doctor",
    "db upgrade",
    "db check",
    "db prune",
)


@BOTH
def test_every_json_document_has_the_documented_keys_and_no_others(run: Run, path: Path, world: World) -> None:
    path.write_text(path.read_text() + '\n[canary]\nchannel = "ops-0"\n')
    run("poll", "--no-send")
    world.entries[3] |= {"current_status": "pending"}
    for words in DOING:
        document = said(run(*words.split(), "--json"))
        assert (document["ok"], document["errors"]) == (True, []), words
        assert undocumented(document, re.split(r" -| phone", words)[0]) == set(), words
    for words in SHOWING:
        assert undocumented(said(run(*words.split(), "--json")), re.split(r" -| phone", words)[0]) == set(), words
    ended = said(run("silence", "end", "1", "--json"))
    assert undocumented(ended, "silence end") == set()
    copy = path.parent / "copy.db"
    for words in ("db backup", "db restore"):
        assert undocumented(said(run(*words.split(), str(copy), "--json")), words) == set()


def test_what_the_page_promises_of_the_fleet_and_its_alerts_is_there(run: Run) -> None:
    run("poll")
    of_balances = {f"overview.balances[].{key}" for key in ("environment", "amount", "currency")}  # none was read here
    assert documented("status") - of_balances == paths(said(run("status", "--json"))) - {"overview.balances"}
    assert documented("alerts") == paths(said(run("alerts", "--json")))


def test_the_page_names_every_command() -> None:
    for name in contents.COMMANDS:
        assert re.search(rf"^\| `{re.escape(name)}\b", COMMANDS_PAGE, re.MULTILINE), name


def test_with_json_also_what_is_refused_is_one_document(run: Run) -> None:
    run("poll", "--no-send")
    for words, sentence in {
        "status --environment x": "no environment called x",
        "status --nope": "No such option",
        "nosuch": "No such command",
        "history": "Missing argument",
        "silence end 7": "there is no silence 7",
        "ack phone-3": "nothing is open about",
        "canary": "has no [canary]",
        "db restore nosuch.db": "does not exist",
    }.items():
        result = run(*words.split(), "--json", code=2)
        document = said(result)
        assert document["ok"] is False
        assert sentence in document["errors"][0]
        assert sentence in result.stderr


def test_with_json_every_fault_of_the_configuration_is_a_sentence_of_its_own(run: Run, path: Path) -> None:
    path.write_text(path.read_text() + 'pace = 3\nspeed = "x"\n')
    document = said(run("config", "check", "--json", code=78))
    assert document["ok"] is False
    assert len(document["errors"]) == 2
    assert all(str(path) in one for one in document["errors"])


def test_with_json_what_fails_on_the_way_is_in_the_document_and_on_standard_error(run: Run, world: World) -> None:
    world.refuse = True
    polled = run("poll", "--json", code=1)
    assert said(polled)["channels"] == [{"channel": "ops-0", "sent": 0, "failed": 1}]
    assert said(polled)["errors"] == ["ops-0: 0 sent, 1 not delivered, tried again later"]
    assert said(polled)["errors"][0] in polled.stderr
    world.fault = 500
    (failed,) = said(run("poll", "--json", "--force", code=1))["environments"]
    assert (failed["polled"], failed["numbers"]) == (False, None)
    assert "HTTP 500" in failed["error"]
    (tried,) = said(run("test-channel", "--json", code=1))["channels"]
    assert tried["sent"] is False
    examined = said(run("doctor", "--json", code=1))
    assert examined["errors"] == [one["text"] for one in examined["findings"] if not one["ok"]]


def test_json_before_or_after_a_subcommand_means_the_same(run: Run) -> None:
    run("poll")
    assert said(run("alerts", "--json", "retry")) == said(run("alerts", "retry", "--json"))


def test_a_number_that_is_called_like_the_option_is_no_option(run: Run) -> None:
    run("poll")
    result = run("history", "--", "--json", code=2)
    assert result.stdout == ""
