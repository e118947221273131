"""The facts and the words of alerts about release requests. Pure."""

from __future__ import annotations

from renewal_watch.alerts.notes import Note, noted
from renewal_watch.alerts.phrases import facts, instant, who
from renewal_watch.language import _, pgettext
from renewal_watch.model.account import Release
from renewal_watch.model.facts import Facts, Number, Words
from renewal_watch.text import plain


def asked(request: Release) -> str:
    """``Its release was requested at … (reason: …) and approved at …``."""
    when = _(" at {at}", at=instant(request.requested_at)) if request.requested_at else ""
    why = _(" (reason: {reason})", reason=plain(request.reason).rstrip(".")) if request.reason else ""
    values = {"when_and_why": f"{when}{why}"}
    if request.status == "pending":
        return _("Its release was requested{when_and_why} and is not decided yet", **values)
    done = _(" at {at}", at=instant(request.resolved_at)) if request.resolved_at else ""
    answer = f" ({plain(request.rejection).rstrip('.')})" if request.rejection and request.status == "rejected" else ""
    return _(
        "Its release was requested{when_and_why} and {outcome}", outcome=f"{outcome(request)}{done}{answer}", **values
    )


def outcome(request: Release) -> str:
    """What became of a request, as it stands after ``was``."""
    known = {
        "pending": pgettext("status", "pending"),
        "approved": _("approved"),
        "rejected": _("rejected"),
        "cancelled": _("cancelled"),
    }
    return known.get(request.status) or plain(request.status)


def _released(number: Number | None, request: Release) -> str:
    if number:
        return who(number)
    return plain(request.number) or plain(request.number_id) or _("request {id}", id=plain(request.id))


def _end_of_release(number: Number | None, left: int | None, on: int | None, note: str) -> str:
    if number is None:
        return _("It is not in the list that is watched.") + note
    return f"{facts(number, left, on)}{note}"


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
        todo = _(
            "Once it is approved the number is gone for good: if nobody meant it, cancel the request in the provider's "
            "dashboard now."
        )
        end = _end_of_release(self.number, self.left, self.on, noted(self.note))
        return (
            _("{name}: release requested", name=name),
            f"{name} ({self.at}): {_lower(asked(self.request))}. {todo} {end}",
        )

    def brief(self) -> str:
        return _("release requested")


class ReleaseMeant(Facts, frozen=True):
    """A request, or its approval, for a number that is meant to expire."""

    number: Number
    request: Release
    at: str

    def words(self) -> Words:
        name = who(self.number)
        if self.request.status == "pending":
            headline = _("{name}: release requested, as meant", name=name)
        else:
            headline = _("{name} is released or will be, as meant", name=name)
        todo = _("It is meant to expire: there is nothing to do.")
        return headline, f"{name} ({self.at}): {_lower(asked(self.request))}. {todo}"


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
        place = f"{name} ({self.at})"
        if self.is_gone:
            headline = _("{name} is gone, for it was released", name=name)
            said = _("{place} is gone, for it was released.", place=place)
        else:
            headline = _("{name} is released", name=name)
            said = _("{place} is released: it is gone or will be.", place=place)
        todo = _(
            "That cannot be undone. If nobody meant it, ask the provider at once, and look in the provider's dashboard who "
            "asked for it."
        )
        end = _end_of_release(self.number, self.left, self.on, noted(self.note))
        return headline, f"{said} {asked(self.request)}. {todo} {end}"


class ReleaseClosed(Facts, frozen=True):
    """The request came to nothing, or is not listed any more."""

    number: Number | None
    request: Release
    at: str
    is_listed: bool

    def words(self) -> Words:
        name = _released(self.number, self.request)
        place = f"{name} ({self.at})"
        if not self.is_listed:
            return _("{name}: the request to release it is not listed any more", name=name), _(
                "{place}: the request to release it is not listed any more, and nothing says what became of it. Look in the "
                "provider's dashboard whether the number stays.",
                place=place,
            )
        return (
            _("{name} stays: the request to release it was {outcome}", name=name, outcome=outcome(self.request)),
            _("{place} stays. {request}. Nothing to do.", place=place, request=asked(self.request)),
        )


def _lower(sentence: str) -> str:
    return f"{sentence[0].lower()}{sentence[1:]}"
