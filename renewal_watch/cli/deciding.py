"""The commands by which people decide: hide, acknowledge, let go."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from renewal_watch.cli import base, completing

if TYPE_CHECKING:
    from renewal_watch.model.actor import Actor


def who(given: str | None, way: str = "command line") -> Actor:
    """Who does it: as given, else who called sudo, else the user; and on which machine."""
    import getpass
    import socket

    from renewal_watch.model.actor import Actor

    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = f"user {os.getuid()}"
    return Actor(given or user, f"{way}, {user}@{socket.gethostname()}")


AUTHOR = click.option("--author", metavar="NAME", callback=base.text, help="Default: the user who calls.")
COMMENT = click.option("--comment", default="", metavar="TEXT", callback=base.text, help="Why.")


@base.cli.group()
def silence() -> None:
    """Hide alerts for a while; what still holds then is told when it ends."""


@silence.command("add")
@click.option(
    "--number",
    "numbers",
    multiple=True,
    metavar="N",
    shell_complete=completing.numbers,
    help="A number, or its beginning and a star: '+4930*'.",
)
@click.option("--id", "ids", multiple=True, callback=base.text, metavar="ID", help="The provider's id of a number.")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.environments,
    help="An environment of the configuration.",
)
@click.option(
    "--country", "countries", multiple=True, callback=base.text, metavar="CC", help="A country code, such as DE."
)
@click.option("--type", "types", multiple=True, callback=base.text, metavar="TYPE", help="Such as local or toll-free.")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    type=click.Choice(["voice", "sms", "mms", "fax", "whatsapp"]),
    help="What a number can do.",
)
@click.option("--label", "labels", multiple=True, callback=base.text, metavar="LABEL", help="A label of the inventory.")
@click.option("--owner", "owners", multiple=True, callback=base.text, metavar="NAME", help="An owner of the inventory.")
@click.option("--auto-renewal", type=click.Choice(["on", "off"]), help="Whether it renews by itself.")
@click.option("--cost-at-least", metavar="AMOUNT", help="A month, in the number's currency.")
@click.option("--cost-at-most", metavar="AMOUNT", help="A month, in the number's currency.")
@click.option("--currency", "currencies", multiple=True, callback=base.text, metavar="CUR", help="Such as EUR.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    shell_complete=completing.kinds,
    help="Only these kinds, such as 'renewal.*' or watch.stale.",
)
@click.option("--all", "everything", is_flag=True, help="All numbers.")
@click.option("--for", "length", metavar="TIME", help="How long: 4h, 2d.")
@click.option("--until", metavar="TIME", help="Such as 2026-11-30 (its end) or 2026-11-30T18:00.")
@AUTHOR
@COMMENT
@base.JSON
def silence_add(**given: Any) -> None:
    """Hide alerts about what matches every option given (of one repeated, any) until the end."""
    from renewal_watch.diagnostics import hints
    from renewal_watch.operations import actions, silencing

    ctx = click.get_current_context()
    settings = base.settings(ctx)
    now = base.now(ctx)
    kinds, everything, length, until, author, comment, as_json = (
        given.pop(name) for name in ("kinds", "everything", "length", "until", "author", "comment", "as_json")
    )
    match = silencing.meant(
        {key: value for key, value in given.items() if value not in ((), None)}, kinds, settings, everything=everything
    )
    ends_at = end_of(length, until, settings.timezone, now)
    way = base.routing(settings)
    with base.store(settings, write=True) as store:
        numbers = actions.about(store, way, match, kinds)
        with store.transaction() as tx:
            done = actions.silence(tx, match, kinds, ends_at, who(author), comment, now, numbers)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(done.said)
    for key, wanted in (("labels", match.labels), ("owners", match.owners)):
        for hint in hints.strangers(key, wanted, way.inventory):
            answer.warn(f"--{key[:-1]}: {hint}")
    answer.end(id=done.pk, ends_at=ends_at, numbers=done.numbers)


def end_of(length: str | None, until: str | None, zone: str, now: datetime) -> datetime:
    """When what is said with ``--for`` or ``--until`` ends."""
    from renewal_watch.operations import times

    return times.end_of(length, until, zone, now)


@silence.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that ended in the last 30 days.")
@base.JSON
@click.pass_context
def silence_list(ctx: click.Context, everything: bool, as_json: bool) -> None:  # noqa: FBT001
    """The silences that hold, and how much each hides now that nobody was told of."""
    from renewal_watch.operations import silencing
    from renewal_watch.reports import silences, tables

    now = base.now(ctx)
    with base.store(base.settings(ctx), write=False) as store, store.transaction() as tx:
        those = silencing.silences(tx, now, everything=everything)
    if as_json:
        click.echo(tables.dumps([silences.silence_json(one, hides, now) for one, hides in those]))
    else:
        base.show(silences.silence_lines(those, now))


@silence.command("end")
@click.argument("pk", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@AUTHOR
@base.JSON
@click.pass_context
def silence_end(ctx: click.Context, pk: int, author: str | None, as_json: bool) -> None:  # noqa: FBT001
    """End a silence now; what it hid and still holds is told."""
    from renewal_watch.operations import actions

    with base.store(base.settings(ctx), write=True) as store, store.transaction() as tx:
        said = actions.end_silence(tx, pk, who(author), base.now(ctx))
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(said)
    answer.end(id=pk)


@base.cli.command()
@base.NUMBER
@click.option("--withdraw", is_flag=True, help="Take it back: the number is to stay.")
@AUTHOR
@COMMENT
@base.ENVIRONMENT
@base.JSON
@click.pass_context
def lapse(
    ctx: click.Context,
    number: str,
    withdraw: bool,  # noqa: FBT001
    author: str | None,
    comment: str,
    environment: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say that NUMBER is meant to go: no renewal alerts, but a final warning, and an alarm if it renews anyway."""
    from renewal_watch.operations import actions
    from renewal_watch.reports import tables
    from renewal_watch.store.numbers import find_number

    settings = base.settings(ctx)
    with base.store(settings, write=True) as store, store.transaction() as tx:
        name, _, known = find_number(tx, number, environment)
        policy = settings.policy(settings.environment(name))
        do = actions.keep if withdraw else actions.lapse
        done = do(tx, name, known, policy, who(author), comment, base.now(ctx))
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(done.said)
    if done.mind:
        answer.say(tables.Line(done.mind, "mind"))
    seen = done.row.as_json()
    keys = ("environment", "id", "number", "renews_on", "auto_renewal")
    answer.end(meant_to_lapse=not withdraw, **{key: seen[key] for key in keys})
