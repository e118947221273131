"""Tells on-call services how incidents stand: not what an alert said when it was found, but what is so now.

    deliver   a message of the outbox: the service is to know of its incident
    sync      what changed since without one: acknowledged, taken back, resolved in silence, to be kept fresh

Before it is told, a row says that it may have been; after it, what. Whoever ends in between leaves the row, and the next
turn tells the service what is so then, under the same key.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from renewal_watch.alerts.links import incident_path, number_path
from renewal_watch.channels.oncall.talk import Remote, Report, State, Told
from renewal_watch.channels.pager import Pager
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import ChannelError, StoreError
from renewal_watch.language import _
from renewal_watch.model import renewal_day, selectors
from renewal_watch.model.alerts import Delivery
from renewal_watch.model.kinds import ROWS, UNKNOWN
from renewal_watch.notify import retry
from renewal_watch.notify.hold import Waiting, hold
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.store.incidents import oncall
from renewal_watch.store.incidents.listing import STATES, Listed, Wanted, list_incidents
from renewal_watch.store.numbers import number_ids, numbers_by_id
from renewal_watch.store.outbox.settling import channel_fails, channel_works
from renewal_watch.text import masked

log = logging.getLogger(__name__)

NO_REQUEST = (
    "no request: nothing was left to tell"  # the target of a message that asked nobody: the audit log claims no more
)
_STATES: dict[str, State] = {"suppressed": "acknowledged"}  # nobody is to be bothered


def standing(tx: Transaction, alert_id: int, routing: Routing, now: datetime) -> Listed | None:
    """The incident of an alert as it is now; None of an alert that is about none."""
    incident_id = oncall.incident_of_alert(tx, alert_id)
    return None if incident_id is None else _listed(tx, incident_id, routing, now)


def deliver(
    store: Store,
    pager: Pager,
    channel: Channel,
    delivery: Delivery,
    routing: Routing,
    now: datetime,
    own: Callable[[], None],
) -> str:
    """Tell how the incident of a message stands; where. Raises ChannelError; ``own`` raises HeldUp where the claim is lost.

    What is open is told anew whatever was told before: people may have closed it there. An alert without an incident, and
    one whose incident was over before the service heard of it, is told by no request.
    """
    (alert_id,) = delivery.alert_ids
    with store.transaction(f"channel {channel.name}") as tx:
        one = standing(tx, alert_id, routing, now)
        if one is None:
            return NO_REQUEST
        report = _report(tx, one, channel, routing)
        told = oncall.told_of(tx, channel.name, one.id, pager.at)
        if told is None and report.state == "resolved":
            return NO_REQUEST
        remote = pager.remote(report, told)
        oncall.begin(tx, channel.name, one.id, told, Told("open", report.severity, remote), now)
    own()
    if told is not None and report.state == "open":
        told = msgspec.structs.replace(told, is_sure=False)
    try:
        pager.tell(report, told, remote)
    except ChannelError as error:  # the message is tried again; should it be given up, the row is
        with store.transaction(f"channel {channel.name}") as tx:
            oncall.note_untold(tx, channel.name, one.id, str(error), now + retry.BACKOFF_LONGEST)
        raise
    _note(store, channel, one.id, report, remote, routing, now)
    return pager.target


def is_due(tx: Transaction, channel: Channel, routing: Routing, now: datetime) -> bool:
    """Whether ``sync`` has anything to tell."""
    if not channel.is_oncall:
        return False
    return any(not _is_held(channel, one, routing, now) for one in _due(tx, channel, Pager(channel, lambda: now), now))


def sync(
    store: Store,
    pager: Pager,
    channel: Channel,
    routing: Routing,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool],
) -> tuple[int, int]:
    """Tell what changed; how many incidents the service was told of, and how many it was not. Raises StoreError.

    It ends at the first that fails: the next turn goes on with those that wait longest.
    """
    told, channel = 0, routing.named(channel.name) or channel
    with store.reading() as tx:
        waiting = [one for one in _due(tx, channel, pager, clock()) if not _is_held(channel, one, routing, clock())]
    for one in waiting:
        if should_stop():
            break
        with store.transaction(f"channel {channel.name}") as tx:
            now = clock()
            if not oncall.take(tx, channel.name, one, now):
                continue
            found = _listed(tx, one.incident_id, routing, now)
            report = _report(tx, found, channel, routing) if found else _gone(one.told, now)
            is_known = one.told.remote.at == pager.at
            before = one.told if is_known else None
            remote = pager.remote(report, before)
        try:
            if is_known or report.state != "resolved":
                pager.tell(report, before, remote)
        except ChannelError as error:
            log.warning("channel=%s incident=%s not told: %s", channel.name, report.key, error)
            _note_failure(store, channel, one, error, routing, clock())
            return told, 1
        is_news = before is None or (before.state, before.severity) != (report.state, report.severity)
        _note(store, channel, one.incident_id, report, remote, routing, clock(), is_news=is_news)
        told += is_news
    return told, 0


def _due(tx: Transaction, channel: Channel, pager: Pager, now: datetime) -> list[oncall.Due]:
    return list(oncall.due_to_be_told(tx, channel.name, pager.at, pager.service.refresh, now))


def _is_held(channel: Channel, one: oncall.Due, routing: Routing, now: datetime) -> bool:
    """Whether it would call somebody in quiet hours, which its alert waits for as well."""
    waits = Waiting(0, one.severity, at_once=False, created_at=now, is_fresh=False)
    return one.is_louder and hold(channel, waits, routing.zone, (), now) is not None


def _note(
    store: Store,
    channel: Channel,
    incident_id: int,
    report: Report,
    remote: Remote,
    routing: Routing,
    now: datetime,
    *,
    is_news: bool = True,
) -> None:
    """What was told. Where that cannot be written the row says still that it may have been: it is told again."""
    told = Told(report.state, report.severity, remote)
    try:
        with store.transaction(f"channel {channel.name}") as tx:
            oncall.note_told(tx, channel.name, incident_id, told, now)
            channel_works(tx, channel.name, routing, now)
    except StoreError as error:
        log.error("channel=%s incident=%s was told, which cannot be written: %s", channel.name, report.key, error)  # noqa: TRY400
    else:
        level = logging.INFO if is_news else logging.DEBUG  # what is kept fresh is told every few minutes
        log.log(level, "channel=%s incident=%s told as %s", channel.name, report.key, report.state)


def _note_failure(
    store: Store, channel: Channel, one: oncall.Due, error: ChannelError, routing: Routing, now: datetime
) -> None:
    chance = random.random()  # noqa: S311 (no secret)
    wait = min(error.retry_after or timedelta(0), retry.BACKOFF_LONGEST)
    again_at = max(now + wait, retry.next_attempt(one.attempts + 1, now, chance))
    with store.transaction(f"channel {channel.name}") as tx:
        oncall.note_untold(tx, channel.name, one.incident_id, str(error), again_at)
        channel_fails(tx, channel.name, str(error), routing, now)


def _listed(tx: Transaction, incident_id: int, routing: Routing, now: datetime) -> Listed | None:
    wanted = Wanted(ids=[incident_id], states=STATES, with_folded=True)
    return next(iter(list_incidents(tx, renewal_day.today(now, routing.zone), wanted)), None)


def _gone(told: Told, now: datetime) -> Report:
    """Of an incident that was deleted: it is over."""
    return Report(key=told.remote.key, state="resolved", severity=told.severity, topic="", opened_at=now)


def _report(tx: Transaction, one: Listed, channel: Channel, routing: Routing) -> Report:
    """An incident as its channel is to see it."""
    ids = number_ids(tx, {(one.environment, one.number_id)}) if one.number_id else {}
    subject = routing.seen(one.environment, next(iter(numbers_by_id(tx, ids.values()).values()), None))
    record = routing.record(subject)
    headline, text = one.words
    report = Report(
        key=one.name,
        state=_STATES.get(one.state, one.state),  # type: ignore[arg-type]
        severity=one.severity,
        topic=one.topic,
        kind=one.kind,
        headline=headline,
        text=text,
        todo=_(todo) if (todo := ROWS.get(one.kind, UNKNOWN).todo) else "",
        environment=one.environment,
        number=one.number,
        number_id=one.number_id,
        owner=routing.said(subject).owner or record.owner,
        labels=tuple(record.labels),
        who=one.acknowledged_by or "",
        why=one.suppressed or "",
        opened_at=one.opened_at,
        url=_url(one, routing),
    )
    return _masked(report, routing) if channel.mask_numbers else report


def _url(one: Listed, routing: Routing) -> str:
    if not routing.pages:
        return ""
    is_of_number = one.environment and one.number_id
    return routing.pages + (
        number_path(one.environment, one.number_id or "") if is_of_number else incident_path(one.name)
    )


def _masked(report: Report, routing: Routing) -> Report:
    """The same for a service that must not know whole numbers; an id that is made of the number is none either."""
    shown = replace(
        report,
        headline=masked(report.headline, report.number),
        text=masked(report.text, report.number),
        number=report.number and masked(report.number, report.number),
        owner=masked(report.owner, report.number),
        labels=tuple(masked(one, report.number) for one in report.labels),
    )
    number = selectors.digits(report.number)
    if number and any(number in selectors.digits(one) for one in (report.key, report.number_id or "")):
        key = f"rw-{sha256(report.key.encode()).hexdigest()[:32]}"
        return replace(shown, key=key, number_id=None, url=routing.pages and f"{routing.pages}/incidents")
    return shown
