"""One HTTP request that ends in time and takes nothing from the environment, whatever the other side does.

``timeout`` of requests bounds each wait for bytes, not the whole: an answer that drips never ends. So a request runs in a
thread of its own, and its connection is cut from outside, in any phase, when its time is over. No redirects: what is sent
is for one address only. No retries: they belong to the schedule. No netrc, no proxy variables, no other CA bundle.
"""

from __future__ import annotations

import contextlib
import email.utils
import math
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from renewal_watch import __version__
from renewal_watch.text import plain

Session = requests.Session
_CHUNK = 256 * 1024  # bytes read at a time
_LOOK_S = 0.2  # how often a request is asked whether it is to end before its time


class Unanswered(Exception):
    """There is no whole answer; a sentence without address, query or header. ``reason`` is its end, after the host."""

    def __init__(self, said: str, reason: str = "") -> None:
        super().__init__(said)
        self.reason = reason or said


class TooLarge(Unanswered):
    """The answer unpacks to more than was allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: status, headers in any case, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytearray


def session(proxy: str | None = None, ca_file: str | None = None) -> requests.Session:
    """What requests are made with; for one thread at a time. Raises Unanswered."""
    if ca_file:
        try:
            ssl.create_default_context(cafile=Path(ca_file).expanduser())
        except (OSError, ValueError) as error:
            msg = f"ca_file {plain(ca_file)} cannot be used: {reason(error)}"
            raise Unanswered(msg) from None
    made = requests.Session()
    made.trust_env = False
    made.mount("http://", _Adapter(max_retries=0))
    made.mount("https://", _Adapter(max_retries=0))
    if proxy:
        made.proxies = {"http": proxy, "https": proxy}
    made.verify = str(Path(ca_file).expanduser()) if ca_file else True
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked, and within which bounds: ``deadline`` for all of it, ``max_bytes`` of the unpacked answer.

    Without ``is_whole`` the body of a 2xx is not read, and that of any other status not beyond ``max_bytes``.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    deadline: timedelta
    max_bytes: int
    body: bytes | None = None
    is_whole: bool = True


def ask(using: requests.Session, request: Request, is_stopped: Callable[[], bool] = lambda: False) -> Answer:
    """The answer, in time whatever drips. ``is_stopped`` is asked several times a second. Raises Unanswered."""
    result: list[Answer | Unanswered] = []
    wire = _Wire()

    def work() -> None:
        _HERE.wire = wire
        try:
            result.append(_exchange(using, request, wire))
        except Unanswered as error:
            result.append(error)
        finally:
            wire.close()

    thread = threading.Thread(target=work, name="renewal-watch-request", daemon=True)
    thread.start()
    ends = time.monotonic() + request.deadline.total_seconds()
    while thread.is_alive() and not is_stopped() and (left := ends - time.monotonic()) > 0:
        thread.join(min(left, _LOOK_S))
    if not result:
        if time.monotonic() >= ends:
            why = f"it did not answer whole within {request.deadline.total_seconds():g} s"
        else:  # stopped, or it fell over a fault of our own, which is on standard error
            why = "the request ended without an outcome"
        wire.cut()
        msg = f"{host(request.url)} cannot be read: {why}"
        raise Unanswered(msg, why)
    if isinstance(result[0], Unanswered):
        raise result[0]
    return result[0]


def _exchange(using: requests.Session, request: Request, wire: _Wire) -> Answer:
    try:
        with _begin(using, request, wire) as response:
            return Answer(status=response.status_code, headers=response.headers, body=_body(response, request, wire))
    except requests.exceptions.SSLError as error:
        why = reason(error)
        msg = f"the TLS connection to {host(request.url)} cannot be trusted: {why}"
        raise Unanswered(msg, f"its TLS connection cannot be trusted: {why}") from None
    except requests.exceptions.ProxyError as error:
        msg = f"the proxy does not work: {reason(error)}"
        raise Unanswered(msg) from None
    except (requests.exceptions.RequestException, HTTPError, OSError, ValueError, MemoryError) as error:
        # The exception of requests carries the address with its query and the headers: only its kind goes on.
        why = reason(error)
        msg = f"{host(request.url)} cannot be read: {why}"
        raise Unanswered(msg, why) from None


def _body(response: requests.Response, request: Request, wire: _Wire) -> bytearray:
    body = bytearray()
    if 200 <= response.status_code < 300 and not request.is_whole:  # noqa: PLR2004
        return body
    for chunk in response.iter_content(_CHUNK if request.is_whole else 4096):
        body += chunk
        if len(body) > request.max_bytes and request.is_whole:
            msg = f"the answer unpacks to more than {request.max_bytes / 2**20:g} MiB"
            raise TooLarge(msg)
        if wire.is_cut or len(body) > request.max_bytes:
            break
    return body


def _begin(using: requests.Session, request: Request, wire: _Wire) -> requests.Response:
    """The answer as far as its headers; a GET is asked once more where the server had ended a kept connection."""

    def begin() -> requests.Response:
        return using.request(
            request.method,
            request.url,
            headers={"User-Agent": f"renewal-watch/{__version__}", **request.headers},
            data=request.body,
            timeout=request.deadline.total_seconds() + 1,  # of a single wait; the cut comes before
            allow_redirects=False,
            stream=True,
        )

    try:
        return begin()
    except requests.exceptions.ConnectionError as error:
        is_stale = wire.is_reused and not wire.is_cut and isinstance(_innermost(error), ConnectionError)
        if not is_stale or request.method != "GET":
            raise
    return begin()


# --- sockets ----------------------------------------------------------------------------------------------------------


class _Wire:
    """The connections of one request, to be cut from outside in any phase, the TLS handshake included.

    It holds duplicates of the sockets: the handshake takes the original away from whoever has it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._twins: list[socket.socket] = []
        self.is_cut = False
        self.is_reused = False  # the last connection was kept alive from a page before

    def hold(self, sock: Any, *, reused: bool) -> None:
        """Take a connection in; one that comes after the cut is cut at once."""
        twin = socket.socket(fileno=os.dup(sock.fileno()))
        with self._lock:
            self.is_reused = reused
            self._twins.append(twin)
            if self.is_cut:
                _shut(twin)

    def cut(self) -> None:
        """End whatever is being sent or received."""
        with self._lock:
            self.is_cut = True
            for twin in self._twins:
                _shut(twin)

    def close(self) -> None:
        """Give the duplicates back; the connections themselves live on."""
        with self._lock:
            for twin in self._twins:
                twin.close()
            self._twins.clear()


