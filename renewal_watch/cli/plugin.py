"""What a monitoring plugin owes its caller: every failure is one line and the state UNKNOWN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click

from renewal_watch.errors import ConfigError, RenewalWatchError

UNKNOWN = 3  # diagnostics.nagios.State.UNKNOWN, which would cost an import


class Unknown(click.ClickException):
    """The plugin failed: one line on standard output, where a monitoring system reads it, and its exit code."""

    exit_code = UNKNOWN

    def show(self, file: Any = None) -> None:
        """Print it."""
        del file
        click.echo(unknown_line(self.message))


def unknown_line(reason: str) -> str:
    """The line of a plugin that cannot say how things are."""
    from renewal_watch.diagnostics import nagios
    from renewal_watch.text import REDACTOR

    return "\n".join(nagios.unknown(REDACTOR.clean(reason)).lines())


def unknown_for(error: click.UsageError) -> Unknown:
    """What wrong usage is to a monitoring system."""
    return Unknown(f"{error.format_message()} See: renewal-watch check --help")


class Plugin(click.Command):
    """A command of which every failure is the state UNKNOWN: Python's own exit code would be read as WARNING."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        """Read the options."""
        with _no_other_failure():
            return super().make_context(info_name, args, *more, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _no_other_failure():
            return super().invoke(ctx)


@contextlib.contextmanager
def _no_other_failure() -> Iterator[None]:
    try:
        yield
    except (click.exceptions.Exit, click.Abort, Unknown):
        raise
    except click.UsageError as error:
        raise unknown_for(error) from None
    except ConfigError as error:
        raise Unknown("; ".join(error.faults)) from None
    except RenewalWatchError as error:
        raise Unknown(str(error)) from None
    except Exception as error:  # whatever it is, a traceback would be read as WARNING
        msg = f"an error in renewal-watch itself: {type(error).__name__}: {error}"
        raise Unknown(msg) from error
