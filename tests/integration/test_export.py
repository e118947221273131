"""Numbers, history and alerts as CSV and JSON Lines: exact, safe in a spreadsheet, and readable again."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
from commands import Run
from conftest import T0
from databases import BOTH
from hypothesis import example, given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few
from world import write_config

from renewal_watch.config.loading import load
from renewal_watch.database.sqlite import BUSY_TIMEOUT_S
from renewal_watch.database.store import Store
from renewal_watch.errors import RenewalWatchError
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.reports import export
from renewal_watch.text import from_cell, to_cell

pytestmark = BOTH

LISTED = T0 - timedelta(hours=2)  # and half an hour later
FORMULA = '=HYPERLINK("http://127.0.0.1/";"click")'


def listed(*, later: bool) -> list[dict[str, Any]]:
    made = [
        entry("phone-1", monthly_renewal_cost=1.10 if later else 1, current_status="suspended" if later else "active"),
        entry("phone-2", number="+4930123456789012", currency="EUR", monthly_renewal_cost="12345678.90"),
        entry("7", number="004930555", country_code="DE"),
        entry("0012", number=None, type=FORMULA),
        *(entry(f"phone-{index}") for index in range(10, 20)),
    ]
    return [one for one in made if one["id"] != "phone-19"] if later else made


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two environments, of which one was read twice, the second time with changes."""
    folder = tmp_path_factory.mktemp("export")
    more = '[[environments]]\nname = "staging"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_other_made_up"\n'
    path = write_config(folder, "http://127.0.0.1:1", more=more)
    path.write_text(path.read_text() + f'\n[inventory]\nfile = "{folder}/inventory.csv"\n')
    (folder / "inventory.csv").write_text(
        "number,owner,labels,note\n"
        '+15550000001,Jörg & Co,hotline|de,=1+1\n+4930123456789012,+4930999,,"two\nlines; \'=x"\n004930555,,,@home\n',
        encoding="utf-8",
    )
    settings = load(path)
    store = Store(settings.database_url, is_simulated=True)
    store.upgrade()
    for name, at, entries in (
        ("production", LISTED, listed(later=False)),
        ("staging", LISTED, [entry("phone-1")]),
        ("production", LISTED + timedelta(minutes=30), listed(later=True)),
    ):
        one = settings.environment(name)
        source = type("Source", (), {"fetch": lambda _, those=entries: listing(*those)})()
        done = poll.run_once(store, one, source, settings.policy(one), Routing.of(settings, {}), lambda at=at: at)
        assert done.error is None
    store.close()
    return path


@pytest.fixture
def run(path: Path) -> Run:
    return partial(commands.call, path)


def table(text: bytes) -> list[dict[str, str]]:
    """As a program reads it that knows nothing of the marks."""
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def rows(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.decode().split("\n")[:-1]]


def test_amounts_are_numbers_where_that_is_asked_for(run: Run) -> None:
    exact = rows(run("export", "numbers", "--format", "jsonl").stdout_bytes)
    counted = rows(run("export", "numbers", "--format", "jsonl", "--amounts", "number").stdout_bytes)
    assert {type(one["cost"]) for one in exact} <= {str, type(None)}
    assert [one["cost"] for one in counted] == [None if one["cost"] is None else float(one["cost"]) for one in exact]
    assert any(one["cost"] for one in counted)
    changes = rows(run("export", "history", "--format", "jsonl", "--amounts", "number").stdout_bytes)
    assert len(changes) == len(rows(run("export", "history", "--format", "jsonl").stdout_bytes))
    table = run("export", "numbers", "--amounts", "number").stdout_bytes
    assert table == run("export", "numbers").stdout_bytes, "CSV has them so already"


@pytest.mark.parametrize(
    ("value", "shown"), [("12.50", 12.5), ("1,250.00", "1,250.00"), ("1e5", "1e5"), (None, None), (3, 3), ("-", "-")]
)
def test_only_what_is_an_amount_becomes_a_number(value: Any, shown: Any) -> None:
    change = {"fields": {"current_price": {"before": value, "now": "2"}, "current_status": {"before": "1", "now": "2"}}}
    assert export.with_amounts({"cost": value, "id": "7", **change}) == {
        "cost": shown,
        "id": "7",
        "fields": {"current_price": {"before": shown, "now": 2.0}, "current_status": {"before": "1", "now": "2"}},
    }


# --- the cells --------------------------------------------------------------------------------------------------------

CELLS = {  # a text, and its cell; beside some, what LibreOffice 7.4 makes of the bare text
    "+493012345678": "\t+493012345678",  # the number 493012345678
    "00493012345678": "\t00493012345678",  # the same number
    "12345678901234567890": "\t12345678901234567890",
    "1E5": "\t1E5",
    "2026-11-23": "\t2026-11-23",
    "+49 (0)30 1234": "\t+49 (0)30 1234",
    "=1+1": "'=1+1",  # 2
    "+1+1": "'+1+1",
    "-1+1": "'-1+1",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1+1": "'\t'=1+1",
    "\r=1+1": "'\r'=1+1",
    " =1+1": "' =1+1",
    "＝1+1": "'＝1+1",
    "a;=1+1": "a;'=1+1",  # a semicolon ends the cell where the comma is for decimals
    "'=1+1": "''=1+1",
    "active": "active",
    "phone-1": "phone-1",
    "it's; fine - really": "it's; fine - really",
    "": "",
}


