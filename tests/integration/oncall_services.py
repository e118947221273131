"""On-call services on loopback: stand-ins that hold to the protocol and misbehave on demand, and a real Alertmanager.

A stand-in refuses what the service would refuse, and keeps what people would see: incidents by their key, how often each was
opened, and every act in its order. ``loses`` takes a request and does not answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from receivers import Answer, HttpReceiver, Request, closed_port, http_receiver

KEY = "R0ut1ngKeyOfTheTests0123456789ab"
BASIC = "watch:S3cretPassw0rd"


@dataclass
class Seen:
    """One incident as the people of a service see it."""

    state: str
    urgency: str
    summary: str
    times: int = 1  # that it was opened while it was open
    acts: list[str] = field(default_factory=list)


class StandIn:
    """What the stand-ins share."""

    def __init__(self, web: HttpReceiver, service: str) -> None:
        self.web = web
        self.service = service
        self.incidents: list[tuple[str, Seen]] = []  # one key may be used again after its end
        self.refused: list[str] = []
        self.answers: list[Answer] = []  # the next ones, instead of what is right
        self.loses = 0  # answers that are lost after the request was taken
        self.after: Callable[[], object] | None = None  # what happens once, before the answer
        web.answer = self._answer

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.web.port}"

    def open(self, key: str) -> Seen | None:
        """The one that is not over."""
        return next((one for name, one in self.incidents if name == key and one.state != "resolved"), None)

    @property
    def only(self) -> Seen:
        ((_, one),) = self.incidents
        return one

    def _answer(self, request: Request) -> Answer:
        if self.answers:
            return self.answers.pop(0)
        try:
            answer = self.take(request)
        except Refused as error:
            self.refused.append(str(error))
            return Answer(400, json.dumps({"status": "invalid", "message": str(error)}).encode())
        if self.after is not None:
            after, self.after = self.after, None
            after()
        if self.loses:
            self.loses -= 1
            return Answer(how="reset")
        return answer

    def take(self, request: Request) -> Answer:
        raise NotImplementedError

    def opened(self, key: str, urgency: str, summary: str) -> None:
        known = self.open(key)
        if known is None:
            self.incidents.append((key, Seen("open", urgency, summary, acts=["open"])))
            return
        known.times += 1
        known.urgency, known.summary = urgency, summary
        known.acts.append("open")

    def acted(self, key: str, state: str) -> None:
        known = self.open(key)
        if known is not None:
            known.state = state
            known.acts.append(state)


class Refused(Exception):
    """What the service would not take."""


def no(why: str) -> NoReturn:
    raise Refused(why)


def object_of(request: Request, must: set[str], may: set[str]) -> dict[str, Any]:
    """The JSON of a request, with exactly such keys."""
    if request.method not in ("POST", "PUT") or request.headers.get("Content-Type") != "application/json":
        no("it is no JSON that is posted")
    said: dict[str, Any] = request.json
    if not must <= said.keys() <= must | may:
        no(f"keys: {sorted(said)}")
    return said


class PagerDuty(StandIn):
    """Events API v2."""

    def __init__(self, web: HttpReceiver) -> None:
        super().__init__(web, "pagerduty")

    def take(self, request: Request) -> Answer:
        if request.path != "/v2/enqueue":
            no(f"path {request.path}")
        said = object_of(request, {"routing_key", "event_action", "dedup_key"}, {"payload", "links", "client"})
        key, action = said["dedup_key"], said["event_action"]
        if said["routing_key"] != KEY:
            no("Invalid routing key")
        if not 1 <= len(key) <= 255:
            no("dedup_key")
        if (action == "trigger") != ("payload" in said):
            no("a payload belongs to a trigger")
        if action == "trigger":
            payload = said["payload"]
            if not {"summary", "source", "severity"} <= payload.keys() or not 1 <= len(payload["summary"]) <= 1024:
                no("payload")
            if payload["severity"] not in ("critical", "error", "warning", "info"):
                no("severity")
            if any(set(link) != {"href", "text"} for link in said.get("links", [])):
                no("links")
            self.opened(key, payload["severity"], payload["summary"])
        elif action in ("acknowledge", "resolve"):
            self.acted(key, {"acknowledge": "acknowledged", "resolve": "resolved"}[action])
        else:
            no(f"event_action {action}")
        return Answer(202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": key}).encode())


class Opsgenie(StandIn):
    """Its alert API, or without ``is_whole`` the integration events of Jira Service Management."""

    def __init__(self, web: HttpReceiver, *, is_whole: bool = True) -> None:
        super().__init__(web, "opsgenie" if is_whole else "jira")
        self.is_whole = is_whole

    @property
    def address(self) -> str:
        return super().address + ("" if self.is_whole else "/jsm/ops/integration")

    def take(self, request: Request) -> Answer:
        if request.headers.get("Authorization") != f"GenieKey {KEY}":
            no("Could not authenticate")
        parts = urlsplit(request.path)
        path = parts.path if self.is_whole else parts.path.removeprefix("/jsm/ops/integration")
        if path == "/v2/alerts":
            self._create(request)
        else:
            self._act(request, path, parts.query)
        return Answer(202, b'{"result": "Request will be processed", "requestId": "43a29c5c"}')

    def _create(self, request: Request) -> None:
        may = {"description", "priority", "source", "entity", "tags", "details"}
        said = object_of(request, {"message", "alias"}, may)
        if not 1 <= len(said["message"]) <= 130 or not 1 <= len(said["alias"]) <= 512 or request.method != "POST":
            no("message")
        if said["priority"] not in ("P1", "P2", "P3", "P4", "P5") or len(said["description"]) > 15_000:
            no("priority")
        known = self.open(said["alias"])
        self.opened(said["alias"], known.urgency if known else said["priority"], said["message"])  # it keeps the first

    def _act(self, request: Request, path: str, query: str) -> None:
        _, version, alerts, alias, what = path.split("/")  # a slash in the alias would be one part more
        if (version, alerts) != ("v2", "alerts") or query != "identifierType=alias":
            no(f"path {request.path}")
        key = unquote(alias)
        if what == "priority" and request.method == "PUT" and self.is_whole:
            known = self.open(key)
            if known is not None:
                known.urgency = object_of(request, {"priority"}, set())["priority"]
            return
        states = {"acknowledge": "acknowledged", "close": "resolved"} | (
            {"unacknowledge": "open"} if self.is_whole else {}
        )
        if what not in states or request.method != "POST":
            no(f"no such action: {what}")
        object_of(request, set(), {"user", "source", "note"})
        self.acted(key, states[what])


class GoAlert(StandIn):
    """Its generic API."""

    def __init__(self, web: HttpReceiver) -> None:
        super().__init__(web, "goalert")

    def take(self, request: Request) -> Answer:
        if request.path != "/api/v2/generic/incoming" or request.method != "POST":
            no(f"path {request.path}")
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            no("unauthorized")
        said = {name: one for name, (one,) in parse_qs(request.body.decode(), strict_parsing=True).items()}
        if not {"summary", "dedup"} <= said.keys() <= {"summary", "details", "dedup", "action"}:
            no("keys")
        if said.get("action") == "close":
            self.acted(said["dedup"], "resolved")
        else:
            self.opened(said["dedup"], "", said["summary"])
        return Answer(204, b"")


def needed(program: str) -> None:
    """Skip where a program of Debian's prometheus-alertmanager is not installed."""
    if shutil.which(program) is None:
        reason = f"{program} is not installed (Debian: prometheus-alertmanager)"
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)


