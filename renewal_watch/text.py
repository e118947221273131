"""Makes foreign text harmless: provider text for people, secrets for logs.

Provider text ends in Slack, mail, terminals and logs, each with a markup of its own. Instead of one escaper per place,
the few characters that any of them reads as markup, mention, link or control are replaced once, where the text comes in.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from base64 import b64encode, urlsafe_b64encode
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

_LONGEST = 200  # characters of provider text in one sentence; longer is cut with an ellipsis
_TELLING = 8  # characters of a secret that is hidden in base64 too
_SHORTEST = 4  # characters of a secret that is hidden
_LOOKALIKE = str.maketrans(
    {
        "<": "‹",
        ">": "›",
        "&": "+",
        "*": "∗",
        "~": "∼",
        "`": "'",
        "|": "¦",
        "@": "＠",
        "[": "(",
        "]": ")",
        "\\": "/",
    }
)
_HARMLESS = re.compile(
    r"(?:\+(?=[0-9]))?[0-9A-Za-z](?: ?[0-9A-Za-z.,()'%+-])*"
)  # most values: a number, a status, a currency
_MARKUP_UNDERSCORE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_LINK = re.compile(r":/+")
_START = re.compile(r"^(?:[#=\s-]|\+(?![0-9]))+")  # heading, list or formula; the plus of a phone number stays


_QUOTES = str.maketrans({'"': "”", "'": "’"})
_LIST_ITEM = re.compile(r"^([0-9]+)([.)])(?= |$)")
_MARKDOWN = {".": "․", ")": "）", "(": "（", ":": "："}
_SPACED = re.compile(r"(?<![\w.+-])\+[0-9](?:[ ().-]{0,2}[0-9]){6,16}(?!\w)")
_LONG_NUMBER = 10  # digits: three at each end are shown
_SHORT_NUMBER = 7  # digits: one is shown
_NUMBER = re.compile(r"(?<![\w.+-])(\+?)([0-9]{7,17})(?![\w-]|[.][0-9])")
_CALCULATES = r"[=+\-@＝＋－＠]"  # what a formula begins with, in East Asian forms as well
_FORMULA = rf"(?=['\s]*{_CALCULATES}|'*[\t\r])"
_FORMULA_WITHIN = rf"(?='*{_CALCULATES})"  # after what another locale's spreadsheet takes for the end of a cell
_TO_CELL = re.compile(rf"^{_FORMULA}|(?<=[;\t\r\n]){_FORMULA_WITHIN}")
_FROM_CELL = re.compile(rf"^'{_FORMULA}|(?<=[;\t\r\n])'{_FORMULA_WITHIN}")
_COUNTS = re.compile(r"\+?[0-9(][0-9 ().,/:-]*(?:[eE][+-]?[0-9]+)?")  # read as a number, a time or a day


def from_json(text: str) -> Any:
    """JSON as Python values. A whole number with more digits than Python reads is given back as the text it is.

    Knows NaN, and halves of surrogate pairs. Raises ValueError, RecursionError.
    """
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:  # Python's limit against slow conversions, 4300 digits: sys.int_info
        return digits


def plain(value: object, longest: int = _LONGEST) -> str:
    """``value`` as one line without markup, mention, link, header, terminal code or direction change.

    Letters of every script, digits and ordinary punctuation stay. Idempotent.
    """
    if type(value) is str and len(value) <= longest and _HARMLESS.fullmatch(value):
        return value
    text = str(value)[: longest * 4]
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    text = text.translate(_LOOKALIKE)
    text = _LINK.sub(" ", text)
    text = _START.sub("", _MARKUP_UNDERSCORE.sub("-", text))
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1].rstrip("_ ") + "…"


def printable(value: object, longest: int = _LONGEST) -> str:
    """``value`` as one line for a terminal: no control code or direction change, but stars, brackets and all else."""
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in str(value)[: longest * 4])
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


@lru_cache(1000)  # most values come again: environments, kinds, days, prices
def cut(text: str, longest: int) -> str:
    """``text``, or its beginning and an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def harmless(value: str, format_: str, longest: int = _LONGEST) -> str:
    """``value`` as neither text, ``markdown`` nor ``html`` reads more than text in it: one line, no markup, mention, link.

    ``plain`` does nearly all of it, once for all formats; where a format reads more, look-alikes follow its example. A
    backslash would not do: Slack and mail show it, and ``+15550001``, ``1.00 USD`` or ``2026-11-26`` must stay as is.
    """
    text = plain(value, longest)
    if format_ == "html":  # a template's ``safe`` leaves quotes as they are, and they end an attribute
        return text.translate(_QUOTES)
    return unmarked(text) if format_ == "markdown" else text


