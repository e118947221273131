"""The inventory: whatever a spreadsheet makes of it is read or told, and what was known is kept while it is broken."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.config.loading import load
from renewal_watch.inventory.file import LARGEST, Inventory, checked, parse, read
from renewal_watch.model import selectors
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Record

ANN = Record(owner="Ann Meyer", labels=("vip", "hotline"), note="front desk")
QUICK = few(25)


def write(path: Path, text: str, *, at: int = 1) -> Path:
    """Replace the file; ``at`` is the second of its last change, so that no two versions look alike."""
    path.write_bytes(text.encode())
    os.utime(path, (at, at))
    return path


# --- one file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "number,owner,labels,note\n+4930123456,Ann Meyer,vip;hotline,front desk\n",
        "number,owner,labels,note\n+4930123456,Ann Meyer,vip;hotline,front desk",  # no line end
        "note,labels,number,owner\nfront desk,vip;hotline,+4930123456,Ann Meyer\n",
        "Number , OWNER, Labels ,note\n+4930123456 , Ann Meyer ,vip; hotline,front desk\n",
        "number;owner;labels;note\n+4930123456;Ann Meyer;vip,hotline;front desk\n",
        'number;owner;labels;note\n+4930123456;Ann Meyer;"vip;hotline";front desk\n',
        "number\towner\tlabels\tnote\n+4930123456\tAnn Meyer\tvip|hotline\tfront desk\n",
        'number,owner,labels,note\n+4930123456,Ann Meyer,"vip,hotline",front desk\n',
        'number,owner,labels,note\n"+4930123456","Ann Meyer","vip, ,hotline,","front desk"\n',
        '"number","owner","labels","note"\n"+4930123456","Ann Meyer","vip|hotline","front desk"\n',
        "\ufeffnumber,owner,labels,note\n+4930123456,Ann Meyer,vip;hotline,front desk\n",
        '\ufeff"number";"owner";"labels";"note"\r\n"+4930123456";"Ann Meyer";"vip;hotline";"front desk"\r\n',
        "number,owner,labels,note\r\n+4930123456,Ann Meyer,vip;hotline,front desk\r\n",
        "number,owner,labels,note\r+4930123456,Ann Meyer,vip;hotline,front desk\r",
        "number,owner,labels,note\n\n\n,,,\n +4930123456,Ann Meyer,vip;hotline,front desk\n\n  , ,\n",
        "number,cost centre,owner,labels,note\n+4930123456,4711,Ann Meyer,vip;hotline,front desk\n",
        "number,owner,labels,note\n+4930123456,Ann Meyer,vip;hotline,front desk,more,and more\n",
        "number,owner,labels,note\n0049 (30) 123-456,Ann Meyer,vip;hotline,front desk\n",
        "number,owner,labels,note\n49/30/123.456,Ann Meyer,vip;hotline,front desk\n",
    ],
)
def test_a_file_as_any_program_writes_it(text: str) -> None:
    assert parse(text) == ({"4930123456": ANN}, [])


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("number\n+4930123456\n", Record()),
        ("number,owner,labels\n+4930123456\n", Record()),
        ("number,owner,labels\n+4930123456,,\n", Record()),
        ("number,labels\n+4930123456,;;\n", Record()),
        ("number,owner\n+4930123456,Zoë Ångström\n", Record(owner="Zoë Ångström")),
        ('number,note\n+4930123456,"two\nlines, and ""quotes"""\n', Record(note='two\nlines, and "quotes"')),
        ("number,labels\n+4930123456,VIP\n", Record(labels=("VIP",))),
    ],
)
def test_what_is_not_given_is_empty(text: str, record: Record) -> None:
    assert parse(text) == ({"4930123456": record}, [])


@pytest.mark.parametrize(
    "text", ["", "\n", "owner,labels\nAnn,vip\n", "phone\n+4930123456\n", "+4930123456,Ann\n", "PK\x03\x04"]
)
def test_a_file_that_does_not_name_its_column_of_numbers_says_so(text: str) -> None:
    assert parse(text) == ({}, ["line 1: it names the columns and has none called number"])


