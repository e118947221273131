"""One poll at a given time in a process of its own: what ``renewal-watch poll --no-send`` does, with the time as argument."""

import os
import sys
from datetime import datetime
from pathlib import Path

from renewal_watch.config.loading import load
from renewal_watch.database.store import Store
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.provider.talkover.client import Client

settings = load(Path(sys.argv[1]))
now = datetime.fromisoformat(sys.argv[2])
store = Store(settings.database_url)
store.upgrade()
environment = settings.environments[0]
polled = poll.run_once(
    store,
    environment,
    Client.of(environment, lambda _: None),
    settings.policy(environment),
    Routing.of(settings),
    lambda: now,
)
wanted = tuple(map(int, sys.argv[3:5]))  # how many changed, of how many
if polled.error or (wanted and (polled.changed, polled.numbers) != wanted):
    sys.exit(f"not the expected poll: {polled}")
store.close()
os._exit(0)  # as every command ends
