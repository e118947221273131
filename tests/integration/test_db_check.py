"""What is damaged is found and named, with what to do: bytes of the file, references, and what no engine looks at."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
from commands import call as run
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, SQLITE_ONLY, Chosen, changed, opened
from watched import Watched, one

from renewal_watch.database.shape import Shape
from renewal_watch.database.store import Store
from renewal_watch.errors import StoreError
from renewal_watch.store.incidents.timers import set_fired
from renewal_watch.store.maintenance import integrity, integrity_file
from renewal_watch.store.maintenance.integrity_schema import Fault

pytestmark = BOTH
PAGE = 4096  # bytes; what SQLite takes where nobody asks for another size
RESTORE = "put a backup back: renewal-watch db restore FILE"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real watch: numbers on several pages of the file, changes, alerts that wait, incidents, a silence."""
    made = Watched(tmp_path_factory.mktemp("watched"))
    made.poll(*(one(number, 40) for number in range(1, 300)))
    made.poll(*(one(number, 1, current_status="suspended") for number in range(1, 40)), at=T0 + timedelta(days=39))
    with made.store.transaction() as tx:
        set_fired(tx, "canary", T0, "{}")
    made.store.close()
    return made.database


@pytest.fixture
def path(watched: Path, tmp_path: Path) -> Path:
    return databases.copied(watched, tmp_path / "renewal-watch.db")


def found(path: Path) -> list[Fault]:
    store = opened(path, reads_only=True)
    try:
        return integrity.look(store)
    finally:
        store.close()


def sentences(path: Path) -> list[str]:
    return [str(fault) for fault in found(path)]


def test_a_sound_database_has_no_fault(path: Path) -> None:
    assert found(path) == []


# --- what no engine looks at ------------------------------------------------------------------------------------------


def spoiled(path: Path, *statements: str) -> None:
    """Change what the engine would keep others from changing: its references are not looked at meanwhile."""
    if Chosen.is_postgresql:
        changed(path, "SET session_replication_role = replica")
    for statement in statements:
        changed(path, statement)


LOGICAL: list[tuple[str, str, str]] = [
    (
        "UPDATE entries SET entry = '{' WHERE number_id IN (2, 3)",
        "entries",
        "2 rows in which entry is no JSON, such as number_id 2",
    ),
    (
        "UPDATE entries SET entry = '[]' WHERE number_id = 5",
        "entries",
        "1 row in which entry is no entry of a number, such as",
    ),
    ("DELETE FROM entries WHERE number_id = 7", "numbers", "1 row without an entry, such as id 7"),
    (
        "UPDATE changes SET fields = 'x' WHERE number_id = 1",
        "changes",
        "1 row in which fields is no JSON, such as number_id 1, poll",
    ),
    (
        "UPDATE polls SET started_at = '2026-11-23 12:00' WHERE id = 1",
        "polls",
        "1 row in which started_at is no instant, such as id 1",
    ),
    (
        "UPDATE polls SET started_at = '2026-13-23T12:00:00.000000Z'",
        "polls",
        "2 rows in which started_at is no instant",
    ),
    (
        "DELETE FROM polls WHERE id = 1",
        "entries",
        "rows whose poll_id is not in the table polls, such as number_id",
    ),
    ("DELETE FROM polls WHERE id = 1", "numbers", "299 rows whose first_poll_id is not in the table polls"),
    ("DELETE FROM environments", "polls", "2 rows whose environment_id is not in the table environments"),
    ("DELETE FROM delivery_alerts", "deliveries", "that wait without an alert, such as id 1"),
    (
        "UPDATE incidents SET alert_id = 90000",
        "incidents",
        "whose alert_id is not in the table alerts",
    ),
    (
        "UPDATE incidents SET number_id = number_id + 90000",
        "incidents",
        "whose number_id is not in the table numbers",
    ),
    ("UPDATE incidents SET environment_id = 9", "incidents", "whose environment_id is not in the table environments"),
    (
        "INSERT INTO leases (name, token, instance, taken_at) VALUES ('a', 'b', 'c', '2026-11-23T12:00:00.000000Z')",
        "leases",
        "1 row held by a daemon that is not in the table instances, such as name 'a'; delete them",
    ),
    ("DROP TABLE rates", "rates", f"the table rates is missing; {RESTORE}"),
    ("ALTER TABLE deliveries DROP COLUMN note", "deliveries", "the column note of the table deliveries is missing"),
    (
        "DROP INDEX numbers_by_renewal",
        "numbers",
        "is missing; make it anew in the database: CREATE INDEX numbers_by_renewal ON numbers (renews_on);",
    ),
    ("DROP VIEW poll_log", "poll_log", "the view poll_log is missing"),
]


@pytest.mark.parametrize(("statement", "table", "said"), LOGICAL, ids=[one[0][:60] for one in LOGICAL])
def test_it_is_named_with_its_table_and_an_example(path: Path, statement: str, table: str, said: str) -> None:
    if "DROP COLUMN" in statement:  # the view shows it
        changed(path, "DROP VIEW outbox")
    spoiled(path, statement)
    assert [str(fault) for fault in found(path) if fault.table == table and said in str(fault)]


