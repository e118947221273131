"""Sends through every plugin that Apprise ships, in a process without a network: what each does with a message.

Run as a program it prints a line of JSON for each plugin: its class, its schemes, and for each severity how many requests it
made and why the message was not delivered, null if it was.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

LENGTHS = (
    *range(3, 13),
    15,
    16,
    18,
    20,
    22,
    24,
    25,
    27,
    28,
    30,
    32,
    34,
    36,
    40,
    43,
    44,
    48,
    50,
    60,
    64,
    68,
    72,
    80,
    100,
    128,
)
SHAPES = ("a", "A", "1", "a1b2c3d4e5f6", "A1B2C3D4E5F6")
GUESSES = [
    "15551234567",
    "+15551234567",
    "127.0.0.1",
    "abcd1234",
    "user@example.org",
    "example.org",
    *((shape * length)[:length] for length in LENGTHS for shape in SHAPES),
    "01234567-89ab-cdef-0123-456789abcdef",
    "T1JJ3T3L2",
    "#general",
    "@user",
    "US",
    "us-east-1",
    "AC" + "a" * 32,
    "123456789:abcdefghijklmnopqrstuvwxyz123456789",
    "0123456789abcdef0123456789abcdef-us1-ab",
]
URLS = {  # of those whose template does not say enough
    "NotifyEmail": "mailto://user:pass@127.0.0.1:9/to@example.org?from=me@example.org",
    "NotifyClickSend": "clicksend://user:pass@15551234567",
    "NotifyD7Networks": "d7sms://token@15551234567",
    "NotifyBulkSMS": "bulksms://user:pass@15551234567",
    "NotifyMailgun": "mailgun://user@example.org/" + "a" * 32 + "-" + "b" * 8 + "-" + "c" * 8,
    "NotifySparkPost": "sparkpost://user@example.org/" + "a" * 40,
    "NotifySendGrid": "sendgrid://abcd1234:user@example.org/to@example.org",
    "NotifyBrevo": "brevo://abcd1234:user@example.org/to@example.org",
    "NotifyPostmark": "postmark://abcd1234:user@example.org/to@example.org",
    "NotifyResend": "resend://abcd1234:user@example.org/to@example.org",
    "NotifyMailerSend": "mailersend://abcd1234:user@example.org/to@example.org",
    "NotifySMTP2Go": "smtp2go://user@example.org/" + "api-" + "A" * 32,
    "NotifySES": "ses://user@example.org/AKIAIOSFODNN7EXAMPLE/abcdEFGHijklMNOPqrstUVWXyz0123456789abcd/us-east-1/to@example.org",
    "NotifyOffice365": "azure://tenant-id/user@example.org/01234567-89ab-cdef-0123-456789abcdef/secret/to@example.org",
    "NotifyPagerTree": "pagertree://int_abcdefgh12",
    "NotifyTechulusPush": "push://01234567-89ab-cdef-0123-456789abcdef",
    "NotifyVoipms": "voipms://password:user@example.org/15551234567/15557654321",
    "NotifyKavenegar": "kavenegar://" + "a1" * 20 + "/15551234567",
    "NotifySMSManager": "smsmgr://abcd1234@15551234567",
    "NotifyTwist": "twist://password:user@example.org/1/2",
    "NotifyWxPusher": "wxpusher://AT_" + "a" * 32 + "/UID_" + "a" * 28,
    "NotifySFR": "sfr://1234567890123:password@1234567890/0612345678",
    "NotifyHumHub": "humhub://token@127.0.0.1:9/1",
    "NotifyRingCentral": "ringc://15551234567:clientid@secret/15551234568",
}
USUAL = ("abcd1234", "15551234567", "user@example.org")
SEVERITIES = ("info", "warning", "critical")


def guess(token: dict[str, Any], usual: str = "abcd1234") -> str | None:
    """A value that a token of a template takes; ``usual`` where it takes any."""
    if token.get("values"):
        return str(min(map(str, token["values"])))
    if token.get("type") in ("int", "choice:int"):
        return str(max(int(token.get("min", 1)), 1))
    if not token.get("regex"):
        return usual
    pattern, flags = token["regex"] if isinstance(token["regex"], tuple) else (token["regex"], "")
    return next((one for one in GUESSES if re.match(pattern, one, re.IGNORECASE if "i" in (flags or "") else 0)), None)


def urls(plugin: Any) -> Iterator[str]:
    """Addresses that its templates may mean, the shortest first."""
    if plugin.__name__ in URLS:
        yield URLS[plugin.__name__]
    for template, usual in itertools.product(sorted(plugin.templates, key=len), USUAL):
        values = {}
        for name in re.findall(r"\{(\w+)\}", template):
            token = plugin.template_tokens.get(name) or plugin.template_args.get(name) or {}
            if name == "schema":
                schemes = plugin.protocol or plugin.secure_protocol
                values[name] = schemes if isinstance(schemes, str) else schemes[0]
            elif name in ("host", "port"):
                values[name] = {"host": "127.0.0.1", "port": "9"}[name]
            else:
                groups = [plugin.template_tokens.get(one, {}) for one in token.get("group") or ()]
                found = [(one.get("prefix") or "") + value for one in (*groups, token) if (value := guess(one, usual))]
                values[name] = quote(found[0] if found else usual, safe="@:+%!")
        yield template.format(**values)


def main() -> None:
    import apprise
    import requests
    from apprise.manager_plugins import NotificationManager

    from renewal_watch.channels.apprise_child import _deliver, _tell_what_is_only_information
    from renewal_watch.channels.witness import Witness

    logging.disable(logging.CRITICAL)
    sys.addaudithook(no_network)
    requests.adapters.HTTPAdapter.send = answered  # type: ignore[method-assign]
    witness = Witness.installed()
    asset = apprise.AppriseAsset(app_id="renewal-watch", http_redirects=False, service_timeout=0, secure_logging=True)
    manager = NotificationManager()
    manager.load_modules()
    for plugin in sorted(set(manager.plugins()), key=lambda one: str(one.__name__)):
        said: dict[str, Any] = {"plugin": plugin.__name__, "enabled": bool(plugin.enabled), "told": None}
        for url in urls(plugin) if plugin.enabled else ():
            service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
            if not service or len(service) != 1:
                continue
            service.request_rate_per_sec = 0
            told = {}
            for stage in ("bare", "ours"):
                if stage == "ours":
                    _tell_what_is_only_information(apprise, service)
                for severity in SEVERITIES:
                    message = {"title": "a title", "body": "a line\nanother line", "severity": severity}
                    error = _deliver(apprise, service, asset, message, url, witness)
                    told[f"{stage} {severity}"] = {"left": witness.left, "error": error}
            said |= {"schemes": [*plugin_schemes(plugin)], "told": told}
            if told["bare warning"]["left"]:
                break  # else the next address may be one that it takes
        print(json.dumps(said), flush=True)


def plugin_schemes(plugin: Any) -> Iterator[str]:
    for schemes in (plugin.protocol, plugin.secure_protocol):
        yield from (schemes,) if isinstance(schemes, str) else schemes or ()


def answered(adapter: object, request: Any, **_: Any) -> Any:
    """An empty answer of success, as a proxy or a wrong address may give it."""
    import requests

    del adapter
    answer = requests.Response()
    answer.status_code, answer.request, answer.url = 200, request, request.url
    answer._content = b"{}"
    return answer


def no_network(event: str, given: tuple[Any, ...]) -> None:
    """Nothing but loopback is reached."""
    if event == "socket.getaddrinfo" and given[0] not in ("127.0.0.1", "localhost", None):
        msg = "no network"
        raise OSError(msg)
    if event in ("socket.connect", "socket.sendto") and isinstance(given[1], tuple) and given[1][0] != "127.0.0.1":
        msg = "no network"
        raise OSError(msg)


if __name__ == "__main__":
    main()
