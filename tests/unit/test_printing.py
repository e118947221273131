"""What a command prints of a fleet that may be larger than memory: the same text as if it were whole, in the same order."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st

from renewal_watch import report
from renewal_watch.cli import spool
from renewal_watch.cli.spool import Spool
from renewal_watch.errors import RenewalWatchError
from renewal_watch.model import Absence, Known, PhoneNumber

TEXTS = st.text(st.characters(exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def number(left: int | None, *, is_missing: bool, auto: bool | None, status: str) -> report.Row:
    known = Known(1, "phone-1", "+15550000001", b"", None, None, bool(auto), False)
    if is_missing:
        known = known._replace(absence=Absence(3, int(T0.timestamp())))
    on = None if left is None else T0.date() + timedelta(days=left)
    phone = PhoneNumber(id="phone-1", current_status=status, auto_renewal=auto)
    return report.Row(
        environment="production", known=known, number=phone, days_left=left, renews_on=on, disagreement=None
    )


NUMBERS = st.builds(
    number,
    st.none() | st.integers(-400, 400),
    is_missing=st.booleans(),
    auto=st.sampled_from((True, False, None)),
    status=st.sampled_from(("active", "suspended")),
)


@pytest.mark.parametrize("room", [spool._IN_MEMORY, 10])
@given(st.lists(st.tuples(TEXTS, st.integers(0, 2**24 - 1) | st.integers(0, 2))))
def test_a_spool_gives_back_every_text_by_rank_and_then_as_it_came(room: int, texts: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, Spool() as made:
        patch.setattr(made._file, "_max_size", room)
        for text, rank in texts:
            made.add(text, rank)
        assert len(made) == len(texts)
        expected = [text for text, _ in sorted(texts, key=lambda one: one[1])]
        assert list(made) == expected
        assert list(made) == expected, "and again"


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Spool() as made:
        monkeypatch.setattr(made._file, "write", full)
        with pytest.raises(
            RenewalWatchError, match=r"cannot be written \(No space left on device\); TMPDIR names another"
        ):
            made.add("a line")


@given(NUMBERS, NUMBERS)
def test_the_rank_of_a_number_is_its_urgency(one: report.Row, other: report.Row) -> None:
    assert 0 <= one.rank() < 2**21
    assert (one.rank() < other.rank()) == (one.urgency()[:3] < other.urgency()[:3])
    assert (one.rank() == other.rank()) == (one.urgency()[:3] == other.urgency()[:3])


def test_a_day_beyond_all_others_stays_among_them() -> None:
    one = number(None, is_missing=False, auto=True, status="active")
    ranks = [replace(one, days_left=left).rank() for left in (-3_000_000, -1, 0, 36_500, 3_000_000)]
    assert ranks == sorted(ranks)
    assert ranks[0] >= 0
    assert ranks[-1] < 2**21


@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.lists(VALUES, max_size=4))
def test_a_document_in_pieces_is_the_document(head: dict[str, Any], members: list[Any]) -> None:
    whole = {**head, "numbers": members, "last": head}
    in_pieces = {**whole, "numbers": map(report.dumps, members)}
    assert "".join(report.pieces(in_pieces)) == report.dumps(whole)
    assert "".join(report.pieces(map(report.dumps, members))) == report.dumps(members)


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_rows_that_come_back_stand_under_their_titles(rows: list[report.Row]) -> None:
    columns = report.Columns()
    packed = [columns.packed(one) for one in rows]
    lines = [columns.title(), *map(columns.line, packed)]
    place = str(lines[0]).index("RENEWS ON")
    for line, one in zip(lines[1:], rows, strict=True):
        assert str(line)[place:].startswith("" if one.renews_on is None else one.renews_on.isoformat())
        assert getattr(line, "tone", None) == report._tone(one)
