"""Reads the TOML file into frozen settings, or names every fault at once with its key.

Unknown keys are refused. Secrets are read when they are used, so that a replaced file counts from the next poll on;
every secret read is made known to the redactor.

Environments may also come from a directory, a file each. A fault of one file is no fault of the configuration: the others
hold, ``Settings.broken`` has it, and ``environments.Directory`` follows the files while a process runs.
"""

from __future__ import annotations

import base64
import difflib
import fnmatch
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from renewal_watch import files, matching
from renewal_watch.errors import ConfigError, UsageError
from renewal_watch.model import KINDS, Days, Match, Name, Policy, Record, Rule, Severity, Texts
from renewal_watch.text import REDACTOR

DEFAULT_PATH = Path("/etc/renewal-watch/config.toml")
_JARGON = {  # of msgspec, in the words of TOML
    " | null": "",
    "bool | int | float | str": "text, a number, true or false",
    "array of length >= 1": "a list with at least one value",
    "array": "a list",
    "object": "a table",
    "str": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}
CREDENTIAL_STORES = (Path("/etc/credstore"), Path("/run/credstore"))  # of LoadCredential= without a path
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds
_LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$")
_POSTGRESQL = re.compile(  # as SQLAlchemy reads it
    r"postgresql\+psycopg://([^:/?#@\s]*(:(?P<password>[^/?#@\s]*))?@)?(\[[0-9A-Fa-f:.]+\]|[^:/?#@\s]*)(:[0-9]{1,5})?"
    r"(/[^/?#\s]*)?(\?(?P<query>[!-~]*))?"
)
_PORT_OPTION = re.compile(r"[?&]port=(?![0-9]{1,5}(&|$))")  # which is no number
_SECRET_OPTION = re.compile("password|secret", re.IGNORECASE)
_TELLING = 8  # characters of a part of an address that is a secret of its own; shorter ones would blot out words
_FIRST_PAGE_KEYS = {"page", "per_page"}
_SECRETS = (
    ("environments", "token"),
    ("environments", "user_token"),
    ("environments", "heartbeat"),
    ("channels", "url"),
    ("channels", "webhook"),
    ("channels", "key"),
    ("web", "calendar_secret"),
)
LARGEST_FILE = 2**20  # bytes of a file of environments_dir
LARGEST_CONFIG = 16 * 2**20  # bytes of the configuration itself
SHORTEST_POLL_S = 10
MOST_AT_ONCE = 256  # polls side by side
SETTLES_AFTER = timedelta(seconds=20)  # a file that was changed less long ago may still be written
LONGEST = timedelta(seconds=60)  # of a command or webhook: with room below the lease of a message (outbox.LEASE)
SHORTEST_KEY = 24  # bytes; what standardwebhooks.com asks for at least

Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,5}[smhd]$(?!\n)", description="a whole number and s, m, h or d")]
DurationOrOff = Annotated[str, Meta(pattern=r"^([1-9][0-9]{0,5}[smhd]|off)$(?!\n)", description='a duration or "off"')]
SeverityName = Literal["info", "warning", "critical"]
KeptDays = Annotated[int, Meta(ge=1, le=36_500)]


def duration(text: str) -> timedelta:
    """``90s``, ``15m``, ``6h``, ``2d`` as a length of time."""
    return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])


def duration_or_none(text: str) -> timedelta | None:
    """The same, None for ``off``."""
    return None if text == "off" else duration(text)


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


_S = TypeVar("_S", bound=msgspec.Struct)


class Database(_Section, frozen=True):
    """``[database]``; without a URL it is the file in the state directory."""

    url: str = ""
    url_file: str | None = None
    url_env: str | None = None
    url_credential: str | None = None

    def read_url(self) -> str:
        """The URL in whichever form it is given, read now; empty where it is not. Raises ConfigError."""
        if self.url or not (self.url_file or self.url_env or self.url_credential):
            learn_passwords(self.url)
            return self.url
        url, at = _read_given(self, "url", "database")
        learn_passwords(url)
        if fault := database_fault(url):
            raise ConfigError([f"{at}: {fault}"])
        return url


class Renewals(_Section, frozen=True):
    """``[renewals]``."""

    warn_days: Annotated[tuple[Days, ...], Meta(min_length=1)] = (14, 7, 3, 1, 0)
    auto_renewal_warn_days: tuple[Days, ...] = (3,)
    grace: Duration = "12h"  # the night after the day, wherever the provider is
    missing_after_polls: Annotated[int, Meta(ge=1, le=1000)] = 3
    stale_after: Duration = "6h"


class Environment(_Section, frozen=True):
    """``[[environments]]``: one token's list."""

    name: Name
    base_url: str
    token: str | None = None
    token_file: str | None = None
    token_env: str | None = None
    token_credential: str | None = None
    user_token: str | None = None
    user_token_file: str | None = None
    user_token_env: str | None = None
    user_token_credential: str | None = None
    poll_every: Duration | None = None
    poll_cron: str | None = None
    poll_jitter: Annotated[str, Meta(pattern=r"^[0-9]{1,6}[smhd]$(?!\n)")] = "30s"
    filters: dict[str, str | int | float | bool] = {}
    include_sandbox: bool = False
    allow_insecure_http: bool = False
    request_timeout: Duration = "30s"
    max_body_mb: Annotated[int, Meta(ge=1, le=4096)] = 256
    requests_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 100
    proxy: str | None = None
    ca_file: str | None = None
    heartbeat: str | None = None
    heartbeat_file: str | None = None
    heartbeat_env: str | None = None
    heartbeat_credential: str | None = None

    @property
    def interval(self) -> timedelta:
        """The time between two polls; with a cron line it only bounds how soon a failed poll is repeated."""
        return duration(self.poll_every or "1h")

    @property
    def jitter(self) -> timedelta:
        """The longest random delay of a poll."""
        return duration(self.poll_jitter)

    @property
    def query(self) -> dict[str, str]:
        """The filters as they are sent."""
        return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in self.filters.items()}

    def read_token(self) -> str:
        """The token, read now. Raises ConfigError."""
        return _read_secret(self, "token", f"environments.{self.name}")

    @property
    def has_heartbeat(self) -> bool:
        """Whether it has a dead-man's switch."""
        return has_secret(self, "heartbeat")

    def read_heartbeat(self) -> str | None:
        """The address of its dead-man's switch, read now; None without one. Raises ConfigError."""
        if not self.has_heartbeat:
            return None
        place = f"environments.{self.name}"
        return _address(_read_secret(self, "heartbeat", place), f"{place}.heartbeat", self.allow_insecure_http)

    def read_user_token(self) -> str | None:
        """The token that the balance is read with, read now; None without one. Raises ConfigError."""
        return _read_secret(self, "user_token", f"environments.{self.name}") if has_secret(self, "user_token") else None


