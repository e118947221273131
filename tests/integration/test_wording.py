"""The user's words and masked numbers, from a poll to what a receiver got: real list, SQLite, Jinja child, Apprise child."""

from __future__ import annotations

import logging
import re
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from databases import EITHER, copied, opened
from made_up import entry, listing
from receivers import HttpReceiver

from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.config.loading import load
from renewal_watch.daemon.logs import set_up
from renewal_watch.errors import ApiError, ServerTrouble
from renewal_watch.model.alerts import Alert, Severity
from renewal_watch.model.facts import Written
from renewal_watch.model.kinds import KINDS, OWN
from renewal_watch.model.numbers import Listing, PhoneNumber
from renewal_watch.model.policy import Match, Policy, Record, Rule
from renewal_watch.notify.message import wording
from renewal_watch.notify.message.render import MOST
from renewal_watch.notify.message.templates import TIME_LIMIT_S
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import digests, dispatch, poll
from renewal_watch.operations.dispatch import Outlet
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Reminders, Template
from renewal_watch.settings.whole import Settings
from renewal_watch.store.outbox.alerts import list_alerts, record_alerts
from renewal_watch.text import REDACTOR
from renewal_watch.timed import follow_up

pytestmark = EITHER

NUMBER = "+15550000001"  # of phone-1
OTHER = "+15550000002"
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
ENVIRONMENTS = {
    name: Environment(name=name, base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")
    for name in ("production", "staging")
}


class World:
    """A database with its environments and channels, as the daemon would run them, one turn at a time."""

    def __init__(self, path: Path, web: HttpReceiver, sender: Callable[[str], AppriseChannel]) -> None:
        self.now = T0
        self.web = web
        self.sender = sender
        self.store = opened(path)
        self.channels: dict[str, Channel] = {"ops": Channel(name="ops")}
        self.templates: list[Template] = []
        self.rules: tuple[Rule, ...] = ()
        self.inventory: dict[str, Record] = {}
        self.next: Listing | ApiError = listing()

    @property
    def routing(self) -> Routing:
        return Routing(
            channels=tuple(self.channels.values()),
            templates=tuple(self.templates),
            rules=self.rules,
            inventory=self.inventory,
            reminders=Reminders(critical_every="off"),
        )

    def fetch(self) -> Listing:
        if isinstance(self.next, ApiError):
            raise self.next
        return self.next

    def says(self, body: str | None = None, subject: str | None = None, **more: Any) -> None:
        """One more ``[[templates]]``."""
        self.templates.append(Template(body=body, subject=subject, **more))

    def poll(self, *entries: object, error: ApiError | None = None, at: str = "production") -> poll.Polled:
        self.now += timedelta(hours=1)
        self.next = error or listing(*entries)
        return poll.run_once(self.store, ENVIRONMENTS[at], self, Policy(), self.routing, lambda: self.now)

    def time_passes(self, **length: float) -> None:
        """And follow_up looks what is due by it."""
        self.now += timedelta(**length)
        policies = dict.fromkeys(ENVIRONMENTS, Policy())
        follow_up.run_once(self.store, self.routing, policies, self.now)
        digests.send_digests(self.store, self.routing, policies, lambda: self.now)

    def told(self, channel: str = "ops") -> list[tuple[str, str]]:
        """Dispatch; the title and the body of each message that arrived by it."""
        before = len(self.web.requests)
        outlet = Outlet(channel=self.channels[channel], sender=self.sender(channel))
        dispatch.run_once(self.store, outlet, self.routing, lambda: self.now)
        new = self.web.requests[before:]
        assert all(request.path == f"/{channel}" for request in new)
        return [(request.json["title"], request.json["message"]) for request in new]

    def one(self, channel: str = "ops") -> tuple[str, str]:
        """The only message: its title, and its alerts without heading and footer."""
        ((title, body),) = self.told(channel)
        return title, without_frame(body)


def without_frame(body: str) -> str:
    """The alerts of a message that has one heading and no footer but its id."""
    found = re.fullmatch(r"(?:CRITICAL|WARNING|INFO)\n(.*)\n\nmessage rw-[0-9a-f]{10}", body, re.DOTALL)
    assert found is not None, body
    return found[1]


def soon(name: str = "phone-1", days: int = 3, **changes: Any) -> dict[str, Any]:
    """An entry that will be lost soon: it is told at once, and as critical."""
    renews_on = (T0 + timedelta(days=days)).date().isoformat()
    given = {"days_until_monthly_renewal": days, "renewal_date": renews_on, "auto_renewal": False}
    return entry(name, **(given | changes))


@pytest.fixture
def world(tmp_path: Path, empty: Path, web: HttpReceiver, senders: Callable[[str], AppriseChannel]) -> Iterator[World]:
    path = tmp_path / "watch.db"
    copied(empty, path)
    web.answers(HttpReceiver.ok)
    made = World(path, web, senders)
    yield made
    made.store.close()


# --- whose words ------------------------------------------------------------------------------------------------------


def test_without_a_template_the_built_in_words_are_sent(world: World) -> None:
    world.poll(soon())
    title, body = world.one()
    assert title == f"[critical] production: {NUMBER} will be lost in 3 days"
    assert body.startswith(f"• {NUMBER} (production) will be lost in 3 days, on Thu 26 Nov 2026: auto-renewal is off")


def test_subject_and_body_of_a_template_are_sent_as_they_are_written(world: World) -> None:
    world.says("Lost on {{ renews_on }}:\n  {{ number }}", "Act now: {{ number }}")
    world.poll(soon())
    assert world.one() == (f"Act now: {NUMBER}", f"Lost on 2026-11-26:\n  {NUMBER}")


@pytest.mark.parametrize(("subject", "body"), [(None, "B {{ number }}"), ("S {{ number }}", None)])
def test_the_part_that_has_no_template_keeps_the_built_in_words(
    world: World, subject: str | None, body: str | None
) -> None:
    world.says(body, subject)
    world.poll(soon())
    title, said = world.one()
    assert title == (f"S {NUMBER}" if subject else f"[critical] production: {NUMBER} will be lost in 3 days")
    assert said.startswith(f"B {NUMBER}" if body else f"• {NUMBER} (production) will be lost in 3 days, on")


# (kinds, channels, subject, body) of each template in the order of the file → subject and body on ops
LAST_ONE_WINS: list[tuple[list[tuple[str, str | None, str | None, str | None]], str | None, str | None]] = [
    ([("*", None, "s1", "b1")], "s1", "b1"),
    ([("*", None, "s1", "b1"), ("*", None, "s2", "b2")], "s2", "b2"),
    ([("*", None, "s1", "b1"), ("*", None, None, "b2")], "s1", "b2"),
    ([("*", None, "s1", "b1"), ("*", None, "s2", None)], "s2", "b1"),
    ([("*", None, "s1", None), ("*", None, None, "b2")], "s1", "b2"),
    ([("renewal.*", None, "s1", "b1"), ("*", None, "s2", None)], "s2", "b1"),
    ([("renewal.upcoming", None, "s1", "b1"), ("renewal.*", None, "s2", "b2")], "s2", "b2"),
    ([("*", None, "s1", "b1"), ("status.*", None, "s2", "b2")], "s1", "b1"),
    ([("*", None, "s1", "b1"), ("*", "desk", "s2", "b2")], "s1", "b1"),
    ([("*", "desk", "s1", "b1"), ("*", "ops", None, "b2")], None, "b2"),
    ([("*", "ops", "s1", "b1"), ("*", None, "s2", "b2")], "s2", "b2"),
    ([("status.changed", None, "s1", "b1")], None, None),
    ([("*", "desk", "s1", "b1")], None, None),
]


@pytest.mark.parametrize(("templates", "subject", "body"), LAST_ONE_WINS)
def test_of_the_templates_that_fit_the_last_one_with_that_part_counts(
    world: World, templates: list[tuple[str, str | None, str | None, str | None]], subject: str | None, body: str | None
) -> None:
    for kinds, channel, said_subject, said_body in templates:
        world.says(said_body, said_subject, kinds=(kinds,), channels=None if channel is None else (channel,))
    world.poll(soon())
    title, said = world.one()
    assert title == subject or (subject is None and title.startswith("[critical] production: "))
    assert said == body or (body is None and said.startswith(f"• {NUMBER} (production)"))


def test_each_channel_has_its_own_words_for_the_same_alert(world: World) -> None:
    world.channels["desk"] = Channel(name="desk")
    world.says("for all", "all")
    world.says("for the desk", channels=("desk",))
    world.poll(soon())
    assert world.one("ops") == ("all", "for all")
    assert world.one("desk") == ("all", "for the desk")


def test_in_one_message_each_kind_has_its_words_and_the_most_urgent_gives_the_subject(world: World) -> None:
    world.says("LOST {{ number }}", "Act: {{ number }}", kinds=("renewal.upcoming",))
    world.says("NEW {{ number }}", "New: {{ number }}", kinds=("number.added",))
    world.poll(entry("phone-3"))
    world.told()
    world.poll(entry("phone-3"), soon(), entry("phone-2"))
    ((title, body),) = world.told()
    assert title.startswith(f"Act: {NUMBER}; and 2 added")
    assert body.startswith(f"CRITICAL\nLOST {NUMBER}\n\n")
    assert f"NEW {NUMBER}\nNEW {OTHER}" in body
    assert re.search(r"\n\nmessage rw-[0-9a-f]{10}$", body)


def test_a_template_words_the_alerts_of_the_watch_itself_as_well(world: World) -> None:
    world.says(
        "{{ environment }} {{ kind }} {{ severity }} [{{ number }}{{ days_left }}{{ cost }}] {{ labels }}",
        kinds=("watch.*",),
    )
    world.poll(entry())
    for _ in range(3):
        world.poll(error=ServerTrouble("HTTP 500"))
    title, body = world.one()
    assert title.startswith("[critical] production: the API cannot be read") or "production" in title
    assert re.fullmatch(r"production watch\.api_failing (warning|critical) \[\]", body), body


# --- values -----------------------------------------------------------------------------------------------------------


def test_every_value_is_as_the_list_the_alert_and_the_inventory_have_it(world: World) -> None:
    names = "kind severity environment number id days_left renews_on headline found_at status country type auto_renewal cost owner note"
    world.says(
        "\n".join(f"{name}={{{{ {name} }}}}" for name in names.split())
        + "\nlabels={{ labels }}/{{ labels|length }}\n{{ text }}"
    )
    world.inventory = {"15550000001": Record(owner="Ann", labels=("sales", "vip"), note="call first")}
    world.poll(soon(monthly_renewal_cost=1.5, currency="EUR", type="voice"))
    _, body = world.one()
    assert body.splitlines()[:-1] == [
        "kind=renewal.upcoming",
        "severity=critical",
        "environment=production",
        f"number={NUMBER}",
        "id=phone-1",
        "days_left=3",
        "renews_on=2026-11-26",
        f"headline={NUMBER} will be lost in 3 days",
        "found_at=2026-11-23 13:00 UTC",
        "status=active",
        "country=US",
        "type=voice",
        "auto_renewal=False",
        "cost=1.50 EUR",
        "owner=Ann",
        "note=call first",
        "labels=sales, vip/2",
    ]
    assert body.splitlines()[-1].endswith("(owner: Ann; labels: sales, vip; note: call first)"), "plain"


def test_the_values_of_a_message_that_waited_are_as_last_listed(world: World) -> None:
    world.channels["ops"] = Channel(name="ops", quiet_hours=("00:00-23:00",), critical_at_once=False)
    world.says("{{ days_left }} {{ status }} {{ cost }}; {{ found_at }}", kinds=("renewal.upcoming",))
    world.poll(soon())
    assert world.told() == []
    world.poll(soon(current_status="suspended", monthly_renewal_cost=9))
    world.now = T0.replace(hour=23, minute=1)
    ((_, body),) = world.told()
    assert "\n3 suspended 9.00 USD; 2026-11-23 13:00 UTC\n" in body
    assert "held back: quiet hours" in body


def test_a_number_that_left_the_list_has_its_values_as_last_known(world: World) -> None:
    world.says("{{ number }} {{ status }} {{ cost }} {{ renews_on }}", kinds=("number.missing",))
    world.poll(entry(), entry("phone-2"))
    for _ in range(3):
        world.poll(entry("phone-2"))
    assert world.one()[1] == f"{NUMBER} active 1.00 USD 2026-12-23"


def test_two_environments_with_the_same_id_are_not_mixed_up(world: World) -> None:
    world.channels["ops"] = Channel(name="ops", quiet_hours=("00:00-23:00",), critical_at_once=False)
    world.says("{{ environment }} {{ number }} {{ cost }}", kinds=("renewal.upcoming",))
    world.poll(soon(), at="production")
    world.poll(soon(number="+447700900001", monthly_renewal_cost=7, currency="GBP"), at="staging")
    world.now = T0.replace(hour=23, minute=1)
    ((_, body),) = world.told()
    assert f"production {NUMBER} 1.00 USD" in body
    assert "staging +447700900001 7.00 GBP" in body


def test_what_is_not_known_is_nothing_and_an_absent_price_says_so(world: World) -> None:
    world.says(
        "[{{ country }}|{{ type }}|{{ status }}|{{ owner }}|{{ note }}|{{ labels }}|{{ cost }}]", kinds=("renewal.*",)
    )
    unknown = dict.fromkeys(
        ("country_code", "type", "current_status", "monthly_renewal_cost", "current_price", "currency")
    )
    world.poll(soon(**unknown))
    ((_, body),) = world.told()
    assert "[||||||an unknown amount]" in body


def test_the_renewal_day_is_the_one_the_watch_goes_by_where_the_list_gives_only_a_countdown(world: World) -> None:
    world.says("{{ renews_on }}")
    world.poll(soon(renewal_date=None))
    assert world.one()[1] == "2026-11-26", "the built-in words say 26 Nov as well"


def test_the_owner_that_a_rule_gives_is_the_one_in_a_template(world: World) -> None:
    world.says("{{ owner }}")
    world.inventory = {"15550000001": Record(owner="Ann")}
    world.rules = (Rule(name="sales", match=Match(numbers=(NUMBER,)), owner="Sales"),)
    world.poll(soon())
    assert world.one()[1] == "Sales", "as in the built-in words"


def test_what_the_provider_writes_is_text_in_every_value(world: World) -> None:
    world.says("{{ status }}/{{ cost }}/{{ type }}", "{{ status }}", kinds=("renewal.*",))
    world.poll(soon(current_status="<!channel> *x*\n@everyone", currency="[a](http://b)", type="{{ 7 * 7 }}"))
    ((title, body),) = world.told()
    assert "‹!channel› ∗x∗ ＠everyone/1.00 (a)(http b)/{{ 7 ∗ 7 }}" in body
    assert "\n@" not in body
    assert title.startswith("‹!channel› ∗x∗ ＠everyone")


def test_the_words_of_reminders_and_releases_are_the_users_too(world: World) -> None:
    world.says("{{ kind }}: {{ headline }}", kinds=("renewal.*",))
    world.poll(soon())
    world.told()
    reminding = Reminders(critical_every="1d")
    routing = replace(world.routing, reminders=reminding)
    world.now += timedelta(days=1)
    follow_up.run_once(world.store, routing, {"production": Policy()}, world.now)
    _, body = world.one()
    assert body.startswith(f"renewal.upcoming: {NUMBER} will be lost in")
    assert "(reminder 1 of 7)" in body


# --- templates that fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "body", "fault"),
    [
        (None, "{{ nmber }}", "body, line 1: 'nmber' is undefined"),
        (None, "\n{{ number", "body, line 2:"),
        ("{% if %}", "good", "subject, line 1:"),
        ("good", "{{ number + 1 }}", "body, line 1:"),
        (None, "{# nothing #}", "body: gives nothing"),
        (None, "{{ 'x' * 5000 }}", "body: longer than 4000 characters"),
        ("{% include 'x' %}", None, "subject, line 1: there is no other template"),
    ],
)
def test_a_template_that_fails_leaves_the_built_in_words_and_everybody_is_told_why(
    world: World, caplog: pytest.LogCaptureFixture, subject: str | None, body: str | None, fault: str
) -> None:
    world.says(body, subject)
    world.poll(soon())
    ((title, said),) = world.told()
    assert title == f"[critical] production: {NUMBER} will be lost in 3 days"
    assert said.startswith(f"CRITICAL\n• {NUMBER} (production) will be lost in 3 days")
    *_, note, footer = said.splitlines()
    assert note.startswith(f"in built-in words, for a template failed: {fault}")
    assert footer.startswith("message rw-")
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert f"channel=ops message={footer.removeprefix('message ')} a template failed: {fault}" in warning.getMessage()


