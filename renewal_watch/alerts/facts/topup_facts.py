"""The facts and the words of alerts about how the balance is filled up. Pure."""

from __future__ import annotations

from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.phrases import instant, money
from renewal_watch.language import _, ngettext
from renewal_watch.model.account import Charge, TopUp
from renewal_watch.model.facts import Facts, Words
from renewal_watch.text import plain


def no_money() -> str:
    """What follows where nothing fills up the balance."""
    return _("a renewal may fail because the balance is insufficient")


class TopupOff(Facts, frozen=True):
    """Nothing fills up the balance by itself any more, or one way less does."""

    at: str
    topic: str
    settings: TopUp
    note: Note | None = None
    still: bool = False

    def words(self) -> Words:
        is_auto = self.topic == "auto top-up"
        if self.still:
            off = _("auto top-up is still off") if is_auto else _("the scheduled top-up is still off")
        else:
            off = _("auto top-up is off") if is_auto else _("the scheduled top-up is off")
        other = self.settings.by_schedule if is_auto else self.settings.by_threshold
        if not other:
            left = _("Nothing fills up the balance by itself: {consequence}.", consequence=no_money())
        else:
            left = _("The scheduled top-up is on.") if is_auto else _("Auto top-up is on.")
        todo = _(
            "If nobody meant it, switch it on in the provider's dashboard; else make sure that the balance covers the renewals."
        )
        return f"{self.at}: {off}", f"{self.at}: {off}. {left} {todo}{noted(self.note)}"


class TopupOn(Facts, frozen=True):
    """The end of ``topup_off``; ``by_other``: the balance is filled up in the other way."""

    at: str
    topic: str
    by_other: bool = False

    def words(self) -> Words:
        is_auto = self.topic == "auto top-up"
        if self.by_other:
            on = _("the scheduled top-up is on")
        else:
            on = _("auto top-up is on again") if is_auto else _("the scheduled top-up is on again")
        nothing = _("Nothing to do.")
        return f"{self.at}: {on}", f"{self.at}: {on}. {nothing}"


def _charge(charge: Charge) -> str:
    """`` of 20.00 USD at … failed: card declined``, after what was charged."""
    amount = _(" of {amount}", amount=money(charge.amount, charge.currency)) if charge.amount is not None else ""
    when = _(" at {at}", at=instant(charge.at)) if charge.at else ""
    why = f": {plain(charge.why).replace('_', ' ')}" if charge.why else ""
    return _("{amount}{when} failed{why}", amount=amount, when=when, why=why)


class TopupFailed(Facts, frozen=True):
    """The newest top-up failed; ``more`` others failed since one last looked."""

    at: str
    charge: Charge
    more: int
    note: Note | None = None

    def words(self) -> Words:
        is_test = self.charge.trigger == "test"
        what = _("a test charge") if is_test else _("the top-up")
        more = ngettext("{count} more failed as well.", "{count} more failed as well.", self.more)
        others = [more] if self.more else []
        follows = _("The balance is not filled up: {consequence}.", consequence=no_money())
        todo = _("Check the card in the provider's dashboard now, or pay in by hand.")
        headline = _("a test charge failed") if is_test else _("the top-up failed")
        said = " ".join((f"{self.at}: {what}{_charge(self.charge)}.", *others, follows, todo))
        return f"{self.at}: {headline}", f"{said}{noted(self.note)}"


class TopupFailedOnce(Facts, frozen=True):
    """A top-up failed and a later one did not."""

    at: str
    charge: Charge
    more: int

    def words(self) -> Words:
        headline = _("{environment}: a top-up failed, a later one succeeded", environment=self.at)
        failed = _("a top-up") + _charge(self.charge)
        if self.more:
            failed = ngettext("{failed}, and {count} more", "{failed}, and {count} more", self.more, failed=failed)
        return headline, _(
            "{environment}: {failed}, but a later one succeeded. Nothing to do, if the card is well.",
            environment=self.at,
            failed=failed,
        )


class TopupWorks(Facts, frozen=True):
    """The end of ``topup_failed``."""

    at: str

    def words(self) -> Words:
        return (
            _("{environment}: the top-up works again", environment=self.at),
            _("{environment}: the newest top-up succeeded. Nothing to do.", environment=self.at),
        )


def topup_helps(settings: TopUp | None, *, failed: bool) -> str:
    """What auto top-up means for a balance that is too small."""
    if settings is None or not settings.by_threshold:
        return ""
    if failed:
        return " " + _("Auto top-up is on, but its last charge failed.")
    amount, threshold = (
        None if one is None else money(one, settings.currency) for one in (settings.amount, settings.threshold)
    )
    if amount and threshold:
        said = _(
            "Auto top-up is on and adds {amount} when it falls under {threshold}.", amount=amount, threshold=threshold
        )
    elif amount:
        said = _("Auto top-up is on and adds {amount}.", amount=amount)
    elif threshold:
        said = _("Auto top-up is on and fills it up when it falls under {threshold}.", threshold=threshold)
    else:
        said = _("Auto top-up is on and fills it up.")
    return f" {said}"
