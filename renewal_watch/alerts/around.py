"""What is added to the words of an alert: whose the number is, that it is told again, that it goes to and fro. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from renewal_watch.alerts.account_facts import used_by
from renewal_watch.alerts.phrases import instant, span
from renewal_watch.model.alerts import Alert
from renewal_watch.model.facts import Around, Facts, Words, Written
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
        said = [f"owner: {plain(self.owner)}"] * bool(self.owner)
        said += [f"labels: {plain(', '.join(self.labels))}"] * bool(self.labels)
        said += [f"note: {plain(self.note)}"] * bool(self.note)
        return headline, f"{text} [{'; '.join(said)}]" if said else text


class AsFound(Around, frozen=True):
    """Facts that are not read anew: they belong to the time when they were found."""

    at: datetime

    def words(self, headline: str, text: str) -> Words:
        return headline, f"{text} (as found at {instant(self.at)})"


class Reminder(Around, frozen=True):
    """Told again, the ``count``-th time of ``most``; what ``is_critical`` goes on weekly after the last."""

    count: int
    most: int
    told_at: datetime
    alert_id: int
    is_critical: bool

    def words(self, headline: str, text: str) -> Words:
        count = f"reminder {self.count} of {self.most}"
        if self.count > self.most:
            count = f"reminder {self.count}, weekly while it holds"
        elif self.count == self.most:
            count += ", then weekly while it holds" if self.is_critical else ", the last one"
        said = f"{_ended(text)} ({count}; last notified at {instant(self.told_at)}.){_todo(self.alert_id)}"
        return f"{headline} ({count.partition(',')[0]})", said


class Escalation(Around, frozen=True):
    """Nobody acknowledged or resolved it."""

    since: datetime
    now: datetime
    alert_id: int

    def words(self, headline: str, text: str) -> Words:
        length = span(self.now - self.since)
        return f"{headline} (nobody acted for {length})", (
            f"{_ended(text)} (Notified at {instant(self.since)} and neither acknowledged nor resolved for {length}.)"
            f"{_todo(self.alert_id)}"
        )


class Released(Around, frozen=True):
    """What was hidden and still holds when that ends."""

    hidden: str
    since: datetime
    told_at: datetime | None

    def words(self, headline: str, text: str) -> Words:
        if self.told_at:
            return (
                headline,
                f"{text} (It was last notified at {instant(self.told_at)}, then suppressed: {self.hidden}.)",
            )
        return headline, f"{text} (It was found {instant(self.since)}, suppressed until now: {self.hidden}.)"


class Flapping(Around, frozen=True):
    """Something goes to and fro; this change was one too many."""

    who: str
    at: str  # the environment, empty where ``who`` is one
    what: str
    times: int
    length: timedelta
    within: timedelta

    def words(self, headline: str, text: str) -> Words:  # noqa: ARG002 (its own headline)
        return f"{self.who}: {self.what} keeps changing", (
            f"{self.who}{f' ({self.at})' * bool(self.at)}: {self.what} changed {self.times} times within {span(self.length)}. "
            f"Now: {text} Further changes are kept in the history and not notified until it has stayed as it is for "
            f"{span(self.within)}."
        )


class Settled(Facts, frozen=True):
    """The end of ``Flapping``; ``now`` is the sentence of what still holds, None where all is well."""

    who: str
    at: str
    what: str
    within: timedelta
    now: str | None

    def words(self) -> Words:
        state = f"What holds now: {self.now}" if self.now else "Nothing about it is open."
        return f"{self.who}: {self.what} has settled", (
            f"{self.who}{f' ({self.at})' * bool(self.at)}: {self.what} has not changed for {span(self.within)}. {state}"
        )


def has_been_said(alert: Alert, what: type[Around]) -> bool:
    """Whether that was added to an alert, or stands in old words of which no facts are known."""
    is_old = isinstance(alert.facts, Written) and any(isinstance(one, AsFound) for one in alert.around)
    return is_old or any(isinstance(one, what) for one in alert.around)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "]", ")")) else f"{sentence}."


def _todo(alert_id: int) -> str:
    """The end of a sentence that is told until somebody acts; it names no number, for those may be masked."""
    return f" To stop the reminders: renewal-watch ack --alert {alert_id}"
