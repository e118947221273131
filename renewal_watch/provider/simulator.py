"""A simulated provider: the documented list over HTTP on loopback, with a fleet that lives by the calendar.

With an ``Account`` it serves as well what can be read beside the list: release requests, auto top-up, balance, agents.
Renewals happen on their day, fail for numbers without money, and a number that is not paid is suspended and then lost,
as section "Renewal rules" of most providers has it. ``now`` is a function, so that a demonstration can run ahead of time.
"""

from __future__ import annotations

import json
import random
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

TOKEN = "talq_made_up_token"  # noqa: S105 (of the simulated provider)
USER_TOKEN = "1|made_up_user_token"  # noqa: S105 (the same)
_AGENTS = ("Front desk", "Night line", "Sales", "Support", "Surveys", "Reminders")
SUSPENDED_AFTER = timedelta(days=3)  # unpaid days until the simulated provider suspends a number …
LOST_AFTER = timedelta(days=10)  # … and until it takes it away
_COUNTRIES = {"US": ("1212555", 4), "BR": ("5511955", 6), "DE": ("4930555", 5), "GB": ("4420794", 5)}

_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Rented:
    """One number as the simulated provider keeps it."""

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


@dataclass(slots=True, kw_only=True)
class Account:
    """What the simulated provider says beside the list, in the documented forms; None is not offered."""

    releases: list[dict[str, Any]] | None = field(default_factory=list)
    settings: dict[str, Any] | None = field(default_factory=dict)
    history: list[dict[str, Any]] | None = field(default_factory=list)  # the newest first
    cards: list[dict[str, Any]] | None = field(default_factory=list)
    balance: dict[str, Any] | None = field(default_factory=dict)
    agents: list[dict[str, Any]] | None = field(default_factory=list)
    calls: list[dict[str, Any]] | None = field(default_factory=list)


def made_up_account(fleet: list[Rented], now: datetime) -> Account:
    """A request to release the first number, auto top-up whose card is declined, little money, agents that share the fleet."""
    card = {"brand": "visa", "last4": "4242", "exp_month": now.month, "exp_year": now.year + 2}
    charged_at = now - timedelta(days=6)
    return Account(
        releases=[release_request(one, now - timedelta(hours=3)) for one in fleet[:1]],
        settings={
            "is_enabled": True,
            "threshold_amount": 10.00,
            "recharge_amount": 50.00,
            "scheduled_payment_enabled": False,
            "scheduled_amount": None,
            "day_of_month": None,
            "payment_method_id": "pm_made_up_1",
            "daily_limit": 200.00,
            "recharge_count_today": 0,
            "last_recharge_at": _written(charged_at),
            "currency": "USD",
        },
        history=[charge("topup-2", now - timedelta(hours=2), "card_declined"), charge("topup-1", charged_at)],
        cards=[{"id": "pm_made_up_1", "type": "card", "card": card, "is_default": True, "created_at": _written(now)}],
        balance={"balance": 21.20, "currency": "USD", "auto_topup_enabled": True, "as_of": _written(now)},
        agents=[_agent(place, name, fleet[place :: len(_AGENTS)]) for place, name in enumerate(_AGENTS)],
    )


def release_request(rented: Rented, at: datetime) -> dict[str, Any]:
    """A request to release a number, not decided yet."""
    return {
        "id": f"request-{rented.id}",
        "phone_number_id": rented.id,
        "phone_number": rented.number,
        "reason": "No longer in use after the move.",
        "status": "pending",
        "requested_at": _written(at),
    }


def charge(name: str, at: datetime, why: str | None = None) -> dict[str, Any]:
    """A top-up of the history; ``why`` it failed."""
    done = {"status": "succeeded", "balance_before": 9.40, "balance_after": 59.40}
    failed = {"status": "failed", "failure_reason": why}
    return {
        "id": name,
        "amount": 50.00,
        "currency": "USD",
        "trigger": "threshold",
        **(done if why is None else failed),
        "payment_method_id": "pm_made_up_1",
        "created_at": _written(at),
    }


def _agent(place: int, name: str, those: list[Rented]) -> dict[str, Any]:
    numbers = [{"id": one.id, "number": one.number, "current_status": one.status} for one in those]
    return {"id": f"agent-{place + 1}", "name": name, "label": f"{name} agent", "phone_numbers": numbers}


