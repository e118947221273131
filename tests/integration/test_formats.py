"""Text, Markdown and HTML as the services get them: the real Apprise child to Slack, Discord, Telegram and a mail server.

What a provider writes must arrive as text in each of them, in the built-in words and in the user's.
"""

from __future__ import annotations

import re
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from conftest import T0
from made_up import entry, listing
from receivers import Answer, HttpReceiver, SmtpReceiver, http_receiver, smtp_receiver

from renewal_watch.alerts import phrases
from renewal_watch.alerts.facts import number_facts
from renewal_watch.channels import senders
from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.channels.limits import Limits
from renewal_watch.config.loading import load
from renewal_watch.model.alerts import Alert, Message, Severity
from renewal_watch.model.facts import Number, Written
from renewal_watch.notify.message import render as notify_render
from renewal_watch.notify.message import wording
from renewal_watch.notify.message.render import MOST, Own
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Template
from renewal_watch.text import harmless, plain, unmarked

URLS = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "discord": "discord://100000000000000001/" + "aB3" * 22,
    "telegram": "tgram://123456789:abcdefghijklmnopqrstuvwxyz_12345678/987654321",
}
CHATS = tuple(URLS)
FORMS = ("text", "markdown", "html")
ID = "message rw-0123456789"

# What a provider might write, in groups that fit into one value. None of it may be more than text anywhere.
PIECES = [
    "<!channel> <@U123> <!subteam^S1> @everyone @here <#C1|x>",
    "<b>x</b> <script>alert(1)</script> <a href='http://b.test'>x</a>",
    "[a](http://b.test) ![i](https://b.test/i.png) <https://b.test|x> (a)[http://b.test]",
    "*x* _x_ __x__ **x** a*b a_b_c _a a_ * _",
    "`x` ``` ` ~x~ ~~x~~ ||x|| \\*x\\* \\",
    "&lt;b&gt; &amp; &#60;b&#62; \"q\" 'q' & < >",
    "x\n# y\r\n\r\n- y\n> y\n1. y\n```\ny",
    "tg://user?id=1 tel:+15550009999 <tg-spoiler>x</tg-spoiler> {{ 7 * 7 }} {x} %s",
    "# x",
    "> x",
    "- x",
    "1. x",
    "(x) :y: _",
]


class Case(NamedTuple):
    """A number of which each foreign field holds a piece, and what is told of it."""

    piece: str
    alert: Alert


def reworded(alert: Alert, text: str) -> Alert:
    return replace(alert, facts=Written(alert.headline, text))


def case(place: int, piece: str) -> Case:
    """Number, status, type and currency are all as the provider wrote them."""
    name = f"phone-{place}"
    told = entry(
        name, number=f"+1555{place:07} {piece}", current_status=piece, type=piece, currency=piece, auto_renewal=False
    )
    number = listing(told).entries[name].parsed
    on = T0.date() + timedelta(days=3)
    headline, text = number_facts.StatusChanged(Number.of(number), "prod_one", "active", 3, on.toordinal()).words()
    return Case(
        piece,
        Alert(
            key=name,
            kind="status.changed",
            severity=Severity.critical,
            environment="prod_one",
            facts=Written(headline, text),
            number_id=name,
            number=phrases.who(number),
            days_left=3,
            about=number,
        ),
    )


CASES = [case(place, piece) for place, piece in enumerate(PIECES)]
BATCH = {"slack": len(CASES), "discord": 2, "telegram": 4}  # so many fit into one message
TEMPLATES = {
    "text": Template(subject="{{ status }}", body="{{ number }} is {{ status }} for {{ cost }}, {{ type }}"),
    "markdown": Template(
        subject="{{ status }}",
        body="**{{ number }}** is {{ status }} for _{{ cost }}_, [go](https://ok.test) {{ type }}",
    ),
    "html": Template(
        subject="{{ status }}",
        body="<b>{{ number }}</b> is {{ status }} for <i>{{ cost }}</i>, <a href='https://ok.test'>go</a> {{ type }}",
    ),
}


