"""What somebody means to silence: the matchers and kinds that are given, checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from renewal_watch.errors import UsageError
from renewal_watch.model import selectors
from renewal_watch.model.kinds import KINDS
from renewal_watch.model.policy import Match
from renewal_watch.settings.whole import Settings


def meant(
    wanted: Mapping[str, Any], kinds: Sequence[str], settings: Settings, *, everything: bool, dashes: str = "--"
) -> Match:
    """The matchers, by their keys; ``dashes`` stand before the names of options. Raises UsageError."""
    match = _match(dict(wanted), kinds, settings, dashes)
    if match == Match() and all(kind == "*" for kind in kinds) and not everything:
        msg = (
            f"say what to silence, such as {dashes}number +4930* or {dashes}environment test; everything is {dashes}all"
        )
        raise UsageError(msg)
    if selectors.is_about_the_watch(kinds) and selectors.names_numbers(match):
        msg = (
            f"{dashes}kind: {', '.join(kinds)} is about the service itself, not about numbers; "
            f"narrow it by {dashes}environment only"
        )
        raise UsageError(msg)
    return match


def _match(wanted: dict[str, Any], kinds: Sequence[str], settings: Settings, dashes: str) -> Match:
    for kind in kinds:
        if not any(selectors.hides(kind, one) for one in KINDS):
            msg = f"{dashes}kind: {kind!r} matches no kind of alert; such as: renewal.*, status.changed, watch.*"
            raise UsageError(msg)
    for name in wanted.get("environments", ()):
        settings.environment(name)
    for number in wanted.get("numbers", ()):
        if not selectors.is_number(number):
            msg = f"{dashes}number: {number!r} is not a number; write it like +493012345 or +4930*"
            raise UsageError(msg)
    if "auto_renewal" in wanted:
        wanted["auto_renewal"] = wanted["auto_renewal"] in ("on", True)
    try:
        return msgspec.convert(wanted, Match, strict=False)
    except msgspec.ValidationError as error:
        msg = f"what to silence is not understood: {error}"
        raise UsageError(msg) from None
