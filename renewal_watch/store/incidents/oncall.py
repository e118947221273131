"""What on-call services were told of incidents, and of which they are to be told anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import and_, case, delete, exists, func, insert, literal, or_, select, update

from renewal_watch.channels.oncall.talk import Remote, State, Told
from renewal_watch.database.schema import alerts, incidents, oncall_states
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.alerts import Severity
from renewal_watch.notify import retry
from renewal_watch.store.selections import LAPSED

LEASE = timedelta(seconds=90)  # as long as that of a message: no telling takes longer
AT_A_TIME = 200
_COLUMNS = oncall_states.c


class Due(NamedTuple):
    """An incident that a service is to be told of: what it was told last, and how it stands now."""

    incident_id: int
    told: Told
    state: State
    severity: Severity  # now; of one that is gone, as it was told
    attempts: int
    next_attempt_at: datetime

    @property
    def is_louder(self) -> bool:
        """Whether it calls somebody who was not called yet."""
        is_open = self.state == "open" and (self.told.state != "open" or not self.told.is_sure)
        return is_open or (self.state != "resolved" and self.severity > self.told.severity)


def incident_of_alert(tx: Transaction, alert_id: int) -> int | None:
    """The incident that an alert opened, or is about."""
    found: int | None = tx.connection.execute(select(alerts.c.incident_id).where(alerts.c.id == alert_id)).scalar()
    return found


def told_of(tx: Transaction, channel: str, incident_id: int, at: str) -> Told | None:
    """What a service was told of an incident; None where it was nothing, or where another was."""
    query = select(oncall_states).where(_is_of(channel, incident_id))
    row = tx.connection.execute(query).one_or_none()
    told = None if row is None else _told(row)
    return told if told is not None and told.remote.at == at else None


def due_to_be_told(
    tx: Transaction, channel: str, at: str, refresh: timedelta | None, now: datetime, most: int = AT_A_TIME
) -> Sequence[Due]:
    """The incidents of which a service does not know how they stand, or is to be told again; those first that wait longest."""
    is_over = or_(incidents.c.id.is_(None), incidents.c.resolved_at.is_not(None))
    is_known = or_(incidents.c.acked_at.is_not(None), incidents.c.suppressor.is_not(None), LAPSED)
    state = case((is_over, "resolved"), (is_known, "acknowledged"), else_="open")
    ways = [
        state != _COLUMNS.state,
        and_(~is_over, incidents.c.severity != _COLUMNS.severity),
        _COLUMNS.told_at.is_(None),
        and_(~is_over, ~_COLUMNS.remote.startswith(_beginning(at), autoescape=True)),
    ]
    if refresh is not None:
        ways += [_COLUMNS.told_at <= now - refresh, _COLUMNS.told_at > now + refresh]  # the latter by a clock put back
    longest = now + retry.BACKOFF_LONGEST * 1.3
    query = (
        select(
            oncall_states, state.label("stands"), func.coalesce(incidents.c.severity, _COLUMNS.severity).label("now")
        )
        .outerjoin(incidents, incidents.c.id == _COLUMNS.incident_id)
        .where(_COLUMNS.channel == channel, or_(*ways))
        .where(or_(_COLUMNS.next_attempt_at <= now, _COLUMNS.next_attempt_at > longest))
        .order_by(_COLUMNS.next_attempt_at, _COLUMNS.incident_id)
        .limit(most)
    )
    return [
        Due(row.incident_id, _told(row), row.stands, Severity(row.now), row.attempts, row.next_attempt_at)
        for row in tx.connection.execute(query)
    ]


def take(tx: Transaction, channel: str, due: Due, now: datetime) -> bool:
    """Keep others from telling the same for a while; False where somebody else is at it."""
    mine = and_(_is_of(channel, due.incident_id), _COLUMNS.next_attempt_at == due.next_attempt_at)
    done = tx.connection.execute(update(oncall_states).where(mine).values(next_attempt_at=now + LEASE))
    return done.rowcount == 1


def begin(tx: Transaction, channel: str, incident_id: int, told: Told | None, fresh: Told, now: datetime) -> None:
    """A service is going to be told: should that be the last we do, it is known that it may have been."""
    if told is not None:
        values = {"next_attempt_at": now + LEASE}
        tx.connection.execute(update(oncall_states).where(_is_of(channel, incident_id)).values(**values))
        return
    forget(tx, channel, incident_id)
    tx.connection.execute(
        insert(oncall_states).values(
            channel=channel,
            incident_id=incident_id,
            state=fresh.state,
            severity=int(fresh.severity),
            attempts=0,
            next_attempt_at=now + LEASE,
            remote=_text(fresh.remote),
        )
    )


def note_told(tx: Transaction, channel: str, incident_id: int, told: Told, now: datetime) -> None:
    """A service took it. What is over is not kept."""
    if told.state == "resolved":
        forget(tx, channel, incident_id)
        return
    tx.connection.execute(
        update(oncall_states)
        .where(_is_of(channel, incident_id))
        .values(
            state=told.state,
            severity=int(told.severity),
            told_at=now,
            attempts=0,
            next_attempt_at=now,
            last_error=None,
            remote=_text(told.remote),
        )
    )


def note_untold(tx: Transaction, channel: str, incident_id: int, error: str, again_at: datetime) -> None:
    """It did not, or nobody can say whether it did."""
    values = {"attempts": _COLUMNS.attempts + 1, "last_error": error, "next_attempt_at": again_at}
    tx.connection.execute(update(oncall_states).where(_is_of(channel, incident_id)).values(**values))


def forget(tx: Transaction, channel: str, incident_id: int) -> None:
    """The service knows nothing of it any more."""
    tx.connection.execute(delete(oncall_states).where(_is_of(channel, incident_id)))


def forget_gone(tx: Transaction, limit: datetime) -> None:
    """Let go what services were told of incidents that were deleted; those of a configured channel are told first, and soon."""
    is_there = exists().where(incidents.c.id == _COLUMNS.incident_id)
    told_at = func.coalesce(_COLUMNS.told_at, _COLUMNS.next_attempt_at, type_=_COLUMNS.told_at.type)
    tx.connection.execute(delete(oncall_states).where(~is_there, told_at < limit))


def untold(tx: Transaction, channel: str) -> tuple[int, str | None]:
    """Of how many incidents a service could not be told how they stand, and the newest reason."""
    those = select(func.count(), func.max(_COLUMNS.last_error)).where(
        _COLUMNS.channel == channel, _COLUMNS.attempts > 0
    )
    count, error = tx.connection.execute(those).one()
    return int(count), error


def _is_of(channel: str, incident_id: int) -> Any:
    return and_(_COLUMNS.channel == literal(channel), _COLUMNS.incident_id == incident_id)


def _told(row: Any) -> Told:
    remote = msgspec.json.decode(row.remote, type=Remote)
    return Told(row.state, Severity(row.severity), remote, row.told_at is not None)


def _text(remote: Remote) -> str:
    return msgspec.json.encode(remote).decode()


def _beginning(at: str) -> str:
    """How the text of what is known at ``at`` begins."""
    return _text(Remote(at, ""))[: -len('"key":""}')]