def own_words(form: str, cases: list[Case]) -> dict[str, Own]:
    own, fault = wording.own_words(
        [one.alert for one in cases], Channel(name="x", format=form), Routing(templates=(TEMPLATES[form],)), T0
    )  # type: ignore[arg-type]
    assert fault is None
    assert len(own) == len(cases)
    return own


def rendered(
    alerts: list[Alert], form: str, own: dict[str, Own] | None = None, note: str = ""
) -> Callable[[Limits], Message]:
    return lambda limits: notify_render.render(
        "rw-0123456789",
        alerts,
        created_at=T0,
        now=T0 + timedelta(hours=2),
        body_limit=limits.body,
        title_limit=limits.title,
        form=form,
        own=own,
        note=note,
    )


# --- the services -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpReceiver]:
    """A proxy that is every host of the internet at once, with certificates of its own authority."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.slack.com", "discord.com", "api.telegram.org").configure_cert(tls)
    trusted = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with http_receiver(tls) as receiver, pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
            patch.delenv(name, raising=False)
        patch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        patch.setenv("HTTPS_PROXY", receiver.proxy)
        yield receiver


@pytest.fixture(scope="module")
def mailer() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as receiver:
        yield receiver


Send = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def send(internet: HttpReceiver) -> Iterator[Send]:
    """Sends to a chat by its real child, the same for all the tests; what arrived there in its only request."""
    takes_turns = {"slack": 4}  # Apprise waits 1.2 s between two messages of one child
    channels = {
        name: deque(AppriseChannel(name, lambda url=url: url) for _ in range(takes_turns.get(name, 1)))  # type: ignore[misc]
        for name, url in URLS.items()
    }

    def sent(chat: str, render: Callable[[Limits], Message]) -> dict[str, Any]:
        internet.answers(Answer(200, b"ok" if chat == "slack" else b'{"ok": true}'))
        channels[chat].rotate()
        channels[chat][0].send(render)
        (request,) = internet.requests
        found: dict[str, Any] = request.json
        return found

    yield sent
    for channel in (one for those in channels.values() for one in those):
        channel.close()


Post = Callable[..., Any]


@pytest.fixture
def post(mailer: SmtpReceiver) -> Iterator[Post]:
    """Sends a mail; a new child each, for Apprise waits 5.5 s between two mails of one."""
    opened: list[AppriseChannel] = []

    def sent(render: Callable[[Limits], Message]) -> Any:
        mailer.mails.clear()
        url = f"mailto://127.0.0.1:{mailer.port}?mode=insecure&from=watch@a.test&to=ops@b.test"
        opened.append(AppriseChannel("mail", lambda: url))
        opened[-1].send(render)
        (one,) = mailer.mails
        return one.message

    yield sent
    for channel in opened:
        channel.close()


# --- how each of them reads what it is given --------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """What people see: the text, and what of it is more than text."""

    text: str
    marks: tuple[tuple[str, str], ...] = ()  # (what, the text in it)

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip()]


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[tuple[str, int]] = []
        self.marks: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.text += "\n"
        else:
            self.open.append((tag if tag != "a" else f"a {dict(attrs)['href']}", len(self.text)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag != "br":
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        what, start = self.open.pop()
        assert what.split()[0] == tag
        self.marks.append((what, self.text[start:]))
        if tag in ("p", "li", "ul", "h1"):
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    handle_comment = handle_pi = unknown_decl = handle_decl


def html(source: str) -> Read:
    """As a browser or a mail program reads it; every tag closes."""
    reader = _Html()
    reader.feed(source)
    reader.close()
    assert reader.open == []
    return Read(reader.text, tuple(reader.marks))


def telegram_markdown(source: str) -> Read:
    """The legacy Markdown of Telegram's Bot API, which refuses a message over one mark without its pair."""
    text = ""
    marks: list[tuple[str, str]] = []
    at = 0
    while at < len(source):
        c = source[at]
        if c == "\\" and source[at + 1 : at + 2] in ("_", "*", "`", "["):
            text += source[at + 1]
            at += 2
            continue
        if c not in "_*`[":
            text += c
            at += 1
            continue
        mark = "```" if source.startswith("```", at) else "]" if c == "[" else c
        start = at + (3 if mark == "```" else 1)
        end = source.find(mark, start)
        assert end >= 0, f"Telegram: can't find end of the entity starting at {source[at : at + 30]!r}"
        inner = source[start:end]
        at = end + len(mark)
        if c == "[":
            link = re.compile(r"\(([^)]*)\)").match(source, at)
            if link is None:
                text += f"[{inner}]"
                continue
            at = link.end()
            marks.append((f"a {link[1]}", inner))
        elif inner:
            marks.append(({"*": "b", "_": "i"}.get(mark, "code"), inner))
        text += inner
    return Read(text, tuple(marks))


