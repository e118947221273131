"""The checks of channels and rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from renewal_watch.config.check_parts import hider_faults, pattern_faults, proxy_faults, texts, unknown, zone_fault
from renewal_watch.model import selectors
from renewal_watch.schedule import calendar, quiet_hours
from renewal_watch.settings.channel import ADDRESSES, AT_ONCE, KEYLESS
from renewal_watch.settings.secrets import secret_forms, secret_key_faults
from renewal_watch.settings.values import LONGEST, duration


def channel_faults(one: dict[str, Any], place: str, channels: set[str], zone: Any) -> Iterator[str]:
    """Faults of one channel: zone, quiet hours, digest, fallback, way."""
    own = one.get("timezone")
    if isinstance(own, str) and (fault := zone_fault(own)):
        yield f"{place}.timezone: {fault}"
    windows = one.get("quiet_hours")
    if windows and (fault := quiet_hours.window_fault(texts(windows))):
        yield f"{place}.quiet_hours: {fault}"
    routine = one.get("routine")
    if isinstance(routine, str) and routine != AT_ONCE and (fault := calendar.calendar_fault(routine)):
        yield f"{place}.routine: {fault}; or write: {AT_ONCE}"
    digest = one.get("digest")
    if isinstance(digest, str):
        if fault := calendar.calendar_fault(digest):
            yield f"{place}.digest: {fault}"
        elif windows and isinstance(zone, str):
            yield (
                f"{place}.digest: a digest comes when its schedule says; leave quiet_hours out, or give them a channel of "
                f"their own"
            )
    elif one.get("digest_when_empty"):
        yield f"{place}.digest_when_empty: it needs a digest"
    fallback = one.get("fallback")
    if isinstance(fallback, str):
        yield from unknown([fallback], channels, f"{place}.fallback", "channel")
        if fallback == one.get("name"):
            yield f"{place}.fallback: a channel cannot stand in for itself"


def is_hook(one: dict[str, Any]) -> bool:
    """Whether a channel is a command, a webhook or an on-call service."""
    return any(one.get(key) is not None for key in ("command", "service", *secret_forms("webhook")))


def way_faults(one: dict[str, Any], place: str, *, readable_by_others: bool) -> Iterator[str]:
    """Faults of how a channel is reached: one of an Apprise URL, a command, a webhook and a service, with its keys."""
    ways = {
        "url": secret_forms("url"),
        "command": ["command"],
        "webhook": secret_forms("webhook"),
        "service": ["service"],
    }
    given = [way for way, forms in ways.items() if any(one.get(form) is not None for form in forms)]
    if len(given) != 1:
        said = "only one may be given of" if given else "is missing; give one of"
        yield f"{place}.url: {said} {', '.join(given or (*secret_forms('url'), 'command', 'webhook', 'service'))}"
        return
    way = given[0]
    if way == "command":
        yield from _command_faults(one["command"], f"{place}.command")
    elif way != "service":
        yield from secret_key_faults(one, way, place, readable_by_others=readable_by_others)
    if way in ("webhook", "service"):
        is_free = way == "webhook" or one["service"] in KEYLESS
        yield from secret_key_faults(one, "key", place, readable_by_others=readable_by_others, is_optional=is_free)
        yield from proxy_faults(one, place)
    foreign = [("timeout", "command, webhook or service")] if way == "url" else []
    if way in ("url", "command"):
        foreign += [
            (key, "webhook or service") for key in (*secret_forms("key"), "allow_insecure_http", "proxy", "ca_file")
        ]
    if way != "service":
        foreign.append(("address", "service"))
    elif ADDRESSES.get(str(one["service"]), "") is None and not one.get("address"):
        yield f"{place}.address: is missing; write where {one['service']} is, like https://alerts.example.org"
    yield from (f"{place}.{key}: it belongs to a {to}, and this channel has none" for key, to in foreign if key in one)
    if way != "url":
        yield from (
            f"{place}.{key}: a {way} is told each alert by itself, {'at once' if way == 'service' else 'as JSON'}; leave it out"
            for key in ("format", "routine", "digest", "digest_when_empty", "max_per_hour")
            if key in one
        )
        timeout = one.get("timeout")
        if isinstance(timeout, str) and re.fullmatch(r"[1-9][0-9]{0,5}[smhd]", timeout) and duration(timeout) > LONGEST:
            yield f"{place}.timeout: at most {LONGEST.total_seconds():g}s, so that no alert is told by two at once"


def _command_faults(command: Any, place: str) -> Iterator[str]:
    words = texts(command)
    if words and not words[0].startswith("/"):
        yield f"{place}: {words[0]!r} is no whole path; write it like /usr/local/bin/move-number, for no PATH is searched"
    if any("\0" in word for word in words):
        yield f"{place}: it holds the character NUL"


def rule_faults(one: dict[str, Any], place: str, environments: set[str] | None, channels: set[str]) -> Iterator[str]:
    """Faults of one rule: names that nothing has, patterns that fit nothing."""
    match = one.get("match")
    if isinstance(match, dict):
        yield from unknown(match.get("environments"), environments, f"{place}.match.environments", "environment")
        for number in texts(match.get("numbers")):
            if not selectors.is_number(number):
                yield f"{place}.match.numbers: {number!r} is not a number; write it like +493012345 or +4930*"
    yield from pattern_faults(one.get("severities"), f"{place}.severities")
    yield from hider_faults(one.get("mute"), f"{place}.mute")
    for key in ("channels", "add_channels", "escalate_to"):
        yield from unknown(one.get(key), channels, f"{place}.{key}", "channel")
