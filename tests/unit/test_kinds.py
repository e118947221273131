"""Every kind of alert is whole: one row, told somewhere, documented, and counted in a subject."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import renewal_watch
from renewal_watch.model.kinds import KINDS, OWN, ROWS, names, topics

PACKAGE = Path(renewal_watch.__file__).parent
FAMILIES = {kind.partition(".")[0] for kind in KINDS}
DOCUMENTED = (PACKAGE.parent / "docs" / "alerts.md").read_text()


@cache
def said() -> frozenset[str]:
    """Every text of the product's code that has the form of a kind, but for those of the table itself."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if path.name == "kinds.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                family = node.value.partition(".")[0]
                if family in FAMILIES and re.fullmatch(r"[a-z_]+\.[a-z_]+", node.value):
                    found.add(node.value)
    return frozenset(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_told_documented_and_counted(kind: str) -> None:
    row = ROWS[kind]
    assert kind in said(), "nothing tells it"
    rows = [line for line in DOCUMENTED.splitlines() if line.startswith("| `") and f"`{kind}`" in line.split("|")[1]]
    assert len(rows) == 1, "docs/alerts.md has one row for it"
    assert row.group
    assert row.topic or not (row.ends_with_number or row.told_if_known), "what has no topic has no end"


def test_no_kind_is_told_that_has_no_row() -> None:
    told = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                named = ast.unparse(node.func).rpartition(".")[2] in ("tell", "of_the_watch")
                words = [*(node.args[:1] if named else ()), *(one.value for one in node.keywords if one.arg == "kind")]
                told |= {one.value for one in words if isinstance(one, ast.Constant)}
    assert len(told) > len(KINDS) / 2
    assert told - set(KINDS) == set()


def test_what_is_over_with_a_number_is_nothing_of_an_account_or_the_service() -> None:
    """A topic of a number that is gone must not end one that others share."""
    elsewhere = {row.topic for row in ROWS.values() if row.about in ("list", "account", "service")}
    assert topics(ends_with_number=True) & elsewhere == set()
    assert topics(ends_with_number=True) == {
        *("renewal", "status", "price", "capability", "lapse", "last chance", "release"),
    }


def test_whatever_may_be_opened_has_an_alert_or_a_change_that_ends_it() -> None:
    """The end of a topic is an alert that always ends it, or is said where it is told."""
    ended = topics(ends=True)
    assert {"renewal", "presence", "capability", "api"} <= ended


def test_the_service_s_own_kinds_are_families_of_their_own() -> None:
    for kind, row in ROWS.items():
        assert (kind.partition(".")[0] in OWN) == (row.about == "service"), kind
    assert names(at_once=True) == {"canary.sent", "digest.sent"}
