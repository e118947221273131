"""The tables, and the engine that opens them; ``migrations/`` makes them, ``store`` reads and writes them.

Instants are kept as ISO 8601 text in UTC of fixed width, so that they sort and can be read in the sqlite3 shell.
``HEAD`` is the newest revision in ``migrations/versions``; a test holds it to that.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.types import TypeDecorator

from renewal_watch.errors import ConfigError, StoreError

HEAD = "0003"
BUSY_TIMEOUT_S = 15  # a writer waits this long for another one; the longest transaction is a first poll

READERS = 4  # transactions that only read and are open at once

metadata = MetaData()


class Instant(TypeDecorator[datetime]):
    """An aware datetime as ``2026-11-23T10:00:00.000000Z``."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: object) -> str | None:
        """Refuse naive times: they would be read back as another instant."""
        del dialect
        return None if value is None else write_instant(value)

    def process_result_value(self, value: str | None, dialect: object) -> datetime | None:
        """The same instant, aware."""
        del dialect
        return None if value is None else datetime.fromisoformat(value)


@lru_cache(maxsize=256)  # a poll writes the same instant thousands of times
def write_instant(value: datetime) -> str:
    """The text form of an aware instant. Raises ValueError for a naive one."""
    if value.tzinfo is None:
        msg = "an instant needs a time zone"
        raise ValueError(msg)
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


