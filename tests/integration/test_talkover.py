"""The API client against a real server that misbehaves on the bytes: a complete list or the right error, in time."""

from __future__ import annotations

import gc
import gzip
import http.client
import itertools
import json
import logging
import select
import socket
import ssl
import threading
import time
import traceback
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import trustme
import urllib3.connection
from conftest import T0
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from integration.fault_server import FaultServer, Handler, HungUp, Line, Request, answer, documented
from made_up import entry
from rounds import few

from renewal_watch.errors import (
    ApiError,
    ConfigError,
    NotTheApi,
    RateLimited,
    RequestRefused,
    ServerTrouble,
    TokenRejected,
)
from renewal_watch.model.numbers import Listing
from renewal_watch.provider.http import Answer
from renewal_watch.provider.talkover import client as talkover_client
from renewal_watch.provider.talkover import decode, reading, responses
from renewal_watch.provider.talkover.client import Client
from renewal_watch.settings.environment import Environment

TOKEN = "talq_canary_4f1d"
SHORT = timedelta(seconds=0.3)

# As printed on the provider's page "List Phone Numbers", trailing commas and all.
SAMPLE = b"""{
  "success": true,
  "data": [
    {
      "id": "phone-uuid-1",
      "number": "+1234567890",
      "country_code": "US",
      "formatted_number": "(123) 456-7890",
      "international_number": "+1 234 567 890",
      "type": "voice",
      "has_voice": true,
      "has_sms": true,
      "has_mms": false,
      "has_fax": false,
      "has_whatsapp": false,
      "current_status": "active",
      "is_sandbox": false,
      "current_price": 1.00,
      "currency": "USD",
      "renewal_date": "2024-02-15",
      "auto_renewal": true,
      "created_at": "2024-01-15T10:30:00Z",
      "updated_at": "2024-01-15T10:30:00Z",
      "monthly_renewal_cost": 1.00,
      "days_until_monthly_renewal": 15,
      "is_due_for_monthly_renewal": false,
    },
    {
      "id": "phone-uuid-2",
      "number": "+1987654321",
      "country_code": "US",
      "formatted_number": "(987) 654-3210",
      "international_number": "+1 987 654 321",
      "type": "voice",
      "has_voice": true,
      "has_sms": true,
      "has_mms": false,
      "has_fax": false,
      "has_whatsapp": false,
      "current_status": "active",
      "is_sandbox": false,
      "current_price": 1.00,
      "currency": "USD",
      "renewal_date": "2024-02-15",
      "auto_renewal": true,
      "created_at": "2024-01-15T11:00:00Z",
      "updated_at": "2024-01-15T11:00:00Z",
      "monthly_renewal_cost": 1.00,
      "days_until_monthly_renewal": 15,
      "is_due_for_monthly_renewal": false,
    }
  ]
}"""


@pytest.fixture(autouse=True)
def _no_request_lives_on() -> Iterator[None]:
    """A request that was given up has ended with its connection; none is left to the next test."""
    yield
    all_requests_have_ended()


def all_requests_have_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "renewal-watch-request":
            thread.join(1)
            assert not thread.is_alive()


def client(server: FaultServer, **changes: Any) -> Client:
    """A client of ``server`` that waits for nothing."""
    given_: dict[str, Any] = {
        "base_url": server.base_url,
        "token": lambda: TOKEN,
        "deadline": timedelta(seconds=5),
        "max_bytes": 2**20,
        "pause": lambda _: None,
    }
    return Client(**(given_ | changes))


def fetch(handler: Handler, **changes: Any) -> Listing:
    with FaultServer(handler) as server:
        return client(server, **changes).fetch()


def failure(handler: Handler, **changes: Any) -> ApiError:
    """The error that a fetch ends with; fails the test if it gives a list, or goes on behind its back."""
    with FaultServer(handler) as server:
        with pytest.raises(ApiError) as caught:
            client(server, **changes).fetch()
        all_requests_have_ended()
    return caught.value


def always(said: bytes) -> Handler:
    return lambda _, __: said


def one_page(*entries: object, **more: Any) -> Handler:
    return always(documented(*entries, **({"meta": {"last_page": 1}} | more)))


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_the_request_carries_the_filters_the_token_and_asks_for_json() -> None:
    filters = {"type": "voice", "has_voice": "true", "has_whatsapp": "1", "search": "+1555 0&1", "direction": "inbound"}
    with FaultServer(one_page(entry())) as server:
        client(server, filters=filters).fetch()
    (request,) = server.requests
    assert request.target.startswith("/api/v1/phone-numbers?")
    assert "search=%2B1555" in request.target
    assert request.query == filters | {"per_page": "100"}
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_filters_are_sent_as_the_configuration_says() -> None:
    with FaultServer(one_page(entry())) as server:
        environment = Environment(
            name="a", base_url=server.base_url, token=TOKEN, filters={"has_voice": True, "search": "+49"}
        )
        Client.of(environment, lambda _: None).fetch()
    assert server.requests[0].query == {"has_voice": "true", "search": "+49", "per_page": "100"}


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/deep/er/v9", ""])
def test_any_base_url_is_used_as_it_is(path: str) -> None:
    with FaultServer(one_page(entry())) as server:
        client(server, base_url=f"http://127.0.0.1:{server.port}{path}").fetch()
    assert server.requests[0].target == f"{path.rstrip('/')}/phone-numbers?per_page=100"


@pytest.mark.parametrize("token", ["talq_a", "dc_b", "client_c", "1|abcDEF", "x", "a.b-c~d+e/f=="])
def test_any_token_prefix_is_sent_as_it_is(token: str) -> None:
    with FaultServer(one_page(entry())) as server:
        client(server, token=lambda: token).fetch()
    assert server.requests[0].headers["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "line\r\nX-Evil: 1", "\x00", "tök"])
def test_a_token_that_cannot_be_a_header_is_an_error_before_anything_is_sent(token: str) -> None:
    with FaultServer(one_page(entry())) as server, pytest.raises(TokenRejected) as caught:
        client(server, token=lambda: token).fetch()
    assert server.connections == 0
    assert not token or token not in str(caught.value)


def test_a_token_that_cannot_be_read_is_the_error_of_its_reader() -> None:
    def unreadable() -> str:
        raise ConfigError(["the token file cannot be read"])

    with FaultServer(one_page(entry())) as server, pytest.raises(ConfigError, match="token file"):
        client(server, token=unreadable).fetch()


def test_a_replaced_token_is_seen_by_the_next_fetch() -> None:
    tokens = itertools.chain(["first"], itertools.repeat("second"))
    with FaultServer(one_page(entry())) as server:
        source = client(server, token=lambda: next(tokens))
        source.fetch()
        source.fetch()
    assert [r.headers["authorization"] for r in server.requests] == ["Bearer first", "Bearer second"]


# --- what is read -----------------------------------------------------------------------------------------------------


def test_the_documented_sample_is_read_as_printed() -> None:
    found = fetch(always(answer(SAMPLE)))
    assert list(found.entries) == ["phone-uuid-1", "phone-uuid-2"]
    assert found.tolerant
    assert not found.invalid
    first = found.entries["phone-uuid-1"].parsed
    assert first.number == "+1234567890"
    assert first.renewal_on("UTC") == date(2024, 2, 15)
    assert first.countdown == 15
    assert first.cost == Decimal(1)
    assert json.loads(bytes(found.entries["phone-uuid-1"].raw))["formatted_number"] == "(123) 456-7890"


@pytest.mark.parametrize(
    ("field_", "value", "attribute", "expected"),
    [
        ("current_price", "1.15", "current_price", Decimal("1.15")),
        ("current_price", "1", "current_price", Decimal(1)),
        ("monthly_renewal_cost", "2.500", "cost", Decimal("2.5")),
        ("monthly_renewal_cost", 0.1, "cost", Decimal("0.1")),
        ("renewal_date", "2026-12-23T00:00:00.000000Z", "renewal_on", date(2026, 12, 23)),
        ("renewal_date", "2026-12-23 10:30:00", "renewal_on", date(2026, 12, 23)),
        ("renewal_date", "2026-12-23T23:59:59-03:00", "renewal_on", date(2026, 12, 24)),
        ("renewal_date", "", "renewal_on", None),
        ("renewal_date", None, "renewal_on", None),
        ("days_until_monthly_renewal", 29.98, "countdown", 29),
        ("days_until_monthly_renewal", -2, "countdown", -2),
        ("days_until_monthly_renewal", -1.4, "countdown", -1),
        ("days_until_monthly_renewal", "7", "countdown", 7),
        ("days_until_monthly_renewal", "-3.5", "countdown", -3),
        ("days_until_monthly_renewal", None, "countdown", None),
        ("days_until_monthly_renewal", "", "countdown", None),
        ("current_status", "porting_out", "status", "porting_out"),
        ("current_status", None, "status", ""),
        ("type", "satellite", "type", "satellite"),
        ("has_voice", 1, "has_voice", True),
        ("auto_renewal", "false", "auto_renewal", False),
        ("environment", {"id": 7}, "number", "+15550000001"),
        ("agents", [{"id": 1, "deep": [[[]]]}], "number", "+15550000001"),
    ],
)
def test_a_value_is_read_in_every_form_it_may_come_in(
    field_: str, value: Any, attribute: str, expected: object
) -> None:
    found = fetch(one_page(entry(**{field_: value})))
    assert found.invalid == ()
    read = found.entries["phone-1"]
    said = getattr(read.parsed, attribute)
    assert (said("UTC") if attribute == "renewal_on" else said) == expected
    assert json.loads(bytes(read.raw))[field_] == value


@pytest.mark.parametrize("name", [key for key in entry() if key != "id"])
def test_null_and_absence_are_read_anywhere_but_in_the_id(name: str) -> None:
    without = {key: value for key, value in entry("phone-2").items() if key != name}
    found = fetch(one_page(entry("phone-1", **{name: None}), without))
    assert list(found.entries) == ["phone-1", "phone-2"]


def test_unknown_fields_are_kept() -> None:
    found = fetch(one_page(entry(carrier="Twilio", tags=["a", {"b": None}])))
    kept = json.loads(bytes(found.entries["phone-1"].raw))
    assert kept["carrier"] == "Twilio"
    assert kept["tags"] == ["a", {"b": None}]


def test_a_numeric_id_is_an_id() -> None:
    assert list(fetch(one_page(entry(id=17), entry(id="x"))).entries) == ["17", "x"]


BROKEN = [  # an entry with something that cannot be read; its name, and the fields
    (json.dumps(entry("bad", id=None)).encode(), "+15550000bad", ["id"]),
    (json.dumps(entry("bad", id="")).encode(), "+15550000bad", ["id"]),
    (json.dumps(entry("bad", id=True)).encode(), "+15550000bad", ["id"]),
    (json.dumps(entry("bad", id=["x"])).encode(), "+15550000bad", ["id"]),
    (json.dumps(entry("bad", renewal_date="soon")).encode(), "bad", ["renewal_date"]),
    (json.dumps(entry("bad", renewal_date=17)).encode(), "bad", ["renewal_date"]),
    (json.dumps(entry("bad", current_price="a lot")).encode(), "bad", ["current_price"]),
    (json.dumps(entry("bad", current_price="NaN")).encode(), "bad", ["current_price"]),
    (json.dumps(entry("bad", monthly_renewal_cost="-Infinity")).encode(), "bad", ["monthly_renewal_cost"]),
    (json.dumps(entry("bad")).replace("1.0,", "1e999,").encode(), "bad", ["current_price", "monthly_renewal_cost"]),
    (json.dumps(entry("bad", current_price=float("nan"))).encode(), "bad", ["current_price"]),
    (json.dumps(entry("bad", days_until_monthly_renewal="nan")).encode(), "bad", ["days_until_monthly_renewal"]),
    (json.dumps(entry("bad", days_until_monthly_renewal="inf")).encode(), "bad", ["days_until_monthly_renewal"]),
    (json.dumps(entry("bad", days_until_monthly_renewal=[1])).encode(), "bad", ["days_until_monthly_renewal"]),
    (json.dumps(entry("bad", country_code="\ud83d")).encode(), "bad", ["country_code"]),
    (json.dumps(entry("bad", country_code="@@")).encode().replace(b"@@", b"\xff\xfe"), "bad", ["country_code"]),
    (json.dumps(entry("b@d")).encode().replace(b"@", b"\xff"), "b\ufffdd", ["id", "number"]),
    (json.dumps(entry("bad", odd="@")).encode().replace(b"@", b"\xff"), "bad", ["odd"]),
    (json.dumps(entry("bad", odd={"a": ["\ud83d"]})).encode(), "bad", ["odd"]),
    (json.dumps(entry("bad", odd={"a": "\U0001f600"})).encode(), "bad", []),
    (b'{"id": "bad", "odd": {"a": ' + b"[" * 25 + b"]" * 25 + b"}}", "bad", ["odd"]),
    (b'{"id": "bad", "odd": ' + b"[" * 5000 + b"]" * 5000 + b"}", "bad", ["odd"]),
    (b'{"id": "bad", "odd": [' + b"7" * 5000 + b"]}", "bad", ["odd"]),
    (b'{"id": "bad", "odd": -' + b"7" * 5000 + b"}", "bad", ["odd"]),
    (b'{"id": "bad", "type": ' + b"[" * 5000 + b"]" * 5000 + b"}", "bad", ["type"]),
    (b'{"id": ' + b"9" * 5000 + b', "number": "+1555"}', "9" * 5000, ["id"]),
]


@pytest.mark.parametrize(("broken", "name", "fields"), BROKEN, ids=[str(i) for i in range(len(BROKEN))])
def test_a_field_that_cannot_be_read_is_one_unknown_field(broken: bytes, name: str, fields: list[str]) -> None:
    good = [json.dumps(entry(f"phone-{i}")).encode() for i in (1, 2)]
    body = b'{"success": true, "data": [' + b", ".join([good[0], broken, good[1]]) + b'], "meta": {"last_page": 1}}'
    found = fetch(always(answer(body)))
    assert list(found.entries) == ["phone-1", name, "phone-2"]
    assert [fault.field for fault in found.entries[name].faults] == fields
    assert found.invalid == ()
    json.loads(bytes(found.entries[name].raw).decode())


@pytest.mark.parametrize("broken", [b"null", b'"text"', b"[]", b"{}", b"7", b'{"price": 1}', b"[" * 5000 + b"]" * 5000])
def test_an_entry_without_id_and_number_is_skipped_and_hides_no_other(broken: bytes) -> None:
    good = [json.dumps(entry(f"phone-{i}")).encode() for i in (1, 2)]
    body = b'{"success": true, "data": [' + b", ".join([good[0], broken, good[1]]) + b'], "meta": {"last_page": 1}}'
    found = fetch(always(answer(body)))
    assert list(found.entries) == ["phone-1", "phone-2"]
    (skipped,) = found.invalid
    assert skipped.reason.isprintable()


@pytest.mark.parametrize("other", ["+1 202 555 0001", "001-202-555-0001", None, ""])
@pytest.mark.parametrize("order", [1, -1])
def test_one_number_under_one_id_is_one_whatever_its_notation_and_order(other: str | None, order: int) -> None:
    """Its entry that renews sooner counts; one without a number is of the number that its id has."""
    twice = [
        entry("x", number="+12025550001", days_until_monthly_renewal=30),
        entry("x", number=other, days_until_monthly_renewal=1),
    ]
    found = fetch(one_page(*twice[::order]))
    assert {name: (one.parsed.countdown, bool(one.parsed.number)) for name, one in found.entries.items()} == {
        "x": (1, True)
    }


def test_two_numbers_under_one_id_are_both_read_and_of_one_number_the_entry_that_renews_sooner() -> None:
    found = fetch(
        one_page(
            entry("x", number="+1", days_until_monthly_renewal=30),
            entry("x", number="+2", days_until_monthly_renewal=1),
            entry("y", number="+3", days_until_monthly_renewal=9),
            entry("y", number="+3", days_until_monthly_renewal=2),
        )
    )
    assert {name: one.parsed.countdown for name, one in found.entries.items()} == {"x": 30, "x +2": 1, "y": 2}


def test_entries_with_something_unreadable_count_as_read_where_a_total_is_stated() -> None:
    found = fetch(one_page(entry("phone-1"), entry("phone-2", renewal_date="soon"), meta={"total": 2}))
    assert list(found.entries) == ["phone-1", "phone-2"]


def test_an_empty_list_of_the_documented_form_is_an_empty_list() -> None:
    for more in ({}, {"meta": {"total": 0, "last_page": 1}}, {"meta": {"last_page": 1}}, {"pagination": {"total": 0}}):
        assert fetch(always(documented(**more))).entries == {}


# --- pages ------------------------------------------------------------------------------------------------------------


@dataclass
class Pages:
    """A provider that pages as told; ``edits`` change the list before the request of that number."""

    names: list[str]
    shape: Callable[[list[Any], dict[str, int]], dict[str, Any]]
    largest: int = 100
    edits: dict[int, Callable[[list[str]], None]] = field(default_factory=dict)
    asked: int = 0

    def __call__(self, request: Request, _: Line) -> bytes:
        self.asked += 1
        if self.asked in self.edits:
            self.edits[self.asked](self.names)
        size = min(self.largest, int(request.query["per_page"]))
        first = (request.page - 1) * size
        facts = {
            "current_page": request.page,
            "per_page": size,
            "total": len(self.names),
            "last_page": max(1, -(-len(self.names) // size)),
        }
        return answer(self.shape([entry(name) for name in self.names[first : first + size]], facts))


def without(facts: dict[str, int], *keys: str) -> dict[str, int]:
    return {key: value for key, value in facts.items() if key not in keys}


SHAPES: dict[str, Callable[[list[Any], dict[str, int]], dict[str, Any]]] = {
    "meta": lambda data, facts: {"success": True, "data": data, "meta": facts},
    "pagination": lambda data, facts: {"success": True, "data": data, "pagination": facts},
    "pagination in meta": lambda data, facts: {"data": data, "meta": {"pagination": facts}},
    "numbers as text": lambda data, facts: {"data": data, "meta": {k: str(v) for k, v in facts.items()}},
    "numbers as floats": lambda data, facts: {"data": data, "meta": {k: float(v) for k, v in facts.items()}},
    "no last_page": lambda data, facts: {"success": True, "data": data, "meta": without(facts, "last_page")},
    "only a total": lambda data, facts: {"success": True, "data": data, "pagination": {"total": facts["total"]}},
    "total_pages": lambda data, facts: {"data": data, "meta": {"total_pages": facts["last_page"]}},
    "no total": lambda data, facts: {"success": True, "data": data, "meta": without(facts, "total")},
    "no word of pages": lambda data, _: {"success": True, "data": data},
    "an empty meta": lambda data, _: {"success": True, "data": data, "meta": []},
    "paginator at the top": lambda data, facts: {**facts, "data": data, "links": [{"url": None, "active": False}]},
    "paginator under data": lambda data, facts: {"success": True, "data": {**facts, "data": data}},
    "simple paginator": lambda data, facts: {
        "data": data,
        "next_page_url": "http://203.0.113.1/?page=2" if facts["current_page"] < facts["last_page"] else None,
    },
    "resource links": lambda data, facts: {
        "data": data,
        "links": {"next": "http://203.0.113.1/" if facts["current_page"] < facts["last_page"] else None},
        "meta": without(facts, "total", "last_page"),
    },
    "PHP object": lambda data, facts: {
        "success": True,
        "data": {str(3 * i): one for i, one in enumerate(data)} if data else [],
        "meta": facts,
    },
    "last_page beyond reason": lambda data, facts: {"data": data, "meta": facts | {"last_page": 10**9}},
}


def numbers(count: int) -> list[str]:
    return [f"phone-{i}" for i in range(count)]


@pytest.mark.parametrize("count", [1, 100, 250])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_list_is_read_to_its_last_page(shape: str, count: int) -> None:
    found = fetch(Pages(numbers(count), SHAPES[shape]))
    assert list(found.entries) == numbers(count)
    assert found.invalid == ()


@pytest.mark.parametrize("shape", ["meta", "no last_page", "no total", "no word of pages", "paginator at the top"])
def test_a_server_that_caps_the_page_size_is_read_to_its_last_page(shape: str) -> None:
    assert list(fetch(Pages(numbers(45), SHAPES[shape], largest=20)).entries) == numbers(45)


def test_a_stated_page_size_is_not_believed() -> None:
    def shape(data: list[Any], facts: dict[str, int]) -> dict[str, Any]:
        return {"data": data, "meta": {"total": facts["total"], "per_page": 100}}

    assert list(fetch(Pages(numbers(45), shape, largest=20)).entries) == numbers(45)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
@pytest.mark.parametrize("meta", [{}, {"current_page": 1}, {"total": ANY}, {"total": ANY, "last_page": 3}])
def test_a_server_that_ignores_page_and_sends_all_is_read_whole(count: int, meta: dict[str, Any]) -> None:
    stated = {key: count if value is ANY else value for key, value in meta.items()}
    found = fetch(always(documented(*map(entry, numbers(count)), meta=stated)))
    assert list(found.entries) == numbers(count)


def test_a_long_list_without_word_of_pages_costs_one_request() -> None:
    with FaultServer(always(documented(*map(entry, numbers(101))))) as server:
        client(server).fetch()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"meta": {"total": 250}},
        {"meta": {"total": 250, "last_page": 3, "per_page": 100}},
        {"meta": {"last_page": 3}},
        {"meta": {"next_cursor": "eyJpZCI6MTAwfQ"}},
        {"next_page_url": "http://203.0.113.1/?cursor=x"},
        {"links": {"next": "http://203.0.113.1/?cursor=x"}},
        {"pagination": {"has_more": True}},
        {"meta": {"pagination": {"total": 250, "links": {"next": "http://203.0.113.1/"}}}},
    ],
)
def test_a_first_page_sent_again_is_no_complete_list_if_there_should_be_more(more: dict[str, Any]) -> None:
    assert isinstance(failure(always(documented(*map(entry, numbers(100)), **more))), NotTheApi)


@pytest.mark.parametrize(("total", "last_page"), [(4, 1), (4, None), (1000, 1), (4, 2)])
def test_fewer_numbers_than_stated_is_an_error(total: int, last_page: int | None) -> None:
    def handler(request: Request, _: Line) -> bytes:
        shown = map(entry, numbers(3)) if request.page == 1 else ()
        return documented(*shown, meta={"total": total, "last_page": last_page})

    error = failure(handler)
    assert isinstance(error, NotTheApi)
    assert f"{total} numbers, but only 3" in str(error)


@pytest.mark.parametrize("total", [0, 1, 2])
def test_more_numbers_than_stated_are_all_taken(total: int) -> None:
    assert len(fetch(one_page(*map(entry, numbers(3)), meta={"total": total, "last_page": 1})).entries) == 3


@pytest.mark.parametrize("shape", ["meta", "no total", "no word of pages"])
def test_duplicate_ids_on_one_page_and_over_pages_are_dropped(shape: str) -> None:
    names = numbers(120)
    names[7] = names[6]
    names[110] = names[3]
    assert list(fetch(Pages(names, SHAPES[shape])).entries) == [n for i, n in enumerate(names) if i not in {7, 110}]


def test_pages_that_are_asked_for_stay_at_the_base_url() -> None:
    with FaultServer(always(documented(entry()))) as elsewhere:

        def handler(request: Request, _: Line) -> bytes:
            shown = [entry(f"phone-{request.page}")] if request.page < 4 else []
            more = {"next_page_url": elsewhere.base_url, "links": {"next": elsewhere.base_url}}
            return documented(*shown, **(more if shown else {}))

        assert len(fetch(handler).entries) == 3
    assert elsewhere.connections == 0


