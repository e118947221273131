"""Every promise of docs/alerts.md against the truth of simulated accounts with odd providers.

The oracle (``truth.py``) is written from what happened and not from the rules: recall, false and repeated tellings.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from conftest import T0
from databases import opened
from made_up import listing
from rounds import Chosen, note, rounds
from sqlalchemy import select
from truth import SIGNS, STEP, Account, Lens, List, Oracle, Telling, accounts

from renewal_watch.database.schema import alerts, delivery_alerts, numbers
from renewal_watch.database.store import Store
from renewal_watch.errors import ServerTrouble
from renewal_watch.model.alerts import Severity
from renewal_watch.model.numbers import Listing
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment
from renewal_watch.settings.sections import Flapping
from renewal_watch.store.maintenance import integrity

DAY = timedelta(days=1)
WAY = Routing(channels=(Channel(name="chat", url="json://127.0.0.1:1"),), flapping=Flapping(changes=99))
WATCHED = Environment(name="main", base_url="http://127.0.0.1:1", token="talq_x", poll_jitter="0s")


class _Source:
    def __init__(self, found: Listing | None) -> None:
        self.found = found

    def fetch(self) -> Listing:
        if self.found is None:
            msg = "the provider has trouble"
            raise ServerTrouble(msg)
        return self.found


def watch(store: Store, account: Account, lens: Lens, days: int) -> Oracle:
    """Poll the account for so long; what the oracle needs of it."""
    lists: list[List] = []
    ends = account.now + days * DAY
    while account.now < ends:
        entries = lens.shown(account)
        found = None if entries is None else listing(*entries)
        poll.run_once(store, WATCHED, _Source(found), Policy(), WAY, lambda: account.now)
        if entries is not None:
            statuses = {one["number"]: str(one["current_status"]) for one in entries}
            lists.append(List(account.now, statuses, has_days="dayless" not in lens.spells))
        account.live(account.now + STEP)
    query = (
        select(alerts.c.created_at, alerts.c.kind, alerts.c.severity, numbers.c.number, alerts.c.days_left)
        .outerjoin(numbers, numbers.c.id == alerts.c.number_id)
        .where(alerts.c.id.in_(select(delivery_alerts.c.alert_id)))
        .order_by(alerts.c.id)
    )
    with store.transaction() as tx:
        tellings = [
            Telling(row.created_at, row.kind, Severity(row.severity).name, row.number or "", row.days_left)
            for row in tx.connection.execute(query)
        ]
    return Oracle(account, lists, tellings)


@pytest.mark.parametrize("length", [pytest.param(75, id="of months")])
def test_everything_that_happens_is_told_once_and_nothing_that_does_not(tmp_path: Path, length: int) -> None:
    years = Chosen.rounds
    days, size = (365, 20) if years else (length, 12)
    count = rounds(8 * size) // size
    must = tellings = polls = count_of = 0
    for index, (chance, signs) in enumerate(islice(accounts(Chosen.seed), count)):
        store = opened(tmp_path / f"{index}.db")
        store.upgrade()
        account = Account(chance, T0)
        account.open(size)
        oracle = watch(store, account, Lens(chance, signs), days)
        assert oracle.judge() == [], (index, signs)
        assert integrity.look(store) == []
        store.close()
        must, tellings = must + oracle.must, tellings + len(oracle.tellings)
        polls, count_of = polls + len(oracle.lists), count_of + size
    assert must > count_of
    note(
        "number-years against the truth",
        count_of * days // 365 if years else count_of,
        f"{must:,} of {must:,} events told, 0 falsely, 0 twice; {polls:,} lists of {len(SIGNS)} kinds of providers",
    )
