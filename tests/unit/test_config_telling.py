"""The configuration of who is told, when and how: defaults, faults with their key and what to do, and no traceback ever."""

from __future__ import annotations

import json
import string
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.config import loading
from renewal_watch.config.loading import json_schema
from renewal_watch.errors import ConfigError
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Severity
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Rule
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Canary, Escalation, Flapping, InventoryFile, Privacy, Reminders, Template
from renewal_watch.settings.values import duration
from renewal_watch.settings.whole import File, Settings

ENVIRONMENT = """
[[environments]]
name = "production"
base_url = "https://voice.client.example/api/v1"
token = "client_of_another_brand"
"""
CHANNELS = """
[[channels]]
name = "mail"
url = "json://localhost/first-secret"
[[channels]]
name = "chat"
url = "json://localhost/second-secret"
"""
GOOD = ENVIRONMENT + CHANNELS
CHANNEL = GOOD + "[[channels]]\nname = 'c'\nurl = 'json://localhost/third-secret'\n"
RULE = GOOD + "[[rules]]\nname = 'r'\n"
TEMPLATE = GOOD + "[[templates]]\n"
LINE = "\\n"  # as TOML writes a line break


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def load(folder: Path, text: str) -> Settings:
    return loading.load(write(folder, text))


def faults(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        loading.load(path)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


# --- defaults and good files ------------------------------------------------------------------------------------------


def test_what_is_not_given_has_its_documented_default(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD)
    assert found.rules == ()
    assert found.templates == ()
    assert found.inventory == InventoryFile(file="")
    assert found.inventory_path is None
    assert found.reminders == Reminders(
        critical_every="1d", warning_every="off", info_every="off", max_times=7, lapse_days=2
    )
    assert found.escalation == Escalation(after="4h", channels=())
    assert found.flapping == Flapping(changes=4, within="24h")
    assert found.canary == Canary(channel="", schedule="weekly mon 09:00", within="30m")
    assert found.privacy == Privacy(mask_in_logs=False)
    assert found.channel("mail") == Channel(
        name="mail",
        url="json://localhost/first-secret",
        by_rule_only=False,
        format="text",
        mask_numbers=False,
        timezone=None,
        quiet_hours=(),
        critical_at_once=True,
        digest=None,
        digest_when_empty=False,
        max_per_hour=30,
        fallback=None,
        fallback_after="30m",
    )


def test_empty_sections_are_as_good_as_none(tmp_path: Path) -> None:
    sections = "".join(
        f"[{name}]\n" for name in ("inventory", "reminders", "escalation", "flapping", "canary", "privacy")
    )
    assert load(tmp_path, "rules = []\ntemplates = []\n" + GOOD + sections) == load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("text", "severity", "expected"),
    [
        ("", Severity.critical, timedelta(days=1)),
        ("", Severity.warning, None),
        ("", Severity.info, None),
        ("[reminders]\ncritical_every = 'off'\n", Severity.critical, None),
        ("[reminders]\nwarning_every = '12h'\n", Severity.warning, timedelta(hours=12)),
        ("[reminders]\ninfo_every = '90m'\n", Severity.info, timedelta(minutes=90)),
    ],
)
def test_each_severity_has_its_interval_of_reminders(
    tmp_path: Path, text: str, severity: Severity, expected: timedelta | None
) -> None:
    assert load(tmp_path, GOOD + text).reminders.interval(severity) == expected


