"""The metrics of a real database: values, what promtool says of them, and the file for node_exporter."""

from __future__ import annotations

import os
import stat
import tracemalloc
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import commands
import prometheus_client
import pytest
from click.testing import Result
from conftest import T0
from databases import BOTH, EITHER, away
from hypothesis import given
from hypothesis import strategies as st
from made_up import emptied
from prometheus_client.parser import text_string_to_metric_families
from promtool import promtool
from rounds import few
from watched import CHANNEL, Watched, one

from renewal_watch import errors
from renewal_watch.config.loading import load
from renewal_watch.database.revision import HEAD
from renewal_watch.diagnostics import metrics, metrics_base, metrics_fleet, metrics_service
from renewal_watch.model.policy import Match
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.numbers import find_number
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed, settle_sent

pytestmark = EITHER

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("metrics"))
    yield made
    made.store.close()


@pytest.fixture
def watch(shared: Watched) -> Watched:
    emptied(shared.store)
    shared.configure(CHANNEL)
    return shared


def text(watch: Watched, now: datetime = T0) -> str:
    with watch.reading() as tx:
        return metrics.exposition(tx, watch.settings, now).decode()


def samples(watch: Watched, now: datetime = T0) -> Samples:
    """Every sample by name without prefix and labels; none may be there twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text(watch, now)):
        for sample in family.samples:
            key = (sample.name.removeprefix("renewal_watch_"), frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset({"environment": "production", **labels}.items())))


def names(found: Samples) -> set[str]:
    return {name for name, _ in found}


BUSY = [
    one(0, 2),
    one(1, 5, auto_renewal=True, monthly_renewal_cost=2.5),
    one(2, 5, auto_renewal=True, monthly_renewal_cost=1.1, currency="EUR"),
    one(3, 5, auto_renewal=True, monthly_renewal_cost=None, current_price=None),
    one(4, 5, auto_renewal=True, monthly_renewal_cost=3, currency=None),
    one(5, -2, auto_renewal=True, monthly_renewal_cost=4),
    one(6, None, current_status="suspended"),
    one(7, 40, current_status="Pending"),
    one(8, 1, is_sandbox=True),
    one(9, 20, current_status='sus"pen\\ded\n{evil="1"} 3'),
]


def busy(watch: Watched) -> None:
    """Two good polls and a failed one; one number is missing, messages wait."""
    watch.configure(CHANNEL + "[renewals]\nmissing_after_polls = 1\n")
    watch.poll(one(10), *BUSY, at=T0 - 2 * HOUR)
    watch.poll(*BUSY[:-1], BUSY[-1] | {"has_fax": "n/a"}, at=T0 - HOUR)
    watch.fail(at=T0)


# --- the watch itself -------------------------------------------------------------------------------------------------


def test_before_the_first_poll_nothing_is_made_up(watch: Watched) -> None:
    found = samples(watch)
    assert value(found, "stale") == 1
    assert value(found, "stale_after_seconds") == 6 * 3600
    assert value(found, "polls_total", outcome="ok") == 0
    assert value(found, "numbers", status="active") == 0
    unknown = {"last_success_timestamp_seconds", "last_poll_timestamp_seconds", "poll_duration_seconds"}
    assert names(found) & {*unknown, "cost_due", "number_renewal_timestamp_seconds"} == set()
    assert found["build_info", frozenset({("version", metrics.__version__), ("schema", HEAD)})] == 1


def test_polls_are_counted_by_outcome_and_the_last_good_one_is_an_instant(watch: Watched) -> None:
    busy(watch)
    watch.fail(errors.TokenRejected("HTTP 401"), at=T0 + HOUR)
    found = samples(watch, T0 + HOUR)
    assert value(found, "last_success_timestamp_seconds") == (T0 - HOUR).timestamp()
    assert value(found, "last_poll_timestamp_seconds") == (T0 + HOUR).timestamp()
    assert value(found, "poll_duration_seconds") == 0
    assert value(found, "poll_failures") == 2
    assert value(found, "invalid_entries") == 1
    counted = {dict(labels)["outcome"]: count for (name, labels), count in found.items() if name == "polls_total"}
    assert counted == {
        "ok": 2,
        "server_trouble": 1,
        "token_rejected": 1,
        "request_refused": 0,
        "rate_limited": 0,
        "not_the_api": 0,
        "unforeseen": 0,
    }
    assert value(found, "stale") == 0
    assert value(samples(watch, T0 + 5 * HOUR), "stale") == 1


def test_every_reason_of_a_failed_poll_is_there_from_the_start() -> None:
    assert set(metrics_service.OUTCOMES) - {"ok"} == {
        kind.reason for kind in errors.ApiError.__subclasses__() if kind is not errors.NotOffered
    }


def test_the_outbox_is_told_by_channel(watch: Watched) -> None:
    watch.poll(one(0, 2), at=T0)
    watch.poll(one(0, 2), one(1, 2), at=T0 + HOUR)
    way = Routing.of(watch.settings)
    channel = watch.settings.channel("ops")
    with watch.store.transaction() as tx:
        delivery = claim(tx, channel, "UTC", T0 + HOUR)
        assert delivery is not None
        settle_sent(tx, delivery, way, T0 + HOUR)
        delivery = claim(tx, channel, "UTC", T0 + HOUR)
        assert delivery is not None
        settle_failed(tx, delivery, "HTTP 503", way, T0 + HOUR, 1.0)
    watch.configure(CHANNEL.replace("ops", "new"))
    found = samples(watch, T0 + HOUR)

    def of(name: str, channel: str, **labels: str) -> float | None:
        return found.get((name, frozenset({"channel": channel, **labels}.items())))

    assert of("deliveries_total", "ops", outcome="sent") == 1
    assert of("outbox_pending", "ops") == 1  # of a channel that is no more it is still told
    assert of("outbox_oldest_pending_timestamp_seconds", "ops") == (T0 + HOUR).timestamp()
    assert of("outbox_pending", "new") == 0
    assert of("channel_failing", "new") == 0
    watch.configure(CHANNEL)
    found = samples(watch, T0 + HOUR)
    assert of("channel_failing", "ops") == 1
    assert of("channel_failing_since_timestamp_seconds", "ops") == (T0 + HOUR).timestamp()
    assert of("channel_last_sent_timestamp_seconds", "ops") == (T0 + HOUR).timestamp()
    assert found["outbox_late", frozenset()] == 0
    assert samples(watch, T0 + 9 * HOUR)["outbox_late", frozenset()] == 1


def test_what_still_holds_is_told_by_kind_severity_and_who_knows(watch: Watched) -> None:
    watch.poll(one(0, 2), one(1, 2), one(2, 2), one(3, 10), at=T0 - HOUR)
    with watch.store.transaction() as tx:
        add_silence(tx, Match(ids=("phone-3",)), (), T0 + DAY, "anna", "", T0)
        incidents = {key: one for key, one in incidents_of(tx).items() if key.number_id == "phone-1"}
        acknowledge_incidents(tx, incidents, "anna", T0)
        _, _, known = find_number(tx, "phone-2")
        put_lapse(tx, known, "anna", "", T0)
    watch.poll(one(0, 2), one(1, 2), one(2, 1), one(3, 7), at=T0)
    found = samples(watch)
    upcoming = {"kind": "renewal.upcoming", "severity": "critical"}
    assert value(found, "incidents", **upcoming, state="open") == 1
    assert value(found, "incidents", **upcoming, state="acknowledged") == 1
    assert value(found, "incidents", kind="renewal.upcoming", severity="warning", state="hidden") == 1
    assert value(found, "numbers_lapsing") == 1


# --- the fleet --------------------------------------------------------------------------------------------------------


def test_the_fleet_is_told_by_status_without_sandbox_and_missing_numbers(watch: Watched) -> None:
    busy(watch)
    found = samples(watch)
    counted = {dict(labels)["status"]: count for (name, labels), count in found.items() if name == "numbers"}
    assert counted == {"active": 6, "suspended": 1, "pending": 1, "inactive": 0, 'sus"pen/ded {evil="1"} 3': 1}
    assert value(found, "numbers_overdue", state="open") == 1
    assert value(found, "numbers_overdue", state="acknowledged") == 0
    assert value(found, "numbers_missing", state="open") == 1
    assert value(found, "numbers_undated") == 1
    watch.configure(CHANNEL)
    watch.path.write_text(watch.path.read_text().replace('token = "talq', 'include_sandbox = true\ntoken = "talq'))
    watch.settings = load(watch.path)
    assert value(samples(watch), "numbers", status="active") == 7


def test_an_acknowledged_loss_is_told_apart_and_an_explained_one_not_at_all(watch: Watched) -> None:
    watch.configure(CHANNEL + "[renewals]\nmissing_after_polls = 1\n")
    keeps = [one(10 + index) for index in range(8)]
    watch.poll(one(0), one(1, 0), *keeps, at=T0 - 2 * HOUR)
    with watch.store.transaction() as tx:
        _, _, known = find_number(tx, "phone-1")
        put_lapse(tx, known, "anna", "", T0)
    watch.poll(*keeps, at=T0 - HOUR)
    assert value(samples(watch), "numbers_missing", state="open") == 1  # the other went as it was meant to
    with watch.store.transaction() as tx:
        acknowledge_incidents(
            tx, {key: one for key, one in incidents_of(tx).items() if key.number_id == "phone-0"}, "anna", T0
        )
    found = samples(watch)
    assert value(found, "numbers_missing", state="open") == 0
    assert value(found, "numbers_missing", state="acknowledged") == 1


def test_numbers_and_cost_ahead_are_told_cumulatively_and_never_across_currencies(watch: Watched) -> None:
    busy(watch)
    found = samples(watch)
    assert [value(found, "numbers_due", auto_renewal="false", within=f"{days}d") for days in metrics_fleet.AHEAD] == [
        *(0, 1, 1, 1, 2)
    ]
    assert value(found, "numbers_due", auto_renewal="true", within="7d") == 4
    assert value(found, "cost_due", currency="USD", within="1d") == 4  # what is overdue is charged today
    assert value(found, "cost_due", currency="USD", within="7d") == 6.5
    assert value(found, "cost_due", currency="EUR", within="3d") == 0
    assert value(found, "cost_due", currency="EUR", within="7d") == 1.1
    assert value(found, "cost_due_unpriced_numbers", within="7d") == 2
    currencies = {dict(labels)["currency"] for name, labels in found if name == "cost_due"}
    assert currencies == {"USD", "EUR"}


def test_what_a_provider_writes_makes_a_bounded_number_of_series(watch: Watched) -> None:
    strange = [
        one(index, 5, auto_renewal=True, current_status=f"status {index}", currency=f"C{index}") for index in range(99)
    ]
    watch.poll(*strange)
    found = samples(watch)
    statuses = [dict(labels)["status"] for name, labels in found if name == "numbers"]
    assert len(statuses) == metrics_base.MOST + 1
    assert sum(count for (name, _), count in found.items() if name == "numbers") == 99
    assert sum(name == "cost_due" for name, _ in found) == metrics_base.MOST * len(metrics_fleet.AHEAD)
    assert value(found, "cost_due_unpriced_numbers", within="7d") == 99 - metrics_base.MOST


# --- single numbers ---------------------------------------------------------------------------------------------------


def test_a_renewal_is_the_midnight_of_its_day_in_the_configured_zone(watch: Watched) -> None:
    watch.configure(CHANNEL)
    watch.path.write_text('timezone = "Pacific/Auckland"\n' + watch.path.read_text())
    watch.settings = load(watch.path)
    watch.poll(one(0, 10), one(1, None), one(2, None, renewal_date="9999-12-31"), one(3, 5, auto_renewal=True))
    found = samples(watch)
    called = {"id": "phone-0", "number": "+15550000000"}
    there = ZoneInfo("Pacific/Auckland")
    assert value(found, "number_renewal_timestamp_seconds", **called) == datetime(2026, 12, 3, tzinfo=there).timestamp()
    assert value(found, "number_loss_timestamp_seconds", **called) == datetime(2026, 12, 3, tzinfo=there).timestamp()
    far = {"id": "phone-2", "number": "+15550000002"}
    assert value(found, "number_renewal_timestamp_seconds", **far) == datetime(9999, 12, 31, tzinfo=there).timestamp()
    assert [name for name, labels in found if ("id", "phone-1") in labels] == []  # unknown is no number
    assert [name for name, labels in found if ("id", "phone-3") in labels] == ["number_renewal_timestamp_seconds"]


def test_an_overdue_number_keeps_its_instant_and_a_missing_one_loses_it(watch: Watched) -> None:
    busy(watch)
    found = samples(watch)
    overdue = {"id": "phone-5", "number": "+15550000005"}
    passed = datetime.combine(T0.date() - 2 * DAY, datetime.min.time(), T0.tzinfo)
    assert value(found, "number_renewal_timestamp_seconds", **overdue) == passed.timestamp()
    assert [labels for name, labels in found if ("id", "phone-10") in labels] == []
    assert [labels for name, labels in found if ("id", "phone-8") in labels] == []  # a sandbox number


def test_the_loss_of_a_number_is_gone_as_soon_as_it_renews_by_itself_or_is_meant_to_go(watch: Watched) -> None:
    watch.poll(one(0, 10), one(1, 10), at=T0 - HOUR)
    watch.poll(one(0, 10, auto_renewal=True), one(1, 10), at=T0)
    with watch.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "phone-1")[2], "anna", "", T0)
    found = samples(watch)
    assert "number_loss_timestamp_seconds" not in names(found)
    assert sum(name == "number_renewal_timestamp_seconds" for name, _ in found) == 2


@pytest.mark.parametrize(
    ("labels", "known"),
    [("number", {"environment", "id", "number"}), ("id", {"environment", "id"}), ("none", None)],
)
def test_the_labels_are_a_choice(watch: Watched, labels: str, known: set[str] | None) -> None:
    watch.configure(f'{CHANNEL}[metrics]\nlabels = "{labels}"\n')
    watch.poll(*BUSY)
    said = text(watch)
    found = [labels for name, labels in samples(watch) if name == "number_renewal_timestamp_seconds"]
    if known is None:
        assert "number_" not in said.replace("numbers_", "")
        assert "phone-" not in said
    else:
        assert {frozenset(dict(labels)) for labels in found} == {frozenset(known)}
    assert ("+1555" in said) == (labels == "number")
    assert value(samples(watch), "numbers_due", auto_renewal="false", within="3d") == 1


def test_numbers_that_are_alike_are_told_apart_by_their_ids(watch: Watched) -> None:
    watch.poll(one(0, number="+1555"), one(1, number="+1555"), one(2, number=None), one(3, number=None))
    assert sum(name == "number_renewal_timestamp_seconds" for name, _ in samples(watch)) == 4


@given(st.text(max_size=30).filter(str.strip))
@few(20)
def test_text_of_the_provider_stays_one_label_value(shared: Watched, written: str) -> None:
    emptied(shared.store)
    shared.configure(CHANNEL)
    shared.poll(one(0, number=f"a{written}", current_status=f"b{written}", currency=f"c{written}"))
    found = samples(shared)
    (labels,) = (dict(labels) for name, labels in found if name == "number_renewal_timestamp_seconds")
    assert labels["id"] == "phone-0"
    assert all(character.isprintable() for character in labels["number"])


def test_nothing_is_left_in_the_library_s_own_registry(watch: Watched) -> None:
    before = prometheus_client.generate_latest().count(b"# HELP")
    busy(watch)
    text(watch)
    assert prometheus_client.generate_latest().count(b"# HELP") == before
    assert b"renewal_watch" not in prometheus_client.generate_latest()


def test_memory_holds_the_text_and_not_an_object_for_each_number(watch: Watched) -> None:
    watch.configure(CHANNEL + "[renewals]\nwarn_days = [0]\nauto_renewal_warn_days = []\n")
    watch.poll(*(one(index, 100 + index % 28) for index in range(10_000)))
    with watch.reading() as tx:
        metrics.exposition(tx, watch.settings, T0)  # what is kept for all requests to come
        tracemalloc.start()
        try:
            size = len(metrics.exposition(tx, watch.settings, T0))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size > 2_000_000
    assert peak < 3 * size  # its parts and the whole


# --- promtool ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", ["number", "id", "none"])
@pytest.mark.parametrize("state", ["empty", "failing", "busy"])
def test_promtool_finds_nothing(watch: Watched, labels: str, state: str) -> None:
    if state == "failing":
        watch.fail(at=T0)
    if state == "busy":
        busy(watch)
    watch.configure(f'{CHANNEL}[metrics]\nlabels = "{labels}"\n')
    assert promtool("check", "metrics", given=text(watch)) == (0, "")


# --- the command ------------------------------------------------------------------------------------------------------


def run(watch: Watched, *words: str, code: int = 0) -> Result:
    return commands.call(watch.path, *words, code=code)


def test_the_command_prints_what_prometheus_reads(watch: Watched) -> None:
    busy(watch)
    said = run(watch, "metrics").output
    assert said.endswith("\n")
    assert not said.endswith("\n\n")
    assert 'renewal_watch_polls_total{environment="production",outcome="ok"} 2.0' in said


def test_the_file_is_put_in_place_whole_and_readable_for_all(watch: Watched, tmp_path: Path) -> None:
    busy(watch)
    path = tmp_path / "renewal-watch.prom"
    path.write_text("old")
    os.link(path, tmp_path / "kept")
    old = os.umask(0o077)
    try:
        assert run(watch, "metrics", "--textfile", str(path)).output == ""
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "renewal_watch_stale" in path.read_text()
    assert (tmp_path / "kept").read_text() == "old"  # it was replaced, not written over
    assert sorted(found.name for found in tmp_path.iterdir()) == ["kept", "renewal-watch.prom"]


@BOTH
def test_a_database_that_cannot_be_read_leaves_the_old_file_with_its_age(watch: Watched, tmp_path: Path) -> None:
    path = tmp_path / "renewal-watch.prom"
    path.write_text("old")
    os.utime(path, (0, 0))
    with away(watch.database):
        said = run(watch, "metrics", "--textfile", str(path), code=1)
    assert "cannot be used" in said.stderr
    assert (path.read_text(), path.stat().st_mtime) == ("old", 0)
    assert [found.name for found in tmp_path.iterdir()] == ["renewal-watch.prom"]


def test_only_a_file_that_the_collector_would_read_is_written(watch: Watched, tmp_path: Path) -> None:
    said = run(watch, "metrics", "--textfile", str(tmp_path / "metrics.txt"), code=2)
    assert "does not end in .prom" in said.stderr
    said = run(watch, "metrics", "--textfile", str(tmp_path / "none" / "x.prom"), code=2)
    assert "does not exist; make it or correct the path" in said.stderr
    (tmp_path / "folder.prom").mkdir()
    said = run(watch, "metrics", "--textfile", str(tmp_path / "folder.prom"), code=1)
    assert "cannot be written: it is there and is no file" in said.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["folder.prom"]


def test_days_that_lie_far_apart_are_all_instants() -> None:
    begins = metrics_base.midnights("Europe/Berlin")
    assert begins(date(2026, 3, 29).toordinal()) == 1774738800  # the night the clocks change
    assert begins(date(2000, 1, 1).toordinal()) < begins(date(9999, 12, 31).toordinal())
