"""The kinds of alerts: one row says all that is true of every alert of a kind. Pure.

What an alert says stands in ``alerts/``, when it is told in docs/alerts.md; how urgent it is depends on the case and is said
by who tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from renewal_watch.language import N_

About = Literal["number", "list", "account", "service", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is true of every alert of a kind.

    ``topic``: what it is about. The first alert of a topic opens an incident, which lasts until an alert ends it; an empty one
    opens none. Who tells it may give another one, as ``account/`` does for each top-up and card. ``group``: how a subject
    counts those it is about, "3 numbers renewing soon". ``todo``: what an operator does; both are English. ``about``: what
    it speaks of; "any" may speak of a number or of none.
    """

    topic: str = ""
    group: str = N_("about the service")
    todo: str = ""
    about: About = "number"
    ends: bool = False  # it always ends its topic
    ends_with_number: bool = False  # its topic is over when the number is gone as it was meant to
    may_flap: bool = False  # it may go to and fro
    hidden_by_lapse: bool = False  # of no interest for a number that is meant to expire
    has_days: bool = False  # it counts days to a renewal
    at_once: bool = False  # it comes when its own calendar says: no quiet hours, no digest
    told_if_known: bool = False  # the end of its topic is told only to those who know of the beginning


ROWS: dict[str, Kind] = {
    "renewal.upcoming": Kind(
        topic="renewal",
        group=N_("renewing soon"),
        ends_with_number=True,
        hidden_by_lapse=True,
        has_days=True,
        todo=N_("switch auto-renewal on, or renew it"),
    ),
    "renewal.due": Kind(
        topic="renewal",
        group=N_("due"),
        ends_with_number=True,
        hidden_by_lapse=True,
        has_days=True,
        todo=N_("renew it now"),
    ),
    "renewal.overdue": Kind(
        topic="renewal",
        group=N_("overdue"),
        ends_with_number=True,
        hidden_by_lapse=True,
        has_days=True,
        todo=N_("check balance and card, renew it now"),
    ),
    "renewal.renewed": Kind(topic="renewal", group=N_("renewed"), ends=True, ends_with_number=True, has_days=True),
    "renewal.postponed": Kind(
        topic="renewal", group=N_("that renew later than told"), ends=True, ends_with_number=True, has_days=True
    ),
    "status.changed": Kind(
        topic="status",
        group=N_("with a status change"),
        ends_with_number=True,
        may_flap=True,
        todo=N_("ask the provider why"),
    ),
    "number.added": Kind(group=N_("added")),
    "number.missing": Kind(
        topic="presence", group=N_("missing"), may_flap=True, todo=N_("ask the provider for it at once")
    ),
    "number.returned": Kind(topic="presence", group=N_("returned"), ends=True, may_flap=True),
    "number.moved": Kind(topic="presence", group=N_("moved")),
    "number.renumbered": Kind(group=N_("with another number")),
    "number.unwatched": Kind(group=N_("on numbers that are not watched any more")),
    "auto_renewal.off": Kind(
        topic="renewal",
        group=N_("with auto-renewal off"),
        may_flap=True,
        hidden_by_lapse=True,
        todo=N_("switch it on again if it is to stay"),
    ),
    "auto_renewal.on": Kind(topic="renewal", group=N_("with auto-renewal on"), may_flap=True),
    "price.changed": Kind(
        topic="price",
        group=N_("with another price"),
        ends_with_number=True,
        may_flap=True,
        todo=N_("ask the provider if it was not announced"),
    ),
    "capability.lost": Kind(
        topic="capability",
        group=N_("with a lost capability"),
        ends_with_number=True,
        may_flap=True,
        todo=N_("ask the provider why"),
    ),
    "capability.gained": Kind(
        topic="capability", group=N_("with a new capability"), ends=True, ends_with_number=True, may_flap=True
    ),
    "data.invalid": Kind(topic="data", about="list", todo=N_("compare it with the provider's dashboard")),
    "data.unknown": Kind(
        topic="renewal days",
        group=N_("on renewal days that are not known"),
        about="list",
        todo=N_("look the days up in the provider's dashboard"),
    ),
    "data.contradiction": Kind(
        topic="contradictions",
        group=N_("on lists that contradict themselves"),
        about="list",
        todo=N_("look the days up in the provider's dashboard"),
    ),
    "watch.token_rejected": Kind(topic="api", about="service", todo=N_("put a new token in place")),
    "watch.api_failing": Kind(topic="api", about="service", may_flap=True, todo=N_("ask the provider if it lasts")),
    "watch.list_shrunk": Kind(topic="list", about="service", may_flap=True, todo=N_("ask the provider where they are")),
    "watch.stale": Kind(topic="api", about="service", todo=N_("mend what the last error names")),
    "watch.recovered": Kind(topic="api", about="service", ends=True, may_flap=True),
    "watch.daemon_lost": Kind(
        topic="daemon", about="service", todo=N_("look into its log: journalctl -u renewal-watch")
    ),
    "watch.clock_off": Kind(topic="clock", about="service", todo=N_("set this machine's clock")),
    "watch.list_empty": Kind(topic="empty", about="service", todo=N_("check the token and the filters")),
    "channel.failing": Kind(
        topic="channel", about="service", may_flap=True, todo=N_("try it: renewal-watch test-channel")
    ),
    "inventory.invalid": Kind(topic="inventory", about="service", told_if_known=True, todo=N_("correct the file")),
    "environments.invalid": Kind(
        topic="environments", about="service", told_if_known=True, todo=N_("correct the file")
    ),
    "backup.failed": Kind(topic="backup", about="service", told_if_known=True, todo=N_("see: renewal-watch doctor")),
    "flapping.started": Kind(group=N_("to and fro"), about="any", todo=N_("ask the provider why")),
    "flapping.ended": Kind(group=N_("settled"), about="any"),
    "silence.ending": Kind(about="service", todo=N_("extend the silence, or expect alerts")),
    "lapse.last_chance": Kind(
        topic="last chance",
        group=N_("about to lapse"),
        ends_with_number=True,
        has_days=True,
        todo=N_("renew it if it is to stay after all"),
    ),
    "lapse.renewed": Kind(
        topic="lapse",
        group=N_("renewed that were to lapse"),
        ends_with_number=True,
        todo=N_("release it, or keep it: renewal-watch lapse --withdraw"),
    ),
    "release.requested": Kind(
        topic="release",
        group=N_("with a release request"),
        about="any",
        ends_with_number=True,
        todo=N_("cancel the request unless it is meant"),
    ),
    "release.approved": Kind(
        topic="release",
        group=N_("released"),
        about="any",
        ends_with_number=True,
        todo=N_("ask the provider at once unless it is meant"),
    ),
    "release.closed": Kind(topic="release", group=N_("not released after all"), about="any", ends_with_number=True),
    "number.idle": Kind(
        group=N_("on numbers that nobody uses"), about="list", todo=N_("release them, or let them expire")
    ),
    "funds.topup_off": Kind(group=N_("on top-up switched off"), about="account", todo=N_("switch automatic top-up on")),
    "funds.topup_failed": Kind(
        group=N_("on failed top-ups"), about="account", todo=N_("use another card, or top up by hand")
    ),
    "funds.card_expiring": Kind(group=N_("on expiring cards"), about="account", todo=N_("put in another card")),
    "funds.short": Kind(group=N_("on the balance"), about="account", todo=N_("top up the balance")),
    "funds.recovered": Kind(group=N_("on funds that are well again"), about="account", ends=True),
    "canary.sent": Kind(about="service", at_once=True),
    "canary.failed": Kind(
        topic="canary", about="service", told_if_known=True, todo=N_("try the channel: renewal-watch test-channel")
    ),
    "digest.sent": Kind(about="service", at_once=True),
}
UNKNOWN = Kind(about="any")  # of a newer release that shares the database
KINDS = tuple(ROWS)
OWN = frozenset(name.partition(".")[0] for name, row in ROWS.items() if row.about == "service")  # first words


def names(**wanted: object) -> frozenset[str]:
    """The kinds whose rows say so: ``names(may_flap=True)``."""
    return frozenset(
        name for name, row in ROWS.items() if all(getattr(row, key) == value for key, value in wanted.items())
    )


def topics(**wanted: object) -> frozenset[str]:
    """The topics of such kinds."""
    return frozenset(ROWS[name].topic for name in names(**wanted)) - {""}
