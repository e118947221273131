"""The section of an environment, and the file that one may stand in."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from renewal_watch.model.policy import Name
from renewal_watch.settings.secrets import address, has_secret, read_secret
from renewal_watch.settings.values import Duration, Section, duration, readable

SETTLES_AFTER = timedelta(seconds=20)  # a file that was changed less long ago may still be written


PROVIDERS = {"talkover": "renewal_watch.provider.talkover.client"}  # by name: the module that opens it


class Environment(Section, frozen=True):
    """``[[environments]]``: one token's list."""

    name: Name
    base_url: str
    provider: str = "talkover"
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
    filters: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)
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
        return read_secret(self, "token", f"environments.{self.name}")

    @property
    def has_heartbeat(self) -> bool:
        """Whether it has a dead-man's switch."""
        return has_secret(self, "heartbeat")

    def read_heartbeat(self) -> str | None:
        """The address of its dead-man's switch, read now; None without one. Raises ConfigError."""
        if not self.has_heartbeat:
            return None
        place = f"environments.{self.name}"
        return address(read_secret(self, "heartbeat", place), f"{place}.heartbeat", self.allow_insecure_http)

    def read_user_token(self) -> str | None:
        """The token that the balance is read with, read now; None without one. Raises ConfigError."""
        return read_secret(self, "user_token", f"environments.{self.name}") if has_secret(self, "user_token") else None


class EnvironmentFile(Section, frozen=True, kw_only=True):
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
