"""Messages in each form: whatever is told and however little room there is, no alert is lost uncounted, nor the id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from conftest import T0
from hypothesis import example, given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.model.alerts import Alert, Message, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.kinds import KINDS
from renewal_watch.notify.message import render as notify_render
from renewal_watch.notify.message.render import Own
from renewal_watch.text import plain

FORMS = ("text", "markdown", "html")
ID = "message rw-0123456789"
SHEET = """RENEWS NEXT
• +15550000001 (production) renews in 3 days, on Thu 26 Nov 2026: 1.00 USD

COST AHEAD
• within 7 days 1.00 USD for 1 number with auto-renewal

SILENCED
• nothing is silenced

MONITORING
• production: 17 numbers, read 5 min ago

FOUND SINCE 2026-11-22 12:00 UTC"""


def alert(text: str = "a sentence", headline: str = "a headline", **changes: Any) -> Alert:
    given_: dict[str, Any] = {
        "key": text,
        "kind": "renewal.upcoming",
        "severity": Severity.info,
        "environment": "prod",
        "facts": Written(headline, text),
    }
    return Alert(**(given_ | changes))


def digest(text: str = SHEET, headline: str = "digest: 3 new, 1 number renews within 7 days", **changes: Any) -> Alert:
    return alert(text, kind="digest.sent", environment="", headline=headline, **changes)


def render(
    *alerts: Alert,
    form: str,
    body: int = 10_000,
    title: int = 250,
    note: str = "",
    late: timedelta = timedelta(0),
    own: Mapping[str, Own] | None = None,
    is_held: bool = False,
) -> Message:
    return notify_render.render(
        "rw-0123456789",
        alerts,
        created_at=T0,
        now=T0 + late,
        body_limit=body,
        title_limit=title,
        form=form,
        note=note,
        own=own,
        is_held=is_held,
    )


class _Reader(HTMLParser):
    """The lines a reader of HTML sees, and the tags that are open or unknown at the end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = [""]
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.tags.add(tag)
        if tag == "br":
            self.seen.append("")
        else:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.handle_starttag(tag, attrs)
        if tag != "br":
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen[-1] += data.replace("\n", " ")  # a line end of the source is a blank


def seen(message: Message) -> list[str]:
    """The lines of the body that have anything on them, as a reader sees them, without the marks of headings and items."""
    if message.format == "html":
        reader = _Reader()
        reader.feed(message.body)
        reader.close()
        assert reader.open == []
        lines = reader.seen
    else:
        lines = message.body.split("\n")
        if message.format == "markdown":
            lines = [line.removeprefix("**").removesuffix("**") for line in lines]
            lines = [f"• {line[2:]}" if line.startswith("- ") else line for line in lines]
    return [line.strip() for line in lines if line.strip()]


# --- how it looks -----------------------------------------------------------------------------------------------------


