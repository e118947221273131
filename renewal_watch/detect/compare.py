"""Compares a list with what is known: new, changed, gone, quiet. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import DAY_S, Entry, Listing
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known

_COUNTDOWN_KEY = b'"days_until_monthly_renewal"'


def fingerprint(entry: Entry) -> bytes:
    """Eight bytes that stay the same as long as nothing but the countdown changes in the entry's text."""
    raw = bytes(entry.raw)
    parts = raw.split(_COUNTDOWN_KEY)
    if len(parts) == 2:  # noqa: PLR2004 (once: anything else is no countdown that could be left out safely)
        head, tail = parts
        end = tail.find(b",")
        raw = head + (tail[end:] if end >= 0 else b"")
    return sha256(raw).digest()[:8]


@dataclass(slots=True)
class Comparison:
    """What differs between the list and what is known.

    ``present`` are the numbers to be judged: new, changed, or near enough to renewal. All others are quiet.
    """

    now_s: int
    digests: dict[str, bytes] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    near: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def compare(fleet: Mapping[str, Known], listing: Listing, policy: Policy, now: datetime) -> Comparison:
    """One pass over the list; costs a digest and a few comparisons for a number that nothing happened to."""
    now_s = int(now.timestamp())
    found = Comparison(now_s=now_s)
    off, on = policy.horizons
    on_day = renewal_day.today(now, policy.zone)
    for name, entry in listing.entries.items():  # every name here counts 100,000 times: no call that can be spared
        known = fleet.get(name)
        digest = fingerprint(entry)
        if known is None:
            found.new.append(name)
            found.digests[name] = digest
            continue
        value = entry.parsed.days_until_monthly_renewal
        countdown = int(value) if type(value) is float else entry.parsed.countdown
        zero_at = known.zero_at
        if digest != known.digest or known.absence is not None or (countdown is None) != (zero_at is None):
            found.changed.append(name)
            found.digests[name] = digest
            continue
        if zero_at is not None:
            assert countdown is not None  # noqa: S101 (the comparison above)
            expected = -((now_s - zero_at) // DAY_S)
            if countdown != expected:
                if abs(countdown - expected) > 1:
                    found.changed.append(name)
                    found.digests[name] = digest
                    continue
                found.corrected.append(name)
        horizon = on if entry.parsed.auto_renewal else off
        if (
            known.cycle is not None
            or (countdown is not None and countdown <= horizon)
            or (known.renews_on is not None and known.renews_on - on_day <= horizon)
            or entry.parsed.is_due_for_monthly_renewal
            or known.doubt is not None
            or known.lapse is not None
        ):
            found.near.append(name)
    if len(listing.entries) - len(found.new) < len(fleet):
        found.absent = [name for name in fleet if name not in listing.entries]
    return found
