"""The application: addresses, the way from a request to a page, logins, forms, and what is said when something fails."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from renewal_watch import __version__
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.store import fleet
from renewal_watch.text import REDACTOR
from renewal_watch.web import actions, endpoint, feeds, security
from renewal_watch.web.gate import Gate, Visitor
from renewal_watch.web.pages import frame as pages_frame
from renewal_watch.web.pages import words
from renewal_watch.web.pages.alerts import SEVERITIES, STATES, alerts_page
from renewal_watch.web.pages.calendar import calendar_page
from renewal_watch.web.pages.fleet import AUTO, SHOWS, WITHIN, fleet_page
from renewal_watch.web.pages.frame import Frame
from renewal_watch.web.pages.health import health_page
from renewal_watch.web.pages.number import LENGTHS, NumberPage, number_page
from renewal_watch.web.pages.words import Words
from renewal_watch.web.security import Tries
from renewal_watch.web.state import State

log = logging.getLogger(__name__)
_HERE = Path(__file__).resolve().parent
_LARGEST_FORM = 64 * 1024  # bytes
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
NAV = {"/": "Fleet", "/calendar": "Calendar", "/alerts": "Alerts", "/health": "Health"}


def build(state: State) -> Gate:
    """The application over one state."""
    tries = Tries()
    site = _Site(state, tries)
    app = Starlette(
        routes=[
            Route("/", site.fleet),
            Route("/calendar", site.calendar),
            Route("/alerts", site.alerts),
            Route("/health", site.health),
            Route("/numbers/{environment}/{provider_id:path}", site.number),
            Route("/login", site.login_form),
            Route("/login", site.login, methods=["POST"]),
            Route("/logout", site.logout, methods=["POST"]),
            Route("/do/{deed}", site.do, methods=["POST"]),
            Route("/static/{name}", site.static),
            *feeds.routes(state),
            *endpoint.routes(state),
        ],
        exception_handlers={
            StoreError: site.unavailable,
            UsageError: site.refused,
            HTTPException: site.failed,
            500: site.broken,
        },
    )
    return Gate(app, state, tries)


class _Site:
    """The handlers. Those without ``async`` run in a thread each."""

    def __init__(self, state: State, tries: Tries) -> None:
        self.state = state
        self.tries = tries
        self.templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.templates.globals.update(
            NAV=NAV,
            STATES=words.STATES,
            TONES=words.TONES,
            SHOWS=SHOWS,
            WITHIN=WITHIN,
            AUTO=AUTO,
            ALERT_STATES=STATES,
            SEVERITIES=SEVERITIES,
            LENGTHS=LENGTHS,
            count=words.count,
            many=words.many,
            link=words.link,
            number_path=words.number_path,
            version=__version__,
        )
        self.files = {path.name: path.read_bytes() for path in (_HERE / "static").iterdir()}
        self.marks = {name: f'"{hashlib.sha256(file).hexdigest()[:20]}"' for name, file in self.files.items()}

    # --- pages ---

    def fleet(self, request: Request) -> Response:
        """The numbers."""
        return self._page(
            request,
            "fleet.html",
            lambda tx: fleet_page(tx, self.state.settings, request.query_params, self.state.clock()),
        )

    def calendar(self, request: Request) -> Response:
        """The coming sixty days."""
        return self._page(
            request,
            "calendar.html",
            lambda tx: calendar_page(tx, self.state.settings, request.query_params, self.state.clock()),
        )

    def alerts(self, request: Request) -> Response:
        """What was found and told."""
        return self._page(
            request,
            "alerts.html",
            lambda tx: alerts_page(tx, self.state.settings, request.query_params, self.state.clock()),
        )

    def health(self, request: Request) -> Response:
        """How the watch does."""
        return self._page(request, "health.html", lambda tx: health_page(tx, self.state.settings, self.state.clock()))

    def number(self, request: Request) -> Response:
        """One number."""
        place = request.path_params["environment"], request.path_params["provider_id"]
        way = self.state.routing()

        def view(tx: Transaction) -> NumberPage:
            one = fleet.one(tx, *place)
            if one is None:
                raise HTTPException(404, "There is no number with this id.")
            return number_page(tx, self.state.settings, way, one, self.state.clock())

        return self._page(request, "number.html", view)

    def static(self, request: Request) -> Response:
        """The style sheet, the script, the icon."""
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404)
        headers = {"ETag": self.marks[name], "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self.marks[name]:
            return Response(status_code=304, headers=headers)
        return Response(self.files[name], media_type=_KINDS[Path(name).suffix], headers=headers)

    def _page(self, request: Request, template: str, view: Callable[[Transaction], Any]) -> Response:
        """What the database says, then the page: no transaction is open while it is laid out."""
        now = self.state.clock()
        with self.state.reading() as tx:
            frame = pages_frame.frame(tx, self.state.settings, now)
            seen = view(tx)
        return self._shown(request, template, frame=frame, view=seen)

    def _shown(
        self, request: Request, template: str, *, status: int = 200, frame: Frame | None = None, **values: Any
    ) -> Response:
        visitor = _visitor(request)
        now = self.state.clock()
        said = None
        cookie = request.cookies.get(security.NOTE_COOKIE)
        if cookie and visitor.hashed is not None:
            said = security.note_in(cookie, visitor.hashed, now)
        text = self.templates.get_template(template).render(
            w=Words.of(now, self.state.settings.timezone),
            zone=self.state.settings.timezone,
            frame=frame,
            here=request.url.path,
            address=_address(request),
            session=visitor.session,
            token=visitor.session and visitor.hashed and security.form_token(visitor.session, visitor.hashed),
            can_login=visitor.hashed is not None,
            note=said,
            **values,
        )
        answer = HTMLResponse(text, status)
        if cookie:
            answer.delete_cookie(security.NOTE_COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    # --- logins ---

    def login_form(self, request: Request) -> Response:
        """The form."""
        wanted = security.own_path(request.query_params.get("next", "/"))
        visitor = _visitor(request)
        if visitor.session is not None:
            return RedirectResponse(wanted, 303)
        return self._login_page(request, wanted)

    def _login_page(
        self, request: Request, wanted: str, *, fault: str = "", name: str = "", status: int = 200
    ) -> Response:
        visitor = _visitor(request)
        if visitor.hashed is None:
            status = 503 if visitor.fault else 404
        return self._shown(
            request, "login.html", status=status, wanted=wanted, fault=fault, name=name, cannot=visitor.fault
        )

    async def login(self, request: Request) -> Response:
        """Take the password."""
        form = await _form(request)
        return await run_in_threadpool(self._login, request, form)

    def _login(self, request: Request, form: Mapping[str, str]) -> Response:
        visitor = _visitor(request)
        wanted = security.own_path(form.get("next", "/"))
        name = form.get("name", "")[:60]
        if visitor.hashed is None:
            return self._login_page(request, wanted)
        if not security.is_from_own_page(request.headers):
            raise HTTPException(403, "This form came from a page elsewhere.")
        now = self.state.clock()
        is_right = self.tries.is_right(form.get("password", ""), visitor.hashed, now)
        if is_right is None:
            length = int(self.tries.wait(now).total_seconds()) + 1
            fault = f"Too many wrong passwords; wait {length} s and try again."
            answer = self._login_page(request, wanted, fault=fault, name=name, status=429)
            answer.headers["Retry-After"] = str(length)
            return answer
        if not is_right:
            log.warning("a wrong password was given for the pages")
            return self._login_page(request, wanted, fault="This is not the password.", name=name, status=403)
        session = security.begun(name, now)
        answer = RedirectResponse(wanted, 303)
        answer.set_cookie(
            security.COOKIE,
            security.signed(session, visitor.hashed),
            max_age=int(security.SESSION.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=_is_encrypted(request),
        )
        return answer

    async def logout(self, request: Request) -> Response:
        """Forget the session; whoever copied its cookie loses it when the password changes."""
        self._check(request, await _form(request))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(security.COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    # --- deeds ---

    async def do(self, request: Request) -> Response:
        """One deed, then back to the page with a sentence that says what came of it."""
        deed = actions.DEEDS.get(request.path_params["deed"])
        if deed is None:
            raise HTTPException(404)
        form = await _form(request)
        session = self._check(request, form)
        return await run_in_threadpool(self._do, request, deed, form, session.author)

    def _do(self, request: Request, deed: actions.Deed, form: Mapping[str, str], author: str) -> Response:
        now = self.state.clock()
        is_bad = False
        try:
            with self.state.writing() as tx:
                said = deed(self.state, tx, form, author, now)
        except (UsageError, StoreError) as error:
            said, is_bad = str(error), True
        hashed = _visitor(request).hashed
        assert hashed is not None  # noqa: S101 (there is a session)
        answer = RedirectResponse(security.own_path(form.get("back", "/")), 303)
        answer.set_cookie(
            security.NOTE_COOKIE,
            security.note(REDACTOR.clean(said), is_bad=is_bad, hashed=hashed, now=now),
            max_age=int(security.NOTE.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=_is_encrypted(request),
        )
        return answer

    def _check(self, request: Request, form: Mapping[str, str]) -> security.Session:
        """The session of a form that a page of this session sent. Raises HTTPException for any other."""
        visitor = _visitor(request)
        if visitor.session is None or visitor.hashed is None:
            raise HTTPException(403, "This needs a login; the session may be over.")
        if not security.is_from_own_page(request.headers) or not security.is_form_of(
            form.get("token", ""), visitor.session, visitor.hashed
        ):
            raise HTTPException(403, "This form did not come from a page of this session; open the page anew.")
        return visitor.session

    # --- faults ---

    async def unavailable(self, request: Request, error: Exception) -> Response:
        """The database cannot be read now: say so, and look again."""
        log.warning("%s", error)
        return await self._fault(request, 503, "The database cannot be read now", str(error))

    async def refused(self, request: Request, error: Exception) -> Response:
        """What was asked for cannot be."""
        return await self._fault(request, 400, "This cannot be shown", str(error))

    async def failed(self, request: Request, error: Exception) -> Response:
        """An address that is none, a method that is not taken, a form that is refused."""
        fault = cast("HTTPException", error)
        titles = {404: "There is no such page", 403: "Refused", 405: "This cannot be done here", 413: "Too large"}
        said = fault.detail if fault.status_code != 404 or fault.detail != "Not Found" else ""  # noqa: PLR2004
        answer = await self._fault(request, fault.status_code, titles.get(fault.status_code, "This failed"), said)
        answer.headers.update(fault.headers or {})
        return answer

    async def broken(self, request: Request, error: Exception) -> Response:
        """A fault of our own; the log has it whole."""
        del error
        said = "This is a fault of renewal-watch. The log of the service has the details; nothing was changed."
        answer = await self._fault(request, 500, "Something is broken", said)
        answer.headers["Connection"] = "close"  # the server does so after a fault, and a client should know
        return answer

    async def _fault(self, request: Request, status: int, title: str, said: str) -> Response:
        said = REDACTOR.clean(said)
        if request.url.path.startswith("/api/"):
            return endpoint.problem(status, said or title)
        if request.url.path.startswith(("/metrics", "/static/")) or request.url.path.endswith(".ics"):
            return PlainTextResponse(f"{said or title}\n", status)
        return await run_in_threadpool(
            self._shown, request, "fault.html", status=status, code=status, title=title, said=said
        )


def _visitor(request: Request) -> Visitor:
    visitor: Visitor = request.state.visitor
    return visitor


def _address(request: Request) -> str:
    """Path and query: where a form comes back to."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _is_encrypted(request: Request) -> bool:
    """Whether the browser reached us, or the proxy before us, by https: a claim that can only make a cookie stricter."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException for what is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "Only the forms of the pages are taken.")
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_FORM:
                raise HTTPException(413, "The form is too large.")
    except ClientDisconnect:
        log.info("a form was broken off by the browser")
        raise HTTPException(400, "The form was broken off.") from None
    try:
        fields = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
        return {name: value.replace("\0", "\ufffd") for name, value in fields}
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
