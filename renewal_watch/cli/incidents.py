"""The command that lists incidents."""

from __future__ import annotations

import click

from renewal_watch.cli import base, owned


@base.cli.command()
@click.option("--open", "is_open", is_flag=True, help="Only those that nobody acknowledged and nothing suppresses.")
@click.option("--acknowledged", is_flag=True, help="Only those that somebody acknowledged.")
@click.option("--all", "everything", is_flag=True, help="The resolved ones as well, newest first.")
@base.SEVERITIES
@base.KINDS
@base.JSON
@base.ENVIRONMENT
@owned.OWNER
@owned.LABEL
@click.pass_context
def incidents(
    ctx: click.Context,
    is_open: bool,  # noqa: FBT001
    acknowledged: bool,  # noqa: FBT001
    everything: bool,  # noqa: FBT001
    severities: tuple[str, ...],
    kinds: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
    environment: str | None,
    owner: str,
    label: str,
) -> None:
    """What needs somebody now: one row an incident, most urgent first, with who acknowledged it."""
    from fnmatch import fnmatchcase

    from renewal_watch.errors import UsageError
    from renewal_watch.model import renewal_day
    from renewal_watch.model.alerts import Severity
    from renewal_watch.model.kinds import KINDS
    from renewal_watch.reports import incidents as reports_incidents
    from renewal_watch.reports import tables
    from renewal_watch.store.incidents.listing import MOST, STATES, UNRESOLVED, Wanted, count_incidents, list_incidents
    from renewal_watch.store.owned import owned_ids

    settings = base.settings(ctx)
    if environment:
        settings.environment(environment)  # refused unless it is configured
    if strange := [kind for kind in kinds if not any(fnmatchcase(one, kind) for one in KINDS)]:
        msg = f"--kind: {strange[0]} is no kind of alert; docs/alerts.md has them all"
        raise UsageError(msg)
    chosen = [state for state, wanted in (("open", is_open), ("acknowledged", acknowledged)) if wanted]
    states = STATES if everything else [state for state in UNRESOLVED if not chosen or state in chosen]
    way = base.routing(settings)
    owned.warn_of_strangers(way, owner, label)
    with base.store(settings, write=False) as store, store.transaction() as tx:
        asked = Wanted(
            states=states,
            severities=[Severity[name] for name in severities],
            kinds=kinds,
            environment=environment or "",
            numbers=owned_ids(tx, way, [one.name for one in settings.environments], owner, label),
            with_folded=everything,
        )
        today = renewal_day.today(base.now(ctx), settings.timezone)
        found = list_incidents(tx, today, asked, most=None if as_json else MOST)
        counts = count_incidents(tx, asked)
    if as_json:
        click.echo(tables.dumps([reports_incidents.incident_json(one, settings.web.base) for one in found]))
    else:
        base.show(reports_incidents.incident_lines(found, counts, base.now(ctx), settings.timezone))
