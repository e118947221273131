"""Answers the questions of the API: parameters read, problems told, bodies encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from renewal_watch.alerts.phrases import in_zone
from renewal_watch.errors import StoreError, UsageError
from renewal_watch.reports import tables
from renewal_watch.text import REDACTOR
from renewal_watch.web.api.acts import acts
from renewal_watch.web.api.answers import ANSWERS
from renewal_watch.web.api.asked import Asked, Refused, read
from renewal_watch.web.api.document import document
from renewal_watch.web.api.operations import operations
from renewal_watch.web.api.shapes import PREFIX, PROBLEM
from renewal_watch.web.api.tools import Call, checked
from renewal_watch.web.bodies import body_of
from renewal_watch.web.state import State

METHODS = "GET, HEAD"
LARGEST_BODY = 64 * 1024  # bytes


def routes(state: State) -> list[Route]:
    """The addresses below ``/api/v1``; of what is none of them a problem is the answer."""
    named = [Route(one.route, _Endpoint(state, one.name)) for one in operations(())]
    acting = [Route(f"{PREFIX}/{one.name}", _Act(state, one.name)) for one in acts(())]
    return [*named, *acting, Route(f"{PREFIX}/{{rest:path}}", _Endpoint(state, ""))]


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """What is wrong, as RFC 9457 says it."""
    titles = {
        400: "Bad request",
        401: "Login needed",
        403: "Not allowed",
        404: "Not found",
        405: "Method not allowed",
        413: "Too large",
        415: "Unsupported media type",
        503: "Unavailable",
    }
    said = {"type": "about:blank", "title": titles.get(status, "Error"), "status": status, "detail": detail, **more}
    return Response(_encoded(said), status, headers, PROBLEM)


def _encoded(value: Any) -> bytes:
    return tables.dumps(value).encode("utf-8", "backslashreplace")  # half a pair, as JSON escapes it


class _Endpoint:
    """One address; the settings may be others at every request, and the environments with them."""

    def __init__(self, state: State, name: str) -> None:
        self.state = state
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        answer = await run_in_threadpool(self.answered, request)
        await answer(scope, receive, send)

    def answered(self, request: Request) -> Response:
        """The answer to one request, whatever it is."""
        names = [one.name for one in self.state.settings.environments]
        operation = next((one for one in operations(names) if one.name == self.name), None)
        if operation is None:
            return problem(404, f"There is nothing at this address; see {PREFIX}/openapi.json.")
        if request.method not in ("GET", "HEAD"):
            return problem(405, "It can only be read.", {"Allow": METHODS})
        try:
            values = read(operation, request.path_params, request.query_params.multi_items())
            if operation.name == "openapi":
                web = self.state.settings.web
                said: Any = document(names, needs_login=self.state.needs_login_to_read, under=web.under)
            else:
                with in_zone(self.state.settings.timezone), self.state.reading() as tx:
                    asked = Asked(
                        tx=tx,
                        settings=self.state.settings,
                        now=self.state.clock(),
                        values=values,
                        routing=self.state.routing,
                    )
                    said = ANSWERS[operation.name](asked)
        except Refused as refused:
            return problem(refused.status, refused.detail, **refused.more)
        except StoreError as error:
            return problem(503, REDACTOR.clean(str(error)), {"Retry-After": "10"})
        return Response(_encoded(said), media_type="application/json")


def _object(body: bytes) -> dict[str, Any]:
    """What a program sent. Raises UsageError."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        msg = "the body is no JSON object"
        raise UsageError(msg)
    return said


class _Act:
    """One address at which a program acts, with a token that is good for it; what a browser sends along is not."""

    def __init__(self, state: State, name: str) -> None:
        self.state = state
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = self._refused(request)
        if answer is None:
            body = await body_of(request, LARGEST_BODY)
            answer = await run_in_threadpool(self._answered, request, body)
        await answer(scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        if request.method != "POST":
            return problem(405, "It takes a POST.", {"Allow": "POST"})
        token = request.state.visitor.token
        if token is None:
            said = "This needs a token that may act: renewal-watch web token create NAME --scope act"
            return problem(401, said, {"WWW-Authenticate": 'Bearer realm="renewal-watch"'})
        if not token.may_act:
            return problem(403, "This token is good for reading only; make one with --scope act.")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return problem(415, "It takes JSON: Content-Type: application/json.")
        return None

    def _answered(self, request: Request, body: bytes) -> Response:
        settings = self.state.settings
        act = next(one for one in acts([one.name for one in settings.environments]) if one.name == self.name)
        try:
            values = checked(act, _object(body))
            call = Call(
                settings=settings,
                store=self.state.store(),
                values=values,
                now=self.state.clock(),
                actor=request.state.visitor.actor,
            )
            with in_zone(settings.timezone):
                said = act.run(call)
        except UsageError as error:
            return problem(400, REDACTOR.clean(str(error)))
        except StoreError as error:
            return problem(503, REDACTOR.clean(str(error)), {"Retry-After": "10"})
        return Response(_encoded(said), media_type="application/json")