def test_the_same_message_in_each_form() -> None:
    alerts = [
        alert("one & only <b> 'x'", severity=Severity.critical),
        alert("a_b costs 1.00 USD", severity=Severity.warning),
        alert("last", severity=Severity.warning),
    ]
    assert render(*alerts, form="text").body == (
        f"CRITICAL\n• one & only <b> 'x'\n\nWARNING\n• a_b costs 1.00 USD\n• last\n\n{ID}"
    )
    assert render(*alerts, form="markdown").body == (
        f"**CRITICAL**\n- one & only <b> 'x'\n\n**WARNING**\n- a＿b costs 1.00 USD\n- last\n\n{ID}"
    ), "alerts are plain already; only what Markdown reads beyond that is left to do"
    html = render(*alerts, form="html")
    assert "<b>CRITICAL</b><br/>" in html.body
    assert "• one &amp; only &lt;b&gt; &#x27;x&#x27;<br/>" in html.body
    assert html.body.endswith(f"{ID}<br/>")
    assert seen(html) == [
        "CRITICAL", "• one & only <b> 'x'", "WARNING", "• a_b costs 1.00 USD", "• last", ID,
    ]  # fmt: skip
    assert {render(*alerts, form=form).format for form in FORMS} == set(FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_shows_the_same_lines_in_the_same_order_under_the_same_title(form: str) -> None:
    alerts = [alert(f"sentence {i}", severity=Severity(i % 3), days_left=i) for i in range(20)]
    message = render(digest(), *alerts, form=form, note="a note")
    plainly = render(digest(), *alerts, form="text", note="a note")
    assert seen(message) == seen(plainly)
    assert (message.title, message.severity) == (plainly.title, plainly.severity)


def test_a_title_is_plain_text_in_every_form() -> None:
    headline = "a_b costs 1.00 'USD'"
    assert {render(alert(headline=headline), form=form).title for form in FORMS} == {f"[info] prod: {headline}"}


# --- the user's words -------------------------------------------------------------------------------------------------

OWN_BODY = {"text": "*mine*\n<b>", "markdown": "**mine** [x](https://a.example)", "html": "<i>mine</i> &amp; more"}


@pytest.mark.parametrize("form", FORMS)
def test_the_users_words_stand_as_they_are_and_take_the_place_of_the_line(form: str) -> None:
    message = render(alert("one"), alert("two"), form=form, own={"one": Own(None, OWN_BODY[form])})
    assert OWN_BODY[form] in message.body
    lines = seen(message)
    assert "• two" in lines
    assert not any("one" in line for line in lines)
    assert message.title == "[info] prod: a headline, a headline"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("note", ["", "a note"])
def test_what_comes_after_the_users_words_stands_on_a_line_of_its_own(form: str, note: str) -> None:
    own = {name: Own(None, f"mine {name}") for name in ("one", "two", "three")}
    alerts = [
        alert("one", severity=Severity.critical),
        alert("two", severity=Severity.critical),
        alert("other"),
        alert("three"),
    ]
    message = render(*alerts, form=form, own=own, note=note)
    assert seen(message) == [
        "CRITICAL", "mine one", "mine two", "INFO", "• other", "mine three", *[note] * bool(note), ID,
    ]  # fmt: skip


def test_the_subject_is_that_of_the_most_urgent_alert_and_the_others_are_counted() -> None:
    own = {"one": Own("Mine one", None), "two": Own("Mine two", None)}
    urgent, later = alert("two", severity=Severity.critical), alert("one")
    for form in FORMS:
        assert render(later, urgent, form=form, own=own).title == "Mine two; and 1 renewing soon"
        assert render(later, form=form, own=own).title == "Mine one"
        assert render(digest(), later, form=form, own=own).title.startswith("[digest] 3 new"), "it speaks for all"
        assert render(digest(key="d"), later, form=form, own={"d": Own("My digest", None)}).title == "My digest"


@pytest.mark.parametrize("form", FORMS)
def test_words_that_do_not_fit_give_way_to_a_part_of_the_built_in_ones(form: str) -> None:
    message = render(
        alert("a sentence " * 60), alert("two"), form=form, body=500, own={"a sentence " * 60: Own(None, "<i>" * 900)}
    )
    lines = seen(message)
    assert lines[1].startswith("• a sentence a sentence")
    assert lines[1].endswith("…")
    assert "<i>" not in message.body, "half of a markup breaks the whole"
    assert lines[2:] == ["… and 1 more: 1 renewing soon; see renewal-watch alerts", ID]


@pytest.mark.parametrize("form", FORMS)
def test_long_words_of_one_alert_leave_the_others_counted(form: str) -> None:
    first, second = alert("first", severity=Severity.critical), alert("second")
    message = render(first, second, form=form, body=600, own={"second": Own(None, "x" * 4000)})
    assert seen(message) == ["CRITICAL", "• first", "… and 1 more: 1 renewing soon; see renewal-watch alerts", ID]


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("note", "late", "said"),
    [
        ("", timedelta(0), []),
        ("", timedelta(hours=2), ["found 2026-11-23 12:00 UTC, delivered late"]),
        ("held back: quiet hours", timedelta(0), ["held back: quiet hours"]),
        ("held back: quiet hours", timedelta(hours=9), ["found 2026-11-23 12:00 UTC; held back: quiet hours"]),
        ("n" * 1000, timedelta(0), ["n" * 299 + "…"]),
    ],
)
def test_a_note_says_why_a_message_comes_now_and_an_old_one_that_it_is_late(
    form: str, note: str, late: timedelta, said: list[str]
) -> None:
    assert seen(render(alert("one"), form=form, note=note, late=late, is_held="held" in note)) == [
        "INFO",
        "• one",
        *said,
        ID,
    ]


