"""Documentation cannot drift: commands, keys, kinds, defaults and the tests it names are held to the code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from conftest import T0

from renewal_watch.cli import cli, contents
from renewal_watch.config.build import section_of
from renewal_watch.config.loading import load
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import metadata
from renewal_watch.model.kinds import KINDS
from renewal_watch.model.policy import Match, Rule
from renewal_watch.notify.message import wording
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import (
    Account,
    Backup,
    Canary,
    Escalation,
    Flapping,
    InventoryFile,
    Polls,
    Privacy,
    Reminders,
    Renewals,
    Retention,
)
from renewal_watch.settings.values import duration
from renewal_watch.settings.whole import File

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / "config.example.toml").read_text()


def commands(command: Any = cli, name: str = "") -> Iterator[str]:
    children = getattr(command, "commands", {})
    for child, inner in children.items():
        yield from commands(inner, f"{name} {child}".strip())
    if not children or getattr(command, "invoke_without_command", False):
        yield name


@pytest.mark.parametrize("command", sorted(commands()))
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"`(renewal-watch )?{re.escape(command)}\b", README), command


def test_the_overview_names_every_command_with_the_first_sentence_of_its_help() -> None:
    """`contents` stands apart from the commands, so that the overview can be shown without them."""
    told = {name: re.split(r"(?<=\.)(?:\s|$)", command.help or "")[0] for name, command in cli.commands.items()}
    assert told == {name: entry.line for name, entry in contents.COMMANDS.items()}
    context = click.Context(cli, **cli.context_settings)
    told = dict(record for one in cli.get_params(context) if (record := one.get_help_record(context)))
    assert {name: " ".join(line.split()) for name, line in told.items()} == contents.OPTIONS


def test_every_option_of_the_contract_is_there() -> None:
    assert {option for parameter in cli.params for option in parameter.opts} >= {
        "--config",
        "--verbose",
        "--log-format",
    }
    wanted = {
        "poll": {"--environment", "--no-send"},
        "status": {"--json", "--within", "--status", "--environment"},
        "history": {"--json"},
        "snapshot": {"--at", "--json"},
        "alerts": {"--json", "--pending", "--failed"},
        "simulator": {"--port", "--numbers", "--seed"},
    }
    for name, options in wanted.items():
        has = {option for parameter in cli.commands[name].params for option in parameter.opts}
        assert options <= has, name


def test_every_row_of_the_fault_table_names_tests_that_exist() -> None:
    defined = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    table = (ROOT / "docs" / "reliability.md").read_text().split("## What happens when")[1]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        assert set(named) <= defined, set(named) - defined


def keys(section: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(section)}


SECTIONS = (
    File,
    *(found[0] for field in msgspec.structs.fields(File) if (found := section_of(field.type)) is not None),
)


def test_the_example_shows_every_key() -> None:
    assert len(SECTIONS) > 15
    for section in SECTIONS:
        secrets = [
            key.removesuffix("_file") for key in keys(section) if f"{key.removesuffix('_file')}_env" in keys(section)
        ]
        forms = {f"{secret}{form}" for secret in secrets for form in ("", "_env", "_credential")}  # shown as a file
        for key in keys(section) - forms:
            assert re.search(rf"^(# )?\[*{key}\b", EXAMPLE, re.MULTILINE), f"{section.__name__}.{key}"
    for form in ("token_credential", "token_env", "url_credential", "url_env"):
        assert form in EXAMPLE


TOLD = {
    "reminders": Reminders,
    "escalation": Escalation,
    "flapping": Flapping,
    "inventory": InventoryFile,
    "privacy": Privacy,
    "account": Account,
    "retention": Retention,
    "backup": Backup,
    "polls": Polls,
}


def test_the_example_s_commented_blocks_are_right_when_the_marks_are_taken_off(tmp_path: Path) -> None:
    """[[rules]], [[templates]] and [canary] are shown commented out, for their values are nobody's default."""
    text = re.sub(r"^# (?=\[|\w+ = )", "", EXAMPLE, flags=re.MULTILINE)
    text = re.sub(
        r"^(proxy|ca_file|poll_cron|state_dir|url|fallback|environments|environments_dir|password_credential) = .*$",
        "",
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(
        r"(?s)match = \{(.*?)\}", r"match = { numbers = ['+4930*'], auto_renewal = true, cost_at_least = 5 }", text
    )
    others = ("ops-mail", "support-chat", "head-of-support")
    text += "".join(f'\n[[channels]]\nname = "{name}"\nurl_env = "X"\n' for name in others)
    path = tmp_path / "config.toml"
    path.write_text(text)
    read = load(path)
    assert [rule.name for rule in read.rules] == ["support-lines"]
    assert read.canary.schedule == Canary().schedule
    assert read.canary.within == Canary().within
    assert len(read.templates) == 1


def test_what_rules_match_and_templates_are_given_is_documented() -> None:
    text = (ROOT / "docs" / "telling.md").read_text()
    named = {*keys(Match), *keys(Rule), *wording._values(wording._made_up()[0], Routing(), T0)} - {"name"}
    for name in named:
        assert f"`{name}`" in text, name


def test_the_example_s_values_are_the_defaults() -> None:
    """Every line that says "default" shows it; the uncommented ones are compared with the code."""
    told = tomllib.loads(EXAMPLE)
    sections: list[tuple[type[msgspec.Struct], dict[str, Any]]] = [
        (File, {"timezone": told["timezone"]}),
        (Renewals, told["renewals"]),
        (Environment, told["environments"][0]),
        (Channel, told["channels"][0]),
        *((section, told[name]) for name, section in TOLD.items()),
    ]
    lines = {line.split("=")[0].strip(): line for line in EXAMPLE.splitlines() if "=" in line}
    for section, values in sections:
        defaults = {field.name: field for field in msgspec.structs.fields(section)}
        for key, value in values.items():
            if "# default" not in lines[key]:
                continue
            field = defaults[key]
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            if key == "poll_every":
                assert Environment(name="x", base_url="x").interval == duration(value)
                continue
            assert msgspec.json.encode(default) == msgspec.json.encode(value), key


def test_every_kind_is_documented() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text()
    for kind in KINDS:
        assert f"`{kind}`" in text, kind


def test_every_view_and_its_columns_are_documented() -> None:
    text = (ROOT / "docs" / "database.md").read_text()
    for view in ("fleet", "history", "poll_log", "outbox"):
        assert f"| `{view}` |" in text


def test_the_newest_migration_is_the_schema_s_head() -> None:
    revisions = [path.name.split("_")[0] for path in (ROOT / "migrations" / "versions").glob("*.py")]
    assert max(revisions) == HEAD


def test_migrations_and_tables_agree(tmp_path: Path) -> None:
    """Alembic finds nothing to do between the migrated database and the tables in the code."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from renewal_watch.database.store import Store

    store = Store(f"sqlite:///{tmp_path}/x.db")
    store.upgrade()
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    store.close()


def test_the_changelog_has_the_form_of_keep_a_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert "## [Unreleased]" in text
    headings = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert set(headings) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_no_lock_file_names_an_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-mcp.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")


def test_what_assistants_need_is_apart_from_the_service_and_fits_beside_it() -> None:
    service, assistants = (
        dict(re.findall(r"(?m)^([a-z0-9.-]+)==([^ ]+)", (ROOT / name).read_text()))
        for name in ("requirements.lock", "requirements-mcp.lock")
    )
    assert "mcp" in assistants
    assert not {"mcp", "pydantic"} & set(service)
    assert {name: assistants[name] for name in service if name in assistants}.items() <= service.items()


def test_click_is_told_the_documented_program_name() -> None:
    assert isinstance(cli, click.Group)
    assert 'prog_name="renewal-watch"' in (ROOT / "renewal_watch" / "cli" / "__init__.py").read_text()
