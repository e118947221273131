"""`make campaign`: what needs hundreds of rounds, and the table of what came of it in ``docs/reliability.md``.

Each campaign is tests of the suite, which `make test` runs in a small round as well. ``--size 0.1`` makes a tenth of the
rounds, ``--seed`` other ones, ``--only`` some of the campaigns; rows of others stay as they were in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reliability.md"
HEAD = "| campaign | rounds | lost | what came of it | date | seed |\n|---|---|---|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Campaign:
    """Tests, and how many rounds are a full size; None for those that are run once, each test a round."""

    name: str
    words: tuple[str, ...]
    rounds: int | None = None


class Row(NamedTuple):
    """A line of the table."""

    campaign: str
    rounds: str
    lost: str
    said: str
    date: str
    seed: str


KILLED = "tests/e2e/test_killed.py"
FUZZED = "tests/integration/test_fuzzed.py"
SIDE_BY_SIDE = ("-n", "auto", "--dist", "loadfile")
CAMPAIGNS = {
    "truth": Campaign("number-years against the truth", ("tests/integration/test_truth.py",), 1_000),
    "poll": Campaign("kills of a poll", (f"{KILLED}::test_polls_killed_at_random_lose_nothing",), 200),
    "daemon": Campaign("kills of the daemon", (f"{KILLED}::test_a_daemon_killed_at_random_loses_nothing",), 200),
    "daemons": Campaign(
        "three daemons on PostgreSQL",
        ("tests/e2e/test_many_daemons.py::test_deaths_at_random_lose_nothing",),
        200,
    ),
    "answers": Campaign("fuzzed answers", (f"{FUZZED}::test_no_answer_breaks_a_poll_or_is_kept_unreadable",), 50_000),
    "configurations": Campaign(
        "fuzzed configurations", (f"{FUZZED}::test_every_configuration_is_right_or_has_its_faults_named",), 20_000
    ),
    "arguments": Campaign("fuzzed arguments", (f"{FUZZED}::test_every_command_line_ends_with_a_sentence",), 5_000),
    "schemathesis": Campaign(
        "schemathesis",
        (
            "tests/integration/test_api.py::test_schemathesis_finds_nothing",
            "tests/integration/test_api_acts.py::test_schemathesis_finds_nothing_in_what_acts",
        ),
        100,
    ),
    "properties": Campaign("properties (Hypothesis)", ("-m", "hypothesis", *SIDE_BY_SIDE), 20),
    "systemd": Campaign("booted systemd", ("tests/e2e/test_systemd.py",)),
    "days": Campaign("the whole suite on other days", ("tests/e2e/test_any_day.py",)),
    "postgresql": Campaign("the whole suite on PostgreSQL", ("--postgresql", "--whole", *SIDE_BY_SIDE)),
}


def run(campaign: Campaign, seed: int, size: float) -> Row:
    """Run one, its output on this terminal; its row."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="renewal-watch-campaign-") as folder:
        xml, report = Path(folder) / "tests.xml", Path(folder) / "report"
        words = [sys.executable, "-m", "pytest", "-q", f"--seed={seed}", f"--hypothesis-seed={seed}"]
        words += [f"--junitxml={xml}", f"--report={report}", *campaign.words]
        asked = 1
        if campaign.rounds is not None:
            asked = max(1, round(campaign.rounds * size))
            words.append(f"--rounds={asked}")
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, "RENEWAL_WATCH_TEST_ALL": "1"}, check=False)
        tests = list(ET.parse(xml).iter("testcase")) if xml.exists() else []
        noted = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    examples = sum(int(one.get("value", 0)) for test in tests for one in test.iter("property"))
    fates = {f"{test.get('classname')}::{test.get('name')}": {part.tag for part in test} for test in tests}
    failed = [name for name, fate in fates.items() if fate & {"failure", "error", "skipped"}]
    lost = "0" if done.returncode == 0 else f"failed: {', '.join(failed) or 'see above'}"
    count = sum(one["rounds"] for one in noted) or (asked if campaign.rounds else len(tests))
    rounds = f"at most {examples:,}" if examples and not noted else f"{count:,}"
    said = (
        "; ".join(dict.fromkeys(one["said"] for one in noted))
        or f"{len(tests) - len(failed)} of {len(tests)} tests passed"
    )
    minutes = (time.monotonic() - began) / 60
    return Row(campaign.name, rounds, lost, f"{said}; {minutes:.1f} min", f"{datetime.now(UTC):%Y-%m-%d}", str(seed))


def write(rows: list[Row]) -> None:
    """Put rows into the table of the page, in the order of the campaigns."""
    before, _, rest = PAGE.read_text().partition(HEAD)
    table, _, after = rest.partition("\n\n")
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()}
    lines |= {row.campaign: f"| {' | '.join(text.replace('|', '/') for text in row)} |" for row in rows}
    names = [one.name for one in CAMPAIGNS.values()]
    ordered = [lines[name] for name in names if name in lines]
    PAGE.write_text(f"{before}{HEAD}" + "\n".join(ordered) + f"\n\n{after}")


def main() -> int:
    """Run what is asked for; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="make campaign", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 10**8))
    parser.add_argument("--size", type=float, default=1.0, help="1 is the full size")
    parser.add_argument("--only", nargs="*", choices=CAMPAIGNS, default=list(CAMPAIGNS))
    given = parser.parse_args()
    has_failed = False
    for name in given.only:
        row = run(CAMPAIGNS[name], given.seed, given.size)
        write([row])
        print(f"\n{row}\n", flush=True)
        has_failed |= row.lost.startswith("failed")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
