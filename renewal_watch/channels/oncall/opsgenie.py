"""Opsgenie's alert API, and that of Jira Service Management, which has its shapes: one alert under an alias.

The limits (a message of 130 characters, an alias of 512, a description of 15,000) are those of Opsgenie's alert API; the
integration events of Jira Service Management have create, acknowledge and close, and neither unacknowledge nor a change of
priority (developer.atlassian.com, "Integration events"). An alias stands in paths, where a slash is not let through by
every server, so that it has colons for them. Both answer 202 and do it a little later.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from renewal_watch.channels.oncall.talk import (
    SOURCE,
    By,
    Call,
    Report,
    Talk,
    Told,
    as_json,
    limited,
    post,
    shortened,
)
from renewal_watch.model.alerts import Severity

LONGEST_ALIAS = 512
LONGEST_MESSAGE = 130
LONGEST_DESCRIPTION = 15_000
LONGEST_TAG = 50
LONGEST_NAME = 100  # of who did something; also of a source
PRIORITIES = {Severity.info: "P5", Severity.warning: "P3", Severity.critical: "P1"}


def key_of(key: str) -> str:
    """The alias of an incident."""
    return limited(key.replace("/", ":"), LONGEST_ALIAS)


def _talk(report: Report, told: Told | None, by: By, *, is_whole: bool) -> Talk:
    alias = by.remote.key

    def act(what: str, note: str = "") -> Call:
        said = {"source": SOURCE, **({"note": shortened(note, LONGEST_DESCRIPTION)} if note else {})}
        return post(_of(alias, what), said | ({"user": report.who[:LONGEST_NAME]} if report.who else {}))

    if report.state == "resolved":
        yield act("close", report.headline)
        return
    is_opened = report.is_to_be_opened(told)
    if is_opened:
        if is_whole and told is not None and told.state == "acknowledged" and report.state == "open":
            yield act("unacknowledge")
        yield post("/v2/alerts", _alert(report, alias))
        if is_whole and told is not None and told.severity != report.severity:
            priority = as_json({"priority": PRIORITIES[report.severity]})
            yield Call(method="PUT", path=_of(alias, "priority"), body=priority)
    if report.state == "acknowledged" and (is_opened or told is None or told.state != "acknowledged"):
        yield act("acknowledge", report.why)


opsgenie = partial(_talk, is_whole=True)
jira = partial(_talk, is_whole=False)


def headers(key: str | None) -> dict[str, str]:
    """What lets in."""
    return {"Authorization": f"GenieKey {key}"}


def _of(alias: str, what: str) -> str:
    return f"/v2/alerts/{quote(alias, safe='')}/{what}?identifierType=alias"


def _alert(report: Report, alias: str) -> Mapping[str, Any]:
    text = f"{report.text}\n{report.url}" if report.url else report.text
    return {
        "message": shortened(report.headline, LONGEST_MESSAGE),
        "alias": alias,
        "description": text[:LONGEST_DESCRIPTION],
        "priority": PRIORITIES[report.severity],
        "source": SOURCE,
        "entity": (report.number or report.environment or SOURCE)[:512],
        "tags": [one[:LONGEST_TAG] for one in (SOURCE, report.environment, report.kind) if one],
        "details": report.details(),
    }
