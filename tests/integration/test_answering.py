"""Acknowledging by the link of a message: what it brings, what the page asks, what the button does, and what neither does."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import commands
import msgspec
import pytest
import requests
from browsing import Visitor, pages, said
from conftest import T0, Clock
from databases import EITHER
from made_up import emptied
from receivers import http_receiver
from sqlalchemy import select
from watched import Watched, one

from renewal_watch.alerts import answers
from renewal_watch.alerts.answers import Answer, mark_of, opened, sealed
from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.channels.limits import Limits
from renewal_watch.database.schema import actions
from renewal_watch.model.alerts import Button, Message, Severity
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch
from renewal_watch.operations.dispatch import Outlet
from renewal_watch.settings.web import Web
from renewal_watch.store.access.links import revoke_links
from renewal_watch.store.incidents.listing import STATES, Listed, Wanted, list_incidents
from renewal_watch.web.answering import FREE_TRIES

pytestmark = EITHER

BASE = "https://watch.example.org/renewals"
KEY = "a key of the pages that is long enough"
H = timedelta(hours=1)
CHANNELS = """
[[channels]]
name = "ops"
url = "json://127.0.0.1:1/"
[[channels]]
name = "quiet"
url = "json://127.0.0.1:1/"
acknowledge_link = false
[[channels]]
name = "masked"
url = "json://127.0.0.1:1/"
mask_numbers = true
"""
WEB = f"""
[web]
public_url = "https://watch.example.org"
base_path = "/renewals"
key = "{KEY}"
links_for = "2d"
login_to_read = true
user_header = "X-User"
trusted_proxies = ["10.0.0.1"]
"""
PHONE = "+15550001111"


class Kept:
    """A sender that keeps what it is given."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.messages: list[Message] = []

    def send(self, render: Callable[[Limits], Message]) -> None:
        self.messages.append(render(self.limits))


class Reader:
    """Somebody who reads the messages of channels and follows their links."""

    def __init__(self, watched: Watched, clock: Clock, visitor: Visitor) -> None:
        self.watched, self.clock, self.visitor = watched, clock, visitor

    def messages(self, channel: str = "ops", body: int = 30_000) -> list[Message]:
        of = next(found for found in self.watched.settings.channels if found.name == channel)
        sender = Kept(Limits(body=body, title=250))
        outlet = Outlet(channel=of, sender=sender)
        dispatch.run_once(self.watched.store, outlet, Routing.of(self.watched.settings), self.clock)
        return sender.messages

    def link(self, channel: str = "ops") -> str:
        """The path of the only link to acknowledge, as it reaches the server behind its proxy."""
        (message,) = self.messages(channel)
        (link,) = re.findall(rf"{BASE}/answer/\S+", message.body)
        return urlsplit(link).path.removeprefix("/renewals")

    def incidents(self) -> list[Listed]:
        with self.watched.reading() as tx:
            return list_incidents(tx, self.clock.now.toordinal(), Wanted(states=STATES, with_folded=True))

    def acts(self) -> list[tuple[str, str, str | None]]:
        with self.watched.reading() as tx:
            return [(row.verb, row.author, row.origin) for row in tx.connection.execute(select(actions))]

    def press(self, path: str, **form: str) -> requests.Response:
        return self.visitor.post(path, form, headers={"Origin": "null", "Sec-Fetch-Site": "cross-site"})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    watched = Watched(tmp_path_factory.mktemp("answers"), CHANNELS + WEB)
    clock = Clock()
    with pages(watched, clock) as visitor:
        yield Reader(watched, clock, visitor)
    watched.store.close()


@pytest.fixture
def reader(shared: Reader) -> Reader:
    emptied(shared.watched.store)
    shared.clock.now = T0
    shared.watched.poll(one(1, 3, number=PHONE), one(2, 60))
    return shared


def test_a_message_brings_a_link_and_its_button_acknowledges_in_the_name_of_the_channel(reader: Reader) -> None:
    path = reader.link()
    page = reader.visitor.text(path)
    assert f"{PHONE} will be lost in 3 days" in page
    assert "Do you look after it?" in page
    assert reader.acts() == [], "who only looks does nothing"
    answer = reader.press(path)
    assert answer.status_code == 200
    assert "acknowledged" in said(answer.text).lower()
    assert reader.acts() == [("ack", "link: ops", "link, 127.0.0.1")]
    (incident,) = reader.incidents()
    assert (incident.state, incident.acknowledged_by, incident.acknowledged_until) == (
        "acknowledged",
        "link: ops",
        None,
    )
    assert "Acknowledged by link: ops." in reader.visitor.text(path)


def test_it_may_be_for_a_while(reader: Reader) -> None:
    path = reader.link()
    reader.press(path, length="1d")
    assert reader.incidents()[0].acknowledged_until == T0 + 24 * H
    reader.press(f"{path}?length=3d")
    assert reader.incidents()[0].acknowledged_until == T0 + 24 * H, "who was first is not overruled"
    assert len(reader.acts()) == 1
    assert reader.press(path, length="99d").status_code == 400


