"""What lies in monitoring/ works with Prometheus, and speaks of metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import T0
from promtool import promtool
from watched import CHANNEL, Watched, one

from renewal_watch.diagnostics import metrics

ROOT = Path(__file__).parents[2]
HERE = ROOT / "monitoring"
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
DASHBOARD = json.loads((HERE / "grafana-dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((HERE / "rules.yml").read_text())["groups"] for rule in group["rules"]]
TESTS = (HERE / "rules.test.yml").read_text()
OWN = re.compile(r"\brenewal_watch_\w+")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names of all samples and the labels of each, from the declarations and samples of a database with content."""
    watch = Watched(tmp_path_factory.mktemp("monitoring"))
    watch.poll(one(0, 2), one(1, 5, auto_renewal=True), at=T0)
    with watch.reading() as tx:
        text = metrics.exposition(tx, watch.settings, T0).decode()
    watch.store.close()
    found: dict[str, set[str]] = {name: set() for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found[name] |= set(re.findall(r'(\w+)="', labels))
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of the dashboard with its panel, variables filled in."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$environment", ".*").replace("$__rate_interval", "5m")


def documented() -> dict[str, set[str]]:
    """The metrics of the page with their labels."""
    rows = re.findall(r"^\| `(renewal_watch_\w+)` \|([^|]*)\|", PAGE, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


# --- rules ------------------------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_in_the_rules() -> None:
    code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", HERE / "rules.yml")
    assert code == 0, said
    assert f"{len(RULES)} rules found" in said


def test_every_rule_passes_its_unit_tests() -> None:
    code, said = promtool("test", "rules", HERE / "rules.test.yml")
    assert code == 0, said


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_test_a_severity_and_words_on_what_to_do(rule: dict[str, Any]) -> None:
    well, *bad = TESTS.split("\n  - name: ")[1:]
    assert all(
        name in well for name in re.findall(r"\b(?:renewal_watch|node)_\w+", rule["expr"])
    )  # and it does not fire
    assert any(re.search(rf"alertname(: |=\"){rule['alert']}\b", test) for test in bad)
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["alert"] in PAGE
    placeholders = re.findall(r"\{\{(.*?)\}\}", " ".join(rule["annotations"].values()))
    assert all(re.fullmatch(r" \$(labels\.\w+|value( \| humanizeDuration)?) ", one) for one in placeholders)


def test_the_commands_that_alerts_name_exist() -> None:
    from renewal_watch.cli import contents

    said = " ".join(" ".join(rule["annotations"].values()) for rule in RULES)
    named = set(re.findall(r"renewal-watch ([a-z-]+)", said)) - {"and", "gives", "could"}
    assert named <= set(contents.COMMANDS), named - set(contents.COMMANDS)


# --- dashboard --------------------------------------------------------------------------------------------------------


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "environment"]
    assert variables["environment"]["allValue"] == ".*"
    panels = DASHBOARD["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(refs)) == len(refs)


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_promtool_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{count}", "expr": expr} for count, (_, expr) in enumerate(expressions())]
    path = tmp_path / "dashboard.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, said = promtool("check", "rules", path)
    assert code == 0, said
    assert f"{len(rules)} rules found" in said
    assert "$" not in path.read_text()


# --- names ------------------------------------------------------------------------------------------------------------


def test_rules_dashboard_and_page_name_only_metrics_and_labels_that_there_are(exported: dict[str, set[str]]) -> None:
    given = [rule["expr"] for rule in RULES] + [expr for _, expr in expressions()]
    given.append(DASHBOARD["templating"]["list"][1]["definition"])
    for text in (*given, TESTS, PAGE, (HERE / "rules.yml").read_text()):
        assert set(OWN.findall(text)) <= set(exported), set(OWN.findall(text)) - set(exported)
    labels_of = documented()
    for text in given:
        for name, labels in re.findall(r"(renewal_watch_\w+)\{([^}]*)\}", text):
            used = set(re.findall(r"(\w+)(?:=~|!=|!~|=)", labels))
            assert used <= labels_of[name], (name, used)


def test_every_metric_is_documented_with_its_labels(exported: dict[str, set[str]]) -> None:
    rows = documented()
    assert set(rows) == set(exported)
    assert {name: rows[name] for name, labels in exported.items() if labels} == {
        name: labels for name, labels in exported.items() if labels
    }


def test_the_values_of_labels_that_rules_compare_with_are_exported(tmp_path: Path) -> None:
    watch = Watched(tmp_path, CHANNEL)
    watch.poll(one(0, 2), one(1, 90, current_status="suspended"), at=T0)
    with watch.reading() as tx:
        text = metrics.exposition(tx, watch.settings, T0).decode()
    watch.store.close()
    wanted = set()
    for rule in RULES:
        wanted |= set(re.findall(r'(\w+="[^"]*")', rule["expr"]))
    assert all(one in text for one in wanted), [one for one in wanted if one not in text]
