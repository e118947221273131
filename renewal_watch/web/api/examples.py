"""An example of each answer."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "Environment": {
        "name": "production",
        "last_poll_at": "2026-11-23T12:00:00Z",
        "last_success_at": "2026-11-23T12:00:00Z",
        "last_error": None,
        "stale": False,
        "numbers": 120,
        "flaws": [],
    },
    "Outbox": {"pending": 0, "failed": 0, "oldest_pending_at": None},
    "Number": {
        "environment": "production",
        "id": "phone-1",
        "number": "+15550000001",
        "status": "active",
        "days_left": 30,
        "renews_on": "2026-12-23",
        "auto_renewal": True,
        "monthly_renewal_cost": "1.00",
        "cost": "1.00",
        "currency": "USD",
        "missing_since": None,
        "is_sandbox": False,
        "disagreement": None,
        "country": "US",
        "type": "voice",
        "capabilities": ["sms", "voice"],
        "lapsing": False,
        "owner": "support",
        "labels": ["hotline"],
        "note": "",
    },
    "Change": {
        "seen_at": "2026-11-23T12:00:00Z",
        "not_yet_at": "2026-11-23T11:00:00Z",
        "what": "changed",
        "fields": {"current_status": {"before": "active", "now": "suspended"}},
        "entry": {"id": "phone-1", "number": "+15550000001", "current_status": "suspended"},
    },
    "Alert": {
        "id": 7,
        "key": "production/renewal.upcoming/phone-1/2026-12-23/3",
        "kind": "renewal.upcoming",
        "severity": "info",
        "environment": "production",
        "number_id": "phone-1",
        "number": "+15550000001",
        "text": "+15550000001 (production) renews in 3 days.",
        "hidden": None,
        "created_at": "2026-12-20T00:10:00Z",
        "deliveries": [
            {
                "channel": "ops",
                "state": "sent",
                "message_id": "rw-0123456789",
                "attempts": 1,
                "last_error": None,
                "sent_at": "2026-12-20T00:10:02Z",
                "next_attempt_at": None,
                "leased_until": None,
                "held_until": None,
                "held_why": None,
            }
        ],
    },
    "Day": {
        "on": "2026-12-23",
        "environment": "production",
        "currency": "USD",
        "numbers": 12,
        "amount": "12.00",
        "unpriced": 0,
        "without_auto_renewal": 2,
        "lapsing": 0,
    },
    "Forecast": {
        "as_of": "2026-11-23T12:00:00Z",
        "timezone": "UTC",
        "last_month": "2026-10",
        "environments": [
            {"name": "production", "seen_since": "2026-09-01T00:00:00Z", "seen_until": "2026-11-23T12:00:00Z"}
        ],
        "months": [
            {
                "month": "2026-12",
                "environment": "production",
                "currency": "USD",
                "numbers": 12,
                "amount": "12.00",
                "renewed": {"numbers": 0, "amount": "0", "unpriced": 0},
                "ahead": {"numbers": 12, "amount": "12.00", "unpriced": 0},
                "overdue": 0,
                "if_renewed": {"numbers": 2, "amount": "2.00", "unpriced": 0},
                "month_before": "11.00",
                "change": "1.00",
                "change_percent": "9.1",
            }
        ],
        "undated": 0,
        "lapsing": 0,
    },
}
