"""Releases side by side on one database: what the next one adds disturbs this one nowhere, and what it breaks is refused.

``schema.LEAST`` and the row ``least`` of the table ``about`` carry the rule; the migrations are held to it.
"""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import commands
import pytest
from browsing import pages
from commands import Run
from conftest import T0, Clock
from databases import BOTH, asked, changed, content, opened, url_of
from made_up import entry, listing
from watched import Source, Watched
from world import World, serving, write_config

from renewal_watch.database.revision import HEAD, LEAST
from renewal_watch.database.schema import metadata
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_sent
from renewal_watch.store.outbox.waiting import outbox_counts
from renewal_watch.timed import follow_up

pytestmark = BOTH

NEXT = f"{int(HEAD) + 1:04d}"


def become_next(path: Path, least: str = LEAST) -> None:
    """What the migration of the next release may do: columns, tables and indexes are added everywhere."""
    for table in metadata.sorted_tables:
        changed(path, f"ALTER TABLE {table.name} ADD COLUMN of_next TEXT")
        changed(path, f"ALTER TABLE {table.name} ADD COLUMN of_next_set TEXT NOT NULL DEFAULT 'x'")
        changed(path, f"CREATE INDEX next_{table.name} ON {table.name} (of_next)")
    changed(path, "CREATE TABLE of_next (id INTEGER PRIMARY KEY, name TEXT)")
    changed(path, "INSERT INTO of_next VALUES (1, 'one')")
    changed(path, "UPDATE alembic_version SET version_num = ?", (NEXT,))
    changed(path, "UPDATE about SET value = ? WHERE name = 'least'", (least,))


def kept(path: Path) -> list[str]:
    """All that this release knows of, row by row."""
    return content(path)


# --- the whole of this release on the next one's database -------------------------------------------------------------


@pytest.fixture
def world() -> World:
    made = World(numbers=5, restless=False)
    made.entries[2] |= {"days_until_monthly_renewal": 2, "auto_renewal": False}
    return made


@pytest.fixture
def config(tmp_path: Path, world: World) -> Iterator[Path]:
    with serving(world) as address:
        yield write_config(tmp_path, address)


@pytest.fixture
def run(config: Path) -> Run:
    return partial(commands.call, config)


COMMANDS = (
    ("poll",),
    ("send",),
    ("status",),
    ("status", "--json"),
    ("explain", "phone-2"),
    ("history", "phone-2"),
    ("snapshot",),
    ("snapshot", "--at", "2026-11-01"),
    ("alerts",),
    ("alerts", "--json"),
    ("preview",),
    ("metrics",),
    ("forecast",),
    ("export", "numbers"),
    ("export", "alerts"),
    ("export", "history"),
    ("export", "calendar"),
    ("ack", "phone-2"),
    ("lapse", "phone-3"),
    ("silence", "add", "--for", "1h", "--kind", "price.changed"),
    ("silence", "list"),
    ("test-channel",),
    ("db", "upgrade"),
    ("db", "check"),
    ("db", "prune"),
)


def test_every_command_of_this_release_works_on_the_next_ones_database(run: Run, world: World, tmp_path: Path) -> None:
    path = tmp_path / "renewal-watch.db"
    run("poll")
    become_next(path)
    world.entries[0]["current_status"] = "suspended"
    world.entries.append(entry("phone-9"))
    for words in COMMANDS:
        run(*words)
    found = json.loads(run("alerts", "--json").output)
    assert {"status.changed", "number.added", "renewal.upcoming"} <= {one["kind"] for one in found}
    assert {fate["state"] for one in found for fate in one["deliveries"]} == {"sent"}
    assert asked(path, "SELECT version_num FROM alembic_version") == [(NEXT,)], "and leaves it as it is"
    assert asked(path, "SELECT count(*) FROM of_next") == [(1,)]
    assert "cannot" not in run("doctor").output
    assert "1 suspended" in run("check", code=2).output, "it is looked at what is in it"


