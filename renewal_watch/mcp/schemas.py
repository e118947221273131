"""What the answers are made of where the API does not have them already."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from renewal_watch.web.api import schemas as api
from renewal_watch.web.api.schemas import Count, Instant, Money

Severity = Literal["info", "warning", "critical"]
More = Annotated[Count, Meta(description="How many more there are that were left out")]


class Within(Struct):
    """Numbers that are lost within so many days unless somebody acts"""

    days: Count
    numbers: Count


class Renewing(Struct):
    """Numbers that renew by themselves within so many days"""

    days: Count
    numbers: Count
    unpriced: Count


class Balance(Struct):
    """What an account still has"""

    environment: str
    amount: Money
    currency: str


class Overview(Struct):
    """How everything stands, in figures"""

    running: Annotated[bool | None, Meta(description="Whether the service runs; null where nothing says so")]
    running_since: Instant | None
    last_poll_at: Instant | None
    next_poll_at: Instant | None
    open: Annotated[dict[str, Count], Meta(description="Open incidents by severity")]
    acknowledged: Count
    overdue: Count
    lost_within: list[Within]
    renewing: Renewing
    costs: list[api.Amount]
    balances: list[Balance]


class WatchStatus(api.Status):
    """How the service does"""

    overview: Overview
    health: Literal["ok", "failing"]
    trouble: Annotated[list[str], Meta(description="Why it cannot be relied on, a sentence each; empty when it can")]
    more_trouble: More
    more_environments: More
    more_balances: More


class NumberHistory(Struct):
    """The newest changes of one number, the oldest of them first"""

    environment: str
    id: str
    number: str | None
    changes: list[api.Change]
    is_more: Annotated[bool, Meta(description="Older changes were left out")]


class Explanation(api.Listed):
    """Why a number did or did not alert, and what comes next"""

    reasons: Annotated[list[str], Meta(description="In sentences")]
    alerts: Annotated[list[api.Alert], Meta(description="Newest first")]
    is_more: Annotated[bool, Meta(description="Older alerts were left out")]


class Foretold(Struct):
    """An alert that would be told"""

    kind: str
    severity: Severity
    environment: str
    number_id: str | None
    number: str | None
    days_left: int | None
    text: str


class Message(Struct):
    """What one channel would be told at once"""

    at: Instant
    channel: Annotated[str | None, Meta(description="Null where nobody would be told")]
    hidden: Annotated[str | None, Meta(description="Why nobody would be told")]
    note: str | None
    alerts: list[Foretold]
    more_alerts: More


class Preview(Struct):
    """Who would be told what and when, with today's fleet"""

    first: Instant
    until: Instant
    messages: Annotated[list[Message], Meta(description="In the order of time")]
    more_messages: More


class BoundedForecast(api.Forecast):
    """What renewals cost by month, last month first"""

    more_months: More
    more_environments: More


class Silence(Struct):
    """What hides alerts for a while"""

    id: Count
    match: Annotated[dict[str, Any], Meta(description="What it is about; empty: all numbers")]
    kinds: list[str]
    starts_at: Instant
    ends_at: Instant
    author: str
    comment: str
    active: bool
    ended_by: str | None
    hides: Annotated[Count, Meta(description="Open incidents that nobody was told of because of it")]


class Silences(Struct):
    """The silences that hold, the oldest first"""

    silences: list[Silence]
    more_silences: More