def test_what_looks_at_links_does_nothing(reader: Reader) -> None:
    path = reader.link()
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        reader.visitor.http.request(method, reader.visitor.base + path, timeout=60)
    assert reader.acts() == []


def test_a_link_runs_out_and_says_so(reader: Reader) -> None:
    path = reader.link()
    reader.clock.now = T0 + 48 * H
    assert "This link counts no more" in reader.visitor.text(path, 410)
    assert reader.press(path).status_code == 410
    assert reader.acts() == []


def test_what_is_over_cannot_be_acknowledged(reader: Reader) -> None:
    path = reader.link()
    reader.watched.poll(one(1, 33, number=PHONE, auto_renewal=True), one(2, 60), at=T0 + H)
    assert [found.state for found in reader.incidents()] == ["resolved"]
    assert "It is over" in reader.visitor.text(path)
    assert "It is over" in said(reader.press(path).text)
    assert reader.acts() == []
    assert all("/answer/" not in message.body for message in reader.messages())


@pytest.mark.parametrize(
    ("channel", "incident", "counts"),
    [(None, None, False), ("ops", None, False), ("masked", None, True), (None, "it", False), (None, "other", True)],
)
def test_links_are_called_back(reader: Reader, channel: str | None, incident: str | None, counts: bool) -> None:
    path = reader.link()
    name = reader.incidents()[0].name if incident == "it" else incident
    with reader.watched.store.transaction() as tx:
        revoke_links(tx, channel, name, T0)
    assert reader.press(path).status_code == (200 if counts else 410)
    assert bool(reader.acts()) is counts


def test_a_link_is_bound_to_its_incidents_its_channel_and_the_key(reader: Reader) -> None:
    path = reader.link()
    found = opened(path.removeprefix("/answer/"), KEY.encode())
    assert found is not None
    (incident,) = reader.incidents()
    assert (found.incidents, found.channel) == ({incident.id: mark_of(incident.name)}, "ops")
    forged = [
        sealed(found, b"another key, which is as long"),
        path.removeprefix("/answer/")[:-1],
        path.removeprefix("/answer/") + "x",
        "x",
        "a.b",
        "%00",
        "🚫",
    ]
    for text in forged:
        assert reader.press(f"/answer/{text}").status_code == 404, text
    assert reader.press(f"/answer/{sealed(found._replace(channel='gone'), KEY.encode())}").status_code == 410
    assert reader.press(f"/answer/{sealed(found._replace(channel='quiet'), KEY.encode())}").status_code == 410
    assert reader.press(f"/answer/{sealed(found._replace(incidents={987654: 'x'}), KEY.encode())}").status_code == 410
    assert reader.acts() == []


def test_a_link_is_never_of_another_incident_under_the_same_id(reader: Reader) -> None:
    """As after a backup was put back, or in a copy of the database."""
    path = reader.link()
    emptied(reader.watched.store)
    reader.watched.poll(one(7, 3))
    (other,) = reader.incidents()
    found = opened(path.removeprefix("/answer/"), KEY.encode())
    assert found is not None
    assert list(found.incidents) == [other.id]
    page = reader.visitor.text(path, 410)
    assert "phone-7" not in page
    assert "+15550000007" not in page
    assert reader.press(path).status_code == 410


def test_whoever_was_first_looks_after_it(reader: Reader) -> None:
    path = reader.link()
    commands.call(reader.watched.path, "ack", PHONE, "--author", "anna", clock=reader.clock)
    assert "Somebody looks after it" in reader.visitor.text(path)
    assert "Somebody looks after it" in said(reader.press(path, length="1d").text)
    (incident,) = reader.incidents()
    assert (incident.acknowledged_by, incident.acknowledged_until) == ("anna", None)


def test_a_channel_may_go_without_and_a_masked_one_shows_no_number(reader: Reader) -> None:
    (message,) = reader.messages("quiet")
    assert "/answer/" not in message.body
    page = reader.visitor.get(reader.link("masked")).text
    assert PHONE not in page
    assert "+155•••111" in page


def test_the_page_shows_nothing_of_the_rest(reader: Reader) -> None:
    page = reader.visitor.get(reader.link()).text
    assert "phone-2" not in page
    assert "<nav" not in page
    assert reader.visitor.get("/").status_code == 303


