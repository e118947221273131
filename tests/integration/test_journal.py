"""Which journal a SQLite file has: write-ahead logging only where its release cannot corrupt the file by it.

sqlite.org/wal.html#walresetbug: releases before 3.51.3 but 3.50.7 and 3.44.6 can, when two connections write and
checkpoint at once. The release here is what it is, so tests say which kind it is to be taken for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import T0

from renewal_watch.database import sqlite
from renewal_watch.database.sqlite import wal_is_safe
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError
from renewal_watch.store.incidents.timers import set_fired


@pytest.mark.parametrize(
    ("version", "is_safe"),
    [
        ((3, 37, 2), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 1), False),
        ((3, 46, 1), False),
        ((3, 49, 2), False),
        ((3, 50, 4), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_which_releases_may_keep_a_write_ahead_log(version: tuple[int, ...], is_safe: bool) -> None:
    assert wal_is_safe(version) is is_safe


@pytest.fixture
def safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "wal_is_safe", lambda: True)


@pytest.fixture
def unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "wal_is_safe", lambda: False)


@contextlib.contextmanager
def opened(path: Path, **options: bool) -> Iterator[Store]:
    store = Store(f"sqlite:///{path}", **options)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def path(tmp_path: Path, empty: Path) -> Path:
    """A database with a rollback journal."""
    copy = tmp_path / "watch.db"
    copy.write_bytes(empty.read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return copy


def pragma(store: Store, name: str) -> object:
    with store.reading() as tx:
        return tx.rows(f"PRAGMA {name}").fetchone()[0]


def written(store: Store, name: str) -> None:
    with store.transaction() as tx:
        set_fired(tx, name, T0)


def names(store: Store) -> list[str]:
    with store.reading() as tx:
        return [row[0] for row in tx.rows("SELECT name FROM calendars ORDER BY name")]


def in_log_mode(path: Path) -> sqlite3.Connection:
    """Another process's connection, that writes ahead."""
    other = sqlite3.connect(path, isolation_level=None)
    assert other.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    other.execute("INSERT INTO calendars (name, fired_at) VALUES ('theirs', '2026-11-23T12:00:00.000000Z')")
    return other


@pytest.mark.usefixtures("safe")
def test_a_new_file_gets_a_write_ahead_log_where_it_is_safe(tmp_path: Path) -> None:
    with opened(tmp_path / "new.db") as store:
        store.upgrade()
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("wal", 2)  # FULL
    with opened(tmp_path / "new.db") as again:
        assert (pragma(again, "journal_mode"), pragma(again, "synchronous")) == ("wal", 2)


@pytest.mark.usefixtures("unsafe")
def test_and_a_rollback_journal_where_it_is_not(tmp_path: Path) -> None:
    with opened(tmp_path / "new.db") as store:
        store.upgrade()
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("truncate", 3)  # EXTRA


@pytest.mark.usefixtures("safe")
def test_a_file_that_others_may_have_open_keeps_its_rollback_journal(path: Path) -> None:
    """A switch would take along a process whose SQLite is another one."""
    with opened(path) as store:
        written(store, "ours")
        assert (pragma(store, "journal_mode"), pragma(store, "synchronous")) == ("truncate", 3)


@pytest.mark.usefixtures("unsafe")
def test_a_log_that_some_other_program_left_is_taken_in_and_given_up(path: Path) -> None:
    other = in_log_mode(path)
    other.close()
    with opened(path) as store:
        written(store, "ours")
        assert pragma(store, "journal_mode") == "truncate"
        assert names(store) == ["ours", "theirs"]
    assert not path.with_name("watch.db-wal").exists()


@pytest.mark.usefixtures("unsafe")
def test_also_the_log_of_one_that_died(path: Path) -> None:
    other = in_log_mode(path)
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", f"{path}{ending}.died")
    other.close()
    for ending in ("", "-wal"):
        shutil.move(f"{path}{ending}.died", f"{path}{ending}")
    with opened(path) as store:
        assert names(store) == ["theirs"]
        assert pragma(store, "journal_mode") == "truncate"


@pytest.mark.usefixtures("unsafe")
def test_while_another_process_has_it_open_nothing_is_written_into_its_log(path: Path) -> None:
    with contextlib.closing(in_log_mode(path)), opened(path) as store:
        for _ in range(2):
            with pytest.raises(
                StoreError, match=r"has a write-ahead log, which SQLite .* of this process can corrupt, and"
            ):
                written(store, "ours")
    with opened(path) as store:
        written(store, "ours")
        assert names(store) == ["ours", "theirs"]


@pytest.mark.usefixtures("unsafe")
def test_it_may_be_read_meanwhile_and_its_mode_is_left_alone(path: Path) -> None:
    with contextlib.closing(in_log_mode(path)) as other:
        with opened(path, reads_only=True) as store:
            assert names(store) == ["theirs"]
            assert pragma(store, "journal_mode") == "wal"
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.usefixtures("unsafe")
def test_a_file_that_is_switched_while_it_is_open_is_noticed_before_the_next_write(path: Path) -> None:
    """SQLite takes every open connection along, without a word; as soon as the other is gone, it is switched back."""
    with opened(path) as store:
        written(store, "ours")
        other = in_log_mode(path)
        with pytest.raises(StoreError, match="stop that one, or use its Python for both"):
            written(store, "lost")
        other.close()
        written(store, "after")
        assert pragma(store, "journal_mode") == "truncate"
        assert names(store) == ["after", "ours", "theirs"]


@pytest.mark.usefixtures("unsafe")
def test_two_processes_that_find_the_same_log_both_end_up_without_it(path: Path) -> None:
    other = in_log_mode(path)
    other.close()
    code = (
        "import sys; from renewal_watch.database import sqlite; sqlite.wal_is_safe = lambda: False\n"
        "from renewal_watch.database.store import Store; from renewal_watch.store.incidents.timers import set_fired; from datetime import datetime, UTC\n"
        "store = Store(f'sqlite:///{sys.argv[1]}')\n"
        "with store.transaction() as tx: set_fired(tx, sys.argv[2], datetime(2026, 11, 23, tzinfo=UTC))\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name], stderr=subprocess.PIPE, env=os.environ)
        for name in ("one", "two")
    ]
    ended = [(one.communicate()[1], one.returncode) for one in both]
    assert any(code == 0 for _, code in ended)
    assert all(code == 0 or b"has a write-ahead log" in said for said, code in ended)
    with opened(path) as store:
        assert pragma(store, "journal_mode") == "truncate"
        assert pragma(store, "integrity_check") == "ok"
