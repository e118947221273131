"""What ``doctor`` finds: token, database, channels, permissions, clock, engine. Looks, asks the provider once, sends nothing."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from renewal_watch.alerts.facts import list_facts
from renewal_watch.alerts.phrases import instant, numbers, orphaned
from renewal_watch.channels.senders import faults_of
from renewal_watch.clock import Clock
from renewal_watch.database.sqlite import sqlite_path, wal_is_safe
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import flaws
from renewal_watch.diagnostics import health
from renewal_watch.diagnostics.hints import hints
from renewal_watch.errors import ApiError, ConfigError, NotOffered, RenewalWatchError
from renewal_watch.inventory.file import checked
from renewal_watch.notify.message.wording import template_faults
from renewal_watch.operations import account_poll
from renewal_watch.operations.heartbeat import calendar
from renewal_watch.provider.base import CLOCK_OFF, SOON, Provider
from renewal_watch.provider.http import host
from renewal_watch.provider.opening import open_provider
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.secrets import has_secret
from renewal_watch.settings.sections import Account
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.oncall import untold
from renewal_watch.store.incidents.timers import fired_at
from renewal_watch.store.maintenance import backups, integrity_file, server
from renewal_watch.store.outbox.waiting import orphaned_deliveries
from renewal_watch.store.rate_limit import Rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: fine, or what to do."""

    ok: bool
    text: str


def examine(settings: Settings, secret_faults: list[str], clock: Clock) -> list[Finding]:
    """Every finding, in the order in which they are best mended."""
    records, inventory_faults = checked(settings)
    return [
        Finding(ok=True, text=f"configuration {settings.path}"),
        *(Finding(ok=False, text=f"{one.place}: {fault}") for one in settings.broken for fault in one.faults),
        *(Finding(ok=False, text=fault) for fault in (*settings.dangling, *secret_faults)),
        *([] if settings.channels else [Finding(ok=False, text="no [[channels]]: nobody is told; add one")]),
        *(Finding(ok=False, text=fault) for fault in (*template_faults(settings), *inventory_faults)),
        *(Finding(ok=False, text=hint) for hint in hints(settings, records)),
        *_permissions(settings),
        *([] if _has_fault("database.url", secret_faults) else _database(settings, clock)),
        *_providers(
            settings,
            [one for one in settings.environments if not _has_fault(f"environments.{one.name}.token", secret_faults)],
            clock,
        ),
        *_channels([one for one in settings.channels if not _has_fault(f"channels.{one.name}.", secret_faults)]),
        *_heartbeats(settings),
    ]


def _permissions(settings: Settings) -> Iterator[Finding]:
    files = [(one.token_file, one.user_token_file, one.heartbeat_file) for one in settings.environments]
    files += [(one.url_file, one.webhook_file, one.key_file) for one in settings.channels]
    files.append((settings.database.url_file, None, None))
    for name in (name for those in files for name in those if name):
        path = Path(name).expanduser()
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding(ok=False, text=f"others can read the secret in {path}; run: chmod 600 {path}")


def _database(settings: Settings, clock: Clock) -> Iterator[Finding]:
    url = settings.database_url
    path = sqlite_path(url)
    try:
        if path is not None:
            yield from _file(settings, url, path, clock())
        else:
            yield from _server(settings, url, clock)
    except RenewalWatchError as error:
        yield Finding(ok=False, text=str(error))


def _server(settings: Settings, url: str, clock: Clock) -> Iterator[Finding]:
    with closing(Store(url, reads_only=True)) as store:
        for seen in server.look(store, clock):
            yield Finding(ok=seen.is_fine, text=seen.text)
        if store.revision() is None:
            return
        store.require_current()
        with store.reading() as tx:
            yield from _at_work(settings, tx, clock())


