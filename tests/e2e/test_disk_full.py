"""A disk that is really full: nothing lost, nothing sent twice, told in one sentence, and well again without a restart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from world import World, serving, write_config

_MOUNT = ["unshare", "--mount", "--map-root-user"] if os.geteuid() else ["unshare", "--mount"]


def why_not() -> str | None:
    if not shutil.which("unshare"):
        return "unshare (util-linux) is not installed"
    tried = subprocess.run([*_MOUNT, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"no file system can be mounted here: {tried.stderr.strip()}"


SCRIPT = """
set -u
mount -t tmpfs -o size=600k none "$STATE" || exit 99
$RW poll --no-send || exit 98
cat /dev/zero > "$STATE/ballast" 2>/dev/null
curl_more
$RW poll; echo "full: $?"
$RW send; echo "send: $?"
rm "$STATE/ballast"
$RW poll; echo "well: $?"
$RW db check
"""


def test_a_full_disk_loses_and_repeats_nothing(tmp_path: Path) -> None:
    reason = why_not()
    if reason:
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    state = tmp_path / "state"
    state.mkdir()
    world = World(numbers=60, restless=False)
    with serving(world) as address:
        config = write_config(tmp_path, address)
        config.write_text(config.read_text().replace(f'state_dir = "{tmp_path}"', f'state_dir = "{state}"'))
        script = SCRIPT.replace(
            "curl_more", f"{sys.executable} -c \"import urllib.request as u; u.urlopen('{address}/suspend')\""
        )
        done = subprocess.run(
            [*_MOUNT, "sh", "-c", script],
            capture_output=True,
            text=True,
            env={**os.environ, "STATE": str(state), "RW": f"{sys.executable} -m renewal_watch --config {config}"},
        )
    assert "full: 1" in done.stdout, done.stdout + done.stderr
    assert "free some space; nothing was lost" in done.stderr
    assert "Traceback" not in done.stderr
    assert "well: 0" in done.stdout, done.stdout + done.stderr
    assert "the database is sound" in done.stdout
    assert len(world.messages) == 1
    assert "60 numbers need action: " in str(world.messages[0]["title"])
