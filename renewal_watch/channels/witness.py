"""What a send through Apprise really did: whether anything left this process, and what the services answered.

Apprise calls a message delivered when its plugin says so. Some plugins make no request at all for some messages, and many
look at the status of an answer only, while the service says in a 200 that it refuses. So the child that sends looks itself:
an audit hook counts connections and datagrams, and the answers of HTTP requests are kept until they are judged.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from renewal_watch.text import plain

_LEAVES = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})  # sys.addaudithook: docs.python.org
_KEPT = 65_536  # bytes of an answer that are looked at
_NO = frozenset({"error", "fail", "failed", "failure", "nok", "rejected", "denied"})  # a status that is no success
_WORDS = ("message", "msg", "errmsg", "error", "errors", "detail", "description", "StatusMessage", "error_message")

Answer = Any  # what an answer says, as Python values; None for what is no JSON


class Witness:
    """Looks at one send after the other, in a process that does nothing else."""

    def __init__(self) -> None:
        self.left = 0
        self._answers: list[tuple[int, bytes]] = []

    @classmethod
    def installed(cls) -> Witness:
        """One that looks from now on, for as long as the process lives: an audit hook cannot be taken back."""
        one = cls()
        sys.addaudithook(one._notice)
        import requests  # noqa: PLC0415 (only the child pays for it; Apprise has it)

        request = requests.Session.send

        def send(session: requests.Session, asked: requests.PreparedRequest, **options: Any) -> requests.Response:
            answer = request(session, asked, **options)
            one.answered(answer.status_code, answer.content)
            return answer

        requests.Session.send = send  # type: ignore[method-assign, assignment]  # all come by here
        return one

    def begin(self) -> None:
        """A message is sent next."""
        self.left = 0
        self._answers.clear()

    def answered(self, status: int, body: bytes) -> None:
        """A service answered a request."""
        self.left += 1
        self._answers.append((status, body[:_KEPT]))

    def fault(self, scheme: str) -> str | None:
        """Why a message that Apprise calls delivered is not, None if it is."""
        if not self.left:
            return "nothing was sent: Apprise's plugin made no request for this message"
        for status, body in self._answers:
            if 200 <= status < 300 and (said := refusal(scheme, body)):  # noqa: PLR2004 (the successes)
                return f"the service answered {status} and refused: {plain(said)}"
        return None

    def _notice(self, event: str, _: tuple[Any, ...]) -> None:
        if event in _LEAVES:
            self.left += 1


def refusal(scheme: str, body: bytes) -> str | None:
    """What a service says in an answer of success when it refuses, None when it takes the message."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    own = _OWN.get(scheme)
    found = own(said, body) if own else None
    return found or (_in_general(said) if isinstance(said, dict) else None)


def _in_general(said: dict[str, Any]) -> str | None:
    """Answers that say no in a way that nobody can take for a yes."""
    is_no = (
        any(said.get(key) in (False, "false") for key in ("ok", "success"))
        or any(str(said.get(key)).lower() in _NO for key in ("status", "result", "state"))
        or said.get("errcode", 0) not in (0, "0", None)
        or any(said.get(key) not in (None, "", 0, "0", False, [], {}) for key in ("error", "errors", "error_code"))
    )
    return words(said) if is_no else None


def words(said: dict[str, Any]) -> str:
    """The service's own words, with its number of the fault."""
    found = next((said[key] for key in _WORDS if said.get(key) not in (None, "", False, [], {})), None)
    number = next((said[key] for key in ("errcode", "error_code", "code", "StatusCode") if said.get(key)), None)
    text = found if isinstance(found, str) else json.dumps(found if found is not None else said, ensure_ascii=False)
    return f"{text} ({number})" if number is not None and str(number) not in text else text


def _coded(*keys: str, good: str) -> Callable[[Answer, bytes], str | None]:
    """A service whose answer has a number, under one of these keys, that says whether it took the message."""

    def judge(said: Answer, _: bytes) -> str | None:
        is_no = isinstance(said, dict) and any(str(said.get(key, good)) != good for key in keys)
        return words(said) if is_no else None

    return judge


def _vonage(said: Answer, _: bytes) -> str | None:
    """Each message has a status, "0" for one that was taken."""
    messages = said.get("messages") if isinstance(said, dict) else None
    bad = [one for one in messages or () if isinstance(one, dict) and str(one.get("status", "0")) != "0"]
    return f"{bad[0].get('error-text') or 'status'} ({bad[0]['status']})" if bad else None


def _seven(said: Answer, body: bytes) -> str | None:
    """The number 100 is a message that was taken, by itself or as ``success``."""
    if isinstance(said, dict) and isinstance(said.get("messages"), list):
        refused = [one for one in said["messages"] if isinstance(one, dict) and one.get("success") is False]
        if refused:
            return words(refused[0]) or "a message was refused"
    code = str(said.get("success") if isinstance(said, dict) else body.decode("utf-8", "replace")).strip()
    return None if code in ("100", "101", "True", "true") or not code.isdecimal() else f"code {code}"


def _one_signal(said: Answer, _: bytes) -> str | None:
    """Without an id nobody was found to notify."""
    if not isinstance(said, dict) or said.get("id") != "":
        return None
    return words(said) if said.get("errors") else "it has no recipient"


def _synology(said: Answer, _: bytes) -> str | None:
    """``success`` is true for what was taken."""
    return words(said) if isinstance(said, dict) and not said.get("success", True) else None


_FEISHU = _coded("code", "StatusCode", good="0")  # its older robots say it in the other word
# Source: each service's page of its API. Where a service is not here, what ``_in_general`` knows must do.
_OWN: dict[str, Callable[[Answer, bytes], str | None]] = {
    "dingtalk": _coded("errcode", good="0"),
    "wecombot": _coded("errcode", good="0"),
    "feishu": _FEISHU,
    "lark": _FEISHU,
    "vonage": _vonage,
    "nexmo": _vonage,
    "synology": _synology,
    "synologys": _synology,
    "onesignal": _one_signal,
    "seven": _seven,
    "bark": _coded("code", good="200"),
    "barks": _coded("code", good="200"),
}
