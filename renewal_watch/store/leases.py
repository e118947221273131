"""Who does what, where several daemons share a database: instances, and leases that live and die with them.

A daemon says every ``BEAT_S`` that it is there. What it took on, a poll of an environment or a message, is its own as long
as it is heard of; after ``ALIVE`` of silence the others take it over. All times are of the database's clock, so that no two
daemons differ. There is no leader: whoever asks first has it.

After the database itself was away nobody was heard of. So nobody takes over from others until it has itself been in touch
for ``ALIVE``: by then those that live have said so. And who is not heard of takes nothing, for it would be free to others.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update

from renewal_watch.database.schema import calendars, deliveries, instances, leases
from renewal_watch.database.sqlite import lock_of
from renewal_watch.database.transaction import Transaction
from renewal_watch.model.daemons import Instance, Lease, Seen

BEAT_S = 5.0
ALIVE = timedelta(seconds=20)  # four beats; work moves over within a minute of a death
MISSED = timedelta(seconds=45)  # a daemon that was not seen for so long is not there
_LEFT = "daemon"  # the calendar that says when one last left


def register(tx: Transaction, instance_id: str, host: str, pid: int, version: str, now: datetime) -> datetime:
    """A daemon begins; the database's time."""
    at = tx.clock(now)
    tx.connection.execute(
        insert(instances).values(
            id=instance_id,
            host=host,
            pid=pid,
            version=version,
            started_at=at,
            alive_until=at + ALIVE,
            in_touch_since=at,
            polled=0,
            sent=0,
        )
    )
    return at


def record_beat(tx: Transaction, instance_id: str, polled: int, sent: int, now: datetime) -> datetime | None:
    """It is still there; the database's time. None where the others have forgotten it: it must join again."""
    at = tx.clock(now)
    lapsed = instances.c.alive_until <= at
    tx.connection.execute(update(instances).where(instances.c.id == instance_id, lapsed).values(in_touch_since=at))
    done = tx.connection.execute(
        update(instances).where(instances.c.id == instance_id).values(alive_until=at + ALIVE, polled=polled, sent=sent)
    )
    return at if done.rowcount == 1 else None


def deregister(tx: Transaction, instance_id: str, at: datetime | None = None) -> None:
    """It ends, or is forgotten: what it held is free at once. ``at`` is when it says so itself."""
    if at is not None:
        tx.connection.execute(delete(calendars).where(calendars.c.name == _LEFT))
        tx.connection.execute(insert(calendars).values(name=_LEFT, fired_at=tx.clock(at)))
    tx.connection.execute(delete(instances).where(instances.c.id == instance_id))  # waits for who takes a lease
    tx.connection.execute(delete(leases).where(leases.c.instance == instance_id))


def take_lease(tx: Transaction, name: str, instance_id: str, now: datetime) -> Lease | None:
    """The lease of this name, if no living instance has it. The transaction must be alone with the name."""
    at = tx.clock(now)
    if not is_heard(tx, instance_id, at, stays=True):
        return None
    holder = tx.connection.execute(select(leases.c.instance).where(leases.c.name == name)).scalar_one_or_none()
    if holder not in (None, instance_id) and not _is_void(tx, str(holder), instance_id, at):
        return None
    lease = Lease(name=name, token=secrets.token_hex(8))
    tx.connection.execute(delete(leases).where(leases.c.name == name))
    values = {"name": name, "token": lease.token, "instance": instance_id, "taken_at": at}
    tx.connection.execute(insert(leases).values(**values))
    return lease


def still_has_lease(tx: Transaction, lease: Lease) -> bool:
    """Whether nobody took it over meanwhile."""
    query = select(leases.c.token).where(leases.c.name == lease.name)
    return tx.connection.execute(query).scalar_one_or_none() == lease.token


def give_back_lease(tx: Transaction, lease: Lease) -> None:
    """It is done, or not begun after all."""
    tx.connection.execute(delete(leases).where(leases.c.name == lease.name, leases.c.token == lease.token))


