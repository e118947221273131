"""Who is told of an alert, when and how often, or why nobody is: each rule as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import T0
from made_up import entry, listing

from renewal_watch.alerts.reasons import AsWritten
from renewal_watch.model import selectors
from renewal_watch.model.alerts import Acknowledgement, Alert, Flap, Incident, Key, Severity, Suppressor
from renewal_watch.model.facts import Because, Written
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Record, Rule
from renewal_watch.model.policy import Silence as _Silence
from renewal_watch.notify import flaps, hold, incidents, plan, suppression
from renewal_watch.notify.hold import Hold, Waiting
from renewal_watch.notify.routing import Routing
from renewal_watch.notify.suppression import Hidden, Plan, Situation
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Escalation, Flapping, Reminders

M = timedelta(minutes=1)
H = timedelta(hours=1)
D = timedelta(days=1)
INFO, WARNING, CRITICAL = Severity.info, Severity.warning, Severity.critical
CHAT = Channel(name="chat")
PAGER = Channel(name="pager", min_severity="critical")
BOTH = Routing(channels=(CHAT, PAGER))
PLACE = Key("prod", "phone-1", "status")
MINE = ("prod", "phone-1")


def number(**changes: Any) -> PhoneNumber:
    return next(iter(listing(entry(**changes)).entries.values())).parsed


def alert(kind: str = "status.changed", severity: Severity = CRITICAL, **changes: Any) -> Alert:
    topic = {"renewal": "renewal", "auto_renewal": "renewal", "status": "status", "number": "presence"}
    first = kind.partition(".")[0]
    return Alert(
        **(
            {
                "key": f"prod/{kind}/phone-1/x",
                "kind": kind,
                "severity": severity,
                "environment": "prod",
                "facts": Written("what happened", "What happened, and what to do."),
                "number_id": "phone-1",
                "number": "+15550000001",
                "topic": topic.get(first, first),
                "about": number(),
            }
            | changes
        )
    )


def incident(**changes: Any) -> Incident:
    """A critical status that was told an hour ago."""
    told = {
        "id": 1,
        "name": "prod/status.changed/phone-1/x",
        "alert_id": 1,
        "kind": "status.changed",
        "severity": CRITICAL,
        "rank": 20,
        "opened_at": T0 - H,
    }
    return Incident(**(told | {"notified_at": T0 - H, "urgent_at": T0 - H} | changes))


def acked(rank: int = 20, at: datetime = T0 - M) -> Acknowledgement:
    return Acknowledgement(at=at, by="ada", rank=rank)


def silence(**changes: Any) -> _Silence:
    holds = {"pk": 3, "match": Match(), "kinds": (), "starts_at": T0 - H, "ends_at": T0 + H}
    return _Silence(**(holds | {"author": "ada", "comment": "works"} | changes))


def _said(why: Because | None) -> str | None:
    return None if why is None else why.words()


def planned(one: Alert, way: Routing = BOTH, **known: Any) -> tuple[str | None, tuple[str, ...], Incident | None]:
    """Why it is hidden, the channels, and the incident after it."""
    made = plan.plan([(9, one)], way, Situation(**known), T0)
    (decision,) = made.decisions
    return _said(decision.hidden), decision.channels, made.incidents.get(one.place)


MUTED = replace(BOTH, rules=(Rule(name="quiet", mute=("status.*", "renewal.*", "auto_renewal.*")),))
SILENT = (silence(),)
LAPSING = {MINE: "ada, 2026-11-20 08:00 UTC"}
RENEWAL = PLACE._replace(topic="renewal")
ACKED = {PLACE: incident(ack=acked()), RENEWAL: incident(kind="renewal.upcoming", ack=acked())}
TOLD = {PLACE: incident()}
FLAPPING = {PLACE: Flap((T0 - 2 * H,), since=T0 - 2 * H)}
OVERDUE = alert("renewal.overdue", topic="status")  # for the tables, in the place of the others


# --- why an alert is hidden -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "way", "known", "why"),
    [
        (alert(), BOTH, {}, None),
        (alert(), BOTH, {"silences": SILENT}, "silence 3 of ada until 2026-11-23 13:00 UTC"),
        (alert(), MUTED, {}, "the rule quiet mutes it"),
        (alert("renewal.due"), BOTH, {"lapses": LAPSING}, "it is meant to expire (ada, 2026-11-20 08:00 UTC)"),
        (alert("renewal.due"), BOTH, {"incidents": ACKED}, "acknowledged by ada at 2026-11-23 11:59 UTC"),
        (alert(), BOTH, {"flaps": FLAPPING}, "flapping since 2026-11-23 10:00 UTC"),
        (
            replace(OVERDUE, nature="repeat"),
            BOTH,
            {"incidents": TOLD},
            "told at 2026-11-23 11:00 UTC already; it is repeated every 1 d",
        ),
        (alert(), Routing(), {}, "no channel takes it"),
        (alert(severity=WARNING), Routing(channels=(PAGER,)), {}, "no channel takes it"),
    ],
)
def test_why_nobody_is_told(one: Alert, way: Routing, known: dict[str, Any], why: str | None) -> None:
    hidden, channels, _ = planned(one, way, **known)
    assert hidden == why
    assert bool(channels) == (why is None)


EVERYTHING: dict[str, Any] = {
    "lapses": LAPSING,
    "silences": SILENT,
    "incidents": ACKED,
    "flaps": {PLACE._replace(topic="auto_renewal"): Flap((T0 - 2 * H,), since=T0 - 2 * H)},
}


@pytest.mark.parametrize(
    ("without", "way", "why"),
    [
        # of all reasons at once the first in this order is said; then without it the next
        ((), MUTED, "it is meant to expire"),
        (("lapses",), MUTED, "the rule quiet mutes it"),
        (("lapses",), BOTH, "silence 3 of ada"),
        (("lapses", "silences"), BOTH, "acknowledged by ada"),
        (("lapses", "silences", "incidents"), BOTH, "flapping since"),
        (("lapses", "silences", "incidents"), Routing(), "flapping since"),
        (("lapses", "silences", "incidents", "flaps"), Routing(), "no channel takes it"),
    ],
)
def test_of_many_reasons_the_one_that_people_gave_is_said(without: tuple[str, ...], way: Routing, why: str) -> None:
    known = {name: value for name, value in EVERYTHING.items() if name not in without}
    hidden, _, _ = planned(alert("auto_renewal.off"), way, **known)
    assert str(hidden).startswith(why)


@pytest.mark.parametrize(
    ("kind", "is_hidden"),
    [
        ("renewal.upcoming", True),
        ("renewal.due", True),
        ("renewal.overdue", True),
        ("auto_renewal.off", True),
        ("auto_renewal.on", False),
        ("renewal.renewed", False),
        ("status.changed", False),
        ("number.missing", False),
        ("lapse.last_chance", False),
        ("lapse.renewed", False),
    ],
)
def test_a_number_that_is_to_lapse_is_still_watched_for_all_else(kind: str, is_hidden: bool) -> None:
    assert (planned(alert(kind), lapses=LAPSING)[0] is not None) == is_hidden
    assert planned(alert(kind), lapses={("prod", "phone-2"): "ada"})[0] is None, "another number"
    assert planned(alert(kind), lapses={("test", "phone-1"): "ada"})[0] is None, "another environment"


@pytest.mark.parametrize(
    ("given", "one", "is_hidden"),
    [
        (silence(match=Match(numbers=("+1555*",))), alert(), True),
        (silence(match=Match(numbers=("+49*",))), alert(), False),
        (silence(match=Match(environments=("prod",))), alert(), True),
        (silence(match=Match(environments=("test",))), alert(), False),
        (silence(kinds=("status.*",)), alert(), True),
        (silence(kinds=("renewal.*",)), alert(), False),
        (silence(kinds=("renewal.*", "status.changed")), alert(), True),
        (silence(), alert("watch.stale", number_id=None, about=None), False),  # the watch's own must be named
        (silence(kinds=("*",)), alert("watch.stale", number_id=None, about=None), False),
        (silence(kinds=("watch.*",)), alert("watch.stale", number_id=None, about=None), True),
        (silence(kinds=("watch.*",), match=Match(numbers=("+1*",))), alert("watch.stale", about=None), False),
    ],
)
def test_a_silence_hides_what_it_names(given: _Silence, one: Alert, is_hidden: bool) -> None:
    hidden, _, _ = planned(one, silences=(given,))
    assert (hidden is not None) == is_hidden


@pytest.mark.parametrize("nature", ["reminder", "release", "escalation"])
def test_whoever_tells_again_has_looked(nature: Any) -> None:
    """follow_up asks ``suppressed`` for these; the batch does not ask again."""
    hidden, channels, _ = planned(alert(nature=nature), MUTED, silences=SILENT, incidents=ACKED)
    assert hidden is None
    assert channels == ("chat", "pager")


@pytest.mark.parametrize(
    ("one", "told_ago", "every", "is_hidden"),
    [
        # the ladder of an overdue number within the interval of its reminders is told once
        (replace(OVERDUE, nature="repeat"), 23 * H + 59 * M, "1d", True),
        (replace(OVERDUE, nature="repeat"), 24 * H, "1d", False),
        (replace(OVERDUE, nature="repeat"), M, "off", False),
        (replace(OVERDUE, nature="repeat"), None, "1d", False),  # hidden until now: nobody was told
        (OVERDUE, M, "1d", False),  # the first telling is none
        (replace(OVERDUE, nature="repeat", severity=WARNING), M, "1d", False),  # warnings are not repeated here
    ],
)
def test_what_is_repeated_is_told_once_within_the_interval(
    one: Alert, told_ago: timedelta | None, every: str, is_hidden: bool
) -> None:
    way = replace(BOTH, reminders=Reminders(critical_every=every))
    told = incident(notified_at=None if told_ago is None else T0 - told_ago)
    hidden, _, after = planned(one, way, incidents={PLACE: told})
    assert (hidden is not None) == is_hidden
    assert after is not None
    assert after.notified_at == (told.notified_at if is_hidden else T0)
    assert after.reminded == (0 if is_hidden else int(one.nature == "repeat"))


@pytest.mark.parametrize(
    ("one", "rank", "is_hidden"),
    [
        # acknowledged at this rank: hidden unless it is worse
        (alert("renewal.upcoming", WARNING), 10, True),
        (alert("renewal.upcoming", CRITICAL), 10, False),
        (alert("renewal.upcoming", CRITICAL), 20, True),
        (alert("renewal.due", days_left=0), 20, False),
        (alert("renewal.due", days_left=0), 21, True),
        (alert("renewal.due", days_left=2), 20, True),  # the provider's flag ahead of the day
        (alert("renewal.overdue", days_left=-1), 21, False),
        (alert("renewal.overdue", days_left=-1), 22, True),
        (alert("renewal.overdue", days_left=-9, nature="repeat"), 22, True),
        (alert("renewal.upcoming", INFO), 22, True),
    ],
)
def test_an_acknowledgement_holds_until_it_gets_worse(one: Alert, rank: int, is_hidden: bool) -> None:
    known = incident(kind="renewal.upcoming", rank=rank, ack=acked(rank), notified_at=T0 - 2 * D, reminded=3)
    hidden, _, after = planned(one, incidents={one.place: known})
    assert (hidden is not None) == is_hidden
    assert after is not None
    if is_hidden:
        assert after.ack == known.ack
        assert after.suppressed is None, "an acknowledgement is no suppressor: its own words say it"
        assert (after.alert_id, after.kind, after.notified_at, after.rank) == (9, one.kind, known.notified_at, rank)
    else:
        assert after.ack is None, "armed again"
        assert (after.notified_at, after.reminded) == (T0, 0), "and reminded anew"
        assert after.rank == suppression.rank(one)


@pytest.mark.parametrize(
    ("one", "is_hidden"),
    [
        # what somebody knows is the renewal as it is, and the state that goes on; another fact is told, and ends it
        (alert("renewal.upcoming"), True),
        (alert("auto_renewal.off"), True),
        (replace(OVERDUE, nature="repeat", topic="renewal", severity=WARNING), True),
        (alert("status.changed"), False),
        (alert("status.changed", WARNING), False),
        (alert("capability.lost", WARNING), False),
        (alert("watch.stale", topic="api", number_id=None), False),
    ],
)
def test_an_acknowledgement_covers_no_other_fact(one: Alert, is_hidden: bool) -> None:
    known = incident(kind=one.kind, ack=acked())
    hidden, _, after = planned(one, incidents={one.place: known})
    assert (hidden is not None) == is_hidden
    assert after is not None
    assert (after.ack is not None) == is_hidden


def test_an_acknowledgement_is_kept_while_its_incident_is_told_again() -> None:
    """A release of something else that hid it, or a late reminder, says nothing new."""
    for nature in ("reminder", "release"):
        after = planned(alert(nature=nature), incidents=ACKED)[2]
        assert after is not None
        assert after.ack == acked()


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (alert("renewal.upcoming", INFO), 0),
        (alert("renewal.upcoming", WARNING), 10),
        (alert("renewal.due", WARNING, days_left=2), 10),
        (alert("renewal.due", WARNING, days_left=0), 11),
        (alert("renewal.upcoming", CRITICAL, days_left=0), 20),
        (alert("renewal.due", CRITICAL, days_left=1), 20),
        (alert("renewal.due", CRITICAL, days_left=0), 21),
        (alert("renewal.overdue", CRITICAL, days_left=-1), 22),
        (alert("renewal.overdue", INFO, days_left=-1), 2),  # a rule may make it less
        (alert("status.changed", CRITICAL, days_left=0), 20),
    ],
)
def test_how_bad_an_incident_is(one: Alert, expected: int) -> None:
    assert suppression.rank(one) == expected


# --- what becomes of an incident -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "way", "known", "is_kept"),
    [
        (alert(severity=CRITICAL), BOTH, {}, True),
        (alert(severity=WARNING), BOTH, {}, True),
        (alert(severity=INFO), BOTH, {}, False),  # nothing would come of it
        (alert(severity=INFO), replace(BOTH, reminders=Reminders(info_every="7d")), {}, True),
        (alert(severity=INFO), BOTH, {"silences": SILENT}, True),  # to be told when that ends
        (alert(severity=INFO), Routing(), {}, False),
        (alert(severity=WARNING), Routing(), {}, True),
        (alert(severity=CRITICAL, topic=""), BOTH, {}, False),  # about nothing that lasts
        (alert(severity=CRITICAL, ends=True), BOTH, {}, False),
        (alert(severity=INFO), BOTH, {"incidents": TOLD}, True),
        (alert("price.changed", WARNING), BOTH, {}, False),  # a new price does not end
        (alert("price.changed", WARNING), BOTH, {"silences": SILENT}, True),
        (alert("price.changed", WARNING), replace(BOTH, reminders=Reminders(warning_every="7d")), {}, True),
    ],
)
def test_what_opens_an_incident(one: Alert, way: Routing, known: dict[str, Any], is_kept: bool) -> None:
    assert (planned(one, way, **known)[2] is not None) == is_kept


def test_an_incident_that_is_told_opens_with_its_times() -> None:
    assert planned(alert())[2] == Incident(
        id=0,
        name="prod/status.changed/phone-1/x",
        alert_id=9,
        kind="status.changed",
        severity=CRITICAL,
        rank=20,
        opened_at=T0,
        notified_at=T0,
        urgent_at=T0,
    )
    assert planned(alert(severity=WARNING))[2] == Incident(
        id=0,
        name="prod/status.changed/phone-1/x",
        alert_id=9,
        kind="status.changed",
        severity=WARNING,
        rank=10,
        opened_at=T0,
        notified_at=T0,
    )


@pytest.mark.parametrize(
    ("way", "known", "why", "suppressor"),
    [
        (BOTH, {"silences": SILENT}, "silence 3 of ada until 2026-11-23 13:00 UTC", "silence:3"),
        (MUTED, {}, "the rule quiet mutes it", f"rule:{MUTED.mark}"),
        (BOTH, {"flaps": FLAPPING}, "flapping since 2026-11-23 10:00 UTC", "flapping"),
        (Routing(), {}, "no channel takes it", f"nobody:{Routing().mark}"),
    ],
)
def test_an_incident_that_is_hidden_knows_by_what(
    way: Routing, known: dict[str, Any], why: str, suppressor: str
) -> None:
    opened = planned(alert(), way, **known)[2]
    assert opened is not None
    assert _said(opened.suppressed) == why
    assert opened == Incident(
        id=0,
        name="prod/status.changed/phone-1/x",
        alert_id=9,
        kind="status.changed",
        severity=CRITICAL,
        rank=20,
        opened_at=T0,
        suppressed=opened.suppressed,
        suppressor=suppressor and Suppressor(suppressor),
    )
    told = incident()
    again = planned(alert(), way, **known, incidents={PLACE: told})[2]
    assert again is not None
    assert (again.notified_at, again.urgent_at, again.opened_at) == (told.notified_at, told.urgent_at, told.opened_at)
    assert (_said(again.suppressed), again.suppressor, again.alert_id) == (why, suppressor, 9)


def test_what_hid_an_incident_is_forgotten_when_it_is_told() -> None:
    hid = incident(
        notified_at=None, urgent_at=None, suppressed=AsWritten("silence 3 …"), suppressor=Suppressor("silence:3")
    )
    after = planned(alert(nature="release"), incidents={PLACE: hid})[2]
    assert after == replace(hid, notified_at=T0, urgent_at=T0, suppressed=None, suppressor=None)
    assert after is not None
    assert after.alert_id == 1, "told again, it keeps the words of its first telling"


@pytest.mark.parametrize(
    ("nature", "reminded", "alert_id"),
    [("new", 2, 9), ("repeat", 3, 9), ("reminder", 3, 1), ("release", 2, 1)],
)
def test_only_reminders_and_repeats_count_as_such(nature: Any, reminded: int, alert_id: int) -> None:
    known = incident(reminded=2, notified_at=T0 - 2 * D)
    after = planned(alert(nature=nature), incidents={PLACE: known})[2]
    assert after is not None
    assert (after.reminded, after.alert_id, after.notified_at) == (reminded, alert_id, T0)


def test_what_becomes_worse_is_reminded_from_the_start_and_escalated_anew() -> None:
    known = incident(kind="renewal.upcoming", reminded=7, escalated_at=T0 - D)
    worse = alert("renewal.due", days_left=0)
    after = planned(worse, incidents={worse.place: known})[2]
    assert after is not None
    assert (after.reminded, after.rank, after.escalated_at, after.kind) == (0, 21, None, "renewal.due")
    same = alert("renewal.upcoming", days_left=1)
    after = planned(same, incidents={same.place: known})[2]
    assert after is not None
    assert (after.reminded, after.rank, after.escalated_at) == (7, 20, known.escalated_at)


def test_what_becomes_worse_after_it_was_acknowledged_is_escalated_only_after_its_time() -> None:
    """It was looked after: others are told when nobody answers to the worse state."""
    way = replace(BOTH, escalation=Escalation(after="4h", channels=("pager",)))
    known = incident(kind="renewal.upcoming", urgent_at=T0 - 3 * D, notified_at=T0 - 3 * D, ack=acked(at=T0 - 2 * D))
    worse = alert("renewal.due", days_left=0)
    after = planned(worse, way, incidents={worse.place: known})[2]
    assert after is not None
    assert after.ack is None
    assert incidents.escalates_at(after, way) == T0 + 4 * H


def test_what_becomes_milder_is_not_urgent_any_more() -> None:
    after = planned(alert(severity=WARNING), incidents={PLACE: incident(escalated_at=T0 - M)})[2]
    assert after is not None
    assert (after.severity, after.rank, after.urgent_at, after.escalated_at) == (WARNING, 10, None, None)


def test_a_reminder_makes_nothing_milder_than_it_was() -> None:
    known = incident(kind="renewal.overdue", rank=22)
    after = planned(alert("renewal.upcoming", topic="status", nature="reminder"), incidents={PLACE: known})[2]
    assert after is not None
    assert (after.rank, after.kind) == (22, "renewal.overdue")


def test_an_escalation_only_notes_its_time() -> None:
    known = incident()
    escalation = alert(nature="escalation", channels=("pager",))
    hidden, channels, after = planned(escalation, incidents={PLACE: known})
    assert (hidden, channels) == (None, ("pager",))
    assert after == replace(known, escalated_at=T0)
    assert planned(escalation)[2] is None, "it was over meanwhile"


@pytest.mark.parametrize(
    "known", [{"incidents": ACKED}, {"incidents": TOLD}, {}, {"incidents": TOLD, "silences": SILENT}]
)
def test_an_end_ends_the_incident_told_or_not(known: dict[str, Any]) -> None:
    end = alert("status.changed", INFO, ends=True)
    made = plan.plan([(9, end)], BOTH, Situation(**known), T0)
    assert made.incidents == ({PLACE: None} if "incidents" in known else {})
    assert (made.decisions[0].hidden is None) == ("silences" not in known), "an acknowledgement hides no good news"


def test_a_batch_is_judged_in_its_order() -> None:
    """Renewed and near again in one poll: the end closes the old incident, with its acknowledgement."""
    end, again = alert("renewal.renewed", INFO, ends=True), alert("renewal.upcoming", WARNING)
    old = {end.place: incident(kind="renewal.overdue", rank=22, ack=acked(22))}
    made = plan.plan([(8, end), (9, again)], BOTH, Situation(incidents=old), T0)
    assert [one.hidden for one in made.decisions] == [None, None]
    assert made.incidents == {
        end.place: Incident(
            id=0,
            name="prod/renewal.upcoming/phone-1/x",
            alert_id=9,
            kind="renewal.upcoming",
            severity=WARNING,
            rank=10,
            opened_at=T0,
            notified_at=T0,
        )
    }


def test_two_alerts_of_one_incident_in_a_batch_see_each_other() -> None:
    made = plan.plan([(8, alert()), (9, replace(alert(), nature="repeat"))], BOTH, Situation(), T0)
    assert [bool(one.hidden) for one in made.decisions] == [False, True], "told in this very batch"


# --- rules: severity, owner, channels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "severity", "channels"),
    [
        ({}, WARNING, ("chat",)),
        ({"severities": {"status.*": "critical"}}, CRITICAL, ("chat", "pager")),
        ({"severities": {"renewal.*": "critical"}}, WARNING, ("chat",)),
        ({"channels": ("boss",)}, WARNING, ("boss",)),
        ({"channels": ("chat", "boss")}, WARNING, ("chat", "boss")),
        ({"channels": ("pager",)}, WARNING, None),  # a rule does not make a channel take what it does not take
        ({"add_channels": ("boss",)}, WARNING, ("chat", "boss")),
        ({"add_channels": ("gone",)}, WARNING, ("chat",)),
        ({"channels": ("gone",)}, WARNING, None),
        ({"match": Match(ids=("phone-2",)), "channels": ("boss",)}, WARNING, ("chat",)),
    ],
)
def test_what_rules_give_an_alert(rule: dict[str, Any], severity: Severity, channels: tuple[str, ...] | None) -> None:
    way = Routing(channels=(CHAT, PAGER, Channel(name="boss", by_rule_only=True)), rules=(Rule(name="r", **rule),))
    made = plan.plan([(9, alert(severity=WARNING))], way, Situation(), T0)
    (one,) = made.decisions
    assert one.alert.severity == severity
    assert one.channels == (channels or ())
    assert _said(one.hidden) == (None if channels else "no channel takes it")


def test_an_alert_says_whose_the_number_is() -> None:
    record = Record(owner="sales", labels=("hotline",), note="ask Bo")
    way = replace(BOTH, inventory={"15550000001": record}, rules=(Rule(name="r", owner="ops"),))
    (one,) = plan.plan([(9, alert())], way, Situation(), T0).decisions
    assert one.alert.text == "What happened, and what to do. [owner: ops; labels: hotline; note: ask Bo]"
    other = alert(about=number(name="phone-2", number="+15550000002"))
    (one,) = plan.plan([(9, other)], replace(way, rules=()), Situation(), T0).decisions
    assert one.alert is other


def test_the_mark_changes_with_all_that_may_hide() -> None:
    ways = [
        BOTH,
        replace(BOTH, channels=(CHAT,)),
        replace(BOTH, channels=(CHAT, replace_channel(PAGER, min_severity="warning"))),
        replace(BOTH, channels=(CHAT, replace_channel(PAGER, kinds=("status.*",)))),
        replace(BOTH, channels=(CHAT, replace_channel(PAGER, environments=("prod",)))),
        replace(BOTH, channels=(CHAT, replace_channel(PAGER, by_rule_only=True))),
        MUTED,
        replace(BOTH, inventory={"1": Record(owner="ops")}),
        replace(BOTH, inventory={"1": Record(labels=("ops",))}),
    ]
    assert len({way.mark for way in ways}) == len(ways)
    assert replace(BOTH, reminders=Reminders(max_times=1)).mark == BOTH.mark


def replace_channel(channel: Channel, **changes: Any) -> Channel:
    return Channel(**({"name": channel.name, "min_severity": channel.min_severity} | changes))


# --- flapping ---------------------------------------------------------------------------------------------------------


class Story:
    """One number whose status goes to and fro; what is told of each change."""

    def __init__(self, way: Routing = BOTH) -> None:
        self.way = way
        self.now = T0
        self.incidents: dict[Key, Incident] = {}
        self.flaps: dict[Key, Flap] = {}
        self.made = Plan()

    def sees(self, one: Alert, after: timedelta = H, **known: Any) -> list[str]:
        """What the batch tells, ``-`` for one that is hidden; ``after`` the one before."""
        self.now += after
        known = {"incidents": self.incidents, "flaps": self.flaps} | known
        self.made = made = plan.plan([(9, one)], self.way, Situation(**known), self.now)
        for kept, changed in ((self.incidents, made.incidents), (self.flaps, made.flaps)):
            for key, value in changed.items():
                kept.pop(key, None)
                if value is not None:
                    kept[key] = value  # type: ignore[assignment]
        return [more.kind for more in made.more] + [
            "-" if decision.hidden else decision.alert.kind for decision in made.decisions
        ]


OFF = alert("status.changed", CRITICAL)
ON = alert("status.changed", INFO, ends=True)


def test_the_fourth_change_within_a_day_is_told_once_as_flapping() -> None:
    story = Story()
    assert [story.sees(one) for one in (OFF, ON, OFF)] == [["status.changed"]] * 3
    assert story.sees(ON) == ["flapping.started", "-"]
    times = tuple(T0 + hours * H for hours in (1, 2, 3, 4))
    assert story.flaps == {PLACE: Flap(times, since=T0 + 4 * H, worst=CRITICAL)}
    assert [story.sees(one) for one in (OFF, ON, OFF)] == [["-"]] * 3, "each further one is hidden, and told no more"
    assert _said(story.made.decisions[0].hidden) == "flapping since 2026-11-23 16:00 UTC"
    assert story.incidents[PLACE].suppressor == "flapping"
    assert story.incidents[PLACE].severity == CRITICAL


def test_what_tells_of_flapping_says_what_and_how_often() -> None:
    story = Story()
    for one in (OFF, ON, OFF, ON):
        story.sees(one)
    (started,) = story.made.more
    assert started.headline == "+15550000001: status keeps changing"
    assert "changed 4 times within 3 h. Now: What happened, and what to do." in started.text
    assert (started.topic, started.ends, started.number_id) == ("", False, "phone-1")
    assert started.severity == CRITICAL, "as the worst of them, though the fourth was good news"


@pytest.mark.parametrize(
    ("severities", "expected"),
    [
        ((INFO, INFO, INFO, INFO), WARNING),
        ((INFO, WARNING, INFO, INFO), WARNING),
        ((CRITICAL, INFO, INFO, INFO), CRITICAL),
        ((INFO, INFO, INFO, CRITICAL), CRITICAL),
    ],
)
def test_flapping_is_as_urgent_as_the_worst_of_its_changes(
    severities: tuple[Severity, ...], expected: Severity
) -> None:
    story = Story()
    for severity in severities:
        story.sees(alert(severity=severity, ends=severity == INFO))
    (started,) = story.made.more
    assert started.severity == expected


def test_what_was_bad_long_ago_makes_flapping_no_worse() -> None:
    story = Story()
    story.sees(OFF)
    for hours in (40, 1, 1, 1):
        story.sees(alert(severity=WARNING), hours * H)
    (started,) = story.made.more
    assert started.severity == WARNING


@pytest.mark.parametrize(
    ("way", "known"),
    [
        (replace(BOTH, rules=(Rule(name="calm", mute=("flapping.*",)),)), {}),
        (BOTH, {"silences": (silence(kinds=("flapping.*",)),)}),
    ],
)
def test_who_wants_not_to_be_told_of_flapping_is_not(way: Routing, known: dict[str, Any]) -> None:
    """Neither of it nor instead of the changes: those come as they come, or wait for the end with their reason."""
    story = Story(way)
    for one in (OFF, ON, OFF, ON):
        story.sees(one, **known)
    further = plan.plan([(10, more) for more in story.made.more], way, Situation(**known), story.now)
    assert not any(decision.channels for decision in further.decisions)


@pytest.mark.parametrize(
    ("changes", "within", "gaps_h", "starts"),
    [
        (4, "24h", (1, 1, 1, 1), True),
        (4, "24h", (1, 1, 1), False),
        (4, "24h", (1, 11, 11, 1), True),  # 23 hours from the first to the fourth
        (4, "24h", (1, 12, 11, 1), False),  # a day from the first to the fourth: the first counts no more
        (4, "24h", (1, 12, 11, 1, 1), True),
        (4, "24h", (1, 10, 10, 10, 10, 10), False),
        (2, "1h", (1, 0), True),
        (2, "1h", (1, 1), False),
        (3, "7d", (1, 80, 80), True),
    ],
)
def test_when_flapping_starts(changes: int, within: str, gaps_h: tuple[int, ...], starts: bool) -> None:
    story = Story(replace(BOTH, flapping=Flapping(changes=changes, within=within)))
    told = [story.sees((OFF, ON)[count % 2], hours * H) for count, hours in enumerate(gaps_h)]
    assert (["flapping.started", "-"] in told) == starts
    assert not any("flapping.started" in one for one in told[:-1])
    assert len(story.flaps[PLACE].times) <= changes


@pytest.mark.parametrize(
    ("ago", "within", "has_settled"),
    [(23 * H + 59 * M, "24h", False), (24 * H, "24h", True), (H, "1h", True), (59 * M, "1h", False)],
)
def test_flapping_settles_when_nothing_changed_for_as_long(ago: timedelta, within: str, has_settled: bool) -> None:
    flap = Flap((T0 - 3 * D, T0 - ago), since=T0 - 2 * D)
    assert flaps.has_settled(flap, replace(BOTH, flapping=Flapping(within=within)), T0) == has_settled
    assert flaps.settles_after(replace(BOTH, flapping=Flapping(within=within))) == (24 * H if "24" in within else H)


def test_changes_of_one_thing_are_not_those_of_another() -> None:
    story = Story()
    renewal_off = alert("auto_renewal.off", WARNING)
    other = replace(OFF, number_id="phone-2")
    elsewhere = replace(OFF, environment="test")
    for one in (OFF, renewal_off, other, elsewhere, alert("price.changed", WARNING, topic="price")) * 3:
        assert "-" not in story.sees(one, M)
    assert {key[1:] for key in story.flaps} == {
        ("phone-1", "status"),
        ("phone-1", "auto_renewal"),
        ("phone-2", "status"),
        ("phone-1", "price"),
    }


@pytest.mark.parametrize(
    ("one", "counts"),
    [
        (alert("renewal.upcoming"), False),
        (alert("renewal.overdue"), False),
        (alert("renewal.renewed", INFO), False),
        (alert("watch.stale", topic="api"), False),
        (alert("watch.api_failing", topic="api"), True),
        (alert("watch.recovered", INFO, topic="api"), True),
        (alert("number.missing"), True),
        (alert("number.returned", INFO), True),
        (alert("number.added", INFO, topic=""), False),
        (alert("capability.lost", WARNING), True),
        (replace(OFF, nature="reminder"), False),
        (replace(OFF, nature="release"), False),
    ],
)
def test_what_counts_as_a_change(one: Alert, counts: bool) -> None:
    assert bool(plan.plan([(9, one)], BOTH, Situation(), T0).flaps) == counts


def test_renewal_alerts_of_a_number_that_flaps_are_told() -> None:
    story = Story()
    for kind in ("auto_renewal.off", "auto_renewal.on") * 2:
        story.sees(alert(kind, WARNING, ends=kind == "auto_renewal.on"))
    assert story.sees(alert("auto_renewal.off", CRITICAL)) == ["-"]
    assert story.sees(alert("renewal.due", CRITICAL, days_left=0)) == ["renewal.due"]


def test_changes_that_a_silence_hid_are_counted_but_their_flapping_is_told_when_it_goes_on() -> None:
    """Works behind a silence are no reason to hide what comes after it without a word."""
    story = Story()
    for one in (OFF, ON, OFF, ON):
        assert story.sees(one, 5 * M, silences=(silence(match=Match()),)) == ["-"]
    told = story.sees(OFF, H)
    assert told != ["-"], "nobody was told that it flaps"


def test_two_things_of_one_number_that_flap_at_once_are_told_apart() -> None:
    """Alerts with one key are written once: a second one would be lost, and what it stands for with it."""
    story = Story()
    for switched in (False, True, False, True):
        story.now += H
        pair = [
            (1, ON if switched else OFF),
            (2, alert("auto_renewal.on" if switched else "auto_renewal.off", WARNING, ends=switched)),
        ]
        made = plan.plan(pair, BOTH, Situation(flaps=story.flaps), story.now)
        story.flaps.update({key: flap for key, flap in made.flaps.items() if flap})
    assert [more.kind for more in made.more] == ["flapping.started"] * 2
    assert len({more.key for more in made.more}) == 2


@pytest.mark.parametrize(
    "channel",
    [
        pytest.param(Channel(name="desk", kinds=("status.*", "renewal.*")), id="takes no flapping"),
        pytest.param(PAGER, id="takes only what is critical"),
    ],
)
def test_a_channel_that_is_told_no_changes_any_more_is_told_why(channel: Channel) -> None:
    """What hides critical changes from a channel is told to that channel, or hides nothing from it."""
    story = Story(Routing(channels=(channel,)))
    explained = False
    for one in (OFF, ON, OFF, ON, OFF):
        is_hidden = story.sees(one)[-1] == "-"
        further = plan.plan([(10, more) for more in story.made.more], story.way, Situation(), story.now)
        explained |= any(decision.channels for decision in further.decisions)
    assert explained or not is_hidden


# --- incidents that go on -----------------------------------------------------------------------------------------------

EVERY = Reminders(critical_every="1d", warning_every="3d", info_every="off", max_times=3)


@pytest.mark.parametrize(
    ("known", "reminders", "at"),
    [
        (incident(), EVERY, T0 + 23 * H),
        (incident(severity=WARNING), EVERY, T0 - H + 3 * D),
        (incident(severity=INFO), EVERY, None),
        (incident(severity=INFO), Reminders(info_every="7d"), T0 - H + 7 * D),
        (incident(severity=WARNING), Reminders(), None),  # only what is critical is repeated unless it is said
        (incident(), Reminders(), T0 + 23 * H),
        (incident(), Reminders(critical_every="off"), None),
        (incident(reminded=2), EVERY, T0 + 23 * H),
        (incident(reminded=3), EVERY, T0 - H + 7 * D),  # never silent for good
        (incident(severity=WARNING, reminded=3), EVERY, None),
        (incident(reminded=6), Reminders(), T0 + 23 * H),
        (incident(reminded=7), Reminders(), T0 - H + 7 * D),
        (incident(reminded=70), Reminders(critical_every="9d"), T0 - H + 9 * D),
        (incident(), Reminders(max_times=0), T0 - H + 7 * D),
        (incident(reminded=7), Reminders(critical_every="off"), None),
        (incident(ack=acked()), EVERY, None),
        (incident(suppressed=AsWritten("silence 3 …"), suppressor=Suppressor("silence:3")), EVERY, None),
        (incident(notified_at=None), EVERY, None),
        (incident(notified_at=T0), EVERY, T0 + D),
    ],
)
def test_when_an_incident_is_told_again(known: Incident, reminders: Reminders, at: datetime | None) -> None:
    way = replace(BOTH, reminders=reminders)
    assert incidents.reminds_at(known, way) == at
    if at is None:
        assert not incidents.is_reminder_due(known, way, T0 + 1000 * D)
    else:
        assert not incidents.is_reminder_due(known, way, at - M)
        assert incidents.is_reminder_due(known, way, at)


ESCALATES = Escalation(after="4h", channels=("boss",))
BY_RULE = (Rule(name="r", escalate_to=("boss",)),)


@pytest.mark.parametrize(
    ("known", "way", "at"),
    [
        (incident(), {"escalation": ESCALATES}, T0 + 3 * H),
        (incident(notified_at=T0), {"escalation": ESCALATES}, T0 + 3 * H),  # a reminder puts it not off
        (incident(), {"escalation": Escalation(after="1h", channels=("boss",))}, T0),
        (incident(), {"escalation": Escalation(after="4h")}, None),  # to nobody
        (incident(), {"escalation": Escalation(after="4h"), "rules": BY_RULE}, T0 + 3 * H),
        (incident(ack=acked()), {"escalation": ESCALATES}, None),
        (
            incident(suppressed=AsWritten("silence 3 …"), suppressor=Suppressor("silence:3")),
            {"escalation": ESCALATES},
            None,
        ),
        (incident(escalated_at=T0 - M), {"escalation": ESCALATES}, None),
        (incident(severity=WARNING, urgent_at=None), {"escalation": ESCALATES}, None),
    ],
)
def test_when_others_are_told(known: Incident, way: dict[str, Any], at: datetime | None) -> None:
    given = replace(BOTH, **way)
    assert incidents.escalates_at(known, given) == at
    assert incidents.is_escalation_due(known, given, T0 + 3 * H) == (at is not None)
    assert not incidents.is_escalation_due(known, given, T0 - M)


@pytest.mark.parametrize(("own", "channels"), [(None, ("boss",)), (("pager",), ("pager",)), ((), ())])
def test_whom_others_are(own: tuple[str, ...] | None, channels: tuple[str, ...]) -> None:
    said = selectors.Effective(escalate_to=own)
    assert incidents.escalates_to(said, replace(BOTH, escalation=ESCALATES)) == channels


@pytest.mark.parametrize(
    ("suppressor", "holds"),
    [
        ("silence:3", True),
        ("silence:4", False),
        ("silence:33", False),
        (f"rule:{BOTH.mark}", True),
        ("rule:of another configuration", False),
        (f"nobody:{BOTH.mark}", True),
        ("nobody:of another configuration", False),
        ("flapping", True),  # ended by its own alert
        ("lapse", False),  # looked at every turn: it may have been withdrawn
        ("something of a newer release", False),
    ],
)
def test_whether_what_hid_an_incident_still_does(suppressor: str, holds: bool) -> None:
    assert incidents.still_hides(Suppressor(suppressor), [silence(pk=3), silence(pk=5)], BOTH.mark) == holds
    if suppressor.startswith("silence"):
        assert not incidents.still_hides(Suppressor(suppressor), [], BOTH.mark)


@pytest.mark.parametrize(
    ("changes", "warns"),
    [
        ({"starts_at": T0 - 2 * D, "ends_at": T0 + D}, True),
        ({"starts_at": T0 - 2 * D, "ends_at": T0 + M}, True),
        ({"starts_at": T0 - 2 * D, "ends_at": T0 + D + M}, False),  # not yet
        ({"starts_at": T0 - 2 * D, "ends_at": T0}, False),  # over
        ({"starts_at": T0 - H, "ends_at": T0 + 23 * H}, False),  # a day long: whoever made it remembers
        ({"starts_at": T0 - H, "ends_at": T0 + 23 * H + M}, True),
        ({"starts_at": T0 - 2 * D, "ends_at": T0 + H, "warned_at": T0 - H}, False),
        ({"starts_at": T0 - 2 * D, "ends_at": T0 + H, "ended_at": T0 - H}, False),
        ({"starts_at": T0 + H, "ends_at": T0 + 9 * D}, False),
    ],
)
def test_when_the_end_of_a_silence_is_told_ahead(changes: dict[str, Any], warns: bool) -> None:
    assert incidents.warns_of_end(silence(**changes), T0) == warns


@pytest.mark.parametrize(
    ("kind", "known", "way", "suppressor"),
    [
        ("renewal.due", {"lapses": LAPSING, "silences": SILENT}, MUTED, "lapse"),
        ("renewal.due", {"silences": SILENT}, MUTED, f"rule:{MUTED.mark}"),
        ("renewal.due", {"silences": SILENT}, BOTH, "silence:3"),
        ("renewal.due", {}, BOTH, None),
        ("status.changed", {"lapses": LAPSING}, BOTH, None),
    ],
)
def test_what_is_not_wanted_now(kind: str, known: dict[str, Any], way: Routing, suppressor: str | None) -> None:
    one = selectors.subject("prod", number(), {})
    said = way.said(one)
    found = suppression.suppressed(kind, one, said, Situation(**known), mark=way.mark)
    assert (found.suppressor if found else None) == suppressor
    assert found is None or isinstance(found, Hidden)
    if found:
        assert found.why
        assert incidents.hide(incident(), found) == incident(
            suppressed=found.why, suppressor=suppressor and Suppressor(suppressor)
        )


# --- messages that wait -----------------------------------------------------------------------------------------------


def waiting(pk: int = 1, severity: Severity = WARNING, at: datetime = T0, **changes: Any) -> Waiting:
    return Waiting(pk, severity, changes.get("at_once", False), at, changes.get("is_fresh", True))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHT = ("22:00-07:00",)


@pytest.mark.parametrize(
    ("zone", "now", "until"),
    [
        ("UTC", "2026-11-23 21:59", None),
        ("UTC", "2026-11-23 22:00", "2026-11-24 07:00"),
        ("UTC", "2026-11-24 06:59", "2026-11-24 07:00"),
        ("UTC", "2026-11-24 07:00", None),
        ("Asia/Tokyo", "2026-11-23 12:59", None),
        ("Asia/Tokyo", "2026-11-23 13:00", "2026-11-23 22:00"),
        ("Asia/Kolkata", "2026-11-23 16:30", "2026-11-24 01:30"),
        ("Pacific/Kiritimati", "2026-11-23 08:00", "2026-11-23 17:00"),
        ("Pacific/Pago_Pago", "2026-11-23 09:00", "2026-11-23 18:00"),
        ("America/Los_Angeles", "2026-11-24 05:59", None),
        ("America/Los_Angeles", "2026-11-24 06:00", "2026-11-24 15:00"),
        # Berlin: forward at 01:00 UTC on 2027-03-28, back at 01:00 UTC on 2026-10-25
        ("Europe/Berlin", "2027-03-27 20:59", None),
        ("Europe/Berlin", "2027-03-27 21:00", "2027-03-28 05:00"),  # eight hours
        ("Europe/Berlin", "2027-03-28 04:59", "2027-03-28 05:00"),
        ("Europe/Berlin", "2027-03-28 05:00", None),
        ("Europe/Berlin", "2027-03-28 20:00", "2027-03-29 05:00"),
        ("Europe/Berlin", "2026-10-24 20:00", "2026-10-25 06:00"),  # ten hours
        ("Europe/Berlin", "2026-10-25 05:59", "2026-10-25 06:00"),
        ("Europe/Berlin", "2026-10-25 06:00", None),
        # New York: forward at 07:00 UTC on 2027-03-14, back at 06:00 UTC on 2026-11-01
        ("America/New_York", "2027-03-14 03:00", "2027-03-14 11:00"),
        ("America/New_York", "2027-03-14 10:59", "2027-03-14 11:00"),
        ("America/New_York", "2027-03-14 11:00", None),
        ("America/New_York", "2026-11-01 02:00", "2026-11-01 12:00"),
        ("America/New_York", "2026-11-01 11:59", "2026-11-01 12:00"),
        ("America/New_York", "2026-11-01 12:00", None),
    ],
)
def test_quiet_hours_are_those_of_the_clock_on_the_wall(zone: str, now: str, until: str | None) -> None:
    expected = Hold(utc(until), f"quiet hours 22:00-07:00 {zone}") if until else None
    own = Channel(name="chat", quiet_hours=NIGHT, timezone=zone)
    assert hold.hold(own, waiting(), "Antarctica/Troll", (), utc(now)) == expected, "the channel's own zone"
    assert hold.hold(Channel(name="chat", quiet_hours=NIGHT), waiting(), zone, (), utc(now)) == expected


@pytest.mark.parametrize(
    ("zone", "now", "until"),
    [
        # quiet hours within the hour that the clocks skip vanish; those within the one they repeat last until shown first
        ("Europe/Berlin", "2027-03-28 01:00", None),
        ("Europe/Berlin", "2026-10-25 00:10", "2026-10-25 00:50"),
        ("Europe/Berlin", "2026-10-25 01:10", None),
        ("America/New_York", "2027-03-14 07:00", None),
        ("America/New_York", "2026-11-01 05:10", None),  # 01:10: the repeated hour is one to two there
        ("America/New_York", "2026-11-01 07:10", "2026-11-01 07:50"),
    ],
)
def test_quiet_hours_in_the_hour_that_the_clocks_change(zone: str, now: str, until: str | None) -> None:
    channel = Channel(name="chat", quiet_hours=("02:05-02:50",), timezone=zone)
    held = hold.hold(channel, waiting(), "UTC", (), utc(now))
    assert (held.until if held else None) == (utc(until) if until else None)


WEEKEND = ("22:00-07:00", "sat,sun 00:00-24:00")


def test_quiet_hours_that_touch_are_one() -> None:
    """From Friday 22:00 to Monday 07:00, said as both."""
    channel = Channel(name="chat", quiet_hours=WEEKEND, timezone="Europe/Berlin")
    held = hold.hold(channel, waiting(), "UTC", (), utc("2026-11-27 21:00"))
    assert held == Hold(utc("2026-11-30 06:00"), "quiet hours 22:00-07:00, sat,sun 00:00-24:00 Europe/Berlin")


@pytest.mark.parametrize(
    ("severity", "critical_at_once", "is_held"),
    [(CRITICAL, True, False), (CRITICAL, False, True), (WARNING, True, True), (INFO, False, True)],
)
@pytest.mark.parametrize("by", [{"quiet_hours": NIGHT}, {"digest": "daily 08:00"}])
def test_what_is_critical_waits_for_no_calendar_unless_it_is_to(
    by: dict[str, Any], severity: Severity, critical_at_once: bool, is_held: bool
) -> None:
    channel = Channel(name="chat", critical_at_once=critical_at_once, **by)
    held = hold.hold(channel, waiting(severity=severity), "UTC", (), utc("2026-11-23 23:00"))
    assert (held is not None) == is_held


@pytest.mark.parametrize(
    ("digest", "zone", "now", "until"),
    [
        ("daily 08:00", "UTC", "2026-11-23 12:00", "2026-11-24 08:00"),
        ("daily 08:00", "UTC", "2026-11-23 07:59", "2026-11-23 08:00"),
        ("daily 08:00", "UTC", "2026-11-23 08:00", "2026-11-24 08:00"),
        ("weekly mon 08:00", "UTC", "2026-11-24 12:00", "2026-11-30 08:00"),
        ("0 8 1 * *", "UTC", "2026-11-24 12:00", "2026-12-01 08:00"),
        ("daily 08:00", "Asia/Tokyo", "2026-11-23 12:00", "2026-11-23 23:00"),
        ("daily 08:00", "America/New_York", "2026-10-31 13:00", "2026-11-01 13:00"),
        ("daily 08:00", "America/New_York", "2027-03-13 14:00", "2027-03-14 12:00"),
        ("daily 02:30", "Europe/Berlin", "2027-03-27 12:00", "2027-03-28 01:00"),  # skipped: at the end of the gap
        ("daily 02:30", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 00:30"),  # shown twice: the first
    ],
)
def test_what_waits_for_the_digest(digest: str, zone: str, now: str, until: str) -> None:
    channel = Channel(name="desk", digest=digest, quiet_hours=NIGHT)
    assert hold.hold(channel, waiting(), zone, (), utc(now)) == Hold(utc(until), "it comes with the digest")


@pytest.mark.parametrize(
    ("most", "sent_min_ago", "until_min"),
    [
        (3, (), None),
        (3, (50, 40), None),
        (3, (50, 40, 30), 10),  # when the oldest of them is an hour old
        (3, (61, 50, 40), None),
        (3, (60, 50, 40), None),
        (3, (59, 50, 40), 1),
        (3, (59, 50, 40, 30), 10),  # of more (its clock was set, or the cap was lower) the third newest
        (1, (0,), 60),
        (1, (59,), 1),
    ],
)
def test_a_channel_takes_so_many_messages_an_hour(
    most: int, sent_min_ago: tuple[int, ...], until_min: int | None
) -> None:
    channel = Channel(name="chat", max_per_hour=most)
    sent = [T0 - minutes * M for minutes in sent_min_ago]
    held = hold.hold(channel, waiting(), "UTC", sent, T0)
    assert held == (
        None if until_min is None else Hold(T0 + until_min * M, f"chat takes {most} message{'s' * (most != 1)} an hour")
    )
    if held:
        assert hold.hold(channel, waiting(), "UTC", sent, held.until) is None, "then there is room"


@pytest.mark.parametrize(
    ("severity", "waited_min", "until_min"),
    [
        (WARNING, 0, 10),
        (WARNING, 30, 10),
        (CRITICAL, 0, 10),
        (CRITICAL, 4, 6),
        (CRITICAL, 10, None),
        (CRITICAL, 30, None),
    ],
)
def test_what_is_critical_waits_for_the_cap_only_as_long_as_it_takes_to_gather(
    severity: Severity, waited_min: int, until_min: int | None
) -> None:
    channel = Channel(name="chat", max_per_hour=2)
    held = hold.hold(channel, waiting(severity=severity, at=T0 - waited_min * M), "UTC", [T0 - 50 * M] * 2, T0)
    assert (held.until if held else None) == (None if until_min is None else T0 + until_min * M)


def test_what_is_to_come_at_once_waits_for_nothing() -> None:
    channel = Channel(name="chat", quiet_hours=("00:00-12:00", "12:00-23:59"), digest="daily 08:00", max_per_hour=1)
    assert hold.hold(channel, waiting(at_once=True), "UTC", [T0], T0) is None


NOON = Channel(name="chat", quiet_hours=("11:00-12:00",), max_per_hour=3)  # ends at T0


@pytest.mark.parametrize(
    ("those", "sent", "taken", "why"),
    [
        # none was held: one by one
        ([waiting(1), waiting(2)], 0, [1], ""),
        ([waiting(1, at=T0 - 2 * H), waiting(2)], 0, [1], ""),
        # found in quiet hours: as one
        ([waiting(1, at=T0 - M)], 0, [1], "held back: quiet hours 11:00-12:00 UTC"),
        ([waiting(1, at=T0 - 9 * M), waiting(2, at=T0 - M)], 0, [1, 2], "held back: quiet hours 11:00-12:00 UTC"),
        # what was found before or after goes by itself
        ([waiting(1, at=T0 - 9 * M), waiting(2)], 0, [1], "held back: quiet hours 11:00-12:00 UTC"),
        ([waiting(1, at=T0 - 2 * H), waiting(2, at=T0 - M)], 0, [1], ""),
        # what was tried before keeps its id, for somebody may have seen it
        ([waiting(1, at=T0 - 9 * M, is_fresh=False), waiting(2, at=T0 - M)], 0, [1], ""),
        (
            [waiting(1, at=T0 - 9 * M), waiting(2, at=T0 - M, is_fresh=False), waiting(3, at=T0 - M)],
            0,
            [1, 3],
            "held back: quiet hours 11:00-12:00 UTC",
        ),
        # what is critical was not held
        ([waiting(1, CRITICAL, T0 - 9 * M), waiting(2, at=T0 - M)], 0, [1], ""),
        ([waiting(1, at=T0 - 9 * M), waiting(2, CRITICAL, T0 - M)], 0, [1], "held back: quiet hours 11:00-12:00 UTC"),
        # what comes at once comes alone
        ([waiting(1, at=T0 - 9 * M, at_once=True), waiting(2, at=T0 - M)], 0, [1], ""),
        # room for one more: all as one
        ([waiting(1), waiting(2), waiting(3, CRITICAL)], 1, [1], ""),
        ([waiting(1), waiting(2), waiting(3, CRITICAL)], 2, [1, 2, 3], "gathered, for chat takes 3 messages an hour"),
        ([waiting(1)], 2, [1], ""),
        ([waiting(1), waiting(2, is_fresh=False)], 2, [1], ""),
        ([waiting(1), waiting(2, at_once=True), waiting(3)], 2, [1, 3], "gathered, for chat takes 3 messages an hour"),
    ],
)
def test_which_messages_become_one(those: list[Waiting], sent: int, taken: list[int], why: str) -> None:
    late = [T0 - (sent - count) * M for count in range(sent)]
    found, said = hold.gathers(NOON, those, "UTC", late, T0)
    assert ([one.pk for one in found], said) == (taken, why)


def test_what_was_tried_is_sent_by_itself_and_waits_for_no_digest() -> None:
    """Somebody may have seen it: it keeps its id, and a digest would not take it."""
    channel = Channel(name="desk", digest="daily 08:00")
    assert hold.hold(channel, waiting(), "UTC", (), T0)
    assert hold.hold(channel, waiting(is_fresh=False), "UTC", (), T0) is None


def test_what_waits_for_the_digest_is_not_gathered_by_the_cap() -> None:
    channel = Channel(name="desk", digest="daily 08:00", max_per_hour=1)
    those = [waiting(1, CRITICAL), waiting(2), waiting(3, CRITICAL)]
    found, _ = hold.gathers(channel, those, "UTC", (), T0)
    assert [one.pk for one in found] == [1, 3]
