"""The facts and the words of alerts about the service itself: channels, files, backups, daemons, the canary. Pure."""

from __future__ import annotations

from datetime import datetime

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.language import _, ngettext
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
        many = ngettext("{count} message waits for it.", "{count} messages wait for it.", self.waiting)
        said = _(
            "Channel {channel} has not taken a message for {length}: {error}.",
            channel=self.channel,
            length=span(self.now - self.since),
            error=plain(self.error).rstrip("."),
        )
        check = _("Check it with: {command}", command=f"renewal-watch test-channel {self.channel}")
        return _("channel {channel} is failing", channel=self.channel), f"{said} {many} {check}"


class ChannelGaveUp(Facts, frozen=True):
    """Messages that a channel will not be offered again by itself."""

    channel: str
    given_up: int
    error: str

    def words(self) -> Words:
        headline = ngettext(
            "channel {channel}: {count} message was given up",
            "channel {channel}: {count} messages were given up",
            self.given_up,
            channel=self.channel,
        )
        said = ngettext(
            "{count} message was never delivered on channel {channel} in 3 days of trying: {error}.",
            "{count} messages were never delivered on channel {channel} in 3 days of trying: {error}.",
            self.given_up,
            channel=self.channel,
            error=plain(self.error).rstrip("."),
        )
        todo = _("See them with: renewal-watch alerts --failed; send them again with: renewal-watch alerts retry")
        return headline, f"{said} {todo}"


