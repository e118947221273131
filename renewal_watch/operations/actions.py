"""What a person does about what was found, on the command line or on a page: the same checks, the same words.

Each function changes the open transaction and gives back what it did, with the sentences that say so. Raises UsageError
where there is nothing to do it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Any, NamedTuple

from renewal_watch.alerts import phrases
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.language import _, in_language, ngettext, pgettext, short_date
from renewal_watch.model import selectors
from renewal_watch.model.actor import Actor
from renewal_watch.model.alerts import Incident, Key
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Policy
from renewal_watch.model.selectors import Subject
from renewal_watch.model.tracking import Known
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import rows
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states, id_of_environment
from renewal_watch.store.incidents.audit import note_act, note_action
from renewal_watch.store.incidents.incidents import (
    acknowledge_incidents,
    incidents_of,
    key_of_alert,
    take_back_acknowledgements,
)
from renewal_watch.store.incidents.lapses import drop_lapse, put_lapse
from renewal_watch.store.incidents.listing import Wanted, wanted_incidents
from renewal_watch.store.incidents.silences import add_silence, close_silence, list_silences
from renewal_watch.store.numbers import fleet_of, parsed_of
from renewal_watch.store.outbox.settling import retry_deliveries

LISTED = 20  # incidents or alerts that a line of the audit log names


class Open(NamedTuple):
    """What is open of what was asked for; ``called`` is how it was asked for."""

    called: str
    incidents: Mapping[Key, Incident]


class Answered(NamedTuple):
    """The incidents that were acknowledged, or are not any more, and the sentence that says so."""

    incidents: Mapping[Key, Incident]
    said: str

    def as_json(self) -> list[dict[str, Any]]:
        """What each is about."""
        return [
            {"environment": key.environment, "number_id": key.number_id, "topic": key.topic, "kind": one.kind}
            for key, one in self.incidents.items()
        ]


class Lapsed(NamedTuple):
    """A number that is meant to expire, or to stay after all; ``mind`` is what still stands against it."""

    row: rows.Row
    said: str
    mind: str | None


class Silenced(NamedTuple):
    """A new silence; ``numbers`` is how many of those present it is about, None for one about the service itself."""

    pk: int
    numbers: int | None
    said: str


# --- acknowledgements -------------------------------------------------------------------------------------------------


def open_about(tx: Transaction, known: Known, called: str) -> Open:
    """What is open about a number."""
    return Open(pgettext("nothing is open about …", "number {number}", number=called), incidents_of(tx, known))


def open_of_alert(tx: Transaction, alert_id: int) -> Open:
    """What is open of what an alert is about."""
    found = key_of_alert(tx, alert_id)
    return Open(pgettext("nothing is open about …", "alert {id}", id=alert_id), {} if found is None else dict([found]))


def open_of(tx: Transaction, wanted: Wanted, called: str, patterns: Sequence[str] = ()) -> Open:
    """All that is open and wanted; with ``patterns`` what is about numbers that are called so, such as ``+4930*``."""
    found = wanted_incidents(tx, wanted)
    if patterns:
        match = Match(numbers=tuple(patterns))
        fleets = {
            name: fleet_of(tx, id_of_environment(tx, name), {key.number_id for key in found if key.environment == name})
            for name in {key.environment for key in found if key.number_id}
        }
        found = {
            key: one
            for key, one in found.items()
            if (known := fleets.get(key.environment, {}).get(key.number_id))
            and selectors.fits(match, Subject(key.environment, key.number_id, selectors.digits(known.number)))
        }
    return Open(called, found)


def together(parts: Sequence[Open]) -> Open:
    """All of it."""
    incidents = {key: one for part in parts for key, one in part.incidents.items()}
    called = [part.called for part in parts]
    return Open(reduce(lambda first, last: _("{first} and {last}", first=first, last=last), called or [""]), incidents)


def acknowledge(
    tx: Transaction, one: Open, actor: Actor, comment: str, now: datetime, until: datetime | None = None
) -> Answered:
    """Somebody looks after it; ``until`` is when that runs out."""
    _something(one)
    acknowledge_incidents(tx, one.incidents, actor.name, now, until)
    _note(tx, "ack", one.incidents, actor, comment, now)
    said = (
        _(
            "acknowledged: {incidents}; no reminder before its next cycle, unless it gets worse",
            incidents=_called(one.incidents),
        )
        if until is None
        else _(
            "acknowledged: {incidents}; no reminder before its next cycle or {until}, unless it gets worse",
            incidents=_called(one.incidents),
            until=phrases.instant(until),
        )
    )
    return Answered(one.incidents, said)


def take_back(tx: Transaction, one: Open, actor: Actor, comment: str, now: datetime) -> Answered:
    """Nobody looks after it after all."""
    _something(one)
    acknowledged = {key: incident for key, incident in one.incidents.items() if incident.ack is not None}
    if not acknowledged:
        msg = _("nobody acknowledged it, so there is nothing to take back")
        raise UsageError(msg)
    take_back_acknowledgements(tx, acknowledged, now)
    _note(tx, "ack withdrawn", acknowledged, actor, comment, now)
    said = _("taken back: {incidents}; reminders go on from now", incidents=_called(acknowledged))
    return Answered(acknowledged, said)


def _something(one: Open) -> None:
    if not one.incidents:
        msg = _(
            "nothing is open about {what}, so there is nothing to acknowledge. "
            "To hide alerts ahead: renewal-watch silence add; for a number that is meant to go: renewal-watch lapse",
            what=one.called,
        )
        raise UsageError(msg)


def _note(
    tx: Transaction, verb: str, incidents: Mapping[Key, Incident], actor: Actor, comment: str, now: datetime
) -> None:
    """One line of the audit log for each number, environment, or for the service."""
    for environment, number_id in dict.fromkeys(key[:2] for key in incidents):
        environment_id = id_of_environment(tx, environment) if environment else 0
        known = fleet_of(tx, environment_id, [number_id]).get(number_id) if number_id else None
        names = [one.name for key, one in incidents.items() if key[:2] == (environment, number_id)]
        note_action(tx, verb, actor, comment, known, environment_id, now, _listed(names))


def _listed(those: Sequence[object]) -> str:
    """All of a few, of many the first and how many more."""
    named = ", ".join(map(str, those[:LISTED]))
    return named if len(those) <= LISTED else f"{named} and {len(those) - LISTED} more"


def _called(incidents: Mapping[Key, Incident]) -> str:
    """The topics of one number; of several, how many incidents."""
    if len({key[:2] for key in incidents}) > 1:
        return ngettext("{count} incident", "{count} incidents", len(incidents))
    return ", ".join(sorted(f"{key.topic} ({one.kind})" for key, one in incidents.items()))


# --- numbers that are meant to go -------------------------------------------------------------------------------------


def lapse(
    tx: Transaction, environment: str, known: Known, policy: Policy, actor: Actor, comment: str, now: datetime
) -> Lapsed:
    """The number is meant to go."""
    number, row = _seen(tx, environment, known, policy, now)
    put_lapse(tx, known, actor.name, comment, now)
    note_action(tx, "lapse", actor, comment, known, id_of_environment(tx, environment), now)
    who, on = phrases.who(number), row.renews_on
    mind = _("warning: its auto-renewal is on, so it will renew; switch it off in the provider's dashboard")
    said = (
        _("{number} is meant to expire", number=who)
        if on is None
        else _("{number} is meant to expire on {day}", number=who, day=short_date(on))
    )
    return Lapsed(row, said, mind if number.auto_renewal else None)


def keep(
    tx: Transaction, environment: str, known: Known, policy: Policy, actor: Actor, comment: str, now: datetime
) -> Lapsed:
    """The number is to stay after all."""
    number, row = _seen(tx, environment, known, policy, now)
    if not drop_lapse(tx, environment, known, now):
        msg = _("{number} is not meant to expire, so there is nothing to take back", number=phrases.who(number))
        raise UsageError(msg)
    note_action(tx, "lapse withdrawn", actor, comment, known, id_of_environment(tx, environment), now)
    said = _("{number} is to stay; what of its renewal was hidden and still holds is told", number=phrases.who(number))
    return Lapsed(row, said, None)


def _seen(
    tx: Transaction, environment: str, known: Known, policy: Policy, now: datetime
) -> tuple[PhoneNumber, rows.Row]:
    number = parsed_of(tx, [known])[known.provider_id]
    return number, rows.row(environment, known, number, policy, now)


# --- silences ---------------------------------------------------------------------------------------------------------


def about(store: Store, way: Routing, match: Match, kinds: Sequence[str]) -> int | None:
    """Of how many of the present numbers a silence would hide alerts; None for one about the service itself.

    Asked before the transaction of the silence: each environment is read by itself, and no poll waits for them all.
    """
    if selectors.is_about_the_watch(kinds):
        return None
    with store.reading() as tx:
        those = [
            watch.name
            for _pk, watch, _schedule in environment_states(tx)
            if match.environments is None or watch.name in match.environments
        ]
    count = 0
    for name in those:
        with store.reading() as tx:
            found = fleet.every(tx, [name]) if match.ids is None else _named(tx, name, match.ids)
            count += sum(
                one.known.missing_at is None
                and selectors.fits(match, selectors.subject(name, one.number, way.inventory))
                for one in found
            )
    return count


def _named(tx: Transaction, environment: str, ids: Sequence[str]) -> Iterator[fleet.Listed]:
    return (found for one in ids if (found := fleet.one(tx, environment, one)))


def silence(
    tx: Transaction,
    match: Match,
    kinds: Sequence[str],
    ends_at: datetime,
    actor: Actor,
    comment: str,
    now: datetime,
    numbers: int | None,
) -> Silenced:
    """Hide what matches until ``ends_at``; ``numbers`` are those that it is ``about``."""
    pk = add_silence(tx, match, kinds, ends_at, actor.name, comment, now)
    with in_language("en"):
        about = f"silence {pk} until {phrases.instant(ends_at)}: {rows.matched(match, kinds)}"
    note_act(tx, "silence", actor, about, now, comment)
    return Silenced(pk, numbers, _silenced(pk, kinds, numbers, phrases.instant(ends_at)))


def _silenced(pk: int, kinds: Sequence[str], numbers: int | None, until: str) -> str:
    those = ", ".join(kinds)
    if numbers is None and not kinds:
        return _(
            "silence {id}: alerts are hidden until {until}; end it with: renewal-watch silence end {id}",
            id=pk,
            until=until,
        )
    if numbers is None:
        return _(
            "silence {id}: alerts of kinds {kinds} are hidden until {until}; end it with: renewal-watch silence end {id}",
            id=pk,
            kinds=those,
            until=until,
        )
    if not kinds:
        return ngettext(
            "silence {id}: alerts about {count} of the present numbers are hidden until {until}; "
            "end it with: renewal-watch silence end {id}",
            "silence {id}: alerts about {count} of the present numbers are hidden until {until}; "
            "end it with: renewal-watch silence end {id}",
            numbers,
            id=pk,
            until=until,
        )
    return ngettext(
        "silence {id}: alerts of kinds {kinds} about {count} of the present numbers are hidden until {until}; "
        "end it with: renewal-watch silence end {id}",
        "silence {id}: alerts of kinds {kinds} about {count} of the present numbers are hidden until {until}; "
        "end it with: renewal-watch silence end {id}",
        numbers,
        id=pk,
        kinds=those,
        until=until,
    )


def end_silence(tx: Transaction, pk: int, actor: Actor, now: datetime) -> str:
    """What it hid and still holds is told from now on."""
    is_over = all(one.pk != pk or not one.is_active(now) for one in list_silences(tx))
    if is_over or not close_silence(tx, pk, actor.name, now):
        msg = _("there is no silence {id} that holds; see: renewal-watch silence list --all", id=pk)
        raise UsageError(msg)
    note_act(tx, "silence ended", actor, f"silence {pk}", now)
    return _("silence {id} is over; the daemon tells what it hid and still holds, or: renewal-watch send", id=pk)


# --- deliveries -------------------------------------------------------------------------------------------------------


def retry(tx: Transaction, alert_ids: Sequence[int], actor: Actor, now: datetime) -> tuple[int, str]:
    """Offer the deliveries of these alerts again, or all that failed; how many."""
    count = retry_deliveries(tx, alert_ids, now)
    if alert_ids and not count:
        msg = _("none of these alerts has a delivery that waits or failed; see: renewal-watch alerts")
        raise UsageError(msg)
    if not count:
        return 0, _("no delivery failed; name alerts to send again what waits: renewal-watch alerts --pending")
    note_act(tx, "retry", actor, f"alerts {_listed(alert_ids)}" if alert_ids else "all that failed", now)
    said = ngettext(
        "{count} delivery is due again; the daemon sends them, or: renewal-watch send",
        "{count} deliveries are due again; the daemon sends them, or: renewal-watch send",
        count,
    )
    return count, said
