"""The JSON API over a real server: what it promises in its document, and what a client sees of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import commands
import pytest
from conforming import conforms
from conftest import T0
from databases import EITHER, remove
from made_up import entry, listing
from world import write_config

from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.web import Web
from renewal_watch.settings.whole import Settings

pytestmark = EITHER

uvicorn = pytest.importorskip("uvicorn")
jsonschema_rs = pytest.importorskip("jsonschema_rs")

ODD = "id/with ?#%÷"
NOW = T0 + timedelta(minutes=1)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    port: int

    def ask(self, target: str, method: str = "GET", **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, "/api/v1" + target, headers=headers)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def get(self, target: str) -> Any:
        found = self.ask(target)
        assert found.status == 200, found.body
        assert found.headers["content-type"] == "application/json"
        return found.json

    def refused(self, target: str, status: int = 400) -> Any:
        found = self.ask(target)
        assert found.status == status, found.body
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json["status"] == status
        return found.json


def fleet() -> list[dict[str, Any]]:
    """Forty numbers: two currencies, some without auto-renewal, overdue, suspended, without a price or a day."""
    made = []
    for index in range(40):
        days = None if index == 39 else index - 3
        day = None if days is None else (T0.date() + timedelta(days=days)).isoformat()
        made.append(
            entry(
                f"phone-{index}",
                renewal_date=day,
                days_until_monthly_renewal=days,
                current_status="suspended" if index == 5 else "active",
                auto_renewal=index % 4 != 0,
                currency="EUR" if index % 3 == 0 else "USD",
                monthly_renewal_cost=None if index == 7 else 1.1,
                current_price=None if index == 7 else 1.1,
            )
        )
    made[20] |= {"id": ODD}
    return made


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("api")
    (folder / "inventory.csv").write_text("number,owner,labels,note\n+15550000001,support,hotline|de,ring first\n")
    more = '[[environments]]\nname = "staging"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_other_made_up"\n'
    path = write_config(folder, "http://127.0.0.1:1", more=more)
    path.write_text(path.read_text() + f'\n[inventory]\nfile = "{folder}/inventory.csv"\n')
    return load(path)


@pytest.fixture(scope="module")
def path(settings: Settings) -> Path:
    """A database after two polls; nothing was sent."""
    store = Store(settings.database_url, is_simulated=True)
    store.upgrade()
    environment = settings.environment("production")
    changed = fleet()
    changed[1] |= {"current_status": "pending", "new_field": {"deep": [1, None, "ü"]}}
    for at, entries in ((T0 - timedelta(hours=1), fleet()), (T0, changed)):
        source = type("Source", (), {"fetch": lambda _, those=entries: listing(*those)})()
        done = poll.run_once(
            store, environment, source, settings.policy(environment), Routing.of(settings, {}), lambda at=at: at
        )
        assert done.error is None
    store.close()
    return settings.path


@pytest.fixture(scope="module")
def client(path: Path) -> Iterator[Client]:
    """The whole application on a real server."""
    from renewal_watch.web import serve
    from renewal_watch.web.app import build
    from renewal_watch.web.state import State

    state = State(load(path), lambda: NOW)
    ready = threading.Event()
    with serve._opened(Web(listen="127.0.0.1:0")) as found:
        options = uvicorn.Config(build(state), lifespan="off", log_config=None, access_log=False, ws="none")
        server = serve._Server(options, ready.set)
        thread = threading.Thread(target=server.run, args=([found],))
        thread.start()
        assert ready.wait(20)
        yield Client(found.getsockname()[1])
        server.should_exit = True
        thread.join()
    state.close()


@pytest.fixture(scope="module")
def document(client: Client) -> Any:
    return client.get("/openapi.json")


def told(path: Path, *words: str) -> Any:
    """What a command prints with --json."""
    return json.loads(commands.call(path, *words, "--json", clock=lambda: NOW).output)


# --- the document -----------------------------------------------------------------------------------------------------


def parts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner)


def test_every_reference_of_the_document_leads_somewhere(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    named = [one["$ref"] for one in parts(document) if isinstance(one.get("$ref"), str)]
    assert len(named) > 30
    for name in named:
        found = document
        for step in name.removeprefix("#/").split("/"):
            found = found[step]


def test_every_schema_is_one_and_every_example_fits_its_schema(document: Any) -> None:
    """As JSON Schema 2020-12, which OpenAPI 3.1 uses."""
    components = {"components": document["components"]}
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, **components})
    count = 0
    for operation in parts(document["paths"]):
        for one in (operation, *operation.get("content", {}).values()) if "content" in operation else (operation,):
            if "schema" in one and "example" in one:
                jsonschema_rs.validator_for({**one["schema"], **components}).validate(one["example"])
                count += 1
    assert count > 12


def test_every_operation_says_what_it_is_and_how_it_fails(document: Any) -> None:
    names = {operation["operationId"] for paths in document["paths"].values() for operation in paths.values()}
    assert names == {
        *("acknowledge", "take_back", "silence", "end_silence", "lapse", "keep", "retry"),
        *(
            "status",
            "numbers",
            "number",
            "history",
            "changes",
            "incidents",
            "alerts",
            "calendar",
            "forecast",
            "health",
            "openapi",
        ),
    }
    for paths in document["paths"].values():
        ((method, operation),) = paths.items()
        assert method == ("post" if "requestBody" in operation else "get")
        assert operation["summary"].endswith(".")
        assert {"200", "400", "405", "503"} <= set(operation["responses"])
        assert all(one["description"] for one in operation["parameters"])


def test_schemathesis_finds_nothing(client: Client, document: Any, tmp_path: Path) -> None:
    tried = conforms(f"http://127.0.0.1:{client.port}", tmp_path, "schemathesis")
    assert tried >= len(document["paths"]) - 1  # the document itself needs no test


# --- the same words as the commands -----------------------------------------------------------------------------------


def test_numbers_read_as_the_command_prints_them(client: Client, path: Path) -> None:
    said = {one["id"]: one for one in client.get("/numbers?per_page=1000&show=all")["numbers"]}
    printed = {one["id"]: one for one in told(path, "status")["numbers"]}
    assert set(said) == set(printed)
    assert set(printed["phone-1"]) < set(said["phone-1"])
    steady = set(printed["phone-1"]) - {"days_left", "disagreement"}  # the command reads today's clock
    for name, number in printed.items():
        assert {key: said[name][key] for key in steady} == {key: number[key] for key in steady}


def test_alerts_read_as_the_command_prints_them(client: Client, path: Path) -> None:
    said = client.get("/alerts?limit=500")
    assert [one["id"] for one in said["alerts"]] == [one["id"] for one in told(path, "alerts")]
    assert set(said["alerts"][0]) == set(told(path, "alerts")[0])
    assert set(said["alerts"][0]["deliveries"][0]) == set(told(path, "alerts")[0]["deliveries"][0])
    assert said["next_before"] is None


def test_history_reads_as_the_command_prints_it(client: Client, path: Path) -> None:
    assert client.get("/numbers/production/phone-1/history")["changes"] == told(path, "history", "phone-1")


def test_the_status_names_environments_that_were_never_read(client: Client) -> None:
    said = client.get("/status")
    assert [(one["name"], one["stale"], one["numbers"]) for one in said["environments"]] == [
        ("production", False, 40),
        ("staging", True, 0),
    ]
    assert said["counts"]["overdue"] == 3
    assert said["outbox"]["pending"] > 0


def test_a_number_has_its_place_in_the_inventory(client: Client) -> None:
    said = client.get("/numbers/production/phone-1")
    assert (said["owner"], said["labels"], said["note"]) == ("support", ["hotline", "de"], "ring first")
    assert (said["status"], said["days_left"], said["cost"]) == ("pending", -2, "1.1")


def test_an_id_may_hold_anything(client: Client) -> None:
    place = f"/numbers/production/{quote(ODD, safe='')}"
    assert client.get(place)["id"] == ODD
    assert [one["what"] for one in client.get(f"{place}/history")["changes"]] == ["listed"]


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 40),
        ("status=pending", 1),
        ("status=Pending", 1),
        ("currency=EUR", 14),
        ("auto_renewal=false", 10),
        ("auto_renewal=true&currency=EUR", 10),
        ("overdue=true", 3),
        ("overdue=false", 40),
        ("within=0", 4),
        ("search=15550000001", 1),
        ("search=phone-3", 11),
        ("environment=staging", 0),
        ("show=missing", 0),
        ("country=US&type=voice&order=cost&descending=true", 40),
    ],
)
def test_numbers_are_found_by(client: Client, query: str, count: int) -> None:
    assert client.get(f"/numbers?{query}")["total"] == count


def test_pages_give_every_number_once(client: Client) -> None:
    pages = [client.get(f"/numbers?per_page=15&page={page}&order=number")["numbers"] for page in (1, 2, 3, 4)]
    assert [len(one) for one in pages] == [15, 15, 10, 0]
    assert len({one["id"] for page in pages for one in page}) == 40


def test_alerts_are_read_page_by_page(client: Client) -> None:
    every = [one["id"] for one in client.get("/alerts?limit=500")["alerts"]]
    found: list[int] = []
    target = "/alerts?limit=4"
    while True:
        said = client.get(target)
        found += [one["id"] for one in said["alerts"]]
        if said["next_before"] is None:
            break
        target = f"/alerts?limit=4&before={said['next_before']}"
    assert found == every
    assert len(every) > 8


def test_alerts_are_found_by_kind_and_state(client: Client) -> None:
    said = client.get("/alerts?kind=renewal.overdue&kind=status.changed&state=pending&environment=production")["alerts"]
    assert {one["kind"] for one in said} == {"renewal.overdue", "status.changed"}
    assert client.get("/alerts?state=failed")["alerts"] == []
    assert client.get("/alerts?environment=staging")["alerts"] == []


def test_the_calendar_sums_each_day_and_currency(client: Client) -> None:
    said = client.get("/calendar?days=5")
    assert said["today"] == "2026-11-23"
    assert said["undated"] == 1
    assert [one["on"] for one in said["days"]] == [f"2026-11-{day}" for day in range(20, 29)]
    first = said["days"][0]
    assert (first["currency"], first["numbers"], first["amount"], first["without_auto_renewal"]) == ("EUR", 1, "1.1", 1)
    assert (said["days"][7]["unpriced"], said["days"][7]["amount"]) == (1, "0")


def test_the_forecast_is_what_the_command_prints(client: Client) -> None:
    said = client.get("/forecast?months=2&environment=production")
    assert [one["month"] for one in said["months"]] == ["2026-10"] * 2 + ["2026-11"] * 2 + ["2026-12"] * 2
    assert {one["currency"] for one in said["months"]} == {"EUR", "USD"}
    assert said["months"][0]["amount"] is None


def test_health_names_the_environment_that_was_never_read(client: Client) -> None:
    said = client.get("/health")
    assert said["status"] == "failing"
    assert [one["environment"] for one in said["checks"] if one["name"] == "list" and not one["ok"]] == ["staging"]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/numbers?page=0", "page"),
        ("/numbers?page=one", "page"),
        ("/numbers?page=1&page=2", "page"),
        ("/numbers?per_page=1001", "per_page"),
        ("/numbers?auto_renewal=yes", "auto_renewal"),
        ("/numbers?show=everything", "show"),
        ("/numbers?search=", "search"),
        ("/numbers?search=" + "1" * 201, "search"),
        ("/numbers?environment=elsewhere", "environment"),
        ("/numbers?per-page=5", "per-page"),
        ("/alerts?state=lost", "state"),
        ("/alerts?kind=renewal.*", "kind"),
        ("/alerts?before=99999999999999999999", "before"),
        ("/alerts?limit=501", "limit"),
        ("/forecast?months=37", "months"),
        ("/calendar?days=0", "days"),
        ("/status?verbose=true", "verbose"),
    ],
)
def test_a_parameter_that_is_not_taken_is_named(client: Client, target: str, name: str) -> None:
    said = client.refused(target)
    assert said["parameter"] == name
    assert set(said) == {"type", "title", "status", "detail", "parameter"}


@pytest.mark.parametrize(
    "target",
    [
        "/numbers/production/phone-999",
        "/numbers/elsewhere/phone-1",
        "/numbers/production/phone-999/history",
        "/nothing",
        "/",
    ],
)
def test_what_is_not_there_is_404(client: Client, target: str) -> None:
    assert client.refused(target, 404)["title"] == "Not found"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_it_can_only_be_read(client: Client, method: str) -> None:
    said = client.ask("/numbers", method)
    assert (said.status, said.headers["allow"]) == (405, "GET, HEAD")
    assert said.headers["content-type"] == "application/problem+json"


def test_head_is_the_answer_without_its_body(client: Client) -> None:
    said, got = client.ask("/numbers", "HEAD"), client.ask("/numbers")
    assert (said.status, said.body) == (200, b"")
    assert said.headers["content-length"] == str(len(got.body)) == got.headers["content-length"]


def test_nobody_keeps_an_answer_on_the_way(client: Client) -> None:
    assert client.ask("/numbers").headers["cache-control"] == "no-store"


def test_a_database_that_is_not_there_is_503_and_the_document_is_there_all_the_same(tmp_path: Path) -> None:
    from starlette.requests import Request

    from renewal_watch.web.endpoint import _Endpoint
    from renewal_watch.web.state import State

    state = State(load(write_config(tmp_path, "http://127.0.0.1:1")), lambda: T0)
    remove(tmp_path / "renewal-watch.db")
    request = Request({"type": "http", "method": "GET", "query_string": b"", "headers": [], "path_params": {}})
    said = _Endpoint(state, "status").answered(request)
    assert (said.status_code, said.headers["content-type"]) == (503, "application/problem+json")
    assert "the first poll" in json.loads(bytes(said.body))["detail"]
    assert _Endpoint(state, "openapi").answered(request).status_code == 200
    state.close()


def test_the_document_asks_for_the_password_where_reading_needs_one() -> None:
    from renewal_watch.web.api.document import document

    said = document(["production"], needs_login=True)
    assert said["security"] == [{"token": []}, {"password": []}]
    assert "401" in said["paths"]["/api/v1/numbers"]["get"]["responses"]
    assert "security" not in document(["production"], needs_login=False)
