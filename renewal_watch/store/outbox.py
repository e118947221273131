"""What was found and the fate of each message: alerts, deliveries, claims and their outcome, how channels do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, not_, or_, select, update

from renewal_watch.alerts import account_texts, phrases, service_texts
from renewal_watch.database.rows import chunks
from renewal_watch.database.schema import (
    alerts,
    channels,
    deliveries,
    delivery_alerts,
    environments,
    numbers,
    write_instant,
)
from renewal_watch.model.alerts import Alert, Delivery, Key, Matter, Severity
from renewal_watch.model.tracking import Known
from renewal_watch.notify import retry
from renewal_watch.notify.hold import Hold, Waiting, gathers, hold
from renewal_watch.notify.plan import plan
from renewal_watch.notify.routing import CAP_WINDOW, Routing
from renewal_watch.notify.suppression import Decision
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.values import duration
from renewal_watch.store.account import Readings

LEASE = timedelta(seconds=90)  # longer than a send may take (channels.SEND_DEADLINE) with room for a slow disk
OVERDUE_AFTER = timedelta(minutes=15)  # several tries, and a service that restarts, take no longer
AT_ONCE = ("canary.sent", "digest.")  # kinds that come when their own calendar says

_ALERT = (  # the columns of a new alert, in the order in which they are written
    "id",
    "environment_id",
    "number_id",
    "kind",
    "mark",
    "severity",
    "days_left",
    "headline",
    "text",
    "created_at",
    "topic",
)
_DELIVERY = (
    "id",
    "message_id",
    "channel",
    "state",
    "created_at",
    "attempts",
    "next_attempt_at",
    "give_up_at",
    "severity",
    "at_once",
)


class Outbox(Readings):
    """Alerts and deliveries."""

    def tell(self, found: Sequence[Alert], routing: Routing, now: datetime) -> int:
        """Write alerts, and one delivery for each channel that is told of any of them; a known key is left out.

        Returns how many alerts are new.
        """
        if not found:
            return 0
        fresh = self._write_alerts(found, now)
        if not fresh:
            return 0
        of = {alert.environment for _, alert in fresh}
        situation = replace(self.situation(now, of), flaps=self.flaps(of))
        ending = {alert.place for _, alert in fresh if alert.ends and alert.place in situation.matters}
        if ending and any(channel.is_choosy for channel in routing.channels):
            situation = replace(situation, told=self._told({key: situation.matters[key] for key in ending}))
        made = plan(fresh, routing, situation, now)
        made.decisions = self._with_users(made.decisions)
        judged = dict(fresh)
        self.change(
            alerts,
            ("severity", "text", "hidden"),
            "id",
            (
                (int(one.alert.severity), one.alert.text, one.hidden, one.alert_id)
                for one in made.decisions
                if one.hidden or one.alert is not judged[one.alert_id]
            ),
        )
        told: dict[str, list[Decision]] = {}
        for one in made.decisions:
            for name in one.channels:
                told.setdefault(name, []).append(one)
        for name, those in told.items():
            channel = routing.named(name)
            if channel is not None and channel.is_hook:
                self._put_each_in_outbox(name, those, now)
                continue
            self._put_in_outbox(
                name,
                [one.alert_id for one in those],
                max(one.alert.severity for one in those),
                now,
                at_once=any(one.alert.kind.startswith(AT_ONCE) for one in those),
            )
        self.keep_matters(made.matters)
        self.keep_flaps(made.flaps)
        return len(fresh) + self.tell(made.more, routing, now)

    def told_of(self, kind: str, key: Key, since: datetime) -> frozenset[str]:
        """The channels that were told of a kind of alert about a number, or an environment, since then."""
        number_id = self.number_ids({(key.environment, key.number_id)}).get((key.environment, key.number_id), 0)
        query = (
            select(deliveries.c.channel)
            .join(delivery_alerts, delivery_alerts.c.delivery_id == deliveries.c.id)
            .join(alerts, alerts.c.id == delivery_alerts.c.alert_id)
            .where(
                alerts.c.environment_id == (self.watch(key.environment)[0] if key.environment else 0),
                alerts.c.number_id == number_id,
                alerts.c.kind == kind,
                alerts.c.created_at >= since,
            )
        )
        return frozenset(self.connection.execute(query).scalars())

    def _told(self, those: Mapping[Key, Matter]) -> dict[Key, frozenset[str]]:
        """The channels that were told of these matters since they were opened."""
        found: dict[Key, set[str]] = {}
        numbered = self.number_ids({(key.environment, key.number_id) for key in those if key.number_id})
        names = {pk: name for (_, name), pk in numbered.items()}
        for environment in {key.environment for key in those}:
            environment_id = self.watch(environment)[0] if environment else 0
            ids = {numbered.get((environment, key.number_id), 0) for key in those if key.environment == environment}
            for chunk in chunks(sorted(ids)):
                query = (
                    select(alerts.c.number_id, alerts.c.topic, alerts.c.created_at, deliveries.c.channel)
                    .join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
                    .join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
                    .where(alerts.c.environment_id == environment_id, alerts.c.number_id.in_(chunk))
                    .distinct()
                )
                for pk, topic, at, channel in self.connection.execute(query):
                    key = Key(environment, names.get(pk, ""), topic or "")
                    if key in those and at >= those[key].opened_at:
                        found.setdefault(key, set()).add(channel)
        return {key: frozenset(channels) for key, channels in found.items()}

    def _with_users(self, decisions: list[Decision]) -> list[Decision]:
        """The same, what is not mere information with the agents that use the number."""
        urgent = {
            (one.alert.environment, one.alert.number_id)
            for one in decisions
            if one.alert.number_id and one.alert.severity >= Severity.warning
        }
        users = self.users_of(urgent) if urgent else {}
        return [
            one._replace(alert=replace(one.alert, text=one.alert.text + said))
            if one.alert.severity >= Severity.warning
            and (said := account_texts.used_by(users.get((one.alert.environment, one.alert.number_id or ""), ())))
            and said not in one.alert.text  # what is told again in its old words has it already
            else one
            for one in decisions
        ]

    def _write_alerts(self, found: Sequence[Alert], now: datetime) -> list[tuple[int, Alert]]:
        """The alerts whose keys are new, with their ids."""
        environment_ids = {name: self.watch(name)[0] if name else 0 for name in {alert.environment for alert in found}}
        number_ids = self.number_ids({(one.environment, one.number_id) for one in found if one.number_id is not None})
        ids = self.new_ids(alerts, len(found))
        at = write_instant(now)
        rows = []
        for alert_id, alert in zip(ids, found, strict=True):
            number_id = number_ids.get((alert.environment, alert.number_id or ""), 0)
            place = (environment_ids[alert.environment], number_id, alert.kind, _mark(alert, known=number_id > 0))
            words = (alert.headline, alert.text, at, alert.topic or None)
            rows.append((alert_id, *place, int(alert.severity), alert.days_left, *words))
        self.put(alerts, _ALERT, rows, clash="keep")
        query = select(alerts.c.id).where(alerts.c.id >= ids[0], alerts.c.id <= ids[-1])
        written = set(self.connection.execute(query).scalars())
        return [(alert_id, alert) for alert_id, alert in zip(ids, found, strict=True) if alert_id in written]

    def _put_in_outbox(
        self,
        channel: str,
        alert_ids: Sequence[int],
        severity: Severity,
        now: datetime,
        *,
        at_once: bool = False,
        note: str | None = None,
    ) -> int:
        made = self.connection.execute(
            insert(deliveries).values(
                message_id=f"rw-{secrets.token_hex(5)}",
                channel=channel,
                state="pending",
                created_at=now,
                next_attempt_at=now,
                give_up_at=now + retry.GIVE_UP_AFTER,
                severity=int(severity),
                at_once=at_once,
                note=note,
            )
        )
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (an insert of one row)
        self.put(delivery_alerts, ("delivery_id", "alert_id"), ((key[0], alert_id) for alert_id in alert_ids))
        return int(key[0])

    def _put_each_in_outbox(self, channel: str, those: Sequence[Decision], now: datetime) -> None:
        """A message for each alert: a hook that fails at the third is not run again for the first two."""
        ids = self.new_ids(deliveries, len(those))
        at, give_up = write_instant(now), write_instant(now + retry.GIVE_UP_AFTER)
        self.put(
            deliveries,
            _DELIVERY,
            (
                (
                    *(pk, f"rw-{secrets.token_hex(5)}", channel, "pending", at, 0, at, give_up),
                    *(int(one.alert.severity), one.alert.kind.startswith(AT_ONCE)),
                )
                for pk, one in zip(ids, those, strict=True)
            ),
        )
        told = ((pk, one.alert_id) for pk, one in zip(ids, those, strict=True))
        self.put(delivery_alerts, ("delivery_id", "alert_id"), told)

    def sent_at(self, kind: str, channel: str, since: datetime) -> datetime | None:
        """When an alert of ``kind`` found since then was delivered on ``channel``, None if it was not."""
        query = (
            select(func.max(deliveries.c.sent_at, type_=deliveries.c.sent_at.type))
            .join(delivery_alerts, delivery_alerts.c.delivery_id == deliveries.c.id)
            .join(alerts, alerts.c.id == delivery_alerts.c.alert_id)
            .where(alerts.c.kind == kind, alerts.c.created_at >= since, deliveries.c.channel == channel)
        )
        found: datetime | None = self.connection.execute(query).scalar_one()
        return found

    def alerts_since(self, alert_id: int) -> list[tuple[int, Alert, str | None]]:
        """The alerts found after one, with what hides them."""
        rows = self.connection.execute(_ALERTS.where(alerts.c.id > alert_id).order_by(alerts.c.id))
        return [(row.id, _alert(row), row.hidden) for row in rows]

    def with_numbers(self, those: Sequence[Alert]) -> tuple[Alert, ...]:
        """The alerts with the numbers that they are about, as last listed, and with the renewal day they go by."""
        ids = self.number_ids({(one.environment, one.number_id) for one in those if one.environment and one.number_id})
        about = self.numbered(ids.values())
        return tuple(replace(one, about=about.get(ids.get((one.environment, one.number_id or ""), 0))) for one in those)

    # --- sending ---

    def claim(self, channel: Channel, zone: str, now: datetime, instance: str | None = None) -> Delivery | None:
        """Take the oldest message of ``channel`` that may go, for ``LEASE``; it must be settled. None if there is none.

        Messages that were held back become one. A time further ahead than it can have been set is a clock that was put
        back: such a message is due. ``instance`` is the daemon, where several share the database: what it claimed is free
        again as soon as it is taken for dead.
        """
        at = self.clock(now)
        if instance is not None and not self.is_heard(instance, at):
            return None
        soonest_set = now + retry.BACKOFF_LONGEST * 1.2
        free = or_(
            deliveries.c.lease.is_(None),
            deliveries.c.leased_until <= at,
            deliveries.c.leased_until > at + LEASE,
            self.is_orphaned(instance, at),
        )
        due = select(deliveries).where(
            deliveries.c.state == "pending",
            deliveries.c.channel == channel.name,
            or_(deliveries.c.next_attempt_at <= now, deliveries.c.next_attempt_at > soonest_set),
            free,
        )
        chosen = (
            self._alone(due, channel, zone, now)
            if channel.is_hook
            else self._together(due, not_(free), channel, zone, now)
        )
        if chosen is None:
            return None
        row, why = chosen
        lease = secrets.token_hex(8)
        until = at + LEASE
        values = {"lease": lease, "leased_until": until, "leased_by": instance, "attempts": row.attempts + 1}
        if row.attempts == 0:  # the days of trying begin when it is first let out
            values["give_up_at"] = now + retry.GIVE_UP_AFTER
        self.connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**values))
        told = self.connection.execute(
            _ALERTS.join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
            .where(delivery_alerts.c.delivery_id == row.id)
            .order_by(alerts.c.id)
        ).all()
        return Delivery(
            pk=row.id,
            message_id=row.message_id,
            channel=row.channel,
            lease=lease,
            leased_until=until,
            attempts=row.attempts + 1,
            created_at=row.created_at,
            alerts=tuple(_alert(one) for one in told),
            note="; ".join(filter(None, (row.note, why))),
            alert_ids=tuple(one.id for one in told),
        )

    def _together(
        self, due: Any, taken: ColumnElement[bool], channel: Channel, zone: str, now: datetime
    ) -> tuple[Any, str] | None:
        """The message that goes first, with all that go with it; and the words that say why they do."""
        rows = self.connection.execute(due.order_by(deliveries.c.created_at, deliveries.c.id)).all()
        if not rows:
            return None
        sent = [*self._sent_of_late(channel, now), *self._under_way(channel, taken, now)]
        waiting = [_waiting(row) for row in rows]
        start = next((place for place, one in enumerate(waiting) if hold(channel, one, zone, sent, now) is None), None)
        if start is None:
            return None
        together, why = gathers(channel, waiting[start:], zone, sent, now)
        others = [one.pk for one in together[1:]]
        if others:
            self._gather(rows[start].id, others)
        return rows[start], why

    def _alone(self, due: Any, channel: Channel, zone: str, now: datetime) -> tuple[Any, str] | None:
        """The first message that may go, with one alert: a hook may have thousands of them waiting, so no more are read."""
        rows = self.connection.execute(due.order_by(deliveries.c.next_attempt_at, deliveries.c.id))
        row = next((one for one in rows if hold(channel, _waiting(one), zone, (), now) is None), None)
        rows.close()
        if row is None:
            return None
        self._split(row, now)
        return row, gathers(channel, [_waiting(row)], zone, (), now)[1]

    def _split(self, row: Any, now: datetime) -> None:
        """Leave one alert in a message that was put together before its channel became a hook."""
        query = select(alerts.c.id, alerts.c.severity).join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
        query = query.where(delivery_alerts.c.delivery_id == row.id).order_by(alerts.c.id)
        own, *others = self.connection.execute(query)
        for one in others:
            self.connection.execute(
                delivery_alerts.delete().where(
                    delivery_alerts.c.delivery_id == row.id, delivery_alerts.c.alert_id == one.id
                )
            )
            self._put_in_outbox(
                row.channel, [one.id], Severity(one.severity), now, at_once=bool(row.at_once), note=row.note
            )
        if others:
            values = {"severity": own.severity}
            self.connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**values))

    def _sent_of_late(self, channel: Channel, now: datetime) -> list[datetime]:
        """When the newest messages of a channel were sent, as many as its cap looks at, ascending."""
        rows = self.connection.execute(
            select(deliveries.c.sent_at)
            .where(
                deliveries.c.state == "sent",
                deliveries.c.channel == channel.name,
                deliveries.c.next_attempt_at > now - CAP_WINDOW,  # by the index: set to the time of sending
                deliveries.c.sent_at <= now,
            )
            .order_by(deliveries.c.next_attempt_at.desc())
            .limit(channel.max_per_hour)
        )
        return sorted(rows.scalars())

    def _under_way(self, channel: Channel, taken: ColumnElement[bool], now: datetime) -> list[datetime]:
        """A time for each message that another process is sending: it counts as sent."""
        query = select(func.count()).where(deliveries.c.state == "pending", deliveries.c.channel == channel.name, taken)
        return [now] * self.connection.execute(query).scalar_one()

    def _gather(self, into: int, others: Sequence[int]) -> None:
        """Put the alerts of messages that nobody was sent yet into one of them."""
        found: list[Any] = []
        for chunk in chunks([into, *others]):
            query = select(deliveries.c.severity, deliveries.c.note).where(deliveries.c.id.in_(chunk))
            found += self.connection.execute(query.order_by(deliveries.c.id))
        notes = ",".join(dict.fromkeys(one.note for one in found if one.note is not None)) or None
        severity = max(one.severity for one in found)
        self.connection.execute(update(deliveries).where(deliveries.c.id == into).values(severity=severity, note=notes))
        for chunk in chunks(others):
            told = select(delivery_alerts.c.alert_id).where(delivery_alerts.c.delivery_id.in_(chunk)).distinct()
            ids = self.connection.execute(told).scalars().all()
            self.put(delivery_alerts, ("delivery_id", "alert_id"), ((into, pk) for pk in ids), clash="keep")
            self.connection.execute(delivery_alerts.delete().where(delivery_alerts.c.delivery_id.in_(chunk)))
            self.connection.execute(deliveries.delete().where(deliveries.c.id.in_(chunk)))

    def put_digest(self, channel: str, alert: Alert, routing: Routing, now: datetime) -> None:
        """Send a digest: with it goes all that waited for it."""
        waiting = self._unseen(channel)
        if self.tell([alert], routing, now):
            pk = self.connection.execute(
                select(func.max(deliveries.c.id)).where(deliveries.c.channel == channel, deliveries.c.at_once)
            ).scalar_one()
            self._gather(pk, waiting)
            self._drop_older_digests(pk)

    def _drop_older_digests(self, delivery_id: int) -> None:
        """A digest that was never sent before the next one came says nothing any more."""
        query = (
            select(alerts.c.id)
            .join(delivery_alerts, delivery_alerts.c.alert_id == alerts.c.id)
            .where(delivery_alerts.c.delivery_id == delivery_id, alerts.c.kind == "digest.sent")
        )
        ids = sorted(self.connection.execute(query).scalars())[:-1]
        self.connection.execute(
            delivery_alerts.delete().where(
                delivery_alerts.c.delivery_id == delivery_id, delivery_alerts.c.alert_id.in_(ids)
            )
        )
        hidden = "a newer digest took its place"
        self.connection.execute(update(alerts).where(alerts.c.id.in_(ids)).values(hidden=hidden))

    def _unseen(self, channel: str) -> list[int]:
        """The messages of a channel that were never offered to it."""
        return list(
            self.connection.execute(
                select(deliveries.c.id)
                .where(
                    deliveries.c.state == "pending",
                    deliveries.c.channel == channel,
                    deliveries.c.attempts == 0,
                    deliveries.c.last_error.is_(None),
                    deliveries.c.lease.is_(None),
                )
                .order_by(deliveries.c.id)
            ).scalars()
        )

    def waits_for(self, channel: str) -> int:
        """How many alerts were never offered to a channel, older digests apart."""
        found = 0
        for chunk in chunks(self._unseen(channel)):
            query = select(func.count()).select_from(delivery_alerts)
            query = query.join(alerts, alerts.c.id == delivery_alerts.c.alert_id)
            query = query.where(delivery_alerts.c.delivery_id.in_(chunk), alerts.c.kind != "digest.sent")
            found += self.connection.execute(query).scalar_one()
        return found

    def stand_in(self, channel: Channel, zone: str, now: datetime) -> int:
        """Give what waits for a failing channel to its fallback as well, each message once; how many."""
        fallback = channel.fallback
        if fallback is None:
            return 0
        failing = self.channel_faults().get(channel.name)
        if failing is None or now - failing[0] < duration(channel.fallback_after):
            return 0
        rows = self.connection.execute(
            select(deliveries)
            .where(
                or_(
                    deliveries.c.state == "pending",
                    and_(deliveries.c.state == "failed", deliveries.c.created_at >= failing[0]),
                ),
                deliveries.c.channel == channel.name,
                deliveries.c.fallback_at.is_(None),
            )
            .order_by(deliveries.c.created_at, deliveries.c.id)
        ).all()
        known = select(delivery_alerts.c.alert_id).join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
        known = known.where(deliveries.c.channel == fallback)
        given = 0
        for row in rows:
            if row.attempts == 0 and hold(channel, _waiting(row), zone, [], now):
                continue  # it does not wait because the channel fails
            given += 1
            unknown = select(delivery_alerts.c.alert_id).where(
                delivery_alerts.c.delivery_id == row.id, delivery_alerts.c.alert_id.not_in(known)
            )
            alert_ids = list(self.connection.execute(unknown).scalars())
            if alert_ids:
                note = f"in place of channel {channel.name}, which fails since {phrases.instant(failing[0])}"
                self._put_in_outbox(fallback, alert_ids, Severity(row.severity), now, note=note)
            self.connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(fallback_at=now))
        return given

    def settle_sent(self, delivery: Delivery, routing: Routing, now: datetime) -> bool:
        """Mark as sent; False when the lease was lost meanwhile and somebody else answers for the message."""
        if not self._settle(delivery, state="sent", sent_at=now, next_attempt_at=now, last_error=None):
            return False
        row = self.connection.execute(select(channels).where(channels.c.name == delivery.channel)).one_or_none()
        if row is None:
            self.connection.execute(insert(channels).values(name=delivery.channel, last_sent_at=now))
            return True
        if row.told_at is not None:
            words = service_texts.channel_recovered(delivery.channel, row.failing_since, now)
            self._tell_of_channel(delivery.channel, "watch.recovered", Severity.info, words, routing, now)
            self.connection.execute(  # what waits in back-off need not wait any longer
                update(deliveries)
                .where(
                    deliveries.c.channel == delivery.channel,
                    deliveries.c.state == "pending",
                    deliveries.c.lease.is_(None),
                    deliveries.c.next_attempt_at > now,
                )
                .values(next_attempt_at=now)
            )
        self.connection.execute(
            update(channels)
            .where(channels.c.name == delivery.channel)
            .values(failing_since=None, told_at=None, last_error=None, last_sent_at=now)
        )
        return True

    def settle_failed(
        self,
        delivery: Delivery,
        error: str,
        routing: Routing,
        now: datetime,
        chance: float,
        wait: timedelta = timedelta(0),
    ) -> bool:
        """Keep for another attempt, or give up after ``GIVE_UP_AFTER``; tell the other channels when it lasts.

        ``wait`` is how long the receiver asked to be left alone; no longer than the longest back-off is waited.
        """
        give_up_at = self.connection.execute(
            select(deliveries.c.give_up_at).where(deliveries.c.id == delivery.pk)
        ).scalar_one()
        is_over = now >= give_up_at
        values: dict[str, Any] = {"last_error": error}
        if is_over:
            values["state"] = "failed"
        else:
            asked = now + min(wait, retry.BACKOFF_LONGEST)
            values["next_attempt_at"] = max(asked, retry.next_attempt(delivery.attempts, now, chance))
        if not self._settle(delivery, **values):
            return False
        name = delivery.channel
        row = self.connection.execute(select(channels).where(channels.c.name == name)).one_or_none()
        since = (row.failing_since if row else None) or now
        told_at = row.told_at if row else None
        if now - since >= retry.CHANNEL_FAILING_AFTER and told_at is None:
            waiting = self.connection.execute(
                select(func.count()).where(deliveries.c.channel == name, deliveries.c.state == "pending")
            ).scalar_one()
            words = service_texts.channel_failing(name, since, now, waiting, error)
            self._tell_of_channel(name, "channel.failing", Severity.critical, words, routing, now)
            told_at = now
        if is_over:
            failed = self.connection.execute(
                select(func.count()).where(deliveries.c.channel == name, deliveries.c.state == "failed")
            ).scalar_one()
            words = service_texts.channel_gave_up(name, failed, error)
            key = f"{name}/given up/{now:%Y-%m-%d}"  # messages of one outage are given up one by one: told once a day
            self._tell_of_channel(name, "channel.failing", Severity.critical, words, routing, now, key)
            told_at = told_at or now
        values = {"failing_since": since, "told_at": told_at, "last_error": error}
        if row is None:
            self.connection.execute(insert(channels).values(name=name, **values))
        else:
            self.connection.execute(update(channels).where(channels.c.name == name).values(**values))
        return True

    def release(self, delivery: Delivery) -> bool:
        """Give a claim back unsent, as if it had never been taken."""
        return self._settle(delivery, attempts=delivery.attempts - 1)

    def still_claims(self, delivery: Delivery, now: datetime) -> bool:
        """Whether the claim is still in force: who was paused may have lost it to another."""
        query = select(deliveries.c.leased_until).where(
            deliveries.c.id == delivery.pk, deliveries.c.lease == delivery.lease, deliveries.c.state == "pending"
        )
        until: datetime | None = self.connection.execute(query).scalar_one_or_none()
        return until is not None and until > self.clock(now)

    def _settle(self, delivery: Delivery, **values: object) -> bool:
        done = self.connection.execute(
            update(deliveries)
            .where(
                deliveries.c.id == delivery.pk, deliveries.c.lease == delivery.lease, deliveries.c.state == "pending"
            )
            .values(lease=None, leased_until=None, leased_by=None, **values)
        )
        return done.rowcount == 1

    def _tell_of_channel(
        self,
        name: str,
        kind: str,
        severity: Severity,
        words: tuple[str, str],
        routing: Routing,
        now: datetime,
        key: str | None = None,
    ) -> None:
        """Through the other channels: the one it is about is not asked."""
        alert = service_texts.of_the_watch(
            kind,
            severity,
            key or f"{name}/{now.isoformat()}",
            words,
            topic=f"channel {name}",
            ends=kind == "watch.recovered",
        )
        self.tell([alert], routing, now)

    def next_due(self, channel: Channel, zone: str, now: datetime) -> datetime | None:
        """When the next message of ``channel`` may go, None if none waits."""
        rows = self._soonest(channel) if channel.is_hook else self._pending(channel)
        if not rows:
            return None
        sent = self._sent_of_late(channel, now)
        leases = [] if channel.is_hook else [row.leased_until for row in rows if row.leased_until is not None]
        due: list[datetime] = []
        for row in rows:
            at = max(row.next_attempt_at, row.leased_until or row.next_attempt_at, now)
            found = hold(channel, _waiting(row), zone, sent, at)
            busy = [until for until in leases if until > at]  # what others are sending counts as sent, for so long
            if found is None and busy and hold(channel, _waiting(row), zone, [*sent, *[at] * len(busy)], at):
                due.append(min(busy))
            else:
                due.append(at if found is None else found.until)
        return min(due)

    def held(self, channel: Channel, zone: str, now: datetime) -> dict[str, Hold]:
        """The messages that wait and why, by their ids."""
        sent = self._sent_of_late(channel, now)
        found = {row.message_id: hold(channel, _waiting(row), zone, sent, now) for row in self._pending(channel)}
        return {message_id: why for message_id, why in found.items() if why is not None}

    def _soonest(self, channel: Channel) -> Any:
        """Of the messages that wait for a hook, and are held back alike, the one that may go first."""
        may_go = deliveries.c.next_attempt_at
        at = case((deliveries.c.leased_until > may_go, deliveries.c.leased_until), else_=may_go)
        alike = (deliveries.c.severity, deliveries.c.at_once)
        place = func.row_number().over(partition_by=alike, order_by=(at, deliveries.c.id)).label("place")
        waiting = select(deliveries, place).where(deliveries.c.state == "pending", deliveries.c.channel == channel.name)
        first = waiting.subquery()
        return self.connection.execute(select(first).where(first.c.place == 1)).all()

    def _pending(self, channel: Channel) -> Any:
        """The messages that wait for a channel."""
        query = select(deliveries).where(deliveries.c.state == "pending", deliveries.c.channel == channel.name)
        return self.connection.execute(query).all()

    def retry(self, alert_ids: Sequence[int], now: datetime) -> int:
        """Offer the failed and waiting deliveries of these alerts again at once; how many. Empty means all failed."""
        query = select(delivery_alerts.c.delivery_id)
        if alert_ids:
            query = query.where(delivery_alerts.c.alert_id.in_(alert_ids))
        states = ("failed", "pending") if alert_ids else ("failed",)
        done = self.connection.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(query), deliveries.c.state.in_(states))
            .values(state="pending", attempts=0, next_attempt_at=now, give_up_at=now + retry.GIVE_UP_AFTER)
        )
        return done.rowcount

    # --- questions ---

    def outbox(self) -> dict[str, Any]:
        """How many messages wait and failed, and since when the oldest waits."""
        unsent = deliveries.c.state.in_(("pending", "failed"))  # by the index: nearly all were sent
        rows = self.connection.execute(
            select(deliveries.c.state, func.count()).where(unsent).group_by(deliveries.c.state)
        )
        counts = {state: int(count) for state, count in rows}
        oldest = self.connection.execute(
            select(func.min(deliveries.c.created_at)).where(deliveries.c.state == "pending")
        ).scalar_one()
        return {"pending": counts.get("pending", 0), "failed": counts.get("failed", 0), "oldest_pending_at": oldest}

    def overdue(
        self, channels_now: Sequence[Channel], zone: str, now: datetime, since: datetime | None
    ) -> dict[str, int]:
        """How many messages of each channel should have been delivered ``OVERDUE_AFTER`` ago; those held back are none.

        The time of a message runs from when it was found, from when it was last let out, or from ``since`` where nobody
        tried it yet: a process that just started is given as long. Messages for a channel that is no more are overdue.
        """
        limit = now - OVERDUE_AFTER
        known = {channel.name: channel for channel in channels_now}
        sent = {name: self._sent_of_late(channel, now) for name, channel in known.items()}
        alike = (  # thousands may wait for a hook: those that are held back alike are looked at as one
            deliveries.c.channel,
            deliveries.c.severity,
            deliveries.c.at_once,
            (deliveries.c.attempts > 0).label("attempts"),
            func.min(deliveries.c.last_error).label("last_error"),
            func.max(deliveries.c.created_at, type_=deliveries.c.created_at.type).label("created_at"),
            func.max(deliveries.c.id).label("id"),
        )
        query = (
            select(*alike, func.count().label("many"))
            .where(deliveries.c.state == "pending", deliveries.c.give_up_at <= limit + retry.GIVE_UP_AFTER)
            .group_by(*alike[:4], deliveries.c.last_error.is_(None))
        )
        found: dict[str, int] = {}
        for row in self.connection.execute(query):
            channel = known.get(row.channel)
            if channel is not None:
                if not row.attempts and since is not None and since > limit:
                    continue
                message = _waiting(row)
                if any(hold(channel, message, zone, sent[row.channel], at) for at in (now, limit)):
                    continue
            found[row.channel] = found.get(row.channel, 0) + int(row.many)
        return found

    def orphans(self, channels_now: Sequence[str]) -> dict[str, int]:
        """How many messages wait for channels that the configuration does not have."""
        query = select(deliveries.c.channel, func.count()).where(
            deliveries.c.state == "pending", deliveries.c.channel.not_in(channels_now)
        )
        query = query.group_by(deliveries.c.channel).order_by(deliveries.c.channel)
        return {name: int(count) for name, count in self.connection.execute(query)}

    def channel_faults(self) -> dict[str, tuple[datetime, str]]:
        """The channels that fail now: since when, and the last error."""
        failing = select(channels).where(channels.c.failing_since.is_not(None)).order_by(channels.c.name)
        rows = self.connection.execute(failing)
        return {row.name: (row.failing_since, row.last_error) for row in rows}

    def alerts(
        self,
        *,
        states: Sequence[str] = (),
        kinds: Sequence[str] = (),
        environment: str = "",
        number: Known | None = None,
        severity: Severity = Severity.info,
        before: int | None = None,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        """Alerts with the fate of their deliveries, newest first, as ``alerts --json`` prints them.

        ``before`` is the id of an alert: only older ones. ``severity`` is the least that is wanted.
        """
        query = _ALERTS.order_by(alerts.c.id.desc()).limit(most)
        if before is not None:
            query = query.where(alerts.c.id < before)
        if kinds:
            query = query.where(alerts.c.kind.in_(kinds))
        if environment:
            query = query.where(environments.c.name == environment)
        if severity > Severity.info:
            query = query.where(alerts.c.severity >= int(severity))
        if number is not None:
            query = query.where(alerts.c.number_id == number.pk)
        wanted = select(delivery_alerts.c.alert_id).join(deliveries, deliveries.c.id == delivery_alerts.c.delivery_id)
        if states:
            query = query.where(alerts.c.id.in_(wanted.where(deliveries.c.state.in_(states))))
        rows = self.connection.execute(query).all()
        fates: dict[int, list[dict[str, Any]]] = {row.id: [] for row in rows}
        joined = select(delivery_alerts.c.alert_id, deliveries).join(
            deliveries, deliveries.c.id == delivery_alerts.c.delivery_id
        )
        if number is not None or most is not None:
            joined = joined.where(delivery_alerts.c.alert_id.in_(list(fates)))
        for one in self.connection.execute(joined.order_by(deliveries.c.id)):
            if one.alert_id in fates:
                fates[one.alert_id].append(
                    {
                        "channel": one.channel,
                        "state": one.state,
                        "message_id": one.message_id,
                        "attempts": one.attempts,
                        "last_error": one.last_error,
                        "sent_at": one.sent_at,
                        "next_attempt_at": one.next_attempt_at if one.state == "pending" else None,
                        "leased_until": one.leased_until,
                    }
                )
        found = []
        for row in rows:
            alert = _alert(row)
            found.append(
                {
                    "id": row.id,
                    "key": alert.key,
                    "kind": alert.kind,
                    "severity": alert.severity.name,
                    "environment": alert.environment,
                    "number_id": alert.number_id,
                    "number": alert.number,
                    "text": alert.text,
                    "hidden": row.hidden,
                    "created_at": row.created_at,
                    "deliveries": fates[row.id],
                }
            )
        return found


_ALERTS = (
    select(
        alerts,
        environments.c.name.label("environment"),
        numbers.c.provider_id.label("provider_id"),
        numbers.c.number.label("number"),
    )
    .select_from(alerts)
    .outerjoin(environments, environments.c.id == alerts.c.environment_id)
    .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
)


def _waiting(row: Any) -> Waiting:
    return Waiting(
        row.id, Severity(row.severity), bool(row.at_once), row.created_at, row.attempts == 0 and row.last_error is None
    )


def _place(kind: str, environment: str, provider_id: str | None) -> str:
    """What the key of an alert begins with; the rest is its mark."""
    return "".join(f"{part}/" for part in (environment, kind, provider_id) if part)


def _mark(alert: Alert, *, known: bool) -> str:
    return alert.key.removeprefix(_place(alert.kind, alert.environment, alert.number_id if known else None))


def _alert(row: Any) -> Alert:
    environment = row.environment or ""
    return Alert(
        key=_place(row.kind, environment, row.provider_id) + row.mark,
        kind=row.kind,
        severity=Severity(row.severity),
        environment=environment,
        headline=row.headline,
        text=row.text,
        number_id=row.provider_id,
        number=row.number or row.provider_id,
        days_left=row.days_left,
    )
