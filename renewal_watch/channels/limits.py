"""What a channel takes, and how an Apprise URL is read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_LOCAL = {"syslog", "dbus", "glib", "gio", "gnome", "kde", "qt", "macosx", "windows"}  # a screen nobody looks at
NOTES = frozenset({"opsgenie", "jira"})
MAIL = frozenset({"mailto", "mailtos"})
NTFY = frozenset({"ntfy", "ntfys"})
_REFUSED = {
    "optional": "hides failures",
    "redirect": "calls a message delivered that was lost on the way",
    "cc": "adds targets; give each a channel of its own",
    "bcc": "adds targets; give each a channel of its own",
    "retry": "repeats what was delivered in part; renewal-watch tries again by itself",
    "wait": "belongs to retry",
    "overflow": "cuts messages; renewal-watch keeps them within the limit",
    "attach": "reads files and addresses",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service takes, in characters or bytes; a ``title`` of 0 puts the title above the body."""

    body: int
    title: int
    html_as: str = "html"  # the format that HTML is shown in
    is_mail: bool = False


KEPT = re.compile(  # by Python, by those that make requests, and by who writes a time or a path
    "PATH|HOME|LANG|LANGUAGE|LC_.*|TZ|TZDIR|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHON.*"
    "|(?i:https?_proxy|all_proxy|no_proxy)|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|OPENSSL_(CONF|MODULES)"
)


def url_fault(url: str) -> str | None:
    """Why a URL is refused before Apprise sees it, None if it is not."""
    scheme = scheme_of(url)
    if not scheme:
        return "it is not an Apprise URL; write it like slack://… or mailto://…"
    if scheme in _LOCAL:
        return f"{scheme}:// ends on this machine, where nobody may look"
    for key, value in query(url).items():
        if key in _REFUSED:
            return f"{key}= is not allowed: it {_REFUSED[key]}"
        if key == "format" and value.lower() != "text":
            return "format= is not allowed: the channel's own key format says it"
    return None


def scheme_of(url: str) -> str:
    """The scheme of a URL in lower case, empty where it has none."""
    found = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]{0,31}):/", url)
    return found[1].lower() if found else ""


def query(url: str) -> dict[str, str]:
    """The parameters as Apprise reads them: all after the first ``?``, a ``#`` before or in it notwithstanding."""
    pairs = (pair.partition("=") for pair in re.split("[&;]", url.partition("?")[2]))
    return {unquote(key).strip().lower(): unquote(value) for key, _, value in pairs}


def without_pieces(text: str, url: str) -> str:
    """``text`` without any part of ``url`` but its scheme and host: Apprise logs tokens, topics and addresses."""
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
    harmless = {scheme_of(url)}
    if found := re.fullmatch(r"(localhost|\[.*\]|[^:]*\.[^:]*)(?::(\d+))?", place):  # else a token stands there
        harmless |= {place, found[1], found[2] or ""}
    raw = set(re.split(r"[/:@?&=,;#+\s]", url)) | set(re.split(r"[/?&=;,#\s]", rest))
    pieces = {url, rest, *query(url).values(), *raw, *map(unquote, raw), *re.split(r"[/:@?&=,;#+\s]", unquote(url))}
    known = [re.escape(piece) for piece in sorted(pieces - harmless, key=len, reverse=True) if len(piece) >= 4]  # noqa: PLR2004 (shorter ones would blot out ordinary words)
    return re.sub("|".join(known), "***", text, flags=re.IGNORECASE) if known else text
