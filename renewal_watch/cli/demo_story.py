"""Forty-five days in half a minute: the real parts, a simulated provider over HTTP, and three channels that print.

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
import msgspec

from renewal_watch.alerts.phrases import instant, span
from renewal_watch.channels.apprise import AppriseChannel
from renewal_watch.cli.demo_printing import Printer
from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.model.kinds import ROWS
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
from renewal_watch.settings.web import Web
from renewal_watch.store.incidents.incidents import acknowledge_incidents, incidents_of
from renewal_watch.store.outbox.alerts import list_alerts

DAYS = 45
STEP = timedelta(hours=6)
START = datetime(2026, 3, 2, tzinfo=UTC)  # a made-up Monday


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


def run(*, seed: int, numbers: int, is_fast: bool, port: int | None) -> None:
    """Tell the story on standard output; then, with a ``port``, serve the pages of its last day until Ctrl-C."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="renewal-watch-demo-")))
        story = _Story(folder, stack, seed=seed, numbers=numbers, is_fast=is_fast)
        story.tell()
        if port is not None:
            story.show_pages(port)


class _Story:
    def __init__(self, folder: Path, stack: ExitStack, *, seed: int, numbers: int, is_fast: bool = True) -> None:
        self.now = START
        self.printer = Printer(START, is_fast=is_fast)
        fleet = made_up_fleet(numbers, seed, START.date())
        self.account = made_up_account(fleet, START)
        self.requests: list[dict[str, Any]] = []
        self.charges = [charge("topup-1", START)]
        self.account.releases, self.account.history = self.requests, self.charges
        self.provider = Provider(now=lambda: self.now, fleet=fleet, account=self.account)
        self.receivers = {name: Receiver(name, self._arrived) for name in ("chat", "pager", "office")}
        self.cast = _cast(self.provider.fleet)
        self.folder = folder
        self._polls = 0
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
        self.printer.text(
            f"{len(self.provider.fleet)} simulated numbers over real HTTP, {DAYS} simulated days, a poll every 6 hours. What "
            "you see is what three channels receive: chat takes everything, pager only what is critical, office a digest on "
            "Mondays (the first one is shown whole). Reminders, and what another channel has shown, are one line."
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

    def show_pages(self, port: int) -> None:
        """Serve the pages; their clock begins where the story ends."""
        from renewal_watch.web.serve import serve  # an extra, which the story itself does without

        began = time.monotonic()
        ends = self.now

        def clock() -> datetime:
            return ends + timedelta(seconds=time.monotonic() - began)

        settings = msgspec.structs.replace(self.settings, web=Web(listen=f"127.0.0.1:{port}"))
        serve(settings, clock, lambda line: click.secho(f"   {line} (Ctrl-C ends it)", bold=True))

    def _arrived(self, channel: str, text: str) -> None:
        self.printer.message(self.now, channel, text)

    def _aside(self, text: str) -> None:
        self.printer.aside(self.now, text)

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
        elif day == 24.75:  # noqa: PLR2004
            self._aside(f"somebody acknowledges {cast['unpaid'].number}: its reminders stop")
            self._acknowledge(cast["unpaid"])
        elif day == 27:  # noqa: PLR2004
            self._aside("the unpaid number is paid by hand: " + cast["unpaid"].number)
            cast["unpaid"].unpaid = False
            cast["unpaid"].status = "active"
        elif day == 33:  # noqa: PLR2004
            self._aside("the provider suspends " + cast["suspended"].number)
            cast["suspended"].status = "suspended"
        elif day == 35:  # noqa: PLR2004
            self._aside("and makes it active again: " + cast["suspended"].number)
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
        self.printer.rule("what happened")
        rows = [(count, ROWS[kind].group, kind) for kind, count in sorted(kinds.items())]
        click.echo("\n".join("   " + line for line in tables.table(("ALERTS", "", "KIND"), rows)))
        click.echo()
        self.printer.text(
            f"{self._polls} polls, {len(found)} alerts in {len(fates)} messages: "
            f"{lost} lost, {twice} sent twice, {waiting} waiting for their time. Database: {size // 1024} KiB. Took {seconds:.1f} s."
        )
        cast = self.cast
        self.printer.text(
            f"Saved: {cast['saved'].number} (warned 14 and 7 days ahead) and {cast['unpaid'].number} (overdue, then paid). "
            f"Lost, with {span(timedelta(days=14))} of warning: {cast['lapsed'].number}."
        )
        self.printer.text(
            f"The story ends at {instant(self.now)}. To look at it as pages: renewal-watch demo --web. To watch your own "
            "numbers: renewal-watch init config.toml"
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
