"""The commands as the tests call them: in this process, at an instant that the test gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from click.testing import CliRunner, Result
from conftest import Clock

from renewal_watch.cli import cli
from renewal_watch.clock import utc_now

Run = Callable[..., Result]


def call(
    config: Path | None,
    *words: str,
    clock: Callable[[], datetime] | None = None,
    code: int | None = 0,
    secrets: tuple[str, ...] = (),
    given: str | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Result:
    """What a command did that was called at the time of ``clock``, noon of ``T0`` by default.

    ``code`` is the exit code that it must have, None for any; ``secrets`` are words that it must not print.
    """
    before = ["--config", str(config)] if config else []
    now = clock or (utc_now if "doctor" in words else Clock())  # the doctor compares this machine's clock with others
    result = CliRunner().invoke(cli, [*before, *words], prog_name="renewal-watch", obj=now, input=given, env=env)
    assert code is None or result.exit_code == code, (words, result.output, result.exception)
    assert "Traceback" not in result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    for secret in secrets:
        assert secret not in result.output
    return result
