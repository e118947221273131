"""Reads ``GET {base_url}/phone-numbers``: one complete list, or an ``ApiError``; never half a list.

Source of the shape: the provider's page "List Phone Numbers". Where that page is silent (paging, the wait after a 429,
the bodies of errors) every form documented elsewhere by the same provider is accepted.

How a list is known to be complete:
- more entries than a page can hold (``PER_PAGE``) and no word of pages: it is all in one body;
- else pages are asked for until the stated last page, or until a page brings nothing new;
- entries that moved between pages while they were read show as a total or a last page that changes, or as an entry
  read twice: the list is read again until two readings agree, up to ``PASSES`` times;
- several pages without a total could hide a number that left meanwhile: two readings must agree there as well;
- fewer entries than the stated total, or word of more pages where nothing new comes, is an error.

How a request ends in time: it runs in a thread of its own, which is left behind at the deadline with its connection
shut down, in whatever phase it is. ``timeout=`` of requests bounds single reads only, so a handshake, a header or a
body that drips would go on for ever.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import logging
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from renewal_watch import __version__
from renewal_watch.config import Environment, duration
from renewal_watch.errors import (
    ApiError,
    NotTheApi,
    RateLimited,
    RequestRefused,
    ServerTrouble,
    TokenRejected,
)
from renewal_watch.model import Entry, InvalidEntry, Listing, PhoneNumber
from renewal_watch.text import REDACTOR, plain

log = logging.getLogger(__name__)

PER_PAGE = 100  # the documented maximum of the provider's paged lists
PASSES = 3  # readings of a list that keeps changing before it is given up as an error
MAX_PAGES = 20_000  # 2 million numbers; beyond it the pages are taken for endless
LONGEST_WAIT = timedelta(hours=6)  # no provider is believed that asks for a longer pause
PAGE_WAIT = timedelta(seconds=120)  # a pause asked between two pages is waited out up to this …
READING_WAIT = timedelta(hours=1)  # … and the pauses of one reading up to this; a limit of 100 a minute needs 10 min
NO_WAIT_GIVEN = timedelta(seconds=60)  # the rate limits are counted per minute (API introduction)
_CHUNK = 256 * 1024  # bytes read at a time
_ENTRY = msgspec.json.Decoder(PhoneNumber, strict=False)
_TOKEN_CODES = {"INVALID_TOKEN", "UNAUTHORIZED", "UNAUTHENTICATED", "TOKEN_EXPIRED", "MISSING_TOKEN", "FORBIDDEN"}
_TOKEN_WORDS = re.compile(
    r"(?i)\b(unauthori[sz]ed|unauthenticated|missing bearer token|(invalid|expired) token|token (is |has )?(invalid|expired))\b"
)
_RATE_WORDS = re.compile(r"(?i)too many (requests|attempts)|rate.?limit")
_SUCCESS = {"none", "true", "1"}  # forms of success: anything else is a failure, an empty text included
_MORE = ("next_page_url", "next_cursor", "has_more", "has_more_pages", "next")


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]
    success: Any = None
    error: Any = None
    errors: Any = None
    meta: Any = None
    pagination: Any = None
    last_page: Any = None
    total: Any = None
    next_page_url: Any = None
    links: Any = None


class _Bearer(AuthBase):
    """Sets the header through requests' own hook, which a netrc cannot replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: status, headers in any case, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytearray


@dataclass(slots=True)
class _Reading:
    """One walk through the pages.

    ``moved`` when entries seem to have shifted between pages meanwhile; ``lacks`` says what is missing at the end.
    """

    is_second: bool = False  # the list was read before in the same fetch
    entries: list[msgspec.Raw] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)
    read: int = 0  # entries read, repeated ones included
    size: int = 0  # bytes of all pages
    total: int | None = None
    last_page: int | None = None
    waited: timedelta = timedelta(0)
    tolerant: bool = False
    ended: bool = False  # else it was broken off, and says nothing about the list
    moved: bool = False
    lacks: str = ""

    def take(self, data: list[msgspec.Raw]) -> int:
        """Keep a page; how many of its entries are new. Of a page that brings nothing new nothing is kept."""
        before = len(self.names)
        self.names.update(map(_identity, data))
        fresh = len(self.names) - before
        if fresh:
            self.entries += data
            self.read += len(data)
            self.moved |= fresh < len(data)
        return fresh

    def changed(self, total: int | None, last_page: int | None) -> bool:
        """Whether a page speaks of another total or last page than the pages before it."""
        said = (total, last_page)
        known = (self.total, self.last_page)
        self.total, self.last_page = (old if new is None else new for old, new in zip(known, said, strict=True))
        return any(None not in pair and pair[0] != pair[1] for pair in zip(known, said, strict=True))

    def end(self) -> _Reading:
        """The reading, ended where the pages end; a total that is not met by different entries needs a second one."""
        self.ended = True
        if self.total is not None:
            self.moved |= len(self.names) != self.total
            if self.read < self.total:
                self.lacks = f"the provider says that there are {self.total} numbers, but only {self.read} can be read"
        return self


