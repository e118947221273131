"""Whether the watch sees and is heard: each reason in a sentence, on a real database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conftest import T0
from databases import BOTH, POSTGRESQL_ONLY, SQLITE_ONLY, Chosen, changed, remove
from made_up import emptied
from watched import CHANNEL, Watched, one

from renewal_watch.daemon.membership import Presence
from renewal_watch.database.revision import HEAD
from renewal_watch.database.schema import instances
from renewal_watch.database.sqlite import lock_of
from renewal_watch.database.store import Store
from renewal_watch.diagnostics import health
from renewal_watch.errors import StoreError
from renewal_watch.notify.routing import Routing
from renewal_watch.store.leases import daemon_seen
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed
from renewal_watch.text import REDACTOR

pytestmark = BOTH

HOUR = timedelta(hours=1)
BOTH = ("production", "staging")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("health"))
    yield made
    made.store.close()


@pytest.fixture
def watch(shared: Watched) -> Watched:
    emptied(shared.store)
    shared.configure(CHANNEL)
    return shared


def found(watch: Watched, now: datetime = T0) -> health.Health:
    with watch.reading() as tx:
        return health.examine(tx, watch.settings, now)


def reasons(watch: Watched, now: datetime = T0) -> tuple[str, ...]:
    return found(watch, now).reasons


def test_a_fresh_list_is_ready_with_every_reason_said(watch: Watched) -> None:
    watch.poll(one(1, auto_renewal=True))
    said = found(watch, T0 + HOUR)
    assert said.is_ready
    assert json.loads(json.dumps(said.as_json())) == {
        "status": "ok",
        "checks": [
            {"name": "database", "ok": True, "reason": "the database can be read"},
            {
                "name": "list",
                "environment": "production",
                "ok": True,
                "reason": "production: the list was read 1 h ago",
            },
            {"name": "outbox", "ok": True, "reason": "no message waits"},
            {"name": "channel", "ok": True, "reason": "channel ops works"},
        ],
    }


def test_a_watch_that_never_read_a_list_is_not_ready(watch: Watched) -> None:
    assert reasons(watch) == ("production: its list was never read; it is read by: renewal-watch run, or poll",)
    watch.fail(at=T0)
    (said,) = reasons(watch)
    assert said.startswith("production: its list was never read (the provider has trouble (HTTP 500))")


def be_there(watch: Watched, now: datetime) -> None:
    """A daemon shows itself beside the file of the database."""
    assert watch.store.path is not None
    lock = lock_of(watch.store.path)
    lock.touch(0o600)
    os.utime(lock, (now.timestamp(), now.timestamp()))


@SQLITE_ONLY
def test_a_daemon_that_is_not_there_any_more_is_missed_within_a_minute_and_it_is_said_since_when(
    watch: Watched,
) -> None:
    watch.poll(one(1, auto_renewal=True))
    be_there(watch, T0 + HOUR / 2)
    assert found(watch, T0 + HOUR / 2 + timedelta(seconds=30)).is_ready
    (said,) = reasons(watch, T0 + HOUR / 2 + timedelta(minutes=1))
    assert said.startswith("no daemon is running, one was last seen at 2026-11-23 12:30 UTC (1 min ago); start it:")
    with watch.reading() as tx:
        assert not health.alive(tx, watch.settings, T0 + HOUR).is_ready
    watch.poll(one(1, auto_renewal=True), at=T0 + HOUR)  # by a timer
    assert found(watch, T0 + 2 * HOUR).is_ready
    (said,) = reasons(watch, T0 + 2.5 * HOUR)
    assert "no daemon is running" in said
    lock_of(watch.store.path).unlink()  # type: ignore[arg-type]  # a file
    assert found(watch, T0 + 2.5 * HOUR).is_ready, "a timer alone is judged by the age of its lists"


@SQLITE_ONLY
def test_a_daemon_that_is_there_and_does_not_poll_is_told(watch: Watched) -> None:
    watch.poll(one(1, auto_renewal=True))
    for hours in (0.5, 1.4):
        be_there(watch, T0 + hours * HOUR)
        assert found(watch, T0 + hours * HOUR).is_ready
    be_there(watch, T0 + 1.6 * HOUR)
    assert reasons(watch, T0 + 1.6 * HOUR) == (
        "a daemon is there, but its polls are late: production; see its log: journalctl -u renewal-watch",
    )
    lock_of(watch.store.path).unlink()  # type: ignore[arg-type]  # a file


@POSTGRESQL_ONLY
def test_on_a_server_a_daemon_that_left_or_died_is_missed(watch: Watched) -> None:
    watch.poll(one(1, auto_renewal=True))
    presence = Presence(watch.store, lambda: T0)
    with watch.reading() as tx:
        assert daemon_seen(tx, T0) is None
    presence.join()
    with watch.reading() as tx:
        seen = daemon_seen(tx, T0)
        assert seen is not None
        assert seen.is_there
        here = tx.clock(T0)
    with watch.store.transaction() as tx:  # it died some time ago
        tx.connection.execute(instances.update().values(alive_until=here - timedelta(minutes=2)))
    with watch.reading() as tx:
        seen = daemon_seen(tx, T0)
    assert seen is not None
    assert not seen.is_there
    presence.close()
    with watch.reading() as tx:
        seen = daemon_seen(tx, T0)
        assert seen is not None
        assert abs(seen.at - tx.clock(T0)) < timedelta(minutes=1)


@pytest.mark.parametrize(("age", "is_ready"), [(timedelta(hours=5, minutes=59), True), (timedelta(hours=6), False)])
def test_a_stale_list_is_not_ready(watch: Watched, age: timedelta, is_ready: bool) -> None:
    watch.poll(one(1))
    assert found(watch, T0 + age).is_ready == is_ready


def test_a_stale_list_says_since_when_and_why(watch: Watched) -> None:
    watch.poll(one(1, auto_renewal=True))
    watch.fail(at=T0 + HOUR)
    assert reasons(watch, T0 + 7 * HOUR)[0] == (
        "production: its list was last read 7 h ago, which is stale after 6 h (the provider has trouble (HTTP 500))"
    )


def test_every_configured_environment_must_be_fresh_and_no_other(watch: Watched) -> None:
    watch.configure(CHANNEL, BOTH)
    watch.poll(one(1, auto_renewal=True))
    said = found(watch)
    assert not said.is_ready
    assert [(one.environment, one.ok, one.is_blind) for one in said.checks if one.name == "list"] == [
        ("production", True, False),
        ("staging", False, True),
    ]
    watch.configure(CHANNEL)
    assert found(watch).is_ready


def test_a_list_from_the_future_shows_a_clock_that_was_put_back(watch: Watched) -> None:
    watch.poll(one(1, auto_renewal=True), at=T0 + 2 * HOUR)
    assert "2 h from now: the clock was put back" in reasons(watch)[0]
    assert found(watch, T0 + 2 * HOUR - timedelta(minutes=4)).is_ready


# --- being heard ------------------------------------------------------------------------------------------------------


def test_a_message_that_nobody_sends_is_told_after_the_longest_time_between_two_polls(watch: Watched) -> None:
    watch.poll(one(1, 2), at=T0)
    watch.poll(one(1, 2), at=T0 + HOUR)
    limit = HOUR + health.SENT_WITHIN
    assert found(watch, T0 + limit - timedelta(seconds=1)).is_ready
    (said,) = reasons(watch, T0 + limit)
    assert said == "1 message could have been sent long ago: nothing sends; it is done by: renewal-watch run, or send"


@pytest.mark.parametrize(
    "held",
    [
        'digest = "weekly mon 08:00"\ncritical_at_once = false\n',
        'quiet_hours = ["11:00-20:00"]\ncritical_at_once = false\n',
    ],
)
def test_a_message_that_waits_for_its_time_is_not_late(watch: Watched, held: str) -> None:
    watch.configure(CHANNEL + held)
    watch.poll(one(1, 2), at=T0)
    watch.poll(one(1, 2), at=T0 + 5 * HOUR)
    assert found(watch, T0 + 5 * HOUR).is_ready


def claimed(watch: Watched, at: datetime) -> tuple[object, Routing]:
    with watch.store.transaction() as tx:
        delivery = claim(tx, watch.settings.channel("ops"), "UTC", at)
    return delivery, Routing.of(watch.settings)


def test_a_message_for_a_channel_that_was_renamed_is_never_in_time(watch: Watched) -> None:
    watch.poll(one(1, 3))
    watch.configure(CHANNEL.replace('"ops"', '"operators"'))
    (said,) = (one.reason for one in found(watch).checks if one.name == "outbox")
    assert said.startswith("no message waits; 1 message waits for the channel ops, which the configuration has no more")


def test_a_message_that_is_being_sent_or_waits_for_its_next_attempt_is_not_late(watch: Watched) -> None:
    watch.poll(one(1, 2), at=T0)
    late = T0 + 2 * HOUR
    watch.poll(one(1, 2), at=late)
    delivery, way = claimed(watch, late)
    assert found(watch, late).is_ready
    with watch.store.transaction() as tx:
        assert settle_failed(tx, delivery, "HTTP 503", way, late, 1.0)  # type: ignore[arg-type]
    assert found(watch, late).is_ready


def test_a_channel_that_fails_for_half_an_hour_is_told_without_what_it_said(watch: Watched) -> None:
    watch.poll(one(1, 2), at=T0)
    delivery, way = claimed(watch, T0)
    with watch.store.transaction() as tx:
        settle_failed(tx, delivery, "refused by https://hooks.example/secret", way, T0, 1.0)  # type: ignore[arg-type]
    assert found(watch, T0 + timedelta(minutes=29)).is_ready
    said = found(watch, T0 + timedelta(minutes=30))
    assert said.reasons == ("channel ops has failed for 30 min; see: renewal-watch status",)
    assert "secret" not in str(said.as_json())
    watch.configure(CHANNEL.replace("ops", "other"))  # a channel that is no more fails nobody
    assert found(watch, T0 + timedelta(minutes=30)).is_ready


# --- the database -----------------------------------------------------------------------------------------------------


def test_a_database_of_another_release_is_not_ready_and_alive(watch: Watched) -> None:
    changed(watch.database, "UPDATE alembic_version SET version_num = '0001'")
    try:
        (said,) = reasons(watch)
        assert said.startswith("the database has schema 0001, this release needs ")
        with watch.reading() as tx:
            assert health.alive(tx, watch.settings, T0).is_ready
    finally:
        changed(watch.database, "UPDATE alembic_version SET version_num = ?", (HEAD,))


def test_an_empty_database_is_not_ready(tmp_path: Path) -> None:
    watch = Watched(tmp_path)
    watch.store.close()
    remove(watch.database)
    if not Chosen.is_postgresql:
        watch.database.touch()
    assert reasons(watch)[0].startswith("the database has no tables")


def test_old_data_is_no_reason_to_restart(watch: Watched) -> None:
    with watch.reading() as tx:
        assert health.alive(tx, watch.settings, T0).as_json() == {
            "status": "ok",
            "checks": [{"name": "database", "ok": True, "reason": "the database can be read"}],
        }


@SQLITE_ONLY
def test_a_database_that_cannot_be_read_says_so_without_a_secret(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all, " * 200)
    store = Store(f"sqlite:///{tmp_path}/x.db", reads_only=True)
    with pytest.raises(StoreError) as caught, store.transaction() as tx:
        health.alive(tx, watch.settings, T0)
    store.close()
    REDACTOR.learn("not a database")
    said = health.unreadable(caught.value)
    assert not said.is_ready
    assert said.reasons[0].startswith(f"the database {tmp_path}/x.db cannot be used (file is ***)")
