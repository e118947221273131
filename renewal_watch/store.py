"""What is remembered: one transaction for each poll, each claim and each outcome; questions about the past.

Every method of ``Transaction`` belongs to one ``Store.transaction()``: it commits as a whole at the end of the block, or
nothing of it happened. On SQLite a transaction holds the write lock from its start, so that what it read stays true.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection, Engine, func, insert, or_, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from renewal_watch import messages, rules
from renewal_watch.config import Channel
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.model import (
    DAY_S,
    Absence,
    Alert,
    Cycle,
    Delivery,
    Entry,
    Known,
    PhoneNumber,
    Severity,
    Verdict,
    Watch,
)
from renewal_watch.schema import (
    HEAD,
    alerts,
    changes,
    channels,
    deliveries,
    delivery_alerts,
    entries,
    environments,
    numbers,
    open_engine,
    polls,
    sqlite_path,
    write_instant,
)
from renewal_watch.text import plain

LEASE = timedelta(seconds=90)  # longer than a send may take (channels.SEND_DEADLINE) with room for a slow disk
_CHUNK = 500  # values in one IN list, below SQLite's oldest limit of 999
_CORE = Known._fields[: Known._fields.index("cycle")]  # the columns of the table numbers
_KNOWN = ", ".join("id" if name == "pk" else name for name in _CORE)
_FIRST_OF_CYCLE = len(_CORE)
_PARSE = msgspec.json.Decoder(PhoneNumber, strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When an environment may be polled next."""

    next_poll_at: datetime | None = None
    hold_until: datetime | None = None
    hold_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRecord:
    """One line of the poll log. ``outcome`` is ``ok`` or the reason of the ``ApiError``."""

    started_at: datetime
    finished_at: datetime
    outcome: str
    error: str | None = None
    numbers: int | None = None
    invalid: int | None = None


class Store:
    """The database behind one URL."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = open_engine(url)
        self.path = sqlite_path(url)

    def close(self) -> None:
        """Give the connections back; the store can not be used afterwards."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing. Raises StoreError when the database is locked, full or damaged."""
        try:
            with self.engine.begin() as connection:
                yield Transaction(connection)
        except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
            raise StoreError(self._said(error)) from None

    def _said(self, error: Exception) -> str:
        cause = getattr(error, "orig", None) or error
        advice = {
            "full": "free some space; nothing was lost, the step is repeated",
            "locked": "another process keeps it locked; the step is repeated",
            "readonly": "let the service's user write the file and its directory",
            "no such table": "bring it up to date with: renewal-watch db upgrade",
        }
        what = next(
            (todo for word, todo in advice.items() if word in str(cause)), "check it with: renewal-watch db check"
        )
        return f"the database {self.path} cannot be used ({cause}): {what}"

    # --- schema ---

    def revision(self) -> str | None:
        """The schema the database has, None for an empty one."""
        try:
            with self.engine.connect() as connection:
                names = connection.exec_driver_sql(
                    "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
                ).all()
                if not names:
                    return None
                return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one())
        except SQLAlchemyError as error:
            raise StoreError(self._said(error)) from None

    def upgrade(self) -> bool:
        """Bring the schema to ``HEAD``; whether anything was done. A database with content is copied beside first.

        Raises StoreError for a database of a newer release.
        """
        revision = self.revision()
        if revision == HEAD:
            return False
        from alembic import command  # noqa: PLC0415 (half a second that only a migration needs)
        from alembic.config import Config  # noqa: PLC0415
        from alembic.script import ScriptDirectory  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(_migrations()))
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision is not None and revision not in known:
            msg = f"the database {self.path} was written by a newer release (schema {revision}); install that release"
            raise StoreError(msg)
        if revision is not None and self.path is not None:
            self.backup(self.path.with_name(f"{self.path.name}.before-{HEAD}"))
        try:
            with self.engine.connect() as connection, connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    msg = f"the migration of {self.path} would break {len(broken)} references; it was undone"
                    raise StoreError(msg)
        except SQLAlchemyError as error:
            raise StoreError(self._said(error)) from None
        return True

    def require_current(self) -> None:
        """Refuse a database that is older or newer than this release. Raises StoreError."""
        revision = self.revision()
        if revision != HEAD:
            have = f"schema {revision}" if revision else "no tables"
            msg = f"the database {self.path} has {have}, this release needs {HEAD}; run: renewal-watch db upgrade"
            raise StoreError(msg)

    # --- the file ---

    def check(self) -> list[str]:
        """What is damaged, a sentence each; an empty list for a sound database."""
        try:
            with self.engine.connect() as connection:
                said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check").all()]
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        except SQLAlchemyError as error:
            return [self._said(error)]
        faults = [f"integrity_check: {line}" for line in said if line != "ok"]
        if broken:
            tables = ", ".join(sorted({str(row[0]) for row in broken}))
            faults.append(f"{len(broken)} rows refer to rows that are gone, in: {tables}")
        return faults

    def backup(self, target: Path) -> None:
        """A verified copy of the database while it is in use; ``target`` appears whole or not at all."""
        if self.path is None:
            msg = "only a SQLite database is backed up with this command"
            raise UsageError(msg)
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        try:
            part.touch(mode=0o600)
            with self.engine.connect() as connection:
                source: Any = connection.connection.dbapi_connection
                copy = sqlite3.connect(part)
                try:
                    source.backup(copy)
                    sound = copy.execute("PRAGMA integrity_check").fetchone()[0]
                finally:
                    copy.close()
            if sound != "ok":
                msg = f"the copy is damaged ({sound}); check the database with: renewal-watch db check"
                raise StoreError(msg)
            part.replace(target)
        except (sqlite3.Error, SQLAlchemyError, OSError) as error:
            msg = f"{target} cannot be written: {getattr(error, 'strerror', None) or error}"
            raise StoreError(msg) from None
        finally:
            part.unlink(missing_ok=True)

    def prune(self, before: datetime) -> dict[str, int]:
        """Delete what ended before ``before``: changes, poll lines, alerts whose deliveries ended.

        Snapshots from ``before`` on stay whole, older ones can not be given back any more.
        """
        limit = {"before": write_instant(before)}
        counts: dict[str, int] = {}
        steps = {
            # A poll that is still referred to keeps its time, but its list can not be given back any more. The last good
            # one before the limit stays good: it is what was known at the limit.
            "polls": """UPDATE polls SET outcome = 'pruned' WHERE started_at < :before AND id NOT IN
                (SELECT max(id) FROM polls WHERE outcome = 'ok' AND started_at < :before GROUP BY environment_id)""",
            "changes": "DELETE FROM changes WHERE poll_id IN (SELECT id FROM polls WHERE started_at < :before)",
            "delivery_alerts": """DELETE FROM delivery_alerts WHERE delivery_id IN
                (SELECT id FROM deliveries WHERE state <> 'pending' AND created_at < :before)""",
            "deliveries": "DELETE FROM deliveries WHERE state <> 'pending' AND created_at < :before",
            "alerts": """DELETE FROM alerts WHERE created_at < :before
                AND id NOT IN (SELECT alert_id FROM delivery_alerts)""",
            "poll lines": """DELETE FROM polls WHERE outcome = 'pruned'
                AND id NOT IN (SELECT poll_id FROM entries UNION SELECT first_poll_id FROM numbers)""",
        }
        for name, statement in steps.items():
            with self.transaction() as tx:
                counts[name] = tx.connection.execute(text(statement), limit).rowcount
        return counts


