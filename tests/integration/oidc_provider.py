"""An OpenID Connect provider on loopback that looks at what a client owes it, and can be made to err."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

CLIENT, SECRET = "renewal-watch", "a secret: with %, + and ü"


class Issuer(ThreadingHTTPServer):
    """Signs in whoever comes, as ``claims`` say; ``changes`` replace parts of its token."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.codes: dict[str, dict[str, str]] = {}
        self.now = time.time
        self.anew()

    def anew(self) -> None:
        """Err in nothing."""
        self.claims: dict[str, Any] = {"email": "anna@example.org", "email_verified": True, "groups": ["ops"]}
        self.changes: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.signs = "RS256"
        self.broken = ""  # the path that answers 500
        self.faults: list[str] = []
        self.odd_keys: list[Any] = []
        self.waits: threading.Event | None = None  # before a token is given

    def token(self, nonce: str) -> str:
        at = int(self.now())
        said = {"iss": self.url, "sub": "42", "aud": CLIENT, "iat": at, "exp": at + 300, "nonce": nonce}
        said |= self.claims | self.changes
        said = {key: value for key, value in said.items() if value is not None}
        if self.signs == "none":
            parts = [{"alg": "none"}, said]
            return (
                ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts)
                + "."
            )
        if self.signs == "HS256":  # with what everybody knows: the public key
            return jwt.encode({"alg": "HS256", "kid": "one"}, said, OctKey.import_key(self.key.as_pem(private=False)))
        key = RSAKey.generate_key(2048, {"kid": "one"}) if self.signs == "stranger" else self.key
        return jwt.encode({"alg": "RS256", "kid": "one"}, said, key)


class _Handler(BaseHTTPRequestHandler):
    server: Issuer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self, status: int, said: object = None, headers: dict[str, str] | None = None) -> None:
        body = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        issuer, parts = self.server, urlsplit(self.path)
        if issuer.broken and parts.path == issuer.broken:
            self._answer(500, {"error": "server_error"})
        elif parts.path == "/.well-known/openid-configuration":
            said = {
                "issuer": issuer.url,
                "authorization_endpoint": f"{issuer.url}/authorize?tenant=ours",
                "token_endpoint": f"{issuer.url}/token",
                "jwks_uri": f"{issuer.url}/keys",
                "userinfo_endpoint": f"{issuer.url}/userinfo",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            }
            said |= issuer.discovery
            self._answer(200, {key: value for key, value in said.items() if value is not None})
        elif parts.path == "/keys":
            known = KeySet([self.server.key]).as_dict(private=False)["keys"]
            self._answer(200, {"keys": [*issuer.odd_keys, *known]})
        elif parts.path == "/userinfo":
            self._answer(200 if self.headers["Authorization"] == "Bearer at" else 401, issuer.userinfo or {"sub": "42"})
        elif parts.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            wanted = {"client_id": CLIENT, "response_type": "code", "code_challenge_method": "S256", "tenant": "ours"}
            issuer.faults += [name for name, value in wanted.items() if asked.get(name) != value]
            code = secrets.token_hex(8)
            issuer.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"], "iss": issuer.url})
            self._answer(303, headers={"Location": f"{asked['redirect_uri']}?{back}"})
        else:
            self._answer(404)

    def do_POST(self) -> None:
        issuer = self.server
        form = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
        asked = issuer.codes.pop(form.get("code", ""), None)  # a code is good once
        given = (form.get("client_id"), form.get("client_secret"))
        if self.headers["Authorization"]:
            said = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            user, _, password = said.partition(":")
            given = (unquote_plus(user), unquote_plus(password))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if issuer.waits is not None:
            issuer.waits.wait(30)
        if issuer.broken == "/token":
            self._answer(500, {"error": "server_error"})
        elif given != (CLIENT, SECRET):
            self._answer(401, {"error": "invalid_client"})
        elif asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            self._answer(400, {"error": "invalid_grant"})
        else:
            self._answer(200, {"access_token": "at", "token_type": "Bearer", "id_token": issuer.token(asked["nonce"])})


@contextmanager
def provider() -> Iterator[Issuer]:
    """One that runs."""
    server = Issuer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
