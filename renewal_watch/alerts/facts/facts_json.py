"""Facts as they are kept beside an alert: JSON, with the name of what happened in ``type``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import msgspec

from renewal_watch.alerts import around
from renewal_watch.alerts.facts import quoting_facts, renewal_facts
from renewal_watch.model.facts import Around, Facts, Number
from renewal_watch.model.numbers import PhoneNumber

ALL = quoting_facts.ALL
_DECODER = msgspec.json.Decoder(Union[ALL])  # noqa: UP007 (of a tuple that is made there)
_AROUND = msgspec.json.Decoder(tuple[around.ANY, ...])
_ENCODER = msgspec.json.Encoder()


def encode(facts: Facts) -> str | None:
    """Facts as they are kept; None for some that JSON cannot hold, such as a file's name that is no text: their words do."""
    try:
        return _ENCODER.encode(facts).decode()
    except UnicodeEncodeError:
        return None


def encode_around(those: Sequence[Around]) -> str | None:
    """What is added to facts, as it is kept; None where JSON cannot hold it."""
    if not those:
        return "[]"
    try:
        return _ENCODER.encode(those).decode()
    except UnicodeEncodeError:
        return None


def decode_around(text: str | None) -> tuple[Around, ...] | None:
    """What was kept; None where nothing is known of it: of an older release, or one that is newer than this."""
    if text is None:
        return None
    try:
        return _AROUND.decode(text)
    except msgspec.DecodeError:  # of a newer release, or damaged
        return None


def today(facts: Facts, number: PhoneNumber | None, at: str, left: int | None, on: int | None) -> Facts | None:
    """Kept facts of a number as it is now, with the days that are left; None for others, and where the days do not fit."""
    fields = set(facts.__struct_fields__)
    if "number" not in fields or "on" not in fields:
        return None
    seen: dict[str, Any] = {"at": at} | ({} if number is None else {"number": Number.of(number)})
    if left is None or on is None:
        return msgspec.structs.replace(facts, **seen) if getattr(facts, "left", 0) is None else None
    if "late" in fields:
        return msgspec.structs.replace(facts, late=-left, on=on, **seen) if left < 0 else None
    if left < 0 and isinstance(facts, renewal_facts.Ahead):
        return None
    return msgspec.structs.replace(facts, left=left, on=on, **seen)


def decode(text: str | None) -> Facts | None:
    """The facts that were kept; None for none, and for those of a newer release that this one does not know."""
    if text is None:
        return None
    try:
        kept: Facts = _DECODER.decode(text)
    except msgspec.DecodeError:  # of a newer release, or damaged
        return None
    return kept
