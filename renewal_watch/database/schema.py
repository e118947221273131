"""The tables; ``migrations/`` makes them, ``engine`` opens the database, ``store/`` reads and writes it.

Instants are kept as ISO 8601 text in UTC of fixed width, so that they sort and can be read in the sqlite3 shell.
``HEAD`` is the newest revision in ``migrations/versions``; a test holds it to that.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)

from renewal_watch.database.instants import Instant

metadata = MetaData()
# Ids and seconds outgrow four bytes. Text is in the order of its bytes, whatever the language of the server.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")
_WORDS = Text().with_variant(Text(collation="C"), "postgresql")
environments = Table(
    "environments",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("name", _WORDS, nullable=False, unique=True),
    Column("numbers", _NUMBER, nullable=False, default=0),
    Column("has_baseline", Boolean, nullable=False, default=False),
    Column("last_poll_at", Instant),
    Column("last_success_at", Instant),
    Column("last_error", _WORDS),
    Column("failures", _NUMBER, nullable=False, default=0),
    Column("failing_since", Instant),
    Column("told", JSON, nullable=False, default=list),
    Column("shrunk_at", Instant),
    Column("invalid", JSON, nullable=False, default=list),
    Column("turn_s", _NUMBER),
    Column("clock_off_at", Instant),
    Column("confirmed_at", Instant),
    Column("took_s", _NUMBER),  # the last poll: what is slow has places of its own
    Column("next_poll_at", Instant),
    Column("hold_until", Instant),
    Column("hold_token", _WORDS),  # four bytes of a digest: tells whether the rejected token was replaced, no more
)
polls = Table(
    "polls",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("environment_id", ForeignKey("environments.id"), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("outcome", _WORDS, nullable=False),  # ok, or the reason of the ApiError
    Column("error", _WORDS),
    Column("numbers", _NUMBER),
    Column("invalid", _NUMBER),
    Column("changed", _NUMBER),
    Index("polls_by_time", "environment_id", "started_at"),
)
NOT_ACTIVE: ColumnElement[bool] = literal_column("status") != literal_column(
    "'active'"
)  # nearly all are: an index of them all would cost every first poll
numbers = Table(  # the columns from id to is_sandbox are model.tracking.Known, in its order; from status on, what is asked for
    "numbers",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("provider_id", _WORDS, nullable=False),
    Column("number", _WORDS, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("zero_at", _NUMBER),
    Column("renews_on", _NUMBER),
    Column("auto_renewal", Boolean, nullable=False),
    Column("is_sandbox", Boolean, nullable=False),
    Column("environment_id", ForeignKey("environments.id"), nullable=False),
    Column("first_poll_id", ForeignKey("polls.id"), nullable=False),
    Column("status", _WORDS, nullable=False, server_default=""),  # in lower case
    Column("cost", _WORDS),  # of a renewal: an exact decimal
    Column("currency", _WORDS),
    Column("country", _WORDS),
    Column("type", _WORDS),
    UniqueConstraint("provider_id", "environment_id"),
    Index("numbers_by_environment", "environment_id"),  # in the table's own order, which the fleet is read in
    Index("numbers_by_renewal", "renews_on"),
    Index("numbers_by_status", "status", sqlite_where=NOT_ACTIVE, postgresql_where=NOT_ACTIVE),
)
cycles = Table(  # model.tracking.Cycle: what was told of a number in its present cycle
    "cycles",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("renews_on", _NUMBER, nullable=False),
    Column("told_threshold", _NUMBER),
    Column("told_due_flag", Boolean, nullable=False),
    Column("overdue_at", _NUMBER),
    Column("overdue_told", _NUMBER, nullable=False),
    Column("course", _NUMBER, nullable=False, server_default="0"),
)
doubts = Table(  # model.tracking.Doubt: numbers whose renewal day is in doubt
    "doubts",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("lists", _NUMBER, nullable=False),
    Column("since", _NUMBER, nullable=False),
    Column("old_date", _NUMBER),
    Column("old_countdown", _NUMBER),
    Column("counted", _NUMBER),
    Column("counted_at", _NUMBER),
    Column("is_unstated", Boolean, nullable=False),
)
absences = Table(  # model.tracking.Absence: numbers that are not in the list
    "absences",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("polls", _NUMBER, nullable=False),
    Column("missing_at", _NUMBER),
    Column("moved_to", _WORDS),
)
entries = Table(  # each number's entry as last listed, and the poll that first saw it so
    "entries",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("poll_id", ForeignKey("polls.id"), nullable=False),
    Column("entry", _WORDS, nullable=False),
)
# What a poll found changed, as the way back: the list at any time is the present one with later changes undone.
# ``fields`` is {name: {"before": …, "now": …}}, a key missing where the field was; null where only the countdown ticked
# otherwise than foretold. ``zero_before`` is the number's zero_at until then.
changes = Table(
    "changes",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("poll_id", ForeignKey("polls.id"), primary_key=True),
    Column("was_listed", Boolean, nullable=False),
    Column("is_listed", Boolean, nullable=False),
    Column("fields", _WORDS),
    Column("zero_before", _NUMBER),
    Index("changes_by_poll", "poll_id"),
    sqlite_with_rowid=False,
)
alerts = Table(  # the unique columns are Alert.key; 0 where an alert is about no number, no environment
    "alerts",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("environment_id", _NUMBER, nullable=False),
    Column("number_id", _NUMBER, nullable=False),
    Column("kind", _WORDS, nullable=False),
    Column("mark", _WORDS, nullable=False),
    Column("severity", _NUMBER, nullable=False),
    Column("days_left", _NUMBER),
    Column("headline", _WORDS, nullable=False),
    Column("text", _WORDS, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("topic", _WORDS),  # the incident it is about, with environment and number
    Column("hidden", _WORDS),  # why nobody was told, null for an alert that went into the outbox
    Column("incident_id", _NUMBER),  # the incident that it opened, or is about
    Column("facts", _WORDS),  # what happened, in JSON; null where its words are all that is known
    Column("around", _WORDS),  # what is added to its words, in JSON; null where that is not known
    Column("reason", _WORDS),  # of ``hidden``, in JSON
    UniqueConstraint("number_id", "kind", "mark", "environment_id"),
)
deliveries = Table(  # one message's fate on one channel
    "deliveries",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("message_id", _WORDS, nullable=False, unique=True),
    Column("channel", _WORDS, nullable=False),
    Column("state", _WORDS, nullable=False),  # pending, sent, failed
    Column("created_at", Instant, nullable=False),
    Column("attempts", _NUMBER, nullable=False, default=0),
    Column("next_attempt_at", Instant, nullable=False),
    Column("give_up_at", Instant, nullable=False),
    Column("lease", _WORDS),
    Column("leased_until", Instant),
    Column("leased_by", _WORDS),  # the id of the daemon; null for a command by hand
    Column("last_error", _WORDS),
    Column("sent_at", Instant),
    Column("severity", _NUMBER, nullable=False, server_default="2"),  # of its most urgent alert
    Column("at_once", Boolean, nullable=False, server_default="0"),  # no quiet hours, digest or cap hold it back
    Column("note", _WORDS),
    Column("fallback_at", Instant),  # when it was also given to the channel that stands in
    Column("routine", Boolean),  # it needs nobody; NULL is no
    Column("target", _WORDS),  # where it went, without what is secret; null until it was sent
    Index("deliveries_due", "state", "channel", "next_attempt_at"),
)
delivery_alerts = Table(
    "delivery_alerts",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id"), primary_key=True),
    Column("alert_id", ForeignKey("alerts.id"), primary_key=True),
    Index("delivery_alerts_by_alert", "alert_id"),
    sqlite_with_rowid=False,
)
channels = Table(  # how each channel does; rows appear when it first fails
    "channels",
    metadata,
    Column("name", _WORDS, primary_key=True),
    Column("failing_since", Instant),
    Column("told_at", Instant),
    Column("last_error", _WORDS),
    Column("last_sent_at", Instant),
)
silences = Table(  # model.policy.Silence
    "silences",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("match", _WORDS, nullable=False),  # JSON of model.policy.Match
    Column("kinds", JSON, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("author", _WORDS, nullable=False),
    Column("comment", _WORDS, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", _WORDS),
    Column("warned_at", Instant),
)
lapses = Table(  # model.tracking.Lapse, and who said so
    "lapses",
    metadata,
    Column("number_id", ForeignKey("numbers.id"), primary_key=True),
    Column("renews_on", _NUMBER),
    Column("reminded_on", _NUMBER),
    Column("set_at", Instant, nullable=False),
    Column("author", _WORDS, nullable=False),
    Column("comment", _WORDS, nullable=False),
)
STILL_OPEN: ColumnElement[bool] = literal_column("resolved_at IS NULL")
incidents = Table(  # model.alerts.Incident: what was found and holds until resolved_at; 0 for no environment, no number
    "incidents",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("name", _WORDS, nullable=False),  # the key of the alert that opened it
    Column("environment_id", _NUMBER, nullable=False),
    Column("number_id", _NUMBER, nullable=False),
    Column("topic", _WORDS, nullable=False),
    Column("alert_id", _NUMBER, nullable=False),
    Column("kind", _WORDS, nullable=False),
    Column("severity", _NUMBER, nullable=False),
    Column("rank", _NUMBER, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("notified_at", Instant),
    Column("reminded", _NUMBER, nullable=False),
    Column("suppressed", _WORDS),
    Column("reason", _WORDS),  # of ``suppressed``, in JSON
    Column("suppressor", _WORDS),
    Column("acked_at", Instant),
    Column("acked_by", _WORDS),
    Column("acked_rank", _NUMBER),
    Column("acked_until", Instant),  # None: until it is over or gets worse
    Column("urgent_at", Instant),
    Column("escalated_at", Instant),
    Index(
        *("incidents_open", "environment_id", "number_id", "topic"),
        unique=True,
        sqlite_where=STILL_OPEN,
        postgresql_where=STILL_OPEN,
    ),
    Index("incidents_by_number", "number_id"),
)
flaps = Table(  # model.alerts.Flap by model.alerts.Key
    "flaps",
    metadata,
    Column("environment_id", _NUMBER, primary_key=True),
    Column("number_id", _NUMBER, primary_key=True),
    Column("topic", _WORDS, primary_key=True),
    Column("times", JSON, nullable=False),
    Column("since", Instant),
    Column("worst", _NUMBER, nullable=False),
)
calendars = Table(  # when each digest, canary and outcome of a heartbeat last came
    "calendars",
    metadata,
    Column("name", _WORDS, primary_key=True),
    Column("fired_at", Instant, nullable=False),
    Column("state", _WORDS),
)
actions = Table(  # who silenced, acknowledged and marked what
    "actions",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("author", _WORDS, nullable=False),
    Column("verb", _WORDS, nullable=False),
    Column("environment_id", _NUMBER, nullable=False),
    Column("number_id", _NUMBER, nullable=False),
    Column("comment", _WORDS, nullable=False),
    Column("origin", _WORDS),  # from where: a host and its user, an address, a channel
    Column("subject", _WORDS),  # what it was done to, beside environment and number
)
tokens = Table(  # of the API
    "tokens",
    metadata,
    Column("id", _NUMBER, primary_key=True),
    Column("name", _WORDS, nullable=False, unique=True),
    Column("scope", _WORDS, nullable=False),  # read, or act
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256: the token itself is kept nowhere
    Column("created_at", Instant, nullable=False),
    Column("created_by", _WORDS, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)
revoked_links = (
    Table(  # acknowledge links that count no more: all that were made by then, of a channel, about an incident
        "revoked_links",
        metadata,
        Column("id", _NUMBER, primary_key=True),
        Column("before", Instant, nullable=False),
        Column("channel", _WORDS),  # null: of every channel
        Column("incident", _WORDS),  # null: about every incident
    )
)
oncall_states = (
    Table(  # what an on-call service was told last of an incident; gone when it was told that it is resolved
        "oncall_states",
        metadata,
        Column("channel", _WORDS, primary_key=True),
        Column("incident_id", _NUMBER, primary_key=True),
        Column("state", _WORDS, nullable=False),  # open, acknowledged, resolved
        Column("severity", _NUMBER, nullable=False),
        Column("told_at", Instant),
        Column("attempts", _NUMBER, nullable=False),  # since then that failed
        Column("next_attempt_at", Instant, nullable=False),
        Column("last_error", _WORDS),
        Column("remote", _WORDS),  # what the service calls what it made of it
    )
)
readings = Table(  # the last answer of each further endpoint of an environment
    "readings",
    metadata,
    Column("environment_id", ForeignKey("environments.id"), primary_key=True),
    Column("name", _WORDS, primary_key=True),
    Column("read_at", Instant, nullable=False),
    Column("outcome", _WORDS, nullable=False),  # ok, or the reason of the ApiError
    Column("error", _WORDS),
    Column("content", _WORDS),  # JSON of the last good answer
)
instances = Table(  # the daemons that share this database; a clean end takes the row away
    "instances",
    metadata,
    Column("id", _WORDS, primary_key=True),
    Column("host", _WORDS, nullable=False),
    Column("pid", _NUMBER, nullable=False),
    Column("version", _WORDS, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("alive_until", Instant, nullable=False),  # by the clock of the database, as all that follows
    Column("in_touch_since", Instant, nullable=False),
    Column("polled", _NUMBER, nullable=False, server_default="0"),
    Column("sent", _NUMBER, nullable=False, server_default="0"),
)
leases = Table(  # what only one of them may do at a time: the poll of an environment, the daily tasks
    "leases",
    metadata,
    Column("name", _WORDS, primary_key=True),
    Column("token", _WORDS, nullable=False),
    Column("instance", _WORDS, nullable=False),
    Column("taken_at", Instant, nullable=False),
)
rates = Table(  # from when on a whole burst of requests with a token is free; the token as a digest of eight bytes
    "rates",
    metadata,
    Column("token", _WORDS, primary_key=True),
    Column("next_at", Instant, nullable=False),
    Column("held_until", Instant),  # the provider asked for a pause
)
about = (
    Table(  # of the database itself: "least", the oldest schema whose release can use it; "copying", a copy under way
        "about",
        metadata,
        Column("name", _WORDS, primary_key=True),
        Column("value", _WORDS, nullable=False),
    )
)
