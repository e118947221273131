"""Whole processes against a floor and a peer, in turn, medians: prints the tables of docs/performance.md.

``bench.py [--runs N] [--sizes 1000,10000,100000] [--year HOURS]``; the year takes a quarter of an hour, ``--year 0`` leaves
it out. The peer is urlwatch (https://urlwatch.readthedocs.io), which watches any JSON for changes; ``--peer PROGRAM`` says
where it is.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import server

HERE = Path(__file__).resolve().parent
MORNING = datetime(2026, 11, 23, 12, tzinfo=UTC)
PEER_PATIENCE_S = 120  # a run of the peer that takes longer is ended
WHATS = {  # the body of each poll, the hours since the first one, the share of the numbers that changed
    "first poll": ("quiet-today", 0, 1.0),
    "nothing changed": ("quiet-today", 1, 0.0),
    "only countdowns": ("quiet-tomorrow", 24, 0.0),
    "1 % changed": ("some", 25, 0.01),
    "all changed": ("all", 26, 0.99),
}


class TooSlowError(Exception):
    """A process that was ended."""


def measure(*command: object, patience_s: float = 3600, folder: Path | None = None) -> tuple[float, float]:
    """Wall seconds and peak MB of one whole process, after what the one before it wrote is on the disk."""
    os.sync()
    began = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, cwd=folder)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.perf_counter() - began > patience_s:
            process.kill()
            os.wait4(process.pid, 0)
            process.returncode = -9
            raise TooSlowError
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {command}")
    return seconds, usage.ru_maxrss / 1024


@contextmanager
def served(count: int) -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, HERE / "fleet.py", str(count), MORNING.date().isoformat()], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def config(folder: Path, address: str, database: str = "") -> Path:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'state_dir = "{folder}"\n'
        + (f'[database]\nurl = "{database}"\n' if database else "")
        + f'[[environments]]\nname = "production"\nbase_url = "{address}"\ntoken = "talq_bench"\n'
        '[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:1"\n'
    )
    return path


def engine_polls(count: int, address: str, database: str) -> Iterator[tuple[str, tuple[float, float]]]:
    """Each kind of poll, one after the other, on a new database."""
    with tempfile.TemporaryDirectory() as name:
        for what, (body, hours, share) in WHATS.items():
            path = config(Path(name), f"{address}/{body}", database)
            wanted = (
                count if share == 1 else -(-count // 100) if share == 0.01 else count - -(-count // 100) if share else 0
            )
            yield (
                what,
                measure(*(sys.executable, HERE / "one_poll.py", path, MORNING + timedelta(hours=hours)), wanted, count),
            )


def floor_poll(address: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as name:
        url = f"{address}/quiet-today/phone-numbers"
        return measure(sys.executable, HERE / "floor.py", url, Path(name) / "floor.db")


def peer_polls(peer: Path, address: str) -> Iterator[tuple[str, tuple[float, float] | None]]:
    """The same bodies for the peer: one URL whose JSON is put in lines, compared with the last time; None for too slow."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "urlwatch.yaml").write_text(
            "report:\n  text: {line_length: 75, details: true}\n  stdout: {enabled: true}\n"
        )
        for what, (body, _, _) in WHATS.items():
            job = {"name": "fleet", "url": f"{address}/turn/phone-numbers", "filter": ["format-json"]}
            server.turn(address, body)
            (folder / "urls.yaml").write_text(json.dumps(job))
            files = ("--urls", "urls.yaml", "--config", "urlwatch.yaml", "--cache", "cache.db", "--hooks", "none.py")
            try:
                yield what, measure(peer, *files, patience_s=PEER_PATIENCE_S, folder=folder)
            except TooSlowError:
                yield what, None
                return


