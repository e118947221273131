"""What the pages show: over real HTTP, from a real database, with the clock of the test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from browsing import Visitor, pages
from conftest import T0, Clock
from databases import EITHER, SQLITE_ONLY, Chosen, changed, opened, remove
from watched import CHANNEL, Watched, one

from renewal_watch.config.loading import load
from renewal_watch.errors import ChannelError
from renewal_watch.model.tracking import Known
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.store.maintenance import restoring, saving
from renewal_watch.store.numbers import fleet_of
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed

pytestmark = EITHER

H = timedelta(hours=1)
D = timedelta(days=1)
RUDE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A day of a fleet with every kind of trouble, ended at T0."""
    made = Watched(
        tmp_path_factory.mktemp("web"), CHANNEL + "[renewals]\nmissing_after_polls = 1\n", ("production", "test")
    )
    quiet = [one(index, 40, auto_renewal=True) for index in range(10, 70)]
    made.poll(
        *quiet,
        one(1, 14),
        one(2, -3, current_status="suspended"),
        one(3, 30),
        one(4, 5, number="+4930111111", country_code="DE", currency="EUR", monthly_renewal_cost=2.5, type="local"),
        one(5, None),
        one(6, 30, auto_renewal=True, number=RUDE, current_status=RUDE, currency=RUDE),
        one(7, 20, id="a/b c?d#e%2F"),
        one(8, 60, monthly_renewal_cost=None, current_price=None),
        at=T0 - D,
    )
    made.poll(one(1, 30), at=T0 - D, environment="test")
    made.poll(
        *quiet,
        one(1, 13),
        one(2, -4, current_status="suspended"),
        one(4, 4, number="+4930111111", country_code="DE", currency="EUR", monthly_renewal_cost=3.5, type="local"),
        one(5, None),
        one(6, 29, auto_renewal=True, number=RUDE, current_status=RUDE, currency=RUDE),
        one(7, 19, id="a/b c?d#e%2F"),
        one(8, 59, monthly_renewal_cost=None, current_price=None),
        one(9, 10, auto_renewal=True),
        at=T0,
    )
    made.poll(one(1, 29), at=T0, environment="test")
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def visitor(watched: Watched) -> Iterator[Visitor]:
    with pages(watched, Clock(T0 + H / 2)) as found:
        yield found


# --- the fleet --------------------------------------------------------------------------------------------------------


def numbers_of(page: str) -> list[str]:
    return re.findall(r'<th scope="row"[^>]*><a href="[^"]*">([^<]*)</a>', page)


def test_the_fleet_begins_with_what_is_most_urgent(visitor: Visitor) -> None:
    page = visitor.get("/").text
    assert numbers_of(page)[:3] == ["+15550000002", "+4930111111", "+15550000001"]
    assert "3 days overdue" not in visitor.text("/")
    assert "4 days overdue" in visitor.text("/")
    assert "1 to 50 of 69 numbers" in visitor.text("/")


def test_every_number_is_on_exactly_one_page(visitor: Visitor) -> None:
    first, second = visitor.get("/").text, visitor.get("/?page=2").text
    assert len(numbers_of(first)) == 50
    assert len(numbers_of(second)) == 19
    assert 'rel="next" href="/?page=2"' in first
    assert 'rel="prev" href="/"' in second
    assert 'rel="next"' not in second


FILTERS = {
    "search=0000002": ["+15550000002"],
    "search=%2B49 30 111": ["+4930111111"],
    "search=phone-1": 10 + 2,  # phone-1 of both environments, phone-10 to phone-19
    "environment=test": ["+15550000001"],
    "status=suspended": ["+15550000002"],
    "show=overdue": ["+15550000002"],
    "show=missing": ["+15550000003"],
    "show=sandbox": [],
    "within=7": ["+15550000002", "+4930111111"],
    "auto=off&country=DE": ["+4930111111"],
    "type=local": ["+4930111111"],
    "currency=EUR": ["+4930111111"],
    "day=2026-11-27": ["+4930111111"],
    "search=&status=&page=&environment=test": ["+15550000001"],
    "search=%25": ["+15550000007"],  # the one whose id has it
    "search=' OR 1=1 --": [],
}


