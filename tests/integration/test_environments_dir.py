"""Environments of a directory, a file each: what a file may say, what becomes of one that is broken, and a running watch."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
from click.testing import Result
from conftest import T0
from databases import BOTH, opened
from made_up import entry
from receivers import Answer, http_receiver

from renewal_watch.config import directory as config_directory
from renewal_watch.config.directory import Directory
from renewal_watch.config.loading import load
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.config.toml import LARGEST_FILE
from renewal_watch.daemon import daemon, ticker
from renewal_watch.daemon.daemon import Daemon
from renewal_watch.database.store import Store
from renewal_watch.diagnostics import health
from renewal_watch.errors import ConfigError, ServerTrouble, UsageError
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment, EnvironmentFile
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.text import REDACTOR
from renewal_watch.timed import follow_up
from renewal_watch.web.state import State

MINUTE = timedelta(minutes=1)
PATIENCE_S = 90.0
BASE = "http://127.0.0.1:1/api/v1"
GOOD = f'base_url = "{BASE}"\ntoken_env = "TOKEN_OF_ALL"\n'
CHANNEL = '[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:1/"\n'


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it never came"
        threading.Event().wait(0.01)


class House:
    """A configuration and its directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.toml"
        self.directory = folder / "environments.d"
        self.directory.mkdir()
        self.configure(CHANNEL)

    def configure(self, more: str = "") -> None:
        self.path.write_text(f'state_dir = "{self.folder}"\nenvironments_dir = "{self.directory}"\n{more}')
        self.path.chmod(0o600)

    def file(self, name: str, text: str = GOOD, mode: int = 0o600) -> Path:
        """Put a file in place the way careful programs do: whole or not at all."""
        path = self.directory / f"{name}.toml"
        part = self.directory / f".{name}.part"
        part.write_text(text)
        part.chmod(mode)
        part.replace(path)
        return path

    def load(self) -> Settings:
        return load(self.path)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("TOKEN_OF_ALL", "talq_of_all")
    return House(tmp_path)


def names(settings: Settings) -> list[str]:
    return [one.name for one in settings.environments]


def faults(settings: Settings) -> dict[str, str]:
    return {one.path.name: one.faults[0] for one in settings.broken}


# --- what a file says -------------------------------------------------------------------------------------------------


def test_a_file_is_one_environment_called_like_the_file_unless_it_says_otherwise(house: House) -> None:
    house.file("acme")
    house.file("b.v.", 'name = "globex"\npoll_every = "2h"\n' + GOOD)
    settings = house.load()
    assert names(settings) == ["acme", "globex"]
    assert settings.environment("globex").interval == timedelta(hours=2)
    assert settings.files == {"acme": house.directory / "acme.toml", "globex": house.directory / "b.v..toml"}
    assert settings.broken == settings.dangling == ()


def test_the_environments_of_the_main_file_come_first(house: House) -> None:
    house.configure(f'[[environments]]\nname = "zulu"\n{GOOD}')
    house.file("acme")
    assert names(house.load()) == ["zulu", "acme"]


def test_an_empty_directory_is_allowed_and_a_missing_one_is_not(house: House) -> None:
    assert names(house.load()) == []
    house.directory.rmdir()
    with pytest.raises(ConfigError, match=r"environments_dir: .*environments\.d cannot be read: No such file"):
        house.load()
    house.directory.write_text("")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        house.load()


