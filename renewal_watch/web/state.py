"""What every request is given: the settings, the clock, and transactions on the one database."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from renewal_watch.config.directory import LOOK_S, Directory
from renewal_watch.database.sqlite import absent, sqlite_path
from renewal_watch.database.store import Store
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import StoreError
from renewal_watch.inventory.file import inventory_of
from renewal_watch.notify.routing import Routing
from renewal_watch.settings.whole import Settings


class State:
    """Holds nothing of its own but open connections; safe to use from several threads.

    ``is_exposed`` says that other machines can reach a socket, so that reading needs a login.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], *, is_exposed: bool = False) -> None:
        self._settings = settings
        self._directory = Directory()
        self._looked_at = clock()
        self.clock = clock
        self.is_exposed = is_exposed or not settings.web.is_local
        self.own_key = secrets.token_bytes(32)  # of this process
        self._lock = threading.RLock()
        self._inventory = inventory_of(settings)
        self._reads = _Opened(settings.database_url, reads_only=True)
        self._writes = _Opened(settings.database_url, reads_only=False)

    @property
    def settings(self) -> Settings:
        """The configuration, with the environments as the files of their directory have them now."""
        with self._lock:
            now = self.clock()
            if abs(now - self._looked_at) >= timedelta(seconds=LOOK_S):
                self._looked_at = now
                self._settings = self._directory.look(self._settings, now)
            return self._settings

    @property
    def needs_login_to_read(self) -> bool:
        """Whether the pages are for those only who sign in."""
        return self.settings.web.login_to_read or self.is_exposed

    @contextmanager
    def reading(self, *, of_any_release: bool = False) -> Iterator[Transaction]:
        """A transaction that cannot write and sees one state of the database. Raises StoreError.

        ``of_any_release`` is for who only asks whether it can be read.
        """
        with self._reads.store(of_any_release=of_any_release).transaction() as tx:
            yield tx

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that does all or nothing. Raises StoreError."""
        with self._writes.store().transaction() as tx:
            yield tx

    def store(self) -> Store:
        """The database as it is now, to write. Raises StoreError."""
        return self._writes.store()

    def routing(self) -> Routing:
        """Who is told of what, with the inventory as its file is now."""
        with self._lock:
            return Routing.of(self.settings, self._inventory.current())

    def adopt(self, settings: Settings) -> None:
        """Go on with another configuration; only where to listen stays as it was at the start. Raises ConfigError."""
        url = settings.database_url
        with self._lock:
            self._settings = self._directory.look(settings, self.clock(), before=self._settings, is_meant=True)
            self._inventory = inventory_of(settings)
        self._reads.turn_to(url)
        self._writes.turn_to(url)

    def close(self) -> None:
        """Give the connections back."""
        self._reads.close()
        self._writes.close()


class _Opened:
    """A store that is opened when it is needed, and anew when another file was put in its place."""

    def __init__(self, url: str, *, reads_only: bool) -> None:
        self._url = url
        self._path = sqlite_path(url)
        self._reads_only = reads_only
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._file: tuple[int, int] | None = None

    def store(self, *, of_any_release: bool = False) -> Store:
        """The store of the database as it is now. Raises StoreError while there is none, or one of another release."""
        with self._lock:
            file = self._identity()
            if self._store is None or file != self._file:
                self._drop()
                self._store, self._file = Store(self._url, reads_only=self._reads_only), file
            store = self._store
        if not of_any_release:
            store.require_current()
        return store

    def _identity(self) -> tuple[int, int] | None:
        """What tells the file from another one of its name; None for a server."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._drop()
            raise StoreError(absent(self._path, "the first poll of the daemon makes it")) from None
        except OSError as error:
            msg = f"the database {self._path} cannot be reached: {error.strerror}"
            raise StoreError(msg) from None
        return found.st_dev, found.st_ino

    def turn_to(self, url: str) -> None:
        """Use this database from now on."""
        with self._lock:
            if url != self._url:
                self._drop()
            self._url, self._path = url, sqlite_path(url)

    def _drop(self) -> None:
        """Transactions under way keep their connections until they end."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def close(self) -> None:
        with self._lock:
            self._drop()
