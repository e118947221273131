"""What systemd is told, and the sockets that it hands over; nothing of it elsewhere.

The protocols are those of sd_notify(3) and sd_listen_fds(3).
"""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger(__name__)
_FIRST_FD = 3  # SD_LISTEN_FDS_START


class Systemd:
    """The few words that systemd wants to hear; silent elsewhere."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        watchdog = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(watchdog) / 1e6 if watchdog.isdigit() and mine else 0.0

    def say(self, *lines: str) -> None:
        """Send ``KEY=value`` lines. A failure is logged, not raised: systemd acts on the silence."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.connect(address)
                notify.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning("systemd cannot be told %s: %s", lines[0], error.strerror)


def given_sockets() -> list[socket.socket]:
    """The listening sockets that a socket unit hands over, none without one. They are taken once."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count.isdigit() or pid != str(os.getpid()):
        return []
    found = []
    for descriptor in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 (the name of the function says what)
        found.append(socket.socket(fileno=descriptor))
    return found
