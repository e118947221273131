"""One turn of one channel: claim a due message, send it, write its fate; until nothing is due.

    claim (committed) ─► render ─► send ─► sent     after success only
                                       └─► pending  with back-off, or failed after three days

An on-call service is told last what changed without a message (``oncall.sync``).

A crash after the send and before its mark leaves the lease to run out: the message is sent once more, never lost.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

from renewal_watch.alerts.phrases import in_zone
from renewal_watch.channels.limits import Limits
from renewal_watch.channels.pager import Pager
from renewal_watch.database.store import Store
from renewal_watch.errors import ChannelError, ConfigError, HeldUp, StoreError
from renewal_watch.language import _, in_language
from renewal_watch.model.alerts import Delivery, Message
from renewal_watch.notify.message import render as notify_render
from renewal_watch.notify.message import wording
from renewal_watch.notify.message.render import Own
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import oncall
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.secrets import has_secret
from renewal_watch.settings.values import duration
from renewal_watch.store.incidents.account import users_of
from renewal_watch.store.incidents.incidents import facts_of_alerts
from renewal_watch.store.outbox.alerts import with_numbers
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import release_claim, settle_failed, settle_sent, still_claims

log = logging.getLogger(__name__)

CLAIM_IS_OLD = timedelta(seconds=20)  # a process that slept longer between claim and send gives the claim back
WORDED = 1000  # alerts of a message that are put in the user's words; no service shows as many
SYNC_S = 60  # what changed without a message waits no longer for those that are due
MARK_TRIES = 5  # writing that a message was sent is worth waiting for: what is not marked is sent again


class Sender(Protocol):
    """What the senders of ``senders.sender_of`` are to this module."""

    def send(self, render: Callable[[Limits], Message]) -> str | None:
        """Deliver or raise ChannelError; where it went, without what is secret."""


@dataclass(slots=True, kw_only=True)
class Outlet:
    """A channel with its sender, and what could not be written of the messages it had."""

    channel: Channel
    sender: Sender
    unmarked: dict[str, Delivery | None] = field(default_factory=dict)  # by message; None once the claim was lost
    unsent: list[Delivery] = field(default_factory=list)  # claims that are still to be given back
    instance: str | None = None  # the daemon, where several share the database


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a turn did."""

    sent: int = 0
    failed: int = 0


