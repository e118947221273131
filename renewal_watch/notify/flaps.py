"""What changes to and fro. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from renewal_watch.alerts import reasons
from renewal_watch.alerts.around import Flapping
from renewal_watch.model.alerts import Alert, Flap, Key, Severity, Suppressor
from renewal_watch.model.selectors import Effective
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Hidden, Plan, Situation, channels_for, suppressed
from renewal_watch.settings.values import duration


def flap_key(alert: Alert) -> Key:
    """What goes to and fro: auto-renewal is counted apart from the renewal it is about."""
    topic = "auto_renewal" if alert.kind.startswith("auto_renewal.") else alert.topic
    return alert.place._replace(topic=topic)


def flap_of(
    alert: Alert,
    said: Effective,
    routing: Routing,
    situation: Situation,
    made: Plan,
    hidden: Hidden | None,
    now: datetime,
) -> Hidden | None:
    """Count the change; once it is one too many, that is told instead of each further one."""
    key = flap_key(alert)
    kept = made.flaps[key] if key in made.flaps else situation.flaps.get(key)
    within = settles_after(routing)
    flap = kept or Flap(())
    times = (*(at for at in flap.times if now - at < within), now)[-routing.flapping.changes :]
    worst = max(alert.severity, flap.worst if len(times) > 1 else Severity.info)
    starts = flap.since is None and len(times) >= routing.flapping.changes
    if hidden:  # told as flapping once nothing else hides it
        made.flaps[key] = Flap(times, flap.since, worst)
        return hidden
    made.flaps[key] = Flap(times, now if starts else flap.since, worst)
    if starts and suppressed("flapping.started", routing.subject(alert), said, situation, mark=routing.mark):
        made.flaps[key] = Flap(times, None, worst)  # then each change is told
        return None
    if starts:
        about = Flapping(
            who=alert.number or alert.environment or alert.topic,
            at=alert.environment if alert.number else "",
            what=alert.kind.partition(".")[0].replace("_", "-"),
            times=len(times),
            length=now - times[0],
            within=within,
        )
        place = "/".join(filter(None, (alert.environment, "flapping.started", alert.number_id)))
        made.more.append(
            replace(
                alert,
                key=f"{place}/{key.topic} {now.isoformat()}",
                kind="flapping.started",
                severity=max(worst, Severity.warning),
                channels=channels_for(replace(alert, severity=worst), said, routing)
                or None,  # who is told no more changes
                around=(*alert.around, about),
                topic="",
                ends=False,
            )
        )
    since = made.flaps[key].since  # type: ignore[union-attr]
    return Hidden(reasons.FlappingSince(since), Suppressor.of("flapping")) if since else None


def has_settled(flap: Flap, routing: Routing, now: datetime) -> bool:
    """Whether nothing changed for long enough."""
    return now - flap.times[-1] >= settles_after(routing)


def settles_after(routing: Routing) -> timedelta:
    """How long something that flapped must stay as it is."""
    return duration(routing.flapping.within)
