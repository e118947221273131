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

Reads as well what the account says beside the list (``FURTHER``), each from its own documented page, and only ever reads:
one request, or pages until nothing new comes. There a 403 or 404 is ``NotOffered``, for it says nothing about the token.
"""

from __future__ import annotations

import email.utils
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec
import requests
from requests.auth import AuthBase

from renewal_watch import entries, wire
from renewal_watch.clock import utc_now
from renewal_watch.config import Environment, duration
from renewal_watch.errors import (
    ApiError,
    NotOffered,
    NotTheApi,
    PutOff,
    RateLimited,
    RequestRefused,
    ServerTrouble,
    TokenRejected,
)
from renewal_watch.identity import bare
from renewal_watch.model import Entry, InvalidEntry, Listing, PhoneNumber
from renewal_watch.text import REDACTOR, from_json, plain
from renewal_watch.wire import Answer

log = logging.getLogger(__name__)

PER_PAGE = 100  # the documented maximum of the provider's paged lists
PASSES = 3  # readings of a list that keeps changing before it is given up as an error
MAX_PAGES = 20_000  # 2 million numbers; beyond it the pages are taken for endless
LONGEST_WAIT = timedelta(hours=6)  # no provider is believed that asks for a longer pause
PAGE_WAIT = timedelta(seconds=120)  # a pause asked between two pages is waited out up to this …
READING_WAIT = timedelta(hours=1)  # … and the pauses of one reading up to this; a limit of 100 a minute needs 10 min
LONGEST_ASK = timedelta(seconds=60)  # all pages of one endpoint beside the list, and the pauses between them
NO_WAIT_GIVEN = timedelta(seconds=60)  # the rate limits are counted per minute (API introduction)
CLOCK_OFF = timedelta(minutes=5)  # days are counted, so minutes do no harm; more is a clock that nobody sets
PATIENCE = timedelta(seconds=5)  # a turn is waited for so long before anything was read
SOON = timedelta(seconds=60)  # a turn later than this is a pause that the provider asked for


class Pace(Protocol):
    """How fast the provider may be asked; ``rates.Pace`` shares it with all who use the same token."""

    def reserve(self, token: str, longest: timedelta) -> timedelta:
        """How long to wait before the next request; it is reserved unless that is longer than ``longest``."""

    def hold(self, token: str, wait: timedelta) -> None:
        """The provider asked to be left alone for so long."""


class Unpaced:
    """Asks as fast as it can."""

    def reserve(self, token: str, longest: timedelta) -> timedelta:
        """No wait."""
        del token, longest
        return timedelta(0)

    def hold(self, token: str, wait: timedelta) -> None:
        """Nobody else is told."""


class Endpoint(NamedTuple):
    """What is read beside the list: ``pages`` at most, 0 for one that gives a single object."""

    title: str
    path: str
    pages: int = 0
    is_for_users: bool = False  # takes the token of a user, not that of the environment


FURTHER = {
    "releases": Endpoint("release requests", "phone-numbers/release-requests", 20),
    "topup": Endpoint("auto top-up settings", "auto-topup/settings"),
    "charges": Endpoint("top-up history", "auto-topup/history", 3),  # the newest come first
    "cards": Endpoint("cards", "auto-topup/payment-methods", 3),
    "balance": Endpoint("balance", "credits/balance", is_for_users=True),
    "agents": Endpoint("agents", "agents", 200),
}
_FAR = 1_000_000  # days; further than any countdown
_TOKEN_CODES = {"INVALID_TOKEN", "UNAUTHORIZED", "UNAUTHENTICATED", "TOKEN_EXPIRED", "MISSING_TOKEN", "FORBIDDEN"}
_TOKEN_WORDS = re.compile(
    r"(?i)\b(unauthori[sz]ed|unauthenticated|missing bearer token|(invalid|expired) token|token (is |has )?(invalid|expired))\b"
)
_RATE_WORDS = re.compile(r"(?i)too many (requests|attempts)|rate.?limit")
_SUCCESS = {"none", "true", "1"}  # forms of success: anything else is a failure, an empty text included
_MORE = ("next_page_url", "next_cursor", "has_more", "has_more_pages", "next")
_T = TypeVar("_T")


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


@dataclass(slots=True)
class _Reading:
    """One walk through the pages.

    ``moved`` when entries seem to have shifted between pages meanwhile; ``lacks`` says what is missing at the end.
    """

    token: str = ""
    is_second: bool = False  # the list was read before in the same fetch
    entries: list[msgspec.Raw] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)
    read: int = 0  # entries read, repeated ones included
    size: int = 0  # bytes of all pages
    total: int | None = None
    last_page: int | None = None
    waited: timedelta = timedelta(0)  # because the provider asked for it
    paced: timedelta = timedelta(0)  # for turns
    longest_wait: timedelta = field(default_factory=lambda: READING_WAIT)
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
    """The list of one environment. The tokens are read at each call, so that a replaced file is seen.

    ``deadline`` bounds each request, ``max_bytes`` the unpacked bodies of one list. ``pause`` waits between two pages
    when the provider asks for it and may raise to stop the reading; ``progress`` is called after each page and wait.
    ``pace`` is asked before each request; before the first one its turn is waited for no longer than ``patience``.
    """

    base_url: str
    token: Callable[[], str]
    user_token: Callable[[], str | None] = lambda: None
    filters: Mapping[str, str] = field(default_factory=dict)
    deadline: timedelta = timedelta(seconds=30)
    max_bytes: int = 256 * 1024 * 1024
    proxy: str | None = None
    ca_file: str | None = None
    pause: Callable[[float], None] = time.sleep
    progress: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    pace: Pace = field(default_factory=Unpaced)
    patience: timedelta = PATIENCE
    server_time: datetime | None = None  # the Date of the last answer, when it left the provider or a cache on the way
    clock_off: timedelta | None = None  # how far that was from this machine's clock, where it was more than minutes

    @classmethod
    def of(
        cls,
        environment: Environment,
        pause: Callable[[float], None],
        progress: Callable[[], None] = lambda: None,
        *,
        pace: Pace | None = None,
        patience: timedelta = PATIENCE,
    ) -> Client:
        """The client that the settings describe."""
        return cls(
            base_url=environment.base_url,
            token=environment.read_token,
            user_token=environment.read_user_token,
            filters=environment.query,
            deadline=duration(environment.request_timeout),
            max_bytes=environment.max_body_mb * 2**20,
            proxy=environment.proxy,
            ca_file=environment.ca_file,
            pause=pause,
            progress=progress,
            pace=pace or Unpaced(),
            patience=patience,
        )

    def fetch(self) -> Listing:
        """The complete list as it is now; idempotent, writes nothing.

        Raises ``ApiError``, what ``token`` raises, or ``PutOff`` before the first request, when there is no turn yet.
        """
        token = _header_value(self.token())
        REDACTOR.learn(token)  # a provider may quote it in an error
        reading, before = _Reading(token=token), None
        with self._session() as session:
            session.auth = _Bearer(token)
            for _ in range(PASSES):
                reading = self._read_pages(session, _Reading(token=token, is_second=before is not None))
                if reading.ended and not reading.lacks and (not reading.moved or reading.names == before):
                    found = _listing(reading.entries, tolerant=reading.tolerant)
                    return replace(found, is_dated=self.server_time is not None)
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
        is_first = page == 1 and not reading.is_second
        return self._patiently(
            session, self._url("phone-numbers", page, self.filters), reading, _listed, is_first=is_first
        )

    def ask(self, name: str) -> list[dict[str, Any]] | dict[str, Any]:
        """What one of ``FURTHER`` says now: its rows, those that are no objects left out, or its single object.

        Raises ``ApiError``, ``PutOff``, or what the token's reader raises; idempotent, writes nothing.
        """
        endpoint = FURTHER[name]
        token = _header_value((self.user_token() or "") if endpoint.is_for_users else self.token())
        REDACTOR.learn(token)

        def checked(answer: Answer, now: datetime) -> Answer:
            _check_further(answer, now, endpoint.title)
            return answer

        reading = _Reading(token=token, longest_wait=LONGEST_ASK)
        ends = self.monotonic() + LONGEST_ASK.total_seconds()
        rows: dict[bytes, dict[str, Any]] = {}
        with self._session() as session:
            session.auth = _Bearer(token)
            if not endpoint.pages:
                url = f"{self.base_url.rstrip('/')}/{endpoint.path}"
                return _object(self._patiently(session, url, reading, checked, is_first=True), utc_now())
            for page in range(1, endpoint.pages + 1):
                if self.monotonic() > ends + reading.paced.total_seconds():
                    msg = f"the {endpoint.title} cannot be read whole within {LONGEST_ASK.total_seconds():g} s"
                    raise ServerTrouble(msg)
                url = self._url(endpoint.path, page)
                answer = self._patiently(session, url, reading, checked, is_first=page == 1)
                envelope, _ = _envelope(answer, utc_now())
                before = len(rows)
                rows |= {_identity(raw): row for raw in envelope.data if isinstance(row := _json(raw), dict)}
                total, last_page, more = _paging(envelope)
                is_full = len(envelope.data) == PER_PAGE if total is None else len(rows) < total
                if len(rows) == before or not (more or is_full if last_page is None else page < last_page):
                    break
        return list(rows.values())

    def _url(self, path: str, page: int, filters: Mapping[str, str] | None = None) -> str:
        params = {**(filters or {}), "per_page": str(PER_PAGE)} | ({"page": str(page)} if page > 1 else {})
        return f"{self.base_url.rstrip('/')}/{path}?{urlencode(params)}"

    def _patiently(
        self,
        session: requests.Session,
        url: str,
        reading: _Reading,
        read: Callable[[Answer, datetime], _T],
        *,
        is_first: bool,
    ) -> _T:
        """What ``read`` makes of the answer. A rate limit is waited out, but not where nothing was read yet."""
        patience = timedelta(seconds=1)  # doubled at each refusal of one page, should the provider ask for too little
        while True:
            self._take_turn(reading, is_first=is_first)
            answer = self._request(session, url)
            self.server_time, self.clock_off = _time_of(answer, utc_now())
            reading.size += len(answer.body)
            if reading.size > self.max_bytes:
                raise _too_large(self.max_bytes)
            try:
                found = read(answer, utc_now())
            except RateLimited as error:
                wait = max(error.retry_after or NO_WAIT_GIVEN, patience)
                self.pace.hold(reading.token, wait)
                if is_first or wait > PAGE_WAIT or reading.waited + wait > reading.longest_wait:
                    raise
                reading.waited += wait
                patience *= 2
                self.pause(wait.total_seconds())
                self.progress()
            else:
                self.progress()
                return found

    def _take_turn(self, reading: _Reading, *, is_first: bool) -> None:
        """Wait for the turn of the next request. A turn that is far off is no turn: whoever waits holds up others."""
        longest = self.patience if is_first else PAGE_WAIT
        wait = self.pace.reserve(reading.token, longest)
        if wait > longest:
            if is_first and wait <= SOON:
                msg = f"others with the same token are asking; there is a turn in {wait.total_seconds():.0f} s"
                raise PutOff(msg, wait)
            msg = "the provider asked for a pause of all who use this token"
            raise RateLimited(msg, retry_after=min(wait, LONGEST_WAIT))
        if wait > timedelta(0):
            reading.paced += wait
            self.pause(wait.total_seconds())
            self.progress()

    def _session(self) -> requests.Session:
        try:
            return wire.session(self.proxy, self.ca_file)
        except wire.Unanswered as error:
            raise ServerTrouble(str(error)) from None

    def _request(self, session: requests.Session, url: str) -> Answer:
        """One request within the deadline, whatever drips."""
        asked = wire.Request(
            method="GET",
            url=url,
            headers={"Accept": "application/json"},
            deadline=self.deadline,
            max_bytes=self.max_bytes,
        )
        try:
            return wire.ask(session, asked)
        except wire.TooLarge:
            raise _too_large(self.max_bytes) from None
        except wire.Unanswered as error:
            raise ServerTrouble(str(error)) from None


# --- asking -----------------------------------------------------------------------------------------------------------


def _header_value(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        msg = "the token is empty or holds a blank, a line break or a character that no token has; write it anew"
        raise TokenRejected(msg)
    return token


def _too_large(limit: int) -> NotTheApi:
    return NotTheApi(f"the answer unpacks to more than {limit / 2**20:g} MiB (max_body_mb)")


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
        target = plain(wire.host(str(answer.headers.get("Location", ""))) or "another page")
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


def _check_further(answer: Answer, now: datetime, title: str) -> None:
    """The same for what is read beside the list: the account may not have it."""
    status = answer.status
    if status == 501 or (400 <= status < 500 and status not in (401, 407, 408, 425, 429)):  # noqa: PLR2004
        does_not = "does not offer" if status in (404, 405, 410, 501) else "does not let this token read"
        msg = f"the provider {does_not} the {title} (HTTP {status}{_said(answer.body)})"
        raise NotOffered(msg)
    _check(answer, now)


def _json(body: bytearray | bytes | msgspec.Raw) -> Any:
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
    wait = wire.seconds(answer.headers.get("Retry-After"), now)
    if wait is None:
        said = _json(answer.body[: 2**20])
        if isinstance(said, dict):
            places: list[Any] = [said, said.get("details"), said.get("error")]
            places += [place.get("details") for place in places[2:] if isinstance(place, dict)]
            found = [place.get("retry_after") for place in places if isinstance(place, dict)]
            wait = next((s for value in found if (s := wire.seconds(value, now)) is not None), None)
    if wait is None:
        wait = wire.seconds(answer.headers.get("X-RateLimit-Reset"), now)
    if wait is None:
        return None
    return timedelta(seconds=min(max(wait, 1), LONGEST_WAIT.total_seconds()))


def _time_of(answer: Answer, now: datetime) -> tuple[datetime | None, timedelta | None]:
    """The time that an answer was made, and how far it is from ``now``, None where they agree within minutes."""
    at = _date(answer.headers.get("Date"))
    if at is None:
        return None, None
    age = answer.headers.get("Age", "")
    off = at - now
    if re.fullmatch(r"[0-9]{1,8}", age):  # RFC 9111: it lay in a cache for so many seconds
        off += timedelta(seconds=int(age))
    return now + off, off if abs(off) > CLOCK_OFF else None


def _date(value: str | None) -> datetime | None:
    try:
        at = email.utils.parsedate_to_datetime(value) if value else None
    except (ValueError, TypeError):
        return None
    return at if at is not None and at.tzinfo is not None and 2000 <= at.year < 2200 else None  # noqa: PLR2004 (else no clock)


def _listed(answer: Answer, now: datetime) -> tuple[_Envelope, bool]:
    _check(answer, now)
    return _envelope(answer, now)


def _object(answer: Answer, now: datetime) -> dict[str, Any]:
    """The single object under ``data``, or the whole body where it has no ``data``; empty where nothing is stated."""
    said = _json(answer.body)
    if said is None:
        if _is_html(answer.body) or not answer.body.strip():
            msg = "an HTML page or an empty answer with HTTP 200 instead of JSON; check base_url"
            raise NotTheApi(msg)
        said = _json5(answer.body)
    if not isinstance(said, dict):
        msg = "the answer is JSON, but not the documented object"
        raise NotTheApi(msg)
    if str(said.get("success")).strip().lower() not in _SUCCESS or said.get("error") or said.get("errors"):
        raise _failure(answer, now)
    data = said.get("data", said) or {}
    if not isinstance(data, dict):
        msg = "the answer has no object under data"
        raise NotTheApi(msg)
    return data


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
    return _Envelope(data=[msgspec.Raw(entries.encode(one)) for one in data], **failed, **paging), tolerant


def _json5(body: bytearray) -> Any:
    """JSON that is not valid: with trailing commas, infinite numbers, bytes that are no text, nested too deep."""
    import pyjson5  # noqa: PLC0415 (only a provider that sends broken JSON costs this import)

    text = entries.shallow(bytes(body), entries.DEEPEST + 10).decode("utf-8", "replace")
    try:
        try:
            said = from_json(text)
        except ValueError:
            said = pyjson5.decode(text)
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
    """What makes two entries the same one: id and number, or the whole text where they cannot be read."""
    try:
        one = _ENTRY_ID.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return bytes(raw)
    return f"{one.id} {one.number}".encode()


class _Id(msgspec.Struct, gc=False):
    id: str | int
    number: str | int | None = None


_ENTRY_ID = msgspec.json.Decoder(_Id)


def _listing(raws: list[msgspec.Raw], *, tolerant: bool) -> Listing:
    """The entries by id; another number under an id that is taken comes by both.

    Of two entries of one number under one id, which moved between pages or stand twice, the one that renews sooner counts.
    """
    found: dict[str, Entry] = {}
    numbers: dict[str, dict[str, str]] = {}  # by id: the name of each number, however it is written
    skipped: dict[bytes, InvalidEntry] = {}  # by their text: what moved between pages is skipped once
    for raw in raws:
        try:
            entry = entries.read(raw)
        except (ValueError, RecursionError) as error:
            skipped[bytes(raw)] = InvalidEntry(reason=plain(error))
            continue
        parsed = entry.parsed
        name = parsed.id if type(parsed.id) is str else str(parsed.id)
        called, of_id = bare(parsed.number), numbers.setdefault(name, {})
        if of_id.keys() == {""}:
            of_id[called] = of_id.pop("")
        first = next(iter(of_id.values()), name)  # which one without a number is taken for, too
        name = of_id.setdefault(called, f"{name} {parsed.number}" if of_id and called else first)
        if name not in found or _is_sooner(parsed, found[name].parsed):
            number = parsed.number or (found[name].parsed.number if name in found else None)
            found[name] = _called(entry, name, number)
        elif called and not found[name].parsed.number:
            found[name] = _called(found[name], name, parsed.number)
    return Listing(entries=found, invalid=tuple(skipped.values()), tolerant=tolerant)


def _called(entry: Entry, name: str, number: str | int | None) -> Entry:
    if entry.parsed.id == name and entry.parsed.number == number:
        return entry
    return entry._replace(parsed=msgspec.structs.replace(entry.parsed, id=name, number=number))


def _is_sooner(one: PhoneNumber, other: PhoneNumber) -> bool:
    signs = [(_FAR if n.countdown is None else n.countdown, n.renewal_date or "9") for n in (one, other)]
    return signs[0] < signs[1]
