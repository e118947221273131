"""The lock of a database's daemon: on one SQLite file there is one."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from renewal_watch.database.instants import write_instant
from renewal_watch.database.sqlite import lock_of
from renewal_watch.errors import AlreadyRunning, StoreError


@contextlib.contextmanager
def only_one(database: Path, now: datetime | None = None) -> Iterator[None]:
    """Hold the lock of this database's daemon, which began at ``now``. Raises AlreadyRunning."""
    path = lock_of(database)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.geteuid() == 0:  # the service's user must be able to lock what root made
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError as error:
        msg = f"{path} cannot be opened ({error.strerror}); give the directory to the user of the service"
        raise StoreError(msg) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").partition("\n")[0].strip() or "unknown"
            msg = f"another daemon (process {holder}) watches with {database}; stop it first"
            raise AlreadyRunning(msg) from None
        os.ftruncate(descriptor, 0)
        began = f"{write_instant(now)}\n" if now else ""  # for those who ask since when it runs
        os.write(descriptor, f"{os.getpid()}\n{began}".encode())
        yield
    finally:
        os.close(descriptor)
