"""promtool of Prometheus itself; a test that needs it is skipped where it is not installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def promtool(*words: object, given: str | None = None) -> tuple[int, str]:
    """Its exit code and everything it says."""
    if shutil.which("promtool") is None:
        reason = "promtool is not installed (Debian: prometheus)"
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(["promtool", *map(str, words)], input=given, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr
