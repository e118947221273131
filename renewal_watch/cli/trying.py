"""The commands for setting it up and trying it: a demo, a simulated provider, the configuration, channels, the doctor."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path

import click

from renewal_watch.cli import base, completing
from renewal_watch.errors import ConfigError, UsageError


@base.cli.command()
@click.option("--seed", type=int, default=7, show_default=True, help="Another fleet, another story.")
@click.option("--numbers", type=click.IntRange(12, 500), default=40, show_default=True, help="How many.")
@click.option("--fast", is_flag=True, help="As fast as it goes, also on a terminal.")
@click.option("--web", "with_pages", is_flag=True, help="Then serve the pages of the last day, until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9280, show_default=True, help="Of the pages; 0: a free one."
)
def demo(seed: int, numbers: int, fast: bool, with_pages: bool, port: int) -> None:  # noqa: FBT001
    """Show 45 simulated days of a made-up fleet in half a minute. Needs no configuration, leaves nothing behind."""
    if with_pages:
        base.need_pages()
    from renewal_watch.cli.demo_story import run

    run(seed=seed, numbers=numbers, is_fast=fast, port=port if with_pages else None)


@base.cli.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0 takes a free one.")
@click.option("--numbers", type=click.IntRange(1, 200_000), default=25, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another fleet.")
@click.pass_context
def simulator(ctx: click.Context, port: int, numbers: int, seed: int) -> None:
    """Serve a simulated provider on loopback, to try a configuration against."""
    from renewal_watch.provider import simulator as made_up

    now = base.now(ctx)
    fleet = made_up.made_up_fleet(numbers, seed, now.date())
    account = made_up.made_up_account(fleet, now)
    provider = made_up.Provider(now=base.clock(ctx), fleet=fleet, account=account)
    try:
        server = made_up.Server(provider, port)
    except OSError as error:
        msg = f"port {port} cannot be used: {error.strerror}"
        raise UsageError(msg) from None
    with server:
        click.echo(f'base_url = "{server.base_url}"\ntoken = "{made_up.TOKEN}"\nuser_token = "{made_up.USER_TOKEN}"')
        click.echo(f"# {numbers} numbers; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


@base.cli.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def init(ctx: click.Context, path: Path | None) -> None:
    """Write a commented starting configuration to PATH, readable by its owner only."""
    from renewal_watch.config.loading import find

    target = path or find(ctx.obj.config_path)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        msg = f"{target} is there already and stays as it is; name another path or remove it"
        raise UsageError(msg) from None
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror}"
        raise UsageError(msg) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_example().read_text(encoding="utf-8"))
    click.echo(f"wrote {target}; put in the token and a channel, then: renewal-watch --config {target} config check")


def _example() -> Path:
    """The example configuration: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    inside = here / "config.example.toml"
    return inside if inside.exists() else here.parent / "config.example.toml"


@base.cli.group("config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command("check")
@base.JSON
@click.pass_context
def config_check(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Name all faults at once, those of secrets, channels, templates and the inventory included."""
    from renewal_watch.channels.senders import channel_faults
    from renewal_watch.config.secret_checks import secret_faults
    from renewal_watch.diagnostics.hints import hints
    from renewal_watch.inventory.file import checked
    from renewal_watch.notify.message.wording import template_faults

    settings = base.settings(ctx, complains=False)
    of_files = [f"{one.place}: {fault}" for one in settings.broken for fault in one.faults]
    records, inventory_faults = checked(settings)
    faults = [*settings.dangling, *secret_faults(settings)]
    if not faults:
        faults = [*channel_faults(settings), *template_faults(settings), *inventory_faults]
    if faults or of_files:
        raise ConfigError([*(f"{settings.path}: {fault}" for fault in faults), *of_files])
    channels = ", ".join(channel.name for channel in settings.channels) or "none: nobody will be told"
    count = len(settings.environments)
    places = f"{count} environment{'s' * (count != 1)}"
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"{settings.path} is valid: {places}, channels: {channels}")
    doubtful = hints(settings, records)
    for hint in doubtful:
        answer.say(f"but {hint}")
    answer.end(
        path=str(settings.path),
        environments=[one.name for one in settings.environments],
        channels=[one.name for one in settings.channels],
        hints=doubtful,
    )


@config_group.command("show")
@click.pass_context
def config_show(ctx: click.Context) -> None:
    """Print the resolved settings as JSON, secrets hidden."""
    from renewal_watch.config.loading import shown
    from renewal_watch.reports import tables

    click.echo(tables.dumps(shown(base.settings(ctx))))


@config_group.command("schema")
@click.option("--environment-file", is_flag=True, help="Of one file of environments_dir instead.")
def config_schema(environment_file: bool) -> None:  # noqa: FBT001
    """Print a JSON Schema of the configuration, for editors."""
    from renewal_watch.config.loading import json_schema
    from renewal_watch.reports import tables

    click.echo(tables.dumps(json_schema(of_environment=environment_file)))


@base.cli.command()
@base.JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Say what works and what to do about the rest."""
    from renewal_watch.cli.doctor import examine
    from renewal_watch.config.secret_checks import secret_faults
    from renewal_watch.reports import tables

    settings = base.settings(ctx, complains=False)
    findings = examine(settings, secret_faults(settings), base.clock(ctx))
    faults = [finding.text for finding in findings if not finding.ok]
    if as_json:
        found = [{"ok": finding.ok, "text": finding.text} for finding in findings]
        click.echo(tables.dumps({"ok": not faults, "errors": faults, "findings": found}))
    else:
        base.show(f"ok    {one.text}" if one.ok else tables.Line(f"FAIL  {one.text}", "bad") for one in findings)
    ctx.exit(1 if faults else 0)


@base.cli.command("test-channel")
@click.argument("name", required=False, callback=base.text, shell_complete=completing.channels)
@base.JSON
@click.pass_context
def test_channel(ctx: click.Context, name: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Send a marked test message to the channel NAME, or to all, the way alerts go."""
    import secrets

    from renewal_watch.channels.direct import message_of
    from renewal_watch.channels.senders import sender_of
    from renewal_watch.errors import ChannelError
    from renewal_watch.notify.message import render

    settings = base.settings(ctx)
    chosen = [settings.channel(name)] if name else list(settings.channels)
    if not chosen:
        msg = "the configuration has no [[channels]]; nobody is told of anything"
        raise UsageError(msg)
    answer = base.Answer(ctx, as_json=as_json)
    channels = []
    for channel in chosen:
        message_id = f"rw-test-{secrets.token_hex(4)}"
        sender = sender_of(channel, base.clock(ctx))
        try:
            now = base.now(ctx)
            alert = render.test_alert(channel.name, now)
            sender.send(partial(message_of, alert, channel, message_id, now, is_test=True))
            fault = None
            answer.say(f"{channel.name}: sent, message {message_id}; look whether it arrived")
        except ChannelError as error:
            fault = str(error)
            answer.fail(f"{channel.name}: not delivered: {error}")
        finally:
            sender.close()
        channels.append({"channel": channel.name, "sent": fault is None, "message_id": message_id, "error": fault})
    answer.end(channels=channels)
