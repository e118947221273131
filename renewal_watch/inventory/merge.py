"""An inventory from elsewhere: read, compared with the one that is there, and merged into it.

What is read is a CSV file as ``file`` reads it, or JSON Lines with the same names; other columns are left alone, so
that an export of the numbers can be given back with owners, labels and notes filled in. An empty cell says nothing: it
leaves what is there.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from renewal_watch.errors import ConfigError, UsageError
from renewal_watch.inventory import file as inventory_file
from renewal_watch.model.policy import Record
from renewal_watch.model.selectors import NOBODY, digits
from renewal_watch.text import from_cell

COLUMNS = ("number", "owner", "labels", "note")
_NAMED = 10  # faults in one sentence


class Incoming(NamedTuple):
    """What was read: the numbers as they were written, and what is said of them, by their digits."""

    called: Mapping[str, str]
    records: Mapping[str, Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What taking it in does. Of each number its name, and its record before and then, None where there is none."""

    changed: Mapping[str, tuple[str, Record | None, Record | None]] = field(default_factory=dict)
    unchanged: int = 0

    def as_json(self) -> dict[str, Any]:
        """The keys of ``import inventory --json``."""
        told: dict[str, list[dict[str, Any]]] = {"added": [], "changed": [], "removed": []}
        for called, before, now in self.changed.values():
            one: dict[str, Any] = {"number": called}
            one |= {"before": _record_json(before)} if before else {}
            one |= {"now": _record_json(now)} if now else {}
            told["changed" if before and now else "added" if now else "removed"].append(one)
        return {**told, "unchanged": self.unchanged}

    def lines(self) -> Iterator[str]:
        """A line for each number that is another then."""
        for called, before, now in self.changed.values():
            if before and now:
                names = [name for name in COLUMNS[1:] if getattr(before, name) != getattr(now, name)]
                said = "; ".join(f"{name} {_shown(before, name)} → {_shown(now, name)}" for name in names)
                yield f"~ {called}: {said}"
            elif now:
                said = "; ".join(f"{name} {_shown(now, name)}" for name in COLUMNS[1:] if getattr(now, name))
                yield f"+ {called}: {said}"
            else:
                yield f"- {called}"

    def summary(self) -> str:
        """``2 added, 1 changed, 40 as they were``."""
        told = self.as_json()
        counts = [f"{len(told[name])} {name}" for name in ("added", "changed", "removed") if told[name]]
        return ", ".join([*counts, f"{self.unchanged} unchanged"])


