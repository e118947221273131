"""Who may do what: the password, sessions, forged requests, names of this server, headers of every answer.

There is one password; its hash lies in a file. A session is a signed cookie whose key comes from that file's content: it
outlives a restart, ends when the password changes, and nothing of it is kept here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer, URLSafeSerializer

from renewal_watch import files
from renewal_watch.errors import ConfigError
from renewal_watch.settings.sections import Web
from renewal_watch.text import printable, without_default_port

SHORTEST = 12  # characters of a password
LONGEST = 1000
SESSION = timedelta(hours=12)
COOKIE = "renewal_watch_session"
NOTE_COOKIE = "renewal_watch_note"
NOTE = timedelta(minutes=1)  # a note that no page showed by then is about something else
_N, _R, _P = 2**15, 8, 3  # 32 MiB and a fifth of a second (OWASP's Password Storage Cheat Sheet, scrypt)
_LARGEST = 256 * 1024 * 1024  # bytes that a hash from a file may ask for
_FREE_TRIES = 5  # wrong passwords before the next one must wait …
_WAIT = timedelta(seconds=1)  # … so long at first, doubled with each …
_LONGEST_WAIT = timedelta(seconds=30)  # … up to this; forgotten after ten times as long

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a browser would send its own forms with Origin: null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


# --- the password -----------------------------------------------------------------------------------------------------


def hashed(password: str) -> str:
    """The line of a password file: what it was made with, the salt, the hash."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, _N, _R, _P)
    return f"scrypt$n={_N},r={_R},p={_P}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}\n"


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=_LARGEST + 2**20, dklen=32
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordHash:
    """A password file as it was read."""

    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def read(cls, web: Web) -> PasswordHash:
        """The hash that logins are compared with. Raises ConfigError with what to do."""
        path = web.password_path
        if path is None:
            msg = "web.password_file: is not given, so nobody can log in"
            raise ConfigError([msg])
        try:
            content, found = files.read(path, 1000)
            line = content.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            msg = f"web.password_file: {path} cannot be read: {why}; make it with: renewal-watch web password {path}"
            raise ConfigError([msg]) from None
        if found.st_mode & 0o077 and not _is_credential(path):
            msg = f"web.password_file: others can read {path}; run: chmod 600 {path}"
            raise ConfigError([msg])
        parts = re.fullmatch(r"scrypt\$n=([0-9]{1,8}),r=([0-9]{1,3}),p=([0-9]{1,3})\$([^$]+)\$([^$]+)", line)
        try:
            if parts is None:
                raise ValueError(line)
            n, r, p = (int(parts[place]) for place in (1, 2, 3))
            if n & (n - 1) or not 0 < 128 * n * r * p <= _LARGEST:
                raise ValueError(line)
            salt, digest = (base64.b64decode(parts[place], validate=True) for place in (4, 5))
        except (ValueError, binascii.Error):
            msg = (
                f"web.password_file: {path} holds no hash of a password; make it with: "
                f"renewal-watch web password --force {path}"
            )
            raise ConfigError([msg]) from None
        return cls(n=n, r=r, p=p, salt=salt, digest=digest)

    def is_of(self, password: str) -> bool:
        """Whether it is this password; takes as long for any."""
        made = _scrypt(password[:LONGEST], self.salt, self.n, self.r, self.p)
        return hmac.compare_digest(made, self.digest)

    @property
    def key(self) -> bytes:
        """What sessions are signed with: another one for every password that was ever set."""
        return hashlib.blake2b(self.digest, key=self.salt[:64], person=b"rw-web-session").digest()


