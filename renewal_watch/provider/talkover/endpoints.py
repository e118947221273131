"""Where Talkover says more of an account than the list, each address from its own documented page."""

from __future__ import annotations

from renewal_watch.provider.base import Endpoint

FURTHER = {
    "releases": Endpoint("release requests", "phone-numbers/release-requests", 20),
    "topup": Endpoint("auto top-up settings", "auto-topup/settings"),
    "charges": Endpoint("top-up history", "auto-topup/history", 3),  # the newest come first
    "cards": Endpoint("cards", "auto-topup/payment-methods", 3),
    "balance": Endpoint("balance", "credits/balance", is_for_users=True),
    "agents": Endpoint("agents", "agents", 200),
    "calls": Endpoint("calls", "calls", 20),
}
