"""One call from its arguments to its answer: what is asked is checked, what is given is bounded and made harmless."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from renewal_watch.alerts.phrases import in_zone
from renewal_watch.database.store import Store
from renewal_watch.errors import UsageError
from renewal_watch.model.actor import Actor
from renewal_watch.reports import tables
from renewal_watch.settings.whole import Settings
from renewal_watch.text import printable
from renewal_watch.web.api.asked import Refused
from renewal_watch.web.api.tools import Call, Tool, checked

_LONGEST = 400_000  # characters of an answer
_LONGEST_TEXT = 2000  # of one text in it


@dataclass(frozen=True, slots=True)
class Watch:
    """What every call stands on."""

    settings: Settings
    clock: Callable[[], datetime]
    actor: Actor


def answered(watch: Watch, tool: Tool, arguments: Mapping[str, Any]) -> str:
    """The answer as JSON. Raises RenewalWatchError."""
    values = checked(tool, arguments)
    with in_zone(watch.settings.timezone), _opened(watch.settings, writes=tool.acts) as store:
        call = Call(settings=watch.settings, store=store, values=values, now=watch.clock(), actor=watch.actor)
        try:
            said = tool.run(call)
        except Refused as refused:
            raise UsageError(refused.detail) from None
    text = json.dumps(harmless(json.loads(tables.dumps(said))), ensure_ascii=False)
    if len(text) > _LONGEST:
        msg = "the answer would be too long to be read; narrow the question, or ask for less at once"
        raise UsageError(msg)
    return text


@contextmanager
def _opened(settings: Settings, *, writes: bool) -> Iterator[Store]:
    """The database as it is now; none is made or brought up to date for an assistant. Raises StoreError."""
    for reads_only in [True, False] if writes else [True]:
        store = Store(settings.database_url, reads_only=reads_only)
        try:
            store.require_current()
            if reads_only != writes:
                yield store
        finally:
            store.close()


def harmless(value: Any) -> Any:
    """A JSON document in which every text is one line, without control codes and changes of direction, and not endless."""
    if isinstance(value, str):
        return printable(value, _LONGEST_TEXT)
    if isinstance(value, dict):
        return {printable(key, _LONGEST_TEXT): harmless(one) for key, one in value.items()}
    if isinstance(value, list):
        return [harmless(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
