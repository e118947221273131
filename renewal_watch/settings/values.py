"""What a value of the configuration may be: lengths of time, severities, days."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds
LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$")
SHORTEST_POLL_S = 10
LONGEST = timedelta(
    seconds=60
)  # of a command or webhook: with room below the lease of a message (store.outbox.deliveries)
Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,5}[smhd]$(?!\n)", description="a whole number and s, m, h or d")]
DurationOrOff = Annotated[str, Meta(pattern=r"^([1-9][0-9]{0,5}[smhd]|off)$(?!\n)", description='a duration or "off"')]
KeptDays = Annotated[int, Meta(ge=1, le=36_500)]


def duration(text: str) -> timedelta:
    """``90s``, ``15m``, ``6h``, ``2d`` as a length of time."""
    return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])


def duration_or_none(text: str) -> timedelta | None:
    """The same, None for ``off``."""
    return None if text == "off" else duration(text)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section of the file; keys that it does not have are refused."""


S = TypeVar("S", bound=msgspec.Struct)


def readable(path: Path | str) -> str:
    """A path or a part of it, with a mark for each byte that is no text."""
    return os.fsencode(path).decode(errors="replace")
