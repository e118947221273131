"""A provider whose numbers change at every request, and a channel that notes what it was told; on loopback."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import databases
from made_up import entry

TOKEN = "talq_of_the_test_world"


class World:
    """``restless`` numbers change their status at each request in turn; the rest renews in a month."""

    def __init__(self, *, numbers: int = 20, restless: bool = True) -> None:
        self.entries = [entry(f"phone-{i}", renewal_date=None) for i in range(numbers)]
        self.restless = restless
        self.requests = 0
        self.fault: int | None = None
        self.messages: list[dict[str, Any]] = []
        self.refuse = False
        self.lock = threading.Lock()

    def served(self) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.requests += 1
            if self.fault is not None:
                return self.fault, {"success": False, "message": "Unauthorized"}
            if self.restless:
                one = self.entries[self.requests % len(self.entries)]
                one["current_status"] = "suspended" if one["current_status"] == "active" else "active"
            return 200, {"success": True, "data": self.entries, "meta": {"total": len(self.entries), "last_page": 1}}

    @property
    def got(self) -> Counter[str]:
        """How often each message id arrived."""
        with self.lock:
            return Counter(str(one["message"]).rsplit("message ", 1)[-1].strip() for one in self.messages)


class Answers(BaseHTTPRequestHandler):
    """Answers in JSON out of a world, which may be of another kind."""

    protocol_version = "HTTP/1.1"
    world: Any

    def reply(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Handler(Answers):
    world: World

    def do_GET(self) -> None:
        if self.path == "/suspend":  # for scripts that run beside the test
            for one in self.world.entries:
                one["current_status"] = "suspended"
            self.reply(200, {})
            return
        if not self.path.partition("?")[0].endswith("/phone-numbers"):
            self.reply(404, {"success": False, "message": "Not found."})  # it offers nothing beside the list
            return
        self.reply(*self.world.served())

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.world.refuse:
            self.reply(503, {})
            return
        with self.world.lock:
            self.world.messages.append(said)
        self.reply(200, {})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A killed client is what these tests are about."""


@contextmanager
def serving(world: Any, answers: type[Answers] = _Handler) -> Iterator[str]:
    """The address of the world, ``http://127.0.0.1:PORT``."""
    handler = type("Handler", (answers,), {"world": world})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def write_config(folder: Path, address: str, *, more: str = "", channels: int = 1) -> Path:
    """A configuration for the world in ``folder``."""
    path = folder / "config.toml"
    path.touch(mode=0o600)
    text = f"""
state_dir = "{folder}"
{databases.section(folder / "renewal-watch.db")}[[environments]]
name = "production"
base_url = "{address}/api/v1"
token = "{TOKEN}"
poll_jitter = "0s"
{more}
"""
    for number in range(channels):
        text += f"""
[[channels]]
max_per_hour = 10000
name = "ops-{number}"
url = "json://{address.removeprefix("http://")}/hook-{number}"
"""
    path.write_text(text)
    return path
