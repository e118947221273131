"""Finds and names what is damaged in a database: its file, its tables, what refers to what, and what no engine looks at.

``look`` reads everything, in short steps, so that a daemon can go on; ``of_file`` does the part that a daemon begins with.
"""

from __future__ import annotations

from renewal_watch.database.copying import unhurried
from renewal_watch.database.shape import Side
from renewal_watch.database.store import Store
from renewal_watch.store.maintenance.integrity_file import look_at, of_file
from renewal_watch.store.maintenance.integrity_schema import Fault


def look(store: Store) -> list[Fault]:
    """Everything that is damaged; an empty list for a sound database. Raises StoreError if it cannot be reached."""
    if store.path is None:
        with store.reading() as tx:
            unhurried(tx.connection)
            return look_at(tx.connection, Side.of(tx.connection), set())
    return of_file(store.path, is_thorough=True)
