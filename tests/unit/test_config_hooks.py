"""What the configuration says of hooks and heartbeats, and every mistake in one sentence."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from renewal_watch.config import loading
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.errors import ConfigError
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.whole import Settings
from renewal_watch.text import REDACTOR

KEY = "whsec_" + base64.b64encode(bytes(range(24))).decode()
ENVIRONMENT = '[[environments]]\nname = "production"\nbase_url = "https://x.test/api"\ntoken = "talq_0123456789"\n'
COMMAND = '[[channels]]\nname = "a"\ncommand = ["/bin/true"]\n'
WEBHOOK = '[[channels]]\nname = "a"\nwebhook = "https://hooks.test/in"\n'
APPRISE = '[[channels]]\nname = "a"\nurl = "json://127.0.0.1"\n'


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    path.write_text(text)
    return loading.load(path)


def faults(tmp_path: Path, text: str) -> list[str]:
    """All faults, those of secrets that cannot be read included."""
    try:
        return secret_faults(load(tmp_path, text))
    except ConfigError as error:
        return [fault.partition("config.toml: ")[2] for fault in error.faults]


@pytest.mark.parametrize(
    "text",
    [
        COMMAND,
        COMMAND + 'timeout = "60s"\nquiet_hours = ["22:00-07:00"]\nmask_numbers = true\nfallback_after = "1h"\n',
        WEBHOOK,
        WEBHOOK + f'key = "{KEY}"\n',
        WEBHOOK + 'key = "a-raw-text-of-24-bytes.."\n',
        WEBHOOK.replace("https://hooks.test", "http://127.0.0.1:99"),
        WEBHOOK.replace("https", "http") + "allow_insecure_http = true\n",
        WEBHOOK + 'proxy = "http://proxy.test:3128"\n',
    ],
)
def test_what_is_right(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, ENVIRONMENT + text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[[channels]]\nname = "a"\n',
            "channels.a.url: is missing; give one of url, url_file, url_env, url_credential, command, webhook, service",
        ),
        (COMMAND + 'url = "json://127.0.0.1"\n', "channels.a.url: only one may be given of url, command"),
        (COMMAND + 'webhook_env = "X"\n', "channels.a.url: only one may be given of command, webhook"),
        (WEBHOOK + 'webhook_env = "X"\n', "channels.a.webhook: only one may be given of webhook, webhook_file"),
        (WEBHOOK + f'key = "{KEY}"\nkey_env = "X"\n', "channels.a.key: only one may be given of key, key_file"),
        (COMMAND.replace('"/bin/true"', ""), "channels.a.command: expected a list with at least one value"),
        (COMMAND.replace('["/bin/true"]', '"/bin/true"'), "channels.a.command: expected a list"),
        (COMMAND.replace("/bin/true", "true"), "channels.a.command: 'true' is no whole path; write it like /usr/local"),
        (COMMAND.replace("/bin/true", "~/true"), "channels.a.command: '~/true' is no whole path"),
        (COMMAND.replace("true", "true\\u0000"), "channels.a.command: it holds the character NUL"),
        (COMMAND + 'timeout = "61s"\n', "channels.a.timeout: at most 60s, so that no alert is told by two at once"),
        (COMMAND + 'timeout = "2m"\n', "channels.a.timeout: at most 60s"),
        (COMMAND + "timeout = 30\n", "channels.a.timeout: expected text in quotes, got a whole number"),
        (COMMAND + f'key = "{KEY}"\n', "channels.a.key: it belongs to a webhook or service, and this channel has none"),
        (
            COMMAND + "allow_insecure_http = true\n",
            "channels.a.allow_insecure_http: it belongs to a webhook or service",
        ),
        (
            APPRISE + 'timeout = "30s"\n',
            "channels.a.timeout: it belongs to a command, webhook or service, and this channel has",
        ),
        (
            APPRISE + 'proxy = "http://proxy.test"\n',
            "channels.a.proxy: it belongs to a webhook or service, and this channel has none",
        ),
        (COMMAND + 'digest = "daily 08:00"\n', "channels.a.digest: a command is told each alert by itself, as JSON"),
        (
            WEBHOOK + "digest_when_empty = false\n",
            "channels.a.digest_when_empty: a webhook is told each alert by itself",
        ),
        (
            WEBHOOK + 'format = "markdown"\n',
            "channels.a.format: a webhook is told each alert by itself, as JSON; leave it",
        ),
        (WEBHOOK + "max_per_hour = 5\n", "channels.a.max_per_hour: a webhook is told each alert by itself, as JSON"),
        (
            COMMAND + '[[templates]]\nchannels = ["a"]\nbody = "x"\n',
            "templates.1.channels: a is told no words of a template; leave it out",
        ),
        (
            WEBHOOK.replace("https", "http"),
            "channels.a.webhook: plain http could be read on the way; use https, or set",
        ),
        (WEBHOOK.replace("https://", "slack://"), "channels.a.webhook: it is no address; write it like https://hooks"),
        (WEBHOOK.replace("hooks.test/in", "hooks.test:port"), "channels.a.webhook: it is no address"),
        (WEBHOOK.replace("hooks.test/in", "hooks.test/ü"), "channels.a.webhook: it is no address"),
        (WEBHOOK.replace("https://hooks.test/in", ""), "channels.a.webhook: is empty"),
        (
            WEBHOOK + 'key = "short"\n',
            "channels.a.key: it is shorter than 24 bytes; make one with: echo whsec_$(openssl",
        ),
        (WEBHOOK + 'key = "whsec_not base64"\n', "channels.a.key: after whsec_ stands base64; make one with"),
        (WEBHOOK + 'key = "whsec_MDEy"\n', "channels.a.key: it is shorter than 24 bytes"),
        (WEBHOOK + 'proxy = "socks"\n', "channels.a.proxy: write it like http://proxy.example:3128"),
        (WEBHOOK + 'ca_file = "/nowhere.pem"\n', "channels.a.ca_file: there is no file /nowhere.pem"),
        (WEBHOOK + 'key_file = "/nowhere"\n', "channels.a.key_file: /nowhere cannot be read: No such file"),
    ],
)
def test_a_mistake_with_a_hook_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, ENVIRONMENT + text)
    assert found.startswith(fault), found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'heartbeat = "http://hc.test/uuid"\n',
            "environments.production.heartbeat: plain http could be read on the way",
        ),
        ('heartbeat = "hc-ping.com/uuid"\n', "environments.production.heartbeat: it is no address"),
        (
            'heartbeat = "https://x.test/u"\nheartbeat_env = "X"\n',
            "environments.production.heartbeat: only one may be given of heartbeat, heartbeat_file",
        ),
        ('heartbeat_file = "/nowhere"\n', "environments.production.heartbeat_file: /nowhere cannot be read"),
        (
            'heartbeat_env = "NOT_SET"\n',
            "environments.production.heartbeat_env: the environment variable NOT_SET is not",
        ),
    ],
)
def test_a_mistake_with_a_heartbeat_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, ENVIRONMENT + text)
    assert found.startswith(fault), found


def test_a_heartbeat_is_optional_and_read_when_it_is_used(tmp_path: Path) -> None:
    bare = Environment(name="a", base_url="x")
    assert not bare.has_heartbeat
    assert bare.read_heartbeat() is None
    file = tmp_path / "heartbeat"
    given = Environment(name="a", base_url="x", heartbeat_file=str(file))
    assert given.has_heartbeat
    for url in ("https://hc.test/1", "https://hc.test/2"):
        file.write_text(url + "\n")
        assert given.read_heartbeat() == url


def test_addresses_and_keys_are_secrets_in_whatever_form_they_show(tmp_path: Path) -> None:
    text = (
        ENVIRONMENT + 'heartbeat = "https://hc.test/0e1f-secret-path"\n' + WEBHOOK.replace("/in", "/in/another-secret")
    )
    settings = load(tmp_path, text + f'key = "{KEY}"\n')
    assert secret_faults(settings) == []
    shown = str(loading.shown(settings))
    for secret in ("secret-path", "another-secret", KEY):
        assert secret not in shown
    said = REDACTOR.clean(f"https://hc.test:443/0e1f-secret-path/start https://hooks.test/in/another-secret {KEY}")
    assert said == "https://hc.test:443***/start *** ***"


def test_what_a_channel_is_follows_from_its_keys() -> None:
    assert Channel(name="a", command=("/x",)).is_hook
    assert Channel(name="a", webhook_file="/x").is_hook
    assert Channel(name="a", webhook_file="/x").is_webhook
    assert not Channel(name="a", command=("/x",)).is_webhook
    assert not Channel(name="a", url="json://x").is_hook


def test_a_key_that_a_verifier_of_the_standard_would_read_in_another_way_is_refused() -> None:
    """Its libraries drop what is no base64: a key in the alphabet of addresses would sign with other bytes."""
    with pytest.raises(ConfigError, match="after whsec_ stands base64"):
        Channel(name="a", webhook="https://x", key="whsec_" + "-_" * 20).read_key()
