"""A believable list of any size as one body, and a server of such bodies on loopback."""

import json
import random
import sys
import uuid
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def fleet(count: int, today: date, seed: int = 1) -> list[dict[str, object]]:
    """``count`` numbers as the API page documents them, one in ten without auto-renewal, renewing over 30 days."""
    chance = random.Random(seed)
    return [_entry(index, chance, today) for index in range(count)]


def _entry(index: int, chance: random.Random, today: date) -> dict[str, object]:
    digits = f"1{2_000_000_000 + index}"
    left = 1 + chance.randrange(30)
    return {
        "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "number": f"+{digits}",
        "country_code": "US",
        "formatted_number": f"({digits[1:4]}) {digits[4:7]}-{digits[7:]}",
        "international_number": f"+1 {digits[1:4]} {digits[4:7]} {digits[7:]}",
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
        "renewal_date": (today + timedelta(days=left)).isoformat(),
        "auto_renewal": chance.random() >= 0.1,
        "created_at": "2024-01-15T10:30:00Z",
        "updated_at": "2024-01-15T10:30:00Z",
        "monthly_renewal_cost": 1.00,
        "days_until_monthly_renewal": left,
        "is_due_for_monthly_renewal": False,
    }


def _dearer(entry: dict[str, object]) -> dict[str, object]:
    return entry | {"current_price": 2.00, "monthly_renewal_cost": 2.00}


def body(entries: list[dict[str, object]]) -> bytes:
    """The documented envelope."""
    return json.dumps({"success": True, "data": entries}).encode()


class Handler(BaseHTTPRequestHandler):
    """Serves ``bodies``."""

    protocol_version = "HTTP/1.1"
    bodies: dict[str, bytes]

    def do_GET(self) -> None:
        """``/NAME/phone-numbers`` gives the body called NAME; ``/turn-to/NAME`` makes it the one called ``turn``."""
        _, first, name = self.path.split("/")[:3]
        if first == "turn-to":
            self.bodies["turn"] = self.bodies[name]
        said = b"{}" if first == "turn-to" else self.bodies[first]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def main() -> None:
    """``fleet.py COUNT TODAY``: prints the port, then serves these bodies until killed.

    ``today``, ``tomorrow`` and two quiet days; ``some`` and ``all``: a quiet day on which one in a hundred, and all, have
    another price.
    """
    today = date.fromisoformat(sys.argv[2])
    bodies = {}
    for name, shift in (("", 0), ("quiet-", 16)):  # 16 days further on nobody reaches a threshold
        entries = fleet(int(sys.argv[1]), today + timedelta(days=shift))
        for day, elapsed in (("today", 0), ("tomorrow", 1)):
            for entry in entries:
                renews_on = date.fromisoformat(str(entry["renewal_date"]))
                entry["days_until_monthly_renewal"] = (renews_on - today).days - elapsed
            bodies[name + day] = body(entries)
        if name:
            for what, every in (("some", 100), ("all", 1)):
                bodies[what] = body([_dearer(one) if at % every == 0 else one for at, one in enumerate(entries)])
        del entries
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"bodies": bodies}))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
