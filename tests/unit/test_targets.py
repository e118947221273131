"""Where a message went, as the audit log keeps it: recipients and hosts, and never what opens a door."""

from __future__ import annotations

import functools
import secrets
import warnings
from urllib.parse import quote

import pytest
from apprise.manager_plugins import NotificationManager
from hypothesis import given
from hypothesis import strategies as st

from renewal_watch.channels.limits import scheme_of
from renewal_watch.channels.targets import HOSTED, LONGEST, target_of_command, target_of_url, target_of_webhook

HOST = "hooks.example.org"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("mailto://bot:pass@mail.example.org?to=anna@example.org", "anna@example.org"),
        ("mailtos://bot:pass@mail.example.org:587/anna%40example.org?from=watch@example.org", "anna@example.org"),
        ("mailtos://bot%40example.org:pass@smtp.example.org/anna@example.org/", "anna@example.org"),
        ("mailto://bot:pass@example.org?to=Anna <anna@example.org>", "anna@example.org"),
        ("mailto://bot:pass@example.org/anna@example.org?to=anna@example.org", "anna@example.org"),
        ("mailto://bot:pass@example.org", "bot@example.org"),
        ("mailto://bot%40example.org:pass@smtp.example.org", "bot@example.org"),
        ("mailto://bot:pass@smtp.example.org?from=watch@example.org", "watch@example.org"),
        ("mailto://127.0.0.1:18025?mode=insecure&from=me@example.com&to=you@localhost", "you@localhost"),
        ("mailto://smtp.example.org", "mailto"),
        ("slack://T0AAAAAAA/B0BBBBBBB/cccccccccccccccccccccccc/#ops", "slack"),
        ("slack://xoxb-1234-1234-abcd/#ops", "slack"),
        ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", "tgram"),
        ("sendgrid://SG.a.b:anna@example.org/ben@example.org", "sendgrid"),
        ("json://user:pass@collector.example.org:8443/path/token?x=y", "json://collector.example.org"),
        ("jsons://[2001:db8::1]:8443/token", "jsons://[2001:db8::1]"),
        ("json://127.0.0.1:9/", "json://127.0.0.1"),
        ("gotifys://push.example.org/token", "gotifys://push.example.org"),
        ("gotify://gotify/token", "gotify"),
        ("ntfy://my-secret-topic", "ntfy"),
        ("ntfys://tk_token@ntfy.example.org/topic", "ntfys://ntfy.example.org"),
        ("rocket://aaaa/bbbb@chat.example.org/#ops", "rocket"),
        ("rocket://aaaa%2Fbbbb@chat.example.org/#ops", "rocket://chat.example.org"),
        ("matrix://user:pass@matrix.example.org/#room", "matrix"),
        ("no url at all", ""),
    ],
)
def test_an_apprise_url_is_its_recipients_its_host_or_its_scheme(url: str, target: str) -> None:
    assert target_of_url(url) == target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.example.org/in/secret?token=x", "https://hooks.example.org"),
        ("https://user:pass@Hooks.example.org:8443/", "https://hooks.example.org:8443"),
        ("http://[::1]:9000/in", "http://[::1]:9000"),
        ("http://collector/in", "http://collector"),
        ("https://hooks.example.org:port/", "https"),
        ("https://[broken/", "https"),
    ],
)
def test_a_webhook_is_scheme_host_and_port(url: str, target: str) -> None:
    assert target_of_webhook(url) == target


def test_a_command_is_its_path_without_arguments() -> None:
    assert target_of_command(["/usr/local/bin/page", "--token", "secret"]) == "/usr/local/bin/page"


@functools.cache
def _plugins() -> list[tuple[str, list[str]]]:
    """Every scheme of Apprise with the forms of its URL."""
    manager = NotificationManager()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its plugins import
        manager.load_modules()
    found: list[tuple[str, list[str]]] = []
    for plugin in manager.plugins(include_disabled=True):
        for key in ("protocol", "secure_protocol"):
            schemes = getattr(plugin, key, None) or ()
            names = (schemes,) if isinstance(schemes, str) else schemes
            found += [(name, [str(one) for one in plugin.templates]) for name in names]
    return found


def test_each_scheme_whose_host_is_named_has_a_host_there_in_every_form() -> None:
    """But ntfy, whose topic in that place has no dot (its plugin takes letters, digits, - and _)."""
    plugins = _plugins()
    assert {name.removesuffix("s") for name in HOSTED} - {scheme.removesuffix("s") for scheme, _ in plugins} == {"http"}
    named = {name for scheme, _ in plugins if (name := scheme) in HOSTED or scheme.removesuffix("s") in HOSTED}
    hidden = {
        scheme
        for scheme, templates in plugins
        if scheme in named and any("{host}" not in one.partition("://")[2].partition("/")[0] for one in templates)
    }
    assert hidden == {"ntfy", "ntfys"}


def test_no_secret_of_any_place_is_named() -> None:
    """In user, password, host of services whose host is a token, path and parameters of every scheme that there is."""
    for scheme, _ in _plugins():
        user, password, path, value = (secrets.token_urlsafe(12) for _ in range(4))
        token = secrets.token_urlsafe(16)
        dotted = f"SG.{secrets.token_urlsafe(8)}.{secrets.token_urlsafe(8)}"
        quoted = [quote(one, safe="") for one in (user, password, path, value)]
        urls = [
            f"{scheme}://{quoted[0]}:{quoted[1]}@{HOST}:8443/{quoted[2]}/anna@example.org?key={quoted[3]}&to=x@example.org",
            f"{scheme}://{token}/{quoted[2]}/{quoted[3]}/#ops",
            f"{scheme}://{token}@{HOST}/{quoted[2]}",
            f"{scheme}://{quoted[2]}/{token}@{HOST}/#ops",
        ]
        if scheme.removesuffix("s") not in HOSTED and scheme not in HOSTED:
            urls.append(f"{scheme}://{dotted}/{quoted[2]}")
        for url in urls:
            said = target_of_url(url)
            if scheme not in ("mailto", "mailtos"):
                assert said in (scheme_of(url), f"{scheme}://{HOST}"), url
            elif url in urls[0]:
                assert said == "anna@example.org, x@example.org"
            for secret in (password, path, value, *dotted.split(".")[1:]):
                assert secret not in said, url


@given(st.text(max_size=400))
def test_whatever_it_is_it_has_a_name_of_one_short_line(text: str) -> None:
    for said in (
        target_of_url(text),
        target_of_webhook(text),
        target_of_url(f"mailto://{text}"),
        target_of_command([text]),
    ):
        assert len(said) <= LONGEST
        assert "\n" not in said
