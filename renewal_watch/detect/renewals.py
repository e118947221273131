"""What a renewal day demands to be told: thresholds, due, overdue, renewed, meant to expire. Pure."""

from __future__ import annotations

from datetime import date

from renewal_watch.alerts.facts import renewal_facts
from renewal_watch.detect.turn import CRITICAL_DAYS, RENEWED_DAYS, WOBBLE_DAYS, Turn, tightest
from renewal_watch.model import renewal_day
from renewal_watch.model.alerts import Severity
from renewal_watch.model.facts import Number
from renewal_watch.model.numbers import DAY_S, PhoneNumber
from renewal_watch.model.tracking import Cycle, Known, Lapse

OVERDUE_REPEATS_DAYS = (1, 2, 4, 7)  # after the first telling; weekly from there


def judge_renewal(
    turn: Turn,
    number: PhoneNumber,
    known: Known,
    before: PhoneNumber,
    *,
    was_on: int | None = None,
    said_by: str | None = None,
    is_blind: bool = False,
) -> Known:
    """Tell what the renewal day demands and remember it. ``before`` is the number as it was at the last poll.

    ``was_on`` is the renewal day that was believed until now. ``said_by`` is the key of an alert of this poll that says as
    well how near renewal is. ``is_blind``: the number was not read, so its cycle is the one it had: only what is read begins
    another.
    """
    left, on = turn.left(number, known), known.renews_on
    if left is None or on is None:
        return _judge_flag(turn, number, known)
    if known.cycle is not None and not is_blind and abs(on - known.cycle.renews_on) > WOBBLE_DAYS:
        known = _end_cycle(turn, number, known, before, known.cycle, left, on)
    is_back = was_on is not None and on < was_on - WOBBLE_DAYS
    course = int(turn.now.timestamp()) if is_back else 0
    known = _judge_lapse(turn, number, known, before, left, on, course)
    cycle = known.cycle or Cycle(on, course=course)
    if left < 0:
        return _judge_overdue(turn, number, known, cycle, left, on, is_blind=is_blind)
    return _judge_ahead(turn, number, known, cycle, left, on, said_by)


def _end_cycle(
    turn: Turn, number: PhoneNumber, known: Known, before: PhoneNumber, cycle: Cycle, left: int, on: int
) -> Known:
    """Another renewal day is believed: the number renewed, or renews later than was said, or goes on under the other day."""
    moved = on - cycle.renews_on
    is_renewed = moved >= RENEWED_DAYS and left > 0 and not _is_corrected(turn, number, known, before)
    key = _key(known, on, cycle.course)
    if is_renewed and known.lapse is None:
        facts = renewal_facts.Renewed(Number.of(number), turn.at, left, on, Number.of(before))
        turn.tell("renewal.renewed", Severity.info, key, facts, number, left)
    elif moved > 0 and known.lapse is None and _is_far(turn, number, left):
        later = renewal_facts.Postponed(Number.of(number), turn.at, left, on, cycle.renews_on)
        turn.tell("renewal.postponed", Severity.info, key, later, number, left)
    else:  # what is open goes on under the other day
        turn.end(known.provider_id, "renewal")
    return known._replace(cycle=None)


def _judge_ahead(
    turn: Turn, number: PhoneNumber, known: Known, cycle: Cycle, left: int, on: int, said_by: str | None
) -> Known:
    """The day is ahead, or today: a threshold that is reached is told once, and so is the provider's flag."""
    auto = bool(number.auto_renewal)
    reached = 0 if left == 0 else tightest(left, turn.thresholds(number, auto_renewal=auto))
    flag = bool(number.is_due_for_monthly_renewal) and not cycle.told_due_flag
    is_tighter = reached is not None and (cycle.told_threshold is None or reached < cycle.told_threshold)
    if not is_tighter and not flag:
        return known
    key = _key(known, cycle.renews_on, cycle.course, reached if is_tighter else "flag")
    urgent = Severity.critical if left <= CRITICAL_DAYS else Severity.warning
    severity = Severity.info if auto else urgent
    note = turn.note_on(number, known)
    if left == 0 or flag:
        due = renewal_facts.Due(Number.of(number), turn.at, left, on, note)
        turn.tell("renewal.due", severity, key, due, number, left)
    else:
        upcoming = renewal_facts.Upcoming(Number.of(number), turn.at, left, on, note)
        turn.tell("renewal.upcoming", severity, key, upcoming, number, left, said_by=said_by)
    return known._replace(
        cycle=cycle._replace(
            told_threshold=reached if is_tighter else cycle.told_threshold,
            told_due_flag=cycle.told_due_flag or flag or left == 0,
        )
    )


def _is_far(turn: Turn, number: PhoneNumber, left: int) -> bool:
    """Whether nothing demands to be told of a renewal day yet."""
    reached = tightest(left, turn.thresholds(number, auto_renewal=bool(number.auto_renewal)))
    return left > 0 and reached is None and not number.is_due_for_monthly_renewal