@pytest.mark.parametrize("text", CELLS)
def test_a_cell_is_kept_whole_and_calculates_nothing(text: str) -> None:
    assert to_cell(text) == CELLS[text]
    assert from_cell(CELLS[text]) == text


@given(st.text(alphabet="'=+-@\t\r\n; 1a＝,(eE.") | st.text())
@example("'\t=")
@few(300)
def test_every_text_comes_back(text: str) -> None:
    cell = to_cell(text)
    assert from_cell(cell) == text
    assert cell[:1] not in tuple("=+-@＝\r")
    assert not re.search(r"[;\t\r\n][=@＝]", cell)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_csv_is_as_rfc_4180_wants_it(run: Run) -> None:
    text = run("export", "numbers").stdout_bytes
    assert text.endswith(b"\r\n")
    assert len(table(text)) == text.count(b"\r\nproduction,") + text.count(b"\r\nstaging,") == 15
    assert not text.startswith(b"\xef\xbb\xbf")
    assert run("export", "numbers", "--bom").stdout_bytes == b"\xef\xbb\xbf" + text


def test_numbers_stay_whole_for_programs_and_for_spreadsheets(run: Run) -> None:
    found = {
        one["id"].strip(): one for one in table(run("export", "numbers", "--environment", "production").stdout_bytes)
    }
    assert found["phone-2"]["number"] == "\t+4930123456789012"
    assert found["phone-2"]["number"].strip() == "+4930123456789012"
    assert found["7"]["number"] == "\t004930555"
    assert found["0012"]["id"] == "\t0012"
    assert found["0012"]["type"] == "'" + FORMULA
    assert found["phone-1"]["note"] == "'=1+1"
    assert found["phone-2"]["owner"] == "\t+4930999"
    assert found["phone-2"]["note"] == "two\nlines; '=x"


def test_amounts_and_days_can_be_counted_with(run: Run) -> None:
    (found,) = [one for one in table(run("export", "numbers").stdout_bytes) if one["id"] == "phone-2"]
    assert (found["monthly_renewal_cost"], found["cost"], found["renews_on"]) == (
        "12345678.90",
        "12345678.90",
        "2026-12-23",
    )
    assert re.fullmatch(r"-?\d+", found["days_left"])
    assert (found["auto_renewal"], found["is_sandbox"], found["missing_since"]) == ("true", "false", "")
    assert found["capabilities"] == "sms|voice"


def test_json_lines_carry_everything_as_it_is(run: Run) -> None:
    found = {
        (one["environment"], one["id"]): one for one in rows(run("export", "numbers", "--format", "jsonl").stdout_bytes)
    }
    printed = {(one["environment"], one["id"]): one for one in json.loads(run("status", "--json").output)["numbers"]}
    assert set(found) == set(printed)
    assert all(found[place].items() >= printed[place].items() for place in printed)
    one = found["production", "phone-2"]
    assert (one["number"], one["owner"], one["note"]) == ("+4930123456789012", "+4930999", "two\nlines; '=x")
    assert found["production", "phone-1"]["labels"] == ["hotline", "de"]
    assert found["production", "0012"]["number"] is None


def test_csv_holds_what_json_lines_hold(run: Run) -> None:
    """Every text cell, read back, is the value."""
    exact = rows(run("export", "numbers", "--format", "jsonl").stdout_bytes)
    cells = table(run("export", "numbers").stdout_bytes)
    for one, row in zip(exact, cells, strict=True):
        for name, value in one.items():
            if isinstance(value, list):
                assert from_cell(row[name]) == "|".join(value)
            elif isinstance(value, str):
                assert from_cell(row[name]) == value
            elif value is None:
                assert row[name] == ""


# --- history and alerts -----------------------------------------------------------------------------------------------


def test_history_is_what_the_command_prints_of_each_number(run: Run) -> None:
    found = rows(run("export", "history", "--format", "jsonl", "--environment", "production").stdout_bytes)
    assert len({one["id"] for one in found}) == 14
    for name in ("phone-1", "phone-19", "0012"):
        printed = json.loads(run("history", name, "--environment", "production", "--json").output)
        mine = [one for one in found if one["id"] == name]
        keys = ("seen_at", "not_yet_at", "what", "fields")
        assert [{key: one[key] for key in keys} for one in mine] == [{key: one[key] for key in keys} for one in printed]