def test_a_list_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talkover_client, "MAX_PAGES", 5)
    assert "more than 5 pages" in str(failure(lambda r, _: documented(entry(f"phone-{r.page}"))))


def test_all_pages_together_stay_within_the_size_limit() -> None:
    error = failure(lambda r, _: documented(entry(f"phone-{r.page}", note="x" * 3000)), max_bytes=10_000)
    assert isinstance(error, NotTheApi)
    assert "max_body_mb" in str(error)


def front(names: list[str]) -> None:
    names.insert(0, "phone-9999")


def back(names: list[str]) -> None:
    names.append("phone-9999")


def gone(names: list[str]) -> None:
    names.pop(5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("request_", [2, 3])
@pytest.mark.parametrize("edit", [front, back, gone])
def test_a_number_added_or_gone_meanwhile_loses_no_other(
    shape: str, request_: int, edit: Callable[[list[str]], None]
) -> None:
    pages = Pages(numbers(201), SHAPES[shape], edits={request_: edit})
    assert set(numbers(201)) - set(fetch(pages).entries) <= {"phone-5"}
    assert edit is not gone or set(pages.names) <= set(numbers(201))


def test_the_only_full_page_hides_no_number_that_moved_onto_it() -> None:
    pages = Pages(numbers(101), SHAPES["no word of pages"], edits={2: gone})
    assert "phone-100" in fetch(pages).entries


def test_a_list_that_never_holds_still_is_an_error_and_no_list() -> None:
    names = (f"phone-{i}" for i in itertools.count(1000))
    edits = {i: (lambda known: known.insert(0, next(names))) for i in range(1, 50)}
    error = failure(Pages(numbers(250), SHAPES["meta"], edits=edits))
    assert isinstance(error, ServerTrouble)
    assert "kept changing" in str(error)


EDITS = st.dictionaries(st.integers(2, 9), st.integers(0, 60), max_size=4)


@few(40, suppress_health_check=[HealthCheck.too_slow])
@given(shape=st.sampled_from(sorted(SHAPES)), count=st.integers(0, 60), edits=EDITS, grows=st.booleans())
def test_a_number_that_was_there_all_the_time_is_in_the_list_or_there_is_none(
    shape: str, count: int, edits: dict[int, int], *, grows: bool
) -> None:
    removed: set[str] = set()

    def edit_at(place: int, serial: int) -> Callable[[list[str]], None]:
        def edit(names: list[str]) -> None:
            if grows:
                names.insert(min(place, len(names)), f"phone-{1000 + serial}")
            elif names:
                removed.add(names.pop(place % len(names)))

        return edit

    pages = Pages(
        numbers(count), SHAPES[shape], largest=20, edits={at: edit_at(place, at) for at, place in edits.items()}
    )
    with FaultServer(pages) as server:
        try:
            found = client(server).fetch()
        except ServerTrouble:
            return
    assert set(numbers(count)) - removed <= set(found.entries) <= set(numbers(count)) | set(pages.names)


# --- errors that the server names -------------------------------------------------------------------------------------

STATUSES = [
    (401, {"success": False, "message": "Unauthorized"}, TokenRejected, "Unauthorized"),
    (401, {"error": "TOKEN_EXPIRED", "message": "Expired.", "status_code": 401}, TokenRejected, "Expired."),
    (401, b"", TokenRejected, "401"),
    (401, b"<html>log in</html>", TokenRejected, "HTML"),
    (401, {"success": True, "data": []}, TokenRejected, "401"),
    (403, {"success": False, "error": {"code": "X", "message": "No."}}, TokenRejected, "No."),
    (403, b"\xff\xfe", TokenRejected, "403"),
    (
        422,
        {"success": False, "message": "Invalid.", "errors": {"type": ["The selected type is invalid.", "Really."]}},
        RequestRefused,
        "type: The selected type is invalid. Really.",
    ),
    (422, {"message": "Bad", "errors": ["one", {"two": 2}]}, RequestRefused, "one"),
    (400, {"error": {"message": "search is too short"}}, RequestRefused, "search is too short"),
    (402, {"message": "pay first"}, RequestRefused, "pay first"),
    (404, {"message": "Not found"}, NotTheApi, "base_url"),
    (429, {"success": False, "message": "Too many requests"}, RateLimited, "Too many requests"),
    (429, b"<html>slow down</html>", RateLimited, "429"),
    (500, {"success": False, "message": "Internal server error."}, ServerTrouble, "Internal server error."),
    (500, {"message": "Unauthenticated."}, ServerTrouble, "500"),
    (502, b"<html>Bad Gateway</html>", ServerTrouble, "HTML"),
    (503, b"<!DOCTYPE html>maintenance", ServerTrouble, "503"),
    (504, b"", ServerTrouble, "504"),
    (408, b"", ServerTrouble, "408"),
    (599, b"[" * 100_000, ServerTrouble, "599"),
    (204, b"", NotTheApi, "204"),
    (206, {"success": True, "data": []}, NotTheApi, "206"),
    (201, {"success": True, "data": []}, NotTheApi, "201"),
    (304, b"", NotTheApi, "304"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), STATUSES)
def test_the_status_goes_before_the_body(status: int, body: object, kind: type[ApiError], words: str) -> None:
    error = failure(always(answer(body, status)))
    assert type(error) is kind
    assert words in str(error)


BODIES = [
    (b"", NotTheApi, "empty"),
    (b" \n", NotTheApi, "empty"),
    (b"<html><body>Welcome</body></html>", NotTheApi, "HTML"),
    (b"<br />\n<b>Warning</b>: x{}", NotTheApi, "HTML"),
    (b"OK", NotTheApi, "not JSON"),
    (b"null", NotTheApi, "object"),
    (b"[]", NotTheApi, "object"),
    (b'"text"', NotTheApi, "object"),
    (b"{}", NotTheApi, "no list"),
    ({"success": True}, NotTheApi, "no list"),
    ({"success": True, "data": None}, NotTheApi, "no list"),
    ({"success": True, "data": {}}, NotTheApi, "no list"),
    ({"success": True, "data": "none"}, NotTheApi, "no list"),
    ({"success": True, "data": {"a": 1}}, NotTheApi, "no list"),
    ({"success": True, "numbers": []}, NotTheApi, "no list"),
    (b'{"success": true, "data": []} trailing', NotTheApi, "not JSON"),
    (b'{"success": true, "data": [NaN, 1]', ServerTrouble, "cut"),
    (b'{"success": true, "data": [{"id": "a"}', ServerTrouble, "cut"),
    (SAMPLE[:-300], ServerTrouble, "cut"),
    (b"[" * 100_000, ServerTrouble, "cut"),
    (b'{"a":' * 100_000, ServerTrouble, "cut"),
    (b'{"success": true, "x": "\xff", "data": [}', NotTheApi, "not JSON"),
    ('{"success": true, "data": []}'.encode("utf-16"), NotTheApi, "not JSON"),
    ({"success": False}, NotTheApi, "no success"),
    ({"success": False, "data": []}, NotTheApi, "no success"),
    ({"success": "false", "data": []}, NotTheApi, "no success"),
    ({"success": 0, "data": []}, NotTheApi, "no success"),
    ({"success": "", "data": []}, NotTheApi, "no success"),
    ({"success": False, "message": "Maintenance"}, NotTheApi, "Maintenance"),
    ({"message": "Server Error"}, NotTheApi, "Server Error"),
    ({"error": "broken", "data": []}, NotTheApi, "broken"),
    ({"success": True, "errors": {"type": ["bad"]}, "data": []}, NotTheApi, "type: bad"),
    ({"success": False, "message": "Unauthorized"}, TokenRejected, "Unauthorized"),
    ({"success": False, "message": "Unauthenticated.", "data": []}, TokenRejected, "Unauthenticated"),
    ({"success": False, "message": "Invalid token supplied"}, TokenRejected, "Invalid token"),
    ({"success": False, "code": "INVALID_TOKEN", "data": []}, TokenRejected, "token"),
    ({"error": "UNAUTHORIZED", "message": "No.", "status_code": 401}, TokenRejected, "No."),
    ({"error": "MISSING_TOKEN", "data": []}, TokenRejected, "token"),
    ({"success": False, "error": {"code": "TOKEN_EXPIRED", "message": "Old."}}, TokenRejected, "Old."),
    ({"success": False, "message": "Too many requests, wait"}, RateLimited, "Too many"),
    ({"success": False, "code": "RATE_LIMIT_EXCEEDED"}, RateLimited, "rate limit"),
]


@pytest.mark.parametrize(("body", "kind", "words"), BODIES, ids=[str(i) for i in range(len(BODIES))])
def test_a_200_without_a_list_is_the_error_it_stands_for_and_never_an_empty_list(
    body: object, kind: type[ApiError], words: str
) -> None:
    error = failure(always(answer(body)))
    assert type(error) is kind
    assert words in str(error)


def test_the_providers_words_are_plain_and_short() -> None:
    hostile = "<!channel> \x1b[31m[pay](http://evil.example) *now*\n@here " + "x" * 10_000
    error = failure(always(answer({"message": hostile}, 422)))
    assert len(str(error)) < 400
    assert str(error).isprintable()
    assert not set("<>*@[]`|") & set(str(error))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_redirect_is_an_error_and_the_token_never_goes_there(status: int, host: str) -> None:
    with FaultServer(one_page(entry())) as elsewhere:
        target = f"http://{host}:{elsewhere.port}/api/v1/phone-numbers"
        error = failure(always(answer(b"", status, Location=target)))
    assert type(error) is NotTheApi
    assert f"{host}:{elsewhere.port}" in str(error)
    assert elsewhere.connections == 0


# --- how long to wait -------------------------------------------------------------------------------------------------

MINUTE = timedelta(minutes=1)
WAITS: list[tuple[dict[str, str], object, timedelta]] = [
    ({"Retry-After": "17"}, {}, timedelta(seconds=17)),
    ({"retry-after": "2.5"}, {}, timedelta(seconds=2.5)),
    ({"Retry-After": "0"}, {}, timedelta(seconds=1)),
    ({"Retry-After": "-9"}, {}, timedelta(seconds=1)),
    ({"Retry-After": format_datetime(T0 + timedelta(seconds=90), usegmt=True)}, {}, timedelta(seconds=90)),
    ({"Retry-After": format_datetime(T0 - timedelta(days=1), usegmt=True)}, {}, timedelta(seconds=1)),
    ({"Retry-After": str(int(T0.timestamp()) + 40)}, {}, timedelta(seconds=40)),
    ({"Retry-After": "1e300"}, {}, responses.LONGEST_WAIT),
    ({"Retry-After": "9" * 400}, {}, MINUTE),
    ({"Retry-After": "864000"}, {}, responses.LONGEST_WAIT),
    ({"Retry-After": "soon"}, {}, MINUTE),
    ({"Retry-After": "nan"}, {}, MINUTE),
    ({"Retry-After": ""}, {}, MINUTE),
    ({"Retry-After": "Mon, 23 Nov 2026 12:00:09 -0000"}, {}, MINUTE),
    ({"Retry-After": "garbage"}, {"error": {"details": {"retry_after": 33}}}, timedelta(seconds=33)),
    ({"Retry-After": "5"}, {"error": {"details": {"retry_after": 33}}}, timedelta(seconds=5)),
    ({}, {"error": {"details": {"retry_after": 60}}}, MINUTE),
    ({}, {"error": {"retry_after": "12"}}, timedelta(seconds=12)),
    ({}, {"details": {"retry_after": 13}}, timedelta(seconds=13)),
    ({}, {"retry_after": 14}, timedelta(seconds=14)),
    ({}, {"error": {"details": {"retry_after": None}}}, MINUTE),
    ({}, {"error": {"details": {"retry_after": True}}}, MINUTE),
    ({}, {"error": {"details": [1]}}, MINUTE),
    ({}, {"error": "TOO_MANY", "details": "x"}, MINUTE),
    ({"X-RateLimit-Reset": "21"}, {}, timedelta(seconds=21)),
    ({"X-RateLimit-Reset": "21"}, {"retry_after": 9}, timedelta(seconds=9)),
    ({"X-RateLimit-Reset": str(int(T0.timestamp()) + 45)}, {}, timedelta(seconds=45)),
    ({"X-RateLimit-Reset": str((int(T0.timestamp()) + 45) * 1000)}, {}, timedelta(seconds=45)),
    ({"X-RateLimit-Reset": str(int(T0.timestamp()) - 45)}, {}, timedelta(seconds=1)),
    ({"X-RateLimit-Reset": "tomorrow"}, {}, MINUTE),
    ({}, b"<html>", MINUTE),
    ({}, b"", MINUTE),
]


@pytest.mark.parametrize(("headers", "body", "expected"), WAITS)
def test_a_rate_limit_says_how_long_by_header_body_or_reset(
    headers: dict[str, str], body: object, expected: timedelta
) -> None:
    content = bytearray(body if isinstance(body, bytes) else json.dumps(body).encode())
    folded = http.client.HTTPMessage()
    for name, value in headers.items():
        folded[name] = value
    said = talkover_client.Answer(status=429, headers=folded, body=content)  # type: ignore[arg-type]
    with pytest.raises(RateLimited) as caught:
        responses.check(said, T0)
    assert caught.value.retry_after == expected


def test_a_rate_limit_on_the_wire_carries_its_wait() -> None:
    assert failure(always(answer(b"", 429, Retry_After="17"))).retry_after == timedelta(seconds=17)
    said = {"success": False, "message": "Too many requests", "retry_after": 8}
    assert failure(always(answer(said))).retry_after == timedelta(seconds=8)
    assert failure(always(answer(b"", 503, Retry_After="90"))).retry_after == timedelta(seconds=90)
    assert failure(always(answer(b"", 500))).retry_after is None


def refusing(pages: Pages, refused: dict[int, bytes]) -> Handler:
    """``pages``, but these requests are answered otherwise."""
    asked = itertools.count(1)

    def handler(request: Request, line: Line) -> bytes:
        return refused.get(next(asked)) or pages(request, line)

    return handler


def test_a_rate_limit_between_pages_is_waited_out() -> None:
    pauses: list[float] = []
    said = {"success": False, "message": "Too many requests", "retry_after": 30}
    refused = {2: answer(b"", 429, Retry_After="7"), 4: answer(said), 5: answer(b"", 429)}
    found = fetch(refusing(Pages(numbers(250), SHAPES["meta"]), refused), pause=pauses.append)
    assert list(found.entries) == numbers(250)
    assert pauses == [7, 30, 60]


def test_a_rate_limit_while_the_list_is_read_again_is_waited_out() -> None:
    pauses: list[float] = []
    pages = Pages(numbers(150), SHAPES["meta"], edits={2: front})
    found = fetch(refusing(pages, {3: answer(b"", 429, Retry_After="7")}), pause=pauses.append)
    assert len(found.entries) == 151
    assert pauses == [7]


def test_a_rate_limit_on_the_first_page_is_an_error_at_once() -> None:
    pauses: list[float] = []
    assert isinstance(failure(always(answer(b"", 429)), pause=pauses.append), RateLimited)
    assert pauses == []


def test_waits_between_pages_grow_and_end() -> None:
    pauses: list[float] = []

    def handler(request: Request, line: Line) -> bytes:
        if request.page > 1:
            return answer(b"", 429, Retry_After="1")
        return Pages(numbers(250), SHAPES["meta"])(request, line)

    assert isinstance(failure(handler, pause=pauses.append), RateLimited)
    assert pauses == [1, 2, 4, 8, 16, 32, 64]


def test_the_waits_of_one_reading_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READING_WAIT", timedelta(seconds=100))
    pauses: list[float] = []
    refused = {at: answer(b"", 429, Retry_After="40") for at in (2, 4, 6)}
    error = failure(refusing(Pages(numbers(450), SHAPES["meta"]), refused), pause=pauses.append)
    assert isinstance(error, RateLimited)
    assert pauses == [40, 40]


def test_a_long_wait_between_pages_is_left_to_the_schedule() -> None:
    pauses: list[float] = []
    refused = {2: answer(b"", 429, Retry_After="600")}
    error = failure(refusing(Pages(numbers(250), SHAPES["meta"]), refused), pause=pauses.append)
    assert error.retry_after == timedelta(minutes=10)
    assert pauses == []


def test_a_pause_may_end_the_reading() -> None:
    class Ended(Exception):
        pass

    def pause(_: float) -> None:
        raise Ended

    with FaultServer(refusing(Pages(numbers(250), SHAPES["meta"]), {2: answer(b"", 429)})) as server:
        source = client(server, pause=pause)
        with pytest.raises(Ended):
            source.fetch()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer({"message": "Unauthorized"}, 401), TokenRejected),
        (answer(b"", 500), ServerTrouble),
        (answer(b"", 200), NotTheApi),
        (answer({"success": False}), NotTheApi),
        (answer({"message": "bad"}, 422), RequestRefused),
        (answer(b'{"success": true, "data": [', 200), ServerTrouble),
    ],
)
def test_an_error_on_a_later_page_is_an_error_and_no_half_list(said: bytes, kind: type[ApiError]) -> None:
    assert type(failure(refusing(Pages(numbers(250), SHAPES["meta"]), {3: said}))) is kind


