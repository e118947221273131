"""Facts as they are kept beside an alert: JSON, with the name of what happened in ``type``. Pure."""

from __future__ import annotations

from typing import Any, Union

import msgspec

from renewal_watch.alerts import (
    account_facts,
    api_facts,
    around,
    list_facts,
    number_facts,
    release_facts,
    renewal_facts,
    service_facts,
)
from renewal_watch.model.facts import Facts, Number, Written
from renewal_watch.model.numbers import PhoneNumber

_MODULES = (renewal_facts, number_facts, release_facts, account_facts, list_facts, api_facts, service_facts, around)
ALL: tuple[type[Facts], ...] = (
    Written,
    *(
        one
        for module in _MODULES
        for one in vars(module).values()
        if isinstance(one, type)
        and issubclass(one, Facts)
        and one.__module__ == module.__name__
        and "words" in vars(one)
    ),
)
_DECODER = msgspec.json.Decoder(Union[ALL])  # noqa: UP007 (of a tuple that is made here)
_ENCODER = msgspec.json.Encoder()


def encode(facts: Facts) -> str | None:
    """Facts as they are kept; None for some that JSON cannot hold, such as a file's name that is no text: their words do."""
    try:
        return _ENCODER.encode(facts).decode()
    except UnicodeEncodeError:
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
    except msgspec.ValidationError:
        return None
    return kept
