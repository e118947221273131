"""The sections of the configuration file as frozen values."""

from __future__ import annotations

import fnmatch
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from renewal_watch.errors import ConfigError
from renewal_watch.model.alerts import Severity
from renewal_watch.model.policy import Days, Texts
from renewal_watch.settings.database_url import database_fault, learn_passwords
from renewal_watch.settings.secrets import absolute, read_given
from renewal_watch.settings.values import Duration, DurationOrOff, KeptDays, Section, duration_or_none

MOST_AT_ONCE = 256  # polls side by side


class Database(Section, frozen=True):
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
        url, at = read_given(self, "url", "database")
        learn_passwords(url)
        if fault := database_fault(url):
            raise ConfigError([f"{at}: {fault}"])
        return url


class Renewals(Section, frozen=True):
    """``[renewals]``."""

    warn_days: Annotated[tuple[Days, ...], Meta(min_length=1)] = (14, 7, 3, 1, 0)
    auto_renewal_warn_days: tuple[Days, ...] = (3,)
    grace: Duration = "12h"  # the night after the day, wherever the provider is
    missing_after_polls: Annotated[int, Meta(ge=1, le=1000)] = 3
    stale_after: Duration = "6h"


class Reminders(Section, frozen=True):
    """``[reminders]``: how often what was told and still holds is told again."""

    critical_every: DurationOrOff = "1d"
    warning_every: DurationOrOff = "off"
    info_every: DurationOrOff = "off"
    max_times: Annotated[int, Meta(ge=0, le=1000)] = 7
    lapse_days: Days = 2

    def interval(self, severity: Severity) -> timedelta | None:
        """The time between two tellings, None for no reminder."""
        return duration_or_none((self.info_every, self.warning_every, self.critical_every)[severity])


class Escalation(Section, frozen=True):
    """``[escalation]``: whom to tell of a critical alert that nobody acknowledged or resolved."""

    after: Duration = "4h"
    channels: tuple[str, ...] = ()


class Flapping(Section, frozen=True):
    """``[flapping]``: what changes to and fro is told once as such."""

    changes: Annotated[int, Meta(ge=2, le=1000)] = 4
    within: Duration = "24h"


class InventoryFile(Section, frozen=True):
    """``[inventory]``: whose a number is."""

    file: str = ""


class Canary(Section, frozen=True):
    """``[canary]``: a simulated number that goes the whole way on a schedule."""

    channel: str = ""
    schedule: str = "weekly mon 09:00"
    within: Duration = "30m"


class Privacy(Section, frozen=True):
    """``[privacy]``."""

    mask_in_logs: bool = False


class Template(Section, frozen=True):
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


class Account(Section, frozen=True):
    """``[account]``: what is read beside the list, with the same token; the balance with ``user_token``."""

    releases: bool = True
    topup: bool = True
    balance: bool = True
    agents: bool = True
    calls: bool = True
    every: Duration = "1h"
    card_warn_days: Days = 30
    horizon_days: Annotated[int, Meta(ge=1, le=31)] = 30


class Polls(Section, frozen=True):
    """``[polls]``: how many go on side by side."""

    at_once: Annotated[int, Meta(ge=1, le=MOST_AT_ONCE)] = 16


class Metrics(Section, frozen=True):
    """``[metrics]``."""

    labels: Literal["number", "id", "none"] = "number"


class Retention(Section, frozen=True):
    """``[retention]``: for how many days the past is kept; a month's last list for good where ``months_days`` is None."""

    changes_days: KeptDays = 365
    alerts_days: KeptDays = 730
    months_days: KeptDays | None = None


class Backup(Section, frozen=True):
    """``[backup]``: copies of the database on a schedule; none without a directory."""

    directory: str = ""
    schedule: str = "daily 03:30"
    keep_daily: Annotated[int, Meta(ge=0, le=10_000)] = 7
    keep_weekly: Annotated[int, Meta(ge=0, le=10_000)] = 4
    keep_monthly: Annotated[int, Meta(ge=0, le=10_000)] = 12

    @property
    def path(self) -> Path:
        """The directory; of no meaning where there is none."""
        return absolute(self.directory)
