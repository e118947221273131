"""What the answers are made of."""

from __future__ import annotations

from renewal_watch.web.api.shapes import (
    COUNT,
    CURRENCY,
    DAY,
    FLAG,
    INSTANT,
    MONEY,
    MONTH,
    TEXT,
    Schema,
    list_of,
    object_of,
    or_null,
    ref,
)

SCHEMAS: dict[str, Schema] = {
    "Problem": object_of(
        "RFC 9457: what is wrong with the request, or with the server",
        {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT},
        {"parameter": {**TEXT, "description": "The parameter that is refused"}},
    ),
    "Environment": object_of(
        "One token's list, and how reading it goes",
        {
            "name": TEXT,
            "last_poll_at": or_null(INSTANT),
            "last_success_at": or_null(INSTANT),
            "last_error": or_null(TEXT),
            "stale": {**FLAG, "description": "The list is too old to be relied on"},
            "numbers": COUNT,
            "flaws": {**list_of(TEXT), "description": "What of the last list cannot be read or believed"},
        },
    ),
    "Outbox": object_of(
        "Messages on their way", {"pending": COUNT, "failed": COUNT, "oldest_pending_at": or_null(INSTANT)}
    ),
    "Status": object_of(
        "How the service does",
        {
            "environments": list_of(ref("Environment")),
            "outbox": ref("Outbox"),
            "counts": {
                "type": "object",
                "description": "Numbers that need somebody: overdue, missing, and each status but active",
                "additionalProperties": COUNT,
            },
        },
    ),
    "Number": object_of(
        "One number as it stands now",
        {
            "environment": TEXT,
            "id": TEXT,
            "number": or_null(TEXT),
            "status": or_null(TEXT),
            "days_left": {"type": ["integer", "null"], "description": "Negative when overdue"},
            "renews_on": or_null(DAY),
            "auto_renewal": or_null(FLAG),
            "monthly_renewal_cost": or_null(MONEY),
            "cost": or_null({**MONEY, "description": "The monthly cost, else the current price"}),
            "currency": or_null(CURRENCY),
            "missing_since": or_null(INSTANT),
            "is_sandbox": FLAG,
            "disagreement": or_null({**TEXT, "description": "Where countdown and renewal day differ"}),
            "country": or_null(TEXT),
            "type": or_null(TEXT),
            "capabilities": list_of(TEXT),
            "lapsing": {**FLAG, "description": "It is meant to go"},
            "owner": {**TEXT, "description": "Of the inventory"},
            "labels": list_of(TEXT),
            "note": TEXT,
        },
    ),
    "Numbers": object_of(
        "One page",
        {
            "numbers": list_of(ref("Number")),
            "total": {**COUNT, "description": "How many fit; with is_more, more than that"},
            "is_more": FLAG,
            "page": COUNT,
            "per_page": COUNT,
        },
    ),
    "Change": object_of(
        "Something that differs between two lists",
        {
            "seen_at": INSTANT,
            "not_yet_at": or_null({**INSTANT, "description": "The last good poll that did not have it"}),
            "what": {"type": "string", "enum": ["listed", "changed", "unlisted", "listed again"]},
            "fields": {
                "type": "object",
                "description": "By field: before and now, as the provider sent them",
                "additionalProperties": {"type": "object"},
            },
            "entry": {"type": ["object", "null"], "description": "The number as it was listed from then on"},
        },
    ),
    "History": object_of("Every change of one number, the oldest first", {"changes": list_of(ref("Change"))}),
    "Delivery": object_of(
        "One message's fate on one channel",
        {
            "channel": TEXT,
            "state": {"type": "string", "enum": ["pending", "sent", "failed"]},
            "message_id": TEXT,
            "attempts": COUNT,
            "last_error": or_null(TEXT),
            "sent_at": or_null(INSTANT),
            "next_attempt_at": or_null(INSTANT),
            "leased_until": or_null(INSTANT),
            "held_until": or_null(INSTANT),
            "held_why": or_null(TEXT),
        },
    ),
    "Alert": object_of(
        "Something worth telling",
        {
            "id": COUNT,
            "key": TEXT,
            "kind": TEXT,
            "severity": {"type": "string", "enum": ["info", "warning", "critical"]},
            "environment": TEXT,
            "number_id": or_null(TEXT),
            "number": or_null(TEXT),
            "text": TEXT,
            "hidden": or_null({**TEXT, "description": "Why nobody was told"}),
            "created_at": INSTANT,
            "deliveries": list_of(ref("Delivery")),
        },
    ),
    "Alerts": object_of(
        "Newest first",
        {
            "alerts": list_of(ref("Alert")),
            "next_before": {"type": ["integer", "null"], "description": "before of the next page; null at the end"},
        },
    ),
    "Day": object_of(
        "What renews or ends on a day in one environment and currency",
        {
            "on": DAY,
            "environment": TEXT,
            "currency": or_null(CURRENCY),
            "numbers": COUNT,
            "amount": MONEY,
            "unpriced": COUNT,
            "without_auto_renewal": COUNT,
            "lapsing": COUNT,
        },
    ),
    "Calendar": object_of("From what is overdue on", {"today": DAY, "days": list_of(ref("Day")), "undated": COUNT}),
    "Sum": object_of("Renewals together", {"numbers": COUNT, "amount": MONEY, "unpriced": COUNT}),
    "Month": object_of(
        "One month of one environment and currency. Null is what is not known",
        {
            "month": MONTH,
            "environment": TEXT,
            "currency": or_null(CURRENCY),
            "numbers": or_null(COUNT),
            "amount": or_null(MONEY),
            "renewed": {"oneOf": [ref("Sum"), {"type": "null"}]},
            "ahead": ref("Sum"),
            "overdue": COUNT,
            "if_renewed": ref("Sum"),
            "month_before": or_null(MONEY),
            "change": or_null(MONEY),
            "change_percent": or_null(MONEY),
        },
    ),
    "Seen": object_of(
        "How far the history goes", {"name": TEXT, "seen_since": or_null(INSTANT), "seen_until": or_null(INSTANT)}
    ),
    "Forecast": object_of(
        "What renewals cost by month, last month first",
        {
            "as_of": INSTANT,
            "timezone": TEXT,
            "last_month": MONTH,
            "environments": list_of(ref("Seen")),
            "months": list_of(ref("Month")),
            "undated": COUNT,
            "lapsing": COUNT,
        },
    ),
    "Check": object_of(
        "One thing that was looked at", {"name": TEXT, "ok": FLAG, "reason": TEXT}, {"environment": TEXT}
    ),
    "Health": object_of(
        "Whether the service can be relied on",
        {"status": {"type": "string", "enum": ["ok", "failing"]}, "checks": list_of(ref("Check"))},
    ),
    "Document": {"type": "object", "description": "This document", "required": ["openapi", "info", "paths"]},
}
