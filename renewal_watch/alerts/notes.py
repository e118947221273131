"""How far an alert's facts can be trusted: a few words at the end of its sentence. Pure."""

from __future__ import annotations

from datetime import datetime

import msgspec

from renewal_watch.alerts.phrases import both, day, days, instant
from renewal_watch.language import _
from renewal_watch.model import renewal_day
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.renewal_day import Moment


class Unread(msgspec.Struct, frozen=True, tag=True):
    """The API cannot be read since."""

    since: datetime

    def words(self) -> str:
        """In round brackets, after a blank."""
        return _(" (as last known at {at}; the list could not be read since)", at=instant(self.since))


class Unlisted(msgspec.Struct, frozen=True, tag=True):
    """The number is not in the list now."""

    def words(self) -> str:
        """In round brackets, after a blank."""
        return _(" (as last known; it is not in the list now)")


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """The number may be an entry of the list that cannot be read."""

    def words(self) -> str:
        """In round brackets, after a blank."""
        return _(" (as last known; its entry in the list may be one that cannot be read now)")


class Unstated(msgspec.Struct, frozen=True, tag=True):
    """The list does not state the renewal day any more."""

    def words(self) -> str:
        """In round brackets, after a blank."""
        return _(" (as last known; the list does not state its renewal day any more)")


class AsRead(msgspec.Struct, frozen=True, tag=True):
    """An answer about the account cannot be read; this is the last that could."""

    at: datetime

    def words(self) -> str:
        """In round brackets, after a blank."""
        return _(" (as last read at {at})", at=instant(self.at))


class Believed(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The signs of a renewal day contradict each other, or what was believed before; ``on`` is the day that counts.

    ``stated`` is the day of its renewal_date and ``counted`` the one that its ``countdown`` leads to, each an ordinal.
    """

    on: int
    stated: int | None = None
    counted: int | None = None
    countdown: int = 0

    @classmethod
    def of(cls, number: PhoneNumber, on: int, at: Moment) -> Believed:
        """By what the list says of a number."""
        return cls(on, renewal_day.stated(number, at.zone), renewal_day.counted(number, at), number.countdown or 0)

    def words(self) -> str:
        """In round brackets, after a blank."""
        return f" ({self.sign()})"

    def sign(self) -> str:
        """Which sign counts, and what the other one says."""
        date_said = "" if self.stated is None else _("its renewal_date is {day}", day=day(self.stated))
        count_said = "" if self.counted is None else _("its countdown stands at {days}", days=days(self.countdown))
        if self.stated is not None and abs(self.stated - self.on) <= renewal_day.WOBBLE_DAYS:
            return "; ".join(filter(None, (_("by its renewal_date"), count_said)))
        if self.counted is not None and abs(self.counted - self.on) <= renewal_day.WOBBLE_DAYS:
            return "; ".join(filter(None, (_("by its countdown"), date_said)))
        return _(
            "as first read; {signs}, which moved on without a sign of a renewal",
            signs=both([one for one in (count_said, date_said) if one]),
        )


Note = Unread | Unlisted | Unreadable | Unstated | AsRead | Believed


def noted(note: Note | None) -> str:
    """The words of a note; empty for none."""
    return "" if note is None else note.words()
