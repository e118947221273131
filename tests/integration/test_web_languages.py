"""Every word of the pages can be translated: with a catalogue that marks what goes through it, nothing is left unmarked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browsing import PASSWORD, Visitor, pages, password_file
from conftest import T0, Clock
from databases import EITHER, changed
from marking import DATES, marking, without_marks
from sqlalchemy import String, select
from watched import Watched, one

from renewal_watch.alerts.facts.release_facts import ReleaseRequested
from renewal_watch.database.schema import metadata
from renewal_watch.database.transaction import Transaction
from renewal_watch.language import in_language
from renewal_watch.model.account import Balance, Reading, Release
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Number
from renewal_watch.model.policy import Match
from renewal_watch.notify.routing import Routing
from renewal_watch.store.environments import id_of_environment
from renewal_watch.store.incidents.account import keep_reading
from renewal_watch.store.incidents.listing import STATES, Wanted, list_incidents
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.leases import record_beat, register
from renewal_watch.store.outbox.alerts import record_alerts
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent
from renewal_watch.web.pages import charts

pytestmark = EITHER

H = timedelta(hours=1)
D = timedelta(days=1)
NOW = T0 + H / 2
SECRET = "a-secret-of-the-tests-that-is-long"
NUMBER = {"environment": "production", "id": "phone-1", "back": "/numbers/production/phone-1"}


@pytest.fixture(scope="module", autouse=True)
def catalogues() -> Iterator[None]:
    with marking():
        yield


# --- what is looked at -----------------------------------------------------------------------------------------------

SAID_BY = ("aria-label", "title", "placeholder", "alt", "data-label", "summary", "label", "content")
PASSED_OVER = {"script", "style", "code", "kbd", "q"}  # commands, ids, keys, comments


class Words(HTMLParser):
    """What a page says: its text, and the attributes that are read to people."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.said: list[str] = []
        self.lang = ""
        self._within: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.lang = given.get("lang") or ""
        if tag == "meta":
            return
        self.said += [value for name in SAID_BY if (value := given.get(name))]
        if tag == "input" and given.get("type") in ("submit", "button", "reset"):
            self.said.append(given.get("value") or "")
        if tag in PASSED_OVER or "value" in (given.get("class") or "").split():
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.texts.append(data)


DATA = {
    *("renewal", "watch"),  # the name of the program
    *("production", "test", "new", "nowhere"),  # environments
    *("ops", "night", "narrow", "Anna", "web", "Bob"),  # channels, people
    *("Sales", "vip"),  # the inventory
    *("active", "suspended", "voice", "sms", "mms", "fax", "whatsapp", "US", "DE", "local", "mobile"),  # the provider's
    *("USD", "EUR", "UTC", "SQLite", "PostgreSQL", "MiB", "s"),
    *("phone", "id"),
    *("presence", "status", "data", "price", "release", "account"),  # topics
    *("a", "text", "null", "much"),  # how a value of the provider looks
    *("NUL", "no", "host", "ended", "severities"),
}
KEYS = re.compile(r"\b[a-z_]+\.(?:[a-z_]+|\*)|\b[a-z]+(?:_[a-z]+)+\b|\brw-[\w-]+|\bv?\d+\.\d[\w.+-]*")

VALUES = re.compile(r"'[^']*'|silence \d+ of .{1,20} until")  # what was asked for and is none; why something is hidden


def recorded(tx: Transaction) -> set[str]:
    """What the database keeps: texts of alerts, errors, comments; they are in English for ever."""
    found: set[str] = set()
    for table in metadata.sorted_tables:
        texts = [column for column in table.c if isinstance(column.type, String)]
        for row in tx.connection.execute(select(*texts)) if texts else ():
            found |= {line.strip() for text in row if text for line in str(text).splitlines()}
    return {text for text in found if " " in text}


def quoted_of(watched: Watched) -> list[str]:
    """What stands on pages and is none of their words, the longest first."""
    with watched.reading() as tx:
        found = recorded(tx)
    found |= {text[:1].upper() + text[1:] for text in found}
    return sorted(found, key=len, reverse=True)


@pytest.fixture
def quoted(watched: Watched) -> list[str]:
    return quoted_of(watched)


def unmarked(texts: list[str], quoted: list[str], also: Collection[str] = ()) -> set[str]:
    """The words that went through no catalogue and are no data."""
    left: set[str] = set()
    for text in texts:
        shown = text
        for quote in quoted:
            shown = shown.replace(quote, " ")
        shown = without_marks(shown)
        for quote in quoted:
            shown = shown.replace(quote, " ")
        left |= {
            word
            for word in re.findall(r"[^\W\d_]+", KEYS.sub(" ", VALUES.sub(" ", shown)))
            if word not in DATA | DATES | {*also}
        }
    return left


