"""The command that says what changed in the fleet."""

from __future__ import annotations

import click

from renewal_watch.cli import base, owned


@base.cli.command()
@click.option(
    "--since",
    metavar="TIME",
    default="yesterday",
    show_default=True,
    callback=base.text,
    help="From when on: 2026-11-23 (its beginning), 2026-11-23T10:00, today, yesterday, or so long ago: 3d, 12h.",
)
@base.UNTIL
@base.JSON
@base.ENVIRONMENT
@owned.OWNER
@owned.LABEL
@click.pass_context
def changes(
    ctx: click.Context,
    since: str,
    until: str | None,
    as_json: bool,  # noqa: FBT001
    environment: str | None,
    owner: str,
    label: str,
) -> None:
    """What changed since yesterday, or between two times: gone, status, price, renewed, added and more.

    Two lists are compared: what was otherwise meanwhile and is as before is no change. A number stands in the most urgent of
    its groups, with all that changed of it.
    """
    from renewal_watch.reports import tables
    from renewal_watch.reports.past import changes as report
    from renewal_watch.reports.past import changes_text

    settings = base.settings(ctx)
    span = base.span(ctx, settings, since, until)
    way = base.routing(settings)
    owned.warn_of_strangers(way, owner, label)
    with base.store(settings, write=False) as store, store.transaction() as tx:
        found = report.look(tx, settings, way, span, environment=environment or "", owner=owner, label=label)
    if as_json:
        made = report.changes_json(found) | {
            "numbers": (tables.dumps(report.number_json(one)) for one in found.numbers)
        }
        base.show_pieces(tables.pieces(made))
    else:
        base.show(changes_text.lines(found))