def unmarked(text: str) -> str:
    """A line that went through ``plain`` as Markdown reads nothing more than text in it.

    What ``plain`` leaves to Markdown: underscores within words, which Telegram pairs (and refuses the message over one
    without its pair); "1. " and "1) ", a list where a line starts with it; "(" and ":", which make a link of a
    template's "[urgent]" right before them. No "[", "<", "`", "*", "~", "|" or backslash is left, so that "!", "-",
    "#", "(" and "." elsewhere are but text: a value has one line and starts with no blank, "#", "-", "=" or lone "+".
    """
    text = _LIST_ITEM.sub(lambda found: found[1] + _MARKDOWN[found[2]], text.replace("_", "＿"))
    return _MARKDOWN[text[0]] + text[1:] if text[:1] in ("(", ":") else text


def to_cell(text: str) -> str:
    """``text`` as a spreadsheet keeps it when it opens a CSV file: it calculates nothing and makes no other number of it.

    An apostrophe goes before what begins as a formula (owasp.org/www-community/attacks/CSV_Injection), also after a
    semicolon, which ends a cell in many locales. A tab goes before what it would count with: of ``+493012345678`` it would
    leave ``493012345678``, quoted or not. Programs that trim blanks read the number as it is; ``from_cell`` gives all back.
    """
    if _COUNTS.fullmatch(text):
        return "\t" + text
    return _TO_CELL.sub("'", text)


def from_cell(cell: str) -> str:
    """The text of which ``to_cell`` made ``cell``; other text stays as it is."""
    if cell.startswith("\t") and _COUNTS.fullmatch(cell, 1):
        return cell[1:]
    return _FROM_CELL.sub("", cell)


def masked(text: str, number: str | None = None) -> str:
    """``text`` with every phone number cut to its beginning and end: ``+15550001234`` reads ``+155•••234``.

    A number is what begins with a plus and has seven digits or more, however they are set apart; a run of 7 to 17 digits
    that stands alone; and ``number``, however it is written. Dates, prices and ids are none.
    """
    if number:
        text = text.replace(number, _mask(number))
    text = _SPACED.sub(lambda found: _mask(found[0]), text)
    return _NUMBER.sub(lambda found: _mask(found[0]), text)


def _mask(number: str) -> str:
    digits = "".join(c for c in number if c.isdigit())
    shown = 3 if len(digits) >= _LONG_NUMBER else 1 if len(digits) < _SHORT_NUMBER else 2
    return f"{'+' if number.startswith('+') else ''}{digits[:shown]}•••{digits[-shown:]}"


class Redactor(logging.Filter):
    """Replaces every known secret in log records and in any text handed to it."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()
        self.masks_numbers = False  # in log records

    def learn(self, secret: str) -> None:
        """Never let ``secret`` through from now on; very short ones would blot out ordinary words.

        Learned as well is how it reads in a ``repr``, in JSON, in an address, and after ``plain``; of an address with
        user and password what HTTP makes of them (RFC 7617).
        """
        forms = {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, errors="replace")}
        forms |= {quote(secret, safe="", errors="replace"), plain(secret, len(secret) + 1)}
        forms |= _basic(secret)
        forms |= {b64encode(secret.encode(errors="replace")).decode().rstrip("=")} if len(secret) >= _TELLING else set()
        self._secrets |= {form for form in forms if len(form) >= _SHORTEST}

    def clean(self, text: str) -> str:
        """``text`` without the secrets, the longest replaced first; what a replacement puts together goes as well."""
        before = None
        while text != before:  # ends: every replacement makes the text shorter
            before = text
            for secret in sorted(self._secrets, key=len, reverse=True):
                text = text.replace(secret, "***")
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; a traceback is rendered here so that it is cleaned as well."""
        try:
            said = record.getMessage()
        except (TypeError, ValueError, LookupError, AttributeError) as error:  # a filter's error would reach the caller
            said = f"{record.msg} (its arguments do not fit: {type(error).__name__})"
        record.msg = self._fit_to_log(said)
        record.args = None
        if record.exc_info:
            record.exc_text = self._fit_to_log(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        elif record.exc_text:
            record.exc_text = self._fit_to_log(record.exc_text)
        if record.stack_info:
            record.stack_info = self._fit_to_log(record.stack_info)
        return True

    def _fit_to_log(self, text: str) -> str:
        text = self.clean(text)
        return masked(text) if self.masks_numbers else text


def without_default_port(scheme: str, place: str) -> str:
    """A host without the port that its scheme has anyway."""
    return place.removesuffix({"https": ":443", "http": ":80"}.get(scheme, ""))


def _basic(url: str) -> set[str]:
    """User and password of an address in base64, as a service that quotes its request would show them."""
    user, colon, password = url.partition("://")[2].partition("/")[0].rpartition("@")[0].partition(":")
    if not (colon and password):
        return set()
    pairs = (f"{user}:{password}", f"{unquote(user)}:{unquote(password)}")
    made = (b64(pair.encode(errors="replace")) for pair in pairs for b64 in (b64encode, urlsafe_b64encode))
    return {one.decode().rstrip("=") for one in made}


REDACTOR = Redactor()  # one for the process: a secret may surface in any log line, whoever writes it
