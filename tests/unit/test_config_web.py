"""Faults of ``[web]`` and ``[oidc]``: one clear sentence each, with the key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from renewal_watch.config.loading import load
from renewal_watch.errors import ConfigError
from renewal_watch.settings.web import Web

BEFORE = '[[environments]]\nname = "p"\nbase_url = "https://a.example/api/v1"\ntoken = "t"\n'
OIDC = '[oidc]\nissuer = "https://login.example.org"\nclient_id = "c"\nclient_secret = "s"\n'
WEB = '[web]\nkey = "a key of the pages that is long enough"\npublic_url = "https://a.example"\nreaders = ["*"]\n'
PROXY = '[web]\nuser_header = "X-User"\ntrusted_proxies = ["10.0.0.1"]\n'


def faults(folder: Path, text: str) -> tuple[str, ...]:
    path = folder / "config.toml"
    path.touch(mode=0o600)
    path.write_text(BEFORE + text)
    try:
        load(path)
    except ConfigError as error:
        return tuple(one.removeprefix(f"{path}: ") for one in error.faults)
    return ()


WRONG = {
    '[web]\nbase_path = "renewals"\n': "web.base_path: 'renewals' is no path; write it like /renewals",
    '[web]\nbase_path = "/a/../b"\n': "web.base_path: '/a/../b' is no path",
    '[web]\nbase_path = "/a//b"\n': "web.base_path: '/a//b' is no path",
    '[web]\nbase_path = "/calendar"\n': "web.base_path: '/calendar' begins like a page",
    '[web]\npublic_url = "https://a.example/renewals"\n': "web.public_url: it is no address of the pages; write it without",
    '[web]\ntrusted_proxies = ["proxy"]\n': "web.trusted_proxies: 'proxy' is no address or network",
    '[web]\ntrusted_proxies = ["10.0.0.1/8"]\n': "web.trusted_proxies: '10.0.0.1/8' is no address or network",
    '[web]\ntrusted_proxies = ["0.0.0.0/0"]\n': "web.trusted_proxies: 0.0.0.0/0 is everybody",
    '[web]\nuser_header = "X-User"\n': "web.user_header: it is believed of trusted_proxies only",
    '[web]\nuser_header = "Cookie"\ntrusted_proxies = ["unix"]\n': "web.user_header: 'Cookie' is no header of a proxy",
    '[web]\nuser_header = "X User"\ntrusted_proxies = ["unix"]\n': "web.user_header: 'X User' is no header of a proxy",
    '[web]\ngroup_header = "X-Groups"\n': "web.group_header: it belongs to user_header",
    '[web]\nreaders = ["anna"]\n': "web.readers: it is for those who sign in by [oidc] or user_header",
    PROXY + 'actors = ["group:"]\n': "web.actors: 'group:' names nobody",
    "[web]\nlogin_to_read = true\n": "web.login_to_read: it needs a password_file, [oidc] or user_header",
    '[web]\nlisten = "0.0.0.0:80"\n': "web.listen: 0.0.0.0:80 can be reached from other machines",
    '[web]\nlinks_for = "91d"\n': "web.links_for: 91d is no time for a link; write one up to 90d",
    '[web]\nlinks_for = "soon"\n': "web.links_for: ",
    '[web]\nkey = "x"\nkey_file = "y"\n': "web.key: only one may be given of",
    WEB + OIDC.replace("https://", "http://"): "oidc.issuer: plain http could be changed on the way",
    WEB + OIDC.replace('"https://login.example.org"', '"login"'): "oidc.issuer: 'login' is no address",
    WEB + OIDC.replace('client_id = "c"\n', ""): "oidc.client_id: is missing",
    WEB + OIDC.replace('client_secret = "s"\n', ""): "oidc.client_secret: is missing; give one of",
    WEB + OIDC + 'scopes = ["email"]\n': 'oidc.scopes: without "openid" nobody is signed in',
    WEB + OIDC + 'issuers = "x"\n': "oidc.issuers: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_is_said_with_its_key(tmp_path: Path, text: str) -> None:
    found = faults(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(WRONG[text])


@pytest.mark.parametrize(
    "text",
    [
        WEB + OIDC,
        WEB + OIDC.replace("https://login.example.org", "http://127.0.0.1:8080/realms/ours"),
        PROXY + 'listen = "0.0.0.0:9280"\nlogin_to_read = true\ngroup_header = "X-Groups"\nactors = ["group:ops"]\n',
        '[web]\nbase_path = "/phones/renewals/"\ntrusted_proxies = ["10.0.0.0/8", "::1", "unix"]\n',
    ],
)
def test_what_can_be_is_taken(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text) == ()


NAMED = {  # who signed in, with which groups: may read, may act
    ("anna@example.org", ()): (True, True),
    ("ANNA@EXAMPLE.ORG", ()): (True, True),
    ("ben@example.org", ()): (True, False),
    ("eve@example.com", ()): (False, False),
    ("eve@example.com", ("ops",)): (True, True),
    ("eve@example.com", ("Ops",)): (False, False),
    ("group:ops", ()): (False, False),
    ("", ("phones",)): (True, False),
    ("x*y", ()): (True, False),
}


@pytest.mark.parametrize(("name", "groups"), NAMED)
def test_roles_are_by_name_pattern_and_group(name: str, groups: tuple[str, ...]) -> None:
    web = Web(readers=("*@example.org", "group:phones", "x?y"), actors=("anna@example.org", "group:ops"))
    assert (web.lets_read(name, groups), web.lets_act(name, groups)) == NAMED[name, groups]
    assert web.groups_of(["phones", "ops", "staff", "ops"]) == ("phones", "ops")
