"""What an operator sees first: fifteen problems that nobody looked after, in ``status`` and on the first page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import commands
import pytest
from browsing import Visitor, pages, password_file
from conftest import T0, Clock
from databases import BOTH, SQLITE_ONLY
from watched import CHANNEL, Watched, one

from renewal_watch.alerts.facts.account_facts import CardExpiring, Short
from renewal_watch.alerts.facts.release_facts import ReleaseRequested
from renewal_watch.alerts.facts.topup_facts import TopupFailed
from renewal_watch.daemon.lock import only_one
from renewal_watch.database.sqlite import lock_of
from renewal_watch.model.account import Balance, Card, Charge, Reading, Release
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Facts, Number
from renewal_watch.notify.routing import Routing
from renewal_watch.store.environments import id_of_environment
from renewal_watch.store.incidents.account import keep_reading
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.outbox.alerts import record_alerts

pytestmark = BOTH
D = timedelta(days=1)
SETTINGS = CHANNEL + "[renewals]\nmissing_after_polls = 1\n"
FIFTEEN = {  # what is wrong, and what is to be done about it
    "+15550000001 is missing, was overdue and suspended": "ask the provider for it at once",
    "+15550000002 is missing": "ask the provider for it at once",
    "+15550000003 is missing": "ask the provider for it at once",
    "+15550000004 is missing": "ask the provider for it at once",
    "+15550000005 is overdue by 3 days": "check balance and card, renew it now",
    "+15550000006 is suspended": "ask the provider why",
    "+15550000007 will be lost in 1 day": "switch auto-renewal on, or renew it",
    "+15550000008 will be lost in 5 days": "switch auto-renewal on, or renew it",
    "+15550000009 will be lost in 12 days": "switch auto-renewal on, or renew it",
    "+15550000010: release requested": "cancel the request unless it is meant",
    "production: the top-up failed": "use another card, or top up by hand",
    "production: the visa card ending 4242 expires in 38 days": "put in another card",
    "production: renewals to Wed 23 Dec 2026 need 90.90 USD, the balance is 21.20 USD": "top up the balance",
    "+15550000011: auto-renewal is off": "switch it on again if it is to stay",
    "+15550000012 costs 9.00 USD": "ask the provider if it was not announced",
}


def account_alert(kind: str, severity: Severity, topic: str, facts: Facts, number: str | None = None) -> Alert:
    """One that the account's turn would make."""
    return Alert(
        key=f"production/{kind}/{number or 'account'}/1",
        kind=kind,
        severity=severity,
        environment="production",
        facts=facts,
        number_id=number,
        topic=topic,
    )


def _listed(ago: int) -> list[dict[str, Any]]:
    """The list of so many days before ``T0``, in which the troubles begin one after the other."""

    def seen(index: int, left: int, **changes: Any) -> dict[str, Any]:
        return one(index, left, **{"days_until_monthly_renewal": left + ago} | changes)

    fleet = [seen(index, 20, auto_renewal=True, monthly_renewal_cost="2.50") for index in range(20, 60)]
    status = "active" if ago > 2 else "suspended"
    fleet += [
        seen(5, -3),
        seen(6, 20, auto_renewal=True, current_status=status),
        *(seen(index, left) for index, left in ((7, 1), (8, 5), (9, 12))),
        seen(10, 30, auto_renewal=True),
        seen(11, 20, auto_renewal=ago > 1),
        seen(12, 29, auto_renewal=True, monthly_renewal_cost="9.00" if ago < 2 else "1.00"),
    ]
    gone = [seen(1, -2, current_status=status), *(seen(index, 25) for index in (2, 3, 4))]
    return fleet + (gone if ago else [])


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Watched]:
    """A fleet of which nobody took care."""
    web = f'[web]\npassword_file = "{password_file(tmp_path / "password")}"\n[reminders]\nwarning_every = "1d"\n'
    made = Watched(tmp_path, SETTINGS + web)
    for ago in (4, 2, 1, 0):
        made.poll(*_listed(ago), at=T0 - ago * D)
    requested = ReleaseRequested(
        Number("phone-10", "+15550000010"),
        Release(id="r-1", status="pending", requested_at=T0),
        "production",
        left=None,
        on=None,
    )
    short = Short(
        "production",
        needs=Decimal("90.90"),
        balance=Decimal("21.20"),
        currency="USD",
        until=(T0 + 30 * D).date().toordinal(),
        first=(20, (T0 + 20 * D).date().toordinal(), 40),
        unpriced=0,
        top_up=None,
        fails=True,
    )
    last = (T0 + 38 * D).date().toordinal()
    charge, card = (
        Charge(id="c-1", status="failed", at=T0),
        Card(id="k", year=2026, month=12, brand="visa", last4="4242"),
    )
    with made.store.transaction() as tx:
        place = id_of_environment(tx, "production")
        content = Balance(amount=Decimal("21.20"), currency="USD")
        keep_reading(tx, place, Reading(name="balance", read_at=T0, good_at=T0, content=content))
        found = [
            account_alert("release.requested", Severity.critical, "release r-1", requested, "phone-10"),
            account_alert("funds.topup_failed", Severity.critical, "top-up", TopupFailed("production", charge, 0)),
            account_alert(
                "funds.card_expiring", Severity.warning, "card k", CardExpiring("production", card, 38, last)
            ),
            account_alert("funds.short", Severity.critical, "balance", short),
        ]
        record_alerts(tx, found, Routing.of(made.settings), T0)
    yield made
    made.store.close()


