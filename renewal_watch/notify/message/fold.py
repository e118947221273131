"""What of a message is still news: what was superseded or is over is a line, not a list. Pure.

A message may have waited: for a digest, for quiet hours, for a channel that was away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from renewal_watch.model.alerts import Alert, Key, Severity
from renewal_watch.notify.message import subject

SOON_DAYS = 7  # of renewals that a digest lists by itself
_STATES = frozenset(
    {"renewal", "status", "presence", "api", "balance"}
)  # topics whose last alert says all of the earlier
_NAMED = 3  # of what is over


class Folded(NamedTuple):
    """A message's alerts: ``current`` ones, and those that began and ended before it was sent.

    ``superseded`` counts what a later one of the same says as well.
    """

    digest: Alert | None
    current: list[Alert]
    over: list[Alert]
    superseded: int

    @property
    def news(self) -> int:
        """How many things the message tells of."""
        return len(self.current) + len(self.over)

    @property
    def title(self) -> str:
        """The subject where nothing is current."""
        return f"[info] {_many(len(self.over), 'incident')} began and ended before this could be sent"

    @property
    def past(self) -> list[str]:
        """The lines that say so."""
        lines = []
        if self.superseded:
            earlier = _many(self.superseded, "earlier alert")
            lines.append(f"{earlier} about the same {'is' if self.superseded == 1 else 'are'} superseded")
        if self.over:
            names = [f"{one.number} {subject.brief(one)}" if one.number else one.headline for one in self.over[:_NAMED]]
            more = f" and {len(self.over) - _NAMED} more" if len(self.over) > _NAMED else ""
            lines.append(f"Over before this was sent: {', '.join(names)}{more}")
        return lines


def fold(alerts: Sequence[Alert], *, in_digest: bool = False) -> Folded:
    """The alerts of a message, in the order in which they were found; ``in_digest`` before the digest is among them."""
    sheets = [alert for alert in alerts if alert.kind == "digest.sent"]
    digest = max(sheets, key=lambda alert: alert.key, default=None)
    groups: dict[Key, list[Alert]] = {}
    current: list[Alert] = []
    for alert in alerts:
        if alert.kind == "digest.sent" or ((in_digest or digest is not None) and _is_in_digest(alert)):
            continue
        if alert.topic.partition(" ")[0] in _STATES:
            groups.setdefault(alert.place, []).append(alert)
        else:
            current.append(alert)
    over: list[Alert] = []
    superseded = 0
    for those in groups.values():
        last = those[-1]
        began = next((one for one in those if one.course and one.course.opens), None)
        if last.course is not None and (last.course.is_over or (last.course.closes and began is not None)):
            over.append(max(those, key=lambda one: one.severity))
        else:
            current.append(last)
            superseded += len(those) - 1
    return Folded(digest, current, over, superseded)


def _is_in_digest(alert: Alert) -> bool:
    """Whether the digest itself says it: a renewal to expect within a week; what came of an older one is said apart."""
    is_expected = alert.kind in ("renewal.upcoming", "renewal.due") and alert.severity == Severity.info
    return is_expected and alert.days_left is not None and alert.days_left <= SOON_DAYS


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"