@pytest.mark.parametrize("query", FILTERS)
def test_filters_leave_what_fits(visitor: Visitor, query: str) -> None:
    expected = FILTERS[query]
    found = numbers_of(visitor.get(f"/?{query}").text)
    assert (len(found) if isinstance(expected, int) else found) == expected


def test_what_is_asked_for_stays_in_the_form_and_in_every_link(visitor: Visitor) -> None:
    page = visitor.get("/?auto=on&sort=number&way=down&search=555").text
    assert 'value="555"' in page
    assert '<option value="on" selected>' in page
    assert 'rel="next" href="/?auto=on&amp;sort=number&amp;way=down&amp;search=555&amp;page=2"' in page
    assert 'aria-sort="descending"' in page


@pytest.mark.parametrize("column", ["number", "status", "cost", "environment", "renewal"])
def test_every_column_sorts_both_ways(visitor: Visitor, column: str) -> None:
    up = numbers_of(visitor.get(f"/?sort={column}&show=present&environment=production").text)
    down = numbers_of(visitor.get(f"/?sort={column}&way=down&environment=production").text)
    assert len(up) == len(down) == 50
    if column != "environment":
        assert up != down


WRONG = {
    "page=0": "page: 0 is not within",
    "page=x": "page: 'x' is not a whole number",
    "show=nothing": "show: 'nothing' is not known",
    "sort=id; DROP TABLE numbers": "order:",
    "within=-1": "within: '-1' is not a whole number",
    "day=soon": "day: 'soon' is not a day; write it like 2026-11-23",
    "within=99999999999": "within:",
    f"show={RUDE}": "show:",
}


@pytest.mark.parametrize("query", WRONG)
def test_what_no_page_has_gets_a_sentence(visitor: Visitor, query: str) -> None:
    answer = visitor.get(f"/?{query}")
    assert answer.status_code == 400
    assert WRONG[query] in visitor.text(f"/?{query}", status=400)
    assert RUDE not in answer.text


def test_a_page_beyond_the_last_leads_back(visitor: Visitor) -> None:
    assert "There are 69 numbers. To the first page" in visitor.text("/?page=40")


def test_what_the_provider_says_is_shown_as_text(visitor: Visitor) -> None:
    for path in ("/", "/?page=2", "/calendar", "/alerts", "/health", "/numbers/production/phone-6"):
        page = visitor.get(path).text
        assert RUDE not in page
        assert page.count("<script") == 1, path


# --- a number ---------------------------------------------------------------------------------------------------------


def test_a_number_s_page_says_why_and_what_comes_next(visitor: Visitor) -> None:
    text = visitor.text("/numbers/production/phone-1")
    assert "Thresholds (warn_days): 14, 7, 3, 1, 0, and the day itself." in text
    assert "Next: the threshold of 7 days, on Sun 29 Nov 2026" in text
    assert "Channels for it: ops." in text
    assert "renewal.upcoming" in text
    assert "ops Waiting for its first attempt rw-" in text


def test_the_history_is_drawn_and_written(visitor: Visitor) -> None:
    page = visitor.get("/numbers/production/phone-4").text
    assert '<svg class="chart"' in page
    assert '<g class="mark price"><title>price 2.5 → 3.5</title>' in page
    text = visitor.text("/numbers/production/phone-4")
    assert "monthly_renewal_cost 2.5 3.5" in text
    assert "Over time: active from 22 Nov 2026. Renewals seen: 0. Price changes: 1." in text


def test_a_number_that_left_the_list_has_a_gap(visitor: Visitor) -> None:
    page = visitor.get("/numbers/production/phone-3").text
    assert 'class="band gone" fill="url(#hatch)"' in page
    assert "not listed from 23 Nov 2026" in visitor.text("/numbers/production/phone-3")
    assert "missing since" in visitor.text("/numbers/production/phone-3")


