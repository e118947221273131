"""What can be asked, and with which parameters."""

from __future__ import annotations

from collections.abc import Sequence

from renewal_watch.model.alerts import Severity
from renewal_watch.model.kinds import KINDS
from renewal_watch.store import fleet
from renewal_watch.store.incidents.listing import MOST, STATES
from renewal_watch.store.renewals import past_renewals
from renewal_watch.web.api.examples import EXAMPLES
from renewal_watch.web.api.shapes import PREFIX, Operation, choice, choices, flag, integer, moment, text_parameter

CHANGES = 500  # numbers that are given unless more are asked for


def operations(environments: Sequence[str]) -> list[Operation]:
    """All of them, for the environments of a configuration."""
    environment = choice("environment", environments, "Only this environment")
    owner = text_parameter("owner", "Only numbers of this owner, as the inventory or a rule says", "Sales")
    label = text_parameter("label", "Only numbers with this label of the inventory", "support")
    return [
        Operation(
            path=f"{PREFIX}/status",
            name="status",
            about="How the service does, without the numbers.",
            schema="Status",
            example={
                "environments": [EXAMPLES["Environment"]],
                "outbox": EXAMPLES["Outbox"],
                "counts": {"overdue": 1, "missing": 0},
            },
        ),
        Operation(
            path=f"{PREFIX}/numbers",
            name="numbers",
            about="A page of the fleet.",
            schema="Numbers",
            example={"numbers": [EXAMPLES["Number"]], "total": 1, "is_more": False, "page": 1, "per_page": 50},
            parameters=[
                text_parameter("search", "A part of the number or of the id", "15550001"),
                environment,
                text_parameter("status", "Only numbers with this status, such as active", "active"),
                text_parameter("country", "Only numbers of this country, as the provider states it", "US"),
                text_parameter("type", "Only numbers of this type", "voice"),
                text_parameter("currency", "Only numbers with this currency", "USD"),
                flag("auto_renewal", "Only numbers that renew by themselves, or only those that do not"),
                integer("within", 0, 36_500, "Only numbers with so many days left or less"),
                flag("overdue", "Only numbers whose renewal day has passed"),
                choice(
                    "show", ["present", "missing", "sandbox", "lapsing", "all"], "Which part of the fleet", "present"
                ),
                choice("order", ["renewal", "number", "status", "cost", "environment"], "What comes first", "renewal"),
                flag("descending", "The other way round"),
                integer("page", 1, 1_000_000, "Which page", 1),
                integer("per_page", 1, 1000, "Numbers on a page", fleet.PER_PAGE),
                owner,
                label,
            ],
        ),
        Operation(
            path=f"{PREFIX}/numbers/{{environment}}/{{id}}/history",
            name="history",
            about="Every change of one number and when it was seen.",
            schema="History",
            example={"changes": [EXAMPLES["Change"]]},
        ),
        Operation(
            path=f"{PREFIX}/numbers/{{environment}}/{{id}}",
            name="number",
            about="One number.",
            schema="Number",
            example=EXAMPLES["Number"],
        ),
        Operation(
            path=f"{PREFIX}/incidents",
            name="incidents",
            about="What needs somebody now: open, acknowledged and suppressed incidents, and if asked for the resolved ones.",
            schema="Incidents",
            example={"incidents": [EXAMPLES["Incident"]], "total": 1},
            parameters=[
                choices("state", STATES, "Only incidents in one of these states; all but resolved unless it is given"),
                choices("severity", [one.name for one in Severity], "Only incidents of one of these severities"),
                choices("kind", KINDS, "Only incidents whose last alert is of one of these kinds"),
                owner,
                label,
                environment,
                integer("limit", 1, MOST, "How many at most", MOST),
            ],
        ),
        Operation(
            path=f"{PREFIX}/changes",
            name="changes",
            about="What is another now than it was: the net effect between two times, the most urgent first.",
            schema="Changes",
            example=EXAMPLES["Changes"],
            parameters=[
                moment("since", "From when on; yesterday unless it is given", "2026-11-22"),
                moment("until", "Up to when; a bare day means its end. Now unless it is given", "2026-11-23T12:00Z"),
                environment,
                owner,
                label,
                integer("limit", 1, 10_000, "Numbers at most; total and counts count all", CHANGES),
            ],
        ),
        Operation(
            path=f"{PREFIX}/alerts",
            name="alerts",
            about="What was found, and the fate of each delivery.",
            schema="Alerts",
            example={"alerts": [EXAMPLES["Alert"]], "next_before": None},
            parameters=[
                choices("state", ["pending", "sent", "failed"], "Only alerts with a delivery in one of these states"),
                choices("kind", KINDS, "Only alerts of one of these kinds"),
                environment,
                integer("before", 1, 2**53, "Only alerts with a lower id: next_before of the page before"),
                integer("limit", 1, 500, "Alerts on a page", 100),
            ],
        ),
        Operation(
            path=f"{PREFIX}/calendar",
            name="calendar",
            about="The renewal days with their counts and costs; what is overdue stands on its day.",
            schema="Calendar",
            example={"today": "2026-11-23", "days": [EXAMPLES["Day"]], "undated": 0},
            parameters=[environment, owner, label, integer("days", 1, 3660, "How far ahead", 62)],
        ),
        Operation(
            path=f"{PREFIX}/forecast",
            name="forecast",
            about="What renewals will cost by month, environment and currency, and the change against the month before.",
            schema="Forecast",
            example=EXAMPLES["Forecast"],
            parameters=[
                environment,
                owner,
                label,
                integer("months", 1, past_renewals.LONGEST, "How many, with the present one", 6),
            ],
        ),
        Operation(
            path=f"{PREFIX}/health",
            name="health",
            about="Whether the service can be relied on, each reason in a sentence. See /readyz for an answer by status.",
            schema="Health",
            example={
                "status": "ok",
                "checks": [{"name": "database", "ok": True, "reason": "the database can be read"}],
            },
        ),
        Operation(
            path=f"{PREFIX}/openapi.json",
            name="openapi",
            about="This document.",
            schema="Document",
            example={"openapi": "3.1.0", "info": {"title": "renewal-watch", "version": "1.0"}, "paths": {}},
        ),
    ]
