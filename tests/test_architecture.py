"""Imports go down only, folder by folder, in the order that docs/design.md lists; the pure folders touch nothing outside."""

from __future__ import annotations

import ast
import functools
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import renewal_watch

PACKAGE = Path(renewal_watch.__file__).parent
DESIGN = PACKAGE.parent / "docs" / "design.md"
MOST_FILES = 13  # in one folder, its __init__ included
PURE = ("model", "schedule", "alerts", "detect", "account", "notify", "notify/message", "channels/oncall")
IMPURE = {
    "requests",
    "sqlalchemy",
    "apprise",
    "socket",
    "subprocess",
    "os",
    "sqlite3",
    "time",
    "urllib3",
}
CHILD = "notify.message.templates"  # the user's templates are tried in a process of their own
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
MODULES = sorted(FILES)


def order() -> list[str]:
    """The folders as docs/design.md lists them, from the lowest to the highest; "" is the package itself."""
    listing = DESIGN.read_text().split("```listing\n")[1].split("```")[0]
    return [re.split(r"/?\s", line)[0].rstrip("/").replace("renewal_watch", "") for line in listing.splitlines()]


def folder(module: str) -> str:
    """``provider/talkover`` of ``provider.talkover.client``, "" of a module of the package itself."""
    parent = FILES[module].parent.relative_to(PACKAGE)
    return "" if parent == Path() else str(parent)


@functools.cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(FILES[module].read_text())))


@functools.cache
def imported(module: str) -> frozenset[str]:
    """Every module imported anywhere in ``module``, own ones as ``renewal_watch.NAME``."""
    names: set[str] = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if name.removeprefix("renewal_watch.") in FILES}
            names |= modules or {node.module}
    return frozenset(names)


def own(module: str) -> set[str]:
    return {name.removeprefix("renewal_watch.") for name in imported(module) if name.startswith("renewal_watch.")}


def test_every_folder_has_its_place() -> None:
    folders = {folder(module) for module in MODULES}
    assert sorted(order()) == sorted(folders)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "__main__"])
def test_imports_go_down(module: str) -> None:
    floors = {name: floor for floor, name in enumerate(order())}
    up = {other for other in own(module) if floors[folder(other)] > floors[folder(module)]}
    assert up == set()


def test_imports_go_in_no_circle() -> None:
    graph = {module: own(module) - {module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_no_folder_is_a_heap() -> None:
    sizes = {name: sum(folder(module) == name for module in MODULES) for name in order()}
    assert {name: size for name, size in sizes.items() if size > MOST_FILES and name != "cli"} == {}


PURE_MODULES = [module for module in MODULES if folder(module) in PURE and module != CHILD]


@pytest.mark.parametrize("module", PURE_MODULES)
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
        "requests": {"provider.http", "provider.talkover.client", "channels.witness"},  # the last looks at Apprise's
        "urllib3": {"provider.http"},
        "apprise": {"channels.apprise_child"},
        "alembic": {"database.store"},
        "apscheduler": {"daemon.ticker"},
        "cronsim": {"schedule.cron"},
        "pyjson5": {"provider.talkover.decode"},
        "prometheus_client": {
            "diagnostics.metrics",
            "diagnostics.metrics_base",
            "diagnostics.metrics_fleet",
            "diagnostics.metrics_service",
        },
        "icalendar": {"reports.calendar"},
        "jinja2": {"notify.message.templates", "web.layout"},
        "authlib": {"web.access.oidc"},
        "joserfc": {"web.access.oidc"},
        "jsonschema": {"web.api.tools"},
        "h11": {"web.serve"},
        "itsdangerous": {"alerts.answers", "web.access.sessions"},
        "mcp": {"mcp.server"},
        "anyio": {"mcp.server", "web.serve"},
    }
    for library, allowed in doors.items():
        users = {module for module in MODULES if any(n.split(".")[0] == library for n in imported(module))}
        assert users == allowed, library
    folders = {
        "click": {"cli"},
        "starlette": {"web", "web/access"},
        "uvicorn": {"web"},
        "sqlalchemy": {
            "database",
            "store",
            "store/access",
            "store/incidents",
            "store/outbox",
            "store/renewals",
            "store/maintenance",
        },
    }
    for library, within in folders.items():
        users = {folder(module) for module in MODULES if any(n.split(".")[0] == library for n in imported(module))}
        assert users == within, library


def test_a_broad_except_stands_only_around_the_turns() -> None:
    """In the daemon's threads, around what a poll reads and judges, around one message's send and one user's template, in a plugin, around an assistant's call; nowhere else.

    Each has its reason beside it: a plugin's traceback would be read as WARNING, the words of any error go to an assistant.
    """
    found = {
        module
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.type, ast.Name)
        and node.type.id in ("Exception", "BaseException")
    }
    assert found == {
        *(
            "daemon.membership",
            "daemon.polls",
            "daemon.running",
            "daemon.trouble",
            "daemon.workers",
            "operations.poll",
            "operations.account_poll",
            "operations.dispatch",
        ),
        *("notify.message.templates", "cli.plugin", "cli.watching", "mcp.server"),
    }


SENTENCE = re.compile(r"[A-Za-z]+ [a-z]+ [a-z]+")


@pytest.mark.parametrize("module", [name for name in MODULES if folder(name) in ("detect", "account")])
def test_judges_say_what_happened_and_no_words(module: str) -> None:
    """What they give are facts; sentences are made of them in ``alerts/``."""
    spoken = {id(node.value) for node in nodes(module) if isinstance(node, ast.Expr)}  # docstrings
    said = [
        node.value
        for node in nodes(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken
    ]
    assert [text for text in said if SENTENCE.search(text)] == []
