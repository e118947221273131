"""Who may see and do what: names of the server, passwords, sessions, forged forms, and what every answer carries."""

from __future__ import annotations

import base64
import http.client
import logging
import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from browsing import PASSWORD, Visitor, pages, password_file, said
from conftest import T0, Clock
from databases import EITHER
from hypothesis import given
from hypothesis import strategies as st
from rounds import few
from watched import CHANNEL, Watched, one

from renewal_watch.config.loading import load
from renewal_watch.errors import ConfigError
from renewal_watch.settings.web import Web
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.web.access import passwords, places, sessions

pytestmark = EITHER

SECRET = "calendar-secret-of-the-tests"
PAGES = ("/", "/calendar", "/alerts", "/changes", "/audit", "/health", "/numbers/production/phone-1")
FEEDS = ("/metrics", "/api/v1/numbers")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("secure")
    web = f'[web]\npassword_file = "{password_file(folder / "password")}"\ncalendar_secret = "{SECRET}"\n'
    made = Watched(folder, CHANNEL + web)
    made.poll(one(1, 3))
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def ticking() -> Clock:
    return Clock()


@pytest.fixture
def clock(ticking: Clock) -> Clock:
    ticking.now = T0
    return ticking


@pytest.fixture(scope="module")
def served(watched: Watched, ticking: Clock) -> Iterator[Visitor]:
    with pages(watched, ticking) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(watched: Watched, ticking: Clock) -> Iterator[Visitor]:
    with pages(watched, ticking, is_exposed=True) as found:
        yield found


@pytest.fixture
def visitor(served: Visitor, clock: Clock) -> Visitor:
    """Somebody who may read without a login."""
    assert clock.now == T0
    served.forget()
    return served


@pytest.fixture
def closed(guarded: Visitor, clock: Clock) -> Visitor:
    """Somebody before pages that only those may read who log in."""
    assert clock.now == T0
    guarded.forget()
    return guarded


# --- the name of the server -------------------------------------------------------------------------------------------

