"""What changed in the fleet between two times, group by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from renewal_watch.alerts.links import number_path
from renewal_watch.alerts.phrases import capital, days
from renewal_watch.database.transaction import Transaction
from renewal_watch.language import _
from renewal_watch.notify.routing import Routing
from renewal_watch.reports.past import changes, changes_text
from renewal_watch.reports.past.changes import Changed
from renewal_watch.reports.past.span import asked
from renewal_watch.settings.whole import Settings
from renewal_watch.store.owned import has_owners
from renewal_watch.text import plain
from renewal_watch.web.pages.frame import Params

YESTERDAY = "yesterday"
FIRST = 100  # numbers of a group that are shown; the others are counted
_TONES = {"gone": "bad", "renumbered": "bad", "status": "mind", "auto_renewal_off": "mind", "dearer": "mind"}


class Row(NamedTuple):
    """A number as a line of the table of its group."""

    path: str
    number: str
    environment: str
    owner: str
    what: str
    also: str
    seen_at: datetime | None


class Group(NamedTuple):
    """What happened alike to several numbers, of which the first are shown."""

    name: str
    title: str
    tone: str
    rows: Sequence[Row]
    numbers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesPage:
    """The groups that have any number, the most urgent first; ``since`` is the choice of the form."""

    head: str
    notes: Sequence[str]
    others: str
    groups: Sequence[Group]
    since: str
    query: Mapping[str, str]
    environments: Sequence[str]
    with_owners: bool


def spans() -> dict[str, str]:
    """From when on, by what the address says."""
    return {"today": _("today"), YESTERDAY: _("yesterday")} | {f"{count}d": days(count) for count in (3, 7, 30)}


def changes_page(tx: Transaction, settings: Settings, way: Routing, params: Params, now: datetime) -> ChangesPage:
    """What changed. Raises UsageError for a time that is none and an environment that is not configured."""
    names = ("since", "day", "until", "environment", "owner", "label")
    query = {name: params.get(name, "")[:100] for name in names if params.get(name)}
    since = query.get("day") or query.get("since") or YESTERDAY
    span = asked(since, query.get("until", ""), now, settings.timezone)
    narrowed = {name: query.get(name, "") for name in ("environment", "owner", "label")}
    found = changes.look(tx, settings, way, span, **narrowed)
    environments = [one.name for one in settings.environments]
    return ChangesPage(
        head=changes_text.head(found),
        notes=changes_text.notes(found),
        others=changes_text.others(found),
        groups=[
            Group(
                name,
                capital(changes_text.group_name(name)),
                _TONES.get(name, "calm"),
                [_row(one) for one in those[:FIRST]],
                len(those),
            )
            for name, those in found.groups()
        ],
        since="" if query.get("day") else since,
        query=query,
        environments=environments if len(environments) > 1 else [],
        with_owners=has_owners(way),
    )


def _row(one: Changed) -> Row:
    return Row(
        path=number_path(one.environment, one.id),
        number=changes_text.shown_name(one),
        environment=one.environment,
        owner=plain(one.owner, 60),
        what=changes_text.change_words(one.changes[0]),
        also=changes_text.also(one),
        seen_at=one.changes[0].seen_at,
    )
