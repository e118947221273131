"""The suite is green on every day: a part of it is run at another time of the calendar, in a campaign nearly all of it.

The whole process tree of another pytest has that time, by libfaketime. Left out is what gives processes a time of its own or
boots a machine, and in `make test` what takes longest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rounds import Chosen, note
from test_many_daemons import faketime

from renewal_watch.clock import utc_now

ROOT = Path(__file__).resolve().parents[2]
DAYS = {  # where the change of the clocks comes at midnight, as it did in Sao Paulo, a day has no first hour
    "the last minute of a leap day": ("2028-02-29 23:59:00", "UTC"),
    "tomorrow": ("+1d", "UTC"),
    "in a month": ("+31d", "UTC"),
    "in a year": ("+366d", "UTC"),
    "New Year's Eve": ("2026-12-31 23:58:00", "Europe/Berlin"),
    "the night of spring in Berlin": ("2027-03-28 01:58:00", "Europe/Berlin"),
    "the night of autumn in Berlin": ("2027-10-31 02:58:00", "Europe/Berlin"),
    "the night of spring in Santiago": ("2027-09-04 23:58:00", "America/Santiago"),
    "the night of autumn in Santiago": ("2027-04-03 23:58:00", "America/Santiago"),
}
QUICK = tuple(  # what a clock could change, in seconds
    f"tests/{name}.py"
    for name in (
        *(
            "test_docs",
            "unit/test_schedule",
            "unit/test_digest",
            "integration/test_forecast",
            "integration/test_selections",
        ),
        *("integration/test_export", "integration/test_ics", "integration/test_import", "integration/test_health"),
        *("integration/test_check_command", "integration/test_metrics"),
    )
)
APART = ("test_any_day", "test_many_daemons", "test_systemd", "test_browser", "test_nagios")

MANUAL = "tests/integration/test_shell.py::test_the_manual_page_says_what_the_help_texts_say"  # man lets no library in


SLEEP = """
import select, time
time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""  # that of Python 3.11 fails under libfaketime 0.9.10, which Debian 12 has: its issue 426


def run(day: str, folder: Path, *words: str) -> str:
    """How many tests pass on another day; all must."""
    at, zone = DAYS[day]
    if not at.startswith("+"):  # as an offset, for "@" means that instant for each process anew
        there = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(zone))
        at = f"{(there - utc_now()).total_seconds():+.0f}s"
    (folder / "sitecustomize.py").write_text(SLEEP)
    env = {
        **os.environ,
        "LD_PRELOAD": faketime(),
        "FAKETIME": at,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",  # files have their real times, by which Python knows what it compiled
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(folder),
        "TZ": zone,
    }
    command = [sys.executable, "-m", "pytest", "-q", *words]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    return passed[1]


@pytest.mark.parametrize(
    "day", [day if day == next(iter(DAYS)) else pytest.param(day, marks=pytest.mark.lengthy) for day in DAYS]
)
def test_it_is_green_on_another_day(day: str, tmp_path: Path) -> None:
    if Chosen.report is None:
        assert int(run(day, tmp_path, *QUICK)) > 500
        return
    left_out = [*(f"--ignore=tests/e2e/{name}.py" for name in APART), f"--deselect={MANUAL}"]
    passed = run(day, tmp_path, "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder", *left_out)
    note("the whole suite on other days", 1, f"{day}: {passed} tests")
