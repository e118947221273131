"""When a delivery that failed is tried again, and when it is given up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st

from renewal_watch.notify import retry

LIMIT = T0 + retry.GIVE_UP_AFTER
S, M, H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("attempts", "wait", "after"),
    [
        (1, 0 * S, 30 * S),
        (2, 0 * S, M),
        (7, 0 * S, 32 * M),
        (8, 0 * S, H),
        (500, 0 * S, H),
        (1, 45 * S, 45 * S),  # what the receiver asks for counts
        (1, 9 * H, H),  # but no longer than the longest back-off
        (8, M, H),
    ],
)
def test_it_is_tried_again_later_and_later(attempts: int, wait: timedelta, after: timedelta) -> None:
    assert retry.again_at(attempts, LIMIT, T0, 0.5, wait) == T0 + after


@pytest.mark.parametrize(("late", "is_over"), [(-S, False), (0 * S, True), (S, True)])
def test_it_is_given_up_at_its_limit(late: timedelta, is_over: bool) -> None:
    assert (retry.again_at(9, LIMIT, LIMIT + late, 0.5, H) is None) == is_over


@given(st.integers(1, 10_000), st.floats(0, 1), st.timedeltas(timedelta(0), timedelta(days=30)))
def test_whatever_failed_is_tried_again_within_some_hour(attempts: int, chance: float, wait: timedelta) -> None:
    at = retry.again_at(attempts, LIMIT, T0, chance, wait)
    assert at is not None
    assert T0 + 24 * S <= at <= T0 + 1.2 * H
