"""What acts take and answer, as types: msgspec makes their schemas of these."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from renewal_watch.web.api.schemas import Count, Instant


class About(Struct):
    """What an incident is about"""

    environment: str
    number_id: str | None
    topic: str
    kind: str


class Acknowledged(Struct):
    """The incidents that somebody looks after, or does not any more"""

    said: str
    acknowledged: bool
    until: Instant | None
    incidents: list[About]
    not_open: Annotated[list[str], Meta(description="What was named and is not open")]


class Silenced(Struct):
    """A new silence"""

    said: str
    id: Count
    ends_at: Instant
    numbers: Annotated[Count | None, Meta(description="How many of the present numbers it is about")]


class SilenceEnded(Struct):
    """A silence that is over"""

    said: str
    id: Count


class Lapsed(Struct):
    """A number that is meant to expire, or is to stay"""

    said: str
    mind: Annotated[str | None, Meta(description="What still stands against it")]
    meant_to_lapse: bool
    environment: str
    id: str
    number: str | None
    renews_on: date | None
    auto_renewal: bool | None


class Retried(Struct):
    """Deliveries that are due again"""

    said: str
    deliveries: Count