def test_only_the_alerts_whose_template_fails_are_in_built_in_words(world: World) -> None:
    world.says("{{ number }} in {{ days_left + 1 }} days")
    world.poll(entry("phone-3"))
    world.told()
    world.poll(entry("phone-3"), soon(), entry("phone-2", renewal_date=None, days_until_monthly_renewal=None))
    ((_, body),) = world.told()
    assert f"CRITICAL\n{NUMBER} in 4 days\n" in body
    assert f"• {OTHER} (production) was added" in body
    assert "in built-in words, for a template failed: body, line 1: unsupported operand" in body


def test_the_note_on_a_template_stands_beside_the_note_on_the_message(world: World) -> None:
    world.channels["ops"] = Channel(name="ops", quiet_hours=("00:00-23:00",), critical_at_once=False)
    world.says("{{ nmber }}")
    world.poll(soon())
    world.now = T0.replace(hour=23, minute=1)
    ((_, body),) = world.told()
    assert body.splitlines()[-2] == (
        "found 2026-11-23 13:00 UTC; held back: quiet hours 00:00-23:00 UTC; "
        "in built-in words, for a template failed: body, line 1: 'nmber' is undefined"
    )


def test_a_digest_says_as_well_that_a_template_failed(world: World) -> None:
    world.channels["ops"] = Channel(name="ops", digest="daily 20:00", critical_at_once=False)
    world.says("{{ nmber }}", kinds=("renewal.*",))
    world.time_passes(minutes=1)
    world.poll(soon())
    world.time_passes(hours=9)
    ((title, body),) = world.told()
    assert title.startswith("[digest] 1 new")
    assert f"• {NUMBER} (production) will be lost in 3 days" in body
    assert "a template failed: body, line 1: 'nmber' is undefined" in body


def test_a_digest_that_was_not_sent_before_the_next_one_gives_way_to_it(world: World) -> None:
    """The daemon was stopped between the two: the alerts of both come under one sheet, that of today."""
    world.channels["ops"] = Channel(name="ops", digest="daily 20:00", critical_at_once=False)
    world.time_passes(minutes=1)
    world.poll(soon())
    world.time_passes(hours=9)
    world.now += timedelta(hours=14)
    world.poll(soon(days_until_monthly_renewal=2), soon("phone-2", days=4, days_until_monthly_renewal=3))
    world.time_passes(hours=9)
    ((title, body),) = world.told()
    assert title.startswith("[digest] 3 new, 2 numbers renew")
    assert body.startswith(f"RENEWS NEXT\n• {NUMBER} (production) will be lost in 2 days")
    assert body.count("RENEWS NEXT") == 1
    assert f"• {NUMBER} (production) will be lost in 3 days" in body
    assert f"• {OTHER} (production) will be lost in 3 days" in body


def test_a_template_without_end_delays_a_message_by_its_time_limit_and_no_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.sender("ops").limits()  # its child is there already
    world.says(ENDLESS + "{{ number }}")
    world.poll(*(soon(f"phone-{i}") for i in range(1, 30)))
    began = time.monotonic()
    ((_, body),) = world.told()
    assert time.monotonic() - began < TIME_LIMIT_S + 2
    assert body.count(" will be lost in 3 days, on") == MOST
    assert "… and 19 more: 19 will be lost in 3 days" in body
    assert "a template failed: body: takes more than 0.5 s of work" in body
    assert "a template failed" in caplog.text


