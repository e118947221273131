"""The whole configuration: as the file states it, and as the service uses it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta

from renewal_watch.errors import UsageError
from renewal_watch.model.policy import Policy, Record, Rule
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment, EnvironmentFile
from renewal_watch.settings.secrets import absolute
from renewal_watch.settings.sections import (
    Account,
    Backup,
    Canary,
    Database,
    Escalation,
    Flapping,
    InventoryFile,
    Metrics,
    Polls,
    Privacy,
    Reminders,
    Renewals,
    Retention,
    Template,
)
from renewal_watch.settings.values import S, Section, duration, readable
from renewal_watch.settings.web import Oidc, Web


class File(Section, frozen=True, kw_only=True):
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
    oidc: Oidc = Oidc()
    metrics: Metrics = Metrics()
    account: Account = Account()
    retention: Retention = Retention()
    backup: Backup = Backup()


class Settings(Section, frozen=True, kw_only=True):
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
    oidc: Oidc
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
        return absolute(self.inventory.file) if self.inventory.file else None

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
    def can_sign_in(self) -> bool:
        """Whether anybody can come in to the pages where not everybody may."""
        return self.web.password_path is not None or self.oidc.is_used or self.web.user_header is not None

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


def _named(those: tuple[S, ...], name: str, what: str) -> S:
    for one in those:
        if getattr(one, "name", None) == name:
            return one
    known = ", ".join(getattr(one, "name", "") for one in those) or "none"
    msg = f"there is no {what} called {name}; the configuration has: {known}"
    raise UsageError(msg)