class Reminders(_Section, frozen=True):
    """``[reminders]``: how often what was told and still holds is told again."""

    critical_every: DurationOrOff = "1d"
    warning_every: DurationOrOff = "off"
    info_every: DurationOrOff = "off"
    max_times: Annotated[int, Meta(ge=0, le=1000)] = 7
    lapse_days: Days = 2

    def interval(self, severity: Severity) -> timedelta | None:
        """The time between two tellings, None for no reminder."""
        return duration_or_none((self.info_every, self.warning_every, self.critical_every)[severity])


class Escalation(_Section, frozen=True):
    """``[escalation]``: whom to tell of a critical alert that nobody acknowledged or resolved."""

    after: Duration = "4h"
    channels: tuple[str, ...] = ()


class Flapping(_Section, frozen=True):
    """``[flapping]``: what changes to and fro is told once as such."""

    changes: Annotated[int, Meta(ge=2, le=1000)] = 4
    within: Duration = "24h"


class InventoryFile(_Section, frozen=True):
    """``[inventory]``: whose a number is."""

    file: str = ""


class Canary(_Section, frozen=True):
    """``[canary]``: a made-up number that goes the whole way on a schedule."""

    channel: str = ""
    schedule: str = "weekly mon 09:00"
    within: Duration = "30m"


class Privacy(_Section, frozen=True):
    """``[privacy]``."""

    mask_in_logs: bool = False


class Template(_Section, frozen=True):
    """``[[templates]]``: the user's own words for some kinds on some channels."""

    kinds: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    channels: Texts | None = None
    subject: str | None = None
    body: str | None = None

    def is_for(self, kind: str, channel: str) -> bool:
        """Whether it words alerts of this kind on this channel."""
        return (self.channels is None or channel in self.channels) and any(
            fnmatch.fnmatchcase(kind, pattern) for pattern in self.kinds
        )


class Channel(_Section, frozen=True):
    """``[[channels]]``: one Apprise URL, command or webhook; what it is told, when, and in which form."""

    name: Name
    url: str | None = None
    url_file: str | None = None
    url_env: str | None = None
    url_credential: str | None = None
    command: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    webhook: str | None = None
    webhook_file: str | None = None
    webhook_env: str | None = None
    webhook_credential: str | None = None
    key: str | None = None
    key_file: str | None = None
    key_env: str | None = None
    key_credential: str | None = None
    proxy: str | None = None
    ca_file: str | None = None
    allow_insecure_http: bool = False
    timeout: Duration = "30s"
    min_severity: Literal["info", "warning", "critical"] = "info"
    environments: tuple[str, ...] | None = None
    kinds: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    by_rule_only: bool = False
    format: Literal["text", "markdown", "html"] = "text"
    mask_numbers: bool = False
    timezone: str | None = None
    quiet_hours: tuple[str, ...] = ()
    critical_at_once: bool = True
    digest: str | None = None
    digest_when_empty: bool = False
    max_per_hour: Annotated[int, Meta(ge=1, le=10_000)] = 30
    fallback: str | None = None
    fallback_after: Duration = "30m"

    def takes(self, kind: str, severity: Severity, environment: str) -> bool:
        """Whether an alert is for this channel. The watch's own faults have no environment and are for every one."""
        return (
            severity >= Severity[self.min_severity]
            and (not environment or self.environments is None or environment in self.environments)
            and any(fnmatch.fnmatchcase(kind, pattern) for pattern in self.kinds)
        )

    @property
    def is_choosy(self) -> bool:
        """Whether it may be told of the beginning of something and not of its end."""
        return self.min_severity != "info" or self.kinds != ("*",)

    @property
    def is_hook(self) -> bool:
        """Whether it is a command or a webhook: told each alert by itself, as JSON."""
        return self.command is not None or self.is_webhook

    @property
    def is_webhook(self) -> bool:
        """Whether its alerts are posted."""
        return has_secret(self, "webhook")

    def read_url(self) -> str:
        """The Apprise URL, read now. Raises ConfigError."""
        return _read_secret(self, "url", f"channels.{self.name}")

    def read_webhook(self) -> str:
        """The address that alerts are posted to, read now. Raises ConfigError."""
        place = f"channels.{self.name}"
        return _address(_read_secret(self, "webhook", place), f"{place}.webhook", self.allow_insecure_http)

    def read_key(self) -> bytes | None:
        """The key that signs what is posted, read now; None without one. Raises ConfigError."""
        place = f"channels.{self.name}"
        return _signing_key(_read_secret(self, "key", place), f"{place}.key") if has_secret(self, "key") else None


class Web(_Section, frozen=True):
    """``[web]``: the pages, and what other programs read from them."""

    listen: str = "127.0.0.1:9280"
    hosts: tuple[str, ...] = ()
    password_file: str | None = None
    password_credential: str | None = None
    login_to_read: bool = False
    calendar_secret: str | None = None
    calendar_secret_file: str | None = None
    calendar_secret_env: str | None = None
    calendar_secret_credential: str | None = None

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
        return self.socket_path is not None or _LOOPBACK.match(self.address[0]) is not None

    @property
    def password_path(self) -> Path | None:
        """Where the hash of the password is; None where nobody can log in."""
        if self.password_credential is not None:
            return _credential(self.password_credential)
        return None if self.password_file is None else _path(self.password_file)

    def read_calendar_secret(self) -> str | None:
        """The secret part of the calendar's address, read now; None without one. Raises ConfigError."""
        if not has_secret(self, "calendar_secret"):
            return None
        secret = _read_secret(self, "calendar_secret", "web")
        if not re.fullmatch(r"[A-Za-z0-9._~-]{16,}", secret):
            msg = (
                "web.calendar_secret: it has 16 characters or more, of those that an address can hold; make one with: "
                "openssl rand -hex 16"
            )
            raise ConfigError([msg])
        return secret


