"""The command that shows how everything stands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from renewal_watch.cli import base, completing, owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from renewal_watch.database.store import Store
    from renewal_watch.diagnostics.overview import Overview
    from renewal_watch.model.daemons import Instance, Seen
    from renewal_watch.model.tracking import Watch
    from renewal_watch.notify.routing import Routing
    from renewal_watch.reports.rows import Row
    from renewal_watch.settings.whole import Settings

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
    from renewal_watch.reports import rows as reports_rows
    from renewal_watch.reports import status, tables
    from renewal_watch.store.owned import has_owners

    settings = base.settings(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    now = base.now(ctx)
    asked = _Asked(within, None if wanted is None else wanted.lower(), owner, label)
    way = base.routing(settings)
    owned.warn_of_strangers(way, owner, label)
    columns = reports_rows.Columns(with_owner=has_owners(way))
    with Spool() as rows:
        with base.store(settings, write=False) as store:
            seen = _look(store, settings, environment or "", now)
            open_now = (
                [] if as_json or asked.picks else _open_incidents(store, settings, way, environment or "", asked, now)
            )
            for whose, row in _rows(store, settings, way, [one.name for one in chosen], asked, now):
                rows.add(tables.dumps(row.as_json()) if as_json else columns.packed(row, whose), row.rank())
        environments = [status.environment_json(seen.watch(one.name), settings.policy(one), now) for one in chosen]
        if as_json:
            base.show_pieces(tables.pieces(seen.document(environments, iter(rows))))
            return
        base.show(seen.service_lines(settings.timezone, now, is_whole=not asked.is_part))
        base.show(open_now)
        base.show([*([""] if open_now else []), *status.instance_lines(seen.instances)])
        base.show(status.status_lines(environments, seen.outbox, seen.orphans, seen.faults, now))
        if not chosen:
            click.echo(f"no environment is watched: {settings.environments_dir} has no file that can be used")
        if rows:
            shown = rows if everything else itertools.islice(rows, _NUMBERS)
            base.show(itertools.chain(["", columns.title()], map(columns.line, shown)))
        elif asked.is_part:
            click.echo("no numbers match")
        if len(rows) > _NUMBERS and not everything:
            click.echo(f"… and {len(rows) - _NUMBERS} more, less urgent: renewal-watch status --all")


class _Asked(NamedTuple):
    """Which numbers are wanted."""

    within: int | None
    status: str | None
    owner: str
    label: str

    @property
    def is_part(self) -> bool:
        """Whether some of the numbers may be left out."""
        return self.picks or bool(self.owner or self.label)

    @property
    def picks(self) -> bool:
        """Whether it asks for numbers that are so, and no longer for how all stands."""
        return self.within is not None or self.status is not None


def _rows(
    store: Store, settings: Settings, way: Routing, names: Sequence[str], asked: _Asked, now: datetime
) -> Iterator[tuple[str, Row]]:
    """The wanted numbers of the environments, each with its owner, one at a time."""
    from renewal_watch.reports import rows
    from renewal_watch.store import fleet
    from renewal_watch.store.incidents.listing import marks_of
    from renewal_watch.store.owned import owned_ids, record_of

    for name in names:
        policy = settings.policy(settings.environment(name))
        with store.transaction() as tx:  # one each: a poll that ends waits for no others
            marks = marks_of(tx)
            ids = owned_ids(tx, way, [name], asked.owner, asked.label)
            wanted = None if ids is None else frozenset(ids)
            for one in fleet.every(tx, [name]):
                if wanted is not None and one.known.pk not in wanted:
                    continue
                row = rows.row(name, one.known, one.number, policy, now, marks.get(one.known.pk))
                is_left_out = asked.within is not None and one.known.is_sandbox and not policy.include_sandbox
                if not is_left_out and row.is_within(asked.within) and asked.status in (None, row.number.status):
                    yield record_of(way, name, one.number).owner, row


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

    def service_lines(self, timezone: str, now: datetime, *, is_whole: bool) -> Sequence[str]:
        """The overview; of a part only what makes the service unwell, for the figures are of the whole account."""
        from renewal_watch.diagnostics import overview
        from renewal_watch.reports import tables

        if is_whole:
            return overview.overview_lines(self.overview, now, timezone)
        return [tables.toned(reason, "bad") for reason in self.overview.service.unwell]

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
    store: Store, settings: Settings, way: Routing, environment: str, asked: _Asked, now: datetime
) -> list[str]:
    """The most urgent ones of an environment, or of all, and of the owner and label that are asked for."""
    from renewal_watch.model import renewal_day
    from renewal_watch.reports import incidents
    from renewal_watch.store.incidents.listing import Wanted, count_incidents, list_incidents
    from renewal_watch.store.owned import owned_ids

    with store.transaction() as tx:
        names = [one.name for one in settings.environments]
        ids = owned_ids(tx, way, names, asked.owner, asked.label)
        wanted = Wanted(environment=environment, numbers=ids)
        found = list_incidents(tx, renewal_day.today(now, settings.timezone), wanted, most=_INCIDENTS)
        return incidents.open_lines(found, count_incidents(tx, wanted), now, settings.timezone)
