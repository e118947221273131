"""Whose the numbers are: columns and filters wherever numbers are listed, by the inventory and by rules."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import commands
import pytest
from browsing import pages
from conftest import T0, Clock
from databases import BOTH
from icalendar import Calendar
from watched import CHANNEL, Watched, one

pytestmark = BOTH
INVENTORY = (
    "number,owner,labels,note\n+15550000001,Sales,support;vip,\n+1 555 000 0002,sales,,\n+15550000003,Care,vip,\n"
)
SECRET = "0123456789abcdef0123"
RULE = '[[rules]]\nname = "us"\nmatch = { numbers = ["+15550000003"] }\nowner = "Sales"\n'


@pytest.fixture(params=["", RULE], ids=["inventory", "inventory and a rule"])
def owned(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Watched, list[str]]]:
    """A fleet with an inventory, and the numbers that belong to Sales."""
    path = tmp_path / "inventory.csv"
    path.write_text(INVENTORY)
    more = f'{CHANNEL}[inventory]\nfile = "{path}"\n[web]\ncalendar_secret = "{SECRET}"\n{request.param}'
    made = Watched(tmp_path, more, ("production", "test"))
    fleet = [one(index, 1, monthly_renewal_cost="2.00") for index in range(1, 5)]
    made.poll(*fleet, at=T0)
    made.poll(one(9, 30, auto_renewal=True), at=T0, environment="test")
    yield made, [f"+1555000000{index}" for index in ((1, 2, 3) if request.param else (1, 2))]
    made.store.close()


def rows_of(output: str) -> list[str]:
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("NUMBER")) + 1
    return [line.split()[0] for line in lines[start:]]


def test_status_has_a_column_and_filters(owned: tuple[Watched, list[str]]) -> None:
    made, sales = owned
    everything = commands.call(made.path, "status").output
    assert "OWNER" in everything
    assert "Care" in everything or "Sales" in everything
    assert rows_of(commands.call(made.path, "status", "--owner", "SALES").output) == sales
    assert rows_of(commands.call(made.path, "status", "--label", "vip").output) == ["+15550000001", "+15550000003"]
    assert rows_of(commands.call(made.path, "status", "--label", "vip", "--owner", "sales").output) == [
        number for number in sales if number != "+15550000002"
    ]
    assert "no numbers match" in commands.call(made.path, "status", "--owner", "Nobody").output


def test_incidents_are_those_of_an_owner(owned: tuple[Watched, list[str]]) -> None:
    made, sales = owned
    found = json.loads(commands.call(made.path, "incidents", "--owner", "Sales", "--json").output)
    assert sorted(it["number"] for it in found) == sales
    assert len(json.loads(commands.call(made.path, "incidents", "--json").output)) == 4


def test_exports_and_forecast_are_those_of_an_owner(owned: tuple[Watched, list[str]]) -> None:
    made, sales = owned
    text = commands.call(made.path, "export", "numbers", "--owner", "sales").stdout_bytes.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["number"].strip() for row in rows] == sales
    assert {row["owner"].lower() for row in rows} == {"sales"}
    months = json.loads(commands.call(made.path, "forecast", "--owner", "Sales", "--json").output)["months"]
    assert {month["if_renewed"]["numbers"] for month in months if month["if_renewed"]["numbers"]} == {len(sales)}
    feed = Calendar.from_ical(commands.call(made.path, "export", "calendar", "--owner", "Sales").stdout_bytes.decode())
    assert sorted(str(event["SUMMARY"]).split()[0] for event in feed.walk("VEVENT")) == sales


def test_pages_feeds_and_the_api_have_the_same(owned: tuple[Watched, list[str]]) -> None:
    made, sales = owned
    with pages(made, Clock()) as visitor:
        assert "Owner" in visitor.text("/")
        for path in ("/?owner=Sales", "/?owner=sales&sort=number"):
            page = visitor.text(path)
            assert [number for number in [f"+1555000000{i}" for i in range(1, 5)] if f"{number} " in page] == sales
        assert "/?owner=Sales&amp;sort=cost" in visitor.get("/?owner=Sales").text, "another order keeps the filter"
        assert f"{len(sales)} open" in visitor.text("/incidents?owner=Sales")
        feed = Calendar.from_ical(visitor.get(f"/calendar/{SECRET}.ics?owner=Sales").text)
        assert sorted(str(event["SUMMARY"]).split()[0] for event in feed.walk("VEVENT")) == sales
        numbers = visitor.get("/api/v1/numbers?owner=Sales").json()
        assert (sorted(it["number"] for it in numbers["numbers"]), numbers["total"]) == (sales, len(sales))
        assert {it["owner"].lower() for it in numbers["numbers"]} == {"sales"}
        assert visitor.get("/api/v1/incidents?owner=Sales").json()["total"] == len(sales)
        assert visitor.get("/api/v1/incidents?label=vip").json()["total"] == 2
        assert f"Within 7 days {len(sales)} numbers" in visitor.text("/calendar?owner=Sales")
        assert 'name="owner" value="Sales"' in visitor.get("/calendar?owner=Sales").text
        days = visitor.get("/api/v1/calendar?owner=Sales").json()["days"]
        assert [day["numbers"] for day in days] == [len(sales)]


def test_a_label_that_fits_nobody_is_warned_of(owned: tuple[Watched, list[str]]) -> None:
    made, _ = owned
    clock = Clock(T0 + timedelta(minutes=1))
    said = commands.call(made.path, "silence", "add", "--label", "suport", "--for", "4h", clock=clock)
    assert (
        "warning: --label: 'suport' fits nobody; no number of the inventory has it; did you mean 'support'?"
        in said.stderr
    )
    said = commands.call(made.path, "silence", "add", "--owner", "Sales", "--for", "4h", clock=clock)
    assert said.stderr == ""


def test_without_owners_there_is_no_column(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.poll(one(1))
    assert "OWNER" not in commands.call(made.path, "status").output
    with pages(made, Clock()) as visitor:
        assert "Owner" not in visitor.text("/")
    made.store.close()
