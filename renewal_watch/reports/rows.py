"""A number as reports show it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from renewal_watch.alerts import phrases
from renewal_watch.alerts.phrases import severity_word
from renewal_watch.language import N_, _, pgettext
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Mark, Severity
from renewal_watch.model.kinds import ROWS, UNKNOWN
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Policy
from renewal_watch.model.tracking import Known
from renewal_watch.reports.tables import DIGITS, JSON, Line, Tone, aligned, missing_since, texts, toned, when
from renewal_watch.text import plain, printable

_SHOWN = frozenset({"renewal.overdue", "status.changed", "number.missing"})  # other columns say them
_OPEN = {  # what is open about a number, in the words of a note
    "renewal.upcoming": N_("will be lost"),
    "renewal.due": N_("will be lost"),
    "auto_renewal.off": N_("auto-renewal was switched off"),
    "release.requested": N_("release requested"),
}
_MATCHED = {  # what a silence is about, by the key of its match
    "numbers": N_("numbers {values}"),
    "ids": N_("ids {values}"),
    "environments": N_("environments {values}"),
    "countries": N_("countries {values}"),
    "types": N_("types {values}"),
    "capabilities": N_("capabilities {values}"),
    "labels": N_("labels {values}"),
    "owners": N_("owners {values}"),
    "cost_at_least": N_("cost at least {values}"),
    "cost_at_most": N_("cost at most {values}"),
    "currencies": N_("currencies {values}"),
}
_FAR = 100_000  # days, as if it were never


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number as ``status`` and ``explain`` see it now."""

    environment: str
    known: Known
    number: PhoneNumber
    days_left: int | None
    renews_on: date | None
    disagreement: str | None
    mark: Mark | None = None  # what is open about it

    @property
    def severity(self) -> Severity:
        """The worst of what is open about it; info where nothing is."""
        return Severity.info if self.mark is None else self.mark.severity

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
            "missing_since": when(missing_since(self.known)),
            "is_sandbox": bool(self.known.is_sandbox),
            "disagreement": self.disagreement,
        }

    def is_within(self, days: int | None) -> bool:
        """Whether it is there and has so many days left or less; None takes all."""
        if days is None:
            return True
        return self.days_left is not None and self.days_left <= days and not self.known.missing_at

    def urgency(self) -> tuple[int, int, int, str]:
        """Sorts the most urgent first: by what is open about it, then by days, what will be lost before what renews."""
        gone = self.known.missing_at is not None
        left = _FAR if self.days_left is None else self.days_left
        is_odd = self.number.status != "active" or self.severity == Severity.warning
        first = 0 if left < 0 or self.severity == Severity.critical else 1 if is_odd else 2
        return (3 if gone or self.known.is_sandbox else first, left, bool(self.number.auto_renewal), self.known.number)

    def rank(self) -> int:
        """The same as a whole number, in which two numbers of 15 digits or less are equal only if they are the same."""
        first, left, auto, number = self.urgency()
        digits = "".join(filter(str.isdecimal, number))[:DIGITS].ljust(DIGITS, "0")
        return int(f"{(first << 18 | min(max(left, -_FAR), _FAR) + _FAR) << 1 | auto}{digits}")


def row(
    environment: str, known: Known, number: PhoneNumber, policy: Policy, now: datetime, mark: Mark | None = None
) -> Row:
    """The number as it stands at ``now``; its countdown went on since the last poll."""
    on_day = renewal_day.today(now, policy.zone)
    countdown = renewal_day.went_on(known, int(now.timestamp()))
    return Row(
        environment=environment,
        known=known,
        number=number,
        days_left=renewal_day.days_left(number, known, on_day, int(now.timestamp())),
        renews_on=None if known.renews_on is None else date.fromordinal(known.renews_on),
        disagreement=phrases.disagreement(known, number, countdown, on_day, policy.zone),
        mark=mark,
    )