def test_without_environments_a_directory_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text in ("", "environments = []\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"environments.*environments_dir"):
            load(path)


@pytest.mark.parametrize("name", [".acme.toml", ".#acme.toml", "acme.toml~", "acme.toml.swp", "#acme.toml#", "README"])
def test_what_editors_leave_there_is_no_environment(house: House, name: str) -> None:
    (house.directory / name).write_text("half a")
    settings = house.load()
    assert (names(settings), settings.broken) == ([], ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base_url = ", "it is not TOML: Invalid value"),
        ("", "base_url: is missing"),
        (GOOD.replace("base_url", "base_ulr"), "base_ulr: unknown key; did you mean base_url?"),
        (f"[[environments]]\n{GOOD}", "environments: the keys stand at the top of the file, without [[environments]]"),
        (GOOD + "poll_every = '5s'\n", "poll_every: the shortest interval is 10s"),
        (GOOD + "poll_every = '1h'\npoll_cron = '@daily'\n", "poll_every and poll_cron exclude each other"),
        (GOOD + "name = 'a b'\n", "name: a name has up to 64 letters"),
        (GOOD + "requests_per_minute = 0\n", "requests_per_minute: expected a whole number >= 1"),
        (GOOD.replace("token_env", "#"), "token: is missing; give one of token, token_file"),
        (f'base_url = "{BASE}"\ntoken = "talq_x"\nca_file = "\\u0000"\n', "it is not TOML: a value holds"),
        ("#" * (LARGEST_FILE + 1), "it is larger than 1 MiB"),
        ("a = " + "[" * 5000, "it is nested too deeply"),
    ],
)
def test_a_fault_names_the_key_as_it_stands_in_the_file(house: House, text: str, said: str) -> None:
    house.file("acme", text)
    house.file("globex")
    settings = house.load()
    assert names(settings) == ["globex"], "the good one is not touched by it"
    assert faults(settings)["acme.toml"].startswith(said)


def test_a_file_whose_name_is_no_name_says_so(house: House) -> None:
    house.file("a customer")
    assert faults(house.load())["a customer.toml"].startswith("name: a name has up to 64")


def test_a_file_with_a_token_may_be_read_by_its_owner_only(house: House) -> None:
    text = f'base_url = "{BASE}"\ntoken = "talq_in_the_open"\n'
    house.file("acme", text, mode=0o640)
    house.file("globex", text, mode=0o600)
    house.file("initech", mode=0o644)
    settings = house.load()
    assert names(settings) == ["globex", "initech"]
    assert "others can read this file" in faults(settings)["acme.toml"]
    assert REDACTOR.clean("talq_in_the_open") == "***", "also that of a file that is refused"


def test_what_is_no_file_or_cannot_be_read_holds_up_nothing(house: House) -> None:
    os.mkfifo(house.directory / "pipe.toml")
    (house.directory / "folder.toml").mkdir()
    (house.directory / "link.toml").symlink_to("nowhere")
    house.file("acme")
    settings = house.load()
    assert names(settings) == ["acme"]
    assert faults(settings)["pipe.toml"] == "it cannot be read: it is no file"
    assert faults(settings)["folder.toml"].startswith("it ")
    assert faults(settings)["link.toml"] == "it cannot be read: No such file or directory"


def test_a_file_whose_name_is_no_text_stops_nothing(house: House, told: Told, run: Callable[..., Result]) -> None:
    (house.directory / os.fsdecode(b"caf\xe9.toml")).write_text(GOOD)
    house.file("acme")
    settings = house.load()
    assert names(settings) == ["acme"]
    ((_, _, text),) = told.turn(settings.file_faults(T0 - timedelta(days=9999)))
    assert "caf\ufffd.toml (environments_dir) cannot be used" in text
    assert (
        "caf\ufffd.toml: name: a name has up to 64"
        in json.loads(run("config", "check", "--json", code=78).stdout)["errors"][0]
    )
    assert json.loads(run("config", "show").stdout)["broken"][0]["path"].endswith("caf\ufffd.toml")


def test_a_name_used_by_two_files_is_a_fault_of_both_and_one_of_the_main_file_stays_its_own(house: House) -> None:
    """Whoever took one of the two could watch the wrong account under that name."""
    house.configure(f'[[environments]]\nname = "zulu"\n{GOOD}')
    house.file("acme")
    house.file("copy", 'name = "acme"\n' + GOOD)
    house.file("zulu")
    settings = house.load()
    assert names(settings) == ["zulu"]
    assert settings.files == {}
    assert faults(settings) == {
        "acme.toml": "name: 'acme' is used twice, also in copy.toml",
        "copy.toml": "name: 'acme' is used twice, also in acme.toml",
        "zulu.toml": "name: 'zulu' is an environment of config.toml already; give one of them another name",
    }