def unmarked_of(page: str, quoted: list[str]) -> set[str]:
    """The same of a page."""
    words = Words(page)
    assert words.lang == "de"
    return unmarked([" ".join(words.texts), *words.said], quoted)


# --- a watch with a story --------------------------------------------------------------------------------------------


def configuration(folder: Path, spoken: str) -> str:
    """Channels that take all, that wait for the night and that take little; an inventory, a rule, a calendar."""
    inventory = folder / "inventory.csv"
    inventory.write_text("number,owner,labels,note\n+15550000001,Sales,vip,\n+15550000002,Sales,,\n")
    return f"""
[[channels]]
name = "ops"
url = "json://127.0.0.1:1/"
[[channels]]
name = "night"
url = "json://127.0.0.1:1/"
quiet_hours = ["00:00-23:59"]
critical_at_once = false
[[channels]]
name = "narrow"
url = "json://127.0.0.1:1/"
min_severity = "critical"
kinds = ["renewal.*"]
environments = ["test"]
[[rules]]
name = "vip"
match = {{ labels = ["vip"] }}
warn_days = [20, 5]
severities = {{ "status.changed" = "critical" }}
[renewals]
missing_after_polls = 2
[inventory]
file = "{inventory}"
[backup]
directory = "{folder}"
[web]
language = "{spoken}"
calendar_secret = "{SECRET}"
password_file = "{password_file(folder / "password")}"
"""


def tell(made: Watched) -> None:
    """A fleet with every kind of trouble, up to ``T0``; then some messages are sent, some fail."""
    for ago in (3, 2, 1, 0):

        def seen(index: int, left: int, ago: int = ago, **changes: Any) -> dict[str, Any]:
            return one(index, left, **{"days_until_monthly_renewal": left + ago} | changes)

        quiet = [seen(index, 40, auto_renewal=True) for index in range(20, 80)]
        fleet: list[Any] = [
            *quiet,
            seen(1, 14),
            seen(2, -3, current_status="suspended" if ago < 2 else "active"),
            seen(4, 5, number="+4930111111", country_code="DE", currency="EUR", type="local")
            | {"monthly_renewal_cost": 3.5 if ago < 2 else 2.5},
            one(5, None),
            seen(6, 0),
            seen(7, 1),
            seen(8, 59, monthly_renewal_cost=None, current_price=None),
            seen(9, 100, auto_renewal=None),
            seen(10, 20, auto_renewal=ago > 1, current_status=None),
            seen(11, 12, auto_renewal=True, has_voice=False, has_sms=False),
            seen(12, 3, is_sandbox=True),
            seen(13, -1, auto_renewal=True),
            seen(14, 30, auto_renewal=True, days_until_monthly_renewal=15),
            seen(15, 10, monthly_renewal_cost="much"),
        ]
        if ago > 1:
            fleet.append(seen(3, 30))
        if ago:
            fleet.append(seen(16, 9))
        made.poll(*fleet, at=T0 - ago * D)
        made.poll(seen(1, 30, auto_renewal=True), at=T0 - ago * D, environment="test")
    made.fail(at=T0 + H / 6, environment="test")
    released = Release(id="r-1", status="pending", requested_at=T0)
    facts = ReleaseRequested(Number("phone-7", "+15550000007"), released, "production", left=None, on=None)
    alert = Alert(
        key="production/release/1",
        kind="release.requested",
        severity=Severity.critical,
        environment="production",
        facts=facts,
        number_id="phone-7",
        topic="release r-1",
    )
    with made.store.transaction() as tx:
        for name in ("production", "test"):
            content = Balance(amount=Decimal("21.20"), currency="USD")
            place = id_of_environment(tx, name)
            keep_reading(tx, place, Reading(name="balance", read_at=T0, good_at=T0, content=content))
            keep_reading(tx, place, Reading(name="cards", read_at=T0, outcome="server_trouble", error="HTTP 500"))
        record_alerts(tx, [alert], Routing.of(made.settings), T0)


