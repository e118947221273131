"""Whether the watch sees and is heard: each reason in a sentence, on a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conftest import T0
from databases import BOTH, SQLITE_ONLY, Chosen, changed, remove
from made_up import emptied
from watched import CHANNEL, Watched, one

from renewal_watch import health
from renewal_watch.errors import StoreError
from renewal_watch.routing import Routing
from renewal_watch.schema import HEAD
from renewal_watch.store import Store
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
        delivery = tx.claim(watch.settings.channel("ops"), "UTC", at)
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
        assert tx.settle_failed(delivery, "HTTP 503", way, late, 1.0)  # type: ignore[arg-type]
    assert found(watch, late).is_ready


def test_a_channel_that_fails_for_half_an_hour_is_told_without_what_it_said(watch: Watched) -> None:
    watch.poll(one(1, 2), at=T0)
    delivery, way = claimed(watch, T0)
    with watch.store.transaction() as tx:
        tx.settle_failed(delivery, "refused by https://hooks.example/secret", way, T0, 1.0)  # type: ignore[arg-type]
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
            assert health.alive(tx).is_ready
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
        assert health.alive(tx).as_json() == {
            "status": "ok",
            "checks": [{"name": "database", "ok": True, "reason": "the database can be read"}],
        }


@SQLITE_ONLY
def test_a_database_that_cannot_be_read_says_so_without_a_secret(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database at all, " * 200)
    store = Store(f"sqlite:///{tmp_path}/x.db", reads_only=True)
    with pytest.raises(StoreError) as caught, store.transaction() as tx:
        health.alive(tx)
    store.close()
    REDACTOR.learn("not a database")
    said = health.unreadable(caught.value)
    assert not said.is_ready
    assert said.reasons[0].startswith(f"the database {tmp_path}/x.db cannot be used (file is ***)")
