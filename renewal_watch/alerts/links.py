"""Addresses of the pages, as messages and other programs are given them. Pure."""

from __future__ import annotations

from urllib.parse import quote

from renewal_watch.model.alerts import Alert


def number_path(environment: str, provider_id: str) -> str:
    """The page of a number; an id of dots alone would be taken for a step up."""
    return f"/numbers/{quote(environment, safe='')}/{quote(provider_id, safe='')}"


def incident_path(name: str) -> str:
    """The page of one incident, by the key of the alert that opened it."""
    return f"/incidents?incident={quote(name, safe='')}"


def path_of(alert: Alert) -> str:
    """Where somebody who reads an alert goes on: its number, else its incident, else what happened of late."""
    if alert.kind == "digest.sent":
        return "/"
    if alert.environment and alert.number_id:
        return number_path(alert.environment, alert.number_id)
    if alert.course is not None and alert.course.name:
        return incident_path(alert.course.name)
    return "/alerts"


def link_to(base: str, alerts: list[Alert]) -> str:
    """One address for all of a message; empty without the address of the pages (``public_url``)."""
    if not base:
        return ""
    paths = {path_of(alert) for alert in alerts}
    return base + (paths.pop() if len(paths) == 1 else "/incidents")
