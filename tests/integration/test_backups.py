"""Backups: whole or not there, rotated, told when they fail; and back again, unless what is put back is not sound."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import databases
import msgspec
import pytest
from commands import call as run
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, SQLITE_ONLY, changed, opened, section, url_of
from hypothesis import given
from hypothesis import strategies as st
from rounds import few
from test_copying import filled, plain

from renewal_watch.config.loading import load
from renewal_watch.daemon.lock import only_one
from renewal_watch.database import comparing, copying
from renewal_watch.database.revision import HEAD
from renewal_watch.database.store import Store, _migrations
from renewal_watch.diagnostics import health
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Backup
from renewal_watch.settings.whole import Settings
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.timers import fired_at, set_fired
from renewal_watch.store.maintenance import backups, restoring, saving
from renewal_watch.store.maintenance import daily as maintenance_daily
from renewal_watch.store.maintenance.backups import CALENDAR, State, keep_up, staying
from renewal_watch.store.maintenance.restoring import restore
from renewal_watch.store.maintenance.saving import save
from renewal_watch.store.outbox.alerts import alerts_since
from renewal_watch.timed import follow_up

pytestmark = BOTH
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, empty: Path) -> Path:
    """A database with rows in every table, on the engine of the run."""
    path = tmp_path_factory.mktemp("full") / "watch.db"
    filled(opened(databases.copied(empty, path))).close()
    return path


@pytest.fixture
def store(full: Path, tmp_path: Path) -> Iterator[Store]:
    one = opened(databases.copied(full, tmp_path / "watch.db"))
    yield one
    one.close()


@contextlib.contextmanager
def as_file(path: Path) -> Iterator[Store]:
    """What is in a backup."""
    one = Store(f"sqlite:///{path}", reads_only=True)
    try:
        yield one
    finally:
        one.close()


# --- making one -------------------------------------------------------------------------------------------------------


def test_a_backup_has_everything_is_the_owner_s_alone_and_needs_no_other_file(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    save(store, folder / "one.db")
    assert [path.name for path in folder.iterdir()] == ["one.db"]
    assert stat.S_IMODE((folder / "one.db").stat().st_mode) == 0o600
    with as_file(folder / "one.db") as backup:
        backup.require_current()
        assert plain(backup) == plain(store)
    with contextlib.closing(sqlite3.connect(folder / "one.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT name, value FROM about").fetchall() == [("least", "0006")]


def test_it_replaces_an_older_one_of_the_same_name_only_when_it_is_whole(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "one.db"
    target.write_bytes(b"the older one")
    with smallest_files(20_000), pytest.raises(StoreError, match=f"{target} cannot be written"):
        save(store, target)
    assert target.read_bytes() == b"the older one"
    save(store, target)
    with as_file(target) as backup:
        backup.require_current()
    assert not list(tmp_path.glob("*.part*"))


@contextlib.contextmanager
def smallest_files(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_killed_backup_left_is_taken_away_by_the_next_and_one_under_way_is_not(
    store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "one.db"
    for name in ("one.db.abc.part", "one.db.abc.part-journal", "other.db.x.part"):
        (tmp_path / name).write_bytes(b"x")
    with comparing.appearing(target) as part:
        save(store, target)
        assert part.exists()
        part.write_bytes(target.read_bytes())
    assert {path.name for path in tmp_path.glob("*.part*")} == {"other.db.x.part"}


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nosuch/one.db", "cannot be written: No such file or directory"),
        ("file/one.db", "cannot be written: Not a directory"),
        ("/proc/one.db", "cannot be written: "),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(store: Store, tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=said):
        save(store, tmp_path / place)


@SQLITE_ONLY
@pytest.mark.parametrize("name", ["watch.db", "watch.db-journal", "watch.db-wal", "watch.db.lock", "link.db"])
def test_the_database_itself_is_no_place_for_its_backup(store: Store, tmp_path: Path, name: str) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "watch.db")
    with pytest.raises(UsageError, match="is the database itself"):
        save(store, tmp_path / name)


@SQLITE_ONLY
@pytest.mark.usefixtures("store")
def test_a_backup_under_constant_writing_is_one_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step begins anew after a write by another connection; after some of them it goes in one go."""
    monkeypatch.setattr(copying, "STEP", 2)
    monkeypatch.setattr(copying, "PAUSE_S", 0)
    target = sqlite3.connect(tmp_path / "one.db")
    source = sqlite3.connect(tmp_path / "watch.db", isolation_level=None)
    writer = sqlite3.connect(tmp_path / "watch.db", isolation_level=None)
    writer.execute("PRAGMA synchronous = OFF")
    written = 0

    class Busy:
        """Somebody who writes between two steps."""

        def __getattr__(self, name: str) -> Any:
            return getattr(source, name)

        def backup(self, other: sqlite3.Connection, *, progress: Any, **more: Any) -> None:
            def between(*told: int) -> None:
                nonlocal written
                if told[1]:
                    written += 1
                    writer.execute("UPDATE alerts SET headline = ?, text = ?", (written, written))
                progress(*told)

            source.backup(other, progress=between, **more)

    copying._by_steps(Busy(), target)  # type: ignore[arg-type]
    assert written > copying.RESTARTS
    assert target.execute("SELECT DISTINCT headline, text FROM alerts").fetchall() == [(str(written), str(written))]
    for one in (target, source, writer):
        one.close()


