"""Who does something, and from where: what the audit log keeps of a person or a program."""

from __future__ import annotations

from typing import NamedTuple


class Actor(NamedTuple):
    """``name`` stands beside what is done, such as ``web: Anna``; ``origin`` is where it was asked from: a machine, an address."""

    name: str
    origin: str = ""