class Account(_Section, frozen=True):
    """``[account]``: what is read beside the list, with the same token; the balance with ``user_token``."""

    releases: bool = True
    topup: bool = True
    balance: bool = True
    agents: bool = True
    every: Duration = "1h"
    card_warn_days: Days = 30
    horizon_days: Annotated[int, Meta(ge=1, le=31)] = 30


class Polls(_Section, frozen=True):
    """``[polls]``: how many go on side by side."""

    at_once: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)] = 16


class Metrics(_Section, frozen=True):
    """``[metrics]``."""

    labels: Literal["number", "id", "none"] = "number"


class Retention(_Section, frozen=True):
    """``[retention]``: for how many days the past is kept; a month's last list for good where ``months_days`` is None."""

    changes_days: KeptDays = 365
    alerts_days: KeptDays = 730
    months_days: KeptDays | None = None


class Backup(_Section, frozen=True):
    """``[backup]``: copies of the database on a schedule; none without a directory."""

    directory: str = ""
    schedule: str = "daily 03:30"
    keep_daily: Annotated[int, Meta(ge=0, le=10_000)] = 7
    keep_weekly: Annotated[int, Meta(ge=0, le=10_000)] = 4
    keep_monthly: Annotated[int, Meta(ge=0, le=10_000)] = 12

    @property
    def path(self) -> Path:
        """The directory; of no meaning where there is none."""
        return _path(self.directory)


class File(_Section, frozen=True, kw_only=True):
    """The whole file, as written."""

    timezone: str = "UTC"
    state_dir: str | None = None
    database: Database = Database()
    environments: tuple[Environment, ...] = ()
    environments_dir: Annotated[str, Meta(min_length=1)] | None = None
    polls: Polls = Polls()
    renewals: Renewals = Renewals()
    inventory: InventoryFile = InventoryFile()
    rules: tuple[Rule, ...] = ()
    channels: tuple[Channel, ...] = ()
    reminders: Reminders = Reminders()
    escalation: Escalation = Escalation()
    flapping: Flapping = Flapping()
    templates: tuple[Template, ...] = ()
    canary: Canary = Canary()
    privacy: Privacy = Privacy()
    web: Web = Web()
    metrics: Metrics = Metrics()
    account: Account = Account()
    retention: Retention = Retention()
    backup: Backup = Backup()


class EnvironmentFile(_Section, frozen=True, kw_only=True):
    """A file of ``environments_dir``: its environment, or what is wrong with it, each fault a sentence with its key.

    ``changed_at`` is when it was last written, as the machine has it.
    """

    path: Path
    environment: Environment | None = None
    faults: tuple[str, ...] = ()
    changed_at: datetime | None = None

    @property
    def place(self) -> str:
        """The path as text that can be written anywhere, whatever bytes its name is made of."""
        return readable(self.path)

    def is_settled(self, now: datetime) -> bool:
        """Whether nobody is still writing it, as far as can be told; a time ahead of ``now`` is a clock put back."""
        return self.changed_at is None or not timedelta(0) <= now - self.changed_at < SETTLES_AFTER


class Settings(_Section, frozen=True, kw_only=True):
    """What the rest of the program is given.

    ``environments`` are those of the file, then those of the directory; ``files`` says where the latter stand, by name.
    ``broken`` are files of the directory that cannot be used as they are; ``dangling`` has a sentence for each place that
    names an environment which only the directory could have, and has not.
    """

    path: Path
    timezone: str
    state_dir: Path
    database: Database
    renewals: Renewals
    environments: tuple[Environment, ...]
    channels: tuple[Channel, ...]
    inventory: InventoryFile
    rules: tuple[Rule, ...]
    reminders: Reminders
    escalation: Escalation
    flapping: Flapping
    templates: tuple[Template, ...]
    canary: Canary
    privacy: Privacy
    web: Web
    metrics: Metrics
    account: Account
    retention: Retention
    backup: Backup = Backup()
    polls: Polls = Polls()
    environments_dir: Path | None = None
    files: Mapping[str, Path] = {}
    broken: tuple[EnvironmentFile, ...] = ()
    dangling: tuple[str, ...] = ()

    @property
    def database_url(self) -> str:
        """The URL of the database, read now; it may hold a password. Raises ConfigError."""
        return self.database.read_url() or f"sqlite:///{quote(str(self.state_dir))}/renewal-watch.db"

    def file_faults(self, now: datetime) -> dict[str, str]:
        """The first fault of each file of the directory that nobody is still writing, by the file's name."""
        return {readable(one.path.name): one.faults[0] for one in self.broken if one.is_settled(now)}

    @property
    def inventory_path(self) -> Path | None:
        """The inventory's file, None without one."""
        return _path(self.inventory.file) if self.inventory.file else None

    def policy(self, environment: Environment, inventory: Mapping[str, Record] | None = None) -> Policy:
        """What judging a list of ``environment`` needs of the settings."""
        return Policy(
            zone=self.timezone,
            warn_days=self.renewals.warn_days,
            auto_renewal_warn_days=self.renewals.auto_renewal_warn_days,
            grace=duration(self.renewals.grace),
            missing_after_polls=self.renewals.missing_after_polls,
            stale_after=max(duration(self.renewals.stale_after), 2 * environment.interval),
            include_sandbox=environment.include_sandbox,
            lapse_days=self.reminders.lapse_days,
            card_warn_days=self.account.card_warn_days,
            horizon_days=self.account.horizon_days,
            rules=self.rules,
            inventory=inventory or {},
        )

    @property
    def with_sandbox(self) -> tuple[str, ...]:
        """The environments whose sandbox numbers are watched like all others."""
        return tuple(one.name for one in self.environments if one.include_sandbox)

    def environment(self, name: str) -> Environment:
        """The environment called ``name``. Raises UsageError."""
        return _named(self.environments, name, "environment")

    def channel(self, name: str) -> Channel:
        """The channel called ``name``. Raises UsageError."""
        return _named(self.channels, name, "channel")


def _named(those: tuple[_S, ...], name: str, what: str) -> _S:
    for one in those:
        if getattr(one, "name", None) == name:
            return one
    known = ", ".join(getattr(one, "name", "") for one in those) or "none"
    msg = f"there is no {what} called {name}; the configuration has: {known}"
    raise UsageError(msg)


# --- finding and reading ----------------------------------------------------------------------------------------------


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
        table = _parsed(content)
    except FileNotFoundError:
        msg = f"{path} does not exist; write one with: renewal-watch init {path}"
        raise ConfigError([msg]) from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigError([msg]) from None
    except ValueError as error:
        msg = f"{path} {error}"
        raise ConfigError([msg]) from None
    _learn_secrets(table)
    faults: list[str] = []
    read = _build(File, table, "", faults)
    faults += _crossed(table, readable_by_others=bool(stat.S_IMODE(found.st_mode) & 0o077))
    REDACTOR.masks_numbers = read is not None and read.privacy.mask_in_logs
    directory = _path(read.environments_dir) if read is not None and read.environments_dir is not None else None
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


def _parsed(content: bytes) -> dict[str, Any]:
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


def _resolved(path: Path, read: File) -> Settings:
    state_dir = _state_dir(read)
    return Settings(
        path=path,
        timezone=read.timezone,
        state_dir=state_dir,
        environments_dir=_path(read.environments_dir) if read.environments_dir is not None else None,
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
                "metrics",
                "account",
                "retention",
                "backup",
                "polls",
            )
        },
    )


def _known_only_as_text(table: dict[str, Any]) -> None:
    """Refuse characters that no path, name or address has. Raises ValueError with the rest of a sentence."""
    for value in table.values():
        if isinstance(value, str) and "\0" in value:
            msg = "is not TOML: a value holds the character NUL"
            raise ValueError(msg)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _known_only_as_text(inner)


def _learn_secrets(table: dict[str, Any]) -> None:
    database = table.get("database")
    if isinstance(database, dict) and isinstance(database.get("url"), str):
        learn_passwords(database["url"])
    for section, key in _SECRETS:
        tables = table.get(section)
        for one in tables if isinstance(tables, list) else [tables]:
            if isinstance(one, dict) and isinstance(one.get(key), str) and not one[key].endswith("://"):
                REDACTOR.learn(one[key])
            if isinstance(one, dict) and isinstance(one.get("proxy"), str) and "@" in one["proxy"]:
                REDACTOR.learn(one["proxy"].rpartition("@")[0].rpartition("/")[2])


def _state_dir(read: File) -> Path:
    if given := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    return _path(read.state_dir or "~/.local/state/renewal-watch")


def _path(text: str) -> Path:
    """The path with ``~`` replaced; a home that does not exist stays as it is written, and is not found."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


# --- environments of a directory --------------------------------------------------------------------------------------


def environment_files(directory: Path) -> list[Path]:
    """The files of ``environments_dir``, by name; those whose names begin with a dot belong to editors. Raises OSError."""
    with os.scandir(directory) as found:
        names = [one.name for one in found if one.name.endswith(".toml") and not one.name.startswith(".")]
    return [directory / name for name in sorted(names)]


def read_environment(path: Path) -> EnvironmentFile:
    """What a file of the directory says: the keys of one ``[[environments]]``, the name by default the file's stem."""
    changed_at = None
    try:
        content, found = files.read(path, LARGEST_FILE + 1)
        changed_at = datetime.fromtimestamp(found.st_ctime, UTC)
    except OSError as error:
        msg = f"it cannot be read: {error.strerror}"
        return EnvironmentFile(path=path, faults=(msg,), changed_at=_changed_at(path))
    try:
        if len(content) > LARGEST_FILE:
            msg = f"is larger than {LARGEST_FILE // 2**20} MiB"
            raise ValueError(msg)
        table = _parsed(content)
    except ValueError as error:
        return EnvironmentFile(path=path, faults=(f"it {error}",), changed_at=changed_at)
    _learn_secrets({"environments": [table]})
    table = {"name": path.name.removesuffix(".toml")} | table
    place = f"environments.{table['name']}"
    faults: list[str] = []
    environment = _build(Environment, table, f"{place}.", faults)
    faults += _crossed_environment(table, place, readable_by_others=bool(stat.S_IMODE(found.st_mode) & 0o077))
    if "environments" in table:
        faults.insert(0, "environments: the keys stand at the top of the file, without [[environments]]")
    if faults:
        said = tuple(REDACTOR.clean(one.removeprefix(place).lstrip(".: ")) for one in faults)
        return EnvironmentFile(path=path, faults=said, changed_at=changed_at)
    return EnvironmentFile(path=path, environment=environment, changed_at=changed_at)


def _changed_at(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.lstat().st_ctime, UTC)
    except OSError:
        return None


def readable(path: Path | str) -> str:
    """A path or a part of it, with a mark for each byte that is no text."""
    return os.fsencode(path).decode(errors="replace")