def test_of_several_that_were_held_back_the_first_says_since_when() -> None:
    lines = seen(
        render(
            alert("one"),
            alert("two"),
            form="text",
            note="held back: quiet hours",
            late=timedelta(hours=9),
            is_held=True,
        )
    )
    assert lines[-2] == "first found 2026-11-23 12:00 UTC; held back: quiet hours"


@pytest.mark.parametrize(
    "note", ["in built-in words, for a template failed: body: gives nothing", "in place of channel chat"]
)
def test_a_note_that_does_not_say_when_it_was_found_leaves_the_word_on_late_alone(note: str) -> None:
    """A template's fault, or a fallback, does not say that the alert is a day old and its days are not today's."""
    lines = seen(render(alert("one"), form="text", note=note, late=timedelta(days=1)))
    assert note in "\n".join(lines)
    assert "found 2026-11-23 12:00 UTC" in "\n".join(lines)


@pytest.mark.parametrize("form", FORMS)
def test_a_short_message_leaves_its_note_out_rather_than_its_alerts(form: str) -> None:
    lines = seen(render(alert("the sentence"), form=form, body=200, note="n" * 290))
    assert lines == ["INFO", "• the sentence", ID]


@pytest.mark.parametrize("form", FORMS)
def test_a_note_is_text_in_every_form(form: str) -> None:
    note = f"in place of channel a_b: {plain('<b> *x* [a](http://b)')}"
    lines = seen(render(alert("one"), form=form, note=note))
    said = note.replace("_", "＿") if form == "markdown" else note
    assert lines == ["INFO", "• one", said, ID]


# --- the digest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_digest_stands_above_the_alerts_that_came_with_it(form: str) -> None:
    alerts = [alert("urgent", severity=Severity.critical), alert("later")]
    for given_ in ([digest(), *alerts], [*alerts, digest()]):
        message = render(*given_, form=form)
        assert message.title == "[digest] 3 new, 1 number renews within 7 days"
        assert message.severity is Severity.critical
        assert seen(message) == [
            *(line for line in SHEET.split("\n") if line), "CRITICAL", "• urgent", "INFO", "• later", ID,
        ]  # fmt: skip


def test_the_headings_of_a_digest_are_headings_and_its_items_items() -> None:
    assert "**RENEWS NEXT**\n- +15550000001 (production) renews" in render(digest(), form="markdown").body
    assert "**FOUND SINCE 2026-11-22 12:00 UTC**" in render(digest(), form="markdown").body
    assert "<b>RENEWS NEXT</b><br/>\n• +15550000001" in render(digest(), form="html").body
    assert "<b>FOUND SINCE 2026-11-22 12:00 UTC</b>" in render(digest(), form="html").body
    assert render(digest(), form="text").body == f"{SHEET}\n\n{ID}"


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_digest_is_a_message_of_its_own(form: str) -> None:
    message = render(digest(), form=form)
    assert message.severity is Severity.info
    assert seen(message) == [*(line for line in SHEET.split("\n") if line), ID]


@pytest.mark.parametrize("form", FORMS)
def test_a_digest_that_does_not_fit_is_cut_and_says_so_and_its_alerts_are_counted(form: str) -> None:
    long = SHEET + "".join(f"\n• silence {i} of somebody: hides 3 that still hold" for i in range(100))
    message = render(digest(long), *(alert(f"sentence {i:03}") for i in range(100)), form=form, body=2500)
    lines = seen(message)
    assert lines[:2] == ["RENEWS NEXT", "• +15550000001 (production) renews in 3 days, on Thu 26 Nov 2026: 1.00 USD"]
    assert "… (cut: renewal-watch status shows all)" in lines
    told = sum(line.startswith("• sentence") for line in lines)
    assert told == notify_render.MOST
    assert "… and 90 more: 90 renewing soon; see renewal-watch alerts" in lines
    assert lines[-1] == ID


