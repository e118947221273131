"""What an error of either engine means, and what to do about it."""

from __future__ import annotations

_AGAIN = "; nothing was lost, try again"
_REPEATED = "; nothing was lost, the step is repeated"  # by who goes on
_EMPTY = (
    "was it emptied, put a backup back: renewal-watch db restore FILE; is it a new one, make its tables with: "
    "renewal-watch db upgrade"
)
_BY_CODE = {  # of PostgreSQL (postgresql.org/docs/current/errcodes-appendix.html): what to do
    "53100": f"free some space on the server's disk{_AGAIN}",
    "53300": f"raise max_connections of the server, or see what else is connected{_AGAIN}",
    "55P03": f"another process keeps it locked{_AGAIN}",
    "40P01": f"another process was in the way{_AGAIN}",
    "25006": f"the server takes no changes: it is a standby, or was set to read only{_AGAIN}",
    "25P03": f"this process stood still in the middle of it{_AGAIN}",
    "42P01": _EMPTY,
    "42501": "give this user the right to it, see docs/database.md",
    "28000": "correct the user in database.url, or let it in (pg_hba.conf)",
    "28P01": "correct the password",
    "3D000": "make the database, see docs/database.md",
    "57P0": f"see whether the server runs{_AGAIN}",
    "08": f"see whether the server runs and can be reached{_AGAIN}",
    "53": f"give the server more memory or space{_AGAIN}",
}
_BY_WORD = {  # of SQLite, and of a server that lets nobody in: what to do
    "full": f"free some space{_AGAIN}",
    "locked": f"another process keeps it locked{_AGAIN}",
    "readonly": "let the service's user write the file and its directory",
    "no such table": _EMPTY,
    "no such column": "bring it up to date with: renewal-watch db upgrade",
    "password authentication failed": "correct the user or the password",
    "no password supplied": "give the password in database.url, or in the file that PGPASSFILE names",
    "no pg_hba.conf entry": "let this user and machine in (pg_hba.conf of the server)",
    "Peer authentication": "the user of the server must be called as the system's user, see pg_hba.conf",
    "certificate": "see sslmode and sslrootcert in database.url, docs/database.md",
    "too many clients": f"raise max_connections of the server, or see what else is connected{_AGAIN}",
    "remaining connection slots": f"raise max_connections of the server, or see what else is connected{_AGAIN}",
    "does not exist": "make it, see docs/database.md",
    "invalid connection option": "correct the options in database.url",
    "connection": f"see whether the server runs and can be reached{_AGAIN}",
    "could not translate host name": f"correct the host in database.url, or see to the name service{_AGAIN}",
}


def explained(error: Exception) -> tuple[str, str]:
    """What an engine says that went wrong, in one line, and what to do about it. A server may speak any language."""
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlstate", None) or ""
    said = " ".join((getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)).split())
    for beginning, todo in _BY_CODE.items():
        if code.startswith(beginning):
            return said, todo
    if code:
        return said, "check it with: renewal-watch db check"
    found = (todo for word, todo in _BY_WORD.items() if word in said)
    return said, next(found, "check it with: renewal-watch db check")


def repeated(todo: str) -> str:
    """What to do, said by a process that tries again itself."""
    return todo.removesuffix(_AGAIN) + _REPEATED if will_pass(todo) else todo


def will_pass(todo: str) -> bool:
    """Whether what ``explained`` says to do is about something that ends by itself, or that others end."""
    return todo.endswith(_AGAIN)
