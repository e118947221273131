"""The language in which messages and pages speak: sentences by gettext, dates and numbers by Babel's locales.

The sentences of the source are English and the keys of the catalogues in ``locale/``, which are read as they are: nothing needs to be
compiled. What is logged, kept in the database and printed by commands is English; a channel and the pages may speak another
language.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

LANGUAGES = ("en", "pt-BR", "de")
FOLDER = Path(__file__).parent / "locale"
_LANGUAGE: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def in_language(name: str) -> Iterator[None]:
    """Speak one of ``LANGUAGES``."""
    before = _LANGUAGE.set(name)
    try:
        yield
    finally:
        _LANGUAGE.reset(before)


def language() -> str:
    """The language that is spoken."""
    return _LANGUAGE.get()


def _(message: str, /, **values: object) -> str:
    """A sentence, with values at its ``{names}``."""
    said = _catalogue(_LANGUAGE.get()).gettext(message) if message else ""  # an empty one is a catalogue's head
    return said.format(**values) if values else said


def pgettext(context: str, message: str, /, **values: object) -> str:
    """A sentence that means several things in English: ``context`` says which."""
    said = _catalogue(_LANGUAGE.get()).pgettext(context, message)
    return said.format(**values) if values else said


def ngettext(one: str, more: str, count: int, /, **values: object) -> str:
    """A sentence by its plural; ``{count}`` is the number as it is written in the language."""
    said = _catalogue(_LANGUAGE.get()).ngettext(one, more, count)
    return said.format(count=number(count), **values)


def N_(message: str, /) -> str:  # noqa: N802 (gettext's own name)
    """A sentence that is to be translated where it is used."""
    return message


@cache
def _catalogue(name: str) -> gettext.NullTranslations:
    if name == "en":
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # noqa: PLC0415 (for the other languages alone)
    from babel.messages.pofile import read_po  # noqa: PLC0415

    compiled = BytesIO()
    with (FOLDER / _locale(name) / "LC_MESSAGES" / "renewal_watch.po").open("rb") as file:
        write_mo(compiled, read_po(file))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _locale(name: str) -> str:
    return name.replace("-", "_")


@lru_cache(maxsize=1024)
def _dated(name: str, skeleton: str, at: date) -> str:
    from babel.dates import format_skeleton  # noqa: PLC0415

    return str(format_skeleton(skeleton, at, locale=_locale(name)))


def day(on: date) -> str:
    """``Thu 26 Nov 2026``, ``qui., 26 de nov. de 2026``."""
    return f"{on:%a %d %b %Y}" if language() == "en" else _dated(language(), "yMMMEd", on)


def date_of(on: date) -> str:
    """``26 Nov 2026``, ``26 de nov. de 2026``."""
    return f"{on:%d %b %Y}" if language() == "en" else _dated(language(), "yMMMd", on)


def date_of_this_year(on: date) -> str:
    """``26 Nov``, ``26 de nov.``."""
    return f"{on:%d %b}" if language() == "en" else _dated(language(), "MMMd", on)


def day_of_this_year(on: date) -> str:
    """``Thu 26 Nov``, ``qui., 26 de nov.``."""
    return f"{on:%a %d %b}" if language() == "en" else _dated(language(), "MMMEd", on)


def month_of(on: date) -> str:
    """``Nov 2026``, ``nov. de 2026``."""
    return f"{on:%b %Y}" if language() == "en" else _dated(language(), "yMMM", on)


def weekday(on: date) -> str:
    """``Thu``, ``qui.``."""
    return f"{on:%a}" if language() == "en" else _dated(language(), "E", on)


def short_date(on: date) -> str:
    """``2026-11-26``, ``26/11/2026``: in English as it sorts."""
    return on.isoformat() if language() == "en" else _dated(language(), "yMMdd", on)


def minute(local: datetime) -> str:
    """``2026-11-26 10:00``, ``26/11/2026 10:00``: short, and in English as it sorts."""
    if language() == "en":
        return f"{local:%Y-%m-%d %H:%M}"
    return f"{_dated(language(), 'yMMdd', local.date())} {local:%H:%M}"


@lru_cache(maxsize=1024)
def _number(name: str, count: int) -> str:
    from babel.numbers import format_decimal  # noqa: PLC0415

    return str(format_decimal(count, locale=_locale(name)))


def number(count: int) -> str:
    """``12,345``, ``12.345``."""
    return f"{count:,}" if language() == "en" else _number(language(), count)


@lru_cache(maxsize=1024)
def _tenths(name: str, value: float) -> str:
    from babel.numbers import format_decimal  # noqa: PLC0415

    return str(format_decimal(value, "#,##0.0", locale=_locale(name)))


def tenths(value: float) -> str:
    """``1,234.5``, ``1.234,5``."""
    return f"{value:,.1f}" if language() == "en" else _tenths(language(), value)


@lru_cache(maxsize=1024)
def _amount(name: str, value: Decimal, currency: str) -> str:
    from babel.numbers import format_currency  # noqa: PLC0415

    return str(
        format_currency(value.normalize(), currency, "#,##0.00", locale=_locale(name), decimal_quantization=False)
    )


def amount(value: Decimal, currency: str) -> str:
    """``1,234.50``, ``1.234,50``: at least as many decimals as the currency has (ISO 4217), never rounded."""
    return _amount(language(), value, currency)
