"""The commands that give what is known to other programs, and take an inventory from them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from renewal_watch.cli import base, owned
from renewal_watch.errors import ConfigError, RenewalWatchError

if TYPE_CHECKING:
    from renewal_watch.reports.export import What

_OUTPUT = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to FILE, whole or not at all, for its owner only. Default: standard output.",
)
_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    default="csv",
    show_default=True,
    help="csv is safe to open in a spreadsheet, jsonl carries everything exactly.",
)
_AMOUNTS = click.option(
    "--amounts",
    type=click.Choice(["text", "number"]),
    default="text",
    show_default=True,
    help="How JSON Lines write amounts of money: exactly, or to be added up.",
)
_BOM = click.option("--bom", is_flag=True, help="Begin CSV with the mark that tells Excel that it is UTF-8.")


@base.cli.command()
@click.option(
    "--months",
    type=click.IntRange(1, 36),
    default=6,
    show_default=True,
    metavar="N",
    help="How many, with the present one.",
)
@base.JSON
@base.ENVIRONMENT
@owned.OWNER
@owned.LABEL
@click.pass_context
def forecast(
    ctx: click.Context,
    months: int,
    as_json: bool,  # noqa: FBT001
    environment: str | None,
    owner: str,
    label: str,
) -> None:
    """Show what renewals will cost by month, environment and currency, and how that compares with the month before.

    Prices are as last listed, currencies are never added up. What renewed already is read from the history; a month that
    renewal-watch did not see whole has no data.
    """
    from renewal_watch.reports import tables
    from renewal_watch.reports.forecast import look
    from renewal_watch.store.owned import owned_ids

    settings = base.settings(ctx)
    with base.store(settings, write=False) as store, store.transaction() as tx:
        names = [one.name for one in settings.environments]
        way = base.routing(settings)
        owned.warn_of_strangers(way, owner, label)
        ids = owned_ids(tx, way, names, owner, label)
        found = look(tx, settings, base.now(ctx), months, environment=environment or "", ids=ids)
    if as_json:
        click.echo(tables.dumps(found.as_json()))
    else:
        base.show(found.lines(is_ascii=not _shows("█▏")))


def _shows(characters: str) -> bool:
    """Whether standard output can take these characters."""
    try:
        characters.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@base.cli.group()
def export() -> None:
    """Give numbers, history, alerts and the audit log as CSV or JSON Lines, and the renewal days as a calendar."""


def _table(command: Callable[..., None]) -> Callable[..., None]:
    """The options of what is given as rows."""
    for option in (click.pass_context, base.ENVIRONMENT, _BOM, _OUTPUT, _FORMAT):
        command = option(command)
    return command


@export.command()
@_table
@_AMOUNTS
@owned.OWNER
@owned.LABEL
def numbers(ctx: click.Context, **asked: Any) -> None:
    """Every known number as it stands now, with its owner, labels and note."""
    _export(ctx, "numbers", **asked)


@export.command()
@_table
@_AMOUNTS
def history(ctx: click.Context, **asked: Any) -> None:
    """Every change of every number, number by number, and the polls between which it happened."""
    _export(ctx, "history", **asked)


@export.command()
@_table
def alerts(ctx: click.Context, **asked: Any) -> None:
    """Every alert and the fate of each delivery, newest first."""
    _export(ctx, "alerts", **asked)


@export.command()
@base.SINCE_MONTH
@base.UNTIL
@_BOM
@_OUTPUT
@_FORMAT
@click.pass_context
def audit(ctx: click.Context, /, since: str, until: str | None, **asked: Any) -> None:
    """Who did what, and of what whom was notified, newest first, with the targets as they then were."""
    _export(ctx, "audit", environment=None, times=(since, until), **asked)


@export.command()
@click.option("--by-day", is_flag=True, help="One event a day in place of one a number.")
@_OUTPUT
@base.ENVIRONMENT
@owned.OWNER
@owned.LABEL
@click.pass_context
def calendar(
    ctx: click.Context,
    by_day: bool,  # noqa: FBT001
    output: Path | None,
    environment: str | None,
    owner: str,
    label: str,
) -> None:
    """The renewal days as a calendar file (iCalendar). With more than 2,000 numbers it has one event a day."""
    from renewal_watch.reports import calendar

    settings = base.settings(ctx)
    owned.warn_of_strangers(base.routing(settings), owner, label)
    with base.store(settings, write=False) as store, store.transaction() as tx:
        text = calendar.calendar(
            tx, settings, base.now(ctx), by_day=by_day, environment=environment or "", owner=owner, label=label
        )
    _give(output, [text], is_public=True)


def _export(
    ctx: click.Context,
    what: What,
    form: str,
    output: Path | None,
    environment: str | None,
    *,
    bom: bool,
    amounts: str = "text",
    owner: str = "",
    label: str = "",
    times: tuple[str, str | None] | None = None,
) -> None:
    from renewal_watch.reports import export as made

    settings = base.settings(ctx)
    span = base.span(ctx, settings, *times) if times else None
    owned.warn_of_strangers(base.routing(settings), owner, label)
    with base.store(settings, write=False) as store, store.lasting() as tx:
        if span is not None:
            rows = made.audit_rows(tx, *span)
        else:
            rows = made.rows(what, tx, settings, base.now(ctx), environment=environment or "", owner=owner, label=label)
        if amounts == "number" and form == "jsonl":
            rows = map(made.with_amounts, rows)
        _give(output, made.encoded(what, rows, "csv" if form == "csv" else "jsonl", bom=bom))


def _give(output: Path | None, pieces: Iterable[bytes], *, is_public: bool = False) -> None:
    """To the file, or to standard output as they come.

    What is public is read by a web server that is another user: the file is for all, or keeps its mode and owner.
    """
    if output is not None:
        from renewal_watch.reports.export import save

        if is_public:
            save(output, pieces, output if output.is_file() else None, mode=0o644)
        else:
            save(output, pieces)
        return
    sys.stdout.buffer.writelines(pieces)
    sys.stdout.buffer.flush()


@base.cli.group("import")
def import_() -> None:
    """Take an inventory from elsewhere."""


@import_.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--replace", is_flag=True, help="FILE is the whole inventory from now on; else it adds and corrects.")
@base.JSON
@click.pass_context
def inventory(ctx: click.Context, file: Path, dry_run: bool, replace: bool, as_json: bool) -> NoReturn:  # noqa: FBT001
    """Merge FILE, a CSV or JSON Lines file with the columns number, owner, labels and note, into the inventory.

    An export of the numbers will do, with owner, labels and note filled in. An empty cell leaves what is there. The file
    that [inventory] names is replaced at once, its old one kept; no restart is needed.
    """
    from renewal_watch.inventory import file as known
    from renewal_watch.inventory import merge

    settings = base.settings(ctx)
    target = settings.inventory_path
    if target is None:
        msg = "inventory.file is not set; name the file that is to hold the inventory, then import again"
        raise ConfigError([msg])
    incoming = merge.read(file)
    before = _text(target)
    difference = merge.compare(incoming, known.parse(before)[0], replace=replace)
    answer = base.Answer(ctx, as_json=as_json)
    for line in difference.lines():
        answer.say(line)
    kept = None
    if difference.changed and not dry_run:
        kept = _put(target, merge.whole(incoming) if replace else merge.merged(before, difference))
    done = "would be " if dry_run else ""
    answer.say(f"{target}: {done}{difference.summary()}" + (f"; the old one is {kept}" if kept else ""))
    answer.end(file=str(target), dry_run=dry_run, kept=None if kept is None else str(kept), **difference.as_json())


def _text(path: Path) -> str:
    """The inventory as it is, empty where there is none yet."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        msg = f"inventory.file: {path} cannot be read: {error.strerror}"
        raise RenewalWatchError(msg) from None
    except UnicodeDecodeError:
        msg = f"inventory.file: {path} is not UTF-8 text; save it as CSV UTF-8"
        raise ConfigError([msg]) from None


def _put(target: Path, text: str) -> Path | None:
    """Put the new inventory in its place; where the old one is kept, None if there was none."""
    import itertools

    from renewal_watch.reports.export import save

    kept = None
    if target.exists():
        names = (target.with_name(f"{target.name}.replaced-{number}") for number in itertools.count(1))
        kept = next(name for name in names if not name.exists())
        save(kept, [target.read_bytes()], like=target)
    save(target, [text.encode("utf-8", "replace")], like=target if kept else None)
    return kept
