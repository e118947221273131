"""Signing in at an OpenID Connect provider: where to send somebody, and who came back.

The protocol is Authlib's and the signatures are joserfc's; the requests are our own (``provider.http``), which end in time. The
authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636, RFC 9207). No plain keys: a token signed
with a secret, or with nothing, is none.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, import_key
from joserfc.jws import JWSRegistry

from renewal_watch.provider import http
from renewal_watch.settings.values import LOOPBACK
from renewal_watch.settings.web import Oidc
from renewal_watch.text import plain, printable
from renewal_watch.web.access.sessions import LONGEST_NAME

_SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_DEADLINE = timedelta(seconds=5)  # of each request: somebody waits for the page
_LARGEST = 1024 * 1024  # bytes of an answer
_LEEWAY_S = 60  # by which the clocks may differ


class NotSignedIn(Exception):
    """Nobody was signed in; a sentence why, without anything secret."""


class Issuer(NamedTuple):
    """What a provider says of itself (OpenID Connect Discovery 1.0)."""

    name: str
    authorizes_at: str
    token_at: str
    keys_at: str
    userinfo_at: str | None
    takes_basic: bool
    algorithms: tuple[str, ...]


class Begun(NamedTuple):
    """A sign-in under way; kept in a signed cookie until they come back."""

    state: str
    nonce: str
    verifier: str


class SignedIn(NamedTuple):
    """Who came back."""

    name: str
    groups: tuple[str, ...]


def begin() -> Begun:
    """A new one: none of it can be guessed."""
    return Begun(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))


def discover(oidc: Oidc) -> Issuer:
    """What the issuer says of itself. Raises NotSignedIn."""
    configured = (oidc.issuer or "").rstrip("/")
    said = _asked(oidc, "GET", f"{configured}/.well-known/openid-configuration")
    name = _text(said, "issuer")
    if name.rstrip("/") != configured:
        msg = f"{http.host(configured)} calls itself {plain(name, 200)}; write that as issuer in [oidc], if it is right"
        raise NotSignedIn(msg)
    methods = said.get("token_endpoint_auth_methods_supported")
    algorithms = said.get("id_token_signing_alg_values_supported")
    return Issuer(
        name=name,
        authorizes_at=_endpoint(said, "authorization_endpoint"),
        token_at=_endpoint(said, "token_endpoint"),
        keys_at=_endpoint(said, "jwks_uri"),
        userinfo_at=_endpoint(said, "userinfo_endpoint") if said.get("userinfo_endpoint") else None,
        takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
        algorithms=tuple(one for one in _SIGNED_BY if not isinstance(algorithms, list) or one in algorithms),
    )


def address(issuer: Issuer, oidc: Oidc, begun: Begun, back: str) -> str:
    """Where somebody is sent to sign in; ``back`` is where they come back to."""
    made = prepare_grant_uri(
        issuer.authorizes_at,
        client_id=oidc.client_id,
        response_type="code",
        redirect_uri=back,
        scope=" ".join(oidc.scopes),
        state=begun.state,
        nonce=begun.nonce,
        code_challenge=create_s256_code_challenge(begun.verifier),
        code_challenge_method="S256",
    )
    return str(made)


def finish(issuer: Issuer, oidc: Oidc, begun: Begun, code: str, back: str, now: datetime) -> SignedIn:
    """Who came back with a code. Raises NotSignedIn, and ConfigError where the client's secret cannot be read."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": begun.verifier}
    client, secret = oidc.client_id or "", oidc.read_client_secret()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if issuer.takes_basic:  # each part is encoded as in a form (RFC 6749, 2.3.1)
        pair = f"{quote_plus(client)}:{quote_plus(secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": client, "client_secret": secret}
    told = _asked(oidc, "POST", issuer.token_at, headers, urlencode(form).encode())
    claims = _claims(issuer, oidc, begun, told, now)
    if (oidc.name_claim not in claims or oidc.groups_claim not in claims) and issuer.userinfo_at:
        more = _asked(oidc, "GET", issuer.userinfo_at, {"Authorization": f"Bearer {_text(told, 'access_token')}"})
        if more.get("sub") != claims["sub"]:
            msg = "the provider told of somebody else than who signed in"
            raise NotSignedIn(msg)
        claims = {**more, **claims}
    return _who(oidc, claims)


