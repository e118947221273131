"""The section of a channel."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Literal

from msgspec import Meta

from renewal_watch.language import Language
from renewal_watch.model.alerts import Severity
from renewal_watch.model.policy import Name
from renewal_watch.settings.secrets import address, base_address, has_secret, read_secret, signing_key
from renewal_watch.settings.values import Duration, Section
from renewal_watch.text import REDACTOR

AT_ONCE = "at once"
Service = Literal["pagerduty", "opsgenie", "jira", "alertmanager", "goalert"]
ADDRESSES: dict[str, str | None] = {  # of each on-call service; None: everybody has one of their own
    "pagerduty": "https://events.pagerduty.com",
    "opsgenie": "https://api.opsgenie.com",
    "jira": "https://api.atlassian.com/jsm/ops/integration",
    "alertmanager": None,
    "goalert": None,
}
KEYLESS = ("alertmanager",)  # may be open to whoever reaches it


class Channel(Section, frozen=True):
    """``[[channels]]``: one Apprise URL, command, webhook or on-call service; what it is told, when, and in which form."""

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
    service: Service | None = None
    address: str | None = None
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
    language: Language = "en"
    mask_numbers: bool = False
    acknowledge_link: bool = True
    timezone: str | None = None
    quiet_hours: tuple[str, ...] = ()
    critical_at_once: bool = True
    routine: str = "daily 09:00"
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
    def routine_at(self) -> str | None:
        """When what needs nobody is told; None: at once, as hooks are of everything."""
        return None if self.routine == AT_ONCE or self.is_hook else self.routine

    @property
    def is_hook(self) -> bool:
        """Whether it is a program, told each alert by itself: a command, a webhook, an on-call service."""
        return self.command is not None or self.is_webhook or self.is_oncall

    @property
    def is_oncall(self) -> bool:
        """Whether it is an on-call service, which is told how each incident stands."""
        return self.service is not None

    @property
    def is_webhook(self) -> bool:
        """Whether its alerts are posted."""
        return has_secret(self, "webhook")

    def read_url(self) -> str:
        """The Apprise URL, read now. Raises ConfigError."""
        return read_secret(self, "url", f"channels.{self.name}")

    def read_webhook(self) -> str:
        """The address that alerts are posted to, read now. Raises ConfigError."""
        place = f"channels.{self.name}"
        return address(read_secret(self, "webhook", place), f"{place}.webhook", self.allow_insecure_http)

    def read_key(self) -> bytes | None:
        """The key that signs what is posted, read now; None without one. Raises ConfigError."""
        place = f"channels.{self.name}"
        return signing_key(read_secret(self, "key", place), f"{place}.key") if has_secret(self, "key") else None

    def read_address(self) -> str:
        """Where its on-call service is, without a slash at the end. Raises ConfigError."""
        return base_address(
            self.address or ADDRESSES[self.service or ""] or "",
            f"channels.{self.name}.address",
            self.allow_insecure_http,
        )

    def read_service_key(self) -> str | None:
        """The key of its on-call service, read now; None without one. Raises ConfigError."""
        if not has_secret(self, "key"):
            return None
        key = read_secret(self, "key", f"channels.{self.name}")
        if self.service == "alertmanager":  # of user:password the latter may be quoted alone
            REDACTOR.learn(key.partition(":")[2] or key)
        return key