def _at_work(settings: Settings, tx: Transaction, now: datetime) -> Iterator[Finding]:
    """The daemon, messages that nobody takes, and backups."""
    for one in health.daemon(tx, settings, now):
        yield Finding(ok=one.ok, text=one.reason)
    for name, count in orphaned_deliveries(tx, [channel.name for channel in settings.channels]).items():
        yield Finding(ok=False, text=orphaned(name, count))
    for channel in settings.channels:
        count, error = untold(tx, channel.name) if channel.is_oncall else (0, None)
        if count:
            some = "1 incident" if count == 1 else f"{count} incidents"
            yield Finding(
                ok=False,
                text=f"channel {channel.name}: how {some} stand{'s' * (count == 1)} could not be told: {error}",
            )
    yield from _backups(settings, backups.State.of(fired_at(tx, backups.CALENDAR)))


def _file(settings: Settings, url: str, path: Path, now: datetime) -> Iterator[Finding]:
    try:
        is_there = path.exists()
    except PermissionError:
        yield Finding(ok=False, text=f"{path} cannot be reached by this user; run it with sudo")
        return
    place = path if is_there else settings.state_dir
    while not place.exists():
        place = place.parent
    for needed in {place, place if place.is_dir() else place.parent}:
        if not os.access(needed, os.W_OK):
            yield Finding(
                ok=False, text=f"this user cannot write {needed}; run it with sudo, or as the user of the service"
            )
            return
    if not is_there:
        yield Finding(ok=True, text=f"no database yet at {path}; the first poll makes it")
        return
    if path.stat().st_mode & 0o077:
        yield Finding(ok=False, text=f"others can read the database; run: chmod 600 {path}")
    with closing(Store(url)) as store:
        store.require_current()
        faults = integrity_file.of_file(path)
        with store.transaction() as tx:
            journal = tx.rows("PRAGMA journal_mode").fetchone()[0]
            found = list(_at_work(settings, tx, now))
        if faults:
            yield Finding(ok=False, text=f"database {path}: {faults[0]}")
        else:
            mode = "write-ahead log" if journal == "wal" else "rollback journal"
            mode += "" if wal_is_safe() else " (this SQLite's write-ahead log can corrupt)"
            yield Finding(ok=True, text=f"database {path}: sound; SQLite {sqlite3.sqlite_version}, {mode}")
        yield from found


def _backups(settings: Settings, state: backups.State) -> Iterator[Finding]:
    folder = settings.backup.path
    if not settings.backup.directory:
        text = "no scheduled backups; name a directory in [backup], or use: renewal-watch db backup FILE"
        yield Finding(ok=True, text=text)
    elif state.fault is not None:
        yield Finding(ok=False, text=f"the last backup failed: {state.fault}")
    elif not os.access(folder if folder.is_dir() else folder.parent, os.W_OK | os.X_OK):
        text = f"backup.directory: this user cannot write {folder}; let the service's user write it"
        yield Finding(ok=False, text=text)
    elif state.good_at is None:
        yield Finding(ok=True, text=f"no backup in {folder} yet; the daemon makes the first when it starts")
    else:
        yield Finding(ok=True, text=f"last backup {state.file}, of {instant(state.good_at)}")


def _providers(settings: Settings, those: Sequence[Environment], clock: Clock) -> Iterator[Finding]:
    """Each provider is asked in its turn, which the daemon on the same database shares, if there is one."""
    with contextlib.ExitStack() as stack:
        rates: Rates | None = None
        path = sqlite_path(settings.database_url)
        try:
            if path is None or path.exists():
                store = stack.enter_context(closing(Store(settings.database_url)))
                store.require_current()
                rates = Rates(store, clock)
        except (OSError, RenewalWatchError):
            pass  # told with the database
        for one in those:
            pace = rates.pace(one, settings.environments) if rates else None
            yield from _provider(one, settings.account, open_provider(one, time.sleep, pace=pace, patience=SOON), clock)


