"""What changed between two times: by the command, in the API, on the page; on either engine the same."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import commands
import pytest
from browsing import pages
from conftest import T0, Clock
from databases import BOTH
from watched import CHANNEL, Watched, one

from renewal_watch.store.differences import differences, lists_between
from renewal_watch.store.environments import environment_states
from renewal_watch.store.history import snapshot_at
from renewal_watch.store.maintenance import retention

pytestmark = BOTH
DAY = timedelta(days=1)
NOW = T0 + 3 * DAY
INVENTORY = "number,owner,labels,note\n+15550000001,Sales,vip,\n+15550000002,Care,,\n"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    (tmp_path / "inventory.csv").write_text(INVENTORY)
    more = f'{CHANNEL}[inventory]\nfile = "{tmp_path}/inventory.csv"\n'
    return Watched(tmp_path, more, ("production", "test"))


def said(watched: Watched, *words: str, at: Any = NOW) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(commands.call(watched.path, "changes", "--json", *words, clock=Clock(at)).output)
    return found


def groups(found: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(it["id"], it["group"], [change["what"] for change in it["changes"]]) for it in found["numbers"]]


def eventful(watched: Watched) -> None:
    """Days in which everything happens to somebody, and some of it is undone again."""
    first = [one(index) for index in range(1, 10)]
    watched.poll(*first, at=T0)
    watched.poll(one(20), one(21, 30, monthly_renewal_cost="5.00"), environment="test", at=T0)
    later = [
        one(1, current_status="suspended", monthly_renewal_cost="2.00"),
        one(2, monthly_renewal_cost="1.50"),
        one(3, monthly_renewal_cost="3.00"),
        one(4, auto_renewal=True),
        one(5, has_sms=False),
        one(6, number="+15559999999"),
        one(7),
        *(one(index) for index in (9, 10)),
    ]
    watched.poll(*later, at=T0 + DAY)
    later[2] = one(3)  # 1.00 → 3.00 → 1.00
    watched.poll(*later[:-1], one(11), at=T0 + 2 * DAY)
    watched.poll(one(20), one(21, 30, monthly_renewal_cost="4.00"), environment="test", at=NOW - DAY / 8)


EVENTFUL = [
    ("phone-8", "gone", ["gone"]),
    ("phone-1", "status", ["status", "dearer"]),
    ("phone-6", "renumbered", ["renumbered"]),
    ("phone-2", "dearer", ["dearer"]),
    ("phone-21", "cheaper", ["cheaper"]),
    ("phone-4", "auto_renewal_on", ["auto_renewal_on"]),
    ("phone-5", "capability_lost", ["capability_lost"]),
    ("phone-11", "added", ["added"]),
    ("phone-10", "came_and_went", ["came_and_went"]),
]


def test_the_net_effect_is_told_once_for_each_number(watched: Watched) -> None:
    eventful(watched)
    found = said(watched, "--since", "4d")
    assert groups(found) == EVENTFUL
    assert found["total"] == 9
    assert {name: count for name, count in found["counts"].items() if count} == {
        **dict.fromkeys(("gone", "status", "renumbered", "dearer", "cheaper", "auto_renewal_on"), 1),
        **dict.fromkeys(("capability_lost", "added", "came_and_went"), 1),
    }
    first = found["numbers"][1]
    assert (first["number"], first["owner"], first["status"]) == ("+15550000001", "Sales", "suspended")
    assert first["changes"][1] == {
        "what": "dearer",
        "seen_at": "2026-11-24T12:00:00Z",
        "before": "1.0",
        "now": "2.00",
        "currency_before": "USD",
        "currency": "USD",
    }
    assert found["environments"][0] == {
        "name": "production",
        "compared_from": "2026-11-23T12:00:00Z",
        "compared_to": "2026-11-25T12:00:00Z",
        "history_since": "2026-11-23T12:00:00Z",
    }


def test_a_span_within_the_past_knows_nothing_of_what_came_later(watched: Watched) -> None:
    eventful(watched)
    within = said(watched, "--since", "2026-11-23T13:00Z", "--until", "2026-11-24T18:00Z")
    assert [(name, group) for name, group, _ in groups(within)] == [
        ("phone-8", "gone"),
        ("phone-1", "status"),
        ("phone-6", "renumbered"),
        ("phone-2", "dearer"),
        ("phone-3", "dearer"),
        ("phone-4", "auto_renewal_on"),
        ("phone-5", "capability_lost"),
        ("phone-10", "added"),
    ]
    after = said(watched, "--since", "2026-11-24T18:00Z", "--environment", "production")
    assert [(name, group) for name, group, _ in groups(after)] == [
        ("phone-10", "gone"),
        ("phone-3", "cheaper"),
        ("phone-11", "added"),
    ]
    assert after["numbers"][1]["changes"][0]["before"] == "3.00"


def test_both_sides_are_the_lists_as_snapshots_have_them(watched: Watched) -> None:
    eventful(watched)
    with watched.reading() as tx:
        (pk,) = (pk for pk, watch, _ in environment_states(tx) if watch.name == "production")
        for since, until in ((T0, T0 + DAY), (T0 + DAY, NOW), (T0, NOW)):
            lists = lists_between(tx, pk, since, until)
            assert lists is not None
            (_, before), (_, now) = snapshot_at(tx, pk, since) or (), snapshot_at(tx, pk, until) or ()
            old, new = ({entry["id"]: entry for entry in those} for those in (before, now))
            found = {it.provider_id: it for it in differences(tx, {pk: lists})}
            for name in {*old, *new} - found.keys():
                assert old[name] == new[name] | {"days_until_monthly_renewal": old[name]["days_until_monthly_renewal"]}
            for name, it in found.items():
                assert (not it.was_listed) or it.before == old[name]
                assert (not it.is_listed) or it.now == new[name]


def test_owner_label_and_environment_narrow(watched: Watched) -> None:
    eventful(watched)
    assert [name for name, *_ in groups(said(watched, "--since", "4d", "--owner", "Care"))] == ["phone-2"]
    assert [name for name, *_ in groups(said(watched, "--since", "4d", "--label", "vip"))] == ["phone-1"]
    assert [name for name, *_ in groups(said(watched, "--since", "4d", "--environment", "test"))] == ["phone-21"]


def test_a_number_that_is_renewed_or_is_back_or_moved(watched: Watched) -> None:
    watched.poll(one(1, 1), one(2, 20), one(3, 20), at=T0)
    watched.poll(one(9), environment="test", at=T0)
    for days in range(1, 4):
        watched.poll(one(1, 1, renewal_date="2026-11-24"), at=T0 + days * DAY / 24)
    watched.poll(one(2, 20), one(1, 30, renewal_date="2026-12-24"), at=T0 + DAY)
    watched.poll(one(9), one(3, 20), environment="test", at=T0 + DAY)
    for hours in range(1, 4):  # now it counts as missing, and is found
        watched.poll(one(2, 20), one(1, 30, renewal_date="2026-12-24"), at=T0 + DAY + hours * DAY / 24)
    found = said(watched, "--since", "4d", at=T0 + 2 * DAY)
    assert groups(found) == [
        ("phone-3", "moved", ["moved"]),
        ("phone-1", "renewed", ["renewed"]),
        ("phone-3", "added", ["added"]),
    ]
    assert found["numbers"][0]["changes"][0]["now"] == "test"
    back = said(watched, "--since", "2026-11-23T16:00Z", at=T0 + 2 * DAY)
    assert ("phone-2", "returned", ["returned"]) in groups(back)


def test_sandbox_numbers_count_where_they_are_watched(watched: Watched) -> None:
    watched.poll(one(1, is_sandbox=True), one(2, is_sandbox=True), at=T0)
    watched.poll(one(1, is_sandbox=True, current_status="suspended"), one(2), at=T0 + DAY)
    assert groups(said(watched, "--since", "4d")) == [("phone-2", "sandbox", ["sandbox"])]


def test_the_text_counts_groups_and_says_how_far_it_reaches(watched: Watched) -> None:
    eventful(watched)
    output = commands.call(watched.path, "changes", "--since", "4d", clock=Clock(NOW)).output.splitlines()
    assert output[0] == (
        "9 numbers changed between 2026-11-22 12:00 UTC and 2026-11-26 12:00 UTC: 1 gone, 1 with another status,"
        " 1 with another number, 1 dearer, 1 cheaper, 1 auto-renewal switched on, 1 with a lost capability, 1 added,"
        " 1 added and gone again"
    )
    assert output[1:3] == [
        (
            "production: its history begins 2026-11-23 12:00 UTC; what was before is not known; no list was read after"
            " 2026-11-25 12:00 UTC; what changed since then is not known"
        ),
        "test: its history begins 2026-11-23 12:00 UTC; what was before is not known",
    ]
    assert output[4:6] == ["Gone (1)", "  +15550000008  production  not listed since 2026-11-24 12:00 UTC"]
    assert any(
        line.split("  ")[1:4] == ["+15550000001", "production", "active → suspended"]
        and line.endswith("  dearer: 1.00 USD → 2.00 USD")
        for line in output
    )


def test_nothing_is_a_sentence_from_yesterday_on(watched: Watched) -> None:
    eventful(watched)
    watched.poll(*[one(index) for index in (1, 2)], at=NOW - DAY / 8)
    watched.poll(*[one(index) for index in (1, 2)], at=NOW + 2 * DAY)
    output = commands.call(watched.path, "changes", "--environment", "production", clock=Clock(NOW + 2 * DAY)).output
    assert output.splitlines() == [
        "Nothing changed between 2026-11-27 00:00 UTC and 2026-11-28 12:00 UTC.",
        "production: the list before that is of 2026-11-26 09:00 UTC; what changed since then is told as well",
    ]


def test_before_the_first_list_nothing_is_known(watched: Watched) -> None:
    assert commands.call(watched.path, "changes", "--since", "3d").output.splitlines() == [
        "Nothing changed between 2026-11-20 12:00 UTC and 2026-11-23 12:00 UTC.",
        "production: no list was read by then",
        "test: no list was read by then",
    ]


def test_what_means_nothing_is_counted(watched: Watched) -> None:
    watched.poll(one(1), one(2), one(3), at=T0)
    watched.poll(one(1, updated_at="2026-11-24"), one(2, updated_at="2026-11-24", type="local"), one(3), at=T0 + DAY)
    found = said(watched, "--since", "4d")
    assert (found["total"], found["other"]) == (0, {"numbers": 2, "fields": {"type": 1, "updated_at": 2}})
    output = commands.call(watched.path, "changes", "--since", "4d", clock=Clock(NOW)).output
    assert "2 numbers changed in other fields only: updated_at, type" in output


def test_thinned_months_are_compared_by_their_last_lists(watched: Watched) -> None:
    for days in range(80):
        cost = "1.00" if days < 20 else "2.00" if days < 40 else "3.00"
        watched.poll(one(1, 200 - days, monthly_renewal_cost=cost), at=T0 + days * DAY)
    end = T0 + 80 * DAY
    limits = retention.Limits(changes=end - 20 * DAY, alerts=T0)
    retention.prune(watched.store, limits, end, lambda _: None)
    watched.configure(f"{CHANNEL}[retention]\nchanges_days = 20\n")
    output = commands.call(watched.path, "changes", "--since", "2026-12-20", clock=Clock(end)).output
    assert "1.00 USD → 3.00 USD" in output
    assert (
        "production: of so long ago one list a month is kept, the one before that is of 2026-11-30 12:00 UTC" in output
    )


def test_what_is_asked_for_wrongly_is_refused(watched: Watched) -> None:
    for words, sentence in (
        (("--since", "soon"), "--since: 'soon' is not a time"),
        (("--until", "2020-01-01"), "--until: '2020-01-01' is not after the beginning"),
        (("--environment", "nowhere"), "nowhere"),
    ):
        result = commands.call(watched.path, "changes", *words, code=None)
        assert result.exit_code in (2, 78)
        assert sentence in result.stderr


# --- the page and the API ---------------------------------------------------------------------------------------------


def test_the_page_has_a_table_for_each_group_and_filters(watched: Watched) -> None:
    eventful(watched)
    with pages(watched, Clock(NOW)) as visitor:
        assert 'href="/changes"' in visitor.get("/").text
        text = visitor.text("/changes?since=7d")
        assert "9 numbers changed between" in text
        assert "Gone 1" in text
        assert "+15550000001 production Sales active → suspended dearer: 1.00 USD → 2.00 USD 24 Nov 2026, 12:00" in text
        assert "production: its history begins 2026-11-23 12:00 UTC" in text
        raw = visitor.get("/changes?since=7d&owner=Sales").text
        assert '<a href="/numbers/production/phone-1">' in raw
        assert "phone-2" not in raw
        assert '<option value="7d" selected>' in raw
        assert "1 number changed" in visitor.text("/changes?day=2026-11-20&environment=test")
        assert "2026-11-20" in visitor.get("/changes?day=2026-11-20").text
        assert "Nothing changed between 2026-11-26 00:00 UTC" in visitor.text(
            "/changes?since=today&environment=production"
        )
        assert "is not a time" in visitor.text("/changes?since=soon", status=400)
        assert "nowhere" in visitor.text("/changes?environment=nowhere", status=400)


def test_a_long_group_is_cut_and_counted(watched: Watched) -> None:
    watched.poll(one(1), at=T0)
    watched.poll(one(1), *(one(index) for index in range(2, 113)), at=T0 + DAY)
    with pages(watched, Clock(NOW)) as visitor:
        text = visitor.text("/changes?since=7d")
        assert text.count("listed since") == 100
        assert "and 11 more: renewal-watch changes" in text


def test_the_api_gives_what_the_command_gives(watched: Watched) -> None:
    eventful(watched)
    with pages(watched, Clock(NOW)) as visitor:
        found = visitor.get("/api/v1/changes?since=4d").json()
        assert found == said(watched, "--since", "4d")
        few = visitor.get("/api/v1/changes?since=4d&limit=2").json()
        assert (few["total"], len(few["numbers"])) == (9, 2)
        assert visitor.get("/api/v1/changes?since=4d&label=vip").json()["total"] == 1
        assert visitor.get("/api/v1/changes?since=2026-11-24&until=2026-11-24").json() == said(
            watched, "--since", "2026-11-24", "--until", "2026-11-24"
        )
        assert visitor.get("/api/v1/changes?since=2030-01-01").json()["total"] == 0
        for wrong in ("soon", "2026-02-30", "2026-13-01", "0d", "2026-11-24T25:00"):
            refused = visitor.get(f"/api/v1/changes?since={wrong}")
            assert (refused.status_code, refused.json()["parameter"]) == (400, "since")
            assert "is no time such as" in refused.json()["detail"]
        assert visitor.get("/api/v1/changes?since=2028-02-29").status_code == 200
