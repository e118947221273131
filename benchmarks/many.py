"""Many environments and several daemons, as real processes against a server on loopback; prints two tables.

``many.py [--environments N] [--numbers N] [--messages N] [--database sqlite|postgresql] [--part polls|sends]``

polls: one daemon with N environments of so many numbers each: the first polls of all, and a round in which one number in
a hundred changed, each as soon as its limit of polls side by side allows; the time and the most memory that it held. The
daemon's load over an hour is the second figure: work that takes less than an hour fits into an hour.
sends: messages that wait for a webhook which takes 0.1 s for each, sent by one daemon and by three.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fleet
import server
from sqlalchemy import func, select, update

from renewal_watch.alerts.facts.service_facts import of_the_watch
from renewal_watch.config.loading import load
from renewal_watch.database.schema import deliveries, environments, leases, polls
from renewal_watch.database.store import Store
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Written
from renewal_watch.notify.routing import Routing
from renewal_watch.store.environments import environment_state
from renewal_watch.store.outbox.alerts import record_alerts

HOOK_S = 0.1  # what the webhook takes for a message: as long as a service on the internet
PATIENCE_S = 3600


class World(BaseHTTPRequestHandler):
    """A provider whose every environment has the same numbers, and a webhook."""

    protocol_version = "HTTP/1.1"
    listing = b""
    sent: list[float]

    def do_GET(self) -> None:
        said = self.listing if self.path.partition("?")[0].endswith("/phone-numbers") else b'{"success": false}'
        self._answer(200 if said is self.listing else 404, said)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(HOOK_S)
        self.sent.append(time.monotonic())
        self._answer(200, b"{}")

    def _answer(self, status: int, said: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Says nothing of a daemon that ends while it is answered."""

    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """The figures say what went wrong."""


@contextmanager
def world() -> Iterator[tuple[type[World], str]]:
    handler = type("Handler", (World,), {"sent": []})
    with Server(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield handler, f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def config(folder: Path, address: str, database: str, count: int, *, hook: bool) -> Path:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    text = f'state_dir = "{folder}"\n' + (f'[database]\nurl = "{database}"\n' if database else "")
    for number in range(count):
        text += (
            f'[[environments]]\nname = "customer-{number}"\nbase_url = "{address}/{number}"\ntoken = "talq_{number}"\n'
        )
    where = f'webhook = "{address}/hook"' if hook else f'url = "json://{address.removeprefix("http://")}/quiet"'
    text += f'[account]\nreleases = false\ntopup = false\nbalance = false\nagents = false\n[[channels]]\nname = "ops"\n{where}\n'
    if not hook:
        text += 'kinds = ["channel.failing"]\n'  # what is measured is the polls
    path.write_text(text)
    return path


@contextmanager
def daemons(path: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "renewal_watch", "--config", str(path), "run"]
    running = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield running
    finally:
        for one in running:
            one.send_signal(signal.SIGTERM)
        for one in running:
            one.wait(60)


def status_of(pid: int, name: str) -> int:
    """A line of /proc/PID/status, in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def cpu_of(pid: int) -> float:
    """The seconds of processor time that a process used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(store: Store, many: int) -> float:
    """Wait until so many good polls are recorded; the seconds that took."""
    began = time.monotonic()
    query = select(func.count()).select_from(polls).where(polls.c.outcome == "ok")
    while time.monotonic() - began < PATIENCE_S:
        with store.reading() as tx:
            if tx.connection.execute(query).scalar_one() >= many:
                return time.monotonic() - began
        time.sleep(0.5)
    sys.exit("it took too long")


def thousand(count: int, numbers: int, database: str) -> None:
    today = datetime.now(UTC).date()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        handler, address = stack.enter_context(world())
        entries = fleet.fleet(numbers, today)
        handler.listing = fleet.body(entries)
        url = stack.enter_context(server.postgresql())("thousand") if database == "postgresql" else ""
        path = config(folder, address, url, count, hook=False)
        store = Store(load(path).database_url)
        store.upgrade()
        with daemons(path, 1) as (daemon,):
            first = until(store, count)
            cpu = cpu_of(daemon.pid)
            for entry in entries[::100]:
                entry["current_status"] = "suspended"
            handler.listing = fleet.body(entries)
            with store.transaction() as tx:
                tx.connection.execute(update(environments).values(next_poll_at=datetime.now(UTC) - timedelta(hours=1)))
            second = until(store, 2 * count)
            peak = status_of(daemon.pid, "VmHWM") / 1024
            used = cpu_of(daemon.pid) - cpu
        store.close()
    print(
        f"| {database} | {count:,} × {numbers:,} | {first:.0f} | {second:.0f} | {used:.0f} | {peak:.0f} |", flush=True
    )


def sends(count: int) -> None:
    times = {}
    with server.postgresql() as made:
        for number in (1, 3, 1, 3):
            with tempfile.TemporaryDirectory() as name, world() as (handler, address):
                path = config(
                    Path(name), address, made(f"sends_{number}_{len(times)}_{time.monotonic_ns()}"), 1, hook=True
                )
                settings = load(path)
                store = Store(settings.database_url)
                store.upgrade()
                now = datetime.now(UTC)
                with store.transaction() as tx:  # the environment is polled tomorrow: only what waits is sent
                    environment_state(tx, "customer-0")
                    tx.connection.execute(update(environments).values(next_poll_at=now + timedelta(minutes=50)))
                    found = [
                        of_the_watch("watch.stale", Severity.warning, f"{n}", Written("h", "t")) for n in range(count)
                    ]
                    record_alerts(tx, found, Routing.of(settings), now)
                with daemons(path, number):
                    while len(handler.sent) < count:
                        time.sleep(0.05)
                with store.reading() as tx:
                    query = select(func.count()).select_from(deliveries).where(deliveries.c.state == "sent")
                    assert tx.connection.execute(query).scalar_one() == count == len(handler.sent)
                    assert not tx.connection.execute(select(leases)).all()
                store.close()
                times.setdefault(number, []).append(handler.sent[-1] - handler.sent[0])
    one, three = min(times[1]), min(times[3])
    print(f"{count} messages of {HOOK_S} s: one daemon {one:.1f} s, three {three:.1f} s: {three / one:.2f} of the time")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--environments", type=int, default=1000)
    options.add_argument("--numbers", type=int, default=1000)
    options.add_argument("--messages", type=int, default=300)
    options.add_argument("--database", choices=["sqlite", "postgresql"])
    options.add_argument("--part", choices=["polls", "sends"])
    chosen = options.parse_args()
    if chosen.part != "sends":
        print("| | environments × numbers | first polls, s | 1 % changed, s | of processor time, s | MB |")
        print("|---|---|---|---|---|---|")
        for database in (chosen.database,) if chosen.database else ("sqlite", "postgresql"):
            thousand(chosen.environments, chosen.numbers, database)
    if chosen.part != "polls":
        sends(chosen.messages)


if __name__ == "__main__":
    main()
