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
    "Changes": {
        "since": "2026-11-22T00:00:00Z",
        "until": "2026-11-23T12:00:00Z",
        "environments": [
            {
                "name": "production",
                "compared_from": "2026-11-21T23:30:00Z",
                "compared_to": "2026-11-23T12:00:00Z",
                "history_since": "2026-09-01T00:00:00Z",
            }
        ],
        "total": 1,
        "counts": {"gone": 0, "status": 1, "dearer": 0},
        "numbers": [
            {
                "environment": "production",
                "id": "phone-1",
                "number": "+15550000001",
                "status": "suspended",
                "owner": "support",
                "group": "status",
                "changes": [
                    {
                        "what": "status",
                        "seen_at": "2026-11-23T08:00:00Z",
                        "before": "active",
                        "now": "suspended",
                        "currency_before": None,
                        "currency": None,
                    }
                ],
            }
        ],
        "other": {"numbers": 12, "fields": {"updated_at": 12}},
    },
    "Incident": {
        "id": 3,
        "key": "production/renewal.upcoming/phone-1/2026-12-23/3",
        "state": "acknowledged",
        "kind": "renewal.overdue",
        "severity": "critical",
        "environment": "production",
        "number_id": "phone-1",
        "number": "+15550000001",
        "topic": "renewal",
        "headline": "+15550000001 is overdue by 2 days",
        "text": "+15550000001 (production) is overdue by 2 days.",
        "todo": "check balance and card, renew it now",
        "opened_at": "2026-12-20T00:10:00Z",
        "resolved_at": None,
        "last_notified_at": "2026-12-24T00:10:00Z",
        "notifications": 2,
        "acknowledged_at": "2026-12-24T08:00:00Z",
        "acknowledged_by": "ann",
        "acknowledged_until": None,
        "suppressed": None,
        "url": None,
        "alert_id": 9,
        "folded": [],
    },
    "Alert": {
        "id": 7,
        "key": "production/renewal.upcoming/phone-1/2026-12-23/3",
        "kind": "renewal.upcoming",
        "severity": "info",
        "environment": "production",
        "number_id": "phone-1",
        "number": "+15550000001",
        "headline": "+15550000001 renews in 3 days",
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
        "idle": 2,
        "idle_costs": [{"currency": "USD", "amount": "2.00"}],
    },
}

_ABOUT = {"environment": "production", "number_id": "phone-1", "topic": "renewal", "kind": "renewal.overdue"}
_LAPSED = {"environment": "production", "id": "phone-1", "number": "+15550000001", "renews_on": "2026-11-30"}
ACTS: dict[str, dict[str, Any]] = {  # by the name of the act: what is asked, and the answer
    "acknowledge": {
        "body": {
            "incidents": ["production/renewal.overdue/phone-1/2026-11-20/0"],
            "for": "3d",
            "comment": "Anna calls them",
        },
        "answer": {
            "said": "acknowledged: renewal (renewal.overdue); no reminder before its next cycle, unless it gets worse",
            "acknowledged": True,
            "until": "2026-11-26T12:00:00Z",
            "incidents": [_ABOUT],
            "not_open": [],
        },
    },
    "take_back": {
        "body": {"number": "+15550000001"},
        "answer": {
            "said": "taken back: renewal (renewal.overdue); reminders go on from now",
            "acknowledged": False,
            "until": None,
            "incidents": [_ABOUT],
            "not_open": [],
        },
    },
    "silence": {
        "body": {"numbers": ["+4930*"], "kinds": ["renewal.*"], "for": "2d", "comment": "the office moves"},
        "answer": {
            "said": "silence 7: alerts are hidden until 2026-11-25 12:00 UTC",
            "id": 7,
            "ends_at": "2026-11-25T12:00:00Z",
            "numbers": 12,
        },
    },
    "end_silence": {"body": {"id": 7}, "answer": {"said": "silence 7 is over", "id": 7}},
    "lapse": {
        "body": {"number": "+15550000001", "comment": "not needed any more"},
        "answer": {
            "said": "+15550000001 is meant to expire on 2026-11-30",
            "mind": None,
            "meant_to_lapse": True,
            **_LAPSED,
            "auto_renewal": False,
        },
    },
    "keep": {
        "body": {"number": "+15550000001"},
        "answer": {
            "said": "+15550000001 is to stay",
            "mind": None,
            "meant_to_lapse": False,
            **_LAPSED,
            "auto_renewal": False,
        },
    },
    "retry": {"body": {"alerts": [41]}, "answer": {"said": "1 delivery is due again", "deliveries": 1}},
}