def telegram(sent: dict[str, Any]) -> Read:
    """As Telegram takes it, or refuses it."""
    text = sent["text"]
    assert set(sent) <= {"chat_id", "text", "parse_mode", "disable_notification", "disable_web_page_preview"}
    text = text.replace("\r", "")  # Telegram drops it before it counts
    if sent["parse_mode"] == "MARKDOWN":
        return telegram_markdown(text)
    assert sent["parse_mode"] == "HTML"
    assert set(re.findall(r"</?([a-z0-9-]*)", text)) <= {"b", "i", "u", "s", "a", "code", "pre"}
    assert set(re.findall(r"&[^;\s]*;?", text)) <= {"&lt;", "&gt;", "&amp;", "&quot;"}
    return html(text)


_LINK = re.compile(r"<([^|>]*)\|([^>]*)>")


def mrkdwn(text: str, *, is_on: bool) -> Read:
    """Slack's: ``<…>`` is a link, a mention or a channel; ``*b* _i_ ~s~ `c` `` where it is on."""
    marks: list[tuple[str, str]] = []

    def link(found: re.Match[str]) -> str:
        marks.append((f"a {found[1]}", found[2]))
        return found[2]

    text = _LINK.sub(link, text)
    assert "<" not in text, "a mention, or a link without text"
    assert set(re.findall(r"&[^;\s]*;?", text)) <= {"&lt;", "&gt;", "&amp;"}
    return _with_pairs(Read(unescape(text), tuple(marks)), {"*": "b", "_": "i", "~": "s", "`": "code"} if is_on else {})


def slack(sent: dict[str, Any]) -> Read:
    """Title and text of the only attachment, for neither of which Slack was told to read more."""
    (shown,) = sent["attachments"]
    title = mrkdwn(shown["title"], is_on=False)
    assert title.marks == ()
    body = mrkdwn(shown["text"], is_on=sent["mrkdwn"])
    return Read(f"{title.text}\n{body.text}", body.marks)


def discord(sent: dict[str, Any]) -> Read:
    """Markdown, whatever the form was; mentions are ``@everyone``, ``@here`` and ``<…>``."""
    assert "embeds" not in sent
    text = sent["content"]
    marks: list[tuple[str, str]] = []

    def link(found: re.Match[str]) -> str:
        marks.append((f"a {found[2]}", found[1]))
        return found[1]

    text = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", link, text)
    assert not re.search(r"<[@#!a:/]|@everyone|@here|\|\||://", text)
    assert not re.search(r"^(#{1,3} |> |[0-9]+\. )", text, re.MULTILINE), "a heading, quote or list"
    return _with_pairs(Read(text, tuple(marks)), {"**": "b", "*": "i", "_": "i", "~~": "s", "`": "code"})


