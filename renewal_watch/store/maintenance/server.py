"""Looks at a PostgreSQL server as its administrator would: release, the way to it, its clock, its room, our rights."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from renewal_watch.database.engine import MOST_CONNECTIONS, OLDEST_SERVER
from renewal_watch.database.schema import metadata
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction

_CLOCK_OFF_S = 60  # daemons go by the server's clock, and tell with it how many days are left
_CHECKS_NAME = ("verify-full", "verify-ca")  # of sslmode: the server must prove who it is
_ROOM = """
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user))"""
_NOT_OURS = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY (?) AND NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')) ORDER BY relname"""


class Seen(NamedTuple):
    """One thing that was looked at: fine, or what to do."""

    is_fine: bool
    text: str


def look(store: Store, clock: Callable[[], datetime]) -> Iterator[Seen]:
    """Everything that was looked at. Raises StoreError when nobody answers."""
    revision = store.revision()
    with store.reading() as tx:
        raw: Any = tx.connection.connection.dbapi_connection
        release = raw.info.server_version
        have = f"schema {revision}" if revision else "no tables yet; the first poll makes them"
        yield Seen(
            is_fine=True, text=f"database {store.place}: PostgreSQL {release // 10_000}.{release % 10_000}, {have}"
        )
        if release < OLDEST_SERVER * 10_000:
            yield Seen(is_fine=False, text=f"the server is older than PostgreSQL {OLDEST_SERVER}; upgrade it")
        yield from _encoding(tx)
        yield from _rights(tx, has_tables=revision is not None)
        yield _way(tx, raw.info)
        yield _clock(tx, clock)
        yield _room(tx)


def _encoding(tx: Transaction) -> Iterator[Seen]:
    encoding = _asked(tx, "SHOW server_encoding")
    if encoding != "UTF8":
        text = f"the database keeps text as {encoding}, which not every name fits into; make one with ENCODING 'UTF8'"
        yield Seen(is_fine=False, text=text)


def _rights(tx: Transaction, *, has_tables: bool) -> Iterator[Seen]:
    user = _asked(tx, "SELECT current_user")
    if _asked(tx, "SELECT pg_is_in_recovery()"):
        text = "the server is a standby, which takes no changes; name the primary in database.url"
        yield Seen(is_fine=False, text=text)
    elif _asked(tx, "SELECT current_setting('default_transaction_read_only')") == "on":
        yield Seen(is_fine=False, text=f"default_transaction_read_only is on for {user}: nothing can be written")
    if has_tables:
        names = [table.name for table in metadata.sorted_tables]
        others = [row[0] for row in tx.rows(_NOT_OURS, (names,))]
        if others:
            yield Seen(is_fine=False, text=f"{user} may not read and write {', '.join(others)}; see docs/database.md")
    elif not _asked(tx, "SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        text = f"{user} may make no tables; as an administrator: GRANT CREATE ON SCHEMA public TO {user}"
        yield Seen(is_fine=False, text=text)


def _way(tx: Transaction, info: Any) -> Seen:
    """Whether the connection stays on this machine, or can be read by nobody on its way."""
    host = info.host
    if not host or host.startswith(("/", "@")) or ipaddress.ip_address(info.hostaddr).is_loopback:
        return Seen(is_fine=True, text="the connection to the database stays on this machine")
    kind = _asked(tx, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
    if kind is None:
        text = f"the connection to {host} is not encrypted; add ?sslmode=verify-full&sslrootcert=FILE to database.url"
        return Seen(is_fine=False, text=text)
    if info.get_parameters().get("sslmode") not in _CHECKS_NAME:
        text = (
            f"the connection to {host} is encrypted ({kind}), but nobody checks that it is {host}: sslmode=verify-full"
        )
        return Seen(is_fine=False, text=text)
    return Seen(is_fine=True, text=f"the connection to {host} is encrypted ({kind}), its certificate checked")


def _clock(tx: Transaction, clock: Callable[[], datetime]) -> Seen:
    before = clock()
    there: datetime = _asked(tx, "SELECT clock_timestamp()")
    after = clock()
    off = abs((there - before - (after - before) / 2).total_seconds())
    if off > _CLOCK_OFF_S:
        text = f"this machine's clock and the database's differ by {off:.0f} s; set them, for daemons go by the latter"
        return Seen(is_fine=False, text=text)
    return Seen(is_fine=True, text="clock agrees with the database's")


def _room(tx: Transaction) -> Seen:
    """Whether a daemon gets its connections; those that others have now are taken for theirs."""
    most = _asked(tx, _ROOM)
    others = _asked(tx, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") - 1
    text = f"{others} of {most} connections of the server are taken; a daemon needs up to {MOST_CONNECTIONS}"
    if most - others < MOST_CONNECTIONS:
        return Seen(is_fine=False, text=f"{text}: raise max_connections")
    return Seen(is_fine=True, text=text)


def _asked(tx: Transaction, query: str) -> Any:
    row = tx.rows(query).fetchone()
    return None if row is None else row[0]
