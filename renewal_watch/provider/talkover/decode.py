"""Reads the body of a list, or of an object, into entries. Pure."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import msgspec

from renewal_watch.errors import NotTheApi, ServerTrouble
from renewal_watch.model.notation import bare
from renewal_watch.model.numbers import Entry, InvalidEntry, Listing, PhoneNumber
from renewal_watch.provider import entries
from renewal_watch.provider.http import Answer
from renewal_watch.provider.talkover.responses import check, failure, is_html, json
from renewal_watch.text import from_json, plain

log = logging.getLogger(__name__)

_FAR = 1_000_000  # days; further than any countdown
_SUCCESS = {"none", "true", "1"}  # forms of success: anything else is a failure, an empty text included
_MORE = ("next_page_url", "next_cursor", "has_more", "has_more_pages", "next")


class Envelope(msgspec.Struct):
    """A page of the list as documented; its entries are not decoded yet."""

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


def listed(answer: Answer, now: datetime) -> tuple[Envelope, bool]:
    """A page of the list, and whether the tolerant parser was needed. Raises ApiError."""
    check(answer, now)
    return envelope_of(answer, now)


def object_of(answer: Answer, now: datetime) -> dict[str, Any]:
    """The single object under ``data``, or the whole body where it has no ``data``; empty where nothing is stated."""
    said = json(answer.body)
    if said is None:
        if is_html(answer.body) or not answer.body.strip():
            msg = "an HTML page or an empty answer with HTTP 200 instead of JSON; check base_url"
            raise NotTheApi(msg)
        said = _json5(answer.body)
    if not isinstance(said, dict):
        msg = "the answer is JSON, but not the documented object"
        raise NotTheApi(msg)
    if str(said.get("success")).strip().lower() not in _SUCCESS or said.get("error") or said.get("errors"):
        raise failure(answer, now)
    data = said.get("data", said) or {}
    if not isinstance(data, dict):
        msg = "the answer has no object under data"
        raise NotTheApi(msg)
    return data


def envelope_of(answer: Answer, now: datetime) -> tuple[Envelope, bool]:
    """The envelope of a 200, and whether the tolerant parser was needed."""
    body = answer.body
    if not body[:1024].strip() and not body.strip():  # a strip of the whole would copy it
        msg = "an empty answer with HTTP 200 instead of a list"
        raise NotTheApi(msg)
    tolerant = False
    try:
        envelope = msgspec.json.decode(body, type=Envelope)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        envelope, tolerant = _envelope_tolerant(body)
    if str(envelope.success).strip().lower() not in _SUCCESS or envelope.error or envelope.errors:
        raise failure(answer, now)
    return envelope, tolerant


def _envelope_tolerant(body: bytearray) -> tuple[Envelope, bool]:
    """What the strict reading refused: another shape, or JSON as the documentation prints it (trailing commas)."""
    tolerant = False
    said = json(body)
    if said is None:
        if is_html(body):
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
    return Envelope(data=[msgspec.Raw(entries.encode(one)) for one in data], **failed, **paging), tolerant


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


def pages_of(envelope: Envelope) -> tuple[int | None, int | None, bool]:
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


def identity(raw: msgspec.Raw) -> bytes:
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


def listing_of(raws: list[msgspec.Raw], *, tolerant: bool) -> Listing:
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