@dataclass(slots=True, kw_only=True)
class Client:
    """The list of one environment. ``token`` is called at each ``fetch``, so that a replaced file is seen.

    ``deadline`` bounds each request, ``max_bytes`` the unpacked bodies of one list. ``pause`` waits between two pages
    when the provider asks for it and may raise to stop the reading; ``progress`` is called after each page and wait.
    """

    base_url: str
    token: Callable[[], str]
    filters: Mapping[str, str] = field(default_factory=dict)
    deadline: timedelta = timedelta(seconds=30)
    max_bytes: int = 256 * 1024 * 1024
    proxy: str | None = None
    ca_file: str | None = None
    pause: Callable[[float], None] = time.sleep
    progress: Callable[[], None] = lambda: None
    server_time: datetime | None = None  # the Date of the last answer

    @classmethod
    def of(
        cls, environment: Environment, pause: Callable[[float], None], progress: Callable[[], None] = lambda: None
    ) -> Client:
        """The client that the settings describe."""
        return cls(
            base_url=environment.base_url,
            token=environment.read_token,
            filters=environment.query,
            deadline=duration(environment.request_timeout),
            max_bytes=environment.max_body_mb * 2**20,
            proxy=environment.proxy,
            ca_file=environment.ca_file,
            pause=pause,
            progress=progress,
        )

    def fetch(self) -> Listing:
        """The complete list as it is now. Raises ``ApiError``, or what ``token`` raises; idempotent, writes nothing."""
        token = _header_value(self.token())
        REDACTOR.learn(token)  # a provider may quote it in an error
        reading, before = _Reading(), None
        with _session(self.proxy, self.ca_file) as session:
            session.auth = _Bearer(token)
            for _ in range(PASSES):
                reading = self._read_pages(session, _Reading(is_second=before is not None))
                if reading.ended and not reading.lacks and (not reading.moved or reading.names == before):
                    return _listing(reading.entries, tolerant=reading.tolerant)
                log.info("the list changed while its pages were read, or is not whole; reading it again")
                before = reading.names if reading.ended else set()
        if reading.lacks:
            raise NotTheApi(reading.lacks)
        msg = f"the list kept changing while its pages were read, {PASSES} times in a row"
        raise ServerTrouble(msg)

    def _read_pages(self, session: requests.Session, reading: _Reading) -> _Reading:
        """All pages once, from the front; follows page numbers only, never an address from an answer."""
        for page in range(1, MAX_PAGES + 1):
            envelope, tolerant = self._page(session, page, reading)
            data = envelope.data
            reading.tolerant |= tolerant
            total, last_page, more = _paging(envelope)
            if reading.changed(total, last_page):
                return reading
            if page == 1 and total is None and last_page is None and not more and len(data) > PER_PAGE:
                reading.entries = data
                return reading.end()
            if not reading.take(data):  # past the end, or the server ignores page and sends the first one again
                if page > 1 and reading.total is None:
                    reading.moved |= not data
                    stated = reading.last_page is not None and page <= reading.last_page
                    if (stated or (data and more)) and reading.read <= PER_PAGE * (page - 1):
                        reading.lacks = f"the provider speaks of more pages, but page {page} brings nothing new"
                return reading.end()
            reading.moved |= page > 1 and reading.total is None
            is_last = reading.last_page is not None and page >= reading.last_page
            if is_last or (reading.last_page is None and not more and len(reading.names) == reading.total):
                return reading.end()
        msg = f"the list has more than {MAX_PAGES} pages"
        raise NotTheApi(msg)

    def _page(self, session: requests.Session, page: int, reading: _Reading) -> tuple[_Envelope, bool]:
        """One page. Between pages a rate limit is waited out; at the very first it is an error."""
        params = {**self.filters, "per_page": str(PER_PAGE)} | ({"page": str(page)} if page > 1 else {})
        url = f"{self.base_url.rstrip('/')}/phone-numbers?{urlencode(params)}"
        patience = timedelta(seconds=1)  # doubled at each refusal of one page, should the provider ask for too little
        while True:
            answer = self._request(session, url)
            self.server_time = _date(answer.headers.get("Date"))
            reading.size += len(answer.body)
            if reading.size > self.max_bytes:
                raise _too_large(self.max_bytes)
            try:
                _check(answer, datetime.now(UTC))
                read = _envelope(answer, datetime.now(UTC))
            except RateLimited as error:
                wait = max(error.retry_after or NO_WAIT_GIVEN, patience)
                is_first = page == 1 and not reading.is_second
                if is_first or wait > PAGE_WAIT or reading.waited + wait > READING_WAIT:
                    raise
                reading.waited += wait
                patience *= 2
                self.pause(wait.total_seconds())
                self.progress()
            else:
                self.progress()
                return read

    def _request(self, session: requests.Session, url: str) -> Answer:
        """One request within the deadline, whatever drips."""
        result: list[Answer | ApiError] = []
        wire = _Wire()

        def work() -> None:
            _HERE.wire = wire
            try:
                result.append(self._exchange(session, url, wire))
            except ApiError as error:
                result.append(error)
            finally:
                wire.close()

        thread = threading.Thread(target=work, name="renewal-watch-request", daemon=True)
        thread.start()
        thread.join(self.deadline.total_seconds())
        if not result:
            in_time = not thread.is_alive()  # it fell over a fault of our own, which is on standard error
            wire.cut()
            msg = f"the provider did not answer whole within {self.deadline.total_seconds():g} s"
            raise ServerTrouble("the request ended without an outcome" if in_time else msg)
        if isinstance(result[0], ApiError):
            raise result[0]
        return result[0]

    def _exchange(self, session: requests.Session, url: str, wire: _Wire) -> Answer:
        try:
            with self._get(session, url, wire) as response:
                body = bytearray()
                for chunk in response.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > self.max_bytes:
                        raise _too_large(self.max_bytes)
                    if wire.is_cut:
                        break
                return Answer(status=response.status_code, headers=response.headers, body=body)
        except requests.exceptions.SSLError as error:
            msg = f"the TLS connection to {_host(url)} cannot be trusted: {_root(error)}"
            raise ServerTrouble(msg) from None
        except requests.exceptions.ProxyError as error:
            msg = f"the proxy does not work: {_root(error)}"
            raise ServerTrouble(msg) from None
        except (requests.exceptions.RequestException, HTTPError, OSError, ValueError, MemoryError) as error:
            # The exception of requests carries the address with its query and the token's header: only its kind goes on.
            msg = f"{_host(url)} cannot be read: {_root(error)}"
            raise ServerTrouble(msg) from None

    def _get(self, session: requests.Session, url: str, wire: _Wire) -> requests.Response:
        """The answer as far as its headers; asked for once more where the server had ended a kept connection."""

        def get() -> requests.Response:
            return session.get(
                url,
                headers={"Accept": "application/json", "User-Agent": f"renewal-watch/{__version__}"},
                timeout=self.deadline.total_seconds(),
                allow_redirects=False,
                stream=True,
            )

        try:
            return get()
        except requests.exceptions.ConnectionError as error:
            if not wire.is_reused or wire.is_cut or not isinstance(_innermost(error), ConnectionError):
                raise
        return get()


