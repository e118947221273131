"""Hooks with their real parts: scripts that behave and misbehave, HTTP receivers on loopback, the outbox on disk."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import commands
import databases
import pytest
from conftest import T0
from databases import EITHER, close, copied, opened
from made_up import entry, listing
from receivers import Answer, HttpReceiver, Request, closed_port
from world import TOKEN, World, serving, write_config

from renewal_watch.channels import hook_limits
from renewal_watch.channels.command import CommandHook
from renewal_watch.channels.hook_limits import GRACE_S
from renewal_watch.channels.senders import sender_of
from renewal_watch.channels.webhook import WebhookHook, signature
from renewal_watch.config.loading import load
from renewal_watch.daemon import daemon, ticker
from renewal_watch.database.store import Store
from renewal_watch.errors import ChannelError, ConfigError
from renewal_watch.model.alerts import Alert, Message, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.policy import Policy, Record
from renewal_watch.notify.message import wording
from renewal_watch.notify.retry import BACKOFF_LONGEST
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch, poll
from renewal_watch.operations.dispatch import Outlet, Sent
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.values import LONGEST
from renewal_watch.store.outbox.alerts import list_alerts, record_alerts
from renewal_watch.store.outbox.deliveries import LEASE, claim
from renewal_watch.store.outbox.settling import settle_sent
from renewal_watch.store.outbox.waiting import failing_channels, next_due, outbox_counts
from renewal_watch.text import REDACTOR
from renewal_watch.timed import follow_up

pytestmark = EITHER

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
SECRET = "CanarySecret42"
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SHORT = timedelta(seconds=0.4)
ONLY = 'kinds = ["status.*", "renewal.*"]\n'


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it never came"
        threading.Event().wait(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def message(**changes: Any) -> Callable[[object], Message]:
    """What a hook is given in a test that does without the outbox."""
    alert = Alert(
        key="production/renewal.due/phone-1/2026-11-23/0",
        kind="renewal.due",
        severity=Severity.critical,
        environment="production",
        facts=Written(
            "+15550000001 will be lost today", changes.pop("text", "+15550000001 (production) will be lost today.")
        ),
        number_id="phone-1",
        number="+15550000001",
        days_left=0,
    )
    given: dict[str, Any] = {"message_id": "rw-0123456789", "alert_id": 7, "found_at": T0} | changes
    made = wording.event(alert, Channel(name="mover", command=("/bin/true",)), Routing(), **given)
    return lambda _: made


class Script:
    """An executable of the test's, and what it left behind."""

    def __init__(self, folder: Path, body: str, shell: str = "/bin/sh") -> None:
        self.folder = folder
        self.path = folder / "hook"
        self.path.write_text(f"#!{shell}\n{body}\n")
        self.path.chmod(0o755)

    def hook(self, *words: str, timeout: timedelta = timedelta(seconds=20)) -> CommandHook:
        return CommandHook("mover", (str(self.path), *words), timeout)

    def wrote(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def pids(self) -> list[int]:
        return [int(word) for word in self.wrote("pids").split()]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Script]]:
    """Make a script; it writes where ``$OUT`` was put in by the test. Nothing it leaves running outlives the test."""
    monkeypatch.setattr(hook_limits, "GRACE_S", 0.3)
    made: list[Script] = []

    def make(body: str, **given: Any) -> Script:
        made.append(Script(tmp_path, body.replace("$OUT", str(tmp_path)), **given))
        return made[-1]

    yield make
    for one in made:
        for pid in one.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class House:
    """A database, a clock, hook channels and what they are told."""

    def __init__(self, path: Path, *channels: Channel) -> None:
        self.path = path
        self.now = T0
        self.store = opened(path)
        self.channels = channels
        self.outlets = {one.name: Outlet(channel=one, sender=sender_of(one, self.clock)) for one in channels}
        self.told = 0

    def clock(self) -> datetime:
        return self.now

    @property
    def routing(self) -> Routing:
        return Routing(channels=self.channels)

    def tell(self, count: int = 1, **changes: Any) -> None:
        """What one poll does that finds ``count`` alerts."""
        found = []
        for _ in range(count):
            self.told += 1
            words = f"alert {self.told}"
            alert = Alert(
                key=f"key-{self.told}",
                kind="renewal.upcoming",
                severity=Severity.warning,
                environment="production",
                facts=Written(words, f"{words} in whole"),
            )
            found.append(replace(alert, **changes))
        with self.store.transaction() as tx:
            record_alerts(tx, found, self.routing, self.now)

    def run(self, name: str = "mover") -> Sent:
        return dispatch.run_once(self.store, self.outlets[name], self.routing, self.clock, pause=lambda _: None)

    def rows(self, name: str = "mover") -> list[dict[str, Any]]:
        return databases.rows(self.path, "SELECT * FROM deliveries WHERE channel = ? ORDER BY id", (name,))

    def states(self, name: str = "mover") -> list[str]:
        return [row["state"] for row in self.rows(name)]


