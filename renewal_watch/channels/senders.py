"""Which sender a channel has: Apprise, a command, a webhook or an on-call service; and whether each would work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Protocol

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.channels.command import CommandHook, command_fault
from renewal_watch.channels.limits import Limits
from renewal_watch.channels.pager import Pager
from renewal_watch.channels.webhook import WebhookHook
from renewal_watch.errors import ConfigError
from renewal_watch.model.alerts import Message
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.values import duration
from renewal_watch.settings.whole import Settings

AT_ONCE = 12  # channels that send side by side, each with a process of some 35 MB; a unit has 1 GiB


class Sender(Protocol):
    """One channel. For one thread at a time; only ``stop`` may come from another."""

    def send(self, render: Callable[[Limits], Message]) -> str | None:
        """Deliver or raise ChannelError; where it went, without what is secret."""

    def close(self) -> None:
        """Give back what is held between two sends; it can be used again."""

    def stop(self) -> None:
        """End a send under way; no further one is begun."""


def sender_of(channel: Channel, clock: Callable[[], datetime]) -> Sender:
    """The sender that the settings describe; ``clock`` stands in what is posted."""
    if channel.command is not None:
        return CommandHook(channel.name, channel.command, duration(channel.timeout))
    if channel.is_webhook:
        return WebhookHook(
            channel.name,
            channel.read_webhook,
            channel.read_key,
            duration(channel.timeout),
            clock,
            proxy=channel.proxy,
            ca_file=channel.ca_file,
        )
    if channel.is_oncall:
        return Pager(channel, clock)
    return AppriseChannel(channel.name, channel.read_url)


def channel_faults(settings: Settings) -> list[str]:
    """What keeps channels from working, a sentence each; an Apprise URL is tried in the process that would send."""
    with ThreadPoolExecutor(AT_ONCE) as pool:  # each starts a process of its own
        return [fault for faults in pool.map(faults_of, settings.channels) for fault in faults]


def faults_of(channel: Channel) -> tuple[str, ...]:
    """What keeps one channel from working. Nothing is sent."""
    if channel.command is not None:
        fault = command_fault(channel.command)
        return (f"channels.{channel.name}.command: {fault}",) if fault else ()
    if channel.is_hook:
        reads = [channel.read_webhook, channel.read_key]
        if channel.is_oncall:
            reads = [channel.read_address, channel.read_service_key]
        try:
            for read in reads:
                read()
        except ConfigError as error:
            return error.faults
        return ()
    sender = AppriseChannel(channel.name, channel.read_url)
    try:
        limits = sender.limits()
        if channel.format == "html" and limits.html_as == "markdown":  # Apprise turns it, with marks that show
            return (f"channels.{channel.name}.format: this service shows no HTML; write markdown or text",)
    except ConfigError as error:
        return error.faults
    finally:
        sender.close()
    return ()
