"""One walk through the pages of the list."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from renewal_watch.provider.talkover.decode import identity

READING_WAIT = timedelta(hours=1)  # … and the pauses of one reading up to this; a limit of 100 a minute needs 10 min


@dataclass(slots=True)
class Reading:
    """One walk through the pages.

    ``moved`` when entries seem to have shifted between pages meanwhile; ``lacks`` says what is missing at the end.
    """

    token: str = ""
    is_second: bool = False  # the list was read before in the same fetch
    entries: list[msgspec.Raw] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)
    read: int = 0  # entries read, repeated ones included
    size: int = 0  # bytes of all pages
    total: int | None = None
    last_page: int | None = None
    waited: timedelta = timedelta(0)  # because the provider asked for it
    paced: timedelta = timedelta(0)  # for turns
    longest_wait: timedelta = field(default_factory=lambda: READING_WAIT)
    tolerant: bool = False
    ended: bool = False  # else it was broken off, and says nothing about the list
    moved: bool = False
    lacks: str = ""

    def take(self, data: list[msgspec.Raw]) -> int:
        """Keep a page; how many of its entries are new. Of a page that brings nothing new nothing is kept."""
        before = len(self.names)
        self.names.update(map(identity, data))
        fresh = len(self.names) - before
        if fresh:
            self.entries += data
            self.read += len(data)
            self.moved |= fresh < len(data)
        return fresh

    def changed(self, total: int | None, last_page: int | None) -> bool:
        """Whether a page speaks of another total or last page than the pages before it."""
        said = (total, last_page)
        known = (self.total, self.last_page)
        self.total, self.last_page = (old if new is None else new for old, new in zip(known, said, strict=True))
        return any(None not in pair and pair[0] != pair[1] for pair in zip(known, said, strict=True))

    def end(self) -> Reading:
        """The reading, ended where the pages end; a total that is not met by different entries needs a second one."""
        self.ended = True
        if self.total is not None:
            self.moved |= len(self.names) != self.total
            if self.read < self.total:
                self.lacks = f"the provider says that there are {self.total} numbers, but only {self.read} can be read"
        return self