@SQLITE_ONLY
def test_a_damaged_database_is_not_backed_up(store: Store, tmp_path: Path) -> None:
    store.close()
    path = tmp_path / "watch.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries'").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged \(.*\), so it was not copied; see: renewal-watch db check"):
        copying.copy_file(path, tmp_path / "one.db")
    assert not (tmp_path / "one.db").exists()


# --- putting one back -------------------------------------------------------------------------------------------------


def test_what_was_is_again_and_what_came_since_is_kept_beside(store: Store, tmp_path: Path) -> None:
    before = plain(store)
    save(store, tmp_path / "one.db")
    changed(tmp_path / "watch.db", "UPDATE alerts SET text = 'later'")
    changed(tmp_path / "watch.db", "DELETE FROM actions")
    since = plain(store)
    store.close()
    kept = restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)
    assert plain(opened(tmp_path / "watch.db")) == before
    assert kept is not None
    with as_file(kept) as old:
        assert plain(old) == since
    again = restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)
    assert again is not None
    assert again != kept


def test_it_is_restored_where_nothing_is(store: Store, tmp_path: Path) -> None:
    save(store, tmp_path / "one.db")
    assert restore(tmp_path / "one.db", url_of(tmp_path / "new.db", is_empty=True), tmp_path) is None
    assert plain(opened(tmp_path / "new.db")) == plain(store)


@POSTGRESQL_ONLY
def test_an_unfinished_copy_is_replaced_and_not_kept(store: Store, tmp_path: Path) -> None:
    before = plain(store)
    save(store, tmp_path / "one.db")
    changed(tmp_path / "watch.db", "INSERT INTO about (name, value) VALUES ('copying', 'elsewhere')")
    changed(tmp_path / "watch.db", "DELETE FROM actions")
    assert restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path) is None
    store.require_current()
    assert plain(store) == before