def test_a_template_without_end_takes_no_words_from_the_others(world: World) -> None:
    world.says("LOST {{ number }}", kinds=("renewal.*",))
    world.says(ENDLESS, kinds=("number.*",))
    world.poll(entry("phone-3"))
    world.told()
    world.poll(entry("phone-3"), soon(), entry("phone-2"))
    ((_, body),) = world.told()
    assert f"LOST {NUMBER}\n" in body
    assert f"• {OTHER} (production) was added" in body


def test_the_work_on_words_does_not_grow_with_a_message_that_shows_a_thousand_alerts_at_most(world: World) -> None:
    """Else the claim is too old before the send and is given back, again and again: with 100,000 alerts it takes 60 s."""
    world.says("{{ number }} costs {{ cost }}")

    def work(count: int) -> float:
        with world.store.transaction() as tx:
            alerts = [made_alert(key=f"{count} {i}", text=f"sentence {i}") for i in range(count)]
            record_alerts(tx, alerts, world.routing, world.now)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        assert len(world.told()) == 1
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    assert work(8000) < 3 * work(1000)


# --- masked numbers ---------------------------------------------------------------------------------------------------

MASKED = "+155•••001"


def is_in(number: str, text: str) -> bool:
    """Whether the digits of ``number`` stand in ``text`` one after another, however they are written."""
    return re.sub(r"\D", "", number) in re.sub(r"[\s()./-]", "", text)


