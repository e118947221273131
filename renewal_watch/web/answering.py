"""Acknowledging by the link of a message, without a login: a page asks once, and only its button acts.

Those who look at links before people do (scanners of mail, previews of chats) only ever GET. The link is good for nothing but
its incidents, in the name of its channel, until it runs out or is called back; what is known of the rest is not shown.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from renewal_watch.alerts.answers import Answer, mark_of, opened
from renewal_watch.alerts.phrases import in_zone
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import ConfigError, UsageError
from renewal_watch.language import N_, in_language, pgettext
from renewal_watch.model import renewal_day
from renewal_watch.model.actor import Actor
from renewal_watch.operations import actions
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.values import duration
from renewal_watch.store.access.links import is_revoked
from renewal_watch.store.incidents.listing import STATES, Listed, State, Wanted, list_incidents
from renewal_watch.text import masked
from renewal_watch.web.bodies import body_of
from renewal_watch.web.layout import Layout, visitor_of
from renewal_watch.web.pages.words import LENGTHS, TONES

log = logging.getLogger(__name__)
FREE_TRIES = 20  # links that are none in a minute; more are not looked at before their minute is over
_MINUTE = timedelta(minutes=1)
UNANSWERED: tuple[State, ...] = ("open", "suppressed")  # what may still be acknowledged
_LONGEST_FORM = 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An incident as the channel is told of it."""

    headline: str
    text: str
    severity: str
    tone: str
    state: str
    acknowledged_by: str | None
    acknowledged_until: datetime | None


class Answering:
    """The page of a link, and its button."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._state = layout.state
        self._wrong: deque[datetime] = deque(maxlen=FREE_TRIES)

    @property
    def routes(self) -> list[Route]:
        """Their address."""
        return [Route("/answer/{link}", self.page), Route("/answer/{link}", self.answer, methods=["POST"])]

    def page(self, request: Request) -> Response:
        """What it is about, and the question."""
        return self._page(request, *self._meant(request))

    async def answer(self, request: Request) -> Response:
        """Acknowledge, for as long as the form says; an empty form is without an end."""
        body = await body_of(request, _LONGEST_FORM)
        form = dict(parse_qsl(body.decode("utf-8", "replace")))
        length = form.get("length", request.query_params.get("length", ""))
        return await run_in_threadpool(self._answer, request, length)

    def _answer(self, request: Request, length: str) -> Response:
        if length and length not in LENGTHS:
            raise HTTPException(400, N_("It can be acknowledged only for as long as the page offers."))
        answer, channel = self._meant(request)
        actor = Actor(f"link: {channel.name}", visitor_of(request).place.origin("link"))
        settings, now = self._state.settings, self._state.clock()
        with in_language(settings.web.language), in_zone(settings.timezone):
            with self._state.writing() as tx:
                ids = [one.id for one in self._still_counts(tx, answer)]
                wanted = Wanted(ids=ids, states=UNANSWERED, with_folded=True)
                asked = actions.open_of(tx, wanted, pgettext("nothing is open about …", "what the message was about"))
                until = now + duration(length) if length else None
                try:
                    said = actions.acknowledge(tx, asked, actor, "", now, until).said
                except UsageError:
                    said = ""  # it is over, or somebody else was first, as the page says
            return self._page(request, answer, channel, said)

    def _page(self, request: Request, answer: Answer, channel: Channel, said: str = "") -> Response:
        settings = self._state.settings
        with in_language(settings.web.language), in_zone(settings.timezone):
            with self._state.reading() as tx:
                those = self._still_counts(tx, answer)
            shown = [_shown(one, channel) for one in those]
            return self._layout.shown(
                request,
                "answer.html",
                incidents=shown,
                is_open=any(one.state in UNANSWERED for one in shown),
                is_over=all(one.state == "resolved" for one in shown),
                said=said,
                ends_at=answer.ends_at,
            )

    def _meant(self, request: Request) -> tuple[Answer, Channel]:
        """What a link is for. Raises HTTPException for one that is none, or counts no more."""
        now, settings = self._state.clock(), self._state.settings
        try:
            key = settings.web.read_key()
        except ConfigError as error:
            log.error("%s", error)  # noqa: TRY400 (the sentence says it all)
            key = None
        answer = opened(request.path_params["link"], key) if key is not None else None
        if answer is None:
            if len(self._wrong) == FREE_TRIES and timedelta(0) <= now - self._wrong[0] < _MINUTE:
                raise HTTPException(
                    429, N_("Too many wrong links; wait a minute and try again."), {"Retry-After": "60"}
                )
            self._wrong.append(now)
            log.warning("a link to acknowledge was given that is none")
            raise HTTPException(404, N_("This link is none of ours, or its key was changed since."))
        channel = next((one for one in settings.channels if one.name == answer.channel), None)
        if now >= answer.ends_at or channel is None or not channel.acknowledge_link:
            raise _over()
        return answer, channel

    def _still_counts(self, tx: Transaction, answer: Answer) -> Sequence[Listed]:
        """The incidents of a link. Raises HTTPException where it was called back, or where they are kept no more."""
        settings = self._state.settings
        today = renewal_day.today(self._state.clock(), settings.timezone)
        wanted = Wanted(states=STATES, ids=list(answer.incidents), with_folded=True)
        those = [one for one in list_incidents(tx, today, wanted) if answer.incidents[one.id] == mark_of(one.name)]
        if not those or is_revoked(tx, answer.channel, [one.name for one in those], answer.made_at):
            raise _over()
        return those


def _over() -> HTTPException:
    return HTTPException(410, N_("This link counts no more; see the newest message, or log in to the pages."))


def _shown(one: Listed, channel: Channel) -> Shown:
    headline, text = one.words
    if channel.mask_numbers:
        headline, text = masked(headline, one.number), masked(text, one.number)
    return Shown(
        headline=headline,
        text=text,
        severity=one.severity.name,
        tone=TONES[one.severity.name] if one.state == "open" else "calm",
        state=one.state,
        acknowledged_by=one.acknowledged_by,
        acknowledged_until=one.acknowledged_until,
    )
