"""The commands that ask: the fleet, its past, what was told (and to tell it again), why, and what comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from renewal_watch.cli import base, deciding

if TYPE_CHECKING:
    from renewal_watch.database.store import Store
    from renewal_watch.settings.whole import Settings

_PAGE = 500  # alerts read at once


@base.cli.command()
@base.NUMBER
@base.JSON
@base.ENVIRONMENT
@click.pass_context
def history(ctx: click.Context, number: str, as_json: bool, environment: str | None) -> None:  # noqa: FBT001
    """Every change of one NUMBER and when it was seen."""
    from renewal_watch.reports import alerts as reports_alerts
    from renewal_watch.reports import tables
    from renewal_watch.store.history import history_of
    from renewal_watch.store.numbers import find_number

    with base.store(base.settings(ctx), write=False) as store, store.transaction() as tx:
        _, key, known = find_number(tx, number, environment)
        changes = history_of(tx, known, key)
    click.echo(tables.dumps(changes) if as_json else "\n".join(reports_alerts.history_lines(changes)))


@base.cli.command()
@click.option("--at", metavar="TIME", help="Such as 2026-11-23 (its end), 2026-11-23T10:00 or …T10:00Z. Default: now.")
@base.JSON
@base.ENVIRONMENT
@click.pass_context
def snapshot(ctx: click.Context, at: str | None, as_json: bool, environment: str | None) -> None:  # noqa: FBT001
    """Give back the list as it was known at a time, unknown fields included."""
    from renewal_watch.alerts import phrases
    from renewal_watch.reports import tables
    from renewal_watch.store.environments import environment_states
    from renewal_watch.store.history import snapshot_at
    from renewal_watch.text import plain

    settings = base.settings(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    instant = base.now(ctx) if at is None else base.instant(at, settings.timezone)
    found: list[dict[str, Any]] = []
    with base.store(settings, write=False) as store, store.transaction() as tx:
        keys = {watch.name: key for key, watch, _ in environment_states(tx)}
        for one in chosen:
            known = snapshot_at(tx, keys[one.name], instant) if one.name in keys else None
            polled_at, entries = known or (None, [])
            found.append({"environment": one.name, "polled_at": tables.when(polled_at), "numbers": entries})
    if as_json:
        click.echo(tables.dumps(found))
        return
    for one_list in found:
        at = one_list["polled_at"]
        polled = f"as of the poll at {phrases.instant(datetime.fromisoformat(at))}" if at else "was not polled yet"
        click.echo(f"{one_list['environment']}: {phrases.numbers(len(one_list['numbers']))}, {polled}")
        fields = ("number", "current_status", "days_until_monthly_renewal", "renewal_date", "auto_renewal", "id")
        if not one_list["numbers"]:
            continue
        said = {True: "on", False: "off"}
        rows = [
            [
                plain(said.get(value, value) if isinstance(value := entry.get(field), bool) else value, 40)
                for field in fields
            ]
            for entry in one_list["numbers"]
        ]
        base.show(tables.table(("NUMBER", "STATUS", "DAYS", "RENEWS ON", "AUTO", "ID"), rows))


@base.cli.group(invoke_without_command=True)
@base.JSON
@click.option("--pending", is_flag=True, help="Only alerts that a channel still waits for.")
@click.option("--failed", is_flag=True, help="Only alerts whose delivery failed for good on a channel.")
@click.pass_context
def alerts(ctx: click.Context, as_json: bool, pending: bool, failed: bool) -> None:  # noqa: FBT001
    """What was found, and the fate of each delivery, newest first."""
    if ctx.invoked_subcommand:
        return
    from renewal_watch.cli.spool import Spool
    from renewal_watch.reports import alerts as reports_alerts
    from renewal_watch.reports import tables

    states = [state for state, wanted in (("pending", pending), ("failed", failed)) if wanted]
    settings = base.settings(ctx)
    with Spool() as found:
        with base.store(settings, write=False) as store:
            for one in _alerts(settings, store, states, base.now(ctx)):
                if as_json:
                    found.add(tables.dumps(one))
                else:
                    for line in reports_alerts.alert_lines([one]):
                        found.add(tables.packed(line))
        if as_json:
            base.show_pieces(tables.pieces(iter(found)))
        else:
            base.show(map(tables.unpacked, found) if found else ["no alerts"])


def _alerts(settings: Settings, store: Store, states: Sequence[str], now: datetime) -> Iterator[dict[str, Any]]:
    """The newest first, some hundred in a transaction: no poll waits for them all."""
    from renewal_watch.reports import alerts as reports_alerts
    from renewal_watch.reports import explain
    from renewal_watch.store.outbox.alerts import list_alerts

    with store.transaction() as tx:
        held = explain.held(tx, settings, now)
    before = None
    while True:
        with store.transaction() as tx:
            page = list_alerts(tx, states=states, before=before, most=_PAGE)
        if not page:
            return
        reports_alerts.note_held(page, held)
        yield from page
        before = page[-1]["id"]


@alerts.command()
@click.argument("ids", nargs=-1, type=click.IntRange(1, 2**63 - 1), metavar="[ID]...")
@base.JSON
@click.pass_context
def retry(ctx: click.Context, ids: tuple[int, ...], as_json: bool) -> None:  # noqa: FBT001
    """Send the deliveries of these alerts again, or all that failed; the daemon or `send` does it."""
    from renewal_watch.operations import actions

    with base.store(base.settings(ctx), write=True) as store, store.transaction() as tx:
        count, said = actions.retry(tx, ids, deciding.who(None), base.now(ctx))
    answer = base.Answer(ctx, as_json=as_json or (ctx.parent is not None and ctx.parent.params["as_json"]))
    answer.say(said)
    answer.end(deliveries=count)


@base.cli.command()
@base.NUMBER
@base.JSON
@base.ENVIRONMENT
@click.pass_context
def explain(ctx: click.Context, number: str, as_json: bool, environment: str | None) -> None:  # noqa: FBT001
    """Why NUMBER did or did not alert, and what comes next and when."""
    from renewal_watch.reports import alerts as reports_alerts
    from renewal_watch.reports import explain, tables
    from renewal_watch.store.fleet import Listed
    from renewal_watch.store.numbers import find_number, parsed_of

    settings = base.settings(ctx)
    way = base.routing(settings)
    with base.store(settings, write=False) as store, store.transaction() as tx:
        name, _, known = find_number(tx, number, environment)
        one = Listed(name, known, parsed_of(tx, [known])[known.provider_id])
        found = explain.explain(tx, settings, way, one, base.now(ctx))
    if as_json:
        click.echo(tables.dumps(found.as_json()))
        return
    click.echo("\n".join(found.lines))
    click.echo("\nAlerts so far, newest first:" if found.alerts else "\nNo alert so far.")
    if found.alerts:
        base.show(reports_alerts.alert_lines(found.alerts))


@base.cli.command()
@click.option("--at", metavar="DATE", help="The first day to show, such as 2026-12-24. Default: today.")
@click.option("--days", type=click.IntRange(1, 366), metavar="N", help="How many days. Default: 1 with --at, else 7.")
@base.JSON
@click.pass_context
def preview(ctx: click.Context, at: str | None, days: int | None, as_json: bool) -> None:  # noqa: FBT001
    """Show who would be told what and when over the coming days, with today's fleet. Sends nothing."""
    from zoneinfo import ZoneInfo

    from renewal_watch.inventory.file import inventory_of
    from renewal_watch.operations import times
    from renewal_watch.operations.preview import look_ahead
    from renewal_watch.reports import silences, tables

    settings = base.settings(ctx)
    now = base.now(ctx)
    first, until = times.ahead(at, days, settings.timezone, now)
    inventory = inventory_of(settings)
    way = base.routing(settings, inventory)
    with base.store(settings, write=False) as store:
        ahead = look_ahead(settings, store, way, now, until, inventory_faults=inventory.faults)
        found = [one for one in ahead if one.at >= first]
    if as_json:
        click.echo(tables.dumps([silences.told_json(one) for one in found]))
    else:
        base.show(silences.told_lines(found, ZoneInfo(settings.timezone), first, until))
