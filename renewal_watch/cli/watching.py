"""The commands that watch: the daemon, one poll, one turn of the channels, the canary."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from renewal_watch.cli import base
from renewal_watch.errors import ConfigError, RenewalWatchError, StoreError, Unforeseen, UsageError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from renewal_watch.clock import Clock
    from renewal_watch.database.store import Store
    from renewal_watch.notify.routing import Routing
    from renewal_watch.operations.dispatch import Sent
    from renewal_watch.operations.heartbeat import Heartbeats
    from renewal_watch.operations.poll import Polled
    from renewal_watch.operations.turn import Turn
    from renewal_watch.settings.channel import Channel
    from renewal_watch.settings.environment import Environment
    from renewal_watch.settings.whole import Settings
    from renewal_watch.store.rate_limit import Rates


@base.cli.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon: poll on schedule, tell at once. SIGHUP reloads, SIGTERM ends."""
    from renewal_watch.channels.senders import channel_faults
    from renewal_watch.config.secret_checks import secret_faults
    from renewal_watch.daemon.daemon import Daemon
    from renewal_watch.daemon.lock import only_one
    from renewal_watch.database.sqlite import sqlite_path
    from renewal_watch.database.store import Store
    from renewal_watch.store.maintenance import integrity_file
    from renewal_watch.systemd import Systemd

    settings = base.settings(ctx, complains=False)
    faults = secret_faults(settings, with_files=False) or channel_faults(settings)
    if faults:
        raise ConfigError([f"{settings.path}: {fault}" for fault in faults])
    path = sqlite_path(settings.database_url)
    with contextlib.ExitStack() as stack:
        if path is not None:  # daemons share a server, and find each other there
            base.make_state_dir(settings, path)
            stack.enter_context(only_one(path, base.now(ctx)))
        Systemd().say("EXTEND_TIMEOUT_USEC=600000000", "STATUS=opening the database")
        if path is not None and (found := integrity_file.of_file(path)):
            raise StoreError(str(found[0]))
        with contextlib.closing(Store(settings.database_url)) as store:
            code = Daemon(settings, store, base.clock(ctx)).run()
        sys.stderr.flush()
        os._exit(code)  # threads of a poll under way may wait for a provider; nothing of them is half written


