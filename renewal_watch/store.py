"""What is remembered: one transaction for each poll, each claim and each outcome; questions about the past.

Every method of ``Transaction`` belongs to one ``Store.transaction()``: it commits as a whole at the end of the block, or
nothing of it happened. On SQLite a transaction holds the write lock from its start, so that what it read stays true.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from renewal_watch.errors import StoreError, UsageError
from renewal_watch.model import Verdict
from renewal_watch.outbox import Outbox
from renewal_watch.routing import Routing
from renewal_watch.schema import (
    HEAD,
    open_engine,
    sqlite_path,
    write_instant,
)
from renewal_watch.snapshots import PollRecord, Schedule


class Store:
    """The database behind one URL."""

    def __init__(self, url: str, *, reads_only: bool = False) -> None:
        self.engine: Engine = open_engine(url, reads_only=reads_only)
        self.path = sqlite_path(url)

    def close(self) -> None:
        """Give the connections back; the store can not be used afterwards."""
        self.engine.dispose()

    @contextmanager
    def copied(self) -> Iterator[Store]:
        """A copy for the length of the block, for what takes long: whoever reads this one holds up its writers' commits."""
        with tempfile.TemporaryDirectory(prefix="renewal-watch-") as folder:
            path = Path(folder) / "copy.db"
            self.backup(path)
            copy = Store(f"sqlite:///{path}")
            copy.hurry()
            try:
                yield copy
            finally:
                copy.close()

    def hurry(self) -> None:
        """Do not wait for the disk: for a copy that nobody needs after a crash."""
        connection = self.engine.raw_connection()  # the only one; a transaction would be too late
        connection.cursor().execute("PRAGMA synchronous = OFF")
        connection.close()

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
            "silences": "DELETE FROM silences WHERE ended_at < :before",
            "actions": "DELETE FROM actions WHERE at < :before",
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


class Transaction(Outbox):
    """The open transaction; see the module."""

    def record(
        self,
        environment_id: int,
        verdict: Verdict,
        poll: PollRecord | None,
        schedule: Schedule | None,
        routing: Routing,
        now: datetime,
    ) -> int:
        """Write one poll: its line, the changes, what is kept of numbers and environment, alerts and deliveries.

        Returns how many alerts are new.
        """
        self.write(environment_id, verdict, poll, schedule, now)
        self.close_matters(verdict.ended)
        self.review(environment_id, [known.pk for known in verdict.updates if known.provider_id in verdict.versions])
        return self.tell(verdict.alerts, routing, now)