@pytest.fixture
def house(tmp_path: Path, empty: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(*channels: Channel) -> House:
        path = tmp_path / "watch.db"
        copied(empty, path)
        made.append(House(path, *channels))
        return made[-1]

    yield build
    for one in made:
        one.store.close()


def mover(script: Script, **more: Any) -> Channel:
    return Channel(name="mover", command=(str(script.path),), **more)


def posts(web: HttpReceiver, **more: Any) -> Channel:
    return Channel(name="in-house", webhook=f"http://127.0.0.1:{web.port}/in/{SECRET}?token={SECRET}", **more)


# --- a command: what it is given --------------------------------------------------------------------------------------


def test_a_command_reads_the_alert_as_json_and_gets_its_arguments_as_they_are(
    script: Callable[..., Script],
) -> None:
    made = script('cat > "$OUT/said"; printf "%s\\n" "$@" > "$OUT/args"; pwd > "$OUT/place"')
    made.hook("--queue", "$(touch harm); *").send(message())
    said = json.loads(made.wrote("said"))
    assert said["kind"] == "renewal.due"
    assert said["number"] == "+15550000001"
    assert said["id"] == 7
    assert said["created_at"] == "2026-11-23T12:00:00Z"
    assert made.wrote("args") == "--queue\n$(touch harm); *\n", "no shell has seen them"
    assert made.wrote("place") == "/\n"


def test_its_environment_is_bare_and_holds_no_secret(
    script: Callable[..., Script], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "TALKOVER_TOKEN",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "PYTHONPATH",
        "LISTEN_FDS",
        "LD_LIBRARY_PATH",
    ):
        monkeypatch.setenv(name, f"/{SECRET}")
    REDACTOR.learn(SECRET)
    monkeypatch.setenv("HOME", f"/home/{SECRET}")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    made = script('env > "$OUT/env"', shell="/bin/sh")
    made.hook().send(message())
    given = dict(line.split("=", 1) for line in made.wrote("env").splitlines())
    assert SECRET not in made.wrote("env")
    assert set(given) - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH",
        "LANG",
        *(
            f"RENEWAL_WATCH_{name}"
            for name in ("KIND", "SEVERITY", "ENVIRONMENT", "NUMBER", "NUMBER_ID", "MESSAGE_ID", "TEST")
        ),
    } | ({"TZ"} if "TZ" in os.environ else set()) | ({"LC_ALL"} if "LC_ALL" in os.environ else set())
    assert given["RENEWAL_WATCH_KIND"] == "renewal.due"
    assert given["RENEWAL_WATCH_SEVERITY"] == "critical"
    assert given["RENEWAL_WATCH_NUMBER"] == "+15550000001"
    assert given["RENEWAL_WATCH_TEST"] == ""


def test_a_test_says_that_it_is_one(script: Callable[..., Script]) -> None:
    made = script('cat > "$OUT/said"; echo "$RENEWAL_WATCH_TEST" > "$OUT/test"')
    made.hook().send(message(is_test=True, alert_id=None))
    assert json.loads(made.wrote("said"))["test"] is True
    assert made.wrote("test") == "1\n"


def test_a_pipe_breaks_in_a_command_as_in_a_terminal(script: Callable[..., Script]) -> None:
    """Python ignores SIGPIPE; a script whose ``yes | head`` never ended would be killed at its timeout."""
    made = script('yes | head -1 > "$OUT/said"')
    made.hook().send(message())
    assert made.wrote("said") == "y\n"


@pytest.mark.parametrize("text", ["x", "x" * 300_000])
def test_a_command_need_not_read_its_input(script: Callable[..., Script], text: str) -> None:
    script("exec 0<&-; exit 0").hook().send(message(text=text))


# --- a command: how it ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("exit 1", "exit status 1"),
        ("echo no route to the switchboard >&2; exit 3", "exit status 3: no route to the switchboard"),
        ("echo out; echo err >&2; exit 255", "exit status 255: out err"),
        ("kill -SEGV $$", "it was ended by SIGSEGV"),
        (f"echo password {SECRET}; exit 1", "exit status 1: password ∗∗∗"),
        ("printf '\\033[31m<!channel> @all\\377\\n'; exit 1", None),
    ],
)
def test_anything_but_status_0_is_a_failure_that_quotes_what_it_said(
    script: Callable[..., Script], body: str, error: str | None
) -> None:
    REDACTOR.learn(SECRET)
    with pytest.raises(ChannelError) as raised:
        script(body).hook().send(message())
    said = str(raised.value)
    if error is not None:
        assert said == error
    assert not re.search(r"[\x00-\x1f<>@]", said), said


def test_what_it_prints_is_bounded_and_its_end_is_quoted(script: Callable[..., Script]) -> None:
    body = 'head -c 20000000 /dev/zero | tr "\\0" x; echo; echo the reason stands last; exit 1'
    with pytest.raises(ChannelError) as raised:
        script(body).hook().send(message())
    assert str(raised.value).endswith("the reason stands last")
    assert len(str(raised.value)) < 400


def test_megabytes_of_output_do_no_harm_to_a_good_end(script: Callable[..., Script]) -> None:
    script("head -c 5000000 /dev/zero; exit 0").hook().send(message())


def test_one_that_hangs_is_killed_with_all_its_children(script: Callable[..., Script]) -> None:
    made = script('sleep 300 & sleep 300 & echo $$ $! > "$OUT/pids"; echo waiting for the switchboard; wait')
    began = time.monotonic()
    with pytest.raises(ChannelError, match=r"did not end within 0.4 s and was killed: waiting for the switchboard"):
        made.hook(timeout=SHORT).send(message())
    assert time.monotonic() - began < 5
    assert len(made.pids()) == 2
    until(lambda: not any(is_alive(pid) for pid in made.pids()))


