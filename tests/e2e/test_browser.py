"""The pages in a real Chromium: what people see and do, with a keyboard, a screen reader, a phone, and without scripts.

Every request that the browser makes is recorded: none may leave the server of the pages.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import PASSWORD, Visitor, pages, password_file
from conftest import T0, Clock
from playwright.sync_api import Browser, Page, expect, sync_playwright
from watched import CHANNEL, Watched, one

from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.policy import Match
from renewal_watch.notify.message import render as notify_render
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent

D = timedelta(days=1)
PATHS = {
    "fleet": "/",
    "second page": "/?page=2&auto=on",
    "filtered": "/?country=US&status=suspended",
    "nothing found": "/?search=nothing-like-that",
    "incidents": "/incidents",
    "calendar": "/calendar",
    "alerts": "/alerts",
    "number": "/numbers/production/phone-2",
    "health": "/health",
    "changes": "/changes?since=7d",
    "audit": "/audit",
    "login": "/login",
    "not found": "/nowhere",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("RENEWAL_WATCH_TEST_ALL"):
            pytest.fail("the pages cannot be tried: needs chromium")
        pytest.skip("the pages cannot be tried: needs chromium")
    with sync_playwright() as playwright:
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        found = playwright.chromium.launch(executable_path=chromium, args=args)
        yield found
        found.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A fleet with trouble of every kind, and a channel that fails."""
    folder = tmp_path_factory.mktemp("seen")
    web = f'[web]\npassword_file = "{password_file(folder / "password")}"\n'
    made = Watched(folder, CHANNEL + "[renewals]\nmissing_after_polls = 1\n" + web, ("production", "test"))
    quiet = [one(index, 4 + index % 50, auto_renewal=True) for index in range(10, 65)]
    before = [one(1, 4), one(2, -3), one(3, 30), one(4, 9, current_price=2, monthly_renewal_cost=2, currency="EUR")]
    made.poll(*quiet, *before, at=T0 - D)
    made.poll(one(1, 30), at=T0 - D, environment="test")
    made.poll(
        *quiet,
        one(1, 3),
        one(2, -4, current_status="suspended"),
        one(4, 8, current_price=3, monthly_renewal_cost=3, currency="EUR"),
        at=T0,
    )
    channel = made.settings.channel("ops")
    with made.store.transaction() as tx:
        claimed = claim(tx, channel, "UTC", T0)
        assert claimed
        settle_failed(tx, claimed, "the service is away", Routing.of(made.settings), T0 + D * 60, 0.5)
        claimed = claim(tx, channel, "UTC", T0)
        assert claimed
        settle_sent(tx, claimed, Routing.of(made.settings), T0)
        add_silence(tx, Match(ids=("phone-2",)), (), T0 + D, "Bob", "it moves", T0)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def served(watched: Watched) -> Iterator[Visitor]:
    with pages(watched, Clock(T0 + timedelta(hours=7))) as found:  # stale: the banner is there
        yield found


class Seen:
    """One page of a browser, with all that it asked for and complained about."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def login(self, name: str = "Anna") -> None:
        self.go("/login")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()


@contextmanager
def looking(browser: Browser, base: str, **options: Any) -> Iterator[Seen]:
    """A fresh browser window; at its end nothing has left the server, and nothing was refused."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.set_default_timeout(10_000)
    seen = Seen(context.new_page(), base)
    try:
        yield seen
    finally:
        context.close()
    assert [url for url in seen.asked if not url.startswith(base + "/")] == []
    assert [said for said in seen.complaints if "404 (Not Found)" not in said] == []


# --- everybody can use it ---------------------------------------------------------------------------------------------


def test_axe_finds_nothing_on_any_page(browser: Browser, served: Visitor) -> None:
    """All of its rules in the light, that of contrast in the dark, and those of WCAG 2.2 AA on a phone."""
    axe = Axe()
    found: dict[str, list[str]] = {}
    with looking(browser, served.base, reduced_motion="reduce") as seen:  # no colour halfway to another
        for name, path in {
            **PATHS,
            "logged in: ": "",
            **{f"logged in: {name}": PATHS[name] for name in ("fleet", "incidents", "number", "alerts")},
        }.items():
            if not path:
                seen.login()
                continue
            page = seen.go(path)
            page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
            looks = {"light": axe.run(page).response["violations"]}
            page.emulate_media(color_scheme="dark")
            looks["dark"] = again(page, "rule", "color-contrast")
            page.set_viewport_size({"width": 360, "height": 800})
            looks["dark on a phone"] = again(page, "tag", "wcag2a", "wcag2aa", "wcag21aa", "wcag22aa")
            page.emulate_media(color_scheme="light")
            page.set_viewport_size({"width": 1280, "height": 900})
            found |= {
                f"{name}, {look}: {one['id']} ({one['impact']})": [node["html"] for node in one["nodes"]][:3]
                for look, violations in looks.items()
                for one in violations
            }
    assert found == {}