def _claims(issuer: Issuer, oidc: Oidc, begun: Begun, told: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What the ID token says, after its signature, its issuer, its audience, its time and the nonce were looked at."""
    keys = _keys(_asked(oidc, "GET", issuer.keys_at))
    try:
        registry = JWSRegistry(algorithms=list(issuer.algorithms), strict_check_header=False)
        token = jwt.decode(_text(told, "id_token"), keys, registry=registry)
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": issuer.name},
                "aud": {"essential": True, "value": oidc.client_id},
                "exp": {"essential": True},
            },
            {"nonce": begun.nonce, "client_id": oidc.client_id, "access_token": told.get("access_token")},
        )
        claims.validate(now=int(now.timestamp()), leeway=_LEEWAY_S)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        msg = f"the provider's token cannot be trusted ({plain(type(error).__name__, 60)})"
        raise NotSignedIn(msg) from None
    return dict(claims)


def _keys(said: Mapping[str, Any]) -> KeySet:
    """The keys that sign; one that is not understood is passed over (RFC 7517, section 5)."""
    found = []
    for one in said.get("keys") if isinstance(said.get("keys"), list) else ():  # type: ignore[union-attr]
        with contextlib.suppress(JoseError, ValueError, TypeError, KeyError):
            if isinstance(one, dict) and one.get("use") != "enc":
                found.append(import_key(one))
    return KeySet(found)


def _who(oidc: Oidc, claims: Mapping[str, Any]) -> SignedIn:
    name = claims.get(oidc.name_claim)
    name = name.strip() if isinstance(name, str) else ""
    if not name:
        msg = f"the provider does not say who signed in: there is no {oidc.name_claim}; see name_claim and scopes in [oidc]"
        raise NotSignedIn(msg)
    if printable(name, LONGEST_NAME) != name:  # with signs that nobody sees it would look like another
        msg = "the name that the provider gives is too long, or has signs that cannot be shown"
        raise NotSignedIn(msg)
    if oidc.name_claim == "email" and claims.get("email_verified") not in (True, "true"):
        msg = (
            "the provider does not say that it verified this address, so it could be anybody's; "
            "if it calls people by another claim, name that as name_claim in [oidc], such as preferred_username"
        )
        raise NotSignedIn(msg)
    given = claims.get(oidc.groups_claim, ())
    groups: Iterable[Any] = [given] if isinstance(given, str) else given if isinstance(given, list) else ()
    return SignedIn(name, tuple(one for one in groups if isinstance(one, str)))


def _asked(
    oidc: Oidc, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> dict[str, Any]:
    """The object that an endpoint answers. Raises NotSignedIn."""
    request = http.Request(
        method=method,
        url=url,
        headers={"Accept": "application/json", **(headers or {})},
        deadline=_DEADLINE,
        max_bytes=_LARGEST,
        body=body,
    )
    try:
        with http.session(oidc.proxy, oidc.ca_file) as using:
            answer = http.ask(using, request)
        said = json.loads(answer.body)
    except http.Unanswered as error:
        raise NotSignedIn(str(error)) from None
    except (ValueError, RecursionError):
        said = None
    if not 200 <= answer.status < 300 or not isinstance(said, dict):  # noqa: PLR2004
        why = said.get("error") if isinstance(said, dict) else None
        more = f": {plain(why, 60)}" if isinstance(why, str) else ""
        msg = f"{http.host(url)} answered HTTP {answer.status}{more}"
        raise NotSignedIn(msg)
    return said


def _endpoint(said: Mapping[str, Any], name: str) -> str:
    url = _text(said, name)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and LOOPBACK.match(host))):
        msg = f"the provider's {name} is no https address"
        raise NotSignedIn(msg)
    return url


def _text(said: Mapping[str, Any], name: str) -> str:
    found = said.get(name)
    if not isinstance(found, str) or not found:
        msg = f"the provider's answer has no {name}"
        raise NotSignedIn(msg)
    return found
