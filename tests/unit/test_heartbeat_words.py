"""What a dead-man's switch is told, where, and which answer is none: pure tables."""

from __future__ import annotations

import pytest

from renewal_watch.operations import heartbeat
from renewal_watch.operations.heartbeat import START, Ping
from renewal_watch.operations.poll import Polled
from renewal_watch.provider.http import Answer
from renewal_watch.text import REDACTOR

GOOD = Polled(environment="production", numbers=120, changed=3, alerts=2)
HC = "https://hc.test/0e1f"
KUMA = "https://kuma.test/api/push/abc123?status=up&msg=OK&ping="


@pytest.mark.parametrize(
    ("polled", "overdue", "told"),
    [
        (GOOD, {}, Ping(signal="success", text="120 numbers, 3 changed, 2 new alerts, 2 messages wait")),
        (
            GOOD,
            {"pager": 1, "ops": 2},
            Ping(
                signal="fail", text="the poll is good, but messages wait since more than 15 min: 2 for ops, 1 for pager"
            ),
        ),
        (
            Polled(environment="production", error="the provider has trouble (HTTP 503)"),
            {},
            Ping(signal="fail", text="the poll failed: the provider has trouble (HTTP 503)"),
        ),
        (Polled(environment="production", skipped="another process polled it meanwhile"), {}, None),
        (
            Polled(environment="production", skipped="the provider asked for a pause", error="the same"),
            {"ops": 1},
            None,
        ),
    ],
)
def test_a_poll_s_outcome(polled: Polled, overdue: dict[str, int], told: Ping | None) -> None:
    assert heartbeat.outcome(polled, overdue, 2) == told


def test_a_reason_holds_no_secret_no_number_and_has_an_end() -> None:
    REDACTOR.learn("talq_secret")
    said = heartbeat.failure("token talq_secret of +15550001234 " + "x" * 5000).text
    assert "talq_secret" not in said
    assert "+15550001234" not in said
    assert len(said) <= 1000


@pytest.mark.parametrize(
    ("url", "start", "success", "fail"),
    [
        (HC, f"{HC}/start", HC, f"{HC}/fail"),
        (f"{HC}/", f"{HC}/start", f"{HC}/", f"{HC}/fail"),
        (f"{HC}?create=1", f"{HC}/start?create=1", f"{HC}?create=1", f"{HC}/fail?create=1"),
        (
            "https://u:p@hc.test:8000/ping/k/slug",
            *(f"https://u:p@hc.test:8000/ping/k/slug{e}" for e in ("/start", "", "/fail")),
        ),
        (
            KUMA,
            None,
            "https://kuma.test/api/push/abc123?status=up&msg=120+numbers&ping=",
            "https://kuma.test/api/push/abc123?status=down&msg=no+%26+%E2%80%A6&ping=",
        ),
    ],
)
def test_where_a_ping_goes(url: str, start: str | None, success: str, fail: str) -> None:
    pings = (START, Ping(signal="success", text="120 numbers"), Ping(signal="fail", text="no & …"))
    asked = [heartbeat.request(url, ping) for ping in pings]
    assert [None if one is None else one.url for one in asked] == [start, success, fail]
    method = "GET" if url == KUMA else "POST"
    assert {one.method for one in asked if one is not None} == {method}


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (200, b"OK", None),
        (200, b"", None),
        (204, b"", None),
        (201, b"Created", None),
        (200, b'{"ok":true}', None),
        (200, b"OK (not found)", "hc.test answered HTTP 200: OK (not found)"),
        (200, b"OK (rate limited)", "hc.test answered HTTP 200: OK (rate limited)"),
        (404, b"not found", "hc.test answered HTTP 404: not found"),
        (404, b"<html>", "hc.test answered HTTP 404"),
        (302, b"", "hc.test answered HTTP 302"),
        (500, b"no route to /0e1f\x1b[31m", "hc.test answered HTTP 500: no route to /∗∗∗ (31m"),
    ],
)
def test_which_answer_is_none(status: int, body: bytes, refused: str | None) -> None:
    assert heartbeat.refusal(Answer(status=status, headers={}, body=bytearray(body)), HC) == refused
