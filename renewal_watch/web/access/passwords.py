"""The password of the pages: its hash in a file, and who guesses is slowed down."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from renewal_watch import files
from renewal_watch.errors import ConfigError
from renewal_watch.settings.web import Web

SHORTEST = 12  # characters of a password
LONGEST = 1000
_N, _R, _P = 2**15, 8, 3  # 32 MiB and a fifth of a second (OWASP's Password Storage Cheat Sheet, scrypt)
_LARGEST = 256 * 1024 * 1024  # bytes that a hash from a file may ask for
_FREE_TRIES = 5  # wrong passwords before the next one must wait …
_WAIT = timedelta(seconds=1)  # … so long at first, doubled with each …
_LONGEST_WAIT = timedelta(seconds=30)  # … up to this; forgotten after ten times as long


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
