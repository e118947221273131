"""What no single key shows: names that nothing has, keys that exclude each other. Each fault is a sentence with its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from renewal_watch.config.channel_checks import channel_faults, is_hook, rule_faults, way_faults
from renewal_watch.config.check_parts import names_of, pattern_faults, tables_of, texts, twice, unknown, zone_fault
from renewal_watch.config.environment_checks import crossed_environment
from renewal_watch.config.web_checks import web_faults
from renewal_watch.schedule import calendar
from renewal_watch.settings.database_url import database_faults
from renewal_watch.settings.secrets import absolute
from renewal_watch.settings.sections import Retention


def crossed(table: dict[str, Any], *, readable_by_others: bool) -> list[str]:
    """Faults that no key shows alone. Works on the raw table, whatever else is wrong with it."""
    faults: list[str] = []
    zone = table.get("timezone", "UTC")
    if isinstance(zone, str) and (fault := zone_fault(zone)):
        faults.append(f"timezone: {fault}")
    environments = tables_of(table, "environments")
    if "environments" not in table and "environments_dir" not in table:
        faults.append("environments: is missing; write [[environments]], or environments_dir with a file for each")
    faults += twice(environments, "environments")
    for count, one in enumerate(environments, 1):
        place = f"environments.{one.get('name', count)}"
        faults += crossed_environment(one, place, readable_by_others=readable_by_others)
    channels = tables_of(table, "channels")
    faults += twice(channels, "channels")
    known = None if "environments_dir" in table else names_of(environments)  # the directory may have any
    for count, one in enumerate(channels, 1):
        place = f"channels.{one.get('name', count)}"
        faults += way_faults(one, place, readable_by_others=readable_by_others)
        faults += unknown(one.get("environments"), known, f"{place}.environments", "environment")
        faults += pattern_faults(one.get("kinds"), f"{place}.kinds")
        faults += channel_faults(one, place, names_of(channels), zone)
    for count, one in enumerate(tables_of(table, "rules"), 1):
        faults += rule_faults(one, f"rules.{one.get('name', count)}", known, names_of(channels))
    faults += twice(tables_of(table, "rules"), "rules")
    faults += _other_faults(table, names_of(channels))
    faults += web_faults(table, readable_by_others=readable_by_others)
    database = table.get("database")
    if isinstance(database, dict):
        faults += database_faults(database, readable_by_others=readable_by_others)
    return faults


def _other_faults(table: dict[str, Any], channels: set[str]) -> Iterator[str]:
    """Faults of the sections that name channels."""
    pagers = {str(one["name"]) for one in tables_of(table, "channels") if "name" in one and one.get("service")}
    hooks = {str(one["name"]) for one in tables_of(table, "channels") if "name" in one and is_hook(one)}
    escalation, canary = (one if isinstance(one := table.get(name), dict) else {} for name in ("escalation", "canary"))
    yield from unknown(escalation.get("channels"), channels, "escalation.channels", "channel")
    if canary:
        if not isinstance(canary.get("channel"), str):
            yield "canary.channel: is missing; name the channel that the canary is sent to"
        else:
            yield from unknown([canary["channel"]], channels, "canary.channel", "channel")
            if canary["channel"] in pagers:
                yield f"canary.channel: {canary['channel']} is an on-call service, which would call somebody each time; name another"
        if isinstance(canary.get("schedule"), str) and (fault := calendar.calendar_fault(canary["schedule"])):
            yield f"canary.schedule: {fault}"
    for place, one in enumerate(tables_of(table, "templates"), 1):
        yield from pattern_faults(one.get("kinds"), f"templates.{place}.kinds")
        yield from unknown(one.get("channels"), channels, f"templates.{place}.channels", "channel")
        for name in sorted(set(texts(one.get("channels"))) & hooks):
            yield f"templates.{place}.channels: {name} is told no words of a template; leave it out"
        if one.get("subject") is None and one.get("body") is None:
            yield f"templates.{place}: it has neither subject nor body"
    yield from _retention_faults(table.get("retention"))
    backup = table.get("backup")
    if isinstance(backup, dict):
        if isinstance(backup.get("schedule"), str) and (fault := calendar.calendar_fault(backup["schedule"])):
            yield f"backup.schedule: {fault}"
        directory = backup.get("directory")
        if isinstance(directory, str) and directory and not absolute(directory).is_absolute():
            yield f"backup.directory: {directory!r} is no whole path; write it like /var/lib/renewal-watch/backups"


def _retention_faults(kept: Any) -> Iterator[str]:
    """The lists of months are what is left of the changes, so they cannot go before them."""
    months = kept.get("months_days") if isinstance(kept, dict) else None
    changes = kept.get("changes_days", Retention().changes_days) if isinstance(kept, dict) else None
    if isinstance(months, int) and isinstance(changes, int) and months < changes:
        yield f"retention.months_days: {months} is less than changes_days, which is {changes}; write {changes} or more"
