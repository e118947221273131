"""The facts and the words of alerts about an API that cannot be read. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewal_watch.alerts.account_facts import consequence
from renewal_watch.alerts.phrases import (
    instant,
    span,
)
from renewal_watch.model.facts import Facts, Words


class TokenRejected(Facts, frozen=True):
    """The token does not work."""

    at: str
    error: str
    fleet: int
    soon: int

    def words(self) -> Words:
        return f"{self.at}: the API token is rejected", (
            f"{self.at}: {self.error}. {consequence(self.fleet, self.soon)}. Put a new token in place; it is used at once, "
            f"until then the old one is tried at most hourly."
        )


class UserTokenRejected(Facts, frozen=True):
    """The token that only the balance is read with does not work."""

    at: str
    error: str

    def words(self) -> Words:
        return f"{self.at}: the user token is rejected, so the balance is not watched", (
            f"{self.at}: the balance is not held against the renewals due, for the user token does not work: "
            f"{self.error}. All else is "
            f"watched. Put a new user token in place; it is used at the next reading."
        )


class UserTokenWorks(Facts, frozen=True):
    """The end of ``user_token_rejected``."""

    at: str

    def words(self) -> Words:
        return (
            f"{self.at}: the user token works again",
            f"{self.at}: the balance is read and watched again. Nothing to do.",
        )


class ApiFailing(Facts, frozen=True):
    """Several polls in a row gave no list."""

    at: str
    error: str
    failures: int
    since: datetime
    fleet: int
    soon: int

    def words(self) -> Words:
        return f"{self.at}: the API cannot be read", (
            f"{self.at}: {self.failures} polls in a row failed, since {instant(self.since)}; the last one: {self.error}. "
            f"{consequence(self.fleet, self.soon)}. The countdown goes on from what was last known."
        )


class Stale(Facts, frozen=True):
    """No good list for too long."""

    at: str
    last: datetime | None
    now: datetime
    error: str
    fleet: int
    soon: int

    def words(self) -> Words:
        since = f"since {instant(self.last)} ({span(self.now - self.last)})" if self.last else "ever"
        return (
            f"{self.at}: nothing known since {instant(self.last)}"
            if self.last
            else f"{self.at}: the list was never read",
            (
                f"{self.at}: no list could be read {since}; the last poll: {self.error}. {consequence(self.fleet, self.soon)}."
            ),
        )


class Recovered(Facts, frozen=True):
    """The list can be read again."""

    at: str
    since: datetime | None
    now: datetime

    def words(self) -> Words:
        blind = f" after {span(self.now - self.since)}" if self.since else ""
        return (
            f"{self.at}: the API can be read again",
            f"{self.at}: the list is read again{blind}. All its numbers are watched again. Nothing to do.",
        )


def clock_differs(off: timedelta) -> str:
    """How far our clock and that of the provider's answers differ; ``off`` is how far the latter is ahead."""
    return f"this machine's clock is {span(abs(off))} {'behind' if off > timedelta(0) else 'ahead of'} the provider's"


class ClockOff(Facts, frozen=True):
    """Our clock and that of the provider's answers differ; ``off`` is how far the latter is ahead."""

    at: str
    off: timedelta

    def words(self) -> Words:
        headline = f"{self.at}: {clock_differs(self.off)}"
        return headline, (
            f"{headline}. Days are counted by the provider's until they agree; for a day nothing is called renewed or "
            f"overdue by "
            f"either alone. Set the clock (timedatectl); if it is right, ask the provider."
        )


class ClockRight(Facts, frozen=True):
    """The end of ``clock_off``."""

    at: str

    def words(self) -> Words:
        return (
            f"{self.at}: the clocks agree again",
            f"{self.at}: this machine's clock and the provider's agree again. Nothing to do.",
        )
