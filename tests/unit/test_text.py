"""Foreign text is harmless wherever it is shown, and a learned secret gets into no log line."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import string
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from renewal_watch.text import Redactor, plain

HOSTILE = (
    "<!channel>",
    "<!here|here>",
    "<@U012AB3CD>",
    "@channel",
    "@everyone",
    "<https://evil.example|invoice>",
    "[pay](https://evil.example)",
    "![](http://evil.example/x.png)",
    "**bold** __bold__ *it* _it_ ~~gone~~ `code` ||spoiler||",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "one\ntwo\r\nSubject: x\u2028y\u2029z\x85",
    "# heading",
    "- item",
    "=HYPERLINK(1)",
    "&lt;script&gt;",
    "\\*escaped\\*",
    "1http://evil.example",
    "http:\\\\evil.example",
    "http:/\u200b/evil.example",
    "_http://evil.example",
    "\ud83d",
    "a__b_",
)
MARKUP = st.sampled_from(
    [*"<>&*~`|@[]()\\_#=-+:/! \n\r\t\x1b\x00\x7f\x9b…", "http://", "\u202e", "\ud800", "a", "7", "é"]
)
TEXTS = st.text() | st.lists(MARKUP, max_size=40).map("".join) | st.sampled_from(HOSTILE)


@given(TEXTS)
@example("_" * 198 + "a_b")
@example("a" * 198 + "_bc")
@example("+=+-# 1")
def test_plain_text_is_one_line_without_control_markup_mention_or_link(text: str) -> None:
    said = plain(text)
    assert len(said.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in said} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not set(said) & set("<>&*~`|@[]\\")
    assert ":/" not in said
    assert not re.search(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])", said)
    assert not re.match(r"[#=\s-]|\+(?![0-9])", said)
    assert said == said.strip()
    assert "  " not in said
    said.encode()


@given(TEXTS, st.integers(1, 300))
@example("a" * 198 + "_bc", 200)
@example("- -# x", 200)
@example("a_" * 300, 7)
def test_plain_text_stays_as_it_is_when_made_plain_again(text: str, longest: int) -> None:
    said = plain(text, longest)
    assert len(said) <= longest
    assert plain(said, longest) == said


@pytest.mark.parametrize("text", HOSTILE)
def test_known_attacks_lose_their_teeth(text: str) -> None:
    said = plain(text)
    for tooth in ("<!", "@c", "@e", "](", "**", "__", "\x1b", "://", "\u202e", "\n", "|"):
        assert tooth not in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Número suspenso: pagamento não efetuado (R$ 4,00)", "Número suspenso: pagamento não efetuado (R$ 4,00)"),
        ("Ошибка №7", "Ошибка №7"),
        ("残高不足です。", "残高不足です。"),
        ("رصيد غير كاف", "رصيد غير كاف"),
        ("+1 (555) 000-0001", "+1 (555) 000-0001"),
        ("phone_number_id", "phone_number_id"),
        ("10:30, 50% / 2", "10:30, 50% / 2"),
        ("  spaced\t out ", "spaced out"),
        ("A & B <c@d.example>", "A + B ‹c＠d.example›"),
        (17, "17"),
        (None, "None"),
        ("", ""),
        ("= = =", ""),
    ],
)
def test_ordinary_text_can_still_be_read(text: object, expected: str) -> None:
    assert plain(text) == expected


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert plain("x" * 1000, 10) == "xxxxxxxxx…"


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRETS = st.text(string.ascii_letters + string.digits + "_-|.+/=%*'\"\\é", min_size=4, max_size=20)


def shown(redactor: Redactor, log: Callable[[logging.Logger], None]) -> str:
    """What a handler with the redactor prints."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.addFilter(redactor)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.Logger("t")  # noqa: LOG001 (known to nobody else)
    logger.addHandler(handler)
    log(logger)
    return out.getvalue()


@given(st.lists(SECRETS, min_size=1, max_size=4), st.lists(st.text(max_size=5), min_size=5, max_size=5))
@example(["abcd", "cdef"], ["", "ef", "", "", ""])
@example(["abcd", "****"], ["*", "", "", "", ""])
def test_no_learned_secret_is_left_in_any_text(secrets: list[str], between: list[str]) -> None:
    redactor = Redactor()
    for secret in secrets:
        redactor.learn(secret)
    said = redactor.clean("".join(part + secret for part, secret in zip(between, [*secrets, *secrets], strict=False)))
    assert not any(secret in said for secret in secrets)


