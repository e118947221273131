"""Signing in at an OpenID Connect provider: there and back, what it takes to be believed, and what each may do then."""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import commands
import pytest
import requests
from browsing import Visitor, pages, said
from conftest import T0, Clock
from databases import EITHER
from made_up import emptied
from oidc_provider import CLIENT, SECRET, Issuer, provider
from sqlalchemy import select
from watched import CHANNEL, Watched, one

from renewal_watch.database.schema import actions
from renewal_watch.web.access import sessions
from renewal_watch.web.signing_in import AT_ONCE, COOKIE, KNOWN

pytestmark = EITHER

HERE = "/numbers/production/phone-1"
WEB = """
[web]
public_url = "https://watch.example.org"
base_path = "/renewals"
key = "a key of the pages that is long enough"
login_to_read = true
readers = ["*@example.org"]
actors = ["group:ops"]
"""


@dataclass
class World:
    watched: Watched
    clock: Clock
    visitor: Visitor
    issuer: Issuer

    def away(self, wanted: str = HERE) -> str:
        """To the provider; where it sends the browser back to, as it reaches the server behind its proxy."""
        answer = self.visitor.get(f"/login/oidc?{urlencode({'next': wanted})}")
        assert answer.status_code == 303, answer.text
        sent = requests.get(answer.headers["location"], allow_redirects=False, timeout=30)
        back = urlsplit(sent.headers["location"])
        assert (back.scheme, back.netloc) == ("https", "watch.example.org")
        assert self.issuer.faults == []
        return f"{back.path.removeprefix('/renewals')}?{back.query}"

    def sign_in(self) -> requests.Response:
        return self.visitor.get(self.away())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with provider() as issuer:
        oidc = f'[oidc]\nissuer = "{issuer.url}"\nclient_id = "{CLIENT}"\nclient_secret = {json.dumps(SECRET)}\n'
        watched = Watched(tmp_path_factory.mktemp("oidc"), CHANNEL + WEB + oidc)
        clock = Clock()
        with pages(watched, clock) as visitor:
            issuer.now = lambda: clock().timestamp()
            visitor.base += "/renewals"  # a proxy that leaves the path: cookies hold for what is below it
            yield World(watched, clock, visitor, issuer)
        watched.store.close()


@pytest.fixture
def world(shared: World) -> World:
    emptied(shared.watched.store)
    shared.clock.now += timedelta(hours=1)  # what the provider said of itself is asked for anew
    shared.watched.poll(one(1, 3), at=shared.clock.now)
    shared.visitor.forget()
    shared.issuer.anew()
    return shared


def test_there_and_back_and_every_act_has_the_name(world: World) -> None:
    page = world.visitor.text("/login?next=/calendar")
    assert "Sign in at 127.0.0.1" in page
    assert "Password" not in page
    answer = world.sign_in()
    assert (answer.status_code, "Signed in as anna@example.org" in said(answer.text)) == (200, True)
    assert f'content="0;url=/renewals{HERE}"' in answer.text, (
        "a page, for the cookie is not sent along a redirect from elsewhere"
    )
    held = answer.headers["set-cookie"]
    assert re.search(rf"{sessions.COOKIE}=\S+; HttpOnly; Max-Age=43200; Path=/renewals/; SameSite=strict", held)
    form = {"token": world.visitor.token(HERE), "back": HERE, "environment": "production", "id": "phone-1"}
    assert world.visitor.post("/do/acknowledge", form).headers["location"] == f"/renewals{HERE}"
    with world.watched.reading() as tx:
        (kept,) = tx.connection.execute(select(actions)).all()
    assert (kept.author, kept.origin) == ("web: anna@example.org", "web, signed in, 127.0.0.1")
    world.clock.now += timedelta(hours=12)
    assert world.visitor.get("/").status_code == 303


