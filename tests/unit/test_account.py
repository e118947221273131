"""What is found in the answers beside the list: release requests, top-ups, cards, the balance. Each reading is one call.

The rows are written as the provider documents them; the time is moved by hand.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st
from made_up import entry
from rounds import few

from renewal_watch.account import current, funds, judge
from renewal_watch.account.turn import Background, Renews, Subject, explains
from renewal_watch.alerts import phrases
from renewal_watch.detect.current import Current
from renewal_watch.model.account import CONTENTS, MENTIONED, SILENT, Reading
from renewal_watch.model.alerts import Alert, Key
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Policy
from renewal_watch.model.tracking import Absence, Known, Lapse
from renewal_watch.provider import users as provider_users
from renewal_watch.provider.talkover import account as talkover_account

AT = "production"
D = timedelta(days=1)
TODAY = T0.date().toordinal()
NAMES = ("releases", "topup", "charges", "cards", "balance")


def stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


def request(status: str = "pending", name: str = "request-1", days_ago: float = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "phone_number_id": "phone-1",
        "phone_number": "+15550000001",
        "reason": "Number is no longer in use",
        "status": status,
        "requested_at": stamp(T0 - days_ago * D),
    } | changes


def topup(**changes: Any) -> dict[str, Any]:
    return {
        "is_enabled": True,
        "threshold_amount": 10.0,
        "recharge_amount": "50.00",
        "scheduled_payment_enabled": False,
        "scheduled_amount": None,
        "payment_method_id": "pm-1",
        "currency": "USD",
    } | changes


def charge(name: str, status: str = "succeeded", days_ago: float = 1, **changes: Any) -> dict[str, Any]:
    why = {"failure_reason": "card_declined"} if status == "failed" else {}
    row = {"id": name, "amount": 50, "currency": "USD", "trigger": "threshold", "status": status, **why}
    return row | {"created_at": stamp(T0 - days_ago * D)} | changes


def card(name: str = "pm-1", year: Any = 2028, month: Any = 12, *, default: bool = True) -> dict[str, Any]:
    inner = {"brand": "visa", "last4": "4242", "exp_month": month, "exp_year": year}
    return {"id": name, "type": "card", "card": inner, "is_default": default}


def balance(amount: Any, currency: Any = "USD") -> dict[str, Any]:
    return {"balance": amount, "currency": currency, "auto_topup_enabled": True, "as_of": stamp(T0)}


def renews(left: int, cost: str | None = "1.00", numbers: int = 1, currency: str = "USD") -> Renews:
    return Renews(TODAY + left, currency, None if cost is None else Decimal(cost), numbers)


def subject(**changes: Any) -> Subject:
    """``phone-1``, which renews in 30 days; ``changes`` are of what the watch knows of it."""
    number = msgspec.convert(entry(), PhoneNumber, strict=False)
    known = Known(1, "phone-1", "+15550000001", b"", None, TODAY + 30, True, False)
    return Subject(known._replace(**changes), number)


class World:
    """The readings as they are kept, and what was told."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.now = T0
        self.kept: dict[str, Reading] = {}
        self.subject: Subject | None = subject()
        self.renews: list[Renews] = []
        self.told: list[Alert] = []

    @property
    def facts(self) -> Background:
        requests = self.kept["releases"].content if "releases" in self.kept else ()
        subjects = {} if self.subject is None else {one.id: self.subject for one in requests}
        return Background(subjects=subjects, renews=self.renews)

    def read(self, **said: Any) -> list[str]:
        """A reading an hour later; ``kind severity`` of what it tells, ``end`` for what is the end of an incident."""
        self.now += timedelta(hours=1)
        fresh = {name: talkover_account.content(name, what) for name, what in said.items()}
        before = dict(self.kept)
        for name, content in fresh.items():
            told = before[name].told if name in before else {}
            one = Reading(name=name, read_at=self.now, good_at=self.now, content=content, told=told)
            self.kept[name] = msgspec.structs.replace(one, content=_kept(name, content))
        facts = self.facts
        if (
            "releases" in before and self.subject is not None
        ):  # those that are not listed any more are looked up as well
            gone = {one.id: self.subject for one in before["releases"].content}
            facts = replace(facts, subjects={**gone, **facts.subjects})
        alerts, _, told_now = judge.judge(AT, before, fresh, facts, self.policy, self.now)
        for name, those in told_now.items():
            self.kept[name] = msgspec.structs.replace(self.kept[name], told=those)
        self.told += alerts
        keys = [alert.key for alert in self.told if " against " not in alert.key]  # that one is told once for good
        assert len(set(keys)) == len(keys), "no key comes twice"
        return [f"{one.kind} {one.severity.name}{' end' * one.ends}" for one in alerts]

    @property
    def last(self) -> Alert:
        return self.told[-1]

    def current(self, topic: str, number: str = "") -> Current | None:
        return current.facts_now(Key(AT, number, topic), self.kept, self.facts, self.policy, self.now)


