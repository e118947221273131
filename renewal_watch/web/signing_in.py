"""The way to an OpenID Connect provider and back: two addresses, and the page that follows."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from renewal_watch.errors import ConfigError
from renewal_watch.language import N_, _, in_language
from renewal_watch.text import REDACTOR
from renewal_watch.web.access import sessions
from renewal_watch.web.access.places import own_path
from renewal_watch.web.access.visitors import oidc_key
from renewal_watch.web.forms import keep_cookie
from renewal_watch.web.layout import Layout

if TYPE_CHECKING:
    from renewal_watch.web.access.oidc import Issuer

log = logging.getLogger(__name__)
BACK = "/login/oidc/back"
COOKIE = "renewal_watch_sign_in"
LENGTH = timedelta(minutes=10)  # in which somebody has to come back
AT_ONCE = 3  # requests to the provider; each may take seconds, and the pages have eight threads
KNOWN = timedelta(minutes=5)  # what it says of itself counts so long
_LONGEST_CODE = 4096  # characters


class SigningIn:
    """Sends people away to sign in, and takes those who come back."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._state = layout.state
        self._asking = threading.BoundedSemaphore(AT_ONCE)
        self._known: tuple[str, datetime, Issuer] | None = None

    @property
    def routes(self) -> list[Route]:
        """The addresses."""
        return [Route("/login/oidc", self.away), Route(BACK, self.back)]

    def away(self, request: Request) -> Response:
        """To the provider, with a cookie that knows what was asked."""
        from renewal_watch.web.access import oidc  # noqa: PLC0415 (an extra, needed here alone)

        key = self._key()
        begun = oidc.begin()
        wanted = own_path(request.query_params.get("next", "/"))
        try:
            issuer = self._issuer()
        except oidc.NotSignedIn as error:
            raise self._failed(error) from None
        target = oidc.address(issuer, self._state.settings.oidc, begun, self._address())
        answer = RedirectResponse(target, 303)
        kept = sessions.kept([*begun, wanted], "sign-in", key, self._state.clock() + LENGTH)
        keep_cookie(answer, request, COOKIE, kept, LENGTH, "lax")  # they come back from another site
        return answer

    def back(self, request: Request) -> Response:
        """Who came back, and for whom the provider vouches."""
        from renewal_watch.web.access import oidc  # noqa: PLC0415 (an extra, needed here alone)

        key, now, settings = self._key(), self._state.clock(), self._state.settings
        found = sessions.kept_in(request.cookies.get(COOKIE, ""), "sign-in", key, now)
        query = request.query_params
        if found is None or not hmac.compare_digest(found[0].encode(), query.get("state", "").encode()):
            raise HTTPException(403, N_("This sign-in was not begun in this browser, or too long ago; begin again."))
        begun, wanted = oidc.Begun(*found[:3]), own_path(found[3])
        try:
            if "error" in query or not 0 < len(query.get("code", "")) < _LONGEST_CODE:
                with in_language(settings.web.language):
                    raise oidc.NotSignedIn(_("the provider did not sign anybody in"))
            issuer = self._issuer()
            if query.get("iss", issuer.name) != issuer.name:  # RFC 9207: an answer of another provider
                with in_language(settings.web.language):
                    raise oidc.NotSignedIn(_("the answer came from another provider"))
            with self._one_of_few():
                who = oidc.finish(issuer, settings.oidc, begun, query["code"], self._address(), now)
        except (oidc.NotSignedIn, ConfigError) as error:
            raise self._failed(error) from None
        groups = settings.web.groups_of(who.groups)
        if not settings.web.lets_read(who.name, groups):
            log.warning("somebody signed in who may not read: see readers in [web]")
            raise HTTPException(403, N_("You are signed in, and may not read these pages; see readers in [web]."))
        session = sessions.begun(who.name, now, "oidc", groups)
        # A page, no redirect: the cookie is for requests that begin at a page of ours, and this one began at the provider's.
        answer = self._layout.shown(
            request, "signed_in.html", wanted=wanted, name=session.name, under=settings.web.under
        )
        keep_cookie(answer, request, sessions.COOKIE, sessions.signed(session, key), sessions.LENGTH)
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
        return answer

    def _key(self) -> bytes:
        settings = self._state.settings
        key = oidc_key(settings.web, settings.oidc) if settings.oidc.is_used else None
        if key is None:
            raise HTTPException(404)
        return key

    def _address(self) -> str:
        return f"{self._state.settings.web.base}{BACK}"

    def _issuer(self) -> Issuer:
        """What the provider says of itself, asked for every few minutes. Raises NotSignedIn."""
        from renewal_watch.web.access import oidc  # noqa: PLC0415 (an extra, needed here alone)

        settings, now = self._state.settings.oidc, self._state.clock()
        name = settings.issuer or ""
        if self._known is None or self._known[0] != name or not timedelta(0) <= now - self._known[1] < KNOWN:
            with self._one_of_few():
                self._known = name, now, oidc.discover(settings)
        return self._known[2]

    @contextmanager
    def _one_of_few(self) -> Iterator[None]:
        """The provider is asked for few at a time: nobody is to keep the pages from others by that. Raises HTTPException."""
        if not self._asking.acquire(blocking=False):
            raise HTTPException(
                429, N_("Too many sign-ins at once; wait a minute and try again."), {"Retry-After": "5"}
            )
        try:
            yield
        finally:
            self._asking.release()

    def _failed(self, error: Exception) -> HTTPException:
        said = REDACTOR.clean(str(error))
        log.warning("a sign-in failed: %s", said)
        with in_language(self._state.settings.web.language):
            return HTTPException(502, _("The sign-in failed: {why}", why=said))
