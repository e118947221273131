"""What each on-call service is asked, from what it was told last to how an incident stands; nobody is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
import pytest

from renewal_watch.channels.oncall import alertmanager, goalert, opsgenie, pagerduty
from renewal_watch.channels.oncall.services import SERVICES
from renewal_watch.channels.oncall.talk import By, Call, Report, State, Told, limited, shortened
from renewal_watch.model.alerts import Severity
from renewal_watch.settings.channel import ADDRESSES

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = "key-of-the-service"
LONG = "production/renewal.upcoming/" + "x" * 600
OPEN = Report(
    key="production/renewal.upcoming/phone-1/2026-11-25/3",
    state="open",
    severity=Severity.warning,
    topic="renewal",
    kind="renewal.upcoming",
    headline="+15550000001 will be lost in 2 days",
    text="+15550000001 (production) will be lost in 2 days.",
    todo="renew it",
    environment="production",
    number="+15550000001",
    number_id="phone-1",
    owner="Ada",
    opened_at=NOW,
    url="https://watch.example.org/numbers/production/phone-1",
)
ACKED = replace(OPEN, state="acknowledged", who="ann")
OVER = replace(OPEN, state="resolved")
WORSE = replace(OPEN, severity=Severity.critical)


def told(service: str, report: Report, state: State = "open", *, is_sure: bool = True) -> Told:
    """What a service was told when it was told of a report."""
    return Told(state, report.severity, SERVICES[service].remote(report, None, "here"), is_sure)


def calls(service: str, report: Report, before: Told | None, *answers: bytes) -> list[Call]:
    """All requests of one telling, each answered with the next of ``answers``."""
    one = SERVICES[service]
    talk = one.talk(report, before, By(one.remote(report, before, "here"), KEY, NOW))
    found = []
    left = iter(answers)
    try:
        found.append(next(talk))
        while True:
            found.append(talk.send(next(left, b"[]")))
    except StopIteration:
        return found


def acts(service: str, report: Report, before: Told | None) -> list[str]:
    """The requests in a word each."""
    return [_word(service, call) for call in calls(service, report, before)]


def _word(service: str, call: Call) -> str:
    if service == "pagerduty":
        return str(json.loads(call.body)["event_action"])
    if service == "goalert":
        return parse_qs(call.body.decode()).get("action", ["open"])[0]
    if service == "alertmanager":
        return f"{call.method} {call.path.removeprefix('/api/v2/').partition('?')[0]}"
    return call.path.partition("?")[0].split("/")[-1]


def test_there_is_one_for_each_that_can_be_configured() -> None:
    assert SERVICES.keys() == ADDRESSES.keys()


@pytest.mark.parametrize(
    ("service", "first", "acked", "known", "again", "over"),
    [
        ("pagerduty", ["trigger"], ["trigger", "acknowledge"], ["acknowledge"], ["trigger"], ["resolve"]),
        (
            "opsgenie",
            ["alerts"],
            ["alerts", "acknowledge"],
            ["acknowledge"],
            ["unacknowledge", "alerts", "priority"],
            ["close"],
        ),
        ("jira", ["alerts"], ["alerts", "acknowledge"], ["acknowledge"], ["alerts"], ["close"]),
        ("goalert", ["open"], ["open"], [], ["open"], ["close"]),
        (
            "alertmanager",
            ["POST alerts"],
            ["GET silences", "POST silences", "POST alerts"],
            ["GET silences", "POST silences", "POST alerts"],
            ["POST alerts", "GET silences"],
            ["POST alerts", "GET silences"],
        ),
    ],
)
def test_what_is_asked_in_which_order(
    service: str, first: list[str], acked: list[str], known: list[str], again: list[str], over: list[str]
) -> None:
    assert acts(service, OPEN, None) == first
    assert acts(service, ACKED, None) == acked
    assert acts(service, ACKED, told(service, OPEN)) == known
    assert acts(service, WORSE, told(service, OPEN, "acknowledged")) == again
    assert acts(service, OVER, told(service, OPEN, "acknowledged")) == over


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "alertmanager"])
def test_what_it_knows_is_not_told_again_unless_it_may_not(service: str) -> None:
    assert calls(service, OPEN, told(service, OPEN)) == []
    assert calls(service, ACKED, told(service, OPEN, "acknowledged")) == []
    assert len(calls(service, OPEN, told(service, OPEN, is_sure=False))) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_gone_ends_under_what_it_was_known_by(service: str) -> None:
    before = told(service, OPEN)
    gone = Report(key=before.remote.key, state="resolved", severity=OPEN.severity, topic="", opened_at=NOW)
    call = calls(service, gone, before)[0]
    said = unquote(call.body.decode() + call.path)
    assert before.remote.key in said
    if service == "alertmanager":
        assert json.loads(call.body)[0]["labels"] == before.remote.labels


def test_an_event_of_pagerduty() -> None:
    (call,) = calls("pagerduty", OPEN, None)
    assert (call.method, call.path) == ("POST", "/v2/enqueue")
    assert json.loads(call.body) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": OPEN.key,
        "client": "renewal-watch",
        "links": [{"href": OPEN.url, "text": "renewal-watch"}],
        "payload": {
            "summary": OPEN.headline,
            "source": "production",
            "severity": "warning",
            "timestamp": "2026-11-23T12:00:00.000Z",
            "component": "+15550000001",
            "group": "production",
            "class": "renewal.upcoming",
            "custom_details": {
                "text": OPEN.text,
                "incident": OPEN.key,
                "kind": "renewal.upcoming",
                "environment": "production",
                "number": "+15550000001",
                "number_id": "phone-1",
                "owner": "Ada",
                "what to do": "renew it",
                "opened at": "2026-11-23T12:00:00.000Z",
            },
        },
    }


def test_an_alert_of_opsgenie() -> None:
    (call,) = calls("opsgenie", OPEN, None)
    said = json.loads(call.body)
    assert (call.method, call.path) == ("POST", "/v2/alerts")
    assert said["alias"] == "production:renewal.upcoming:phone-1:2026-11-25:3"
    assert (said["message"], said["priority"], said["entity"]) == (OPEN.headline, "P3", "+15550000001")
    assert said["description"].endswith(f"\n{OPEN.url}")
    _, acknowledge = calls("opsgenie", ACKED, None)
    assert acknowledge.path == f"/v2/alerts/{said['alias'].replace(':', '%3A')}/acknowledge?identifierType=alias"
    assert json.loads(acknowledge.body)["user"] == "ann"
    assert opsgenie.headers(KEY) == {"Authorization": f"GenieKey {KEY}"}


def test_an_alert_of_goalert_is_a_form_and_its_token_a_header() -> None:
    (call,) = calls("goalert", OPEN, None)
    form = parse_qs(call.body.decode())
    assert call.content_type == "application/x-www-form-urlencoded"
    assert (form["summary"], form["dedup"]) == ([OPEN.headline], [OPEN.key])
    assert KEY not in call.path + call.body.decode()
    assert goalert.headers(KEY) == {"Authorization": f"Bearer {KEY}"}


def test_an_alert_of_alertmanager_lasts_longer_than_it_takes_to_be_told_again() -> None:
    (call,) = calls("alertmanager", OPEN, None)
    (alert,) = json.loads(call.body)
    assert alert["startsAt"] == "2026-11-23T12:00:00.000Z"
    assert alert["endsAt"] == "2026-11-23T12:30:00.000Z"
    assert alertmanager.LASTS > 3 * alertmanager.REFRESH
    assert alert["labels"]["severity"] == "warning"
    assert "kind" not in alert["labels"], "it changes while the incident lasts"


def test_another_severity_ends_the_labels_that_were() -> None:
    (call,) = calls("alertmanager", WORSE, told("alertmanager", OPEN))
    begun, ended = json.loads(call.body)
    assert (begun["labels"]["severity"], begun["endsAt"] > begun["startsAt"]) == ("critical", True)
    assert (ended["labels"]["severity"], ended["endsAt"]) == ("warning", "2026-11-23T12:00:00.000Z")
    over, before = json.loads(
        calls("alertmanager", replace(WORSE, state="resolved"), told("alertmanager", OPEN))[0].body
    )
    assert {over["endsAt"], before["endsAt"]} == {"2026-11-23T12:00:00.000Z"}, "whichever of them it took"


SILENCE: dict[str, Any] = {
    "id": "3f1f",
    "status": {"state": "active"},
    "comment": "renewal-watch: acknowledged",
    "matchers": [{"name": "incident", "value": OPEN.key, "isRegex": False, "isEqual": True}],
    "startsAt": "2026-11-23T11:00:00.000Z",
}


@pytest.mark.parametrize(
    ("changes", "is_ours"),
    [
        ({}, True),
        ({"comment": "bob is at it"}, False),
        ({"status": {"state": "expired"}}, False),
        ({"matchers": [*SILENCE["matchers"], {"name": "severity", "value": "info"}]}, False),
    ],
)
def test_a_silence_of_ours_is_found_again_and_no_other(changes: dict[str, Any], is_ours: bool) -> None:
    listed = json.dumps([SILENCE | changes]).encode()
    asked, silence, _ = calls("alertmanager", ACKED, told("alertmanager", OPEN), listed)
    assert unquote(asked.path) == f'/api/v2/silences?filter=incident="{OPEN.key}"'
    said = json.loads(silence.body)
    assert said.get("id") == ("3f1f" if is_ours else None)
    assert said["startsAt"] == ("2026-11-23T11:00:00.000Z" if is_ours else "2026-11-23T12:00:00.000Z")
    assert (said["createdBy"], said["endsAt"]) == ("ann", "2026-11-23T12:30:00.000Z")
    ends = calls("alertmanager", OVER, told("alertmanager", OPEN, "acknowledged"), b"", listed)[2:]
    assert [call.path for call in ends] == (["/api/v2/silence/3f1f"] if is_ours else [])


def test_an_answer_that_is_no_list_of_silences_is_a_fault() -> None:
    with pytest.raises(msgspec.MsgspecError):
        calls("alertmanager", ACKED, None, b'{"hello": 1}')


def test_a_quote_in_a_key_ends_no_matcher() -> None:
    asked, *_ = calls("alertmanager", replace(ACKED, key='a"b\\c'), None)
    assert unquote(asked.path).endswith('filter=incident="a\\"b\\\\c"')


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (None, {}),
        ("watch:secret", {"Authorization": "Basic d2F0Y2g6c2VjcmV0"}),
        ("token", {"Authorization": "Bearer token"}),
    ],
)
def test_what_lets_into_alertmanager(key: str | None, headers: dict[str, str]) -> None:
    assert alertmanager.headers(key) == headers


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("renewal", "RenewalWatchRenewal"),
        ("last chance", "RenewalWatchLastChance"),
        ("top-up", "RenewalWatchTopUp"),
        ("channel ops", "RenewalWatchChannel"),
        ("environments a.toml on host", "RenewalWatchEnvironments"),
    ],
)
def test_an_alert_is_called_by_what_it_is_about(topic: str, name: str) -> None:
    assert alertmanager.labels_of(replace(OPEN, topic=topic), OPEN.key)["alertname"] == name


@pytest.mark.parametrize(("service", "most"), [("pagerduty", 255), ("opsgenie", 512), ("jira", 512), ("goalert", 512)])
def test_a_long_key_keeps_its_beginning_and_is_still_its_own(service: str, most: int) -> None:
    made = SERVICES[service].key_of
    assert len(made(LONG)) == most
    assert made(LONG) != made(LONG + "y")
    assert made(LONG) == made(LONG)
    assert made(LONG).replace(":", "/").startswith("production/renewal.upcoming/xxx")


def test_a_key_beyond_ascii_is_still_its_own() -> None:
    assert limited("a/ü", 255) != limited("a/ö", 255)
    assert limited("a/ü", 255).isascii()
    assert limited("a/b", 3) == "a/b"


def test_words_are_cut_to_what_a_service_takes() -> None:
    assert len(json.loads(calls("opsgenie", replace(OPEN, headline="x" * 500), None)[0].body)["message"]) == 130
    assert (
        len(json.loads(calls("pagerduty", replace(OPEN, headline="x" * 5000), None)[0].body)["payload"]["summary"])
        == 1024
    )
    assert shortened("a\nb", 130) == "a b"
    assert shortened("", 130) == "renewal-watch", "they refuse an empty one"
    assert pagerduty.SEVERITIES.keys() == opsgenie.PRIORITIES.keys() == set(Severity)


def test_time_goes_on_with_each_telling() -> None:
    one = SERVICES["alertmanager"]
    later = NOW + timedelta(hours=1)
    talk = one.talk(OPEN, None, By(one.remote(OPEN, None, "here"), None, later))
    assert json.loads(next(talk).body)[0]["endsAt"] == "2026-11-23T13:30:00.000Z"