def test_an_id_of_any_characters_has_its_page(visitor: Visitor) -> None:
    page = visitor.get("/?search=a/b").text
    (path,) = re.findall(r'<th scope="row"[^>]*><a href="([^"]*)"', page)
    assert "+1555" in visitor.text(path)


@pytest.mark.parametrize("path", ["/numbers/production/nobody", "/numbers/nowhere/phone-1", "/numbers/test/phone-4"])
def test_a_number_that_is_not_known_is_not_found(visitor: Visitor, path: str) -> None:
    assert "There is no number with this id" in visitor.text(path, status=404)


def test_a_number_of_an_environment_that_was_removed_says_so(watched: Watched) -> None:
    with pages(watched, Clock()) as visitor:
        watched.configure(CHANNEL)
        visitor.state.adopt(watched.settings)
        text = visitor.text("/numbers/test/phone-1", status=400)
        watched.configure(CHANNEL + "[renewals]\nmissing_after_polls = 1\n", ("production", "test"))
    assert "was in the environment test, which the configuration does not have any more" in text


# --- the calendar -----------------------------------------------------------------------------------------------------


def test_the_calendar_has_numbers_and_cost_of_each_day(visitor: Visitor) -> None:
    text = visitor.text("/calendar")
    assert "27 Nov 1 number 1 will be lost 3.50 EUR" in text.replace("✕ ", "")
    assert "Not in it: 1 number overdue ; 1 number without a renewal day." in text
    assert "Within 7 days 1 number 1 will be lost 3.50 EUR" in text
    (total,) = re.findall(r"Within 60 days 67 numbers \d+ will be lost \d+ repeats (.*?) Not in it", text)
    assert re.findall(r"[\d,]+\.\d\d (\S+)", total) == ["‹script›alert(1)‹/script›", "EUR", "USD"], "never summed"


def test_a_day_leads_to_its_numbers(visitor: Visitor) -> None:
    page = visitor.get("/calendar").text
    assert 'href="/?day=2026-11-27"' in page
    assert numbers_of(visitor.get("/?day=2026-11-27").text) == ["+4930111111"]


def test_what_renews_by_itself_comes_again_and_what_does_not_does_not(visitor: Visitor) -> None:
    page = visitor.text("/calendar?environment=production").replace("✕ ", "").replace("↻ ", "")
    assert "3 Dec 1 number 1.00 USD" in page
    assert "3 Jan 1 repeat, 1.00 USD" in page
    assert "27 Nov 1 number 1 will be lost 3.50 EUR" in page
    assert "27 Dec Mon" in page or "27 Dec 28 Dec" in page.replace("Mon ", "").replace("Sun ", ""), "it is lost by then"


def test_the_last_day_there_is_has_no_day_after_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.poll(one(1, None, renewal_date="9999-12-31", auto_renewal=True))
    with pages(watched, Clock()) as visitor:
        assert "Not in it: 1 number later than that." in visitor.text("/calendar")
    watched.store.close()


def test_the_calendar_of_an_environment_that_is_none_is_not_an_empty_one(visitor: Visitor) -> None:
    assert "nowhere" in visitor.text("/calendar?environment=nowhere", 400)


def test_within_so_many_days_is_the_same_everywhere(tmp_path: Path) -> None:
    """What the fleet counts as 7 days, the calendar counts as 7 days, the seventh from now included."""
    watched = Watched(tmp_path)
    watched.poll(*(one(days, days) for days in (*range(10), 29, 30, 31, 59, 60, 61)))
    with pages(watched, Clock()) as visitor:
        text = visitor.text("/calendar")
        for within in (7, 30, 60):
            found = visitor.get(f"/api/v1/numbers?within={within}").json()["total"]
            assert f"{within} days {found} " in text
            assert found == sum(days <= within for days in (*range(10), 29, 30, 31, 59, 60, 61))
    watched.store.close()


