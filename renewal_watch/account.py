"""Judges what the account says beside the list: release requests, top-ups, cards, the balance; and who uses a number. Pure.

    judge       what differs from the reading before, and what is to be told of it
    judge_token whether the balance is not watched any more, for its token is rejected
    restate     a matter of the account as it stands now
    explains    the release request that says why a number left the list

The first reading of an endpoint is a baseline: requests that were resolved and top-ups that failed long ago are not told.
What still holds is: a pending request, an approved one whose number is still listed, a newest top-up that failed of late.

Once, and again after it had ended, holds by the reading before: ``Reading.told`` remembers what no alert's key can.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from renewal_watch import messages, rules, signs
from renewal_watch.errors import NotTheApi, TokenRejected
from renewal_watch.model import (
    Alert,
    Balance,
    Card,
    Charge,
    Key,
    Known,
    PhoneNumber,
    Policy,
    Reading,
    Release,
    Severity,
    TopUp,
)
from renewal_watch.rules import CRITICAL_DAYS, Restated

RELEASE_TAKES = timedelta(days=45)  # an approved release ends with the month that is paid; older ones explain nothing
LONG_AGO = timedelta(days=30)  # a failed top-up that is older is not told at the first reading
BALANCE = "balance"  # a topic, as these are:
_AUTO, _SCHEDULED, _PAYMENT, _CARD = "auto top-up", "scheduled top-up", "top-up payment", "card "
_UNREADABLE = "unreadable "  # and the name of the reading
_RELEASE = "release"  # of a number; of one that is not known "release " and the request's id
_USER_TOKEN = "user token"  # noqa: S105 (a topic)
_TOPICS = {_AUTO: "topup", _SCHEDULED: "topup", _PAYMENT: "charges", BALANCE: "balance", _USER_TOKEN: "balance"}
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


# --- judging ----------------------------------------------------------------------------------------------------------


class Renews(NamedTuple):
    """Numbers that renew by themselves and are to be paid: on one day (an ordinal), at one price."""

    on: int
    currency: str
    cost: Decimal | None
    numbers: int


class Subject(NamedTuple):
    """The number that a release request is about."""

    known: Known
    number: PhoneNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the watch knows that a reading is judged against: numbers by the ids of requests, and what will be charged."""

    subjects: Mapping[str, Subject] = field(default_factory=dict)
    renews: Sequence[Renews] = ()


class Found(NamedTuple):
    """What is to be told, the matters that end without an alert, and by reading what is told and holds after it."""

    alerts: list[Alert]
    ended: list[Key]
    told: dict[str, dict[str, int]]


@dataclass(slots=True, kw_only=True)
class _Turn:
    """What one judgement carries along."""

    at: str
    now: datetime
    policy: Policy
    alerts: list[Alert] = field(default_factory=list)
    ended: list[Key] = field(default_factory=list)

    @property
    def on_day(self) -> int:
        return signs.today(self.now, self.policy.zone)

    def tell(
        self,
        kind: str,
        severity: Severity,
        key: str,
        words: tuple[str, str],
        *,
        topic: str = "",
        ends: bool = False,
        repeats: bool = False,
        subject: Subject | None = None,
        left: int | None = None,
    ) -> None:
        number_id = None if subject is None else subject.known.provider_id
        place = "/".join(filter(None, (self.at, kind, number_id)))
        self.alerts.append(
            Alert(
                key=f"{place}/{key}",
                kind=kind,
                severity=severity,
                environment=self.at,
                headline=words[0],
                text=words[1],
                number_id=number_id,
                number=None if subject is None else messages.who(subject.number),
                days_left=left,
                topic=topic,
                ends=ends,
                nature="repeat" if repeats else "new",
                about=None if subject is None else subject.number,
            )
        )

    def once(self, name: str) -> str:
        """A key for what is told because of this very reading."""
        return f"{name}/{self.now.isoformat()}"

    def end(self, topic: str, words: tuple[str, str]) -> None:
        """Something that was told is well again."""
        self.tell("funds.recovered", Severity.info, self.once(topic), words, topic=topic, ends=True)


