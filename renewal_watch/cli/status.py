"""The command that shows how everything stands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from renewal_watch.cli import base, completing, owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from renewal_watch.database.store import Store
    from renewal_watch.database.transaction import Transaction
    from renewal_watch.diagnostics.overview import Overview
    from renewal_watch.model.daemons import Instance, Seen
    from renewal_watch.model.tracking import Watch
    from renewal_watch.notify.routing import Routing
    from renewal_watch.settings.whole import Settings
    from renewal_watch.store.fleet import Listed

_INCIDENTS = 15  # open ones that are shown, and
_NUMBERS = 30  # numbers of the fleet; the others are counted


@base.cli.command()
@base.JSON
@click.option("--within", type=click.IntRange(0), metavar="DAYS", help="Only numbers with so many days left or less.")
@click.option(
    "--status", "wanted", metavar="S", shell_complete=completing.statuses, help="Only numbers with this status."
)
@click.option("--all", "everything", is_flag=True, help="Every number, and not only the 30 most urgent ones.")
@base.ENVIRONMENT
@owned.OWNER
@owned.LABEL
@click.pass_context
def status(
    ctx: click.Context,
    as_json: bool,  # noqa: FBT001
    within: int | None,
    wanted: str | None,
    everything: bool,  # noqa: FBT001
    environment: str | None,
    owner: str,
    label: str,
) -> None:
    """Show how the service does, open incidents, and the fleet, most urgent first."""
    from renewal_watch.cli.spool import Spool
    from renewal_watch.diagnostics import overview
    from renewal_watch.reports import rows as reports_rows
    from renewal_watch.reports import status, tables
    from renewal_watch.store.incidents.listing import marks_of
    from renewal_watch.store.owned import has_owners, record_of

    settings = base.settings(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    now = base.now(ctx)
    wanted = None if wanted is None else wanted.lower()
    is_part = within is not None or wanted is not None
    way = base.routing(settings)
    owned.warn_of_strangers(way, owner, label)
    with_owner = has_owners(way)
    columns = reports_rows.Columns(with_owner=with_owner)
    with Spool() as rows:
        with base.store(settings, write=False) as store:
            seen = _look(store, settings, environment or "", now)
            open_now = [] if as_json or is_part else _open_incidents(store, settings, way, ctx.params, now)
            for one in chosen:
                policy = settings.policy(one)
                with store.transaction() as tx:  # one each: a poll that ends waits for no others
                    marks = marks_of(tx)
                    for listed in _owned(tx, way, one.name, owner, label):
                        whose = record_of(way, one.name, listed.number).owner if with_owner else ""
                        row = reports_rows.row(
                            one.name, listed.known, listed.number, policy, now, marks.get(listed.known.pk)
                        )
                        is_left_out = within is not None and listed.known.is_sandbox and not policy.include_sandbox
                        if not is_left_out and row.is_within(within) and wanted in (None, row.number.status):
                            rows.add(tables.dumps(row.as_json()) if as_json else columns.packed(row, whose), row.rank())
        environments = [status.environment_json(seen.watch(one.name), settings.policy(one), now) for one in chosen]
        if as_json:
            base.show_pieces(tables.pieces(seen.document(environments, iter(rows))))
            return
        if is_part or owner or label:  # the figures are of the whole account
            base.show([tables.toned(reason, "bad") for reason in seen.overview.service.unwell])
        else:
            base.show(overview.overview_lines(seen.overview, now, settings.timezone))
        base.show(open_now)
        base.show([*([""] if open_now else []), *status.instance_lines(seen.instances)])
        base.show(status.status_lines(environments, seen.outbox, seen.orphans, seen.faults, now))
        if not chosen:
            click.echo(f"no environment is watched: {settings.environments_dir} has no file that can be used")
        if rows:
            shown = rows if everything else itertools.islice(rows, _NUMBERS)
            base.show(itertools.chain(["", columns.title()], map(columns.line, shown)))
        elif is_part or owner or label:
            click.echo("no numbers match")
        if len(rows) > _NUMBERS and not everything:
            click.echo(f"… and {len(rows) - _NUMBERS} more, less urgent: renewal-watch status --all")


def _owned(tx: Transaction, way: Routing, name: str, owner: str, label: str) -> Iterator[Listed]:
    """The numbers of an environment, or those of an owner and with a label, one at a time."""
    from renewal_watch.store import fleet
    from renewal_watch.store.owned import owned_ids

    ids = owned_ids(tx, way, [name], owner, label)
    wanted = None if ids is None else frozenset(ids)
    return (one for one in fleet.every(tx, [name]) if wanted is None or one.known.pk in wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """How everything but the numbers stands."""

    watches: Mapping[str, Watch]
    outbox: Mapping[str, Any]
    orphans: Mapping[str, int]
    faults: Mapping[str, tuple[datetime, str]]
    instances: Sequence[Instance]
    daemon: Seen | None
    overview: Overview

    def watch(self, name: str) -> Watch:
        """What is kept of an environment, also before its first poll."""
        from renewal_watch.model.tracking import Watch

        return self.watches.get(name, Watch(name=name))

    def document(self, environments: Sequence[Any], numbers: Any) -> dict[str, Any]:
        """What ``--json`` gives."""
        from renewal_watch.diagnostics import overview
        from renewal_watch.reports import status, tables

        return {
            "overview": overview.overview_json(self.overview),
            "environments": environments,
            "numbers": numbers,
            "outbox": self.outbox,
            "instances": [status.instance_json(one) for one in self.instances],
            "daemon": {
                "running": None if self.daemon is None else self.daemon.is_there,
                "last_seen_at": None if self.daemon is None else tables.when(self.daemon.at),
            },
        }


def _look(store: Store, settings: Settings, environment: str, now: datetime) -> _Seen:
    from renewal_watch.diagnostics import overview
    from renewal_watch.store.environments import environment_states
    from renewal_watch.store.leases import daemon_seen, list_instances
    from renewal_watch.store.outbox.waiting import failing_channels, orphaned_deliveries, outbox_counts

    with store.transaction() as tx:
        return _Seen(
            watches={watch.name: watch for _, watch, _ in environment_states(tx)},
            outbox=outbox_counts(tx),
            orphans=orphaned_deliveries(tx, [channel.name for channel in settings.channels]),
            faults=failing_channels(tx),
            instances=list_instances(tx, now),
            daemon=daemon_seen(tx, now),
            overview=overview.overview(tx, settings, now, environment),
        )


def _open_incidents(
    store: Store, settings: Settings, way: Routing, given: Mapping[str, Any], now: datetime
) -> list[str]:
    """The most urgent ones, of the environment, owner and label that are ``given``."""
    from renewal_watch.model import renewal_day
    from renewal_watch.reports import incidents
    from renewal_watch.store.incidents.listing import Wanted, count_incidents, list_incidents
    from renewal_watch.store.owned import owned_ids

    with store.transaction() as tx:
        names = [one.name for one in settings.environments]
        ids = owned_ids(tx, way, names, given["owner"], given["label"])
        asked = Wanted(environment=given["environment"] or "", numbers=ids)
        found = list_incidents(tx, renewal_day.today(now, settings.timezone), asked, most=_INCIDENTS)
        return incidents.open_lines(found, count_incidents(tx, asked), now, settings.timezone)
