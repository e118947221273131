"""The configuration: every fault at once with its key, secrets from anywhere, defaults as the example shows them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from renewal_watch.config import loading
from renewal_watch.config.loading import find, load
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.config.toml import LARGEST_CONFIG
from renewal_watch.errors import ConfigError, UsageError
from renewal_watch.model.alerts import Severity
from renewal_watch.settings import secrets
from renewal_watch.settings.channel import Channel
from renewal_watch.text import REDACTOR

GOOD = """
[[environments]]
name = "production"
base_url = "https://voice.client.example/api/v1"
token = "client_of_another_brand"
"""


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def faults(folder: Path, text: str, mode: int = 0o600) -> list[str]:
    path = write(folder, text, mode)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


def test_the_smallest_file_is_enough(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD))
    (environment,) = settings.environments
    assert environment.read_token() == "client_of_another_brand"
    assert settings.renewals.warn_days == (14, 7, 3, 1, 0)
    assert settings.database_url.endswith("/.local/state/renewal-watch/renewal-watch.db")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD + "poll_evry = '1h'\n", "environments.production.poll_evry: unknown key; did you mean poll_every?"),
        (GOOD + "poll_every = '1 hour'\n", "environments.production.poll_every: write a whole number and a unit"),
        (GOOD + "poll_every = '5s'\n", "environments.production.poll_every: the shortest interval is 10s"),
        (GOOD + "poll_every = '1h'\npoll_cron = '0 * * * *'\n", "environments.production: poll_every and poll_cron"),
        (GOOD + "poll_cron = '0 0 31 2 *'\n", "environments.production.poll_cron: '0 0 31 2 *' never comes"),
        (GOOD + "[retention]\nchanges_days = 0\n", "retention.changes_days: expected a whole number >= 1"),
        (
            GOOD + "[retention]\nmonths_days = 100\n",
            "retention.months_days: 100 is less than changes_days, which is 365",
        ),
        (GOOD + "[retention]\nmonths_days = 'never'\n", "retention.months_days: expected a whole number"),
        (GOOD + "poll_cron = '0 0 * * 8'\n", "environments.production.poll_cron: the day-of-week of"),
        (GOOD + "filters = { page = 2 }\n", "environments.production.filters.page: renewal-watch pages by itself"),
        (GOOD + "poll_every = '9999999d'\n", "environments.production.poll_every: write a whole number and a unit"),
        (
            GOOD.replace("/api/v1", "/api/v1/phone-numbers"),
            "environments.production.base_url: leave /phone-numbers out",
        ),
        (GOOD + "proxy = 'foo://x'\n", "environments.production.proxy: write it like http://"),
        (GOOD + "ca_file = '/none'\n", "environments.production.ca_file: there is no file /none"),
        (GOOD.replace('"production"', "['p']"), "environments.1.name: expected text in quotes, got a list"),
        (GOOD + "[database]\nurl = 'sqlite:///:memory:'\n", "database.url: write it as sqlite:///PATH"),
        (GOOD + GOOD, "environments.production: the name is used twice"),
        (GOOD + "token_file = '/x'\n", "environments.production.token: only one may be given of token, token_file"),
        (GOOD.replace("token =", "#"), "environments.production.token: is missing; give one of token, token_file"),
        (
            GOOD.replace('base_url = "https', 'base_url = "http'),
            "environments.production.base_url: plain http would send",
        ),
        (
            GOOD.replace('base_url = "https:', 'base_url = "'),
            "environments.production.base_url: write it like https://",
        ),
        (
            GOOD.replace("https://", "https://u:p@"),
            "environments.production.base_url: write only scheme, host and path",
        ),
        (
            GOOD.replace('name = "production"', 'name = "pro duction"'),
            "environments.pro duction.name: a name has up to",
        ),
        (GOOD.replace('name = "production"', ""), "environments.1.name: is missing"),
        ("timezone = 'Mars/Base'\n" + GOOD, "timezone: 'Mars/Base' is not a zone of the IANA database"),
        ("timezone = 3\n" + GOOD, "timezone: expected text in quotes, got a whole number"),
        ("environments = []\n", "environments: at least one [[environments]] is needed"),
        ("", "environments: is missing"),
        ("[environments]\nname = 'x'\n", "environments: write it as [[environments]]"),
        ("renewals = 3\n" + GOOD, "renewals: write it as [renewals]"),
        (GOOD + "[renewals]\nwarn_days = []\n", "renewals.warn_days: expected a list with at least one value"),
        (GOOD + "[renewals]\nwarn_days = [-1]\n", "renewals.warn_days: expected a whole number >= 0"),
        (GOOD + "[renewals]\nstale_after = '0h'\n", "renewals.stale_after: write a whole number and a unit"),
        (GOOD + "[database]\nurl = 'mysql://x'\n", "database.url: write it as sqlite:///PATH"),
        (GOOD + "[[channels]]\nname = 'a'\n", "channels.a.url: is missing"),
        (GOOD + "[[channels]]\nname = 'a'\nurl = ''\n", "channels.a.url: is empty"),
        (
            GOOD + "[[channels]]\nname = 'a'\nurl = 'json://x'\nkinds = ['renewal.upcomming']\n",
            "channels.a.kinds: 'renewal.upcomming' matches no kind of alert; did you mean renewal.upcoming?",
        ),
        (
            GOOD + "[[channels]]\nname = 'a'\nurl = 'json://x'\nenvironments = ['staging']\n",
            "channels.a.environments: there is no environment called 'staging'",
        ),
        (
            GOOD + "[[channels]]\nname = 'a'\nurl = 'json://x'\nmin_severity = 'loud'\n",
            "channels.a.min_severity: unknown value 'loud'; write one of: info, warning, critical",
        ),
    ],
)
def test_a_fault_names_its_key_and_what_to_do(tmp_path: Path, text: str, fault: str) -> None:
    found = faults(tmp_path, text)
    assert any(one.startswith(fault) for one in found), found


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    text = "timezone = 'X'\nspeed = 1\n" + GOOD + "poll_every = 1\n[[channels]]\nname = 'a b'\n[renewals]\nwarn = 1\n"
    found = faults(tmp_path, text)
    for key in ("timezone", "speed", "environments.production.poll_every", "channels.a b.name", "renewals.warn"):
        assert any(one.startswith(key) for one in found), (key, found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = [", "is not TOML"),
        ("\xff", "is not UTF-8 text"),
        (GOOD + 'ca_file = "\\u0000"\n', "a value holds the character NUL"),
        ("a = " + "9" * 5000, "is not TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_toml_says_so(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=said):
        load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="renewal-watch init"):
        load(tmp_path / "none.toml")


def test_a_secret_in_a_file_that_others_read_is_refused(tmp_path: Path) -> None:
    assert "others can read this file" in faults(tmp_path, GOOD, mode=0o640)[0]


def test_secrets_come_from_file_environment_and_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("talq_from_file\n")
    monkeypatch.setenv("THE_TOKEN", "talq_from_env")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for form, secret in (
        (f"token_file = '{tmp_path / 'token'}'", "talq_from_file"),
        ("token_env = 'THE_TOKEN'", "talq_from_env"),
        ("token_credential = 'token'", "talq_from_file"),
    ):
        text = GOOD.replace('token = "client_of_another_brand"', form)
        settings = load(write(tmp_path, text, mode=0o644))
        assert settings.environments[0].read_token() == secret
        assert REDACTOR.clean(f"x{secret}x") == "x***x"


def test_a_secret_that_cannot_be_read_names_key_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "CREDENTIAL_STORES", (tmp_path / "credstore",))
    text = GOOD.replace('token = "client_of_another_brand"', "token_credential = 'gone'")
    text += "[[channels]]\nname = 'a'\nurl_env = 'NOT_SET'\n[[channels]]\nname = 'b'\nurl_file = '/none'\n"
    found = secret_faults(load(write(tmp_path, text, mode=0o644)))
    assert found == [
        f"environments.production.token_credential: {tmp_path}/credstore/gone cannot be read: No such file or directory",
        "channels.a.url_env: the environment variable NOT_SET is not set",
        "channels.b.url_file: /none cannot be read: No such file or directory",
    ]


def test_faults_and_settings_show_no_secret(tmp_path: Path) -> None:
    text = GOOD + "poll_every = '1x'\n[[channels]]\nname = 'a'\nurl = 'json://h/very-secret'\n"
    assert "very-secret" not in str(faults(tmp_path, text))
    settings = load(write(tmp_path, text.replace("1x", "1h")))
    shown = str(loading.shown(settings))
    assert "very-secret" not in shown
    assert "client_of_another_brand" not in shown


@pytest.mark.parametrize(
    ("severity", "kinds", "environments", "takes"),
    [
        ("info", ("*",), None, True),
        ("warning", ("*",), None, True),
        ("critical", ("*",), None, False),
        ("info", ("renewal.*",), None, True),
        ("info", ("watch.*", "number.*"), None, False),
        ("info", ("*",), ("production",), True),
        ("info", ("*",), ("staging",), False),
    ],
)
def test_a_channel_takes_what_it_is_for(
    severity: str, kinds: tuple[str, ...], environments: tuple[str, ...] | None, takes: bool
) -> None:
    channel = Channel(name="a", url="x", min_severity=severity, kinds=kinds, environments=environments)  # type: ignore[arg-type]
    assert channel.takes("renewal.upcoming", Severity.warning, "production") is takes


def test_the_watch_itself_is_told_to_channels_of_any_environment() -> None:
    channel = Channel(name="a", url="x", environments=("staging",))
    assert channel.takes("channel.failing", Severity.critical, "")


def test_filters_are_sent_as_the_page_documents_them(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD + "filters = { has_voice = true, type = 'sms', max = 3 }\n"))
    assert settings.environments[0].query == {"has_voice": "true", "type": "sms", "max": "3"}


def test_the_state_directory_of_systemd_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert load(write(tmp_path, "state_dir = '/elsewhere'\n" + GOOD)).state_dir == tmp_path / "state"


def test_the_configuration_is_found_in_the_documented_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(None) == Path("/etc/renewal-watch/config.toml")
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    assert find(None) == tmp_path / "config.toml"
    monkeypatch.setenv("RENEWAL_WATCH_CONFIG", "/named.toml")
    assert find(None) == Path("/named.toml")
    assert find("/given.toml") == Path("/given.toml")


def test_an_unknown_name_is_a_wrong_usage(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD))
    with pytest.raises(UsageError, match="there is no environment called x; the configuration has: production"):
        settings.environment("x")


def test_a_file_of_an_editor_that_begins_with_a_mark_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    path.chmod(0o600)
    assert load(path).environments


def test_what_is_no_file_of_a_usable_size_is_named_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "vast.toml").write_bytes(b"")
    os.truncate(tmp_path / "vast.toml", LARGEST_CONFIG + 1)
    for place, said in [
        (tmp_path / "pipe", "pipe cannot be read: it is no file"),
        (Path("/dev/zero"), "/dev/zero cannot be read: it is no file"),
        (tmp_path / "vast.toml", "is larger than 16 MiB"),
    ]:
        with pytest.raises(ConfigError, match=said):
            load(place)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_list_is_not_stale_before_two_polls_could_have_read_it(tmp_path: Path) -> None:
    """With a poll a day, six hours would call a healthy watch blind for most of it."""
    for every, wanted in (("1h", timedelta(hours=6)), ("1d", timedelta(days=2))):
        settings = load(write(tmp_path, GOOD + f"poll_every = '{every}'\n"))
        assert settings.policy(settings.environments[0]).stale_after == wanted
