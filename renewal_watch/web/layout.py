"""What a page is laid out with, and what is shown where there is none."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from renewal_watch import __version__
from renewal_watch.alerts.facts.list_facts import doubt
from renewal_watch.alerts.links import number_path
from renewal_watch.alerts.phrases import capital, in_zone, status_name
from renewal_watch.database.transaction import Transaction
from renewal_watch.language import N_, _, in_language, language, number, tenths, weekday
from renewal_watch.reports import rows
from renewal_watch.text import REDACTOR
from renewal_watch.web import endpoint
from renewal_watch.web.access import sessions
from renewal_watch.web.access.visitors import Visitor
from renewal_watch.web.gate import language_for
from renewal_watch.web.pages import alerts, fleet, incidents, words
from renewal_watch.web.pages import frame as pages_frame
from renewal_watch.web.pages.frame import Frame
from renewal_watch.web.pages.past import audit, changes
from renewal_watch.web.pages.words import Words
from renewal_watch.web.state import State

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"\b(?:href|src|action|formaction)=\"(?=/(?!/))")  # a quote in text is escaped
_HERE = Path(__file__).resolve().parent
NAV = {
    "/": N_("Overview"),
    "/incidents": N_("Incidents"),
    "/calendar": N_("Calendar"),
    "/alerts": N_("Alerts"),
    "/health": N_("Health"),
}
_TITLES = {
    429: N_("Too many"),
    410: N_("It counts no more"),
    502: N_("Nobody was signed in"),
    403: N_("Refused"),
    404: N_("There is no such page"),
    405: N_("This cannot be done here"),
    413: N_("Too large"),
}
N_("Method Not Allowed")  # starlette says it by itself


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
            {"_": words.translated, "ngettext": words.translated_by_count, "pgettext": words.translated_in},
            language=language,
            NAV=NAV,
            STATES=words.STATES,
            TONES=words.TONES,
            READINGS=words.READINGS,
            shows=fleet.shows,
            within=fleet.within,
            autos=fleet.autos,
            alert_states=alerts.states,
            alert_severities=alerts.severities,
            incident_states=incidents.shown_states,
            incident_severities=incidents.shown_severities,
            lengths=words.lengths,
            change_spans=changes.spans,
            audit_lengths=audit.lengths,
            severity_said=rows.severity,
            outcome=words.outcome,
            capital=capital,
            count=number,
            tenths=tenths,
            weekday=weekday,
            weekdays=words.weekdays,
            day_of_month=words.day_of_month,
            link=words.link,
            number_path=number_path,
            version=__version__,
            doubt=doubt,
            status_name=status_name,
        )

    def page(self, request: Request, template: str, view: Callable[[Transaction], Any]) -> Response:
        """What the database says, then the page: no transaction is open while it is laid out."""
        now = self.state.clock()
        with in_language(self.state.settings.web.language), in_zone(self.state.settings.timezone):
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
        cookie = request.cookies.get(sessions.NOTE_COOKIE)
        said = sessions.note_in(cookie, visitor.key, now) if cookie and visitor.key else None
        with in_language(self.state.settings.web.language):  # also of a fault, which no page() is around
            text = self.templates.get_template(template).render(
                w=Words.of(now, self.state.settings.timezone),
                zone=self.state.settings.timezone,
                frame=frame,
                here=request.url.path,
                address=address_of(request),
                session=visitor.session,
                may_act=visitor.may_act,
                token=visitor.session and sessions.form_token(visitor.session, visitor.key),
                can_login=visitor.hashed is not None or self.state.settings.oidc.is_used,
                note=said,
                **values,
            )
        answer = HTMLResponse(_placed(text, self.state.settings.web.under), status)
        if cookie:
            answer.delete_cookie(sessions.NOTE_COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    # --- faults ---

    async def unavailable(self, request: Request, error: Exception) -> Response:
        """The database cannot be read now: say so, and look again."""
        log.warning("%s", error)
        return await self._fault(request, 503, N_("The database cannot be read now"), str(error))

    async def refused(self, request: Request, error: Exception) -> Response:
        """What was asked for cannot be."""
        return await self._fault(request, 400, N_("This cannot be shown"), str(error))

    async def failed(self, request: Request, error: Exception) -> Response:
        """An address that is none, a method that is not taken, a form that is refused."""
        fault = cast("HTTPException", error)
        said = fault.detail if fault.status_code != 404 or fault.detail != "Not Found" else ""  # noqa: PLR2004
        with self._speaking(request):
            said = said and _(said)  # the empty message is the head of a catalogue
        title = _TITLES.get(fault.status_code, N_("This failed"))
        answer = await self._fault(request, fault.status_code, title, said)
        answer.headers.update(fault.headers or {})
        return answer

    async def broken(self, request: Request, error: Exception) -> Response:
        """A fault of our own; the log has it whole."""
        del error
        with self._speaking(request):
            said = _("This is a fault of renewal-watch. The log of the service has the details; nothing was changed.")
        answer = await self._fault(request, 500, N_("Something is broken"), said)
        answer.headers["Connection"] = "close"  # the server does so after a fault, and a client should know
        return answer

    def _speaking(self, request: Request) -> AbstractContextManager[None]:
        return in_language(language_for(request.url.path, self.state.settings))

    async def _fault(self, request: Request, status: int, title: str, said: str) -> Response:
        """``title`` is still to be translated, ``said`` is not: it may be quoted."""
        said = REDACTOR.clean(said)
        with self._speaking(request):
            title = _(title)
        if request.url.path.startswith("/api/"):
            return endpoint.problem(status, said or title)
        if request.url.path.startswith(("/metrics", "/static/")) or request.url.path.endswith(".ics"):
            return PlainTextResponse(f"{said or title}\n", status)
        return await run_in_threadpool(
            self.shown, request, "fault.html", status=status, code=status, title=title, said=said
        )


def _placed(page: str, under: str) -> str:
    """A page whose addresses have ``base_path`` before them: here, so that no template can forget it."""
    return _ADDRESS.sub(lambda found: f"{found[0]}{under}", page) if under else page


def visitor_of(request: Request) -> Visitor:
    """Who asks, as the gate found."""
    visitor: Visitor = request.state.visitor
    return visitor


def address_of(request: Request) -> str:
    """Path and query: where a form comes back to."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
