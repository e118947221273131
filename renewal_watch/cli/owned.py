"""The options that narrow numbers to those of an owner or with a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from renewal_watch.cli import base

if TYPE_CHECKING:
    from renewal_watch.notify.routing import Routing

OWNER = click.option("--owner", metavar="NAME", default="", callback=base.text, help="Only numbers of this owner.")
LABEL = click.option(
    "--label", metavar="LABEL", default="", callback=base.text, help="Only numbers with this label of the inventory."
)


def warn_of_strangers(way: Routing, owner: str, label: str) -> None:
    """Say where no number can have this owner or label: nothing found would look like health."""
    from renewal_watch.diagnostics.hints import strangers

    known = [one.owner for one in way.inventory.values()] + [rule.owner or "" for rule in way.rules]
    if owner.strip().casefold() not in map(str.casefold, known):
        for hint in strangers("owners", [owner] if owner else None, way.inventory):
            click.echo(click.style(f"warning: --owner: {hint}", fg="yellow"), err=True)
    for hint in strangers("labels", [label] if label else None, way.inventory):
        click.echo(click.style(f"warning: --label: {hint}", fg="yellow"), err=True)
