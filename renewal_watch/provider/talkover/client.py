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

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

import requests
from requests.auth import AuthBase

from renewal_watch.clock import utc_now
from renewal_watch.errors import NotTheApi, PutOff, RateLimited, ServerTrouble, TokenRejected
from renewal_watch.model.numbers import Listing
from renewal_watch.provider import http
from renewal_watch.provider.base import PATIENCE, SOON, Answered, Endpoint, Pace, Unpaced
from renewal_watch.provider.http import Answer
from renewal_watch.provider.talkover import account
from renewal_watch.provider.talkover.decode import (
    Envelope,
    envelope_of,
    identity,
    listed,
    listing_of,
    object_of,
    pages_of,
)
from renewal_watch.provider.talkover.endpoints import FURTHER
from renewal_watch.provider.talkover.reading import Reading
from renewal_watch.provider.talkover.responses import LONGEST_WAIT, NO_WAIT_GIVEN, check_further, json, time_of
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.values import duration
from renewal_watch.text import REDACTOR

log = logging.getLogger(__name__)
PER_PAGE = 100  # the documented maximum of the provider's paged lists
PASSES = 3  # readings of a list that keeps changing before it is given up as an error
MAX_PAGES = 20_000  # 2 million numbers; beyond it the pages are taken for endless
PAGE_WAIT = timedelta(seconds=120)  # a pause asked between two pages is waited out up to this …
LONGEST_ASK = timedelta(seconds=60)  # all pages of one endpoint beside the list, and the pauses between them
_T = TypeVar("_T")


class _Bearer(AuthBase):
    """Sets the header through requests' own hook, which a netrc cannot replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self._token}"
        return r


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
        reading, before = Reading(token=token), None
        with self._session() as session:
            session.auth = _Bearer(token)
            for _ in range(PASSES):
                reading = self._read_pages(session, Reading(token=token, is_second=before is not None))
                if reading.ended and not reading.lacks and (not reading.moved or reading.names == before):
                    found = listing_of(reading.entries, tolerant=reading.tolerant)
                    return replace(found, is_dated=self.server_time is not None)
                log.info("the list changed while its pages were read, or is not whole; reading it again")
                before = reading.names if reading.ended else set()
        if reading.lacks:
            raise NotTheApi(reading.lacks)
        msg = f"the list kept changing while its pages were read, {PASSES} times in a row"
        raise ServerTrouble(msg)

    def _read_pages(self, session: requests.Session, reading: Reading) -> Reading:
        """All pages once, from the front; follows page numbers only, never an address from an answer."""
        for page in range(1, MAX_PAGES + 1):
            envelope, tolerant = self._page(session, page, reading)
            data = envelope.data
            reading.tolerant |= tolerant
            total, last_page, more = pages_of(envelope)
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

    def _page(self, session: requests.Session, page: int, reading: Reading) -> tuple[Envelope, bool]:
        """One page. Between pages a rate limit is waited out; at the very first it is an error."""
        is_first = page == 1 and not reading.is_second
        return self._patiently(
            session, self._url("phone-numbers", page, self.filters), reading, listed, is_first=is_first
        )

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """What can be asked beside the list."""
        return FURTHER

    def ask(self, name: str) -> Answered:
        """What one of ``FURTHER`` says now, as values. Raises like ``read``."""
        said = self.read(name)
        return Answered(account.content(name, said), account.faults(name, said))

    def last_call(self, number: str, since: date) -> datetime | None:
        """When a number last called or was called, of its calls since that day. Raises like ``read``.

        The order of the calls is not documented: all that the search finds are read, up to the endpoint's pages.
        """
        found = self.read("calls", {"search": number, "date_from": since.isoformat()})
        return account.last_call(found if isinstance(found, list) else [found], number)

    def read(self, name: str, filters: Mapping[str, str] | None = None) -> list[dict[str, Any]] | dict[str, Any]:
        """What one of ``FURTHER`` says now: its rows, those that are no objects left out, or its single object.

        Raises ``ApiError``, ``PutOff``, or what the token's reader raises; idempotent, writes nothing.
        """
        endpoint = FURTHER[name]
        token = _header_value((self.user_token() or "") if endpoint.is_for_users else self.token())
        REDACTOR.learn(token)

        def checked(answer: Answer, now: datetime) -> Answer:
            check_further(answer, now, endpoint.title)
            return answer

        reading = Reading(token=token, longest_wait=LONGEST_ASK)
        ends = self.monotonic() + LONGEST_ASK.total_seconds()
        rows: dict[bytes, dict[str, Any]] = {}
        with self._session() as session:
            session.auth = _Bearer(token)
            if not endpoint.pages:
                url = f"{self.base_url.rstrip('/')}/{endpoint.path}"
                return object_of(self._patiently(session, url, reading, checked, is_first=True), utc_now())
            for page in range(1, endpoint.pages + 1):
                if self.monotonic() > ends + reading.paced.total_seconds():
                    msg = f"the {endpoint.title} cannot be read whole within {LONGEST_ASK.total_seconds():g} s"
                    raise ServerTrouble(msg)
                url = self._url(endpoint.path, page, filters)
                answer = self._patiently(session, url, reading, checked, is_first=page == 1)
                envelope, _ = envelope_of(answer, utc_now())
                before = len(rows)
                rows |= {identity(raw): row for raw in envelope.data if isinstance(row := json(raw), dict)}
                total, last_page, more = pages_of(envelope)
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
        reading: Reading,
        read: Callable[[Answer, datetime], _T],
        *,
        is_first: bool,
    ) -> _T:
        """What ``read`` makes of the answer. A rate limit is waited out, but not where nothing was read yet."""
        patience = timedelta(seconds=1)  # doubled at each refusal of one page, should the provider ask for too little
        while True:
            self._take_turn(reading, is_first=is_first)
            answer = self._request(session, url)
            self.server_time, self.clock_off = time_of(answer, utc_now())
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

    def _take_turn(self, reading: Reading, *, is_first: bool) -> None:
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
            return http.session(self.proxy, self.ca_file)
        except http.Unanswered as error:
            raise ServerTrouble(str(error)) from None

    def _request(self, session: requests.Session, url: str) -> Answer:
        """One request within the deadline, whatever drips."""
        asked = http.Request(
            method="GET",
            url=url,
            headers={"Accept": "application/json"},
            deadline=self.deadline,
            max_bytes=self.max_bytes,
        )
        try:
            return http.ask(session, asked)
        except http.TooLarge:
            raise _too_large(self.max_bytes) from None
        except http.Unanswered as error:
            raise ServerTrouble(str(error)) from None


def _header_value(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        msg = "the token is empty or holds a blank, a line break or a character that no token has; write it again"
        raise TokenRejected(msg)
    return token


def _too_large(limit: int) -> NotTheApi:
    return NotTheApi(f"the answer unpacks to more than {limit / 2**20:g} MiB (max_body_mb)")


open_provider = Client.of
