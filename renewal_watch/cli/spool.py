"""Texts in an order, of which there may be a million: they lie in a temporary file, and only their places are kept."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Self

from renewal_watch.errors import RenewalWatchError

_IN_MEMORY = 16 * 2**20  # bytes; a fleet of some ten thousand never needs the file
_PLACE_BITS = 40  # a terabyte


class Spool:
    """Add them all, then iterate; ``rank`` is a whole number from 0 on, those of one rank stay as they came.

    A text has no NUL, as no JSON and no line for a terminal has.
    Raises RenewalWatchError where the directory for temporary files is full or cannot be written.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed at the end)
        self._order: list[int] = []
        self._end = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what a full disk refused is written once more, and not missed
            self._file.close()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, text: str, rank: int = 0) -> None:
        """One more."""
        line = text.replace("\n", "\0").encode("utf-8", "surrogatepass") + b"\n"
        with self._kept():
            self._file.write(line)
        self._order.append(rank << _PLACE_BITS | self._end)
        self._end += len(line)

    def __iter__(self) -> Iterator[str]:
        self._order.sort()
        for one in self._order:
            with self._kept():
                self._file.seek(one & (1 << _PLACE_BITS) - 1)
                line = self._file.readline()
            yield line[:-1].decode("utf-8", "surrogatepass").replace("\0", "\n")

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            msg = f"no temporary file can be written ({error.strerror}); TMPDIR names another directory for it"
            raise RenewalWatchError(msg) from None