def deliver(made: Watched) -> None:
    """One message is sent, one fails for good, one is tried again, one is being sent."""
    channel = made.settings.channel("ops")
    way = Routing.of(made.settings)
    with made.store.transaction() as tx:
        for come in ("sent", "failed", "again", "under way"):
            claimed = claim(tx, channel, "UTC", NOW)
            if not claimed:
                break
            if come == "sent":
                settle_sent(tx, claimed, way, NOW)
            elif come != "under way":
                later = NOW + 60 * D if come == "failed" else NOW
                settle_failed(tx, claimed, "HTTP 500", way, later, 0.5)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("languages")
    made = Watched(folder, configuration(folder, "de"), ("production", "test", "new"))
    tell(made)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def visitor(watched: Watched) -> Iterator[Visitor]:
    with pages(watched, Clock(NOW)) as found:
        yield found


PAGES = {
    **dict.fromkeys(
        (
            *("/", "/?page=2", "/?page=9", "/?search=nobody", "/?status=ended&sort=cost&way=down", "/?owner=Sales"),
            *("/?show=missing", "/?show=sandbox", "/?show=lapsing", "/?show=all", "/?day=2026-11-28&country=DE"),
            *("/?auto=off&within=7", "/?environment=test"),
            *(
                "/incidents",
                "/incidents?state=acknowledged",
                "/incidents?state=suppressed",
                "/incidents?state=resolved",
            ),
            *("/incidents?severity=critical", "/incidents?kind=canary.*", "/incidents?page=3"),
            *("/calendar", "/calendar?environment=test", "/calendar?owner=Sales"),
            *("/alerts", "/alerts?state=failed", "/alerts?state=pending&severity=critical", "/alerts?before=1"),
            *("/alerts?environment=production&id=phone-1", "/alerts?search=nobody"),
            *(f"/numbers/production/phone-{index}" for index in (*range(1, 17), 20)),
            *("/numbers/test/phone-1", "/health"),
            *(
                "/changes",
                "/changes?day=2026-11-01&environment=production",
                "/changes?since=2026-11-20&until=2026-11-22&owner=Sales",
                "/audit",
                "/audit?who=nobody",
                "/audit?day=2026-11-01&before=2026-11-01T00:00:00.000000Z-action-1",
            ),
        ),
        200,
    ),
    **dict.fromkeys(("/numbers/production/nobody", "/nothing", "/static/nothing.css", "/do/nothing"), 404),
    **dict.fromkeys(
        (
            "/?page=x",
            "/?day=soon",
            "/alerts?severity=worse",
            "/incidents?state=gone",
            "/changes?since=soon",
            "/audit?before=x",
        ),
        400,
    ),
}
PAGES |= {"/do/nothing": 405, "/alerts?environment=production&id=nobody": 400}
del PAGES["/static/nothing.css"]


@pytest.mark.parametrize("who", ["nobody", "Anna"])
def test_no_word_of_a_page_is_left_out(visitor: Visitor, quoted: list[str], who: str) -> None:
    visitor.forget()
    if who == "Anna":
        visitor.login(who)
    answers = {path: visitor.get(path) for path in PAGES}
    assert {path: answer.status_code for path, answer in answers.items()} == PAGES
    left = {path: words for path, answer in answers.items() if (words := unmarked_of(answer.text, quoted))}
    fields = {"page", "day", "since", "before", "severity", "warning", "critical", "state", *STATES}
    assert {path: words for path, words in left.items() if PAGES[path] != 400 or words - fields} == {}


def test_no_word_of_a_fault_is_left_out(visitor: Visitor, quoted: list[str]) -> None:
    visitor.forget()
    login = visitor.get("/login")
    wrong = visitor.login(password="this is not it, certainly")
    elsewhere = visitor.post("/login", {"password": PASSWORD}, headers={"Sec-Fetch-Site": "cross-site"})
    out = visitor.post("/do/keep", {"token": ""})
    for answer, status in ((login, 200), (wrong, 403), (elsewhere, 403), (out, 403)):
        assert (answer.status_code, unmarked_of(answer.text, quoted)) == (status, set())
    for _try in range(8):
        answer = visitor.login(password="this is not it, certainly")
    assert (answer.status_code, unmarked_of(answer.text, quoted)) == (429, set())
    visitor.forget()
    visitor.login()
    forged = visitor.post("/do/keep", {"token": "x"})
    large = visitor.post("/do/keep", {"token": "x" * 100_000})
    form = visitor.http.post(visitor.base + "/do/keep", json={}, timeout=60)
    for answer, status in ((forged, 403), (large, 413), (form, 415)):
        assert (answer.status_code, unmarked_of(answer.text, quoted)) == (status, set())
    for said in (
        visitor.get("/", headers={"Host": "elsewhere"}),
        visitor.get("/?search=%00"),
        visitor.get("/?" + "x" * 9000),
    ):
        assert unmarked([said.text.replace("'elsewhere'", "")], quoted) == set()


