"""Sends one message to one channel through Apprise, in a child process of its own.

Why a child: Apprise has no deadline that really ends a send (its threads go on, and hold up the end of the process), its
sends share one small thread pool, and loading it takes 45 MB. A child can be killed, hangs alone, and ends after use.
The URL goes to it through its standard input, never by argument or environment; nothing it logs leaves it unread.

What Apprise calls a success is not believed (each has a test): a redirected POST arrives as an empty GET, so redirects
are off; ``optional=yes`` hides failures and ``retry=`` repeats half-delivered messages, so both are refused, and the
attempt itself is judged; a URL with several targets fails as a whole after reaching some, so it is refused; where nothing left
the process, or the service's own answer says no, nothing was delivered (``witness``).

Parent and child speak lines of JSON:  {"url"} → {"body_limit", "title_limit", "html_as", "is_mail"} | {"fault"},
then any number of  {"title", "body", "severity", "format", "id", "plain"} → {} | {"error"} | {"late"}. Each question says by
when (``ends``, on the system's monotonic clock) it must be answered: the child dies then by itself, should its parent have been
killed meanwhile.
A message also says by when it must have been read (``begins``): a parent that was paused on the way to its child may have lost
its claim, so the child does not send.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from hashlib import blake2b
from typing import Any

from renewal_watch import children
from renewal_watch.channels.limits import KEPT, Limits
from renewal_watch.channels.targets import target_of_url
from renewal_watch.errors import ChannelError, ConfigError, HeldUp
from renewal_watch.model.alerts import Key, Message
from renewal_watch.text import REDACTOR

SEND_DEADLINE = timedelta(seconds=60)  # from the first byte to the child to its answer; then it is killed
READ_TIMEOUT_S = 30  # Apprise's default of 4 s calls a slow service failed that did take the message
CONNECT_TIMEOUT_S = 10
BEGIN_S = 10.0  # a message reaches the child so soon after the last look at its claim, or is not sent


class AppriseChannel:
    """One channel. For one thread at a time; only ``stop`` may come from another."""

    def __init__(self, name: str, read_url: Callable[[], str], deadline: timedelta = SEND_DEADLINE) -> None:
        self.name = name
        self._read_url = read_url
        self._deadline = deadline
        self._child: subprocess.Popen[bytes] | None = None
        self._url = ""
        self._limits = Limits(body=0, title=0)
        self._stopped = threading.Event()

    def send(self, render: Callable[[Limits], Message]) -> str:
        """Deliver what ``render`` makes of the service's limits; where it went. Raises ChannelError when that is not certain."""
        ends = time.monotonic() + self._deadline.total_seconds()
        try:
            url = self._read_url()
        except ConfigError as error:
            raise ChannelError(str(error)) from None
        if self._child is None or self._child.poll() is not None or url != self._url:
            self._start(url, ends)
        message = render(self._limits)
        begins = time.monotonic() + BEGIN_S
        answer = self._ask(
            {
                "title": message.title,
                "body": message.body,
                "severity": message.severity.name,
                "format": message.format,
                "id": f"{message.message_id}.{message.size}",
                "plain": message.plain,
                "buttons": [button._asdict() for button in message.buttons],
                "thread": None if message.about is None else _thread(message.about),
                "begins": begins,
            },
            ends,
        )
        if "late" in answer:
            msg = "the sending process was given the message too late"
            raise HeldUp(msg)
        if "error" in answer:
            raise ChannelError(REDACTOR.clean(str(answer["error"])))
        return target_of_url(url)

    def limits(self) -> Limits:
        """What the service takes; proves that Apprise understands the URL. Raises ConfigError."""
        try:
            self._start(self._read_url(), time.monotonic() + self._deadline.total_seconds())
        except ChannelError as error:
            raise ConfigError([f"channels.{self.name}.url: {error}"]) from None
        return self._limits

    def close(self) -> None:
        """End the child at once. The channel can be used again unless ``stop`` was called."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def stop(self) -> None:
        """Kill the child from another thread, so that a send under way fails at once; no further one is started."""
        self._stopped.set()  # before the look at the child: whoever starts one looks here after it
        child = self._child
        if child is not None:
            child.kill()

    def _start(self, url: str, ends: float) -> None:
        self.close()
        if self._stopped.is_set():
            msg = "the channel is being closed"
            raise ChannelError(msg)
        try:
            child = self._child = children.start("renewal_watch.channels.apprise_child", _harmless_environment())
        except OSError as error:
            msg = f"the sending process cannot be started: {error.strerror}"
            raise ChannelError(msg) from None
        if self._stopped.is_set():
            child.kill()
        assert child.stdin is not None  # noqa: S101 (a pipe was asked for)
        os.set_blocking(child.stdin.fileno(), False)
        self._url = url
        answer = self._ask({"url": url}, ends)
        if "fault" in answer:
            self.close()
            raise ChannelError(REDACTOR.clean(str(answer["fault"])))
        self._limits = Limits(
            body=int(answer["body_limit"]),
            title=int(answer["title_limit"]),
            html_as=str(answer["html_as"]),
            is_mail=bool(answer["is_mail"]),
        )

    def _ask(self, question: dict[str, Any], ends: float) -> dict[str, Any]:
        """One line to the child and its line back. Whatever goes wrong, the child is gone and ChannelError raised."""
        child = self._child
        assert child is not None  # noqa: S101 (_start made it)
        assert child.stdin is not None  # noqa: S101 (a pipe was asked for)
        assert child.stdout is not None  # noqa: S101
        to, back = child.stdin.fileno(), child.stdout.fileno()
        try:
            rest = json.dumps(question | {"ends": ends}).encode() + b"\n"
            while rest:
                self._wait(to, select.POLLOUT, ends)
                rest = rest[os.write(to, rest) :]
            answer = b""
            while not answer.endswith(b"\n"):
                self._wait(back, select.POLLIN, ends)
                part = os.read(back, 65536)
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

    def _wait(self, descriptor: int, event: int, ends: float) -> None:
        left = ends - time.monotonic()
        poll = select.poll()
        poll.register(descriptor, event)
        if left <= 0 or not poll.poll(math.ceil(left * 1000)):
            msg = f"the service did not take the message within {self._deadline.total_seconds():g} s"
            raise ChannelError(msg)


def _harmless_environment() -> dict[str, str]:
    """What a child needs of the environment, in which secrets of others may be; no secret that is known.

    And no .netrc, which would replace a channel's credentials.
    """
    needed = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    return {name: value for name, value in needed.items() if REDACTOR.clean(value) == value} | {"NETRC": os.devnull}


def _thread(about: Key) -> str:
    """What mails about one incident refer to, as if it were the mail that began their thread. Says nothing of the number."""
    return f"<{blake2b(repr(tuple(about)).encode(errors='replace'), digest_size=12).hexdigest()}@renewal-watch.invalid>"


def threaded(thread: str | None) -> dict[str, str]:
    """RFC 5322: mails that refer to the same one are one thread, whether or not that one is there."""
    return {"In-Reply-To": thread, "References": thread} if thread else {}
