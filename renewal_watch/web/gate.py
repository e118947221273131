"""What every request passes first: the name it calls the server by, and whether its sender may see what it asks for.

Whatever is not named as open here is closed to those who may not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from renewal_watch.errors import ConfigError
from renewal_watch.language import _, in_language
from renewal_watch.settings.whole import Settings
from renewal_watch.text import printable
from renewal_watch.web import security
from renewal_watch.web.endpoint import problem
from renewal_watch.web.security import PasswordHash, Session, Tries
from renewal_watch.web.state import State

log = logging.getLogger(__name__)
_OPEN = ("/static/", "/calendar/")  # a calendar is protected by the secret in its address
_OPEN_PAGES = frozenset({"/login", "/healthz", "/readyz"})
_FOR_PROGRAMS = ("/api/", "/metrics")
LONGEST_TARGET = 8000  # bytes of an address


class Visitor(NamedTuple):
    """Who asks: ``session`` of those who logged in, ``hashed`` where a login is possible at all."""

    may_read: bool
    session: Session | None = None
    hashed: PasswordHash | None = None
    fault: str = ""  # why nobody can log in, although somebody should be able to


class Gate:
    """Around the whole application, its own error pages included."""

    def __init__(self, app: ASGIApp, state: State, tries: Tries) -> None:
        self.app = app
        self.state = state
        self.tries = tries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":  # no web sockets are served, and there is nothing to do at start and end
            return
        headers = Headers(scope=scope)

        has_begun = False

        async def sends(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                _finish(message)
                log.debug("%s %s: %s", scope["method"], _loggable(scope["path"]), message["status"])
            await send(message)

        speaking = language_for(scope["path"], self.state.settings)
        with in_language(speaking):
            refusal = self._refused(headers, scope)
        if refusal is None:
            visitor = await run_in_threadpool(self.visitor, headers, scope["method"])
            if not visitor.may_read and not _is_open(scope["path"]):
                refusal = _sent_away(scope)
            scope.setdefault("state", {})["visitor"] = visitor
        try:
            await (refusal or self.app)(scope, receive, sends)
        except asyncio.CancelledError:  # only the end of the whole server does that, to who is too slow for it
            if not has_begun:
                with in_language(speaking):
                    said = _("The server is being stopped.")
                await PlainTextResponse(f"{said}\n", 503, {"Retry-After": "10"})(scope, receive, sends)

    def _refused(self, headers: Headers, scope: Scope) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not security.is_own_host(hosts[0], security.own_hosts(self.state.settings.web)):
            name = repr(printable(hosts[0], 100) if hosts else "no host")
            said = _(
                "This server does not go by the name {name}. If it should, add the name to hosts in [web].", name=name
            )
            return PlainTextResponse(f"{said}\n", 400)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_TARGET:
            return PlainTextResponse(_("The address is too long.") + "\n", 414)
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:  # PostgreSQL is not even asked for such a name
            status, said = (404 if "\0" in scope["path"] else 400), _("Nothing has a name with the character NUL.")
            return (
                problem(status, said) if scope["path"].startswith("/api/") else PlainTextResponse(f"{said}\n", status)
            )
        return None

    def visitor(self, headers: Headers, method: str) -> Visitor:
        """Who asks. A password in the header is good for reading only."""
        state = self.state
        is_open = not state.needs_login_to_read
        if state.settings.web.password_path is None:
            return Visitor(is_open)
        try:
            hashed = PasswordHash.read(state.settings.web)
        except ConfigError as error:
            log.error("%s", error)  # noqa: TRY400 (the sentence says it all)
            return Visitor(is_open, fault=str(error))
        now = state.clock()
        cookie = _cookie(headers, security.COOKIE)
        session = security.session_in(cookie, hashed, now) if cookie else None
        may_read = is_open or session is not None
        if not may_read and method in ("GET", "HEAD"):
            password = security.basic_password(headers.get("authorization", ""))
            may_read = password is not None and self.tries.is_right(password, hashed, now) is True
        return Visitor(may_read, session, hashed)


def language_for(path: str, settings: Settings) -> str:
    """What is answered at a path speaks: people's language, English to programs."""
    return "en" if path.startswith((*_FOR_PROGRAMS, "/static/")) else settings.web.language


def _cookie(headers: Headers, name: str) -> str:
    """The value of a cookie, empty without one."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
    return ""


def _is_open(path: str) -> bool:
    return path in _OPEN_PAGES or path.startswith(_OPEN)


def _sent_away(scope: Scope) -> Response:
    """To the login, for a person; a program is asked for the password."""
    path: str = scope["path"]
    if path.startswith(_FOR_PROGRAMS):
        challenge = {"WWW-Authenticate": 'Basic realm="renewal-watch", charset="UTF-8"'}
        said = "This needs the password of the pages, with any name, as HTTP Basic authentication."
        if path.startswith("/api/"):
            return problem(401, said, challenge)
        return PlainTextResponse(f"{said}\n", 401, challenge)
    wanted = quote(path)
    if scope["query_string"]:
        wanted += "?" + scope["query_string"].decode("latin-1")
    target = (
        "/login" if wanted == "/" or scope["method"] not in ("GET", "HEAD") else f"/login?next={quote(wanted, safe='')}"
    )
    return RedirectResponse(target, 303)


def _finish(message: MutableMapping[str, Any]) -> None:
    """The headers that every answer has."""
    given = {name for name, _ in message["headers"]}
    message["headers"] = [
        *message["headers"],
        *((name.encode(), value.encode()) for name, value in security.HEADERS.items() if name.encode() not in given),
    ]
    if b"cache-control" not in given:
        message["headers"].append((b"cache-control", b"no-store"))


def _loggable(path: str) -> str:
    """A path without what is secret in it."""
    return "/calendar/…" if path.startswith("/calendar/") else printable(path, 200)
