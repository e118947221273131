"""The seam: a provider is a module and a line, and all the rest speaks of it as of the first one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from click.testing import CliRunner
from conftest import T0
from receivers import Answer, HttpReceiver, http_receiver

from renewal_watch.cli import cli
from renewal_watch.settings import environment

CONFIG = """
timezone = "UTC"
state_dir = "{state}"
[account]
releases = false
topup = false
balance = false
agents = false
[[environments]]
name = "lines"
provider = "{provider}"
base_url = "http://127.0.0.1:{port}"
token = "of no use"
[[channels]]
name = "chat"
url = "json://127.0.0.1:{port}/chat"
"""


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    monkeypatch.setitem(environment.PROVIDERS, "lines", "second_provider")
    with http_receiver() as receiver:
        yield receiver


def called(tmp_path: Path, port: int, *words: str, provider: str = "lines") -> tuple[int, str]:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(state=tmp_path, provider=provider, port=port))
    path.chmod(0o600)
    done = CliRunner().invoke(cli, ["--config", str(path), *words], prog_name="renewal-watch", obj=commands.Clock(T0))
    return done.exit_code, done.output


def test_numbers_of_another_provider_are_watched_like_any(provider: HttpReceiver, tmp_path: Path) -> None:
    text = "4930111;up;2026-11-24;1.50\n4930112;up;2027-03-01;2\n"
    told: list[str] = []

    def answer(request: object) -> Answer:
        path, body = request.path, request.body  # type: ignore[attr-defined]
        if path == "/chat":
            told.append(json.loads(body)["message"])
            return Answer(200, b"{}")
        assert path == "/lines.txt"
        return Answer(200, text.encode())

    provider.answer = answer
    assert called(tmp_path, provider.port, "poll")[0] == 0
    assert len(told) == 1
    assert "+4930111 (lines) will be lost in 1 day, on Tue 24 Nov 2026" in told[0]
    assert "1.50 EUR" in told[0]
    text = "4930111;blocked;2026-11-24;1.50\n4930112;up;2027-03-01;2\n"
    assert called(tmp_path, provider.port, "poll")[0] == 0
    assert "+4930111 (lines) is suspended; it was active before" in told[1]
    code, said = called(tmp_path, provider.port, "status", "--json")
    assert code == 0
    assert {one["number"]: one["status"] for one in json.loads(said)["numbers"]} == {
        "+4930111": "suspended",
        "+4930112": "active",
    }
    code, said = called(tmp_path, provider.port, "explain", "4930111")
    assert code == 0
    assert "2026-11-24" in said or "24 Nov 2026" in said


def test_its_outage_is_an_outage(provider: HttpReceiver, tmp_path: Path) -> None:
    provider.answer = lambda _: Answer(500)
    code, said = called(tmp_path, provider.port, "poll", "--no-send")
    assert code == 1
    assert "the lines cannot be read" in said


def test_a_provider_that_nobody_knows_is_named_with_its_key(provider: HttpReceiver, tmp_path: Path) -> None:
    code, said = called(tmp_path, provider.port, "config", "check", provider="lins")
    assert code == 78
    assert "environments.lines.provider: 'lins' is not known; write one of lines, talkover" in said
