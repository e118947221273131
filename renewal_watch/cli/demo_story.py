"""Forty-five days in a few seconds: the real parts, a simulated provider over HTTP, and two channels that print.

What is printed is what the channels receive. The clock alone is made up: it jumps six hours at a time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import account_poll, dispatch, poll, turn
from renewal_watch.provider.opening import open_provider
from renewal_watch.provider.simulator import (
    TOKEN,
    Provider,
    Rented,
    Server,
    charge,
    made_up_account,
    made_up_fleet,
    release_request,
)
from renewal_watch.reports import tables
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.outbox.alerts import list_alerts

DAYS = 45
STEP = timedelta(hours=6)
START = datetime(2026, 3, 2, tzinfo=UTC)  # a made-up Monday
BREATH_S = 0.04  # between two messages on a terminal, so that the eye can follow
_COLOURS = {"CRITICAL": "red", "WARNING": "yellow", "INFO": "green"}


@dataclass(slots=True)
class Receiver:
    """Where a channel's messages arrive; prints them unless it is switched off."""

    name: str
    say: Callable[[str, str], None]
    down: bool = False
    got: Counter[str] = field(default_factory=Counter)

    def take(self, title: str, body: str) -> bool:
        """Whether the message was taken."""
        if self.down:
            return False
        self.got[body.rsplit("message ", 1)[-1].strip()] += 1
        self.say(self.name, f"{title}\n{body}")
        return True


class _Handler(BaseHTTPRequestHandler):
    receivers: dict[str, Receiver]

    def do_POST(self) -> None:
        """Take one message of Apprise's json:// service."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            taken = self.receivers[self.path.strip("/")].take(said["title"], said["message"])
        except BrokenPipeError:  # whoever reads the story has read enough; the story itself will notice
            taken = True
        self.send_response(200 if taken else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's name)
        """Keep the terminal for the story."""


def run(*, seed: int, numbers: int) -> None:
    """Tell the story on standard output."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="renewal-watch-demo-")))
        _Story(folder, stack, seed=seed, numbers=numbers).tell()


