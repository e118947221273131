"""The command that says who did what, and who was notified of what."""

from __future__ import annotations

import click

from renewal_watch.cli import base


@base.cli.command()
@base.SINCE_MONTH
@base.UNTIL
@click.option(
    "--who", default="", metavar="TEXT", callback=base.text, help="Only of who, channels or targets with this."
)
@base.JSON
@click.pass_context
def audit(ctx: click.Context, since: str, until: str | None, who: str, as_json: bool) -> None:  # noqa: FBT001
    """Who did what, when and from where, and of what whom was notified, newest first.

    A notification is a message that was sent, with its target as it then was.
    """
    from renewal_watch.reports import tables
    from renewal_watch.reports.past import audit as report
    from renewal_watch.store.incidents.audit import Asked, list_audit

    settings = base.settings(ctx)
    span = base.span(ctx, settings, since, until)
    with base.store(settings, write=False) as store, store.lasting() as tx:
        found = (one for _place, one in list_audit(tx, Asked(*span, who)))
        if as_json:
            base.show_pieces(tables.pieces(map(tables.dumps, found)))
        else:
            base.show(report.lines(found, span))