def _kept(name: str, content: Any) -> Any:
    """As it comes back from the database."""
    return msgspec.json.decode(msgspec.json.encode(content), type=CONTENTS[name])


# --- release requests -------------------------------------------------------------------------------------------------


def test_a_pending_request_is_told_at_the_first_reading_and_once() -> None:
    world = World()
    assert world.read(releases=[request()]) == ["release.requested critical"]
    assert world.last.number_id == "phone-1"
    assert world.last.days_left == 30
    assert world.last.text == (
        "+15550000001 (production): its release was requested at 2026-11-22 12:00 UTC (reason: Number is "
        "no longer in use) and is not decided yet. Once it is approved the number is gone for good: if nobody meant it, "
        "cancel the request in the provider's dashboard now. It renews in 30 days, on Wed 23 Dec 2026: auto-renewal is on, a "
        "renewal costs 1.00 USD."
    )
    assert world.read(releases=[request()]) == []


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("approved", ["release.approved critical"]),
        ("rejected", ["release.closed info end"]),
        ("cancelled", ["release.closed info end"]),
        ("canceled", ["release.closed info end"]),
        ("in review", []),  # not documented: open
    ],
)
def test_what_becomes_of_a_pending_request_is_told_once(status: str, told: list[str]) -> None:
    world = World()
    world.read(releases=[request()])
    done = request(status, resolved_at=stamp(T0), rejection_reason="Number is under contract.")
    assert world.read(releases=[done]) == told
    assert world.read(releases=[done]) == []


def test_words_of_an_end_say_what_became_of_it() -> None:
    world = World()
    world.read(releases=[request()])
    world.read(releases=[request("rejected", resolved_at=stamp(T0), rejection_reason="Number is under contract.")])
    assert "stays. Its release was requested" in world.last.text
    assert "and rejected at 2026-11-23 12:00 UTC (Number is under contract). Nothing to do." in world.last.text


def test_a_request_that_is_not_listed_any_more_ends_with_the_doubt_said() -> None:
    world = World()
    world.read(releases=[request()])
    assert world.read(releases=[]) == ["release.closed info end"]
    assert "nothing says what became of it" in world.last.text
    assert world.current("release", "phone-1") is None


def test_a_request_that_comes_back_is_told_anew_and_its_end_as_well() -> None:
    world = World()
    world.read(releases=[request()])
    for _ in range(2):
        assert world.read(releases=[]) == ["release.closed info end"]
        assert world.read(releases=[request()]) == ["release.requested critical"]
    assert world.read(releases=[request("approved")]) == ["release.approved critical"]
    assert world.read(releases=[request("cancelled")]) == ["release.closed info end"]
    assert world.read(releases=[request()]) == ["release.requested critical"]


@pytest.mark.parametrize("status", ["approved", "rejected", "cancelled"])
def test_what_was_resolved_long_before_the_first_reading_is_not_told(status: str) -> None:
    world = World()
    assert world.read(releases=[request(status, days_ago=90, resolved_at=stamp(T0 - 80 * D))]) == []
    assert world.read(releases=[request(status, days_ago=90, resolved_at=stamp(T0 - 80 * D))]) == []


