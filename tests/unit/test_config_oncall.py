"""What the configuration says of on-call services, and every mistake in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_config_hooks import ENVIRONMENT, faults, load

from renewal_watch.config import loading
from renewal_watch.diagnostics.hints import hints
from renewal_watch.settings.channel import Channel
from renewal_watch.text import REDACTOR

PAGER = '[[channels]]\nname = "a"\nservice = "pagerduty"\nkey = "R0ut1ngKey"\n'
OPEN = '[[channels]]\nname = "a"\nservice = "alertmanager"\naddress = "http://127.0.0.1:9093/am/"\n'
GOALERT = '[[channels]]\nname = "a"\nservice = "goalert"\naddress = "https://goalert.test"\nkey = "token"\n'


@pytest.mark.parametrize(
    "text",
    [
        PAGER,
        PAGER.replace("pagerduty", "opsgenie") + 'address = "https://api.eu.opsgenie.com"\n',
        PAGER.replace("pagerduty", "jira") + 'timeout = "20s"\nproxy = "http://proxy.test:3128"\n',
        PAGER + 'quiet_hours = ["22:00-07:00"]\nmask_numbers = true\nlanguage = "de"\nfallback_after = "1h"\n',
        OPEN,
        OPEN + 'key = "watch:secret"\n',
        OPEN.replace("127.0.0.1", "alerts.test") + "allow_insecure_http = true\n",
        GOALERT,
    ],
)
def test_what_is_right(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, ENVIRONMENT + text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (PAGER.replace('key = "R0ut1ngKey"\n', ""), "channels.a.key: is missing; give one of key, key_file"),
        (PAGER + 'key_env = "X"\n', "channels.a.key: only one may be given of key, key_file"),
        (PAGER + 'webhook = "https://x.test"\n', "channels.a.url: only one may be given of webhook, service"),
        (PAGER + 'digest = "daily 08:00"\n', "channels.a.digest: a service is told each alert by itself, at once"),
        (
            PAGER + 'format = "html"\n',
            "channels.a.format: a service is told each alert by itself, at once; leave it out",
        ),
        (PAGER + 'timeout = "61s"\n', "channels.a.timeout: at most 60s"),
        (PAGER + 'ca_file = "/nowhere.pem"\n', "channels.a.ca_file: there is no file /nowhere.pem"),
        (PAGER + 'address = "events.test"\n', "channels.a.address: it is no address; write it like https://alerts"),
        (PAGER + 'address = "http://events.test"\n', "channels.a.address: plain http could be read on the way"),
        (
            OPEN.replace("127.0.0.1", "me:secret@127.0.0.1"),
            "channels.a.address: write it without user, ? and #, like https://alerts.example.org; what lets in stands in key",
        ),
        (
            OPEN.replace('address = "http://127.0.0.1:9093/am/"\n', ""),
            "channels.a.address: is missing; write where alertmanager is, like https://alerts.example.org",
        ),
        (GOALERT.replace('key = "token"\n', ""), "channels.a.key: is missing; give one of key"),
        (
            '[[channels]]\nname = "a"\nurl = "json://127.0.0.1"\naddress = "https://x.test"\n',
            "channels.a.address: it belongs to a service, and this channel has none",
        ),
        (
            PAGER.replace("pagerduty", "pager"),
            "channels.a.service: unknown value 'pager'; write one of: pagerduty, opsgenie, jira, alertmanager, goalert",
        ),
        (PAGER.replace('"pagerduty"', '["pagerduty"]'), "channels.a.service: expected text in quotes, got a list"),
        (
            PAGER + '[canary]\nchannel = "a"\n',
            "canary.channel: a is an on-call service, which would call somebody each time; name another",
        ),
        (
            PAGER + '[[templates]]\nchannels = ["a"]\nbody = "x"\n',
            "templates.1.channels: a is told no words of a template; leave it out",
        ),
    ],
)
def test_a_mistake_with_a_service_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, ENVIRONMENT + text)
    assert found.startswith(fault), found


def test_its_key_is_a_secret_and_its_address_is_none(tmp_path: Path) -> None:
    settings = load(tmp_path, ENVIRONMENT + GOALERT.replace("token", "Integr4t10nToken"))
    (channel,) = settings.channels
    assert channel.read_service_key() == "Integr4t10nToken"
    assert channel.read_address() == "https://goalert.test"
    assert "Integr4t10nToken" not in str(loading.shown(settings))
    assert REDACTOR.clean("https://goalert.test: Integr4t10nToken") == "https://goalert.test: ***"


def test_what_it_is_follows_from_its_keys(tmp_path: Path) -> None:
    (channel,) = load(tmp_path, ENVIRONMENT + OPEN).channels
    assert channel.is_oncall
    assert channel.is_hook, "each alert by itself, at once"
    assert not channel.is_webhook
    assert channel.routine_at is None
    assert channel.read_address() == "http://127.0.0.1:9093/am"
    assert channel.read_service_key() is None


def test_the_schema_knows_it() -> None:
    assert "alertmanager" in json.dumps(loading.json_schema())


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("pagerduty://key@api", "pagerduty"),
        ("opsgenie://key", "opsgenie"),
        ("jira://key", "jira"),
        ("goalert://token@host", "goalert"),
        ("goalerts://token@host", "goalert"),
    ],
)
def test_an_apprise_url_of_such_a_service_is_advised_against(tmp_path: Path, url: str, service: str) -> None:
    (hint,) = hints(load(tmp_path, f'{ENVIRONMENT}[[channels]]\nname = "a"\nurl = "{url}"\n'), {})
    scheme = url.partition(":")[0]
    assert hint == (
        f"channels.a: {scheme}:// opens a new incident for each message, and nothing closes it; "
        f'write service = "{service}" instead of the URL (docs/oncall.md)'
    )


@pytest.mark.parametrize("channel", [PAGER, '[[channels]]\nname = "a"\nurl = "slack://x"\n'])
def test_others_are_not(tmp_path: Path, channel: str) -> None:
    assert hints(load(tmp_path, ENVIRONMENT + channel), {}) == []


def test_a_password_that_is_quoted_alone_is_not_shown() -> None:
    channel = Channel(
        name="am", service="alertmanager", address="http://127.0.0.1:1", key="prometheus:hunter2-and-more"
    )
    assert channel.read_service_key() == "prometheus:hunter2-and-more"
    assert "hunter2" not in REDACTOR.clean("wrong password hunter2-and-more for prometheus")