def restore(source: Path, path: Path) -> Path | None:
    """Put the backup ``source`` in place of the database ``path``; returns where the old one is kept.

    Refuses a damaged file, one that is no database of ours, and one of a newer release. Raises StoreError.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as backup:
            sound = backup.execute("PRAGMA integrity_check").fetchone()[0]
            revision = backup.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            if sound != "ok":
                msg = f"{source} is damaged ({sound}); the database was left as it is"
                raise StoreError(msg)
            if revision > HEAD:
                msg = f"{source} was written by a newer release (schema {revision}); install that release first"
                raise StoreError(msg)
            part = path.with_name(path.name + ".part")
            part.unlink(missing_ok=True)
            part.touch(mode=0o600)
            with contextlib.closing(sqlite3.connect(part)) as target:
                backup.backup(target)
    except sqlite3.Error as error:
        msg = f"{source} is not a database of renewal-watch ({error}); the database was left as it is"
        raise StoreError(msg) from None
    kept = None
    owner = path.parent.stat()
    if path.exists():
        owner = path.stat()
        names = (path.with_name(f"{path.name}.replaced-{number}") for number in itertools.count(1))
        kept = next(name for name in names if not name.exists())
        path.replace(kept)
        for ending in ("-journal", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    if os.geteuid() == 0:
        os.chown(
            part, owner.st_uid, owner.st_gid, follow_symlinks=False
        )  # the service's user must be able to write what root restored
    part.replace(path)
    return kept


def _migrations() -> Path:
    """The folder of migrations: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "migrations"
    return inside if inside.is_dir() else here.parent / "migrations"