def test_a_rule_with_every_key(tmp_path: Path) -> None:
    text = """
[[rules]]
name = "all.of-it_1"
match = { numbers = ["+4930*", "0049 40 123"], ids = ["a"], environments = ["production"], countries = ["DE"], types = ["local"], capabilities = ["voice", "fax"], labels = ["vip"], owners = ["Ann"], auto_renewal = false, cost_at_least = 0.1, cost_at_most = "20.00", currencies = ["EUR"] }
warn_days = [30, 0]
auto_renewal_warn_days = []
severities = { "renewal.*" = "critical", "price.changed" = "info" }
mute = ["number.added"]
channels = ["mail"]
add_channels = ["chat"]
escalate_to = []
owner = "Ann"
[[rules]]
name = "nothing"
"""
    first, second = load(tmp_path, GOOD + text).rules
    assert first == Rule(
        name="all.of-it_1",
        match=Match(
            numbers=("+4930*", "0049 40 123"),
            ids=("a",),
            environments=("production",),
            countries=("DE",),
            types=("local",),
            capabilities=("voice", "fax"),
            labels=("vip",),
            owners=("Ann",),
            auto_renewal=False,
            cost_at_least=Decimal("0.1"),  # as written, not as a float has it
            cost_at_most=Decimal("20.00"),
            currencies=("EUR",),
        ),
        warn_days=(30, 0),
        auto_renewal_warn_days=(),
        severities={"renewal.*": "critical", "price.changed": "info"},
        mute=("number.added",),
        channels=("mail",),
        add_channels=("chat",),
        escalate_to=(),
        owner="Ann",
    )
    assert second == Rule(name="nothing", match=Match())


def test_rules_reach_those_who_judge_and_those_who_tell(tmp_path: Path) -> None:
    found = load(tmp_path, RULE + "warn_days = [90]\n[reminders]\nlapse_days = 5\n")
    policy = found.policy(found.environments[0])
    assert (policy.rules, policy.horizons, policy.lapse_days) == (found.rules, (90, 3), 5)
    assert Routing.of(found).rules == found.rules


@pytest.mark.parametrize(
    "text",
    [
        "quiet_hours = ['22:00-07:00', 'sat,sun 00:00-24:00']\ntimezone = 'Europe/Berlin'\ncritical_at_once = false\n",
        "digest = 'daily 08:00'\ndigest_when_empty = true\n",
        "digest = 'weekly mon 08:00'\n",
        "digest = '0 8 * * 1-5'\n",
        "fallback = 'mail'\nfallback_after = '5m'\nmax_per_hour = 1\n",
        "by_rule_only = true\nformat = 'html'\nmask_numbers = true\n",
        "quiet_hours = []\ndigest = 'daily 08:00'\n",  # none is none
    ],
)
def test_good_channels(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, CHANNEL + text).channel("c").name == "c"


@pytest.mark.parametrize(
    ("kinds", "channels", "kind", "channel", "expected"),
    [
        (("*",), None, "renewal.due", "mail", True),
        (("renewal.*",), None, "renewal.due", "mail", True),
        (("renewal.*",), None, "price.changed", "mail", False),
        (("price.*", "renewal.due"), ("mail",), "renewal.due", "mail", True),
        (("*",), ("mail",), "renewal.due", "chat", False),
    ],
)
def test_a_template_is_for_its_kinds_on_its_channels(
    kinds: tuple[str, ...], channels: tuple[str, ...] | None, kind: str, channel: str, expected: bool
) -> None:
    assert Template(kinds=kinds, channels=channels, body="x").is_for(kind, channel) is expected


