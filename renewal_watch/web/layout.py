"""What a page is laid out with, and what is shown where there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from renewal_watch import __version__
from renewal_watch.alerts.phrases import in_zone
from renewal_watch.database.transaction import Transaction
from renewal_watch.text import REDACTOR
from renewal_watch.web import endpoint, security
from renewal_watch.web.gate import Visitor
from renewal_watch.web.pages import frame as pages_frame
from renewal_watch.web.pages import incidents, words
from renewal_watch.web.pages.alerts import SEVERITIES, STATES
from renewal_watch.web.pages.fleet import AUTO, SHOWS, WITHIN
from renewal_watch.web.pages.frame import Frame
from renewal_watch.web.pages.number import LENGTHS
from renewal_watch.web.pages.words import Words
from renewal_watch.web.state import State

log = logging.getLogger(__name__)

_HERE = Path(__file__).resolve().parent
NAV = {"/": "Overview", "/incidents": "Incidents", "/calendar": "Calendar", "/alerts": "Alerts", "/health": "Health"}


class Layout:
    """The templates over one state. Handlers without ``async`` run in a thread each."""

    def __init__(self, state: State) -> None:
        self.state = state
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
            INCIDENT_STATES=incidents.SHOWN_STATES,
            INCIDENT_SEVERITIES=incidents.SHOWN_SEVERITIES,
            LENGTHS=LENGTHS,
            READINGS=words.READINGS,
            count=words.count,
            many=words.many,
            link=words.link,
            number_path=words.number_path,
            version=__version__,
        )

    def page(self, request: Request, template: str, view: Callable[[Transaction], Any]) -> Response:
        """What the database says, then the page: no transaction is open while it is laid out."""
        now = self.state.clock()
        with in_zone(self.state.settings.timezone):
            with self.state.reading() as tx:
                frame = pages_frame.frame(tx, self.state.settings, now)
                seen = view(tx)
            return self.shown(request, template, frame=frame, view=seen)

    def shown(
        self, request: Request, template: str, *, status: int = 200, frame: Frame | None = None, **values: Any
    ) -> Response:
        """A template with these values, and what every page has."""
        visitor = visitor_of(request)
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
            address=address_of(request),
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
            self.shown, request, "fault.html", status=status, code=status, title=title, said=said
        )


def visitor_of(request: Request) -> Visitor:
    """Who asks, as the gate found."""
    visitor: Visitor = request.state.visitor
    return visitor


def address_of(request: Request) -> str:
    """Path and query: where a form comes back to."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
