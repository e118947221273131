"""Answers, configurations and command lines that are odd at random: each ends in an outcome, and what is kept can be read.

A small round runs in `make test`, the same each time; ``--rounds`` and ``--seed`` make it long and another one.
"""

from __future__ import annotations

import copy
import json
import logging
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import commands
import pytest
from conftest import T0
from databases import copied, opened, path_of
from made_up import entry
from rounds import Chosen, note, rounds

from renewal_watch.channels.senders import channel_faults
from renewal_watch.cli import cli
from renewal_watch.config.loading import load
from renewal_watch.config.secret_checks import secret_faults
from renewal_watch.database.store import Store
from renewal_watch.errors import ConfigError
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.provider import http
from renewal_watch.provider.http import Answer
from renewal_watch.provider.talkover.client import Client
from renewal_watch.settings.environment import Environment
from renewal_watch.store import fleet
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import history_of, snapshot_at
from renewal_watch.store.maintenance import integrity
from renewal_watch.store.numbers import fleet_of
from renewal_watch.store.outbox.alerts import list_alerts

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"
ENVIRONMENT = Environment(name="production", base_url="http://127.0.0.1:1/api/v1", token="talq_x", poll_jitter="0s")
ODD_JSON = (
    *("null", '""', '"x"', "0", "-1", "1.5", "1e308", "1e400", "-0.0", "true", "{}", "[]", "[[]]", '{"a":1}', "NaN"),
    *('"1,50"', '"$1.00"', '"0000-00-00"', '"2026-13-45"', '"31/12/2026"', '"2026-12-01T23:00:00-08:00"', "1764547200"),
    *('"\\ud800"', '"\\u0000"', '"\ufeff"', '"+1 (555) 000"', '"suspended"', '" active "', '"no"', "[1,2,3]", "-99999"),
    "9" * 400,
    "9" * 6000,
    '"' + "long " * 2000 + '"',
    "[" * 60 + "]" * 60,
    '{"a":' * 40 + "1" + "}" * 40,
)
ODD_BYTES = (b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xc3(", b"}", b"{", b"]", b",", b'"', b"\\", b"\n", b"<html>", b"//")
STATUSES = (*([200] * 40), 201, 204, 301, 401, 403, 404, 408, 418, 422, 429, 500, 502, 503)
HEADERS = (
    *({"Retry-After": said} for said in ("1", "-1", "1e9", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400)),
    *({"X-RateLimit-Reset": "1764547200"}, {"Date": "Wed, 31 Feb 2026 99:00:00 GMT"}, {"Location": "http://[::1"}),
)


# --- answers ----------------------------------------------------------------------------------------------------------


def good(day: int) -> dict[str, Any]:
    """An answer as documented; the numbers renew in turn."""
    those = [entry(f"phone-{i}", days_until_monthly_renewal=(i * 7 - day) % 30) for i in range(4)]
    return {"success": True, "data": those, "meta": {"total": len(those), "last_page": 1, "current_page": 1}}


def odd_body(chance: random.Random, day: int) -> bytes:
    """A documented answer with some of it changed: values, keys, entries, bytes."""
    said = good(day)
    holes: list[str] = []
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        those = said.get("data")
        target = chance.choice((*(those if isinstance(those, list) else ()), said, said.get("meta")))
        if not isinstance(target, dict) or not target:
            continue
        key = chance.choice(list(target))
        match chance.randrange(8):
            case 0:
                del target[key]
            case 1:
                target[f"{key}_of_another_release"] = target.pop(key)
            case 2:
                target[chance.choice(list(entry()))] = target[key]
            case 3 if isinstance(those, list) and those:
                those.append(copy.deepcopy(chance.choice(those)))
            case _:
                holes.append(chance.choice(ODD_JSON))
                target[key] = f"hole-{len(holes)}-"
    text = json.dumps(said)
    for place, value in enumerate(holes, 1):
        text = text.replace(f'"hole-{place}-"', value)
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    if chance.random() < 0.3:
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(len(body) + 1)
            length = chance.choice((0, 0, 1, 5))
            body[at : at + length] = chance.choice(ODD_BYTES)
    if chance.random() < 0.05:
        del body[chance.randrange(len(body) + 1) :]
    return bytes(body)


def assert_readable(store: Store) -> None:
    """What is kept can be read by whoever shows it."""
    assert integrity.look(store) == []
    with store.reading() as tx:
        for pk, watch, _ in environment_states(tx):
            list(fleet.every(tx, [watch.name]))
            snapshot_at(tx, pk, T0 + timedelta(days=10_000))
            for known in fleet_of(tx, pk).values():
                history_of(tx, known, pk)
        list_alerts(tx)


@pytest.fixture
def store(empty: Path, tmp_path: Path) -> Iterator[Store]:
    made = opened(copied(empty, tmp_path / "renewal-watch.db"))
    yield made
    made.close()


def test_no_answer_breaks_a_poll_or_is_kept_unreadable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every poll has an outcome, and a documented answer is always taken again."""
    count, chance = rounds(300), random.Random(Chosen.seed)
    logging.disable()  # a line for each would be the longest part of a failure
    given = Answer(status=200, headers={}, body=bytearray())
    monkeypatch.setattr(http, "ask", lambda *_: given)
    source = Client.of(ENVIRONMENT, lambda _: None)
    outcomes: Counter[str] = Counter()
    broken: list[str] = []
    for number in range(count):
        now = T0 + number * timedelta(minutes=20)
        is_good = number % 10 == 9
        body = json.dumps(good(number // 72)).encode() if is_good else odd_body(chance, number // 72)
        status = 200 if is_good else chance.choice(STATUSES)
        headers = {} if is_good or chance.random() < 0.9 else chance.choice(HEADERS)
        given = Answer(status=status, headers=headers, body=bytearray(body))
        try:
            done = poll.run_once(store, ENVIRONMENT, source, Policy(), Routing(), lambda now=now: now)
        except Exception as error:
            broken.append(f"round {number}: {type(error).__name__}: {str(error)[:80]}: {body[:3000]!r}")
            continue
        assert not is_good or done.error is None, (number, done.error)
        outcomes["refused" if done.error else "taken"] += 1
        if number % 1000 == 999 or number == count - 1:
            assert_readable(store)
    assert broken == [], f"{len(broken)} of {count}, the first:\n" + "\n".join(broken[:5])
    note("fuzzed answers", count, f"{outcomes['taken']:,} taken, {outcomes['refused']:,} refused in a sentence")


# --- configurations ---------------------------------------------------------------------------------------------------

ODD_TOML = (
    '""',
    '"x"',
    "0",
    "-1",
    "1.5",
    "true",
    "[]",
    "{}",
    '"1h"',
    '"daily 25:00"',
    "1e400",
    '"\\u0000"',
    "nan",
    "'''",
    "=",
)


def odd_configuration(chance: random.Random) -> str:
    """The example with lines changed, left out, doubled, moved or opened."""
    lines = EXAMPLE.read_text().splitlines()
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(lines))
        match chance.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                lines[at] = lines[at].removeprefix("# ")
            case _:
                key, sign, _ = lines[at].partition("=")
                lines[at] = f"{key}{sign} {chance.choice(ODD_TOML)}" if sign else chance.choice(ODD_TOML)
    return "\n".join(lines)


def test_every_configuration_is_right_or_has_its_faults_named(tmp_path: Path) -> None:
    count, chance = rounds(150), random.Random(Chosen.seed)
    path = tmp_path / "config.toml"
    path.touch(mode=0o600)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        text = odd_configuration(chance)
        path.write_text(text)
        try:
            found = load(path)
            faults = tuple(secret_faults(found) or channel_faults(found))
            outcomes["right"] += 1
        except ConfigError as error:
            faults = error.faults
            assert faults
            outcomes["refused"] += 1
        except Exception as error:
            pytest.fail(f"round {number}: {type(error).__name__}: {error}\n{text}")
        for fault in faults:
            assert fault.strip(), text
            assert "Traceback" not in fault, fault
    note(
        "fuzzed configurations", count, f"{outcomes['right']:,} right, {outcomes['refused']:,} with their faults named"
    )


# --- command lines ----------------------------------------------------------------------------------------------------

LASTING = {"run", "web", "simulator", "demo"}  # they go on until they are told to end, or take seconds
ODD_WORDS = (
    *(
        "",
        " ",
        "-",
        "--",
        "0",
        "-1",
        "1e9",
        "9" * 30,
        "phone-1",
        "+15550000001",
        "+1555*",
        "production",
        "ops",
        "*",
        "%",
    ),
    *(
        "2026-11-23",
        "2026-02-30",
        "9999-12-31",
        "1h",
        "0s",
        "999999d",
        "critical",
        "a\nb",
        "ä",
        "../x",
    ),
    *("json", "csv", "jsonl", "text", "/", "no/such/file", "{}", "'; DROP TABLE numbers; --"),
)

NO_TEXT = "\udcff"  # a byte that is not UTF-8, as Python reads it; as a path it would be right


def tree(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it, in one order whatever this process has called before."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            if name not in LASTING or words:
                yield from tree(inner, (*words, name))
    if words and (not isinstance(command, click.Group) or command.invoke_without_command):
        yield words, command


def odd_line(chance: random.Random, those: list[tuple[tuple[str, ...], click.Command]]) -> list[str]:
    """A command with some of its options and arguments, most with a value that fits nobody."""
    called, command = chance.choice(those)
    words = list(called)
    for parameter in command.params:
        if chance.random() < 0.6:
            continue
        if isinstance(parameter, click.Option):
            words.append(chance.choice(parameter.opts))
            if parameter.is_flag or parameter.count or chance.random() < 0.05:
                continue
        word = chance.choice(ODD_WORDS)
        words.append(NO_TEXT if word == "ä" and not isinstance(parameter.type, click.Path) else word)
    if chance.random() < 0.1:
        words.insert(chance.randrange(len(words) + 1), chance.choice(ODD_WORDS))
    return words


def test_every_command_line_ends_with_a_sentence(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit codes are those that are documented, and nobody is shown a traceback."""
    count, chance = rounds(150), random.Random(Chosen.seed)
    monkeypatch.chdir(tmp_path)
    those = list(tree(cli))
    database = path_of(store)
    config_path = tmp_path / "config.toml"
    text = (
        f'state_dir = "{tmp_path}"\n[[environments]]\nname = "production"\nbase_url = "http://127.0.0.1:1/api/v1"\n'
        'token = "talq_x"\n[[channels]]\nname = "ops"\nwebhook = "http://127.0.0.1:1/x"\n'
    )
    store.close()
    shutil.copy(database, tmp_path / "kept.db")
    codes: Counter[int] = Counter()
    for number in range(count):
        if number % 50 == 0:
            shutil.copy(tmp_path / "kept.db", database)
        config_path.write_text(text)
        config_path.chmod(0o600)
        words = odd_line(chance, those)
        done = commands.call(config_path, *words, code=None)
        assert done.exit_code in (0, 1, 2, 3, 78), (words, done.output)
        codes[done.exit_code] += 1
    said = ", ".join(f"{times:,} with {code}" for code, times in sorted(codes.items()))
    note("fuzzed arguments", count, f"ended {said}")
