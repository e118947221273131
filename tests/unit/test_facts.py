"""What happened, kept as facts: every kind of them can be kept, read again and said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewal_watch.alerts import around
from renewal_watch.alerts.facts import facts_json
from renewal_watch.alerts.facts.account_facts import CardExpiring
from renewal_watch.alerts.facts.number_facts import Capabilities, StatusChanged
from renewal_watch.alerts.facts.renewal_facts import LapseRenewed, Overdue, Upcoming
from renewal_watch.alerts.facts.service_facts import InventoryInvalid
from renewal_watch.model.account import Card
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Facts, Number, Written
from renewal_watch.model.numbers import PhoneNumber

NUMBER = Number("phone-1", "+15550000001", "active", auto_renewal=True, current_price=Decimal("1.00"), currency="USD")
ON = datetime(2026, 11, 26).toordinal()
T0 = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHOICES = {  # fields that are one of a few
    ("TopupOff", "topic"): ("auto top-up", "scheduled top-up"),
    ("TopupOn", "topic"): ("auto top-up", "scheduled top-up"),
    ("AccountUnreadable", "name"): ("releases", "topup", "charges", "cards", "balance", "agents"),
}
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text("abc +()1.", max_size=20),
    int: st.integers(700_000, 800_000),
    bool: st.booleans(),
    float: st.floats(0, 100),
    datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    timedelta: st.timedeltas(timedelta(days=-5), timedelta(days=5)),
    Decimal: st.decimals(0, 10_000, places=2),
    type(None): st.none(),
}


def made(kind: Any, place: tuple[str, str] = ("", "")) -> st.SearchStrategy[Any]:
    """Any value of an annotation."""
    if place in CHOICES:
        return st.sampled_from(CHOICES[place])
    info = msgspec.inspect.type_info(kind)
    return _made(info)


def _made(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(_made, types))
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            names = {one.encode_name: made_field(cls, one) for one in fields}
            return st.builds(cls, **names)
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(_made(item), max_size=3).map(tuple)
        case msgspec.inspect.TupleType(item_types=items):
            return st.tuples(*map(_made, items))
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_made(key), _made(value), max_size=2)
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
    plain = {
        msgspec.inspect.StrType: str,
        msgspec.inspect.IntType: int,
        msgspec.inspect.BoolType: bool,
        msgspec.inspect.FloatType: float,
        msgspec.inspect.DateTimeType: datetime,
        msgspec.inspect.TimeDeltaType: timedelta,
        msgspec.inspect.DecimalType: Decimal,
        msgspec.inspect.NoneType: type(None),
    }
    return VALUES[plain[type(info)]]


def made_field(cls: type, one: msgspec.inspect.Field) -> st.SearchStrategy[Any]:
    """Any value of a field."""
    choice = CHOICES.get((cls.__name__, one.name))
    return st.sampled_from(choice) if choice else _made(one.type)


@pytest.mark.parametrize("kind", facts_json.ALL, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_facts_are_kept_read_again_and_said(kind: type[Facts], data: st.DataObject) -> None:
    facts = data.draw(made(kind))
    assert facts_json.decode(facts_json.encode(facts)) == facts
    headline, sentence = facts.words()
    if kind is not Written:
        assert headline
        assert sentence
        assert "None" not in headline + sentence


def test_facts_of_a_newer_release_are_none_that_this_one_can_say() -> None:
    assert facts_json.decode('{"type":"Teleported","to":"Mars"}') is None
    assert facts_json.decode('{"type":"Upcoming","number":7}') is None
    assert facts_json.decode(None) is None


def test_kept_facts_count_the_days_of_today() -> None:
    today = facts_json.today(Upcoming(NUMBER, "prod", 3, ON), None, "prod", 1, ON)
    assert today is not None
    assert today.words()[0] == "+15550000001 renews in 1 day"
    assert facts_json.today(Written("a", "b"), None, "prod", 1, ON) is None


@pytest.mark.parametrize(
    ("facts", "left", "said"),
    [
        (Overdue(NUMBER, "prod", 1, ON), -12, "+15550000001 is overdue by 12 days"),
        (Overdue(NUMBER, "prod", 1, ON), 3, None),
        (Upcoming(NUMBER, "prod", 3, ON), -1, None),
        (LapseRenewed(NUMBER, "prod", 30, ON, NUMBER), -7, None),
        (StatusChanged(NUMBER, "prod", "active", None, None), None, "+15550000001 is active"),
        (Upcoming(NUMBER, "prod", 3, ON), None, None),
        (CardExpiring("prod", Card(id="c", year=2026, month=12), 8, ON), 3, None),
    ],
)
def test_days_that_do_not_fit_the_facts_leave_them(facts: Facts, left: int | None, said: str | None) -> None:
    found = facts_json.today(facts, None, "prod", left, None if left is None else ON)
    assert (found.words()[0] if found else None) == said


def test_kept_facts_are_of_the_number_and_the_environment_of_now() -> None:
    """It was renumbered, its auto-renewal switched, and it moved since."""
    now = PhoneNumber(id="phone-1", number="+15559999999", auto_renewal=False, current_price=Decimal(2), currency="EUR")
    found = facts_json.today(Capabilities(NUMBER, "prod", ("sms",), 60, ON, lost=True), now, "staging", 58, ON)
    assert found is not None
    assert found.words()[1].startswith("+15559999999 (staging) lost SMS.")
    assert "will be lost in 58 days" in found.words()[1]
    assert "2.00 EUR" in found.words()[1]


def test_facts_that_no_json_can_hold_are_not_kept() -> None:
    """The name of a file may hold a byte that is no text; the alert is written all the same."""
    assert facts_json.encode(InventoryInvalid("caf\udce9/inventory.csv: line 2")) is None


def test_what_is_around_the_words_is_added_in_order() -> None:
    alert = Alert(
        key="k",
        kind="renewal.overdue",
        severity=Severity.critical,
        environment="prod",
        facts=Overdue(NUMBER, "prod", 1, ON),
        around=(
            around.UsedBy(("Front desk",)),
            around.OwnedBy("Sales", ("vip",), ""),
            around.Reminder(2, 7, T0, 4, is_critical=True),
        ),
    )
    assert alert.headline == "+15550000001 is overdue by 1 day (reminder 2 of 7)"
    assert alert.text.startswith("+15550000001 (prod) is overdue by 1 day")
    assert alert.text.endswith(
        "lost for good. Used by: Front desk (1 agent). [owner: Sales; labels: vip] "
        "(reminder 2 of 7; last notified at 2026-11-23 12:00 UTC.) To stop the reminders: renewal-watch ack --alert 4"
    )