def test_one_that_ignores_term_is_killed_all_the_same(script: Callable[..., Script]) -> None:
    made = script('trap "" TERM; echo $$ > "$OUT/pids"; while :; do sleep 0.05; done')
    began = time.monotonic()
    with pytest.raises(ChannelError, match="was killed"):
        made.hook(timeout=SHORT).send(message())
    assert time.monotonic() - began < 5
    until(lambda: not is_alive(made.pids()[0]))


def test_one_that_tidies_up_at_term_has_time_for_it_but_failed(script: Callable[..., Script]) -> None:
    made = script("trap 'echo tidy > \"$OUT/tidy\"; exit 0' TERM; while :; do sleep 0.02; done")
    with pytest.raises(ChannelError, match="was killed"):
        made.hook(timeout=SHORT).send(message())
    assert made.wrote("tidy") == "tidy\n"


def test_what_it_leaves_running_in_its_group_ends_with_it(script: Callable[..., Script]) -> None:
    """A child that keeps the output open must not keep the alert from being delivered, either."""
    made = script('sleep 300 & echo $! > "$OUT/pids"; exit 0')
    began = time.monotonic()
    made.hook().send(message())
    assert time.monotonic() - began < 5
    until(lambda: not is_alive(made.pids()[0]))


def test_one_that_makes_itself_independent_holds_up_nobody(script: Callable[..., Script]) -> None:
    made = script(
        'setsid sh -c \'echo $$ > "$OUT/pids"; exec sleep 300\' & while ! [ -s "$OUT/pids" ]; do sleep 0.01; done'
    )
    began = time.monotonic()
    made.hook().send(message())
    assert time.monotonic() - began < 5
    assert is_alive(made.pids()[0])