def _is_corrected(turn: Turn, number: PhoneNumber, known: Known, before: PhoneNumber) -> bool:
    """Whether another day is believed of an entry that stayed as it was, because its countdown never moved: no renewal."""
    if known.doubt is None or known.doubt.old_countdown is None:
        return False
    zone = turn.policy.zone
    return renewal_day.stated(number, zone) == renewal_day.stated(before, zone)


def _key(known: Known, on: int, course: int, *parts: object) -> str:
    """The name of what is told of one course of one cycle."""
    day = f"{date.fromordinal(on)}@{course}" if course else f"{date.fromordinal(on)}"
    return "/".join(map(str, (known.provider_id, day, *parts)))


def _judge_flag(turn: Turn, number: PhoneNumber, known: Known) -> Known:
    """The due flag of a number of which no day was ever stated: it suffices alone."""
    is_told = known.cycle is not None and known.cycle.told_due_flag
    if bool(number.is_due_for_monthly_renewal) == is_told:
        return known
    if is_told:
        turn.tell(
            "renewal.renewed",
            Severity.info,
            turn.once(known.provider_id),
            renewal_facts.NotDue(Number.of(number), turn.at),
            number,
        )
        return known._replace(cycle=None)
    severity = Severity.info if number.auto_renewal else Severity.critical
    turn.tell(
        "renewal.due",
        severity,
        turn.once(known.provider_id),
        renewal_facts.DueByFlag(Number.of(number), turn.at),
        number,
    )
    return known._replace(cycle=Cycle(turn.on_day, told_due_flag=True))


def _judge_lapse(
    turn: Turn, number: PhoneNumber, known: Known, before: PhoneNumber, left: int, on: int, course: int
) -> Known:
    """A number that is meant to go: the last chance to change one's mind, and the alarm if it renews anyway."""
    lapse = known.lapse
    if lapse is None:
        return known
    name = known.provider_id
    key = _key(known, on, course)
    is_renewed = lapse.renews_on is not None and on - lapse.renews_on >= RENEWED_DAYS and left > 0
    if is_renewed and not _is_corrected(turn, number, known, before):
        turn.tell(
            "lapse.renewed",
            Severity.critical,
            key,
            renewal_facts.LapseRenewed(Number.of(number), turn.at, left, on, Number.of(before)),
            number,
            left,
        )
    if lapse.renews_on is None or abs(on - lapse.renews_on) > WOBBLE_DAYS:
        lapse = Lapse(on)
        turn.end(name, "last chance")
    if 0 <= left <= turn.policy.lapse_days and lapse.reminded_on is None:
        turn.tell(
            "lapse.last_chance",
            Severity.warning,
            key,
            renewal_facts.LastChance(Number.of(number), turn.at, left, on, turn.note_on(number, known)),
            number,
            left,
        )
        lapse = lapse._replace(reminded_on=on)
    return known if lapse == known.lapse else known._replace(lapse=lapse)


def _judge_overdue(
    turn: Turn, number: PhoneNumber, known: Known, cycle: Cycle, left: int, on: int, *, is_blind: bool
) -> Known:
    """The day passed. A number that cannot be read may have renewed unseen: only what was told before is repeated.

    An automatic renewal is charged some time after its day began; it has failed when the grace is over as well.
    """
    is_unseen = is_blind or (known.doubt is not None and known.doubt.is_unstated)
    is_unseen |= turn.is_unclear and (number.countdown is None or number.countdown >= 0)
    is_early = bool(number.auto_renewal) and turn.now < renewal_day.end_of_day(on, turn.policy.zone) + turn.policy.grace
    if not cycle.overdue_told and (is_unseen or is_early):
        return known
    now_s = int(turn.now.timestamp())
    since = now_s if cycle.overdue_at is None else cycle.overdue_at
    told = cycle.overdue_told
    if told and now_s < overdue_repeat_at(since, told):
        return known
    told += 1
    while now_s >= overdue_repeat_at(since, told):  # what was missed while nothing ran is told once
        told += 1
    key = _key(known, cycle.renews_on, cycle.course, told)
    turn.tell(
        "renewal.overdue",
        Severity.critical,
        key,
        renewal_facts.Overdue(Number.of(number), turn.at, -left, on, turn.note_on(number, known)),
        number,
        left,
        repeats=told > 1,
    )
    return known._replace(cycle=cycle._replace(overdue_at=since, overdue_told=told))


def overdue_repeat_at(since_s: int, told: int) -> int:
    """The epoch second at which an overdue number told ``told`` times (from 1) is told again."""
    fixed = len(OVERDUE_REPEATS_DAYS)
    day = OVERDUE_REPEATS_DAYS[told - 1] if told <= fixed else OVERDUE_REPEATS_DAYS[-1] + 7 * (told - fixed)
    return since_s + day * DAY_S
