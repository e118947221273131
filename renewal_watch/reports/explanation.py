"""``explain``: what is known of a number, what comes next, and who is told. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from renewal_watch.alerts import phrases
from renewal_watch.alerts.facts import release_facts
from renewal_watch.alerts.phrases import instant
from renewal_watch.detect import renewals
from renewal_watch.language import _, ngettext, pgettext
from renewal_watch.model.account import Release
from renewal_watch.model.alerts import Acknowledgement, Incident, Key
from renewal_watch.model.numbers import Fault, PhoneNumber
from renewal_watch.model.policy import Policy, Record, Silence
from renewal_watch.model.selectors import Effective
from renewal_watch.model.tracking import Known, Watch
from renewal_watch.notify.incidents import escalates_at, reminds_at
from renewal_watch.notify.routing import Routing
from renewal_watch.reports.rows import Row, severity, verb
from renewal_watch.reports.tables import JSON, missing_since
from renewal_watch.text import plain


def explain(one: Row, watch: Watch, policy: Policy, said: Effective, faults: Sequence[Fault] = ()) -> list[str]:
    """Why this number did or did not alert, and what comes next and when; ``said`` is what the rules give it.

    ``faults`` are the fields of its entry that cannot be read.
    """
    known, number = one.known, one.number
    lines = [_facts(one), *map(_unread, faults)]
    if watch.last_error:
        lines.append(
            _(
                "The last poll failed: {error}. Everything here is as last known at {at}.",
                error=plain(watch.last_error, 500),
                at=instant(watch.last_success_at),
            )
        )
    if known.is_sandbox and not policy.include_sandbox:
        kept = _("It is a sandbox number: kept in the history, left out of alerts (include_sandbox = false).")
        return [*lines, kept]
    gone = _gone(known, phrases.who(number))
    if gone is not None:
        return [*lines, gone]
    if known.absence is not None:
        lines.append(
            _(
                "It was not in the last list ({polls} of {most} polls until it counts as missing); its countdown goes on.",
                polls=known.absence.polls,
                most=policy.missing_after_polls,
            )
        )
    if one.days_left is None or one.renews_on is None:
        unknown = _(
            "It has neither a countdown nor a renewal date, so no renewal alert can come; other changes are told."
        )
        return [*lines, unknown]
    is_dated = number.renewal_on(policy.zone) == one.renews_on and (known.zero_at is None or one.disagreement)
    lines.append(_left(one.days_left, phrases.day(one.renews_on.toordinal()), is_dated=bool(is_dated)))
    if one.disagreement:
        lines.append(_("Note: {note}.", note=one.disagreement))
    if one.days_left < 0:
        lines.append(_next_overdue(known))
        return lines
    return [*lines, *_ahead(one.known, one.renews_on.toordinal(), one.days_left, number, policy, said)]


def _facts(one: Row) -> str:
    number = one.number
    return _(
        "{number} ({environment}, id {id}): status {status}, {auto_renewal}, {cost} a month.",
        number=phrases.who(number),
        environment=one.environment,
        id=plain(one.known.provider_id),
        status=phrases.status_name(number.status) or _("not stated"),
        auto_renewal=_auto(number),
        cost=phrases.money(number.cost, number.currency),
    )


def _unread(fault: Fault) -> str:
    return _(
        "Its {field} cannot be read and counts as unknown: it is {form}, {value}.",
        field=fault.field,
        form=_(fault.form),
        value=plain(fault.shown),
    )


def _auto(number: PhoneNumber) -> str:
    if number.auto_renewal is None:
        return _("auto-renewal not stated")
    return _("auto-renewal on") if number.auto_renewal else _("auto-renewal off")


def _gone(known: Known, who: str) -> str | None:
    """Why nothing more is to be said of a number: it moved, or is missing."""
    if known.absence is not None and known.absence.moved_to:
        return _(
            "It moved to {environment}, which lists it; see: renewal-watch explain {number} --environment {environment}",
            environment=known.absence.moved_to,
            number=who,
        )
    if known.missing_at is not None:
        at = instant(missing_since(known))
        return _("It is missing since {at} and not watched until it returns to the list.", at=at)
    return None


def _left(days: int, day: str, *, is_dated: bool) -> str:
    """How many days there are, by which of the two signs."""
    if days >= 0 and is_dated:
        return ngettext(
            "{count} day left, by its renewal_date; renewal day {day}.",
            "{count} days left, by its renewal_date; renewal day {day}.",
            days,
            day=day,
        )
    if days >= 0:
        return ngettext(
            "{count} day left, by the provider's countdown; renewal day {day}.",
            "{count} days left, by the provider's countdown; renewal day {day}.",
            days,
            day=day,
        )
    if is_dated:
        return ngettext(
            "{count} day overdue, by its renewal_date; renewal day {day}.",
            "{count} days overdue, by its renewal_date; renewal day {day}.",
            -days,
            day=day,
        )
    return ngettext(
        "{count} day overdue, by the provider's countdown; renewal day {day}.",
        "{count} days overdue, by the provider's countdown; renewal day {day}.",
        -days,
        day=day,
    )


def _ahead(
    known: Known, renews_on: int, days_left: int, number: PhoneNumber, policy: Policy, said: Effective
) -> list[str]:
    """Which thresholds a number has, what of them was told in this cycle, and what comes next."""
    if known.lapse is not None:
        last = phrases.day(renews_on - policy.lapse_days)
        if known.lapse.reminded_on is not None:
            return [_("It is meant to expire: no threshold is notified; the final warning was told.")]
        return [_("It is meant to expire: no threshold is notified; the final warning is told on {day}.", day=last)]
    key = "auto_renewal_warn_days" if number.auto_renewal else "warn_days"
    own = getattr(said, key)
    thresholds = getattr(policy, key) if own is None else own
    rule = None if own is None else dict(said.given)[key]
    listed = ", ".join(map(str, sorted(thresholds, reverse=True))) or pgettext("thresholds", "none")
    lines = [
        _("Thresholds ({key}): {days}, and the day itself.", key=key, days=listed)
        if rule is None
        else _("Thresholds ({key} of the rule {rule}): {days}, and the day itself.", key=key, rule=rule, days=listed)
    ]
    cycle = known.cycle
    threshold = None if cycle is None else cycle.told_threshold
    if cycle is None:
        lines.append(_("Nothing has been told in this cycle: no threshold is reached yet."))
    elif threshold is not None:
        lines.append(
            ngettext(
                "Told in this cycle: the threshold of {count} day.",
                "Told in this cycle: the threshold of {count} days.",
                threshold,
            )
        )
    elif cycle.overdue_told:
        lines.append(
            ngettext(
                "Told in this cycle: overdue, {count} time.",
                "Told in this cycle: overdue, {count} times.",
                cycle.overdue_told,
            )
        )
    told = 10_000 if threshold is None else threshold
    ahead = [t for t in {*thresholds, 0} if t < min(told, days_left + 1)]
    if ahead:
        nearest = max(ahead)
        day = phrases.day(renews_on - nearest)
        lines.append(
            ngettext(
                "Next: the threshold of {count} day, on {day}, at the first poll of that day.",
                "Next: the threshold of {count} days, on {day}, at the first poll of that day.",
                nearest,
                day=day,
            )
        )
    elif days_left == 0:
        lines.append(_("Next: overdue, if it did not renew, on {day}.", day=phrases.day(renews_on + 1)))
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What decides whether alerts about a number are told."""

    said: Effective
    silences: Sequence[Silence]  # that are about it, active now
    lapse: str | None
    incidents: Mapping[Key, Incident]  # that are open
    hides: Mapping[Key, str]  # what would hide their reminders now
    actions: Sequence[Mapping[str, JSON]]
    channels: Sequence[str]
    record: Record
    users: Sequence[str] | None = None  # agents, None where nothing is known of them
    request: Release | None = None  # to release it