def with_files(
    settings: Settings, files: Sequence[EnvironmentFile], kept: Mapping[Path, Environment] | None = None
) -> Settings:
    """The settings with the environments of the directory's files in place of those it had.

    ``kept`` has what a file that cannot be used now gave before, which goes on. A name that two files use is a fault of
    both, for nobody can say which is meant; one of the main file is that of the main file.
    """
    main = tuple(one for one in settings.environments if one.name not in settings.files)
    names = {one.name for one in main}
    users: dict[str, list[EnvironmentFile]] = {}
    for file in files:
        if file.environment is not None:
            users.setdefault(file.environment.name, []).append(file)
    good: dict[str, tuple[Path, Environment]] = {}
    broken: list[EnvironmentFile] = []
    for file in files:
        one = file.environment
        if one is None:
            broken.append(file)
        elif one.name in names:
            msg = f"name: {one.name!r} is an environment of {settings.path.name} already; give one of them another name"
            broken.append(msgspec.structs.replace(file, faults=(msg,)))
        elif len(users[one.name]) > 1:
            others = [other for other in users[one.name] if other is not file]
            where = ", ".join(readable(other.path.name) for other in others)
            msg = f"name: {one.name!r} is used twice, also in {where}"
            newest = max(filter(None, (other.changed_at for other in users[one.name])), default=None)
            broken.append(msgspec.structs.replace(file, faults=(msg,), changed_at=newest))
        else:
            good[one.name] = (file.path, one)
    for file in broken:
        before = (kept or {}).get(file.path)
        if before is not None and before.name not in names:
            good.setdefault(before.name, (file.path, before))
    of_files = [environment for _, environment in good.values()]
    known = names | good.keys()
    return msgspec.structs.replace(
        settings,
        environments=(*main, *sorted(of_files, key=lambda one: one.name)),
        files={name: path for name, (path, _) in good.items()},
        broken=tuple(broken),
        dangling=tuple(_dangling(settings, known)),
    )


def _dangling(settings: Settings, known: set[str]) -> Iterator[str]:
    named = [(f"channels.{one.name}", one.environments) for one in settings.channels]
    named += [(f"rules.{one.name}.match", one.match.environments) for one in settings.rules]
    for place, names in named:
        yield from _unknown(list(names or ()), known, f"{place}.environments", "environment")


_SECTIONS: dict[tuple[type[msgspec.Struct], str], type[msgspec.Struct]] = {
    (File, "database"): Database,
    (File, "polls"): Polls,
    (File, "renewals"): Renewals,
    (File, "inventory"): InventoryFile,
    (File, "reminders"): Reminders,
    (File, "escalation"): Escalation,
    (File, "flapping"): Flapping,
    (File, "canary"): Canary,
    (File, "privacy"): Privacy,
    (File, "web"): Web,
    (File, "metrics"): Metrics,
    (File, "account"): Account,
    (File, "retention"): Retention,
    (File, "backup"): Backup,
    (File, "environments"): Environment,
    (File, "channels"): Channel,
    (File, "rules"): Rule,
    (File, "templates"): Template,
    (Rule, "match"): Match,
}
_REPEATED = {(File, "environments"), (File, "channels"), (File, "rules"), (File, "templates")}


@cache  # a thousand files of environments are of one class
def _fields(cls: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(cls)}


def _build(cls: type[_S], table: dict[str, Any], path: str, faults: list[str]) -> _S | None:
    """``cls`` from ``table``; each key is tried on its own, so that one fault does not hide the next."""
    fields = _fields(cls)
    given: dict[str, Any] = {}
    before = len(faults)
    for key, value in table.items():
        place = f"{path}{key}"
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(fields)}"
            faults.append(f"{place}: unknown key; {hint}")
            continue
        inner = _SECTIONS.get((cls, key))
        if inner is not None and (cls, key) in _REPEATED:
            if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
                faults.append(f"{place}: write it as [[{key}]]")
                continue
            labels = [one["name"] if isinstance(one.get("name"), str) else str(i + 1) for i, one in enumerate(value)]
            built = [_build(inner, one, f"{key}.{label}.", faults) for one, label in zip(value, labels, strict=True)]
            if not value and key == "environments" and "environments_dir" not in table:
                faults.append("environments: at least one [[environments]] is needed, or environments_dir")
            given[key] = tuple(one for one in built if one is not None)
        elif inner is not None:
            if not isinstance(value, dict):
                form = f"{key} = {{ … }}" if cls is Rule else f"[{key}]"
                faults.append(f"{place}: write it as {form}")
                continue
            given[key] = _build(inner, value, f"{place}.", faults)
        else:
            try:
                given[key] = msgspec.convert(value, fields[key].type)
            except msgspec.ValidationError as error:
                faults.append(f"{place}: {_plain_fault(str(error), fields[key].type)}")
    missing = [name for name, field in fields.items() if field.required and name not in table]
    faults.extend(f"{path}{name}: is missing" for name in missing)
    if len(faults) > before:
        return None
    try:
        return cls(**given)
    except ValueError as error:  # keys that are right one by one
        faults.append(f"{path.rstrip('.')}: {error}")
        return None