_HERE = threading.local()  # .wire: the request that is made in this thread


class _Http(HTTPConnection):
    wire: _Wire | None = None  # the request that holds this connection

    def _new_conn(self) -> socket.socket:
        return _held(self, super()._new_conn())

    def request(self, *args: Any, **kwargs: Any) -> None:
        _held_again(self)
        super().request(*args, **kwargs)


class _Https(HTTPSConnection):
    wire: _Wire | None = None

    def _new_conn(self) -> socket.socket:
        return _held(self, super()._new_conn())

    def _tunnel(self) -> None:
        """Through a proxy. ``http.client`` goes on after an answer that broke off, and ``ssl`` may leave its socket open."""
        super()._tunnel()
        with contextlib.suppress(BlockingIOError):  # nothing more came, and it stands
            if not self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                self.close()
                raise OSError(0, "its answer broke off")

    def request(self, *args: Any, **kwargs: Any) -> None:
        _held_again(self)
        super().request(*args, **kwargs)


def _held(connection: _Http | _Https, sock: socket.socket) -> socket.socket:
    connection.wire = _HERE.wire
    _HERE.wire.hold(sock, reused=False)
    return sock


def _held_again(connection: _Http | _Https) -> None:
    """A connection kept alive from the page before does not connect again."""
    if connection.sock is not None and connection.wire is not _HERE.wire:
        connection.wire = _HERE.wire
        _HERE.wire.hold(connection.sock, reused=True)


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """Connections that can be cut from outside; no retries, they belong to the schedule."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # the pools of a SOCKS proxy are what leads through it
            manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):  # it may have ended by itself meanwhile
        one.shutdown(socket.SHUT_RDWR)


# --- words and headers ------------------------------------------------------------------------------------------------


def host(url: str) -> str:
    """The host of an address, with its port; empty where it has none or is no address."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def seconds(value: object, now: datetime) -> float | None:
    """How many seconds from ``now`` a header such as ``Retry-After`` means: a count, a date, or a Unix time."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(str(value))
    except ValueError:
        try:
            return (email.utils.parsedate_to_datetime(str(value)) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    if not math.isfinite(number):
        return None
    if number > 1e11:  # noqa: PLR2004
        number /= 1000
    return number - now.timestamp() if number > 366 * 86_400 else number


def _innermost(error: BaseException) -> BaseException:
    """What began it: requests and urllib3 wrap an error as an argument, a ``reason`` or a cause."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = (*error.args, getattr(error, "reason", None), error.__cause__)
        error = next((one for one in inner if isinstance(one, BaseException)), error)
    return error


_PLAIN_WORDS = {
    "IncompleteRead": "the answer was cut on the way",
    "ProtocolError": "the answer was cut on the way",
    "RemoteDisconnected": "the connection was closed without an answer",
    "TimeoutError": "timed out",
    "ValueError": "the answer holds what cannot be read",  # an address to go on to that is none
    "error": "the answer cannot be unpacked",  # zlib.error
}


def reason(error: BaseException) -> str:
    """The innermost reason of an exception in a few words; addresses and headers stay in the outer exceptions."""
    error = _innermost(error)
    name = type(error).__name__
    words = error.strerror if isinstance(error, OSError) else None
    words = words or str(error).partition("Tunnel connection failed: ")[2]  # http.client, of a proxy and its status
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().removesuffix(" error")
    return plain(words or _PLAIN_WORDS.get(name, spaced))
