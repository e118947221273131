"""The commands: reads options, puts the parts together, prints, exits. The composition root.

Exit codes: 0 done, 1 something failed that may work later, 2 wrong usage, 78 the configuration is wrong.
Own modules are imported inside the commands that need them, so that ``--help`` and ``status`` answer fast.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from renewal_watch import __version__
from renewal_watch.errors import ConfigError, RenewalWatchError, StoreError, UsageError

if TYPE_CHECKING:
    from renewal_watch.config import Channel, Settings
    from renewal_watch.inventory import Inventory
    from renewal_watch.model import Match
    from renewal_watch.poll import Polled
    from renewal_watch.routing import Hold, Routing
    from renewal_watch.store import Store, Transaction

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
_ENVIRONMENT = click.option("--environment", metavar="NAME", help="Only this environment.")


class _Commands(click.Group):
    """Turns every error of ours into one sentence on standard error and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RenewalWatchError as error:
            from renewal_watch.text import REDACTOR

            lines = error.faults if isinstance(error, ConfigError) else (str(error),)
            for line in lines:
                click.echo(f"renewal-watch: {REDACTOR.clean(line)}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--config", "config_path", metavar="PATH", help="The configuration file.")
@click.option("--verbose", is_flag=True, help="Say more on standard error.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.version_option(__version__, prog_name="renewal-watch", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config_path: str | None, verbose: bool, log_format: str) -> None:  # noqa: FBT001
    """Watches rented phone numbers and tells people before one renews, fails to renew or is lost."""
    from renewal_watch import logs

    logs.set_up(verbose=verbose, form=log_format, speaks=ctx.invoked_subcommand == "run")
    ctx.obj = config_path


def main() -> None:
    """The entry point."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (closed by who called)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows another one
    code: object = 0
    try:
        try:
            cli(prog_name="renewal-watch")
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:  # whoever read it has read enough
            with contextlib.suppress(OSError):
                os.write(2, f"renewal-watch: the output cannot be written: {error.strerror}\n".encode())
        code = 1
    # Taking the interpreter down piece by piece costs a tenth of a second and has nothing to give back.
    os._exit(code if isinstance(code, int) else 1)


def _settings(ctx: click.Context) -> Settings:
    from renewal_watch import config

    return config.load(config.find(ctx.obj))


@contextlib.contextmanager
def _store(settings: Settings, *, write: bool) -> Iterator[Store]:
    """The database, brought up to date if it may be written; it must be there to be read."""
    from renewal_watch.schema import sqlite_path
    from renewal_watch.store import Store

    path = sqlite_path(settings.database_url)
    if write:
        _make_state_dir(settings, path)
    elif path is not None and not _is_there(path):
        msg = f"there is no database at {path} yet; the first poll makes it: renewal-watch poll"
        raise StoreError(msg)
    store = Store(settings.database_url)
    try:
        if write:
            store.upgrade()
        else:
            store.require_current()
        yield store
    finally:
        store.close()


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        msg = f"{path} cannot be reached by this user; run it with sudo, or as the user of the service"
        raise StoreError(msg) from None


def _make_state_dir(settings: Settings, database: Path | None) -> None:
    if database is None or database.parent != settings.state_dir:
        return
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"state_dir: {settings.state_dir} cannot be made: {error.strerror}"
        raise ConfigError([msg]) from None


def _now() -> datetime:
    return datetime.now(UTC)


# --- trying it --------------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--seed", type=int, default=7, show_default=True, help="Another fleet, another story.")
@click.option("--numbers", type=click.IntRange(12, 500), default=40, show_default=True)
def demo(seed: int, numbers: int) -> None:
    """Show 45 simulated days of a made-up fleet in a few seconds. Needs no configuration, leaves nothing behind."""
    from renewal_watch.demo import run

    run(seed=seed, numbers=numbers)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0 takes a free one.")
@click.option("--numbers", type=click.IntRange(1, 200_000), default=25, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def simulator(port: int, numbers: int, seed: int) -> None:
    """Serve a made-up provider on loopback, to try a configuration against."""
    from renewal_watch import simulator as made_up

    today = _now().date()
    provider = made_up.Provider(now=made_up.utc_now, fleet=made_up.made_up_fleet(numbers, seed, today))
    try:
        server = made_up.Server(provider, port)
    except OSError as error:
        msg = f"port {port} cannot be used: {error.strerror}"
        raise UsageError(msg) from None
    with server:
        click.echo(f'base_url = "{server.base_url}"\ntoken = "{made_up.TOKEN}"\n# {numbers} numbers; Ctrl-C ends it')
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


# --- configuration ----------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("path", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def init(ctx: click.Context, path: Path | None) -> None:
    """Write a commented starting configuration to PATH, readable by its owner only."""
    from renewal_watch import config

    target = path or config.find(ctx.obj)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        msg = f"{target} is there already and stays as it is; name another path or remove it"
        raise UsageError(msg) from None
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror}"
        raise UsageError(msg) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_example().read_text(encoding="utf-8"))
    click.echo(f"wrote {target}; put in the token and a channel, then: renewal-watch --config {target} config check")


def _example() -> Path:
    """The example configuration: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "config.example.toml"
    return inside if inside.exists() else here.parent / "config.example.toml"


@cli.group("config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command("check")
@click.pass_context
def config_check(ctx: click.Context) -> None:
    """Name all faults at once, those of secrets, channels, templates and the inventory included."""
    from renewal_watch import config
    from renewal_watch.channels import channel_faults
    from renewal_watch.inventory import inventory_faults
    from renewal_watch.wording import template_faults

    settings = _settings(ctx)
    faults = config.secret_faults(settings)
    if not faults:
        faults = [*channel_faults(settings), *template_faults(settings), *inventory_faults(settings)]
    if faults:
        raise ConfigError([f"{settings.path}: {fault}" for fault in faults])
    channels = ", ".join(channel.name for channel in settings.channels) or "none: nobody will be told"
    count = len(settings.environments)
    places = f"{count} environment{'s' * (count != 1)}"
    click.echo(f"{settings.path} is right: {places}, channels: {channels}")


@config_group.command("show")
@click.pass_context
def config_show(ctx: click.Context) -> None:
    """Print the resolved settings as JSON, secrets hidden."""
    from renewal_watch import config, report

    click.echo(report.dumps(config.shown(_settings(ctx))))


@config_group.command("schema")
def config_schema() -> None:
    """Print a JSON Schema of the configuration, for editors."""
    from renewal_watch import config, report

    click.echo(report.dumps(config.json_schema()))


# --- watching ---------------------------------------------------------------------------------------------------------


@cli.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the daemon: poll on schedule, tell at once. SIGHUP reloads, SIGTERM ends."""
    from renewal_watch import config
    from renewal_watch.channels import channel_faults
    from renewal_watch.daemon import Daemon, Systemd, only_one
    from renewal_watch.schema import sqlite_path

    settings = _settings(ctx)
    faults = config.secret_faults(settings) or channel_faults(settings)
    if faults:
        raise ConfigError([f"{settings.path}: {fault}" for fault in faults])
    path = sqlite_path(settings.database_url)
    assert path is not None  # noqa: S101 (config takes SQLite only)
    _make_state_dir(settings, path)
    with only_one(path):
        Systemd().say("EXTEND_TIMEOUT_USEC=600000000", "STATUS=opening the database")
        with _store(settings, write=True) as store:
            damage = store.check()
            if damage:
                msg = f"{path} is damaged ({damage[0]}); restore a backup with: renewal-watch db restore FILE"
                raise StoreError(msg)
            code = Daemon(settings, store).run()
        sys.stderr.flush()
        os._exit(code)  # threads of a poll under way may wait for a provider; nothing of them is half written


@cli.command()
@_ENVIRONMENT
@click.option("--no-send", is_flag=True, help="Only find and record; `send` or the daemon sends it.")
@click.option("--force", is_flag=True, help="Poll although the provider asked for a pause or rejected this token.")
@click.pass_context
def poll(ctx: click.Context, environment: str | None, no_send: bool, force: bool) -> None:  # noqa: FBT001
    """Poll every environment once, now, then send everything that is due. For cron and timers."""
    settings = _settings(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    with _store(settings, write=True) as store:
        failed = False
        for one in chosen:
            polled = _poll_one(settings, store, one.name, force=force)
            if polled.skipped:
                click.echo(f"{one.name}: not polled: {polled.skipped}", err=True)
                failed |= polled.error is not None
            elif polled.error:
                click.echo(f"{one.name}: {polled.error}", err=True)
                failed = True
            else:
                click.echo(
                    f"{one.name}: {polled.numbers} numbers, {polled.changed} changed, {polled.alerts} new alerts"
                )
        if not no_send:
            failed |= not _send_due(settings, store)
    ctx.exit(1 if failed else 0)


def _poll_one(settings: Settings, store: Store, name: str, *, force: bool) -> Polled:
    import time

    from renewal_watch import poll as turn
    from renewal_watch.talkover import Client

    environment = settings.environment(name)
    with store.transaction() as tx:
        _, _, schedule = tx.watch(name)
    why = None if force else turn.why_not_now(environment, schedule, _now())
    if why:
        return turn.Polled(environment=name, skipped=why, error=why)
    source = Client.of(environment, time.sleep)
    routing = _routing(settings)
    policy = settings.policy(environment, routing.inventory)
    return turn.run_once(store, environment, source, policy, routing, _now)


def _routing(settings: Settings, inventory: Inventory | None = None) -> Routing:
    from renewal_watch.inventory import inventory_of
    from renewal_watch.routing import Routing

    return Routing.of(settings, (inventory or inventory_of(settings)).current())


@cli.command()
@click.pass_context
def send(ctx: click.Context) -> None:
    """Send what is due, without polling."""
    settings = _settings(ctx)
    with _store(settings, write=True) as store:
        done = _send_due(settings, store)
    ctx.exit(0 if done else 1)


def _send_due(settings: Settings, store: Store) -> bool:
    """One turn of every channel, side by side; whether all went well."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    from renewal_watch import canary, dispatch, follow_up
    from renewal_watch.channels import AppriseChannel
    from renewal_watch.inventory import inventory_of

    inventory = inventory_of(settings)
    routing = _routing(settings, inventory)
    policies = {one.name: settings.policy(one, routing.inventory) for one in settings.environments}
    follow_up.run_once(store, routing, policies, _now(), inventory_faults=inventory.faults)
    canary.follow(store, routing, _now())
    if canary.is_due(store, routing.canary, routing.zone, _now()):
        canary.send(store, routing, _now, time.sleep)

    def turn(channel: Channel) -> dispatch.Sent:
        sender = AppriseChannel(channel.name, channel.read_url)
        try:
            return dispatch.run_once(store, dispatch.Outlet(channel=channel, sender=sender), routing, _now)
        finally:
            sender.close()

    with store.transaction() as tx:
        now = _now()
        waiting = [
            one
            for one in settings.channels
            if (due := tx.next_due(one, settings.timezone, now)) is not None and due <= now
        ]
    if not waiting:
        return True
    with ThreadPoolExecutor(len(waiting)) as pool:
        done = dict(zip([one.name for one in waiting], pool.map(turn, waiting), strict=True))
    for name, one in done.items():
        click.echo(
            f"{name}: {one.sent} sent" + (f", {one.failed} not delivered, tried again later" if one.failed else "")
        )
    return not any(one.failed for one in done.values())


# --- asking -----------------------------------------------------------------------------------------------------------


@cli.command()
@_JSON
@click.option("--within", type=click.IntRange(0), metavar="DAYS", help="Only numbers with so many days left or less.")
@click.option("--status", "wanted", metavar="S", help="Only numbers with this status.")
@_ENVIRONMENT
@click.pass_context
def status(ctx: click.Context, as_json: bool, within: int | None, wanted: str | None, environment: str | None) -> None:  # noqa: FBT001
    """Show the fleet, most urgent first, and how the watch does."""
    from renewal_watch import report

    settings = _settings(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    now = _now()
    rows: list[report.Row] = []
    with _store(settings, write=False) as store, store.transaction() as tx:
        watches = {watch.name: (key, watch) for key, watch, _ in tx.watches()}
        environments = []
        for one in chosen:
            policy = settings.policy(one)
            if one.name not in watches:
                from renewal_watch.model import Watch

                environments.append(report.environment_json(Watch(name=one.name), policy, now))
                continue
            key, watch = watches[one.name]
            environments.append(report.environment_json(watch, policy, now))
            rows += [report.row(one.name, known, number, policy, now) for known, number in tx.listed(key)]
        outbox = tx.outbox()
        orphans = tx.orphans([channel.name for channel in settings.channels])
        faults = tx.channel_faults()
    if within is not None:
        rows = [
            row for row in rows if row.days_left is not None and row.days_left <= within and not row.known.missing_at
        ]
    if wanted is not None:
        rows = [row for row in rows if row.number.status == wanted.lower()]
    rows.sort(key=report.Row.urgency)
    if as_json:
        click.echo(
            report.dumps({"environments": environments, "numbers": [row.as_json() for row in rows], "outbox": outbox})
        )
        return
    click.echo("\n".join(report.status_lines(environments, rows, outbox, orphans, faults, now)))
    if not rows and (within is not None or wanted is not None):
        click.echo("no number is like that")


@cli.command()
@click.argument("number")
@_JSON
@_ENVIRONMENT
@click.pass_context
def history(ctx: click.Context, number: str, as_json: bool, environment: str | None) -> None:  # noqa: FBT001
    """Every change of one NUMBER and when it was seen."""
    from renewal_watch import report

    with _store(_settings(ctx), write=False) as store, store.transaction() as tx:
        _, key, known = tx.find(number, environment)
        changes = tx.history(known, key)
    click.echo(report.dumps(changes) if as_json else "\n".join(report.history_lines(changes)))


@cli.command()
@click.option("--at", metavar="TIME", help="Such as 2026-11-23 (its end), 2026-11-23T10:00 or …T10:00Z. Default: now.")
@_JSON
@_ENVIRONMENT
@click.pass_context
def snapshot(ctx: click.Context, at: str | None, as_json: bool, environment: str | None) -> None:  # noqa: FBT001
    """Give back the list as it was known at a time, unknown fields included."""
    from renewal_watch import report
    from renewal_watch.text import plain

    settings = _settings(ctx)
    chosen = [settings.environment(environment)] if environment else list(settings.environments)
    instant = _now() if at is None else _instant(at, settings.timezone)
    found: list[dict[str, Any]] = []
    with _store(settings, write=False) as store, store.transaction() as tx:
        keys = {watch.name: key for key, watch, _ in tx.watches()}
        for one in chosen:
            known = tx.snapshot(keys[one.name], instant) if one.name in keys else None
            polled_at, entries = known or (None, [])
            found.append({"environment": one.name, "polled_at": report.when(polled_at), "numbers": entries})
    if as_json:
        click.echo(report.dumps(found))
        return
    for one_list in found:
        polled = f"as polled {one_list['polled_at']}" if one_list["polled_at"] else "was not polled yet"
        click.echo(f"{one_list['environment']}: {len(one_list['numbers'])} numbers, {polled}")
        fields = ("number", "current_status", "days_until_monthly_renewal", "renewal_date", "auto_renewal", "id")
        if not one_list["numbers"]:
            continue
        rows = [[plain(entry.get(field), 40) for field in fields] for entry in one_list["numbers"]]
        click.echo("\n".join(report.table(("NUMBER", "STATUS", "DAYS", "RENEWAL", "AUTO", "ID"), rows)))


def _instant(text: str, zone: str, option: str = "--at") -> datetime:
    """The instant that TIME means in ``zone``; a bare date means the end of that day."""
    from zoneinfo import ZoneInfo

    try:
        at = datetime.fromisoformat(text)
        if len(text) <= len("2026-11-23"):
            at += timedelta(days=1, microseconds=-1)
    except (ValueError, OverflowError):
        msg = f"{option}: {text!r} is not a time; write it like 2026-11-23 or 2026-11-23T10:00"
        raise UsageError(msg) from None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except OverflowError:
        msg = f"{option}: {text!r} lies outside the calendar"
        raise UsageError(msg) from None


@cli.group(invoke_without_command=True)
@_JSON
@click.option("--pending", is_flag=True, help="Only alerts that a channel still waits for.")
@click.option("--failed", is_flag=True, help="Only alerts that a channel was never brought.")
@click.pass_context
def alerts(ctx: click.Context, as_json: bool, pending: bool, failed: bool) -> None:  # noqa: FBT001
    """What was found, and the fate of each delivery, newest first."""
    if ctx.invoked_subcommand:
        return
    from renewal_watch import report

    states = [state for state, wanted in (("pending", pending), ("failed", failed)) if wanted]
    settings = _settings(ctx)
    with _store(settings, write=False) as store, store.transaction() as tx:
        found = tx.alerts(states=states)
        held = _held(settings, tx, _now())
    report.note_held(found, held)
    click.echo(report.dumps(found) if as_json else "\n".join(report.alert_lines(found)) or "no alerts")


def _held(settings: Settings, tx: Transaction, now: datetime) -> dict[str, Hold]:
    """The messages that wait for their time, by their ids."""
    return {key: why for one in settings.channels for key, why in tx.held(one, settings.timezone, now).items()}


@alerts.command()
@click.argument("ids", nargs=-1, type=click.IntRange(1, 2**63 - 1), metavar="[ID]...")
@click.pass_context
def retry(ctx: click.Context, ids: tuple[int, ...]) -> None:
    """Send the deliveries of these alerts again, or all that failed; the daemon or `send` does it."""
    with _store(_settings(ctx), write=True) as store, store.transaction() as tx:
        count = tx.retry(ids, _now())
    if ids and not count:
        msg = "none of these alerts has a delivery that waits or failed; see: renewal-watch alerts"
        raise UsageError(msg)
    if not count:
        click.echo("no delivery failed; name alerts to send again what waits: renewal-watch alerts --pending")
        return
    what = "1 delivery is" if count == 1 else f"{count} deliveries are"
    click.echo(f"{what} due again; the daemon sends them, or: renewal-watch send")


@cli.command()
@click.argument("number")
@_JSON
@_ENVIRONMENT
@click.pass_context
def explain(ctx: click.Context, number: str, as_json: bool, environment: str | None) -> None:  # noqa: FBT001
    """Why NUMBER did or did not alert, and what comes next and when."""
    from renewal_watch import matching, report, routing

    settings = _settings(ctx)
    now = _now()
    with _store(settings, write=False) as store, store.transaction() as tx:
        name, _, known = tx.find(number, environment)
        _, watch, _ = tx.watch(name)
        parsed = tx.parsed([known])[known.provider_id]
        found = tx.alerts(number_id=known.provider_id, environment=name)
        situation = tx.situation(now)
        actions = tx.actions_on(known)
        held = _held(settings, tx, now)
    report.note_held(found, held)
    if all(one.name != name for one in settings.environments):
        msg = f"{number} was in the environment {name}, which the configuration does not have any more; see: history"
        raise UsageError(msg)
    way = _routing(settings)
    policy = settings.policy(settings.environment(name), way.inventory)
    one = way.seen(name, parsed)
    said = way.said(one)
    row = report.row(name, known, parsed, policy, now)
    place = (name, known.provider_id)
    mine = {key: one for key, one in situation.matters.items() if (key.environment, key.number_id) == place}
    telling = report.Telling(
        said=said,
        silences=[silence for silence in situation.silences if matching.fits(silence.match, one)],
        lapse=situation.lapses.get((name, known.provider_id)),
        matters=mine,
        hides={
            key: hidden.why
            for key, matter in mine.items()
            if (hidden := routing.suppressed(matter.kind, one, said, situation, mark=way.mark))
        },
        actions=actions,
        channels=routing.channels_of(said, name, way),
        record=way.record(one),
    )
    lines = [*report.explain(row, watch, policy, said), *report.explain_telling(telling, way)]
    if as_json:
        click.echo(report.dumps({**row.as_json(), "reasons": lines, "alerts": found}))
        return
    click.echo("\n".join(lines))
    click.echo("\nAlerts so far, newest first:" if found else "\nNo alert so far.")
    if found:
        click.echo("\n".join(report.alert_lines(found)))


@cli.command()
@click.option("--at", metavar="DATE", help="The first day to show, such as 2026-12-24. Default: today.")
@click.option("--days", type=click.IntRange(1, 366), metavar="N", help="How many days. Default: 1 with --at, else 7.")
@_JSON
@click.pass_context
def preview(ctx: click.Context, at: str | None, days: int | None, as_json: bool) -> None:  # noqa: FBT001
    """Show who would be told what and when over the coming days, with today's fleet. Sends nothing."""
    from zoneinfo import ZoneInfo

    from renewal_watch import report
    from renewal_watch.inventory import inventory_of
    from renewal_watch.preview import look_ahead

    settings = _settings(ctx)
    now = _now()
    zone = ZoneInfo(settings.timezone)
    first = now
    if at is not None:
        end = _instant(at, settings.timezone)
        if end <= now:
            msg = f"--at: {at} is past; see what was told with: renewal-watch alerts"
            raise UsageError(msg)
        first = datetime.combine(end.astimezone(zone).date(), datetime.min.time(), zone).astimezone(UTC)
        if end - now > timedelta(days=800):
            msg = f"--at: {at} is too far ahead to say anything about it"
            raise UsageError(msg)
    last = first.astimezone(zone).date() + timedelta(days=days or (7 if at is None else 1))
    until = datetime.combine(last, datetime.min.time(), zone).astimezone(UTC) - timedelta(seconds=1)
    inventory = inventory_of(settings)
    way = _routing(settings, inventory)
    with _store(settings, write=False) as store:
        ahead = look_ahead(settings, store, way, now, until, inventory_faults=inventory.faults)
        found = [one for one in ahead if one.at >= first]
    if as_json:
        click.echo(report.dumps([report.told_json(one) for one in found]))
    else:
        click.echo("\n".join(report.told_lines(found, zone, first, until)))


@cli.command("canary")
@click.pass_context
def canary_command(ctx: click.Context) -> None:
    """Send the made-up number of [canary] now, the whole way from a poll to its channel."""
    import time

    from renewal_watch import canary

    settings = _settings(ctx)
    if not settings.canary.channel:
        msg = 'the configuration has no [canary]; add it with channel = "NAME"'
        raise UsageError(msg)
    with _store(settings, write=True) as store:
        way = _routing(settings)
        fault = canary.send(store, way, _now, time.sleep)
        done = _send_due(settings, store)
        with store.transaction() as tx:
            kept = tx.fired_at("canary")
            sent_at = tx.sent_at("canary.sent", way.canary.channel, kept[0]) if kept else None
    if fault or sent_at is None:
        click.echo(f"the canary did not arrive: {fault or 'its message waits; see: renewal-watch alerts'}", err=True)
        ctx.exit(1)
    click.echo(f"the canary reached {way.canary.channel}; look whether it arrived")
    ctx.exit(0 if done else 1)


# --- deciding ---------------------------------------------------------------------------------------------------------


def _author(given: str | None) -> str:
    """Who does it: as given, else who called sudo, else the user."""
    import getpass

    try:
        return given or os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"user {os.getuid()}"


def _text(ctx: click.Context, option: click.Parameter, value: Any) -> Any:
    """What is kept must be text: a terminal of another encoding sends bytes that are none."""
    del ctx
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, str) and any("\ud800" <= c <= "\udfff" for c in one):
            msg = f"{option.opts[0]}: it holds a character that is no text in UTF-8"
            raise UsageError(msg)
        if isinstance(value, tuple) and one == "":
            msg = f"{option.opts[0]}: it is empty"
            raise UsageError(msg)
    return value


_AUTHOR = click.option("--author", metavar="NAME", callback=_text, help="Default: the user who calls.")
_COMMENT = click.option("--comment", default="", metavar="TEXT", callback=_text, help="Why.")


@cli.group()
def silence() -> None:
    """Hide alerts for a while; what still holds then is told when it ends."""


@silence.command("add")
@click.option("--number", "numbers", multiple=True, metavar="N", help="A number, or its beginning and a star: +4930*")
@click.option("--id", "ids", multiple=True, callback=_text, metavar="ID")
@click.option("--environment", "environments", multiple=True, metavar="NAME")
@click.option("--country", "countries", multiple=True, callback=_text, metavar="CC")
@click.option("--type", "types", multiple=True, callback=_text, metavar="TYPE")
@click.option(
    "--capability", "capabilities", multiple=True, type=click.Choice(["voice", "sms", "mms", "fax", "whatsapp"])
)
@click.option("--label", "labels", multiple=True, callback=_text, metavar="LABEL", help="Of the inventory.")
@click.option("--owner", "owners", multiple=True, callback=_text, metavar="NAME", help="Of the inventory.")
@click.option("--auto-renewal", type=click.Choice(["on", "off"]))
@click.option("--cost-at-least", metavar="AMOUNT")
@click.option("--cost-at-most", metavar="AMOUNT")
@click.option("--currency", "currencies", multiple=True, callback=_text, metavar="CUR")
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help="Only these kinds, such as renewal.* or watch.stale."
)
@click.option("--all", "everything", is_flag=True, help="All numbers.")
@click.option("--for", "length", metavar="TIME", help="How long: 4h, 2d.")
@click.option("--until", metavar="TIME", help="Such as 2026-11-30 (its end) or 2026-11-30T18:00.")
@_AUTHOR
@_COMMENT
def silence_add(**given: Any) -> None:
    """Hide alerts about what matches every option given (of one repeated, any) until the end."""
    from renewal_watch import matching, report
    from renewal_watch.model import OWN, Match

    settings = _settings(click.get_current_context())
    now = _now()
    kinds, everything, length, until, author, comment = (
        given.pop(name) for name in ("kinds", "everything", "length", "until", "author", "comment")
    )
    match = _match({key: value for key, value in given.items() if value not in ((), None)}, kinds, settings)
    if match == Match() and all(kind == "*" for kind in kinds) and not everything:
        msg = "say what to silence, such as --number +4930* or --environment test; everything is --all"
        raise UsageError(msg)
    is_own = bool(kinds) and all(kind.partition(".")[0] in OWN for kind in kinds)
    if is_own and matching.names_numbers(match):
        msg = (
            f"--kind: {', '.join(kinds)} is about the watch itself, not about numbers; narrow it by --environment only"
        )
        raise UsageError(msg)
    ends_at = _end(length, until, settings.timezone, now)
    way = _routing(settings)
    with _store(settings, write=True) as store, store.transaction() as tx:
        pk = tx.add_silence(match, kinds, ends_at, _author(author), comment, now)
        count = sum(
            matching.fits(match, matching.subject(watch.name, number, way.inventory))
            for key, watch, _ in tx.watches()
            for known, number in tx.listed(key)
            if known.missing_at is None
        )
    what = f" of kinds {', '.join(kinds)}" if kinds else ""
    about = "" if is_own else f" about {count} of the present numbers"
    click.echo(
        f"silence {pk}: alerts{what}{about} are hidden until {report.when(ends_at)}; "
        f"end it with: renewal-watch silence end {pk}"
    )


def _match(wanted: dict[str, Any], kinds: tuple[str, ...], settings: Settings) -> Match:
    """The matchers of the command line. Raises UsageError."""
    import msgspec

    from renewal_watch.matching import hides, is_number
    from renewal_watch.model import KINDS, Match

    for kind in kinds:
        if not any(hides(kind, one) for one in KINDS):
            msg = f"--kind: {kind!r} matches no kind of alert; such as: renewal.*, status.changed, watch.*"
            raise UsageError(msg)
    for name in wanted.get("environments", ()):
        settings.environment(name)
    for number in wanted.get("numbers", ()):
        if not is_number(number):
            msg = f"--number: {number!r} is not a number; write it like +493012345 or +4930*"
            raise UsageError(msg)
    if "auto_renewal" in wanted:
        wanted["auto_renewal"] = wanted["auto_renewal"] == "on"
    try:
        return msgspec.convert(wanted, Match, strict=False)
    except msgspec.ValidationError as error:
        msg = f"what to silence is not understood: {error}"
        raise UsageError(msg) from None


def _end(length: str | None, until: str | None, zone: str, now: datetime) -> datetime:
    """When a silence ends. Raises UsageError."""
    import re

    from renewal_watch.config import duration

    if (length is None) == (until is None):
        msg = "say how long: either --for 4h or --until 2026-11-30"
        raise UsageError(msg)
    if until is not None:
        ends_at = _instant(until, zone, "--until")
    elif length is not None and re.fullmatch("[1-9][0-9]{0,3}[smhd]", length):
        ends_at = now + duration(length)
    else:
        msg = f"--for: {length!r} is not a length of time; write it like 45m, 4h or 2d"
        raise UsageError(msg)
    if ends_at > now + timedelta(days=3660):
        msg = "a silence lasts ten years at most; for numbers that are never to be told of, mute them with a rule"
        raise UsageError(msg)
    if ends_at <= now:
        msg = f"--until: {until} is past"
        raise UsageError(msg)
    return ends_at


@silence.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that ended in the last 30 days.")
@_JSON
@click.pass_context
def silence_list(ctx: click.Context, everything: bool, as_json: bool) -> None:  # noqa: FBT001
    """The silences that hold, and how much each hides now that nobody was told of."""
    from renewal_watch import report

    now = _now()
    with _store(_settings(ctx), write=False) as store, store.transaction() as tx:
        found = tx.silences(since=now - timedelta(days=30) if everything else None)
        hiders = [matter.hider for matter in tx.matters().values()]
    those = [(one, hiders.count(f"silence:{one.pk}")) for one in found if everything or one.is_active(now)]
    if as_json:
        click.echo(report.dumps([report.silence_json(one, hides, now) for one, hides in those]))
    else:
        click.echo("\n".join(report.silence_lines(those, now)))


@silence.command("end")
@click.argument("pk", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@_AUTHOR
@click.pass_context
def silence_end(ctx: click.Context, pk: int, author: str | None) -> None:
    """End a silence now; what it hid and still holds is told."""
    with _store(_settings(ctx), write=True) as store, store.transaction() as tx:
        now = _now()
        is_over = all(one.pk != pk or not one.is_active(now) for one in tx.silences())
        done = not is_over and tx.end_silence(pk, _author(author), now)
    if not done:
        msg = f"there is no silence {pk} that holds; see: renewal-watch silence list --all"
        raise UsageError(msg)
    click.echo(f"silence {pk} is over; the daemon tells what it hid and still holds, or: renewal-watch send")


@cli.command()
@click.argument("number", required=False)
@click.option(
    "--alert",
    "alert_id",
    type=click.IntRange(1, 2**63 - 1),
    metavar="ID",
    help="Instead of NUMBER: the matter of an alert.",
)
@click.option("--withdraw", is_flag=True, help="Take it back: remind again.")
@_AUTHOR
@_COMMENT
@_ENVIRONMENT
@click.pass_context
def ack(
    ctx: click.Context,
    number: str | None,
    alert_id: int | None,
    withdraw: bool,  # noqa: FBT001
    author: str | None,
    comment: str,
    environment: str | None,
) -> None:
    """Say that you look after NUMBER: no reminders until its next cycle, or until it gets worse."""
    if (number is None) == (alert_id is None):
        msg = "name either a NUMBER or --alert ID"
        raise UsageError(msg)
    now, by = _now(), _author(author)
    with _store(_settings(ctx), write=True) as store, store.transaction() as tx:
        known, environment_id = None, 0
        if number is not None:
            name, environment_id, known = tx.find(number, environment)
            place = (name, known.provider_id)
            open_now = {key: one for key, one in tx.matters().items() if (key.environment, key.number_id) == place}
        else:
            found = tx.key_of(alert_id or 0)
            open_now = dict([found]) if found else {}
            for key in open_now:
                environment_id = tx.watch(key.environment)[0] if key.environment else 0
                known = tx.fleet(environment_id).get(key.number_id) if key.number_id else None
        if not open_now:
            what = f"number {number}" if number is not None else f"alert {alert_id}"
            msg = (
                f"nothing is open about {what}, so there is nothing to acknowledge. To hide alerts ahead: renewal-watch "
                f"silence add; for a number that is meant to go: renewal-watch lapse"
            )
            raise UsageError(msg)
        if withdraw:
            open_now = {key: one for key, one in open_now.items() if one.ack is not None}
            if not open_now:
                msg = "nobody acknowledged it, so there is nothing to take back"
                raise UsageError(msg)
            tx.take_back(open_now, now)
        else:
            tx.acknowledge(open_now, by, now)
        tx.note_action("ack withdrawn" if withdraw else "ack", by, comment, known, environment_id, now)
    topics = ", ".join(sorted(f"{key.topic} ({one.kind})" for key, one in open_now.items()))
    if withdraw:
        click.echo(f"taken back: {topics}; reminders go on from now")
    else:
        click.echo(f"acknowledged: {topics}; no reminder until it gets worse, or in its next cycle")


@cli.command()
@click.argument("number")
@click.option("--withdraw", is_flag=True, help="Take it back: the number is to stay.")
@_AUTHOR
@_COMMENT
@_ENVIRONMENT
@click.pass_context
def lapse(
    ctx: click.Context,
    number: str,
    withdraw: bool,  # noqa: FBT001
    author: str | None,
    comment: str,
    environment: str | None,
) -> None:
    """Say that NUMBER is meant to go: no renewal alerts, but its last chance, and an alarm if it renews all the same."""
    from renewal_watch import messages, report

    settings = _settings(ctx)
    now, by = _now(), _author(author)
    with _store(settings, write=True) as store, store.transaction() as tx:
        name, environment_id, known = tx.find(number, environment)
        parsed = tx.parsed([known])[known.provider_id]
        policy = settings.policy(settings.environment(name))
        if withdraw and not tx.withdraw_lapse(name, known):
            msg = f"{messages.who(parsed)} is not meant to lapse, so there is nothing to take back"
            raise UsageError(msg)
        if not withdraw:
            tx.set_lapse(known, by, comment, now)
        tx.note_action("lapse withdrawn" if withdraw else "lapse", by, comment, known, environment_id, now)
    if withdraw:
        click.echo(f"{messages.who(parsed)} is to stay; what of its renewal was hidden and still holds is told")
        return
    row = report.row(name, known, parsed, policy, now)
    click.echo(f"{messages.who(parsed)} is meant to lapse{f' on {row.renews_on}' if row.renews_on else ''}")
    if parsed.auto_renewal:
        click.echo(f"mind: its auto-renewal is on, so it will renew; switch it off in {messages.DASHBOARD}")


@cli.command("test-channel")
@click.argument("name", required=False)
@click.pass_context
def test_channel(ctx: click.Context, name: str | None) -> None:
    """Send a marked test message to the channel NAME, or to all, the way alerts go."""
    import secrets

    from renewal_watch import messages
    from renewal_watch.channels import AppriseChannel
    from renewal_watch.errors import ChannelError

    settings = _settings(ctx)
    chosen = [settings.channel(name)] if name else list(settings.channels)
    if not chosen:
        msg = "the configuration has no [[channels]]; nobody is told of anything"
        raise UsageError(msg)
    failed = False
    for channel in chosen:
        now = _now()
        message_id = f"rw-test-{secrets.token_hex(4)}"
        alert = messages.test_alert(channel.name, now)
        sender = AppriseChannel(channel.name, channel.read_url)
        try:
            sender.send(
                lambda limits, alert=alert, message_id=message_id, now=now, channel=channel: messages.render(  # type: ignore[misc]
                    message_id,
                    [alert],
                    created_at=now,
                    now=now,
                    body_limit=limits.body,
                    title_limit=limits.title,
                    form=channel.format,
                )
            )
            click.echo(f"{channel.name}: sent, message {message_id}; look whether it arrived")
        except ChannelError as error:
            failed = True
            click.echo(f"{channel.name}: not delivered: {error}", err=True)
        finally:
            sender.close()
    ctx.exit(1 if failed else 0)


# --- the database -----------------------------------------------------------------------------------------------------


@cli.group()
def db() -> None:
    """Upgrade, check, back up, restore and prune the database."""


@db.command()
@click.pass_context
def upgrade(ctx: click.Context) -> None:
    """Bring the database to this release's schema; a copy of the old one is kept beside it."""
    from renewal_watch.schema import HEAD, sqlite_path
    from renewal_watch.store import Store

    settings = _settings(ctx)
    _make_state_dir(settings, sqlite_path(settings.database_url))
    store = Store(settings.database_url)
    try:
        done = store.upgrade()
    finally:
        store.close()
    click.echo(f"upgraded to schema {HEAD}" if done else f"the schema is {HEAD} already")


@db.command()
@click.pass_context
def check(ctx: click.Context) -> None:
    """Look for damage."""
    with _store(_settings(ctx), write=False) as store:
        faults = store.check()
    if faults:
        raise StoreError("; ".join(faults[:5]) + "; restore a backup with: renewal-watch db restore FILE")
    click.echo("the database is sound")


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def backup(ctx: click.Context, file: Path) -> None:
    """Write a verified copy to FILE while the daemon goes on."""
    with _store(_settings(ctx), write=False) as store:
        store.backup(file)
    click.echo(f"wrote {file}, {file.stat().st_size} bytes, checked")


@db.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def restore(ctx: click.Context, file: Path) -> None:
    """Put the backup FILE in place of the database; the old one is kept beside it. The daemon must be stopped."""
    from renewal_watch.daemon import only_one
    from renewal_watch.schema import sqlite_path
    from renewal_watch.store import restore as put_back

    settings = _settings(ctx)
    path = sqlite_path(settings.database_url)
    assert path is not None  # noqa: S101 (config takes SQLite only)
    _make_state_dir(settings, path)
    with only_one(path):
        kept = put_back(file, path)
    click.echo(f"restored {path} from {file}" + (f"; the old one is {kept}" if kept else ""))


@db.command()
@click.option("--older-than", type=click.IntRange(1, 36_500), default=400, show_default=True, metavar="DAYS")
@click.pass_context
def prune(ctx: click.Context, older_than: int) -> None:
    """Delete history that ended more than DAYS ago; what waits to be sent and the current state stay."""
    with _store(_settings(ctx), write=True) as store:
        counts = store.prune(_now() - timedelta(days=older_than))
    click.echo(
        "deleted "
        + ", ".join(f"{count} {name}" for name, count in counts.items() if name not in ("delivery_alerts", "polls"))
    )


@cli.command()
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what works and what to do about the rest."""
    from renewal_watch import config
    from renewal_watch.doctor import examine

    settings = _settings(ctx)
    findings = examine(settings, config.secret_faults(settings))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.text}")
    ctx.exit(0 if all(finding.ok for finding in findings) else 1)
