"""Runs the application: on an address, a unix socket, or the sockets that systemd hands over; until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType

import anyio.to_thread
import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from renewal_watch.config.loading import load
from renewal_watch.errors import CannotServe, ConfigError
from renewal_watch.settings.web import Web
from renewal_watch.settings.whole import Settings
from renewal_watch.systemd import Systemd, given_sockets
from renewal_watch.text import REDACTOR
from renewal_watch.web.access.passwords import PasswordHash
from renewal_watch.web.app import build
from renewal_watch.web.gate import Gate
from renewal_watch.web.state import State

log = logging.getLogger(__name__)
THREADS = 8  # requests that are worked on at once
CONNECTIONS = 200  # more are told to come again
REQUEST_S = 10  # in which a request has to be whole
READING_S = 30  # in which a client has to read on
STOP_S = 5  # what is under way at SIGTERM may end by itself this long
_BACKLOG = 128


def serve(settings: Settings, clock: Callable[[], datetime], say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    ``say`` is given the address when it can be opened. Raises ConfigError for pages that others could reach without a
    password, CannotServe for an address that cannot be listened on.
    """
    web = settings.web
    if web.password_path is not None:
        PasswordHash.read(web)  # a fault of it is said now, not to the first who logs in
    web.read_calendar_secret()
    web.read_key()
    with contextlib.ExitStack() as stack:
        sockets = given_sockets() or [stack.enter_context(_opened(web))]
        exposed = [one for one in sockets if not _is_local(one)]
        if exposed and not settings.can_sign_in:
            msg = (
                f"the socket {_called(exposed[0])} that systemd gave can be reached from other machines, which needs "
                f"web.password_file, [oidc] or web.user_header; make a password with: renewal-watch web password FILE"
            )
            raise ConfigError([msg])
        state = State(settings, clock, is_exposed=bool(exposed))
        stack.callback(state.close)
        stack.enter_context(_reloading(state))
        places = [_called(one) for one in sockets]
        _Server(configured(build(state)), lambda: say(f"the pages are at {' and '.join(places)}")).run(sockets)


def configured(app: Gate) -> uvicorn.Config:
    """How the application is served: no line of its own in the log, no trust in what a proxy says, bounded."""
    return uvicorn.Config(
        app,
        http=_Connection,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=CONNECTIONS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=STOP_S,
    )


class _Connection(H11Protocol):
    """A connection that may not stay for nothing: its request has to come, and what is sent has to be read, in time.

    Uvicorn itself only ends one that is silent between two requests (as of 0.54).
    """

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(REQUEST_S)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.flow.write_paused:  # what is sent has to be read first
            return
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):  # the request is whole, or there will be none
            self._wait(None)
        elif self._due is None:
            self._wait(REQUEST_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait(READING_S)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wait(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        super().connection_lost(exc)

    def _wait(self, seconds: float | None) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class _Server(uvicorn.Server):
    """Says when it can be reached, to systemd as well."""

    def __init__(self, settings: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(settings)
        self._started = started
        self._systemd = Systemd()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await super().startup(sockets)
        self._systemd.say("READY=1", "STATUS=serving")
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what is under way end."""
        self._systemd.say("STOPPING=1")
        await super().shutdown(sockets)


# --- sockets ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(web: Web) -> Iterator[socket.socket]:
    """The socket that ``listen`` names. Raises CannotServe."""
    path = web.socket_path
    if path is not None:
        with _unix(path) as found:
            yield found
        return
    host, port = web.address
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, protocol, _, address = places[0]
        # Named, not 0: asyncio switches Nagle's algorithm off only for a socket whose protocol says TCP, and with it
        # each answer on a kept connection waits some 40 ms for the client's delayed acknowledgement.
        found = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise CannotServe(_why(web, error)) from None
    with found:
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(_BACKLOG)
        except OSError as error:
            raise CannotServe(_why(web, error)) from None
        yield found


def _why(web: Web, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{web.listen} is in use by another program; stop it, or give the pages another address: listen in [web]"
    return f"the pages cannot listen on {web.listen}: {error.strerror}; change listen in [web]"


@contextlib.contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    """A socket in the file system for its owner and group; what a dead process left there is replaced."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as found:
        try:
            _remove_stale(path)
            before = os.umask(0o117)
            try:
                found.bind(str(path))
            finally:
                os.umask(before)
            found.listen(_BACKLOG)
            mine = path.stat()
        except OSError as error:
            msg = f"the pages cannot listen on {path}: {error.strerror or error}; change listen in [web]"
            raise CannotServe(msg) from None
        try:
            yield found
        finally:
            with contextlib.suppress(OSError):
                now = path.lstat()
                if (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino):
                    path.unlink()


def _remove_stale(path: Path) -> None:
    """Make room for a socket. Raises CannotServe where something lives there."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            msg = f"{path} is there and is no socket; remove it, or change listen in [web]"
            raise CannotServe(msg)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    msg = f"{path} is in use by another program; stop it, or change listen in [web]"
    raise CannotServe(msg)


def _is_local(one: socket.socket) -> bool:
    """Whether only this machine reaches a socket."""
    return one.family == socket.AF_UNIX or ipaddress.ip_address(one.getsockname()[0].partition("%")[0]).is_loopback


def _called(one: socket.socket) -> str:
    name = one.getsockname()
    if one.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


# --- signals ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _reloading(state: State) -> Iterator[None]:
    """SIGHUP reads the configuration again; a wrong one is refused and the old one stays. SIGTERM ends with 0."""

    def reload(number: int, frame: FrameType | None) -> None:
        del number, frame
        try:
            fresh = load(state.settings.path)
            if fresh.web.listen != state.settings.web.listen:
                log.warning("web.listen changed; it takes effect when the pages are started again")
            if state.is_exposed and not fresh.can_sign_in:
                raise ConfigError(["web.password_file: it is needed as long as other machines reach the pages"])
            state.adopt(fresh)
        except ConfigError as error:
            log.error("reload refused, the old settings stay: %s", REDACTOR.clean(str(error)))  # noqa: TRY400
        else:
            log.info("reloaded")

    def ended(number: int, frame: FrameType | None) -> None:
        """Uvicorn raises the signal again when all is done; by then there is nothing left to end."""
        del number, frame

    handlers: Sequence[tuple[int, Callable[[int, FrameType | None], None]]] = (
        (signal.SIGHUP, reload),
        (signal.SIGTERM, ended),
        (signal.SIGINT, ended),
    )
    before = [(number, signal.signal(number, handler)) for number, handler in handlers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