def run_once(
    store: Store,
    outlet: Outlet,
    routing: Routing,
    clock: Callable[[], datetime],
    *,
    should_stop: Callable[[], bool] = lambda: False,
    monotonic: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send what is due on ``outlet``, in its language. Raises StoreError when a claim cannot be written: then nothing is sent."""
    with in_zone(routing.zone), in_language(outlet.channel.language):
        return _run_once(store, outlet, routing, clock, should_stop, monotonic, pause)


def _run_once(
    store: Store,
    outlet: Outlet,
    routing: Routing,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool],
    monotonic: Callable[[], float],
    pause: Callable[[float], None],
) -> Sent:
    turn = f"channel {outlet.channel.name}"
    sent, failed = _write_late(store, outlet, routing, clock), 0
    synced = monotonic()
    while not should_stop():
        claimed = monotonic()
        if isinstance(outlet.sender, Pager) and claimed - synced >= SYNC_S:
            told, untold = oncall.sync(store, outlet.sender, outlet.channel, routing, clock, should_stop)
            sent, failed, synced = sent + told, failed + untold, monotonic()
            claimed = synced
        with store.transaction(turn) as tx:
            delivery = claim(tx, outlet.channel, routing.zone, clock(), outlet.instance)
        if delivery is None:
            break
        if delivery.message_id in outlet.unmarked:
            known = outlet.unmarked[delivery.message_id]
            outcome: _Failed | str = (known.target if known else None) or ""
        elif should_stop():
            with store.transaction(turn) as tx:
                release_claim(tx, delivery)
            break
        else:
            try:
                deliver = _way(store, outlet, delivery, routing, clock, lambda: monotonic() - claimed)  # noqa: B023 (used at once)
                outcome = _send(deliver, delivery)
            except HeldUp:
                outlet.unsent.append(delivery)
                _give_back(store, outlet)
                continue
            except StoreError:  # before the send: nobody knows whose the message is by now
                outlet.unsent.append(delivery)
                raise
        if not isinstance(outcome, _Failed):
            sent += 1
            _mark_sent(store, outlet, replace(delivery, target=outcome or None), routing, clock, pause)
        else:
            failed += 1
            chance = random.random()  # noqa: S311 (no secret)
            with store.transaction(turn) as tx:
                settle_failed(tx, delivery, outcome.why, routing, clock(), chance, outcome.wait)
            if outcome.wait:  # who asked to be left alone is asked no more in this turn
                return Sent(sent=sent, failed=failed)
    if isinstance(outlet.sender, Pager):
        told, untold = oncall.sync(store, outlet.sender, outlet.channel, routing, clock, should_stop)
        sent, failed = sent + told, failed + untold
    return Sent(sent=sent, failed=failed)


class _Failed(NamedTuple):
    """Why a message was not delivered, and how long the receiver asked to be left alone."""

    why: str
    wait: timedelta = timedelta(0)


_Show = Callable[[Limits, datetime], Message]  # a delivery as its channel is to see it, within limits, at a time


def _shown(store: Store, outlet: Outlet, delivery: Delivery, routing: Routing, now: datetime) -> _Show:
    """In the user's words where there are templates, with numbers masked where they are to be; for a hook as JSON."""
    channel = routing.named(outlet.channel.name) or outlet.channel
    if outlet.channel.is_hook:
        return _as_event(store, channel, delivery, routing, now)
    alerts = delivery.alerts
    own: Mapping[str, Own] = {}
    note = delivery.note
    if routing.templates:
        urgent = sorted(alerts, key=notify_render.urgency)[:WORDED]
        with store.reading() as tx:
            described = with_numbers(tx, urgent)
        own, fault = wording.own_words(described, channel, routing, delivery.created_at)
        if fault:
            log.warning("channel=%s message=%s a template failed: %s", channel.name, delivery.message_id, fault)
            note = "; ".join(filter(None, (note, _("in built-in words, for a template failed: {fault}", fault=fault))))
    if channel.mask_numbers:
        alerts = tuple(wording.mask(alert) for alert in alerts)

    def show(limits: Limits, now: datetime) -> Message:
        return notify_render.render(
            delivery.message_id,
            alerts,
            created_at=delivery.created_at,
            now=now,
            body_limit=limits.body,
            title_limit=limits.title,
            form=channel.format,
            note=note,
            own=own,
            is_mail=limits.is_mail,
            is_held=delivery.is_held,
            pages=routing.pages,
            answer=_answer(delivery, channel, routing, now),
        )

    return show


def _answer(delivery: Delivery, channel: Channel, routing: Routing, now: datetime) -> str:
    """Where whoever reads the message can acknowledge it; empty where that is not offered. `config check` says why."""
    if not (routing.pages and channel.acknowledge_link and has_secret(routing.web, "key")):
        return ""
    from renewal_watch.alerts.answers import answer_to, sealed  # noqa: PLC0415 (what signs is loaded where something is signed)

    answer = answer_to(delivery.alerts, channel.name, now, duration(routing.web.links_for))
    try:
        key = routing.web.read_key() if answer else None
    except ConfigError as error:
        log.warning("channel=%s no link to acknowledge: %s", channel.name, error)
        key = None
    return f"{routing.pages}/answer/{sealed(answer, key)}" if answer and key else ""


def _as_event(store: Store, channel: Channel, delivery: Delivery, routing: Routing, now: datetime) -> _Show:
    """The one alert of a hook's message, and how its incident stands now."""
    with store.reading() as tx:
        (alert,) = with_numbers(tx, delivery.alerts)
        (alert_id,) = delivery.alert_ids
        _facts, found_at = facts_of_alerts(tx, [alert_id])[alert_id]
        place = (alert.environment, alert.number_id or "")
        agents = users_of(tx, [place]).get(place) if alert.number_id else None
        incident = oncall.standing(tx, alert_id, routing, now)
    event = wording.event(
        alert,
        channel,
        routing,
        message_id=delivery.message_id,
        alert_id=alert_id,
        found_at=found_at,
        note=delivery.note,
        agents=agents,
        incident=None if incident is None else (incident.name, incident.state, incident.opened_at),
    )
    return lambda _limits, _now: event


def _way(
    store: Store,
    outlet: Outlet,
    delivery: Delivery,
    routing: Routing,
    clock: Callable[[], datetime],
    age: Callable[[], float],
) -> Callable[[], str | None]:
    """What delivers a message and says where it went: it is rendered and sent, or its incident is told to an on-call service."""

    def own() -> None:
        if age() > CLAIM_IS_OLD.total_seconds() or not _is_ours(store, delivery, clock()):
            msg = "the claim is too old"
            raise HeldUp(msg)

    if isinstance(outlet.sender, Pager):
        channel = routing.named(outlet.channel.name) or outlet.channel
        return partial(oncall.deliver, store, outlet.sender, channel, delivery, routing, clock(), own)
    show = _shown(store, outlet, delivery, routing, clock())

    def render(limits: Limits) -> Message:
        message = show(limits, clock())
        own()
        return message

    return partial(outlet.sender.send, render)


def _send(deliver: Callable[[], str | None], delivery: Delivery) -> _Failed | str:
    """Why the message was not delivered, or where it went. Raises HeldUp, or StoreError, when it was not even tried."""
    try:
        target = deliver() or ""
    except HeldUp:
        log.warning(
            "channel=%s message=%s claim given back: held up before the send", delivery.channel, delivery.message_id
        )
        raise
    except StoreError:
        raise
    except ChannelError as error:
        log.warning(
            "channel=%s message=%s attempt=%d not delivered: %s",
            delivery.channel,
            delivery.message_id,
            delivery.attempts,
            error,
        )
        return _Failed(str(error), error.retry_after or timedelta(0))
    except Exception as error:  # one message that breaks us must be seen to fail, and hold up no other
        log.exception(
            "channel=%s message=%s attempt=%d broke", delivery.channel, delivery.message_id, delivery.attempts
        )
        return _Failed(f"a fault of renewal-watch ({type(error).__name__}); the log has its traceback")
    log.info("channel=%s message=%s alerts=%d sent", delivery.channel, delivery.message_id, len(delivery.alerts))
    return target


def _is_ours(store: Store, delivery: Delivery, now: datetime) -> bool:
    """Whether the claim is still in force, by the clock that it was made by: asked as the last thing before the send."""
    if not store.is_shared:
        return now < delivery.leased_until
    with store.reading() as tx:
        return still_claims(tx, delivery, now)


def _give_back(store: Store, outlet: Outlet) -> None:
    """Leave messages that were not sent to whoever comes next."""
    while outlet.unsent:
        with store.transaction(f"channel {outlet.channel.name}") as tx:
            release_claim(tx, outlet.unsent[-1])
        outlet.unsent.pop()


def _write_late(store: Store, outlet: Outlet, routing: Routing, clock: Callable[[], datetime]) -> int:
    """What the database did not take before. Messages are marked as sent before somebody sends them again; how many."""
    _give_back(store, outlet)
    marked = 0
    for message_id, delivery in list(outlet.unmarked.items()):
        if delivery is None:
            continue
        with store.transaction(f"channel {outlet.channel.name}") as tx:
            is_marked = settle_sent(tx, delivery, routing, clock())
        if is_marked:
            marked += 1
            del outlet.unmarked[message_id]
        else:
            outlet.unmarked[message_id] = None
    return marked


def _mark_sent(
    store: Store,
    outlet: Outlet,
    delivery: Delivery,
    routing: Routing,
    clock: Callable[[], datetime],
    pause: Callable[[float], None],
) -> None:
    """Write that it was sent. Where that cannot be done it is remembered here, and done in a later turn."""
    outlet.unmarked[delivery.message_id] = delivery
    for tries in range(MARK_TRIES):
        try:
            with store.transaction(f"channel {outlet.channel.name}") as tx:
                settle_sent(tx, delivery, routing, clock())
        except StoreError as error:
            log.error("message=%s was sent but could not be marked: %s", delivery.message_id, error)  # noqa: TRY400
            if tries == MARK_TRIES - 1:
                raise
            pause(2**tries / 4)
        else:
            del outlet.unmarked[delivery.message_id]
            return
