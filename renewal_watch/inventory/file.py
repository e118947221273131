"""The local inventory: a CSV file that says whose a number is, with labels and a note; read again when it changes.

Columns by their names in the first line, in any order: number, owner, labels, note; others are left alone. Labels are
separated by ``;``, ``,`` or ``|``. A file that becomes unreadable while the watch runs leaves the last good one in force.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from renewal_watch import files
from renewal_watch.model.policy import Record
from renewal_watch.model.selectors import digits
from renewal_watch.settings.whole import Settings

_FAULTS = 10  # named at once; a file of the wrong kind has one in every line
_NOT_A_NUMBER = re.compile(r"[^0-9\s()+./-]")
_MANGLED = re.compile(r"[0-9][.,]?[0-9]*[eE]\+[0-9]+|[0-9]{6}\.0+$")  # what a spreadsheet makes of a long number
SHORTEST = 3  # digits of a number
LARGEST = 64 * 1024 * 1024  # bytes


def parse(text: str) -> tuple[dict[str, Record], list[str]]:
    """The records by the digits of their numbers, and a sentence for each line that cannot be used."""
    faults: list[str] = []
    records = collect(rows(text, faults), faults)
    if len(faults) > _FAULTS:
        faults = [*faults[:_FAULTS], f"and {len(faults) - _FAULTS} more"]
    return records, faults


def delimiter(text: str) -> str:
    """What stands between the cells, by the first line."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def rows(text: str, faults: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV text: the line where each ends, and its cells by the names of their columns."""
    read = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter(text), strict=True)
    head = [name.strip().lower() for name in next(_rows(read, faults), [])]
    if "number" not in head:
        faults += ["line 1: it names the columns and has none called number"] * (not faults)
        return
    for row in _rows(read, faults):
        yield read.line_num, dict(zip(head, (cell.strip() for cell in row), strict=False))


def collect(found: Iterable[tuple[int, Mapping[str, str]]], faults: list[str]) -> dict[str, Record]:
    """The records in such rows by the digits of their numbers; what cannot be used becomes a sentence in ``faults``."""
    records: dict[str, Record] = {}
    lines: dict[str, int] = {}
    for line, cells in found:
        if not any(cells.values()):
            continue
        called = cells.get("number", "")
        key = digits(called)
        if _MANGLED.search(called) or len(key) < SHORTEST or _NOT_A_NUMBER.search(called):
            hint = "; a spreadsheet made it so: format the column as text" if _MANGLED.search(called) else ""
            faults.append(f"line {line}: {called!r} is not a phone number{hint}")
        elif key in records:
            faults.append(f"line {line}: {called} stands in line {lines[key]} already")
        else:
            labels = (label.strip() for label in re.split("[;,|]", cells.get("labels", "")))
            records[key] = Record(
                owner=cells.get("owner", ""), labels=tuple(filter(None, labels)), note=cells.get("note", "")
            )
            lines[key] = line
    return records


def _rows(rows: Iterator[list[str]], faults: list[str]) -> Iterator[list[str]]:
    """The rows that can be read; one that cannot takes no other with it, but a quote that is never closed."""
    while True:
        try:
            yield next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(f"line {getattr(rows, 'line_num', '?')}: {error}")


class Inventory:
    """The file as it is now, or as it last was."""

    def __init__(self, path: Path | None, kept: Path | None = None) -> None:
        self.path = path
        self._kept = kept  # a copy of the last whole one, for a process that finds the file broken at its start
        self.faults: list[str] = []
        self._mark: tuple[int, ...] | None = None
        self._records: Mapping[str, Record] = {}

    def current(self) -> Mapping[str, Record]:
        """The records, read again if the file changed; ``faults`` say what of it is not used.

        A line that cannot be used leaves its number as it was; a file that cannot be read leaves them all.
        """
        mark = _mark(self.path)
        if mark != self._mark:
            self._mark = mark
            content, self.faults = _content(self.path)
            records: dict[str, Record] = {}
            if not self.faults:
                records, self.faults = _parsed(self.path, content)
            if not self.faults:
                self._keep(content)
            elif not self._records:
                self._records = read(self._kept)[0]
            self._records = {**self._records, **records} if self.faults else records
        return self._records

    def _keep(self, content: bytes) -> None:
        """Copy what was read, which is whole; who may not write the copy, such as an onlooker, leaves it."""
        if self.path is None or self._kept is None:
            return
        with contextlib.suppress(OSError):
            if self._kept.exists() and self._kept.read_bytes() == content:
                return
            part = self._kept.with_name(self._kept.name + ".part")
            part.unlink(missing_ok=True)
            part.touch(mode=0o600)
            part.write_bytes(content)
            if os.geteuid() == 0:  # the service's user must be able to replace what root wrote
                owner = self._kept.parent.stat()
                os.chown(part, owner.st_uid, owner.st_gid)
            part.replace(self._kept)


def inventory_of(settings: Settings) -> Inventory:
    """The inventory of a configuration; a copy of the last whole one lies in the state directory."""
    return Inventory(settings.inventory_path, settings.state_dir / "inventory.last-whole.csv")


def checked(settings: Settings) -> tuple[dict[str, Record], list[str]]:
    """The records of the inventory and what is wrong with it, a sentence each, for the configuration's check."""
    records, faults = read(settings.inventory_path)
    return records, [f"inventory.file: {fault}" for fault in faults]


def _mark(path: Path | None) -> tuple[int, ...] | None:
    """Changes whenever the file does."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return (0,)
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read(path: Path | None) -> tuple[dict[str, Record], list[str]]:
    """The records of a file and what is wrong with it, a sentence each."""
    content, faults = _content(path)
    return ({}, faults) if faults else _parsed(path, content)


def _content(path: Path | None) -> tuple[bytes, list[str]]:
    """The bytes of a file, or why they cannot be had."""
    if path is None:
        return b"", []
    try:
        content, _ = files.read(path, LARGEST + 1)
    except OSError as error:
        return b"", [f"{path} cannot be read: {error.strerror}"]
    if len(content) > LARGEST:
        return b"", [f"{path} is larger than {LARGEST // 2**20} MiB"]
    return content, []


def _parsed(path: Path | None, content: bytes) -> tuple[dict[str, Record], list[str]]:
    """The records in the bytes of a file, and what is wrong with them."""
    if path is None:
        return {}, []
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return {}, [f"{path} is not UTF-8 text; save it as CSV UTF-8"]
    records, faults = parse(text)
    return records, [f"{path}: {fault}" for fault in faults]
