"""Programs act by the API: what each act does and answers, and who may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from browsing import Visitor, pages, password_file
from conforming import conforms
from conftest import T0, Clock
from databases import EITHER
from made_up import emptied
from sqlalchemy import select
from watched import CHANNEL, Watched, one

from renewal_watch.database.schema import actions
from renewal_watch.model.actor import Actor
from renewal_watch.store.access.tokens import create_token
from renewal_watch.web.endpoint import LARGEST_BODY

pytestmark = EITHER
API = "/api/v1"


class Program:
    """Somebody's script, with a token."""

    def __init__(self, watched: Watched, visitor: Visitor) -> None:
        self.watched, self.visitor = watched, visitor
        self.token = ""

    def post(self, act: str, body: object = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        sent = {"json": body if body is not None else {}} if "data" not in more else {}
        return self.visitor.http.post(
            f"{self.visitor.base}{API}/{act}", headers=headers, timeout=60, allow_redirects=False, **sent, **more
        )

    def acts(self) -> list[tuple[str, str, str | None]]:
        with self.watched.reading() as tx:
            return [(row.verb, row.author, row.origin) for row in tx.connection.execute(select(actions))]

    def get(self, path: str) -> Any:
        return self.visitor.get(f"{API}{path}").json()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("acts")
    watched = Watched(folder, f'{CHANNEL}[web]\npassword_file = "{password_file(folder / "password")}"\n')
    with pages(watched, Clock()) as visitor:
        yield Program(watched, visitor)
    watched.store.close()


@pytest.fixture
def program(shared: Program) -> Program:
    emptied(shared.watched.store)
    shared.watched.poll(one(1, 3), one(2, 2), one(3, 90))
    shared.visitor.forget()
    with shared.watched.store.transaction() as tx:
        shared.token = create_token(tx, "crm", "act", None, Actor("me"), T0)
    return shared


def test_an_incident_from_its_opening_to_its_acknowledgement_and_back(program: Program) -> None:
    (first, second) = program.get("/incidents")["incidents"]
    done = program.post("acknowledge", {"incidents": [first["key"], "no/such"], "for": "3d", "comment": "on it"})
    assert done.status_code == 200, done.text
    said = done.json()
    assert (said["acknowledged"], said["until"], said["not_open"]) == (True, "2026-11-26T12:00:00Z", ["no/such"])
    states = {
        found["key"]: (found["state"], found["acknowledged_by"]) for found in program.get("/incidents")["incidents"]
    }
    assert states == {first["key"]: ("acknowledged", "token: crm"), second["key"]: ("open", None)}
    assert program.post("take_back", {"number": first["number"]}).json()["acknowledged"] is False
    assert program.acts() == [
        ("ack", "token: crm", "API, 127.0.0.1"),
        ("ack withdrawn", "token: crm", "API, 127.0.0.1"),
    ]


def test_a_silence_a_number_that_is_to_go_and_messages_sent_again(program: Program) -> None:
    silence = program.post("silence", {"numbers": ["+1555*"], "kinds": ["renewal.*"], "for": "4h"}).json()
    assert (silence["ends_at"], silence["numbers"]) == ("2026-11-23T16:00:00Z", 3)
    assert program.post("end_silence", {"id": silence["id"]}).json()["id"] == silence["id"]
    assert program.post("lapse", {"number": "phone-1", "environment": "production"}).json()["meant_to_lapse"] is True
    assert program.get("/numbers/production/phone-1")["lapsing"] is True
    assert program.post("keep", {"number": "phone-1"}).json()["meant_to_lapse"] is False
    assert program.post("retry", {"alerts": [1]}).json()["deliveries"] == 1
    assert [verb for verb, _author, _origin in program.acts()] == [
        *("silence", "silence ended", "lapse", "lapse withdrawn", "retry")
    ]


REFUSED: dict[str, tuple[str, Any, str]] = {
    "nothing named": ("acknowledge", {}, "name incidents by their keys, or a number"),
    "an unknown key": ("acknowledge", {"incident": "x"}, "'incident' was unexpected"),
    "not open": ("acknowledge", {"number": "phone-3"}, "nothing is open about number phone-3"),
    "no such number": ("lapse", {"number": "phone-9"}, "phone-9"),
    "no length of time": ("acknowledge", {"number": "phone-1", "for": "soon"}, "for: 'soon' is not a length of time"),
    "no text": ("acknowledge", {"number": "phone-1", "comment": "a\0b"}, "comment: it is empty, or holds"),
    "half a character": ("acknowledge", {"number": "\ud800"}, "number: it is empty, or holds a character"),
    "half a character in a list": ("acknowledge", {"incidents": ["\udfff"]}, "incidents: it is empty, or holds"),
    "no number": ("end_silence", {"id": "seven"}, "id: 'seven' is not of type 'integer'"),
    "no silence": ("end_silence", {"id": 77}, "there is no silence 77 that holds"),
    "all at once": ("silence", {"for": "4h"}, "say what to silence"),
    "all at once by kinds": ("silence", {"kinds": ["*", "watch.*"], "for": "4h"}, "say what to silence"),
    "all at once by another pattern": ("silence", {"kinds": ["?*"], "for": "4h"}, "say what to silence"),
    "all at once, one by one": ("silence", {"kinds": ["[a-m]*", "[n-z]*"], "for": "4h"}, "say what to silence"),
    "a list": ("retry", [1], "the body is no JSON object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_asked_wrongly_is_said_in_a_sentence_and_does_nothing(program: Program, case: str) -> None:
    act, body, sentence = REFUSED[case]
    answer = program.post(act, body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert sentence in answer.json()["detail"]
    assert program.acts() == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 5000, b'{"number": NaN}', b'"x"'])
def test_what_is_no_object_is_none(program: Program, body: bytes) -> None:
    answer = program.post("retry", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert program.acts() == []


def test_only_a_token_that_may_acts(program: Program) -> None:
    good = program.token
    with program.watched.store.transaction() as tx:
        reads = create_token(tx, "reads", "read", None, Actor("me"), T0)
    body = {"number": "phone-1"}
    program.token = reads
    assert program.post("acknowledge", body).status_code == 403
    program.token = "rw_wrong"
    assert program.post("acknowledge", body).status_code == 401
    program.visitor.login("Anna")
    sessions = program.visitor.http.post(f"{program.visitor.base}{API}/acknowledge", json=body, timeout=60)
    assert sessions.status_code == 401, "what a browser sends along by itself acts on nothing"
    program.token = good
    form = program.post("acknowledge", data=json.dumps(body), headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    large = program.post("acknowledge", data=b" " * (LARGEST_BODY + 1), headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert program.visitor.get(f"{API}/acknowledge").status_code == 405
    assert program.acts() == []
    assert program.post("acknowledge", body).status_code == 200


def test_schemathesis_finds_nothing_in_what_acts(program: Program, tmp_path: Path) -> None:
    """With a token that may: what fits the document and cannot be done is a 400 with a sentence, so that check is left out."""
    token = f"Authorization: Bearer {program.token}"
    only = ("--include-method", "POST", "--exclude-checks", "positive_data_acceptance")
    assert conforms(program.visitor.base, tmp_path, "schemathesis, acts", "--header", token, *only) == 7
