"""Reads one entry of the list. Pure.

As documented it is decoded at once. Where a field is not as documented that one field counts as unknown and is named; the
rest of the entry is judged as ever, for one odd price must not leave a number unwatched.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from renewal_watch.language import N_
from renewal_watch.model.numbers import Entry, Fault, PhoneNumber, is_countdown, is_day, is_price
from renewal_watch.text import from_json, plain

DEEPEST = 20  # levels of lists and objects within an entry; the API page has three
_SHOWN = 40  # characters of a value that cannot be read
_NUL = rb"\u0000"  # as JSON writes it
_LOST = "\ufffd"  # stands for what cannot be read: a byte that is no text, half of a surrogate pair, what is nested too deep
_SUSPECTS = (_NUL, rb"\ud", rb"\uD", rb"\ufffd", rb"\uFFFD")  # halves of surrogate pairs, among whole ones
_DIGITS = sys.int_info.default_max_str_digits  # more are read by no reader of JSON as a number
_NUL_ESCAPED = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # not where the backslash stands for itself
_DECODE = msgspec.json.Decoder(PhoneNumber, strict=False).decode
_TYPES = {name: kind for name, kind in get_type_hints(PhoneNumber, include_extras=True).items() if name != "id"}
_MEANINGS: dict[str, Callable[[Any], bool]] = {  # beyond their types
    "renewal_date": is_day,
    "days_until_monthly_renewal": is_countdown,
    "current_price": is_price,
    "monthly_renewal_cost": is_price,
}


def read(raw: bytes | msgspec.Raw) -> Entry:
    """The entry; what is not as documented stands in its ``faults``. Raises ValueError where it has no id and no number."""
    text = bytes(raw)
    if _is_plain(text):
        try:
            return Entry(_DECODE(raw), raw)
        except (msgspec.DecodeError, RecursionError):
            pass
    return _field_by_field(_without_nul(text))


def _is_plain(text: bytes) -> bool:
    """Whether nothing of an entry can be lost. The decoder skips fields that it does not know, whatever is in them."""
    if len(text) > _DIGITS or text.count(b"[") + text.count(b"{") > DEEPEST:
        return False
    try:
        is_text = text.isascii() or _LOST not in text.decode()
    except UnicodeDecodeError:
        return False
    return is_text and (
        b"\\" not in text or not any(one in text for one in _SUSPECTS)
    )  # the short question comes first


def _field_by_field(raw: bytes) -> Entry:
    said = clean(decode(raw))
    if not isinstance(said, dict):
        msg = f"it is {_form(said)}"
        raise ValueError(msg)  # noqa: TRY004 (what was sent is wrong, not how this was called)
    found, faults = {}, []
    for field, kind in _TYPES.items():
        if field not in said:
            continue
        try:
            value = msgspec.convert(said[field], kind, strict=False)
        except msgspec.ValidationError:
            faults.append(_fault(field, said[field]))
            continue
        if field in _MEANINGS and not _MEANINGS[field](value):
            faults.append(_fault(field, said[field]))
        elif not _damage(said[field]):
            found[field] = value
    name, number = _name(said.get("id")), _name(said.get("number"))
    if name is None:
        faults.append(_fault("id", said.get("id")))
    if name is None and number is None:
        msg = "it has no id and no number"
        raise ValueError(msg)
    faulty = {fault.field for fault in faults}
    faults += [_fault(field, value) for field, value in said.items() if field not in faulty and _damage([field, value])]
    return Entry(PhoneNumber(id=name or f"{number}", **found), encode(said), tuple(faults))


def _name(value: object) -> str | None:
    """An id or a number as text, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return f"{value:g}" if isinstance(value, float) else str(value).strip() or None


def _fault(field: str, value: object) -> Fault:
    form = _damage(value) or (f"under {_damage(field)}" if _damage(field) else _form(value))
    return Fault(plain(field, _SHOWN), form, plain(json.dumps(value, ensure_ascii=False), _SHOWN))


def _damage(value: object) -> str:
    """Why something that is JSON cannot be read all the same, in words; empty where it can."""
    if isinstance(value, str):
        if _LOST in value:
            return N_("text with a character that cannot be read")
        return N_("a number of thousands of digits") if len(value) > _DIGITS and value.lstrip("-").isdecimal() else ""
    inner = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else []
    if not any(map(_damage, inner)):
        return ""
    return (
        N_("a list that cannot be read whole") if isinstance(value, list) else N_("an object that cannot be read whole")
    )


def _form(value: object) -> str:
    """What a value is, in words."""
    if value is None:
        return "null"
    if value == "":
        return N_("an empty text")
    names: dict[type, str] = {
        bool: N_("true or false"),
        str: N_("text"),
        dict: N_("an object"),
        list: N_("a list"),
    }
    return names.get(type(value), N_("a number"))


# --- text that every reader of the database takes ---------------------------------------------------------------------


def clean(value: Any, depth: int = 0) -> Any:
    """``value`` without what JSON does not have, or not every reader takes.

    Infinite numbers become text; halves of surrogate pairs, NUL and what is nested too deep the replacement character. A
    whole number of thousands of digits is text already (``text.from_json``).
    """
    if isinstance(value, str):
        return _HALF.sub(_LOST, value).replace("\0", _LOST)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if not isinstance(value, dict | list):
        return value
    if depth == DEEPEST:
        return _LOST
    if isinstance(value, list):
        return [clean(one, depth + 1) for one in value]
    return {clean(key): clean(one, depth + 1) for key, one in value.items()}


def encode(value: Any) -> bytes:
    """``value`` as JSON that can always be read again."""
    return json.dumps(clean(value), allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def decode(raw: bytes) -> Any:
    """An entry as Python values, whatever stands in it; see ``clean``. Raises ValueError for what is no JSON."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return clean(from_json(shallow(raw).decode("utf-8", "replace")))


def _without_nul(raw: bytes | msgspec.Raw) -> bytes:
    """The entry with U+FFFD in place of the character NUL, which PostgreSQL keeps in no text."""
    return _NUL_ESCAPED.sub(rb"\1\\ufffd", bytes(raw))


_HALF = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


def shallow(raw: bytes, deepest: int = DEEPEST) -> bytes:
    """JSON with U+FFFD for what is nested deeper than so many levels; decoders give up on too many."""
    parts, depth, start = [], 0, 0
    for token in _TOKEN.finditer(raw):
        if token[0] in (b"[", b"{"):
            if depth == deepest:
                parts += [raw[start : token.start()], json.dumps(_LOST, ensure_ascii=False).encode()]
            depth += 1
        elif token[0] in (b"]", b"}"):
            depth -= 1
            if depth == deepest:
                start = token.end()
    parts.append(raw[start:] if depth <= deepest else b"")
    return b"".join(parts)
