"""What every page has around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from renewal_watch.database.transaction import Transaction
from renewal_watch.diagnostics import health
from renewal_watch.model.alerts import Severity
from renewal_watch.settings.whole import Settings
from renewal_watch.store.incidents.incidents import unanswered

Params = Mapping[str, str]


class Frame(NamedTuple):
    """What stands around every page: ``trouble`` is what is wrong with the watch, ``waiting`` what nobody answered yet."""

    trouble: Sequence[str]
    waiting: int
    critical: int


def frame(tx: Transaction, settings: Settings, now: datetime) -> Frame:
    """The surroundings of a page."""
    open_now = unanswered(tx)
    urgent = {severity: count for severity, count in open_now.items() if severity >= Severity.warning}
    return Frame(
        trouble=health.examine(tx, settings, now).reasons,
        waiting=sum(urgent.values()),
        critical=urgent.get(Severity.critical, 0),
    )
