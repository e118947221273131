"""Sends one message to one channel through Apprise, in a child process of its own.

Why a child: Apprise has no deadline that really ends a send (its threads go on, and hold up the end of the process), its
sends share one small thread pool, and loading it takes 45 MB. A child can be killed, hangs alone, and ends after use.
The URL goes to it through its standard input, never by argument or environment; nothing it logs leaves it unread.

What Apprise calls a success is not believed (each has a test): a redirected POST arrives as an empty GET, so redirects
are off; ``optional=yes`` hides failures and ``retry=`` repeats half-delivered messages, so both are refused, and the
attempt itself is judged; a URL with several targets fails as a whole after reaching some, so it is refused; where nothing left
the process, or the service's own answer says no, nothing was delivered (``witness``).

Parent and child speak lines of JSON:  {"url"} → {"body_limit", "title_limit", "html_as"} | {"fault"},
then any number of  {"title", "body", "severity", "format"} → {} | {"error"} | {"late"}. Each question says by when (``ends``, on
the system's monotonic clock) it must be answered: the child dies then by itself, should its parent have been killed meanwhile.
A message also says by when it must have been read (``begins``): a parent that was paused on the way to its child may have lost
its claim, so the child does not send.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

from renewal_watch.errors import ChannelError, ConfigError, HeldUp
from renewal_watch.model import Key, Message, Severity
from renewal_watch.text import REDACTOR, plain
from renewal_watch.witness import Witness

SEND_DEADLINE = timedelta(seconds=60)  # from the first byte to the child to its answer; then it is killed
READ_TIMEOUT_S = 30  # Apprise's default of 4 s calls a slow service failed that did take the message
CONNECT_TIMEOUT_S = 10
BEGIN_S = 10.0  # a message reaches the child so soon after the last look at its claim, or is not sent
ORPHAN_S = 1.0  # a child ends itself this long after its deadline: a living parent was to kill it before
_LOCAL = {"syslog", "dbus", "glib", "gio", "gnome", "kde", "qt", "macosx", "windows"}  # a screen nobody looks at
_NOTES = frozenset({"opsgenie", "jira"})
_MAIL = frozenset({"mailto", "mailtos"})
_REFUSED = {
    "optional": "hides failures",
    "redirect": "calls a message delivered that was lost on the way",
    "cc": "adds targets; give each a channel of its own",
    "bcc": "adds targets; give each a channel of its own",
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
    html_as: str = "html"  # the format that HTML is shown in


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
        begins = time.monotonic() + BEGIN_S
        answer = self._ask(
            {
                "title": message.title,
                "body": message.body,
                "severity": message.severity.name,
                "format": message.format,
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
            child = self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "renewal_watch.channels"],  # -P: nothing is imported from where we stand
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which lets a send under way end
                bufsize=0,
                env=_harmless_environment(),
            )
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
            body=int(answer["body_limit"]), title=int(answer["title_limit"]), html_as=str(answer["html_as"])
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


_KEPT = re.compile(  # by Python, by those that make requests, and by who writes a time or a path
    "PATH|HOME|LANG|LANGUAGE|LC_.*|TZ|TZDIR|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHON.*"
    "|(?i:https?_proxy|all_proxy|no_proxy)|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|OPENSSL_(CONF|MODULES)"
)


def _harmless_environment() -> dict[str, str]:
    """What a child needs of the environment, in which secrets of others may be; no secret that is known.

    And no .netrc, which would replace a channel's credentials.
    """
    needed = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    return {name: value for name, value in needed.items() if REDACTOR.clean(value) == value} | {"NETRC": os.devnull}


# --- in the child -----------------------------------------------------------------------------------------------------


def url_fault(url: str) -> str | None:
    """Why a URL is refused before Apprise sees it, None if it is not."""
    scheme = _scheme(url)
    if not scheme:
        return "it is not an Apprise URL; write it like slack://… or mailto://…"
    if scheme in _LOCAL:
        return f"{scheme}:// ends on this machine, where nobody may look"
    for key, value in _query(url).items():
        if key in _REFUSED:
            return f"{key}= is not allowed: it {_REFUSED[key]}"
        if key == "format" and value.lower() != "text":
            return "format= is not allowed: the channel's own key format says it"
    return None


def _scheme(url: str) -> str:
    found = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]{0,31}):/", url)
    return found[1].lower() if found else ""


def _query(url: str) -> dict[str, str]:
    """The parameters as Apprise reads them: all after the first ``?``, a ``#`` before or in it notwithstanding."""
    pairs = (pair.partition("=") for pair in re.split("[&;]", url.partition("?")[2]))
    return {unquote(key).strip().lower(): unquote(value) for key, _, value in pairs}


def without_pieces(text: str, url: str) -> str:
    """``text`` without any part of ``url`` but its scheme and host: Apprise logs tokens, topics and addresses."""
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
    harmless = {_scheme(url)}
    if found := re.fullmatch(r"(localhost|\[.*\]|[^:]*\.[^:]*)(?::(\d+))?", place):  # else a token stands there
        harmless |= {place, found[1], found[2] or ""}
    raw = set(re.split(r"[/:@?&=,;#+\s]", url)) | set(re.split(r"[/?&=;,#\s]", rest))
    pieces = {url, rest, *_query(url).values(), *raw, *map(unquote, raw), *re.split(r"[/:@?&=,;#+\s]", unquote(url))}
    known = [re.escape(piece) for piece in sorted(pieces - harmless, key=len, reverse=True) if len(piece) >= 4]  # noqa: PLR2004 (shorter ones would blot out ordinary words)
    return re.sub("|".join(known), "***", text, flags=re.IGNORECASE) if known else text