def test_one_that_makes_itself_independent_and_never_stops_talking_holds_up_nobody(
    script: Callable[..., Script],
) -> None:
    made = script('setsid sh -c \'echo $$ > "$OUT/pids"; exec yes\' & while ! [ -s "$OUT/pids" ]; do sleep 0.01; done')
    thread = threading.Thread(target=made.hook().send, args=(message(),), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def test_stop_ends_a_run_under_way_from_another_thread_and_no_further_one_begins(
    script: Callable[..., Script],
) -> None:
    made = script('echo $$ > "$OUT/pids"; sleep 300')
    hook = made.hook()
    failed: list[ChannelError] = []

    def send() -> None:
        with pytest.raises(ChannelError) as raised:
            hook.send(message())
        failed.append(raised.value)

    thread = threading.Thread(target=send)
    thread.start()
    until(made.pids)
    hook.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert "ended before its outcome was known" in str(failed[0])
    until(lambda: not is_alive(made.pids()[0]))
    with pytest.raises(ChannelError, match="being closed"):
        hook.send(message())


def test_one_whose_parent_is_killed_dies_by_itself_before_it_can_be_run_again(script: Callable[..., Script]) -> None:
    made = script('echo $$ $PPID >> "$OUT/pids"; exec sleep 300')
    program = (
        "import sys; from datetime import timedelta; from renewal_watch.channels.command import CommandHook\n"
        "from renewal_watch.model.alerts import Message, Severity\n"
        'body = \'{"kind": "", "severity": "", "environment": "", "number": "", "number_id": "",'
        ' "message_id": "", "test": true}\'\n'
        "made = Message(message_id='x', title='', body=body, severity=Severity.info)\n"
        "CommandHook('x', [sys.argv[1]], timedelta(seconds=0.6)).send(lambda _: made)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(made.path)], stderr=subprocess.DEVNULL)
    until(lambda: len(made.pids()) == 2)
    parent.kill()
    parent.wait()
    pid, its_parent = made.pids()
    assert its_parent == parent.pid, "it is our own child: nothing stands between"
    until(lambda: not is_alive(pid))


@pytest.mark.parametrize("timeout", [LONGEST])
def test_a_run_and_its_end_fit_into_the_lease(timeout: timedelta) -> None:
    alarm = timeout + timedelta(seconds=GRACE_S + 1)
    assert dispatch.CLAIM_IS_OLD + alarm < LEASE


def test_what_cannot_be_run_is_said_in_a_sentence(tmp_path: Path) -> None:
    plain_file = tmp_path / "no-x"
    plain_file.write_text("#!/bin/sh\n")
    plain_file.chmod(0o644)
    no_first_line = tmp_path / "no-first-line"
    no_first_line.write_text("true\n")
    no_first_line.chmod(0o755)
    no_such_shell = tmp_path / "no-shell"
    no_such_shell.write_text("#!/nowhere/sh\n")
    no_such_shell.chmod(0o755)
    for path, words in (
        (tmp_path / "gone", f"there is no command {tmp_path}/gone"),
        (tmp_path, f"{tmp_path} is a directory, not a command"),
        (plain_file, f"{plain_file} cannot be run by this user; run: chmod +x {plain_file}"),
        (no_first_line, "exit status 126: it cannot be run: Exec format error"),
        (no_such_shell, "exit status 126: it cannot be run: No such file or directory"),
    ):
        with pytest.raises(ChannelError, match=f"^{re.escape(words)}$"):
            CommandHook("mover", [str(path)], SHORT).send(message())


# --- under the outbox -------------------------------------------------------------------------------------------------


def test_each_alert_is_a_run_of_its_own_and_one_that_fails_repeats_no_other(
    house: Callable[..., House], script: Callable[..., Script]
) -> None:
    made = script('cat >> "$OUT/runs"; grep -q "alert 3" "$OUT/runs" && ! [ -e "$OUT/mended" ] && exit 1; exit 0')
    one = house(mover(made))
    one.tell(2)
    one.tell(2)
    assert one.run() == Sent(sent=2, failed=2)
    (one.path.parent / "mended").touch()
    one.now += timedelta(minutes=2)
    assert one.run() == Sent(sent=2, failed=0)
    runs = [json.loads(line)["headline"] for line in made.wrote("runs").splitlines()]
    assert runs[:4] == ["alert 1", "alert 2", "alert 3", "alert 4"]
    assert sorted(runs[4:]) == ["alert 3", "alert 4"]
    assert one.states() == ["sent"] * 4


def test_status_1_and_then_0_is_exactly_one_more_run_under_the_same_id(
    house: Callable[..., House], script: Callable[..., Script]
) -> None:
    made = script('cat >> "$OUT/runs"; [ -e "$OUT/again" ] || { touch "$OUT/again"; echo busy >&2; exit 1; }')
    one = house(mover(made))
    one.tell()
    assert one.run() == Sent(sent=0, failed=1)
    (row,) = one.rows()
    assert (row["state"], row["attempts"], row["last_error"]) == ("pending", 1, "exit status 1: busy")
    assert one.run() == Sent(), "not before its time"
    one.now += timedelta(seconds=40)
    assert one.run() == Sent(sent=1, failed=0)
    one.now += timedelta(days=1)
    assert one.run() == Sent()
    first, second = (json.loads(line) for line in made.wrote("runs").splitlines())
    assert first == second
    assert first["message_id"] == row["message_id"]


def test_kinds_severities_rules_and_quiet_hours_hold_as_for_any_channel(
    house: Callable[..., House], script: Callable[..., Script]
) -> None:
    made = script('cat >> "$OUT/runs"')
    one = house(mover(made, kinds=("renewal.*",), min_severity="warning", quiet_hours=("11:00-13:00",)))
    one.tell(kind="status.changed")
    one.tell(severity=Severity.info)
    one.tell(3)
    one.tell(severity=Severity.critical)
    assert one.run() == Sent(sent=1, failed=0), "what is critical comes at once"
    one.now += timedelta(hours=1)
    assert one.run() == Sent(sent=3, failed=0), "the others when quiet hours end, each by itself"
    said = [json.loads(line) for line in made.wrote("runs").splitlines()]
    assert [event["headline"] for event in said] == ["alert 6", "alert 3", "alert 4", "alert 5"]
    assert [event["delivery_note"] for event in said] == [None, *["held back: quiet hours 11:00-13:00 UTC"] * 3]


def test_a_hook_has_no_cap_and_thousands_wait_at_no_cost(
    house: Callable[..., House], script: Callable[..., Script]
) -> None:
    one = house(mover(script("exit 0")))
    one.tell(8_000)
    with one.store.transaction() as tx:
        first = claim(tx, one.channels[0], "UTC", T0)
    assert first is not None
    assert len(first.alerts) == 1
    began = time.process_time()  # of this process alone, whatever else the machine does
    for _ in range(40):
        with one.store.transaction() as tx:
            delivery = claim(tx, one.channels[0], "UTC", T0)
            assert delivery is not None
            settle_sent(tx, delivery, one.routing, T0)
    assert time.process_time() - began < 2, "were all read that wait, each claim would take a tenth of a second"


def test_the_daemon_knows_when_the_next_one_may_go(house: Callable[..., House], script: Callable[..., Script]) -> None:
    one = house(mover(script("exit 1"), quiet_hours=("12:30-14:00",)))

    def due() -> timedelta | None:
        with one.store.transaction() as tx:
            at = next_due(tx, one.channels[0], "UTC", one.now)
        return None if at is None else at - T0

    assert due() is None
    one.tell(3)
    assert due() == timedelta(0)
    with one.store.transaction() as tx:
        assert claim(tx, one.channels[0], "UTC", one.now)
    assert due() == timedelta(0), "of the two others"
    one.run()
    after = due()
    assert after is not None
    assert timedelta(seconds=20) < after < timedelta(seconds=40), "in back-off"
    one.now = T0 + timedelta(minutes=40)
    assert due() == timedelta(hours=2), "when quiet hours end"
    one.tell(severity=Severity.critical)
    assert due() == timedelta(minutes=40)


def test_a_message_that_was_put_together_before_its_channel_became_a_hook_is_told_alert_by_alert(
    house: Callable[..., House], script: Callable[..., Script]
) -> None:
    made = script('cat >> "$OUT/runs"')
    one = house(mover(made))
    with one.store.transaction() as tx:
        found = [
            Alert(
                key=f"k{i}",
                kind="renewal.due",
                severity=Severity(i),
                environment="production",
                facts=Written(f"h{i}", "t"),
            )
            for i in range(3)
        ]
        record_alerts(tx, found, Routing(channels=(Channel(name="mover", url="json://127.0.0.1"),)), T0)
    assert one.states() == ["pending"]
    assert one.run() == Sent(sent=3, failed=0)
    assert [json.loads(line)["headline"] for line in made.wrote("runs").splitlines()] == ["h0", "h1", "h2"]
    assert [row["severity"] for row in one.rows()] == [0, 1, 2]


def test_a_hook_can_stand_in_for_a_channel_and_is_told_what_it_missed_one_by_one(
    house: Callable[..., House], script: Callable[..., Script], web: HttpReceiver
) -> None:
    web.answers(Answer(503))
    made = script('cat >> "$OUT/runs"')
    one = house(posts(web, fallback="mover"), mover(made, by_rule_only=True))
    one.tell(2)
    for _ in range(4):
        assert one.run("in-house").sent == 0
        one.now += timedelta(minutes=12)
    follow_up.run_once(one.store, one.routing, {}, one.now)
    assert one.run().sent == 2
    said = [json.loads(line) for line in made.wrote("runs").splitlines()]
    assert [event["headline"] for event in said] == ["alert 1", "alert 2"]
    assert "in place of channel in-house" in said[0]["delivery_note"]


def test_a_process_killed_in_the_middle_of_a_run_leaves_it_to_the_next_one(tmp_path: Path) -> None:
    """The real command: its hook kills it, as a power cut would, and runs once more when the lease has run out."""
    made = Script(
        tmp_path,
        f'cat >> "{tmp_path}/runs"; [ -e "{tmp_path}/again" ] || {{ touch "{tmp_path}/again"; kill -9 $PPID; }}',
    )
    world = World(numbers=1, restless=False)
    world.entries[0]["current_status"] = "suspended"
    with serving(world) as address:
        path = configured(tmp_path, address, f'[[channels]]\nname = "mover"\ncommand = ["{made.path}"]\n{ONLY}')
        command = [sys.executable, "-m", "renewal_watch", "--config", str(path)]
        killed = subprocess.run([*command, "poll"], capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert subprocess.run([*command, "send"], capture_output=True, check=True).stdout == b"", (
            "somebody may be at it"
        )
        query = "UPDATE deliveries SET leased_until = '2020' || substr(leased_until, 5)"
        databases.changed(tmp_path / "renewal-watch.db", query)
        done = subprocess.run([*command, "send"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "mover: 1 sent\n"
    first, second = (json.loads(line) for line in made.wrote("runs").splitlines())
    assert first["message_id"] == second["message_id"]


# --- what it is told --------------------------------------------------------------------------------------------------


def told_of(store: Store, channel: Channel, routing: Routing) -> list[dict[str, Any]]:
    """Everything a hook channel is told, as JSON, without one."""
    said: list[dict[str, Any]] = []

    class Keeps:
        def send(self, render: Callable[[Any], Message]) -> None:
            said.append(json.loads(render(None).body))

    dispatch.run_once(store, Outlet(channel=channel, sender=Keeps()), routing, lambda: T0)
    return said


class Once:
    def __init__(self, *entries: object) -> None:
        self.fetch = lambda: listing(*entries)


def test_what_is_known_of_the_number_comes_along_and_numbers_can_be_masked(tmp_path: Path, empty: Path) -> None:
    copied(empty, tmp_path / "watch.db")
    store = opened(tmp_path / "watch.db")
    number = entry("phone-1", days_until_monthly_renewal=2, auto_renewal=False, monthly_renewal_cost=4.5)
    open_, masked = Channel(name="open", command=("/x",)), Channel(name="masked", command=("/x",), mask_numbers=True)
    whose = Record(owner="Anna", labels=("support", "vip"), note="main line +15550000001")
    routing = Routing(channels=(open_, masked), inventory={"15550000001": whose})
    environment = Environment(name="production", base_url="http://127.0.0.1", token="x")
    policy = Policy(inventory=routing.inventory)
    poll.run_once(store, environment, Once(number), policy, routing, lambda: T0)
    (plain,), (hidden,) = told_of(store, open_, routing), told_of(store, masked, routing)
    with store.transaction() as tx:
        (listed,) = list_alerts(tx)
    store.close()
    for key in ("id", "key", "kind", "severity", "environment", "number_id", "number", "text"):
        assert plain[key] == listed[key], "the same as in alerts --json"
    assert plain["created_at"] == "2026-11-23T12:00:00Z"
    wanted = {
        "channel": "open",
        "test": False,
        "kind": "renewal.upcoming",
        "days_left": 2,
        "renews_on": "2026-11-25",  # by the countdown
        "status": "active",
        "country": "US",
        "type": "voice",
        "auto_renewal": False,
        "cost": "4.5",
        "currency": "USD",
        "owner": "Anna",
        "labels": ["support", "vip"],
        "note": "main line +15550000001",
        "agents": None,
        "delivery_note": None,
    }
    assert {key: plain[key] for key in wanted} == wanted
    assert "15550000001" not in json.dumps(hidden)
    assert hidden["number"] == "+155•••001"
    assert hidden["number_id"] == "phone-1"
    assert hidden["key"] == plain["key"]
    assert (hidden["cost"], hidden["renews_on"], hidden["created_at"]) == ("4.5", "2026-11-25", plain["created_at"])


def test_every_key_of_the_json_is_documented_and_always_there() -> None:
    said = json.loads(message()(None).body)
    text = (ROOT / "docs" / "hooks.md").read_text()
    for key in said:
        assert f"`{key}`" in text, key
    of_the_watch = Alert(
        key="k", kind="watch.stale", severity=Severity.critical, environment="", facts=Written("h", "t")
    )
    channel = Channel(name="x", command=("/x",))
    other = wording.event(of_the_watch, channel, Routing(), message_id="rw-1", alert_id=1, found_at=T0)
    assert json.loads(other.body).keys() == said.keys()


def test_the_json_is_ascii_in_one_line() -> None:
    body = message(text="Zoë\n\u2028 naïve — 電話")(None).body
    assert body.isascii()
    assert "\n" not in body


def documented(kind: str) -> list[str]:
    """The programs that docs/hooks.md shows."""
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / "hooks.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("kind", ["sh", "python"])
def test_the_documented_commands_do_what_they_say(tmp_path: Path, kind: str) -> None:
    (tmp_path / "hook").write_text(documented(kind)[0].replace("#!/usr/bin/python3", f"#!{sys.executable}"))
    (tmp_path / "hook").chmod(0o755)
    (tmp_path / "folder").mkdir()
    hook = CommandHook("mover", [str(tmp_path / "hook"), str(tmp_path / "folder")], timedelta(seconds=20))
    hook.send(message(is_test=True))
    assert list((tmp_path / "folder").iterdir()) == []
    hook.send(message())
    hook.send(message())
    (found,) = (tmp_path / "folder").iterdir()
    assert found.name == "rw-0123456789.json"
    assert json.loads(found.read_text())["number"] == "+15550000001"


def test_the_documented_verifier_takes_what_is_posted_and_nothing_else(web: HttpReceiver) -> None:
    namespace: dict[str, Any] = {}
    exec(documented("python")[1], namespace)
    is_genuine = namespace["is_genuine"]
    web.answers(HttpReceiver.ok)
    key = Channel(name="x", webhook="https://x", key=KEY).read_key()
    webhook(f"http://127.0.0.1:{web.port}/", key).send(message())
    request = web.wait()
    now = T0.timestamp()
    assert is_genuine(request.headers, request.body, KEY, lambda: now + 200)
    assert not is_genuine(request.headers, request.body, KEY, lambda: now + 400)
    assert not is_genuine(request.headers, request.body + b" ", KEY, lambda: now)
    assert not is_genuine(request.headers, request.body, "whsec_" + KEY[6:].swapcase(), lambda: now)
    assert not is_genuine(request.headers | {"webhook-id": "rw-other"}, request.body, KEY, lambda: now)


# --- a webhook --------------------------------------------------------------------------------------------------------


def is_signed(request: Request, key: bytes) -> bool:
    """Verified as https://www.standardwebhooks.com says, by nothing of ours."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(f"v1,{expected}", one) for one in headers.get("webhook-signature", "").split())


def webhook(url: str, key: bytes | None = None, **more: Any) -> WebhookHook:
    timeout = more.pop("timeout", timedelta(seconds=20))
    return WebhookHook("in-house", lambda: url, lambda: key, timeout, lambda: T0, **more)


def test_the_signature_is_that_of_the_standard_s_own_example() -> None:
    """Key, id, time, body and signature of the test of its reference library for Python."""
    key = Channel(name="x", webhook="https://x", key="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").read_key()
    assert key is not None
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert made == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("given", "key"), [(KEY, bytes(range(32))), ("a raw text of 24 bytes+", None), ("x" * 24, b"x" * 24)]
)
def test_a_post_carries_id_time_and_signature(
    house: Callable[..., House], web: HttpReceiver, given: str, key: bytes | None
) -> None:
    web.answers(HttpReceiver.ok)
    if key is None:
        with pytest.raises(ConfigError, match="shorter than 24 bytes"):
            Channel(name="x", webhook="https://x", key=given).read_key()
        return
    one = house(posts(web, key=given))
    one.tell()
    assert one.run("in-house") == Sent(sent=1, failed=0)
    (request,) = web.requests
    (row,) = one.rows("in-house")
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert request.path == f"/in/{SECRET}?token={SECRET}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("renewal-watch/")
    assert headers["webhook-id"] == headers["idempotency-key"] == f"{row['message_id']}-1"
    assert headers["webhook-timestamp"] == str(int(T0.timestamp()))
    assert is_signed(request, key)
    assert not is_signed(replace(request, body=request.body + b" "), key)
    assert request.json["headline"] == "alert 1"


def test_without_a_key_a_post_is_unsigned(web: HttpReceiver) -> None:
    web.answers(HttpReceiver.ok)
    webhook(f"http://127.0.0.1:{web.port}/").send(message())
    assert "webhook-signature" not in {name.lower() for name in web.wait().headers}


def test_tried_again_it_has_the_same_id_a_new_time_and_a_new_signature(
    house: Callable[..., House], web: HttpReceiver
) -> None:
    answers = iter([Answer(500), Answer(200)])
    web.answers(HttpReceiver.ok)
    web.answer = lambda _: next(answers)
    one = house(posts(web, key=KEY))
    one.tell()
    one.run("in-house")
    one.now += timedelta(minutes=1)
    one.run("in-house")
    first, second = web.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.body == second.body
    assert is_signed(second, bytes(range(32)))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(web: HttpReceiver, status: int) -> None:
    web.answers(Answer(status, b"" if status == 204 else b"ok"))
    webhook(f"http://127.0.0.1:{web.port}/").send(message())


@pytest.mark.parametrize("body", [b"x" * 3_000_000, b"x" * 2000])
def test_what_stands_in_a_2xx_does_not_incident(web: HttpReceiver, body: bytes) -> None:
    """It was taken: whether the rest of the answer drips or is huge must not have it told again."""
    web.answers(Answer(200, body, how="drip" if len(body) < 10_000 else "whole"))
    began = time.monotonic()
    webhook(f"http://127.0.0.1:{web.port}/", timeout=timedelta(seconds=5)).send(message())
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(500, b'{"error": "queue full"}'), 'HTTP 500: {"error": "queue full"}'),
        (Answer(404, b"<html>no such page</html>"), "HTTP 404"),
        (Answer(401, f"bad token {SECRET}".encode()), "HTTP 401: bad token"),
        (Answer(410), "wants nothing more at this address; correct it, or take the channel out"),
        (
            Answer(302, b"", {"Location": f"https://login.test/?from={SECRET}"}),
            "sends it on to login.test, which is not",
        ),
        (Answer(301, b"", {"Location": "/elsewhere"}), "which is not followed"),
        (Answer(301, b"", {"Location": "http://[elsewhere"}), "the answer holds what cannot be read"),
        (Answer(400, b"\xff\x00<x>" * 9000), "HTTP 400"),
        (Answer(how="reset"), "127.0.0.1:"),
    ],
)
def test_all_else_is_a_failure_in_a_sentence_without_the_address(web: HttpReceiver, answer: Answer, words: str) -> None:
    web.answers(answer)
    url = Channel(name="x", webhook=f"http://127.0.0.1:{web.port}/in/{SECRET}").read_webhook()
    with pytest.raises(ChannelError) as raised:
        webhook(url).send(message())
    said = str(raised.value)
    assert words in said
    assert SECRET not in said
    assert len(said) < 400
    assert len(web.requests) == 1, "a redirect is not followed, nothing is asked again"


def test_one_that_hangs_or_is_not_there_is_given_up_in_time(web: HttpReceiver) -> None:
    web.answers(Answer(how="hang"))
    began = time.monotonic()
    with pytest.raises(ChannelError, match=r"did not answer whole within 0.4 s"):
        webhook(f"http://127.0.0.1:{web.port}/", timeout=SHORT).send(message())
    assert time.monotonic() - began < 3
    web.closing.set()
    web.closing.clear()
    with pytest.raises(ChannelError, match="Connection refused"):
        webhook(f"http://127.0.0.1:{closed_port()}/{SECRET}").send(message())


def test_stop_ends_a_post_under_way(web: HttpReceiver) -> None:
    web.answers(Answer(how="hang"))
    hook = webhook(f"http://127.0.0.1:{web.port}/")
    failed: list[str] = []

    def send() -> None:
        with pytest.raises(ChannelError) as raised:
            hook.send(message())
        failed.append(str(raised.value))

    thread = threading.Thread(target=send)
    thread.start()
    web.wait()
    hook.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert "without an outcome" in failed[0]


def test_nothing_is_taken_from_the_environment(
    web: HttpReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password not-this\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    web.answers(HttpReceiver.ok)
    webhook(f"http://127.0.0.1:{web.port}/").send(message())
    assert "Authorization" not in web.wait().headers


def test_a_proxy_that_is_configured_is_used(web: HttpReceiver) -> None:
    web.answers(HttpReceiver.ok)
    webhook("http://hooks.invalid/in", proxy=web.proxy).send(message())
    assert web.wait().path == "http://hooks.invalid/in"


@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("600", timedelta(minutes=10)),
        ("Mon, 23 Nov 2026 12:20:00 GMT", timedelta(minutes=20)),
        ("999999", BACKOFF_LONGEST),
    ],
)
def test_a_receiver_that_asks_for_a_pause_gets_it(
    house: Callable[..., House], web: HttpReceiver, header: str, waits: timedelta
) -> None:
    web.answers(Answer(429, b"", {"Retry-After": header}))
    one = house(posts(web))
    one.tell()
    one.run("in-house")
    (row,) = one.rows("in-house")
    assert datetime.fromisoformat(row["next_attempt_at"]).replace(tzinfo=T0.tzinfo) == T0 + waits
    one.now = T0 + waits - timedelta(seconds=1)
    assert one.run("in-house") == Sent()


def test_a_secret_that_cannot_be_read_is_a_failure_like_any_other(tmp_path: Path, web: HttpReceiver) -> None:
    web.answers(HttpReceiver.ok)
    channel = Channel(name="in-house", webhook_file=str(tmp_path / "gone"))
    with pytest.raises(ChannelError, match=r"channels.in-house.webhook_file: .*gone cannot be read"):
        sender_of(channel, lambda: T0).send(message())
    (tmp_path / "gone").write_text("http://hooks.example.org/in\n")
    with pytest.raises(ChannelError, match="plain http could be read on the way"):
        sender_of(channel, lambda: T0).send(message())


# --- as a user sees it ------------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    made = World(numbers=3, restless=False)
    made.entries[0]["current_status"] = "suspended"
    made.entries[1] |= {"days_until_monthly_renewal": 2, "auto_renewal": False}
    return made


def configured(folder: Path, address: str, channel: str) -> Path:
    path = write_config(folder, address, channels=0)
    path.write_text(f"{path.read_text()}\n{channel}")
    return path


def typed(path: Path, *words: str, code: int = 0) -> str:
    return commands.call(path, *words, code=code, secrets=(TOKEN, SECRET, KEY)).output


def test_the_commands_know_hooks(
    tmp_path: Path, world: World, web: HttpReceiver, script: Callable[..., Script]
) -> None:
    made = script('cat >> "$OUT/runs"')
    web.answers(HttpReceiver.ok)
    (tmp_path / "hook-key").write_text(f"{KEY}\n")
    with serving(world) as address:
        path = configured(
            tmp_path,
            address,
            f'[[channels]]\nname = "mover"\ncommand = ["{made.path}", "--now"]\ntimeout = "10s"\n{ONLY}'
            f'[[channels]]\nname = "in-house"\nwebhook = "http://127.0.0.1:{web.port}/in/{SECRET}"\n'
            f'key_file = "{tmp_path}/hook-key"\n{ONLY}',
        )
        assert "channels: mover, in-house" in typed(path, "config", "check")
        shown = json.loads(typed(path, "config", "show"))["channels"]
        assert shown[0]["command"] == [str(made.path), "--now"]
        assert shown[1]["webhook"] == "***"
        assert "mover: sent" in typed(path, "test-channel", "mover")
        assert json.loads(made.wrote("runs"))["test"] is True
        typed(path, "test-channel", "in-house")
        assert web.wait().json["test"] is True
        assert "mover: 2 sent\nin-house: 2 sent" in typed(path, "poll")
        assert len(web.requests) == 3
        assert is_signed(web.requests[-1], bytes(range(32)))
        deliveries = [one["deliveries"] for one in json.loads(typed(path, "alerts", "--json"))]
        assert {one["state"] for those in deliveries for one in those} == {"sent"}
        told = typed(path, "doctor", code=1)
        assert f"channel mover: {made.path} can be run" in told
        assert "channel in-house: posts, signed" in told
        assert f"others can read the secret in {tmp_path}/hook-key; run: chmod 600" in told
        made.path.chmod(0o644)
        assert f"channels.mover.command: {made.path} cannot be run by this user" in typed(
            path, "config", "check", code=78
        )
        assert "cannot be run by this user" in typed(path, "test-channel", "mover", code=1)
        made.path.unlink()
        assert "channels.mover.command: there is no command" in typed(path, "run", code=78)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], daemon.Daemon]]:
    """A real daemon in a thread; signals are called by hand."""
    monkeypatch.setattr(daemon.signal, "signal", lambda *_: None)
    monkeypatch.setattr(ticker, "TICK_S", 0.05)
    monkeypatch.setattr("renewal_watch.daemon.membership.BEAT_S", 0.05)
    monkeypatch.setattr(daemon, "STOP_SENDS_S", 0.3)
    made: list[tuple[daemon.Daemon, threading.Thread, Store]] = []

    def start(path: Path) -> daemon.Daemon:
        settings = load(path)
        store = Store(settings.database_url, is_simulated=True)
        store.upgrade()
        one = daemon.Daemon(settings, store)
        thread = threading.Thread(target=one.run)
        thread.start()
        made.append((one, thread, store))
        return one

    yield start
    for one, thread, store in made:
        one.stopping.set()
        thread.join()
        one.polls.pool.shutdown(wait=True)
        one.polls.account_pool.shutdown(wait=True)
        close(store)


def test_the_daemon_s_end_takes_a_running_hook_with_it_and_the_alert_waits(
    tmp_path: Path, world: World, script: Callable[..., Script], running: Callable[[Path], daemon.Daemon]
) -> None:
    made = script('echo $$ >> "$OUT/pids"; sleep 300')
    world.entries[1]["days_until_monthly_renewal"] = 30
    with serving(world) as address:
        path = configured(tmp_path, address, f'[[channels]]\nname = "mover"\ncommand = ["{made.path}"]\n{ONLY}')
        one = running(path)
        until(made.pids)
        began = time.monotonic()
        one.stopping.set()
        until(lambda: not any(worker.is_alive() for worker in one.workers.running))
        assert time.monotonic() - began < 6
        until(lambda: not any(is_alive(pid) for pid in made.pids()))
        with one.store.transaction() as tx:
            assert outbox_counts(tx)["pending"] >= 1
            assert any("ended before its outcome" in error for _, error in failing_channels(tx).values())


def test_a_reload_that_leaves_a_hook_as_it_is_does_not_cut_it_short(
    tmp_path: Path, world: World, script: Callable[..., Script], running: Callable[[Path], daemon.Daemon]
) -> None:
    made = script('echo $$ >> "$OUT/pids"; while ! [ -e "$OUT/go" ]; do sleep 0.02; done')
    world.entries[1]["days_until_monthly_renewal"] = 30
    with serving(world) as address:
        path = configured(tmp_path, address, f'[[channels]]\nname = "mover"\ncommand = ["{made.path}"]\n{ONLY}')
        one = running(path)
        until(made.pids)
        path.write_text(
            path.read_text() + f'[[channels]]\nname = "second"\ncommand = ["{made.path}"]\nkinds = ["price.*"]\n'
        )
        one.reloading.set()
        until(lambda: len(one.workers.running) == 2)
        (tmp_path / "go").touch()
        until(lambda: pending(one.store) == 0)
        assert len(made.pids()) == 1, "it ran once"


def pending(store: Store) -> int:
    with store.transaction() as tx:
        return int(outbox_counts(tx)["pending"])


def test_a_database_that_cannot_be_written_is_told_to_hooks_as_json(
    tmp_path: Path, world: World, web: HttpReceiver, running: Callable[[Path], daemon.Daemon]
) -> None:
    web.answers(HttpReceiver.ok)
    with serving(world) as address:
        hook = f'[[channels]]\nname = "in-house"\nwebhook = "http://127.0.0.1:{web.port}/"\nkinds = ["price.*"]\n'
        one = running(configured(tmp_path, address, hook))
        one.trouble.tell_directly("the disk is full")
    said = web.wait().json
    assert (said["kind"], said["severity"], said["id"], said["test"]) == ("watch.stale", "critical", None, False)
    assert "the disk is full" in said["text"]
