"""What a digest says: sums that convert and round nothing, what nobody is told, and how the service does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few

from renewal_watch.model.alerts import Acknowledgement, Incident, Key, Severity, Suppressor
from renewal_watch.model.policy import Match, Policy, Silence
from renewal_watch.model.tracking import Cycle, Known, Lapse, Watch
from renewal_watch.reports import digest
from renewal_watch.reports.digest import LONGEST, State, Summary
from renewal_watch.reports.rows import Row

SINCE = T0 - timedelta(days=1)
TODAY = T0.date()
GOOD = Watch(
    name="production", numbers=3, has_baseline=True, last_poll_at=T0, last_success_at=T0 - timedelta(minutes=5)
)


def row(
    left: int | None = 5,
    *,
    name: str = "phone-1",
    environment: str = "production",
    missing_at: datetime | None = None,
    sandbox: bool = False,
    lapses: bool = False,
    shown: bool = True,
    **changes: Any,
) -> Row:
    """A number whose day comes ``left`` days from today; if it has passed, a list ``shown`` it."""
    number = listing(entry(name, is_sandbox=sandbox, **changes)).entries[name].parsed
    on = None if left is None else TODAY + timedelta(days=left)
    known = Known(
        1, name, str(number.number), b"", None, on.toordinal() if on else None, bool(number.auto_renewal), sandbox
    )
    if missing_at is not None:
        known = known._replace(absence=known.absence or _absence(missing_at))
    if shown and on and on < TODAY:
        known = known._replace(cycle=Cycle(on.toordinal(), overdue_told=1))
    if lapses:
        known = known._replace(lapse=Lapse(known.renews_on))
    return Row(environment=environment, known=known, number=number, days_left=left, renews_on=on, disagreement=None)


def _absence(at: datetime) -> Any:
    from renewal_watch.model.tracking import Absence

    return Absence(3, int(at.timestamp()))


def incident(**changes: Any) -> Incident:
    return Incident(
        **{
            "id": 1,
            "name": "k",
            "alert_id": 1,
            "kind": "status.changed",
            "severity": Severity.critical,
            "rank": 20,
            "opened_at": T0,
        }
        | changes
    )


def silence(pk: int = 1, **changes: Any) -> Silence:
    made = {
        "pk": pk,
        "match": Match(numbers=("+4930*",)),
        "kinds": (),
        "starts_at": T0 - timedelta(hours=1),
        "ends_at": T0 + timedelta(hours=30),
        "author": "ann",
        "comment": "",
    }
    return Silence(**made | changes)


def summary(rows: Iterable[Row], now: datetime = T0) -> Summary:
    made = Summary(now)
    for one in rows:
        made.add(one)
    return made


def said(*rows: Row, changes: int = 0, now: datetime = T0, **more: Any) -> dict[str, list[str]]:
    """The lines of each part of a digest, by its heading."""
    more.setdefault("watches", [(GOOD, Policy())])
    _, text = digest.compose(State(summary=summary(rows, now), **more), changes, SINCE)
    parts = {}
    for part in text.split("\n\n"):
        heading, *lines = part.split("\n")
        parts[heading] = lines
    return parts


def headline(*rows: Row, changes: int = 0, watches: Sequence[tuple[Watch, Policy]] = ((GOOD, Policy()),)) -> str:
    return digest.compose(State(summary=summary(rows), watches=watches), changes, SINCE)[0]


# --- the whole --------------------------------------------------------------------------------------------------------


def test_a_digest_of_nothing_says_so_in_every_part() -> None:
    assert said() == {
        "RENEWS NEXT": ["• no number within 7 days"],
        "COST AHEAD": [
            "• within 7 days nothing for 0 numbers with auto-renewal",
            "• within 30 days nothing for 0 numbers with auto-renewal",
        ],
        "SILENCED": ["• nothing is silenced"],
        "MONITORING": ["• production: 3 numbers, read 5 min ago"],
        "FOUND SINCE 2026-11-22 12:00 UTC": ["• nothing"],
    }


def test_what_was_found_comes_after_the_digest_and_is_not_called_nothing() -> None:
    assert said(changes=3)["FOUND SINCE 2026-11-22 12:00 UTC"] == []


@pytest.mark.parametrize(
    ("rows", "changes", "watches", "expected"),
    [
        ([], 0, [], "digest: nothing new, 0 numbers renew within 7 days"),
        ([row(7)], 1, [], "digest: 1 new, 1 number renews within 7 days"),
        ([row(0), row(7), row(8)], 12, [], "digest: 12 new, 2 numbers renew within 7 days"),
        ([row(-1), row(-30), row(1)], 0, [], "digest: nothing new, 1 number renews within 7 days, 2 overdue"),
        ([row(None)], 0, [], "digest: nothing new, 0 numbers renew within 7 days"),
        ([row(-1, lapses=True), row(-1, shown=False)], 0, [], "digest: nothing new, 0 numbers renew within 7 days"),
        ([row(-1, missing_at=T0), row(-1)], 0, [], "digest: nothing new, 0 numbers renew within 7 days, 1 overdue"),
        (
            [],
            0,
            [(GOOD, Policy()), (Watch(name="staging"), Policy()), (Watch(name="old"), Policy())],
            "digest: nothing new, 0 numbers renew within 7 days, no current list of staging, old",
        ),
        (
            [row(-1, missing_at=T0), row(2, missing_at=T0)],
            0,
            [],
            "digest: nothing new, 0 numbers renew within 7 days",
        ),
    ],
)
def test_the_headline_counts(rows: list[Row], changes: int, watches: list[tuple[Watch, Policy]], expected: str) -> None:
    assert headline(*rows, changes=changes, watches=watches) == expected


# --- what renews next -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (row(0), "+15550000001 (production) renews today, Mon 23 Nov 2026: 1.00 USD"),
        (row(1), "+15550000001 (production) renews in 1 day, on Tue 24 Nov 2026: 1.00 USD"),
        (row(7, auto_renewal=False), "+15550000001 (production) will be lost in 7 days, on Mon 30 Nov 2026: 1.00 USD"),
        (row(7, auto_renewal=None), "+15550000001 (production) will be lost in 7 days, on Mon 30 Nov 2026: 1.00 USD"),
        (
            row(3, monthly_renewal_cost=None, current_price=None),
            "+15550000001 (production) renews in 3 days, on Thu 26 Nov 2026: an unknown amount",
        ),
        (
            row(3, monthly_renewal_cost=None, current_price="2.50"),
            "+15550000001 (production) renews in 3 days, on Thu 26 Nov 2026: 2.50 USD",
        ),
        (row(3, currency=None), "+15550000001 (production) renews in 3 days, on Thu 26 Nov 2026: 1.00"),
        (row(3, number=None), "phone-1 (production) renews in 3 days, on Thu 26 Nov 2026: 1.00 USD"),
        (row(3, number="<b>1</b>"), "‹b›1‹/b› (production) renews in 3 days, on Thu 26 Nov 2026: 1.00 USD"),
    ],
)
def test_a_number_that_renews_next_is_said_with_day_and_price(one: Row, line: str) -> None:
    assert said(one)["RENEWS NEXT"] == [f"• {line}"]


@pytest.mark.parametrize(
    "one",
    [row(8), row(-1), row(None), row(3, missing_at=T0)],
    ids=["later", "past", "none", "missing"],
)
def test_what_does_not_renew_next_is_not_among_it(one: Row) -> None:
    assert said(one)["RENEWS NEXT"] == ["• no number within 7 days"]


def test_the_soonest_come_first_and_of_one_day_those_that_will_be_lost() -> None:
    rows = [
        row(5, name="phone-5"),
        row(2, name="phone-2"),
        row(2, name="phone-3", auto_renewal=False),
        row(2, name="phone-1"),
        row(0, name="phone-4"),
    ]
    order = [line.split(" ")[1][-1] for line in said(*rows)["RENEWS NEXT"]]
    assert order == ["4", "3", "1", "2", "5"]


# --- cost ahead -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "week", "month"),
    [
        ([row(7)], "1.00 USD for 1 number", "1.00 USD for 1 number"),
        ([row(8)], "nothing for 0 numbers", "1.00 USD for 1 number"),
        ([row(30)], "nothing for 0 numbers", "1.00 USD for 1 number"),
        ([row(31)], "nothing for 0 numbers", "nothing for 0 numbers"),
        ([row(0), row(3), row(20)], "2.00 USD for 2 numbers", "3.00 USD for 3 numbers"),
        ([row(3, auto_renewal=False), row(3, auto_renewal=None)], "nothing for 0 numbers", "nothing for 0 numbers"),
        ([row(-1)], "nothing for 0 numbers", "nothing for 0 numbers"),
        ([row(3, missing_at=T0)], "nothing for 0 numbers", "nothing for 0 numbers"),
        (
            [row(1), row(2, currency="EUR", monthly_renewal_cost=2), row(3, currency="EUR"), row(9, currency="GBP")],
            "3.00 EUR + 1.00 USD for 3 numbers",
            "3.00 EUR + 1.00 GBP + 1.00 USD for 4 numbers",
        ),
        ([row(1, currency=None)], "1.00 of no stated currency for 1 number", "1.00 of no stated currency for 1 number"),
        (
            [row(1, currency=""), row(2, currency=None), row(3)],
            "1.00 USD + 2.00 of no stated currency for 3 numbers",
            "1.00 USD + 2.00 of no stated currency for 3 numbers",
        ),
        ([row(1, monthly_renewal_cost=0, current_price=5)], "0.00 USD for 1 number", "0.00 USD for 1 number"),
        ([row(1, monthly_renewal_cost=None, current_price=5)], "5.00 USD for 1 number", "5.00 USD for 1 number"),
        (
            [row(1, monthly_renewal_cost="0.10"), row(1, monthly_renewal_cost="0.20")],
            "0.30 USD for 2 numbers",
            "0.30 USD for 2 numbers",
        ),
        ([row(1, monthly_renewal_cost="1.005")] * 2, "2.01 USD for 2 numbers", "2.01 USD for 2 numbers"),
    ],
)
def test_cost_ahead_is_summed_for_each_currency(rows: list[Row], week: str, month: str) -> None:
    assert said(*rows)["COST AHEAD"] == [
        f"• within 7 days {week} with auto-renewal",
        f"• within 30 days {month} with auto-renewal",
    ]


@pytest.mark.parametrize(
    ("rows", "week"),
    [
        ([None], "nothing for 1 number with auto-renewal; 1 without a stated cost"),
        ([None, None], "nothing for 2 numbers with auto-renewal; 2 without a stated cost"),
        ([None, 2], "2.00 USD for 2 numbers with auto-renewal; 1 without a stated cost"),
    ],
)
def test_numbers_without_a_cost_are_counted_apart(rows: list[int | None], week: str) -> None:
    made = [row(3, monthly_renewal_cost=cost, current_price=None) for cost in rows]
    assert said(*made)["COST AHEAD"][0] == f"• within 7 days {week}"


PRICES = st.decimals(min_value=0, max_value=10**6, places=4).map(str)


@few(25)
@given(
    st.lists(st.tuples(st.integers(-3, 40), PRICES, st.sampled_from(["USD", "EUR", "JPY"]), st.booleans()), max_size=8)
)
def test_sums_are_exact_and_have_every_number_that_will_be_charged_once(made: list[tuple[int, str, str, bool]]) -> None:
    rows = [
        row(left, monthly_renewal_cost=price, currency=currency, auto_renewal=auto)
        for left, price, currency, auto in made
    ]
    for days, line in zip((7, 30), said(*rows)["COST AHEAD"], strict=True):
        sums: dict[str, Fraction] = {}
        for left, price, currency, auto in made:
            if auto and 0 <= left <= days:
                sums[currency] = sums.get(currency, Fraction(0)) + Fraction(price)
        stated = line.removeprefix(f"• within {days} days ").partition(" for ")[0]
        found = {} if stated == "nothing" else dict(part.split(" ")[::-1] for part in stated.split(" + "))
        assert {currency: Fraction(Decimal(amount.replace(",", ""))) for currency, amount in found.items()} == sums


# --- what needs somebody ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (row(-1), "+15550000001 (production) is overdue by 1 day"),
        (row(-12, auto_renewal=False), "+15550000001 (production) is overdue by 12 days"),
        (
            row(-1, shown=False),
            "+15550000001 (production) had its renewal day 1 day ago; no list since shows whether it renewed",
        ),
        (row(20, current_status="suspended"), "+15550000001 (production) is suspended"),
        (row(None, current_status="odd <b>"), "+15550000001 (production) is odd ‹b›"),
        (row(20, current_status=None), "+15550000001 (production) is without a status"),
        (
            row(20, missing_at=T0 - timedelta(hours=3)),
            "+15550000001 (production) is missing since 2026-11-23 09:00 UTC",
        ),
    ],
)
def test_what_is_not_as_it_should_be_is_named(one: Row, line: str) -> None:
    assert said(one)["NEEDS ATTENTION"] == [f"• {line}"]


@pytest.mark.parametrize(
    "one",
    [
        row(20),
        row(0, auto_renewal=False),
        row(None),
        row(-3, lapses=True, current_status="inactive"),
        row(-3, lapses=True, missing_at=T0),
    ],
    ids=["well", "due", "no day", "meant to expire", "lapsed"],
)
def test_what_is_as_it_should_be_needs_nobody(one: Row) -> None:
    assert "NEEDS ATTENTION" not in said(one)


# --- what nobody is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (silence(), "silence 1 of ann, numbers +4930*, for 1 d 6 h more: hides 0 that still hold"),
        (
            silence(7, comment="moving"),
            "silence 7 of ann (moving), numbers +4930*, for 1 d 6 h more: hides 0 that still hold",
        ),
        (silence(match=Match()), "silence 1 of ann, all numbers, for 1 d 6 h more: hides 0 that still hold"),
        (
            silence(match=Match(countries=("US", "DE"), cost_at_least=Decimal(5)), kinds=("price.*",)),
            "silence 1 of ann, countries US, DE; cost at least 5; kinds price.∗, for 1 d 6 h more: hides 0 that still hold",
        ),
        (
            silence(author="<b>", comment="a\nb @all"),
            "silence 1 of ‹b› (a b ＠all), numbers +4930*, for 1 d 6 h more: hides 0 that still hold",
        ),
    ],
)
def test_a_silence_is_said_with_whose_what_and_how_long(one: Silence, line: str) -> None:
    assert [shown.replace("∗", "*") for shown in said(silences=[one])["SILENCED"]] == [f"• {line}".replace("∗", "*")]


def test_what_each_silence_and_the_rules_hide_and_what_is_answered_is_counted() -> None:
    incidents = {
        Key("production", f"phone-{count}", "status"): one
        for count, one in enumerate(
            [
                incident(suppressor=Suppressor("silence:1"), suppressed="x"),
                incident(suppressor=Suppressor("silence:1"), suppressed="x"),
                incident(suppressor=Suppressor("silence:11"), suppressed="x"),
                incident(suppressor=Suppressor("rule:abc"), suppressed="x"),
                incident(suppressor=Suppressor("nobody:abc"), suppressed="x"),
                incident(ack=Acknowledgement(T0, "ann", 20)),
                incident(),
            ]
        )
    }
    lapses = {("production", "phone-1"): "ann", ("production", "phone-2"): "ben"}
    assert [
        line.partition(": hides ")[2] or line
        for line in said(silences=[silence(1), silence(11)], incidents=incidents, lapses=lapses)["SILENCED"]
    ] == [
        "• rules mute 1 that still holds",
        "• 1 acknowledged and not ended",
        "• 2 numbers meant to expire",
        "2 that still hold",
        "1 that still holds",
    ]


def test_what_is_open_and_told_is_nothing_that_nobody_is_told() -> None:
    assert said(incidents={Key("production", "phone-1", "status"): incident(notified_at=T0)})["SILENCED"] == [
        "• nothing is silenced"
    ]


# --- how the service does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watch", "line"),
    [
        (GOOD, "production: 3 numbers, read 5 min ago"),
        (Watch(name="new"), "new: never read; no number of it is watched"),
        (
            Watch(name="new", last_error="no", failing_since=T0),
            "new: never read; no number of it is watched; the last poll failed: no",
        ),
        (
            Watch(name="late", numbers=1, last_success_at=T0 - timedelta(hours=7), last_error="down", failing_since=T0),
            "late: 1 number, BLIND, nothing read since 2026-11-23 05:00 UTC; the last poll failed: down",
        ),
        (
            Watch(name="off", numbers=1, last_success_at=T0 - timedelta(hours=6)),
            "off: 1 number, BLIND, nothing read since 2026-11-23 06:00 UTC",
        ),
        (
            Watch(name="odd", numbers=1, last_success_at=T0 - timedelta(hours=5, minutes=59), last_error="<b> @all"),
            "odd: 1 number, read 5 h 59 min ago; the last poll failed: ‹b› ＠all",
        ),
    ],
)
def test_each_environment_says_when_it_was_read(watch: Watch, line: str) -> None:
    assert said(watches=[(watch, Policy())])["MONITORING"] == [f"• {line}"]


def test_how_soon_an_environment_counts_as_blind_is_its_own() -> None:
    late = Watch(name="late", numbers=1, last_success_at=T0 - timedelta(hours=7))
    patient = Policy(stale_after=timedelta(hours=8))
    assert said(watches=[(late, patient)])["MONITORING"] == ["• late: 1 number, read 7 h ago"]
    assert "blind" not in headline(watches=[(late, patient)])


def test_channels_that_fail_and_messages_given_up_are_said() -> None:
    faults = {"chat": (T0 - timedelta(hours=2), "refused\nby https://h.test/x")}
    lines = said(faults=faults, outbox={"pending": 4, "failed": 2, "oldest_pending_at": T0})["MONITORING"]
    assert lines[:-1] == [
        "• channel chat fails for 2 h: refused by https h.test/x",
        "• 2 messages were given up: renewal-watch alerts --failed",
    ]


# --- long lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "more"), [(LONGEST, None), (LONGEST + 1, "• and 1 more"), (500, f"• and {500 - LONGEST} more")]
)
def test_a_long_list_is_cut_and_the_rest_counted(count: int, more: str | None) -> None:
    soon = [row(3, name=f"phone-{one}") for one in range(count)]
    late = [row(-3, name=f"phone-{one}") for one in range(count)]
    parts = said(*soon, *late, silences=[silence(one) for one in range(1, count + 1)])
    watches = [(Watch(name=f"w{one}"), Policy()) for one in range(count)]
    parts["MONITORING"] = said(watches=watches)["MONITORING"]
    for name in ("RENEWS NEXT", "NEEDS ATTENTION", "SILENCED", "MONITORING"):
        lines = parts[name]
        assert len(lines) == min(count, LONGEST + 1), name
        assert (lines[-1] if more else None) == more, name


@few(30)
@given(st.permutations([(left, auto) for left in range(-30, 30) for auto in (True, False)]), st.integers(1, 15))
def test_of_many_numbers_the_most_urgent_are_kept_in_whatever_order_they_come(
    days: list[tuple[int, bool]], times: int
) -> None:
    rows = [
        row(left, name=f"phone-{place}-{time}", number=f"+1555{place:04}{time:03}", auto_renewal=auto)
        for time in range(times)
        for place, (left, auto) in enumerate(days)
    ]
    made = summary(rows)
    soon = sorted(
        (one for one in rows if one.days_left in range(8)),
        key=lambda one: (one.days_left or 0, bool(one.number.auto_renewal), one.known.number),
    )
    assert (made.soon.rows(), made.soon.count) == (soon[:LONGEST], len(soon))
    late = sorted((one for one in rows if (one.days_left or 0) < 0), key=Row.urgency)
    assert (made.trouble.rows(), made.trouble.count, made.overdue) == (late[:LONGEST], len(late), len(late))


def test_a_digest_of_a_million_numbers_keeps_a_thousand() -> None:
    one, made = row(3), Summary(T0)
    for _ in range(5000):
        made.add(one)
        assert len(made.soon._kept) <= digest._ROOM
    assert made.soon.count == 5000


def test_sums_have_what_a_cut_list_leaves_out() -> None:
    rows = [row(3, name=f"phone-{one}") for one in range(500)]
    assert said(*rows)["COST AHEAD"][0] == "• within 7 days 500.00 USD for 500 numbers with auto-renewal"
    assert headline(*rows) == "digest: nothing new, 500 numbers renew within 7 days"


def test_a_failing_channel_is_said_however_many_environments_there_are() -> None:
    """What is cut must not be the trouble."""
    watches = [(Watch(name=f"w{one}", numbers=1, last_success_at=T0), Policy()) for one in range(LONGEST + 5)]
    watches.append((Watch(name="blind"), Policy()))
    lines = said(watches=watches, faults={"chat": (T0 - timedelta(hours=2), "refused")}, outbox={"failed": 1})[
        "MONITORING"
    ]
    shown = "\n".join(lines)
    assert "channel chat fails" in shown
    assert "1 messages were given up" in shown or "1 message was given up" in shown
    assert "blind: never read" in shown


def test_answers_and_lapses_are_counted_however_many_silences_there_are() -> None:
    lines = said(silences=[silence(one) for one in range(1, LONGEST + 9)], lapses={("production", "phone-1"): "ann"})[
        "SILENCED"
    ]
    assert "• 1 number meant to expire" in lines


def test_a_single_message_given_up_is_said_as_one() -> None:
    assert said(outbox={"failed": 1})["MONITORING"][0] == "• 1 message was given up: renewal-watch alerts --failed"


def test_every_line_is_a_heading_an_item_or_blank() -> None:
    """The renderer knows nothing else."""
    rows = [row(3, number="RENEWS NEXT\n\nCOST"), row(-3), row(3, auto_renewal=False, currency="\n")]
    _, text = digest.compose(
        State(summary=summary(rows), watches=[(GOOD, Policy())], silences=[silence(comment="a\n\nb")]), 1, SINCE
    )
    lines = text.split("\n")
    assert all(line == "" or line.startswith(("• ", "FOUND SINCE ")) or line.isupper() for line in lines)


def test_days_are_those_of_the_row_and_not_of_the_clock() -> None:
    """A digest at 23:30 UTC speaks of the day of its policy's zone: the caller counted it."""
    late = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    one = row(1)
    assert one.renews_on == date(2026, 11, 24)
    assert "in 1 day, on Tue 24 Nov 2026" in said(one, now=late)["RENEWS NEXT"][0]
