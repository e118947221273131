"""What a person does about what was found, on the command line or on a page: the same checks, the same words.

Each function changes the open transaction and gives back what it did, with the sentences that say so. Raises UsageError
where there is nothing to do it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from renewal_watch.alerts import phrases
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Incident, Key
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Policy
from renewal_watch.model.tracking import Known
from renewal_watch.notify.routing import Routing
from renewal_watch.reports import rows, tables
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states, id_of_environment
from renewal_watch.store.incidents.audit import note_action
from renewal_watch.store.incidents.incidents import (
    acknowledge_incidents,
    incidents_of,
    key_of_alert,
    take_back_acknowledgements,
)
from renewal_watch.store.incidents.lapses import drop_lapse, put_lapse
from renewal_watch.store.incidents.silences import add_silence, close_silence, list_silences
from renewal_watch.store.numbers import fleet_of, parsed_of
from renewal_watch.store.outbox.settling import retry_deliveries


class Open(NamedTuple):
    """What is open about a number, or about what an alert is about; ``called`` is how it was asked for."""

    called: str
    environment_id: int
    known: Known | None
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


def open_about(tx: Transaction, environment_id: int, known: Known, called: str) -> Open:
    """What is open about a number."""
    return Open(f"number {called}", environment_id, known, incidents_of(tx, known))


def open_of_alert(tx: Transaction, alert_id: int) -> Open:
    """What is open of what an alert is about."""
    called = f"alert {alert_id}"
    found = key_of_alert(tx, alert_id)
    if found is None:
        return Open(called, 0, None, {})
    key = found[0]
    environment_id = id_of_environment(tx, key.environment) if key.environment else 0
    known = fleet_of(tx, environment_id, [key.number_id]).get(key.number_id) if key.number_id else None
    return Open(called, environment_id, known, dict([found]))


def acknowledge(tx: Transaction, one: Open, author: str, comment: str, now: datetime) -> Answered:
    """Somebody looks after it."""
    _something(one)
    acknowledge_incidents(tx, one.incidents, author, now)
    note_action(tx, "ack", author, comment, one.known, one.environment_id, now)
    return Answered(
        one.incidents, f"acknowledged: {_topics(one.incidents)}; no reminder until it gets worse, or in its next cycle"
    )


def take_back(tx: Transaction, one: Open, author: str, comment: str, now: datetime) -> Answered:
    """Nobody looks after it after all."""
    _something(one)
    acknowledged = {key: incident for key, incident in one.incidents.items() if incident.ack is not None}
    if not acknowledged:
        msg = "nobody acknowledged it, so there is nothing to take back"
        raise UsageError(msg)
    take_back_acknowledgements(tx, acknowledged, now)
    note_action(tx, "ack withdrawn", author, comment, one.known, one.environment_id, now)
    return Answered(acknowledged, f"taken back: {_topics(acknowledged)}; reminders go on from now")


def _something(one: Open) -> None:
    if not one.incidents:
        msg = (
            f"nothing is open about {one.called}, so there is nothing to acknowledge. To hide alerts ahead: renewal-watch "
            f"silence add; for a number that is meant to go: renewal-watch lapse"
        )
        raise UsageError(msg)


def _topics(incidents: Mapping[Key, Incident]) -> str:
    return ", ".join(sorted(f"{key.topic} ({one.kind})" for key, one in incidents.items()))


# --- numbers that are meant to go -------------------------------------------------------------------------------------


def lapse(
    tx: Transaction, environment: str, known: Known, policy: Policy, author: str, comment: str, now: datetime
) -> Lapsed:
    """The number is meant to go."""
    number, row = _seen(tx, environment, known, policy, now)
    put_lapse(tx, known, author, comment, now)
    note_action(tx, "lapse", author, comment, known, id_of_environment(tx, environment), now)
    on = f" on {row.renews_on}" if row.renews_on else ""
    mind = f"warning: its auto-renewal is on, so it will renew; switch it off in {phrases.DASHBOARD}"
    return Lapsed(row, f"{phrases.who(number)} is meant to expire{on}", mind if number.auto_renewal else None)


def keep(
    tx: Transaction, environment: str, known: Known, policy: Policy, author: str, comment: str, now: datetime
) -> Lapsed:
    """The number is to stay after all."""
    number, row = _seen(tx, environment, known, policy, now)
    if not drop_lapse(tx, environment, known, now):
        msg = f"{phrases.who(number)} is not meant to expire, so there is nothing to take back"
        raise UsageError(msg)
    note_action(tx, "lapse withdrawn", author, comment, known, id_of_environment(tx, environment), now)
    said = f"{phrases.who(number)} is to stay; what of its renewal was hidden and still holds is told"
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
            for _, watch, _ in environment_states(tx)
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
    author: str,
    comment: str,
    now: datetime,
    numbers: int | None,
) -> Silenced:
    """Hide what matches until ``ends_at``; ``numbers`` are those that it is ``about``."""
    pk = add_silence(tx, match, kinds, ends_at, author, comment, now)
    what = f" of kinds {', '.join(kinds)}" if kinds else ""
    of = "" if numbers is None else f" about {numbers} of the present numbers"
    said = (
        f"silence {pk}: alerts{what}{of} are hidden until {tables.when(ends_at)}; "
        f"end it with: renewal-watch silence end {pk}"
    )
    return Silenced(pk, numbers, said)


def end_silence(tx: Transaction, pk: int, author: str, now: datetime) -> str:
    """What it hid and still holds is told from now on."""
    is_over = all(one.pk != pk or not one.is_active(now) for one in list_silences(tx))
    if is_over or not close_silence(tx, pk, author, now):
        msg = f"there is no silence {pk} that holds; see: renewal-watch silence list --all"
        raise UsageError(msg)
    return f"silence {pk} is over; the daemon tells what it hid and still holds, or: renewal-watch send"


# --- deliveries -------------------------------------------------------------------------------------------------------


def retry(tx: Transaction, alert_ids: Sequence[int], now: datetime) -> tuple[int, str]:
    """Offer the deliveries of these alerts again, or all that failed; how many."""
    count = retry_deliveries(tx, alert_ids, now)
    if alert_ids and not count:
        msg = "none of these alerts has a delivery that waits or failed; see: renewal-watch alerts"
        raise UsageError(msg)
    if not count:
        return 0, "no delivery failed; name alerts to send again what waits: renewal-watch alerts --pending"
    what = "1 delivery is" if count == 1 else f"{count} deliveries are"
    return count, f"{what} due again; the daemon sends them, or: renewal-watch send"
