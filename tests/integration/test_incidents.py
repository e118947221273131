"""An incident from its opening to its resolution: one row, one name, and all that was said of it hangs on it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import databases
import pytest
from conftest import T0
from databases import BOTH, SQLITE_ONLY, age, changed, opened
from watched import CHANNEL, Watched, one

from renewal_watch.model.alerts import Severity
from renewal_watch.model.policy import Match
from renewal_watch.notify.routing import Routing
from renewal_watch.reports.incidents import incident_lines, open_lines
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of, key_of_alert
from renewal_watch.store.incidents.listing import STATES, Wanted, count_incidents, list_incidents
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.maintenance import integrity, retention
from renewal_watch.timed import follow_up

pytestmark = BOTH
DAY = timedelta(days=1)
ROWS = """SELECT i.id, i.name, i.topic, i.kind, i.opened_at, i.resolved_at, i.acked_by FROM incidents i ORDER BY i.id"""
ALERTS = "SELECT kind, incident_id FROM alerts ORDER BY id"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def rows(watched: Watched) -> list[dict[str, Any]]:
    return databases.rows(watched.database, ROWS)


def alerts(watched: Watched) -> list[tuple[str, int | None]]:
    return [(row["kind"], row["incident_id"]) for row in databases.rows(watched.database, ALERTS)]


def turn(watched: Watched, days: int) -> None:
    policies = {of.name: watched.settings.policy(of) for of in watched.settings.environments}
    follow_up.run_once(watched.store, Routing.of(watched.settings), policies, T0 + days * DAY)


def test_it_is_one_row_with_one_name_from_its_first_alert_to_its_last(watched: Watched) -> None:
    watched.poll(one(1, 2))
    (opened_row,) = rows(watched)
    assert opened_row["name"] == "production/renewal.upcoming/phone-1/2026-11-25/3"
    assert opened_row["resolved_at"] is None
    watched.poll(one(1, 1), at=T0 + DAY)
    turn(watched, 2)
    watched.poll(one(1, 30, renewal_date="2026-12-25"), at=T0 + 2 * DAY)
    (row,) = rows(watched)
    assert (row["id"], row["name"]) == (opened_row["id"], opened_row["name"])
    assert row["opened_at"] == opened_row["opened_at"]
    assert row["resolved_at"].startswith("2026-11-25T12:00")
    told = alerts(watched)
    assert (told[0][0], told[-1][0], len(told)) == ("renewal.upcoming", "renewal.renewed", 4), "with a reminder between"
    assert {pk for _, pk in told} == {row["id"]}


def test_what_opens_again_is_another_incident(watched: Watched) -> None:
    watched.poll(one(1, 60, current_status="suspended"))
    watched.poll(one(1, 59), at=T0 + DAY)
    watched.poll(one(1, 58, current_status="suspended"), at=T0 + 2 * DAY)
    first, second = rows(watched)
    assert first["resolved_at"]
    assert second["resolved_at"] is None
    assert first["name"] != second["name"]
    assert alerts(watched) == [
        ("status.changed", first["id"]),
        ("status.changed", first["id"]),
        ("status.changed", second["id"]),
    ]
    with watched.reading() as tx:
        assert key_of_alert(tx, 1) is None, "it is resolved"
        found = key_of_alert(tx, 3)
    assert found
    assert found[1].id == second["id"]


def test_one_that_ends_and_begins_in_one_poll_is_two(watched: Watched) -> None:
    """Renewed for a day only: the next renewal is near at once."""
    watched.poll(one(1, 1))
    with watched.store.transaction() as tx:
        acknowledge_incidents(tx, incidents_of(tx), "ann", T0)
    watched.poll(one(1, 7, renewal_date="2026-12-02"), at=T0 + 2 * DAY)
    first, second = rows(watched)
    assert first["resolved_at"]
    assert (first["acked_by"], second["acked_by"]) == ("ann", None), "what was said of the one is not said of the other"
    assert [pk for _, pk in alerts(watched)][-1] == second["id"]


def test_one_that_ends_without_a_word_is_resolved_as_well(watched: Watched) -> None:
    watched.poll(one(1, 2))
    watched.poll(one(1, 2, auto_renewal=True, days_until_monthly_renewal=None, renewal_date=None), at=T0 + DAY)
    watched.poll(one(1, 5, renewal_date="2026-12-01"), at=T0 + 3 * DAY)
    assert all(row["resolved_at"] or row["topic"] == "renewal" for row in rows(watched))
    watched.configure("")
    with watched.reading() as tx:
        still = {one.id for one in incidents_of(tx).values()}
    assert still == {row["id"] for row in rows(watched) if row["resolved_at"] is None}


def test_an_alert_that_opens_nothing_leads_nowhere(watched: Watched) -> None:
    watched.poll(one(1, 60))
    watched.poll(one(1, 59, monthly_renewal_cost=2.5), at=T0 + DAY)
    assert alerts(watched) == [("price.changed", None)]
    assert rows(watched) == []


def test_two_open_ones_of_one_thing_cannot_be(watched: Watched) -> None:
    watched.poll(one(1, 2))
    columns = "name, environment_id, number_id, topic, alert_id, kind, severity, rank, opened_at, reminded"
    with pytest.raises(Exception, match=r"(?i)unique"):
        changed(
            watched.database,
            f"INSERT INTO incidents (id, {columns}) SELECT id + 1000, {columns} FROM incidents",
        )


@SQLITE_ONLY
def test_what_was_open_in_an_older_database_goes_on(watched: Watched) -> None:
    """Open since before: with what was acknowledged, and with the alerts that were told of it."""
    watched.poll(one(1, 2), one(2, 60, current_status="suspended"), one(3, 60))
    watched.poll(one(1, 1), one(2, 59, current_status="suspended"), one(3, 59), at=T0 + DAY)
    with watched.store.transaction() as tx:
        acknowledge_incidents(tx, incidents_of(tx), "ann", T0 + DAY)
    before, told = rows(watched), alerts(watched)
    watched.store.close()
    age(watched.database, "0005")
    watched.store = opened(watched.database)
    assert watched.store.upgrade()
    assert integrity.look(watched.store) == []
    after = rows(watched)
    assert [{**row, "id": 0} for row in after] == [{**row, "id": 0} for row in before]
    assert len(alerts(watched)) == len(told)
    names = {row["id"]: row["name"] for row in before}, {row["id"]: row["name"] for row in after}
    for (kind, was), (same, now) in zip(told, alerts(watched), strict=True):
        assert (kind, names[0].get(was or 0)) == (same, names[1].get(now or 0))
    assert databases.rows(watched.database, "SELECT value FROM about WHERE name = 'least'") == [{"value": "0006"}]


def test_what_a_silence_makes_an_incident_of_has_its_own_row(watched: Watched) -> None:
    """Good news opens none; hidden, each is kept until the silence ends."""
    with watched.store.transaction() as tx:
        add_silence(tx, Match(), (), T0 + 30 * DAY, "ann", "", T0)
    watched.poll(one(1, 60), one(2, 60))
    watched.poll(one(1, 59, auto_renewal=True), one(2, 59, auto_renewal=True), at=T0 + DAY)
    watched.poll(*(one(i, 58, auto_renewal=True, current_status="pending") for i in (1, 2)), at=T0 + 2 * DAY)
    assert len({row["id"] for row in rows(watched)}) == len(rows(watched)) >= 2
    assert all(row["id"] for row in rows(watched))


def test_one_that_opens_and_ends_in_one_poll_has_its_row_and_its_id(watched: Watched) -> None:
    """Auto-renewal goes off, and the number renewed: the alert of the one must not lead to what comes later."""
    later = {"renewal_date": (T0.date() + 33 * DAY).isoformat()}
    watched.poll(one(1, 2, auto_renewal=True), one(2, 60))
    watched.poll(one(1, 32, auto_renewal=False, **later), one(2, 60), at=T0 + DAY)
    watched.poll(one(1, 31, auto_renewal=False, **later), one(2, 58, current_status="suspended"), at=T0 + 2 * DAY)
    brief, other = rows(watched)
    assert brief["opened_at"] == brief["resolved_at"]
    assert [pk for kind, pk in alerts(watched) if kind == "auto_renewal.off"] == [brief["id"]]
    assert [pk for kind, pk in alerts(watched) if kind == "status.changed"] == [other["id"]]
    with watched.reading() as tx:
        assert key_of_alert(tx, 2) is None, "nothing of it is open"


def test_retention_gives_no_id_away_that_an_alert_leads_to(watched: Watched) -> None:
    watched.poll(one(1, 60), one(2, 60))
    watched.poll(one(1, 60, current_status="suspended"), one(2, 60), at=T0 + DAY)
    watched.poll(one(1, 60), one(2, 60), at=T0 + 2 * DAY)
    changed(watched.database, "UPDATE deliveries SET state = 'sent', sent_at = created_at")
    now = T0 + 800 * DAY
    retention.prune(watched.store, retention.Limits(changes=now - DAY, alerts=now - 730 * DAY), now, lambda _: None)
    kept = alerts(watched)
    assert {pk for _, pk in kept if pk} <= {row["id"] for row in rows(watched)}
    day = (now.date() + 60 * DAY).isoformat()
    watched.poll(one(1, 60, renewal_date=day), one(2, 60, renewal_date=day, current_status="suspended"), at=now)
    assert alerts(watched)[-1][1] not in {pk for _, pk in kept}
    assert integrity.look(watched.store) == []


def test_retention_deletes_resolved_incidents_and_keeps_open_ones(watched: Watched) -> None:
    suspended = {"current_status": "suspended"}
    watched.poll(*(one(i, 400, **suspended) for i in range(1, 6)))
    watched.poll(*(one(i, 399, **(suspended if i == 1 else {})) for i in range(1, 6)), at=T0 + DAY)
    changed(watched.database, "UPDATE deliveries SET state = 'sent', sent_at = created_at")
    now = T0 + 800 * DAY
    retention.prune(watched.store, retention.Limits(changes=now - DAY, alerts=now - 730 * DAY), now, lambda _: None)
    left = rows(watched)
    assert [row["resolved_at"] is None for row in left] == [True, False], "the open one, and the one with the newest id"
    with watched.reading() as tx:
        assert key_of_alert(tx, 1) is not None


def test_a_reminder_while_the_list_cannot_be_read_says_nothing_of_a_day_that_is_over(watched: Watched) -> None:
    watched.poll(one(1, 1))
    for days in range(1, 5):
        watched.fail(at=T0 + days * DAY)
        turn(watched, days)
    texts = [row["text"] for row in databases.rows(watched.database, "SELECT text FROM alerts")]
    assert any("(reminder " in text for text in texts)
    assert not [text for text in texts if "-" in text.partition("on Tue")[0] and " in -" in text]


def test_the_owner_is_said_once_whatever_is_told(tmp_path: Path) -> None:
    rule = '[[rules]]\nname = "mine"\nowner = "Sales"\n[reminders]\nwarning_every = "1d"\n'
    watched = Watched(tmp_path, CHANNEL + rule)
    for i in range(6):
        watched.poll(one(1, 60, current_status="suspended" if i % 2 else "active"), at=T0 + timedelta(hours=i))
    turn(watched, 3)
    texts = [row["text"] for row in databases.rows(watched.database, "SELECT text FROM alerts")]
    assert any("keeps changing" in text or "times within" in text for text in texts)
    assert {text.count("[owner: Sales]") for text in texts} == {1}


@SQLITE_ONLY
def test_old_words_are_reminded_of_without_saying_again_whose_they_are(tmp_path: Path) -> None:
    rule = '[[rules]]\nname = "mine"\nowner = "Sales"\n'
    watched = Watched(tmp_path, CHANNEL + rule)
    watched.poll(one(1, 60), one(2, 60))
    for i in range(1, 4):
        watched.poll(one(2, 60), at=T0 + timedelta(hours=i))
    watched.store.close()
    age(watched.database, "0005")
    watched.store = opened(watched.database)
    watched.store.upgrade()
    turn(watched, 2)
    (last,) = databases.rows(watched.database, "SELECT text FROM alerts ORDER BY id DESC LIMIT 1")
    assert "(reminder 1 of " in last["text"]
    assert last["text"].count("[owner: Sales]") == 1


def test_a_list_of_incidents_is_in_the_words_of_today(watched: Watched) -> None:
    watched.poll(one(1, 2), one(2, 60, current_status="suspended"), one(3, 60, current_status="pending"))
    with watched.store.transaction() as tx:
        acknowledge_incidents(
            tx, {key: it for key, it in incidents_of(tx).items() if key.number_id == "phone-2"}, "ann", T0
        )
    today = (T0 + DAY).date().toordinal()
    with watched.reading() as tx:
        found = list_incidents(tx, today, Wanted())
        assert [(it.number_id, it.state) for it in found] == [
            ("phone-1", "open"),
            ("phone-3", "open"),
            ("phone-2", "acknowledged"),
        ]
        assert found[0].words[0] == "+15550000001 will be lost in 1 day"
        assert [it.number_id for it in list_incidents(tx, today, Wanted(states=["acknowledged"]))] == ["phone-2"]
        assert [it.number_id for it in list_incidents(tx, today, Wanted(severities=[Severity.warning]))] == ["phone-3"]
        assert [it.number_id for it in list_incidents(tx, today, Wanted(kinds=["renewal.upcoming"]))] == ["phone-1"]
        assert list_incidents(tx, today, Wanted(environment="nowhere")) == []
    watched.poll(one(1, 1), one(2, 59), one(3, 59), at=T0 + DAY)
    with watched.reading() as tx:
        found = list_incidents(tx, today, Wanted(states=STATES))
    assert (found[0].number_id, found[0].state) == ("phone-1", "open")
    assert {(it.number_id, it.state) for it in found[1:]} == {("phone-2", "resolved"), ("phone-3", "resolved")}
    assert {it.words[0] for it in found[1:]} == {"+15550000002 is suspended", "+15550000003 is pending"}


def test_incidents_that_are_not_shown_are_counted(watched: Watched) -> None:
    watched.poll(*(one(i, 60, current_status="suspended") for i in range(1, 6)), one(6, 60, current_status="pending"))
    today = T0.date().toordinal()
    with watched.reading() as tx:
        found, counts = list_incidents(tx, today, Wanted(), most=2), count_incidents(tx, Wanted())
        assert count_incidents(tx, Wanted(severities=[Severity.warning])).total() == 1
        assert count_incidents(tx, Wanted(environment="nowhere")).total() == 0
    assert counts == {("open", Severity.critical): 5, ("open", Severity.warning): 1}
    lines = incident_lines(found, counts, T0, "UTC")
    assert lines[-3:] == [
        "… and 4 more, less urgent; narrow it, or see --json",
        "",
        "6 open (5 critical, 1 warning)",
    ]
    assert open_lines(found, counts, T0, "UTC")[-1] == "… and 4 more: renewal-watch incidents"
