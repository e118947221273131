"""What the read-only commands show: from the database's answers to rows, JSON and sentences for a terminal. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any, Literal, Self

import msgspec

from renewal_watch import messages, rules, signs
from renewal_watch.matching import Effective
from renewal_watch.model import (
    Alert,
    Fault,
    Instance,
    Key,
    Known,
    Match,
    Matter,
    PhoneNumber,
    Policy,
    Record,
    Release,
    Silence,
    Watch,
)
from renewal_watch.routing import Hold, Routing, escalates_at, reminds_at
from renewal_watch.text import plain, printable

JSON = Any  # what json.dumps takes
Tone = Literal["head", "mind", "bad", "faint"]
_FAR = 100_000  # days, as if it were never
_DIGITS = 15  # of a phone number (E.164)
_TONES: Mapping[str, Tone] = {"critical": "bad", "warning": "mind"}  # by severity


class Line(str):
    """A line for a terminal with the tone in which it may be painted; its words say the same without."""

    __slots__ = ("tone",)
    tone: Tone

    def __new__(cls, text: str, tone: Tone) -> Self:
        """The text with its tone."""
        line = super().__new__(cls, text)
        line.tone = tone
        return line


def when(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def dumps(value: JSON) -> str:
    """JSON for scripts: instants as RFC 3339, money as text."""

    def other(one: object) -> str:
        if isinstance(one, datetime):
            return str(when(one))
        if isinstance(one, Decimal):
            return f"{one:f}"
        return str(one)

    return json.dumps(value, indent=2, ensure_ascii=False, default=other)


def pieces(value: JSON) -> Iterator[str]:
    """What ``dumps`` gives, a piece at a time: an iterator in a document, or for one, is a list of texts that are JSON."""
    if isinstance(value, Iterator):
        count = 0
        for count, text in enumerate(value, 1):
            yield ("[" if count == 1 else ",") + "\n  " + text.replace("\n", "\n  ")
        yield "\n]" if count else "[]"
    elif isinstance(value, Mapping) and value:
        for place, (key, one) in enumerate(value.items()):
            yield f"{',' if place else '{'}\n  {dumps(key)}: "
            yield from (piece.replace("\n", "\n  ") for piece in pieces(one))
        yield "\n}"
    else:
        yield dumps(value)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table with columns as wide as they need be; two blanks between them."""
    cells = [list(head), *map(_texts, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    title, *lines = (_aligned(row, widths) for row in cells)
    return [Line(title, "head"), *lines]


def _texts(row: Iterable[object]) -> list[str]:
    return ["" if cell is None else str(cell) for cell in row]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def packed(line: str) -> str:
    """A line with its tone as a text, for a while."""
    return json.dumps([getattr(line, "tone", None), line])


def unpacked(text: str) -> str:
    """The line that was packed."""
    tone, line = json.loads(text)
    return toned(line, tone)


def toned(line: str, tone: Tone | None) -> str:
    """The line in a tone, or as it is."""
    return line if tone is None else Line(line, tone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number as ``status`` and ``explain`` see it now."""

    environment: str
    known: Known
    number: PhoneNumber
    days_left: int | None
    renews_on: date | None
    disagreement: str | None

    def as_json(self) -> dict[str, JSON]:
        """The documented keys of ``status --json``."""
        number = self.number
        return {
            "environment": self.environment,
            "id": self.known.provider_id,
            "number": self.known.number or None,
            "status": number.current_status,
            "days_left": self.days_left,
            "renews_on": None if self.renews_on is None else self.renews_on.isoformat(),
            "auto_renewal": number.auto_renewal,
            "monthly_renewal_cost": None if number.monthly_renewal_cost is None else f"{number.monthly_renewal_cost:f}",
            "currency": number.currency,
            "missing_since": since(self.known),
            "is_sandbox": bool(self.known.is_sandbox),
            "disagreement": self.disagreement,
        }

    def is_within(self, days: int | None) -> bool:
        """Whether it is there and has so many days left or less; None takes all."""
        if days is None:
            return True
        return self.days_left is not None and self.days_left <= days and not self.known.missing_at

    def urgency(self) -> tuple[int, int, int, str]:
        """Sorts the most urgent first: overdue, not active, then by days, what will be lost before what renews."""
        gone = self.known.missing_at is not None
        left = _FAR if self.days_left is None else self.days_left
        first = 0 if left < 0 else 1 if self.number.status != "active" else 2
        return (3 if gone or self.known.is_sandbox else first, left, bool(self.number.auto_renewal), self.known.number)

    def rank(self) -> int:
        """The same as a whole number, in which two numbers of 15 digits or less are equal only if they are the same."""
        first, left, auto, number = self.urgency()
        digits = "".join(filter(str.isdecimal, number))[:_DIGITS].ljust(_DIGITS, "0")
        return int(f"{(first << 18 | min(max(left, -_FAR), _FAR) + _FAR) << 1 | auto}{digits}")


def since(known: Known) -> str | None:
    """When a missing number was found missing."""
    return None if known.missing_at is None else when(datetime.fromtimestamp(known.missing_at, UTC))


def row(environment: str, known: Known, number: PhoneNumber, policy: Policy, now: datetime) -> Row:
    """The number as it stands at ``now``; its countdown went on since the last poll."""
    on_day = signs.today(now, policy.zone)
    countdown = signs.went_on(known, int(now.timestamp()))
    return Row(
        environment=environment,
        known=known,
        number=number,
        days_left=signs.days_left(number, known, on_day, int(now.timestamp())),
        renews_on=None if known.renews_on is None else date.fromordinal(known.renews_on),
        disagreement=messages.disagreement(known, number, countdown, on_day, policy.zone),
    )


def environment_json(watch: Watch, policy: Policy, now: datetime) -> dict[str, JSON]:
    """The documented keys of ``status --json``."""
    return {
        "name": watch.name,
        "last_poll_at": when(watch.last_poll_at),
        "last_success_at": when(watch.last_success_at),
        "last_error": watch.last_error,
        "stale": rules.is_stale(watch, policy, now) or watch.last_success_at is None,
        "numbers": watch.numbers,
        "flaws": [flaw.text for flaw in watch.flaws.values()],
    }


def instance_json(one: Instance) -> dict[str, JSON]:
    """A daemon that shares the database, and what it is at."""
    return {
        "host": one.host,
        "pid": one.pid,
        "version": one.version,
        "started_at": when(one.started_at),
        "last_seen_at": when(one.seen_at),
        "alive": one.is_alive,
        "polled": one.polled,
        "sent": one.sent,
        "holds": list(one.holds),
        "messages": one.messages,
    }


def instance_lines(found: Sequence[Instance]) -> list[str]:
    """The daemons that share the database, one a line."""
    lines = []
    for one in found:
        did = f"{one.polled} polls and {one.sent} messages since {when(one.started_at)}"
        holds = [*one.holds, *([f"{one.messages} message{'s' * (one.messages != 1)}"] if one.messages else [])]
        at = f"; at work on {', '.join(holds[:5])}{', …' if len(holds) > 5 else ''}" if holds else ""  # noqa: PLR2004
        name = f"daemon on {plain(one.host)} (process {one.pid}, {one.version})"
        gone = "" if one.is_alive else f"NOT HEARD OF since {when(one.seen_at)}; "
        lines.append(toned(f"{name}: {gone}{did}{at}", "bad" if gone else None))
    return lines


def status_lines(
    environments: Sequence[Mapping[str, JSON]],
    outbox: Mapping[str, JSON],
    orphans: Mapping[str, int],
    faults: Mapping[str, tuple[datetime, str]],
    now: datetime,
) -> list[str]:
    """The watch's own health for a terminal."""
    lines = []
    for one in environments:
        polled = f"last good poll {one['last_success_at']}" if one["last_success_at"] else "never read"
        mark = "STALE, " if one["stale"] else ""
        lines.append(
            toned(f"{one['name']}: {messages.numbers(one['numbers'])}, {mark}{polled}", "bad" if mark else None)
        )
        if one["last_error"]:
            failed = f"  the last poll ({one['last_poll_at']}) failed: {plain(one['last_error'], 500)}"
            lines.append(Line(failed, "bad"))
        lines += [Line(f"  {flaw}", "mind") for flaw in one["flaws"]]
    if outbox["pending"] or outbox["failed"]:
        waiting = f", the oldest since {when(outbox['oldest_pending_at'])}" if outbox["pending"] else ""
        text = (
            f"outbox: {outbox['pending']} waiting{waiting}; {outbox['failed']} failed (renewal-watch alerts --failed)"
        )
        lines.append(toned(text, "bad" if outbox["failed"] else None))
    lines += [Line(orphaned(name, count), "mind") for name, count in orphans.items()]
    for name, (failing_since, error) in faults.items():
        lines.append(Line(f"channel {name}: failing for {messages.span(now - failing_since)}: {plain(error)}", "bad"))
    return lines


class Columns:
    """The table of numbers that ``status`` prints, whose rows are kept elsewhere until all widths are known."""

    _HEAD = ("NUMBER", "ENVIRONMENT", "STATUS", "DAYS", "RENEWS ON", "AUTO", "COST", "NOTE")

    def __init__(self) -> None:
        self._widths = [len(cell) for cell in self._HEAD]

    def packed(self, one: Row) -> str:
        """The row of a number as a text."""
        cells = _texts(_cells(one))
        self._widths = [max(known, len(cell)) for known, cell in zip(self._widths, cells, strict=True)]
        return json.dumps([_tone(one), cells])

    def title(self) -> Line:
        """The line above all rows."""
        return Line(_aligned(self._HEAD, self._widths), "head")

    def line(self, packed: str) -> str:
        """A row that was packed, as wide as any."""
        tone, cells = json.loads(packed)
        return toned(_aligned(cells, self._widths), tone)


def _tone(one: Row) -> Tone | None:
    if one.known.missing_at is not None or one.known.is_sandbox:
        return "faint"
    if one.days_left is not None and one.days_left < 0:
        return "bad"
    return None if one.number.status == "active" else "mind"


def orphaned(channel: str, count: int) -> str:
    """Messages that wait for a channel that was renamed or taken out."""
    many = "1 message waits" if count == 1 else f"{count} messages wait"
    return f"{many} for the channel {channel}, which the configuration has no more: give a channel that name, and it is sent"


def notes(one: Row) -> list[str]:
    """What else is to be known of a number, a few words each."""
    notes = []
    if one.known.absence is not None and one.known.absence.moved_to:
        notes.append(f"moved to {one.known.absence.moved_to}")
    elif one.known.missing_at is not None:
        notes.append(f"missing since {since(one.known)}")
    elif one.known.absence is not None:
        notes.append("not in the last list")
    if one.known.is_overdue(one.days_left):
        notes.append("OVERDUE")
    elif one.days_left is not None and one.days_left < 0 and one.known.lapse is None:
        notes.append("its day has passed")
    if one.known.is_sandbox:
        notes.append("sandbox")
    if one.known.lapse is not None:
        notes.append("meant to lapse")
    if one.disagreement:
        notes.append(one.disagreement)
    return notes


def _cells(one: Row) -> tuple[object, ...]:
    number = one.number
    auto = {True: "on", False: "off", None: "?"}[number.auto_renewal]
    cost = "" if number.cost is None else messages.money(number.cost, number.currency)
    status = plain(number.status or "?", 40)
    return (
        plain(messages.who(number), 40),
        one.environment,
        status,
        one.days_left,
        one.renews_on,
        auto,
        cost,
        "; ".join(notes(one)),
    )


def matched(match: Match, kinds: Sequence[str]) -> str:
    """What a silence is about, in words."""
    said = [
        f"{name.replace('_', ' ')} {', '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name in match.__struct_fields__
        if (value := getattr(match, name)) is not None
    ]
    said += [f"kinds {', '.join(kinds)}"] * bool(kinds)
    return printable("; ".join(said), 300) or "all numbers"


def history_lines(changes: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Each change of one number with the polls between which it happened."""
    lines = []
    for change in changes:
        between = f"between {when(change['not_yet_at'])} and {when(change['seen_at'])}"
        lines.append(f"{between if change['not_yet_at'] else when(change['seen_at'])}: {change['what']}")
        lines.extend(
            f"    {plain(name)}: {changed_value(field, 'before')} → {changed_value(field, 'now')}"
            for name, field in change["fields"].items()
        )
    return lines


def changed_value(field: Mapping[str, JSON], word: str) -> str:
    """What a field was ``before`` or is ``now``, as JSON, so that text and numbers can be told apart."""
    return plain(json.dumps(field[word], ensure_ascii=False)) if word in field else "(not there)"


def note_held(found: Sequence[Mapping[str, JSON]], held: Mapping[str, Hold]) -> None:
    """Add to each delivery until when it is held back, and why; null where it is not."""
    for alert in found:
        for one in alert["deliveries"]:
            hold = held.get(one["message_id"])
            one["held_until"], one["held_why"] = (hold.until, hold.why) if hold else (None, None)


def alert_lines(found: Sequence[Mapping[str, JSON]]) -> list[str]:
    """Alerts with the fate of each delivery, newest first."""
    lines = []
    for alert in found:
        tone = _TONES.get(alert["severity"])
        lines.append(toned(f"{alert['id']}  {when(alert['created_at'])}  {alert['severity']}  {alert['kind']}", tone))
        lines.append(f"    {alert['text']}")
        for one in alert["deliveries"]:
            if one["state"] == "sent":
                fate = f"sent {when(one['sent_at'])}"
            elif one["state"] == "failed":
                fate = f"FAILED after {one['attempts']} attempts: {plain(one['last_error'])}"
            elif one["leased_until"]:
                fate = f"being sent; if its sender died it is tried again after {when(one['leased_until'])}"
            elif one["held_until"]:
                fate = f"waits until {when(one['held_until'])}: {one['held_why']}"
            elif one["attempts"]:
                fate = f"waiting, {one['attempts']} attempts, next {when(one['next_attempt_at'])}: {plain(one['last_error'] or '')}"
            else:
                fate = "waiting for its first attempt"
            line = f"    {one['channel']}: {fate} ({one['message_id']})"
            lines.append(toned(line, "bad" if one["state"] == "failed" else None))
        if alert["hidden"]:
            lines.append(f"    nobody was told: {plain(alert['hidden'], 300)}")
        elif not alert["deliveries"]:
            lines.append("    no channel takes this alert")
    return lines


def explain(one: Row, watch: Watch, policy: Policy, said: Effective, faults: Sequence[Fault] = ()) -> list[str]:
    """Why this number did or did not alert, and what comes next and when; ``said`` is what the rules give it.

    ``faults`` are the fields of its entry that cannot be read.
    """
    known, number = one.known, one.number
    who = messages.who(number)
    on = number.auto_renewal
    lines = [
        (
            f"{who} ({one.environment}, id {plain(known.provider_id)}): status {plain(number.status or 'not stated')}, "
            f"auto-renewal {'on' if on else 'off' if on is False else 'not stated'}, "
            f"{messages.money(number.cost, number.currency)} a month."
        )
    ]
    lines += [
        f"Its {fault.field} cannot be read and counts as unknown: it is {fault.form}, {plain(fault.shown)}."
        for fault in faults
    ]
    if watch.last_error:
        lines.append(
            f"The last poll failed: {plain(watch.last_error, 500)}. Everything here is as last known at {when(watch.last_success_at)}."
        )
    if known.is_sandbox and not policy.include_sandbox:
        return [*lines, "It is a sandbox number: kept in the history, left out of alerts (include_sandbox = false)."]
    if known.absence is not None and known.absence.moved_to:
        there = known.absence.moved_to
        return [*lines, f"It moved to {there}, which lists it; see: renewal-watch explain {who} --environment {there}"]
    if known.missing_at is not None:
        return [*lines, f"It is missing since {since(known)} and not watched until it returns to the list."]
    if known.absence is not None:
        lines.append(
            f"It was not in the last list ({known.absence.polls} of {policy.missing_after_polls} polls until it counts as missing); "
            "its countdown goes on."
        )
    if one.days_left is None or one.renews_on is None:
        return [
            *lines,
            "It has neither a countdown nor a renewal date, so no renewal alert can come; other changes are told.",
        ]
    is_dated = number.renewal_on(policy.zone) == one.renews_on and (known.zero_at is None or one.disagreement)
    source = "its renewal_date" if is_dated else "the provider's countdown"
    lines.append(f"{one.days_left} days left, by {source}; renewal day {messages.day(one.renews_on.toordinal())}.")
    if one.disagreement:
        lines.append(f"Mind: {one.disagreement}.")
    if one.days_left < 0:
        lines.append(_next_overdue(known))
        return lines
    return [*lines, *_ahead(one.known, one.renews_on.toordinal(), one.days_left, number, policy, said)]


def _ahead(
    known: Known, renews_on: int, days_left: int, number: PhoneNumber, policy: Policy, said: Effective
) -> list[str]:
    """Which thresholds a number has, what of them was told in this cycle, and what comes next."""
    if known.lapse is not None:
        last = messages.day(renews_on - policy.lapse_days)
        fate = "was told" if known.lapse.reminded_on is not None else f"is told on {last}"
        return [f"It is meant to lapse: no threshold is told; its last chance {fate}."]
    key = "auto_renewal_warn_days" if number.auto_renewal else "warn_days"
    own = getattr(said, key)
    thresholds = getattr(policy, key) if own is None else own
    key = key if own is None else f"{key} of the rule {dict(said.given)[key]}"
    lines = [
        f"Thresholds ({key}): {', '.join(map(str, sorted(thresholds, reverse=True))) or 'none'}, and the day itself."
    ]
    cycle = known.cycle
    threshold = None if cycle is None else cycle.told_threshold
    if cycle is None:
        lines.append("Nothing has been told in this cycle: no threshold is reached yet.")
    elif threshold is not None:
        lines.append(f"Told in this cycle: the threshold of {messages.days(threshold)}; it is not told again.")
    elif cycle.overdue_told:
        lines.append(f"Told in this cycle: overdue, {cycle.overdue_told} times.")
    told = 10_000 if threshold is None else threshold
    ahead = [t for t in {*thresholds, 0} if t < min(told, days_left + 1)]
    if ahead:
        nearest = max(ahead)
        day = messages.day(renews_on - nearest)
        lines.append(f"Next: the threshold of {messages.days(nearest)}, on {day}, at the first poll of that day.")
    elif days_left == 0:
        lines.append(f"Next: overdue, if it did not renew, on {messages.day(renews_on + 1)}.")
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one channel would be told at once; with ``hidden``, what nobody would."""

    at: datetime
    channel: str | None
    alerts: tuple[Alert, ...]
    note: str = ""
    hidden: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What decides whether alerts about a number are told."""

    said: Effective
    silences: Sequence[Silence]  # that are about it, active now
    lapse: str | None
    matters: Mapping[Key, Matter]  # that are open
    hides: Mapping[Key, str]  # what would hide their reminders now
    actions: Sequence[Mapping[str, JSON]]
    channels: Sequence[str]
    record: Record
    users: Sequence[str] | None = None  # agents, None where nothing is known of them
    request: Release | None = None  # to release it


def explain_telling(one: Telling, way: Routing) -> list[str]:
    """Which rules, silences and acknowledgements decide on its alerts, and what still holds."""
    lines = []
    told = [f"{name}: {value}" for name, value in (("owner", one.record.owner), ("note", one.record.note)) if value]
    told += [f"labels: {', '.join(one.record.labels)}"] * bool(one.record.labels)
    if told:
        lines.append(f"Inventory: {plain('; '.join(told), 500)}.")
    if one.users is not None:
        lines.append(messages.used_by(one.users, most=len(one.users)).strip() or "No agent uses it.")
    if one.request is not None:
        lines.append(f"{messages.asked(one.request)}.")
    if one.said.given:
        given: dict[str, list[str]] = {}
        for name, rule in one.said.given:
            given.setdefault(rule, []).append(f"{name}{_given(one.said, name)}")
        lines += [f"Rule {rule} gives: {'; '.join(keys)}." for rule, keys in given.items()]
    elif way.rules:
        lines.append("No rule matches it.")
    if one.lapse:
        lines.append(f"It is meant to lapse ({one.lapse}): renewal alerts are hidden, its last chance is told.")
    for silence in one.silences:
        why = f": {plain(silence.comment)}" if silence.comment else ""
        kinds = f" (kinds {', '.join(silence.kinds)})" if silence.kinds else ""
        lines.append(f"Silence {silence.pk} of {plain(silence.author)} until {when(silence.ends_at)}{kinds}{why}.")
    for key, matter in one.matters.items():
        state = _state(matter, way, one.hides.get(key))
        lines.append(
            f"Open since {when(matter.opened_at)}: {key.topic} ({matter.kind}, {matter.severity.name}); {state}."
        )
    for action in list(one.actions)[:10]:
        comment = f": {plain(action['comment'])}" if action["comment"] else ""
        lines.append(f"{when(action['at'])} {plain(action['author'])} did: {action['verb']}{comment}.")
    lines.append(f"Channels for it: {', '.join(one.channels) or 'none; nobody is told'}.")
    return lines


def _given(said: Effective, key: str) -> str:
    name, _, pattern = key.partition(" ")
    if name == "severities":
        return f" is {next(severity.name for kind, severity, _ in reversed(said.severities) if kind == pattern)}"
    if name == "add_channels":
        return ""
    value = getattr(said, name)
    shown = [one[0] for one in value] if name == "mute" else value
    return f" = {', '.join(map(str, shown)) or 'none' if isinstance(shown, list | tuple) else shown}"


def _state(matter: Matter, way: Routing, hidden: str | None) -> str:
    """What was and will be told of a matter."""
    if matter.hidden is not None:
        return f"hidden: {plain(matter.hidden, 300)}"
    if matter.ack is not None:
        return f"acknowledged by {plain(matter.ack.by)} at {when(matter.ack.at)}; told again if it gets worse"
    said = [f"told last at {when(matter.told_at)}"]
    at = reminds_at(matter, way)
    if hidden is not None:
        return f"{said[0]}; hidden now: {plain(hidden, 300)}"
    said.append(f"told again at {when(at)}" if at else "no further reminder")
    at = escalates_at(matter, way)
    said += [f"escalated at {when(at)} if nobody acts"] * bool(at)
    said += [f"escalated at {when(matter.escalated_at)}"] * bool(matter.escalated_at)
    return ", ".join(said)


def silence_json(one: Silence, hides: int, now: datetime) -> dict[str, JSON]:
    """The keys of ``silence list --json``."""
    return {
        "id": one.pk,
        "match": msgspec.to_builtins(one.match, str_keys=True, enc_hook=str),
        "kinds": list(one.kinds),
        "starts_at": when(one.starts_at),
        "ends_at": when(one.ends_at),
        "author": one.author,
        "comment": one.comment,
        "active": one.is_active(now),
        "ended_by": one.ended_by,
        "hides": hides,
    }


def silence_lines(found: Sequence[tuple[Silence, int]], now: datetime) -> list[str]:
    """Silences for a terminal."""
    rows = []
    for one, hides in found:
        state = (
            f"{messages.span(one.ends_at - now)} left"
            if one.is_active(now)
            else f"ended by {plain(one.ended_by or 'its time')}"
        )
        rows.append((one.pk, state, plain(one.author, 30), matched(one.match, one.kinds), hides, plain(one.comment)))
    return table(("ID", "STATE", "BY", "MATCHES", "HIDES", "COMMENT"), rows) if rows else ["no silence"]


def told_json(one: Told) -> dict[str, JSON]:
    """The keys of ``preview --json``."""
    return {
        "at": when(one.at),
        "channel": one.channel,
        "hidden": one.hidden or None,
        "note": one.note or None,
        "alerts": [
            {
                "kind": alert.kind,
                "severity": alert.severity.name,
                "environment": alert.environment,
                "number_id": alert.number_id,
                "number": alert.number,
                "days_left": alert.days_left,
                "text": alert.text,
            }
            for alert in one.alerts
        ],
    }


def told_lines(found: Sequence[Told], zone: tzinfo, first: datetime, until: datetime) -> list[str]:
    """What would be told, day by day."""
    lines = [
        "With today's fleet: numbers with auto-renewal renew when their day is over, the others do not. Nothing else",
        "changes, what is sent arrives, a poll comes whenever a day begins.",
        f"From {first.astimezone(zone):%a %d %b %Y %H:%M} to {until.astimezone(zone):%a %d %b %Y %H:%M} ({zone}).",
    ]
    day = None
    for one in found:
        at = one.at.astimezone(zone)
        if at.date() != day:
            day = at.date()
            lines += ["", Line(f"{at:%a %d %b %Y}", "head")]
        who = one.channel or "nobody"
        note = f" ({one.hidden or one.note})" if one.hidden or one.note else ""
        lines.append(f"  {at:%H:%M}  {who}{note}")
        lines += [
            f"         {alert.severity.name:8}  {alert.kind:18}  {plain(alert.headline, 120)}"
            for alert in sorted(one.alerts, key=lambda alert: -alert.severity)
        ]
    return lines if found else [*lines, "", "Nobody would be told of anything."]


def _next_overdue(known: Known) -> str:
    cycle = known.cycle
    if cycle is None or cycle.overdue_at is None:
        return "It is overdue; the next poll tells it."
    at = datetime.fromtimestamp(rules.overdue_repeat_at(cycle.overdue_at, cycle.overdue_told), UTC)
    return f"It is overdue and was told {cycle.overdue_told} times; told again at {when(at)} unless it renews."
