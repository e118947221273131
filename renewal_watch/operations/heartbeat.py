"""The dead-man's switch of each environment: an outside service is told that a poll begins, went well, or did not.

It is told of success only after a complete list was read and recorded while nothing in the outbox is overdue: what was
just found is sent within seconds, what waits for long is a fault. Of a poll that was put off, or dropped because the
watch ends, it is told nothing: a normal stop is no failure, and silence is what the service listens for.

Two kinds of address are understood. ``URL/start``, ``URL``, ``URL/fail``, as Healthchecks describes it
(https://healthchecks.io/docs/http_api/); and one with ``status=`` in its query, as Uptime Kuma's push monitor shows it:
``status=up`` or ``down`` with the words in ``msg``, and no start. It is asked by GET: before its version 2 it knows no
other method (https://github.com/louislam/uptime-kuma/issues/3267).

Pings go from a thread of their own for each environment, each within ``DEADLINE``: nothing that the service does delays
or breaks a poll. That it cannot be reached is one line in the log, kept for the doctor, and no alert: it tells by itself.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from renewal_watch.channels.limits import without_pieces
from renewal_watch.database.store import Store
from renewal_watch.errors import ConfigError, RenewalWatchError, StoreError
from renewal_watch.operations.poll import Polled
from renewal_watch.provider import http
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.timers import set_fired
from renewal_watch.store.outbox.waiting import OVERDUE_AFTER, outbox_counts, overdue_deliveries
from renewal_watch.text import REDACTOR, masked, plain

log = logging.getLogger(__name__)

DEADLINE = timedelta(seconds=10)  # of one ping
PAUSES_S = (1.0, 5.0)  # before an outcome is told again: a packet that is lost must not look like a watch that died
COMMAND_WAITS_S = 30.0  # for its last pings
IDLE_S = 1.0  # a thread that has nothing to tell for so long ends
_MOST = 65_536  # bytes of an answer
_WORDS = 1000  # characters of a ping's text
_UNKNOWN = (404, 405, 410, 501)  # the answers of a service that knows no start

Signal = Literal["start", "success", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """What the service is told, and in which words."""

    signal: Signal
    text: str = ""


START = Ping(signal="start")


# --- what is told, pure -----------------------------------------------------------------------------------------------


def outcome(polled: Polled, overdue: Mapping[str, int], waiting: int) -> Ping | None:
    """What a finished poll means; None for one that was not made. ``overdue`` and ``waiting`` count messages."""
    if polled.skipped:
        return None
    if polled.error is not None:
        return failure(f"the poll failed: {polled.error}")
    if overdue:
        counts = ", ".join(f"{count} for {name}" for name, count in sorted(overdue.items()))
        minutes = OVERDUE_AFTER.total_seconds() / 60
        return failure(f"the poll is good, but messages wait since more than {minutes:g} min: {counts}")
    said = f"{polled.numbers} numbers, {polled.changed} changed, {polled.alerts} new alerts, {waiting} messages wait"
    return Ping(signal="success", text=said)


def failure(why: str) -> Ping:
    """The ping of a poll that went wrong."""
    return Ping(signal="fail", text=plain(masked(REDACTOR.clean(why)), _WORDS))


def request(url: str, ping: Ping) -> http.Request | None:
    """How a ping is told; None where the service knows no such signal."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "status" in query:
        if ping.signal == "start":
            return None
        query |= {"status": "up" if ping.signal == "success" else "down", "msg": ping.text[:200] or "OK"}
        target = urlunsplit(parts._replace(query=urlencode(query), fragment=""))
        return http.Request(method="GET", url=target, headers={}, deadline=DEADLINE, max_bytes=_MOST)
    ending = "" if ping.signal == "success" else f"/{ping.signal}"
    path = parts.path.rstrip("/") + ending if ending else parts.path
    return http.Request(
        method="POST",
        url=urlunsplit(parts._replace(path=path, fragment="")),
        headers={"Content-Type": "text/plain; charset=utf-8"},
        deadline=DEADLINE,
        max_bytes=_MOST,
        body=ping.text.encode(),
    )


def refusal(answer: http.Answer, url: str) -> str | None:
    """Why an answer is none of a ping that was taken, None if it was.

    Healthchecks answers 200 to an unknown or too frequent ping of a check by its UUID, and says so in the body:
    "OK (not found)", "OK (rate limited)".
    """
    said = bytes(answer.body[:1000]).decode("utf-8", "replace").strip()
    words = "" if said.startswith("<") else plain(REDACTOR.clean(without_pieces(said, url)))
    if 200 <= answer.status < 300 and not said.startswith("OK ("):  # noqa: PLR2004
        return None
    return f"{http.host(url)} answered HTTP {answer.status}" + (f": {words}" if words else "")


# --- telling it -------------------------------------------------------------------------------------------------------