def test_a_number_that_is_still_listed_though_its_release_was_approved_of_late_is_told_at_the_first_reading() -> None:
    world = World()
    assert world.read(releases=[request("approved", resolved_at=stamp(T0 - 2 * D))]) == ["release.approved critical"]
    assert "is released: it is gone or will be" in world.last.text
    gone = World()
    gone.subject = None
    assert gone.read(releases=[request("approved", resolved_at=stamp(T0 - 2 * D))]) == []


def test_an_approval_of_a_number_that_was_told_as_missing_is_its_reason_and_ends_the_reminders() -> None:
    world = World()
    world.read(releases=[])
    world.subject = subject(absence=Absence(3, int(T0.timestamp())))
    assert world.read(releases=[request("approved", resolved_at=stamp(T0))]) == ["release.approved critical end"]
    assert world.last.topic == "presence"
    assert "is gone, for it was released" in world.last.text


def test_a_number_that_is_meant_to_lapse_is_released_for_information() -> None:
    world = World()
    world.subject = subject(lapse=Lapse(TODAY + 30))
    assert world.read(releases=[request()]) == ["release.requested info"]
    assert world.last.topic == "", "nothing that anybody must look after"
    assert world.read(releases=[request("approved")]) == ["release.approved info"]


def test_a_mark_that_is_taken_back_while_the_request_is_open_makes_it_urgent() -> None:
    world = World()
    world.subject = subject(lapse=Lapse(TODAY + 30))
    world.read(releases=[request()])
    world.subject = subject()
    assert world.read(releases=[request()]) == ["release.requested critical"]
    assert world.read(releases=[request()]) == []


def test_another_request_for_the_same_number_opens_the_incident_anew() -> None:
    world = World()
    world.read(releases=[request()])
    told = world.read(releases=[request(name="request-2", days_ago=0), request("cancelled")])
    assert told == ["release.closed info end", "release.requested critical"], "the end comes first"
    assert world.told[-1].topic == "release"


def test_a_request_for_a_number_that_is_not_watched_is_told_without_its_renewal() -> None:
    world = World()
    world.subject = None
    assert world.read(releases=[request()]) == ["release.requested critical"]
    assert world.last.number_id is None
    assert world.last.topic == "release request-1"
    assert "It is not in the list that is watched." in world.last.text
    current = world.current("release request-1")
    assert current is not None
    assert world.read(releases=[request("cancelled")]) == ["release.closed info end"]


def test_requests_for_sandbox_numbers_are_left_out() -> None:
    world = World()
    world.subject = subject(is_sandbox=True)
    assert world.read(releases=[request()]) == []


def test_a_pending_request_is_restated_with_the_days_of_today_and_when_it_was_read() -> None:
    world = World()
    world.read(releases=[request()])
    world.now = T0 + 10 * D
    current = world.current("release", "phone-1")
    assert current is not None
    assert current.days_left == 20
    failing = {"outcome": "server_trouble", "error": "the provider has trouble"}
    world.kept["releases"] = msgspec.structs.replace(world.kept["releases"], **failing)
    current = world.current("release", "phone-1")
    assert current is not None
    assert current.facts.words()[1].endswith(" (as last read at 2026-11-23 13:00 UTC)")


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([], None),
        ([request()], "request-1"),
        ([request("rejected")], None),
        ([request("approved", days_ago=3)], "request-1"),
        ([request("approved", days_ago=50)], None),  # an old approval explains no loss of today
        ([request("approved", days_ago=90, resolved_at=stamp(T0 - D))], "request-1"),
        ([request("approved", "old", 20), request("pending", "new", 1)], "old"),  # what was approved says more
        ([request("approved", "old", 60), request("pending", "new", 1)], "new"),
    ],
)
def test_the_request_that_explains_a_number_that_left(rows: list[dict[str, Any]], found: str | None) -> None:
    one = explains(talkover_account.content("releases", rows), T0)
    assert (None if one is None else one.id) == found


# --- top-up -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, topup(), []),
        (None, topup(is_enabled=False), ["funds.topup_off warning"]),
        (None, topup(is_enabled=False, scheduled_payment_enabled=True), []),  # it is filled up in the other way
        (None, {}, []),  # nothing is stated
        (topup(), topup(is_enabled=False), ["funds.topup_off warning"]),
        (topup(), topup(is_enabled=None), []),
        (topup(), topup(is_enabled=0), ["funds.topup_off warning"]),
        (topup(scheduled_payment_enabled=True), topup(), ["funds.topup_off warning"]),
        (
            topup(scheduled_payment_enabled=True),
            topup(is_enabled=False),
            ["funds.topup_off warning", "funds.topup_off warning"],
        ),
        (topup(is_enabled=False), topup(), ["funds.recovered info end"]),
        (
            topup(is_enabled=False),
            topup(is_enabled=False, scheduled_payment_enabled=True),
            ["funds.recovered info end"],
        ),
    ],
)
def test_top_up_that_is_off(before: dict[str, Any] | None, after: dict[str, Any], told: list[str]) -> None:
    world = World()
    if before is not None:
        world.read(topup=before)
    assert world.read(topup=after) == told
    assert world.read(topup=after) == [], "once"


def test_top_up_that_goes_off_again_is_told_again() -> None:
    world = World()
    said = [world.read(topup=topup(is_enabled=on)) for on in (True, False, False, True, False)]
    assert said == [[], ["funds.topup_off warning"], [], ["funds.recovered info end"], ["funds.topup_off warning"]]
    current = world.current("auto top-up")
    assert current is not None
    assert "is still off" in current.facts.words()[0]
    assert "renewal may fail because the balance is insufficient" in current.facts.words()[1]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([charge("a")], []),
        ([charge("b", "failed"), charge("a", days_ago=9)], ["funds.topup_failed critical"]),
        ([charge("b", "failed", 40), charge("a", days_ago=50)], []),  # long past
        ([charge("b", days_ago=1), charge("a", "failed", 2)], []),  # and over
        ([charge("c", "pending", 0), charge("b", "failed")], ["funds.topup_failed critical"]),
        ([charge("b", "failed", created_at=None)], []),
    ],
)
def test_the_first_reading_of_the_history_tells_only_what_holds(rows: list[dict[str, Any]], told: list[str]) -> None:
    assert World().read(charges=rows) == told


def test_a_failed_top_up_is_told_once_and_its_end_as_well() -> None:
    world = World()
    world.read(charges=[charge("a", days_ago=5)])
    failed = [charge("b", "failed"), charge("a", days_ago=5)]
    assert world.read(charges=failed) == ["funds.topup_failed critical"]
    assert "the top-up of 50.00 USD at 2026-11-22 12:00 UTC failed: card declined." in world.last.text
    assert world.read(charges=failed) == []
    again = [charge("d", "failed", 0.1), charge("c", "failed", 0.5), *failed]
    assert world.read(charges=again) == ["funds.topup_failed critical"]
    assert world.last.nature == "repeat", "which is hidden until the next reminder is due"
    assert "1 more failed as well." in world.last.text
    assert world.current("top-up payment") is not None
    assert world.read(charges=[charge("e", days_ago=0), *again]) == ["funds.recovered info end"]
    assert world.current("top-up payment") is None


def test_a_failed_top_up_that_was_made_good_before_anybody_looked_is_for_information() -> None:
    world = World()
    world.read(charges=[charge("a", days_ago=5)])
    assert world.read(charges=[charge("c", days_ago=0), charge("b", "failed"), charge("a", days_ago=5)]) == [
        "funds.topup_failed info"
    ]


def test_old_rows_that_come_into_sight_are_not_news() -> None:
    world = World()
    world.read(charges=[charge("b", days_ago=5)])
    assert world.read(charges=[charge("b", days_ago=5), charge("a", "failed", 20)]) == []


# --- cards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("year", "month", "now", "told"),
    [
        (2026, 12, datetime(2026, 11, 30, 12, tzinfo=UTC), []),  # 31 days before its last day
        (2026, 12, datetime(2026, 12, 1, 12, tzinfo=UTC), ["funds.card_expiring warning"]),
        (2026, 12, datetime(2026, 12, 31, 12, tzinfo=UTC), ["funds.card_expiring warning"]),
        (2026, 12, datetime(2027, 1, 1, 12, tzinfo=UTC), ["funds.card_expiring critical"]),
        (26, "12", datetime(2026, 12, 1, 12, tzinfo=UTC), ["funds.card_expiring warning"]),
        (2028, 2, datetime(2028, 1, 30, 12, tzinfo=UTC), ["funds.card_expiring warning"]),  # its last day is the 29th
        (2028, 2, datetime(2028, 1, 29, 12, tzinfo=UTC), []),
        (None, 2, T0, []),
        (2026, 13, T0, []),
        ("no year", "no month", T0, []),
    ],
)
def test_a_card_ends_with_its_month(year: Any, month: Any, now: datetime, told: list[str]) -> None:
    world = World()
    world.now = now - timedelta(hours=1)
    assert world.read(topup=topup(), cards=[card(year=year, month=month)]) == told
    assert world.read(cards=[card(year=year, month=month)]) == []


def test_a_card_is_told_before_and_after_its_end_and_when_it_is_replaced() -> None:
    world = World()
    assert world.read(cards=[card(year=2026, month=11)]) == ["funds.card_expiring warning"]
    assert world.last.text.startswith(
        "production: the visa card ending 4242 expires in 7 days; its last day is Mon 30 Nov 2026."
    )
    current = world.current("card pm-1")
    assert current is not None
    assert current.days_left == 7
    world.now = T0 + 8 * D
    assert world.read(cards=[card(year=2026, month=11)]) == ["funds.card_expiring critical"]
    assert "has expired" in world.last.text
    assert world.read(cards=[card("pm-2"), card(year=2026, month=11, default=False)]) == ["funds.recovered info end"]
    assert world.last.text.startswith("production: top-ups are charged to a card that does not expire soon.")
    assert world.current("card pm-1") is None


def test_a_card_that_is_taken_away_is_not_replaced() -> None:
    world = World()
    world.read(topup=topup(), cards=[card(year=2026, month=11)])
    assert world.read(cards=[]) == ["funds.card_expiring warning end"]
    assert world.last.text == (
        "production: the card that expires is not listed any more, and no other one is. Look in the provider's dashboard "
        "whether top-ups can be charged."
    )
    assert world.read(cards=[]) == []
    assert world.current("card pm-1") is None


def test_two_cards_under_one_id_or_none_are_not_told_by_turns() -> None:
    world = World()
    same = [card(year=2026, month=11), card(year=2026, month=10)]
    nameless = [{"brand": "visa", "exp_month": month, "exp_year": 2026} for month in (11, 10)]
    for cards in (same, nameless):
        world.read(cards=cards)
        assert world.read(cards=cards) == []


def test_another_card_that_expires_as_well_is_no_good_news() -> None:
    world = World()
    ending, other = card(year=2026, month=11), card("pm-2", year=2026, month=11)
    world.read(topup=topup(payment_method_id=None), cards=[ending])
    assert world.read(cards=[other]) == ["funds.card_expiring warning", "funds.recovered info end"]
    assert world.last.text == (
        "production: top-ups are charged to another card now. That one expires soon as well, which is told by itself."
    )


@pytest.mark.parametrize(
    ("card_id", "cards", "told"),
    [
        ("pm-2", [card(year=2026, month=11), card("pm-2", default=False)], 0),  # the one that is charged goes on
        ("pm-1", [card(year=2026, month=11, default=False), card("pm-2")], 1),
        (None, [card(year=2026, month=11, default=False), card("pm-2")], 0),
        (None, [card(year=2026, month=11, default=False), card("pm-2", default=False)], 1),  # nobody knows which
        ("pm-9", [card(year=2026, month=11)], 1),
    ],
)
def test_only_the_card_that_is_charged_incidents(card_id: str | None, cards: list[dict[str, Any]], told: int) -> None:
    assert len(World().read(topup=topup(payment_method_id=card_id), cards=cards)) == told


