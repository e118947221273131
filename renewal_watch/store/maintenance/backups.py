"""Backups by the calendar of ``[backup]``: made, counted, and the old ones let go."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import insert, select

from renewal_watch.database.comparing import sweep
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import about
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError
from renewal_watch.schedule import calendar
from renewal_watch.settings.sections import Backup
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.timers import fired_at, set_fired
from renewal_watch.store.maintenance.saving import save

log = logging.getLogger(__name__)
CALENDAR = "backup"
RETRY = timedelta(hours=1)  # after one that failed
URGENT_AFTER = 2  # times of the schedule in a row at which none was made
_STAMP = "%Y%m%dT%H%M%SZ"
_IDENTITY = "identity"  # the row of ``about`` that tells one database from another; copies have it too


class State(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How backups do, as the calendar keeps it. ``missed`` counts the times of the schedule in a row without a good one."""

    good_at: datetime | None = None
    next_at: datetime | None = None  # when the schedule wants the one after the last good one
    file: str = ""  # the last good one
    size: int = 0  # of it, in bytes
    fault: str | None = None  # of the last try
    missed: int = 0

    @classmethod
    def of(cls, kept: tuple[datetime, str | None] | None) -> State:
        """What ``store.incidents.timers.fired_at`` says of the calendar."""
        return msgspec.json.decode(kept[1], type=cls) if kept and kept[1] else cls()


def is_due(kept: tuple[datetime, str | None] | None, settings: Backup, zone: str, now: datetime) -> bool:
    """Whether a backup is to be made: the first at once, then when the schedule says, and an hour after one that failed."""
    if not settings.directory:
        return False
    if kept is None or calendar.was_put_back(kept[0], now):
        return True
    has_failed = State.of(kept).fault is not None and now - kept[0] >= RETRY
    return has_failed or calendar.last_fire(kept[0], now, settings.schedule, zone) is not None


class Done(NamedTuple):
    """What came of a daily task, in a sentence."""

    said: str
    is_good: bool = True


def keep_up(store: Store, settings: Settings, clock: Callable[[], datetime]) -> Done | None:
    """Make the backup that is due and take away those that need not stay; None where none is due.

    That one failed is written into the calendar, from which ``follow_up`` and ``health`` tell it; it raises StoreError only
    where that cannot be written. A database of a newer release is left to the daemons of that release.
    """
    plan, now = settings.backup, clock()
    with store.reading() as tx:
        kept = fired_at(tx, CALENDAR)
    if not is_due(kept, plan, settings.timezone, now) or store.revision() != HEAD:
        return None
    state = State.of(kept)
    try:
        made, size, gone = _make(store, plan, settings.timezone, now)
    except StoreError as error:
        is_retry = state.fault is not None and kept is not None and not _fires(kept[0], now, plan, settings.timezone)
        state = msgspec.structs.replace(state, fault=str(error), missed=state.missed + (not is_retry))
        done = Done(f"the backup failed: {error}", is_good=False)
        log.error("%s", done.said)  # noqa: TRY400 (a sentence says it all)
    else:
        next_at = calendar.next_fire(now, plan.schedule, settings.timezone)
        state = State(good_at=clock(), next_at=next_at, file=str(made), size=size)
        done = Done(f"backup {made}, {size} bytes, checked" + (f"; {gone} older ones deleted" if gone else ""))
        log.info("%s", done.said)
    with store.transaction() as tx:
        set_fired(tx, CALENDAR, now, msgspec.json.encode(state).decode())
    return done


def _fires(since: datetime, until: datetime, plan: Backup, zone: str) -> bool:
    return since <= until and calendar.last_fire(since, until, plan.schedule, zone) is not None


def _make(store: Store, plan: Backup, zone: str, now: datetime) -> tuple[Path, int, int]:
    """A new backup in the directory, its bytes, and how many others were deleted. Raises StoreError."""
    folder = plan.path
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)  # not its parents: a disk that is not mounted must not become a folder of another
            _give(folder, folder.parent)
    except FileNotFoundError:
        msg = f"backup.directory: {folder.parent} does not exist; make it, or mount what it is on"
        raise StoreError(msg) from None
    except OSError as error:
        msg = (
            f"backup.directory: {folder} cannot be made: {error.strerror}; make it, and let the service's user write it"
        )
        raise StoreError(msg) from None
    of = _of(store)
    try:
        made = _free_name(folder, of, now)
        sweep(folder, f"{of}-")
        save(store, made)
        _give(made, folder)
        size = made.stat().st_size
        names = [path.name for path in folder.iterdir()]
        gone = sorted(set(_ours(names, of)) - staying(_ours(names, of), plan, zone) - {made.name})
        for name in gone:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        msg = f"backup.directory: {folder} cannot be kept in order: {error.strerror or error}"
        raise StoreError(msg) from None
    return made, size, len(gone)


def _give(made: Path, like: Path) -> None:
    """What root makes by hand belongs to whom the folder is: the service's user must be able to write and delete it."""
    if os.geteuid() != 0:
        return
    owner = like.stat()
    descriptor = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:  # what is open, and has this one name: the user may put another thing into the folder meanwhile
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode) or found.st_nlink == 1:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def _of(store: Store) -> str:
    """How the names of the backups of this database begin: another one may have its own in the same directory.

    It goes by what the database has in it, for two machines may have it in the same place, and one may be moved.
    """
    with store.transaction() as tx:
        found = tx.connection.execute(select(about.c.value).where(about.c.name == _IDENTITY)).scalar()
        if found is None:
            found = secrets.token_hex(4)
            tx.connection.execute(insert(about).values(name=_IDENTITY, value=found))
    return f"renewal-watch-{found}"


def _free_name(folder: Path, of: str, now: datetime) -> Path:
    """A name that no file has; a second one within a second is counted."""
    stem = f"{of}-{now.astimezone(UTC):{_STAMP}}"
    names = (f"{stem}{more}.db" for more in ("", *(f"-{count}" for count in range(2, 1000))))
    return next(path for path in map(folder.joinpath, names) if not path.exists())


def _ours(names: Iterable[str], of: str) -> dict[str, datetime]:
    """Those of the names that are backups of this database, with when they were made."""
    form = re.compile(rf"{re.escape(of)}-(\d{{8}}T\d{{6}}Z)(?:-\d+)?\.db")
    found = {}
    for name in names:
        match = form.fullmatch(name)
        with contextlib.suppress(ValueError):  # a name like one of ours with a time that is none
            if match:
                found[name] = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
    return found


def staying(made: Mapping[str, datetime], plan: Backup, zone: str) -> set[str]:
    """Which of the backups stay: the newest of all, and of each of the last days, weeks and months that have one. Pure."""
    where = ZoneInfo(zone)
    newest_first = sorted(made, key=lambda name: (made[name], name), reverse=True)
    stay = set(newest_first[:1])
    spans: tuple[tuple[int, Callable[[datetime], object]], ...] = (
        (plan.keep_daily, lambda at: at.date()),
        (plan.keep_weekly, lambda at: at.isocalendar()[:2]),
        (plan.keep_monthly, lambda at: (at.year, at.month)),
    )
    for count, span in spans:
        seen: dict[object, str] = {}
        for name in newest_first:
            seen.setdefault(span(made[name].astimezone(where)), name)
        stay |= set(list(seen.values())[:count])
    return stay
