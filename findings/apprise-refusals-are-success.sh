#!/bin/sh
# Apprise 2.2.0: eight plugins look at the HTTP status alone. Their services refuse in a 200; Apprise reports success.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" --quiet install apprise==2.2.0 requests==2.32.5
"$place/venv/bin/python" - <<'END'
import sys
import apprise, requests
from apprise import Apprise

REFUSALS = {
    "dingtalk://abcdefghijklmnop": b'{"errcode": 310000, "errmsg": "keywords not in content"}',
    "wecombot://01234567-89ab-cdef-0123-456789abcdef": b'{"errcode": 93000, "errmsg": "invalid webhook url"}',
    "feishu://abcdefghijklmnop": b'{"code": 19024, "msg": "Key Words Not Found"}',
    "lark://abcdefghijklmnop": b'{"code": 9499, "msg": "Bad Request"}',
    "vonage://abcd1234:abcdefgh12345678@15551234567/15557654321": b'{"messages": [{"status": "4", "error-text": "Bad Credentials"}]}',
    "synology://127.0.0.1/token": b'{"error": {"code": 404}, "success": false}',
    "onesignal://appid@apikey/player": b'{"id": "", "errors": ["All included players are not subscribed"]}',
    "seven://abcdefgh/15551234567": b'{"success": "900"}',
}
def send(self, request, **_):
    answer = requests.Response()
    answer.status_code, answer._content, answer.request = 200, said, request
    return answer
requests.adapters.HTTPAdapter.send = send

print("apprise", apprise.__version__)
taken = 0
for url, said in REFUSALS.items():
    one = Apprise()
    assert one.add(url), url
    result = bool(one.notify(title="a title", body="a body"))
    print(f"{url.partition(':')[0]:10} answers {said.decode():75} reported {result}")
    taken += result
sys.exit(taken != len(REFUSALS))
END