def test_of_many_there_is_a_link_as_long_as_they_can_be_shown(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied(reader.watched.store)
    reader.watched.poll(*(one(index, 3) for index in range(5)))
    (message,) = reader.messages()
    (link,) = re.findall(rf"{BASE}/answer/\S+", message.body)
    assert reader.press(urlsplit(link).path.removeprefix("/renewals")).status_code == 200
    assert {found.state for found in reader.incidents()} == {"acknowledged"}
    monkeypatch.setattr(answers, "MOST", 1)
    (message,) = reader.messages("masked")
    assert "/answer/" not in message.body


def test_where_there_is_no_room_the_link_goes_first(reader: Reader) -> None:
    (message,) = reader.messages(body=300)
    assert "/answer/" not in message.body
    assert message.message_id in message.body


def test_wrong_links_are_not_looked_at_without_end_and_right_ones_are(reader: Reader) -> None:
    path = reader.link()
    reader.clock.now = T0 + 2 * H
    found = [reader.press("/answer/x").status_code for _ in range(FREE_TRIES + 2)]
    assert found == [404] * FREE_TRIES + [429] * 2
    assert reader.press(path).status_code == 200
    reader.clock.now = T0 + 2 * H + timedelta(minutes=1)
    assert reader.press("/answer/x").status_code == 404


def test_no_link_stands_in_the_log(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    path = reader.link()
    caplog.set_level(logging.DEBUG, "renewal_watch")
    reader.visitor.get(path)
    reader.press("/answer/wrong-one")
    for wrong in (f"/{path}", f"/x{path}", path.replace("answer", "ANSWER")):
        reader.visitor.get(wrong)
    ours = "\n".join(entry.getMessage() for entry in caplog.records if entry.name.startswith("renewal_watch"))
    assert "/answer/…" in ours
    assert path.removeprefix("/answer/") not in ours
    assert "wrong-one" not in ours


def test_a_request_that_is_broken_off_is_one_line(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    port = int(reader.visitor.base.rpartition(":")[2])
    for path in (reader.link(), "/api/v1/retry"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\nx"
            connection.sendall(head.encode())
    assert reader.press("/answer/x").status_code == 404
    assert "Traceback" not in caplog.text
    assert reader.acts() == []


def test_without_a_key_or_an_address_there_is_no_link(reader: Reader) -> None:
    way = Routing.of(reader.watched.settings)
    of = reader.watched.settings.channels[0]
    for routing in (
        replace(way, web=msgspec.structs.replace(way.web, public_url=None)),
        replace(way, web=replace_key(way, None)),
        replace(way, web=replace_key(way, "/no")),
    ):
        emptied(reader.watched.store)
        reader.watched.poll(one(1, 3))
        sender = Kept(Limits(body=3000, title=250))
        dispatch.run_once(reader.watched.store, Outlet(channel=of, sender=sender), routing, reader.clock)
        assert "/answer/" not in sender.messages[0].body


def replace_key(way: Routing, file: str | None) -> Web:
    return msgspec.structs.replace(way.web, key=None, key_file=file)


@pytest.mark.parametrize(
    "answer",
    [
        Answer({1: "abc"}, "ops", T0, T0 + H),
        Answer({3: "a", 2**40: "b"}, "a channel with ümlauts", T0, T0 + 900 * H),
    ],
)
def test_what_is_sealed_is_opened_again(answer: Answer) -> None:
    text = sealed(answer, KEY.encode())
    assert re.fullmatch(r"[A-Za-z0-9._-]+", text)
    assert opened(text, KEY.encode()) == answer


def test_ntfy_gets_buttons() -> None:
    """docs.ntfy.sh/publish: actions in a header, "http" for a request, "view" for a page; UTF-8."""
    with http_receiver() as web:
        channel = AppriseChannel("phone", lambda: f"ntfy://127.0.0.1:{web.port}/topic")
        buttons = (
            Button("Bestätigen", f"{BASE}/answer/a.b", is_act=True),
            Button("Öffnen", f"{BASE}/incidents?incident=a%2Fb", is_act=False),
        )

        def render(limits: Limits) -> Message:
            assert limits.body
            return Message(message_id="rw-1", title="t", body="b", severity=Severity.warning, buttons=buttons)

        channel.send(render)
        channel.close()
        headers = web.wait().headers
    assert headers["X-Actions"].encode("latin-1").decode() == (
        f"http, Bestätigen, {BASE}/answer/a.b, method=POST, clear=true; view, Öffnen, {BASE}/incidents?incident=a%2Fb"
    )


def test_a_message_s_buttons_are_what_its_link_can(reader: Reader) -> None:
    (message,) = reader.messages()
    assert [(button.label, button.is_act) for button in message.buttons] == [
        ("Acknowledge", True),
        ("Snooze for 1 day", True),
        ("Open", False),
    ]
    path = urlsplit(message.buttons[1].url)
    assert reader.visitor.post(f"{path.path.removeprefix('/renewals')}?{path.query}", {}).status_code == 200
    assert reader.incidents()[0].acknowledged_until == T0 + 24 * H


def test_the_command_calls_links_back(reader: Reader) -> None:
    path = reader.link()
    config = reader.watched.path
    refused = commands.call(config, "web", "revoke-links", "--channel", "nobody", code=2)
    assert "there is no channel 'nobody'" in refused.output
    for wrong in ("", " ", "no/such"):
        commands.call(config, "web", "revoke-links", "--incident", wrong, code=2)
    assert reader.acts() == []
    commands.call(config, "web", "revoke-links", "--channel", "ops", clock=reader.clock)
    assert reader.press(path).status_code == 410
    assert [verb for verb, _author, _origin in reader.acts()] == ["links revoked"]
