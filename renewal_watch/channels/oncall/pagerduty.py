"""PagerDuty, by its Events API v2: one alert under a dedup_key, from trigger to resolve.

The keys, the limits (a summary of 1,024 characters, a dedup_key of 255) and what may be repeated are those of its
documentation ("Send an Alert Event", developer.pagerduty.com). A trigger under a key that is open adds to what is open.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from renewal_watch.channels.oncall.talk import SOURCE, By, Call, Report, Talk, Told, instant, limited, post, shortened
from renewal_watch.model.alerts import Severity

LONGEST_KEY = 255
LONGEST_SUMMARY = 1024
SEVERITIES = {Severity.info: "info", Severity.warning: "warning", Severity.critical: "critical"}


def key_of(key: str) -> str:
    """The dedup_key of an incident."""
    return limited(key, LONGEST_KEY)


def talk(report: Report, told: Told | None, by: By) -> Talk:
    """Trigger, acknowledge, resolve."""

    def event(action: str, **more: Any) -> Call:
        said = {"routing_key": by.key, "event_action": action, "dedup_key": by.remote.key}
        return post("/v2/enqueue", said | more)

    if report.state == "resolved":
        yield event("resolve")
        return
    is_opened = report.is_to_be_opened(told)
    if is_opened:
        links = {"links": [{"href": report.url, "text": SOURCE}]} if report.url else {}
        yield event("trigger", payload=_payload(report, by.now), client=SOURCE, **links)
    if report.state == "acknowledged" and (is_opened or told is None or told.state != "acknowledged"):
        yield event("acknowledge")


def _payload(report: Report, now: datetime) -> dict[str, Any]:
    about = {"component": report.number or report.number_id, "group": report.environment, "class": report.kind}
    return {
        "summary": shortened(report.headline, LONGEST_SUMMARY),
        "source": report.environment or SOURCE,
        "severity": SEVERITIES[report.severity],
        "timestamp": instant(now),
        **{name: value for name, value in about.items() if value},
        "custom_details": {"text": report.text, **report.details()},
    }