def broken(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 8 : 4096 * 12] = b"\xa5" * (4096 * 4)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut, "is damaged .*malformed"),
        (overwritten, "is damaged"),
        (lambda path: path.write_bytes(b"noise" * 5000), "is not a database of renewal-watch .*file is not a database"),
        (lambda path: path.write_bytes(b""), "is not a database of renewal-watch .*no such table"),
        (lambda path: broken(path, "DROP TABLE alembic_version"), "is not a database of renewal-watch"),
        (lambda path: broken(path, "DELETE FROM alembic_version"), "is not a database of renewal-watch"),
        (
            lambda path: (
                broken(path, "UPDATE alembic_version SET version_num = '0010'"),
                broken(path, "UPDATE about SET value = '0010'"),
            ),
            r"newer release \(schema 0010\); install that release first",
        ),
        (
            lambda path: broken(path, "INSERT INTO about VALUES ('copying', 'far away')"),
            "copy of far away that was not",
        ),
    ],
)
def test_what_is_not_sound_is_refused_and_the_database_left_as_it_is(
    store: Store, tmp_path: Path, spoil: Any, said: str
) -> None:
    backup = tmp_path / "one.db"
    save(store, backup)
    spoil(backup)
    before = plain(store)
    with pytest.raises(StoreError, match=f"{said}.*; the database was left as it is"):
        restore(backup, url_of(tmp_path / "watch.db"), tmp_path)
    assert plain(store) == before
    assert not list(tmp_path.glob("*.replaced-*"))


def test_one_of_an_older_release_is_put_back_and_brought_up_to_date(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    older(path)
    store.close()
    restore(path, url_of(tmp_path / "watch.db"), tmp_path)
    store = opened(tmp_path / "watch.db")
    store.require_current()
    assert store.revision() == HEAD
    with store.reading() as tx:
        assert [watch.name for _, watch, _ in environment_states(tx)] == ["long ago"]
    assert not list(tmp_path.glob("renewal-watch-*")), "nothing is left of the work on the side"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)


def older(path: Path) -> None:
    """A database of the schema 0002, with an environment."""
    from alembic import command
    from alembic.config import Config

    made = Store(f"sqlite:///{path}")
    with made.engine.begin() as connection:
        settings = Config()
        settings.set_main_option("script_location", str(_migrations()))
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0002")
        connection.exec_driver_sql(
            "INSERT INTO environments (name, numbers, has_baseline, failures, told, invalid)"
            " VALUES ('long ago', 0, 0, 0, '[]', '[]')"
        )
    made.close()


def test_one_of_a_newer_release_that_this_one_can_use(store: Store, tmp_path: Path) -> None:
    """A file is taken as it is; rows of columns that this release does not know would be lost on the way to a server."""
    save(store, tmp_path / "one.db")
    broken(tmp_path / "one.db", "UPDATE alembic_version SET version_num = '9999'")
    store.close()
    if store.is_shared:
        with pytest.raises(StoreError, match="schema 9999 of a newer release; put it into a server with that release"):
            restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)
    else:
        restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)
        opened(tmp_path / "watch.db").require_current()


@SQLITE_ONLY
def test_what_stood_beside_the_old_file_is_not_played_back_into_the_new_one(store: Store, tmp_path: Path) -> None:
    """A process that died left a write-ahead log: it belongs to the old file, and stays with it."""
    path = tmp_path / "watch.db"
    save(store, tmp_path / "one.db")
    before = plain(store)
    store.close()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("UPDATE alerts SET text = 'in the log'")
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{path}{ending}.died")
    writer.close()
    for ending in ("", "-wal"):
        shutil.move(f"{path}{ending}.died", f"{path}{ending}")
    kept = restore(tmp_path / "one.db", f"sqlite:///{path}", tmp_path)
    assert {one.name for one in tmp_path.glob("watch.db*")} == {"watch.db", "watch.db.replaced-1"}
    assert plain(opened(path)) == before
    assert kept is not None
    with contextlib.closing(sqlite3.connect(kept)) as old:
        assert old.execute("SELECT DISTINCT text FROM alerts").fetchall() == [("in the log",)]


