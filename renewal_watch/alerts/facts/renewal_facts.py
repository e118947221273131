"""The facts and the words of alerts about one number's renewal. Pure."""

from __future__ import annotations

from renewal_watch.alerts.facts.number_facts import OfNumber
from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.phrases import auto, capital, cost, day, when
from renewal_watch.language import _, ngettext
from renewal_watch.model.facts import Number, Words


class Ahead(OfNumber, frozen=True):
    """Facts that know of a renewal day ahead only; of one that is over they say nothing."""

    left: int
    on: int

    def comes(self) -> str:
        """``renews in 3 days``, ``will be lost today``: what the renewal day brings, after the number's name."""
        if self.number.auto_renewal:
            soon = ngettext("renews in {count} day", "renews in {count} days", self.left)
            return _("renews today") if self.left == 0 else soon
        soon = ngettext("will be lost in {count} day", "will be lost in {count} days", self.left)
        return _("will be lost today") if self.left == 0 else soon


def _charged(number: Number) -> str:
    return _("{cost} will be charged. Make sure that the balance covers it", cost=cost(number))


class Upcoming(Ahead, frozen=True):
    """Renewal comes near: a charge to expect, or a number that will be lost."""

    note: Note | None = None

    def words(self) -> Words:
        if self.number.auto_renewal:
            todo = _charged(self.number)
        else:
            todo = _(
                "renewing costs {cost}. Switch auto-renewal on or renew it in the provider's dashboard",
                cost=cost(self.number),
            )
        said = _(
            "{place} {comes}, on {day}: {auto_renewal}, {todo}.",
            place=self.place,
            comes=self.comes(),
            day=day(self.on),
            auto_renewal=auto(self.number),
            todo=todo,
        )
        return f"{self.name} {self.comes()}", f"{said}{noted(self.note)}"

    def brief(self) -> str:
        return self.comes()


class Due(Ahead, frozen=True):
    """The renewal day itself, or the provider's due flag before it."""

    note: Note | None = None

    def words(self) -> Words:
        if self.number.auto_renewal:
            todo = _charged(self.number)
        else:
            todo = _("renewing costs {cost}. Renew it in the provider's dashboard now", cost=cost(self.number))
        values = {"place": self.place, "day": day(self.on), "auto_renewal": auto(self.number), "todo": todo}
        if self.left == 0:
            said = _("{place} {comes}, {day}: {auto_renewal}, {todo}.", comes=self._due(), **values)
        else:
            said = _(
                "{place} {comes}, {day}; the provider flags it as due: {auto_renewal}, {todo}.",
                comes=self._due(),
                **values,
            )
        return f"{self.name} {self._due()}", f"{said}{noted(self.note)}"

    def _due(self) -> str:
        if not self.number.auto_renewal:
            return self.comes()
        soon = ngettext("is due for renewal in {count} day", "is due for renewal in {count} days", self.left)
        return _("is due for renewal today") if self.left == 0 else soon

    def brief(self) -> str:
        return self.comes()


class DueByFlag(OfNumber, frozen=True):
    """The provider flags as due a number of which it states no day."""

    def words(self) -> Words:
        if self.number.auto_renewal:
            todo = _("{cost} will be charged.", cost=cost(self.number))
        else:
            todo = _("Renew it in the provider's dashboard now, or it may be lost.")
        said = _(
            "{place} is due for renewal; the provider flags it so and states no day: {auto_renewal}, a renewal costs {cost}.",
            place=self.place,
            auto_renewal=auto(self.number),
            cost=cost(self.number),
        )
        return _("{name} is due for renewal", name=self.name), f"{said} {todo}"


class NotDue(OfNumber, frozen=True):
    """The end of ``due_by_flag``."""

    def words(self) -> Words:
        return _("{name} is not due any more", name=self.name), _(
            "{place} is not flagged as due any more. If it was not renewed, ask in the provider's dashboard why.",
            place=self.place,
        )


class Overdue(OfNumber, frozen=True):
    """The renewal day passed and nothing moved: the sign of a failed renewal."""

    late: int
    on: int
    note: Note | None = None

    def words(self) -> Words:
        late = ngettext("is overdue by {count} day", "is overdue by {count} days", self.late)
        did_not = _("it should have renewed on {day} and did not.", day=day(self.on))
        costs = _("{auto_renewal}, it costs {cost}.", auto_renewal=capital(auto(self.number)), cost=cost(self.number))
        todo = _(
            "Check the balance and the card and renew it in the provider's dashboard now: an unpaid number is usually lost "
            "for good."
        )
        return f"{self.name} {late}", f"{self.place} {late}: {did_not} {costs} {todo}{noted(self.note)}"


def _next(number: Number, left: int, on: int) -> str:
    """The next renewal, after one."""
    return _(
        "the next renewal is {when}; {auto_renewal}",
        when=when(left, on),
        auto_renewal=auto(number),
    )


class Renewed(Ahead, frozen=True):
    """Good news; ``paid`` is the number as it was before, whose price was charged."""

    paid: Number

    def words(self) -> Words:
        return _("{name} renewed", name=self.name), _(
            "{place} renewed: {cost} paid, {next_renewal}. Nothing to do.",
            place=self.place,
            cost=cost(self.paid),
            next_renewal=_next(self.number, self.left, self.on),
        )


class Postponed(Ahead, frozen=True):
    """The end of what was told of a renewal day that is a later one now, without a renewal."""

    was_on: int

    def words(self) -> Words:
        return _("{name} renews later than told", name=self.name), _(
            "{place} renews {when}, and not on {before} as told: the provider moved the day, or one of its signs had stood "
            "still. That is no renewal; {auto_renewal}. Nothing to do now.",
            place=self.place,
            when=when(self.left, self.on),
            before=day(self.was_on),
            auto_renewal=auto(self.number),
        )


class LastChance(Ahead, frozen=True):
    """A number that is meant to go will be gone soon; the last time to want it otherwise."""

    note: Note | None = None

    def words(self) -> Words:
        if self.number.auto_renewal:
            todo = _(
                "{cost} will be charged. Switch auto-renewal off in the provider's dashboard now",
                cost=cost(self.number),
            )
        else:
            todo = _(
                "to keep it, renew it in the provider's dashboard for {cost} now; else there is nothing to do",
                cost=cost(self.number),
            )
        said = _(
            "{place} {comes}, on {day}: {auto_renewal}, {todo}.",
            place=self.place,
            comes=self._meant(),
            day=day(self.on),
            auto_renewal=auto(self.number),
            todo=todo,
        )
        return f"{self.name} {self._meant()}", f"{said}{noted(self.note)}"

    def _meant(self) -> str:
        if self.number.auto_renewal:
            return _("is meant to expire, but {comes}", comes=self.comes())
        soon = ngettext("lapses in {count} day, as meant", "lapses in {count} days, as meant", self.left)
        return _("lapses today, as meant") if self.left == 0 else soon


class LapseRenewed(Ahead, frozen=True):
    """A number that was meant to go renewed; ``paid`` is the number as it was before."""

    paid: Number

    def words(self) -> Words:
        return _("{name} renewed, but was meant to expire", name=self.name), _(
            "{place} renewed, but was meant to expire: {cost} paid, {next_renewal}. Release it in the provider's dashboard, "
            "or keep it: renewal-watch lapse --withdraw {name}",
            place=self.place,
            cost=cost(self.paid),
            next_renewal=_next(self.number, self.left, self.on),
            name=self.name,
        )
