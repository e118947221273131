"""The facts and the words of alerts about one number's renewal. Pure."""

from __future__ import annotations

from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.number_facts import OfNumber
from renewal_watch.alerts.phrases import (
    DASHBOARD,
    auto,
    cost,
    day,
    days,
    in_days,
)
from renewal_watch.model.facts import Number, Words


class Ahead(OfNumber, frozen=True):
    """Facts that know of a renewal day ahead only; of one that is over they say nothing."""

    left: int
    on: int


class Upcoming(Ahead, frozen=True):
    """Renewal comes near: a charge to expect, or a number that will be lost."""

    note: Note | None = None

    def words(self) -> Words:
        if self.number.auto_renewal:
            headline = f"{self.name} renews in {days(self.left)}"
            todo = f"{cost(self.number)} will be charged. Make sure that the balance covers it"
        else:
            headline = f"{self.name} will be lost in {days(self.left)}"
            todo = f"renewing costs {cost(self.number)}. Switch auto-renewal on or renew it in {DASHBOARD}"
        verb = headline.removeprefix(self.name)
        return (
            headline,
            f"{self.place}{verb}, on {day(self.on)}: {auto(self.number)}, {todo}.{noted(self.note)}",
        )

    def brief(self) -> str:
        return f"{'renews' if self.number.auto_renewal else 'will be lost'} in {days(self.left)}"


class Due(Ahead, frozen=True):
    """The renewal day itself, or the provider's due flag before it."""

    note: Note | None = None

    def words(self) -> Words:
        when = "today" if self.left == 0 else f"in {days(self.left)}"
        if self.number.auto_renewal:
            headline = f"{self.name} is due for renewal {when}"
            todo = f"{cost(self.number)} will be charged. Make sure that the balance covers it"
        else:
            headline = f"{self.name} will be lost {when}"
            todo = f"renewing costs {cost(self.number)}. Renew it in {DASHBOARD} now"
        verb = headline.removeprefix(self.name)
        flag = "" if self.left == 0 else "; the provider flags it as due"
        return (
            headline,
            f"{self.place}{verb}, {day(self.on)}{flag}: {auto(self.number)}, {todo}.{noted(self.note)}",
        )

    def brief(self) -> str:
        return f"{'renews' if self.number.auto_renewal else 'will be lost'} {in_days(self.left)}"


class DueByFlag(OfNumber, frozen=True):
    """The provider flags as due a number of which it states no day."""

    def words(self) -> Words:
        todo = (
            f"{cost(self.number)} will be charged"
            if self.number.auto_renewal
            else f"Renew it in {DASHBOARD} now, or it may be lost"
        )
        return f"{self.name} is due for renewal", (
            f"{self.place} is due for renewal; the provider flags it so and states no day: {auto(self.number)}, a renewal "
            f"costs {cost(self.number)}. {todo}."
        )


class NotDue(OfNumber, frozen=True):
    """The end of ``due_by_flag``."""

    def words(self) -> Words:
        return f"{self.name} is not due any more", (
            f"{self.place} is not flagged as due any more. If it was not renewed, ask in {DASHBOARD} why."
        )


class Overdue(OfNumber, frozen=True):
    """The renewal day passed and nothing moved: the sign of a failed renewal."""

    late: int
    on: int
    note: Note | None = None

    def words(self) -> Words:
        headline = f"{self.name} is overdue by {days(self.late)}"
        return headline, (
            f"{self.place} is overdue by {days(self.late)}: it should have renewed on {day(self.on)} and did not. "
            f"{auto(self.number).capitalize()}, it costs {cost(self.number)}. Check the balance and the card and renew it in "
            f"{DASHBOARD} now: an unpaid number is usually lost for good.{noted(self.note)}"
        )


class Renewed(Ahead, frozen=True):
    """Good news; ``paid`` is the number as it was before, whose price was charged."""

    paid: Number

    def words(self) -> Words:
        headline = f"{self.name} renewed"
        return headline, (
            f"{self.place} renewed: {cost(self.paid)} paid, the next renewal is in {days(self.left)}, on {day(self.on)}; "
            f"{auto(self.number)}. Nothing to do."
        )


class Postponed(Ahead, frozen=True):
    """The end of what was told of a renewal day that is a later one now, without a renewal."""

    was_on: int

    def words(self) -> Words:
        return f"{self.name} renews later than told", (
            f"{self.place} renews in {days(self.left)}, on {day(self.on)}, and not on {day(self.was_on)} as told: the "
            f"provider moved the "
            f"day, or one of its signs had stood still. That is no renewal; {auto(self.number)}. Nothing to do now."
        )


class LastChance(Ahead, frozen=True):
    """A number that is meant to go will be gone soon; the last time to want it otherwise."""

    note: Note | None = None

    def words(self) -> Words:
        if self.number.auto_renewal:
            headline = f"{self.name} is meant to expire, but renews {in_days(self.left)}"
            todo = f"{cost(self.number)} will be charged. Switch auto-renewal off in {DASHBOARD} now"
        else:
            headline = f"{self.name} lapses {in_days(self.left)}, as meant"
            todo = f"to keep it, renew it in {DASHBOARD} for {cost(self.number)} now; else there is nothing to do"
        verb = headline.removeprefix(self.name)
        return (
            headline,
            f"{self.place}{verb}, on {day(self.on)}: {auto(self.number)}, {todo}.{noted(self.note)}",
        )


class LapseRenewed(Ahead, frozen=True):
    """A number that was meant to go renewed; ``paid`` is the number as it was before."""

    paid: Number

    def words(self) -> Words:
        headline = f"{self.name} renewed, but was meant to expire"
        return headline, (
            f"{self.place} renewed, but was meant to expire: {cost(self.paid)} paid, the next renewal is in {days(self.left)}, "
            f"on {day(self.on)}; {auto(self.number)}. Release it in {DASHBOARD}, or keep it: renewal-watch lapse --withdraw "
            f"{self.name}"
        )
