"""What monitoring systems call: ``check`` for Nagios, Icinga and their like, ``metrics`` for Prometheus."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from renewal_watch import __version__
from renewal_watch.cli import base
from renewal_watch.cli.plugin import UNKNOWN, Plugin, unknown_line
from renewal_watch.errors import RenewalWatchError, UsageError

if TYPE_CHECKING:
    from renewal_watch.diagnostics.nagios import Outcome

_READABLE = 0o644  # node_exporter runs as a user of its own


def _print_and_exit(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001
    """Of ``--help`` and ``--version``: the guidelines want them to exit UNKNOWN, lest a wrong command looks well."""
    if not value or ctx.resilient_parsing:
        return
    text = ctx.get_help() if parameter.name == "help" else f"renewal-watch check {__version__}"
    click.echo(text)
    ctx.exit(UNKNOWN)


@base.cli.command(cls=Plugin, add_help_option=False)
@click.option("-w", "--warning", metavar="DAYS", help="WARNING at so many days or less.  [default: 14]")
@click.option("-c", "--critical", metavar="DAYS", help="CRITICAL at so many days or less.  [default: 3]")
@base.ENVIRONMENT
@click.option(
    "-t",
    "--timeout",
    type=click.FloatRange(0, 600, min_open=True),
    default=10,
    metavar="SECONDS",
    show_default=True,
    help="UNKNOWN after so long.",
)
@click.option("-v", "--verbose", count=True, help="Also list every number that is behind the state.")
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_and_exit,
    help="Show the version.",
)
@click.option(
    "-h", "--help", is_flag=True, is_eager=True, expose_value=False, callback=_print_and_exit, help="Show this message."
)
@click.pass_context
def check(
    ctx: click.Context, warning: str | None, critical: str | None, environment: str | None, timeout: float, verbose: int
) -> None:
    """Answer as a Nagios plugin: one line, performance data, exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

    -w and -c count the days of numbers that do not renew by themselves; ranges such as 14: or @0:14 do as well. CRITICAL
    whatever the days: overdue, suspended, inactive, missing. UNKNOWN: the list is stale, no database, wrong usage.
    """
    with _ended_after(timeout):
        found = _examined(ctx, warning, critical, environment)
    click.echo("\n".join(found.lines(is_verbose=verbose > 0)))
    ctx.exit(found.state)


def _examined(ctx: click.Context, warning: str | None, critical: str | None, environment: str | None) -> Outcome:
    from renewal_watch.diagnostics import nagios_check, nagios_thresholds

    soon, urgent = nagios_thresholds.thresholds(warning, critical)
    settings = base.settings(ctx, complains=False)
    if environment:
        settings.environment(environment)
    way = base.routing(settings)
    with base.store(settings, write=False) as store, store.transaction() as tx:
        return nagios_check.examine(tx, settings, way, base.now(ctx), soon=soon, urgent=urgent, environment=environment)


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Answer UNKNOWN when it takes longer: a locked database is waited for in C, where no signal is heard."""

    def give_up() -> NoReturn:
        os.write(
            1,
            f"{unknown_line(f'no answer within {seconds:g} s: the database is locked or the machine is slow')}\n".encode(),
        )
        os._exit(UNKNOWN)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@base.cli.command()
@click.option(
    "--textfile",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write them to this file, which ends in .prom, for node_exporter's textfile collector.",
)
@click.pass_context
def metrics(ctx: click.Context, textfile: Path | None) -> None:
    """Print the metrics as Prometheus reads them, or write them to a file.

    The file appears whole or stays as it was. When the database cannot be read it stays as it was: what it says of
    renewals holds, and its age and that of the last good list show that nobody watches.
    """
    if textfile is not None:
        if textfile.suffix != ".prom":
            msg = f"--textfile: {textfile} does not end in .prom; the collector reads no other file"
            raise UsageError(msg)
        if not textfile.parent.is_dir():
            msg = f"--textfile: the directory {textfile.parent} does not exist; make it or correct the path"
            raise UsageError(msg)
    settings = base.settings(ctx)
    from renewal_watch.diagnostics.metrics import exposition

    with base.store(settings, write=False) as store, store.transaction() as tx:
        text = exposition(tx, settings, base.now(ctx))
    if textfile is None:
        sys.stdout.flush()
        click.echo(text, nl=False)
    else:
        _replace(textfile, text)


def _replace(path: Path, content: bytes) -> None:
    """Put ``content`` in the place of ``path``, readable by all. Raises RenewalWatchError."""
    part: str | None = None
    try:
        if path.exists() and not path.is_file():
            msg = f"--textfile: {path} cannot be written: it is there and is no file"
            raise RenewalWatchError(msg)
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # its name does not end in .prom
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), _READABLE)
        Path(part).replace(path)
        part = None
    except OSError as error:
        msg = f"--textfile: {path} cannot be written: {error.strerror}"
        raise RenewalWatchError(msg) from None
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                Path(part).unlink()
