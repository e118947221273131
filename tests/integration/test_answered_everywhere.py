"""One incident from a poll to its end: in the mail, by its link, in PagerDuty, Opsgenie and Alertmanager, in the audit log and the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from browsing import Visitor, pages
from conftest import Clock
from databases import BOTH
from oncall_services import BASIC, KEY, Alertmanager, StandIn, alertmanager, stand_in
from receivers import SmtpReceiver, smtp_receiver
from sqlalchemy import select
from watched import Watched, one

from renewal_watch.channels.senders import sender_of
from renewal_watch.database.schema import actions
from renewal_watch.model.actor import Actor
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import dispatch
from renewal_watch.operations.dispatch import Outlet
from renewal_watch.store.access.tokens import create_token

pytestmark = BOTH

HOUR = timedelta(hours=1)


class World:
    """A watch whose one number goes wrong, and everybody who is told of it. Real time, for Alertmanager has its own clock."""

    def __init__(
        self,
        watched: Watched,
        clock: Clock,
        visitor: Visitor,
        mail: SmtpReceiver,
        services: list[StandIn],
        am: Alertmanager,
    ) -> None:
        self.watched, self.clock, self.visitor = watched, clock, visitor
        self.mail, self.services, self.am = mail, services, am
        with watched.store.transaction() as tx:
            self.token = create_token(tx, "reader", "read", None, Actor("me"), clock.now)

    def poll(self, **said: Any) -> None:
        days = said.pop("days")
        day = (self.clock.now.date() + timedelta(days=days)).isoformat()
        entry = one(1, None, renewal_date=day, days_until_monthly_renewal=days, **said)
        self.watched.poll(entry, at=self.clock.now)
        self.send()

    def send(self) -> None:
        """What is due on every channel."""
        for channel in self.watched.settings.channels:
            outlet = Outlet(channel=channel, sender=sender_of(channel, self.clock))
            dispatch.run_once(self.watched.store, outlet, Routing.of(self.watched.settings), self.clock)
            outlet.sender.close()  # type: ignore[attr-defined]

    def everywhere(self) -> list[str]:
        return [service.only.state for service in self.services]

    def api(self, path: str) -> Any:
        answer = self.visitor.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"})
        assert answer.status_code == 200
        return answer.json()

    def incident(self) -> dict[str, Any]:
        states = "&".join(f"state={state}" for state in ("open", "acknowledged", "suppressed", "resolved"))
        (found,) = self.api(f"/incidents?{states}")["incidents"]
        return dict(found)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        services = [stack.enter_context(stand_in(name)) for name in ("pagerduty", "opsgenie")]
        am = stack.enter_context(alertmanager(folder))
        mail = stack.enter_context(smtp_receiver())
        blocks = [
            f'[[channels]]\nname = "{one.service}"\nservice = "{one.service}"\naddress = "{one.address}"\n'
            f'key = "{BASIC if one is am else KEY}"\n'
            for one in (*services, am)
        ]
        blocks.append(
            f'[[channels]]\nname = "ops-mail"\nurl = "mailto://127.0.0.1:{mail.port}?from=watch@test.example&to=ops@test.example"\n'
            'format = "html"\nroutine = "at once"\n'
        )
        web = '[web]\npublic_url = "https://watch.example.org"\nkey = "a key of the pages that is long enough"\n'
        watched = Watched(folder, "".join(blocks) + web)
        stack.callback(watched.store.close)
        clock = Clock()
        clock.now = datetime.now(UTC).replace(microsecond=0) - HOUR / 4
        visitor = stack.enter_context(pages(watched, clock))
        yield World(watched, clock, visitor, mail, services, am)


def test_one_incident_is_the_same_one_everywhere(tmp_path: Path) -> None:
    with world(tmp_path) as here:
        for service in here.services:
            service.loses = 1
        here.poll(days=60)
        here.send()
        here.poll(days=60, current_status="pending")
        here.clock.now += HOUR / 6  # each of them took the first try, and its answer was lost
        here.send()
        assert here.everywhere() == ["open", "open"]
        opened = here.incident()
        assert (opened["state"], opened["severity"]) == ("open", "warning")

        # acknowledged from the mail
        message = here.mail.mails[-1].message
        page = message.get_body(("html",))
        assert page is not None
        (link,) = re.findall(r'href="(https://watch.example.org/answer/[^"]+)"', page.get_content())
        answer = here.visitor.post(urlsplit(link).path, {"length": "3d"})
        assert answer.status_code == 200
        here.send()
        assert here.everywhere() == ["acknowledged", "acknowledged"]
        assert here.am.states() == [("warning", "suppressed")]
        assert (here.incident()["state"], here.incident()["acknowledged_by"]) == ("acknowledged", "link: ops-mail")

        # worse: open again
        here.clock.now = datetime.now(UTC)
        here.poll(days=60, current_status="suspended")
        assert (here.incident()["state"], here.incident()["severity"]) == ("open", "critical")
        assert ("critical", "active") in here.am.states()
        assert [len(service.incidents) for service in here.services] == [1, 1], "no second incident anywhere"

        # over
        here.clock.now = datetime.now(UTC)
        here.poll(days=60)
        assert here.everywhere() == ["resolved", "resolved"]
        assert here.am.alerts() == []
        resolved = here.api("/incidents?state=resolved")["incidents"]
        assert opened["key"] in {found["key"] for found in resolved}
        assert all(service.refused == [] for service in here.services)

        with here.watched.reading() as tx:
            kept = [(row.verb, row.author, row.origin, row.subject) for row in tx.connection.execute(select(actions))]
        assert kept == [("ack", "link: ops-mail", "link, 127.0.0.1", opened["key"])]
        assert json.dumps(here.api("/alerts")).count('"failed"') == 0
