"""Until when a delivery waits: quiet hours, digests, others to go with. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from renewal_watch.language import _, ngettext
from renewal_watch.model.alerts import Severity
from renewal_watch.notify.routing import CAP_CRITICAL, CAP_WINDOW
from renewal_watch.schedule import calendar as schedule_times
from renewal_watch.schedule import quiet_hours
from renewal_watch.settings.channel import Channel

AWAY = timedelta(minutes=10)  # a message that was tried for so long goes with all that wait


class Waiting(NamedTuple):
    """A message in the outbox, as far as it counts for when it goes."""

    pk: int
    severity: Severity
    at_once: bool
    created_at: datetime
    is_fresh: bool  # never tried, so that nobody can have seen its id
    is_routine: bool = False  # it needs nobody: charges to expect, renewals that worked
    tried_at: datetime | None = None  # for the first time


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
        return Hold(until, _takes(channel))
    return None


def _takes(channel: Channel) -> str:
    return ngettext(
        "{channel} takes {count} message an hour",
        "{channel} takes {count} messages an hour",
        channel.max_per_hour,
        channel=channel.name,
    )


def _by_calendar(channel: Channel, message: Waiting, zone: str, now: datetime) -> Hold | None:
    if message.severity == Severity.critical and channel.critical_at_once:
        return None
    zone = channel.timezone or zone
    if channel.digest is not None and message.is_fresh:  # one that was tried is sent by itself
        return Hold(_next_digest(now, channel.digest, zone), _("it comes with the digest"))
    if message.is_routine and message.is_fresh and channel.routine_at is not None:
        until = _next_digest(message.created_at, channel.routine_at, zone)
        if until > now:
            return Hold(until, _("what needs nobody comes once a day"))
    if channel.quiet_hours:
        ends = _quiet_until(now, channel.quiet_hours, zone)
        if ends is not None:
            hours = ", ".join(channel.quiet_hours)
            return Hold(ends, _("quiet hours {hours} {zone}", hours=hours, zone=zone))
    return None


@lru_cache(maxsize=64)  # many messages wait for one digest
def _next_digest(now: datetime, digest: str, zone: str) -> datetime:
    return schedule_times.next_fire(now, digest, zone)


@lru_cache(maxsize=64)  # … and for one end of quiet hours
def _quiet_until(now: datetime, windows: tuple[str, ...], zone: str) -> datetime | None:
    return quiet_hours.quiet_until(now, windows, zone)


def is_away(channel: Channel, message: Waiting, now: datetime) -> bool:
    """Whether a message has been tried for so long that all that waits goes with it."""
    return not (message.at_once or channel.is_hook) and message.tried_at is not None and now - message.tried_at >= AWAY


def gathers(
    channel: Channel, waiting: Sequence[Waiting], zone: str, sent: Sequence[datetime], now: datetime
) -> tuple[list[Waiting], str]:
    """The messages that go as one with the first of them, and the words that say why.

    Those are the ones that were held back when they were found; all that wait, when the cap leaves room for one; and what
    waited while the channel was away, so that its first word is how things are now. A hook is told each by itself.
    """
    first = waiting[0]
    if is_away(channel, first, now):
        others = [one for one in waiting if not one.at_once and hold(channel, one, zone, sent, now) is None]
        said = _("in one, for {channel} was away", channel=channel.name) if len(others) > 1 else ""
        return [first, *others[1:]], said
    if first.at_once or not first.is_fresh:
        return [first], ""
    if channel.is_hook:
        was_held = _by_calendar(channel, first, zone, first.created_at)
        return [first], _("held back: {why}", why=was_held.why) if was_held else ""
    free = [one for one in waiting if one.is_fresh and not one.at_once and hold(channel, one, zone, sent, now) is None]
    if len(free) > 1 and len(sent) - bisect_right(sent, now - CAP_WINDOW) >= channel.max_per_hour - 1:
        return free, _("gathered, for {limit}", limit=_takes(channel))
    held = [(one, why) for one in free if (why := _by_calendar(channel, one, zone, one.created_at))]
    if not held or held[0][0] != first:
        return [first], ""
    return [one for one, _why in held], _("held back: {why}", why=held[0][1].why)