class Transaction:
    """The open transaction; see the module."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # --- polls ---

    def watch(self, name: str) -> tuple[int, Watch, Schedule]:
        """The environment's id and what is kept of it; made on first sight."""
        row = self.connection.execute(select(environments).where(environments.c.name == name)).one_or_none()
        if row is None:
            made = self.connection.execute(insert(environments).values(name=name, told=[], invalid=[]))
            key = made.inserted_primary_key
            assert key is not None  # noqa: S101 (an insert of one row)
            return int(key[0]), Watch(name=name), Schedule()
        return (
            int(row.id),
            Watch(
                name=row.name,
                numbers=row.numbers,
                has_baseline=row.has_baseline,
                last_poll_at=row.last_poll_at,
                last_success_at=row.last_success_at,
                last_error=row.last_error,
                failures=row.failures,
                failing_since=row.failing_since,
                told=frozenset(row.told),
                shrunk_at=row.shrunk_at,
                invalid=frozenset(row.invalid),
                turn_s=row.turn_s,
            ),
            Schedule(next_poll_at=row.next_poll_at, hold_until=row.hold_until, hold_token=row.hold_token),
        )

    def last_poll_id(self, environment_id: int) -> int | None:
        """The newest line of the environment's poll log."""
        newest: int | None = self.connection.execute(
            select(func.max(polls.c.id)).where(polls.c.environment_id == environment_id)
        ).scalar_one()
        return newest

    def fleet(self, environment_id: int) -> dict[str, Known]:
        """Every number that was ever listed, by provider id."""
        query = f"SELECT {_KNOWN}, NULL, NULL FROM numbers WHERE environment_id = ?"  # noqa: S608 (own column names)
        rows = self._driver().execute(query, (environment_id,))
        fleet = {known[1]: known for known in map(Known._make, rows)}
        of_environment = "number_id IN (SELECT id FROM numbers WHERE environment_id = ?)"
        names = {}
        told = self._driver().execute(f"SELECT * FROM cycles WHERE {of_environment}", (environment_id,)).fetchall()  # noqa: S608
        gone = self._driver().execute(f"SELECT * FROM absences WHERE {of_environment}", (environment_id,)).fetchall()  # noqa: S608
        if told or gone:
            names = {known.pk: name for name, known in fleet.items()}
        for pk, *cycle in told:
            fleet[names[pk]] = fleet[names[pk]]._replace(cycle=Cycle(*cycle))
        for pk, *absence in gone:
            fleet[names[pk]] = fleet[names[pk]]._replace(absence=Absence(*absence))
        return fleet

    def _driver(self) -> Any:
        """A cursor of the driver in this transaction: rows of 100,000 numbers without an object of SQLAlchemy each."""
        return self.connection.connection.cursor()

    def parsed(self, those: Iterable[Known]) -> dict[str, PhoneNumber]:
        """The numbers as last listed, by provider id."""
        names = {known.pk: known.provider_id for known in those}
        found: dict[str, PhoneNumber] = {}
        for chunk in _chunks(list(names)):
            query = select(entries.c.number_id, entries.c.entry).where(entries.c.number_id.in_(chunk))
            for number_id, entry in self.connection.execute(query):
                found[names[number_id]] = _PARSE.decode(entry)
        return found

    def record(
        self,
        environment_id: int,
        verdict: Verdict,
        poll: PollRecord | None,
        schedule: Schedule | None,
        outlets: Sequence[Channel],
        now: datetime,
    ) -> int:
        """Write one poll: its line, the versions, what is kept of numbers and environment, alerts and deliveries.

        Returns how many alerts are new.
        """
        poll_id = self._record_poll(environment_id, verdict, poll) if poll else None
        if poll_id is not None:
            self._record_numbers(environment_id, verdict, poll_id, now)
        else:
            self._update_numbers(verdict.updates)
        watch = verdict.watch
        values: dict[str, Any] = {
            "numbers": watch.numbers,
            "has_baseline": watch.has_baseline,
            "last_poll_at": watch.last_poll_at,
            "last_success_at": watch.last_success_at,
            "last_error": watch.last_error,
            "failures": watch.failures,
            "failing_since": watch.failing_since,
            "told": sorted(watch.told),
            "shrunk_at": watch.shrunk_at,
            "invalid": sorted(watch.invalid),
            "turn_s": watch.turn_s,
        }
        if schedule is not None:
            values |= {
                "next_poll_at": schedule.next_poll_at,
                "hold_until": schedule.hold_until,
                "hold_token": schedule.hold_token,
            }
        self.connection.execute(update(environments).where(environments.c.id == environment_id).values(**values))
        return self.tell(verdict.alerts, outlets, now)

    def _record_poll(self, environment_id: int, verdict: Verdict, poll: PollRecord) -> int:
        made = self.connection.execute(
            insert(polls).values(
                environment_id=environment_id,
                started_at=poll.started_at,
                finished_at=poll.finished_at,
                outcome=poll.outcome,
                error=poll.error,
                numbers=poll.numbers,
                invalid=poll.invalid,
                changed=len(verdict.versions),
            )
        )
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (an insert of one row)
        return int(key[0])

    def _record_numbers(self, environment_id: int, verdict: Verdict, poll_id: int, now: datetime) -> None:
        number_id = self._last_id(numbers)
        fresh: list[Known] = []
        kept: list[Known] = []
        for known in verdict.updates:
            if known.pk == 0:
                number_id += 1
                fresh.append(Known(number_id, *known[1:]))
            else:
                kept.append(known)
        self._record_changes(kept, verdict, poll_id, now)
        places = ", ".join("?" * len(_CORE))
        self._many(
            f"INSERT INTO numbers ({_KNOWN}, environment_id, first_poll_id) "  # noqa: S608 (own column names)
            f"VALUES ({places}, {environment_id:d}, {poll_id:d})",
            (known[:_FIRST_OF_CYCLE] for known in fresh),
        )
        self._many(
            "INSERT INTO entries (number_id, poll_id, entry) VALUES (?, ?, ?)",
            ((known.pk, poll_id, _compact(verdict.versions[known.provider_id])) for known in fresh),
        )
        self._remember(fresh)
        self._update_numbers(kept)

    def _record_changes(self, kept: Sequence[Known], verdict: Verdict, poll_id: int, now: datetime) -> None:
        """Write the way back from the present entries to the ones before this poll."""
        corrected = set(verdict.countdowns)
        touched = {k.pk: k for k in kept if k.provider_id in verdict.versions or k.provider_id in corrected}
        rows: list[tuple[int, int, bool, bool, str | None, int | None]] = []
        replaced: list[tuple[int, str, int]] = []
        query = """SELECT n.id, n.zero_at, a.number_id IS NULL, t.entry, p.started_at FROM numbers n
            JOIN entries t ON t.number_id = n.id JOIN polls p ON p.id = t.poll_id
            LEFT JOIN absences a ON a.number_id = n.id WHERE n.id IN ({})"""
        for chunk in _chunks(list(touched)):
            found = self._driver().execute(query.format(", ".join("?" * len(chunk))), tuple(chunk))
            for pk, zero_before, was_listed, text_before, seen_at in found.fetchall():
                known = touched[pk]
                entry = verdict.versions.get(known.provider_id)
                if entry is None:  # it left the list, or its countdown alone ticked otherwise
                    rows.append((pk, poll_id, True, known.provider_id in corrected, None, zero_before))
                    continue
                text_now = _compact(entry)
                before = _ticked(_decode(text_before), datetime.fromisoformat(seen_at), zero_before, now)
                fields = _difference(before, _decode(text_now))
                if fields or not was_listed or zero_before != known.zero_at:
                    said = msgspec.json.encode(fields).decode() if fields else None
                    rows.append((pk, poll_id, bool(was_listed), True, said, zero_before))
                    replaced.append((poll_id, text_now, pk))
        self._many(
            "INSERT INTO changes (number_id, poll_id, was_listed, is_listed, fields, zero_before) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._many("UPDATE entries SET poll_id = ?, entry = ? WHERE number_id = ?", replaced)

    def _update_numbers(self, those: Sequence[Known]) -> None:
        sets = ", ".join(f"{name} = ?" for name in _CORE[1:])
        statement = f"UPDATE numbers SET {sets} WHERE id = ?"  # noqa: S608 (own column names)
        self._many(statement, ((*known[1:_FIRST_OF_CYCLE], known.pk) for known in those))
        self._many("DELETE FROM cycles WHERE number_id = ?", ((known.pk,) for known in those if known.cycle is None))
        self._many(
            "DELETE FROM absences WHERE number_id = ?", ((known.pk,) for known in those if known.absence is None)
        )
        self._remember(those)

    def _remember(self, those: Sequence[Known]) -> None:
        """Write what was told in the present cycle, and absences, of the few numbers that have them."""
        self._many(
            "INSERT OR REPLACE INTO cycles VALUES (?, ?, ?, ?, ?, ?)",
            ((known.pk, *known.cycle) for known in those if known.cycle is not None),
        )
        self._many(
            "INSERT OR REPLACE INTO absences VALUES (?, ?, ?)",
            ((known.pk, *known.absence) for known in those if known.absence is not None),
        )

    def _many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """One statement for many rows, made one by one as the driver takes them: a list of them all would cost memory."""
        self._driver().executemany(statement, rows)

    def _last_id(self, table: Any) -> int:
        return int(self.connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())

    # --- alerts and the outbox ---

    def tell(self, found: Sequence[Alert], outlets: Sequence[Channel], now: datetime) -> int:
        """Write alerts and one delivery for each channel that takes any of them; a known key is left out."""
        if not found:
            return 0
        environment_ids = {name: self.watch(name)[0] if name else 0 for name in {alert.environment for alert in found}}
        number_ids = self._number_ids(found, environment_ids)
        first = self._last_id(alerts) + 1
        at = write_instant(now)
        rows = []
        for alert_id, alert in enumerate(found, first):
            number_id = number_ids.get((alert.environment, alert.number_id or ""), 0)
            place = (environment_ids[alert.environment], number_id, alert.kind, _mark(alert, known=number_id > 0))
            rows.append((alert_id, *place, int(alert.severity), alert.days_left, alert.headline, alert.text, at))
        self._many(
            "INSERT INTO alerts (id, environment_id, number_id, kind, mark, severity, days_left, headline, text, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            rows,
        )
        written = set(self.connection.execute(select(alerts.c.id).where(alerts.c.id >= first)).scalars())
        fresh = [(alert_id, alert) for alert_id, alert in enumerate(found, first) if alert_id in written]
        for outlet in outlets:
            taken = [
                alert_id for alert_id, alert in fresh if outlet.takes(alert.kind, alert.severity, alert.environment)
            ]
            if taken:
                self._put_in_outbox(outlet.name, taken, now)
        return len(fresh)

    def _number_ids(self, found: Sequence[Alert], environment_ids: dict[str, int]) -> dict[tuple[str, str], int]:
        """The ids of the numbers that the alerts are about."""
        ids: dict[tuple[str, str], int] = {}
        for environment, environment_id in environment_ids.items():
            names = [a.number_id for a in found if a.environment == environment and a.number_id is not None]
            for chunk in _chunks(names):
                query = select(numbers.c.provider_id, numbers.c.id).where(
                    numbers.c.environment_id == environment_id, numbers.c.provider_id.in_(chunk)
                )
                ids |= {(environment, name): pk for name, pk in self.connection.execute(query)}
        return ids

    def _put_in_outbox(self, channel: str, alert_ids: Sequence[int], now: datetime) -> str:
        message_id = f"rw-{secrets.token_hex(5)}"
        made = self.connection.execute(
            insert(deliveries).values(
                message_id=message_id,
                channel=channel,
                state="pending",
                created_at=now,
                next_attempt_at=now,
                give_up_at=now + rules.GIVE_UP_AFTER,
            )
        )
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (an insert of one row)
        self._many(
            "INSERT INTO delivery_alerts (delivery_id, alert_id) VALUES (?, ?)",
            ((key[0], alert_id) for alert_id in alert_ids),
        )
        return message_id

    def claim(self, channel: str, now: datetime) -> Delivery | None:
        """Take the oldest due message of ``channel`` for ``LEASE``; it must be settled. None if nothing is due.

        A time further ahead than it can have been set is a clock that was put back: such a message is due.
        """
        soonest_set = now + rules.BACKOFF_LONGEST * 1.2
        row = self.connection.execute(
            select(deliveries)
            .where(
                deliveries.c.state == "pending",
                deliveries.c.channel == channel,
                or_(deliveries.c.next_attempt_at <= now, deliveries.c.next_attempt_at > soonest_set),
                or_(
                    deliveries.c.lease.is_(None),
                    deliveries.c.leased_until <= now,
                    deliveries.c.leased_until > now + LEASE,
                ),
            )
            .order_by(deliveries.c.created_at, deliveries.c.id)
            .limit(1)
        ).one_or_none()
        if row is None:
            return None
        lease = secrets.token_hex(8)
        self.connection.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id)
            .values(lease=lease, leased_until=now + LEASE, attempts=row.attempts + 1)
        )
        found = self.connection.execute(
            _ALERTS.join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
            .where(delivery_alerts.c.delivery_id == row.id)
            .order_by(alerts.c.id)
        )
        return Delivery(
            pk=row.id,
            message_id=row.message_id,
            channel=row.channel,
            lease=lease,
            leased_until=now + LEASE,
            attempts=row.attempts + 1,
            created_at=row.created_at,
            alerts=tuple(_alert(one) for one in found),
        )

    def settle_sent(self, delivery: Delivery, outlets: Sequence[Channel], now: datetime) -> bool:
        """Mark as sent; False when the lease was lost meanwhile and somebody else answers for the message."""
        if not self._settle(delivery, state="sent", sent_at=now, last_error=None):
            return False
        row = self.connection.execute(select(channels).where(channels.c.name == delivery.channel)).one_or_none()
        if row is None:
            self.connection.execute(insert(channels).values(name=delivery.channel, last_sent_at=now))
            return True
        if row.told_at is not None:
            words = messages.channel_recovered(delivery.channel, row.failing_since, now)
            self._tell_of_channel(delivery.channel, "watch.recovered", Severity.info, words, outlets, now)
            self.connection.execute(  # what waits in back-off need not wait any longer
                update(deliveries)
                .where(
                    deliveries.c.channel == delivery.channel,
                    deliveries.c.state == "pending",
                    deliveries.c.lease.is_(None),
                    deliveries.c.next_attempt_at > now,
                )
                .values(next_attempt_at=now)
            )
        self.connection.execute(
            update(channels)
            .where(channels.c.name == delivery.channel)
            .values(failing_since=None, told_at=None, last_error=None, last_sent_at=now)
        )
        return True

    def settle_failed(
        self, delivery: Delivery, error: str, outlets: Sequence[Channel], now: datetime, chance: float
    ) -> bool:
        """Keep for another attempt, or give up after ``GIVE_UP_AFTER``; tell the other channels when it lasts."""
        give_up_at = self.connection.execute(
            select(deliveries.c.give_up_at).where(deliveries.c.id == delivery.pk)
        ).scalar_one()
        is_over = now >= give_up_at
        values: dict[str, Any] = {"last_error": error}
        if is_over:
            values["state"] = "failed"
        else:
            values["next_attempt_at"] = rules.next_attempt(delivery.attempts, now, chance)
        if not self._settle(delivery, **values):
            return False
        name = delivery.channel
        row = self.connection.execute(select(channels).where(channels.c.name == name)).one_or_none()
        since = (row.failing_since if row else None) or now
        told_at = row.told_at if row else None
        if now - since >= rules.CHANNEL_FAILING_AFTER and told_at is None:
            waiting = self.connection.execute(
                select(func.count()).where(deliveries.c.channel == name, deliveries.c.state == "pending")
            ).scalar_one()
            words = messages.channel_failing(name, since, now, waiting, error)
            self._tell_of_channel(name, "channel.failing", Severity.critical, words, outlets, now)
            told_at = now
        if is_over:
            failed = self.connection.execute(
                select(func.count()).where(deliveries.c.channel == name, deliveries.c.state == "failed")
            ).scalar_one()
            words = messages.channel_gave_up(name, failed, error)
            key = f"{name}/given up/{now:%Y-%m-%d}"  # messages of one outage are given up one by one: told once a day
            self._tell_of_channel(name, "channel.failing", Severity.critical, words, outlets, now, key)
            told_at = told_at or now
        values = {"failing_since": since, "told_at": told_at, "last_error": error}
        if row is None:
            self.connection.execute(insert(channels).values(name=name, **values))
        else:
            self.connection.execute(update(channels).where(channels.c.name == name).values(**values))
        return True

    def release(self, delivery: Delivery) -> bool:
        """Give a claim back unsent, as if it had never been taken."""
        return self._settle(delivery, attempts=delivery.attempts - 1)

    def _settle(self, delivery: Delivery, **values: object) -> bool:
        done = self.connection.execute(
            update(deliveries)
            .where(
                deliveries.c.id == delivery.pk, deliveries.c.lease == delivery.lease, deliveries.c.state == "pending"
            )
            .values(lease=None, leased_until=None, **values)
        )
        return done.rowcount == 1

    def _tell_of_channel(
        self,
        name: str,
        kind: str,
        severity: Severity,
        words: tuple[str, str],
        outlets: Sequence[Channel],
        now: datetime,
        key: str | None = None,
    ) -> None:
        alert = Alert(
            key=f"{kind}/{key or f'{name}/{now.isoformat()}'}",
            kind=kind,
            severity=severity,
            environment="",
            headline=words[0],
            text=words[1],
        )
        self.tell([alert], [outlet for outlet in outlets if outlet.name != name], now)

    def next_due(self, channel: str) -> datetime | None:
        """When the next message of ``channel`` is due, None if none waits."""
        rows = self.connection.execute(
            select(deliveries.c.next_attempt_at, deliveries.c.leased_until).where(
                deliveries.c.state == "pending", deliveries.c.channel == channel
            )
        )
        return min((max(at, leased or at) for at, leased in rows), default=None)

    def retry(self, alert_ids: Sequence[int], now: datetime) -> int:
        """Offer the failed and waiting deliveries of these alerts again at once; how many. Empty means all failed."""
        query = select(delivery_alerts.c.delivery_id)
        if alert_ids:
            query = query.where(delivery_alerts.c.alert_id.in_(alert_ids))
        states = ("failed", "pending") if alert_ids else ("failed",)
        done = self.connection.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(query), deliveries.c.state.in_(states))
            .values(state="pending", attempts=0, next_attempt_at=now, give_up_at=now + rules.GIVE_UP_AFTER)
        )
        return done.rowcount

    # --- questions ---

    def watches(self) -> list[tuple[int, Watch, Schedule]]:
        """Every environment that was ever polled, by name."""
        names = self.connection.execute(select(environments.c.name).order_by(environments.c.name)).scalars().all()
        return [self.watch(name) for name in names]

    def outbox(self) -> dict[str, Any]:
        """How many messages wait and failed, and since when the oldest waits."""
        rows = self.connection.execute(select(deliveries.c.state, func.count()).group_by(deliveries.c.state))
        counts = {state: int(count) for state, count in rows}
        oldest = self.connection.execute(
            select(func.min(deliveries.c.created_at)).where(deliveries.c.state == "pending")
        ).scalar_one()
        return {"pending": counts.get("pending", 0), "failed": counts.get("failed", 0), "oldest_pending_at": oldest}

    def channel_faults(self) -> dict[str, tuple[datetime, str]]:
        """The channels that fail now: since when, and the last error."""
        rows = self.connection.execute(select(channels).where(channels.c.failing_since.is_not(None)))
        return {row.name: (row.failing_since, row.last_error) for row in rows}

    def listed(self, environment_id: int) -> Iterator[tuple[Known, PhoneNumber]]:
        """Every known number with its last entry, those gone for good included."""
        query = text(
            "SELECT n.provider_id, t.entry FROM numbers n JOIN entries t ON t.number_id = n.id "
            "WHERE n.environment_id = :environment"
        )
        fleet = self.fleet(environment_id)
        for name, entry in self.connection.execute(query, {"environment": environment_id}):
            yield fleet[name], _PARSE.decode(entry)

    def find(self, wanted: str, environment: str | None = None) -> tuple[str, int, Known]:
        """``(environment, its id, number)`` by number, provider id, or a unique part of either. Raises UsageError."""
        if not wanted.strip():
            msg = "NUMBER is empty; write a number, an id, or a part of either"
            raise UsageError(msg)
        digits = wanted.replace(" ", "").replace("-", "").replace("(", "").replace(")", "")
        exact, partial = [], []
        for environment_id, watch, _ in self.watches():
            if environment is not None and watch.name != environment:
                continue
            for known in self.fleet(environment_id).values():
                if wanted == known.provider_id or digits == known.number:
                    exact.append((watch.name, environment_id, known))
                elif wanted in known.provider_id or (digits and digits in known.number):
                    partial.append((watch.name, environment_id, known))
        found = exact or partial
        if not found:
            msg = f"no number is known by {wanted!r}; see them all with: renewal-watch status"
            raise UsageError(msg)
        if len(found) > 1:
            some = ", ".join(
                f"{plain(k.number or k.provider_id)} ({plain(k.provider_id)}, {name})" for name, _, k in found[:5]
            )
            msg = f"{wanted!r} fits {len(found)} numbers: {some}{', …' if len(found) > 5 else ''}; write more of it"  # noqa: PLR2004
            raise UsageError(msg)
        return found[0]

    def snapshot(self, environment_id: int, at: datetime) -> tuple[datetime, list[dict[str, Any]]] | None:
        """The list as it was at the last good poll up to ``at``, with that poll's time; None before the first."""
        poll = self.connection.execute(
            select(polls.c.id, polls.c.started_at)
            .where(polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.started_at <= at)
            .order_by(polls.c.id.desc())
            .limit(1)
        ).one_or_none()
        if poll is None:
            return None
        query = text(
            """
            SELECT n.id, t.entry, p.started_at, n.zero_at, a.number_id IS NULL FROM numbers n
              JOIN entries t ON t.number_id = n.id JOIN polls p ON p.id = t.poll_id
              LEFT JOIN absences a ON a.number_id = n.id
            WHERE n.environment_id = :environment AND n.first_poll_id <= :poll ORDER BY n.id"""
        )
        undo: dict[int, list[Any]] = {}
        for change in self._changes(changes.c.poll_id > poll.id, numbers.c.environment_id == environment_id):
            undo.setdefault(change.number_id, []).append(change)
        found = []
        for pk, entry, seen_at, zero_at, is_listed in self.connection.execute(
            query, {"environment": environment_id, "poll": poll.id}
        ):
            state = _State(_decode(entry), datetime.fromisoformat(seen_at), zero_at, bool(is_listed))
            for change in undo.get(pk, ()):
                state = state.before(change)
            if state.is_listed:
                found.append(_ticked(state.entry, state.seen_at, state.zero_at, poll.started_at))
        return poll.started_at, found

    def _changes(self, *conditions: Any) -> Any:
        """Changes with the time of their poll, the newest first."""
        return self.connection.execute(
            select(changes, polls.c.started_at)
            .join(polls, polls.c.id == changes.c.poll_id)
            .join(numbers, numbers.c.id == changes.c.number_id)
            .where(*conditions)
            .order_by(changes.c.poll_id.desc())
        )

    def history(self, known: Known, environment_id: int) -> list[dict[str, Any]]:
        """Each change of one number, oldest first: the polls between which it happened, and the fields that differ.

        ``not_yet_at`` is the last good poll that did not have it, None for the first poll of all; ``entry`` is the number
        as it was from ``seen_at`` on, None where it was not listed.
        """
        entry, entry_at = self.connection.execute(
            select(entries.c.entry, polls.c.started_at)
            .join(polls, polls.c.id == entries.c.poll_id)
            .where(entries.c.number_id == known.pk)
        ).one()
        first_poll_id = self.connection.execute(
            select(numbers.c.first_poll_id).where(numbers.c.id == known.pk)
        ).scalar_one()
        state = _State(_decode(entry), entry_at, known.zero_at, known.absence is None)
        found: list[dict[str, Any]] = []
        for change in self._changes(changes.c.number_id == known.pk):
            if change.fields is not None or change.is_listed != change.was_listed:
                back = change.is_listed and not change.was_listed
                what = "listed again" if back else "changed" if change.is_listed else "unlisted"
                fields = msgspec.json.decode(change.fields) if change.fields else {}
                found.append(self._event(environment_id, change.poll_id, change.started_at, what, fields, state))
            state = state.before(change)
        first_at = self.connection.execute(select(polls.c.started_at).where(polls.c.id == first_poll_id)).scalar_one()
        found.append(self._event(environment_id, first_poll_id, first_at, "listed", {}, state))
        return found[::-1]

    def _event(
        self, environment_id: int, poll_id: int, seen_at: datetime, what: str, fields: dict[str, Any], state: _State
    ) -> dict[str, Any]:
        not_yet_at = self.connection.execute(
            select(func.max(polls.c.started_at, type_=polls.c.started_at.type)).where(
                polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.id < poll_id
            )
        ).scalar_one()
        entry = _ticked(state.entry, state.seen_at, state.zero_at, seen_at) if state.is_listed else None
        return {"seen_at": seen_at, "not_yet_at": not_yet_at, "what": what, "fields": fields, "entry": entry}

    def alerts(
        self, *, states: Sequence[str] = (), number_id: str | None = None, environment: str | None = None
    ) -> list[dict[str, Any]]:
        """Alerts with the fate of their deliveries, newest first, as ``alerts --json`` prints them."""
        query = _ALERTS.order_by(alerts.c.id.desc())
        if number_id is not None:
            query = query.where(numbers.c.provider_id == number_id, environments.c.name == environment)
        wanted = select(delivery_alerts.c.alert_id).join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
        if states:
            query = query.where(alerts.c.id.in_(wanted.where(deliveries.c.state.in_(states))))
        rows = self.connection.execute(query).all()
        fates: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
        joined = select(delivery_alerts.c.alert_id, deliveries).join(
            deliveries, deliveries.c.id == delivery_alerts.c.delivery_id
        )
        if number_id is not None:
            joined = joined.where(delivery_alerts.c.alert_id.in_(list(fates)))
        for one in self.connection.execute(joined.order_by(deliveries.c.id)):
            if one.alert_id in fates:
                fates[one.alert_id].append(
                    {
                        "channel": one.channel,
                        "state": one.state,
                        "message_id": one.message_id,
                        "attempts": one.attempts,
                        "last_error": one.last_error,
                        "sent_at": one.sent_at,
                        "next_attempt_at": one.next_attempt_at if one.state == "pending" else None,
                        "leased_until": one.leased_until,
                    }
                )
        found = []
        for row in rows:
            alert = _alert(row)
            found.append(
                {
                    "id": row.id,
                    "key": alert.key,
                    "kind": alert.kind,
                    "severity": alert.severity.name,
                    "environment": alert.environment,
                    "number_id": alert.number_id,
                    "number": alert.number,
                    "text": alert.text,
                    "created_at": row.created_at,
                    "deliveries": fates[row.id],
                }
            )
        return found