class Columns:
    """The table of numbers that ``status`` prints, whose rows are kept elsewhere until all widths are known."""

    _HEAD = ("NUMBER", "ENVIRONMENT", "STATUS", "DAYS", "RENEWS ON", "AUTO", "COST", "NOTE")

    def __init__(self, *, with_owner: bool = False) -> None:
        self._with_owner = with_owner
        self._head = (*self._HEAD[:-1], *["OWNER"] * with_owner, self._HEAD[-1])
        self._widths = [len(cell) for cell in self._head]

    def packed(self, one: Row, owner: str = "") -> str:
        """The row of a number as a text; ``owner`` is whose it is."""
        *cells, note = texts(_cells(one))
        cells += [*[plain(owner, 30)] * self._with_owner, note]
        self._widths = [max(known, len(cell)) for known, cell in zip(self._widths, cells, strict=True)]
        return json.dumps([_tone(one), cells])

    def title(self) -> Line:
        """The line above all rows."""
        return Line(aligned(self._head, self._widths), "head")

    def line(self, packed: str) -> str:
        """A row that was packed, as wide as any."""
        tone, cells = json.loads(packed)
        return toned(aligned(cells, self._widths), tone)


def _tone(one: Row) -> Tone | None:
    if one.known.missing_at is not None or one.known.is_sandbox:
        return "faint"
    if (one.days_left is not None and one.days_left < 0) or one.severity == Severity.critical:
        return "bad"
    return "mind" if one.number.status != "active" or one.severity == Severity.warning else None


def severity(name: str) -> str:
    """The word for a severity."""
    return severity_word(Severity[name])


def notes(one: Row, *, with_overdue: bool = True) -> list[str]:
    """What else is to be known of a number, a few words each; whether it is overdue may be said elsewhere."""
    notes = []
    if one.known.absence is not None and one.known.absence.moved_to:
        notes.append(_("moved to {environment}", environment=one.known.absence.moved_to))
    elif one.known.missing_at is not None:
        notes.append(_("missing since {at}", at=phrases.instant(missing_since(one.known))))
    elif one.known.absence is not None:
        notes.append(_("not in the last list"))
    if one.known.is_overdue(one.days_left):
        notes += [_("OVERDUE")] * with_overdue
    elif one.days_left is not None and one.days_left < 0 and one.known.lapse is None:
        notes.append(_("its day has passed"))
    notes += (
        [
            _(_OPEN[kind]) if kind in _OPEN else _(ROWS.get(kind, UNKNOWN).group)
            for kind in one.mark.kinds
            if kind not in _SHOWN
        ]
        if one.mark
        else []
    )
    if one.known.is_sandbox:
        notes.append(_("sandbox"))
    if one.known.lapse is not None:
        notes.append(_("meant to expire"))
    if one.disagreement:
        notes.append(one.disagreement)
    return notes


def _cells(one: Row) -> tuple[object, ...]:
    number = one.number
    auto = {True: "on", False: "off", None: "?"}[number.auto_renewal]
    cost = "" if number.cost is None else phrases.money(number.cost, number.currency)
    status = plain(number.status or "?", 40)
    return (
        plain(phrases.who(number), 40),
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
    said = [_matched(name, value) for name in match.__struct_fields__ if (value := getattr(match, name)) is not None]
    said += [_("kinds {values}", values=", ".join(kinds))] * bool(kinds)
    return printable("; ".join(said), 300) or _("all numbers")


def _matched(name: str, value: object) -> str:
    if name == "auto_renewal":
        return _("auto-renewal on") if value else _("auto-renewal off")
    return _(_MATCHED[name], values=", ".join(map(str, value)) if isinstance(value, tuple) else value)


def verb(did: str) -> str:
    """What somebody did, as the audit log has it, in words."""
    known = {
        "ack": pgettext("audit log", "ack"),
        "ack withdrawn": pgettext("audit log", "ack withdrawn"),
        "lapse": pgettext("audit log", "lapse"),
        "lapse withdrawn": pgettext("audit log", "lapse withdrawn"),
        "silence": pgettext("audit log", "silence"),
        "silence ended": pgettext("audit log", "silence ended"),
        "retry": pgettext("audit log", "retry"),
        "token created": pgettext("audit log", "token created"),
        "token revoked": pgettext("audit log", "token revoked"),
        "links revoked": pgettext("audit log", "links revoked"),
        "database pruned": pgettext("audit log", "database pruned"),
        "database restored": pgettext("audit log", "database restored"),
        "database copied": pgettext("audit log", "database copied"),
    }
    return known.get(did, did)
