"""The facts and the words of alerts about release requests. Pure."""

from __future__ import annotations

from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.phrases import DASHBOARD, facts, instant, who
from renewal_watch.model.account import Release
from renewal_watch.model.facts import Facts, Number, Words
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


def _released(number: Number | None, request: Release) -> str:
    return (
        who(number) if number else plain(request.number) or plain(request.number_id) or f"request {plain(request.id)}"
    )


def _end_of_release(number: Number | None, left: int | None, on: int | None, note: str) -> str:
    if number is None:
        return f"It is not in the list that is watched.{note}"
    return f"{facts(number, left, on)}{note}"


def _lower(sentence: str) -> str:
    return f"{sentence[0].lower()}{sentence[1:]}"


class ReleaseRequested(Facts, frozen=True):
    """Somebody asked to give a number back: the last moment to save it."""

    number: Number | None
    request: Release
    at: str
    left: int | None
    on: int | None
    note: Note | None = None

    def words(self) -> Words:
        name = _released(self.number, self.request)
        return f"{name}: release requested", (
            f"{name} ({self.at}): {_lower(asked(self.request))}. Once it is approved the number is gone for good: if nobody "
            f"meant it, cancel the request in {DASHBOARD} now. "
            f"{_end_of_release(self.number, self.left, self.on, noted(self.note))}"
        )

    def brief(self) -> str:
        return "release requested"


class ReleaseMeant(Facts, frozen=True):
    """A request, or its approval, for a number that is meant to expire."""

    number: Number
    request: Release
    at: str

    def words(self) -> Words:
        now = ": release requested" if self.request.status == "pending" else " is released or will be"
        return f"{who(self.number)}{now}, as meant", (
            f"{who(self.number)} ({self.at}): {_lower(asked(self.request))}. It is meant to expire: there is nothing to do."
        )


class ReleaseApproved(Facts, frozen=True):
    """The request was approved: the number is gone or will be; ``is_gone``: it was told as missing before."""

    number: Number | None
    request: Release
    at: str
    left: int | None
    on: int | None
    note: Note | None = None
    is_gone: bool = False

    def words(self) -> Words:
        name = _released(self.number, self.request)
        headline = f"{name} is gone, for it was released" if self.is_gone else f"{name} is released"
        what = "is gone, for it was released" if self.is_gone else "is released: it is gone or will be"
        todo = f"If nobody meant it, ask the provider at once, and look in {DASHBOARD} who asked for it"
        return headline, (
            f"{name} ({self.at}) {what}. {asked(self.request)}. That cannot be undone. {todo}. "
            f"{_end_of_release(self.number, self.left, self.on, noted(self.note))}"
        )


class ReleaseClosed(Facts, frozen=True):
    """The request came to nothing, or is not listed any more."""

    number: Number | None
    request: Release
    at: str
    is_listed: bool

    def words(self) -> Words:
        name = _released(self.number, self.request)
        if not self.is_listed:
            return f"{name}: the request to release it is not listed any more", (
                f"{name} ({self.at}): the request to release it is not listed any more, and nothing says what became of "
                f"it. Look in "
                f"{DASHBOARD} whether the number stays."
            )
        return f"{name} stays: the request to release it was {self.request.status}", (
            f"{name} ({self.at}) stays. {asked(self.request)}. Nothing to do."
        )
