"""What every request passes first: the name it calls the server by, and whether its sender may see what it asks for.

Whatever is not named as open here is closed to those who may not read.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from renewal_watch.errors import StoreError
from renewal_watch.language import _, in_language
from renewal_watch.model.actor import Token
from renewal_watch.settings.whole import Settings
from renewal_watch.store.access.tokens import token_of
from renewal_watch.text import REDACTOR, printable
from renewal_watch.web.access.passwords import Tries
from renewal_watch.web.access.places import Place, is_own_host, own_hosts, place_of
from renewal_watch.web.access.visitors import Doors, Visitor, visitor
from renewal_watch.web.endpoint import problem
from renewal_watch.web.state import State

log = logging.getLogger(__name__)
_SECRET = ("/calendar/", "/answer/")  # what follows is a secret that protects what is there
_OPEN = ("/static/", *_SECRET)
_SECRET_PATH = re.compile(r"(?i)(/(?:calendar|answer)/).+")  # anywhere: what is no path of ours is logged too
_OPEN_PAGES = frozenset({"/login", "/login/oidc", "/login/oidc/back", "/healthz", "/readyz"})
_FOR_PROGRAMS = ("/api/", "/metrics")
LONGEST_TARGET = 8000  # bytes of an address

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser would send its own forms with Origin: null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


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
        web = self.state.settings.web
        scope = _within(scope, web.under)
        headers = Headers(scope=scope)
        neighbour = scope.get("client")
        place = place_of(headers, neighbour[0] if neighbour else "", scope["scheme"], web)

        has_begun = False

        async def sends(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                _finish(message, web.under)
                log.debug("%s %s: %s", scope["method"], _loggable(scope["path"]), message["status"])
            await send(message)

        speaking = language_for(scope["path"], self.state.settings)
        with in_language(speaking):
            refusal = self._refused(place, scope)
            refusal = refusal or await run_in_threadpool(self._known, scope, headers, place)
        try:
            await (refusal or self.app)(scope, receive, sends)
        except asyncio.CancelledError:  # only the end of the whole server does that, to who is too slow for it
            if not has_begun:
                with in_language(speaking):
                    said = _("The server is being stopped.")
                await PlainTextResponse(f"{said}\n", 503, {"Retry-After": "10"})(scope, receive, sends)

    def _refused(self, place: Place, scope: Scope) -> Response | None:
        ours = own_hosts(self.state.settings.web)
        called = [place.host, *([place.direct_host] if place.direct_host is not None else [])]
        strange = [one for one in called if one is None or not is_own_host(one, ours)]
        if strange:
            name = repr(printable(strange[0], 100) if strange[0] is not None else "no host")
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

    def _known(self, scope: Scope, headers: Headers, place: Place) -> Response | None:
        """Find out who asks, for those who answer; or the answer to somebody who may not read."""
        try:
            found = self.visitor(headers, scope["method"], place)
        except StoreError as error:
            return problem(503, REDACTOR.clean(str(error)), {"Retry-After": "10"})
        scope.setdefault("state", {})["visitor"] = found
        return (
            None if found.may_read or (_is_open(scope["path"]) and not found.is_refused) else _sent_away(scope, found)
        )

    def visitor(self, headers: Headers, method: str, place: Place) -> Visitor:
        """Who asks. Raises StoreError where a token cannot be looked up."""
        state, now = self.state, self.state.clock()

        def find_token(given: str) -> Token | None:
            with state.reading() as tx:
                return token_of(tx, given, now)

        settings = state.settings
        doors = Doors(
            settings.web,
            settings.oidc,
            not state.needs_login_to_read,
            self.tries,
            state.own_key,
            find_token,
        )
        return visitor(headers, method, place, doors, now)


def _within(scope: Scope, under: str) -> Scope:
    """The request as if the pages had their host for themselves, whether or not a proxy took ``base_path`` away."""
    path: str = scope["path"]
    if not under or not (path == under or path.startswith(f"{under}/")):
        return scope
    return {**scope, "path": path[len(under) :] or "/"}


def language_for(path: str, settings: Settings) -> str:
    """What is answered at a path speaks: people's language, English to programs."""
    return "en" if path.startswith((*_FOR_PROGRAMS, "/static/")) else settings.web.language


def _is_open(path: str) -> bool:
    return path in _OPEN_PAGES or path.startswith(_OPEN)


def _sent_away(scope: Scope, visitor: Visitor) -> Response:
    """To the login, for a person; a program is asked for a token, or for the password."""
    path: str = scope["path"]
    if visitor.is_refused:
        said = "This token is not known, has expired or was revoked; make one with: renewal-watch web token create NAME"
        return problem(401, said, {"WWW-Authenticate": 'Bearer realm="renewal-watch", error="invalid_token"'})
    if visitor.session is not None:
        said = _("{name} may not read these pages; see readers in [web].", name=visitor.session.name)
        return problem(403, said) if path.startswith("/api/") else PlainTextResponse(f"{said}\n", 403)
    if path.startswith(_FOR_PROGRAMS):
        challenge = {"WWW-Authenticate": 'Basic realm="renewal-watch", charset="UTF-8"'}
        said = (
            "This needs a token (renewal-watch web token create NAME) as Bearer authentication, "
            "or the password of the pages, with any name, as Basic authentication."
        )
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


def _finish(message: MutableMapping[str, Any], under: str) -> None:
    """The headers that every answer has; ``base_path`` in those that hold a path."""
    given = {name for name, _ in message["headers"]}
    message["headers"] = [
        *((name, _placed(name, value, under.encode())) for name, value in message["headers"]),
        *((name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given),
    ]
    if b"cache-control" not in given:
        message["headers"].append((b"cache-control", b"no-store"))


def _placed(name: bytes, value: bytes, under: bytes) -> bytes:
    if name == b"location" and value.startswith(b"/"):
        return under + value
    return value.replace(b"Path=/", b"Path=" + under + b"/") if name == b"set-cookie" else value


def _loggable(path: str) -> str:
    """A path without what is secret in it."""
    return _SECRET_PATH.sub(lambda found: f"{found[1]}…", printable(path, 200))