_ALERTS = (
    select(
        alerts,
        environments.c.name.label("environment"),
        numbers.c.provider_id.label("provider_id"),
        numbers.c.number.label("number"),
    )
    .select_from(alerts)
    .outerjoin(environments, environments.c.id == alerts.c.environment_id)
    .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
)


def _place(kind: str, environment: str, provider_id: str | None) -> str:
    """What the key of an alert begins with; the rest is its mark."""
    return "".join(f"{part}/" for part in (environment, kind, provider_id) if part)


def _mark(alert: Alert, *, known: bool) -> str:
    return alert.key.removeprefix(_place(alert.kind, alert.environment, alert.number_id if known else None))


def _alert(row: Any) -> Alert:
    environment = row.environment or ""
    return Alert(
        key=_place(row.kind, environment, row.provider_id) + row.mark,
        kind=row.kind,
        severity=Severity(row.severity),
        environment=environment,
        headline=row.headline,
        text=row.text,
        number_id=row.provider_id,
        number=row.number or row.provider_id,
        days_left=row.days_left,
    )


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _compact(listed: Entry | None) -> str:
    """The entry's JSON as it came; where it was printed over several lines, without the blanks between its parts."""
    assert listed is not None  # noqa: S101 (a number is new or changed because it is listed)
    entry = bytes(listed.raw)
    if b"\n" in entry:
        entry = msgspec.json.format(entry, indent=-1)
    return entry.decode("utf-8", "replace")


