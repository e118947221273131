"""What of a list cannot be read, as facts with their words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from renewal_watch.alerts.phrases import who
from renewal_watch.language import _, ngettext
from renewal_watch.model.numbers import InvalidEntry, PhoneNumber
from renewal_watch.text import plain


class FieldUnreadable(msgspec.Struct, frozen=True, tag=True):
    """A field that cannot be read: what it is, of how many numbers, and one as it came."""

    field: str
    form: str
    count: int
    shown: str
    name: str

    @classmethod
    def of(cls, field: str, form: str, those: Sequence[tuple[PhoneNumber, str]]) -> FieldUnreadable:
        """Of all the numbers that have it so; the same one is shown however the list is ordered."""
        number, shown = min(those, key=lambda one: (who(one[0]), one[1]))
        return cls(field, plain(form), len(those), plain(shown), who(number))

    def words(self) -> str:
        """In the middle of a sentence."""
        return ngettext(
            "{field} of {count} number cannot be read: it is {form}, {shown} for {name}",
            "{field} of {count} numbers cannot be read: it is {form}, {shown} for {name}",
            self.count,
            field=self.field,
            form=_(self.form),
            shown=self.shown,
            name=self.name,
        )


class EntriesSkipped(msgspec.Struct, frozen=True, tag=True):
    """Entries that nobody can tell the number of, and why not of the first."""

    count: int
    reason: str

    @classmethod
    def of(cls, entries: Sequence[InvalidEntry]) -> EntriesSkipped:
        """Of some of one list."""
        return cls(len(entries), plain(entries[0].reason))

    def words(self) -> str:
        """In the middle of a sentence."""
        return ngettext(
            "{count} entry has neither id nor number and cannot be watched: {reason}",
            "{count} entries have neither id nor number and cannot be watched: {reason}",
            self.count,
            reason=self.reason,
        )


Unreadable = FieldUnreadable | EntriesSkipped
