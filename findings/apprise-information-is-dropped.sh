#!/bin/sh
# Apprise 2.2.0: of a message of type info opsgenie:// and jira:// make no request at all, and report success.
# By default they map info to "note on an existing alert"; where there is none, they do nothing.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install apprise==2.2.0 requests==2.32.5
"$place/venv/bin/python" - <<'END'
import sys
import apprise, requests
from apprise import Apprise, NotifyType

TAKEN = b'{"result": "Request will be processed", "took": 0.1, "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}'
made = []
def send(self, request, **_):
    made.append(request.url)
    answer = requests.Response()
    answer.status_code, answer._content, answer.request = 202, TAKEN, request
    return answer
requests.adapters.HTTPAdapter.send = send

print("apprise", apprise.__version__)
odd = []
for url in ("opsgenie://01234567-89ab-cdef-0123-456789abcdef", "jira://01234567-89ab-cdef-0123-456789abcdef"):
    for kind in (NotifyType.INFO, NotifyType.WARNING):
        made.clear()
        one = Apprise()
        one.add(url)
        result = one.notify(title="a title", body="a body", notify_type=kind)
        scheme = url.partition(":")[0]
        print(f"{scheme:9} {kind.value:8} reported {bool(result)!s:6} requests {len(made)}")
        if bool(result) and not made:
            odd.append((scheme, kind.value))
sys.exit(odd != [("opsgenie", "info"), ("jira", "info")])
END
