"""Sends one message to one channel through Apprise, in a child process of its own.

Why a child: Apprise has no deadline that really ends a send (its threads go on, and hold up the end of the process), its
sends share one small thread pool, and loading it takes 45 MB. A child can be killed, hangs alone, and ends after use.
The URL goes to it through its standard input, never by argument or environment; nothing it logs leaves it unread.

What Apprise calls a success is not believed (each has a test): a redirected POST arrives as an empty GET, so redirects
are off; ``optional=yes`` hides failures and ``retry=`` repeats half-delivered messages, so both are refused, and the
attempt itself is judged; a URL with several targets fails as a whole after reaching some, so it is refused.

Parent and child speak lines of JSON:  {"url"} → {"body_limit", "title_limit"} | {"fault"},
then any number of  {"title", "body", "severity"} → {} | {"error"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from renewal_watch.errors import ChannelError, ConfigError
from renewal_watch.model import Message, Severity
from renewal_watch.text import REDACTOR, plain

SEND_DEADLINE = timedelta(seconds=60)  # from the first byte to the child to its answer; then it is killed
READ_TIMEOUT_S = 30  # Apprise's default of 4 s calls a slow service failed that did take the message
CONNECT_TIMEOUT_S = 10
_LOCAL = {"syslog", "dbus", "glib", "gnome", "kde", "qt", "macosx", "windows"}  # end on a screen nobody looks at
_REFUSED = {
    "optional": "hides failures",
    "retry": "repeats what was delivered in part; renewal-watch tries again by itself",
    "wait": "belongs to retry",
    "overflow": "cuts messages; renewal-watch keeps them within the limit",
    "attach": "reads files and addresses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service takes, in characters or bytes; a ``title`` of 0 puts the title above the body."""

    body: int
    title: int


class AppriseChannel:
    """One channel. Not for two threads at once; ``close`` may come from any."""

    def __init__(self, name: str, read_url: Callable[[], str], deadline: timedelta = SEND_DEADLINE) -> None:
        self.name = name
        self._read_url = read_url
        self._deadline = deadline
        self._child: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._limits = Limits(body=0, title=0)
        self._closed = False

    def send(self, render: Callable[[Limits], Message]) -> None:
        """Deliver what ``render`` makes of the service's limits. Raises ChannelError when that is not certain."""
        ends = time.monotonic() + self._deadline.total_seconds()
        try:
            url = self._read_url()
        except ConfigError as error:
            raise ChannelError(str(error)) from None
        if self._child is None or self._child.poll() is not None or url != self._url:
            self._start(url, ends)
        message = render(self._limits)
        answer = self._ask({"title": message.title, "body": message.body, "severity": message.severity.name}, ends)
        if "error" in answer:
            raise ChannelError(REDACTOR.clean(str(answer["error"])))

    def limits(self) -> Limits:
        """What the service takes; proves that Apprise understands the URL. Raises ConfigError."""
        try:
            self._start(self._read_url(), time.monotonic() + self._deadline.total_seconds())
        except ChannelError as error:
            raise ConfigError([f"channels.{self.name}.url: {error}"]) from None
        return self._limits

    def close(self) -> None:
        """End the child at once; a send under way fails. The channel can be used again unless ``stop`` was called."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def stop(self) -> None:
        """Kill the child from another thread; no further one is started."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()

    def _start(self, url: str, ends: float) -> None:
        self.close()
        if self._closed:
            msg = "the channel is being closed"
            raise ChannelError(msg)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "renewal_watch.channels"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which lets a send under way end
            bufsize=0,
        )
        self._url = url
        answer = self._ask({"url": url}, ends)
        if "fault" in answer:
            self.close()
            raise ChannelError(REDACTOR.clean(str(answer["fault"])))
        self._limits = Limits(body=int(answer["body_limit"]), title=int(answer["title_limit"]))

    def _ask(self, question: dict[str, str], ends: float) -> dict[str, Any]:
        """One line to the child and its line back. Whatever goes wrong, the child is gone and ChannelError raised."""
        child = self._child
        assert child is not None  # noqa: S101 (_start made it)
        assert child.stdin is not None  # noqa: S101 (a pipe was asked for)
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                left = ends - time.monotonic()
                if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                    msg = f"the service did not take the message within {self._deadline.total_seconds():g} s"
                    raise ChannelError(msg)
                part = os.read(child.stdout.fileno(), 65536)
                if not part:
                    msg = "the send was ended before its outcome was known"
                    raise ChannelError(msg)
                answer += part
            said: dict[str, Any] = json.loads(answer)
        except (OSError, ValueError):
            self.close()
            msg = "the sending process ended before its outcome was known"
            raise ChannelError(msg) from None
        except ChannelError:
            self.close()
            raise
        return said


