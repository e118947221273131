"""The child process in which Apprise sends; see ``apprise``."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from renewal_watch.channels.apprise import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, threaded
from renewal_watch.channels.limits import MAIL, NOTES, NTFY, query, scheme_of, url_fault, without_pieces
from renewal_watch.channels.witness import Witness
from renewal_watch.model.alerts import Severity
from renewal_watch.text import plain

ORPHAN_S = 1.0  # a child ends itself this long after its deadline: a living parent was to kill it before


def _serve() -> None:
    """The child: one URL, then messages until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing a plugin prints gets between the answers

    def answer(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    first = json.loads(sys.stdin.readline())
    _die_at(first["ends"])
    url = str(first["url"])
    fault = url_fault(url)
    if fault:
        answer(fault=fault)
        return
    import apprise  # noqa: PLC0415 (only the child pays for it)

    witness = Witness.installed()
    asset = apprise.AppriseAsset(app_id="renewal-watch", http_redirects=False, service_timeout=0, secure_logging=True)
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if not isinstance(service, apprise.NotifyBase):
        answer(fault=f"Apprise does not understand this {plain(scheme_of(url))}:// URL; see appriseit.com/services")
        return
    fault = _service_fault(service)
    if fault:
        answer(fault=fault)
        return
    _tell_what_is_only_information(apprise, service)
    given = query(url)
    if "rto" not in given:
        service.socket_read_timeout = READ_TIMEOUT_S
    if "cto" not in given:
        service.socket_connect_timeout = CONNECT_TIMEOUT_S
    body, title = int(service.body_maxlen), int(service.title_maxlen)
    if service.overflow_amalgamate_title:
        body -= title + 2  # Discord and others send the title inside the body
    if service.resolve_format("text").value == "markdown":
        body = body * 3 // 4  # room for a backslash before each mark, which Apprise adds where a service knows no text
    _die_at(None)
    is_mail = scheme_of(url) in MAIL
    answer(body_limit=body, title_limit=title, html_as=service.resolve_format("html").value, is_mail=is_mail)
    for line in sys.stdin:
        message = json.loads(line)
        if time.monotonic() > message["begins"]:
            answer(late=True)
            continue
        _die_at(message["ends"])
        error = _deliver(apprise, service, asset, message, url, witness)
        _die_at(None)
        answer(**({"error": error} if error else {}))


def _die_at(ends: float | None) -> None:
    """Let the system end this process soon after ``ends`` of the monotonic clock, whatever a plugin does then."""
    if ends is None:
        signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        signal.setitimer(signal.ITIMER_REAL, max(ends - time.monotonic() + ORPHAN_S, 1e-6))


def _service_fault(service: Any) -> str | None:
    """Why a service is refused as Apprise understood it, in case it read the URL in another way than ``url_fault``."""
    if len(service) != 1:
        return f"it names {len(service)} targets; give each a channel of its own, so that each is told once"
    if service.body_max_line_count > 0:
        return f"it shows only {service.body_max_line_count} lines of a message"
    if service.optional or service.retry or service.redirects or service.overflow_mode.value != "upstream":
        return "optional, retry, redirect and overflow must be left at their defaults"
    return None


def _tell_what_is_only_information(apprise: Any, service: Any) -> None:
    """Have Opsgenie and Jira make an alert of information as well: a note on an alert that is not there is no request.

    What the URL says itself stays (``?:info=close``).
    """
    actions = getattr(service, "mapping", None)
    if scheme_of(service.url()) in NOTES and isinstance(actions, dict):
        info, warning = apprise.NotifyType.INFO, apprise.NotifyType.WARNING
        if str(getattr(actions.get(info), "value", actions.get(info))) == "note":
            actions[info] = actions[warning]


def _deliver(apprise: Any, service: Any, asset: Any, message: dict[str, Any], url: str, witness: Witness) -> str | None:
    """Why the message was not delivered, None if it was: Apprise's judgement, then ours (``witness``)."""
    witness.begin()
    if scheme_of(service.url()) in MAIL:
        service.headers |= {"Auto-Submitted": "auto-generated"} | threaded(message.get("thread"))
        _compose_as_meant(message)
    if scheme_of(service.url()) in NTFY and "actions" not in query(url):
        vars(service)["_NotifyNtfy__actions"] = _actions(message.get("buttons", []))
    outlet = apprise.Apprise(asset=asset)
    outlet.add(service)
    kind = {Severity.info.name: "info", Severity.warning.name: "warning", Severity.critical.name: "failure"}
    result = outlet.notify(
        title=message["title"],
        body=message["body"],
        notify_type=kind[message["severity"]],
        body_format=message.get("format", "text"),
    )
    attempts = [attempt for one in result.results for attempt in one.attempts]
    success = apprise.AppriseResultStatus.SUCCESS
    if result.status == success and attempts and all(attempt.status == success for attempt in attempts):
        told = witness.fault(scheme_of(url))
        return plain(without_pieces(told, url), 300) if told else None
    said = [entry.message for attempt in attempts for entry in attempt.logs if entry.level in ("WARNING", "ERROR")]
    told = "; ".join(said) or f"Apprise reports {result.status.name.lower()}"
    return plain(without_pieces(told, url), 300)  # in this order: what was made plain or cut is not found any more


def _actions(buttons: list[dict[str, Any]]) -> bytes | None:
    """Buttons as ntfy takes them in a header (docs.ntfy.sh/publish, "action buttons"); Apprise has them for a whole URL only."""
    made = [
        f"http, {one['label']}, {one['url']}, method=POST, clear=true"
        if one["is_act"]
        else f"view, {one['label']}, {one['url']}"
        for one in buttons
    ]
    return "; ".join(made).encode() if made else None


def _compose_as_meant(message: dict[str, Any]) -> None:
    """Give all tries of a mail one Message-ID, and an HTML mail our own text beside it.

    Apprise makes a new id for each try, so that a mail that arrived twice cannot be told, and a text of the tags.
    """
    from apprise.plugins.email import base as email  # noqa: PLC0415 (only the child pays for it)

    def one_id(idstring: str | None = None, domain: str | None = None) -> str:
        del idstring
        return f"<{message['id']}@{domain or 'renewal-watch.invalid'}>"

    ours: dict[str, Any] = {"make_msgid": one_id}
    if message.get("plain"):
        ours["convert_between"] = lambda *_args, **_more: message["plain"]
    vars(email).update(ours)


if __name__ == "__main__":
    _serve()
