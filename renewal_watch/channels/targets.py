"""Where a channel's messages go, as the audit log keeps it: who or which host, and nothing that opens a door. Pure.

A mail's recipients are named, for they are the point of it. Of most other services the address is a token: a host is named where
each form of its URL that Apprise documents (2.2, the templates of its plugins) has a host in that place, and it looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from renewal_watch.channels.limits import MAIL, query, scheme_of
from renewal_watch.text import printable

LONGEST = 300  # characters
HOSTED = frozenset(  # and a second name with an s, for TLS
    {
        *(
            "amqp",
            "apprise",
            "bark",
            "deltachat",
            "emby",
            "enigma2",
            "evolution",
            "flowtriq",
            "form",
            "goalert",
            "gorush",
        ),
        *("gotify", "growl", "hassio", "http", "humhub", "infobip", "irc", "jellyfin", "json", "kodi", "mastodon"),
        *("misskey", "mmost", "mqtt", "ncloud", "nctalk", "ntfy", "onebot", "parsep", "pinglet", "pjet", "rocket"),
        *("rsyslog", "session", "signal", "smpp", "smseagle", "synology", "wechat", "workflow", "xbmc", "xmatters"),
        *("xml", "xmpp"),
    }
)
_HOST = re.compile(r"(localhost|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\.?)(?::\d+)?")
_ADDRESS = re.compile(r"[^\s<>,;:/?#@\"']+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


def target_of_url(url: str) -> str:
    """Of an Apprise URL: a mail's recipients, a host, or the scheme alone."""
    scheme = scheme_of(url)
    if scheme in MAIL:
        return printable(", ".join(_recipients(url)), LONGEST) or scheme
    place = re.split(r"[/?#]", url.partition("://")[2])[0].rpartition("@")[2]
    found = _HOST.fullmatch(place)
    if found is None or not {scheme, scheme.removesuffix("s")} & HOSTED:
        return scheme
    return printable(f"{scheme}://{found[1]}", LONGEST)


def target_of_webhook(url: str) -> str:
    """Of a webhook: scheme, host and port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:  # what was sent must not fail for how it is called
        return scheme_of(url)
    return printable(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}", LONGEST)


def target_of_command(command: Sequence[str]) -> str:
    """Of a command: its path, without its arguments."""
    return printable(command[0], LONGEST)


def _recipients(url: str) -> list[str]:
    """The addresses in path and ``to=``; without any a mail goes to its own sender."""
    rest = re.split(r"[?#]", url.partition("://")[2])[0]
    place, _, path = rest.partition("/")
    asked = query(url)
    named = _ADDRESS.findall(unquote(path)) + _ADDRESS.findall(asked.get("to", ""))
    if named:
        return list(dict.fromkeys(named))
    sender = _ADDRESS.findall(asked.get("from", ""))
    user, has_user, host = place.rpartition("@")
    name = unquote(user.partition(":")[0])
    own = name if "@" in name else f"{name}@{host.partition(':')[0]}" if has_user else ""
    return sender or _ADDRESS.findall(own)
