"""What all on-call services share: how an incident stands, what the service was told of it, and the requests between.

A talk is a generator: it yields requests and is given the bodies of their answers. It asks nothing itself, so that each
protocol can be read, and tried, without a server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import msgspec

from renewal_watch.model.alerts import Severity
from renewal_watch.text import cut

State = Literal["open", "acknowledged", "resolved"]
SOURCE = "renewal-watch"
_HASH = 32  # characters of a digest that stands for the rest of a key


class Remote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a service knows an incident by: the key it was given, and of Alertmanager the labels, which are the identity.

    ``at`` is where: another service under the name of the same channel knows nothing.
    """

    at: str
    key: str
    labels: dict[str, str] = {}


class Told(msgspec.Struct, frozen=True):
    """What a service was told last. Not ``is_sure``: it may have been, and the answer was lost, or we ended."""

    state: State
    severity: Severity
    remote: Remote
    is_sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How an incident stands now, in the words of its channel. ``who`` acknowledged it; ``why`` nobody is to be bothered."""

    key: str
    state: State
    severity: Severity
    topic: str
    kind: str = ""
    headline: str = ""
    text: str = ""
    todo: str = ""
    environment: str = ""
    number: str | None = None
    number_id: str | None = None
    owner: str = ""
    labels: tuple[str, ...] = ()
    who: str = ""
    why: str = ""
    opened_at: datetime
    url: str = ""

    @property
    def is_gone(self) -> bool:
        """Whether there is no such incident any more: nothing is known of it but that it is over."""
        return not self.kind

    def details(self) -> dict[str, str]:
        """What a service shows beside the words, as text; nothing that is not known."""
        said = {
            "incident": self.key,
            "kind": self.kind,
            "environment": self.environment,
            "number": self.number or "",
            "number_id": self.number_id or "",
            "owner": self.owner,
            "labels": ", ".join(self.labels),
            "what to do": self.todo,
            "opened at": instant(self.opened_at),
        }
        return {name: value for name, value in said.items() if value}

    def is_to_be_opened(self, told: Told | None) -> bool:
        """Whether the service is to be told anew that it is open: it is not sure to know, or it got worse or better."""
        if told is None or not told.is_sure or told.severity != self.severity:
            return True
        return self.state == "open" and told.state != "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: ``path`` follows the address. ``wants`` is whether the body of its answer is read."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    wants: bool = False
    fine: tuple[int, ...] = ()  # statuses beside 2xx that are no fault


class By(NamedTuple):
    """What a talk goes by: what the incident is known by from now on, the key of the service, the time."""

    remote: Remote
    key: str | None
    now: datetime


Talk = Generator[Call, bytes, None]
Talker = Callable[[Report, Told | None, By], Talk]


def post(path: str, content: Any, **more: Any) -> Call:
    """A POST of JSON."""
    return Call(method="POST", path=path, body=as_json(content), **more)


def as_json(content: Any) -> bytes:
    """As it is sent."""
    return json.dumps(content, separators=(",", ":")).encode()


def instant(at: datetime) -> str:
    """A time as all of them read it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def limited(key: str, most: int) -> str:
    """``key`` in no more characters: a longer one, or one beyond ASCII, ends in a digest that no other has."""
    if len(key) <= most and key.isascii() and key.isprintable():
        return key
    plain = "".join(one if one.isascii() and one.isprintable() else "_" for one in key)
    return f"{plain[: most - _HASH - 1]}~{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASH]}"


def shortened(text: str, most: int) -> str:
    """One line of words in no more characters; never empty, which services refuse."""
    return cut(" ".join(text.split()), most) or SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One kind of on-call service. ``refresh`` is how often what holds is told again, None where once is enough."""

    talk: Talker
    key_of: Callable[[str], str]  # of the key of an incident, what the service takes as such
    labels_of: Callable[[Report, str], dict[str, str]] = lambda _report, _key: {}
    headers: Callable[[str | None], dict[str, str]] = lambda _: {}
    refresh: timedelta | None = None

    def remote(self, report: Report, told: Told | None, at: str) -> Remote:
        """What an incident is known by: its key stays, whatever the settings say later; one that is gone keeps all."""
        key = told.remote.key if told is not None else self.key_of(report.key)
        if told is not None and report.is_gone:
            return told.remote
        return Remote(at, key, self.labels_of(report, key))
