"""One alert as a channel is shown alerts, without a database: a test message, and the last resort."""

from __future__ import annotations

from datetime import datetime

from renewal_watch.channels.limits import Limits
from renewal_watch.language import in_language
from renewal_watch.model.alerts import Alert, Message
from renewal_watch.notify.message import wording
from renewal_watch.notify.message.render import render
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel


def message_of(
    alert: Alert, channel: Channel, message_id: str, now: datetime, limits: Limits, *, is_test: bool = False
) -> Message:
    """In the channel's language and format; for a hook as JSON."""
    with in_language(channel.language):
        if channel.is_hook:
            return wording.event(
                alert, channel, Routing(), message_id=message_id, alert_id=None, found_at=now, is_test=is_test
            )
        return render(
            message_id,
            [alert],
            created_at=now,
            now=now,
            body_limit=limits.body,
            title_limit=limits.title,
            form=channel.format,
            is_mail=limits.is_mail,
        )