class Heartbeats:
    """The switches of all environments. Any thread may call; none waits for a ping but in ``close``.

    ``since`` is when this process began to send; None for one that has sent all that is due before it says an outcome.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], since: datetime | None = None) -> None:
        self._store = store
        self._clock = clock
        self.since = since
        self._lock = threading.Lock()
        self._pulses: dict[str, _Pulse] = {}
        self._open: dict[str, Environment] = {}  # polls that began
        self._closing = threading.Event()
        self._hurrying = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """The end of a command: what broke it is told, unless somebody ended it."""
        if isinstance(error, Exception):
            for environment in list(self._open.values()):
                self.broke(environment, error)
        self._close(COMMAND_WAITS_S)

    def begin(self, environment: Environment) -> None:
        """A poll begins."""
        self._open[environment.name] = environment
        self._tell(environment, START)

    def end(self, environment: Environment, polled: Polled, settings: Settings) -> None:
        """A poll is over, and recorded. Raises nothing: a database that cannot be read is a failure that is told."""
        self._open.pop(environment.name, None)
        if not environment.has_heartbeat:
            return
        try:
            with self._store.reading() as tx:
                overdue = overdue_deliveries(tx, settings.channels, settings.timezone, self._clock(), self.since)
                waiting = int(outbox_counts(tx)["pending"])
        except StoreError as error:
            self.broke(environment, error)
            return
        ping = outcome(polled, overdue, waiting)
        if ping is not None:
            self._tell(environment, ping)

    def broke(self, environment: Environment, error: Exception) -> None:
        """A poll had no outcome that could be recorded."""
        self._open.pop(environment.name, None)
        is_ours = isinstance(error, RenewalWatchError)
        self._tell(environment, failure(str(error) if is_ours else f"a fault of renewal-watch: {type(error).__name__}"))

    def close(self, patience_s: float) -> None:
        """Let pings under way end, at most so long; none is tried again."""
        self._hurrying.set()
        self._close(patience_s)

    def _close(self, patience_s: float) -> None:
        self._closing.set()
        ends = time.monotonic() + patience_s
        with self._lock:
            pulses = list(self._pulses.values())
        for pulse in pulses:
            pulse.wake.set()
        for pulse in pulses:
            pulse.join(max(0.0, ends - time.monotonic()))

    def _tell(self, environment: Environment, ping: Ping) -> None:
        if not environment.has_heartbeat:
            return
        with self._lock:
            before = self._pulses.get(environment.name)
            if before is not None and before.is_alive() and before.tell(environment, ping):
                return
            pulse = _Pulse(self._store, self._clock, self._closing, self._hurrying, before)
            pulse.tell(environment, ping)
            try:
                pulse.start()
            except RuntimeError:  # no more threads: a switch that is told nothing raises its alarm
                log.error("environment=%s heartbeat not told: too many threads (TasksMax=)", environment.name)  # noqa: TRY400
                return
            self._pulses[environment.name] = pulse


class _Pulse(threading.Thread):
    """The thread of one environment's switch: pings go in order, and an old one never holds up a new poll's.

    It ends when it has nothing to tell, for there may be a thousand; the next one is told what ``before`` learned.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], datetime],
        closing: threading.Event,
        hurrying: threading.Event,
        before: _Pulse | None,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._store = store
        self._clock = clock
        self._closing = closing
        self._hurrying = hurrying
        self._waiting: list[tuple[Environment, Ping]] = []
        self._lock = threading.Lock()
        self.wake = threading.Event()
        self._is_over = False
        self.fault: str | None = before.fault if before else None
        self.starts_at: str = before.starts_at if before else ""  # the address that knows no start

    def tell(self, environment: Environment, ping: Ping) -> bool:
        """Tell ``ping`` soon; whether it will. A poll that begins makes what still waits of the ones before it out of date."""
        with self._lock:
            if self._is_over:
                return False
            before = [] if ping.signal == "start" else self._waiting
            self._waiting = [*before, (environment, ping)]
        self.wake.set()
        return True

    def run(self) -> None:
        """Until nothing waits for a while, or it is closed and nothing waits."""
        while not self._is_over:
            self.wake.wait(IDLE_S)
            self.wake.clear()
            had_none = True
            while (waiting := self._next()) is not None:
                had_none = False
                self._send(*waiting)
            if had_none or self._closing.is_set():
                with self._lock:
                    self._is_over = not self._waiting

    def _next(self) -> tuple[Environment, Ping] | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def _send(self, environment: Environment, ping: Ping) -> None:
        if ping.signal == "start":  # is told by the way: what follows says whether the service can be reached
            self._try(environment, ping)
            return
        fault, may_pass = self._try(environment, ping)
        for pause in PAUSES_S:
            if not may_pass or self._hurrying.wait(pause):
                break
            fault, may_pass = self._try(environment, ping)
        if fault != self.fault:
            self.fault = fault
            if fault:
                log.warning("environment=%s heartbeat not told: %s", environment.name, fault)
            else:
                log.info("environment=%s heartbeat told again", environment.name)
        self._keep(environment, ping, fault)

    def _try(self, environment: Environment, ping: Ping) -> tuple[str | None, bool]:
        """Why a ping was not taken, None if it was; and whether that may pass by itself."""
        try:
            url = environment.read_heartbeat()
        except ConfigError as error:
            return str(error), False
        asked = request(url, ping) if url else None
        if not url or asked is None or (ping.signal == "start" and url == self.starts_at):
            return None, False
        try:
            with http.session(environment.proxy, environment.ca_file) as session:
                answer = http.ask(session, asked)
        except http.Unanswered as error:
            return REDACTOR.clean(f"{http.host(url)}: {error.reason}"), True
        if ping.signal == "start" and answer.status in _UNKNOWN:
            self.starts_at = url
            log.info("environment=%s heartbeat: %s knows no start, so none is told", environment.name, http.host(url))
            return None, False
        fault = refusal(answer, url)
        return fault, fault is not None and (answer.status >= 500 or answer.status == 429)  # noqa: PLR2004

    def _keep(self, environment: Environment, ping: Ping, fault: str | None) -> None:
        """For the doctor."""
        state = json.dumps({"signal": ping.signal, "text": ping.text, "fault": fault})
        try:
            name = calendar(environment.name)
            with self._store.transaction(name) as tx:
                set_fired(tx, name, self._clock(), state)
        except StoreError as error:
            log.debug("environment=%s heartbeat cannot be kept: %s", environment.name, error)


def calendar(environment: str) -> str:
    """The name under which the last outcome of an environment's switch is kept."""
    return f"heartbeat {environment}"
