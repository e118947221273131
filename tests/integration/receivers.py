"""What messages are sent to: HTTP and SMTP servers on loopback that remember what reached them, and can misbehave.

The HTTP server is a proxy as well: given a certificate it ends the tunnel to any host by itself, so that a channel
which knows only its service's real address (Slack, Discord, Telegram) is tested whole, TLS and all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as modern
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from aiosmtpd.smtp import SMTP

PATIENCE_S = 90.0  # how long a test waits for what must come


@dataclass(frozen=True)
class Request:
    """One request that arrived whole."""

    method: str
    host: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the server does with a request; ``how`` is ``whole``, ``drip``, ``hang`` or ``reset``."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    how: str = "whole"


OK = Answer()


class _Handler(BaseHTTPRequestHandler):
    server: HttpReceiver
    timeout = PATIENCE_S
    protocol_version = "HTTP/1.1"
    tunnel_to = ""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_CONNECT(self) -> None:
        assert self.server.tls is not None
        self.tunnel_to = self.path
        self.send_response_only(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.tunnel_to, self.path, dict(self.headers.items()), body)
        self.server.requests.append(request)
        self.server.arrivals.put(request)
        answer = self.server.answer(request)
        self.close_connection = True
        if answer.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if answer.how == "hang":
            self.server.closing.wait(PATIENCE_S)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.how == "drip":
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                if self.server.closing.wait(0.05):
                    return
        else:
            self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST  # noqa: N815 (the standard library's names)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.connection.close()


class HttpReceiver(ThreadingHTTPServer):
    """Remembers every request; ``answer`` may be replaced at any time."""

    daemon_threads = False  # closing waits for them: nothing of one test runs on in the next
    ok: ClassVar[Answer] = OK

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = tls
        self.proxy = f"http://127.0.0.1:{self.server_address[1]}"
        self.port = int(self.server_address[1])
        self.requests: list[Request] = []
        self.arrivals: queue.Queue[Request] = queue.Queue()
        self.answer: Callable[[Request], Answer] = lambda _: OK
        self.closing = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed breaks its connection; that is what some tests are about."""

    def answers(self, answer: Answer) -> None:
        """Start anew with one answer for all."""
        self.requests.clear()
        self.arrivals = queue.Queue()
        self.answer = lambda _: answer

    def wait(self) -> Request:
        """The next request, as soon as it is here."""
        return self.arrivals.get(timeout=PATIENCE_S)


@contextmanager
def http_receiver(tls: ssl.SSLContext | None = None) -> Iterator[HttpReceiver]:
    """A running server that is gone with all its threads afterwards."""
    server = HttpReceiver(tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Mail:
    """One mail that was accepted."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        found = BytesParser(policy=modern).parsebytes(self.raw)
        assert isinstance(found, EmailMessage)
        return found


class SmtpReceiver:
    """A mail server without TLS that takes everything but what is in ``refused``."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.refused: dict[str, str] = {}
        self.port = 0

    async def handle_RCPT(self, server: object, session: object, envelope: Any, address: str, options: object) -> str:
        del server, session, options
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        del server, session
        self.mails.append(Mail(envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 OK"


@contextmanager
def smtp_receiver() -> Iterator[SmtpReceiver]:
    """A running mail server that is gone with its thread afterwards."""
    receiver = SmtpReceiver()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: SMTP(receiver, hostname="mail.test", loop=loop), "127.0.0.1", 0)
    )
    receiver.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def end() -> None:
        server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