ROLES: dict[tuple[str, tuple[str, ...]], tuple[int, bool]] = {
    ("anna@example.org", ("ops",)): (200, True),
    ("ben@example.org", ("staff",)): (200, False),
    ("eve@example.com", ("ops",)): (200, True),
    ("eve@example.com", ()): (403, False),
}


@pytest.mark.parametrize(("name", "groups"), ROLES)
def test_roles_are_those_of_the_configuration(world: World, name: str, groups: tuple[str, ...]) -> None:
    world.issuer.claims |= {"email": name, "email_verified": True, "groups": list(groups)}
    status, acts = ROLES[name, groups]
    assert world.sign_in().status_code == status
    if status == 200:
        assert ('action="/renewals/do/acknowledge"' in world.visitor.get(HERE).text) is acts


LIES: dict[str, dict[str, Any]] = {
    "another nonce": {"changes": {"nonce": "x"}},
    "no nonce": {"changes": {"nonce": None}},
    "another audience": {"changes": {"aud": "somebody-else"}},
    "another audience, in our name": {"changes": {"aud": "somebody-else", "azp": CLIENT}},
    "another issuer": {"changes": {"iss": "https://evil.example"}},
    "no end": {"changes": {"exp": None}},
    "over": {"changes": {"exp": int(T0.timestamp()) - 3600}},
    "not signed": {"signs": "none"},
    "signed with what everybody knows": {"signs": "HS256"},
    "signed by a stranger": {"signs": "stranger"},
    "nobody": {"claims": {"groups": ["ops"]}},
    "no verified address": {"claims": {"email": "anna@example.org", "email_verified": False}},
    "no verified address, as text": {"claims": {"email": "anna@example.org", "email_verified": "false"}},
    "an address of which nothing is said": {"claims": {"email": "anna@example.org"}},
    "a name that looks like another": {"claims": {"email": "\u200banna@example.org", "email_verified": True}},
    "userinfo of another": {
        "claims": {},
        "userinfo": {"sub": "43", "email": "anna@example.org", "email_verified": True},
    },
    "another name of itself": {"discovery": {"issuer": "https://evil.example"}},
    "plain http": {"discovery": {"token_endpoint": "http://evil.example/token"}},
    "no keys": {"discovery": {"jwks_uri": None}},
    "trouble at the token": {"broken": "/token"},
    "trouble at the keys": {"broken": "/keys"},
}


@pytest.mark.parametrize("lie", LIES)
def test_who_cannot_be_trusted_signs_nobody_in(world: World, lie: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "renewal_watch")
    path = world.away()
    world.clock.now += KNOWN  # what it says of itself is asked for anew
    for name, value in LIES[lie].items():
        setattr(world.issuer, name, value)
    answer = world.visitor.get(path)
    assert answer.status_code == 502, answer.text
    assert "The sign-in failed" in said(answer.text)
    assert 'id="refresh"' not in answer.text, "loaded anew, it would ask the provider again"
    assert sessions.COOKIE not in answer.headers.get("set-cookie", "")
    assert world.visitor.get("/").status_code == 303
    for secret in (SECRET, parse_qs(urlsplit(path).query)["code"][0]):
        assert secret not in answer.text
        assert secret not in caplog.text


def test_a_provider_that_is_away_is_said_at_once(world: World) -> None:
    world.issuer.broken = "/.well-known/openid-configuration"
    answer = world.visitor.get("/login/oidc")
    assert (answer.status_code, "answered HTTP 500" in said(answer.text)) == (502, True)


def test_what_the_token_lacks_is_asked_for(world: World) -> None:
    world.issuer.claims = {}
    world.issuer.userinfo = {"sub": "42", "email": "anna@example.org", "email_verified": "true", "groups": "ops"}
    assert world.sign_in().status_code == 200
    assert 'action="/renewals/do/acknowledge"' in world.visitor.get(HERE).text


def test_a_client_that_gives_its_secret_in_the_form(world: World) -> None:
    world.issuer.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert world.sign_in().status_code == 200


