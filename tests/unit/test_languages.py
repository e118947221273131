"""Every sentence is said in every language: the catalogues are whole, and no sentence goes past them."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import test_facts
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st
from marking import DATES, marking, without_marks
from rounds import few

from renewal_watch import language
from renewal_watch.alerts import around, notes, phrases, reasons
from renewal_watch.alerts.facts import facts_json
from renewal_watch.cli import contents
from renewal_watch.language import FOLDER, LANGUAGES, in_language
from renewal_watch.model.facts import Written
from renewal_watch.model.kinds import ROWS

ROOT = Path(__file__).resolve().parents[2]
OTHERS = LANGUAGES[1:]
COMMANDS = re.compile(rf"renewal-watch (?:{'|'.join(contents.COMMANDS)})\b(?: (?:retry|add|backup|check)\b)?|--[a-z-]+")


# --- the catalogues ---------------------------------------------------------------------------------------------------


@cache
def wanted() -> Catalog:
    """What the sources say: sentences, plurals, contexts."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    methods = [(one["pattern"], one["method"]) for one in settings["tool"]["babel"]["mappings"]]
    found = Catalog()
    for _file, _line, message, _comments, context in extract_from_dir(ROOT / "renewal_watch", methods):
        found.add(message, context=context)
    return found


@cache
def catalogue(name: str) -> Catalog:
    with (FOLDER / name.replace("-", "_") / "LC_MESSAGES" / "renewal_watch.po").open("rb") as file:
        return read_po(file)


def sentences(found: Catalog) -> dict[Any, Message]:
    return {(one.id, one.context): one for one in found if one.id}


def said(one: Message) -> tuple[str, ...]:
    return one.string if isinstance(one.string, tuple) else (one.string,)


def values(text: str) -> set[str]:
    return {name for _text, name, _form, _how in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", OTHERS)
def test_no_sentence_is_missing_and_none_is_left_over(name: str) -> None:
    has, needs = sentences(catalogue(name)), sentences(wanted())
    assert not needs.keys() - has.keys(), "after a change of a sentence: make messages"
    assert not has.keys() - needs.keys()
    assert not [key for key, one in has.items() if one.fuzzy or not all(said(one))]
    assert len(needs) > 900


@pytest.mark.parametrize("name", OTHERS)
def test_a_translation_has_the_values_of_its_sentence_and_no_others(name: str) -> None:
    wrong = []
    for one in sentences(catalogue(name)).values():
        if isinstance(one.id, tuple):
            few_have, many_have = map(values, one.id)
            forms = said(one)
            is_right = (
                len(forms) == catalogue(name).num_plurals
                and values(forms[0]) | {"count"} == few_have | {"count"}
                and all(values(form) == many_have for form in forms[1:])
            )
        else:
            is_right = values(said(one)[0]) == values(one.id)
        if not is_right:
            wrong.append((one.id, one.string))
    assert not wrong


@pytest.mark.parametrize("name", OTHERS)
def test_a_translation_keeps_commands_tags_blanks_and_capitals(name: str) -> None:
    wrong = []
    for one in sentences(catalogue(name)).values():
        source = one.id if isinstance(one.id, str) else one.id[1]
        for form in said(one):
            kept = (
                sorted(re.findall(r"</?[a-z]+", source)) == sorted(re.findall(r"</?[a-z]+", form)),
                all(command in form for command in COMMANDS.findall(source)),
                source.startswith(" ") == form.startswith(" "),
                source.endswith(" ") == form.endswith(" "),
                not (source.isupper() and len(source) > 3) or form.isupper(),
                '"' in source or '"' not in form,  # it may stand in an attribute
            )
            if not all(kept):
                wrong.append((source, form, kept))
    assert not wrong


def calls() -> Iterator[tuple[str, ast.Call, bool]]:
    """Every sentence that the modules ask for: where, how, and whether within an f-string."""
    for path in sorted((ROOT / "renewal_watch").rglob("*.py")):
        tree = ast.parse(path.read_text())
        hidden = {id(inner) for one in ast.walk(tree) if isinstance(one, ast.JoinedStr) for inner in ast.walk(one)}
        for one in ast.walk(tree):
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in ASKS:
                yield f"{path.relative_to(ROOT)}:{one.lineno}", one, id(one) in hidden


ASKS = {"_": 1, "N_": 1, "ngettext": 2, "pgettext": 2}


def test_every_sentence_can_be_found_by_who_makes_the_catalogues() -> None:
    """Before Python 3.12 an f-string is one token, so that Babel finds no call within it."""
    wrong = [place for place, _one, is_hidden in calls() if is_hidden]
    assert not wrong
    has = {text for one in wanted() for text in (one.id if isinstance(one.id, tuple) else (one.id,))}
    lost = [
        (place, one.value)
        for place, call, _hidden in calls()
        for one in call.args[: ASKS[call.func.id]]  # type: ignore[attr-defined]
        if isinstance(one, ast.Constant) and one.value and one.value not in has | {msg.context for msg in wanted()}
    ]
    assert not lost


# --- no sentence goes past the catalogues -----------------------------------------------------------------------------

NAMES = {"SMS", "MMS", "WhatsApp", "fax", "UTC"}  # as ever in any language
COMMAND = re.compile(r"renewal-watch [a-z -]+")


def unmarked(text: str) -> set[str]:
    """The words that went through no catalogue; what the tests put in is made of a, b and c."""
    words = re.findall(r"[^\W\d_]+", COMMAND.sub(" ", without_marks(text)))
    return {word for word in words if word not in DATES | NAMES and set(word) - set("abc")}


@pytest.mark.parametrize("kind", [one for one in facts_json.ALL if one is not Written], ids=lambda kind: kind.__name__)
@few(20)
@given(data=st.data())
def test_every_word_of_an_alert_goes_through_the_catalogue(kind: Any, data: st.DataObject) -> None:
    with marking(), in_language("de"):
        facts = data.draw(test_facts.made(kind))
        assert not unmarked(" ".join(facts.words())), facts
        assert not unmarked(facts.brief())


@pytest.mark.parametrize("kind", around.ANY.__args__, ids=lambda kind: kind.__name__)
@few(20)
@given(data=st.data())
def test_every_word_that_is_added_to_it_does(kind: Any, data: st.DataObject) -> None:
    with marking(), in_language("de"):
        one = data.draw(test_facts.made(kind))
        assert not unmarked(" ".join(one.words("a", "b"))), one


@pytest.mark.parametrize("kind", [*notes.Note.__args__, *reasons._ALL], ids=lambda kind: kind.__name__)
@few(20)
@given(data=st.data())
def test_every_word_of_a_note_or_a_reason_does(kind: Any, data: st.DataObject) -> None:
    with marking(), in_language("de"):
        one = data.draw(test_facts.made(kind))
        assert not unmarked(one.words()), one


def test_the_words_of_every_kind_are_in_the_catalogues() -> None:
    has = {one.id for one in wanted() if isinstance(one.id, str)}
    assert not {text for row in ROWS.values() for text in (row.group, row.todo)} - has - {""}


# --- what the languages are like --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("en", ["0 days", "1 day", "2 days", "1,234 numbers", "in 1 day", "today"]),
        ("pt-BR", ["0 dia", "1 dia", "2 dias", "1.234 números", "em 1 dia", "hoje"]),
        ("de", ["0 Tage", "1 Tag", "2 Tage", "1.234 Nummern", "in 1 Tag", "heute"]),
    ],
)
def test_a_count_has_the_plural_and_the_digits_of_its_language(name: str, said: list[str]) -> None:
    with in_language(name):
        counted = [*map(phrases.days, (0, 1, 2)), phrases.numbers(1234), phrases.in_days(1), phrases.in_days(0)]
    assert counted == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("en", ["Thu 05 Nov 2026", "2026-11-05 23:30 UTC", "1,234.50 USD", "1,500 JPY", "0.0075 EUR"]),
        ("pt-BR", ["qui., 5 de nov. de 2026", "05/11/2026 23:30 UTC", "1.234,50 USD", "1.500 JPY", "0,0075 EUR"]),
        ("de", ["Do., 5. Nov. 2026", "05.11.2026 23:30 UTC", "1.234,50 USD", "1.500 JPY", "0,0075 EUR"]),
    ],
)
def test_days_instants_and_amounts_are_those_of_the_language(name: str, said: list[str]) -> None:
    at = datetime.fromisoformat("2026-11-05T23:30:00+00:00")
    amounts = [("1234.5", "USD"), ("1500", "JPY"), ("0.0075", "EUR")]
    with in_language(name):
        shown = [phrases.day(date(2026, 11, 5).toordinal()), phrases.instant(at)]
        shown += [phrases.money(Decimal(value), currency) for value, currency in amounts]
    assert shown == said