def everything(web: HttpReceiver) -> str:
    """All that the receiver was ever sent, headers included."""
    return "\n".join(
        f"{request.path} {request.headers} {request.body.decode()} {request.json}" for request in web.requests
    )


@pytest.fixture
def masking(world: World) -> World:
    world.channels = {"ops": Channel(name="ops", mask_numbers=True), "desk": Channel(name="desk")}
    return world


def test_a_masked_channel_is_shown_beginning_and_end_of_a_number(masking: World) -> None:
    masking.poll(soon())
    title, body = masking.one("ops")
    assert title == f"[critical] production: {MASKED} will be lost in 3 days"
    assert body.startswith(f"• {MASKED} (production) will be lost in 3 days, on Thu 26 Nov 2026: auto-renewal is off")
    assert not is_in(NUMBER, everything(masking.web))
    assert masking.one("desk")[0] == f"[critical] production: {NUMBER} will be lost in 3 days", (
        "the others are shown it"
    )


def test_the_values_of_a_template_are_masked_as_well(masking: World) -> None:
    masking.says(
        "{{ number }}|{{ headline }}|{{ text }}|{{ number[1:] }}|{{ number|list|join(' ') }}",
        "{{ number }} {{ headline }}",
    )
    masking.poll(soon())
    title, body = masking.one("ops")
    assert title == f"{MASKED} {MASKED} will be lost in 3 days"
    assert body.startswith(f"{MASKED}|{MASKED} will be lost in 3 days|{MASKED} (production) will be lost")
    assert not is_in(NUMBER, everything(masking.web))