@pytest.mark.parametrize("form", FORMS)
def test_a_digest_that_just_fits_is_not_cut(form: str) -> None:
    whole = render(digest(), form=form).body
    assert render(digest(), form=form, body=notify_render._size(whole) + 20).body == whole


@pytest.mark.parametrize("form", FORMS)
def test_alerts_have_the_room_that_the_digest_leaves(form: str) -> None:
    alerts = [alert(f"sentence {i:03} " + "x" * 80) for i in range(15)]
    whole = render(digest(), *alerts, form=form).body
    assert seen(render(digest(), *alerts, form=form, body=notify_render._size(whole) + 50))[-2].startswith(
        "• sentence 014"
    )


# --- always -----------------------------------------------------------------------------------------------------------

# What a sentence may hold: it went through ``plain``, or is of our own making.
SENTENCES = st.one_of(
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="•…"), min_size=1, max_size=200),
    st.text("ab_('\"&<>.:1)", min_size=1, max_size=300),
).map(lambda text: plain(text, 300) or "x")
ALERTS = st.lists(
    st.builds(
        Alert,
        key=st.text("abcdefgh", min_size=1, max_size=5),
        kind=st.sampled_from([kind for kind in KINDS if kind != "digest.sent"]),
        severity=st.sampled_from(Severity),
        environment=st.sampled_from(["prod", "a_b", ""]),
        facts=st.builds(Written, SENTENCES, SENTENCES),
        number=st.none() | st.just("+1555"),
        days_left=st.none() | st.integers(-400, 400),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda one: one.key,
)
NOTES = st.sampled_from(["", "held back: quiet hours", "a_b 'c' " * 60])


LEAST = {"text": 160, "markdown": 200, "html": 300}  # an SMS; no service with so little room takes markup
SUBJECTS = (None, "Mine", "s" * 200)
BODIES = (None, "OWN", "OWN\n- a\n- b", "OWN " + "x" * 300, "OWN" + "<i>é</i>" * 100, "OWN" + "_" * 1000)


def size(message: Message) -> int:
    """As ``_size`` counts; HTML is escaped already, its own marks are what they are."""
    return len(message.body.encode()) if message.format == "html" else notify_render._size(message.body)


def check_limits(message: Message, body_limit: int, title_limit: int) -> None:
    above = 0 if title_limit else notify_render._size(message.title) + 2
    assert size(message) + above <= body_limit
    assert notify_render._size(message.title) <= (title_limit or 250)
    assert message.body.removesuffix("<br/>").endswith(ID)
    assert seen(message)[-1] == ID


def counted(message: Message) -> int:
    """How many alerts are told or counted."""
    rest = [found for line in seen(message) if (found := re.match(r"… and (\d+) more", line))]
    assert len(rest) <= 1
    return sum(line.startswith("• ") for line in seen(message)) + sum(int(found[1]) for found in rest)


@pytest.mark.parametrize("form", FORMS)
@few(25)
@given(
    alerts=ALERTS,
    body_limit=st.one_of(st.integers(0, 300), st.integers(0, 5000)),
    title_limit=st.sampled_from([0, 0, 3, 100, 250]),
    late=st.booleans(),
    note=NOTES,
)
@example(alerts=[alert("a_b" * 99)], body_limit=40, title_limit=250, late=False, note="")
@example(alerts=[alert("'" * 300), alert("b")], body_limit=100, title_limit=0, late=False, note="")
@example(alerts=[alert("(a_)" * 60), alert("b")], body_limit=50, title_limit=250, late=True, note="")
@example(  # the title takes half of an SMS
    alerts=[alert(str(i), severity=Severity(i % 3), headline="x" * 72) for i in range(60)],
    body_limit=0,
    title_limit=0,
    late=False,
    note="",
)
def test_a_message_keeps_its_limits_ends_with_its_id_and_accounts_for_every_alert(
    form: str, alerts: list[Alert], body_limit: int, title_limit: int, note: str, *, late: bool
) -> None:
    body_limit += LEAST[form]
    more: dict[str, Any] = {"form": form, "body": body_limit, "title": title_limit, "note": note}
    message = render(*alerts, late=timedelta(hours=late), **more)
    check_limits(message, body_limit, title_limit)
    assert counted(message) == len(alerts)
    assert message.severity == max(one.severity for one in alerts)
    assert message == render(*reversed(alerts), late=timedelta(hours=late), **more)


@pytest.mark.parametrize("form", FORMS)
@few(15)
@given(
    alerts=ALERTS,
    limit=st.integers(500, 4000),
    title_limit=st.sampled_from([0, 250]),
    note=NOTES,
    words=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=60, max_size=60),
)
def test_so_does_one_in_the_users_words(
    form: str, alerts: list[Alert], limit: int, title_limit: int, note: str, words: list[tuple[int, int]]
) -> None:
    own = {one.key: Own(SUBJECTS[s], BODIES[b]) for one, (s, b) in zip(alerts, words, strict=False)}
    message = render(*alerts, form=form, body=limit, title=title_limit, note=note, own=own)
    check_limits(message, limit, title_limit)
    without = replace(message, body=message.body.replace("OWN\n- a\n- b", "OWN"))
    assert counted(without) + without.body.count("OWN") == len(alerts)


