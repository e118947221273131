"""The commands that serve: the pages and their password, and what assistants ask."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click

from renewal_watch.cli import base
from renewal_watch.errors import UsageError


@base.cli.group(invoke_without_command=True)
@click.pass_context
def web(ctx: click.Context) -> None:
    """Serve the pages and what other programs read: fleet, calendar, alerts, health, metrics. SIGTERM ends it."""
    base.need_pages()
    if ctx.invoked_subcommand:
        return
    from renewal_watch.web.serve import serve

    serve(base.settings(ctx), base.clock(ctx), lambda line: base.show([line]))


@base.cli.command()
@click.option(
    "--allow-actions",
    is_flag=True,
    help="Also acknowledge, silence, let lapse and send again, each in the audit log with your name.",
)
@click.pass_context
def mcp(ctx: click.Context, allow_actions: bool) -> None:  # noqa: FBT001
    """Answer an assistant on standard input and output by the Model Context Protocol. The end of input ends it.

    It reads only, unless --allow-actions is given.
    """
    base.need("an assistant is answered with", "mcp", "mcp", "jsonschema")
    from renewal_watch.cli import deciding
    from renewal_watch.mcp.answering import Watch
    from renewal_watch.mcp.server import serve
    from renewal_watch.model.actor import Actor

    user, origin = deciding.who(None, "mcp")
    serve(Watch(base.settings(ctx), base.clock(ctx), Actor(f"mcp: {user}", origin)), acts=allow_actions)


@web.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it is there; every login ends.")
def password(file: Path, force: bool) -> None:  # noqa: FBT001
    """Ask for a password and write its hash to FILE, readable by its owner only."""
    from renewal_watch.web import security

    if file.exists() and not file.is_file():
        msg = f"{file} is there and is no file; name another one"
        raise UsageError(msg)
    if file.exists() and not force:
        msg = f"{file} is there already; to set another password, which ends every login: --force"
        raise UsageError(msg)
    if sys.stdin.isatty():
        given = click.prompt("Password of the pages", hide_input=True, confirmation_prompt="Once more", err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not security.SHORTEST <= len(given) <= security.LONGEST:
        msg = f"a password has {security.SHORTEST} characters or more, and {security.LONGEST} at most"
        raise UsageError(msg)
    part = file.with_name(f"{file.name}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(security.hashed(given))
        part.replace(file)
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror}"
        raise UsageError(msg) from None
    click.echo(f"wrote {file}; name it as password_file in [web]")
