"""What is added to the words of an alert: whose the number is, that it is told again, that it goes to and fro. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewal_watch.alerts.phrases import instant, span, used_by
from renewal_watch.alerts.reasons import Reason
from renewal_watch.language import _, ngettext, pgettext
from renewal_watch.model.alerts import Alert
from renewal_watch.model.facts import Around, Words, Written
from renewal_watch.text import plain


class UsedBy(Around, frozen=True):
    """The agents that use the number."""

    names: tuple[str, ...]

    def words(self, headline: str, text: str) -> Words:
        return headline, f"{text}{used_by(self.names)}"


class OwnedBy(Around, frozen=True):
    """Whose the number is, by the inventory or a rule."""

    owner: str
    labels: tuple[str, ...]
    note: str

    def words(self, headline: str, text: str) -> Words:
        said = [_("owner: {owner}", owner=plain(self.owner))] * bool(self.owner)
        said += [_("labels: {labels}", labels=plain(", ".join(self.labels)))] * bool(self.labels)
        said += [_("note: {note}", note=plain(self.note))] * bool(self.note)
        return headline, f"{text} [{'; '.join(said)}]" if said else text


class AsFound(Around, frozen=True):
    """Facts that are not read anew: they belong to the time when they were found."""

    at: datetime

    def words(self, headline: str, text: str) -> Words:
        return headline, _("{sentence} (as found at {at})", sentence=text, at=instant(self.at))


class Reminder(Around, frozen=True):
    """Told again, the ``count``-th time of ``most``; what ``is_critical`` goes on weekly after the last."""

    count: int
    most: int
    told_at: datetime
    alert_id: int
    is_critical: bool

    def words(self, headline: str, text: str) -> Words:
        values = {"count": self.count, "most": self.most, "at": instant(self.told_at)}
        short = _("reminder {count} of {most}", **values)
        if self.count > self.most:
            short = _("reminder {count}", **values)
            why = _("(reminder {count}, weekly while it holds; last notified at {at}.)", **values)
        elif self.count < self.most:
            why = _("(reminder {count} of {most}; last notified at {at}.)", **values)
        elif self.is_critical:
            why = _("(reminder {count} of {most}, then weekly while it holds; last notified at {at}.)", **values)
        else:
            why = _("(reminder {count} of {most}, the last one; last notified at {at}.)", **values)
        return f"{headline} ({short})", f"{_ended(text)} {why} {_todo(self.alert_id)}"


class Escalation(Around, frozen=True):
    """Nobody acknowledged or resolved it."""

    since: datetime
    now: datetime
    alert_id: int

    def words(self, headline: str, text: str) -> Words:
        length = span(self.now - self.since)
        why = _(
            "(Notified at {at} and neither acknowledged nor resolved for {length}.)",
            at=instant(self.since),
            length=length,
        )
        short = _("nobody acted for {length}", length=length)
        return f"{headline} ({short})", f"{_ended(text)} {why} {_todo(self.alert_id)}"


class Released(Around, frozen=True):
    """What was hidden and still holds when that ends."""

    hidden: Reason
    since: datetime
    told_at: datetime | None

    def words(self, headline: str, text: str) -> Words:
        why = self.hidden.words()
        if self.told_at:
            said = _("(It was last notified at {at}, then suppressed: {why}.)", at=instant(self.told_at), why=why)
        else:
            said = _("(It was found {at}, suppressed until now: {why}.)", at=instant(self.since), why=why)
        return headline, f"{text} {said}"


class Flapping(Around, frozen=True):
    """Something goes to and fro; this change was one too many."""

    who: str
    at: str  # the environment, empty where ``who`` is one
    what: str
    times: int
    length: timedelta
    within: timedelta

    def words(self, headline: str, text: str) -> Words:  # noqa: ARG002 (its own headline)
        what = of_what(self.what)
        said = ngettext(
            "{who}: {what} changed {count} time within {length}. Now: {sentence}",
            "{who}: {what} changed {count} times within {length}. Now: {sentence}",
            self.times,
            who=f"{self.who}{f' ({self.at})' * bool(self.at)}",
            what=what,
            length=span(self.length),
            sentence=text,
        )
        further = _(
            "Further changes are kept in the history and not notified until it has stayed as it is for {length}.",
            length=span(self.within),
        )
        return _("{who}: {what} keeps changing", who=self.who, what=what), f"{said} {further}"


ANY = UsedBy | OwnedBy | AsFound | Reminder | Escalation | Released | Flapping


def of_what(name: str) -> str:
    """What goes to and fro, by the first word of a kind or by a topic."""
    known = {
        "status": pgettext("flapping", "status"),
        "auto-renewal": pgettext("flapping", "auto-renewal"),
        "price": pgettext("flapping", "price"),
        "capability": pgettext("flapping", "capability"),
        "presence": pgettext("flapping", "presence"),
        "number": pgettext("flapping", "number"),
        "renewal": pgettext("flapping", "renewal"),
        "list": pgettext("flapping", "list"),
        "api": pgettext("flapping", "api"),
        "watch": pgettext("flapping", "watch"),
    }
    return known.get(name, name)


def has_been_said(alert: Alert, what: type[Around]) -> bool:
    """Whether that was added to an alert, or stands in old words of which no facts are known."""
    is_old = isinstance(alert.facts, Written) and any(isinstance(one, AsFound) for one in alert.around)
    return is_old or any(isinstance(one, what) for one in alert.around)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "]", ")")) else f"{sentence}."


def _todo(alert_id: int) -> str:
    """The end of a sentence that is told until somebody acts; it names no number, for those may be masked."""
    return _("To stop the reminders: {command}", command=f"renewal-watch ack --alert {alert_id}")
