"""Sessions, the forms that belong to them, and the notes that one page leaves for the next.

A session is a signed cookie: it outlives a restart, ends when its key changes, and nothing of it is kept here. That of the
password is signed with a key from the password file, so that it ends with the password; that of a sign-in elsewhere with the
key of ``[web]``.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from itsdangerous import BadSignature, Signer, URLSafeSerializer

from renewal_watch.text import printable

LENGTH = timedelta(hours=12)
COOKIE = "renewal_watch_session"
LONGEST_NAME = 200  # characters: it is compared with readers and actors whole
NOTE_COOKIE = "renewal_watch_note"
NOTE = timedelta(minutes=1)  # a note that no page showed by then is about something else

How = Literal["password", "oidc", "proxy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who signed in, and how. With the password ``name`` is what they call themselves, else what vouches for them says.

    ``groups`` are those that the configuration speaks of.
    """

    name: str
    token: str
    until: datetime
    how: How = "password"
    groups: Sequence[str] = ()

    @property
    def author(self) -> str:
        """Who did what is done, as it is kept."""
        return f"web: {self.name}"


def begun(name: str, now: datetime, how: How = "password", groups: Sequence[str] = ()) -> Session:
    """A new session."""
    return Session(
        name=printable(name, LONGEST_NAME).strip() or "somebody",
        token=secrets.token_urlsafe(12),
        until=now + LENGTH,
        how=how,
        groups=groups,
    )


def signed(session: Session, key: bytes) -> str:
    """The cookie of a session."""
    said = [session.name, session.token, int(session.until.timestamp()), *session.groups]
    return str(_serializer(key, f"session {session.how}").dumps(said))


def session_in(cookie: str, how: How, key: bytes, now: datetime) -> Session | None:
    """The session of a cookie, None for one that is forged, over, of another key or another way to sign in."""
    try:
        name, token, until, *groups = _serializer(key, f"session {how}").loads(cookie)
        ends = datetime.fromtimestamp(int(until), tz=now.tzinfo)
    except (BadSignature, ValueError, TypeError, OverflowError):
        return None
    found = Session(name=str(name), token=str(token), until=ends, how=how, groups=tuple(map(str, groups)))
    return found if now < found.until else None


def form_token(session: Session, key: bytes) -> str:
    """What a form of this session must hold, and no other site can know."""
    return Signer(key, salt=f"form {session.how}", digest_method=hashlib.sha256).get_signature(session.token).decode()


def is_form_of(given: str, session: Session, key: bytes) -> bool:
    """Whether a form came from a page of this session."""
    return hmac.compare_digest(given.encode(), form_token(session, key).encode())


def note(text: str, *, is_bad: bool, key: bytes, now: datetime) -> str:
    """The cookie that carries a sentence to the next page."""
    return kept([text[:1500], "bad" if is_bad else ""], "note", key, now + NOTE)


def note_in(cookie: str, key: bytes, now: datetime) -> tuple[str, bool] | None:
    """The sentence and whether it is bad news; None for one that was not signed here, or is old."""
    found = kept_in(cookie, "note", key, now)
    return None if found is None else (found[0], found[1] != "")


def kept(texts: Sequence[str], what: str, key: bytes, until: datetime) -> str:
    """A cookie that keeps some texts for a while, for one purpose."""
    return str(_serializer(key, what).dumps([int(until.timestamp()), *texts]))


def kept_in(cookie: str, what: str, key: bytes, now: datetime) -> list[str] | None:
    """The texts of such a cookie; None for one that is forged, over or for another purpose."""
    try:
        until, *texts = _serializer(key, what).loads(cookie)
        return [str(one) for one in texts] if now.timestamp() < int(until) else None
    except (BadSignature, ValueError, TypeError):
        return None


def _serializer(key: bytes, what: str) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt=what, signer_kwargs={"digest_method": hashlib.sha256})