def test_fifteen_problems_are_seen_at_once_in_status_with_what_to_do(story: Watched) -> None:
    lines = commands.call(story.path, "status").output.splitlines()
    screen = lines[:40]
    shown = [line[10:] for line in screen if line.startswith(("CRITICAL", "WARNING"))]
    assert set(shown) == set(FIFTEEN)
    for what, todo in FIFTEEN.items():
        assert (
            screen[screen.index(next(line for line in screen if line[10:] == what)) + 1]
            .strip()
            .startswith(f"{todo}; since ")
        )
    assert lines[:5] == [
        "service    no daemon runs here; it is polled by a timer or by hand; last poll 2026-11-23 12:00 (less than a minute ago)",
        "incidents  15 open (10 critical, 5 warning)",
        "expiring   lost within 1 day: 1, within 7 days: 2, within 14 days: 3; overdue: 1",
        "renewing   43 numbers within 30 days: 111.00 USD",
        "balance    21.20 USD (production)",
    ]


def test_fifteen_problems_are_seen_at_once_on_the_first_page(story: Watched) -> None:
    with pages(story, Clock()) as visitor:
        text = visitor.text("/")
        for what, todo in FIFTEEN.items():
            name = what.replace(", was", " was")
            assert f"{name} {todo[0].upper()}{todo[1:]}. Since" in text, what
        assert "Open incidents 15 10 critical 5 warning" in text
        assert "Lost within 7 days 2 1 within 1 day 3 within 14 days 1 overdue" in text
        assert "Renewing 43 within 30 days 111.00 USD" in text
        assert "Balance 21.20 USD production" in text


def test_numbers_that_need_somebody_come_first_and_are_marked(story: Watched) -> None:
    lines = commands.call(story.path, "status").output.splitlines()
    first = [
        line.split("  ")[0]
        for line in lines[next(i for i, line in enumerate(lines) if line.startswith("NUMBER")) + 1 :]
    ]
    assert first[:8] == [f"+155500000{i:02}" for i in (5, 7, 6, 10, 8, 9, 11, 12)]
    (released,) = [line for line in lines if line.startswith("+15550000010") and "production" in line]
    assert released.endswith("release requested")
    with pages(story, Clock()) as visitor:
        page = visitor.get("/").text
        assert re.findall(r'<th scope="row"[^>]*><a href="[^"]*">([^<]*)</a>', page)[:8] == first[:8]
        assert page.count('<tr role="row" class="bad">') == 4
        second = [*re.findall(r'scope="row"[^>]*><a href="[^"]*">([^<]*)</a>', visitor.get("/?page=2").text)]
        assert not set(second) & set(first[:8])


def test_what_is_folded_into_a_missing_number_is_listed_when_asked_for(story: Watched) -> None:
    listed = json.loads(commands.call(story.path, "incidents", "--json").output)
    (missing,) = [it for it in listed if it["number"] == "+15550000001"]
    assert (missing["kind"], missing["folded"]) == ("number.missing", ["status.changed", "renewal.overdue"]) or (
        missing["folded"] == ["renewal.overdue", "status.changed"]
    )
    everything = json.loads(commands.call(story.path, "incidents", "--all", "--json").output)
    assert {it["kind"] for it in everything if it["number"] == "+15550000001"} == {
        "number.missing",
        "renewal.overdue",
        "status.changed",
    }