class _State(NamedTuple):
    """A number on the way back through its changes."""

    entry: dict[str, Any]
    seen_at: datetime  # the time that a fraction in the countdown belongs to
    zero_at: int | None
    is_listed: bool

    def before(self, change: Any) -> _State:
        """The number as it was before ``change``."""
        entry = self.entry
        if change.fields is not None:
            entry = dict(entry)
            for name, values in msgspec.json.decode(change.fields).items():
                if "before" in values:
                    entry[name] = values["before"]
                else:
                    entry.pop(name, None)
            return _State(entry, change.started_at, change.zero_before, change.was_listed)
        return self._replace(zero_at=change.zero_before, is_listed=change.was_listed)


def _decode(entry: str) -> dict[str, Any]:
    """The entry as Python values; the standard library takes numbers that msgspec finds too large."""
    try:
        decoded: dict[str, Any] = msgspec.json.decode(entry)
    except msgspec.DecodeError:
        decoded = json.loads(entry)
    return decoded


def _difference(before: dict[str, Any], now: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every field that differs; a field that came or went has no ``before`` or no ``now``."""
    return {
        name: {word: entry[name] for word, entry in (("before", before), ("now", now)) if name in entry}
        for name in {**before, **now}
        if name not in before
        or name not in now
        or before[name] != now[name]
        or type(before[name]) is not type(now[name])
    }


def _ticked(entry: dict[str, Any], seen_at: datetime, zero_at: int | None, at: datetime) -> dict[str, Any]:
    """The entry as it read at ``at``: its countdown went on with the calendar since ``seen_at``, in the form it had."""
    value = entry.get("days_until_monthly_renewal")
    if value is None or zero_at is None or value == "":
        return entry
    then = rules.countdown_at(zero_at, int(at.timestamp()))
    if "." in str(value):  # a fraction ticks with every second, not once a day
        elapsed = (at - seen_at).total_seconds() / DAY_S
        ticked = round(float(value) - elapsed, 6)
        return entry | {"days_until_monthly_renewal": str(ticked) if isinstance(value, str) else ticked}
    form = type(value)
    return entry | {"days_until_monthly_renewal": form(then)}