def judge(
    at: str,
    before: Mapping[str, Reading],
    fresh: Mapping[str, Any],
    facts: Facts,
    policy: Policy,
    now: datetime,
) -> Found:
    """What the answers that were read just now mean.

    ``before`` are the readings as they were kept, ``fresh`` the contents that were read well.
    """
    turn = _Turn(at=at, now=now, policy=policy)
    latest = {**{name: one.content for name, one in before.items()}, **fresh}
    told = {name: dict(before[name].told) if name in before else {} for name in fresh}
    was = {name: before[name].content if name in before else None for name in fresh}
    if "releases" in fresh:
        _judge_releases(turn, was["releases"], fresh["releases"], facts.subjects, told["releases"])
    if "topup" in fresh:
        _judge_topup(turn, was["topup"], fresh["topup"], told["topup"])
    if "charges" in fresh:
        _judge_charges(turn, was["charges"], fresh["charges"], told["charges"])
    if "cards" in fresh:
        _judge_cards(turn, fresh["cards"], latest.get("topup"), told["cards"])
    if "balance" in fresh:
        top_up = _TopUp(latest.get("topup"), is_failing(latest.get("charges") or ()))
        _judge_balance(turn, fresh["balance"], facts.renews, top_up, told["balance"])
    return Found(turn.alerts, turn.ended, told)


# --- release requests -------------------------------------------------------------------------------------------------


def may_be_told(requests: Iterable[Release], before: Sequence[Release] | None, now: datetime) -> list[Release]:
    """The requests whose numbers must be looked up: pending, approved of late, or not as they were."""
    statuses = {one.id: one.status for one in before or ()}
    return [
        one
        for one in requests
        if one.status == "pending"
        or (one.status == "approved" and _is_recent(one, now))
        or (before is not None and one.status != statuses.get(one.id))
    ]


def _is_recent(request: Release, now: datetime) -> bool:
    since = request.resolved_at or request.requested_at
    return since is None or now - since <= RELEASE_TAKES


def explains(requests: Iterable[Release], now: datetime) -> Release | None:
    """Of the requests about one number, the one that says why it is gone: approved of late, else pending."""
    ordered = sorted(requests, key=lambda one: one.requested_at or _EARLIEST, reverse=True)
    approved = (one for one in ordered if one.status == "approved" and _is_recent(one, now))
    return next(approved, None) or next((one for one in ordered if one.status == "pending"), None)


def _judge_releases(
    turn: _Turn,
    before: Sequence[Release] | None,
    after: Sequence[Release],
    subjects: Mapping[str, Subject],
    told: dict[str, int],
) -> None:
    """``told`` are the requests that were told as meant, for their numbers were to lapse: that may be taken back."""
    statuses = {one.id: one.status for one in before or ()}
    listed = {one.id for one in after}
    gone = [one for one in before or () if one.status == "pending" and one.id not in listed]
    ordered = sorted(after, key=lambda one: (one.status in ("pending", "approved"), one.requested_at or _EARLIEST))
    for one in (*gone, *ordered):  # ends first: another request for the same number opens the matter anew
        subject = subjects.get(one.id)
        if subject is not None and not rules.is_watched(subject.known, turn.policy):
            continue
        was = statuses.get(one.id)
        if one.id not in listed or (was in ("pending", "approved") and one.status in ("rejected", "cancelled")):
            number = None if subject is None else subject.number
            words = messages.release_closed(number, one, turn.at, is_listed=one.id in listed)
            topic = _topic(one, subject)
            turn.tell(
                "release.closed", Severity.info, turn.once(one.id), words, topic=topic, ends=True, subject=subject
            )
        elif one.status in ("pending", "approved"):
            is_meant = subject is not None and subject.known.lapse is not None
            if one.status != was or (one.id in told and not is_meant):
                _judge_release(turn, one, subject, is_first=before is None)
                told.pop(one.id, None)
            if is_meant:
                told[one.id] = 1
    for name in told.keys() - listed:
        del told[name]


def _judge_release(turn: _Turn, request: Release, subject: Subject | None, *, is_first: bool) -> None:
    is_gone = subject is None or subject.known.missing_at is not None
    if is_first and request.status == "approved" and (is_gone or not _is_recent(request, turn.now)):
        return
    kind = "release.requested" if request.status == "pending" else "release.approved"
    if subject is not None and subject.known.lapse is not None:
        words = messages.release_meant(subject.number, request, turn.at)
        turn.tell(kind, Severity.info, turn.once(request.id), words, subject=subject)
        return
    was_told = (
        subject is not None and is_gone and request.status == "approved"
    )  # as missing, until now without a reason
    words, left = _release_words(request, subject, turn.at, turn.policy, turn.now, is_gone=was_told)
    topic = "presence" if was_told else _topic(request, subject)
    ends = request.status == "approved" and is_gone  # nothing is left to be reminded of
    if was_told and subject is not None:
        turn.ended.append(Key(turn.at, subject.known.provider_id, _RELEASE))
    key = turn.once(request.id)
    turn.tell(kind, Severity.critical, key, words, topic=topic, ends=ends, repeats=is_first, subject=subject, left=left)


def _release_words(
    request: Release,
    subject: Subject | None,
    at: str,
    policy: Policy,
    now: datetime,
    note: str = "",
    *,
    is_gone: bool = False,
) -> tuple[tuple[str, str], int | None]:
    """The words, and the days left of the number."""
    left, on, number = None, None, None
    if subject is not None:
        known, number = subject
        on = known.renews_on
        left = signs.days_left(number, known, signs.today(now, policy.zone), int(now.timestamp()))
    if request.status == "pending":
        return messages.release_requested(number, request, at, left, on, note), left
    return messages.release_approved(number, request, at, left, on, note, is_gone=is_gone), left


def _topic(request: Release, subject: Subject | None) -> str:
    return f"{_RELEASE} {request.id}" if subject is None else _RELEASE


# --- funds ------------------------------------------------------------------------------------------------------------


def _judge_topup(turn: _Turn, before: TopUp | None, after: TopUp, told: dict[str, int]) -> None:
    """Told when a switch goes off, and at first when no switch is on; whoever pays otherwise wants no warning of it."""
    was = before or TopUp()
    switches = ((_AUTO, was.by_threshold, after.by_threshold), (_SCHEDULED, was.by_schedule, after.by_schedule))
    for topic, before_on, on in switches:
        never = before_on is None and topic == _AUTO and not after.by_schedule
        if on is False and topic not in told and (before_on or never):
            words = messages.topup_off(turn.at, topic, after)
            turn.tell("funds.topup_off", Severity.warning, turn.once(topic), words, topic=topic, repeats=before is None)
            told[topic] = 1
        elif on and topic in told:
            turn.end(topic, messages.topup_on(turn.at, topic))
            del told[topic]
    if _AUTO in told and after.by_schedule and not was.by_schedule:
        turn.end(_AUTO, messages.topup_on(turn.at, _AUTO, by_other=True))
        del told[_AUTO]


def is_failing(charges: Sequence[Charge]) -> bool:
    """Whether the newest top-up that ended failed."""
    return next((one.status == "failed" for one in reversed(charges) if one.status in ("failed", "succeeded")), False)


def _judge_charges(turn: _Turn, before: Sequence[Charge] | None, after: Sequence[Charge], told: dict[str, int]) -> None:
    fails = is_failing(after)
    failed = [one for one in after if one.status == "failed"]
    if before is None:
        fresh = [one for one in failed[-1:] if fails and one.at is not None and turn.now - one.at <= LONG_AGO]
    else:
        known = {one.id for one in before if one.status == "failed"}
        oldest = next((one.at for one in before if one.at is not None), None) or _EARLIEST
        fresh = [one for one in failed if one.id not in known and (one.at or turn.now) >= oldest]
    if fresh and fails:
        words = messages.topup_failed(turn.at, fresh[-1], len(fresh) - 1)
        repeats = _PAYMENT in told or before is None
        key = turn.once(fresh[-1].id)
        turn.tell("funds.topup_failed", Severity.critical, key, words, topic=_PAYMENT, repeats=repeats)
        told[_PAYMENT] = 1
    elif fresh:
        words = messages.topup_failed_once(turn.at, fresh[-1], len(fresh) - 1)
        turn.tell("funds.topup_failed", Severity.info, turn.once(fresh[-1].id), words)
    if not fails and told.pop(_PAYMENT, 0):
        turn.end(_PAYMENT, messages.topup_works(turn.at))


def _in_use(cards: Sequence[Card], settings: TopUp | None) -> Sequence[Card]:
    """The cards that top-ups are charged to: the one in the settings, else the default, else any of them."""
    named = [one for one in cards if settings is not None and one.id == settings.card_id]
    return named or [one for one in cards if one.is_default] or cards


def _last_day(card: Card) -> int:
    return date(card.year, card.month, monthrange(card.year, card.month)[1]).toordinal()


def _judge_cards(turn: _Turn, cards: Sequence[Card], settings: TopUp | None, told: dict[str, int]) -> None:
    ending = {}
    is_charged = settings is None or settings.by_threshold is not False or settings.by_schedule is not False
    for card in _in_use(cards, settings):
        on = _last_day(card)
        left = on - turn.on_day
        if left > turn.policy.card_warn_days:
            continue
        topic = f"{_CARD}{card.id}"
        stage = on * 2 + (left < 0)  # another month, or over: worth another alert
        ending[topic] = stage
        if told.get(topic) != stage:
            severity = Severity.critical if left < 0 and is_charged else Severity.warning
            words = messages.card_expiring(turn.at, card, left, on)
            turn.tell("funds.card_expiring", severity, turn.once(card.id), words, topic=topic, left=left)
    known = {topic for topic in told if topic.startswith(_CARD)}
    for topic in known - ending.keys():
        if cards:
            turn.end(topic, messages.card_replaced(turn.at, well=not ending))
        else:
            words = messages.card_gone(turn.at)
            turn.tell("funds.card_expiring", Severity.warning, turn.once(topic), words, topic=topic, ends=True)
    for topic in known:
        del told[topic]
    told.update(ending)


class _TopUp(NamedTuple):
    """What fills up the balance by itself."""

    settings: TopUp | None
    fails: bool

    @property
    def helps(self) -> bool:
        return self.settings is not None and bool(self.settings.by_threshold) and not self.fails

    @property
    def words(self) -> str:
        return messages.topup_helps(self.settings, failed=self.fails)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """What the renewals of one currency cost up to the day ``until``; ``unpriced`` state no price."""

    amount: Decimal
    until: int
    by_day: tuple[tuple[int, Decimal, int], ...]  # (day, cost, numbers)
    unpriced: int

    def first_uncovered(self, balance: Decimal) -> tuple[int, int] | None:
        """The first day that the balance does not last for, and how many numbers renew then; None if it covers all."""
        for on, cost, count in self.by_day:
            balance -= cost
            if balance < 0 and cost:
                return on, count
        return None


def needs(renews: Iterable[Renews], on_day: int, horizon: int) -> dict[str, _Need]:
    """What is to be paid within ``horizon`` days, by currency; what is overdue is to be paid today."""
    days: dict[str, dict[int, tuple[Decimal, int]]] = {}
    unpriced: dict[str, int] = {}
    for one in renews:
        currency = one.currency.strip().upper()
        if one.on > on_day + horizon:
            continue
        if one.cost is None:
            unpriced[currency] = unpriced.get(currency, 0) + one.numbers
            continue
        on = max(one.on, on_day)
        cost, count = days.setdefault(currency, {}).get(on, (Decimal(0), 0))
        days[currency][on] = (cost + one.cost * one.numbers, count + one.numbers)
    return {
        currency: _Need(
            amount=sum((cost for cost, _ in those.values()), Decimal(0)),
            until=max(those),
            by_day=tuple((on, *those[on]) for on in sorted(those)),
            unpriced=unpriced.get(currency, 0),
        )
        for currency, those in days.items()
    }


def _judge_balance(
    turn: _Turn, balance: Balance, renews: Sequence[Renews], top_up: _TopUp, told: dict[str, int]
) -> None:
    ahead = needs(renews, turn.on_day, turn.policy.horizon_days)
    mine = ahead.pop(balance.currency, None)
    found = _short(turn.at, balance, mine, top_up, turn.on_day)
    if found is None:
        if told.pop(BALANCE, None) is not None:
            amount = mine.amount if mine else Decimal(0)
            has, wants = (messages.money(one, balance.currency) for one in (balance.amount, amount))
            turn.end(BALANCE, messages.enough(turn.at, has, wants))
    else:
        severity, words, left = found
        if severity > told.get(BALANCE, -1):
            turn.tell("funds.short", severity, turn.once(balance.currency), words, topic=BALANCE, left=left)
        told[BALANCE] = max(severity, told.get(BALANCE, -1))
    for currency, need in ahead.items():
        if need.amount:
            words = messages.not_comparable(
                turn.at,
                needs=need.amount,
                currency=currency or "no stated currency",
                balance=messages.money(balance.amount, balance.currency or "of no stated currency"),
                until=need.until,
            )
            turn.tell("funds.short", Severity.info, f"{currency} against {balance.currency}", words)  # once for good


def _short(
    at: str, balance: Balance, need: _Need | None, top_up: _TopUp, on_day: int, note: str = ""
) -> tuple[Severity, tuple[str, str], int] | None:
    """How bad it is, the words, and the days left, None where the balance covers what renews.

    Where auto top-up is on and works it may well fill the balance up in time: one step less.
    """
    first = None if need is None else need.first_uncovered(balance.amount)
    if need is None or first is None:
        return None
    on, count = first
    left = on - on_day
    severity = Severity.critical if left <= CRITICAL_DAYS else Severity.warning
    if top_up.helps:
        severity = Severity(severity - 1)
    unpriced = f" {messages.numbers(need.unpriced)} without a stated price not counted." if need.unpriced else ""
    words = messages.short(
        at,
        needs=need.amount,
        balance=balance.amount,
        currency=balance.currency,
        until=need.until,
        first=(left, on, count),
        note=f"{top_up.words}{unpriced}{note}",
    )
    return severity, words, left


def judge_token(at: str, reading: Reading, policy: Policy, now: datetime) -> tuple[list[Alert], dict[str, int]]:
    """That the user's token is rejected, once, and its end; with what is told of the reading after it.

    It is given for the balance alone, so nothing else would show that nobody looks at the balance.
    """
    turn = _Turn(at=at, now=now, policy=policy)
    told = dict(reading.told)
    if reading.outcome == TokenRejected.reason and _USER_TOKEN not in told:
        words = messages.user_token_rejected(at, reading.error or "")
        turn.tell("watch.token_rejected", Severity.warning, turn.once(_USER_TOKEN), words, topic=_USER_TOKEN)
        told[_USER_TOKEN] = 1
    elif reading.outcome == "ok" and told.pop(_USER_TOKEN, 0):
        words = messages.user_token_works(at)
        key = turn.once(_USER_TOKEN)
        turn.tell("watch.recovered", Severity.info, key, words, topic=_USER_TOKEN, ends=True)
    return turn.alerts, told


def judge_unreadable(
    at: str, reading: Reading, faults: Sequence[str], policy: Policy, now: datetime
) -> tuple[list[Alert], list[Key], dict[str, int]]:
    """That an answer, or a part of it, cannot be read and is not watched; once, with the matters that end, and what is told."""
    turn = _Turn(at=at, now=now, policy=policy)
    told, topic = dict(reading.told), f"{_UNREADABLE}{reading.name}"
    is_unreadable = bool(faults) or reading.outcome == NotTheApi.reason
    if is_unreadable and topic not in told:
        words = messages.account_unreadable(at, reading.name, faults, reading.error)
        turn.tell("data.invalid", Severity.warning, turn.once(topic), words, topic=topic)
        told[topic] = 1
    elif not is_unreadable and reading.outcome == "ok" and told.pop(topic, 0):
        turn.ended.append(Key(at, "", topic))
    return turn.alerts, turn.ended, told


# --- what still holds -------------------------------------------------------------------------------------------------


def is_release(topic: str) -> bool:
    """Whether a matter of this topic is about a release request."""
    return topic == _RELEASE or topic.startswith(f"{_RELEASE} ")


def reading_of(topic: str) -> str | None:
    """The reading that a matter of this topic was found in, None where it is not the account's."""
    if topic.startswith(_UNREADABLE):
        return topic.removeprefix(_UNREADABLE)
    if topic.startswith(_CARD):
        return "cards"
    return "releases" if is_release(topic) else _TOPICS.get(topic)


def restate(key: Key, readings: Mapping[str, Reading], facts: Facts, policy: Policy, now: datetime) -> Restated | None:
    """What a matter of the account is now, by what was last read; None when it does not hold or is not read any more."""
    name = reading_of(key.topic)
    reading = readings.get(name) if name else None
    if reading is not None and key.topic == _USER_TOKEN:
        words = messages.user_token_rejected(key.environment, reading.error or "")
        return Restated(words=words) if reading.outcome == TokenRejected.reason else None
    if reading is not None and key.topic.startswith(_UNREADABLE):
        return Restated() if key.topic in reading.told else None
    if reading is None or reading.content is None:
        return None
    note = f" (as last read at {messages.instant(reading.good_at or reading.read_at)})" if reading.error else ""
    if name == "releases":
        return _restate_release(key, reading.content, facts.subjects, policy, now, note)
    if key.topic not in reading.told:
        return None
    settings = readings["topup"].content if "topup" in readings else None
    on_day = signs.today(now, policy.zone)
    if name == "topup":
        return Restated(words=messages.topup_off(key.environment, key.topic, reading.content, note, still=True))
    if name == "charges":
        charge = next((one for one in reversed(reading.content) if one.status == "failed"), None)
        return Restated(words=None if charge is None else messages.topup_failed(key.environment, charge, 0, note))
    if name == "cards":
        card = next((one for one in reading.content if key.topic == f"{_CARD}{one.id}"), None)
        if card is None:
            return None
        on = _last_day(card)
        words = messages.card_expiring(key.environment, card, on - on_day, on, note)
        return Restated(words=words, days_left=on - on_day)
    charges = readings["charges"].content if "charges" in readings else None
    top_up = _TopUp(settings, is_failing(charges or ()))
    need = needs(facts.renews, on_day, policy.horizon_days).get(reading.content.currency)
    found = _short(key.environment, reading.content, need, top_up, on_day, note)
    return Restated() if found is None else Restated(words=found[1], days_left=found[2])


def _restate_release(
    key: Key,
    requests: Sequence[Release],
    subjects: Mapping[str, Subject],
    policy: Policy,
    now: datetime,
    note: str,
) -> Restated | None:
    if key.number_id:
        mine = [one for one in requests if one.id in subjects and subjects[one.id].known.provider_id == key.number_id]
    else:
        mine = [one for one in requests if key.topic == f"{_RELEASE} {one.id}" and one.status == "pending"]
    request = explains(mine, now)
    if request is None:
        return None
    subject = subjects.get(request.id)
    if subject is not None and (subject.known.lapse is not None or not rules.is_watched(subject.known, policy)):
        return None
    words, left = _release_words(request, subject, key.environment, policy, now, note)
    return Restated(words=words, days_left=left, number=None if subject is None else subject.number)