# --- in the child -----------------------------------------------------------------------------------------------------


def url_fault(url: str) -> str | None:
    """Why a URL is refused before Apprise sees it, None if it is not."""
    parts = urlsplit(url)
    if not parts.scheme:
        return "it is not an Apprise URL; write it like slack://… or mailto://…"
    if parts.scheme.lower() in _LOCAL:
        return f"{parts.scheme}:// ends on this machine, where nobody may look"
    for key, _ in parse_qsl(parts.query, keep_blank_values=True):
        if key.lower() in _REFUSED:
            return f"{key}= is not allowed: it {_REFUSED[key.lower()]}"
    return None


def without_pieces(text: str, url: str) -> str:
    """``text`` without any part of ``url`` but its scheme and host: Apprise logs tokens, topics and addresses."""
    parts = urlsplit(url)
    harmless = {parts.scheme, parts.hostname or "", str(parts.port or "")}
    pieces = {url, parts.path, unquote(parts.path), parts.username or "", parts.password or ""}
    pieces |= set(re.split(r"[/:@?&=,;#+\s]", url)) | set(re.split(r"[/:@?&=,;#+\s]", unquote(url)))
    for piece in sorted(pieces - harmless, key=len, reverse=True):
        if len(piece) >= 4:  # noqa: PLR2004 (shorter ones would blot out ordinary words)
            text = text.replace(piece, "***")
    return text


def _serve() -> None:
    """The child: one URL, then messages until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing a plugin prints gets between the answers

    def answer(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    url = str(json.loads(sys.stdin.readline())["url"])
    fault = url_fault(url)
    if fault:
        answer(fault=fault)
        return
    import apprise  # noqa: PLC0415 (only the child pays for it)

    asset = apprise.AppriseAsset(app_id="renewal-watch", http_redirects=False, service_timeout=0, secure_logging=True)
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if not isinstance(service, apprise.NotifyBase):
        answer(
            fault=f"Apprise does not understand this {plain(urlsplit(url).scheme)}:// URL; see appriseit.com/services"
        )
        return
    if len(service) != 1:
        answer(fault=f"it names {len(service)} targets; give each a channel of its own, so that each is told once")
        return
    given = {key.lower() for key, _ in parse_qsl(urlsplit(url).query)}
    if "rto" not in given:
        service.socket_read_timeout = READ_TIMEOUT_S
    if "cto" not in given:
        service.socket_connect_timeout = CONNECT_TIMEOUT_S
    answer(body_limit=service.body_maxlen, title_limit=service.title_maxlen)
    for line in sys.stdin:
        message = json.loads(line)
        error = _deliver(apprise, service, asset, message)
        answer(**({"error": without_pieces(error, url)} if error else {}))


def _deliver(apprise: Any, service: Any, asset: Any, message: dict[str, str]) -> str | None:
    """Why the message was not delivered, None if it was."""
    outlet = apprise.Apprise(asset=asset)
    outlet.add(service)
    kind = {Severity.info.name: "info", Severity.warning.name: "warning", Severity.critical.name: "failure"}
    result = outlet.notify(
        title=message["title"], body=message["body"], notify_type=kind[message["severity"]], body_format="text"
    )
    attempts = [attempt for one in result.results for attempt in one.attempts]
    success = apprise.AppriseResultStatus.SUCCESS
    if result.status == success and attempts and all(attempt.status == success for attempt in attempts):
        return None
    said = [entry.message for attempt in attempts for entry in attempt.logs if entry.level in ("WARNING", "ERROR")]
    return plain("; ".join(said) or f"Apprise reports {result.status.name.lower()}", 300)


if __name__ == "__main__":
    _serve()
