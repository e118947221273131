"""Which polls of a month stay, and how several changes of a number become one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from renewal_watch.model.numbers import DAY_S
from renewal_watch.settings.sections import Retention
from renewal_watch.store.maintenance.batches import Pruned
from renewal_watch.store.maintenance.retention import Limits
from renewal_watch.store.maintenance.thinning import Change, Line, Zero, merged, month_of, superfluous

DAY = timedelta(days=1)
START = datetime(2026, 1, 10, 12, tzinfo=UTC)
END = START + 10 * DAY  # of the poll that they move to
COUNTDOWN = "days_until_monthly_renewal"
ZERO = int(datetime(2026, 1, 30, tzinfo=UTC).timestamp())


def change(
    poll_id: int, was: bool = True, now: bool = True, zero: int | None = None, **fields: tuple[Any, Any]
) -> Change:
    """A change on the day of its poll; ``...`` for a field that was not there."""
    said = {
        name: {word: value for word, value in zip(("before", "now"), values, strict=True) if value is not ...}
        for name, values in fields.items()
    }
    return Change(1, poll_id, START + poll_id * DAY, was, now, said, zero)


def said(*those: Change, after: int | None = None) -> dict[str, tuple[Any, Any]] | None:
    """The fields of what they become at ``END``."""
    one = merged(those, 10, END, Zero(after))
    if one is None:
        return None
    return {name: (values.get("before", ...), values.get("now", ...)) for name, values in one.fields.items()}


@pytest.mark.parametrize(
    ("those", "wanted"),
    [
        ([{"a": (1, 2)}, {"a": (2, 3)}], {"a": (1, 3)}),
        ([{"a": (1, 2)}, {"b": ("x", "y")}], {"a": (1, 2), "b": ("x", "y")}),
        ([{"a": (1, 2)}, {"a": (2, 1), "b": (1, 2)}], {"b": (1, 2)}),
        ([{"a": (1, 2)}, {"a": (2, 1)}], None),
        ([{"a": (1, 2)}, {"a": (2, 1.0)}], {"a": (1, 1.0)}),
        ([{"a": (1, 2)}, {"a": (2, True)}], {"a": (1, True)}),
        ([{"a": (..., 2)}, {"a": (2, 3)}], {"a": (..., 3)}),
        ([{"a": (..., 2)}, {"a": (2, ...)}], None),
        ([{"a": (1, ...)}, {"a": (..., None)}], {"a": (1, None)}),
        ([{"a": (None, 1)}, {"a": (1, ...)}], {"a": (None, ...)}),
        ([{"a": ([1], [2])}, {"a": ([2], [1])}], None),
    ],
)
def test_fields_go_from_the_oldest_to_the_newest(
    those: list[dict[str, tuple[Any, Any]]], wanted: dict[str, tuple[Any, Any]] | None
) -> None:
    assert said(*(change(place, **fields) for place, fields in enumerate(those))) == wanted


def test_a_number_that_left_and_came_back_was_there_all_the_time() -> None:
    left, back = change(1, was=True, now=False), change(3, was=False, now=True)
    assert merged([left, back], 10, END, Zero(None)) is None
    both = merged([left, back, change(4, was=True, now=False)], 10, END, Zero(None))
    assert both is not None
    assert (both.was_listed, both.is_listed) == (True, False)


def test_a_countdown_that_ticked_otherwise_stays_as_the_way_back() -> None:
    corrected = change(1, zero=ZERO)
    one = merged([corrected], 10, END, Zero(ZERO + 3600))
    assert one == corrected._replace(poll_id=10, at=END)
    assert merged([corrected, change(2, zero=ZERO + 3600)], 10, END, Zero(ZERO)) is None, "and back"


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        (20, 10),  # ten days on, in whole days of zero_at
        ("20", "10"),
        (19.5, 10.5),  # seen on the second day: nine days on, by the second
        ("19.25", "10.25"),
        (19.0, 10.0),
        ("0.00001", "-8.99999"),
        (None, None),
        ("", ""),
        (..., ...),
    ],
)
def test_a_countdown_is_told_as_of_the_poll_it_moves_to(before: Any, wanted: Any) -> None:
    zero = None if before in (None, "", ...) else ZERO
    found = said(change(1, zero=zero, **{COUNTDOWN: (before, 40)}), after=ZERO + 30 * DAY_S)
    assert found == {COUNTDOWN: (wanted, 40)}
    assert found is not None
    assert type(found[COUNTDOWN][0]) is type(wanted)


def test_a_fraction_keeps_every_digit_that_older_lists_are_told_from() -> None:
    third = change(1, zero=ZERO, **{COUNTDOWN: (7.25, 30)})._replace(at=END - timedelta(hours=8))
    found = said(third, after=ZERO)
    assert found is not None
    assert found[COUNTDOWN][0] == 7.25 - 8 / 24


def test_without_a_look_ahead_they_stay_where_the_last_one_was() -> None:
    """A part of very many: a later one goes on from there."""
    those = [change(1, a=(1, 2)), change(3, a=(2, 1))]
    one = merged(those, 3, those[-1].at, None)
    assert one == change(3)


# --- which polls stay -------------------------------------------------------------------------------------------------


def lines(*those: tuple[str, str]) -> list[Line]:
    return [Line(pk, datetime.fromisoformat(f"{at}:00+00:00"), outcome) for pk, (at, outcome) in enumerate(those, 1)]


def test_the_last_good_poll_of_each_month_stays() -> None:
    found = lines(
        ("2026-01-05T10", "ok"),
        ("2026-01-31T22", "ok"),
        ("2026-01-31T23", "server_trouble"),
        ("2026-02-01T00", "ok"),
        ("2026-03-01T00", "unreadable"),
        ("2026-03-02T00", "unreadable"),
        ("2026-04-02T00", "ok"),
        ("2026-04-03T00", "ok"),
    )
    assert list(superfluous(found)) == [1, 3, 5, 6, 7]
    assert list(superfluous([])) == []


def test_of_polls_whose_clock_was_put_back_the_last_that_was_made_stays() -> None:
    first, second, third = lines(("2026-01-05T10", "ok"), ("2026-01-06T10", "ok"), ("2026-01-05T12", "ok"))
    assert list(superfluous([first, third, second])) == [1, 2]


def test_months_are_those_of_utc() -> None:
    assert month_of(datetime.fromisoformat("2026-02-01T00:30:00+01:00")) == datetime(2026, 1, 1, tzinfo=UTC)


def test_limits_are_those_of_the_configuration() -> None:
    assert Limits.of(Retention(), END) == Limits(changes=END - 365 * DAY, alerts=END - 730 * DAY)
    assert Limits.of(Retention(months_days=800), END).months == END - 800 * DAY


def test_what_was_done_reads_as_a_sentence() -> None:
    done = Pruned(changes=3, poll_lines=1, freed=1_500_000)
    assert str(done) == "3 changes, 1 poll lines, 0 deliveries, 0 alerts, 0 silences, 0 actions; 1.5 MB given back"