# --- the balance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "ahead", "told"),
    [
        (61.20, [renews(5, "42.00"), renews(20, "42.00")], ["funds.short warning"]),
        (61.20, [renews(3, "84.00")], ["funds.short critical"]),
        (61.20, [renews(-2, "84.00")], ["funds.short critical"]),  # overdue: it is to be paid now
        ("84.00", [renews(5, "42.00"), renews(20, "42.00")], []),
        ("83.999", [renews(5, "42.00"), renews(20, "42.00")], ["funds.short warning"]),
        (61.20, [renews(31, "84.00")], []),  # beyond the horizon
        (0, [renews(5, "0"), renews(6, None)], []),
        (0, [], []),
        (-3, [renews(2, "0.01")], ["funds.short critical"]),
        (-3, [renews(2, "0.00")], []),
    ],
)
def test_the_balance_against_the_renewals_due(amount: Any, ahead: list[Renews], told: list[str]) -> None:
    world = World()
    world.renews = ahead
    assert world.read(balance=balance(amount)) == told
    assert world.read(balance=balance(amount)) == [], "once"


def test_the_words_say_what_is_needed_until_when_and_from_when_on_it_is_too_little() -> None:
    world = World()
    world.renews = [renews(5, "42.00"), renews(9, "14.00", 3), renews(9, None, 2)]
    world.read(balance=balance(61.20))
    assert world.last.text == (
        "production: renewals to Wed 02 Dec 2026 need 84.00 USD, the balance is 61.20 USD. It is too little from Wed 02 Dec "
        "2026 on, in 9 days (3 numbers renew). Pay in 22.80 USD or more in the provider's dashboard. 2 numbers without a "
        "stated price not counted."
    )
    assert world.last.days_left == 9


def test_it_is_told_again_when_it_gets_urgent_and_when_it_is_enough_again() -> None:
    world = World()
    world.renews = [renews(9, "84.00")]
    said = [world.read(balance=balance(61.20))]
    world.now = T0 + 5 * D
    said.append(world.read(balance=balance(60)))
    world.now = T0 + 6 * D
    said.append(world.read(balance=balance(60)))
    current = world.current("balance")
    assert current is not None
    assert "need 84.00 USD, the balance is 60.00 USD" in current.facts.words()[1]
    said.append(world.read(balance=balance(160)))
    assert said == [["funds.short warning"], [], ["funds.short critical"], ["funds.recovered info end"]]
    assert world.current("balance") is None
    assert world.read(balance=balance(60)) == ["funds.short critical"]


@pytest.mark.parametrize(
    ("settings_", "charges", "severity", "words"),
    [
        (topup(), [], "warning", "Auto top-up is on and adds 50.00 USD when it falls under 10.00 USD."),
        (topup(), [charge("a", "failed")], "critical", "Auto top-up is on, but its last charge failed."),
        (topup(is_enabled=False), [], "critical", ""),
    ],
)
def test_auto_top_up_that_works_makes_it_less_urgent(
    settings_: dict[str, Any], charges: list[Any], severity: str, words: str
) -> None:
    world = World()
    world.read(topup=settings_, charges=charges)
    world.renews = [renews(2, "84.00")]
    assert world.read(balance=balance(61.20)) == [f"funds.short {severity}"]
    assert words in world.last.text


def test_currencies_are_never_added_up_and_another_one_is_no_false_alarm() -> None:
    world = World()
    world.renews = [renews(2, "50"), renews(2, "70", currency="eur"), renews(3, "20", currency="")]
    assert world.read(balance=balance(61.20, "usd")) == ["funds.short info", "funds.short info"]
    assert [one.topic for one in world.told] == ["", ""]
    said = world.told[0].text
    assert "need 70.00 EUR, but the balance is 61.20 USD: nothing is converted" in said
    poor = World()
    poor.renews = world.renews
    assert poor.read(balance=balance(40))[0] == "funds.short critical"
    assert "need 50.00 USD, the balance is 40.00 USD" in poor.told[0].text


