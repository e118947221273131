"""A channel that is a command of the administrator's."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from renewal_watch.channels import hook_limits
from renewal_watch.channels.hook_limits import KEPT, SAID, UNBOUNDED
from renewal_watch.channels.limits import Limits
from renewal_watch.channels.targets import target_of_command
from renewal_watch.errors import ChannelError
from renewal_watch.model.alerts import Message
from renewal_watch.text import REDACTOR, plain

_LOOK_S = 0.05  # how often is looked whether a command ended that closed its output, or keeps it open in a child
_PART = 65_536  # bytes that are read at a time
_PIPE = 2**20  # bytes that a pipe holds at most (pipe(7), pipe-max-size)
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "HOME")
_PATH = "/usr/local/bin:/usr/bin:/bin"
# Python ignores SIGPIPE, and may set LC_CTYPE for itself; neither is the command's business.
_RUN = """
import os, signal, sys
for one in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(one, signal.SIG_DFL)
os.environ.pop("LC_CTYPE", None)
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    os.write(2, f"it cannot be run: {error.strerror}".encode())
    os._exit(126)
"""


class CommandHook:
    """A command. For one thread at a time; only ``stop`` may come from another."""

    def __init__(self, name: str, command: Sequence[str], timeout: timedelta) -> None:
        self.name = name
        self._command = tuple(command)
        self._timeout_s = timeout.total_seconds()
        self._stopped = threading.Event()

    def send(self, render: Callable[[Limits], Message]) -> str:
        """Run it once with what ``render`` gives; which command. Raises ChannelError unless it ended in time with status 0."""
        body = render(UNBOUNDED).body.encode()
        fault = command_fault(self._command)
        if fault:
            raise ChannelError(fault)
        if self._stopped.is_set():
            msg = "the channel is being closed"
            raise ChannelError(msg)
        alarm_s = self._timeout_s + hook_limits.GRACE_S + 1  # a living parent was to end it before
        try:
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _RUN, str(alarm_s), *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env=_environment(json.loads(body)),
                bufsize=0,
            )
        except OSError as error:
            msg = f"a process cannot be started: {error.strerror}"
            raise ChannelError(msg) from None
        with child:
            said = bytearray()
            in_time = self._attend(child, body + b"\n", said)
        self._judge(child.returncode, in_time=in_time, output=bytes(said))
        return target_of_command(self._command)

    def stop(self) -> None:
        """End a run under way from another thread; no further one is started."""
        self._stopped.set()

    def close(self) -> None:
        """Nothing stays between two runs."""

    def _attend(self, child: subprocess.Popen[bytes], question: bytes, said: bytearray) -> bool:
        """Give the command its input and take its output until it ended, by itself or by us; whether it was in time."""
        pipes = _Pipes(child, question, said)
        try:
            in_time = pipes.follow(self._timeout_s, self._stopped.is_set)
            if not in_time:
                _kill(child, signal.SIGTERM)
                pipes.follow(hook_limits.GRACE_S, lambda: False)
        finally:
            _kill(child, signal.SIGKILL)  # before it is reaped: until then nobody else has the number of its group
            child.wait()
        pipes.drain()
        return in_time

    def _judge(self, status: int, *, in_time: bool, output: bytes) -> None:
        if in_time and status == 0:
            return
        if self._stopped.is_set() and not in_time:
            why = "it was ended before its outcome was known"
        elif not in_time:
            why = f"it did not end within {self._timeout_s:g} s and was killed"
        elif status < 0:
            why = f"it was ended by {_signal(-status)}"
        else:
            why = f"exit status {status}"
        words = REDACTOR.clean(output.decode("utf-8", "replace")).strip()[-SAID:]  # the end says what went wrong
        raise ChannelError(": ".join(filter(None, (why, plain(words, SAID)))))


class _Pipes:
    """Standard input and output of a running command; neither can make us wait."""

    def __init__(self, child: subprocess.Popen[bytes], question: bytes, said: bytearray) -> None:
        assert child.stdin is not None  # noqa: S101 (pipes were asked for)
        assert child.stdout is not None  # noqa: S101
        self._child = child
        self._into, self._out = child.stdin, child.stdout
        self._rest = question
        self._said = said
        self._poll = select.poll()
        for pipe, event in ((self._into, select.POLLOUT), (self._out, select.POLLIN)):
            os.set_blocking(pipe.fileno(), False)
            self._poll.register(pipe.fileno(), event)

    def follow(self, seconds: float, is_stopped: Callable[[], bool]) -> bool:
        """Read and write until the command ended; False when its time was over before."""
        ends = time.monotonic() + seconds
        while not _has_ended(self._child):
            left = ends - time.monotonic()
            if left <= 0 or is_stopped():
                return False
            for descriptor, _ in self._poll.poll(min(left, _LOOK_S) * 1000):
                if not self._into.closed and descriptor == self._into.fileno():
                    self._write()
                elif not self._read():
                    self._poll.unregister(descriptor)
        return True

    def drain(self) -> None:
        """What is left in the pipe; a child that made itself independent may keep it open, and fill it without an end."""
        for _ in range(_PIPE // _PART):
            if not self._read():
                return

    def _write(self) -> None:
        try:
            self._rest = self._rest[os.write(self._into.fileno(), self._rest) :]
        except BlockingIOError:
            return
        except OSError:  # it does not read its input, which is its right
            self._rest = b""
        if not self._rest:
            self._poll.unregister(self._into.fileno())
            self._into.close()

    def _read(self) -> bool:
        """Whether there may be more. Only the end of what is printed is kept."""
        try:
            part = os.read(self._out.fileno(), _PART)
        except OSError:
            return False
        self._said += part
        del self._said[:-KEPT]
        return bool(part)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it ended; it is not reaped yet."""
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(OSError):  # nobody of the group may be left, or all of it belongs to others by now
        os.killpg(child.pid, number)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environment(event: Mapping[str, Any]) -> dict[str, bytes]:
    """What a command finds in its environment: how to find programs and a language, what it is about, no secret."""
    ours = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept = {"PATH": _PATH} | {name: value for name, value in ours.items() if REDACTOR.clean(value) == value}
    told = {
        f"RENEWAL_WATCH_{name.upper()}": str(event[name] or "")
        for name in ("kind", "severity", "environment", "number", "number_id", "message_id")
    }
    told["RENEWAL_WATCH_TEST"] = "1" if event["test"] else ""
    return {name: value.replace("\0", "").encode("utf-8", "replace") for name, value in (kept | told).items()}


def command_fault(command: Sequence[str]) -> str | None:
    """Why a command cannot be run, None if it can."""
    path = Path(command[0])
    try:
        if path.is_dir():
            return f"{path} is a directory, not a command"
        if not path.exists():
            return f"there is no command {path}"
    except OSError as error:
        return f"{path} cannot be reached: {error.strerror}"
    if not os.access(path, os.X_OK):
        return f"{path} cannot be run by this user; run: chmod +x {path}"
    return None
