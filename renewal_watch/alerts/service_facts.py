"""The facts and the words of alerts about the service itself: channels, files, backups, daemons, the canary. Pure."""

from __future__ import annotations

from datetime import datetime

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Facts, Words
from renewal_watch.text import plain


class ChannelFailing(Facts, frozen=True):
    """A channel does not take its messages; told through the others."""

    channel: str
    since: datetime
    now: datetime
    waiting: int
    error: str

    def words(self) -> Words:
        many = "1 message waits" if self.waiting == 1 else f"{self.waiting} messages wait"
        return f"channel {self.channel} is failing", (
            f"Channel {self.channel} has not taken a message for {span(self.now - self.since)}: "
            f"{plain(self.error).rstrip('.')}. {many} for it. "
            f"Check it with: renewal-watch test-channel {self.channel}"
        )


class ChannelGaveUp(Facts, frozen=True):
    """Messages that a channel will not be offered again by itself."""

    channel: str
    given_up: int
    error: str

    def words(self) -> Words:
        many = "1 message was" if self.given_up == 1 else f"{self.given_up} messages were"
        return f"channel {self.channel}: {many} given up", (
            f"{many} never delivered on channel {self.channel} in 3 days of trying: {plain(self.error).rstrip('.')}. See "
            f"them with: renewal-watch "
            f"alerts --failed; send them again with: renewal-watch alerts retry"
        )


class ChannelRecovered(Facts, frozen=True):
    """A failing channel takes messages again."""

    channel: str
    since: datetime
    now: datetime

    def words(self) -> Words:
        return (
            f"channel {self.channel} delivers again",
            f"Channel {self.channel} delivers again after {span(self.now - self.since)}.",
        )


def of_the_watch(
    kind: str,
    severity: Severity,
    key: str,
    facts: Facts,
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
        facts=facts,
        topic=topic,
        ends=ends,
        channels=channels,
    )


class SilenceEnding(Facts, frozen=True):
    """A silence that will end while it hides something critical."""

    pk: int
    author: str
    comment: str
    ends_at: datetime
    hides: tuple[str, ...]  # headlines

    def words(self) -> Words:
        why = f" ({plain(self.comment)})" if self.comment else ""
        some = "; ".join(self.hides[:5]) + (f"; and {len(self.hides) - 5} more" if len(self.hides) > 5 else "")  # noqa: PLR2004
        return f"silence {self.pk} ends at {instant(self.ends_at)}", (
            f"Silence {self.pk} of {plain(self.author)}{why} ends at {instant(self.ends_at)} and hides what is critical: "
            f"{some}. What still "
            f"holds then is told. Look after it, or silence it anew: renewal-watch silence add"
        )


class InventoryInvalid(Facts, frozen=True):
    """The inventory cannot be used as it is; ``host`` is the machine that has it, where several watch."""

    fault: str
    host: str = ""

    def words(self) -> Words:
        name = f"inventory on {plain(self.host)}" if self.host else "inventory"
        return f"the {name} cannot be read whole", (
            f"The {name} cannot be read whole: {plain(self.fault, 400)}. What could be read of it, and what was known before, "
            f"holds. Check it with: renewal-watch config check"
        )


class InventoryMended(Facts, frozen=True):
    """The end of ``inventory_invalid``."""

    host: str = ""

    def words(self) -> Words:
        name = f"inventory on {plain(self.host)}" if self.host else "inventory"
        return f"the {name} is whole again", f"The {name} can be read whole again. Nothing to do."


class BackupFailed(Facts, frozen=True):
    """A backup that was due could not be made."""

    directory: str
    fault: str
    good_at: datetime | None

    def words(self) -> Words:
        last = f"The last good one is of {instant(self.good_at)}" if self.good_at else "There is none yet"
        return "the database is not backed up", (
            f"The backup into {plain(self.directory)} failed: {plain(self.fault, 400)}. {last}. It is tried again every "
            f"hour. Make one by "
            f"hand with: renewal-watch db backup FILE"
        )


class BackupMade(Facts, frozen=True):
    """The end of ``backup_failed``."""

    file: str

    def words(self) -> Words:
        return "the database is backed up again", f"A backup was made and checked: {plain(self.file)}. Nothing to do."


class DaemonLost(Facts, frozen=True):
    """A daemon that shares the database is gone; ``others`` are the machines whose daemons live."""

    host: str
    pid: int
    seen_at: datetime
    others: tuple[str, ...]

    def words(self) -> Words:
        name = f"{plain(self.host)} (process {self.pid})"
        left = ", ".join(sorted(map(plain, self.others)))
        return f"the daemon on {plain(self.host)} is gone", (
            f"The daemon on {name} was last heard of at {instant(self.seen_at)} and did not say that it ends. "
            f"Its work is done by what runs on {left}. See on {plain(self.host)}: journalctl -u renewal-watch"
        )


class DaemonBack(Facts, frozen=True):
    """The end of ``daemon_lost``."""

    host: str

    def words(self) -> Words:
        name = f"the daemon on {plain(self.host)}"
        return f"{name} is back", f"{name[0].upper()}{name[1:]} is back and shares the work again. Nothing to do."


class EnvironmentsInvalid(Facts, frozen=True):
    """A file of an environment, or their directory, cannot be used as it is."""

    file: str
    fault: str

    def words(self) -> Words:
        name = plain(self.file)
        return f"{name} cannot be used as it is", (
            f"{name} (environments_dir) cannot be used as it is: {plain(self.fault, 400)}. What was read of it before "
            f"goes on until "
            f"the service is restarted; what was never read is not watched. See: renewal-watch config check"
        )


class EnvironmentsMended(Facts, frozen=True):
    """The end of ``environments_invalid``."""

    file: str

    def words(self) -> Words:
        name = plain(self.file)
        return f"{name} is valid again", f"{name} (environments_dir) is valid again, or was removed. Nothing to do."


class Canary(Facts, frozen=True):
    """The simulated number's message."""

    number: str
    channel: str
    now: datetime

    def words(self) -> Words:
        return f"CANARY: channel {self.channel} works", (
            f"CANARY, nothing to do: the simulated number {self.number} went the whole way from a poll at "
            f"{instant(self.now)} to channel "
            f"{self.channel}. As long as this comes on its schedule, an alert would come as well."
        )


class CanaryFailed(Facts, frozen=True):
    """The simulated number did not arrive: alerts might not either."""

    channel: str
    at: datetime
    reason: str

    def words(self) -> Words:
        return f"the canary did not reach channel {self.channel}", (
            f"The canary of {instant(self.at)} did not reach channel {self.channel}: {plain(self.reason, 400)}. An alert "
            f"might not have "
            f"reached it either. Look at: renewal-watch alerts, renewal-watch doctor"
        )


class CanaryArrived(Facts, frozen=True):
    """The end of ``canary_failed``."""

    channel: str
    at: datetime

    def words(self) -> Words:
        return (
            "the canary arrives again",
            f"The canary reached channel {self.channel} at {instant(self.at)}. Nothing to do.",
        )