def test_whose_number_it_is_stays_known_on_a_masked_channel(masking: World) -> None:
    masking.says("{{ owner }}/{{ labels }}/{{ note }}")
    masking.inventory = {"15550000001": Record(owner="Ann", labels=("vip",), note=f"before it was {OTHER}")}
    masking.poll(soon())
    assert masking.one("ops")[1] == "Ann/vip/before it was +155•••002"


def test_a_note_with_a_number_is_masked_in_the_built_in_words(masking: World) -> None:
    masking.inventory = {"15550000001": Record(note=f"moves to {OTHER}")}
    masking.poll(soon())
    assert masking.one("ops")[1].endswith("[note: moves to +155•••002]")
    assert not is_in(OTHER, everything(masking.web))


CALLED = [  # as a provider may write a number, each with digits of its own
    "+15550001001",
    "15550001002",
    15550001003,
    "0015550001004",
    "+49301234",
    "tel:+15550001005",
    "+1 555 000 1006",
    "+1-555-000-1007",
    "(555) 000-1008",
    "+1.555.000.1009",
    "555-0110",
    "73737",  # a short code
]


def test_no_number_stays_whole_however_it_is_written(masking: World) -> None:
    masking.says("{{ number }}; {{ text }}", "{{ number }}", kinds=("number.added",))
    masking.poll(entry("phone-0"))
    listed = [soon(f"phone-{i}", number=called) for i, called in enumerate(CALLED, 1)]
    for end in range(5, len(listed) + 5, 5):  # no more than a message shows
        masking.poll(entry("phone-0"), *listed[:end])
        ((_, body),) = masking.told("ops")
        assert body.count("will be lost in 3 days, on") >= min(5, len(listed) - end + 5)
    got = everything(masking.web)
    assert [called for called in CALLED if is_in(str(called), got)] == []


def test_no_kind_of_alert_shows_a_whole_number_on_a_masked_channel(masking: World) -> None:
    """Ten days of a number's life, and entries that cannot be read."""
    masking.channels.pop("desk")
    masking.poll(soon(days=8), entry("phone-2"))
    masking.poll(soon(days=8, auto_renewal=True, current_status="suspended"), entry("phone-2", monthly_renewal_cost=3))
    masking.poll(soon(days=8), entry("phone-2", has_sms=False), entry("phone-3", renewal_date="soon"))
    masking.poll(soon(days=8, current_status=f"moved to {NUMBER}"), entry("phone-2", currency=NUMBER))
    for _ in range(3):
        masking.poll(entry("phone-2", days_until_monthly_renewal=-2, renewal_date="2026-11-21"))
    masking.poll(soon(days=8), entry("phone-2"))
    for _ in range(3):
        masking.poll(error=ServerTrouble(f"HTTP 500: no list for {NUMBER}"))
    masking.told("ops")
    with masking.store.transaction() as tx:
        kinds = {alert["kind"] for alert in list_alerts(tx)}
    assert kinds >= {
        "renewal.upcoming", "renewal.overdue", "status.changed", "auto_renewal.on", "auto_renewal.off", "price.changed",
        "capability.lost", "number.missing", "number.returned", "data.invalid", "watch.api_failing",
    }  # fmt: skip
    got = everything(masking.web)
    for number in (NUMBER, OTHER, "+15550000003"):
        assert not is_in(number, got)
    assert "+155•••003" in got, "the entry that cannot be read is named all the same"


def test_a_number_that_another_one_is_told_of_by_is_masked_in_flapping_and_silences(masking: World) -> None:
    masking.channels.pop("desk")
    masking.poll(soon())
    for turn in range(6):
        masking.poll(soon(current_status="suspended" if turn % 2 else "active"))
    masking.time_passes(days=2)
    masking.told("ops")
    got = everything(masking.web)
    assert "keeps changing" in got
    assert MASKED in got
    assert not is_in(NUMBER, got)


def test_a_digest_is_masked(masking: World) -> None:
    masking.channels = {"ops": Channel(name="ops", mask_numbers=True, digest="daily 20:00", critical_at_once=False)}
    masking.says("{{ number }} {{ text }}", kinds=("renewal.*",))
    masking.time_passes(minutes=1)
    masking.poll(soon(), soon("phone-2", auto_renewal=True))
    masking.time_passes(hours=9)
    ((_, body),) = masking.told("ops")
    renews_next = body.partition("RENEWS NEXT\n")[2].partition("\n\n")[0]
    assert "+155•••001 (production) will be lost in 3 days" in renews_next
    assert "+155•••002 (production) renews in 3 days" in renews_next
    assert not is_in(NUMBER, everything(masking.web))
    assert not is_in(OTHER, everything(masking.web))


