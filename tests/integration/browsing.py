"""The pages of a made-up watch, served on loopback in a thread, and what asks them over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn
from conftest import Clock
from watched import Watched

from renewal_watch.settings.web import Web
from renewal_watch.web import serve
from renewal_watch.web.app import build
from renewal_watch.web.gate import Gate
from renewal_watch.web.state import State

PASSWORD = "a password of the tests"


def password_file(path: Path, password: str = PASSWORD) -> Path:
    """A password file as the command writes it, made in no time."""
    salt = password.encode()[:8].ljust(8)
    made = hashlib.scrypt(password.encode(), salt=salt, n=16, r=1, p=1, dklen=32)
    path.touch(mode=0o600)
    path.write_text(f"scrypt$n=16,r=1,p=1${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}\n")
    return path


@contextmanager
def pages(watched: Watched, clock: Clock, *, is_exposed: bool = False) -> Iterator[Visitor]:
    """Somebody who looks at the pages of ``watched``."""
    state = State(watched.settings, clock, is_exposed=is_exposed)
    gate = build(state)
    with serve._opened(Web(listen="127.0.0.1:0")) as listening:
        server = uvicorn.Server(serve.configured(gate))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        visitor = Visitor(f"http://127.0.0.1:{listening.getsockname()[1]}", state, gate)
        try:
            yield visitor
        finally:
            visitor.http.close()
            server.should_exit = True
            thread.join()
            state.close()


class Visitor:
    """A browser without a screen: keeps cookies, follows links when it is told to."""

    def __init__(self, base: str, state: State, gate: Gate) -> None:
        self.base = base
        self.state = state
        self.gate = gate
        self.tries = gate.tries
        self.http = requests.Session()
        self.http.trust_env = False

    def forget(self) -> None:
        """Be another one, of whom nobody knows anything."""
        self.http.cookies.clear()
        self.tries.__init__()

    def get(self, path: str, **given: Any) -> requests.Response:
        """A page; redirects are left to the test."""
        return self.http.get(self.base + path, allow_redirects=False, timeout=60, **given)

    def text(self, path: str, status: int = 200, **given: Any) -> str:
        """What a page says to people: without tags and layout."""
        answer = self.get(path, **given)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:300])
        return said(answer.text)

    def post(self, path: str, data: dict[str, Any], **given: Any) -> requests.Response:
        """A form as it stands in ``data``."""
        return self.http.post(self.base + path, data=data, allow_redirects=False, timeout=60, **given)

    def login(self, name: str = "Anna", password: str = PASSWORD) -> requests.Response:
        """As the form does it."""
        return self.post("/login", {"name": name, "password": password, "next": "/"})

    def token(self, path: str = "/") -> str:
        """What the forms of a page carry."""
        found = re.search(r'name="token" value="([^"]+)"', self.get(path).text)
        assert found, path
        return found[1]

    def do(self, deed: str, *, back: str = "/", **fields: Any) -> str:
        """A deed by its form; what the next page says came of it."""
        answer = self.post(f"/do/{deed}", {"token": self.token(), "back": back, **fields})
        assert (answer.status_code, answer.headers["location"]) == (303, back), answer.text[:500]
        found = re.search(r'<p class="note (\w+)" role="status">(.*?)</p>', self.get(back).text)
        assert found, "the next page says nothing"
        return f"{found[1]}: {said(found[2])[2:]}"


def said(page: str) -> str:
    """The words of a piece of HTML."""
    words = re.sub(r"(?s)<(script|style|title|svg).*?</\1>|<[^>]+>", " ", page)
    return " ".join(html.unescape(words).split())