def _with_pairs(read: Read, kinds: dict[str, str]) -> Read:
    """Marks that come in pairs at the edge of words."""
    text, marks = read.text, list(read.marks)
    for mark, what in kinds.items():
        pair = re.compile(rf"(?<![\w\\]){re.escape(mark)}(?!\s)([^\n]*?)(?<!\s){re.escape(mark)}(?!\w)")
        marks += [(what, found) for found in pair.findall(text)]
        text = pair.sub(r"\1", text)
    return Read(text, tuple(marks))


READ: dict[str, Callable[[dict[str, Any]], Read]] = {"slack": slack, "discord": discord, "telegram": telegram}


def as_shown(one: Case, form: str, words: str) -> list[str]:
    """The values of a case as people are to read them."""
    number = f"+1555{int(one.alert.key.removeprefix('phone-')):07} {one.piece}"
    if words == "own":
        return [
            harmless(value, form)
            for value in (plain(number), plain(one.piece.strip().lower()), f"1.00 {plain(one.piece)}")
        ]
    values = [
        plain(number),
        f"is {plain(one.piece.strip().lower())}; it was active before",
        f"1.00 {plain(one.piece)}".rstrip(),
    ]
    return [value.replace("_", "＿") for value in values] if form == "markdown" else values


def squeezed(text: str) -> str:
    return " ".join(text.split())


def own_marks(form: str, chat: str, cases: list[Case]) -> list[tuple[str, str]]:
    """The marks that the templates themselves make."""
    if form == "text" or (form == "html" and chat == "discord"):  # which shows it as text
        return []
    found = []
    for one in cases:
        number, _, cost = as_shown(one, form, "own")
        found += [("b", number), ("i", cost), ("a https://ok.test", "go")]
    return found


# --- what a provider writes -------------------------------------------------------------------------------------------


def test_html_is_refused_where_the_service_would_make_markdown_of_it(tmp_path: Path) -> None:
    """Slack: Apprise escapes what it turns into Markdown, and Slack shows the backslashes."""
    path = tmp_path / "config.toml"
    path.write_text(
        "[[environments]]\nname = 'p'\nbase_url = 'https://x.test'\ntoken = 'talq_0123456789'\n"
        "[[channels]]\nname = 'chat'\nformat = 'html'\nurl = 'slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ'\n"
    )
    path.chmod(0o600)
    assert senders.channel_faults(load(path)) == [
        "channels.chat.format: this service shows no HTML; write markdown or text"
    ]


@pytest.mark.parametrize("words", ["built-in", "own"])
@pytest.mark.parametrize(
    ("chat", "form"), [(chat, form) for chat in CHATS for form in FORMS if (chat, form) != ("slack", "html")]
)
def test_what_a_provider_writes_is_text_in_every_chat_and_form(send: Send, chat: str, form: str, words: str) -> None:
    own = own_words(form, CASES) if words == "own" else None
    for batch in (CASES[at : at + BATCH[chat]] for at in range(0, len(CASES), BATCH[chat])):
        read = READ[chat](send(chat, rendered([one.alert for one in batch], form, own)))
        shown = squeezed(read.text)
        for one in batch:
            for value in as_shown(one, form, words):
                assert squeezed(value) in shown, one.piece
        title = next(line for line in read.text.splitlines() if line)
        headings = [("b", title)] * (chat == "telegram") + [("b", "CRITICAL")] * (
            form != "text" and not (form == "html" and chat == "discord")
        )
        allowed = headings + (own_marks(form, chat, batch) if own else [])
        assert sorted((what, squeezed(text)) for what, text in read.marks) == sorted(
            (what, squeezed(text)) for what, text in allowed
        )
        assert not re.search(r"@|://|\\|\x1b", shown.replace("https://ok.test", ""))
        assert read.lines[-2:] == ["found 2026-11-23 12:00 UTC, delivered late", ID]


