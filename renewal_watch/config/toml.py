"""Reads a TOML file, and learns the secrets in it before anything can quote them."""

from __future__ import annotations

import tomllib
from typing import Any

from renewal_watch.settings.database_url import learn_passwords
from renewal_watch.settings.secrets import SECRETS
from renewal_watch.text import REDACTOR

LARGEST_FILE = 2**20  # bytes of a file of environments_dir
LARGEST_CONFIG = 16 * 2**20  # bytes of the configuration itself


def parsed(content: bytes) -> dict[str, Any]:
    """The tables of a file. Raises ValueError with the rest of a sentence that begins with the file."""
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))  # an editor of Windows begins with a mark
    except UnicodeDecodeError:
        msg = "is not UTF-8 text"
        raise ValueError(msg) from None
    except ValueError as error:
        msg = f"is not TOML: {error}"
        raise ValueError(msg) from None
    except RecursionError:
        msg = "is nested too deeply to be a configuration"
        raise ValueError(msg) from None
    _known_only_as_text(table)
    return table


def _known_only_as_text(table: dict[str, Any]) -> None:
    """Refuse characters that no path, name or address has. Raises ValueError with the rest of a sentence."""
    for value in table.values():
        if isinstance(value, str) and "\0" in value:
            msg = "is not TOML: a value holds the character NUL"
            raise ValueError(msg)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _known_only_as_text(inner)


def learn_secrets(table: dict[str, Any]) -> None:
    """Teach the redactor every secret that stands in the file itself."""
    database = table.get("database")
    if isinstance(database, dict) and isinstance(database.get("url"), str):
        learn_passwords(database["url"])
    for section, key in SECRETS:
        tables = table.get(section)
        for one in tables if isinstance(tables, list) else [tables]:
            if isinstance(one, dict) and isinstance(one.get(key), str) and not one[key].endswith("://"):
                REDACTOR.learn(one[key])
            if isinstance(one, dict) and isinstance(one.get("proxy"), str) and "@" in one["proxy"]:
                REDACTOR.learn(one["proxy"].rpartition("@")[0].rpartition("/")[2])