@pytest.mark.parametrize(
    "kept",
    ["2026-11-26", "2026-11-23 13:00 UTC", "123456.78 USD", "12345678.90 USD", "rw-0123456789", "phone-12345678"],
)
def test_what_is_no_number_is_not_masked(kept: str) -> None:
    shown = wording.mask(made_alert(text=f"{NUMBER}: {kept}.", headline=f"{NUMBER} {kept}"))
    assert (shown.text, shown.headline) == (f"{MASKED}: {kept}.", f"{MASKED} {kept}")


# --- the log ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _log_as_it_was() -> Iterator[None]:
    import sys

    root, own = logging.getLogger(), logging.getLogger("renewal_watch")
    before = (root.handlers, root.level, own.level, sys.excepthook, REDACTOR.masks_numbers)
    yield
    root.handlers, root.level, own.level = before[0], before[1], before[2]
    sys.excepthook, REDACTOR.masks_numbers = before[3:]
    logging.captureWarnings(capture=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(
        '[[environments]]\nname = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken_env = "TOKEN"\n' + text
    )
    return path


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("setting", "said"), [("true", MASKED), ("false", NUMBER)])
@pytest.mark.usefixtures("_log_as_it_was")
def test_numbers_in_the_log_are_masked_if_the_configuration_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, said: str, form: str
) -> None:
    load(written(tmp_path, f"[privacy]\nmask_in_logs = {setting}\n"))
    set_up(verbose=True, form=form)
    log = logging.getLogger("renewal_watch.test")
    log.warning("told of %s", NUMBER)
    try:
        raise ValueError(NUMBER)
    except ValueError:
        log.exception("broke")
    lines = capsys.readouterr().err
    assert f"told of {said}" in lines
    assert f"ValueError: {said}" in lines
    assert lines.count(NUMBER) == (0 if said == MASKED else lines.count(said))


@pytest.mark.usefixtures("_log_as_it_was")
def test_a_configuration_that_is_loaded_anew_masks_no_more_than_it_says(tmp_path: Path) -> None:
    load(written(tmp_path, "[privacy]\nmask_in_logs = true\n"))
    assert REDACTOR.masks_numbers
    load(written(tmp_path, ""))
    assert not REDACTOR.masks_numbers


# --- the configuration's check ----------------------------------------------------------------------------------------


