"""Each channel in its language, from a poll to what a receiver got: real list, both engines, Apprise child."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import commands
import pytest
from databases import EITHER
from receivers import Answer, HttpReceiver
from sqlalchemy import select, update
from test_wording import NUMBER, World, made_alert, soon
from test_wording import world as world  # noqa: PLC0414 (a fixture)
from world import write_config

from renewal_watch.database.schema import alerts, incidents, silences
from renewal_watch.language import LANGUAGES, in_language
from renewal_watch.model.policy import Match, Policy, Record, Rule
from renewal_watch.notify.message import wording
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.sections import Reminders
from renewal_watch.store.incidents.incidents import incidents_of
from renewal_watch.store.incidents.listing import Wanted, list_incidents
from renewal_watch.store.incidents.silences import add_silence
from renewal_watch.timed import follow_up

pytestmark = EITHER

LOST = {
    "en": f"[critical] production: {NUMBER} will be lost in 3 days",
    "pt-BR": f"[crítico] production: {NUMBER} será perdido em 3 dias",
    "de": f"[kritisch] production: {NUMBER} geht in 3 Tagen verloren",
}


@pytest.fixture
def spoken(world: World) -> World:
    """A channel for each language, called like it."""
    world.channels = {name: Channel(name=name, language=name) for name in LANGUAGES}  # type: ignore[arg-type]
    return world


def test_one_alert_is_told_to_each_channel_in_its_language(spoken: World) -> None:
    spoken.inventory = {NUMBER.removeprefix("+"): Record(owner="Ann", labels=("sales",))}
    spoken.poll(soon())
    told = {name: spoken.told(name) for name in LANGUAGES}
    assert {name: title for name, ((title, _body),) in told.items()} == LOST
    bodies = {name: body for name, ((_title, body),) in told.items()}
    assert bodies["pt-BR"].startswith(
        f"CRÍTICO\n• {NUMBER} (production) será perdido em 3 dias, qui., 26 de nov. de 2026"
    )
    assert "1,00 USD" in bodies["pt-BR"]
    assert "[responsável: Ann; etiquetas: sales]" in bodies["pt-BR"]
    assert "Do., 26. Nov. 2026" in bodies["de"]
    assert "[zuständig: Ann; Labels: sales]" in bodies["de"]
    assert "[owner: Ann; labels: sales]" in bodies["en"]
    assert bodies["pt-BR"].splitlines()[-1].startswith("mensagem rw-")


def test_what_is_kept_is_english_whatever_is_spoken(spoken: World) -> None:
    spoken.channels.pop("en")
    spoken.poll(soon())
    spoken.told("de")
    with spoken.store.reading() as tx:
        kept = tx.connection.execute(select(alerts.c.headline, alerts.c.text)).one()
    assert kept.headline == f"{NUMBER} will be lost in 3 days"
    assert "auto-renewal is off" in kept.text


def test_a_reminder_and_what_a_silence_hid_are_in_the_language_too(spoken: World) -> None:
    spoken.poll(soon())
    for name in LANGUAGES:
        spoken.told(name)
    routing = replace(spoken.routing, reminders=Reminders(critical_every="1d"))
    spoken.now += timedelta(days=1)
    follow_up.run_once(spoken.store, routing, {"production": Policy()}, spoken.now)
    ((title, body),) = spoken.told("pt-BR")
    assert title.endswith("(lembrete 1 de 7)")
    assert "renewal-watch ack --alert" in body
    ((title, _),) = spoken.told("de")
    assert title.endswith("(Erinnerung 1 von 7)")


def test_what_was_hidden_says_by_what_in_the_language(spoken: World) -> None:
    with spoken.store.transaction() as tx:
        add_silence(tx, Match(numbers=("*",)), (), spoken.now + timedelta(hours=5), "ann", "moving", spoken.now)
    spoken.poll(soon())
    assert spoken.told("de") == []
    spoken.time_passes(hours=5)
    ((_, body),) = spoken.told("de")
    assert "Stummschaltung 1 von ann bis 23.11.2026 17:00 UTC" in body
    ((_, body),) = spoken.told("en")
    assert "silence 1 of ann until 2026-11-23 17:00 UTC" in body


def test_a_message_that_waited_says_why_in_the_language(world: World) -> None:
    world.channels["ops"] = Channel(name="ops", language="de", quiet_hours=("00:00-23:00",), critical_at_once=False)
    world.poll(soon(), soon("phone-2"))
    world.now = world.now.replace(hour=23, minute=1)
    ((title, body),) = world.told()
    assert title.startswith("[kritisch] production: Handlungsbedarf bei 2 Nummern")
    assert "23.11.2026 13:00 UTC" in body.splitlines()[-2]
    assert "00:00-23:00 UTC" in body.splitlines()[-2]
    assert not {"found", "held", "quiet"} & set(body.split())


def test_a_digest_is_in_the_language_of_its_channel(world: World) -> None:
    world.channels = {"ops": Channel(name="ops", language="pt-BR", digest="daily 20:00", critical_at_once=False)}
    world.time_passes(minutes=1)
    world.poll(soon(), soon("phone-2", auto_renewal=True, current_status="suspended"))
    world.time_passes(hours=9)
    ((title, body),) = world.told()
    assert title.startswith("[resumo] ")
    assert "2 números" in title
    assert f"{NUMBER} (production) será perdido" in body
    english = {"RENEWS", "COST", "SILENCED", "MONITORING", "FOUND", "within", "numbers", "nothing", "read", "ago"}
    assert not english & set(body.split())


def test_flapping_and_its_end_are_in_the_language(spoken: World) -> None:
    spoken.channels = {"de": spoken.channels["de"]}
    for turn in range(7):
        spoken.poll(soon(days=40, current_status="suspended" if turn % 2 else "active"))
    spoken.time_passes(days=2)
    said = " ".join(title + body for title, body in spoken.told("de"))
    assert "keeps changing" not in said
    assert "has settled" not in said
    assert "Status" in said


def test_the_reason_why_nobody_is_told_is_kept_and_said(spoken: World) -> None:
    spoken.rules = (Rule(name="quiet", mute=("renewal.*",)),)
    spoken.poll(soon())
    with spoken.store.reading() as tx:
        row = tx.connection.execute(select(incidents.c.suppressed, incidents.c.reason)).one()
        hidden = tx.connection.execute(select(alerts.c.hidden).where(alerts.c.kind == "renewal.upcoming")).scalar_one()
    assert (row.suppressed, hidden) == ("the rule quiet mutes it",) * 2
    assert row.reason == '{"text":"the rule quiet mutes it","why":{"type":"Muted","rule":"quiet"}}'


def test_an_alert_of_an_older_release_is_told_as_it_was_written(spoken: World) -> None:
    """It kept no facts of what was added: its words are all that is known."""
    spoken.poll(soon())
    with spoken.store.transaction() as tx:
        tx.connection.execute(update(alerts).values(around=None))
    ((title, body),) = spoken.told("de")
    assert f"{NUMBER} (production) will be lost in 3 days" in body
    assert title.startswith("[kritisch]")


def test_a_hook_is_told_in_its_language_and_the_fields_stay(spoken: World) -> None:
    channel = spoken.channels["pt-BR"]
    spoken.poll(soon())
    title, _ = spoken.told("pt-BR")[0]
    assert title == LOST["pt-BR"]
    alert = made_alert(headline="x", text="y")
    event = wording.event(alert, channel, spoken.routing, message_id="rw-1", alert_id=1, found_at=spoken.now)
    assert '"severity":"critical"' in event.body


@pytest.mark.parametrize(
    "shown",
    ["26/11/2026 13:00 UTC", "26.11.2026 13:00 -03", "12,345,678.90 USD", "12.345.678,90 BRL", "5 de nov. de 2026"],
)
def test_days_and_amounts_of_any_language_are_not_masked(shown: str) -> None:
    masked = wording.mask(made_alert(text=f"{NUMBER}: {shown}.", headline=f"{NUMBER} {shown}"))
    assert masked.headline == f"+155•••001 {shown}"


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "TEST of channel ops"), ("pt-BR", "TESTE do canal ops"), ("de", "TEST von Kanal ops")],
)
def test_the_test_message_is_in_the_language(language: str, said: str, tmp_path: Path, world: World) -> None:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    text = path.read_text()
    assert "[[channels]]" in text
    path.write_text(
        text + f'\n[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:{world.web.port}/"\nlanguage = "{language}"\n'
    )
    commands.call(path, "test-channel", "ops")
    assert said in world.web.requests[-1].json["title"]


def test_a_language_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    path = write_config(tmp_path, "http://127.0.0.1:1")
    path.write_text(path.read_text() + '\n[web]\nlanguage = "fr"\n')
    said = commands.call(path, "config", "check", code=78).output
    assert "web.language" in said
    assert all(name in said for name in LANGUAGES)


# --- beside an older release, and over damage -------------------------------------------------------------------------


def hidden_incident(spoken: World) -> None:
    """One that a silence hides, which an older release then ends: it knows nothing of the reason beside the words."""
    with spoken.store.transaction() as tx:
        add_silence(tx, Match(numbers=("*",)), (), spoken.now + timedelta(days=5), "bob", "", spoken.now)
    spoken.poll(soon())
    with spoken.store.transaction() as tx:
        tx.connection.execute(update(silences).values(ended_at=spoken.now, ended_by="bob"))
        tx.connection.execute(update(incidents).values(suppressed=None, suppressor=None, notified_at=spoken.now))


def test_a_reason_that_an_older_release_left_behind_hides_nothing(spoken: World) -> None:
    hidden_incident(spoken)
    with spoken.store.reading() as tx:
        assert tx.connection.execute(select(incidents.c.reason)).scalar_one() is not None
        (incident,) = incidents_of(tx).values()
        (listed,) = list_incidents(tx, spoken.now.date().toordinal(), Wanted())
    assert (incident.suppressed, listed.suppressed, listed.state) == (None, None, "open")
    routing = replace(spoken.routing, reminders=Reminders(critical_every="1d"))
    spoken.now += timedelta(days=1)
    follow_up.run_once(spoken.store, routing, {"production": Policy()}, spoken.now)
    ((title, _body),) = spoken.told("de")
    assert title.endswith("(Erinnerung 1 von 7)")


def test_words_that_an_older_release_wrote_go_before_a_reason_of_others(spoken: World) -> None:
    hidden_incident(spoken)
    with spoken.store.transaction() as tx:
        tx.connection.execute(update(incidents).values(suppressed="the rule quiet mutes it", suppressor="rule:x"))
    with spoken.store.reading() as tx, in_language("de"):
        (incident,) = incidents_of(tx).values()
    assert incident.suppressed is not None
    assert incident.suppressed.words() == "the rule quiet mutes it"


@pytest.mark.parametrize("kept", ["{", "[]", '{"text": "x"}', "null", '{"text":"silence","why":{"type":"Later"}}'])
def test_a_damaged_value_stops_nothing_and_is_found_by_the_check(spoken: World, kept: str) -> None:
    spoken.rules = (Rule(name="quiet", mute=("renewal.*",)),)
    spoken.poll(soon())
    with spoken.store.transaction() as tx:
        tx.connection.execute(update(incidents).values(reason=kept))
        tx.connection.execute(update(alerts).values(reason=kept, around=kept, facts=kept))
    spoken.rules = ()
    assert spoken.poll(soon()).error is None
    spoken.time_passes(hours=1)
    ((_title, body),) = spoken.told("de")
    assert "the rule quiet mutes it" in body, "in the words that are left"


def test_a_message_that_was_away_is_late_however_it_goes(spoken: World) -> None:
    spoken.channels = {"de": spoken.channels["de"]}
    spoken.web.answers(Answer(500))
    spoken.poll(soon())
    spoken.told("de")
    spoken.poll(soon(), soon("phone-2"))
    spoken.now += timedelta(minutes=30)
    spoken.web.answers(HttpReceiver.ok)
    ((_title, body),) = spoken.told("de")
    assert "verspätet" in body


def test_a_fallback_says_why_it_is_told_whatever_the_channel_is_called(spoken: World) -> None:
    spoken.channels = {
        "rw-alerts": Channel(name="rw-alerts", fallback="de", fallback_after="30m"),
        "de": Channel(name="de", language="de", by_rule_only=True),
    }
    spoken.web.answers(Answer(500))
    spoken.poll(soon())
    spoken.told("rw-alerts")
    spoken.time_passes(hours=1)
    spoken.told("rw-alerts")
    spoken.time_passes(hours=1)
    spoken.web.answers(HttpReceiver.ok)
    said = " ".join(body for _title, body in spoken.told("de"))
    assert "rw-alerts" in said
    assert "anstelle" in said or "statt" in said or "Stelle" in said
