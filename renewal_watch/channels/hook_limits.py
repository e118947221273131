"""What a command and a webhook share."""

from __future__ import annotations

from renewal_watch.channels.limits import Limits

GRACE_S = 1.0  # from TERM to KILL
KEPT = 16_384  # bytes of a command's output, the last ones
SAID = 300  # characters of it in an error
MOST = 65_536  # bytes of an answer that is an error
UNBOUNDED = Limits(body=0, title=0)  # a hook is told all