def polls(count: int, runs: int, peer: Path | None) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """For each yardstick and engine the times of each kind of poll; the floor has one kind."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with ExitStack() as stack:
        address = stack.enter_context(served(count))
        databases = stack.enter_context(server.postgresql())
        for turn in range(runs + 1):  # the first round warms the caches
            kept = turn > 0
            for name, times in (
                ("floor", [("floor", floor_poll(address))]),
                ("SQLite", list(engine_polls(count, address, ""))),
                ("PostgreSQL", list(engine_polls(count, address, databases(f"bench_{count}_{turn}")))),
            ):
                for what, one in times:
                    found.setdefault(name, {}).setdefault(what, []).extend([one] if kept else [])
        for what, one in peer_polls(peer, address) if peer else ():
            found.setdefault("urlwatch", {})[what] = [one] if one else []
    return found


def print_polls(count: int, found: dict[str, dict[str, list[tuple[float, float]]]]) -> None:
    floors = found["floor"]["floor"]
    floor_s, floor_mb = (statistics.median(one[i] for one in floors) for i in (0, 1))
    print(f"\n| {count:,} numbers in one body | s | × floor | MB | × floor |\n|---|---|---|---|---|")
    print(f"| floor | {floor_s:.2f} | 1.00 | {floor_mb:.0f} | 1.00 |")
    for name in ("SQLite", "PostgreSQL", "urlwatch"):
        for what, times in found.get(name, {}).items():
            if not times:
                print(f"| {name}, {what} | > {PEER_PATIENCE_S} | | | |")
                continue
            seconds, memory = (statistics.median(one[i] for one in times) for i in (0, 1))
            pairs = list(zip(times, floors, strict=False))
            ratio = statistics.median(one[0] / floor[0] for one, floor in pairs)
            share = statistics.median(one[1] / floor[1] for one, floor in pairs)
            print(f"| {name}, {what} | {seconds:.2f} | {ratio:.2f} | {memory:.0f} | {share:.2f} |", flush=True)


def status(runs: int) -> tuple[float, float]:
    """``status`` on 10,000 numbers, and an interpreter that only imports SQLAlchemy."""
    with served(10_000) as address, tempfile.TemporaryDirectory() as name:
        path = config(Path(name), f"{address}/today")
        measure(sys.executable, HERE / "one_poll.py", path, datetime.now(UTC))
        shown = (sys.executable, "-m", "renewal_watch", "--config", path, "status")
        return beside(shown, (sys.executable, "-c", "import sqlalchemy"), runs)


def beside(shown: tuple[object, ...], bare: tuple[object, ...], runs: int) -> tuple[float, float]:
    """The median seconds of two commands, in turn; the first round warms the caches."""
    times = [(measure(*shown)[0], measure(*bare)[0]) for _ in range(runs + 1)][1:]
    return statistics.median(one for one, _ in times), statistics.median(two for _, two in times)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--sizes", default="1000,10000,100000")
    options.add_argument("--peer", type=Path)
    options.add_argument("--year", type=int, default=365 * 24, metavar="HOURS")
    chosen = options.parse_args()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} x {cpu}, Python {platform.python_version()}, ",
        end="",
    )
    print(f"SQLite {sqlite3.sqlite_version}, {server.version()}, {chosen.runs} runs")
    for count in map(int, chosen.sizes.split(",")):
        print_polls(count, polls(count, chosen.runs, chosen.peer))
    shown, bare = status(chosen.runs)
    print(f"\nstatus on 10,000 numbers: {shown:.2f} s, {shown / bare:.2f} × an interpreter that imports SQLAlchemy")
    shown, bare = beside((sys.executable, "-m", "renewal_watch", "--help"), (sys.executable, "-c", "pass"), 20)
    print(f"--help: {shown * 1000:.0f} ms, {shown / bare:.2f} × an interpreter that does nothing")
    if chosen.year:
        with tempfile.TemporaryDirectory() as name:
            done = subprocess.run(
                [sys.executable, HERE / "year.py", name, str(chosen.year)], check=True, capture_output=True, text=True
            )
            print(f"a year of hourly polls, 10,000 numbers, 1 % changed a day: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