class ChannelRecovered(Facts, frozen=True):
    """A failing channel takes messages again."""

    channel: str
    since: datetime
    now: datetime

    def words(self) -> Words:
        return (
            _("channel {channel} delivers again", channel=self.channel),
            _(
                "Channel {channel} delivers again after {length}.",
                channel=self.channel,
                length=span(self.now - self.since),
            ),
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


class InventoryInvalid(Facts, frozen=True):
    """The inventory cannot be used as it is; ``host`` is the machine that has it, where several watch."""

    fault: str
    host: str = ""

    def words(self) -> Words:
        said = _(
            "What could be read of it, and what was known before, holds. Check it with: renewal-watch config check"
        )
        fault = plain(self.fault, 400)
        if self.host:
            values = {"host": plain(self.host)}
            headline = _("the inventory on {host} cannot be read whole", **values)
            what = _("The inventory on {host} cannot be read whole: {fault}.", fault=fault, **values)
        else:
            headline = _("the inventory cannot be read whole")
            what = _("The inventory cannot be read whole: {fault}.", fault=fault)
        return headline, f"{what} {said}"


class InventoryMended(Facts, frozen=True):
    """The end of ``inventory_invalid``."""

    host: str = ""

    def words(self) -> Words:
        if self.host:
            return (
                _("the inventory on {host} is whole again", host=plain(self.host)),
                _("The inventory on {host} can be read whole again. Nothing to do.", host=plain(self.host)),
            )
        return _("the inventory is whole again"), _("The inventory can be read whole again. Nothing to do.")


class BackupFailed(Facts, frozen=True):
    """A backup that was due could not be made."""

    directory: str
    fault: str
    good_at: datetime | None

    def words(self) -> Words:
        good = _("The last good one is of {at}.", at=instant(self.good_at))
        last = good if self.good_at else _("There is none yet.")
        failed = _(
            "The backup into {directory} failed: {fault}.",
            directory=plain(self.directory),
            fault=plain(self.fault, 400),
        )
        todo = _("It is tried again every hour. Make one by hand with: renewal-watch db backup FILE")
        return _("the database is not backed up"), f"{failed} {last} {todo}"


class BackupMade(Facts, frozen=True):
    """The end of ``backup_failed``."""

    file: str

    def words(self) -> Words:
        return _("the database is backed up again"), _(
            "A backup was made and checked: {file}. Nothing to do.", file=plain(self.file)
        )


class DaemonLost(Facts, frozen=True):
    """A daemon that shares the database is gone; ``others`` are the machines whose daemons live."""

    host: str
    pid: int
    seen_at: datetime
    others: tuple[str, ...]

    def words(self) -> Words:
        return _("the daemon on {host} is gone", host=plain(self.host)), _(
            "The daemon on {host} (process {pid}) was last heard of at {at} and did not say that it ends. Its work is done by "
            "what runs on {others}. See on {host}: journalctl -u renewal-watch",
            host=plain(self.host),
            pid=self.pid,
            at=instant(self.seen_at),
            others=", ".join(sorted(map(plain, self.others))),
        )


class DaemonBack(Facts, frozen=True):
    """The end of ``daemon_lost``."""

    host: str

    def words(self) -> Words:
        return _("the daemon on {host} is back", host=plain(self.host)), _(
            "The daemon on {host} is back and shares the work again. Nothing to do.", host=plain(self.host)
        )


class EnvironmentsInvalid(Facts, frozen=True):
    """A file of an environment, or their directory, cannot be used as it is."""

    file: str
    fault: str

    def words(self) -> Words:
        name = plain(self.file)
        return _("{file} cannot be used as it is", file=name), _(
            "{file} (environments_dir) cannot be used as it is: {fault}. What was read of it before goes on until the service is "
            "restarted; what was never read is not watched. See: renewal-watch config check",
            file=name,
            fault=plain(self.fault, 400),
        )


class EnvironmentsMended(Facts, frozen=True):
    """The end of ``environments_invalid``."""

    file: str

    def words(self) -> Words:
        name = plain(self.file)
        return _("{file} is valid again", file=name), _(
            "{file} (environments_dir) is valid again, or was removed. Nothing to do.", file=name
        )


class Canary(Facts, frozen=True):
    """The simulated number's message."""

    number: str
    channel: str
    now: datetime

    def words(self) -> Words:
        return _("CANARY: channel {channel} works", channel=self.channel), _(
            "CANARY, nothing to do: the simulated number {number} went the whole way from a poll at {at} to channel {channel}. As "
            "long as this comes on its schedule, an alert would come as well.",
            number=self.number,
            at=instant(self.now),
            channel=self.channel,
        )


class CanaryFailed(Facts, frozen=True):
    """The simulated number did not arrive: alerts might not either."""

    channel: str
    at: datetime
    reason: str

    def words(self) -> Words:
        return _("the canary did not reach channel {channel}", channel=self.channel), _(
            "The canary of {at} did not reach channel {channel}: {reason}. An alert might not have reached it either. Look at: "
            "renewal-watch alerts, renewal-watch doctor",
            at=instant(self.at),
            channel=self.channel,
            reason=plain(self.reason, 400),
        )


class CanaryArrived(Facts, frozen=True):
    """The end of ``canary_failed``."""

    channel: str
    at: datetime

    def words(self) -> Words:
        return (
            _("the canary arrives again"),
            _(
                "The canary reached channel {channel} at {at}. Nothing to do.",
                channel=self.channel,
                at=instant(self.at),
            ),
        )


class DatabaseAway(Facts, frozen=True):
    """The database cannot be written, so that nothing else can be told."""

    host: str
    fault: str

    def words(self) -> Words:
        return _("renewal-watch cannot write its database"), _(
            "renewal-watch on {host} watches nothing: {fault}", host=self.host, fault=plain(self.fault, 400)
        )


class Forgotten(Facts, frozen=True):
    """What is left of an alert that was deleted after its retention."""

    alert_id: int

    def words(self) -> Words:
        said = _("alert {id} is not in the database any more", id=self.alert_id)
        return said, said


class Trial(Facts, frozen=True):
    """What ``test-channel`` sends, marked as a test."""

    channel: str

    def words(self) -> Words:
        return _("TEST of channel {channel}", channel=self.channel), _(
            "TEST: this is a test message of renewal-watch. If you can read it, channel {channel} works.",
            channel=self.channel,
        )
