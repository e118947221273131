"""What a timer calls does all that a daemon does: the daily tasks too."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import commands
import pytest
from commands import Run
from conftest import T0, Clock
from databases import BOTH, opened
from world import World, write_config

from renewal_watch.operations import turn
from renewal_watch.operations.turn import TASKS

pytestmark = BOTH

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def configured(tmp_path: Path, address: str) -> Callable[[Path], Path]:
    def write(backups: Path) -> Path:
        path = write_config(tmp_path, address)
        path.write_text(f'{path.read_text()}\n[backup]\ndirectory = "{backups}"\n[retention]\nalerts_days = 30\n')
        return path

    return write


@pytest.fixture
def run(configured: Callable[[Path], Path], tmp_path: Path, clock: Clock) -> Run:
    return partial(commands.call, configured(tmp_path / "backups"), clock=clock)


def kept(tmp_path: Path) -> int:
    return len(list((tmp_path / "backups").glob("*.db")))


@pytest.mark.parametrize("words", [["poll"], ["poll", "--no-send"], ["send"]], ids=" ".join)
def test_the_daily_tasks_are_done_with_whatever_sends(
    run: Run, tmp_path: Path, clock: Clock, words: list[str], world: World
) -> None:
    """The first backup at once, the next one a day later."""
    world.entries[0]["current_status"] = "suspended"
    run("poll", "--no-send")
    sends = "--no-send" not in words
    assert ("backup " in run(*words).output) is sends
    assert (kept(tmp_path) if sends else not (tmp_path / "backups").exists()) == 1
    assert "backup " not in run(*words).output, "once"
    clock.on(DAY)
    said = run(*words).output
    assert ("backup " in said) is sends
    assert (kept(tmp_path) if sends else 0) == 2 * sends


def test_what_the_past_lets_go_is_gone(run: Run, clock: Clock, world: World) -> None:
    world.entries[0]["current_status"] = "suspended"
    run("poll")
    for status in ("active", "pending"):  # the last of all alerts stays
        clock.on(timedelta(hours=1))
        world.entries[0]["current_status"] = status
        run("poll")
    assert "was suspended" in run("alerts").output
    for days in (1, 40):
        clock.now = T0 + days * DAY
        assert ("deleted after its retention: " in run("poll").output) is (days > 30)
    assert "was suspended" not in run("alerts").output


def test_a_backup_that_fails_is_told_in_the_same_call(
    configured: Callable[[Path], Path], tmp_path: Path, world: World, clock: Clock
) -> None:
    path = configured(tmp_path / "no" / "such" / "folder")
    said = commands.call(path, "poll", "--json", clock=clock, code=1)
    assert "the backup failed: backup.directory" in said.stderr
    (error,) = json.loads(said.stdout)["errors"]
    assert error.startswith("the backup failed"), "and the document is whole"
    (message,) = world.messages
    assert "is tried again every hour" in str(message["message"]), "told at once, not at the next call"
    clock.on(timedelta(minutes=5))
    commands.call(path, "poll", clock=clock)
    assert len(world.messages) == 1


@pytest.mark.parametrize("words", [["poll"], ["send"]], ids=" ".join)
def test_nothing_daily_is_done_where_another_process_is_at_it(
    run: Run, tmp_path: Path, words: list[str], world: World
) -> None:
    """A daemon may be, or a second timer; what is due stays due."""
    assert world.requests == 0
    with closing(opened(tmp_path / "renewal-watch.db")) as store:
        store.upgrade()
        with store.alone("upkeep") as is_alone:
            assert is_alone
            assert "backup " not in run(*words).output
    assert "backup " in run(*words).output


def test_a_directory_that_cannot_be_looked_into_is_a_sentence(run: Run, tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "backups").write_text("no folder")
    said = run("poll", "--json", code=1)
    assert json.loads(said.stdout)["environments"][0]["polled"] is True
    assert "backup.directory" in said.stderr
    clock.on(DAY)
    assert "backup.directory" in run("poll", code=1).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")
def test_what_root_makes_by_hand_is_the_service_s(run: Run, tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    run("poll")
    folder = tmp_path / "backups"
    (made,) = folder.glob("*.db")
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (folder, made)} == {(1234, 1234)}


def test_a_daemon_and_a_command_have_the_same_tasks() -> None:
    """Who adds one adds it for both."""
    assert (*turn.SENDING, turn.UPKEEP) == TASKS
    assert [one.name for one in TASKS] == ["(canary)", "digests", "upkeep"]
