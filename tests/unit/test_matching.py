"""Which numbers rules and silences are about, what rules say together, and thresholds that only some numbers have."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import T0
from hypothesis import given
from hypothesis import strategies as st
from rounds import few
from test_rules import World, on, phone

from renewal_watch.model import selectors
from renewal_watch.model.alerts import Severity
from renewal_watch.model.kinds import KINDS, OWN
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Policy, Record, Rule
from renewal_watch.model.selectors import Effective, Fitting, Subject, digits, effective, fits, hides, is_silenced

D = timedelta(days=1)
QUICK = few(25)

NUMBER = PhoneNumber(
    id="phone-1",
    number="+49 30 123-456",
    country_code="DE",
    type="Local",
    has_voice=True,
    has_sms=True,
    has_fax=False,
    auto_renewal=True,
    monthly_renewal_cost=Decimal("12.50"),
    current_price=Decimal(99),
    currency="EUR",
)
BARE = PhoneNumber(id=7)  # everything else is null
INVENTORY = {"4930123456": Record(owner="Ann Meyer", labels=("VIP", "hotline"), note="front desk")}


def sees(match: Match, number: PhoneNumber | None = NUMBER, environment: str = "prod") -> bool:
    return fits(match, selectors.subject(environment, number, INVENTORY))


# --- digits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "+4930123456",
        "4930123456",
        "004930123456",
        "0049 30 123456",
        "+49 30 123-456",
        "+49 (30) 123 456",
        "+49/30/123.456",
        "\u202a+49 30\u00a0123\u2011456\u202c",  # copied from an address book, with its direction marks
        "tel:+4930123456",
        4930123456,
        "+49 (0)30 123456",  # the zero in brackets is not dialled from abroad
    ],
)
def test_a_number_is_the_same_however_it_is_written(written: object) -> None:
    assert digits(written) == "4930123456"


@pytest.mark.parametrize("written", [None, "", "unknown", "+", "00"])
def test_a_number_without_digits_has_none(written: object) -> None:
    assert digits(written) == ""


# --- one key at a time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(), True),
        (Match(numbers=("+4930123456",)), True),
        (Match(numbers=("0049 30 123456",)), True),
        (Match(numbers=("49-30-123-456",)), True),
        (Match(numbers=("030123456",)), False),
        (Match(numbers=("+493012345",)), False),  # whole, without a star
        (Match(numbers=("+4930*",)), True),
        (Match(numbers=("+49 30*",)), True),
        (Match(numbers=("0049(30)*",)), True),
        (Match(numbers=("4930123456*",)), True),
        (Match(numbers=("49301234567*",)), False),
        (Match(numbers=("+4940*",)), False),
        (Match(numbers=("+30*",)), False),  # the first digits, not any
        (Match(numbers=("+1*", "+4930123456")), True),  # one of the list is enough
        (Match(ids=("phone-1",)), True),
        (Match(ids=("x", "phone-1")), True),
        (Match(ids=("phone-",)), False),
        (Match(ids=("PHONE-1",)), False),  # an id is the provider's, to the letter
        (Match(environments=("prod",)), True),
        (Match(environments=("test", "prod")), True),
        (Match(environments=("test",)), False),
        (Match(environments=("PROD",)), False),
        (Match(countries=("DE",)), True),
        (Match(countries=("de",)), True),
        (Match(countries=("FR", "De ")), True),
        (Match(countries=("FR",)), False),
        (Match(types=("local",)), True),
        (Match(types=(" LOCAL",)), True),
        (Match(types=("loc",)), False),
        (Match(capabilities=("sms",)), True),
        (Match(capabilities=("fax", "voice")), True),
        (Match(capabilities=("fax", "mms")), False),
        (Match(capabilities=("whatsapp",)), False),
        (Match(labels=("vip",)), True),
        (Match(labels=("VIP",)), True),
        (Match(labels=(" Vip ",)), True),
        (Match(labels=("none", "HotLine")), True),
        (Match(labels=("hot",)), False),
        (Match(owners=("Ann Meyer",)), True),
        (Match(owners=("ann meyer",)), True),
        (Match(owners=(" ANN MEYER ",)), True),
        (Match(owners=("Ann",)), False),
        (Match(auto_renewal=True), True),
        (Match(auto_renewal=False), False),
        (Match(cost_at_least=Decimal("12.50")), True),
        (Match(cost_at_least=Decimal("12.5")), True),
        (Match(cost_at_least=Decimal("12.51")), False),  # the monthly cost counts, not the current price
        (Match(cost_at_most=Decimal("12.50")), True),
        (Match(cost_at_most=Decimal("12.49")), False),
        (Match(cost_at_least=Decimal(10), cost_at_most=Decimal(20)), True),
        (Match(cost_at_least=Decimal(13), cost_at_most=Decimal(20)), False),
        (Match(currencies=("EUR",)), True),
        (Match(currencies=("usd", "eur")), True),
        (Match(currencies=("USD",)), False),
    ],
)
def test_each_key_alone(match: Match, expected: bool) -> None:
    assert sees(match) is expected


FITTING: dict[str, Any] = {
    "numbers": ("+4930*",),
    "ids": ("phone-1",),
    "environments": ("prod",),
    "countries": ("DE",),
    "types": ("local",),
    "capabilities": ("voice",),
    "labels": ("vip",),
    "owners": ("Ann Meyer",),
    "auto_renewal": True,
    "cost_at_least": Decimal(1),
    "cost_at_most": Decimal(100),
    "currencies": ("EUR",),
}
OTHER: dict[str, Any] = {
    "numbers": ("+1*",),
    "ids": ("phone-2",),
    "environments": ("test",),
    "countries": ("FR",),
    "types": ("mobile",),
    "capabilities": ("fax",),
    "labels": ("lab",),
    "owners": ("Bob",),
    "auto_renewal": False,
    "cost_at_least": Decimal(99),
    "cost_at_most": Decimal(2),
    "currencies": ("USD",),
}


def test_the_tables_here_have_every_key() -> None:
    assert set(FITTING) == set(OTHER) == set(Match.__struct_fields__)


def test_all_keys_together_fit() -> None:
    assert sees(Match(**FITTING))


@pytest.mark.parametrize("key", FITTING)
def test_every_key_that_is_given_must_fit(key: str) -> None:
    assert not sees(Match(**(FITTING | {key: OTHER[key]})))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(), True),
        (Match(ids=("7",)), True),  # the provider counts its numbers
        (Match(environments=("prod",)), True),
        (Match(numbers=("+4930123456",)), False),
        (Match(numbers=("+4*",)), False),
        (Match(countries=("DE",)), False),
        (Match(types=("local",)), False),
        (Match(capabilities=("voice", "sms", "mms", "fax", "whatsapp")), False),
        (Match(labels=("vip",)), False),
        (Match(owners=("Ann Meyer",)), False),
        (Match(auto_renewal=True), False),
        (Match(auto_renewal=False), True),
        (Match(cost_at_least=Decimal(0)), False),  # no price is not the price 0
        (Match(cost_at_most=Decimal(10)), False),
        (Match(currencies=("EUR",)), False),
    ],
)
def test_a_number_of_which_the_api_says_nothing_fits_only_what_needs_nothing(match: Match, expected: bool) -> None:
    assert sees(match, BARE) is expected


@pytest.mark.parametrize(
    ("monthly", "price", "expected"),
    [("5", "20", False), (None, "20", True), ("0", "20", False), (None, None, False), ("10", None, True)],
)
def test_the_cost_is_the_monthly_cost_and_else_the_price(
    monthly: str | None, price: str | None, *, expected: bool
) -> None:
    one = PhoneNumber(
        id="a",
        monthly_renewal_cost=None if monthly is None else Decimal(monthly),
        current_price=None if price is None else Decimal(price),
    )
    assert sees(Match(cost_at_least=Decimal(10)), one) is expected


def test_a_number_of_the_api_in_digits_only_has_its_owner_all_the_same() -> None:
    for written in (4930123456, "4930123456", "0049 30 123 456"):
        assert sees(Match(owners=("Ann Meyer",)), PhoneNumber(id="a", number=written))


@pytest.mark.parametrize("key", FITTING)
def test_an_alert_about_no_number_fits_environments_and_nothing_else(key: str) -> None:
    assert sees(Match(**{key: FITTING[key]}), None) is (key == "environments")
    assert not sees(Match(**{key: OTHER[key]}), None)


@pytest.mark.parametrize("key", [key for key in FITTING if key != "environments"])
def test_an_alert_about_no_number_fits_no_match_that_names_numbers_too(key: str) -> None:
    assert not sees(Match(environments=("prod",), **{key: FITTING[key]}), None)


def test_a_match_of_everything_is_about_alerts_without_number_or_environment_as_well() -> None:
    assert sees(Match(), None)
    assert sees(Match(), None, environment="")
    assert not sees(Match(environments=("prod",)), None, environment="")


# --- kinds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "kind", "expected"),
    [
        ("renewal.due", "renewal.due", True),
        ("renewal.*", "renewal.due", True),
        ("*", "renewal.due", True),
        ("*.due", "renewal.due", True),
        ("renewal.?ue", "renewal.due", True),
        ("renewal", "renewal.due", False),
        ("RENEWAL.*", "renewal.due", False),
        ("status.*", "renewal.due", False),
        ("*", "flapping.started", True),
        ("*", "lapse.last_chance", True),
        ("*", "data.invalid", True),
        ("*", "watch.stale", False),  # what the watch says of itself must be named
        ("*", "channel.failing", False),
        ("*", "inventory.invalid", False),
        ("*.invalid", "inventory.invalid", False),
        ("*.invalid", "data.invalid", True),
        ("w*", "watch.stale", False),
        ("watch.*", "watch.stale", True),
        ("watch.stale", "watch.stale", True),
        ("watch.stale", "watch.api_failing", False),
        ("channel.*", "channel.failing", True),
        ("silence.*", "silence.ending", True),
        ("canary.*", "canary.failed", True),
        ("digest.sent", "digest.sent", True),
    ],
)
def test_a_mute_hides_what_its_pattern_names(pattern: str, kind: str, expected: bool) -> None:
    assert hides(pattern, kind) is expected
    assert Effective(mute=((pattern, "r"),)).muted_by(kind) == ("r" if expected else None)


def test_a_star_hides_every_kind_but_those_of_the_watch_itself() -> None:
    hidden = {kind for kind in KINDS if hides("*", kind)}
    assert hidden == {kind for kind in KINDS if is_silenced((), kind)}
    assert {kind.partition(".")[0] for kind in KINDS if kind not in hidden} == OWN


@pytest.mark.parametrize(
    ("kinds", "kind", "expected"),
    [
        ((), "renewal.due", True),
        ((), "watch.token_rejected", False),
        (("renewal.*",), "renewal.due", True),
        (("renewal.*",), "price.changed", False),
        (("price.*", "renewal.due"), "renewal.due", True),
        (("watch.*",), "watch.token_rejected", True),
        (("*", "channel.*"), "watch.token_rejected", False),
    ],
)
def test_a_silence_is_about_its_kinds_and_without_any_about_numbers(
    kinds: tuple[str, ...], kind: str, expected: bool
) -> None:
    assert is_silenced(kinds, kind) is expected


# --- what rules say together ------------------------------------------------------------------------------------------

SUBJECT = selectors.subject("prod", NUMBER, INVENTORY)
ELSEWHERE = Match(ids=("phone-2",))


def merged(*rules: Rule) -> Effective:
    return effective(Fitting(rules), SUBJECT)


def test_a_rule_gives_all_that_it_can_give() -> None:
    found = merged(
        Rule(
            name="a",
            warn_days=(30, 7),
            auto_renewal_warn_days=(5,),
            severities={"renewal.*": "critical"},
            mute=("price.*",),
            channels=("mail",),
            add_channels=("chat",),
            escalate_to=("boss",),
            owner="Ann",
        )
    )
    assert found == Effective(
        warn_days=(30, 7),
        auto_renewal_warn_days=(5,),
        severities=(("renewal.*", Severity.critical, "a"),),
        mute=(("price.*", "a"),),
        channels=("mail",),
        add_channels=("chat",),
        escalate_to=("boss",),
        owner="Ann",
        given=found.given,
    )
    assert {key for key, _ in found.given} == {
        "warn_days",
        "auto_renewal_warn_days",
        "severities renewal.*",
        "mute",
        "channels",
        "add_channels chat",
        "escalate_to",
        "owner",
    }
    assert {rule for _, rule in found.given} == {"a"}


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("warn_days", (30,), (5, 1)),
        ("auto_renewal_warn_days", (9,), ()),
        ("channels", ("a",), ("b",)),
        ("escalate_to", ("a",), ()),
        ("owner", "Ann", ""),
    ],
)
def test_a_later_rule_replaces_what_it_gives_and_leaves_the_rest(key: str, first: Any, second: Any) -> None:
    one, other = Rule(name="one", **{key: first}), Rule(name="other", **{key: second})
    assert getattr(merged(one), key) == first
    assert getattr(merged(one, other), key) == second
    assert dict(merged(one, other).given) == {key: "other"}
    assert getattr(merged(other, one), key) == first
    assert getattr(merged(one, Rule(name="other")), key) == first
    assert dict(merged(one, Rule(name="other")).given) == {key: "one"}
    away = Rule(name="other", match=ELSEWHERE, **{key: second})
    assert merged(one, away) == merged(one)


def test_rules_that_give_different_things_give_them_all() -> None:
    found = merged(
        Rule(name="a", warn_days=(30,)), Rule(name="b", owner="Ann", channels=("x",)), Rule(name="c", mute=("price.*",))
    )
    assert (found.warn_days, found.owner, found.channels) == ((30,), "Ann", ("x",))
    assert dict(found.given) == {"warn_days": "a", "owner": "b", "channels": "b", "mute": "c"}


@pytest.mark.parametrize(
    ("rules", "channels", "added", "given_by"),
    [
        # each rule: what it replaces the channels by, what it adds
        ([(None, ("x",))], None, ("x",), {"add_channels x": "r0"}),
        ([(("a",), ("x",))], ("a",), ("x",), {"channels": "r0", "add_channels x": "r0"}),
        (
            [(None, ("x",)), (None, ("y",))],
            None,
            ("x", "y"),
            {"add_channels x": "r0", "add_channels y": "r1"},
        ),
        ([(("a",), ()), (None, ("x",))], ("a",), ("x",), {"channels": "r0", "add_channels x": "r1"}),
        ([(None, ("x",)), (("a",), ())], ("a",), (), {"channels": "r1"}),  # replaced with all that was added
        ([(("a",), ("x",)), (("b",), ("y",))], ("b",), ("y",), {"channels": "r1", "add_channels y": "r1"}),
    ],
)
def test_channels_replace_and_add_channels_add(
    rules: list[tuple[tuple[str, ...] | None, tuple[str, ...]]],
    channels: tuple[str, ...] | None,
    added: tuple[str, ...],
    given_by: dict[str, str],
) -> None:
    found = merged(
        *(Rule(name=f"r{i}", channels=replaced, add_channels=more) for i, (replaced, more) in enumerate(rules))
    )
    assert (found.channels, found.add_channels) == (channels, added)
    assert dict(found.given) == given_by


@pytest.mark.parametrize(
    ("rules", "kind", "expected"),
    [
        ([], "renewal.due", "warning"),
        ([{"renewal.due": "critical"}], "renewal.due", "critical"),
        ([{"renewal.due": "critical"}], "renewal.upcoming", "warning"),
        ([{"renewal.*": "info"}], "renewal.due", "info"),
        ([{"*": "info"}], "price.changed", "info"),
        ([{"renewal.*": "info"}, {"renewal.due": "critical"}], "renewal.due", "critical"),
        ([{"renewal.*": "info"}, {"renewal.due": "critical"}], "renewal.upcoming", "info"),
        ([{"renewal.due": "critical"}, {"renewal.*": "info"}], "renewal.due", "info"),  # the last that names it
        ([{"renewal.due": "critical"}, {"price.*": "info"}], "renewal.due", "critical"),
        ([{"renewal.*": "info", "renewal.due": "critical"}], "renewal.due", "critical"),
        ([{"renewal.due": "critical"}, {"renewal.due": "info"}, {}], "renewal.due", "info"),
    ],
)
def test_the_last_rule_that_names_the_kind_gives_its_severity(
    rules: list[dict[str, Any]], kind: str, expected: str
) -> None:
    found = merged(*(Rule(name=f"r{i}", severities=one) for i, one in enumerate(rules)))
    assert found.severity(kind, Severity.warning) is Severity[expected]


def test_the_newest_rule_that_gave_a_severity_is_the_one_that_is_named() -> None:
    found = merged(
        Rule(name="a", severities={"renewal.*": "info"}), Rule(name="b", severities={"renewal.*": "critical"})
    )
    assert dict(found.given) == {"severities renewal.*": "b"}


@pytest.mark.parametrize(
    ("rules", "muted_by"),
    [
        ([("renewal.*",)], "r0"),
        ([("price.*", "renewal.due")], "r0"),
        ([("renewal.*",), None], "r0"),
        ([("renewal.*",), ()], None),  # an empty list takes it back
        ([("renewal.*",), (), ("renewal.due",)], "r2"),
        ([("renewal.*",), ("price.*",)], None),  # a later list replaces the earlier
        ([(), ("*",)], "r1"),
    ],
)
def test_a_later_mute_replaces_and_an_empty_one_takes_back(
    rules: list[tuple[str, ...] | None], muted_by: str | None
) -> None:
    found = merged(*(Rule(name=f"r{i}", mute=one) for i, one in enumerate(rules)))
    assert found.muted_by("renewal.due") == muted_by


def test_that_nothing_is_muted_any_more_is_said_to_come_from_its_rule() -> None:
    assert dict(merged(Rule(name="a", mute=("*",)), Rule(name="b", mute=())).given) == {"mute": "b"}


def test_a_rule_about_an_environment_holds_for_its_alerts_without_number() -> None:
    rules = (
        Rule(name="all of prod", match=Match(environments=("prod",)), channels=("a",)),
        Rule(name="numbers of prod", match=Match(environments=("prod",), auto_renewal=False), channels=("b",)),
        Rule(name="all", add_channels=("c",)),
    )
    found = effective(Fitting(rules), selectors.subject("prod", None, INVENTORY))
    assert (found.channels, found.add_channels) == (("a",), ("c",))
    assert effective(Fitting(rules), selectors.subject("", None, INVENTORY)).channels is None


# --- what always holds ------------------------------------------------------------------------------------------------

MATCHES = st.builds(
    Match,
    numbers=st.none() | st.sampled_from([("+4930*",), ("+1*",), ("004930123456", "+2*")]),
    environments=st.none() | st.sampled_from([("prod",), ("test",), ("test", "prod")]),
    labels=st.none() | st.sampled_from([("vip",), ("lab",)]),
    auto_renewal=st.sampled_from([None, None, True, False]),
)
DAYS = st.lists(st.integers(0, 60), max_size=3, unique=True).map(tuple)
NAMES = st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple)
PATTERNS = st.sampled_from(["*", "renewal.*", "renewal.due", "price.changed", "watch.*"])
GIFTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "warn_days": st.fixed_dictionaries({"warn_days": DAYS}),
    "auto_renewal_warn_days": st.fixed_dictionaries({"auto_renewal_warn_days": DAYS}),
    "severities": st.fixed_dictionaries(
        {"severities": st.dictionaries(PATTERNS, st.sampled_from(["info", "critical"]), max_size=3)}
    ),
    "mute": st.fixed_dictionaries({"mute": st.lists(PATTERNS, max_size=2).map(tuple)}),
    "where": st.fixed_dictionaries({"channels": st.none() | NAMES, "add_channels": NAMES}),  # one key in two parts
    "escalate_to": st.fixed_dictionaries({"escalate_to": NAMES}),
    "owner": st.fixed_dictionaries({"owner": st.sampled_from(["", "Ann", "Bob"])}),
}


@st.composite
def gifts(draw: st.DrawFn, keys: tuple[str, ...] = tuple(GIFTS)) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in keys:
        if draw(st.booleans()):
            found |= draw(GIFTS[key])
    return found


@st.composite
def some_rules(draw: st.DrawFn) -> list[Rule]:
    count = draw(st.integers(0, 5))
    return [Rule(name=f"r{i}", match=draw(MATCHES), **draw(gifts())) for i in range(count)]


@QUICK
@given(some_rules(), st.integers(0, 5), MATCHES)
def test_no_rules_and_rules_that_give_nothing_change_nothing(rules: list[Rule], place: int, match: Match) -> None:
    assert merged() == Effective()
    idle = [*rules[:place], Rule(name="idle", match=match), *rules[place:]]
    assert merged(*idle) == merged(*rules)
    assert merged(*(rule for rule in rules if fits(rule.match, SUBJECT))) == merged(*rules)


@QUICK
@given(st.data())
def test_the_order_of_two_rules_incidents_only_for_the_keys_that_both_give(data: st.DataObject) -> None:
    keys = data.draw(st.permutations(list(GIFTS)))
    at = data.draw(st.integers(0, len(keys)))
    one = Rule(name="one", **data.draw(gifts(tuple(keys[:at]))))
    other = Rule(name="other", **data.draw(gifts(tuple(keys[at:]))))
    there, back = merged(one, other), merged(other, one)
    assert there._replace(given=()) == back._replace(given=())
    assert dict(there.given) == dict(back.given)


@QUICK
@given(some_rules())
def test_each_key_is_that_of_the_last_matching_rule_that_gives_it_and_said_to_be(rules: list[Rule]) -> None:
    found = merged(*rules)
    said = dict(found.given)
    matching_rules = [rule for rule in rules if fits(rule.match, SUBJECT)]
    for key in ("warn_days", "auto_renewal_warn_days", "channels", "escalate_to", "owner"):
        last = next((rule for rule in reversed(matching_rules) if getattr(rule, key) is not None), None)
        assert getattr(found, key) == (None if last is None else getattr(last, key))
        assert said.get(key) == (None if last is None else last.name)
    mutes = next((rule for rule in reversed(matching_rules) if rule.mute is not None), None)
    assert [pattern for pattern, _ in found.mute] == list(mutes.mute or () if mutes else ())
    added = {key.removeprefix("add_channels ") for key in said if key.startswith("add_channels ")}
    assert added == set(found.add_channels)


ANY_MATCH = st.builds(
    Match,
    numbers=st.none() | st.sampled_from([("+4930*",), ("*",), ("+1*",), ("0049 30 1", "+2*"), ("+1555",)]),
    ids=st.none() | st.sampled_from([("a",), ("A", "b"), ("",)]),
    environments=st.none() | st.sampled_from([("prod",), ("test", "prod"), ()]),
    countries=st.none() | st.sampled_from([("DE",), (" us ", "de"), ("",)]),
    labels=st.none() | st.sampled_from([("VIP",), ("lab", " vip"), ()]),
    owners=st.none() | st.sampled_from([("Ann",), ("",)]),
    auto_renewal=st.sampled_from([None, None, True]),
)
ANY_SUBJECT = st.builds(
    Subject,
    environment=st.sampled_from(["prod", "test", ""]),
    id=st.none() | st.sampled_from(["a", "A", "b", ""]),
    digits=st.sampled_from(["", "1", "1555", "4930", "49301", "2"]),
    country=st.sampled_from(["", "de", "us"]),
    labels=st.sets(st.sampled_from(["vip", "lab", "x"])).map(frozenset),
    owner=st.sampled_from(["", "ann"]),
    auto_renewal=st.booleans(),
)


@QUICK
@given(st.lists(ANY_MATCH, max_size=6), ANY_SUBJECT)
def test_what_is_found_by_its_keys_is_what_fits(given_matches: list[Match], one: Subject) -> None:
    rules = [Rule(name=str(place), match=match) for place, match in enumerate(given_matches)]
    assert list(Fitting(rules).of(one)) == [rule for rule in rules if fits(rule.match, one)]


# --- thresholds of single numbers -------------------------------------------------------------------------------------

OFF: dict[str, Any] = {"auto_renewal": False}
ON: dict[str, Any] = {"auto_renewal": True}
PHONE_1 = Match(ids=("phone-1",))


def watching(*rules: Rule, **policy: Any) -> World:
    return World(Policy(rules=rules, **policy))


def way_down(world: World, first: int, last: int = 0, **changes: dict[str, Any]) -> dict[str, dict[int, list[str]]]:
    """What is told of each of some numbers on each day, polled daily, that renew ``first`` days from T0."""
    found: dict[str, dict[int, list[str]]] = {}
    for days in range(first - last + 1):
        now = T0 + days * D
        before = len(world.told)
        world.poll(now, *(phone(now, on(first), name, **one) for name, one in changes.items()))
        for alert in world.told[before:]:
            if alert.kind != "number.added":
                kept = found.setdefault(str(alert.number_id), {}).setdefault(first - days, [])
                kept.append(f"{alert.kind} {alert.severity.name}")
    return found


def test_a_number_with_a_rule_is_told_at_its_own_thresholds_and_the_others_as_ever() -> None:
    world = watching(Rule(name="early", match=PHONE_1, warn_days=(30,)))
    found = way_down(world, 40, **{"phone-1": OFF, "phone-2": OFF})
    assert found["phone-1"] == {30: ["renewal.upcoming warning"], 0: ["renewal.due critical"]}
    assert list(found["phone-2"]) == [14, 7, 3, 1, 0]


def test_without_a_rule_nobody_is_told_at_30_days() -> None:
    assert list(way_down(watching(), 40, **{"phone-1": OFF})["phone-1"]) == [14, 7, 3, 1, 0]


def test_numbers_with_auto_renewal_have_thresholds_of_their_own_by_rule() -> None:
    world = watching(
        Rule(name="early", match=PHONE_1, auto_renewal_warn_days=(20, 10)),
        Rule(name="not about them", match=Match(ids=("phone-3",)), warn_days=(25,)),
    )
    found = way_down(world, 40, **{"phone-1": ON, "phone-2": ON, "phone-3": ON})
    assert found["phone-1"] == {
        20: ["renewal.upcoming info"],
        10: ["renewal.upcoming info"],
        0: ["renewal.due info"],
    }
    assert list(found["phone-2"]) == [3, 0]
    assert list(found["phone-3"]) == [3, 0]


def test_a_rule_may_take_all_thresholds_from_numbers_with_auto_renewal_but_not_the_day_itself() -> None:
    world = watching(Rule(name="quiet", auto_renewal_warn_days=()))
    assert way_down(world, 20, **{"phone-1": ON})["phone-1"] == {0: ["renewal.due info"]}


def test_a_rule_may_warn_later_than_the_rest() -> None:
    world = watching(Rule(name="late", match=PHONE_1, warn_days=(1,)))
    assert list(way_down(world, 20, **{"phone-1": OFF})["phone-1"]) == [1, 0]


def test_a_threshold_of_a_year_is_seen_although_all_others_are_near() -> None:
    world = watching(Rule(name="year", match=PHONE_1, warn_days=(365,)))
    assert list(way_down(world, 370, 360, **{"phone-1": OFF, "phone-2": OFF})) == ["phone-1"]
    assert "number.added" in {alert.kind for alert in world.told}
    assert [alert.days_left for alert in world.told if alert.kind == "renewal.upcoming"] == [365]


@pytest.mark.parametrize(
    "extra", [{"days_until_monthly_renewal": None}, {"renewal_date": None}], ids=["date only", "countdown only"]
)
def test_a_threshold_beyond_the_common_horizon_needs_no_more_than_date_or_countdown(extra: dict[str, Any]) -> None:
    world = watching(Rule(name="early", match=PHONE_1, warn_days=(90,)))
    found = []
    for left in (92, 91, 90, 89):
        now = T0 + (92 - left) * D
        found.append(world.poll(now, phone(now, on(92), **(OFF | extra))))
    assert found == [["number.added info 92"], [], ["renewal.upcoming warning 90"], []]


def test_a_threshold_by_rule_is_reached_while_the_list_cannot_be_read() -> None:
    world = watching(Rule(name="early", match=PHONE_1, warn_days=(90,)), stale_after=30 * D)
    world.poll(T0, phone(T0, on(92), **OFF), phone(T0, on(92), "phone-2", **OFF))
    assert world.fail(T0 + D) == []
    assert world.fail(T0 + 2 * D) == ["renewal.upcoming warning 90"]
    assert world.told[-1].number_id == "phone-1"


def test_a_new_rule_is_told_once_for_what_it_reaches_already() -> None:
    world = watching()
    assert world.poll(T0, phone(T0, on(20), **OFF)) == ["number.added info 20"]
    world.policy = Policy(rules=(Rule(name="early", warn_days=(30,)),))
    assert world.poll(T0 + D, phone(T0 + D, on(20), **OFF)) == ["renewal.upcoming warning 19"]
    assert world.poll(T0 + 2 * D, phone(T0 + 2 * D, on(20), **OFF)) == []
    world.policy = Policy()
    assert world.poll(T0 + 5 * D, phone(T0 + 5 * D, on(20), **OFF)) == []
    assert world.poll(T0 + 6 * D, phone(T0 + 6 * D, on(20), **OFF)) == ["renewal.upcoming warning 14"]


def test_a_rule_by_label_holds_as_soon_as_the_inventory_says_so() -> None:
    rule = Rule(name="vip", match=Match(labels=("vip",)), warn_days=(30,))
    world = watching(rule)
    assert world.poll(T0, phone(T0, on(20), **OFF)) == ["number.added info 20"]
    world.policy = Policy(rules=(rule,), inventory={"15550000001": Record(labels=("VIP",))})
    shown = (phone(T0 + D, on(20), **OFF), phone(T0 + D, on(20), "phone-2", **OFF))
    assert world.poll(T0 + D, *shown) == ["renewal.upcoming warning 19", "number.added info 19"]


def test_a_rule_by_auto_renewal_follows_the_switch() -> None:
    world = watching(
        Rule(name="paid by hand", match=Match(auto_renewal=False), warn_days=(25,), auto_renewal_warn_days=(25,))
    )
    assert world.poll(T0, phone(T0, on(20), **ON)) == ["number.added info 20"]
    found = world.poll(T0 + D, phone(T0 + D, on(20), **OFF))
    assert [words.partition(" ")[0] for words in found] == ["auto_renewal.off"]  # which says how near renewal is
    assert world.poll(T0 + 2 * D, phone(T0 + 2 * D, on(20), **OFF)) == []


def test_of_two_rules_about_a_number_the_later_gives_its_thresholds() -> None:
    world = watching(
        Rule(name="all", warn_days=(40, 2)),
        Rule(name="one", match=PHONE_1, warn_days=(20,)),
    )
    found = way_down(world, 45, **{"phone-1": OFF, "phone-2": OFF})
    assert list(found["phone-1"]) == [20, 0]
    assert list(found["phone-2"]) == [40, 2, 0]


@pytest.mark.parametrize(
    ("rules", "horizons"),
    [
        ((), (14, 3)),
        ((Rule(name="a", warn_days=(1,), auto_renewal_warn_days=()),), (14, 3)),
        ((Rule(name="a", warn_days=(30, 90)), Rule(name="b", warn_days=(60,))), (90, 3)),
        ((Rule(name="a", auto_renewal_warn_days=(30,)),), (14, 30)),
    ],
)
def test_numbers_are_looked_at_as_early_as_any_rule_may_want(
    rules: tuple[Rule, ...], horizons: tuple[int, int]
) -> None:
    assert Policy(rules=rules).horizons == horizons
