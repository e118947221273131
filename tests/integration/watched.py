"""A watch with a configuration and a database of its own, polled at any time with any list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from conftest import T0
from databases import opened, section
from made_up import entry, listing

from renewal_watch.config.loading import load
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import ApiError, ServerTrouble
from renewal_watch.model.numbers import Listing
from renewal_watch.notify.routing import Routing
from renewal_watch.operations import poll

CHANNEL = '[[channels]]\nname = "ops"\nurl = "json://127.0.0.1:1/"\n'


def one(index: int, days: int | None = 30, **changes: Any) -> dict[str, Any]:
    """An entry that renews in ``days`` days, seen from ``T0``; without auto-renewal unless it is given."""
    day = None if days is None else (T0.date() + timedelta(days=days)).isoformat()
    given = {"auto_renewal": False, "renewal_date": day, "days_until_monthly_renewal": days}
    return entry(f"phone-{index}", **(given | changes))


class Source:
    """A provider that gives this list, or this error."""

    def __init__(self, said: Listing | ApiError) -> None:
        self.said = said

    def fetch(self) -> Listing:
        if isinstance(self.said, ApiError):
            raise self.said
        return self.said


class Watched:
    """The parts that commands and pages read."""

    def __init__(self, folder: Path, more: str = CHANNEL, environments: tuple[str, ...] = ("production",)) -> None:
        self.path = folder / "config.toml"
        self.path.touch(mode=0o600)
        self.database = folder / "renewal-watch.db"
        self.configure(more, environments)
        self.store = opened(self.database)
        self.store.upgrade()

    def configure(self, more: str, environments: tuple[str, ...] = ("production",)) -> None:
        """Put another configuration in place; ``more`` is what follows the environments."""
        blocks = "".join(
            f'[[environments]]\nname = "{name}"\nbase_url = "http://127.0.0.1:1/api/v1"\ntoken = "talq_made_up"\n'
            for name in environments
        )
        self.path.write_text(f'state_dir = "{self.path.parent}"\n{section(self.database)}{blocks}{more}')
        self.settings = load(self.path)

    def poll(self, *entries: object, at: datetime = T0, environment: str = "production") -> None:
        """A poll that gave this list."""
        self._poll(Source(listing(*entries)), at, environment)

    def fail(self, error: ApiError | None = None, *, at: datetime, environment: str = "production") -> None:
        """A poll that gave none."""
        self._poll(Source(error or ServerTrouble("the provider has trouble (HTTP 500)")), at, environment)

    def _poll(self, source: Source, at: datetime, environment: str) -> None:
        of = self.settings.environment(environment)
        poll.run_once(self.store, of, source, self.settings.policy(of), Routing.of(self.settings), lambda: at)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A transaction that cannot write."""
        reader = opened(self.database, reads_only=True)
        try:
            with reader.transaction() as tx:
                yield tx
        finally:
            reader.close()