def test_the_pages_of_this_release_show_the_next_ones_database(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.poll(entry("phone-1"), entry("phone-2", current_status="suspended"))
    become_next(tmp_path / "renewal-watch.db")
    watched.poll(entry("phone-1", current_status="suspended"), entry("phone-2"), at=T0 + timedelta(hours=1))
    with pages(watched, Clock(T0 + timedelta(hours=1))) as visitor:
        for place in ("/", "/calendar", "/alerts", "/health", "/healthz", "/readyz", "/api/v1/numbers", "/metrics"):
            answer = visitor.http.get(visitor.base + place)
            assert answer.status_code == 200, (place, answer.text)
    watched.store.close()


def test_a_database_that_becomes_the_next_ones_goes_on_under_this_release(tmp_path: Path) -> None:
    """Statements that were prepared before are used after it."""
    path = tmp_path / "watch.db"
    channel = Channel(name="ops", url="json://127.0.0.1:1/", routine="at once")
    environment = Environment(name="production", base_url="http://127.0.0.1:1/api/v1", token="talq_x")
    way = Routing(channels=(channel,))
    now = T0
    with closing(opened(path)) as one:
        one.upgrade()
        for turn in range(30):
            if turn == 15:
                become_next(path)
            now += timedelta(hours=1)
            status = "active" if turn % 2 else "suspended"
            source = Source(listing(entry("phone-1", current_status=status), entry("phone-2"), entry(f"new-{turn}")))
            polled = poll.run_once(one, environment, source, Policy(), way, lambda at=now: at)  # type: ignore[misc]
            assert polled.error is None
            follow_up.run_once(one, way, {"production": Policy()}, now)
            with one.transaction("channel ops") as tx:
                while message := claim(tx, channel, "UTC", now):
                    assert settle_sent(tx, message, way, now)
            with one.reading() as tx:
                assert outbox_counts(tx)["pending"] == 0
        one.require_current()
        assert not one.upgrade()
        assert one.revision() == NEXT


# --- what this release cannot use -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("run",), ("poll",), ("send",), ("status",), ("alerts",), ("db", "upgrade"), ("ack", "phone-2")]
)
def test_a_database_that_is_too_new_is_refused_in_one_sentence_and_left_as_it_is(
    words: tuple[str, ...], run: Run, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "renewal-watch.db"
    run("poll")
    become_next(path, least=NEXT)
    before, asked_before = kept(path), world.requests
    said = run(*words, code=1).output.strip()
    assert len(said.splitlines()) == 1, said
    assert f"schema {NEXT}" in said
    assert "install" in said
    assert kept(path) == before
    assert world.requests == asked_before, "nobody is asked for what could not be kept"


# --- several at once --------------------------------------------------------------------------------------------------


def test_those_that_begin_on_an_empty_database_at_the_same_time_make_it_once(tmp_path: Path) -> None:
    path = tmp_path / "watch.db"
    url_of(path, is_empty=True)
    start = threading.Barrier(4, timeout=60)
    made: list[bool] = []
    faults: list[BaseException] = []

    def begins() -> None:
        with closing(opened(path)) as one:
            start.wait()
            try:
                made.append(one.upgrade())
                one.require_current()
            except BaseException as error:
                faults.append(error)

    threads = [threading.Thread(target=begins) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert asked(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert asked(path, "SELECT name, value FROM about") == [("least", LEAST)]


# --- the rule is kept -------------------------------------------------------------------------------------------------

ADDING = {"add_column", "create_table", "create_index", "bulk_insert"}


def faults_of(source: str) -> list[str]:
    """What a migration does that the release before it does not expect."""
    tree = ast.parse(source)
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    found = []
    for node in ast.walk(upgrade):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        if not (isinstance(owner, ast.Name) and owner.id not in ("sa", "sqlalchemy")):
            continue
        if owner.id == "op" and (node.func.attr == "get_bind" or _is_of_a_view(node)):
            continue
        if owner.id != "op" or node.func.attr not in ADDING:
            found.append(f"line {node.lineno}: {ast.unparse(node.func)} may change or take away what is there")
        elif node.func.attr == "add_column" and not _can_be_left_out(node.args[1]):
            found.append(f"line {node.lineno}: the new column must be nullable or have a server_default")
        elif node.func.attr == "create_index" and any(one.arg == "unique" for one in node.keywords):
            found.append(f"line {node.lineno}: a unique index may refuse what the release before it writes")
    return found


def _is_of_a_view(call: ast.Call) -> bool:
    """Views are read by people only, no release uses them."""
    said = ast.unparse(call).removeprefix("op.execute(").lstrip("f'\"")
    return said.startswith(("DROP VIEW ", "CREATE VIEW "))


def _can_be_left_out(column: ast.expr) -> bool:
    assert isinstance(column, ast.Call)
    options = {one.arg: one.value for one in column.keywords}
    nullable = options.get("nullable")
    is_nullable = nullable is None or (isinstance(nullable, ast.Constant) and nullable.value is True)
    return (is_nullable and "primary_key" not in options) or "server_default" in options


def test_a_migration_only_adds(request: pytest.FixtureRequest) -> None:
    folder = Path(request.config.rootpath) / "migrations" / "versions"
    later = [path for path in sorted(folder.glob("*.py")) if path.stem[:4] > LEAST]
    for path in later:
        assert faults_of(path.read_text()) == [], path.name
    assert LEAST == "0006", (
        "releases from 0006 on share a database; if they cannot, say so in docs/many.md and CHANGELOG"
    )


@pytest.mark.parametrize(
    ("does", "is_allowed"),
    [
        ('op.add_column("numbers", sa.Column("note", sa.Text))', True),
        ('op.add_column("numbers", sa.Column("note", sa.Text, nullable=True))', True),
        ('op.add_column("numbers", sa.Column("rank", sa.Integer, nullable=False, server_default="0"))', True),
        ('op.add_column("numbers", sa.Column("rank", sa.Integer, nullable=False))', False),
        ('op.add_column("numbers", sa.Column("rank", sa.Integer, nullable=False, default=0))', False),
        ('op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True, nullable=False))', True),
        ('op.create_index("notes_by_name", "notes", ["name"])', True),
        ('op.create_index("notes_by_name", "notes", ["name"], unique=True)', False),
        ('about = op.create_table("x")\n    op.bulk_insert(about, [{"name": "x"}])', True),
        ('op.drop_column("numbers", "note")', False),
        ('op.drop_table("notes")', False),
        ('op.drop_index("notes_by_name")', False),
        ('op.alter_column("numbers", "note", new_column_name="words")', False),
        ('op.rename_table("numbers", "phones")', False),
        ('op.execute("DELETE FROM numbers")', False),
        ('with op.batch_alter_table("numbers") as batch:\n        batch.drop_column("note")', False),
    ],
)
def test_the_guard_knows_what_adds_and_what_does_not(does: str, is_allowed: bool) -> None:
    assert (faults_of(f"def upgrade() -> None:\n    {does}\n") == []) is is_allowed
