"""Numbers, history, alerts and the audit log for spreadsheets (CSV, RFC 4180) and programs (JSON Lines), one row at a time.

JSON Lines carry every value as it is, with the keys of ``status --json``, ``history --json``, ``alerts --json`` and
``audit --json``. In CSV
each text goes through ``text.to_cell``: a spreadsheet calculates nothing and leaves phone numbers whole. Amounts, counts,
days and instants stay as they are, to be counted with.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import RenewalWatchError
from renewal_watch.inventory.file import inventory_of
from renewal_watch.model.policy import Policy, Record
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import alerts, explain, tables
from renewal_watch.reports import rows as number_rows
from renewal_watch.settings.whole import Settings
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import events_of, poll_times
from renewal_watch.store.incidents.audit import Asked, list_audit
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.owned import owned_ids, record_of
from renewal_watch.text import from_json, to_cell

Row = dict[str, Any]
What = Literal["numbers", "history", "alerts", "audit"]
Format = Literal["csv", "jsonl"]
PAGE = 500  # alerts read at once
_TYPED = {  # columns that are no text: what a spreadsheet makes of them is what they are
    *("days_left", "renews_on", "monthly_renewal_cost", "cost", "missing_since"),
    *("seen_at", "not_yet_at", "created_at", "attempts", "sent_at", "at", "alerts_total"),
}


_AMOUNTS = {"cost", "monthly_renewal_cost", "current_price"}
_PLAIN = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


class Table(NamedTuple):
    """The columns of a CSV file, and the lines that one row gives."""

    columns: Sequence[str]
    lines: Callable[[Row], Iterable[Mapping[str, Any]]]


# --- rows -------------------------------------------------------------------------------------------------------------


def rows(
    what: What,
    tx: Transaction,
    settings: Settings,
    now: datetime,
    *,
    environment: str = "",
    owner: str = "",
    label: str = "",
) -> Iterator[Row]:
    """The rows of every environment, or of one; numbers also of one owner, one label. Raises UsageError for an unknown one."""
    those = [settings.environment(environment)] if environment else settings.environments
    names = [one.name for one in those]
    if what == "numbers":
        way = Routing.of(settings, inventory_of(settings).current())
        return _numbers(tx, settings, way, now, names, owned_ids(tx, way, names, owner, label))
    if what == "history":
        return _history(tx, names)
    return _alerts(tx, settings, now, environment)


def audit_rows(tx: Transaction, since: datetime, until: datetime) -> Iterator[Row]:
    """What was done and who was notified between two instants, newest first."""
    return (one for _place, one in list_audit(tx, Asked(since, until)))


def number_json(one: fleet.Listed, policy: Policy, record: Record, now: datetime) -> Row:
    """A number with the keys of ``status --json``, what else the list says of it, and what the inventory does."""
    number = one.number
    return number_rows.row(one.environment, one.known, number, policy, now).as_json() | {
        "cost": None if number.cost is None else f"{number.cost:f}",
        "country": number.country_code,
        "type": number.type,
        "capabilities": sorted(number.capabilities),
        "lapsing": one.known.lapse is not None,
        "owner": record.owner,
        "labels": list(record.labels),
        "note": record.note,
    }


def _numbers(
    tx: Transaction, settings: Settings, way: Routing, now: datetime, names: Sequence[str], ids: Sequence[int] | None
) -> Iterator[Row]:
    """Every known number, those that are missing as well, in the order in which they were first seen."""
    wanted = None if ids is None else frozenset(ids)
    policies = {name: settings.policy(settings.environment(name)) for name in names}
    for one in fleet.every(tx, names):
        if wanted is None or one.known.pk in wanted:
            yield number_json(one, policies[one.environment], record_of(way, one.environment, one.number), now)


def _history(tx: Transaction, names: Sequence[str]) -> Iterator[Row]:
    """Every change of every number, number by number, the oldest first."""
    ids = {watch.name: pk for pk, watch, _ in environment_states(tx) if watch.name in names}
    times = {pk: poll_times(tx, pk) for pk in ids.values()}
    for row in events_of(tx, ids.values()):
        seen_at, not_yet_at = times[row.id][row.poll_id]
        what = "changed" if row.is_listed else "unlisted"
        if row.is_listed and not row.was_listed:
            what = "listed" if row.is_first else "listed again"
        yield {
            "environment": row.name,
            "id": row.provider_id,
            "number": row.number or None,
            "seen_at": tables.when(seen_at),
            "not_yet_at": tables.when(not_yet_at),
            "what": what,
            "fields": from_json(row.fields) if row.fields else {},
        }


def _alerts(tx: Transaction, settings: Settings, now: datetime, environment: str) -> Iterator[Row]:
    """Every alert with the fate of its deliveries, the newest first."""
    held = explain.held(tx, settings, now)
    before: int | None = None
    while page := list_alerts(tx, environment=environment, before=before, most=PAGE):
        alerts.note_held(page, held)
        yield from page
        before = page[-1]["id"]


def with_amounts(row: Row) -> Row:
    """The row with amounts of money as numbers, where they are such; what a change was before and is now as well."""
    fields = row.get("fields")
    inner = (
        {name: {k: _amount(v) for k, v in fields[name].items()} for name in _AMOUNTS & fields.keys()} if fields else {}
    )
    shown = row | {name: _amount(row[name]) for name in _AMOUNTS & row.keys()}
    return shown | {"fields": fields | inner} if fields else shown


def _amount(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _PLAIN.fullmatch(value) else value


# --- forms ------------------------------------------------------------------------------------------------------------


def encoded(what: What, found: Iterable[Row], form: Format, *, bom: bool = False) -> Iterator[bytes]:
    """The rows in one of the forms, a piece at a time. ``bom`` is what Excel tells UTF-8 by."""
    if form == "jsonl":
        for row in found:
            yield _json(row).encode("utf-8", "backslashreplace") + b"\n"  # half a pair, as JSON escapes it
        return
    table = TABLES[what]
    line = io.StringIO(newline="")
    writer = csv.writer(line)  # as RFC 4180 wants it: CRLF, quotes where needed
    writer.writerow(table.columns)
    start = "\ufeff" if bom else ""
    for row in found:
        for cells in table.lines(row):
            writer.writerow([_cell(name, cells[name]) for name in table.columns])
        yield f"{start}{line.getvalue()}".encode("utf-8", "replace")
        start = ""
        line.seek(0)
        line.truncate()
    if line.tell():
        yield f"{start}{line.getvalue()}".encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_said)


def _said(value: object) -> str:
    return str(tables.when(value) if isinstance(value, datetime) else value)


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return tables.when(value)
    if isinstance(value, list):
        value = "|".join(value)  # a semicolon would end the cell in some locales
    return _kept(value) if isinstance(value, str) and name not in _TYPED else value


@lru_cache(maxsize=4096)  # most texts come again: environments, statuses, fields
def _kept(text: str) -> str:
    return to_cell(text)


def _change_lines(row: Row) -> Iterator[Row]:
    """A line for each field that differs; one for a number that came or went."""
    for name, values in row["fields"].items() or [("", {})]:
        told = {word: _value(values[word]) if word in values else None for word in ("before", "now")}
        yield {**row, "field": name, **told}


def _value(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else _json(value)


def _delivery_lines(row: Row) -> Iterator[Row]:
    """A line for each delivery; one for an alert that nobody was told of."""
    nothing = dict.fromkeys(("channel", "state", "message_id", "attempts", "last_error", "sent_at"))
    for one in row["deliveries"] or [nothing]:
        yield {**row, **one}


TABLES: dict[What, Table] = {
    "numbers": Table(
        (
            *(
                "environment",
                "id",
                "number",
                "status",
                "days_left",
                "renews_on",
                "auto_renewal",
                "monthly_renewal_cost",
            ),
            *("cost", "currency", "missing_since", "is_sandbox", "lapsing", "disagreement", "country", "type"),
            *("capabilities", "owner", "labels", "note"),
        ),
        lambda row: (row,),
    ),
    "history": Table(
        ("environment", "id", "number", "seen_at", "not_yet_at", "what", "field", "before", "now"), _change_lines
    ),
    "audit": Table(
        (
            *("at", "what", "who", "origin", "verb", "environment", "number_id", "number", "subject", "comment"),
            *("channel", "target", "message_id", "alerts_total", "headlines"),
        ),
        lambda row: ({**row, "headlines": [one["headline"] for one in row["alerts"]]},),
    ),
    "alerts": Table(
        (
            *("id", "created_at", "kind", "severity", "environment", "number_id", "number", "text", "hidden"),
            *("channel", "state", "message_id", "attempts", "last_error", "sent_at"),
        ),
        _delivery_lines,
    ),
}


# --- files ------------------------------------------------------------------------------------------------------------


def save(path: Path, pieces: Iterable[bytes], like: Path | None = None, *, mode: int = 0o600) -> None:
    """Write a file that appears whole or not at all, with ``mode``, or with the mode and owner of ``like``.

    A pipe or device is written to as it is. Raises RenewalWatchError.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as file:
                file.writelines(pieces)
            return
        target = path.resolve()  # a link stays one
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fchmod(descriptor, mode)
                if like is not None:
                    known = like.stat()
                    os.fchmod(descriptor, known.st_mode & 0o777)
                    if os.geteuid() == 0:
                        os.fchown(descriptor, known.st_uid, known.st_gid)
                os.fsync(descriptor)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise RenewalWatchError(msg) from None
