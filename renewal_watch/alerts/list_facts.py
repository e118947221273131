"""The facts and the words of alerts about an environment's list. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from renewal_watch.alerts.notes import Believed
from renewal_watch.alerts.phrases import (
    DASHBOARD,
    a_few,
    day,
    numbers,
    of_numbers,
    pairs,
    span,
    who,
)
from renewal_watch.model.facts import Facts, Words
from renewal_watch.model.numbers import InvalidEntry, PhoneNumber
from renewal_watch.text import plain


def field_unreadable(field: str, form: str, those: Sequence[tuple[PhoneNumber, str]]) -> str:
    """A field that cannot be read: what it is, of how many numbers, and one as it came."""
    number, shown = min(those, key=lambda one: (who(one[0]), one[1]))  # the same one, however the list is ordered
    return f"{field} {of_numbers(len(those))} cannot be read: it is {plain(form)}, {plain(shown)} for {who(number)}"


def entries_skipped(entries: Sequence[InvalidEntry]) -> str:
    """Entries that nobody can tell the number of."""
    count = f"{len(entries)} {'entry has' if len(entries) == 1 else 'entries have'}"
    return f"{count} neither id nor number and cannot be watched: {plain(entries[0].reason)}"


def empty_why(filters: Mapping[str, str]) -> str:
    """What a list without any number may mean."""
    if filters:
        return f"the list is empty; perhaps nothing fits its filters ({pairs(filters)})"
    return "the list is empty; perhaps the token is that of another environment or account"


def nothing_watched(sandbox: int, filters: Mapping[str, str]) -> str:
    """Why an environment has no number that is watched; ``sandbox`` numbers are in its list."""
    if sandbox:
        return f"no number is watched: the list has {numbers(sandbox)}, for the sandbox only (include_sandbox)"
    return f"no number is watched: {empty_why(filters)}"


class ListEmpty(Facts, frozen=True):
    """A list without any number that is watched."""

    at: str
    sandbox: int
    filters: Mapping[str, str]

    def words(self) -> Words:
        return (
            f"{self.at}: no number is watched",
            f"{self.at}: {nothing_watched(self.sandbox, self.filters)}. If that is not meant, mend it.",
        )


class NotEmpty(Facts, frozen=True):
    """The end of ``list_empty``."""

    at: str
    count: int

    def words(self) -> Words:
        return (
            f"{self.at}: numbers are watched again",
            f"{self.at}: the list has {numbers(self.count)}, which are watched. Nothing to do.",
        )


class Unwatched(Facts, frozen=True):
    """Numbers that the list calls sandbox numbers from now on; ``some`` are the names of the first."""

    at: str
    count: int
    some: tuple[str, ...]

    def words(self) -> Words:
        are = "is a sandbox number now and is" if self.count == 1 else "are sandbox numbers now and are"
        return f"{self.at}: {numbers(self.count)} {are} not watched any more", (
            f"{self.at}: {numbers(self.count)} {are} not watched any more: {a_few(self.some, self.count)}. If nobody meant "
            f"it, ask the provider; to watch them anyway, set include_sandbox = true."
        )


class Invalid(Facts, frozen=True):
    """Fields that cannot be read, and entries that are skipped: ``entries`` in all, by ``kinds`` of faults, the first in words."""

    at: str
    entries: int
    kinds: int
    some: tuple[str, ...]

    def words(self) -> Words:
        said = "; ".join(self.some)
        more = f"; and {self.kinds - len(self.some)} more kinds of faults" if self.kinds > len(self.some) else ""
        return (
            f"{self.entries} {'entry' if self.entries == 1 else 'entries'} of the list cannot be read whole ({self.at})",
            (
                f"The list of {self.at}: {said}{more}. A field that cannot be read counts as unknown, all else is judged "
                f"as ever. Ask the "
                f"provider."
            ),
        )


def days_unknown(count: int) -> str:
    """How many numbers have lost their renewal day."""
    return f"the renewal day {of_numbers(count)} is not known any more"


class DaysUnknown(Facts, frozen=True):
    """Numbers of which the list states no renewal day any more: the last known days, ordinals, go on."""

    at: str
    count: int
    some: tuple[tuple[str, int], ...]  # name and last known day of the first

    def words(self) -> Words:
        named = [f"{name} (last known {day(on)})" for name, on in self.some]
        said = days_unknown(self.count)
        return f"{self.at}: {said}", (
            f"{self.at}: {said}. The list states neither countdown nor date of {a_few(named, self.count)}. Their "
            f"countdown goes on "
            f"from what was last known, but nobody can see whether they renew. Ask the provider, and look in {DASHBOARD} "
            f"until it "
            f"is back."
        )


class DaysKnown(Facts, frozen=True):
    """The end of ``unstated``."""

    at: str

    def words(self) -> Words:
        return (
            f"{self.at}: the renewal days are known again",
            f"{self.at}: the renewal days are stated again. Nothing to do.",
        )


class SignsAgree(Facts, frozen=True):
    """The end of ``contradiction``."""

    at: str

    def words(self) -> Words:
        return f"{self.at}: the signs of the renewal days agree again", (
            f"{self.at}: countdown and date of every number agree again, and the countdowns move. Nothing to do."
        )


class Dayless(Facts, frozen=True):
    """Numbers of the first list, which has ``fleet``, that have no renewal day; ``some`` are the names of the first."""

    at: str
    count: int
    fleet: int
    some: tuple[str, ...]

    def words(self) -> Words:
        whole = "any number" if self.count == self.fleet else numbers(self.count)
        return f"{self.at}: no renewal day is known of {whole}", (
            f"{self.at}: no renewal day is known of {whole}: the list states neither days_until_monthly_renewal nor "
            f"renewal_date of "
            f"{a_few(self.some, self.count)}. No renewal of theirs can be told ahead, all else is watched."
        )


def signs_contradict(count: int) -> str:
    """How many numbers have signs that contradict each other."""
    return f"the signs of the renewal day {of_numbers(count)} contradict each other"


class Contradiction(Facts, frozen=True):
    """Numbers whose signs contradict each other, or stand still, for three lists in a row."""

    at: str
    count: int
    some: tuple[tuple[str, Believed], ...]  # name of the first, and the day that is believed

    def words(self) -> Words:
        named = "; ".join(f"{name} renews on {day(one.on)} ({one.sign()})" for name, one in self.some)
        more = f"; and {self.count - len(self.some)} more" if self.count > len(self.some) else ""
        said = signs_contradict(self.count)
        return f"{self.at}: {said}", (
            f"{self.at}: {said} for three lists in a row. The day that loses no number is believed: {named}{more}. "
            f"The list may be an old one: ask the provider, and look in {DASHBOARD} when they renew."
        )


class ListShrunk(Facts, frozen=True):
    """Too many of ``fleet`` numbers are gone at once to be believed; ``some`` are the names of the first."""

    at: str
    count: int
    fleet: int
    some: tuple[str, ...]
    filters: Mapping[str, str]

    def words(self) -> Words:
        said = f"{self.count} of {numbers(self.fleet)} left the list at once"
        asked = f" ({pairs(self.filters)})" if self.filters else ""
        return f"{self.at}: {said}", (
            f"{self.at}: {said}: {a_few(self.some, self.count)}. That looks like a fault of the provider, the token or "
            f"the filters{asked}; if it stays so for 24 hours each of them is reported as missing. Look in {DASHBOARD} now."
        )


class ListWhole(Facts, frozen=True):
    """The end of ``list_shrunk``; ``gone`` numbers are still not in the list, too few to doubt it."""

    at: str
    since: datetime
    now: datetime
    gone: int

    def words(self) -> Words:
        after = f"after {span(self.now - self.since)}"
        if self.gone:
            still = f"{numbers(self.gone)} {'is' if self.gone == 1 else 'are'} still not in it and will be reported as missing"
            return (
                f"{self.at}: the list is almost whole again",
                f"{self.at}: most numbers are back in the list {after}; {still}.",
            )
        return (
            f"{self.at}: the list is whole again",
            f"{self.at}: the numbers are back in the list {after}. Nothing to do.",
        )