def test_today_and_sixty_days_and_no_more(visitor: Visitor) -> None:
    page = visitor.get("/calendar").text
    days = re.findall(r'<div class="date">.*?datetime="([0-9-]+)"', page)
    assert len(days) == 61
    assert days[0] == "2026-11-23"
    assert days == sorted(days)


# --- alerts -----------------------------------------------------------------------------------------------------------


def test_alerts_have_the_fate_of_every_delivery(visitor: Visitor) -> None:
    text = visitor.text("/alerts")
    assert "+4930111111 costs 3.50 EUR production" in text
    assert "messages waiting" in text
    assert "Waiting for its first attempt" in text


def test_alerts_are_paged_and_every_one_is_on_one_page(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.poll(*(one(index, 14) for index in range(120)))
    with pages(made, Clock()) as visitor:
        seen: list[str] = []
        path = "/alerts"
        while path:
            page = visitor.get(path).text
            seen += re.findall(r'id="alert-(\d+)"', page)
            following = re.search(r'rel="next" href="([^"]+)"', page)
            path = following[1] if following else ""
        assert len(seen) == len(set(seen)) == 120
        assert seen == sorted(seen, key=int, reverse=True)
        assert "No alerts match" in visitor.text("/alerts?state=failed")
        assert len(re.findall('id="alert-', visitor.get("/alerts?state=pending").text)) == 50
        assert len(re.findall('id="alert-', visitor.get("/alerts?environment=production&id=phone-7").text)) == 1
        assert "severity: 'worse' is not known" in visitor.text("/alerts?severity=worse", status=400)
        assert "no number" in visitor.text("/alerts?environment=production&id=nobody", status=400)
    made.store.close()


# --- health, and faults -----------------------------------------------------------------------------------------------


def test_a_stale_watch_is_said_on_every_page(watched: Watched) -> None:
    with pages(watched, Clock(T0 + 7 * H)) as visitor:
        for path in ("/", "/calendar", "/alerts", "/health", "/numbers/production/phone-1"):
            text = visitor.text(path)
            assert "The service itself needs attention." in text, path
            assert "production: its list was last read 7 h ago" in text, path


def test_a_watch_that_does_well_says_nothing_of_itself(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.poll(one(1))
    with pages(made, Clock()) as visitor:
        assert "needs attention" not in visitor.text("/")
        assert "Nothing is open: no incident waits for anybody." in visitor.text("/")
        assert "<title>Overview" in visitor.get("/").text
    made.store.close()


def test_the_title_says_how_much_waits_for_an_answer(visitor: Visitor) -> None:
    found = re.search(r"<title>\((\d+)\) Overview", visitor.get("/").text)
    assert found
    with visitor.state.reading() as tx:
        open_now = [one for one in incidents_of(tx).values() if one.severity and not one.ack and not one.suppressed]
    assert int(found[1]) == len(open_now) > 0


def test_a_failing_channel_and_a_failed_list_are_on_the_health_page(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.poll(one(1, 3))
    made.fail(at=T0 + H)
    with made.store.transaction() as tx:
        channel = made.settings.channel("ops")
        claimed = claim(tx, channel, "UTC", T0 + H)
        assert claimed
        settle_failed(tx, claimed, str(ChannelError("the service is away")), Routing.of(made.settings), T0 + H, 0.5)
    with pages(made, Clock(T0 + 2 * H)) as visitor:
        text = visitor.text("/health")
        assert "the provider has trouble (HTTP 500)" in text
        assert "ops failing since 23 Nov 2026, 13:00 : the service is away" in text
        assert "The last 2 polls" in text
        assert "Trying again 1 attempt so far" in visitor.text("/alerts")
    made.store.close()


def test_without_a_database_the_pages_say_so_and_mend_themselves(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.store.close()
    remove(made.database)
    with pages(made, Clock()) as visitor:
        if not Chosen.is_postgresql:
            for place in ("/", "/calendar", "/numbers/production/phone-1"):
                missing = f"there is no database at {made.database} yet; the first poll of the daemon makes it"
                assert missing in visitor.text(place, 503)
            assert visitor.get("/healthz").status_code == visitor.get("/readyz").status_code == 503
            assert not made.database.exists(), "looking must not make it"
        made.store = opened(made.database)
        assert "has no tables" in visitor.text("/", 503)
        made.store.upgrade()
        assert "No number yet" in visitor.text("/")
        made.poll(one(1))
        assert "+15550000001" in visitor.text("/")
    made.store.close()


def test_a_database_of_another_release_is_no_reason_to_restart(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    changed(watched.database, "UPDATE alembic_version SET version_num = '0001'")
    with pages(watched, Clock()) as visitor:
        assert visitor.get("/healthz").json()["status"] == "ok"
        for path in ("/readyz", "/", "/metrics", "/api/v1/status"):
            assert "db upgrade" in visitor.text(path, 503), path
    watched.store.close()


@SQLITE_ONLY
def test_a_restored_database_is_the_one_that_is_shown(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    made.poll(one(1))
    saving.save(made.store, tmp_path / "backup")
    made.poll(one(1), one(2))
    with pages(made, Clock()) as visitor:
        assert "+15550000002" in visitor.text("/")
        restoring.restore(tmp_path / "backup", made.settings.database_url, tmp_path)
        assert "+15550000002" not in visitor.text("/")
    made.store.close()


def test_an_empty_fleet_and_one_that_was_never_read_are_told_apart(tmp_path: Path) -> None:
    made = Watched(tmp_path)
    with pages(made, Clock()) as visitor:
        assert "No number yet No list was read so far." in visitor.text("/")
        assert "Never read so far." in visitor.text("/health")
        made.poll()
        assert "The list is empty" in visitor.text("/")
        assert "no number is watched" in visitor.text("/alerts")
        assert "In doubt no number is watched: the list is empty" in visitor.text("/health")
        assert visitor.get("/calendar").status_code == 200
    made.store.close()


def test_a_fault_of_our_own_is_said_without_its_details(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = Watched(tmp_path)
    made.poll(one(1))
    with made.store.transaction() as tx:
        tx.connection.exec_driver_sql("UPDATE entries SET entry = 'no JSON'")
    with pages(made, Clock()) as visitor:
        text = visitor.text("/", 500)
        assert "This is a fault of renewal-watch." in text
        assert "Traceback" not in text
        assert visitor.get("/health").status_code == 200, "the others go on"
    assert "Expecting value" in caplog.text
    made.store.close()


def test_times_are_in_the_configured_zone(watched: Watched) -> None:
    watched.path.write_text('timezone = "Asia/Tokyo"\n' + watched.path.read_text())
    with pages(watched, Clock()) as visitor:
        visitor.state.adopt(load(watched.path))
        text = visitor.text("/health")
    watched.path.write_text(watched.path.read_text().removeprefix('timezone = "Asia/Tokyo"\n'))
    assert "times in Asia/Tokyo · updated 23 Nov 2026, 21:00" in text


def test_what_was_silenced_says_so_on_the_number_and_among_the_alerts(tmp_path: Path) -> None:
    from renewal_watch.model.policy import Match

    made = Watched(tmp_path)
    made.poll(one(1, 3))
    with made.store.transaction() as tx:
        add_silence(tx, Match(ids=("phone-1",)), (), T0 + D, "Bob <b>", "moving & shaking", T0)
        known: Known = next(iter(fleet_of(tx, 1).values()))
        assert known.provider_id == "phone-1"
    with pages(made, Clock()) as visitor:
        for path in ("/alerts", "/numbers/production/phone-1"):
            text = visitor.text(path)
            assert "Silence 1 of Bob <b> hides alerts until 24 Nov 2026, 12:00" in text
            assert "moving & shaking" in text
            assert "<b>" not in visitor.get(path).text
    made.store.close()
