"""The source distribution holds what is tracked, and nothing that happens to lie beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Tracked(BuildHookInterface):  # type: ignore[type-arg]
    """Names each tracked file to the builder, which otherwise takes whatever Git does not ignore."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Of a source distribution that was unpacked, everything is taken: all of it was tracked."""
        del version
        root = Path(self.root)
        if (root / "PKG-INFO").exists():
            names = [
                str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"
            ]
        else:
            command = ["git", "ls-files", "-z"]
            listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
            names = [name for name in listed.stdout.split("\0") if name and (root / name).exists()]
        build_data["force_include"] |= {str(root / name): name for name in names if name != "PKG-INFO"}