def test_a_name_that_only_the_directory_could_have_breaks_nothing(house: House) -> None:
    """A customer's file that is taken out must not keep the watch from its next start."""
    house.configure(
        CHANNEL
        + 'environments = ["acme", "globex"]\n[[rules]]\nname = "r"\nmatch = { environments = ["acme"] }\nmute = ["price.*"]\n'
    )
    house.file("acme")
    settings = house.load()
    assert settings.dangling == ("channels.ops.environments: there is no environment called 'globex'",)
    house.file("globex")
    assert house.load().dangling == ()


def test_other_faults_of_the_main_file_are_as_strict_as_ever(house: House) -> None:
    house.configure('environmets = 3\n[[channels]]\nname = "x"\nurl = "json://x"\nfallback = "y"\n')
    with pytest.raises(ConfigError) as caught:
        house.load()
    said = "\n".join(caught.value.faults)
    assert "environmets: unknown key; did you mean environments?" in said
    assert "channels.x.fallback: there is no channel called 'y'" in said


def test_a_file_may_still_be_written_when_it_is_looked_at(house: House) -> None:
    """It is told when nobody has touched it for a while; a clock that was put back is no reason to wait."""
    house.file("acme", "base_url = ")
    settings = house.load()
    (one,) = settings.broken
    assert one.changed_at is not None
    assert settings.file_faults(one.changed_at + timedelta(seconds=5)) == {}
    assert list(settings.file_faults(one.changed_at + MINUTE)) == ["acme.toml"]
    assert list(settings.file_faults(one.changed_at - MINUTE)) == ["acme.toml"]


def test_a_copy_that_still_has_the_old_name_is_no_fault_yet(house: House) -> None:
    """``cp acme.toml copy.toml`` comes before the name in the copy is changed: the older file is not told of either."""
    house.file("acme", 'name = "acme"\n' + GOOD)
    time_of_copy = house.load()
    assert time_of_copy.broken == ()
    house.file("copy", 'name = "acme"\n' + GOOD)
    settings = house.load()
    newest = max(one.changed_at or T0 for one in settings.broken)
    assert len(settings.broken) == 2
    assert settings.file_faults(newest + timedelta(seconds=5)) == {}


def test_a_thousand_files_are_read_in_good_time(house: House) -> None:
    for number in range(1000):
        (house.directory / f"customer-{number:04}.toml").write_text(GOOD)
    directory = Directory()
    began = time.process_time()
    settings = house.load()
    loaded = time.process_time()
    directory.look(settings, T0)
    looked = time.process_time()
    assert directory.look(settings, T0) is settings
    assert len(settings.environments) == 1000
    assert loaded - began < 3, "0.3 s on two slow cores"
    assert time.process_time() - looked < 0.5, "0.02 s there"


# --- following it -----------------------------------------------------------------------------------------------------


