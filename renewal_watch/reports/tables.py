"""Tables and lines for a terminal, and JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Self

from renewal_watch.model.tracking import Known

JSON = Any  # what json.dumps takes
Tone = Literal["head", "mind", "bad", "faint"]
DIGITS = 15  # of a phone number (E.164)
TONES: Mapping[str, Tone] = {"critical": "bad", "warning": "mind"}  # by severity


class Line(str):
    """A line for a terminal with the tone in which it may be painted; its words say the same without."""

    __slots__ = ("tone",)
    tone: Tone

    def __new__(cls, text: str, tone: Tone) -> Self:
        """The text with its tone."""
        line = super().__new__(cls, text)
        line.tone = tone
        return line


def when(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def dumps(value: JSON) -> str:
    """JSON for scripts: instants as RFC 3339, money as text."""

    def other(one: object) -> str:
        if isinstance(one, datetime):
            return str(when(one))
        if isinstance(one, Decimal):
            return f"{one:f}"
        return str(one)

    return json.dumps(value, indent=2, ensure_ascii=False, default=other)


def pieces(value: JSON) -> Iterator[str]:
    """What ``dumps`` gives, a piece at a time: an iterator in a document, or for one, is a list of texts that are JSON."""
    if isinstance(value, Iterator):
        count = 0
        for count, text in enumerate(value, 1):
            yield ("[" if count == 1 else ",") + "\n  " + text.replace("\n", "\n  ")
        yield "\n]" if count else "[]"
    elif isinstance(value, Mapping) and value:
        for place, (key, one) in enumerate(value.items()):
            yield f"{',' if place else '{'}\n  {dumps(key)}: "
            yield from (piece.replace("\n", "\n  ") for piece in pieces(one))
        yield "\n}"
    else:
        yield dumps(value)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table with columns as wide as they need be; two blanks between them."""
    cells = [list(head), *map(texts, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    title, *lines = (aligned(row, widths) for row in cells)
    return [Line(title, "head"), *lines]


def texts(row: Iterable[object]) -> list[str]:
    """The cells of a row as text."""
    return ["" if cell is None else str(cell) for cell in row]


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Cells padded to the widths of their columns."""
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def packed(line: str) -> str:
    """A line with its tone as a text, for a while."""
    return json.dumps([getattr(line, "tone", None), line])


def unpacked(text: str) -> str:
    """The line that was packed."""
    tone, line = json.loads(text)
    return toned(line, tone)


def toned(line: str, tone: Tone | None) -> str:
    """The line in a tone, or as it is."""
    return line if tone is None else Line(line, tone)


def missing_since(known: Known) -> datetime | None:
    """When a missing number was found missing."""
    return None if known.missing_at is None else datetime.fromtimestamp(known.missing_at, UTC)
