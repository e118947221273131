"""Two databases side by side: what of their rows differs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from renewal_watch.database import shape
from renewal_watch.database.shape import TABLES, Row, Shape, Side
from renewal_watch.errors import StoreError


def nothing(rows: int) -> None:
    """Take no notice of progress."""
    del rows


def compare(origin: Side, into: Side, step: Callable[[int], None] = nothing) -> int:
    """Read both whole, row by row; how many rows each has. Raises StoreError for the first that differs."""
    compared = 0
    for table in TABLES:
        mine, others = Shape(table, origin), Shape(table, into)
        passed = 0
        for row, other in aligned(mine.rows(), others.rows(), mine.width):
            if row != other:
                where = f"table {table.name}, {mine.key_of(row or other or ())}"
                what = "is not in" if other is None else "is surplus in" if row is None else "differs in"
                msg = f"{where}: it {what} {into.name} after it was copied; run the command again"
                raise StoreError(msg)
            passed += 1
            if passed % shape.BATCH == 0:
                step(shape.BATCH)
        step(passed % shape.BATCH)
        compared += passed
    return compared


def aligned(left: Iterator[Row], right: Iterator[Row], width: int) -> Iterator[tuple[Row | None, Row | None]]:
    """Two streams in the order of their keys side by side, None where one lacks the other's key."""
    mine, other = next(left, None), next(right, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and mine[:width] < other[:width]):
            yield mine, None
            mine = next(left, None)
        elif mine is None or other[:width] < mine[:width]:
            yield None, other
            other = next(right, None)
        else:
            yield mine, other
            mine, other = next(left, None), next(right, None)


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A new file to write into, which stands as ``target``, on the disk, when the block ended well; else nothing does.

    It is readable by its owner only. A file that was called so before is replaced. Raises StoreError when it cannot be
    written, and for a name that a device or another thing has: root would put a file in the place of /dev/null.
    """
    part: Path | None = None
    try:
        if target.exists() and not target.is_file():
            msg = f"{target} is there and is no file; name another one"
            raise StoreError(msg)
        sweep(target.parent, f"{target.name}.")
        descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
        part = Path(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells it from one whose process died
            yield part
            os.fsync(descriptor)
            part.replace(target)
            sync(target.parent)
        finally:
            os.close(descriptor)
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror or error}"
        raise StoreError(msg) from None
    finally:
        if part is not None:
            for ending in ("", "-journal", "-wal", "-shm"):
                part.with_name(part.name + ending).unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path, beginning: str) -> None:
    """Take away what processes that died left of writing files whose names begin like this. Raises OSError."""
    for path in folder.iterdir():
        if not (path.name.startswith(beginning) and path.name.endswith(".part")):
            continue
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for ending in ("", "-journal", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError:
            pass  # it is being written
        finally:
            os.close(descriptor)