def explain_telling(one: Telling, way: Routing) -> list[str]:
    """Which rules, silences and acknowledgements decide on its alerts, and what still holds."""
    lines = []
    told = list(_inventory(one.record))
    if told:
        lines.append(_("Inventory: {record}.", record=plain("; ".join(told), 500)))
    if one.users is not None:
        lines.append(phrases.used_by(one.users, most=len(one.users)).strip() or _("No agent uses it."))
    if one.request is not None:
        lines.append(f"{release_facts.asked(one.request)}.")
    if one.said.given:
        given: dict[str, list[str]] = {}
        for name, rule in one.said.given:
            given.setdefault(rule, []).append(_given(one.said, name))
        lines += [_("Rule {rule} gives: {keys}.", rule=rule, keys="; ".join(keys)) for rule, keys in given.items()]
    elif way.rules:
        lines.append(_("No rule matches it."))
    if one.lapse:
        said = _(
            "It is meant to expire ({author}): renewal alerts are hidden, the final warning is sent.", author=one.lapse
        )
        lines.append(said)
    lines += [_silence(silence) for silence in one.silences]
    for key, incident in one.incidents.items():
        is_folded = key.topic != "presence" and key._replace(topic="presence") in one.incidents
        state = _("waits, for it is told as missing") if is_folded else _state(incident, way, one.hides.get(key))
        lines.append(
            _(
                "Open since {at}: {topic} ({kind}, {severity}); {state}.",
                at=instant(incident.opened_at),
                topic=key.topic,
                kind=incident.kind,
                severity=severity(incident.severity.name),
                state=state,
            )
        )
    for action in list(one.actions)[:10]:
        comment = f": {plain(action['comment'])}" if action["comment"] else ""
        who, did = plain(action["author"]), f"{verb(action['verb'])}{comment}"
        lines.append(_("{at} {author} did: {what}.", at=instant(action["at"]), author=who, what=did))
    if one.channels:
        lines.append(_("Channels for it: {channels}.", channels=", ".join(one.channels)))
    else:
        lines.append(_("Channels for it: none; nobody is told."))
    return lines


