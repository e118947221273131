"""The Nagios plugin's judgement: thresholds and ranges, what is critical whatever the days, the worst in one line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rounds import few

from renewal_watch.diagnostics import nagios, nagios_check
from renewal_watch.diagnostics.health import Finding
from renewal_watch.diagnostics.nagios import LONGEST, Concern, Number, Outcome, State, judge, of_lists, outcome
from renewal_watch.diagnostics.nagios_thresholds import Threshold, thresholds
from renewal_watch.errors import UsageError
from renewal_watch.model.alerts import Key, Severity
from renewal_watch.model.tracking import Flaw, Watch

TODAY = 739_943
SOON, URGENT = thresholds("14", "3")
VALUE = r"-?\d+(\.\d+)?(s|%|B|c)?"
PLAIN = r"(-?\d+(\.\d+)?)?"
LABELS = ["days", "overdue", "suspended", "other_status", "missing", "set_aside", "numbers", "age"]
# https://www.monitoring-plugins.org/doc/guidelines.html, "Performance data", and of that what lib/base/perfdatavalue.cpp of Icinga 2 takes
PERFORMANCE = re.compile(rf"'[^'=]+'={VALUE};{PLAIN};{PLAIN}(;(-?\d+)?(;(-?\d+)?)?)?")


def one(left: int | None = 30, **changes: object) -> Number:
    number = Number(
        environment="production",
        provider_id="phone-1",
        number="+15550000001",
        renews_on=None if left is None else TODAY + left,
        auto_renewal=False,
        status="active",
        is_overdue=False,
        is_missing=False,
        is_lapsing=False,
    )
    return number._replace(**changes)


def judged(*those: Number, severities: dict[Key, Severity] | None = None) -> list[Concern]:
    return [*judge(those, severities or {}, TODAY, SOON, URGENT, lambda number: number.number)]


# --- thresholds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "hits", "misses", "said"),
    [
        ("14", (14, 3, 0, -20), (15, 400), "14"),  # so many days or less
        ("0", (0, -1), (1,), "0"),
        ("-1", (-1, -5), (0, 1), "-1"),
        ("2.5", (2, 0), (3,), "2.5"),
        ("14:", (13, 0, -1), (14, 15), "14"),  # ranges as the guidelines have them: outside of them is bad
        ("~:10", (11,), (10, -5), "10"),
        ("10:20", (9, 21), (10, 20), "10"),
        ("@10:20", (10, 20), (9, 21), "20"),
        ("@14", (0, 14), (-1, 15), "14"),
        ("@~:14", (14, -20), (15,), "14"),
    ],
)
def test_days_or_a_range_say_what_is_too_few(
    given: str, hits: tuple[int, ...], misses: tuple[int, ...], said: str
) -> None:
    found = Threshold.parse(given, "-w")
    assert [left for left in (*hits, *misses) if found.is_hit(left)] == list(hits)
    assert found.edge == said


@pytest.mark.parametrize("given", ["", "abc", "@", ":", "~:", "1:2:3", "14%", "20:10", "nan", "1e3", "--", "٣:x"])
def test_what_is_no_threshold_is_refused_in_a_sentence(given: str) -> None:
    with pytest.raises(UsageError, match=r"^-w: "):
        Threshold.parse(given, "-w")


@pytest.mark.parametrize(
    ("warning", "critical", "soon", "urgent"),
    [
        (None, None, "14", "3"),
        ("30", None, "30", "3"),
        ("1", None, "1", "1"),  # a default never contradicts what is given
        (None, "20", "20", "20"),
        (None, "@0:2", "14", "2"),
        ("14:", "30", "14", "30"),  # ranges mean what they say
        ("7", "7", "7", "7"),
    ],
)
def test_what_is_not_given_is_14_and_3_days(warning: str | None, critical: str | None, soon: str, urgent: str) -> None:
    assert tuple(found.edge for found in thresholds(warning, critical)) == (soon, urgent)


def test_a_critical_threshold_beyond_the_warning_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="-c: 14 days are more than the 3 of -w"):
        thresholds("3", "14")


# --- judging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "state", "said"),
    [
        (one(15), None, ""),
        (one(14), State.WARNING, "without auto-renewal in 14 days"),
        (one(4), State.WARNING, "without auto-renewal in 4 days"),
        (one(3), State.CRITICAL, "without auto-renewal in 3 days"),
        (one(1), State.CRITICAL, "without auto-renewal in 1 day"),
        (one(0), State.CRITICAL, "without auto-renewal today"),
        (one(-1), State.CRITICAL, "without auto-renewal 1 day ago"),  # no list was read since its day
        (one(None), None, ""),
        (one(0, auto_renewal=True), None, ""),  # it renews by itself, or will be overdue
        (one(-1, auto_renewal=True), None, ""),  # its day passed since the last list: nobody knows yet
        (one(-1, auto_renewal=True, is_overdue=True), State.CRITICAL, "overdue by 1 day"),
        (one(-2, is_overdue=True), State.CRITICAL, "overdue by 2 days"),
        (one(40, is_overdue=True), None, ""),  # it was, and has renewed
        (one(40, status="suspended"), State.CRITICAL, "suspended"),
        (one(40, status="inactive", auto_renewal=True), State.CRITICAL, "inactive"),
        (one(40, status="pending"), State.WARNING, "pending"),
        (one(40, status="what|ever"), State.WARNING, "what¦ever"),
        (one(40, status=""), State.WARNING, "without a status"),
    ],
)
def test_what_a_number_demands(number: Number, state: State | None, said: str) -> None:
    found = judged(number)
    assert [(concern.state, " ".join(filter(None, (concern.group, concern.detail)))) for concern in found] == (
        [] if state is None else [(state, said)]
    )


def test_a_number_may_demand_two_things() -> None:
    found = judged(one(2, status="suspended"))
    assert [concern.topic for concern in found] == ["status", "renewal"]


@pytest.mark.parametrize(
    ("severity", "state"),
    [
        (Severity.critical, State.CRITICAL),
        (Severity.warning, State.WARNING),  # meant to expire, but gone before its day
        (Severity.info, None),
        (None, None),  # nothing is open: released, or gone as it was meant to
    ],
)
def test_a_missing_number_is_as_bad_as_its_incident(severity: Severity | None, state: State | None) -> None:
    place = Key("production", "phone-1", "presence")
    found = judged(one(2, is_missing=True, status="suspended"), severities={place: severity} if severity else {})
    assert [concern.state for concern in found] == ([] if state is None else [state])


@pytest.mark.parametrize("left", [-3, 0, 2])
def test_what_is_meant_to_lapse_is_set_aside(left: int) -> None:
    (found,) = judged(one(left, is_lapsing=True, is_overdue=left < 0))
    assert found.aside == "meant to expire"


def test_a_lapsing_number_that_is_suspended_before_its_day_is_no_accident_only_after_it() -> None:
    assert [bool(concern.aside) for concern in judged(one(20, is_lapsing=True, status="suspended"))] == [False]
    assert [bool(concern.aside) for concern in judged(one(0, is_lapsing=True, status="suspended"))] == [True, True]


def test_a_list_in_doubt_is_critical_and_unreadable_entries_are_a_warning() -> None:
    from conftest import T0

    watches = [Watch(name="a", shrunk_at=T0), Watch(name="b", flaws={"entry": Flaw(2, "two of them")}), Watch(name="c")]
    assert [(concern.state, concern.environment) for concern in of_lists(watches)] == [
        (State.CRITICAL, "a"),
        (State.WARNING, "b"),
    ]


# --- the line ---------------------------------------------------------------------------------------------------------


BLIND = Finding(name="list", environment="b", ok=False, reason="b: stale", is_blind=True)
DEAF = Finding(name="channel", ok=False, reason="channel ops has failed for 2 h")
FINE = Finding(name="outbox", ok=True, reason="no message waits")


@pytest.mark.parametrize(
    ("numbers", "findings", "state", "text"),
    [
        ([], [FINE], State.OK, "all is well"),
        ([one(9)], [FINE], State.WARNING, "1 without auto-renewal: +15550000001 in 9 days"),
        ([], [DEAF], State.WARNING, "channel ops has failed for 2 h"),
        ([], [DEAF, BLIND], State.UNKNOWN, "b: stale - channel ops has failed for 2 h"),
        ([one(9)], [BLIND], State.UNKNOWN, "b: stale - 1 without auto-renewal: +15550000001 in 9 days"),
        ([one(2)], [BLIND], State.CRITICAL, "1 without auto-renewal: +15550000001 in 2 days - b: stale"),
        (
            [one(5), one(1, number="+2"), one(2, number="+3"), one(3, number="+4")],
            [],
            State.CRITICAL,
            (
                "3 without auto-renewal: +2 in 1 day, +3 in 2 days, and 1 more - "
                "1 without auto-renewal: +15550000001 in 5 days"
            ),
        ),
        ([one(5, is_lapsing=True)], [], State.OK, "all is well - acknowledged: 1 meant to expire"),
        ([one(5, number="")], [], State.WARNING, "1 without auto-renewal: in 5 days"),
        ([one(50, number="", status="pending")], [], State.WARNING, "1 pending"),
    ],
)
def test_the_worst_comes_first_and_decides(
    numbers: list[Number], findings: list[Finding], state: State, text: str
) -> None:
    found = outcome(judged(*numbers), findings, "'x'=1", "all is well")
    assert (found.state, found.text) == (state, text)
    assert found.lines() == [f"RENEWAL {state.name} - {text} | 'x'=1"]


def test_verbose_lists_every_number_and_what_was_looked_at() -> None:
    found = outcome(judged(one(9), one(2, number="+2"), one(5, number="+3", is_lapsing=True)), [FINE], "", "")
    assert found.lines(is_verbose=True)[1:] == [
        "CRITICAL: +2 without auto-renewal in 2 days",
        "WARNING: +15550000001 without auto-renewal in 9 days",
        "acknowledged: +3 without auto-renewal in 5 days: meant to expire",
        "no message waits",
    ]


@given(st.text(max_size=900))
@few(60)
def test_no_text_breaks_the_line_or_is_taken_for_performance_data(text: str) -> None:
    (line,) = nagios.unknown(text).lines()
    assert "|" not in line
    assert ";" not in line  # which Nagios would show as ":"
    assert "\n" not in line
    assert len(line) <= LONGEST + len("RENEWAL UNKNOWN - ")
    (concern,) = judged(one(2, number=text.replace("\n", " ")))
    line, *_ = Outcome(state=State.OK, text=outcome([concern], [], "", "").text, performance="'a'=1").lines()
    assert line.count("|") == 1


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([], {"overdue": "0", "missing": "0"}),
        ([one(-2, is_overdue=True), one(-1, status="overdue")], {"overdue": "1", "other_status": "1"}),
        (
            [one(40, status="suspended"), one(40, status="inactive"), one(40, status="pending")],
            {"suspended": "2", "other_status": "1"},
        ),
        ([one(5, is_lapsing=True)], {"set_aside": "1"}),
    ],
)
def test_performance_data_is_what_nagios_and_icinga_both_take(numbers: list[Number], said: dict[str, str]) -> None:
    for nearest, age in ((None, None), ((5, "+1"), 720), ((-2, "+1"), 0)):
        text = nagios_check._performance(judged(*numbers), nearest, 25, age, SOON, URGENT)
        parts = text.split(" ")
        assert all(PERFORMANCE.fullmatch(part) for part in parts), text
        values = {name.strip("'"): rest.split(";")[0] for name, _, rest in (part.partition("=") for part in parts)}
        unknown = ({"days"} if nearest is None else set()) | ({"age"} if age is None else set())
        assert list(values) == [label for label in LABELS if label not in unknown]
        assert said.items() <= values.items()
        assert values.get("days") == (None if nearest is None else str(nearest[0]))
        assert values.get("age") == (None if age is None else f"{age}s")