def test_progress_is_told_after_every_page_and_every_wait() -> None:
    told: list[int] = []
    refused = {2: answer(b"", 429, Retry_After="7")}
    fetch(refusing(Pages(numbers(250), SHAPES["meta"]), refused), progress=lambda: told.append(1))
    assert len(told) == 4


def test_the_servers_time_is_known_afterwards() -> None:
    for header, expected in ((format_datetime(T0, usegmt=True), T0), ("yesterday", None), (None, None)):
        with FaultServer(always(documented(entry(), meta={"last_page": 1}))) as server:
            if header:
                server.handler = always(answer({"data": [], "meta": {"last_page": 1}}, Date=header))
            source = client(server)
            source.fetch()
        assert source.server_time == expected


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 23 Nov 2026 12:00:00 -0000",
        "Fri, 31 Dec 9999 23:59:59 -2300",
        "Mon, 01 Jan 1900 00:00:00 GMT",
        "Mon, 23 Nov 2026 12:00:00 -9999",
    ],
)
def test_what_is_no_time_of_a_clock_is_none(header: str) -> None:
    assert responses._date(header) is None


OFF: dict[tuple[int, str], int | None] = {  # by how many seconds Date is off, and Age: by how many the clock is
    (0, ""): None,
    (240, ""): None,
    (900, ""): 900,
    (-900, ""): -900,
    (-900, "900"): None,  # it lay in a cache so long
    (-900, "3600"): 2700,
    (900, "-900"): 900,
    (900, "1e9"): 900,
    (900, "9" * 30): 900,
}


