"""In a real Chromium: signing in elsewhere and coming back, and acknowledging by a link; what only a browser shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import Visitor, pages
from conftest import T0, Clock
from oidc_provider import CLIENT, SECRET, Issuer, provider
from playwright.sync_api import Browser, expect
from test_browser import browser as browser  # noqa: PLC0414 (a fixture)
from watched import CHANNEL, Watched, one

from renewal_watch.alerts.answers import Answer, mark_of, sealed
from renewal_watch.store.incidents.listing import Wanted, list_incidents

KEY = "a key of the pages that is long enough"


@dataclass
class World:
    watched: Watched
    visitor: Visitor
    base: str
    issuer: Issuer

    def link(self) -> str:
        with self.watched.reading() as tx:
            (incident,) = list_incidents(tx, T0.toordinal(), Wanted())
        return f"{self.base}/answer/{sealed(Answer({incident.id: mark_of(incident.name)}, 'ops', T0, T0 + timedelta(days=7)), KEY.encode())}"


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The pages by the name localhost, so that the provider at 127.0.0.1 is another site to the browser."""
    clock = Clock()
    with provider() as issuer:
        issuer.now = lambda: clock().timestamp()
        watched = Watched(tmp_path_factory.mktemp("sign-in"))
        with pages(watched, clock) as visitor:
            base = visitor.base.replace("127.0.0.1", "localhost") + "/phones"
            watched.configure(
                f"{CHANNEL}[web]\n"
                f'public_url = "{base.removesuffix("/phones")}"\nbase_path = "/phones"\nkey = "{KEY}"\n'
                f'login_to_read = true\nreaders = ["*"]\nactors = ["group:ops"]\n'
                f'[oidc]\nissuer = "{issuer.url}"\nclient_id = "{CLIENT}"\nclient_secret = {json.dumps(SECRET)}\n'
            )
            visitor.state.adopt(watched.settings)
            watched.poll(one(1, 3))
            yield World(watched, visitor, base, issuer)
        watched.store.close()


def test_who_signs_in_elsewhere_is_in_at_once_and_acts(world: World, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{world.base}/incidents")
    page.get_by_role("link", name="Sign in at 127.0.0.1").click()
    page.wait_for_url(f"{world.base}/incidents")
    expect(page.get_by_text("anna@example.org")).to_be_visible()
    page.get_by_label("Choose:").check()
    page.get_by_role("button", name="Acknowledge those chosen").click()
    expect(page.get_by_role("status")).to_contain_text("acknowledged")
    expect(page.locator("ol.open")).to_contain_text("acknowledged by web: anna@example.org")
    (held,) = [one for one in page.context.cookies() if one["name"] == "renewal_watch_session"]
    assert (held["httpOnly"], held["sameSite"], held["path"]) == (True, "Strict", "/phones/")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{world.base}/login")
    page.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_link_is_answered_on_a_phone(world: World, browser: Browser, scripts: bool) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 640}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(world.link())
    expect(page.get_by_role("heading", name="Do you look after it?")).to_be_visible()
    assert page.locator("nav").count() == 0
    assert page.locator("#refresh").count() == 0, "loaded anew after the button, it would be pressed again"
    if scripts:
        assert Axe().run(page).violations_count == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_label("For how long").select_option("1d")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_contain_text("Acknowledged: renewal")
    context.close()
    with world.watched.reading() as tx:
        (incident,) = list_incidents(tx, T0.toordinal(), Wanted(states=("acknowledged",)))
    assert (incident.acknowledged_by, incident.acknowledged_until) == ("link: ops", T0 + timedelta(days=1))
