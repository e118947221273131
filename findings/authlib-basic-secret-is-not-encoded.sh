#!/bin/sh
# Authlib 1.9.10: a client's secret is sent in the Basic header as it stands. RFC 6749 (section 2.3.1) wants each part encoded as
# in a form first, so that a provider which decodes it as the RFC says reads another secret wherever it holds a percent
# sign or a plus; and a secret beyond Latin-1 raises a UnicodeEncodeError.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install authlib==1.9.10 requests
"$place/venv/bin/python" - <<'END'
import base64
import sys
from importlib.metadata import version
from urllib.parse import unquote_plus

from authlib.oauth2.auth import ClientAuth

print("authlib", version("authlib"))


def read_by_the_rfc(secret):
    _, headers, _ = ClientAuth("renewal-watch", secret, "client_secret_basic").prepare("POST", "https://a.example/token", {}, "")
    sent = base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode("latin-1")
    return unquote_plus(sent.partition(":")[2])


found = {secret: read_by_the_rfc(secret) for secret in ("plain", "a+b", "100%25")}
for secret, read in found.items():
    print(f"secret {secret!r} is read as {read!r}")
try:
    beyond = read_by_the_rfc("zloty-ł")
except UnicodeEncodeError as error:
    beyond = f"UnicodeEncodeError: {error.reason}"
print("a secret beyond Latin-1:", beyond)
sys.exit(not (found == {"plain": "plain", "a+b": "a b", "100%25": "100%"} and beyond.startswith("UnicodeEncodeError")))
END