def test_no_word_of_a_stale_watch_is_left_out(tmp_path: Path) -> None:
    made = Watched(tmp_path, configuration(tmp_path, "de"), ("production", "test"))
    with made.store.transaction() as tx:
        add_silence(tx, Match(labels=("vip",), auto_renewal=False), ("renewal.*",), T0 + 99 * D, "Bob", "", T0 - 9 * D)
    tell(made)
    with made.store.transaction() as tx:
        register(tx, "0", "Bob", 7, "1.0", T0)
        record_beat(tx, "0", 5, 6, T0)
    with pages(made, Clock(NOW + 30 * D)) as visitor:
        visitor.login()
        quoted = quoted_of(made)
        for path in (
            "/",
            "/health",
            "/alerts",
            "/incidents",
            "/calendar",
            *(f"/numbers/production/phone-{n}" for n in range(1, 15)),
        ):
            assert unmarked_of(visitor.get(path).text, quoted) == set(), path
        for query in ("", "?by=day"):
            assert "⟦: the list was not read since ⟧" in visitor.get(f"/calendar/{SECRET}.ics{query}").text.replace(
                "\r\n ", ""
            )
    made.store.close()


def test_no_word_of_a_fault_of_our_own_is_left_out(tmp_path: Path) -> None:
    made = Watched(tmp_path, '[web]\nlanguage = "de"\n')
    made.poll(one(1))
    with made.store.transaction() as tx:
        tx.connection.exec_driver_sql("UPDATE entries SET entry = 'no JSON'")
    with pages(made, Clock()) as visitor:
        answer = visitor.get("/")
        assert (answer.status_code, unmarked_of(answer.text, [])) == (500, set())
        changed(made.database, "UPDATE alembic_version SET version_num = '0001'")
    with pages(made, Clock()) as visitor:
        answer = visitor.get("/")
        said = re.search("(?s)</h1>.<p>(.*?)</p>", answer.text)
        assert said, "what went wrong is quoted"
        assert (answer.status_code, unmarked_of(answer.text, [unescape(said[1])])) == (503, set())
    made.store.close()


def noted(visitor: Visitor, deed: str, **fields: Any) -> str:
    return visitor.do(deed, **fields).partition(": ")[2]


def test_no_word_of_what_came_of_a_deed_is_left_out(visitor: Visitor, watched: Watched, quoted: list[str]) -> None:
    visitor.forget()
    visitor.login()
    somewhere = {"environment": "production"}
    with watched.reading() as tx:
        ids = ",".join(str(found.id) for found in list_incidents(tx, T0.date().toordinal(), Wanted(), most=3))
    notes = [
        noted(visitor, "take-back", **NUMBER),
        noted(visitor, "acknowledge", **NUMBER, length="1d", comment="paid today"),
        noted(visitor, "acknowledge", **somewhere, id="phone-2"),
        noted(visitor, "acknowledge", **somewhere, id="phone-30"),
        noted(visitor, "acknowledge", incident=ids),
        noted(visitor, "take-back", incident=ids),
        noted(visitor, "acknowledge", incident="1", length="9y"),
        noted(visitor, "acknowledge", incident="1,x"),
        noted(visitor, "acknowledge", kind="canary.*", all="yes"),
        noted(visitor, "acknowledge"),
        noted(visitor, "lapse", **somewhere, id="phone-8"),
        noted(visitor, "lapse", **somewhere, id="phone-20"),
        noted(visitor, "lapse", **somewhere, id="phone-7"),
        noted(visitor, "keep", **somewhere, id="phone-20"),
        noted(visitor, "keep", **somewhere, id="phone-20"),
        noted(visitor, "silence", **somewhere, id="phone-4", length="4h", comment="moving house"),
        noted(visitor, "silence", **somewhere, id="phone-6", length="7d"),
        noted(visitor, "silence", **somewhere, id="nobody", length="7d"),
        noted(visitor, "end-silence", silence=2),
        noted(visitor, "end-silence", silence=2),
        noted(visitor, "end-silence", silence=""),
        noted(visitor, "retry"),
        noted(visitor, "retry", alert=1),
        noted(visitor, "retry", alert=9999),
    ]
    topics = ["renewal", "release", "r", "x", "y", "h", "d", "silence", "alert", "incident", "length", "funds"]
    for note in notes:
        assert "⟦" in note
        assert unmarked([note], quoted, topics) == set(), note
    deliver(watched)
    test_no_word_of_a_page_is_left_out(visitor, quoted_of(watched), "Anna")
    text = visitor.text("/alerts")
    for fate in ("Sent", "Failed", "Trying again", "Being sent", "Queued", "Waiting"):
        assert f"⟦{fate}⟧" in text, "the story has all of them"