# --- the socket's edge ------------------------------------------------------------------------------------------------


class _Wire:
    """The connections of one request, to be cut from outside in any phase, the TLS handshake included.

    It holds duplicates of the sockets: the handshake takes the original away from whoever has it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._twins: list[socket.socket] = []
        self.is_cut = False
        self.is_reused = False  # the last connection was kept alive from a page before

    def hold(self, sock: Any, *, reused: bool) -> None:
        """Take a connection in; one that comes after the cut is cut at once."""
        twin = socket.socket(fileno=os.dup(sock.fileno()))
        with self._lock:
            self.is_reused = reused
            self._twins.append(twin)
            if self.is_cut:
                _shut(twin)

    def cut(self) -> None:
        """End whatever is being sent or received."""
        with self._lock:
            self.is_cut = True
            for twin in self._twins:
                _shut(twin)

    def close(self) -> None:
        """Give the duplicates back; the connections themselves live on."""
        with self._lock:
            for twin in self._twins:
                twin.close()
            self._twins.clear()


_HERE = threading.local()  # .wire: the request that is made in this thread


class _Http(HTTPConnection):
    wire: _Wire | None = None  # the request that holds this connection

    def _new_conn(self) -> socket.socket:
        return _held(self, super()._new_conn())

    def request(self, *args: Any, **kwargs: Any) -> None:
        _held_again(self)
        super().request(*args, **kwargs)


class _Https(HTTPSConnection):
    wire: _Wire | None = None

    def _new_conn(self) -> socket.socket:
        return _held(self, super()._new_conn())

    def request(self, *args: Any, **kwargs: Any) -> None:
        _held_again(self)
        super().request(*args, **kwargs)


def _held(connection: _Http | _Https, sock: socket.socket) -> socket.socket:
    connection.wire = _HERE.wire
    _HERE.wire.hold(sock, reused=False)
    return sock


def _held_again(connection: _Http | _Https) -> None:
    """A connection kept alive from the page before does not connect again."""
    if connection.sock is not None and connection.wire is not _HERE.wire:
        connection.wire = _HERE.wire
        _HERE.wire.hold(connection.sock, reused=True)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """Connections that can be cut from outside; no retries, they belong to the schedule."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # the pools of a SOCKS proxy are what leads through it
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