@SQLITE_ONLY
def test_a_damaged_database_is_replaced_with_what_stands_beside_it(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    save(store, tmp_path / "one.db")
    before = plain(store)
    store.close()
    path.write_bytes(b"SQLite format 3\0 and then nothing that is right" * 100)
    (tmp_path / "watch.db-wal").write_bytes(b"\x37\x7f\x06\x82 a log")
    restore(tmp_path / "one.db", f"sqlite:///{path}", tmp_path)
    assert plain(opened(path)) == before
    assert not (tmp_path / "watch.db-wal").exists()


@SQLITE_ONLY
def test_a_database_in_use_is_not_replaced(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "SETTLE_S", 0)
    save(store, tmp_path / "one.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "watch.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("SELECT * FROM about").fetchall()
        with pytest.raises(StoreError, match=r"another process uses the database .*; stop it first"):
            restore(tmp_path / "one.db", f"sqlite:///{tmp_path}/watch.db", tmp_path)
    with pytest.raises(UsageError, match="is the database itself"):
        restore(tmp_path / "watch.db", f"sqlite:///{tmp_path}/watch.db", tmp_path)


@POSTGRESQL_ONLY
def test_a_server_with_a_living_daemon_is_left_alone(store: Store, tmp_path: Path) -> None:
    save(store, tmp_path / "one.db")
    changed(
        tmp_path / "watch.db",
        "UPDATE instances SET alive_until = '2999-01-01T00:00:00.000000Z', host = 'one' WHERE pid > 0",
    )
    with pytest.raises(StoreError, match=r"is used by the daemon on one .process \d+.*; stop it first"):
        restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)


@POSTGRESQL_ONLY
def test_nothing_comes_in_between_what_is_kept_and_what_is_put_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, tmp_path / "one.db")
    other = opened(tmp_path / "watch.db")
    databases.impatient(other)
    real, refused = saving.save, []

    def saves(*words: Any) -> None:
        real(*words)
        try:
            with other.transaction("environment production"):
                pass
        except StoreError as error:
            refused.append(str(error))

    monkeypatch.setattr(restoring, "save", saves)
    assert restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)
    assert len(refused) == 1
    with other.transaction("environment production"):
        pass


@POSTGRESQL_ONLY
def test_what_cannot_be_kept_is_not_replaced_and_what_to_do_is_said(store: Store, tmp_path: Path) -> None:
    save(store, tmp_path / "one.db")
    changed(tmp_path / "watch.db", "DROP TABLE incidents")
    with pytest.raises(StoreError, match=r"cannot be kept.*make a new database, name it in database.url"):
        restore(tmp_path / "one.db", url_of(tmp_path / "watch.db"), tmp_path)


# --- which stay -------------------------------------------------------------------------------------------------------


def named(*times: str) -> dict[str, datetime]:
    return {text: datetime.fromisoformat(text).replace(tzinfo=UTC) for text in times}


@pytest.mark.parametrize(
    ("keep", "made", "stay"),
    [
        ((0, 0, 0), ["2026-11-22", "2026-11-23"], ["2026-11-23"]),
        ((2, 0, 0), ["2026-11-20", "2026-11-21", "2026-11-23"], ["2026-11-21", "2026-11-23"]),
        ((1, 0, 0), ["2026-11-23T03", "2026-11-23T04", "2026-11-23T05"], ["2026-11-23T05"]),
        ((2, 0, 0), ["2026-11-23T22", "2026-11-23T23:30"], ["2026-11-23T22", "2026-11-23T23:30"]),  # midnight in Berlin
        ((0, 2, 0), ["2026-11-15", "2026-11-16", "2026-11-22", "2026-11-23"], ["2026-11-22", "2026-11-23"]),
        (
            (0, 2, 0),
            ["2026-12-27", "2026-12-28", "2027-01-02"],
            ["2026-12-27", "2027-01-02"],
        ),  # the week of the new year
        ((0, 0, 2), ["2026-09-30", "2026-10-01", "2026-10-30", "2026-11-02"], ["2026-10-30", "2026-11-02"]),
        ((1, 1, 2), ["2026-10-30", "2026-11-22", "2026-11-23"], ["2026-10-30", "2026-11-23"]),
        ((7, 4, 12), [], []),
    ],
)
def test_which_backups_stay(keep: tuple[int, int, int], made: list[str], stay: list[str]) -> None:
    daily, weekly, monthly = keep
    plan = Backup(keep_daily=daily, keep_weekly=weekly, keep_monthly=monthly)
    assert staying(named(*made), plan, "Europe/Berlin") == set(stay)


