"""A message as an HTML mail: a table with the severity in colour, in light and dark, readable on a phone. Pure.

Mail programs know little CSS: what must hold stands in the elements themselves; what a narrow or dark screen changes stands in
a style sheet that some leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from renewal_watch.alerts.links import path_of
from renewal_watch.alerts.phrases import severity_word
from renewal_watch.language import _, language
from renewal_watch.model.alerts import Alert, Severity

_COLOURS = {
    Severity.critical: ("#a1151b", "#fde7e6"),
    Severity.warning: ("#744600", "#fcefd3"),
    Severity.info: ("#3a4556", "#e8ecf1"),
}
_SHEET = (
    ":root{color-scheme:light dark;supported-color-schemes:light dark}"
    "@media (max-width:480px){.rw td{display:block!important;width:auto!important;border-top:0!important}}"
    "@media (prefers-color-scheme:dark){body,.rw{background:#11151b!important;color:#e5eaf1!important}"
    ".rw td{border-top-color:#343e4b!important}.rw .more{color:#a5b0be!important}"
    ".rw .critical{color:#ffa5a0!important;background:#451818!important}"
    ".rw .warning{color:#f4c673!important;background:#392a0b!important}"
    ".rw .info{color:#c6cfdb!important;background:#2a333f!important}}"
)
_FONT = "font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif"
_CELL = "padding:8px 10px;vertical-align:top;border-top:1px solid #d5dae1"


def page(
    title: str,
    alerts: Sequence[Alert],
    own: Mapping[str, str],
    *,
    sheet: str,
    rest: str,
    past: Sequence[str],
    footer: Sequence[str],
    pages: str = "",
    link: str = "",
    answer: str = "",
) -> str:
    """The whole document: a digest's ``sheet`` of lines, the ``alerts``, what is left out or over, and the footer.

    ``own`` are the user's words, which are markup, by the keys of alerts.
    """
    rows = "".join(_row(alert, own.get(alert.key), pages) for alert in alerts)
    table = (
        f'<table role="presentation" cellspacing="0" style="width:100%;border-collapse:collapse">{rows}</table>'
        if rows
        else ""
    )
    more = "".join(
        f'<p class="more" style="color:#545f6d;margin:8px 0">{escape(line)}</p>' for line in (rest, *past) if line
    )
    end = "<br>".join(map(escape, footer))
    if link:
        address = escape(link)
        end = f'<a href="{address}" style="color:inherit">{address}</a><br>{end}'
    if answer:
        said = escape(_("Acknowledge"))
        look = "display:inline-block;padding:6px 14px;border-radius:6px;background:#1d4f91;color:#ffffff;text-decoration:none"
        end = f'<a class="act" href="{escape(answer)}" style="{look}">{said}</a><br><br>{end}'
    return (
        f'<!doctype html><html lang="{language()}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{_SHEET}</style></head>"
        f'<body style="margin:0;padding:12px;{_FONT};color:#1b2330;background:#ffffff"><div class="rw" style="max-width:720px">'
        f"{_sheet(sheet)}{table}{more}"
        f'<p class="more" style="color:#545f6d;font-size:13px;margin:16px 0 0">{end}</p></div></body></html>'
    )


def _row(alert: Alert, own: str | None, pages: str) -> str:
    name = alert.severity.name
    text, ground = _COLOURS[alert.severity]
    look = f"color:{text};background:{ground};padding:1px 8px;border-radius:9px;font-size:13px"
    pill = f'<span class="{name}" style="{look}">{severity_word(alert.severity)}</span>'
    place = f' <span class="more" style="color:#545f6d">{escape(alert.environment)}</span>' if alert.environment else ""
    words = escape(alert.text) if own is None else own
    head = f"<strong>{escape(alert.headline)}</strong>"
    if pages:
        head = f'<a href="{escape(pages + path_of(alert))}" style="color:inherit">{head}</a>'
    return (
        f'<tr><td style="{_CELL};width:36%;border-left:4px solid {text}">{pill}{place}<br>{head}</td>'
        f'<td style="{_CELL}">{words}</td></tr>'
    )


def _sheet(text: str) -> str:
    """The lines of a digest: headings, and lists of items."""
    parts: list[str] = []
    is_list = False
    dress: Callable[[str], str]
    for line in text.split("\n"):
        is_item = line.startswith("• ")
        if is_item != is_list:
            parts.append('<ul style="margin:4px 0;padding-left:20px">' if is_item else "</ul>")
            is_list = is_item
        if is_item:
            parts.append(f"<li>{escape(line.removeprefix('• '))}</li>")
        elif line:
            dress = _heading if line.isupper() else _paragraph
            parts.append(dress(line))
    return "".join([*parts, "</ul>" * is_list])


def _heading(line: str) -> str:
    return f'<h2 style="font-size:13px;letter-spacing:0.04em;margin:16px 0 4px">{escape(line)}</h2>'


def _paragraph(line: str) -> str:
    return f'<p style="margin:4px 0">{escape(line)}</p>'