def _session(proxy: str | None, ca_file: str | None) -> requests.Session:
    """A session that takes nothing from the environment: no netrc, no proxy, no CA bundle. Raises ServerTrouble."""
    if ca_file:
        try:
            ssl.create_default_context(cafile=Path(ca_file).expanduser())
        except (OSError, ValueError) as error:
            msg = f"ca_file {plain(ca_file)} cannot be used: {_root(error)}"
            raise ServerTrouble(msg) from None
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _Adapter(max_retries=0))
    session.mount("https://", _Adapter(max_retries=0))
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    session.verify = str(Path(ca_file).expanduser()) if ca_file else True
    return session


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):  # it may have ended by itself meanwhile
        one.shutdown(socket.SHUT_RDWR)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _header_value(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        msg = "the token is empty or holds a blank, a line break or a character that no token has; write it anew"
        raise TokenRejected(msg)
    return token


def _too_large(limit: int) -> NotTheApi:
    return NotTheApi(f"the answer unpacks to more than {limit / 2**20:g} MiB (max_body_mb)")


def _innermost(error: BaseException) -> BaseException:
    """What began it: requests and urllib3 wrap an error as an argument, a ``reason`` or a cause."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = (*error.args, getattr(error, "reason", None), error.__cause__)
        error = next((one for one in inner if isinstance(one, BaseException)), error)
    return error


_PLAIN_WORDS = {
    "IncompleteRead": "the answer was cut on the way",
    "ProtocolError": "the answer was cut on the way",
    "RemoteDisconnected": "the connection was closed without an answer",
    "TimeoutError": "timed out",
    "error": "the answer cannot be unpacked",  # zlib.error
}


def _root(error: BaseException) -> str:
    """The innermost reason in a few words; addresses and headers stay in the outer exceptions."""
    error = _innermost(error)
    name = type(error).__name__
    words = error.strerror if isinstance(error, OSError) else None
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().removesuffix(" error")
    return plain(words or _PLAIN_WORDS.get(name, spaced))


# --- reading an answer, pure ------------------------------------------------------------------------------------------


def _check(answer: Answer, now: datetime) -> None:
    """Raise the ``ApiError`` that the status, then the body, stand for; return for a list.

    ``now`` is the instant to count a ``Retry-After`` date or a reset time from.
    """
    status = answer.status
    if status == 200:  # noqa: PLR2004
        return
    said = _said(answer.body)
    if status in (401, 403):
        msg = f"the provider rejects the token (HTTP {status}{said})"
        raise TokenRejected(msg, retry_after=_retry_after(answer, now))
    if status == 429:  # noqa: PLR2004
        msg = f"the provider's rate limit is reached (HTTP 429{said})"
        raise RateLimited(msg, retry_after=_retry_after(answer, now) or NO_WAIT_GIVEN)
    if 300 <= status < 400:  # noqa: PLR2004
        target = plain(_host(str(answer.headers.get("Location", ""))) or "another page")
        msg = f"HTTP {status}: the address redirects to {target}, which is not followed with the token; check base_url"
        raise NotTheApi(msg)
    if status == 404:  # noqa: PLR2004
        words = f" ({said[2:]})" if said else ""
        msg = f"HTTP 404: there is no phone-numbers list at this address; check base_url{words}"
        raise NotTheApi(msg)
    if status >= 500 or status in (407, 408, 425):  # noqa: PLR2004
        msg = f"the provider has trouble (HTTP {status}{said})"
        raise ServerTrouble(msg, retry_after=_retry_after(answer, now))
    if status >= 400:  # noqa: PLR2004
        msg = f"the provider refuses the request (HTTP {status}{said}); check filters"
        raise RequestRefused(msg)
    msg = f"HTTP {status} instead of a list"
    raise NotTheApi(msg)


def _json(body: bytearray | bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _said(body: bytearray) -> str:
    """`: the provider's own words` from any of its documented error bodies, or an empty string."""
    said = _json(body[: 2**20])
    if not isinstance(said, dict):
        return ": an HTML page" if _is_html(body) else ""
    error = said.get("error")
    inner = error if isinstance(error, dict) else {}
    words = [said.get("message") or inner.get("message") or (error if isinstance(error, str) else None)]
    faults = said.get("errors")
    if isinstance(faults, dict):
        words += [f"{key}: {' '.join(map(str, why)) if isinstance(why, list) else why}" for key, why in faults.items()]
    elif isinstance(faults, list):
        words += [f"{fault}" for fault in faults]
    return "".join(f": {plain(REDACTOR.clean(str(word)))}" for word in words if word)


def _is_html(body: bytearray) -> bool:
    return body[:512].lstrip()[:1] == b"<"


def _retry_after(answer: Answer, now: datetime) -> timedelta | None:
    """How long to wait: header, then body, then reset time; None if none of them says.

    ``X-RateLimit-Reset`` is documented without a unit: more than a year in seconds can only be a Unix time, and more
    than three thousand years after 1970 only one in milliseconds.
    """
    wait = _seconds(answer.headers.get("Retry-After"), now)
    if wait is None:
        said = _json(answer.body[: 2**20])
        if isinstance(said, dict):
            places: list[Any] = [said, said.get("details"), said.get("error")]
            places += [place.get("details") for place in places[2:] if isinstance(place, dict)]
            found = [place.get("retry_after") for place in places if isinstance(place, dict)]
            wait = next((s for value in found if (s := _seconds(value, now)) is not None), None)
    if wait is None:
        wait = _seconds(answer.headers.get("X-RateLimit-Reset"), now)
    if wait is None:
        return None
    return timedelta(seconds=min(max(wait, 1), LONGEST_WAIT.total_seconds()))


def _seconds(value: object, now: datetime) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(str(value))
    except ValueError:
        try:
            return (email.utils.parsedate_to_datetime(str(value)) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    if not math.isfinite(number):
        return None
    if number > 1e11:  # noqa: PLR2004
        number /= 1000
    return number - now.timestamp() if number > 366 * 86_400 else number


def _date(value: str | None) -> datetime | None:
    try:
        at = email.utils.parsedate_to_datetime(value) if value else None
    except (ValueError, TypeError):
        return None
    return at if at is not None and at.tzinfo is not None else None


def _envelope(answer: Answer, now: datetime) -> tuple[_Envelope, bool]:
    """The envelope of a 200, and whether the tolerant parser was needed."""
    body = answer.body
    if not body[:1024].strip() and not body.strip():  # a strip of the whole would copy it
        msg = "an empty answer with HTTP 200 instead of a list"
        raise NotTheApi(msg)
    tolerant = False
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        envelope, tolerant = _envelope_tolerant(body)
    if str(envelope.success).strip().lower() not in _SUCCESS or envelope.error or envelope.errors:
        raise _failure(answer, now)
    return envelope, tolerant


def _envelope_tolerant(body: bytearray) -> tuple[_Envelope, bool]:
    """What the strict reading refused: another shape, or JSON as the documentation prints it (trailing commas)."""
    tolerant = False
    said = _json(body)
    if said is None:
        if _is_html(body):
            msg = "an HTML page with HTTP 200 instead of a list; check base_url"
            raise NotTheApi(msg)
        said = _json5(body)
        tolerant = True
    if not isinstance(said, dict):
        msg = "the answer is JSON, but not the documented object with data"
        raise NotTheApi(msg)
    success = said.get("success")
    data = said.get("data")
    if data is None and success is None and "message" in said:
        success = False
    if isinstance(data, dict) and isinstance(data.get("data"), list | dict):
        said = {**said, **data}  # a paginator of Laravel under data
        data = said["data"]
    if isinstance(data, dict) and data and all(key.isdigit() for key in data):
        data = list(data.values())  # PHP writes a filtered array, whose keys have gaps, as an object
    failed = {"success": success, "error": said.get("error"), "errors": said.get("errors")}
    if not isinstance(data, list):
        if str(success).strip().lower() in _SUCCESS and not failed["error"] and not failed["errors"]:
            msg = "the answer has no list under data"
            raise NotTheApi(msg)
        data = []
    paging = {key: said.get(key) for key in ("meta", "pagination", "last_page", "total", "next_page_url", "links")}
    return _Envelope(data=[msgspec.Raw(_text(one)) for one in data], **failed, **paging), tolerant


def _text(one: Any) -> bytes:
    """An entry as JSON; one with values that JSON does not have as a text that will be set aside."""
    try:
        return json.dumps(one, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:  # NaN, half a surrogate pair
        return b"!" + json.dumps(one).encode()


def _json5(body: bytearray) -> Any:
    import pyjson5  # noqa: PLC0415 (only a provider that sends broken JSON costs this import)

    try:
        text = body.decode("utf-8")
        try:
            said = json.loads(text)  # knows NaN and half surrogate pairs, which spoil one entry only
        except ValueError:
            said = pyjson5.decode(text)
        json.dumps(said)  # nested deeper than can be written again
    except pyjson5.Json5EOF:
        msg = "the answer ends in the middle; it was cut on the way"
        raise ServerTrouble(msg) from None
    except (pyjson5.Json5Exception, ValueError, RecursionError, TypeError):
        msg = "the answer is not JSON; it comes from something else or was damaged on the way"
        raise NotTheApi(msg) from None
    log.warning("the provider's JSON is not valid; it was read with the tolerant parser")
    return said


def _failure(answer: Answer, now: datetime) -> ApiError:
    """The error that a ``success: false`` under HTTP 200 stands for."""
    said = _json(answer.body)
    code = ""
    if isinstance(said, dict):
        error = said.get("error")
        inner = error.get("code") if isinstance(error, dict) else error
        code = str(said.get("code") or inner or "").upper()
    words = _said(answer.body)
    if code in _TOKEN_CODES or _TOKEN_WORDS.search(words):
        return TokenRejected(f"the provider rejects the token (HTTP 200{words})")
    if _RATE_WORDS.search(words) or _RATE_WORDS.search(code):
        wait = _retry_after(answer, now) or NO_WAIT_GIVEN
        return RateLimited(f"the provider's rate limit is reached (HTTP 200{words})", retry_after=wait)
    return NotTheApi(f"the provider answers HTTP 200 but no success{words}")


def _paging(envelope: _Envelope) -> tuple[int | None, int | None, bool]:
    """``(total, last page, whether there is more)`` from ``meta``, ``pagination`` or the envelope, None if not stated."""
    total = last = None
    more = False
    top = {"total": envelope.total, "last_page": envelope.last_page, "next_page_url": envelope.next_page_url}
    for place in (envelope.meta, envelope.pagination, top, envelope.links):
        if not isinstance(place, dict):
            continue
        inner = place.get("pagination")
        said: dict[str, Any] = inner if isinstance(inner, dict) else place
        links = said.get("links")
        more |= any(said.get(key) for key in _MORE) or (isinstance(links, dict) and bool(links.get("next")))
        total = _whole(said.get("total")) if total is None else total
        last = _whole(said.get("last_page", said.get("total_pages"))) if last is None else last
    return total, last, more


def _whole(value: object) -> int | None:
    try:
        number = int(value) if isinstance(value, float) else int(str(value))
    except (ValueError, OverflowError):
        return None
    return number if number >= 0 else None


def _identity(raw: msgspec.Raw) -> bytes:
    """What makes two entries the same one: the id, or the whole text where there is none."""
    try:
        return str(_ENTRY_ID.decode(raw).id).encode()
    except msgspec.DecodeError:
        return bytes(raw)


class _Id(msgspec.Struct, gc=False):
    id: str | int


_ENTRY_ID = msgspec.json.Decoder(_Id)


def _listing(raws: list[msgspec.Raw], *, tolerant: bool) -> Listing:
    """The entries by id; of two with one id the first readable one stays, as the pages were read from the front."""
    entries: dict[str, Entry] = {}
    invalid: dict[InvalidEntry, None] = {}  # an entry that moved between pages is set aside once
    decode = _ENTRY.decode
    for raw in raws:
        try:
            parsed = decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            invalid[_set_aside(raw, error)] = None
            continue
        name = parsed.id if type(parsed.id) is str else str(parsed.id)
        if name not in entries:
            entries[name] = Entry(parsed, raw)
    return Listing(entries=entries, invalid=tuple(invalid), tolerant=tolerant)


def _set_aside(raw: msgspec.Raw, error: Exception) -> InvalidEntry:
    try:
        said = json.loads(bytes(raw).lstrip(b"!").decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    name, number = said.get("id"), said.get("number")
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        why = "it holds values that JSON does not have"
    elif isinstance(error, UnicodeDecodeError):
        why = "it is not UTF-8 text"
    else:
        why = str(error).replace(" - at `$.", " in ").replace(" - at `$`", "").replace("`", "")
    return InvalidEntry(
        id=_sane(name) if isinstance(name, str | int) and not isinstance(name, bool) else None,
        number=_sane(number) if isinstance(number, str | int) and not isinstance(number, bool) else None,
        reason=plain(why),
    )


def _sane(text: str | int) -> str | None:
    """``text`` as the database can keep it, without half a surrogate pair; None if nothing is left."""
    return str(text).encode("utf-8", "replace").decode() or None
