"""Facts as they are kept beside an alert: JSON, with the name of what happened in ``type``. Pure."""

from __future__ import annotations

from typing import Union

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
from renewal_watch.model.facts import Facts, Written

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
encode = msgspec.json.Encoder().encode


def today(facts: Facts, left: int | None, on: int | None) -> Facts | None:
    """Kept facts of a number with the days that are left now; None for those that count no days."""
    if not {"left", "on"} <= set(facts.__struct_fields__):
        return None
    return msgspec.structs.replace(facts, left=left, on=on)


def decode(text: str | None) -> Facts | None:
    """The facts that were kept; None for none, and for those of a newer release that this one does not know."""
    if text is None:
        return None
    try:
        kept: Facts = _DECODER.decode(text)
    except msgspec.ValidationError:
        return None
    return kept
