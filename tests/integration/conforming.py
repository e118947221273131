"""Schemathesis against a server: every check it has, on requests that fit the OpenAPI document and on those that do not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rounds import Chosen, note


def conforms(base: str, folder: Path, called: str, *more: str) -> int:
    """How many operations were tried, with nothing found; a campaign also makes requests up. ``more`` are options."""
    phases, examples = ("examples,coverage,fuzzing,stateful", Chosen.rounds) if Chosen.rounds else ("coverage", 1)
    (folder / "schemathesis.toml").write_text("")
    options = {
        "--checks": "all",
        "--mode": "all",
        "--phases": phases,
        "--max-examples": str(examples),
        "--workers": "1",  # two threads meet a fault of CPython 3.11 in `ast.parse`: its issue 106905
        "--seed": str(Chosen.seed),
        "--warnings": "off",
    }
    words = ["--config-file", "schemathesis.toml", "run", f"{base}/api/v1/openapi.json", "--no-shrink"]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *words, *(w for pair in options.items() for w in pair), *more],
        capture_output=True,
        text=True,
        timeout=300 + 60 * examples,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
    tested = re.search(r"Selected: (\d+)/\d+\s+Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    assert tested[1] == tested[2]
    cases = re.search(r"(\d+) generated, (\d+) (?:found|passed)", done.stdout)
    note(called, int(cases[1]) if cases else 0, f"{tested[2]} operations")
    return int(tested[2])
