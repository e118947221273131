"""The commands that serve: the pages with their password, key and tokens of programs, and what assistants ask."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from renewal_watch.cli import base, deciding
from renewal_watch.errors import UsageError

if TYPE_CHECKING:
    from renewal_watch.model.actor import Scope

LONGEST_NAME = 60  # characters of a token's name


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
    from renewal_watch.web.access import passwords

    _need_room(file, force=force, why="to set another password, which ends every login")
    if sys.stdin.isatty():
        given = click.prompt("Password of the pages", hide_input=True, confirmation_prompt="Once more", err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    if not passwords.SHORTEST <= len(given) <= passwords.LONGEST:
        msg = f"a password has {passwords.SHORTEST} characters or more, and {passwords.LONGEST} at most"
        raise UsageError(msg)
    _write(file, passwords.hashed(given))
    click.echo(f"wrote {file}; name it as password_file in [web]")


@web.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it is there; links that were sent count no more.")
def key(file: Path, force: bool) -> None:  # noqa: FBT001
    """Write a new key to FILE, readable by its owner only: it signs links in messages, and who signed in elsewhere."""
    import base64
    import secrets

    _need_room(file, force=force, why="to make another key, after which no link counts that was sent")
    _write(file, f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    click.echo(f"wrote {file}; name it as key_file in [web]")


def _need_room(file: Path, *, force: bool, why: str) -> None:
    """Raises UsageError where a file cannot be made, or is not to be replaced."""
    if file.exists() and not file.is_file():
        msg = f"{file} is there and is no file; name another one"
        raise UsageError(msg)
    if file.exists() and not force:
        msg = f"{file} is there already; {why}: --force"
        raise UsageError(msg)


def _write(file: Path, secret: str) -> None:
    """For its owner alone, whole or not at all. Raises UsageError."""
    file = file.resolve()  # what a link stands for is replaced, not the link
    part = file.with_name(f"{file.name}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(secret)
        part.replace(file)
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror}"
        raise UsageError(msg) from None


@web.command("revoke-links")
@click.option("--channel", metavar="NAME", callback=base.text, help="Only those that this channel was sent.")
@click.option("--incident", metavar="KEY", callback=base.text, help="Only those about this incident.")
@base.JSON
@click.pass_context
def revoke_links(ctx: click.Context, channel: str | None, incident: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Let the links to acknowledge that were sent until now count no more."""
    from renewal_watch.store.access.links import revoke_links as revoke
    from renewal_watch.store.incidents.audit import note_act
    from renewal_watch.store.incidents.listing import STATES, Wanted, count_incidents

    settings, now, actor = base.settings(ctx), base.now(ctx), deciding.who(None)
    if channel is not None and all(one.name != channel for one in settings.channels):
        msg = f"--channel: there is no channel {channel!r} in {settings.path}"
        raise UsageError(msg)
    if incident is not None and not incident.strip():
        msg = "--incident: it is empty; give the key of an incident, or leave the option out for all links"
        raise UsageError(msg)
    of = " ".join(filter(None, (channel and f"of channel {channel}", incident and f"about {incident}"))) or "all"
    with base.store(settings, write=True) as store, store.transaction() as tx:
        if incident is not None and not count_incidents(tx, Wanted(states=STATES, names=[incident], with_folded=True)):
            msg = f"--incident: there is no incident {incident!r}; see: renewal-watch incidents --all --json"
            raise UsageError(msg)
        revoke(tx, channel, incident, now)
        note_act(tx, "links revoked", actor, f"links: {of}", now)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"links that were sent until now count no more: {of}")
    answer.end(channel=channel, incident=incident, before=now)


@web.group()
def token() -> None:
    """Let programs read, or act, by the API: each with a token of its own."""


@token.command("create")
@click.argument("name", callback=base.text)
@click.option(
    "--scope", type=click.Choice(["read", "act"]), default="read", show_default=True, help="What it is good for."
)
@click.option("--for", "length", metavar="TIME", default="365d", show_default=True, help="Until it expires: 12h, 90d.")
@base.JSON
@click.pass_context
def token_create(ctx: click.Context, name: str, scope: Scope, length: str, as_json: bool) -> None:  # noqa: FBT001
    """Print a new token, this once; of it only a digest is kept."""
    from renewal_watch.store.access.tokens import create_token
    from renewal_watch.store.incidents.audit import note_act
    from renewal_watch.text import printable

    if not name.strip() or printable(name, LONGEST_NAME) != name:
        msg = f"NAME: {printable(name, LONGEST_NAME)!r} is empty, too long or has signs that cannot be shown"
        raise UsageError(msg)
    settings, now = base.settings(ctx), base.now(ctx)
    ends_at = deciding.end_of(length, None, settings.timezone, now)
    actor = deciding.who(None)
    with base.store(settings, write=True) as store, store.transaction() as tx:
        made = create_token(tx, name, scope, ends_at, actor, now)
        note_act(tx, "token created", actor, f"token {name}, scope {scope}", now)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(made)
    if not as_json:
        click.echo(f"keep it: it is not shown again; {name} may {scope} until {ends_at:%Y-%m-%d}", err=True)
    answer.end(token=made, name=name, scope=scope, expires_at=ends_at)


@token.command("list")
@base.JSON
@click.pass_context
def token_list(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """The tokens: what each is good for, who made it, and until when it counts."""
    import dataclasses

    from renewal_watch.reports import tables
    from renewal_watch.store.access.tokens import list_tokens
    from renewal_watch.text import plain, printable

    now = base.now(ctx)
    with base.store(base.settings(ctx), write=False) as store, store.transaction() as tx:
        found = list_tokens(tx)
    if as_json:
        click.echo(tables.dumps([dataclasses.asdict(one) | {"active": one.is_good(now)} for one in found]))
        return
    rows = []
    for one in found:
        ended = "revoked" if one.revoked_at else "expired"
        state = f"until {one.expires_at:%Y-%m-%d}" if one.is_good(now) and one.expires_at else ended
        rows.append(
            (
                printable(one.name, LONGEST_NAME),
                one.scope,
                state,
                plain(one.created_by, 40),
                f"{one.created_at:%Y-%m-%d}",
            )
        )
    base.show(tables.table(("NAME", "SCOPE", "STATE", "BY", "SINCE"), rows) if rows else ["no token"])


@token.command("revoke")
@click.argument("name", callback=base.text)
@base.JSON
@click.pass_context
def token_revoke(ctx: click.Context, name: str, as_json: bool) -> None:  # noqa: FBT001
    """Let a token count no more, from now on."""
    from renewal_watch.store.access.tokens import revoke_token
    from renewal_watch.store.incidents.audit import note_act

    now, actor = base.now(ctx), deciding.who(None)
    with base.store(base.settings(ctx), write=True) as store, store.transaction() as tx:
        revoke_token(tx, name, now)
        note_act(tx, "token revoked", actor, f"token {name}", now)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"revoked: {name}")
    answer.end(name=name)
