"""Entries of the list as the API page documents them, and small parts that tests put together."""

from __future__ import annotations

import json
from typing import Any

from databases import COUNTED

from renewal_watch.database.schema import metadata
from renewal_watch.database.store import Store
from renewal_watch.model.numbers import Listing
from renewal_watch.provider.talkover.decode import _envelope_tolerant, listing_of


def entry(name: str = "phone-1", **changes: Any) -> dict[str, Any]:
    """One documented entry; ``changes`` replace or add fields."""
    return {
        "id": name,
        "number": "+1555000" + name.rpartition("-")[2].rjust(4, "0"),
        "country_code": "US",
        "formatted_number": "(555) 000-0001",
        "international_number": "+1 555 000 0001",
        "type": "voice",
        "has_voice": True,
        "has_sms": True,
        "has_mms": False,
        "has_fax": False,
        "has_whatsapp": False,
        "current_status": "active",
        "is_sandbox": False,
        "current_price": 1.00,
        "currency": "USD",
        "renewal_date": "2026-12-23",
        "auto_renewal": True,
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:30:00Z",
        "monthly_renewal_cost": 1.00,
        "days_until_monthly_renewal": 30,
        "is_due_for_monthly_renewal": False,
    } | changes


def listing(*entries: object) -> Listing:
    """A complete list as the client gives it."""
    envelope, _ = _envelope_tolerant(bytearray(json.dumps({"success": True, "data": list(entries)}).encode()))
    return listing_of(envelope.data, tolerant=False)


def emptied(store: Store) -> None:
    """Every table without its rows: cheaper than a new database for every test."""
    with store.transaction() as tx:
        for table in reversed(metadata.sorted_tables):
            if table.name != "about":
                tx.connection.execute(table.delete())
        if store.is_shared:  # ids begin anew, as they do in an empty file
            ids = ", ".join(f"setval('{table}_id_seq', 1, false)" for table in COUNTED)
            tx.connection.exec_driver_sql(f"SELECT {ids}")