def test_history_as_csv_has_a_line_for_each_field(run: Run) -> None:
    found = [
        one
        for one in table(run("export", "history").stdout_bytes)
        if one["id"] in ("phone-1", "phone-19") and one["environment"] == "production"
    ]
    assert [(one["id"], one["what"], one["field"], one["before"], one["now"]) for one in found] == [
        ("phone-1", "listed", "", "", ""),
        ("phone-1", "changed", "current_status", "active", "suspended"),
        ("phone-1", "changed", "monthly_renewal_cost", "1", "1.1"),
        ("phone-19", "listed", "", "", ""),
        ("phone-19", "unlisted", "", "", ""),
    ]


def test_alerts_are_what_the_command_prints(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = json.loads(run("alerts", "--json").output)
    assert len(printed) == 2
    for page in (500, 2, 1):
        monkeypatch.setattr(export, "PAGE", page)
        assert rows(run("export", "alerts", "--format", "jsonl").stdout_bytes) == printed
    found = table(run("export", "alerts").stdout_bytes)
    assert [from_cell(one["id"]) for one in found] == [
        str(one["id"]) for one in printed for _ in one["deliveries"] or [0]
    ]
    assert {one["state"] for one in found} <= {"pending", ""}
    text = run("export", "alerts", "--environment", "staging").stdout_bytes
    assert (len(table(text)), text.startswith(b"id,created_at,")) == (0, True)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_for_its_owner_only(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "numbers.csv"
    target.write_text("old")
    target.chmod(0o644)
    assert run("export", "numbers", "--output", str(target)).output == ""
    assert target.read_bytes() == run("export", "numbers").stdout_bytes
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_a_calendar_is_for_a_web_server_of_another_user(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "renewals.ics"
    run("export", "calendar", "--output", str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    target.chmod(0o640)
    run("export", "calendar", "--output", str(target))
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_file_is_left_as_it_was_when_the_rest_fails(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"begun"
        raise OSError(28, "No space left on device")

    target = tmp_path / "numbers.csv"
    target.write_text("old")
    with pytest.raises(RenewalWatchError, match=r"numbers\.csv cannot be written: No space left on device"):
        export.save(target, pieces())
    assert (target.read_text(), list(tmp_path.iterdir())) == ("old", [target])


def test_a_link_is_followed_and_a_pipe_is_written_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    run("export", "numbers", "--output", str(tmp_path / "link.csv"))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes().startswith(b"environment,")
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    run("export", "numbers", "--output", str(tmp_path / "pipe"))
    reader.join()
    assert got == [(tmp_path / "real.csv").read_bytes()]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_place_that_cannot_be_written_is_a_sentence(run: Run, tmp_path: Path) -> None:
    said = run("export", "numbers", "--output", str(tmp_path / "none" / "x.csv"), code=1).output
    assert f"{tmp_path}/none/x.csv cannot be written: No such file or directory" in said


def test_wrong_words_are_named(run: Run) -> None:
    assert (
        "there is no environment called elsewhere"
        in run("export", "history", "--environment", "elsewhere", code=2).output
    )
    assert "xlsx" in run("export", "numbers", "--format", "xlsx", code=2).output
    assert "No such command" in run("export", "everything", code=2).output


def test_rows_are_read_as_they_are_written(path: Path) -> None:
    """The first line is there before the last row was asked for: a fleet of any size takes no more memory."""
    settings = load(path)
    store = Store(settings.database_url, reads_only=True)
    asked = []

    def watched(found: Iterator[export.Row]) -> Iterator[export.Row]:
        for one in found:
            asked.append(one)
            yield one

    with store.transaction() as tx:
        pieces = export.encoded("numbers", watched(export.rows("numbers", tx, settings, T0)), "csv")
        assert next(pieces).count(b"\r\n") == 2
        assert len(asked) == 1
        assert sum(1 for _ in pieces) == 14
    store.close()


def test_half_of_a_pair_is_written_as_json_escapes_it() -> None:
    (line,) = export.encoded("history", [{"fields": {"x": {"now": "\ud83d"}}}], "jsonl")
    assert json.loads(line) == {"fields": {"x": {"now": "\ud83d"}}}


def test_an_export_that_nobody_reads_on_holds_up_no_poll(tmp_path: Path) -> None:
    """As in `export numbers | less`: a reader in a transaction would keep every commit waiting."""
    path = write_config(tmp_path, "http://127.0.0.1:9")
    settings = load(path)
    store = Store(settings.database_url, is_simulated=True)
    store.upgrade()
    source = type("Source", (), {"fetch": lambda _: listing(*(entry(f"phone-{index}") for index in range(1500)))})()
    (environment,) = settings.environments
    policy = settings.policy(environment)
    poll.run_once(store, environment, source, policy, Routing(), lambda: T0)
    words = (sys.executable, "-m", "renewal_watch", "--config", str(path), "export", "numbers", "--format", "jsonl")
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"{"
        began = time.monotonic()
        poll.run_once(store, environment, source, policy, Routing(), lambda: T0 + timedelta(hours=1))
        assert time.monotonic() - began < BUSY_TIMEOUT_S, "it did not wait for the reader"
        rest = process.stdout.read()
    assert len(rest.splitlines()) == 1500
    assert process.returncode == 0
    store.close()
