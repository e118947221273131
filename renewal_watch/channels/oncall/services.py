"""The on-call services that there are."""

from __future__ import annotations

from renewal_watch.channels.oncall import alertmanager, goalert, opsgenie, pagerduty
from renewal_watch.channels.oncall.talk import Service

SERVICES = {
    "pagerduty": Service(talk=pagerduty.talk, key_of=pagerduty.key_of),
    "opsgenie": Service(talk=opsgenie.opsgenie, key_of=opsgenie.key_of, headers=opsgenie.headers),
    "jira": Service(talk=opsgenie.jira, key_of=opsgenie.key_of, headers=opsgenie.headers),
    "alertmanager": Service(
        talk=alertmanager.talk,
        key_of=str,
        labels_of=alertmanager.labels_of,
        headers=alertmanager.headers,
        refresh=alertmanager.REFRESH,
    ),
    "goalert": Service(talk=goalert.talk, key_of=goalert.key_of, headers=goalert.headers),
}
