"""What is done while the database is out of reach: the log says so, and after a while people are told past it."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from renewal_watch.alerts.facts import service_facts
from renewal_watch.channels.direct import message_of
from renewal_watch.channels.pager import Pager
from renewal_watch.channels.senders import sender_of
from renewal_watch.clock import utc_now
from renewal_watch.errors import StoreError
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.settings.channel import Channel

log = logging.getLogger(__name__)

BLIND_AFTER_S = 600.0  # an unwritable database for so long is told without it
REPEAT_S = 60.0  # how often the log says that the database fails: a thousand environments may each meet it


class Trouble:
    """``since``: the monotonic time at which the database was first out of reach, None while it is not."""

    def __init__(self, channels: Callable[[], Sequence[Channel]], clock: Callable[[], datetime]) -> None:
        self._channels = channels
        self._clock = clock
        self.since: float | None = None
        self.is_told = False
        self._complained_at = -REPEAT_S
        self._told: Alert | None = None

    def cannot_write(self, error: StoreError, since: float | None = None) -> None:
        """The outbox is out of reach, so after a while people are told past it, once."""
        self.complain(error)
        now = time.monotonic()
        if self.since is None:
            self.since = now if since is None else since
        if now - self.since >= BLIND_AFTER_S and not self.is_told:
            self.is_told = True
            threading.Thread(target=self.tell_directly, args=(str(error),), name="direct", daemon=True).start()

    def can_write(self) -> None:
        """The database does what it is asked again."""
        if self.since is not None:
            log.info("the database can be used again")
        if self.is_told:
            threading.Thread(target=self.tell_over, name="direct", daemon=True).start()
        self.since = None
        self.is_told = False
        self._complained_at = -REPEAT_S

    def complain(self, error: StoreError) -> None:
        """Say in the log what the database says, but not for each of those that wait for it."""
        now = time.monotonic()
        is_new = now - self._complained_at >= REPEAT_S
        if is_new:
            self._complained_at = now
        log.log(logging.ERROR if is_new else logging.DEBUG, "%s", error)

    def tell_directly(self, fault: str) -> None:
        """Tell every channel, whatever its settings say, without the database."""
        message_id = f"rw-{secrets.token_hex(5)}"
        try:
            now = self._clock()
        except StoreError:  # whose time it never read
            now = utc_now()
        facts = service_facts.DatabaseAway(socket.gethostname(), fault)
        alert = service_facts.of_the_watch("watch.stale", Severity.critical, now.isoformat(), facts)
        self._told = alert
        for channel in self._channels():
            sender = sender_of(channel, lambda: now)
            try:
                sender.send(partial(message_of, alert, channel, message_id, now))
            except Exception as error:  # noqa: BLE001 (the last resort must try every channel)
                log.error("channel=%s could not be told directly: %s", channel.name, error)  # noqa: TRY400
            finally:
                sender.close()

    def tell_over(self) -> None:
        """On-call services opened an incident of what they were told directly: it is over."""
        alert, self._told = self._told, None
        now = utc_now()
        if alert is None:
            return
        for channel in self._channels():
            sender = sender_of(channel, lambda: now)
            if not isinstance(sender, Pager):
                continue
            try:
                sender.end(partial(message_of, alert, channel, "", now))
            except Exception as error:  # noqa: BLE001 (every channel is tried)
                log.error("channel=%s could not be told that it is over: %s", channel.name, error)  # noqa: TRY400
            finally:
                sender.close()
