"""Who is told of an alert, when, and how often; or why nobody is. Pure.

    plan       one batch of alerts: severity, channels or the reason why it is hidden; which matters open and end
    is_reminder_due, is_escalation_due    whether a matter is to be told again, or to others
    hold       whether a message waits for the end of quiet hours, for the digest, or for the cap of its channel
    gathers    whether messages that waited become one

A *matter* is something that was found and still holds. It is told, repeated at its interval, acknowledged, escalated,
and ends. Nothing is hidden without words that say why: they are kept with the alert and with the matter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from renewal_watch import matching, schedule
from renewal_watch.config import Backup, Canary, Channel, Escalation, Flapping, Reminders, Settings, Template, duration
from renewal_watch.matching import Effective, Fitting, Subject
from renewal_watch.messages import flapping, instant, span, with_owner
from renewal_watch.model import (
    Acknowledgement,
    Alert,
    Flap,
    Key,
    Matter,
    PhoneNumber,
    Record,
    Rule,
    Severity,
    Silence,
)
from renewal_watch.text import plain

CAP_WINDOW = timedelta(hours=1)
CAP_CRITICAL = timedelta(minutes=10)  # what is critical is gathered no longer than this
WEEKLY = timedelta(days=7)  # what is critical is told again so often when its daily reminders are used up
SILENCE_WARNING = timedelta(days=1)  # a silence's end is told so long before, if it lasts longer than that
LAPSE = "lapse"  # the hider of what is said of a number that is meant to lapse
LAPSING = frozenset({"renewal.upcoming", "renewal.due", "renewal.overdue", "auto_renewal.off"})
_ENDING = frozenset({"inventory", "environments", "backup", "canary"})  # whose end is told only if they are known
_CHANGES = frozenset(  # what may go to and fro
    {
        "status.changed",
        "auto_renewal.on",
        "auto_renewal.off",
        "capability.lost",
        "capability.gained",
        "price.changed",
        "number.missing",
        "number.returned",
        "watch.api_failing",
        "watch.list_shrunk",
        "watch.recovered",
        "channel.failing",
    }
)


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The settings that decide who is told."""

    channels: tuple[Channel, ...] = ()
    rules: tuple[Rule, ...] = ()
    inventory: Mapping[str, Record] = field(default_factory=dict)
    reminders: Reminders = field(default_factory=Reminders)
    escalation: Escalation = field(default_factory=Escalation)
    flapping: Flapping = field(default_factory=Flapping)
    canary: Canary = field(default_factory=Canary)
    backup: Backup = field(default_factory=Backup)
    templates: tuple[Template, ...] = ()
    zone: str = "UTC"

    @classmethod
    def of(cls, settings: Settings, inventory: Mapping[str, Record] | None = None) -> Routing:
        """The routing of a configuration."""
        return cls(
            channels=settings.channels,
            rules=settings.rules,
            inventory=inventory or {},
            reminders=settings.reminders,
            escalation=settings.escalation,
            flapping=settings.flapping,
            canary=settings.canary,
            backup=settings.backup,
            templates=settings.templates,
            zone=settings.timezone,
        )

    @cached_property
    def mark(self) -> str:
        """Changes with everything that may hide an alert: what was hidden under another mark is looked at again."""
        known = sorted((key, one.owner, *one.labels) for key, one in self.inventory.items())
        filters = [(c.name, c.min_severity, c.environments, c.kinds, c.by_rule_only) for c in self.channels]
        return blake2b(msgspec.json.encode([self.rules, filters, known]), digest_size=6).hexdigest()

    @cached_property
    def escalates(self) -> bool:
        """Whether anything is ever escalated."""
        return bool(self.escalation.channels) or any(rule.escalate_to for rule in self.rules)

    @cached_property
    def fitting(self) -> Fitting[Rule]:
        """The rules, by what numbers they are about."""
        return Fitting(self.rules)

    def subject(self, alert: Alert) -> Subject:
        """What rules and silences see of an alert."""
        return self.seen(alert.environment, alert.about)

    def seen(self, environment: str, number: PhoneNumber | None) -> Subject:
        """What rules and silences see of a number, or of an environment as a whole."""
        return matching.subject(environment, number, self.inventory)

    def said(self, one: Subject) -> Effective:
        """What the rules say together."""
        return matching.effective(self.fitting, one)

    def record(self, one: Subject) -> Record:
        """What the inventory says of a number."""
        return self.inventory.get(one.digits, matching.NOBODY)

    def named(self, name: str) -> Channel | None:
        """The channel called ``name``, None if the configuration has it no more."""
        return next((channel for channel in self.channels if channel.name == name), None)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the database knows of the numbers that a batch is about."""

    silences: Sequence[Silence] = ()  # active now
    matters: Mapping[Key, Matter] = field(default_factory=dict)
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

    why: str
    hider: str


class Decision(NamedTuple):
    """What becomes of one alert: ``hidden`` says why nobody is told, else ``channels`` are."""

    alert_id: int
    alert: Alert
    hidden: str | None
    channels: tuple[str, ...]


@dataclass(slots=True)
class Plan:
    """What becomes of a batch. A matter or flap of None ended. ``more`` are alerts that follow from these."""

    decisions: list[Decision] = field(default_factory=list)
    matters: dict[Key, Matter | None] = field(default_factory=dict)
    flaps: dict[Key, Flap | None] = field(default_factory=dict)
    more: list[Alert] = field(default_factory=list)


# --- a batch of alerts ------------------------------------------------------------------------------------------------


def plan(found: Sequence[tuple[int, Alert]], routing: Routing, situation: Situation, now: datetime) -> Plan:
    """Decide on alerts in the order in which they were found; ``found`` has them with their ids."""
    made = Plan()
    told: dict[str, tuple[str, ...]] = {}
    is_simple = not routing.rules and not routing.inventory
    for alert_id, judged in found:
        said, alert = matching.NOTHING, judged
        if not is_simple:
            one = routing.subject(judged)
            said = routing.said(one)
            alert = _worded(judged, said, routing.record(one))
        key = alert.place
        matter = made.matters[key] if key in made.matters else situation.matters.get(key)
        hidden = _hidden(alert, said, routing, situation, matter, now)
        if alert.nature == "new" and alert.kind in _CHANGES and alert.topic:
            hidden = _flap(alert, said, routing, situation, made, hidden, now)
        channels = () if hidden else _channels(alert, said, routing)
        if alert.ends and not hidden:
            channels = _with_those_told(channels, situation.told.get(key, frozenset()), routing)
        if not hidden and not channels:
            hidden = Hidden("no channel takes it", f"nobody:{routing.mark}")
        told[alert.key] = channels
        if alert.said_by in told:  # those who are told of the one know the other
            channels = tuple(name for name in channels if name not in told[alert.said_by])
        why = hidden.why if hidden else None if channels else "another alert of the same poll says it"
        made.decisions.append(Decision(alert_id, alert, why, channels))
        if alert.topic:
            after = _matter(alert_id, alert, matter, hidden, routing, now)
            if after is not None or matter is not None:
                made.matters[key] = after
    return made


def _worded(alert: Alert, said: Effective, record: Record) -> Alert:
    """The alert with the severity the rules give it, and with whose it is."""
    severity = said.severity(alert.kind, alert.severity)
    owner = said.owner or record.owner
    if not (owner or record.labels or record.note):
        return alert if severity == alert.severity else replace(alert, severity=severity)
    return replace(alert, severity=severity, text=with_owner(alert.text, owner, record.labels, record.note))


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
        return Hidden(f"it is meant to lapse ({situation.lapses[place]})", LAPSE)
    rule = said.muted_by(kind)
    if rule is not None:
        return Hidden(f"the rule {rule} mutes it", f"rule:{mark}")
    for silence in situation.fitting.of(one):
        if matching.is_silenced(silence.kinds, kind):
            ends = instant(silence.ends_at)
            return Hidden(f"silence {silence.pk} of {plain(silence.author)} until {ends}", f"silence:{silence.pk}")
    return None


def _hidden(
    alert: Alert, said: Effective, routing: Routing, situation: Situation, matter: Matter | None, now: datetime
) -> Hidden | None:
    if alert.nature in ("reminder", "release", "escalation") or alert.channels is not None:
        return None  # whoever made it looked
    if situation.lapses or situation.silences or said.mute:
        hidden = suppressed(alert.kind, routing.subject(alert), said, situation, mark=routing.mark)
        if hidden:
            return hidden
    if matter is None or alert.ends:
        return None
    if matter.ack is not None and _is_known(alert, matter.ack):
        return Hidden(f"acknowledged by {plain(matter.ack.by)} at {instant(matter.ack.at)}", "ack")
    interval = routing.reminders.interval(alert.severity)
    if alert.nature == "repeat" and matter.told_at is not None and interval and now - matter.told_at < interval:
        return Hidden(f"told at {instant(matter.told_at)} already; it is repeated every {span(interval)}", "repeat")
    return None


def _is_known(alert: Alert, ack: Acknowledgement) -> bool:
    """Whether an acknowledgement covers an alert: a threshold of the same renewal, not another status or price."""
    return rank(alert) <= ack.rank and (alert.topic == "renewal" or alert.nature == "repeat")


def _channels(alert: Alert, said: Effective, routing: Routing) -> tuple[str, ...]:
    """The channels that an alert is for."""
    if alert.channels is not None:
        return tuple(name for name in alert.channels if routing.named(name))
    others = taking(alert.kind, alert.severity, alert.environment, said, routing)
    return tuple(
        name for name in others if alert.topic != f"channel {name}"
    )  # that one fails is told through the others


def _with_those_told(channels: tuple[str, ...], told: frozenset[str], routing: Routing) -> tuple[str, ...]:
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
    """How bad a matter is: its severity, and within it whether the renewal day came or passed."""
    stage = 2 if alert.kind == "renewal.overdue" else int(alert.kind == "renewal.due" and alert.days_left == 0)
    return 10 * alert.severity + stage


def _matter(
    alert_id: int, alert: Alert, old: Matter | None, hidden: Hidden | None, routing: Routing, now: datetime
) -> Matter | None:
    """The matter after this alert, None where it is over or not worth keeping."""
    if alert.ends:
        return None
    if alert.nature == "escalation":
        return None if old is None else replace(old, escalated_at=now)
    if hidden and hidden.hider in ("ack", "repeat"):
        return None if old is None else replace(old, alert_id=alert_id, kind=alert.kind, severity=alert.severity)
    is_event = alert.topic == "price" and routing.reminders.interval(alert.severity) is None  # nothing ends a new price
    is_kept = alert.topic.partition(" ")[0] in _ENDING or (
        (old is not None and not is_event)
        or (alert.severity >= Severity.warning and not is_event)
        or (hidden is not None and not hidden.hider.startswith("nobody"))
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
    if ack is not None and is_new and not (hidden and _is_known(alert, ack)):
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


# --- flapping ---------------------------------------------------------------------------------------------------------


def flap_key(alert: Alert) -> Key:
    """What goes to and fro: auto-renewal is counted apart from the renewal it is about."""
    topic = "auto_renewal" if alert.kind.startswith("auto_renewal.") else alert.topic
    return alert.place._replace(topic=topic)


def _flap(
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
        headline, text = flapping(alert, len(times), now - times[0], within)
        place = "/".join(filter(None, (alert.environment, "flapping.started", alert.number_id)))
        made.more.append(
            replace(
                alert,
                key=f"{place}/{key.topic} {now.isoformat()}",
                kind="flapping.started",
                severity=max(worst, Severity.warning),
                channels=_channels(replace(alert, severity=worst), said, routing)
                or None,  # who is told no more changes
                headline=headline,
                text=text,
                topic="",
                ends=False,
            )
        )
    since = made.flaps[key].since  # type: ignore[union-attr]
    return Hidden(f"flapping since {instant(since)}", "flapping") if since else None


def has_settled(flap: Flap, routing: Routing, now: datetime) -> bool:
    """Whether nothing changed for long enough."""
    return now - flap.times[-1] >= settles_after(routing)


def settles_after(routing: Routing) -> timedelta:
    """How long something that flapped must stay as it is."""
    return duration(routing.flapping.within)


# --- matters that go on -----------------------------------------------------------------------------------------------


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


def still_hides(hider: str, silences: Sequence[Silence], mark: str) -> bool:
    """Whether what hid a matter holds for certain; if not, the matter must be looked at."""
    by, _, what = hider.partition(":")
    if by == "silence":
        return any(str(silence.pk) == what for silence in silences)
    if by in ("rule", "nobody"):
        return what == mark
    return by == "flapping"  # ended by its own alert


def warns_of_end(silence: Silence, now: datetime) -> bool:
    """Whether the coming end of a silence is to be told now, if it hides something critical."""
    return (
        silence.is_active(now)
        and silence.warned_at is None
        and silence.ends_at - silence.starts_at > SILENCE_WARNING
        and silence.ends_at - now <= SILENCE_WARNING
    )


# --- messages that wait -----------------------------------------------------------------------------------------------


class Waiting(NamedTuple):
    """A message in the outbox, as far as it matters for when it goes."""

    pk: int
    severity: Severity
    at_once: bool
    created_at: datetime
    is_fresh: bool  # never tried, so that nobody can have seen its id


class Hold(NamedTuple):
    """Until when a message waits, and why."""

    until: datetime
    why: str


def hold(channel: Channel, message: Waiting, zone: str, sent: Sequence[datetime], now: datetime) -> Hold | None:
    """Why a message waits at ``now``, None if it may go. ``sent`` are the newest messages of the channel, ascending."""
    if message.at_once:
        return None
    held = _by_calendar(channel, message, zone, now)
    if held:
        return held
    if channel.is_hook:  # a script is not disturbed by many
        return None
    recent = sent[bisect_right(sent, now - CAP_WINDOW) :]
    if len(recent) >= channel.max_per_hour:
        until = recent[-channel.max_per_hour] + CAP_WINDOW
        if message.severity == Severity.critical:
            until = min(until, message.created_at + CAP_CRITICAL)
            if until <= now:
                return None
        return Hold(until, f"{channel.name} takes {channel.max_per_hour} messages an hour")
    return None


def _by_calendar(channel: Channel, message: Waiting, zone: str, now: datetime) -> Hold | None:
    if message.severity == Severity.critical and channel.critical_at_once:
        return None
    zone = channel.timezone or zone
    if channel.digest is not None and message.is_fresh:  # one that was tried is sent by itself
        return Hold(_next_digest(now, channel.digest, zone), "it comes with the digest")
    if channel.quiet_hours:
        until = _quiet_until(now, channel.quiet_hours, zone)
        if until is not None:
            return Hold(until, f"quiet hours {', '.join(channel.quiet_hours)} {zone}")
    return None


@lru_cache(maxsize=64)  # many messages wait for one digest
def _next_digest(now: datetime, digest: str, zone: str) -> datetime:
    return schedule.next_fire(now, digest, zone)


@lru_cache(maxsize=64)  # … and for one end of quiet hours
def _quiet_until(now: datetime, windows: tuple[str, ...], zone: str) -> datetime | None:
    return schedule.quiet_until(now, windows, zone)


def gathers(
    channel: Channel, waiting: Sequence[Waiting], zone: str, sent: Sequence[datetime], now: datetime
) -> tuple[list[Waiting], str]:
    """The messages that go as one with the first of them, and the words that say why.

    Those are the ones that were held back when they were found; and all that wait, when the cap leaves room for one.
    A hook is told each by itself.
    """
    first = waiting[0]
    if first.at_once or not first.is_fresh:
        return [first], ""
    if channel.is_hook:
        was_held = _by_calendar(channel, first, zone, first.created_at)
        return [first], f"held back: {was_held.why}" if was_held else ""
    free = [one for one in waiting if one.is_fresh and not one.at_once and hold(channel, one, zone, sent, now) is None]
    if len(free) > 1 and len(sent) - bisect_right(sent, now - CAP_WINDOW) >= channel.max_per_hour - 1:
        return free, f"gathered, for {channel.name} takes {channel.max_per_hour} messages an hour"
    held = [(one, why) for one in free if (why := _by_calendar(channel, one, zone, one.created_at))]
    if not held or held[0][0] != first:
        return [first], ""
    return [one for one, _ in held], f"held back: {held[0][1].why}"