@pytest.mark.parametrize("words", ["built-in", "own"])
@pytest.mark.parametrize("form", FORMS)
def test_what_a_provider_writes_is_text_in_a_mail(post: Post, form: str, words: str) -> None:
    own = own_words(form, CASES) if words == "own" else None
    mail = post(rendered([one.alert for one in CASES], form, own))
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert list(parts) == (["text/plain"] if form == "text" else ["text/plain", "text/html"])
    assert mail.get_content_type() == ("text/plain" if form == "text" else "multipart/alternative")
    reads = [Read(parts["text/plain"])]
    if form != "text":
        reads.append(html(parts["text/html"]))
        tags = {what.split()[0] for what, _ in reads[1].marks}
        assert tags <= {"b", "strong", "i", "em", "p"} | ({"a"} if own else set())
        links = [(what, text) for what, text in reads[1].marks if what.startswith("a ")]
        assert links == [("a https://ok.test", "go")] * len(CASES if own else [])
        assert not re.search(r"<(?!/?(b|br|strong|i|em|p|a)\b)", parts["text/html"])
    for read in reads:
        for one in CASES:
            for value in as_shown(one, form, words):
                assert squeezed(value) in squeezed(read.text), one.piece
        assert not re.search(r"@|://|\\", read.text)
        assert read.lines[-2:] == ["found 2026-11-23 12:00 UTC, delivered late", ID]
    assert "\n" not in mail["Subject"]
    assert mail["Bcc"] is None


def test_the_text_of_an_html_mail_is_escaped(post: Post) -> None:
    alert = reworded(CASES[0].alert, """1 < 2 & "a" > 'b' <b>x</b>""")
    mail = post(rendered([alert], "html"))
    source = next(part for part in mail.walk() if part.get_content_type() == "text/html").get_content()
    assert "1 &lt; 2 &amp; &quot;a&quot; &gt; &#x27;b&#x27; &lt;b&gt;x&lt;/b&gt;" in source
    text = next(part for part in mail.walk() if part.get_content_type() == "text/plain").get_content()
    assert """1 < 2 & "a" > 'b' <b>x</b>""" in text


# --- lines, the id, the user's markup ---------------------------------------------------------------------------------


