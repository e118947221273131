"""The facts and the words of alerts about an API that cannot be read. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewal_watch.alerts.phrases import consequence, instant, span
from renewal_watch.language import _, ngettext
from renewal_watch.model.facts import Facts, Words


class TokenRejected(Facts, frozen=True):
    """The token does not work."""

    at: str
    error: str
    fleet: int
    soon: int

    def words(self) -> Words:
        return _("{environment}: the API token is rejected", environment=self.at), _(
            "{environment}: {error}. {consequence}. Put a new token in place; it is used at once, until then the old one is tried "
            "at most hourly.",
            environment=self.at,
            error=self.error,
            consequence=consequence(self.fleet, self.soon),
        )


class UserTokenRejected(Facts, frozen=True):
    """The token that only the balance is read with does not work."""

    at: str
    error: str

    def words(self) -> Words:
        return _("{environment}: the user token is rejected, so the balance is not watched", environment=self.at), _(
            "{environment}: the balance is not held against the renewals due, for the user token does not work: {error}. All "
            "else is watched. Put a new user token in place; it is used at the next reading.",
            environment=self.at,
            error=self.error,
        )


class UserTokenWorks(Facts, frozen=True):
    """The end of ``user_token_rejected``."""

    at: str

    def words(self) -> Words:
        return (
            _("{environment}: the user token works again", environment=self.at),
            _("{environment}: the balance is read and watched again. Nothing to do.", environment=self.at),
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
        failed = ngettext(
            "{environment}: {count} poll in a row failed, since {at}; the last one: {error}.",
            "{environment}: {count} polls in a row failed, since {at}; the last one: {error}.",
            self.failures,
            environment=self.at,
            at=instant(self.since),
            error=self.error,
        )
        goes_on = _("The countdown goes on from what was last known.")
        said = f"{failed} {consequence(self.fleet, self.soon)}. {goes_on}"
        return _("{environment}: the API cannot be read", environment=self.at), said


class Stale(Facts, frozen=True):
    """No good list for too long."""

    at: str
    last: datetime | None
    now: datetime
    error: str
    fleet: int
    soon: int

    def words(self) -> Words:
        values = {"environment": self.at, "error": self.error, "consequence": consequence(self.fleet, self.soon)}
        if self.last is None:
            return _("{environment}: the list was never read", environment=self.at), _(
                "{environment}: no list could be read ever; the last poll: {error}. {consequence}.", **values
            )
        return _("{environment}: nothing known since {at}", environment=self.at, at=instant(self.last)), _(
            "{environment}: no list could be read since {at} ({length}); the last poll: {error}. {consequence}.",
            at=instant(self.last),
            length=span(self.now - self.last),
            **values,
        )


class Recovered(Facts, frozen=True):
    """The list can be read again."""

    at: str
    since: datetime | None
    now: datetime

    def words(self) -> Words:
        if self.since:
            length = span(self.now - self.since)
            said = _("{environment}: the list is read again after {length}.", environment=self.at, length=length)
        else:
            said = _("{environment}: the list is read again.", environment=self.at)
        watched = _("All its numbers are watched again. Nothing to do.")
        return _("{environment}: the API can be read again", environment=self.at), f"{said} {watched}"


def clock_differs(off: timedelta) -> str:
    """How far our clock and that of the provider's answers differ; ``off`` is how far the latter is ahead."""
    length = span(abs(off))
    if off > timedelta(0):
        return _("this machine's clock is {length} behind the provider's", length=length)
    return _("this machine's clock is {length} ahead of the provider's", length=length)


class ClockOff(Facts, frozen=True):
    """Our clock and that of the provider's answers differ; ``off`` is how far the latter is ahead."""

    at: str
    off: timedelta

    def words(self) -> Words:
        headline = f"{self.at}: {clock_differs(self.off)}"
        return headline, _(
            "{headline}. Days are counted by the provider's until they agree; for a day nothing is called renewed or overdue by "
            "either alone. Set the clock (timedatectl); if it is right, ask the provider.",
            headline=headline,
        )


class ClockRight(Facts, frozen=True):
    """The end of ``clock_off``."""

    at: str

    def words(self) -> Words:
        return (
            _("{environment}: the clocks agree again", environment=self.at),
            _(
                "{environment}: this machine's clock and the provider's agree again. Nothing to do.",
                environment=self.at,
            ),
        )
