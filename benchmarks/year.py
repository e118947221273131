"""A year of hourly polls of 10,000 numbers, one in a hundred changing each day and each renewing every month.

Everything but the clock is real. Prints the size of the database and what it holds.
``year.py FOLDER [HOURS]``
"""

import random
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path

from fleet import Handler, body, fleet

from renewal_watch.database.store import Store
from renewal_watch.model.policy import Policy
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll
from renewal_watch.provider.talkover.client import Client
from renewal_watch.settings.channel import Channel
from renewal_watch.settings.environment import Environment

START = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 10_000


def main() -> None:
    folder, hours = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 365 * 24
    chance = random.Random(7)
    entries = fleet(COUNT, START.date())
    store = Store(f"sqlite:///{folder}/renewal-watch.db")
    store.upgrade()
    bodies: dict[str, bytes] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"bodies": bodies}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/today"
    environment = Environment(name="production", base_url=address, token="x", poll_jitter="0s")
    source = Client.of(environment, time.sleep)
    routing = Routing(channels=(Channel(name="ops", url="json://127.0.0.1:1"),))
    began = time.monotonic()
    for hour in range(hours):
        now = START + timedelta(hours=hour)
        if hour % 24 == 0:
            _next_day(entries, now.date(), chance)
            bodies["today"] = body(entries)
        poll.run_once(store, environment, source, Policy(), routing, lambda: now)  # noqa: B023 (used at once)
    with store.transaction() as tx:
        counts = {
            table: tx.connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("polls", "changes", "alerts", "deliveries")
        }
    store.close()
    size = (folder / "renewal-watch.db").stat().st_size
    print(f"{hours} polls in {time.monotonic() - began:.0f} s; database {size / 1e6:.1f} MB; {counts}")


def _next_day(entries: list[dict[str, object]], today: date, chance: random.Random) -> None:
    for entry in entries:
        renews_on = date.fromisoformat(str(entry["renewal_date"]))
        if renews_on <= today:
            renews_on += timedelta(days=30)
            entry["renewal_date"] = renews_on.isoformat()
        entry["days_until_monthly_renewal"] = (renews_on - today).days
    for entry in chance.sample(entries, COUNT // 100):
        entry["current_price"] = round(chance.uniform(1, 5), 2)


if __name__ == "__main__":
    main()