class Alertmanager:
    """A real one, and what ``amtool`` says of it."""

    service = "alertmanager"

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self._folder = folder

    def amtool(self, *words: str) -> Any:
        return json.loads(self.amtool_says("--output=json", *words) or "[]")

    def amtool_says(self, *words: str) -> str:
        """What ``amtool`` prints."""
        done = subprocess.run(
            ["amtool", f"--alertmanager.url={self.address}", *words],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def alerts(self) -> list[dict[str, Any]]:
        """What holds, silenced or not."""
        found: list[dict[str, Any]] = self.amtool("alert", "query", "--active", "--silenced")
        return found

    def silences(self) -> list[dict[str, Any]]:
        """What is silenced now."""
        found: list[dict[str, Any]] = self.amtool("silence", "query")
        return found

    def states(self) -> list[tuple[str, str]]:
        """Severity and ``active`` or ``suppressed`` of each alert that holds."""
        return sorted((one["labels"]["severity"], one["status"]["state"]) for one in self.alerts())


@contextmanager
def alertmanager(folder: Path, prefix: str = "/am") -> Iterator[Alertmanager]:
    """A running Alertmanager with nobody to notify, under a prefix."""
    needed("prometheus-alertmanager")
    needed("amtool")
    if "faketime" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("an Alertmanager lets no library in, and has the real time")
    port = closed_port()
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    address = f"http://127.0.0.1:{port}{prefix}"
    with (folder / "alertmanager.log").open("wb") as log:
        server = subprocess.Popen(
            [
                "prometheus-alertmanager",
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--web.external-url={address}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _await(lambda: urllib.request.urlopen(f"{address}/-/ready", timeout=5).status == 200)
            yield Alertmanager(address, folder)
        finally:
            server.kill()
            server.wait()


def _await(is_there: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while True:
        with contextlib.suppress(urllib.error.URLError, OSError):
            if is_there():
                return
        assert time.monotonic() < ends, "Alertmanager did not start"
        time.sleep(0.05)


@contextmanager
def stand_in(service: str) -> Iterator[StandIn]:
    """A stand-in on a server of its own."""
    with http_receiver() as web:
        yield {
            "pagerduty": lambda: PagerDuty(web),
            "opsgenie": lambda: Opsgenie(web),
            "jira": lambda: Opsgenie(web, is_whole=False),
            "goalert": lambda: GoAlert(web),
        }[service]()
