"""Imports go down only, as docs/design.md draws them; the pure modules touch no clock, network or database."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import renewal_watch

PACKAGE = Path(renewal_watch.__file__).parent
LEVELS = {
    "errors": 0,
    "clock": 0,
    "files": 0,
    "model": 0,
    "text": 0,
    "messages": 1,
    "answers": 1,
    "account": 1,
    "entries": 1,
    "signs": 1,
    "identity": 1,
    "rules": 1,
    "config": 1,
    "schedule": 1,
    "matching": 1,
    "inventory": 1,
    "environments": 1,
    "routing": 1,
    "logs": 1,
    "talkover": 2,
    "schema": 2,
    "engine": 2,
    "rows": 2,
    "leases": 2,
    "snapshots": 2,
    "fleet": 2,
    "decisions": 2,
    "readings": 2,
    "outbox": 2,
    "hints": 2,
    "templates": 2,
    "wording": 2,
    "digest": 2,
    "store": 2,
    "views": 2,
    "copying": 2,
    "damage": 2,
    "backups": 2,
    "retention": 2,
    "channels": 2,
    "witness": 2,
    "wire": 2,
    "hooks": 2,
    "senders": 2,
    "report": 2,
    "poll": 3,
    "rates": 3,
    "upkeep": 3,
    "turn": 5,
    "selections": 2,
    "dispatch": 3,
    "presence": 3,
    "postgresql": 3,
    "follow_up": 3,
    "health": 3,
    "account_poll": 3,
    "simulator": 3,
    "canary": 4,
    "heartbeat": 4,
    "preview": 4,
    "check": 4,
    "metrics": 4,
    "deeds": 4,
    "reasons": 4,
    "intake": 2,
    "ics": 5,
    "forecast": 5,
    "export": 5,
    "systemd": 1,
    "web": 6,
    "daemon": 5,
    "demo": 6,
    "doctor": 6,
    "cli": 6,
    "__main__": 7,
    "__init__": 0,
}
SIDEWAYS = {  # within one level, in this direction only
    ("rules", "messages"),
    ("rules", "signs"),
    ("channels", "witness"),
    ("rules", "identity"),
    ("messages", "signs"),
    ("account", "signs"),
    ("model", "errors"),
    ("config", "schedule"),
    ("config", "matching"),
    ("store", "engine"),
    ("store", "schema"),
    ("store", "views"),
    ("store", "snapshots"),
    ("store", "outbox"),
    ("store", "copying"),
    ("copying", "engine"),
    ("copying", "schema"),
    ("damage", "copying"),
    ("damage", "engine"),
    ("damage", "schema"),
    ("damage", "snapshots"),
    ("damage", "store"),
    ("backups", "copying"),
    ("backups", "engine"),
    ("backups", "schema"),
    ("backups", "store"),
    ("retention", "rows"),
    ("retention", "schema"),
    ("retention", "snapshots"),
    ("retention", "store"),
    ("account", "rules"),
    ("answers", "text"),
    ("account", "messages"),
    ("readings", "decisions"),
    ("readings", "fleet"),
    ("readings", "rows"),
    ("readings", "schema"),
    ("outbox", "readings"),
    ("outbox", "rows"),
    ("outbox", "schema"),
    ("decisions", "snapshots"),
    ("decisions", "schema"),
    ("fleet", "rows"),
    ("fleet", "schema"),
    ("fleet", "selections"),
    ("fleet", "snapshots"),
    ("selections", "schema"),
    ("rows", "engine"),
    ("rows", "schema"),
    ("leases", "rows"),
    ("leases", "engine"),
    ("leases", "schema"),
    ("snapshots", "leases"),
    ("snapshots", "rows"),
    ("snapshots", "schema"),
    ("digest", "report"),
    ("rules", "matching"),
    ("routing", "config"),
    ("routing", "matching"),
    ("routing", "messages"),
    ("routing", "schedule"),
    ("inventory", "matching"),
    ("inventory", "config"),
    ("environments", "config"),
    ("wording", "templates"),
    ("talkover", "wire"),
    ("hooks", "wire"),
    ("hooks", "channels"),
    ("senders", "channels"),
    ("senders", "hooks"),
    ("daemon", "turn"),
    ("cli", "demo"),
    ("cli", "doctor"),
    ("cli", "web"),
    ("messages", "text"),
}
PURE = {
    "errors",
    "model",
    "text",
    "entries",
    "signs",
    "messages",
    "matching",
    "rules",
    "routing",
    "report",
    "digest",
    "answers",
    "account",
}
IMPURE = {
    "requests",
    "sqlalchemy",
    "apprise",
    "apscheduler",
    "socket",
    "subprocess",
    "os",
    "sqlite3",
    "time",
    "urllib3",
}
FILES = {path.stem: [path] for path in PACKAGE.glob("*.py")} | {
    path.parent.name: sorted(path.parent.rglob("*.py")) for path in PACKAGE.glob("*/__init__.py")
}  # a package counts as one module, at one level
MODULES = sorted(FILES)


@functools.cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    return tuple(node for path in FILES[module] for node in ast.walk(ast.parse(path.read_text())))


@functools.cache
def imported(module: str) -> set[str]:
    """Every module imported anywhere in ``module``, own ones as ``renewal_watch.NAME``."""
    names: set[str] = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "renewal_watch":
                names |= {f"renewal_watch.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def own(module: str) -> set[str]:
    named = {name.split(".")[1] for name in imported(module) if name.startswith("renewal_watch.")}
    return named & set(MODULES) - {module}


def test_every_module_has_its_level() -> None:
    assert set(MODULES) == set(LEVELS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module: str) -> None:
    up = {
        other
        for other in own(module)
        if LEVELS[other] > LEVELS[module] or (LEVELS[other] == LEVELS[module] and (module, other) not in SIDEWAYS)
    }
    assert up == set()


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_modules_touch_nothing(module: str) -> None:
    assert {name.split(".")[0] for name in imported(module)} & IMPURE == set()
    calls = {ast.unparse(node.func) for node in nodes(module) if isinstance(node, ast.Call)}
    assert calls & {"datetime.now", "date.today", "datetime.utcnow", "open"} == set()


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"clock"}))
def test_one_module_reads_the_clock(module: str) -> None:
    calls = {ast.unparse(node.func) for node in nodes(module) if isinstance(node, ast.Call)}
    assert calls & {"datetime.now", "date.today", "time.time"} == set()


def test_one_library_one_door() -> None:
    """Each library is imported where it is used and nowhere else."""
    doors = {
        "requests": {"talkover", "wire", "witness"},  # the last looks at those that Apprise makes
        "urllib3": {"wire"},
        "apprise": {"channels"},
        "sqlalchemy": {
            *("schema", "engine", "store", "rows", "leases", "snapshots", "fleet", "decisions", "readings", "outbox"),
            *("health", "check", "metrics", "rates", "copying", "damage", "backups", "retention"),
            *("ics", "forecast", "export", "selections"),
        },
        "alembic": {"store"},
        "apscheduler": {"daemon", "schedule"},
        "click": {"cli", "demo"},
        "pyjson5": {"talkover"},
        "prometheus_client": {"metrics"},
        "icalendar": {"ics"},
        "jinja2": {"templates", "web"},
        "starlette": {"web"},
        "uvicorn": {"web"},
        "h11": {"web"},
        "itsdangerous": {"web"},
    }
    for library, allowed in doors.items():
        users = {module for module in MODULES if any(n.split(".")[0] == library for n in imported(module))}
        assert users == allowed, library


def test_a_broad_except_stands_only_around_the_turns() -> None:
    """In the daemon's threads, around what a poll reads and judges, around one message's send and one user's template, in a plugin; nowhere else.

    Each has its reason beside it: a plugin's traceback would be read as WARNING.
    """
    found = {
        module
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.type, ast.Name)
        and node.type.id in ("Exception", "BaseException")
    }
    assert found == {"daemon", "poll", "account_poll", "presence", "dispatch", "templates", "cli"}
