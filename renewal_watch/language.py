"""The language in which messages and pages speak: sentences by gettext, dates and numbers by Babel's locales.

The sentences of the source are English and the keys of the catalogues in ``locale/``, which are read as they are: nothing needs to be
compiled. What is logged, kept in the database and printed by commands is English; a channel and the pages may speak another
language.
"""

from __future__ import annotations

import gettext
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Context, Decimal
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal, get_args

log = logging.getLogger(__name__)

Language = Literal["en", "pt-BR", "de"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
FOLDER = Path(__file__).parent / "locale"
_CENTS = 2
_EXACT = Context(prec=100)  # an amount that is written out has fewer digits
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
    try:
        with (FOLDER / _locale(name) / "LC_MESSAGES" / "renewal_watch.po").open("rb") as file:
            write_mo(compiled, read_po(file))
    except OSError as error:  # an alert in English is better than none
        log.error("the sentences of %s cannot be read, so English is spoken: %s", name, error)  # noqa: TRY400
        return gettext.NullTranslations()
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


@cache
def _marks(name: str) -> dict[int, str]:
    """The marks of groups and decimals, in place of the English ones."""
    from babel.numbers import get_decimal_symbol, get_group_symbol  # noqa: PLC0415

    return {ord(","): get_group_symbol(_locale(name)), ord("."): get_decimal_symbol(_locale(name))}


def _marked(english: str) -> str:
    return english if language() == "en" else english.translate(_marks(language()))


def number(count: int) -> str:
    """``12,345``, ``12.345``."""
    return _marked(f"{count:,}")


def tenths(value: float) -> str:
    """``1,234.5``, ``1.234,5``."""
    return _marked(f"{value:,.1f}")


@cache
def _decimals(currency: str) -> int:
    from babel.numbers import get_currency_precision  # noqa: PLC0415

    return int(get_currency_precision(currency))


def amount(value: Decimal, currency: str) -> str:
    """``1,234.50``, ``1.234,50``: with the decimals of the currency, as Unicode has them, and never rounded.

    Where an amount has more of them it has two at the least: ``12.50`` of a currency whose small coins are gone.
    """
    needed = max(0, -int(value.normalize(_EXACT).as_tuple().exponent))
    usual = _decimals(currency)
    return _marked(f"{value:,.{usual if needed <= usual else max(needed, _CENTS)}f}")
