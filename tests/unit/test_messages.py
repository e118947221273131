"""What people are told: words and amounts, and messages that keep within any limit and lose no alert uncounted."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st
from made_up import entry, listing
from rounds import few

from renewal_watch.alerts import phrases
from renewal_watch.alerts.facts import list_facts, number_facts, renewal_facts
from renewal_watch.alerts.notes import Unread
from renewal_watch.model.alerts import Alert, Course, Message, Severity
from renewal_watch.model.facts import Facts, Number, Written
from renewal_watch.model.kinds import KINDS
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.notify.message import render as notify_render

H = timedelta(hours=1)
ON = date(2026, 11, 26).toordinal()  # a Thursday


def number(**changes: Any) -> PhoneNumber:
    return listing(entry(**changes)).entries["phone-1"].parsed


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        ("1", "USD", "1.00 USD"),
        ("1.5", "USD", "1.50 USD"),
        ("1.005", "USD", "1.005 USD"),  # never rounded
        ("0", None, "0.00"),
        ("-2.5", "EUR", "-2.50 EUR"),
        ("1E+2", "JPY", "100 JPY"),
        ("1500.0", "JPY", "1,500 JPY"),
        ("0.5", "jpy", "0.50 jpy"),  # never rounded
        ("1.234", "KWD", "1.234 KWD"),
        ("1.2", "KWD", "1.200 KWD"),
        ("1E-7", "USD", "0.0000001 USD"),
        ("12345678901234567890.12", "USD", "12,345,678,901,234,567,890.12 USD"),
        (None, "USD", "an unknown amount"),
        ("NaN", "USD", "an unknown amount"),
        ("Infinity", "USD", "an unknown amount"),
        ("1E+999999", "USD", "1E+999999 USD"),  # not a million zeros
        ("1E-999999", "USD", "1E-999999 USD"),
        ("1", "<b>", "1.00 ‹b›"),
    ],
)
def test_money_has_two_decimals_or_more(amount: str | None, currency: str | None, said: str) -> None:
    assert phrases.money(None if amount is None else Decimal(amount), currency) == said


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=45), "45 min"),
        (timedelta(hours=2, minutes=5), "2 h 5 min"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(days=2, minutes=4), "2 d 4 min"),
        (timedelta(days=400), "400 d"),
    ],
)
def test_a_length_of_time_is_said_in_its_two_largest_units(length: timedelta, said: str) -> None:
    assert phrases.span(length) == said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (14, "in 14 days, on Thu 26 Nov 2026"),
        (1, "in 1 day, on Thu 26 Nov 2026"),
        (0, "today, Thu 26 Nov 2026"),
        (-1, "1 day ago, on Thu 26 Nov 2026"),
        (-30, "30 days ago, on Thu 26 Nov 2026"),
    ],
)
def test_a_day_is_said_by_count_and_date(left: int, said: str) -> None:
    assert phrases.when(left, ON) == said


@pytest.mark.parametrize(
    ("fleet", "soon", "said"),
    [
        (17, 3, "17 numbers are not being watched; 3 of them renew within 7 days"),
        (1, 1, "1 number is not being watched; 1 of them renews within 7 days"),
        (0, 0, "No list was read yet, so no number is being watched"),
    ],
)
def test_the_consequence_of_blindness(fleet: int, soon: int, said: str) -> None:
    assert phrases.consequence(fleet, soon) == said


@pytest.mark.parametrize(
    ("facts", "headline", "sentence"),
    [
        (
            renewal_facts.Upcoming(Number.of(number(auto_renewal=False)), "prod", 3, ON),
            "+15550000001 will be lost in 3 days",
            ("+15550000001 (prod) will be lost in 3 days, on Thu 26 Nov 2026: auto-renewal is off, renewing costs "
            "1.00 USD. Switch auto-renewal on or renew it in the provider's dashboard."),
        ),
        (
            renewal_facts.Upcoming(Number.of(number()), "prod", 1, ON, Unread(T0)),
            "+15550000001 renews in 1 day",
            ("+15550000001 (prod) renews in 1 day, on Thu 26 Nov 2026: auto-renewal is on, 1.00 USD will be charged. "
            "Make sure that the balance covers it. (as last known at 2026-11-23 12:00 UTC; the list could not be read since)"),
        ),
        (
            renewal_facts.Due(Number.of(number(auto_renewal=None)), "prod", 0, ON),
            "+15550000001 will be lost today",
            ("+15550000001 (prod) will be lost today, Thu 26 Nov 2026: auto-renewal is not stated, renewing costs "
            "1.00 USD. Renew it in the provider's dashboard now."),
        ),
        (
            renewal_facts.Due(Number.of(number()), "prod", 5, ON),
            "+15550000001 is due for renewal in 5 days",
            ("+15550000001 (prod) is due for renewal in 5 days, Thu 26 Nov 2026; the provider flags it as due: "
            "auto-renewal is on, 1.00 USD will be charged. Make sure that the balance covers it."),
        ),
        (
            renewal_facts.Overdue(Number.of(number()), "prod", 1, ON),
            "+15550000001 is overdue by 1 day",
            ("+15550000001 (prod) is overdue by 1 day: it should have renewed on Thu 26 Nov 2026 and did not. "
            "Auto-renewal is on, it costs 1.00 USD. Check the balance and the card and renew it in the provider's "
            "dashboard now: an unpaid number is usually lost for good."),
        ),
        (
            number_facts.AutoRenewalOff(Number.of(number(auto_renewal=False)), "prod", -2, ON),
            "+15550000001: auto-renewal is off",
            ("+15550000001 (prod): auto-renewal is off, it was on before; it is overdue by 2 days, since Thu 26 Nov 2026. "
            "A renewal costs 1.00 USD. If nobody meant it, switch auto-renewal on in the provider's dashboard."),
        ),
        (
            number_facts.StatusChanged(Number.of(number(current_status="Ported")), "prod", None, None, None),
            "+15550000001 is ported",
            ("+15550000001 (prod) was ported when first seen. This status is not documented: look in the provider's "
            "dashboard what it means. No renewal day is known: auto-renewal is on, a renewal costs 1.00 USD."),
        ),
        (
            number_facts.PriceChanged(Number.of(number(monthly_renewal_cost=2)), "prod", Number.of(number(currency="EUR")), 12, ON),
            "+15550000001 costs 2.00 USD",
            ("+15550000001 (prod): a renewal costs 2.00 USD, it was 1.00 EUR; the current price is 1.00 USD, it was "
            "1.00 EUR. Make sure that the balance covers it. It renews in 12 days, on Thu 26 Nov 2026: auto-renewal is "
            "on, a renewal costs 2.00 USD."),
        ),
        (
            number_facts.Missing(Number.of(number()), "prod", 1, 12, ON),
            "+15550000001 is missing",
            ("+15550000001 (prod) is missing: the last complete list came without it. If nobody released it, ask the "
            "provider at once; a released number is soon given to others. It is not watched any more. As last known: "
            "it renews in 12 days, on Thu 26 Nov 2026: auto-renewal is on, a renewal costs 1.00 USD."),
        ),
    ],
)  # fmt: skip
def test_a_sentence_can_be_acted_on_alone(facts: Facts, headline: str, sentence: str) -> None:
    assert facts.words() == (headline, sentence)


def test_a_number_without_a_number_is_named_by_its_id() -> None:
    assert phrases.who(number(number=None)) == "phone-1"
    assert phrases.who(number(number="")) == "phone-1"


def test_kinds_of_faults_are_named_and_the_rest_counted() -> None:
    some = tuple(f"field {i} cannot be read" for i in range(10))
    headline, sentence = list_facts.Invalid("prod", 800, 400, some).words()
    assert sentence.count(" cannot be read") == 11
    assert "and 390 more kinds of faults" in sentence
    assert headline == "800 entries of the list cannot be read whole (prod)"
    assert "more" not in list_facts.Invalid("prod", 20, 10, some).words()[1]


# --- messages ---------------------------------------------------------------------------------------------------------


BAD = Severity.critical


def suspended(number: str) -> Facts:
    return number_facts.StatusChanged(
        Number("phone-1", number, status="suspended"), "prod", before="active", left=5, on=740_000
    )


def alert(
    text: str = "a sentence",
    *,
    kind: str = "renewal.upcoming",
    severity: Severity = Severity.info,
    left: int | None = None,
    headline: str = "a headline",
    environment: str = "prod",
    key: str = "k",
    number: str | None = None,
    topic: str = "",
    course: Course | None = None,
    facts: Facts | None = None,
) -> Alert:
    return Alert(
        key=key,
        kind=kind,
        severity=severity,
        environment=environment,
        facts=facts or Written(headline, text),
        number_id=number,
        number=number,
        days_left=left,
        topic=topic,
        course=course,
    )


def render(*alerts: Alert, body: int = 10_000, title: int = 250, late: timedelta = timedelta(0)) -> Message:
    return notify_render.render(
        "rw-0123456789", alerts, created_at=T0, now=T0 + late, body_limit=body, title_limit=title
    )


def test_all_alerts_are_one_message_the_most_urgent_first() -> None:
    message = render(
        alert("later", left=10, number="+1001"),
        alert("in three days", severity=Severity.critical, left=3, number="+1555"),
        alert("blind", severity=Severity.critical, kind="watch.api_failing", headline="prod: the API fails"),
        alert("lost", severity=Severity.critical, left=-1, kind="renewal.overdue", number="+1444"),
        alert("soon", severity=Severity.warning, left=7, number="+1002"),
        alert("sooner", left=2, number="+1003"),
    )
    assert message.severity is Severity.critical
    assert message.body == (
        "CRITICAL\n• lost\n• in three days\n• blind\n\nWARNING\n• soon\n\nINFO\n• sooner\n• later\n\nmessage rw-0123456789"
    )
    assert message.title == (
        "[critical] prod: 4 need action: +1444 overdue; +1555 expiring; the API fails and 1 more; also 2 renewing soon"
    )


@pytest.mark.parametrize(
    ("alerts", "title"),
    [
        ([alert(headline="+1555 renews in 3 days")], "[info] prod: +1555 renews in 3 days"),
        ([alert(headline="prod: the API token is rejected", kind="watch.token_rejected")],
         "[info] prod: the API token is rejected"),
        ([alert(headline="channel ops is failing", kind="channel.failing", environment="")],
         "[info] channel ops is failing"),
        ([alert(left=1, number="+1"), alert(kind="renewal.due", number="+2"), alert(kind="renewal.renewed", number="+3")],
         "[info] prod: +1 renewing soon, +2 due, +3 renewed"),
        ([alert(number=f"+{i}", kind="renewal.renewed" if i < 5 else "renewal.upcoming") for i in range(9)],
         "[info] prod: 5 renewed, 4 renewing soon"),
        ([alert(number="+1", kind="renewal.overdue", severity=BAD, left=-3),
          alert(number="+1", severity=BAD, kind="status.changed", facts=suspended("+1"), left=5),
          alert(number="+2", kind="renewal.overdue", severity=BAD)],
         "[critical] prod: 2 numbers need action: +1 overdue and suspended, +2 overdue"),
        ([alert(number="+1", kind="renewal.overdue", severity=BAD, left=-3, headline="+1 is overdue by 3 days"),
          alert(number="+1", severity=BAD, kind="status.changed", facts=suspended("+1"), left=5)],
         "[critical] prod: +1 overdue and suspended"),
        ([alert(number="+1", kind="renewal.overdue", severity=BAD, left=-3), alert(number="+1", environment="b", severity=BAD)],
         "[critical] 2 numbers need action: +1 overdue, +1 expiring"),
        ([alert(number=f"+{i}", severity=BAD, left=1) for i in range(2000)],
         "[critical] prod: 2,000 numbers need action: +0 expiring, +1 expiring, +10 expiring and 1,997 more"),
        ([alert(headline="x" * 100)], f"[info] prod: {'x' * 71}…"),
    ],
)  # fmt: skip
def test_the_subject_alone_says_what_is_at_stake(alerts: list[Alert], title: str) -> None:
    assert render(*alerts).title == title


def test_every_kind_has_words_for_the_subject() -> None:
    for kind in sorted(set(KINDS) - {"digest.sent"}):
        title = render(alert(left=0, severity=Severity.critical, number="+1"), alert(kind=kind, number="+2")).title
        assert re.fullmatch(r"\[critical\] prod: a headline; also 1 [a-z -]+", title), title


@pytest.mark.parametrize(("minutes", "said"), [(0, False), (0.3, False), (0.4, True), (6000, True)])
def test_a_message_delivered_late_says_when_its_alerts_were_found(minutes: float, *, said: bool) -> None:
    body = render(alert(), late=timedelta(minutes=minutes)).body
    assert ("\n\nfound 2026-11-23 12:00 UTC, delivered late\nmessage rw-0123456789" in body) is said
    assert body.endswith("\nmessage rw-0123456789")


def test_what_does_not_fit_is_counted() -> None:
    many = [alert(f"sentence {i:04}", severity=Severity(i % 3), key=str(i)) for i in range(1000)]
    body = render(*many, body=2000).body
    told = body.count("•")
    assert told == notify_render.MOST, "the ten worst"
    assert "\n… and 990 more: 656 expiring, 334 renewing soon; see renewal-watch alerts\n" in body
    assert body.endswith("\n\nmessage rw-0123456789")


def test_a_long_first_alert_is_cut_rather_than_left_out() -> None:
    body = render(alert("x" * 5000), alert("y"), body=500).body
    assert body.startswith("INFO\n• xxx")
    assert "x…\n… and 1 more: 1 renewing soon; see renewal-watch alerts\n\nmessage" in body
    assert 490 <= notify_render._size(body) <= 500
    alone = render(alert("x" * 5000), body=500).body
    assert notify_render._size(alone) == 500


@pytest.mark.parametrize("text", ["<>&'\"" * 100, "ü" * 400, "😀" * 300, "a" * 900])
@pytest.mark.parametrize("title_limit", [0, 40, 250])
def test_a_short_message_says_most_in_its_title(text: str, title_limit: int) -> None:
    message = render(alert(text, headline=text), alert(text), body=160, title=title_limit)
    assert notify_render._size(message.title) <= (title_limit or 160)
    whole = notify_render._size(message.body) + (0 if title_limit else notify_render._size(message.title) + 2)
    assert whole <= 160
    assert message.title.startswith("[info] prod: ")
    assert "2 more" in message.body or "1 more" in message.body
    assert message.body.endswith("message rw-0123456789")


ALERTS = st.lists(
    st.builds(
        Alert,
        key=st.text(min_size=1, max_size=5),
        kind=st.sampled_from([kind for kind in KINDS if kind != "digest.sent"]),
        severity=st.sampled_from(Severity),
        environment=st.sampled_from(["prod", "staging", ""]),
        facts=st.builds(
            Written,
            st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=100),
            st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="•…"), min_size=1, max_size=200),
        ),
        number=st.none() | st.just("+1555"),
        days_left=st.none() | st.integers(-400, 400),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda one: one.key,
)


@few(80)
@given(
    alerts=ALERTS,
    body_limit=st.one_of(st.integers(130, 400), st.integers(130, 5000)),
    title_limit=st.sampled_from([0, 0, 3, 40, 100, 250, 1000]),
    late=st.booleans(),
)
def test_a_message_keeps_its_limits_ends_with_its_id_and_accounts_for_every_alert(
    alerts: list[Alert], body_limit: int, title_limit: int, *, late: bool
) -> None:
    message = render(*alerts, body=body_limit, title=title_limit, late=timedelta(hours=late))
    above = 0 if title_limit else notify_render._size(message.title) + 2
    assert notify_render._size(message.body) + above <= body_limit
    assert notify_render._size(message.title) <= (title_limit or 250)
    assert message.body.endswith("message rw-0123456789")
    told = message.body.count("•")
    rest = re.search(r"… and (\d+) more", message.body)
    assert told + int(rest[1] if rest else 0) == len(alerts)
    assert message.severity == max(one.severity for one in alerts)
    assert message == render(*reversed(alerts), body=body_limit, title=title_limit, late=timedelta(hours=late))


@few(40)
@given(alerts=ALERTS, body_limit=st.integers(0, 129), title_limit=st.sampled_from([0, 10, 250]))
def test_no_limit_however_small_raises_or_loses_the_id(alerts: list[Alert], body_limit: int, title_limit: int) -> None:
    message = render(*alerts, body=body_limit, title=title_limit)
    above = 0 if title_limit else notify_render._size(message.title) + (2 if message.title else 0)
    assert message.body.endswith("message rw-0123456789")
    assert notify_render._size(message.body) + above <= max(body_limit, len("message rw-0123456789"))


def test_the_test_message_is_marked_as_one() -> None:
    message = render(notify_render.test_alert("ops", T0))
    assert message.title == "[info] TEST of channel ops"
    assert "test message" in message.body


# --- what is not news any more ----------------------------------------------------------------------------------------


def told(text: str, at: int, opened: int, resolved: int | None = None, **more: Any) -> Alert:
    """An alert of the hour ``at`` about an incident that was open from hour to hour."""
    course = Course(T0 + at * H, T0 + opened * H, None if resolved is None else T0 + resolved * H)
    return alert(text, key=text, course=course, **({"number": "+1", "topic": "renewal", "severity": BAD} | more))


def test_of_one_incident_the_newest_alert_is_told_and_the_earlier_ones_are_a_line() -> None:
    message = render(
        told("lost in 1 day", 0, 0), told("lost today", 24, 0), told("overdue by 1", 48, 0), told("overdue by 2", 72, 0)
    )
    assert (
        message.body
        == "CRITICAL\n• overdue by 2\n3 earlier alerts about the same are superseded\n\nmessage rw-0123456789"
    )


def test_what_began_and_ended_before_it_was_sent_is_no_news() -> None:
    ended = told("renewed", 9, 0, 9, kind="renewal.renewed", severity=Severity.info)
    message = render(told("overdue", 0, 0, 9, kind="renewal.overdue"), ended, told("suspended", 0, 0, number="+2"))
    assert (
        message.body
        == "CRITICAL\n• suspended\nOver before this was sent: +1 overdue, then renewed\n\nmessage rw-0123456789"
    )
    assert message.title == "[critical] prod: a headline"
    alone = render(told("overdue", 0, 0, 9, kind="renewal.overdue"), ended)
    assert alone.body == "Over before this was sent: +1 overdue, then renewed\n\nmessage rw-0123456789"
    assert (alone.title, alone.severity) == (
        "[info] 1 incident began and ended before this could be sent",
        Severity.info,
    )


def test_an_end_is_told_to_those_who_know_of_the_beginning() -> None:
    reminder = told("overdue, reminder 2", 24, 0, 48, kind="renewal.overdue")
    message = render(reminder, told("renewed", 48, 0, 48, kind="renewal.renewed", severity=Severity.info))
    assert message.body.startswith("INFO\n• renewed\n1 earlier alert about the same is superseded")


def test_an_alert_whose_incident_was_resolved_since_is_no_news() -> None:
    assert "Over before this was sent: +1 overdue" in render(told("overdue", 0, 0, 5, kind="renewal.overdue")).body


def test_changes_that_add_up_are_all_told() -> None:
    body = render(*(told(f"lost {what}", at, 0, topic="capability") for at, what in enumerate(["sms", "voice"]))).body
    assert "lost sms" in body
    assert "lost voice" in body


def test_an_end_that_needs_action_is_news() -> None:
    off = told("auto-renewal off", 0, 0, 2, kind="auto_renewal.off", severity=Severity.warning)
    on = told("meant to expire, but on", 2, 0, 2, kind="auto_renewal.on", severity=Severity.warning)
    assert render(off, on).body.startswith("WARNING\n• meant to expire, but on")


def test_the_end_of_one_incident_is_not_superseded_by_the_next() -> None:
    ended = told("renewed", 5, 0, 5, kind="renewal.renewed", severity=Severity.info)  # it began in an earlier message
    message = render(ended, told("auto-renewal is off", 6, 6, kind="auto_renewal.off", severity=Severity.warning))
    assert "• renewed" in message.body
    assert "• auto-renewal is off" in message.body


def test_what_an_api_says_is_not_superseded_by_another_fault_of_it() -> None:
    rejected = told("the token is rejected", 0, 0, kind="watch.token_rejected", topic="api", number=None)
    body = render(rejected, told("nothing known since", 9, 0, kind="watch.stale", topic="api", number=None)).body
    assert "the token is rejected" in body
    assert "nothing known since" in body


def test_what_is_over_keeps_within_the_limit() -> None:
    over = [told(f"overdue {i}", 0, 0, 5, kind="renewal.overdue", number=f"+1555000{i:04}") for i in range(9)]
    message = render(*over, body=120)
    assert notify_render._size(message.body) <= 120


def test_routine_that_was_followed_by_its_renewal_is_told_by_that() -> None:
    expected = alert("renews in 3 days", number="+1", topic="renewal", left=3, key="a")
    renewed = alert("renewed", number="+1", topic="renewal", kind="renewal.renewed", key="b")
    assert render(expected, renewed).body.startswith("INFO\n• renewed\n1 earlier alert")