def _choices(kind: Any) -> list[str]:
    """The words that a type of fixed words takes, however deep they stand in it."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for inner in get_args(kind) for word in _choices(inner)]


def _plain_fault(text: str, kind: Any) -> str:
    if "|off" in text:
        return 'write a whole number and a unit, such as "6h" or "2d", or "off"'
    if r"[smhd]" in text:
        return 'write a whole number and a unit, such as "30s", "15m", "6h" or "2d"'
    if "A-Za-z0-9._-" in text:
        return "a name has up to 64 letters, digits, dots, dashes and underscores and starts with a letter or digit"
    if "decimal string" in text:
        return "write an amount, such as 5 or 2.50"
    said = re.sub(r" - at `.*\[\.\.\.\]`", "", text).replace(" - at `$", " at `").replace("`", "").removesuffix(" at ")
    if said.startswith("Invalid enum value"):
        return f"{said.replace('Invalid enum value', 'unknown value')}; write one of: {', '.join(_choices(kind))}"
    for jargon, words in _JARGON.items():
        said = said.replace(jargon, words)
    return said[:1].lower() + said[1:]


def _crossed(table: dict[str, Any], *, readable_by_others: bool) -> list[str]:
    """Faults that no key shows alone. Works on the raw table, whatever else is wrong with it."""
    faults: list[str] = []
    zone = table.get("timezone", "UTC")
    if isinstance(zone, str) and (fault := _zone_fault(zone)):
        faults.append(f"timezone: {fault}")
    environments = _tables(table, "environments")
    if "environments" not in table and "environments_dir" not in table:
        faults.append("environments: is missing; write [[environments]], or environments_dir with a file for each")
    faults += _twice(environments, "environments")
    for count, one in enumerate(environments, 1):
        place = f"environments.{one.get('name', count)}"
        faults += _crossed_environment(one, place, readable_by_others=readable_by_others)
    channels = _tables(table, "channels")
    faults += _twice(channels, "channels")
    known = None if "environments_dir" in table else _names(environments)  # the directory may have any
    for count, one in enumerate(channels, 1):
        place = f"channels.{one.get('name', count)}"
        faults += _way_faults(one, place, readable_by_others=readable_by_others)
        faults += _unknown(one.get("environments"), known, f"{place}.environments", "environment")
        faults += _pattern_faults(one.get("kinds"), f"{place}.kinds")
        faults += _channel_faults(one, place, _names(channels), zone)
    for count, one in enumerate(_tables(table, "rules"), 1):
        faults += _rule_faults(one, f"rules.{one.get('name', count)}", known, _names(channels))
    faults += _twice(_tables(table, "rules"), "rules")
    faults += _other_faults(table, _names(channels))
    web = table.get("web")
    if isinstance(web, dict):
        faults += _secret_faults(web, "calendar_secret", "web", readable_by_others=readable_by_others, is_optional=True)
        faults += _web_faults(web)
    database = table.get("database")
    if isinstance(database, dict):
        faults += _database_faults(database, readable_by_others=readable_by_others)
    return faults


def _database_faults(database: dict[str, Any], *, readable_by_others: bool) -> Iterator[str]:
    given = [form for form in _forms("url") if database.get(form)]
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


def _crossed_environment(one: dict[str, Any], place: str, *, readable_by_others: bool) -> list[str]:
    faults = _secret_faults(one, "token", place, readable_by_others=readable_by_others)
    faults += _secret_faults(one, "heartbeat", place, readable_by_others=readable_by_others, is_optional=True)
    faults += _secret_faults(one, "user_token", place, readable_by_others=readable_by_others, is_optional=True)
    return faults + _environment_faults(one, place)


def _tables(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    tables = table.get(key)
    return [one for one in tables if isinstance(one, dict)] if isinstance(tables, list) else []


def _twice(tables: list[dict[str, Any]], section: str) -> list[str]:
    names = [one["name"] for one in tables if isinstance(one.get("name"), str)]
    return [f"{section}.{name}: the name is used twice" for name in sorted({n for n in names if names.count(n) > 1})]


def _names(tables: list[dict[str, Any]]) -> set[str]:
    return {one["name"] for one in tables if isinstance(one.get("name"), str)}


def _texts(value: Any) -> list[str]:
    """The texts in what may be a list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | dict) else []


def _unknown(value: Any, known: set[str] | None, place: str, what: str) -> Iterator[str]:
    """A fault for each name that nothing has; None where all that have one are not known yet."""
    for name in _texts(value) if known is not None else ():
        if known is not None and name not in known:
            yield f"{place}: there is no {what} called {name!r}{_meant(name, known)}"


def _pattern_faults(value: Any, place: str) -> Iterator[str]:
    """A fault for each pattern that no kind of alert fits."""
    for pattern in _texts(value):
        if not fnmatch.filter(KINDS, pattern):
            yield f"{place}: {pattern!r} matches no kind of alert{_meant(pattern, KINDS)}"


def _meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the known one most like it, if any is."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _hider_faults(value: Any, place: str) -> Iterator[str]:
    """A fault for each pattern that would hide nothing: what the watch says of itself must be named."""
    for pattern in _texts(value):
        if fnmatch.filter(KINDS, pattern) and not any(matching.hides(pattern, kind) for kind in KINDS):
            yield f"{place}: {pattern!r} hides nothing; the watch's own kinds are named in full before the dot, such as watch.*"
        else:
            yield from _pattern_faults([pattern], place)


def _zone_fault(zone: str) -> str | None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return f"{zone!r} is not a zone of the IANA database; write it like Europe/Berlin"
    return None


def _channel_faults(one: dict[str, Any], place: str, channels: set[str], zone: Any) -> Iterator[str]:
    from renewal_watch import schedule  # noqa: PLC0415 (read only where a channel has a calendar)

    own = one.get("timezone")
    if isinstance(own, str) and (fault := _zone_fault(own)):
        yield f"{place}.timezone: {fault}"
    windows = one.get("quiet_hours")
    if windows and (fault := schedule.window_fault(_texts(windows))):
        yield f"{place}.quiet_hours: {fault}"
    digest = one.get("digest")
    if isinstance(digest, str):
        if fault := schedule.calendar_fault(digest):
            yield f"{place}.digest: {fault}"
        elif windows and isinstance(zone, str):
            yield (
                f"{place}.digest: a digest comes when its schedule says; leave quiet_hours out, or give them a channel of "
                f"their own"
            )
    elif one.get("digest_when_empty"):
        yield f"{place}.digest_when_empty: it needs a digest"
    fallback = one.get("fallback")
    if isinstance(fallback, str):
        yield from _unknown([fallback], channels, f"{place}.fallback", "channel")
        if fallback == one.get("name"):
            yield f"{place}.fallback: a channel cannot stand in for itself"


def _is_hook(one: dict[str, Any]) -> bool:
    return any(one.get(key) is not None for key in ("command", *_forms("webhook")))


def _way_faults(one: dict[str, Any], place: str, *, readable_by_others: bool) -> Iterator[str]:
    """Faults of how a channel is reached: one of an Apprise URL, a command and a webhook, with the keys that are for it."""
    given = [key for key in ("url", "command", "webhook") if any(one.get(form) is not None for form in _forms(key))]
    if len(given) != 1:
        said = "only one may be given of" if given else "is missing; give one of"
        yield f"{place}.url: {said} {', '.join(given or (*_forms('url'), 'command', 'webhook'))}"
        return
    way = given[0]
    if way == "command":
        yield from _command_faults(one["command"], f"{place}.command")
    else:
        yield from _secret_faults(one, way, place, readable_by_others=readable_by_others)
    if way == "webhook":
        yield from _secret_faults(one, "key", place, readable_by_others=readable_by_others, is_optional=True)
        yield from _proxy_faults(one, place)
    foreign = [("timeout", "command or webhook")] if way == "url" else []
    if way != "webhook":
        foreign += [(key, "webhook") for key in (*_forms("key"), "allow_insecure_http", "proxy", "ca_file")]
    yield from (f"{place}.{key}: it belongs to a {to}, and this channel has none" for key, to in foreign if key in one)
    if way != "url":
        yield from (
            f"{place}.{key}: a {way} is told each alert by itself, as JSON; leave it out"
            for key in ("format", "digest", "digest_when_empty", "max_per_hour")
            if key in one
        )
        timeout = one.get("timeout")
        if isinstance(timeout, str) and re.fullmatch(r"[1-9][0-9]{0,5}[smhd]", timeout) and duration(timeout) > LONGEST:
            yield f"{place}.timeout: at most {LONGEST.total_seconds():g}s, so that no alert is told by two at once"