def _is_credential(path: Path) -> bool:
    """Whether systemd put it there, for this service alone; it grants by an access list that the mode does not show."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return folder is not None and path.parent == Path(folder)


class Tries:
    """Slows down who guesses: after a few wrong passwords the next one is not looked at before its time.

    For all clients together, for a guesser has many addresses; a password that was right before is never slowed.
    """

    def __init__(self) -> None:
        self._wrong = 0
        self._last: datetime | None = None
        self._salt = secrets.token_bytes(16)
        self._right: bytes | None = None
        self._lock = threading.Lock()  # one hash at a time: each takes 32 MiB

    def wait(self, now: datetime) -> timedelta:
        """How long until a password is looked at again."""
        if self._last is None or self._wrong < _FREE_TRIES:
            return timedelta(0)
        if now < self._last:  # the clock was put back: how long it has been is not known
            return timedelta(0)
        if now - self._last > 10 * _LONGEST_WAIT:
            self._wrong = 0
            return timedelta(0)
        length = min(_LONGEST_WAIT, _WAIT * (1 << min(self._wrong - _FREE_TRIES, 10)))
        return max(timedelta(0), self._last + length - now)

    def is_right(self, password: str, hashed: PasswordHash, now: datetime) -> bool | None:
        """Whether it is the password; None where it was not looked at, for too many wrong ones came before."""
        seen = self._seen(password, hashed)
        if self._right is not None and hmac.compare_digest(seen, self._right):
            return True
        with self._lock:
            if self.wait(now) > timedelta(0):
                return None
            if hashed.is_of(password):
                self._right, self._wrong = seen, 0
                return True
            self._wrong += 1
            self._last = now
            return False

    def _seen(self, password: str, hashed: PasswordHash) -> bytes:
        """Tells one password from another, in this process only, and says nothing of it."""
        text = password.encode("utf-8", "surrogatepass")
        return hmac.digest(self._salt, hashed.digest + hashed.salt + text, "sha256")


# --- sessions and forms -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who gave the password; ``name`` is what they call themselves."""

    name: str
    token: str
    until: datetime

    @property
    def author(self) -> str:
        """Who did what is done, as it is kept."""
        return f"web: {self.name}"


def begun(name: str, now: datetime) -> Session:
    """A new session."""
    return Session(name=printable(name, 60).strip() or "somebody", token=secrets.token_urlsafe(12), until=now + SESSION)


def signed(session: Session, hashed: PasswordHash) -> str:
    """The cookie of a session."""
    said = [session.name, session.token, int(session.until.timestamp())]
    return str(_serializer(hashed, "session").dumps(said))


def session_in(cookie: str, hashed: PasswordHash, now: datetime) -> Session | None:
    """The session of a cookie, None for one that is forged, over, or of another password."""
    try:
        name, token, until = _serializer(hashed, "session").loads(cookie)
        session = Session(name=str(name), token=str(token), until=datetime.fromtimestamp(int(until), tz=now.tzinfo))
    except (BadSignature, ValueError, TypeError, OverflowError):
        return None
    return session if now < session.until else None


def form_token(session: Session, hashed: PasswordHash) -> str:
    """What a form of this session must hold, and no other site can know."""
    return Signer(hashed.key, salt="form", digest_method=hashlib.sha256).get_signature(session.token).decode()


def is_form_of(given: str, session: Session, hashed: PasswordHash) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(given.encode(), form_token(session, hashed).encode())


def note(text: str, *, is_bad: bool, hashed: PasswordHash, now: datetime) -> str:
    """The cookie that carries a sentence to the next page."""
    return str(_serializer(hashed, "note").dumps([text[:1500], is_bad, int((now + NOTE).timestamp())]))


def note_in(cookie: str, hashed: PasswordHash, now: datetime) -> tuple[str, bool] | None:
    """The sentence and whether it is bad news; None for one that was not signed here, or is old."""
    try:
        text, is_bad, until = _serializer(hashed, "note").loads(cookie)
        return (str(text), bool(is_bad)) if now.timestamp() < int(until) else None
    except (BadSignature, ValueError, TypeError):
        return None


def _serializer(hashed: PasswordHash, what: str) -> URLSafeSerializer:
    return URLSafeSerializer(hashed.key, salt=what, signer_kwargs={"digest_method": hashlib.sha256})


# --- where a request comes from ---------------------------------------------------------------------------------------


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


def is_from_own_page(headers: Mapping[str, str]) -> bool:
    """Whether a form was sent by a page of ours, as the browser says; what is no browser says nothing.

    What the browser itself judged (``Sec-Fetch-Site``, which no page can write) goes before a comparison with ``Host``,
    which a proxy may have changed.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    if origin is None:
        return True
    scheme, _, place = origin.lower().partition("://")
    host = headers.get("host", "").lower()
    return without_default_port(scheme, place) == without_default_port(scheme, host)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def own_path(wanted: str) -> str:
    """Where to go after a login: a page of ours, else the first one."""
    return wanted if re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", wanted) else "/"


def basic_password(header: str) -> str | None:
    """The password of an ``Authorization: Basic`` header, whatever the name; None without one."""
    kind, _, given = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        said = base64.b64decode(given.strip(), validate=True).decode("utf-8")
    except ValueError:  # what is not base64, not ASCII, or not text
        return None
    _, colon, password = said.partition(":")
    return password if colon else None
