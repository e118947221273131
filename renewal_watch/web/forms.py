"""Forms of the pages: logins, and deeds of who is logged in."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from renewal_watch.alerts.phrases import in_zone
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.language import N_, _, in_language
from renewal_watch.settings.web import Oidc
from renewal_watch.text import REDACTOR
from renewal_watch.web import actions
from renewal_watch.web.access import sessions
from renewal_watch.web.access.passwords import Tries
from renewal_watch.web.access.places import is_from_own_page, own_path
from renewal_watch.web.access.visitors import Visitor
from renewal_watch.web.bodies import body_of
from renewal_watch.web.layout import Layout, visitor_of

log = logging.getLogger(__name__)

_LARGEST_FORM = 64 * 1024  # bytes


class Forms:
    """What takes a form. Nothing is done for one that a page of this session did not send."""

    def __init__(self, layout: Layout, tries: Tries) -> None:
        self._layout = layout
        self._state = layout.state
        self._tries = tries

    def login_form(self, request: Request) -> Response:
        """The form."""
        wanted = own_path(request.query_params.get("next", "/"))
        visitor = visitor_of(request)
        if visitor.session is not None and visitor.may_read:
            return RedirectResponse(wanted, 303)
        return self._login_page(request, wanted)

    def _login_page(
        self, request: Request, wanted: str, *, fault: str = "", name: str = "", status: int = 200
    ) -> Response:
        visitor = visitor_of(request)
        issuer = issuer_host(self._state.settings.oidc)
        if visitor.hashed is None and not issuer:
            status = 503 if visitor.fault else 404
        return self._layout.shown(
            request,
            "login.html",
            status=status,
            wanted=wanted,
            fault=fault,
            name=name,
            cannot=visitor.fault,
            issuer=issuer,
            has_password=visitor.hashed is not None,
        )

    async def login(self, request: Request) -> Response:
        """Take the password."""
        form = await _form(request)
        return await run_in_threadpool(self._login, request, form)

    def _login(self, request: Request, form: Mapping[str, str]) -> Response:
        visitor = visitor_of(request)
        wanted = own_path(form.get("next", "/"))
        name = form.get("name", "")[:60]
        if visitor.hashed is None:
            return self._login_page(request, wanted)
        if not self._is_own(request):
            raise HTTPException(403, N_("This form came from a page elsewhere."))
        now = self._state.clock()
        is_right = self._tries.is_right(form.get("password", ""), visitor.hashed, now)
        if is_right is None:
            length = int(self._tries.wait(now).total_seconds()) + 1
            with in_language(self._state.settings.web.language):
                fault = _("Too many wrong passwords; wait {seconds} s and try again.", seconds=length)
            answer = self._login_page(request, wanted, fault=fault, name=name, status=429)
            answer.headers["Retry-After"] = str(length)
            return answer
        if not is_right:
            log.warning("a wrong password was given for the pages")
            with in_language(self._state.settings.web.language):
                fault = _("This is not the password.")
            return self._login_page(request, wanted, fault=fault, name=name, status=403)
        session = sessions.begun(name, now)
        answer = RedirectResponse(wanted, 303)
        keep_cookie(answer, request, sessions.COOKIE, sessions.signed(session, visitor.hashed.key), sessions.LENGTH)
        return answer

    async def logout(self, request: Request) -> Response:
        """Forget the session; whoever copied its cookie loses it when the password changes."""
        self._check(request, await _form(request))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(sessions.COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    async def do(self, request: Request) -> Response:
        """One deed, then back to the page with a sentence that says what came of it."""
        deed = actions.DEEDS.get(request.path_params["deed"])
        if deed is None:
            raise HTTPException(404)
        form = await _form(request)
        visitor = self._check(request, form)
        if not visitor.may_act:
            raise HTTPException(403, N_("Your sign-in is good for reading only; see actors in [web]."))
        return await run_in_threadpool(self._do, request, deed, form, visitor)

    def _do(self, request: Request, deed: actions.Deed, form: Mapping[str, str], visitor: Visitor) -> Response:
        now = self._state.clock()
        settings = self._state.settings
        is_bad = False
        try:
            with in_language(settings.web.language), in_zone(settings.timezone), self._state.writing() as tx:
                said = deed(self._state, tx, form, visitor.actor, now)
        except (UsageError, StoreError) as error:
            said, is_bad = str(error), True
        answer = RedirectResponse(own_path(form.get("back", "/")), 303)
        note = sessions.note(REDACTOR.clean(said), is_bad=is_bad, key=visitor.key, now=now)
        keep_cookie(answer, request, sessions.NOTE_COOKIE, note, sessions.NOTE)
        return answer

    def _check(self, request: Request, form: Mapping[str, str]) -> Visitor:
        """Who sent a form from a page of their session. Raises HTTPException for anybody else."""
        visitor = visitor_of(request)
        if visitor.session is None:
            raise HTTPException(403, N_("This needs a login; the session may be over."))
        if not self._is_own(request) or not sessions.is_form_of(form.get("token", ""), visitor.session, visitor.key):
            raise HTTPException(403, N_("This form did not come from a page of this session; open the page anew."))
        return visitor

    def _is_own(self, request: Request) -> bool:
        web = self._state.settings.web
        return is_from_own_page(request.headers, visitor_of(request).place, web.public_url or "")


def issuer_host(oidc: Oidc) -> str:
    """What the login page calls the provider; empty without one."""
    return urlsplit(oidc.issuer or "").hostname or ""


def keep_cookie(
    answer: Response,
    request: Request,
    name: str,
    value: str,
    length: timedelta,
    samesite: Literal["strict", "lax"] = "strict",
) -> None:
    """A cookie that no script and no other site sees."""
    answer.set_cookie(
        name,
        value,
        max_age=int(length.total_seconds()),
        httponly=True,
        samesite=samesite,
        secure=_is_encrypted(request),
    )


def _is_encrypted(request: Request) -> bool:
    """Whether the browser reached us, or the proxy before us, by https: a claim that can only make a cookie stricter."""
    return visitor_of(request).place.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; the incidents that were ticked by commas. Raises HTTPException for what is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, N_("Only the forms of the pages are taken."))
    body = await body_of(request, _LARGEST_FORM)
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=250)
        ticked = ",".join(value for name, value in fields if name == "incident")
        given = {name: value.replace("\0", "\ufffd") for name, value in fields}
        return given | ({"incident": ticked} if ticked else {})
    except ValueError:
        raise HTTPException(400, N_("The form cannot be read.")) from None
