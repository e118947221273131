"""What commands, webhooks and on-call services share."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urljoin

from renewal_watch.channels.limits import Limits
from renewal_watch.errors import ChannelError
from renewal_watch.provider import http
from renewal_watch.text import plain

GRACE_S = 1.0  # from TERM to KILL
KEPT = 16_384  # bytes of a command's output, the last ones
SAID = 300  # characters of it in an error
MOST = 65_536  # bytes of an answer that is an error
UNBOUNDED = Limits(body=0, title=0)  # a hook is told all


def refused(answer: http.Answer, url: str, said: str, now: datetime) -> ChannelError:
    """What an answer other than 2xx means: ``said``, or where it would have been sent on to; and how long to leave it alone."""
    if 300 <= answer.status < 400:  # noqa: PLR2004
        host = http.host(url)
        target = plain(http.host(urljoin(url, str(answer.headers.get("Location", "")))))
        said = (
            f"HTTP {answer.status}: {host} sends it on to {target}, which is not followed; write the address it ends at"
        )
    wait = http.seconds(answer.headers.get("Retry-After"), now)
    return ChannelError(said, retry_after=None if wait is None or wait <= 0 else timedelta(seconds=min(wait, 1e6)))
