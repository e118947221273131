"""Reads the TOML file into frozen settings, or names every fault at once with its key."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec

from renewal_watch import files
from renewal_watch.config.build import build
from renewal_watch.config.checks import crossed
from renewal_watch.config.environment_files import environment_files, read_environment, with_files
from renewal_watch.config.toml import LARGEST_CONFIG, learn_secrets, parsed
from renewal_watch.errors import ConfigError
from renewal_watch.settings.database_url import hide_passwords
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.secrets import SECRETS, absolute
from renewal_watch.settings.values import readable
from renewal_watch.settings.whole import File, Settings
from renewal_watch.text import REDACTOR

DEFAULT_PATH = Path("/etc/renewal-watch/config.toml")


def find(path: str | None) -> Path:
    """The configuration file: option, environment variable, systemd's directory, ``/etc``."""
    if path:
        return Path(path)
    if named := os.environ.get("RENEWAL_WATCH_CONFIG"):
        return Path(named)
    for directory in filter(None, os.environ.get("CONFIGURATION_DIRECTORY", "").split(":")):
        if (Path(directory) / "config.toml").exists():
            return Path(directory) / "config.toml"
    return DEFAULT_PATH


def load(path: Path) -> Settings:
    """The settings in ``path``. Raises ConfigError with all faults."""
    try:
        content, found = files.read(path, LARGEST_CONFIG + 1)
        if len(content) > LARGEST_CONFIG:
            msg = f"is larger than {LARGEST_CONFIG // 2**20} MiB"
            raise ValueError(msg)
        table = parsed(content)
    except FileNotFoundError:
        msg = f"{path} does not exist; write one with: renewal-watch init {path}"
        raise ConfigError([msg]) from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigError([msg]) from None
    except ValueError as error:
        msg = f"{path} {error}"
        raise ConfigError([msg]) from None
    learn_secrets(table)
    faults: list[str] = []
    read = build(File, table, "", faults)
    faults += crossed(table, readable_by_others=bool(stat.S_IMODE(found.st_mode) & 0o077))
    REDACTOR.masks_numbers = read is not None and read.privacy.mask_in_logs
    directory = absolute(read.environments_dir) if read is not None and read.environments_dir is not None else None
    paths: list[Path] = []
    if directory is not None:
        try:
            paths = environment_files(directory)
        except OSError as error:
            faults.append(f"environments_dir: {directory} cannot be read: {error.strerror}")
    if faults or read is None:
        raise ConfigError([REDACTOR.clean(f"{path}: {fault}") for fault in faults])
    settings = _resolved(path, read)
    if directory is None:
        return settings
    return with_files(settings, [read_environment(one) for one in paths])


def _resolved(path: Path, read: File) -> Settings:
    state_dir = _state_dir(read)
    return Settings(
        path=path,
        timezone=read.timezone,
        state_dir=state_dir,
        environments_dir=absolute(read.environments_dir) if read.environments_dir is not None else None,
        **{
            name: getattr(read, name)
            for name in (
                "database",
                "renewals",
                "environments",
                "channels",
                "inventory",
                "rules",
                "reminders",
                "escalation",
                "flapping",
                "templates",
                "canary",
                "privacy",
                "web",
                "oidc",
                "metrics",
                "account",
                "retention",
                "backup",
                "polls",
            )
        },
    )


def _state_dir(read: File) -> Path:
    if given := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    return absolute(read.state_dir or "~/.local/state/renewal-watch")


def json_schema(*, of_environment: bool = False) -> dict[str, Any]:
    """A JSON Schema of the file, or of one file of ``environments_dir``, for editors."""
    if not of_environment:
        return msgspec.json.schema(File)
    schema = msgspec.json.schema(Environment)
    one = schema["$defs"][Environment.__name__]
    one["required"] = [key for key in one["required"] if key != "name"]  # by default the file's own
    return schema


def shown(settings: Settings) -> dict[str, Any]:
    """The resolved settings with their secrets hidden."""
    table: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=readable)
    table["database"]["url"] = hide_passwords(settings.database.url)
    try:
        table["database_url"] = hide_passwords(settings.database_url)
    except ConfigError:
        table["database_url"] = None
    for section, key in SECRETS:
        for one in [table[section]] if isinstance(table[section], dict) else table[section]:
            if one.get(key) is not None:
                one[key] = "***"
    for one in (*table["environments"], *table["channels"], table["oidc"]):
        if one["proxy"]:
            one["proxy"] = re.sub(r"(?<=://)[^@/]*@", "***@", one["proxy"])
    return table