def _command_faults(command: Any, place: str) -> Iterator[str]:
    words = _texts(command)
    if words and not words[0].startswith("/"):
        yield f"{place}: {words[0]!r} is no whole path; write it like /usr/local/bin/move-number, for no PATH is searched"
    if any("\0" in word for word in words):
        yield f"{place}: it holds the character NUL"


def _rule_faults(one: dict[str, Any], place: str, environments: set[str] | None, channels: set[str]) -> Iterator[str]:
    match = one.get("match")
    if isinstance(match, dict):
        yield from _unknown(match.get("environments"), environments, f"{place}.match.environments", "environment")
        for number in _texts(match.get("numbers")):
            if not matching.is_number(number):
                yield f"{place}.match.numbers: {number!r} is not a number; write it like +493012345 or +4930*"
    yield from _pattern_faults(one.get("severities"), f"{place}.severities")
    yield from _hider_faults(one.get("mute"), f"{place}.mute")
    for key in ("channels", "add_channels", "escalate_to"):
        yield from _unknown(one.get(key), channels, f"{place}.{key}", "channel")


def _other_faults(table: dict[str, Any], channels: set[str]) -> Iterator[str]:
    """Faults of the sections that name channels."""
    from renewal_watch import schedule  # noqa: PLC0415 (read only where there is a calendar)

    hooks = {str(one["name"]) for one in _tables(table, "channels") if "name" in one and _is_hook(one)}
    escalation, canary = (one if isinstance(one := table.get(name), dict) else {} for name in ("escalation", "canary"))
    yield from _unknown(escalation.get("channels"), channels, "escalation.channels", "channel")
    if canary:
        if not isinstance(canary.get("channel"), str):
            yield "canary.channel: is missing; name the channel that the canary is sent to"
        else:
            yield from _unknown([canary["channel"]], channels, "canary.channel", "channel")
        if isinstance(canary.get("schedule"), str) and (fault := schedule.calendar_fault(canary["schedule"])):
            yield f"canary.schedule: {fault}"
    for place, one in enumerate(_tables(table, "templates"), 1):
        yield from _pattern_faults(one.get("kinds"), f"templates.{place}.kinds")
        yield from _unknown(one.get("channels"), channels, f"templates.{place}.channels", "channel")
        for name in sorted(set(_texts(one.get("channels"))) & hooks):
            yield f"templates.{place}.channels: {name} is told JSON, not words; leave it out"
        if one.get("subject") is None and one.get("body") is None:
            yield f"templates.{place}: it has neither subject nor body"
    yield from _retention_faults(table.get("retention"))
    backup = table.get("backup")
    if isinstance(backup, dict):
        if isinstance(backup.get("schedule"), str) and (fault := schedule.calendar_fault(backup["schedule"])):
            yield f"backup.schedule: {fault}"
        directory = backup.get("directory")
        if isinstance(directory, str) and directory and not _path(directory).is_absolute():
            yield f"backup.directory: {directory!r} is no whole path; write it like /var/lib/renewal-watch/backups"


def _retention_faults(kept: Any) -> Iterator[str]:
    """The lists of months are what is left of the changes, so they cannot go before them."""
    months = kept.get("months_days") if isinstance(kept, dict) else None
    changes = kept.get("changes_days", Retention().changes_days) if isinstance(kept, dict) else None
    if isinstance(months, int) and isinstance(changes, int) and months < changes:
        yield f"retention.months_days: {months} is less than changes_days, which is {changes}; write {changes} or more"


def _base_url_faults(one: dict[str, Any], place: str) -> list[str]:
    faults = []
    url = one.get("base_url")
    if isinstance(url, str):
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            parts, host = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not host:
            faults.append(f"{place}.base_url: write it like https://app.talkover.ai/api/v1")
        elif not re.fullmatch(r"[!-~]+", url):
            faults.append(f"{place}.base_url: it holds a blank or a character that no address has")
        elif parts.path.rstrip("/").endswith("/phone-numbers"):
            faults.append(f"{place}.base_url: leave /phone-numbers out; the watch adds it")
        elif parts.username or parts.query or parts.fragment:
            faults.append(
                f"{place}.base_url: write only scheme, host and path; filters and the token have keys of their own"
            )
        elif parts.scheme == "http" and not one.get("allow_insecure_http") and not _LOOPBACK.match(host):
            faults.append(
                f"{place}.base_url: plain http would send the token readable over the network; use https, "
                f"or set allow_insecure_http = true"
            )
    return faults


def _environment_faults(one: dict[str, Any], place: str) -> list[str]:
    faults = _base_url_faults(one, place)
    if one.get("poll_every") is not None and one.get("poll_cron") is not None:
        faults.append(f"{place}: poll_every and poll_cron exclude each other; keep one")
    every = one.get("poll_every")
    if isinstance(every, str) and re.fullmatch(r"[1-9][0-9]*s", every) and int(every[:-1]) < SHORTEST_POLL_S:
        faults.append(f"{place}.poll_every: the shortest interval is {SHORTEST_POLL_S}s")
    cron = one.get("poll_cron")
    if isinstance(cron, str):
        from renewal_watch.schedule import cron_fault  # noqa: PLC0415 (the scheduler's parser is read only for a cron line)

        if fault := cron_fault(cron):
            faults.append(f"{place}.poll_cron: {fault}")
    faults += _proxy_faults(one, place)
    filters = one.get("filters")
    if isinstance(filters, dict):
        faults += [
            f"{place}.filters.{key}: the watch pages by itself; leave it out" for key in _FIRST_PAGE_KEYS & set(filters)
        ]
    return faults


