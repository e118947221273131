"""The texts of alerts about release requests. Pure."""

from __future__ import annotations

from renewal_watch.alerts.phrases import DASHBOARD, facts, instant, who
from renewal_watch.model.account import Release
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.text import plain


def asked(request: Release) -> str:
    """``Its release was requested at … (reason: …) and approved at …``."""
    when = f" at {instant(request.requested_at)}" if request.requested_at else ""
    why = f" (reason: {plain(request.reason).rstrip('.')})" if request.reason else ""
    said = f"Its release was requested{when}{why}"
    if request.status == "pending":
        return f"{said} and is not decided yet"
    done = f" at {instant(request.resolved_at)}" if request.resolved_at else ""
    answer = f" ({plain(request.rejection).rstrip('.')})" if request.rejection and request.status == "rejected" else ""
    return f"{said} and {request.status}{done}{answer}"


def _released(number: PhoneNumber | None, request: Release) -> str:
    return (
        who(number) if number else plain(request.number) or plain(request.number_id) or f"request {plain(request.id)}"
    )


def _end_of_release(number: PhoneNumber | None, left: int | None, on: int | None, note: str) -> str:
    if number is None:
        return f"It is not in the list that is watched.{note}"
    return f"{facts(number, left, on)}{note}"


def release_requested(
    number: PhoneNumber | None, request: Release, at: str, left: int | None, on: int | None, note: str = ""
) -> tuple[str, str]:
    """Somebody asked to give a number back: the last moment to save it."""
    name = _released(number, request)
    return f"{name} is to be released", (
        f"{name} ({at}) is to be released. {asked(request)}. Once it is approved the number is gone for good: if nobody "
        f"meant it, cancel the request in {DASHBOARD} now. {_end_of_release(number, left, on, note)}"
    )


def release_meant(number: PhoneNumber, request: Release, at: str) -> tuple[str, str]:
    """A request, or its approval, for a number that is meant to lapse."""
    now = "is to be released" if request.status == "pending" else "is released or will be"
    return f"{who(number)} {now}, as meant", (
        f"{who(number)} ({at}) {now}. {asked(request)}. It is meant to lapse: there is nothing to do."
    )


def release_approved(
    number: PhoneNumber | None,
    request: Release,
    at: str,
    left: int | None,
    on: int | None,
    note: str = "",
    *,
    is_gone: bool = False,
) -> tuple[str, str]:
    """The request was approved: the number is gone or will be; ``is_gone``: it was told as missing before."""
    name = _released(number, request)
    headline = f"{name} is gone, for it was released" if is_gone else f"{name} is released"
    what = "is gone, for it was released" if is_gone else "is released: it is gone or will be"
    todo = f"If nobody meant it, ask the provider at once, and look in {DASHBOARD} who asked for it"
    return headline, (
        f"{name} ({at}) {what}. {asked(request)}. That cannot be undone. {todo}. "
        f"{_end_of_release(number, left, on, note)}"
    )


def release_closed(number: PhoneNumber | None, request: Release, at: str, *, is_listed: bool) -> tuple[str, str]:
    """The request came to nothing, or is not listed any more."""
    name = _released(number, request)
    if not is_listed:
        return f"{name}: the request to release it is not listed any more", (
            f"{name} ({at}): the request to release it is not listed any more, and nothing says what became of it. Look in "
            f"{DASHBOARD} whether the number stays."
        )
    return f"{name} stays: the request to release it was {request.status}", (
        f"{name} ({at}) stays. {asked(request)}. Nothing to do."
    )
