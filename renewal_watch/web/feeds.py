"""What other programs read over HTTP: metrics, health, the calendar; each made by the module that knows it."""

from __future__ import annotations

import hashlib
import hmac
import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from renewal_watch.alerts.phrases import in_zone
from renewal_watch.diagnostics import health, metrics
from renewal_watch.errors import ConfigError, StoreError
from renewal_watch.language import in_language
from renewal_watch.web.access.visitors import Visitor
from renewal_watch.web.state import State

log = logging.getLogger(__name__)


def routes(state: State) -> list[Route]:
    """Their addresses."""

    def exposed(request: Request) -> Response:
        del request
        with state.reading() as tx:
            text = metrics.exposition(tx, state.settings, state.clock())
        return Response(text, media_type=metrics.CONTENT_TYPE)

    def alive(request: Request) -> Response:
        try:
            with state.reading(of_any_release=True) as tx:
                found = health.alive(tx, state.settings, state.clock())
        except StoreError as error:
            found = health.unreadable(error)
        return _answer(request, found)

    def ready(request: Request) -> Response:
        try:
            with state.reading() as tx:
                found = health.examine(tx, state.settings, state.clock())
        except StoreError as error:
            found = health.unreadable(error)
        return _answer(request, found)

    def calendar(request: Request) -> Response:
        from renewal_watch.reports import calendar as reports_calendar  # noqa: PLC0415 (a tenth of a second that nothing else needs)

        if not _is_secret(state, request.path_params["secret"]):
            raise HTTPException(404)
        by_day = request.query_params.get("by") == "day"
        of = {name: request.query_params.get(name, "") for name in ("environment", "owner", "label")}
        settings = state.settings
        with in_language(settings.web.language), in_zone(settings.timezone), state.reading() as tx:
            text = reports_calendar.calendar(tx, settings, state.clock(), by_day=by_day, **of)
        # An unchanged fleet gives the same bytes, and clients ask several times a day.
        headers = {
            "ETag": f'"{hashlib.blake2b(text, digest_size=16).hexdigest()}"',
            "Cache-Control": "private, no-cache",
        }
        if headers["ETag"] in request.headers.get("if-none-match", "").replace("W/", "").split(", "):
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="text/calendar; charset=utf-8")

    return [
        Route("/metrics", exposed),
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/calendar/{secret}.ics", calendar),
    ]


def _answer(request: Request, found: health.Health) -> Response:
    """200 or 503; with the reasons for those who may read."""
    visitor: Visitor = request.state.visitor
    said = found.as_json() if visitor.may_read else {"status": found.as_json()["status"]}
    return JSONResponse(said, 200 if found.is_ready else 503)


def _is_secret(state: State, given: str) -> bool:
    """Whether it is the secret of the calendar; how long it takes says nothing of it."""
    try:
        secret = state.settings.web.read_calendar_secret()
    except ConfigError as error:
        log.error("%s", error)  # noqa: TRY400 (the sentence says it all)
        return False
    return secret is not None and hmac.compare_digest(given.encode(), secret.encode())