def test_the_inventory_is_found_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(tmp_path, GOOD + "[inventory]\nfile = '~/numbers.csv'\n").inventory_path == tmp_path / "numbers.csv"


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        # rules
        ("rules = 3\n" + GOOD, "rules: write it as [[rules]]"),
        (GOOD + "[rules]\nname = 'r'\n", "rules: write it as [[rules]]"),
        (GOOD + "[[rules]]\nowner = 'Ann'\n", "rules.1.name: is missing"),
        (GOOD + "[[rules]]\nname = 'my rule'\n", "rules.my rule.name: a name has up to 64 letters"),
        (RULE + RULE.removeprefix(GOOD), "rules.r: the name is used twice"),
        (RULE + "warn_day = [3]\n", "rules.r.warn_day: unknown key; did you mean warn_days?"),
        (RULE + "warn_days = []\n", "rules.r.warn_days: expected a list with at least one value"),
        (RULE + "warn_days = 3\n", "rules.r.warn_days: expected a list"),
        (RULE + "warn_days = [366]\n", "rules.r.warn_days: expected a whole number <= 365"),
        (RULE + "warn_days = [-1]\n", "rules.r.warn_days: expected a whole number >= 0"),
        (RULE + "warn_days = [true]\n", "rules.r.warn_days: expected a whole number, got true or false"),
        (
            RULE + "auto_renewal_warn_days = ['3']\n",
            "rules.r.auto_renewal_warn_days: expected a whole number, got text",
        ),
        (RULE + "owner = 3\n", "rules.r.owner: expected text in quotes, got a whole number"),
        (RULE + "severities = 'critical'\n", "rules.r.severities: expected a table, got text in quotes"),
        (RULE + "severities = { 'renewal.due' = 'loud' }\n", "rules.r.severities: unknown value 'loud'"),
        (
            RULE + "severities = { 'renewal.deu' = 'info' }\n",
            "rules.r.severities: 'renewal.deu' matches no kind of alert; did you mean renewal.due?",
        ),
        (RULE + "mute = 'renewal.due'\n", "rules.r.mute: expected a list, got text in quotes"),
        (
            RULE + "mute = ['renewal.*', 'numbers.added']\n",
            "rules.r.mute: 'numbers.added' matches no kind of alert; did you mean number.added?",
        ),
        (RULE + "channels = []\n", "rules.r.channels: expected a list with at least one value"),
        (RULE + "channels = ['maill']\n", "rules.r.channels: there is no channel called 'maill'; did you mean mail?"),
        (RULE + "add_channels = ['phone']\n", "rules.r.add_channels: there is no channel called 'phone'"),
        (RULE + "escalate_to = ['boss']\n", "rules.r.escalate_to: there is no channel called 'boss'"),
        # whom a rule matches
        (RULE + "match = []\n", "rules.r.match: write it as match = { … }"),
        (RULE + "match = 'all'\n", "rules.r.match: write it as match = { … }"),
        (RULE + "match = { number = ['+49*'] }\n", "rules.r.match.number: unknown key; did you mean numbers?"),
        (RULE + "match = { when = 3 }\n", "rules.r.match.when: unknown key; known here: numbers, ids, environments"),
        (RULE + "match = { numbers = [] }\n", "rules.r.match.numbers: expected a list with at least one value"),
        (RULE + "match = { numbers = '+49*' }\n", "rules.r.match.numbers: expected a list"),
        (RULE + "match = { numbers = [49301] }\n", "rules.r.match.numbers: expected text in quotes"),
        (
            RULE + "match = { numbers = ['front desk'] }\n",
            "rules.r.match.numbers: 'front desk' is not a number; write it like +493012345 or +4930*",
        ),
        (RULE + "match = { numbers = ['*'] }\n", "rules.r.match.numbers: '*' is not a number"),
        (RULE + "match = { numbers = ['+*'] }\n", "rules.r.match.numbers: '+*' is not a number"),
        (RULE + "match = { numbers = ['00*'] }\n", "rules.r.match.numbers: '00*' is not a number"),  # would be all
        (RULE + "match = { numbers = ['00'] }\n", "rules.r.match.numbers: '00' is not a number"),
        (RULE + "match = { numbers = ['+49*30'] }\n", "rules.r.match.numbers: '+49*30' is not a number"),
        (RULE + "match = { numbers = ['+٤٩*'] }\n", "rules.r.match.numbers: '+٤٩*' is not a number"),
        (RULE + "match = { ids = [''] }\n", "rules.r.match.ids: expected text in quotes of length >= 1"),
        (RULE + "match = { ids = [7] }\n", "rules.r.match.ids: expected text in quotes, got a whole number"),
        (
            RULE + "match = { environments = ['prodution'] }\n",
            "rules.r.match.environments: there is no environment called 'prodution'; did you mean production?",
        ),
        (
            RULE + "match = { capabilities = ['SMS'] }\n",
            "rules.r.match.capabilities: unknown value 'SMS'",
        ),
        (RULE + "match = { auto_renewal = 'no' }\n", "rules.r.match.auto_renewal: expected true or false"),
        (RULE + "match = { cost_at_least = true }\n", "rules.r.match.cost_at_least: "),
        (RULE + "match = { cost_at_least = 'dear' }\n", "rules.r.match.cost_at_least: "),
        # channels
        (CHANNEL + "by_rule_only = 1\n", "channels.c.by_rule_only: expected true or false"),
        (CHANNEL + "format = 'rtf'\n", "channels.c.format: unknown value 'rtf'; write one of: text, markdown, html"),
        (CHANNEL + "mask_numbers = 'yes'\n", "channels.c.mask_numbers: expected true or false"),
        (CHANNEL + "timezone = 'Berlin'\n", "channels.c.timezone: 'Berlin' is not a zone of the IANA database"),
        (CHANNEL + "timezone = ''\n", "channels.c.timezone: '' is not a zone of the IANA database"),
        (CHANNEL + "quiet_hours = '22:00-07:00'\n", "channels.c.quiet_hours: expected a list"),
        (CHANNEL + "quiet_hours = [22]\n", "channels.c.quiet_hours: expected text in quotes"),
        (
            CHANNEL + "quiet_hours = ['22:00-22:00']\n",
            "channels.c.quiet_hours: '22:00-22:00' starts when it ends; write 00:00-24:00 for a whole day",
        ),
        (CHANNEL + "quiet_hours = ['25:00-07:00']\n", "channels.c.quiet_hours: '25:00' in '25:00-07:00' is not a time"),
        (
            CHANNEL + "quiet_hours = ['nights']\n",
            "channels.c.quiet_hours: 'nights' is not understood; write 22:00-07:00",
        ),
        (CHANNEL + "quiet_hours = ['so 22:00-07:00']\n", "channels.c.quiet_hours: 'so' in 'so 22:00-07:00' is not a"),
        (CHANNEL + "quiet_hours = ['00:00-24:00']\n", "channels.c.quiet_hours: the quiet hours never end"),
        (CHANNEL + "critical_at_once = 'no'\n", "channels.c.critical_at_once: expected true or false"),
        (CHANNEL + "digest = true\n", "channels.c.digest: expected text in quotes, got true or false"),
        (CHANNEL + "digest = ''\n", "channels.c.digest: '' is not understood; write daily 08:00"),
        (CHANNEL + "digest = 'monthly'\n", "channels.c.digest: 'monthly' is not understood; write daily 08:00"),
        (CHANNEL + "digest = 'daily 24:00'\n", "channels.c.digest: '24:00' in 'daily 24:00' is not a time of day"),
        (CHANNEL + "digest = '0 0 31 2 *'\n", "channels.c.digest: '0 0 31 2 *' never comes"),
        (
            CHANNEL + "digest = 'daily 08:00'\nquiet_hours = ['22:00-07:00']\n",
            "channels.c.digest: a digest comes when its schedule says; leave quiet_hours out",
        ),
        (CHANNEL + "digest_when_empty = true\n", "channels.c.digest_when_empty: it needs a digest"),
        (CHANNEL + "max_per_hour = 0\n", "channels.c.max_per_hour: expected a whole number >= 1"),
        (CHANNEL + "max_per_hour = 10001\n", "channels.c.max_per_hour: expected a whole number <= 10000"),
        (CHANNEL + "fallback = 'c'\n", "channels.c.fallback: a channel cannot stand in for itself"),
        (CHANNEL + "fallback = 'mial'\n", "channels.c.fallback: there is no channel called 'mial'; did you mean mail?"),
        (CHANNEL + "fallback = ['mail']\n", "channels.c.fallback: expected text in quotes, got a list"),
        (CHANNEL + "fallback_after = '0m'\n", "channels.c.fallback_after: write a whole number and a unit"),
        # reminders, escalation, flapping
        ("reminders = 'daily'\n" + GOOD, "reminders: write it as [reminders]"),
        (GOOD + "[reminders]\nevery = '1d'\n", "reminders.every: unknown key"),
        (
            GOOD + "[reminders]\ncritical_every = 'never'\n",
            'reminders.critical_every: write a whole number and a unit, such as "6h" or "2d", or "off"',
        ),
        (GOOD + "[reminders]\nwarning_every = '0d'\n", "reminders.warning_every: write a whole number and a unit"),
        (GOOD + "[reminders]\ninfo_every = false\n", "reminders.info_every: expected text in quotes"),
        (GOOD + "[reminders]\nmax_times = -1\n", "reminders.max_times: expected a whole number >= 0"),
        (GOOD + "[reminders]\nlapse_days = 366\n", "reminders.lapse_days: expected a whole number <= 365"),
        (GOOD + "[[escalation]]\nafter = '1h'\n", "escalation: write it as [escalation]"),
        (GOOD + "[escalation]\nafter = 'off'\n", "escalation.after: write a whole number and a unit"),
        (GOOD + "[escalation]\nchannels = 'mail'\n", "escalation.channels: expected a list"),
        (GOOD + "[escalation]\nchannels = ['boss']\n", "escalation.channels: there is no channel called 'boss'"),
        (GOOD + "[flapping]\nchanges = 1\n", "flapping.changes: expected a whole number >= 2"),
        (GOOD + "[flapping]\nwithin = '1w'\n", "flapping.within: write a whole number and a unit"),
        (GOOD + "[flapping]\nwithn = '1d'\n", "flapping.withn: unknown key; did you mean within?"),
        # inventory, canary, privacy
        ("inventory = 'numbers.csv'\n" + GOOD, "inventory: write it as [inventory]"),
        (GOOD + "[inventory]\nfile = 3\n", "inventory.file: expected text in quotes, got a whole number"),
        (GOOD + "[inventory]\npath = 'x'\n", "inventory.path: unknown key; known here: file"),
        (GOOD + "[canary]\nschedule = 'daily 08:00'\n", "canary.channel: is missing; name the channel"),
        (GOOD + "[canary]\nwithin = '1h'\n", "canary.channel: is missing; name the channel"),
        (GOOD + "[canary]\nchannel = 'bird'\n", "canary.channel: there is no channel called 'bird'"),
        (GOOD + "[canary]\nchannel = ''\n", "canary.channel: there is no channel called ''"),
        (GOOD + "[canary]\nchannel = 3\n", "canary.channel: expected text in quotes, got a whole number"),
        (
            GOOD + "[canary]\nchannel = 'mail'\nschedule = 'often'\n",
            "canary.schedule: 'often' is not understood; write daily 08:00, weekly mon 08:00 or a cron line",
        ),
        (GOOD + "[canary]\nchannel = 'mail'\nwithin = '30'\n", "canary.within: write a whole number and a unit"),
        (GOOD + "[privacy]\nmask_in_logs = 'yes'\n", "privacy.mask_in_logs: expected true or false"),
        (GOOD + "[privacy]\nmask = true\n", "privacy.mask: unknown key; known here: mask_in_logs"),
        # templates
        ("templates = ['x']\n" + GOOD, "templates: write it as [[templates]]"),
        (GOOD + "[templates]\nbody = 'x'\n", "templates: write it as [[templates]]"),
        (TEMPLATE, "templates.1: it has neither subject nor body"),
        (TEMPLATE + "body = 'x'\n[[templates]]\nkinds = ['*']\n", "templates.2: it has neither subject nor body"),
        (TEMPLATE + "body = 'x'\nkinds = []\n", "templates.1.kinds: expected a list with at least one value"),
        (
            TEMPLATE + "body = 'x'\nkinds = ['renewals.*']\n",
            "templates.1.kinds: 'renewals.*' matches no kind of alert",
        ),
        (TEMPLATE + "body = 'x'\nchannels = ['mial']\n", "templates.1.channels: there is no channel called 'mial'"),
        (TEMPLATE + "body = 'x'\nchannels = []\n", "templates.1.channels: expected a list with at least one value"),
        (TEMPLATE + "body = 3\n", "templates.1.body: expected text in quotes, got a whole number"),
        (TEMPLATE + "body = 'x'\ntitle = 'y'\n", "templates.1.title: unknown key; known here: kinds, channels"),
    ],
)
def test_a_fault_names_its_key_and_what_to_do(tmp_path: Path, text: str, fault: str) -> None:
    found = faults(tmp_path, text)
    assert any(one.startswith(fault) for one in found), found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (RULE + "severities = { 'renewal.due' = 'loud' }\n", "info, warning, critical"),
        (RULE + "match = { capabilities = ['SMS'] }\n", "voice, sms, mms, fax, whatsapp"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(tmp_path: Path, text: str, words: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert fault.endswith(f"; write one of: {words}")


@pytest.mark.parametrize("amount", ["nan", "-nan", "'NaN'", "'sNaN'"])
@pytest.mark.parametrize("key", ["cost_at_least", "cost_at_most"])
def test_an_amount_that_nothing_can_be_compared_with_is_refused(tmp_path: Path, key: str, amount: str) -> None:
    (fault,) = faults(tmp_path, RULE + f"match = {{ {key} = {amount} }}\n")
    assert fault.startswith("rules.r.match")
    assert key in fault


@pytest.mark.parametrize("jargon", ["msgspec", "quotesing", "decimal string", "array", "object", "| null", "`", "$"])
def test_faults_are_in_the_words_of_a_person(tmp_path: Path, jargon: str) -> None:
    text = CHANNEL + "quiet_hours = 3\ndigest = []\nfallback = {}\ntimezone = 1\nmax_per_hour = 'x'\n"
    text += "[[rules]]\nname = 'r'\nowner = []\nmute = {}\nseverities = { 'renewal.due' = 1 }\nwarn_days = ['x']\n"
    text += "match = { cost_at_least = 'dear', cost_at_most = [], ids = 1, labels = [1], auto_renewal = 1 }\n"
    text += "[[templates]]\nsubject = []\nkinds = 1\n[reminders]\nmax_times = 'x'\n[canary]\nchannel = {}\n"
    assert jargon not in "\n".join(faults(tmp_path, text))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    text = CHANNEL + (
        "quiet_hours = ['x']\nfallback = 'y'\n[[rules]]\nname = 'r'\nmute = ['x']\nchannels = ['y']\n"
        "match = { numbers = ['x'], nubers = ['y'] }\nwarn_days = [999]\n[[templates]]\nkinds = ['z']\n"
        "[canary]\nwithin = '1y'\n[escalation]\nchannels = ['z']\n[flapping]\nchanges = 0\n[reminders]\nmax_times = 'x'\n"
    )
    found = faults(tmp_path, text)
    for key in (
        "channels.c.quiet_hours",
        "channels.c.fallback",
        "rules.r.mute",
        "rules.r.channels",
        "rules.r.match.numbers",
        "rules.r.match.nubers",
        "rules.r.warn_days",
        "templates.1.kinds",
        "templates.1: it has neither",
        "canary.within",
        "canary.channel",
        "escalation.channels",
        "flapping.changes",
        "reminders.max_times",
    ):
        assert any(one.startswith(key) for one in found), (key, found)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (GOOD + f'[reminders]\ncritical_every = "6h{LINE}"\n', "reminders.critical_every"),
        (GOOD + f'[reminders]\ncritical_every = "off{LINE}"\n', "reminders.critical_every"),
        (GOOD + f'[escalation]\nafter = "4h{LINE}"\n', "escalation.after"),
        (GOOD + f'[flapping]\nwithin = "4h{LINE}"\n', "flapping.within"),
        (CHANNEL + f'fallback_after = "4h{LINE}"\n', "channels.c.fallback_after"),
        (GOOD.replace("token =", f'poll_every = "6h{LINE}"\ntoken ='), "environments.production.poll_every"),
        (GOOD + f'[[rules]]\nname = "r{LINE}"\n', "rules.r\n.name"),
        (GOOD.replace('"chat"', f'"chat{LINE}"'), "channels.chat\n.name"),
    ],
)
def test_a_line_break_at_the_end_is_refused_at_once_and_does_not_fail_later(
    tmp_path: Path, text: str, place: str
) -> None:
    assert any(one.startswith(f"{place}: ") for one in faults(tmp_path, text))