@few(60)
@given(
    days=st.lists(st.integers(0, 900), unique=True, min_size=1, max_size=80),
    keep=st.tuples(st.integers(0, 9), st.integers(0, 6), st.integers(0, 14)),
)
def test_the_newest_always_stays_and_day_by_day_the_spans_fill_up(days: list[int], keep: tuple[int, int, int]) -> None:
    """A backup a day, rotated each day, is the same as all of them rotated at the end: what goes would not be missed."""
    plan = Backup(keep_daily=keep[0], keep_weekly=keep[1], keep_monthly=keep[2])
    made = {str(day): T0 + day * DAY for day in days}
    kept: dict[str, datetime] = {}
    for day in sorted(days):
        kept[str(day)] = made[str(day)]
        stay = staying(kept, plan, "UTC")
        assert str(day) in stay
        kept = {name: kept[name] for name in stay}
    assert set(kept) == staying(made, plan, "UTC")
    assert len(kept) <= max(1, sum(keep))


# --- on a schedule ----------------------------------------------------------------------------------------------------


class Nights:
    """A daemon's days, moved by hand: backups at half past three, what is told of them, and the files that are there."""

    def __init__(self, store: Store, folder: Path, **plan: Any) -> None:
        self.store = store
        self.folder = folder
        self.now = T0
        self.settings = settings_of(folder, **plan)
        self.way = Routing(channels=(Channel(name="chat", url="json://127.0.0.1:1"),), backup=self.settings.backup)

    def turn(self) -> str | None:
        done = keep_up(self.store, self.settings, lambda: self.now)
        return done and done.said

    def told(self) -> list[tuple[str, str]]:
        """What a turn of time tells: kinds and severities."""
        with self.store.reading() as tx:
            last = max((row[0] for row in tx.rows("SELECT max(id) FROM alerts").fetchall() if row[0]), default=0)
        follow_up.run_once(self.store, self.way, {}, self.now)
        with self.store.reading() as tx:
            return [(alert.kind, alert.severity.name) for _, alert, _ in alerts_since(tx, last)]

    def state(self) -> State:
        with self.store.reading() as tx:
            return State.of(fired_at(tx, CALENDAR))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def settings_of(folder: Path, **plan: Any) -> Settings:
    path = folder.parent / "config.toml"
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in plan.items())
    path.write_text(
        f'[[environments]]\nname = "production"\nbase_url = "http://127.0.0.1:1"\ntoken = "talq_x"\n'
        f'[backup]\ndirectory = "{folder}"\n{lines}'
    )
    path.chmod(0o600)
    return load(path)


@pytest.fixture
def nights(tmp_path: Path, empty: Path) -> Iterator[Nights]:
    one = opened(databases.copied(empty, tmp_path / "watch.db"))
    yield Nights(one, tmp_path / "backups")
    one.close()


def test_the_first_comes_at_once_the_others_when_the_schedule_says(nights: Nights) -> None:
    said = nights.turn()
    assert said is not None
    assert "checked" in said
    assert nights.turn() is None
    nights.now = T0 + 15 * HOUR
    assert nights.turn() is None
    nights.now = T0 + 16 * HOUR
    assert nights.turn() is not None
    assert [name[len("renewal-watch-12345678-") :] for name in nights.files()] == [
        "20261123T120000Z.db",
        "20261124T040000Z.db",
    ]
    assert stat.S_IMODE(nights.folder.stat().st_mode) == 0o700
    state = nights.state()
    assert state.next_at == datetime(2026, 11, 25, 3, 30, tzinfo=UTC)
    assert state.file == str(nights.folder / nights.files()[1])
    with as_file(Path(state.file)) as backup:
        backup.require_current()
    assert nights.told() == []


