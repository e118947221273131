"""Daemons that share a database. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A daemon that shares its database with others, ``seen_at`` the last time.

    ``polled`` and ``sent`` count what it did since its start; ``holds`` and ``messages`` are what it is at.
    """

    id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    polled: int
    sent: int
    is_alive: bool
    holds: tuple[str, ...] = ()
    messages: int = 0


class Seen(NamedTuple):
    """When a daemon of this database was last there, whether it is there now, and since when; None: not known."""

    at: datetime
    is_there: bool
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What one instance may do and no other."""

    name: str
    token: str
