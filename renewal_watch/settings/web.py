"""The sections of the pages: where they are, who may come in, and how people sign in elsewhere."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from renewal_watch.errors import ConfigError
from renewal_watch.language import Language
from renewal_watch.settings.secrets import absolute, credential, has_secret, read_secret, signing_key
from renewal_watch.settings.values import LOOPBACK, Duration, Section

GROUP = "group:"  # what a group begins with in ``readers`` and ``actors``
LONGEST_LINK = timedelta(days=90)  # that a link to acknowledge may count
UNIX = "unix"  # a proxy that comes through the unix socket


class Web(Section, frozen=True):
    """``[web]``: the pages, and what other programs read from them."""

    listen: str = "127.0.0.1:9280"
    public_url: str | None = None
    base_path: str = ""
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    password_file: str | None = None
    password_credential: str | None = None
    login_to_read: bool = False
    user_header: str | None = None
    group_header: str | None = None
    readers: tuple[str, ...] | None = None
    actors: tuple[str, ...] = ()
    key: str | None = None
    key_file: str | None = None
    key_env: str | None = None
    key_credential: str | None = None
    links_for: Duration = "7d"
    language: Language = "en"
    calendar_secret: str | None = None
    calendar_secret_file: str | None = None
    calendar_secret_env: str | None = None
    calendar_secret_credential: str | None = None

    @property
    def under(self) -> str:
        """What stands before every path of the pages; empty where they have a host for themselves."""
        return self.base_path.rstrip("/")

    @property
    def base(self) -> str:
        """What the addresses in messages begin with; empty where they have none."""
        return self.public_url.rstrip("/") + self.under if self.public_url else ""

    @property
    def socket_path(self) -> Path | None:
        """The unix socket to listen on, None for an address."""
        kind, _, path = self.listen.partition(":")
        return Path(path) if kind == "unix" else None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on; of no meaning with a unix socket."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.socket_path is not None or LOOPBACK.match(self.address[0]) is not None

    @property
    def password_path(self) -> Path | None:
        """Where the hash of the password is; None where nobody can log in with one."""
        if self.password_credential is not None:
            return credential(self.password_credential)
        return None if self.password_file is None else absolute(self.password_file)

    def trusts(self, address: str) -> bool:
        """Whether what a neighbour says of others is believed; ``address`` is empty for one of the unix socket."""
        if not address:
            return UNIX in self.trusted_proxies
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in ipaddress.ip_network(one) for one in self.trusted_proxies if one != UNIX)

    def lets_read(self, name: str, groups: Iterable[str]) -> bool:
        """Whether somebody who signed in elsewhere may read."""
        return self.readers is None or _is_among(self.readers, name, groups) or self.lets_act(name, groups)

    def lets_act(self, name: str, groups: Iterable[str]) -> bool:
        """Whether somebody who signed in elsewhere may act."""
        return _is_among(self.actors, name, groups)

    def groups_of(self, groups: Iterable[str]) -> tuple[str, ...]:
        """Those of somebody's groups that ``readers`` and ``actors`` speak of."""
        those = (*(self.readers or ()), *self.actors)
        return tuple(one for one in dict.fromkeys(groups) if _is_among(those, "", [one]))

    def read_key(self) -> bytes | None:
        """What signs the links of messages and who signed in elsewhere, read now; None without one. Raises ConfigError."""
        return signing_key(read_secret(self, "key", "web"), "web.key") if has_secret(self, "key") else None

    def read_calendar_secret(self) -> str | None:
        """The secret part of the calendar's address, read now; None without one. Raises ConfigError."""
        if not has_secret(self, "calendar_secret"):
            return None
        secret = read_secret(self, "calendar_secret", "web")
        if not re.fullmatch(r"[A-Za-z0-9._~-]{16,}", secret):
            msg = (
                "web.calendar_secret: it has 16 characters or more, of those that an address can hold; make one with: "
                "openssl rand -hex 16"
            )
            raise ConfigError([msg])
        return secret


class Oidc(Section, frozen=True):
    """``[oidc]``: people sign in to the pages at an OpenID Connect provider."""

    issuer: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_secret_file: str | None = None
    client_secret_env: str | None = None
    client_secret_credential: str | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    name_claim: str = "email"
    groups_claim: str = "groups"
    ca_file: str | None = None
    proxy: str | None = None

    @property
    def is_used(self) -> bool:
        """Whether anybody can sign in so."""
        return self.issuer is not None

    def read_client_secret(self) -> str:
        """The secret of this client, read now. Raises ConfigError."""
        return read_secret(self, "client_secret", "oidc")


def _is_among(those: Sequence[str], name: str, groups: Iterable[str]) -> bool:
    """Whether patterns name somebody: by name, as in ``*@example.org``, or by a group, as in ``group:ops``."""
    names = [one for one in those if not one.startswith(GROUP)]
    if name and any(fnmatch.fnmatchcase(name.casefold(), one.casefold()) for one in names):
        return True
    wanted = [one.removeprefix(GROUP) for one in those if one.startswith(GROUP)]
    return any(group in wanted for group in groups)
