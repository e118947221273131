"""Why nobody is notified of an alert, in words. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Union

import msgspec

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.language import _, in_language
from renewal_watch.model.facts import Because
from renewal_watch.text import plain


class Silenced(Because, frozen=True):
    """A silence is about it."""

    pk: int
    author: str
    ends_at: datetime

    def words(self) -> str:
        return _("silence {id} of {author} until {at}", id=self.pk, author=plain(self.author), at=instant(self.ends_at))


class Muted(Because, frozen=True):
    """A rule of the configuration is about it."""

    rule: str

    def words(self) -> str:
        return _("the rule {rule} mutes it", rule=self.rule)


class MeantToExpire(Because, frozen=True):
    """Somebody said that the number is to go; ``author`` is empty where that is not known."""

    author: str = ""

    def words(self) -> str:
        if not self.author:
            return _("it is meant to expire")
        return _("it is meant to expire ({author})", author=self.author)


class Acknowledged(Because, frozen=True):
    """Somebody looks after it; ``at`` is None where it ran out at ``until``."""

    author: str
    at: datetime | None = None
    until: datetime | None = None

    def words(self) -> str:
        if self.at is not None:
            return _("acknowledged by {author} at {at}", author=plain(self.author), at=instant(self.at))
        if self.until is not None:
            return _("acknowledged by {author} until {at}", author=plain(self.author), at=instant(self.until))
        return _("it was acknowledged")


class Repeated(Because, frozen=True):
    """The same was notified a short while ago."""

    told_at: datetime
    every: timedelta

    def words(self) -> str:
        return _(
            "told at {at} already; it is repeated every {length}", at=instant(self.told_at), length=span(self.every)
        )


class FlappingSince(Because, frozen=True):
    """It goes to and fro."""

    since: datetime

    def words(self) -> str:
        return _("flapping since {at}", at=instant(self.since))


class Unrouted(Because, frozen=True):
    """Nobody is to be told."""

    def words(self) -> str:
        return _("no channel takes it")


class SaidByAnother(Because, frozen=True):
    """Who would be told of it learns the same from another alert."""

    def words(self) -> str:
        return _("another alert of the same poll says it")


class Replaced(Because, frozen=True):
    """A digest that waited until the next one came."""

    def words(self) -> str:
        return _("a newer digest took its place")


class AsWritten(Because, frozen=True):
    """In the words of a release that kept nothing else."""

    text: str

    def words(self) -> str:
        return self.text


_ALL = (
    Silenced,
    Muted,
    MeantToExpire,
    Acknowledged,
    Repeated,
    FlappingSince,
    Unrouted,
    SaidByAnother,
    Replaced,
    AsWritten,
)
if TYPE_CHECKING:
    Reason = Because
else:
    Reason = Union[_ALL]  # noqa: UP007 (of a tuple)


class _Kept(msgspec.Struct, frozen=True):
    """A reason beside the words that it was written with: whoever writes other words, as an older release, knows no reason."""

    text: str
    why: Reason


_DECODER = msgspec.json.Decoder(_Kept)


def kept(reason: Because | None) -> tuple[str | None, str | None]:
    """As the database has it: English words, and JSON; that is None where it cannot hold it."""
    if reason is None:
        return None, None
    with in_language("en"):
        text = reason.words()
    if isinstance(reason, AsWritten):
        return text, None
    try:
        return text, msgspec.json.encode(_Kept(text, reason)).decode()
    except UnicodeEncodeError:
        return text, None


def read(text: str | None, json: str | None) -> Reason | None:
    """The reason that was kept with these words; else the words alone, None for none."""
    if text is None:
        return None
    try:
        found = None if json is None else _DECODER.decode(json)
    except msgspec.DecodeError:  # of a newer release, or damaged
        found = None
    return found.why if found is not None and found.text == text else AsWritten(text)
