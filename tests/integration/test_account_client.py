"""What is read beside the list, against a real server that misbehaves: rows, an object, or the right error, in time."""

from __future__ import annotations

import ast
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from integration.fault_server import FaultServer, Handler, Line, Request, answer, documented

from renewal_watch.errors import ApiError, NotOffered, NotTheApi, RateLimited, ServerTrouble, TokenRejected
from renewal_watch.provider import simulator
from renewal_watch.provider.talkover import client as talkover_client
from renewal_watch.provider.talkover.client import LONGEST_ASK, PER_PAGE, Client
from renewal_watch.provider.talkover.endpoints import FURTHER
from renewal_watch.text import REDACTOR

TOKEN, USER_TOKEN = "talq_canary_7c1e", "1|canary_of_a_user_93b2"
LISTS = [name for name, endpoint in FURTHER.items() if endpoint.pages]
OBJECTS = [name for name, endpoint in FURTHER.items() if not endpoint.pages]


def client(server: FaultServer, **changes: Any) -> Client:
    given: dict[str, Any] = {
        "base_url": server.base_url,
        "token": lambda: TOKEN,
        "user_token": lambda: USER_TOKEN,
        "deadline": timedelta(seconds=5),
        "max_bytes": 2**20,
        "pause": lambda _: None,
    }
    return Client(**(given | changes))


def ask(name: str, handler: Handler, **changes: Any) -> Any:
    with FaultServer(handler) as server:
        return client(server, **changes).read(name)


def always(said: bytes) -> Handler:
    return lambda _request, _line: said


@pytest.mark.parametrize("name", FURTHER)
def test_each_is_read_where_it_is_documented_with_its_own_token(name: str) -> None:
    said = documented({"id": "x"}) if FURTHER[name].pages else answer({"success": True, "data": {"id": "x"}})
    with FaultServer(always(said)) as server:
        found = client(server).read(name)
        asked = server.requests[0]
    assert found == ([{"id": "x"}] if FURTHER[name].pages else {"id": "x"})
    assert asked.target.partition("?")[0] == f"/api/v1/{FURTHER[name].path}"
    assert asked.headers["authorization"] == f"Bearer {USER_TOKEN if name == 'balance' else TOKEN}"
    assert asked.headers["accept"] == "application/json"


def test_nothing_is_ever_written_to_the_provider() -> None:
    """The client knows one method; whatever goes out goes through it."""
    tree = ast.parse(Path(talkover_client.__file__).read_text())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert texts & {"GET", "POST", "PUT", "PATCH", "DELETE"} == {"GET"}
    assert not any("test" in endpoint.path for endpoint in FURTHER.values())


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (answer({"message": "Not found."}, 404), NotOffered, r"does not offer the .* \(HTTP 404: Not found\.\)"),
        (answer(b"<html>", 404), NotOffered, "HTTP 404: an HTML page"),
        (answer({"message": "No."}, 403), NotOffered, r"does not let this token read the .* \(HTTP 403: No\.\)"),
        (answer({"message": "No."}, 405), NotOffered, "HTTP 405"),
        (answer({"message": "No."}, 422), NotOffered, "HTTP 422"),
        (answer({"message": "No."}, 501), NotOffered, "HTTP 501"),
        (answer({"message": "Unauthenticated."}, 401), TokenRejected, "rejects the token"),
        (answer({"success": False, "message": "Unauthenticated."}), TokenRejected, "rejects the token"),
        (answer({"message": "Too many."}, 429, Retry_After="7"), RateLimited, "rate limit"),
        (answer({"message": "Oops."}, 500), ServerTrouble, "HTTP 500"),
        (answer(b"", 302, Location="http://127.0.0.1:1/login"), NotTheApi, "redirects to 127.0.0.1:1"),
        (answer(b"<!doctype html>"), NotTheApi, "HTML"),
        (answer(b""), NotTheApi, "empty answer"),
        (answer(b"]["), NotTheApi, "not JSON"),
        (answer(b'{"success": true, "data": [', length=27), ServerTrouble, "ends in the middle"),
        (answer({"success": True, "data": "text"}), NotTheApi, "no (list|object) under data"),
        (answer(["text"]), NotTheApi, "not the documented object"),
        (answer({"success": "", "data": []}), NotTheApi, "no success"),
        (answer(b"x" * (2**20 + 1)), NotTheApi, "unpacks to more than 1 MiB"),
    ],
)
@pytest.mark.parametrize("name", ["releases", "balance"])
def test_what_is_no_answer_is_the_right_error(name: str, said: bytes, kind: type[ApiError], words: str) -> None:
    with pytest.raises(kind, match=words):
        ask(name, always(said))


