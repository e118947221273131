"""What somebody who logged in does on the pages: the same as on the command line, in the same words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from browsing import Visitor, pages, password_file
from conftest import T0, Clock
from databases import BOTH, EITHER, impatient
from made_up import emptied
from sqlalchemy import select
from watched import CHANNEL, Watched, one

from renewal_watch.database.schema import actions
from renewal_watch.model.alerts import Incident
from renewal_watch.notify.routing import Routing
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.outbox.deliveries import claim
from renewal_watch.store.outbox.settling import settle_failed
from renewal_watch.store.outbox.waiting import outbox_counts

pytestmark = EITHER

HERE = "/numbers/production/phone-1"
NUMBER = {"environment": "production", "id": "phone-1", "back": HERE}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("deeds")
    made = Watched(folder, f'{CHANNEL}[web]\npassword_file = "{password_file(folder / "password")}"\n')
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def ticking() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def served(shared: Watched, ticking: Clock) -> Iterator[Visitor]:
    with pages(shared, ticking) as found:
        yield found


@pytest.fixture
def watched(shared: Watched) -> Watched:
    emptied(shared.store)
    shared.poll(one(1, 3), one(2, 30))
    return shared


@pytest.fixture
def clock(ticking: Clock) -> Clock:
    ticking.now = T0
    return ticking


@pytest.fixture
def stranger(served: Visitor, watched: Watched, clock: Clock) -> Visitor:
    assert (watched.path.exists(), clock.now) == (True, T0)
    served.forget()
    return served


@pytest.fixture
def visitor(stranger: Visitor) -> Visitor:
    stranger.login("Anna")
    return stranger


def incident(visitor: Visitor) -> Incident:
    with visitor.state.reading() as tx:
        (found,) = incidents_of(tx).values()
    return found


def test_who_is_not_logged_in_sees_no_buttons(stranger: Visitor) -> None:
    page = stranger.get(HERE).text
    assert "<button" not in re.sub(r"(?s)<footer.*</footer>", "", page)
    assert "Log in to acknowledge" in stranger.text(HERE)


def test_an_acknowledgement_and_its_end(visitor: Visitor) -> None:
    assert visitor.do("acknowledge", **NUMBER, comment="it is paid <b>tomorrow</b>") == (
        "ok: acknowledged: renewal (renewal.upcoming); no reminder before its next cycle, unless it gets worse"
    )
    ack = incident(visitor).ack
    assert ack
    assert (ack.by, ack.at) == ("web: Anna", T0)
    text = visitor.text(HERE)
    assert "acknowledged by web: Anna" in text
    assert "web: Anna: ack it is paid <b>tomorrow</b>" in text
    assert "Take the acknowledgement back" in text
    assert "<title>+15550000001" in visitor.get(HERE).text, "nothing waits for an answer any more"
    assert visitor.do("take-back", **NUMBER).startswith("ok: taken back: renewal (renewal.upcoming)")
    assert incident(visitor).ack is None
    assert visitor.do("take-back", **NUMBER) == "bad: nobody acknowledged it, so there is nothing to take back"


def test_nothing_open_is_said(visitor: Visitor) -> None:
    assert visitor.do("acknowledge", environment="production", id="phone-2").startswith(
        "bad: nothing is open about number +15550000002"
    )


def test_a_silence_and_its_end(visitor: Visitor, clock: Clock) -> None:
    done = visitor.do("silence", **NUMBER, length="1d", comment="moving house")
    assert done.startswith("ok: silence 1: alerts about 1 of the present numbers are hidden until 2026-11-24 12:00 UTC")
    assert "Silence 1 of web: Anna hides alerts until 24 Nov 2026, 12:00" in visitor.text(HERE)
    assert "moving house" in visitor.text("/alerts")
    assert visitor.do("end-silence", silence=1, back="/alerts").startswith("ok: silence 1 is over")
    assert visitor.do("end-silence", silence=1).startswith("bad: there is no silence 1 that holds")
    visitor.do("silence", **NUMBER, length="4h")
    clock.on(timedelta(hours=5))
    assert "hides alerts until" not in visitor.text(HERE)


@pytest.mark.parametrize("length", ["", "4", "100d", "-1d", "x"])
def test_a_silence_has_a_length_of_the_form(visitor: Visitor, length: str) -> None:
    assert visitor.do("silence", **NUMBER, length=length).startswith("bad: length:")


def test_a_number_that_is_meant_to_go_and_stays_after_all(visitor: Visitor) -> None:
    assert visitor.do("lapse", **NUMBER, comment="the branch closes") == (
        "ok: +15550000001 is meant to expire on 2026-11-26"
    )
    assert "It is to stay after all" in visitor.text(HERE)
    assert "meant to expire" in visitor.text("/?show=lapsing")
    assert visitor.do("keep", **NUMBER).startswith("ok: +15550000001 is to stay")
    assert visitor.do("keep", **NUMBER).startswith("bad: +15550000001 is not meant to expire")


def test_what_failed_is_sent_again(visitor: Visitor, watched: Watched, clock: Clock) -> None:
    channel = watched.settings.channel("ops")
    with watched.store.transaction() as tx:
        claimed = claim(tx, channel, "UTC", T0)
        assert claimed
        late = T0 + timedelta(days=60)
        settle_failed(tx, claimed, "the service is away", Routing.of(watched.settings), late, 0.5)
    clock.now = T0 + timedelta(days=60)
    visitor.login()
    text = visitor.text("/alerts?state=failed")
    assert "given up after 1 attempt: the service is away" in text
    (alert,) = re.findall(r'id="alert-(\d+)"', visitor.get("/alerts?state=failed").text)[-1:]
    assert visitor.do("retry", alert=alert).startswith("ok: 1 delivery is due again")
    with visitor.state.reading() as tx:
        assert outbox_counts(tx)["failed"] == 0
    assert visitor.do("retry").startswith("ok: no delivery failed")
    assert visitor.do("retry", alert=999).startswith("bad: none of these alerts has a delivery")
    assert visitor.do("retry", alert="x; DROP").startswith("bad: alert: 'x; DROP' is not a number")


@pytest.mark.parametrize("deed", ["acknowledge", "take-back", "lapse", "keep", "silence"])
def test_a_number_that_is_not_known_is_said(visitor: Visitor, deed: str) -> None:
    assert visitor.do(deed, environment="production", id="nobody", length="4h") == "bad: this number is not known"


@BOTH
def test_a_database_that_is_being_written_is_said_and_nothing_is_lost(visitor: Visitor, watched: Watched) -> None:
    impatient(visitor.state._writes.store())
    with watched.store.transaction() as tx:
        assert incidents_of(tx)
        token = visitor.token()
        answer = visitor.post("/do/acknowledge", {"token": token, **NUMBER})
        assert answer.status_code == 303
    assert "another process keeps it locked" in visitor.text(HERE)
    assert incident(visitor).ack is None
    assert visitor.do("acknowledge", **NUMBER).startswith("ok:")


def test_a_note_is_shown_once(visitor: Visitor) -> None:
    visitor.do("acknowledge", **NUMBER)
    assert 'class="note' not in visitor.get(HERE).text


def test_a_name_is_cut_and_cleaned_before_it_is_kept(visitor: Visitor) -> None:
    visitor.http.cookies.clear()
    visitor.login("An\u202ena\x1b[31m" + "x" * 100)
    visitor.do("acknowledge", **NUMBER)
    ack = incident(visitor).ack
    assert ack
    assert ack.by.isprintable()
    assert len(ack.by) <= 66
    visitor.http.cookies.clear()
    visitor.login("  ")
    visitor.do("take-back", **NUMBER)
    visitor.do("acknowledge", **NUMBER)
    ack = incident(visitor).ack
    assert ack
    assert ack.by == "web: somebody"


def test_the_audit_log_has_who_and_from_where(visitor: Visitor) -> None:
    visitor.do("acknowledge", **NUMBER)
    visitor.do("silence", **NUMBER, length="4h")
    with visitor.state.reading() as tx:
        kept = [(row.verb, row.author, row.origin, row.subject) for row in tx.connection.execute(select(actions))]
    assert [one[:3] for one in kept] == [(verb, "web: Anna", "web, 127.0.0.1") for verb in ("ack", "silence")]
    assert (kept[0][3], kept[1][3]) == (
        incident(visitor).name,
        "silence 1 until 2026-11-23 16:00 UTC: ids phone-1; environments production",
    )
