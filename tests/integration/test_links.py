"""A link in every message: where it leads, where it has no room, and what it must not say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import commands
import pytest
from browsing import pages
from conftest import T0
from databases import EITHER
from test_wording import NUMBER, World, soon
from test_wording import world as world  # noqa: PLC0414 (a fixture)
from watched import CHANNEL, Watched, one
from world import write_config

from renewal_watch.errors import ServerTrouble
from renewal_watch.notify.message import wording
from renewal_watch.notify.message.render import render
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.web import Web
from renewal_watch.store.outbox.alerts import alerts_since
from renewal_watch.web.access.places import own_hosts

pytestmark = EITHER
H = timedelta(hours=1)
BASE = "https://watch.example.org"


@pytest.fixture
def linked(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World.routing.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(World, "routing", property(lambda self: replace(made(self), web=Web(public_url=BASE))))
    return world


def links(body: str) -> list[str]:
    return [word for word in body.split() if word.startswith(BASE)]


def test_a_message_about_one_number_leads_to_its_page(linked: World) -> None:
    linked.poll(soon())
    ((_title, body),) = linked.told()
    assert links(body) == [f"{BASE}/numbers/production/phone-1"]
    assert body.splitlines()[-1].startswith("message rw-"), "the id stays the last line"


def test_a_message_about_several_leads_to_the_list(linked: World) -> None:
    linked.poll(soon(), soon("phone-2"))
    ((_title, body),) = linked.told()
    assert links(body) == [f"{BASE}/incidents"]


def test_what_is_about_no_number_leads_to_its_incident_until_it_is_over(linked: World) -> None:
    linked.poll(soon())
    linked.told()
    for _ in range(6):
        linked.poll(error=ServerTrouble("HTTP 500"))
    (body,) = [body for title, body in linked.told() if "cannot be read" in title]
    (address,) = links(body)
    assert address.startswith(f"{BASE}/incidents?incident=production%2Fwatch.api_failing%2F")
    linked.poll(soon())
    (body,) = [body for title, body in linked.told() if "can be read again" in title]
    assert links(body) == [address], "its end is about the same incident"


def test_without_public_url_there_is_no_link(world: World) -> None:
    world.poll(soon())
    ((_title, body),) = world.told()
    assert "http" not in body


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_where_it_has_no_room_the_link_goes_before_any_alert(linked: World, form: str) -> None:
    linked.poll(soon())
    with linked.store.reading() as tx:
        alerts = [alert for _id, alert, _why in alerts_since(tx, 0)]
    given = {"created_at": linked.now, "now": linked.now, "title_limit": 0, "form": form, "pages": BASE}
    wide = render("rw-0123456789", alerts, body_limit=2000, **given).body  # type: ignore[arg-type]
    assert f"{BASE}/numbers/production/phone-1" in wide
    narrow = render("rw-0123456789", alerts, body_limit=160, **given).body  # type: ignore[arg-type]
    assert BASE not in narrow
    assert "rw-0123456789" in narrow


def test_markdown_does_not_read_the_address_as_markup(linked: World) -> None:
    linked.channels["ops"] = Channel(name="ops", format="markdown")
    linked.poll(soon("phone_1_a"))
    ((_title, body),) = linked.told()
    assert f"{BASE}/numbers/production/phone%5F1%5Fa" in body


def test_a_masked_channel_is_given_no_number_in_an_address(linked: World) -> None:
    linked.channels["ops"] = Channel(name="ops", mask_numbers=True)
    linked.poll(soon("+15550000001", number="+15550000001"))
    ((_title, body),) = linked.told()
    assert "15550000001" not in body
    assert links(body)


def test_a_mail_has_a_link_at_each_headline(linked: World) -> None:
    linked.poll(soon(), soon("phone-2"))
    with linked.store.reading() as tx:
        alerts = [alert for _id, alert, _why in alerts_since(tx, 0) if alert.kind == "renewal.upcoming"]
    given = {"created_at": linked.now, "now": linked.now, "body_limit": 50_000, "title_limit": 250, "form": "html"}
    page = render("rw-1", alerts, pages=BASE, is_mail=True, **given).body  # type: ignore[arg-type]
    assert page.count(f'href="{BASE}/numbers/production/phone-') == 2
    assert f'<a href="{BASE}/incidents"' in page


def test_a_hook_is_given_the_address(linked: World) -> None:
    linked.poll(soon())
    with linked.store.reading() as tx:
        alert = next(alert for _id, alert, _why in alerts_since(tx, 0) if alert.kind == "renewal.upcoming")
    for way, said in ((linked.routing, f"{BASE}/numbers/production/phone-1"), (Routing(), None)):
        told = wording.event(alert, Channel(name="x"), way, message_id="rw-1", alert_id=1, found_at=linked.now)
        assert json.loads(told.body)["url"] == said
    masked = Channel(name="x", mask_numbers=True)
    for shown, leads in ((alert, said), (replace(alert, number_id=NUMBER), "/alerts")):
        told = wording.event(shown, masked, linked.routing, message_id="rw-1", alert_id=1, found_at=linked.now)
        assert json.loads(told.body)["url"].endswith(leads or "/numbers/production/phone-1")


# --- the pages it leads to --------------------------------------------------------------------------------------------


def test_the_address_of_an_incident_shows_it_alone_also_when_it_is_over(tmp_path: Path) -> None:
    made = Watched(tmp_path, f'{CHANNEL}[web]\npublic_url = "{BASE}"\n')
    made.poll(one(1, 2, auto_renewal=False), one(2, 2, auto_renewal=False), at=T0)
    (first, second) = json.loads(commands.call(made.path, "incidents", "--json").output)
    assert first["url"].startswith(f"{BASE}/incidents?incident=production%2Frenewal.upcoming%2F")
    over = [one(1, 40, auto_renewal=True), one(2, 40, auto_renewal=True)]
    with pages(made, lambda: T0 + 2 * H) as visitor:
        for state in ("open", "resolved"):
            page = visitor.text(first["url"].removeprefix(BASE))
            assert first["number"] in page
            assert second["number"] not in page
            assert f"1 {state}" in page
            made.poll(*over, at=T0 + H)
    made.store.close()


@pytest.mark.parametrize(
    "wrong",
    ["watch.example.org", "https://watch.example.org/path", "https://u:p@x.example", "ftp://x", "https://x/?a=b"],
)
def test_an_address_that_is_none_is_refused_with_what_to_write(tmp_path: Path, wrong: str) -> None:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    path.write_text(path.read_text() + f'\n[web]\npublic_url = "{wrong}"\n')
    said = commands.call(path, "config", "check", code=78).output
    assert "web.public_url" in said
    assert "like https://watch.example.org" in said


def test_its_host_is_one_of_the_names_of_the_server() -> None:
    assert "watch.example.org" in own_hosts(Web(public_url=f"{BASE}/"))
    assert "[2001:db8::1]" in own_hosts(Web(public_url="http://[2001:db8::1]:8080"))