def test_a_request_ends_in_time_however_it_drips() -> None:
    def drip(_request: Request, line: Line) -> None:
        line.drip(b" ")

    with pytest.raises(ServerTrouble, match=r"not answer whole within 0\.3 s"):
        ask("agents", drip, deadline=timedelta(seconds=0.3))


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"success": True, "data": {"balance": 1}}, {"balance": 1}),
        ({"balance": 1}, {"balance": 1}),
        ({"success": True, "data": None}, {}),
        ({"success": True, "data": []}, {}),
    ],
)
def test_an_object_in_every_form(name: str, said: Any, found: Any) -> None:
    assert ask(name, always(answer(said))) == found


def test_json_as_the_documentation_prints_it_is_read() -> None:
    assert ask("balance", always(answer(b'{"data": {"balance": 1.50, },}'))) == {"balance": 1.5}
    assert ask("cards", always(answer(b'{"data": [{"id": "x", },],}'))) == [{"id": "x"}]


@pytest.mark.parametrize("name", LISTS)
def test_rows_that_are_no_objects_are_left_out(name: str) -> None:
    rows = [{"id": "a"}, None, "text", 4, ["b"], {"id": "b"}, {"id": "a"}]
    assert ask(name, always(documented(*rows))) == [{"id": "a"}, {"id": "b"}]


