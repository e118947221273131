"""A database made like another one: every value, from wherever a copy broke off, and refused until it is whole.

The source is a SQLite file, or with ``--postgresql`` a database of the server as well; the targets likewise.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import commands
import databases
import pytest
from click.testing import Result
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, changed, opened, url_of
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from rounds import few
from sqlalchemy import JSON, Boolean, Integer, LargeBinary, Table, insert

from renewal_watch.daemon.lock import only_one
from renewal_watch.database import comparing, copying, shape
from renewal_watch.database.copying import Copied, copy
from renewal_watch.database.instants import Instant
from renewal_watch.database.schema import (
    about,
    alerts,
    channels,
    delivery_alerts,
    environments,
    instances,
    metadata,
    silences,
)
from renewal_watch.database.shape import TABLES, Shape, Side
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError

pytestmark = BOTH
# What people, providers and formats of copies trip over.
NASTY = "tab\t line\n back\\slash \\N \\. \"q\" 'q' ; -- ünï Ж 漢 🦉 e\u0301 \u202e \u0001\x7f \ufeff\uffff \r\n"


def row(table: Table, number: int, *, is_bare: bool) -> dict[str, Any]:
    """A row whose every value is hard to keep; a bare one has nothing where nothing may stand."""
    return {column.name: value(column, number, is_bare=is_bare) for column in table.c}


def value(column: Any, number: int, *, is_bare: bool) -> Any:
    if column.foreign_keys or column.name == "id" or column.name.endswith("_id"):
        return number if isinstance(column.type, Integer) else f"{NASTY}{number}"
    if is_bare and column.nullable:
        return None
    if isinstance(column.type, Boolean):
        return number % 2 == 0
    if isinstance(column.type, Integer):
        return number - 2**63 if is_bare else 2**63 - 1 - number
    if isinstance(column.type, JSON):
        return [] if is_bare else [NASTY, {"nul": "\0", "number": 1.5, "nothing": None}]
    if isinstance(column.type, LargeBinary):
        return bytes(range(256)) + bytes([number])
    if isinstance(column.type, Instant):
        return T0 + timedelta(microseconds=number)
    return "" if is_bare and column.name == "note" else f"{NASTY}{number}"


def filled(store: Store, count: int = 4) -> Store:
    """The store with rows in every table; those with odd numbers have nothing where nothing may stand."""
    with store.transaction() as tx:
        for table in metadata.sorted_tables:
            if table is not about:
                rows = [row(table, number, is_bare=number % 2 == 1) for number in range(1, count + 1)]
                tx.connection.execute(insert(table), rows)
    return store


def plain(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the tables that are copied, as values that are alike on both engines."""
    with store.reading() as tx:
        side = Side.of(tx.connection)
        return {table.name: list(Shape(table, side).rows()) for table in TABLES}


