"""A tiny provider that is not Talkover: one text of lines, its own words, and an end of each rental instead of a countdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import requests

from renewal_watch.errors import NotOffered, ServerTrouble
from renewal_watch.model.numbers import InvalidEntry, Listing
from renewal_watch.provider import entries
from renewal_watch.provider.base import Answered, Endpoint
from renewal_watch.settings.environment import Environment

STATES = {"up": "active", "blocked": "suspended"}


@dataclass(frozen=True)
class Lines:
    """``msisdn;state;paid until;price`` for each number."""

    url: str
    server_time: datetime | None = None
    clock_off: timedelta | None = None

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        return {}

    def fetch(self) -> Listing:
        try:
            answer = requests.get(f"{self.url}/lines.txt", timeout=10)
            answer.raise_for_status()
        except requests.RequestException as error:
            msg = f"the lines cannot be read: {error}"
            raise ServerTrouble(msg) from error
        found = {}
        skipped = []
        for line in filter(None, answer.text.splitlines()):
            msisdn, state, until, price = line.split(";")
            said = {
                "id": msisdn,
                "number": f"+{msisdn}",
                "current_status": STATES.get(state, state),
                "renewal_date": until,
                "auto_renewal": False,
                "monthly_renewal_cost": price,
                "currency": "EUR",
            }
            try:
                found[msisdn] = entries.read(entries.encode(said))
            except ValueError as error:
                skipped.append(InvalidEntry(reason=str(error)))
        return Listing(entries=found, invalid=tuple(skipped))

    def ask(self, name: str) -> Answered:
        msg = f"there is no {name}"
        raise NotOffered(msg)

    def last_call(self, number: str, since: date) -> datetime | None:
        msg = f"there are no calls of {number} since {since}"
        raise NotOffered(msg)


def open_provider(
    environment: Environment, pause: Callable[[float], None], progress: Callable[[], None], **of_no_use: Any
) -> Lines:
    del pause, of_no_use
    progress()
    return Lines(environment.base_url)