def _proxy_faults(one: dict[str, Any], place: str) -> Iterator[str]:
    proxy = one.get("proxy")
    if isinstance(proxy, str) and not re.match(r"^https?://[^/]", proxy):
        yield f"{place}.proxy: write it like http://proxy.example:3128"
    ca_file = one.get("ca_file")
    if isinstance(ca_file, str) and not Path(ca_file).is_file():
        yield f"{place}.ca_file: there is no file {ca_file}"


def _web_faults(web: dict[str, Any]) -> Iterator[str]:
    has_password = any(web.get(key) is not None for key in ("password_file", "password_credential"))
    if all(web.get(key) is not None for key in ("password_file", "password_credential")):
        yield "web.password_file: only one may be given of password_file, password_credential"
    listen = web.get("listen", Web().listen)
    if not isinstance(listen, str):
        return
    if not re.fullmatch(r"unix:/[^\0]+|(\[[0-9A-Fa-f:.]+\]|[^:\s]+):[0-9]{1,5}", listen) or (
        not listen.startswith("unix:") and not 0 <= int(listen.rpartition(":")[2]) <= 65_535  # noqa: PLR2004 (ports)
    ):
        yield f"web.listen: {listen!r} is no address; write it like 127.0.0.1:9280, [::1]:9280 or unix:/run/x.sock"
    elif not Web(listen=listen).is_local and not has_password:
        yield (
            f"web.listen: {listen} can be reached from other machines, which needs a password_file; make one with: "
            f"renewal-watch web password FILE"
        )
    for host in _texts(web.get("hosts")):
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]", host):
            yield f"web.hosts: {host!r} is no name of a host; write it without scheme, port and path, like watch.example.org"
    if web.get("login_to_read") and not has_password:
        yield "web.login_to_read: it needs a password_file; make one with: renewal-watch web password FILE"


def _secret_faults(
    one: dict[str, Any], key: str, place: str, *, readable_by_others: bool, is_optional: bool = False
) -> list[str]:
    forms = _forms(key)
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


def _forms(key: str) -> list[str]:
    """The keys that a secret may be given by."""
    return [key, f"{key}_file", f"{key}_env", f"{key}_credential"]


def _address(url: str, place: str, is_free: bool) -> str:  # noqa: FBT001 (a key of the configuration)
    """``url`` if alerts may go there. Raises ConfigError; the address itself is a secret and not said."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not re.fullmatch(r"[!-~]+", url):
        raise ConfigError([f"{place}: it is no address; write it like https://hooks.example.org/in"])
    if parts.scheme == "http" and not is_free and not _LOOPBACK.match(host):
        msg = f"{place}: plain http could be read on the way; use https, or set allow_insecure_http = true"
        raise ConfigError([msg])
    for part in (parts.password, parts.path):  # where a library writes the address in another way
        if part and len(part) >= _TELLING:
            REDACTOR.learn(part)
    return url


def _signing_key(text: str, place: str) -> bytes:
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


def has_secret(section: _Section, key: str) -> bool:
    """Whether a secret is given in any form."""
    return any(getattr(section, form) is not None for form in _forms(key))


def _read_secret(section: _Section, key: str, place: str) -> str:
    """The secret in whichever form it is given, without the line end an editor leaves. Raises ConfigError."""
    plain = getattr(section, key)
    secret = str(plain) if plain is not None else _read_given(section, key, place)[0]
    REDACTOR.learn(secret)
    return secret


def _read_given(section: _Section, key: str, place: str) -> tuple[str, str]:
    """What is given by a file, a variable or a credential, and the key that says so. Raises ConfigError."""
    form = next(form for form in ("file", "env", "credential") if getattr(section, f"{key}_{form}") is not None)
    name = str(getattr(section, f"{key}_{form}"))
    at = f"{place}.{key}_{form}"
    if form == "env":
        secret = os.environ.get(name)
        if secret is None:
            raise ConfigError([f"{at}: the environment variable {name} is not set"])
    else:
        path = _path(name)
        if form == "credential":
            path = _credential(name)
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


def _credential(name: str) -> Path:
    """Where systemd put a credential; in an administrator's shell, where systemd would take it from."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory:
        return Path(directory) / name
    return next((store / name for store in CREDENTIAL_STORES if (store / name).exists()), CREDENTIAL_STORES[0] / name)


def secret_faults(settings: Settings, *, with_files: bool = True) -> list[str]:
    """The secrets that cannot be read now, a sentence each; those of the directory's files only ``with_files``.

    A daemon starts without the latter: the poll of that one environment tells of it.
    """
    faults: list[str] = []
    for place, read in _secrets(settings, with_files=with_files):
        try:
            secret = read() or ""
        except ConfigError as error:
            faults += error.faults
            continue
        if isinstance(secret, str) and any(c.isspace() or not c.isprintable() for c in secret):
            faults.append(f"{place}: the secret holds a blank or a line break; write it anew")
    return faults


def _secrets(settings: Settings, *, with_files: bool) -> Iterator[tuple[str, Callable[[], str | bytes | None]]]:
    """Where each secret is given, and what reads it."""
    if not settings.database.url:
        yield "database.url", settings.database.read_url
    for environment in settings.environments:
        if environment.name in settings.files and not with_files:
            continue
        yield f"environments.{environment.name}.token", environment.read_token
        yield f"environments.{environment.name}.user_token", environment.read_user_token
        yield f"environments.{environment.name}.heartbeat", environment.read_heartbeat
    for channel in settings.channels:
        place = f"channels.{channel.name}"
        if channel.is_webhook:
            yield f"{place}.webhook", channel.read_webhook
            yield f"{place}.key", channel.read_key
        elif not channel.is_hook:
            yield f"{place}.url", channel.read_url


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
    for section, key in _SECRETS:
        for one in [table[section]] if isinstance(table[section], dict) else table[section]:
            if one.get(key) is not None:
                one[key] = "***"
    for one in (*table["environments"], *table["channels"]):
        if one["proxy"]:
            one["proxy"] = re.sub(r"(?<=://)[^@/]*@", "***@", one["proxy"])
    return table
