"""An HTTP server on loopback that misbehaves on the bytes: whatever a handler sends goes out as it is.

A handler is given the request and the line. What it returns is sent and the connection kept; after None it is closed.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

DRIP_S = 0.02  # between two bytes of a drip


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    target: str
    headers: dict[str, str]  # names in lower case

    @property
    def query(self) -> dict[str, str]:
        """The parameters, unescaped."""
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def page(self) -> int:
        """The page asked for."""
        return int(self.query.get("page", "1"))


@dataclass(slots=True)
class Line:
    """The connection, in the hands of a handler."""

    socket: socket.socket
    over: threading.Event  # the server ends
    is_closed: bool = False

    def send(self, data: bytes) -> None:
        """Send now; ends the handler quietly when the client is gone."""
        try:
            self.socket.sendall(data)
        except OSError:
            raise HungUp from None

    def drip(self, data: bytes) -> None:
        """Send ``data`` over and over, byte by byte, until the client gives up."""
        while True:
            for byte in data:
                self.send(bytes((byte,)))
                if self.over.wait(DRIP_S):
                    raise HungUp

    def hang(self) -> None:
        """Say nothing until the client gives up."""
        with contextlib.suppress(OSError):
            while self.socket.recv(4096):
                pass
        raise HungUp

    def reset(self) -> None:
        """End with RST in place of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise HungUp


class HungUp(Exception):
    """The connection has ended."""


Handler = Callable[[Request, Line], bytes | None]


def answer(body: object = None, status: int = 200, *, length: int | None = None, **headers: str) -> bytes:
    """A whole answer: bytes as they are, anything else as JSON; ``length`` lies about its length."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(content) if length is None else length)}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("latin-1") + b"\r\n" + content


def documented(*entries: object, **more: Any) -> bytes:
    """The documented answer with these entries."""
    return answer({"success": True, "data": list(entries)} | more)


@dataclass
class FaultServer:
    """Serves until ``with`` ends; ``requests`` are those that came whole, ``connections`` counts the accepted ones."""

    handler: Handler
    tls: ssl.SSLContext | None = None
    before: Callable[[Line], None] | None = None  # speaks first, in place of reading a request
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def base_url(self) -> str:
        """What goes into the client."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/api/v1"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                self.connections += 1
                self._open.add(taken)
                self._run(self._serve, taken)

    def _serve(self, taken: socket.socket) -> None:
        try:
            with contextlib.suppress(HungUp, OSError):
                if self.tls:
                    self._open.discard(taken)
                    taken = self.tls.wrap_socket(taken, server_side=True)
                    self._open.add(taken)
                line = Line(taken, self._over)
                if self.before:
                    self.before(line)
                with taken.makefile("rb") as incoming:
                    while (request := _read(incoming)) is not None:
                        self.requests.append(request)
                        said = self.handler(request, line)
                        if said is None:
                            break
                        line.send(said)
        finally:
            self._open.discard(taken)
            taken.close()


def _read(incoming: Any) -> Request | None:
    first = incoming.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (text := incoming.readline().decode("latin-1").strip()) != "":
        name, _, value = text.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(first[1], headers)