def test_without_a_directory_there_is_none(nights: Nights) -> None:
    nights.settings = msgspec.structs.replace(nights.settings, backup=Backup())
    assert nights.turn() is None
    assert maintenance_daily.is_due(nights.store, nights.settings, T0) is False


def test_the_daily_turn_makes_it_before_anything_is_let_go(nights: Nights) -> None:
    assert maintenance_daily.is_due(nights.store, nights.settings, T0)
    maintenance_daily.run_once(nights.store, nights.settings, lambda: T0, lambda _: None)
    nights.now = T0 + DAY
    said = maintenance_daily.run_once(nights.store, nights.settings, lambda: nights.now, lambda _: None)
    assert [one.said.split()[0] for one in said] == ["backup"], "and nothing was old enough"
    assert not maintenance_daily.is_due(nights.store, nights.settings, nights.now)


def test_rotation_takes_only_its_own(nights: Nights) -> None:
    """Of another database in the same directory, of the same one by hand, or called nearly like one: all stay."""
    nights.settings = settings_of(nights.folder, keep_daily=2, keep_weekly=0, keep_monthly=0)
    nights.turn()
    (own,) = nights.files()
    others = [
        "by-hand.db",
        "renewal-watch-00000000-20200101T000000Z.db",
        own.replace(".db", ".db.gz"),
        own.replace("20261123T120000Z", "20269923T120000Z"),
        own.replace("20261123T120000Z", "2026-11-23"),
    ]
    for name in others:
        (nights.folder / name).write_bytes(b"mine")
    for _ in range(4):
        nights.now += DAY
        nights.turn()
    assert set(others) < set(nights.files())
    mine = sorted(set(nights.files()) - set(others))
    assert [name[-19:] for name in mine] == ["20261126T120000Z.db", "20261127T120000Z.db"]


@SQLITE_ONLY
def test_another_database_in_the_same_place_of_another_machine_has_its_own(nights: Nights, empty: Path) -> None:
    nights.settings = settings_of(nights.folder, keep_daily=1, keep_weekly=0, keep_monthly=0)
    nights.turn()
    (theirs,) = nights.files()
    nights.store.close()
    path = databases.path_of(nights.store)
    path.write_bytes(empty.read_bytes())
    nights.store = opened(path)
    for _ in range(3):
        nights.now += DAY
        nights.turn()
    assert theirs in nights.files()
    assert len(nights.files()) == 2


def test_what_a_stop_left_of_an_earlier_one_is_taken_away(nights: Nights) -> None:
    nights.turn()
    (own,) = nights.files()
    nights.now += DAY
    (nights.folder / own.replace(".db", ".db.abc.part")).write_bytes(b"half")
    (nights.folder / "other.db.abc.part").write_bytes(b"mine")
    nights.turn()
    assert [name for name in nights.files() if name.endswith(".part")] == ["other.db.abc.part"]


def test_two_within_one_second_are_two(nights: Nights) -> None:
    nights.turn()
    with nights.store.transaction() as tx:
        set_fired(tx, CALENDAR, T0 + DAY)  # as by a clock that was put back
    nights.turn()
    assert {name[-10:] for name in nights.files()} == {"120000Z.db", "0000Z-2.db"}


def test_one_that_fails_is_told_tried_again_and_its_end_is_told(nights: Nights) -> None:
    nights.folder.write_text("in the way")
    said = nights.turn()
    assert said is not None
    assert "cannot be" in said
    assert nights.told() == [("backup.failed", "warning")]
    assert nights.told() == []
    nights.now += HOUR / 2
    assert nights.turn() is None
    nights.now += HOUR / 2
    assert nights.turn() is not None
    assert nights.state().missed == 1
    assert nights.told() == []
    nights.now = T0 + 16 * HOUR  # the schedule's next time
    nights.turn()
    assert nights.state().missed == 2
    assert nights.told() == [("backup.failed", "critical")]
    nights.now += DAY
    nights.turn()
    assert nights.told() == [("backup.failed", "critical")]  # its reminder
    nights.folder.unlink()
    nights.now += HOUR
    assert "checked" in (nights.turn() or "")
    assert nights.state().fault is None
    assert nights.told() == [("watch.recovered", "info")]
    assert nights.told() == []


