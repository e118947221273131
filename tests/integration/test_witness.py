"""Whether a message that Apprise calls delivered was: what left the process, and what the service's answer says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from receivers import Answer, HttpReceiver

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.channels.witness import refusal
from renewal_watch.errors import ChannelError
from renewal_watch.model.alerts import Message, Severity

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def plugins() -> dict[str, dict[str, Any]]:
    """What each of Apprise's plugins did with a message of each severity, by the name of its class."""
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "every_plugin.py")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return {one["plugin"]: one for one in map(json.loads, done.stdout.splitlines())}


def test_no_plugin_has_a_message_delivered_for_which_nothing_left(plugins: dict[str, dict[str, Any]]) -> None:
    tried = {name: one["told"] for name, one in plugins.items() if one["told"]}
    asked = [name for name, told in tried.items() if told["ours critical"]["left"]]
    assert len(plugins) >= 180
    assert len(asked) >= 150, "nearly all can be tried"
    for name, told in tried.items():
        for stage, one in told.items():
            assert one["left"] or one["error"], (name, stage)


def test_the_plugins_that_drop_information_are_known_and_made_to_send_it(plugins: dict[str, dict[str, Any]]) -> None:
    def drops(stage: str) -> set[str]:
        return {
            name
            for name, one in plugins.items()
            if one["told"] and not one["told"][f"{stage} info"]["left"] and one["told"][f"{stage} warning"]["left"]
        }

    assert drops("bare") == {"NotifyOpsgenie", "NotifyJira"}
    assert drops("ours") == set()


@pytest.mark.parametrize(
    ("scheme", "body", "said"),
    [
        ("dingtalk", '{"errcode": 310000, "errmsg": "keywords not in content"}', "keywords not in content (310000)"),
        ("dingtalk", '{"errcode": 0, "errmsg": "ok"}', None),
        ("wecombot", '{"errcode": 93000, "errmsg": "invalid webhook url"}', "invalid webhook url (93000)"),
        ("wecombot", '{"errcode": 0, "errmsg": "ok"}', None),
        ("feishu", '{"code": 19024, "msg": "Key Words Not Found", "data": {}}', "Key Words Not Found (19024)"),
        ("feishu", '{"StatusCode": 19001, "StatusMessage": "bad"}', "bad (19001)"),
        ("seven", '{"success": "100", "messages": [{"success": false, "error_text": "no"}]}', '"no"'),
        ("feishu", '{"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}', None),
        ("lark", '{"code": 9499, "msg": "Bad Request"}', "Bad Request (9499)"),
        ("vonage", '{"messages": [{"status": "4", "error-text": "Bad Credentials"}]}', "Bad Credentials (4)"),
        ("nexmo", '{"message-count": "1", "messages": [{"status": "0", "message-id": "x"}]}', None),
        ("synology", '{"error": {"code": 105, "errors": "no permission"}, "success": false}', "no permission"),
        ("synology", '{"success": true}', None),
        (
            "onesignal",
            '{"id": "", "recipients": 0, "errors": ["All included players are not subscribed"]}',
            "subscribed",
        ),
        ("onesignal", '{"id": ""}', "no recipient"),
        ("onesignal", '{"id": "x", "external_id": null}', None),
        ("seven", '{"success": "900", "total_price": 0}', "900"),
        ("seven", "900", "900"),
        ("seven", '{"success": "100", "messages": [{"success": true, "error": null}]}', None),
        ("seven", "100", None),
        ("bark", '{"code": 400, "message": "device token invalid"}', "device token invalid (400)"),
        ("bark", '{"code": 200, "message": "success"}', None),
        # any service whose answer can be taken for nothing but a no
        ("json", '{"ok": false, "description": "chat not found"}', "chat not found"),
        ("json", '{"success": false}', "false"),
        ("json", '{"status": "error", "message": "invalid token"}', "invalid token"),
        ("json", '{"errors": ["one", "two"]}', "one"),
        (
            "json",
            '{"error_code": 21211, "error_message": "invalid number", "status": "queued"}',
            "invalid number (21211)",
        ),
        ("json", '{"error_code": null, "error_message": null, "status": "queued"}', None),
        ("json", '{"error": "", "errors": [], "status": "success", "ok": true}', None),
        ("json", '{"id": "x", "status": 1, "request": "y"}', None),
        ("json", "ok", None),
        ("json", "", None),
        ("json", "[]", None),
        ("json", "\x00\xff", None),
    ],
)
def test_an_answer_of_success_that_says_no_is_a_refusal(scheme: str, body: str, said: str | None) -> None:
    found = refusal(scheme, body.encode("latin-1"))
    assert (found is None) == (said is None)
    assert said is None or said in (found or "")


def message(severity: Severity = Severity.critical) -> Message:
    return Message(message_id="rw-1", title="a title", body="a body", severity=severity)


@pytest.mark.parametrize(
    ("url", "answer", "error"),
    [
        ("synology://127.0.0.1:{port}/token", '{"success": true}', None),
        ("synology://127.0.0.1:{port}/token", '{"error": {"code": 404}, "success": false}', "answered 200 and refused"),
        ("json://127.0.0.1:{port}/", '{"ok": true}', None),
        ("json://127.0.0.1:{port}/", '{"ok": false, "description": "no such chat"}', "no such chat"),
        ("json://127.0.0.1:{port}/", "<html>welcome</html>", None),
    ],
)
def test_the_child_judges_the_service_s_own_answer(web: HttpReceiver, url: str, answer: str, error: str | None) -> None:
    web.answers(Answer(body=answer.encode()))
    channel = AppriseChannel("ops", lambda: url.format(port=web.port))
    try:
        if error is None:
            channel.send(lambda _: message())
        else:
            with pytest.raises(ChannelError, match=error):
                channel.send(lambda _: message())
    finally:
        channel.close()
    assert len(web.requests) == 1


def test_a_message_that_makes_no_request_is_not_delivered() -> None:
    channel = AppriseChannel("ops", lambda: "opsgenie://01234567-89ab-cdef-0123-456789abcdef?:info=close")
    try:
        with pytest.raises(ChannelError, match="nothing was sent"):
            channel.send(lambda _: message(Severity.info))
    finally:
        channel.close()
