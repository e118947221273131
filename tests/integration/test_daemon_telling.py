"""What the daemon makes of who is told and when while it runs: inventory, reload, canary, the turn of time, templates.

A real daemon in a thread, with a provider and a receiver on loopback; its clock is put on by the test, so that days pass.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import T0
from databases import EITHER, close
from world import World, serving, write_config

from renewal_watch.channels import senders
from renewal_watch.config.loading import load
from renewal_watch.daemon import daemon, ticker, workers
from renewal_watch.daemon.daemon import Daemon
from renewal_watch.database.store import Store
from renewal_watch.model.policy import Match
from renewal_watch.store.environments import environment_states
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.outbox.alerts import list_alerts
from renewal_watch.store.outbox.waiting import held_deliveries

pytestmark = EITHER

PATIENCE_S = 90.0
HELD = 'digest = "weekly sun 23:59"\ncritical_at_once = false\n'  # nothing is sent, which saves a child process


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it never came"
        threading.Event().wait(0.01)


class House:
    """A configuration that may be written anew, its database, and the daemon that reads both."""

    def __init__(self, folder: Path, address: str, channel: str = "", tables: str = "") -> None:
        self.folder = folder
        self.address = address
        self.write(channel, tables)
        settings = load(self.path)
        self.store = Store(settings.database_url, is_simulated=True)
        self.store.upgrade()
        began = time.monotonic()
        self.offset = timedelta()
        self.daemon = Daemon(
            settings, self.store, lambda: T0 + self.offset + timedelta(seconds=time.monotonic() - began)
        )
        self.thread = threading.Thread(target=self.daemon.run)

    def write(self, channel: str = "", tables: str = "") -> None:
        self.path = write_config(self.folder, self.address)
        self.path.write_text(f"{self.path.read_text()}{channel}\n{tables}\n")

    def __enter__(self) -> Daemon:
        self.thread.start()
        until(lambda: self.daemon.ticker.scheduler)
        return self.daemon

    def __exit__(self, *_: object) -> None:
        if self.thread.ident:
            self.daemon.stopping.set()
            self.thread.join()
        self.daemon.polls.pool.shutdown(wait=True)
        self.daemon.polls.account_pool.shutdown(wait=True)
        close(self.store)

    def alerts(self, kind: str = "") -> list[dict[str, Any]]:
        """The alerts on record, oldest first."""
        with self.store.transaction() as tx:
            return [one for one in reversed(list_alerts(tx)) if one["kind"].startswith(kind)]

    def is_polled(self) -> bool:
        with self.store.transaction() as tx:
            return any(watch.has_baseline for _, watch, _ in environment_states(tx))

    def put_on(self, **length: float) -> None:
        self.offset += timedelta(**length)


Build = Callable[..., House]


@pytest.fixture
def build(tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    monkeypatch.setattr(daemon.signal, "signal", lambda *_: None)
    monkeypatch.setattr(ticker, "TICK_S", 0.05)
    monkeypatch.setattr("renewal_watch.daemon.membership.BEAT_S", 0.05)
    monkeypatch.setattr("renewal_watch.daemon.turns.REFRESH_S", 0.1)
    monkeypatch.setattr(workers, "IDLE_S", 0.1)
    with serving(world) as address:
        yield lambda **given: House(tmp_path, address, **given)


# --- the inventory ----------------------------------------------------------------------------------------------------


def test_the_inventory_is_read_again_when_it_changes_and_only_then(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text("number,owner\n+15550000001,Ann\n")
    house = build(channel=HELD, tables=f'[inventory]\nfile = "{file}"\n')
    with_house = house.daemon
    first = with_house.routing()
    assert first.inventory["15550000001"].owner == "Ann"
    assert with_house.routing() is first
    file.write_text("number,owner\n+15550000001,Bob\n+15550000002,Cem\n")
    second = with_house.routing()
    assert [one.owner for one in second.inventory.values()] == ["Bob", "Cem"]
    assert second.mark != first.mark, "what was hidden by the old one is looked at again"
    file.write_text("number,owner\nno number,Bob\n+15550000002,Dee\n")
    third = with_house.routing()
    assert {key: one.owner for key, one in third.inventory.items()} == {"15550000001": "Bob", "15550000002": "Dee"}
    (fault,) = with_house.inventory.faults
    assert "line 2" in fault
    file.unlink()
    assert with_house.routing().inventory == third.inventory, "a file that is gone leaves what was known"
    assert with_house.inventory.faults
    house.__exit__()


def test_a_new_owner_stands_in_the_next_alert_and_a_bad_line_is_told_until_it_is_mended(
    build: Build, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text("number,owner,labels\n+15550000001,Ann,\n")
    rule = '[[rules]]\nname = "lab"\nmatch = { labels = ["lab"] }\nmute = ["status.*"]\n'
    house = build(channel=HELD, tables=f'[inventory]\nfile = "{file}"\n{rule}')
    with house:
        until(house.is_polled)
        world.entries[1]["current_status"] = "suspended"
        house.put_on(hours=2)
        until(lambda: house.alerts("status."))
        assert "Ann" in house.alerts("status.")[0]["text"]
        file.write_text("number,owner,labels\n+15550000001,Ann,lab\nbroken,Bob,\n+15550000002,Bob,\n")
        until(lambda: house.alerts("inventory."))
        world.entries[1]["current_status"] = "pending"
        world.entries[2]["current_status"] = "pending"
        house.put_on(hours=2)
        until(lambda: len(house.alerts("status.")) == 3)
        muted, bobs = sorted(house.alerts("status.")[1:], key=lambda one: one["number"])
        assert muted["hidden"] == "the rule lab mutes it", "the labels of now"
        assert "Bob" in bobs["text"]
        file.write_text("number,owner,labels\n+15550000001,Ann,lab\n+15550000002,Bob,\n")
        until(lambda: len(house.alerts("inventory.")) == 2)
        assert [one["severity"] for one in house.alerts("inventory.")] == ["warning", "info"]


# --- reload -----------------------------------------------------------------------------------------------------------


def test_a_reload_takes_rules_quiet_hours_and_another_inventory(build: Build, world: World, tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    file.write_text("number,owner\n+15550000002,Ann\n")
    house = build(channel=HELD)
    with house as one:
        until(house.is_polled)
        before = one.settings
        rule = '[[rules]]\nname = "quiet"\nmatch = { ids = ["phone-1"] }\nmute = ["status.*"]\n'
        house.write(
            'quiet_hours = ["00:00-23:00"]\ncritical_at_once = false\n', f'{rule}[inventory]\nfile = "{file}"\n'
        )
        one.reloading.set()
        until(lambda: one.settings is not before and not one.reloading.is_set())
        for number in world.entries[1:]:
            number["current_status"] = "suspended"
        house.put_on(hours=2)
        until(lambda: len(house.alerts("status.")) == 2)
        muted, told = sorted(house.alerts("status."), key=lambda alert: alert["number"])
        assert muted["hidden"] == "the rule quiet mutes it"
        assert "Ann" in told["text"]
        (delivery,) = told["deliveries"]
        with house.store.transaction() as tx:
            held = held_deliveries(tx, one.settings.channels[0], "UTC", one.clock())
        assert held[delivery["message_id"]].why == "quiet hours 00:00-23:00 UTC"
        house.offset += T0.replace(hour=23, minute=0) - one.clock()
        until(lambda: world.messages)
    (message,) = world.messages
    assert "+15550000002 (production) is suspended" in message["message"]
    assert "held back: quiet hours 00:00-23:00 UTC" in message["message"]


def test_a_reload_that_is_refused_leaves_the_rules_as_they_were(
    build: Build, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    rule = '[[rules]]\nname = "quiet"\nmatch = { ids = ["phone-1"] }\nmute = ["status.*"]\n'
    house = build(channel=HELD, tables=rule)
    with house as one:
        until(house.is_polled)
        before = one.settings
        house.write(HELD, rule.replace("status.*", "statsu.*"))
        one.reloading.set()
        until(lambda: "reload refused" in caplog.text)
        assert one.settings is before
        assert one.routing().rules == before.rules
        world.entries[1]["current_status"] = "suspended"
        house.put_on(hours=2)
        until(lambda: house.alerts("status."))
    assert house.alerts("status.")[0]["hidden"] == "the rule quiet mutes it"


# --- the turn of time -------------------------------------------------------------------------------------------------


def test_time_is_followed_up_at_each_refresh(build: Build, world: World) -> None:
    """A reminder after a day; what a silence hid, when it ends; nothing of it needs a poll."""
    world.entries[0]["current_status"] = "suspended"
    house = build(channel=HELD)
    with house.store.transaction() as tx:
        add_silence(tx, Match(ids=("phone-1",)), (), T0 + timedelta(hours=20), "ann", "", T0)
    world.entries[1]["current_status"] = "suspended"
    with house:
        until(lambda: len(house.alerts("status.")) == 2)
        world.fault = 500
        house.put_on(hours=20)
        until(lambda: len(house.alerts("status.")) == 3)
        house.put_on(hours=4)
        until(lambda: len(house.alerts("status.")) == 4)
        threading.Event().wait(0.3)  # three more refreshes tell nothing
    first, hidden, let_out, reminder = house.alerts("status.")
    assert (first["number_id"], hidden["number_id"]) == ("phone-0", "phone-1")
    assert "silence 1 of ann" in str(hidden["hidden"])
    assert let_out["number_id"] == "phone-1"
    assert let_out["deliveries"]
    assert (reminder["number_id"], "reminder 1 of " in reminder["text"]) == ("phone-0", True)


def test_an_environment_that_the_provider_keeps_out_is_told_as_stale(build: Build, world: World) -> None:
    """While a rejected token bars every poll, time alone makes it stale."""
    house = build(channel=HELD)
    with house:
        until(house.is_polled)
        world.fault = 401
        house.put_on(hours=2)
        until(lambda: house.alerts("watch.token_rejected"))
        asked = world.requests
        house.put_on(minutes=30)
        assert house.alerts("watch.stale") == []
        house.put_on(hours=4)
        until(lambda: house.alerts("watch.stale"))
        assert world.requests - asked <= 1


def test_a_fault_in_the_turn_of_time_does_not_keep_polls_from_being_made(
    build: Build, world: World, tmp_path: Path
) -> None:
    """An inventory that is a folder, or that nobody may read, is a fault of the inventory and of nothing else."""
    file = tmp_path / "numbers.csv"
    file.mkdir()
    house = build(channel=HELD, tables=f'[inventory]\nfile = "{file}"\n')
    with house:
        until(house.is_polled)
        until(lambda: house.alerts("inventory."))
        asked = world.requests
        house.put_on(hours=2)
        until(lambda: world.requests > asked)


# --- the canary -------------------------------------------------------------------------------------------------------


def test_the_canary_goes_when_its_time_comes_and_its_loss_is_told(build: Build, world: World) -> None:
    house = build(tables='[canary]\nchannel = "ops-0"\nschedule = "daily 15:00"\n')
    with house as one:
        until(lambda: house.is_polled() and not one.busy)
        assert world.messages == [], "the first one comes at its time"
        house.put_on(hours=3)
        until(lambda: world.messages)
        until(lambda: not one.busy)
        assert "CANARY: channel ops-0 works" in world.messages[0]["title"]
        assert house.alerts("canary.failed") == []
        world.refuse = True
        house.put_on(hours=24)
        until(lambda: len(house.alerts("canary.sent")) == 2)
        house.put_on(minutes=31)
        until(lambda: house.alerts("canary.failed"))
    assert len(world.messages) == 1


# --- templates --------------------------------------------------------------------------------------------------------


def test_a_fault_in_a_template_is_logged_at_start_and_at_reload_and_costs_nothing_else(
    build: Build, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    template = '[[templates]]\nkinds = ["status.*"]\nbody = "{{ 1 / 0 }}"\n'
    house = build(channel=HELD, tables=template)
    with house as one:
        until(lambda: "the built-in words are used" in caplog.text)
        assert "templates.1" in caplog.text
        until(house.is_polled)
        caplog.clear()
        before = one.settings
        house.write(HELD, template.replace("1 / 0", "nosuch.thing"))
        one.reloading.set()
        until(lambda: "the built-in words are used" in caplog.text)
        assert one.settings is not before
        assert one.settings.templates
        world.entries[1]["current_status"] = "suspended"
        house.put_on(hours=2)
        until(lambda: house.alerts("status."))


def test_channels_send_so_many_at_once_and_the_others_in_turn(
    build: Build, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a process of its own: forty of them at once would be more than the unit may have."""
    script = tmp_path / "tell"
    busy = f'mkdir "{tmp_path}/one" || echo >> "{tmp_path}/two"'
    script.write_text(f'#!/bin/sh\n{busy}\ncat >> "{tmp_path}/told"\nrmdir "{tmp_path}/one"\n')
    script.chmod(0o700)
    monkeypatch.setattr(senders, "AT_ONCE", 1)
    world.entries[1]["current_status"] = "suspended"
    hooks = "".join(f'[[channels]]\nname = "hook-{at}"\ncommand = ["{script}"]\n' for at in range(8))
    with build(channel=HELD, tables=hooks):
        until(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text().count('"status.changed"') >= 8)
    assert not (tmp_path / "two").exists()
