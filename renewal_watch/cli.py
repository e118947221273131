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
    from renewal_watch.poll import Polled
    from renewal_watch.store import Store

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
        if error.errno != errno.ENOSPC:
            raise
        os.write(2, b"renewal-watch: the output cannot be written: no space left\n")
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
    """Name all faults at once, those of secrets and channels included."""
    from renewal_watch import config
    from renewal_watch.channels import channel_faults

    settings = _settings(ctx)
    faults = config.secret_faults(settings)
    if not faults:
        faults = channel_faults(settings)
    if faults:
        raise ConfigError([f"{settings.path}: {fault}" for fault in faults])
    channels = ", ".join(channel.name for channel in settings.channels) or "none: nobody will be told"
    click.echo(f"{settings.path} is right: {len(settings.environments)} environments, channels: {channels}")


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
    return turn.run_once(store, environment, source, settings.policy(environment), settings.channels, _now)


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
    from concurrent.futures import ThreadPoolExecutor

    from renewal_watch import dispatch
    from renewal_watch.channels import AppriseChannel

    def turn(channel: Channel) -> dispatch.Sent:
        sender = AppriseChannel(channel.name, channel.read_url)
        try:
            return dispatch.run_once(store, dispatch.Outlet(channel=channel, sender=sender), settings.channels, _now)
        finally:
            sender.close()

    with store.transaction() as tx:
        waiting = [one for one in settings.channels if (due := tx.next_due(one.name)) is not None and due <= _now()]
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
    click.echo("\n".join(report.status_lines(environments, rows, outbox, faults, now)))
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


def _instant(text: str, zone: str) -> datetime:
    """The instant that TIME means in ``zone``; a bare date means the end of that day."""
    from zoneinfo import ZoneInfo

    try:
        at = datetime.fromisoformat(text)
        if len(text) <= len("2026-11-23"):
            at += timedelta(days=1, microseconds=-1)
    except (ValueError, OverflowError):
        msg = f"--at: {text!r} is not a time; write it like 2026-11-23 or 2026-11-23T10:00"
        raise UsageError(msg) from None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except OverflowError:
        msg = f"--at: {text!r} lies outside the calendar"
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
    with _store(_settings(ctx), write=False) as store, store.transaction() as tx:
        found = tx.alerts(states=states)
    click.echo(report.dumps(found) if as_json else "\n".join(report.alert_lines(found)) or "no alerts")


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
    from renewal_watch import report

    settings = _settings(ctx)
    now = _now()
    with _store(settings, write=False) as store, store.transaction() as tx:
        name, _, known = tx.find(number, environment)
        _, watch, _ = tx.watch(name)
        parsed = tx.parsed([known])[known.provider_id]
        found = tx.alerts(number_id=known.provider_id, environment=name)
    if all(one.name != name for one in settings.environments):
        msg = f"{number} was in the environment {name}, which the configuration does not have any more; see: history"
        raise UsageError(msg)
    policy = settings.policy(settings.environment(name))
    row = report.row(name, known, parsed, policy, now)
    lines = report.explain(row, watch, policy)
    outlets = [one.name for one in settings.channels if one.environments is None or name in one.environments]
    lines.append(f"Channels for {name}: {', '.join(outlets) or 'none; nobody is told'}.")
    if as_json:
        click.echo(report.dumps({**row.as_json(), "reasons": lines, "alerts": found}))
        return
    click.echo("\n".join(lines))
    click.echo("\nAlerts so far, newest first:" if found else "\nNo alert so far.")
    if found:
        click.echo("\n".join(report.alert_lines(found)))


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
                lambda limits, alert=alert, message_id=message_id, now=now: messages.render(  # type: ignore[misc]
                    message_id, [alert], created_at=now, now=now, body_limit=limits.body, title_limit=limits.title
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
