"""The commands: read options, put the parts together, print, exit. The composition root.

Exit codes: 0 done, 1 something failed that may work later, 2 wrong usage, 78 the configuration is wrong.
A new command stands in a module of this package, decorated with ``base.cli``, and has its line in ``contents``. Its
module is imported when it is called, and own modules inside the commands that need them, so that all answer fast.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any

from renewal_watch.cli import contents

if TYPE_CHECKING:
    from renewal_watch.cli.base import cli as cli

__all__ = ["cli", "main"]


def __getattr__(name: str) -> Any:
    """``cli``, the group with all its commands, for those who look at the whole of it."""
    if name != "cli":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    from renewal_watch.cli.base import cli as group

    for module in dict.fromkeys(entry.module for entry in contents.COMMANDS.values()):
        importlib.import_module(f"{__name__}.{module}")
    return group


def main() -> None:
    """The entry point."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (closed by who called)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows another one
    code: object = 0
    try:
        try:
            if sys.argv[1:] in (["-h"], ["--help"]):
                print(contents.overview())  # noqa: T201 (click would take more time to import than all the rest)
            else:
                from renewal_watch.cli.base import cli

                cli(prog_name="renewal-watch")
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:  # whoever read it has read enough
            with contextlib.suppress(OSError):
                os.write(2, f"renewal-watch: the output cannot be written: {error.strerror}\n".encode())
        code = 1
    # Taking the interpreter down piece by piece costs a tenth of a second and has nothing to give back.
    os._exit(code if isinstance(code, int) else 1)
