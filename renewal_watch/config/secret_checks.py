"""Whether every secret of a configuration can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from renewal_watch.errors import ConfigError
from renewal_watch.settings.whole import Settings


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
            faults.append(f"{place}: the secret holds a blank or a line break; write it again")
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
        elif channel.is_oncall:
            yield f"{place}.address", channel.read_address
            yield f"{place}.key", channel.read_service_key
        elif not channel.is_hook:
            yield f"{place}.url", channel.read_url
