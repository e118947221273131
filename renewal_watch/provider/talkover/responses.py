"""What one HTTP answer of the provider says: an error, a wait, a time. Pure."""

from __future__ import annotations

import email.utils
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec

from renewal_watch.errors import (
    ApiError,
    NotOffered,
    NotTheApi,
    RateLimited,
    RequestRefused,
    ServerTrouble,
    TokenRejected,
)
from renewal_watch.provider import http
from renewal_watch.provider.base import CLOCK_OFF
from renewal_watch.provider.http import Answer
from renewal_watch.text import REDACTOR, plain

LONGEST_WAIT = timedelta(hours=6)  # no provider is believed that asks for a longer pause
NO_WAIT_GIVEN = timedelta(seconds=60)  # the rate limits are counted per minute (API introduction)
_TOKEN_CODES = {"INVALID_TOKEN", "UNAUTHORIZED", "UNAUTHENTICATED", "TOKEN_EXPIRED", "MISSING_TOKEN", "FORBIDDEN"}
_TOKEN_WORDS = re.compile(
    r"(?i)\b(unauthori[sz]ed|unauthenticated|missing bearer token|(invalid|expired) token|token (is |has )?(invalid|expired))\b"
)
_RATE_WORDS = re.compile(r"(?i)too many (requests|attempts)|rate.?limit")


def check(answer: Answer, now: datetime) -> None:
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
        target = plain(http.host(str(answer.headers.get("Location", ""))) or "another page")
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


def check_further(answer: Answer, now: datetime, title: str) -> None:
    """The same for what is read beside the list: the account may not have it."""
    status = answer.status
    if status == 501 or (400 <= status < 500 and status not in (401, 407, 408, 425, 429)):  # noqa: PLR2004
        does_not = "does not offer" if status in (404, 405, 410, 501) else "does not let this token read"
        msg = f"the provider {does_not} the {title} (HTTP {status}{_said(answer.body)})"
        raise NotOffered(msg)
    check(answer, now)


def json(body: bytearray | bytes | msgspec.Raw) -> Any:
    """The body as JSON; None where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _said(body: bytearray) -> str:
    """`: the provider's own words` from any of its documented error bodies, or an empty string."""
    said = json(body[: 2**20])
    if not isinstance(said, dict):
        return ": an HTML page" if is_html(body) else ""
    error = said.get("error")
    inner = error if isinstance(error, dict) else {}
    words = [said.get("message") or inner.get("message") or (error if isinstance(error, str) else None)]
    faults = said.get("errors")
    if isinstance(faults, dict):
        words += [f"{key}: {' '.join(map(str, why)) if isinstance(why, list) else why}" for key, why in faults.items()]
    elif isinstance(faults, list):
        words += [f"{fault}" for fault in faults]
    return "".join(f": {plain(REDACTOR.clean(str(word)))}" for word in words if word)


def is_html(body: bytearray) -> bool:
    """Whether a body looks like an HTML page."""
    return body[:512].lstrip()[:1] == b"<"


def _retry_after(answer: Answer, now: datetime) -> timedelta | None:
    """How long to wait: header, then body, then reset time; None if none of them says.

    ``X-RateLimit-Reset`` is documented without a unit: more than a year in seconds can only be a Unix time, and more
    than three thousand years after 1970 only one in milliseconds.
    """
    wait = http.seconds(answer.headers.get("Retry-After"), now)
    if wait is None:
        said = json(answer.body[: 2**20])
        if isinstance(said, dict):
            places: list[Any] = [said, said.get("details"), said.get("error")]
            places += [place.get("details") for place in places[2:] if isinstance(place, dict)]
            found = [place.get("retry_after") for place in places if isinstance(place, dict)]
            wait = next((s for value in found if (s := http.seconds(value, now)) is not None), None)
    if wait is None:
        wait = http.seconds(answer.headers.get("X-RateLimit-Reset"), now)
    if wait is None:
        return None
    return timedelta(seconds=min(max(wait, 1), LONGEST_WAIT.total_seconds()))


def time_of(answer: Answer, now: datetime) -> tuple[datetime | None, timedelta | None]:
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


def failure(answer: Answer, now: datetime) -> ApiError:
    """The error that a ``success: false`` under HTTP 200 stands for."""
    said = json(answer.body)
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