def test_an_index_that_is_missing_is_made_by_what_was_said(path: Path) -> None:
    changed(path, "DROP INDEX numbers_by_status")
    (fault,) = found(path)
    changed(path, fault.todo.partition(": ")[2])
    assert found(path) == []


def test_a_fault_in_one_table_hides_none_in_another(path: Path) -> None:
    spoiled(path, "DROP TABLE rates", "UPDATE entries SET entry = ''", "UPDATE calendars SET fired_at = 'never'")
    assert {fault.table for fault in found(path)} == {"rates", "entries", "calendars"}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "DROP TABLE alembic_version",
            "the database has no tables of renewal-watch; make them: renewal-watch db upgrade",
        ),
        (
            "UPDATE alembic_version SET version_num = '0003'",
            "the schema 0003, and this release needs 0009; bring it up",
        ),
        (
            "INSERT INTO about (name, value) VALUES ('copying', 'afar')",
            "a copy of afar into it was not finished; run renewal-w",
        ),
    ],
)
def test_what_stands_in_the_way_of_looking_further_is_said_alone(path: Path, statement: str, said: str) -> None:
    changed(path, statement)
    (fault,) = found(path)
    assert said in str(fault)


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE numbers SET number = CAST(x'ff41' AS TEXT) WHERE id = 4",
            "numbers: 1 row in which number holds bytes that are no",
        ),
        (
            "UPDATE polls SET numbers = 'many' WHERE id = 2",
            "polls: 1 row in which numbers is text instead of a whole number",
        ),
        (
            "UPDATE polls SET numbers = 1.5 WHERE id = 2",
            "polls: 1 row in which numbers is a fraction instead of a whole number",
        ),
        (
            "UPDATE numbers SET is_sandbox = 3 WHERE id = 6",
            "numbers: 1 row in which is_sandbox is neither true nor false, such as id 6",
        ),
        ("UPDATE alerts SET text = 'a' || char(0) WHERE id = 1", "alerts: 1 row in which text holds the character NUL"),
    ],
)
def test_values_of_another_type_are_named(path: Path, statement: str, said: str) -> None:
    """SQLite keeps whatever it is given."""
    changed(path, statement)
    (told,) = sentences(path)
    assert said in told


