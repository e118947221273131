"""What is remembered of each list: polls, numbers, and their changes as the way back to any earlier list."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, func, insert, or_, select, text, update

from renewal_watch.database.rows import chunks
from renewal_watch.database.schema import (
    absences,
    changes,
    cycles,
    doubts,
    entries,
    environments,
    lapses,
    numbers,
    polls,
)
from renewal_watch.errors import UsageError
from renewal_watch.model import renewal_day
from renewal_watch.model.notation import bare
from renewal_watch.model.numbers import DAY_S, Entry, Fault, PhoneNumber
from renewal_watch.model.tracking import Absence, Cycle, Doubt, Flaw, Known, Lapse, Verdict, Watch
from renewal_watch.provider.talkover.entries import decode, read
from renewal_watch.store.leases import Leases
from renewal_watch.text import plain

_CORE = Known._fields[: Known._fields.index("cycle")]  # the columns of the table numbers
_COLUMNS = tuple("id" if name == "pk" else name for name in _CORE)
_KNOWN = ", ".join(_COLUMNS)
COUNTDOWN = "days_until_monthly_renewal"
CANARY = "(canary)"  # the environment of the made-up number; no configured one can be called so
_FIRST_OF_CYCLE = len(_CORE)
_FACTS = ("status", "cost", "currency", "country", "type")  # columns that are asked for and take no part in judging


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When an environment may be polled next, and how long the last poll took in whole seconds, None before the first."""

    next_poll_at: datetime | None = None
    hold_until: datetime | None = None
    hold_token: str | None = None
    took_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRecord:
    """One line of the poll log. ``outcome`` is ``ok`` or the reason of the ``ApiError``."""

    started_at: datetime
    finished_at: datetime
    outcome: str
    error: str | None = None
    numbers: int | None = None
    invalid: int | None = None


def _kept(row: Row[Any]) -> tuple[int, Watch, Schedule]:
    """A row of the table environments."""
    return (
        int(row.id),
        Watch(
            name=row.name,
            numbers=row.numbers,
            has_baseline=row.has_baseline,
            last_poll_at=row.last_poll_at,
            last_success_at=row.last_success_at,
            last_error=row.last_error,
            failures=row.failures,
            failing_since=row.failing_since,
            told=frozenset(row.told),
            shrunk_at=row.shrunk_at,
            flaws=_flaws(row.invalid),
            turn_s=row.turn_s,
            clock_off_at=row.clock_off_at,
            confirmed_at=row.confirmed_at,
        ),
        Schedule(
            next_poll_at=row.next_poll_at, hold_until=row.hold_until, hold_token=row.hold_token, took_s=row.took_s
        ),
    )


def _flaws(kept: Mapping[str, tuple[int, str]] | Sequence[str]) -> dict[str, Flaw]:
    """What could not be read of the last list; up to schema 4 a list of the entries' names was kept."""
    if not isinstance(kept, Mapping):
        return {name: Flaw(1, f"the entry {name} cannot be read") for name in kept}
    return {kind: Flaw(*flaw) for kind, flaw in kept.items()}


