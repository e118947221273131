"""A channel that is a signed webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from renewal_watch.channels.hook_limits import MOST, UNBOUNDED, refused
from renewal_watch.channels.limits import Limits, without_pieces
from renewal_watch.channels.targets import target_of_webhook
from renewal_watch.errors import ChannelError, ConfigError
from renewal_watch.model.alerts import Message
from renewal_watch.provider import http
from renewal_watch.text import REDACTOR, plain


class WebhookHook:
    """A webhook. For one thread at a time; only ``stop`` may come from another."""

    def __init__(
        self,
        name: str,
        read_url: Callable[[], str],
        read_key: Callable[[], bytes | None],
        timeout: timedelta,
        clock: Callable[[], datetime],
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
    ) -> None:
        self.name = name
        self._read_url = read_url
        self._read_key = read_key
        self._timeout = timeout
        self._clock = clock
        self._proxy = proxy
        self._ca_file = ca_file
        self._stopped = threading.Event()

    def send(self, render: Callable[[Limits], Message]) -> str:
        """Post what ``render`` gives; where to. Raises ChannelError unless it was answered in time with 2xx."""
        try:
            url, key = self._read_url(), self._read_key()
        except ConfigError as error:
            raise ChannelError(str(error)) from None
        body = render(UNBOUNDED).body.encode()
        headers = _headers(json.loads(body), body, key, self._clock())
        asked = http.Request(
            method="POST",
            url=url,
            headers=headers,
            deadline=self._timeout,
            max_bytes=MOST,
            body=body,
            is_whole=False,
        )
        try:
            with http.session(self._proxy, self._ca_file) as session:
                answer = http.ask(session, asked, self._stopped.is_set)
        except http.Unanswered as error:
            msg = f"{http.host(url)}: {error.reason}"
            raise ChannelError(REDACTOR.clean(msg)) from None
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            raise _refused(answer, url, self._clock())
        return target_of_webhook(url)

    def stop(self) -> None:
        """End a request under way from another thread; no further one is begun."""
        self._stopped.set()

    def close(self) -> None:
        """Nothing stays between two requests."""


def _headers(event: Mapping[str, Any], body: bytes, key: bytes | None, now: datetime) -> dict[str, str]:
    """The headers of a post; the id stays the same however often it is tried."""
    name = str(event["message_id"]) + (f"-{event['id']}" if event["id"] is not None else "")
    at = str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": name,
        "webhook-id": name,
        "webhook-timestamp": at,
    }
    if key is not None:
        headers["webhook-signature"] = f"v1,{signature(key, name, at, body)}"
    return headers


def signature(key: bytes, name: str, at: str, body: bytes) -> str:
    """HMAC-SHA256 over ``id.timestamp.body``, in base64."""
    signed = b".".join((name.encode(), at.encode(), body))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _refused(answer: http.Answer, url: str, now: datetime) -> ChannelError:
    """What an answer other than 2xx means, in a sentence that holds no part of the address but its host."""
    host, status = http.host(url), answer.status
    said = bytes(answer.body).decode("utf-8", "replace").strip()
    words = "" if said.startswith("<") else plain(REDACTOR.clean(without_pieces(said, url)))
    msg = f"{host} answered HTTP {status}" + (f": {words}" if words else "")
    if status == 410:  # noqa: PLR2004
        msg = f"HTTP 410: {host} wants nothing more at this address; correct it, or take the channel out"
    return refused(answer, url, msg, now)