@pytest.mark.parametrize(
    ("called", "said"),
    [
        ("unknown", "'unknown' is not a phone number"),
        ("12", "'12' is not a phone number"),
        ("00", "'00' is not a phone number"),
        ("", "'' is not a phone number"),
        ("+49 30 123 ext 4", "'+49 30 123 ext 4' is not a phone number"),
        ("4.93012E+11", "'4.93012E+11' is not a phone number; a spreadsheet made it so: format the column as text"),
        ("4,93012E+11", "'4,93012E+11' is not a phone number; a spreadsheet made it so: format the column as text"),
        ("5E+11", "'5E+11' is not a phone number; a spreadsheet made it so: format the column as text"),
        ("4.93e+11", "'4.93e+11' is not a phone number; a spreadsheet made it so: format the column as text"),
        ("#NAME?", "'#NAME?' is not a phone number"),
        ("=+4930123456", "'=+4930123456' is not a phone number"),
    ],
)
def test_a_line_without_a_phone_number_is_told_and_the_others_are_read(called: str, said: str) -> None:
    text = f"number;owner\n+4930123456;Ann\n{called};Bob\n+4930123457;Eve\n"
    records, faults = parse(text)
    assert {key: one.owner for key, one in records.items()} == {"4930123456": "Ann", "4930123457": "Eve"}
    assert faults == [f"line 3: {said}"]


def test_a_number_that_a_spreadsheet_wrote_with_a_decimal_place_is_not_taken_for_another() -> None:
    records, _ = parse("number,owner\n4930123456.0,Ann\n")
    assert "49301234560" not in records


def test_digits_of_another_script_are_told_or_read_and_not_kept_where_nothing_finds_them() -> None:
    records, faults = parse("number,owner\n+٤٩٣٠١٢٣٤٥٦,Ann\n")
    assert set(records) <= {"4930123456"}
    assert records or faults


def test_a_number_that_stands_twice_keeps_the_first_line_and_the_second_is_told() -> None:
    text = "number,owner\n+4930123456,Ann\n+4930123457,Eve\n0049 30 123 456,Bob\n"
    records, faults = parse(text)
    assert records["4930123456"].owner == "Ann"
    assert faults == ["line 4: 0049 30 123 456 stands in line 2 already"]


def test_a_line_with_a_stray_quote_costs_no_other_line() -> None:
    records, faults = parse('number,owner\n+4930123456,Ann\n+4930123457,"Bob" Smith\n+4930123458,Eve\n')
    assert len(faults) == 1
    assert faults[0].startswith("line 3: ")
    assert {"4930123456", "4930123458"} <= set(records)


def test_a_quote_that_never_ends_is_told() -> None:
    records, faults = parse('number,owner\n+4930123456,Ann\n+4930123457,"Bob\n+4930123458,Eve\n')
    assert records["4930123456"].owner == "Ann"
    assert len(faults) == 1


def test_of_very_many_faults_the_first_are_named_and_the_rest_counted() -> None:
    records, faults = parse("number\n" + "x\n" * 5000 + "+4930123456\n")
    assert set(records) == {"4930123456"}
    assert faults[:2] == ["line 2: 'x' is not a phone number", "line 3: 'x' is not a phone number"]
    assert faults[-1] == "and 4990 more"
    assert len(faults) == 11


@pytest.mark.parametrize("count", [10, 11])
def test_faults_are_counted_only_where_some_are_left_out(count: int) -> None:
    _, faults = parse("number\n" + "x\n" * count)
    assert faults[10:] == (["and 1 more"] if count == 11 else [])


@QUICK
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200) | st.text('number,;"\n\r+4930\t .E', max_size=80)
)
@example('number\n"')
@example("number\n\0")
@example("number,number,number\n+493,,\n")
def test_no_text_whatever_is_more_than_told(text: str) -> None:
    records, faults = parse(text)
    assert len(faults) <= 11
    assert all(len(key) >= 3 for key in records)
    assert all(fault.startswith(("line ", "and ")) for fault in faults)


CELLS = st.text("ab Zß,;\t|\"'\n/@=", max_size=8)


