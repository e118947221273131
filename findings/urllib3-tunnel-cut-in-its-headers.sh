#!/bin/sh
# urllib3 2.8.0 with requests 2.34.2: a proxy's answer to CONNECT that ends among its headers counts as an open tunnel, and the
# TLS handshake is begun with a connection that is closed. The error then blames the TLS or the connection, not the proxy. Where
# the proxy refuses with a status, it is a ProxyError.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install requests==2.34.2 urllib3==2.8.0
"$place/venv/bin/python" - <<'END'
import socket, sys, threading
from importlib.metadata import version
import requests

def asked(answer):
    """The error of a request through a proxy that gives this answer and closes; what it was sent after the answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    after = []

    def serve():
        taken, _ = listener.accept()
        with taken:
            taken.recv(65536)
            taken.sendall(answer)
            taken.shutdown(socket.SHUT_WR)
            taken.settimeout(5)
            after.append(taken.recv(65536))

    thread = threading.Thread(target=serve)
    thread.start()
    proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        requests.get("https://provider.invalid/", proxies={"https": proxy}, timeout=5)
    except requests.RequestException as error:
        found = error
    thread.join()
    listener.close()
    return found, after[0]

print("requests", version("requests"), "urllib3", version("urllib3"))
refused, _ = asked(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
cut, sent = asked(b"HTTP/1.1 200 OK\r\nVia: 1.1 somewh")
print("refused:       ", type(refused).__name__)
print("cut in headers:", type(cut).__name__, "|", str(cut)[:150])
print("sent to the proxy after that:", sent[:3].hex() or "nothing", "(160301 is a ClientHello)")
sys.exit(not (isinstance(refused, requests.exceptions.ProxyError) and type(cut) is not requests.exceptions.ProxyError and sent[:2] == b"\x16\x03"))
END
