"""How the watch itself does: whether it sees and whether it is heard, each with its reason in a sentence.

    examine     all that must hold for the watch to be relied on; behind /readyz, the health page and ``check``
    alive       the least: the database can be read; behind /healthz, so that nobody restarts a process for old data
    unreadable  what both say when not even that is so

The reasons are meant to be shown to anybody who may ask: they name environments and channels, and hold no secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from renewal_watch.alerts.phrases import instant, orphaned, span
from renewal_watch.database.store import schema_fault
from renewal_watch.database.transaction import Transaction
from renewal_watch.detect import failures
from renewal_watch.language import _, ngettext
from renewal_watch.model.tracking import Watch
from renewal_watch.notify import retry
from renewal_watch.settings.whole import Settings
from renewal_watch.store import leases
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.timers import fired_at
from renewal_watch.store.leases import daemon_seen
from renewal_watch.store.maintenance import backups
from renewal_watch.store.outbox.waiting import (
    due_at,
    failing_channels,
    held_deliveries,
    orphaned_deliveries,
    pending_of,
)
from renewal_watch.text import REDACTOR, plain

SENT_WITHIN = timedelta(minutes=15)  # of the time at which a message may go; see ``late``
BACKED_UP_WITHIN = timedelta(hours=6)  # of the time at which a backup is due
POLLED_WITHIN = timedelta(minutes=10)  # of the time at which a poll is due
FUTURE = timedelta(minutes=5)  # a list read later than now by more than this was read by a clock that was put back


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. With ``is_blind`` nothing can be said about the numbers of ``environment``.

    ``environment`` is empty for what is about all of them.
    """

    name: str
    ok: bool
    reason: str
    environment: str = ""
    is_blind: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a program that asks."""
        about = {"environment": self.environment} if self.environment else {}
        return {"name": self.name, **about, "ok": self.ok, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Everything that was looked at, fine or not."""

    checks: tuple[Finding, ...]

    @property
    def is_ready(self) -> bool:
        """Whether all of it is fine."""
        return all(one.ok for one in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not, a sentence each."""
        return tuple(one.reason for one in self.checks if not one.ok)

    def as_json(self) -> dict[str, Any]:
        """``{"status": "ok" or "failing", "checks": [{"name", "environment", "ok", "reason"}]}``."""
        return {"status": "ok" if self.is_ready else "failing", "checks": [one.as_json() for one in self.checks]}


def unreadable(error: Exception) -> Health:
    """The health of a watch whose database cannot be read."""
    said = REDACTOR.clean(str(error))
    return Health(checks=(Finding(name="database", ok=False, reason=said, is_blind=True),))


def alive(tx: Transaction, settings: Settings, now: datetime) -> Health:
    """Whether the database can be read, and somebody polls. Raises StoreError, through the transaction, when it cannot."""
    if schema_fault(tx) is not None:  # whatever it is: the question was answered
        return Health(checks=(_readable(),))
    return Health(checks=(_readable(), *daemon(tx, settings, now)))


def daemon(tx: Transaction, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Whether the daemon is there and polls in time, where one ever was; a timer is judged by the age of its lists."""
    seen = daemon_seen(tx, now)
    if seen is None:
        return
    intervals = {one.name: one.interval for one in settings.environments}
    polled = [(watch, schedule) for _, watch, schedule in environment_states(tx) if watch.name in intervals]
    newest = max((watch.last_poll_at for watch, _ in polled if watch.last_poll_at), default=None)
    if not seen.is_there:
        longest = min(intervals.values(), default=timedelta(0)) + POLLED_WITHIN
        is_polled = newest is not None and newest > seen.at + leases.MISSED and now - newest <= longest
        said = _(
            "no daemon is running, one was last seen at {at} ({span} ago); start it: systemctl start renewal-watch",
            at=instant(seen.at),
            span=span(max(now - seen.at, timedelta(0))),
        )
        if is_polled:
            said = _("no daemon is running any more, but something else polls in time")
        yield Finding(name="daemon", ok=is_polled, reason=said)
        return
    late = [
        watch.name
        for watch, schedule in polled
        if schedule.next_poll_at is not None
        and now - schedule.next_poll_at > max(POLLED_WITHIN, intervals[watch.name] / 2)
    ]
    if late:
        said = _(
            "a daemon is there, but its polls are late: {environments}; see its log: journalctl -u renewal-watch",
            environments=", ".join(late[:5]),
        )
        yield Finding(name="daemon", ok=False, reason=said)
    else:
        yield Finding(name="daemon", ok=True, reason=_("a daemon is running and polls in time"))


def examine(tx: Transaction, settings: Settings, now: datetime) -> Health:
    """Every finding on the configured environments and channels, in the order in which they are best mended."""
    fault = schema_fault(tx)
    if fault is not None:
        return Health(checks=(Finding(name="database", ok=False, reason=fault, is_blind=True),))
    return Health(
        checks=(
            _readable(),
            *_files(settings, now),
            *daemon(tx, settings, now),
            *lists(tx, settings, now),
            _outbox(tx, settings, now),
            *_channels(tx, settings, now),
            *_backup(tx, settings, now),
        )
    )


def _readable() -> Finding:
    return Finding(name="database", ok=True, reason=_("the database can be read"))


def _files(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Whether there is anything to watch, and whether the environments' directory can be used whole."""
    if not settings.environments:
        reason = _(
            "no environment is watched: {directory} has no file that can be used", directory=settings.environments_dir
        )
        yield Finding(name="environments", ok=False, reason=reason, is_blind=True)
    for file, fault in settings.file_faults(now).items():
        reason = _(
            "{file} (environments_dir) cannot be used as it is: {fault}",
            file=plain(file),
            fault=REDACTOR.clean(plain(fault)),
        )
        yield Finding(name="environments", ok=False, reason=reason)


def lists(tx: Transaction, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Whether each environment's list is fresh."""
    known = {watch.name: watch for _, watch, _ in environment_states(tx)}
    for one in settings.environments:
        watch = known.get(one.name, Watch(name=one.name))
        fault = _blindness(watch, settings, now)
        said = fault or _("{environment}: the list was read {span} ago", environment=one.name, span=_age(watch, now))
        yield Finding(name="list", environment=one.name, ok=fault is None, reason=said, is_blind=fault is not None)


def _blindness(watch: Watch, settings: Settings, now: datetime) -> str | None:
    """Why what is kept of an environment says nothing about now."""
    error = f" ({REDACTOR.clean(plain(watch.last_error))})" if watch.last_error else ""
    at = watch.last_success_at
    if at is None:
        return _(
            "{environment}: its list was never read{error}; it is read by: renewal-watch run, or poll",
            environment=watch.name,
            error=error,
        )
    if at > now + FUTURE:
        return _(
            "{environment}: its list was read {span} from now: the clock was put back; the next poll mends it",
            environment=watch.name,
            span=span(at - now),
        )
    policy = settings.policy(settings.environment(watch.name))
    if failures.is_stale(watch, policy, now):
        return _(
            "{environment}: its list was last read {span} ago, which is stale after {limit}{error}",
            environment=watch.name,
            span=_age(watch, now),
            limit=span(policy.stale_after),
            error=error,
        )
    return None


def _age(watch: Watch, now: datetime) -> str:
    return span(now - (watch.last_success_at or now))


# --- being heard ------------------------------------------------------------------------------------------------------


def late(tx: Transaction, settings: Settings, now: datetime) -> int:
    """How many messages could have gone some time ago and still wait: nobody sends.

    What waits for quiet hours, a digest, a cap or the next attempt is not late. Where no daemon runs, each poll sends:
    the longest time between two polls is therefore waited for as well.
    """
    then = now - SENT_WITHIN - max((one.interval for one in settings.environments), default=timedelta(0))
    found = 0
    for channel in settings.channels:
        waiting = due_at(tx, channel.name, then)
        found += len(waiting - held_deliveries(tx, channel, settings.timezone, then).keys()) if waiting else 0
    return found


def _outbox(tx: Transaction, settings: Settings, now: datetime) -> Finding:
    count = late(tx, settings, now)
    if count:
        reason = ngettext(
            "{count} message could have been sent long ago: nothing sends; it is done by: renewal-watch run, or send",
            "{count} messages could have been sent long ago: nothing sends; it is done by: renewal-watch run, or send",
            count,
        )
        return Finding(name="outbox", ok=False, reason=reason)
    names = [one.name for one in settings.channels]
    pending = pending_of(tx, names)
    waits = ngettext("{count} message waits, in time", "{count} messages wait, in time", pending)
    waits = waits if pending else _("no message waits")
    # No fault, for it would stay one where a channel was taken out on purpose; but nothing of it is in time.
    never = [orphaned(name, count) for name, count in orphaned_deliveries(tx, names).items()]
    return Finding(name="outbox", ok=True, reason="; ".join([waits, *never]))


def _channels(tx: Transaction, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Channels that have failed for so long that people were told; what they last said stays with ``status``."""
    faults = failing_channels(tx)
    for one in settings.channels:
        since = faults[one.name][0] if one.name in faults else now
        lasted = now - since
        ok = lasted < retry.CHANNEL_FAILING_AFTER
        if one.name not in faults:
            said = _("channel {channel} works", channel=one.name)
        elif ok:
            said = _("channel {channel} has failed for {span}", channel=one.name, span=span(lasted))
        else:
            said = _(
                "channel {channel} has failed for {span}; see: renewal-watch status",
                channel=one.name,
                span=span(lasted),
            )
        yield Finding(name="channel", ok=ok, reason=said)


# --- being kept -------------------------------------------------------------------------------------------------------


def _backup(tx: Transaction, settings: Settings, now: datetime) -> Iterator[Finding]:
    """Whether backups are made as the configuration wants them; the place and what went wrong stay with ``doctor``."""
    if not settings.backup.directory:
        return
    state = backups.State.of(fired_at(tx, backups.CALENDAR))
    last = (
        _("the last backup was made {span} ago", span=span(now - state.good_at))
        if state.good_at
        else _("no backup was made yet")
    )
    is_late = state.next_at is not None and now - state.next_at > BACKED_UP_WITHIN
    if state.fault is not None:
        said = _("the backup fails, {last}; see: renewal-watch doctor", last=last)
    elif is_late:
        said = _("{last}, and the next one is late; it is made by: renewal-watch run", last=last)
    else:
        said = last
    yield Finding(name="backup", ok=state.fault is None and not is_late, reason=said)
