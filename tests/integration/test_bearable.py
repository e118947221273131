"""How much a healthy account asks of people: 200 numbers that renew by themselves, at any hour, with the defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from made_up import entry
from watched import CHANNEL, Watched

from renewal_watch.channels.limits import Limits
from renewal_watch.model.alerts import Message
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import digests, dispatch
from renewal_watch.timed import follow_up

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = T0.replace(hour=0)
LENGTH = 15  # days
EVERY = 3  # hours between two polls; docs/telling.md has the figures of hourly ones over 35 days


class Sender:
    """A service that takes everything."""

    def __init__(self) -> None:
        self.got: list[Message] = []

    def send(self, render: Callable[[Limits], Message]) -> None:
        self.got.append(render(Limits(body=35_000, title=250)))


def listed(hour: int) -> list[dict[str, Any]]:
    """The list at an hour of the story: number i renews every 30 days, on day i and at an hour of its own."""
    now = START + hour * HOUR
    entries = []
    for index in range(200):
        on = START + (index % 30) * DAY + (7 * index % 24) * HOUR
        on += 30 * DAY * (on <= now)
        days = (on.date() - now.date()).days
        changes = {"renewal_date": on.date().isoformat(), "days_until_monthly_renewal": days}
        entries.append(entry(f"phone-{index + 1}", auto_renewal=True, **changes))
    return entries


def messages_a_day(made: Watched) -> Counter[int]:
    """How many messages the one channel has on each day."""
    sender = Sender()
    outlet = dispatch.Outlet(channel=made.settings.channels[0], sender=sender)
    way = Routing.of(made.settings)
    policies = {one.name: made.settings.policy(one) for one in made.settings.environments}
    found: Counter[int] = Counter()
    for hour in range(0, LENGTH * 24, EVERY):
        now = START + hour * HOUR
        before = len(sender.got)
        made.poll(*listed(hour), at=now)
        follow_up.run_once(made.store, way, policies, now)
        digests.send_digests(made.store, way, policies, lambda at=now: at)  # type: ignore[misc]
        dispatch.run_once(made.store, outlet, way, lambda at=now: at)  # type: ignore[misc]
        found[hour // 24] += len(sender.got) - before
    assert not [one.title for one in sender.got if not one.title.startswith(("[info] production: ", "[digest] "))]
    return found


@pytest.mark.parametrize(
    ("more", "in_all", "most"),
    [("", LENGTH, 1), ('digest = "weekly mon 08:00"\n', 3, 1), ('routine = "at once"\n', 60, 5)],
    ids=["by default", "with a digest", "at once"],
)
def test_a_healthy_account_sends_one_message_a_day_at_most(tmp_path: Path, more: str, in_all: int, most: int) -> None:
    made = Watched(tmp_path, CHANNEL + more)
    found = messages_a_day(made)
    made.store.close()
    assert max(found.values()) <= most
    assert found.total() <= in_all if most == 1 else found.total() >= in_all
