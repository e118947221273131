"""The revision of the schema that this release needs, and the oldest one that it can work with."""

from __future__ import annotations

HEAD = "0009"
LEAST = "0006"  # the oldest release that can use this schema beside this one: a new schema only adds to the last


def is_usable(revision: str | None, least: str | None) -> bool:
    """Whether this release can use a database of that schema: its own, or a newer one that says so of itself."""
    return revision == HEAD or (revision is not None and revision > HEAD and least is not None and least <= HEAD)
