"""What was found and is not over: reminders, escalation, what hides it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from renewal_watch.model.alerts import Alert, Incident, Key, Severity, Suppressor
from renewal_watch.model.policy import Silence
from renewal_watch.model.selectors import Effective
from renewal_watch.notify.routing import WEEKLY, Routing
from renewal_watch.notify.suppression import ENDING, LAPSE, LAPSING, Hidden, Situation, is_known, rank
from renewal_watch.settings.values import duration

SILENCE_WARNING = timedelta(days=1)  # a silence's end is told so long before, if it lasts longer than that


def incident_of(
    alert_id: int,
    alert: Alert,
    old: Incident | None,
    hidden: Hidden | None,
    routing: Routing,
    now: datetime,
    fresh_id: int = 0,
) -> Incident | None:
    """The incident after this alert, None where it is over or not worth keeping; ``fresh_id`` is for one that it opens."""
    if alert.ends:
        return None
    if alert.nature == "escalation":
        return None if old is None else replace(old, escalated_at=now)
    if hidden and hidden.suppressor.by in ("ack", "repeat"):
        return None if old is None else replace(old, alert_id=alert_id, kind=alert.kind, severity=alert.severity)
    if not is_kept(alert, old, hidden, routing):
        return None
    is_new = alert.nature in ("new", "repeat") or old is None
    is_first = old is None
    old = old or _opened(alert_id, alert, fresh_id, now)
    bad = rank(alert) if is_new else max(rank(alert), old.rank)
    is_worse = bad > old.rank
    ack = old.ack
    if ack is not None and (not ack.holds(now) or (is_new and not (hidden and is_known(alert, ack)))):
        ack = None  # it ran out, or does not cover this
    is_urgent = alert.severity == Severity.critical
    return replace(
        old,
        alert_id=alert_id if is_new else old.alert_id,  # told again, it keeps the words of its first telling
        kind=alert.kind if is_new else old.kind,
        severity=alert.severity,
        rank=bad,
        notified_at=old.notified_at if hidden else now,
        reminded=_reminded(alert, old, is_first=is_first, is_worse=is_worse),
        suppressed=hidden.why if hidden else None,
        suppressor=hidden.suppressor if hidden else None,
        ack=ack,
        urgent_at=_urgent_since(alert, old, hidden, now, is_worse=is_worse or ack is not old.ack),
        escalated_at=old.escalated_at if is_urgent and not is_worse else None,
    )


def _reminded(alert: Alert, old: Incident, *, is_first: bool, is_worse: bool) -> int:
    """How many reminders there were; the first alert is none, whatever its nature."""
    if alert.nature in ("reminder", "repeat") and not is_first:
        return old.reminded + 1
    return 0 if is_worse else old.reminded


def _opened(alert_id: int, alert: Alert, fresh_id: int, now: datetime) -> Incident:
    """A new incident: it is called by the alert that opens it."""
    return Incident(
        id=fresh_id,
        name=alert.key,
        alert_id=alert_id,
        kind=alert.kind,
        severity=alert.severity,
        rank=rank(alert),
        opened_at=now,
    )


def is_kept(alert: Alert, old: Incident | None, hidden: Hidden | None, routing: Routing) -> bool:
    """Whether an alert opens an incident, or is about the open one ``old``; a mere event does neither."""
    is_event = alert.topic == "price" and routing.reminders.interval(alert.severity) is None  # nothing ends a new price
    return (
        alert.topic.partition(" ")[0] in ENDING
        or (old is not None and not is_event)
        or (alert.severity >= Severity.warning and not is_event)
        or (hidden is not None and hidden.suppressor.by != "nobody")
        or routing.reminders.interval(alert.severity) is not None
    )


def _urgent_since(
    alert: Alert, old: Incident, hidden: Hidden | None, now: datetime, *, is_worse: bool
) -> datetime | None:
    """Since when people know that it is critical and may act."""
    if alert.severity != Severity.critical:
        return None
    if hidden:
        return old.urgent_at
    return now if is_worse or alert.nature == "release" else old.urgent_at or now


def is_due(key: Key, incident: Incident, situation: Situation, routing: Routing, now: datetime) -> bool:
    """Whether an incident is to be looked at: nothing hides it any more, its acknowledgement is over, or it is time."""
    if incident.suppressor == LAPSE:
        return incident.kind not in LAPSING or key[:2] not in situation.lapses
    if incident.suppressor is not None:
        return not still_hides(incident.suppressor, situation.silences, routing.mark)
    if incident.ack is not None and not incident.ack.holds(now):
        return True
    is_untold = incident.notified_at is None and incident.ack is None
    return is_untold or is_reminder_due(incident, routing, now) or is_escalation_due(incident, routing, now)


def is_reminder_due(incident: Incident, routing: Routing, now: datetime) -> bool:
    """Whether an incident is to be told again; the caller looks whether it still holds."""
    at = reminds_at(incident, routing)
    return at is not None and at <= now


def is_escalation_due(incident: Incident, routing: Routing, now: datetime) -> bool:
    """Whether others are to be told, for nobody acknowledged or resolved it; the caller looks whether it still holds."""
    at = escalates_at(incident, routing)
    return at is not None and at <= now


def escalates_at(incident: Incident, routing: Routing) -> datetime | None:
    """When others are told of a critical incident, None if nobody is or it was done."""
    if incident.ack is not None or incident.suppressed is not None or incident.escalated_at is not None:
        return None
    if incident.urgent_at is None or not routing.escalates:
        return None
    return incident.urgent_at + duration(routing.escalation.after)


def hide(incident: Incident, hidden: Hidden) -> Incident:
    """The incident as it is hidden now."""
    return replace(incident, suppressed=hidden.why, suppressor=hidden.suppressor)


def show(incident: Incident) -> Incident:
    """The incident as nothing hides it any more."""
    return replace(incident, suppressed=None, suppressor=None)


def reminds_at(incident: Incident, routing: Routing) -> datetime | None:
    """When an incident is told again, None if it is not."""
    interval = routing.reminders.interval(incident.severity)
    if incident.ack is not None or incident.suppressed is not None or incident.notified_at is None or interval is None:
        return None
    if incident.reminded < routing.reminders.max_times:
        return incident.notified_at + interval
    return incident.notified_at + max(interval, WEEKLY) if incident.severity == Severity.critical else None


def escalates_to(said: Effective, routing: Routing) -> tuple[str, ...]:
    """The channels that are told of what nobody acknowledged."""
    return routing.escalation.channels if said.escalate_to is None else said.escalate_to


def still_hides(suppressor: Suppressor, silences: Sequence[Silence], mark: str) -> bool:
    """Whether what hid an incident holds for certain; if not, the incident must be looked at."""
    if suppressor.by == "silence":
        return any(str(silence.pk) == suppressor.ref for silence in silences)
    if suppressor.by in ("rule", "nobody"):
        return suppressor.ref == mark
    return suppressor.by == "flapping"  # ended by its own alert


def warns_of_end(silence: Silence, now: datetime) -> bool:
    """Whether the coming end of a silence is to be told now, if it hides something critical."""
    return (
        silence.is_active(now)
        and silence.warned_at is None
        and silence.ends_at - silence.starts_at > SILENCE_WARNING
        and silence.ends_at - now <= SILENCE_WARNING
    )