def paged(total: int, size: int, meta: Callable[[int, int], dict[str, Any]]) -> Handler:
    """So many rows in pages of ``size``; ``meta`` says of page and last page what stands beside them."""

    def handler(request: Request, _line: Line) -> bytes:
        rows = [{"id": str(one)} for one in range(total)][(request.page - 1) * size : request.page * size]
        return documented(*rows, **meta(request.page, -(-total // size)))

    return handler


@pytest.mark.parametrize(
    ("size", "meta"),
    [
        (20, lambda page, last: {"meta": {"current_page": page, "last_page": last, "total": 45}}),
        (20, lambda _page, _last: {"pagination": {"total": 45}}),
        (20, lambda page, last: {"links": {"next": "http://127.0.0.1:1/x" if page < last else None}}),
        (45, lambda _page, _last: {}),
    ],
)
def test_pages_are_followed_to_the_end(size: int, meta: Callable[[int, int], dict[str, Any]]) -> None:
    assert len(ask("agents", paged(45, size, meta))) == 45


def test_full_pages_without_a_word_of_more_are_followed() -> None:
    assert len(ask("agents", paged(250, PER_PAGE, lambda _page, _last: {}))) == 250


def test_a_server_that_ignores_the_page_and_one_without_an_end_do_not_go_on_for_ever() -> None:
    same = always(documented(*({"id": str(one)} for one in range(PER_PAGE)), meta={"last_page": 9}))
    with FaultServer(same) as server:
        assert len(client(server).read("agents")) == PER_PAGE
        assert len(server.requests) == 2
    with FaultServer(paged(10**6, PER_PAGE, lambda _page, last: {"meta": {"last_page": last}})) as server:
        assert len(client(server).read("charges")) == 3 * PER_PAGE, "the newest ones"


def test_a_rate_limit_between_pages_is_waited_out() -> None:
    waits: list[float] = []

    def handler(request: Request, line: Line) -> bytes | None:
        if request.page == 2 and not waits:
            return answer({"message": "Too many requests."}, 429, Retry_After="7")
        return paged(40, 20, lambda _page, last: {"meta": {"last_page": last}})(request, line)

    assert len(ask("agents", handler, pause=waits.append)) == 40
    assert waits == [7.0]


def test_all_pages_together_end_in_time() -> None:
    """What is found in the list waits for nothing that is read beside it, not for hours of rate limits either."""
    waits: list[float] = []

    def limited(request: Request, line: Line) -> bytes | None:
        if request.page > 1:
            return answer({"message": "Too many requests."}, 429, Retry_After="50")
        return paged(40, 20, lambda _page, last: {"meta": {"last_page": last}})(request, line)

    with pytest.raises(RateLimited):
        ask("agents", limited, pause=waits.append)
    assert sum(waits) <= LONGEST_ASK.total_seconds()

    ticks = iter(range(0, 10_000, 11))
    endless = paged(10**5, PER_PAGE, lambda _page, last: {"meta": {"last_page": last}})
    with FaultServer(endless) as server:
        with pytest.raises(ServerTrouble, match="the agents cannot be read whole within 60 s"):
            client(server, monotonic=lambda: float(next(ticks))).read("agents")
        assert len(server.requests) < 10


def test_no_token_shows_in_an_error_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    def quote(request: Request, _line: Line) -> bytes:
        return answer({"message": f"{request.headers['authorization']} is not allowed"}, 403)

    caplog.set_level(logging.DEBUG)
    for name in FURTHER:
        with pytest.raises(NotOffered) as error:
            ask(name, quote)
        assert "canary" not in str(error.value)
    assert "canary" not in REDACTOR.clean(caplog.text)


def test_a_user_token_that_is_missing_is_a_rejected_one() -> None:
    with pytest.raises(TokenRejected, match="the token is empty"):
        ask("balance", always(documented()), user_token=lambda: None)


# --- the last call of a number ----------------------------------------------------------------------------------------


def call(at: str, to: str = "+15550000001", **changes: Any) -> dict[str, Any]:
    return {"id": f"call {at}", "from": "+15550109999", "to": to, "is_testing": False, "created_at": at} | changes


def test_the_last_call_is_the_newest_of_those_to_or_from_the_number_whatever_their_order() -> None:
    rows = [
        call("2026-10-01T09:30:00Z"),
        call("2026-11-02T10:00:00+01:00", "+15550109999", **{"from": "+1 555 000 0001"}),
        call("2026-11-20T09:30:00Z", "+15550000002"),  # of another number, whose id the search found
        call("2026-11-21T09:30:00Z", is_testing=True),
        call("no time"),
        call("2026-10-15T09:30:00Z"),
    ]
    with FaultServer(always(documented(*rows))) as server:
        found = client(server).last_call("+15550000001", date(2026, 9, 1))
        asked = server.requests[0]
    assert found == datetime(2026, 11, 2, 9, tzinfo=UTC)
    assert "search=%2B15550000001" in asked.target, "a plus that is not escaped is a blank"
    assert "date_from=2026-09-01" in asked.target


def test_a_number_without_a_call_has_none_and_a_refusal_is_not_offered() -> None:
    with FaultServer(always(documented())) as server:
        assert client(server).last_call("+15550000001", date(2026, 9, 1)) is None
    with FaultServer(always(answer({"message": "No."}, 403))) as server, pytest.raises(NotOffered):
        client(server).last_call("+15550000001", date(2026, 9, 1))


def test_the_simulated_provider_searches_its_calls() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    calls = [call("2026-11-20T09:30:00Z", sid="a"), call("2026-10-20T09:30:00Z", "+15550000002", sid="b")]
    provider = simulator.Provider(now=lambda: now, fleet=[], account=simulator.Account(calls=calls))
    with simulator.Server(provider) as server:
        server.start()
        one = Client(base_url=server.base_url, token=lambda: simulator.TOKEN)
        assert one.last_call("+15550000001", date(2026, 9, 1)) == datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
        assert one.last_call("+15550000002", date(2026, 11, 1)) is None
        assert one.last_call("+15550000003", date(2026, 9, 1)) is None
        server.shutdown()