class _Story:
    def __init__(self, folder: Path, stack: ExitStack, *, seed: int, numbers: int) -> None:
        self.now = START
        fleet = made_up_fleet(numbers, seed, START.date())
        self.account = made_up_account(fleet, START)
        self.requests: list[dict[str, Any]] = []
        self.charges = [charge("topup-1", START)]
        self.account.releases, self.account.history = self.requests, self.charges
        self.provider = Provider(now=lambda: self.now, fleet=fleet, account=self.account)
        self.receivers = {name: Receiver(name, self._print_message) for name in ("chat", "pager", "office")}
        self.cast = _cast(self.provider.fleet)
        self.folder = folder
        self._day = -1
        self._polls = 0
        self._digests = 0
        server = Server(self.provider)
        stack.enter_context(server)
        stack.callback(server.shutdown)
        server.start()
        handler = type("Handler", (_Handler,), {"receivers": self.receivers})
        hooks = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        stack.enter_context(hooks)
        stack.callback(hooks.shutdown)
        threading.Thread(target=hooks.serve_forever, args=(0.05,), daemon=True).start()
        path = folder / "config.toml"
        path.touch(mode=0o600)
        path.write_text(
            f"""
state_dir = "{folder}"
[[environments]]
name = "production"
base_url = "{server.base_url}"
token = "{TOKEN}"
poll_every = "6h"
poll_jitter = "0s"
[[channels]]
name = "chat"
url = "json://127.0.0.1:{hooks.server_address[1]}/chat"
[[channels]]
name = "pager"
url = "json://127.0.0.1:{hooks.server_address[1]}/pager"
min_severity = "critical"
[[channels]]
name = "office"
url = "json://127.0.0.1:{hooks.server_address[1]}/office"
digest = "weekly mon 08:00"
critical_at_once = false
[account]
every = "1d"
""",
            encoding="utf-8",
        )
        self.settings = load(path)
        self.routing = Routing.of(self.settings)
        self.store = Store(self.settings.database_url)
        stack.callback(self.store.close)
        self.store.upgrade()
        self.outlets = []
        for channel in self.settings.channels:
            sender = AppriseChannel(channel.name, channel.read_url)
            stack.callback(sender.close)
            self.outlets.append(dispatch.Outlet(channel=channel, sender=sender))

    def tell(self) -> None:
        """Every step of the calendar, then the count."""
        began = time.monotonic()
        click.secho("renewal-watch demo", bold=True)
        click.echo(
            f"{len(self.provider.fleet)} simulated numbers over real HTTP, {DAYS} simulated days, a poll every 6 hours.\n"
            "What you see is what three channels receive: chat takes everything, pager only what is critical, office a\n"
            "digest on Mondays (the first one is shown whole)."
        )
        environment = self.settings.environments[0]
        source = open_provider(environment, time.sleep)
        policy = self.settings.policy(environment)
        due = turn.Turn(
            store=self.store,
            settings=self.settings,
            routing=self.routing,
            clock=lambda: self.now,
            pause=lambda _: None,
        )
        for step in range(DAYS * int(timedelta(days=1) / STEP)):
            self.now = START + step * STEP
            self._live(step / 4)
            self._live_account(step / 4)
            polled = poll.run_once(self.store, environment, source, policy, self.routing, lambda: self.now)
            if polled.error is None:
                settings = self.settings.account
                account_poll.run_once(self.store, environment, settings, source, policy, self.routing, lambda: self.now)
            turn.at_once(due)
            self._polls += 1
            self._send()
            sys.stdout.flush()
        self._sum_up(time.monotonic() - began)

    def _send(self) -> None:
        before = -1
        while before != (before := sum(sum(one.got.values()) for one in self.receivers.values())):
            for outlet in self.outlets:
                dispatch.run_once(self.store, outlet, self.routing, lambda: self.now)

    # --- what happens ---

    def _live(self, day: float) -> None:
        """The made-up world's doings, told as they happen."""
        cast = self.cast
        if day == 9:  # noqa: PLR2004 (the days of the story)
            self._aside("somebody reads the chat and switches auto-renewal on for " + cast["saved"].number)
            cast["saved"].auto_renewal = True
        elif day == 16:  # noqa: PLR2004
            self._aside("the provider's API fails for 30 hours")
            self.provider.fault = 500
        elif day == 17.25:  # noqa: PLR2004
            self._aside("the API works again")
            self.provider.fault = None
        elif day == 19:  # noqa: PLR2004
            self._aside("the pager's service goes down; its messages wait")
            self.receivers["pager"].down = True
        elif day == 22:  # noqa: PLR2004
            self._aside("the pager's service is back")
            self.receivers["pager"].down = False
        elif day == 24.5:  # noqa: PLR2004
            self._aside("somebody acknowledges the overdue number: the reminders stop")
            self._acknowledge(cast["unpaid"])
        elif day == 27:  # noqa: PLR2004
            self._aside("the unpaid number is paid by hand: " + cast["unpaid"].number)
            cast["unpaid"].unpaid = False
            cast["unpaid"].status = "active"
        elif day == 33:  # noqa: PLR2004
            self._aside("the provider suspends " + cast["suspended"].number)
            cast["suspended"].status = "suspended"
        elif day == 35:  # noqa: PLR2004
            cast["suspended"].status = "active"

    def _live_account(self, day: float) -> None:
        """What happens beside the list."""
        unpaid = self.cast["unpaid"]
        if day == 11:  # noqa: PLR2004 (the days of the story)
            self._aside("somebody asks to release " + unpaid.number)
            self.requests.append(release_request(unpaid, self.now))
        elif day == 12:  # noqa: PLR2004
            self._aside("somebody else reads the pager and cancels the request")
            self.requests[0]["status"] = "cancelled"
        elif day == 13:  # noqa: PLR2004
            self._aside("the card is declined when auto top-up charges it")
            self.charges.insert(0, charge("topup-2", self.now, "card_declined"))
        elif day == 14:  # noqa: PLR2004
            self._aside("another card is put in place")
            self.charges.insert(0, charge("topup-3", self.now))

    def _acknowledge(self, rented: Rented) -> None:
        """What ``renewal-watch ack NUMBER`` does."""
        with self.store.transaction() as tx:
            mine = {key: one for key, one in incidents_of(tx).items() if key.number_id == rented.id}
            acknowledge_incidents(tx, mine, "demo", self.now)

    # --- what is printed ---

    def _date(self) -> None:
        day = (self.now - START).days
        if day != self._day:
            self._day = day
            click.secho(f"\n── day {day + 1} · {self.now:%a %d %b} ".ljust(100, "─"), fg="cyan")

    def _aside(self, text: str) -> None:
        self._date()
        click.secho(f"   ({text})", dim=True, italic=True)

    def _print_message(self, channel: str, text: str) -> None:
        self._date()
        title, *lines = text.splitlines()
        click.echo(f" {self.now:%H:%M} {click.style(channel, bold=True)} ◂ {click.style(title, bold=True)}")
        colour, quiet = None, 0
        if channel == "office":
            self._print_digest(lines)
            return
        for line in lines:
            if line in _COLOURS:
                colour = _COLOURS[line]
            elif line.startswith("•") and colour == "green" and "renew" in line:
                quiet += 1  # good news and charges to expect: the title has said it
            elif line.startswith(("•", "…")):
                click.secho(f"         {line}", fg=colour)
            elif line.startswith("found "):
                click.secho(f"         {line}", dim=True)
        if quiet:
            click.secho(f"         • {quiet} for information", fg="green", dim=True)
        if sys.stdout.isatty():
            time.sleep(BREATH_S)

    def _print_digest(self, lines: list[str]) -> None:
        """The first one up to what was found, which the chat has shown; of the others the title has said enough."""
        if not self._digests:
            for line in lines[: next(i for i, line in enumerate(lines) if line.startswith("FOUND SINCE"))]:
                click.secho(f"         {line}", dim=True)
        self._digests += 1

    def _sum_up(self, seconds: float) -> None:
        with self.store.transaction() as tx:
            found = list_alerts(tx)
            kinds = Counter(alert["kind"] for alert in found)
            fates = {one["message_id"]: one for alert in found for one in alert["deliveries"]}
        received = sum((one.got for one in self.receivers.values()), Counter[str]())
        lost = sum(1 for name, one in fates.items() if not received[name] and one["state"] != "pending")
        waiting = sum(1 for one in fates.values() if one["state"] == "pending")
        twice = sum(1 for count in received.values() if count > 1)
        size = sum(one.stat().st_size for one in self.folder.glob("*.db"))
        click.secho("\n── what happened ".ljust(100, "─"), fg="cyan")
        rows = [(kind, count) for kind, count in sorted(kinds.items())]
        click.echo("\n".join("   " + line for line in tables.table(("ALERTS FOUND", ""), rows)))
        click.echo(
            f"\n   {self._polls} polls, {len(found)} alerts in {len(fates)} messages: "
            f"{lost} lost, {twice} sent twice, {waiting} waiting for their time. Database: {size // 1024} KiB. Took {seconds:.1f} s."
        )
        cast = self.cast
        click.echo(
            f"   Saved: {cast['saved'].number} (warned 14 and 7 days ahead) and {cast['unpaid'].number} (overdue, then paid).\n"
            f"   Lost, with {span(timedelta(days=14))} of warning: {cast['lapsed'].number}.\n"
            f"   The story ends at {instant(self.now)}. To watch your own numbers: renewal-watch init config.toml"
        )
        if lost or twice:
            msg = "a message was lost or sent twice; please report this"
            raise click.ClickException(msg)


def _cast(fleet: list[Rented]) -> dict[str, Rented]:
    """The numbers that the story is about; all others renew by themselves."""
    for rented in fleet:
        rented.auto_renewal = True
    saved, unpaid, lapsed, suspended = fleet[:4]
    today = START.date()
    saved.auto_renewal = lapsed.auto_renewal = False
    unpaid.unpaid = True
    for rented, days in ((saved, 15), (lapsed, 20), (unpaid, 23), (suspended, 28)):
        rented.renews_on = today + timedelta(days=days)
        rented.anchor = rented.renews_on.day
    return {"saved": saved, "unpaid": unpaid, "lapsed": lapsed, "suspended": suspended}
