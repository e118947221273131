"""What the answers are made of: msgspec makes their schemas of these types. Every field is there unless it may be unset."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Schema = dict[str, Any]

Count = Annotated[int, Meta(ge=0)]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC")]
Money = Annotated[
    str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description="An exact decimal; its currency stands beside it")
]
MonthName = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}$")]
Currency = Annotated[str, Meta(description="As the provider states it")]


class Problem(Struct):
    """RFC 9457: what is wrong with the request, or with the server"""

    type: str
    title: str
    status: int
    detail: str
    parameter: Annotated[str | UnsetType, Meta(description="The parameter that is refused")] = UNSET


class Environment(Struct):
    """One token's list, and how reading it goes"""

    name: str
    last_poll_at: Instant | None
    last_success_at: Instant | None
    last_error: str | None
    stale: Annotated[bool, Meta(description="The list is too old to be relied on")]
    numbers: Count
    flaws: Annotated[list[str], Meta(description="What of the last list cannot be read or believed")]


class Outbox(Struct):
    """Messages on their way"""

    pending: Count
    failed: Count
    oldest_pending_at: Instant | None


class Status(Struct):
    """How the service does"""

    environments: list[Environment]
    outbox: Outbox
    counts: Annotated[
        dict[str, Count], Meta(description="Numbers that need somebody: overdue, missing, and each status but active")
    ]


class Listed(Struct):
    """What every answer about one number has"""

    environment: str
    id: str
    number: str | None
    status: str | None
    days_left: Annotated[int | None, Meta(description="Negative when overdue")]
    renews_on: date | None
    auto_renewal: bool | None
    monthly_renewal_cost: Money | None
    currency: Currency | None
    missing_since: Instant | None
    is_sandbox: bool
    disagreement: Annotated[str | None, Meta(description="Where countdown and renewal day differ")]


class Number(Listed):
    """One number as it stands now"""

    cost: Annotated[Money | None, Meta(description="The monthly cost, else the current price")]
    country: str | None
    type: str | None
    capabilities: list[str]
    lapsing: Annotated[bool, Meta(description="It is meant to expire")]
    owner: Annotated[str, Meta(description="Of the inventory")]
    labels: list[str]
    note: str


class Numbers(Struct):
    """One page"""

    numbers: list[Number]
    total: Annotated[Count, Meta(description="How many fit; with is_more, more than that")]
    is_more: bool
    page: Count
    per_page: Count


class Change(Struct):
    """Something that differs between two lists"""

    seen_at: Instant
    not_yet_at: Annotated[Instant | None, Meta(description="The last good poll that did not have it")]
    what: Literal["listed", "changed", "unlisted", "listed again"]
    fields: Annotated[
        dict[str, dict[str, Any]], Meta(description="By field: before and now, as the provider sent them")
    ]
    entry: Annotated[dict[str, Any] | None, Meta(description="The number as it was listed from then on")]


class History(Struct):
    """Every change of one number, the oldest first"""

    changes: list[Change]


class Difference(Struct):
    """One thing that is not as it was"""

    what: Annotated[str, Meta(description="Its group, such as status, dearer or renewed")]
    seen_at: Annotated[Instant | None, Meta(description="When a list first showed it")]
    before: Annotated[str | None, Meta(description="A status, a price, a day, on or off; null for what has no value")]
    now: str | None
    currency_before: Annotated[Currency | None, Meta(description="Of a price")]
    currency: Currency | None


class ChangedNumber(Struct):
    """A number that is not as it was; where its group says gone, as it was listed last"""

    environment: str
    id: str
    number: str | None
    status: str | None
    owner: str
    group: Annotated[str, Meta(description="The most urgent of its changes")]
    changes: list[Difference]


class Compared(Struct):
    """The two lists of an environment that were compared"""

    name: str
    compared_from: Annotated[Instant | None, Meta(description="Null where no list was read by then")]
    compared_to: Instant | None
    history_since: Annotated[Instant | None, Meta(description="How far back its history goes")]


class OtherChanges(Struct):
    """Numbers of which nothing changed that the service makes anything of"""

    numbers: Count
    fields: Annotated[dict[str, Count], Meta(description="How many numbers, by field")]


class Changes(Struct):
    """What changed between two times, the most urgent first"""

    since: Instant
    until: Instant
    environments: list[Compared]
    total: Annotated[Count, Meta(description="How many numbers changed; limit bounds how many are given")]
    counts: Annotated[dict[str, Count], Meta(description="How many of them stand in each group")]
    numbers: list[ChangedNumber]
    other: OtherChanges