def test_a_number_that_returns_has_its_other_incidents_again(story: Watched) -> None:
    back = one(1, -2, current_status="suspended", days_until_monthly_renewal=-3)
    story.poll(back, *_listed(-1), at=T0 + D)
    listed = json.loads(commands.call(story.path, "incidents", "--json", clock=Clock(T0 + D)).output)
    assert {it["kind"] for it in listed if it["number"] == "+15550000001"} == {"renewal.overdue", "status.changed"}


def test_the_figures_are_in_the_json_document(story: Watched) -> None:
    with story.store.transaction() as tx:
        mine = {key: one for key, one in incidents_of(tx).items() if key.topic == "top-up"}
        acknowledge_incidents(tx, mine, "ann", T0)
    seen = json.loads(commands.call(story.path, "status", "--json").output)["overview"]
    assert seen == {
        "running": None,
        "running_since": None,
        "last_poll_at": "2026-11-23T12:00:00Z",
        "next_poll_at": seen["next_poll_at"],
        "open": {"critical": 9, "warning": 5, "info": 0},
        "acknowledged": 1,
        "overdue": 1,
        "lost_within": [{"days": 1, "numbers": 1}, {"days": 7, "numbers": 2}, {"days": 14, "numbers": 3}],
        "renewing": {"days": 30, "numbers": 43, "unpriced": 0},
        "costs": [{"amount": "111.00", "currency": "USD"}],
        "balances": [{"environment": "production", "amount": "21.20", "currency": "USD"}],
    }


@pytest.fixture
def visitor(story: Watched) -> Iterator[Visitor]:
    with pages(story, Clock()) as found:
        found.login()
        yield found


def acknowledged(made: Watched) -> set[str]:
    found = json.loads(commands.call(made.path, "incidents", "--acknowledged", "--json").output)
    return {it["headline"] for it in found}


def test_several_incidents_are_acknowledged_on_the_page(story: Watched, visitor: Visitor) -> None:
    ids = {it["headline"]: str(it["id"]) for it in json.loads(commands.call(story.path, "incidents", "--json").output)}
    chosen = ["production: the top-up failed", "+15550000006 is suspended"]
    ticked = ",".join(ids[one] for one in chosen)
    said = visitor.do("acknowledge", incident=ticked, length="3d", comment="called them")
    assert said.startswith("ok: acknowledged: 2 incidents; no reminder before its next cycle or 2026-11-26")
    assert acknowledged(story) == set(chosen)
    text = visitor.text("/incidents?state=acknowledged")
    assert "acknowledged by web: Anna less than a minute ago until 26 Nov" in text
    assert visitor.do("take-back", incident=ids[chosen[0]]).startswith("ok: taken back: top-up (funds.topup_failed)")
    assert acknowledged(story) == {chosen[1]}
    assert visitor.do("acknowledge") == "bad: tick the incidents first, one or more"
    assert visitor.do("acknowledge", incident="1,x").startswith("bad: incident: 'x' is not a number")
    assert visitor.do("acknowledge", incident="1", length="9y").startswith("bad: length: '9y' is not one of: 4h,")


def test_all_that_fit_a_filter_are_acknowledged_on_the_page(story: Watched, visitor: Visitor) -> None:
    assert "5 open (5 warning)" in visitor.text("/incidents?severity=warning")
    assert visitor.do("acknowledge", severity="warning", kind="renewal.*", all="yes").startswith(
        "ok: acknowledged: 2 incidents"
    )
    assert acknowledged(story) == {"+15550000008 will be lost in 5 days", "+15550000009 will be lost in 12 days"}
    assert "No incidents match." in visitor.text("/incidents?kind=canary.*")
    assert visitor.get("/incidents?severity=worst").status_code == 400


@SQLITE_ONLY
def test_a_running_daemon_says_since_when(story: Watched) -> None:
    with only_one(story.database, T0 - 3 * D):
        os.utime(lock_of(story.database), (T0.timestamp(), T0.timestamp()))
        document = json.loads(commands.call(story.path, "status", "--json").output)["overview"]
        (line,) = commands.call(story.path, "status").output.splitlines()[:1]
    assert (document["running"], document["running_since"]) == (True, "2026-11-20T12:00:00Z")
    assert line.startswith("service    running for 3 d; last poll 2026-11-23 12:00 (less than a minute ago), next in ")
