"""The audit log: who did what from where, who was notified of what and where that went; on either engine the same."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import commands
import databases
import pytest
from browsing import pages, password_file
from conftest import T0, Clock
from databases import BOTH, opened
from receivers import HttpReceiver
from watched import Watched, one

from renewal_watch.channels.senders import sender_of
from renewal_watch.model.actor import Actor
from renewal_watch.model.alerts import Severity
from renewal_watch.operations import dispatch
from renewal_watch.operations.dispatch import Outlet
from renewal_watch.store.incidents.audit import Asked, list_audit, note_act
from renewal_watch.store.outbox.deliveries import put_in_outbox

pytestmark = BOTH
NOW = T0 + timedelta(hours=1)
SECRET = "t0ps3cretpath"


@pytest.fixture
def watched(tmp_path: Path, web: HttpReceiver) -> Iterator[Watched]:
    script = tmp_path / "page"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    more = (
        f'[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:{web.port}/{SECRET}"\nroutine = "at once"\n'
        f'[[channels]]\nname = "hook"\nwebhook = "http://127.0.0.1:{web.port}/{SECRET}"\nmin_severity = "warning"\n'
        f'[[channels]]\nname = "pager"\ncommand = ["{script}", "--key", "{SECRET}"]\nmin_severity = "critical"\n'
        f'[web]\npassword_file = "{password_file(tmp_path / "web-password")}"\n'
    )
    made = Watched(tmp_path, more)
    yield made
    made.store.close()


def send(watched: Watched, clock: Clock) -> None:
    """Everything that is due, on every channel."""
    from renewal_watch.notify.routing import Routing

    for channel in watched.settings.channels:
        sender = sender_of(channel, clock)
        done = dispatch.run_once(
            watched.store, Outlet(channel=channel, sender=sender), Routing.of(watched.settings), clock
        )
        sender.close()
        assert done.failed == 0


def entries(watched: Watched, *words: str, at: Any = NOW) -> list[dict[str, Any]]:
    output = commands.call(watched.path, "audit", "--json", *words, clock=Clock(at), secrets=(SECRET,)).output
    found: list[dict[str, Any]] = json.loads(output)
    return found


def acted(watched: Watched) -> None:
    """One alert that three channels are told, and everything that a person may do."""
    watched.poll(one(1, 1, current_status="suspended"), one(2, 1))
    commands.call(watched.path, "alerts", "retry", "1", clock=Clock(T0))
    send(watched, Clock(T0 + timedelta(minutes=1)))
    clock = Clock(T0 + timedelta(minutes=2))

    def call(*words: str) -> None:
        commands.call(watched.path, *words, clock=clock)
        clock.on(timedelta(minutes=1))

    call("ack", "+15550000001", "--author", "Anna", "--comment", "on it")
    call("ack", "+15550000001", "--withdraw", "--author", "Anna")
    call("lapse", "+15550000002", "--author", "Ben")
    call("lapse", "+15550000002", "--withdraw", "--author", "Ben")
    call("silence", "add", "--number", "+15550000002", "--for", "4h", "--author", "Ben", "--comment", "moving")
    call("silence", "end", "1", "--author", "Ben")
    call("db", "prune")


def test_who_was_notified_has_the_target_of_that_time(watched: Watched) -> None:
    watched.poll(one(1, 1, current_status="suspended"))
    send(watched, Clock(T0 + timedelta(minutes=1)))
    found = entries(watched)
    by_channel = {it["channel"]: it for it in found}
    assert by_channel.keys() == {"ops", "hook", "pager"}
    assert by_channel["ops"]["target"] == "json://127.0.0.1"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", by_channel["hook"]["target"])
    assert by_channel["pager"]["target"] == str(watched.path.parent / "page")
    assert {it["what"] for it in found} == {"notification"}
    told = by_channel["ops"]
    assert (told["at"], told["who"], told["verb"]) == ("2026-11-23T12:01:00Z", None, None)
    assert told["alerts_total"] == len(told["alerts"]) > 0
    assert {it["number"] for it in told["alerts"]} == {"+15550000001"}
    assert told["alerts"][0]["severity"] == "critical"
    assert SECRET not in str(databases.rows(watched.database, "SELECT * FROM deliveries"))


def test_every_act_is_kept_with_who_and_from_where(watched: Watched) -> None:
    acted(watched)
    found = [it for it in entries(watched) if it["what"] == "action"]
    assert [(it["who"], it["verb"], it["number"]) for it in found[::-1][1:-1]] == [
        ("Anna", "ack", "+15550000001"),
        ("Anna", "ack withdrawn", "+15550000001"),
        ("Ben", "lapse", "+15550000002"),
        ("Ben", "lapse withdrawn", "+15550000002"),
        ("Ben", "silence", None),
        ("Ben", "silence ended", None),
    ]
    assert found[0]["verb"] == "database pruned"
    assert found[0]["subject"].startswith("[retention]: 0 changes")
    assert all(re.fullmatch(r"command line, .+@.+", it["origin"]) for it in found)
    assert (found[-1]["verb"], found[-1]["subject"]) == ("retry", "alerts 1")
    assert found[-2]["comment"] == "on it"
    assert "production/" in found[-2]["subject"]
    assert found[2]["subject"].startswith("silence 1 until 2026-11-23 16:06 UTC: numbers +15550000002")


def test_the_text_is_a_table_newest_first(watched: Watched) -> None:
    acted(watched)
    output = commands.call(watched.path, "audit", clock=Clock(NOW), secrets=(SECRET,)).output.splitlines()
    assert output[0] == "From 2026-10-24 13:00 UTC to 2026-11-23 13:00 UTC, newest first:"
    assert output[1].split() == ["AT", "WHO", "FROM", "WHAT", "ABOUT"]
    assert "database pruned" in output[2]
    assert any("notified ops (json://127.0.0.1)" in line and "+1555000000" in line for line in output[-5:])
    assert any(
        "Anna" in line and "+15550000001 (production); production/" in line and "on it" in line for line in output
    )


def test_it_is_narrowed_by_time_and_by_who(watched: Watched) -> None:
    acted(watched)
    assert {it["who"] for it in entries(watched, "--who", "anna")} == {"Anna"}
    assert {it["channel"] for it in entries(watched, "--who", "127.0.0.1")} == {"ops", "hook"}
    assert (
        entries(watched, "--since", "2026-11-23T12:02:30Z", "--until", "2026-11-23T12:03:30Z")[0]["verb"]
        == "ack withdrawn"
    )
    output = commands.call(watched.path, "audit", "--until", "2026-11-20", clock=Clock(NOW)).output
    assert output.startswith("Nobody did anything and nobody was notified between 2026-10-24 13:00 UTC")
    assert "--since: 'soon' is not a time" in commands.call(watched.path, "audit", "--since", "soon", code=2).stderr


def test_the_export_has_the_same_entries(watched: Watched) -> None:
    acted(watched)
    found = entries(watched)
    text = commands.call(watched.path, "export", "audit", "--format", "jsonl", clock=Clock(NOW)).stdout_bytes.decode()
    assert [json.loads(line) for line in text.splitlines()] == found
    text = commands.call(watched.path, "export", "audit", clock=Clock(NOW), secrets=(SECRET,)).stdout_bytes.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["at"] for row in rows] == [it["at"] for it in found]
    (told,) = (row for row in rows if row["channel"] == "ops")
    assert told["target"] == "json://127.0.0.1"
    assert "+15550000001" in told["headlines"]


def test_a_page_follows_a_page_and_none_is_left_out(watched: Watched) -> None:
    """Also where many are of one instant, of acts and messages alike."""
    with watched.store.transaction() as tx:
        for place in range(130):
            note_act(tx, "token created", Actor("Anna", "web, 10.0.0.5"), f"token {place}", T0)
            pk = put_in_outbox(tx, f"ops-{place % 2}", [], Severity.info, T0)
            tx.rows(
                "UPDATE deliveries SET state = 'sent', sent_at = created_at, target = 'anna@example.org' WHERE id = ?",
                (pk,),
            )
    with pages(watched, Clock(NOW)) as visitor:
        path, seen = "/audit", []
        for count in (100, 100, 60):
            page = visitor.get(path).text
            rows = re.findall(r"<td>(?:token \d+| <code>rw-\w+</code>)</td>", page)
            assert len(rows) == count
            seen += rows
            following = re.search(r'<a rel="next" href="([^"]+)"', page)
            path = following[1].replace("&amp;", "&") if following else ""
        assert not path
        assert len(set(seen)) == 260
        assert "notified ops-1 (anna@example.org)" in visitor.text("/audit")
        assert visitor.text("/audit?who=ben").count("Nobody did anything") == 1
        assert "is no place in the audit log" in visitor.text("/audit?before=x", status=400)
        assert visitor.get("/audit?before=2026-99-23T12:00:00.000000Z-action-1").status_code == 400
    with watched.reading() as tx:
        places = [place for place, _ in list_audit(tx, Asked(T0 - timedelta(days=1), NOW))]
        assert places == sorted(places, reverse=True)


def test_a_deed_of_the_pages_is_there_with_its_address(watched: Watched) -> None:
    watched.poll(one(1, 1))
    with pages(watched, Clock(NOW)) as visitor:
        assert 'href="/audit"' in visitor.get("/alerts").text
        visitor.login("Anna")
        visitor.do("acknowledge", environment="production", id="phone-1", comment="paid")
        text = visitor.text("/audit")
        assert "web: Anna" in text
        assert "127.0.0.1" in text
        assert "paid" in text
        assert '<a href="/numbers/production/phone-1">' in visitor.get("/audit").text


def test_a_reading_needs_a_login_where_pages_do(watched: Watched) -> None:
    with pages(watched, Clock(NOW), is_exposed=True) as visitor:
        assert visitor.get("/audit").status_code in (302, 303, 401)


def test_a_copy_and_a_backup_put_back_are_told_in_what_is_used_from_then_on(watched: Watched, tmp_path: Path) -> None:
    watched.poll(one(1, 30))
    watched.store.close()
    url = databases.url_of(tmp_path / "copy.db", is_empty=True)
    commands.call(watched.path, "db", "copy", "--to", url, clock=Clock(NOW))
    (row,) = databases.rows(tmp_path / "copy.db", "SELECT * FROM actions")
    assert (row["verb"], row["subject"].startswith("from ")) == ("database copied", True)
    assert databases.rows(watched.database, "SELECT * FROM actions") == []
    commands.call(watched.path, "db", "backup", str(tmp_path / "one.db"), clock=Clock(NOW))
    commands.call(watched.path, "db", "restore", str(tmp_path / "one.db"), clock=Clock(NOW))
    (row,) = databases.rows(watched.database, "SELECT * FROM actions")
    assert (row["verb"], row["subject"]) == ("database restored", f"from {tmp_path / 'one.db'}")
    watched.store = opened(watched.database)
