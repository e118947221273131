"""A made-up provider: the documented list over HTTP on loopback, with a fleet that lives by the calendar.

Renewals happen on their day, fail for numbers without money, and a number that is not paid is suspended and then lost,
as section "Renewal rules" of most providers has it. ``now`` is a function, so that a demonstration can run ahead of time.
"""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "talq_made_up_token"  # noqa: S105 (of the made-up provider)
SUSPENDED_AFTER = timedelta(days=3)  # unpaid days until the made-up provider suspends a number …
LOST_AFTER = timedelta(days=10)  # … and until it takes it away
_COUNTRIES = {"US": ("1212555", 4), "BR": ("5511955", 6), "DE": ("4930555", 5), "GB": ("4420794", 5)}


@dataclass(slots=True, kw_only=True)
class Rented:
    """One number as the made-up provider keeps it."""

    id: str
    number: str
    country: str
    renews_on: date
    auto_renewal: bool
    price: str
    created_on: date
    anchor: int  # the day of the month it renews on, where the month has one
    status: str = "active"
    is_sandbox: bool = False
    has_whatsapp: bool = False
    unpaid: bool = False  # the next renewal will not be paid


def next_month(day: date, anchor: int) -> date:
    """The same day of the next month, or its last day."""
    first = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = ((first + timedelta(days=32)).replace(day=1) - timedelta(days=1)).day
    return first.replace(day=min(anchor, last))


def made_up_fleet(count: int, seed: int, today: date) -> list[Rented]:
    """``count`` numbers that renew over the coming month; one in ten does not renew by itself."""
    chance = random.Random(seed)  # noqa: S311 (made-up data)
    fleet = []
    for index in range(count):
        country = chance.choice(list(_COUNTRIES))
        prefix, digits = _COUNTRIES[country]
        renews_on = today + timedelta(days=chance.randint(1, 30))
        fleet.append(
            Rented(
                id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                number=f"+{prefix}{index:0{digits}d}",
                country=country,
                renews_on=renews_on,
                anchor=renews_on.day,
                auto_renewal=chance.random() >= 0.1,  # noqa: PLR2004
                price=chance.choice(["1.00", "1.15", "2.50", "4.00"]),
                created_on=today - timedelta(days=chance.randint(40, 900)),
                has_whatsapp=chance.random() < 0.2,  # noqa: PLR2004
            )
        )
    return fleet


@dataclass(slots=True)
class Provider:
    """The fleet, the calendar, and the faults that a demonstration switches on."""

    now: Callable[[], datetime]
    fleet: list[Rented]
    token: str = TOKEN
    fault: int | None = None  # answer every request with this HTTP status
    requests: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def live(self) -> None:
        """Let the calendar do what is due: renew, suspend, take away."""
        today = self.now().date()
        kept = []
        for rented in self.fleet:
            while rented.renews_on <= today and rented.auto_renewal and not rented.unpaid:
                rented.renews_on = next_month(rented.renews_on, rented.anchor)
            late = today - rented.renews_on
            if late >= SUSPENDED_AFTER and rented.status == "active":
                rented.status = "suspended"
            if late < LOST_AFTER:
                kept.append(rented)
        self.fleet = kept

    def entries(self) -> list[dict[str, Any]]:
        """The list as it is now, in the documented form."""
        with self._lock:
            self.live()
            return [self._entry(rented) for rented in self.fleet]

    def _entry(self, rented: Rented) -> dict[str, Any]:
        digits = rented.number[1:]
        days = (rented.renews_on - self.now().date()).days
        return {
            "id": rented.id,
            "number": rented.number,
            "country_code": rented.country,
            "formatted_number": f"({digits[-10:-7]}) {digits[-7:-4]}-{digits[-4:]}",
            "international_number": f"+{digits[:-10]} {digits[-10:-7]} {digits[-7:-4]} {digits[-4:]}",
            "type": "voice",
            "has_voice": True,
            "has_sms": rented.country == "US",
            "has_mms": False,
            "has_fax": False,
            "has_whatsapp": rented.has_whatsapp,
            "current_status": rented.status,
            "is_sandbox": rented.is_sandbox,
            "current_price": float(rented.price),
            "currency": "USD",
            "renewal_date": rented.renews_on.isoformat(),
            "auto_renewal": rented.auto_renewal,
            "created_at": f"{rented.created_on}T10:30:00Z",
            "updated_at": f"{rented.created_on}T10:30:00Z",
            "monthly_renewal_cost": float(rented.price),
            "days_until_monthly_renewal": days,
            "is_due_for_monthly_renewal": days <= 0,
        }

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Status and body for one GET."""
        self.requests += 1
        if self.fault is not None:
            return self.fault, {"success": False, "message": "Internal server error."}
        parts = urlsplit(path)
        if not parts.path.endswith("/phone-numbers"):
            return 404, {"success": False, "message": "Not found."}
        if authorization != f"Bearer {self.token}":
            return 401, {"success": False, "message": "Unauthorized"}
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if query.get("type", "voice") not in ("voice", "sms", "whatsapp", "mms", "fax"):
            faults = {"type": ["The selected type is invalid."]}
            return 422, {"success": False, "message": "The given data was invalid.", "errors": faults}
        entries = [entry for entry in self.entries() if _matches(entry, query)]
        size = max(1, min(100, int(query.get("per_page", "20"))))
        page = max(1, int(query.get("page", "1")))
        meta = {
            "current_page": page,
            "per_page": size,
            "total": len(entries),
            "last_page": max(1, -(-len(entries) // size)),
        }
        return 200, {"success": True, "data": entries[(page - 1) * size : page * size], "meta": meta}


def _matches(entry: dict[str, Any], query: dict[str, str]) -> bool:
    for key in ("has_voice", "has_whatsapp"):
        if key in query and entry[key] != (query[key] in ("true", "1")):
            return False
    if query.get("type") not in (None, entry["type"]):
        return False
    return query.get("search", "") in entry["number"] or query["search"] == entry["id"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Answer from the provider."""
        status, said = self.server.provider.answer(self.path, self.headers.get("Authorization", ""))
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the standard library)
        """Say nothing: the terminal belongs to the demonstration."""


class Server(ThreadingHTTPServer):
    """The provider on loopback; ``with`` ends it."""

    daemon_threads = True

    def __init__(self, provider: Provider, port: int = 0) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def base_url(self) -> str:
        """What goes into the configuration."""
        return f"http://127.0.0.1:{self.server_address[1]}/api/v1"

    def start(self) -> None:
        """Serve in a thread until the server is closed."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name="provider", daemon=True).start()


def utc_now() -> datetime:
    """The real time."""
    return datetime.now(UTC)