HOSTS = {
    "127.0.0.1": 200,
    "127.0.0.1:9280": 200,
    "localhost": 200,
    "LOCALHOST:1": 200,
    "localhost.": 200,
    "[::1]:9280": 200,
    "evil.example": 400,
    "127.0.0.1.evil.example": 400,
    "localhost.evil.example": 400,
    "evil.example:9280": 400,
    "": 400,
    "127.0.0.1@evil.example": 400,
    "localhost:9280:1": 400,
    "[::2]": 400,
    "0.0.0.0": 400,
    "127.1": 400,
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_page_whose_name_was_pointed_here_is_refused(visitor: Visitor, host: str) -> None:
    for path in ("/", "/healthz", "/static/style.css", f"/calendar/{SECRET}.ics"):
        assert visitor.get(path, headers={"Host": host}).status_code == HOSTS[host], path


def test_two_names_are_none(visitor: Visitor) -> None:
    connection = http.client.HTTPConnection(visitor.base.removeprefix("http://"))
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", "localhost")
    connection.putheader("Host", "evil.example")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_names_of_the_configuration_are_taken(watched: Watched, clock: Clock) -> None:
    text = watched.path.read_text()
    watched.path.write_text(text.replace("[web]\n", '[web]\nhosts = ["watch.example.org", "*.inner.example"]\n'))
    with pages(watched, clock) as visitor:
        visitor.state.adopt(load(watched.path))
        for host, status in {
            "watch.example.org": 200,
            "Watch.Example.ORG:443": 200,
            "a.inner.example": 200,
            "inner.example": 400,
            "xinner.example": 400,
            "other.example.org": 400,
        }.items():
            assert visitor.get("/", headers={"Host": host}).status_code == status, host
    watched.path.write_text(text)


# --- what every answer carries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [*PAGES, *FEEDS, "/login", "/nowhere", "/healthz", "/static/style.css", f"/calendar/{SECRET}.ics", "/?show=wrong"],
)
def test_every_answer_lets_a_browser_do_no_more_than_it_needs(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "'unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    kept = {"/static": "no-cache", "/calendar/c": "private, no-cache"}  # asked for anew each time, sent if it changed
    assert headers["cache-control"] == next((how for start, how in kept.items() if path.startswith(start)), "no-store")
    assert "server" not in headers


def test_a_refused_name_carries_them_as_well(visitor: Visitor) -> None:
    assert "content-security-policy" in visitor.get("/", headers={"Host": "evil.example"}).headers


def test_what_stays_the_same_is_not_sent_twice(visitor: Visitor) -> None:
    mark = visitor.get("/static/script.js").headers["etag"]
    assert visitor.get("/static/script.js", headers={"If-None-Match": mark}).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/..%5capp.py",
        "/static/",
        "/static/app.py",
        "/static/style.css%00",
        "/../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_the_static_files(visitor: Visitor, path: str) -> None:
    connection = http.client.HTTPConnection(visitor.base.removeprefix("http://"))
    connection.request("GET", path)  # as it is: a library would tidy it up
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"import" not in answer.read()
    connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_pages_can_only_be_read(visitor: Visitor, method: str) -> None:
    assert visitor.http.request(method, visitor.base + "/", timeout=5).status_code == 405


def test_an_address_without_end_is_refused(visitor: Visitor) -> None:
    assert visitor.get("/?search=" + "x" * 9000).status_code == 414


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_closed_pages_send_to_the_login_and_come_back(closed: Visitor, path: str) -> None:
    answer = closed.get(path)
    assert answer.status_code == 303
    assert "+1555" not in answer.text
    closed.login()
    assert closed.get(path).status_code == 200


def test_the_way_back_keeps_the_query(closed: Visitor) -> None:
    answer = closed.get("/?status=active&page=2")
    assert answer.headers["location"] == "/login?next=%2F%3Fstatus%3Dactive%26page%3D2"
    assert 'name="next" value="/?status=active&amp;page=2"' in closed.get(answer.headers["location"]).text


@pytest.mark.parametrize("path", FEEDS)
def test_programs_give_the_password_with_each_question(closed: Visitor, path: str) -> None:
    refused = closed.get(path)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert "+1555" not in refused.text
    assert closed.get(path, auth=("prometheus", "wrong password")).status_code == 401
    assert closed.get(path, auth=("prometheus", PASSWORD)).status_code == 200


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !!!", "Basic \xe9", "Bearer x", "Basic " + base64.b64encode(b"nocolon").decode(), ""],
)
def test_what_is_no_password_is_none(closed: Visitor, header: str) -> None:
    assert closed.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_health_is_told_to_everybody_but_its_reasons_are_not(closed: Visitor, clock: Clock) -> None:
    clock.on(timedelta(days=2))
    for path in ("/healthz", "/readyz"):
        answer = closed.get(path)
        assert list(answer.json()) == ["status"], path
    assert closed.get("/readyz").status_code == 503
    assert "checks" in closed.get("/readyz", auth=("x", PASSWORD)).json()


def test_an_unknown_address_is_closed_as_well(closed: Visitor) -> None:
    assert closed.get("/nowhere").status_code == 303
    assert closed.get("/api/v1/nowhere").status_code == 401


