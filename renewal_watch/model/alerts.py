"""Alerts, the incidents they open, and their deliveries. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Literal, NamedTuple

from renewal_watch.model.facts import Around, Because, Facts, Words
from renewal_watch.model.numbers import PhoneNumber


class Severity(IntEnum):
    """How soon somebody must act; compares as its urgency."""

    info = 0
    warning = 1
    critical = 2


class Key(NamedTuple):
    """What an incident is about: environment and number ("" where it is about none), and its topic."""

    environment: str
    number_id: str
    topic: str


class Acknowledgement(NamedTuple):
    """Somebody knows; ``rank`` is how bad it was then, and ``until`` when it runs out by itself."""

    at: datetime
    by: str
    rank: int
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it has not run out."""
        return self.until is None or now < self.until


By = Literal["silence", "rule", "nobody", "lapse", "ack", "repeat", "flapping", "changed"]


class Suppressor(str):
    """What hides an incident, as the database keeps it: ``lapse``, ``silence:7``, ``rule:`` or ``nobody:`` and the settings' mark.

    ``changed`` stands for what a number's own change has made doubtful: it is looked at again.
    """

    __slots__ = ()

    @classmethod
    def of(cls, by: By, ref: object = "") -> Suppressor:
        """By what, and by which one of them."""
        return cls(f"{by}:{ref}" if ref != "" else by)

    @property
    def by(self) -> str:
        """By what."""
        return self.partition(":")[0]

    @property
    def ref(self) -> str:
        """By which one."""
        return self.partition(":")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that was found and holds until the alert that says it is over, or until the state is gone.

    ``id`` is its row, and ``name`` the key of the alert that opened it: what it is called, from the first alert to the last.
    ``alert_id`` is the newest alert about it. ``notified_at`` is None while nobody was; ``suppressed`` says why nobody is
    now, and ``suppressor`` by what: it can be asked whether it still holds.
    """

    id: int
    name: str
    alert_id: int
    kind: str
    severity: Severity
    rank: int
    opened_at: datetime
    notified_at: datetime | None = None
    reminded: int = 0
    suppressed: Because | None = None
    suppressor: Suppressor | None = None
    ack: Acknowledgement | None = None
    urgent_at: datetime | None = None  # since when it is told as critical
    escalated_at: datetime | None = None


class Mark(NamedTuple):
    """What is open about a number: the worst severity, and the kinds of all of it."""

    severity: Severity
    kinds: tuple[str, ...]


class Flap(NamedTuple):
    """How often something changed of late, and since when that counts as flapping."""

    times: tuple[datetime, ...]
    since: datetime | None = None
    worst: Severity = Severity.info  # of these changes


class Course(NamedTuple):
    """The incident of an alert that was written at ``at``: when it opened, and when it was resolved."""

    at: datetime
    opened_at: datetime
    resolved_at: datetime | None
    name: str = ""  # what the incident is called
    pk: int = 0  # its row

    @property
    def opens(self) -> bool:
        """Whether the alert opened it."""
        return self.at == self.opened_at

    @property
    def closes(self) -> bool:
        """Whether the alert says that it is over."""
        return self.at == self.resolved_at

    @property
    def is_over(self) -> bool:
        """Whether it was resolved after the alert."""
        return self.resolved_at is not None and self.at < self.resolved_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A fact worth telling. ``key`` names it for ever: the same key is never written twice.

    ``facts`` are what happened and ``around`` what is added to their words, in this order. ``topic`` names the incident that
    the alert opens or, with ``ends``, closes; an alert without topic is about nothing that lasts. ``nature`` says why it
    is told now. ``kept`` are its facts as they are kept and ``course`` is that of its incident, of an alert that is
    delivered. ``channels`` are given where it is for these and no others, whatever they usually take. ``about`` is the
    number as it was judged, and ``said_by`` the key of an alert of the same batch that says the same to those who are told
    of it; they are not kept.
    """

    key: str
    kind: str
    severity: Severity
    environment: str
    facts: Facts
    around: tuple[Around, ...] = ()
    number_id: str | None = None
    number: str | None = None
    days_left: int | None = None
    topic: str = ""
    ends: bool = False
    nature: Literal["new", "repeat", "reminder", "release", "escalation"] = "new"
    channels: tuple[str, ...] | None = None
    about: PhoneNumber | None = field(default=None, repr=False)
    said_by: str | None = None
    kept: str | None = field(default=None, repr=False)
    course: Course | None = None

    @property
    def words(self) -> Words:
        """What is said: the few words for a subject, and the whole line with what to do."""
        words = self.facts.words()
        for one in self.around:
            words = one.words(*words)
        return words

    @property
    def headline(self) -> str:
        """The few words for a subject."""
        return self.words[0]

    @property
    def text(self) -> str:
        """The whole line with what to do."""
        return self.words[1]

    @property
    def place(self) -> Key:
        """The incident it is about."""
        return Key(self.environment, self.number_id or "", self.topic)


class Button(NamedTuple):
    """What can be done from a message: ``is_act`` is a POST, else it is a page that is opened."""

    label: str
    url: str
    is_act: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one channel is told at once."""

    message_id: str
    title: str
    body: str
    severity: Severity
    format: str = "text"
    about: Key | None = None  # its gravest incident: mails about the same one stand in one thread
    size: int = 1  # alerts in it: one that grew while its channel was away is another mail
    plain: str = ""  # of an HTML mail: the same as text, which stands beside it
    buttons: tuple[Button, ...] = ()  # where a service shows some


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message's fate on one channel, as claimed: the right to send it until ``leased_until``."""

    pk: int
    message_id: str
    channel: str
    lease: str
    leased_until: datetime
    attempts: int
    created_at: datetime
    alerts: tuple[Alert, ...]
    note: str = ""  # why it comes now, where it was held back or comes in another channel's place
    is_held: bool = False  # it waited by its calendar, or for others
    alert_ids: tuple[int, ...] = ()  # of ``alerts``, in their order
    target: str | None = None  # where it went, once it was sent; nothing secret
