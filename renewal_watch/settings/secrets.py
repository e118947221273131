"""Where a secret may stand, and reading it."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from renewal_watch.errors import ConfigError
from renewal_watch.settings.values import LOOPBACK, Section
from renewal_watch.text import REDACTOR

CREDENTIAL_STORES = (Path("/etc/credstore"), Path("/run/credstore"))  # of LoadCredential= without a path
_TELLING = 8  # characters of a part of an address that is a secret of its own; shorter ones would blot out words
SECRETS = (
    ("environments", "token"),
    ("environments", "user_token"),
    ("environments", "heartbeat"),
    ("channels", "url"),
    ("channels", "webhook"),
    ("channels", "key"),
    ("web", "calendar_secret"),
    ("web", "key"),
    ("oidc", "client_secret"),
)
SHORTEST_KEY = 24  # bytes; what standardwebhooks.com asks for at least


def absolute(text: str) -> Path:
    """The path with ``~`` replaced; a home that does not exist stays as it is written, and is not found."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def secret_key_faults(
    one: dict[str, Any], key: str, place: str, *, readable_by_others: bool, is_optional: bool = False
) -> list[str]:
    """Faults of a secret: given in two forms, in none, or in a file that others can read."""
    forms = secret_forms(key)
    given = [form for form in forms if one.get(form) is not None]
    if is_optional and not given:
        return []
    if len(given) != 1:
        said = "is missing; give one of" if not given else "only one may be given of"
        return [f"{place}.{key}: {said} {', '.join(forms)}"]
    if given == [key]:
        if readable_by_others:
            return [f"{place}.{key}: others can read this file; run chmod 600 on it, or move the secret to {key}_file"]
        return [f"{place}.{key}: is empty"] if one[key] == "" else []
    return []


def secret_forms(key: str) -> list[str]:
    """The keys that a secret may be given by."""
    return [key, f"{key}_file", f"{key}_env", f"{key}_credential"]


def address(url: str, place: str, is_free: bool) -> str:  # noqa: FBT001 (a key of the configuration)
    """``url`` if alerts may go there. Raises ConfigError; the address itself is a secret and not said."""
    parts = _parts(url, place, is_free, "https://hooks.example.org/in")
    for part in (parts.password, parts.path):  # where a library writes the address in another way
        if part and len(part) >= _TELLING:
            REDACTOR.learn(part)
    return url


def base_address(url: str, place: str, is_free: bool) -> str:  # noqa: FBT001 (a key of the configuration)
    """``url`` without a slash at its end, if an on-call service may be there. It is no secret. Raises ConfigError."""
    parts = _parts(url, place, is_free, "https://alerts.example.org")
    if parts.username is not None or parts.query or parts.fragment:
        msg = f"{place}: write it without user, ? and #, like https://alerts.example.org; what lets in stands in key"
        raise ConfigError([msg])
    return url.rstrip("/")


def _parts(url: str, place: str, is_free: bool, like: str) -> SplitResult:  # noqa: FBT001
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]+", url):
        raise ConfigError([f"{place}: it is no address; write it like {like}"])
    if parts.scheme == "http" and not is_free and not LOOPBACK.match(host):
        msg = f"{place}: plain http could be read on the way; use https, or set allow_insecure_http = true"
        raise ConfigError([msg])
    return parts


def signing_key(text: str, place: str) -> bytes:
    """The bytes of a key: after ``whsec_`` base64 (standardwebhooks.com), else the text itself. Raises ConfigError."""
    if text.startswith("whsec_"):
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except ValueError:
            msg = f"{place}: after whsec_ stands base64; make one with: echo whsec_$(openssl rand -base64 32)"
            raise ConfigError([msg]) from None
    else:
        key = text.encode()
    if len(key) < SHORTEST_KEY:
        msg = f"{place}: it is shorter than {SHORTEST_KEY} bytes; make one with: echo whsec_$(openssl rand -base64 32)"
        raise ConfigError([msg])
    return key


def has_secret(section: Section, key: str) -> bool:
    """Whether a secret is given in any form."""
    return any(getattr(section, form) is not None for form in secret_forms(key))


def read_secret(section: Section, key: str, place: str) -> str:
    """The secret in whichever form it is given, without the line end an editor leaves. Raises ConfigError."""
    plain = getattr(section, key)
    secret = str(plain) if plain is not None else read_given(section, key, place)[0]
    REDACTOR.learn(secret)
    return secret


def read_given(section: Section, key: str, place: str) -> tuple[str, str]:
    """What is given by a file, a variable or a credential, and the key that says so. Raises ConfigError."""
    form = next(form for form in ("file", "env", "credential") if getattr(section, f"{key}_{form}") is not None)
    name = str(getattr(section, f"{key}_{form}"))
    at = f"{place}.{key}_{form}"
    if form == "env":
        secret = os.environ.get(name)
        if secret is None:
            raise ConfigError([f"{at}: the environment variable {name} is not set"])
    else:
        path = absolute(name)
        if form == "credential":
            path = credential(name)
        try:
            if path.exists() and not path.is_file():
                raise ConfigError([f"{at}: {path} is no file"])
            secret = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError([f"{at}: {path} cannot be read: {why}"]) from None
    secret = secret.strip()
    if not secret:
        raise ConfigError([f"{at}: the secret is empty"])
    return secret, at


def credential(name: str) -> Path:
    """Where systemd put a credential; in an administrator's shell, where systemd would take it from."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory:
        return Path(directory) / name
    return next((store / name for store in CREDENTIAL_STORES if (store / name).exists()), CREDENTIAL_STORES[0] / name)