def again(page: Page, kind: str, *named: str) -> list[dict[str, Any]]:
    """What axe, which is in the page already, finds by some of its rules."""
    options = {"resultTypes": ["violations"], "runOnly": {"type": kind, "values": list(named)}}
    found: list[dict[str, Any]] = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
    return found


def test_no_page_is_wider_than_the_window(browser: Browser, served: Visitor) -> None:
    """320 and 640 points are a window of 1280 at a zoom of 400 and 200 percent."""
    with looking(browser, served.base) as seen:
        seen.login()
        for name, path in PATHS.items():
            page = seen.go(path)
            for width in (320, 360, 640, 1280):
                page.set_viewport_size({"width": width, "height": 700})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_stands(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base) as seen:
        page = seen.go("/")
        order = []
        for _ in range(16):
            page.keyboard.press("Tab")
            order.append(
                page.evaluate("(document.activeElement.innerText || document.activeElement.name || '').trim()")
            )
        assert order[:7] == [
            "Skip to the content",
            "renewal-watch",
            "Overview",
            order[3],
            "Calendar",
            "Alerts",
            "Health",
        ]
        assert order[3].startswith("Incidents")
        assert order[7] == "Log in"
        assert [one.split("\n")[0] for one in order[8:12]] == [
            "Service",
            "Open incidents",
            "Lost within 7 days",
            "Renewing",
        ]
        page.get_by_role("searchbox").focus()
        order = ["search"]
        for _ in range(6):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.name || ''"))
        names = ["search", "show", "within", "status", "auto", "environment"]
        assert [name for name in order if name in names] == names[: len([name for name in order if name in names])]
        focused = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert focused == "solid", "what has the focus is seen"


def test_the_skip_link_skips(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base) as seen:
        page = seen.go("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_a_slash_goes_to_the_search_and_is_only_a_slash_within_it(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base) as seen:
        page = seen.go("/")
        page.keyboard.press("/")
        search = page.get_by_role("searchbox")
        expect(search).to_be_focused()
        expect(search).to_have_value("")
        page.keyboard.type("phone/1")
        expect(search).to_have_value("phone/1")


def test_a_screen_reader_is_told_what_things_are(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base) as seen:
        page = seen.go("/")
        assert re.match(r"\(\d+\) Overview · renewal-watch", page.title())
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        expect(page.get_by_role("region", name="The watch needs attention")).to_be_visible()
        expect(page.get_by_role("navigation", name="Pages", exact=True)).to_be_visible()
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="+15550000002"))
        expect(row).to_contain_text("4 days overdue")
        expect(row).to_contain_text("suspended")
        expect(page.get_by_role("link", name="Overview", exact=True)).to_have_attribute("aria-current", "page")


def test_a_phone_still_has_rows_and_cells(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base, viewport={"width": 360, "height": 700}) as seen:
        page = seen.go("/")
        expect(page.get_by_role("rowheader", name="+15550000002")).to_be_visible()
        expect(page.get_by_role("cell", name="4 days overdue")).to_be_visible()


def test_an_html_mail_is_read_on_a_phone_and_in_the_dark(browser: Browser) -> None:
    def told(index: int, severity: Severity) -> Alert:
        words = Written(
            f"+4930555000{index} is overdue by 3 days", f"+4930555000{index} (production) is overdue: " + "a word " * 40
        )
        return Alert(
            key=f"{index}", kind="renewal.overdue", severity=severity, environment="production", facts=words,
            number_id=f"{index}", number=f"+4930555000{index}",
        )  # fmt: skip

    alerts = [told(index, severity) for index, severity in enumerate(Severity)]
    mail = notify_render.render(
        "rw-1", alerts, created_at=T0, now=T0, body_limit=30_000, title_limit=200, form="html", is_mail=True
    )
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 360, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.set_content(mail.body)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert (
            Axe()
            .run(page, options={"runOnly": ["color-contrast", "document-title", "html-has-lang"]})
            .response["violations"]
            == []
        )
        context.close()


# --- light and dark ---------------------------------------------------------------------------------------------------


def test_light_and_dark_follow_the_reader(browser: Browser, served: Visitor) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with looking(browser, served.base, color_scheme=scheme) as seen:
            page = seen.go("/")
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            grounds.append(sum(map(int, re.findall(r"\d+", colour)[:3])))
    assert grounds[0] > 600
    assert grounds[1] < 200


# --- with and without scripts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False])
def test_filters_sort_and_pages_work(browser: Browser, served: Visitor, scripts: bool) -> None:
    with looking(browser, served.base, java_script_enabled=scripts) as seen:
        page = seen.go("/")
        page.get_by_label("Show").select_option("overdue")
        if not scripts:
            page.get_by_role("button", name="Find").click()
        expect(page.get_by_role("rowheader")).to_have_text(["+15550000002"])
        assert page.url == f"{seen.base}/?show=overdue" if scripts else "show=overdue" in page.url
        expect(page.get_by_label("Show")).to_have_value("overdue")
        page.get_by_role("link", name="Clear").click()
        page.get_by_role("link", name="Number", exact=True).click()
        expect(page.get_by_role("columnheader", name="Number")).to_have_attribute("aria-sort", "ascending")
        page.get_by_role("link", name="Next →").click()
        expect(page.get_by_text("Page 2")).to_be_visible()
        page.get_by_role("searchbox").fill("phone-2")
        page.keyboard.press("Enter")
        expect(page.get_by_role("rowheader").first).to_have_text("+15550000002")
        page.get_by_role("link", name="+15550000002").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("+15550000002")


