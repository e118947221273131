"""Opens the database behind a URL: a SQLite file, or a PostgreSQL server that several daemons share.

Both give transactions that hold what they read: on SQLite a writer takes the only write lock at its start; on PostgreSQL
``take_turn`` takes locks by name, so that what is about one environment goes on beside what is about another. The locks
end with their transaction, whatever becomes of the process.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError

from renewal_watch.database.sqlite import DURABLE, PATIENCE, READERS, READS, sqlite, sqlite_path
from renewal_watch.errors import ConfigError

log = logging.getLogger(__name__)
_POOL = 5  # connections to a server that stay open
_POOL_MORE = 25  # and those beyond, as long as they are needed: one for each thread that polls or sends
OLDEST_SERVER = 14  # major release of PostgreSQL
MOST_CONNECTIONS = _POOL + _POOL_MORE + 1  # that one daemon has with a server; one is for saying that it is there
IDLE_S = 30
_SESSION = {  # of PostgreSQL
    "lock_timeout": "60s",  # the longest transaction is a first poll of very many numbers
    "idle_in_transaction_session_timeout": f"{IDLE_S}s",  # a daemon that was paused must not hold up the others
    "client_min_messages": "warning",
    "tcp_user_timeout": "25s",  # and one whose machine lost its network in the middle of an answer neither
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
}


def open_engine(url: str, *, reads_only: bool = False) -> Engine:
    """An engine for ``url``. Bound values never enter an exception. Raises ConfigError for a URL that cannot be used.

    With ``reads_only`` several transactions may be open at once, none of them can write or waits for one that does: each
    sees the database as it was at its first question. The database must be there; StoreError says if it is not.
    """
    try:
        kind = make_url(url).get_backend_name()
    except ArgumentError:
        kind = ""
    if kind == "sqlite":
        return sqlite(url, reads_only=reads_only)
    if kind == "postgresql":
        return _postgresql(url, reads_only=reads_only)
    msg = "database.url: write it as sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
    raise ConfigError([msg])


def shown(url: str) -> str:
    """The database as people name it: the file, or user, server and name, without password and options."""
    path = sqlite_path(url)
    return str(path) if path is not None else make_url(url).set(query={}).render_as_string(hide_password=True)


def only_reads(connection: Connection) -> Connection:
    """The connection, whose next transaction waits for nobody and sees one state of the database."""
    if connection.dialect.name == "sqlite":
        return connection.execution_options(**{READS: True})
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _postgresql(url: str, *, reads_only: bool) -> Engine:
    """Transactions are on the server's disk when they commit, whatever is set for the user; each waits its ``take_turn``."""
    given = make_url(url)
    if given.drivername != "postgresql+psycopg":
        msg = f"database.url: begin it with postgresql+psycopg:// instead of {given.drivername}://"
        raise ConfigError([msg])
    try:
        engine = create_engine(
            given,
            hide_parameters=True,
            pool_size=READERS if reads_only else _POOL,
            max_overflow=_POOL_MORE,
            pool_timeout=60,
            pool_pre_ping=True,  # a server that was restarted costs no step
            connect_args={name: value for name, value in PATIENCE.items() if name not in given.query},
        )
    except (ArgumentError, TypeError, ValueError):
        msg = "database.url: its options after ? cannot be used; correct them"
        raise ConfigError([msg]) from None
    except ModuleNotFoundError:
        msg = "database.url: PostgreSQL needs a library that is not installed; install renewal-watch[postgres]"
        raise ConfigError([msg]) from None

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, record: object) -> None:
        del record
        raw: Any = connection
        raw.autocommit = True
        for name, value in _SESSION.items():
            raw.execute("SELECT set_config(%s, %s, false)", (name, value))
        raw.execute(DURABLE)
        raw.autocommit = False

    return engine
