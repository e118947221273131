"""The commands for the database: upgrade, check, back up, restore and prune."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from renewal_watch.cli import base
from renewal_watch.errors import StoreError


@base.cli.group()
def db() -> None:
    """Upgrade, check, back up, restore and prune the database."""


@db.command()
@base.JSON
@click.pass_context
def upgrade(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Bring the database to this release's schema; a copy of the old one is kept beside it."""
    from renewal_watch.schema import HEAD, sqlite_path
    from renewal_watch.store import Store

    settings = base.settings(ctx)
    base.make_state_dir(settings, sqlite_path(settings.database_url))
    store = Store(settings.database_url)
    try:
        done = store.upgrade()
    finally:
        store.close()
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"upgraded to schema {HEAD}" if done else f"the schema is {HEAD} already")
    answer.end(schema=HEAD, upgraded=done)


@db.command()
@base.JSON
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Look for damage."""
    with base.store(base.settings(ctx), write=False) as store:
        faults = store.check()
    if faults:
        raise StoreError("; ".join(faults[:5]) + "; restore a backup with: renewal-watch db restore FILE")
    answer = base.Answer(ctx, as_json=as_json)
    answer.say("the database is sound")
    answer.end()


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@base.JSON
@click.pass_context
def backup(ctx: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Write a verified copy to FILE while the daemon goes on."""
    with base.store(base.settings(ctx), write=False) as store:
        store.backup(file)
    size = file.stat().st_size
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"wrote {file}, {size} bytes, checked")
    answer.end(file=str(file), bytes=size)


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@base.JSON
@click.pass_context
def restore(ctx: click.Context, file: Path, as_json: bool) -> None:  # noqa: FBT001
    """Put the backup FILE in place of the database; the old one is kept beside it. The daemon must be stopped."""
    from renewal_watch.daemon import only_one
    from renewal_watch.schema import sqlite_path
    from renewal_watch.store import restore as put_back

    settings = base.settings(ctx)
    path = sqlite_path(settings.database_url)
    assert path is not None  # noqa: S101 (config takes SQLite only)
    base.make_state_dir(settings, path)
    with only_one(path):
        kept = put_back(file, path)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(f"restored {path} from {file}" + (f"; the old one is {kept}" if kept else ""))
    answer.end(database=str(path), file=str(file), kept=None if kept is None else str(kept))


@db.command()
@click.option(
    "--older-than",
    type=click.IntRange(1, 36_500),
    default=400,
    show_default=True,
    metavar="DAYS",
    help="How long ago.",
)
@base.JSON
@click.pass_context
def prune(ctx: click.Context, older_than: int, as_json: bool) -> None:  # noqa: FBT001
    """Delete history that ended more than DAYS ago; what waits to be sent and the current state stay."""
    with base.store(base.settings(ctx), write=True) as store:
        counts = store.prune(base.now() - timedelta(days=older_than))
    deleted = {name: count for name, count in counts.items() if name not in ("delivery_alerts", "polls")}
    answer = base.Answer(ctx, as_json=as_json)
    answer.say("deleted " + ", ".join(f"{count} {name}" for name, count in deleted.items()))
    answer.end(deleted={name.replace(" ", "_"): count for name, count in deleted.items()})