class Follower:
    """What a process that runs for long makes of the directory."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.directory = Directory()
        self.settings = self.directory.look(house.load(), T0)

    def look(self, **how: Any) -> list[str]:
        self.settings = self.directory.look(self.settings, T0, **how)
        return names(self.settings)

    def reload(self) -> list[str]:
        self.settings = self.directory.look(self.house.load(), T0, before=self.settings, is_meant=True)
        return names(self.settings)


def test_what_is_added_and_changed_is_there_at_the_next_look(house: House) -> None:
    house.file("acme")
    one = Follower(house)
    before = one.settings
    assert one.look() == ["acme"]
    assert one.settings is before, "nothing changed, so nobody has to do anything"
    house.file("globex", GOOD + 'poll_every = "2h"\n')
    assert one.look() == ["acme", "globex"]
    acme = one.settings.environment("acme")
    house.file("globex", GOOD + 'poll_every = "3h"\n')
    one.look()
    assert one.settings.environment("globex").interval == timedelta(hours=3)
    assert one.settings.environment("acme") is acme


def test_what_is_gone_is_removed_when_it_is_gone_at_two_looks(house: House) -> None:
    """Some programs take a file away and write it anew."""
    path = house.file("acme")
    house.file("globex")
    one = Follower(house)
    path.unlink()
    assert one.look() == ["acme", "globex"]
    house.file("acme")
    assert one.look() == ["acme", "globex"]
    path.unlink()
    assert one.look() == ["acme", "globex"]
    assert one.look() == ["globex"]
    assert one.look() == ["globex"]


def test_who_reloads_says_that_what_is_gone_was_removed(house: House) -> None:
    path = house.file("acme")
    house.file("globex")
    one = Follower(house)
    path.unlink()
    assert one.reload() == ["globex"]


def test_a_renamed_file_with_the_name_inside_is_the_same_environment(house: House) -> None:
    path = house.file("acme", 'name = "acme"\n' + GOOD)
    one = Follower(house)
    before = one.settings.environment("acme")
    path.rename(path.with_name("customer-7.toml"))
    for _ in range(3):
        assert one.look() == ["acme"]
        assert one.settings.broken == ()
    assert one.settings.environment("acme") == before
    assert one.settings.files["acme"].name == "customer-7.toml"


def test_a_file_that_breaks_keeps_its_environment_as_it_was_read_last(house: House) -> None:
    house.file("acme", GOOD + 'poll_every = "2h"\n')
    one = Follower(house)
    house.file("acme", GOOD + 'poll_every = "two hours"\n')
    for look in (one.look, one.look, one.reload, one.look):
        assert look() == ["acme"]
        assert one.settings.environment("acme").interval == timedelta(hours=2)
        assert list(faults(one.settings)) == ["acme.toml"]
    house.file("acme", GOOD + 'poll_every = "3h"\n')
    one.look()
    assert one.settings.environment("acme").interval == timedelta(hours=3)
    assert one.settings.broken == ()


def test_a_broken_file_that_is_taken_away_takes_its_environment_along(house: House) -> None:
    path = house.file("acme")
    house.file("globex")
    one = Follower(house)
    house.file("acme", "base_url = ")
    one.look()
    path.unlink()
    one.look()
    assert one.look() == ["globex"]
    assert one.settings.broken == ()


def test_a_name_that_another_file_takes_stays_with_the_environment_that_had_it(house: House) -> None:
    house.file("acme", GOOD + 'poll_every = "2h"\n')
    one = Follower(house)
    intruder = house.file("a-copy", 'name = "acme"\npoll_every = "5h"\n' + GOOD)
    assert one.look() == ["acme"]
    assert one.settings.environment("acme").interval == timedelta(hours=2)
    assert sorted(faults(one.settings)) == ["a-copy.toml", "acme.toml"]
    intruder.unlink()
    one.look()
    one.look()
    assert one.settings.broken == ()


def test_a_disk_that_is_missing_is_not_a_thousand_removals(house: House) -> None:
    """What was mounted there is gone and the folder under it is empty, or the folder is gone as well."""
    house.file("acme")
    house.file("globex")
    one = Follower(house)
    elsewhere = house.directory.rename(house.folder / "unmounted")
    for _ in range(3):
        assert one.look() == ["acme", "globex"]
    assert faults(one.settings) == {"environments.d": "it cannot be read: No such file or directory"}
    house.directory.mkdir()
    for _ in range(3):
        assert one.look() == ["acme", "globex"]
    assert faults(one.settings)["environments.d"].startswith("it is empty, and 2 environments stood in it")
    house.directory.rmdir()
    elsewhere.rename(house.directory)
    assert one.look() == ["acme", "globex"]
    assert one.settings.broken == ()
    for path in house.directory.iterdir():
        path.unlink()
    one.look()
    assert one.reload() == [], "whoever reloads means it"
    assert one.settings.broken == ()


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.file("acme")
    one = Follower(house)
    house.file("globex")
    real = config_directory.read_environment

    def fails(path: Path) -> EnvironmentFile:
        return EnvironmentFile(path=path, faults=("cannot be read: Input/output error",))

    monkeypatch.setattr(config_directory, "read_environment", fails)
    assert one.look() == ["acme"]
    monkeypatch.setattr(config_directory, "read_environment", real)
    assert one.look() == ["acme", "globex"]


def test_the_only_file_may_be_taken_away(house: House) -> None:
    path = house.file("acme")
    one = Follower(house)
    path.unlink()
    one.look()
    assert one.look() == []


def test_another_directory_after_a_reload(house: House) -> None:
    house.file("acme")
    one = Follower(house)
    other = house.folder / "others.d"
    other.mkdir()
    (other / "hooli.toml").write_text(GOOD)
    house.path.write_text(house.path.read_text().replace(str(house.directory), str(other)))
    assert one.reload() == ["hooli"]
    house.path.write_text(f'[[environments]]\nname = "main"\n{GOOD}')
    assert one.reload() == ["main"]


def test_the_log_says_what_changed_and_each_fault_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "renewal_watch.config.directory")
    house.configure(CHANNEL + 'environments = ["acme"]\n')
    one = Follower(house)
    for number in range(7):
        house.file(f"customer-{number}")
    house.file("acme", f'base_url = "{BASE}"\ntoken = "talq_secret_of_acme"\nx = "talq_secret_of_acme"\n')
    for _ in range(3):
        one.look()
    house.file("acme")
    one.look()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "channels.ops.environments: there is no environment called 'acme'",
        "environments added: customer-0, customer-1, customer-2, customer-3, customer-4 and 2 more",
        f"{house.directory}/acme.toml: {said[2].partition(': ')[2]}",
        "environments added: acme",
        f"the files of {house.directory} can all be used again",
    ]
    assert "x: unknown key" in said[2]


# --- telling ----------------------------------------------------------------------------------------------------------


class Told:
    """A database and what the turn of time writes into it."""

    def __init__(self, folder: Path) -> None:
        self.store = opened(folder / "told.db")
        self.store.upgrade()
        self.now = T0
        self.way = Routing(channels=(Channel(name="chat", url="json://127.0.0.1:1"),))
        self.seen = 0

    def turn(self, faults: dict[str, str] | None, *, host: str = "", **policies: Policy) -> list[tuple[str, str, str]]:
        self.now += MINUTE
        follow_up.run_once(self.store, self.way, policies, self.now, file_faults=faults, host=host)
        with self.store.transaction() as tx:
            found = [one for one in reversed(list_alerts(tx)) if one["id"] > self.seen]
        self.seen = max([self.seen, *(one["id"] for one in found)])
        return [(one["kind"], one["severity"], str(one["text"])) for one in found]

    def open(self) -> set[str]:
        with self.store.transaction() as tx:
            return {key.topic for key in incidents_of(tx)}


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    one = Told(tmp_path)
    yield one
    one.store.close()


@BOTH
def test_a_broken_file_is_told_once_and_so_is_its_end(told: Told) -> None:
    ((kind, severity, text),) = told.turn({"acme.toml": "token: is missing"})
    assert (kind, severity) == ("environments.invalid", "warning")
    assert "acme.toml (environments_dir) cannot be used as it is: token: is missing" in text
    assert told.turn({"acme.toml": "token: is missing"}) == []
    assert told.turn({"acme.toml": "base_url: is missing"}) == [], "it is still the same file"
    ((_, _, text),) = told.turn({"acme.toml": "token: is missing", "globex.toml": "it is not TOML"})
    assert "globex.toml" in text
    ((kind, severity, text),) = told.turn({"globex.toml": "it is not TOML"})
    assert (kind, severity) == ("environments.invalid", "info")
    assert "acme.toml (environments_dir) is valid again, or was removed" in text
    assert len(told.turn({})) == 1
    assert told.turn({}) == []


@BOTH
def test_who_did_not_look_ends_nothing(told: Told) -> None:
    told.turn({"acme.toml": "token: is missing"})
    assert told.turn(None) == []
    assert told.turn({"acme.toml": "token: is missing"}) == []


@BOTH
def test_all_that_break_at_once_are_one_message(told: Told) -> None:
    assert len(told.turn({f"customer-{number}.toml": "it is not TOML" for number in range(50)})) == 50
    with told.store.transaction() as tx:
        assert len(tx.rows("SELECT id FROM deliveries").fetchall()) == 1


@BOTH
def test_machines_that_share_a_database_tell_of_their_own_files(told: Told) -> None:
    """One has the new file already, or not yet: neither ends what the other told."""
    ((_, _, text),) = told.turn({"acme.toml": "it is not TOML"}, host="alpha")
    assert "acme.toml on alpha (environments_dir)" in text
    assert told.turn({}, host="beta") == []
    assert told.turn({"acme.toml": "it is not TOML"}, host="alpha") == []
    assert len(told.turn({"acme.toml": "it is not TOML"}, host="beta")) == 1
    assert len(told.turn({}, host="alpha")) == 1
    assert told.open() == {"environments acme.toml on beta"}


@BOTH
def test_incidents_of_an_environment_whose_file_broke_outlive_a_restart_and_those_of_a_removed_one_end(
    told: Told,
) -> None:
    """Who acknowledged what must not be forgotten over a typing mistake; a day later it was no mistake."""

    class Source:
        def fetch(self) -> Any:
            raise ServerTrouble("down")

    acme = Environment(name="acme", base_url=BASE, token="talq_x", poll_jitter="0s")
    for _ in range(3):
        told.now += MINUTE
        poll.run_once(told.store, acme, Source(), Policy(), told.way, lambda: told.now)
    told.turn({}, acme=Policy())
    assert told.open() == {"api"}
    told.now += timedelta(hours=23)
    told.way = Routing(channels=(Channel(name="mail", url="json://127.0.0.1:1"),), reminders=told.way.reminders)
    assert told.turn({"acme.toml": "it is not TOML"}) != []
    assert "api" in told.open()
    told.now += timedelta(days=3)
    assert told.turn({}) != []
    assert told.open() == set()


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(house: House) -> Callable[..., Result]:
    return partial(commands.call, house.path)


def test_config_check_names_the_faults_of_every_file_at_once(house: House, run: Callable[..., Result]) -> None:
    house.file("acme")
    assert "is valid: 1 environment, channels: ops" in run("config", "check").output
    house.configure(CHANNEL + 'environments = ["hooli"]\n')
    house.file("globex", "poll_every = 3\n")
    house.file("initech", f'base_url = "{BASE}"\ntoken_file = "/none"\n')
    said = run("config", "check", code=78).output
    assert f"{house.path}: channels.ops.environments: there is no environment called 'hooli'" in said
    assert f"{house.path}: environments.initech.token_file: /none cannot be read" in said
    assert f"{house.directory}/globex.toml: base_url: is missing" in said
    assert f"{house.directory}/globex.toml: poll_every: expected text in quotes" in said


def test_config_show_resolves_the_directory_and_hides_its_secrets(house: House, run: Callable[..., Result]) -> None:
    house.file("acme", f'base_url = "{BASE}"\ntoken = "talq_hidden_in_a_file"\n')
    house.file("globex", "base_url = ")
    shown = run("config", "show").stdout
    told = json.loads(shown)
    assert [one["name"] for one in told["environments"]] == ["acme"]
    assert told["environments"][0]["token"] == "***"
    assert "talq_hidden" not in shown
    assert told["files"] == {"acme": str(house.directory / "acme.toml")}
    assert told["broken"][0]["path"] == str(house.directory / "globex.toml")


def test_config_schema_has_one_for_a_file_of_the_directory(run: Callable[..., Result]) -> None:
    whole = json.loads(run("config", "schema").output)
    assert "environments_dir" in json.dumps(whole)
    one = json.loads(run("config", "schema", "--environment-file").output)
    table = one["$defs"]["Environment"]
    assert table["required"] == ["base_url"]
    assert "token_file" in table["properties"]


def test_other_commands_go_on_with_the_good_files_and_name_the_broken_ones(
    house: House, run: Callable[..., Result]
) -> None:
    house.file("acme")
    run("db", "upgrade")
    for number in range(5):
        house.file(f"broken-{number}", "base_url = ")
    result = run("status", "--json")
    assert [one["name"] for one in json.loads(result.stdout)["environments"]] == ["acme"]
    assert result.stderr.count("is left out: it is not TOML") == 3
    assert "left out as well are 2 more files; see: renewal-watch config check" in result.stderr
    assert "there is no environment called broken-1" in run("poll", "--environment", "broken-1", code=2).output


def test_every_command_knows_an_empty_directory(house: House, run: Callable[..., Result]) -> None:
    house.configure()
    assert "polled" not in run("poll").output
    assert "no environment is watched" in run("status").output
    for words in (
        *(["snapshot"], ["alerts"], ["forecast"], ["metrics"], ["send"], ["doctor"], ["preview"]),
        *(["export", "numbers"], ["export", "calendar"], ["config", "check"], ["config", "show"]),
    ):
        assert run(*words, code=None).exit_code in (0, 1), words
    assert "no environment is watched" in run("check", code=3).output


def test_health_and_check_say_what_is_broken(house: House, run: Callable[..., Result]) -> None:
    house.file("acme")
    run("db", "upgrade")
    house.file("globex", "base_url = ")
    settings = house.load()
    (broken,) = settings.broken
    assert broken.changed_at is not None
    store = Store(settings.database_url)
    with store.transaction() as tx:
        fresh = health.examine(tx, settings, broken.changed_at)
        found = health.examine(tx, settings, broken.changed_at + MINUTE)
    store.close()
    assert not any(one.name == "environments" for one in fresh.checks), "it may still be written"
    (said,) = [one for one in found.checks if one.name == "environments"]
    assert not said.ok
    assert not said.is_blind
    assert said.reason.startswith("globex.toml (environments_dir) cannot be used as it is: it is not TOML")


def test_a_start_needs_the_secrets_of_the_main_file_only(house: House) -> None:
    """A token file that one customer's environment lacks is told by its own poll, and keeps nobody else unwatched."""
    house.file("acme", f'base_url = "{BASE}"\ntoken_file = "/none"\n')
    settings = house.load()
    assert secret_faults(settings, with_files=False) == []
    assert secret_faults(settings) == ["environments.acme.token_file: /none cannot be read: No such file or directory"]


