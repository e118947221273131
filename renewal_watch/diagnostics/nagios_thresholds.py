"""The thresholds and the performance data of ``check``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from math import inf, isfinite

from renewal_watch.alerts.phrases import days, span
from renewal_watch.alerts.phrases import numbers as counted
from renewal_watch.errors import UsageError

WARNING, CRITICAL = 14, 3  # days, by default
BETWEEN = " - "  # parts of the line
_BARE = re.compile(r"[-+]?\d+(\.\d+)?")
_RANGE = re.compile(r"(@?)(?:(~|[-+]?\d+(?:\.\d+)?):)?([-+]?\d+(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Days left that are too few: ``14`` (14 or less), or a range of the guidelines: ``14:`` (outside), ``@0:14`` (inside)."""

    low: float
    high: float
    is_inside: bool
    is_bare: bool = False

    @classmethod
    def parse(cls, text: str, option: str) -> Threshold:
        """What ``option`` says. Raises UsageError."""
        wanted = text.strip()
        found = _RANGE.fullmatch(wanted)
        if found is None or not wanted.strip("@:~"):
            msg = f"{option}: {text!r} is no number of days; write it like 14 (14 days or less), or as a range like 14: or @0:14"
            raise UsageError(msg)
        if _BARE.fullmatch(wanted):
            return cls.days(float(wanted))
        low = -inf if found[2] == "~" else float(found[2] or 0)
        high = inf if found[3] is None else float(found[3])
        if low > high:
            msg = f"{option}: the range {text!r} begins after its end"
            raise UsageError(msg)
        return cls(low=low, high=high, is_inside=bool(found[1]))

    @classmethod
    def days(cls, most: float) -> Threshold:
        """So many days, or less."""
        return cls(low=-inf, high=most, is_inside=True, is_bare=True)

    @property
    def edge(self) -> str:
        """The days at which it begins, for the performance data: Icinga 2 drops a range there (lib/base/perfdatavalue.cpp).

        What alerts inside of a range is for numbers that come nearer: it begins at the upper end.
        """
        first, other = (self.high, self.low) if self.is_inside else (self.low, self.high)
        return f"{first if isfinite(first) else other:g}"

    def is_hit(self, left: int) -> bool:
        """Whether so many days are too few."""
        return (self.low <= left <= self.high) == self.is_inside


def thresholds(warning: str | None, critical: str | None) -> tuple[Threshold, Threshold]:
    """Both, if they make sense together; what is not given is 14 and 3 days, or the other one if that goes further.

    Raises UsageError.
    """
    soon = None if warning is None else Threshold.parse(warning, "-w")
    urgent = None if critical is None else Threshold.parse(critical, "-c")
    if urgent is None:
        urgent = Threshold.days(min(CRITICAL, soon.high) if soon is not None and soon.is_bare else CRITICAL)
    if soon is None:
        soon = Threshold.days(max(WARNING, urgent.high) if urgent.is_bare else WARNING)
    if soon.is_bare and urgent.is_bare and urgent.high > soon.high:
        msg = f"-c: {critical} days are more than the {warning} of -w, so that nothing would ever be a warning; exchange them"
        raise UsageError(msg)
    return soon, urgent


def when(left: int) -> str:
    """``in 3 days``, ``today``, ``2 days ago``."""
    return f"in {days(left)}" if left > 0 else "today" if left == 0 else f"{days(-left)} ago"


def as_performance(total: int, renewing: int, next_lost: tuple[int, str] | None, age: int | None) -> str:
    """What is said when all is well; so many of all numbers have auto-renewal and a known day."""
    lost = "all renew by themselves"
    if renewing < total:
        verb = "renews by itself" if renewing == 1 else "renew by themselves"
        lost = f"{renewing} of them {verb}, the others are meant to go, acknowledged, or without a renewal day"
    if next_lost is not None:
        lost = " ".join(filter(None, ("the next without auto-renewal:", next_lost[1], when(next_lost[0]))))
    return BETWEEN.join((counted(total), lost, f"list read {span(timedelta(seconds=age or 0))} ago"))
