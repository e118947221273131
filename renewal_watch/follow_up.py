"""One turn of time: what is to be told because time passed, not because a list came.

One transaction, cheap when idle; the digests, which look at every number, are a turn of their own:

environments that became stale       reminders of what still holds       matters that nobody acknowledged: escalation
what a silence hid when it ends      silences about to end               what stopped flapping
messages of failing channels, for their fallback                         digests
backups that fail
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from renewal_watch import account, backups, digest, fleet, matching, messages, report, routing, rules, schedule
from renewal_watch.config import Channel
from renewal_watch.matching import Effective
from renewal_watch.model import Alert, Key, Matter, PhoneNumber, Policy, Severity, Silence
from renewal_watch.routing import Routing, Situation
from renewal_watch.store import Store, Transaction

BY_TIME = "its time"  # who ended a silence that nobody ended
_FILE = "environments "  # the topic of a file of an environment begins so
_DAEMON = "daemon "  # and that of a machine whose daemon is gone
_MISSED_FOR = timedelta(seconds=60)  # a daemon that comes back so soon was started anew
_LEFT_AFTER = timedelta(days=1)  # an environment that nobody polled, a machine without a daemon, was taken out


def run_once(
    store: Store,
    way: Routing,
    policies: Mapping[str, Policy],
    now: datetime,
    *,
    inventory_faults: Sequence[str] = (),
    file_faults: Mapping[str, str] | None = None,
    host: str = "",
    instance: str | None = None,
) -> int:
    """Tell what time has made due; how many alerts are new. ``policies`` are those of the configured environments.

    ``file_faults`` say by file what is wrong with the environments' directory, None who has not looked; ``host`` is the
    machine that has it, and ``instance`` this daemon, where several share the database.
    """
    with store.transaction() as tx:
        told = _stale(tx, way, policies, now)
        for silence in tx.silences():
            if now >= silence.ends_at:
                tx.end_silence(silence.pk, BY_TIME, now)
        known = tx.matters(of=[""])
        told += _inventory(tx, way, known, inventory_faults, host, now)
        told += _backup(tx, way, known, now)
        if file_faults is not None:
            told += _files(tx, way, known, file_faults, f" on {host}" if host else "", now)
        told += _daemons(tx, way, known, instance, now)
        told += _matters(tx, way, policies, now)
        told += _silences(tx, way, now)
        told += _flaps(tx, way, policies, now)
        for channel in way.channels:
            tx.stand_in(channel, way.zone, now)
        return told


def _stale(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    """Environments that became stale between two polls."""
    told = 0
    for environment_id, watch, _ in tx.watches():
        policy = policies.get(watch.name)
        if policy is None or watch.last_error is None or "watch.stale" in watch.told:
            continue
        if rules.is_stale(watch, policy, now):
            verdict = rules.judge_time(tx.fleet(environment_id), watch, policy, now)
            told += tx.record(environment_id, verdict, None, None, way, now)
    return told


def _inventory(
    tx: Transaction, way: Routing, known: Mapping[Key, Matter], faults: Sequence[str], host: str, now: datetime
) -> int:
    """That the inventory of a machine cannot be read whole, once, and its end; those of others are theirs to end."""
    here = f"inventory on {host}" if host else "inventory"
    told = {topic for topic in ("inventory", here) if Key("", "", topic) in known}
    if here in told if faults else not told:
        return 0
    words = messages.inventory_invalid(faults[0], host) if faults else messages.inventory_mended(host)
    severity = Severity.warning if faults else Severity.info
    alerts = [
        messages.of_the_watch(
            "inventory.invalid", severity, f"{host} {now.isoformat()}".strip(), words, topic=topic, ends=not faults
        )
        for topic in ({here} if faults else told)
    ]
    return tx.tell(alerts, way, now)


def _backup(tx: Transaction, way: Routing, known: Mapping[Key, Matter], now: datetime) -> int:
    """That the database is not backed up, again when it becomes urgent, and its end."""
    place = Key("", "", "backup")
    matter = known.get(place)
    if not way.backup.directory:
        if matter is not None and not tx.is_postgresql:  # another daemon may be the one that makes them
            tx.close_matters([place])
        return 0
    state = backups.State.of(tx.fired_at(backups.CALENDAR))
    if state.fault is None:
        if matter is None:
            return 0
        kind, severity, words = "watch.recovered", Severity.info, messages.backup_made(state.file)
    else:
        severity = Severity.critical if state.missed >= backups.URGENT_AFTER else Severity.warning
        if matter is not None and matter.severity >= severity:
            return 0
        kind, words = "backup.failed", messages.backup_failed(way.backup.directory, state.fault, state.good_at)
    key = f"backup/{now.isoformat()}"
    alert = messages.of_the_watch(kind, severity, key, words, topic=place.topic, ends=state.fault is None)
    return tx.tell([alert], way, now)


def _files(
    tx: Transaction, way: Routing, known: Mapping[Key, Matter], found: Mapping[str, str], where: str, now: datetime
) -> int:
    """Files of environments that cannot be used, each once, and their ends; those of other machines are theirs to end."""
    topics = (key.topic.removeprefix(_FILE) for key in known if key.topic.startswith(_FILE))
    told = {file for file in topics if not where or " on " not in file or file.endswith(where)}
    faults = {f"{file}{where}": fault for file, fault in found.items()}
    alerts = []
    for file in sorted(faults.keys() ^ told):
        is_broken = file in faults
        words = messages.environments_invalid(file, faults[file]) if is_broken else messages.environments_mended(file)
        severity = Severity.warning if is_broken else Severity.info
        key = f"{now.isoformat()} {file}"
        alerts.append(
            messages.of_the_watch(
                "environments.invalid", severity, key, words, topic=f"{_FILE}{file}", ends=not is_broken
            )
        )
    return tx.tell(alerts, way, now) if alerts else 0


def _daemons(tx: Transaction, way: Routing, known: Mapping[Key, Matter], instance: str | None, now: datetime) -> int:
    """Daemons that are gone without a word: told once, unless one on the same machine has come after it; and its end."""
    at = tx.clock(now)
    if not tx.judges(instance, at):
        return 0
    alerts = []
    found = tx.instances(now)
    living = [one for one in found if one.is_alive]

    def has_come(host: str, since: datetime) -> bool:
        return any(one.host == host and one.started_at > since for one in living)

    for gone in found:
        if gone.is_alive:
            continue
        if has_come(gone.host, gone.seen_at):
            tx.leave(gone.id)
        elif gone.seen_at + _MISSED_FOR <= at:
            tx.leave(gone.id)
            words = messages.daemon_lost(gone.host, gone.pid, gone.seen_at, {one.host for one in living})
            mark, topic = f"{gone.id} {gone.seen_at.isoformat()}", f"{_DAEMON}{gone.host}"
            alerts.append(messages.of_the_watch("watch.daemon_lost", Severity.warning, mark, words, topic=topic))
    for key, matter in known.items():
        if not key.topic.startswith(_DAEMON):
            continue
        host = key.topic.removeprefix(_DAEMON)
        if has_come(host, matter.opened_at):
            mark, words = f"{host} {now.isoformat()}", messages.daemon_back(host)
            alerts.append(
                messages.of_the_watch("watch.recovered", Severity.info, mark, words, topic=key.topic, ends=True)
            )
        elif now - matter.opened_at > _LEFT_AFTER:
            tx.close_matters([key])
    return tx.tell(alerts, way, now)


# --- matters ----------------------------------------------------------------------------------------------------------


def _matters(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    """Reminders, escalations, and what was hidden and is not any more."""
    active = [silence for silence in tx.silences() if silence.is_active(now)]
    found = tx.due_matters(active, way, now)
    if not found:
        return 0
    places = sorted({key.environment for key in found})
    known = Situation(silences=active, lapses=tx.lapsing(of=places))
    due = [(key, matter) for key, matter in found.items() if routing.is_due(key, matter, known, way, now)]
    alerts: list[Alert] = []
    kept: dict[Key, Matter | None] = {}
    for environment in places:
        those = [(key, matter) for key, matter in due if key.environment == environment]
        policy = policies.get(environment)
        for key, matter, restated in _restated(tx, way, environment, policy, those, now):
            if restated is None:
                kept[key] = None
            else:
                _tell_again(tx, way, known, key, matter, restated, alerts, kept, now)
    tx.keep_matters(kept)
    return tx.tell(alerts, way, now)


def _restated(
    tx: Transaction,
    way: Routing,
    environment: str,
    policy: Policy | None,
    those: Sequence[tuple[Key, Matter]],
    now: datetime,
) -> list[tuple[Key, Matter, rules.Restated | None]]:
    """Each matter as it stands now, None for one that does not hold any more."""
    if not environment:
        judged = [(key, matter, _holds(tx, way, key, now)) for key, matter in those]
        return [
            (key, matter, rules.Restated() if holds else None) for key, matter, holds in judged if holds is not None
        ]
    environment_id, watch, _ = tx.watch(environment)
    if policy is None:
        return [(key, matter, None) for key, matter in those] if _is_left(tx, environment, now) else []
    of_account = {key.topic for key, _ in those if account.reading_of(key.topic)}
    readings = tx.readings(environment_id) if of_account else {}
    facts = tx.facts(environment, readings, of_account, now) if of_account else account.Facts()
    fleet = tx.fleet(environment_id, {key.number_id for key, _ in those if key.number_id})
    parsed = tx.parsed(fleet[key.number_id] for key, _ in those if key.number_id in fleet)
    gone = {name for name, known in fleet.items() if known.missing_at is not None}
    users = tx.users_of((environment, key.number_id) for key, _ in those if key.number_id)
    return [
        (
            key,
            matter,
            _with_users(
                account.restate(key, readings, facts, policy, now)
                if key.topic in of_account
                else rules.restate(
                    key, matter, parsed.get(key.number_id), fleet.get(key.number_id), watch, policy, now
                ),
                matter,
                users.get((environment, key.number_id), ()),
            ),
        )
        for key, matter in those
        if key.topic == "presence" or key.number_id not in gone  # what else is about it goes on should it return
    ]


def _with_users(restated: rules.Restated | None, matter: Matter, names: Sequence[str]) -> rules.Restated | None:
    """Its words of today with the agents that use the number, before whatever follows them; old words have them."""
    if restated is None or restated.words is None or matter.severity < Severity.warning:
        return restated
    headline, text = restated.words
    return replace(restated, words=(headline, text + messages.used_by(names)))


def _is_left(tx: Transaction, environment: str, now: datetime) -> bool:
    """Whether an environment that this daemon does not have was taken out; else only its file may be broken here."""
    polled_at = tx.watch(environment)[1].last_poll_at
    return polled_at is None or now - polled_at >= _LEFT_AFTER


def _holds(tx: Transaction, way: Routing, key: Key, now: datetime) -> bool | None:
    """Whether a matter of the watch itself still holds; None where another daemon has to say that."""
    what, _, name = key.topic.partition(" ")
    if what == "channel" and way.named(name) is not None:
        return name in tx.channel_faults()
    if what == "canary" and way.canary.channel:
        return True
    if what in ("channel", "canary"):
        return None if tx.are_several(now) else False
    if what in ("inventory", "environments") and " on " in key.topic:
        machines = {one.host for one in tx.instances(now)}
        return not machines or key.topic.rpartition(" on ")[2] in machines
    if what == "daemon":  # unless it was given up just now
        return key in tx.matters(of=[""])
    return what in ("inventory", "environments", "backup")  # their ends are told


def _tell_again(
    tx: Transaction,
    way: Routing,
    known: Situation,
    key: Key,
    matter: Matter,
    restated: rules.Restated,
    alerts: list[Alert],
    kept: dict[Key, Matter | None],
    now: datetime,
) -> None:
    """Add what is due of one matter, in the words of today; or note what hides it now."""
    one = way.seen(key.environment, restated.number)
    said = way.said(one)
    hidden = routing.suppressed(matter.kind, one, said, known, mark=way.mark)
    if hidden is not None:
        kept[key] = routing.hide(matter, hidden)
        return
    if matter.hider is not None and matter.ack is not None:  # somebody knows already
        kept[key] = routing.show(matter)
        return
    words = restated.words or _as_told(tx, matter.alert_id)
    todo = messages.how_to_acknowledge(matter.alert_id)
    if matter.hider is not None or matter.told_at is None:
        words = messages.released(matter.hidden or "it was acknowledged", matter.opened_at, matter.told_at, words)
        alerts.append(_again("release", key, matter, restated, words, now))
        return
    if routing.is_escalation_due(matter, way, now) and matter.urgent_at is not None:
        channels = routing.escalates_to(said, way)
        if channels:
            urgent = messages.escalated(matter.urgent_at, now, words, todo)
            alerts.append(_again("escalation", key, matter, restated, urgent, now, channels))
    if routing.is_reminder_due(matter, way, now) and matter.told_at is not None:
        count, most = matter.reminded + 1, way.reminders.max_times
        is_critical = matter.severity == Severity.critical
        words = messages.reminder(count, most, matter.told_at, words, todo, is_critical=is_critical)
        alerts.append(_again("reminder", key, matter, restated, words, now))


def _who(number: PhoneNumber | None) -> str | None:
    return None if number is None else messages.who(number)


def _as_told(tx: Transaction, alert_id: int) -> tuple[str, str]:
    headline, text, at = tx.text_of(alert_id)
    return headline, messages.quoted(text, at)


def _again(
    nature: Literal["reminder", "release", "escalation"],
    key: Key,
    matter: Matter,
    restated: rules.Restated,
    words: tuple[str, str],
    now: datetime,
    channels: tuple[str, ...] | None = None,
) -> Alert:
    place = "/".join(filter(None, (key.environment, matter.kind, key.number_id)))
    return Alert(
        key=f"{place}/{nature} of {key.topic}/{now.isoformat()}",
        kind=matter.kind,
        severity=matter.severity,
        environment=key.environment,
        headline=words[0],
        text=words[1],
        number_id=key.number_id or None,
        number=_who(restated.number),
        days_left=restated.days_left,
        topic=key.topic,
        nature=nature,
        channels=channels,
        about=restated.number,
    )


# --- silences and flapping --------------------------------------------------------------------------------------------


def _silences(tx: Transaction, way: Routing, now: datetime) -> int:
    """That a silence will end while it hides something critical."""
    ending = [silence for silence in tx.silences() if routing.warns_of_end(silence, now)]
    if not ending:
        return 0
    alerts = []
    known = tx.matters()
    for silence in ending:
        hides = _hidden_by(tx, silence, known)
        if hides:
            words = messages.silence_ending(silence.pk, silence.author, silence.comment, silence.ends_at, hides)
            alerts.append(messages.of_the_watch("silence.ending", Severity.warning, str(silence.pk), words))
            tx.silence_warned(silence.pk, now)
    return tx.tell(alerts, way, now)


def _hidden_by(tx: Transaction, silence: Silence, known: Mapping[Key, Matter]) -> list[str]:
    """The headlines of what is critical and hidden by a silence."""
    return [
        tx.text_of(matter.alert_id)[0]
        for matter in known.values()
        if matter.severity == Severity.critical and matter.hider == f"silence:{silence.pk}"
    ]


def _flaps(tx: Transaction, way: Routing, policies: Mapping[str, Policy], now: datetime) -> int:
    """What went to and fro has settled: told once, with what holds now."""
    settled = {
        key: flap
        for key, flap in tx.flaps(until=now - routing.settles_after(way)).items()
        if routing.has_settled(flap, way, now)
        and (not key.environment or key.environment in policies or _is_left(tx, key.environment, now))
    }
    if not settled:
        return 0
    known = tx.situation(now, {key.environment for key in settled})
    tx.keep_flaps(dict.fromkeys(settled))
    alerts = []
    kept: dict[Key, Matter | None] = {}
    for key, flap in settled.items():
        if flap.since is None or (key.environment and key.environment not in policies):
            continue
        place = key._replace(topic="renewal") if key.topic == "auto_renewal" else key
        matter = known.matters.get(place)
        state = None if matter is None else _as_told(tx, matter.alert_id)[1]
        severity = Severity.info if matter is None else matter.severity
        if matter is not None and matter.hider != "flapping":
            matter = None  # told by itself
        number = _number(tx, key)
        one = way.seen(key.environment, number)
        said = way.said(one)
        hidden = routing.suppressed("flapping.ended", one, said, known, mark=way.mark)
        if matter is not None and hidden is not None:
            kept[place] = routing.hide(matter, hidden)
        who = _who(number) or key.environment or key.topic
        what = key.topic.replace("_", "-")
        words = messages.settled(who, key.environment, what, routing.settles_after(way), state)
        alerts.append(
            Alert(
                key=f"{'/'.join(filter(None, (key.environment, 'flapping.ended', key.number_id)))}/{now.isoformat()} {what}",
                kind="flapping.ended",
                severity=severity,
                environment=key.environment,
                headline=words[0],
                text=words[1],
                number_id=key.number_id or None,
                number=_who(number),
                topic=place.topic if matter and not hidden else "",
                channels=_who_learns(tx, way, said, key, flap.since, matter, severity),
                nature="release" if matter and not hidden else "new",
                about=number,
            )
        )
    tx.keep_matters(kept)
    return tx.tell(alerts, way, now)


def _who_learns(
    tx: Transaction, way: Routing, said: Effective, key: Key, since: datetime, matter: Matter | None, severity: Severity
) -> tuple[str, ...] | None:
    """The channels of what settled: those that take what holds now, and those that were told that it went to and fro."""
    kind = "flapping.ended" if matter is None else matter.kind
    takes = routing.taking(kind, severity, key.environment, said, way)
    told = tx.told_of("flapping.started", key, since)
    return tuple(one.name for one in way.channels if one.name in takes or one.name in told) or None


def _number(tx: Transaction, key: Key) -> PhoneNumber | None:
    if not key.number_id:
        return None
    ids = tx.number_ids({(key.environment, key.number_id)})
    return next(iter(tx.numbered(ids.values()).values()), None)


# --- digests ----------------------------------------------------------------------------------------------------------


def due_digests(store: Store, way: Routing, clock: Callable[[], datetime]) -> list[Channel]:
    """The channels whose digest's time came. The first one comes at its time; those missed while nothing ran are one.

    The clock is read when nobody else can send one any more: a process that was paused for hours has no old time in hand.
    """
    those = [channel for channel in way.channels if channel.digest is not None]
    if not those:
        return []
    with store.transaction() as tx:
        now = clock()
        for channel in those:
            fired = tx.fired_at(_calendar(channel))
            if fired is None or schedule.was_put_back(fired[0], now):
                tx.set_fired(_calendar(channel), now)
        return [channel for channel in those if _since(tx, channel, way, now) is not None]


def send_digests(
    store: Store,
    way: Routing,
    policies: Mapping[str, Policy],
    clock: Callable[[], datetime],
    still: Callable[[Channel], bool] = lambda _: True,
) -> int:
    """Put the digests whose time came, each once; how many. Looks at every number, and keeps nobody waiting for that.

    ``still`` says whether a channel is as it was: a configuration may be read anew meanwhile.
    """
    due = due_digests(store, way, clock)
    if not due:
        return 0
    with closing(store.sibling()) as beside:
        return sum(_send_digest(store, beside, way, channel, policies, clock, still) for channel in due)


def _send_digest(
    store: Store,
    beside: Store,
    way: Routing,
    channel: Channel,
    policies: Mapping[str, Policy],
    clock: Callable[[], datetime],
    still: Callable[[Channel], bool],
) -> int:
    calendar = _calendar(channel)
    with store.reading() as tx:
        fired = tx.fired_at(calendar)
        is_wanted = channel.digest_when_empty or tx.waits_for(channel.name) > 0
    state = _state(beside, channel, way, policies, clock()) if is_wanted else None
    with store.transaction() as tx:
        now = clock()
        times = _since(tx, channel, way, now)
        if times is None or tx.fired_at(calendar) != fired or not still(channel):  # another process was quicker
            return 0
        since, at = times
        tx.set_fired(calendar, now)
        changes = tx.waits_for(channel.name)
        if state is None or not (changes or channel.digest_when_empty):
            return 0
        key = f"{channel.name}/{at.isoformat()} at {now.isoformat()}"
        words = digest.compose(state, changes, since)
        alert = messages.of_the_watch("digest.sent", Severity.info, key, words, channels=(channel.name,))
        tx.put_digest(channel.name, alert, way, now)
    return 1


def _calendar(channel: Channel) -> str:
    return f"digest {channel.name}"


def _since(tx: Transaction, channel: Channel, way: Routing, now: datetime) -> tuple[datetime, datetime] | None:
    """When the last digest was and when this one is due; None where it is not."""
    fired = tx.fired_at(_calendar(channel))
    if fired is None or channel.digest is None:
        return None
    at = schedule.last_fire(fired[0], now, channel.digest, channel.timezone or way.zone)
    return None if at is None else (fired[0], at)


def _is_for(channel: Channel, environment: str, number: PhoneNumber, way: Routing) -> bool:
    """Whether the rules send alerts about a number to the channel."""
    said = way.said(way.seen(environment, number)) if way.rules else matching.NOTHING
    return channel.name in routing.channels_of(said, environment, way)


def _open_beside(
    tx: Transaction,
    channel: Channel,
    way: Routing,
    those: Sequence[tuple[Key, Matter]],
    environment: str,
    policy: Policy,
    now: datetime,
) -> list[str]:
    """The headlines of today of what the account says, which are ``those``, as far as the channel is told of them."""
    lines = []
    for key, matter, restated in _restated(tx, way, environment, policy, those, now):
        if restated is None:
            continue
        said = way.said(way.seen(environment, restated.number))
        if channel.name in routing.taking(matter.kind, matter.severity, environment, said, way):
            headline = (restated.words or tx.text_of(matter.alert_id))[0]
            lines.append(f"{headline} ({environment})" if account.is_release(key.topic) else headline)
    return lines


def _beside(matters: Mapping[Key, Matter]) -> dict[str, list[tuple[Key, Matter]]]:
    """What the account says and nobody hid or acknowledged, by environment, the most urgent first."""
    found: dict[str, list[tuple[Key, Matter]]] = {}
    for key, matter in sorted(matters.items(), key=lambda one: (-one[1].severity, one[1].opened_at, one[0])):
        is_open = matter.hider is None and matter.ack is None
        is_missing = key._replace(topic="presence") in matters  # it is told as missing
        if is_open and account.reading_of(key.topic) and not is_missing:
            found.setdefault(key.environment, []).append((key, matter))
    return found


def _state(store: Store, channel: Channel, way: Routing, policies: Mapping[str, Policy], now: datetime) -> digest.State:
    """What the digest of ``channel`` is made of. Each environment is read by itself: a poll that ends waits for no other."""
    with store.reading() as tx:
        watches = [
            (watch, policies[watch.name])
            for _, watch, _ in tx.watches()
            if watch.name in policies and (channel.environments is None or watch.name in channel.environments)
        ]
        known = tx.situation(now, ["", *(watch.name for watch, _ in watches)])
        outbox, faults = tx.outbox(), tx.channel_faults()
    by_environment = _beside(known.matters)
    beside: list[str] = []
    summary = digest.Summary(now)
    for watch, policy in watches:
        with store.reading() as tx:
            if those := by_environment.get(watch.name):
                beside += _open_beside(tx, channel, way, those, watch.name, policy, now)
            for one in fleet.every(tx, [watch.name]):
                if rules.is_watched(one.known, policy) and _is_for(channel, watch.name, one.number, way):
                    summary.add(report.row(watch.name, one.known, one.number, policy, now))
    return digest.State(
        summary=summary,
        watches=watches,
        open_beside=beside,
        matters=known.matters,
        silences=known.silences,
        lapses=known.lapses,
        outbox=outbox,
        faults=faults,
    )