def test_a_key_that_stays_the_same_keeps_another_currency_from_being_told_twice() -> None:
    keys = []
    for now in (T0, T0 + D):
        world = World()
        world.now = now
        world.renews = [renews(2, "70", currency="EUR")]
        world.read(balance=balance(61.20))
        keys.append(world.last.key)
    assert keys[0] == keys[1]


# --- whatever comes ---------------------------------------------------------------------------------------------------

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["pending", "approved", "failed", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1e999"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FIELDS = sorted(
    {*request("x", rejection_reason=""), "resolved_at", *topup(), *charge("x", "failed"), *card(), *balance(1)}
    | {"exp_month", "exp_year", "brand", "last4", "phone_numbers", "name", "label", "agents"}
)
ROW = st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=len(FIELDS))


@few(60)
@given(rows=st.lists(ROW, max_size=3), more=st.lists(ROW, max_size=3), one=ROW)
def test_whatever_the_provider_says_is_judged_kept_and_restated(rows: Any, more: Any, one: Any) -> None:
    world = World()
    world.renews = [renews(2), renews(4, None)]
    for said in (rows, more):
        fresh = {"releases": said, "topup": one, "charges": said, "cards": said}
        if talkover_account.content("balance", one) is not None:
            fresh["balance"] = one
        world.read(**fresh)
        users = talkover_account.content("agents", said)
        assert _kept("agents", users) == users
    for alert in world.told:
        assert "\n" not in alert.text
        assert alert.text.isprintable()
        if not alert.ends and alert.topic:
            world.current(alert.topic, alert.number_id or "")


@pytest.mark.parametrize(
    ("agents", "names"),
    [
        (None, None),
        ("Front desk", None),
        ([], ()),
        ([{"id": "a-1", "name": "Front desk"}, "Night line", {"id": 7}, {"label": "Sales"}], None),
        ({"0": {"name": "Front desk"}, "2": {"name": "Front desk"}}, ("Front desk",)),
        ([None, 4.5, True, ""], ()),
        ([{}], ("an agent without a name",)),
    ],
)
def test_the_agents_of_an_entry(agents: Any, names: tuple[str, ...] | None) -> None:
    expected = ("Front desk", "Night line", "7", "Sales") if names is None and isinstance(agents, list) else names
    assert provider_users.names_of(agents) == expected


def test_agents_are_found_by_the_numbers_they_name() -> None:
    rows = [
        {"id": "a-1", "name": "Front desk", "phone_numbers": [{"id": "phone-1", "number": "+15550000001"}]},
        {"id": "a-2", "name": "Night line", "phone_numbers": [{"id": "phone-1"}, "phone-2", None]},
        {"id": "a-3", "phone_numbers": None, "prompt": "Transfer to +1 (555) 000-0009, room 12 or 2026-11-23."},
    ]
    assert talkover_account.content("agents", rows) == {
        "phone-1": ("Front desk", "Night line"),
        "+15550000001": ("Front desk",),
        "phone-2": ("Night line",),
        SILENT: ("a-3",),
        f"{MENTIONED}15550000009": ("a-3",),
        f"{MENTIONED}20261123": ("a-3",),
    }


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), ""),
        (("Front desk",), " Used by: Front desk (1 agent)."),
        (("Front desk", "Night line"), " Used by: Front desk, Night line (2 agents)."),
        (tuple("ABCDEFGH"), " Used by: A, B, C, D, E and 3 more (8 agents)."),
        (("<script>\n*now*",), " Used by: ‹script› ∗now∗ (1 agent)."),
    ],
)
def test_who_uses_a_number(names: tuple[str, ...], said: str) -> None:
    assert phrases.used_by(names) == said


def test_a_long_name_is_cut() -> None:
    assert len(phrases.used_by(tuple("x" * 500 + str(n) for n in range(9)))) < 400


def test_a_last_day_is_the_month_s() -> None:
    found = [funds.last_day(one) for one in talkover_account.content("cards", [card("a", 2027, 2), card("b", 2028, 2)])]
    assert found == [date(2027, 2, 28).toordinal(), date(2028, 2, 29).toordinal()]
