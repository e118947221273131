"""Whole processes against a floor, in turn, medians: prints the table of docs/performance.md.

``bench.py [--runs N] [--year HOURS]``; the year takes a quarter of an hour, ``--year 0`` leaves it out.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
COUNT = 100_000
MORNING = datetime(2026, 11, 23, 12, tzinfo=UTC)


def measure(*command: object) -> tuple[float, float]:
    """Wall seconds and peak MB of one whole process, after what the one before it wrote is on the disk."""
    os.sync()
    began = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {command}")
    return seconds, usage.ru_maxrss / 1024


@contextmanager
def served(count: int) -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, HERE / "fleet.py", str(count), MORNING.date().isoformat()], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def config(folder: Path, address: str) -> Path:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    path.write_text(
        f'state_dir = "{folder}"\n[[environments]]\nname = "production"\nbase_url = "{address}"\ntoken = "talq_bench"\n'
        '[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:1"\n'
    )
    return path


def polls(runs: int) -> dict[str, list[tuple[float, float]]]:
    """The floor and three polls, in turn, ``runs`` times."""
    found: dict[str, list[tuple[float, float]]] = {}
    one_poll = (sys.executable, HERE / "one_poll.py")
    with served(COUNT) as address:
        for _ in range(runs + 1):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                path = config(folder, f"{address}/today")
                turns = {
                    "floor": (sys.executable, HERE / "floor.py", f"{address}/today/phone-numbers", folder / "floor.db"),
                    "first poll": (*one_poll, path, MORNING, COUNT, COUNT),
                    "nothing changed": (*one_poll, path, MORNING + timedelta(hours=1), 0, COUNT),
                }
                for what, command in turns.items():
                    found.setdefault(what, []).append(measure(*command))
                config(folder, f"{address}/tomorrow")
                command = (*one_poll, path, MORNING + timedelta(days=1), 0, COUNT)
                found.setdefault("a day later, 8,000 thresholds reached", []).append(measure(*command))
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                path = config(folder, f"{address}/quiet-today")
                measure(*one_poll, path, MORNING, COUNT, COUNT)
                config(folder, f"{address}/quiet-tomorrow")
                command = (*one_poll, path, MORNING + timedelta(days=1), 0, COUNT)
                found.setdefault("a day later, only countdowns", []).append(measure(*command))
    return {what: times[1:] for what, times in found.items()}  # the first round warms the caches


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
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--year", type=int, default=365 * 24, metavar="HOURS")
    chosen = options.parse_args()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "?")
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} x {cpu}, Python {platform.python_version()}\n")
    found = polls(chosen.runs)
    print(f"| {COUNT:,} numbers in one body, {chosen.runs} runs | s | × floor | MB | × floor |\n|---|---|---|---|---|")
    floors = found["floor"]
    for what, times in found.items():
        seconds = statistics.median(one[0] for one in times)
        memory = statistics.median(one[1] for one in times)
        ratio = statistics.median(one[0] / floor[0] for one, floor in zip(times, floors, strict=True))
        share = statistics.median(one[1] / floor[1] for one, floor in zip(times, floors, strict=True))
        print(f"| {what} | {seconds:.2f} | {ratio:.2f} | {memory:.0f} | {share:.2f} |")
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