def test_a_rule_that_is_named_twice_is_told_once(tmp_path: Path) -> None:
    assert faults(tmp_path, RULE + "[[rules]]\nname = 'r'\n[[rules]]\nname = 'r'\n") == [
        "rules.r: the name is used twice"
    ]


def test_rules_without_names_are_told_apart_in_all_their_faults(tmp_path: Path) -> None:
    found = faults(tmp_path, GOOD + "[[rules]]\nname = 'r'\n[[rules]]\nmatch = { environments = ['x'] }\n")
    assert found == ["rules.2.name: is missing", "rules.2.match.environments: there is no environment called 'x'"]


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_rules_are_shown_and_secrets_are_not(tmp_path: Path) -> None:
    text = RULE + "match = { numbers = ['+49*'], cost_at_least = 1.50 }\nadd_channels = ['chat']\nmute = []\n"
    text += "[[templates]]\nsubject = '{{ number }}'\n[canary]\nchannel = 'mail'\n[inventory]\nfile = '/numbers.csv'\n"
    written = json.dumps(loading.shown(load(tmp_path, text)))
    shown = json.loads(written)
    assert shown["rules"] == [
        {
            "name": "r",
            "match": {"numbers": ["+49*"], "cost_at_least": "1.5"},
            "warn_days": None,
            "auto_renewal_warn_days": None,
            "severities": {},
            "mute": [],
            "channels": None,
            "add_channels": ["chat"],
            "escalate_to": None,
            "owner": None,
        }
    ]
    assert shown["templates"][0]["subject"] == "{{ number }}"
    assert (shown["canary"]["channel"], shown["inventory"]["file"]) == ("mail", "/numbers.csv")
    for secret in ("first-secret", "second-secret", "client_of_another_brand"):
        assert secret not in written


