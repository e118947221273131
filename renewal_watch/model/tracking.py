"""What is kept of a number and of an environment between two polls. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from renewal_watch.model.alerts import Alert, Key
from renewal_watch.model.numbers import Entry


class Cycle(NamedTuple):
    """What was told of a number in its present cycle; a number of which nothing was told has none.

    ``renews_on`` is the renewal day when it was first told, an ordinal; ``overdue_at`` an epoch second. ``course`` is the epoch
    second at which the day went back to an earlier one, 0 where it did not: what is told of it then is told anew.
    """

    renews_on: int
    told_threshold: int | None = None
    told_due_flag: bool = False
    overdue_at: int | None = None
    overdue_told: int = 0
    course: int = 0


class Absence(NamedTuple):
    """A number that is not in the list: for how many complete lists in a row, and since when it counts as missing.

    ``moved_to`` is the environment that lists it instead.
    """

    polls: int
    missing_at: int | None = None
    moved_to: str | None = None


class Lapse(NamedTuple):
    """A number that is meant to go. Days are ordinals.

    ``renews_on`` is the renewal day it was last seen with, None until one is known; ``reminded_on`` the renewal day
    before which the last chance to change one's mind was told.
    """

    renews_on: int | None = None
    reminded_on: int | None = None


class Doubt(NamedTuple):
    """What is in doubt of a number's renewal day; ``renewal_day.believe`` says which day is believed meanwhile.

    ``lists`` counts the complete lists in a row, up to the third, that contradict themselves or what was believed, ``since``
    the epoch second of the first. ``old_date`` (an ordinal) and ``old_countdown`` are answers taken for old while they stay.
    ``counted`` is the later day that a countdown means without having moved on to it, ``counted_at`` since when it is that
    day. ``is_unstated``: the list states no day any more.
    """

    lists: int = 0
    since: int = 0
    old_date: int | None = None
    old_countdown: int | None = None
    counted: int | None = None
    counted_at: int | None = None
    is_unstated: bool = False


class Known(NamedTuple):
    """What is kept of a number between two polls; up to ``is_sandbox`` the columns of the table ``numbers``.

    ``zero_at``: the epoch second at which the countdown becomes 0, None without a countdown.
    ``renews_on``: the renewal day that is believed, an ordinal (``date.toordinal``), None where none was ever known.
    """

    pk: int
    provider_id: str
    number: str
    digest: bytes
    zero_at: int | None
    renews_on: int | None
    auto_renewal: bool
    is_sandbox: bool
    cycle: Cycle | None = None
    absence: Absence | None = None
    lapse: Lapse | None = None
    doubt: Doubt | None = None

    @property
    def missing_at(self) -> int | None:
        """Since when it counts as missing, an epoch second."""
        return None if self.absence is None else self.absence.missing_at

    def is_overdue(self, days_left: int | None) -> bool:
        """Whether its renewal day passed without a renewal, of a listed number that is not meant to expire.

        A list that was read after the day showed it, in the provider's days: our calendar alone is no evidence.
        """
        is_shown = self.cycle is not None and self.cycle.overdue_told > 0
        return is_shown and days_left is not None and days_left < 0 and self.missing_at is None and self.lapse is None


class Flaw(NamedTuple):
    """What cannot be read in how many entries of the list, in a sentence."""

    entries: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is kept of an environment between two polls: how well the watch itself does.

    ``told`` holds the kinds of ``watch.*`` alerts that were told and have not ended.
    ``turn_s`` is the second of the UTC day at which the provider turns its day, as far as it was seen.
    ``clock_off_at`` is since when this machine's clock and that of the answers differ by more than minutes, ``confirmed_at``
    when an answer last said the time that this machine had.
    ``flaws`` holds what cannot be read or believed in the last list, by the kind of fault; all of it was told.
    """

    name: str
    numbers: int = 0
    has_baseline: bool = False
    last_poll_at: datetime | None = None
    last_success_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0
    failing_since: datetime | None = None
    told: frozenset[str] = frozenset()
    shrunk_at: datetime | None = None
    flaws: Mapping[str, Flaw] = field(default_factory=dict)
    turn_s: int | None = None
    clock_off_at: datetime | None = None
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one poll means.

    ``updates`` are the numbers whose kept state changed; ``versions`` the present entry of each number that changed, by
    provider id, None for one that left the list; ``countdowns`` the provider ids whose countdown moved otherwise than
    the calendar without anything else changing; ``ended`` the incidents that are over without an alert that says so.
    """

    alerts: list[Alert]
    watch: Watch
    updates: list[Known] = field(default_factory=list)
    versions: dict[str, Entry | None] = field(default_factory=dict)
    countdowns: list[str] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)
