"""The shipped units and installer, under a real systemd: what an operator does on the first day and in the worst hour.

The machine has no network, so its pip gets the packages of this environment, packed again, with a lock file to match.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import json
import os
import re
import shutil
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
STATE = "/var/lib/renewal-watch"
TOKEN = "talq_made_up_token"
SLACK = "json://127.0.0.1:8701/slack-0123456789"
MAIL = "json://watcher:mail-0123456789@127.0.0.1:8701/mail"
SECRETS = (TOKEN, "slack-0123456789", "mail-0123456789")
BASE_URL = "http://127.0.0.1:8700/api/v1"
SILENT = "127.0.0.1:8702"  # takes connections and never answers

# The channels' far end: keeps every message it takes.
SINK = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open("/run/messages", "ab") as kept:
            kept.write(body.replace(b"\\n", b" ") + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8701), Handler).serve_forever()
"""
MUTE = """
import socket, signal
server = socket.create_server(("127.0.0.1", 8702))
signal.pause()
"""


# --- the machine ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which ``make service`` has been run, with a provider and two channels to reach."""
    missing = why_not()
    missing = missing or (None if shutil.which("make") else "needs make")
    if missing:
        if os.environ.get("RENEWAL_WATCH_TEST_ALL") == "1":
            pytest.fail(f"systemd cannot be tried: {missing}")
        pytest.skip(f"systemd cannot be tried: {missing}")
    home = Path(sys.base_prefix)
    shown = {"src": checkout_for(tmp_path_factory.mktemp("checkout")), "wheels": tmp_path_factory.mktemp("wheels")}
    pack_environment(shown["wheels"], shown["src"])
    if home != Path("/usr"):
        shown["opt/python"] = home
    with booted_machine(tmp_path_factory.mktemp("machine"), read_only=shown) as machine:
        install(machine)
        for name, code in (("sink", SINK), ("mute", MUTE)):
            (machine.root / f"etc/{name}.py").write_text(code)
            machine.run(["systemd-run", f"--unit={name}", interpreter(), f"/etc/{name}.py"])
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


def interpreter() -> str:
    """The interpreter of this environment, by its path in the machine."""
    prefix = "/usr" if Path(sys.base_prefix) == Path("/usr") else "/opt/python"
    return f"{prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"


def install(machine: Machine) -> str:
    """Run ``make service`` as its instructions say; what it printed."""
    pip = ["env", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"]
    done = machine.run([*pip, "make", "-C", "/src", "service", f"PYTHON={interpreter()}"], timeout_s=60)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """The installed machine with all secrets in place, no database, no channel, and the daemon not running."""
    for name, text in (("talkover-token", TOKEN), ("ops-slack", SLACK), ("ops-mail", MAIL)):
        installed.run(["install", "-m", "0600", "/dev/stdin", f"/etc/credstore/{name}"], input_text=f"{text}\n")
    configure(installed)
    yield installed
    installed.run(["systemctl", "stop", DAEMON, TIMER, ONCE], check=False)
    installed.run(["systemctl", "reset-failed"])
    places = [STATE, "/var/lib/private/renewal-watch", "/run/messages", "/etc/credstore.encrypted"]
    installed.run(["rm", "-rf", *places, f"/etc/systemd/system/{DAEMON}.d"])
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


def drop_in(machine: Machine, lines: str) -> None:
    folder = machine.root / f"etc/systemd/system/{DAEMON}.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text(f"[Service]\n{lines}\n")
    machine.run(["systemctl", "daemon-reload"])


def start(machine: Machine, unit: str = DAEMON) -> dict[str, str]:
    machine.run(["systemctl", "start", unit])
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


def soon(condition: Callable[[], bool], machine: Machine, unit: str = DAEMON, *, within_s: float = 15) -> None:
    """Wait until it is so; else fail with the journal."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise MachineError(f"not within {within_s} s\n{machine.journal(unit)}")


def polled(machine: Machine) -> bool:
    done = machine.run(["renewal-watch", "status", "--json"], check=False)
    return done.returncode == 0 and any(one["numbers"] for one in json.loads(done.stdout)["environments"])


def messages(machine: Machine) -> list[str]:
    kept = machine.root / "run/messages"
    return kept.read_text().splitlines() if kept.exists() else []


# --- the first day ----------------------------------------------------------------------------------------------------


def test_the_installed_service_polls_and_tells_and_says_so(machine: Machine) -> None:
    configure(machine, channels="ops-slack ops-mail")
    found = start(machine)
    assert found["ActiveState"] == "active"
    assert found["StatusText"].startswith("watching")
    soon(lambda: len(messages(machine)) >= 2, machine)
    assert status(machine)["environments"][0]["numbers"] == 30
    assert {delivery["state"] for alert in json.loads(ask(machine, "alerts", "--json")) for delivery in alert["deliveries"]} == {"sent"}


def test_the_shipped_configuration_needs_the_three_secrets_and_nothing_else(machine: Machine) -> None:
    shutil.copy(CHECKOUT / "systemd/config.toml", machine.root / "etc/renewal-watch/config.toml")
    assert "is right: 1 environments, channels: ops-slack, ops-mail" in ask(machine, "config", "check")
    assert start(machine)["ActiveState"] == "active"