def test_what_is_told_says_what_failed_and_when_the_last_good_one_was(nights: Nights) -> None:
    nights.turn()
    shutil.rmtree(nights.folder)
    nights.folder.parent.joinpath("backups").write_text("in the way")
    nights.now += DAY
    nights.turn()
    nights.told()
    ((text,),) = databases.asked(
        nights.folder.parent / "watch.db", "SELECT text FROM alerts WHERE kind = 'backup.failed'"
    )
    assert "The last good one is of 2026-11-23 12:00 UTC" in text
    assert "backup.directory" in text
    assert "renewal-watch db backup FILE" in text


def test_switched_off_it_is_no_incident_any_more(nights: Nights) -> None:
    nights.folder.write_text("in the way")
    nights.turn()
    nights.told()
    nights.way = Routing(channels=nights.way.channels)
    nights.now += 3 * DAY
    assert nights.told() == []
    with nights.store.reading() as tx:
        left = [key for key in incidents_of(tx) if key.topic == "backup"]
    assert left == [] or nights.store.is_shared


def test_a_disk_that_is_full_loses_no_older_one(nights: Nights) -> None:
    nights.settings = settings_of(nights.folder, keep_daily=1, keep_weekly=0, keep_monthly=0)
    nights.turn()
    before = nights.files()
    nights.now += DAY
    with smallest_files(20_000):
        said = nights.turn() if nights.store.is_shared else None
        if not nights.store.is_shared:  # the database itself must not grow either; here it does not have to
            with pytest.raises(StoreError):
                backups._make(nights.store, nights.settings.backup, "UTC", nights.now)
    assert said is None or "cannot be written" in said
    assert nights.files() == before


def test_a_directory_on_what_is_not_mounted_is_not_made(nights: Nights, tmp_path: Path) -> None:
    plan = Backup(directory=str(tmp_path / "disk" / "backups"))
    nights.settings = msgspec.structs.replace(nights.settings, backup=plan)
    assert "make it, or mount what it is on" in (nights.turn() or "")
    assert not (tmp_path / "disk").exists()


def test_the_schema_of_a_newer_release_is_left_to_its_daemons(nights: Nights, tmp_path: Path) -> None:
    changed(tmp_path / "watch.db", "UPDATE alembic_version SET version_num = '9999'")
    assert nights.turn() is None
    if nights.store.is_shared:
        with pytest.raises(StoreError, match="do this with that release"):
            save(nights.store, tmp_path / "one.db")


def test_health_says_how_backups_do(nights: Nights) -> None:
    def finding() -> tuple[bool, str]:
        with nights.store.reading() as tx:
            (found,) = health._backup(tx, nights.settings, nights.now)
        return found.ok, found.reason

    assert finding() == (True, "no backup was made yet")
    nights.turn()
    nights.now += HOUR
    assert finding() == (True, "the last backup was made 1 h ago")
    nights.now = T0 + DAY
    assert finding() == (
        False,
        "the last backup was made 1 d ago, and the next one is late; it is made by: renewal-watch run",
    )
    shutil.rmtree(nights.folder)
    nights.folder.write_text("in the way")
    nights.turn()
    assert finding() == (False, "the backup fails, the last backup was made 1 d ago; see: renewal-watch doctor")


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def configuration(full: Path, tmp_path: Path) -> Path:
    databases.copied(full, tmp_path / "renewal-watch.db")
    path = tmp_path / "config.toml"
    path.write_text(
        f'state_dir = "{tmp_path}"\n{section(tmp_path / "renewal-watch.db")}'
        '[[environments]]\nname = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_made_up"\n'
    )
    path.chmod(0o600)
    return path


