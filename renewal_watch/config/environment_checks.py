"""The checks of environments."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from renewal_watch.config.check_parts import proxy_faults
from renewal_watch.schedule.cron import cron_fault
from renewal_watch.settings.environment import PROVIDERS
from renewal_watch.settings.secrets import secret_key_faults
from renewal_watch.settings.values import LOOPBACK, SHORTEST_POLL_S

_FIRST_PAGE_KEYS = {"page", "per_page"}


def crossed_environment(one: dict[str, Any], place: str, *, readable_by_others: bool) -> list[str]:
    """Faults of one environment that no key shows alone."""
    faults = secret_key_faults(one, "token", place, readable_by_others=readable_by_others)
    faults += secret_key_faults(one, "heartbeat", place, readable_by_others=readable_by_others, is_optional=True)
    faults += secret_key_faults(one, "user_token", place, readable_by_others=readable_by_others, is_optional=True)
    return faults + _environment_faults(one, place)


def _base_url_faults(one: dict[str, Any], place: str) -> list[str]:
    faults = []
    url = one.get("base_url")
    if isinstance(url, str):
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not host:
            faults.append(f"{place}.base_url: write it like https://app.talkover.ai/api/v1")
        elif not re.fullmatch(r"[!-~]+", url):
            faults.append(f"{place}.base_url: it holds a blank or a character that no address has")
        elif parts.path.rstrip("/").endswith("/phone-numbers"):
            faults.append(f"{place}.base_url: leave /phone-numbers out; renewal-watch adds it")
        elif parts.username or parts.query or parts.fragment:
            faults.append(
                f"{place}.base_url: write only scheme, host and path; filters and the token have keys of their own"
            )
        elif parts.scheme == "http" and not one.get("allow_insecure_http") and not LOOPBACK.match(host):
            faults.append(
                f"{place}.base_url: plain http would send the token readable over the network; use https, "
                f"or set allow_insecure_http = true"
            )
    return faults


def _environment_faults(one: dict[str, Any], place: str) -> list[str]:
    faults = _base_url_faults(one, place)
    provider = one.get("provider")
    if isinstance(provider, str) and provider not in PROVIDERS:
        faults.append(f"{place}.provider: {provider!r} is not known; write one of {', '.join(sorted(PROVIDERS))}")
    if one.get("poll_every") is not None and one.get("poll_cron") is not None:
        faults.append(f"{place}: poll_every and poll_cron exclude each other; keep one")
    every = one.get("poll_every")
    if isinstance(every, str) and re.fullmatch(r"[1-9][0-9]*s", every) and int(every[:-1]) < SHORTEST_POLL_S:
        faults.append(f"{place}.poll_every: the shortest interval is {SHORTEST_POLL_S}s")
    cron = one.get("poll_cron")
    if isinstance(cron, str) and (fault := cron_fault(cron)):
        faults.append(f"{place}.poll_cron: {fault}")
    faults += proxy_faults(one, place)
    filters = one.get("filters")
    if isinstance(filters, dict):
        faults += [
            f"{place}.filters.{key}: renewal-watch pages by itself; leave it out"
            for key in _FIRST_PAGE_KEYS & set(filters)
        ]
    return faults
