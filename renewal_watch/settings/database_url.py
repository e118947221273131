"""The address of the database: its checks, and its passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from renewal_watch.settings.secrets import secret_forms
from renewal_watch.text import REDACTOR

_POSTGRESQL = re.compile(  # as SQLAlchemy reads it
    r"postgresql\+psycopg://([^:/?#@\s]*(:(?P<password>[^/?#@\s]*))?@)?(\[[0-9A-Fa-f:.]+\]|[^:/?#@\s]*)(:[0-9]{1,5})?"
    r"(/[^/?#\s]*)?(\?(?P<query>[!-~]*))?"
)
_PORT_OPTION = re.compile(r"[?&]port=(?![0-9]{1,5}(&|$))")  # which is no number
_SECRET_OPTION = re.compile("password|secret", re.IGNORECASE)


def database_faults(database: dict[str, Any], *, readable_by_others: bool) -> Iterator[str]:
    """Faults of ``[database]``."""
    given = [form for form in secret_forms("url") if database.get(form)]
    if len(given) > 1:
        yield f"database.url: only one may be given of {', '.join(given)}"
    url = database.get("url")
    if not isinstance(url, str) or not url:
        return
    if fault := database_fault(url):
        yield f"database.url: {fault}"
    elif readable_by_others and _passwords(url):
        yield (
            "database.url: others can read this file; run chmod 600 on it, or move the URL with its password to url_file"
        )


def database_fault(url: str) -> str | None:
    """Why there can be no database of ours behind ``url``, in words that repeat no password."""
    kind = url.partition(":")[0].lower()
    if kind == "sqlite":
        if re.fullmatch(r"sqlite:///[^?:]+", url):
            return None
        return "write it as sqlite:///PATH (four slashes for an absolute path), without options"
    if re.fullmatch(r"postgres|postgresql(\+\w+)?", kind):
        if not url.startswith("postgresql+psycopg://"):
            return f"begin it with postgresql+psycopg:// instead of {kind}://"
        if _POSTGRESQL.fullmatch(url) and not _PORT_OPTION.search(url):
            return None
        return (
            "write it as postgresql+psycopg://USER:PASSWORD@HOST/DATABASE; in the user and the password, what is no letter "
            "and no digit is written like %40 for @"
        )
    return "write it as sqlite:///PATH for a file or postgresql+psycopg://USER@HOST/DATABASE for a server"


def _passwords(url: str) -> list[str]:
    """The passwords in the URL of a server, as they are written there."""
    parts = _POSTGRESQL.fullmatch(url)
    if parts is None:  # something is wrong with it, and it may be shown for that
        parts = re.match(r"\w[\w+]*://[^:/@]*:(?P<password>.+)@(?P<query>)", url)
    if parts is None:
        return []
    options = (option.partition("=") for option in (parts["query"] or "").split("&"))
    found = [parts["password"], *(value for name, _, value in options if _SECRET_OPTION.search(name))]
    return [one for one in found if one]


def learn_passwords(url: str) -> None:
    """Make the passwords in the URL of a database known to the redactor."""
    for password in _passwords(url):
        REDACTOR.learn(password)
        REDACTOR.learn(unquote(password))


def hide_passwords(url: str) -> str:
    """The URL of a database as it may be shown."""
    for password in _passwords(url):
        url = url.replace(f":{password}@", ":***@").replace(f"={password}", "=***")
    return url