@pytest.mark.parametrize("form", FORMS)
@few(15)
@given(alerts=ALERTS, limit=st.integers(0, 4000), title_limit=st.sampled_from([0, 250]), items=st.integers(0, 60))
@example(alerts=[alert(f"sentence {i}") for i in range(60)], limit=0, title_limit=0, items=9)  # an SMS
def test_so_does_a_digest(form: str, alerts: list[Alert], limit: int, title_limit: int, items: int) -> None:
    sheet = SHEET.replace("• ", "* ") + "".join(f"\n* item {i} of a digest with a_b 'quotes'" for i in range(items))
    count = len(alerts)
    limit += LEAST[form]
    headline = f"digest: {count} new, 3 numbers renew within 7 days"
    message = render(digest(sheet, headline), *alerts, form=form, body=limit, title=title_limit)
    check_limits(message, limit, title_limit)
    assert counted(message) == count or (counted(message) == 0 and f"[digest] {count} new" in message.title)


@pytest.mark.parametrize("form", FORMS)
@few(20)
@given(
    alerts=ALERTS, body_limit=st.integers(0, 159), title_limit=st.sampled_from([0, 10, 250]), with_digest=st.booleans()
)
def test_no_limit_however_small_raises_or_loses_the_id(
    form: str, alerts: list[Alert], body_limit: int, title_limit: int, *, with_digest: bool
) -> None:
    message = render(*[digest()] * with_digest, *alerts, form=form, body=body_limit, title=title_limit)
    above = 0 if title_limit else notify_render._size(message.title) + (2 if message.title else 0)
    assert seen(message)[-1] == ID
    assert size(message) + above <= max(body_limit, len(f"{ID}<br/>" if form == "html" else ID))


@few(25)
@given(text=SENTENCES)
def test_html_says_what_the_sentence_says_and_has_no_tag_of_it(text: str) -> None:
    message = render(alert(text), form="html")
    reader = _Reader()
    reader.feed(message.body)
    reader.close()
    assert reader.tags <= {"b", "br"}
    assert f"• {text}" in unescape(message.body)


def test_long_words_of_the_user_push_nothing_critical_out_of_a_message() -> None:
    many = [alert(f"sentence {i:03}", key=str(i), severity=Severity.critical) for i in range(15)]
    own = {one.key: Own(None, "y" * 900) for one in many}
    body = render(*many, form="text", body=2000, own=own).body
    assert all(f"sentence {i:03}" in body for i in range(15)), "the built-in words hold them all"


def test_a_kind_of_a_newer_release_that_shares_the_database_is_rendered_all_the_same() -> None:
    assert (
        render(*(alert(f"a {name}", kind="number.ported") for name in "abcd"), form="text").title
        == "[info] prod: 4 about the service"
    )