def test_the_pages_follow_the_directory_as_well(house: House) -> None:
    house.file("acme")
    now = [T0]
    state = State(house.load(), lambda: now[0])
    house.file("globex")
    assert names(state.settings) == ["acme"]
    now[0] += MINUTE
    assert names(state.settings) == ["acme", "globex"]
    house.file("initech")
    state.adopt(house.load())
    assert names(state.settings) == ["acme", "globex", "initech"]
    state.close()


# --- a daemon ---------------------------------------------------------------------------------------------------------


class Running:
    """A real daemon in a thread and a provider that notes who is asked for; the clock is put on by the test."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        monkeypatch.setattr(daemon.signal, "signal", lambda *_: None)
        monkeypatch.setattr(ticker, "TICK_S", 0.05)
        monkeypatch.setattr("renewal_watch.daemon.turns.REFRESH_S", 0.1)
        monkeypatch.setattr(daemon, "LOOK_S", 0.1)
        house.configure("[account]\nreleases = false\ntopup = false\nbalance = false\nagents = false\n" + CHANNEL)
        self.house = house
        self.port = port
        self.offset = timedelta()
        settings = house.load()
        self.store = Store(settings.database_url)
        self.store.upgrade()
        self.daemon = Daemon(settings, self.store, lambda: datetime.now(UTC) + self.offset)
        self.thread = threading.Thread(target=self.daemon.run)

    def file(self, name: str, more: str = "") -> Path:
        base = f"http://127.0.0.1:{self.port}/{name}"
        return self.house.file(name, f'base_url = "{base}"\ntoken_env = "TOKEN_OF_ALL"\npoll_jitter = "0s"\n{more}')

    def alerts(self, kind: str) -> list[str]:
        with self.store.reading() as tx:
            return [str(one["text"]) for one in reversed(list_alerts(tx)) if one["kind"] == kind]

    def __enter__(self) -> Daemon:
        self.thread.start()
        until(lambda: self.daemon.ticker.scheduler)
        return self.daemon

    def __exit__(self, *_: object) -> None:
        self.daemon.stopping.set()
        self.thread.join()
        self.daemon.polls.pool.shutdown(wait=True)
        self.daemon.polls.account_pool.shutdown(wait=True)
        self.store.close()


def test_a_daemon_takes_over_what_changes_in_the_directory(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"success": True, "data": [entry("phone-1")], "meta": {"last_page": 1, "total": 1}}).encode()
    with http_receiver() as provider:
        provider.answer = lambda _: Answer(200, said)

        def polls() -> Counter[str]:
            return Counter(request.path.split("/")[1] for request in provider.requests)

        running = Running(house, monkeypatch, provider.port)
        acme = running.file("acme")
        with running as one:
            workers = list(one.workers.running)
            until(lambda: polls() == {"acme": 1})
            running.file("globex")
            until(lambda: polls() == {"acme": 1, "globex": 1})

            running.file("globex", "poll_every = 3\n")
            until(lambda: one.settings.broken)
            assert running.alerts("environments.invalid") == [], "somebody may still be writing it"
            running.offset += timedelta(hours=2)
            until(lambda: polls() == {"acme": 2, "globex": 2})
            until(lambda: len(running.alerts("environments.invalid")) == 1)
            assert "globex.toml" in running.alerts("environments.invalid")[0]
            one._say_status()
            assert "1 of the environments' files cannot be used" in one._said

            running.file("globex")
            until(lambda: len(running.alerts("environments.invalid")) == 2)
            acme.unlink()
            until(lambda: names(one.settings) == ["globex"])
            running.offset += timedelta(days=2)
            until(lambda: polls()["globex"] == 3)
            refreshed = one.turns.refreshed_at
            until(lambda: one.turns.refreshed_at > refreshed and not one.busy)
            assert polls() == {"acme": 2, "globex": 3}
            assert running.alerts("watch.stale") == running.alerts("number.missing") == []
            running.file("acme")
            until(lambda: polls() == {"acme": 3, "globex": 3})
            assert one.workers.running == workers, "no channel was stopped for it"
            with running.store.reading() as tx:
                assert len(environment_states(tx)) == 2, "its history goes on where it was"


def test_that_nothing_is_left_to_watch_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"success": True, "data": [entry("phone-1")], "meta": {"last_page": 1, "total": 1}}).encode()
    with http_receiver() as provider:
        provider.answer = lambda _: Answer(200, said)
        running = Running(house, monkeypatch, provider.port)
        path = running.file("acme")
        with running as one:
            until(lambda: provider.requests and not one.busy)
            path.unlink()
            until(lambda: running.alerts("environments.invalid"))
            assert "nothing is watched; 1 environment was polled" in running.alerts("environments.invalid")[0]
            running.file("acme")
            until(lambda: len(running.alerts("environments.invalid")) == 2)


def test_a_poll_under_way_ends_although_its_file_is_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps({"success": True, "data": [entry("phone-1")], "meta": {"last_page": 1, "total": 1}}).encode()
    asked, may_end = threading.Event(), threading.Event()

    def answer(_: object) -> Answer:
        asked.set()
        assert may_end.wait(PATIENCE_S)
        return Answer(200, said)

    with http_receiver() as provider:
        provider.answer = answer
        running = Running(house, monkeypatch, provider.port)
        path = running.file("acme")
        with running as one:
            assert asked.wait(PATIENCE_S)
            path.unlink()
            until(lambda: names(one.settings) == [])
            may_end.set()
            until(lambda: not one.busy)
            with running.store.reading() as tx:
                ((_, watch, _),) = environment_states(tx)
            assert (watch.numbers, watch.last_error) == (1, None)


def test_a_file_broken_at_the_start_is_told_and_the_others_are_watched(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps({"success": True, "data": [], "meta": {"last_page": 1, "total": 0}}).encode()
    with http_receiver() as provider:
        provider.answer = lambda _: Answer(200, said)
        running = Running(house, monkeypatch, provider.port)
        running.file("acme")
        house.file("globex", "base_url = ")
        running.offset += MINUTE
        running.daemon.settings = house.load()
        with running:
            until(lambda: running.alerts("environments.invalid"))
            until(lambda: provider.requests)
        assert {request.path.split("/")[1] for request in provider.requests} == {"acme"}


def test_no_environment_called_so_is_named_with_those_there_are(house: House) -> None:
    house.file("acme")
    with pytest.raises(UsageError, match="there is no environment called x; the configuration has: acme"):
        house.load().environment("x")