def test_there_and_back_by_hand(configuration: Path, tmp_path: Path) -> None:
    told = json.loads(run(configuration, "db", "backup", str(tmp_path / "one.db"), "--json").output)
    assert told["bytes"] == (tmp_path / "one.db").stat().st_size
    changed(tmp_path / "renewal-watch.db", "DELETE FROM actions")
    told = json.loads(run(configuration, "db", "restore", str(tmp_path / "one.db"), "--json").output)
    assert Path(told["kept"]).exists()
    assert databases.asked(tmp_path / "renewal-watch.db", "SELECT count(*) FROM actions") == [(5,)], (
        "and who put it back"
    )


def test_what_was_revoked_stays_revoked_when_a_backup_is_put_back(configuration: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    for table in ("tokens", "revoked_links", "actions"):
        changed(tmp_path / "renewal-watch.db", f"DELETE FROM {table}")
    for name in ("leaked", "good"):
        run(configuration, "web", "token", "create", name)
    run(configuration, "db", "backup", str(tmp_path / "one.db"))
    run(configuration, "web", "token", "revoke", "leaked")
    said = run(configuration, "db", "restore", str(tmp_path / "one.db")).output
    assert "tokens of the backup that had been revoked since, and are again: 1" in said
    listed = json.loads(run(configuration, "web", "token", "list", "--json").output)
    assert {one["name"]: one["active"] for one in listed} == {"leaked": False, "good": True}
    assert databases.asked(tmp_path / "renewal-watch.db", "SELECT count(*) FROM revoked_links") == [(1,)]


@SQLITE_ONLY
def test_of_a_database_that_is_gone_nobody_knows_what_was_revoked(configuration: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    for table in ("tokens", "revoked_links", "actions"):
        changed(tmp_path / "renewal-watch.db", f"DELETE FROM {table}")
    run(configuration, "web", "token", "create", "good")
    run(configuration, "db", "backup", str(tmp_path / "one.db"))
    (tmp_path / "renewal-watch.db").unlink()
    said = run(configuration, "db", "restore", str(tmp_path / "one.db")).output
    assert "1 tokens count as they did in the backup; what was revoked since, revoke again" in said


@SQLITE_ONLY
def test_restore_refuses_a_running_daemon(configuration: Path, tmp_path: Path) -> None:
    run(configuration, "db", "backup", str(tmp_path / "one.db"))
    with only_one(tmp_path / "renewal-watch.db"):
        done = run(configuration, "db", "restore", str(tmp_path / "one.db"), code=1)
    assert f"another daemon (process {os.getpid()})" in done.output


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('directory = "backups"', "backup.directory: 'backups' is no whole path; write it like /var/lib"),
        ('schedule = "at night"', "backup.schedule: 'at night' is not understood"),
        ("keep_daily = -1", "backup.keep_daily"),
        ("keep = 3", "backup.keep: unknown key"),
    ],
)
def test_faults_of_the_section_are_named(configuration: Path, lines: str, said: str) -> None:
    configuration.write_text(f"{configuration.read_text()}\n[backup]\n{lines}\n")
    assert said in run(configuration, "config", "check", code=78).output


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_what_is_no_file_is_not_replaced_by_a_backup(configuration: Path, tmp_path: Path, kind: str) -> None:
    """Root could put a file in the place of a device, and then everything that uses it fails."""
    target = tmp_path / "there"
    if kind == "pipe":
        os.mkfifo(target)
    elif kind == "directory":
        target.mkdir()
    else:
        target.symlink_to("/dev/zero")
    before = target.stat()
    said = run(configuration, "db", "backup", str(target), code=1 if kind != "directory" else None).output
    assert kind == "directory" or "is there and is no file; name another one" in said
    assert target.stat() == before
