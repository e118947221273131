"""The shell's side: completion in the real shells, the manual page, colours, and how fast help answers."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import click
import pytest
from click.shell_completion import ShellComplete
from databases import BOTH, EITHER, SQLITE_ONLY, away, changed, copied, lock, opened, remove, section
from world import World, serving, write_config

from renewal_watch.cli import cli, contents, manual
from renewal_watch.config.loading import load
from renewal_watch.database import sqlite
from renewal_watch.database.schema import numbers

pytestmark = EITHER

Offered = Callable[..., list[str]]
ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a configuration, a database of five numbers, and the command on its path."""
    folder = tmp_path_factory.mktemp("home")
    world = World(numbers=5, restless=False)
    world.entries[0] |= {"current_status": "Suspended", "days_until_monthly_renewal": -2}
    world.entries[3] |= {"id": "$(touch trap)", "number": "+1 555; touch trap"}
    world.entries[4] |= {"id": "two\nlines", "number": "+1*"}
    with serving(world) as address:
        path = write_config(folder, address, channels=2)
        command = folder / "bin" / "renewal-watch"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m renewal_watch "$@"\n')
        command.chmod(0o755)
        done = run(folder, "--config", str(path), "poll")
        assert done.returncode == 0, done.stderr
    return folder


def run(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The real command, with nothing of this machine's settings."""
    return subprocess.run(
        [sys.executable, "-m", "renewal_watch", *words], env=environment(home, **more), capture_output=True, text=True
    )


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "PYTHONPATH", "PYTHONPYCACHEPREFIX") if name in os.environ}
    named = {"RENEWAL_WATCH_CONFIG": str(home / "config.toml"), "HOME": str(home), "ZDOTDIR": str(home)}
    return kept | named | {"PATH": f"{home}/bin:/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)} | more


def moved(home: Path, folder: Path) -> Path:
    """The configuration of ``home`` with a copy of its database, in another folder."""
    folder.mkdir(exist_ok=True)
    before, after = home / "renewal-watch.db", folder / "renewal-watch.db"
    copied(before, after)
    path = folder / "config.toml"
    path.touch(mode=0o600)
    text = (home / "config.toml").read_text().replace(f'state_dir = "{home}"', f'state_dir = "{folder}"')
    path.write_text(text.replace(section(before), section(after)))
    return path


def needs(program: str) -> None:
    """Skip, or fail where all is to be tried, without ``program``."""
    if shutil.which(program) is None:
        reason = f"needs {program}"
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def offered(home: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What is offered for the last of the words."""
    monkeypatch.setenv("RENEWAL_WATCH_CONFIG", str(home / "config.toml"))

    def ask(*words: str) -> list[str]:
        *before, incomplete = words
        made = ShellComplete(cli, {}, "renewal-watch", "")
        return [item.value for item in made.get_completions(before, incomplete)]

    return ask


# --- what is completed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["si"], ["silence", "simulator"]),
        (["db", "b"], ["backup"]),
        (["status", "--w"], ["--within"]),
        (["status", "--environment", ""], ["production"]),
        (["poll", "--environment", "p"], ["production"]),
        (["poll", "--environment", "x"], []),
        (["silence", "add", "--environment", ""], ["production"]),
        (["test-channel", ""], ["ops-0", "ops-1"]),
        (["test-channel", "ops-1"], ["ops-1"]),
        (["status", "--status", ""], ["active", "suspended"]),
        (["silence", "add", "--kind", "watch.st"], ["watch.stale"]),
        (["explain", ""], ["+15550000000", "+15550000001", "+15550000002"]),
        (["history", "+1555000000"], ["+15550000000", "+15550000001", "+15550000002"]),
        (["explain", "+15550000002"], ["+15550000002"]),
        (["ack", "phone-"], ["phone-0", "phone-1", "phone-2"]),
        (["lapse", "phone-2"], ["phone-2"]),
        (["silence", "add", "--number", "+15550000001"], ["+15550000001"]),
        (["explain", "--environment", "production", "phone-0"], ["phone-0"]),
        (["explain", "--environment", "other", "phone-0"], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_offered(offered: Offered, words: list[str], expected: list[str]) -> None:
    assert offered(*words) == expected


@pytest.mark.parametrize("start", ["", "+", "+1", "$", "two", "t"])
def test_what_would_do_something_in_a_command_line_is_never_offered(offered: Offered, start: str) -> None:
    """The provider's numbers and ids may be anything; a shell puts what is offered into the line as it is."""
    assert all(re.fullmatch(r"[+a-z0-9-]+", value) for value in offered("explain", start))


def test_of_many_numbers_some_are_offered_and_what_all_share_is_shared(home: Path, offered: Offered) -> None:
    """A shell writes the letters that all the offered ones share: they must be those that all numbers share."""
    other = moved(home, home / "many")
    columns = "digest, zero_at, renews_on, auto_renewal, is_sandbox, environment_id, first_poll_id, status"
    with contextlib.closing(opened(home / "many" / "renewal-watch.db")) as store, store.transaction() as tx:
        (like,) = tx.rows(f"SELECT {columns} FROM numbers WHERE provider_id = 'phone-1'")
        rows = [(pk, f"more-{pk:04}", f"+1666{pk:04}", *like) for pk in range(1000, 2000)]
        tx.put(numbers, ("id", "provider_id", "number", *columns.split(", ")), rows)
    found = offered("--config", str(other), "explain", "+1666")
    assert len(found) == 100
    assert (found[0], found[-1]) == ("+16661000", "+16661999")  # so they share no more than all of them do
    assert offered("--config", str(other), "explain", "+16661123") == ["+16661123"]


@SQLITE_ONLY
def test_the_database_that_is_asked_is_the_one_of_the_commands(home: Path, offered: Offered) -> None:
    odd = home / "a folder, 100 % odd? #ü"
    other = moved(home, odd)
    assert sqlite.sqlite_path(load(other).database_url) == odd / "renewal-watch.db"
    assert offered("--config", str(other), "explain", "phone-") == ["phone-0", "phone-1", "phone-2"]
    url = f'[database]\nurl = "sqlite:///{quote(str(odd))}/renewal-watch.db"\n'
    other.write_text((home / "config.toml").read_text() + url)
    assert offered("--config", str(other), "explain", "phone-1") == ["phone-1"]


def _no_configuration(folder: Path) -> None:
    (folder / "config.toml").unlink()


def _broken_configuration(folder: Path) -> None:
    (folder / "config.toml").write_text("[[[")


def _a_folder_for_a_configuration(folder: Path) -> None:
    (folder / "config.toml").unlink()
    (folder / "config.toml").mkdir()


def _no_database(folder: Path) -> None:
    remove(folder / "renewal-watch.db")


def _another_database(folder: Path) -> None:
    remove(folder / "renewal-watch.db")
    changed(folder / "renewal-watch.db", "CREATE TABLE numbers (of_somebody_else text)")


@BOTH
@pytest.mark.parametrize(
    "spoilt",
    [
        _no_configuration,
        _broken_configuration,
        _a_folder_for_a_configuration,
        _no_database,
        _another_database,
        away,
    ],
)
def test_what_cannot_be_read_completes_nothing_and_says_nothing(
    home: Path, tmp_path: Path, spoilt: Callable[[Path], None]
) -> None:
    path = moved(home, tmp_path)
    with away(tmp_path / "renewal-watch.db") if spoilt is away else contextlib.nullcontext(spoilt(tmp_path)):
        done = completed(tmp_path, path)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert not (tmp_path / "renewal-watch.db").exists() or spoilt is not _no_database


def completed(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """The real command as bash asks it."""
    asked = {
        "_RENEWAL_WATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": "renewal-watch\nexplain\n+1",
        "COMP_CWORD": "2",
        "RENEWAL_WATCH_CONFIG": str(path),
    }
    return run(folder, **asked)


@BOTH
def test_a_database_that_is_held_makes_nobody_wait(home: Path, offered: Offered) -> None:
    """A writer holds it for as long as a first poll takes; TAB answers with nothing instead."""
    with lock(home / "renewal-watch.db") as holder:
        holder.take(from_readers=True)
        began = time.monotonic()
        found = offered("explain", "+1")
        assert time.monotonic() - began < 8, "a command would wait for 15 s"
    assert found in ([], ["+15550000000", "+15550000001", "+15550000002"])  # a write-ahead log lets readers in


# --- the real shells --------------------------------------------------------------------------------------------------


def typed(command: Sequence[str], home: Path, keys: Mapping[str, str], **more: str) -> None:
    """Type into a shell at a terminal; after each of the keys, what must appear there. Fails with what did."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, environment(home, TERM="dumb", PS1="ready> ", **more))
    try:
        _read_until(terminal, "ready> ")
        for one, wanted in keys.items():
            os.write(terminal, one.encode())
            _read_until(terminal, wanted)
    finally:
        os.close(terminal)  # hangs up
        os.waitpid(child, 0)


def _read_until(terminal: int, wanted: str) -> None:
    """What the terminal shows, until it shows that; for ten seconds at most."""
    shown, ends = "", time.monotonic() + 10
    while wanted not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, ends - time.monotonic()))
        assert ready, f"{wanted!r} is not in {shown!r}"
        shown += os.read(terminal, 65536).decode(errors="replace")


BACKSPACE = "\x15"  # the line is cleared
KEYS = {
    "renewal-watch test-ch\t": "test-channel ",
    f"{BACKSPACE}renewal-watch explain phone-\t\t": "phone-2",
    f"{BACKSPACE}renewal-watch explain +15550000001\t": "+15550000001 ",
    f"{BACKSPACE}renewal-watch poll --environment \t": "production ",
}


def test_bash_completes(home: Path) -> None:
    needs("bash")
    (home / ".rc").write_text('PS1="ready> "\neval "$(renewal-watch completion bash)"\n')
    typed(["bash", "--noprofile", "--rcfile", str(home / ".rc"), "-i"], home, KEYS)


def test_zsh_completes_what_is_evaluated_and_what_lies_in_its_path_of_functions(home: Path) -> None:
    needs("zsh")
    setup = "PS1='ready> '\nautoload -Uz compinit\n"
    (home / ".zshrc").write_text(setup + 'compinit -u -D\neval "$(renewal-watch completion zsh)"\n')
    typed(["zsh", "-d", "-i"], home, KEYS)
    functions = home / "functions"
    functions.mkdir()
    (functions / "_renewal-watch").write_text(run(home, "completion", "zsh").stdout)
    (home / ".zshrc").write_text(f"{setup}fpath=({functions} $fpath)\ncompinit -u -D\n")
    typed(["zsh", "-d", "-i"], home, KEYS)


def test_fish_completes_with_a_word_about_each(home: Path) -> None:
    needs("fish")

    def offers(line: str) -> list[str]:
        script = f"renewal-watch completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script], env=environment(home), capture_output=True, text=True
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert offers("renewal-watch stat") == [f"status\t{contents.COMMANDS['status'].line}"]
    assert "+15550000000\tproduction (suspended)" in offers("renewal-watch explain +1")
    assert offers("renewal-watch test-channel ops-1") == ["ops-1"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_printed_script_is_one_that_the_shell_understands(home: Path, shell: str) -> None:
    needs(shell)
    script = run(home, "completion", shell)
    assert (script.returncode, script.stderr) == (0, "")
    checked = subprocess.run([shell, "-n"], input=script.stdout, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_no_shell_is_a_wrong_usage(home: Path) -> None:
    done = run(home, "completion", "tcsh")
    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


# --- the manual page --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("man") / "renewal-watch.1"
    path.write_text(manual.page(cli) + "\n")
    return path


def test_mandoc_finds_no_fault_in_the_manual_page(page: Path) -> None:
    """But that it has no date: it belongs to a release, which it names."""
    needs("mandoc")
    found = subprocess.run(["mandoc", "-T", "lint", "-W", "all", page], capture_output=True, text=True).stdout
    assert [line for line in found.splitlines() if not line.endswith('WARNING: missing date, using "": TH')] == []


def _read(page: Path, command: Sequence[str]) -> str:
    """What a reader sees, without its overstriking, as one line."""
    done = subprocess.run(
        [*command, str(page)], capture_output=True, text=True, env=os.environ | {"MANWIDTH": "200", "LC_ALL": "C.UTF-8"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return " ".join(re.sub(r".\x08|\x1b\[\d*m", "", done.stdout).split())


@pytest.mark.parametrize(
    "command",
    [["mandoc", "-T", "utf8", "-O", "width=200"], ["man", "--warnings=all", "-P", "cat", "-l"]],
)
def test_the_manual_page_says_what_the_help_texts_say(page: Path, command: list[str]) -> None:
    needs(command[0])
    read = _read(page, command)

    def walk(command: click.Command, words: str) -> Iterator[tuple[str, click.Command]]:
        yield words, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{words} {name}".strip())

    for words, one in walk(cli, ""):
        assert words in read
        said = " ".join((one.help or "").replace("`", "").split())
        assert said in read, words
        for parameter in one.params:
            record = parameter.get_help_record(click.Context(one))
            if isinstance(parameter, click.Option) and record and "--help" not in parameter.opts:
                assert record[0] in read
                assert " ".join(record[1].replace("`", "").split()) in read
    for heading in ("EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"):
        assert heading in read


def test_every_option_says_what_it_is_for() -> None:
    def walk(command: click.Command) -> Iterator[click.Parameter]:
        yield from command.params
        for inner in getattr(command, "commands", {}).values():
            yield from walk(inner)

    assert [one.name for one in walk(cli) if isinstance(one, click.Option) and not one.help] == []


def test_the_exit_codes_of_the_manual_are_those_of_the_errors() -> None:
    from renewal_watch import errors

    found = {
        one.exit_code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.RenewalWatchError)
    }
    assert {"0", *map(str, found), "0 to 3"} == set(manual.EXIT_STATUS)


# --- colours ----------------------------------------------------------------------------------------------------------


def at_a_terminal(home: Path, *words: str, **more: str) -> str:
    """All that the command shows at a terminal."""
    child, terminal = pty.fork()
    if child == 0:
        settings = {"TERM": "xterm"} | more
        os.execve(
            sys.executable,
            [sys.executable, "-m", "renewal_watch", *words],
            environment(home, COLUMNS="200", **settings),
        )
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError as error:  # EIO: the other side is closed
        if error.errno != errno.EIO:
            raise
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_is_painted_and_says_the_same_without(home: Path) -> None:
    painted = at_a_terminal(home, "status")
    (overdue,) = [line for line in painted.splitlines() if "OVERDUE" in line]
    assert overdue.startswith(f"{ESCAPE}31m")
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == run(home, "status").stdout


@pytest.mark.parametrize(
    "words", [["status"], ["alerts"], ["doctor"], ["silence", "list"], ["preview"], ["status", "--nope"]]
)
@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_painted_where_it_is_not_wanted(home: Path, words: list[str], more: dict[str, str]) -> None:
    assert ESCAPE not in at_a_terminal(home, *words, **more)


def test_nothing_is_painted_for_a_file_or_another_program(home: Path) -> None:
    for words in (["status"], ["alerts"], ["doctor"], ["status", "--environment", "x"]):
        done = run(home, *words, TERM="xterm")
        assert ESCAPE not in done.stdout + done.stderr
        assert done.stdout + done.stderr


def test_json_is_not_painted_on_a_terminal_either(home: Path) -> None:
    assert ESCAPE not in at_a_terminal(home, "status", "--json")


# --- how fast it answers ----------------------------------------------------------------------------------------------


def imported_by(home: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "renewal_watch", *words],
        env=environment(home),
        capture_output=True,
        text=True,
    )
    return {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}


def test_help_takes_no_library(home: Path) -> None:
    """`--help` answers within 4 times `python -c pass` only without click, which takes as long alone."""
    assert imported_by(home, "--help") & {"click", "sqlalchemy", "msgspec", "requests"} == set()
    assert run(home, "--help").stdout == run(home, "-h").stdout
    assert "\nAsk:\n  status " in run(home, "--help").stdout


def test_status_takes_no_library_that_it_does_not_need(home: Path) -> None:
    heavy = {"apprise", "requests", "jinja2", "apscheduler", "alembic", "starlette", "prometheus_client", "icalendar"}
    assert imported_by(home, "status") & heavy == set()


def test_the_overview_is_no_wider_than_the_terminal(home: Path) -> None:
    for width in (60, 80, 200):
        lines = run(home, "--help", COLUMNS=str(width)).stdout.splitlines()
        assert max(map(len, lines)) < min(width, 100)
