"""``check`` as a monitoring system calls it: one line on standard output and an exit code, whatever goes wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import commands
import pytest
from click.testing import Result
from conftest import T0, Clock
from databases import BOTH, EITHER, SQLITE_ONLY, away, changed, lock, remove
from made_up import emptied
from watched import CHANNEL, Watched, one

from renewal_watch.model.policy import Match
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.incidents.lapses import put_lapse
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.numbers import find_number

pytestmark = EITHER

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OK, WARNING, CRITICAL, UNKNOWN = range(4)
LINE = re.compile(r"RENEWAL (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+( \| [^|\n]+)?\n")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    made = Watched(tmp_path_factory.mktemp("check"))
    yield made
    made.store.close()


@pytest.fixture
def watch(shared: Watched) -> Watched:
    emptied(shared.store)
    shared.configure(CHANNEL)
    return shared


@pytest.fixture
def clock() -> Clock:
    return Clock()


def called(*words: str, state: int, clock: Clock | None = None) -> Result:
    result = commands.call(None, *words, code=state, clock=clock)
    assert LINE.fullmatch(result.stdout.splitlines(keepends=True)[0]), result.stdout
    assert result.stderr == ""
    return result


@pytest.fixture
def run(watch: Watched, clock: Clock) -> Run:
    def call(*words: str, state: int) -> str:
        return called("--config", str(watch.path), "check", *words, state=state, clock=clock).stdout

    return call


def value(said: str, label: str) -> str:
    return said.partition(f"'{label}'=")[2].split(";")[0]


# --- states -----------------------------------------------------------------------------------------------------------


def test_a_fleet_in_order_is_ok_and_says_what_comes_next(watch: Watched, run: Run) -> None:
    watch.poll(one(0, 40), one(1, 1, auto_renewal=True), one(2, 1, is_sandbox=True), at=T0 - HOUR)
    said = run(state=OK)
    assert said == (
        "RENEWAL OK - 2 numbers - the next without auto-renewal: +15550000000 in 40 days - list read 1 h ago | "
        "'days'=40;14;3 'overdue'=0;;0;0 'suspended'=0;;0;0 'other_status'=0;0;;0 'missing'=0;;0;0 "
        "'set_aside'=0;;;0 'numbers'=2;;;0 'age'=3600s;;;0\n"
    )


def test_a_fleet_without_any_renewal_day_is_not_ok(watch: Watched, run: Run) -> None:
    watch.poll(one(1, None), one(2, None, auto_renewal=True), at=T0)
    assert "production: no number has a renewal day" in run(state=WARNING)


def test_an_empty_fleet_is_not_ok_and_one_that_renews_by_itself_is(watch: Watched, run: Run) -> None:
    watch.poll(at=T0)
    assert "production: no number is watched: the list is empty" in run(state=WARNING)
    watch.poll(one(1, 1, auto_renewal=True), at=T0)
    said = run(state=OK)
    assert "1 number - all renew by themselves - list read less than a minute ago" in said
    assert "'days'" not in said
    watch.poll(one(1, 1, auto_renewal=True), one(2, None, auto_renewal=True), at=T0)
    assert "2 numbers - 1 of them renews by itself, the others" in run(state=OK)


@pytest.mark.parametrize(
    ("days", "words", "state"),
    [
        (14, (), WARNING),
        (15, (), OK),
        (3, (), CRITICAL),
        (4, (), WARNING),
        (20, ("-w", "30", "-c", "7"), WARNING),
        (7, ("-w", "30", "-c", "7"), CRITICAL),
        (5, ("-w", "@0:5", "-c", "@0:1"), WARNING),
        (6, ("-w", "@0:5", "-c", "@0:1"), OK),
        (9, ("--warning=10:", "--critical=2:"), WARNING),
        (9, ("-c", "20"), CRITICAL),
    ],
)
def test_days_without_auto_renewal_decide(
    watch: Watched, run: Run, days: int, words: tuple[str, ...], state: int
) -> None:
    watch.poll(one(0, days), one(1, 1, auto_renewal=True), at=T0 - HOUR)
    assert value(run(*words, state=state), "days") == str(days)


def test_the_day_turns_in_the_configured_zone(watch: Watched, run: Run, clock: Clock) -> None:
    watch.path.write_text('timezone = "Pacific/Auckland"\n' + watch.path.read_text())
    watch.poll(one(0, None, renewal_date="2026-11-28"), at=T0 - 2 * HOUR)
    assert "in 4 days" in run(state=WARNING)  # the 24th has begun there
    clock.now = T0 - timedelta(minutes=70)
    assert "in 5 days" in run(state=WARNING)


@pytest.mark.parametrize(
    ("entry", "state", "label", "words"),
    [
        (one(0, -2, auto_renewal=True), CRITICAL, "overdue", "1 overdue: +15550000000 by 2 days"),
        (one(0, -1), CRITICAL, "overdue", "1 overdue: +15550000000 by 1 day"),
        (one(0, 90, current_status="Suspended"), CRITICAL, "suspended", "1 suspended: +15550000000"),
        (one(0, 90, current_status="inactive"), CRITICAL, "suspended", "1 inactive: +15550000000"),
        (one(0, 90, current_status="pending"), WARNING, "other_status", "1 pending: +15550000000"),
        (one(0, 90, current_status="a|b"), WARNING, "other_status", "1 a¦b: +15550000000"),
        (one(0, 90, current_status=None), WARNING, "other_status", "1 without a status: +15550000000"),
    ],
)
def test_what_is_wrong_whatever_the_days(
    watch: Watched, run: Run, entry: dict[str, object], state: int, label: str, words: str
) -> None:
    watch.poll(entry, at=T0)
    said = run("-w", "-100", "-c", "-100", state=state)
    assert words in said
    assert value(said, label) == "1"


def test_a_day_that_passed_since_the_last_list_is_no_overdue_number(watch: Watched, run: Run, clock: Clock) -> None:
    """Nearly all have renewed, as the next list will show; only a list that shows the contrary is believed."""
    at = datetime(2026, 11, 23, 23, 30, tzinfo=T0.tzinfo)
    watch.poll(one(0, 0, auto_renewal=True), at=at)
    clock.now = at + HOUR
    run(state=OK)
    late = one(0, 0, auto_renewal=True, days_until_monthly_renewal=-1)
    for hours in (6, 12, 13):  # an automatic renewal has a grace of 12 h
        clock.now = at + hours * HOUR
        watch.poll(late, at=clock.now)
        state = {6: OK, 12: WARNING, 13: CRITICAL}[hours]  # what needs nobody waits for 09:00, and is late after it
        assert ("1 overdue" in run(state=state)) == (hours == 13)


def test_a_missing_number_is_critical_until_it_is_explained_or_acknowledged(watch: Watched, run: Run) -> None:
    watch.configure("[renewals]\nmissing_after_polls = 2\n")
    keeps = [one(10 + index, 50) for index in range(9)]
    watch.poll(one(0, 50), one(1, 0), *keeps, at=T0 - 3 * HOUR)
    with watch.store.transaction() as tx:
        put_lapse(tx, find_number(tx, "phone-1")[2], "anna", "", T0)
    watch.poll(*keeps, at=T0 - 2 * HOUR)
    run(state=OK)  # not yet believed
    watch.poll(*keeps, at=T0 - HOUR)
    said = run("-v", state=CRITICAL)
    assert "RENEWAL CRITICAL - 1 missing: +15550000000 |" in said  # the other went as it was meant to
    with watch.store.transaction() as tx:
        acknowledge_incidents(tx, incidents_of(tx), "anna", T0)
    said = run("-v", state=OK)
    assert "acknowledged: 1 acknowledged or hidden" in said
    assert "acknowledged: +15550000000 missing: acknowledged by anna" in said


def test_a_list_that_lost_many_at_once_is_critical_at_once(watch: Watched, run: Run) -> None:
    watch.poll(*(one(index, 50) for index in range(10)), at=T0 - HOUR)
    watch.poll(at=T0)
    assert "production lost so many numbers at once that the list is in doubt" in run(state=CRITICAL)


def test_entries_that_cannot_be_read_are_a_warning(watch: Watched, run: Run) -> None:
    watch.poll(one(0, 50), one(9, 50, renewal_date="soon"), at=T0)
    assert "production: renewal_date of 1 number cannot be read: it is text" in run(state=WARNING)


# --- what somebody knows of -------------------------------------------------------------------------------------------


def test_what_is_acknowledged_silenced_muted_or_meant_to_lapse_is_set_aside(watch: Watched, run: Run) -> None:
    rules = '[[rules]]\nname = "quiet"\nmatch = { ids = ["phone-3"] }\nmute = ["renewal.*"]\n'
    watch.configure(CHANNEL + rules)
    watch.poll(*(one(index, 2) for index in range(5)), at=T0)
    with watch.store.transaction() as tx:
        acknowledge_incidents(
            tx, {key: one for key, one in incidents_of(tx).items() if key.number_id == "phone-0"}, "anna", T0
        )
        add_silence(tx, Match(ids=("phone-1",)), (), T0 + DAY, "anna", "", T0)
        put_lapse(tx, find_number(tx, "phone-2")[2], "anna", "", T0)
    said = run("-v", state=CRITICAL)
    assert said.startswith("RENEWAL CRITICAL - 1 without auto-renewal: +15550000004 in 2 days - acknowledged: ")
    assert value(said, "set_aside") == "4"
    assert set(said.splitlines()[2:6]) == {
        "acknowledged: +15550000000 without auto-renewal in 2 days: acknowledged by anna",
        "acknowledged: +15550000001 without auto-renewal in 2 days: silence 1 of anna until 2026-11-24 12:00 UTC",
        "acknowledged: +15550000002 without auto-renewal in 2 days: meant to expire",
        "acknowledged: +15550000003 without auto-renewal in 2 days: the rule quiet mutes it",
    }
    with watch.store.transaction() as tx:
        add_silence(tx, Match(ids=("phone-4",)), (), T0 + DAY, "anna", "", T0)
    said = run(state=OK)
    assert "acknowledged: 4 acknowledged or hidden, 1 meant to expire" in said
    assert "'days'" not in said  # of numbers that nobody knows of


def test_an_acknowledgement_of_one_thing_hides_no_other(watch: Watched, run: Run) -> None:
    watch.poll(one(0, 2, current_status="suspended"), at=T0)
    with watch.store.transaction() as tx:
        acknowledge_incidents(
            tx, {key: one for key, one in incidents_of(tx).items() if key.topic == "renewal"}, "anna", T0
        )
    assert "1 suspended: +15550000000 - acknowledged: 1" in run(state=CRITICAL)


# --- blind ------------------------------------------------------------------------------------------------------------


def test_a_stale_list_is_unknown_whatever_was_in_it(watch: Watched, run: Run, clock: Clock) -> None:
    watch.poll(one(0, 0), at=T0)
    run(state=CRITICAL)
    clock.now = T0 + 7 * HOUR
    said = run(state=UNKNOWN)
    assert said.startswith("RENEWAL UNKNOWN - production: its list was last read 7 h ago, which is stale after 6 h")
    assert value(said, "age") == "25200s"
    assert said.partition(" | ")[2] == "'age'=25200s;;;0\n"


def test_a_watch_that_never_polled_is_unknown(run: Run) -> None:
    said = run(state=UNKNOWN)
    assert "its list was never read" in said
    assert "|" not in said


def test_one_environment_that_is_stale_makes_it_unknown_unless_another_is_critical(watch: Watched, run: Run) -> None:
    watch.configure(CHANNEL, ("production", "staging"))
    watch.poll(one(0, 9), at=T0)
    said = run(state=UNKNOWN)
    assert "staging: its list was never read" in said
    assert "1 without auto-renewal: +15550000000 (production) in 9 days" in said
    run("--environment", "production", state=WARNING)
    run("--environment", "staging", state=UNKNOWN)
    watch.poll(one(0, 2), at=T0)
    said = run(state=CRITICAL)
    assert "1 without auto-renewal: +15550000000 (production) in 2 days - staging: its list was never read" in said


def test_nobody_who_sends_is_a_warning(watch: Watched, run: Run) -> None:
    watch.poll(one(0, 50, current_status="pending"), at=T0 - 5 * HOUR)
    watch.poll(one(0, 50), at=T0)
    assert "RENEWAL WARNING - 1 message could have been sent long ago" in run(state=WARNING)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "--bogus"), "No such option"),
        (("check", "surplus"), "unexpected extra argument"),
        (("check", "-w"), "requires an argument"),
        (("check", "-w", "soon"), "-w: 'soon' is no number of days"),
        (("check", "-w", "3", "-c", "14"), "exchange them"),
        (("check", "-t", "0"), "Invalid value for '-t'"),
        (("check", "--environment", "elsewhere"), "there is no environment called elsewhere"),
        (("--bogus", "check"), "No such option"),
        (("--log-format", "xml", "check"), "Invalid value for '--log-format'"),
    ],
)
def test_wrong_usage_is_unknown_on_standard_output(watch: Watched, words: tuple[str, ...], said: str) -> None:
    assert said in called("--config", str(watch.path), *words, state=UNKNOWN).stdout


def test_wrong_options_before_another_command_are_its_own_incident() -> None:
    commands.call(None, "--bogus", "config", "check", code=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist, write one with"),
        ("timezone = 3\npoll = 1\n", "timezone: "),
        ("[[[", "is not TOML"),
    ],
)
def test_a_wrong_configuration_is_unknown(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    assert said in called("--config", str(path), "check", state=UNKNOWN).stdout


@BOTH
def test_a_database_that_is_not_there_not_ours_or_of_another_release_is_unknown(tmp_path: Path) -> None:
    watch = Watched(tmp_path)
    watch.store.close()
    words = ("--config", str(watch.path), "check")
    changed(watch.database, "UPDATE alembic_version SET version_num = '0001'")
    assert "run: renewal-watch db upgrade" in called(*words, state=UNKNOWN).stdout
    with away(watch.database):
        assert "cannot be used" in called(*words, state=UNKNOWN).stdout
    remove(watch.database)
    assert "the first poll makes" in called(*words, state=UNKNOWN).stdout
    assert not watch.database.exists()


def test_an_error_in_the_program_itself_is_unknown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        msg = "two\nlines | and a bar"
        raise RuntimeError(msg)

    from renewal_watch.diagnostics import nagios_check

    monkeypatch.setattr(nagios_check, "examine", broken)
    said = run(state=UNKNOWN)
    assert said == "RENEWAL UNKNOWN - an error in renewal-watch itself: RuntimeError: two lines ¦ and a bar\n"


@pytest.mark.parametrize("word", ["--help", "-h", "-V", "--version"])
def test_help_and_version_exit_unknown_as_the_guidelines_want(word: str) -> None:
    result = commands.call(None, "check", word, code=UNKNOWN)
    assert ("-w, --warning DAYS" if "h" in word else "renewal-watch check ") in result.output


# --- processes --------------------------------------------------------------------------------------------------------


def process(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "renewal_watch", "--config", str(path), "check", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_real_process_answers_with_the_exit_code_and_one_line(watch: Watched) -> None:
    watch.poll(one(0, 2, renewal_date=None), at=datetime.now(T0.tzinfo))
    done = process(watch.path)
    assert (done.returncode, done.stderr) == (CRITICAL, "")
    assert LINE.fullmatch(done.stdout)


@BOTH
def test_a_locked_database_is_unknown_after_the_timeout(watch: Watched) -> None:
    watch.poll(one(0, 2), at=datetime.now(T0.tzinfo))
    with lock(watch.database) as other:
        other.take(from_readers=True)
        done = process(watch.path, "-t", "0.5")
    assert done.returncode == UNKNOWN
    assert done.stdout == "RENEWAL UNKNOWN - no answer within 0.5 s: the database is locked or the machine is slow\n"


@SQLITE_ONLY
def test_a_user_who_may_not_read_the_database_is_told_so(watch: Watched) -> None:
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    path = watch.path.parent / "renewal-watch.db"
    path.chmod(0)
    try:
        command = [*bound, sys.executable, "-m", "renewal_watch", "--config", str(watch.path), "check"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    finally:
        path.chmod(0o600)
    assert (done.returncode, done.stderr) == (UNKNOWN, "")
    assert f"the database {path} cannot be used (unable to open database file)" in done.stdout
