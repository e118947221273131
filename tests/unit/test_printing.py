"""What a command prints of a fleet that may be larger than memory: the same text as if it were whole, in the same order."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st

from renewal_watch.cli import spool
from renewal_watch.cli.spool import Spool
from renewal_watch.errors import RenewalWatchError
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.tracking import Absence, Known
from renewal_watch.reports import rows as reports_rows
from renewal_watch.reports import tables

TEXTS = st.text(st.characters(exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def number(
    left: int | None, *, is_missing: bool, auto: bool | None, status: str, called: str = "+15550000001"
) -> reports_rows.Row:
    known = Known(1, "phone-1", called, b"", None, None, bool(auto), False)
    if is_missing:
        known = known._replace(absence=Absence(3, int(T0.timestamp())))
    on = None if left is None else T0.date() + timedelta(days=left)
    phone = PhoneNumber(id="phone-1", current_status=status, auto_renewal=auto)
    return reports_rows.Row(
        environment="production", known=known, number=phone, days_left=left, renews_on=on, disagreement=None
    )


NUMBERS = st.builds(
    number,
    st.none() | st.integers(-400, 400),
    is_missing=st.booleans(),
    auto=st.sampled_from((True, False, None)),
    status=st.sampled_from(("active", "suspended")),
    called=st.from_regex(r"\+[1-9][0-9]{6,13}[1-9]", fullmatch=True) | st.just("+15550000001"),
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


@contextlib.contextmanager
def full() -> Iterator[None]:
    """No file can grow beyond some bytes, as on a full disk; not for longer than needed, for pytest reports to one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY", 10)

    def fill() -> None:
        with full(), Spool() as made:
            for _ in range(1000):
                made.add("a line")
            list(made)

    with pytest.raises(RenewalWatchError, match=r"^no temporary file can be written \(File too large\); TMPDIR names"):
        fill()


def test_a_missing_directory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: bytes) -> int:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    with Spool() as made:
        monkeypatch.setattr(made._file, "write", missing)
        with pytest.raises(RenewalWatchError, match="No usable temporary directory"):
            made.add("a line")


@given(NUMBERS, NUMBERS)
def test_the_rank_of_a_number_is_its_urgency(one: reports_rows.Row, other: reports_rows.Row) -> None:
    assert one.rank() >= 0
    assert (one.rank() < other.rank()) == (one.urgency() < other.urgency())
    assert (one.rank() == other.rank()) == (one.urgency() == other.urgency())


def test_a_day_beyond_all_others_stays_among_them() -> None:
    one = number(None, is_missing=False, auto=True, status="active")
    ranks = [replace(one, days_left=left).rank() for left in (-3_000_000, -1, 0, 36_500, 3_000_000)]
    assert ranks == sorted(ranks)
    assert ranks[0] >= 0


def test_what_is_no_number_has_a_rank() -> None:
    for called in ("", "sip:reception", "+" + "9" * 40, "+٣٤"):
        assert number(3, is_missing=False, auto=True, status="active", called=called).rank() > 0


@given(st.dictionaries(TEXTS, VALUES, max_size=3), st.lists(VALUES, max_size=4))
def test_a_document_in_pieces_is_the_document(head: dict[str, Any], members: list[Any]) -> None:
    whole = {**head, "numbers": members, "last": head}
    in_pieces = {**whole, "numbers": map(tables.dumps, members)}
    assert "".join(tables.pieces(in_pieces)) == tables.dumps(whole)
    assert "".join(tables.pieces(map(tables.dumps, members))) == tables.dumps(members)


@given(st.lists(NUMBERS, min_size=1, max_size=5))
def test_rows_that_come_back_stand_under_their_titles(rows: list[reports_rows.Row]) -> None:
    columns = reports_rows.Columns()
    packed = [columns.packed(one) for one in rows]
    lines = [columns.title(), *map(columns.line, packed)]
    place = str(lines[0]).index("RENEWS ON")
    for line, one in zip(lines[1:], rows, strict=True):
        assert str(line)[place:].startswith("" if one.renews_on is None else one.renews_on.isoformat())
        assert getattr(line, "tone", None) == reports_rows._tone(one)