def read(path: Path) -> Incoming:
    """The file from elsewhere. Raises UsageError with every line that cannot be used: half of it is not taken."""
    try:
        with path.open("rb") as file:
            content = file.read(inventory_file.LARGEST + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise UsageError(msg) from None
    if len(content) > inventory_file.LARGEST:
        msg = f"{path} is larger than {inventory_file.LARGEST // 2**20} MiB"
        raise UsageError(msg)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        msg = f"{path} is not UTF-8 text; save it as CSV UTF-8"
        raise UsageError(msg) from None
    faults: list[str] = []
    is_json = text.lstrip("\ufeff \t\r\n").startswith("{")
    found = list(_telling(_json_rows(text, faults) if is_json else _csv_rows(text, faults)))
    records = inventory_file.collect(found, faults)
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        msg = f"{path} was not imported: {'; '.join(faults[:_NAMED])}{more}"
        raise UsageError(msg)
    return Incoming({digits(cells["number"]): cells["number"] for _, cells in found}, records)


def _csv_rows(text: str, faults: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for line, cells in inventory_file.rows(text, faults):
        yield line, {name: from_cell(cells.get(name, "")) for name in COLUMNS}


def _json_rows(text: str, faults: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for line, one in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not one.strip():
            continue
        try:
            told = json.loads(one)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            faults.append(f"line {line}: it is no JSON object")
            continue
        cells: dict[str, str] = {}
        for name in COLUMNS:
            value = told.get(name)
            if name == "labels" and isinstance(value, list) and all(isinstance(label, str) for label in value):
                value = "|".join(value)
            if value is not None and not isinstance(value, str):
                faults.append(f"line {line}: {name} is no text")
                value = None
            cells[name] = (value or "").strip()
        yield line, cells


def _telling(found: Iterator[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows that say something; of equal ones, such as a number of two environments, the first."""
    told: dict[str, dict[str, str]] = {}
    for line, cells in found:
        if any(cells[name] for name in COLUMNS[1:]):
            key = digits(cells["number"])
            if told.setdefault(key, cells) is cells or told[key] != cells:
                yield line, cells


def compare(incoming: Incoming, known: Mapping[str, Record], *, replace: bool) -> Difference:
    """What would be another; with ``replace`` also what would be gone."""
    changed: dict[str, tuple[str, Record | None, Record | None]] = {}
    for key, record in incoming.records.items():
        before = known.get(key)
        now = record if replace or before is None else _merged(before, record)
        if now != before:
            changed[key] = (incoming.called[key], before, now)
    unchanged = len(incoming.records) - len(changed)
    if replace:
        gone = {key: (f"+{key}", record, None) for key, record in known.items() if key not in incoming.records}
        changed |= gone
    return Difference(changed=changed, unchanged=unchanged)


def _merged(before: Record, now: Record) -> Record:
    return Record(owner=now.owner or before.owner, labels=now.labels or before.labels, note=now.note or before.note)


def whole(incoming: Incoming) -> str:
    """The text of an inventory of nothing else."""
    added = {key: (incoming.called[key], None, record) for key, record in incoming.records.items()}
    return merged("", Difference(changed=added))


def merged(text: str, difference: Difference) -> str:
    """The inventory's text with the changes in it: its columns, rows and their order stay, lines that cannot be read too.

    Raises ConfigError for a file that has no column of numbers.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    delimiter = inventory_file.delimiter(text)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    try:
        lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter))
    except csv.Error as error:
        msg = f"inventory.file: it cannot be read ({error}); mend it first: renewal-watch config check"
        raise ConfigError([msg]) from None
    if not lines:
        lines = [list(COLUMNS)]
    head = [name.strip().lower() for name in lines[0]]
    if "number" not in head:
        msg = "inventory.file: its first line names no column called number; mend it first: renewal-watch config check"
        raise ConfigError([msg])
    missing = [name for name in COLUMNS if name not in head]
    head += missing
    lines[0] = [*lines[0], *missing]
    places = {name: head.index(name) for name in COLUMNS}
    kept = [lines[0]]
    left = dict(difference.changed)
    for cells in lines[1:]:
        number = cells[places["number"]] if len(cells) > places["number"] else ""
        found = left.pop(digits(number), None) if number else None
        if found is None:
            kept.append(cells)
        else:
            kept.append(_with(cells, found[2] or NOBODY, places))
    kept += [_with([], now, places, called) for called, _, now in left.values() if now is not None]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerows([re.sub("\r\n?", "\n", cell) for cell in cells] for cells in kept)  # a lone CR would not be quoted
    return mark + file.getvalue()


def _with(cells: Sequence[str], record: Record, places: Mapping[str, int], called: str | None = None) -> list[str]:
    made = [*cells, *[""] * (max(places.values()) + 1 - len(cells))]
    if called is not None:
        made[places["number"]] = called
    made[places["owner"]] = record.owner
    made[places["labels"]] = "|".join(record.labels)
    made[places["note"]] = record.note
    return made


def _record_json(one: Record) -> dict[str, Any]:
    return {"owner": one.owner, "labels": list(one.labels), "note": one.note}


def _shown(one: Record, name: str) -> str:
    value = getattr(one, name)
    return repr(", ".join(value) if isinstance(value, tuple) else value)
