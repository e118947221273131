"""The commands for the database: upgrade, check, back up, restore, copy and prune."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
from click.core import ParameterSource

from renewal_watch.cli import base
from renewal_watch.errors import ConfigError, UsageError
from renewal_watch.text import plain

if TYPE_CHECKING:
    from renewal_watch.settings.whole import Settings

_GLANCE_S = 0.2  # as long as words must stand to be read


@base.cli.group()
def db() -> None:
    """Upgrade, check, back up, restore, copy and prune the database."""


@db.command()
@base.JSON
@click.pass_context
def upgrade(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Bring the database to this release's schema; a copy of the old one is kept beside it."""
    from renewal_watch.database.revision import HEAD
    from renewal_watch.database.sqlite import sqlite_path
    from renewal_watch.database.store import Store

    settings = base.settings(ctx)
    base.make_state_dir(settings, sqlite_path(settings.database_url))
    store = Store(settings.database_url)
    try:
        done = store.upgrade()
        if not done:
            store.make_shrinkable()  # where there was no room for it
    finally:
        store.close()
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"upgraded to schema {HEAD}" if done else f"the schema is {HEAD} already")
    answer.end(schema=HEAD, upgraded=done)


@db.command()
@base.JSON
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Look for damage: in the file, in what refers to what, and in what no engine looks at. Reads everything."""
    from renewal_watch.database.store import Store
    from renewal_watch.store.maintenance import integrity

    store = Store(base.settings(ctx).database_url, reads_only=True)
    try:
        faults = integrity.look(store)
    finally:
        store.close()
    answer = base.Answer(ctx, as_json=as_json)
    for fault in faults:
        answer.fail(str(fault))
    if not faults:
        answer.say("the database is sound")
    answer.end(faults=[{"table": one.table, "what": one.what, "todo": one.todo} for one in faults])


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@base.JSON
@click.pass_context
def backup(ctx: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Write a verified copy to FILE while the daemon goes on. Of PostgreSQL it is a SQLite file too."""
    from renewal_watch.store.maintenance import saving

    with base.store(base.settings(ctx), write=False) as store, _Bar("backing up") as bar:
        saving.save(store, file, bar)
    size = file.stat().st_size
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"wrote {file}, {size} bytes, checked")
    answer.end(file=str(file), bytes=size)


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@base.JSON
@click.pass_context
def restore(ctx: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Put the backup FILE in place of the database; the old one is kept. The daemon must be stopped."""
    from renewal_watch.cli.deciding import who
    from renewal_watch.daemon.lock import only_one
    from renewal_watch.database.engine import shown
    from renewal_watch.database.sqlite import sqlite_path
    from renewal_watch.errors import StoreError
    from renewal_watch.store.access.links import revoke_links
    from renewal_watch.store.access.tokens import good_tokens, revoke_all_but
    from renewal_watch.store.incidents.audit import note_act
    from renewal_watch.store.maintenance import restoring

    settings = base.settings(ctx)
    path = sqlite_path(settings.database_url)
    base.make_state_dir(settings, path or settings.state_dir / "renewal-watch.db")
    with contextlib.ExitStack() as stack:
        if path is not None:
            stack.enter_context(only_one(path))
        good = _good_tokens(settings, base.now(ctx))
        bar = stack.enter_context(_Bar("restoring"))
        kept = restoring.restore(file, settings.database_url, settings.state_dir, progress=bar)
    revoked = counting = 0
    with contextlib.suppress(StoreError):  # one of an older release is brought up to date first, and cannot hold it
        with base.store(settings, write=False):
            pass
        with base.store(settings, write=True) as store, store.transaction() as tx:
            note_act(tx, "database restored", who(None), f"from {file}", base.now(ctx))
            revoke_links(tx, None, None, base.now(ctx))
            revoked = 0 if good is None else revoke_all_but(tx, good, base.now(ctx))
            counting = len(good_tokens(tx, base.now(ctx)))
    database = shown(settings.database_url)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"restored {database} from {file}" + (f"; the old one is {kept}" if kept else ""))
    if revoked:
        answer.say(f"tokens of the backup that had been revoked since, and are again: {revoked}")
    if good is None and counting:
        answer.warn(
            f"{counting} tokens count as they did in the backup; what was revoked since, revoke again: web token list"
        )
    answer.end(database=database, file=str(file), kept=None if kept is None else str(kept), revoked_tokens=revoked)


def _good_tokens(settings: Settings, now: datetime) -> set[bytes] | None:
    """The tokens that count before a backup is put back; None where the database is not there, or cannot be read."""
    from renewal_watch.database.store import Store
    from renewal_watch.errors import StoreError
    from renewal_watch.store.access.tokens import good_tokens

    try:
        with contextlib.closing(Store(settings.database_url, reads_only=True)) as store:
            store.require_current()
            with store.reading() as tx:
                return good_tokens(tx, now)
    except StoreError:
        return None


@db.command()
@click.option(
    "--to",
    "url",
    envvar="RENEWAL_WATCH_COPY_TO",
    metavar="URL",
    help="postgresql+psycopg://USER@HOST/DATABASE or sqlite:///PATH. Default: $RENEWAL_WATCH_COPY_TO.",
)
@click.option(
    "--to-file",
    "url_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read URL from FILE, as one with a password is.",
)
@base.JSON
@click.pass_context
def copy(ctx: click.Context, url: str | None, url_file: Path | None, as_json: bool) -> None:  # noqa: FBT001
    """Copy the database to another one, compared row by row, such as to PostgreSQL. Broken off, it is run again."""
    from renewal_watch.cli.deciding import who
    from renewal_watch.database.copying import copy as copied
    from renewal_watch.database.store import Store
    from renewal_watch.settings.database_url import hide_passwords
    from renewal_watch.store.incidents.audit import note_act
    from renewal_watch.store.maintenance import saving

    to = _url(ctx, url, url_file)
    settings = base.settings(ctx)
    with base.store(settings, write=False) as there:
        origin = there.place
    with contextlib.ExitStack() as stack:
        _keep_daemons_off(stack, settings.database_url, to)
        source = Store(settings.database_url)
        stack.callback(source.close)
        saving.require_own_schema(source)
        try:
            target = Store(to)
        except ConfigError as error:
            raise UsageError(str(error).replace("database.url", "--to")) from None
        stack.callback(target.close)
        saving.make_ready(target)
        bar = stack.enter_context(_Bar("copying and comparing"))
        connection = stack.enter_context(saving.standing_still(source))
        done = copied(connection, stack.enter_context(target.engine.connect()), progress=bar)
    with (
        contextlib.closing(Store(to)) as store,
        store.transaction() as tx,
    ):  # the old one may be damaged, and nobody goes on with it
        note_act(tx, "database copied", who(None), f"from {origin}", base.now(ctx))
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"copied {done.rows} rows in {done.tables} tables from {origin} to {target.place}, each compared")
    answer.say(f"inserted {done.inserted}, changed {done.updated}, deleted {done.deleted}; the rest was there")
    has_password = hide_passwords(to) != to
    line = f'url_file = "{url_file.resolve()}"' if url_file and has_password else f'url = "{hide_passwords(to)}"'
    answer.say(f"to use it, write into {settings.path}:\n\n[database]\n{line}")
    if has_password and not url_file:
        answer.say(
            "\nwith the password for ***; better, put the URL into a file of mode 600 and write url_file instead"
        )
    counts = {"inserted": done.inserted, "changed": done.updated, "deleted": done.deleted}
    answer.end(source=origin, target=target.place, tables=done.tables, rows=done.rows, **counts)


def _url(ctx: click.Context, url: str | None, file: Path | None) -> str:
    """The URL of the target, whose password is said nowhere. Raises UsageError."""
    from renewal_watch.settings.database_url import database_fault, hide_passwords, learn_passwords

    is_typed = ctx.get_parameter_source("url") is ParameterSource.COMMANDLINE
    if is_typed and file is not None:
        msg = "--to and --to-file exclude each other"
        raise UsageError(msg)
    if file is not None:
        try:
            url = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            msg = f"--to-file: {file} cannot be read: {why}"
            raise UsageError(msg) from None
    if not url:
        msg = "name the database to copy to with --to URL or, where it has a password, --to-file FILE"
        raise UsageError(msg)
    learn_passwords(url)
    if fault := database_fault(url):
        msg = f"--to: {fault}"
        raise UsageError(msg)
    if is_typed and hide_passwords(url) != url:
        click.echo(
            "--to: others could read the password in the list of processes; give it with --to-file FILE", err=True
        )
    return url


def _keep_daemons_off(stack: contextlib.ExitStack, *urls: str) -> None:
    """Hold the locks of the files among the databases, which must not be the same."""
    from renewal_watch.daemon.lock import only_one
    from renewal_watch.database.engine import shown
    from renewal_watch.database.sqlite import sqlite_path

    paths = [sqlite_path(url) for url in urls]
    names = {str(path.resolve()) if path else shown(url) for url, path in zip(urls, paths, strict=True)}
    if len(names) < len(urls):
        msg = f"--to: {names.pop()} is the database itself; name another one"
        raise UsageError(msg)
    for path in filter(None, paths):
        if not path.parent.is_dir():
            msg = f"--to: the directory {path.parent} does not exist; make it or correct the path"
            raise UsageError(msg)
        stack.enter_context(only_one(path))


class _Bar:
    """How far it is, on standard error where that is a terminal."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def begin(self, rows: int) -> None:
        if sys.stderr.isatty():
            self._bar = click.progressbar(length=rows, label=self._label, file=sys.stderr).__enter__()

    def passed(self, rows: int) -> None:
        if self._bar is not None:
            self._bar.update(rows)


class _Line:
    """What goes on, in a line that is written over, on standard error where that is a terminal."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._write("")

    def say(self, words: str) -> None:
        """Show these words, unless others were shown just now."""
        if time.monotonic() - self._said_at > _GLANCE_S:
            self._said_at = time.monotonic()
            self._write(words)

    def _write(self, words: str) -> None:
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r{plain(words, width):{width}}\r", nl=False, err=True)


@db.command()
@click.option(
    "--older-than",
    type=click.IntRange(1, 36_500),
    metavar="DAYS",
    help="Everything that ended longer ago, instead of what [retention] says.",
)
@click.option("--dry-run", is_flag=True, help="Do it to a copy, and say what would be deleted.")
@base.JSON
@click.pass_context
def prune(ctx: click.Context, older_than: int | None, dry_run: bool, as_json: bool) -> None:  # noqa: FBT001
    """Let the past go by age, as [retention] says; what waits to be sent and the current state stay.

    The daemon does this once a day by itself, and goes on meanwhile.
    """
    from renewal_watch.cli.deciding import who
    from renewal_watch.store.incidents.audit import note_act
    from renewal_watch.store.maintenance import retention

    settings = base.settings(ctx)
    now = base.now(ctx)
    if older_than is None:
        limits = retention.Limits.of(settings.retention, now)
    else:
        limits = retention.Limits.all_before(now - timedelta(days=older_than))
    with base.store(settings, write=not dry_run) as store, _Line() as line, contextlib.ExitStack() as stack:
        target = stack.enter_context(store.copied()) if dry_run else store
        pause: Callable[[float], None] = _at_once if dry_run else time.sleep  # a daemon may be at work
        done = retention.prune(target, limits, now, pause, heard=line.say)
        if not dry_run:
            by = "[retention]" if older_than is None else f"all before {limits.changes:%Y-%m-%d %H:%M} UTC"
            with store.transaction() as tx:
                note_act(tx, "database pruned", who(None), f"{by}: {done}", now)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"{'would delete' if dry_run else 'deleted'} {done}")
    answer.end(deleted=done.rows(), freed_bytes=done.freed, dry_run=dry_run)


def _at_once(seconds: float) -> None:
    """No pause: nobody else uses the copy."""
    del seconds