def test_a_language_is_spoken_in_its_block_alone() -> None:
    with in_language("de"):
        with in_language("pt-BR"):
            assert phrases.in_days(0) == "hoje"
        assert phrases.in_days(0) == "heute"
    assert (phrases.in_days(0), language.language()) == ("today", "en")


def test_a_value_with_braces_is_a_value() -> None:
    assert language._("{name} is missing", name="{count}") == "{count} is missing"
    assert language._("") == ""


def test_where_a_catalogue_is_missing_english_is_spoken_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An alert in another language is better than none."""
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    language._catalogue.cache_clear()
    try:
        with in_language("de"):
            assert phrases.in_days(0) == "today"
            assert phrases.in_days(3) == "in 3 days"
    finally:
        language._catalogue.cache_clear()
    assert [one.getMessage() for one in caplog.records if "sentences of de cannot be read" in one.getMessage()]


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        ("12.5", "HUF", "12.50 HUF"),  # Unicode counts no small coins; an amount that has some shows two digits
        ("12", "HUF", "12 HUF"),
        ("12.5", "IQD", "12.50 IQD"),
        ("1.2345", "KWD", "1.2345 KWD"),
        ("99999999999999999999999999999.99", "USD", "99,999,999,999,999,999,999,999,999,999.99 USD"),
        ("1E+29", "EUR", "100,000,000,000,000,000,000,000,000,000.00 EUR"),
        ("0", "EUR", "0.00 EUR"),
        ("-3", "EUR", "-3.00 EUR"),
    ],
)
def test_an_amount_is_never_rounded_and_has_no_odd_half(amount: str, currency: str, said: str) -> None:
    assert phrases.money(Decimal(amount), currency) == said
    with in_language("de"):
        assert phrases.money(Decimal(amount), currency) == said.translate({ord(","): ".", ord("."): ","})
