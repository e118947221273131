"""What of a message is still news: what was superseded or is over is a line, not a list. Pure.

A message may have waited: for a digest, for quiet hours, for a channel that was away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from renewal_watch.alerts.phrases import a_few, severity_word
from renewal_watch.language import _, ngettext
from renewal_watch.model.alerts import Alert, Key, Severity
from renewal_watch.notify.message import subject

SOON_DAYS = 7  # of renewals that a digest lists by itself
_STATES = frozenset({"renewal", "status", "presence", "balance"})  # topics whose last alert says all of the earlier
_NAMED = 3  # of what is over


class Folded(NamedTuple):
    """A message's alerts: ``current`` ones, and the gravest and the last of what began and ended before it was sent.

    ``superseded`` counts what a later one of the same incident says as well.
    """

    digest: Alert | None
    current: list[Alert]
    over: list[tuple[Alert, Alert]]
    superseded: int

    @property
    def news(self) -> int:
        """How many things the message tells of."""
        return len(self.current) + len(self.over)

    @property
    def title(self) -> str:
        """The subject where nothing is current."""
        said = ngettext(
            "{count} incident began and ended before this could be sent",
            "{count} incidents began and ended before this could be sent",
            len(self.over),
        )
        return f"[{severity_word(Severity.info)}] {said}"

    @property
    def past(self) -> list[str]:
        """The lines that say so."""
        lines = []
        if self.superseded:
            lines.append(
                ngettext(
                    "{count} earlier alert about the same is superseded",
                    "{count} earlier alerts about the same are superseded",
                    self.superseded,
                )
            )
        if self.over:
            names = [_ended(began, last) for began, last in self.over[:_NAMED]]
            lines.append(_("Over before this was sent: {names}", names=a_few(names, len(self.over))))
        return lines


def fold(alerts: Sequence[Alert], *, in_digest: bool = False) -> Folded:
    """The alerts of a message, in the order in which they were found; ``in_digest`` before the digest is among them."""
    digest = max((one for one in alerts if one.kind == "digest.sent"), key=lambda one: one.key, default=None)
    groups: dict[tuple[Key, datetime | None], list[Alert]] = {}  # by incident
    current: list[Alert] = []
    for alert in alerts:
        if alert.kind == "digest.sent" or ((in_digest or digest is not None) and _is_in_digest(alert)):
            continue
        if alert.topic.partition(" ")[0] in _STATES:
            groups.setdefault((alert.place, alert.course and alert.course.opened_at), []).append(alert)
        else:
            current.append(alert)
    over: list[tuple[Alert, Alert]] = []
    superseded = 0
    for those in groups.values():
        last = those[-1]
        if last.course is None:  # of no incident: what was to be expected, and what came of it
            kept = [one for one in those if one is last or not _is_expected(one)]
        elif last.course.is_over or (last.course.closes and last.severity == Severity.info and _begins(those)):
            over.append((max(those, key=lambda one: one.severity), last))
            continue
        else:
            kept = [last]
        current += kept
        superseded += len(those) - len(kept)
    return Folded(digest, current, over, superseded)


def _begins(those: Sequence[Alert]) -> bool:
    """Whether the alert that opened the incident is among them: nobody was told of it before."""
    return any(one.course is not None and one.course.opens for one in those)


def _ended(began: Alert, last: Alert) -> str:
    """What is over, and how it ended where that is known."""
    name = f"{began.number} {subject.brief(began)}" if began.number else began.headline
    return _("{name}, then {end}", name=name, end=subject.brief(last)) if last is not began and last.number else name


def _is_expected(alert: Alert) -> bool:
    return alert.kind in ("renewal.upcoming", "renewal.due") and alert.severity == Severity.info


def _is_in_digest(alert: Alert) -> bool:
    """Whether the digest itself says it: a renewal to expect within a week; what came of an older one is said apart."""
    return _is_expected(alert) and alert.days_left is not None and alert.days_left <= SOON_DAYS