def test_what_is_kept_is_english(visitor: Visitor, watched: Watched) -> None:
    visitor.forget()
    visitor.login()
    visitor.do("acknowledge", **NUMBER, comment="paid today")
    visitor.do("silence", **NUMBER, length="4h")
    with watched.reading() as tx:
        kept = recorded(tx)
    assert kept
    assert [text for text in kept if "⟦" in text] == []


def test_what_programs_read_is_english(visitor: Visitor) -> None:
    visitor.forget()
    for path in (
        *("/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/numbers", "/api/v1/incidents"),
        *("/api/v1/numbers?within=x", "/api/v1/nothing", "/static/nothing.css", "/metrics?%00", "/api/v1/health"),
    ):
        assert "⟦" not in visitor.get(path).text, path


def test_no_word_of_the_calendar_feed_is_left_out(visitor: Visitor, quoted: list[str]) -> None:
    for query in ("", "?by=day", "?environment=test", "?environment=new"):
        text = visitor.get(f"/calendar/{SECRET}.ics{query}").text.replace("\r\n ", "")
        lines = [
            line.partition(":")[2].replace("\\n", "\n").replace("\\", "")
            for line in text.splitlines()
            if line.partition(":")[0].partition(";")[0] in ("SUMMARY", "DESCRIPTION", "NAME", "X-WR-CALNAME")
        ]
        assert lines
        assert unmarked(lines, [*quoted, "renewal-watch explain"]) == set(), query


def test_an_empty_watch_is_translated_too(tmp_path: Path) -> None:
    made = Watched(tmp_path, '[web]\nlanguage = "de"\n')
    with pages(made, Clock()) as visitor:
        for path in ("/", "/health", "/alerts", "/incidents", "/calendar"):
            assert unmarked_of(visitor.get(path).text, ["none open"]) == set(), path
        login = visitor.get("/login")
        assert (login.status_code, unmarked_of(login.text, ["renewal-watch web password FILE"])) == (404, set())
        made.poll()
        quoted = quoted_of(made)
        for path in ("/", "/health", "/incidents", "/calendar"):
            assert unmarked_of(visitor.get(path).text, quoted) == set(), path
    made.store.close()


def test_no_word_of_a_drawing_is_left_out() -> None:
    with in_language("de"):
        spans = [
            charts.Stretch(T0 - 900 * D, T0 - 500 * D, "active", None),
            charts.Stretch(T0 - 500 * D, T0 - 200 * D, "", auto_renewal=True),
            charts.Stretch(T0 - 200 * D, T0, None, auto_renewal=False),
        ]
        marks = [charts.Mark(T0 - 600 * D, "renewal", "2026-11-23")]
        drawn = charts.lifeline(charts.Life(spans, marks), T0, T0.tzinfo)
        bars = charts.days([charts.Bar(date(2026, 12, 1), 1, 2, 3, "/")])
        polled = charts.polls([charts.Poll(T0, True, 0.5), charts.Poll(T0 + H, False, 30.0)], T0.tzinfo)
    for drawing in (drawn.svg, bars, polled):
        words = Words(str(drawing))
        assert unmarked([" ".join(words.texts)], []) == set()
    assert unmarked([drawn.text], []) == set()


def test_english_is_as_it_is_and_a_language_can_be_changed(tmp_path: Path) -> None:
    made = Watched(tmp_path, '[web]\nlanguage = "en"\n')
    made.poll(one(1, 3))
    with pages(made, Clock()) as visitor:
        page = visitor.get("/", headers={"Accept-Language": "de"}).text
        assert '<html lang="en">' in page
        assert "⟦" not in page
        made.configure('[web]\nlanguage = "de"\n')
        visitor.state.adopt(made.settings)
        assert '<html lang="de">' in visitor.get("/").text
    made.store.close()


def test_a_value_is_text_and_a_message_may_have_tags() -> None:
    from markupsafe import Markup

    from renewal_watch.web.pages import words

    assert words.translated("<b>{name}</b>", name="<i>") == "<b>&lt;i&gt;</b>"
    assert words.translated("{name}", name=Markup("<i>")) == "<i>"
    assert words.translated_by_count("{count} of {name}", "{count} of {name}", 2000, name="&") == "2,000 of &amp;"
    assert words.translated_in("context", "{name}", name="<") == "&lt;"
