"""Who takes an alert, and what hides it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from renewal_watch.alerts import reasons
from renewal_watch.model import kinds, selectors
from renewal_watch.model.alerts import Acknowledgement, Alert, Flap, Incident, Key, Severity, Suppressor
from renewal_watch.model.facts import Because
from renewal_watch.model.policy import Silence
from renewal_watch.model.selectors import Effective, Fitting, Subject
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel

LAPSE = Suppressor.of("lapse")  # what hides all that is said of a number that is meant to expire
LAPSING = kinds.names(hidden_by_lapse=True)
ENDING = kinds.topics(told_if_known=True)
CHANGES = kinds.names(may_flap=True)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the database knows of the numbers that a batch is about."""

    silences: Sequence[Silence] = ()  # active now
    incidents: Mapping[Key, Incident] = field(default_factory=dict)
    lapses: Mapping[tuple[str, str], str] = field(default_factory=dict)  # by environment and number: who said so
    flaps: Mapping[Key, Flap] = field(default_factory=dict)
    told: Mapping[Key, frozenset[str]] = field(
        default_factory=dict
    )  # of what may end: the channels that were told of it

    @cached_property
    def fitting(self) -> Fitting[Silence]:
        """The silences, by what numbers they are about."""
        return Fitting(self.silences)


class Hidden(NamedTuple):
    """Why an alert is not told, and what must end before it is."""

    why: Because
    suppressor: Suppressor


class Decision(NamedTuple):
    """What becomes of one alert: ``hidden`` says why nobody is told, else ``channels`` are."""

    alert_id: int
    alert: Alert
    hidden: Because | None
    channels: tuple[str, ...]
    incident_id: int = 0  # that it opened, or is about


@dataclass(slots=True)
class Plan:
    """What becomes of a batch. An incident or flap of None ended; ``brief`` are incidents that opened and ended in it.

    ``more`` are alerts that follow from these.
    """

    decisions: list[Decision] = field(default_factory=list)
    incidents: dict[Key, Incident | None] = field(default_factory=dict)
    flaps: dict[Key, Flap | None] = field(default_factory=dict)
    brief: list[tuple[Key, Incident]] = field(default_factory=list)
    more: list[Alert] = field(default_factory=list)


def suppressed(
    kind: str,
    one: Subject,
    said: Effective,
    situation: Situation,
    *,
    mark: str,
) -> Hidden | None:
    """Why alerts of this kind about this number are not wanted now, None if they are."""
    place = (one.environment, one.id or "")
    if kind in LAPSING and place in situation.lapses:
        return Hidden(reasons.MeantToExpire(situation.lapses[place]), LAPSE)
    rule = said.muted_by(kind)
    if rule is not None:
        return Hidden(reasons.Muted(rule), Suppressor.of("rule", mark))
    for silence in situation.fitting.of(one):
        if selectors.is_silenced(silence.kinds, kind):
            why = reasons.Silenced(silence.pk, silence.author, silence.ends_at)
            return Hidden(why, Suppressor.of("silence", silence.pk))
    return None


def what_hides(
    alert: Alert, said: Effective, routing: Routing, situation: Situation, incident: Incident | None, now: datetime
) -> Hidden | None:
    """What hides an alert; None where nothing does."""
    if alert.nature in ("reminder", "release", "escalation") or alert.channels is not None:
        return None  # whoever made it looked
    if situation.lapses or situation.silences or said.mute:
        hidden = suppressed(alert.kind, routing.subject(alert), said, situation, mark=routing.mark)
        if hidden:
            return hidden
    if incident is None or alert.ends:
        return None
    if incident.ack is not None and incident.ack.holds(now) and is_known(alert, incident.ack):
        return Hidden(reasons.Acknowledged(incident.ack.by, incident.ack.at), Suppressor.of("ack"))
    interval = routing.reminders.interval(alert.severity)
    if (
        alert.nature == "repeat"
        and incident.notified_at is not None
        and interval
        and now - incident.notified_at < interval
    ):
        return Hidden(reasons.Repeated(incident.notified_at, interval), Suppressor.of("repeat"))
    return None


def is_known(alert: Alert, ack: Acknowledgement) -> bool:
    """Whether an acknowledgement covers an alert: a threshold of the same renewal, not another status or price."""
    return rank(alert) <= ack.rank and (alert.topic == "renewal" or alert.nature == "repeat")


def channels_for(alert: Alert, said: Effective, routing: Routing) -> tuple[str, ...]:
    """The channels that an alert is for."""
    if alert.channels is not None:
        return tuple(name for name in alert.channels if routing.named(name))
    others = taking(alert.kind, alert.severity, alert.environment, said, routing)
    return tuple(
        name for name in others if alert.topic != f"channel {name}"
    )  # that one fails is told through the others


def with_those_told(channels: tuple[str, ...], told: frozenset[str], routing: Routing) -> tuple[str, ...]:
    """The channels of an end: who was told of the beginning is told of it, whatever the channel usually takes."""
    return tuple(one.name for one in routing.channels if one.name in channels or one.name in told)


def taking(kind: str, severity: Severity, environment: str, said: Effective, routing: Routing) -> tuple[str, ...]:
    """The channels that take alerts of a kind and severity."""
    return tuple(
        channel.name
        for channel in routing.channels
        if _is_meant(channel, said) and channel.takes(kind, severity, environment)
    )


def channels_of(said: Effective, environment: str, routing: Routing) -> tuple[str, ...]:
    """The channels that alerts about a number go to, whatever their kind and severity."""
    return tuple(
        channel.name
        for channel in routing.channels
        if _is_meant(channel, said) and (channel.environments is None or environment in channel.environments)
    )


def _is_meant(channel: Channel, said: Effective) -> bool:
    """Whether the rules, or their silence, send alerts to this channel."""
    by_rule = not channel.by_rule_only if said.channels is None else channel.name in said.channels
    return by_rule or channel.name in said.add_channels


def rank(alert: Alert) -> int:
    """How bad an incident is: its severity, and within it whether the renewal day came or passed."""
    stage = 2 if alert.kind == "renewal.overdue" else int(alert.kind == "renewal.due" and alert.days_left == 0)
    return 10 * alert.severity + stage