def test_faults_of_rules_and_channels_show_no_secret(tmp_path: Path) -> None:
    text = CHANNEL + "fallback = 'json://localhost/second-secret'\nquiet_hours = ['json://localhost/third-secret']\n"
    text += "[[rules]]\nname = 'r'\nchannels = ['json://localhost/first-secret', 'client_of_another_brand']\n"
    found = "\n".join(faults(tmp_path, text))
    for secret in ("first-secret", "second-secret", "third-secret", "client_of_another_brand"):
        assert secret not in found


def test_the_schema_for_editors_knows_every_section_and_key() -> None:
    schema = json_schema()
    parts = schema["$defs"]
    assert set(parts["File"]["properties"]) == set(File.__struct_fields__)
    for section in (
        Rule,
        Match,
        Channel,
        Reminders,
        Escalation,
        Flapping,
        InventoryFile,
        Canary,
        Privacy,
        Template,
    ):
        assert set(parts[section.__name__]["properties"]) == set(section.__struct_fields__)
        assert parts[section.__name__]["additionalProperties"] is False
    json.dumps(schema)


# --- whatever is written ----------------------------------------------------------------------------------------------


def toml(value: Any) -> str:
    """``value`` as TOML writes it, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(str(key))} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value)  # int, and float with nan and inf


WORDS = """* +49* 00* mail chat c r production renewal.* renewal.due off 1d nan NaN sNaN 1e9 22:00-07:00 22:00-22:00 UTC
Europe [ 999999d info critical voice /etc/passwd ~x/y {{number}} [!a]* 999999999999999999999999999999"""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "6h\n", "daily 08:00", "0 8 * * 1", *WORDS.split()]
)
SCALARS = (
    TEXTS | st.booleans() | st.integers(-(2**70), 2**70) | st.integers(-2, 400) | st.floats() | st.dates() | st.times()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.text(string.ascii_lowercase), inner, max_size=3)
    ),
    max_leaves=6,
)
SECTIONS: dict[str, tuple[type[Any], bool]] = {
    "inventory": (InventoryFile, False),
    "reminders": (Reminders, False),
    "escalation": (Escalation, False),
    "flapping": (Flapping, False),
    "canary": (Canary, False),
    "privacy": (Privacy, False),
    "rules": (Rule, True),
    "templates": (Template, True),
    "channels": (Channel, True),
}


def odd_table(section: type[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A table with keys of the section and values of any kind."""
    likely: st.SearchStrategy[Any] = VALUES | st.lists(TEXTS, max_size=2)
    keys: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(section.__struct_fields__, likely)
    if section is Rule:
        keys["match"] = VALUES | st.fixed_dictionaries({}, optional=dict.fromkeys(Match.__struct_fields__, likely))
        keys["severities"] = VALUES | st.dictionaries(TEXTS, TEXTS, max_size=2)
    given_ = {"name": st.just("r")} if section is Rule else {}
    if section is Channel:
        given_ = {"name": st.just("c"), "url": st.just("json://localhost/x")}
    return st.fixed_dictionaries(given_, optional={key: one for key, one in keys.items() if key not in given_})


@st.composite
def odd_files(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(list(SECTIONS)), min_size=1, max_size=3, unique=True)):
        section, is_repeated = SECTIONS[name]
        table = odd_table(section)
        found[name] = draw(st.one_of(st.lists(table, max_size=2) if is_repeated else table, VALUES))
    return found


