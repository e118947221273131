"""The facts and the words of alerts about an environment's list. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from renewal_watch.alerts.notes import Believed
from renewal_watch.alerts.phrases import a_few, day, pairs, span
from renewal_watch.alerts.unreadable import Unreadable
from renewal_watch.language import _, language, ngettext, number
from renewal_watch.model.facts import Facts, Words


def doubt(kind: str, text: str, count: int) -> str:
    """What is in doubt of a list, by its kind as it is kept; ``text`` is the sentence that was kept of it, in English."""
    known = {
        "renewal days": lambda: days_unknown(count),
        "contradictions": lambda: signs_contradict(count),
        "empty": lambda: _("no number is watched"),
        "clock": lambda: _("this machine's clock and the provider's differ"),
        "entry": lambda: ngettext(
            "{count} entry has neither id nor number", "{count} entries have neither id nor number", count
        ),
    }
    if language() == "en":
        return text
    if kind in known:
        return known[kind]()
    field, _colon, form = kind.partition(": ")
    return ngettext(
        "{field} of {count} number cannot be read: it is {form}",
        "{field} of {count} numbers cannot be read: it is {form}",
        count,
        field=field,
        form=_(form),
    )


def empty_why(filters: Mapping[str, str]) -> str:
    """What a list without any number may mean."""
    if filters:
        return _("the list is empty; perhaps nothing fits its filters ({filters})", filters=pairs(filters))
    return _("the list is empty; perhaps the token is that of another environment or account")


def nothing_watched(sandbox: int, filters: Mapping[str, str]) -> str:
    """Why an environment has no number that is watched; ``sandbox`` numbers are in its list."""
    if sandbox:
        return ngettext(
            "no number is watched: the list has {count} number, for the sandbox only (include_sandbox)",
            "no number is watched: the list has {count} numbers, for the sandbox only (include_sandbox)",
            sandbox,
        )
    return _("no number is watched: {why}", why=empty_why(filters))


class ListEmpty(Facts, frozen=True):
    """A list without any number that is watched."""

    at: str
    sandbox: int
    filters: Mapping[str, str]

    def words(self) -> Words:
        why = nothing_watched(self.sandbox, self.filters)
        return (
            _("{environment}: no number is watched", environment=self.at),
            _("{environment}: {why}. If that is not meant, mend it.", environment=self.at, why=why),
        )


class NotEmpty(Facts, frozen=True):
    """The end of ``list_empty``."""

    at: str
    count: int

    def words(self) -> Words:
        said = ngettext(
            "{environment}: the list has {count} number, which is watched. Nothing to do.",
            "{environment}: the list has {count} numbers, which are watched. Nothing to do.",
            self.count,
            environment=self.at,
        )
        return _("{environment}: numbers are watched again", environment=self.at), said


class Unwatched(Facts, frozen=True):
    """Numbers that the list calls sandbox numbers from now on; ``some`` are the names of the first."""

    at: str
    count: int
    some: tuple[str, ...]

    def words(self) -> Words:
        headline = ngettext(
            "{environment}: {count} number is a sandbox number now and is not watched any more",
            "{environment}: {count} numbers are sandbox numbers now and are not watched any more",
            self.count,
            environment=self.at,
        )
        todo = _("If nobody meant it, ask the provider; to watch them anyway, set include_sandbox = true.")
        return headline, f"{headline}: {a_few(self.some, self.count)}. {todo}"


class Invalid(Facts, frozen=True):
    """Fields that cannot be read, and entries that are skipped: ``entries`` in all, by ``kinds`` of faults, the first in words."""

    at: str
    entries: int
    kinds: int
    some: tuple[str | Unreadable, ...]  # as text by releases up to schema 0007

    def words(self) -> Words:
        said = "; ".join(one if isinstance(one, str) else one.words() for one in self.some)
        more = self.kinds - len(self.some)
        if more > 0:
            said = ngettext(
                "{faults}; and {count} more kind of faults",
                "{faults}; and {count} more kinds of faults",
                more,
                faults=said,
            )
        headline = ngettext(
            "{count} entry of the list cannot be read whole ({environment})",
            "{count} entries of the list cannot be read whole ({environment})",
            self.entries,
            environment=self.at,
        )
        return headline, _(
            "The list of {environment}: {faults}. A field that cannot be read counts as unknown, all else is judged as ever. "
            "Ask the provider.",
            environment=self.at,
            faults=said,
        )


def days_unknown(count: int) -> str:
    """How many numbers have lost their renewal day."""
    return ngettext(
        "the renewal day of {count} number is not known any more",
        "the renewal day of {count} numbers is not known any more",
        count,
    )


class DaysUnknown(Facts, frozen=True):
    """Numbers of which the list states no renewal day any more: the last known days, ordinals, go on."""

    at: str
    count: int
    some: tuple[tuple[str, int], ...]  # name and last known day of the first

    def words(self) -> Words:
        named = [_("{name} (last known {day})", name=name, day=day(on)) for name, on in self.some]
        headline = f"{self.at}: {days_unknown(self.count)}"
        return headline, _(
            "{days_unknown}. The list states neither countdown nor date of {names}. Their countdown goes on from what was last "
            "known, but nobody can see whether they renew. Ask the provider, and look in the provider's dashboard until it is "
            "back.",
            days_unknown=headline,
            names=a_few(named, self.count),
        )


class DaysKnown(Facts, frozen=True):
    """The end of ``unstated``."""

    at: str

    def words(self) -> Words:
        return (
            _("{environment}: the renewal days are known again", environment=self.at),
            _("{environment}: the renewal days are stated again. Nothing to do.", environment=self.at),
        )


class SignsAgree(Facts, frozen=True):
    """The end of ``contradiction``."""

    at: str

    def words(self) -> Words:
        return _("{environment}: the signs of the renewal days agree again", environment=self.at), _(
            "{environment}: countdown and date of every number agree again, and the countdowns move. Nothing to do.",
            environment=self.at,
        )


class Dayless(Facts, frozen=True):
    """Numbers of the first list, which has ``fleet``, that have no renewal day; ``some`` are the names of the first."""

    at: str
    count: int
    fleet: int
    some: tuple[str, ...]

    def words(self) -> Words:
        if self.count == self.fleet:
            headline = _("{environment}: no renewal day is known of any number", environment=self.at)
        else:
            headline = ngettext(
                "{environment}: no renewal day is known of {count} number",
                "{environment}: no renewal day is known of {count} numbers",
                self.count,
                environment=self.at,
            )
        return headline, _(
            "{headline}: the list states neither days_until_monthly_renewal nor renewal_date of {names}. No renewal of theirs "
            "can be told ahead, all else is watched.",
            headline=headline,
            names=a_few(self.some, self.count),
        )


def signs_contradict(count: int) -> str:
    """How many numbers have signs that contradict each other."""
    return ngettext(
        "the signs of the renewal day of {count} number contradict each other",
        "the signs of the renewal day of {count} numbers contradict each other",
        count,
    )


class Contradiction(Facts, frozen=True):
    """Numbers whose signs contradict each other, or stand still, for three lists in a row."""

    at: str
    count: int
    some: tuple[tuple[str, Believed], ...]  # name of the first, and the day that is believed

    def words(self) -> Words:
        named = "; ".join(
            _("{name} renews on {day} ({sign})", name=name, day=day(one.on), sign=one.sign()) for name, one in self.some
        )
        more = self.count - len(self.some)
        if more > 0:
            named = ngettext("{names}; and {count} more", "{names}; and {count} more", more, names=named)
        headline = f"{self.at}: {signs_contradict(self.count)}"
        return headline, _(
            "{headline} for three lists in a row. The day that loses no number is believed: {names}. The list may be an old one: "
            "ask the provider, and look in the provider's dashboard when they renew.",
            headline=headline,
            names=named,
        )


class ListShrunk(Facts, frozen=True):
    """Too many of ``fleet`` numbers are gone at once to be believed; ``some`` are the names of the first."""

    at: str
    count: int
    fleet: int
    some: tuple[str, ...]
    filters: Mapping[str, str]

    def words(self) -> Words:
        headline = ngettext(
            "{environment}: {gone} of {count} number left the list at once",
            "{environment}: {gone} of {count} numbers left the list at once",
            self.fleet,
            environment=self.at,
            gone=number(self.count),
        )
        asked = f" ({pairs(self.filters)})" if self.filters else ""
        return headline, _(
            "{headline}: {names}. That looks like a fault of the provider, the token or the filters{filters}; if it stays so for "
            "24 hours each of them is reported as missing. Look in the provider's dashboard now.",
            headline=headline,
            names=a_few(self.some, self.count),
            filters=asked,
        )


class ListWhole(Facts, frozen=True):
    """The end of ``list_shrunk``; ``gone`` numbers are still not in the list, too few to doubt it."""

    at: str
    since: datetime
    now: datetime
    gone: int

    def words(self) -> Words:
        length = span(self.now - self.since)
        if self.gone:
            return _("{environment}: the list is almost whole again", environment=self.at), ngettext(
                "{environment}: most numbers are back in the list after {length}; {count} number is still not in it and will be "
                "reported as missing.",
                "{environment}: most numbers are back in the list after {length}; {count} numbers are still not in it and will "
                "be reported as missing.",
                self.gone,
                environment=self.at,
                length=length,
            )
        return _("{environment}: the list is whole again", environment=self.at), _(
            "{environment}: the numbers are back in the list after {length}. Nothing to do.",
            environment=self.at,
            length=length,
        )
