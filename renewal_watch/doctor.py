"""What ``doctor`` finds: token, database, channels, permissions, clock, engine. Looks, asks the provider once, sends nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from renewal_watch.channels import AppriseChannel
from renewal_watch.config import Channel, Environment, Settings
from renewal_watch.errors import ApiError, ConfigError, RenewalWatchError
from renewal_watch.inventory import inventory_faults
from renewal_watch.messages import numbers
from renewal_watch.model import InvalidEntry
from renewal_watch.report import orphaned
from renewal_watch.schema import sqlite_path, wal_is_safe
from renewal_watch.store import Store
from renewal_watch.talkover import Client
from renewal_watch.text import plain
from renewal_watch.wording import template_faults

CLOCK_OFF_S = 300  # days are counted, so minutes do no harm; more is a clock that nobody sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: fine, or what to do."""

    ok: bool
    text: str


def examine(settings: Settings, secret_faults: list[str]) -> list[Finding]:
    """Every finding, in the order in which they are best mended."""
    return [
        Finding(ok=True, text=f"configuration {settings.path}"),
        *(Finding(ok=False, text=fault) for fault in secret_faults),
        *([] if settings.channels else [Finding(ok=False, text="no [[channels]]: nobody is told; add one")]),
        *(Finding(ok=False, text=fault) for fault in (*template_faults(settings), *inventory_faults(settings))),
        *_permissions(settings),
        *_database(settings),
        *(f for one in settings.environments if not _named(one.name, secret_faults) for f in _provider(one)),
        *_channels([one for one in settings.channels if not _named(one.name, secret_faults)]),
    ]


def _permissions(settings: Settings) -> Iterator[Finding]:
    files = [one.token_file for one in settings.environments] + [one.url_file for one in settings.channels]
    for name in filter(None, files):
        path = Path(name).expanduser()
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding(ok=False, text=f"others can read the secret in {path}; run: chmod 600 {path}")


def _database(settings: Settings) -> Iterator[Finding]:
    path = sqlite_path(settings.database_url)
    try:
        is_there = path is not None and path.exists()
    except PermissionError:
        yield Finding(ok=False, text=f"{path} cannot be reached by this user; run it with sudo")
        return
    place = path if is_there and path is not None else settings.state_dir
    while not place.exists():
        place = place.parent
    for needed in {place, place if place.is_dir() else place.parent}:
        if not os.access(needed, os.W_OK):
            yield Finding(
                ok=False, text=f"this user cannot write {needed}; run it with sudo, or as the user of the service"
            )
            return
    if path is None or not is_there:
        yield Finding(ok=True, text=f"no database yet at {path}; the first poll makes it")
        return
    if path.stat().st_mode & 0o077:
        yield Finding(ok=False, text=f"others can read the database; run: chmod 600 {path}")
    store: Store | None = None
    try:
        store = Store(settings.database_url)
        store.require_current()
        faults = store.check()
        with store.transaction() as tx:
            orphans = tx.orphans([channel.name for channel in settings.channels])
        for name, count in orphans.items():
            yield Finding(ok=False, text=orphaned(name, count))
        if faults:
            yield Finding(ok=False, text=f"database {path}: {faults[0]}; run: renewal-watch db restore FILE")
        else:
            mode = (
                "write-ahead log" if wal_is_safe() else "rollback journal (this SQLite's write-ahead log can corrupt)"
            )
            yield Finding(ok=True, text=f"database {path}: sound; SQLite {sqlite3.sqlite_version}, {mode}")
    except RenewalWatchError as error:
        yield Finding(ok=False, text=str(error))
    finally:
        if store is not None:
            store.close()


def _first(entry: InvalidEntry) -> str:
    return f"{plain(entry.number or entry.id or 'one without id and number')}: {plain(entry.reason)}"


def _provider(environment: Environment) -> Iterator[Finding]:
    source = Client.of(environment, time.sleep)
    try:
        listing = source.fetch()
    except (ApiError, ConfigError) as error:
        yield Finding(ok=False, text=f"{environment.name}: {error}")
    else:
        yield Finding(ok=True, text=f"{environment.name}: token accepted, {numbers(len(listing.entries))}")
        if listing.invalid:
            yield Finding(
                ok=False,
                text=f"{environment.name}: {len(listing.invalid)} entries cannot be read, the first: {_first(listing.invalid[0])}",
            )
    if source.server_time is not None:
        off = abs((datetime.now(UTC) - source.server_time).total_seconds())
        if off > CLOCK_OFF_S:
            text = f"this machine's clock and the provider's differ by {off:.0f} s; set it, or days are counted wrong"
            yield Finding(ok=False, text=text)
        else:
            yield Finding(ok=True, text=f"clock agrees with {environment.name}'s")


def _named(name: str, faults: list[str]) -> bool:
    """Whether a fault was told already of what is called ``name``."""
    return any(f".{name}." in fault for fault in faults)


def _channels(channels: list[Channel]) -> Iterator[Finding]:
    for channel in channels:
        sender = AppriseChannel(channel.name, channel.read_url)
        try:
            sender.limits()
            text = f"channel {channel.name}: understood by Apprise {version('apprise')}; try it: renewal-watch test-channel {channel.name}"
            yield Finding(ok=True, text=text)
        except ConfigError as error:
            yield Finding(ok=False, text=str(error))
        finally:
            sender.close()