def _provider(environment: Environment, account: Account, source: Provider, clock: Clock) -> Iterator[Finding]:
    try:
        listing = source.fetch()
    except (ApiError, ConfigError) as error:
        yield Finding(ok=False, text=f"{environment.name}: {error}")
    else:
        yield Finding(ok=True, text=f"{environment.name}: token accepted, {numbers(len(listing.entries))}")
        if not listing.entries:
            yield Finding(ok=False, text=f"{environment.name}: {list_facts.empty_why(environment.query)}")
        for fault in flaws.unreadable(listing).values():
            yield Finding(ok=False, text=f"{environment.name}: {fault.words()}")
        yield from _account(environment, account, source)
    if source.server_time is not None:
        off = abs((clock() - source.server_time).total_seconds())
        if off > CLOCK_OFF.total_seconds():
            text = f"this machine's clock and the provider's differ by {off:.0f} s; set it, or days are counted wrong"
            yield Finding(ok=False, text=text)
        else:
            yield Finding(ok=True, text=f"clock agrees with {environment.name}'s")


def _account(environment: Environment, account: Account, source: Provider) -> Iterator[Finding]:
    """What can be read beside the list. That the provider does not offer something is no fault."""
    name = environment.name
    read = []
    for what in account_poll.wanted(account, environment):
        try:
            source.ask(what)
        except NotOffered as error:
            yield Finding(ok=True, text=f"{name}: left out, for {error}")
        except ConfigError:
            continue  # told with the secrets
        except ApiError as error:
            whose = "user_token, " if source.endpoints[what].is_for_users else ""
            yield Finding(ok=False, text=f"{name}: {whose}{source.endpoints[what].title}: {error}")
        else:
            read.append(source.endpoints[what].title)
    if read:
        yield Finding(ok=True, text=f"{name}: read beside the list: {', '.join(read)}")
    if account.balance and not has_secret(environment, "user_token"):
        yield Finding(ok=True, text=f"{name}: the balance is not read, for it needs a user_token")


def _heartbeats(settings: Settings) -> Iterator[Finding]:
    """What the dead-man's switches were last told. None is told now: that would be a success without a poll."""
    those = [one.name for one in settings.environments if one.has_heartbeat]
    last: dict[str, tuple[datetime, dict[str, str | None]]] = {}
    try:
        url = settings.database_url
        path = sqlite_path(url)
        if those and (path is None or path.exists()):
            with closing(Store(url, reads_only=True)) as store:
                store.require_current()
                with store.transaction() as tx:
                    found = {name: fired_at(tx, calendar(name)) for name in those}
            last = {name: (kept[0], json.loads(kept[1])) for name, kept in found.items() if kept and kept[1]}
    except (OSError, RenewalWatchError):
        return  # told with the database
    for name in those:
        if name not in last:
            yield Finding(ok=True, text=f"heartbeat of {name}: not told anything yet; the next poll is the first")
            continue
        at, said = last[name]
        if said["fault"]:
            yield Finding(ok=False, text=f"heartbeat of {name}: not reached at {instant(at)}: {said['fault']}")
        else:
            what = f"told {said['signal']} at {instant(at)}: {said['text']}"
            yield Finding(ok=said["signal"] == "success", text=f"heartbeat of {name}: {what}")


def _has_fault(place: str, faults: list[str]) -> bool:
    """Whether a fault of what stands at ``place`` was told already."""
    return any(fault.startswith(place) for fault in faults)


def _channels(channels: list[Channel]) -> Iterator[Finding]:
    for channel in channels:
        faults = faults_of(channel)
        yield from (Finding(ok=False, text=fault) for fault in faults)
        if not faults:
            is_fine = f"understood by Apprise {version('apprise')}"
            if channel.command is not None:
                is_fine = f"{channel.command[0]} can be run"
            elif channel.is_oncall:
                is_fine = f"tells {channel.service} at {host(channel.read_address())} how each incident stands"
            elif channel.is_webhook:
                is_fine = "posts, signed" if channel.read_key() else "posts, unsigned"
            text = f"channel {channel.name}: {is_fine}; try it: renewal-watch test-channel {channel.name}"
            yield Finding(ok=True, text=text)
