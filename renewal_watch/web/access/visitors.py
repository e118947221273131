"""Who asks: by the password, a sign-in elsewhere, a proxy that vouches, or a token of the API; and what they may do."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from starlette.datastructures import Headers

from renewal_watch.errors import ConfigError
from renewal_watch.model.actor import BEGINNING, Actor, Token
from renewal_watch.settings.web import Oidc, Web
from renewal_watch.text import printable
from renewal_watch.web.access import passwords, sessions
from renewal_watch.web.access.passwords import PasswordHash, Tries
from renewal_watch.web.access.places import Place
from renewal_watch.web.access.sessions import Session

log = logging.getLogger(__name__)


class Visitor(NamedTuple):
    """Who asks. ``session`` is of somebody who signed in, ``key`` signs the forms of its pages; ``token`` is a program's."""

    may_read: bool
    place: Place
    may_act: bool = False
    session: Session | None = None
    key: bytes = b""
    token: Token | None = None
    hashed: PasswordHash | None = None  # where a login with the password is possible
    fault: str = ""  # why nobody can log in, although somebody should be able to
    is_refused: bool = False  # a token was given that is none

    @property
    def actor(self) -> Actor:
        """Who does what is done, and from where."""
        if self.token is not None:
            return Actor(f"token: {self.token.name}", self.place.origin("API"))
        if self.session is None:
            return Actor("", self.place.origin("web"))
        how = {"password": "web", "oidc": "web, signed in", "proxy": "web, signed in by the proxy"}
        return Actor(self.session.author, self.place.origin(how[self.session.how]))


class Doors(NamedTuple):
    """What is needed to tell who asks."""

    web: Web
    oidc: Oidc
    is_open: bool  # everybody may read
    tries: Tries
    own_key: bytes  # of this process: for those whom a proxy vouches for, where the configuration has no key
    find_token: Callable[[str], Token | None]


def visitor(headers: Headers, method: str, place: Place, doors: Doors, now: datetime) -> Visitor:
    """Who asks. A password in the header is good for reading only. Raises StoreError where tokens cannot be looked up."""
    unknown = _unknown(place, doors)
    bearer = _bearer(headers)
    is_vouched_for = doors.web.user_header is not None and place.neighbour_is_trusted
    if bearer is not None and (bearer.startswith(BEGINNING) or not is_vouched_for):  # else it is of the proxy's own
        token = doors.find_token(bearer)
        if token is None:
            return unknown._replace(may_read=False, is_refused=True)
        return unknown._replace(may_read=True, may_act=token.may_act, token=token)
    session, key = _session(headers, place, doors, unknown.hashed, now)
    if session is not None:
        by_password = session.how == "password"
        return unknown._replace(
            may_read=unknown.may_read or by_password or doors.web.lets_read(session.name, session.groups),
            may_act=by_password or doors.web.lets_act(session.name, session.groups),
            session=session,
            key=key,
        )
    if not unknown.may_read and method in ("GET", "HEAD") and unknown.hashed is not None:
        password = passwords.basic_password(headers.get("authorization", ""))
        if password is not None and doors.tries.is_right(password, unknown.hashed, now) is True:
            return unknown._replace(may_read=True)
    return unknown


def _unknown(place: Place, doors: Doors) -> Visitor:
    """Somebody of whom nothing is known yet."""
    if doors.web.password_path is None:
        return Visitor(doors.is_open, place)
    try:
        return Visitor(doors.is_open, place, hashed=PasswordHash.read(doors.web))
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the sentence says it all)
        return Visitor(doors.is_open, place, fault=str(error))


def _session(
    headers: Headers, place: Place, doors: Doors, hashed: PasswordHash | None, now: datetime
) -> tuple[Session | None, bytes]:
    """Who signed in, and the key of their forms: by a cookie, else as a trusted proxy says."""
    cookie = cookie_in(headers, sessions.COOKIE)
    if cookie and hashed is not None:
        session = sessions.session_in(cookie, "password", hashed.key, now)
        if session is not None:
            return session, hashed.key
    if cookie and doors.oidc.is_used:
        key = oidc_key(doors.web, doors.oidc)
        session = sessions.session_in(cookie, "oidc", key, now) if key else None
        if session is not None and key is not None:
            return session, key
    vouched = _vouched(headers, place, doors.web, now)
    return vouched, _derived(_key(doors.web) or doors.own_key, "proxy") if vouched else b""


def _vouched(headers: Headers, place: Place, web: Web, now: datetime) -> Session | None:
    """Whom a trusted proxy vouches for: it sets the header itself, and lets none through that its client sent."""
    if web.user_header is None or not place.neighbour_is_trusted:
        return None
    given = headers.getlist(web.user_header)
    name = _as_sent(given[0].strip()) if len(given) == 1 else ""
    if not name or printable(name, sessions.LONGEST_NAME) != name:  # one with hidden signs would look like another
        return None
    lines = headers.getlist(web.group_header or "")
    groups = [one.strip() for one in _as_sent(lines[0]).split(",")] if len(lines) == 1 else []
    mark = hashlib.sha256(given[0].strip().encode("latin-1")).hexdigest()
    until = now + sessions.LENGTH
    return Session(name=name, token=mark, until=until, how="proxy", groups=web.groups_of(groups))


def _as_sent(text: str) -> str:
    """A header in UTF-8, as proxies write names; what is none stays as it is."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return text


def oidc_key(web: Web, oidc: Oidc) -> bytes | None:
    """What the sessions of an issuer are signed with: another one for another issuer or client."""
    key = _key(web)
    return None if key is None else _derived(key, f"oidc {oidc.issuer} {oidc.client_id}")


def _key(web: Web) -> bytes | None:
    try:
        return web.read_key()
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the sentence says it all)
        return None


def _derived(key: bytes, what: str) -> bytes:
    """A key of its own for each purpose: what is signed for one is worth nothing for another."""
    return hmac.digest(key, what.encode(), "sha256")


def _bearer(headers: Headers) -> str | None:
    kind, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def cookie_in(headers: Headers, name: str) -> str:
    """The value of a cookie, empty without one."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
    return ""
