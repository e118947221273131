"""A channel that is an on-call service: what a talk yields is asked, within one deadline."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from renewal_watch.channels.hook_limits import MOST, UNBOUNDED, refused
from renewal_watch.channels.limits import Limits
from renewal_watch.channels.oncall.services import SERVICES
from renewal_watch.channels.oncall.talk import By, Call, Remote, Report, State, Told
from renewal_watch.channels.targets import target_of_webhook
from renewal_watch.errors import ChannelError, ConfigError
from renewal_watch.model.alerts import Message, Severity
from renewal_watch.provider import http
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.values import duration
from renewal_watch.text import REDACTOR, plain

_LISTED = 2**20  # bytes of a list that is asked for


class Pager:
    """An on-call service. For one thread at a time; only ``stop`` may come from another."""

    def __init__(self, channel: Channel, clock: Callable[[], datetime]) -> None:
        self.name = channel.name
        self.service = SERVICES[channel.service or ""]
        self.at = f"{channel.service} {channel.address or ''}".strip()
        self._channel = channel
        self._clock = clock
        self._stopped = threading.Event()
        self._session: http.Session | None = None

    def remote(self, report: Report, told: Told | None) -> Remote:
        """What the service is to know an incident by."""
        return self.service.remote(report, told, self.at)

    def tell(self, report: Report, told: Told | None, remote: Remote) -> None:
        """Tell how an incident stands, from what was told last. Raises ChannelError unless all of it was taken in time.

        Told twice it is the same incident, whatever of it was taken before.
        """
        try:
            address, key = self._channel.read_address(), self._channel.read_service_key()
        except ConfigError as error:
            raise ChannelError(str(error)) from None
        ends = time.monotonic() + duration(self._channel.timeout).total_seconds()
        talk = self.service.talk(report, told, By(remote, key, self._clock()))
        try:
            call = next(talk)
            while True:
                call = talk.send(self._ask(address, key, call, ends))
        except StopIteration:
            return
        except msgspec.MsgspecError:
            msg = f"{http.host(address)} answered with what {self._channel.service} does not say; look at address"
            raise ChannelError(msg) from None

    @property
    def target(self) -> str:
        """Where incidents are told."""
        return target_of_webhook(self._channel.read_address())

    def send(self, render: Callable[[Limits], Message]) -> str:
        """Tell one alert that no database keeps: a test, which is over at once, or the last resort. Raises ChannelError."""
        event: dict[str, Any] = json.loads(render(UNBOUNDED).body)
        told = self._tell_event(event, "open", None)
        if event["test"] and self.service.refresh is None:  # else it ends by itself, and would not be seen before
            self._tell_event(event, "resolved", told)
        return self.target

    def end(self, render: Callable[[Limits], Message]) -> None:
        """What ``send`` told is over. Raises ChannelError."""
        self._tell_event(json.loads(render(UNBOUNDED).body), "resolved", None)

    def stop(self) -> None:
        """End a request under way from another thread; no further one is begun."""
        self._stopped.set()

    def close(self) -> None:
        """Let the connection go."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _tell_event(self, event: dict[str, Any], state: State, told: Told | None) -> Told:
        severity = Severity[event["severity"]]
        report = Report(
            key=event["key"],
            state=state,
            severity=severity,
            topic="test" if event["test"] else "database",
            kind=event["kind"],
            headline=event["headline"],
            text=event["text"],
            opened_at=datetime.fromisoformat(event["created_at"]),
            url=event["url"] or "",
        )
        remote = self.remote(report, told)
        self.tell(report, told, remote)
        return Told(state, severity, remote)

    def _ask(self, address: str, key: str | None, call: Call, ends: float) -> bytes:
        left = ends - time.monotonic()
        host = http.host(address)
        if left <= 0 or self._stopped.is_set():
            msg = f"{host}: " + ("the channel is being closed" if self._stopped.is_set() else "it took too long")
            raise ChannelError(msg)
        asked = http.Request(
            method=call.method,
            url=address + call.path,
            headers={"Accept": "application/json", **({"Content-Type": call.content_type} if call.body else {})}
            | self.service.headers(key),
            deadline=timedelta(seconds=left),
            max_bytes=_LISTED if call.wants else MOST,
            body=call.body or None,
            is_whole=call.wants,
        )
        try:
            if self._session is None:
                self._session = http.session(self._channel.proxy, self._channel.ca_file)
            answer = http.ask(self._session, asked, self._stopped.is_set)
        except http.Unanswered as error:
            self.close()
            raise ChannelError(REDACTOR.clean(f"{host}: {error.reason}")) from None
        if not 200 <= answer.status < 300 and answer.status not in call.fine:  # noqa: PLR2004
            raise self._refused(answer, asked.url)
        return bytes(answer.body)

    def _refused(self, answer: http.Answer, url: str) -> ChannelError:
        """What an answer other than 2xx means; the words of the service, without its key."""
        host, status = http.host(url), answer.status
        said = bytes(answer.body).decode("utf-8", "replace").strip()
        words = "" if said.startswith("<") else plain(REDACTOR.clean(said), 300)
        msg = f"{host} answered HTTP {status}" + (f": {words}" if words else "")
        return refused(answer, url, msg, self._clock())