def _written(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(slots=True)
class Provider:
    """The fleet, the calendar, and the faults that a demonstration switches on."""

    now: Callable[[], datetime]
    fleet: list[Rented]
    token: str = TOKEN
    account: Account | None = None
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

    def _listed(self, query: dict[str, str]) -> list[Rented]:
        """The numbers of the list as it was at its first page."""
        with self._lock:
            if query.get("page", "1") == "1":
                self.live()
            if query.keys() <= {"page", "per_page"}:
                return self.fleet
            return [rented for rented in self.fleet if _matches(rented, query)]

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
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if not parts.path.endswith("/phone-numbers"):
            return self._beside(parts.path, query, authorization)
        if authorization != f"Bearer {self.token}":
            return 401, {"success": False, "message": "Unauthorized"}
        if said := _SIMULATED.get(query.get("simulate", "")):
            return int(query["simulate"]), {"success": False, "message": said}
        if faults := _faults(query):
            return 422, {"success": False, "message": "The given data was invalid.", "errors": faults}
        shown, meta = _page(self._listed(query), query)
        return 200, {"success": True, "data": [self._entry(rented) for rented in shown], "meta": meta}

    def _beside(self, path: str, query: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """What can be read beside the list."""
        said = {
            "/phone-numbers/release-requests": ("releases", ""),
            "/auto-topup/settings": ("settings", ""),
            "/auto-topup/history": ("history", "pagination"),
            "/auto-topup/payment-methods": ("cards", ""),
            "/credits/balance": ("balance", ""),
            "/agents": ("agents", "meta"),
            "/calls": ("calls", "pagination"),
        }
        name, paging = next((what for end, what in said.items() if path.endswith(end)), ("", ""))
        found = getattr(self.account, name, None)
        if found is None:
            return 404, {"success": False, "message": "Not found."}
        if authorization != f"Bearer {USER_TOKEN if name == 'balance' else self.token}":
            return 401, {"success": False, "message": "Unauthenticated."}
        if not paging:
            return 200, {"success": True, "data": found}
        if name == "calls":
            found = [one for one in found if _is_call(one, query)]
        data, meta = _page(found, query)
        return 200, {"success": True, "data": data, paging: meta}


def _faults(query: dict[str, str]) -> dict[str, list[str]]:
    """What the provider would not take of a request, as it says it."""
    faults = {}
    if query.get("type", "voice") not in ("voice", "sms", "whatsapp", "mms", "fax"):
        faults["type"] = ["The selected type is invalid."]
    for name in ("page", "per_page"):
        if not re.fullmatch("[0-9]{1,9}", query.get(name, "1")):
            faults[name] = [f"The {name.replace('_', ' ')} must be an integer."]
    for name in ("has_voice", "has_whatsapp"):
        if query.get(name, "true") not in ("true", "false", "1", "0"):
            faults[name] = [f"The {name.replace('_', ' ')} field must be true or false."]
    return faults


def _page(rows: list[_T], query: dict[str, str]) -> tuple[list[_T], dict[str, int]]:
    """The rows that are asked for, and how many there are."""
    size = max(1, min(100, int(query.get("per_page", "20"))))
    page = max(1, int(query.get("page", "1")))
    last = max(1, -(-len(rows) // size))
    meta = {"current_page": page, "per_page": size, "total": len(rows), "last_page": last}
    return rows[(page - 1) * size : page * size], meta


def _is_call(one: dict[str, Any], query: dict[str, str]) -> bool:
    wanted = query.get("search", "").strip()  # a plus that is not escaped is read as a blank
    return any(wanted in one[end] for end in ("from", "to", "sid")) and one["created_at"][:10] >= query.get(
        "date_from", ""
    )


def _matches(rented: Rented, query: dict[str, str]) -> bool:
    for key, value in (("has_voice", True), ("has_whatsapp", rented.has_whatsapp)):
        if key in query and value != (query[key] in ("true", "1")):
            return False
    if query.get("type") not in (None, "voice"):
        return False
    wanted = query.get("search", "").strip().lower()  # a plus that is not escaped is read as a blank
    return wanted.replace(" ", "") in rented.number or wanted in rented.id.lower()


_SIMULATED = {  # what `simulate=500` in the filters of an environment makes the provider answer
    "401": "Unauthorized",
    "403": "Forbidden",
    "429": "Too many requests, please try again later.",
    "500": "Server Error",
    "503": "Service Unavailable",
}


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