NUMBERS = (PhoneNumber(id="1", number="+49301", monthly_renewal_cost=Decimal(5)), PhoneNumber(id=2), None)


def use(found: Settings) -> None:
    """What the watch does first with any settings."""
    routing = Routing.of(found)
    assert routing.mark
    for severity in Severity:
        found.reminders.interval(severity)
    for text in (found.escalation.after, found.flapping.within, found.canary.within):
        assert duration(text)
    for number in NUMBERS:
        said = selectors.effective(selectors.Fitting(found.rules), selectors.subject("production", number, {}))
        said.severity("renewal.due", Severity.warning)
        said.muted_by("renewal.due")
    for channel in found.channels:
        assert T0 + duration(channel.fallback_after) > T0
    assert found.policy(found.environments[0]).horizons
    assert found.inventory_path is None or found.inventory.file
    assert "client_of_another_brand" not in json.dumps(loading.shown(found))


@few(80, suppress_health_check=list(HealthCheck))
@given(odd_files())
@example({"rules": [{"name": "r", "match": {"cost_at_least": float("nan")}}]})
@example({"rules": [{"name": "r", "match": {"cost_at_most": "sNaN"}}]})
@example({"rules": [{"name": "r", "severities": {"renewal.due": "critical"}, "match": {"ids": ["1"]}}]})
@example({"reminders": {"critical_every": "6h\n"}})
@example({"reminders": {"warning_every": "999999d", "max_times": 2**64}})
@example({"escalation": {"after": "off\n"}})
@example({"flapping": {"changes": 10**400}})
@example({"canary": [{"channel": "mail"}]})
@example({"templates": {"name": ["x"]}})
@example({"channels": [{"name": ["x"], "fallback": {}, "quiet_hours": {"22:00-07:00": 1}}]})
@example({"channels": [{"name": "c", "url": "json://localhost/x", "timezone": "../etc/passwd"}]})
@example({"rules": [{"name": "r", "mute": ["[", "[!]", "[z-a]*", "*" * 200]}]})
@example({"inventory": {"file": "~nobody-at-all/x"}})
def test_any_table_is_either_right_and_works_or_named_as_a_fault(
    tmp_path_factory: pytest.TempPathFactory, tables: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.toml"
    own = "".join(f"{name} = {toml(table)}\n" for name, table in tables.items())
    path.write_text(own + (ENVIRONMENT if "channels" in tables else GOOD))
    path.chmod(0o600)
    told: tuple[str, ...] = ()
    try:
        use(loading.load(path))
    except ConfigError as error:
        told = error.faults
        is_right = False
    else:
        is_right = True
    assert bool(told) is not is_right
    assert all(fault.startswith(str(path)) and "client_of_another_brand" not in fault for fault in told)
