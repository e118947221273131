"""What the endpoints beside the list said, as values. Pure; whatever cannot be read is left out, never a reason to fail.

Source of the shapes: the provider's pages of release requests, auto top-up, payment methods, balance and agents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from renewal_watch.model.account import MENTIONED, SILENT, Balance, Card, Charge, Release, TopUp, Users
from renewal_watch.model.numbers import LONGEST_PRICE
from renewal_watch.model.selectors import digits
from renewal_watch.provider.users import LONGEST, name_of, text_of
from renewal_watch.text import plain

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_STATUSES: dict[str, Literal["approved", "rejected", "cancelled"]] = {
    "approved": "approved",
    "released": "approved",
    "completed": "approved",
    "rejected": "rejected",
    "denied": "rejected",
    "cancelled": "cancelled",
    "canceled": "cancelled",
}  # documented are the first of each meaning; any other word is taken for a request that is open
_CHARGED: dict[str, str] = {  # documented are the first of each meaning
    **dict.fromkeys(
        ("pending", "processing", "created", "queued", "requires_action", "requires_confirmation"), "pending"
    ),
    **dict.fromkeys(("succeeded", "success", "successful", "completed", "complete", "paid"), "succeeded"),
}
_NOT_CHARGED = re.compile(  # words that plainly mean that no money came, or that it was taken back
    r"fail|insufficient|declin|reject|refus|denied|error|chargeback|charged_back|revers|bounce|expired|void|requires_payment"
    r"|^cancell?ed$",
    re.IGNORECASE,
)
Rows = Sequence[Mapping[str, Any]]


def content(name: str, said: Any) -> Any:
    """The values of one endpoint; None where it says nothing that could be used. ``said`` is rows or one object."""
    return _READERS[name](said)


def faults(name: str, said: Any) -> tuple[str, ...]:
    """What of an answer cannot be read and is not watched therefore, each once."""
    return tuple(dict.fromkeys(_FAULTS[name](said))) if name in _FAULTS else ()


def _unread(row: Mapping[str, Any], read: Callable[[object], object], *fields: str) -> Iterator[str]:
    """The fields that are stated and cannot be read."""
    for field in fields:
        value = row.get(field)
        if value not in (None, "") and read(value) is None:
            yield f"{field} {plain(json.dumps(value, ensure_ascii=False), 40)}"


def _topup_faults(said: Mapping[str, Any]) -> Iterator[str]:
    yield from _unread(said, _flag, "is_enabled", "scheduled_payment_enabled")


def _charge_faults(rows: Rows) -> Iterator[str]:
    for row in rows:
        if _charge(row) is None:
            yield f"status {plain(json.dumps(row.get('status'), ensure_ascii=False), 40)}"


def _charge(row: Mapping[str, Any]) -> str | None:
    """What became of a charge; None where nobody can tell."""
    said = text_of(row.get("status")).lower()
    return _CHARGED.get(said) or ("failed" if _NOT_CHARGED.search(said) else None)


def _card_faults(rows: Rows) -> Iterator[str]:
    for row in rows:
        inner = row.get("card")
        said = {**row, **inner} if isinstance(inner, dict) else row
        if not _cards([row]):
            yield f"exp_month {plain(str(said.get('exp_month')), 20)}, exp_year {plain(str(said.get('exp_year')), 20)}"


def _releases(rows: Rows) -> tuple[Release, ...]:
    found = {}
    for row in rows:
        number_id, number = text_of(row.get("phone_number_id")), text_of(row.get("phone_number"))
        status, asked = text_of(row.get("status")).lower(), _instant(row.get("requested_at"))
        if not status or not (number_id or number):  # something else that is listed here
            continue
        name = text_of(row.get("id")) or f"{number_id or number} {asked}"
        found[name] = Release(
            id=name,
            status=_STATUSES.get(status, "pending"),
            number_id=number_id,
            number=number,
            reason=text_of(row.get("reason")),
            requested_at=asked,
            resolved_at=_instant(row.get("resolved_at")),
            rejection=text_of(row.get("rejection_reason")),
        )
    return tuple(found.values())


def _topup(said: Mapping[str, Any]) -> TopUp:
    return TopUp(
        by_threshold=_flag(said.get("is_enabled")),
        by_schedule=_flag(said.get("scheduled_payment_enabled")),
        threshold=_money(said.get("threshold_amount")),
        amount=_money(said.get("recharge_amount")),
        currency=text_of(said.get("currency")).upper(),
        card_id=text_of(said.get("payment_method_id")),
    )


def _charges(rows: Rows) -> tuple[Charge, ...]:
    found = [
        Charge(
            id=text_of(row.get("id")) or f"{text_of(row.get('created_at'))} {text_of(row.get('amount'))}",
            status=_charge(row) or "pending",
            at=_instant(row.get("created_at")),
            amount=_money(row.get("amount")),
            currency=text_of(row.get("currency")).upper(),
            trigger=text_of(row.get("trigger")).lower(),
            why=text_of(row.get("failure_reason")),
        )
        for row in reversed(rows)
    ]
    return tuple(sorted(found, key=lambda one: one.at or _EARLIEST))  # the newest last; else as documented


def _cards(rows: Rows) -> tuple[Card, ...]:
    found: dict[str, Card] = {}
    for row in rows:
        inner = row.get("card")
        said = {**row, **inner, "id": row.get("id")} if isinstance(inner, dict) else row
        year, month = _whole(said.get("exp_year")), _whole(said.get("exp_month"))
        if year is None or month is None or not 1 <= month <= 12:  # noqa: PLR2004 (months)
            continue
        year += 2000 if year < 100 else 0  # noqa: PLR2004 (two digits, as on the card)
        if not 2000 <= year < 2200:  # noqa: PLR2004 (no card has another)
            continue
        brand, last4 = text_of(said.get("brand"))[:30], text_of(said.get("last4"))[-4:]
        card = Card(
            id=text_of(row.get("id")) or f"{brand} {last4} {year}-{month:02}",
            year=year,
            month=month,
            brand=brand,
            last4=last4,
            is_default=_flag(row.get("is_default")) or False,
        )
        found.setdefault(card.id, card)
    return tuple(found.values())


def _balance(said: Mapping[str, Any]) -> Balance | None:
    amount = _money(said.get("balance"))
    return None if amount is None else Balance(amount=amount, currency=text_of(said.get("currency")).upper())


def _users(rows: Rows) -> Users:
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        name = name_of(row)
        numbers = row.get("phone_numbers")
        if not isinstance(numbers, list):
            found.setdefault(SILENT, {})[name] = None
        for called in _numbers_in({key: value for key, value in row.items() if key != "phone_numbers"}):
            found.setdefault(f"{MENTIONED}{called}", {})[name] = None
        for one in numbers if isinstance(numbers, list) else []:
            keys = [one.get("id"), one.get("number")] if isinstance(one, dict) else [one]
            for key in filter(None, map(text_of, keys)):
                found.setdefault(key, {})[name] = None
    return {key: tuple(names) for key, names in found.items()}


def _numbers_in(value: object, depth: int = 0) -> Iterator[str]:
    """The digits of what looks like a phone number in the texts of an agent: its prompt may transfer calls to one."""
    if isinstance(value, str):
        yield from (digits for one in _CALLED.findall(value) if 7 <= len(digits := re.sub(r"\D", "", one)) <= 15)  # noqa: PLR2004 (E.164)
    elif isinstance(value, dict | list) and depth < 8:  # noqa: PLR2004 (no agent is nested so deep)
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers_in(one, depth + 1)


_CALLED = re.compile(r"\+?[0-9][0-9 ()./-]{5,22}[0-9]")


def _flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"1": True, "true": True, "0": False, "false": False}.get(text_of(value).lower())


def _whole(value: object) -> int | None:
    text = text_of(int(value) if isinstance(value, float) and value.is_integer() else value)
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 9 else None  # noqa: PLR2004 (no year is longer)


def _money(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value).strip()[:LONGEST])
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and (amount == 0 or abs(amount.adjusted()) < LONGEST_PRICE) else None


def last_call(rows: Rows, number: str) -> datetime | None:
    """The newest of the calls to or from a number; a search finds others too, and a test call is no use.

    Source: the provider's page "List Calls".
    """
    wanted = digits(number)
    its = (row for row in rows if wanted in (digits(text_of(row.get("from"))), digits(text_of(row.get("to")))))
    found = (_instant(row.get("created_at")) for row in its if row.get("is_testing") is not True)
    return max((at for at in found if at is not None), default=None)


def _instant(value: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text_of(value))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_FAULTS: dict[str, Callable[[Any], Iterable[str]]] = {
    "topup": _topup_faults,
    "charges": _charge_faults,
    "cards": _card_faults,
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "releases": _releases,
    "topup": _topup,
    "charges": _charges,
    "cards": _cards,
    "balance": _balance,
    "agents": _users,
}