class Snapshots(Leases):
    """Polls and numbers."""

    def watch(self, name: str) -> tuple[int, Watch, Schedule]:
        """The environment's id and what is kept of it; made on first sight."""
        row = self.connection.execute(select(environments).where(environments.c.name == name)).one_or_none()
        if row is None:
            made = self.connection.execute(insert(environments).values(name=name, told=[], invalid={}))
            key = made.inserted_primary_key
            assert key is not None  # noqa: S101 (an insert of one row)
            return int(key[0]), Watch(name=name), Schedule()
        return _kept(row)

    def schedule(self, name: str) -> Schedule:
        """When the environment may be polled next."""
        columns = (
            environments.c.next_poll_at,
            environments.c.hold_until,
            environments.c.hold_token,
            environments.c.took_s,
        )
        row = self.connection.execute(select(*columns).where(environments.c.name == name)).one_or_none()
        return Schedule() if row is None else Schedule(**row._mapping)  # noqa: SLF001 (so named to keep clear of columns)

    def last_poll_id(self, environment_id: int) -> int | None:
        """The newest line of the environment's poll log."""
        newest: int | None = self.connection.execute(
            select(func.max(polls.c.id)).where(polls.c.environment_id == environment_id)
        ).scalar_one()
        return newest

    def fleet(self, environment_id: int, only: Collection[str] | None = None) -> dict[str, Known]:
        """Every number that was ever listed, by provider id, in the order in which they were first seen.

        With ``only`` those with these provider ids, in any order.
        """
        if only is None:
            return self._fleet("environment_id = ?", environment_id)
        found: dict[str, Known] = {}
        for chunk in chunks(sorted(only)):
            places = ", ".join("?" * len(chunk))
            found |= self._fleet(f"environment_id = ? AND provider_id IN ({places})", environment_id, *chunk)
        return found

    def _fleet(self, where: str, *values: object) -> dict[str, Known]:
        """The numbers that a condition holds for, by provider id."""
        query = f"SELECT {_KNOWN}, NULL, NULL, NULL, NULL FROM numbers WHERE {where} ORDER BY id"  # noqa: S608 (own words)
        fleet = {known[1]: known for known in map(Known._make, self.rows(query, values))}
        told = self._of_numbers("cycles", Cycle, where, values)
        gone = self._of_numbers("absences", Absence, where, values)
        lapsing = self._of_numbers("lapses", Lapse, where, values)
        doubtful = self._of_numbers("doubts", Doubt, where, values)
        names = {known.pk: name for name, known in fleet.items()} if told or gone or lapsing or doubtful else {}
        for pk, *cycle in told:
            fleet[names[pk]] = fleet[names[pk]]._replace(cycle=Cycle(*cycle))
        for pk, *absence in gone:
            fleet[names[pk]] = fleet[names[pk]]._replace(absence=Absence(*absence))
        for pk, *lapse in lapsing:
            fleet[names[pk]] = fleet[names[pk]]._replace(lapse=Lapse(*lapse))
        for pk, *doubt in doubtful:
            fleet[names[pk]] = fleet[names[pk]]._replace(doubt=Doubt(*doubt))
        return fleet

    def _of_numbers(self, table: str, kind: type[NamedTuple], where: str, values: Sequence[object]) -> list[Any]:
        """The rows of one of the tables that few numbers have a row in."""
        query = f"SELECT number_id, {', '.join(kind._fields)} FROM {table}"  # noqa: S608 (own column names)
        query += f" WHERE number_id IN (SELECT id FROM numbers WHERE {where})"  # noqa: S608 (own words)
        found: list[Any] = self.rows(query, values).fetchall()
        return found

    def parsed(self, those: Iterable[Known]) -> dict[str, PhoneNumber]:
        """The numbers as last listed, by provider id."""
        names = {known.pk: known.provider_id for known in those}
        found: dict[str, PhoneNumber] = {}
        for chunk in chunks(list(names)):
            query = select(entries.c.number_id, entries.c.entry).where(entries.c.number_id.in_(chunk))
            for number_id, entry in self.connection.execute(query):
                found[names[number_id]] = _named(read(entry.encode()).parsed, names[number_id])
        return found

    def rename(self, those: Mapping[int, str]) -> None:
        """Give numbers the ids that the list gives them now; two may have changed places."""
        self._known_ids.clear()
        self.change(numbers, ("provider_id",), "id", ((f"{pk} ~", pk) for pk in those))
        self.change(numbers, ("provider_id",), "id", ((name, pk) for pk, name in those.items()))

    def elsewhere(self, environment_id: int, those: Iterable[Known]) -> dict[str, tuple[str, int]]:
        """The other environments that list numbers that they call the same, by provider id: name, and the number's id there."""
        names = {bare(known.number): known.provider_id for known in those if bare(known.number)}
        if not names:
            return {}
        query = (
            select(numbers.c.id, numbers.c.number, environments.c.name)
            .join(environments, environments.c.id == numbers.c.environment_id)
            .where(
                numbers.c.environment_id != environment_id,
                environments.c.name != CANARY,
                numbers.c.id.not_in(select(absences.c.number_id)),
            )
        )
        found = ((names.get(bare(row.number)), row) for row in self.connection.execute(query))
        return {name: (row.name, row.id) for name, row in found if name is not None}

    def cycles_elsewhere(self, environment_id: int) -> dict[str, Cycle]:
        """What was told of numbers that other environments list no more, by their bare numbers."""
        query = (
            select(numbers.c.number, *(cycles.c[name] for name in Cycle._fields))
            .join(numbers, numbers.c.id == cycles.c.number_id)
            .join(absences, absences.c.number_id == cycles.c.number_id)
            .where(numbers.c.environment_id != environment_id)
        )
        return {bare(number): Cycle(*cycle) for number, *cycle in self.connection.execute(query)}

    def write(
        self, environment_id: int, verdict: Verdict, poll: PollRecord | None, schedule: Schedule | None, now: datetime
    ) -> None:
        """Write one poll but its alerts: its line, the changes, what is kept of numbers and environment."""
        poll_id = self._record_poll(environment_id, verdict, poll) if poll else None
        if poll_id is not None:
            self._record_numbers(environment_id, verdict, poll_id, now)
        else:
            self._update_numbers(verdict.updates)
        watch = verdict.watch
        values: dict[str, Any] = {
            "numbers": watch.numbers,
            "has_baseline": watch.has_baseline,
            "last_poll_at": watch.last_poll_at,
            "last_success_at": watch.last_success_at,
            "last_error": watch.last_error,
            "failures": watch.failures,
            "failing_since": watch.failing_since,
            "told": sorted(watch.told),
            "shrunk_at": watch.shrunk_at,
            "invalid": watch.flaws,
            "turn_s": watch.turn_s,
            "clock_off_at": watch.clock_off_at,
            "confirmed_at": watch.confirmed_at,
        }
        if schedule is not None:
            values |= {
                "next_poll_at": schedule.next_poll_at,
                "hold_until": schedule.hold_until,
                "hold_token": schedule.hold_token,
                "took_s": schedule.took_s,
            }
        self.connection.execute(update(environments).where(environments.c.id == environment_id).values(**values))

    def _record_poll(self, environment_id: int, verdict: Verdict, poll: PollRecord) -> int:
        made = self.connection.execute(
            insert(polls).values(
                environment_id=environment_id,
                started_at=poll.started_at,
                finished_at=poll.finished_at,
                outcome=poll.outcome,
                error=poll.error,
                numbers=poll.numbers,
                invalid=poll.invalid,
                changed=len(verdict.versions),
            )
        )
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (an insert of one row)
        return int(key[0])

    def _record_numbers(self, environment_id: int, verdict: Verdict, poll_id: int, now: datetime) -> None:
        unknown = [known for known in verdict.updates if known.pk == 0]
        kept = [known for known in verdict.updates if known.pk != 0]
        ids = self.new_ids(numbers, len(unknown)) if unknown else ()
        fresh = [Known(pk, *known[1:]) for pk, known in zip(ids, unknown, strict=True)]
        self._record_changes(kept, verdict, poll_id, now)
        place = (environment_id, poll_id)
        self.put(
            numbers,
            (*_COLUMNS, *_FACTS, "environment_id", "first_poll_id"),
            (known[:_FIRST_OF_CYCLE] + _facts(verdict.versions[known.provider_id]) + place for known in fresh),
        )
        self.put(
            entries,
            ("number_id", "poll_id", "entry"),
            ((known.pk, poll_id, _compact(verdict.versions[known.provider_id])) for known in fresh),
        )
        self._remember(fresh)
        self._update_numbers(kept)

    def _record_changes(self, kept: Sequence[Known], verdict: Verdict, poll_id: int, now: datetime) -> None:
        """Write the way back from the present entries to the ones before this poll."""
        corrected = set(verdict.countdowns)
        touched = {k.pk: k for k in kept if k.provider_id in verdict.versions or k.provider_id in corrected}
        rows: list[tuple[int, int, bool, bool, str | None, int | None]] = []
        replaced: list[tuple[int, str, int]] = []
        facts: list[tuple[str | int | None, ...]] = []
        query = """SELECT n.id, n.zero_at, a.number_id IS NULL, t.entry, p.started_at FROM numbers n
            JOIN entries t ON t.number_id = n.id JOIN polls p ON p.id = t.poll_id
            LEFT JOIN absences a ON a.number_id = n.id WHERE n.id IN ({})"""
        for chunk in chunks(list(touched)):
            found = self.rows(query.format(", ".join("?" * len(chunk))), chunk)
            for pk, zero_before, was_listed, text_before, seen_at in found.fetchall():
                known = touched[pk]
                entry = verdict.versions.get(known.provider_id)
                if entry is None:  # it left the list, or its countdown alone ticked otherwise
                    rows.append((pk, poll_id, True, known.provider_id in corrected, None, zero_before))
                    continue
                text_now = _compact(entry)
                before = _ticked(_decode(text_before), datetime.fromisoformat(seen_at), zero_before, now)
                fields = difference(before, _decode(text_now))
                if fields or not was_listed or zero_before != known.zero_at:
                    said = msgspec.json.encode(fields).decode() if fields else None
                    rows.append((pk, poll_id, bool(was_listed), True, said, zero_before))
                    replaced.append((poll_id, text_now, pk))
                    facts.append((*_facts(entry), pk))
        self.put(changes, ("number_id", "poll_id", "was_listed", "is_listed", "fields", "zero_before"), rows)
        self.change(entries, ("poll_id", "entry"), "number_id", replaced)
        self.change(numbers, _FACTS, "id", facts)

    def _update_numbers(self, those: Sequence[Known]) -> None:
        self.change(numbers, _CORE[1:], "id", ((*known[1:_FIRST_OF_CYCLE], known.pk) for known in those))
        self.drop(cycles, ("number_id",), ((known.pk,) for known in those if known.cycle is None))
        self.drop(absences, ("number_id",), ((known.pk,) for known in those if known.absence is None))
        self.drop(doubts, ("number_id",), ((known.pk,) for known in those if known.doubt is None))
        self._remember(those)

    def _remember(self, those: Sequence[Known]) -> None:
        """Write what was told in the present cycle, and absences, of the few numbers that have them."""
        told = ((known.pk, *known.cycle) for known in those if known.cycle is not None)
        self.put(cycles, ("number_id", *Cycle._fields), told, clash="replace")
        gone = ((known.pk, *known.absence) for known in those if known.absence is not None)
        self.put(absences, ("number_id", *Absence._fields), gone, clash="replace")
        doubtful = ((known.pk, *known.doubt) for known in those if known.doubt is not None)
        self.put(doubts, ("number_id", *Doubt._fields), doubtful, clash="replace")
        lapsing = ((*known.lapse, known.pk) for known in those if known.lapse is not None)
        self.change(lapses, Lapse._fields, "number_id", lapsing)

    def forget_cycles(self, environment: str) -> None:
        """What was told of this environment's numbers is told anew."""
        query = "DELETE FROM cycles WHERE number_id IN (SELECT id FROM numbers WHERE environment_id = ?)"
        self.rows(query, (self.watch(environment)[0],))

    def number_ids(self, those: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The ids of numbers by environment and provider id; those asked for once are known for the transaction."""
        unknown = those - self._known_ids.keys()
        for environment in {environment for environment, _ in unknown}:
            environment_id = self.watch(environment)[0]
            for chunk in chunks([name for at, name in unknown if at == environment]):
                places = ", ".join("?" * len(chunk))
                query = f"SELECT provider_id, id FROM numbers WHERE environment_id = ? AND provider_id IN ({places})"  # noqa: S608
                rows = self.rows(query, (environment_id, *chunk)).fetchall()
                self._known_ids |= {(environment, name): pk for name, pk in rows}
        return {place: self._known_ids[place] for place in those if place in self._known_ids}

    # --- questions ---

    def watches(self) -> list[tuple[int, Watch, Schedule]]:
        """Every environment that was ever polled, by name; not the canary's."""
        query = select(environments).where(environments.c.name != CANARY).order_by(environments.c.name)
        return [_kept(row) for row in self.connection.execute(query)]

    def faults_of(self, known: Known) -> tuple[Fault, ...]:
        """What cannot be read in the entry of a number, as last listed."""
        query = select(entries.c.entry).where(entries.c.number_id == known.pk)
        return read(self.connection.execute(query).scalar_one().encode()).faults

    def numbered(self, ids: Iterable[int]) -> dict[int, PhoneNumber]:
        """Numbers as last listed, by id, with the renewal day that is believed."""
        found: dict[int, PhoneNumber] = {}
        for chunk in chunks(list(ids)):
            query = (
                select(entries.c.number_id, entries.c.entry, numbers.c.renews_on)
                .join(numbers, numbers.c.id == entries.c.number_id)
                .where(entries.c.number_id.in_(chunk))
            )
            for number_id, entry, renews_on in self.connection.execute(query):
                number = read(entry.encode()).parsed
                if renews_on is not None:
                    number = msgspec.structs.replace(number, renewal_date=date.fromordinal(renews_on).isoformat())
                found[number_id] = number
        return found

    def find(self, wanted: str, environment: str | None = None) -> tuple[str, int, Known]:
        """``(environment, its id, number)`` by number, provider id, or a unique part of either. Raises UsageError."""
        if not wanted.strip():
            msg = "NUMBER is empty; write a number, an id, or a part of either"
            raise UsageError(msg)
        if environment is not None and all(watch.name != environment for _, watch, _ in self.watches()):
            msg = f"there is no environment called {environment} that was polled; see: renewal-watch status"
            raise UsageError(msg)
        called = wanted.replace(" ", "").replace("-", "").replace("(", "").replace(")", "")
        has_it = [numbers.c.provider_id.contains(wanted, autoescape=True)]
        if called:
            has_it.append(numbers.c.number.contains(called, autoescape=True))
        query = select(numbers.c.id, numbers.c.provider_id, numbers.c.number, environments.c.name)
        query = query.join(environments, environments.c.id == numbers.c.environment_id).where(or_(*has_it))
        query = query.where(
            environments.c.name != CANARY if environment is None else environments.c.name == environment
        )
        partial = [  # SQLite looks for letters of either case
            one
            for one in self.connection.execute(query.order_by(environments.c.id, numbers.c.id))
            if wanted in one.provider_id or (called and called in one.number)
        ]
        exact = [one for one in partial if wanted == one.provider_id or called == one.number]
        found = exact or partial or [*self._once_called(wanted, environment)]
        if len(found) > 1:  # the one that is there, of several that were called so
            gone = set(self.connection.execute(select(absences.c.number_id)).scalars())
            found = [one for one in found if one.id not in gone] or found
        if not found:
            msg = f"no number is known by {wanted!r}; see them all with: renewal-watch status"
            raise UsageError(msg)
        if len(found) > 1:
            some = ", ".join(
                f"{plain(one.number or one.provider_id)} ({plain(one.provider_id)}, {one.name})" for one in found[:5]
            )
            msg = f"{wanted!r} fits {len(found)} numbers: {some}{', …' if len(found) > 5 else ''}; write more of it"  # noqa: PLR2004
            raise UsageError(msg)
        (known,) = self._fleet("id = ?", found[0].id).values()
        return found[0].name, self.watch(found[0].name)[0], known

    def _once_called(self, wanted: str, environment: str | None) -> Iterator[Any]:
        """The numbers that had exactly this id or number before it was changed."""
        said = msgspec.json.encode(wanted).decode()
        query = (
            select(numbers.c.id, numbers.c.provider_id, numbers.c.number, environments.c.name)
            .join(environments, environments.c.id == numbers.c.environment_id)
            .join(changes, changes.c.number_id == numbers.c.id)
            .where(
                or_(
                    *(
                        changes.c.fields.contains(f'"{field}":{{"before":{said}', autoescape=True)
                        for field in ("id", "number")
                    )
                ),
                environments.c.name != CANARY if environment is None else environments.c.name == environment,
            )
            .distinct()
        )
        yield from self.connection.execute(query)

    def snapshot(self, environment_id: int, at: datetime) -> tuple[datetime, list[dict[str, Any]]] | None:
        """The list as it was at the last good poll up to ``at``, with that poll's time; None before the first."""
        poll = self.connection.execute(
            select(polls.c.id, polls.c.started_at)
            .where(polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.started_at <= at)
            .order_by(polls.c.id.desc())
            .limit(1)
        ).one_or_none()
        if poll is None:
            return None
        query = text(
            """
            SELECT n.id, t.entry, p.started_at, n.zero_at, a.number_id IS NULL FROM numbers n
              JOIN entries t ON t.number_id = n.id JOIN polls p ON p.id = t.poll_id
              LEFT JOIN absences a ON a.number_id = n.id
            WHERE n.environment_id = :environment AND n.first_poll_id <= :poll ORDER BY n.id"""
        )
        undo: dict[int, list[Any]] = {}
        for change in self._changes(changes.c.poll_id > poll.id, numbers.c.environment_id == environment_id):
            undo.setdefault(change.number_id, []).append(change)
        found = []
        for pk, entry, seen_at, zero_at, is_listed in self.connection.execute(
            query, {"environment": environment_id, "poll": poll.id}
        ):
            state = _State(_decode(entry), datetime.fromisoformat(seen_at), zero_at, bool(is_listed))
            for change in undo.get(pk, ()):
                state = state.before(change)
            if state.is_listed:
                found.append(_ticked(state.entry, state.seen_at, state.zero_at, poll.started_at))
        return poll.started_at, found

    def _changes(self, *conditions: Any) -> Any:
        """Changes with the time of their poll, the newest first."""
        return self.connection.execute(
            select(changes, polls.c.started_at)
            .join(polls, polls.c.id == changes.c.poll_id)
            .join(numbers, numbers.c.id == changes.c.number_id)
            .where(*conditions)
            .order_by(changes.c.poll_id.desc())
        )

    def polls(self, environment_id: int, most: int) -> list[dict[str, Any]]:
        """The newest lines of an environment's poll log, the newest first."""
        query = select(polls).where(polls.c.environment_id == environment_id, polls.c.outcome != "pruned")
        rows = self.connection.execute(query.order_by(polls.c.started_at.desc(), polls.c.id.desc()).limit(most))
        return [dict(row._mapping) for row in rows]  # noqa: SLF001 (so named to keep clear of columns)

    def history(self, known: Known, environment_id: int, *, most: int | None = None) -> list[dict[str, Any]]:
        """Each change of one number, oldest first: the polls between which it happened, and the fields that differ.

        ``most`` leaves the older ones of more than so many out.

        ``not_yet_at`` is the last good poll that did not have it, None for the first poll of all; ``entry`` is the number
        as it was from ``seen_at`` on, None where it was not listed.
        """
        entry, entry_at = self.connection.execute(
            select(entries.c.entry, polls.c.started_at)
            .join(polls, polls.c.id == entries.c.poll_id)
            .where(entries.c.number_id == known.pk)
        ).one()
        first_poll_id = self.connection.execute(
            select(numbers.c.first_poll_id).where(numbers.c.id == known.pk)
        ).scalar_one()
        state = _State(_decode(entry), entry_at, known.zero_at, known.absence is None)
        found: list[dict[str, Any]] = []
        for change in self._changes(changes.c.number_id == known.pk):
            if most is not None and len(found) == most:
                return found[::-1]
            if change.fields is not None or change.is_listed != change.was_listed:
                back = change.is_listed and not change.was_listed
                what = "listed again" if back else "changed" if change.is_listed else "unlisted"
                fields = msgspec.json.decode(change.fields) if change.fields else {}
                found.append(self._event(environment_id, change.poll_id, change.started_at, what, fields, state))
            state = state.before(change)
        first_at = self.connection.execute(select(polls.c.started_at).where(polls.c.id == first_poll_id)).scalar_one()
        found.append(self._event(environment_id, first_poll_id, first_at, "listed", {}, state))
        return found[::-1]

    def _event(
        self, environment_id: int, poll_id: int, seen_at: datetime, what: str, fields: dict[str, Any], state: _State
    ) -> dict[str, Any]:
        not_yet_at = self.connection.execute(
            select(func.max(polls.c.started_at, type_=polls.c.started_at.type)).where(
                polls.c.environment_id == environment_id, polls.c.outcome == "ok", polls.c.id < poll_id
            )
        ).scalar_one()
        entry = _ticked(state.entry, state.seen_at, state.zero_at, seen_at) if state.is_listed else None
        return {"seen_at": seen_at, "not_yet_at": not_yet_at, "what": what, "fields": fields, "entry": entry}


def _compact(listed: Entry | None) -> str:
    """The entry's JSON as it came; where it was printed over several lines, without the blanks between its parts."""
    assert listed is not None  # noqa: S101 (a number is new or changed because it is listed)
    entry = bytes(listed.raw)
    if b"\n" in entry:
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            entry = msgspec.json.format(entry, indent=-1)
    return entry.decode("utf-8", "replace")


def _facts(listed: Entry | None) -> tuple[str | None, ...]:
    """The columns ``_FACTS`` of a listed number."""
    assert listed is not None  # noqa: S101 (a number is new or changed because it is listed)
    number = listed.parsed
    cost = None if number.cost is None else f"{number.cost:f}"
    return number.status, cost, number.currency or None, number.country_code or None, number.type or None


def _named(number: PhoneNumber, name: str) -> PhoneNumber:
    """The number under the id that it is known by, which need not be the one in its entry."""
    return number if str(number.id) == name else msgspec.structs.replace(number, id=name)


class _State(NamedTuple):
    """A number on the way back through its changes."""

    entry: dict[str, Any]
    seen_at: datetime  # the time that a fraction in the countdown belongs to
    zero_at: int | None
    is_listed: bool

    def before(self, change: Any) -> _State:
        """The number as it was before ``change``."""
        entry, seen_at = self.entry, self.seen_at
        if change.fields is not None:
            entry = dict(entry)
            for name, values in msgspec.json.decode(change.fields).items():
                if "before" in values:
                    entry[name] = values["before"]
                else:
                    entry.pop(name, None)
                if name == COUNTDOWN:  # otherwise it is still the one of the later time
                    seen_at = change.started_at
        return _State(entry, seen_at, change.zero_before, change.was_listed)


def _decode(entry: str) -> dict[str, Any]:
    decoded: dict[str, Any] = decode(entry.encode())
    return decoded


def difference(before: dict[str, Any], now: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every field that differs; a field that came or went has no ``before`` or no ``now``."""
    return {
        name: {word: entry[name] for word, entry in (("before", before), ("now", now)) if name in entry}
        for name in {**before, **now}
        if name not in before
        or name not in now
        or before[name] != now[name]
        or type(before[name]) is not type(now[name])
    }


def _ticked(entry: dict[str, Any], seen_at: datetime, zero_at: int | None, at: datetime) -> dict[str, Any]:
    """The entry as it read at ``at``: its countdown went on with the calendar since ``seen_at``, in the form it had."""
    value = entry.get(COUNTDOWN)
    if value is None or zero_at is None or value == "":
        return entry
    return entry | {COUNTDOWN: ticked(value, seen_at, zero_at, at)}


def ticked(value: float | str, seen_at: datetime, zero_at: int, at: datetime, digits: int | None = 6) -> float | str:
    """A countdown as it read at ``at``, in the form that it had at ``seen_at``; a fraction with so many digits."""
    if not isinstance(value, float) and "." not in str(value):
        return type(value)(renewal_day.countdown_at(zero_at, int(at.timestamp())))
    passed = float(value) - (at - seen_at).total_seconds() / DAY_S  # a fraction ticks with every second, not once a day
    if digits is not None:
        passed = round(passed, digits)
    return f"{Decimal(repr(passed)):f}" if isinstance(value, str) else passed