environments = Table(
    "environments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("numbers", Integer, nullable=False, default=0),
    Column("has_baseline", Boolean, nullable=False, default=False),
    Column("last_poll_at", Instant),
    Column("last_success_at", Instant),
    Column("last_error", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("failing_since", Instant),
    Column("told", JSON, nullable=False, default=list),
    Column("shrunk_at", Instant),
    Column("invalid", JSON, nullable=False, default=list),
    Column("turn_s", Integer),
    Column("next_poll_at", Instant),
    Column("hold_until", Instant),
    Column("hold_token", Text),  # four bytes of a digest: tells whether the rejected token was replaced, no more
)

polls = Table(
    "polls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("environment_id", ForeignKey("environments.id"), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),  # ok, or the reason of the ApiError
    Column("error", Text),
    Column("numbers", Integer),
    Column("invalid", Integer),
    Column("changed", Integer),
    Index("polls_by_time", "environment_id", "started_at"),
)

numbers = Table(  # the columns from id to is_sandbox are model.Known, in its order; from status on, what is asked for
    "numbers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("provider_id", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("zero_at", Integer),
    Column("renews_on", Integer),
    Column("auto_renewal", Boolean, nullable=False),
    Column("is_sandbox", Boolean, nullable=False),
    Column("environment_id", ForeignKey("environments.id"), nullable=False),
    Column("first_poll_id", ForeignKey("polls.id"), nullable=False),
    Column("status", Text, nullable=False, server_default=""),  # in lower case
    Column("cost", Text),  # of a renewal: an exact decimal
    Column("currency", Text),
    Column("country", Text),
    Column("type", Text),
    UniqueConstraint("provider_id", "environment_id"),
    Index("numbers_by_environment", "environment_id"),  # in the table's own order, which the fleet is read in
    Index("numbers_by_renewal", "renews_on"),
    Index("numbers_by_status", "status"),
)

cycles = Table(  # model.Cycle: what was told of a number in its present cycle
    "cycles",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("renews_on", Integer, nullable=False),
    Column("told_threshold", Integer),
    Column("told_due_flag", Boolean, nullable=False),
    Column("overdue_at", Integer),
    Column("overdue_told", Integer, nullable=False),
)

absences = Table(  # model.Absence: numbers that are not in the list
    "absences",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("polls", Integer, nullable=False),
    Column("missing_at", Integer),
)

entries = Table(  # each number's entry as last listed, and the poll that first saw it so
    "entries",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("poll_id", ForeignKey("polls.id"), nullable=False),
    Column("entry", Text, nullable=False),
)

# What a poll found changed, as the way back: the list at any time is the present one with later changes undone.
# ``fields`` is {name: {"before": …, "now": …}}, a key missing where the field was; null where only the countdown ticked
# otherwise than foretold. ``zero_before`` is the number's zero_at until then.
changes = Table(
    "changes",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("poll_id", ForeignKey("polls.id"), primary_key=True),
    Column("was_listed", Boolean, nullable=False),
    Column("is_listed", Boolean, nullable=False),
    Column("fields", Text),
    Column("zero_before", Integer),
    sqlite_with_rowid=False,
)

alerts = Table(  # the unique columns are Alert.key; 0 where an alert is about no number, no environment
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("environment_id", Integer, nullable=False),
    Column("number_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("days_left", Integer),
    Column("headline", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("topic", Text),  # the matter it is about, with environment and number
    Column("hidden", Text),  # why nobody was told, null for an alert that went into the outbox
    UniqueConstraint("number_id", "kind", "mark", "environment_id"),
)

deliveries = Table(  # one message's fate on one channel
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),  # pending, sent, failed
    Column("created_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt_at", Instant, nullable=False),
    Column("give_up_at", Instant, nullable=False),
    Column("lease", Text),
    Column("leased_until", Instant),
    Column("last_error", Text),
    Column("sent_at", Instant),
    Column("severity", Integer, nullable=False, server_default="2"),  # of its most urgent alert
    Column("at_once", Boolean, nullable=False, server_default="0"),  # no quiet hours, digest or cap hold it back
    Column("note", Text),
    Column("fallback_at", Instant),  # when it was also given to the channel that stands in
    Index("deliveries_due", "state", "channel", "next_attempt_at"),
)

delivery_alerts = Table(
    "delivery_alerts",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True),
    Column("alert_id", ForeignKey("alerts.id"), primary_key=True),
    sqlite_with_rowid=False,
)

channels = Table(  # how each channel does; rows appear when it first fails
    "channels",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failing_since", Instant),
    Column("told_at", Instant),
    Column("last_error", Text),
    Column("last_sent_at", Instant),
)


silences = Table(  # model.Silence
    "silences",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("match", Text, nullable=False),  # JSON of model.Match
    Column("kinds", JSON, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("author", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", Text),
    Column("warned_at", Instant),
)

lapses = Table(  # model.Lapse, and who said so
    "lapses",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("renews_on", Integer),
    Column("reminded_on", Integer),
    Column("set_at", Instant, nullable=False),
    Column("author", Text, nullable=False),
    Column("comment", Text, nullable=False),
)

matters = Table(  # model.Matter by model.Key: what was found and still holds; 0 for no environment, no number
    "matters",
    metadata,
    Column("environment_id", Integer, primary_key=True),
    Column("number_id", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("alert_id", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("told_at", Instant),
    Column("reminded", Integer, nullable=False),
    Column("hidden", Text),
    Column("hider", Text),
    Column("acked_at", Instant),
    Column("acked_by", Text),
    Column("acked_rank", Integer),
    Column("urgent_at", Instant),
    Column("escalated_at", Instant),
)

flaps = Table(  # model.Flap by model.Key
    "flaps",
    metadata,
    Column("environment_id", Integer, primary_key=True),
    Column("number_id", Integer, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("times", JSON, nullable=False),
    Column("since", Instant),
    Column("worst", Integer, nullable=False),
)

calendars = Table(  # when each digest, canary and outcome of a heartbeat last came
    "calendars",
    metadata,
    Column("name", Text, primary_key=True),
    Column("fired_at", Instant, nullable=False),
    Column("state", Text),
)

actions = Table(  # who silenced, acknowledged and marked what
    "actions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("author", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("environment_id", Integer, nullable=False),
    Column("number_id", Integer, nullable=False),
    Column("comment", Text, nullable=False),
)

readings = Table(  # the last answer of each further endpoint of an environment
    "readings",
    metadata,
    Column("environment_id", ForeignKey("environments.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("read_at", Instant, nullable=False),
    Column("outcome", Text, nullable=False),  # ok, or the reason of the ApiError
    Column("error", Text),
    Column("content", Text),  # JSON of the last good answer
)


def wal_is_safe(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite may keep a write-ahead log.

    Releases from 3.7.0 to 3.51.2 can corrupt a database in WAL mode when two connections write and checkpoint at once;
    fixed in 3.51.3, 3.50.7 and 3.44.6 (sqlite.org/wal.html#walresetbug).
    """
    if version[:2] == (3, 44):
        return version >= (3, 44, 6)
    if version[:2] == (3, 50):
        return version >= (3, 50, 7)
    return version >= (3, 51, 3)


def sqlite_path(url: str | URL) -> Path | None:
    """The file of a SQLite URL, None for another engine."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def _must_be_there(path: Path) -> None:
    try:
        is_there = path.exists()
    except PermissionError:
        msg = f"{path} cannot be reached by this user; run it with sudo, or as the user of the service"
        raise StoreError(msg) from None
    if not is_there:
        msg = f"there is no database at {path} yet; the first poll makes it: renewal-watch poll"
        raise StoreError(msg)


def open_engine(url: str, *, reads_only: bool = False) -> Engine:
    """An engine for ``url``; a SQLite file is made if it is not there, readable by its owner only.

    With ``reads_only`` several transactions may be open at once, none of them can write or waits for one that does: each
    sees the database as it was at its first question. The database must be there; StoreError says if it is not.

    SQLite: one connection, every transaction takes the write lock at its start (a later upgrade would fail at once
    under load), every commit is on the disk before it returns, bound values never enter an exception. Foreign keys are
    not enforced while writing (a first poll would be a tenth slower): ``Store.check`` looks for broken ones.
    Raises ConfigError for a URL that cannot be used.
    """
    path = sqlite_path(url)
    if path is None:
        msg = "database.url: only sqlite:///PATH is supported"
        raise ConfigError([msg])
    if reads_only:
        _must_be_there(path)
    elif not path.parent.is_dir():
        msg = f"database.url: the directory {path.parent} does not exist; make it or correct the path"
        raise ConfigError([msg])
    if not reads_only and not path.exists():
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            if os.geteuid() == 0:  # the service's user must be able to write what root made
                owner = path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.close(descriptor)
        except FileExistsError:
            pass  # another process was quicker
        except OSError as error:
            msg = f"database.url: {path} cannot be made: {error.strerror}"
            raise ConfigError([msg]) from None
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=READERS if reads_only else 1,
        max_overflow=0,
        pool_timeout=60,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    journal = "WAL" if wal_is_safe() else "TRUNCATE"

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, record: object) -> None:
        del record
        raw: Any = connection
        raw.isolation_level = None  # the driver would otherwise begin transactions of its own, too late
        raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
        if mode.lower() != journal.lower() and not reads_only:
            raw.execute(f"PRAGMA journal_mode = {journal}")
        raw.execute("PRAGMA synchronous = FULL" if journal == "WAL" else "PRAGMA synchronous = EXTRA")
        if reads_only:
            raw.execute("PRAGMA query_only = ON")
        raw.execute("PRAGMA cache_size = -16384")  # 16 MiB: a first poll fills an index in random order

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine
