"""What somebody means to silence: the matchers and kinds that are given, checked; and what is silenced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Suppressor
from renewal_watch.model.kinds import KINDS, OWN
from renewal_watch.model.policy import Match, Silence
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.silences import list_silences

_ENDED = timedelta(days=30)  # that are still shown where all are wanted


def meant(
    wanted: Mapping[str, Any], kinds: Sequence[str], settings: Settings, *, everything: bool, dashes: str = "--"
) -> Match:
    """The matchers, by their keys; ``dashes`` stand before the names of options. Raises UsageError."""
    match = _match(dict(wanted), kinds, settings, dashes)
    is_all = all(selectors.is_silenced(tuple(kinds), one) for one in KINDS if one.partition(".")[0] not in OWN)
    if match == Match() and is_all and not everything:
        msg = f"say what to silence, such as {dashes}number +4930* or {dashes}environment test"
        if dashes:  # only a command silences everything
            msg += f"; everything is {dashes}all"
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


def silences(tx: Transaction, now: datetime, *, everything: bool = False) -> list[tuple[Silence, int]]:
    """The silences that hold, or with ``everything`` also those that ended lately; each with how many incidents it hides."""
    found = list_silences(tx, since=now - _ENDED if everything else None)
    hiders = [incident.suppressor for incident in incidents_of(tx).values()]
    return [(one, hiders.count(Suppressor.of("silence", one.pk))) for one in found if everything or one.is_active(now)]