def made_up(
    count: int, text: str = "+1555{i:07d} (production) renews in 3 days: make sure the balance covers it."
) -> list[Alert]:
    return [
        Alert(
            key=f"k{i}",
            kind="renewal.upcoming",
            severity=Severity.critical if i == count - 1 else Severity.warning,
            environment="production",
            facts=Written(f"+1555{i:07d} renews in 3 days", text.format(i=i)),
            number=f"+1555{i:07d}",
            days_left=3,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("words", ["built-in", "own"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chat", CHATS)
def test_every_alert_note_and_the_id_have_a_line_of_their_own(send: Send, chat: str, form: str, words: str) -> None:
    alerts = made_up(3, "number {i}")
    own = {one.key: Own(None, f"MINE {one.text}") for one in alerts} if words == "own" else None
    read = READ[chat](send(chat, rendered(alerts, form, own, note="a note")))
    item = "MINE " if own else "- " if form == "markdown" else "• "
    told = [line for line in read.lines[1:] if not line.startswith(("CRITICAL", "WARNING"))]
    assert told == [f"{item}number 2", f"{item}number 0", f"{item}number 1", told[3], ID]
    assert told[3].endswith("; a note")


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_so_they_have_in_a_mail(post: Post, form: str) -> None:
    alerts = made_up(3, "number {i}")
    mail = post(rendered(alerts, form, {one.key: Own(None, f"MINE {one.text}") for one in alerts}, note="a note"))
    for part in mail.walk():
        if part.is_multipart():
            continue
        read = html(part.get_content()) if part.get_content_type() == "text/html" else Read(part.get_content())
        *told, note, last = [line for line in read.lines if line not in ("CRITICAL", "WARNING")]
        assert told == ["MINE number 2", "MINE number 0", "MINE number 1"]
        assert note.endswith("; a note")
        assert last == ID


# What a template might have in it by mistake; Telegram refuses a message over a mark without its pair, for ever
HALF_MARKS = ["*", "_x", "a_b", "`", "[x](", "<b>", "&", "\\"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", ["subject", "body"])
def test_telegram_takes_a_message_whatever_marks_its_template_leaves_open(send: Send, part: str, form: str) -> None:
    (alert,) = made_up(1)
    for mark in HALF_MARKS:
        for said in (f"{mark} number", f"a {mark} number"):
            own = {alert.key: Own(said, None) if part == "subject" else Own(None, said)}
            read = telegram(send("telegram", rendered([alert], form, own)))
            assert read.lines[-1].endswith(ID), said
            assert "number" in read.text


# --- limits -----------------------------------------------------------------------------------------------------------

LIMITS = {"slack": 40_000, "discord": 2000, "telegram": 4096}


def units(text: str) -> int:
    """As services count: UTF-16."""
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    "text",
    [
        "+1555{i:07d} (production) renews in 3 days: make sure the balance covers it.",
        "+1555{i:07d} a_b_c_d 'x' \"y\" 東京 😀 _x_(y) 1.00 <&> #{i}",
    ],
    ids=["ordinary", "odd"],
)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chat", CHATS)
def test_hundreds_of_alerts_are_one_message_within_the_limit_with_the_rest_counted(
    send: Send, chat: str, form: str, text: str
) -> None:
    alerts = [reworded(one, plain(one.text)) for one in made_up(800, text)]
    sent = send(chat, rendered(alerts, form))
    read = READ[chat](sent)
    whole = {
        "slack": lambda: sent["attachments"][0]["text"],
        "discord": lambda: sent["content"],
        "telegram": lambda: read.text,
    }
    assert units(whole[chat]()) <= LIMITS[chat]
    told = sum(line.startswith(("• ", "- ")) for line in read.lines)
    assert told == MOST
    rest = f"… and {800 - told} more: {800 - told} will be lost in 3 days; see renewal-watch alerts"
    assert read.lines[-3:] == [rest, "found 2026-11-23 12:00 UTC, delivered late", ID]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chat", CHATS)
def test_hundreds_of_alerts_in_the_users_words_are_within_the_limit_as_well(send: Send, chat: str, form: str) -> None:
    markup = {
        "text": "MINE {i} a_b",
        "markdown": "**MINE** {i} [x](https://ok.test)",
        "html": "<b>MINE</b> {i} <i>x</i> &amp; y",
    }
    alerts = made_up(3000)
    own = {one.key: Own("s" * 200, markup[form].format(i=i)) for i, one in enumerate(alerts)}
    sent = send(chat, rendered(alerts, form, own))
    read = READ[chat](sent)
    text = sent["attachments"][0]["text"] if chat == "slack" else read.text if chat == "telegram" else sent["content"]
    assert units(text) <= LIMITS[chat]
    told = read.text.count("MINE")
    assert told == MOST
    assert "… and 2,990 more: 2,990 will be lost in 3 days; see renewal-watch alerts" in squeezed(read.text)
    assert read.lines[-1].endswith(ID)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chat", CHATS)
def test_one_alert_that_is_too_long_by_itself_is_cut_within_the_limit(send: Send, chat: str, form: str) -> None:
    long = plain("it's a_b & <c> 東京 " * 4000, 60_000)
    sent = send(chat, rendered([reworded(one, long) for one in made_up(2)], form))
    read = READ[chat](sent)
    text = sent["attachments"][0]["text"] if chat == "slack" else read.text if chat == "telegram" else sent["content"]
    assert units(text) <= LIMITS[chat]
    assert "… and 1 more: 1 will be lost in 3 days; see renewal-watch alerts" in read.text
    assert read.lines[-1] == ID


def test_unmarked_is_what_markdown_shows() -> None:
    """The oracle of this file is the product's own; here is what it must do, by hand."""
    assert unmarked("prod_one (x) 1. a") == "prod＿one (x) 1. a"
    assert harmless("<b>*_x_*", "markdown") == "‹b›∗-x-∗"


# --- mail as a page ---------------------------------------------------------------------------------------------------


def mailed(alerts: list[Alert], own: Mapping[str, Own] | None = None, **more: Any) -> Callable[[Limits], Message]:
    """A message of these alerts as HTML for whatever a service takes."""

    def render(limits: Limits) -> Message:
        given = {"message_id": "rw-0123456789", "created_at": T0, "now": T0} | more
        message_id = str(given.pop("message_id"))
        return notify_render.render(
            message_id, alerts, body_limit=limits.body, title_limit=limits.title, form="html", own=own,
            is_mail=limits.is_mail, **given,
        )  # fmt: skip

    return render


def parts_of(mail: Any) -> dict[str, str]:
    return {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}


def test_an_html_mail_is_a_table_with_the_text_beside_it(post: Post) -> None:
    alerts = made_up(3, "+1555{i:07d} will be lost <soon> & for good.")
    mail = post(mailed(alerts))
    assert mail.get_content_type() == "multipart/alternative"
    parts = parts_of(mail)
    text = notify_render.render("rw-0123456789", alerts, created_at=T0, now=T0, body_limit=30_000, title_limit=200).body
    assert [line.rstrip() for line in parts["text/plain"].rstrip().splitlines()] == text.splitlines()
    page = parts["text/html"]
    assert page.count("<tr>") == 3
    assert "will be lost &lt;soon&gt; &amp; for good." in page
    assert "message rw-0123456789" in page
    assert 'class="critical"' in page
    assert not re.search(r"https?://|<script|<img", page), "nothing is fetched"


def test_an_html_mail_of_many_shows_the_ten_worst_and_counts_the_others(post: Post) -> None:
    page = parts_of(post(mailed(made_up(400))))["text/html"]
    assert page.count("<tr>") == MOST
    assert "… and 390 more: 390 will be lost in 3 days; see renewal-watch alerts" in page


def test_a_digest_by_mail_has_headings_and_lists(post: Post) -> None:
    sheet = "RENEWS NEXT\n• +1 renews <today>\n• +2 renews\n\nMONITORING\n• fine\n\nFOUND SINCE 2026-11-23 12:00 UTC"
    digest = Alert(
        key="d", kind="digest.sent", severity=Severity.info, environment="", facts=Written("digest: 2 new", sheet)
    )
    page = parts_of(post(mailed([digest, *made_up(2)])))["text/html"]
    assert page.count("<ul") == page.count("</ul>") == 2
    assert "<li>+1 renews &lt;today&gt;</li>" in page
    assert "RENEWS NEXT</h2>" in page
    assert page.index("MONITORING</h2>") < page.index("<tr>")


def test_the_users_words_stand_in_the_table(post: Post) -> None:
    alerts = made_up(2)
    page = parts_of(post(mailed(alerts, {alerts[0].key: Own(None, "<b>MINE</b>")})))["text/html"]
    assert page.count("<b>MINE</b>") == 1


def test_all_tries_of_a_mail_have_one_message_id(post: Post) -> None:
    alerts = made_up(1)
    ids = [post(mailed(alerts))["Message-ID"], post(rendered(alerts, "text"))["Message-ID"]]
    assert ids[0] == ids[1]
    assert ids[0].startswith("<rw-0123456789.1@")
    other = post(mailed(alerts, message_id="rw-9999999999"))
    assert other["Message-ID"].startswith("<rw-9999999999.1@")
    assert other["Auto-Submitted"] == "auto-generated"


def test_an_html_mail_that_does_not_fit_is_that_of_a_chat() -> None:
    alerts = made_up(5)
    small = notify_render.render(
        "rw-1", alerts, created_at=T0, now=T0, body_limit=900, title_limit=200, form="html", is_mail=True
    )
    assert "<table" not in small.body
    assert small.plain == ""
    assert len(small.body) <= 900
