"""The texts of alerts about the service itself: channels, files, backups, daemons, the canary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.text import plain


def channel_failing(channel: str, since: datetime, now: datetime, waiting: int, error: str) -> tuple[str, str]:
    """A channel does not take its messages; told through the others."""
    many = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
    return f"channel {channel} is failing", (
        f"Channel {channel} has not taken a message for {span(now - since)}: {plain(error).rstrip('.')}. {many} for it. "
        f"Check it with: renewal-watch test-channel {channel}"
    )


def channel_gave_up(channel: str, given_up: int, error: str) -> tuple[str, str]:
    """Messages that a channel will not be offered again by itself."""
    many = "1 message was" if given_up == 1 else f"{given_up} messages were"
    return f"channel {channel}: {many} given up", (
        f"{many} never delivered on channel {channel} in 3 days of trying: {plain(error).rstrip('.')}. See them with: renewal-watch "
        f"alerts --failed; send them again with: renewal-watch alerts retry"
    )


def channel_recovered(channel: str, since: datetime, now: datetime) -> tuple[str, str]:
    """A failing channel takes messages again."""
    return f"channel {channel} delivers again", f"Channel {channel} delivers again after {span(now - since)}."


def of_the_watch(
    kind: str,
    severity: Severity,
    key: str,
    words: tuple[str, str],
    *,
    topic: str = "",
    ends: bool = False,
    channels: tuple[str, ...] | None = None,
) -> Alert:
    """An alert about no number and no environment."""
    return Alert(
        key=f"{kind}/{key}",
        kind=kind,
        severity=severity,
        environment="",
        headline=words[0],
        text=words[1],
        topic=topic,
        ends=ends,
        channels=channels,
    )


def silence_ending(pk: int, author: str, comment: str, ends_at: datetime, hides: Sequence[str]) -> tuple[str, str]:
    """A silence that will end while it hides something critical."""
    why = f" ({plain(comment)})" if comment else ""
    some = "; ".join(hides[:5]) + (f"; and {len(hides) - 5} more" if len(hides) > 5 else "")  # noqa: PLR2004
    return f"silence {pk} ends at {instant(ends_at)}", (
        f"Silence {pk} of {plain(author)}{why} ends at {instant(ends_at)} and hides what is critical: {some}. What still "
        f"holds then is told. Look after it, or silence it anew: renewal-watch silence add"
    )


def inventory_invalid(fault: str, host: str = "") -> tuple[str, str]:
    """The inventory cannot be used as it is; ``host`` is the machine that has it, where several watch."""
    name = f"inventory on {plain(host)}" if host else "inventory"
    return f"the {name} cannot be read whole", (
        f"The {name} cannot be read whole: {plain(fault, 400)}. What could be read of it, and what was known before, "
        f"holds. Check it with: renewal-watch config check"
    )


def inventory_mended(host: str = "") -> tuple[str, str]:
    """The end of ``inventory_invalid``."""
    name = f"inventory on {plain(host)}" if host else "inventory"
    return f"the {name} is whole again", f"The {name} can be read whole again. Nothing to do."


def backup_failed(directory: str, fault: str, good_at: datetime | None) -> tuple[str, str]:
    """A backup that was due could not be made."""
    last = f"The last good one is of {instant(good_at)}" if good_at else "There is none yet"
    return "the database is not backed up", (
        f"The backup into {plain(directory)} failed: {plain(fault, 400)}. {last}. It is tried again every hour. Make one by "
        f"hand with: renewal-watch db backup FILE"
    )


def backup_made(file: str) -> tuple[str, str]:
    """The end of ``backup_failed``."""
    return "the database is backed up again", f"A backup was made and checked: {plain(file)}. Nothing to do."


def daemon_lost(host: str, pid: int, seen_at: datetime, others: Iterable[str]) -> tuple[str, str]:
    """A daemon that shares the database is gone; ``others`` are the machines whose daemons live."""
    name = f"{plain(host)} (process {pid})"
    left = ", ".join(sorted(map(plain, others)))
    return f"the daemon on {plain(host)} is gone", (
        f"The daemon on {name} was last heard of at {instant(seen_at)} and did not say that it ends. "
        f"Its work is done by what runs on {left}. See on {plain(host)}: journalctl -u renewal-watch"
    )


def daemon_back(host: str) -> tuple[str, str]:
    """The end of ``daemon_lost``."""
    name = f"the daemon on {plain(host)}"
    return f"{name} is back", f"{name[0].upper()}{name[1:]} is back and shares the work again. Nothing to do."


def environments_invalid(file: str, fault: str) -> tuple[str, str]:
    """A file of an environment, or their directory, cannot be used as it is."""
    name = plain(file)
    return f"{name} cannot be used as it is", (
        f"{name} (environments_dir) cannot be used as it is: {plain(fault, 400)}. What was read of it before goes on until "
        f"the watch is started again; what was never read is not watched. See: renewal-watch config check"
    )


def environments_mended(file: str) -> tuple[str, str]:
    """The end of ``environments_invalid``."""
    name = plain(file)
    return f"{name} is right again", f"{name} (environments_dir) is right again, or was removed. Nothing to do."


def canary(number: str, channel: str, now: datetime) -> tuple[str, str]:
    """The made-up number's message."""
    return f"CANARY: channel {channel} works", (
        f"CANARY, nothing to do: the made-up number {number} went the whole way from a poll at {instant(now)} to channel "
        f"{channel}. As long as this comes on its schedule, an alert would come as well."
    )


def canary_failed(channel: str, at: datetime, reason: str) -> tuple[str, str]:
    """The made-up number did not arrive: alerts might not either."""
    return f"the canary did not reach channel {channel}", (
        f"The canary of {instant(at)} did not reach channel {channel}: {plain(reason, 400)}. An alert might not have "
        f"reached it either. Look at: renewal-watch alerts, renewal-watch doctor"
    )


def canary_arrived(channel: str, at: datetime) -> tuple[str, str]:
    """The end of ``canary_failed``."""
    return "the canary arrives again", f"The canary reached channel {channel} at {instant(at)}. Nothing to do."