def made_alert(number: PhoneNumber | None = None, headline: str = "", text: str = "", **changes: Any) -> Alert:
    given: dict[str, Any] = {
        "key": "k",
        "kind": "renewal.upcoming",
        "severity": Severity.critical,
        "environment": "production",
        "facts": Written(headline or f"{NUMBER} will be lost in 3 days", text or f"{NUMBER} will be lost in 3 days."),
        "number_id": "phone-1",
        "number": NUMBER,
        "days_left": 3,
        "about": number,
    }
    return Alert(**(given | changes))


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is wrong with templates given as TOML, on the channels ``ops`` (text), ``chat`` (Markdown) and ``mail`` (HTML)."""
    monkeypatch.setenv("URL", "json://127.0.0.1:1")
    channels = "".join(
        f'[[channels]]\nname = "{name}"\nurl_env = "URL"\nformat = "{form}"\n'
        for name, form in (("ops", "text"), ("chat", "markdown"), ("mail", "html"))
    )

    def found(*templates: str) -> list[str]:
        text = "".join(f"[[templates]]\n{template}\n" for template in templates)
        return wording.template_faults(settings_of(tmp_path, channels + text))

    return found


def settings_of(folder: Path, text: str) -> Settings:
    return load(written(folder, text))


Faults = Callable[..., list[str]]


def test_good_templates_have_no_faults(faults: Faults) -> None:
    names = "kind severity environment number id days_left renews_on headline text found_at status country type auto_renewal cost owner labels note"
    assert faults() == []
    assert faults("body = '''" + " ".join(f"{{{{ {name} }}}}" for name in names.split()) + "'''") == []
    assert faults("subject = '{% if days_left is not none %}{{ days_left + 1 }}{% else %}-{% endif %}'") == []
    assert faults("kinds = ['renewal.*']\nbody = '{{ days_left + 1 }}'") == []


def test_a_fault_is_told_once_with_the_template_part_line_and_a_kind_and_channel_that_shows_it(faults: Faults) -> None:
    (fault,) = faults("body = 'good'", "body = '''\n\n{{ nmber }}'''")
    assert fault == "templates.2 (renewal.upcoming on ops): body, line 2: 'nmber' is undefined"
    (fault,) = faults("subject = '{% if %}'")
    assert fault.startswith("templates.1 (renewal.upcoming on ops): subject, line 1: ")
    (fault,) = faults("channels = ['mail']\nkinds = ['watch.*']\nbody = '{{ number'")
    assert fault.startswith("templates.1 (watch.token_rejected on mail): body, line 1: ")


def test_each_template_is_told_of_even_if_a_later_one_takes_its_place(faults: Faults) -> None:
    found = faults("body = '{{ a }}'", "body = '{{ a }}'\nsubject = '{{ b }}'", "body = 'good'\nsubject = 'good'")
    assert [fault.partition(" ")[0] for fault in found] == ["templates.1", "templates.2"]


def test_a_template_that_needs_a_number_fails_for_the_kinds_that_have_none(faults: Faults) -> None:
    without = ["data.invalid", *(kind for kind in KINDS if kind.partition(".")[0] in OWN)]
    found = faults(*(f"kinds = ['renewal.*', '{kind}']\nbody = '{{{{ days_left + 1 }}}}'" for kind in without))
    assert [fault.partition(": unsupported")[0] for fault in found] == [
        f"templates.{place} ({kind} on ops): body, line 1" for place, kind in enumerate(without, 1)
    ]


# kind of alert, and what it may be without: the number comes without it in an ordinary list
MAY_BE_NOTHING = [
    ("status.changed", "{{ days_left + 1 }}"),
    ("number.added", "{{ days_left + 1 }}"),
    ("number.missing", "{{ renews_on[:4] }}"),
    ("renewal.upcoming", "{{ country.lower() }}"),
    ("price.changed", "{{ type.lower() }}"),
    ("flapping.started", "{{ number[1:] }}"),  # of an environment's API
    ("renewal.upcoming", "{{ owner.lower() }}"),
    ("renewal.upcoming", "{{ labels[0] + note }}"),
]


def test_a_value_that_may_be_nothing_for_a_kind_is_tried_so(faults: Faults) -> None:
    found = faults(*(f"kinds = ['{kind}']\nbody = '{body}'" for kind, body in MAY_BE_NOTHING))
    assert [fault.partition(": body")[0] for fault in found] == [
        f"templates.{place} ({kind} on ops)" for place, (kind, _) in enumerate(MAY_BE_NOTHING, 1)
    ]


def test_a_template_without_end_is_a_fault_and_ends(faults: Faults) -> None:
    began = time.monotonic()
    found = faults(f"channels = ['ops']\nbody = '{ENDLESS}'", "body = 'good'")
    assert time.monotonic() - began < TIME_LIMIT_S + 2
    assert [fault.rpartition(": ")[2] for fault in found] == ["takes more than 0.5 s of work"]


def test_ten_templates_on_five_channels_are_checked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "json://127.0.0.1:1")
    forms = ("text", "markdown", "html", "text", "html")
    channels = "".join(
        f'[[channels]]\nname = "c{i}"\nurl_env = "URL"\nformat = "{form}"\n' for i, form in enumerate(forms)
    )
    body = "**{{ headline }}**\n{{ text }} {{ labels|join(' ') }} {% if cost %}{{ cost }}{% endif %}"
    templates = "".join(
        f"[[templates]]\nsubject = '{i} {{{{ headline }}}}'\nbody = '''{i} {body}'''\n" for i in range(10)
    )
    settings = settings_of(tmp_path, channels + templates)
    began = time.monotonic()
    assert wording.template_faults(settings) == []
    assert time.monotonic() - began < 20, "0.4 s where nothing else runs; a child for each of them would take minutes"


def test_a_template_is_tried_once_in_each_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty of them on a hundred channels took over 1 GB."""
    monkeypatch.setenv("URL", "json://127.0.0.1:1")
    tried: list[int] = []
    monkeypatch.setattr(wording, "faults_of", lambda jobs: tried.append(len(jobs)) or [])
    for count in (3, 30):
        forms = [("text", "markdown", "html")[at % 3] for at in range(count)]
        channels = "".join(
            f'[[channels]]\nname = "c{at}"\nurl_env = "URL"\nformat = "{form}"\n' for at, form in enumerate(forms)
        )
        assert wording.template_faults(settings_of(tmp_path, channels + "[[templates]]\nbody = 'x'\n")) == []
    assert tried[0] == tried[1] > 0


def test_every_kind_is_tried(faults: Faults) -> None:
    found = faults(*(f"kinds = ['{kind}']\nsubject = '{{{{ nmber }}}}'" for kind in KINDS))
    assert found == [
        f"templates.{place} ({kind} on ops): subject, line 1: 'nmber' is undefined"
        for place, kind in enumerate(KINDS, 1)
    ]