def _serve() -> None:
    """The child: one URL, then messages until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing a plugin prints gets between the answers

    def answer(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    first = json.loads(sys.stdin.readline())
    _die_at(first["ends"])
    url = str(first["url"])
    fault = url_fault(url)
    if fault:
        answer(fault=fault)
        return
    import apprise  # noqa: PLC0415 (only the child pays for it)

    witness = Witness.installed()
    asset = apprise.AppriseAsset(app_id="renewal-watch", http_redirects=False, service_timeout=0, secure_logging=True)
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if not isinstance(service, apprise.NotifyBase):
        answer(fault=f"Apprise does not understand this {plain(_scheme(url))}:// URL; see appriseit.com/services")
        return
    fault = _service_fault(service)
    if fault:
        answer(fault=fault)
        return
    _tell_what_is_only_information(apprise, service)
    given = _query(url)
    if "rto" not in given:
        service.socket_read_timeout = READ_TIMEOUT_S
    if "cto" not in given:
        service.socket_connect_timeout = CONNECT_TIMEOUT_S
    body, title = int(service.body_maxlen), int(service.title_maxlen)
    if service.overflow_amalgamate_title:
        body -= title + 2  # Discord and others send the title inside the body
    if service.resolve_format("text").value == "markdown":
        body = body * 3 // 4  # room for a backslash before each mark, which Apprise adds where a service knows no text
    _die_at(None)
    answer(body_limit=body, title_limit=title, html_as=service.resolve_format("html").value)
    for line in sys.stdin:
        message = json.loads(line)
        if time.monotonic() > message["begins"]:
            answer(late=True)
            continue
        _die_at(message["ends"])
        error = _deliver(apprise, service, asset, message, url, witness)
        _die_at(None)
        answer(**({"error": error} if error else {}))


def _die_at(ends: float | None) -> None:
    """Let the system end this process soon after ``ends`` of the monotonic clock, whatever a plugin does then."""
    if ends is None:
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        signal.setitimer(signal.ITIMER_REAL, max(ends - time.monotonic() + ORPHAN_S, 1e-6))


def _service_fault(service: Any) -> str | None:
    """Why a service is refused as Apprise understood it, in case it read the URL in another way than ``url_fault``."""
    if len(service) != 1:
        return f"it names {len(service)} targets; give each a channel of its own, so that each is told once"
    if service.body_max_line_count > 0:
        return f"it shows only {service.body_max_line_count} lines of a message"
    if service.optional or service.retry or service.redirects or service.overflow_mode.value != "upstream":
        return "optional, retry, redirect and overflow must be left at their defaults"
    return None


def _tell_what_is_only_information(apprise: Any, service: Any) -> None:
    """Have Opsgenie and Jira make an alert of information as well: a note on an alert that is not there is no request.

    What the URL says itself stays (``?:info=close``).
    """
    actions = getattr(service, "mapping", None)
    if _scheme(service.url()) in _NOTES and isinstance(actions, dict):
        info, warning = apprise.NotifyType.INFO, apprise.NotifyType.WARNING
        if str(getattr(actions.get(info), "value", actions.get(info))) == "note":
            actions[info] = actions[warning]


def _deliver(apprise: Any, service: Any, asset: Any, message: dict[str, Any], url: str, witness: Witness) -> str | None:
    """Why the message was not delivered, None if it was: Apprise's judgement, then ours (``witness``)."""
    witness.begin()
    if _scheme(service.url()) in _MAIL:
        service.headers |= {"Auto-Submitted": "auto-generated"} | _threaded(message.get("thread"))
    outlet = apprise.Apprise(asset=asset)
    outlet.add(service)
    kind = {Severity.info.name: "info", Severity.warning.name: "warning", Severity.critical.name: "failure"}
    result = outlet.notify(
        title=message["title"],
        body=message["body"],
        notify_type=kind[message["severity"]],
        body_format=message.get("format", "text"),
    )
    attempts = [attempt for one in result.results for attempt in one.attempts]
    success = apprise.AppriseResultStatus.SUCCESS
    if result.status == success and attempts and all(attempt.status == success for attempt in attempts):
        told = witness.fault(_scheme(url))
        return plain(without_pieces(told, url), 300) if told else None
    said = [entry.message for attempt in attempts for entry in attempt.logs if entry.level in ("WARNING", "ERROR")]
    told = "; ".join(said) or f"Apprise reports {result.status.name.lower()}"
    return plain(without_pieces(told, url), 300)  # in this order: what was made plain or cut is not found any more


def _thread(about: Key) -> str:
    """What mails about one matter refer to, as if it were the mail that began their thread. Says nothing of the number."""
    return f"<{blake2b(repr(tuple(about)).encode(errors='replace'), digest_size=12).hexdigest()}@renewal-watch.invalid>"


def _threaded(thread: str | None) -> dict[str, str]:
    """RFC 5322: mails that refer to the same one are one thread, whether or not that one is there."""
    return {"In-Reply-To": thread, "References": thread} if thread else {}


if __name__ == "__main__":
    _serve()
