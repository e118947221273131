"""Tokens of the API. Of each a digest is kept, from which it cannot be made."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, insert, or_, select, update

from renewal_watch.database.schema import tokens
from renewal_watch.database.transaction import Transaction
from renewal_watch.errors import UsageError
from renewal_watch.model.actor import BEGINNING, Actor, Scope, Token


def create_token(
    tx: Transaction, name: str, scope: Scope, expires_at: datetime | None, actor: Actor, now: datetime
) -> str:
    """A new token, told this once; the name of one that counts no more is free again. Raises UsageError for one that is taken."""
    for other in list_tokens(tx):
        if other.name == name and other.is_good(now):
            msg = f"there is a token called {name!r} already; revoke it first: renewal-watch web token revoke {name}"
            raise UsageError(msg)
    tx.connection.execute(delete(tokens).where(tokens.c.name == name))
    made = BEGINNING + secrets.token_urlsafe(32)
    tx.connection.execute(
        insert(tokens).values(
            name=name,
            scope=scope,
            digest=_digest(made),
            created_at=now,
            created_by=actor.name,
            expires_at=expires_at,
        )
    )
    return made


def token_of(tx: Transaction, given: str, now: datetime) -> Token | None:
    """What a program that gives this token may do; None for one that is none, has expired or was revoked."""
    row = tx.connection.execute(select(tokens).where(tokens.c.digest == _digest(given))).first()
    found = None if row is None else _token(row)
    return found if found is not None and found.is_good(now) else None


def list_tokens(tx: Transaction) -> list[Token]:
    """All of them, those that count no more included, by name."""
    return [_token(row) for row in tx.connection.execute(select(tokens).order_by(tokens.c.name))]


def revoke_token(tx: Transaction, name: str, now: datetime) -> None:
    """It counts no more. Raises UsageError where none of this name does."""
    if not any(one.name == name and one.is_good(now) for one in list_tokens(tx)):
        msg = f"there is no token called {name!r} that counts; see: renewal-watch web token list"
        raise UsageError(msg)
    tx.connection.execute(update(tokens).where(tokens.c.name == name).values(revoked_at=now))


def good_tokens(tx: Transaction, now: datetime) -> set[bytes]:
    """The digests of those that count."""
    rows = tx.connection.execute(select(tokens)).all()
    return {bytes(row.digest) for row in rows if _token(row).is_good(now)}


def forget_tokens(tx: Transaction, limit: datetime) -> None:
    """Let go those that had expired or were revoked by then."""
    tx.connection.execute(delete(tokens).where(or_(tokens.c.revoked_at < limit, tokens.c.expires_at < limit)))


def revoke_all_but(tx: Transaction, digests: set[bytes], now: datetime) -> int:
    """Let every other token count no more, after a backup was put back: it may have been revoked since; how many."""
    others = good_tokens(tx, now) - digests
    tx.connection.execute(update(tokens).where(tokens.c.digest.in_(others)).values(revoked_at=now))
    return len(others)


def _token(row: Any) -> Token:
    return Token(
        name=row.name,
        scope=cast("Scope", row.scope),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _digest(token: str) -> bytes:
    """SHA-256 is enough: a token has 256 bits of chance, which nobody guesses, however quick a hash is."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
