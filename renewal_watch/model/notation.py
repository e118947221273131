"""How a number is written, and which writings are the same number. Pure."""

from __future__ import annotations


def bare(number: object) -> str:
    """A number without what is only notation: blanks, brackets, the plus or the 00 before it."""
    return "".join(filter(str.isalnum, str(number or ""))).removeprefix("00")
