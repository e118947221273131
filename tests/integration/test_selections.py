"""What is overdue is the same in every place that counts it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import commands
import pytest
from browsing import pages
from conftest import T0, Clock
from databases import BOTH
from watched import CHANNEL, Watched, one

from renewal_watch.store import fleet_sums

pytestmark = BOTH

NOW = T0 + timedelta(days=4)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Of five numbers whose day has passed one is overdue; four of them are meant to go, gone, or not shown since."""
    watch = Watched(tmp_path, f'{CHANNEL}digest = "daily 08:00"\n', ("production", "blind"))
    last = [one(1, 1), one(2, 1), one(3, 1), one(4, 40)]
    watch.poll(*last)
    watch.poll(one(1, 2), one(9, 90), environment="blind")
    commands.call(watch.path, "lapse", "phone-2", clock=lambda: T0)
    late = [entry | {"days_until_monthly_renewal": entry["days_until_monthly_renewal"] - 4} for entry in last]
    for hours in (1, 2, 3):  # phone-3 is missing from the third list on
        watch.poll(late[0], late[1], late[3], at=NOW - timedelta(hours=6 - hours))
    yield watch
    watch.store.close()


def test_every_place_counts_the_one_number_that_is_overdue(watched: Watched) -> None:
    clock = Clock(NOW)
    with watched.store.reading() as tx:
        counted = fleet_sums.counts(tx, ["production", "blind"], NOW.date().toordinal())
    assert (counted["overdue"], counted["missing"]) == (1, 1)

    metrics = commands.call(watched.path, "metrics", clock=clock).output
    shown = re.findall(
        r'^renewal_watch_numbers_overdue\{environment="(\w+)",state="open"\} (\d+)', metrics, re.MULTILINE
    )
    assert {name: int(float(count)) for name, count in shown} == {"production": 1, "blind": 0}

    checked = commands.call(watched.path, "check", "--environment", "production", clock=clock, code=2).output
    assert "'overdue'=1;" in checked

    with pages(watched, clock) as visitor:
        assert "1 overdue" in visitor.text("/")
        assert "1 number overdue ; 2 numbers whose day has passed and that are not overdue" in visitor.text("/calendar")
        page = visitor.get("/api/v1/status").json()
        assert page["counts"]["overdue"] == 1
        assert [row["id"] for row in visitor.get("/api/v1/numbers?overdue=true").json()["numbers"]] == ["phone-1"]

    commands.call(watched.path, "send", clock=clock, code=None)  # the first digest comes at its time
    clock.on(timedelta(days=1))
    commands.call(watched.path, "send", clock=clock, code=None)
    said = json.loads(commands.call(watched.path, "alerts", "--json", clock=clock).output)
    (digest,) = [alert["text"] for alert in said if alert["kind"] == "digest.sent"]
    assert re.findall(r"^• (\S+) \(\w+\) is overdue", digest, re.MULTILINE) == ["+15550000001"]
    assert re.findall(r"^• (\S+) \((\w+)\) had its renewal day", digest, re.MULTILINE) == [("+15550000001", "blind")]