def test_who_did_not_begin_here_is_not_signed_in(world: World) -> None:
    path = world.away()
    world.visitor.forget()
    assert world.visitor.get(path).status_code == 403, "the cookie of another browser"
    path = world.away()
    for changed in (
        re.sub("state=[^&]+", "state=x", path),
        path.replace("state", "estate"),
        "/login/oidc/back",
        f"{path}&iss=x",
    ):
        assert world.visitor.get(changed).status_code in (403, 502)
    assert world.visitor.get(path.replace("code=", "error=access_denied&code=")).status_code == 502
    world.clock.now += timedelta(minutes=11)
    assert world.visitor.get(path).status_code == 403


def test_a_code_is_good_once(world: World) -> None:
    path = world.away()
    held = world.visitor.http.cookies[COOKIE]
    assert world.visitor.get(path).status_code == 200
    world.visitor.forget()
    assert world.visitor.get(path, headers={"Cookie": f"{COOKIE}={held}"}).status_code == 502


def test_what_the_provider_says_of_itself_is_asked_for_every_few_minutes(world: World) -> None:
    assert world.visitor.get("/login/oidc").status_code == 303
    world.issuer.broken = "/.well-known/openid-configuration"
    assert [world.visitor.get("/login/oidc").status_code for _ in range(50)] == [303] * 50
    world.clock.now += KNOWN
    assert world.visitor.get("/login/oidc").status_code == 502


def test_a_slow_provider_holds_up_few(world: World) -> None:
    """The others are told to come again, and the pages go on."""
    path = world.away()
    held = threading.Event()
    world.issuer.waits = held
    cookies = world.visitor.http.cookies.get_dict()
    found: queue.Queue[int] = queue.Queue()

    def come_back() -> None:
        answer = requests.get(world.visitor.base + path, cookies=cookies, timeout=60, allow_redirects=False)
        found.put(answer.status_code)

    threads = [threading.Thread(target=come_back) for _ in range(AT_ONCE + 1)]
    for thread in threads:
        thread.start()
    assert found.get(timeout=30) == 429
    assert world.visitor.get("/login").status_code == 200
    held.set()
    for thread in threads:
        thread.join()
    assert sorted(found.queue) == [200, 502, 502], "a code is good once"


def test_a_key_that_is_not_understood_is_passed_over(world: World) -> None:
    world.issuer.odd_keys = [
        {"kty": "EC", "crv": "P-999", "kid": "two"},
        {"kid": "three"},
        {"kty": "RSA", "use": "enc"},
        7,
    ]
    assert world.sign_in().status_code == 200


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_the_way_back_never_leaves_this_server(world: World, wanted: str) -> None:
    answer = world.visitor.get(world.away(wanted))
    assert 'content="0;url=/renewals/"' in answer.text


def test_a_session_is_of_one_issuer_and_one_way(world: World) -> None:
    key = b"a key of the pages that is long enough"
    for how in ("oidc", "password", "proxy"):
        forged = sessions.signed(sessions.begun("anna@example.org", world.clock.now, how, ["ops"]), key)  # type: ignore[arg-type]
        assert world.visitor.get("/", headers={"Cookie": f"{sessions.COOKIE}={forged}"}).status_code == 303


FAULTS = {
    'readers = ["*@example.org"]\n': "web.readers: is missing",
    'key = "a key of the pages that is long enough"\n': "oidc: it needs a key in [web]",
    'public_url = "https://watch.example.org"\n': "oidc: it needs public_url in [web]",
}


@pytest.mark.parametrize("left_out", FAULTS)
def test_what_it_needs_is_asked_for_before(world: World, left_out: str) -> None:
    path = world.watched.path
    whole = path.read_text()
    try:
        path.write_text(whole.replace(left_out, ""))
        assert FAULTS[left_out] in commands.call(path, "config", "check", code=78).output
    finally:
        path.write_text(whole)