def test_a_calendar_that_did_not_change_is_not_sent_again(closed: Visitor) -> None:
    first = closed.get(f"/calendar/{SECRET}.ics")
    assert first.headers["cache-control"] == "private, no-cache"
    again = closed.get(f"/calendar/{SECRET}.ics", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    other = closed.get(f"/calendar/{SECRET}.ics?by=day", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


def test_a_program_is_told_in_the_form_of_the_api_what_is_missing(closed: Visitor) -> None:
    answer = closed.get("/api/v1/numbers")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.json()["title"] == "Login needed"


def test_the_calendar_needs_its_secret_alone(closed: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "renewal_watch")
    answer = closed.get(f"/calendar/{SECRET}.ics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/calendar")
    assert answer.text.startswith("BEGIN:VCALENDAR")
    for wrong in ("x", SECRET[:-1], SECRET + "x", SECRET.upper(), "%00", "..%2F", ""):
        assert closed.get(f"/calendar/{wrong}.ics").status_code == 404, wrong
    assert "/calendar/" in caplog.text, "it was asked for"
    assert SECRET not in caplog.text


def test_without_a_secret_there_is_no_calendar(tmp_path: Path, clock: Clock) -> None:
    made = Watched(tmp_path)
    with pages(made, clock) as visitor:
        for path in ("/calendar/.ics", "/calendar/None.ics", "/calendar/x.ics"):
            assert visitor.get(path).status_code == 404
    made.store.close()


# --- logins -----------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_cookie_that_no_script_and_no_other_site_sees(visitor: Visitor) -> None:
    header = visitor.login().headers["set-cookie"]
    assert "HttpOnly" in header
    assert "SameSite=strict" in header
    assert "Max-Age=43200" in header
    assert "Secure" not in header
    assert PASSWORD not in header
    behind = visitor.post("/login", {"name": "A", "password": PASSWORD}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in behind.headers["set-cookie"]


def test_a_wrong_password_is_refused_and_said(visitor: Visitor) -> None:
    answer = visitor.login(password="wrong")
    assert answer.status_code == 403
    assert "This is not the password." in said(answer.text)
    assert "set-cookie" not in answer.headers
    assert 'value="Anna"' in answer.text
    assert "wrong" not in said(answer.text)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("/alerts?state=failed", "/alerts?state=failed"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
        ("/ü", "/"),
    ],
)
def test_a_login_leads_to_pages_of_ours_only(visitor: Visitor, wanted: str, found: str) -> None:
    answer = visitor.post("/login", {"name": "A", "password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == found


def test_guessing_is_slowed_down_and_the_right_password_is_not(visitor: Visitor, clock: Clock) -> None:
    statuses = [visitor.login(password=f"guess {count}").status_code for count in range(8)]
    assert statuses == [403] * 5 + [429] * 3
    refused = visitor.login()
    assert refused.status_code == 429, "not looked at: nobody learns from it"
    assert refused.headers["retry-after"] == "2"
    clock.on(timedelta(seconds=2))
    assert visitor.login().status_code == 303
    statuses = [visitor.login(password=f"guess {count}").status_code for count in range(8)]
    assert 429 in statuses
    assert visitor.login().status_code == 303, "a password that was right before"


def test_a_guesser_never_waits_longer_than_half_a_minute() -> None:
    tries, now = passwords.Tries(), T0
    web = Web(password_file=str(password_file(Path("/tmp") / f"rw-{id(tries)}")))
    hashed = passwords.PasswordHash.read(web)
    Path(web.password_file or "").unlink()
    for _ in range(20):
        assert tries.is_right("wrong", hashed, now) is False
        now += tries.wait(now)
        assert tries.wait(now) == timedelta(0)
    assert tries.is_right("wrong", hashed, now) is False
    assert tries.wait(now) == timedelta(seconds=30)
    assert tries.wait(now + timedelta(minutes=6)) == timedelta(0)
    assert tries.wait(now - timedelta(hours=3)) == timedelta(0), "a clock that was put back locks nobody out"


def test_a_session_ends_after_twelve_hours(closed: Visitor, clock: Clock) -> None:
    closed.login()
    clock.on(timedelta(hours=11, minutes=59))
    assert closed.get("/").status_code == 200
    clock.on(timedelta(minutes=2))
    assert closed.get("/").status_code == 303


def test_a_session_outlives_a_restart_and_ends_with_its_password(
    watched: Watched, clock: Clock, tmp_path: Path
) -> None:
    with pages(watched, clock, is_exposed=True) as before:
        before.login()
        cookies = before.http.cookies
    with pages(watched, clock, is_exposed=True) as after:
        after.http.cookies = cookies
        assert after.get("/").status_code == 200
        path = watched.settings.web.password_path
        assert path
        password_file(path, "another password of the tests")
        assert after.get("/").status_code == 303
        password_file(path)
        assert after.get("/").status_code == 200
    assert tmp_path


def test_a_logout_forgets_the_session(closed: Visitor) -> None:
    closed.login()
    assert closed.post("/logout", {"token": closed.token()}).status_code == 303
    assert closed.get("/").status_code == 303


def forged(visitor: Visitor) -> list[str]:
    """Cookies that look like a session."""
    cookie = visitor.http.cookies[sessions.COOKIE]
    payload, signature = cookie.rsplit(".", 1)
    flipped = signature[:-2] + ("AA" if signature[-2:] != "AA" else "BB")
    return [
        "",
        "x",
        "..",
        payload,
        f"{payload}.",
        f"{payload}.{flipped}",
        f"x{cookie}",
        cookie[:-1],
        f"{cookie}.{signature}",
    ]


def test_a_forged_session_is_none(closed: Visitor) -> None:
    closed.login()
    cookies = forged(closed)
    closed.http.cookies.clear()
    for cookie in cookies:
        assert closed.get("/", headers={"Cookie": f"{sessions.COOKIE}={cookie}"}).status_code == 303, cookie


def test_a_note_is_no_session_and_no_note_can_be_forged(closed: Visitor) -> None:
    closed.login()
    key = passwords.PasswordHash.read(closed.state.settings.web).key
    note = sessions.note("hello", is_bad=False, key=key, now=T0)
    session = closed.http.cookies[sessions.COOKIE]
    closed.http.cookies.clear()
    assert closed.get("/", headers={"Cookie": f"{sessions.COOKIE}={note}"}).status_code == 303
    page = closed.get("/", headers={"Cookie": f"{sessions.COOKIE}={session}; {sessions.NOTE_COOKIE}={session}"})
    assert 'class="note' not in page.text
    page = closed.get("/", headers={"Cookie": f"{sessions.COOKIE}={session}; {sessions.NOTE_COOKIE}={note}"})
    assert "hello" in page.text


def test_without_a_password_nobody_can_log_in(tmp_path: Path, clock: Clock) -> None:
    made = Watched(tmp_path)
    made.poll(one(1))
    with pages(made, clock) as visitor:
        assert "Make one with: renewal-watch web password FILE" in visitor.text("/login", 404)
        assert visitor.login().status_code == 404
        assert visitor.post("/do/retry", {"token": ""}).status_code == 403
        assert "Log in" not in visitor.text("/")
    made.store.close()


def test_a_password_file_that_is_gone_closes_what_it_guards(watched: Watched, clock: Clock) -> None:
    path = watched.settings.web.password_path
    assert path
    with pages(watched, clock, is_exposed=True) as visitor:
        visitor.login()
        path.rename(path.with_name("away"))
        assert visitor.get("/").status_code == 303
        assert "cannot be read" in visitor.text("/login", 503)
        assert visitor.post("/do/retry", {}).status_code == 303
        path.with_name("away").rename(path)
        assert visitor.get("/").status_code == 200


# --- forged forms -----------------------------------------------------------------------------------------------------

FORGED: dict[str, dict[str, Any]] = {
    "no token": {"data": {"token": ""}},
    "another token": {"data": {"token": "x" * 43}},
    "a page elsewhere": {"headers": {"Origin": "https://evil.example"}},
    "a page of another port": {"headers": {"Origin": "http://127.0.0.1:1"}},
    "no origin at all": {"headers": {"Origin": "null"}},
    "another site": {"headers": {"Sec-Fetch-Site": "cross-site"}},
    "another port of this machine": {"headers": {"Sec-Fetch-Site": "same-site"}},
    "an address typed in": {"headers": {"Sec-Fetch-Site": "none"}},
    "no session": {"cookies": False},
    "a form of another kind": {"headers": {"Content-Type": "text/plain"}},
    "no form": {"headers": {"Content-Type": "application/json"}},
}


@pytest.mark.parametrize("forgery", FORGED)
@pytest.mark.parametrize("path", ["/do/acknowledge", "/logout"])
def test_a_forged_form_does_nothing(visitor: Visitor, forgery: str, path: str) -> None:
    visitor.login()
    how = FORGED[forgery]
    fields = {"token": visitor.token(), "environment": "production", "id": "phone-1", **how.get("data", {})}
    if not how.get("cookies", True):
        visitor.http.cookies.clear()
    answer = visitor.post(path, fields, headers=how.get("headers", {}))
    assert answer.status_code in (403, 415), answer.text
    with visitor.state.reading() as tx:
        assert all(incident.ack is None for incident in incidents_of(tx).values())


PROXIED = {  # Origin and Host as proxies hand them over
    ("https://watch.example", "watch.example"): True,
    ("https://watch.example", "watch.example:443"): True,
    ("http://watch.example", "watch.example:80"): True,
    ("https://watch.example:8443", "watch.example:8443"): True,
    ("https://watch.example:8443", "watch.example"): False,
    ("https://watch.example", "watch.example:80"): False,
    ("http://watch.example", "watch.example:443"): False,
    ("https://[2001:db8::1]", "[2001:db8::1]:443"): True,
    ("null", "watch.example"): False,
}


@pytest.mark.parametrize(("origin", "host"), PROXIED)
def test_a_default_port_is_the_same_whether_it_is_written_or_not(origin: str, host: str) -> None:
    headers, place = {"origin": origin}, places.Place("", "http", host, neighbour_is_trusted=False)
    assert places.is_from_own_page(headers, place) is PROXIED[origin, host]
    assert places.is_from_own_page(headers | {"sec-fetch-site": "same-origin"}, place), "the browser itself judged it"
    assert not places.is_from_own_page(headers | {"sec-fetch-site": "cross-site"}, place)
    assert places.is_from_own_page(headers, place, "https://watch.example") is (
        PROXIED[origin, host] or origin == "https://watch.example"
    ), "the address that people know is ours, whatever a proxy calls us"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_nobody_is_logged_in_by_a_page_elsewhere(visitor: Visitor, headers: dict[str, str]) -> None:
    answer = visitor.post("/login", {"name": "Eve", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_token_of_another_session_is_none(visitor: Visitor, watched: Watched, clock: Clock) -> None:
    visitor.login("Anna")
    token = visitor.token()
    with pages(watched, clock) as other:
        other.login("Eve")
        assert other.post("/do/retry", {"token": token}).status_code == 403


def test_the_password_in_the_header_does_nothing_but_read(closed: Visitor) -> None:
    answer = closed.post("/do/retry", {"token": ""}, auth=("x", PASSWORD))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login"


def test_a_form_that_the_browser_breaks_off_is_one_line(
    watched: Watched, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    with caplog.at_level("INFO"), pages(watched, clock) as visitor:
        place = ("127.0.0.1", int(visitor.base.rpartition(":")[2]))
        with socket.create_connection(place, timeout=60) as browser:
            browser.sendall(f"{head}Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode())
            assert b" 100 " in browser.recv(100)
            browser.sendall(b"name=A")
    assert caplog.text.count("a form was broken off by the browser") == 1
    assert not [one for one in caplog.records if one.exc_info]


def test_a_form_without_end_is_refused(visitor: Visitor) -> None:
    visitor.login()
    assert visitor.post("/do/retry", {"token": visitor.token(), "x": "y" * 70_000}).status_code == 413
    assert visitor.post("/do/retry", {str(place): "x" for place in range(260)}).status_code == 400


def test_a_deed_that_is_none_is_not_found(visitor: Visitor) -> None:
    visitor.login()
    assert visitor.post("/do/delete-all", {"token": visitor.token()}).status_code == 404


# --- the password file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "",
        "password",
        "scrypt$n=16,r=1,p=1$!!$!!",
        "scrypt$n=15,r=1,p=1$AAAA$AAAA",
        "scrypt$n=0,r=1,p=1$AAAA$AAAA",
        "scrypt$n=16777216,r=8,p=1$AAAA$AAAA",
        "scrypt$n=99999999,r=999,p=999$AAAA$AAAA",
        "bcrypt$n=16,r=1,p=1$AAAA$AAAA",
    ],
)
def test_a_password_file_of_something_else_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(
        ConfigError, match="holds no hash of a password; make it with: renewal-watch web password --force"
    ):
        passwords.PasswordHash.read(Web(password_file=str(path)))


def test_a_password_file_that_is_no_file_is_named_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for place in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(ConfigError, match="cannot be read: it is no file"):
            passwords.PasswordHash.read(Web(password_file=place))


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = password_file(tmp_path / "password")
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(ConfigError, match=f"others can read {path}; run: chmod 600"):
            passwords.PasswordHash.read(Web(password_file=str(path)))


def test_what_systemd_gives_to_the_service_alone_is_taken_with_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password_file(tmp_path / "web-password").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    found = passwords.PasswordHash.read(Web(password_credential="web-password"))
    assert found.is_of(PASSWORD)


@few(2)
@given(password=st.text(min_size=12, max_size=30))
def test_every_password_is_known_again_and_no_other(password: str) -> None:
    import tempfile

    line = passwords.hashed(password)
    assert password not in line
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "password"
        path.touch(mode=0o600)
        path.write_text(line)
        found = passwords.PasswordHash.read(Web(password_file=str(path)))
    assert found.is_of(password)
    assert not found.is_of(password + "x")


@few(200)
@given(header=st.text(max_size=60))
def test_no_host_but_our_own_is_ours(header: str) -> None:
    allowed = places.own_hosts(Web())
    host = header.lower().rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header.lower()
    assert places.is_own_host(header, allowed) is (
        host.rstrip(".") in allowed and header.count(":") <= 1 and bool(host)
    )


@few(200)
@given(wanted=st.text(alphabet="/\\.:@ehttpsx\t\n\r%?#&=", max_size=20))
def test_a_way_back_never_leaves_this_server(wanted: str) -> None:
    from urllib.parse import urljoin, urlsplit

    found = places.own_path(wanted)
    assert found.isprintable()
    assert urlsplit(urljoin("http://127.0.0.1:1/login", found)).netloc == "127.0.0.1:1"
