"""A module of ours as a child process that is spoken to by lines: what must have an end, or must not see our memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping


def start(module: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start ``module``; its standard input and output are pipes, what it complains of is dropped. Raises OSError."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],  # -P: nothing is imported from where we stand
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the parent, which lets what is under way end
        bufsize=0,
        env=environment,
    )
