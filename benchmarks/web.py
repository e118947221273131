"""The fleet page with 100,000 numbers against the same page with 1,000: whole processes, in turn, medians.

``web.py [--runs N]``: each size has its own `renewal-watch web`; every round asks each for a page once. Memory is the most
that a process ever held (VmHWM), after all rounds. Prints ratios; wanted: time at most twice, memory the same.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import config, measure, served

HERE = Path(__file__).resolve().parent
SIZES = (1_000, 100_000)
PAGES = {
    "fleet": "/",
    "fleet, ten pages on": "/?page=11",
    "calendar": "/calendar",
    "alerts": "/alerts",
    "health": "/health",
    "search that nothing fits": "/?search=999999999999",
    "by cost": "/?sort=cost",
}


@contextmanager
def pages(count: int) -> Iterator[tuple[int, str]]:
    """Process id and address of the pages of a fleet that was polled once."""
    with tempfile.TemporaryDirectory() as name:
        with served(count) as address:
            path = config(Path(name), f"{address}/today")
            measure(sys.executable, HERE / "one_poll.py", path, datetime.now(UTC), count, count)
        with path.open("a") as file:
            file.write('[web]\nlisten = "127.0.0.1:0"\n')
        command = [sys.executable, "-m", "renewal_watch", "--config", str(path), "web"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                yield process.pid, process.stdout.readline().split()[-1].rstrip("/")
            finally:
                os.kill(process.pid, signal.SIGTERM)


def timed(url: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        answer.read()
    return time.perf_counter() - began


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def ratio(of: Callable[[int], float]) -> str:
    small, large = (of(size) for size in SIZES)
    return f"{small:.3g} | {large:.3g} | {large / small:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    with ExitStack() as stack:
        found = {size: stack.enter_context(pages(size)) for size in SIZES}
        for size in SIZES:
            for _ in range(8):  # every thread and connection once
                timed(found[size][1])
        print(f"| page | ms, {SIZES[0]:,} | ms, {SIZES[1]:,} | ratio |\n|---|---|---|---|")
        first = True
        for name, path in PAGES.items():
            times: dict[int, list[float]] = {size: [] for size in SIZES}
            for _ in range(runs if first else max(5, runs // 5)):
                for size in SIZES:
                    times[size].append(timed(found[size][1] + path))
            print(f"| {name} | {ratio(lambda size, times=times: statistics.median(times[size]) * 1000)} |", flush=True)
            if first:
                print(f"| MB after {runs} of them | {ratio(lambda size: peak_mb(found[size][0]))} |", flush=True)
            first = False
        print(f"| MB after all | {ratio(lambda size: peak_mb(found[size][0]))} |")


if __name__ == "__main__":
    main()