@base.cli.command()
@base.ENVIRONMENT
@click.option("--no-send", is_flag=True, help="Only find and record; `send` or the daemon sends it.")
@click.option("--force", is_flag=True, help="Poll although the provider asked for a pause or rejected this token.")
@base.JSON
@click.pass_context
def poll(ctx: click.Context, environment: str | None, no_send: bool, force: bool, as_json: bool) -> None:  # noqa: FBT001
    """Poll every environment once, now, then send everything that is due. For cron and timers."""
    from renewal_watch.alerts import phrases
    from renewal_watch.operations.heartbeat import Heartbeats

    settings, clock = base.settings(ctx), base.clock(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    answer = base.Answer(ctx, as_json=as_json)
    environments = []
    with base.store(settings, write=True) as store, Heartbeats(store, clock) as beats:
        done = []
        for one, polled in _poll_all(settings, store, clock, chosen, beats, force=force):
            done.append((one, polled))
            if polled.skipped and polled.error is None:  # another process is at it
                click.echo(f"{one.name}: not polled: {polled.skipped}", err=True)
            elif polled.skipped:
                answer.fail(f"{one.name}: not polled: {polled.skipped}")
            elif polled.error:
                answer.fail(f"{one.name}: {polled.error}")
            else:
                answer.say(
                    f"{one.name}: {phrases.numbers(polled.numbers or 0)}, {polled.changed} changed, "
                    f"{polled.alerts} new {'alert' if polled.alerts == 1 else 'alerts'}"
                )
            environments.append(_polled_json(polled))
        now = _turn(settings, store, clock)
        sent = {} if no_send else _send_due(now)
        for one, polled in done:
            beats.end(one, polled, settings)
        told = {"channels": [], "upkeep": []} if no_send else _keep_up(now, sent, answer)
    answer.end(environments=environments, **told)


def _polled_json(one: Polled) -> dict[str, Any]:
    is_done = not (one.skipped or one.error)
    counts = {"numbers": one.numbers, "changed": one.changed, "alerts": one.alerts}
    return {
        "environment": one.environment,
        "polled": is_done,
        "skipped": one.skipped,
        "error": None if one.skipped else one.error,
        **(counts if is_done else dict.fromkeys(counts)),
    }


def _poll_all(
    settings: Settings, store: Store, clock: Clock, chosen: Sequence[Environment], beats: Heartbeats, *, force: bool
) -> Iterator[tuple[Environment, Polled]]:
    """Each with what its poll found, in their order; as many go on side by side as the daemon lets."""
    from concurrent.futures import ThreadPoolExecutor

    from renewal_watch.store.rate_limit import Rates

    routing = base.routing(settings)
    rates = None if force else Rates(store, clock)
    pool = ThreadPoolExecutor(settings.polls.at_once)
    try:
        turns = [pool.submit(_poll_one, settings, store, clock, one, beats, rates, routing) for one in chosen]
        for one, polled in zip(chosen, turns, strict=True):
            yield one, polled.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _poll_one(
    settings: Settings,
    store: Store,
    clock: Clock,
    environment: Environment,
    beats: Heartbeats,
    rates: Rates | None,
    routing: Routing,
) -> Polled:
    """One poll; without ``rates`` whatever pause the provider asked for."""
    import time

    from renewal_watch.operations import account_poll
    from renewal_watch.operations import poll as turn
    from renewal_watch.provider.base import SOON
    from renewal_watch.provider.opening import open_provider
    from renewal_watch.store.environments import environment_state

    name = environment.name
    with store.transaction() as tx:
        _, _, schedule = environment_state(tx, name)
    why = turn.why_not_now(environment, schedule, clock()) if rates else None
    if why:
        return turn.Polled(environment=name, skipped=why, error=why)
    beats.begin(environment)
    pace = rates.pace(environment, settings.environments) if rates else None
    source = open_provider(environment, time.sleep, pace=pace, patience=SOON)
    account_poll.learn_users(store, environment, settings.account, source, clock)
    policy = settings.policy(environment, routing.inventory)
    polled = turn.run_once(store, environment, source, policy, routing, clock)
    if polled.error is None and polled.skipped is None:
        try:
            found = account_poll.run_once(
                store, environment, settings.account, source, policy, routing, clock, absent=polled.absent > 0
            )
        except RenewalWatchError:
            raise
        except Exception as error:  # the others are polled, and everything is sent
            log.exception("environment=%s reading the account broke; it is tried after the next poll", name)
            return replace(polled, error=str(Unforeseen.of(error)))
        polled = replace(polled, alerts=polled.alerts + found)
    return polled


@base.cli.command()
@base.JSON
@click.pass_context
def send(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Send what is due, without polling."""
    settings = base.settings(ctx)
    answer = base.Answer(ctx, as_json=as_json)
    with base.store(settings, write=True) as store:
        now = _turn(settings, store, base.clock(ctx))
        told = _keep_up(now, _send_due(now), answer)
    answer.end(**told)


def _turn(settings: Settings, store: Store, clock: Clock) -> Turn:
    """What is due goes by the settings and the inventory as their files are now."""
    import time

    from renewal_watch.inventory.file import inventory_of
    from renewal_watch.operations.turn import Turn

    inventory = inventory_of(settings)
    return Turn(
        store=store,
        settings=settings,
        routing=base.routing(settings, inventory),
        clock=clock,
        pause=time.sleep,
        inventory_faults=inventory.faults,
    )


def _keep_up(now: Turn, sent: dict[str, Sent], answer: base.Answer) -> dict[str, Any]:
    """The daily tasks, after all else, so that nothing waits for a backup; then what they found to tell is sent.

    What was ``sent`` before and then is told, and given as keys of the document.
    """
    from renewal_watch.operations.dispatch import Sent
    from renewal_watch.operations.turn import UPKEEP

    done = []
    try:
        if UPKEEP.is_due(now):
            done = UPKEEP.run(now)
            for name, more in _send_due(now).items():
                sent[name] = Sent(sent=sent.get(name, Sent()).sent + more.sent, failed=more.failed)
    except StoreError as error:
        answer.fail(str(error))
    for one in done:
        (answer.say if one.is_good else answer.fail)(one.said)
    for name, told in sent.items():
        if told.failed:
            answer.fail(f"{name}: {told.sent} sent, {told.failed} not delivered, tried again later")
        else:
            answer.say(f"{name}: {told.sent} sent")
    return {
        "channels": [{"channel": name, "sent": told.sent, "failed": told.failed} for name, told in sent.items()],
        "upkeep": [one.said for one in done],
    }


def _send_due(now: Turn) -> dict[str, Sent]:
    """What time made due, then one turn of every channel that has something to send, some side by side; what each sent."""
    from concurrent.futures import ThreadPoolExecutor

    from renewal_watch.channels.senders import AT_ONCE, sender_of
    from renewal_watch.operations import dispatch, oncall, turn
    from renewal_watch.store.outbox.waiting import next_due

    store, settings, clock = now.store, now.settings, now.clock
    host = socket.gethostname() if store.is_shared else ""
    turn.follow(now, settings.file_faults(clock()), host=host)
    for task in turn.SENDING:
        if task.is_due(now):
            task.run(now)

    def send(channel: Channel) -> Sent:
        sender = sender_of(channel, clock)
        try:
            return dispatch.run_once(store, dispatch.Outlet(channel=channel, sender=sender), now.routing, clock)
        finally:
            sender.close()

    with store.transaction() as tx:
        at = clock()
        waiting = [
            one
            for one in settings.channels
            if ((due := next_due(tx, one, settings.timezone, at)) is not None and due <= at)
            or oncall.is_due(tx, one, now.routing, at)
        ]
    if not waiting:
        return {}
    with ThreadPoolExecutor(min(len(waiting), AT_ONCE)) as pool:
        return dict(zip([one.name for one in waiting], pool.map(send, waiting), strict=True))


@base.cli.command("canary")
@base.JSON
@click.pass_context
def canary_command(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001
    """Send the simulated number of [canary] now, the whole way from a poll to its channel."""
    import time

    from renewal_watch.operations import canary
    from renewal_watch.store.incidents.timers import fired_at
    from renewal_watch.store.outbox.alerts import sent_at_of

    settings, clock = base.settings(ctx), base.clock(ctx)
    if not settings.canary.channel:
        msg = 'the configuration has no [canary]; add it with channel = "NAME"'
        raise UsageError(msg)
    answer = base.Answer(ctx, as_json=as_json)
    with base.store(settings, write=True) as store:
        way = base.routing(settings)
        fault = canary.send(store, way, clock, time.sleep)
        now = _turn(settings, store, clock)
        told = _keep_up(now, _send_due(now), answer)
        with store.transaction() as tx:
            kept = fired_at(tx, "canary")
            sent_at = sent_at_of(tx, "canary.sent", way.canary.channel, kept[0]) if kept else None
    arrived = not fault and sent_at is not None
    if arrived:
        answer.say(f"the canary reached {way.canary.channel}; look whether it arrived")
    else:
        answer.fail(f"the canary did not arrive: {fault or 'its message waits; see: renewal-watch alerts'}")
    answer.end(channel=way.canary.channel, sent_at=sent_at if arrived else None, **told)
