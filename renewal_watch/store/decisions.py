"""What people and the watch decided about what was found: matters, silences, acknowledgements, lapses, calendars."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import and_, delete, exists, func, insert, literal_column, or_, select, update

from renewal_watch.alerts.phrases import instant
from renewal_watch.database.schema import (
    actions,
    alerts,
    calendars,
    environments,
    flaps,
    lapses,
    matters,
    numbers,
    silences,
    write_instant,
)
from renewal_watch.model.alerts import Acknowledgement, Flap, Key, Matter, Severity
from renewal_watch.model.policy import Match, Silence
from renewal_watch.model.tracking import Known
from renewal_watch.notify import matters as notify_matters
from renewal_watch.notify import routing, suppression
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Situation
from renewal_watch.settings.values import duration
from renewal_watch.store.snapshots import Snapshots
from renewal_watch.text import plain

_MATTER = (  # the columns of a matter, in the order in which they are written
    "environment_id",
    "number_id",
    "topic",
    "alert_id",
    "kind",
    "severity",
    "rank",
    "opened_at",
    "told_at",
    "reminded",
    "hidden",
    "hider",
    "acked_at",
    "acked_by",
    "acked_rank",
    "urgent_at",
    "escalated_at",
)


class Decisions(Snapshots):
    """Matters and what hides or answers them."""

    # --- matters ---

    def situation(self, now: datetime, of: Collection[str] | None = None) -> Situation:
        """What decides on alerts, or on those of some environments only; "" is the watch itself. Flaps are not in it."""
        return Situation(
            silences=[one for one in self.silences() if one.is_active(now)],
            matters=self.matters(of=of),
            lapses=self.lapsing(of=of),
        )

    def matters(self, number: Known | None = None, of: Collection[str] | None = None) -> dict[Key, Matter]:
        """Everything that was found and still holds, or what of it is about one number, or some environments."""
        return self._matters(*([] if number is None else [matters.c.number_id == number.pk]), of=of)

    def due_matters(self, active: Sequence[Silence], way: Routing, now: datetime) -> dict[Key, Matter]:
        """The few of all matters that time may have made due, or that nothing hides any more; see ``routing``.

        A number that is missing is told as missing: what else is about it waits.
        """
        gone = matters.alias()
        is_waiting = exists().where(
            matters.c.topic != "presence",
            gone.c.topic == "presence",
            gone.c.environment_id == matters.c.environment_id,
            gone.c.number_id == matters.c.number_id,
        )
        lapses_still = and_(
            matters.c.hider == suppression.LAPSE,
            matters.c.kind.in_(suppression.LAPSING),
            exists().where(lapses.c.number_id == matters.c.number_id),
        )
        hiders = self.connection.execute(select(matters.c.hider).where(matters.c.hider.is_not(None)).distinct())
        ended = [hider for hider in hiders.scalars() if not notify_matters.still_hides(hider, active, way.mark)]
        is_open = and_(matters.c.hider.is_(None), matters.c.acked_at.is_(None))
        ways = [and_(is_open, matters.c.told_at.is_(None)), and_(matters.c.hider.in_(ended), ~lapses_still)]
        for severity in Severity:
            interval = way.reminders.interval(severity)
            if interval is not None:
                is_old = and_(matters.c.told_at <= now - interval, matters.c.reminded < way.reminders.max_times)
                if severity == Severity.critical:
                    is_old = or_(is_old, matters.c.told_at <= now - max(interval, routing.WEEKLY))
                ways.append(and_(is_open, matters.c.severity == int(severity), is_old))
        if way.escalates:
            is_old = matters.c.urgent_at <= now - duration(way.escalation.after)
            ways.append(and_(is_open, matters.c.escalated_at.is_(None), is_old))
        return self._matters(or_(*ways), ~is_waiting)

    def _matters(self, *conditions: Any, of: Collection[str] | None = None) -> dict[Key, Matter]:
        found = {}
        for row in self._by_key(matters, *conditions, of=of, first=(matters.c.opened_at, matters.c.alert_id)):
            ack = None
            if row.acked_at is not None:
                ack = Acknowledgement(at=row.acked_at, by=row.acked_by, rank=row.acked_rank)
            found[_key(row)] = Matter(
                alert_id=row.alert_id,
                kind=row.kind,
                severity=Severity(row.severity),
                rank=row.rank,
                opened_at=row.opened_at,
                told_at=row.told_at,
                reminded=row.reminded,
                hidden=row.hidden,
                hider=row.hider,
                ack=ack,
                urgent_at=row.urgent_at,
                escalated_at=row.escalated_at,
            )
        return found

    def flaps(self, of: Collection[str] | None = None, until: datetime | None = None) -> dict[Key, Flap]:
        """What changed of late, or of it what is about some environments, or did not change after ``until``."""
        last = (
            "times ->> -1"
            if self.is_postgresql
            else "json_extract(times, '$[' || (json_array_length(times) - 1) || ']')"
        )
        is_quiet = [] if until is None else [literal_column(last) <= write_instant(until)]
        return {
            _key(row): Flap(tuple(datetime.fromisoformat(at) for at in row.times), row.since, Severity(row.worst))
            for row in self._by_key(flaps, *is_quiet, of=of)
        }

    def unanswered(self) -> dict[Severity, int]:
        """How many matters are neither acknowledged nor hidden, by severity."""
        query = (
            select(matters.c.severity, func.count())
            .where(matters.c.acked_at.is_(None), matters.c.hidden.is_(None))
            .group_by(matters.c.severity)
        )
        return {Severity(severity): count for severity, count in self.connection.execute(query)}

    def _by_key(
        self, table: Any, *conditions: Any, of: Collection[str] | None = None, first: Sequence[Any] = ()
    ) -> Any:
        """The rows of a table by model.Key, with the names that its ids stand for; in the order of ``first``, then of ids."""
        query = (
            select(table, environments.c.name.label("environment"), numbers.c.provider_id)
            .outerjoin(environments, environments.c.id == table.c.environment_id)
            .outerjoin(numbers, numbers.c.id == table.c.number_id)
            .where(*conditions)
            .order_by(*first, table.c.environment_id, table.c.number_id, table.c.topic)
        )
        if of is not None:
            query = query.where(table.c.environment_id.in_(self._places(of)))
        return self.connection.execute(query).all()

    def _places(self, names: Collection[str]) -> list[int]:
        """The ids of environments; 0 for the watch itself."""
        query = select(environments.c.id).where(environments.c.name.in_(names))
        return [*([0] if "" in names else []), *self.connection.execute(query).scalars()]

    def keep_matters(self, those: Mapping[Key, Matter | None]) -> None:
        """Write matters as they are now; None for those that are over."""
        ids = self._ids(those)
        over = ((*ids[key], key.topic) for key, matter in those.items() if matter is None and key in ids)
        self.drop(matters, ("environment_id", "number_id", "topic"), over)
        rows = []
        for key, one in those.items():
            if one is None or key not in ids:
                continue
            ack = one.ack
            rows.append(
                (
                    *ids[key],
                    key.topic,
                    one.alert_id,
                    one.kind,
                    int(one.severity),
                    one.rank,
                    _text(one.opened_at),
                    _text(one.told_at),
                    one.reminded,
                    one.hidden,
                    one.hider,
                    _text(ack.at if ack else None),
                    ack.by if ack else None,
                    ack.rank if ack else None,
                    _text(one.urgent_at),
                    _text(one.escalated_at),
                )
            )
        self.put(matters, _MATTER, rows, clash="replace")

    def close_matters(self, those: Sequence[Key]) -> None:
        """These are over, and no alert says so."""
        if those:
            self.keep_matters(dict.fromkeys(those))

    def review(self, environment_id: int, changed: Sequence[int]) -> None:
        """Numbers that changed may not be what a silence or rule is about any more: the next turn looks at them anew."""
        query = "SELECT number_id FROM matters WHERE environment_id = ? AND hider IS NOT NULL AND hider <> 'flapping'"
        hidden = {row[0] for row in self.rows(query, (environment_id,)).fetchall()}
        self.many(
            "UPDATE matters SET hider = 'changed' WHERE number_id = ? AND hider IS NOT NULL AND hider <> 'flapping'",
            ((pk,) for pk in hidden.intersection(changed)),
        )

    def keep_flaps(self, those: Mapping[Key, Flap | None]) -> None:
        """Write what changed of late; None for what has settled."""
        ids = self._ids(those)
        over = ((*ids[key], key.topic) for key, flap in those.items() if flap is None)
        self.drop(flaps, ("environment_id", "number_id", "topic"), over)
        kept = (
            (*ids[key], key.topic, _times(flap), _text(flap.since), int(flap.worst))
            for key, flap in those.items()
            if flap is not None
        )
        self.put(flaps, ("environment_id", "number_id", "topic", "times", "since", "worst"), kept, clash="replace")

    def _ids(self, keys: Iterable[Key]) -> dict[Key, tuple[int, int]]:
        """Environment and number of each key as the ids that stand for them; 0 for none, nothing for one unknown."""
        keys = list(keys)
        environment_ids = {name: self.watch(name)[0] if name else 0 for name in {key.environment for key in keys}}
        numbered = self.number_ids({(key.environment, key.number_id) for key in keys if key.number_id})
        return {
            key: (environment_ids[key.environment], numbered[key.environment, key.number_id] if key.number_id else 0)
            for key in keys
            if not key.number_id or (key.environment, key.number_id) in numbered
        }

    def text_of(self, alert_id: int) -> tuple[str, str, datetime]:
        """Headline, text and time of an alert; of one that was pruned, that it was."""
        row = self.connection.execute(
            select(alerts.c.headline, alerts.c.text, alerts.c.created_at).where(alerts.c.id == alert_id)
        ).one_or_none()
        if row is None:
            msg = f"alert {alert_id} is not in the database any more"
            return msg, msg, datetime.fromtimestamp(0, UTC)
        return row.headline, row.text, row.created_at

    def key_of(self, alert_id: int) -> tuple[Key, Matter] | None:
        """The open matter that an alert is about, None when it is over or there is no such alert."""
        row = self.connection.execute(
            select(alerts.c.topic, environments.c.name.label("environment"), numbers.c.provider_id)
            .outerjoin(environments, environments.c.id == alerts.c.environment_id)
            .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
            .where(alerts.c.id == alert_id)
        ).one_or_none()
        if row is None:
            return None
        key = Key(row.environment or "", row.provider_id or "", row.topic or "")
        matter = self.matters(of=[key.environment]).get(key)
        return None if matter is None else (key, matter)

    # --- what people decide ---

    def acknowledge(self, those: Mapping[Key, Matter], by: str, now: datetime) -> None:
        """Somebody looks after these matters: no reminders until they get worse, or end."""
        self.keep_matters({key: replace(one, ack=Acknowledgement(now, by, one.rank)) for key, one in those.items()})

    def take_back(self, those: Mapping[Key, Matter], now: datetime) -> None:
        """Nobody looks after them after all: the times until they are told again, and to others, begin anew."""
        self.keep_matters(
            {
                key: replace(one, ack=None, told_at=one.told_at and now, urgent_at=one.urgent_at and now)
                for key, one in those.items()
            }
        )

    def note_action(
        self, verb: str, author: str, comment: str, known: Known | None, environment_id: int, now: datetime
    ) -> None:
        """Keep who did what: an acknowledgement ends with its matter, its record stays."""
        self.connection.execute(
            insert(actions).values(
                at=now,
                author=author,
                verb=verb,
                environment_id=environment_id,
                number_id=known.pk if known else 0,
                comment=comment,
            )
        )

    def actions_on(self, known: Known) -> list[dict[str, Any]]:
        """What people did about a number, newest first."""
        rows = self.connection.execute(
            select(actions).where(actions.c.number_id == known.pk).order_by(actions.c.id.desc())
        )
        return [{"at": row.at, "author": row.author, "verb": row.verb, "comment": row.comment} for row in rows]

    def silences(self, *, since: datetime | None = None) -> list[Silence]:
        """The silences that have not ended, or all that ended after ``since`` as well; the one that ends next first."""
        query = select(silences).order_by(silences.c.ends_at, silences.c.id)
        if since is None:
            query = query.where(silences.c.ended_at.is_(None))
        else:
            query = query.where(or_(silences.c.ended_at.is_(None), silences.c.ended_at >= since))
        return [
            Silence(
                pk=row.id,
                match=msgspec.json.decode(row.match, type=Match),
                kinds=tuple(row.kinds),
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                author=row.author,
                comment=row.comment,
                ended_at=row.ended_at,
                ended_by=row.ended_by,
                warned_at=row.warned_at,
            )
            for row in self.connection.execute(query)
        ]

    def add_silence(
        self, match: Match, kinds: Sequence[str], ends_at: datetime, author: str, comment: str, now: datetime
    ) -> int:
        """Hide what matches until ``ends_at``; the silence's number."""
        made = self.connection.execute(
            insert(silences).values(
                match=msgspec.json.encode(match).decode(),
                kinds=list(kinds),
                starts_at=now,
                ends_at=ends_at,
                author=author,
                comment=comment,
            )
        )
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (an insert of one row)
        return int(key[0])

    def end_silence(self, pk: int, author: str, now: datetime) -> bool:
        """End a silence before its time, or note that its time came; False if it has ended already."""
        done = self.connection.execute(
            update(silences)
            .where(silences.c.id == pk, silences.c.ended_at.is_(None))
            .values(ended_at=now, ended_by=author)
        )
        return done.rowcount == 1

    def silence_warned(self, pk: int, now: datetime) -> None:
        """The coming end of a silence was told."""
        self.connection.execute(update(silences).where(silences.c.id == pk).values(warned_at=now))

    def lapsing(self, of: Collection[str] | None = None) -> dict[tuple[str, str], str]:
        """The numbers that are meant to go, by environment and provider id, and who said so when."""
        query = (
            select(environments.c.name, numbers.c.provider_id, lapses.c.author, lapses.c.set_at)
            .join(numbers, numbers.c.id == lapses.c.number_id)
            .join(environments, environments.c.id == numbers.c.environment_id)
        )
        if of is not None:
            query = query.where(environments.c.name.in_(of))
        return {
            (row.name, row.provider_id): f"{plain(row.author)}, {instant(row.set_at)}"
            for row in self.connection.execute(query)
        }

    def set_lapse(self, known: Known, author: str, comment: str, now: datetime) -> None:
        """The number is meant to go."""
        self.connection.execute(delete(lapses).where(lapses.c.number_id == known.pk))
        self.connection.execute(
            insert(lapses).values(
                number_id=known.pk, renews_on=known.renews_on, set_at=now, author=author, comment=comment
            )
        )

    def hand_over(self, environment_id: int, pk: int, there_id: int, there: int) -> None:
        """What people said of a number, and what is open of it, goes on in the environment that lists it now."""
        run = self.connection.execute
        is_marked = exists(select(lapses.c.number_id).where(lapses.c.number_id == there))
        run(update(lapses).where(lapses.c.number_id == pk, ~is_marked).values(number_id=there))
        acks = select(matters.c.topic, matters.c.acked_at, matters.c.acked_by, matters.c.acked_rank)
        for row in run(acks.where(matters.c.number_id == pk, matters.c.acked_at.is_not(None))).all():
            same = and_(matters.c.number_id == there, matters.c.topic == row.topic, matters.c.acked_at.is_(None))
            said = {"acked_at": row.acked_at, "acked_by": row.acked_by, "acked_rank": row.acked_rank}
            run(update(matters).where(same).values(**said))
        kept = select(matters.c.topic).where(matters.c.number_id == there)
        moves = and_(matters.c.number_id == pk, matters.c.topic != "presence", matters.c.topic.not_in(kept))
        run(update(matters).where(moves).values(number_id=there, environment_id=there_id))
        self.connection.execute(delete(lapses).where(lapses.c.number_id == pk))
        self.connection.execute(
            delete(matters).where(matters.c.number_id == pk, matters.c.environment_id == environment_id)
        )

    def withdraw_lapse(self, environment: str, known: Known) -> bool:
        """The number is to stay after all; False if nobody had said that it is to go."""
        self.close_matters([Key(environment, known.provider_id, topic) for topic in ("lapse", "last chance")])
        return self.connection.execute(delete(lapses).where(lapses.c.number_id == known.pk)).rowcount == 1

    # --- calendars ---

    def fired_at(self, name: str) -> tuple[datetime, str | None] | None:
        """When a calendar was last followed, and what is kept of that; None before the first time."""
        row = self.connection.execute(select(calendars).where(calendars.c.name == name)).one_or_none()
        return None if row is None else (row.fired_at, row.state)

    def set_fired(self, name: str, at: datetime, state: str | None = None) -> None:
        """A calendar was followed."""
        self.connection.execute(delete(calendars).where(calendars.c.name == name))
        self.connection.execute(insert(calendars).values(name=name, fired_at=at, state=state))


def _key(row: Any) -> Key:
    return Key(row.environment or "", row.provider_id or "", row.topic)


def _times(flap: Flap) -> str:
    return msgspec.json.encode([write_instant(at) for at in flap.times]).decode()


def _text(at: datetime | None) -> str | None:
    return None if at is None else write_instant(at)
