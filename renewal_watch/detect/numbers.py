"""What differs between two readings of one number. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from renewal_watch.alerts.facts import number_facts
from renewal_watch.detect.renewals import judge_renewal
from renewal_watch.detect.turn import WOBBLE_DAYS, Turn, is_watched
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Number
from renewal_watch.model.notation import bare
from renewal_watch.model.numbers import STATUSES, PhoneNumber
from renewal_watch.model.tracking import Known

GONE = re.compile(  # facts that plainly mean that a number is gone or dead, in a status that is not documented
    r"(?<!un)(?<!not[ _-])(releas|expir|cancel|terminat|delet|clos|disconnect|deactivat|remov|revok|lapsed|gone|lost"
    r"|port(ed|ing)?[ _-]*out|transferred|reclaim|recycl|withdrawn|forfeit|decommission|deprovision"
    r"|destroy|dropped|(?<![a-z])ended|unassigned|unsubscribed|returned|archived|churned|disabled|blocked|banned)",
    re.IGNORECASE,
)


def status_severity(status: str) -> Severity:
    """How urgent a status is; critical where a number does not work, or is plainly gone."""
    if status == "active":
        return Severity.info
    if status in STATUSES:
        return Severity.warning if status == "pending" else Severity.critical
    return Severity.critical if GONE.search(status) else Severity.warning


def judge_changed(turn: Turn, number: PhoneNumber, before: PhoneNumber, known: Known, old: Known) -> Known:
    """A number whose entry is another one, or that is in the list again; ``old`` is what was kept of it."""
    if not is_watched(known, turn.policy):
        if is_watched(old, turn.policy) and old.missing_at is None:
            turn.unwatched.append(number)
        return known
    if not is_watched(old, turn.policy):  # no sandbox number any more; what was told of it before is another story
        return judge_new(turn, number, known._replace(cycle=None), is_baseline=True)
    if old.missing_at is not None:
        since = datetime.fromtimestamp(old.missing_at, UTC)
        left = turn.left(number, known)
        was_at = None if old.absence is None else old.absence.moved_to
        turn.tell(
            "number.returned",
            Severity.info,
            turn.once(known.provider_id),
            number_facts.Returned(Number.of(number), turn.at, since, left, known.renews_on, was_at),
            number,
            left,
        )
    if known.provider_id in turn.context.renumbered:
        was = turn.context.renumbered[known.provider_id]
        turn.tell(
            "number.renumbered",
            Severity.critical,
            turn.once(known.provider_id),
            number_facts.Renumbered(Number.of(number), turn.at, was, turn.left(number, known), known.renews_on),
            number,
        )
    return _judge_change(turn, number, before, known, old.renews_on)


def _judge_change(turn: Turn, number: PhoneNumber, before: PhoneNumber, known: Known, was_on: int | None) -> Known:
    """Tell what differs between two readings of one number, and what its renewal day demands."""
    name = known.provider_id
    left, on = turn.left(number, known), known.renews_on
    if number.status != before.status:
        facts = number_facts.StatusChanged(Number.of(number), turn.at, before.status, left, on)
        severity = status_severity(number.status)
        if known.lapse is not None and left is not None and left <= 0:
            severity = Severity.info  # as it was meant
        is_active = number.status == "active"
        turn.tell("status.changed", severity, turn.once(name), facts, number, left, ends=is_active)
    said_by = None
    if bool(number.auto_renewal) != bool(before.auto_renewal):
        said_by = _tell_auto_renewal(turn, number, known, left, on)
    _judge_price(turn, number, before, known, left)
    now_can, could = number.capabilities, before.capabilities
    if lost := sorted(could - now_can):
        turn.tell(
            "capability.lost",
            Severity.warning,
            turn.once(name),
            number_facts.Capabilities(Number.of(number), turn.at, tuple(lost), left, on, lost=True),
            number,
            left,
        )
    if gained := sorted(now_can - could):
        turn.tell(
            "capability.gained",
            Severity.info,
            turn.once(name),
            number_facts.Capabilities(Number.of(number), turn.at, tuple(gained), left, on, lost=False),
            number,
            left,
        )
    return judge_renewal(turn, number, known, before, was_on=was_on, said_by=said_by)


def _judge_price(turn: Turn, number: PhoneNumber, before: PhoneNumber, known: Known, left: int | None) -> None:
    """Tell another price; a warning where either price rises or is stated first, or the currency is another one."""
    pairs = (
        (before.monthly_renewal_cost, number.monthly_renewal_cost),
        (before.current_price, number.current_price),
    )
    if number.currency == before.currency and all(old == new for old, new in pairs):
        return
    is_dearer = number.currency != before.currency or any(
        new is not None and (old is None or new > old) for old, new in pairs
    )
    severity = Severity.warning if is_dearer else Severity.info
    turn.tell(
        "price.changed",
        severity,
        turn.once(known.provider_id),
        number_facts.PriceChanged(Number.of(number), turn.at, Number.of(before), left, known.renews_on),
        number,
        left,
    )


def _tell_auto_renewal(turn: Turn, number: PhoneNumber, known: Known, left: int | None, on: int | None) -> str:
    """Auto-renewal was switched. Gives the key of that alert: inside a threshold it is the telling of that threshold.

    A number that is overdue stays so, whatever is switched: its incident goes on.
    """
    key = turn.once(known.provider_id)
    topic = "" if known.is_overdue(left) else None
    if number.auto_renewal:
        facts = number_facts.AutoRenewalOn(Number.of(number), turn.at, left, on, lapses=known.lapse is not None)
        severity = Severity.info if known.lapse is None else Severity.warning
        is_end = topic is None and (left is None or left >= 0)
        return turn.tell("auto_renewal.on", severity, key, facts, number, left, topic=topic, ends=is_end)
    is_near = left is not None and left <= max((*turn.thresholds(number, auto_renewal=False), 0))
    severity = Severity.critical if is_near else Severity.warning
    return turn.tell(
        "auto_renewal.off",
        severity,
        key,
        number_facts.AutoRenewalOff(Number.of(number), turn.at, left, on),
        number,
        left,
        topic=topic,
    )


def as_told(turn: Turn, fresh: Known) -> Known:
    """A new number with what was told of its cycle where it was before."""
    cycle = turn.context.told_elsewhere.get(bare(fresh.number)) if turn.context.told_elsewhere else None
    if cycle is None or fresh.renews_on is None or abs(fresh.renews_on - cycle.renews_on) > WOBBLE_DAYS:
        return fresh
    return fresh._replace(cycle=cycle)


def judge_new(turn: Turn, parsed: PhoneNumber, known: Known, *, is_baseline: bool) -> Known:
    """Tell a number that was not known, and what its renewal day demands."""
    name = known.provider_id
    left, on = turn.left(parsed, known), known.renews_on
    if not is_baseline:
        turn.tell(
            "number.added",
            Severity.info,
            turn.once(name),
            number_facts.Added(Number.of(parsed), turn.at, left, on),
            parsed,
            left,
        )
    if parsed.status != "active":
        turn.tell(
            "status.changed",
            status_severity(parsed.status),
            turn.once(name),
            number_facts.StatusChanged(Number.of(parsed), turn.at, None, left, on),
            parsed,
            left,
        )
    latest = turn.on_day + turn.horizons[bool(parsed.auto_renewal)] + 1  # the countdown may be one day ahead of the day
    if on is not None and on > latest and not parsed.is_due_for_monthly_renewal:
        return known
    return judge_renewal(turn, parsed, known, parsed)
