"""GoAlert's generic API: one alert under a dedup, opened and closed; an acknowledgement it does not take.

By its source (github.com/target/goalert, genericapi/handler.go and auth/gettoken.go): forms are read by every release, JSON
by later ones only; the token may stand in the header; a summary of 1,024 characters, details of six times as many.
"""

from __future__ import annotations

from urllib.parse import urlencode

from renewal_watch.channels.oncall.talk import By, Call, Report, Talk, Told, limited, shortened

LONGEST_KEY = 512
LONGEST_SUMMARY = 1024
LONGEST_DETAILS = 6 * 1024


def key_of(key: str) -> str:
    """The dedup of an incident."""
    return limited(key, LONGEST_KEY)


def talk(report: Report, told: Told | None, by: By) -> Talk:
    """Open, open again, close."""
    if report.state == "resolved":
        yield _incoming(report, by.remote.key, action="close")
    elif report.is_to_be_opened(told):
        yield _incoming(report, by.remote.key)


def headers(key: str | None) -> dict[str, str]:
    """What lets in; in an address it would be logged."""
    return {"Authorization": f"Bearer {key}"}


def _incoming(report: Report, dedup: str, **more: str) -> Call:
    details = "\n".join(filter(None, (report.text, report.url, *(f"{a}: {b}" for a, b in report.details().items()))))
    form = {
        "summary": shortened(report.headline, LONGEST_SUMMARY),
        "details": details[:LONGEST_DETAILS],
        "dedup": dedup,
    }
    return Call(
        method="POST",
        path="/api/v2/generic/incoming",
        body=urlencode(form | more).encode(),
        content_type="application/x-www-form-urlencoded",
    )