@pytest.mark.parametrize(("off", "age"), OFF)
def test_a_clock_is_compared_with_when_the_answer_was_made(off: int, age: str) -> None:
    given = {"Date": format_datetime(T0 + timedelta(seconds=off), usegmt=True), **({"Age": age} if age else {})}
    _, found = responses.time_of(Answer(status=200, headers=given, body=bytearray()), T0)
    expected = OFF[off, age]
    assert found == (None if expected is None else timedelta(seconds=expected))


# --- faults of the line -----------------------------------------------------------------------------------------------


def chunked(line: Line, *chunks: bytes) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for chunk in chunks:
        line.send(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")


def chunked_without_end(_: Request, line: Line) -> None:
    chunked(line, json.dumps({"success": True, "data": []}).encode())


def closed_at_once(_: Request, __: Line) -> None:
    """Close without a word."""


def reset_at_once(_: Request, line: Line) -> None:
    line.reset()


def reset_in_the_body(_: Request, line: Line) -> None:
    line.send(answer({"success": True, "data": []}, length=5000))
    line.reset()


def longer_than_sent(_: Request, line: Line) -> None:
    line.send(answer({"success": True, "data": []}, length=5000))


def cut_without_length(_: Request, line: Line) -> None:
    line.send(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"success": true, "data": [{"id": "a"}')


def cut_chunk(_: Request, line: Line) -> None:
    line.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"success": true, "data": []}')


def broken_chunk(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")


def broken_gzip(_: Request, line: Line) -> None:
    line.send(answer({"success": True, "data": []}, Content_Encoding="gzip"))


def not_http(_: Request, line: Line) -> None:
    line.send(b"SSH-2.0-OpenSSH_9.2\r\n")


def endless_header_line(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")


def too_many_headers(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n")


@pytest.mark.parametrize(
    "fault",
    [
        chunked_without_end,
        closed_at_once,
        reset_at_once,
        reset_in_the_body,
        longer_than_sent,
        cut_without_length,
        cut_chunk,
        broken_chunk,
        broken_gzip,
        not_http,
        endless_header_line,
        too_many_headers,
    ],
)
def test_a_broken_answer_is_server_trouble(fault: Handler) -> None:
    error = failure(fault)
    assert type(error) is ServerTrouble
    assert "127.0.0.1" in str(error) or "cut on the way" in str(error)


def test_a_header_cut_short_is_an_error_and_no_empty_list() -> None:
    def handler(_: Request, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Len")

    failure(handler)


def drip_status(_: Request, line: Line) -> None:
    line.drip(b"HTTP/1.1 200 OK" + b" " * 1000)


def drip_header(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\n")
    line.drip(b"X-Filler: yes\r\n")


def drip_body(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    line.drip(b'{"success": true, ')


def drip_unmeasured_body(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    line.drip(b" ")


def drip_chunks(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.drip(b"1\r\n \r\n")


def drip_gzip(_: Request, line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    line.drip(gzip.compress(b" "))


def endless_continue(_: Request, line: Line) -> None:
    line.drip(b"HTTP/1.1 100 Continue\r\n\r\n")


def silent(_: Request, line: Line) -> None:
    line.hang()


def silent_in_the_body(_: Request, line: Line) -> None:
    line.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{"success"')
    line.hang()


@pytest.mark.parametrize(
    "fault",
    [
        drip_status,
        drip_header,
        drip_body,
        drip_unmeasured_body,
        drip_chunks,
        drip_gzip,
        endless_continue,
        silent,
        silent_in_the_body,
    ],
)
def test_a_request_ends_at_its_deadline_whatever_drips(fault: Handler) -> None:
    began = time.monotonic()
    error = failure(fault, deadline=SHORT)
    assert time.monotonic() - began < 2
    assert type(error) is ServerTrouble


def test_a_later_page_that_drips_on_a_kept_connection_ends_at_its_deadline() -> None:
    pages = Pages(numbers(150), SHAPES["meta"])

    def handler(request: Request, line: Line) -> bytes | None:
        if request.page > 1:
            drip_header(request, line)
        return pages(request, line)

    with FaultServer(handler) as server, pytest.raises(ServerTrouble):
        client(server, deadline=SHORT).fetch()
    assert server.connections == 1


def test_a_server_that_never_accepts_ends_at_the_deadline() -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # the queue is full: from here on even the handshake of TCP is not answered
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        source = Client(base_url=f"http://127.0.0.1:{port}", token=lambda: TOKEN, deadline=SHORT)
        with pytest.raises(ServerTrouble):
            source.fetch()
        for one in waiting:
            one.close()
    assert time.monotonic() - began < 2


def test_a_refused_connection_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ServerTrouble, match=f"127.0.0.1:{port} cannot be read: Connection refused"):
        Client(base_url=f"http://127.0.0.1:{port}", token=lambda: TOKEN, deadline=SHORT).fetch()


def test_a_kept_connection_that_the_server_drops_between_pages_is_made_anew() -> None:
    pages = Pages(numbers(250), SHAPES["meta"])

    def handler(request: Request, line: Line) -> None:
        line.send(pages(request, line))  # and close, though nothing said so

    with FaultServer(handler) as server:
        assert list(client(server).fetch().entries) == numbers(250)
    assert server.connections == 3


@pytest.mark.parametrize("reset", [False, True])
def test_a_kept_connection_that_ends_under_a_request_is_tried_once_more(reset: bool) -> None:
    pages = Pages(numbers(250), SHAPES["meta"])
    used: set[int] = set()

    def handler(request: Request, line: Line) -> bytes | None:
        if id(line) in used:
            if reset:
                line.reset()
            return None
        used.add(id(line))
        lines.append(line)
        return pages(request, line)

    lines: list[Line] = []  # keeps the ids apart
    with FaultServer(handler) as server:
        assert list(client(server).fetch().entries) == numbers(250)
    assert server.connections == 3


def test_a_server_that_always_hangs_up_is_not_asked_again_and_again() -> None:
    with FaultServer(closed_at_once) as server, pytest.raises(ServerTrouble):
        client(server).fetch()
    assert len(server.requests) == 1


# --- size -------------------------------------------------------------------------------------------------------------


def bomb(layers: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    blank = b" " * 2**20
    body = b"".join(packer.compress(blank) for _ in range(40)) + packer.flush()
    for _ in range(layers - 1):
        body = gzip.compress(body)
    return answer(body, Content_Encoding=", ".join(["gzip"] * layers))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gzip_bomb_is_an_error_before_it_unpacks(layers: int) -> None:
    said = bomb(layers)
    assert len(said) < 200_000
    tracemalloc.start()
    error = failure(always(said), max_bytes=2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(error) is NotTheApi
    assert "1 MiB" in str(error)
    assert peak < 16 * 2**20


def test_a_body_without_end_is_an_error_at_the_size_limit() -> None:
    def handler(_: Request, line: Line) -> None:
        chunked(line, *[b" " * 65_536] * 1000)

    began = time.monotonic()
    assert type(failure(handler, max_bytes=2**18)) is NotTheApi
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_a_packed_answer_is_read(encoding: str) -> None:
    body = json.dumps({"success": True, "data": [entry()], "meta": {"last_page": 1}}).encode()
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body), "identity": body}
    assert list(fetch(always(answer(packed[encoding], Content_Encoding=encoding))).entries) == ["phone-1"]


# --- the token goes nowhere else --------------------------------------------------------------------------------------


def test_a_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login eve password other\ndefault login eve password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with FaultServer(one_page(entry())) as server:
        client(server).fetch()
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_a_proxy_of_the_environment_is_not_used_and_a_configured_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(one_page(entry("phone-2"))) as proxy, FaultServer(one_page(entry("phone-1"))) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert list(client(server).fetch().entries) == ["phone-1"]
        assert proxy.connections == 0
        there = f"http://127.0.0.1:{proxy.port}"
        assert list(client(server, proxy=there).fetch().entries) == ["phone-2"]
        assert proxy.requests[0].target.startswith(server.base_url)


def test_a_proxy_that_drips_ends_at_the_deadline() -> None:
    with FaultServer(drip_header) as proxy, pytest.raises(ServerTrouble):
        Client(
            base_url="https://127.0.0.1:9/api",
            token=lambda: TOKEN,
            deadline=SHORT,
            proxy=f"http://127.0.0.1:{proxy.port}",
        ).fetch()
    assert "authorization" not in proxy.requests[0].headers


def test_a_proxy_that_resets_when_its_answer_counts_as_read_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tunnel(connection: http.client.HTTPConnection) -> None:
        """What happens where our own cut ends the headers, and the proxy's reset comes before the handshake begins."""
        is_read.set()
        waits = select.poll()
        waits.register(connection.sock)
        while not any(event & select.POLLHUP for _, event in waits.poll(5000)):
            pass

    def speak(line: Line) -> None:
        is_read.wait(5)
        line.reset()

    is_read = threading.Event()
    monkeypatch.setattr(urllib3.connection.HTTPSConnection, "_tunnel", tunnel)
    with FaultServer(one_page(), before=speak) as proxy, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ServerTrouble):
            client(proxy, base_url="https://127.0.0.1:9", proxy=f"http://127.0.0.1:{proxy.port}").fetch()
        all_requests_have_ended()
        gc.collect()
    assert [str(one.message) for one in caught] == []


def test_a_proxy_whose_answer_breaks_off_is_named() -> None:
    def speak(line: Line) -> None:
        line.socket.recv(65536)
        line.send(b"HTTP/1.1 200 OK\r\nVia: 1.1 somewh")
        raise HungUp

    proxy = FaultServer(one_page(), before=speak)
    with proxy, pytest.raises(ServerTrouble, match=r"the proxy does not work: its answer broke off"):
        client(proxy, base_url="https://127.0.0.1:9", proxy=f"http://127.0.0.1:{proxy.port}").fetch()


def test_a_proxys_refusal_is_trouble_on_the_way() -> None:
    with FaultServer(always(answer(b"", 407))) as proxy, FaultServer(one_page()) as server:
        with pytest.raises(ServerTrouble):
            client(server, proxy=f"http://127.0.0.1:{proxy.port}").fetch()
        with pytest.raises(ServerTrouble, match="the proxy does not work: 407"):
            client(server, base_url="https://127.0.0.1:9", proxy=f"http://127.0.0.1:{proxy.port}").fetch()
    assert server.connections == 0


LEAKS: list[Handler] = [
    always(answer({"message": f"The token {TOKEN} is unknown"}, 401)),
    always(answer({"message": "Invalid.", "errors": {"Authorization": [f"Bearer {TOKEN}"]}}, 422)),
    always(answer({"success": False, "message": TOKEN})),
    always(answer({"success": True, "error": {"message": TOKEN}, "data": []})),
    always(answer(TOKEN.encode(), 500)),
    always(answer(b"", 302, Location=f"http://x.invalid/?token={TOKEN}")),
    always(answer(b"<html>" + TOKEN.encode())),
    always(answer(TOKEN.encode(), 200)),
    always(answer({"message": "Too many requests " + TOKEN}, 429)),
    closed_at_once,
    reset_in_the_body,
    longer_than_sent,
    silent,
    broken_gzip,
    not_http,
]


@pytest.mark.parametrize("handler", LEAKS, ids=[str(i) for i in range(len(LEAKS))])
def test_the_token_is_in_no_error_no_traceback_and_no_log(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = failure(handler, deadline=SHORT, filters={"search": "+1555"})
    assert TOKEN not in "".join(traceback.format_exception(error))
    assert TOKEN not in repr(error.__context__)
    assert TOKEN not in repr(vars(error))
    assert TOKEN not in caplog.text


def test_the_token_is_not_in_the_clients_own_text() -> None:
    with FaultServer(one_page(entry())) as server:
        source = client(server)
        source.fetch()
        assert TOKEN not in repr(source)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_an_untrusted_certificate_is_trouble_and_the_token_stays_here(tls: ssl.SSLContext) -> None:
    with FaultServer(one_page(entry()), tls=tls) as server:
        with pytest.raises(ServerTrouble, match=r"cannot be trusted: .*certificate"):
            client(server).fetch()
        assert server.requests == []


def test_a_certificate_for_another_host_is_trouble(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with FaultServer(one_page(entry()), tls=context) as server:
        with pytest.raises(ServerTrouble, match="cannot be trusted"):
            client(server, ca_file=str(tmp_path / "ca.pem")).fetch()
        assert server.requests == []


def test_a_ca_file_is_trusted_over_all_pages(
    tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing.pem"))
    with FaultServer(Pages(numbers(250), SHAPES["meta"]), tls=tls) as server:
        found = client(server, ca_file=str(tmp_path / "ca.pem")).fetch()
    assert list(found.entries) == numbers(250)
    assert server.connections == 1


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    source = Client(base_url="https://127.0.0.1:9", token=lambda: TOKEN, ca_file=str(path))
    with pytest.raises(ServerTrouble, match=r"ca_file .*ca\.pem cannot be used"):
        source.fetch()


def test_a_tls_handshake_that_drips_ends_at_the_deadline() -> None:
    def speak(line: Line) -> None:
        line.send(b"\x16\x03\x03\x3f\x00")  # a handshake record of 16,128 bytes
        line.drip(b"\x02")

    began = time.monotonic()
    with FaultServer(one_page(), before=speak) as server:
        with pytest.raises(ServerTrouble):
            client(server, base_url=f"https://127.0.0.1:{server.port}", deadline=SHORT).fetch()
        all_requests_have_ended()
    assert time.monotonic() - began < 2


def test_a_drip_over_tls_ends_at_the_deadline(tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    began = time.monotonic()
    with FaultServer(drip_header, tls=tls) as server:
        with pytest.raises(ServerTrouble):
            client(server, deadline=SHORT, ca_file=str(tmp_path / "ca.pem")).fetch()
        all_requests_have_ended()
    assert time.monotonic() - began < 2


def test_plain_http_behind_an_https_address_is_trouble() -> None:
    with FaultServer(one_page()) as server, pytest.raises(ServerTrouble):
        client(server, base_url=f"https://127.0.0.1:{server.port}", deadline=SHORT).fetch()


# --- anything at all --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("success", "data", "meta", "pagination", "error", "errors", "message", "links", "total", "last_page")
ENVELOPES = st.dictionaries(st.sampled_from(KEYS), JSON | st.just([entry()]))


def read(body: bytes) -> object:
    said = talkover_client.Answer(status=200, headers={}, body=bytearray(body))
    try:
        envelope, tolerant = decode.envelope_of(said, datetime.now(UTC))
        decode.pages_of(envelope)
        return decode.listing_of(envelope.data, tolerant=tolerant)
    except ApiError as error:
        return error


@few(40)
@given(ENVELOPES)
def test_any_envelope_is_a_list_or_an_api_error(said: dict[str, Any]) -> None:
    found = read(json.dumps(said).encode())
    if said.get("success") is False or said.get("error") or not isinstance(said.get("data"), list | dict):
        assert isinstance(found, ApiError)


@few(40)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_list_or_an_api_error(body: bytes) -> None:
    assert isinstance(read(body), ApiError | Listing)


@few(40)
@given(st.lists(JSON | st.dictionaries(st.sampled_from(sorted(entry())), JSON), max_size=5))
def test_every_entry_is_read_or_skipped(entries: list[Any]) -> None:
    found = read(json.dumps({"success": True, "data": [*entries, entry("phone-77")]}).encode())
    assert isinstance(found, Listing)
    assert "phone-77" in found.entries
    for one in found.entries.values():
        assert one.parsed.countdown is None or isinstance(one.parsed.countdown, int)
        _ = (one.parsed.renewal_on("UTC"), one.parsed.status, one.parsed.capabilities)
        assert one.parsed.cost is None or one.parsed.cost.is_finite()
    for aside in found.invalid:
        aside.reason.encode()


@few(40)
@given(st.integers(min_value=0, max_value=len(SAMPLE) - 2))
def test_no_beginning_of_the_sample_is_a_list(length: int) -> None:
    assert isinstance(read(SAMPLE[:length]), ApiError)


@few(40)
@given(st.text(max_size=30), JSON, st.integers(200, 599))
def test_any_answer_to_the_status_is_an_api_error_with_a_bounded_wait(header: str, said: Any, status: int) -> None:
    headers = {"Retry-After": header, "X-RateLimit-Reset": header[::-1], "Location": header}
    answer_ = talkover_client.Answer(status=status, headers=headers, body=bytearray(json.dumps(said).encode()))
    if status == 200:
        responses.check(answer_, T0)
        return
    with pytest.raises(ApiError) as caught:
        responses.check(answer_, T0)
    wait = caught.value.retry_after
    assert wait is None or timedelta(0) < wait <= responses.LONGEST_WAIT