@given(SECRETS, st.text(string.ascii_lowercase + " ", max_size=5))
def test_no_learned_secret_gets_through_message_arguments_or_traceback(secret: str, around: str) -> None:
    assume(secret not in TRACE)
    redactor = Redactor()
    redactor.learn(secret)

    def fail() -> None:
        try:
            raise LookupError(f"inner {secret}")
        except LookupError as error:
            error.add_note(secret)
            raise OSError(around + secret) from error

    def log(logger: logging.Logger) -> None:
        logger.warning((around + secret + around).replace("%", "%%"))
        logger.warning("%s and %s", secret, around)
        logger.warning("%(key)s", {"key": secret})
        logger.warning("%s %r", quote(secret, safe=""), [secret])
        logger.warning("%s", json.dumps({"token": secret}))
        logger.warning("%s", plain(secret))
        logger.warning("fits not %d", secret)
        try:
            fail()
        except OSError:
            logger.exception("it failed")

    said = shown(redactor, log)
    assert secret not in said
    assert plain(secret) not in said or len(plain(secret)) < 4 or plain(secret) in TRACE
    assert "Traceback" in said
    assert "***" in said


TRACE = (
    # what the lines above print anyway; a made-up secret that is a part of it proves nothing
    "fits not %d (its arguments do not fit: TypeError) and it failed Traceback (most recent call last): File, line in "
    "raise LookupError OSError The above exception was the direct cause of the following exception: inner *** "
)


def test_every_form_a_secret_is_printed_in_is_hidden() -> None:
    redactor = Redactor()
    redactor.learn("p|w\\d é'1/2")
    for form in ("p|w\\d é'1/2", repr(["p|w\\d é'1/2"]), json.dumps("p|w\\d é'1/2"), "p%7Cw%5Cd%20%C3%A9%271/2"):
        assert "d" not in redactor.clean(form).replace("***", "")


SECRET = "s3cret-token"


def test_a_record_stays_clean_through_a_second_handler() -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    first = io.StringIO()

    def log(logger: logging.Logger) -> None:
        other = logging.StreamHandler(first)
        other.addFilter(redactor)
        logger.addHandler(other)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logger.exception("with %s", SECRET)

    assert SECRET not in shown(redactor, log) + first.getvalue()
    assert first.getvalue().count("ValueError: ***") == 1


def test_the_stack_of_a_record_is_cleaned() -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    said = shown(redactor, lambda logger: logger.warning("here", stack_info=True))  # s3cret-token, a part of the stack
    assert SECRET not in said
    assert "# ***, a part of the stack" in said


def test_arguments_that_do_not_fit_reach_neither_the_caller_nor_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    redactor = Redactor()
    redactor.learn(SECRET)
    said = shown(redactor, lambda logger: logger.warning("%d apples", SECRET))
    assert "apples" in said
    assert SECRET not in said + capsys.readouterr().err


def test_a_record_without_a_fault_is_only_its_text() -> None:
    assert shown(Redactor(), lambda logger: logger.warning("%d%% of %s", 5, "all", exc_info=False)) == "5% of all\n"


@pytest.mark.parametrize("url", ["json://ops:hun~ter2%2F?@hooks.example.org/in", "https://ops:hun~ter2%2F?@h.example"])
def test_user_and_password_of_an_address_are_hidden_as_a_service_quotes_them(url: str) -> None:
    redactor = Redactor()
    redactor.learn(url)
    for pair in (b"ops:hun~ter2%2F?", b"ops:hun~ter2/?"):
        for encoded in (base64.b64encode(pair), base64.urlsafe_b64encode(pair)):
            said = redactor.clean(f"401: 'Authorization: Basic {encoded.decode()}' is not known")
            assert "***" in said
            assert encoded.decode().rstrip("=") not in said


def test_a_secret_is_hidden_in_base64_too() -> None:
    redactor = Redactor()
    redactor.learn("s3cret-token")
    assert redactor.clean(f"got {base64.b64encode(b's3cret-token').decode()}") == "got ***"


def test_very_short_secrets_blot_out_no_ordinary_words() -> None:
    redactor = Redactor()
    redactor.learn("to")
    redactor.learn("")
    assert redactor.clean("go to town") == "go to town"
