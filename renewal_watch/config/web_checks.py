"""Faults of ``[web]`` and ``[oidc]`` that no single key shows. Each is a sentence with its key."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from renewal_watch.config.check_parts import proxy_faults, texts
from renewal_watch.settings.secrets import secret_forms, secret_key_faults
from renewal_watch.settings.values import LOOPBACK, duration
from renewal_watch.settings.web import GROUP, LONGEST_LINK, UNIX, Web

OWN = frozenset(  # what the paths of the pages begin with
    {
        *("alerts", "answer", "api", "audit", "calendar", "changes", "do", "health", "healthz", "incidents"),
        *("login", "logout", "metrics", "numbers", "readyz", "static"),
    }
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_UNTRUSTED = {"host", "cookie", "authorization", "origin", "content-type", "content-length"}


def web_faults(table: dict[str, Any], *, readable_by_others: bool) -> Iterator[str]:
    """Faults of the pages, and of who may come in."""
    web, oidc = (one if isinstance(one := table.get(name), dict) else {} for name in ("web", "oidc"))
    for key in ("calendar_secret", "key"):
        yield from secret_key_faults(web, key, "web", readable_by_others=readable_by_others, is_optional=True)
    has_key = _is_given(web, secret_forms("key"))
    has_password = _is_given(web, ("password_file", "password_credential"))
    can_sign_in = has_password or bool(oidc) or web.get("user_header") is not None
    if all(web.get(key) is not None for key in ("password_file", "password_credential")):
        yield "web.password_file: only one may be given of password_file, password_credential"
    yield from _place_faults(web, can_sign_in=can_sign_in)
    if web.get("login_to_read") and not can_sign_in:
        yield (
            "web.login_to_read: it needs a password_file, [oidc] or user_header; make a password with: "
            "renewal-watch web password FILE"
        )
    yield from _sign_in_faults(web, has_oidc=bool(oidc))
    if oidc:
        yield from _oidc_faults(oidc, web, has_key=has_key, readable_by_others=readable_by_others)


def _is_given(table: dict[str, Any], keys: tuple[str, ...] | list[str]) -> bool:
    return any(table.get(key) is not None for key in keys)


def _place_faults(web: dict[str, Any], *, can_sign_in: bool) -> Iterator[str]:
    """Where the pages are, and by which names."""
    listen = web.get("listen", Web().listen)
    if isinstance(listen, str):
        if not re.fullmatch(r"unix:/[^\0]+|(\[[0-9A-Fa-f:.]+\]|[^:\s]+):[0-9]{1,5}", listen) or (
            not listen.startswith("unix:") and not 0 <= int(listen.rpartition(":")[2]) <= 65_535  # noqa: PLR2004 (ports)
        ):
            yield f"web.listen: {listen!r} is no address; write it like 127.0.0.1:9280, [::1]:9280 or unix:/run/x.sock"
        elif not Web(listen=listen).is_local and not can_sign_in:
            yield (
                f"web.listen: {listen} can be reached from other machines, which needs a password_file, [oidc] or "
                f"user_header; make a password with: renewal-watch web password FILE"
            )
    public = web.get("public_url")
    if isinstance(public, str) and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+/?", public):
        yield (
            "web.public_url: it is no address of the pages; write it without a path, like https://watch.example.org, "
            "and a path as base_path"
        )
    base = web.get("base_path")
    if isinstance(base, str) and base and not re.fullmatch(r"(/[A-Za-z0-9~-][A-Za-z0-9._~-]*)+/?", base):
        yield f"web.base_path: {base!r} is no path; write it like /renewals"
    elif isinstance(base, str) and base.strip("/").partition("/")[0] in OWN:
        yield f"web.base_path: {base!r} begins like a page; take another one, such as /renewals"
    length = web.get("links_for")
    if isinstance(length, str) and re.fullmatch("[1-9][0-9]{0,5}[smhd]", length) and duration(length) > LONGEST_LINK:
        yield f"web.links_for: {length} is no time for a link; write one up to {LONGEST_LINK.days}d"
    for host in texts(web.get("hosts")):
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]", host):
            yield f"web.hosts: {host!r} is no name of a host; write it without scheme, port and path, like watch.example.org"


def _sign_in_faults(web: dict[str, Any], *, has_oidc: bool) -> Iterator[str]:
    """Proxies that are believed, and who may do what of those that they or an issuer vouch for."""
    proxies = texts(web.get("trusted_proxies"))
    for one in proxies:
        if one != UNIX and (fault := _network_fault(one)):
            yield f"web.trusted_proxies: {fault}"
    for key in ("user_header", "group_header"):
        name = web.get(key)
        if isinstance(name, str) and (not _HEADER.fullmatch(name) or name.lower() in _UNTRUSTED):
            yield f"web.{key}: {name!r} is no header of a proxy; write it like X-Forwarded-User"
    if web.get("user_header") is not None and not proxies:
        yield "web.user_header: it is believed of trusted_proxies only; name the proxy's address there, or unix for the socket"
    if web.get("group_header") is not None and web.get("user_header") is None:
        yield "web.group_header: it belongs to user_header, which is missing"
    is_signed_in = has_oidc or web.get("user_header") is not None
    for key in ("readers", "actors"):
        for one in texts(web.get(key)):
            if not one.removeprefix(GROUP).strip():
                yield f"web.{key}: {one!r} names nobody; write a name, a pattern like *@example.org, or {GROUP}ops"
        if texts(web.get(key)) and not is_signed_in:
            yield f"web.{key}: it is for those who sign in by [oidc] or user_header; with the password everybody may act"


def _network_fault(text: str) -> str | None:
    try:
        found = ipaddress.ip_network(text)
    except ValueError as error:
        return f"{text!r} is no address or network ({error}); write it like 127.0.0.1, 10.1.0.0/16 or {UNIX}"
    return f"{text} is everybody, whose word is worth nothing" if found.prefixlen == 0 else None


def _oidc_faults(
    oidc: dict[str, Any], web: dict[str, Any], *, has_key: bool, readable_by_others: bool
) -> Iterator[str]:
    yield from secret_key_faults(oidc, "client_secret", "oidc", readable_by_others=readable_by_others)
    yield from proxy_faults(oidc, "oidc")
    for key in ("issuer", "client_id"):
        if not oidc.get(key):
            yield f"oidc.{key}: is missing; the provider shows it with the client that you register there"
    issuer = oidc.get("issuer")
    if isinstance(issuer, str) and issuer:
        parts = urlsplit(issuer)
        if not re.fullmatch(r"https?://[!-~]+", issuer) or not parts.hostname or parts.query or parts.fragment:
            yield f"oidc.issuer: {issuer!r} is no address; write it like https://login.example.org/realms/ours"
        elif parts.scheme == "http" and not LOOPBACK.match(parts.hostname):
            yield "oidc.issuer: plain http could be changed on the way; use https"
    scopes = oidc.get("scopes")
    if scopes is not None and "openid" not in texts(scopes):
        yield 'oidc.scopes: without "openid" nobody is signed in; add it'
    if not has_key:
        yield "oidc: it needs a key in [web], which signs who signed in; make one with: renewal-watch web key FILE"
    if not isinstance(web.get("public_url"), str):
        yield "oidc: it needs public_url in [web], where people come back to after they signed in"
    if web.get("readers") is None:
        yield (
            "web.readers: is missing; say who may read of all whom the issuer knows, such as "
            '["*@example.org", "group:ops"]; ["*"] is everybody'
        )