class Delivery(Struct):
    """One message's fate on one channel"""

    channel: str
    state: Literal["pending", "sent", "failed"]
    message_id: str
    attempts: Count
    last_error: str | None
    sent_at: Instant | None
    next_attempt_at: Instant | None
    leased_until: Instant | None
    held_until: Instant | None
    held_why: str | None


class Incident(Struct):
    """Something that was found, until it is resolved"""

    id: Count
    key: Annotated[str, Meta(description="That of the alert that opened it, the same until it is resolved")]
    state: Literal["open", "acknowledged", "suppressed", "resolved"]
    kind: Annotated[str, Meta(description="Of its last alert")]
    severity: Literal["info", "warning", "critical"]
    environment: Annotated[str, Meta(description="Empty for what is about the service itself")]
    number_id: str | None
    number: str | None
    topic: str
    headline: Annotated[str, Meta(description="In the words of today")]
    text: str
    todo: Annotated[str, Meta(description="What to do, in a few words; empty where there is nothing to do")]
    opened_at: Instant
    resolved_at: Instant | None
    last_notified_at: Annotated[Instant | None, Meta(description="When somebody was last notified")]
    notifications: Annotated[Count, Meta(description="How often somebody was notified, the reminders included")]
    acknowledged_at: Instant | None
    acknowledged_by: str | None
    acknowledged_until: Annotated[Instant | None, Meta(description="When the acknowledgement runs out by itself")]
    suppressed: Annotated[str | None, Meta(description="Why nobody is notified now")]
    url: Annotated[str | None, Meta(description="Its page; null without public_url")]
    alert_id: Annotated[Count, Meta(description="Its last alert")]
    folded: Annotated[list[str], Meta(description="Kinds of what else is open about a number that is missing")]


class Incidents(Struct):
    """Most urgent first"""

    incidents: list[Incident]
    total: Annotated[Count, Meta(description="How many fit; limit bounds how many are given")]


class Alert(Struct):
    """Something worth telling"""

    id: Count
    key: str
    kind: str
    severity: Literal["info", "warning", "critical"]
    environment: str
    number_id: str | None
    number: str | None
    headline: str
    text: str
    hidden: Annotated[str | None, Meta(description="Why nobody was notified")]
    created_at: Instant
    deliveries: list[Delivery]


class Alerts(Struct):
    """Newest first"""

    alerts: list[Alert]
    next_before: Annotated[int | None, Meta(description="before of the next page; null at the end")]


class Day(Struct):
    """What renews or ends on a day in one environment and currency"""

    on: date
    environment: str
    currency: Currency | None
    numbers: Count
    amount: Money
    unpriced: Count
    without_auto_renewal: Count
    lapsing: Count


class Calendar(Struct):
    """From what is overdue on"""

    today: date
    days: list[Day]
    undated: Count


class Sum(Struct):
    """Renewals together"""

    numbers: Count
    amount: Money
    unpriced: Count


class Month(Struct):
    """One month of one environment and currency. Null is what is not known"""

    month: MonthName
    environment: str
    currency: Currency | None
    numbers: Count | None
    amount: Money | None
    renewed: Sum | None
    ahead: Sum
    overdue: Count
    if_renewed: Sum
    month_before: Money | None
    change: Money | None
    change_percent: Money | None


class Seen(Struct):
    """How far the history goes"""

    name: str
    seen_since: Instant | None
    seen_until: Instant | None


class Forecast(Struct):
    """What renewals cost by month, last month first"""

    as_of: Instant
    timezone: str
    last_month: MonthName
    environments: list[Seen]
    months: list[Month]
    undated: Count
    lapsing: Count
    idle: Annotated[int | None, Meta(description="Numbers that no agent uses; null where that is not known")]
    idle_costs: Annotated[list[Amount], Meta(description="What they cost a month")]


class Amount(Struct):
    """Money"""

    currency: str
    amount: str


class Check(Struct):
    """One thing that was looked at"""

    name: str
    ok: bool
    reason: str
    environment: str | UnsetType = UNSET


class Health(Struct):
    """Whether the service can be relied on"""

    status: Literal["ok", "failing"]
    checks: list[Check]


ANSWERS = (Problem, Status, Numbers, History, Changes, Incidents, Alerts, Calendar, Forecast, Health)


def schemas(more: Iterable[type[Struct]] = ()) -> dict[str, Schema]:
    """By name, the schema of every type that an answer is made of; ``more`` are those of what acts."""
    _, found = msgspec.json.schema_components((*ANSWERS, *more), ref_template="#/components/schemas/{name}")
    document = {"type": "object", "description": "This document", "required": ["openapi", "info", "paths"]}
    return {**found, "Document": document}