@QUICK
@given(
    st.dictionaries(st.from_regex(r"\+[1-9][0-9]{6,13}", fullmatch=True), st.tuples(CELLS, CELLS), max_size=6),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.permutations(["number", "owner", "note"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_what_a_spreadsheet_writes_is_what_is_read(
    lines: dict[str, tuple[str, str]], delimiter: str, end: str, columns: list[str], mark: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows({"number": number, "owner": owner, "note": note} for number, (owner, note) in lines.items())
    expected = {
        number.removeprefix("+"): Record(owner=owner.strip(), note=note.strip())
        for number, (owner, note) in lines.items()
    }
    assert parse(mark + file.getvalue()) == (expected, [])


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_no_file_is_no_fault() -> None:
    assert read(None) == ({}, [])
    assert Inventory(None).current() == {}


def test_faults_name_the_file_and_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number\n+4930123456\nx\n")
    assert read(path) == ({"4930123456": Record()}, [f"{path}: line 3: 'x' is not a phone number"])


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none.csv", "No such file or directory"),
        (tmp_path / "none" / "numbers.csv", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        inventory = Inventory(path)
        assert inventory.current() == {}
        assert inventory.faults == [f"{path} cannot be read: {why}"]


@pytest.mark.parametrize("content", [b"number\n+49301234,J\xf6rg\n", b"\xff\xfen\0u\0m\0b\0e\0r\0"])
def test_a_file_in_another_encoding_says_how_to_save_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "numbers.csv"
    path.write_bytes(content)
    assert read(path) == ({}, [f"{path} is not UTF-8 text; save it as CSV UTF-8"])


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.touch()
    os.truncate(path, LARGEST + 1)  # a hole takes no room on the disk
    assert read(path) == ({}, [f"{path} is larger than 64 MiB"])


@pytest.mark.parametrize("is_open", [False, True], ids=["nobody writes", "a writer has nothing to say yet"])
def test_a_pipe_holds_nothing_up_and_is_told(tmp_path: Path, is_open: bool) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR) if is_open else None
    try:
        records, faults = read(path)
        assert records == {}
        assert faults == [f"{path} cannot be read: it is no file"]
    finally:
        if writer is not None:
            os.close(writer)


def test_what_cannot_be_read_leaves_no_file_open(tmp_path: Path) -> None:
    read(tmp_path)
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        read(tmp_path)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_the_check_of_the_configuration_names_its_faults(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number\nx\n")
    text = (
        "[[environments]]\nname = 'a'\nbase_url = 'https://voice.client.example/api/v1'\ntoken_env = 'T'\n"
        f"[inventory]\nfile = '{path}'\n"
    )
    (tmp_path / "config.toml").write_text(text)
    found = load(tmp_path / "config.toml")
    assert found.inventory_path == path
    assert checked(found)[1] == [f"inventory.file: {path}: line 2: 'x' is not a phone number"]


# --- while the watch runs ---------------------------------------------------------------------------------------------


def owners(inventory: Inventory) -> dict[str, str]:
    return {key: one.owner for key, one in inventory.current().items()}


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number,owner\n+4930123456,Ann\n")
    inventory = Inventory(path)
    first = inventory.current()
    assert inventory.current() is first
    write(path, "number,owner\n+4930123456,Eve\n+4930123457,Bob\n", at=2)
    assert owners(inventory) == {"4930123456": "Eve", "4930123457": "Bob"}
    assert inventory.current() is inventory.current()
    write(path, "number,owner\n+4930123457,Bob\n", at=3)
    assert owners(inventory) == {"4930123457": "Bob"}  # a line that was taken out is gone


def test_a_file_put_in_its_place_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number,owner\n+4930123456,Ann\n")
    inventory = Inventory(path)
    assert owners(inventory) == {"4930123456": "Ann"}
    write(tmp_path / "new.csv", "number,owner\n+4930123456,Eve\n").rename(path)  # the same size, of the same second
    assert owners(inventory) == {"4930123456": "Eve"}


def test_a_file_written_over_with_the_time_of_the_old_one_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number,owner\n+4930123456,Ann\n")
    inventory = Inventory(path)
    assert owners(inventory) == {"4930123456": "Ann"}
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:  # the clock of a file system ticks every few milliseconds
        write(path, "number,owner\n+4930123456,Eve\n")  # as rsync --times does, or cp --preserve
    assert owners(inventory) == {"4930123456": "Eve"}


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """As a user whom file permissions stop; the tests may run as root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_file_whose_permissions_were_mended_is_read_without_being_written_anew() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the folders of tmp_path are closed to others
        Path(folder).chmod(0o755)
        path = write(Path(folder) / "numbers.csv", "number,owner\n+4930123456,Ann\n")
        path.chmod(0)
        inventory = Inventory(path)
        with nobody():
            assert owners(inventory) == {}
            assert inventory.faults == [f"{path} cannot be read: Permission denied"]
        before = path.stat().st_ctime_ns
        while path.stat().st_ctime_ns == before:
            path.chmod(0o644)
        with nobody():
            assert owners(inventory) == {"4930123456": "Ann"}
            assert inventory.faults == []


def test_a_bad_line_keeps_what_was_known_of_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number,owner\n+4930123456,Ann\n+4930123457,Bob\n")
    inventory = Inventory(path)
    assert owners(inventory) == {"4930123456": "Ann", "4930123457": "Bob"}
    write(path, "number,owner\n4.93012E+09,Ann\n+4930123457,Eve\n+4930123458,Zoe\n", at=2)
    assert owners(inventory) == {"4930123456": "Ann", "4930123457": "Eve", "4930123458": "Zoe"}
    assert inventory.faults == [
        f"{path}: line 2: '4.93012E+09' is not a phone number; a spreadsheet made it so: format the column as text"
    ]
    write(path, "number,owner\n+4930123457,Eve\n", at=3)
    assert owners(inventory) == {"4930123457": "Eve"}
    assert inventory.faults == []


def test_a_quote_that_never_ends_keeps_what_was_known_of_the_lines_after_it(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number,owner\n+4930123456,Ann\n+4930123457,Bob\n+4930123458,Eve\n")
    inventory = Inventory(path)
    before = owners(inventory)
    write(path, 'number,owner\n+4930123456,Ann\n+4930123457,"Bob\n+4930123458,Eve\n', at=2)
    assert owners(inventory) == before
    assert len(inventory.faults) == 1


@pytest.mark.parametrize("broken", ["missing", "empty", "folder", "binary", "other columns", "pipe"])
def test_a_file_that_is_gone_or_broken_keeps_all_until_it_is_back(tmp_path: Path, broken: str) -> None:
    text = "number,owner\n+4930123456,Ann\n+4930123457,Bob\n"
    path = write(tmp_path / "numbers.csv", text)
    inventory = Inventory(path)
    before = owners(inventory)
    path.unlink()
    if broken == "folder":
        path.mkdir()
    elif broken == "pipe":
        os.mkfifo(path)
    elif broken != "missing":
        path.write_bytes({"empty": b"", "binary": b"\xff\xfe\0", "other columns": b"phone\n+4930123456\n"}[broken])
    for _ in range(2):
        assert owners(inventory) == before
        assert len(inventory.faults) == 1
        assert inventory.faults[0].startswith(str(path))
    path.rmdir() if broken == "folder" else path.unlink(missing_ok=True)
    write(path, "number,owner\n+4930123456,Eve\n", at=2)
    assert owners(inventory) == {"4930123456": "Eve"}
    assert inventory.faults == []


def test_a_file_that_comes_later_is_read_then(tmp_path: Path) -> None:
    inventory = Inventory(tmp_path / "numbers.csv")
    assert owners(inventory) == {}
    assert inventory.faults
    write(tmp_path / "numbers.csv", "number,owner\n+4930123456,Ann\n")
    assert owners(inventory) == {"4930123456": "Ann"}
    assert inventory.faults == []


def test_the_numbers_of_the_api_find_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "numbers.csv", "number,owner,labels\n0049 30 123-456,Ann Meyer,VIP\n")
    records = Inventory(path).current()
    for written in ("+4930123456", "004930123456", "+49 30 123456", 4930123456):
        found = selectors.subject("prod", PhoneNumber(id="a", number=written), records)
        assert (found.owner, found.labels) == ("ann meyer", {"vip"})


def test_a_process_that_finds_the_file_broken_takes_the_last_whole_one(tmp_path: Path) -> None:
    """A daemon that starts anew, or a poll from cron, must not route as if there were no inventory."""
    path, kept = tmp_path / "numbers.csv", tmp_path / "kept.csv"
    path.write_text("number,owner\n+15550000001,Ann\n")
    assert Inventory(path, kept).current()["15550000001"].owner == "Ann"
    assert kept.stat().st_mode & 0o077 == 0
    path.unlink()
    anew = Inventory(path, kept)
    assert anew.current()["15550000001"].owner == "Ann"
    assert anew.faults
    path.write_text("number,owner\n+15550000002,Ben\n")
    assert set(Inventory(path, kept).current()) == {"15550000002"}
    assert "Ben" in kept.read_text()
