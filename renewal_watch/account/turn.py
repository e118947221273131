"""One judgement of what an account says: its background, and the alerts that it gives. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from renewal_watch.alerts import phrases
from renewal_watch.model import renewal_day
from renewal_watch.model.account import Release
from renewal_watch.model.alerts import Alert, Key, Severity
from renewal_watch.model.facts import Facts
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Known

RELEASE_TAKES = timedelta(days=45)  # an approved release ends with the month that is paid; older ones explain nothing
LONG_AGO = timedelta(days=30)  # a failed top-up that is older is not told at the first reading
BALANCE = "balance"  # a topic, as these are:
AUTO, SCHEDULED, PAYMENT, CARD = "auto top-up", "scheduled top-up", "top-up payment", "card "
UNREADABLE = "unreadable "  # and the name of the reading
RELEASE = "release"  # of a number; of one that is not known "release " and the request's id
USER_TOKEN = "user token"  # noqa: S105 (a topic)
TOPICS = {AUTO: "topup", SCHEDULED: "topup", PAYMENT: "charges", BALANCE: "balance", USER_TOKEN: "balance"}
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


class Renews(NamedTuple):
    """Numbers that renew by themselves and are to be paid: on one day (an ordinal), at one price."""

    on: int
    currency: str
    cost: Decimal | None
    numbers: int


class Subject(NamedTuple):
    """The number that a release request is about."""

    known: Known
    number: PhoneNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What the watch knows that a reading is judged against: numbers by the ids of requests, and what will be charged."""

    subjects: Mapping[str, Subject] = field(default_factory=dict)
    renews: Sequence[Renews] = ()


class Found(NamedTuple):
    """What is to be told, the incidents that end without an alert, and by reading what is told and holds after it."""

    alerts: list[Alert]
    ended: list[Key]
    told: dict[str, dict[str, int]]


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one judgement carries along."""

    at: str
    now: datetime
    policy: Policy
    alerts: list[Alert] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)

    @property
    def on_day(self) -> int:
        """Today in the configured zone, an ordinal."""
        return renewal_day.today(self.now, self.policy.zone)

    def tell(
        self,
        kind: str,
        severity: Severity,
        key: str,
        facts: Facts,
        *,
        topic: str = "",
        ends: bool = False,
        repeats: bool = False,
        subject: Subject | None = None,
        left: int | None = None,
    ) -> None:
        """Add an alert about the account."""
        number_id = None if subject is None else subject.known.provider_id
        place = "/".join(filter(None, (self.at, kind, number_id)))
        self.alerts.append(
            Alert(
                key=f"{place}/{key}",
                kind=kind,
                severity=severity,
                environment=self.at,
                facts=facts,
                number_id=number_id,
                number=None if subject is None else phrases.who(subject.number),
                days_left=left,
                topic=topic,
                ends=ends,
                nature="repeat" if repeats else "new",
                about=None if subject is None else subject.number,
            )
        )

    def once(self, name: str) -> str:
        """A key for what is told because of this very reading."""
        return f"{name}/{self.now.isoformat()}"

    def end(self, topic: str, facts: Facts) -> None:
        """Something that was told is well again."""
        self.tell("funds.recovered", Severity.info, self.once(topic), facts, topic=topic, ends=True)


def is_recent(request: Release, now: datetime) -> bool:
    """Whether a release was decided, or asked for, within ``RELEASE_TAKES``."""
    since = request.resolved_at or request.requested_at
    return since is None or now - since <= RELEASE_TAKES


def explains(requests: Iterable[Release], now: datetime) -> Release | None:
    """Of the requests about one number, the one that says why it is gone: approved of late, else pending."""
    ordered = sorted(requests, key=lambda one: one.requested_at or EARLIEST, reverse=True)
    approved = (one for one in ordered if one.status == "approved" and is_recent(one, now))
    return next(approved, None) or next((one for one in ordered if one.status == "pending"), None)
