"""What the commands share: the group they belong to, their common options, and how each gets its settings and database.

A module of commands decorates with ``base.cli``; ``contents`` names its commands, so that it is imported when one is called.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click
from click.shell_completion import CompletionItem

from renewal_watch import __version__
from renewal_watch.cli import completing, contents
from renewal_watch.cli.plugin import unknown_for
from renewal_watch.clock import Clock, utc_now
from renewal_watch.errors import CannotServe, ConfigError, RenewalWatchError, UsageError

if TYPE_CHECKING:
    from renewal_watch.database.store import Store
    from renewal_watch.inventory.file import Inventory
    from renewal_watch.notify.routing import Routing
    from renewal_watch.reports.past.span import Span
    from renewal_watch.settings.whole import Settings

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def text(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """What is looked for or kept must be text: a terminal of another encoding sends bytes that are none."""
    del ctx
    name = parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str) and any("\ud800" <= c <= "\udfff" for c in one):
            msg = f"{name}: it holds a character that is no text in UTF-8"
            raise UsageError(msg)
        if isinstance(value, tuple) and one == "":
            msg = f"{name}: it is empty"
            raise UsageError(msg)
    return value


def need_pages() -> None:
    """Raises CannotServe where what the pages need is not installed."""
    need("the pages need", "web", "starlette", "uvicorn", "jinja2", "jsonschema")


def need(whose: str, extra: str, *modules: str) -> None:
    """Raises CannotServe where modules of an extra are not installed."""
    import importlib.util

    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"{whose} {', '.join(missing)}; install them with: pip install 'renewal-watch[{extra}]'"
        raise CannotServe(msg)


ENVIRONMENT = click.option(
    "--environment",
    metavar="NAME",
    callback=text,
    shell_complete=completing.environments,
    help="Only this environment.",
)
SINCE_MONTH = click.option(
    "--since",
    metavar="TIME",
    default="30d",
    show_default=True,
    callback=text,
    help="From when on: 2026-11-23 (its beginning), 2026-11-23T10:00, today, yesterday, or so long ago: 3d, 12h.",
)
UNTIL = click.option(
    "--until", metavar="TIME", callback=text, help="As --since; a bare date means its end. Default: now."
)
SEVERITIES = click.option(
    "--severity",
    "severities",
    multiple=True,
    type=click.Choice(["info", "warning", "critical"]),
    help="Only open incidents of these severities.",
)
KINDS = click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    callback=text,
    shell_complete=completing.kinds,
    help="Only open incidents of these kinds, such as 'funds.*'.",
)
NUMBER = click.argument("number", callback=text, shell_complete=completing.numbers)
_WANTS_JSON = "renewal_watch.wants_json"  # in what the contexts of one call share
_ERRORS = "renewal_watch.errors"
_AT_ONCE = 1000  # lines printed together
_COMPLAINTS = 3  # files named before the rest is counted
_PAINT: dict[str, dict[str, Any]] = {  # a few, and each only says louder what the words say
    "head": {"bold": True},
    "mind": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "faint": {"dim": True},
}


@dataclass(frozen=True, slots=True)
class Call:
    """What all commands of one call stand on. Who gives the group a clock as its ``obj`` has the commands go by it."""

    config_path: str | None
    clock: Clock


class _Commands(click.Group):
    """Imports a command when it is called, and turns every error of ours into one sentence and its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(contents.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in contents.COMMANDS:
            importlib.import_module(f"renewal_watch.cli.{contents.COMMANDS[cmd_name].module}")
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=one.line) for name, one in contents.COMMANDS.items()]
        return [one for one in found if one.value.startswith(incomplete)] + click.Command.shell_complete(
            self, ctx, incomplete
        )

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        """Wrong options before `check` are its own matter: a monitoring system would read exit code 2 as CRITICAL."""
        command = next((word for word in args if word in contents.COMMANDS), None)
        try:
            return super().make_context(info_name, args, *more, **extra)
        except click.UsageError as error:
            if command != "check":
                raise
            raise unknown_for(error) from None

    def get_help(self, ctx: click.Context) -> str:
        del ctx
        return contents.overview()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = args[: args.index("--")] if "--" in args else args
        ctx.meta[_WANTS_JSON] = "--json" in words
        with _told_as_json(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _told_as_json(ctx):
                return super().invoke(ctx)
        except RenewalWatchError as error:
            for line in _sentences(error):
                click.echo(f"{click.style('renewal-watch:', fg='red')} {line}", err=True)
            ctx.exit(error.exit_code)


@contextlib.contextmanager
def _told_as_json(ctx: click.Context) -> Iterator[None]:
    """With ``--json``, print a document also about what could not be done; the error goes on its way."""
    try:
        yield
    except (RenewalWatchError, click.UsageError) as error:
        if ctx.meta[_WANTS_JSON]:
            from renewal_watch.reports.tables import dumps

            found = [*ctx.meta.get(_ERRORS, ()), *_sentences(error)]
            click.echo(dumps({"ok": False, "errors": found}))
        raise


def _sentences(error: RenewalWatchError | click.UsageError) -> list[str]:
    from renewal_watch.text import REDACTOR

    if isinstance(error, click.UsageError):  # its message may hold an argument that is no text
        return [REDACTOR.clean(error.format_message()).encode("utf-8", "replace").decode()]
    return [REDACTOR.clean(line) for line in (error.faults if isinstance(error, ConfigError) else (str(error),))]


class Answer:
    """What a command does: lines while it goes on, or with ``--json`` one document at its end.

    The document has ``ok``, which is true when the exit code is 0, and ``errors``, the sentences on standard error.
    """

    def __init__(self, ctx: click.Context, *, as_json: bool) -> None:
        self._ctx = ctx
        self._as_json = as_json
        self._errors: list[str] = ctx.meta.setdefault(_ERRORS, [])

    def say(self, line: str) -> None:
        """One line for a person."""
        if not self._as_json:
            show([line])

    def warn(self, sentence: str) -> None:
        """Something that was done and can hardly be meant."""
        click.echo(click.style(f"warning: {sentence}", fg="yellow"), err=True)

    def fail(self, sentence: str) -> None:
        """Something did not work; the rest goes on."""
        from renewal_watch.text import REDACTOR

        sentence = REDACTOR.clean(sentence)
        self._errors.append(sentence)
        click.echo(click.style(sentence, fg="red"), err=True)

    def end(self, **keys: Any) -> NoReturn:
        """Print the document, if that is wanted, and exit: 1 if something failed."""
        if self._as_json:
            from renewal_watch.reports.tables import dumps

            click.echo(dumps({"ok": not self._errors, "errors": self._errors, **keys}))
        self._ctx.exit(1 if self._errors else 0)


def show(lines: Iterable[str]) -> None:
    """Print lines, painted in their tone where a terminal reads them; click takes the paint off for others."""
    from renewal_watch.reports.tables import Line

    painted = (click.style(one, **_PAINT[one.tone]) if isinstance(one, Line) else one for one in lines)
    while part := list(itertools.islice(painted, _AT_ONCE)):
        click.echo("\n".join(part))


def show_pieces(pieces: Iterable[str]) -> None:
    """Print a text that comes in pieces."""
    text = iter(pieces)
    while part := "".join(itertools.islice(text, _AT_ONCE)):
        click.echo(part, nl=False)
    click.echo()


@click.group(
    cls=_Commands,
    help=contents.PURPOSE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--config", "config_path", type=click.Path(), metavar="PATH", help=contents.OPTIONS["--config PATH"])
@click.option("--verbose", is_flag=True, help=contents.OPTIONS["--verbose"])
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The form of log lines.",
)
@click.version_option(__version__, prog_name="renewal-watch", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config_path: str | None, verbose: bool, log_format: str) -> None:  # noqa: FBT001
    """The group of all commands."""
    from renewal_watch.daemon import logs

    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":  # https://no-color.org
        ctx.color = False
    logs.set_up(verbose=verbose, form=log_format, speaks=ctx.invoked_subcommand in ("run", "web"))
    ctx.obj = Call(config_path, ctx.obj or utc_now)


def settings(ctx: click.Context, *, complains: bool = True) -> Settings:
    """The configuration that ``--config``, the environment or the usual places name. Raises ConfigError.

    Files of ``environments_dir`` that cannot be used are named on standard error, unless who asks does so itself.
    """
    from renewal_watch.alerts.phrases import in_zone
    from renewal_watch.config.loading import find, load

    found = load(find(ctx.obj.config_path))
    if complains:
        for one in found.broken[:_COMPLAINTS]:
            click.echo(f"renewal-watch: {one.place} is left out: {one.faults[0]}", err=True)
        if len(found.broken) > _COMPLAINTS:
            more = f"{len(found.broken) - _COMPLAINTS} more files; see: renewal-watch config check"
            click.echo(f"renewal-watch: left out as well are {more}", err=True)
    ctx.with_resource(in_zone(found.timezone))
    return found


@contextlib.contextmanager
def store(settings: Settings, *, write: bool) -> Iterator[Store]:
    """The database, brought up to date if it may be written; it must be there to be read."""
    from renewal_watch.database.sqlite import sqlite_path
    from renewal_watch.database.store import Store

    url = settings.database_url
    if write:
        make_state_dir(settings, sqlite_path(url))
    opened = Store(url, reads_only=not write)
    try:
        if write:
            opened.upgrade()
        else:
            opened.require_current()
        yield opened
    finally:
        opened.close()


def make_state_dir(settings: Settings, database: Path | None) -> None:
    """Make the folder of the database, readable by its owner only, if it is the service's own. Raises ConfigError."""
    if database is None or database.parent != settings.state_dir:
        return
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"state_dir: {settings.state_dir} cannot be made: {error.strerror}"
        raise ConfigError([msg]) from None


def clock(ctx: click.Context) -> Clock:
    """The clock of this call, for parts that ask it more than once."""
    return cast("Call", ctx.obj).clock


def now(ctx: click.Context) -> datetime:
    """The present instant, in UTC."""
    return clock(ctx)()


def routing(settings: Settings, inventory: Inventory | None = None) -> Routing:
    """Who is told of what, with the inventory as its files are now."""
    from renewal_watch.inventory.file import inventory_of
    from renewal_watch.notify.routing import Routing

    return Routing.of(settings, (inventory or inventory_of(settings)).current())


def instant(text: str, zone: str, option: str = "--at") -> datetime:
    """The instant that TIME means in ``zone``; a bare date means the end of that day."""
    from renewal_watch.operations.times import instant as read

    return read(text, zone, option)


def span(ctx: click.Context, settings: Settings, since: str, until: str | None) -> Span:
    """The span of ``--since`` and ``--until``. Raises UsageError."""
    from renewal_watch.reports.past.span import asked

    return asked(since, until or "", now(ctx), settings.timezone, prefix="--")