@pytest.mark.parametrize("scripts", [True, False])
def test_somebody_logs_in_acknowledges_silences_and_logs_out(browser: Browser, served: Visitor, scripts: bool) -> None:
    served.tries.__init__()
    with looking(browser, served.base, java_script_enabled=scripts) as seen:
        page = seen.go("/numbers/production/phone-1")
        page.get_by_role("link", name="Log in").last.click()
        page.get_by_label("Your name").fill("Anna")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This is not the password.")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("+15550000001")
        page.get_by_label("Comment", exact=True).fill("it is paid tomorrow")
        page.get_by_role("button", name="Acknowledge: I look after it").click()
        expect(page.get_by_role("status")).to_contain_text("acknowledged: renewal (renewal.upcoming)")
        expect(page.get_by_text("acknowledged by web: Anna").first).to_be_visible()
        page.get_by_role("button", name="Take the acknowledgement back").click()
        expect(page.get_by_role("status")).to_contain_text("taken back")
        page.get_by_text("Silence it, or say that it is meant to expire").click()
        page.get_by_label("Hide its alerts for").select_option("1 day")
        page.get_by_role("button", name="Silence").click()
        expect(page.get_by_role("status")).to_contain_text("are hidden until")
        page.get_by_role("button", name="End it").click()
        expect(page.get_by_role("status")).to_contain_text("is over")
        page.reload()
        expect(page.get_by_role("status")).to_have_count(0)
        page.get_by_text("Silence it, or say that it is meant to expire").click()
        page.get_by_role("button", name="It is meant to expire").click()
        expect(page.get_by_role("status")).to_contain_text("is meant to expire on 2026-11-26")
        page.get_by_text("Silence it, or say that it is to stay").click()
        page.get_by_role("button", name="It is to stay after all").click()
        expect(page.get_by_role("status")).to_contain_text("is to stay")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("link", name="Log in").first).to_be_visible()
        seen.complaints = [said for said in seen.complaints if "403 (Forbidden)" not in said]


def test_a_bar_of_the_calendar_leads_to_its_day(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base) as seen:
        page = seen.go("/calendar")
        page.locator(".chart a").first.click()
        assert re.search(r"/\?day=2026-\d\d-\d\d$", page.url)
        expect(page.get_by_role("heading", level=1)).to_contain_text("renewing")
        expect(page.get_by_role("rowheader").first).to_be_visible()


# --- keeping up to date -----------------------------------------------------------------------------------------------


def test_a_page_that_nobody_works_in_is_kept_up_to_date(browser: Browser, served: Visitor) -> None:
    with looking(browser, served.base) as seen:
        seen.page.clock.install()
        page = seen.go("/")
        page.evaluate("window.old = true")
        with page.expect_navigation():
            page.clock.run_for(61_000)
        assert page.evaluate("window.old") is None


@pytest.mark.parametrize("busy", ["typing", "reading on", "paused"])
def test_a_page_that_somebody_works_in_stays_as_it_is(browser: Browser, served: Visitor, busy: str) -> None:
    with looking(browser, served.base) as seen:
        seen.page.clock.install()
        page = seen.go("/alerts" if busy == "reading on" else "/")
        page.evaluate("window.old = true")
        if busy == "typing":
            page.get_by_role("searchbox").focus()
        elif busy == "reading on":
            page.evaluate("getSelection().selectAllChildren(document.querySelector('main'))")
        else:
            button = page.get_by_role("button", name="Pause refreshing")
            button.click()
            expect(button).to_have_attribute("aria-pressed", "true")
            button.blur()
        page.clock.run_for(200_000)
        assert page.evaluate("window.old") is True
        if busy == "paused":
            page.reload()
            expect(page.get_by_role("button", name="Pause refreshing")).to_have_attribute("aria-pressed", "true")


def test_pages_without_a_database_come_back_by_themselves(browser: Browser, tmp_path: Path) -> None:
    made = Watched(tmp_path)
    path = Path(made.settings.database_url.removeprefix("sqlite:///"))
    path.rename(tmp_path / "away")
    with pages(made, Clock()) as served, looking(browser, served.base) as seen:
        seen.page.clock.install()
        page = seen.go("/")
        expect(page.get_by_role("heading", level=1)).to_have_text("The database cannot be read now")
        (tmp_path / "away").rename(path)
        with page.expect_navigation():
            page.clock.run_for(11_000)
        expect(page.get_by_role("heading", level=2)).to_have_text("No number yet")
        seen.complaints = [said for said in seen.complaints if "503 (Service Unavailable)" not in said]
    made.store.close()
