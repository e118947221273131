"""The command by which somebody says that they look after incidents: one, several, all that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from renewal_watch.cli import base, completing, deciding
from renewal_watch.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from renewal_watch.database.transaction import Transaction
    from renewal_watch.model.alerts import Incident, Key
    from renewal_watch.operations.actions import Open
    from renewal_watch.store.incidents.listing import State, Wanted


@base.cli.command()
@click.argument("numbers", nargs=-1, metavar="[NUMBER]...", callback=base.text, shell_complete=completing.numbers)
@click.option(
    "--alert",
    "alert_ids",
    multiple=True,
    type=click.IntRange(1, 2**63 - 1),
    metavar="ID",
    help="The incident of an alert, also one that is about no number.",
)
@click.option("--incident", "names", multiple=True, metavar="KEY", callback=base.text, help="An incident by its key.")
@base.KINDS
@base.SEVERITIES
@click.option("--for", "length", metavar="TIME", help="For so long: 4h, 3d; then it is told again if it still holds.")
@click.option("--withdraw", is_flag=True, help="Take it back: remind again.")
@deciding.AUTHOR
@deciding.COMMENT
@base.ENVIRONMENT
@base.JSON
@click.pass_context
def ack(
    ctx: click.Context,
    numbers: tuple[str, ...],
    alert_ids: tuple[int, ...],
    names: tuple[str, ...],
    kinds: tuple[str, ...],
    severities: tuple[str, ...],
    length: str | None,
    withdraw: bool,  # noqa: FBT001
    author: str | None,
    comment: str,
    environment: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say that you look after it: no reminders until its next cycle, or until it gets worse.

    NUMBER may be the beginning of many and a star: '+4930*'. With --kind, --severity or --environment alone, all that is
    open and fits.
    """
    if not any((numbers, alert_ids, names, kinds, severities, environment)):
        msg = "name a NUMBER, --alert ID, --incident KEY, or what all is to fit: --kind, --severity, --environment"
        raise UsageError(msg)
    if length is not None and withdraw:
        msg = "--for belongs to an acknowledgement, not to --withdraw"
        raise UsageError(msg)
    from renewal_watch.model.alerts import Severity
    from renewal_watch.operations import actions
    from renewal_watch.store.incidents.listing import Wanted

    settings = base.settings(ctx)
    now = base.now(ctx)
    until = None if length is None else deciding.end_of(length, None, settings.timezone, now)
    wanted = Wanted(
        severities=[Severity[one] for one in severities],
        kinds=kinds,
        environment=environment or "",
        names=names,
        with_folded=bool(numbers or alert_ids),
    )
    with base.store(settings, write=True) as store, store.transaction() as tx:
        parts = _meant(tx, wanted, numbers, alert_ids, environment, "acknowledged" if withdraw else "open")
        found = actions.together(parts)
        if withdraw:
            done = actions.take_back(tx, found, deciding.who(author), comment, now)
        else:
            done = actions.acknowledge(tx, found, deciding.who(author), comment, now, until)
    answer = base.Answer(ctx, as_json=as_json)
    answer.say(done.said)
    for part in parts:
        if not part.incidents:
            answer.say(f"nothing is open about {part.called}")
    answered = done.as_json()
    answer.end(acknowledged=not withdraw, until=until, incidents=answered, matters=answered)  # the last is the old name


def _meant(
    tx: Transaction,
    wanted: Wanted,
    numbers: Sequence[str],
    alert_ids: Sequence[int],
    environment: str | None,
    state: State,
) -> list[Open]:
    """What is open of each that is named, narrowed by what else is wanted. Raises UsageError for a number that is not known.

    Of what is not named one by one only what is in ``state``: what a silence hides, nobody has seen yet.
    """
    from dataclasses import replace

    from renewal_watch.model.selectors import is_number
    from renewal_watch.operations import actions
    from renewal_watch.store.incidents.listing import wanted_incidents
    from renewal_watch.store.numbers import find_number

    narrowed = wanted_incidents(tx, replace(wanted, names=()))
    parts = [_within(actions.open_of_alert(tx, one), narrowed) for one in alert_ids]
    if wanted.names:
        parts.append(actions.open_of(tx, replace(wanted, with_folded=True), "the incident"))
    patterns = [one for one in numbers if one.endswith("*")]
    if strange := [one for one in patterns if not is_number(one)]:
        msg = f"NUMBER: {strange[0]!r} is not the beginning of a number and a star; write it like '+4930*'"
        raise UsageError(msg)
    if patterns or not (numbers or alert_ids or wanted.names):
        of_state = replace(wanted, states=(state,), names=())
        parts.append(actions.open_of(tx, of_state, f"number {' or '.join(patterns)}" if patterns else "that", patterns))
    for one in numbers:
        if one not in patterns:
            about = actions.open_about(tx, find_number(tx, one, environment)[2], one)
            parts.append(_within(about, narrowed))
    return parts


def _within(one: Open, wanted: Mapping[Key, Incident]) -> Open:
    """What of it is wanted."""
    return one._replace(incidents={key: its for key, its in one.incidents.items() if key in wanted})
