"""Reads ``GET {base_url}/phone-numbers``: one complete list, or an ``ApiError``; never half a list.

Source of the shape: the provider's page "List Phone Numbers". Where that page is silent (paging, the wait after a 429,
the bodies of errors) every form documented elsewhere by the same provider is accepted.

How a list is known to be complete:
- more entries than a page can hold (``PER_PAGE``) and no word of pages: it is all in one body;
- else pages are asked for until the stated last page, or until a page brings nothing new;
- entries that moved between pages while they were read show as a total that changes or is missed, or as an entry read
  twice: the list is read again until two readings agree, up to ``PASSES`` times.

How a request ends in time: it runs in a thread of its own, which is left behind at the deadline with its socket shut
down. ``timeout=`` of requests bounds single reads only, so a body or a header that drips would go on for ever.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import logging
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

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
from renewal_watch.text import plain

log = logging.getLogger(__name__)

PER_PAGE = 100  # the documented maximum of the provider's paged lists
PASSES = 3  # readings of a list that keeps changing before it is given up as an error
MAX_PAGES = 20_000  # 2 million numbers; a last_page beyond it is taken for nonsense
LONGEST_WAIT = timedelta(hours=6)  # no provider is believed that asks for a longer pause
PAGE_WAIT = timedelta(seconds=120)  # a pause asked between two pages is waited out up to this
PAGE_WAITS = 30  # … and this often in one reading
NO_WAIT_GIVEN = timedelta(seconds=60)  # the rate limits are counted per minute (API introduction)
_CHUNK = 256 * 1024  # bytes read at a time
_ENTRY = msgspec.json.Decoder(PhoneNumber, strict=False)
_TOKEN_CODES = {"INVALID_TOKEN", "UNAUTHORIZED", "UNAUTHENTICATED", "TOKEN_EXPIRED", "MISSING_TOKEN", "FORBIDDEN"}
_TOKEN_WORDS = re.compile(r"(?i)\b(unauthori[sz]ed|unauthenticated|missing bearer token)\b")
_RATE_WORDS = re.compile(r"(?i)too many (requests|attempts)|rate limit")


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw]
    success: bool | None = None
    meta: Any = None
    pagination: Any = None
    last_page: Any = None
    total: Any = None


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
    """One walk through the pages; ``moved`` when entries seem to have shifted between them meanwhile."""

    entries: list[msgspec.Raw] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    read: int = 0  # entries read, repeated ones included
    total: int | None = None
    tolerant: bool = False
    moved: bool = False


@dataclass(slots=True, kw_only=True)
class Client:
    """The list of one environment. ``token`` is called at each reading, so that a replaced file is seen.

    ``deadline`` bounds each request, ``max_bytes`` its unpacked body. ``pause`` waits between two pages when the
    provider asks for it and may raise to stop the reading; ``progress`` is called after each page.
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
        """The complete list as it is now. Raises ``ApiError``; idempotent, writes nothing."""
        before: list[bytes] | None = None
        with _session(self.proxy, self.ca_file) as session:
            for _ in range(PASSES):
                reading = self._read_pages(session)
                whole = reading.read >= (reading.total or 0)
                if whole and (not reading.moved or reading.names == before):
                    return _listing(reading.entries, tolerant=reading.tolerant)
                log.info("the list changed while its pages were read, or is not whole; reading it again")
                before = reading.names
        if not whole:
            msg = f"the provider says that there are {reading.total} numbers, but only {reading.read} can be read"
            raise NotTheApi(msg)
        msg = f"the list kept changing while its pages were read, {PASSES} times in a row"
        raise ServerTrouble(msg)

    def _read_pages(self, session: requests.Session) -> _Reading:
        """All pages once, from the front; follows page numbers only, never an address from an answer."""
        reading = _Reading()
        seen: set[bytes] = set()
        for page in range(1, MAX_PAGES + 1):
            envelope, tolerant = _envelope(self._answer(session, page))
            self.progress()
            data = envelope.data
            reading.tolerant |= tolerant
            total, last_page = _paging(envelope)
            if page == 1:
                reading.total = total
                if total is None and last_page is None and len(data) > PER_PAGE:
                    reading.entries, reading.read = data, len(data)
                    return reading
            elif total != reading.total:
                reading.moved = True
                return reading
            fresh = 0
            for raw in data:
                name = _identity(raw)
                if name not in seen:
                    seen.add(name)
                    reading.names.append(name)
                    reading.entries.append(raw)
                    fresh += 1
            if not fresh:  # past the end, or the server ignores page and sends the first one again
                reading.moved |= total is not None and len(seen) < total
                return reading
            reading.read += len(data)
            reading.moved |= fresh < len(data)
            if len(seen) == total and (last_page is None or page >= last_page):
                return reading
            if last_page is not None and page >= last_page:
                reading.moved |= total is not None
                return reading
        msg = f"the list has more than {MAX_PAGES} pages"
        raise NotTheApi(msg)

    def _answer(self, session: requests.Session, page: int) -> Answer:
        """One page with status 200. Between pages a rate limit is waited out, on the first page it is an error."""
        params = {**self.filters, "per_page": str(PER_PAGE)} | ({"page": str(page)} if page > 1 else {})
        url = f"{self.base_url.rstrip('/')}/phone-numbers?{urlencode(params)}"
        for waits in range(PAGE_WAITS + 1):
            answer = self._request(session, url)
            self.server_time = _date(answer.headers.get("Date"))
            try:
                _check(answer, datetime.now(UTC))
            except RateLimited as error:
                wait = error.retry_after or NO_WAIT_GIVEN
                if page == 1 or wait > PAGE_WAIT or waits == PAGE_WAITS:
                    raise
                self.pause(wait.total_seconds())
                self.progress()
            else:
                return answer
        raise AssertionError

    def _request(self, session: requests.Session, url: str) -> Answer:
        """One request within the deadline, whatever drips."""
        result: list[Answer | ApiError] = []
        sockets: list[socket.socket] = []
        over = threading.Event()

        def work() -> None:
            try:
                result.append(self._exchange(session, url, sockets, over))
            except ApiError as error:
                result.append(error)

        thread = threading.Thread(target=work, name="renewal-watch-request", daemon=True)
        thread.start()
        thread.join(self.deadline.total_seconds())
        if not result:
            over.set()
            for one in sockets:
                _shut(one)
            msg = f"the provider did not answer whole within {self.deadline.total_seconds():g} s"
            raise ServerTrouble(msg)
        if isinstance(result[0], ApiError):
            raise result[0]
        return result[0]

    def _exchange(
        self, session: requests.Session, url: str, sockets: list[socket.socket], over: threading.Event
    ) -> Answer:
        _HERE.sockets = sockets
        try:
            with session.get(
                url,
                auth=_Bearer(_header_value(self.token())),
                headers={"Accept": "application/json", "User-Agent": f"renewal-watch/{__version__}"},
                timeout=self.deadline.total_seconds(),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = bytearray()
                for chunk in response.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > self.max_bytes:
                        msg = f"the answer unpacks to more than {self.max_bytes // 2**20} MiB (max_body_mb)"
                        raise NotTheApi(msg)
                    if over.is_set():
                        break
                return Answer(status=response.status_code, headers=response.headers, body=body)
        except requests.exceptions.SSLError as error:
            msg = f"the TLS connection to {_host(url)} cannot be trusted: {_root(error)}"
            raise ServerTrouble(msg) from None
        except requests.exceptions.ProxyError as error:
            msg = f"the proxy does not work: {_root(error)}"
            raise ServerTrouble(msg) from None
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            # The exception of requests carries the address with its query and the token's header: only its kind goes on.
            msg = f"{_host(url)} cannot be read: {_root(error)}"
            raise ServerTrouble(msg) from None


# --- the socket's edge ------------------------------------------------------------------------------------------------

_HERE = threading.local()  # .sockets: where connections made in this thread are to be registered


def _register(connection: HTTPConnection) -> None:
    sockets = getattr(_HERE, "sockets", None)
    if sockets is not None and connection.sock is not None:
        sockets.append(connection.sock)


class _Http(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _register(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _register(self)  # a connection kept alive from the page before does not connect again
        super().request(*args, **kwargs)


class _Https(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _register(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _register(self)
        super().request(*args, **kwargs)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """Connections that can be shut down from outside; no retries, they belong to the schedule."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


def _session(proxy: str | None, ca_file: str | None) -> requests.Session:
    """A session that takes nothing from the environment: no netrc, no proxy, no CA bundle."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", _Adapter(max_retries=0))
    session.mount("https://", _Adapter(max_retries=0))
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    session.verify = ca_file or True
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


def _root(error: BaseException) -> str:
    """The innermost reason in a few words; addresses and headers stay in the outer exceptions."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None)
        args = [a for a in (*error.args, inner) if isinstance(a, BaseException)]
        if not args:
            break
        error = args[0]
    words = error.strerror if isinstance(error, OSError) and error.strerror else ""
    if not words and isinstance(error, TimeoutError):
        words = "timed out"
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower().removesuffix(" error")
    return plain(words or name)


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
        msg = (
            f"HTTP 404: there is no phone-numbers list at this address; check base_url{said and ' (' + said[2:] + ')'}"
        )
        raise NotTheApi(msg)
    if status >= 500 or status in (408, 425):  # noqa: PLR2004
        msg = f"the provider has trouble (HTTP {status}{said})"
        raise ServerTrouble(msg, retry_after=_retry_after(answer, now))
    if status >= 400:  # noqa: PLR2004
        msg = f"the provider refuses the request (HTTP {status}{said}); check filters"
        raise RequestRefused(msg)
    msg = f"HTTP {status} instead of a list"
    raise NotTheApi(msg)


def _json(body: bytearray) -> Any:
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
    return "".join(f": {plain(word)}" for word in words if word)


def _is_html(body: bytearray) -> bool:
    return body[:512].lstrip()[:1] == b"<"


def _retry_after(answer: Answer, now: datetime) -> timedelta | None:
    """How long to wait: header, then body, then reset time; None if none of them says.

    ``X-RateLimit-Reset`` is documented without a unit: more than a year in seconds can only be a Unix time.
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
    return min(max(timedelta(seconds=wait), timedelta(seconds=1)), LONGEST_WAIT)


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
    return number - now.timestamp() if number > 366 * 86_400 else number


def _date(value: str | None) -> datetime | None:
    try:
        return email.utils.parsedate_to_datetime(value) if value else None
    except (ValueError, TypeError):
        return None


def _envelope(answer: Answer) -> tuple[_Envelope, bool]:
    """The envelope of a 200, and whether the tolerant parser was needed."""
    body = answer.body
    if not body.strip():
        msg = "an empty answer with HTTP 200 instead of a list"
        raise NotTheApi(msg)
    tolerant = False
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        envelope, tolerant = _envelope_tolerant(body)
    if envelope.success is False:
        raise _failure(body)
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
    if said.get("success") is False or ("data" not in said and ("error" in said or "message" in said)):
        raise _failure(body)
    data = said.get("data")
    if isinstance(data, dict) and data and all(key.isdigit() for key in data):
        data = list(data.values())  # PHP writes a filtered array, whose keys have gaps, as an object
    if not isinstance(data, list):
        msg = "the answer has no list under data"
        raise NotTheApi(msg)
    try:
        raws = [msgspec.Raw(msgspec.json.encode(one)) for one in data]
    except (TypeError, ValueError, RecursionError):
        msg = "the answer holds values that JSON does not have"
        raise NotTheApi(msg) from None
    paging = {key: said.get(key) for key in ("meta", "pagination", "last_page", "total")}
    return _Envelope(data=raws, success=bool(said.get("success", True)), **paging), tolerant


def _json5(body: bytearray) -> Any:
    import pyjson5  # noqa: PLC0415 (only a provider that sends broken JSON costs this import)

    try:
        said = pyjson5.decode(body.decode("utf-8"))
        json.dumps(said, allow_nan=False)
    except (pyjson5.Json5Exception, UnicodeDecodeError, ValueError, RecursionError, TypeError):
        msg = "the answer is not JSON; it was cut on the way or comes from something else"
        raise NotTheApi(msg) from None
    log.warning("the provider's JSON is not valid; it was read with the tolerant parser")
    return said


def _failure(body: bytearray) -> ApiError:
    """The error that a ``success: false`` under HTTP 200 stands for."""
    said = _json(body)
    code = ""
    if isinstance(said, dict):
        error = said.get("error")
        inner = error.get("code") if isinstance(error, dict) else error
        code = str(said.get("code") or inner or "").upper()
    words = _said(body)
    if code in _TOKEN_CODES or _TOKEN_WORDS.search(words):
        return TokenRejected(f"the provider rejects the token (HTTP 200{words})")
    if _RATE_WORDS.search(words):
        return RateLimited(f"the provider's rate limit is reached (HTTP 200{words})", retry_after=NO_WAIT_GIVEN)
    return NotTheApi(f"the provider answers HTTP 200 but no success{words}")


def _paging(envelope: _Envelope) -> tuple[int | None, int | None]:
    """``(total, last_page)`` from ``meta``, ``pagination`` or the envelope, None where not stated."""
    for place in (envelope.meta, envelope.pagination, {"total": envelope.total, "last_page": envelope.last_page}):
        if not isinstance(place, dict):
            continue
        inner = place.get("pagination")
        said: dict[str, Any] = inner if isinstance(inner, dict) else place
        total, last, per_page = (_whole(said.get(key)) for key in ("total", "last_page", "per_page"))
        if last is None:
            last = _whole(said.get("total_pages"))
        if last is None and total is not None and per_page:
            last = max(1, math.ceil(total / per_page))
        if total is not None or last is not None:
            return total, last
    return None, None


def _whole(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
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
    """The entries by id; of two with one id the first stays, as the pages were read from the front."""
    entries: dict[str, Entry] = {}
    invalid: list[InvalidEntry] = []
    decode = _ENTRY.decode
    for raw in raws:
        try:
            parsed = decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            invalid.append(_set_aside(raw, error))
            continue
        name = parsed.id if type(parsed.id) is str else str(parsed.id)
        if name not in entries:
            entries[name] = Entry(parsed, raw)
    return Listing(entries=entries, invalid=tuple(invalid), tolerant=tolerant)


def _set_aside(raw: msgspec.Raw, error: Exception) -> InvalidEntry:
    said = _json(bytearray(bytes(raw)))
    said = said if isinstance(said, dict) else {}
    name, number = said.get("id"), said.get("number")
    return InvalidEntry(
        id=str(name) if isinstance(name, str | int) and not isinstance(name, bool) and name != "" else None,
        number=number if isinstance(number, str) and number else None,
        reason=plain(str(error).replace(" - at `$.", " in ").replace(" - at `$`", "").replace("`", "")),
    )
