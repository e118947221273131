"""What was found and is not over: reminders, escalation, what hides it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from renewal_watch.model.alerts import Alert, Key, Matter, Severity, Suppressor
from renewal_watch.model.policy import Silence
from renewal_watch.model.selectors import Effective
from renewal_watch.notify.routing import WEEKLY, Routing
from renewal_watch.notify.suppression import ENDING, LAPSE, LAPSING, Hidden, Situation, is_known, rank
from renewal_watch.settings.values import duration

SILENCE_WARNING = timedelta(days=1)  # a silence's end is told so long before, if it lasts longer than that


def matter_of(
    alert_id: int, alert: Alert, old: Matter | None, hidden: Hidden | None, routing: Routing, now: datetime
) -> Matter | None:
    """The matter after this alert, None where it is over or not worth keeping."""
    if alert.ends:
        return None
    if alert.nature == "escalation":
        return None if old is None else replace(old, escalated_at=now)
    if hidden and hidden.hider.by in ("ack", "repeat"):
        return None if old is None else replace(old, alert_id=alert_id, kind=alert.kind, severity=alert.severity)
    is_event = alert.topic == "price" and routing.reminders.interval(alert.severity) is None  # nothing ends a new price
    is_kept = alert.topic.partition(" ")[0] in ENDING or (
        (old is not None and not is_event)
        or (alert.severity >= Severity.warning and not is_event)
        or (hidden is not None and hidden.hider.by != "nobody")
        or routing.reminders.interval(alert.severity) is not None
    )
    if not is_kept:
        return None
    is_new = alert.nature in ("new", "repeat") or old is None
    bad = rank(alert) if is_new or old is None else max(rank(alert), old.rank)
    if old is None:
        old = Matter(alert_id=alert_id, kind=alert.kind, severity=alert.severity, rank=bad, opened_at=now)
    is_worse = bad > old.rank
    ack = old.ack
    if ack is not None and is_new and not (hidden and is_known(alert, ack)):
        ack = None  # it does not cover this
    is_urgent = alert.severity == Severity.critical
    return replace(
        old,
        alert_id=alert_id if is_new else old.alert_id,  # told again, it keeps the words of its first telling
        kind=alert.kind if is_new else old.kind,
        severity=alert.severity,
        rank=bad,
        told_at=old.told_at if hidden else now,
        reminded=old.reminded + 1 if alert.nature in ("reminder", "repeat") else 0 if is_worse else old.reminded,
        hidden=hidden.why if hidden else None,
        hider=hidden.hider if hidden else None,
        ack=ack,
        urgent_at=_urgent_since(alert, old, hidden, now, is_worse=is_worse or ack is not old.ack),
        escalated_at=old.escalated_at if is_urgent and not is_worse else None,
    )


def _urgent_since(
    alert: Alert, old: Matter, hidden: Hidden | None, now: datetime, *, is_worse: bool
) -> datetime | None:
    """Since when people know that it is critical and may act."""
    if alert.severity != Severity.critical:
        return None
    if hidden:
        return old.urgent_at
    return now if is_worse or alert.nature == "release" else old.urgent_at or now


def is_due(key: Key, matter: Matter, situation: Situation, routing: Routing, now: datetime) -> bool:
    """Whether a matter is to be looked at: nothing hides it any more, an acknowledgement was taken back, or it is time."""
    if matter.hider == LAPSE:
        return matter.kind not in LAPSING or key[:2] not in situation.lapses
    if matter.hider is not None:
        return not still_hides(matter.hider, situation.silences, routing.mark)
    is_untold = matter.told_at is None and matter.ack is None
    return is_untold or is_reminder_due(matter, routing, now) or is_escalation_due(matter, routing, now)


def is_reminder_due(matter: Matter, routing: Routing, now: datetime) -> bool:
    """Whether a matter is to be told again; the caller looks whether it still holds."""
    at = reminds_at(matter, routing)
    return at is not None and at <= now


def is_escalation_due(matter: Matter, routing: Routing, now: datetime) -> bool:
    """Whether others are to be told, for nobody acknowledged or resolved it; the caller looks whether it still holds."""
    at = escalates_at(matter, routing)
    return at is not None and at <= now


def escalates_at(matter: Matter, routing: Routing) -> datetime | None:
    """When others are told of a critical matter, None if nobody is or it was done."""
    if matter.ack is not None or matter.hidden is not None or matter.escalated_at is not None:
        return None
    if matter.urgent_at is None or not routing.escalates:
        return None
    return matter.urgent_at + duration(routing.escalation.after)


def hide(matter: Matter, hidden: Hidden) -> Matter:
    """The matter as it is hidden now."""
    return replace(matter, hidden=hidden.why, hider=hidden.hider)


def show(matter: Matter) -> Matter:
    """The matter as nothing hides it any more."""
    return replace(matter, hidden=None, hider=None)


def reminds_at(matter: Matter, routing: Routing) -> datetime | None:
    """When a matter is told again, None if it is not."""
    interval = routing.reminders.interval(matter.severity)
    if matter.ack is not None or matter.hidden is not None or matter.told_at is None or interval is None:
        return None
    if matter.reminded < routing.reminders.max_times:
        return matter.told_at + interval
    return matter.told_at + max(interval, WEEKLY) if matter.severity == Severity.critical else None


def escalates_to(said: Effective, routing: Routing) -> tuple[str, ...]:
    """The channels that are told of what nobody acknowledged."""
    return routing.escalation.channels if said.escalate_to is None else said.escalate_to


def still_hides(hider: Suppressor, silences: Sequence[Silence], mark: str) -> bool:
    """Whether what hid a matter holds for certain; if not, the matter must be looked at."""
    if hider.by == "silence":
        return any(str(silence.pk) == hider.ref for silence in silences)
    if hider.by in ("rule", "nobody"):
        return hider.ref == mark
    return hider.by == "flapping"  # ended by its own alert


def warns_of_end(silence: Silence, now: datetime) -> bool:
    """Whether the coming end of a silence is to be told now, if it hides something critical."""
    return (
        silence.is_active(now)
        and silence.warned_at is None
        and silence.ends_at - silence.starts_at > SILENCE_WARNING
        and silence.ends_at - now <= SILENCE_WARNING
    )