def copied(source: Store, target: Store, progress: copying.Progress | None = None, *, at_once: bool = False) -> Copied:
    with source.transaction() as tx, target.engine.connect() as connection:
        return copy(tx.connection, connection, at_once=at_once, progress=progress)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite file, whatever the run is for, with rows in every table."""
    path = tmp_path_factory.mktemp("full") / "source.db"
    store = Store(f"sqlite:///{path}")
    store.upgrade()
    filled(store).close()
    return path.read_bytes()


@pytest.fixture
def file(tmp_path: Path, full: bytes) -> Iterator[Store]:
    """A SQLite database with rows in every table."""
    (tmp_path / "source.db").write_bytes(full)
    store = Store(f"sqlite:///{tmp_path}/source.db")
    yield store
    store.close()


@pytest.fixture
def target(tmp_path: Path, empty: Path) -> Iterator[Store]:
    """An empty database, on the server where the run is for it."""
    store = opened(databases.copied(empty, tmp_path / "target.db"))
    yield store
    store.close()


class Broken(Exception):
    """The process was ended."""


class Breaks:
    """A progress that ends the process when so many rows were passed."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.total = 0

    def begin(self, rows: int) -> None:
        self.total = rows

    def passed(self, rows: int) -> None:
        self.left -= rows
        if self.left <= 0:
            raise Broken


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages, batches and pieces of two or three rows, so that a few rows are many."""
    monkeypatch.setattr(shape, "PAGE", 2)
    monkeypatch.setattr(shape, "BATCH", 2)
    monkeypatch.setattr(copying, "PIECE", 3)


# --- every value ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.usefixtures("small_steps")
def test_every_value_of_every_table_comes_over(file: Store, target: Store, at_once: bool) -> None:
    done = copied(file, target, at_once=at_once)
    assert plain(target) == plain(file)
    assert done == Copied(tables=len(TABLES), rows=4 * (len(TABLES) - 1) + 1, inserted=4 * (len(TABLES) - 1))
    target.require_current()


@pytest.mark.usefixtures("small_steps")
def test_and_back_again(file: Store, target: Store, tmp_path: Path) -> None:
    copied(file, target)
    back = Store(f"sqlite:///{tmp_path}/back.db")
    back.upgrade()
    copied(target, back)
    assert plain(back) == plain(file)
    back.close()


@few(10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
        unique=True,
        max_size=12,
    ),
    kinds=st.lists(st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"])), st.none())),
)
def test_any_text_comes_over_in_its_order(file: Store, target: Store, words: list[str], kinds: list[Any]) -> None:
    """Names are keys here: both engines must have them in one order, that of their bytes."""
    with file.transaction() as tx:
        tx.connection.execute(channels.delete())
        tx.connection.execute(silences.delete())
        for number, word in enumerate(words, 1):
            tx.connection.execute(insert(channels).values(name=word, last_error=word))
            values = {"match": word, "kinds": kinds, "starts_at": T0, "ends_at": T0, "author": word, "comment": word}
            tx.connection.execute(insert(silences).values(id=number, **values))
    copied(file, target)
    assert plain(target) == plain(file)
    assert silenced(target) == silenced(file)


def silenced(store: Store) -> Any:
    with store.reading() as tx:
        return tx.connection.execute(silences.select().order_by(silences.c.id)).all()


def test_what_running_daemons_hold_stays_behind(file: Store, target: Store) -> None:
    copied(file, target)
    with target.reading() as tx:
        assert tx.connection.execute(instances.select()).all() == []


@POSTGRESQL_ONLY
def test_new_rows_come_behind_those_that_were_copied(file: Store, target: Store) -> None:
    with file.transaction() as tx:
        tx.connection.execute(insert(alerts), [row(alerts, 900, is_bare=True)])
    copied(file, target)
    with target.transaction() as tx:
        assert tx.new_ids(alerts, 2) == [901, 902]
        assert tx.new_ids(environments, 1) == [5]


# --- broken off -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(2, 150, 8))
@pytest.mark.usefixtures("small_steps")
def test_a_copy_that_broke_off_goes_on_where_it_was(file: Store, target: Store, after: int) -> None:
    breaks = Breaks(after)
    with pytest.raises(Broken):
        copied(file, target, breaks)
    assert breaks.total == 2 * (4 * (len(TABLES) - 1) + 1)
    with pytest.raises(StoreError, match="was not finished; run renewal-watch db copy again"):
        target.require_current()
    with pytest.raises(StoreError, match="was not finished"):
        target.upgrade()
    there = sum(map(len, plain(target).values())) - 1
    done = copied(file, target)
    assert done.inserted == 4 * (len(TABLES) - 1) - there
    assert (done.updated, done.deleted) == (0, 0)
    assert plain(target) == plain(file)
    target.require_current()


@pytest.mark.usefixtures("small_steps")
def test_a_copy_in_one_transaction_that_broke_off_left_nothing(file: Store, target: Store) -> None:
    before = plain(target)
    with pytest.raises(Broken):
        copied(file, target, Breaks(100), at_once=True)
    assert plain(target) == before
    target.require_current()


@pytest.mark.usefixtures("small_steps")
def test_what_changed_in_the_source_since_then_is_changed_as_well(file: Store, target: Store) -> None:
    with pytest.raises(Broken):
        copied(file, target, Breaks(150))
    with file.transaction() as tx:
        tx.connection.execute(delivery_alerts.delete().where(delivery_alerts.c.alert_id == 2))
        tx.connection.execute(alerts.delete().where(alerts.c.id == 2))
        tx.connection.execute(alerts.update().where(alerts.c.id == 3).values(text="another", days_left=None))
        tx.connection.execute(insert(alerts), [row(alerts, 7, is_bare=False)])
        tx.connection.execute(
            environments.update().where(environments.c.id == 1).values(has_baseline=False, told=["x"])
        )
    copied(file, target)
    assert plain(target) == plain(file)


@pytest.mark.usefixtures("small_steps")
def test_names_that_changed_places_since_then_do_too(file: Store, target: Store) -> None:
    """Each name is unique, so neither row can be changed before the other: what is there is brought anew."""
    with pytest.raises(Broken):
        copied(file, target, Breaks(150))
    with file.transaction() as tx:
        for number, name in ((1, "z"), (2, f"{NASTY}1"), (1, f"{NASTY}2")):
            tx.connection.execute(environments.update().where(environments.c.id == number).values(name=name))
    copied(file, target)
    assert plain(target) == plain(file)


# --- compared ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE polls SET numbers = 5 WHERE id = 3", "table polls, id 3: it differs in"),
        ("DELETE FROM calendars WHERE name LIKE '%4'", "table calendars, name .*: it is not in"),
        (
            "INSERT INTO rates (token, next_at) VALUES ('zz', '2026-11-23T12:00:00.000000Z')",
            "table rates, token 'zz': it is surplus in",
        ),
    ],
)
def test_a_difference_is_named(file: Store, target: Store, tmp_path: Path, statement: str, said: str) -> None:
    copied(file, target)
    changed(tmp_path / "target.db", statement)
    with (
        file.reading() as tx,
        target.reading() as other,
        pytest.raises(StoreError, match=f"{said} .* after it was copied"),
    ):
        comparing.compare(Side.of(tx.connection), Side.of(other.connection))


# --- refused ----------------------------------------------------------------------------------------------------------


@POSTGRESQL_ONLY
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE polls SET numbers = 'many' WHERE id = 3",
            "table polls, id 3: numbers is text instead of a whole number",
        ),
        ("UPDATE cycles SET told_due_flag = 2", "table cycles, number_id 1: told_due_flag is neither true nor false"),
        ("UPDATE alerts SET text = 'a' || char(0) WHERE id = 2", "table alerts, id 2: text holds the character NUL"),
        (
            "UPDATE polls SET started_at = started_at || started_at WHERE id = 2",
            "polls, id 2: started_at is longer than",
        ),
        ("UPDATE numbers SET digest = 'text' WHERE id = 4", "table numbers, id 4: digest is text instead of bytes"),
        (
            "DELETE FROM polls WHERE id = 1",
            "table .*: .* violates foreign key .*Key .*=.1. is not present in table .polls",
        ),
        (
            "UPDATE environments SET told = 'no json' WHERE id = 2",
            "environments, one of the rows from id 1 on: invalid input",
        ),
    ],
)
def test_what_postgresql_cannot_keep_is_named(file: Store, target: Store, statement: str, said: str) -> None:
    """SQLite keeps values of any type; a copy that left them out, or made others of them, would be none."""
    assert file.path is not None
    with sqlite3.connect(file.path) as connection:
        connection.execute(statement)
    with pytest.raises(StoreError, match=said):
        copied(file, target)


@POSTGRESQL_ONLY
def test_a_second_copy_into_the_same_database_waits_for_its_turn(file: Store, target: Store) -> None:
    with (
        target.engine.connect() as connection,
        copying._alone(connection),
        pytest.raises(StoreError, match=r"another copy into .* is under way"),
    ):
        copied(file, target)
    copied(file, target)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def configuration(file: Store, tmp_path: Path) -> Path:
    """A configuration with the file as its database, which nobody has open."""
    path = tmp_path / "config.toml"
    path.write_text(
        f'[database]\nurl = "sqlite:///{file.path}"\n[[environments]]\nname = "production"\n'
        'base_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_made_up"\n'
    )
    path.chmod(0o600)
    file.close()
    return path


def run(configuration: Path, *words: str, code: int = 0, **env: str) -> Result:
    return commands.call(configuration, *words, code=code, env=env)


def test_db_copy_says_what_it_did_and_what_to_write_into_the_configuration(configuration: Path, tmp_path: Path) -> None:
    url = url_of(tmp_path / "new.db", is_empty=True)
    done = run(configuration, "db", "copy", "--to", url)
    count = 4 * (len(TABLES) - 1)
    assert f"copied {count + 1} rows in {len(TABLES)} tables from" in done.output
    assert f'[database]\nurl = "{url}"' in done.output
    refused = run(configuration, "db", "copy", "--to", url, code=1)
    assert "holds data already and is no unfinished copy; name an empty database" in refused.output


def test_db_copy_takes_the_url_from_a_file_or_the_environment(configuration: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(url_of(tmp_path / "one.db", is_empty=True) + "\n")
    told = json.loads(run(configuration, "db", "copy", "--to-file", str(tmp_path / "url"), "--json").output)
    assert (told["ok"], told["tables"], told["inserted"]) == (True, len(TABLES), 4 * (len(TABLES) - 1))
    run(configuration, "db", "copy", RENEWAL_WATCH_COPY_TO=url_of(tmp_path / "two.db", is_empty=True))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the database to copy to with --to URL"),
        (["--to", "nonsense"], "--to: write it as sqlite:///PATH for a file or postgresql+psycopg://"),
        (["--to", "postgresql+psycopg://h:port/x"], "--to: write it as postgresql+psycopg://USER"),
        (["--to", "postgresql+psycopg://h/x?port=x"], "--to: write it as postgresql+psycopg://USER"),
        (["--to", "postgresql+psycopg://u:hun@ter2long@h/x"], "--to: write it as postgresql+psycopg://USER"),
        (["--to", "sqlite:///:memory:"], "--to: write it as sqlite:///PATH"),
        (["--to", "sqlite:////x.db?timeout=abc"], "--to: write it as sqlite:///PATH"),
        (["--to", "sqlite:////nosuch/x.db"], "--to: the directory /nosuch does not exist"),
        (["--to", "sqlite:///x.db", "--to-file", __file__], "exclude each other"),
    ],
)
def test_a_target_that_is_none_is_refused(configuration: Path, words: list[str], said: str) -> None:
    shown = run(configuration, "db", "copy", *words, code=2).output
    assert said in shown
    assert "ter2long" not in shown


def test_the_database_is_not_copied_onto_itself(configuration: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "source.db")
    for name in ("source.db", "link.db"):
        done = run(configuration, "db", "copy", "--to", f"sqlite:///{tmp_path}/{name}", code=2)
        assert "is the database itself; name another one" in done.output


def test_a_daemon_on_either_side_is_refused(configuration: Path, tmp_path: Path) -> None:
    for name in ("source.db", "target.db"):
        with only_one(tmp_path / name):
            done = run(configuration, "db", "copy", "--to", f"sqlite:///{tmp_path}/target.db", code=1)
        assert f"another daemon (process {os.getpid()}) watches with {tmp_path / name}" in done.output


@POSTGRESQL_ONLY
def test_a_daemon_on_a_server_is_refused(configuration: Path, target: Store, tmp_path: Path) -> None:
    with target.transaction() as tx:
        tx.connection.exec_driver_sql(
            "INSERT INTO instances (id, host, pid, version, started_at, alive_until, in_touch_since, polled, sent)"
            " VALUES ('a', 'other', 7, '1', '2026-01-01T00:00:00.000000Z', '2999-01-01T00:00:00.000000Z',"
            " '2026-01-01T00:00:00.000000Z', 0, 0)"
        )
    done = run(configuration, "db", "copy", "--to", url_of(tmp_path / "target.db"), code=1)
    assert "other (process 7); stop" in done.output


@POSTGRESQL_ONLY
def test_no_password_is_shown(configuration: Path, tmp_path: Path) -> None:
    url = url_of(tmp_path / "new.db", is_empty=True).replace("postgres@", "postgres:very-secret-word@")
    (tmp_path / "url").write_text(url)
    done = run(configuration, "db", "copy", "--to-file", str(tmp_path / "url"))
    assert "very-secret-word" not in done.output
    assert "postgres:***@" in done.output
    warned = run(configuration, "db", "copy", "--to", url, code=1)
    assert "others could read the password in the list of processes" in warned.output
    assert "very-secret-word" not in warned.output


def test_killed_in_the_middle_and_run_again(configuration: Path, file: Store, tmp_path: Path) -> None:
    """A real process is killed once a part is written; the next one finds that part and brings the rest."""
    assert file.path is not None
    with sqlite3.connect(file.path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("DELETE FROM calendars")
        connection.executemany(
            "INSERT INTO calendars (name, fired_at) VALUES (?, '2026-11-23T12:00:00.000000Z')",
            ((f"calendar {number}",) for number in range(60_000)),
        )
    url = url_of(tmp_path / "new.db", is_empty=True)
    command = [sys.executable, "-m", "renewal_watch", "--config", str(configuration), "db", "copy", "--to", url]
    screen, terminal = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    seen = b""
    while not re.search(rb"\s(2\d|[3-9]\d)%", seen):  # more than twenty thousand rows, each passed twice
        seen += os.read(screen, 4096)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    os.close(screen)
    assert b"copying and comparing" in seen

    there = tmp_path / "there.toml"
    there.write_text(configuration.read_text().replace(f"sqlite:///{file.path}", url))
    there.chmod(0o600)
    assert "was not finished; run renewal-watch db copy again" in run(there, "status", code=1).output
    assert "was not finished; run renewal-watch db copy again" in run(there, "db", "check", code=1).output

    again = json.loads(run(configuration, "db", "copy", "--to", url, "--json").output)
    assert again["rows"] == 60_000 + 4 * (len(TABLES) - 2) + 1
    assert 0 < again["inserted"] <= again["rows"] - copying.PIECE
    assert "schema is" in run(there, "db", "upgrade").output
