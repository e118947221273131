"""Who comes in, and how: under a path, through proxies, vouched for by one, with a token; and what each may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import commands
import pytest
from browsing import PASSWORD, Visitor, pages, password_file, said
from conftest import T0, Clock
from databases import EITHER
from made_up import emptied
from sqlalchemy import select
from starlette.datastructures import Headers
from watched import CHANNEL, Watched, one

from renewal_watch.config.web_checks import OWN
from renewal_watch.database.schema import actions
from renewal_watch.model.actor import Actor
from renewal_watch.settings.web import Web
from renewal_watch.store.access.tokens import create_token, list_tokens, revoke_token
from renewal_watch.web.access.places import place_of

pytestmark = EITHER

HERE = "/numbers/production/phone-1"
NUMBER = {"environment": "production", "id": "phone-1", "back": HERE}
PROXIED = """
[web]
trusted_proxies = ["127.0.0.1"]
user_header = "X-Forwarded-User"
group_header = "X-Forwarded-Groups"
readers = ["*@example.org", "group:phones"]
actors = ["anna@example.org", "group:ops"]
login_to_read = true
"""


@dataclass(frozen=True)
class Places:
    """One fleet, whose pages can be opened with other settings."""

    watched: Watched
    clock: Clock

    @contextmanager
    def pages(self, web: str) -> Iterator[Visitor]:
        emptied(self.watched.store)
        self.watched.configure(f"{CHANNEL}{web}")
        self.watched.poll(one(1, 3), one(2, 30))
        with pages(self.watched, self.clock) as visitor:
            yield visitor


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    watched = Watched(tmp_path_factory.mktemp("access"), CHANNEL)
    yield Places(watched, Clock())
    watched.store.close()


# --- under a path -----------------------------------------------------------------------------------------------------


def test_every_address_of_every_page_stands_under_the_base_path(places: Places) -> None:
    with places.pages('[web]\nbase_path = "/phones/renewals"\n') as visitor:
        seen, waiting = set[str](), {"/phones/renewals"}
        while waiting:
            path = waiting.pop()
            seen.add(path)
            answer = visitor.get(path)
            assert answer.status_code == 200, path
            found = re.findall(r'\b(?:href|src|action|formaction)="([^"]*)"', answer.text)
            inside = {address.replace("&amp;", "&") for address in found if not address.startswith("#")}
            assert all(address.startswith("/phones/renewals/") for address in inside), (path, inside)
            if "?" not in path and "/static/" not in path:
                waiting |= inside - seen
        assert {"/phones/renewals/calendar", f"/phones/renewals{HERE}"} <= seen


def test_a_proxy_may_take_the_base_path_away_or_leave_it(places: Places) -> None:
    with places.pages('[web]\nbase_path = "/renewals/"\n') as visitor:
        for path in ("/renewals", "/renewals/", "/"):
            assert 'href="/renewals/static/style.css"' in visitor.get(path).text
        assert visitor.get("/renewalsx").status_code == 404
        assert visitor.get("/renewals/healthz").status_code == visitor.get("/healthz").status_code == 200
        assert visitor.get("/renewals/api/v1/openapi.json").json()["servers"] == [{"url": "/renewals/"}]


def test_no_answer_names_the_address_behind_the_proxy(places: Places) -> None:
    with places.pages('[web]\nbase_path = "/renewals"\n') as visitor:
        for path in (
            "/renewals/incidents/",
            "/incidents/",
            "/renewals/login/",
            "/renewals//",
        ):
            answer = visitor.get(path)
            assert (answer.status_code, "location" in answer.headers) == (404, False), path


def test_a_path_that_is_a_page_s_is_no_base_path(places: Places) -> None:
    with places.pages("") as visitor:
        routes = {str(one.path).split("/")[1] for one in visitor.gate.app.routes}  # type: ignore[attr-defined]
    assert routes - {""} == OWN
    places.watched.path.write_text(places.watched.path.read_text() + '[web]\nbase_path = "/numbers/ours"\n')
    assert "begins like a page" in commands.call(places.watched.path, "config", "check", code=78).output


def test_logins_and_their_cookies_stay_under_the_base_path(places: Places) -> None:
    secret = password_file(places.watched.path.parent / "base-password")
    web = f'[web]\nbase_path = "/renewals"\npassword_file = "{secret}"\nlogin_to_read = true\n'
    with places.pages(web) as visitor:
        assert visitor.get("/renewals/calendar").headers["location"] == "/renewals/login?next=%2Fcalendar"
        answer = visitor.post("/renewals/login", {"name": "Anna", "password": PASSWORD, "next": "/calendar"})
        assert answer.headers["location"] == "/renewals/calendar"
        assert "Path=/renewals/" in answer.headers["set-cookie"]


# --- through proxies --------------------------------------------------------------------------------------------------

FORWARDED = {  # who the neighbour is, what it says of others, and whose request it then is
    ("192.0.2.9", "203.0.113.5"): "192.0.2.9",
    ("10.0.0.1", "203.0.113.5"): "203.0.113.5",
    ("10.0.0.1", "198.51.100.1, 203.0.113.5"): "203.0.113.5",
    ("10.0.0.1", "203.0.113.5, 10.0.0.2"): "203.0.113.5",
    ("10.0.0.1", "10.0.0.3, 10.0.0.2"): "10.0.0.3",
    ("10.0.0.1", "203.0.113.5, unknown"): "10.0.0.1",
    ("10.0.0.1", ""): "10.0.0.1",
    ("::ffff:10.0.0.1", "2001:db8::5"): "2001:db8::5",
    ("", "203.0.113.5"): "",
}


@pytest.mark.parametrize(("neighbour", "said_of"), FORWARDED)
def test_a_client_is_who_the_last_trusted_proxy_saw(neighbour: str, said_of: str) -> None:
    headers = Headers({"host": "a.example", "x-forwarded-for": said_of, "x-forwarded-proto": "https"})
    place = place_of(headers, neighbour, "http", Web(trusted_proxies=("10.0.0.0/8",)))
    assert place.address == FORWARDED[neighbour, said_of]
    assert place.scheme == ("http" if neighbour in ("192.0.2.9", "") else "https")


def test_the_unix_socket_is_trusted_where_it_is_named() -> None:
    headers = Headers({"host": "a", "x-forwarded-for": "203.0.113.5", "x-forwarded-host": "b.example"})
    assert place_of(headers, "", "http", Web(trusted_proxies=("unix",)))[:3] == ("203.0.113.5", "http", "b.example")
    assert place_of(headers, "", "http", Web(trusted_proxies=("10.0.0.1",)))[:3] == ("", "http", "a")


def test_a_name_that_a_stranger_forwards_is_not_ours(places: Places) -> None:
    forwarded = {"X-Forwarded-Host": "watch.example.org"}
    with places.pages('[web]\nhosts = ["watch.example.org"]\ntrusted_proxies = ["10.0.0.1"]\n') as visitor:
        assert visitor.get("/", headers={"Host": "evil.example", **forwarded}).status_code == 400
    with places.pages('[web]\nhosts = ["watch.example.org"]\ntrusted_proxies = ["127.0.0.1"]\n') as visitor:
        assert visitor.get("/", headers={"Host": "127.0.0.1:9280", **forwarded}).status_code == 200
        strange = visitor.get("/", headers={"Host": "evil.example", **forwarded})
        assert strange.status_code == 400, "a script can forward a name, and not change its own"
        assert visitor.get("/", headers={"X-Forwarded-Host": "evil.example"}).status_code == 400


# --- vouched for by a proxy -------------------------------------------------------------------------------------------


def as_user(name: str, groups: str = "") -> dict[str, str]:
    return {"X-Forwarded-User": name, **({"X-Forwarded-Groups": groups} if groups else {})}


ROLES = {  # may read, may act
    ("anna@example.org", ""): (True, True),
    ("Anna@Example.Org", ""): (True, True),
    ("ben@example.org", ""): (True, False),
    ("ben@example.org", "staff, ops"): (True, True),
    ("eve@example.com", ""): (False, False),
    ("eve@example.com", "phones"): (True, False),
    ("eve@example.com", "group:ops"): (False, False),
    ("", "ops"): (False, False),
}
LOOKALIKES = ["\u200banna@example.org", "anna@example.org\u202e", "anna\u00ad@example.org", "a" * 201 + "@example.org"]


def test_whom_a_proxy_vouches_for_does_what_the_roles_say(places: Places) -> None:
    with places.pages(PROXIED) as visitor:
        for (name, groups), (reads, acts) in ROLES.items():
            answer = visitor.get(HERE, headers=as_user(name, groups))
            assert answer.status_code == (200 if reads else 403 if name else 303), (name, groups)
            token = re.search(r'action="/do/acknowledge".*?name="token" value="([^"]+)"', answer.text, re.DOTALL)
            assert bool(token) is acts, (name, groups)


def act(visitor: Visitor, headers: dict[str, str], token: str) -> int:
    return visitor.post("/do/acknowledge", {"token": token, **NUMBER}, headers=headers).status_code


def token_of_page(visitor: Visitor, headers: dict[str, str]) -> str:
    found = re.search(r'name="token" value="([^"]+)"', visitor.get(HERE, headers=headers).text)
    assert found
    return found[1]


def test_every_act_has_the_name_that_the_proxy_gave_and_the_address_behind_it(places: Places) -> None:
    anna = as_user("Zoë@example.org", "ops") | {"X-Forwarded-For": "203.0.113.5"}
    sent = {name: value.encode().decode("latin-1") for name, value in anna.items()}
    with places.pages(PROXIED) as visitor:
        assert act(visitor, sent, token_of_page(visitor, sent)) == 303
        with visitor.state.reading() as tx:
            (kept,) = tx.connection.execute(select(actions)).all()
    assert (kept.author, kept.origin) == ("web: Zoë@example.org", "web, signed in by the proxy, 203.0.113.5")


def test_forms_of_others_and_of_other_sites_do_nothing(places: Places) -> None:
    anna, ben = as_user("anna@example.org"), as_user("ben@example.org")
    with places.pages(PROXIED) as visitor:
        token = token_of_page(visitor, anna)
        assert act(visitor, as_user("otto", "ops"), token) == 403, "the token of somebody else"
        assert act(visitor, ben, token) == 403, "may only read"
        assert act(visitor, anna, "x") == 403
        assert act(visitor, anna | {"Sec-Fetch-Site": "cross-site"}, token) == 403
        assert act(visitor, anna | {"Origin": "https://evil.example"}, token) == 403
        answer = visitor.post("/do/acknowledge", {"token": token, **NUMBER})
        assert answer.headers["location"] == "/login"
        with visitor.state.reading() as tx:
            assert tx.connection.execute(select(actions)).all() == []
        assert act(visitor, anna, token) == 303


def test_nobody_else_can_say_who_they_are(places: Places) -> None:
    elsewhere = PROXIED.replace("127.0.0.1", "10.9.9.9")
    with places.pages(elsewhere) as visitor:
        assert visitor.get("/", headers=as_user("anna@example.org")).status_code == 303
    with places.pages(PROXIED) as visitor:
        doubled = Headers(
            raw=[(b"host", b"a"), (b"x-forwarded-user", b"anna@example.org"), (b"x-forwarded-user", b"eve")]
        )
        place = place_of(doubled, "127.0.0.1", "http", visitor.state.settings.web)
        gate_sees = visitor.gate.visitor(doubled, "GET", place)
        assert gate_sees.session is None, "two names are none"


@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_name_that_only_looks_like_another_is_nobody(places: Places, name: str) -> None:
    with places.pages(PROXIED) as visitor:
        assert visitor.get("/", headers=as_user(name.encode().decode("latin-1"), "ops")).status_code == 303


def test_groups_that_come_twice_are_none(places: Places) -> None:
    twice = Headers(
        raw=[
            (b"host", b"a"),
            (b"x-forwarded-user", b"ben@example.org"),
            (b"x-forwarded-groups", b"ops"),
            (b"x-forwarded-groups", b"staff"),
        ]
    )
    with places.pages(PROXIED) as visitor:
        place = place_of(twice, "127.0.0.1", "http", visitor.state.settings.web)
        assert visitor.gate.visitor(twice, "GET", place).may_act is False


def test_a_long_name_is_compared_whole(places: Places) -> None:
    with places.pages(PROXIED) as visitor:
        assert visitor.get("/", headers=as_user("a" * 80 + "@example.org")).status_code == 200


def test_who_may_not_read_can_still_take_the_password(places: Places) -> None:
    secret = password_file(places.watched.path.parent / "second-way")
    with places.pages(PROXIED + f'password_file = "{secret}"\n') as visitor:
        eve = as_user("eve@example.com")
        assert visitor.get("/", headers=eve).status_code == 403
        assert visitor.get("/login", headers=eve).status_code == 200
        form = {"name": "Eve", "password": PASSWORD, "next": "/"}
        assert visitor.post("/login", form, headers=eve).status_code == 303
        assert visitor.get("/", headers=eve).status_code == 200


# --- tokens of programs -----------------------------------------------------------------------------------------------


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_reads_until_it_expires_or_is_revoked(places: Places) -> None:
    with places.pages(
        '[web]\nlogin_to_read = true\nuser_header = "X-User"\ntrusted_proxies = ["10.0.0.1"]\n'
    ) as visitor:
        with visitor.state.writing() as tx:
            made = [create_token(tx, name, "read", T0 + timedelta(hours=1), Actor("me"), T0) for name in ("a", "b")]
        assert visitor.get("/api/v1/status").status_code == 401
        for path in ("/api/v1/status", "/metrics", "/"):
            assert visitor.get(path, headers=bearer(made[0])).status_code == 200
        with visitor.state.writing() as tx:
            revoke_token(tx, "a", T0)
        refused = visitor.get("/api/v1/status", headers=bearer(made[0]))
        assert (refused.status_code, refused.headers["www-authenticate"].split()[0]) == (401, "Bearer")
        assert visitor.get("/api/v1/status", headers=bearer(made[1])).status_code == 200
        places.clock.now = T0 + timedelta(hours=1)
        try:
            assert visitor.get("/api/v1/status", headers=bearer(made[1])).status_code == 401
        finally:
            places.clock.now = T0


@pytest.mark.parametrize("given", ["rw_x", "", "rw_" + "a" * 43, "ü"])
def test_a_wrong_token_is_refused_even_where_everybody_may_read(places: Places, given: str) -> None:
    with places.pages("") as visitor:
        assert visitor.get("/api/v1/status").status_code == 200
        answer = visitor.get("/api/v1/status", headers={"Authorization": f"Bearer {given}".encode()})
        assert answer.status_code == 401
        assert answer.json()["detail"].startswith("This token is not known, has expired or was revoked")


def test_what_a_proxy_gives_as_its_own_token_is_not_ours(places: Places) -> None:
    anna = as_user("anna@example.org") | {"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"}
    with places.pages(PROXIED) as visitor:
        assert visitor.get("/", headers=anna).status_code == 200
        assert visitor.get("/", headers=anna | {"Authorization": "Bearer rw_wrong"}).status_code == 401


def test_a_token_is_listed_as_it_is_called(places: Places) -> None:
    config = places.watched.path
    emptied(places.watched.store)
    for name in ("-x", "ci[1]", "n8n *prod*"):
        commands.call(config, "web", "token", "create", "--", name)
    listed = commands.call(config, "web", "token", "list").output
    for name in ("-x", "ci[1]", "n8n *prod*"):
        assert f"\n{name} " in listed
        commands.call(config, "web", "token", "revoke", "--", name)
    assert commands.call(config, "web", "token", "revoke", "--", "-x", code=2).exit_code == 2
    commands.call(config, "web", "token", "create", "n8n *prod*")  # its name is free again


def test_of_a_token_nothing_is_kept_that_would_be_one(places: Places, tmp_path: Path) -> None:
    with places.watched.store.transaction() as tx:
        made = create_token(tx, f"kept-{tmp_path.name}", "act", None, Actor("me"), T0)
        (kept,) = (found for found in list_tokens(tx) if found.name == f"kept-{tmp_path.name}")
    assert made[3:] not in repr(kept)
    if places.watched.path.exists():
        assert made[3:].encode() not in places.watched.path.read_bytes()


def test_a_token_of_a_page_is_no_token_of_a_program(places: Places) -> None:
    with places.pages(PROXIED) as visitor:
        token = token_of_page(visitor, as_user("anna@example.org"))
        assert visitor.get("/api/v1/status", headers=bearer(token)).status_code == 401
        assert "Log in" not in said(visitor.get("/", headers=as_user("anna@example.org")).text)