def daemon_seen(tx: Transaction, now: datetime) -> Seen | None:
    """When a daemon was last there; None where none ever was.

    On a server each says so in its row, and when it leaves; beside a file its lock file has the time (``daemon``).
    """
    if not tx.is_postgresql:
        lock = lock_of(Path(str(tx.connection.engine.url.database)))
        try:
            at = datetime.fromtimestamp(lock.stat().st_mtime, UTC)
        except OSError:
            return None
        return Seen(at, now - at < MISSED, _began(lock))
    here = tx.clock(now)
    found = list_instances(tx, now)
    last = [(one.seen_at, one.is_alive) for one in found]
    left = select(calendars.c.fired_at).where(calendars.c.name == _LEFT)
    last += [(at, False) for at in tx.connection.execute(left).scalars()]
    if not last:
        return None
    at, is_alive = max(last)
    since = min((one.started_at for one in found if one.is_alive), default=None)
    return Seen(at, is_alive or here - at < MISSED, since)


def _began(lock: Path) -> datetime | None:
    """When the daemon of a lock file began, as it wrote under its process; None where that cannot be read."""
    try:
        return datetime.fromisoformat(lock.read_text("ascii").splitlines()[1])
    except (OSError, ValueError, IndexError):
        return None


def list_instances(tx: Transaction, now: datetime) -> list[Instance]:
    """The daemons that share this database, and what each holds; the first to start first."""
    at = tx.clock(now)
    held: dict[str, list[str]] = {}
    for row in tx.connection.execute(select(leases.c.instance, leases.c.name).order_by(leases.c.name)):
        held.setdefault(row.instance, []).append(row.name)
    sending = select(deliveries.c.leased_by, func.count()).where(
        deliveries.c.state == "pending", deliveries.c.leased_by.is_not(None), deliveries.c.leased_until > at
    )
    counted = tx.connection.execute(sending.group_by(deliveries.c.leased_by)).all()
    messages = {row[0]: int(row[1]) for row in counted}
    rows = tx.connection.execute(select(instances).order_by(instances.c.started_at, instances.c.id))
    return [
        Instance(
            id=row.id,
            host=row.host,
            pid=row.pid,
            version=row.version,
            started_at=row.started_at,
            seen_at=row.alive_until - ALIVE,
            polled=row.polled,
            sent=row.sent,
            is_alive=row.alive_until > at,
            holds=tuple(held.get(row.id, ())),
            messages=messages.get(row.id, 0),
        )
        for row in rows
    ]


def are_several_daemons(tx: Transaction, now: datetime) -> bool:
    """Whether more than one daemon lives: what this one does not know may be another's."""
    living = select(func.count()).where(instances.c.alive_until > tx.clock(now))
    return int(tx.connection.execute(living).scalar_one()) > 1


def is_heard(tx: Transaction, instance_id: str, at: datetime, *, stays: bool = False) -> bool:
    """Whether the others take an instance for alive. After a pause they do not, until its next beat.

    With ``stays`` it cannot leave before the end of the transaction.
    """
    query = select(instances.c.alive_until).where(instances.c.id == instance_id)
    if stays:
        query = query.with_for_update(read=True, key_share=True)
    until: datetime | None = tx.connection.execute(query).scalar_one_or_none()
    return until is not None and until > at


def judges(tx: Transaction, instance_id: str | None, at: datetime) -> bool:
    """Whether an instance has been in touch, and is, for so long that it may take others for dead."""
    if instance_id is None or not is_heard(tx, instance_id, at):
        return False
    query = select(instances.c.in_touch_since).where(instances.c.id == instance_id)
    since: datetime = tx.connection.execute(query).scalar_one()
    return since + ALIVE <= at


def is_orphaned(tx: Transaction, instance_id: str | None, at: datetime) -> ColumnElement[bool]:
    """That a delivery was claimed by an instance that is no more, as far as this one may judge that."""
    known = select(instances.c.id)
    if judges(tx, instance_id, at):
        known = known.where(or_(instances.c.alive_until > at, instances.c.id == instance_id))
    return and_(deliveries.c.leased_by.is_not(None), deliveries.c.leased_by.not_in(known))


def _is_void(tx: Transaction, holder: str, instance_id: str, at: datetime) -> bool:
    """Whether what ``holder`` has is free for others."""
    query = select(instances.c.alive_until).where(instances.c.id == holder)
    until: datetime | None = tx.connection.execute(query).scalar_one_or_none()
    return until is None or (until <= at and judges(tx, instance_id, at))