@POSTGRESQL_ONLY
def test_a_server_s_references_indexes_and_sequences_are_looked_at(path: Path) -> None:
    changed(path, "ALTER TABLE changes DROP CONSTRAINT changes_poll_id_fkey")
    changed(path, "ALTER TABLE changes ADD CONSTRAINT again FOREIGN KEY (poll_id) REFERENCES polls (id) NOT VALID")
    changed(path, "SELECT setval('alerts_id_seq', 1)")
    changed(path, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'changes_by_poll'::regclass")
    told = "\n".join(sentences(path))
    assert "ALTER TABLE changes VALIDATE CONSTRAINT again;" in told
    assert "the next id of the table alerts is one that a row has already; set it behind them" in told
    assert "the index changes_by_poll of the table changes is invalid" in told
    for fault in found(path):
        changed(path, fault.todo.partition(": ")[2])
    assert found(path) == []


# --- bytes of the file ------------------------------------------------------------------------------------------------


def flipped(path: Path, name: str, *, at: int = 0, count: int = 20, beside: int = 0) -> None:
    """Other bits in the page at which a table or index begins, or in one beside it."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    content = bytearray(path.read_bytes())
    start = (root - 1 + beside) * PAGE + at
    for place in range(start, start + count):
        content[place] ^= 0xFF
    path.write_bytes(content)


def overwritten(path: Path, start: int, count: int) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xa5" * count
    path.write_bytes(content)


def cut(path: Path, left: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])


BYTES: list[tuple[Callable[[Path], None], str, str]] = [
    (lambda path: flipped(path, "numbers"), "the table numbers is damaged and cannot be read whole", RESTORE),
    (lambda path: flipped(path, "entries"), "the table entries is damaged and cannot be read whole", RESTORE),
    (lambda path: flipped(path, "changes"), "the table changes is damaged and cannot be read whole", RESTORE),
    (
        lambda path: flipped(path, "deliveries", count=PAGE),
        "the table deliveries is damaged and cannot be read",
        RESTORE,
    ),
    (
        lambda path: flipped(path, "numbers_by_renewal"),
        "the index numbers_by_renewal of the table numbers is damaged",
        "db copy",
    ),
    (
        lambda path: flipped(path, "sqlite_autoindex_numbers_1"),
        "the index sqlite_autoindex_numbers_1 of the table numbers is damaged, its rows are whole",
        "renewal-watch db copy --to sqlite:///",
    ),
    (lambda path: overwritten(path, 0, 16), "is no SQLite database: its beginning is damaged", RESTORE),
    (lambda path: overwritten(path, 18, 2), "the list of tables in", RESTORE),
    (lambda path: overwritten(path, 100, 8), "the list of tables in", RESTORE),
    (lambda path: cut(path, 0.5), "was cut off: the last ", RESTORE),
    (lambda path: cut(path, 0.9), "was cut off: the last ", RESTORE),
    (lambda path: path.write_bytes(path.read_bytes()[:60]), "was cut off: the last 40 of its 100 bytes", RESTORE),
    (lambda path: path.write_bytes(b""), "the database has no tables of renewal-watch", "renewal-watch db upgrade"),
    (lambda path: path.write_bytes(b"PK\x03\x04" * 900), "is no SQLite database", RESTORE),
]


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("harm", "said", "todo"), BYTES, ids=[one[1][-50:] + str(place) for place, one in enumerate(BYTES)]
)
def test_damaged_bytes_are_named_by_what_they_are_part_of(
    path: Path, harm: Callable[[Path], None], said: str, todo: str
) -> None:
    harm(path)
    told = sentences(path)
    assert any(said in one and todo in one for one in told), told


@SQLITE_ONLY
@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_page_of_noise_anywhere_is_found_without_a_traceback(path: Path, place: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    assert free == 0
    overwritten(path, (pages * place // 40) * PAGE, PAGE)
    assert all(fault.what and fault.todo for fault in found(path))
    assert found(path)


@SQLITE_ONLY
def test_rows_are_saved_from_under_a_damaged_index_as_it_was_said(path: Path, tmp_path: Path) -> None:
    flipped(path, "numbers_by_renewal")
    flipped(path, "incidents_open")
    before = configured(tmp_path)
    assert "db copy --to" in run(before, "db", "check", code=1).output
    run(before, "db", "copy", "--to", f"sqlite:///{path}.new")
    run(before, "db", "restore", f"{path}.new")
    assert run(before, "db", "check").output == "the database is sound\n"
    assert len(json.loads(run(before, "status", "--json").output)["numbers"]) == 299


@SQLITE_ONLY
def test_what_a_daemon_begins_with_finds_pages_and_references(path: Path) -> None:
    assert integrity_file.of_file(path) == []
    changed(path, "DELETE FROM polls WHERE id = 1")
    assert {fault.table for fault in integrity_file.of_file(path)} == {"numbers", "entries"}
    flipped(path, "alerts")
    assert "alerts" in {fault.table for fault in integrity_file.of_file(path)}
    assert integrity_file.of_file(path.with_name("nosuch.db")) == []


@SQLITE_ONLY
def test_looking_holds_up_no_writer_for_long(path: Path) -> None:
    """No lock is kept from one statement to the next."""
    writer = sqlite3.connect(path, timeout=0, isolation_level=None)
    writes = 0
    pages = Shape.pages

    def between(shape: Any, **more: Any) -> Any:
        nonlocal writes
        for page in pages(shape, **more):
            yield page
            writer.execute("UPDATE calendars SET fired_at = fired_at")
            writes += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shape, "pages", between)
        assert found(path) == []
    writer.close()
    assert writes > 5


@SQLITE_ONLY
def test_a_locked_file_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity_file, "BUSY_TIMEOUT_S", 0)
    with databases.lock(path) as other:
        other._connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"cannot be read .*locked"):
            integrity_file.of_file(path)


# --- the command ------------------------------------------------------------------------------------------------------


def configured(folder: Path) -> Path:
    path = folder / "config.toml"
    path.write_text(
        f'state_dir = "{folder}"\n{databases.section(folder / "renewal-watch.db")}'
        '[[environments]]\nname = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_made_up"\n'
    )
    path.chmod(0o600)
    return path


def test_each_fault_is_a_line_and_in_the_document(path: Path, tmp_path: Path) -> None:
    configuration = configured(tmp_path)
    assert run(configuration, "db", "check").output == "the database is sound\n"
    spoiled(path, "UPDATE entries SET entry = '{' WHERE number_id = 2", "DROP VIEW history")
    lines = run(configuration, "db", "check", code=1).stderr.splitlines()
    assert len(lines) == 2
    assert all("renewal-watch db restore FILE" in line for line in lines)
    told = json.loads(run(configuration, "db", "check", "--json", code=1).stdout)
    assert told["ok"] is False
    assert told["errors"] == lines
    assert [fault["table"] for fault in told["faults"]] == ["history", "entries"]


def test_a_database_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    if Chosen.is_postgresql:
        databases.url_of(tmp_path / "renewal-watch.db", is_empty=True)
        assert "no tables of renewal-watch" in run(configured(tmp_path), "db", "check", code=1).output
    else:
        assert "the first poll makes it" in run(configured(tmp_path), "db", "check", code=1).output


@SQLITE_ONLY
def test_a_daemon_does_not_begin_on_a_damaged_file(path: Path, tmp_path: Path) -> None:
    flipped(path, "entries")
    configuration = configured(tmp_path)
    done = run(configuration, "run", code=1)
    assert "the table entries is damaged" in done.output
    assert "renewal-watch db restore FILE" in done.output
    assert "the table entries is damaged" in run(configuration, "doctor", code=1).output
    Store(f"sqlite:///{path}").close()
