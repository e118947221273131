"""The application: its addresses, and what stands at each."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.language import N_
from renewal_watch.store import fleet
from renewal_watch.web import endpoint, feeds
from renewal_watch.web.access.passwords import Tries
from renewal_watch.web.answering import Answering
from renewal_watch.web.forms import Forms
from renewal_watch.web.gate import Gate
from renewal_watch.web.layout import Layout
from renewal_watch.web.pages.alerts import alerts_page
from renewal_watch.web.pages.calendar import calendar_page
from renewal_watch.web.pages.health import health_page
from renewal_watch.web.pages.incidents import incidents_page
from renewal_watch.web.pages.number import NumberPage, number_page
from renewal_watch.web.pages.overview import overview_page
from renewal_watch.web.pages.past.audit import audit_page
from renewal_watch.web.pages.past.changes import changes_page
from renewal_watch.web.signing_in import SigningIn
from renewal_watch.web.state import State

log = logging.getLogger(__name__)
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_STATIC = Path(__file__).resolve().parent / "static"


def build(state: State) -> Gate:
    """The application over one state."""
    tries = Tries()
    layout = Layout(state)
    pages, forms = _Pages(layout), Forms(layout, tries)
    app = Starlette(
        routes=[
            Route("/", pages.overview),
            Route("/incidents", pages.incidents),
            Route("/calendar", pages.calendar),
            Route("/alerts", pages.alerts),
            Route("/changes", pages.changes),
            Route("/audit", pages.audit),
            Route("/health", pages.health),
            Route("/numbers/{environment}/{provider_id:path}", pages.number),
            Route("/login", forms.login_form),
            Route("/login", forms.login, methods=["POST"]),
            Route("/logout", forms.logout, methods=["POST"]),
            Route("/do/{deed}", forms.do, methods=["POST"]),
            Route("/static/{name}", pages.static),
            *Answering(layout).routes,
            *SigningIn(layout).routes,
            *feeds.routes(state),
            *endpoint.routes(state),
        ],
        exception_handlers={
            StoreError: layout.unavailable,
            UsageError: layout.refused,
            HTTPException: layout.failed,
            500: layout.broken,
        },
    )
    app.router.redirect_slashes = False  # it would name this server by the address that it has behind its proxy
    return Gate(app, state, tries)


class _Pages:
    """The handlers of the pages. They run in a thread each."""

    def __init__(self, layout: Layout) -> None:
        self.state = layout.state
        self._layout = layout
        self.files = {path.name: path.read_bytes() for path in _STATIC.iterdir()}
        self.marks = {name: f'"{hashlib.sha256(file).hexdigest()[:20]}"' for name, file in self.files.items()}

    def overview(self, request: Request) -> Response:
        """How everything stands, and the numbers."""
        return self._layout.page(
            request,
            "overview.html",
            lambda tx: overview_page(
                tx, self.state.settings, self.state.routing(), request.query_params, self.state.clock()
            ),
        )

    def incidents(self, request: Request) -> Response:
        """What needs somebody."""
        return self._layout.page(
            request,
            "incidents.html",
            lambda tx: incidents_page(
                tx, self.state.settings, self.state.routing(), request.query_params, self.state.clock()
            ),
        )

    def calendar(self, request: Request) -> Response:
        """The coming sixty days."""
        return self._layout.page(
            request,
            "calendar.html",
            lambda tx: calendar_page(
                tx, self.state.settings, self.state.routing(), request.query_params, self.state.clock()
            ),
        )

    def alerts(self, request: Request) -> Response:
        """What was found and told."""
        return self._layout.page(
            request,
            "alerts.html",
            lambda tx: alerts_page(tx, self.state.settings, request.query_params, self.state.clock()),
        )

    def changes(self, request: Request) -> Response:
        """What is another now than it was."""
        return self._layout.page(
            request,
            "changes.html",
            lambda tx: changes_page(
                tx, self.state.settings, self.state.routing(), request.query_params, self.state.clock()
            ),
        )

    def audit(self, request: Request) -> Response:
        """Who did what."""
        return self._layout.page(
            request,
            "audit.html",
            lambda tx: audit_page(tx, self.state.settings, request.query_params, self.state.clock()),
        )

    def health(self, request: Request) -> Response:
        """How the service does."""
        return self._layout.page(
            request, "health.html", lambda tx: health_page(tx, self.state.settings, self.state.clock())
        )

    def number(self, request: Request) -> Response:
        """One number."""
        place = request.path_params["environment"], request.path_params["provider_id"]
        way = self.state.routing()

        def view(tx: Transaction) -> NumberPage:
            one = fleet.one(tx, *place)
            if one is None:
                raise HTTPException(404, N_("There is no number with this id."))
            return number_page(tx, self.state.settings, way, one, self.state.clock())

        return self._layout.page(request, "number.html", view)

    def static(self, request: Request) -> Response:
        """The style sheet, the script, the icon."""
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404)
        headers = {"ETag": self.marks[name], "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self.marks[name]:
            return Response(status_code=304, headers=headers)
        return Response(self.files[name], media_type=_KINDS[Path(name).suffix], headers=headers)
