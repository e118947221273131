"""Makes a message of deliveries, in the channel's format and within its limits. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from itertools import accumulate
from typing import NamedTuple

from renewal_watch.alerts.facts.service_facts import Trial
from renewal_watch.alerts.links import link_to
from renewal_watch.alerts.phrases import instant, severity_word
from renewal_watch.language import _, ngettext, number
from renewal_watch.model.alerts import Alert, Button, Message, Severity
from renewal_watch.notify.message import mail, subject
from renewal_watch.notify.message.fold import Folded, fold
from renewal_watch.text import cut, unmarked

_OLD_NEWS = timedelta(seconds=20)  # less than the first back-off: what a younger message may have overtaken says so
MOST = 10  # alerts of a message that are shown, the most urgent ones, where there are more than
FEW_MORE = 5  # beyond that; the others are counted
_BRIEF = 72  # characters of an alert of which no more is shown
_TITLE = 250  # bytes of a title that stands above the body
_ESCAPES = "&<>\"'"


class Own(NamedTuple):
    """An alert in the user's words: a subject, and a body that is markup already. None leaves the built-in words."""

    subject: str | None = None
    body: str | None = None


def render(
    message_id: str,
    alerts: Sequence[Alert],
    *,
    created_at: datetime,
    now: datetime,
    body_limit: int,
    title_limit: int,
    form: str = "text",
    note: str = "",
    own: Mapping[str, Own] | None = None,
    is_mail: bool = False,
    is_held: bool = False,
    pages: str = "",
    answer: str = "",
) -> Message:
    """One message, most urgent first, within the channel's limits; what does not fit is counted.

    Limits are in bytes of UTF-8 with room for HTML escapes, the strictest way that a service may count.
    A ``title_limit`` of 0 means that the service puts the title above the body. ``form`` is text, markdown or html;
    ``own`` holds the user's words for some alerts, by their keys. A digest stands above the alerts that came with it.
    ``pages`` is where they are, for a link, and ``answer`` the address at which it is acknowledged; they are left out where they
    have no room. ``is_held``: it waited as it was meant to, and is not late.
    HTML by mail is a page with a table, and the text beside it; where it does not fit, it is that of a chat.
    """
    own = own or {}
    folded = fold(alerts)
    digest = folded.digest
    ordered = sorted(folded.current, key=urgency)
    dress = _DRESS[form]
    said = cut("; ".join(filter(None, (_age(created_at, now, len(alerts), is_held=is_held), note))), 300)
    signed = _("message {id}", id=message_id)
    about = [digest] if digest else ordered or list(alerts)
    link = link_to(pages, about)
    footer = _footer(said, link, answer, signed, form, body_limit // 3)
    room = body_limit - _size(footer) - 2
    title = _title([digest] if digest else ordered, own) if digest or ordered else folded.title
    if title_limit:
        title = _fit(title, title_limit)
    else:  # in a short message the title says most; the body must keep room to count the rest
        if form == "markdown":  # which surrounds it with stars
            title = unmarked(title).replace("*", "∗")
        title = _fit(title, min(_TITLE, max(room - 2, 0) // 2))
        room -= _size(title) + 2
    past, room = _past(folded, room, dress, is_alone=not (ordered or digest))
    body = _body(ordered, room, form, own) if digest is None else _with_digest(digest, ordered, room, form, own)
    body = "\n".join(filter(None, (body, *past)))
    body = body.removeprefix("<br/>")  # a heading stands apart from what is above it, and nothing is
    gap = "" if form == "html" else "\n\n"
    whole = f"{body}{gap}{footer}" if body else footer
    plain = ""
    page = (
        _page(title, folded, ordered, own, [*([said] if said else []), signed], pages, link, answer) if is_mail else ""
    )
    if page and form == "html" and _size(page) <= body_limit:
        plain = render(
            message_id,
            alerts,
            created_at=created_at,
            now=now,
            body_limit=body_limit,
            title_limit=title_limit,
            note=note,
            is_held=is_held,
            pages=pages,
            answer=answer,
        ).body
        whole = page
    return Message(
        message_id=message_id,
        title=title,
        body=whole,
        plain=plain,
        size=len(alerts),
        severity=max((alert.severity for alert in ([digest] if digest else []) + ordered), default=Severity.info),
        format=form,
        about=about[0].place,
        buttons=_buttons(answer, link),
    )


def _footer(said: str, link: str, answer: str, signed: str, form: str, room: int) -> str:
    """Why and when it comes, where to go on and to acknowledge, its id: the most of it that has room, and the id in any case."""
    dress = _DRESS[form]
    why = dress("text", said) if said else ""
    where = _address(link, form)
    acts = _("Acknowledge: {address}", address=_address(answer, form)) if answer else ""
    end = dress("text", signed)
    for chosen in ((why, where, acts, end), (where, acts, end), (why, where, end), (where, end), (why, end)):
        footer = ("" if form == "html" else "\n").join(filter(None, chosen))
        if _size(footer) <= room:
            return footer
    return end


def _address(url: str, form: str) -> str:
    """An address that no format reads as markup."""
    if form == "markdown":
        return url.replace("_", "%5F").replace("*", "%2A")
    return f"{escape(url)}<br/>" if url and form == "html" else url


def _buttons(answer: str, link: str) -> tuple[Button, ...]:
    if not answer:
        return ()
    snooze = ngettext("Snooze for {count} day", "Snooze for {count} days", 1)
    acts = (Button(_("Acknowledge"), answer, is_act=True), Button(snooze, f"{answer}?length=1d", is_act=True))
    return (*acts, Button(_("Open"), link, is_act=False)) if link else acts


def _age(created_at: datetime, now: datetime, size: int, *, is_held: bool) -> str:
    """When its words were true, where that is a while ago: "today" may be yesterday."""
    if now - created_at < _OLD_NEWS:
        return ""
    if not is_held:
        return _("found {at}, delivered late", at=instant(created_at))
    return _("first found {at}", at=instant(created_at)) if size > 1 else _("found {at}", at=instant(created_at))


def _past(folded: Folded, room: int, dress: Callable[[str, str], str], *, is_alone: bool) -> tuple[list[str], int]:
    """The lines about what is no news, and the room that they leave; cut where there is nothing else to say."""
    past = [dress("text", line) for line in folded.past]
    size = _size("\n".join(past)) + 1
    if past and 3 * size < room:
        return past, room - size
    return ([dress("text", _fit(" ".join(folded.past), max(room - 10, 0)))] if is_alone else []), room


def _with_digest(digest: Alert, ordered: Sequence[Alert], room: int, form: str, own: Mapping[str, Own]) -> str:
    """A digest above the alerts that came with it; they have half of the room at the least."""
    dress = _DRESS[form]
    words = own.get(digest.key, _BUILT_IN).body
    above = _sheet(digest.text, room, dress) if words is None else words
    below = _body(ordered, max(room - _size(above) - 1, room // 2), form, own)
    if words is None or _size(above) + _size(below) + 1 > room:
        above = _sheet(digest.text, room - _size(below) - 1, dress)
    return "\n".join(filter(None, (above, below)))


def _page(
    title: str,
    folded: Folded,
    ordered: Sequence[Alert],
    own: Mapping[str, Own],
    footer: Sequence[str],
    pages: str,
    link: str,
    answer: str,
) -> str:
    """The message as an HTML mail."""
    shown = ordered if len(ordered) <= MOST + FEW_MORE else ordered[:MOST]
    return mail.page(
        title,
        shown,
        {key: words for key, one in own.items() if (words := one.body) is not None},
        sheet=folded.digest.text if folded.digest else "",
        rest=_rest(ordered[len(shown) :]) if len(shown) < len(ordered) else "",
        past=folded.past,
        footer=footer,
        pages=pages,
        link=link,
        answer=answer,
    )


def _text(role: str, text: str) -> str:
    return f"• {text}" if role == "item" else text


def _markdown(role: str, text: str) -> str:
    line = unmarked(text)
    return f"**{line}**" if role == "heading" else f"- {line}" if role == "item" else line


def _html(role: str, text: str) -> str:
    line = escape(text)
    if role == "heading":
        return f"<br/><b>{line}</b><br/>"
    return f"{'• ' if role == 'item' else ''}{line}<br/>"


# How a line looks in each format. Few tags: chats that take HTML know hardly more than these.
_DRESS: dict[str, Callable[[str, str], str]] = {"text": _text, "markdown": _markdown, "html": _html}


def _sheet(text: str, room: int, dress: Callable[[str, str], str]) -> str:
    """The lines of a digest, as many as fit."""
    lines = []
    for line in text.split("\n"):
        role = "item" if line.startswith("• ") else "heading" if line.isupper() else "text"
        lines.append(dress(role, line.removeprefix("• ")) if line else "")
    whole = "\n".join(lines)
    if _size(whole) <= room:
        return whole
    cut = dress("text", _("… (cut: renewal-watch status shows all)"))
    sums = list(accumulate(_size(line) + 1 for line in lines))
    fitting = bisect_right(sums, room - _size(cut))
    return "\n".join((*lines[:fitting], cut)) if _size(cut) <= room else ""


def urgency(alert: Alert) -> tuple[int, int, str, str, str]:
    """Sorts the most urgent first."""
    left = 10_000 if alert.days_left is None else alert.days_left
    return (-alert.severity, left, alert.kind, alert.number or "", alert.key)


def _title(ordered: Sequence[Alert], own: Mapping[str, Own]) -> str:
    """The user's subject of the first, and how many others there are; else ours."""
    written = own.get(ordered[0].key, _BUILT_IN).subject
    if not written:
        return subject.subject(ordered)
    rest = Counter(subject.group_of(alert) for alert in ordered[1:])
    others = ", ".join(f"{number(count)} {group}" for group, count in rest.most_common())
    return _("{subject}; and {others}", subject=written, others=others) if rest else written


_BUILT_IN = Own()


def _body(ordered: Sequence[Alert], room: int, form: str, own: Mapping[str, Own]) -> str:
    """As many alerts as fit, under the name of their severity; the first one is cut rather than left out.

    Where the user's words leave no room for all that is critical, the built-in ones are used if they hold more.
    """
    body, told = _fitting(ordered, room, form, own)
    if own and told < sum(alert.severity == Severity.critical for alert in ordered):
        plainly, more = _fitting(ordered, room, form, {})
        return plainly if more > told else body
    return body


def _fitting(ordered: Sequence[Alert], room: int, form: str, own: Mapping[str, Own]) -> tuple[str, int]:
    """The lines that fit, and how many alerts they tell."""
    dress = _DRESS[form]
    lines: list[str] = []
    sums: list[int] = []
    used = 0
    heading: Severity | None = None
    shown = ordered if len(ordered) <= MOST + FEW_MORE else ordered[:MOST]
    for alert in shown:
        written = own.get(alert.key, _BUILT_IN).body
        line = dress("item", alert.text) if written is None else f"{written}<br/>" if form == "html" else written
        if alert.severity != heading:
            heading = alert.severity
            line = f"{chr(10) if lines else ''}{dress('heading', severity_word(heading).upper())}\n{line}"
        used += _size(line) + 1
        if used > room + 1:
            break
        lines.append(line)
        sums.append(used)
    else:
        if len(shown) == len(ordered):
            return "\n".join(lines), len(lines)
    is_brief = 3 * _size(dress("text", _rest(ordered))) > room
    reserve = _size(dress("text", _rest(ordered, is_brief=is_brief))) + 1  # no part of them has a longer line
    fitting = bisect_right(sums, room - reserve + 1)
    rest = dress("text", _rest(ordered[fitting:], is_brief=is_brief))
    if fitting:
        return "\n".join((*lines[:fitting], rest)), fitting
    first = ordered[0]
    top = f"{dress('heading', severity_word(first.severity).upper())}\n"
    text = unmarked(first.text) if form == "markdown" else first.text
    start = _fit(text, room - (reserve if len(ordered) > 1 else 0) - _size(top) - _size(dress("item", "")))
    if len(start) < _BRIEF:
        return (rest if _size(rest) <= room else ""), 0
    lines = [f"{top}{dress('item', start)}"]
    lines += [dress("text", _rest(ordered[1:], is_brief=is_brief))] * (len(ordered) > 1)
    return "\n".join(lines), 1


def _rest(alerts: Sequence[Alert], *, is_brief: bool = False) -> str:
    """How many more there are and what they are, in few words where there is little room."""
    if is_brief:
        return ngettext("… and {count} more", "… and {count} more", len(alerts))
    where = "incidents" if all(alert.course for alert in alerts) else "alerts"  # a mere event opens none
    return ngettext(
        "… and {count} more: {kinds}; see {command}",
        "… and {count} more: {kinds}; see {command}",
        len(alerts),
        kinds=subject.counted(alerts),
        command=f"renewal-watch {where}",
    )


def _size(text: str) -> int:
    """Bytes of ``text``, each character that HTML escapes counted as its longest escape."""
    return len(text.encode()) + 5 * sum(text.count(c) for c in _ESCAPES)


def _fit(text: str, room: int) -> str:
    """``text`` cut to at most ``room`` as counted by ``_size``; nothing where not even an ellipsis has room."""
    if _size(text) <= room:
        return text
    left = room - _size("…")
    for end, character in enumerate(text):
        left -= _size(character)
        if left < 0:
            return text[:end] + "…" if room >= _size("…") else ""
    return text  # not reached: the whole of it was too long


def test_alert(channel: str, now: datetime) -> Alert:
    """The marked alert that ``test-channel`` sends."""
    return Alert(
        key=f"test/{channel}/{now.isoformat()}",
        kind="watch.recovered",
        severity=Severity.info,
        environment="",
        facts=Trial(channel),
    )
