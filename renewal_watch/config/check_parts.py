"""Parts of the checks: names, patterns, zones. Each fault is a sentence with its key."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from renewal_watch.model import selectors
from renewal_watch.model.kinds import KINDS


def tables_of(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The tables of a section that is a list of them."""
    tables = table.get(key)
    return [one for one in tables if isinstance(one, dict)] if isinstance(tables, list) else []


def twice(tables: list[dict[str, Any]], section: str) -> list[str]:
    """A fault for each name that two tables have."""
    names = [one["name"] for one in tables if isinstance(one.get("name"), str)]
    return [f"{section}.{name}: the name is used twice" for name in sorted({n for n in names if names.count(n) > 1})]


def names_of(tables: list[dict[str, Any]]) -> set[str]:
    """The names of tables."""
    return {one["name"] for one in tables if isinstance(one.get("name"), str)}


def texts(value: Any) -> list[str]:
    """The texts in what may be a list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | dict) else []


def unknown(value: Any, known: set[str] | None, place: str, what: str) -> Iterator[str]:
    """A fault for each name that nothing has; None where all that have one are not known yet."""
    for name in texts(value) if known is not None else ():
        if known is not None and name not in known:
            yield f"{place}: there is no {what} called {name!r}{_meant(name, known)}"


def pattern_faults(value: Any, place: str) -> Iterator[str]:
    """A fault for each pattern that no kind of alert fits."""
    for pattern in texts(value):
        if not fnmatch.filter(KINDS, pattern):
            yield f"{place}: {pattern!r} matches no kind of alert{_meant(pattern, KINDS)}"


def _meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the known one most like it, if any is."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def hider_faults(value: Any, place: str) -> Iterator[str]:
    """A fault for each pattern that would hide nothing: what the watch says of itself must be named."""
    for pattern in texts(value):
        if fnmatch.filter(KINDS, pattern) and not any(selectors.hides(pattern, kind) for kind in KINDS):
            yield f"{place}: {pattern!r} hides nothing; the service's own kinds are named in full before the dot, such as watch.*"
        else:
            yield from pattern_faults([pattern], place)


def zone_fault(zone: str) -> str | None:
    """Why a zone cannot be used; None if it can."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return f"{zone!r} is not a zone of the IANA database; write it like Europe/Berlin"
    return None


def proxy_faults(one: dict[str, Any], place: str) -> Iterator[str]:
    """Faults of ``proxy`` and ``ca_file``."""
    proxy = one.get("proxy")
    if isinstance(proxy, str) and not re.match(r"^https?://[^/]", proxy):
        yield f"{place}.proxy: write it like http://proxy.example:3128"
    ca_file = one.get("ca_file")
    if isinstance(ca_file, str) and not Path(ca_file).is_file():
        yield f"{place}.ca_file: there is no file {ca_file}"
