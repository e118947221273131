"""Where a request comes from and what it calls this server: through which proxies, by which name, from whose page. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from renewal_watch.settings.web import Web
from renewal_watch.text import without_default_port


class Place(NamedTuple):
    """From where a request comes, as far as that is believed.

    ``address`` is that of the client, empty on a unix socket; ``host`` what it calls this server, None where that is not one
    name; ``neighbour_is_trusted``: what the neighbour says of its client is believed.
    """

    address: str
    scheme: str
    host: str | None
    neighbour_is_trusted: bool
    direct_host: str | None = None  # what the neighbour itself calls this server, where it says what its client does

    def origin(self, way: str) -> str:
        """From where something is done by ``way``, as the audit log keeps it."""
        return f"{way}, {self.address}" if self.address else way


def place_of(headers: Headers, neighbour: str, scheme: str, web: Web) -> Place:
    """The client behind the proxies that are trusted.

    Each proxy adds its neighbour at the end of ``X-Forwarded-For``; so it is read from there, as long as those who wrote it are
    trusted. The other headers are the last proxy's own. Of one that is not trusted nothing is read.
    """
    hosts = headers.getlist("host")
    host = hosts[0] if len(hosts) == 1 else None
    if not web.trusts(neighbour):
        return Place(neighbour, scheme, host, neighbour_is_trusted=False)
    address = neighbour
    for one in reversed(_listed(headers, "x-forwarded-for")):
        if not _is_address(one):
            break
        address = one
        if not web.trusts(one):
            break
    said = _listed(headers, "x-forwarded-proto")[-1:]
    forwarded = _listed(headers, "x-forwarded-host")[-1:]
    return Place(
        address,
        said[0] if said and said[0] in ("http", "https") else scheme,
        forwarded[0] if forwarded and host is not None else host,
        neighbour_is_trusted=True,
        direct_host=host if forwarded else None,
    )


def _listed(headers: Headers, name: str) -> list[str]:
    return [one for line in headers.getlist(name) for part in line.split(",") if (one := part.strip())]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def own_hosts(web: Web) -> frozenset[str]:
    """The names by which this server may be called."""
    named = {"localhost", "127.0.0.1", "[::1]", *(host.lower() for host in web.hosts)}
    if public := urlsplit(web.base).hostname:
        named.add(f"[{public}]" if ":" in public else public)
    if web.socket_path is None:
        host = web.address[0].lower()
        if host not in ("0.0.0.0", "::"):  # noqa: S104 (these are no names)
            named.add(f"[{host}]" if ":" in host else host)
    return frozenset(named)


def is_own_host(header: str, allowed: Iterable[str]) -> bool:
    """Whether a Host header names this server: another one is a page elsewhere whose name was pointed here."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:[0-9]{1,5})?", header)
    if found is None:
        return False
    host = found[1].lower().rstrip(".")
    return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in allowed)


def is_from_own_page(headers: Mapping[str, str], place: Place, public: str = "") -> bool:
    """Whether a form was sent by a page of ours, as the browser says; what is no browser says nothing.

    What the browser itself judged (``Sec-Fetch-Site``, which no page can write) goes before a comparison with the name of this
    server, which a proxy may have changed; ``public`` is the address that people know.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, _, name = origin.lower().partition("://")
    known = urlsplit(public)
    if (scheme, without_default_port(scheme, name)) == (
        known.scheme,
        without_default_port(known.scheme, known.netloc.lower()),
    ):
        return True
    return without_default_port(scheme, name) == without_default_port(scheme, (place.host or "").lower())


def own_path(wanted: str) -> str:
    """Where to go after a login: a page of ours, else the first one."""
    return wanted if re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", wanted) else "/"
