"""Which numbers a rule or a silence is about, and what the rules together say of one number. Pure.

Rules merge in the order of the file: each sets what it gives and leaves the rest as it was. ``Effective.given`` remembers
which rule gave what, for ``explain``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from renewal_watch.model.alerts import Severity
from renewal_watch.model.kinds import OWN
from renewal_watch.model.numbers import PhoneNumber
from renewal_watch.model.policy import Match, Record, Rule, Silence

_NUMBER = re.compile(r"[0-9\s()+./-]*[0-9][0-9\s()+./-]*\*?")
_NOT_DIGITS = re.compile(r"\D+")
NOBODY = Record()
_MERGED = 1000  # sets of rules of which is remembered what they say together
_T = TypeVar("_T", Rule, Silence)


class Subject(NamedTuple):
    """What can be matched of a number; of an alert about none, only the environment."""

    environment: str
    id: str | None = None
    digits: str = ""
    country: str = ""
    type: str = ""
    capabilities: frozenset[str] = frozenset()
    auto_renewal: bool = False
    cost: Decimal | None = None
    currency: str = ""
    labels: frozenset[str] = frozenset()
    owner: str = ""


class Effective(NamedTuple):
    """What holds for one number. ``severities`` and ``mute`` are (pattern of kinds, what, name of the rule)."""

    warn_days: tuple[int, ...] | None = None  # None: as [renewals] says
    auto_renewal_warn_days: tuple[int, ...] | None = None
    severities: tuple[tuple[str, Severity, str], ...] = ()
    mute: tuple[tuple[str, str], ...] = ()
    channels: tuple[str, ...] | None = None
    add_channels: tuple[str, ...] = ()
    escalate_to: tuple[str, ...] | None = None
    owner: str | None = None
    given: tuple[tuple[str, str], ...] = ()  # (key, rule)

    def severity(self, kind: str, judged: Severity) -> Severity:
        """The severity of an alert: the last that names its kind (the watch's own by name), else as it was judged."""
        return next((given for pattern, given, _ in reversed(self.severities) if hides(pattern, kind)), judged)

    def muted_by(self, kind: str) -> str | None:
        """The rule that mutes alerts of this kind."""
        return next((rule for pattern, rule in self.mute if hides(pattern, kind)), None)


NOTHING = Effective()  # what no rule says


def digits(number: object) -> str:
    """The digits of a number however it is written: ``+49 30 123`` and ``004930123`` are one."""
    found = _NOT_DIGITS.sub("", str(number or "").replace("(0)", ""))  # of +49 (0)30, which nobody dials
    return found.removeprefix("00")


def is_number(wanted: str) -> bool:
    """Whether a rule or silence may name numbers so: digits as people write them, and a star at the end for a prefix."""
    return _NUMBER.fullmatch(wanted) is not None and digits(wanted) != ""


def subject(environment: str, number: PhoneNumber | None, inventory: Mapping[str, Record]) -> Subject:
    """``number`` as rules and silences see it."""
    if number is None:
        return Subject(environment)
    called = digits(number.number)
    record = inventory.get(called, NOBODY)
    return Subject(
        environment,
        str(number.id),
        called,
        (number.country_code or "").strip().lower(),
        (number.type or "").strip().lower(),
        number.capabilities,
        bool(number.auto_renewal),
        number.cost,
        (number.currency or "").strip().lower(),
        frozenset(label.lower() for label in record.labels),
        record.owner.lower(),
    )


def fits(match: Match, one: Subject) -> bool:
    """Whether ``match`` is about ``one``. What names numbers never fits an alert about none."""
    if match.environments is not None and one.environment not in match.environments:
        return False
    if one.id is None:
        return not names_numbers(match)
    return (
        (match.numbers is None or any(_is_called(one.digits, wanted) for wanted in match.numbers))
        and (match.ids is None or one.id in match.ids)
        and _has(match.countries, one.country)
        and _has(match.types, one.type)
        and (match.capabilities is None or not one.capabilities.isdisjoint(match.capabilities))
        and (match.labels is None or not one.labels.isdisjoint(_lowered(match.labels)))
        and _has(match.owners, one.owner)
        and (match.auto_renewal is None or match.auto_renewal == one.auto_renewal)
        and (match.cost_at_least is None or (one.cost is not None and one.cost >= match.cost_at_least))
        and (match.cost_at_most is None or (one.cost is not None and one.cost <= match.cost_at_most))
        and _has(match.currencies, one.currency)
    )


class Fitting(Generic[_T]):
    """Rules or silences, found by what a number must have to fit one: of thousands few are looked at."""

    def __init__(self, those: Iterable[_T]) -> None:
        self.those: tuple[_T, ...] = tuple(those)
        self.merged: dict[tuple[int, ...], Effective] = {}  # what rules say together; most numbers fit the same ones
        self._by: dict[tuple[str, str], list[int]] = {}
        self._only: set[int] = set()  # those that ask for nothing else than what they are found by
        for place, one in enumerate(self.those):
            name, values = _needed(one.match)
            for value in values:
                self._by.setdefault((name, value), []).append(place)
            if name and one.match == Match(**{name: getattr(one.match, name)}):
                self._only.add(place)
        self._lengths = {len(value) - 1 for name, value in self._by if name == "numbers" and value.endswith("*")}

    def __bool__(self) -> bool:
        return bool(self.those)

    def places(self, one: Subject) -> tuple[int, ...]:
        """Which of them fit, in their order."""
        had = [("", ""), ("ids", one.id or ""), ("numbers", one.digits), ("owners", one.owner)]
        had += [("countries", one.country), ("environments", one.environment)]
        had += [("numbers", one.digits[:length] + "*") for length in self._lengths if length <= len(one.digits)]
        had += [("labels", label) for label in one.labels]
        found = {place for key in had for place in self._by.get(key, ())}
        only = self._only if one.id is not None and one.digits else ()
        return tuple(place for place in sorted(found) if place in only or fits(self.those[place].match, one))

    def of(self, one: Subject) -> Iterator[_T]:
        """Those that fit, in their order."""
        return (self.those[place] for place in self.places(one))


def _needed(match: Match) -> tuple[str, Iterable[str]]:
    """A key of the match and the values of which a number must have one; what the fewest have goes first."""
    if match.numbers is not None:
        return "numbers", {digits(one) + "*" * one.endswith("*") for one in match.numbers}
    for name in ("ids", "labels", "owners", "countries", "environments"):
        wanted = getattr(match, name)
        if wanted is not None:
            as_they_are = name in ("ids", "environments")
            return name, set(wanted) if as_they_are else _lowered(wanted)
    return "", [""]


@lru_cache(maxsize=256)
def names_numbers(match: Match) -> bool:
    """Whether it can fit numbers only, and nothing about an environment as a whole."""
    return match != Match(environments=match.environments)


def _has(wanted: tuple[str, ...] | None, value: str) -> bool:
    return wanted is None or value in _lowered(wanted)


@lru_cache(maxsize=4096)
def _lowered(wanted: tuple[str, ...]) -> frozenset[str]:
    return frozenset(one.strip().lower() for one in wanted)


@lru_cache(maxsize=4096)
def _is_called(called: str, wanted: str) -> bool:
    if wanted.endswith("*"):
        return called.startswith(digits(wanted))
    return called != "" and called == digits(wanted)


def hides(pattern: str, kind: str) -> bool:
    """Whether a mute, a silence or a severity of ``pattern`` is about ``kind``: what the watch says of itself must be named."""
    first = kind.partition(".")[0]
    return fnmatchcase(kind, pattern) and (first not in OWN or pattern.partition(".")[0] == first)


def is_silenced(kinds: tuple[str, ...], kind: str) -> bool:
    """Whether a silence of ``kinds`` (none: all about numbers) is about ``kind``."""
    return any(hides(pattern, kind) for pattern in kinds or ("*",))


def is_about_the_watch(kinds: Sequence[str]) -> bool:
    """Whether a silence of these kinds is about the service itself, and about no number."""
    return bool(kinds) and all(kind.partition(".")[0] in OWN for kind in kinds)


def effective(rules: Fitting[Rule], one: Subject) -> Effective:
    """What all rules that match ``one`` say together."""
    places = rules.places(one)
    found = rules.merged.get(places)
    if found is None:
        if len(rules.merged) >= _MERGED:
            rules.merged.clear()
        found = rules.merged[places] = _merged([rules.those[place] for place in places])
    return found


def _merged(rules: Iterable[Rule]) -> Effective:
    said: dict[str, object] = {}
    severities: list[tuple[str, Severity, str]] = []
    added: list[str] = []
    given: dict[str, str] = {}
    for rule in rules:
        for key in ("warn_days", "auto_renewal_warn_days", "channels", "escalate_to", "owner"):
            value = getattr(rule, key)
            if value is not None:
                said[key] = value
                given[key] = rule.name
        if rule.channels is not None:
            for name in added:
                given.pop(f"add_channels {name}", None)
            added = []
        for kind, severity in rule.severities.items():
            severities.append((kind, Severity[severity], rule.name))
            given[f"severities {kind}"] = rule.name
        if rule.mute is not None:
            said["mute"] = tuple((pattern, rule.name) for pattern in rule.mute)
            given["mute"] = rule.name
        for name in rule.add_channels:
            added.append(name)
            given[f"add_channels {name}"] = rule.name
    if not given:
        return NOTHING
    return Effective(severities=tuple(severities), add_channels=tuple(added), given=tuple(given.items()), **said)  # type: ignore[arg-type]