def _inventory(record: Record) -> Iterator[str]:
    if record.owner:
        yield _("owner: {owner}", owner=record.owner)
    if record.note:
        yield _("note: {note}", note=record.note)
    if record.labels:
        yield _("labels: {labels}", labels=", ".join(record.labels))


def _silence(one: Silence) -> str:
    what = _("Silence {id} of {author} until {at}", id=one.pk, author=plain(one.author), at=instant(one.ends_at))
    kinds = _("kinds {values}", values=", ".join(one.kinds))
    kinds = f" ({kinds})" if one.kinds else ""
    why = f": {plain(one.comment)}" if one.comment else ""
    return f"{what}{kinds}{why}."


def _given(said: Effective, key: str) -> str:
    """A key of a rule with its value."""
    name, _space, pattern = key.partition(" ")
    if name == "severities":
        given = next(level.name for kind, level, _rule in reversed(said.severities) if kind == pattern)
        return _("{key} is {severity}", key=key, severity=severity(given))
    if name == "add_channels":
        return key
    value = getattr(said, name)
    shown = [one[0] for one in value] if name == "mute" else value
    if isinstance(shown, list | tuple):
        shown = ", ".join(map(str, shown)) or pgettext("value of a rule", "none")
    return f"{key} = {shown}"


def _state(incident: Incident, way: Routing, hidden: str | None) -> str:
    """What was and will be told of an incident."""
    if incident.suppressed is not None:
        return _("hidden: {reason}", reason=plain(incident.suppressed.words(), 300))
    if incident.ack is not None:
        return _acknowledged(incident.ack)
    said = [_("last notified at {at}", at=instant(incident.notified_at))]
    at = reminds_at(incident, way)
    if hidden is not None:
        return "; ".join((*said, _("hidden now: {reason}", reason=plain(hidden, 300))))
    said.append(_("told again at {at}", at=instant(at)) if at else _("no further reminder"))
    at = escalates_at(incident, way)
    said += [_("escalated at {at} if nobody acts", at=instant(at))] * bool(at)
    said += [_("escalated at {at}", at=instant(incident.escalated_at))] * bool(incident.escalated_at)
    return ", ".join(said)


def _acknowledged(one: Acknowledgement) -> str:
    by, at = plain(one.by), instant(one.at)
    if one.until is None:
        return _("acknowledged by {author} at {at}; told again if it gets worse", author=by, at=at)
    return _(
        "acknowledged by {author} at {at}; told again if it gets worse or at {until}",
        author=by,
        at=at,
        until=instant(one.until),
    )


def _next_overdue(known: Known) -> str:
    cycle = known.cycle
    if cycle is None or cycle.overdue_at is None:
        return _("It is overdue; the next poll tells it.")
    at = datetime.fromtimestamp(renewals.overdue_repeat_at(cycle.overdue_at, cycle.overdue_told), UTC)
    return ngettext(
        "It is overdue and was told {count} time; told again at {at} unless it renews.",
        "It is overdue and was told {count} times; told again at {at} unless it renews.",
        cycle.overdue_told,
        at=instant(at),
    )
