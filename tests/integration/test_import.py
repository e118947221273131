"""An inventory from elsewhere: what changes is said first, what is there is kept, a wrong line takes nothing in."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
from functools import partial
from pathlib import Path

import commands
import pytest
from commands import Run
from conftest import T0
from databases import EITHER
from hypothesis import given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few
from world import write_config

from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.inventory import file as inventory_file
from renewal_watch.inventory import merge
from renewal_watch.model.policy import Record
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.text import to_cell

pytestmark = EITHER


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    path.write_text(path.read_text() + f'\n[inventory]\nfile = "{tmp_path}/inventory.csv"\n')
    return tmp_path


@pytest.fixture
def run(here: Path) -> Run:
    return partial(commands.call, here / "config.toml")


def put(here: Path, text: str, name: str = "new.csv") -> str:
    (here / name).write_text(text, encoding="utf-8", newline="")
    return str(here / name)


def records(here: Path) -> dict[str, Record]:
    found, faults = inventory_file.read(here / "inventory.csv")
    assert faults == []
    return found


OLD = "Number;Team;Owner;Note\r\n+49 30 111111;blue;ann;first\r\n+49 30 222222;red;bob;\r\n"


def test_the_first_import_makes_the_inventory(run: Run, here: Path) -> None:
    said = run("import", "inventory", put(here, "number,owner,labels,note\n+4930111111,ann,a;b,hello\n")).output
    assert said.splitlines() == [
        "+ +4930111111: owner 'ann'; labels 'a, b'; note 'hello'",
        f"{here}/inventory.csv: 1 added, 0 unchanged",
    ]
    assert records(here) == {"4930111111": Record(owner="ann", labels=("a", "b"), note="hello")}
    assert stat.S_IMODE((here / "inventory.csv").stat().st_mode) == 0o600
    assert load(here / "config.toml").inventory_path == here / "inventory.csv"


def test_it_adds_and_corrects_and_leaves_the_rest(run: Run, here: Path) -> None:
    """Columns, order, line ends and other numbers of the file that is there stay; an empty cell says nothing."""
    put(here, OLD, "inventory.csv")
    (here / "inventory.csv").chmod(0o640)
    new = put(here, "number,owner,labels,note\n(+49) 30 222222,carl,,\n004930333333,dora,vip,\n+4930111111,,,\n")
    said = run("import", "inventory", new).output
    assert said.splitlines() == [
        "~ (+49) 30 222222: owner 'bob' → 'carl'",
        "+ 004930333333: owner 'dora'; labels 'vip'",
        f"{here}/inventory.csv: 1 added, 1 changed, 0 unchanged; the old one is {here}/inventory.csv.replaced-1",
    ]
    assert (here / "inventory.csv").read_bytes().decode() == (
        "Number;Team;Owner;Note;labels\r\n"
        "+49 30 111111;blue;ann;first\r\n"
        "+49 30 222222;red;carl;;\r\n"
        "004930333333;;dora;;vip\r\n"
    )
    assert (here / "inventory.csv.replaced-1").read_bytes().decode() == OLD
    assert stat.S_IMODE((here / "inventory.csv").stat().st_mode) == 0o640
    assert records(here)["4930111111"] == Record(owner="ann", note="first")


def test_a_dry_run_only_says(run: Run, here: Path) -> None:
    put(here, OLD, "inventory.csv")
    new = put(here, "number,owner\n+4930222222,carl\n")
    said = run("import", "inventory", new, "--dry-run").output
    assert f"{here}/inventory.csv: would be 1 changed, 0 unchanged" in said
    assert (here / "inventory.csv").read_bytes().decode() == OLD
    assert not (here / "inventory.csv.replaced-1").exists()


def test_replace_leaves_nothing_else(run: Run, here: Path) -> None:
    put(here, OLD + "nonsense;;;\r\n", "inventory.csv")
    new = put(here, "number,owner\n+4930111111,\n+4930222222,bob\n+4930333333,dora\n")
    said = json.loads(run("import", "inventory", new, "--replace", "--json").output)
    assert (said["ok"], said["unchanged"], said["kept"]) == (True, 1, f"{here}/inventory.csv.replaced-1")
    assert [one["number"] for one in said["removed"]] == ["+4930111111"]
    assert said["added"] == [{"number": "+4930333333", "now": {"owner": "dora", "labels": [], "note": ""}}]
    assert set(records(here)) == {"4930222222", "4930333333"}


def test_what_changes_nothing_writes_nothing(run: Run, here: Path) -> None:
    put(here, OLD, "inventory.csv")
    said = json.loads(run("import", "inventory", put(here, "number,owner\n+4930222222,bob\n"), "--json").output)
    assert (said["unchanged"], said["kept"], said["changed"]) == (1, None, [])
    assert sorted(one.name for one in here.iterdir()) == ["config.toml", "inventory.csv", "new.csv"]


def test_every_old_one_is_kept(run: Run, here: Path) -> None:
    for owner in ("ann", "bob", "carl"):
        run("import", "inventory", put(here, f"number,owner\n+4930222222,{owner}\n"))
    kept = sorted(here.glob("inventory.csv.replaced-*"))
    assert [inventory_file.read(one)[0]["4930222222"].owner for one in kept] == ["ann", "bob"]


def test_lines_of_the_inventory_that_cannot_be_read_stay(run: Run, here: Path) -> None:
    put(here, "number,owner\nnot a number,ann\n+4930222222,bob\n", "inventory.csv")
    run("import", "inventory", put(here, "number,owner\n+4930222222,carl\n"))
    assert (here / "inventory.csv").read_text() == "number,owner,labels,note\nnot a number,ann\n+4930222222,carl,,\n"


# --- an export, filled in ---------------------------------------------------------------------------------------------


def test_an_export_is_taken_back_unchanged(run: Run, here: Path) -> None:
    """As CSV with and without the mark for Excel, and as JSON Lines; numbers of two environments, and one without."""
    known = 'number,owner,labels,note\n+15550000001,=1+1,vip|de,"\'=x; @y"\n004930555,+49301,,00123\n'
    put(here, known, "inventory.csv")
    settings = load(here / "config.toml")
    store = Store(settings.database_url, is_simulated=True)
    store.upgrade()
    one = settings.environment("production")
    entries = (entry("phone-1"), entry("twin", number="+15550000001"), entry("phone-2", number="004930555"))
    source = type("Source", (), {"fetch": lambda _: listing(*entries, entry("none", number=None))})()
    poll.run_once(store, one, source, settings.policy(one), Routing.of(settings, {}), lambda: T0)
    store.close()
    before = records(here)
    for number, words in enumerate((("--bom",), (), ("--format", "jsonl"))):
        file = str(here / f"numbers-{number}")
        run("export", "numbers", "--output", file, *words)
        said = json.loads(run("import", "inventory", file, "--json").output)
        assert (said["unchanged"], said["added"], said["changed"]) == (2, [], [])
        run("import", "inventory", file, "--replace")
        assert records(here) == before
    table = list(csv.DictReader(io.StringIO((here / "numbers-1").read_bytes().decode(), newline="")))
    for row in table:
        row["owner"] = "everybody"
    with (here / "filled.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, table[0])
        writer.writeheader()
        writer.writerows(row for row in table if row["id"] != "none")
    run("import", "inventory", str(here / "filled.csv"))
    assert {one.owner for one in records(here).values()} == {"everybody"}


WORDS = st.text("ab =+-@'\t;,|\"\r\n0", max_size=12).map(str.strip)


@given(
    st.dictionaries(
        st.from_regex(r"\+[1-9][0-9]{6,13}", fullmatch=True), st.tuples(WORDS, WORDS).filter(any), max_size=5
    )
)
@few(25)
def test_what_is_exported_safely_is_imported_exactly(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, tuple[str, str]]
) -> None:
    file = tmp_path_factory.mktemp("round") / "new.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("number", "owner", "note"))
        writer.writerows(map(to_cell, (number, *texts)) for number, texts in told.items())
    incoming = merge.read(file)
    expected = {number[1:]: Record(owner=owner, note=note) for number, (owner, note) in told.items()}
    assert incoming.records == expected
    told = {number: tuple(re.sub("\r\n?", "\n", text) for text in texts) for number, texts in told.items()}
    expected = {number[1:]: Record(owner=owner, note=note) for number, (owner, note) in told.items()}
    assert inventory_file.parse(merge.whole(incoming)) == (expected, [])
    (file.parent / "merged.csv").write_text(
        merge.merged("owner;number\n", merge.compare(incoming, {}, replace=False)), newline=""
    )
    assert inventory_file.read(file.parent / "merged.csv") == (expected, [])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("owner,note\nann,x\n", "line 1: it names the columns and has none called number"),
        ("number,owner\n+4930111111,ann\nhello,bob\n", "line 3: 'hello' is not a phone number"),
        ("number,owner\n4.93E+11,ann\n", "line 2: '4.93E+11' is not a phone number; a spreadsheet made it so"),
        ("number,owner\n+4930111111,ann\n004930111111,bob\n", "line 3: 004930111111 stands in line 2 already"),
        ("number,owner\n,ann\n", "line 2: '' is not a phone number"),
        ('number,owner\n+4930111111,"ann\n', "line 2: unexpected end of data"),
        (
            '{"number": "+4930111111", "owner": "ann"}\n{"number": "x", "owner": "bob"}\n',
            "line 2: 'x' is not a phone number",
        ),
        ('{"number": "+4930111111", "owner": "ann"}\n\n["number"]\n', "line 3: it is no JSON object"),
        ('{"number": "+4930111111", "owner": "ann"}\n{"number": "+49', "line 2: it is no JSON object"),
        ('{"number": 4930111111, "owner": "ann"}\n', "line 1: number is no text"),
        ('{"number": "+4930111111", "labels": [1]}\n', "line 1: labels is no text"),
        ("number,owner\n" + "x,ann\n" * 20, "line 2: 'x' is not a phone number"),
    ],
)
def test_a_file_with_a_wrong_line_is_not_taken_at_all(run: Run, here: Path, text: str, fault: str) -> None:
    put(here, OLD, "inventory.csv")
    said = run("import", "inventory", put(here, text), code=2).output
    assert f"{here}/new.csv was not imported: " in said
    assert fault in said
    assert (here / "inventory.csv").read_bytes().decode() == OLD


def test_of_very_many_faults_the_first_are_named(run: Run, here: Path) -> None:
    said = run("import", "inventory", put(here, "number,owner\n" + "".join(f"x{i},ann\n" for i in range(25))), code=2)
    assert said.output.rstrip().endswith("; and 15 more")


def test_a_file_that_is_no_text_is_a_sentence(run: Run, here: Path) -> None:
    assert "cannot be read: No such file" in run("import", "inventory", str(here / "none.csv"), code=2).output
    (here / "new.csv").write_bytes("number,owner\n+4930111111,J\xf6rg\n".encode("latin-1"))
    assert "is not UTF-8 text" in run("import", "inventory", str(here / "new.csv"), code=2).output
    assert "cannot be read: Is a directory" in run("import", "inventory", str(here), code=2).output


def test_an_inventory_that_cannot_be_merged_into_is_a_sentence(run: Run, here: Path) -> None:
    new = put(here, "number,owner\n+4930222222,carl\n")
    (here / "inventory.csv").write_bytes(b"number,owner\n+4930111111,J\xf6rg\n")
    assert "is not UTF-8 text" in run("import", "inventory", new, code=78).output
    put(here, "phone,owner\n+4930111111,ann\n", "inventory.csv")
    assert "names no column called number" in run("import", "inventory", new, code=78).output


def test_without_a_place_for_the_inventory_the_configuration_is_wrong(tmp_path: Path) -> None:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    said = commands.call(path, "import", "inventory", put(tmp_path, "number\n"), code=78)
    assert "inventory.file is not set" in said.output
