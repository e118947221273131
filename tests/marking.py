"""A catalogue that marks what goes through it: a word that is not marked has not been said by it."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from babel.dates import get_day_names, get_month_names

from renewal_watch import language

DATES = {
    word.strip(".") for names in (get_month_names, get_day_names) for word in names("abbreviated", locale="de").values()
} | {"März", "Juni", "Juli"}


def marked(message: str) -> str:
    """Every literal piece of a message in brackets, so that a value in it is marked only by itself."""
    assert message, "the empty message is the head of a catalogue"
    return re.sub(r"(?:[^{}]|\{\{|\}\})+(?=\{|$)", lambda piece: f"⟦{piece[0]}⟧", message)


def without_marks(text: str) -> str:
    """The text without all that was marked, also within one another."""
    while text != (inner := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)):
        text = inner
    assert not re.search("[⟦⟧]", text), f"cut off: {text[:300]}"
    return text


class Marking(gettext.NullTranslations):
    """Translates nothing, and shows what it was asked for."""

    def gettext(self, message: str) -> str:
        return marked(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return marked(msgid1 if n == 1 else msgid2)

    def pgettext(self, context: str, message: str) -> str:
        assert context
        return marked(message)


@contextmanager
def marking() -> Iterator[None]:
    """German is what is marked; English is as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "_catalogue", lambda name: Marking() if name == "de" else gettext.NullTranslations())
        yield
